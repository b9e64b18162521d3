//! One node of the committee, composed: network channels, block buffer, marshal, one simplex engine an epoch, and the
//! orchestrator that moves from epoch to epoch.
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

use alloy_primitives::{B256, Bytes};
use commonware_actor::Feedback;
use commonware_broadcast::buffered;
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_consensus::{
    Reporter, Reporters,
    marshal::{
        self, Start,
        core::Actor,
        resolver::p2p as backfill,
        standard::{Deferred, Standard},
    },
    simplex::{self, Floor, ForwardPolicy, SkipBudget, SkipPolicy},
    types::{Epoch, FixedEpocher, Height, ViewDelta},
};
use commonware_cryptography::{Digested, Digestible as _, Signer as _, certificate::Verifier as _};
use commonware_macros::select;
use commonware_p2p::{
    Address, AddressableManager, AddressableTrackedPeers, Blocker, Channel, CheckedSender as _, Receiver, Recipients, Sender,
    utils::mux::{Builder as _, MuxHandle, Muxer, prefixed},
};
use commonware_parallel::Sequential;
use commonware_runtime::{
    BLOB_PAGE_SIZE, Clock, Handle, IoBuf, Metrics, Quota, Spawner, Storage,
    buffer::paged::{CHECKSUM_SIZE, CacheRef},
};
use commonware_storage::{archive::prunable, translator::EightCap};
use commonware_utils::{NZDuration, NZU32, NZU64, NZUsize, channel::mpsc as cw_mpsc, ordered::Map, vec::NonEmptyVec};
use oceanid_primitives::MAX_COMMITTEE;
use parking_lot::Mutex;
use rand_core::CryptoRng;
use tokio::sync::{Notify, mpsc};
use tracing::{debug, error, info, warn};

use crate::{
    BlockCodec, BlockError, Committees, ConsensusBlock, ConsensusConfig, Execution, NodeKeys,
    application::Chain,
    block::digest,
    certificate::{Certificate, decode_finalization},
    committees::{CommitteeKeyError, Seated, StakeElector},
    evidence::{Collector, EvidenceLog, EvidenceReporter},
    gossip::{self, Gossip, OnTransactions, TransactionGossip},
    types::{Digest, Finalization, Identity, Marshal, Scheme, Update},
};

/// Capacity of the mailboxes between actors, messages.
const MAILBOX: NonZeroUsize = NZUsize!(1_024);
/// Blocks a peer may have in the buffer: the proposals of a few views.
const BUFFERED_BLOCKS: usize = 8;
/// Views kept behind the finalised one.
const VIEW_RETENTION: ViewDelta = ViewDelta::new(256);
/// A stuck view repeats its nullify vote after this.
const TIMEOUT_RETRY: Duration = Duration::from_millis(1_000);
/// A peer has this long to answer a request.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause before an unanswered request is tried elsewhere.
const FETCH_RETRY: Duration = Duration::from_millis(100);
/// Missing finalised blocks asked for at a time.
const MAX_REPAIR: NonZeroUsize = NZUsize!(32);
/// Delivered blocks that may wait for the chain.
const MAX_PENDING_ACKS: NonZeroUsize = NZUsize!(16);
/// Buffers of journals and archives, bytes.
const REPLAY_BUFFER: NonZeroUsize = NZUsize!(1 << 20);
const WRITE_BUFFER: NonZeroUsize = NZUsize!(256 << 10);
/// Page cache: pages that fill a physical page together with their checksum, and how many (4 MiB).
const PAGE: NonZeroU16 = NonZeroU16::new(BLOB_PAGE_SIZE as u16 - CHECKSUM_SIZE as u16).expect("smaller than a page");
const PAGES: NonZeroUsize = NZUsize!(1_024);
/// Items in a section of an archive: the grain of pruning.
const ARCHIVE_SECTION: NonZeroU64 = NZU64!(1_024);
/// A starting node waits at most this long for a quorum of peers before it takes part.
const ASSEMBLY_PATIENCE: Duration = Duration::from_secs(3);
/// How often it looks.
const ASSEMBLY_POLL: Duration = Duration::from_millis(25);
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
}

/// Channel ids and the messages a second and peer each may carry, in the order of [`Channels`]. Every slot of a burst is
/// allocated for every peer, so these are small on purpose.
pub const CHANNELS: [(Channel, u32); 6] = [(0, 128), (1, 128), (2, 64), (3, 64), (4, 32), (5, gossip::RATE.get() as u32)];

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
    ])
}

/// What a node is given.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Consensus parameters.
    pub consensus: ConsensusConfig,
    /// This node's keys.
    pub keys: NodeKeys,
    /// Where to reach sequencers, by identity; members without an address cannot take part with this node.
    pub addresses: BTreeMap<B256, SocketAddr>,
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

