//! The follower's actor: reads postings in order, replays them, commits.

use crate::replay::{MAX_REPLAY_GAS, ReplayError, replay};
use oceanid_chain::{Ledger, LedgerConfig, LedgerError};
use oceanid_da::MAX_BATCH_BLOCKS;
use oceanid_primitives::{HeaderExtension, L1Origin, L1View, SealedBlock};
use oceanid_settlement::{
    AcceptedBatch, Assembly, BatchReader, ChainError, FinalityError, L1Client, L1Error, L1Watcher, Posting, Reading,
    SettledChain, Task, follow_finality, spawn_blocking,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::{debug, info, warn};

/// Batches read ahead of execution.
const READ_AHEAD: usize = 64;
/// Longest pause after failures.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// Bytes that the executed blocks of one batch may take before they are committed: half a byte for each unit of gas of the largest batch.
/// The most that a unit of gas buys is a quarter of a byte (a log without data: 375 gas), so that the gas rule judges before this is full.
const SPECULATIVE_BYTES: usize = (MAX_REPLAY_GAS / 2) as usize;
/// Catch-up speed is measured over at least this long.
const SPEED_WINDOW: Duration = Duration::from_secs(5);

/// Configuration of a ledger that follows: it holds a whole batch before it commits any of it.
pub fn ledger_config() -> LedgerConfig {
    LedgerConfig { speculative_blocks: MAX_BATCH_BLOCKS, speculative_bytes: SPECULATIVE_BYTES, ..LedgerConfig::default() }
}

/// Configuration of a [`Follower`].
#[derive(Clone, Debug)]
pub struct FollowerConfig {
    /// Pause between two rounds when there is nothing to do.
    pub poll: Duration,
}

/// How following stands.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FollowerStatus {
    /// Committed head.
    pub head: u64,
    /// Last block of the newest batch seen in deep L1 blocks.
    pub target: u64,
    /// Last block of the newest final output.
    pub finalized: u64,
    /// L1 block whose postings are read next.
    pub l1: u64,
    /// Batches replayed since start.
    pub batches: u64,
    /// Postings found empty since start: garbage beside a valid certificate.
    pub empty: u64,
    /// The last reason for an empty posting.
    pub last_empty: Option<String>,
    /// Blocks a second while catching up.
    pub blocks_per_second: f64,
    /// The last failure, if nothing has succeeded since.
    pub last_error: Option<String>,
    /// What following waits for, if it cannot go on.
    pub waiting: Option<String>,
}

/// Handle of the follower. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Follower(watch::Receiver<FollowerStatus>);

impl Follower {
    /// Starts following. The watcher begins at [`oceanid_settlement::anchor`]; the ledger was opened with [`ledger_config`].
    pub fn start(
        ledger: Ledger,
        client: L1Client,
        watcher: L1Watcher,
        reader: BatchReader,
        config: FollowerConfig,
    ) -> (Self, Task) {
        let (sender, status) = watch::channel(FollowerStatus::default());
        let actor = Actor {
            ledger,
            client,
            watcher,
            reader,
            config,
            status: sender,
            next: None,
            pending: BTreeMap::new(),
            speed: Speed::new(),
        };
        (Self(status), Task::spawn(actor.run()))
    }

    /// How following stands.
    pub fn status(&self) -> FollowerStatus {
        self.0.borrow().clone()
    }

    /// A receiver that wakes at every change.
    pub fn subscribe(&self) -> watch::Receiver<FollowerStatus> {
        self.0.clone()
    }
}

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    L1(#[from] L1Error),
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Finality(#[from] FinalityError),
    #[error(transparent)]
    Replay(ReplayError),
    #[error(
        "L1 accepted batch {index} whose last block {last} is {certified}; this node has {ours} there: \
         this data directory is of another chain or damaged; start with a new one"
    )]
    Fork { index: u64, last: u64, certified: alloy_primitives::B256, ours: alloy_primitives::B256 },
    #[error("L1 block {0} is no longer held: restart the node, it begins at its cursor")]
    Pruned(u64),
    #[error("a worker stopped: {0}")]
    Worker(tokio::task::JoinError),
}

