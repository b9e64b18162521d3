//! The watcher's loop: look at the head, step back where the chain does not link, take in what is new.

use super::{L1Entry, L1Watcher, MAX_WINDOW, WatcherConfig};
use crate::client::SealedHeader;
use crate::{L1Client, L1Error, Posting, deposits};
use alloy_eips::eip7840::BlobParams;
use alloy_primitives::{Bloom, BloomInput, U256};
use alloy_rpc_types_eth::{BlockNumberOrTag, Filter, Log};
use alloy_sol_types::SolEvent;
use futures::stream::{self, StreamExt, TryStreamExt};
use oceanid_contracts::l1::{Portal, Rollup, SequencerPool};
use oceanid_primitives::{ChainSpec, Committee, L1Block, Recovery};
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, info, warn};

/// Blocks taken in at one go while catching up.
const CHUNK: u64 = 64;
/// Requests under way at a time.
const CONCURRENCY: usize = 16;
/// L1 blocks asked for logs at a time.
const LOG_RANGE: u64 = 5_000;
/// First pause after a failure; it doubles up to [`MAX_BACKOFF`].
const MIN_BACKOFF: Duration = Duration::from_millis(250);
/// Longest pause after a failure.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

pub(super) struct Actor {
    client: L1Client,
    spec: Arc<ChainSpec>,
    config: WatcherConfig,
    watcher: L1Watcher,
    checked: bool,
}

/// What one look at L1 led to.
#[derive(PartialEq, Eq)]
enum Progress {
    /// There is more: look again at once.
    More,
    /// Up to date, or the window is full.
    Rest,
}

impl Actor {
    pub(super) const fn new(client: L1Client, spec: Arc<ChainSpec>, config: WatcherConfig, watcher: L1Watcher) -> Self {
        Self { client, spec, config, watcher, checked: false }
    }

