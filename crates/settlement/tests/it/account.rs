//! The account's transactions against a scripted L1: replacement, outcomes, refusals.

use crate::mock::MockL1;
use crate::{CHAIN_ID, PATIENCE, ROLLUP};
use alloy_consensus::{Transaction, TxEnvelope};
use alloy_primitives::{Bytes, U256};
use alloy_sol_types::SolError;
use oceanid_contracts::l1::Rollup;
use oceanid_settlement::{Call, Fate, L1Account, L1Client, L1Error, Pricing, Ticket};
use std::time::{Duration, Instant};

const REPLACE_AFTER: Duration = Duration::from_millis(20);
const NEVER: Duration = Duration::from_secs(3_600);

fn account(l1: &MockL1, replace_after: Duration) -> L1Account {
    priced(l1, Pricing::new(replace_after))
}

fn priced(l1: &MockL1, pricing: Pricing) -> L1Account {
    let key = alloy_signer_local::PrivateKeySigner::from_slice(&[7; 32]).unwrap();
    L1Account::new(L1Client::new(&l1.url).unwrap(), key, CHAIN_ID, pricing)
}

/// Looks at the transaction until `versions` have come to L1, which makes `blocks` blocks between two looks.
async fn linger(l1: &MockL1, account: &L1Account, ticket: Ticket, blocks: u64, versions: usize) -> Vec<TxEnvelope> {
    let start = Instant::now();
    while l1.sent().len() < versions {
        assert!(start.elapsed() < PATIENCE, "{} versions", l1.sent().len());
        l1.mine_many(blocks);
        assert_eq!(account.follow(ticket).await.unwrap(), Fate::Open);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    l1.sent()
}

fn call() -> Call {
    Call { to: ROLLUP, input: Bytes::from_static(b"input"), sidecar: None }
}

async fn fate(account: &L1Account, ticket: Ticket) -> Fate {
    let start = Instant::now();
    loop {
        let fate = account.follow(ticket).await.unwrap();
        if fate != Fate::Open || start.elapsed() > PATIENCE {
            return fate;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_stuck_transaction_is_replaced_until_some_version_is_mined() {
    let l1 = MockL1::start(CHAIN_ID).await;
    let account = account(&l1, REPLACE_AFTER);
    let ticket = account.send(call()).await.unwrap().unwrap();
    let sent = linger(&l1, &account, ticket, 3, 3).await;
    for (older, newer) in sent.iter().zip(&sent[1..]) {
        assert_eq!((older.nonce(), older.input(), older.to()), (newer.nonce(), newer.input(), newer.to()));
        // What L1 nodes ask of a replacement: ten percent more of both.
        assert!(newer.max_fee_per_gas() * 10 >= older.max_fee_per_gas() * 11, "{older:?} {newer:?}");
        assert!(newer.max_priority_fee_per_gas() >= older.max_priority_fee_per_gas().map(|tip| tip * 11 / 10));
    }
    let (newest, replacements) = account.version(ticket).await.unwrap();
    assert_eq!((newest, replacements as usize), (*sent.last().unwrap().tx_hash(), sent.len() - 1));
    // An older version may be the one that is mined.
    l1.include(*sent[1].tx_hash(), true);
    assert_eq!(fate(&account, ticket).await, Fate::Done);
    // The nonce is spent: the next transaction takes the next one.
    account.send(call()).await.unwrap().unwrap();
    assert_eq!(l1.sent().last().unwrap().nonce(), 1);
}

#[tokio::test]
async fn while_l1_stands_still_the_same_transaction_is_sent_again() {
    let l1 = MockL1::start(CHAIN_ID).await;
    let account = account(&l1, REPLACE_AFTER);
    let ticket = account.send(call()).await.unwrap().unwrap();
    let sent = linger(&l1, &account, ticket, 0, 5).await;
    assert!(sent.iter().all(|again| again == &sent[0]), "{sent:?}");
    assert_eq!(account.version(ticket).await, Some((*sent[0].tx_hash(), 0)), "nothing was replaced");
    l1.include(*sent[0].tx_hash(), true);
    assert_eq!(fate(&account, ticket).await, Fate::Done);
}

#[tokio::test]
async fn fees_follow_l1_and_not_the_clock() {
    const DEAR: u64 = 30_000_000_000;
    let l1 = MockL1::start(CHAIN_ID).await;
    let account = account(&l1, REPLACE_AFTER);
    let ticket = account.send(call()).await.unwrap().unwrap();
    l1.charge(DEAR);
    l1.mine(Vec::new());
    let sent = linger(&l1, &account, ticket, 0, 6).await;
    assert_eq!(sent[1].max_fee_per_gas(), 2 * u128::from(DEAR) + 1_000_000_000, "at once as much as L1 asks");
    assert!(sent[2..].iter().all(|again| again == &sent[1]), "and not more: {sent:?}");
}

#[tokio::test]
async fn the_tip_stops_at_its_ceiling_and_the_transaction_stays_in_circulation() {
    let l1 = MockL1::start(CHAIN_ID).await;
    let account = priced(&l1, Pricing { max_tip: 1_600_000_000, ..Pricing::new(REPLACE_AFTER) });
    let ticket = account.send(call()).await.unwrap().unwrap();
    let sent = linger(&l1, &account, ticket, 3, 8).await;
    let tips: Vec<_> = sent.iter().map(|version| version.max_priority_fee_per_gas().unwrap()).collect();
    assert_eq!(tips[..3], [1_000_000_000, 1_250_000_000, 1_562_500_000]);
    assert!(sent[3..].iter().all(|again| again == &sent[2]), "{tips:?}");
}

#[tokio::test]
async fn one_transaction_is_in_flight_at_a_time_and_each_actor_learns_its_own_fate() {
    let l1 = MockL1::start(CHAIN_ID).await;
    let account = account(&l1, NEVER);
    let other = account.clone();
    let first = account.send(call()).await.unwrap().unwrap();
    assert_eq!(other.send(call()).await.unwrap(), None, "the account is busy");
    l1.include(*l1.sent()[0].tx_hash(), false);
    let second = other.send(call()).await.unwrap().unwrap();
    assert_eq!(account.follow(first).await.unwrap(), Fate::Refused);
    assert_eq!(other.follow(second).await.unwrap(), Fate::Open);
    l1.spend_nonce();
    assert_eq!(other.follow(second).await.unwrap(), Fate::Displaced);
}

/// An anvil's reorganisation forgets the transactions of the blocks it takes back, and so may any L1 node.
#[tokio::test]
async fn a_transaction_behind_one_that_l1_took_back_is_given_up() {
    let l1 = MockL1::start(CHAIN_ID).await;
    l1.spend_nonce();
    let account = account(&l1, REPLACE_AFTER);
    let ticket = account.send(call()).await.unwrap().unwrap();
    assert_eq!(l1.sent()[0].nonce(), 1);
    l1.return_nonce();
    assert_eq!(fate(&account, ticket).await, Fate::Displaced, "nothing is mined behind a gap");
    account.send(call()).await.unwrap().unwrap();
    assert_eq!(l1.sent().last().unwrap().nonce(), 0, "the next transaction closes it");
}

#[tokio::test]
async fn what_would_revert_is_not_sent() {
    let l1 = MockL1::start(CHAIN_ID).await;
    let account = account(&l1, NEVER);
    let refusal = Rollup::ParentNotLatest { parentIndex: U256::from(1), latestIndex: U256::from(2) }.abi_encode();
    l1.refuse(Some(refusal.clone().into()));
    let error = account.send(call()).await.unwrap_err();
    assert_eq!(error, L1Error::Reverted { method: "eth_estimateGas", data: refusal.into() });
    assert!(error.to_string().contains("ParentNotLatest { parentIndex: 1, latestIndex: 2 }"), "{error}");
    assert!(l1.sent().is_empty());
    l1.refuse(None);
    assert!(account.send(call()).await.unwrap().is_some());
}
