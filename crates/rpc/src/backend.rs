//! What a server serves: the chain's data, its pool, and what only one kind of chain has.

use crate::Pages;
use alloy_consensus::TxEip1559;
use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use oceanid_chain::{BlockExtras, ImportedChain, Ledger};
use oceanid_pool::Pool;
use oceanid_primitives::Header;
use oceanid_stf::{Rules, StateDiff, StateReader, StorageDiff, ethereum_next_base_fee, next_base_fee};
use oceanid_store::{CommittedBlock, StateView, Store, StoreError};
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
        /// A chain made elsewhere, across forks; none: the embedded L1's own, Prague throughout.
        imported: Option<ImportedChain>,
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
        let network = Network::Ethereum { finality_depth, dev, imported: None };
        Self { chain_id, store, pool, commits, network, pages: None }
    }

    /// A chain that was imported and does not grow: every block is final.
    pub fn imported(chain: ImportedChain, pool: Arc<Pool>) -> Self {
        let (silent, _) = broadcast::channel(1);
        let (chain_id, store) = (chain.chain_id(), chain.store().clone());
        let network = Network::Ethereum { finality_depth: 0, dev: None, imported: Some(chain) };
        Self { chain_id, store, pool, commits: Arc::new(move || silent.subscribe()), network, pages: None }
    }

    /// The same with answers to GET requests.
    pub fn with_pages(mut self, pages: Arc<dyn Pages>) -> Self {
        self.pages = Some(pages);
        self
    }

    /// The rules of the block with that number and timestamp.
    pub(crate) fn rules_at(&self, number: u64, timestamp: u64) -> Rules {
        match &self.network {
            Network::Rollup { ledger, .. } => Rules::rollup(ledger.spec()),
            Network::Ethereum { imported: Some(chain), .. } => Rules::Ethereum(chain.forks().at(number, timestamp)),
            Network::Ethereum { imported: None, .. } => Rules::ETHEREUM,
        }
    }

    /// The rules of a block.
    pub(crate) fn rules(&self, header: &Header) -> Rules {
        self.rules_at(header.number, header.timestamp)
    }

    /// Wei a block pays its beneficiary beside fees: before the merge only.
    pub(crate) fn reward(&self, number: u64) -> u128 {
        match &self.network {
            Network::Ethereum { imported: Some(chain), .. } => chain.forks().reward(number),
            _ => 0,
        }
    }

    /// The chain that was imported, if this one was.
    pub(crate) const fn imported_chain(&self) -> Option<&ImportedChain> {
        match &self.network {
            Network::Ethereum { imported, .. } => imported.as_ref(),
            Network::Rollup { .. } => None,
        }
    }

    /// What a block has beside header and transactions.
    pub(crate) fn extras(&self, number: u64) -> Arc<BlockExtras> {
        match self.imported_chain() {
            Some(chain) => chain.extras(number),
            None => Arc::new(BlockExtras { withdrawals: Some(Withdrawals::default()), ..BlockExtras::default() }),
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

    /// Why a transaction that is sent to this node would get nowhere, and what to do about it; none: transactions are taken.
    fn refuses_transactions(&self) -> Option<&'static str>;

    /// Progress of catching up; none when the node is at the tip it knows of.
    fn syncing(&self) -> Option<SyncProgress>;

    /// L1 as the node sees it.
    fn l1(&self) -> L1Heads;

    /// The answer to `seq_evidence`: a bounded page of the proofs of double voting that L1 has not punished, from a place on.
    fn evidence(&self, from: u64) -> serde_json::Value;

    /// A batch on L1 by its index, or the newest one; none if there is no such batch, or it is older than what the node keeps.
    fn batch(&self, index: Option<u64>) -> Option<BatchReport>;

    /// The body of `seq_status`.
    fn report(&self) -> StatusReport;
}

/// `seq_batch`: a batch that L1 has accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchReport {
    /// Index, from 1.
    pub index: u64,
    /// First block.
    pub first_block: u64,
    /// Last block, the one with the certificate.
    pub last_block: u64,
    /// Hash of the last block.
    pub block_hash: B256,
    /// Output root.
    pub output_root: B256,
    /// L1 time of acceptance, seconds since 1970.
    pub accepted_at: u64,
    /// The certificate that L1 checked; none while it was not read, or where a contract submitted the batch.
    pub certificate: Option<BatchCertificate>,
    /// Postings of its data, in order.
    pub postings: Vec<BatchPosting>,
}

/// The certificate of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BatchCertificate {
    /// View of the last block.
    pub view: u64,
    /// Members that signed, a bit for each seat.
    pub signers: U256,
}

