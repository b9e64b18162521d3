//! The block executor against revm's own loop that commits every transaction to a `CacheDB`: same receipts, gas and state on
//! random blocks full of creations, self-destructs, re-creations, failures and invalid transactions.

use crate::asm::*;
use crate::support::*;
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use oceanid_primitives::TxEnvelope;
use oceanid_stf::revm::context::result::ExecutionResult;
use oceanid_stf::revm::context::{BlockEnv as EvmBlock, Context, TxEnv};
use oceanid_stf::revm::context_interface::block::BlobExcessGasAndPrice;
use oceanid_stf::revm::database::CacheDB;
use oceanid_stf::revm::inspector::NoOpInspector;
use oceanid_stf::revm::primitives::hardfork::SpecId;
use oceanid_stf::revm::{Database, ExecuteCommitEvm, MainBuilder, MainContext};
use oceanid_stf::{
    AccountState, BlockEnv, BlockExecutor, EmptyState, Overlay, ReaderRef, Rules, StateDiff, StateReader, TxError, replay,
};
use oceanid_trie::{MemoryNodes, state_root_from_scratch, update_state_root};

const BLOCKS: u64 = 150;
const TRANSACTIONS: usize = 40;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % limit
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Everything a program may name.
struct Places {
    /// Accounts that send.
    senders: Vec<Address>,
    /// Contracts of the first state.
    contracts: Vec<Address>,
    /// What `CREATE2` of the contracts leads to, existing or not.
    children: Vec<Address>,
}

impl Places {
    fn any(&self, random: &mut Random) -> Address {
        match random.below(10) {
            0..3 => random.of(&self.senders),
            3..5 => random.of(&self.contracts),
            5..9 => random.of(&self.children),
            _ => Address::with_last_byte(random.below(12) as u8),
        }
    }
}

/// Init code of the child that belongs to `salt`: the same bytes wherever it is created, so that its address repeats.
fn child(salt: u64, beneficiary: Address) -> Vec<u8> {
    let constructor = asm().op(&[CALLVALUE]).store(salt).push(U256::from(salt + 1)).store(1);
    // Calldata of one byte or more: self-destruct. None: count in slot 2.
    let count = asm().push(U256::from(2)).op(&[SLOAD]).push(U256::ONE).op(&[0x01]).store(2).op(&[GAS]).store(3).op(&[STOP]);
    let jump = 2 + 1 + 2 + 1 + count.0.len();
    // calldatasize, push1 dest, jumpi, count.., jumpdest, selfdestruct
    let mut runtime = vec![CALLDATASIZE, 0x60, (jump - 2) as u8, 0x57];
    runtime.extend(&count.0);
    assert_eq!(runtime.len(), jump - 2);
    runtime.push(0x5b);
    runtime.extend(asm().address(beneficiary).op(&[SELFDESTRUCT]).0);
    match salt % 4 {
        // Destroys itself while it is created.
        3 => constructor.address(beneficiary).op(&[SELFDESTRUCT]).0,
        // Creation fails.
        2 => constructor.push(U256::ZERO).push(U256::ZERO).op(&[REVERT]).0,
        _ => init_code(constructor, &runtime),
    }
}

const SALTS: u64 = 6;

