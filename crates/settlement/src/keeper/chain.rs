//! What the keeper reads of Layer 2: messages that wait to be proven on L1, and their proofs.

use crate::{ChainError, SettledChain};
use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_sol_types::SolValue;
use oceanid_chain::{Ledger, LedgerError};
use oceanid_contracts::l1::{MiningRewards, Portal};
use oceanid_primitives::predeploys::{EPOCH_LEDGER, FEE_VAULT, MESSAGE_PASSER, epoch_ledger, fee_vault, slot};
use oceanid_primitives::{SealedBlock, output_root};
use oceanid_stf::{EpochMessage, StateReader, read_epoch_message};

/// What Layer 2 has to say to L1.
pub trait Messages: Send + Sync + 'static {
    /// Epochs that have ended, from number `from` on, at most `most`. Recoveries pass over numbers.
    fn ended_epochs(&self, from: u64, most: usize) -> Result<Vec<u64>, ChainError>;

    /// The message of `EpochLedger` about an epoch; none for one that was not told.
    fn epoch_message(&self, epoch: u64) -> Result<Option<EpochMessage>, ChainError>;

    /// Number of withdrawals of `FeeVault`.
    fn fee_flushes(&self) -> Result<u64, ChainError>;

    /// Nonce and value (wei) of one of them.
    fn fee_flush(&self, index: u64) -> Result<(U256, U256), ChainError>;

    /// The value and the proof of a slot in the message passer's storage trie of that root, however old.
    fn message_proof(&self, storage_root: B256, slot: U256) -> Result<(U256, Vec<Bytes>), ChainError>;
}

/// The committed chain with its messages.
pub trait KeptChain: SettledChain + Messages {}

impl<T: SettledChain + Messages> KeptChain for T {}

impl Messages for Ledger {
    fn ended_epochs(&self, from: u64, most: usize) -> Result<Vec<u64>, ChainError> {
        // As `EpochLedger` counts at the head.
        let running = read(self, |view| view.storage(EPOCH_LEDGER, slot(epoch_ledger::RUNNING)))?.as_limbs()[0];
        let epochs = self.epochs();
        let all = core::iter::successors(epochs.at_or_after(from), |epoch| epochs.after(*epoch));
        Ok(all.take_while(|epoch| *epoch < running).take(most).collect())
    }

    fn epoch_message(&self, epoch: u64) -> Result<Option<EpochMessage>, ChainError> {
        read(self, |view| read_epoch_message(view, epoch))
    }

    fn fee_flushes(&self) -> Result<u64, ChainError> {
        Ok(read(self, |view| view.storage(FEE_VAULT, slot(fee_vault::FLUSHES)))?.saturating_to())
    }

    fn fee_flush(&self, index: u64) -> Result<(U256, U256), ChainError> {
        let place = fee_vault::flush_slot(index);
        read(self, |view| Ok((view.storage(FEE_VAULT, place)?, view.storage(FEE_VAULT, place.wrapping_add(U256::ONE))?)))
    }

    fn message_proof(&self, storage_root: B256, slot: U256) -> Result<(U256, Vec<Bytes>), ChainError> {
        let mut proofs = self.store().retained_proof(MESSAGE_PASSER, storage_root, &[slot]).map_err(LedgerError::from)?;
        let (_, proof) = proofs.pop().ok_or_else(|| ChainError("the store gave no proof".to_owned()))?;
        Ok((proof.value, proof.proof))
    }
}

fn read<T>(
    ledger: &Ledger,
    question: impl FnOnce(&oceanid_store::StateView) -> Result<T, oceanid_store::StoreError>,
) -> Result<T, ChainError> {
    Ok(question(&ledger.view()).map_err(LedgerError::from)?)
}

/// Slot of a message in the message passer: `sentMessages[hash]`, a mapping at slot 0.
pub(super) fn message_slot(hash: B256) -> U256 {
    U256::from_be_bytes(keccak256((hash, U256::ZERO).abi_encode()).0)
}

/// A final output on L1 whose block this node has, with which messages are proven.
#[derive(Clone, Debug)]
pub(super) struct FinalOutput {
    pub(super) index: U256,
    pub(super) state_root: B256,
    pub(super) storage_root: B256,
    pub(super) block_hash: B256,
}

impl FinalOutput {
    /// Takes the output of `block`; none if L1 has another one there.
    pub(super) fn new(index: U256, root: B256, block: &SealedBlock) -> Option<Self> {
        let header = block.header();
        let storage_root = header.withdrawals_root.unwrap_or_default();
        let here = output_root(header.state_root, storage_root, block.hash());
        (here == root).then(|| Self { index, state_root: header.state_root, storage_root, block_hash: block.hash() })
    }

    pub(super) fn portal_proof(&self) -> Portal::OutputRootProof {
        Portal::OutputRootProof {
            version: B256::ZERO,
            stateRoot: self.state_root,
            messagePasserStorageRoot: self.storage_root,
            latestBlockhash: self.block_hash,
        }
    }

    pub(super) fn rewards_proof(&self) -> MiningRewards::OutputRootProof {
        MiningRewards::OutputRootProof {
            version: B256::ZERO,
            stateRoot: self.state_root,
            messagePasserStorageRoot: self.storage_root,
            latestBlockhash: self.block_hash,
        }
    }

    /// The proof that a message with this withdrawal hash was sent by then; none if it was not.
    pub(super) fn prove(&self, chain: &dyn Messages, hash: B256) -> Result<Option<Vec<Bytes>>, ChainError> {
        let (value, proof) = chain.message_proof(self.storage_root, message_slot(hash))?;
        Ok((value == U256::ONE).then_some(proof))
    }
}

/// The withdrawal hash of the message passer.
pub(super) fn withdrawal_hash(withdrawal: &Portal::WithdrawalTransaction) -> B256 {
    let Portal::WithdrawalTransaction { nonce, sender, target, value, gasLimit, data } = withdrawal;
    keccak256((*nonce, *sender, *target, *value, *gasLimit, data.clone()).abi_encode_params())
}
