//! `bench rpc`: the door from outside, beside anvil. Signed transactions until their receipts are seen, calls and logs a second, and the memory of
//! the whole network under a load that goes on.
//!
//! Both sides run all the time and are measured in turns, with the same transactions (but for the chain id) from the same accounts, the same
//! client, the same gas limit and the same time between blocks. Ours are four sequencers with BFT consensus, their L1 and a follower on
//! one machine; anvil is one process without consensus.

use crate::bench::node::resident;
use crate::client::{Client, signed, signed_transfer};
use crate::network::{Network, PATIENCE, wait_for};
use alloy_primitives::{Address, B256, Bytes, U256, b256, hex, keccak256};
use alloy_signer_local::PrivateKeySigner;
use eyre::{OptionExt, WrapErr, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// The first development account of both sides: Layer 2's tokens, anvil's ether.
const FUNDER: B256 = b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
/// Senders. Few enough that each has a queue, many enough that blocks are no single queue.
const SENDERS: usize = 100;
/// What each gets, wei.
const FUNDS: u128 = 1_000_000_000_000_000_000;
/// Gas limit of blocks on both sides: that of `oceanid dev`.
const GAS_LIMIT: &str = "200000000";
/// Turns of each measurement; the figure is that of the median turn.
const TURNS: usize = 3;
/// Transactions of a turn.
const TRANSACTIONS: usize = 4_000;
/// Requests under way at once.
const CONNECTIONS: usize = 64;
/// Transactions in a batch.
const BATCH: usize = 100;
/// How long a turn of reads takes.
const READING: Duration = Duration::from_secs(4);
/// Time between two looks for a new block.
const LOOK: Duration = Duration::from_millis(10);
/// Longest wait for the last receipt of a turn.
const STALL: Duration = Duration::from_secs(120);
/// Calls of the emitter that fill the chain with logs, and logs of each.
const EMISSIONS: u64 = 100;
const LOGS: u64 = 100;
/// Gas of such a call.
const EMISSION_GAS: u64 = 300_000;
/// Single transactions and calls a second under which memory is watched.
const LOAD: u32 = 100;
/// Looks at memory in that time, beside the first.
const LOOKS: u32 = 10;
/// Emits as many logs as its input (32 bytes) says, each with the topic 0xaa, the caller, and a number as data.
const EMITTER: [u8; 43] = hex!("60228060093d393df36000355b8015601c5760019003806000523360aa60206000a26003565b60206000f3");
/// Target of the ratio for single transactions.
const TARGET: f64 = 2.0;

pub(crate) async fn run(oceanid: &Path, anvil: &Path, minutes: u64) -> eyre::Result<()> {
    let folder = tempfile::tempdir()?;
    let pace = ["--block-time", "1s", "--heartbeat", "1s"];
    let network = Network::start(oceanid, folder.path(), &pace).await?;
    let peer = Anvil::start(anvil).await?;
    let mut ours = Side::new("Oceanid, 4 sequencers", network.text("/l2/http")?).await?;
    let mut theirs = Side::new("anvil --block-time 1", &peer.url).await?;
    transactions(&mut ours, &mut theirs).await?;
    reads(&ours, &theirs).await?;
    drop(peer);
    memory(&network, &mut ours, minutes).await
}

async fn transactions(ours: &mut Side, theirs: &mut Side) -> eyre::Result<()> {
    println!(
        "\nSigned transfers until their receipts are seen, {TRANSACTIONS} a turn from {SENDERS} accounts, {CONNECTIONS} requests at once, a block a second on both sides; median of {TURNS} turns.\n"
    );
    println!("| requests | side | tx/s | accepted: p50, ms | p99, ms | receipt seen: p50, ms | p99, ms | to anvil |");
    println!("|---|---|---|---|---|---|---|---|");
    for (requests, size) in [("single".to_owned(), 1), (format!("batches of {BATCH}"), BATCH)] {
        let mut turns = [Vec::new(), Vec::new()];
        for _ in 0..TURNS {
            for (side, turns) in [&mut *ours, &mut *theirs].into_iter().zip(&mut turns) {
                turns.push(side.send(size).await.wrap_err_with(|| format!("{}, {requests}", side.name))?);
            }
        }
        let [mine, other] = turns.map(Turn::median);
        for (side, turn, ratio) in [(&*ours, &mine, mine.rate / other.rate), (&*theirs, &other, 1.0)] {
            println!(
                "| {requests} | {} | {:.0} | {:.1} | {:.1} | {:.0} | {:.0} | {ratio:.2} |",
                side.name, turn.rate, turn.accepted[0], turn.accepted[1], turn.seen[0], turn.seen[1]
            );
        }
        if size == 1 {
            let ratio = mine.rate / other.rate;
            println!("| target | | | | | | | {TARGET:.2}: {} |", if ratio >= TARGET { "met" } else { "not met" });
        }
    }
    Ok(())
}

async fn reads(ours: &Side, theirs: &Side) -> eyre::Result<()> {
    let all = EMISSIONS * LOGS;
    println!("\nReads, {} requests at once, {} s a turn, median of {TURNS} turns.\n", CONNECTIONS / 4, READING.as_secs());
    println!("| request | side | a second | p50, ms | p99, ms | to anvil |\n|---|---|---|---|---|---|");
    let many = format!("`eth_getLogs`, all {all} logs");
    for (name, what) in [
        ("`eth_call`, 10 logs emitted", Read::Call),
        ("`eth_getLogs`, one block", Read::OneBlock),
        (many.as_str(), Read::AllLogs),
        ("`eth_getLogs`, all blocks, no match", Read::NoMatch),
    ] {
        let mut turns = [Vec::new(), Vec::new()];
        for _ in 0..TURNS {
            for (side, turns) in [ours, theirs].into_iter().zip(&mut turns) {
                turns.push(side.read(what).await.wrap_err_with(|| format!("{}, {name}", side.name))?);
            }
        }
        let [mine, other] = turns.map(Turn::median);
        for (side, turn, ratio) in [(ours, &mine, mine.rate / other.rate), (theirs, &other, 1.0)] {
            let [middle, late] = turn.accepted;
            println!("| {name} | {} | {:.0} | {middle:.1} | {late:.1} | {ratio:.2} |", side.name, turn.rate);
        }
    }
    Ok(())
}

async fn memory(network: &Network, ours: &mut Side, minutes: u64) -> eyre::Result<()> {
    if minutes == 0 {
        return Ok(());
    }
    println!("\nMemory of that network in one process (six nodes) under {LOAD} single transfers and {LOAD} calls a second.\n");
    println!("| minutes | blocks | transactions | resident, MiB | growth, MiB | to the first look |\n|---|---|---|---|---|---|");
    let begun = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicUsize::new(0));
    let total = minutes as usize * 60 * LOAD as usize;
    let load = tokio::spawn(ours.clone().load(total, Arc::clone(&stop), Arc::clone(&sent)));
    let (mut first, mut before) = (None, 0);
    for look in 0..=LOOKS {
        let due = Duration::from_secs(minutes * 60) * look / LOOKS;
        tokio::time::sleep_until((begun + due).into()).await;
        if load.is_finished() && look < LOOKS {
            break;
        }
        let resident = resident(network.pid())?;
        let base = *first.get_or_insert(resident);
        let growth = if look == 0 { 0 } else { (resident as i64 - before as i64) >> 20 };
        println!(
            "| {:.1} | {} | {} | {} | {growth} | {:.2} |",
            begun.elapsed().as_secs_f64() / 60.0,
            ours.client.block_number().await?,
            sent.load(Ordering::Relaxed),
            resident >> 20,
            resident as f64 / base as f64
        );
        before = resident;
    }
    stop.store(true, Ordering::Relaxed);
    load.await?
}

