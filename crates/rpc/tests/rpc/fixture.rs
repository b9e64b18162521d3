//! A Layer 2 chain and an Ethereum chain in temporary directories, served on free ports and driven by the test.

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, FixedBytes, TxKind, U256, hex, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use jsonrpsee::core::client::{ClientT, Error};
use jsonrpsee::core::params::ArrayParams;
use jsonrpsee_http_client::{HttpClient, HttpClientBuilder};
use oceanid_chain::{BuildLimits, ConsensusContext, EthGenesis, EthLedger, Ledger, LedgerConfig, MineRequest};
use oceanid_pool::{Pool, PoolConfig, PoolRules, StoreState};
use oceanid_primitives::{
    ChainSpec, Committee, FeeParams, L1Block, L1Contracts, L1DataFee, L1Origin, L1View, Member, SealedBlock, Timing, TxDeposit,
    predeploys,
};
use oceanid_rpc::{
    AccountEdit, Backend, BatchReport, DevHooks, L1Heads, L1Ref, NodeStatus, Page, Pages, RpcConfig, RpcServer, StatusReport,
    SyncProgress, WaitCode, Waiting,
};
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tempfile::TempDir;

pub(crate) const L2_CHAIN: u64 = 4_242;
pub(crate) const L1_CHAIN: u64 = 31_337;
pub(crate) const GENESIS_TIME: u64 = 1_700_000_000;
pub(crate) const GWEI: u128 = 1_000_000_000;
pub(crate) const ETHER: u128 = 1_000_000_000_000_000_000;
const GAS_LIMIT: u64 = 30_000_000;

/// Init code of a counter: called without input it adds one to slot 0, logs the value under topic 0x2a and returns it; called
/// with input it reverts with that input.
pub(crate) fn counter_init_code() -> Bytes {
    let runtime = hex!("36601857" "60015f5401805f55" "5f52" "602a60205fa1" "60205ff3" "5b365f5f37365ffd");
    let mut init = vec![0x7f];
    init.extend_from_slice(&runtime);
    init.extend_from_slice(&hex!("5f5260205ff3"));
    init.into()
}

pub(crate) fn key() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).expect("a valid key")
}

/// A client that remembers which methods it has called.
pub(crate) struct Client {
    http: HttpClient,
    called: Mutex<BTreeSet<String>>,
}

impl Client {
    fn new(url: &str) -> Self {
        let http = HttpClientBuilder::default().max_response_size(RpcConfig::MAX_RESPONSE_BYTES).build(url).expect("a valid url");
        Self { http, called: Mutex::default() }
    }

    /// Calls a method with a JSON array of parameters.
    pub(crate) async fn try_call(&self, method: &str, params: Value) -> Result<Value, (i32, String, Option<String>)> {
        self.called.lock().insert(method.to_owned());
        let mut array = ArrayParams::new();
        for param in params.as_array().expect("parameters are an array") {
            array.insert(param).expect("JSON is JSON");
        }
        self.http.request::<Value, _>(method, array).await.map_err(|error| match error {
            Error::Call(error) => {
                let data = error.data().map(|data| data.get().trim_matches('"').to_owned());
                (error.code(), error.message().to_owned(), data)
            }
            other => panic!("{method}: {other}"),
        })
    }

    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        self.try_call(method, params.clone()).await.unwrap_or_else(|error| panic!("{method}({params}): {error:?}"))
    }

    pub(crate) fn called(&self) -> BTreeSet<String> {
        self.called.lock().clone()
    }
}

fn transaction(chain_id: u64, nonce: u64, to: TxKind, value: u128, input: Bytes) -> TxEip1559 {
    TxEip1559 {
        chain_id,
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: 10 * GWEI,
        max_priority_fee_per_gas: GWEI,
        to,
        value: U256::from(value),
        input,
        ..TxEip1559::default()
    }
}

/// A signed transaction, encoded, and its hash.
pub(crate) fn signed(tx: TxEip1559) -> (Bytes, B256) {
    let signature = key().sign_hash_sync(&tx.signature_hash()).expect("a local key signs");
    let signed = tx.into_signed(signature);
    (signed.encoded_2718().into(), *signed.hash())
}

/// An L1 of which the test says how far it goes; block 1 has one deposit.
struct FakeL1 {
    blocks: Mutex<Vec<Arc<L1Block>>>,
}

