//! Pruning by hand: the past cut to the newest blocks, the log emptied, and the engine merged so that the disk gets the space back.
//!
//! Blocks, receipts, the index, the present state and retained tries are not looked at, let alone changed. Each step leaves a whole
//! store behind: history shrinks in batches that name its reach, as it does while a node runs; a log segment goes when all its blocks are in the
//! engine; and the engine swaps merged files in by itself, all or none.

use crate::{
    MAX_HISTORY, MIN_HISTORY, Store, StoreError,
    engine::Table,
    flush::{PRUNE_AT_ONCE, remove_history, write_position},
    keys::{self, StateKey},
    view::Base,
    wal::Wal,
};
use parking_lot::MutexGuard;
use std::sync::Arc;

/// Tables that are merged. Entries of the two others are never written twice nor removed: merging them gives nothing back.
const MERGED: [Table; 3] = [Table::State, Table::Nodes, Table::History];

/// What [`Store::prune`] removes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrunePlan {
    /// The newest block.
    pub head: u64,
    /// Oldest block whose state can be read now …
    pub oldest: u64,
    /// … and then.
    pub oldest_after: u64,
    /// Entries of the history that go.
    pub entries: u64,
    /// Their keys and values, bytes before compression.
    pub entry_bytes: u64,
    /// Log segments that go: every block in them is in the engine.
    pub segments: u64,
    /// Their bytes.
    pub segment_bytes: u64,
}

impl Store {
    /// What [`Self::prune`] would remove. Brings what is in the log into the engine first, as a running store does by itself.
    ///
    /// # Errors
    ///
    /// As [`Self::prune`].
    pub fn prune_plan(&self, history: u64) -> Result<PrunePlan, StoreError> {
        let log = self.at_rest()?;
        self.plan(history, &log)
    }

    /// Cuts the past to the `history` blocks before the head ([`MIN_HISTORY`] to [`MAX_HISTORY`]), empties the log, and merges the engine. Commits wait
    /// as long as it takes. `progress` is told how many blocks are cut, and of how many. What it removed.
    ///
    /// # Errors
    ///
    /// [`StoreError::History`] for a `history` out of range; the engine or the disk fails, after which the store is whole, and less or nothing is
    /// pruned.
    pub fn prune(&self, history: u64, progress: &dyn Fn(u64, u64)) -> Result<PrunePlan, StoreError> {
        let shared = &*self.shared;
        let mut log = self.at_rest()?;
        let plan = self.plan(history, &log)?;
        let mut reached = plan.oldest;
        while reached < plan.oldest_after {
            let target = plan.oldest_after.min(reached + PRUNE_AT_ONCE);
            self.cut(reached, target)?;
            reached = target;
            progress(reached - plan.oldest, plan.oldest_after - plan.oldest);
        }
        // The engine forgets what was removed before the batch that its oldest open snapshot follows: this one removes nothing.
        self.cut(reached, reached)?;
        log.clear()?;
        shared.past_tries.clear();
        for table in MERGED {
            shared.engine.merge(table)?;
        }
        Ok(plan)
    }

    /// Bytes of the engine's files, by table; what is in memory is written out first, so that it counts.
    ///
    /// # Errors
    ///
    /// The engine fails.
    pub fn table_bytes(&self) -> Result<[(&'static str, u64); 5], StoreError> {
        let _log = self.at_rest()?;
        self.shared.engine.table_bytes()
    }

    /// Everything committed is in the engine, and as long as the log is held nothing is added.
    fn at_rest(&self) -> Result<MutexGuard<'_, Wal>, StoreError> {
        loop {
            self.flush()?;
            let log = self.shared.log.lock();
            if self.shared.tip.read().committed.is_empty() {
                return Ok(log);
            }
        }
    }

    fn plan(&self, history: u64, log: &Wal) -> Result<PrunePlan, StoreError> {
        if !(MIN_HISTORY..=MAX_HISTORY).contains(&history) {
            return Err(StoreError::History { asked: history });
        }
        let base = self.flushed_base();
        let (segments, segment_bytes) = log.size()?;
        let head = base.flushed.number;
        let oldest_after = head.saturating_sub(history).max(base.oldest);
        let mut plan = PrunePlan { head, oldest: base.oldest, oldest_after, segments, segment_bytes, ..PrunePlan::default() };
        for number in plan.oldest + 1..=plan.oldest_after {
            let list_key = keys::numbered(keys::CHANGES, number);
            let Some(list) = base.snapshot.get(Table::History, &list_key)? else { continue };
            plan.entries += 1;
            plan.entry_bytes += (list_key.len() + list.len()) as u64;
            let mut list: &[u8] = &list;
            while !list.is_empty() {
                let key = keys::history(&StateKey::decode(&mut list)?.to_vec(), number);
                let prior = base.snapshot.get(Table::History, &key)?.map_or(0, |prior| prior.len());
                plan.entries += 1;
                plan.entry_bytes += (key.len() + prior) as u64;
            }
        }
        Ok(plan)
    }

    /// Removes the history of the blocks after `from` up to `to`, which is then the oldest whose state can be read.
    fn cut(&self, from: u64, to: u64) -> Result<(), StoreError> {
        let shared = &*self.shared;
        let base = self.flushed_base();
        let mut batch = shared.engine.batch();
        remove_history(&mut batch, &base, from + 1..=to)?;
        write_position(&mut batch, base.flushed, base.state_root, to);
        batch.commit()?;
        let (flushed, state_root) = (base.flushed, base.state_root);
        shared.tip.write().base = Arc::new(Base { snapshot: shared.engine.snapshot(), flushed, state_root, oldest: to });
        Ok(())
    }
}
