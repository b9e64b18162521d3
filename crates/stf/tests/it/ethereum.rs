//! Plain Prague, as the embedded L1 runs it, and what both rules share.

use crate::asm::*;
use crate::support::*;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::eip2935::HISTORY_STORAGE_CODE;
use alloy_eips::eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE};
use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use oceanid_primitives::TxEnvelope;
use oceanid_primitives::predeploys::{FEE_VAULT, HISTORY_STORAGE};
use oceanid_stf::revm::context::result::InvalidTransaction;
use oceanid_stf::{BlockEnv, BlockExecutor, InvalidTx, Rules, TxError};

fn blob_tx(nonce: u64, blobs: usize) -> TxEip4844 {
    let mut hash = B256::repeat_byte(0x33);
    hash.0[0] = 1;
    TxEip4844 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 100_000,
        max_fee_per_gas: 5_000,
        max_priority_fee_per_gas: 10,
        to: CONTRACT,
        value: U256::ZERO,
        access_list: Default::default(),
        blob_versioned_hashes: vec![hash; blobs],
        max_fee_per_blob_gas: 1_000,
        input: Bytes::new(),
    }
}

fn blob(nonce: u64, blobs: usize) -> TxEnvelope {
    TxEnvelope::Eip4844(blob_tx(nonce, blobs).into_signed(signature()))
}

#[test]
fn the_base_fee_is_burnt_and_the_tip_paid() {
    let world = world();
    let (outcome, after) = run(Rules::ETHEREUM, &world, seal(tx())).unwrap();
    assert_eq!(balance(&after, FEE_VAULT), U256::from(outcome.gas_used * 10));
    assert_eq!(balance(&after, ALICE), U256::from(ETHER) - U256::from(outcome.gas_used * GAS_PRICE));
    assert_eq!(supply(&world) - supply(&after), U256::from(outcome.gas_used * BASE_FEE));
}

#[test]
fn blobs_pay_their_own_price_and_share_the_blocks_room() {
    let mut world = world();
    // storage[0] = blob hash 1, storage[1] = blob base fee
    deploy(&mut world, CONTRACT, asm().push(U256::ONE).op(&[BLOBHASH]).store(0).op(&[BLOBBASEFEE]).store(1).bytes());
    // e^(20,000,000 / 5,007,716) is 54.
    let env = BlockEnv { excess_blob_gas: 20_000_000, ..env() };
    let price = oceanid_stf::BLOB_PARAMS.calc_blob_fee(env.excess_blob_gas);
    assert!((50..60).contains(&price), "{price}");
    let mut executor = BlockExecutor::new(Rules::ETHEREUM, CHAIN_ID, env, &world).unwrap();
    let outcome = executor.execute(&blob(0, 6), ALICE).unwrap();
    assert!(outcome.success);
    assert_eq!(executor.execute(&blob(1, 4), ALICE), Err(TxError::BlobLimit { blobs: 4, left: 3 }));
    assert!(executor.execute(&blob(1, 3), ALICE).unwrap().success);
    assert_eq!(executor.execute(&blob(2, 1), ALICE), Err(TxError::BlobLimit { blobs: 1, left: 0 }));
    let gas_used = executor.receipts()[1].cumulative_gas_used;
    let output = executor.finish();
    assert_eq!(output.blob_gas_used, 9 * DATA_GAS_PER_BLOB);
    let after = after(&world, output);
    let burnt = u128::from(gas_used * BASE_FEE) + 9 * u128::from(DATA_GAS_PER_BLOB) * price;
    assert_eq!(supply(&world) - supply(&after), U256::from(burnt));
    assert_eq!(slot(&after, CONTRACT, 1), U256::from(price));
    assert_eq!(slot(&after, CONTRACT, 0), U256::from_be_bytes(blob_tx(0, 2).blob_versioned_hashes[1].0));
}

