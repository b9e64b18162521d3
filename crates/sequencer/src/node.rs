//! One node of the committee, composed: network channels, block buffer, marshal, and the orchestrator with its engines.
//!
//! ```text
//!  votes, certificates, resolver --muxed by epoch--> simplex engine of the epoch --Deferred--> Chain (build, check)
//!  broadcast --> buffer --.                              | notarizations, finalisations
//!  backfill  --> resolver --> marshal <------------------'
//!                                | finalised blocks, in order
//!                                v
//!                          orchestrator: execution.finalize (durable) -> seat, track, switch epoch -> acknowledge
//! ```
//!
//! Everything is generic over the runtime, so that the same composition runs on tokio and in the deterministic simulator.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::{NonZeroU16, NonZeroU64, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use alloy_primitives::{B256, Bytes, keccak256};
use commonware_actor::Feedback;
use commonware_broadcast::buffered;
use commonware_codec::{Copying, DecodeExt as _};
use commonware_consensus::{
    Reporter,
    marshal::{
        self, Start,
        core::Actor,
        resolver::p2p as backfill,
        standard::{Deferred, Standard},
    },
    simplex,
    types::ViewDelta,
};
use commonware_cryptography::{Digested, Digestible as _, Signer as _, certificate::Verifier as _};
use commonware_p2p::{
    Address, AddressableManager, BlockedSubscription, Blocker, Channel, Receiver, Sender,
    utils::mux::{Builder as _, Muxer, prefixed},
};
use commonware_parallel::Sequential;
use commonware_runtime::{
    BLOB_PAGE_SIZE, Clock, Metrics, Quota, Spawner, Storage,
    buffer::paged::{CHECKSUM_SIZE, CacheRef},
};
use commonware_storage::{archive::prunable, translator::EightCap};
use commonware_utils::{NZDuration, NZU32, NZU64, NZUsize};
use futures::FutureExt as _;
use oceanid_primitives::{Epochs, MAX_COMMITTEE};
use parking_lot::Mutex;
use rand_core::CryptoRng;
use tokio::sync::{Notify, mpsc};
use tracing::{Instrument as _, debug, error, warn};

use crate::{
    BlockCodec, BlockError, Byzantine, Committees, ConsensusBlock, ConsensusConfig, Execution, NodeKeys, Status,
    application::Chain,
    certificate::{Certificate, decode_finalization},
    committees::CommitteeKeyError,
    epochs::SharedEpochs,
    evidence::{Collector, EvidenceLog, EvidenceReporter},
    gossip::{self, Gossip, OnTransactions, TransactionGossip},
    inquiry::{self, Inquiry},
    orchestrator::{Course, Orchestrator},
    status::Attendance,
    types::{Digest, Finalization, Identity, Scheme, Update},
    voting_record::VotingRecord,
};

/// Capacity of the mailboxes between actors, messages.
pub(crate) const MAILBOX: NonZeroUsize = NZUsize!(1_024);
/// Blocks a peer may have in the buffer: the proposals of a few views.
const BUFFERED_BLOCKS: usize = 8;
/// Views behind the finalised one of which votes are kept: late votes are evidence too.
pub(crate) const VIEW_RETENTION: ViewDelta = ViewDelta::new(256);
/// Views behind the finalised one of which blocks and certificates are cached beside the finalised ones. Where an epoch has fewer views, the
/// library keeps one whole epoch for each view that is missing, about 100 KiB of memory each: more would be hundreds of short epochs.
const CACHE_RETENTION: ViewDelta = ViewDelta::new(16);
/// A stuck view repeats its nullify vote after this.
pub(crate) const TIMEOUT_RETRY: Duration = Duration::from_millis(1_000);
/// A peer has this long to answer a request.
pub(crate) const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause before an unanswered request is tried elsewhere.
pub(crate) const FETCH_RETRY: Duration = Duration::from_millis(100);
/// Missing finalised blocks asked for at a time.
const MAX_REPAIR: NonZeroUsize = NZUsize!(32);
/// Delivered blocks that may wait for the chain.
const MAX_PENDING_ACKS: NonZeroUsize = NZUsize!(16);
/// Buffers of journals and archives, bytes.
pub(crate) const REPLAY_BUFFER: NonZeroUsize = NZUsize!(1 << 20);
pub(crate) const WRITE_BUFFER: NonZeroUsize = NZUsize!(256 << 10);
/// Page cache: pages that fill a physical page together with their checksum, and how many (4 MiB).
const PAGE: NonZeroU16 = NonZeroU16::new(BLOB_PAGE_SIZE as u16 - CHECKSUM_SIZE as u16).expect("smaller than a page");
const PAGES: NonZeroUsize = NZUsize!(1_024);
/// Items in a section of an archive: the grain of pruning.
const ARCHIVE_SECTION: NonZeroU64 = NZU64!(1_024);
/// Peer sets tracked at once: the present one, which spans two epochs, and the one before.
pub const TRACKED_PEER_SETS: NonZeroUsize = NZUsize!(2);

