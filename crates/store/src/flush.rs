//! The flusher: a thread that merges committed blocks into one engine batch, with their history, and prunes old history.

use crate::{
    StoreError,
    block::ExecutedBlock,
    engine::{Batch, Engine, Table},
    keys::{self, StateKey},
    logs,
    store::{Committed, Head, Shared},
    view::Base,
};
use alloy_primitives::{Address, B256, Bytes, map::HashMap};
use alloy_rlp::Encodable;
use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc, time::Instant};

/// Most blocks whose history one batch prunes.
pub(crate) const PRUNE_AT_ONCE: u64 = 128;

/// How much is committed but not flushed, and how the flusher is doing.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) blocks: usize,
    pub(crate) bytes: usize,
    /// When the oldest of them came.
    pub(crate) since: Option<Instant>,
    pub(crate) shutdown: bool,
    /// Someone waits for everything to be flushed.
    pub(crate) urgent: bool,
    /// Why writing stopped.
    pub(crate) stopped: Option<String>,
}

impl Pending {
    pub(crate) fn add(&mut self, block: &ExecutedBlock) {
        self.blocks += 1;
        self.bytes += block.bytes();
        self.since.get_or_insert_with(Instant::now);
    }
}

/// Runs until shutdown, then flushes what is left.
pub(crate) fn run(shared: &Shared) {
    loop {
        let last = {
            let config = &shared.config;
            let mut pending = shared.pending.lock();
            loop {
                let due = pending.since.map(|since| since + config.flush_interval);
                let now = Instant::now();
                if pending.stopped.is_some()
                    || pending.shutdown
                    || (pending.urgent && pending.blocks > 0)
                    || pending.blocks >= config.flush_blocks
                    || pending.bytes >= config.flush_bytes
                    || due.is_some_and(|due| due <= now)
                {
                    break;
                }
                match due {
                    Some(due) => {
                        shared.work.wait_until(&mut pending, due);
                    }
                    None => shared.work.wait(&mut pending),
                }
            }
            if pending.stopped.is_some() {
                return;
            }
            pending.shutdown
        };
        if let Err(error) = flush(shared) {
            tracing::error!(%error, "cannot flush the state; blocks stay in the log");
            shared.stop(&error);
            return;
        }
        if last {
            return;
        }
    }
}

/// Flushes what is committed now, in batches of at most the configured size.
fn flush(shared: &Shared) -> Result<(), StoreError> {
    loop {
        let (base, blocks) = {
            let tip = shared.tip.read();
            let mut bytes = 0;
            let fits = |committed: &&Committed| {
                let first = bytes == 0;
                bytes += committed.executed.bytes();
                first || bytes <= 2 * shared.config.flush_bytes
            };
            (tip.base.clone(), tip.committed.iter().take_while(fits).cloned().collect::<Vec<_>>())
        };
        let Some(newest) = blocks.last() else { return Ok(()) };
        let flushed = Head { number: newest.executed.number(), hash: newest.executed.hash() };
        let state_root = newest.executed.block().header().state_root;
        let oldest = write(shared, &base, &blocks)?;
        {
            let base = Arc::new(Base { snapshot: shared.engine.snapshot(), flushed, state_root, oldest });
            let mut tip = shared.tip.write();
            tip.base = base;
            tip.committed.drain(..blocks.len());
        }
        shared.past_tries.expire(flushed.number);
        shared.log.lock().remove_through(flushed.number)?;
        let mut pending = shared.pending.lock();
        pending.blocks -= blocks.len();
        pending.bytes -= blocks.iter().map(|committed| committed.executed.bytes()).sum::<usize>();
        pending.since = (pending.blocks > 0).then(Instant::now);
        if pending.blocks == 0 {
            pending.urgent = false;
        }
        shared.room.notify_all();
    }
}

