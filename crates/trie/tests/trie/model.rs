//! Random changes over many rounds: root and stored nodes must equal what `HashBuilder` makes of the same state at once.

use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, TrieAccount, proof::ProofRetainer};
use oceanid_trie::{
    HashedAccount, HashedState, HashedStorage, MemoryNodes, Nibbles, TrieError, TrieUpdates, get_account, get_storage,
    state_root_from_scratch, update_state_root,
};
use proptest::{collection::vec, prelude::*};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) type Slots = BTreeMap<B256, U256>;
type Nodes = BTreeMap<(Option<B256>, Nibbles), Bytes>;

/// The whole state in the open: what the trie must commit to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) accounts: BTreeMap<B256, (HashedAccount, Slots)>,
}

impl Model {
    /// Applies changes after making them consistent: storage of an account that is not there creates it.
    pub(crate) fn apply(&mut self, changes: &mut HashedState) {
        for key in changes.storages.keys() {
            if !self.accounts.contains_key(key) {
                changes.accounts.entry(*key).or_insert(Some(HashedAccount::default()));
            }
        }
        for (key, account) in &changes.accounts {
            match account {
                Some(account) => self.accounts.entry(*key).or_default().0 = *account,
                None => drop(self.accounts.remove(key)),
            }
        }
        for (key, storage) in &changes.storages {
            let Some((_, slots)) = self.accounts.get_mut(key) else { continue };
            if storage.wiped {
                slots.clear();
            }
            slots.extend(&storage.slots);
            slots.retain(|_, value| !value.is_zero());
        }
    }

    /// State root and every node that has a hash of its own, by the oracle.
    fn oracle(&self) -> (B256, Nodes) {
        let mut nodes = Nodes::new();
        let leaves = self.accounts.iter().map(|(key, (account, slots))| {
            let leaves = slots.iter().map(|(slot, value)| (*slot, alloy_rlp::encode(value))).collect();
            let storage_root = oracle_trie(Some(*key), leaves, &mut nodes);
            let HashedAccount { nonce, balance, code_hash } = *account;
            (*key, alloy_rlp::encode(TrieAccount { nonce, balance, storage_root, code_hash }))
        });
        let leaves = leaves.collect();
        (oracle_trie(None, leaves, &mut nodes), nodes)
    }
}

fn oracle_trie(owner: Option<B256>, leaves: BTreeMap<B256, Vec<u8>>, nodes: &mut Nodes) -> B256 {
    let targets = leaves.keys().map(Nibbles::unpack).collect();
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(targets));
    for (key, value) in &leaves {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    let root = builder.root();
    if root != EMPTY_ROOT_HASH {
        let own = builder.take_proof_nodes().into_nodes_sorted();
        let own = own.into_iter().filter(|(path, rlp)| path.is_empty() || rlp.len() >= 32);
        nodes.extend(own.map(|(path, rlp)| ((owner, path), rlp)));
    }
    root
}

/// Keys of four shapes: spread like hashes; crowded at the end, so that nodes are embedded; crowded at both ends; leaving
/// one long path at any nibble, so that extensions split anywhere.
pub(crate) fn key() -> impl Strategy<Value = B256> {
    prop_oneof![
        (0u8..48).prop_map(keccak256_of),
        (0u8..48).prop_map(B256::with_last_byte),
        (0u8..3, any::<u8>()).prop_map(|(first, last)| {
            let mut key = B256::with_last_byte(last);
            key[0] = first;
            key
        }),
        (0usize..32, 1u8..4).prop_map(|(at, byte)| {
            let mut key = B256::repeat_byte(0x11);
            key[at] ^= byte * 0x0b;
            key
        }),
    ]
}

fn keccak256_of(byte: u8) -> B256 {
    keccak256([byte])
}

fn value() -> impl Strategy<Value = U256> {
    prop_oneof![
        4 => Just(U256::ZERO),
        4 => (1u8..=255).prop_map(U256::from),
        2 => any::<[u8; 32]>().prop_map(U256::from_be_bytes),
    ]
}

