//! A million logs: how long a query takes. Run with `cargo nextest run -p oceanid-rpc --run-ignored only million --no-capture`.

use crate::fixture::Ethereum;
use alloy_primitives::{Address, B256, Bytes, hex};
use serde_json::json;
use std::time::{Duration, Instant};

/// Blocks with logs.
const BLOCKS: u64 = 1_000;
/// Logs in each.
const LOGS: u64 = 1_000;

/// Runtime of a contract that logs a word of zeros under the second word of its input, as often as the third says.
fn emitter() -> Bytes {
    // PUSH1 64 CALLDATALOAD; JUMPDEST; PUSH1 32 CALLDATALOAD; PUSH1 32; PUSH0; LOG1; PUSH1 1; SWAP1; SUB; DUP1; PUSH1 3; JUMPI; STOP
    Bytes::from_static(&hex!("604035" "5b" "602035" "6020" "5f" "a1" "6001" "90" "03" "80" "6003" "57" "00"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute"]
async fn a_million_logs_are_searched_in_milliseconds() {
    let chain = Ethereum::start().await;
    let c = &chain.client;
    let contract = Address::repeat_byte(0xe1);
    c.call("anvil_setCode", json!([contract, emitter()])).await;
    for number in 0..BLOCKS {
        let rare = number % 100 == 0;
        let topic = B256::with_last_byte(if rare { 2 } else { 1 });
        let input = [B256::ZERO, topic, B256::from(alloy_primitives::U256::from(LOGS))].concat();
        let gas = 2_000_000;
        let (raw, _) = chain.call_with(number, contract, input.into(), gas);
        c.call("eth_sendRawTransaction", json!([raw])).await;
        c.call("evm_mine", json!([])).await;
    }
    // Empty blocks behind them, so that sections are whole.
    c.call("anvil_mine", json!([1_100])).await;
    let first = c.call("eth_getBlockReceipts", json!(["0x2"])).await;
    assert_eq!(first[0]["logs"].as_array().map(Vec::len), Some(LOGS as usize));

    let absent = json!([{ "fromBlock": "0x0", "topics": [B256::with_last_byte(3)] }]);
    let of_one_block = json!([{ "fromBlock": "0x0", "toBlock": "0x32", "topics": [B256::with_last_byte(2)] }]);
    for (name, filter, found) in [("absent topic", absent, 0), ("one block of logs", of_one_block, LOGS as usize)] {
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let begun = Instant::now();
            let logs = c.call("eth_getLogs", filter.clone()).await;
            best = best.min(begun.elapsed());
            assert_eq!(logs.as_array().map(Vec::len), Some(found));
        }
        println!("{name}: {best:?} over {} logs in {BLOCKS} blocks", BLOCKS * LOGS);
        assert!(best < Duration::from_millis(200), "{name}: {best:?}");
    }
}
