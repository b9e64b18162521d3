//! `oceanid dev`: a whole network on this machine, as one process or as many.
//!
//! Everything lives in one state folder: `l1/` (the embedded L1), `dev.json` (what the network was made with), `spec.json`, and `sequencer-*/` and
//! `follower/` with the configuration, keys and data of each node. A folder that holds a network is resumed.

mod state;

use crate::cli::DevArgs;
use crate::node::{span, stop_signal};
use crate::output::{self, LogFormat};
use crate::processes::{Processes, pid_file};
use eyre::{OptionExt, WrapErr, bail, ensure};
use oceanid_contracts::probe::probe;
use oceanid_devnet::{
    Addresses, ConfigOut, DevAccount, EmbeddedL1, EmbeddedL1Config, FollowerEndpoints, L1Endpoints, L2Endpoints, NodeEndpoint,
    SequencerEndpoint, connect, deploy_dev, dev_accounts, dev_sequencers,
};
use oceanid_node::{KeeperSection, KeyFile, L1Config, Node, NodeConfig, RpcListen, SequencerSection, load_spec};
use oceanid_primitives::{ChainSpec, DaMode};
use state::{Made, spec_file};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tracing::Instrument as _;

/// Pause between two looks at L1; development L1s make a block a second.
const L1_POLL_MS: u64 = 200;
/// Oldest unposted block that forces a batch, seconds.
const BATCH_AGE: u64 = 2;
/// Caches of the stores, MiB.
const CACHE_MIB: u64 = 4;
/// Write buffers of the stores, MiB: half a dozen nodes share one machine, and none of them is large.
const WRITE_BUFFER_MIB: u64 = 1;
/// At this block time of the embedded L1, or below, a pending transaction makes a block at once.
const FASTEST_L1_MS: u64 = 1_000;
/// Longest wait for a node to serve.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// Where the network lives: a folder of the user's, or a temporary one that goes with it.
enum State {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl State {
    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

/// One node of the network, before it runs.
struct Planned {
    name: String,
    role: &'static str,
    config: NodeConfig,
    file: PathBuf,
    sequencer: Option<SequencerEndpoint>,
}

/// The running nodes.
enum Running {
    Inside(Vec<Node>),
    Processes(Processes),
}

pub(crate) async fn run(args: DevArgs, log: &str, format: LogFormat) -> eyre::Result<()> {
    let started = Instant::now();
    let made = match &args.state {
        Some(folder) => Made::settle(&args, folder)?,
        None => Made::new(&args),
    };
    check(&args, made.options.sequencers)?;
    // Found out before anything is deployed. Port 0 is chosen later: what is free now may be L1's by then.
    if args.port != 0 {
        rpc_addresses(&args, made.options.sequencers as usize + 1)?;
    }
    if args.l1.is_none() {
        l1_addresses(&args)?;
    }
    let state = match &args.state {
        Some(path) => State::Kept(path.clone()),
        None => State::Temporary(tempfile::tempdir().wrap_err("cannot make a temporary folder")?),
    };
    let folder = state.path();
    std::fs::create_dir_all(folder).wrap_err_with(|| format!("cannot make {}", folder.display()))?;
    let folder = std::fs::canonicalize(folder)?;
    if !spec_file(&folder).exists() {
        made.save(&folder)?;
    }

    let embedded = match &args.l1 {
        Some(_) => None,
        None => Some(embedded_l1(&args, &folder).await?),
    };
    let result = network(&args, &made, (log, format), &folder, embedded.as_ref(), started).await;
    if let Some(l1) = embedded {
        l1.shutdown().await;
    }
    result
}

/// What can be wrong without a look at any chain, found out before anything is deployed.
fn check(args: &DevArgs, sequencers: u32) -> eyre::Result<()> {
    match args.da {
        Some(DaMode::Storage) => bail!("--da storage: the storage network does not exist yet; use blob or calldata"),
        Some(DaMode::Blob) if args.l1.is_some() && args.l1_beacon.is_none() => {
            bail!("--da blob needs --l1-beacon URL: without a beacon API nobody can read the blobs back")
        }
        _ => {}
    }
    if let Some(file) = &args.config_out {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        ensure!(folder.is_dir(), "--config-out {}: there is no folder {}", file.display(), folder.display());
    }
    let (ours, nodes) = (u32::from(args.port), sequencers.saturating_add(1));
    let taken = ours..ours.saturating_add(nodes);
    let l1 = u32::from(args.l1_port);
    if args.l1.is_none() && ours != 0 && l1 != 0 {
        let both = taken.contains(&l1) || taken.contains(&(l1 + 1));
        ensure!(!both, "--l1-port {l1} and the one behind it are among the {nodes} ports from --port {ours} on: leave more room");
    }
    Ok(())
}

/// Everything above L1: deploy or resume, start the nodes, greet, wait for the end, stop.
async fn network(
    args: &DevArgs,
    made: &Made,
    log: (&str, LogFormat),
    folder: &Path,
    embedded: Option<&EmbeddedL1>,
    started: Instant,
) -> eyre::Result<()> {
    let l1 = l1_endpoints(args, embedded).await?;
    let spec = specification(made, folder, &l1).await?;
    if let Some(embedded) = embedded {
        // Deployment wants blocks at once; from here on the chosen pace holds, unless it is the fastest there is.
        embedded.set_instant(args.l1_block_time <= FASTEST_L1_MS);
    }
    let nodes = plan(args, made, folder, &l1, &spec)?;
    for node in &nodes {
        node.config.save(&node.file).wrap_err_with(|| format!("cannot write {}", node.file.display()))?;
    }

    output::progress(&format!("starting {} and a follower", sequencers(made.options.sequencers)));
    let mut running = if args.processes {
        Running::Processes(Processes::start(nodes.iter().map(|node| (node.name.clone(), node.file.clone())).collect(), log)?)
    } else {
        let mut inside = Vec::with_capacity(nodes.len());
        for node in &nodes {
            let started = Node::start(node.config.clone()).instrument(span(&node.name)).await;
            inside.push(started.wrap_err_with(|| format!("{} does not start", node.name))?);
        }
        Running::Inside(inside)
    };
    let ended = tokio::select! {
        signal = stop_signal() => signal,
        reason = failure(&mut running) => Err(reason),
        result = greet_and_wait(args, &nodes, l1, &spec, started) => result,
        reason = l1_failure(embedded) => Err(reason),
    };
    output::progress("stopping");
    match running {
        Running::Inside(nodes) => {
            for node in nodes {
                node.shutdown().await;
            }
        }
        Running::Processes(processes) => processes.shutdown().await,
    }
    ended
}

fn sequencers(count: u32) -> String {
    format!("{count} sequencer{}", if count == 1 { "" } else { "s" })
}

async fn embedded_l1(args: &DevArgs, folder: &Path) -> eyre::Result<EmbeddedL1> {
    let addresses = l1_addresses(args)?;
    let mut config = EmbeddedL1Config::dev(folder.join("l1"), addresses[0], addresses[1]);
    config.block_time = Duration::from_millis(args.l1_block_time);
    Ok(EmbeddedL1::start(config).instrument(span("l1")).await?)
}

async fn l1_endpoints(args: &DevArgs, embedded: Option<&EmbeddedL1>) -> eyre::Result<L1Endpoints> {
    match (embedded, &args.l1) {
        (Some(l1), _) => {
            Ok(L1Endpoints { chain_id: l1.chain_id(), http: l1.http(), ws: Some(l1.ws()), beacon: Some(l1.beacon()) })
        }
        (None, Some(url)) => {
            let chain_id = probe(&connect(url)?, url).await?;
            Ok(L1Endpoints { chain_id, http: url.clone(), ws: None, beacon: args.l1_beacon.clone() })
        }
        (None, None) => bail!("no L1"),
    }
}

/// The chain of the folder, or a new one, deployed now.
async fn specification(made: &Made, folder: &Path, l1: &L1Endpoints) -> eyre::Result<ChainSpec> {
    let file = spec_file(folder);
    if file.exists() {
        output::progress(&format!("resuming the network in {}", folder.display()));
        return Ok(load_spec(&file)?);
    }
    let sequencers = dev_sequencers(made.options.sequencers)?;
    let deployment = deploy_dev(&l1.http, &made.options, &sequencers, &output::progress).await?;
    let part = file.with_extension("json.part");
    std::fs::write(&part, serde_json::to_vec_pretty(&deployment.spec)?)?;
    std::fs::rename(part, &file)?;
    Ok(deployment.spec)
}

/// Files and addresses of every node.
fn plan(args: &DevArgs, made: &Made, folder: &Path, l1: &L1Endpoints, spec: &ChainSpec) -> eyre::Result<Vec<Planned>> {
    let sequencers = dev_sequencers(made.options.sequencers)?;
    let count = sequencers.len();
    let rpc = rpc_addresses(args, count + 1)?;
    let peer_to_peer = free_addresses(args, count)?;
    let peers = sequencers.iter().zip(&peer_to_peer).map(|(sequencer, address)| (sequencer.keys.identity(), *address)).collect();
    let l1_config = L1Config { beacon: l1.beacon.clone(), poll_ms: L1_POLL_MS, ..L1Config::new(l1.http.clone()) };
    let base = |name: &str, listen: SocketAddr| NodeConfig {
        rpc: RpcListen::open(listen),
        keeper: KeeperSection::development(),
        cache_mib: CACHE_MIB,
        write_buffer_mib: WRITE_BUFFER_MIB,
        ..NodeConfig::new(spec_file(folder), folder.join(name), l1_config.clone())
    };
    ensure!(spec.committee.members.len() == count, "the chain has another number of sequencers");
    let mut nodes = Vec::with_capacity(count + 1);
    for (index, sequencer) in sequencers.iter().enumerate() {
        let name = format!("sequencer-{index}");
        // The first sequencer has the first port, the follower the second, the others those after it.
        let mut config = base(&name, rpc[if index == 0 { 0 } else { index + 1 }]);
        std::fs::create_dir_all(&config.data_dir)?;
        let key_file = config.data_dir.join("keys.json");
        KeyFile { identity: sequencer.identity_seed.into(), bls: sequencer.bls_seed.into(), poster: sequencer.poster.to_bytes() }
            .save(&key_file)?;
        config.sequencer = Some(SequencerSection {
            keys: None,
            password_file: None,
            key_file: Some(key_file),
            listen: peer_to_peer[index],
            peers: Clone::clone(&peers),
            da: made.da,
            batch_age_seconds: BATCH_AGE,
            byzantine: None,
        });
        nodes.push(Planned {
            file: folder.join(&name).join("node.toml"),
            name,
            role: "sequencer",
            config,
            sequencer: Some(SequencerEndpoint {
                identity: sequencer.keys.identity(),
                p2p: peer_to_peer[index],
                owner: DevAccount::from(&sequencer.owner),
            }),
        });
    }
    let mut config = base("follower", rpc[1]);
    config.rpc.forward = Some(format!("http://{}", rpc[0]));
    std::fs::create_dir_all(&config.data_dir)?;
    nodes.push(Planned {
        file: folder.join("follower").join("node.toml"),
        name: "follower".to_owned(),
        role: "follower",
        config,
        sequencer: None,
    });
    Ok(nodes)
}

fn rpc_addresses(args: &DevArgs, count: usize) -> eyre::Result<Vec<SocketAddr>> {
    if args.port == 0 { free_addresses(args, count) } else { addresses_from(args, "--port", args.port, count) }
}

/// Where the embedded L1 serves its RPC and its beacon API.
fn l1_addresses(args: &DevArgs) -> eyre::Result<Vec<SocketAddr>> {
    if args.l1_port == 0 {
        Ok(vec![SocketAddr::new(args.host, 0); 2])
    } else {
        addresses_from(args, "--l1-port", args.l1_port, 2)
    }
}

/// `count` addresses from `port` on, all free now; `flag` is where the port comes from.
fn addresses_from(args: &DevArgs, flag: &str, port: u16, count: usize) -> eyre::Result<Vec<SocketAddr>> {
    let ports = (port..=u16::MAX).take(count);
    ensure!(ports.len() == count, "{flag} {port} leaves no room for {count} ports");
    let free = |port| {
        let address = SocketAddr::new(args.host, port);
        match TcpListener::bind(address) {
            Ok(_) => Ok(address),
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                bail!("cannot listen on {address}: {error}; choose a --host that is this machine's")
            }
            Err(error) => bail!("cannot listen on {address}: {error}; choose another {flag}, or 0 for any free ports"),
        }
    };
    ports.map(free).collect()
}

/// Addresses with ports that are free now. They are chosen by the parent, so that a node that is started again keeps its own.
fn free_addresses(args: &DevArgs, count: usize) -> eyre::Result<Vec<SocketAddr>> {
    oceanid_devnet::ports::free_addresses(args.host, count).wrap_err_with(|| format!("cannot listen on --host {}", args.host))
}

/// Greets once every node serves, then waits for ever.
async fn greet_and_wait(
    args: &DevArgs,
    nodes: &[Planned],
    l1: L1Endpoints,
    spec: &ChainSpec,
    started: Instant,
) -> eyre::Result<()> {
    let url = |node: &Planned| format!("http://{}", node.config.rpc.listen);
    for node in nodes {
        ready(&url(node)).await.wrap_err_with(|| format!("{} does not serve", node.name))?;
    }
    let first = nodes.first().ok_or_eyre("no node")?;
    let genesis = oceanid_contracts::genesis::commitment(spec);
    let config = ConfigOut {
        l1,
        l2: L2Endpoints { chain_id: spec.chain_id, http: url(first), ws: format!("ws://{}", first.config.rpc.listen) },
        follower: nodes.iter().find(|node| node.role == "follower").map(|node| FollowerEndpoints { http: url(node) }),
        nodes: nodes
            .iter()
            .map(|node| NodeEndpoint {
                name: node.name.clone(),
                role: node.role.to_owned(),
                http: url(node),
                data_dir: node.config.data_dir.clone(),
                sequencer: node.sequencer.clone(),
                pid_file: args.processes.then(|| pid_file(&node.file)),
            })
            .collect(),
        spec: first.config.spec.clone(),
        genesis_hash: genesis.hash,
        challenge_window: spec.timing.challenge_window,
        accounts: dev_accounts(),
        contracts: Addresses::new(&spec.l1),
    };
    if let Some(file) = &args.config_out {
        config.write(file).wrap_err_with(|| format!("cannot write {}", file.display()))?;
    }
    output::line(&config.banner());
    output::progress(&format!("ready in {:.1} s; stop with Ctrl-C", started.elapsed().as_secs_f64()));
    std::future::pending().await
}

async fn ready(url: &str) -> eyre::Result<()> {
    use alloy_provider::Provider;
    let provider = connect(url)?;
    let waiting = Instant::now();
    loop {
        match provider.get_block_number().await {
            Ok(_) => return Ok(()),
            Err(error) if waiting.elapsed() > READY_PATIENCE => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Waits until a node has stopped by itself.
async fn failure(running: &mut Running) -> eyre::Error {
    match running {
        Running::Inside(nodes) => {
            let mut waits = tokio::task::JoinSet::new();
            for node in nodes.iter() {
                let (role, address, stopped) = (node.role(), node.rpc_address(), node.stopped());
                waits.spawn(async move { (role, address, stopped.await) });
            }
            match waits.join_next().await {
                Some(Ok((role, address, reason))) => eyre::eyre!("the {role} at {address} stopped: {reason}"),
                _ => eyre::eyre!("a node stopped"),
            }
        }
        Running::Processes(processes) => processes.failed().await,
    }
}

async fn l1_failure(embedded: Option<&EmbeddedL1>) -> eyre::Error {
    let Some(l1) = embedded else { return std::future::pending().await };
    let mut failure = l1.failure();
    match failure.wait_for(Option::is_some).await {
        Ok(reason) => eyre::eyre!("the embedded L1 stopped: {}", reason.as_deref().unwrap_or_default()),
        Err(_) => eyre::eyre!("the embedded L1 stopped"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    /// What `oceanid dev` with these arguments is told.
    pub(super) fn flags(arguments: &str) -> DevArgs {
        let line = ["oceanid", "dev"].into_iter().chain(arguments.split_whitespace());
        let Command::Dev(args) = Cli::try_parse_from(line).unwrap().command else { panic!("not `dev`") };
        args
    }

    #[test]
    fn what_is_wrong_is_said_before_anything_is_deployed() {
        let said = |arguments: &str| {
            let args = flags(arguments);
            check(&args, Made::new(&args).options.sequencers).err().map(|error| error.to_string())
        };
        let told = |arguments, text: &str| {
            let error = said(arguments).expect(arguments);
            assert!(error.contains(text), "{arguments}: {error}");
        };
        told("--da storage", "--da storage");
        told("--da blob --l1 http://127.0.0.1:1", "--l1-beacon");
        told("--config-out /nonexistent/x.json", "--config-out");
        told("--port 9745 --l1-port 9745", "--l1-port");
        told("--port 9745 --l1-port 9744", "--l1-port");
        told("--port 9745 --l1-port 9749", "--l1-port");
        for fine in [
            "",
            "--port 0 --l1-port 0",
            "--port 9745 --l1-port 9750",
            "--port 9745 --l1-port 9743",
            "--config-out x.json",
            "--da blob",
        ] {
            assert_eq!(said(fine), None, "{fine}");
        }
    }

    #[test]
    fn a_port_that_cannot_be_had_names_its_flag() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = holder.local_addr().unwrap().port();
        let error = addresses_from(&flags(""), "--l1-port", taken, 1).unwrap_err().to_string();
        assert!(error.contains(&format!("127.0.0.1:{taken}: ")) && error.contains("choose another --l1-port, or 0"), "{error}");
        let error = addresses_from(&flags("--host 192.0.2.1"), "--port", 9_545, 1).unwrap_err().to_string();
        assert!(error.contains("choose a --host"), "{error}");
        let error = addresses_from(&flags(""), "--port", 65_534, 3).unwrap_err().to_string();
        assert_eq!(error, "--port 65534 leaves no room for 3 ports");
    }
}