    pub(super) async fn run(mut self) {
        let mut backoff = MIN_BACKOFF;
        loop {
            match self.step().await {
                Ok(progress) => {
                    backoff = MIN_BACKOFF;
                    if progress == Progress::Rest {
                        tokio::time::sleep(self.config.poll).await;
                    }
                }
                Err(error) => {
                    // The node says it with a remedy once it lasts, from the status.
                    debug!(%error, retry_ms = backoff.as_millis() as u64, "cannot follow L1");
                    self.watcher.0.status.send_modify(|status| {
                        status.failures += 1;
                        status.last_error = Some(error.to_string());
                    });
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Progress, L1Error> {
        if !self.checked {
            self.client.check(&self.spec).await?;
            self.checked = true;
        }
        let head = self.required(BlockNumberOrTag::Latest).await?;
        let Some(tip) = self.tip() else {
            return self.take_anchor().await;
        };
        if !self.still_canonical(&tip, &head).await? {
            self.step_back(&tip)?;
            return Ok(Progress::More);
        }
        let room = (MAX_WINDOW - self.watcher.0.window.read().entries.len()) as u64;
        let last = head.header.number.min(tip.block.number + CHUNK.min(room));
        let linked = self.take(tip.block.number + 1, last).await?;
        let finalized = match self.spec.timing.origin_depth {
            Some(_) => None,
            None => self.client.header(BlockNumberOrTag::Finalized).await?.map(|block| block.header.number),
        };
        self.publish(&head, finalized);
        Ok(if !linked || (last < head.header.number && room > 0) { Progress::More } else { Progress::Rest })
    }

    fn tip(&self) -> Option<Arc<L1Entry>> {
        self.watcher.0.window.read().tip().cloned()
    }

    async fn required(&self, block: BlockNumberOrTag) -> Result<SealedHeader, L1Error> {
        let header = self.client.header(block).await?;
        header.ok_or_else(|| self.client.inconsistent(format!("it has no block `{block}`")))
    }

    /// The block everything begins with: it must be the very one the node's state names.
    async fn take_anchor(&self) -> Result<Progress, L1Error> {
        let anchor = self.config.anchor;
        let found = self.client.header(BlockNumberOrTag::Number(anchor.number)).await?;
        let header = found.filter(|found| found.hash == anchor.hash).ok_or(L1Error::Anchor(anchor))?;
        let entry = self.entry(&header).await?;
        let window = &mut *self.watcher.0.window.write();
        window.entries.push_back(Arc::new(entry));
        window.deep = Some(anchor.number);
        Ok(Progress::More)
    }

    /// Is the newest block taken in still on L1? A head below it is most often an endpoint that lags behind another one.
    async fn still_canonical(&self, tip: &L1Entry, head: &SealedHeader) -> Result<bool, L1Error> {
        let number = tip.block.number;
        if head.header.number == number {
            return Ok(head.hash == tip.block.hash);
        }
        if head.header.number < number {
            let known = self.watcher.0.window.read().get(head.header.number).map(|entry| entry.block.hash);
            return Ok(known.is_none_or(|hash| hash == head.hash));
        }
        if head.header.number == number + 1 {
            return Ok(head.header.parent_hash == tip.block.hash);
        }
        Ok(self.required(BlockNumberOrTag::Number(number)).await?.hash == tip.block.hash)
    }

    fn step_back(&self, tip: &L1Entry) -> Result<(), L1Error> {
        let window = &mut *self.watcher.0.window.write();
        if window.entries.len() == 1 {
            return Err(L1Error::Anchor(tip.block.origin()));
        }
        window.entries.pop_back();
        let newest = tip.block.number - 1;
        window.deep = window.deep.map(|deep| deep.min(newest));
        info!(number = tip.block.number, hash = %tip.block.hash, "L1 reorganised: stepping back over a block");
        self.watcher.0.status.send_modify(|status| {
            status.reorganised += 1;
            status.tip = newest;
        });
        Ok(())
    }

    /// Takes in the blocks from `first` to `last`; false if they do not link to the tip, which the next step looks into.
    async fn take(&self, first: u64, last: u64) -> Result<bool, L1Error> {
        let requests: Vec<_> = (first..=last).map(|number| self.required(BlockNumberOrTag::Number(number))).collect();
        let headers: Vec<SealedHeader> = stream::iter(requests).buffered(CONCURRENCY).try_collect().await?;
        let mut parent = self.tip().map(|tip| tip.block.hash);
        for header in &headers {
            if parent != Some(header.header.parent_hash) {
                debug!(number = header.header.number, "L1 block does not link to the one before");
                return Ok(false);
            }
            parent = Some(header.hash);
        }
        let requests: Vec<_> = headers.iter().map(|header| self.entry(header)).collect();
        let entries: Vec<L1Entry> = stream::iter(requests).buffered(CONCURRENCY).try_collect().await?;
        self.watcher.0.window.write().entries.extend(entries.into_iter().map(Arc::new));
        Ok(true)
    }

    async fn entry(&self, header: &SealedHeader) -> Result<L1Entry, L1Error> {
        let logs = if self.may_concern_us(header.header.logs_bloom) { self.logs(header).await? } else { Vec::new() };
        let mut block = L1Block {
            number: header.header.number,
            hash: header.hash,
            parent_hash: header.header.parent_hash,
            timestamp: header.header.timestamp,
            base_fee: header.header.base_fee_per_gas.unwrap_or_default().into(),
            // One schedule for every node and every L1 fork: what a follower derives must not depend on when it does so.
            blob_base_fee: header.header.blob_fee(BlobParams::prague()).unwrap_or_default(),
            deposits: Vec::new(),
        };
        let (mut postings, mut recoveries) = (Vec::new(), Vec::new());
        for log in logs {
            if log.address() == self.spec.l1.rollup {
                if log.topic0() == Some(&Rollup::Recovered::SIGNATURE_HASH) {
                    recoveries.push(self.recovery(&log, &block).await?);
                    continue;
                }
                let transaction = log.transaction_hash.unwrap_or_default();
                postings.extend(Posting::from_log(log.data(), transaction, block.origin(), block.timestamp));
                continue;
            }
            match deposits::deposit(block.hash, log.log_index.unwrap_or_default(), log.data()) {
                Ok(deposit) => block.deposits.push(deposit),
                Err(reason) => {
                    warn!(l1_block = block.number, log_index = log.log_index, %reason, "a log of Portal is no deposit: skipped");
                    self.watcher.0.status.send_modify(|status| status.skipped_logs += 1);
                }
            }
        }
        Ok(L1Entry { block: Arc::new(block), postings, recoveries })
    }

    /// A recovery, with the committee it puts in office.
    async fn recovery(&self, log: &Log, block: &L1Block) -> Result<Recovery, L1Error> {
        let event = Rollup::Recovered::decode_log_data(log.data())
            .map_err(|error| self.client.inconsistent(format!("a recovery in block {}: {error}", block.hash)))?;
        Ok(Recovery {
            index: event.recovery,
            after_block: event.afterBlock,
            head_hash: event.headHash,
            committee: self.committee(event.committeeId, block.number).await?,
            l1: block.origin(),
            timestamp: block.timestamp,
        })
    }

    /// A committee as the pool fixed it, in L1 block `before` or earlier. The chain may not know it yet.
    async fn committee(&self, id: u64, before: u64) -> Result<Committee, L1Error> {
        let oldest = self.spec.l1.start.number;
        let mut last = before;
        loop {
            let first = last.saturating_sub(LOG_RANGE - 1).max(oldest);
            let filter = Filter::new()
                .address(self.spec.l1.pool)
                .event_signature(SequencerPool::CommitteeFixed::SIGNATURE_HASH)
                .topic1(U256::from(id))
                .from_block(first)
                .to_block(last);
            if let Some(log) = self.client.logs(&filter).await?.last() {
                let bad = |error: String| self.client.inconsistent(format!("committee {id}: {error}"));
                let event = SequencerPool::CommitteeFixed::decode_log_data(log.data()).map_err(|error| bad(error.to_string()))?;
                let committee =
                    Committee::unpack(id, event.seed, &event.packedMembers).map_err(|error| bad(error.to_string()))?;
                return if event.id == id { Ok(committee) } else { Err(bad(format!("asked for, {} came", event.id))) };
            }
            if first == oldest {
                return Err(self
                    .client
                    .inconsistent(format!("it recovers the chain under committee {id} and has no such committee")));
            }
            last = first - 1;
        }
    }

    /// The bloom filter is under the block hash, so an empty answer from it needs no second question.
    fn may_concern_us(&self, bloom: Bloom) -> bool {
        [self.spec.l1.portal, self.spec.l1.rollup].iter().any(|address| bloom.contains_input(BloomInput::Raw(address.as_slice())))
    }

    /// Logs of `Portal` (deposits) and `Rollup` in one block, in order.
    async fn logs(&self, header: &SealedHeader) -> Result<Vec<Log>, L1Error> {
        let topics = vec![
            Portal::TransactionDeposited::SIGNATURE_HASH,
            Rollup::BatchSubmitted::SIGNATURE_HASH,
            Rollup::BatchData::SIGNATURE_HASH,
            Rollup::Recovered::SIGNATURE_HASH,
        ];
        let addresses = vec![self.spec.l1.portal, self.spec.l1.rollup];
        let filter = Filter::new().at_block_hash(header.hash).address(addresses.clone()).event_signature(topics.clone());
        let logs = self.client.logs(&filter).await?;
        let mut previous = None;
        for log in &logs {
            let in_place = log.block_hash == Some(header.hash)
                && !log.removed
                && log.transaction_hash.is_some()
                && log.log_index.is_some()
                && log.log_index > previous
                && addresses.contains(&log.address())
                && log.topics().first().is_some_and(|topic| topics.contains(topic));
            if !in_place {
                return Err(self
                    .client
                    .inconsistent(format!("eth_getLogs of block {} gave a log that was not asked for", header.hash)));
            }
            previous = log.log_index;
        }
        Ok(logs)
    }

    fn publish(&self, head: &SealedHeader, finalized: Option<u64>) {
        let (newest_origin, tip, tip_timestamp, full) = {
            let window = &mut *self.watcher.0.window.write();
            let (tip, tip_timestamp) = window.tip().map_or((0, 0), |tip| (tip.block.number, tip.block.timestamp));
            let deep = match self.spec.timing.origin_depth {
                Some(depth) => tip.saturating_sub(depth),
                None => tip.min(finalized.unwrap_or_default()),
            };
            // What was deep stays deep unless it was stepped back over: an endpoint behind another one takes nothing away.
            window.deep = window.deep.max(Some(deep));
            let origin = window.deep.and_then(|deep| window.get(deep)).map(|entry| entry.block.origin());
            (origin, tip, tip_timestamp, window.entries.len() >= MAX_WINDOW)
        };
        self.watcher.0.status.send_modify(|status| {
            status.head = head.header.number;
            status.head_hash = head.hash;
            status.head_parent_hash = head.header.parent_hash;
            status.head_timestamp = head.header.timestamp;
            status.tip = tip;
            status.tip_timestamp = tip_timestamp;
            status.newest_origin = newest_origin;
            status.failures = 0;
            status.last_error = None;
            status.waiting = full.then(|| {
                format!("the window of {MAX_WINDOW} L1 blocks is full: Layer 2 has to advance its origin before L1 is followed further")
            });
        });
    }
}