/// Writes one batch and returns the oldest block history then reaches.
fn write(shared: &Shared, base: &Base, blocks: &[Committed]) -> Result<u64, StoreError> {
    let mut batch = shared.engine.batch();
    let mut state = HashMap::<StateKey, Vec<u8>>::default();
    let mut nodes = HashMap::<Vec<u8>, Option<Bytes>>::default();
    for committed in blocks {
        let executed = &*committed.executed;
        let number = executed.number();
        let mut changed = Vec::new();
        for (key, value) in changes(base, &state, executed)? {
            let prior = current(base, &state, &key)?;
            if prior != value {
                key.encode(&mut changed);
                batch.put(Table::History, keys::history(&key.to_vec(), number), prior);
                state.insert(key, value);
            }
        }
        batch.put(Table::History, keys::numbered(keys::CHANGES, number), changed);
        merge_nodes(base, &mut nodes, executed)?;
        write_block(&mut batch, committed);
        for (owner, _, node) in executed.nodes() {
            if let (Some(owner), Some(node)) = (owner, node)
                && shared.retained.contains(&owner)
            {
                // Equal nodes have equal hashes: writing one twice in a batch must not happen, so they go through the same map.
                nodes.insert(keys::tagged(keys::RETAINED, node.hash.as_slice()), Some(node.rlp.clone()));
            }
        }
    }
    let mut codes = BTreeMap::new();
    for committed in blocks {
        codes.extend(committed.executed.diff().codes.iter().map(|(hash, code)| (*hash, code)));
    }
    for (hash, code) in codes {
        batch.put(Table::State, keys::tagged(keys::CODE, hash.as_slice()), &code[..]);
    }
    for (key, value) in state {
        if value.is_empty() {
            batch.delete(Table::State, key.to_vec());
        } else {
            batch.put(Table::State, key.to_vec(), value);
        }
    }
    for (key, node) in nodes {
        match node {
            Some(node) => batch.put(Table::Nodes, key, &node[..]),
            None => batch.delete(Table::Nodes, key),
        }
    }
    let newest = &blocks.last().expect("the caller has some").executed;
    let target = newest.number().saturating_sub(shared.config.history).min(base.oldest + PRUNE_AT_ONCE).min(base.flushed.number);
    remove_history(&mut batch, base, base.oldest + 1..=target)?;
    let oldest = target.max(base.oldest);
    let head = Head { number: newest.number(), hash: newest.hash() };
    write_position(&mut batch, head, newest.block().header().state_root, oldest);
    batch.commit()?;
    Ok(oldest)
}

/// Removes what those blocks overwrote.
pub(crate) fn remove_history(batch: &mut Batch<'_>, base: &Base, blocks: RangeInclusive<u64>) -> Result<(), StoreError> {
    for number in blocks {
        let list_key = keys::numbered(keys::CHANGES, number);
        if let Some(list) = base.snapshot.get(Table::History, &list_key)? {
            let mut list: &[u8] = &list;
            while !list.is_empty() {
                batch.delete(Table::History, keys::history(&StateKey::decode(&mut list)?.to_vec(), number));
            }
            batch.delete(Table::History, list_key);
        }
    }
    Ok(())
}

/// Puts the first state of a chain into an empty engine.
pub(crate) fn write_genesis(engine: &Engine, retained: &[B256], genesis: &Arc<ExecutedBlock>) -> Result<(), StoreError> {
    let mut batch = engine.batch();
    for (key, value) in genesis.writes().filter(|(_, value)| !value.is_empty()) {
        batch.put(Table::State, key.to_vec(), value);
    }
    for (hash, code) in &genesis.diff().codes {
        batch.put(Table::State, keys::tagged(keys::CODE, hash.as_slice()), &code[..]);
    }
    let mut kept = BTreeMap::new();
    for (owner, path, node) in genesis.nodes() {
        let Some(node) = node else { continue };
        batch.put(Table::Nodes, keys::node(owner, path), &node.rlp[..]);
        if owner.is_some_and(|owner| retained.contains(&owner)) {
            kept.insert(node.hash, node.rlp.clone());
        }
    }
    for (hash, rlp) in kept {
        batch.put(Table::Nodes, keys::tagged(keys::RETAINED, hash.as_slice()), &rlp[..]);
    }
    write_block(&mut batch, &Committed { executed: genesis.clone(), certificate: None });
    let head = Head { number: genesis.number(), hash: genesis.hash() };
    write_position(&mut batch, head, genesis.block().header().state_root, head.number);
    batch.commit()
}

