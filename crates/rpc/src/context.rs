//! What every method has at hand: the backend, the limits, and the lookups all of them share.

use crate::arrivals::Arrivals;
use crate::backend::{Backend, Network};
use crate::config::RpcConfig;
use crate::door::Door;
use crate::error::{RpcError, RpcResult};
use crate::filters::Filters;
use crate::gate::Gates;
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, Bytes};
use oceanid_primitives::Header;
use oceanid_store::{CommittedBlock, StateView, TxLocation};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Blocks kept decoded, because clients ask for the receipts of the same few blocks again and again.
const CACHED_BLOCKS: usize = 32;

pub(crate) struct Context {
    pub(crate) backend: Backend,
    pub(crate) config: RpcConfig,
    pub(crate) gates: Gates,
    door: Door,
    pub(crate) filters: Filters,
    pub(crate) arrivals: Arc<Arrivals>,
    /// Places of all subscriptions.
    pub(crate) subscriptions: Arc<Semaphore>,
    cache: Mutex<VecDeque<Arc<CommittedBlock>>>,
}

impl Context {
    pub(crate) fn new(backend: Backend, config: RpcConfig) -> Self {
        let gates = Gates::new(&config);
        let filters = Filters::new(config.max_filters, config.filter_lifetime);
        let door = Door::open(Arc::clone(&backend.pool));
        let arrivals = Arc::new(Arrivals::new(backend.pool.subscribe()));
        let subscriptions = Arc::new(Semaphore::new(config.max_all_subscriptions));
        Self { backend, config, gates, door, filters, arrivals, subscriptions, cache: Mutex::default() }
    }

    /// Puts a signed transaction into the pool, unless it would stay there for ever, and returns its hash.
    pub(crate) async fn send(&self, raw: Bytes) -> RpcResult<B256> {
        if let Network::Rollup { status, .. } = &self.backend.network
            && let Some(reason) = status.refuses_transactions()
        {
            return Err(RpcError::server(reason));
        }
        self.door.send(raw).await
    }

    /// Number of the newest committed block.
    pub(crate) fn head(&self) -> u64 {
        self.backend.store.head().number
    }

    /// Number of a tag. `pending` is `latest`: what is not committed is no block.
    pub(crate) fn number(&self, tag: BlockNumberOrTag) -> u64 {
        match tag {
            BlockNumberOrTag::Number(number) => number,
            BlockNumberOrTag::Latest | BlockNumberOrTag::Pending => self.head(),
            BlockNumberOrTag::Earliest => 0,
            BlockNumberOrTag::Safe => self.backend.marks().0,
            BlockNumberOrTag::Finalized => self.backend.marks().1,
        }
    }

    /// Number of an existing block; none if there is no such block.
    pub(crate) fn find(&self, id: BlockId) -> RpcResult<Option<u64>> {
        match id {
            BlockId::Number(tag) => Ok(Some(self.number(tag)).filter(|number| *number <= self.head())),
            BlockId::Hash(hash) => Ok(self.backend.store.number_of(hash.block_hash)?),
        }
    }

    /// As [`Self::find`], where a missing block is an error.
    pub(crate) fn resolve(&self, id: BlockId) -> RpcResult<u64> {
        self.find(id)?.ok_or_else(|| match id {
            BlockId::Number(tag) => {
                RpcError::not_found(format!("block {} does not exist: the head is block {}", self.number(tag), self.head()))
            }
            BlockId::Hash(hash) => RpcError::not_found(format!("block {} does not exist", hash.block_hash)),
        })
    }

    /// State after a block; `latest` if none is named.
    pub(crate) fn state(&self, id: Option<BlockId>) -> RpcResult<StateView> {
        match id {
            None | Some(BlockId::Number(BlockNumberOrTag::Latest | BlockNumberOrTag::Pending)) => Ok(self.backend.store.view()),
            Some(id) => Ok(self.backend.store.view_at(self.resolve(id)?)?),
        }
    }

    /// Header of a block that must be there.
    pub(crate) fn header(&self, number: u64) -> RpcResult<Header> {
        let header = self.backend.store.header(number)?;
        header.ok_or_else(|| RpcError::not_found(format!("block {number} does not exist")))
    }

    /// A block that was asked for lately.
    pub(crate) fn kept_block(&self, number: u64) -> Option<Arc<CommittedBlock>> {
        self.cache.lock().iter().find(|block| block.block.number() == number).cloned()
    }

    /// A block with receipts and senders; none if there is no such block.
    pub(crate) fn block(&self, number: u64) -> RpcResult<Option<Arc<CommittedBlock>>> {
        if let Some(block) = self.kept_block(number) {
            return Ok(Some(block));
        }
        let block = self.backend.store.committed(number)?;
        if let Some(block) = &block {
            let mut cache = self.cache.lock();
            cache.truncate(CACHED_BLOCKS - 1);
            cache.push_front(block.clone());
        }
        Ok(block)
    }

    /// Where a committed transaction is, with its block.
    pub(crate) fn transaction(&self, hash: B256) -> RpcResult<Option<(Arc<CommittedBlock>, usize)>> {
        let Some(TxLocation { block, index }) = self.backend.store.tx_location(hash)? else { return Ok(None) };
        let block = self.block(block)?.ok_or_else(|| RpcError::internal(format!("block {block} of {hash} is missing")))?;
        Ok(Some((block, index as usize)))
    }

    /// True on Layer 2.
    pub(crate) const fn is_rollup(&self) -> bool {
        matches!(self.backend.network, Network::Rollup { .. })
    }
}
