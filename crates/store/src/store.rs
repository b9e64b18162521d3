//! The store: opening and replay, commits, reads by number and hash, marks and named values.

use crate::{
    MAX_META_NAME, StateView, StoreError,
    block::{CommittedBlock, ExecutedBlock, decode_record, encode_record},
    engine::{Engine, Snapshot, Table},
    flush::{self, Pending},
    identity::{DirLock, Identity, sync_dir},
    keys,
    proof::{PastTries, storage_proofs, trie_error},
    view::Base,
    wal::Wal,
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Decodable;
use oceanid_primitives::{Block, Header, Receipt, SealedBlock};
use oceanid_trie::{Nibbles, NodeReader, StorageProof, update_state_root};
use parking_lot::{Condvar, Mutex, RwLock};
use std::{collections::VecDeque, fs, path::Path, sync::Arc, thread::JoinHandle, time::Duration};

/// What kind of chain a directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// A Layer 2 node.
    L2,
    /// The embedded L1.
    L1,
}

impl core::fmt::Display for StoreKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::L2 => "l2",
            Self::L1 => "l1",
        })
    }
}

/// Limits and budgets of a store. The defaults are modest: half a dozen stores may share one process in development.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// What the directory holds.
    pub kind: StoreKind,
    /// Blocks below the head whose state stays readable.
    pub history: u64,
    /// Accounts whose storage trie keeps every node ever written.
    pub retain: Vec<Address>,
    /// Block cache of the engine, bytes.
    pub cache_bytes: u64,
    /// Write buffer of each of the engine's five tables, bytes.
    pub memtable_bytes: u64,
    /// A flush begins when this many blocks wait …
    pub flush_blocks: usize,
    /// … or this many bytes …
    pub flush_bytes: usize,
    /// … or the oldest has waited this long.
    pub flush_interval: Duration,
    /// Commits wait when this many blocks are not flushed …
    pub backlog_blocks: usize,
    /// … or this many bytes.
    pub backlog_bytes: usize,
    /// A log segment takes no more records beyond this many bytes.
    pub log_segment_bytes: u64,
}

impl StoreConfig {
    /// The defaults for a kind of chain.
    pub fn new(kind: StoreKind) -> Self {
        Self {
            kind,
            history: 1_024,
            retain: Vec::new(),
            cache_bytes: 32 << 20,
            memtable_bytes: 8 << 20,
            flush_blocks: 16,
            flush_bytes: 16 << 20,
            flush_interval: Duration::from_secs(2),
            backlog_blocks: 64,
            backlog_bytes: 64 << 20,
            log_segment_bytes: 16 << 20,
        }
    }
}

/// A block's place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Head {
    /// Number.
    pub number: u64,
    /// Hash.
    pub hash: B256,
}

/// How far the chain is settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Newest block whose batch is on L1.
    pub safe: u64,
    /// Newest block under a final output.
    pub finalized: u64,
}

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxLocation {
    /// Block number.
    pub block: u64,
    /// Position in the block, from 0.
    pub index: u32,
}

/// A committed block that is not flushed yet.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    pub(crate) executed: Arc<ExecutedBlock>,
    pub(crate) certificate: Option<Bytes>,
}

/// The flushed state and what is committed above it.
pub(crate) struct Tip {
    pub(crate) base: Arc<Base>,
    pub(crate) committed: VecDeque<Committed>,
}

impl Tip {
    fn head(&self) -> Head {
        self.committed
            .back()
            .map_or(self.base.flushed, |newest| Head { number: newest.executed.number(), hash: newest.executed.hash() })
    }

    /// The unflushed block of that number.
    fn unflushed(&self, number: u64) -> Option<&Committed> {
        let index = number.checked_sub(self.base.flushed.number + 1)?;
        self.committed.get(usize::try_from(index).ok()?)
    }

    fn view(&self, past_tries: &Arc<PastTries>) -> StateView {
        let layers = self.committed.iter().map(|committed| committed.executed.clone()).collect();
        StateView::new(self.base.clone(), layers, past_tries.clone())
    }
}

