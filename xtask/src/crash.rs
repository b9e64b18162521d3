//! `cargo xtask crash`: a real network of processes under load, killed with SIGKILL again and again.
//!
//! Each round kills one, then two, then all sequencers (in turn) at a random moment. Afterwards every node must come back without
//! help and go on; every block any node had called final must be in every node's chain with the same hash, and every transaction that any
//! of them had taken must be mined in the end.

use crate::client::{Client, signed_transfer};
use crate::network::{Network, PATIENCE, wait_for};
use alloy_primitives::{Address, B256};
use alloy_signer_local::PrivateKeySigner;
use eyre::{OptionExt, WrapErr, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Blocks before a kill that are compared after it; all of them are compared once more at the end.
const CHECKED: u64 = 64;
/// Blocks every node must make after a round before it counts as recovered.
const PROGRESS: u64 = 3;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The binary under test.
    #[arg(long)]
    oceanid: PathBuf,
    /// Rounds.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Seed of victims and moments; printed, so that a failure can be repeated.
    #[arg(long)]
    seed: Option<u64>,
}

struct Node {
    name: String,
    client: Client,
    pid_file: PathBuf,
    sequencer: bool,
}

pub(crate) async fn run(args: Args) -> eyre::Result<()> {
    let seed = args.seed.unwrap_or_else(rand::random);
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir()?;
    let pace = ["--processes", "--block-time", "200ms", "--heartbeat", "1s", "--da", "calldata"];
    let network = Network::start(&args.oceanid, folder.path(), &pace).await?;
    let config = &network.config;
    let nodes = nodes(config)?;
    let signer: PrivateKeySigner = config["accounts"][0]["privateKey"].as_str().ok_or_eyre("accounts[0].privateKey")?.parse()?;

    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicU64::new(0));
    let (sender, taken) = (signer.address(), Arc::new(AtomicU64::new(0)));
    let load = tokio::spawn(load(
        nodes.iter().filter(|node| node.sequencer).map(|node| node.client.clone()).collect(),
        signer,
        Arc::clone(&stop),
        Arc::clone(&sent),
        Arc::clone(&taken),
    ));

    let mut finals: BTreeMap<u64, B256> = BTreeMap::new();
    for round in 0..args.rounds {
        tokio::time::sleep(Duration::from_millis(random.random_range(300..2_500))).await;
        let before = observe(&nodes, &mut finals).await?;
        let mut sequencers: Vec<&Node> = nodes.iter().filter(|node| node.sequencer).collect();
        sequencers.shuffle(&mut random);
        let victims = match round % 3 {
            0 => 1,
            1 => 2,
            _ => sequencers.len(),
        };
        for victim in &sequencers[..victims] {
            let pid: i32 = std::fs::read_to_string(&victim.pid_file)
                .wrap_err_with(|| format!("{}: {}", victim.name, victim.pid_file.display()))?
                .trim()
                .parse()?;
            kill(Pid::from_raw(pid), Signal::SIGKILL).wrap_err_with(|| format!("{}: kill {pid}", victim.name))?;
        }
        let (started, sent_before) = (Instant::now(), sent.load(Ordering::Relaxed));
        recovered(&nodes, before + PROGRESS).await.wrap_err_with(|| format!("round {round}, seed {seed}"))?;
        // A slow machine may have had those blocks before the kill: all must go on from what there is now.
        let head = observe(&nodes, &mut finals).await?;
        recovered(&nodes, head + PROGRESS).await.wrap_err_with(|| format!("round {round}, seed {seed}"))?;
        agree(&nodes, &finals, before.saturating_sub(CHECKED)).await.wrap_err_with(|| format!("round {round}, seed {seed}"))?;
        let under_load = async || Ok(sent.load(Ordering::Relaxed) > sent_before);
        wait_for("a transaction to be accepted after the kill", PATIENCE, under_load)
            .await
            .wrap_err_with(|| format!("round {round}, seed {seed}"))?;
        println!(
            "round {:>2}: killed {victims}, recovered in {:.1} s, {} final blocks kept, {} transactions sent",
            round + 1,
            started.elapsed().as_secs_f64(),
            finals.len(),
            sent.load(Ordering::Relaxed)
        );
    }
    stop.store(true, Ordering::Relaxed);
    load.await??;
    let taken = taken.load(Ordering::Relaxed);
    let mined = async || Ok(nodes[0].client.mined(sender).await? >= taken);
    wait_for("every transaction that was taken", PATIENCE, mined).await.wrap_err_with(|| format!("seed {seed}"))?;
    agree(&nodes, &finals, 0).await.wrap_err_with(|| format!("after the last round, seed {seed}"))?;
    println!("{} passed, 0 failed", args.rounds);
    Ok(())
}

