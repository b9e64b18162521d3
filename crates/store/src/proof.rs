//! Proofs: of the present state, of the recent past by undoing changes, and of retained storage tries at any age.

use crate::{
    MAX_PROOF_CHANGES, StateView, StoreError,
    engine::Table,
    keys::{self, StateKey},
    view::Base,
};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256, map::HashMap};
use oceanid_trie::{
    EMPTY_ROOT_HASH, HashedAccount, HashedState, Nibbles, NodeReader, StorageProof, TrieAccount, TrieError, account_proof,
    storage_proof, update_state_root,
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    sync::Arc,
};

/// An account with the proofs `eth_getProof` returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateProof {
    /// Address.
    pub address: Address,
    /// The account; none if it does not exist.
    pub account: Option<TrieAccount>,
    /// RLP nodes from the state root.
    pub account_proof: Vec<Bytes>,
    /// One per slot asked for, in that order.
    pub storage: Vec<(U256, StorageProof)>,
}

impl StateProof {
    pub(crate) fn new(
        trie: &TrieView,
        number: u64,
        state_root: B256,
        address: Address,
        slots: &[U256],
    ) -> Result<Self, StoreError> {
        let owner = keccak256(address);
        let proof = account_proof(trie, state_root, owner).map_err(|error| trie_error(number, error))?;
        let storage_root = proof.account.as_ref().map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
        let storage = storage_proofs(trie, number, owner, storage_root, slots)?;
        Ok(Self { address, account: proof.account, account_proof: proof.proof, storage })
    }
}

pub(crate) fn storage_proofs<R: NodeReader<Error = StoreError>>(
    nodes: &R,
    number: u64,
    owner: B256,
    storage_root: B256,
    slots: &[U256],
) -> Result<Vec<(U256, StorageProof)>, StoreError> {
    let prove = |slot: &U256| {
        let proof = storage_proof(nodes, owner, storage_root, keccak256(slot.to_be_bytes::<32>()));
        proof.map(|proof| (*slot, proof)).map_err(|error| trie_error(number, error))
    };
    slots.iter().map(prove).collect()
}

/// Keeps the store's own error as it is and describes the trie's.
pub(crate) fn trie_error(number: u64, error: TrieError<StoreError>) -> StoreError {
    match error {
        TrieError::Reader(error) => error,
        other => StoreError::Trie { number, reason: other.to_string() },
    }
}

/// The tries of one state.
#[derive(Clone, Debug)]
pub struct TrieView(Tries);

#[derive(Clone, Debug)]
enum Tries {
    Present(StateView),
    Past(Arc<PastTrie>),
}

impl TrieView {
    pub(crate) const fn present(view: StateView) -> Self {
        Self(Tries::Present(view))
    }

    pub(crate) const fn past(trie: Arc<PastTrie>) -> Self {
        Self(Tries::Past(trie))
    }
}

impl NodeReader for TrieView {
    type Error = StoreError;

    fn node(&self, owner: Option<B256>, path: &Nibbles, hash: B256) -> Result<Option<Bytes>, StoreError> {
        match &self.0 {
            Tries::Present(view) => view.node(owner, path),
            Tries::Past(trie) => trie.node(owner, path, hash),
        }
    }
}

/// The flushed tries with the changes since a past block undone.
pub(crate) struct PastTrie {
    number: u64,
    root: B256,
    base: Arc<Base>,
    wiped: BTreeSet<B256>,
    nodes: HashMap<Option<B256>, BTreeMap<Nibbles, Option<Bytes>>>,
}

impl core::fmt::Debug for PastTrie {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PastTrie").field("number", &self.number).finish_non_exhaustive()
    }
}

impl PastTrie {
    /// The flushed tries, nothing undone yet.
    pub(crate) fn new(base: &Arc<Base>) -> Self {
        let (number, root) = (base.flushed.number, base.state_root);
        Self { number, root, base: base.clone(), wiped: BTreeSet::new(), nodes: HashMap::default() }
    }

    fn build(base: &Arc<Base>, number: u64, state_root: B256) -> Result<Self, StoreError> {
        let mut trie = Self::new(base);
        trie.undo(number, state_root, &prior_values(base, number)?)?;
        Ok(trie)
    }

