//! Committees as the registry predeploy holds them.

use crate::LedgerError;
use oceanid_primitives::Committee;
use oceanid_stf::{CommitteeReadError, read_committee};
use oceanid_store::StateView;

/// Reads committee `id` from the registry in `view`; it must be there.
pub(crate) fn read(view: &StateView, id: u64) -> Result<Committee, LedgerError> {
    match read_committee(view, id) {
        Ok(Some(committee)) => Ok(committee),
        Ok(None) => Err(LedgerError::UnknownCommittee(id)),
        Err(CommitteeReadError::State(error)) => Err(error.into()),
        Err(CommitteeReadError::Malformed(reason)) => Err(LedgerError::Committee { id, reason }),
    }
}