/// An accepted batch and the data posted for it that was not tried yet.
struct Pending {
    batch: AcceptedBatch,
    accepted_in: L1Origin,
    /// Parts of data that is not whole yet.
    parts: Assembly,
    /// Candidates for its data, in order.
    candidates: VecDeque<Vec<Posting>>,
}

struct Actor {
    ledger: Ledger,
    client: L1Client,
    watcher: L1Watcher,
    reader: BatchReader,
    config: FollowerConfig,
    status: watch::Sender<FollowerStatus>,
    /// Next L1 block whose postings are read; none before the first contact.
    next: Option<u64>,
    /// Batches not replayed yet, by index.
    pending: BTreeMap<u64, Pending>,
    speed: Speed,
}

impl Actor {
    async fn run(mut self) {
        let mut failures = 0u32;
        loop {
            let pause = match self.round().await {
                Ok(worked) => {
                    failures = 0;
                    if worked { Duration::ZERO } else { self.config.poll }
                }
                Err(error) => {
                    failures += 1;
                    // The node says it with a remedy once it lasts, from the status.
                    debug!(%error, failures, "following L1 failed");
                    self.status.send_modify(|status| status.last_error = Some(error.to_string()));
                    (self.config.poll * 2u32.saturating_pow(failures.min(6))).min(MAX_BACKOFF)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads, replays one batch, moves the marks. True if there may be more to do at once.
    async fn round(&mut self) -> Result<bool, RoundError> {
        if self.pending.values().any(|pending| self.watcher.holds(pending.accepted_in).is_err()) {
            warn!("L1 took back postings that were deep: reading again what it has in their place");
            self.pending.clear();
            self.next = None;
        }
        self.read_postings()?;
        let worked = self.replay_next().await?;
        let finalized = if worked {
            None
        } else {
            Some(follow_finality(&self.client, &self.watcher, self.ledger.spec().l1.rollup, &self.ledger).await?)
        };
        let origin = self.origin()?;
        self.watcher.prune_below(origin.number.min(self.next.unwrap_or_default()));
        self.watcher.holds(origin)?;
        let head = self.ledger.head().number();
        self.status.send_modify(|status| {
            status.head = head;
            status.finalized = finalized.unwrap_or(status.finalized);
            status.l1 = self.next.unwrap_or_default();
            status.blocks_per_second = self.speed.blocks_per_second();
            status.last_error = None;
        });
        Ok(worked)
    }

    /// Takes in postings of deep L1 blocks. Reads ahead only so far, but as far as it takes while a batch waits for good data.
    fn read_postings(&mut self) -> Result<(), RoundError> {
        let Some(deep) = self.watcher.newest_origin() else { return Ok(()) };
        let Some(mut next) = self.next.or_else(|| self.watcher.oldest()) else { return Ok(()) };
        for recovery in self.watcher.recoveries() {
            self.ledger.admit(&recovery)?;
        }
        while next <= deep.number {
            let stalled = self.pending.first_key_value().is_some_and(|(_, pending)| pending.candidates.is_empty());
            if self.pending.len() >= READ_AHEAD && !stalled {
                break;
            }
            let entry = self.watcher.entry(next).ok_or(RoundError::Pruned(next))?;
            for posting in &entry.postings {
                self.take(posting)?;
            }
            next += 1;
            self.next = Some(next);
        }
        Ok(())
    }

    fn take(&mut self, posting: &Posting) -> Result<(), RoundError> {
        if let Some(batch) = posting.batch {
            self.status.send_modify(|status| status.target = status.target.max(batch.last));
            if batch.last <= self.ledger.head().number() {
                let ours = SettledChain::block(&self.ledger, batch.last)?.hash();
                if ours != batch.header_hash {
                    return Err(RoundError::Fork { index: posting.index, last: batch.last, certified: batch.header_hash, ours });
                }
                return Ok(());
            }
            let pending = Pending { batch, accepted_in: posting.l1, parts: Assembly::default(), candidates: VecDeque::new() };
            self.pending.insert(posting.index, pending);
        }
        // Data posted again for a batch that is done, or that was never accepted, is nobody's.
        if let Some(pending) = self.pending.get_mut(&posting.index) {
            pending.candidates.extend(pending.parts.take(posting));
        }
        Ok(())
    }

    /// Tries the next candidate of the oldest batch.
    async fn replay_next(&mut self) -> Result<bool, RoundError> {
        let Some(mut entry) = self.pending.first_entry() else {
            self.status.send_modify(|status| status.waiting = None);
            return Ok(false);
        };
        let index = *entry.key();
        let pending = entry.get_mut();
        let Some(candidate) = pending.candidates.front() else {
            let (first, last) = (pending.batch.first, pending.batch.last);
            let waiting = match pending.parts.progress() {
                0 => {
                    format!("batch {index} (blocks {first} to {last}) has no good data on L1: waiting for it to be posted again")
                }
                parts => format!(
                    "batch {index} (blocks {first} to {last}): {parts} parts of its data are on L1, waiting for the others"
                ),
            };
            self.status.send_modify(|status| status.waiting = Some(waiting));
            return Ok(false);
        };
        let verdict = match self.reader.read_parts(candidate).await? {
            Reading::Empty(reason) => Err(reason),
            Reading::Data(data) => {
                let (ledger, watcher, batch, accepted_in) =
                    (self.ledger.clone(), self.watcher.clone(), pending.batch, pending.accepted_in.number);
                let replayed = spawn_blocking(move || replay(&ledger, &watcher, &batch, accepted_in, &data));
                match replayed.await.map_err(RoundError::Worker)? {
                    Ok(blocks) => Ok(blocks),
                    Err(ReplayError::Empty(reason)) => Err(reason.to_string()),
                    Err(error) => return Err(RoundError::Replay(error)),
                }
            }
        };
        match verdict {
            Ok(blocks) => {
                let accepted_in = pending.accepted_in;
                entry.remove();
                self.commit(index, accepted_in, blocks).await?;
            }
            Err(reason) => {
                let transaction = candidate.last().map(|posting| posting.transaction);
                warn!(batch = index, ?transaction, reason, "an empty posting: its data is not what was certified");
                pending.candidates.pop_front();
                self.status.send_modify(|status| {
                    status.empty += 1;
                    status.last_empty = Some(format!("batch {index}: {reason}"));
                });
            }
        }
        Ok(true)
    }

    async fn commit(&mut self, index: u64, accepted_in: L1Origin, blocks: Vec<Arc<SealedBlock>>) -> Result<(), RoundError> {
        let ledger = self.ledger.clone();
        let count = blocks.len() as u64;
        let committed = spawn_blocking(move || {
            for block in &blocks {
                ledger.commit(block, None)?;
            }
            Ok::<_, LedgerError>(ledger.head().number())
        });
        let safe = committed.await.map_err(RoundError::Worker)??;
        self.ledger.set_safe(safe)?;
        // A restart reads this L1 block again; what it holds up to here is below the head by then.
        self.ledger.set_cursor(accepted_in)?;
        self.speed.count(count);
        info!(batch = index, safe, "batch replayed from L1");
        self.status.send_modify(|status| {
            status.batches += 1;
            status.waiting = None;
        });
        Ok(())
    }

    /// The origin of the committed head.
    fn origin(&self) -> Result<L1Origin, RoundError> {
        let head = self.ledger.head();
        let extension = HeaderExtension::decode(&head.header().extra_data)
            .map_err(|reason| LedgerError::Extension { number: head.number(), reason })?;
        Ok(extension.origin)
    }
}

/// Blocks a second over the last window in which there was work.
struct Speed {
    since: Instant,
    blocks: u64,
    last: f64,
}

impl Speed {
    fn new() -> Self {
        Self { since: Instant::now(), blocks: 0, last: 0.0 }
    }

    fn count(&mut self, blocks: u64) {
        self.blocks += blocks;
        let elapsed = self.since.elapsed();
        if elapsed >= SPEED_WINDOW {
            self.last = self.blocks as f64 / elapsed.as_secs_f64();
            (self.since, self.blocks) = (Instant::now(), 0);
        }
    }

    fn blocks_per_second(&self) -> f64 {
        let elapsed = self.since.elapsed().as_secs_f64();
        if self.last > 0.0 || elapsed == 0.0 { self.last } else { self.blocks as f64 / elapsed }
    }
}
