//! The speculative tree: executed blocks above the committed head, by hash.

use alloy_primitives::{B256, map::HashMap};
use oceanid_store::{ExecutedBlock, StateView};
use std::{collections::VecDeque, sync::Arc};

/// Executed blocks that are not committed. The first in is the first out when it is full.
#[derive(Debug)]
pub(crate) struct Tree {
    blocks: HashMap<B256, Arc<ExecutedBlock>>,
    order: VecDeque<B256>,
    bytes: usize,
    max_blocks: usize,
    max_bytes: usize,
}

impl Tree {
    pub(crate) fn new(max_blocks: usize, max_bytes: usize) -> Self {
        Self { blocks: HashMap::default(), order: VecDeque::new(), bytes: 0, max_blocks, max_bytes }
    }

    pub(crate) fn get(&self, hash: &B256) -> Option<&Arc<ExecutedBlock>> {
        self.blocks.get(hash)
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) fn insert(&mut self, block: Arc<ExecutedBlock>) {
        let (hash, bytes) = (block.hash(), block.bytes());
        if self.blocks.insert(hash, block).is_some() {
            return;
        }
        self.order.push_back(hash);
        self.bytes += bytes;
        while self.order.len() > 1 && (self.order.len() > self.max_blocks || self.bytes > self.max_bytes) {
            let oldest = self.order.front().copied().expect("more than one");
            tracing::warn!(block = %oldest, "the speculative tree is full: its oldest block is dropped");
            self.remove(&oldest);
        }
    }

    /// Drops everything that a committed block of that number makes moot.
    pub(crate) fn prune(&mut self, committed: u64) {
        let moot: Vec<B256> =
            self.blocks.values().filter(|block| block.number() <= committed).map(|block| block.hash()).collect();
        moot.iter().for_each(|hash| self.remove(hash));
    }

    /// Drops the blocks above that number: a recovery on L1 has left them behind.
    pub(crate) fn drop_above(&mut self, number: u64) {
        let dead: Vec<B256> = self.blocks.values().filter(|block| block.number() > number).map(|block| block.hash()).collect();
        dead.iter().for_each(|hash| self.remove(hash));
    }

    fn remove(&mut self, hash: &B256) {
        if let Some(block) = self.blocks.remove(hash) {
            self.bytes -= block.bytes();
            self.order.retain(|other| other != hash);
        }
    }

    /// The state after the block `tip`, over the committed state `view`; none if they are not connected.
    pub(crate) fn view_of(&self, view: StateView, tip: B256) -> Option<StateView> {
        let mut path = Vec::new();
        let mut cursor = tip;
        while cursor != view.hash() {
            let block = self.blocks.get(&cursor).filter(|block| block.number() > view.number())?;
            cursor = block.block().header().parent_hash;
            path.push(block.clone());
        }
        Some(path.into_iter().rev().fold(view, StateView::extend))
    }
}
