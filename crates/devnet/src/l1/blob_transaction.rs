//! Blob transactions as clients send them: the transaction and its sidecar, both checked (EIP-4844, "Networking").

use alloy_consensus::transaction::RlpEcdsaDecodableTx;
use alloy_consensus::{Signed, TxEip4844, TxEip4844WithSidecar};
use alloy_eips::eip4844::{BlobTransactionSidecar, BlobTransactionValidationError};
use alloy_eips::eip7594::BlobTransactionSidecarVariant;

/// EIP-2718 type byte of a blob transaction.
pub const BLOB_TX_TYPE: u8 = 3;

/// Why the bytes are not a blob transaction that this L1 takes.
#[derive(Debug, thiserror::Error)]
pub enum BlobTransactionError {
    /// Not `0x03 ++ rlp([transaction, blobs, commitments, proofs])`.
    #[error("not a blob transaction with its sidecar: {0}")]
    Decode(#[from] alloy_eips::eip2718::Eip2718Error),
    /// Bytes after the transaction.
    #[error("{0} bytes after the blob transaction")]
    Trailing(usize),
    /// The sidecar form of the Osaka fork.
    #[error("sidecar with cell proofs (EIP-7594): this L1 follows Prague, send one proof a blob (EIP-4844)")]
    CellProofs,
    /// Number of blobs is zero or the lists differ in length.
    #[error("{blobs} blobs, {commitments} commitments and {proofs} proofs: must be equal in number and at least one")]
    Count {
        /// Blobs.
        blobs: usize,
        /// Commitments.
        commitments: usize,
        /// Proofs.
        proofs: usize,
    },
    /// A commitment or a proof is wrong.
    #[error("blob sidecar: {0}")]
    Kzg(#[from] BlobTransactionValidationError),
}

/// Loads the KZG trusted setup without the tables that only cell proofs need, once a process (later calls return at once).
pub fn load_trusted_setup() -> &'static c_kzg::KzgSettings {
    c_kzg::ethereum_kzg_settings(0)
}

/// Splits `raw` into the transaction that goes into a block and the sidecar that does not, and verifies every blob's proof.
pub fn split(raw: &[u8]) -> Result<(Signed<TxEip4844>, BlobTransactionSidecar), BlobTransactionError> {
    let mut rest = raw;
    let signed = TxEip4844WithSidecar::<BlobTransactionSidecarVariant>::eip2718_decode(&mut rest)?;
    if !rest.is_empty() {
        return Err(BlobTransactionError::Trailing(rest.len()));
    }
    let (with_sidecar, signature, _) = signed.into_parts();
    let (transaction, sidecar) = with_sidecar.into_parts();
    let BlobTransactionSidecarVariant::Eip4844(sidecar) = sidecar else {
        return Err(BlobTransactionError::CellProofs);
    };
    let (blobs, commitments, proofs) = (sidecar.blobs.len(), sidecar.commitments.len(), sidecar.proofs.len());
    if blobs == 0 || blobs != commitments || blobs != proofs {
        return Err(BlobTransactionError::Count { blobs, commitments, proofs });
    }
    sidecar.validate(&transaction.blob_versioned_hashes, load_trusted_setup())?;
    // Hashed anew: the hash of a blob transaction leaves the sidecar out.
    Ok((Signed::new_unhashed(transaction, signature), sidecar))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::SignableTransaction;
    use alloy_consensus::transaction::{RlpEcdsaEncodableTx, SignerRecoverable};
    use alloy_eips::eip4844::builder::{SidecarBuilder, SimpleCoder};
    use alloy_primitives::{Address, B256, Bytes, U256};
    use alloy_signer::SignerSync;

    fn signed(change: impl FnOnce(&mut TxEip4844WithSidecar<BlobTransactionSidecar>)) -> (Vec<u8>, Address) {
        let sidecar =
            SidecarBuilder::<SimpleCoder>::from_slice(b"a batch").build_4844_with_settings(load_trusted_setup()).unwrap();
        let transaction = TxEip4844 {
            chain_id: 31_337,
            nonce: 0,
            gas_limit: 21_000,
            max_fee_per_gas: 1_000_000_000,
            max_priority_fee_per_gas: 1,
            to: Address::repeat_byte(1),
            value: U256::ZERO,
            access_list: Default::default(),
            blob_versioned_hashes: sidecar.versioned_hashes().collect(),
            max_fee_per_blob_gas: 1,
            input: Bytes::new(),
        };
        let mut with_sidecar = TxEip4844WithSidecar::from_tx_and_sidecar(transaction, sidecar);
        change(&mut with_sidecar);
        let signer = &crate::accounts::dev_signers()[0];
        let signature = signer.sign_hash_sync(&with_sidecar.signature_hash()).unwrap();
        let mut raw = Vec::new();
        with_sidecar.eip2718_encode(&signature, &mut raw);
        (raw, signer.address())
    }

    #[test]
    fn a_valid_one_is_split_and_keeps_its_sender() {
        let (raw, sender) = signed(|_| ());
        let (transaction, sidecar) = split(&raw).unwrap();
        assert_eq!(SignerRecoverable::recover_signer(&transaction).unwrap(), sender);
        assert_eq!(sidecar.versioned_hashes().collect::<Vec<_>>(), transaction.tx().blob_versioned_hashes);
    }

    #[test]
    fn wrong_proofs_hashes_and_counts_are_refused() {
        let (raw, _) = signed(|tx| tx.sidecar.blobs[0].0[40] ^= 1);
        assert!(matches!(split(&raw), Err(BlobTransactionError::Kzg(BlobTransactionValidationError::InvalidProof))));
        let (raw, _) = signed(|tx| tx.tx.blob_versioned_hashes[0] = B256::repeat_byte(1));
        assert!(matches!(split(&raw), Err(BlobTransactionError::Kzg(_))));
        let (raw, _) = signed(|tx| tx.sidecar.proofs.clear());
        assert!(matches!(split(&raw), Err(BlobTransactionError::Count { proofs: 0, .. })));
        let (mut raw, _) = signed(|_| ());
        raw.push(0);
        assert!(matches!(split(&raw), Err(BlobTransactionError::Trailing(1))));
        assert!(matches!(split(&raw[..100]), Err(BlobTransactionError::Decode(_))));
    }
}