/// anvil with a block a second, ended when dropped.
struct Anvil {
    child: Child,
    url: String,
}

impl Anvil {
    async fn start(program: &Path) -> eyre::Result<Self> {
        let port = oceanid_devnet::ports::free_addresses(Ipv4Addr::LOCALHOST.into(), 1)?[0].port();
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--block-time", "1", "--gas-limit", GAS_LIMIT, "--silent"])
            .stdin(Stdio::null())
            .spawn()
            .wrap_err_with(|| format!("cannot run {}: `npm ci` in contracts/ installs it", program.display()))?;
        let anvil = Self { child, url: format!("http://127.0.0.1:{port}") };
        let client = Client::new(&anvil.url);
        wait_for("anvil", PATIENCE, async || client.block_number().await.map(|_| true)).await?;
        Ok(anvil)
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // Interrupted, not killed: the npm package's program is a wrapper that hands the signal on.
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT);
        let _ = self.child.wait();
    }
}

/// What one turn showed.
struct Turn {
    /// A second.
    rate: f64,
    /// Milliseconds until the answer: half of the requests, 99 of a hundred.
    accepted: [f64; 2],
    /// The same until the receipt was seen.
    seen: [f64; 2],
}

impl Turn {
    /// The turn with the median rate.
    fn median(mut turns: Vec<Self>) -> Self {
        turns.sort_by(|one, other| one.rate.total_cmp(&other.rate));
        turns.swap_remove(turns.len() / 2)
    }
}

