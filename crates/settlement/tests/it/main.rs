//! The watcher and the account against a scripted L1 over real JSON-RPC: depth, reorganisations, lies, outages, fees.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod account;
mod mock;

use alloy_primitives::{Address, B256, LogData, TxKind, U256};
use mock::{Lie, MockL1};
use oceanid_primitives::{
    ChainSpec, Committee, FeeParams, L1Contracts, L1DataFee, L1Origin, L1View, Member, Timing, user_source_hash,
};
use oceanid_settlement::{L1Client, L1Error, L1Status, L1Watcher, Task, WatcherConfig, deposit_log};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const CHAIN_ID: u64 = 900;
const PORTAL: Address = Address::repeat_byte(0xaa);
const ROLLUP: Address = Address::repeat_byte(0xbb);
const DEPTH: u64 = 2;
const POLL: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(20);

fn spec(start: L1Origin, origin_depth: Option<u64>) -> Arc<ChainSpec> {
    let member = Member { id: 1, identity: B256::repeat_byte(1), bls_key: Default::default(), weight: 1 };
    Arc::new(ChainSpec {
        name: "test".to_owned(),
        chain_id: 1,
        l1_chain_id: CHAIN_ID,
        genesis_timestamp: 1_700_000_000,
        fees: FeeParams { gas_limit: 30_000_000, elasticity: 2, denominator: 8, initial_base_fee: 1, min_base_fee: 1 },
        l1_data_fee: L1DataFee::default(),
        timing: Timing {
            block_time_ms: 500,
            heartbeat_ms: 10_000,
            epoch_length: 60,
            origin_depth,
            max_origin_lag: 600,
            max_origin_advance: 64,
            max_clock_drift: 5,
            challenge_window: 10,
            stall_timeout: 3_600,
        },
        l1: L1Contracts {
            start,
            token: Address::ZERO,
            portal: PORTAL,
            rollup: ROLLUP,
            pool: Address::ZERO,
            bridge: Address::ZERO,
            oracle: Address::ZERO,
            ..L1Contracts::default()
        },
        committee: Committee { id: 1, seed: B256::ZERO, members: vec![member] },
        alloc: BTreeMap::new(),
    })
}

fn deposit(value: u64) -> (Address, LogData) {
    let to = TxKind::Call(Address::repeat_byte(2));
    (PORTAL, deposit_log(Address::repeat_byte(1), to, U256::from(value), U256::from(value), 100_000, &[]))
}

async fn watch(l1: &MockL1, origin_depth: Option<u64>) -> (L1Watcher, Task) {
    let anchor = L1Origin { number: 0, hash: l1.hash(0) };
    let client = L1Client::new(&l1.url).unwrap();
    L1Watcher::start(client, spec(anchor, origin_depth), WatcherConfig { anchor, poll: POLL })
}

async fn until(watcher: &L1Watcher, what: &str, condition: impl Fn(&L1Status) -> bool) -> L1Status {
    let mut changes = watcher.subscribe();
    let met = async { changes.wait_for(|status| condition(status)).await.map(|status| status.clone()) };
    match tokio::time::timeout(PATIENCE, met).await {
        Ok(Ok(status)) => status,
        _ => panic!("never: {what}; {:?}", watcher.status()),
    }
}

#[tokio::test]
async fn deposits_come_in_order_and_only_from_deep_blocks() {
    let l1 = MockL1::start(CHAIN_ID).await;
    l1.mine(vec![deposit(1), (Address::repeat_byte(9), deposit(66).1), deposit(2)]);
    l1.mine_many(200);
    let (watcher, _task) = watch(&l1, Some(DEPTH)).await;
    until(&watcher, "caught up", |status| status.tip == 201).await;
    let newest = watcher.newest_origin().unwrap();
    assert_eq!(newest, L1Origin { number: 199, hash: l1.hash(199) });
    assert!(watcher.block(200).is_none(), "not deep");
    assert_eq!(watcher.block(5).unwrap().parent_hash, l1.hash(4));
    // The contract at another address is no Portal; its log takes part in the numbering all the same.
    let sources: Vec<_> = watcher.block(1).unwrap().deposits.iter().map(|deposit| (deposit.mint, deposit.source_hash)).collect();
    assert_eq!(sources, [(1, user_source_hash(l1.hash(1), 0)), (2, user_source_hash(l1.hash(1), 6))]);
    // What is pruned is gone, the newest deep block never is.
    watcher.prune_below(1_000);
    assert!(watcher.block(198).is_none());
    assert_eq!(watcher.newest_origin(), Some(newest));
}

