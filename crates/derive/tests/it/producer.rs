//! A committee without a network: blocks are built on one ledger, certified with the members' real keys, and committed.

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_signer::SignerSync;
use commonware_codec::Encode;
use commonware_consensus::simplex::types::{Finalize, Proposal};
use commonware_consensus::types::{Epoch, Round, View};
use commonware_utils::iter::NonEmpty;
use oceanid_chain::{BuildLimits, ConsensusContext, Ledger, LedgerConfig};
use oceanid_da::{Batch, BatchBlock};
use oceanid_devnet::accounts::dev_signers;
use oceanid_devnet::network::{DevOptions, DevSequencer, deploy_dev, dev_sequencers};
use oceanid_pool::{Origin, Pool, PoolConfig, PoolRules, StoreState};
use oceanid_primitives::{DEV_CHAIN_ID, HeaderExtension, L1Block, L1Origin, L1View, SealedBlock, TxEnvelope, quorum};
use oceanid_sequencer::types::Finalization;
use oceanid_sequencer::{Certificate, block};
use oceanid_settlement::{L1Certificate, L1Watcher, SettledChain};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SEQUENCERS: u32 = 4;
/// Short, so that a handful of blocks crosses boundaries.
const EPOCH_LENGTH: u64 = 8;
/// Seconds.
const CHALLENGE_WINDOW: u64 = 3;
/// Seconds: longer than any test.
const STALL_TIMEOUT: u64 = 3_600;
/// Tip of ordinary transactions, wei per gas.
const TIP: u128 = 1_000_000;
/// Longest wait for a deposit to be deep.
const DEPOSIT_ROUNDS: u32 = 300;

pub(crate) struct Producer {
    pub(crate) ledger: Ledger,
    pub(crate) sequencers: Vec<DevSequencer>,
    seen: Seen,
    nonce: Mutex<u64>,
    /// A member that makes no block.
    silent: Mutex<Option<B256>>,
    _directory: tempfile::TempDir,
}

/// L1 blocks that were read once.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<BTreeMap<u64, Arc<L1Block>>>>);

impl L1View for Seen {
    fn newest_origin(&self) -> Option<L1Origin> {
        self.0.lock().unwrap().values().next_back().map(|block| block.origin())
    }

    fn block(&self, number: u64) -> Option<Arc<L1Block>> {
        self.0.lock().unwrap().get(&number).cloned()
    }
}

impl Producer {
    /// Deploys the contracts with a committee of four and opens the chain.
    pub(crate) async fn deploy(l1: &str) -> Self {
        Self::deploy_with(l1, STALL_TIMEOUT).await
    }

