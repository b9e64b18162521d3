//! The audit of the state: it finds what the model made, and it finds a value that was changed behind the store's back.

use crate::common::{Model, open};
use fjall::{Database, KeyspaceCreateOptions};
use oceanid_store::{StateAudit, StoreError};

/// A store of 40 blocks, with the first `count` values of a table changed behind its back; what its audit says then.
fn audited(table: &str, prefix: &[u8], count: usize, change: impl Fn(&mut Vec<u8>)) -> Result<StateAudit, StoreError> {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new(7);
    let store = open(dir.path()).unwrap();
    for _ in 0..40 {
        model.commit(&store);
    }
    store.flush().unwrap();
    let audit = store.audit_state().unwrap();
    assert_eq!((audit.number, audit.root), (40, store.header(40).unwrap().unwrap().state_root));
    assert!(audit.accounts > 0 && audit.slots > 0 && audit.codes > 0 && audit.nodes > 0 && audit.history > 0, "{audit:?}");
    drop(store);

    let engine = Database::builder(dir.path().join("engine")).open().unwrap();
    let keyspace = engine.keyspace(table, KeyspaceCreateOptions::default).unwrap();
    let entries: Vec<_> = keyspace.prefix(prefix).take(count).map(|entry| entry.into_inner().unwrap()).collect();
    assert!(!entries.is_empty());
    for (key, value) in entries {
        let mut value = value.to_vec();
        change(&mut value);
        if value.is_empty() { keyspace.remove(key) } else { keyspace.insert(key, value) }.unwrap();
    }
    engine.persist(fjall::PersistMode::SyncAll).unwrap();
    drop((keyspace, engine));
    open(dir.path()).unwrap().audit_state()
}

#[test]
fn a_whole_state_has_its_root_and_a_changed_value_has_not() {
    let verdict = audited("state", b"s", 1, |value| *value.last_mut().unwrap() ^= 1);
    assert!(matches!(verdict, Err(StoreError::StateRoot { number: 40, .. })), "{verdict:?}");
}

#[test]
fn a_changed_or_missing_trie_node_is_found() {
    for (place, tag) in [("an account", b"a"), ("a storage slot", b"s")] {
        for change in [|node: &mut Vec<u8>| *node.last_mut().unwrap() ^= 1, Vec::clear] {
            let verdict = audited("nodes", tag, 1, change);
            assert!(matches!(verdict, Err(StoreError::Damaged { what: "trie node", .. })), "{place}: {verdict:?}");
        }
    }
    let verdict = audited("nodes", b"r", usize::MAX, |node| *node.last_mut().unwrap() ^= 1);
    assert!(matches!(verdict, Err(StoreError::Damaged { what: "retained node", .. })), "{verdict:?}");
}

#[test]
fn history_that_gives_another_past_is_found() {
    let verdict = audited("history", b"a", 1, |prior| *prior = if prior.is_empty() { vec![0xc0] } else { Vec::new() });
    assert!(verdict.is_err(), "{verdict:?}");
    let verdict = audited("history", b"b", 1, Vec::clear);
    assert!(matches!(verdict, Err(StoreError::Damaged { what: "history", .. })), "{verdict:?}");
}
