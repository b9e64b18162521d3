//! A committee over real ledgers: executed transfers, deposits from an L1 that the nodes see at different times.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy_consensus::{SignableTransaction as _, TxEip1559};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_signer::SignerSync as _;
use alloy_signer_local::PrivateKeySigner;
use oceanid_chain::{BuildLimits, CommittedBlock, Ledger, LedgerConfig};
use oceanid_pool::{Origin, Pool, PoolConfig, PoolRules, StoreState};
use oceanid_primitives::{
    ChainSpec, Committee, Epochs, FeeParams, L1Block, L1Contracts, L1DataFee, L1Origin, L1View, Recovery, SealedBlock, Timing,
    TxDeposit, predeploys, user_source_hash,
};
use oceanid_sequencer::{Execution, FinalizeError, LedgerExecution, ProposalContext, ProposeError, RecoveryRefused, Verdict};
use oceanid_stf::StateReader as _;
use parking_lot::Mutex;
use tokio::sync::broadcast;

use crate::sim::{Disk, Setup, TestChain, committee, twice_on};

const CHAIN: u64 = 4_242;
const GWEI: u64 = 1_000_000_000;
const ETHER: u128 = 1_000_000_000_000_000_000;
const EPOCH: u64 = 8;

fn signer() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(0x42)).expect("a key")
}

