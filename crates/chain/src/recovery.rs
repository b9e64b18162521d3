//! Recoveries the ledger has taken on: kept in the store, because L1 is read only once.

use crate::{Ledger, LedgerError};
use oceanid_primitives::{Epochs, Recovery};
use oceanid_store::Store;
use std::sync::Arc;

/// Name of the list in the store; the value is JSON.
const RECOVERIES: &str = "chain.recoveries";

/// The epochs of a chain as its store knows them.
pub(crate) fn load(store: &Store, epoch_length: u64) -> Result<Epochs, LedgerError> {
    let mut epochs = Epochs::new(epoch_length);
    if let Some(stored) = store.get_meta(RECOVERIES)? {
        let recoveries: Vec<Recovery> =
            serde_json::from_slice(&stored).map_err(|error| LedgerError::Recoveries(error.to_string()))?;
        for recovery in &recoveries {
            epochs.admit(recovery)?;
        }
    }
    Ok(epochs)
}

impl Ledger {
    /// The epochs of this chain, with the recoveries taken on so far.
    pub fn epochs(&self) -> Arc<Epochs> {
        self.0.epochs.read().clone()
    }

    /// Takes on a recovery seen in a deep L1 block: from its block on, the chain goes on under its committee. Durable on return;
    /// false if it was taken on before.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Superseded`] if this chain holds final blocks that L1 has left behind; [`LedgerError::Conflict`] if it holds
    /// another block than L1 at the recovery's place; [`LedgerError::Recovery`] if the list does not continue.
    pub fn admit(&self, recovery: &Recovery) -> Result<bool, LedgerError> {
        let _committing = self.0.committing.lock();
        let before = self.epochs();
        let mut epochs = before.as_ref().clone();
        if !epochs.admit(recovery)? {
            return Ok(false);
        }
        let Recovery { index, after_block, head_hash, .. } = *recovery;
        let head = self.0.store.head().number;
        if let Some(committed) = self.committed_at(after_block)?
            && committed != head_hash
        {
            return Err(LedgerError::Conflict { number: after_block, hash: head_hash, committed });
        }
        if head > after_block {
            return Err(LedgerError::Superseded { index, after_block, head });
        }
        let stored = serde_json::to_vec(epochs.recoveries()).map_err(|error| LedgerError::Recoveries(error.to_string()))?;
        self.0.store.put_meta(RECOVERIES, &stored)?;
        *self.0.epochs.write() = Arc::new(epochs);
        self.0.tree.lock().drop_above(after_block);
        tracing::warn!(recovery = index, after_block, committee = recovery.committee.id, "L1 recovered the chain");
        Ok(true)
    }
}
