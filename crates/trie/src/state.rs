//! State changes in, new roots and changed nodes out.

use crate::{
    error::TrieError,
    proof::decode_account,
    reader::{NodeReader, WitnessNodes},
    update::TrieUpdate,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use alloy_primitives::{B256, Bytes, U256};
use alloy_rlp::Encodable;
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, Nibbles, TrieAccount};
use core::{cmp::Ordering, convert::Infallible};

/// What the state says of an account, its storage aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashedAccount {
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// Balance in the native token's smallest unit (wei).
    pub balance: U256,
    /// keccak256 of the code; [`KECCAK_EMPTY`] without code.
    pub code_hash: B256,
}

/// An account without nonce, balance and code.
impl Default for HashedAccount {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK_EMPTY }
    }
}

/// Changes of one or more blocks, by hash of address and slot.
///
/// The trie writes what it is told: leaving out empty accounts (EIP-161) is up to the caller, who deletes them with `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HashedState {
    /// Accounts by keccak256 of the address; `None` deletes the account and all its storage.
    pub accounts: BTreeMap<B256, Option<HashedAccount>>,
    /// Storage changes by keccak256 of the address. An account with storage changes alone need not stand in `accounts`;
    /// changes of a deleted account are ignored.
    pub storages: BTreeMap<B256, HashedStorage>,
}

/// Storage changes of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HashedStorage {
    /// Whether all earlier storage is dropped before `slots` are written (self-destruct, then re-creation).
    pub wiped: bool,
    /// Values by keccak256 of the slot; zero deletes the slot.
    pub slots: BTreeMap<B256, U256>,
}

/// What a store has to change to hold the tries of the new root.
///
/// Keyed by path: a store that applies every update keeps exactly the nodes of one state, without garbage. Apply `wiped`
/// first, then `nodes` in any order; no place is listed twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrieUpdates {
    /// Owners whose whole storage trie is dropped.
    pub wiped: BTreeSet<B256>,
    /// Nodes written and removed.
    pub nodes: Vec<NodeUpdate>,
}

/// One place of one trie, and what stands there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeUpdate {
    /// `None` for the account trie, `Some(keccak256(address))` for a storage trie.
    pub owner: Option<B256>,
    /// Nibbles from that trie's root.
    pub path: Nibbles,
    /// The node, or `None` if nothing stands here any more.
    pub node: Option<StoredNode>,
}

/// A node that is referred to by its hash: at least 32 bytes of RLP, or the root. Shorter ones are embedded in their parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredNode {
    /// keccak256 of `rlp`.
    pub hash: B256,
    /// The node.
    pub rlp: Bytes,
}

/// Applies `changes` to the state of `parent_root`.
///
/// Returns the new state root, the changed nodes of every trie, and the new storage root of every account in
/// `changes.storages` (by hashed address). Reads nodes on the changed paths and, where a deletion leaves a branch with one
/// child, that child; see the crate's page for the order. On an error nothing has been changed anywhere.
pub fn update_state_root<R: NodeReader>(
    reader: &R,
    parent_root: B256,
    changes: &HashedState,
) -> Result<(B256, TrieUpdates, BTreeMap<B256, B256>), TrieError<R::Error>> {
    let (keys, changes) = by_account(changes);
    let mut wiped = BTreeSet::new();
    let mut storage_nodes = Vec::new();
    let mut storage_roots = BTreeMap::new();

    let apply = |index: usize, old: Option<&[u8]>, new: &mut Vec<u8>| {
        let hashed_address = keys[index];
        let AccountChange { account, storage } = changes[index];
        let old = old.map(|rlp| decode_account(hashed_address, rlp)).transpose()?;
        let deleted = matches!(account, Some(None));

        let mut storage_root = old.map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
        if storage_root != EMPTY_ROOT_HASH && (deleted || storage.is_some_and(|storage| storage.wiped)) {
            wiped.insert(hashed_address);
            storage_root = EMPTY_ROOT_HASH;
        }
        if let Some(storage) = storage {
            if !deleted {
                let (root, nodes) = storage_root_update(reader, hashed_address, storage_root, &storage.slots)?;
                storage_root = root;
                storage_nodes.extend(nodes);
            }
            storage_roots.insert(hashed_address, storage_root);
        }

        let account = match account {
            Some(change) => *change,
            None => old.map(|old| HashedAccount { nonce: old.nonce, balance: old.balance, code_hash: old.code_hash }),
        };
        match account {
            Some(HashedAccount { nonce, balance, code_hash }) => {
                TrieAccount { nonce, balance, storage_root, code_hash }.encode(new);
                Ok(())
            }
            None if storage_root == EMPTY_ROOT_HASH => Ok(()),
            None => Err(TrieError::StorageWithoutAccount { hashed_address }),
        }
    };
    let (root, mut nodes) = TrieUpdate::run(reader, None, parent_root, &keys, apply)?;
    nodes.append(&mut storage_nodes);
    Ok((root, TrieUpdates { wiped, nodes }, storage_roots))
}

/// Applies `slots` (by hashed slot; zero deletes) to the storage trie of the account whose hashed address is `owner`.
/// Returns the new storage root and the changed nodes.
pub fn storage_root_update<R: NodeReader>(
    reader: &R,
    owner: B256,
    storage_root: B256,
    slots: &BTreeMap<B256, U256>,
) -> Result<(B256, Vec<NodeUpdate>), TrieError<R::Error>> {
    let keys: Vec<B256> = slots.keys().copied().collect();
    let values: Vec<&U256> = slots.values().collect();
    TrieUpdate::run(reader, Some(owner), storage_root, &keys, |index, _old, new| {
        if !values[index].is_zero() {
            values[index].encode(new);
        }
        Ok(())
    })
}

/// Builds all tries of a state that starts from nothing, such as a genesis. Returns the same as [`update_state_root`].
pub fn state_root_from_scratch(state: &HashedState) -> Result<(B256, TrieUpdates, BTreeMap<B256, B256>), TrieError<Infallible>> {
    update_state_root(&WitnessNodes::default(), EMPTY_ROOT_HASH, state)
}

/// Everything that happens to one account.
#[derive(Clone, Copy)]
struct AccountChange<'a> {
    /// `None` if only storage changes.
    account: Option<&'a Option<HashedAccount>>,
    storage: Option<&'a HashedStorage>,
}

/// Joins account and storage changes by hashed address, ascending.
fn by_account(state: &HashedState) -> (Vec<B256>, Vec<AccountChange<'_>>) {
    let most = state.accounts.len() + state.storages.len();
    let (mut keys, mut changes) = (Vec::with_capacity(most), Vec::with_capacity(most));
    let mut accounts = state.accounts.iter().peekable();
    let mut storages = state.storages.iter().peekable();
    loop {
        let order = match (accounts.peek(), storages.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return (keys, changes),
        };
        let account = if order.is_le() { accounts.next() } else { None };
        let storage = if order.is_ge() { storages.next() } else { None };
        keys.extend(account.map(|(key, _)| *key).or(storage.map(|(key, _)| *key)));
        changes.push(AccountChange { account: account.map(|(_, a)| a), storage: storage.map(|(_, s)| s) });
    }
}
