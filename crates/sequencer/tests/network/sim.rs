//! The simulated network: nodes with keys, links with latency and loss, crashes, partitions, and the checks every scenario ends with.

use std::{
    collections::BTreeMap,
    future::Future,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use alloy_primitives::{B256, Bytes};
use commonware_actor::Feedback;
use commonware_codec::{Copying, DecodeExt as _};
use commonware_p2p::{
    Address, AddressableManager, AddressableTrackedPeers, PeerSetSubscription, Provider, TrackedPeers,
    simulated::{self, Link},
};
use commonware_runtime::{Clock as _, Handle, Runner as _, Spawner as _, Supervisor as _, deterministic};
use commonware_utils::{NZUsize, Probability, ordered::Map};
use oceanid_primitives::{Committee, HeaderExtension, Member, SealedBlock};
use oceanid_sequencer::{
    Byzantine, ConsensusConfig, EvidenceLog, Execution, NodeKeys, Reception, Timing,
    node::{self, CHANNELS, Channels, Node, NodeConfig, max_message_bytes, quota},
    types::Identity,
    verify_certificate,
};
use parking_lot::Mutex;

use crate::chain::{LightChain, Schedule, committee_of};

/// Longest simulated time a scenario may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often conditions are looked at, simulated.
const STEP: Duration = Duration::from_millis(100);

pub(crate) type Oracle = simulated::Oracle<Identity, deterministic::Context>;

/// What a scenario starts from.
#[derive(Clone)]
pub(crate) struct Setup {
    /// Nodes with keys; the first committee is the first `seats` of them.
    pub nodes: usize,
    pub seats: usize,
    pub epoch_length: u64,
    pub block_time: Duration,
    pub heartbeat: Duration,
    pub link: Link,
    /// Committees after the first: first epoch, seats (indices of nodes).
    pub later: Vec<(u64, Vec<usize>)>,
    /// Nodes that vote twice.
    pub byzantine: Vec<usize>,
    /// Bytes in front of everything that is signed.
    pub namespace: Vec<u8>,
    /// Finalised blocks kept for peers.
    pub keep_blocks: u64,
}

/// Latency and jitter in milliseconds, share of messages that arrive.
pub(crate) fn link(latency: u64, jitter: u64, success: f64) -> Link {
    Link {
        latency: Duration::from_millis(latency),
        jitter: Duration::from_millis(jitter),
        success_rate: Probability::try_from(success).expect("a probability"),
    }
}

impl Setup {
    pub(crate) fn committee_of(seats: usize) -> Self {
        Self {
            nodes: seats,
            seats,
            epoch_length: 1_000,
            block_time: Duration::from_millis(200),
            heartbeat: Duration::from_millis(1_000),
            link: link(20, 5, 1.0),
            later: vec![],
            byzantine: vec![],
            namespace: b"OCEANID-TEST".to_vec(),
            keep_blocks: 10_000,
        }
    }
}

/// Keys of node `index`, the same in every run.
pub(crate) fn keys(index: usize) -> NodeKeys {
    NodeKeys::derive(&[index as u8 + 1; 32]).expect("a seed")
}

pub(crate) fn identity(index: usize) -> Identity {
    Identity::decode(Copying(keys(index).identity().as_slice())).expect("a public key")
}

/// A committee of the given nodes; node i has weight `10 + i`.
pub(crate) fn committee(id: u64, seats: &[usize]) -> Committee {
    let mut members: Vec<Member> = seats
        .iter()
        .map(|seat| Member {
            id: *seat as u64 + 1,
            identity: keys(*seat).identity(),
            bls_key: keys(*seat).bls_compressed(),
            weight: 10 + *seat as u128,
        })
        .collect();
    members.sort_by_key(|member| member.identity);
    Committee { id, seed: B256::repeat_byte(id as u8), members }
}

pub(crate) fn consensus_config(setup: &Setup) -> ConsensusConfig {
    ConsensusConfig {
        namespace: setup.namespace.clone(),
        timing: Timing { block_time: setup.block_time, heartbeat: setup.heartbeat },
        clock_drift: Duration::from_secs(2),
        max_block_bytes: 1 << 20,
        max_peers: 16,
        keep_blocks: setup.keep_blocks,
    }
}

pub(crate) fn schedule(setup: &Setup) -> Schedule {
    let mut schedule = BTreeMap::from([(0, committee(1, &(0..setup.seats).collect::<Vec<_>>()))]);
    for (number, (epoch, seats)) in setup.later.iter().enumerate() {
        schedule.insert(*epoch, committee(number as u64 + 2, seats));
    }
    Arc::new(schedule)
}

/// The simulated network tracks one peer set for everybody; who dials whom is not simulated.
#[derive(Clone, Debug)]
struct EveryoneTracked(simulated::SocketManager<Identity, deterministic::Context>);

impl Provider for EveryoneTracked {
    type PublicKey = Identity;

    async fn peer_set(&mut self, id: u64) -> Option<TrackedPeers<Identity>> {
        self.0.peer_set(id).await
    }

    async fn subscribe(&mut self) -> PeerSetSubscription<Identity> {
        self.0.subscribe().await
    }
}

impl AddressableManager for EveryoneTracked {
    fn track<R: Into<AddressableTrackedPeers<Identity>> + Send>(&mut self, _: u64, _: R) -> Feedback {
        Feedback::Ok
    }

    fn overwrite(&mut self, _: Map<Identity, Address>) -> Feedback {
        Feedback::Ok
    }
}

/// A chain a network can be checked on.
pub(crate) trait TestChain: Execution + Clone {
    /// Finalised blocks with their certificates, from genesis.
    fn finalized(&self) -> Vec<(Arc<SealedBlock>, Option<Bytes>)>;

    fn height(&self) -> u64 {
        self.head().number()
    }

    /// Loses what a crash of the process loses.
    fn crash(&self);

    /// Takes transactions that other nodes have sent; without a pool there is nothing to do with them.
    fn hear(&self, _transactions: &[Bytes]) {}
}

/// What a node leaves behind when it crashes.
#[derive(Clone)]
pub(crate) struct Disk<C = LightChain> {
    pub chain: C,
    pub evidence: EvidenceLog,
    /// Transactions of other nodes.
    pub heard: Arc<Mutex<Vec<Bytes>>>,
}

/// A pool that refuses what begins with [`JUNK`].
pub(crate) fn receive(heard: &Mutex<Vec<Bytes>>, batch: Vec<Bytes>) -> Reception {
    let refused = batch.iter().filter(|transaction| transaction.starts_with(&[JUNK])).count();
    let taken = batch.len() - refused;
    heard.lock().extend(batch);
    Reception { taken, refused }
}

/// First byte of a transaction that pools refuse.
pub(crate) const JUNK: u8 = 0xff;

pub(crate) fn light_disks(setup: &Setup) -> Vec<Disk> {
    let schedule = schedule(setup);
    (0..setup.nodes).map(|_| Disk::new(LightChain::new(schedule.clone(), setup.epoch_length, 0))).collect()
}

impl<C> Disk<C> {
    pub(crate) fn new(chain: C) -> Self {
        Self { chain, evidence: EvidenceLog::in_memory(), heard: Arc::default() }
    }
}

/// A network under test.
pub(crate) struct Sim<C = LightChain> {
    pub context: deterministic::Context,
    pub oracle: Oracle,
    pub setup: Setup,
    pub disks: Vec<Disk<C>>,
    pub nodes: Vec<Option<(Node, Handle<()>)>>,
    schedule: Schedule,
    /// How often each node's consensus storage was replaced.
    storage: Vec<u32>,
}

impl<C: TestChain> Sim<C> {
    /// Links everybody and starts nobody.
    pub(crate) async fn new(context: deterministic::Context, setup: Setup, disks: Vec<Disk<C>>) -> Self {
        let identities: Vec<_> = (0..setup.nodes).map(identity).collect();
        let config = simulated::Config {
            max_size: max_message_bytes(&consensus_config(&setup)),
            max_peers_per_set: NZUsize!(16),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(2),
        };
        let (network, oracle) = simulated::Network::new_with_peers(context.child("network"), config, identities).await;
        network.start();
        let schedule = schedule(&setup);
        let nodes = (0..setup.nodes).map(|_| None).collect();
        let storage = vec![0; setup.nodes];
        let sim = Self { context, oracle, setup, disks, nodes, schedule, storage };
        sim.connect(&(0..sim.setup.nodes).collect::<Vec<_>>(), &(0..sim.setup.nodes).collect::<Vec<_>>()).await;
        sim
    }

    async fn connect(&self, left: &[usize], right: &[usize]) {
        for from in left {
            for to in right {
                if from != to {
                    let _ = self.oracle.add_link(identity(*from), identity(*to), self.setup.link.clone()).await;
                    let _ = self.oracle.add_link(identity(*to), identity(*from), self.setup.link.clone()).await;
                }
            }
        }
    }

    /// Cuts all links between two groups.
    pub(crate) async fn partition(&self, left: &[usize], right: &[usize]) {
        for from in left {
            for to in right {
                let _ = self.oracle.remove_link(identity(*from), identity(*to)).await;
                let _ = self.oracle.remove_link(identity(*to), identity(*from)).await;
            }
        }
    }

    pub(crate) async fn heal(&self, left: &[usize], right: &[usize]) {
        self.connect(left, right).await;
    }

    pub(crate) async fn start(&mut self, indices: impl IntoIterator<Item = usize>) {
        for index in indices {
            assert!(self.nodes[index].is_none(), "node {index} runs already");
            let control = self.oracle.control(identity(index));
            let mut registered = Vec::new();
            for (channel, rate) in CHANNELS {
                registered.push(control.register(channel, quota(rate)).await.expect("the network runs"));
            }
            let [votes, certificates, resolver, backfill, broadcast, transactions, inquiries] =
                registered.try_into().unwrap_or_else(|_| unreachable!("as many as there are channels"));
            let channels = Channels { votes, certificates, resolver, backfill, broadcast, transactions, inquiries };
            let addresses = (0..self.setup.nodes)
                .map(|peer| (keys(peer).identity(), SocketAddr::from(([127, 0, 0, 1], 9_000 + peer as u16))))
                .collect();
            let config = NodeConfig {
                consensus: consensus_config(&self.setup),
                keys: keys(index),
                addresses,
                byzantine: self.setup.byzantine.contains(&index).then_some(Byzantine::Equivocate),
                partition: format!("node-{index}-{}", self.storage[index]),
            };
            let disk = self.disks[index].clone();
            let manager = EveryoneTracked(self.oracle.socket_manager());
            let (sender, receiver) = tokio::sync::oneshot::channel();
            // One task above all others of the node, so that aborting it is a crash of the node.
            let handle = self.context.child("host").with_attribute("index", index).spawn(move |context| async move {
                let (heard, chain) = (disk.heard.clone(), disk.chain.clone());
                let on_transactions = Arc::new(move |batch: Vec<Bytes>| {
                    chain.hear(&batch);
                    receive(&heard, batch)
                });
                let start = node::start(
                    context.child("node"),
                    config,
                    Arc::new(disk.chain),
                    disk.evidence,
                    on_transactions,
                    manager,
                    control,
                    channels,
                );
                let node = Box::pin(start).await;
                let _ = sender.send(node.expect("the node starts"));
                std::future::pending::<()>().await;
            });
            self.nodes[index] = Some((receiver.await.expect("the node starts"), handle));
        }
    }

    /// Kills a node: nothing it had not made durable survives.
    pub(crate) fn crash(&mut self, index: usize) {
        let (_, handle) = self.nodes[index].take().expect("the node runs");
        handle.abort();
        self.disks[index].chain.crash();
    }

    /// Loses a stopped node's consensus storage; its chain stays.
    pub(crate) fn wipe(&mut self, index: usize) {
        self.storage[index] += 1;
    }

    /// Runs until every named node votes in the epoch it is in.
    pub(crate) async fn voting(&self, indices: impl IntoIterator<Item = usize> + Clone) {
        let voting = |sim: &Self| indices.clone().into_iter().all(|index| sim.node(index).status().voting);
        self.until("nodes to vote", voting).await;
    }

    pub(crate) fn height(&self, index: usize) -> u64 {
        self.disks[index].chain.height()
    }

    pub(crate) fn node(&self, index: usize) -> &Node {
        &self.nodes[index].as_ref().expect("the node runs").0
    }

    /// Runs until every named node holds `height`.
    pub(crate) async fn reach(&self, indices: impl IntoIterator<Item = usize> + Clone, height: u64) {
        let what = format!("nodes {:?} to reach {height}", indices.clone().into_iter().collect::<Vec<_>>());
        self.until(&what, |sim| indices.clone().into_iter().all(|index| sim.height(index) >= height)).await;
    }

    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = self.context.current() + PATIENCE;
        while !condition(self) {
            if self.context.current() >= deadline {
                let heights: Vec<_> = (0..self.setup.nodes).map(|index| self.height(index)).collect();
                let statuses: Vec<_> = self.nodes.iter().map(|node| node.as_ref().map(|(node, _)| node.status())).collect();
                panic!("waited {PATIENCE:?} for {what}; heights {heights:?}; {statuses:#?}");
            }
            for (index, node) in self.nodes.iter().enumerate() {
                let failure = node.as_ref().and_then(|(node, _)| node.status().failure);
                assert_eq!(failure, None, "node {index} stopped");
            }
            self.context.sleep(STEP).await;
        }
    }

    /// Simulated time, whole seconds.
    pub(crate) fn now(&self) -> u64 {
        self.context.current().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
    }

    pub(crate) async fn pass(&self, time: Duration) {
        self.context.sleep(time).await;
    }

    /// What must hold whatever happened: one chain, every certificate good under the committee of its epoch, every leader the
    /// drawn one, and certificates for at least the ends of epochs.
    pub(crate) fn check(&self) {
        let chains: Vec<_> = self.disks.iter().map(|disk| disk.chain.finalized()).collect();
        let longest = chains.iter().max_by_key(|chain| chain.len()).expect("nodes");
        let epochs = self.disks.iter().filter_map(|disk| disk.chain.epochs().ok());
        let epochs = epochs.max_by_key(|epochs| epochs.recoveries().len()).expect("a chain that goes on");
        for chain in &chains {
            for ((left, _), (right, _)) in chain.iter().zip(longest) {
                assert_eq!(left.hash(), right.hash(), "two nodes disagree on block {}", left.number());
            }
            for (block, certificate) in &chain[1..] {
                let extension = HeaderExtension::decode(&block.header().extra_data).expect("an extension");
                let epoch = epochs.of(block.number());
                let committee = &committee_of(&self.schedule, &epochs, epoch);
                assert_eq!((extension.epoch, extension.committee_id), (epoch, committee.id));
                assert_eq!(extension.leader, committee.leader(epoch, extension.view), "leader of block {}", block.number());
                match certificate {
                    Some(bytes) => {
                        let certificate = verify_certificate(&self.setup.namespace, committee, block.hash(), bytes)
                            .expect("a good certificate");
                        assert_eq!(certificate.epoch, epoch);
                        assert!(certificate.view >= extension.view);
                    }
                    None => assert_ne!(block.number(), epochs.end_of(block.number()), "an epoch ended without a certificate"),
                }
            }
        }
    }
}

