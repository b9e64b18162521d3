//! Keepers over the embedded L1 and the real contracts: each duty is done once, by one node, whoever that is.

use crate::l1::L1;
use crate::producer::Producer;
use crate::proxy::{Proxy, call_of};
use crate::{Link, PATIENCE, POLL, REPLACE_AFTER, followed, settled};
use alloy_primitives::{B256, Bytes, FixedBytes, U256, hex, keccak256};
use alloy_sol_types::SolCall;
use commonware_codec::Encode;
use commonware_consensus::simplex::types::{Notarize, Proposal};
use commonware_consensus::types::{Epoch, Round, View};
use oceanid_chain::Ledger;
use oceanid_contracts::l1::{FeeSplitter, MiningRewards, Rollup, SequencerPool, Slasher};
use oceanid_derive::{Follower, FollowerConfig, ledger_config};
use oceanid_node::Watch;
use oceanid_primitives::{DaMode, L1View, RECOVERY_EPOCHS};
use oceanid_sequencer::{EvidenceChecker, EvidenceKind, EvidenceLog, EvidenceRecord, Statement, VoteKind, block, g1_eip2537};
use oceanid_settlement::{
    Evidence, EvidenceSource, Keeper, KeeperConfig, L1Account, L1Client, MAX_AN_HOUR, NoEvidence, Pricing, Task,
};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const STAGGER: Duration = Duration::from_secs(4);

/// The keeper of a member.
fn keeper(link: &Link, producer: &Producer, member: usize, evidence: Arc<dyn EvidenceSource>) -> (Keeper, Task) {
    keeper_over(&link.client, producer, member, evidence)
}

/// The same over another way to L1.
fn keeper_over(client: &L1Client, producer: &Producer, member: usize, evidence: Arc<dyn EvidenceSource>) -> (Keeper, Task) {
    let sequencer = &producer.sequencers[member];
    let spec = producer.ledger.spec().clone();
    let account = L1Account::new(client.clone(), sequencer.poster.clone(), spec.l1_chain_id, Pricing::new(REPLACE_AFTER));
    let config = KeeperConfig {
        stagger: STAGGER,
        survey: POLL,
        credit_epochs: 1,
        ..KeeperConfig::new(account, Some(sequencer.keys.identity()), POLL)
    };
    Keeper::start(client.clone(), spec, Arc::new(producer.ledger.clone()), evidence, config)
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
    /// Its place in the node's list.
    place: usize,
    evidence: Evidence,
    acknowledged: Mutex<bool>,
}

impl Found {
    fn new(producer: &Producer, member: usize, view: u64) -> Self {
        Self::at(0, producer, member, view)
    }

    fn at(place: usize, producer: &Producer, member: usize, view: u64) -> Self {
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
        Self { place, evidence, acknowledged: Mutex::new(false) }
    }
}

impl EvidenceSource for Found {
    fn pending(&self) -> Vec<(usize, Evidence)> {
        if *self.acknowledged.lock().unwrap() { Vec::new() } else { vec![(self.place, self.evidence.clone())] }
    }

