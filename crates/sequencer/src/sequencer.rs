//! A node on tokio over authenticated TCP, in threads of its own.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use alloy_primitives::B256;
use commonware_cryptography::ChaCha20Poly1305;
use commonware_macros::select;
use commonware_p2p::authenticated::lookup;
use commonware_runtime::{Metrics as _, Quota, Runner as _, Spawner as _, Supervisor as _, tokio as runtime};
use commonware_stream::{
    cups::{self, Cups},
    sake::{self, Sake},
};
use commonware_utils::{NZU32, NZUsize};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{Instrument as _, Span, warn};

use crate::{
    Byzantine, ConsensusConfig, EvidenceLog, Execution, NodeKeys, OnTransactions, Status, TransactionGossip,
    evidence::EvidenceError,
    node::{self, CHANNELS, Channels, Node, NodeConfig, NodeError, TRACKED_PEER_SETS, max_message_bytes, quota},
};

/// Separates this network's handshakes from those of any other chain: the consensus namespace and this.
const NETWORK_SUFFIX: &[u8] = b"_P2P";
/// Clocks of peers may differ by this much in a handshake.
const HANDSHAKE_SYNCHRONY: Duration = Duration::from_secs(5);
/// Age at which a handshake message is refused.
const HANDSHAKE_AGE: Duration = Duration::from_secs(10);
/// Least time between two connection attempts with one peer.
const CONNECTION_COOLDOWN: Duration = Duration::from_secs(1);
/// Average time between dials, over all peers.
const DIAL_EVERY: Duration = Duration::from_millis(200);
/// A peer that broke the protocol is kept out for this long.
const BLOCK_DURATION: Duration = Duration::from_secs(3_600);
/// Handshakes a second from one address: a host may run many nodes.
const HANDSHAKES_PER_IP: Quota = Quota::per_second(NZU32!(64));
/// Handshakes a second from one subnet.
const HANDSHAKES_PER_SUBNET: Quota = Quota::per_second(NZU32!(256));
/// Capacity of the network's internal mailboxes, messages.
const INTERNAL_MAILBOX: NonZeroUsize = NZUsize!(1_024);
/// Time given to tasks at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// What a sequencer is started with.
#[derive(Clone, Debug)]
pub struct SequencerConfig {
    /// This node's keys.
    pub keys: NodeKeys,
    /// Address to listen on; peers reach it under the address their configuration gives.
    pub listen: SocketAddr,
    /// Where to reach sequencers, by identity; may include this node. Members that are not here have to call in.
    pub peers: BTreeMap<B256, SocketAddr>,
    /// Consensus storage and `evidence.jsonl`. Losing it while the keys live on endangers the stake: see `docs/consensus.md`.
    pub directory: PathBuf,
    /// Consensus parameters.
    pub consensus: ConsensusConfig,
    /// Misbehaves on purpose, for a demonstration. The caller sees to it that this is a development chain.
    pub byzantine: Option<Byzantine>,
    /// Threads of the runtime; 2 are enough for a committee of any size on one core's worth of traffic.
    pub threads: usize,
}

/// Why a sequencer did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is taken or the address is not ours.
    #[error("cannot listen on {address} for other sequencers: {source}")]
    Listen {
        /// Address.
        address: SocketAddr,
        /// Cause.
        source: std::io::Error,
    },
    /// The directory cannot be used.
    #[error("consensus directory {path}: {source}")]
    Directory {
        /// Path.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The evidence log cannot be used.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The node refused to start.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The operating system refused a thread.
    #[error("cannot start the consensus thread: {source}")]
    Thread {
        /// Cause.
        source: std::io::Error,
    },
    /// The runtime panicked while starting.
    #[error("the consensus runtime did not start; its last log lines say why")]
    Runtime,
}

/// A running sequencer. Dropping it without [`Sequencer::shutdown`] stops it too, without waiting.
pub struct Sequencer {
    node: Node,
    requests: mpsc::Sender<Request>,
    stopped: watch::Receiver<bool>,
    thread: Option<JoinHandle<()>>,
}

impl core::fmt::Debug for Sequencer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sequencer").field("status", &self.node.status()).finish_non_exhaustive()
    }
}

/// What the outside asks of the runtime's thread. Closing the channel stops it.
enum Request {
    Metrics(oneshot::Sender<String>),
}

/// Marks the thread's end, also when it unwinds.
struct StoppedOnDrop(watch::Sender<bool>);

impl Drop for StoppedOnDrop {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl Sequencer {
    /// Starts a sequencer and returns when it is composed; it finds its peers and catches up on its own.
    ///
    /// `on_transactions` gets the transactions other sequencers gossip. Blocks the calling thread for the time of opening storage.
    ///
    /// Consensus, which is slow to compile, is compiled here once: the chain is behind a pointer.
    pub fn start(
        config: SequencerConfig,
        execution: impl Execution,
        on_transactions: OnTransactions,
    ) -> Result<Self, StartError> {
        Self::start_shared(config, Arc::new(execution), on_transactions)
    }

