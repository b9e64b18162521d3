//! The orchestrator: takes finalised blocks to the chain, and the node from epoch to epoch, by blocks and by recoveries on L1.
//!
//! One engine runs at a time, that of the epoch of the next block. It changes when the last block of its epoch was delivered, and when L1
//! has recovered the chain after the newest block delivered: then its committee is out of office and nothing it does counts.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use alloy_primitives::{B256, Bytes};
use commonware_codec::Encode as _;
use commonware_consensus::{
    Reporters,
    marshal::standard::Deferred,
    simplex::{self, Floor, ForwardPolicy, SkipBudget, SkipPolicy},
    types::{Epoch, Height},
};
use commonware_cryptography::Digested;
use commonware_macros::select;
use commonware_p2p::{
    Address, AddressableManager, AddressableTrackedPeers, Blocker, Channel, CheckedSender as _, Ingress, Receiver, Recipients,
    Sender, utils::mux::MuxHandle,
};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Handle, IoBuf, Metrics, Spawner, Storage, buffer::paged::CacheRef};
use commonware_utils::{NZDuration, channel::mpsc as cw_mpsc, hostname, ordered::Map, vec::NonEmptyVec};
use parking_lot::Mutex;
use rand_core::CryptoRng;
use tokio::sync::mpsc;
use tracing::{Instrument as _, debug, error, info, warn};

use crate::{
    Byzantine, Committees, ConsensusBlock, Execution, Status,
    application::{Chain, seconds},
    block::digest,
    byzantine::Equivocator,
    committees::{Seated, StakeElector},
    epochs::SharedEpochs,
    evidence::EvidenceReporter,
    inquiry::{Finding, Inquiry, Statement},
    node::{
        FETCH_RETRY, FETCH_TIMEOUT, MAILBOX, NodeConfig, NodeError, REPLAY_BUFFER, TIMEOUT_RETRY, VIEW_RETENTION, WRITE_BUFFER,
    },
    status::Attendance,
    types::{Identity, Marshal, Scheme, Update},
    voting_record::VotingRecord,
};

/// How often L1 is asked for recoveries and the committee is looked at.
const TICK: Duration = Duration::from_millis(500);
/// A starting node waits at most this long for a quorum of peers before it takes part.
const ASSEMBLY_PATIENCE: Duration = Duration::from_secs(3);
/// How often it looks.
const ASSEMBLY_POLL: Duration = Duration::from_millis(25);
/// How often a starting node without a record of votes asks everybody; later it does every [`TICK`].
pub(crate) const ASK_EVERY: Duration = Duration::from_millis(250);
/// A node at genesis that some peers refuse to vouch for waits this long for others, then follows the chain without voting; and for so long
/// a record waits for a quorum's clocks.
const DOUBT_PATIENCE: Duration = Duration::from_secs(60);
/// The first section of a vote journal; sections are named by views, of which the first is 1.
const FIRST_SECTION: u64 = 0;
/// Epochs before the running one whose journals a starting node looks for.
const RETIRED_AT_START: u64 = 8;

/// Why a member only observes.
const NOT_COVERED: &str = "the record of this node's votes does not cover this epoch: it observes until the next one that began after \
                           the record did";

/// What the consensus library drives.
pub(crate) type Automaton<E> = Deferred<E, Scheme, Chain, ConsensusBlock, SharedEpochs>;