/// The network channels of a node, each a sender and a receiver.
pub struct Channels<Tx, Rx> {
    /// Votes, muxed by epoch.
    pub votes: (Tx, Rx),
    /// Certificates, muxed by epoch.
    pub certificates: (Tx, Rx),
    /// Requests for certificates of views, muxed by epoch.
    pub resolver: (Tx, Rx),
    /// Requests for finalised blocks.
    pub backfill: (Tx, Rx),
    /// Proposed blocks.
    pub broadcast: (Tx, Rx),
    /// Pending transactions.
    pub transactions: (Tx, Rx),
    /// Questions of nodes without a record of votes.
    pub inquiries: (Tx, Rx),
}

/// Channel ids and the messages a second and peer each may carry, in the order of [`Channels`]. Every slot of a burst is
/// allocated for every peer, so these are small on purpose.
pub const CHANNELS: [(Channel, u32); 7] =
    [(0, 128), (1, 128), (2, 64), (3, 64), (4, 32), (5, gossip::RATE.get() as u32), (6, inquiry::RATE)];

/// The quota of a channel.
pub const fn quota(rate: u32) -> Quota {
    Quota::per_second(match std::num::NonZeroU32::new(rate) {
        Some(rate) => rate,
        None => NZU32!(1),
    })
}

/// Largest message any channel carries, bytes. The same on all nodes of a chain: the network refuses larger ones.
pub fn max_message_bytes(config: &ConsensusConfig) -> u32 {
    let codec = BlockCodec { max_bytes: config.max_block_bytes, committees: Committees::new(&[], None) };
    commonware_p2p::max_message_size(&[
        prefixed(simplex::max_payload_size::<Scheme, Digest>(MAX_COMMITTEE as u32)),
        marshal::max_payload_size::<Standard<ConsensusBlock>, Scheme>(MAX_COMMITTEE as u32, &codec),
        gossip::MAX_MESSAGE_BYTES,
        inquiry::MESSAGE_BYTES,
    ])
}

/// What a node is given.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Consensus parameters.
    pub consensus: ConsensusConfig,
    /// This node's keys.
    pub keys: NodeKeys,
    /// Where to reach sequencers, by identity. Members without an address have to call in.
    pub addresses: BTreeMap<B256, SocketAddr>,
    /// Misbehaves, for a demonstration.
    pub byzantine: Option<Byzantine>,
    /// Prefix of storage partitions (several nodes may share a simulated store).
    pub partition: String,
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The chain knows no committee for the epoch it is in.
    #[error("no committee is known for epoch {0}: the chain's store is incomplete")]
    NoCommittee(u64),
    /// The committee cannot run consensus.
    #[error("committee of epoch {epoch}: {source}")]
    Committee {
        /// Epoch.
        epoch: u64,
        /// Cause.
        source: CommitteeKeyError,
    },
    /// L1 has recovered the chain before blocks that are final here.
    #[error("{0}")]
    Recovery(String),
    /// The record of votes cannot be read or written.
    #[error("the record of votes: {0}; check the disk of the sequencer's directory")]
    Record(String),
    /// Genesis does not fit into consensus.
    #[error("genesis: {0}")]
    Genesis(BlockError),
    /// Consensus acknowledged more than the chain holds: the chain's store was replaced or lost.
    #[error(
        "consensus delivered block {consensus}, the chain holds only {chain}: restore the chain's store, or remove both and resynchronise"
    )]
    ChainBehind {
        /// Height consensus has acknowledged.
        consensus: u64,
        /// Height of the chain.
        chain: u64,
    },
    /// The last block of the previous epoch is not held any more.
    #[error("block {0}, the last of its epoch, is not in the chain's store")]
    NoBoundary(u64),
    /// The network closed.
    #[error("the network closed")]
    Network,
}