/// Random straight-line code.
fn program(random: &mut Random, places: &Places, length: u64) -> Asm {
    let mut code = asm();
    for _ in 0..length {
        let slot = random.below(4);
        code = match random.below(20) {
            0..3 => code.push(U256::from(random.below(3))).store(slot),
            // Gas left in a slot: any difference in gas is a difference in state.
            3..5 => code.op(&[GAS]).store(slot),
            5 => code.push(U256::from(slot)).op(&[SLOAD]).store(slot + 1),
            6 => code.address(places.any(random)).op(&[BALANCE]).store(slot),
            7 => code.address(places.any(random)).op(&[EXTCODEHASH]).store(slot),
            8 => code.address(places.any(random)).op(&[EXTCODESIZE]).store(slot),
            9 => code.push(U256::from(slot)).op(&[TLOAD]).push(U256::ONE).op(&[0x01]).push(U256::from(slot)).op(&[TSTORE]),
            10 => code.push(U256::from(slot)).op(&[TLOAD]).store(slot),
            11 => code.op(&[SELFBALANCE]).push(U256::ZERO).op(&[MSTORE]).push(U256::from(32)).push(U256::ZERO).op(&[0xa0]),
            12..15 => {
                let (size, value, target) = (random.below(2), random.below(3), places.any(random));
                let gas = if random.chance(80) { 200_000 } else { random.below(30_000) };
                let code = code.push(U256::ZERO).push(U256::ZERO).push(U256::from(size)).push(U256::ZERO);
                code.push(U256::from(value)).address(target).push(U256::from(gas)).op(&[CALL]).store(slot)
            }
            15..18 => {
                let salt = random.below(SALTS);
                let value = random.below(3);
                let code = code.create(&child(salt, places.senders[0]), value, Some(salt));
                if random.chance(50) {
                    // Poke the newborn: to death if the creator itself was called with input.
                    let code = code.push(U256::ZERO).push(U256::ZERO).op(&[CALLDATASIZE]).push(U256::ZERO);
                    // stack: address, 0, 0, size, 0 -> value 0, then the address back on top
                    code.push(U256::ZERO).op(&[0x85]).push(U256::from(100_000)).op(&[CALL, POP, POP])
                } else {
                    code.store(slot)
                }
            }
            18 => code.create(&child(0, places.senders[0]), 0, None).op(&[POP]),
            _ => match random.below(6) {
                0 => code.push(U256::ZERO).push(U256::ZERO).op(&[REVERT]),
                1 => code.op(&[INVALID]),
                2 => code.address(places.any(random)).op(&[SELFDESTRUCT]),
                _ => code.op(&[CALLER]).store(slot),
            },
        };
    }
    code
}

fn first_state(random: &mut Random) -> (World, Places) {
    let senders: Vec<Address> = (0..5).map(|index| Address::repeat_byte(0xa0 + index)).collect();
    let contracts: Vec<Address> = (0..5).map(|index| Address::repeat_byte(0xc0 + index)).collect();
    let children = contracts
        .iter()
        .flat_map(|creator| {
            let sender = senders[0];
            (0..SALTS).map(move |salt| creator.create2_from_code(B256::from(U256::from(salt)), child(salt, sender)))
        })
        .collect();
    let places = Places { senders, contracts, children };
    let mut world = Overlay::new(EmptyState);
    for sender in &places.senders {
        fund(&mut world, *sender, ETHER);
    }
    for contract in &places.contracts {
        let length = 3 + random.below(16);
        let code = program(random, &places, length).bytes();
        fund(&mut world, *contract, 50);
        deploy(&mut world, *contract, code);
        set_slot(&mut world, *contract, random.below(4), 1);
    }
    // Money waits where a child will be.
    let early = random.of(&places.children);
    fund(&mut world, early, 5);
    (world, places)
}

fn transaction(random: &mut Random, places: &Places, nonce: u64) -> TxEip1559 {
    let create = random.chance(15);
    let length = 1 + random.below(10);
    TxEip1559 {
        nonce: if random.chance(4) { nonce + random.below(3) } else { nonce },
        gas_limit: if random.chance(12) { 21_000 + random.below(60_000) } else { 2_000_000 },
        to: match create {
            true => TxKind::Create,
            false if random.chance(70) => TxKind::Call(random.of(&places.contracts)),
            false => TxKind::Call(places.any(random)),
        },
        value: if random.chance(3) { U256::from(2 * ETHER) } else { U256::from(random.below(4)) },
        input: if create { program(random, places, length).bytes() } else { vec![1; random.below(3) as usize].into() },
        max_fee_per_gas: if random.chance(3) { 10 } else { 5_000 },
        ..tx()
    }
}

/// One receipt's worth of outcome.
type Summary = (bool, u64, Vec<alloy_primitives::Log>, Bytes);

