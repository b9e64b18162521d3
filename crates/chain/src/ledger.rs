//! The Layer 2 ledger.

use crate::{
    BuildError, BuildLimits, CheckError, CommittedBlock, ConsensusContext, InvalidBlock, LedgerError, Missing, Senders,
    TransactionSource, committee,
    deposits::{check_deposit_gas, check_deposits, deposits_of, next_l1_blocks},
    execute::{self, Executed},
    genesis, recovery,
    timings::Timings,
    tree::Tree,
};
use alloy_primitives::{B256, Bytes};
use oceanid_primitives::{
    ChainSpec, Committee, Epochs, Header, HeaderExtension, L1Origin, L1View, Recovery, SealedBlock, TxEnvelope, predeploys,
};
use oceanid_stf::{
    BlockRoots, HeaderError, Rules, Work, check_header, committee_ids, compare_headers, finish_header, l2_env, read_work,
    transactions_root,
};
use oceanid_store::{ExecutedBlock, Marks, StateView, Store, StoreConfig, StoreKind};
use parking_lot::{Mutex, RwLock};
use std::sync::atomic::Ordering;
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Instant};
use tokio::sync::broadcast;
use tracing::info_span;

/// Bytes a builder leaves for the header and the list around the body.
const HEADER_RESERVE: usize = 1_024;
/// Committed blocks a slow subscriber may lag behind before it loses some.
const EVENTS: usize = 64;
/// Committees kept decoded.
const COMMITTEES: usize = 64;
/// The origin is worth a block of its own once it lags by one part in this many of what L1 tolerates.
const ORIGIN_LAG_PART: u64 = 4;

/// Limits of a ledger.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// The store's.
    pub store: StoreConfig,
    /// Most executed blocks held above the head.
    pub speculative_blocks: usize,
    /// Most bytes they may take.
    pub speculative_bytes: usize,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        let retain = vec![predeploys::MESSAGE_PASSER];
        Self {
            store: StoreConfig { retain, ..StoreConfig::new(StoreKind::L2) },
            speculative_blocks: 256,
            speculative_bytes: 256 << 20,
        }
    }
}

/// Specification, store, and the tree of executed blocks that are not final. Clones share everything.
#[derive(Clone)]
pub struct Ledger(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    spec: Arc<ChainSpec>,
    rules: Rules,
    genesis_hash: B256,
    pub(crate) store: Store,
    pub(crate) epochs: RwLock<Arc<Epochs>>,
    head: RwLock<Arc<SealedBlock>>,
    pub(crate) tree: Mutex<Tree>,
    /// Held over a commit, so that commits and their events keep their order.
    pub(crate) committing: Mutex<()>,
    senders: Arc<Senders>,
    committees: Mutex<BTreeMap<u64, Arc<Committee>>>,
    events: broadcast::Sender<Arc<CommittedBlock>>,
    timings: Timings,
}

impl core::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Ledger").field("chain", &self.0.spec.chain_id).field("store", &self.0.store).finish_non_exhaustive()
    }
}

/// A block that can be built on, with the state after it.
struct Parent {
    view: StateView,
    header: Header,
    hash: B256,
    extension: HeaderExtension,
}

impl Ledger {
    /// Opens the chain of `spec` in `dir`, creating it from genesis if the directory is empty.
    pub fn open(dir: &Path, spec: Arc<ChainSpec>, config: LedgerConfig) -> Result<Self, LedgerError> {
        spec.validate()?;
        let genesis = genesis::genesis_block(&spec)?;
        let genesis_hash = genesis.hash();
        let store = Store::open(dir, config.store, spec.chain_id, genesis)?;
        let head = head_block(&store)?;
        Ok(Self(Arc::new(Inner {
            rules: Rules::rollup(&spec),
            genesis_hash,
            epochs: RwLock::new(Arc::new(recovery::load(&store, spec.timing.epoch_length)?)),
            head: RwLock::new(head),
            tree: Mutex::new(Tree::new(config.speculative_blocks, config.speculative_bytes)),
            committing: Mutex::new(()),
            senders: Arc::default(),
            committees: Mutex::default(),
            events: broadcast::channel(EVENTS).0,
            timings: Timings::default(),
            spec,
            store,
        })))
    }

    /// The chain specification.
    pub fn spec(&self) -> &Arc<ChainSpec> {
        &self.0.spec
    }

    /// Rules of the state transition.
    pub fn rules(&self) -> Rules {
        self.0.rules
    }

    /// Hash of block 0.
    pub fn genesis_hash(&self) -> B256 {
        self.0.genesis_hash
    }

