//! A block's witness: what one run reads is enough for the next, and none of it is too much.

use crate::model::{build, changes, key};
use oceanid_trie::{Recorder, TrieError, WitnessNodes, get_account, get_storage, update_state_root};
use proptest::{collection::vec, prelude::*};

proptest! {
    #[test]
    fn a_recorded_witness_gives_the_same_root(rounds in vec(changes(), 1..5), mut block in changes(), reads in vec(key(), 8)) {
        let (mut model, store, root) = build(rounds);
        model.apply(&mut block);

        let recorder = Recorder::new(&store);
        let accounts: Vec<_> = reads.iter().map(|key| get_account(&recorder, root, *key)).collect();
        let slot = |reader: &dyn Fn(_, _) -> _, index: usize| match &accounts[index] {
            Ok(Some(account)) => reader(reads[index], account.storage_root),
            _ => None,
        };
        let slots: Vec<_> = (0..reads.len())
            .map(|i| slot(&|owner, root| get_storage(&recorder, owner, root, reads[0]).ok(), i))
            .collect();
        let expected = update_state_root(&recorder, root, &block).expect("the store is complete");

        let witness = WitnessNodes::from_nodes(recorder.into_witness().iter().map(|(_, rlp)| rlp.clone()));
        let again: Vec<_> = reads.iter().map(|key| get_account(&witness, root, *key)).collect();
        prop_assert_eq!(&again, &accounts);
        let again: Vec<_> = (0..reads.len())
            .map(|i| slot(&|owner, root| get_storage(&witness, owner, root, reads[0]).ok(), i))
            .collect();
        prop_assert_eq!(again, slots);
        prop_assert_eq!(update_state_root(&witness, root, &block), Ok(expected));
    }

    #[test]
    fn any_node_less_is_a_missing_node(rounds in vec(changes(), 1..5), mut block in changes()) {
        let (mut model, store, root) = build(rounds);
        model.apply(&mut block);
        let recorder = Recorder::new(&store);
        update_state_root(&recorder, root, &block).expect("the store is complete");
        let witness = recorder.into_witness();

        for (missing, _) in witness.iter() {
            let rest = witness.iter().filter(|(hash, _)| *hash != missing).map(|(hash, rlp)| (*hash, rlp.clone()));
            let rest: WitnessNodes = rest.collect();
            match update_state_root(&rest, root, &block) {
                Err(TrieError::MissingNode { hash, .. }) => prop_assert_eq!(hash, *missing),
                other => prop_assert!(false, "without {}: {:?}", missing, other.map(|(root, ..)| root)),
            }
        }
    }
}