impl FakeL1 {
    fn block_hash(number: u64) -> B256 {
        keccak256(number.to_be_bytes())
    }

    fn extend(&self, deposits: Vec<TxDeposit>) {
        let mut blocks = self.blocks.lock();
        let number = blocks.len() as u64;
        blocks.push(Arc::new(L1Block {
            number,
            hash: Self::block_hash(number),
            parent_hash: number.checked_sub(1).map_or(B256::ZERO, Self::block_hash),
            timestamp: GENESIS_TIME,
            base_fee: 7,
            blob_base_fee: 1,
            deposits,
        }));
    }
}

impl L1View for FakeL1 {
    fn newest_origin(&self) -> Option<L1Origin> {
        self.blocks.lock().last().map(|block| block.origin())
    }

    fn block(&self, number: u64) -> Option<Arc<L1Block>> {
        self.blocks.lock().get(number as usize).cloned()
    }
}

pub(crate) struct FakeStatus;

impl NodeStatus for FakeStatus {
    fn evidence(&self, from: u64) -> serde_json::Value {
        serde_json::json!({ "count": from, "evidence": [], "next": null })
    }

    fn batch(&self, index: Option<u64>) -> Option<BatchReport> {
        let (last_block, newest) = (2, 7);
        let index = index.unwrap_or(newest);
        (index <= newest).then(|| BatchReport { index, first_block: 1, last_block, ..BatchReport::default() })
    }

    fn peers(&self) -> usize {
        3
    }

    fn refuses_transactions(&self) -> Option<&'static str> {
        None
    }

    fn syncing(&self) -> Option<SyncProgress> {
        Some(SyncProgress { starting: 0, current: 5, highest: 9 })
    }

    fn l1(&self) -> L1Heads {
        let head = L1Ref { hash: FakeL1::block_hash(1), number: 1, parent_hash: FakeL1::block_hash(0), timestamp: GENESIS_TIME };
        L1Heads { current: head, head, safe: head, finalized: head }
    }

    fn report(&self) -> StatusReport {
        let code = WaitCode::L1Unreachable;
        let waiting = Waiting { code, reason: "L1 does not answer".into(), remedy: "check --l1".into(), for_ms: 1_500 };
        StatusReport { role: "sequencer".into(), waiting: vec![waiting], ..StatusReport::default() }
    }
}

/// Shows what it was asked for.
struct Echo;

impl Pages for Echo {
    fn get(&self, target: &str) -> Page {
        assert_ne!(target, "/panic", "a page that fails");
        let headers = vec![("content-type", "text/html; charset=utf-8".to_owned()), ("x-frame-options", "DENY".to_owned())];
        Page { status: if target == "/none" { 404 } else { 200 }, headers, body: format!("<p>{target}</p>") }
    }
}

fn spec() -> ChainSpec {
    let member = Member { id: 1, identity: B256::with_last_byte(1), bls_key: FixedBytes::repeat_byte(2), weight: 1 };
    let committee = Committee { id: 1, seed: B256::repeat_byte(9), members: vec![member] };
    let mut alloc = BTreeMap::new();
    for address in predeploys::CONTRACTS {
        alloc.insert(address, GenesisAccount::default().with_code(Some(Bytes::from_static(&[0]))));
    }
    let pointer = Address::repeat_byte(0xcc);
    let packed = [vec![0], committee.pack()].concat();
    alloc.insert(pointer, GenesisAccount::default().with_code(Some(packed.into())));
    let registry = [
        (predeploys::slot(predeploys::committee_registry::LATEST), B256::with_last_byte(1)),
        (predeploys::committee_registry::mapping_slot(1, predeploys::committee_registry::SEEDS), committee.seed),
        (predeploys::committee_registry::mapping_slot(1, predeploys::committee_registry::POINTERS), pointer.into_word()),
    ];
    let registry = registry.into_iter().map(|(slot, value)| (slot.into(), value)).collect();
    alloc.entry(predeploys::COMMITTEE_REGISTRY).and_modify(|account| account.storage = Some(registry));
    // One slot of the message passer, so that a proof of it has something to prove.
    let message = BTreeMap::from([(B256::with_last_byte(5), B256::with_last_byte(1))]);
    alloc.entry(predeploys::MESSAGE_PASSER).and_modify(|account| account.storage = Some(message));
    alloc.insert(key().address(), GenesisAccount::default().with_balance(U256::from(1_000 * ETHER)));
    ChainSpec {
        name: "rpc test".into(),
        chain_id: L2_CHAIN,
        l1_chain_id: L1_CHAIN,
        genesis_timestamp: GENESIS_TIME,
        fees: FeeParams {
            gas_limit: GAS_LIMIT,
            elasticity: 2,
            denominator: 8,
            initial_base_fee: GWEI as u64,
            min_base_fee: 1_000,
        },
        l1_data_fee: L1DataFee::default(),
        timing: Timing {
            block_time_ms: 250,
            heartbeat_ms: 5_000,
            epoch_length: 64,
            origin_depth: Some(0),
            max_origin_lag: 100,
            max_origin_advance: 8,
            max_clock_drift: 5,
            challenge_window: 60,
            stall_timeout: 3_600,
        },
        l1: L1Contracts {
            start: L1Origin { number: 0, hash: FakeL1::block_hash(0) },
            token: Address::repeat_byte(1),
            portal: Address::repeat_byte(2),
            rollup: Address::repeat_byte(3),
            pool: Address::repeat_byte(4),
            bridge: Address::repeat_byte(5),
            oracle: Address::repeat_byte(6),
            ..L1Contracts::default()
        },
        committee,
        alloc,
    }
}