    /// The same with a stall timeout, seconds.
    pub(crate) async fn deploy_with(l1: &str, stall_timeout: u64) -> Self {
        let sequencers = dev_sequencers(SEQUENCERS).unwrap();
        let options = DevOptions {
            epoch_length: EPOCH_LENGTH,
            challenge_window: CHALLENGE_WINDOW,
            sequencers: SEQUENCERS,
            stall_timeout,
            ..DevOptions::default()
        };
        let deployment = deploy_dev(l1, &options, &sequencers, &|_| ()).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path(), Arc::new(deployment.spec), LedgerConfig::default()).unwrap();
        Self { ledger, sequencers, seen: Seen::default(), nonce: Mutex::new(0), silent: Mutex::default(), _directory: directory }
    }

    pub(crate) fn head(&self) -> u64 {
        self.ledger.head().number()
    }

    /// What this producer has seen of L1.
    pub(crate) fn l1(&self) -> Seen {
        self.seen.clone()
    }

    /// Until a deposit is deep enough to be taken in.
    pub(crate) async fn wait_for_deposit(&self, watcher: &L1Watcher) {
        for _ in 0..DEPOSIT_ROUNDS {
            if self.ledger.has_work(self.ledger.head().hash(), watcher, false).unwrap() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the deposit does not arrive: {:?}", watcher.status());
    }

    /// Makes `count` blocks of a few transfers each. Every third has no certificate of its own, as when consensus finalises a
    /// successor first; the last one of a call has one.
    pub(crate) fn blocks(&self, watcher: &L1Watcher, count: u64) {
        for index in 1..=count {
            let transactions = (0..3).map(|_| self.transfer()).collect();
            self.block(watcher, transactions, index % 3 != 0 || index == count);
        }
    }

    /// Makes a block whose transactions carry `count` times `bytes` bytes that no compressor shortens.
    pub(crate) fn noise_block(&self, watcher: &L1Watcher, count: u64, bytes: usize) {
        let mut state = B256::ZERO;
        let transactions = (0..count).map(|_| {
            let noise = (0..bytes / 32).flat_map(|_| {
                state = keccak256(state);
                state.0
            });
            self.call(noise.collect::<Vec<u8>>().into(), 5_000_000)
        });
        self.block(watcher, transactions.collect(), true);
    }

    /// Builds and commits a block of these transactions; it has a certificate of its own if asked for, and at the end of an epoch.
    pub(crate) fn block(
        &self,
        watcher: &L1Watcher,
        mut transactions: VecDeque<(Arc<TxEnvelope>, Address)>,
        certified: bool,
    ) -> Arc<SealedBlock> {
        let parent = self.ledger.head();
        self.remember(watcher, &parent);
        let context = self.next_context();
        let block =
            self.ledger.build(parent.hash(), context, now(), &self.seen, &mut transactions, BuildLimits::default()).unwrap();
        assert!(transactions.is_empty());
        let last_of_epoch = block.number() == self.ledger.epochs().end_of(block.number());
        let certificate = (certified || last_of_epoch).then(|| self.certify(&context, block.hash()));
        self.ledger.commit(&block, certificate).unwrap();
        block
    }

    /// From now on this member makes no block: its views time out.
    pub(crate) fn without(&self, member: Option<B256>) {
        *self.silent.lock().unwrap() = member;
    }

    /// Makes a block that pays fees worth a withdrawal to L1.
    pub(crate) fn generous_block(&self, watcher: &L1Watcher) {
        const GENEROUS: u128 = 100_000_000_000_000;
        let to = Address::with_last_byte(0x80);
        self.block(watcher, [self.signed(to, U256::ZERO, Bytes::new(), 21_000, GENEROUS)].into(), true);
    }

    /// Where in consensus the block after the head stands. Only a silent member's views are skipped.
    pub(crate) fn next_context(&self) -> ConsensusContext {
        let parent = self.ledger.head();
        let before = HeaderExtension::decode(&parent.header().extra_data).unwrap();
        let epoch = self.ledger.epochs().of(parent.number() + 1);
        let parent_view = if before.epoch == epoch { before.view } else { 0 };
        let committee = self.ledger.committee_of_epoch(epoch).unwrap().unwrap();
        let silent = self.silent.lock().unwrap().and_then(|member| committee.index_of(&member));
        let mut view = parent_view + 1;
        while silent.is_some_and(|silent| committee.leader(epoch, view) as usize == silent) {
            view += 1;
        }
        ConsensusContext { epoch, view, parent_view, leader: committee.leader(epoch, view) }
    }

    /// A pool that holds one transfer which is valid now.
    pub(crate) fn pool_with_transfer(&self) -> Arc<Pool> {
        let spec = self.ledger.spec();
        let state = Arc::new(StoreState::rollup(self.ledger.store().clone(), spec.clone()));
        let config = PoolConfig::new(PoolRules::Rollup, spec.chain_id, spec.fees.gas_limit, u128::from(spec.fees.min_base_fee));
        let pool = Arc::new(Pool::new(config, state));
        let nonce = *self.nonce.lock().unwrap();
        let (transfer, _) = self.transfer();
        *self.nonce.lock().unwrap() = nonce;
        pool.add_raw(&transfer.encoded_2718(), Origin::Local).unwrap();
        pool
    }

    fn remember(&self, watcher: &L1Watcher, parent: &SealedBlock) {
        let origin = HeaderExtension::decode(&parent.header().extra_data).unwrap().origin;
        let newest = watcher.newest_origin().unwrap();
        for number in origin.number..=newest.number {
            if let Some(block) = watcher.block(number) {
                self.seen.0.lock().unwrap().insert(number, block);
            }
        }
    }

    /// The account that sends everything here.
    pub(crate) fn account(&self) -> Address {
        dev_signers()[0].address()
    }

    fn transfer(&self) -> (Arc<TxEnvelope>, Address) {
        self.call(Bytes::new(), 21_000)
    }

    /// A call of an account without code, another each time.
    fn call(&self, input: Bytes, gas_limit: u64) -> (Arc<TxEnvelope>, Address) {
        let nonce = *self.nonce.lock().unwrap();
        let to = Address::with_last_byte(nonce as u8 | 0x80);
        self.signed(to, U256::from(1_000_000_000u64 + nonce), input, gas_limit, TIP)
    }

    /// A call with gas for anything.
    pub(crate) fn transaction(&self, to: Address, value: U256, input: Bytes) -> (Arc<TxEnvelope>, Address) {
        self.signed(to, value, input, 500_000, TIP)
    }

    fn signed(&self, to: Address, value: U256, input: Bytes, gas_limit: u64, tip: u128) -> (Arc<TxEnvelope>, Address) {
        let signer = &dev_signers()[0];
        let nonce = {
            let nonce = &mut *self.nonce.lock().unwrap();
            *nonce += 1;
            *nonce - 1
        };
        let tx = TxEip1559 {
            chain_id: DEV_CHAIN_ID,
            nonce,
            gas_limit,
            max_fee_per_gas: 100_000_000_000 + tip,
            max_priority_fee_per_gas: tip,
            to: TxKind::Call(to),
            value,
            input,
            ..TxEip1559::default()
        };
        let signature = signer.sign_hash_sync(&tx.signature_hash()).unwrap();
        (Arc::new(TxEnvelope::Eip1559(tx.into_signed(signature))), signer.address())
    }

    /// A quorum's finalisation, as consensus makes it.
    fn certify(&self, context: &ConsensusContext, hash: B256) -> Bytes {
        let committee = self.ledger.committee_of_epoch(context.epoch).unwrap().unwrap();
        let namespace = self.ledger.namespace();
        let round = Round::new(Epoch::new(context.epoch), View::new(context.view));
        let proposal = Proposal::new(round, View::new(context.parent_view), block::digest(hash));
        let schemes: Vec<_> =
            self.sequencers.iter().filter_map(|sequencer| sequencer.keys.voting_scheme(&namespace, &committee)).collect();
        let votes: Vec<_> = schemes
            .iter()
            .take(quorum(committee.members.len()))
            .map(|scheme| Finalize::sign(scheme, proposal.clone()).unwrap())
            .collect();
        let votes = NonEmpty::try_new(votes.into_iter()).unwrap();
        Finalization::from_owned_finalizes(&schemes[0], votes, &commonware_parallel::Sequential).unwrap().encode().to_vec().into()
    }

    /// Batch data of committed blocks.
    pub(crate) fn batch(&self, first: u64, last: u64) -> Vec<u8> {
        let blocks = (first..=last)
            .map(|number| BatchBlock::from_block(SettledChain::block(&self.ledger, number).unwrap().block()).unwrap())
            .collect();
        Batch { blocks }.encode(DEV_CHAIN_ID).unwrap()
    }
}

/// As `oceanid-node` wires it.
pub(crate) fn l1_certificate(stored: &[u8]) -> Result<L1Certificate, String> {
    let certificate = Certificate::decode(stored).map_err(|error| error.to_string())?;
    let l1 = certificate.to_l1().map_err(|error| error.to_string())?;
    let signature = Bytes::copy_from_slice(l1.signature.as_slice());
    Ok(L1Certificate { view: l1.view, parent_view: l1.parent_view, signers: l1.signers, signature })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
