//! A log that is anything but what was written: the store opens with a beginning of the chain, or says what is damaged.

use crate::common::{CHAIN, Model, config, genesis, open};
use oceanid_store::{Store, StoreConfig};
use std::fs;
use std::path::Path;
use std::time::Duration;

const SEED: u64 = 5;
const BLOCKS: u64 = 12;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn fuzz_write_ahead_logs() {
    let source = tempfile::tempdir().unwrap();
    // Nothing is flushed: all of the chain is in the log, in one segment, as a killed process leaves it.
    let unflushed = StoreConfig {
        flush_blocks: 1_000,
        flush_interval: Duration::from_secs(3_600),
        backlog_blocks: 1_000,
        log_segment_bytes: 1 << 20,
        ..config()
    };
    let store = Store::open(source.path(), unflushed, CHAIN, genesis()).unwrap();
    let mut model = Model::new(SEED);
    (0..BLOCKS).for_each(|_| model.commit(&store));
    let image = tempfile::tempdir().unwrap();
    copy(source.path(), image.path());
    drop(store);
    let segment = fs::read_dir(image.path().join("log")).unwrap().next().unwrap().unwrap().file_name();
    let log = fs::read(image.path().join("log").join(&segment)).unwrap();

    oceanid_fuzz::bytes("write-ahead logs", &[log], |input| {
        let victim = tempfile::tempdir().unwrap();
        copy(image.path(), victim.path());
        fs::write(victim.path().join("log").join(&segment), input).unwrap();
        let Ok(store) = open(victim.path()) else { return false };
        let head = store.head();
        assert_eq!(head.hash, model.blocks[head.number as usize].hash(), "a chain that nobody wrote");
        model.states[head.number as usize].check(&store.view());
        head.number > 0
    });
}