/// One posting of a batch's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchPosting {
    /// Where the data is: `blob`, `calldata`, `storage`, or `unknown` and a number.
    pub da_mode: String,
    /// Commitment to the data.
    pub commitment: B256,
    /// L1 transaction.
    pub transaction: B256,
    /// L1 block.
    pub l1_block: u64,
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

/// What kind of reason keeps a node from progressing. Alerts are written against these: they stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitCode {
    /// L1 does not answer, or not as it should.
    L1Unreachable,
    /// Layer 2 stands still, so that L1 is not followed further.
    L1WindowFull,
    /// This machine's clock and L1's differ.
    ClockSkew,
    /// Fewer sequencers are connected than a quorum needs.
    TooFewPeers,
    /// Fewer members vote than a quorum needs.
    NoQuorum,
    /// Enough members vote, and no proposal gets through.
    NoProposal,
    /// The node has a seat and only observes.
    SittingOut,
    /// Consensus has stopped on this node.
    ConsensusStopped,
    /// So much waits for L1 that blocks take no transactions.
    DaBacklog,
    /// Batches cannot be posted.
    PostingFails,
    /// A batch on L1 has no good data, or none yet.
    DataMissing,
    /// The data of batches cannot be read.
    DataUnreadable,
    /// The disk is nearly full.
    DiskSpace,
    /// The disk does not take writes.
    DiskWrite,
}

impl WaitCode {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::L1Unreachable,
        Self::L1WindowFull,
        Self::ClockSkew,
        Self::TooFewPeers,
        Self::NoQuorum,
        Self::NoProposal,
        Self::SittingOut,
        Self::ConsensusStopped,
        Self::DaBacklog,
        Self::PostingFails,
        Self::DataMissing,
        Self::DataUnreadable,
        Self::DiskSpace,
        Self::DiskWrite,
    ];

    /// As it is written everywhere: `l1-unreachable`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::L1Unreachable => "l1-unreachable",
            Self::L1WindowFull => "l1-window-full",
            Self::ClockSkew => "clock-skew",
            Self::TooFewPeers => "too-few-peers",
            Self::NoQuorum => "no-quorum",
            Self::NoProposal => "no-proposal",
            Self::SittingOut => "sitting-out",
            Self::ConsensusStopped => "consensus-stopped",
            Self::DaBacklog => "da-backlog",
            Self::PostingFails => "posting-fails",
            Self::DataMissing => "data-missing",
            Self::DataUnreadable => "data-unreadable",
            Self::DiskSpace => "disk-space",
            Self::DiskWrite => "disk-write",
        }
    }
}

/// A reason for not progressing, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Its kind.
    pub code: WaitCode,
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

    /// Changes an account outside all rules, in a block of its own.
    fn edit_account(&self, address: Address, edit: AccountEdit) -> Result<(), String>;

    /// Remembers the state and returns a number for it, from one up.
    fn snapshot(&self) -> Result<u64, String>;

    /// Makes a block whose state is the remembered one, and forgets it and the later ones. False: there is no such number.
    fn revert(&self, id: u64) -> Result<bool, String>;

    /// From now on transactions of `address` are taken unsigned, or no longer.
    fn impersonate(&self, address: Address, on: bool);

    /// Puts an unsigned transaction of an impersonated account into the pool and returns its hash.
    fn send_as(&self, from: Address, transaction: TxEip1559) -> Result<B256, String>;
}

/// Changes of one account; what is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountEdit {
    /// Wei.
    pub balance: Option<U256>,
    /// Nonce.
    pub nonce: Option<u64>,
    /// Code.
    pub code: Option<Bytes>,
    /// Slots with their values.
    pub slots: Vec<(U256, U256)>,
}

impl AccountEdit {
    /// The edit as a change of `view`.
    pub fn diff(self, view: &StateView, address: Address) -> Result<StateDiff, StoreError> {
        let mut account = view.account(address)?.unwrap_or_default();
        let mut diff = StateDiff::default();
        account.balance = self.balance.unwrap_or(account.balance);
        account.nonce = self.nonce.unwrap_or(account.nonce);
        if let Some(code) = self.code {
            account.code_hash = keccak256(&code);
            diff.codes.insert(account.code_hash, code);
        }
        if !self.slots.is_empty() {
            diff.storage.insert(address, StorageDiff { wiped: false, slots: self.slots.into_iter().collect() });
            // Storage needs an account, and an empty one would not be kept.
            if account.is_empty() {
                account.nonce = 1;
            }
        }
        diff.accounts.insert(address, (!account.is_empty()).then_some(account));
        Ok(diff)
    }
}
