//! `bench node`: `oceanid dev` from outside. How long until it is ready, and whether its memory stays bounded as the chain grows.

use crate::client::{Client, signed_transfer};
use crate::network::Network;
use alloy_primitives::Address;
use alloy_signer_local::PrivateKeySigner;
use eyre::{OptionExt, ensure};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// Starts measured.
const STARTS: usize = 5;
/// What a start may take on an idle machine.
const START_TARGET: Duration = Duration::from_secs(5);
/// Longest wait for the next block.
const STALL: Duration = Duration::from_secs(60);
/// Blocks after which memory is looked at, beside the last one.
const MARKS: [u64; 7] = [500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000];
/// The block that memory is compared with: caches are warm, queues have been used.
const BASE: u64 = 1_000;
/// Time between two transfers of the load.
const LOAD_EVERY: Duration = Duration::from_millis(50);

pub(crate) async fn run(oceanid: &Path, blocks: u64) -> eyre::Result<()> {
    start_up(oceanid).await?;
    memory(oceanid, blocks).await
}

async fn start_up(oceanid: &Path) -> eyre::Result<()> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let folder = tempfile::tempdir()?;
        let begun = Instant::now();
        let network = Network::start(oceanid, folder.path(), &[]).await?;
        times.push(begun.elapsed());
        drop(network);
    }
    times.sort_unstable();
    let middle = times[STARTS / 2];
    println!(
        "\nStart of `oceanid dev` (embedded L1, contracts deployed, 4 sequencers, follower) until ready, {STARTS} starts.\n"
    );
    println!("| fastest, s | median, s | slowest, s | target, s | median / target |\n|---|---|---|---|---|");
    println!(
        "| {:.2} | {:.2} | {:.2} | {} | {:.2} |",
        times[0].as_secs_f64(),
        middle.as_secs_f64(),
        times[STARTS - 1].as_secs_f64(),
        START_TARGET.as_secs(),
        middle.as_secs_f64() / START_TARGET.as_secs_f64()
    );
    Ok(())
}

async fn memory(oceanid: &Path, blocks: u64) -> eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let fast = ["--block-time", "20ms", "--heartbeat", "20ms", "--da", "calldata"];
    let network = Network::start(oceanid, folder.path(), &fast).await?;
    let config = &network.config;
    let url = |place: &str| {
        let url = config.pointer(place).and_then(Value::as_str);
        url.ok_or_else(|| eyre::eyre!("{place} in the network file"))
    };
    let (node, follower) = (Client::new(url("/l2/http")?), Client::new(url("/follower/http")?));
    let signer: PrivateKeySigner = config["accounts"][0]["privateKey"].as_str().ok_or_eyre("accounts[0].privateKey")?.parse()?;
    let load = tokio::spawn(load(node.clone(), signer));

    println!(
        "\nMemory of that network in one process (six nodes), blocks as fast as they become final, a transfer every {LOAD_EVERY:?}.\n"
    );
    println!("| block | seconds | follower at | resident, MiB | to block {BASE} |\n|---|---|---|---|---|");
    let begun = Instant::now();
    let mut base = None;
    for mark in MARKS.into_iter().filter(|mark| *mark < blocks).chain([blocks]) {
        let number = reach(&node, mark).await?;
        let resident = resident(network.pid())?;
        if mark >= BASE {
            base.get_or_insert(resident);
        }
        println!(
            "| {number} | {} | {} | {} | {} |",
            begun.elapsed().as_secs(),
            follower.block_number().await?,
            resident >> 20,
            base.map_or_else(String::new, |base| format!("{:.2}", resident as f64 / base as f64)),
        );
    }
    load.abort();
    Ok(())
}

/// Waits until the node's newest block is at least `target`.
async fn reach(node: &Client, target: u64) -> eyre::Result<u64> {
    let (mut newest, mut since) = (0, Instant::now());
    loop {
        let number = node.block_number().await?;
        if number >= target {
            return Ok(number);
        }
        if number > newest {
            (newest, since) = (number, Instant::now());
        }
        ensure!(since.elapsed() < STALL, "no block after {newest} in {STALL:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Resident memory of a process, bytes.
pub(super) fn resident(process: u32) -> eyre::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or_eyre("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

/// Sends transfers until aborted; a refused one is left out.
async fn load(node: Client, signer: PrivateKeySigner) -> eyre::Result<()> {
    let chain_id = node.chain_id().await?;
    loop {
        if let Ok(nonce) = node.nonce(signer.address()).await {
            let transfer = signed_transfer(&signer, chain_id, nonce, Address::repeat_byte(0x42))?;
            let _ = node.send_raw(&transfer).await; // the pool may be full for a moment
        }
        tokio::time::sleep(LOAD_EVERY).await;
    }
}
