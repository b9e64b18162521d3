//! The first block: from the accounts of a specification to a state, its roots, and a header.

use crate::LedgerError;
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, U256, keccak256};
use oceanid_primitives::{Block, ChainSpec, Header, SealedBlock, predeploys};
use oceanid_stf::{AccountState, StateDiff, StorageDiff};
use oceanid_store::ExecutedBlock;
use oceanid_trie::{EMPTY_ROOT_HASH, state_root_from_scratch};
use std::{collections::BTreeMap, sync::Arc};

/// The genesis header of a Layer 2 chain.
pub fn genesis_header(spec: &ChainSpec) -> Result<Header, LedgerError> {
    Ok(genesis_block(spec)?.block().header().clone())
}

/// The genesis block of a Layer 2 chain with its state.
pub fn genesis_block(spec: &ChainSpec) -> Result<Arc<ExecutedBlock>, LedgerError> {
    from_alloc(&spec.alloc, |state_root, storage_roots| {
        let message_passer = storage_roots.get(&keccak256(predeploys::MESSAGE_PASSER)).copied();
        spec.genesis_header(state_root, message_passer.unwrap_or(EMPTY_ROOT_HASH))
    })
}

/// Builds the state of `alloc`; `header` gets the state root and, by hashed address, storage roots.
pub(crate) fn from_alloc(
    alloc: &BTreeMap<Address, GenesisAccount>,
    header: impl FnOnce(B256, &BTreeMap<B256, B256>) -> Header,
) -> Result<Arc<ExecutedBlock>, LedgerError> {
    let mut diff = StateDiff::default();
    for (address, account) in alloc {
        let mut state = AccountState { nonce: account.nonce.unwrap_or_default(), balance: account.balance, ..Default::default() };
        if let Some(code) = account.code.as_ref().filter(|code| !code.is_empty()) {
            state.code_hash = keccak256(code);
            diff.codes.insert(state.code_hash, code.clone());
        }
        let slots: StorageDiff = StorageDiff {
            wiped: false,
            slots: account
                .storage
                .iter()
                .flatten()
                .filter(|(_, value)| !value.is_zero())
                .map(|(slot, value)| (U256::from_be_bytes(slot.0), U256::from_be_bytes(value.0)))
                .collect(),
        };
        if !slots.slots.is_empty() {
            diff.storage.insert(*address, slots);
        } else if state.is_empty() {
            continue;
        }
        diff.accounts.insert(*address, Some(state));
    }
    let (state_root, trie, storage_roots) =
        state_root_from_scratch(&diff.hashed()).map_err(|error| LedgerError::Genesis(error.to_string()))?;
    let block = SealedBlock::new(Block { header: header(state_root, &storage_roots), body: Vec::new() });
    Ok(Arc::new(ExecutedBlock::new(Arc::new(block), Vec::new(), Vec::new(), diff, trie)))
}