/// A running node.
#[derive(Clone)]
pub struct Node {
    status: Arc<Mutex<Status>>,
    evidence: EvidenceLog,
    reporter: EvidenceReporter,
    gossip: TransactionGossip,
    work: Arc<Notify>,
    failed: Arc<Notify>,
}

impl Node {
    /// What it is doing.
    pub fn status(&self) -> Status {
        self.status.lock().clone()
    }

    /// Proofs of double voting found so far.
    pub const fn evidence(&self) -> &EvidenceLog {
        &self.evidence
    }

    /// Compares a finalisation certificate from elsewhere (L1, another node) with what this node has seen; a contradiction becomes evidence.
    /// False if the queue is full.
    pub fn examine(&self, certificate: Bytes) -> bool {
        self.reporter.examine(certificate)
    }

    /// Hands transactions to the other sequencers.
    pub const fn gossip(&self) -> &TransactionGossip {
        &self.gossip
    }

    /// Tells a waiting leader, or a check that waits for L1, to look again now instead of at its next poll.
    pub fn wake(&self) {
        self.work.notify_waiters();
    }

    /// Resolves when the node has stopped by itself; [`Status::failure`] says why.
    pub async fn failed(&self) {
        let notified = self.failed.notified();
        if self.status.lock().failure.is_none() {
            notified.await;
        }
    }
}

/// Marshal's deliveries on their way to the orchestrator. Unbounded by type, bounded by marshal's acknowledgements.
#[derive(Clone)]
struct Delivery(mpsc::UnboundedSender<Update>);

impl Reporter for Delivery {
    type Activity = Update;

    fn report(&mut self, update: Update) -> Feedback {
        match self.0.send(update) {
            Ok(()) => Feedback::Ok,
            Err(_) => Feedback::Closed,
        }
    }
}

/// Blocks nobody. A peer that answers a request for a block with one of an epoch this node does not expect may be right: L1 may have
/// recovered the chain while this node was away. Requests are this node's own and few.
#[derive(Clone)]
struct Forgiving<B>(B);

impl<B: Blocker> Blocker for Forgiving<B> {
    type PublicKey = B::PublicKey;

    fn block(&mut self, _: Self::PublicKey) -> Feedback {
        Feedback::Ok
    }

    fn blocked(&mut self) -> BlockedSubscription<Self::PublicKey> {
        self.0.blocked()
    }
}

