//! What a server serves: the chain's data, its pool, and what only one kind of chain has.

use crate::Pages;
use alloy_primitives::{Address, B256, U256};
use oceanid_chain::Ledger;
use oceanid_pool::Pool;
use oceanid_primitives::Header;
use oceanid_stf::{Rules, ethereum_next_base_fee, next_base_fee};
use oceanid_store::{CommittedBlock, Store};
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::broadcast;

/// A chain behind the RPC.
#[derive(Clone)]
pub struct Backend {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Blocks and state.
    pub store: Store,
    /// Pending transactions.
    pub pool: Arc<Pool>,
    /// Gives a receiver that is told of every committed block, after the store shows it.
    pub commits: Arc<dyn Fn() -> broadcast::Receiver<Arc<CommittedBlock>> + Send + Sync>,
    /// The rest.
    pub network: Network,
    /// What answers GET requests; none: they are refused.
    pub pages: Option<Arc<dyn Pages>>,
}

/// Which kind of chain.
#[derive(Clone)]
pub enum Network {
    /// A Layer 2 node.
    Rollup {
        /// Specification and committees.
        ledger: Ledger,
        /// Everything only the node knows.
        status: Arc<dyn NodeStatus>,
    },
    /// The embedded L1.
    Ethereum {
        /// Blocks below the head that count as `safe` and `finalized`.
        finality_depth: u64,
        /// Development methods; none: they do not exist.
        dev: Option<Arc<dyn DevHooks>>,
    },
}

impl Backend {
    /// A Layer 2 node.
    pub fn rollup(ledger: Ledger, pool: Arc<Pool>, status: Arc<dyn NodeStatus>) -> Self {
        let commits = {
            let ledger = ledger.clone();
            Arc::new(move || ledger.subscribe())
        };
        let (chain_id, store) = (ledger.spec().chain_id, ledger.store().clone());
        Self { chain_id, store, pool, commits, network: Network::Rollup { ledger, status }, pages: None }
    }

    /// The embedded L1. `commits` is told of every block after it is in the store.
    pub fn ethereum(
        chain_id: u64,
        store: Store,
        pool: Arc<Pool>,
        commits: broadcast::Sender<Arc<CommittedBlock>>,
        finality_depth: u64,
        dev: Option<Arc<dyn DevHooks>>,
    ) -> Self {
        let commits = Arc::new(move || commits.subscribe());
        Self { chain_id, store, pool, commits, network: Network::Ethereum { finality_depth, dev }, pages: None }
    }

    /// The same with answers to GET requests.
    pub fn with_pages(mut self, pages: Arc<dyn Pages>) -> Self {
        self.pages = Some(pages);
        self
    }

    /// The state transition's rules.
    pub(crate) fn rules(&self) -> Rules {
        match &self.network {
            Network::Rollup { ledger, .. } => Rules::rollup(ledger.spec()),
            Network::Ethereum { .. } => Rules::Ethereum,
        }
    }

    /// Base fee of the block after `parent`, wei per gas.
    pub(crate) fn next_base_fee(&self, parent: &Header) -> u64 {
        match &self.network {
            Network::Rollup { ledger, .. } => next_base_fee(parent, &ledger.spec().fees),
            Network::Ethereum { .. } => ethereum_next_base_fee(parent),
        }
    }

    /// Numbers of the `safe` and of the `finalized` block.
    pub(crate) fn marks(&self) -> (u64, u64) {
        match &self.network {
            Network::Rollup { .. } => {
                let marks = self.store.marks();
                (marks.safe, marks.finalized)
            }
            Network::Ethereum { finality_depth, .. } => {
                let deep = self.store.head().number.saturating_sub(*finality_depth);
                (deep, deep)
            }
        }
    }
}

/// What a Layer 2 node knows and its store does not. Called for every request that asks for it: answers come from memory.
pub trait NodeStatus: Send + Sync {
    /// Connected peers.
    fn peers(&self) -> usize;

    /// Progress of catching up; none when the node is at the tip it knows of.
    fn syncing(&self) -> Option<SyncProgress>;

    /// L1 as the node sees it.
    fn l1(&self) -> L1Heads;

    /// The body of `seq_status`.
    fn report(&self) -> StatusReport;
}

/// How far catching up has come, block numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncProgress {
    /// Where it began.
    pub starting: u64,
    /// Now.
    pub current: u64,
    /// Where it leads.
    pub highest: u64,
}

/// An L1 block, as `optimism_syncStatus` writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct L1Ref {
    /// Hash.
    pub hash: B256,
    /// Number.
    pub number: u64,
    /// Parent hash.
    pub parent_hash: B256,
    /// Seconds since 1970.
    pub timestamp: u64,
}

/// L1 blocks a node tracks; all zero before the first contact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct L1Heads {
    /// Up to which L1 block deposits and batches have been read.
    pub current: L1Ref,
    /// L1's head.
    pub head: L1Ref,
    /// L1's safe block.
    pub safe: L1Ref,
    /// L1's finalized block.
    pub finalized: L1Ref,
}

/// `seq_status`: what the node does and why it waits.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusReport {
    /// `sequencer` or `follower`.
    pub role: String,
    /// One line per reason for not progressing; empty when all is well.
    pub waiting: Vec<Waiting>,
    /// Consensus: epoch, view, leader, votes; absent on a follower.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consensus: Option<serde_json::Value>,
    /// Batches and data availability: backlog, last batch on L1, mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settlement: Option<serde_json::Value>,
}

/// A reason for not progressing, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// What is missing.
    pub reason: String,
    /// What to do.
    pub remedy: String,
    /// For how long, milliseconds.
    pub for_ms: u64,
}

/// Development methods of the embedded L1. They may block; the error is shown to the caller.
pub trait DevHooks: Send + Sync {
    /// Mines that many blocks now.
    fn mine(&self, blocks: u64) -> Result<(), String>;

    /// Moves the clock forward; returns the total offset, seconds.
    fn increase_time(&self, seconds: u64) -> Result<u64, String>;

    /// The next block has this timestamp, seconds since 1970.
    fn set_next_block_timestamp(&self, timestamp: u64) -> Result<(), String>;

    /// Sets a balance, wei.
    fn set_balance(&self, address: Address, balance: U256) -> Result<(), String>;
}
