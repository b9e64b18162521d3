//! Posting over the embedded L1: members that race, a backlog that fills, data in parts, strangers who meddle with them.

use crate::l1::L1;
use crate::producer::{Producer, l1_certificate};
use crate::{Link, PATIENCE, POLL, followed, settled};
use alloy_primitives::Bytes;
use alloy_sol_types::SolCall;
use oceanid_contracts::l1::Rollup;
use oceanid_da::{CALLDATA_BYTES, mode};
use oceanid_derive::{Follower, FollowerConfig, FollowerStatus, ledger_config};
use oceanid_primitives::{DaMode, L1View};
use oceanid_sequencer::{Execution, LedgerExecution, ProposalContext};
use oceanid_settlement::{Batcher, BatcherConfig, DA_NONE, DaPolicy, SettlementStatus, Task};
use std::sync::Arc;
use std::time::Duration;

fn start(link: &Link, producer: &Producer, config: BatcherConfig) -> (Batcher, Task) {
    Batcher::start(
        link.client.clone(),
        producer.ledger.spec().clone(),
        Arc::new(producer.ledger.clone()),
        link.watcher.clone(),
        link.reader.clone(),
        config,
    )
}

async fn until(batcher: &Batcher, what: &str, condition: impl Fn(&SettlementStatus) -> bool) -> SettlementStatus {
    let mut changes = batcher.subscribe();
    match tokio::time::timeout(PATIENCE, changes.wait_for(|status| condition(status))).await {
        Ok(Ok(status)) => status.clone(),
        _ => panic!("never: {what}; {:?}", batcher.status()),
    }
}

/// A follower that knows nothing, with what keeps it alive.
struct FromNothing {
    follower: Follower,
    ledger: oceanid_chain::Ledger,
    _alive: (Task, Link, tempfile::TempDir),
}

