//! A state with changes laid over it: speculative blocks above the store, or the overrides of an `eth_call`.

use crate::{AccountState, StateDiff, StateReader};
use alloc::{collections::BTreeMap, vec::Vec};
use alloy_primitives::{Address, B256, Bytes, U256};
use core::borrow::Borrow;

/// `base` with `layers` over it, the newest last. `D` is [`StateDiff`] or anything that lends one (`&StateDiff`, `Arc<..>`).
#[derive(Clone, Debug)]
pub struct Overlay<R, D = StateDiff> {
    /// The state below.
    pub base: R,
    /// Changes, oldest first.
    pub layers: Vec<D>,
    /// Hashes of blocks the base does not know.
    pub block_hashes: BTreeMap<u64, B256>,
}

impl<R, D> Overlay<R, D> {
    /// `base` without changes.
    pub const fn new(base: R) -> Self {
        Self { base, layers: Vec::new(), block_hashes: BTreeMap::new() }
    }

    /// The same with one more layer on top.
    pub fn with_layer(mut self, layer: D) -> Self {
        self.layers.push(layer);
        self
    }
}

impl<R> Overlay<R, StateDiff> {
    /// Applies changes to the top layer, so that a long run of transactions stays one layer.
    pub fn apply(&mut self, changes: StateDiff) {
        match self.layers.last_mut() {
            Some(top) => top.merge(changes),
            None => self.layers.push(changes),
        }
    }
}

impl<R: StateReader, D: Borrow<StateDiff>> StateReader for Overlay<R, D> {
    type Error = R::Error;

    fn account(&self, address: Address) -> Result<Option<AccountState>, Self::Error> {
        match self.layers.iter().rev().find_map(|layer| layer.borrow().account(&address)) {
            Some(account) => Ok(account),
            None => self.base.account(address),
        }
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        match self.layers.iter().rev().find_map(|layer| layer.borrow().slot(&address, &slot)) {
            Some(value) => Ok(value),
            None => self.base.storage(address, slot),
        }
    }

    fn code(&self, hash: B256) -> Result<Bytes, Self::Error> {
        match self.layers.iter().rev().find_map(|layer| layer.borrow().codes.get(&hash)) {
            Some(code) => Ok(code.clone()),
            None => self.base.code(hash),
        }
    }

    fn block_hash(&self, number: u64) -> Result<B256, Self::Error> {
        match self.block_hashes.get(&number) {
            Some(hash) => Ok(*hash),
            None => self.base.block_hash(number),
        }
    }
}

/// The state in which nothing exists: the ground of an [`Overlay`] that holds a whole state in memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyState;

impl StateReader for EmptyState {
    type Error = core::convert::Infallible;

    fn account(&self, _address: Address) -> Result<Option<AccountState>, Self::Error> {
        Ok(None)
    }

    fn storage(&self, _address: Address, _slot: U256) -> Result<U256, Self::Error> {
        Ok(U256::ZERO)
    }

    fn code(&self, _hash: B256) -> Result<Bytes, Self::Error> {
        Ok(Bytes::new())
    }

    fn block_hash(&self, _number: u64) -> Result<B256, Self::Error> {
        Ok(B256::ZERO)
    }
}