/// What a block writes, destroyed storage included.
fn changes(
    base: &Base,
    state: &HashMap<StateKey, Vec<u8>>,
    executed: &ExecutedBlock,
) -> Result<Vec<(StateKey, Vec<u8>)>, StoreError> {
    let mut writes: Vec<_> = executed.writes().collect();
    for address in executed.wiped_accounts() {
        if current(base, state, &StateKey::Account(address))?.is_empty() {
            continue;
        }
        let own = |slot: &StateKey| {
            let StateKey::Storage(_, slot) = slot else { return false };
            executed.diff().storage.get(&address).is_some_and(|storage| storage.slots.contains_key(slot))
        };
        let mut gone: Vec<StateKey> = slots_of(base, address)?;
        gone.extend(state.keys().filter(|key| matches!(key, StateKey::Storage(owner, _) if *owner == address)));
        gone.sort_unstable();
        gone.dedup();
        writes.extend(gone.into_iter().filter(|slot| !own(slot)).map(|slot| (slot, Vec::new())));
    }
    // An account may be both destroyed and wiped, and would then list its slots twice.
    writes.sort_unstable_by_key(|write| write.0);
    writes.dedup_by_key(|write| write.0);
    Ok(writes)
}

/// Flushed storage slots of an account.
fn slots_of(base: &Base, address: Address) -> Result<Vec<StateKey>, StoreError> {
    base.snapshot.prefix(Table::State, &keys::storage_prefix(address)).map(|entry| StateKey::decode(&mut &entry?.0[..])).collect()
}

/// Value of a key before the block being merged.
fn current(base: &Base, state: &HashMap<StateKey, Vec<u8>>, key: &StateKey) -> Result<Vec<u8>, StoreError> {
    if let Some(value) = state.get(key) {
        return Ok(value.clone());
    }
    Ok(base.snapshot.get(Table::State, &key.to_vec())?.map(|value| value.to_vec()).unwrap_or_default())
}

fn merge_nodes(base: &Base, nodes: &mut HashMap<Vec<u8>, Option<Bytes>>, executed: &ExecutedBlock) -> Result<(), StoreError> {
    for owner in executed.wiped() {
        let prefix = keys::tagged(keys::STORAGE, owner.as_slice());
        nodes.iter_mut().filter(|(key, _)| key.starts_with(&prefix)).for_each(|(_, node)| *node = None);
        for entry in base.snapshot.prefix(Table::Nodes, &prefix) {
            nodes.insert(entry?.0.to_vec(), None);
        }
    }
    for (owner, path, node) in executed.nodes() {
        nodes.insert(keys::node(owner, path), node.map(|node| node.rlp.clone()));
    }
    Ok(())
}

fn write_block(batch: &mut Batch<'_>, committed: &Committed) {
    let content = committed.executed.content();
    let (number, hash) = (committed.executed.number(), committed.executed.hash());
    batch.put(Table::Blocks, keys::numbered(keys::HEADER, number), rlp(content.block.header()));
    batch.put(Table::Blocks, keys::numbered(keys::TRANSACTIONS, number), rlp(&content.block.block().body));
    batch.put(Table::Blocks, keys::numbered(keys::RECEIPTS, number), rlp(&content.receipts));
    batch.put(Table::Blocks, keys::numbered(keys::SENDERS, number), rlp(&content.senders));
    if let Some(certificate) = &committed.certificate {
        batch.put(Table::Blocks, keys::numbered(keys::CERTIFICATE, number), &certificate[..]);
    }
    batch.put(Table::Index, keys::tagged(keys::BY_HASH, hash.as_slice()), &number.to_be_bytes()[..]);
    batch.put(Table::Index, keys::numbered(keys::BY_NUMBER, number), hash.as_slice());
    for (index, transaction) in content.block.body().iter().enumerate() {
        let mut location = [0; 12];
        location[..8].copy_from_slice(&number.to_be_bytes());
        location[8..].copy_from_slice(&(index as u32).to_be_bytes());
        batch.put(Table::Index, keys::tagged(keys::TX, transaction.hash().as_slice()), &location[..]);
    }
    for digest in logs::digests(&content.receipts) {
        batch.put(Table::Index, keys::logs(&digest, number), Vec::<u8>::new());
    }
}

/// The flushed block and the reach of history: in the same batch as what they speak of.
pub(crate) fn write_position(batch: &mut Batch<'_>, flushed: Head, state_root: B256, oldest: u64) {
    let mut position = Vec::with_capacity(80);
    position.extend_from_slice(&flushed.number.to_be_bytes());
    position.extend_from_slice(flushed.hash.as_slice());
    position.extend_from_slice(state_root.as_slice());
    position.extend_from_slice(&oldest.to_be_bytes());
    batch.put(Table::Index, keys::POSITION, position);
}

fn rlp(value: &impl Encodable) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.length());
    value.encode(&mut out);
    out
}
