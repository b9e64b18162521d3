//! From sequencer to follower over a real L1: contracts deployed, certified batches posted by the batcher in calldata and in blobs,
//! garbage posted beside a valid certificate, and a follower that starts from nothing. On the embedded L1 always, and on anvil where
//! `OCEANID_ANVIL` names one.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod escrow;
mod keeper;
mod l1;
mod posting;
mod producer;
mod proxy;

use alloy_primitives::{Address, B256};
use l1::L1;
use oceanid_da::DaError;
use oceanid_derive::{EmptyReason, Follower, FollowerConfig, FollowerStatus, ReplayError, ledger_config, replay, replay_within};
use oceanid_primitives::{DaMode, L1View};
use oceanid_settlement::{
    AcceptedBatch, BatchReader, Batcher, BatcherConfig, BeaconClient, DaPolicy, L1Account, L1Client, L1Watcher, PosterConfig,
    Pricing, SettledChain, SettlementStatus, Task, WatcherConfig, anchor,
};
use producer::{Producer, l1_certificate};
use std::sync::Arc;
use std::time::Duration;

const POLL: Duration = Duration::from_millis(100);
const REPLACE_AFTER: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(90);

/// A node's connection to L1.
struct Link {
    client: L1Client,
    watcher: L1Watcher,
    reader: BatchReader,
    _task: Task,
}

impl Link {
    async fn new(l1: &L1, chain: &oceanid_chain::Ledger) -> Self {
        let client = L1Client::new(l1.http()).unwrap();
        let config = WatcherConfig { anchor: anchor(chain).unwrap(), poll: POLL };
        let (watcher, task) = L1Watcher::start(client.clone(), chain.spec().clone(), config);
        watcher.ready(PATIENCE).await.unwrap();
        let beacon = BeaconClient::new(l1.beacon()).unwrap();
        let reader = BatchReader::new(client.clone(), Some(beacon), chain.spec().l1.rollup);
        Self { client, watcher, reader, _task: task }
    }

    /// Member `poster` posts at once, the others a little later.
    fn poster(&self, producer: &Producer, poster: usize, da: DaPolicy) -> PosterConfig {
        let sequencer = &producer.sequencers[poster];
        let chain_id = producer.ledger.spec().l1_chain_id;
        PosterConfig {
            account: L1Account::new(self.client.clone(), sequencer.poster.clone(), chain_id, Pricing::new(REPLACE_AFTER)),
            identity: sequencer.keys.identity(),
            da,
            max_age: Duration::ZERO,
            stagger: Duration::from_millis(300),
        }
    }

    fn batcher(&self, producer: &Producer, poster: usize, mode: DaMode) -> (Batcher, Task) {
        let config = BatcherConfig::new(Some(self.poster(producer, poster, DaPolicy::Fixed(mode))), l1_certificate, POLL);
        let (client, spec, chain) = (self.client.clone(), producer.ledger.spec().clone(), Arc::new(producer.ledger.clone()));
        Batcher::start(client, spec, chain, self.watcher.clone(), self.reader.clone(), config)
    }
}

async fn settled(batcher: &Batcher, block: u64) -> SettlementStatus {
    let mut changes = batcher.subscribe();
    match tokio::time::timeout(PATIENCE, changes.wait_for(|status| status.safe >= block)).await {
        Ok(Ok(status)) => status.clone(),
        _ => panic!("block {block} does not become safe: {:?}", batcher.status()),
    }
}

async fn followed(follower: &Follower, block: u64) -> FollowerStatus {
    let mut changes = follower.subscribe();
    match tokio::time::timeout(PATIENCE, changes.wait_for(|status| status.head >= block)).await {
        Ok(Ok(status)) => status.clone(),
        _ => panic!("the follower does not reach block {block}: {:?}", follower.status()),
    }
}