fn account() -> impl Strategy<Value = Option<HashedAccount>> {
    let account = (0u64..300, value(), prop_oneof![Just(alloy_trie::KECCAK_EMPTY), Just(B256::repeat_byte(0xcc))]);
    prop_oneof![
        1 => Just(None),
        2 => account.prop_map(|(nonce, balance, code_hash)| Some(HashedAccount { nonce, balance, code_hash })),
    ]
}

fn storage() -> impl Strategy<Value = HashedStorage> {
    (prop::bool::weighted(0.15), vec((key(), value()), 0..12))
        .prop_map(|(wiped, slots)| HashedStorage { wiped, slots: slots.into_iter().collect() })
}

/// Changes of one block.
pub(crate) fn changes() -> impl Strategy<Value = HashedState> {
    (vec((key(), account()), 0..16), vec((key(), storage()), 0..6)).prop_map(|(accounts, storages)| HashedState {
        accounts: accounts.into_iter().collect(),
        storages: storages.into_iter().collect(),
    })
}

/// A state and the nodes of its tries.
pub(crate) fn build(rounds: Vec<HashedState>) -> (Model, MemoryNodes, B256) {
    let (mut model, mut store, mut root) = (Model::default(), MemoryNodes::default(), EMPTY_ROOT_HASH);
    for mut round in rounds {
        model.apply(&mut round);
        let (next, updates, _) = update_state_root(&store, root, &round).expect("the store is complete");
        store.apply(&updates);
        root = next;
    }
    (model, store, root)
}

fn nodes_of(store: &MemoryNodes) -> Nodes {
    store.iter().map(|(owner, path, rlp)| ((owner, *path), rlp.clone())).collect()
}

fn assert_each_place_once(updates: &TrieUpdates) {
    let mut places = BTreeSet::new();
    for update in &updates.nodes {
        assert!(places.insert((update.owner, update.path)), "{:?} is listed twice", update.path);
        if let Some(node) = &update.node {
            assert_eq!(keccak256(&node.rlp), node.hash);
        }
    }
}

/// Every listed update changes something: nothing is written as it was, nothing removed that was not there.
fn assert_no_idle_write(store: &MemoryNodes, updates: &TrieUpdates) {
    let before = nodes_of(store);
    for update in updates.nodes.iter().filter(|update| !update.owner.is_some_and(|o| updates.wiped.contains(&o))) {
        let old = before.get(&(update.owner, update.path));
        assert_ne!(old, update.node.as_ref().map(|node| &node.rlp), "idle update at {:?}", update.path);
    }
}

