//! Errors of the ledger. What a peer can cause is [`CheckError`]; what only this machine can cause is [`LedgerError`].

use alloy_primitives::B256;
use oceanid_primitives::{CommitteeError, ExtensionError, L1Origin, RecoveryError, SpecError};
use oceanid_stf::HeaderError;
use oceanid_store::StoreError;

/// The ledger cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No chain can follow the specification.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The genesis state has no root.
    #[error("genesis state: {0}")]
    Genesis(String),
    /// The machine could not execute: nothing is said about the block.
    #[error("executing block {number}: {reason}")]
    Execution {
        /// Block.
        number: u64,
        /// What failed.
        reason: String,
    },
    /// A block was committed out of order.
    #[error("block {number} cannot be committed: the head is block {head}, its parent is not known")]
    Gap {
        /// Block.
        number: u64,
        /// Head.
        head: u64,
    },
    /// Another block is committed at that number.
    #[error("block {hash} conflicts with the committed block {number}, {committed}")]
    Conflict {
        /// Number.
        number: u64,
        /// Hash of the block offered.
        hash: B256,
        /// Hash of the committed block.
        committed: B256,
    },
    /// A final block is not what execution makes of it: this node and the committee disagree.
    #[error("final block {number} does not execute here to what its header says: {reason}")]
    Disagreement {
        /// Block.
        number: u64,
        /// The rule it breaks.
        reason: Box<InvalidBlock>,
    },
    /// This node holds final blocks that were not on L1 when it recovered the chain. They are void.
    #[error(
        "L1 recovered the chain after block {after_block} (recovery {index}) and this node holds final blocks up to {head}, which \
         nobody had posted in time: they are void; start with a new data directory"
    )]
    Superseded {
        /// Number of the recovery.
        index: u64,
        /// Where the chain goes on.
        after_block: u64,
        /// Newest block held here.
        head: u64,
    },
    /// A recovery does not continue the list.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// The list of recoveries in the store is damaged.
    #[error("the list of recoveries: {0}")]
    Recoveries(String),
    /// The registry has no such committee.
    #[error("committee {0} is not in the registry")]
    UnknownCommittee(u64),
    /// The registry holds something that is no committee.
    #[error("committee {id} in the registry: {reason}")]
    Committee {
        /// Its id.
        id: u64,
        /// Why it does not decode.
        reason: CommitteeError,
    },
    /// A committed header has no extension.
    #[error("header of block {number}: {reason}")]
    Extension {
        /// Block.
        number: u64,
        /// Why it does not decode.
        reason: ExtensionError,
    },
}

/// Why there is no block to propose.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The parent is neither the head nor a speculative block above it.
    #[error("parent {0} is not known")]
    UnknownParent(B256),
    /// The parent's successor is in another epoch than the engine that asks.
    #[error("block {number} is in epoch {expected}, not {got}")]
    Epoch {
        /// Number of the block to build.
        number: u64,
        /// Its epoch.
        expected: u64,
        /// Epoch asked for.
        got: u64,
    },
    /// The machine failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Why a proposal is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It breaks a rule, and will for ever.
    #[error("invalid block: {0}")]
    Invalid(#[from] InvalidBlock),
    /// It cannot be judged yet: ask again.
    #[error("not yet: {0}")]
    NotYet(#[from] Missing),
    /// The machine failed; nothing is said about the block.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What a block waits for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// Its parent was not executed here.
    #[error("parent {0} is not known")]
    Parent(B256),
    /// This node has not seen that L1 block deep enough.
    #[error("L1 block {number} is not known or not deep enough")]
    L1Block {
        /// Its number.
        number: u64,
    },
    /// It names an L1 block that is another one here.
    #[error("L1 origin {} is {}, here it is {here}: two views of L1", .origin.number, .origin.hash)]
    Origin {
        /// What the header says.
        origin: L1Origin,
        /// Hash of the block this node knows at that number.
        here: B256,
    },
    /// The L1 this node sees does not continue from the parent's origin.
    #[error("L1 block {number} does not follow the parent's origin here: its parent is {got}, expected {expected}")]
    OriginChain {
        /// Its number.
        number: u64,
        /// Hash it must build on.
        expected: B256,
        /// Hash it builds on.
        got: B256,
    },
    /// It follows a recovery that this node has not seen on L1.
    #[error("block {number} is in epoch {got}, here it would be {here}: a recovery on L1 is not known or not deep enough")]
    Recovery {
        /// The block's number.
        number: u64,
        /// Epoch in its header.
        got: u64,
        /// Epoch by the recoveries known here.
        here: u64,
    },
    /// Its time has not come.
    #[error("timestamp {timestamp} is more than {drift} s ahead of the clock, {now}")]
    Clock {
        /// Of the block, seconds.
        timestamp: u64,
        /// Of this node, seconds.
        now: u64,
        /// Allowed, seconds.
        drift: u64,
    },
}

/// The rule a block breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBlock {
    /// A header field.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Another block is final at its number.
    #[error("block {number} is already final as {committed}")]
    Conflict {
        /// Number.
        number: u64,
        /// Hash of the final block.
        committed: B256,
    },
    /// A committee id does not follow the hand-over rule.
    #[error("header field `extraData.{field}` is {got}, must be {expected}")]
    Committee {
        /// `committeeId` or `nextCommitteeId`.
        field: &'static str,
        /// What it must be.
        expected: u64,
        /// What the header says.
        got: u64,
    },
    /// The block is older than its origin.
    #[error("header field `timestamp` is {got}, must be at least the L1 origin's {origin}")]
    BeforeOrigin {
        /// Of the origin, seconds.
        origin: u64,
        /// Of the block, seconds.
        got: u64,
    },
    /// A deposit due is missing, or another transaction stands in its place.
    #[error("transaction {index} is {}, must be the deposit {expected}", got.map_or_else(|| "missing".to_owned(), |hash| hash.to_string()))]
    Deposit {
        /// Position.
        index: usize,
        /// Hash of the deposit due.
        expected: B256,
        /// Hash of what is there.
        got: Option<B256>,
    },
    /// A deposit that is not due.
    #[error("transaction {index} ({hash}) is a deposit that L1 does not have for this block")]
    ExtraDeposit {
        /// Position.
        index: usize,
        /// Its hash.
        hash: B256,
    },
    /// The origin was advanced over more deposits than fit in a block.
    #[error("the deposits due for this origin ask for {gas} gas, the block has {limit}")]
    DepositGas {
        /// Sum of the deposits' gas limits.
        gas: u64,
        /// Gas limit of the block.
        limit: u64,
    },
    /// A signature gives no sender.
    #[error("transaction {index} ({hash}) has an invalid signature")]
    Signature {
        /// Position.
        index: usize,
        /// Its hash.
        hash: B256,
    },
    /// A transaction cannot be in this block.
    #[error("transaction {index} ({hash}): {reason}")]
    Transaction {
        /// Position.
        index: usize,
        /// Its hash.
        hash: B256,
        /// The state transition's reason.
        reason: String,
    },
}

impl From<StoreError> for BuildError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<StoreError> for CheckError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<HeaderError> for CheckError {
    fn from(error: HeaderError) -> Self {
        Self::Invalid(error.into())
    }
}
