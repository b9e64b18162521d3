//! The flushed state held against its root, value by value: what a store says of itself is not taken for granted.

use crate::{
    Store, StoreError,
    engine::{Snapshot, Table},
    keys,
};
use alloy_primitives::{B256, KECCAK256_EMPTY, keccak256};
use oceanid_trie::{HashedAccount, HashedState, state_root_from_scratch};

/// What [`Store::audit_state`] went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateAudit {
    /// Block whose state it is.
    pub number: u64,
    /// Its state root, computed anew.
    pub root: B256,
    /// Accounts.
    pub accounts: u64,
    /// Storage slots.
    pub slots: u64,
    /// Different codes of accounts.
    pub codes: u64,
}

impl Store {
    /// Computes the state root from the flat values of the newest flushed block, and the hash of every account's code. Takes memory in
    /// proportion to the state.
    ///
    /// # Errors
    ///
    /// [`StoreError::StateRoot`] if another root results than the header's; [`StoreError::Damaged`] for a value that does not decode, and for
    /// code that is missing or another.
    pub fn audit_state(&self) -> Result<StateAudit, StoreError> {
        let base = self.flushed_base();
        let mut audit = StateAudit { number: base.flushed.number, ..StateAudit::default() };
        let mut state = HashedState::default();
        let mut codes = std::collections::BTreeSet::new();
        for entry in base.snapshot.prefix(Table::State, &[keys::ACCOUNT]) {
            let (key, value) = entry?;
            let address = key.get(1..keys::ACCOUNT_KEY).ok_or_else(|| StoreError::damaged("account", "short key"))?;
            let Some(account) = keys::decode_account(&value)? else { continue };
            let hashed = HashedAccount { nonce: account.nonce, balance: account.balance, code_hash: account.code_hash };
            state.accounts.insert(keccak256(address), Some(hashed));
            audit.accounts += 1;
            if account.code_hash != KECCAK256_EMPTY && codes.insert(account.code_hash) {
                check_code(&base.snapshot, account.code_hash)?;
            }
        }
        for entry in base.snapshot.prefix(Table::State, &[keys::STORAGE]) {
            let (key, value) = entry?;
            let (Some(address), Some(slot)) = (key.get(1..keys::ACCOUNT_KEY), key.get(keys::ACCOUNT_KEY..keys::STORAGE_KEY))
            else {
                return Err(StoreError::damaged("storage slot", "short key"));
            };
            let storage = state.storages.entry(keccak256(address)).or_default();
            storage.slots.insert(keccak256(slot), keys::decode_slot(&value)?);
            audit.slots += 1;
        }
        audit.codes = codes.len() as u64;
        let (root, _, _) = state_root_from_scratch(&state)
            .map_err(|error| StoreError::Trie { number: audit.number, reason: error.to_string() })?;
        audit.root = root;
        if root != base.state_root {
            return Err(StoreError::StateRoot { number: audit.number, expected: base.state_root, got: root });
        }
        Ok(audit)
    }
}

fn check_code(snapshot: &Snapshot, hash: B256) -> Result<(), StoreError> {
    let code = snapshot.get(Table::State, &keys::tagged(keys::CODE, hash.as_slice()))?;
    let code = code.ok_or_else(|| StoreError::damaged("code", format!("{hash} is missing")))?;
    if keccak256(&code) != hash {
        return Err(StoreError::damaged("code", format!("{hash} is another")));
    }
    Ok(())
}
