//! The tracker: reads every posting back once it is deep, and knows up to where the data on L1 is good.

use super::plan;
use crate::{AcceptedBatch, Assembly, BatchReader, ChainError, L1Error, L1Watcher, Posting, Reading, SettledChain};
use oceanid_da::Batch;
use oceanid_primitives::{ChainSpec, L1Origin, L1View};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// Pause after data was posted again, for it to become deep.
const POSTPONE: Duration = Duration::from_secs(60);

/// A batch on L1 without good data so far.
#[derive(Clone, Debug)]
pub(super) struct Unread {
    pub(super) batch: AcceptedBatch,
    /// L1 block that accepted it.
    l1: L1Origin,
    /// Since when its data is missing, and nothing was heard of it.
    pub(super) since: Instant,
    /// Its data is on its way in parts, as far as can be seen: others wait longer.
    pub(super) in_parts: bool,
    parts: Assembly,
    /// Most parts seen of one set.
    progress: usize,
}

impl Unread {
    fn new(batch: AcceptedBatch, l1: L1Origin) -> Self {
        Self { batch, l1, since: Instant::now(), in_parts: false, parts: Assembly::default(), progress: 0 }
    }

    /// Somebody is posting: the others wait anew, but for each number of parts once, or a stranger could hold them up for ever.
    fn wait_for_parts(&mut self, parts: Assembly) {
        let progress = parts.progress();
        (self.parts, self.in_parts) = (parts, true);
        if progress > self.progress {
            (self.progress, self.since) = (progress, Instant::now());
        }
    }
}

/// Why tracking stops for now.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrackError {
    #[error(transparent)]
    L1(#[from] L1Error),
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// L1 has a certificate for a block that is not ours.
    #[error(
        "L1 accepted batch {index} whose last block {last} is {certified}; this node has {ours} there. \
         The committee certified two blocks of one height, or this node's data is damaged: stop it and compare with its peers"
    )]
    Fork { index: u64, last: u64, certified: alloy_primitives::B256, ours: alloy_primitives::B256 },
    /// The postings after the cursor are no longer in memory.
    #[error("L1 block {0} was pruned before its postings were read; restart the node")]
    Pruned(u64),
}

pub(super) struct Tracker {
    spec: Arc<ChainSpec>,
    chain: Arc<dyn SettledChain>,
    watcher: L1Watcher,
    reader: BatchReader,
    /// Next L1 block to look at; none before the first contact.
    next: Option<u64>,
    /// Postings of that block that were judged.
    judged: usize,
    /// Batches without good data, by index.
    unread: BTreeMap<u64, Unread>,
    /// Batches with good data behind one without.
    read: BTreeMap<u64, AcceptedBatch>,
    /// Postings whose data was not what was certified.
    pub(super) garbage: u64,
    /// Why no further posting can be judged now.
    pub(super) waiting: Option<String>,
}

impl Tracker {
    pub(super) fn new(spec: Arc<ChainSpec>, chain: Arc<dyn SettledChain>, watcher: L1Watcher, reader: BatchReader) -> Self {
        Self {
            spec,
            chain,
            watcher,
            reader,
            next: None,
            judged: 0,
            unread: BTreeMap::new(),
            read: BTreeMap::new(),
            garbage: 0,
            waiting: None,
        }
    }

    /// The oldest batch that needs its data posted again.
    pub(super) fn oldest_unread(&self) -> Option<(u64, &Unread)> {
        self.unread.first_key_value().map(|(index, unread)| (*index, unread))
    }

    /// Data was posted for this batch: wait as long again before posting once more.
    pub(super) fn postpone(&mut self, index: u64) {
        if let Some(unread) = self.unread.get_mut(&index) {
            unread.since = Instant::now() + POSTPONE;
        }
    }