/// What the handle and the flusher share.
pub(crate) struct Shared {
    pub(crate) config: StoreConfig,
    /// Hashed addresses of [`StoreConfig::retain`].
    pub(crate) retained: Vec<B256>,
    pub(crate) engine: Engine,
    pub(crate) tip: RwLock<Tip>,
    pub(crate) log: Mutex<Wal>,
    pub(crate) pending: Mutex<Pending>,
    /// Signals the flusher.
    pub(crate) work: Condvar,
    /// Signals those who wait for the flusher.
    pub(crate) room: Condvar,
    pub(crate) past_tries: Arc<PastTries>,
    marks: RwLock<Marks>,
    /// Last, so that the directory is free only when everything in it is closed.
    _lock: DirLock,
}

impl Shared {
    /// Stops all writing; what is logged is safe and replayed by the next start.
    pub(crate) fn stop(&self, error: &StoreError) {
        self.pending.lock().stopped.get_or_insert_with(|| error.to_string());
        self.room.notify_all();
        self.work.notify_all();
    }
}

/// A chain's durable state. Clones share it; the last one dropped flushes what is pending and frees the directory.
#[derive(Clone)]
pub struct Store {
    // Dropped with the last handle: it ends the flusher's thread, which holds the rest as well.
    _flusher: Arc<Flusher>,
    pub(crate) shared: Arc<Shared>,
}

/// The flusher's thread.
struct Flusher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.shared.pending.lock().shutdown = true;
        self.shared.work.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the flusher panicked; the next start replays the log");
        }
    }
}

impl Store {
    /// Opens the store in `dir`, or creates it with `genesis` as its first state, and replays the log.
    ///
    /// # Errors
    ///
    /// The directory is in use, foreign, newer or of another chain; the log is damaged before its end; I/O fails.
    pub fn open(dir: &Path, config: StoreConfig, chain_id: u64, genesis: Arc<ExecutedBlock>) -> Result<Self, StoreError> {
        let lock = DirLock::acquire(dir)?;
        Identity { kind: config.kind, chain_id, genesis: genesis.hash() }.check_or_create(dir)?;
        let retained: Vec<B256> = config.retain.iter().map(keccak256).collect();
        let engine = open_engine(dir, &config, &retained, &genesis)?;
        let past_tries = Arc::new(PastTries::default());
        let mut tip = Tip { base: Arc::new(read_base(&engine)?), committed: VecDeque::new() };
        let mut pending = Pending::default();
        let mut log = Wal::open(&dir.join("log"), config.log_segment_bytes, |number, record| {
            if number > tip.base.flushed.number {
                let committed = replay(&tip, &past_tries, number, record)?;
                pending.add(&committed.executed);
                tip.committed.push_back(committed);
            }
            Ok(())
        })?;
        if log.last().is_some_and(|last| last < tip.base.flushed.number) {
            // Its end was damaged after the engine had taken it over: nothing is lost, but the numbers would have a gap.
            log.clear()?;
        }
        if !tip.committed.is_empty() {
            tracing::info!(blocks = tip.committed.len(), head = tip.head().number, "replayed the log");
        }
        let marks = read_marks(&engine)?;
        let shared = Arc::new(Shared {
            config,
            retained,
            engine,
            tip: RwLock::new(tip),
            log: Mutex::new(log),
            pending: Mutex::new(pending),
            work: Condvar::new(),
            room: Condvar::new(),
            past_tries,
            marks: RwLock::new(marks),
            _lock: lock,
        });
        let (for_thread, span) = (shared.clone(), tracing::Span::current());
        let thread = std::thread::Builder::new()
            .name("store-flush".to_owned())
            .spawn(move || span.in_scope(|| flush::run(&for_thread)))
            .map_err(StoreError::io("start the flusher for", dir))?;
        Ok(Self { _flusher: Arc::new(Flusher { shared: shared.clone(), thread: Some(thread) }), shared })
    }

