//! Hours of a whole chain: consensus over a simulated network in simulated time; real ledgers, pools, watchers, batchers and a follower; and an
//! L1 that nobody here wrote (anvil), whose clock is the simulated one. Under random load, L1 takes blocks back, endpoints answer garbage and
//! nodes crash.
//!
//! Simulated time stands still while the nodes' own L1 code catches up, over real HTTP, with each L1 block. What happens and when is
//! determined by the seed; which of two posters is first is not, and L1's prices depend on it, so two runs do not have equal hashes.

use std::{
    collections::BTreeSet,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use alloy_consensus::{SignableTransaction as _, Transaction as _, TxEip1559};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, hex};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::SolCall;
use axum::{Router, extract::State, http::StatusCode, routing::post};
use commonware_runtime::{Runner as _, deterministic};
use oceanid_chain::{Ledger, LedgerConfig};
use oceanid_contracts::l1::{OceanidToken, Portal};
use oceanid_contracts::l2::L2ToL1MessagePasser;
use oceanid_derive::{Follower, FollowerConfig, ledger_config};
use oceanid_devnet::accounts::dev_signers;
use oceanid_devnet::network::{DevOptions, DevSequencer, deploy_dev};
use oceanid_pool::Origin;
use oceanid_primitives::{ChainSpec, DaMode, HeaderExtension, L1View, predeploys::MESSAGE_PASSER};
use oceanid_sequencer::Certificate;
use oceanid_settlement::{
    BatchReader, Batcher, BatcherConfig, DaPolicy, L1Account, L1Certificate, L1Client, L1Watcher, PosterConfig, Pricing, Task,
    WatcherConfig, anchor,
};
use oceanid_stf::StateReader as _;
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{
    ledger::RealChain,
    sim::{Disk, PrintOnPanic, Setup, Sim, keys},
};

/// Variable with the simulated hours.
const HOURS: &str = "OCEANID_SOAK_HOURS";
/// Variable with the seed.
const SEED: &str = "OCEANID_SOAK_SEED";
/// Simulated hours of the ordinary test.
const DEFAULT_HOURS: f64 = 0.15;
const DEFAULT_SEED: u64 = 24;
const NODES: usize = 4;
/// Nodes that post batches, at the same time.
const POSTERS: usize = 2;
/// Time between two L1 blocks.
const SLOT: Duration = Duration::from_secs(12);
const SLOTS_AN_HOUR: u64 = 3_600 / SLOT.as_secs();
/// Bursts of transactions between two L1 blocks.
const BURSTS: u32 = 3;
/// L1 blocks under the tip at which an origin counts as deep; L1 takes back at most as many.
const DEPTH: u64 = 4;
/// Slots between two looks at everything.
const CHECK_EVERY: u64 = 10;
/// Slots without a block that want a reason.
const STALL: u64 = 4;
/// Slots of fair weather in the end, after which everybody agrees.
const FAIR: u64 = 12;
/// Pause between two looks at L1, real time.
const POLL: Duration = Duration::from_millis(40);
/// Longest real time for the nodes to catch up with L1.
const PATIENCE: Duration = Duration::from_secs(60);
/// Real time that posters get to send a batch into an L1 block.
const POSTING: Duration = Duration::from_millis(100);
/// Bytes by which the process may grow after the first quarter of a run of hours.
const MAX_GROWTH: u64 = 300 << 20;
/// A lingering transaction is replaced after this, real time.
const REPLACE_AFTER: Duration = Duration::from_secs(2);

/// Init code of a contract that counts its calls in slot 0 and logs the count.
const COUNTER: [u8; 25] = hex!("705f54600101805f555f52602a60205fa1005f526011600ff3");

/// An anvil that makes a block when told to.
struct Anvil {
    child: Child,
    url: String,
    http: reqwest::Client,
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // npm's launcher passes SIGTERM on to the program it started; SIGKILL would leave that running.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

impl Anvil {
    /// The one that `OCEANID_ANVIL` names. Without it there is nothing to test with, which is an error where `OCEANID_REQUIRE_TOOLS` is set.
    async fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("OCEANID_ANVIL") else {
            assert!(std::env::var_os("OCEANID_REQUIRE_TOOLS").is_none(), "OCEANID_ANVIL does not name anvil");
            return None;
        };
        let port = oceanid_devnet::ports::free_addresses(std::net::Ipv4Addr::LOCALHOST.into(), 1).expect("a port")[0].port();
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--hardfork", "prague", "--silent"])
            .stdin(Stdio::null())
            .spawn()
            .expect("OCEANID_ANVIL names a program");
        let anvil = Self { child, url: format!("http://127.0.0.1:{port}"), http: reqwest::Client::new() };
        let began = Instant::now();
        while anvil.try_ask("eth_chainId", &json!([])).await.is_none() {
            assert!(began.elapsed() < PATIENCE, "anvil does not answer at {}", anvil.url);
            tokio::time::sleep(POLL).await;
        }
        Some(anvil)
    }