    fn acknowledge(&self, number: usize) {
        assert_eq!(number, self.place);
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

    // Two nodes saw it, and have it in such places of their lists that each would be first if the place decided; the guilty one keeps silent.
    let seat = |member: usize| committee.index_of(&producer.sequencers[member].keys.identity()).unwrap();
    let found: Vec<_> = [1, 3].into_iter().map(|member| Arc::new(Found::at(seat(member), &producer, 2, 5))).collect();
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

/// A sequencer's JSON-RPC endpoint that answers `seq_evidence` as it likes; its server ends with the runtime of the test.
async fn endpoint(answer: impl Fn(usize) -> serde_json::Value + Clone + Send + Sync + 'static) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let handler = move |axum::Json(request): axum::Json<serde_json::Value>| {
        assert_eq!(request["method"], "seq_evidence");
        let from = request["params"][0].as_str().unwrap().trim_start_matches("0x").to_owned();
        let answer = answer(usize::from_str_radix(&from, 16).unwrap());
        async move { axum::Json(answer) }
    };
    let router = axum::Router::new().route("/", axum::routing::post(handler));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// What a sequencer keeps of two votes that it saw.
fn record(producer: &Producer, evidence: &Evidence) -> EvidenceRecord {
    let Evidence::Equivocation { epoch, committee_id, member, first, second } = evidence else { unreachable!("two votes") };
    let statement = |vote: &Slasher::Vote| Statement {
        vote: VoteKind::Notarize,
        parent_view: vote.parentView,
        payload: vote.payload,
        signers: None,
        signature: FixedBytes::from_slice(&vote.signature),
    };
    EvidenceRecord {
        epoch: *epoch,
        view: first.view_,
        committee_id: *committee_id,
        kind: EvidenceKind::ConflictingNotarize,
        signers: vec![*member],
        identities: vec![producer.ledger.spec().committee.members[*member as usize].identity],
        statements: [statement(first), statement(second)],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_that_watches_submits_an_equivocation_which_it_never_saw() {
    let l1 = L1::embedded().await;
    let producer = Producer::deploy(l1.http()).await;
    let link = Link::new(&l1, &producer.ledger).await;
    let spec = producer.ledger.spec().clone();
    producer.blocks(&link.watcher, 3);
    let (batcher, _batching) = link.batcher(&producer, 0, DaMode::Calldata);
    settled(&batcher, producer.head()).await;

    // A follower from nothing.
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&directory.path().join("chain"), spec.clone(), ledger_config()).unwrap();
    let own = Link::new(&l1, &ledger).await;
    let config = FollowerConfig { poll: POLL };
    let (follower, _following) =
        Follower::start(ledger.clone(), own.client.clone(), own.watcher.clone(), own.reader.clone(), config);
    followed(&follower, producer.head()).await;

    // One sequencer saw member 2 vote twice. The others say it of member 3, who did not; answer without end or order; or not at all.
    let proof = Found::new(&producer, 2, 5).evidence;
    let seen = EvidenceLog::in_memory();
    let checker = EvidenceChecker::new(&producer.ledger.namespace(), spec.committee.clone()).unwrap();
    assert_eq!(seen.admit(record(&producer, &proof), &checker), Ok(true));
    let innocent = spec.committee.index_of(&producer.sequencers[3].keys.identity()).unwrap();
    let framed = EvidenceRecord {
        signers: vec![innocent as u32],
        identities: vec![spec.committee.members[innocent].identity],
        ..record(&producer, &proof)
    };
    let page = |place: usize, record: &EvidenceRecord| json!({ "result": { "count": place + 1, "evidence": [{ "place": place, "record": record }], "next": null } });
    let (forged, of_the_future) = (page(0, &framed), page(0, &EvidenceRecord { epoch: u64::MAX, ..framed.clone() }));
    let peers = [
        endpoint(move |_| forged.clone()).await,
        endpoint(move |_| of_the_future.clone()).await,
        endpoint(|_| json!({ "result": { "count": 0, "evidence": [], "next": null, "more": "x".repeat(3 << 20) } })).await,
        endpoint(|from| json!({ "result": { "count": usize::MAX, "evidence": [], "next": from } })).await,
        endpoint(|_| json!({ "error": { "code": -32601, "message": "no such method" } })).await,
        "http://127.0.0.1:1".to_owned(),
        endpoint(move |from| json!({ "result": seen.page(from) })).await,
    ];
    let mut watch = Watch::open(&directory.path().join("watch"), ledger.clone(), &peers).unwrap();
    watch.round().await;
    assert_eq!(watch.proofs().pending(), [(0, proof)], "the one that holds, and nothing else");
    watch.round().await;
    assert_eq!(watch.proofs().pending().len(), 1, "once");

    let guilty = spec.committee.index_of(&producer.sequencers[2].keys.identity()).unwrap();
    let id = spec.committee.members[guilty].id;
    let stake = l1.view(spec.l1.pool, SequencerPool::stakeOfCall { id }).await;
    let pricing = Pricing::new(REPLACE_AFTER);
    let account = L1Account::new(own.client.clone(), producer.sequencers[1].poster.clone(), spec.l1_chain_id, pricing);
    let config = KeeperConfig { stagger: Duration::from_secs(1), ..KeeperConfig::new(account, None, POLL) };
    let keepers = [Keeper::start(own.client.clone(), spec.clone(), Arc::new(ledger), Arc::new(watch.proofs()), config)];
    let less = async || l1.view(spec.l1.pool, SequencerPool::stakeOfCall { id }).await < stake;
    until("the equivocation is punished", &keepers, less, true).await;
    until("it is over", &keepers, async || watch.proofs().pending().is_empty(), true).await;
    l1.stop().await;
}

/// Two proofs in one case, the first of which L1 cannot take.
struct Twice(Found, Found);

impl EvidenceSource for Twice {
    fn pending(&self) -> Vec<(usize, Evidence)> {
        self.0.pending().into_iter().chain(self.1.pending()).collect()
    }

    fn acknowledge(&self, number: usize) {
        let found = if number == self.0.place { &self.0 } else { &self.1 };
        found.acknowledge(number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_that_cannot_be_sent_keeps_no_other_from_being_done() {
    let l1 = L1::embedded().await;
    let producer = Producer::deploy(l1.http()).await;
    let link = Link::new(&l1, &producer.ledger).await;
    let (pool, slasher) = (producer.ledger.spec().l1.pool, producer.ledger.spec().l1.slasher);
    producer.blocks(&link.watcher, 3);
    let (batcher, _batching) = link.batcher(&producer, 0, DaMode::Calldata);
    settled(&batcher, producer.head()).await;

    // The first proof against a member needs more gas than a transaction has, or L1 refuses it without a reason.
    let refusals = [
        (2, json!({ "result": "0x1000001" }), "estimates 16777217 gas"),
        (3, json!({ "error": { "code": -32000, "message": "out of gas" } }), "out of gas"),
    ];
    for (guilty, answer, reason) in refusals {
        let found = Arc::new(Twice(Found::at(0, &producer, guilty, 5), Found::at(1, &producer, guilty, 6)));
        let Evidence::Equivocation { first, member, .. } = &found.0.evidence else { unreachable!("two votes") };
        let id = producer.ledger.spec().committee.members[*member as usize].id;
        let stake = l1.view(pool, SequencerPool::stakeOfCall { id }).await;
        let (slasher, vote) = (format!("{slasher:#x}"), first.signature.to_string().trim_start_matches("0x").to_owned());
        let proxy = Proxy::start(&l1, move |request, truth| {
            let call = request["params"][0].to_string();
            let first = request["method"] == "eth_estimateGas" && call.contains(&slasher) && call.contains(&vote);
            if first { answer.clone() } else { truth }
        })
        .await;
        let keepers = [keeper_over(&proxy.client(), &producer, 1, found.clone())];
        let told = async || keepers[0].0.status().last_error.is_some_and(|error| error.contains(reason));
        until("the status says what could not be sent", &keepers, told, true).await;
        let less = async || l1.view(pool, SequencerPool::stakeOfCall { id }).await < stake;
        until("the second proof is submitted", &keepers, less, true).await;
        until("both proofs are over", &keepers, async || found.pending().is_empty(), true).await;
    }
    l1.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn evidence_is_acknowledged_when_no_reorganisation_takes_the_penalty_back() {
    let l1 = L1::embedded().await;
    let producer = Producer::deploy(l1.http()).await;
    let link = Link::new(&l1, &producer.ledger).await;
    let (pool, slasher) = (producer.ledger.spec().l1.pool, producer.ledger.spec().l1.slasher);
    let committee = producer.ledger.spec().committee.clone();
    let id = committee.members[committee.index_of(&producer.sequencers[2].keys.identity()).unwrap()].id;
    let stake = l1.view(pool, SequencerPool::stakeOfCall { id }).await;

    // The penalty is in the newest state, and not yet in that of the deep block.
    let shallow = Arc::new(AtomicBool::new(true));
    let proxy = {
        let shallow = shallow.clone();
        Proxy::start(&l1, move |request, truth| {
            let deep = request["params"][1] != json!("latest");
            let asked =
                call_of(request).is_some_and(|(to, input)| to == slasher && input.starts_with(&Slasher::punishedCall::SELECTOR));
            if asked && deep && shallow.load(Ordering::Relaxed) { json!({ "result": B256::ZERO }) } else { truth }
        })
        .await
    };
    let found = Arc::new(Found::new(&producer, 2, 5));
    let keepers = [keeper_over(&proxy.client(), &producer, 1, found.clone())];
    producer.blocks(&link.watcher, 3);
    let (batcher, _batching) = link.batcher(&producer, 0, DaMode::Calldata);
    settled(&batcher, producer.head()).await;
    let less = async || l1.view(pool, SequencerPool::stakeOfCall { id }).await < stake;
    until("the equivocation is punished", &keepers, less, true).await;
    let idle = async || keepers[0].0.status().in_flight.is_none() && keepers[0].0.status().due.is_empty();
    until("nothing is due", &keepers, idle, true).await;
    tokio::time::sleep(10 * POLL).await;
    assert!(!*found.acknowledged.lock().unwrap(), "a reorganisation could take the penalty back");
    assert_eq!(keepers[0].0.status().pending_evidence, 1);
    shallow.store(false, Ordering::Relaxed);
    until("the penalty is deep", &keepers, async || *found.acknowledged.lock().unwrap(), true).await;
    l1.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_chain_that_stands_still_is_recovered_once_and_goes_on() {
    const STALL: u64 = 8;
    let l1 = L1::embedded().await;
    let producer = Producer::deploy_with(l1.http(), STALL).await;
    let link = Link::new(&l1, &producer.ledger).await;
    let rollup = producer.ledger.spec().l1.rollup;
    let (batcher, _batching) = link.batcher(&producer, 0, DaMode::Calldata);
    producer.blocks(&link.watcher, 3);
    settled(&batcher, producer.head()).await;
    let last = producer.head();

    // The committee makes nothing any more. Nothing else calls for a rotation, and without one there is nobody to go on.
    let keepers = keepers(&link, &producer);
    let recoveries = async || l1.view(rollup, Rollup::recoveriesCall {}).await;
    until("the chain is recovered", &keepers, recoveries, 1).await;
    assert_eq!(refused(&keepers), 0);
    drop(keepers);

    // The nodes see it, count epochs as L1 does, and L1 takes the new committee's batch.
    let start = Instant::now();
    let recovery = loop {
        if let Some(recovery) = link.watcher.recoveries().into_iter().next() {
            break recovery;
        }
        assert!(start.elapsed() < PATIENCE, "the recovery does not arrive");
        tokio::time::sleep(POLL).await;
    };
    assert_eq!((recovery.after_block, recovery.committee.id), (last, 2));
    assert!(producer.ledger.admit(&recovery).unwrap());
    assert_eq!(l1.view(rollup, Rollup::RECOVERY_EPOCHSCall {}).await, RECOVERY_EPOCHS);
    producer.blocks(&link.watcher, 2);
    settled(&batcher, producer.head()).await;
    assert_eq!(l1.view(rollup, Rollup::headCall {}).await.epoch, RECOVERY_EPOCHS);
    l1.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_endpoint_that_finds_the_same_thing_due_for_ever_is_not_paid_for_ever() {
    let l1 = L1::embedded().await;
    let producer = Producer::deploy(l1.http()).await;
    let splitter = producer.ledger.spec().l1.fee_splitter;
    // Fees always wait to be split, and another transaction always takes the nonce.
    let nonce = AtomicUsize::new(0);
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let proxy = Proxy::swallowing(&l1, move |request, truth| match request["method"].as_str() {
        Some("eth_sendRawTransaction") => {
            count.fetch_add(1, Ordering::Relaxed);
            truth
        }
        Some("eth_estimateGas") => json!({ "result": "0x5208" }),
        Some("eth_getTransactionCount") => json!({ "result": format!("{:#x}", nonce.fetch_add(1, Ordering::Relaxed)) }),
        _ => match call_of(request) {
            Some((to, input)) if to == splitter && input.starts_with(&FeeSplitter::unsettledCall::SELECTOR) => {
                json!({ "result": B256::repeat_byte(0xff) })
            }
            _ => truth,
        },
    })
    .await;
    let (keeper, _task) = keeper_over(&proxy.client(), &producer, 1, Arc::new(NoEvidence));
    let mut changes = keeper.subscribe();
    let due = changes.wait_for(|status| status.due.iter().any(|due| due == "settle fees"));
    tokio::time::timeout(PATIENCE, due).await.expect("it is due").unwrap();
    let start = Instant::now();
    while sent.load(Ordering::Relaxed) == 0 {
        assert!(start.elapsed() < PATIENCE, "{:?}", keeper.status());
        tokio::time::sleep(POLL).await;
    }
    tokio::time::sleep(60 * POLL).await;
    assert_eq!(sent.load(Ordering::Relaxed), 1, "the second transaction waits for a minute: {:?}", keeper.status());
    l1.stop().await;
}

/// Lies at random, the same ones for the same seed.
struct Liar(B256);

impl Liar {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = keccak256(self.0);
        u64::from_be_bytes(*self.0.first_chunk().unwrap()) % below
    }

    fn word(&mut self) -> [u8; 32] {
        match self.roll(7) {
            0 => [0; 32],
            1 => [0xff; 32],
            2 => U256::from(1).to_be_bytes(),
            3 => U256::from(u64::MAX).to_be_bytes(),
            4 => U256::from(u128::MAX).to_be_bytes(),
            5 => U256::from(self.roll(100)).to_be_bytes(),
            _ => {
                self.roll(1);
                self.0.0
            }
        }
    }

    /// Something instead of the bytes that are true.
    fn bytes(&mut self, truth: &[u8]) -> String {
        let mut bytes: Vec<u8> = match self.roll(4) {
            0 => Vec::new(),
            1 => (0..self.roll(12)).flat_map(|_| self.word()).collect(),
            _ => truth.to_vec(),
        };
        for word in bytes.chunks_mut(32) {
            if self.roll(2) == 0 {
                let size = word.len();
                word.copy_from_slice(&self.word()[..size]);
            }
        }
        bytes.truncate(bytes.len().saturating_sub(self.roll(3) as usize * 7));
        hex::encode_prefixed(bytes)
    }

    fn tell(&mut self, request: &serde_json::Value, truth: serde_json::Value) -> serde_json::Value {
        if self.roll(4) != 0 {
            return truth;
        }
        match self.roll(8) {
            0 => return json!({ "error": { "code": -32000, "message": "out of order" } }),
            1 => return json!({ "error": { "code": 3, "message": "execution reverted", "data": self.bytes(&[7; 68]) } }),
            2 => return json!({ "result": null }),
            3 => return json!({ "result": "nonsense" }),
            _ => {}
        }
        match request["method"].as_str().unwrap_or_default() {
            "eth_call" | "eth_getCode" => {
                let true_bytes = truth["result"].as_str().and_then(|text| hex::decode(text).ok()).unwrap_or_default();
                json!({ "result": self.bytes(&true_bytes) })
            }
            "eth_estimateGas" | "eth_getTransactionCount" => {
                let value = if self.roll(2) == 0 { self.roll(u64::MAX) } else { self.roll(100_000) };
                json!({ "result": format!("{value:#x}") })
            }
            "eth_getBlockByNumber" => {
                let mut block = truth;
                let field = ["number", "timestamp", "baseFeePerGas", "hash"][self.roll(4) as usize];
                block["result"][field] = json!(format!("{:#x}", self.roll(u64::MAX)));
                block
            }
            _ => json!({ "result": B256::from(self.word()) }),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_endpoint_that_lies_at_random_breaks_nothing_and_the_status_says_so() {
    let l1 = L1::embedded().await;
    let producer = Producer::deploy(l1.http()).await;
    let link = Link::new(&l1, &producer.ledger).await;
    let epoch = producer.ledger.spec().timing.epoch_length;
    producer.generous_block(&link.watcher);
    producer.blocks(&link.watcher, 2 * epoch);
    let (batcher, _batching) = link.batcher(&producer, 0, DaMode::Calldata);
    settled(&batcher, producer.head()).await;

    let lying = Arc::new(AtomicBool::new(true));
    let asked = Arc::new(AtomicUsize::new(0));
    let sent = Arc::new(AtomicUsize::new(0));
    let proxy = {
        let (lying, asked, sent) = (lying.clone(), asked.clone(), sent.clone());
        let mut liar = Liar(B256::with_last_byte(6));
        Proxy::swallowing(&l1, move |request, truth| {
            asked.fetch_add(1, Ordering::Relaxed);
            sent.fetch_add(usize::from(request["method"] == "eth_sendRawTransaction"), Ordering::Relaxed);
            if lying.load(Ordering::Relaxed) { liar.tell(request, truth) } else { truth }
        })
        .await
    };
    let (keeper, _task) = {
        let sequencer = &producer.sequencers[1];
        let spec = producer.ledger.spec().clone();
        let account = L1Account::new(proxy.client(), sequencer.poster.clone(), spec.l1_chain_id, Pricing::new(REPLACE_AFTER));
        let config = KeeperConfig {
            stagger: Duration::ZERO,
            survey: Duration::ZERO,
            credit_epochs: 1,
            ..KeeperConfig::new(account, Some(sequencer.keys.identity()), Duration::from_millis(1))
        };
        let evidence = Arc::new(Found::new(&producer, 2, 5));
        Keeper::start(proxy.client(), spec, Arc::new(producer.ledger.clone()), evidence, config)
    };
    let start = Instant::now();
    let mut reasons = std::collections::BTreeSet::new();
    while asked.load(Ordering::Relaxed) < 3_000 {
        assert!(start.elapsed() < PATIENCE, "the keeper asks no more: {:?}", keeper.status());
        reasons.extend(keeper.status().last_error.map(|error| error.split(' ').take(2).collect::<Vec<_>>().join(" ")));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(reasons.len() > 2, "it says why it cannot go on: {reasons:?}");
    assert!(sent.load(Ordering::Relaxed) <= MAX_AN_HOUR);
    // The truth is believed again, as far as it is not too late in the hour.
    lying.store(false, Ordering::Relaxed);
    let content = |error: &str| error.contains("transactions were sent in an hour");
    let mut changes = keeper.subscribe();
    let calm = changes.wait_for(|status| status.last_error.as_deref().is_none_or(content));
    tokio::time::timeout(PATIENCE, calm).await.expect("the keeper goes on").unwrap();
    l1.stop().await;
}
