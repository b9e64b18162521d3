//! The native transfer precompile, alone and under the real `NativeToken`.

use crate::asm::*;
use crate::support::*;
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, Bytes, TxKind, U256, keccak256};
use oceanid_primitives::predeploys::{NATIVE_TOKEN, NATIVE_TRANSFER};
use oceanid_stf::{NATIVE_TRANSFER_GAS, Rules};

fn input(from: Address, to: Address, amount: u128) -> Bytes {
    [from.into_word().0, to.into_word().0, U256::from(amount).to_be_bytes()].concat().into()
}

/// Calls `CONTRACT`, then looks at the flag the inner call left in slot 0.
fn flag_of(world: &World, input: Bytes, rules: Rules) -> (U256, World) {
    let tx = TxEip1559 { to: TxKind::Call(NATIVE_TOKEN), input, ..tx() };
    let (outcome, after) = run(rules, world, seal(tx)).unwrap();
    assert!(outcome.success, "{outcome:?}");
    (slot(&after, NATIVE_TOKEN, 0), after)
}

/// The token address with code that forwards to the precompile by `kind`.
fn forwarder(kind: u8, value: u64) -> World {
    let mut world = world();
    fund(&mut world, BOB, 1_000);
    fund(&mut world, NATIVE_TOKEN, 1_000);
    deploy(&mut world, NATIVE_TOKEN, asm().forward(kind, NATIVE_TRANSFER, value).store(0).bytes());
    world
}

#[test]
fn moves_balance_for_the_token_only() {
    let world = forwarder(CALL, 0);
    let (flag, after) = flag_of(&world, input(BOB, CONTRACT, 400), ROLLUP);
    assert_eq!(flag, U256::ONE);
    assert_eq!((balance(&after, BOB), balance(&after, CONTRACT)), (U256::from(600), U256::from(400)));
    assert_eq!(supply(&after), supply(&world));
    // To itself, and nothing at all, move nothing and succeed.
    for (to, amount) in [(BOB, 1_000), (CONTRACT, 0)] {
        let (flag, after) = flag_of(&world, input(BOB, to, amount), ROLLUP);
        assert_eq!((flag, balance(&after, BOB)), (U256::ONE, U256::from(1_000)));
    }
}

#[test]
fn refuses_everything_else() {
    let refused = |world: &World, input: Bytes| {
        let (flag, after) = flag_of(world, input, ROLLUP);
        assert_eq!(flag, U256::ZERO);
        assert_eq!(balance(&after, BOB), U256::from(1_000));
    };
    let good = input(BOB, CONTRACT, 400);
    refused(&forwarder(CALL, 0), input(BOB, CONTRACT, 1_001));
    refused(&forwarder(CALL, 0), input(BOB, BOB, 1_001));
    refused(&forwarder(CALL, 0), Bytes::new());
    refused(&forwarder(CALL, 0), [&good[..], &[0]].concat().into());
    refused(&forwarder(CALL, 0), good.slice(..95));
    refused(&forwarder(CALL, 1), good.clone());
    refused(&forwarder(STATICCALL, 0), good.clone());
    refused(&forwarder(DELEGATECALL, 0), good.clone());
    // Called by the sender itself, and through another contract.
    let mut world = forwarder(CALL, 0);
    let direct = TxEip1559 { to: TxKind::Call(NATIVE_TRANSFER), input: good.clone(), ..tx() };
    assert!(!run(ROLLUP, &world, seal(direct)).unwrap().0.success);
    deploy(&mut world, CONTRACT, asm().forward(CALL, NATIVE_TRANSFER, 0).store(0).bytes());
    let (outcome, after) =
        run(ROLLUP, &world, seal(TxEip1559 { to: TxKind::Call(CONTRACT), input: good.clone(), ..tx() })).unwrap();
    assert!(outcome.success);
    assert_eq!((slot(&after, CONTRACT, 0), balance(&after, BOB)), (U256::ZERO, U256::from(1_000)));
    // A receiver that would overflow.
    let mut world = forwarder(CALL, 0);
    let mut rich = oceanid_stf::StateDiff::default();
    rich.accounts.insert(CONTRACT, Some(oceanid_stf::AccountState { balance: U256::MAX, ..Default::default() }));
    world.apply(rich);
    refused(&world, good);
}