/// The Layer 2 chain.
pub(crate) struct Rollup {
    pub(crate) ledger: Ledger,
    pub(crate) pool: Arc<Pool>,
    pub(crate) server: RpcServer,
    pub(crate) client: Client,
    l1: FakeL1,
    _dir: TempDir,
}

/// History short enough for the tests to run out of it.
pub(crate) const HISTORY: u64 = 8;

impl Rollup {
    pub(crate) async fn start(change: impl FnOnce(&mut RpcConfig)) -> Self {
        Self::with_spec(|_| {}, change).await
    }

    pub(crate) async fn with_spec(change_spec: impl FnOnce(&mut ChainSpec), change: impl FnOnce(&mut RpcConfig)) -> Self {
        let mut spec = spec();
        change_spec(&mut spec);
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut limits = LedgerConfig::default();
        limits.store.history = HISTORY;
        let ledger = Ledger::open(dir.path(), Arc::new(spec), limits).expect("a valid spec");
        let state = StoreState::rollup(ledger.store().clone(), ledger.spec().clone());
        let rules = PoolConfig::new(PoolRules::Rollup, L2_CHAIN, GAS_LIMIT, 1_000);
        let pool = Arc::new(Pool::new(rules, Arc::new(state)).with_senders(ledger.senders().clone()));
        let mut config = RpcConfig::default();
        change(&mut config);
        let backend = Backend::rollup(ledger.clone(), pool.clone(), Arc::new(FakeStatus)).with_pages(Arc::new(Echo));
        let server = RpcServer::start(config, backend).await.expect("a free port");
        let client = Client::new(&server.http_url());
        let l1 = FakeL1 { blocks: Mutex::default() };
        l1.extend(Vec::new());
        Self { ledger, pool, server, client, l1, _dir: dir }
    }

    /// L1 grows by a block with these deposits; the next block takes it in.
    pub(crate) fn extend_l1(&self, deposits: Vec<TxDeposit>) {
        self.l1.extend(deposits);
    }

    /// Builds and commits a block of what the pool has.
    pub(crate) fn mine(&self) -> Arc<SealedBlock> {
        let head = self.ledger.head();
        let number = head.number() + 1;
        let context = ConsensusContext { epoch: self.ledger.epochs().of(number), view: number, ..Default::default() };
        let block = self
            .ledger
            .build(head.hash(), context, GENESIS_TIME + number, &self.l1, &mut self.pool.best(), BuildLimits::default())
            .expect("a block on the head");
        self.ledger.commit(&block, Some(Bytes::from_static(b"certificate"))).expect("the next block");
        let committed = self.ledger.store().committed(number).expect("readable").expect("just committed");
        self.pool.on_committed(&committed);
        block
    }

    pub(crate) fn transfer(&self, nonce: u64, to: Address, value: u128) -> (Bytes, B256) {
        signed(transaction(L2_CHAIN, nonce, TxKind::Call(to), value, Bytes::new()))
    }

    pub(crate) fn invoke(&self, nonce: u64, to: Address) -> (Bytes, B256) {
        signed(transaction(L2_CHAIN, nonce, TxKind::Call(to), 0, Bytes::new()))
    }

