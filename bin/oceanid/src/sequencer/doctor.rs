//! `oceanid sequencer doctor`: everything a sequencer needs, one line each, with a remedy where something is wrong.

use super::{Chain, Operator, connect, output, status, whole};
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{U256, keccak256};
use alloy_provider::{DynProvider, Provider};
use eyre::{OptionExt, WrapErr, bail};
use oceanid_contracts::endpoint::Endpoint;
use oceanid_contracts::genesis::commitment;
use oceanid_contracts::l1::{OceanidToken, Rollup, SequencerPool};
use oceanid_contracts::probe::probe;
use oceanid_node::{NodeConfig, PublicKeys, SequencerKeys, account_address};
use oceanid_primitives::ChainSpec;
use serde::Serialize;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longest wait for one connection.
const CONNECT: Duration = Duration::from_secs(2);
/// L1's newest block may be this old, seconds: a few slots of Ethereum.
const L1_AGE_OK: u64 = 60;
/// Beyond this, L1 stands still or the clock is wrong.
const L1_AGE_WARN: u64 = 300;
/// ETH below which the poster's account is worth a warning, wei: a day of batches at a bad price.
const LOW_ETH: u128 = 100_000_000_000_000_000;
/// Free space, GiB.
const DISK_FAIL: u64 = 5;
const DISK_WARN: u64 = 50;
/// Milliseconds a durable write of one page may take: a block waits for a few of them.
const FSYNC_WARN: f64 = 20.0;
const FSYNC_FAIL: f64 = 200.0;
/// Durable writes measured.
const FSYNC_WRITES: usize = 16;
/// Blocks a node may be behind what L1 has.
const BEHIND: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One line.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    level: Level,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
}

/// The lines so far.
#[derive(Default)]
struct Report(Vec<Check>);

impl Report {
    fn ok(&mut self, name: &'static str, found: String) {
        self.0.push(Check { name, level: Level::Ok, found, remedy: None });
    }

    fn warn(&mut self, name: &'static str, found: String, remedy: &'static str) {
        self.0.push(Check { name, level: Level::Warn, found, remedy: Some(remedy) });
    }

    fn fail(&mut self, name: &'static str, found: String, remedy: &'static str) {
        self.0.push(Check { name, level: Level::Fail, found, remedy: Some(remedy) });
    }

    /// The value, or a line that says why there is none.
    fn need<T>(&mut self, name: &'static str, value: eyre::Result<T>, remedy: &'static str) -> Option<T> {
        value.map_err(|error| self.fail(name, crate::one_line(&error), remedy)).ok()
    }
}

