//! The epoch ledger: what its system call counts, and that what it sends can be proven.

use crate::asm::*;
use crate::support::*;
use alloy_primitives::{Address, B256, Bytes, FixedBytes, U256, keccak256};
use alloy_trie::proof::{ProofRetainer, verify_proof};
use alloy_trie::{HashBuilder, Nibbles};
use oceanid_primitives::predeploys::{
    COMMITTEE_REGISTRY, EPOCH_LEDGER, FEE_VAULT, MESSAGE_PASSER, committee_registry, epoch_ledger, fee_vault, slot as key,
};
use oceanid_primitives::{Committee, HeaderExtension, Member};
use oceanid_stf::{
    AccountState, BlockEnv, BlockExecutor, CallRequest, MAX_MISSED_PER_BLOCK, StateDiff, StateReader, TxError, Work, call,
    missed_leaders, read_committee, read_epoch_message, read_work,
};

const EPOCH: u64 = 10;
const GENESIS_TIME: u64 = 1_700_000_000;
/// Seconds between two blocks that are paid for.
const MAX_GAP: u64 = 4;
const REWARDS: Address = Address::repeat_byte(0x4e);
const SPLITTER: Address = Address::repeat_byte(0xf5);

fn committee(id: u64, members: u8) -> Committee {
    let member = |index: u8| Member {
        id: 100 * id + u64::from(index),
        identity: B256::with_last_byte(index + 1),
        bls_key: FixedBytes::repeat_byte(index),
        weight: 20_000 * ETHER * (1 + u128::from(index)),
    };
    Committee { id, seed: keccak256(id.to_be_bytes()), members: (0..members).map(member).collect() }
}

/// Puts a committee's packed members where the registry keeps them.
fn register(world: &mut World, committee: &Committee, packed: Vec<u8>) {
    let pointer = COMMITTEE_REGISTRY.create(committee.id);
    deploy(world, pointer, [vec![0], packed].concat());
    let mut diff = StateDiff::default();
    diff.storage.entry(COMMITTEE_REGISTRY).or_default().slots.extend([
        (committee_registry::mapping_slot(committee.id, committee_registry::SEEDS), committee.seed.into()),
        (committee_registry::mapping_slot(committee.id, committee_registry::POINTERS), pointer.into_word().into()),
    ]);
    world.apply(diff);
}

/// A chain at genesis, with committees 1 and 2 in the registry.
fn chain() -> World {
    let mut world = world();
    for (address, name) in [
        (MESSAGE_PASSER, "L2ToL1MessagePasser"),
        (COMMITTEE_REGISTRY, "CommitteeRegistry"),
        (EPOCH_LEDGER, "EpochLedger"),
        (FEE_VAULT, "FeeVault"),
    ] {
        deploy(&mut world, address, artifact(name));
    }
    for (id, members) in [(1, 4), (2, 7)] {
        let committee = committee(id, members);
        register(&mut world, &committee, committee.pack());
    }
    let mut diff = StateDiff::default();
    diff.storage.entry(EPOCH_LEDGER).or_default().slots.extend([
        (key(epoch_ledger::REWARDS), epoch_ledger::rewards(REWARDS, MAX_GAP)),
        (key(epoch_ledger::RUNNING), epoch_ledger::running(0, 1, GENESIS_TIME)),
    ]);
    diff.storage.entry(FEE_VAULT).or_default().slots.insert(key(fee_vault::SPLITTER), SPLITTER.into_word().into());
    world.apply(diff);
    world
}

fn block_env(number: u64, timestamp: u64, extension: HeaderExtension) -> BlockEnv {
    BlockEnv { number, timestamp, extension, ..env() }
}

/// An empty block.
fn advance(world: &World, env: BlockEnv) -> World {
    let output = BlockExecutor::new(ROLLUP, CHAIN_ID, env, world).unwrap().finish();
    assert_eq!((output.gas_used, output.receipts.len()), (0, 0), "system calls use none of the block's gas and leave no receipt");
    after(world, output)
}

fn words(values: &[U256]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes::<32>()).collect()
}

/// Asks the ledger; the words of its answer.
fn ask(world: &World, signature: &str, argument: u64) -> Vec<U256> {
    let input = [&keccak256(signature)[..4], &words(&[U256::from(argument)])].concat().into();
    let request = CallRequest { to: EPOCH_LEDGER.into(), gas_limit: 10_000_000, input, ..CallRequest::default() };
    let outcome = call(ROLLUP, CHAIN_ID, env(), world, &request).unwrap();
    assert!(outcome.result.is_success(), "{signature}: {:?}", outcome.result);
    outcome.result.into_output().unwrap().chunks_exact(32).map(U256::from_be_slice).collect()
}

