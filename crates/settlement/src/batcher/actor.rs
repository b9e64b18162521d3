//! The batcher's loop: look at L1, track, follow what is in flight, post what is due.

use super::plan::{self, Backlog, Plan};
use super::poster::{Fate, Poster, Purpose};
use super::tracker::{TrackError, Tracker};
use super::{BatcherConfig, DaPolicy, PosterConfig, SettlementStatus};
use crate::chain::extension;
use crate::finality::{FinalityError, follow_finality};
use crate::{BatchReader, ChainError, L1Client, L1Error, L1Watcher, SettledChain};
use alloy_primitives::Bytes;
use alloy_rlp::Encodable;
use alloy_sol_types::SolCall;
use oceanid_contracts::l1::Rollup;
use oceanid_da::{BatchError, DaError, mode};
use oceanid_primitives::{ChainSpec, DaMode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

/// Longest pause after failures.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// How long the first member waits before it posts good data beside garbage; each further one waits a stagger more. Whoever posted
/// garbage may have reposted already, in blocks that are not deep yet.
const REPOST_DELAY: Duration = Duration::from_secs(2);
/// Below this the account that posts is called low on ether, wei.
const LOW_BALANCE: u128 = 100_000_000_000_000_000;

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    L1(#[from] L1Error),
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Track(#[from] TrackError),
    #[error("cannot encode blocks {first} to {last}: {error}")]
    Encode { first: u64, last: u64, error: BatchError },
    #[error(
        "block {0} alone is too large for a batch: {1}; post in mode `blob`, or lower the limit of bytes in a block below what the mode carries"
    )]
    TooLarge(u64, DaError),
    #[error("certificate of block {0}: {1}")]
    Certificate(u64, String),
    #[error(transparent)]
    Finality(#[from] FinalityError),
}

pub(super) struct Actor {
    client: L1Client,
    spec: Arc<ChainSpec>,
    chain: Arc<dyn SettledChain>,
    watcher: L1Watcher,
    config: BatcherConfig,
    tracker: Tracker,
    poster: Option<(Poster, PosterConfig)>,
    backlog: Backlog,
    /// First block of the batch that is due, and since when.
    due: Option<(u64, Instant)>,
    status: watch::Sender<SettlementStatus>,
    full: Arc<AtomicBool>,
}

/// `Rollup.head()` in the latest L1 block.
#[derive(Clone, Copy)]
struct Posted {
    index: u64,
    number: u64,
}

/// Batch data for a transaction.
struct Encoded {
    first: u64,
    last: u64,
    mode: DaMode,
    packed: oceanid_da::Packed,
    bytes: usize,
}

impl Actor {
    pub(super) fn new(
        client: L1Client,
        spec: Arc<ChainSpec>,
        chain: Arc<dyn SettledChain>,
        watcher: L1Watcher,
        reader: BatchReader,
        config: BatcherConfig,
        status: watch::Sender<SettlementStatus>,
        full: Arc<AtomicBool>,
    ) -> Self {
        let poster = config.poster.clone().map(|poster| {
            let sender = Poster::new(client.clone(), poster.key.clone(), spec.l1_chain_id, spec.l1.rollup, poster.replace_after);
            (sender, poster)
        });
        let tracker = Tracker::new(spec.clone(), chain.clone(), watcher.clone(), reader);
        Self { client, spec, chain, watcher, config, tracker, poster, backlog: Backlog::default(), due: None, status, full }
    }

    pub(super) async fn run(mut self) {
        if let Some((_, poster)) = &self.poster
            && poster.da != DaPolicy::Fixed(DaMode::Calldata)
        {
            // Seconds of CPU, once: not when the first batch is due.
            let _ = tokio::task::spawn_blocking(oceanid_da::warm_up).await;
        }
        self.check_balance().await;
        let mut failures = 0u32;
        loop {
            let pause = match self.round().await {
                Ok(()) => {
                    failures = 0;
                    self.config.poll
                }
                Err(error) => {
                    failures += 1;
                    if matches!(
                        error,
                        RoundError::Track(TrackError::Fork { .. }) | RoundError::Finality(FinalityError::Output { .. })
                    ) {
                        error!(%error, "L1 and this node disagree");
                    } else {
                        warn!(%error, failures, "settlement round failed");
                    }
                    self.status.send_modify(|status| status.last_error = Some(error.to_string()));
                    (self.config.poll * 2u32.saturating_pow(failures.min(6))).min(MAX_BACKOFF)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn check_balance(&self) {
        let Some((poster, _)) = &self.poster else { return };
        let account = poster.account();
        if let Ok(balance) = self.client.balance(account).await
            && balance < alloy_primitives::U256::from(LOW_BALANCE)
        {
            warn!(%account, %balance, "the account that posts batches is low on ether: send it some, or its batches will be refused");
        }
    }

    async fn round(&mut self) -> Result<(), RoundError> {
        let posted = self.head().await?;
        self.backlog.update(posted.number, &*self.chain)?;
        self.publish_backlog(posted);
        let tracked = self.tracker.advance().await;
        self.watcher.prune_below(self.oldest_needed()?);
        let finalized = follow_finality(&self.client, self.spec.l1.rollup, &*self.chain).await?;
        self.status.send_modify(|status| status.finalized = finalized);
        // A failure to read back must not stop posting, nor the reverse.
        let posted = self.post(posted).await;
        self.publish(tracked.is_ok() && posted.is_ok())?;
        tracked?;
        posted
    }

    async fn head(&self) -> Result<Posted, L1Error> {
        let head = self.client.view(self.spec.l1.rollup, Rollup::headCall {}).await?;
        let index =
            u64::try_from(head.index).map_err(|_| self.client.inconsistent(format!("Rollup.head() has index {}", head.index)))?;
        Ok(Posted { index, number: head.number })
    }

    fn oldest_needed(&self) -> Result<u64, ChainError> {
        let head = self.chain.block(self.chain.head())?;
        Ok(extension(&head)?.origin.number.min(self.tracker.needs()))
    }

    async fn post(&mut self, posted: Posted) -> Result<(), RoundError> {
        let Some((poster, _)) = &mut self.poster else { return Ok(()) };
        match poster.follow().await? {
            Fate::Open => {}
            Fate::Done(purpose) => {
                info!(first = purpose.first, last = purpose.last, repost = purpose.repost, "batch accepted by L1");
                self.status.send_modify(|status| status.posted_here += 1);
                // The head that was read before this receipt may be older than it.
                return Ok(());
            }
            Fate::Refused(purpose) => {
                info!(
                    first = purpose.first,
                    last = purpose.last,
                    "L1 refused the batch: another member was first, or the origin is stale"
                );
                return Ok(());
            }
            Fate::Displaced(purpose) => {
                warn!(
                    first = purpose.first,
                    last = purpose.last,
                    "another transaction of this account took the nonce: does a second node use the key?"
                );
                return Ok(());
            }
        }
        if poster.is_busy() {
            return Ok(());
        }
        // A batch that cannot be posted again must not keep new ones from L1.
        match self.repost().await {
            Ok(true) => Ok(()),
            Ok(false) => self.post_next(posted).await,
            Err(error) => self.post_next(posted).await.and(Err(error)),
        }
    }

    /// Posts the next batch, if it is time.
    async fn post_next(&mut self, posted: Posted) -> Result<(), RoundError> {
        let Some(plan) = self.next_plan(posted)? else { return Ok(()) };
        let Some(encoded) = self.encode_plan(&plan).await? else { return Ok(()) };
        let block = self.chain.block(encoded.last)?;
        let certificate = self
            .chain
            .certificate(encoded.last)?
            .ok_or_else(|| RoundError::Certificate(encoded.last, "it is gone".to_owned()))?;
        let certificate =
            (self.config.decode_certificate)(&certificate).map_err(|error| RoundError::Certificate(encoded.last, error))?;
        let mut header_rlp = Vec::new();
        block.header().encode(&mut header_rlp);
        let call = Rollup::submitBatchCall {
            parentIndex: alloy_primitives::U256::from(posted.index),
            firstBlock: encoded.first,
            lastHeaderRlp: header_rlp.into(),
            certificate: Rollup::Certificate {
                view_: certificate.view,
                parentView: certificate.parent_view,
                signers: certificate.signers,
                signature: certificate.signature,
            },
            daMode: encoded.mode as u8,
            data: encoded.packed.argument.clone(),
        };
        let purpose = Purpose { first: encoded.first, last: encoded.last, repost: None };
        self.submit(purpose, call.abi_encode().into(), encoded, Some(posted)).await
    }

    /// Which blocks to post now, if it is time and this member's turn.
    fn next_plan(&mut self, posted: Posted) -> Result<Option<Plan>, RoundError> {
        let Some((_, poster)) = &self.poster else { return Ok(None) };
        // Capacity is that of the largest mode the policy may choose.
        let capacity = match poster.da {
            DaPolicy::Fixed(da_mode) => mode(da_mode).capacity(),
            DaPolicy::Cheapest => mode(DaMode::Blob).capacity(),
        };
        let epoch_end = |number| self.chain.epoch_end(number);
        let Some(plan) = self.backlog.plan(epoch_end, capacity, self.config.max_blocks) else {
            self.due = None;
            return Ok(None);
        };
        let age = now().saturating_sub(self.chain.block(plan.first)?.header().timestamp);
        let Some(due) = plan.due(age, poster.max_age.as_secs()) else {
            self.due = None;
            return Ok(None);
        };
        let since = match self.due {
            Some((first, since)) if first == posted.number + 1 => since,
            _ => {
                let since = Instant::now();
                self.due = Some((posted.number + 1, since));
                since
            }
        };
        let last = self.chain.block(plan.ends[0])?;
        let place = plan::place(&*self.chain, &last, &poster.identity)?;
        if since.elapsed() < poster.stagger * place {
            return Ok(None);
        }
        debug!(first = plan.first, last = plan.ends[0], ?due, place, "a batch is due");
        Ok(Some(plan))
    }

    /// Encodes the longest batch of the plan that fits. One that turns out not to be full, of a plan that was due only for being
    /// full, still goes: encoding it again later would cost as much.
    async fn encode_plan(&self, plan: &Plan) -> Result<Option<Encoded>, RoundError> {
        let mut ends = plan.ends.as_slice();
        while let Some(last) = ends.first() {
            match self.encode(plan.first, *last, ends.len() == 1).await {
                // Halve the choice: each attempt costs the encoding of a batch.
                Err(RoundError::TooLarge(..)) if ends.len() > 1 => ends = &ends[ends.len().div_ceil(2)..],
                other => return other.map(Some),
            }
        }
        Ok(None)
    }

    /// Encodes the blocks for the policy's mode. `last_resort`: there is no smaller batch to try, so that one too large for that mode
    /// goes to blobs; otherwise a leader could make a block that a committee which prefers calldata can never post.
    async fn encode(&self, first: u64, last: u64, last_resort: bool) -> Result<Encoded, RoundError> {
        let Some((poster, config)) = &self.poster else {
            return Err(RoundError::TooLarge(last, DaError::NotAvailable));
        };
        let chain = self.chain.clone();
        let chain_id = self.spec.chain_id;
        let data = blocking(move || {
            let batch = plan::batch(&*chain, first, last)?;
            batch.encode(chain_id).map_err(|error| RoundError::Encode { first, last, error })
        })
        .await?;
        let mut da_mode = poster.choose_mode(config.da, data.len()).await?;
        if last_resort && data.len() > mode(da_mode).capacity() {
            da_mode = DaMode::Blob;
        }
        let bytes = data.len();
        let packed = blocking(move || mode(da_mode).pack(&data).map_err(|error| RoundError::TooLarge(last, error))).await?;
        Ok(Encoded { first, last, mode: da_mode, packed, bytes })
    }

    /// Posts good data for the oldest batch that has none, if there is one and it is this member's turn.
    async fn repost(&mut self) -> Result<bool, RoundError> {
        let Some((index, unread)) = self.tracker.oldest_unread() else { return Ok(false) };
        let Some((_, config)) = &self.poster else { return Ok(false) };
        let last = self.chain.block(unread.batch.last)?;
        let place = plan::place(&*self.chain, &last, &config.identity)?;
        if unread.since.elapsed() < REPOST_DELAY + config.stagger * place {
            return Ok(false);
        }
        let encoded = self.encode(unread.batch.first, unread.batch.last, true).await?;
        warn!(batch = index, first = encoded.first, last = encoded.last, "posting the data of a batch again");
        let call = Rollup::repostDataCall {
            index: alloy_primitives::U256::from(index),
            part: 0,
            parts: 1,
            daMode: encoded.mode as u8,
            data: encoded.packed.argument.clone(),
        };
        let purpose = Purpose { first: encoded.first, last: encoded.last, repost: Some(index) };
        self.submit(purpose, call.abi_encode().into(), encoded, None).await?;
        self.tracker.postpone(index);
        Ok(true)
    }

    /// Sends. A refusal is no failure if the head moved meanwhile.
    async fn submit(
        &mut self,
        purpose: Purpose,
        call: Bytes,
        encoded: Encoded,
        expected: Option<Posted>,
    ) -> Result<(), RoundError> {
        let Some((poster, _)) = &mut self.poster else { return Ok(()) };
        let (first, last, bytes, da_mode) = (encoded.first, encoded.last, encoded.bytes, encoded.mode);
        match poster.post(purpose, call, encoded.packed).await {
            Ok(transaction) => {
                info!(first, last, bytes, mode = %da_mode, %transaction, "batch sent to L1");
                Ok(())
            }
            Err(error) => {
                if let Some(expected) = expected
                    && self.head().await?.index != expected.index
                {
                    debug!(first, last, "another member posted first");
                    return Ok(());
                }
                Err(error.into())
            }
        }
    }

    fn publish_backlog(&self, posted: Posted) {
        let (blocks, bytes) = (self.backlog.blocks(), self.backlog.bytes());
        let full = blocks >= self.config.max_backlog_blocks || bytes >= self.config.max_backlog_bytes;
        if full != self.full.swap(full, Ordering::Relaxed) {
            if full {
                warn!(blocks, bytes, "too much waits for L1: no non-empty blocks until batches are posted");
            } else {
                info!(blocks, bytes, "the backlog is below its limits again");
            }
        }
        self.status.send_modify(|status| {
            status.batch = posted.index;
            status.posted = posted.number;
            status.backlog_blocks = blocks;
            status.backlog_bytes = bytes;
            status.backlog_full = full;
        });
    }

    fn publish(&self, healthy: bool) -> Result<(), ChainError> {
        let safe = self.chain.safe()?;
        let in_flight = self.poster.as_ref().and_then(|(poster, _)| poster.in_flight());
        let waiting = self.tracker.waiting.clone().or_else(|| match self.tracker.oldest_unread() {
            Some((index, _)) => Some(format!("batch {index} has no good data on L1 yet")),
            None if self.full.load(Ordering::Relaxed) => {
                Some("the backlog is full; check the account that posts and the L1 endpoint".to_owned())
            }
            None => None,
        });
        self.status.send_modify(|status| {
            status.safe = safe;
            status.in_flight = in_flight;
            status.garbage = self.tracker.garbage;
            status.waiting = waiting;
            if healthy {
                status.last_error = None;
            }
        });
        Ok(())
    }
}

/// Runs what takes CPU for long where it stops nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, RoundError> + Send + 'static) -> Result<T, RoundError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(ChainError(format!("a worker stopped: {error}")).into()),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