impl Sim {
    /// Loses everything a stopped node had but its keys.
    pub(crate) fn lose(&mut self, index: usize) {
        self.wipe(index);
        let chain = LightChain::new(self.schedule.clone(), self.setup.epoch_length, 0);
        chain.recoveries.lock().clone_from(&self.disks[index].chain.recoveries.lock());
        self.disks[index] = Disk::new(chain);
    }
}

/// Runs a scenario over light chains twice from one seed.
pub(crate) fn twice<F, Fut>(seed: u64, setup: Setup, scenario: F)
where
    F: Fn(Sim) -> Fut,
    Fut: Future<Output = Sim>,
{
    twice_on(seed, setup, light_disks, scenario);
}

/// Runs a scenario twice from one seed: the audit of every scheduling decision, message and storage operation must agree.
pub(crate) fn twice_on<C, D, F, Fut>(seed: u64, setup: Setup, make: D, scenario: F)
where
    C: TestChain,
    D: Fn(&Setup) -> Vec<Disk<C>>,
    F: Fn(Sim<C>) -> Fut,
    Fut: Future<Output = Sim<C>>,
{
    let run = || {
        let config = deterministic::Config::new().with_seed(seed).with_timeout(Some(2 * PATIENCE));
        deterministic::Runner::new(config).start(|context| {
            let (setup, disks, scenario) = (setup.clone(), make(&setup), &scenario);
            async move {
                let auditor = context.auditor();
                let sim = Sim::new(context, setup, disks).await;
                let sim = scenario(sim).await;
                sim.check();
                let heads: Vec<B256> = sim.disks.iter().map(|disk| disk.chain.head().hash()).collect();
                (auditor.state(), heads)
            }
        })
    };
    let guard = PrintOnPanic(seed);
    let (first, second) = (run(), run());
    assert_eq!(first, second, "two runs of one seed differ");
    drop(guard);
}

/// Names the seed when a scenario fails.
pub(crate) struct PrintOnPanic(pub u64);

impl Drop for PrintOnPanic {
    #[allow(clippy::print_stderr, reason = "a test's failure message")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

/// Everybody's chain has work, or nobody's.
pub(crate) fn set_busy(sim: &Sim, busy: bool) {
    for disk in &sim.disks {
        disk.chain.busy.store(busy, Ordering::Relaxed);
    }
}