    /// The consensus namespace ([`ChainSpec::namespace`]).
    pub fn namespace(&self) -> Vec<u8> {
        self.0.spec.namespace(self.0.genesis_hash)
    }

    /// Committed blocks and state.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The sender cache, to be shared with the pool.
    pub fn senders(&self) -> &Arc<Senders> {
        &self.0.senders
    }

    /// The newest committed block.
    pub fn head(&self) -> Arc<SealedBlock> {
        self.0.head.read().clone()
    }

    /// The state at the head.
    pub fn view(&self) -> StateView {
        self.0.store.view()
    }

    /// The state after a committed block.
    pub fn view_at(&self, number: u64) -> Result<StateView, LedgerError> {
        Ok(self.0.store.view_at(number)?)
    }

    /// The state after a committed block that is the head, or after a speculative block; none if it is neither.
    pub fn view_of(&self, hash: B256) -> Option<StateView> {
        let tree = self.0.tree.lock();
        tree.view_of(self.0.store.view(), hash)
    }

    /// A committed or speculative block by hash.
    pub fn block(&self, hash: B256) -> Result<Option<Arc<SealedBlock>>, LedgerError> {
        if let Some(executed) = self.0.tree.lock().get(&hash) {
            return Ok(Some(executed.block().clone()));
        }
        match self.0.store.number_of(hash)? {
            Some(number) => Ok(self.0.store.block(number)?),
            None => Ok(None),
        }
    }

    /// Number of speculative blocks held.
    pub fn speculative(&self) -> usize {
        self.0.tree.lock().len()
    }

    /// How long blocks took here since start.
    pub fn timings(&self) -> &Timings {
        &self.0.timings
    }