    /// Commits the next block: durable on return. Waits while the unflushed part exceeds its limit.
    ///
    /// # Errors
    ///
    /// The block does not extend the head, or a write failed; after a failed write the store takes no more blocks.
    pub fn commit(&self, executed: Arc<ExecutedBlock>, certificate: Option<Bytes>) -> Result<(), StoreError> {
        let shared = &*self.shared;
        let record = encode_record(&executed, certificate.as_ref());
        {
            let mut pending = shared.pending.lock();
            let full = |pending: &Pending| {
                pending.blocks >= shared.config.backlog_blocks || pending.bytes >= shared.config.backlog_bytes
            };
            while pending.stopped.is_none() && full(&pending) {
                pending.urgent = true;
                shared.work.notify_all();
                shared.room.wait(&mut pending);
            }
            if let Some(reason) = &pending.stopped {
                return Err(StoreError::Stopped(reason.clone()));
            }
        }
        let mut log = shared.log.lock();
        let head = self.head();
        let (number, parent) = (executed.number(), executed.block().header().parent_hash);
        if number != head.number + 1 || parent != head.hash {
            return Err(StoreError::NotNext { number, parent, head_number: head.number, head_hash: head.hash });
        }
        log.append(number, &record).inspect_err(|error| {
            if !matches!(error, StoreError::RecordTooLarge { .. }) {
                shared.stop(error);
            }
        })?;
        shared.pending.lock().add(&executed);
        shared.tip.write().committed.push_back(Committed { executed, certificate });
        drop(log);
        shared.work.notify_all();
        Ok(())
    }

    /// Waits until everything committed is in the engine.
    pub fn flush(&self) -> Result<(), StoreError> {
        let mut pending = self.shared.pending.lock();
        while pending.stopped.is_none() && pending.blocks > 0 {
            pending.urgent = true;
            self.shared.work.notify_all();
            self.shared.room.wait(&mut pending);
        }
        pending.stopped.as_ref().map_or(Ok(()), |reason| Err(StoreError::Stopped(reason.clone())))
    }

    /// The newest committed block.
    pub fn head(&self) -> Head {
        self.shared.tip.read().head()
    }

    /// The state the engine holds.
    pub(crate) fn flushed_base(&self) -> Arc<Base> {
        self.shared.tip.read().base.clone()
    }

    /// Number of the newest block in the engine; later ones are in the log and in memory.
    pub fn flushed(&self) -> u64 {
        self.shared.tip.read().base.flushed.number
    }

    /// Oldest block whose state can be read.
    pub fn oldest_state(&self) -> u64 {
        self.shared.tip.read().base.oldest
    }

    /// The state at the head.
    pub fn view(&self) -> StateView {
        self.shared.tip.read().view(&self.shared.past_tries)
    }

    /// The state after block `number`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Pruned`] names the oldest block available, [`StoreError::Unknown`] the head.
    pub fn view_at(&self, number: u64) -> Result<StateView, StoreError> {
        let (base, head) = {
            let tip = self.shared.tip.read();
            let head = tip.head();
            if number >= tip.base.flushed.number && number <= head.number {
                let above = usize::try_from(number - tip.base.flushed.number).unwrap_or(usize::MAX);
                let layers = tip.committed.iter().take(above).map(|committed| committed.executed.clone()).collect();
                return Ok(StateView::new(tip.base.clone(), layers, self.shared.past_tries.clone()));
            }
            (tip.base.clone(), head)
        };
        if number > head.number {
            return Err(StoreError::Unknown { asked: number, head: head.number });
        }
        if number < base.oldest {
            return Err(StoreError::Pruned { asked: number, oldest: base.oldest });
        }
        let missing = || StoreError::damaged("header", format!("block {number} has none"));
        let header = read_header(&base.snapshot, number)?.ok_or_else(missing)?;
        let hash = header.hash_slow();
        Ok(StateView::past(base, &header, hash, self.shared.past_tries.clone()))
    }