/// revm's own loop. The base fee is burnt, the tip goes to the beneficiary.
fn reference(
    world: &World,
    env: &BlockEnv,
    txs: &[(TxEip1559, Address)],
) -> (Vec<Option<Summary>>, impl Fn(Address, &[U256]) -> (Option<AccountState>, Vec<U256>)) {
    let mut evm = Context::mainnet()
        .with_db(CacheDB::new(ReaderRef(world)))
        .modify_cfg_chained(|cfg| {
            cfg.set_spec_and_mainnet_gas_params(SpecId::PRAGUE);
            cfg.chain_id = CHAIN_ID;
        })
        .with_block(EvmBlock {
            number: U256::from(env.number),
            beneficiary: env.beneficiary,
            timestamp: U256::from(env.timestamp),
            gas_limit: env.gas_limit,
            basefee: env.base_fee,
            prevrandao: Some(env.prevrandao),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice::new_with_spec(0, SpecId::PRAGUE)),
            ..EvmBlock::default()
        })
        .build_mainnet();
    let results = txs
        .iter()
        .map(|(tx, sender)| {
            let tx = TxEnv {
                tx_type: 2,
                caller: *sender,
                gas_limit: tx.gas_limit,
                gas_price: tx.max_fee_per_gas,
                gas_priority_fee: Some(tx.max_priority_fee_per_gas),
                kind: tx.to,
                value: tx.value,
                data: tx.input.clone(),
                nonce: tx.nonce,
                chain_id: Some(CHAIN_ID),
                ..TxEnv::default()
            };
            let result = evm.transact_commit(tx).ok()?;
            let logs = if let ExecutionResult::Success { logs, .. } = &result { logs.clone() } else { Vec::new() };
            Some((result.is_success(), result.tx_gas_used(), logs, result.output().cloned().unwrap_or_default()))
        })
        .collect();
    let db = evm.ctx.journaled_state.database;
    let read = move |address, slots: &[U256]| {
        let mut db = db.clone();
        let account = db
            .basic(address)
            .unwrap()
            .map(|info| AccountState { nonce: info.nonce, balance: info.balance, code_hash: info.code_hash })
            // `CacheDB` keeps empty accounts, which EIP-161 deletes.
            .filter(|account| !account.is_empty());
        (account, slots.iter().map(|slot| db.storage(address, *slot).unwrap()).collect())
    };
    (results, read)
}

/// Every address and slot that either side may have written.
fn everything(places: &Places, diff: &StateDiff) -> Vec<Address> {
    let mut all: Vec<Address> = [&places.senders[..], &places.contracts, &places.children].concat();
    all.extend(diff.accounts.keys().chain(diff.storage.keys()));
    all.extend((0..12).map(Address::with_last_byte));
    for creator in places.contracts.iter().chain(&places.senders).chain(&places.children) {
        all.extend((0..60).map(|nonce| creator.create(nonce)));
    }
    all.sort();
    all.dedup();
    all
}

fn compare(seed: u64, rules: Rules) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (world, places) = first_state(&mut random);
    // Under rollup rules all of the price goes to the vault; without a base fee that is what revm does too.
    let env = BlockEnv { base_fee: if rules.is_rollup() { 0 } else { BASE_FEE }, gas_limit: 2_000_000_000, ..env() };
    let mut executor = BlockExecutor::new(rules, CHAIN_ID, env, &world).unwrap();
    let mut single = Overlay::new(&world);
    let mut nonces = vec![0; places.senders.len()];
    let (mut txs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..TRANSACTIONS {
        let index = random.below(nonces.len() as u64) as usize;
        let tx = transaction(&mut random, &places, nonces[index]);
        let sender = places.senders[index];
        let envelope: TxEnvelope = seal(tx.clone());
        let gas_left = executor.gas_left();
        let replayed = replay(rules, CHAIN_ID, env, &single, gas_left, &envelope, sender, NoOpInspector);
        match executor.execute(&envelope, sender) {
            Ok(outcome) => {
                nonces[index] += 1;
                let receipt = executor.receipts().last().unwrap();
                ours.push(Some((receipt.success, outcome.gas_used, receipt.logs.clone(), outcome.output)));
                let replayed = replayed.unwrap();
                assert_eq!(replayed.result.tx_gas_used(), outcome.gas_used, "seed {seed}: replay");
                single.apply(replayed.diff);
            }
            Err(TxError::Invalid(reason)) => {
                assert_eq!(replayed.unwrap_err(), TxError::Invalid(reason), "seed {seed}: replay");
                ours.push(None);
            }
            Err(error) => panic!("seed {seed}: {error}"),
        }
        txs.push((tx, sender));
    }
    let diff = executor.finish().diff;
    let (theirs, read) = reference(&world, &env, &txs);
    assert_eq!(ours, theirs, "seed {seed}");

    let after = Overlay::new(&world).with_layer(diff.clone());
    let slots: Vec<U256> = (0..8).map(U256::from).collect();
    for address in everything(&places, &diff) {
        let (account, values) = read(address, &slots);
        assert_eq!(after.account(address).unwrap(), account, "seed {seed}: {address}");
        for (slot, value) in slots.iter().zip(values) {
            assert_eq!(after.storage(address, *slot).unwrap(), value, "seed {seed}: {address} slot {slot}");
            // A chain of single transactions over an overlay tells the same story as one journal.
            assert_eq!(single.storage(address, *slot).unwrap(), value, "seed {seed}: {address} slot {slot}, replayed");
        }
        assert_eq!(single.account(address).unwrap(), account, "seed {seed}: {address}, replayed");
        let code = account.unwrap_or_default().code_hash;
        if code != AccountState::default().code_hash {
            assert_eq!(keccak256(after.code(code).unwrap()), code, "seed {seed}: code of {address}");
        }
    }
    check_minimal(&world, &diff, seed);
    check_root(&world, diff, seed);
}