    /// Looks at all deep L1 blocks that were not looked at yet, then moves the marks.
    pub(super) async fn advance(&mut self) -> Result<(), TrackError> {
        self.waiting = None;
        let Some(deep) = self.watcher.newest_origin() else { return Ok(()) };
        let mut next = match (self.next, self.watcher.oldest()) {
            (Some(next), _) => next,
            (None, Some(oldest)) => oldest,
            (None, None) => return Ok(()),
        };
        let mut last = None;
        while next <= deep.number {
            let entry = self.watcher.entry(next).ok_or(TrackError::Pruned(next))?;
            self.next = Some(next);
            while let Some(posting) = entry.postings.get(self.judged) {
                if !self.look_at(posting).await? {
                    return Ok(());
                }
                self.judged += 1;
            }
            last = Some(entry.block.origin());
            next += 1;
            (self.next, self.judged) = (Some(next), 0);
        }
        if let Some(last) = last {
            self.save(last)?;
        }
        Ok(())
    }

    /// Judges one posting; false if this node's chain is not far enough to do so.
    async fn look_at(&mut self, posting: &Posting) -> Result<bool, TrackError> {
        let batch = match posting.batch {
            Some(batch) => batch,
            None => match self.unread.get(&posting.index) {
                Some(unread) => unread.batch,
                // Good data is there already, or the batch is below the cursor.
                None => return Ok(true),
            },
        };
        if batch.last <= self.chain.safe()? || self.read.contains_key(&posting.index) {
            return Ok(true);
        }
        if self.chain.head() < batch.last {
            self.waiting =
                Some(format!("batch {} on L1 ends with block {}, which this node has not reached", posting.index, batch.last));
            return Ok(false);
        }
        let ours = self.chain.block(batch.last)?.hash();
        if ours != batch.header_hash {
            return Err(TrackError::Fork { index: posting.index, last: batch.last, certified: batch.header_hash, ours });
        }
        // If reading fails the same posting is looked at again: the sets must be as they were.
        let mut parts = self.unread.get(&posting.index).map_or_else(Assembly::default, |unread| unread.parts.clone());
        let Some(candidate) = parts.take(posting) else {
            self.unread.entry(posting.index).or_insert_with(|| Unread::new(batch, posting.l1)).wait_for_parts(parts);
            return Ok(true);
        };
        let good = match self.reader.read_parts(&candidate).await? {
            Reading::Data(data) => self.compare(&batch, &data)?,
            Reading::Empty(reason) => Err(reason),
        };
        match good {
            Ok(()) => {
                self.unread.remove(&posting.index);
                self.read.insert(posting.index, batch);
            }
            Err(reason) => {
                warn!(batch = posting.index, transaction = %posting.transaction, reason, "batch data on L1 is not what was certified: an empty posting");
                self.garbage += 1;
                let unread = self.unread.entry(posting.index).or_insert_with(|| Unread::new(batch, posting.l1));
                (unread.parts, unread.in_parts) = (parts, false);
            }
        }
        self.move_safe()?;
        Ok(true)
    }

    fn compare(&self, accepted: &AcceptedBatch, data: &[u8]) -> Result<Result<(), String>, ChainError> {
        let posted = match Batch::decode(self.spec.chain_id, data) {
            Ok(batch) => batch,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let ours = plan::batch(&*self.chain, accepted.first, accepted.last)?;
        Ok(if posted == ours { Ok(()) } else { Err("it decodes to other blocks".to_owned()) })
    }

    /// `safe` is the end of the last batch with good data before the first without.
    fn move_safe(&mut self) -> Result<(), ChainError> {
        while let Some(entry) = self.read.first_entry() {
            if self.unread.first_key_value().is_some_and(|(index, _)| index < entry.key()) {
                break;
            }
            let (index, batch) = entry.remove_entry();
            self.chain.set_safe(batch.last)?;
            info!(batch = index, safe = batch.last, "batch read back from L1");
        }
        Ok(())
    }

    /// Everything up to `last` was looked at; a restart goes on there, or before the oldest batch without good data.
    fn save(&self, last: L1Origin) -> Result<(), ChainError> {
        let cursor = self.unread.values().map(|unread| unread.l1).min_by_key(|l1| l1.number).unwrap_or(last);
        if self.chain.cursor()? != Some(cursor) {
            self.chain.set_cursor(cursor)?;
        }
        Ok(())
    }

    /// The oldest L1 block tracking still needs.
    pub(super) const fn needs(&self) -> u64 {
        match self.next {
            Some(next) => next,
            None => 0,
        }
    }
}
