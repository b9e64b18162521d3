//! From one posting's data to the blocks it stands for, or to the reason why it stands for none.

use alloy_primitives::B256;
use oceanid_chain::{CheckError, ConsensusContext, InvalidBlock, Ledger, LedgerError, Missing, deposits_between};
use oceanid_da::{Batch, BatchBlock, BatchError};
use oceanid_primitives::{HeaderExtension, L1View, SealedBlock};
use oceanid_settlement::AcceptedBatch;
use oceanid_stf::committee_ids;
use std::cmp::Ordering;
use std::sync::Arc;

/// Gas that the blocks of one batch may spend; data that spends more is empty by rule, whatever header it leads to. Twice the backlog at
/// which committees pause: what is made while a committee has not looked again fits in the other half. Without the rule garbage beside a
/// valid certificate could take a follower's memory, or have one follower judge what another cannot hold.
pub const MAX_REPLAY_GAS: u64 = 2 * oceanid_settlement::MAX_BACKLOG_GAS;

/// Why a posting is empty by rule. Every follower comes to the same verdict.
#[derive(Debug, thiserror::Error)]
pub enum EmptyReason {
    /// The data does not decode.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The data has another number of blocks than L1 accepted.
    #[error("{found} blocks in the data, L1 accepted {expected}")]
    Length {
        /// In the data.
        found: u64,
        /// `last - first + 1`.
        expected: u64,
    },
    /// A block names an origin that L1 did not have yet when the batch was posted.
    #[error("block {number} names L1 origin {origin}, the batch was posted in L1 block {posted}")]
    Origin {
        /// Layer 2 block.
        number: u64,
        /// What it names.
        origin: u64,
        /// Where the batch was posted.
        posted: u64,
    },
    /// A block names an origin before its parent's.
    #[error("block {number} names L1 origin {origin}, its parent names {parent}")]
    OriginBack {
        /// Layer 2 block.
        number: u64,
        /// What it names.
        origin: u64,
        /// What its parent names.
        parent: u64,
    },
    /// A block breaks a rule.
    #[error("block {number}: {reason}")]
    Block {
        /// Layer 2 block.
        number: u64,
        /// The rule.
        reason: Box<InvalidBlock>,
    },
    /// The blocks spend more gas than any batch may.
    #[error("the blocks up to {number} spend {gas} gas, a batch may spend {limit}")]
    Gas {
        /// Layer 2 block that passed the limit.
        number: u64,
        /// Gas spent up to its end.
        gas: u64,
        /// What a batch may spend.
        limit: u64,
    },
    /// The blocks execute, but to another header than the certified one.
    #[error("the data leads to header {found}, the committee certified {certified}")]
    Header {
        /// Hash of the last header made from the data.
        found: B256,
        /// Hash L1 accepted.
        certified: B256,
    },
}

