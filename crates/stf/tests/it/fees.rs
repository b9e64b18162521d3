//! Who pays what to whom on Layer 2.

use crate::asm::*;
use crate::support::*;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip4844};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use oceanid_primitives::predeploys::{FEE_VAULT, L1_BLOCK_INFO, l1_block_info};
use oceanid_primitives::{L1Block, L1DataFee, TxEnvelope, l1_info_deposit};
use oceanid_stf::revm::context::result::InvalidTransaction;
use oceanid_stf::{
    AccountState, BlockEnv, BlockExecutor, InvalidTx, L1Prices, RollupRules, Rules, StateReader, TxError, estimated_bytes,
    l1_data_fee,
};
use std::cell::Cell;
use std::convert::Infallible;

const L1_FEE: L1DataFee = L1DataFee { calldata_scalar: 1_000_000, blob_scalar: 500_000 };
const CHARGED: Rules = Rules::Rollup(RollupRules { l1_data_fee: L1_FEE });
const L1_BASE_FEE: u128 = 10;
const RATIO: u128 = 20 * ETHER;

fn with_prices() -> oceanid_stf::Overlay<oceanid_stf::EmptyState> {
    let mut world = world();
    deploy(&mut world, L1_BLOCK_INFO, artifact("L1BlockInfo"));
    set_slot(&mut world, L1_BLOCK_INFO, l1_block_info::BASE_FEE, L1_BASE_FEE);
    set_slot(&mut world, L1_BLOCK_INFO, l1_block_info::BLOB_BASE_FEE, 1);
    set_slot(&mut world, L1_BLOCK_INFO, l1_block_info::GAS_TOKEN_RATIO, RATIO);
    world
}

#[test]
fn base_fee_and_tip_go_to_the_vault_and_nothing_is_burnt() {
    let world = world();
    let (outcome, after) = run(ROLLUP, &world, seal(TxEip1559 { value: U256::from(5), ..tx() })).unwrap();
    assert_eq!((outcome.gas_used, outcome.l1_fee), (21_000, 0));
    let fee = U256::from(21_000 * GAS_PRICE);
    assert_eq!(balance(&after, FEE_VAULT), fee);
    assert_eq!(balance(&after, ALICE), U256::from(ETHER) - fee - U256::from(5));
    assert_eq!(supply(&after), supply(&world));
}

#[test]
fn a_reverted_transaction_pays_for_what_it_used() {
    let mut world = world();
    deploy(&mut world, CONTRACT, asm().push(U256::ZERO).push(U256::ZERO).op(&[REVERT]).bytes());
    let tx = TxEip1559 { to: TxKind::Call(CONTRACT), value: U256::from(5), ..tx() };
    let (outcome, after) = run(ROLLUP, &world, seal(tx)).unwrap();
    assert!(!outcome.success);
    assert_eq!(balance(&after, FEE_VAULT), U256::from(outcome.gas_used * GAS_PRICE));
    assert_eq!((balance(&after, CONTRACT), nonce(&after, ALICE)), (U256::ZERO, 1));
    assert_eq!(supply(&after), supply(&world));
}

#[test]
fn the_l1_fee_is_charged_on_top_and_shown() {
    let world = with_prices();
    let tx = seal(TxEip1559 { input: vec![7; 200].into(), ..tx() });
    // (1.0 x 16 x 10 + 0.5 x 1) wei of ETH a byte, 20 tokens per ETH.
    let expected = u128::from(estimated_bytes(&tx.encoded_2718())) * (160 * 20 + 10);
    let mut executor = executor(CHARGED, &world);
    let outcome = executor.execute(&tx, ALICE).unwrap();
    assert_eq!(outcome.l1_fee, expected);
    assert_eq!(executor.receipts()[0].l1_fee, expected);
    assert_eq!(l1_data_fee(&L1_FEE, &L1Prices::read(&world).unwrap(), &tx.encoded_2718()), expected);
    let output = executor.finish();
    assert_eq!(output.l1_fees, expected);
    let after = after(&world, output);
    let fees = U256::from(outcome.gas_used * GAS_PRICE) + U256::from(expected);
    assert_eq!(balance(&after, FEE_VAULT), fees);
    assert_eq!(balance(&after, ALICE), U256::from(ETHER) - fees);
}

