//! `cargo xtask follow`: a follower that starts on an empty folder, long after the chain did, with nothing but the specification and L1.

use crate::client::Client;
use crate::network::{Network, PATIENCE, wait_for};
use eyre::{OptionExt, WrapErr, ensure};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The binary under test.
    #[arg(long)]
    oceanid: PathBuf,
    /// Blocks the chain has before the follower starts.
    #[arg(long, default_value_t = 1_000)]
    blocks: u64,
}

/// A follower's process, ended with the chore.
pub(crate) struct Follower(Child);

impl Follower {
    /// Starts one that has nothing but the specification and L1, and waits until it serves.
    pub(crate) fn start(oceanid: &Path, folder: &Path, network: &Network, data_dir: &Path) -> eyre::Result<(Self, Client)> {
        let mut child = Command::new(oceanid)
            .args(["node", "--follow", "--http", "127.0.0.1:0", "--spec"])
            .arg(folder.join("state").join("spec.json"))
            .args(["--l1", network.text("/l1/http")?, "--l1-beacon", network.text("/l1/beacon")?, "--data-dir"])
            .arg(data_dir)
            .stdout(Stdio::piped())
            .spawn()
            .wrap_err("cannot run the follower")?;
        let stdout = child.stdout.take().ok_or_eyre("the follower has no stdout")?;
        let follower = Self(child);
        let mut line = String::new();
        tokio::task::block_in_place(|| BufReader::new(stdout).read_line(&mut line))?;
        let announced: Value = serde_json::from_str(&line).wrap_err_with(|| format!("the follower said: {line}"))?;
        Ok((follower, Client::new(announced["http"].as_str().ok_or_eyre("`http` in what the follower said")?)))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) async fn run(args: Args) -> eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let pace = ["--block-time", "20ms", "--heartbeat", "20ms", "--epoch-length", "200", "--da", "blob"];
    let network = Network::start(&args.oceanid, folder.path(), &pace).await?;
    let sequencer = Client::new(network.text("/l2/http")?);

    let started = Instant::now();
    let patience = PATIENCE + Duration::from_millis(100 * args.blocks);
    wait_for("the chain to have its blocks posted", patience, async || Ok(safe(&sequencer).await? >= args.blocks)).await?;
    println!("{} blocks made and posted in {:.1} s", args.blocks, started.elapsed().as_secs_f64());

    let started = Instant::now();
    let (_follower, follower) = Follower::start(&args.oceanid, folder.path(), &network, &folder.path().join("fresh"))?;

    wait_for("the follower to catch up", patience, async || Ok(follower.block_number().await? >= args.blocks)).await?;
    let seconds = started.elapsed().as_secs_f64();
    for number in [1, args.blocks / 2, args.blocks] {
        let (ours, theirs) = (header(&sequencer, number).await?, header(&follower, number).await?);
        ensure!(ours == theirs, "block {number}: the sequencer has {ours:?}, the follower {theirs:?}");
    }
    println!("the follower reached the same state root at block {} in {seconds:.1} s, from L1 alone", args.blocks);
    Ok(())
}

pub(crate) async fn safe(client: &Client) -> eyre::Result<u64> {
    let block = client.call("eth_getBlockByNumber", json!(["safe", false])).await?;
    let number = block["number"].as_str().unwrap_or("0x0");
    Ok(u64::from_str_radix(number.trim_start_matches("0x"), 16)?)
}

/// Hash and state root of a block.
pub(crate) async fn header(client: &Client, number: u64) -> eyre::Result<(String, String)> {
    let block = client.call("eth_getBlockByNumber", json!([format!("{number:#x}"), false])).await?;
    let field = |name: &str| block[name].as_str().map(str::to_owned).ok_or_else(|| eyre::eyre!("block {number} has no {name}"));
    Ok((field("hash")?, field("stateRoot")?))
}
