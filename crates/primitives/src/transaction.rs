//! The transaction envelope: all Ethereum types and the OP Stack's deposit (`0x7E`).
//!
//! Blob transactions exist here because the embedded L1 shares this crate; Layer 2 blocks never hold one.

use alloy_consensus::crypto::RecoveryError;
use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{Sealed, Signed, TransactionEnvelope, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_primitives::{Address, B256};
use op_alloy_consensus::TxDeposit;

/// A signed transaction, or a deposit (which carries its sender and has no signature).
#[derive(Clone, Debug, TransactionEnvelope)]
#[envelope(tx_type_name = TxType)]
pub enum TxEnvelope {
    /// Type 0.
    #[envelope(ty = 0)]
    Legacy(Signed<TxLegacy>),
    /// EIP-2930.
    #[envelope(ty = 1)]
    Eip2930(Signed<TxEip2930>),
    /// EIP-1559.
    #[envelope(ty = 2)]
    Eip1559(Signed<TxEip1559>),
    /// EIP-4844, without its sidecar. Only the embedded L1 accepts it.
    #[envelope(ty = 3)]
    Eip4844(Signed<TxEip4844>),
    /// EIP-7702.
    #[envelope(ty = 4)]
    Eip7702(Signed<TxEip7702>),
    /// OP Stack deposit: made by derivation from L1, never accepted from a pool or a peer.
    #[envelope(ty = 126)]
    Deposit(Sealed<TxDeposit>),
}

impl TxEnvelope {
    /// The transaction's hash, computed once and kept.
    pub fn hash(&self) -> &B256 {
        match self {
            Self::Legacy(tx) => tx.hash(),
            Self::Eip2930(tx) => tx.hash(),
            Self::Eip1559(tx) => tx.hash(),
            Self::Eip4844(tx) => tx.hash(),
            Self::Eip7702(tx) => tx.hash(),
            Self::Deposit(tx) => tx.hash_ref(),
        }
    }

    /// True for a deposit.
    pub const fn is_deposit(&self) -> bool {
        matches!(self, Self::Deposit(_))
    }

    /// The deposit inside, if this is one.
    pub const fn as_deposit(&self) -> Option<&Sealed<TxDeposit>> {
        match self {
            Self::Deposit(tx) => Some(tx),
            _ => None,
        }
    }

    /// Recovers the sender from the signature (EIP-2: a high `s` is refused); a deposit names its sender itself.
    pub fn recover_sender(&self) -> Result<Address, RecoveryError> {
        // The trait's method is the fast one (libsecp256k1); the inherent method of `Signed` is not.
        match self {
            Self::Legacy(tx) => SignerRecoverable::recover_signer(tx),
            Self::Eip2930(tx) => SignerRecoverable::recover_signer(tx),
            Self::Eip1559(tx) => SignerRecoverable::recover_signer(tx),
            Self::Eip4844(tx) => SignerRecoverable::recover_signer(tx),
            Self::Eip7702(tx) => SignerRecoverable::recover_signer(tx),
            Self::Deposit(tx) => Ok(tx.inner().from),
        }
    }
}

impl From<TxDeposit> for TxEnvelope {
    fn from(deposit: TxDeposit) -> Self {
        use alloy_consensus::Sealable;
        Self::Deposit(deposit.seal_slow())
    }
}