    /// Proof of slots of a retained account in the storage trie of `storage_root`, however old that is.
    ///
    /// # Errors
    ///
    /// [`StoreError::Trie`] if the account is not in [`StoreConfig::retain`] or never had that root.
    pub fn retained_proof(
        &self,
        address: Address,
        storage_root: B256,
        slots: &[U256],
    ) -> Result<Vec<(U256, StorageProof)>, StoreError> {
        let view = self.shared.tip.read();
        let nodes = RetainedNodes {
            snapshot: view.base.snapshot.clone(),
            unflushed: view.committed.iter().map(|committed| committed.executed.clone()).collect(),
        };
        let number = view.head().number;
        drop(view);
        storage_proofs(&nodes, number, keccak256(address), storage_root, slots)
    }

    /// Header of a committed block.
    pub fn header(&self, number: u64) -> Result<Option<Header>, StoreError> {
        let snapshot = {
            let tip = self.shared.tip.read();
            if let Some(committed) = tip.unflushed(number) {
                return Ok(Some(committed.executed.block().header().clone()));
            }
            tip.base.snapshot.clone()
        };
        read_header(&snapshot, number)
    }

    /// A committed block.
    pub fn block(&self, number: u64) -> Result<Option<Arc<SealedBlock>>, StoreError> {
        let snapshot = {
            let tip = self.shared.tip.read();
            if let Some(committed) = tip.unflushed(number) {
                return Ok(Some(committed.executed.block().clone()));
            }
            tip.base.snapshot.clone()
        };
        read_block(&snapshot, number)
    }

    /// A committed block with receipts and senders.
    pub fn committed(&self, number: u64) -> Result<Option<Arc<CommittedBlock>>, StoreError> {
        let snapshot = {
            let tip = self.shared.tip.read();
            if let Some(committed) = tip.unflushed(number) {
                return Ok(Some(committed.executed.content().clone()));
            }
            tip.base.snapshot.clone()
        };
        let Some(block) = read_block(&snapshot, number)? else { return Ok(None) };
        let receipts = read_rlp(&snapshot, keys::RECEIPTS, number, "receipts")?.unwrap_or_default();
        let senders = read_rlp(&snapshot, keys::SENDERS, number, "senders")?.unwrap_or_default();
        Ok(Some(Arc::new(CommittedBlock { block, receipts, senders })))
    }

    /// Receipts of a committed block, one per transaction.
    pub fn receipts(&self, number: u64) -> Result<Option<Vec<Receipt>>, StoreError> {
        let snapshot = {
            let tip = self.shared.tip.read();
            if let Some(committed) = tip.unflushed(number) {
                return Ok(Some(committed.executed.content().receipts.clone()));
            }
            tip.base.snapshot.clone()
        };
        read_rlp(&snapshot, keys::RECEIPTS, number, "receipts")
    }

    /// Senders of a committed block, one per transaction.
    pub fn senders(&self, number: u64) -> Result<Option<Vec<Address>>, StoreError> {
        let snapshot = {
            let tip = self.shared.tip.read();
            if let Some(committed) = tip.unflushed(number) {
                return Ok(Some(committed.executed.content().senders.clone()));
            }
            tip.base.snapshot.clone()
        };
        read_rlp(&snapshot, keys::SENDERS, number, "senders")
    }

    /// Certificate given at the commit of a block.
    pub fn certificate(&self, number: u64) -> Result<Option<Bytes>, StoreError> {
        let snapshot = {
            let tip = self.shared.tip.read();
            if let Some(committed) = tip.unflushed(number) {
                return Ok(committed.certificate.clone());
            }
            tip.base.snapshot.clone()
        };
        let bytes = snapshot.get(Table::Blocks, &keys::numbered(keys::CERTIFICATE, number))?;
        Ok(bytes.map(|bytes| Bytes::copy_from_slice(&bytes)))
    }

    /// Number of the committed block of that hash.
    pub fn number_of(&self, hash: B256) -> Result<Option<u64>, StoreError> {
        let snapshot = {
            let tip = self.shared.tip.read();
            if let Some(committed) = tip.committed.iter().find(|committed| committed.executed.hash() == hash) {
                return Ok(Some(committed.executed.number()));
            }
            tip.base.snapshot.clone()
        };
        snapshot
            .get(Table::Index, &keys::tagged(keys::BY_HASH, hash.as_slice()))?
            .map(|bytes| keys::decode_number(&bytes))
            .transpose()
    }