/// Composes and starts a node. It runs until its context is stopped or dropped.
pub async fn start<E, M, B, Tx, Rx>(
    context: E,
    config: NodeConfig,
    execution: Arc<dyn Execution>,
    evidence: EvidenceLog,
    on_transactions: OnTransactions,
    manager: M,
    blocker: B,
    channels: Channels<Tx, Rx>,
) -> Result<Node, NodeError>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    M: AddressableManager<PublicKey = Identity> + Sync,
    B: Blocker<PublicKey = Identity> + Sync,
    Tx: Sender<PublicKey = Identity>,
    Rx: Receiver<PublicKey = Identity>,
{
    let me = config.keys.identity_signer().public_key();
    let committees = Committees::new(&config.consensus.namespace, Some(config.keys.clone()));
    let codec = BlockCodec { max_bytes: config.consensus.max_block_bytes, committees: committees.clone() };
    let found = execution.epochs().map_err(|refused| NodeError::Recovery(refused.0))?;
    let epochs = SharedEpochs::new(found.clone());
    let page_cache = CacheRef::new(PAGE, PAGES);

    let (buffer, buffer_mailbox) = buffered::Engine::new(
        context.child("buffer"),
        buffered::Config {
            public_key: me.clone(),
            mailbox_size: MAILBOX,
            deque_size: BUFFERED_BLOCKS,
            priority: true,
            codec_config: codec.clone(),
            peer_provider: manager.clone(),
            strategy: Sequential,
        },
    );
    let resolver = backfill::init(
        context.child("backfill"),
        backfill::Config {
            public_key: me.clone(),
            peer_provider: manager.clone(),
            blocker: Forgiving(blocker.clone()),
            mailbox_size: MAILBOX,
            fetch_timeout: NZDuration!(FETCH_TIMEOUT),
            fetch_retry_delay: FETCH_RETRY,
            priority_requests: false,
            priority_responses: false,
        },
        channels.backfill,
    );

    // Asked before the archives create their partitions.
    let fresh = context.scan(&format!("{}-blocks-values", config.partition)).await.map_or(true, |blobs| blobs.is_empty());
    let archive = |name: &str| ArchivePartitions::new(&config.partition, name);
    let finalizations = prunable::Archive::init(
        context.child("finalizations"),
        archive("finalizations").config(Scheme::certificate_codec_config_unbounded(), &page_cache),
    )
    .await
    .expect("the certificate archive opens: storage errors are fatal");
    let blocks = prunable::Archive::init(context.child("blocks"), archive("blocks").config(codec.clone(), &page_cache))
        .await
        .expect("the block archive opens: storage errors are fatal");

    // Committees must be seated before marshal checks anything: those of the chain's head cover its own position, which is
    // never ahead of the head.
    let head = execution.head();
    let head_epoch = found.of(head.number());
    for epoch in [found.before(head_epoch), Some(head_epoch), found.after(head_epoch)].into_iter().flatten() {
        if let Some(committee) = execution.committee_of_epoch(epoch) {
            committees.seat(epoch, committee).map_err(|source| NodeError::Committee { epoch, source })?;
        }
    }
    let genesis = ConsensusBlock::new(execution.genesis(), &codec).map_err(NodeError::Genesis)?;
    let anchor = if fresh { anchor(execution.as_ref(), &committees, &found, head.number()) } else { None };
    let (start, first) = match anchor {
        Some((number, finalization)) => (Start::Floor(finalization), number),
        None => (Start::Genesis(Digested::precomputed(genesis.clone(), genesis.digest())), 1),
    };
    let (actor, marshal, floor) = Actor::<_, Standard<ConsensusBlock>, _, _, _, _, _>::init(
        context.child("marshal"),
        finalizations,
        blocks,
        marshal::Config {
            provider: committees.clone(),
            epocher: epochs.clone(),
            start,
            partition_prefix: format!("{}-marshal", config.partition),
            mailbox_size: MAILBOX,
            view_retention: CACHE_RETENTION,
            prunable_items_per_section: ARCHIVE_SECTION,
            page_cache: page_cache.clone(),
            replay_buffer: REPLAY_BUFFER,
            key_write_buffer: WRITE_BUFFER,
            value_write_buffer: WRITE_BUFFER,
            block_codec_config: codec.clone(),
            max_repair: MAX_REPAIR,
            max_pending_acks: MAX_PENDING_ACKS,
            strategy: Sequential,
        },
    )
    .await;
    let processed = floor.processed().map_or(0, |processed| processed.height().get());
    if processed > head.number() {
        return Err(NodeError::ChainBehind { consensus: processed, chain: head.number() });
    }

    let work = Arc::new(Notify::new());
    let chain = Chain::new(execution.clone(), codec, config.consensus.timing, work.clone());
    let automaton = Deferred::new(context.child("automaton"), chain, marshal.clone(), epochs.clone());
    let (deliveries, updates) = mpsc::unbounded_channel();
    let attendance = Attendance::default();
    let (collector, evidence_reporter) = Collector::new(
        context.child("evidence_rng"),
        committees.clone(),
        execution.clone(),
        evidence.clone(),
        attendance.clone(),
    );
    context.child("evidence").spawn(|_| collector.run().in_current_span());

    let raw_votes = channels.votes.0.clone();
    let (votes_mux, votes, later_epochs) =
        Muxer::builder(context.child("votes"), channels.votes.0, channels.votes.1).with_backup().build();
    let (certificates_mux, certificates) =
        Muxer::new(context.child("certificates"), channels.certificates.0, channels.certificates.1);
    let (resolver_mux, resolver_handle) = Muxer::new(context.child("view_resolver"), channels.resolver.0, channels.resolver.1);
    votes_mux.start();
    certificates_mux.start();
    resolver_mux.start();

    let (gossip_actor, gossip) = Gossip::new(on_transactions);
    let (tx_sender, tx_receiver) = channels.transactions;
    let probe = tx_sender.clone();
    gossip_actor.start(&context.child("gossip"), tx_sender, tx_receiver);

    let owner = keccak256([config.consensus.namespace.as_slice(), me.as_ref()].concat());
    let record = VotingRecord::open(context.child("record"), format!("{}-record", config.partition), owner)
        .await
        .map_err(|error| NodeError::Record(error.to_string()))?;

    let status = Arc::new(Mutex::new(Status { finalized: head.number(), ..Status::default() }));
    let failed = Arc::new(Notify::new());
    let mut orchestrator = Orchestrator {
        context: context.child("orchestrator"),
        addresses: peer_addresses(&config.addresses),
        config,
        execution,
        epochs,
        committees,
        marshal,
        automaton,
        evidence: evidence_reporter.clone(),
        attendance,
        record,
        inquiries: channels.inquiries.0,
        inquiry: Inquiry::default(),
        manager,
        blocker,
        probe,
        raw_votes,
        page_cache,
        votes,
        certificates,
        resolver: resolver_handle,
        status: status.clone(),
        next: first.max(processed + 1),
        course: Course::default(),
    };
    let epoch = found.of(orchestrator.next);
    orchestrator.seat(epoch)?.ok_or(NodeError::NoCommittee(epoch))?;
    orchestrator.track(epoch);
    buffer.start(channels.broadcast);
    actor.start(Delivery(deliveries), buffer_mailbox, resolver);
    let node = Node { status, evidence, reporter: evidence_reporter, gossip, work, failed };
    let handle = node.clone();
    context.child("deliveries").spawn(move |context| {
        let deliver = async move {
            let Err(failure) = orchestrator.run(updates, later_epochs, channels.inquiries.1).await else { return };
            // When all are told to stop, the network may do so before this task: that is no failure.
            if context.stopped().now_or_never().is_some() {
                debug!(%failure, "the sequencer was told to stop");
                return;
            }
            error!(%failure, "the sequencer stops");
            handle.status.lock().failure = Some(failure);
            handle.failed.notify_waiters();
        };
        deliver.in_current_span()
    });
    Ok(node)
}

