//! `cargo xtask snapshot`: a stopped sequencer's snapshot is restored on an empty folder, its past is pruned, changed copies of the snapshot are
//! refused, and a node on the restored folder is compared with a follower that has nothing but L1.

use crate::client::Client;
use crate::follow::{Follower, header, safe};
use crate::network::{Network, PATIENCE, wait_for};
use eyre::{OptionExt, WrapErr, ensure};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

/// Bytes changed one at a time, each in a copy of its own, with the checksum as it was and with the right one.
const CHANGES: usize = 8;
/// Blocks whose states are kept when the stopped node is pruned.
const KEPT: u64 = 20;
/// Bytes of the checksum at the end.
const CHECKSUM: usize = 32;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The binary under test.
    #[arg(long)]
    oceanid: PathBuf,
    /// Blocks the chain has before it is stopped.
    #[arg(long, default_value_t = 300)]
    blocks: u64,
    /// Which bytes are changed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(crate) async fn run(args: Args) -> eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let pace = ["--block-time", "20ms", "--heartbeat", "20ms", "--epoch-length", "60", "--da", "blob"];
    let network = Network::start(&args.oceanid, folder, &pace).await?;
    let sequencer = Client::new(network.text("/l2/http")?);
    wait_for("the chain to have its blocks posted", PATIENCE, async || Ok(safe(&sequencer).await? >= args.blocks)).await?;
    drop(network);

    let file = folder.join("snapshot");
    let stopped = folder.join("state").join("sequencer-0");
    let created = succeed(oceanid(&args, folder, &stopped, &["snapshot", "create"]).arg(&file))?;
    let block = created["block"].as_u64().filter(|block| *block >= args.blocks).ok_or_eyre("a snapshot of fewer blocks")?;
    println!("a snapshot of {block} blocks has {} bytes", std::fs::metadata(&file)?.len());
    let whole = succeed(&mut oceanid(&args, folder, &stopped, &["db", "verify"]))?;
    ensure!(whole["faults"].as_array().is_some_and(Vec::is_empty), "`db verify`: {whole}");

    prune(&args, folder, &stopped)?;

    refuse_changes(&args, folder, &file)?;

    let restored = folder.join("restored");
    std::fs::create_dir(&restored)?;
    let started = Instant::now();
    let again = succeed(oceanid(&args, folder, &restored, &["snapshot", "restore"]).arg(&file))?;
    ensure!(again == created, "restored {again}, created {created}");
    println!("restored and verified in {:.1} s", started.elapsed().as_secs_f64());

    // The network goes on, so that the restored node has something to follow.
    std::fs::remove_file(folder.join("network.json"))?;
    let network = Network::start(&args.oceanid, folder, &pace).await?;
    let (_one, restored) = Follower::start(&args.oceanid, folder, &network, &restored)?;
    let (_other, fresh) = Follower::start(&args.oceanid, folder, &network, &folder.join("fresh"))?;
    wait_for("the follower from L1 alone to catch up", PATIENCE, async || Ok(fresh.block_number().await? >= block)).await?;
    wait_for("the restored node to go on", PATIENCE, async || Ok(restored.block_number().await? > block)).await?;
    let (ours, theirs) = (header(&restored, block).await?, header(&fresh, block).await?);
    ensure!(ours == theirs, "block {block}: the restored node has {ours:?}, the follower {theirs:?}");
    let later = restored.block_number().await?;
    wait_for("both to have a later block", PATIENCE, async || Ok(fresh.block_number().await? >= later)).await?;
    ensure!(header(&restored, later).await? == header(&fresh, later).await?, "they differ at block {later}");
    println!("the restored node and a follower from L1 alone have state root {} at block {block}, and agree at {later}", ours.1);
    Ok(())
}

/// The past of a stopped node is cut as planned, and the rest is whole; the network goes on from it later.
fn prune(args: &Args, folder: &Path, stopped: &Path) -> eyre::Result<()> {
    let prune = |more: &[&str]| {
        let mut command = oceanid(args, folder, stopped, &["db", "prune"]);
        command.args(["--history", &KEPT.to_string()]).args(more);
        succeed(&mut command)
    };
    let (planned, pruned) = (prune(&["--dry-run"])?, prune(&[])?);
    let head = pruned["head"].as_u64().ok_or_eyre("`db prune` names no head")?;
    ensure!(planned["bytesAfter"].is_null() && pruned["bytesAfter"].is_array(), "planned {planned}, pruned {pruned}");
    ensure!(pruned["oldestStateAfter"] == head - KEPT && pruned["historyEntries"] == planned["historyEntries"], "{pruned}");
    let whole = succeed(&mut oceanid(args, folder, stopped, &["db", "verify"]))?;
    ensure!(whole["faults"].as_array().is_some_and(Vec::is_empty), "`db verify` after `db prune`: {whole}");
    ensure!(whole["history"] == KEPT, "the states of {} blocks are left, {KEPT} were to be kept", whole["history"]);
    println!("pruned to the states of {KEPT} blocks: {pruned}");
    Ok(())
}

/// Every copy with a changed byte is refused: by its checksum, and with the checksum made to fit by what execution and signatures say.
fn refuse_changes(args: &Args, folder: &Path, file: &Path) -> eyre::Result<()> {
    let whole = std::fs::read(file)?;
    let content = whole.len() - CHECKSUM;
    let mut random = StdRng::seed_from_u64(args.seed);
    for change in 0..CHANGES {
        let place = random.random_range(0..content);
        for fitting in [false, true] {
            let mut changed = whole.clone();
            changed[place] ^= 1 << random.random_range(0..8);
            if fitting {
                let sum = Sha256::digest(&changed[..content]);
                changed[content..].copy_from_slice(&sum);
            }
            let copy = folder.join("changed");
            std::fs::write(&copy, changed)?;
            let target = folder.join(format!("refused-{change}-{fitting}"));
            std::fs::create_dir(&target)?;
            let output = oceanid(args, folder, &target, &["snapshot", "restore"]).arg(&copy).output()?;
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            ensure!(!output.status.success() && said.contains("is refused"), "byte {place} changed, checksum {fitting}: {said}");
            ensure!(!target.join("chain").exists(), "a refused snapshot left a chain behind");
            if fitting {
                println!("byte {place}: {}", said.split("is refused: ").nth(1).unwrap_or_default());
            }
        }
    }
    println!("{CHANGES} copies with one changed byte are refused, with their checksum and with one that fits");
    Ok(())
}

/// A command about the chain in `data_dir`.
fn oceanid(args: &Args, folder: &Path, data_dir: &Path, command: &[&str]) -> Command {
    let mut oceanid = Command::new(&args.oceanid);
    oceanid.args(command).arg("--json").arg("--spec").arg(folder.join("state").join("spec.json")).arg("--data-dir").arg(data_dir);
    oceanid
}

fn succeed(command: &mut Command) -> eyre::Result<Value> {
    let Output { status, stdout, stderr } = command.output().wrap_err("cannot run the binary")?;
    ensure!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    Ok(serde_json::from_slice(&stdout)?)
}
