//! Committees as the registry predeploy holds them.

use crate::LedgerError;
use alloy_primitives::{Address, B256, KECCAK256_EMPTY};
use oceanid_primitives::{Committee, predeploys::COMMITTEE_REGISTRY, predeploys::committee_registry as slots};
use oceanid_stf::StateReader;
use oceanid_store::StateView;

/// Reads committee `id` from the registry in `view`.
pub(crate) fn read(view: &StateView, id: u64) -> Result<Committee, LedgerError> {
    let seed = B256::from(view.storage(COMMITTEE_REGISTRY, slots::mapping_slot(id, slots::SEEDS))?);
    let pointer = B256::from(view.storage(COMMITTEE_REGISTRY, slots::mapping_slot(id, slots::POINTERS))?);
    let account = view.account(Address::from_word(pointer))?;
    let code_hash = account.map(|account| account.code_hash).filter(|hash| *hash != KECCAK256_EMPTY);
    let (Some(code_hash), false) = (code_hash, pointer.is_zero()) else { return Err(LedgerError::UnknownCommittee(id)) };
    let code = view.code(code_hash)?;
    // The first byte is STOP, so that the data cannot be called.
    let packed = code.get(1..).unwrap_or_default();
    Committee::unpack(id, seed, packed).map_err(|reason| LedgerError::Committee { id, reason })
}
