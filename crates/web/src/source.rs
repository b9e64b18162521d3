//! What the pages show, and the one trait they get it through.

use alloy_primitives::{Address, B256, U256};
use oceanid_primitives::{ChainSpec, Committee, DaMode, Header};
use oceanid_stf::Work;
use oceanid_store::{CommittedBlock, Marks, TxLocation};
use std::sync::Arc;

/// The node could not read its own chain; the text is for its log, not for a visitor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// A node behind the pages. Calls may read the disk but never wait for L1 or a peer: what comes from there was read before.
pub trait Source: Send + Sync + 'static {
    /// The chain's specification.
    fn spec(&self) -> &ChainSpec;

    /// The newest committed block.
    fn head(&self) -> u64;

    /// Up to where the chain is safe and final.
    fn marks(&self) -> Marks;

    /// Header of a committed block.
    fn header(&self, number: u64) -> Result<Option<Header>, SourceError>;

    /// A committed block with receipts and senders.
    fn block(&self, number: u64) -> Result<Option<Arc<CommittedBlock>>, SourceError>;

    /// Number of the committed block with that hash.
    fn number_of(&self, hash: B256) -> Result<Option<u64>, SourceError>;

    /// Where a committed transaction is.
    fn transaction(&self, hash: B256) -> Result<Option<TxLocation>, SourceError>;

    /// Whether a transaction waits in the pool.
    fn is_pending(&self, hash: B256) -> bool;

    /// The finalisation certificate kept with a block, if it has one of its own.
    fn certificate(&self, number: u64) -> Result<Option<Signers>, SourceError>;

    /// An epoch whose committee is known.
    fn epoch(&self, number: u64) -> Result<Option<Epoch>, SourceError>;

    /// The node itself.
    fn node(&self) -> NodeFacts;

    /// Stake and rewards on L1, as last read.
    fn economy(&self) -> Arc<Economy>;

    /// The newest batches, newest first, at most `limit`.
    fn batches(&self, limit: usize) -> Vec<Arc<Batch>>;

    /// A batch by its index; none if there is none, or it is older than what the node keeps.
    fn batch(&self, index: u64) -> Option<Arc<Batch>>;
}

/// Who signed, and in which view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signers {
    /// View of the finalisation.
    pub view: u64,
    /// Bit i: the i-th member of the committee signed.
    pub bitmap: U256,
}

/// An epoch.
#[derive(Clone, Debug)]
pub struct Epoch {
    /// Its number.
    pub number: u64,
    /// Its first block.
    pub first: u64,
    /// Its last block, which may be yet to come.
    pub last: u64,
    /// Who votes in it.
    pub committee: Arc<Committee>,
    /// What each member did, in the committee's order; none where no count is kept.
    pub work: Option<Vec<Work>>,
}

/// The node that serves the pages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    /// `sequencer` or `follower`.
    pub role: &'static str,
    /// Program version.
    pub version: &'static str,
    /// Its identity key, if it votes.
    pub identity: Option<B256>,
    /// Connected peers.
    pub peers: usize,
    /// L1's head as the node last heard, number.
    pub l1_head: u64,
    /// That block's time, seconds since 1970; none before the first contact.
    pub l1_head_time: Option<u64>,
    /// Pool transactions that may go into a block, and those that may not yet.
    pub pool: (usize, usize),
    /// Committed blocks that are not on L1; none on a node that does not watch this.
    pub backlog_blocks: Option<u64>,
    /// Proofs of double voting found.
    pub evidence: usize,
    /// Why the node does not progress: what is missing, what to do, for how many seconds.
    pub waiting: Vec<(String, String, u64)>,
}

/// Stake and rewards, read from L1 every few seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Economy {
    /// When all of it was last read, seconds since 1970; none: never.
    pub read_at: Option<u64>,
    /// The gas token's symbol, as its contract says: anything.
    pub symbol: String,
    /// Stake locked in the pool, wei.
    pub locked: U256,
    /// Stake in tickets that nobody has claimed yet, wei.
    pub tickets: U256,
    /// Sequencers that wait for a seat.
    pub queue: u64,
    /// Sequencers that wait to leave.
    pub exits: u64,
    /// Least stake that buys enough new seats to stall the committee, wei.
    pub cost_to_stall: U256,
    /// Least stake that buys enough new seats to finalise alone, wei.
    pub cost_to_finalise: U256,
    /// The rule of emission in force.
    pub rule: Rule,
    /// What is left of the budget, wei.
    pub budget: U256,
    /// Seconds that it lasts at the present rate; none: nothing is being spent.
    pub runway: Option<u64>,
    /// Credited so far, wei.
    pub credited: U256,
    /// Credited epochs, newest first; a bounded number.
    pub epochs: Vec<CreditedEpoch>,
    /// Every sequencer that was heard of, by id.
    pub sequencers: Vec<Sequencer>,
}

/// A rule of emission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// Nobody has said.
    #[default]
    Unknown,
    /// A share of the committee's stake a year, basis points.
    TargetApr(u128),
    /// Wei a block led.
    FixedPerBlock(u128),
    /// `k * sqrt(stake)` tokens a year; k times 10^18.
    Curve(u128),
}

impl Economy {
    /// A sequencer by id.
    pub fn sequencer(&self, id: u64) -> Option<&Sequencer> {
        self.sequencers.iter().find(|sequencer| sequencer.id == id)
    }
}

/// An epoch that was credited on L1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreditedEpoch {
    /// Epoch.
    pub epoch: u64,
    /// Its length, seconds, with outages that are not paid for.
    pub seconds: u64,
    /// What the rule allowed, wei.
    pub emission: U256,
    /// What the members' work earned of that, wei.
    pub paid: U256,
    /// Fees paid out with it, wei.
    pub fees: U256,
}

/// A sequencer as L1 knows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sequencer {
    /// Id in the pool.
    pub id: u64,
    /// `queued`, `active`, `exiting`, `jailed` or `gone`.
    pub status: &'static str,
    /// Who decides about it.
    pub owner: Address,
    /// Who is paid.
    pub recipient: Address,
    /// Locked stake, wei.
    pub lock: U256,
    /// Unclaimed tickets: amount in wei, and when it can be claimed, seconds since 1970.
    pub tickets: Vec<(U256, u64)>,
    /// Rewards that it can take now, wei.
    pub claimable: U256,
    /// Rewards per stake over the credits below, a year; none before the first.
    pub apr: Option<f64>,
    /// Credits, newest first; a bounded number.
    pub credits: Vec<Credit>,
}

/// What one epoch brought one sequencer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    /// Epoch.
    pub epoch: u64,
    /// From the budget, wei.
    pub reward: U256,
    /// From fees, wei.
    pub fees: U256,
}

/// A batch that `Rollup` has accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Index, from 1.
    pub index: u64,
    /// First block.
    pub first: u64,
    /// Last block, the one with the certificate.
    pub last: u64,
    /// Hash of the last block.
    pub header_hash: B256,
    /// Output root.
    pub output_root: B256,
    /// L1 time of acceptance, seconds since 1970.
    pub accepted_at: u64,
    /// The certificate that L1 checked.
    pub signers: Option<Signers>,
    /// Postings of its data, in order.
    pub postings: Vec<Posting>,
}

/// One posting of a batch's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    /// Where the data is: a mode, or a number without one.
    pub da: Result<DaMode, u8>,
    /// Commitment to the data.
    pub commitment: B256,
    /// L1 transaction.
    pub transaction: B256,
    /// L1 block.
    pub l1_block: u64,
}
