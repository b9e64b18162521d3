//! Ten thousand blocks: memory and start-up time must not grow with the chain.

use crate::common::{FakeL1, Node, transfer};
use oceanid_chain::{Ledger, LedgerConfig};
use std::time::{Duration, Instant};

const BLOCKS: u64 = 10_000;
/// What the process may take after them: budgets of one store with a margin.
const MEMORY_LIMIT: u64 = 300 << 20;
const START_LIMIT: Duration = Duration::from_secs(2);

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

#[test]
#[ignore = "a minute: part of the long mode of the test command"]
fn memory_and_start_up_stay_bounded() {
    let node = Node::new();
    let l1 = FakeL1::new(100);
    for nonce in 0..BLOCKS {
        let block = node.build(&l1, vec![transfer(0, 2 * nonce), transfer(0, 2 * nonce + 1)]);
        node.ledger.commit(&block, None).unwrap();
    }
    let memory = resident();
    assert!(memory < MEMORY_LIMIT, "{} MiB resident after {BLOCKS} blocks", memory >> 20);
    let Node { ledger, dir } = node;
    drop(ledger);
    let started = Instant::now();
    let ledger = Ledger::open(dir.path(), crate::common::spec(), LedgerConfig::default()).unwrap();
    let elapsed = started.elapsed();
    assert_eq!(ledger.head().number(), BLOCKS);
    assert!(elapsed < START_LIMIT, "start took {elapsed:?} after {BLOCKS} blocks");
    let files: u64 =
        std::fs::read_dir(dir.path().join("log")).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(files < 64 << 20, "the log is cut behind the flusher: {} MiB", files >> 20);
}