#[test]
fn blob_transactions_are_validated() {
    let world = world();
    let invalid = |tx: TxEip4844, env: BlockEnv| {
        let mut executor = BlockExecutor::new(Rules::ETHEREUM, CHAIN_ID, env, &world).unwrap();
        match executor.execute(&TxEnvelope::Eip4844(tx.into_signed(signature())), ALICE) {
            Err(TxError::Invalid(InvalidTx::Evm(reason))) => reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(invalid(blob_tx(0, 10), env()), InvalidTransaction::TooManyBlobs { have: 10, max: 9 });
    assert_eq!(invalid(blob_tx(0, 0), env()), InvalidTransaction::EmptyBlobs);
    let version = TxEip4844 { blob_versioned_hashes: vec![B256::ZERO], ..blob_tx(0, 1) };
    assert_eq!(invalid(version, env()), InvalidTransaction::BlobVersionNotSupported);
    // e^(46,000,000 / 5,007,716) is 9,760 or so, above the transaction's cap of 1,000.
    let expensive = BlockEnv { excess_blob_gas: 46_000_000, ..env() };
    assert!(matches!(invalid(blob_tx(0, 1), expensive), InvalidTransaction::BlobGasPriceGreaterThanMax { .. }));
}

#[test]
fn block_start_writes_history_under_both_rules_and_beacon_roots_on_ethereum() {
    let mut world = world();
    deploy(&mut world, HISTORY_STORAGE, HISTORY_STORAGE_CODE.clone());
    deploy(&mut world, BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE.clone());
    let root = B256::repeat_byte(0x66);
    let env = BlockEnv { parent_beacon_block_root: root, ..env() };
    for rules in [ROLLUP, Rules::ETHEREUM] {
        let output = BlockExecutor::new(rules, CHAIN_ID, env, &world).unwrap().finish();
        assert_eq!((output.gas_used, output.receipts.len()), (0, 0));
        let after = after(&world, output);
        assert_eq!(slot(&after, HISTORY_STORAGE, 4), U256::from_be_bytes(env.parent_hash.0));
        let expected = if rules.is_rollup() { U256::ZERO } else { U256::from_be_bytes(root.0) };
        assert_eq!(slot(&after, BEACON_ROOTS_ADDRESS, env.timestamp % 8_191 + 8_191), expected);
    }
}

#[test]
fn without_system_contracts_block_start_changes_nothing() {
    let world = world();
    for rules in [ROLLUP, Rules::ETHEREUM] {
        assert!(executor(rules, &world).finish().diff.is_empty());
    }
}

#[test]
fn a_failing_system_contract_is_an_error() {
    let mut world = world();
    deploy(&mut world, HISTORY_STORAGE, asm().op(&[INVALID]).bytes());
    let error = BlockExecutor::new(ROLLUP, CHAIN_ID, env(), &world).unwrap_err();
    assert_eq!(error, TxError::SystemCall(HISTORY_STORAGE));
}

#[test]
fn the_parents_hash_needs_no_reader() {
    let mut world = world();
    deploy(&mut world, CONTRACT, asm().push(U256::from(4)).op(&[BLOCKHASH]).store(0).bytes());
    let (_, after) = run(ROLLUP, &world, seal(TxEip1559 { to: TxKind::Call(CONTRACT), ..tx() })).unwrap();
    assert_eq!(slot(&after, CONTRACT, 0), U256::from_be_bytes(env().parent_hash.0));
}

#[test]
fn delegations_are_set_and_followed() {
    let mut world = world();
    deploy(&mut world, CONTRACT, asm().op(&[CALLVALUE]).store(3).bytes());
    let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(5)).unwrap();
    let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: CONTRACT, nonce: 0 };
    let signed = signer.sign_hash_sync(&authorization.signature_hash()).unwrap();
    let tx = TxEip7702 {
        chain_id: CHAIN_ID,
        nonce: 0,
        gas_limit: 200_000,
        max_fee_per_gas: 5_000,
        max_priority_fee_per_gas: 0,
        to: signer.address(),
        value: U256::from(17),
        access_list: Default::default(),
        authorization_list: vec![authorization.into_signed(signed)],
        input: Bytes::new(),
    };
    for rules in [ROLLUP, Rules::ETHEREUM] {
        let tx = TxEnvelope::Eip7702(tx.clone().into_signed(signature()));
        let (outcome, after) = run(rules, &world, tx).unwrap();
        assert!(outcome.success, "{outcome:?}");
        assert_eq!(slot(&after, signer.address(), 3), U256::from(17));
        assert_eq!(nonce(&after, signer.address()), 1);
        use oceanid_stf::StateReader;
        let code = after.account(signer.address()).unwrap().unwrap().code_hash;
        assert_eq!(after.code(code).unwrap()[..], [&[0xef, 0x01, 0x00][..], CONTRACT.as_slice()].concat());
    }
}

#[test]
fn an_unprotected_legacy_transaction_is_valid() {
    let world = world();
    let tx = TxLegacy {
        chain_id: None,
        nonce: 0,
        gas_price: 5_000,
        gas_limit: 21_000,
        to: TxKind::Call(BOB),
        value: U256::ONE,
        input: Bytes::new(),
    };
    let (outcome, after) = run(ROLLUP, &world, TxEnvelope::Legacy(tx.into_signed(signature()))).unwrap();
    assert!(outcome.success);
    assert_eq!(balance(&after, FEE_VAULT), U256::from(21_000 * 5_000));
}

#[test]
fn unread_and_unchanged_state_is_not_in_the_diff() {
    let mut world = world();
    deploy(&mut world, CONTRACT, asm().push(U256::from(7)).op(&[SLOAD]).store(8).push(U256::from(9)).store(9).bytes());
    set_slot(&mut world, CONTRACT, 8, 0);
    set_slot(&mut world, CONTRACT, 9, 9);
    let tx = TxEip1559 { to: TxKind::Call(CONTRACT), ..tx() };
    let mut executor = executor(ROLLUP, &world);
    executor.execute(&seal(tx), ALICE).unwrap();
    let diff = executor.finish().diff;
    let mut changed: Vec<Address> = diff.accounts.keys().copied().collect();
    changed.sort();
    let mut expected = vec![ALICE, FEE_VAULT];
    expected.sort();
    assert_eq!(changed, expected, "the called contract is touched, not changed");
    assert!(diff.storage.is_empty(), "{:?}", diff.storage);
}
