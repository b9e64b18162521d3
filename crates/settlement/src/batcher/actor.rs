//! The batcher's loop: look at L1, track, follow what is in flight, post what is due.

use super::plan::{self, Backlog, Limits, Plan};
use super::tracker::{TrackError, Tracker};
use super::{BatcherConfig, DaPolicy, InFlight, SettlementStatus};
use crate::account::{Call, Fate, Ticket};
use crate::chain::extension;
use crate::finality::{FinalityError, follow_finality};
use crate::revert;
use crate::{BatchReader, ChainError, DA_NONE, L1Client, L1Error, L1Watcher, MAX_PARTS, SettledChain, Telling, spawn_blocking};
use alloy_eips::eip4844::BlobTransactionSidecar;
use alloy_primitives::{B256, Bytes};
use alloy_rlp::Encodable;
use alloy_sol_types::SolCall;
use oceanid_contracts::l1::Rollup;
use oceanid_da::{BatchError, DaError, Packed, mode};
use oceanid_primitives::{ChainSpec, DaMode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tracing::{Instrument as _, debug, error, info, info_span, warn};

/// Longest pause after failures.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// How long the first member waits before it posts good data beside garbage; each further one waits a stagger more. Whoever posted
/// garbage may have reposted already, in blocks that are not deep yet.
const REPOST_DELAY: Duration = Duration::from_secs(2);
/// The others wait this many staggers for the next part of data that somebody posts in parts.
const PARTS_PATIENCE: u32 = 4;
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
    #[error("the batch that ends with block {0} cannot be posted: {1}")]
    TooLarge(u64, DaError),
    #[error("L1 refuses the batch of blocks {first} to {last}: {reason}")]
    Refused { first: u64, last: u64, reason: String },
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
    /// The transaction in flight, and what for.
    sent: Option<(Ticket, Purpose)>,
    /// Data that goes before all else.
    upload: Option<Upload>,
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

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Purpose {
    first: u64,
    last: u64,
    step: Step,
}

/// One of the transactions that bring a batch to L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The batch, with its data.
    Batch,
    /// The batch, whose data follows in parts.
    Announce,
    /// The next part of the data that is being posted.
    Part,
}

/// A batch's data, encoded, and where it goes.
struct Encoded {
    first: u64,
    last: u64,
    mode: DaMode,
    data: Vec<u8>,
}

impl Encoded {
    /// Transactions that the data takes.
    fn parts(&self) -> usize {
        self.data.len().div_ceil(mode(self.mode).capacity().max(1))
    }
}

