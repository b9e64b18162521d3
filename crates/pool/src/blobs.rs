//! Where the sidecars of blob transactions are kept; the pool itself keeps only envelopes.

use alloy_consensus::{Signed, TxEip4844};
use alloy_eips::eip7594::BlobTransactionSidecarVariant;
use alloy_primitives::B256;

/// A store of sidecars. The embedded L1 gives one; a Layer 2 has none.
pub trait BlobStore: Send + Sync {
    /// Checks the KZG proofs and keeps the sidecar of that transaction. The pool has already compared the commitments with the
    /// transaction's versioned hashes. The error says what is wrong with the sidecar.
    fn accept(&self, transaction: &Signed<TxEip4844>, sidecar: BlobTransactionSidecarVariant) -> Result<(), String>;

    /// The transaction left the pool without being in a block.
    fn discard(&self, transaction: &B256);
}