    async fn try_ask(&self, method: &str, params: &Value) -> Option<Value> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.http.post(&self.url).json(&request).send().await.ok()?.json().await.ok()
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        let mut answer = self.try_ask(method, &params).await.expect("anvil answers");
        assert!(answer.get("error").is_none(), "{method}({params}): {answer}");
        answer["result"].take()
    }

    /// Number, hash and time of the newest block.
    async fn head(&self) -> (u64, B256, u64) {
        let block = self.ask("eth_getBlockByNumber", json!(["latest", false])).await;
        (number(&block["number"]), block["hash"].as_str().expect("a hash").parse().expect("a hash"), number(&block["timestamp"]))
    }

    async fn mine(&self, timestamp: u64) {
        self.ask("evm_setNextBlockTimestamp", json!([timestamp])).await;
        self.ask("evm_mine", json!([])).await;
    }

    /// Takes back the newest blocks and puts as many others in their place.
    async fn reorganise(&self, depth: u64) {
        self.ask("anvil_rollback", json!([depth])).await;
        for _ in 0..depth {
            let (_, _, parent) = self.head().await;
            self.mine(parent + SLOT.as_secs() - 1).await;
        }
    }

    /// A view function at a block.
    async fn view<C: SolCall>(&self, to: Address, call: C, block: u64) -> C::Return {
        let request = json!([{ "to": to, "data": Bytes::from(call.abi_encode()) }, format!("{block:#x}")]);
        let answer: Bytes = serde_json::from_value(self.ask("eth_call", request).await).expect("data");
        C::abi_decode_returns(&answer).expect("what the contract returns")
    }

    /// Sends a call from a development account; it is mined with the next block.
    async fn send(&self, from: &PrivateKeySigner, to: Address, input: Vec<u8>) {
        let chain_id = number(&self.ask("eth_chainId", json!([])).await);
        let nonce = number(&self.ask("eth_getTransactionCount", json!([from.address(), "latest"])).await);
        let raw = signed(from, chain_id, nonce, to.into(), U256::ZERO, input.into(), 1_000_000);
        self.ask("eth_sendRawTransaction", json!([raw])).await;
    }
}

fn number(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_default();
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or_else(|_| panic!("{value} is not a quantity"))
}

fn signed(from: &PrivateKeySigner, chain_id: u64, nonce: u64, to: TxKind, value: U256, input: Bytes, gas_limit: u64) -> Bytes {
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit,
        max_fee_per_gas: 100_000_000_000,
        max_priority_fee_per_gas: 1_000_000,
        to,
        value,
        input,
        ..TxEip1559::default()
    };
    let signature = from.sign_hash_sync(&transaction.signature_hash()).expect("signs");
    alloy_consensus::TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}

/// The road from one node to L1, on which garbage may come back.
struct Road {
    l1: String,
    http: reqwest::Client,
    /// Garbage comes while this is there.
    garbage: Mutex<Option<StdRng>>,
}