#[tokio::test]
async fn without_a_depth_only_finalised_blocks_are_origins() {
    let l1 = MockL1::start(CHAIN_ID).await;
    l1.mine_many(20);
    let (watcher, _task) = watch(&l1, None).await;
    until(&watcher, "the finalised block is known", |status| status.newest_origin.is_some_and(|origin| origin.number == 15))
        .await;
}

#[tokio::test]
async fn a_reorganisation_replaces_blocks_and_their_deposits() {
    let l1 = MockL1::start(CHAIN_ID).await;
    l1.mine_many(3);
    l1.mine(vec![deposit(10)]);
    l1.mine_many(3);
    let (watcher, _task) = watch(&l1, Some(0)).await;
    until(&watcher, "caught up", |status| status.tip == 7).await;
    assert_eq!(watcher.block(4).unwrap().deposits.len(), 1);

    l1.reorganise(5);
    l1.mine_many(2);
    l1.mine(vec![deposit(20), deposit(21)]);
    l1.mine_many(4);
    let status = until(&watcher, "the other fork was taken in", |status| status.tip == 9 && status.reorganised == 5).await;
    assert_eq!(status.newest_origin, Some(L1Origin { number: 9, hash: l1.hash(9) }));
    assert!(watcher.block(4).unwrap().deposits.is_empty());
    let mints: Vec<_> = watcher.block(5).unwrap().deposits.iter().map(|deposit| deposit.mint).collect();
    assert_eq!(mints, [20, 21]);
    for number in 1..=9 {
        assert_eq!(watcher.block(number).unwrap().parent_hash, l1.hash(number - 1), "block {number}");
    }
}

#[tokio::test]
async fn a_reorganisation_deeper_than_an_origin_is_an_error() {
    let l1 = MockL1::start(CHAIN_ID).await;
    l1.mine_many(20);
    let (watcher, _task) = watch(&l1, Some(DEPTH)).await;
    until(&watcher, "caught up", |status| status.tip == 20).await;
    // Layer 2 has a block with this origin, and has not read all postings below it: the window goes on below.
    let origin = watcher.newest_origin().unwrap();
    watcher.prune_below(10);
    l1.reorganise(5);
    l1.mine_many(10);
    until(&watcher, "the fork is followed", |status| status.tip == 25).await;
    assert_eq!(watcher.holds(origin), Err(L1Error::Anchor(origin)));
    assert_eq!(watcher.holds(watcher.newest_origin().unwrap()), Ok(()));
    let (pruned, young) = (L1Origin { number: 3, ..origin }, L1Origin { number: 25, ..origin });
    assert_eq!((watcher.holds(pruned), watcher.holds(young)), (Ok(()), Ok(())), "what is not held contradicts nothing");
}

#[tokio::test]
async fn a_shorter_fork_is_followed_too() {
    let l1 = MockL1::start(CHAIN_ID).await;
    l1.mine_many(9);
    let (watcher, _task) = watch(&l1, Some(0)).await;
    until(&watcher, "caught up", |status| status.tip == 9).await;
    l1.reorganise(4);
    l1.mine_many(1);
    until(&watcher, "on the shorter fork", |status| status.tip == 6 && status.newest_origin.map(|o| o.hash) == Some(l1.hash(6)))
        .await;
}

#[tokio::test]
async fn a_chain_that_lost_the_anchor_is_said_so() {
    let l1 = MockL1::start(CHAIN_ID).await;
    let (watcher, _task) = watch(&l1, Some(0)).await;
    until(&watcher, "contact", |status| status.newest_origin.is_some()).await;
    l1.reorganise(1);
    l1.mine_many(3);
    let lost = |status: &L1Status| status.last_error.as_ref().is_some_and(|error| error.contains("originDepth"));
    until(&watcher, "the loss is said", lost).await;
}

#[tokio::test]
async fn lies_and_outages_are_survived() {
    let l1 = MockL1::start(CHAIN_ID).await;
    l1.mine_many(2);
    let (watcher, _task) = watch(&l1, Some(0)).await;
    until(&watcher, "caught up", |status| status.tip == 2).await;
    for (lie, words) in [(Lie::HeaderHash, "hashes to"), (Lie::ForeignLogs, "not asked for"), (Lie::Silence, "out of order")] {
        l1.lie(lie);
        let (number, _) = l1.mine(vec![deposit(1)]);
        let status = until(&watcher, "the failure shows", |status| status.last_error.is_some()).await;
        let error = status.last_error.unwrap();
        assert!(error.contains(words) && error.contains(&l1.url), "{lie:?}: {error}");
        assert_eq!(watcher.block(number), None, "{lie:?}: nothing is taken from a liar");
        l1.lie(Lie::None);
        let status = until(&watcher, "recovery", |status| status.tip == number && status.last_error.is_none()).await;
        assert_eq!(status.failures, 0);
        assert_eq!(watcher.block(number).unwrap().deposits.len(), 1);
    }
}