/// What a node is doing, for operators and tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Epoch of the running engine.
    pub epoch: u64,
    /// Whether this node votes in it.
    pub voting: bool,
    /// Members of its committee.
    pub committee_size: usize,
    /// Newest block that is durable here.
    pub finalized: u64,
    /// Newest finalised height heard of.
    pub tip: u64,
    /// Why the node stopped, if it did.
    pub failure: Option<String>,
}

/// A running node.
#[derive(Clone)]
pub struct Node {
    status: Arc<Mutex<Status>>,
    evidence: EvidenceLog,
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

type Automaton<E> = Deferred<E, Scheme, Chain, ConsensusBlock, FixedEpocher>;

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
    let epocher = FixedEpocher::new(config.consensus.epoch_length);
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
            blocker: blocker.clone(),
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
    let length = config.consensus.epoch_length;
    let epoch_of = move |number: u64| number / length;
    let head_epoch = epoch_of(head.number());
    for epoch in head_epoch.saturating_sub(1)..=head_epoch + 1 {
        if let Some(committee) = execution.committee_of_epoch(epoch) {
            committees.seat(epoch, committee).map_err(|source| NodeError::Committee { epoch, source })?;
        }
    }
    let genesis = ConsensusBlock::new(execution.genesis(), &codec).map_err(NodeError::Genesis)?;
    let anchor = if fresh { anchor(execution.as_ref(), &committees, head.number(), length.get()) } else { None };
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
            epocher: epocher.clone(),
            start,
            partition_prefix: format!("{}-marshal", config.partition),
            mailbox_size: MAILBOX,
            view_retention: VIEW_RETENTION,
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
    let automaton = Deferred::new(context.child("automaton"), chain, marshal.clone(), epocher);
    let (deliveries, updates) = mpsc::unbounded_channel();
    let (collector, evidence_reporter) = Collector::new(context.child("evidence_rng"), committees.clone(), evidence.clone());
    context.child("evidence").spawn(|_| collector.run());

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
    context.child("gossip").spawn(|runtime| gossip_actor.run(runtime, tx_sender, tx_receiver));

    let status = Arc::new(Mutex::new(Status { finalized: head.number(), ..Status::default() }));
    let failed = Arc::new(Notify::new());
    let mut orchestrator = Orchestrator {
        context: context.child("orchestrator"),
        addresses: peer_addresses(&config.addresses),
        config,
        execution,
        committees,
        marshal,
        automaton,
        evidence: evidence_reporter,
        manager,
        blocker,
        page_cache,
        votes,
        certificates,
        resolver: resolver_handle,
        status: status.clone(),
        tracked: None,
        engine: None,
    };
    // The epoch of the next block to come.
    let epoch = epoch_of(first.max(processed + 1));
    orchestrator.seat(epoch)?.ok_or(NodeError::NoCommittee(epoch))?;
    orchestrator.track(epoch);
    buffer.start(channels.broadcast);
    actor.start(Delivery(deliveries), buffer_mailbox, resolver);
    let node = Node { status, evidence, gossip, work, failed };
    let handle = node.clone();
    context.child("deliveries").spawn(move |_| async move {
        if let Err(failure) = orchestrator.run(epoch, probe, updates, later_epochs).await {
            error!(%failure, "the sequencer stops");
            handle.status.lock().failure = Some(failure);
            handle.failed.notify_waiters();
        }
    });
    Ok(node)
}