    /// Every block committed from now on, in order. A receiver that lags more than 64 blocks is told how many it lost.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<CommittedBlock>> {
        self.0.events.subscribe()
    }

    /// How far the chain is settled.
    pub fn marks(&self) -> Marks {
        self.0.store.marks()
    }

    /// Moves the `safe` and `finalized` marks; durable on return.
    pub fn set_marks(&self, marks: Marks) -> Result<(), LedgerError> {
        Ok(self.0.store.set_marks(marks)?)
    }

    /// Header extension of a committed block.
    pub fn extension(&self, number: u64) -> Result<Option<HeaderExtension>, LedgerError> {
        let Some(header) = self.0.store.header(number)? else { return Ok(None) };
        extension_of(&header).map(Some)
    }

    /// Committee `id`: the specification's first one, one that a recovery brought, or from the registry at the head.
    pub fn committee(&self, id: u64) -> Result<Arc<Committee>, LedgerError> {
        if id == self.0.spec.committee.id {
            return Ok(Arc::new(self.0.spec.committee.clone()));
        }
        if let Some(recovery) = self.epochs().recoveries().iter().find(|recovery| recovery.committee.id == id) {
            return Ok(Arc::new(recovery.committee.clone()));
        }
        if let Some(committee) = self.0.committees.lock().get(&id) {
            return Ok(committee.clone());
        }
        let committee = Arc::new(committee::read(&self.view(), id)?);
        let mut known = self.0.committees.lock();
        if known.len() >= COMMITTEES {
            known.pop_first();
        }
        known.insert(id, committee.clone());
        Ok(committee)
    }

    /// Committee of an epoch; none while the first block of the epoch before is not committed, and for an epoch without blocks.
    pub fn committee_of_epoch(&self, epoch: u64) -> Result<Option<Arc<Committee>>, LedgerError> {
        let epochs = self.epochs();
        let Some((first, _)) = epochs.blocks(epoch) else { return Ok(None) };
        let id = match (epochs.recovery_before(first), first.checked_sub(1)) {
            (Some(recovery), _) => Some(recovery.committee.id),
            (None, None) => self.extension(0)?.map(|genesis| genesis.committee_id),
            (None, Some(last)) => {
                let before = epochs.blocks(epochs.of(last)).map_or(last, |(first, _)| first);
                self.extension(before)?.map(|first| first.next_committee_id)
            }
        };
        id.map(|id| self.committee(id)).transpose()
    }

    /// What each member of an epoch's committee did, in the committee's order, as the state at the head knows it; none for an epoch
    /// that is to come or could not be counted.
    pub fn work(&self, epoch: u64) -> Result<Option<Vec<Work>>, LedgerError> {
        let Some(committee) = self.committee_of_epoch(epoch)? else { return Ok(None) };
        Ok(read_work(&self.view(), epoch, committee.members.len())?)
    }

    /// Whether a block on `parent` is worth making now: there are transactions, or deposits due, or the origin lags.
    /// False if the parent is not known.
    pub fn has_work(&self, parent: B256, l1: &dyn L1View, pending_transactions: bool) -> Result<bool, LedgerError> {
        let Some(parent) = self.parent(parent)? else { return Ok(false) };
        if pending_transactions {
            return Ok(true);
        }
        let origin = parent.extension.origin;
        let Some(newest) = l1.newest_origin() else { return Ok(false) };
        let timing = &self.0.spec.timing;
        let lag = newest.number.saturating_sub(origin.number);
        if lag > timing.max_origin_advance || lag > timing.max_origin_lag / ORIGIN_LAG_PART {
            return Ok(true);
        }
        let mut new = origin.number + 1..=newest.number;
        Ok(new.any(|number| l1.block(number).is_some_and(|block| !block.deposits.is_empty())))
    }

    /// Builds a block on `parent`, executes it and keeps it as speculative.
    ///
    /// The block's timestamp is `timestamp` (seconds), or the parent's if that is later. Its origin advances as far as `l1` and the
    /// limits allow.
    pub fn build(
        &self,
        parent: B256,
        context: ConsensusContext,
        timestamp: u64,
        l1: &dyn L1View,
        source: &mut dyn TransactionSource,
        limits: BuildLimits,
    ) -> Result<Arc<SealedBlock>, BuildError> {
        let started = Instant::now();
        let spec = &self.0.spec;
        let parent = self.parent(parent)?.ok_or(BuildError::UnknownParent(parent))?;
        let number = parent.header.number + 1;
        let _span = info_span!("propose", number, epoch = context.epoch, view = context.view).entered();
        let ahead = parent.header.number > self.0.store.head().number;
        let expected = self.epochs().of(number);
        if context.epoch != expected {
            return Err(BuildError::Epoch { number, expected, got: context.epoch });
        }
        let timestamp = timestamp.max(parent.header.timestamp);
        let max_bytes = limits.max_bytes.saturating_sub(HEADER_RESERVE);
        let l1_blocks = next_l1_blocks(spec, l1, parent.extension.origin, timestamp, max_bytes);
        let origin = l1_blocks.last().map_or(parent.extension.origin, |block| block.origin());
        let extension = self.extension_for(&parent, context, origin)?;
        let env = l2_env(spec, &parent.header, parent.hash, timestamp, &extension);
        let executed = execute::fill(self.0.rules, spec.chain_id, env, &parent.view, deposits_of(&l1_blocks), source, max_bytes)?;
        for (transaction, sender) in executed.body.iter().zip(&executed.senders) {
            self.0.senders.remember(*transaction.hash(), *sender);
        }
        let block = self.seal(&parent, executed, &extension)?;
        self.0.tree.lock().insert(block.clone());
        self.0.timings.build.observe(started.elapsed());
        self.0.timings.built_ahead.fetch_add(u64::from(ahead), Ordering::Relaxed);
        Ok(block.block().clone())
    }

    /// Executes the block that follows from `parent`, `timestamp`, `extension` and `body`, and keeps it as speculative. For blocks read
    /// from L1: the caller has put in the deposits ([`crate::deposits_between`]).
    pub fn derive(
        &self,
        parent: B256,
        timestamp: u64,
        extension: &HeaderExtension,
        body: Vec<TxEnvelope>,
    ) -> Result<Arc<SealedBlock>, CheckError> {
        let started = Instant::now();
        let spec = &self.0.spec;
        let parent = self.parent(parent)?.ok_or(Missing::Parent(parent))?;
        let env = l2_env(spec, &parent.header, parent.hash, timestamp, extension);
        // The rules that need no execution, on a header that has everything but what execution decides.
        let output = oceanid_stf::ExecutionOutput::default();
        let roots = BlockRoots { state: B256::ZERO, message_passer: B256::ZERO };
        self.check_context(&parent, &finish_header(&env, extension, &[], &output, &roots))?;
        check_deposit_gas(env.gas_limit, &body)?;
        let senders = self.0.senders.of_body(&body)?;
        let executed = execute::execute(self.0.rules, spec.chain_id, env, &parent.view, body, senders)?;
        let block = self.seal(&parent, executed, extension)?;
        self.0.tree.lock().insert(block.clone());
        self.0.timings.execute.observe(started.elapsed());
        Ok(block.block().clone())
    }

    /// Checks a proposed block against every rule, executes it and keeps it as speculative. `now` is this node's clock, seconds.
    ///
    /// # Errors
    ///
    /// [`CheckError::Invalid`] is permanent; [`CheckError::NotYet`] means that the same question may have another answer later.
    pub fn check(&self, block: &SealedBlock, l1: &dyn L1View, now: u64) -> Result<(), CheckError> {
        let _span = info_span!("check", number = block.number()).entered();
        let known = self.0.tree.lock().get(&block.hash()).cloned();
        if let Some(known) = known {
            // The hash covers the body only through its root: a known header may come with any body.
            return if known.block().body() == block.body() { Ok(()) } else { check_body(block) };
        }
        if let Some(committed) = self.committed_at(block.number())? {
            let number = block.number();
            return if committed == block.hash() {
                check_body(block)
            } else {
                Err(InvalidBlock::Conflict { number, committed }.into())
            };
        }
        let header = block.header();
        let parent = self.parent(header.parent_hash)?.ok_or(Missing::Parent(header.parent_hash))?;
        let (got, here) =
            (HeaderExtension::decode(&header.extra_data).map_err(HeaderError::from)?.epoch, self.epochs().of(header.number));
        if got > here {
            return Err(Missing::Recovery { number: header.number, got, here }.into());
        }
        let extension = self.check_context(&parent, header)?;
        let (timestamp, drift) = (header.timestamp, self.0.spec.timing.max_clock_drift);
        if timestamp > now.saturating_add(drift) {
            return Err(Missing::Clock { timestamp, now, drift }.into());
        }
        check_deposits(l1, &parent.extension, header, &extension, block.body())?;
        let executed = self.execute(&parent, &extension, block)?;
        self.0.tree.lock().insert(executed);
        Ok(())
    }

    /// Commits a final block: durable on return, then `latest`. Executes it if that has not been done here. Nothing happens for a
    /// block that is committed already.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Gap`] if the parent is not the head; [`LedgerError::Conflict`] if another block is committed at its number;
    /// [`LedgerError::Disagreement`] if execution gives another header.
    pub fn commit(&self, block: &SealedBlock, certificate: Option<Bytes>) -> Result<(), LedgerError> {
        let _span = info_span!("commit", number = block.number()).entered();
        let _committing = self.0.committing.lock();
        let (number, hash) = (block.number(), block.hash());
        if let Some(committed) = self.committed_at(number)? {
            return if committed == hash { Ok(()) } else { Err(LedgerError::Conflict { number, hash, committed }) };
        }
        let head = self.0.store.head();
        if number != head.number + 1 {
            return Err(LedgerError::Gap { number, head: head.number });
        }
        if block.header().parent_hash != head.hash {
            return Err(LedgerError::Conflict { number: head.number, hash: block.header().parent_hash, committed: head.hash });
        }
        self.check_recoveries(block)?;
        let known = self.0.tree.lock().get(&hash).cloned();
        let executed = match known {
            Some(executed) => executed,
            None => self.execute_final(block)?,
        };
        self.0.store.commit(executed.clone(), certificate)?;
        *self.0.head.write() = executed.block().clone();
        self.0.tree.lock().prune(number);
        // An error means that nobody listens.
        let _ = self.0.events.send(executed.content().clone());
        Ok(())
    }

    /// A final block that the recoveries taken on leave no place for: this node went on where L1 did not.
    fn check_recoveries(&self, block: &SealedBlock) -> Result<(), LedgerError> {
        let (number, hash, epochs) = (block.number(), block.hash(), self.epochs());
        let here = |recovery: &&Recovery| recovery.after_block == number && recovery.head_hash != hash;
        if let Some(recovery) = epochs.recoveries().iter().find(here) {
            return Err(LedgerError::Conflict { number, hash, committed: recovery.head_hash });
        }
        match epochs.recovery_before(number) {
            Some(Recovery { index, after_block, .. }) if extension_of(block.header())?.epoch < epochs.of(number) => {
                Err(LedgerError::Superseded { index: *index, after_block: *after_block, head: number })
            }
            _ => Ok(()),
        }
    }

    /// Executes a block that a quorum has certified: what this node's view of L1 says no longer matters.
    fn execute_final(&self, block: &SealedBlock) -> Result<Arc<ExecutedBlock>, LedgerError> {
        let number = block.number();
        let parent_hash = block.header().parent_hash;
        let parent = self.parent(parent_hash)?.ok_or(LedgerError::Gap { number, head: self.0.store.head().number })?;
        let checked = self.check_context(&parent, block.header());
        match checked.and_then(|extension| self.execute(&parent, &extension, block)) {
            Ok(executed) => Ok(executed),
            Err(CheckError::Invalid(reason)) => Err(LedgerError::Disagreement { number, reason: Box::new(reason) }),
            Err(CheckError::NotYet(missing)) => Err(LedgerError::Execution { number, reason: missing.to_string() }),
            Err(CheckError::Ledger(error)) => Err(error),
        }
    }

    /// Hash of the committed block of that number.
    pub(crate) fn committed_at(&self, number: u64) -> Result<Option<B256>, LedgerError> {
        Ok(if number <= self.0.store.head().number { self.0.store.hash_of(number)? } else { None })
    }

    fn parent(&self, hash: B256) -> Result<Option<Parent>, LedgerError> {
        let (view, speculative) = {
            let tree = self.0.tree.lock();
            let Some(view) = tree.view_of(self.0.store.view(), hash) else { return Ok(None) };
            (view, tree.get(&hash).map(|executed| executed.block().header().clone()))
        };
        let header = match speculative {
            Some(header) => header,
            None => match self.0.store.header(view.number())? {
                Some(header) => header,
                None => return Ok(None),
            },
        };
        let extension = extension_of(&header)?;
        Ok(Some(Parent { view, header, hash, extension }))
    }

    fn extension_for(
        &self,
        parent: &Parent,
        context: ConsensusContext,
        origin: L1Origin,
    ) -> Result<HeaderExtension, LedgerError> {
        let (committee_id, next_committee_id) = committee_ids(&self.epochs(), &parent.header, &parent.extension, &parent.view)?;
        let ConsensusContext { epoch, view, parent_view, leader } = context;
        Ok(HeaderExtension { epoch, view, parent_view, leader, committee_id, next_committee_id, origin })
    }

    /// Rules that need neither L1 nor execution.
    fn check_context(&self, parent: &Parent, header: &Header) -> Result<HeaderExtension, CheckError> {
        let epochs = self.epochs();
        let extension = check_header(&self.0.spec, &epochs, &parent.header, parent.hash, header)?;
        let (committee, next) = committee_ids(&epochs, &parent.header, &parent.extension, &parent.view)?;
        for (field, expected, got) in
            [("committeeId", committee, extension.committee_id), ("nextCommitteeId", next, extension.next_committee_id)]
        {
            if expected != got {
                return Err(InvalidBlock::Committee { field, expected, got }.into());
            }
        }
        Ok(extension)
    }

    /// Executes a block as it stands and compares the header that results with its own.
    fn execute(
        &self,
        parent: &Parent,
        extension: &HeaderExtension,
        block: &SealedBlock,
    ) -> Result<Arc<ExecutedBlock>, CheckError> {
        let started = Instant::now();
        let spec = &self.0.spec;
        let header = block.header();
        check_deposit_gas(header.gas_limit, block.body())?;
        let _span = info_span!("execute", number = header.number, transactions = block.body().len()).entered();
        let senders = self.0.senders.of_body(block.body())?;
        let env = l2_env(spec, &parent.header, parent.hash, header.timestamp, extension);
        let executed = execute::execute(self.0.rules, spec.chain_id, env, &parent.view, block.body().to_vec(), senders)?;
        let executed = self.seal(parent, executed, extension)?;
        compare_headers(executed.block().header(), header)?;
        self.0.timings.execute.observe(started.elapsed());
        Ok(executed)
    }

    fn seal(&self, parent: &Parent, executed: Executed, extension: &HeaderExtension) -> Result<Arc<ExecutedBlock>, LedgerError> {
        let unchanged = parent.header.withdrawals_root.unwrap_or_default();
        execute::seal(&parent.view, executed, Some(unchanged), |executed| {
            let roots = BlockRoots { state: B256::ZERO, message_passer: unchanged };
            finish_header(&executed.env, extension, &executed.body, &executed.output, &roots)
        })
    }
}

/// Checks that the body is the one the header commits to.
fn check_body(block: &SealedBlock) -> Result<(), CheckError> {
    let (header, root) = (block.header(), transactions_root(block.body()));
    if root != header.transactions_root {
        compare_headers(&Header { transactions_root: root, ..header.clone() }, header)?;
    }
    Ok(())
}

/// Reads the head's block.
pub(crate) fn head_block(store: &Store) -> Result<Arc<SealedBlock>, LedgerError> {
    let number = store.head().number;
    let missing = || LedgerError::Execution { number, reason: "the head's block is not in the store".to_owned() };
    store.block(number)?.ok_or_else(missing)
}

fn extension_of(header: &Header) -> Result<HeaderExtension, LedgerError> {
    HeaderExtension::decode(&header.extra_data).map_err(|reason| LedgerError::Extension { number: header.number, reason })
}