/// Where marshal may start when consensus storage is new but the chain is not (it was rebuilt from L1): at the newest block the
/// chain holds a certificate for, within the epochs whose committees are known.
fn anchor(execution: &dyn Execution, committees: &Committees, epochs: &Epochs, head: u64) -> Option<(u64, Finalization)> {
    let oldest = epochs.before(epochs.of(head)).and_then(|before| epochs.blocks(before)).map_or(1, |(first, _)| first.max(1));
    (oldest..=head).rev().find_map(|number| {
        let certificate = execution.certificate(number)?;
        let epoch = Certificate::decode(&certificate).ok()?.epoch;
        Some((number, decode_finalization(&certificate, committees.get(epoch)?.committee.members.len())?))
    })
}

/// Addresses by decoded identity; a key that is no key is left out with a warning.
fn peer_addresses(addresses: &BTreeMap<B256, SocketAddr>) -> BTreeMap<Identity, Address> {
    let mut decoded = BTreeMap::new();
    for (identity, address) in addresses {
        match Identity::decode(Copying(identity.as_slice())) {
            Ok(key) => drop(decoded.insert(key, Address::from(*address))),
            Err(_) => warn!(%identity, "configured peer is not an ed25519 public key: left out"),
        }
    }
    decoded
}

/// Partition names of one archive.
struct ArchivePartitions(String);

impl ArchivePartitions {
    fn new(prefix: &str, name: &str) -> Self {
        Self(format!("{prefix}-{name}"))
    }

    fn config<C>(&self, codec_config: C, page_cache: &CacheRef) -> prunable::Config<EightCap, C> {
        prunable::Config {
            translator: EightCap,
            metadata_partition: format!("{}-metadata", self.0),
            key_partition: format!("{}-keys", self.0),
            key_page_cache: page_cache.clone(),
            value_partition: format!("{}-values", self.0),
            compression: None,
            codec_config,
            items_per_section: ARCHIVE_SECTION,
            key_write_buffer: WRITE_BUFFER,
            value_write_buffer: WRITE_BUFFER,
            replay_buffer: REPLAY_BUFFER,
        }
    }
}
