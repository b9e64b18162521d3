//! The store against an in-memory model, over random blocks, flushes and restarts; damage of the log; limits.

use crate::common::{ADDRESSES, Model, RETAINED, address, config, genesis, open};
use oceanid_stf::StateReader;
use oceanid_store::{Marks, Store, StoreError};
use proptest::prelude::*;
use std::{fs, path::PathBuf, sync::Arc, time::Duration};

proptest! {
    // A case opens files again and again: a twentieth of what is usual, and of what PROPTEST_CASES asks for.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 20, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any mix of commits, flushes and restarts: the store says what the model says, at every block, values and proofs.
    #[test]
    fn the_store_is_its_model(seed: u64, steps in prop::collection::vec((1u64..9, 0u8..4), 1..8)) {
        let dir = tempfile::tempdir().unwrap();
        let mut model = Model::new(seed);
        let mut store = open(dir.path()).unwrap();
        for (blocks, then) in steps {
            for _ in 0..blocks {
                model.commit(&store);
            }
            match then {
                0 => store.flush().unwrap(),
                1 => {
                    drop(store);
                    store = open(dir.path()).unwrap();
                }
                2 => std::thread::sleep(Duration::from_millis(30)),
                _ => {}
            }
            model.check(&store);
            model.check_history(&store);
        }
    }
}

#[test]
fn views_stay_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new(1);
    let store = open(dir.path()).unwrap();
    let mut views = Vec::new();
    for _ in 0..30 {
        model.commit(&store);
        views.push(store.view());
    }
    store.flush().unwrap();
    for (state, view) in model.states[1..].iter().zip(&views) {
        state.check(view);
        state.check_proofs(view);
    }
}

#[test]
fn speculative_blocks_are_read_through_and_can_be_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let mut model = Model::new(2);
    for _ in 0..5 {
        model.commit(&store);
    }
    let mut view = store.view();
    let mut branch = Model::new(2);
    branch.states.clone_from(&model.states);
    branch.headers.clone_from(&model.headers);
    branch.blocks.clone_from(&model.blocks);
    branch.seed = 3;
    for _ in 0..4 {
        let block = branch.next(&view);
        view = view.extend(block);
        branch.states.last().unwrap().check(&view);
        branch.states.last().unwrap().check_proofs(&view);
        assert_eq!(view.block_hash(view.number()).unwrap(), view.hash());
    }
    model.states.last().unwrap().check(&store.view());
    for _ in 0..20 {
        model.commit(&store);
    }
    branch.states.last().unwrap().check(&view);
    model.check(&store);
}

/// Copies a directory tree.
fn copy(from: &std::path::Path, to: &std::path::Path) {
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

/// A directory whose log holds blocks that the engine does not: a copy taken while the flusher sleeps.
fn unflushed(model: &mut Model, blocks: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let patient = oceanid_store::StoreConfig {
        flush_blocks: 100,
        flush_interval: Duration::from_secs(3_600),
        backlog_blocks: 200,
        log_segment_bytes: 1 << 20,
        ..config()
    };
    let store = Store::open(dir.path(), patient, crate::common::CHAIN, genesis()).unwrap();
    for _ in 0..blocks {
        model.commit(&store);
    }
    let image = tempfile::tempdir().unwrap();
    copy(dir.path(), image.path());
    image
}

fn last_segment(dir: &std::path::Path) -> PathBuf {
    let mut segments: Vec<_> = fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    segments.pop().unwrap()
}

#[test]
fn the_log_alone_brings_everything_back() {
    let mut model = Model::new(4);
    let image = unflushed(&mut model, 25);
    let store = open(image.path()).unwrap();
    model.check(&store);
    model.commit(&store);
    model.check(&store);
    store.flush().unwrap();
    model.check_history(&store);
}

#[test]
fn a_log_cut_anywhere_in_its_last_record_reopens_at_the_block_before() {
    let mut model = Model::new(5);
    let image = unflushed(&mut model, 3);
    let segment = last_segment(image.path());
    let whole = fs::read(&segment).unwrap();
    let head = model.head();
    // The last record begins where its magic last stands.
    let begin = (0..whole.len() - 4).rev().find(|at| whole[*at..].starts_with(b"OCWR")).unwrap();
    let step = (whole.len() - begin).div_ceil(60);
    for cut in (begin..whole.len()).step_by(step).chain([whole.len() - 1]) {
        let copied = tempfile::tempdir().unwrap();
        copy(image.path(), copied.path());
        fs::write(last_segment(copied.path()), &whole[..cut]).unwrap();
        let store = open(copied.path()).unwrap();
        assert_eq!(store.head().number, head - 1, "cut at {cut}");
        assert_eq!(store.head().hash, model.blocks[head as usize - 1].hash());
        model.states[head as usize - 1].check(&store.view());
    }
}

#[test]
fn a_creation_that_was_interrupted_is_begun_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    fs::rename(dir.path().join("engine"), dir.path().join("engine.new")).unwrap();
    let torn = fs::read_dir(dir.path().join("engine.new")).unwrap().next().unwrap().unwrap().path();
    if torn.is_dir() {
        fs::remove_dir_all(torn).unwrap()
    } else {
        fs::remove_file(torn).unwrap()
    }
    let store = open(dir.path()).unwrap();
    let mut model = Model::new(10);
    model.commit(&store);
    model.check(&store);
    assert!(!dir.path().join("engine.new").exists());
}