    pub(crate) fn deploy(&self, nonce: u64) -> (Bytes, B256) {
        signed(transaction(L2_CHAIN, nonce, TxKind::Create, 0, counter_init_code()))
    }
}

/// The Ethereum chain, sealed by `evm_mine`.
pub(crate) struct Ethereum {
    pub(crate) client: Client,
    pub(crate) server: RpcServer,
    _dir: TempDir,
}

struct Sealer {
    ledger: EthLedger,
    pool: Arc<Pool>,
    next: Mutex<MineRequest>,
}

impl DevHooks for Sealer {
    fn mine(&self, blocks: u64) -> Result<(), String> {
        for _ in 0..blocks {
            let request = std::mem::take(&mut *self.next.lock());
            let request = MineRequest { max_bytes: 1 << 20, ..request };
            let block = self.ledger.mine(request, &mut self.pool.best()).map_err(|error| error.to_string())?;
            self.pool.on_committed(&block);
        }
        Ok(())
    }

    fn increase_time(&self, seconds: u64) -> Result<u64, String> {
        self.next.lock().timestamp = self.ledger.head().header().timestamp + seconds;
        Ok(seconds)
    }

    fn set_next_block_timestamp(&self, timestamp: u64) -> Result<(), String> {
        if timestamp <= self.ledger.head().header().timestamp {
            return Err("timestamp: not after the head's".into());
        }
        self.next.lock().timestamp = timestamp;
        Ok(())
    }

    fn edit_account(&self, address: Address, edit: AccountEdit) -> Result<(), String> {
        self.next.lock().irregular = edit.diff(&self.ledger.view(), address).map_err(|error| error.to_string())?;
        self.mine(1)
    }

    fn snapshot(&self) -> Result<u64, String> {
        Ok(self.ledger.snapshot())
    }

    fn revert(&self, id: u64) -> Result<bool, String> {
        let Some(diff) = self.ledger.way_back(id).map_err(|error| error.to_string())? else { return Ok(false) };
        self.next.lock().irregular = diff;
        self.mine(1).map(|()| true)
    }

    fn impersonate(&self, _address: Address, _on: bool) {}

    fn send_as(&self, from: Address, transaction: TxEip1559) -> Result<B256, String> {
        let unsigned = alloy_primitives::Signature::new(U256::ONE, U256::ONE, false);
        let envelope = oceanid_primitives::TxEnvelope::Eip1559(transaction.into_signed(unsigned));
        self.ledger.senders().remember(*envelope.hash(), from);
        self.pool.add(envelope, oceanid_pool::Origin::Local).map_err(|error| error.to_string())
    }
}

impl Ethereum {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let alloc = BTreeMap::from([(key().address(), GenesisAccount::default().with_balance(U256::from(1_000 * ETHER)))]);
        let genesis =
            EthGenesis { chain_id: L1_CHAIN, timestamp: GENESIS_TIME, gas_limit: GAS_LIMIT, base_fee: GWEI as u64, alloc };
        let ledger = EthLedger::open(dir.path(), &genesis, EthLedger::default_config()).expect("a valid genesis");
        let state = Arc::new(StoreState::ethereum(ledger.store().clone()));
        let rules = PoolConfig::new(PoolRules::Ethereum, L1_CHAIN, GAS_LIMIT, 1);
        let pool = Arc::new(Pool::new(rules, state).with_senders(ledger.senders().clone()));
        let sealer = Arc::new(Sealer { ledger: ledger.clone(), pool: pool.clone(), next: Mutex::default() });
        let (store, commits) = (ledger.store().clone(), ledger.events().clone());
        let backend = Backend::ethereum(L1_CHAIN, store, pool, commits, 2, Some(sealer));
        let server = RpcServer::start(RpcConfig::default(), backend).await.expect("a free port");
        let client = Client::new(&server.http_url());
        Self { client, server, _dir: dir }
    }

    pub(crate) fn call_with(&self, nonce: u64, to: Address, input: Bytes, gas_limit: u64) -> (Bytes, B256) {
        signed(TxEip1559 { gas_limit, ..transaction(L1_CHAIN, nonce, TxKind::Call(to), 0, input) })
    }

    pub(crate) fn transfer(&self, nonce: u64, to: Address, value: u128) -> (Bytes, B256) {
        signed(transaction(L1_CHAIN, nonce, TxKind::Call(to), value, Bytes::new()))
    }
}
