//! The engine: applies sorted changes to one trie in a single descent and encodes only what differs.
//!
//! # Invariants
//!
//! 1. The place of a branch is the prefix all its keys share, so a branch never moves; only leaves and extensions do.
//! 2. Each place is decided once, by whoever refers to it: its parent, or the caller for the root. That is why
//!    [`TrieUpdate::place`] and [`TrieUpdate::lift`] need nothing but "did a node with a hash of its own stand here before?",
//!    and why an update lists no place twice.
//! 3. A subtree that ends as it began is returned as [`Subtree::Stored`], and nothing below it is written.

use crate::{
    error::{NodeFault, TrieError},
    node::{BRANCH_CHILDREN, Node},
    reader::{NodeReader, decode, fetch, invalid},
    state::{NodeUpdate, StoredNode},
};
use alloc::vec::Vec;
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::{
    EMPTY_ROOT_HASH, Nibbles, TrieMask,
    nodes::{BranchNodeRef, ExtensionNodeRef, LeafNodeRef, RlpNode},
};
use core::{mem, ops::Range};

/// One trie being updated.
///
/// `keys` are the changed keys, strictly ascending. `apply(i, old, new)` is called once for each of them, in order, with
/// the value at `keys[i]` (if any); it appends the new value to `new`, or leaves it empty to delete the key.
pub(crate) struct TrieUpdate<'a, R, F> {
    reader: &'a R,
    owner: Option<B256>,
    keys: &'a [B256],
    apply: F,
    /// Values of leaves that are not encoded yet, end to end.
    values: Vec<u8>,
    /// The value `apply` is writing.
    value: Vec<u8>,
    /// The node being encoded.
    rlp: Vec<u8>,
    nodes: Vec<NodeUpdate>,
}

/// What stands, or will stand, at one place of the trie.
enum Subtree {
    Empty,
    /// As the parent refers to it in the old trie: of any kind, and not changed.
    Stored(RlpNode),
    /// A leaf that is not encoded yet; `value` is a range of [`TrieUpdate::values`].
    Leaf {
        key: Nibbles,
        value: Range<usize>,
    },
    /// A branch that is stored or written already, `prefix` nibbles below this place. With a prefix, an extension that is
    /// not encoded yet; without one, the branch stands at this very place.
    Branch {
        prefix: Nibbles,
        node: RlpNode,
    },
}

impl Subtree {
    /// What a branch's child slot refers to; an empty slice is an absent child.
    fn stored(child: &[u8]) -> Self {
        if child.is_empty() { Self::Empty } else { Self::Stored(reference(child)) }
    }

    /// Takes the subtree out of a branch's child slot.
    const fn take(&mut self) -> Self {
        mem::replace(self, Self::Empty)
    }

    const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Whether, before any change, a node with a hash of its own stands at this very place.
    fn has_own_node(&self) -> bool {
        match self {
            Self::Stored(node) => node.is_hash(),
            Self::Branch { prefix, node } => prefix.is_empty() && node.is_hash(),
            Self::Empty | Self::Leaf { .. } => false,
        }
    }

    /// The same subtree seen from `above` nibbles higher. A stored one must have been [lifted](TrieUpdate::lift) first.
    fn under(self, above: &Nibbles) -> Self {
        match self {
            Self::Leaf { key, value } => Self::Leaf { key: above.join(&key), value },
            Self::Branch { prefix, node } => Self::Branch { prefix: above.join(&prefix), node },
            kept @ (Self::Empty | Self::Stored(_)) => kept,
        }
    }
}

type Updated<R, T = Subtree> = Result<T, TrieError<<R as NodeReader>::Error>>;

