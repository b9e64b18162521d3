//! Reads of one update, counted: the promise is "changed paths and collapsing siblings only".

use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use oceanid_trie::{MemoryNodes, Nibbles, NodeReader, get_storage, storage_root_update};
use std::{cell::Cell, collections::BTreeMap, convert::Infallible};

/// Counts how often nodes are read.
struct Counting<'a> {
    inner: &'a MemoryNodes,
    reads: Cell<usize>,
}

impl NodeReader for Counting<'_> {
    type Error = Infallible;

    fn node(&self, owner: Option<B256>, path: &Nibbles, hash: B256) -> Result<Option<Bytes>, Infallible> {
        self.reads.set(self.reads.get() + 1);
        self.inner.node(owner, path, hash)
    }
}

#[test]
fn one_descent_reads_each_node_once() {
    const SLOTS: u32 = 4_000;
    let owner = B256::ZERO;
    let slot = |index: u32| keccak256(index.to_be_bytes());
    let slots: BTreeMap<_, _> = (0..SLOTS).map(|index| (slot(index), U256::MAX)).collect();
    let empty = MemoryNodes::default();
    let (root, nodes) = storage_root_update(&empty, owner, EMPTY_ROOT_HASH, &slots).expect("nothing is read");
    let mut store = MemoryNodes::default();
    store.apply(&oceanid_trie::TrieUpdates { nodes, ..Default::default() });
    let total = store.iter().count();

    // All slots at once: every node, once.
    let all: BTreeMap<_, _> = slots.keys().map(|key| (*key, U256::ONE)).collect();
    let counting = Counting { inner: &store, reads: Cell::new(0) };
    storage_root_update(&counting, owner, root, &all).expect("the store is complete");
    assert_eq!(counting.reads.get(), total);

    // All slots deleted: still every node once, because a collapse finds no sibling left to read.
    let none: BTreeMap<_, _> = slots.keys().map(|key| (*key, U256::ZERO)).collect();
    let counting = Counting { inner: &store, reads: Cell::new(0) };
    let (emptied, removed) = storage_root_update(&counting, owner, root, &none).expect("the store is complete");
    assert_eq!((emptied, removed.len(), counting.reads.get()), (EMPTY_ROOT_HASH, total, total));

    // One slot: the nodes a plain read of it needs, no more.
    let plain = Counting { inner: &store, reads: Cell::new(0) };
    get_storage(&plain, owner, root, slot(7)).expect("the store is complete");
    let one = BTreeMap::from([(slot(7), U256::ONE)]);
    let counting = Counting { inner: &store, reads: Cell::new(0) };
    storage_root_update(&counting, owner, root, &one).expect("the store is complete");
    assert_eq!(counting.reads.get(), plain.reads.get());

    // The value it has: the same reads, and nothing to write.
    let same = BTreeMap::from([(slot(7), U256::MAX)]);
    assert_eq!(storage_root_update(&store, owner, root, &same), Ok((root, Vec::new())));
}
