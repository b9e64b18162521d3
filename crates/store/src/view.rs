//! A consistent state to read: the flushed state of the engine, with unflushed and speculative blocks as layers on top, or its past.

use crate::{
    ExecutedBlock, StoreError,
    engine::{Snapshot, Table},
    keys::{self, StateKey},
    proof::{PastTries, StateProof, TrieView},
    store::Head,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use oceanid_primitives::Header;
use oceanid_stf::{AccountState, StateReader};
use std::sync::Arc;

/// The flushed state.
pub(crate) struct Base {
    pub(crate) snapshot: Snapshot,
    /// Block whose state the tables hold.
    pub(crate) flushed: Head,
    /// Its state root.
    pub(crate) state_root: B256,
    /// Oldest block whose state history reaches.
    pub(crate) oldest: u64,
}

/// The state after one block, unchanged for as long as it is held. Cheap to clone; hold it briefly, because the engine keeps
/// what it refers to.
#[derive(Clone)]
pub struct StateView {
    base: Arc<Base>,
    /// Oldest first.
    layers: Vec<Arc<ExecutedBlock>>,
    /// Read the history of the base as of this block.
    past: Option<u64>,
    head: Head,
    state_root: B256,
    past_tries: Arc<PastTries>,
}

impl StateView {
    pub(crate) fn new(base: Arc<Base>, layers: Vec<Arc<ExecutedBlock>>, past_tries: Arc<PastTries>) -> Self {
        let (head, state_root) = match layers.last() {
            Some(layer) => (Head { number: layer.number(), hash: layer.hash() }, layer.block().header().state_root),
            None => (base.flushed, base.state_root),
        };
        Self { base, layers, past: None, head, state_root, past_tries }
    }

    pub(crate) fn past(base: Arc<Base>, header: &Header, hash: B256, past_tries: Arc<PastTries>) -> Self {
        let head = Head { number: header.number, hash };
        Self { base, layers: Vec::new(), past: Some(header.number), head, state_root: header.state_root, past_tries }
    }

    /// The block after which this is the state.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Its number.
    pub const fn number(&self) -> u64 {
        self.head.number
    }

    /// Its hash.
    pub const fn hash(&self) -> B256 {
        self.head.hash
    }

    /// Root of this state.
    pub const fn state_root(&self) -> B256 {
        self.state_root
    }

    /// The state after one more block, whose parent must be this view's block (the caller executed it on this view).
    pub fn extend(mut self, block: Arc<ExecutedBlock>) -> Self {
        debug_assert_eq!(block.block().header().parent_hash, self.head.hash, "a layer goes on its parent");
        self.head = Head { number: block.number(), hash: block.hash() };
        self.state_root = block.block().header().state_root;
        self.layers.push(block);
        self
    }

    /// The tries of this state. At the head this costs nothing; at a past block the changes since then are undone first (and the
    /// result cached), which fails beyond [`crate::MAX_PROOF_CHANGES`].
    pub fn trie(&self) -> Result<TrieView, StoreError> {
        match self.past {
            None => Ok(TrieView::present(self.clone())),
            Some(number) => self.past_tries.get(&self.base, number, self.state_root).map(TrieView::past),
        }
    }

    /// EIP-1186 proof of an account and some of its storage slots.
    pub fn proof(&self, address: Address, slots: &[U256]) -> Result<StateProof, StoreError> {
        StateProof::new(&self.trie()?, self.head.number, self.state_root, address, slots)
    }

    /// Node at a place of the present trie.
    pub(crate) fn node(&self, owner: Option<B256>, path: &oceanid_trie::Nibbles) -> Result<Option<Bytes>, StoreError> {
        for layer in self.layers.iter().rev() {
            if let Some(node) = layer.node(owner, path) {
                return Ok(node);
            }
        }
        self.base.node(owner, path)
    }

    /// Value of a state key in the engine, as of `past` if set.
    fn stored(&self, key: StateKey) -> Result<Option<fjall::UserValue>, StoreError> {
        let key = key.to_vec();
        if let Some(number) = self.past {
            let (from, to) = (keys::history(&key, number + 1), keys::history(&key, u64::MAX));
            if let Some((_, prior)) = self.base.snapshot.first(Table::History, &from, &to)? {
                return Ok(Some(prior));
            }
        }
        self.base.snapshot.get(Table::State, &key)
    }
}

impl Base {
    pub(crate) fn node(&self, owner: Option<B256>, path: &oceanid_trie::Nibbles) -> Result<Option<Bytes>, StoreError> {
        let node = self.snapshot.get(Table::Nodes, &keys::node(owner, path))?;
        Ok(node.map(|node| Bytes::copy_from_slice(&node)))
    }
}

impl StateReader for StateView {
    type Error = StoreError;

    fn account(&self, address: Address) -> Result<Option<AccountState>, StoreError> {
        if let Some(account) = self.layers.iter().rev().find_map(|layer| layer.diff().account(&address)) {
            return Ok(account);
        }
        self.stored(StateKey::Account(address))?.map_or(Ok(None), |value| keys::decode_account(&value))
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StoreError> {
        if let Some(value) = self.layers.iter().rev().find_map(|layer| layer.diff().slot(&address, &slot)) {
            return Ok(value);
        }
        self.stored(StateKey::Storage(address, slot))?.map_or(Ok(U256::ZERO), |value| keys::decode_slot(&value))
    }

    fn code(&self, hash: B256) -> Result<Bytes, StoreError> {
        if let Some(code) = self.layers.iter().rev().find_map(|layer| layer.diff().codes.get(&hash)) {
            return Ok(code.clone());
        }
        let code = self.base.snapshot.get(Table::State, &keys::tagged(keys::CODE, hash.as_slice()))?;
        code.map(|code| Bytes::copy_from_slice(&code))
            .ok_or_else(|| StoreError::damaged("code", format!("nothing with hash {hash}")))
    }

    /// Hash of an ancestor (or of this view's own block); zero for a number above it.
    fn block_hash(&self, number: u64) -> Result<B256, StoreError> {
        if number > self.head.number {
            return Ok(B256::ZERO);
        }
        if let Some(layer) = self.layers.iter().rev().find(|layer| layer.number() == number) {
            return Ok(layer.hash());
        }
        let hash = self.base.snapshot.get(Table::Index, &keys::numbered(keys::BY_NUMBER, number))?;
        match hash {
            Some(hash) if hash.len() == 32 => Ok(B256::from_slice(&hash)),
            _ => Err(StoreError::damaged("block index", format!("no hash of block {number}"))),
        }
    }
}

impl core::fmt::Debug for StateView {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StateView").field("head", &self.head).field("state_root", &self.state_root).finish_non_exhaustive()
    }
}
