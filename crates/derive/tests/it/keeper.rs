//! Keepers over the embedded L1 and the real contracts: each duty is done once, by one node, whoever that is.

use crate::l1::L1;
use crate::producer::Producer;
use crate::{Link, PATIENCE, POLL, REPLACE_AFTER, settled};
use alloy_primitives::{B256, Bytes, U256};
use commonware_codec::Encode;
use commonware_consensus::simplex::types::{Notarize, Proposal};
use commonware_consensus::types::{Epoch, Round, View};
use oceanid_contracts::l1::{FeeSplitter, MiningRewards, Rollup, SequencerPool, Slasher};
use oceanid_primitives::DaMode;
use oceanid_sequencer::{block, g1_eip2537};
use oceanid_settlement::{Evidence, EvidenceSource, Keeper, KeeperConfig, L1Account, NoEvidence, Task};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const STAGGER: Duration = Duration::from_secs(4);

/// The keeper of a member.
fn keeper(link: &Link, producer: &Producer, member: usize, evidence: Arc<dyn EvidenceSource>) -> (Keeper, Task) {
    let sequencer = &producer.sequencers[member];
    let spec = producer.ledger.spec().clone();
    let account = L1Account::new(link.client.clone(), sequencer.poster.clone(), spec.l1_chain_id, REPLACE_AFTER);
    let config = KeeperConfig {
        stagger: STAGGER,
        survey: POLL,
        credit_epochs: 1,
        ..KeeperConfig::new(account, Some(sequencer.keys.identity()), POLL)
    };
    Keeper::start(link.client.clone(), spec, Arc::new(producer.ledger.clone()), evidence, config)
}

/// Keepers of the members 1 to 3. Member 0 posts batches and keeps nothing, so its turns pass.
fn keepers(link: &Link, producer: &Producer) -> Vec<(Keeper, Task)> {
    (1..4).map(|member| keeper(link, producer, member, Arc::new(NoEvidence))).collect()
}

async fn until<T: PartialEq + core::fmt::Debug>(what: &str, keepers: &[(Keeper, Task)], ask: impl AsyncFn() -> T, wanted: T) {
    let start = Instant::now();
    loop {
        let found = ask().await;
        if found == wanted {
            return;
        }
        let status: Vec<_> = keepers.iter().map(|(keeper, _)| keeper.status()).collect();
        assert!(start.elapsed() < PATIENCE, "never: {what}: {found:?} instead of {wanted:?}; {status:#?}");
        tokio::time::sleep(POLL).await;
    }
}

