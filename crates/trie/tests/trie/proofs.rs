//! Proofs, checked by alloy-trie's verifier.

use crate::model::{build, changes, key};
use alloy_primitives::{B256, U256};
use alloy_trie::{EMPTY_ROOT_HASH, proof::verify_proof};
use oceanid_trie::{MemoryNodes, Nibbles, account_proof, storage_proof};
use proptest::{collection::vec, prelude::*};

proptest! {
    #[test]
    fn every_key_present_or_not_has_a_valid_proof(rounds in vec(changes(), 1..5), others in vec(key(), 16)) {
        let (model, store, root) = build(rounds);
        for address in model.accounts.keys().chain(&others) {
            let proof = account_proof(&store, root, *address).expect("the store is complete");
            let expected = model.accounts.get(address);
            prop_assert_eq!(proof.account.map(|a| (a.nonce, a.balance)), expected.map(|(a, _)| (a.nonce, a.balance)));
            let value = proof.account.map(alloy_rlp::encode);
            prop_assert_eq!(verify_proof(root, Nibbles::unpack(address), value, &proof.proof), Ok(()));

            let Some((_, slots)) = expected else { continue };
            let storage_root = proof.account.map_or(EMPTY_ROOT_HASH, |account| account.storage_root);
            for slot in slots.keys().chain(&others) {
                let proof = storage_proof(&store, *address, storage_root, *slot).expect("the store is complete");
                let expected = slots.get(slot).copied();
                prop_assert_eq!(proof.value, expected.unwrap_or_default());
                let value = expected.map(alloy_rlp::encode);
                prop_assert_eq!(verify_proof(storage_root, Nibbles::unpack(slot), value, &proof.proof), Ok(()));
            }
        }
    }
}

#[test]
fn the_empty_trie_proves_every_absence_with_nothing() {
    let store = MemoryNodes::default();
    let key = B256::repeat_byte(0x42);
    let account = account_proof(&store, EMPTY_ROOT_HASH, key).expect("nothing is read");
    assert_eq!((account.account, account.proof.len()), (None, 0));
    assert_eq!(verify_proof(EMPTY_ROOT_HASH, Nibbles::unpack(key), None, &account.proof), Ok(()));
    let slot = storage_proof(&store, key, EMPTY_ROOT_HASH, key).expect("nothing is read");
    assert_eq!((slot.value, slot.proof.len()), (U256::ZERO, 0));
}