    fn start_shared(
        config: SequencerConfig,
        execution: Arc<dyn Execution>,
        on_transactions: OnTransactions,
    ) -> Result<Self, StartError> {
        // The network's listener would panic on a taken port: find out first, and say it well.
        TcpListener::bind(config.listen).map_err(|source| StartError::Listen { address: config.listen, source })?;
        let directory = |source| StartError::Directory { path: config.directory.clone(), source };
        std::fs::create_dir_all(&config.directory).map_err(directory)?;
        let evidence = EvidenceLog::open(&config.directory)?;
        let runner = runtime::Runner::new(
            runtime::Config::new()
                .with_storage_directory(config.directory.join("consensus"))
                .with_worker_threads(config.threads.max(1))
                .with_tcp_nodelay(Some(true)),
        );
        let (requests, mut inbox) = mpsc::channel::<Request>(16);
        let (finished, stopped) = watch::channel(false);
        let (started, ready) = std::sync::mpsc::sync_channel(1);
        let name = format!("sequencer-{}", config.listen.port());
        let span = Span::current();
        let spawned = std::thread::Builder::new().name(name).spawn(move || {
            let _finished = StoppedOnDrop(finished);
            runner.start(|context| {
                let run = async move {
                    let composed = Box::pin(compose(&context, config, execution, evidence, on_transactions)).await;
                    let node = match composed {
                        Ok(node) => node,
                        Err(error) => {
                            let _ = started.send(Err(error)); // the caller waits for it
                            return;
                        }
                    };
                    let _ = started.send(Ok(node.clone()));
                    loop {
                        select! {
                            _ = node.failed() => { break; },
                            request = inbox.recv() => match request {
                                Some(Request::Metrics(reply)) => drop(reply.send(context.encode())),
                                None => break,
                            },
                        }
                    }
                    if let Err(error) = context.child("stop").stop(0, Some(SHUTDOWN_TIMEOUT)).await {
                        warn!(%error, "some consensus tasks did not stop in time");
                    }
                };
                run.instrument(span)
            });
        });
        let thread = spawned.map_err(|source| StartError::Thread { source })?;
        let node = ready.recv().map_err(|_| StartError::Runtime)??;
        Ok(Self { node, requests, stopped, thread: Some(thread) })
    }

    /// Epoch, heights, membership, and why it stopped if it did.
    pub fn status(&self) -> Status {
        self.node.status()
    }

    /// Proofs of double voting found so far.
    pub const fn evidence(&self) -> &EvidenceLog {
        self.node.evidence()
    }

    /// Hands transactions to the other sequencers. The handle is cheap to clone.
    pub const fn gossip(&self) -> &TransactionGossip {
        self.node.gossip()
    }

    /// The node behind, for [`Node::wake`] from elsewhere.
    pub fn node(&self) -> Node {
        self.node.clone()
    }

    /// Metrics of consensus, storage and network in Prometheus' text format; none when it has stopped.
    pub async fn metrics(&self) -> Option<String> {
        let (reply, text) = oneshot::channel();
        self.requests.send(Request::Metrics(reply)).await.ok()?;
        text.await.ok()
    }

    /// Resolves when it has stopped, whatever the reason.
    pub async fn stopped(&self) {
        // An error means that the sender is gone: stopped too.
        let _ = self.stopped.clone().wait_for(|stopped| *stopped).await;
    }

    /// Stops it and waits until its threads are gone. What was acknowledged is durable with or without this.
    pub fn shutdown(mut self) {
        let thread = self.thread.take();
        drop(self);
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            warn!("the consensus thread had panicked");
        }
    }
}

/// Opens the network and starts the node on it.
async fn compose(
    context: &runtime::Context,
    config: SequencerConfig,
    execution: Arc<dyn Execution>,
    evidence: EvidenceLog,
    on_transactions: OnTransactions,
) -> Result<Node, NodeError> {
    let handshake = Cups::<_, ChaCha20Poly1305>::new(
        Sake {
            signer: config.keys.identity_signer(),
            synchrony_bound: HANDSHAKE_SYNCHRONY,
            max_handshake_age: HANDSHAKE_AGE,
            version: sake::Version::V1,
        },
        cups::Version::V1,
    );
    let max_peers = NonZeroUsize::new(config.consensus.max_peers + 1).expect("one more than something");
    let mut network_config = lookup::Config::recommended(
        handshake,
        &[&config.consensus.namespace, NETWORK_SUFFIX].concat(),
        config.listen,
        max_peers,
        max_message_bytes(&config.consensus),
        INTERNAL_MAILBOX,
    );
    // Sequencers may sit in one data centre or on one host; who they are is proven by their keys, not by their addresses.
    network_config.allow_private_ips = true;
    network_config.bypass_ip_check = true;
    // A name stands for an unknown address (see `orchestrator`).
    network_config.allow_dns = false;
    network_config.tracked_peer_sets = TRACKED_PEER_SETS;
    network_config.peer_connection_cooldown = CONNECTION_COOLDOWN;
    network_config.dial_frequency = DIAL_EVERY;
    network_config.allowed_handshake_rate_per_ip = HANDSHAKES_PER_IP;
    network_config.allowed_handshake_rate_per_subnet = HANDSHAKES_PER_SUBNET;
    network_config.block_duration = BLOCK_DURATION;
    let (mut network, oracle) = lookup::Network::new(context.child("network"), network_config);
    let [votes, certificates, resolver, backfill, broadcast, transactions, inquiries] =
        CHANNELS.map(|(channel, rate)| network.register(channel, quota(rate)));
    let channels = Channels { votes, certificates, resolver, backfill, broadcast, transactions, inquiries };
    network.start();
    let node_config = NodeConfig {
        consensus: config.consensus,
        keys: config.keys,
        addresses: config.peers,
        byzantine: config.byzantine,
        partition: "sequencer".into(),
    };
    let start =
        node::start(context.child("node"), node_config, execution, evidence, on_transactions, oracle.clone(), oracle, channels);
    Box::pin(start).await
}