    /// Hash of the committed block of that number.
    pub fn hash_of(&self, number: u64) -> Result<Option<B256>, StoreError> {
        let snapshot = {
            let tip = self.shared.tip.read();
            if let Some(committed) = tip.unflushed(number) {
                return Ok(Some(committed.executed.hash()));
            }
            tip.base.snapshot.clone()
        };
        let hash = snapshot.get(Table::Index, &keys::numbered(keys::BY_NUMBER, number))?;
        hash.map(|hash| B256::try_from(&hash[..]).map_err(|error| StoreError::damaged("block hash", error))).transpose()
    }

    /// Where the committed transaction of that hash is.
    pub fn tx_location(&self, hash: B256) -> Result<Option<TxLocation>, StoreError> {
        let snapshot = {
            let tip = self.shared.tip.read();
            for committed in &tip.committed {
                if let Some(index) = committed.executed.position_of(&hash) {
                    return Ok(Some(TxLocation { block: committed.executed.number(), index }));
                }
            }
            tip.base.snapshot.clone()
        };
        let Some(bytes) = snapshot.get(Table::Index, &keys::tagged(keys::TX, hash.as_slice()))? else { return Ok(None) };
        let Some((block, index)) = bytes.split_at_checked(8) else {
            return Err(StoreError::damaged("transaction index", "too short"));
        };
        let index = index.try_into().map_err(|_| StoreError::damaged("transaction index", "wrong length"))?;
        Ok(Some(TxLocation { block: keys::decode_number(block)?, index: u32::from_be_bytes(index) }))
    }

    /// How far the chain is settled.
    pub fn marks(&self) -> Marks {
        *self.shared.marks.read()
    }

    /// Writes the marks, durable on return.
    pub fn set_marks(&self, marks: Marks) -> Result<(), StoreError> {
        let mut held = self.shared.marks.write();
        if *held != marks {
            let mut batch = self.shared.engine.batch();
            batch.put(Table::Index, keys::MARKS, [marks.safe.to_be_bytes(), marks.finalized.to_be_bytes()].concat());
            batch.commit()?;
            *held = marks;
        }
        Ok(())
    }

    /// A named value, for what a user of the store has to remember beside the chain.
    pub fn get_meta(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.shared.engine.get(Table::Index, &keys::tagged(keys::NAMED, name.as_bytes()))?.map(Bytes::from))
    }

    /// Writes a named value, durable on return.
    ///
    /// # Errors
    ///
    /// A name longer than [`MAX_META_NAME`] bytes is refused.
    pub fn put_meta(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        if name.len() > MAX_META_NAME {
            return Err(StoreError::MetaName { bytes: name.len(), limit: MAX_META_NAME });
        }
        let mut batch = self.shared.engine.batch();
        batch.put(Table::Index, keys::tagged(keys::NAMED, name.as_bytes()), value);
        batch.commit()
    }
}

impl core::fmt::Debug for Store {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Store").field("head", &self.head()).finish_non_exhaustive()
    }
}

/// Opens the engine. A new one gets its name only once it holds the first state, so that a crash leaves none or a whole one.
fn open_engine(dir: &Path, config: &StoreConfig, retained: &[B256], genesis: &Arc<ExecutedBlock>) -> Result<Engine, StoreError> {
    let path = dir.join("engine");
    let exists = path.try_exists().map_err(StoreError::io("look for", &path))?;
    if !exists {
        let new = dir.join("engine.new");
        if new.try_exists().map_err(StoreError::io("look for", &new))? {
            fs::remove_dir_all(&new).map_err(StoreError::io("remove", &new))?;
        }
        let engine = Engine::open(&new, config.cache_bytes, config.memtable_bytes)?;
        flush::write_genesis(&engine, retained, genesis)?;
        drop(engine);
        fs::rename(&new, &path).map_err(StoreError::io("create", &path))?;
        sync_dir(dir)?;
    }
    Engine::open(&path, config.cache_bytes, config.memtable_bytes)
}