#[test]
fn the_balance_must_cover_value_gas_and_l1_fee() {
    let mut world = with_prices();
    let tx = TxEip1559 { gas_limit: 21_000, value: U256::from(1_000), ..tx() };
    let cost = 21_000 * tx.max_fee_per_gas + 1_000;
    let l1_fee = l1_data_fee(&L1_FEE, &L1Prices::read(&world).unwrap(), &seal(tx.clone()).encoded_2718());
    fund(&mut world, ALICE, cost + l1_fee);
    assert!(run(CHARGED, &world, seal(tx.clone())).unwrap().0.success);
    fund(&mut world, ALICE, cost + l1_fee - 1);
    let balance = U256::from(cost + l1_fee - 1);
    let reason = InvalidTx::L1Fee { cost: U256::from(cost), l1_fee, balance };
    assert_eq!(run(CHARGED, &world, seal(tx.clone())).unwrap_err(), TxError::Invalid(reason));
    fund(&mut world, ALICE, cost - 1);
    let error = run(CHARGED, &world, seal(tx)).unwrap_err();
    assert!(matches!(error, TxError::Invalid(InvalidTx::Evm(InvalidTransaction::LackOfFundForMaxFee { .. }))), "{error}");
}

#[test]
fn an_l1_fee_nobody_has_is_not_paid_by_nobody() {
    // Gas is free, so that gas and value cost nothing and only the L1 data fee is left to check.
    let mut world = with_prices();
    fund(&mut world, ALICE, 1);
    let env = BlockEnv { base_fee: 0, ..env() };
    let tx = TxEip1559 { max_fee_per_gas: 0, max_priority_fee_per_gas: 0, ..tx() };
    let mut executor = BlockExecutor::new(CHARGED, CHAIN_ID, env, &world).unwrap();
    let error = executor.execute(&seal(tx), ALICE).unwrap_err();
    assert!(matches!(error, TxError::Invalid(InvalidTx::L1Fee { .. })), "{error}");
    assert!(executor.finish().diff.is_empty());
}

#[test]
fn prices_are_read_again_after_a_deposit() {
    let world = with_prices();
    let mut executor = executor(CHARGED, &world);
    let before = executor.execute(&seal(tx()), ALICE).unwrap().l1_fee;
    let origin = L1Block {
        number: 9,
        hash: B256::repeat_byte(9),
        parent_hash: B256::ZERO,
        timestamp: 1,
        base_fee: 10 * L1_BASE_FEE,
        blob_base_fee: 10,
        deposits: Vec::new(),
    };
    assert!(executor.execute(&l1_info_deposit(&origin).into(), Address::ZERO).unwrap().success);
    let after = executor.execute(&seal(TxEip1559 { nonce: 1, ..tx() }), ALICE).unwrap().l1_fee;
    // The two raw transactions differ in a nonce byte, not in length.
    assert_eq!(after, 10 * before);
    let (_, replayed) = run(CHARGED, &with_prices(), l1_info_deposit(&origin)).unwrap();
    assert_eq!(slot(&replayed, L1_BLOCK_INFO, l1_block_info::NUMBER), U256::from(9));
    assert_eq!(slot(&replayed, L1_BLOCK_INFO, l1_block_info::HASH), U256::from_be_bytes([9; 32]));
}

/// Counts what is read of the L1 prices.
struct Counting<'a>(&'a World, Cell<usize>);

