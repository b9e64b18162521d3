//! The embedded L1's ledger: Ethereum (Prague) rules, one sealer, every block final at once.

use crate::{
    BuildError, CommittedBlock, LedgerError, Senders, TransactionSource, execute, genesis::from_alloc, ledger::head_block,
};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, U256};
use oceanid_primitives::{Header, SealedBlock};
use oceanid_stf::{Rules, StateDiff, StateReader, StorageDiff, ethereum_env, ethereum_header};
use oceanid_store::{StateView, Store, StoreConfig, StoreKind};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};
use tokio::sync::broadcast;

/// Committed blocks a slow subscriber may lag behind before it loses some.
const EVENTS: usize = 256;
/// Most states remembered for development methods.
pub const MAX_SNAPSHOTS: usize = 64;

/// First block of an Ethereum chain.
#[derive(Clone, Debug)]
pub struct EthGenesis {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// Gas limit of every block.
    pub gas_limit: u64,
    /// Base fee of the first block after genesis' parent rule, wei per gas.
    pub base_fee: u64,
    /// Accounts.
    pub alloc: BTreeMap<Address, GenesisAccount>,
}

impl EthGenesis {
    fn header(&self, state_root: B256) -> Header {
        Header {
            state_root,
            withdrawals_root: Some(oceanid_trie::EMPTY_ROOT_HASH),
            gas_limit: self.gas_limit,
            timestamp: self.timestamp,
            base_fee_per_gas: Some(self.base_fee),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(alloy_eips::eip7685::EMPTY_REQUESTS_HASH),
            ..Header::default()
        }
    }
}

/// What the sealer chooses for a block.
#[derive(Clone, Debug, Default)]
pub struct MineRequest {
    /// Seconds since 1970; raised to the parent's plus one if it is not later (Ethereum's rule).
    pub timestamp: u64,
    /// Receives the priority fees.
    pub beneficiary: Address,
    /// `PREVRANDAO`.
    pub prevrandao: B256,
    /// EIP-4788.
    pub parent_beacon_block_root: B256,
    /// Most bytes of transactions.
    pub max_bytes: usize,
    /// State written after the transactions, outside all rules: for development methods such as setting a balance.
    pub irregular: StateDiff,
}

/// An Ethereum chain of one sealer. Clones share everything.
#[derive(Clone)]
pub struct EthLedger(Arc<Inner>);

struct Inner {
    chain_id: u64,
    genesis_hash: B256,
    store: Store,
    head: RwLock<Arc<SealedBlock>>,
    mining: Mutex<()>,
    senders: Arc<Senders>,
    events: broadcast::Sender<Arc<CommittedBlock>>,
    snapshots: Mutex<Snapshots>,
}

/// States that development methods may go back to, with all that has changed since the oldest.
#[derive(Default)]
struct Snapshots {
    /// The number the next one gets.
    next: u64,
    states: BTreeMap<u64, StateView>,
    changed: BTreeMap<Address, BTreeSet<U256>>,
}

impl Snapshots {
    /// The change that leads back to the state of that number.
    fn way_back(&self, id: u64) -> Result<Option<StateDiff>, LedgerError> {
        let Some(state) = self.states.get(&id) else { return Ok(None) };
        let mut diff = StateDiff::default();
        for (address, slots) in &self.changed {
            let account = state.account(*address)?;
            diff.accounts.insert(*address, account);
            if account.is_some() {
                let mut storage = StorageDiff::default();
                for slot in slots {
                    storage.slots.insert(*slot, state.storage(*address, *slot)?);
                }
                diff.storage.insert(*address, storage);
            }
        }
        Ok(Some(diff))
    }
}

impl core::fmt::Debug for EthLedger {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EthLedger").field("chain", &self.0.chain_id).field("store", &self.0.store).finish_non_exhaustive()
    }
}

impl EthLedger {
    /// Store limits for an embedded L1.
    pub fn default_config() -> StoreConfig {
        StoreConfig::new(StoreKind::L1)
    }

