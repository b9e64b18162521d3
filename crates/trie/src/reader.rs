//! Where nodes come from: the reader trait, a path-keyed map, a hash-keyed witness and the recorder that makes one.

use crate::{
    error::{NodeFault, TrieError},
    node::Node,
    state::TrieUpdates,
};
use alloc::collections::BTreeMap;
use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::Nibbles;
use core::{cell::RefCell, convert::Infallible};

/// Where trie nodes come from.
///
/// The trie asks with both the path and the hash, so that a store keyed by path and a witness keyed by hash can both
/// answer. It always checks `keccak256(rlp) == hash` itself, so a reader needs to be honest only to be useful, never for
/// soundness: wrong bytes are an error, not a wrong root.
pub trait NodeReader {
    /// The reader's own failure, such as an I/O error.
    type Error;

    /// The RLP of one node, or `None` if the reader does not have it.
    ///
    /// `owner` is `None` for the account trie and `Some(keccak256(address))` for a storage trie; `path` counts nibbles
    /// from that trie's root.
    fn node(&self, owner: Option<B256>, path: &Nibbles, hash: B256) -> Result<Option<Bytes>, Self::Error>;
}

impl<R: NodeReader + ?Sized> NodeReader for &R {
    type Error = R::Error;

    fn node(&self, owner: Option<B256>, path: &Nibbles, hash: B256) -> Result<Option<Bytes>, Self::Error> {
        (**self).node(owner, path, hash)
    }
}

/// Nodes in memory by trie and path: the store's contract in its plainest form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryNodes {
    nodes: BTreeMap<(Option<B256>, Nibbles), Bytes>,
}

impl MemoryNodes {
    /// Takes the result of an update over: wiped storage tries first, then every changed node.
    pub fn apply(&mut self, updates: &TrieUpdates) {
        if !updates.wiped.is_empty() {
            self.nodes.retain(|(owner, _), _| owner.is_none_or(|owner| !updates.wiped.contains(&owner)));
        }
        for update in &updates.nodes {
            let place = (update.owner, update.path);
            match &update.node {
                Some(node) => self.nodes.insert(place, node.rlp.clone()),
                None => self.nodes.remove(&place),
            };
        }
    }

    /// Every node with its trie and path, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Option<B256>, &Nibbles, &Bytes)> {
        self.nodes.iter().map(|((owner, path), rlp)| (*owner, path, rlp))
    }
}

impl NodeReader for MemoryNodes {
    type Error = Infallible;

    fn node(&self, owner: Option<B256>, path: &Nibbles, _hash: B256) -> Result<Option<Bytes>, Infallible> {
        Ok(self.nodes.get(&(owner, *path)).cloned())
    }
}

/// Nodes by their hash: what a block touches, enough to recompute its root without the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WitnessNodes {
    nodes: BTreeMap<B256, Bytes>,
}

impl WitnessNodes {
    /// Builds a witness from bare nodes, as they stand in a block's execution witness.
    pub fn from_nodes(nodes: impl IntoIterator<Item = Bytes>) -> Self {
        nodes.into_iter().map(|rlp| (keccak256(&rlp), rlp)).collect()
    }

    /// Every node with its hash, in the order of the hashes, so that equal witnesses have equal encodings.
    pub fn iter(&self) -> impl Iterator<Item = (&B256, &Bytes)> {
        self.nodes.iter()
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node: the witness of a block over the empty state.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

/// Collects nodes under the hash each is *said* to have. No hashing happens here: the trie hashes each node it uses, once.
impl FromIterator<(B256, Bytes)> for WitnessNodes {
    fn from_iter<I: IntoIterator<Item = (B256, Bytes)>>(nodes: I) -> Self {
        Self { nodes: nodes.into_iter().collect() }
    }
}

impl NodeReader for WitnessNodes {
    type Error = Infallible;

    fn node(&self, _owner: Option<B256>, _path: &Nibbles, hash: B256) -> Result<Option<Bytes>, Infallible> {
        Ok(self.nodes.get(&hash).cloned())
    }
}

/// A reader that remembers every node it handed out: run a block over it, and what it remembers is the block's witness.
#[derive(Clone, Debug)]
pub struct Recorder<R> {
    inner: R,
    seen: RefCell<BTreeMap<B256, Bytes>>,
}

impl<R> Recorder<R> {
    /// Records what is read from `inner`.
    pub const fn new(inner: R) -> Self {
        Self { inner, seen: RefCell::new(BTreeMap::new()) }
    }

    /// The nodes read so far.
    pub fn into_witness(self) -> WitnessNodes {
        WitnessNodes { nodes: self.seen.into_inner() }
    }
}

impl<R: NodeReader> NodeReader for Recorder<R> {
    type Error = R::Error;

    fn node(&self, owner: Option<B256>, path: &Nibbles, hash: B256) -> Result<Option<Bytes>, Self::Error> {
        let node = self.inner.node(owner, path, hash)?;
        if let Some(rlp) = &node {
            self.seen.borrow_mut().insert(hash, rlp.clone());
        }
        Ok(node)
    }
}

/// Reads the node a parent refers to by hash, and checks that it is that node.
pub(crate) fn fetch<R: NodeReader>(
    reader: &R,
    owner: Option<B256>,
    path: &Nibbles,
    hash: B256,
) -> Result<Bytes, TrieError<R::Error>> {
    let rlp =
        reader.node(owner, path, hash).map_err(TrieError::Reader)?.ok_or(TrieError::MissingNode { owner, path: *path, hash })?;
    if keccak256(&rlp) != hash {
        return Err(TrieError::WrongHash { owner, path: *path, hash });
    }
    Ok(rlp)
}

/// Decodes the node at `path`, naming the place if it is invalid.
pub(crate) fn decode<'a, E>(owner: Option<B256>, path: &Nibbles, rlp: &'a [u8]) -> Result<Node<'a>, TrieError<E>> {
    Node::decode(rlp, path.len()).map_err(|fault| invalid(owner, path, fault))
}

/// The error for a node that breaks a rule.
pub(crate) fn invalid<E>(owner: Option<B256>, path: &Nibbles, fault: NodeFault) -> TrieError<E> {
    TrieError::InvalidNode { owner, path: *path, fault }
}