#[test]
fn a_log_whose_flushed_end_is_damaged_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new(9);
    let store = open(dir.path()).unwrap();
    for _ in 0..5 {
        model.commit(&store);
    }
    store.flush().unwrap();
    drop(store);
    let segment = last_segment(dir.path());
    let mut bytes = fs::read(&segment).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&segment, bytes).unwrap();
    for _ in 0..2 {
        let store = open(dir.path()).unwrap();
        model.check(&store);
        model.commit(&store);
        drop(store);
    }
    model.check(&open(dir.path()).unwrap());
}

#[test]
fn damage_before_the_end_of_the_log_is_an_error_that_names_it() {
    let mut model = Model::new(6);
    let image = unflushed(&mut model, 4);
    let segment = last_segment(image.path());
    let mut bytes = fs::read(&segment).unwrap();
    bytes[100] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let error = open(image.path()).unwrap_err();
    assert!(matches!(error, StoreError::Log { .. }), "{error}");
    assert!(error.to_string().contains("restore the directory"), "{error}");
}

#[test]
fn a_block_that_does_not_extend_the_head_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let mut model = Model::new(7);
    let block = model.next(&store.view());
    store.commit(block.clone(), None).unwrap();
    assert!(matches!(store.commit(block, None), Err(StoreError::NotNext { number: 1, head_number: 1, .. })));
    let mut other = Model::new(8);
    other.next(&open(tempfile::tempdir().unwrap().path()).unwrap().view());
    let orphan = Arc::new(oceanid_store::ExecutedBlock::new(
        Arc::new(oceanid_primitives::SealedBlock::new(oceanid_primitives::Block {
            header: oceanid_primitives::Header { number: 2, ..Default::default() },
            body: Vec::new(),
        })),
        Vec::new(),
        Vec::new(),
        Default::default(),
        Default::default(),
    ));
    assert!(matches!(store.commit(orphan, None), Err(StoreError::NotNext { number: 2, .. })));
    model.check(&store);
}

#[test]
fn a_directory_in_use_or_of_another_chain_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()), Err(StoreError::InUse(_))));
    drop(store);
    let other = Store::open(dir.path(), config(), crate::common::CHAIN + 1, genesis()).unwrap_err();
    assert!(matches!(other, StoreError::OtherChain { field: "chain id", .. }), "{other}");
    open(dir.path()).unwrap();
}

#[test]
fn marks_and_named_values_survive_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    assert_eq!(store.marks(), Marks::default());
    store.set_marks(Marks { safe: 7, finalized: 3 }).unwrap();
    store.put_meta("cursor", b"42").unwrap();
    assert!(matches!(store.put_meta(&"x".repeat(200), b""), Err(StoreError::MetaName { bytes: 200, .. })));
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(store.marks(), Marks { safe: 7, finalized: 3 });
    assert_eq!(store.get_meta("cursor").unwrap(), Some(b"42".into()));
    assert_eq!(store.get_meta("other").unwrap(), None);
}

#[test]
fn a_root_that_an_account_never_had_is_not_proven() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let unknown = alloy_primitives::B256::repeat_byte(9);
    assert!(matches!(store.retained_proof(RETAINED, unknown, &[Default::default()]), Err(StoreError::Trie { .. })));
    let state = Model::new(0).states.remove(0);
    let not_retained = (1..ADDRESSES).map(address).find(|address| *address != RETAINED).unwrap();
    let root = state.storage_root(not_retained);
    store.flush().unwrap();
    assert!(store.retained_proof(not_retained, root, &[Default::default()]).is_err());
}
