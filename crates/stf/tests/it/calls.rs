//! Calls outside of blocks, and tracing.

use crate::asm::*;
use crate::support::*;
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, TxKind, U256};
use oceanid_primitives::{TxDeposit, TxEnvelope};
use oceanid_stf::revm::context::result::InvalidTransaction;
use oceanid_stf::{BlockExecutor, CallRequest, InvalidTx, Overlay, Rules, StateDiff, TxError, call, call_with_inspector, replay};
use revm_inspectors::access_list::AccessListInspector;
use revm_inspectors::tracing::{TracingInspector, TracingInspectorConfig};

fn request(to: Address) -> CallRequest {
    CallRequest { from: ALICE, to: TxKind::Call(to), gas_limit: 1_000_000, ..CallRequest::default() }
}

/// Returns `value` as a word.
fn returning(value: Asm) -> Asm {
    value.push(U256::ZERO).op(&[MSTORE]).push(U256::from(32)).push(U256::ZERO).op(&[RETURN])
}

#[test]
fn reads_without_paying() {
    let mut world = world();
    deploy(&mut world, CONTRACT, returning(asm().op(&[GASPRICE, BASEFEE, 0x01])).bytes());
    for rules in [ROLLUP, Rules::ETHEREUM] {
        // A sender without a coin, a nonce that is not zero, and code: none of it matters.
        let request = CallRequest { from: CONTRACT, ..request(CONTRACT) };
        let outcome = call(rules, CHAIN_ID, env(), &world, &request).unwrap();
        assert_eq!(U256::from_be_slice(outcome.result.output().unwrap()), U256::ZERO, "free of charge in every respect");
        assert!(outcome.diff.accounts.values().flatten().all(|account| account.balance.is_zero()));
    }
}

#[test]
fn pays_when_a_price_is_given_and_never_sends_what_is_not_there() {
    let world = world();
    let paid = CallRequest { gas_price: u128::from(BASE_FEE), ..request(BOB) };
    let outcome = call(ROLLUP, CHAIN_ID, env(), &world, &paid).unwrap();
    let balance = outcome.diff.accounts[&ALICE].unwrap().balance;
    assert_eq!(balance, U256::from(ETHER) - U256::from(outcome.result.tx_gas_used() * BASE_FEE));
    let cheap = CallRequest { gas_price: 1, ..request(BOB) };
    let error = call(ROLLUP, CHAIN_ID, env(), &world, &cheap).unwrap_err();
    assert_eq!(error, TxError::Invalid(InvalidTx::Evm(InvalidTransaction::GasPriceLessThanBasefee)));
    let broke = CallRequest { value: U256::from(ETHER + 1), ..request(BOB) };
    let error = call(ROLLUP, CHAIN_ID, env(), &world, &broke).unwrap_err();
    assert!(matches!(error, TxError::Invalid(InvalidTx::Evm(InvalidTransaction::LackOfFundForMaxFee { .. }))), "{error}");
}

#[test]
fn may_use_more_gas_than_a_block_and_see_overrides() {
    let mut world = world();
    deploy(&mut world, CONTRACT, returning(asm().push(U256::ZERO).op(&[SLOAD])).bytes());
    set_slot(&mut world, CONTRACT, 0, 1);
    let mut overrides = StateDiff::default();
    overrides.storage.entry(CONTRACT).or_default().slots.insert(U256::ZERO, U256::from(42));
    let overridden = Overlay::new(&world).with_layer(overrides);
    let request = CallRequest { gas_limit: 10 * env().gas_limit, ..request(CONTRACT) };
    let outcome = call(ROLLUP, CHAIN_ID, env(), &overridden, &request).unwrap();
    assert_eq!(U256::from_be_slice(outcome.result.output().unwrap()), U256::from(42));
}

#[test]
fn inspectors_of_the_library_work() {
    let mut world = world();
    deploy(&mut world, BOB, asm().push(U256::from(3)).op(&[SLOAD, POP]).bytes());
    deploy(&mut world, CONTRACT, asm().forward(CALL, BOB, 0).op(&[POP]).bytes());
    let mut tracer = TracingInspector::new(TracingInspectorConfig::all());
    call_with_inspector(ROLLUP, CHAIN_ID, env(), &world, &request(CONTRACT), &mut tracer).unwrap();
    assert_eq!(tracer.traces().nodes().len(), 2, "two frames");
    let mut accesses = AccessListInspector::default();
    call_with_inspector(ROLLUP, CHAIN_ID, env(), &world, &request(CONTRACT), &mut accesses).unwrap();
    let list = accesses.into_access_list();
    assert!(list.0.iter().any(|item| item.address == BOB && item.storage_keys.len() == 1), "{list:?}");
}

/// A block with deposits (one that cannot fit), a transfer and calls.
fn sample_block() -> Vec<TxEnvelope> {
    let to = |nonce, to| seal(TxEip1559 { nonce, to: TxKind::Call(to), value: U256::from(3), ..tx() });
    let oversized = TxDeposit { mint: 7, gas_limit: env().gas_limit + 1, ..deposit() };
    vec![TxDeposit { mint: 100, ..deposit() }.into(), oversized.into(), to(2, BOB), to(3, CONTRACT), to(4, CONTRACT)]
}

#[test]
fn replaying_one_by_one_is_the_block() {
    let mut world = world();
    deploy(&mut world, CONTRACT, asm().push(U256::ZERO).op(&[SLOAD, CALLVALUE, 0x01]).store(0).bytes());
    let rules = ROLLUP;
    let mut executor = BlockExecutor::with_inspector(
        rules,
        CHAIN_ID,
        env(),
        &world,
        TracingInspector::new(TracingInspectorConfig::default_parity()),
    )
    .unwrap();
    let mut single = Overlay::new(&world);
    single.apply(BlockExecutor::new(rules, CHAIN_ID, env(), &world).unwrap().finish().diff);
    for tx in sample_block() {
        executor.inspector_mut().fuse();
        let gas_left = executor.gas_left();
        let inspected = executor.inspect(&tx, ALICE).unwrap();
        let replayed = replay(rules, CHAIN_ID, env(), &single, gas_left, &tx, ALICE, &mut TracingInspector::default()).unwrap();
        assert_eq!((replayed.result.tx_gas_used(), replayed.l1_fee), (inspected.gas_used, inspected.l1_fee));
        single.apply(replayed.diff);
    }
    assert!(!executor.inspector_mut().traces().nodes().is_empty());
    let whole = Overlay::new(&world).with_layer(executor.finish().diff);
    assert_eq!(whole.layers, single.layers);
}