/// Median and 99th percentile, milliseconds.
fn percentiles(times: impl Iterator<Item = Duration>) -> [f64; 2] {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    let at = |part: usize| times.get((times.len() * part / 100).min(times.len().saturating_sub(1)));
    [50, 99].map(|part| at(part).map_or(0.0, Duration::as_secs_f64) * 1e3)
}

#[derive(Clone, Copy)]
enum Read {
    Call,
    OneBlock,
    AllLogs,
    NoMatch,
}

/// One side of the comparison.
#[derive(Clone)]
struct Side {
    name: &'static str,
    client: Client,
    http: reqwest::Client,
    chain_id: u64,
    signers: Vec<PrivateKeySigner>,
    /// Next nonce of every signer; they send in turn.
    nonce: u64,
    emitter: Address,
    /// The last block with logs.
    logs_at: u64,
}

impl Side {
    /// Funds the accounts and fills the chain with logs.
    async fn new(name: &'static str, url: &str) -> eyre::Result<Self> {
        let client = Client::new(url);
        let chain_id = client.chain_id().await?;
        let funder = PrivateKeySigner::from_bytes(&FUNDER)?;
        let signer = |index: usize| PrivateKeySigner::from_bytes(&keccak256(format!("bench rpc {index}")));
        let signers = (0..SENDERS).map(signer).collect::<Result<Vec<_>, _>>()?;
        let mut nonce = client.nonce(funder.address()).await?;
        let emitter = funder.address().create(nonce);
        let mut raw = vec![signed(&funder, chain_id, nonce, None, U256::ZERO, Bytes::from(EMITTER), EMISSION_GAS)?];
        for signer in &signers {
            nonce += 1;
            raw.push(signed(&funder, chain_id, nonce, Some(signer.address()), U256::from(FUNDS), Bytes::new(), 21_000)?);
        }
        for _ in 0..EMISSIONS {
            nonce += 1;
            let count = Bytes::from(U256::from(LOGS).to_be_bytes_vec());
            raw.push(signed(&funder, chain_id, nonce, Some(emitter), U256::ZERO, count, EMISSION_GAS)?);
        }
        for raw in &raw {
            client.send_raw(raw).await?;
        }
        let last = keccak256(raw.last().ok_or_eyre("no transaction")?);
        let receipt = async || client.call("eth_getTransactionReceipt", json!([last])).await;
        wait_for("the funds", PATIENCE, async || Ok(!receipt().await?.is_null())).await?;
        let block = receipt().await?["blockNumber"].as_str().unwrap_or_default().to_owned();
        let logs_at = u64::from_str_radix(block.trim_start_matches("0x"), 16)?;
        let http = reqwest::Client::builder().timeout(STALL).pool_max_idle_per_host(CONNECTIONS).build()?;
        Ok(Self { name, client, http, chain_id, signers, nonce: 0, emitter, logs_at })
    }