/// Everything the orchestrator works with.
pub(crate) struct Orchestrator<E, M, B, Tx>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    Tx: Sender<PublicKey = Identity>,
{
    pub(crate) context: E,
    pub(crate) config: NodeConfig,
    pub(crate) addresses: BTreeMap<Identity, Address>,
    pub(crate) execution: Arc<dyn Execution>,
    pub(crate) epochs: SharedEpochs,
    pub(crate) committees: Committees,
    pub(crate) marshal: Marshal,
    pub(crate) automaton: Automaton<E>,
    pub(crate) evidence: EvidenceReporter,
    pub(crate) attendance: Attendance,
    pub(crate) record: VotingRecord<E>,
    pub(crate) inquiries: Tx,
    pub(crate) inquiry: Inquiry,
    pub(crate) manager: M,
    pub(crate) blocker: B,
    /// Tells who is connected.
    pub(crate) probe: Tx,
    /// The votes' channel under the mux.
    pub(crate) raw_votes: Tx,
    pub(crate) page_cache: CacheRef,
    pub(crate) votes: MuxHandle<Tx>,
    pub(crate) certificates: MuxHandle<Tx>,
    pub(crate) resolver: MuxHandle<Tx>,
    pub(crate) status: Arc<Mutex<Status>>,
    /// Number of the next block to be delivered.
    pub(crate) next: u64,
    pub(crate) course: Course,
}

/// Where the orchestrator stands.
#[derive(Default)]
pub(crate) struct Course {
    engine: Option<(u64, Handle<()>)>,
    /// When this node began to ask.
    started: Option<SystemTime>,
    /// Id of the newest set of peers.
    tracked: Option<u64>,
    /// Journals of this epoch and those before it are gone.
    retired: Option<u64>,
    /// When a block was last delivered.
    delivered: Option<SystemTime>,
    /// A halt was logged.
    told: bool,
}

/// The address of a member that the configuration does not name. The network resolves no names, so it is never dialled, and which
/// address a peer calls from is not looked at: who it is, its key proves.
fn unknown_address() -> Address {
    let anywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    Address::Asymmetric { ingress: Ingress::Dns { host: hostname!("unknown.invalid"), port: 0 }, egress: anywhere }
}

