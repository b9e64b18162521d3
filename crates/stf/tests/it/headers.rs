//! Headers from executions, and their checks.

use crate::support::*;
use alloy_consensus::{Header, TxEip1559};
use alloy_primitives::{Address, B64, B256, Bloom, U256};
use oceanid_primitives::predeploys::{COMMITTEE_REGISTRY, FEE_VAULT, committee_registry};
use oceanid_primitives::{
    ChainSpec, Committee, Epochs, FeeParams, HeaderExtension, L1Contracts, L1DataFee, L1Origin, Member, Timing, TxEnvelope,
};
use oceanid_stf::{
    BlockExecutor, BlockRoots, HeaderError, Rules, check_header, committee_ids, compare_headers, ethereum_env, ethereum_header,
    finish_header, header_for, l2_env, receipts_root, transactions_root,
};

const EPOCHS: Epochs = Epochs::new(10);
const ORIGIN: L1Origin = L1Origin { number: 100, hash: B256::repeat_byte(0x0a) };

fn spec() -> ChainSpec {
    ChainSpec {
        name: "test".into(),
        chain_id: CHAIN_ID,
        l1_chain_id: 1,
        genesis_timestamp: 1_000,
        fees: FeeParams { gas_limit: 30_000_000, elasticity: 2, denominator: 8, initial_base_fee: 1_000, min_base_fee: 100 },
        l1_data_fee: L1DataFee::default(),
        timing: Timing {
            block_time_ms: 500,
            heartbeat_ms: 10_000,
            epoch_length: 10,
            origin_depth: Some(2),
            max_origin_lag: 100,
            max_origin_advance: 4,
            max_clock_drift: 5,
            challenge_window: 60,
            stall_timeout: 3_600,
        },
        l1: L1Contracts {
            start: ORIGIN,
            token: Address::ZERO,
            portal: Address::ZERO,
            rollup: Address::ZERO,
            pool: Address::ZERO,
            bridge: Address::ZERO,
            oracle: Address::ZERO,
            ..L1Contracts::default()
        },
        committee: Committee {
            id: 1,
            seed: B256::ZERO,
            members: vec![Member { id: 1, identity: B256::ZERO, bls_key: Default::default(), weight: 1 }],
        },
        alloc: Default::default(),
    }
}

/// A block after genesis with one transfer.
fn block(spec: &ChainSpec) -> (Header, Header, Vec<TxEnvelope>) {
    let world = world();
    let parent = spec.genesis_header(B256::repeat_byte(1), B256::repeat_byte(2));
    let extension = HeaderExtension {
        epoch: 0,
        view: 3,
        committee_id: 1,
        next_committee_id: 1,
        origin: L1Origin { number: 102, hash: B256::repeat_byte(0x0b) },
        ..HeaderExtension::default()
    };
    let env = l2_env(spec, &parent, parent.hash_slow(), 1_001, &extension);
    let body = vec![seal(TxEip1559 { value: U256::ONE, ..tx() })];
    let mut executor = BlockExecutor::new(Rules::rollup(spec), spec.chain_id, env, &world).unwrap();
    executor.execute(&body[0], ALICE).unwrap();
    let output = executor.finish();
    let roots = BlockRoots { state: B256::repeat_byte(3), message_passer: B256::repeat_byte(2) };
    let header = finish_header(&env, &extension, &body, &output, &roots);
    assert_eq!(header, header_for(spec, &parent, parent.hash_slow(), 1_001, &extension, &body, &output, &roots));
    (parent, header, body)
}

#[test]
fn a_header_follows_the_rules() {
    let spec = spec();
    let (parent, header, body) = block(&spec);
    assert_eq!((header.number, header.parent_hash, header.beneficiary), (1, parent.hash_slow(), FEE_VAULT));
    assert_eq!((header.gas_used, header.gas_limit, header.base_fee_per_gas), (21_000, 30_000_000, Some(875)));
    assert_eq!(header.withdrawals_root, Some(B256::repeat_byte(2)));
    assert_eq!(header.mix_hash, ChainSpec::prevrandao(&HeaderExtension::decode(&header.extra_data).unwrap()));
    assert_eq!(header.transactions_root, transactions_root(&body));
    assert_eq!(check_header(&spec, &EPOCHS, &parent, parent.hash_slow(), &header).unwrap().origin.number, 102);
}