/// Layer 2 genesis with predeploys that accept any call, the first committee in the registry, and one funded account.
fn spec() -> ChainSpec {
    let committee = committee(1, &[0, 1, 2, 3]);
    let mut alloc = BTreeMap::new();
    for address in predeploys::CONTRACTS {
        alloc.insert(address, GenesisAccount::default().with_code(Some(Bytes::from_static(&[0]))));
    }
    let members = Address::repeat_byte(0xcc);
    alloc.insert(members, GenesisAccount::default().with_code(Some([vec![0], committee.pack()].concat().into())));
    let registry: BTreeMap<B256, B256> = [
        (predeploys::slot(predeploys::committee_registry::LATEST), B256::with_last_byte(1)),
        (predeploys::committee_registry::mapping_slot(1, predeploys::committee_registry::SEEDS), committee.seed),
        (predeploys::committee_registry::mapping_slot(1, predeploys::committee_registry::POINTERS), members.into_word()),
    ]
    .into_iter()
    .map(|(slot, value)| (slot.into(), value))
    .collect();
    alloc.entry(predeploys::COMMITTEE_REGISTRY).and_modify(|account| account.storage = Some(registry));
    alloc.insert(signer().address(), GenesisAccount::default().with_balance(U256::from(1_000 * ETHER)));
    ChainSpec {
        name: "consensus test".into(),
        chain_id: CHAIN,
        l1_chain_id: 1,
        genesis_timestamp: 0,
        fees: FeeParams { gas_limit: 30_000_000, elasticity: 2, denominator: 8, initial_base_fee: GWEI, min_base_fee: 1_000 },
        l1_data_fee: L1DataFee::default(),
        timing: Timing {
            block_time_ms: 200,
            heartbeat_ms: 1_000,
            epoch_length: EPOCH,
            origin_depth: Some(0),
            max_origin_lag: 100,
            max_origin_advance: 8,
            max_clock_drift: 5,
            challenge_window: 60,
            stall_timeout: 3_600,
        },
        l1: L1Contracts {
            start: L1Origin { number: 0, hash: l1_hash(0) },
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

fn l1_hash(number: u64) -> B256 {
    keccak256(number.to_be_bytes())
}

/// Who is credited by the deposit of L1 block `number`.
fn depositor(number: u64) -> Address {
    Address::with_last_byte(0x80 + number as u8)
}

/// An L1 with one deposit a block, seen up to a height, and its recoveries.
#[derive(Default)]
pub(crate) struct FakeL1(Mutex<u64>, Mutex<Vec<Recovery>>);

impl L1View for FakeL1 {
    fn recoveries(&self) -> Vec<Recovery> {
        self.1.lock().clone()
    }

    fn newest_origin(&self) -> Option<L1Origin> {
        let number = *self.0.lock();
        Some(L1Origin { number, hash: l1_hash(number) })
    }

    fn block(&self, number: u64) -> Option<Arc<L1Block>> {
        let deposit = TxDeposit {
            source_hash: user_source_hash(l1_hash(number), 0),
            from: depositor(number),
            to: TxKind::Call(depositor(number)),
            mint: 5 * ETHER,
            value: U256::ZERO,
            gas_limit: 100_000,
            is_system_transaction: false,
            input: Bytes::new(),
        };
        (number <= *self.0.lock()).then(|| {
            Arc::new(L1Block {
                number,
                hash: l1_hash(number),
                parent_hash: l1_hash(number.wrapping_sub(1)),
                timestamp: 0,
                base_fee: 7,
                blob_base_fee: 1,
                deposits: vec![deposit],
            })
        })
    }
}

/// A ledger with its pool and its view of L1; the directory lives as long as it does.
#[derive(Clone)]
pub(crate) struct RealChain<L = Arc<FakeL1>> {
    pub(crate) execution: LedgerExecution,
    pub(crate) ledger: Ledger,
    pub(crate) pool: Arc<Pool>,
    pub(crate) l1: L,
    committed: Arc<Mutex<broadcast::Receiver<Arc<CommittedBlock>>>>,
    _directory: Arc<tempfile::TempDir>,
}

impl RealChain {
    fn open() -> Self {
        let l1 = Arc::new(FakeL1::default());
        Self::of(Arc::new(spec()), LedgerConfig::default(), |_| (l1.clone(), l1))
    }

    fn balance(&self, address: Address) -> U256 {
        self.ledger.view().account(address).expect("a store that reads").map_or(U256::ZERO, |account| account.balance)
    }
}

impl<L> RealChain<L> {
    /// An empty ledger; what it sees of L1 depends on where it stands.
    pub(crate) fn of(spec: Arc<ChainSpec>, config: LedgerConfig, l1: impl FnOnce(&Ledger) -> (L, Arc<dyn L1View>)) -> Self {
        let directory = Arc::new(tempfile::tempdir().expect("a directory"));
        let ledger = Ledger::open(directory.path(), spec.clone(), config).expect("a ledger");
        let rules = PoolConfig::new(PoolRules::Rollup, spec.chain_id, spec.fees.gas_limit, u128::from(spec.fees.min_base_fee));
        let pool = Arc::new(Pool::new(rules, Arc::new(StoreState::rollup(ledger.store().clone(), spec))));
        let (l1, view) = l1(&ledger);
        let execution = LedgerExecution::new(ledger.clone(), pool.clone(), view, BuildLimits::default());
        let committed = Arc::new(Mutex::new(ledger.subscribe()));
        Self { execution, ledger, pool, l1, committed, _directory: directory }
    }
}

impl<L: Clone + Send + Sync + 'static> Execution for RealChain<L> {
    fn genesis(&self) -> Arc<SealedBlock> {
        self.execution.genesis()
    }

    fn head(&self) -> Arc<SealedBlock> {
        self.execution.head()
    }

    fn final_block(&self, number: u64) -> Option<(B256, u64)> {
        self.execution.final_block(number)
    }

    fn epochs(&self) -> Result<Arc<Epochs>, RecoveryRefused> {
        self.execution.epochs()
    }

    fn certificate(&self, number: u64) -> Option<Bytes> {
        self.execution.certificate(number)
    }

    fn committee_of_epoch(&self, epoch: u64) -> Option<Committee> {
        self.execution.committee_of_epoch(epoch)
    }

    fn is_executed(&self, hash: B256) -> bool {
        self.execution.is_executed(hash)
    }

    fn has_work(&self, parent: B256) -> bool {
        self.execution.has_work(parent)
    }

    fn propose(&self, parent: B256, context: ProposalContext, timestamp: u64) -> Result<Arc<SealedBlock>, ProposeError> {
        self.execution.propose(parent, context, timestamp)
    }

    fn verify(&self, block: &Arc<SealedBlock>, now: u64) -> Verdict {
        self.execution.verify(block, now)
    }

    fn finalize(&self, block: &Arc<SealedBlock>, certificate: Option<Bytes>) -> Result<(), FinalizeError> {
        self.execution.finalize(block, certificate)?;
        while let Ok(committed) = self.committed.lock().try_recv() {
            self.pool.on_committed(&committed);
        }
        Ok(())
    }
}

impl<L: Clone + Send + Sync + 'static> TestChain for RealChain<L> {
    fn finalized(&self) -> Vec<(Arc<SealedBlock>, Option<Bytes>)> {
        let store = self.ledger.store();
        (0..=self.height())
            .map(|number| (store.block(number).expect("reads").expect("a block"), store.certificate(number).expect("reads")))
            .collect()
    }

    fn crash(&self) {}

    fn hear(&self, transactions: &[Bytes]) {
        for transaction in transactions {
            // A pool that has it already, or no room for it, says no.
            let _ = self.pool.add_raw(transaction, Origin::Remote);
        }
    }
}

fn transfer(nonce: u64) -> Bytes {
    let transaction = TxEip1559 {
        chain_id: CHAIN,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: u128::from(100 * GWEI),
        max_priority_fee_per_gas: u128::from(GWEI),
        to: TxKind::Call(Address::repeat_byte(0x77)),
        value: U256::from(1),
        ..TxEip1559::default()
    };
    let signature = signer().sign_hash_sync(&transaction.signature_hash()).expect("signs");
    alloy_consensus::TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into()
}

#[test]
fn real_ledgers_agree_on_transfers_and_deposits_across_epochs_and_a_crash() {
    let setup = Setup { epoch_length: EPOCH, ..Setup::committee_of(4) };
    let disks = |_: &Setup| (0..4).map(|_| Disk::new(RealChain::open())).collect();
    twice_on(21, setup, disks, |mut sim| async move {
        sim.start(0..4).await;
        // Transactions enter at one node; everybody's pool gets them, as gossip does.
        for nonce in 0..30 {
            for disk in &sim.disks {
                disk.chain.pool.add_raw(&transfer(nonce), Origin::Remote).expect("a good transaction");
            }
            if nonce % 5 == 0 {
                sim.pass(Duration::from_millis(300)).await;
            }
        }
        let paid = Address::repeat_byte(0x77);
        sim.until("transfers", |sim| sim.disks.iter().all(|disk| disk.chain.balance(paid) == U256::from(30))).await;

        sim.crash(3);
        // L1 moves on; node 2 sees it two seconds later than the others and must hold its votes until then.
        for disk in [0, 1, 3] {
            *sim.disks[disk].chain.l1.0.lock() = 4;
        }
        sim.pass(Duration::from_secs(2)).await;
        *sim.disks[2].chain.l1.0.lock() = 4;
        sim.until("deposits", |sim| [0, 1, 2].iter().all(|node| sim.disks[*node].chain.balance(depositor(4)) > U256::ZERO)).await;
        for number in 1..=4 {
            assert_eq!(sim.disks[0].chain.balance(depositor(number)), U256::from(5 * ETHER));
        }

        sim.start([3]).await;
        sim.reach(0..4, 3 * EPOCH + 2).await;
        sim
    });
}

#[test]
fn real_ledgers_recover_under_a_committee_the_registry_has_not_heard_of() {
    let setup = Setup { nodes: 6, epoch_length: EPOCH, ..Setup::committee_of(4) };
    let disks = |_: &Setup| (0..6).map(|_| Disk::new(RealChain::open())).collect();
    twice_on(22, setup, disks, |mut sim| async move {
        sim.start(0..6).await;
        sim.reach(0..6, EPOCH + 3).await;
        sim.crash(2);
        sim.crash(3);
        // Deposits are made while nobody takes them.
        for disk in &sim.disks {
            *disk.chain.l1.0.lock() = 12;
        }
        sim.pass(Duration::from_secs(20)).await;
        let newest = sim.disks.iter().map(|disk| disk.chain.head()).max_by_key(|head| head.number()).expect("nodes");
        let recovery = Recovery {
            index: 1,
            after_block: newest.number(),
            head_hash: newest.hash(),
            committee: committee(7, &[0, 1, 4, 5]),
            l1: L1Origin { number: 12, hash: l1_hash(12) },
            timestamp: sim.now(),
        };
        for disk in &sim.disks {
            disk.chain.l1.1.lock().push(recovery.clone());
        }
        sim.reach([0, 1, 4, 5], recovery.after_block + EPOCH).await;
        for number in 1..=12 {
            assert_eq!(sim.disks[4].chain.balance(depositor(number)), U256::from(5 * ETHER), "deposit of L1 block {number}");
        }
        sim.start([2, 3]).await;
        sim.reach(0..6, recovery.after_block + 3 * EPOCH).await;
        sim
    });
}