/// Nonce and data of the message about an epoch; none if none was sent.
fn message(world: &World, epoch: u64) -> Option<(U256, Bytes)> {
    let answer = ask(world, "message(uint64)", epoch);
    let length: usize = answer[2].to();
    let data = Bytes::copy_from_slice(&words(&answer[3..])[..length]);
    (!answer[0].is_zero()).then_some((answer[0], data))
}

/// Blocks led and views missed by each member.
type Counts = Vec<(u32, u32)>;

fn as_work(counts: &Counts) -> Vec<Work> {
    counts.iter().map(|(led, missed)| Work { led: *led, missed: *missed }).collect()
}

/// The data that must be sent for an epoch: `times` are start, end and paid time.
fn expected_data(epoch: u64, committee: &Committee, times: (u64, u64, u64), counts: &Counts) -> Bytes {
    let head = [epoch, committee.id, times.0, times.1, times.2, 6 * 32, committee.members.len() as u64];
    let members = committee.members.iter().zip(counts).map(|(member, (led, missed))| {
        (U256::from(member.id) << 192) | (U256::from(member.weight) << 64) | (U256::from(*led) << 32) | U256::from(*missed)
    });
    words(&head.into_iter().map(U256::from).chain(members).collect::<Vec<_>>()).into()
}

/// xorshift64.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn counts_are_those_of_a_model_over_random_views() {
    let committees = [committee(1, 4), committee(2, 7)];
    let mut world = chain();
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    let (mut time, mut parent_view) = (GENESIS_TIME, 0);
    let (mut started, mut paid_time) = (GENESIS_TIME, 0);
    let mut counts: Counts = vec![(0, 0); committees[0].members.len()];
    for number in 1..6 * EPOCH {
        let epoch = number / EPOCH;
        let current = &committees[(epoch % 2) as usize];
        // Some gaps are longer than what is paid for; once there is an outage.
        let gap = if number == 27 { 100_000 } else { 1 + random(&mut seed) % 6 };
        time += gap;
        paid_time += gap.min(MAX_GAP);
        let closed = number.is_multiple_of(EPOCH).then(|| {
            parent_view = 0;
            let before = &committees[((epoch - 1) % 2) as usize];
            let expected = expected_data(epoch - 1, before, (started, time, paid_time), &counts);
            let closed = std::mem::replace(&mut counts, vec![(0, 0); current.members.len()]);
            (started, paid_time) = (time, 0);
            (expected, closed)
        });
        // Mostly the next view, at times after a few that passed, once after a great many.
        let skipped = if number == 33 { 1_000 } else { (random(&mut seed) % 8).saturating_sub(4) };
        let view = parent_view + 1 + skipped;
        let leader = current.leader(epoch, view);
        counts[leader as usize].0 += 1;
        for missed in (parent_view + 1..view).take(MAX_MISSED_PER_BLOCK as usize) {
            counts[current.leader(epoch, missed) as usize].1 += 1;
        }
        let extension = HeaderExtension { epoch, view, parent_view, leader, committee_id: current.id, ..Default::default() };
        world = advance(&world, block_env(number, time, extension));
        parent_view = view;

        for (index, (led, missed)) in counts.iter().enumerate() {
            let answer = ask(&world, "counts(uint256)", index as u64);
            assert_eq!(answer, [U256::from(*led), U256::from(*missed)], "block {number}, member {index}");
        }
        assert_eq!(read_work(&world, epoch, counts.len()), Ok(Some(as_work(&counts))));
        if let Some((expected, closed)) = closed {
            let (nonce, data) = message(&world, epoch - 1).expect("an epoch of a known committee is told");
            assert_eq!(data, expected, "epoch {}", epoch - 1);
            let told = read_epoch_message(&world, epoch - 1).unwrap().expect("read without the contract's help");
            assert_eq!((told.nonce, &told.data), (nonce, &data));
            assert_eq!(read_work(&world, epoch - 1, closed.len()), Ok(Some(as_work(&closed))));
            assert_proven(&world, nonce, &data);
        }
    }
    assert!(message(&world, 5).is_none(), "the running epoch is not told");
    assert_eq!((read_epoch_message(&world, 5), read_work(&world, 6, 4)), (Ok(None), Ok(None)));
}

