//! The epoch ledger: what it is told at a block's start (the block's leader, and the leaders of the views that passed without one), and
//! what it knows of each member's work.

use crate::StateReader;
use alloc::vec::Vec;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use oceanid_primitives::predeploys::{COMMITTEE_REGISTRY, EPOCH_LEDGER, committee_registry, epoch_ledger, slot as key};
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

/// The views between the parent's and the block's own, both exclusive, at most [`MAX_MISSED_PER_BLOCK`], each with the position of the
/// leader who missed it.
pub fn missed_views(committee: &Committee, extension: &HeaderExtension) -> impl Iterator<Item = (u64, u32)> {
    let HeaderExtension { epoch, view, parent_view, .. } = *extension;
    let first = parent_view.saturating_add(1);
    let last = view.min(first.saturating_add(MAX_MISSED_PER_BLOCK));
    (first..last).map(move |view| (view, committee.leader(epoch, view)))
}

/// Leaders of the [`missed_views`], in the block's committee. `reader` is the parent's state. Empty, without reading anything, when no
/// view was skipped; empty too when the registry does not hold the committee: a block must be possible whatever L1 has told so far.
pub fn missed_leaders<R: StateReader>(reader: &R, extension: &HeaderExtension) -> Result<Vec<u32>, R::Error> {
    if extension.parent_view.saturating_add(1) >= extension.view {
        return Ok(Vec::new());
    }
    match read_committee(reader, extension.committee_id) {
        Ok(Some(committee)) => Ok(missed_views(&committee, extension).map(|(_, leader)| leader).collect()),
        Ok(None) | Err(CommitteeReadError::Malformed(_)) => Ok(Vec::new()),
        Err(CommitteeReadError::State(error)) => Err(error),
    }
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

/// What a member did in an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Blocks it led.
    pub led: u32,
    /// Views it was drawn for and missed.
    pub missed: u32,
}

impl Work {
    /// From the 64 bits `led ++ missed`.
    const fn unpack(bits: u64) -> Self {
        Self { led: (bits >> 32) as u32, missed: bits as u32 }
    }
}

/// What the epoch ledger told L1 about an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochMessage {
    /// Nonce of the withdrawal.
    pub nonce: U256,
    /// `abi.encode(epoch u64, committeeId u64, start u64, end u64, paidTime u64, bytes32[] members)`, a member being
    /// `id (u64) ++ weight (u128) ++ led (u32) ++ missed (u32)`.
    pub data: Bytes,
}

/// The message about an epoch; none while it runs, and for an epoch that could not be told.
pub fn read_epoch_message<R: StateReader>(reader: &R, epoch: u64) -> Result<Option<EpochMessage>, R::Error> {
    let place = committee_registry::mapping_slot(epoch, epoch_ledger::MESSAGES);
    let nonce = reader.storage(EPOCH_LEDGER, place)?;
    if nonce.is_zero() {
        return Ok(None);
    }
    let pointer = B256::from(reader.storage(EPOCH_LEDGER, place.wrapping_add(U256::ONE))?);
    let account = reader.account(Address::from_word(pointer))?;
    let Some(account) = account.filter(|account| account.code_hash != KECCAK256_EMPTY) else { return Ok(None) };
    let code = reader.code(account.code_hash)?;
    Ok(Some(EpochMessage { nonce, data: code.slice(1.min(code.len())..) }))
}

/// Work of the first `members` members of an epoch's committee, in its order: of the running epoch so far, of an earlier one from its
/// message; none where there is neither.
pub fn read_work<R: StateReader>(reader: &R, epoch: u64, members: usize) -> Result<Option<Vec<Work>>, R::Error> {
    let [running, ..] = *reader.storage(EPOCH_LEDGER, key(epoch_ledger::RUNNING))?.as_limbs();
    if running == epoch {
        let slots = members.div_ceil(epoch_ledger::MEMBERS_PER_SLOT) as u64;
        let mut work = Vec::with_capacity(members);
        for slot in 0..slots {
            let counts = reader.storage(EPOCH_LEDGER, key(epoch_ledger::COUNTS + slot))?;
            work.extend(counts.as_limbs().iter().map(|bits| Work::unpack(*bits)));
        }
        work.truncate(members);
        return Ok(Some(work));
    }
    /// Words before the members: five values, where the array begins, its length.
    const HEAD: usize = 7;
    let Some(message) = read_epoch_message(reader, epoch)? else { return Ok(None) };
    let members = message.data.chunks_exact(32).skip(HEAD).take(members);
    Ok(Some(members.map(|word| Work::unpack(U256::from_be_slice(word).as_limbs()[0])).collect()))
}