fn read_marks(engine: &Engine) -> Result<Marks, StoreError> {
    let Some(bytes) = engine.get(Table::Index, keys::MARKS)? else { return Ok(Marks::default()) };
    let Some((safe, finalized)) = bytes.split_at_checked(8) else { return Err(StoreError::damaged("marks", "too short")) };
    Ok(Marks { safe: keys::decode_number(safe)?, finalized: keys::decode_number(finalized)? })
}

/// The flushed state as the engine tells of it.
fn read_base(engine: &Engine) -> Result<Base, StoreError> {
    let snapshot = engine.snapshot();
    let position = snapshot
        .get(Table::Index, keys::POSITION)?
        .filter(|position| position.len() == 80)
        .ok_or_else(|| StoreError::damaged("position", "missing or of wrong length"))?;
    Ok(Base {
        flushed: Head { number: keys::decode_number(&position[..8])?, hash: B256::from_slice(&position[8..40]) },
        state_root: B256::from_slice(&position[40..72]),
        oldest: keys::decode_number(&position[72..])?,
        snapshot,
    })
}

/// Decodes one log record and redoes its trie update on what came before it.
fn replay(tip: &Tip, past_tries: &Arc<PastTries>, number: u64, record: &[u8]) -> Result<Committed, StoreError> {
    let logged = decode_record(record)?;
    let header = logged.content.block.header();
    let head = tip.head();
    if number != head.number + 1 || header.number != number || header.parent_hash != head.hash {
        let parent = header.parent_hash;
        return Err(StoreError::NotNext { number, parent, head_number: head.number, head_hash: head.hash });
    }
    let view = tip.view(past_tries);
    let (root, trie, _) =
        update_state_root(&view.trie()?, view.state_root(), &logged.diff.hashed()).map_err(|error| trie_error(number, error))?;
    if root != header.state_root {
        return Err(StoreError::StateRoot { number, expected: header.state_root, got: root });
    }
    let (executed, certificate) = logged.into_executed(trie);
    Ok(Committed { executed: Arc::new(executed), certificate })
}

fn read_rlp<T: Decodable>(snapshot: &Snapshot, tag: u8, number: u64, what: &'static str) -> Result<Option<T>, StoreError> {
    let Some(bytes) = snapshot.get(Table::Blocks, &keys::numbered(tag, number))? else { return Ok(None) };
    alloy_rlp::decode_exact(&bytes).map(Some).map_err(|error| StoreError::damaged(what, error))
}

pub(crate) fn read_header(snapshot: &Snapshot, number: u64) -> Result<Option<Header>, StoreError> {
    read_rlp(snapshot, keys::HEADER, number, "header")
}

fn read_block(snapshot: &Snapshot, number: u64) -> Result<Option<Arc<SealedBlock>>, StoreError> {
    let Some(header) = read_header(snapshot, number)? else { return Ok(None) };
    let body = read_rlp(snapshot, keys::TRANSACTIONS, number, "transactions")?
        .ok_or_else(|| StoreError::damaged("transactions", format!("block {number} has none")))?;
    Ok(Some(Arc::new(SealedBlock::new(Block { header, body }))))
}

/// Retained nodes by hash; unflushed blocks hold theirs by place.
struct RetainedNodes {
    snapshot: Snapshot,
    unflushed: Vec<Arc<ExecutedBlock>>,
}

impl NodeReader for RetainedNodes {
    type Error = StoreError;

    fn node(&self, owner: Option<B256>, path: &Nibbles, hash: B256) -> Result<Option<Bytes>, StoreError> {
        let unflushed = owner.and_then(|owner| self.unflushed.iter().find_map(|block| block.node_of_hash(owner, path, hash)));
        if unflushed.is_some() {
            return Ok(unflushed);
        }
        let node = self.snapshot.get(Table::Nodes, &keys::tagged(keys::RETAINED, hash.as_slice()))?;
        Ok(node.map(|node| Bytes::copy_from_slice(&node)))
    }
}
