//! What a builder is given: the consensus context, limits, and a source of transactions.

use alloy_primitives::{Address, B256};
use oceanid_primitives::TxEnvelope;
use std::sync::Arc;

/// Where in consensus a block is proposed; goes into its header extension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsensusContext {
    /// Epoch of the engine that asks; must be the epoch of the block's number.
    pub epoch: u64,
    /// View of the proposal.
    pub view: u64,
    /// View of the parent.
    pub parent_view: u64,
    /// Index of the proposer in the committee.
    pub leader: u32,
}

/// Limits of a block to build, beside the chain's gas limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildLimits {
    /// Bytes of the encoded block.
    pub max_bytes: usize,
}

impl Default for BuildLimits {
    /// One mebibyte.
    fn default() -> Self {
        Self { max_bytes: 1 << 20 }
    }
}

/// Gives transactions to a builder, best first.
pub trait TransactionSource {
    /// The next transaction and its sender; it should fit in what is left, or it is passed over.
    fn next(&mut self, gas_left: u64, bytes_left: usize) -> Option<(Arc<TxEnvelope>, Address)>;

    /// Tells that a transaction given by [`TransactionSource::next`] is invalid in the block's state, and why.
    fn reject(&mut self, hash: B256, reason: &str);
}

/// A list, in order; what is rejected is forgotten.
impl TransactionSource for std::collections::VecDeque<(Arc<TxEnvelope>, Address)> {
    fn next(&mut self, _gas_left: u64, _bytes_left: usize) -> Option<(Arc<TxEnvelope>, Address)> {
        self.pop_front()
    }

    fn reject(&mut self, _hash: B256, _reason: &str) {}
}