proptest! {
    #[test]
    fn roots_and_nodes_equal_the_oracle_after_every_round(rounds in vec(changes(), 1..10)) {
        let (mut model, mut store, mut root) = (Model::default(), MemoryNodes::default(), EMPTY_ROOT_HASH);
        for mut round in rounds {
            model.apply(&mut round);
            let (next, updates, storage_roots) = update_state_root(&store, root, &round).expect("the store is complete");
            assert_each_place_once(&updates);
            assert_no_idle_write(&store, &updates);
            store.apply(&updates);
            root = next;

            let (expected_root, expected_nodes) = model.oracle();
            prop_assert_eq!(root, expected_root);
            prop_assert_eq!(&nodes_of(&store), &expected_nodes);

            prop_assert!(storage_roots.keys().eq(round.storages.keys()));
            for (key, storage_root) in storage_roots {
                let account = get_account(&store, root, key).expect("the store is complete");
                prop_assert_eq!(storage_root, account.map_or(EMPTY_ROOT_HASH, |account| account.storage_root));
            }
        }

        for (key, (account, slots)) in &model.accounts {
            let found = get_account(&store, root, *key).expect("the store is complete").expect("the account exists");
            prop_assert_eq!((found.nonce, found.balance, found.code_hash), (account.nonce, account.balance, account.code_hash));
            for (slot, value) in slots {
                prop_assert_eq!(get_storage(&store, *key, found.storage_root, *slot), Ok(*value));
            }
        }
    }

    #[test]
    fn from_scratch_equals_round_by_round(rounds in vec(changes(), 1..6)) {
        let (model, store, root) = build(rounds);
        let mut state = HashedState::default();
        for (key, (account, slots)) in model.accounts {
            state.accounts.insert(key, Some(account));
            state.storages.insert(key, HashedStorage { wiped: false, slots });
        }
        let (scratch_root, updates, _) = state_root_from_scratch(&state).expect("the state is consistent");
        let mut scratch = MemoryNodes::default();
        scratch.apply(&updates);
        prop_assert_eq!(scratch_root, root);
        prop_assert_eq!(scratch, store);
    }

    #[test]
    fn undoing_every_change_gives_the_old_root_back(rounds in vec(changes(), 1..5), mut more in changes()) {
        let (model, mut store, root) = build(rounds);
        let original = store.clone();
        let mut after = model.clone();
        after.apply(&mut more);
        let (changed_root, updates, _) = update_state_root(&store, root, &more).expect("the store is complete");
        store.apply(&updates);

        let mut undo = HashedState::default();
        for key in more.accounts.keys().chain(more.storages.keys()) {
            let before = model.accounts.get(key);
            undo.accounts.insert(*key, before.map(|(account, _)| *account));
            if let Some((_, slots)) = before {
                undo.storages.insert(*key, HashedStorage { wiped: true, slots: slots.clone() });
            }
        }
        let (undone_root, updates, _) = update_state_root(&store, changed_root, &undo).expect("the store is complete");
        store.apply(&updates);
        prop_assert_eq!(undone_root, root);
        prop_assert_eq!(store, original);
    }
}

#[test]
fn no_changes_read_and_write_nothing() {
    let root = B256::repeat_byte(0x77); // no node of it exists
    let (after, updates, _) = update_state_root(&MemoryNodes::default(), root, &HashedState::default()).expect("nothing is read");
    assert_eq!(after, root);
    assert_eq!(updates, TrieUpdates::default());
}

#[test]
fn storage_below_no_account_is_an_error() {
    let key = keccak256_of(1);
    let mut changes = HashedState::default();
    changes.storages.entry(key).or_default().slots.insert(B256::ZERO, U256::ONE);
    let result = update_state_root(&MemoryNodes::default(), EMPTY_ROOT_HASH, &changes);
    assert_eq!(result.map(|_| ()), Err(TrieError::StorageWithoutAccount { hashed_address: key }));

    // Zeros alone leave no storage, so there is nothing to object to.
    changes.storages.entry(key).or_default().slots.insert(B256::ZERO, U256::ZERO);
    let (root, updates, roots) =
        update_state_root(&MemoryNodes::default(), EMPTY_ROOT_HASH, &changes).expect("no storage is left");
    assert_eq!((root, updates), (EMPTY_ROOT_HASH, TrieUpdates::default()));
    assert_eq!(roots, BTreeMap::from([(key, EMPTY_ROOT_HASH)]));
}

#[test]
fn deleting_an_account_drops_its_storage_and_ignores_its_writes() {
    let key = keccak256_of(1);
    let mut changes = HashedState::default();
    changes.accounts.insert(key, Some(HashedAccount::default()));
    changes.storages.entry(key).or_default().slots.insert(B256::ZERO, U256::ONE);
    let (_, store, root) = build(vec![changes.clone()]);

    changes.accounts.insert(key, None);
    let (root, updates, roots) = update_state_root(&store, root, &changes).expect("the store is complete");
    assert_eq!(root, EMPTY_ROOT_HASH);
    assert_eq!(updates.wiped, BTreeSet::from([key]));
    assert_eq!(roots, BTreeMap::from([(key, EMPTY_ROOT_HASH)]));
    let mut store = store;
    store.apply(&updates);
    assert_eq!(store, MemoryNodes::default());
}