impl StateReader for Counting<'_> {
    type Error = Infallible;

    fn account(&self, address: Address) -> Result<Option<AccountState>, Infallible> {
        self.0.account(address)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, Infallible> {
        self.1.set(self.1.get() + usize::from(address == L1_BLOCK_INFO));
        self.0.storage(address, slot)
    }

    fn code(&self, hash: B256) -> Result<Bytes, Infallible> {
        self.0.code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, Infallible> {
        self.0.block_hash(number)
    }
}

#[test]
fn prices_are_read_once_a_block_and_never_if_free() {
    let world = with_prices();
    for (rules, reads) in [(CHARGED, 3), (ROLLUP, 0), (Rules::ETHEREUM, 0)] {
        let reader = Counting(&world, Cell::new(0));
        let mut executor = BlockExecutor::new(rules, CHAIN_ID, env(), &reader).unwrap();
        for nonce in 0..3 {
            executor.execute(&seal(TxEip1559 { nonce, ..tx() }), ALICE).unwrap();
        }
        assert_eq!(reader.1.get(), reads, "{rules:?}");
    }
}

#[test]
fn an_invalid_transaction_leaves_no_trace() {
    let world = with_prices();
    let clean = {
        let mut executor = executor(CHARGED, &world);
        executor.execute(&seal(tx()), ALICE).unwrap();
        executor.execute(&seal(TxEip1559 { nonce: 1, ..tx() }), ALICE).unwrap();
        executor.finish()
    };
    let mut executor = executor(CHARGED, &world);
    executor.execute(&seal(tx()), ALICE).unwrap();
    let bad = [
        TxEip1559 { nonce: 0, ..tx() },
        TxEip1559 { nonce: 2, ..tx() },
        TxEip1559 { nonce: 1, chain_id: 1, ..tx() },
        TxEip1559 { nonce: 1, value: U256::from(2 * ETHER), ..tx() },
        TxEip1559 { nonce: 1, gas_limit: 20_000, ..tx() },
        TxEip1559 { nonce: 1, max_fee_per_gas: 999, ..tx() },
        TxEip1559 { nonce: 1, max_priority_fee_per_gas: 10_000, ..tx() },
    ];
    for tx in bad {
        let error = executor.execute(&seal(tx), ALICE).unwrap_err();
        assert!(matches!(error, TxError::Invalid(InvalidTx::Evm(_))), "{error}");
    }
    // A sender nobody has heard of.
    assert!(executor.execute(&seal(tx()), Address::repeat_byte(0x99)).is_err());
    let limit = TxEip1559 { nonce: 1, gas_limit: 30_000_000, ..tx() };
    assert_eq!(executor.execute(&seal(limit), ALICE), Err(TxError::GasLimit { limit: 30_000_000, left: 30_000_000 - 21_000 }));
    executor.execute(&seal(TxEip1559 { nonce: 1, ..tx() }), ALICE).unwrap();
    assert_eq!(executor.finish(), clean);
}

#[test]
fn blobs_are_refused_by_name() {
    let world = world();
    let tx = TxEip4844 {
        chain_id: CHAIN_ID,
        nonce: 0,
        gas_limit: 100_000,
        max_fee_per_gas: 5_000,
        max_priority_fee_per_gas: 0,
        to: BOB,
        value: U256::ZERO,
        access_list: Default::default(),
        blob_versioned_hashes: vec![B256::with_last_byte(1)],
        max_fee_per_blob_gas: 5,
        input: Bytes::new(),
    };
    let error = run(ROLLUP, &world, TxEnvelope::Eip4844(tx.into_signed(signature()))).unwrap_err();
    assert_eq!(error, TxError::Invalid(InvalidTx::Blob));
    assert!(error.to_string().contains("type 3"), "{error}");
}

#[test]
fn a_contract_does_not_send() {
    let mut world = world();
    deploy(&mut world, ALICE, asm().op(&[STOP]).bytes());
    let error = run(ROLLUP, &world, seal(TxEip1559 { nonce: 1, ..tx() })).unwrap_err();
    assert_eq!(error, TxError::Invalid(InvalidTx::Evm(InvalidTransaction::RejectCallerWithCode)));
}