/// Data on its way to L1 by `repostData`, part by part.
struct Upload {
    index: u64,
    encoded: Encoded,
    /// The next part.
    next: usize,
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
        let tracker = Tracker::new(spec.clone(), chain.clone(), watcher.clone(), reader);
        Self {
            client,
            spec,
            chain,
            watcher,
            config,
            tracker,
            sent: None,
            upload: None,
            backlog: Backlog::default(),
            due: None,
            status,
            full,
        }
    }

    pub(super) async fn run(mut self) {
        if let Some(poster) = &self.config.poster
            && poster.da != DaPolicy::Fixed(DaMode::Calldata)
        {
            // Seconds of CPU, once: not when the first batch is due.
            let _ = spawn_blocking(oceanid_da::warm_up).await;
        }
        self.check_balance().await;
        let (mut failures, mut fork) = (0u32, Telling::default());
        loop {
            let pause = match self.round().await {
                Ok(()) => {
                    failures = 0;
                    fork = Telling::default();
                    self.config.poll
                }
                Err(error) => {
                    failures += 1;
                    if matches!(
                        error,
                        RoundError::Track(TrackError::Fork { .. }) | RoundError::Finality(FinalityError::Output { .. })
                    ) {
                        if let Some(lasted) = fork.lasts(Instant::now()) {
                            error!(%error, seconds = lasted.as_secs(), "L1 and this node disagree");
                        }
                    } else {
                        // The node says it with a remedy once it lasts, from the status.
                        debug!(%error, failures, "settlement round failed");
                    }
                    self.status.send_modify(|status| status.last_error = Some(error.to_string()));
                    (self.config.poll * 2u32.saturating_pow(failures.min(6))).min(MAX_BACKOFF)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn check_balance(&self) {
        let Some(poster) = &self.config.poster else { return };
        let account = poster.account.address();
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
        let origin = extension(&*self.chain.block(self.chain.head())?)?.origin;
        self.watcher.prune_below(origin.number.min(self.tracker.needs()));
        let held = self.watcher.holds(origin);
        // A failure of one of these must not stop the others.
        let finalized = follow_finality(&self.client, &self.watcher, self.spec.l1.rollup, &*self.chain).await;
        if let Ok(finalized) = &finalized {
            self.status.send_modify(|status| status.finalized = *finalized);
        }
        let posted = self.post(posted).await;
        self.publish(held.is_ok() && tracked.is_ok() && finalized.is_ok() && posted.is_ok()).await?;
        held?;
        tracked?;
        finalized?;
        posted
    }

    async fn head(&self) -> Result<Posted, L1Error> {
        let head = self.client.view(self.spec.l1.rollup, Rollup::headCall {}).await?;
        let index =
            u64::try_from(head.index).map_err(|_| self.client.inconsistent(format!("Rollup.head() has index {}", head.index)))?;
        Ok(Posted { index, number: head.number })
    }

    async fn post(&mut self, posted: Posted) -> Result<(), RoundError> {
        let Some(poster) = &self.config.poster else { return Ok(()) };
        if let Some((ticket, purpose)) = self.sent {
            let fate = poster.account.follow(ticket).await?;
            if fate != Fate::Open {
                self.sent = None;
                self.settle(purpose, fate);
            }
            // The head that was read before the receipt may be older than it.
            return Ok(());
        }
        if self.upload.is_some() {
            return self.post_part().await;
        }
        // A batch that cannot be posted again must not keep new ones from L1.
        match self.repost().await {
            Ok(true) => Ok(()),
            Ok(false) => self.post_next(posted).await,
            Err(error) => self.post_next(posted).await.and(Err(error)),
        }
    }

    /// Draws the consequences of a transaction that is no longer in flight.
    fn settle(&mut self, Purpose { first, last, step }: Purpose, fate: Fate) {
        match fate {
            Fate::Open => return,
            Fate::Done => info!(first, last, ?step, "accepted by L1"),
            Fate::Refused => info!(first, last, ?step, "L1 refused the batch: another member was first, or the origin is stale"),
            Fate::Displaced => {
                warn!(first, last, ?step, "another transaction of this account took the nonce: does a second node use the key?");
            }
        }
        self.status.send_modify(|status| match (fate, step) {
            (Fate::Done, Step::Batch | Step::Announce) => status.posted_here += 1,
            (Fate::Refused, _) => status.refused_here += 1,
            _ => {}
        });
        match (step, fate, &mut self.upload) {
            (Step::Part, Fate::Done, Some(upload)) => {
                upload.next += 1;
                if upload.next == upload.encoded.parts() {
                    self.tracker.postpone(upload.index);
                    self.upload = None;
                }
            }
            // The part goes again.
            (Step::Part, Fate::Displaced, _) | (Step::Batch, ..) | (Step::Announce, Fate::Done, _) => {}
            _ => self.upload = None,
        }
    }

    /// Posts the next part of the data under way.
    async fn post_part(&mut self) -> Result<(), RoundError> {
        let Some(upload) = &self.upload else { return Ok(()) };
        let (first, last, da_mode) = (upload.encoded.first, upload.encoded.last, upload.encoded.mode);
        if self.chain.safe()? >= last {
            debug!(first, last, "somebody else has posted the data");
            self.upload = None;
            return Ok(());
        }
        let parts = upload.encoded.parts();
        let chunk = upload.encoded.data.chunks(mode(da_mode).capacity().max(1)).nth(upload.next).unwrap_or_default().to_vec();
        let packed = pack(da_mode, chunk, last).await?;
        let call = Rollup::repostDataCall {
            index: alloy_primitives::U256::from(upload.index),
            part: upload.next as u16,
            parts: parts as u16,
            daMode: da_mode as u8,
            data: packed.argument,
        };
        let sent = self.submit(Purpose { first, last, step: Step::Part }, call.abi_encode().into(), packed.sidecar).await;
        if matches!(sent, Err(RoundError::Refused { .. })) {
            // L1 has no such batch any more.
            self.upload = None;
        }
        sent.map(drop)
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
        let (first, last, bytes, parts) = (encoded.first, encoded.last, encoded.data.len(), encoded.parts());
        let (step, da_mode, packed) = if parts == 1 {
            (Step::Batch, encoded.mode as u8, pack(encoded.mode, encoded.data.clone(), last).await?)
        } else {
            (Step::Announce, DA_NONE, Packed { argument: Bytes::new(), sidecar: None, commitment: B256::ZERO })
        };
        let call = Rollup::submitBatchCall {
            parentIndex: alloy_primitives::U256::from(posted.index),
            firstBlock: first,
            lastHeaderRlp: header_rlp.into(),
            certificate: Rollup::Certificate {
                view_: certificate.view,
                parentView: certificate.parent_view,
                signers: certificate.signers,
                signature: certificate.signature,
            },
            daMode: da_mode,
            data: packed.argument,
        };
        let sent = self.submit(Purpose { first, last, step }, call.abi_encode().into(), packed.sidecar).await?;
        if sent {
            info!(first, last, bytes, parts, mode = %encoded.mode, "batch sent to L1");
        }
        if sent && step == Step::Announce {
            self.upload = Some(Upload { index: posted.index + 1, encoded, next: 0 });
        }
        Ok(())
    }

    /// Which blocks to post now, if it is time and this member's turn.
    fn next_plan(&mut self, posted: Posted) -> Result<Option<Plan>, RoundError> {
        let Some(poster) = &self.config.poster else { return Ok(None) };
        // Capacity is that of the largest mode the policy may choose.
        let capacity = match poster.da {
            DaPolicy::Fixed(da_mode) => mode(da_mode).capacity(),
            DaPolicy::Cheapest => mode(DaMode::Blob).capacity(),
        };
        let epoch_end = |number| self.chain.epoch_end(number);
        let limits = Limits { capacity, blocks: self.config.max_blocks, gas: self.config.max_gas };
        let Some(plan) = self.backlog.plan(epoch_end, limits) else {
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

    /// Encodes the longest batch of the plan that fits into one transaction, or the shortest if none does. One that turns out not to be
    /// full, of a plan that was due only for being full, still goes: encoding it again later would cost as much.
    async fn encode_plan(&self, plan: &Plan) -> Result<Option<Encoded>, RoundError> {
        let mut ends = plan.ends.as_slice();
        while let Some(last) = ends.first() {
            match self.encode(plan.first, *last).await {
                // Halve the choice: each attempt costs the encoding of a batch.
                Ok(encoded) if encoded.parts() > 1 && ends.len() > 1 => ends = &ends[ends.len().div_ceil(2)..],
                Err(RoundError::Encode { .. }) if ends.len() > 1 => ends = &ends[ends.len().div_ceil(2)..],
                other => return other.map(Some),
            }
        }
        Ok(None)
    }

    /// Encodes the blocks for the policy's mode. Data that would take too many parts there goes to blobs, which carry all that a batch may
    /// hold.
    async fn encode(&self, first: u64, last: u64) -> Result<Encoded, RoundError> {
        let Some(poster) = &self.config.poster else {
            return Err(RoundError::TooLarge(last, DaError::NotAvailable));
        };
        let chain = self.chain.clone();
        let chain_id = self.spec.chain_id;
        let data = blocking(move || {
            let batch = plan::batch(&*chain, first, last)?;
            batch.encode(chain_id).map_err(|error| RoundError::Encode { first, last, error })
        })
        .await?;
        let da_mode = match poster.da {
            DaPolicy::Fixed(da_mode) => da_mode,
            DaPolicy::Cheapest => plan::cheapest(data.len(), &poster.account.market().await?),
        };
        let mut encoded = Encoded { first, last, mode: da_mode, data };
        if da_mode == DaMode::Calldata && encoded.parts() > usize::from(MAX_PARTS) {
            encoded.mode = DaMode::Blob;
        }
        Ok(encoded)
    }

    /// Posts good data for the oldest batch that has none, if there is one and it is this member's turn.
    async fn repost(&mut self) -> Result<bool, RoundError> {
        let Some((index, unread)) = self.tracker.oldest_unread() else { return Ok(false) };
        let Some(config) = &self.config.poster else { return Ok(false) };
        let batch = unread.batch;
        let last = self.chain.block(batch.last)?;
        let place = plan::place(&*self.chain, &last, &config.identity)?;
        let delay = if unread.in_parts { config.stagger * PARTS_PATIENCE } else { REPOST_DELAY };
        if unread.since.elapsed() < delay + config.stagger * place {
            return Ok(false);
        }
        let encoded = self.encode(batch.first, batch.last).await?;
        let parts = encoded.parts();
        warn!(batch = index, first = batch.first, last = batch.last, parts, "posting the data of a batch again");
        self.upload = Some(Upload { index, encoded, next: 0 });
        self.post_part().await?;
        Ok(true)
    }

    /// Sends; false if that must wait, or if another member was first.
    async fn submit(
        &mut self,
        purpose: Purpose,
        input: Bytes,
        sidecar: Option<Box<BlobTransactionSidecar>>,
    ) -> Result<bool, RoundError> {
        let Some(poster) = &self.config.poster else { return Ok(false) };
        let Purpose { first, last, .. } = purpose;
        let span = info_span!("post_batch", first, last, bytes = input.len());
        match poster.account.send(Call { to: self.spec.l1.rollup, input, sidecar }).instrument(span).await {
            Ok(Some(ticket)) => {
                self.sent = Some((ticket, purpose));
                Ok(true)
            }
            Ok(None) => {
                debug!(first, last, "the account has another transaction in flight");
                Ok(false)
            }
            Err(L1Error::Reverted { data, .. }) if revert::is::<Rollup::ParentNotLatest>(&data) => {
                debug!(first, last, "another member posted first");
                Ok(false)
            }
            Err(L1Error::Reverted { data, .. }) => Err(RoundError::Refused { first, last, reason: revert::describe(&data) }),
            Err(error) => Err(error.into()),
        }
    }

    fn publish_backlog(&self, posted: Posted) {
        let (blocks, bytes, gas) = (self.backlog.blocks(), self.backlog.bytes(), self.backlog.gas());
        let full = blocks >= self.config.max_backlog_blocks
            || bytes >= self.config.max_backlog_bytes
            || gas >= self.config.max_backlog_gas;
        if full != self.full.swap(full, Ordering::Relaxed) {
            if full {
                warn!(blocks, bytes, gas, "too much waits for L1: no non-empty blocks until batches are posted");
            } else {
                info!(blocks, bytes, gas, "the backlog is below its limits again");
            }
        }
        self.status.send_modify(|status| {
            status.batch = posted.index;
            status.posted = posted.number;
            status.backlog_blocks = blocks;
            status.backlog_bytes = bytes;
            status.backlog_gas = gas;
            status.backlog_full = full;
        });
    }

    async fn in_flight(&self) -> Option<InFlight> {
        let (ticket, Purpose { first, last, .. }) = self.sent?;
        let (transaction, replacements) = self.config.poster.as_ref()?.account.version(ticket).await?;
        Some(InFlight { transaction, first, last, replacements })
    }

    async fn publish(&self, healthy: bool) -> Result<(), ChainError> {
        let safe = self.chain.safe()?;
        let in_flight = self.in_flight().await;
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

/// Makes data part of a transaction. `last` names the batch where that fails.
async fn pack(da_mode: DaMode, data: Vec<u8>, last: u64) -> Result<Packed, RoundError> {
    blocking(move || mode(da_mode).pack(&data).map_err(|error| RoundError::TooLarge(last, error))).await
}

/// Runs what takes CPU for long where it stops nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, RoundError> + Send + 'static) -> Result<T, RoundError> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(ChainError(format!("a worker stopped: {error}")).into()),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
