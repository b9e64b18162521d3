//! What consensus asks of the chain. Consensus orders blocks and never looks inside; the chain executes and never votes.

use std::sync::Arc;

use alloy_primitives::{B256, Bytes};
use oceanid_primitives::{Committee, Epochs, SealedBlock};

/// Where in consensus a block is proposed; its numbers go into the header extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProposalContext {
    /// Epoch.
    pub epoch: u64,
    /// View within the epoch.
    pub view: u64,
    /// View of the parent as consensus sees it (0 when the parent is the last block of the previous epoch, or genesis).
    pub parent_view: u64,
    /// Index of the proposer in the committee.
    pub leader: u32,
}

/// Why no block was built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Something this node waits for; the proposer tries again within its slot.
    #[error("not yet: {0}")]
    NotYet(String),
    /// The slot is lost.
    #[error("{0}")]
    Failed(String),
}

/// What executing a block showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Executed; the header matches.
    Valid,
    /// Can never become valid: the vote is refused for good.
    Invalid(String),
    /// Depends on something this node does not have yet (parent, L1 block, clock). No vote until it has.
    NotYet(String),
}

/// A finalised block could not be made durable. The node stops: it must not acknowledge what it does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block {number}: {reason}")]
pub struct FinalizeError {
    /// Block number.
    pub number: u64,
    /// What happened.
    pub reason: String,
}

/// L1 went on without blocks that are final here: the node stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RecoveryRefused(pub String);

/// The chain under consensus. Calls may block and compute; consensus runs them off its own threads, [`Execution::propose`] and
/// [`Execution::verify`] never two at a time.
///
/// The same blocks must get the same verdict on every honest node: anything that differs between nodes (the clock, the view of
/// L1) answers [`Verdict::NotYet`], never [`Verdict::Invalid`].
pub trait Execution: Send + Sync + 'static {
    /// The genesis block.
    fn genesis(&self) -> Arc<SealedBlock>;

    /// The newest block made durable by [`Self::finalize`], or genesis.
    fn head(&self) -> Arc<SealedBlock>;

    /// Hash and timestamp of a finalised block (genesis included) that is still held.
    fn final_block(&self, number: u64) -> Option<(B256, u64)>;

    /// The epochs of the chain. Takes on recoveries that L1 shows by now; what was taken on once, stays.
    fn epochs(&self) -> Result<Arc<Epochs>, RecoveryRefused>;

    /// Certificate stored with a finalised block, if it had one.
    fn certificate(&self, number: u64) -> Option<Bytes>;

    /// The committee of an epoch: known once the first block of the epoch before it is finalised, and kept for the current
    /// epoch and its neighbours; none for an epoch without blocks.
    fn committee_of_epoch(&self, epoch: u64) -> Option<Committee>;

    /// Whether a block can be built or checked on top of `hash` without executing ancestors first.
    fn is_executed(&self, hash: B256) -> bool;

    /// Whether a block on `parent` would hold something. Cheap: the leader asks often.
    fn has_work(&self, parent: B256) -> bool;

    /// Builds a block on `parent`, which is executed. `timestamp` in seconds since 1970; the chain may raise it to its minimum.
    fn propose(&self, parent: B256, context: ProposalContext, timestamp: u64) -> Result<Arc<SealedBlock>, ProposeError>;

    /// Executes a block on its executed parent. `now` in seconds since 1970.
    fn verify(&self, block: &Arc<SealedBlock>, now: u64) -> Verdict;

    /// Makes the next finalised block durable. Called in order, again for blocks already held (after a restart), each with its
    /// certificate if it has one of its own (a block finalised by a descendant has none).
    fn finalize(&self, block: &Arc<SealedBlock>, certificate: Option<Bytes>) -> Result<(), FinalizeError>;
}
