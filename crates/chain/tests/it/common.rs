//! A small chain for tests: predeploys that store what they are called with, two committees, funded accounts, and a scripted L1.

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, FixedBytes, TxKind, U256, keccak256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use oceanid_chain::{BuildLimits, ConsensusContext, Ledger, LedgerConfig, TransactionSource};
use oceanid_primitives::{
    ChainSpec, Committee, FeeParams, L1Block, L1Contracts, L1DataFee, L1Origin, L1View, Member, SealedBlock, Timing, TxDeposit,
    TxEnvelope, predeploys, predeploys::committee_registry as registry,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

pub(crate) const CHAIN: u64 = 31_999;
pub(crate) const EPOCH: u64 = 4;
pub(crate) const START: u64 = 1_700_000_000;
pub(crate) const GAS_LIMIT: u64 = 30_000_000;

/// `sstore(calldata[0..32], calldata[32..64])`.
pub(crate) const STORE_CODE: &[u8] = &[0x60, 0x20, 0x35, 0x60, 0x00, 0x35, 0x55, 0x00];

pub(crate) fn signer(index: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(index + 1)).unwrap()
}

pub(crate) fn committee(id: u64) -> Committee {
    let member = |index: u8| Member {
        id: u64::from(index),
        identity: B256::repeat_byte(index),
        bls_key: FixedBytes::repeat_byte(index),
        weight: 1_000 + u128::from(id),
    };
    Committee { id, seed: B256::repeat_byte(id as u8), members: (1..=4).map(member).collect() }
}

fn pointer(id: u64) -> Address {
    Address::repeat_byte(0xc0 + id as u8)
}

pub(crate) fn call_data(slot: U256, value: U256) -> Bytes {
    [slot.to_be_bytes::<32>(), value.to_be_bytes::<32>()].concat().into()
}

pub(crate) fn l1_hash(number: u64) -> B256 {
    keccak256(number.to_be_bytes())
}

pub(crate) fn spec() -> Arc<ChainSpec> {
    let mut alloc = BTreeMap::new();
    for address in predeploys::CONTRACTS {
        alloc.insert(address, GenesisAccount { code: Some(STORE_CODE.to_vec().into()), nonce: Some(1), ..Default::default() });
    }
    let mut storage = BTreeMap::from([(B256::from(U256::from(registry::LATEST)), B256::with_last_byte(1))]);
    for id in [1, 2] {
        let committee = committee(id);
        let code = [&[0u8][..], &committee.pack()].concat();
        alloc.insert(pointer(id), GenesisAccount { code: Some(code.into()), nonce: Some(1), ..Default::default() });
        storage.insert(B256::from(registry::mapping_slot(id, registry::SEEDS)), committee.seed);
        storage.insert(B256::from(registry::mapping_slot(id, registry::POINTERS)), pointer(id).into_word());
    }
    alloc.get_mut(&predeploys::COMMITTEE_REGISTRY).unwrap().storage = Some(storage);
    for index in 0..4 {
        let balance = U256::from(10).pow(U256::from(24));
        alloc.insert(signer(index).address(), GenesisAccount { balance, ..Default::default() });
    }
    Arc::new(ChainSpec {
        name: "test".into(),
        chain_id: CHAIN,
        l1_chain_id: 1,
        genesis_timestamp: START,
        fees: FeeParams {
            gas_limit: GAS_LIMIT,
            elasticity: 2,
            denominator: 8,
            initial_base_fee: 1_000_000_000,
            min_base_fee: 1_000,
        },
        l1_data_fee: L1DataFee::default(),
        timing: Timing {
            block_time_ms: 500,
            heartbeat_ms: 10_000,
            epoch_length: EPOCH,
            origin_depth: Some(0),
            max_origin_lag: 100,
            max_origin_advance: 3,
            max_clock_drift: 5,
            challenge_window: 60,
            stall_timeout: 3_600,
        },
        l1: L1Contracts {
            start: L1Origin { number: 100, hash: l1_hash(100) },
            token: Address::ZERO,
            portal: Address::ZERO,
            rollup: Address::repeat_byte(9),
            pool: Address::ZERO,
            bridge: Address::ZERO,
            oracle: Address::ZERO,
            ..L1Contracts::default()
        },
        committee: committee(1),
        alloc,
    })
}

/// L1 blocks from 100 on, each 12 s after the one before, the first at genesis time.
#[derive(Clone, Default)]
pub(crate) struct FakeL1 {
    pub(crate) blocks: BTreeMap<u64, Arc<L1Block>>,
}

impl FakeL1 {
    pub(crate) fn new(newest: u64) -> Self {
        let mut l1 = Self::default();
        (100..=newest).for_each(|number| l1.extend(number, Vec::new()));
        l1
    }