/// Shows, with alloy's trie, that the message is under the storage root that `withdrawalsRoot` is.
fn assert_proven(world: &World, nonce: U256, data: &Bytes) {
    let word = |address: Address| U256::from_be_bytes(address.into_word().0);
    let head = [nonce, word(EPOCH_LEDGER), word(REWARDS), U256::ZERO, U256::ZERO, U256::from(6 * 32), U256::from(data.len())];
    assert!(data.len().is_multiple_of(32));
    let hash = keccak256([words(&head), data.to_vec()].concat());
    let sent = keccak256([hash.as_slice(), &[0; 32]].concat());

    let mut whole = StateDiff::default();
    world.layers.iter().for_each(|layer| whole.merge(layer.clone()));
    let (_, _, roots) = oceanid_trie::state_root_from_scratch(&whole.hashed()).unwrap();
    let root = roots[&keccak256(MESSAGE_PASSER)];

    let mut leaves: Vec<(B256, U256)> = whole.storage[&MESSAGE_PASSER]
        .slots
        .iter()
        .filter(|(_, value)| !value.is_zero())
        .map(|(slot, value)| (keccak256(slot.to_be_bytes::<32>()), *value))
        .collect();
    leaves.sort();
    let path = Nibbles::unpack(keccak256(sent));
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![path]));
    for (path, value) in leaves {
        builder.add_leaf(Nibbles::unpack(path), &alloy_rlp::encode(value));
    }
    assert_eq!(builder.root(), root);
    let proof = builder.take_proof_nodes();
    let nodes: Vec<_> = proof.matching_nodes_sorted(&path).into_iter().map(|(_, node)| node).collect();
    verify_proof(root, path, Some(vec![1]), &nodes).expect("the message is in the trie");
}

/// An extension one epoch on, after `skipped` views.
fn opening(epoch: u64, committee_id: u64, skipped: u64) -> HeaderExtension {
    HeaderExtension { epoch, view: 1 + skipped, committee_id, ..Default::default() }
}

#[test]
fn a_committee_the_registry_does_not_know_neither_stops_the_chain_nor_is_told() {
    let world = advance(&chain(), block_env(1, GENESIS_TIME + 5, opening(1, 9, 30)));
    assert!(message(&world, 0).is_some());
    assert_eq!(missed_leaders(&world, &opening(1, 9, 30)), Ok(Vec::new()));
    let world = advance(&world, block_env(2, GENESIS_TIME + 10, opening(2, 1, 0)));
    assert!(message(&world, 1).is_none());
    // The time of the epoch that could not be told is part of the next one that can be.
    let world = advance(&world, block_env(3, GENESIS_TIME + 15, opening(3, 2, 0)));
    let expected =
        expected_data(2, &committee(1, 4), (GENESIS_TIME + 5, GENESIS_TIME + 15, 8), &vec![(1, 0), (0, 0), (0, 0), (0, 0)]);
    assert_eq!(message(&world, 2).unwrap().1, expected);
}

#[test]
fn what_the_registry_holds_is_read_or_taken_for_unknown() {
    let mut world = chain();
    assert_eq!(read_committee(&world, 2).unwrap(), Some(committee(2, 7)));
    assert_eq!(read_committee(&world, 3).unwrap(), None);
    let broken = committee(3, 4);
    register(&mut world, &broken, vec![7; 100]);
    assert!(read_committee(&world, 3).is_err());
    assert_eq!(missed_leaders(&world, &opening(1, 3, 5)), Ok(Vec::new()));
}

#[test]
fn fees_leave_for_l1_at_an_epochs_end() {
    let mut world = chain();
    fund(&mut world, FEE_VAULT, 3 * ETHER);
    let before = advance(&world, block_env(1, GENESIS_TIME + 1, opening(0, 1, 0)));
    assert_eq!(balance(&before, FEE_VAULT), U256::from(3 * ETHER));
    let world = advance(&before, block_env(2, GENESIS_TIME + 2, opening(1, 1, 0)));
    assert_eq!((balance(&world, FEE_VAULT), balance(&world, MESSAGE_PASSER)), (U256::ZERO, U256::from(3 * ETHER)));
}

#[test]
fn a_ledger_that_fails_makes_the_block_impossible() {
    let mut world = chain();
    deploy(&mut world, EPOCH_LEDGER, asm().op(&[INVALID]).bytes());
    let error = BlockExecutor::new(ROLLUP, CHAIN_ID, env(), &world).unwrap_err();
    assert_eq!(error, TxError::SystemCall(EPOCH_LEDGER));
}

#[test]
fn only_the_state_transition_may_tell_the_ledger() {
    let world = chain();
    let input = [&keccak256("record(uint64,uint64,uint32,uint32[])")[..4], &words(&[1, 1, 0, 128, 0].map(U256::from))].concat();
    let request =
        CallRequest { from: ALICE, to: EPOCH_LEDGER.into(), gas_limit: 10_000_000, input: input.into(), ..Default::default() };
    assert!(!call(ROLLUP, CHAIN_ID, env(), &world, &request).unwrap().result.is_success());
    assert!(world.account(EPOCH_LEDGER).unwrap().is_some_and(|ledger: AccountState| ledger.nonce == 1));
}
