//! Pruning by hand: what is cut is refused, what is kept is whole, the disk gets its space back, and kill -9 at any moment changes none of that.

use crate::common::{CHAIN, Model, RETAINED, config, genesis};
use alloy_primitives::U256;
use oceanid_store::{MAX_HISTORY, Store, StoreConfig, StoreError};
use oceanid_trie::EMPTY_ROOT_HASH;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

const BLOCKS: u64 = 300;
const KEPT: u64 = 7;
const DIR: &str = "OCEANID_STORE_PRUNE_DIR";
const ROUNDS: u64 = 10;

/// A store that forgets nothing by itself.
fn open(dir: &Path) -> Store {
    let config = StoreConfig { history: MAX_HISTORY, ..config() };
    Store::open(dir, config, CHAIN, genesis()).unwrap()
}

fn chain(dir: &Path) -> Model {
    let store = open(dir);
    let mut model = Model::new(5);
    for _ in 0..BLOCKS {
        model.commit(&store);
    }
    model
}

/// Blocks, receipts, index, the present, the kept past with its proofs, the proofs of the retained trie at every age; and the cut past's refusal.
fn check(model: &Model, store: &Store, oldest: u64) {
    assert_eq!(store.oldest_state(), oldest);
    model.check(store);
    let audit = store.audit_state().unwrap();
    assert_eq!((audit.number, audit.history), (BLOCKS, BLOCKS - oldest));
    for number in [oldest, (oldest + BLOCKS) / 2, BLOCKS - 1] {
        let view = store.view_at(number).unwrap();
        model.states[number as usize].check(&view);
        model.states[number as usize].check_proofs(&view);
    }
    if let Some(cut) = oldest.checked_sub(1) {
        let refusal = store.view_at(cut).unwrap_err();
        assert!(matches!(refusal, StoreError::Pruned { .. }), "{refusal:?}");
        assert_eq!(refusal.to_string(), format!("state of block {cut} is no longer kept: the oldest is block {oldest}"));
    }
    for state in &model.states {
        let root = state.storage_root(RETAINED);
        if root != EMPTY_ROOT_HASH {
            let (slot, proof) = store.retained_proof(RETAINED, root, &[U256::ZERO]).unwrap().remove(0);
            assert_eq!(proof.value, state.storage.get(&(RETAINED, slot)).copied().unwrap_or_default());
        }
    }
}

#[test]
fn what_is_cut_is_refused_and_what_is_kept_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = chain(dir.path());
    let store = open(dir.path());
    check(&model, &store, 0);

    let plan = store.prune_plan(KEPT).unwrap();
    assert_eq!((plan.head, plan.oldest, plan.oldest_after), (BLOCKS, 0, BLOCKS - KEPT));
    assert!(plan.entries > BLOCKS && plan.entry_bytes > plan.entries && plan.segments > 0 && plan.segment_bytes > 0, "{plan:?}");
    check(&model, &store, 0);

    let before = store.table_bytes().unwrap();
    assert_eq!(store.prune(KEPT, &|_, _| {}).unwrap(), plan);
    let after = store.table_bytes().unwrap();
    check(&model, &store, BLOCKS - KEPT);
    for ((table, before), (_, after)) in before.into_iter().zip(after) {
        match table {
            "history" => assert!(after * 4 < before, "{table}: {before} bytes, then {after}"),
            "state" | "nodes" => assert!(after < before, "{table}: {before} bytes, then {after}"),
            _ => {}
        }
    }
    assert_eq!(dir.path().join("log").read_dir().unwrap().count(), 0, "the log is empty");

    // Again: nothing is left to remove. And with a longer past: none comes back.
    for history in [KEPT, 50] {
        let again = store.prune(history, &|_, _| {}).unwrap();
        assert_eq!((again.oldest, again.oldest_after, again.entries, again.segments), (BLOCKS - KEPT, BLOCKS - KEPT, 0, 0));
    }
    drop(store);
    let store = open(dir.path());
    check(&model, &store, BLOCKS - KEPT);
    for _ in 0..40 {
        model.commit(&store);
    }
    drop(store);
    let store = open(dir.path());
    model.check(&store);
    assert_eq!(store.audit_state().unwrap().history, 40 + KEPT);
}

#[test]
fn a_past_that_is_too_short_or_too_long_is_refused_with_the_limits() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for history in [0, MAX_HISTORY + 1] {
        let refusal = store.prune(history, &|_, _| {}).unwrap_err().to_string();
        assert_eq!(refusal, format!("history is {history}, must be 1 to 1000000 blocks"));
    }
    // A chain of nothing but its genesis.
    assert_eq!(store.prune(1, &|_, _| {}).unwrap().oldest_after, 0);
}

/// The process that is killed.
#[test]
#[ignore = "started by the test below"]
fn child_prunes_until_it_is_killed() {
    // Without a directory somebody runs all ignored tests: there is nothing to do here.
    let Ok(dir) = std::env::var(DIR) else { return };
    let store = open(Path::new(&dir));
    println!("open");
    let whole = store.head().number - store.oldest_state();
    for history in (1..whole).rev().step_by(5) {
        store.prune(history, &|_, _| {}).unwrap();
    }
}

#[test]
fn a_store_killed_while_it_is_pruned_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let model = chain(dir.path());
    let mut rng = StdRng::seed_from_u64(3);
    let mut oldest = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "prune::child_prunes_until_it_is_killed", "--ignored", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        assert!(lines.map_while(Result::ok).any(|line| line.ends_with("open")), "round {round}: the child opens the store");
        thread::sleep(Duration::from_micros(rng.random_range(0..60_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let store = open(dir.path());
        assert!(store.oldest_state() >= oldest, "round {round}");
        oldest = store.oldest_state();
        check(&model, &store, oldest);
    }
    assert!(oldest > 0 && oldest < BLOCKS - 1, "killed while there was something to prune: {oldest}");
}
