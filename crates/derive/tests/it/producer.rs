//! A committee without a network: blocks are built on one ledger, certified with the members' real keys, and committed.

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use commonware_codec::Encode;
use commonware_consensus::simplex::types::{Finalize, Proposal};
use commonware_consensus::types::{Epoch, Round, View};
use commonware_utils::iter::NonEmpty;
use oceanid_chain::{BuildLimits, ConsensusContext, Ledger, LedgerConfig};
use oceanid_da::{Batch, BatchBlock};
use oceanid_devnet::accounts::dev_signers;
use oceanid_devnet::network::{DevOptions, DevSequencer, deploy_dev, dev_sequencers};
use oceanid_primitives::{
    Committee, DEV_CHAIN_ID as CHAIN_ID, HeaderExtension, L1Block, L1Origin, L1View, SealedBlock, TxEnvelope, quorum,
};
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
/// Longest wait for a deposit to be deep.
const DEPOSIT_ROUNDS: u32 = 300;

pub(crate) struct Producer {
    pub(crate) ledger: Ledger,
    pub(crate) sequencers: Vec<DevSequencer>,
    seen: Seen,
    nonce: Mutex<u64>,
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
        let sequencers = dev_sequencers(SEQUENCERS).unwrap();
        let options = DevOptions {
            epoch_length: EPOCH_LENGTH,
            challenge_window: CHALLENGE_WINDOW,
            sequencers: SEQUENCERS,
            ..DevOptions::default()
        };
        let deployment = deploy_dev(l1, &options, &sequencers, &|_| ()).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path(), Arc::new(deployment.spec), LedgerConfig::default()).unwrap();
        Self { ledger, sequencers, seen: Seen::default(), nonce: Mutex::new(0), _directory: directory }
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
            let parent = self.ledger.head();
            let number = parent.number() + 1;
            self.remember(watcher, &parent);
            let epochs = self.ledger.epochs();
            let before = HeaderExtension::decode(&parent.header().extra_data).unwrap();
            let epoch = epochs.of(number);
            let parent_view = if before.epoch == epoch { before.view } else { 0 };
            let committee = self.ledger.committee_of_epoch(epoch).unwrap().unwrap();
            let view = parent_view + 1;
            let context = ConsensusContext { epoch, view, parent_view, leader: committee.leader(epoch, view) };
            let mut transactions: VecDeque<_> = (0..3).map(|_| self.transfer()).collect();
            let block =
                self.ledger.build(parent.hash(), context, now(), &self.seen, &mut transactions, BuildLimits::default()).unwrap();
            assert!(transactions.is_empty());
            let last_of_epoch = number == epochs.end_of(number);
            let certified = index % 3 != 0 || index == count || last_of_epoch;
            let certificate = certified.then(|| self.certify(&committee, &context, block.hash()));
            self.ledger.commit(&block, certificate).unwrap();
        }
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

    fn transfer(&self) -> (Arc<TxEnvelope>, Address) {
        let signer = &dev_signers()[0];
        let nonce = {
            let nonce = &mut *self.nonce.lock().unwrap();
            *nonce += 1;
            *nonce - 1
        };
        let tx = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 100_000_000_000,
            max_priority_fee_per_gas: 1_000_000,
            to: TxKind::Call(Address::with_last_byte(nonce as u8 | 0x80)),
            value: U256::from(1_000_000_000u64 + nonce),
            ..TxEip1559::default()
        };
        let signature = signer.sign_hash_sync(&tx.signature_hash()).unwrap();
        (Arc::new(TxEnvelope::Eip1559(tx.into_signed(signature))), signer.address())
    }

    /// A quorum's finalisation, as consensus makes it.
    fn certify(&self, committee: &Committee, context: &ConsensusContext, hash: B256) -> Bytes {
        let namespace = self.ledger.namespace();
        let round = Round::new(Epoch::new(context.epoch), View::new(context.view));
        let proposal = Proposal::new(round, View::new(context.parent_view), block::digest(hash));
        let schemes: Vec<_> =
            self.sequencers.iter().filter_map(|sequencer| sequencer.keys.voting_scheme(&namespace, committee)).collect();
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
        Batch { blocks }.encode(CHAIN_ID).unwrap()
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