impl<E, M, B, Tx> Orchestrator<E, M, B, Tx>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
    M: AddressableManager<PublicKey = Identity>,
    B: Blocker<PublicKey = Identity>,
    Tx: Sender<PublicKey = Identity>,
{
    /// Runs until the node stops; an error says why it cannot go on.
    pub(crate) async fn run(
        mut self,
        mut updates: mpsc::UnboundedReceiver<Update>,
        mut later_epochs: cw_mpsc::Receiver<(Channel, (Identity, IoBuf))>,
        mut statements: impl Receiver<PublicKey = Identity>,
    ) -> Result<(), String> {
        let mut stopped = self.context.stopped();
        self.course.started = Some(self.context.current());
        select! {
            _ = &mut stopped => { return Ok(()); },
            assembled = self.assemble(&mut statements) => assembled?,
        }
        let first = self.epochs.get().of(self.next);
        self.enter(first).await.map_err(|error| error.to_string())?;
        self.course.delivered = Some(self.context.current());
        let mut tick = self.context.current() + TICK;
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
                    let Some((current, _)) = &self.course.engine else { continue };
                    if epoch > *current && let Some((_, last)) = self.epochs.get().blocks(*current) {
                        self.marshal.hint_finalized(Height::new(last), NonEmptyVec::new(peer));
                    }
                },
                message = statements.recv() => {
                    let Ok((peer, message)) = message else { return Ok(()) };
                    self.hear(peer, message);
                },
                _ = self.context.sleep_until(tick) => {
                    tick = self.context.current() + TICK;
                    self.follow_recoveries().await?;
                    self.inquire().await.map_err(|error| error.to_string())?;
                    self.look_around();
                },
            }
        }
    }

    /// Waits until this node may take part: for connections to a quorum of the committee, but not long (a proposal sent before that reaches
    /// nobody and costs the first view its whole patience); and in the first epoch at genesis, if it does not know that it has been there
    /// from the beginning, until the others say so.
    async fn assemble(&mut self, statements: &mut impl Receiver<PublicKey = Identity>) -> Result<(), String> {
        let started = self.context.current();
        let (mut ask, mut tick) = (started, started + TICK);
        let mut asked = 0;
        loop {
            let epoch = self.epochs.get().of(self.next);
            let Some(seated) = self.seat(epoch).map_err(|error| error.to_string())? else { return Ok(()) };
            let others = seated.committee.quorum() - usize::from(seated.seat.is_some());
            let now = self.context.current();
            let connected = self.connected(&seated).len();
            let at_genesis = epoch == 0 && self.next <= 1 && seated.seat.is_some();
            if !at_genesis || self.record.is_settled() {
                let waited = now.duration_since(started).unwrap_or_default();
                if connected >= others || waited >= ASSEMBLY_PATIENCE {
                    if !self.record.has_begun() {
                        self.ask();
                    }
                    return Ok(());
                }
            } else {
                let finding = self.inquiry.judge(&seated, self.clock_margin());
                let settled = matches!(finding, Finding::New | Finding::Begun);
                self.begin_record(finding).await.map_err(|error| error.to_string())?;
                if settled || self.inquiry.somebody_refuses() && self.has_waited() {
                    return Ok(());
                }
                self.status.lock().sitting_out = Some(finding.to_string());
                if now >= ask || connected > asked {
                    self.ask();
                    (ask, asked) = (now + ASK_EVERY, connected);
                }
            }
            if now >= tick {
                tick = now + TICK;
                // A committee that never began may have been replaced.
                self.follow_recoveries().await?;
                let epoch = self.epochs.get().of(self.next);
                self.seat(epoch).map_err(|error| error.to_string())?;
                self.track(epoch);
            }
            select! {
                message = statements.recv() => {
                    let Ok((peer, message)) = message else { return Err(NodeError::Network.to_string()) };
                    self.hear(peer, message);
                },
                _ = self.context.sleep(ASSEMBLY_POLL) => {},
            }
        }
    }

    /// Whether this node has waited for answers as long as it does.
    fn has_waited(&self) -> bool {
        self.course
            .started
            .is_some_and(|started| self.context.current().duration_since(started).is_ok_and(|waited| waited >= DOUBT_PATIENCE))
    }

    /// Two nodes' clocks, or a clock and a block's timestamp, differ by less than this; seconds.
    const fn clock_margin(&self) -> u64 {
        2 * self.config.consensus.clock_drift.as_secs()
    }

    /// States this node's clock to every peer and asks for theirs.
    fn ask(&mut self) {
        let peers = self.inquiries.check(Recipients::All).map_or(Vec::new(), |checked| checked.recipients());
        for peer in peers {
            self.state(peer, true);
        }
    }

    fn state(&mut self, peer: Identity, asks: bool) {
        let statement = Statement { asks, vouches: self.vouches_for(&peer), clock: seconds(self.context.current()) };
        // Whoever misses it asks again.
        let _: Vec<Identity> = self.inquiries.send(Recipients::One(peer), statement.encode(), false);
    }

    /// Whether this node has been with the chain from its beginning, which still is in its first epoch, and knows of no signature of a peer.
    fn vouches_for(&self, peer: &Identity) -> bool {
        let at_genesis = self.next <= 1 && !self.record.has_votes();
        let in_the_first_epoch = self.course.engine.as_ref().is_none_or(|(epoch, _)| *epoch == 0);
        let position = self.committees.get(0).and_then(|seated| seated.identities.position(peer));
        let signed = position
            .map(|position| position as u32)
            .is_some_and(|position| self.record.signers().contains(&position) || self.attendance.signers(0).contains(&position));
        (at_genesis || self.record.is_whole() && in_the_first_epoch) && !signed
    }

    /// Takes a peer's statement and answers it.
    fn hear(&mut self, peer: Identity, message: IoBuf) {
        let Some(statement) = Statement::decode(message) else {
            debug!(%peer, "malformed statement about the beginning of the chain");
            return;
        };
        if !self.record.is_settled() {
            self.inquiry.hear(peer.clone(), statement, seconds(self.context.current()));
        }
        if statement.asks {
            self.state(peer, false);
        }
    }

    /// Without a record of votes: begins it when the running committee's answers allow that, else asks again. With one: notes whose
    /// signatures it knows of.
    async fn inquire(&mut self) -> Result<(), NodeError> {
        let Some((epoch, _)) = self.course.engine else { return Ok(()) };
        if self.record.has_begun() {
            let signers = self.attendance.signers(0);
            return self.record.note_signers(signers).await.map_err(|error| NodeError::Record(error.to_string()));
        }
        let Some(seated) = self.committees.get(epoch) else { return Ok(()) };
        let finding = match self.inquiry.judge(&seated, self.clock_margin()) {
            Finding::New if epoch != 0 => Finding::Begun,
            Finding::Unclear => Finding::Begun,
            finding => finding,
        };
        self.begin_record(finding).await?;
        if !self.record.has_begun() {
            if seated.seat.is_some() {
                self.status.lock().sitting_out = Some(finding.to_string());
            }
            self.ask();
        }
        Ok(())
    }

    /// Begins this node's record of votes if what it found allows that: with the chain, or now. Where the committee is not there to answer,
    /// one member's clock is enough after a while: nothing can go on without a recovery then, which begins an epoch.
    async fn begin_record(&mut self, finding: Finding) -> Result<(), NodeError> {
        let alone = matches!(finding, Finding::Unheard { heard, .. } if heard > 0) && self.has_waited();
        let begun = if finding == Finding::New {
            self.record.begin_with_the_chain().await
        } else if !self.record.has_begun() && (finding == Finding::Begun || alone) {
            self.record.begin(seconds(self.context.current()).saturating_add(self.clock_margin())).await
        } else {
            return Ok(());
        };
        begun.map_err(|error| NodeError::Record(error.to_string()))?;
        let mut status = self.status.lock();
        if status.sitting_out.is_some() {
            status.sitting_out = Some(NOT_COVERED.to_owned());
        }
        drop(status);
        info!(with_the_chain = finding == Finding::New, "the record of this node's votes begins");
        Ok(())
    }

    /// Members of a committee this node is connected to.
    fn connected(&mut self, seated: &Seated) -> Vec<B256> {
        self.probe.check(Recipients::All).map_or(Vec::new(), |checked| {
            let members = checked.recipients().into_iter().filter_map(|peer| seated.identities.position(&peer));
            members.map(|index| seated.committee.members[index].identity).collect()
        })
    }

    /// Runs one call on the runtime's blocking threads.
    async fn blocking<T: Send + 'static>(
        &self,
        name: &'static str,
        call: impl FnOnce(&dyn Execution) -> T + Send + 'static,
    ) -> Result<T, String> {
        let execution = self.execution.clone();
        let work = async move { call(execution.as_ref()) }.in_current_span();
        let task = self.context.child(name).shared(true).spawn(move |_| work);
        task.await.map_err(|_| "the runtime stopped while the chain was at work".into())
    }

    /// Makes a finalised block durable and draws its consequences. After an error nothing is acknowledged any more.
    async fn deliver(&mut self, block: &Digested<ConsensusBlock>) -> Result<(), String> {
        let sealed = block.inner().sealed().clone();
        let number = sealed.number();
        let certificate =
            self.marshal.get_finalization(Height::new(number)).await.map(|found| Bytes::from(found.encode().to_vec()));
        if number > 0 {
            let finalized = self.blocking("finalize", move |execution| execution.finalize(&sealed, certificate)).await?;
            finalized.map_err(|error| error.to_string())?;
        }
        self.next = self.next.max(number + 1);
        self.course.delivered = Some(self.context.current());
        {
            let mut status = self.status.lock();
            status.finalized = status.finalized.max(number);
            status.tip = status.tip.max(number);
        }
        let epochs = self.epochs.get();
        let end = epochs.end_of(number);
        let next = epochs.of(end + 1);
        // Known from the first block of an epoch on.
        if self.committees.get(next).is_none() {
            self.seat(next).map_err(|error| error.to_string())?;
            self.track(epochs.of(number));
        }
        // Genesis is delivered too: where L1 recovered the chain right after it, the next epoch runs already.
        if number == end && self.course.engine.as_ref().is_none_or(|(running, _)| *running != next) {
            self.enter(next).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Takes on what L1 says of recoveries.
    async fn follow_recoveries(&mut self) -> Result<(), String> {
        let known = self.epochs.get();
        let found = self.blocking("recoveries", |execution| execution.epochs()).await?.map_err(|error| error.to_string())?;
        let Some(recovery) = found.recoveries().get(known.recoveries().len()) else { return Ok(()) };
        let (index, after_block, committee) = (recovery.index, recovery.after_block, recovery.committee.id);
        warn!(recovery = index, after_block, committee, next = self.next, "L1 has recovered the chain under a newer committee");
        // What was announced for later epochs is void.
        self.committees.forget_after(found.of(after_block));
        let epoch = found.of(self.next);
        self.epochs.set(found);
        if self.course.engine.as_ref().is_some_and(|(running, _)| *running != epoch) {
            self.enter(epoch).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Says whom the committee waits for when no block has become final for longer than a few lost views explain.
    fn look_around(&mut self) {
        let Some(since) = self.course.delivered else { return };
        let Some((epoch, _)) = self.course.engine else { return };
        let patience = self.config.consensus.timing.halt_patience();
        let halted = self.context.current().duration_since(since).is_ok_and(|still| still > patience);
        let seated = if halted { self.committees.get(epoch) } else { None };
        let waiting = seated.map(|seated| {
            let connected = self.connected(&seated);
            let voting = self.status.lock().voting;
            self.attendance.waiting(epoch, seconds(since), &seated, seated.seat.filter(|_| voting), &connected)
        });
        if let Some(waiting) = &waiting
            && !self.course.told
        {
            warn!(epoch, next = self.next, "{waiting}");
        }
        self.course.told = waiting.is_some();
        self.status.lock().waiting = waiting;
    }

    /// Seats the committee of an epoch if the chain knows it.
    pub(crate) fn seat(&self, epoch: u64) -> Result<Option<Arc<Seated>>, NodeError> {
        if let Some(seated) = self.committees.get(epoch) {
            return Ok(Some(seated));
        }
        let Some(committee) = self.execution.committee_of_epoch(epoch) else { return Ok(None) };
        self.committees.seat(epoch, committee).map(Some).map_err(|source| NodeError::Committee { epoch, source })
    }

    /// The epoch after one that holds blocks.
    fn epoch_after(&self, epoch: u64) -> u64 {
        self.epochs.get().after(epoch).unwrap_or(epoch + 1)
    }

    /// Dials the members of this epoch and of the next as soon as that is known, those without an address excepted; they, and the
    /// other sequencers of the configuration, may connect.
    pub(crate) fn track(&mut self, epoch: u64) {
        let next = self.committees.get(self.epoch_after(epoch));
        let id = 2 * epoch + u64::from(next.is_some());
        if self.course.tracked.is_some_and(|tracked| tracked >= id) {
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
                let address = self.addresses.get(identity).cloned().unwrap_or_else(|| {
                    debug!(%identity, epoch, "no address is configured for a committee member: it has to call in");
                    unknown_address()
                });
                primary.insert(identity.clone(), address);
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
        self.course.tracked = Some(id);
    }

    /// Stops the running engine and starts that of `epoch` on the last block of the one before.
    async fn enter(&mut self, epoch: u64) -> Result<(), NodeError> {
        let seated = self.seat(epoch)?.ok_or(NodeError::NoCommittee(epoch))?;
        self.seat(self.epoch_after(epoch))?;
        self.track(epoch);
        let epochs = self.epochs.get();
        let (first, _) = epochs.blocks(epoch).ok_or(NodeError::NoCommittee(epoch))?;
        let boundary = first.saturating_sub(1);
        let (floor, made) = self.execution.final_block(boundary).ok_or(NodeError::NoBoundary(boundary))?;
        if let Some((_, engine)) = self.course.engine.take() {
            engine.abort();
        }
        let begun = epochs.recovery_before(first).map_or(made, |recovery| recovery.timestamp);
        let votes = self.may_vote(epoch, begun, &seated).await?;
        let timing = self.config.consensus.timing;
        let equivocator = self.config.byzantine.filter(|_| votes).map(|Byzantine::Equivocate| Equivocator {
            votes: self.raw_votes.clone(),
            scheme: seated.scheme.clone(),
            view: 0,
        });
        let evidence = Reporters::<EvidenceReporter, Equivocator<Tx>>::from((self.evidence.clone(), equivocator));
        let engine = simplex::Engine::new(
            self.context.child("engine").with_attribute("epoch", epoch),
            simplex::Config {
                scheme: if votes { &seated.scheme } else { &seated.observer }.as_ref().clone(),
                elector: StakeElector(seated.committee.clone()),
                blocker: self.blocker.clone(),
                automaton: self.automaton.clone(),
                relay: self.automaton.clone(),
                reporter: Reporters::from((self.automaton.clone(), evidence)),
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
        let vote_channel = self.votes.register(epoch).await.map_err(network)?;
        let certificate_channel = self.certificates.register(epoch).await.map_err(network)?;
        let resolver_channel = self.resolver.register(epoch).await.map_err(network)?;
        self.course.engine = Some((epoch, engine.start(vote_channel, certificate_channel, resolver_channel)));
        {
            let mut status = self.status.lock();
            status.epoch = epoch;
            status.voting = votes;
            status.sitting_out = (seated.seat.is_some() && !votes).then(|| NOT_COVERED.to_owned());
            status.committee_size = seated.committee.members.len();
            if let Some(reason) = &status.sitting_out {
                warn!(epoch, reason, "not voting");
            }
        }
        let (committee, members) = (seated.committee.id, seated.committee.members.len());
        info!(epoch, committee, members, voting = votes, "entered an epoch");
        self.retire(epoch).await;
        Ok(())
    }

    /// Whether this node votes in an epoch it enters; if so, that is on record before it does.
    async fn may_vote(&mut self, epoch: u64, begun: u64, seated: &Seated) -> Result<bool, NodeError> {
        if seated.seat.is_none() {
            return Ok(false);
        }
        let partition = self.journal(epoch);
        let journal = self.context.scan(&partition).await.is_ok_and(|blobs| !blobs.is_empty());
        if !self.record.allows(epoch, begun, journal) {
            return Ok(false);
        }
        if !journal {
            // Its first section, empty, before the note: a node that stops before its first vote has lost nothing.
            let opened = self.context.open(&partition, &FIRST_SECTION.to_be_bytes()).await;
            opened.map_err(|error| NodeError::Record(error.to_string()))?;
        }
        self.record.note(epoch).await.map_err(|error| NodeError::Record(error.to_string()))?;
        Ok(true)
    }

    /// Forgets what lies two epochs behind. The journal of the epoch just ended stays one epoch longer: until the acknowledgement of
    /// its last block is durable, a restart would open it again.
    async fn retire(&mut self, running: u64) {
        let epochs = self.epochs.get();
        let Some(ended) = epochs.before(running) else { return };
        let older = epochs.before(ended);
        let mut past = older;
        for _ in 0..RETIRED_AT_START {
            let Some(epoch) = past.filter(|epoch| self.course.retired.is_none_or(|retired| *epoch > retired)) else { break };
            match self.context.remove(&self.journal(epoch), None).await {
                Ok(()) => debug!(epoch, "removed the vote journal of a past epoch"),
                Err(error) => debug!(epoch, %error, "no vote journal of a past epoch to remove"),
            }
            past = epochs.before(epoch);
        }
        self.course.retired = older;
        if let Some(older) = older {
            self.committees.forget_before(older);
        }
        if let Some(oldest) = self.next.checked_sub(self.config.consensus.keep_blocks) {
            self.marshal.prune(Height::new(oldest));
        }
    }

    fn journal(&self, epoch: u64) -> String {
        format!("{}-simplex-{epoch}", self.config.partition)
    }
}