/// Where marshal may start when consensus storage is new but the chain is not (it was rebuilt from L1): at the newest block the
/// chain holds a certificate for, within the epochs whose committees are known.
fn anchor(execution: &dyn Execution, committees: &Committees, head: u64, epoch_length: u64) -> Option<(u64, Finalization)> {
    let oldest = (head / epoch_length).saturating_sub(1) * epoch_length;
    (oldest.max(1)..=head).rev().find_map(|number| {
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

/// Takes finalised blocks to the chain and the node from epoch to epoch.
struct Orchestrator<E, M, B, Tx>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    Tx: Sender<PublicKey = Identity>,
{
    context: E,
    config: NodeConfig,
    addresses: BTreeMap<Identity, Address>,
    execution: Arc<dyn Execution>,
    committees: Committees,
    marshal: Marshal,
    automaton: Automaton<E>,
    evidence: EvidenceReporter,
    manager: M,
    blocker: B,
    page_cache: CacheRef,
    votes: MuxHandle<Tx>,
    certificates: MuxHandle<Tx>,
    resolver: MuxHandle<Tx>,
    status: Arc<Mutex<Status>>,
    tracked: Option<u64>,
    engine: Option<(u64, Handle<()>)>,
}

impl<E, M, B, Tx> Orchestrator<E, M, B, Tx>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    M: AddressableManager<PublicKey = Identity>,
    B: Blocker<PublicKey = Identity>,
    Tx: Sender<PublicKey = Identity>,
{
    async fn run(
        mut self,
        first_epoch: u64,
        probe: Tx,
        mut updates: mpsc::UnboundedReceiver<Update>,
        mut later_epochs: cw_mpsc::Receiver<(Channel, (Identity, IoBuf))>,
    ) -> Result<(), String> {
        let mut stopped = self.context.stopped();
        self.assemble(first_epoch, probe).await;
        self.enter(first_epoch).await.map_err(|error| error.to_string())?;
        loop {
            select! {
                _ = &mut stopped => { return Ok(()); },
                update = updates.recv() => match update {
                    None => return Err("ordered delivery stopped".into()),
                    Some(Update::Tip(_, height, _)) => self.status.lock().tip = height.get(),
                    Some(Update::Block(block, acknowledgement)) => {
                        self.deliver(&block).await?;
                        commonware_utils::Acknowledgement::acknowledge(acknowledgement);
                    }
                },
                message = later_epochs.recv() => {
                    let Some((epoch, (peer, _))) = message else { return Ok(()) };
                    // Somebody votes in an epoch we have not reached: its first certificate we lack is that of our last block.
                    let Some((current, _)) = &self.engine else { continue };
                    if epoch > *current {
                        let last = (current + 1) * self.config.consensus.epoch_length.get() - 1;
                        self.marshal.hint_finalized(Height::new(last), NonEmptyVec::new(peer));
                    }
                },
            }
        }
    }

    /// Waits for connections to a quorum of the committee, but not long: a proposal sent before that reaches nobody and costs the
    /// first view its whole patience.
    async fn assemble(&self, epoch: u64, mut probe: Tx) {
        let Some(seated) = self.committees.get(epoch) else { return };
        let others = seated.committee.quorum() - usize::from(seated.votes);
        let deadline = self.context.current() + ASSEMBLY_PATIENCE;
        while self.context.current() < deadline {
            let connected = probe.check(Recipients::All).map_or(0, |checked| {
                checked.recipients().iter().filter(|peer| seated.identities.position(peer).is_some()).count()
            });
            if connected >= others {
                break;
            }
            self.context.sleep(ASSEMBLY_POLL).await;
        }
    }

    /// Makes a finalised block durable and draws its consequences. After an error nothing is acknowledged any more.
    async fn deliver(&mut self, block: &Digested<ConsensusBlock>) -> Result<(), String> {
        let sealed = block.inner().sealed().clone();
        let number = sealed.number();
        let certificate =
            self.marshal.get_finalization(Height::new(number)).await.map(|found| Bytes::from(found.encode().to_vec()));
        if number > 0 {
            let (execution, subject) = (self.execution.clone(), sealed.clone());
            let commit = self
                .context
                .child("finalize")
                .shared(true)
                .spawn(move |_| async move { execution.finalize(&subject, certificate) });
            match commit.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err("the runtime stopped while a block was being stored".into()),
            }
        }
        {
            let mut status = self.status.lock();
            status.finalized = status.finalized.max(number);
            status.tip = status.tip.max(number);
        }
        let length = self.config.consensus.epoch_length.get();
        let epoch = number / length;
        // Known from the first block of an epoch on.
        if self.committees.get(epoch + 1).is_none() {
            self.seat(epoch + 1).map_err(|error| error.to_string())?;
            self.track(epoch);
        }
        if number == (epoch + 1) * length - 1 {
            self.enter(epoch + 1).await.map_err(|error| error.to_string())?;
            self.retire(epoch).await;
        }
        Ok(())
    }

    /// Seats the committee of an epoch if the chain knows it.
    fn seat(&self, epoch: u64) -> Result<Option<Arc<Seated>>, NodeError> {
        if let Some(seated) = self.committees.get(epoch) {
            return Ok(Some(seated));
        }
        let Some(committee) = self.execution.committee_of_epoch(epoch) else { return Ok(None) };
        self.committees.seat(epoch, committee).map(Some).map_err(|source| NodeError::Committee { epoch, source })
    }

    /// Dials the members of this epoch and of the next as soon as that is known; other sequencers may connect.
    fn track(&mut self, epoch: u64) {
        let next = self.committees.get(epoch + 1);
        let id = 2 * epoch + u64::from(next.is_some());
        if self.tracked.is_some_and(|tracked| tracked >= id) {
            return;
        }
        let room = self.config.consensus.max_peers;
        let mut primary = BTreeMap::new();
        for seated in [self.committees.get(epoch), next].into_iter().flatten() {
            for identity in seated.identities.iter() {
                if primary.len() == room {
                    error!(room, "more committee members than `max_peers`: raise it and restart");
                    break;
                }
                match self.addresses.get(identity) {
                    Some(address) => drop(primary.insert(identity.clone(), address.clone())),
                    None => warn!(%identity, epoch, "no address is configured for a committee member"),
                }
            }
        }
        let secondary: BTreeMap<_, _> = self
            .addresses
            .iter()
            .filter(|(identity, _)| !primary.contains_key(*identity))
            .take(room - primary.len())
            .map(|(identity, address)| (identity.clone(), address.clone()))
            .collect();
        let peers = AddressableTrackedPeers::new(Map::from_iter_dedup(primary), Map::from_iter_dedup(secondary));
        self.manager.track(id, peers);
        self.tracked = Some(id);
    }

    /// Starts the engine of an epoch on the last block of the one before, and stops the older engine.
    async fn enter(&mut self, epoch: u64) -> Result<(), NodeError> {
        let seated = self.seat(epoch)?.ok_or(NodeError::NoCommittee(epoch))?;
        self.seat(epoch + 1)?;
        self.track(epoch);
        let boundary = (epoch * self.config.consensus.epoch_length.get()).saturating_sub(1);
        let floor = self.execution.finalized_hash(boundary).ok_or(NodeError::NoBoundary(boundary))?;
        if let Some((_, engine)) = self.engine.take() {
            engine.abort();
        }
        let timing = self.config.consensus.timing;
        let engine = simplex::Engine::new(
            self.context.child("engine").with_attribute("epoch", epoch),
            simplex::Config {
                scheme: seated.scheme.as_ref().clone(),
                elector: StakeElector(seated.committee.clone()),
                blocker: self.blocker.clone(),
                automaton: self.automaton.clone(),
                relay: self.automaton.clone(),
                reporter: Reporters::from((self.automaton.clone(), self.evidence.clone())),
                track_historical_votes: true,
                strategy: Sequential,
                partition: self.journal(epoch),
                mailbox_size: MAILBOX,
                epoch: Epoch::new(epoch),
                floor: Floor::Genesis(digest(floor)),
                replay_buffer: REPLAY_BUFFER,
                write_buffer: WRITE_BUFFER,
                page_cache: self.page_cache.clone(),
                leader_timeout: timing.leader_timeout(),
                certification_timeout: timing.certification_timeout(),
                timeout_retry: TIMEOUT_RETRY.min(timing.certification_timeout()),
                view_retention: VIEW_RETENTION,
                skip: SkipPolicy::Enabled { timeout: timing.skip_timeout(), budget: SkipBudget::Participants },
                fetch_timeout: NZDuration!(FETCH_TIMEOUT),
                fetch_retry_delay: FETCH_RETRY,
                forward: ForwardPolicy::SilentLeader,
            },
        );
        let network = |_| NodeError::Network;
        let votes = self.votes.register(epoch).await.map_err(network)?;
        let certificates = self.certificates.register(epoch).await.map_err(network)?;
        let resolver = self.resolver.register(epoch).await.map_err(network)?;
        self.engine = Some((epoch, engine.start(votes, certificates, resolver)));
        {
            let mut status = self.status.lock();
            status.epoch = epoch;
            status.voting = seated.votes;
            status.committee_size = seated.committee.members.len();
        }
        info!(
            epoch,
            committee = seated.committee.id,
            members = seated.committee.members.len(),
            voting = seated.votes,
            "entered an epoch"
        );
        Ok(())
    }

    /// Forgets what the epoch before `ended` left behind. The journal of `ended` itself stays one epoch longer: until the
    /// acknowledgement of its last block is durable, a restart would open it again, and an empty journal could vote twice.
    async fn retire(&self, ended: u64) {
        let Some(older) = ended.checked_sub(1) else { return };
        match self.context.remove(&self.journal(older), None).await {
            Ok(()) => debug!(epoch = older, "removed the vote journal of a past epoch"),
            Err(error) => debug!(epoch = older, %error, "no vote journal of a past epoch to remove"),
        }
        self.committees.forget_before(older);
        let next = (ended + 1) * self.config.consensus.epoch_length.get();
        if let Some(oldest) = next.checked_sub(self.config.consensus.keep_blocks) {
            self.marshal.prune(Height::new(oldest));
        }
    }

    fn journal(&self, epoch: u64) -> String {
        format!("{}-simplex-{epoch}", self.config.partition)
    }
}