#[test]
fn is_undone_with_its_frame() {
    let mut world = forwarder(CALL, 0);
    // NATIVE_TOKEN moves and reverts; CONTRACT survives the call.
    let code = asm().forward(CALL, NATIVE_TRANSFER, 0).push(U256::ZERO).push(U256::ZERO).op(&[REVERT]);
    deploy(&mut world, NATIVE_TOKEN, code.bytes());
    deploy(&mut world, CONTRACT, asm().forward(CALL, NATIVE_TOKEN, 0).push(U256::ONE).store(1).store(0).bytes());
    let tx = TxEip1559 { to: TxKind::Call(CONTRACT), input: input(BOB, CONTRACT, 400), ..tx() };
    let (_, after) = run(ROLLUP, &world, seal(tx)).unwrap();
    assert_eq!((slot(&after, CONTRACT, 0), slot(&after, CONTRACT, 1)), (U256::ZERO, U256::ONE));
    assert_eq!((balance(&after, BOB), balance(&after, CONTRACT)), (U256::from(1_000), U256::ZERO));
}

#[test]
fn costs_nine_thousand_gas() {
    // The call's gas, measured around a call with a stipend of exactly the price and one less.
    for (gas, flag) in [(NATIVE_TRANSFER_GAS, U256::ONE), (NATIVE_TRANSFER_GAS - 1, U256::ZERO)] {
        let mut world = forwarder(CALL, 0);
        let copy = asm().op(&[CALLDATASIZE]).push(U256::ZERO).push(U256::ZERO).op(&[CALLDATACOPY]);
        let call = copy.push(U256::ZERO).push(U256::ZERO).op(&[CALLDATASIZE]).push(U256::ZERO).push(U256::ZERO);
        deploy(&mut world, NATIVE_TOKEN, call.address(NATIVE_TRANSFER).push(U256::from(gas)).op(&[CALL]).store(0).bytes());
        assert_eq!(flag_of(&world, input(BOB, CONTRACT, 400), ROLLUP).0, flag);
    }
}

#[test]
fn is_an_empty_account_on_ethereum() {
    let (flag, after) = flag_of(&forwarder(CALL, 0), input(BOB, CONTRACT, 400), Rules::ETHEREUM);
    assert_eq!((flag, balance(&after, BOB)), (U256::ONE, U256::from(1_000)));
}

#[test]
fn the_erc20_face_works() {
    let mut world = world();
    deploy(&mut world, NATIVE_TOKEN, artifact("NativeToken"));
    let call = |signature: &str, words: &[U256]| -> Bytes {
        let words = words.iter().flat_map(|word| word.to_be_bytes::<32>());
        keccak256(signature)[..4].iter().copied().chain(words).collect::<Vec<u8>>().into()
    };
    let word = |address: Address| U256::from_be_bytes(address.into_word().0);
    let send = |nonce, input| seal(TxEip1559 { nonce, to: TxKind::Call(NATIVE_TOKEN), input, ..tx() });
    let mut executor = executor(ROLLUP, &world);
    let moved = executor.execute(&send(0, call("transfer(address,uint256)", &[word(BOB), U256::from(250)])), ALICE).unwrap();
    assert!(moved.success, "{moved:?}");
    let logs = &executor.receipts()[0].logs;
    assert_eq!((logs.len(), logs[0].address), (1, NATIVE_TOKEN));
    assert_eq!(logs[0].topics()[0], keccak256("Transfer(address,address,uint256)"));
    let read = executor.execute(&send(1, call("balanceOf(address)", &[word(BOB)])), ALICE).unwrap();
    assert_eq!(U256::from_be_slice(&read.output), U256::from(250));
    // Without an allowance Bob's coins stay his.
    let steal = call("transferFrom(address,address,uint256)", &[word(BOB), word(ALICE), U256::ONE]);
    assert!(!executor.execute(&send(2, steal), ALICE).unwrap().success);
    let after = after(&world, executor.finish());
    assert_eq!(balance(&after, BOB), U256::from(250));
    assert_eq!(supply(&after), supply(&world));
}