    pub(crate) fn extend(&mut self, number: u64, deposits: Vec<TxDeposit>) {
        let block = L1Block {
            number,
            hash: l1_hash(number),
            parent_hash: l1_hash(number - 1),
            timestamp: START + 12 * (number - 100),
            base_fee: 7,
            blob_base_fee: 1,
            deposits,
        };
        self.blocks.insert(number, Arc::new(block));
    }
}

impl L1View for FakeL1 {
    fn newest_origin(&self) -> Option<L1Origin> {
        self.blocks.values().next_back().map(|block| block.origin())
    }

    fn block(&self, number: u64) -> Option<Arc<L1Block>> {
        self.blocks.get(&number).cloned()
    }
}

pub(crate) fn user_deposit(l1_block: u64, index: u64, mint: u128) -> TxDeposit {
    TxDeposit {
        source_hash: oceanid_primitives::user_source_hash(l1_hash(l1_block), index),
        from: Address::repeat_byte(0xd0 + index as u8),
        to: TxKind::Call(Address::repeat_byte(0xd0 + index as u8)),
        mint,
        value: U256::from(mint),
        gas_limit: 100_000,
        is_system_transaction: false,
        input: Bytes::new(),
    }
}

pub(crate) fn transaction(from: u8, nonce: u64, to: Address, value: u64, input: Bytes) -> TxEnvelope {
    let tx = TxEip1559 {
        chain_id: CHAIN,
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: 10_000_000_000,
        max_priority_fee_per_gas: 1_000,
        to: TxKind::Call(to),
        value: U256::from(value),
        input,
        ..Default::default()
    };
    let signature = signer(from).sign_hash_sync(&tx.signature_hash()).unwrap();
    TxEnvelope::Eip1559(tx.into_signed(signature))
}

pub(crate) fn transfer(from: u8, nonce: u64) -> TxEnvelope {
    transaction(from, nonce, Address::repeat_byte(0xee), 5, Bytes::new())
}

/// Gives a list and remembers what was rejected.
#[derive(Default)]
pub(crate) struct Source {
    pub(crate) transactions: VecDeque<TxEnvelope>,
    pub(crate) rejected: Vec<(B256, String)>,
}

impl Source {
    pub(crate) fn of(transactions: impl IntoIterator<Item = TxEnvelope>) -> Self {
        Self { transactions: transactions.into_iter().collect(), rejected: Vec::new() }
    }
}

impl TransactionSource for Source {
    fn next(&mut self, _gas_left: u64, _bytes_left: usize) -> Option<(Arc<TxEnvelope>, Address)> {
        let transaction = self.transactions.pop_front()?;
        let sender = transaction.recover_sender().unwrap();
        Some((Arc::new(transaction), sender))
    }

    fn reject(&mut self, hash: B256, reason: &str) {
        self.rejected.push((hash, reason.to_owned()));
    }
}

/// A ledger in a directory of its own.
pub(crate) struct Node {
    pub(crate) ledger: Ledger,
    pub(crate) dir: tempfile::TempDir,
}

impl Node {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path(), spec(), LedgerConfig::default()).unwrap();
        Self { ledger, dir }
    }

    pub(crate) fn reopened(self) -> Self {
        let Self { ledger, dir } = self;
        drop(ledger);
        let ledger = Ledger::open(dir.path(), spec(), LedgerConfig::default()).unwrap();
        Self { ledger, dir }
    }

    /// Builds on `parent`.
    pub(crate) fn build_on(
        &self,
        parent: &SealedBlock,
        view: u64,
        l1: &FakeL1,
        transactions: Vec<TxEnvelope>,
    ) -> Arc<SealedBlock> {
        let number = parent.number() + 1;
        let context = ConsensusContext { epoch: self.ledger.epochs().of(number), view, parent_view: view - 1, leader: 1 };
        let timestamp = parent.header().timestamp + 1;
        let mut source = Source::of(transactions);
        let block = self.ledger.build(parent.hash(), context, timestamp, l1, &mut source, BuildLimits::default()).unwrap();
        assert_eq!(source.rejected, []);
        block
    }

    pub(crate) fn build(&self, l1: &FakeL1, transactions: Vec<TxEnvelope>) -> Arc<SealedBlock> {
        self.build_on(&self.ledger.head(), 7, l1, transactions)
    }

    /// Builds, checks on another node, commits on both.
    pub(crate) fn advance(&self, other: &Self, l1: &FakeL1, transactions: Vec<TxEnvelope>) -> Arc<SealedBlock> {
        let block = self.build(l1, transactions);
        other.ledger.check(&block, l1, now(&block)).unwrap();
        for node in [self, other] {
            node.ledger.commit(&block, Some(Bytes::from_static(b"certificate"))).unwrap();
        }
        block
    }
}

pub(crate) fn now(block: &SealedBlock) -> u64 {
    block.header().timestamp
}