    /// Writes `prior` over it, which must give the state of block `number` with that root.
    pub(crate) fn undo(&mut self, number: u64, state_root: B256, prior: &HashedState) -> Result<(), StoreError> {
        let (root, updates, _) = update_state_root(&*self, self.root, prior).map_err(|error| trie_error(number, error))?;
        if root != state_root {
            return Err(StoreError::StateRoot { number, expected: state_root, got: root });
        }
        (self.number, self.root) = (number, root);
        for owner in updates.wiped {
            self.nodes.remove(&Some(owner));
            self.wiped.insert(owner);
        }
        for update in updates.nodes {
            self.nodes.entry(update.owner).or_default().insert(update.path, update.node.map(|node| node.rlp));
        }
        Ok(())
    }
}

impl NodeReader for PastTrie {
    type Error = StoreError;

    fn node(&self, owner: Option<B256>, path: &Nibbles, _hash: B256) -> Result<Option<Bytes>, StoreError> {
        if let Some(node) = self.nodes.get(&owner).and_then(|nodes| nodes.get(path)) {
            return Ok(node.clone());
        }
        if owner.is_some_and(|owner| self.wiped.contains(&owner)) { Ok(None) } else { self.base.node(owner, path) }
    }
}

/// What has to be written over the flushed state to have the state after `number` back: for each key changed since, its value
/// before the first change.
fn prior_values(base: &Base, number: u64) -> Result<HashedState, StoreError> {
    let (mut seen, mut changes) = (HashSet::new(), HashedState::default());
    for later in number + 1..=base.flushed.number {
        take_prior(
            base,
            later,
            |key| {
                let new = seen.insert(key);
                if seen.len() > MAX_PROOF_CHANGES {
                    return Err(StoreError::TooManyChanges { asked: number, limit: MAX_PROOF_CHANGES });
                }
                Ok(new)
            },
            &mut changes,
        )?;
    }
    Ok(changes)
}

/// What has to be written over the state after block `number` to take that block back.
pub(crate) fn prior_values_of(base: &Base, number: u64) -> Result<HashedState, StoreError> {
    let mut changes = HashedState::default();
    take_prior(base, number, |_| Ok(true), &mut changes)?;
    Ok(changes)
}

/// Puts what block `number` overwrote into `changes`, for those keys that `wanted` says.
fn take_prior(
    base: &Base,
    number: u64,
    mut wanted: impl FnMut(StateKey) -> Result<bool, StoreError>,
    changes: &mut HashedState,
) -> Result<(), StoreError> {
    let list = base
        .snapshot
        .get(Table::History, &keys::numbered(keys::CHANGES, number))?
        .ok_or_else(|| StoreError::damaged("history", format!("no changes of block {number}")))?;
    let mut list: &[u8] = &list;
    while !list.is_empty() {
        let key = StateKey::decode(&mut list)?;
        if !wanted(key)? {
            continue;
        }
        let prior = base
            .snapshot
            .get(Table::History, &keys::history(&key.to_vec(), number))?
            .ok_or_else(|| StoreError::damaged("history", format!("no prior value at block {number}")))?;
        match key {
            StateKey::Account(address) => {
                let account = keys::decode_account(&prior)?.map(|account| HashedAccount {
                    nonce: account.nonce,
                    balance: account.balance,
                    code_hash: account.code_hash,
                });
                changes.accounts.insert(keccak256(address), account);
            }
            StateKey::Storage(address, slot) => {
                let storage = changes.storages.entry(keccak256(address)).or_default();
                storage.slots.insert(keccak256(slot.to_be_bytes::<32>()), keys::decode_slot(&prior)?);
            }
        }
    }
    Ok(())
}

/// Past tries kept for repeated questions.
const CACHED_TRIES: usize = 4;
/// A cached trie pins the engine's versions of its time; it is let go after this many flushed blocks.
const CACHED_FOR: u64 = 64;

/// A few past tries, newest first.
#[derive(Default)]
pub(crate) struct PastTries {
    cached: Mutex<VecDeque<Arc<PastTrie>>>,
}

impl PastTries {
    pub(crate) fn get(&self, base: &Arc<Base>, number: u64, state_root: B256) -> Result<Arc<PastTrie>, StoreError> {
        if let Some(trie) = self.cached.lock().iter().find(|trie| trie.number == number) {
            return Ok(trie.clone());
        }
        let trie = Arc::new(PastTrie::build(base, number, state_root)?);
        let mut cached = self.cached.lock();
        cached.truncate(CACHED_TRIES - 1);
        cached.push_front(trie.clone());
        Ok(trie)
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.cached.lock().clear();
    }

    /// Forgets tries whose base is old.
    pub(crate) fn expire(&self, flushed: u64) {
        self.cached.lock().retain(|trie| trie.base.flushed.number + CACHED_FOR >= flushed);
    }
}
