//! The audit of the state: it finds what the model made, and it finds a value that was changed behind the store's back.

use crate::common::{Model, open};
use fjall::{Database, KeyspaceCreateOptions};
use oceanid_store::StoreError;

#[test]
fn a_whole_state_has_its_root_and_a_changed_value_has_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new(7);
    let store = open(dir.path()).unwrap();
    for _ in 0..40 {
        model.commit(&store);
    }
    store.flush().unwrap();
    let audit = store.audit_state().unwrap();
    assert_eq!((audit.number, audit.root), (40, store.header(40).unwrap().unwrap().state_root));
    assert!(audit.accounts > 0 && audit.slots > 0 && audit.codes > 0, "{audit:?}");
    drop(store);

    let engine = Database::builder(dir.path().join("engine")).open().unwrap();
    let state = engine.keyspace("state", KeyspaceCreateOptions::default).unwrap();
    let (key, mut value) = {
        let (key, value) = state.prefix(b"s").next().unwrap().into_inner().unwrap();
        (key.to_vec(), value.to_vec())
    };
    *value.last_mut().unwrap() ^= 1;
    state.insert(key, value).unwrap();
    engine.persist(fjall::PersistMode::SyncAll).unwrap();
    drop((state, engine));

    let store = open(dir.path()).unwrap();
    assert!(matches!(store.audit_state(), Err(StoreError::StateRoot { number: 40, .. })), "{:?}", store.audit_state());
}
