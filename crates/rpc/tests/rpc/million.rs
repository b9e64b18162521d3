//! A million logs with topics of their own: how long a query takes. `./test --long` runs it; by hand
//! `cargo nextest run -p oceanid-rpc --run-ignored only --no-capture million`.

use crate::fixture::Ethereum;
use alloy_primitives::{Address, B256, Bytes, U256, hex};
use serde_json::json;
use std::time::{Duration, Instant};

/// Blocks with logs.
const BLOCKS: u64 = 500;
/// Logs in each: as many as make a header's bloom match nearly everything.
const LOGS: u64 = 2_000;
/// Topic 0 of all of them.
const KIND: B256 = B256::with_last_byte(0x2a);

/// Runtime of a contract that logs a word of zeros under [`KIND`] and the number `i + start`, for `i` from `count` down to 1; its input is
/// `start ++ count`.
fn emitter() -> Bytes {
    // PUSH1 32 CALLDATALOAD; JUMPDEST; DUP1 PUSH0 CALLDATALOAD ADD; PUSH1 0x2a; PUSH1 32; PUSH0; LOG2; PUSH1 1 SWAP1 SUB; DUP1 PUSH1 3 JUMPI; STOP
    Bytes::from_static(&hex!("602035" "5b" "805f3501" "602a" "6020" "5f" "a2" "60019003" "80600357" "00"))
}

/// The second topic of a log.
fn topic(block: u64, log: u64) -> B256 {
    B256::from(U256::from(block * 1_000_000 + log))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute"]
async fn a_million_logs_are_searched_in_milliseconds() {
    let chain = Ethereum::start().await;
    let c = &chain.client;
    let contract = Address::repeat_byte(0xe1);
    c.call("anvil_setCode", json!([contract, emitter()])).await;
    for number in 0..BLOCKS {
        let input = [topic(number, 0), B256::from(U256::from(LOGS))].concat();
        let (raw, _) = chain.call_with(number, contract, input.into(), 4_000_000);
        c.call("eth_sendRawTransaction", json!([raw])).await;
        c.call("evm_mine", json!([])).await;
    }
    // Behind them, so that they are flushed.
    c.call("anvil_mine", json!([100])).await;
    let first = c.call("eth_getBlockReceipts", json!(["0x2"])).await;
    assert_eq!(first[0]["logs"].as_array().map(Vec::len), Some(LOGS as usize));

    let all = |topics: serde_json::Value| json!([{ "fromBlock": "0x0", "address": contract, "topics": topics }]);
    let one_block = json!([{ "fromBlock": "0x64", "toBlock": "0x64", "topics": [KIND] }]);
    let many: Vec<B256> = (0..1_000).map(|number| topic(number, LOGS + 1)).collect();
    for (name, filter, found, limit) in [
        ("a topic that is in none", all(json!([KIND, topic(0, LOGS + 1)])), 0, 200),
        ("a thousand topics that are in none", all(json!([KIND, many])), 0, 200),
        ("one log", all(json!([null, topic(250, 7)])), 1, 200),
        ("the logs of one block", one_block, LOGS as usize, 500),
    ] {
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let begun = Instant::now();
            let logs = c.call("eth_getLogs", filter.clone()).await;
            best = best.min(begun.elapsed());
            assert_eq!(logs.as_array().map(Vec::len), Some(found), "{name}");
        }
        println!("{name}: {best:?} over {} logs in {BLOCKS} blocks", BLOCKS * LOGS);
        assert!(best < Duration::from_millis(limit), "{name}: {best:?}");
    }
}