impl Road {
    /// Opens the road and says where it begins.
    async fn open(l1: &Anvil) -> (Arc<Self>, String) {
        let road = Arc::new(Self { l1: l1.url.clone(), http: l1.http.clone(), garbage: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new().route("/", post(Self::pass)).with_state(road.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (road, url)
    }

    /// Garbage, not lies: an endpoint that is believed and says something plausible and false is another test's.
    async fn pass(State(road): State<Arc<Self>>, request: String) -> (StatusCode, String) {
        let dice = road.garbage.lock().as_mut().map(|random| (random.random_range(0..8), random.random_range(0..200u32)));
        let truth = async {
            let answer = road.http.post(&road.l1).header("content-type", "application/json").body(request).send().await;
            answer.expect("anvil answers").text().await.expect("anvil answers")
        };
        match dice {
            None | Some((0, _)) => (StatusCode::OK, truth.await),
            Some((1, _)) => (StatusCode::BAD_GATEWAY, "<html>Bad Gateway</html>".into()),
            Some((2, cut)) => {
                let mut answer = truth.await;
                answer.truncate(cut as usize);
                (StatusCode::OK, answer)
            }
            Some((3, _)) => (StatusCode::OK, r#"{"jsonrpc":"2.0","id":0,"result":null}"#.into()),
            Some((4, _)) => (StatusCode::OK, r#"{"jsonrpc":"2.0","id":0,"result":{"number":{"deep":[[[]]]}}}"#.into()),
            Some((5, _)) => {
                (StatusCode::OK, r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32000,"message":"\u0000 busy"}}"#.into())
            }
            Some((6, wait)) => {
                tokio::time::sleep(Duration::from_millis(wait.into())).await;
                (StatusCode::OK, truth.await)
            }
            Some(_) => (StatusCode::TOO_MANY_REQUESTS, String::new()),
        }
    }
}

/// A node's connection to L1 with what works on it.
struct Link {
    road: Arc<Road>,
    watcher: L1Watcher,
    /// Of a sequencer.
    batcher: Option<Batcher>,
    _tasks: Vec<Task>,
}

/// As `oceanid-node` wires it.
fn l1_certificate(stored: &[u8]) -> Result<L1Certificate, String> {
    let certificate = Certificate::decode(stored).map_err(|error| error.to_string())?;
    let l1 = certificate.to_l1().map_err(|error| error.to_string())?;
    let signature = Bytes::copy_from_slice(l1.signature.as_slice());
    Ok(L1Certificate { view: l1.view, parent_view: l1.parent_view, signers: l1.signers, signature })
}

/// Client, watcher and reader of a node with that ledger.
async fn connect(l1: &Anvil, ledger: &Ledger) -> (Arc<Road>, L1Client, L1Watcher, BatchReader, Task) {
    let (road, url) = Road::open(l1).await;
    let client = L1Client::new(&url).expect("a url");
    let config = WatcherConfig { anchor: anchor(ledger).expect("a ledger that reads"), poll: POLL };
    let (watcher, task) = L1Watcher::start(client.clone(), ledger.spec().clone(), config);
    watcher.ready(PATIENCE).await.expect("L1 answers");
    let reader = BatchReader::new(client.clone(), None, ledger.spec().l1.rollup);
    (road, client, watcher, reader, task)
}

type Chain = RealChain<Arc<Link>>;

/// A sequencer's ledger and all that it has to do with L1; consensus is the simulation's.
fn sequencer(runtime: &Runtime, l1: &Anvil, spec: &Arc<ChainSpec>, who: &DevSequencer, posts: bool) -> Chain {
    let config = LedgerConfig::default();
    let mut chain = Chain::of(spec.clone(), config, |ledger| {
        runtime.block_on(async {
            let (road, client, watcher, reader, task) = connect(l1, ledger).await;
            let poster = posts.then(|| PosterConfig {
                account: L1Account::new(client.clone(), who.poster.clone(), spec.l1_chain_id, Pricing::new(REPLACE_AFTER)),
                identity: who.keys.identity(),
                da: DaPolicy::Fixed(DaMode::Calldata),
                // The machine's clock is behind the simulated one: whatever waits is due.
                max_age: Duration::ZERO,
                stagger: Duration::ZERO,
            });
            let config = BatcherConfig::new(poster, l1_certificate, POLL);
            let chain = Arc::new(ledger.clone());
            let (batcher, posting) = Batcher::start(client, spec.clone(), chain, watcher.clone(), reader, config);
            let view: Arc<dyn L1View> = Arc::new(watcher.clone());
            (Arc::new(Link { road, watcher, batcher: Some(batcher), _tasks: vec![task, posting] }), view)
        })
    });
    let gate = chain.l1.batcher.clone().expect("a sequencer has one");
    chain.execution = chain.execution.with_gate(Arc::new(move || !gate.backlog_full()));
    chain
}

/// What the run has seen, for the report.
#[derive(Default)]
struct Tally {
    transactions: u64,
    deposits: u64,
    reorganisations: u64,
    taken_back: u64,
    garbage: u64,
    crashes: u64,
    stalls: u64,
    checks: u64,
}

struct Soak<'a> {
    runtime: &'a Runtime,
    l1: Anvil,
    sim: Sim<Chain>,
    follower: Follower,
    /// The follower's ledger and connection.
    followed: Ledger,
    link: Link,
    random: StdRng,
    /// Who sends on Layer 2, with the next nonce and the slot in which it last fitted.
    senders: Vec<(PrivateKeySigner, u64, u64)>,
    counters: Vec<Address>,
    /// Everybody who ever had a balance, up to a block.
    known: BTreeSet<Address>,
    known_to: u64,
    /// Until which slot garbage comes to each node, the follower last; and until which slot which node is down.
    garbage: [u64; NODES + 1],
    down: Option<(usize, u64)>,
    /// Height and the slot in which it was reached.
    progress: (u64, u64),
    tally: Tally,
}

impl Soak<'_> {
    fn node(&self, index: usize) -> &Chain {
        &self.sim.disks[index].chain
    }

    fn links(&self) -> impl Iterator<Item = &Link> {
        self.sim.disks.iter().map(|disk| &*disk.chain.l1).chain([&self.link])
    }

    fn runs(&self, index: usize) -> bool {
        self.down.is_none_or(|(down, _)| down != index)
    }

    /// Begins and ends spells of garbage and crashes.
    async fn weather(&mut self, slot: u64, fair: bool) {
        for index in 0..=NODES {
            let spell = self.random.random_range(1..5);
            if !fair && slot >= self.garbage[index] && self.random.random_ratio(1, 60) {
                self.garbage[index] = slot + spell;
                self.tally.garbage += 1;
            }
            let seed: u64 = self.random.random();
            let now = (!fair && slot < self.garbage[index]).then(|| StdRng::seed_from_u64(seed));
            let link = self.links().nth(index).expect("a node or the follower");
            *link.road.garbage.lock() = now;
        }
        if fair {
            self.garbage = [0; NODES + 1];
        }
        match self.down {
            Some((index, until)) if fair || slot >= until => {
                self.down = None;
                self.sim.start([index]).await;
            }
            None if !fair && self.random.random_ratio(1, 100) => {
                let index = self.random.random_range(0..NODES);
                self.down = Some((index, slot + self.random.random_range(1..6)));
                self.sim.crash(index);
                self.tally.crashes += 1;
            }
            _ => {}
        }
    }

    /// Transactions of all kinds, each to a node of its own.
    fn load(&mut self, slot: u64) {
        // Quiet quarters of an hour and busy ones.
        let busy = (slot / (SLOTS_AN_HOUR / 4)).is_multiple_of(3);
        let count = if busy { self.random.random_range(0..12) } else { u32::from(self.random.random_ratio(1, 6)) };
        let chain_id = self.node(0).ledger.spec().chain_id;
        for _ in 0..count {
            let who = self.random.random_range(0..self.senders.len());
            let view = self.node(0).ledger.view();
            let (signer, next, fitted) = &mut self.senders[who];
            let committed = view.account(signer.address()).expect("reads").map_or(0, |account| account.nonce);
            // What was sent and does not come has got lost.
            if committed >= *next || slot > *fitted + 2 * STALL {
                (*next, *fitted) = (committed, slot);
            }
            let (signer, nonce) = (signer.clone(), *next);
            let value = U256::from(self.random.random_range(1..1_000_000_000_000_000u64));
            let target = Address::with_last_byte(0x40 + self.random.random_range(0..16));
            let (to, value, input) = match self.random.random_range(0..10) {
                0 => {
                    self.counters.push(signer.address().create(nonce));
                    (TxKind::Create, U256::ZERO, COUNTER.to_vec())
                }
                1 | 2 if !self.counters.is_empty() => {
                    (self.counters.choose(&mut self.random).copied().expect("not empty").into(), U256::ZERO, Vec::new())
                }
                3 => {
                    let call = L2ToL1MessagePasser::initiateWithdrawalCall { target, gasLimit: U256::ZERO, data: Bytes::new() };
                    (MESSAGE_PASSER.into(), value, call.abi_encode())
                }
                _ => (target.into(), value, Vec::new()),
            };
            let raw = signed(&signer, chain_id, nonce, to, value, input.into(), 500_000);
            let node = self.random.random_range(0..NODES);
            if self.runs(node) && self.node(node).pool.add_raw(&raw, Origin::Local).is_ok() {
                self.sim.node(node).gossip().broadcast(raw);
                self.senders[who].1 += 1;
                self.tally.transactions += 1;
            }
        }
    }

    /// An L1 block, with what happens before it, and everybody's view of it.
    fn l1_block(&mut self, fair: bool) {
        let now = self.sim.now();
        let deposit = self.random.random_ratio(1, 4);
        let depth = (!fair && self.random.random_ratio(1, 25)).then(|| self.random.random_range(1..=DEPTH));
        let (to, mint) =
            (Address::with_last_byte(0x40 + self.random.random_range(0..16)), self.random.random_range(1..1_000_000_000u64));
        let portal = self.node(0).ledger.spec().l1.portal;
        self.runtime.block_on(async {
            if deposit {
                // Sometimes more is sent on than was minted, which fails after the mint.
                let (mint, value) = (U256::from(mint), U256::from(mint + mint % 3));
                let call = Portal::depositERC20TransactionCall {
                    to,
                    mint,
                    value,
                    gasLimit: 100_000,
                    isCreation: false,
                    data: Bytes::new(),
                };
                self.l1.send(&dev_signers()[1], portal, call.abi_encode()).await;
            }
            let began = Instant::now();
            let posters = || self.sim.disks[..POSTERS].iter().filter_map(|disk| disk.chain.l1.batcher.as_ref());
            let settled =
                || posters().any(|batcher| batcher.status().in_flight.is_some() || batcher.status().backlog_blocks == 0);
            while !settled() && began.elapsed() < POSTING {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if let Some(depth) = depth {
                self.l1.reorganise(depth).await;
            }
            self.l1.mine(now).await;
            let (number, hash, _) = self.l1.head().await;
            for (index, link) in self.links().enumerate().filter(|(_, link)| link.road.garbage.lock().is_none()) {
                let began = Instant::now();
                while (link.watcher.status().tip, link.watcher.status().head_hash) != (number, hash) {
                    let status = link.watcher.status();
                    assert!(began.elapsed() < PATIENCE, "node {index} does not see L1 block {number} {hash}: {status:?}");
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        });
        self.tally.deposits += u64::from(deposit);
        self.tally.reorganisations += u64::from(depth.is_some());
        self.tally.taken_back += depth.unwrap_or_default();
    }

    /// What a node says of itself while it does not get on, as `seq_status` collects it.
    fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        for link in self.links() {
            let status = link.watcher.status();
            reasons.extend(status.waiting.or(status.last_error));
            reasons.extend(link.batcher.as_ref().and_then(|batcher| {
                let status = batcher.status();
                status.waiting.or(status.last_error)
            }));
        }
        for (node, _) in self.sim.nodes.iter().flatten() {
            let status = node.status();
            reasons.extend(status.waiting.map(|waiting| waiting.to_string()));
            reasons.extend(status.sitting_out);
        }
        let status = self.follower.status();
        reasons.extend(status.waiting.or(status.last_error));
        reasons
    }

    async fn slot(&mut self, slot: u64, fair: bool) {
        self.weather(slot, fair).await;
        for _ in 0..BURSTS {
            self.load(slot);
            self.sim.pass(SLOT / BURSTS).await;
        }
        self.l1_block(fair);
        for (index, node) in self.sim.nodes.iter().enumerate() {
            let failure = node.as_ref().and_then(|(node, _)| node.status().failure);
            assert_eq!(failure, None, "node {index} stopped");
        }
        for disk in &self.sim.disks {
            disk.heard.lock().clear();
        }
        let height = (0..NODES).map(|index| self.sim.height(index)).max().expect("nodes");
        if height > self.progress.0 {
            self.progress = (height, slot);
        } else if slot == self.progress.1 + STALL {
            self.tally.stalls += 1;
            let reasons = self.reasons();
            assert!(!reasons.is_empty(), "no block since slot {}, and nobody says why", self.progress.1);
        }
        if slot.is_multiple_of(CHECK_EVERY) {
            self.check();
        }
    }

    /// One chain, and as much held on L1 as exists on Layer 2 and waits to be paid.
    fn check(&mut self) {
        self.tally.checks += 1;
        let common = (0..NODES).map(|index| self.sim.height(index)).min().expect("nodes");
        let hash_at = |ledger: &Ledger, number| ledger.store().hash_of(number).expect("reads").expect("a block");
        let followed = self.followed.head();
        for index in 0..NODES {
            let ledger = &self.node(index).ledger;
            assert_eq!(hash_at(ledger, common), hash_at(&self.node(0).ledger, common), "node {index} at block {common}");
            if followed.number() <= self.sim.height(index) {
                assert_eq!(hash_at(ledger, followed.number()), followed.hash(), "the follower and node {index}");
            }
        }
        let ledger = self.node(0).ledger.clone();
        let store = ledger.store();
        let head = ledger.head();
        for number in self.known_to + 1..=head.number() {
            let committed = store.committed(number).expect("reads").expect("a block");
            for (transaction, sender) in committed.block.body().iter().zip(&committed.senders) {
                self.known.extend(transaction.to().or_else(|| Some(sender.create(transaction.nonce()))));
                self.known.insert(*sender);
            }
        }
        self.known_to = head.number();
        let view = ledger.view();
        let balance = |account: &Address| view.account(*account).expect("reads").map_or(U256::ZERO, |account| account.balance);
        // What was burnt for withdrawals stays on the passer, and nothing was paid: it is in flight.
        let supply = self.known.iter().map(balance).fold(U256::ZERO, |sum, balance| sum + balance);
        let origin = HeaderExtension::decode(&head.header().extra_data).expect("an extension").origin.number;
        let l1 = &ledger.spec().l1;
        let held = OceanidToken::balanceOfCall { account: l1.portal };
        let escrow = self.runtime.block_on(self.l1.view(l1.token, held, origin));
        assert_eq!(escrow, supply, "block {}, origin {origin}", head.number());
    }

    #[allow(clippy::print_stdout, reason = "a long run says where it is")]
    fn report(&self, slot: u64, began: Instant) {
        let Tally { transactions, deposits, reorganisations, taken_back, garbage, crashes, stalls, checks } = self.tally;
        let head = self.node(0).ledger.head();
        println!(
            "{:>5.2} h in {:>4.0} s: block {}, root {}, follower at {}, {transactions} transactions, {deposits} deposits, {reorganisations} \
             reorganisations of {taken_back} L1 blocks, {garbage} spells of garbage, {crashes} crashes, {stalls} stalls (each with a \
             reason), {checks} checks, {} MiB",
            slot as f64 / SLOTS_AN_HOUR as f64,
            began.elapsed().as_secs_f64(),
            head.number(),
            head.header().state_root,
            self.followed.head().number(),
            resident() >> 20,
        );
    }

    /// In the end: L1 takes back more than counts as deep, and every sequencer says so. The follower is far enough behind to live on.
    fn break_l1(&self) {
        self.runtime.block_on(async {
            self.l1.ask("anvil_rollback", json!([DEPTH + 6])).await;
            for _ in 0..2 * DEPTH + 8 {
                let (_, _, parent) = self.l1.head().await;
                self.l1.mine(parent + 1).await;
            }
            let began = Instant::now();
            let says = |text: Option<String>| text.is_some_and(|text| text.contains("reorganised deeper"));
            let all = || {
                self.links()
                    .filter_map(|link| Some((link, link.batcher.as_ref()?)))
                    .all(|(link, batcher)| says(link.watcher.status().last_error) || says(batcher.status().last_error))
            };
            while !all() {
                assert!(began.elapsed() < PATIENCE, "a lost origin is not said by all: {:#?}", self.reasons());
                tokio::time::sleep(POLL).await;
            }
        });
    }
}

/// Resident memory of this process, bytes; 0 where the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or_default() << 10
}

/// Contracts on L1, and the specification of their chain.
async fn deploy(l1: &Anvil, sequencers: &[DevSequencer]) -> ChainSpec {
    let options = DevOptions {
        block_time_ms: 1_000,
        heartbeat_ms: 10_000,
        epoch_length: 200,
        challenge_window: 60,
        ..DevOptions::default()
    };
    let mut spec = deploy_dev(&l1.url, &options, sequencers, &|_| ()).await.expect("a deployment").spec;
    spec.timing.origin_depth = Some(DEPTH);
    let approve = OceanidToken::approveCall { spender: spec.l1.portal, value: U256::MAX };
    l1.send(&dev_signers()[1], spec.l1.token, approve.abi_encode()).await;
    l1.ask("evm_setAutomine", json!([false])).await;
    for _ in 0..=DEPTH {
        let (_, _, parent) = l1.head().await;
        l1.mine(parent + 1).await;
    }
    spec
}

#[test]
fn hours_of_load_reorganisations_garbage_and_crashes() {
    let variable = |name: &str| std::env::var(name).ok();
    let hours = variable(HOURS).map_or(DEFAULT_HOURS, |hours| hours.parse().expect(HOURS));
    let seed = variable(SEED).map_or(DEFAULT_SEED, |seed| seed.parse().expect(SEED));
    let _guard = PrintOnPanic(seed);
    let runtime = Runtime::new().expect("a runtime");
    let Some(l1) = runtime.block_on(Anvil::start()) else { return };
    let sequencers: Vec<_> =
        (0..NODES).map(|index| DevSequencer { keys: keys(index), ..DevSequencer::new(index as u32).expect("keys") }).collect();
    let spec = Arc::new(runtime.block_on(deploy(&l1, &sequencers)));
    let chains: Vec<_> =
        sequencers.iter().enumerate().map(|(index, who)| sequencer(&runtime, &l1, &spec, who, index < POSTERS)).collect();
    let namespace = chains[0].ledger.namespace();
    let setup = Setup {
        block_time: Duration::from_millis(spec.timing.block_time_ms),
        heartbeat: Duration::from_millis(spec.timing.heartbeat_ms),
        namespace: namespace.to_vec(),
        // Two epochs: the simulated disks are memory.
        keep_blocks: 2 * spec.timing.epoch_length,
        ..Setup::committee_of(NODES)
    };
    let directory = tempfile::tempdir().expect("a directory");
    let followed = Ledger::open(directory.path(), spec.clone(), ledger_config()).expect("a ledger");
    let (follower, link) = runtime.block_on(async {
        let (road, client, watcher, reader, task) = connect(&l1, &followed).await;
        let (follower, following) =
            Follower::start(followed.clone(), client, watcher.clone(), reader, FollowerConfig { poll: POLL });
        (follower, Link { road, watcher, batcher: None, _tasks: vec![task, following] })
    });
    let (_, _, now) = runtime.block_on(l1.head());
    let config = deterministic::Config::new().with_seed(seed).with_start_time(UNIX_EPOCH + Duration::from_secs(now));
    let slots = ((hours * SLOTS_AN_HOUR as f64) as u64).max(CHECK_EVERY);
    let runtime = &runtime;
    deterministic::Runner::new(config).start(|context| async move {
        let began = Instant::now();
        let sim = Sim::new(context, setup, chains.into_iter().map(Disk::new).collect()).await;
        let senders = dev_signers().into_iter().skip(2).map(|signer| (signer, 0, 0)).collect();
        let known = spec.alloc.keys().copied().collect();
        let mut soak = Soak {
            runtime,
            l1,
            sim,
            follower,
            followed,
            link,
            random: StdRng::seed_from_u64(seed),
            senders,
            counters: Vec::new(),
            known,
            known_to: 0,
            garbage: [0; NODES + 1],
            down: None,
            progress: (0, 0),
            tally: Tally::default(),
        };
        soak.sim.start(0..NODES).await;
        let mut quarter = 0;
        for slot in 1..=slots {
            soak.slot(slot, false).await;
            if slot.is_multiple_of(SLOTS_AN_HOUR) {
                soak.report(slot, began);
            }
            if slot == slots / 4 {
                quarter = resident();
            }
        }
        let growth = resident().saturating_sub(quarter);
        assert!(growth < MAX_GROWTH, "the process grew by {} MiB in three quarters of the run", growth >> 20);
        // In fair weather everybody arrives, the follower from L1 alone.
        let target = (0..NODES).map(|index| soak.sim.height(index)).max().expect("nodes");
        for slot in slots + 1..=slots + FAIR {
            soak.slot(slot, true).await;
        }
        let waited = Instant::now();
        while soak.followed.head().number() < target {
            assert!(waited.elapsed() < PATIENCE, "the follower does not reach block {target}: {:#?}", soak.reasons());
            std::thread::sleep(POLL);
        }
        assert!((0..NODES).all(|index| soak.sim.height(index) >= target), "a node is left behind: {:#?}", soak.reasons());
        assert!(soak.node(0).ledger.marks().finalized > 0, "outputs became final");
        soak.check();
        soak.report(slots + FAIR, began);
        soak.break_l1();
    });
}
