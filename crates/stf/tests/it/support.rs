//! A state in memory, and transactions on it.

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex, keccak256};
use oceanid_primitives::predeploys::FEE_VAULT;
use oceanid_primitives::{L1DataFee, TxDeposit, TxEnvelope};
use oceanid_stf::{
    AccountState, BlockEnv, BlockExecutor, EmptyState, ExecutionOutput, Outcome, Overlay, RollupRules, Rules, StateDiff,
    StateReader, TxError,
};
use std::convert::Infallible;

pub(crate) const CHAIN_ID: u64 = 1_088;
pub(crate) const ALICE: Address = Address::repeat_byte(0xa1);
pub(crate) const BOB: Address = Address::repeat_byte(0xb0);
pub(crate) const CONTRACT: Address = Address::repeat_byte(0xc0);
pub(crate) const ETHER: u128 = 10u128.pow(18);
pub(crate) const BASE_FEE: u64 = 1_000;

pub(crate) type World = Overlay<EmptyState>;
pub(crate) type Executor<'a> = BlockExecutor<'a, World>;

pub(crate) const ROLLUP: Rules = Rules::Rollup(RollupRules { l1_data_fee: L1DataFee { calldata_scalar: 0, blob_scalar: 0 } });

/// A world in which Alice has one token.
pub(crate) fn world() -> World {
    let mut world = Overlay::new(EmptyState);
    fund(&mut world, ALICE, ETHER);
    world
}

pub(crate) fn fund(world: &mut World, address: Address, balance: u128) {
    let old = world.account(address).unwrap().unwrap_or_default();
    let mut diff = StateDiff::default();
    diff.accounts.insert(address, Some(AccountState { balance: U256::from(balance), ..old }));
    world.apply(diff);
}

pub(crate) fn deploy(world: &mut World, address: Address, code: impl Into<Bytes>) {
    let (code, mut diff) = (code.into(), StateDiff::default());
    let old = world.account(address).unwrap().unwrap_or_default();
    let code_hash = keccak256(&code);
    diff.accounts.insert(address, Some(AccountState { nonce: 1, code_hash, ..old }));
    diff.codes.insert(code_hash, code);
    world.apply(diff);
}

pub(crate) fn set_slot(world: &mut World, address: Address, slot: u64, value: u128) {
    let mut diff = StateDiff::default();
    diff.storage.entry(address).or_default().slots.insert(U256::from(slot), U256::from(value));
    world.apply(diff);
}

/// Runtime code of a contract of this repository.
pub(crate) fn artifact(name: &str) -> Bytes {
    let path = format!("{}/../../contracts/artifacts/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let artifact: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    hex::decode(artifact["deployedBytecode"].as_str().unwrap()).unwrap().into()
}

pub(crate) fn env() -> BlockEnv {
    BlockEnv {
        number: 5,
        timestamp: 1_700_000_000,
        gas_limit: 30_000_000,
        base_fee: BASE_FEE,
        prevrandao: B256::repeat_byte(0x44),
        beneficiary: FEE_VAULT,
        parent_hash: B256::repeat_byte(0x55),
        ..BlockEnv::default()
    }
}

pub(crate) fn executor(rules: Rules, world: &World) -> Executor<'_> {
    BlockExecutor::new(rules, CHAIN_ID, env(), world).unwrap()
}

pub(crate) fn tx() -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN_ID,
        nonce: 0,
        gas_limit: 1_000_000,
        max_fee_per_gas: u128::from(BASE_FEE) + 50,
        max_priority_fee_per_gas: 10,
        to: TxKind::Call(BOB),
        value: U256::ZERO,
        access_list: Default::default(),
        input: Bytes::new(),
    }
}

/// What a gas unit of [`tx`] costs.
pub(crate) const GAS_PRICE: u64 = BASE_FEE + 10;

pub(crate) fn signature() -> Signature {
    Signature::new(U256::ONE, U256::ONE, false)
}

pub(crate) fn seal(tx: TxEip1559) -> TxEnvelope {
    TxEnvelope::Eip1559(tx.into_signed(signature()))
}

pub(crate) fn deposit() -> TxDeposit {
    TxDeposit {
        source_hash: B256::repeat_byte(1),
        from: ALICE,
        to: TxKind::Call(BOB),
        mint: 0,
        value: U256::ZERO,
        gas_limit: 100_000,
        is_system_transaction: false,
        input: Bytes::new(),
    }
}

/// Runs one transaction of Alice in a block of its own and returns what it did with the world after it.
pub(crate) fn run(rules: Rules, world: &World, tx: impl Into<TxEnvelope>) -> Result<(Outcome, World), TxError<Infallible>> {
    let mut executor = executor(rules, world);
    let outcome = executor.execute(&tx.into(), ALICE)?;
    Ok((outcome, after(world, executor.finish())))
}

pub(crate) fn after(world: &World, output: ExecutionOutput) -> World {
    let mut world = world.clone();
    world.apply(output.diff);
    world
}

pub(crate) fn balance(world: &World, address: Address) -> U256 {
    world.account(address).unwrap().unwrap_or_default().balance
}

pub(crate) fn nonce(world: &World, address: Address) -> u64 {
    world.account(address).unwrap().unwrap_or_default().nonce
}

pub(crate) fn slot(world: &World, address: Address, slot: u64) -> U256 {
    world.storage(address, U256::from(slot)).unwrap()
}

/// All native coins there are.
pub(crate) fn supply(world: &World) -> U256 {
    world.layers.iter().flat_map(|layer| layer.accounts.values()).flatten().map(|account| account.balance).sum()
}
