//! The flushed state held against its root, value by value and node by node, and its history against the roots of the past: what a store says
//! of itself is not taken for granted.

use crate::{
    Store, StoreError,
    engine::{Snapshot, Table},
    keys,
    proof::{prior_values_of, trie_error},
    store::read_header,
    view::Base,
};
use alloy_primitives::{B256, Bytes, KECCAK256_EMPTY, keccak256, map::HashMap};
use oceanid_trie::{HashedAccount, HashedState, Nibbles, NodeReader, TrieUpdates, state_root_from_scratch, update_state_root};
use std::collections::{BTreeMap, BTreeSet};

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
    /// Trie nodes.
    pub nodes: u64,
    /// Blocks before it whose state its history gives.
    pub history: u64,
}

impl Store {
    /// Computes the state root from the flat values of the newest flushed block, and the hash of every account's code; compares every trie
    /// node with the one those values make; takes back block after block by the history, and compares the root of each. Takes memory in
    /// proportion to the state.
    ///
    /// # Errors
    ///
    /// [`StoreError::StateRoot`] if another root results than the header's; [`StoreError::Damaged`] for a value that does not decode, and for
    /// code or a node that is missing, another, or too much.
    pub fn audit_state(&self) -> Result<StateAudit, StoreError> {
        let base = self.flushed_base();
        let mut audit = StateAudit { number: base.flushed.number, ..StateAudit::default() };
        let mut state = HashedState::default();
        let mut codes = BTreeSet::new();
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
        let (root, tries, _) = state_root_from_scratch(&state)
            .map_err(|error| StoreError::Trie { number: audit.number, reason: error.to_string() })?;
        audit.root = root;
        if root != base.state_root {
            return Err(StoreError::StateRoot { number: audit.number, expected: base.state_root, got: root });
        }
        audit.nodes = self.check_nodes(&base, &tries)?;
        audit.history = check_history(&base)?;
        Ok(audit)
    }

    /// Every node is there as it must be, none besides; of retained tries each is found by its hash too. Their number.
    fn check_nodes(&self, base: &Base, tries: &TrieUpdates) -> Result<u64, StoreError> {
        let (mut expected, stored) = (0, [keys::ACCOUNT, keys::STORAGE].map(|tag| base.snapshot.prefix(Table::Nodes, &[tag])));
        for update in &tries.nodes {
            let Some(node) = &update.node else { continue };
            expected += 1;
            let place = || match update.owner {
                None => format!("account trie at {:?}", update.path),
                Some(owner) => format!("storage trie of {owner} at {:?}", update.path),
            };
            if base.node(update.owner, &update.path)?.as_ref() != Some(&node.rlp) {
                return Err(StoreError::damaged("trie node", format!("{} is missing or another", place())));
            }
            if update.owner.is_some_and(|owner| self.shared.retained.contains(&owner)) {
                let retained = base.snapshot.get(Table::Nodes, &keys::tagged(keys::RETAINED, node.hash.as_slice()))?;
                if retained.as_deref() != Some(&node.rlp[..]) {
                    return Err(StoreError::damaged("retained node", format!("{} is missing or another", place())));
                }
            }
        }
        let mut found = 0;
        for entry in stored.into_iter().flatten() {
            entry?;
            found += 1;
        }
        if found != expected {
            return Err(StoreError::damaged("trie nodes", format!("{found} are stored, the state has {expected}")));
        }
        Ok(expected)
    }
}

/// Takes back block after block. How many there were.
fn check_history(base: &Base) -> Result<u64, StoreError> {
    let (mut past, mut root) = (Past { base, wiped: BTreeSet::new(), nodes: HashMap::default() }, base.state_root);
    for number in (base.oldest..base.flushed.number).rev() {
        let prior = prior_values_of(base, number + 1)?;
        let (got, updates, _) = update_state_root(&past, root, &prior).map_err(|error| trie_error(number, error))?;
        let header =
            read_header(&base.snapshot, number)?.ok_or_else(|| StoreError::damaged("header", format!("{number} is missing")))?;
        if got != header.state_root {
            return Err(StoreError::StateRoot { number, expected: header.state_root, got });
        }
        root = got;
        past.absorb(updates);
    }
    Ok(base.flushed.number - base.oldest)
}

/// The flushed tries with blocks taken back.
struct Past<'a> {
    base: &'a Base,
    wiped: BTreeSet<B256>,
    nodes: HashMap<Option<B256>, BTreeMap<Nibbles, Option<Bytes>>>,
}

impl Past<'_> {
    fn absorb(&mut self, updates: TrieUpdates) {
        for owner in updates.wiped {
            self.nodes.remove(&Some(owner));
            self.wiped.insert(owner);
        }
        for update in updates.nodes {
            self.nodes.entry(update.owner).or_default().insert(update.path, update.node.map(|node| node.rlp));
        }
    }
}

impl NodeReader for Past<'_> {
    type Error = StoreError;

    fn node(&self, owner: Option<B256>, path: &Nibbles, _hash: B256) -> Result<Option<Bytes>, StoreError> {
        if let Some(node) = self.nodes.get(&owner).and_then(|nodes| nodes.get(path)) {
            return Ok(node.clone());
        }
        if owner.is_some_and(|owner| self.wiped.contains(&owner)) { Ok(None) } else { self.base.node(owner, path) }
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