#[test]
fn each_wrong_field_is_named() {
    let spec = spec();
    let (parent, good, _) = block(&spec);
    let parent_hash = parent.hash_slow();
    let extended = |header: &mut Header, change: fn(&mut HeaderExtension)| {
        let mut extension = HeaderExtension::decode(&header.extra_data).unwrap();
        change(&mut extension);
        header.extra_data = extension.encode().into();
    };
    let checks: Vec<(&str, Box<dyn Fn(&mut Header)>)> = vec![
        ("parentHash", Box::new(|header| header.parent_hash = B256::ZERO)),
        ("number", Box::new(|header| header.number = 2)),
        ("timestamp", Box::new(|header| header.timestamp = 999)),
        ("sha3Uncles", Box::new(|header| header.ommers_hash = B256::ZERO)),
        ("miner", Box::new(|header| header.beneficiary = ALICE)),
        ("difficulty", Box::new(|header| header.difficulty = U256::ONE)),
        ("nonce", Box::new(|header| header.nonce = B64::repeat_byte(1))),
        ("gasLimit", Box::new(|header| header.gas_limit += 1)),
        ("mixHash", Box::new(|header| header.mix_hash = B256::ZERO)),
        ("baseFeePerGas", Box::new(|header| header.base_fee_per_gas = Some(874))),
        ("baseFeePerGas", Box::new(|header| header.base_fee_per_gas = None)),
        ("blobGasUsed", Box::new(|header| header.blob_gas_used = Some(1))),
        ("excessBlobGas", Box::new(|header| header.excess_blob_gas = None)),
        ("parentBeaconBlockRoot", Box::new(|header| header.parent_beacon_block_root = Some(B256::repeat_byte(1)))),
        ("requestsHash", Box::new(|header| header.requests_hash = Some(B256::ZERO))),
        ("extraData.originNumber", Box::new(move |header| extended(header, |extension| extension.origin.number = 99))),
        ("extraData.originNumber", Box::new(move |header| extended(header, |extension| extension.origin.number = 105))),
        ("extraData.originHash", Box::new(move |header| extended(header, |extension| extension.origin.number = 100))),
        ("extraData.epoch", Box::new(move |header| extended(header, |extension| extension.epoch = 1))),
        ("mixHash", Box::new(move |header| extended(header, |extension| extension.view = 9))),
    ];
    for (name, change) in checks {
        let mut header = good.clone();
        change(&mut header);
        match check_header(&spec, &EPOCHS, &parent, parent_hash, &header) {
            Err(HeaderError::Field { field, .. } | HeaderError::Range { field, .. }) => assert_eq!(field, name),
            other => panic!("{name}: {other:?}"),
        }
    }
    let garbage = Header { extra_data: vec![1].into(), ..good };
    assert!(matches!(check_header(&spec, &EPOCHS, &parent, parent_hash, &garbage), Err(HeaderError::Extension(_))));
}

#[test]
fn what_execution_decides_is_compared_afterwards() {
    let (_, good, _) = block(&spec());
    compare_headers(&good, &good).unwrap();
    let checks: [(&str, fn(&mut Header)); 6] = [
        ("stateRoot", |header| header.state_root = B256::ZERO),
        ("transactionsRoot", |header| header.transactions_root = B256::ZERO),
        ("receiptsRoot", |header| header.receipts_root = B256::ZERO),
        ("logsBloom", |header| header.logs_bloom = Bloom::repeat_byte(1)),
        ("gasUsed", |header| header.gas_used = 0),
        ("withdrawalsRoot", |header| header.withdrawals_root = Some(B256::ZERO)),
    ];
    for (name, change) in checks {
        let mut header = good.clone();
        change(&mut header);
        match compare_headers(&good, &header) {
            Err(HeaderError::Field { field, .. }) => assert_eq!(field, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn committees_are_handed_over_at_epoch_boundaries() {
    let mut world = world();
    set_slot(&mut world, COMMITTEE_REGISTRY, committee_registry::LATEST, 7);
    let extension = HeaderExtension { committee_id: 4, next_committee_id: 5, ..HeaderExtension::default() };
    let parent = |number| Header { number, ..Header::default() };
    assert_eq!(committee_ids(&EPOCHS, &parent(0), &extension, &world), Ok((4, 5)), "genesis opens epoch 0");
    assert_eq!(committee_ids(&EPOCHS, &parent(8), &extension, &world), Ok((4, 5)));
    assert_eq!(committee_ids(&EPOCHS, &parent(9), &extension, &world), Ok((5, 7)));
    assert_eq!(committee_ids(&EPOCHS, &parent(10), &extension, &world), Ok((4, 5)));
}

#[test]
fn the_embedded_l1_follows_ethereum() {
    let world = world();
    let parent = Header {
        number: 4,
        gas_limit: 30_000_000,
        gas_used: 30_000_000,
        base_fee_per_gas: Some(800),
        blob_gas_used: Some(9 << 17),
        excess_blob_gas: Some(1 << 17),
        ..Header::default()
    };
    let env =
        ethereum_env(&parent, parent.hash_slow(), 1_700_000_000, 36_000_000, BOB, B256::repeat_byte(8), B256::repeat_byte(9));
    assert_eq!((env.base_fee, env.excess_blob_gas), (900, (1 + 9 - 6) << 17));
    let mut executor = BlockExecutor::new(Rules::ETHEREUM, CHAIN_ID, env, &world).unwrap();
    let body = vec![seal(tx())];
    executor.execute(&body[0], ALICE).unwrap();
    let output = executor.finish();
    let header = ethereum_header(&env, Default::default(), &body, &output, B256::repeat_byte(3));
    assert_eq!((header.beneficiary, header.mix_hash), (BOB, B256::repeat_byte(8)));
    assert_eq!(header.withdrawals_root, Some(alloy_trie::EMPTY_ROOT_HASH));
    assert_eq!(header.receipts_root, receipts_root(&output.receipts));
}

/// Small enough to compute by hand: the trie of one entry is a leaf whose path is the RLP of index zero.
#[test]
fn roots_of_one_entry_are_a_single_leaf() {
    use alloy_eips::eip2718::Encodable2718;
    use alloy_rlp::Encodable;
    let body = vec![seal(tx())];
    let mut leaf = Vec::new();
    let path: &[u8] = &[0x20, 0x80];
    let tx = body[0].encoded_2718();
    let fields: [&dyn Encodable; 2] = [&path, &tx.as_slice()];
    alloy_rlp::encode_list::<&dyn Encodable, dyn Encodable>(&fields, &mut leaf);
    assert_eq!(transactions_root(&body), alloy_primitives::keccak256(leaf));
}