fn nodes(config: &Value) -> eyre::Result<Vec<Node>> {
    let list = config["nodes"].as_array().ok_or_eyre("`nodes` in the network file")?;
    list.iter()
        .map(|node| {
            let text = |field: &str| node[field].as_str().ok_or_else(|| eyre::eyre!("nodes[].{field}"));
            Ok(Node {
                name: text("name")?.to_owned(),
                client: Client::new(text("http")?),
                pid_file: text("pidFile")?.into(),
                sequencer: text("role")? == "sequencer",
            })
        })
        .collect()
}

/// Adds every block that some node calls final and that is not known yet to `finals`; returns the highest number. Two nodes that
/// disagree end the run.
async fn observe(nodes: &[Node], finals: &mut BTreeMap<u64, B256>) -> eyre::Result<u64> {
    let first = finals.last_key_value().map_or(1, |(number, _)| number + 1);
    for node in nodes {
        let Ok(head) = node.client.block_number().await else { continue };
        for number in first..=head {
            let Some(hash) = node.client.block_hash(number).await? else { bail!("{}: no block {number}", node.name) };
            if let Some(known) = finals.insert(number, hash) {
                ensure!(known == hash, "{}: block {number} is {hash}, another node had {known}", node.name);
            }
        }
    }
    Ok(finals.last_key_value().map_or(0, |(number, _)| *number))
}

async fn recovered(nodes: &[Node], target: u64) -> eyre::Result<()> {
    for node in nodes {
        let what = format!("{} to reach block {target}", node.name);
        wait_for(&what, PATIENCE, async || Ok(node.client.block_number().await? >= target)).await?;
    }
    Ok(())
}

/// Every block from `first` on that was final anywhere is in every node's chain.
async fn agree(nodes: &[Node], finals: &BTreeMap<u64, B256>, first: u64) -> eyre::Result<()> {
    for node in nodes {
        for (number, hash) in finals.range(first..) {
            let found = node.client.block_hash(*number).await?;
            ensure!(found == Some(*hash), "{}: block {number} was final as {hash}, now {found:?}", node.name);
        }
    }
    Ok(())
}

/// Sends transfers to one sequencer after another until told to stop. Refusals while nodes are down are part of the exercise. `taken` is
/// the number of transactions up to the last one that was taken.
async fn load(
    clients: Vec<Client>,
    signer: PrivateKeySigner,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    taken: Arc<AtomicU64>,
) -> eyre::Result<()> {
    let to = Address::repeat_byte(0x42);
    let mut chain_id = None;
    for client in clients.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let attempt = async {
            let chain_id = match chain_id {
                Some(known) => known,
                None => *chain_id.insert(client.chain_id().await?),
            };
            let nonce = client.nonce(signer.address()).await?;
            client.send_raw(&signed_transfer(&signer, chain_id, nonce, to)?).await?;
            eyre::Ok(nonce)
        };
        if let Ok(nonce) = attempt.await {
            taken.fetch_max(nonce + 1, Ordering::Relaxed);
            sent.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