async fn whole_way(l1: L1) {
    let producer = Producer::deploy(l1.http()).await;
    let link = Link::new(&l1, &producer.ledger).await;

    // Calldata, over an epoch boundary, with a deposit from L1 on the way.
    l1.deposit(&producer.ledger.spec().l1.portal, Address::repeat_byte(0x77)).await;
    producer.wait_for_deposit(&link.watcher).await;
    producer.blocks(&link.watcher, 12);
    let (batcher, task) = link.batcher(&producer, 0, DaMode::Calldata);
    let status = settled(&batcher, producer.head()).await;
    assert!(status.posted_here >= 2, "a batch never spans epochs: {status:?}");
    assert_eq!((status.backlog_blocks, status.garbage, status.last_error), (0, 0, None));
    assert!(!batcher.backlog_full());
    drop(task);

    // Blobs, by another member.
    producer.blocks(&link.watcher, 5);
    let (batcher, task) = link.batcher(&producer, 1, DaMode::Blob);
    settled(&batcher, producer.head()).await;
    drop(task);

    // Garbage beside a valid certificate: an empty batch for everyone, until a member posts the data again.
    producer.blocks(&link.watcher, 3);
    let posted = link.watcher.newest_origin().unwrap();
    l1.post_garbage(&producer, b"not a batch").await;

    let directory = tempfile::tempdir().unwrap();
    let ledger = oceanid_chain::Ledger::open(directory.path(), producer.ledger.spec().clone(), ledger_config()).unwrap();
    let from_nothing = Link::new(&l1, &ledger).await;
    let (follower, follower_task) = Follower::start(
        ledger.clone(),
        from_nothing.client.clone(),
        from_nothing.watcher.clone(),
        from_nothing.reader.clone(),
        FollowerConfig { poll: POLL },
    );
    let before = producer.head() - 3;
    followed(&follower, before).await;
    let mut changes = follower.subscribe();
    let waits = changes.wait_for(|status| status.empty == 1 && status.waiting.is_some());
    tokio::time::timeout(PATIENCE, waits).await.expect("garbage is noticed").unwrap();
    assert_eq!(ledger.head().number(), before, "nothing of a garbage batch is committed");

    let (batcher, task) = link.batcher(&producer, 2, DaMode::Calldata);
    let status = settled(&batcher, producer.head()).await;
    assert_eq!(status.garbage, 1);
    let status = followed(&follower, producer.head()).await;
    assert_eq!(status.empty, 1);

    // The same chain, block by block, from L1 alone.
    for number in 0..=producer.head() {
        let ours = SettledChain::block(&producer.ledger, number).unwrap();
        let theirs = SettledChain::block(&ledger, number).unwrap();
        assert_eq!(theirs.hash(), ours.hash(), "block {number}");
    }
    assert_eq!(ledger.head().header().state_root, producer.ledger.head().header().state_root);
    assert_eq!(ledger.marks().safe, producer.head());
    assert!(posted.number > producer.ledger.spec().l1.start.number);

    // The window passes: both marks reach the head.
    let mut changes = follower.subscribe();
    let head = producer.head();
    tokio::time::timeout(PATIENCE, changes.wait_for(|status| status.finalized == head)).await.expect("finalized moves").unwrap();

    // A follower that was stopped goes on from its cursor.
    drop((follower_task, from_nothing));
    producer.blocks(&link.watcher, 4);
    settled(&batcher, producer.head()).await;
    let again = Link::new(&l1, &ledger).await;
    let (follower, _follower_task) = Follower::start(
        ledger.clone(),
        again.client.clone(),
        again.watcher.clone(),
        again.reader.clone(),
        FollowerConfig { poll: POLL },
    );
    followed(&follower, producer.head()).await;
    assert_eq!(ledger.head().hash(), producer.ledger.head().hash());
    corrupted_bytes_are_empty(&producer);
    gas_beyond_the_limit_is_empty(&producer);
    drop(task);
    l1.stop().await;
}

/// A batch with a changed byte is an empty one, or, where the compressor reads that byte both ways alike, still the certified blocks: never
/// other ones. Nothing panics and nothing is committed.
fn corrupted_bytes_are_empty(producer: &Producer) {
    let directory = tempfile::tempdir().unwrap();
    let ledger = oceanid_chain::Ledger::open(directory.path(), producer.ledger.spec().clone(), ledger_config()).unwrap();
    let (first, last) = (1, 3);
    let data = producer.batch(first, last);
    let certified = SettledChain::block(&producer.ledger, last).unwrap();
    let accepted = AcceptedBatch { header_hash: certified.hash(), first, last, output_root: B256::ZERO };
    // The watcher has pruned what is settled; the producer remembers.
    let l1 = producer.l1();
    let posted_in = l1.newest_origin().unwrap().number;
    let good = replay(&ledger, &l1, &accepted, posted_in, &data).unwrap();
    assert_eq!(good.last().unwrap().hash(), certified.hash());
    let mut empty = 0;
    for at in (0..data.len()).step_by(1 + data.len() / 64) {
        let mut corrupted = data.clone();
        corrupted[at] ^= 0x10;
        let verdict = replay(&ledger, &l1, &accepted, posted_in, &corrupted);
        match verdict {
            Ok(blocks) => {
                assert!(blocks.iter().map(|block| block.hash()).eq(good.iter().map(|block| block.hash())), "byte {at}");
            }
            Err(ReplayError::Empty(_)) => empty += 1,
            Err(other) => panic!("byte {at}: {other}"),
        }
    }
    assert!(empty > 32, "{empty} changed bytes were noticed");
    assert_eq!(ledger.head().number(), 0);
    assert_eq!(oceanid_da::mode(DaMode::Storage).pack(&data).unwrap_err(), DaError::NotAvailable);
}

/// Data that spends more gas than a batch may is empty whatever header it leads to, also for a node that stopped inside the batch; one unit
/// of gas less and it is the batch.
fn gas_beyond_the_limit_is_empty(producer: &Producer) {
    let directory = tempfile::tempdir().unwrap();
    let ledger = oceanid_chain::Ledger::open(directory.path(), producer.ledger.spec().clone(), ledger_config()).unwrap();
    let (first, last) = (1, 3);
    let data = producer.batch(first, last);
    let certified = SettledChain::block(&producer.ledger, last).unwrap();
    let accepted = AcceptedBatch { header_hash: certified.hash(), first, last, output_root: B256::ZERO };
    let l1 = producer.l1();
    let posted_in = l1.newest_origin().unwrap().number;
    let replay = |limit| replay_within(limit, &ledger, &l1, &accepted, posted_in, &data);
    let spent =
        (first..=last).map(|number| SettledChain::block(&producer.ledger, number).unwrap().header().gas_used).sum::<u64>();
    let good = replay(spent).unwrap();
    let refused = |limit| match replay(limit) {
        Err(ReplayError::Empty(EmptyReason::Gas { number, gas, .. })) => (number, gas),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(spent - 1), (last, spent));
    ledger.commit(&good[0], None).unwrap();
    assert_eq!(refused(spent - 1), (last, spent));
    assert_eq!(replay(spent).unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_whole_way_over_the_embedded_l1() {
    whole_way(L1::embedded().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_whole_way_over_anvil() {
    if let Some(l1) = L1::anvil().await {
        whole_way(l1).await;
    }
}