    /// The next `count` transfers, a sender after the other; whole rounds of senders.
    fn transfers(&mut self, count: usize) -> eyre::Result<Vec<Bytes>> {
        let to = Address::repeat_byte(0x42);
        let mut raw = Vec::with_capacity(count);
        while raw.len() < count {
            for signer in &self.signers {
                raw.push(signed_transfer(signer, self.chain_id, self.nonce, to)?);
            }
            self.nonce += 1;
        }
        Ok(raw)
    }

    /// Sends a turn's transfers, `size` a request, and waits until all receipts were seen.
    async fn send(&mut self, size: usize) -> eyre::Result<Turn> {
        let raw = self.transfers(TRANSACTIONS)?;
        let hashes: Vec<B256> = raw.iter().map(keccak256).collect();
        let one =
            |(id, raw): (usize, &Bytes)| json!({"jsonrpc": "2.0", "id": id, "method": "eth_sendRawTransaction", "params": [raw]});
        let mut bodies = Vec::with_capacity(raw.len() / size);
        for part in raw.chunks(size) {
            let requests: Vec<Value> = part.iter().enumerate().map(one).collect();
            bodies.push(serde_json::to_vec(&if size == 1 { requests[0].clone() } else { Value::Array(requests) })?);
        }

        let begun = Instant::now();
        let watching = tokio::spawn(watch(self.client.clone(), self.client.block_number().await?, hashes.clone()));
        let requests = self.requests(bodies).await?;
        let seen = watching.await??;
        let took = seen.values().max().ok_or_eyre("no transaction")?.duration_since(begun);
        let until_seen = hashes.iter().enumerate().map(|(index, hash)| seen[hash].duration_since(requests[index / size].0));
        Ok(Turn {
            rate: hashes.len() as f64 / took.as_secs_f64(),
            accepted: percentiles(requests.iter().map(|(_, took)| *took)),
            seen: percentiles(until_seen),
        })
    }