/// Why a posting cannot be judged or is empty.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The posting is empty by rule.
    #[error("empty posting: {0}")]
    Empty(#[from] EmptyReason),
    /// This node lacks something; ask again.
    #[error("not yet: {0}")]
    NotYet(#[from] Missing),
    /// This machine failed; nothing is said about the posting.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The batch begins beyond the head.
    #[error("batch of blocks {first} to {last} does not continue from head {head}")]
    Gap {
        /// First block.
        first: u64,
        /// Last block.
        last: u64,
        /// Committed head.
        head: u64,
    },
}

/// Executes `data` on the ledger's head and returns the blocks after it, none of them committed yet, if the last one is the certified one.
/// A head inside the batch (a node stopped between two commits) is continued from there. `posted_in` is the number of the L1 block
/// that accepted the batch. CPU-bound: run it where it may block.
pub fn replay(
    ledger: &Ledger,
    l1: &dyn L1View,
    accepted: &AcceptedBatch,
    posted_in: u64,
    data: &[u8],
) -> Result<Vec<Arc<SealedBlock>>, ReplayError> {
    replay_within(MAX_REPLAY_GAS, ledger, l1, accepted, posted_in, data)
}

/// [`replay`] under another limit than [`MAX_REPLAY_GAS`], for tests: they cannot spend that much.
#[doc(hidden)]
pub fn replay_within(
    max_gas: u64,
    ledger: &Ledger,
    l1: &dyn L1View,
    accepted: &AcceptedBatch,
    posted_in: u64,
    data: &[u8],
) -> Result<Vec<Arc<SealedBlock>>, ReplayError> {
    let batch = Batch::decode(ledger.spec().chain_id, data).map_err(EmptyReason::from)?;
    let expected = (accepted.last + 1).saturating_sub(accepted.first);
    let found = batch.blocks.len() as u64;
    if found != expected {
        return Err(EmptyReason::Length { found, expected }.into());
    }
    let mut parent = ledger.head();
    let head = parent.number();
    if accepted.first > head + 1 {
        return Err(ReplayError::Gap { first: accepted.first, last: accepted.last, head });
    }
    let mut blocks = Vec::with_capacity(batch.blocks.len());
    let mut gas = committed_gas(ledger, accepted.first, head)?;
    for (block, number) in batch.blocks.into_iter().zip(accepted.first..).filter(|(_, number)| *number > head) {
        if block.origin > posted_in {
            return Err(EmptyReason::Origin { number, origin: block.origin, posted: posted_in }.into());
        }
        parent = derive(ledger, l1, &parent, block)?;
        gas += parent.header().gas_used;
        if gas > max_gas {
            return Err(EmptyReason::Gas { number, gas, limit: max_gas }.into());
        }
        blocks.push(parent.clone());
    }
    if parent.hash() != accepted.header_hash {
        return Err(EmptyReason::Header { found: parent.hash(), certified: accepted.header_hash }.into());
    }
    Ok(blocks)
}

/// Gas of the blocks of a batch that are committed already, so that the verdict does not depend on where a node stopped.
fn committed_gas(ledger: &Ledger, first: u64, head: u64) -> Result<u64, LedgerError> {
    let mut gas = 0;
    for number in first..=head {
        gas += ledger.store().header(number)?.map_or(0, |header| header.gas_used);
    }
    Ok(gas)
}

/// One block: its extension from parent, registry and L1, its deposits from L1, the rest from the batch.
fn derive(ledger: &Ledger, l1: &dyn L1View, parent: &SealedBlock, block: BatchBlock) -> Result<Arc<SealedBlock>, ReplayError> {
    let number = parent.number() + 1;
    let empty = |error: CheckError| match error {
        CheckError::Invalid(reason) => ReplayError::Empty(EmptyReason::Block { number, reason: Box::new(reason) }),
        CheckError::NotYet(missing) => ReplayError::NotYet(missing),
        CheckError::Ledger(error) => ReplayError::Ledger(error),
    };
    let before = HeaderExtension::decode(&parent.header().extra_data)
        .map_err(|reason| LedgerError::Extension { number: parent.number(), reason })?;
    let origin = match block.origin.cmp(&before.origin.number) {
        Ordering::Less => {
            return Err(EmptyReason::OriginBack { number, origin: block.origin, parent: before.origin.number }.into());
        }
        Ordering::Equal => before.origin,
        Ordering::Greater => {
            let origin = l1.block(block.origin).ok_or(Missing::L1Block { number: block.origin })?;
            if block.timestamp < origin.timestamp {
                let reason = InvalidBlock::BeforeOrigin { origin: origin.timestamp, got: block.timestamp };
                return Err(empty(reason.into()));
            }
            origin.origin()
        }
    };
    let mut body = deposits_between(l1, before.origin, origin)?;
    body.extend(block.transactions);
    let view = ledger.view_of(parent.hash()).ok_or(Missing::Parent(parent.hash()))?;
    let epochs = ledger.epochs();
    let (committee_id, next_committee_id) = committee_ids(&epochs, parent.header(), &before, &view).map_err(LedgerError::from)?;
    let context =
        ConsensusContext { epoch: epochs.of(number), view: block.view, parent_view: block.parent_view, leader: block.leader };
    let extension = HeaderExtension {
        epoch: context.epoch,
        view: context.view,
        parent_view: context.parent_view,
        leader: context.leader,
        committee_id,
        next_committee_id,
        origin,
    };
    ledger.derive(parent.hash(), block.timestamp, &extension, body).map_err(empty)
}
