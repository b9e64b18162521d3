//! What the epoch ledger is told at a block's start: the block's leader, and the leaders of the views that passed without one.

use crate::StateReader;
use alloc::vec::Vec;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use oceanid_primitives::predeploys::{COMMITTEE_REGISTRY, committee_registry};
use oceanid_primitives::{Committee, CommitteeError, HeaderExtension};

/// Most missed views counted at one block, the first ones; a longer gap means that no quorum was there, not that its leaders missed.
pub const MAX_MISSED_PER_BLOCK: u64 = 256;

/// Why the registry's answer is not a committee.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitteeReadError<E: core::fmt::Debug + core::fmt::Display> {
    /// The state could not be read.
    #[error("reading the state: {0}")]
    State(E),
    /// What is stored is no committee.
    #[error(transparent)]
    Malformed(CommitteeError),
}

/// Committee `id` as the registry predeploy holds it in `reader`'s state; none if it does not know that committee.
pub fn read_committee<R: StateReader>(reader: &R, id: u64) -> Result<Option<Committee>, CommitteeReadError<R::Error>> {
    let read = |slot| {
        let key = committee_registry::mapping_slot(id, slot);
        reader.storage(COMMITTEE_REGISTRY, key).map(B256::from).map_err(CommitteeReadError::State)
    };
    let pointer = read(committee_registry::POINTERS)?;
    if pointer.is_zero() {
        return Ok(None);
    }
    let account = reader.account(Address::from_word(pointer)).map_err(CommitteeReadError::State)?;
    let Some(account) = account.filter(|account| account.code_hash != KECCAK256_EMPTY) else { return Ok(None) };
    let code = reader.code(account.code_hash).map_err(CommitteeReadError::State)?;
    // The first byte is STOP, so that the data cannot be called.
    let packed = code.get(1..).unwrap_or_default();
    Committee::unpack(id, read(committee_registry::SEEDS)?, packed).map(Some).map_err(CommitteeReadError::Malformed)
}

/// Leaders of the views between the parent's and the block's own, both exclusive, at most [`MAX_MISSED_PER_BLOCK`], as
/// positions in the block's committee. `reader` is the parent's state. Empty, without reading anything, when no view was
/// skipped; empty too when the registry does not hold the committee: a block must be possible whatever L1 has told so far.
pub fn missed_leaders<R: StateReader>(reader: &R, extension: &HeaderExtension) -> Result<Vec<u32>, R::Error> {
    let HeaderExtension { epoch, view, parent_view, committee_id, .. } = *extension;
    let first = parent_view.saturating_add(1);
    if first >= view {
        return Ok(Vec::new());
    }
    let committee = match read_committee(reader, committee_id) {
        Ok(Some(committee)) => committee,
        Ok(None) | Err(CommitteeReadError::Malformed(_)) => return Ok(Vec::new()),
        Err(CommitteeReadError::State(error)) => return Err(error),
    };
    let last = view.min(first.saturating_add(MAX_MISSED_PER_BLOCK));
    Ok((first..last).map(|view| committee.leader(epoch, view)).collect())
}

/// Calldata of `EpochLedger.record(uint64 epoch, uint64 committeeId, uint32 leader, uint32[] missed)`.
pub(crate) fn record_call(extension: &HeaderExtension, missed: &[u32]) -> Bytes {
    const FIXED_WORDS: u64 = 4;
    let head = [
        extension.epoch,
        extension.committee_id,
        u64::from(extension.leader),
        // Where the array begins, then its length.
        FIXED_WORDS * 32,
        missed.len() as u64,
    ];
    let mut input = Vec::with_capacity(4 + (head.len() + missed.len()) * 32);
    input.extend_from_slice(&keccak256("record(uint64,uint64,uint32,uint32[])")[..4]);
    for word in head.into_iter().chain(missed.iter().map(|leader| u64::from(*leader))) {
        input.extend_from_slice(&U256::from(word).to_be_bytes::<32>());
    }
    input.into()
}