    /// Posts the bodies, [`CONNECTIONS`] at a time; when each was sent, and how long its answer took.
    async fn requests(&self, bodies: Vec<Vec<u8>>) -> eyre::Result<Vec<(Instant, Duration)>> {
        let (bodies, next) = (Arc::new(bodies), Arc::new(AtomicUsize::new(0)));
        let mut workers = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (bodies, next, side) = (Arc::clone(&bodies), Arc::clone(&next), self.clone());
            workers.spawn(async move {
                let mut times = Vec::new();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(body) = bodies.get(index) else { return eyre::Ok(times) };
                    let sent = Instant::now();
                    side.post(body.clone()).await?;
                    times.push((index, sent, sent.elapsed()));
                }
            });
        }
        let mut times = vec![(Instant::now(), Duration::ZERO); bodies.len()];
        while let Some(worker) = workers.join_next().await {
            for (index, sent, took) in worker?? {
                times[index] = (sent, took);
            }
        }
        Ok(times)
    }

    /// Posts one body. The answer is read and looked through, not parsed: the client shares the machine with both sides.
    async fn post(&self, body: Vec<u8>) -> eyre::Result<()> {
        let request = self.http.post(self.client.url()).header("content-type", "application/json").body(body);
        let answer = request.send().await?.text().await?;
        ensure!(!answer.contains("\"error\""), "refused: {}", answer.chars().take(500).collect::<String>());
        Ok(())
    }

    /// A turn of one kind of read.
    async fn read(&self, what: Read) -> eyre::Result<Turn> {
        let block = |number: u64| format!("{number:#x}");
        let (method, params) = match what {
            Read::Call => {
                let input = Bytes::from(U256::from(10).to_be_bytes_vec());
                ("eth_call", json!([{"to": self.emitter, "data": input}, "latest"]))
            }
            Read::OneBlock => ("eth_getLogs", json!([{"fromBlock": block(self.logs_at), "toBlock": block(self.logs_at)}])),
            Read::AllLogs => {
                ("eth_getLogs", json!([{"address": self.emitter, "fromBlock": "0x0", "toBlock": block(self.logs_at)}]))
            }
            Read::NoMatch => {
                ("eth_getLogs", json!([{"topics": [B256::repeat_byte(7)], "fromBlock": "0x0", "toBlock": block(self.logs_at)}]))
            }
        };
        let body = serde_json::to_vec(&json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))?;
        let begun = Instant::now();
        let mut workers = JoinSet::new();
        for _ in 0..CONNECTIONS / 4 {
            let (body, side) = (body.clone(), self.clone());
            workers.spawn(async move {
                let mut times = Vec::new();
                while begun.elapsed() < READING {
                    let sent = Instant::now();
                    side.post(body.clone()).await?;
                    times.push(sent.elapsed());
                }
                eyre::Ok(times)
            });
        }
        let mut times = Vec::new();
        while let Some(worker) = workers.join_next().await {
            times.extend(worker??);
        }
        let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
        Ok(Turn { rate, accepted: percentiles(times.into_iter()), seen: [0.0; 2] })
    }

    /// Sends `total` transfers at an even pace, each with a call beside it, until told to stop. Held up, by the machine or by the node, it sends
    /// later, not more at once.
    async fn load(mut self, total: usize, stop: Arc<AtomicBool>, sent: Arc<AtomicUsize>) -> eyre::Result<()> {
        let mut pace = tokio::time::interval(Duration::from_secs(1) / LOAD);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let call = json!([{"to": self.emitter, "data": Bytes::from(U256::from(10).to_be_bytes_vec())}, "latest"]);
        let mut under_way = JoinSet::new();
        while sent.load(Ordering::Relaxed) < total && !stop.load(Ordering::Relaxed) {
            for raw in self.transfers(SENDERS)? {
                pace.tick().await;
                let (client, call) = (self.client.clone(), call.clone());
                under_way.spawn(async move { client.send_raw(&raw).await.and(client.call("eth_call", call).await) });
                sent.fetch_add(1, Ordering::Relaxed);
                while under_way.len() >= CONNECTIONS {
                    under_way.join_next().await.ok_or_eyre("no request is under way")???;
                }
                while let Some(done) = under_way.try_join_next() {
                    done??;
                }
            }
        }
        while let Some(done) = under_way.join_next().await {
            done??;
        }
        Ok(())
    }
}

/// When the receipt of each of `hashes` was seen, in blocks after `newest`.
async fn watch(client: Client, mut newest: u64, hashes: Vec<B256>) -> eyre::Result<HashMap<B256, Instant>> {
    let mut missing: std::collections::HashSet<_> = hashes.into_iter().collect();
    let mut seen = HashMap::with_capacity(missing.len());
    let begun = Instant::now();
    while !missing.is_empty() {
        ensure!(begun.elapsed() < STALL, "{} transactions are in no block after {STALL:?}", missing.len());
        let head = client.block_number().await?;
        while newest < head {
            newest += 1;
            let receipts = client.call("eth_getBlockReceipts", json!([format!("{newest:#x}")])).await?;
            let now = Instant::now();
            for receipt in receipts.as_array().ok_or_eyre("eth_getBlockReceipts answers with a list")? {
                let hash: B256 = receipt["transactionHash"].as_str().unwrap_or_default().parse()?;
                if missing.remove(&hash) {
                    seen.insert(hash, now);
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(seen)
}