impl<'a, R, F> TrieUpdate<'a, R, F>
where
    R: NodeReader,
    F: FnMut(usize, Option<&[u8]>, &mut Vec<u8>) -> Result<(), TrieError<R::Error>>,
{
    /// Updates the trie of `root` and returns its new root with every node that differs.
    pub(crate) fn run(
        reader: &'a R,
        owner: Option<B256>,
        root: B256,
        keys: &'a [B256],
        apply: F,
    ) -> Updated<R, (B256, Vec<NodeUpdate>)> {
        debug_assert!(keys.is_sorted_by(|a, b| a < b), "keys are strictly ascending");
        if keys.is_empty() {
            return Ok((root, Vec::new()));
        }
        let before = if root == EMPTY_ROOT_HASH { Subtree::Empty } else { Subtree::Stored(RlpNode::word_rlp(&root)) };
        let mut trie = Self {
            reader,
            owner,
            keys,
            apply,
            values: Vec::new(),
            value: Vec::new(),
            rlp: Vec::new(),
            nodes: Vec::with_capacity(keys.len()),
        };
        let after = trie.update(&Nibbles::new(), before, 0..keys.len())?;
        let root = trie.finish(root, after);
        Ok((root, trie.nodes))
    }

    /// Settles the root. Unlike any other node it is stored under its hash even when shorter than 32 bytes.
    fn finish(&mut self, old: B256, root: Subtree) -> B256 {
        let place = Nibbles::new();
        match root {
            Subtree::Stored(_) => return old,
            Subtree::Empty => {
                if old != EMPTY_ROOT_HASH {
                    self.remove(place);
                }
                return EMPTY_ROOT_HASH;
            }
            Subtree::Leaf { key, value } => self.encode_leaf(&key, value),
            Subtree::Branch { prefix, node } if prefix.is_empty() => {
                if let Some(hash) = node.as_hash() {
                    return hash;
                }
                self.rlp.clear();
                self.rlp.extend_from_slice(&node);
            }
            Subtree::Branch { prefix, node } => self.encode_extension(&prefix, &node),
        }
        let hash = keccak256(&self.rlp);
        self.write(place, hash);
        hash
    }

    /// Applies `changes` (a range of `keys`, never empty, all below `path`) to the subtree at `path`.
    fn update(&mut self, path: &Nibbles, subtree: Subtree, changes: Range<usize>) -> Updated<R> {
        let node = match subtree {
            Subtree::Empty => return self.insert(path, changes),
            Subtree::Leaf { key, value } => return self.update_leaf(path, key, value, changes),
            Subtree::Branch { prefix, node } => return self.update_below(path, prefix, node, changes),
            Subtree::Stored(node) => node,
        };
        let rlp = self.load(path, &node)?;
        match decode(self.owner, path, &rlp)? {
            Node::Leaf { key, value: old } => {
                let value = self.keep_value(old);
                let updated = self.update_leaf(path, key, value, changes)?;
                match &updated {
                    Subtree::Leaf { key: k, value: v } if *k == key && self.values[v.clone()] == *old => {
                        Ok(Subtree::Stored(node))
                    }
                    _ => Ok(updated),
                }
            }
            Node::Extension { key, child } => {
                let child = reference(child);
                let updated = self.update_below(path, key, child.clone(), changes)?;
                match &updated {
                    Subtree::Branch { prefix, node: n } if *prefix == key && *n == child => Ok(Subtree::Stored(node)),
                    _ => Ok(updated),
                }
            }
            Node::Branch { children } => {
                let mut children = children.map(Subtree::stored);
                self.update_branch(path, &mut children, Some(node), changes)
            }
        }
    }

    /// Applies changes where the trie has nothing.
    fn insert(&mut self, path: &Nibbles, changes: Range<usize>) -> Updated<R> {
        let depth = path.len();
        let first = self.key(changes.start);
        if changes.len() == 1 {
            return self.apply(changes.start, first.slice(depth..), None);
        }
        let shared = first.common_prefix_length(&self.key(changes.end - 1));
        let prefix = first.slice(depth..shared);
        let updated = self.update_branch(&first.slice(..shared), &mut no_children(), None, changes)?;
        Ok(updated.under(&prefix))
    }

    /// Applies changes to a leaf with `key` below `path`.
    fn update_leaf(&mut self, path: &Nibbles, key: Nibbles, value: Range<usize>, changes: Range<usize>) -> Updated<R> {
        let place = path.join(&key);
        let shared = self.shared_with(&place, &changes);
        if shared == place.len() {
            return self.apply(changes.start, key, Some(value));
        }
        let split = shared - path.len();
        let mut children = no_children();
        children[usize::from(key.get_unchecked(split))] = Subtree::Leaf { key: key.slice(split + 1..), value };
        let updated = self.update_branch(&place.slice(..shared), &mut children, None, changes)?;
        Ok(updated.under(&key.slice(..split)))
    }

    /// Applies changes to a stored branch, `prefix` nibbles below `path`.
    fn update_below(&mut self, path: &Nibbles, prefix: Nibbles, node: RlpNode, changes: Range<usize>) -> Updated<R> {
        let place = path.join(&prefix);
        let shared = self.shared_with(&place, &changes);
        if shared < place.len() {
            let split = shared - path.len();
            let mut children = no_children();
            children[usize::from(prefix.get_unchecked(split))] = Subtree::Branch { prefix: prefix.slice(split + 1..), node };
            let updated = self.update_branch(&place.slice(..shared), &mut children, None, changes)?;
            return Ok(updated.under(&prefix.slice(..split)));
        }

        let rlp = self.load(&place, &node)?;
        let Node::Branch { children } = decode(self.owner, &place, &rlp)? else {
            return Err(invalid(self.owner, &place, NodeFault::ExtensionChild));
        };
        let mut children = children.map(Subtree::stored);
        match self.update_branch(&place, &mut children, Some(node.clone()), changes)? {
            Subtree::Stored(node) => Ok(Subtree::Branch { prefix, node }),
            // The branch stood at `path` itself: that place is the caller's to decide.
            updated if prefix.is_empty() => Ok(updated),
            updated => Ok(self.lift(&place, node.is_hash(), updated)?.under(&prefix)),
        }
    }

    /// Applies changes to the children of a branch at `path`. `old` is the branch as it was, `None` if it was not there
    /// and this is a leaf, an extension or nothing seen as one. The children are used up.
    fn update_branch(
        &mut self,
        path: &Nibbles,
        children: &mut [Subtree; BRANCH_CHILDREN],
        old: Option<RlpNode>,
        changes: Range<usize>,
    ) -> Updated<R> {
        let mut had_node = TrieMask::default();
        for (nibble, child) in (0u8..).zip(&*children) {
            if child.has_own_node() {
                had_node.set_bit(nibble);
            }
        }

        let mut changed = false;
        let mut next = changes.start;
        while next < changes.end {
            let nibble = nibble_at(&self.keys[next], path.len());
            let rest = &self.keys[next..changes.end];
            let end = next + rest.partition_point(|key| nibble_at(key, path.len()) == nibble);
            let child = &mut children[usize::from(nibble)];
            let was_empty = child.is_empty();
            let after = self.update(&below(path, nibble), child.take(), next..end)?;
            changed |= match after {
                Subtree::Stored(_) => false,
                Subtree::Empty => !was_empty,
                Subtree::Leaf { .. } | Subtree::Branch { .. } => true,
            };
            children[usize::from(nibble)] = after;
            next = end;
        }
        if let (Some(old), false) = (old, changed) {
            return Ok(Subtree::Stored(old));
        }

        if children.iter().filter(|child| !child.is_empty()).count() < 2 {
            let mut only = Subtree::Empty;
            for (nibble, child) in (0u8..).zip(children) {
                let lifted = self.lift(&below(path, nibble), had_node.is_bit_set(nibble), child.take())?;
                if !lifted.is_empty() {
                    only = lifted.under(&below(&Nibbles::new(), nibble));
                }
            }
            return Ok(only);
        }

        let mut stack: [RlpNode; BRANCH_CHILDREN] = Default::default();
        let mut count = 0;
        let mut mask = TrieMask::default();
        for (nibble, child) in (0u8..).zip(children) {
            if let Some(reference) = self.place(&below(path, nibble), had_node.is_bit_set(nibble), child.take()) {
                stack[count] = reference;
                count += 1;
                mask.set_bit(nibble);
            }
        }
        self.rlp.clear();
        BranchNodeRef::new(&stack[..count], mask).encode(&mut self.rlp);
        let node = RlpNode::from_rlp(&self.rlp);
        if let Some(hash) = node.as_hash() {
            self.write(*path, hash);
        }
        Ok(Subtree::Branch { prefix: Nibbles::new(), node })
    }

    /// Gives `subtree` its final place at `path` and returns the reference to it, `None` if there is nothing.
    fn place(&mut self, path: &Nibbles, had_node: bool, subtree: Subtree) -> Option<RlpNode> {
        let reference = match subtree {
            Subtree::Stored(node) => return Some(node),
            Subtree::Branch { prefix, node } if prefix.is_empty() => Some(node),
            Subtree::Empty => None,
            Subtree::Leaf { key, value } => {
                self.encode_leaf(&key, value);
                Some(self.write_if_hashed(path))
            }
            Subtree::Branch { prefix, node } => {
                self.encode_extension(&prefix, &node);
                Some(self.write_if_hashed(path))
            }
        };
        if had_node && !reference.as_ref().is_some_and(|node| node.is_hash()) {
            self.remove(*path);
        }
        reference
    }

    /// Frees `path` from `subtree`, which is about to become part of a node further up. Only a branch stays where it is.
    fn lift(&mut self, path: &Nibbles, had_node: bool, subtree: Subtree) -> Updated<R> {
        let lifted = match subtree {
            Subtree::Stored(node) => {
                let rlp = self.load(path, &node)?;
                match decode(self.owner, path, &rlp)? {
                    Node::Leaf { key, value } => Subtree::Leaf { key, value: self.keep_value(value) },
                    Node::Extension { key, child } => Subtree::Branch { prefix: key, node: reference(child) },
                    Node::Branch { .. } => Subtree::Branch { prefix: Nibbles::new(), node },
                }
            }
            other => other,
        };
        if had_node && !lifted.has_own_node() {
            self.remove(*path);
        }
        Ok(lifted)
    }

    /// Lets the caller decide the value of `keys[index]`, whose leaf has `key` left.
    fn apply(&mut self, index: usize, key: Nibbles, old: Option<Range<usize>>) -> Updated<R> {
        self.value.clear();
        (self.apply)(index, old.map(|range| &self.values[range]), &mut self.value)?;
        if self.value.is_empty() {
            return Ok(Subtree::Empty);
        }
        let start = self.values.len();
        self.values.extend_from_slice(&self.value);
        Ok(Subtree::Leaf { key, value: start..self.values.len() })
    }

    fn keep_value(&mut self, value: &[u8]) -> Range<usize> {
        let start = self.values.len();
        self.values.extend_from_slice(value);
        start..self.values.len()
    }

    /// The bytes of the node at `path`: read by hash, or embedded in the reference itself.
    fn load(&self, path: &Nibbles, node: &RlpNode) -> Updated<R, Bytes> {
        match node.as_hash() {
            Some(hash) => fetch(self.reader, self.owner, path, hash),
            None => Ok(Bytes::copy_from_slice(node)),
        }
    }

    fn key(&self, index: usize) -> Nibbles {
        Nibbles::unpack_array(&self.keys[index].0)
    }

    /// Nibbles of `place` that every changed key shares. The keys are sorted, so the first and the last tell.
    fn shared_with(&self, place: &Nibbles, changes: &Range<usize>) -> usize {
        let first = place.common_prefix_length(&self.key(changes.start));
        if changes.len() == 1 {
            return first;
        }
        first.min(place.common_prefix_length(&self.key(changes.end - 1)))
    }

    fn encode_leaf(&mut self, key: &Nibbles, value: Range<usize>) {
        self.rlp.clear();
        LeafNodeRef::new(key, &self.values[value]).encode(&mut self.rlp);
    }

    fn encode_extension(&mut self, prefix: &Nibbles, branch: &RlpNode) {
        self.rlp.clear();
        ExtensionNodeRef::new(prefix, branch).encode(&mut self.rlp);
    }

    /// Refers to the encoded node, and writes it if it is too long to be embedded.
    fn write_if_hashed(&mut self, path: &Nibbles) -> RlpNode {
        let node = RlpNode::from_rlp(&self.rlp);
        if let Some(hash) = node.as_hash() {
            self.write(*path, hash);
        }
        node
    }

    fn write(&mut self, path: Nibbles, hash: B256) {
        let node = Some(StoredNode { hash, rlp: Bytes::copy_from_slice(&self.rlp) });
        self.nodes.push(NodeUpdate { owner: self.owner, path, node });
    }

    fn remove(&mut self, path: Nibbles) {
        self.nodes.push(NodeUpdate { owner: self.owner, path, node: None });
    }
}

/// The children of a branch that is not there.
fn no_children() -> [Subtree; BRANCH_CHILDREN] {
    [const { Subtree::Empty }; BRANCH_CHILDREN]
}

/// The reference to a child of a decoded node.
fn reference(child: &[u8]) -> RlpNode {
    RlpNode::from_raw(child).expect("decoding has checked that a child reference has at most 33 bytes")
}

/// The path of a branch's child.
fn below(path: &Nibbles, nibble: u8) -> Nibbles {
    let mut path = *path;
    path.push(nibble);
    path
}

fn nibble_at(key: &B256, depth: usize) -> u8 {
    let byte = key[depth / 2];
    if depth.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f }
}