    /// Opens the chain of `genesis` in `dir`, creating it if the directory is empty.
    pub fn open(dir: &Path, genesis: &EthGenesis, config: StoreConfig) -> Result<Self, LedgerError> {
        let first = from_alloc(&genesis.alloc, |state_root, _| genesis.header(state_root))?;
        let genesis_hash = first.hash();
        let store = Store::open(dir, config, genesis.chain_id, first)?;
        Ok(Self(Arc::new(Inner {
            chain_id: genesis.chain_id,
            genesis_hash,
            head: RwLock::new(head_block(&store)?),
            store,
            mining: Mutex::new(()),
            senders: Arc::default(),
            events: broadcast::channel(EVENTS).0,
            snapshots: Mutex::default(),
        })))
    }

    /// EIP-155 chain id.
    pub fn chain_id(&self) -> u64 {
        self.0.chain_id
    }

    /// Hash of block 0.
    pub fn genesis_hash(&self) -> B256 {
        self.0.genesis_hash
    }

    /// Blocks and state.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The sender cache, to be shared with the pool.
    pub fn senders(&self) -> &Arc<Senders> {
        &self.0.senders
    }

    /// The newest block.
    pub fn head(&self) -> Arc<SealedBlock> {
        self.0.head.read().clone()
    }

    /// The state at the head.
    pub fn view(&self) -> StateView {
        self.0.store.view()
    }

    /// Every block mined from now on, in order.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<CommittedBlock>> {
        self.0.events.subscribe()
    }

    /// The sender of [`EthLedger::subscribe`]'s events.
    pub fn events(&self) -> &broadcast::Sender<Arc<CommittedBlock>> {
        &self.0.events
    }

    /// Remembers the state at the head and returns its number, from one up. Of more than [`MAX_SNAPSHOTS`] the oldest is
    /// forgotten.
    pub fn snapshot(&self) -> u64 {
        let mut snapshots = self.0.snapshots.lock();
        if snapshots.states.len() == MAX_SNAPSHOTS {
            snapshots.states.pop_first();
        }
        snapshots.next += 1;
        let id = snapshots.next;
        snapshots.states.insert(id, self.0.store.view());
        id
    }

    /// The change that makes the head's state the remembered one again, which is then forgotten with all later ones; none if
    /// there is no such number. The caller mines it.
    pub fn way_back(&self, id: u64) -> Result<Option<StateDiff>, LedgerError> {
        let mut snapshots = self.0.snapshots.lock();
        let diff = snapshots.way_back(id)?;
        snapshots.states.split_off(&id);
        Ok(diff)
    }

    /// Mines the next block: executes what the source gives, seals, makes it durable, tells subscribers.
    pub fn mine(&self, request: MineRequest, source: &mut dyn TransactionSource) -> Result<Arc<CommittedBlock>, LedgerError> {
        let _mining = self.0.mining.lock();
        let parent = self.head();
        let view = self.0.store.view();
        let env = ethereum_env(
            parent.header(),
            parent.hash(),
            request.timestamp.max(parent.header().timestamp + 1),
            parent.header().gas_limit,
            request.beneficiary,
            request.prevrandao,
            request.parent_beacon_block_root,
        );
        let filled = execute::fill(Rules::ETHEREUM, self.0.chain_id, env, &view, Vec::new(), source, request.max_bytes);
        let mut executed = filled.map_err(|error| match error {
            BuildError::Ledger(error) => error,
            other => LedgerError::Execution { number: env.number, reason: other.to_string() },
        })?;
        executed.output.diff.merge(request.irregular);
        let sealed = execute::seal(&view, executed, None, |executed| {
            ethereum_header(&executed.env, Bytes::new(), &executed.body, &executed.output, B256::ZERO)
        })?;
        self.0.store.commit(sealed.clone(), None)?;
        *self.0.head.write() = sealed.block().clone();
        self.note_changes(sealed.diff());
        // An error means that nobody listens.
        let _ = self.0.events.send(sealed.content().clone());
        Ok(sealed.content().clone())
    }

    fn note_changes(&self, diff: &StateDiff) {
        let mut snapshots = self.0.snapshots.lock();
        if snapshots.states.is_empty() {
            snapshots.changed.clear();
            return;
        }
        for address in diff.accounts.keys() {
            snapshots.changed.entry(*address).or_default();
        }
        for (address, storage) in &diff.storage {
            snapshots.changed.entry(*address).or_default().extend(storage.slots.keys());
        }
    }
}
