//! The batcher: finalised blocks go to L1, and what stands there is read back.
//!
//! One actor does three things, all from what L1 and the committed chain say, so that a restart needs no memory of its own:
//!
//! * **Posting** ([`crate::L1Account`]). When the blocks after `Rollup.head()` fill a batch, end an epoch or grow old, it encodes them up to a
//!   block with a certificate of its own, and submits. One transaction is in flight at a time; it is replaced with a higher fee
//!   when it lingers. All members may post: the leader of the batch's last block goes first, the next member after one
//!   `stagger`, and so on, so that normally one transaction is sent. Who comes second finds the head moved and drops its plan.
//! * **Tracking** ([`tracker`]). It reads every posting back, once deep, and compares it with the committed blocks: `safe` is the
//!   last block whose data anybody can get from L1. A batch whose data is wrong (anyone may post garbage beside a valid
//!   certificate) is posted again with `repostData`. `finalized` follows `Rollup.finalizedHead()`.
//! * **Backlog** ([`plan`]). Blocks, bytes and gas not on L1 yet are counted; past any limit [`Batcher::backlog_full`] turns true, and
//!   the committee makes no non-empty blocks until it turns false. Data is never silently unposted.

mod actor;
mod plan;
mod tracker;

use crate::{BatchReader, L1Account, L1Client, L1Watcher, SettledChain, Task};
use alloy_primitives::{B256, Bytes, TxHash, U256};
use oceanid_da::MAX_BATCH_BLOCKS;
use oceanid_primitives::{ChainSpec, DaMode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Blocks that may wait for L1 before non-empty blocks stop.
pub const MAX_BACKLOG_BLOCKS: u64 = 20_000;
/// Bytes of transactions that may wait for L1 before non-empty blocks stop. A stranger may post all of it as one batch, so it stays
/// below [`oceanid_da::MAX_BATCH_BYTES`], by what is made between two looks at it.
pub const MAX_BACKLOG_BYTES: u64 = 24 << 20;
/// Gas of blocks that may wait for L1 before non-empty blocks stop: it bounds what the execution of one batch costs a follower.
pub const MAX_BACKLOG_GAS: u64 = 8_000_000_000;
/// Most gas in a batch that this node makes.
pub const MAX_BATCH_GAS: u64 = 2_000_000_000;

/// A finalisation certificate in the form `Rollup.submitBatch` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L1Certificate {
    /// View of the vote.
    pub view: u64,
    /// View of the parent in that vote.
    pub parent_view: u64,
    /// Bit i: member i signed.
    pub signers: U256,
    /// Aggregate signature: a point of G1 as EIP-2537 has it, 128 bytes.
    pub signature: Bytes,
}

/// Turns a certificate as the chain stores it into the form L1 takes; consensus owns the stored form.
pub type CertificateDecoder = fn(&[u8]) -> Result<L1Certificate, String>;

/// Which data availability mode a batch goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DaPolicy {
    /// Always this one.
    Fixed(DaMode),
    /// Calldata or blobs, whichever costs less at the present L1 prices.
    Cheapest,
}

/// Who posts, when, and where.
#[derive(Clone, Debug)]
pub struct PosterConfig {
    /// Pays for L1 transactions.
    pub account: L1Account,
    /// This node's identity key in committees, for its place in the order.
    pub identity: B256,
    /// Where data goes.
    pub da: DaPolicy,
    /// Oldest unposted block that forces a batch.
    pub max_age: Duration,
    /// Head start of one member over the next.
    pub stagger: Duration,
}

/// Configuration of a [`Batcher`].
#[derive(Clone, Debug)]
pub struct BatcherConfig {
    /// Present on a node that posts; others only track.
    pub poster: Option<PosterConfig>,
    /// Certificates of this chain.
    pub decode_certificate: CertificateDecoder,
    /// Pause between two rounds.
    pub poll: Duration,
    /// Most blocks in a batch; at most [`MAX_BATCH_BLOCKS`].
    pub max_blocks: usize,
    /// Most gas in a batch, unless its first possible end has more.
    pub max_gas: u64,
    /// Backlog limit, blocks.
    pub max_backlog_blocks: u64,
    /// Backlog limit, bytes of transactions.
    pub max_backlog_bytes: u64,
    /// Backlog limit, gas.
    pub max_backlog_gas: u64,
}

impl BatcherConfig {
    /// Defaults but for what has none.
    pub const fn new(poster: Option<PosterConfig>, decode_certificate: CertificateDecoder, poll: Duration) -> Self {
        Self {
            poster,
            decode_certificate,
            poll,
            max_blocks: MAX_BATCH_BLOCKS,
            max_gas: MAX_BATCH_GAS,
            max_backlog_blocks: MAX_BACKLOG_BLOCKS,
            max_backlog_bytes: MAX_BACKLOG_BYTES,
            max_backlog_gas: MAX_BACKLOG_GAS,
        }
    }
}

/// How settlement stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SettlementStatus {
    /// Index of the newest batch on L1.
    pub batch: u64,
    /// Last block of that batch.
    pub posted: u64,
    /// Last block whose data was read back from deep L1 blocks.
    pub safe: u64,
    /// Last block of the newest final output.
    pub finalized: u64,
    /// Committed blocks that are not on L1.
    pub backlog_blocks: u64,
    /// Bytes of their transactions.
    pub backlog_bytes: u64,
    /// Gas they used.
    pub backlog_gas: u64,
    /// Past a limit: non-empty blocks must stop.
    pub backlog_full: bool,
    /// Transaction that is on its way.
    pub in_flight: Option<InFlight>,
    /// Batches this node has posted since start.
    pub posted_here: u64,
    /// Transactions of this node that were mined and refused since start: another member was first.
    pub refused_here: u64,
    /// Postings whose data was not what was certified, since start.
    pub garbage: u64,
    /// The last failure, if nothing has succeeded since.
    pub last_error: Option<String>,
    /// Why nothing is posted although blocks wait, and what to do.
    pub waiting: Option<String>,
}

/// A transaction that is on its way.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InFlight {
    /// Its newest version.
    pub transaction: TxHash,
    /// First block of the batch.
    pub first: u64,
    /// Last block of the batch.
    pub last: u64,
    /// Times it was replaced.
    pub replacements: u32,
}

/// Handle of the batcher. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Batcher {
    status: watch::Receiver<SettlementStatus>,
    full: Arc<AtomicBool>,
}

impl Batcher {
    /// Starts the actor.
    pub fn start(
        client: L1Client,
        spec: Arc<ChainSpec>,
        chain: Arc<dyn SettledChain>,
        watcher: L1Watcher,
        reader: BatchReader,
        config: BatcherConfig,
    ) -> (Self, Task) {
        let (sender, status) = watch::channel(SettlementStatus::default());
        let full = Arc::new(AtomicBool::new(false));
        let actor = actor::Actor::new(client, spec, chain, watcher, reader, config, sender, full.clone());
        (Self { status, full }, Task::spawn(actor.run()))
    }

    /// How settlement stands.
    pub fn status(&self) -> SettlementStatus {
        self.status.borrow().clone()
    }

    /// A receiver that wakes at every change.
    pub fn subscribe(&self) -> watch::Receiver<SettlementStatus> {
        self.status.clone()
    }

    /// True while too much waits for L1: the sequencer then makes no non-empty blocks.
    pub fn backlog_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }
}