fn refused(keepers: &[(Keeper, Task)]) -> u64 {
    keepers.iter().map(|(keeper, _)| keeper.status().refused).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_duty_is_done_once_and_by_one_node() {
    let l1 = L1::embedded().await;
    let producer = Producer::deploy(l1.http()).await;
    let link = Link::new(&l1, &producer.ledger).await;
    let (pool, rewards, splitter) = {
        let l1 = &producer.ledger.spec().l1;
        (l1.pool, l1.rewards, l1.fee_splitter)
    };
    let (batcher, _batching) = link.batcher(&producer, 0, DaMode::Calldata);

    // Two epochs in which member 3 is silent, with fees worth a withdrawal.
    let silent = producer.sequencers[3].keys.identity();
    let committee = producer.ledger.spec().committee.clone();
    let id = committee.members[committee.index_of(&silent).unwrap()].id;
    let epoch = producer.ledger.spec().timing.epoch_length;
    producer.without(Some(silent));
    producer.generous_block(&link.watcher);
    producer.blocks(&link.watcher, 2 * epoch);
    settled(&batcher, producer.head()).await;

    // Deployment named the posters, so that what they spend is counted.
    let poster = producer.sequencers[0].poster.address();
    let rollup = producer.ledger.spec().l1.rollup;
    assert!(!l1.view(rollup, Rollup::postingCostCall { poster }).await.is_zero());

    // Credits and fees, by keepers that are all stopped and started again on the way.
    let first = keepers(&link, &producer);
    until("epochs are credited", &first, async || l1.view(rewards, MiningRewards::nextEpochCall {}).await, 2).await;
    drop(first);
    let keepers = keepers(&link, &producer);
    let fees = async || !l1.view(rewards, MiningRewards::totalFeesCall {}).await.eq(&0);
    until("fees reach the rewards", &keepers, fees, true).await;
    assert!(l1.view(splitter, FeeSplitter::unsettledCall {}).await < U256::from(1_000_000_000_000_000_000u64));

    // The silent member is jailed once its bad epochs are final, and a rotation follows, because it is of use.
    let wanted = l1.view(rewards, MiningRewards::JAIL_EPOCHSCall {}).await.to::<u64>();
    producer.blocks(&link.watcher, wanted * epoch);
    settled(&batcher, producer.head()).await;
    const JAILED: u8 = 4;
    let status = async || l1.view(pool, SequencerPool::sequencerCall { id }).await.status;
    until("the silent member is jailed", &keepers, status, JAILED).await;
    let latest = async || l1.view(pool, SequencerPool::latestCommitteeCall {}).await;
    until("a committee without it is fixed", &keepers, latest, 2).await;
    let members = l1.view(pool, SequencerPool::activeSetCall {}).await;
    assert_eq!(members.len(), 3, "{members:?}");

    // Layer 2 hears of it; nothing is left to rotate for, and nobody has paid for what another did.
    producer.wait_for_deposit(&link.watcher).await;
    producer.blocks(&link.watcher, 1);
    for (keeper, _) in &keepers {
        let mut changes = keeper.subscribe();
        let quiet = changes.wait_for(|status| status.rotation_because.is_none() && status.in_flight.is_none());
        tokio::time::timeout(PATIENCE, quiet).await.expect("a rotation changes nothing").unwrap();
        assert_eq!(keeper.status().last_error, None);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(latest().await, 2);
    assert_eq!(refused(&keepers), 0);
    l1.stop().await;
}

/// Two notarize votes of one member in one view, as a node that saw both would hand them on.
struct Found {
    evidence: Evidence,
    acknowledged: Mutex<bool>,
}

impl Found {
    fn new(producer: &Producer, member: usize, view: u64) -> Self {
        let committee = producer.ledger.spec().committee.clone();
        let scheme = producer.sequencers[member].keys.voting_scheme(&producer.ledger.namespace(), &committee).unwrap();
        let vote = |payload: u8| {
            let payload = B256::repeat_byte(payload);
            let round = Round::new(Epoch::zero(), View::new(view));
            let proposal = Proposal::new(round, View::new(view - 1), block::digest(payload));
            let encoded = Notarize::sign(&scheme, proposal).unwrap().encode();
            let signature = g1_eip2537(&encoded[encoded.len() - 48..]).unwrap();
            let signature = Bytes::copy_from_slice(signature.as_slice());
            Slasher::Vote { kind: 0, view_: view, parentView: view - 1, payload, signature }
        };
        let index = committee.index_of(&producer.sequencers[member].keys.identity()).unwrap();
        let evidence = Evidence::Equivocation {
            epoch: 0,
            committee_id: committee.id,
            member: index as u32,
            first: vote(1),
            second: vote(2),
        };
        Self { evidence, acknowledged: Mutex::new(false) }
    }
}

impl EvidenceSource for Found {
    fn pending(&self) -> Vec<(usize, Evidence)> {
        if *self.acknowledged.lock().unwrap() { Vec::new() } else { vec![(0, self.evidence.clone())] }
    }

    fn acknowledge(&self, number: usize) {
        assert_eq!(number, 0);
        *self.acknowledged.lock().unwrap() = true;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_equivocation_is_punished_once_by_whoever_is_first() {
    let l1 = L1::embedded().await;
    let producer = Producer::deploy(l1.http()).await;
    let link = Link::new(&l1, &producer.ledger).await;
    let pool = producer.ledger.spec().l1.pool;
    let committee = producer.ledger.spec().committee.clone();
    let guilty = committee.index_of(&producer.sequencers[2].keys.identity()).unwrap();
    let id = committee.members[guilty].id;
    let stake = l1.view(pool, SequencerPool::stakeOfCall { id }).await;

    // Two nodes saw it; the guilty one keeps silent.
    let found: Vec<_> = [1, 3].into_iter().map(|_| Arc::new(Found::new(&producer, 2, 5))).collect();
    let keepers: Vec<_> =
        [1, 3].into_iter().zip(&found).map(|(member, found)| keeper(&link, &producer, member, found.clone())).collect();
    for (keeper, _) in &keepers {
        let mut changes = keeper.subscribe();
        let waits = changes.wait_for(|status| status.pending_evidence == 1);
        tokio::time::timeout(PATIENCE, waits).await.expect("evidence is seen").unwrap();
    }
    assert_eq!(l1.view(pool, SequencerPool::stakeOfCall { id }).await, stake, "its epoch is not on L1 yet");

    producer.blocks(&link.watcher, 3);
    let (batcher, _batching) = link.batcher(&producer, 0, DaMode::Calldata);
    settled(&batcher, producer.head()).await;
    let penalty = U256::from(1_000_000_000_000_000_000_000u128).max(stake / U256::from(20));
    let left = async || l1.view(pool, SequencerPool::stakeOfCall { id }).await;
    until("the equivocation is punished", &keepers, left, stake - penalty).await;
    let over = async || found.iter().all(|found| *found.acknowledged.lock().unwrap());
    until("both nodes have seen that", &keepers, over, true).await;
    assert_eq!(left().await, stake - penalty, "once");
    assert_eq!(refused(&keepers), 0);
    l1.stop().await;
}

/// In front of what was found, a proof of a committee that nobody knows.
struct BehindAStranger(Found);

impl EvidenceSource for BehindAStranger {
    fn pending(&self) -> Vec<(usize, Evidence)> {
        let mut stranger = self.0.evidence.clone();
        if let Evidence::Equivocation { committee_id, .. } = &mut stranger {
            *committee_id = 99;
        }
        [(1, stranger)].into_iter().chain(self.0.pending()).collect()
    }

    fn acknowledge(&self, number: usize) {
        self.0.acknowledge(number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_cannot_be_judged_keeps_nothing_else_from_being_done() {
    let l1 = L1::embedded().await;
    let producer = Producer::deploy(l1.http()).await;
    let link = Link::new(&l1, &producer.ledger).await;
    let (pool, committee) = (producer.ledger.spec().l1.pool, producer.ledger.spec().committee.clone());
    let guilty = committee.index_of(&producer.sequencers[2].keys.identity()).unwrap();
    let id = committee.members[guilty].id;
    let stake = l1.view(pool, SequencerPool::stakeOfCall { id }).await;
    let found = Arc::new(BehindAStranger(Found::new(&producer, 2, 5)));
    let keepers = [keeper(&link, &producer, 1, found.clone())];
    producer.blocks(&link.watcher, 3);
    let (batcher, _batching) = link.batcher(&producer, 0, DaMode::Calldata);
    settled(&batcher, producer.head()).await;
    let less = async || l1.view(pool, SequencerPool::stakeOfCall { id }).await < stake;
    until("the proof behind it is submitted", &keepers, less, true).await;
    let told = async || keepers[0].0.status().last_error.is_some_and(|error| error.starts_with("evidence: "));
    until("the status says what could not be judged", &keepers, told, true).await;
    l1.stop().await;
}