#[tokio::test]
async fn an_endpoint_that_lags_takes_nothing_away() {
    let l1 = MockL1::start(CHAIN_ID).await;
    l1.mine_many(10);
    let (watcher, _task) = watch(&l1, Some(1)).await;
    until(&watcher, "caught up", |status| status.tip == 10).await;
    l1.lie(Lie::Behind(4));
    until(&watcher, "the lag shows", |status| status.head == 6).await;
    assert_eq!(watcher.newest_origin().unwrap().number, 9);
    assert_eq!(watcher.status().reorganised, 0);
    l1.lie(Lie::None);
    l1.mine_many(1);
    until(&watcher, "it goes on", |status| status.tip == 11).await;
}

#[tokio::test]
async fn a_log_that_is_no_deposit_is_skipped_and_counted() {
    let l1 = MockL1::start(CHAIN_ID).await;
    let (portal, good) = deposit(1);
    let truncated = LogData::new_unchecked(good.topics().to_vec(), good.data.slice(..32));
    l1.mine(vec![(portal, truncated), deposit(5)]);
    let (watcher, _task) = watch(&l1, Some(0)).await;
    let status = until(&watcher, "caught up", |status| status.tip == 1).await;
    assert_eq!(status.skipped_logs, 1);
    assert_eq!(watcher.block(1).unwrap().deposits[0].mint, 5);
}

#[tokio::test]
async fn blocks_without_our_logs_cost_one_request() {
    let l1 = MockL1::start(CHAIN_ID).await;
    l1.mine_many(500);
    let (watcher, _task) = watch(&l1, Some(0)).await;
    until(&watcher, "caught up", |status| status.tip == 500).await;
    let requests = l1.requests();
    assert!(requests < 700, "{requests} requests for 500 blocks");
}

#[tokio::test]
async fn an_unfit_l1_is_refused_by_name() {
    let l1 = MockL1::start(CHAIN_ID + 1).await;
    let anchor = L1Origin { number: 0, hash: l1.hash(0) };
    let client = L1Client::new(&l1.url).unwrap();
    let error = client.check(&spec(anchor, None)).await.unwrap_err();
    assert!(matches!(error, L1Error::ChainId { found: 901, expected: 900, .. }), "{error}");
    l1.without_bls();
    let error = client.check_bls().await.unwrap_err();
    assert!(matches!(error, L1Error::NoBls), "{error}");
    let nobody = L1Client::new("http://127.0.0.1:9").unwrap();
    let error = nobody.check_bls().await.unwrap_err().to_string();
    // What to do about it is said by the node, at start and while it waits.
    assert!(error.contains("127.0.0.1:9") && error.contains("does not answer"), "{error}");
    assert!(matches!(L1Client::new("ws://localhost"), Err(L1Error::Url(_))));
}

/// An endpoint that repeats in its errors what it was called with.
async fn echo() -> std::net::SocketAddr {
    let answer = |uri: axum::http::Uri, axum::Json(request): axum::Json<serde_json::Value>| async move {
        let error = serde_json::json!({ "code": -32000, "message": format!("no quota left for {uri}") });
        axum::Json(serde_json::json!({ "jsonrpc": "2.0", "id": request["id"], "error": error }))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    address
}

#[tokio::test]
async fn a_key_in_the_endpoint_is_in_no_error_and_no_status() {
    let closed = "127.0.0.1:9".parse().unwrap();
    for address in [echo().await, closed] {
        let client = L1Client::new(&format!("http://user:s3cr3t@{address}/v3/s3cr3t?key=s3cr3t")).unwrap();
        let error = client.check_bls().await.unwrap_err();
        let shown = format!("{error} {error:?} {client:?}");
        assert!(shown.contains(&format!("http://{address}")) && !shown.contains("s3cr3t"), "{shown}");
        let anchor = L1Origin { number: 0, hash: B256::ZERO };
        let (watcher, _task) = L1Watcher::start(client, spec(anchor, None), WatcherConfig { anchor, poll: POLL });
        let status = until(&watcher, "an error", |status| status.last_error.is_some()).await;
        let told = serde_json::to_string(&status).unwrap();
        assert!(told.contains(&address.to_string()) && !told.contains("s3cr3t"), "{told}");
    }
    let error = L1Client::new("wss://user:s3cr3t@l1/s3cr3t").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error}");
}
