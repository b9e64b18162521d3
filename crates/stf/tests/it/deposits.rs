//! Deposits: OP Stack, Regolith and later.

use crate::asm::*;
use crate::support::*;
use alloy_primitives::{Address, TxKind, U256};
use oceanid_primitives::{TxDeposit, TxEnvelope};
use oceanid_stf::revm::context::result::HaltReason;
use oceanid_stf::{InvalidTx, Rules, TxError};

#[test]
fn mints_transfers_and_pays_nothing() {
    let world = world();
    let mut executor = executor(ROLLUP, &world);
    let tx = TxDeposit { mint: 500, value: U256::from(ETHER + 500), ..deposit() };
    let outcome = executor.execute(&tx.into(), Address::ZERO).unwrap();
    assert!(outcome.success);
    assert_eq!(outcome.gas_used, 21_000);
    let receipt = executor.receipts()[0].clone();
    assert_eq!((receipt.tx_type, receipt.deposit_nonce, receipt.l1_fee), (0x7e, Some(0), 0));
    let after = after(&world, executor.finish());
    assert_eq!(balance(&after, ALICE), U256::ZERO);
    assert_eq!(nonce(&after, ALICE), 1);
    assert_eq!(balance(&after, BOB), U256::from(ETHER + 500));
    assert_eq!(supply(&after), supply(&world) + U256::from(500));
}

#[test]
fn value_above_balance_fails_with_the_mint_kept() {
    let world = world();
    let tx = TxDeposit { mint: 500, value: U256::from(ETHER + 501), ..deposit() };
    let (outcome, after) = run(ROLLUP, &world, tx).unwrap();
    assert_eq!((outcome.success, outcome.halt), (false, Some(HaltReason::OutOfFunds)));
    assert_eq!(outcome.gas_used, 100_000, "the whole limit");
    assert_eq!(balance(&after, ALICE), U256::from(ETHER + 500));
    assert_eq!(nonce(&after, ALICE), 1);
    assert_eq!(balance(&after, BOB), U256::ZERO);
}

#[test]
fn gas_below_intrinsic_fails_and_the_block_goes_on() {
    let world = world();
    let mut executor = executor(ROLLUP, &world);
    let tx = TxDeposit { mint: 500, gas_limit: 20_999, ..deposit() };
    let outcome = executor.execute(&tx.into(), ALICE).unwrap();
    assert!(!outcome.success && outcome.halt.is_some());
    assert_eq!(outcome.gas_used, 20_999);
    assert_eq!(executor.receipts()[0].deposit_nonce, Some(0));
    executor.execute(&seal(alloy_consensus::TxEip1559 { nonce: 1, ..tx_to(BOB) }), ALICE).unwrap();
    let after = after(&world, executor.finish());
    assert_eq!(nonce(&after, ALICE), 2);
    assert_eq!(supply(&after), supply(&world) + U256::from(500));
}

fn tx_to(to: Address) -> alloy_consensus::TxEip1559 {
    alloy_consensus::TxEip1559 { to: TxKind::Call(to), ..tx() }
}

#[test]
fn revert_undoes_all_but_mint_and_nonce() {
    let mut world = world();
    deploy(&mut world, CONTRACT, asm().push(U256::ONE).store(0).push(U256::ZERO).push(U256::ZERO).op(&[REVERT]).bytes());
    let tx = TxDeposit { to: TxKind::Call(CONTRACT), mint: 7, value: U256::from(9), ..deposit() };
    let (outcome, after) = run(ROLLUP, &world, tx).unwrap();
    assert_eq!((outcome.success, outcome.halt), (false, None));
    assert!(outcome.gas_used > 21_000 && outcome.gas_used < 100_000);
    assert_eq!((balance(&after, ALICE), nonce(&after, ALICE)), (U256::from(ETHER + 7), 1));
    assert_eq!((balance(&after, CONTRACT), slot(&after, CONTRACT, 0)), (U256::ZERO, U256::ZERO));
}

#[test]
fn creates_at_the_senders_nonce() {
    let mut world = world();
    deploy(&mut world, CONTRACT, asm().op(&[STOP]).bytes());
    let init = init_code(asm(), &[STOP]);
    let tx = TxDeposit { to: TxKind::Create, input: init.into(), ..deposit() };
    let (outcome, after) = run(ROLLUP, &world, tx).unwrap();
    assert_eq!(outcome.created, Some(ALICE.create(0)));
    assert_eq!(nonce(&after, ALICE), 1);
    let oversized = TxDeposit { to: TxKind::Create, input: vec![0; 49_153].into(), gas_limit: 10_000_000, ..deposit() };
    let (outcome, after) = run(ROLLUP, &world, oversized).unwrap();
    assert_eq!(outcome.halt, Some(HaltReason::CreateInitCodeSizeLimit));
    assert_eq!((outcome.gas_used, nonce(&after, ALICE)), (10_000_000, 1));
}

#[test]
fn sees_no_gas_price_and_may_come_from_a_contract() {
    let mut world = world();
    deploy(&mut world, CONTRACT, asm().op(&[GASPRICE]).push(U256::ONE).op(&[0x01]).store(0).bytes());
    deploy(&mut world, BOB, asm().op(&[STOP]).bytes());
    let tx = TxDeposit { from: BOB, to: TxKind::Call(CONTRACT), ..deposit() };
    let mut executor = executor(ROLLUP, &world);
    assert!(executor.execute(&tx.into(), BOB).unwrap().success);
    assert_eq!(executor.receipts()[0].deposit_nonce, Some(1));
    assert_eq!(slot(&after(&world, executor.finish()), CONTRACT, 0), U256::ONE);
}

#[test]
fn one_that_does_not_fit_is_recorded_without_gas() {
    let world = world();
    let mut executor = executor(ROLLUP, &world);
    let tx = TxDeposit { mint: 11, gas_limit: 30_000_001, value: U256::ONE, ..deposit() };
    let outcome = executor.execute(&tx.into(), ALICE).unwrap();
    assert_eq!((outcome.success, outcome.gas_used), (false, 0));
    assert_eq!(executor.gas_left(), 30_000_000);
    assert!(executor.execute(&TxEnvelope::from(deposit()), ALICE).unwrap().success);
    assert_eq!(executor.receipts()[1].deposit_nonce, Some(1));
    let after = after(&world, executor.finish());
    assert_eq!((balance(&after, ALICE), nonce(&after, ALICE)), (U256::from(ETHER + 11), 2));
    assert_eq!(balance(&after, BOB), U256::ZERO);
}

#[test]
fn a_new_account_that_only_fails_exists_by_its_nonce() {
    let world = world();
    let stranger = Address::repeat_byte(0x77);
    let (_, after) = run(ROLLUP, &world, TxDeposit { from: stranger, gas_limit: 0, ..deposit() }).unwrap();
    assert_eq!((balance(&after, stranger), nonce(&after, stranger)), (U256::ZERO, 1));
}

#[test]
fn is_refused_on_ethereum() {
    let world = world();
    let error = run(Rules::ETHEREUM, &world, deposit()).unwrap_err();
    assert_eq!(error, TxError::Invalid(InvalidTx::Deposit));
}