pub(super) async fn run(operator: &Operator) -> eyre::Result<ExitCode> {
    let mut report = Report::default();
    let spec = report.need("spec", operator.spec(), "name the chain's specification with --spec or `spec`");
    let url = report.need("l1", operator.l1_url().map(str::to_owned), "name an endpoint with --l1 or `l1.http`");
    let keys = keys(operator, &mut report);
    if let (Some(spec), Some(url)) = (&spec, &url)
        && let Some(l1) = l1(spec, url, &mut report).await
    {
        clock(&l1, &mut report).await;
        let checked = chain(spec, &l1, &mut report).await;
        report.need("spec", checked, "check the L1 endpoint");
        if let Some((keys, opened)) = &keys {
            let checked = pool(spec, &l1, keys, opened, &mut report).await;
            report.need("pool", checked, "check the L1 endpoint");
            let checked = funds(operator, &Chain { spec: spec.clone(), l1: l1.clone() }, keys, &mut report).await;
            report.need("funds", checked, "check the L1 endpoint");
        }
        let checked = synced(operator, spec, &l1, &mut report).await;
        report.need("node", checked, "start it with `oceanid node --config …`, and wait until it has caught up");
    }
    match &operator.config {
        Some(config) => {
            disk(&config.data_dir, &mut report);
            ports(operator, config, spec.as_ref(), &mut report).await;
        }
        None => report.warn("config", "no configuration file".into(), "name it with --config to check disk, ports and peers"),
    }
    let failed = report.0.iter().any(|check| check.level == Level::Fail);
    if operator.args.json {
        output::json(&serde_json::json!({ "ok": !failed, "checks": report.0 }));
    } else {
        for check in &report.0 {
            let level = match check.level {
                Level::Ok => "ok",
                Level::Warn => "warn",
                Level::Fail => "FAIL",
            };
            let remedy = check.remedy.map_or(String::new(), |remedy| format!("; {remedy}"));
            output::line(&format!("{level:<5} {:<7} {}{remedy}", check.name, check.found));
        }
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Key files: readable, and opening with the password.
fn keys(operator: &Operator, report: &mut Report) -> Option<(PublicKeys, SequencerKeys)> {
    let folder = report.need("keys", operator.key_folder(), "make keys with `oceanid sequencer keys new --keys DIR`")?;
    let public = folder.public().map_err(Into::into);
    let public =
        report.need("keys", public, "make keys with `oceanid sequencer keys new`, or restore the folder from its backup")?;
    let opened = operator.password().and_then(|password| Ok(folder.load(password)?));
    let opened = report.need("keys", opened, "give the password with --password-file or OCEANID_PASSWORD")?;
    report.ok(
        "keys",
        format!("identity {}, {} consensus key(s), all open with the password", public.identity, public.consensus.len()),
    );
    Some((public, opened))
}

/// L1 answers, is the right chain, and knows BLS12-381.
async fn l1(spec: &ChainSpec, url: &str, report: &mut Report) -> Option<DynProvider> {
    let l1 = report.need("l1", connect(url), "write it as http://host:port")?;
    match probe(&l1, url).await {
        Err(error) => {
            report.fail("l1", error.to_string(), "use an endpoint of a synchronised L1 node with Prague rules");
            None
        }
        Ok(chain_id) if chain_id != spec.l1_chain_id => {
            let found = format!("{} is chain {chain_id}, must be {}", Endpoint::new(url), spec.l1_chain_id);
            report.fail("l1", found, "use an endpoint of the L1 that the specification names");
            None
        }
        Ok(chain_id) => {
            report.ok("l1", format!("{} is chain {chain_id}, with EIP-2537", Endpoint::new(url)));
            Some(l1)
        }
    }
}

/// This machine's clock against the newest L1 block's.
async fn clock(l1: &DynProvider, report: &mut Report) {
    let newest = l1.get_block_by_number(BlockNumberOrTag::Latest).await;
    let Some(timestamp) = newest.ok().flatten().map(|block| block.header.timestamp) else {
        report.fail("clock", "L1 gave no block".into(), "check the L1 endpoint");
        return;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    const REMEDY: &str = "run an NTP client, and check that L1 makes blocks";
    match now.checked_sub(timestamp) {
        Some(age) if age <= L1_AGE_OK => report.ok("clock", format!("L1's newest block is {age} s old by this clock")),
        Some(age) if age <= L1_AGE_WARN => {
            report.warn("clock", format!("L1's newest block is {age} s old by this clock"), REMEDY)
        }
        Some(age) => report.fail("clock", format!("L1's newest block is {age} s old by this clock"), REMEDY),
        // Ethereum's validators keep their clocks within a second.
        None if timestamp - now <= 1 => report.ok("clock", "L1's newest block is of this second".into()),
        None => report.fail("clock", format!("L1's newest block is {} s in the future", timestamp - now), REMEDY),
    }
}

/// The specification is the one the contracts were deployed with.
async fn chain(spec: &ChainSpec, l1: &DynProvider, report: &mut Report) -> eyre::Result<()> {
    let genesis = commitment(spec).hash;
    let on_l1 = Rollup::new(spec.l1.rollup, l1).GENESIS_HASH().call().await.wrap_err("Rollup.GENESIS_HASH")?;
    if on_l1 == genesis {
        report.ok("spec", format!("{} (chain {}), genesis {genesis}, as on L1", spec.name, spec.chain_id));
    } else {
        let found = format!("genesis is {genesis}, {on_l1} on L1");
        report.fail("spec", found, "get the specification that belongs to this chain and version");
    }
    Ok(())
}

/// The pool's record against the key files.
async fn pool(
    spec: &ChainSpec,
    l1: &DynProvider,
    keys: &PublicKeys,
    opened: &SequencerKeys,
    report: &mut Report,
) -> eyre::Result<()> {
    let pool = SequencerPool::new(spec.l1.pool, l1);
    let id = pool.idOfIdentity(keys.identity).call().await.wrap_err("SequencerPool.idOfIdentity")?;
    if id == 0 {
        report.warn("pool", "the identity is not registered".into(), "lock stake with `oceanid sequencer lock AMOUNT`");
        return Ok(());
    }
    let record = pool.sequencer(id).call().await?;
    let newest = pool.idOfConsensusKey(keccak256(opened.node.bls_eip2537())).call().await?;
    if newest != id {
        const REMEDY: &str = "finish with `oceanid sequencer keys rotate`, or restore the registered key";
        report.fail("pool", format!("sequencer {id} is registered with another consensus key"), REMEDY);
        return Ok(());
    }
    let found = format!("sequencer {id}, {}, lock {}, with these keys", status::name(record.status), whole(record.amount));
    match status::name(record.status) {
        "jailed" => report.warn("pool", found, "mend the cause, then `oceanid sequencer unjail`"),
        "gone" => report.warn("pool", found, "it left for good; stake again with new keys"),
        _ => report.ok("pool", found),
    }
    let named = pool.posterOf(id).call().await.wrap_err("SequencerPool.posterOf")?;
    let found = format!("sequencer {id} names {named} as its poster, poster.json is {}", keys.poster);
    if named == keys.poster {
        report.ok("poster", format!("{named} is named: what it spends on batches is paid back"));
    } else {
        report.warn("poster", found, "run `oceanid sequencer poster`: only what a named account spends is paid back");
    }
    Ok(())
}

/// ETH for batches and for the owner's transactions, and tokens to lock.
async fn funds(operator: &Operator, chain: &Chain, keys: &PublicKeys, report: &mut Report) -> eyre::Result<()> {
    let Chain { spec, l1 } = chain;
    let poster = l1.get_balance(keys.poster).await?;
    let found = format!("poster {} has {} ETH", keys.poster, whole(poster));
    const REMEDY: &str = "send it ETH on L1: it pays for batches";
    if poster.is_zero() {
        report.fail("funds", found, REMEDY);
    } else if poster < U256::from(LOW_ETH) {
        report.warn("funds", found, REMEDY);
    } else {
        report.ok("funds", found);
    }
    let locked = chain.pool().idOfIdentity(keys.identity).call().await? != 0;
    let account = operator.args.account.as_deref().map(account_address).transpose()?;
    let Some(owner) = account.or(keys.owner) else {
        if !locked {
            const REMEDY: &str = "name its keystore with --account, to see whether it can lock";
            report.warn("funds", "the owner's key is not in the folder".into(), REMEDY);
        }
        return Ok(());
    };
    let eth = l1.get_balance(owner).await?;
    let held = OceanidToken::new(spec.l1.token, l1).balanceOf(owner).call().await?;
    let found = format!("owner {owner} has {} ETH and {} of the stake token", whole(eth), whole(held));
    let minimum = chain.limits().await?.minimum;
    if eth.is_zero() {
        report.warn("funds", found, "send it ETH on L1: it pays for `lock` and everything after");
    } else if !locked && held < minimum {
        let found = format!("{found}; the smallest lock is {}", whole(minimum));
        report.warn("funds", found, "send it stake tokens on L1");
    } else {
        report.ok("funds", found);
    }
    Ok(())
}

/// The node against what is posted on L1.
async fn synced(operator: &Operator, spec: &ChainSpec, l1: &DynProvider, report: &mut Report) -> eyre::Result<()> {
    let posted = Rollup::new(spec.l1.rollup, l1).latestBlockNumber().call().await?;
    let posted = u64::try_from(posted).unwrap_or(u64::MAX);
    let node = status::node(operator).await?;
    let head = node["head"].as_u64().ok_or_eyre("seq_status without a head")?;
    let role = node["role"].as_str().unwrap_or("node").to_owned();
    if head + BEHIND < posted {
        report.warn("node", format!("{role} at block {head}, L1 has {posted}"), "wait until it has caught up");
    } else {
        report.ok("node", format!("{role} at block {head}, L1 has {posted}"));
    }
    for waiting in node["waiting"].as_array().into_iter().flatten() {
        let reason = waiting["reason"].as_str().unwrap_or_default();
        report.warn("node", format!("waits: {reason}"), "see `seq_status` for its remedy");
    }
    Ok(())
}

/// Space and the speed of durable writes where the node keeps its state.
fn disk(folder: &Path, report: &mut Report) {
    const REMEDY: &str = "use a local SSD with room";
    let made = std::fs::create_dir_all(folder).wrap_err_with(|| format!("cannot make {}", folder.display()));
    if report.need("disk", made, "choose another `data-dir`").is_none() {
        return;
    }
    let space = nix::sys::statvfs::statvfs(folder).wrap_err_with(|| format!("{}", folder.display()));
    let Some(space) = report.need("disk", space, REMEDY) else { return };
    let free = (space.blocks_available() * space.fragment_size()) >> 30;
    let found = format!("{free} GiB free in {}", folder.display());
    match free {
        0..DISK_FAIL => report.fail("disk", found, REMEDY),
        DISK_FAIL..DISK_WARN => report.warn("disk", found, REMEDY),
        _ => report.ok("disk", found),
    }
    let Some(median) = report.need("disk", fsync(folder), REMEDY) else { return };
    let found = format!("a durable write takes {median:.1} ms");
    if median > FSYNC_FAIL {
        report.fail("disk", found, REMEDY);
    } else if median > FSYNC_WARN {
        report.warn("disk", found, REMEDY);
    } else {
        report.ok("disk", found);
    }
}

/// Median time of a durable write of a page, milliseconds.
fn fsync(folder: &Path) -> eyre::Result<f64> {
    let mut file = tempfile::tempfile_in(folder).wrap_err_with(|| format!("cannot write in {}", folder.display()))?;
    let mut times = Vec::with_capacity(FSYNC_WRITES);
    for _ in 0..FSYNC_WRITES {
        let started = Instant::now();
        file.write_all(&[0x5a; 4_096])?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    times.sort();
    Ok(times[FSYNC_WRITES / 2].as_secs_f64() * 1e3)
}

/// The peer-to-peer port, and the peers behind theirs.
async fn ports(operator: &Operator, config: &NodeConfig, spec: Option<&ChainSpec>, report: &mut Report) {
    let Some(section) = &config.sequencer else {
        report.warn("ports", "the configuration has no `[sequencer]`".into(), "add it: without it the node only follows");
        return;
    };
    let runs = status::node(operator).await.is_ok_and(|node| node["role"] == "sequencer");
    let listens = if runs { connects(local(section.listen)).await } else { bindable(section.listen) };
    let found = format!("{} {}", section.listen, if runs { "accepts connections" } else { "is free" });
    if report.need("ports", listens, "choose another `sequencer.listen`, or stop what holds it").is_some() {
        report.ok("ports", format!("{found} (from outside, only your peers can tell)"));
    }
    let members = spec.map_or(0, |spec| spec.committee.members.len());
    let mut reached = 0;
    let others: Vec<_> = section.peers.iter().filter(|(_, address)| **address != section.listen).collect();
    for (_, address) in &others {
        reached += usize::from(connects(**address).await.is_ok());
    }
    let found = format!("{reached} of {} configured peers accept connections", others.len());
    const REMEDY: &str = "check the addresses in `[sequencer.peers]` and the firewall";
    if reached == 0 && members > 0 {
        report.fail("peers", found, REMEDY);
    } else if reached < others.len() {
        report.warn("peers", found, REMEDY);
    } else {
        report.ok("peers", found);
    }
}

/// Where an address that means every interface is reached from here.
fn local(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() { SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port()) } else { address }
}

fn bindable(address: SocketAddr) -> eyre::Result<()> {
    TcpListener::bind(address).map(drop).wrap_err_with(|| format!("cannot listen on {address}"))
}

async fn connects(address: SocketAddr) -> eyre::Result<()> {
    match tokio::time::timeout(CONNECT, tokio::net::TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error).wrap_err_with(|| format!("{address} does not accept connections")),
        Err(_) => bail!("{address} does not answer within {} s", CONNECT.as_secs()),
    }
}