impl FromNothing {
    async fn start(l1: &L1, producer: &Producer) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ledger = oceanid_chain::Ledger::open(directory.path(), producer.ledger.spec().clone(), ledger_config()).unwrap();
        let link = Link::new(l1, &ledger).await;
        let (follower, task) = Follower::start(
            ledger.clone(),
            link.client.clone(),
            link.watcher.clone(),
            link.reader.clone(),
            FollowerConfig { poll: POLL },
        );
        Self { follower, ledger, _alive: (task, link, directory) }
    }

    async fn reaches(&self, producer: &Producer) -> FollowerStatus {
        let status = followed(&self.follower, producer.head()).await;
        assert_eq!(self.ledger.head().hash(), producer.ledger.head().hash());
        status
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_members_that_race_one_posts_each_batch_and_both_go_on() {
    let l1 = L1::embedded().await;
    let producer = Producer::deploy(l1.http()).await;
    let link = Link::new(&l1, &producer.ledger).await;
    // No stagger: both post as soon as they can. One leaves the choice of mode to the prices.
    let config = |poster: usize, da: DaPolicy| {
        let mut config = link.poster(&producer, poster, da);
        config.stagger = Duration::ZERO;
        BatcherConfig::new(Some(config), l1_certificate, POLL)
    };
    let (left, _left) = start(&link, &producer, config(0, DaPolicy::Fixed(DaMode::Calldata)));
    let (right, _right) = start(&link, &producer, config(1, DaPolicy::Cheapest));
    for _ in 0..4 {
        producer.blocks(&link.watcher, 5);
        let head = producer.head();
        tokio::join!(settled(&left, head), settled(&right, head));
    }
    let batches = l1.view(producer.ledger.spec().l1.rollup, Rollup::headCall {}).await.index.to::<u64>();
    // The last batch is safe for both before its poster has seen its receipt.
    let all = |status: &SettlementStatus| status.in_flight.is_none() && status.last_error.is_none();
    let (left, right) = tokio::join!(until(&left, "at rest", all), until(&right, "at rest", all));
    assert_eq!(left.posted_here + right.posted_here, batches, "every batch was posted by one of them: {left:?} {right:?}");
    l1.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_backlog_closes_the_gate_and_posting_opens_it() {
    let l1 = L1::embedded().await;
    let producer = Producer::deploy(l1.http()).await;
    let link = Link::new(&l1, &producer.ledger).await;
    let limits = |poster| BatcherConfig { max_backlog_blocks: 3, ..BatcherConfig::new(poster, l1_certificate, POLL) };
    // This one only watches, so that nothing is posted for now.
    let (batcher, task) = start(&link, &producer, limits(None));
    let execution = |gate: &Batcher| {
        let full = gate.clone();
        let l1: Arc<dyn L1View> = Arc::new(producer.l1());
        LedgerExecution::new(producer.ledger.clone(), producer.pool_with_transfer(), l1, Default::default())
            .with_gate(Arc::new(move || !full.backlog_full()))
    };
    let propose = |execution: &LedgerExecution| {
        let head = producer.ledger.head();
        let context = producer.next_context();
        let context = ProposalContext {
            epoch: context.epoch,
            view: context.view,
            parent_view: context.parent_view,
            leader: context.leader,
        };
        let block = execution.propose(head.hash(), context, head.header().timestamp).unwrap();
        block.body().iter().filter(|transaction| !transaction.is_deposit()).count()
    };
    producer.blocks(&link.watcher, 2);
    until(&batcher, "two blocks wait", |status| status.backlog_blocks == 2).await;
    assert_eq!(propose(&execution(&batcher)), 1);
    producer.blocks(&link.watcher, 1);
    until(&batcher, "three blocks are too many", |status| status.backlog_full).await;
    assert!(batcher.backlog_full());
    assert_eq!(propose(&execution(&batcher)), 0, "a block is made, and holds no transaction");
    drop(task);

    let poster = link.poster(&producer, 0, DaPolicy::Fixed(DaMode::Calldata));
    let (batcher, _task) = start(&link, &producer, limits(Some(poster)));
    let head = producer.head();
    until(&batcher, "posted", |status| status.posted == head && !status.backlog_full).await;
    assert_eq!(propose(&execution(&batcher)), 1);
    l1.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_batch_beyond_one_transaction_goes_in_parts() {
    let l1 = L1::embedded().await;
    let producer = Producer::deploy(l1.http()).await;
    let link = Link::new(&l1, &producer.ledger).await;
    producer.blocks(&link.watcher, 2);
    // One block of noise, larger than what a transaction of mode `calldata` carries.
    producer.noise_block(&link.watcher, 3, 60 << 10);
    assert!(producer.batch(3, 3).len() > CALLDATA_BYTES);
    let (batcher, _task) = link.batcher(&producer, 0, DaMode::Calldata);
    let status = settled(&batcher, producer.head()).await;
    assert_eq!((status.garbage, status.last_error), (0, None));
    assert!(l1.parts_posted(&producer).await.contains(&(0, 2)), "the data of one batch took two transactions");
    let follower = FromNothing::start(&l1, &producer).await;
    assert_eq!(follower.reaches(&producer).await.empty, 0);
    l1.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn strangers_who_meddle_with_parts_change_nothing() {
    let l1 = L1::embedded().await;
    let producer = Producer::deploy(l1.http()).await;
    let link = Link::new(&l1, &producer.ledger).await;
    let follower = FromNothing::start(&l1, &producer).await;
    producer.blocks(&link.watcher, 4);
    let head = producer.head();
    let data = producer.batch(1, head);
    // Announced without data, then posted in parts by two accounts at once.
    l1.submit(&producer, DA_NONE, Bytes::new()).await;
    let (front, back) = data.split_at(data.len() / 2);
    let part = |part: u16, data: &[u8]| {
        let data = mode(DaMode::Calldata).pack(data).unwrap().argument;
        let index = alloy_primitives::U256::from(1);
        Rollup::repostDataCall { index, part, parts: 2, daMode: DaMode::Calldata as u8, data }.abi_encode()
    };
    let rollup = producer.ledger.spec().l1.rollup;
    l1.send_as(0, rollup, part(1, back)).await;
    // The stranger's parts, whichever, are another set; his second half is garbage.
    l1.send_as(1, rollup, part(0, front)).await;
    l1.send_as(1, rollup, part(1, b"garbage")).await;
    let mut changes = follower.follower.subscribe();
    let seen = changes.wait_for(|status| status.empty == 1 && status.waiting.is_some());
    tokio::time::timeout(PATIENCE, seen).await.expect("the stranger's data is judged").unwrap();
    assert_eq!(follower.ledger.head().number(), 0);
    // The first account begins again, as after a restart, and completes.
    l1.send_as(0, rollup, part(0, b"torn")).await;
    let seen = changes.wait_for(|status| status.empty == 2);
    tokio::time::timeout(PATIENCE, seen).await.expect("a torn set is judged too").unwrap();
    l1.send_as(0, rollup, part(0, front)).await;
    l1.send_as(0, rollup, part(1, back)).await;
    assert_eq!(follower.reaches(&producer).await.empty, 2);

    // Every member comes to the same verdict when it reads the parts back.
    let (batcher, _task) = link.batcher(&producer, 0, DaMode::Calldata);
    let status = settled(&batcher, head).await;
    assert_eq!((status.garbage, status.posted_here), (2, 0));
    l1.stop().await;
}