/// Nothing in the diff is as it was.
fn check_minimal(world: &World, diff: &StateDiff, seed: u64) {
    for (address, account) in &diff.accounts {
        assert_ne!(world.account(*address).unwrap(), *account, "seed {seed}: {address}");
    }
    for (address, storage) in &diff.storage {
        for (slot, value) in &storage.slots {
            let changed = storage.wiped || world.storage(*address, *slot).unwrap() != *value;
            assert!(changed, "seed {seed}: {address} slot {slot}");
        }
    }
}

/// The trie gets the same root from the changes as from the whole state after them.
fn check_root(world: &World, diff: StateDiff, seed: u64) {
    let mut whole = world.layers[0].clone();
    let (before, updates, _) = state_root_from_scratch(&whole.hashed()).unwrap();
    let mut nodes = MemoryNodes::default();
    nodes.apply(&updates);
    let (incremental, ..) = update_state_root(&nodes, before, &diff.hashed()).unwrap();
    whole.merge(diff);
    let (scratch, ..) = state_root_from_scratch(&whole.hashed()).unwrap();
    assert_eq!(incremental, scratch, "seed {seed}");
}

#[test]
fn random_blocks_agree_under_rollup_rules() {
    (0..BLOCKS).for_each(|seed| compare(seed, ROLLUP));
}

#[test]
fn random_blocks_agree_under_ethereum_rules() {
    (0..BLOCKS).for_each(|seed| compare(1_000_000 + seed, Rules::ETHEREUM));
}

/// The generator reaches the cases it is there for.
#[test]
fn the_generator_destroys_and_recreates() {
    let mut recreated = 0;
    for seed in 0..40 {
        let mut random = Random(seed * 77 + 1);
        let (world, places) = first_state(&mut random);
        let mut single = Overlay::new(&world);
        let mut nonces = vec![0; places.senders.len()];
        let mut gone = std::collections::BTreeSet::new();
        let env = BlockEnv { base_fee: 0, gas_limit: 2_000_000_000, ..env() };
        for _ in 0..TRANSACTIONS {
            let index = random.below(nonces.len() as u64) as usize;
            let tx = seal(transaction(&mut random, &places, nonces[index]));
            let sender = places.senders[index];
            let Ok(outcome) = replay(ROLLUP, CHAIN_ID, env, &single, env.gas_limit, &tx, sender, NoOpInspector) else {
                continue;
            };
            nonces[index] += 1;
            for child in &places.children {
                let Some(account) = outcome.state.get(child).filter(|account| account.is_created()) else { continue };
                if account.is_selfdestructed() {
                    gone.insert(*child);
                } else if gone.contains(child) {
                    recreated += 1;
                }
            }
            single.apply(outcome.diff);
        }
    }
    assert!(recreated > 20, "{recreated} contracts came back after a self-destruct in the same block");
}
