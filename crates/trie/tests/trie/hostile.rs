//! Nodes from a damaged store or a hostile witness: always an error that says where, never a panic or a wrong root.

use crate::model::{build, changes, key};
use alloy_primitives::{B256, Bytes, U256, hex, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::{
    EMPTY_ROOT_HASH,
    nodes::{ExtensionNodeRef, LeafNodeRef, RlpNode},
};
use oceanid_trie::{
    HashedAccount, HashedState, Nibbles, NodeFault, NodeReader, TrieError, WitnessNodes, account_proof, get_account, get_storage,
    storage_proof, storage_root_update, update_state_root,
};
use proptest::{collection::vec, prelude::*, sample::Index};
use std::{collections::BTreeMap, convert::Infallible};

/// A store in which one bit of one node has turned.
struct Damaged<R> {
    inner: R,
    hash: B256,
    bit: Index,
}

impl<R: NodeReader<Error = Infallible>> NodeReader for Damaged<R> {
    type Error = Infallible;

    fn node(&self, owner: Option<B256>, path: &Nibbles, hash: B256) -> Result<Option<Bytes>, Infallible> {
        let node = self.inner.node(owner, path, hash)?;
        Ok(node.map(|rlp| {
            let mut rlp = rlp.to_vec();
            if hash == self.hash {
                let bit = self.bit.index(rlp.len() * 8);
                rlp[bit / 8] ^= 1 << (bit % 8);
            }
            rlp.into()
        }))
    }
}

/// Runs everything that reads below `root`; whatever it finds, it must return.
fn use_everything(reader: &WitnessNodes, root: B256, keys: &[B256], block: &HashedState) {
    for key in keys {
        let _ = account_proof(reader, root, *key);
        let _ = storage_proof(reader, *key, root, *key);
    }
    let _ = update_state_root(reader, root, block);
    let slots: BTreeMap<_, _> = keys.iter().enumerate().map(|(index, key)| (*key, U256::from(index % 3))).collect();
    let _ = storage_root_update(reader, keys[0], root, &slots);
}

proptest! {
    #[test]
    fn a_turned_bit_is_a_wrong_hash(rounds in vec(changes(), 1..4), mut block in changes(), which: Index, bit: Index) {
        let (mut model, store, root) = build(rounds);
        model.apply(&mut block);
        let nodes: Vec<_> = store.iter().map(|(_, _, rlp)| keccak256(rlp)).collect();
        prop_assume!(!nodes.is_empty());
        let damaged = Damaged { inner: &store, hash: *which.get(&nodes), bit };
        let expected = update_state_root(&store, root, &block);
        match update_state_root(&damaged, root, &block) {
            Err(TrieError::WrongHash { hash, .. }) => prop_assert_eq!(hash, damaged.hash),
            other => prop_assert_eq!(other, expected, "the damaged node was not needed"),
        }
    }

    /// The root is the attacker's here: its hash is right, its bytes are a real node with some bytes changed.
    #[test]
    fn mutated_nodes_never_panic(
        rounds in vec(changes(), 1..4),
        block in changes(),
        keys in vec(key(), 8),
        which: Index,
        edits in vec((any::<Index>(), any::<u8>()), 0..4),
        cut in prop::option::weighted(0.2, any::<Index>()),
    ) {
        let (_, store, _) = build(rounds);
        let mut nodes: Vec<Bytes> = store.iter().map(|(_, _, rlp)| rlp.clone()).collect();
        prop_assume!(!nodes.is_empty());
        let mut rlp = which.get(&nodes).to_vec();
        for (at, byte) in edits {
            let at = at.index(rlp.len());
            rlp[at] = byte;
        }
        if let Some(cut) = cut {
            rlp.truncate(cut.index(rlp.len()));
        }
        let root = keccak256(&rlp);
        nodes.push(rlp.into());
        use_everything(&WitnessNodes::from_nodes(nodes), root, &keys, &block);
    }

    #[test]
    fn random_bytes_never_panic(rlp in vec(any::<u8>(), 0..600), block in changes(), keys in vec(key(), 4)) {
        let root = keccak256(&rlp);
        use_everything(&WitnessNodes::from_nodes([rlp.into()]), root, &keys, &block);
    }
}

/// Leaf of the account trie for the key of 32 bytes `0x11`, with any value.
fn leaf(value: &[u8]) -> (WitnessNodes, B256) {
    let mut rlp = Vec::new();
    LeafNodeRef::new(&Nibbles::unpack(B256::repeat_byte(0x11)), value).encode(&mut rlp);
    let root = keccak256(&rlp);
    (WitnessNodes::from_nodes([rlp.into()]), root)
}

#[test]
fn a_value_that_is_no_account_is_an_error() {
    let key = B256::repeat_byte(0x11);
    for value in [&hex!("c0")[..], &hex!("01"), &[], &hex!("c50101010101")] {
        let (witness, root) = leaf(value);
        let is_invalid = |error| matches!(error, TrieError::InvalidValue { owner: None, key: k, .. } if k == key);
        assert!(get_account(&witness, root, key).is_err_and(is_invalid), "{value:?}");
        let mut changes = HashedState::default();
        changes.accounts.insert(key, Some(HashedAccount::default()));
        assert!(update_state_root(&witness, root, &changes).is_err_and(is_invalid), "{value:?}");
    }
}

#[test]
fn a_stored_zero_or_oversized_value_is_an_error() {
    let key = B256::repeat_byte(0x11);
    for value in [&hex!("80")[..], &hex!("00"), &hex!("c0"), &[], &[0xa1; 34]] {
        let (witness, root) = leaf(value);
        let is_invalid = |error| matches!(error, TrieError::InvalidValue { owner: Some(o), key: k, .. } if o == k);
        assert!(get_storage(&witness, key, root, key).is_err_and(is_invalid), "{value:?}");
    }
}

#[test]
fn an_extension_to_a_leaf_is_an_error() {
    let mut child = Vec::new();
    let rest = Nibbles::unpack([0x11; 31]);
    LeafNodeRef::new(&rest, &[7]).encode(&mut child);
    let reference = RlpNode::from_rlp(&child);
    let mut root = Vec::new();
    let prefix = Nibbles::unpack([0x11]);
    ExtensionNodeRef::new(&prefix, &reference).encode(&mut root);
    let root_hash = keccak256(&root);
    let witness = WitnessNodes::from_nodes([root.into(), child.into()]);

    let owner = B256::repeat_byte(0xaa);
    let slots = BTreeMap::from([(B256::repeat_byte(0x11), U256::from(9))]);
    let result = storage_root_update(&witness, owner, root_hash, &slots);
    assert_eq!(
        result.map(|_| ()),
        Err(TrieError::InvalidNode { owner: Some(owner), path: prefix, fault: NodeFault::ExtensionChild })
    );
}

#[test]
fn an_unknown_root_is_a_missing_node_at_the_root() {
    let root = B256::repeat_byte(0x99);
    let missing = TrieError::MissingNode { owner: None, path: Nibbles::new(), hash: root };
    assert_eq!(get_account(&WitnessNodes::default(), root, EMPTY_ROOT_HASH), Err(missing));
}
