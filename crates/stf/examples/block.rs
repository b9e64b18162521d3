//! Times a block of 5,000 transfers and 2,000 ERC-20 transfers against a bare revm loop over the same journal:
//! `cargo run --release -p oceanid-stf --features bench --example block -- [accounts]`.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use alloy_primitives::{Bytes, U256, hex};
use oceanid_primitives::L1DataFee;
use oceanid_primitives::predeploys::{L1_BLOCK_INFO, l1_block_info, slot};
use oceanid_stf::revm::context::{Context, TxEnv};
use oceanid_stf::revm::context_interface::JournalTr;
use oceanid_stf::revm::database_interface::WrapDatabaseRef;
use oceanid_stf::revm::primitives::hardfork::SpecId;
use oceanid_stf::revm::{ExecuteEvm, MainBuilder, MainContext};
use oceanid_stf::{
    BlockExecutor, EmptyState, Overlay, ReaderRef, RollupRules, Rules, StorageDiff,
    workload::{CHAIN_ID, Shape, accounts, block, env, genesis, unsigned},
};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

const ROUNDS: usize = 50;

/// Time this thread has run, which a busy machine does not stretch as it does wall time; wall time where the system has no
/// such figure.
fn clock() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let on_cpu = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    match on_cpu.and_then(|text| text.split(' ').next()?.parse().ok()) {
        Some(nanoseconds) => Duration::from_nanos(nanoseconds),
        None => START.elapsed(),
    }
}

fn token_code() -> Bytes {
    let artifact: serde_json::Value =
        serde_json::from_str(include_str!("../../../contracts/artifacts/BridgedERC20.json")).unwrap();
    hex::decode(artifact["deployedBytecode"].as_str().unwrap()).unwrap().into()
}

fn main() {
    let count = std::env::args().nth(1).map_or(10_000, |count| count.parse().expect("a number of accounts"));
    let accounts = accounts(count);
    let mut state = genesis(&accounts, token_code());
    let mut prices = StorageDiff::default();
    prices.slots.insert(slot(l1_block_info::BASE_FEE), U256::from(10u64.pow(9)));
    prices.slots.insert(slot(l1_block_info::GAS_TOKEN_RATIO), U256::from(10u64.pow(18)));
    state.storage.insert(L1_BLOCK_INFO, prices);
    let state = Overlay::new(EmptyState).with_layer(state);
    let env = env(1);
    let transactions = block(&accounts, Shape::STANDARD, &mut vec![0; accounts.len()], 7, unsigned);

    let envs: Vec<TxEnv> = transactions.iter().map(|(tx, sender)| bare_tx(tx, *sender)).collect();
    let bare = || {
        let mut machine = Context::mainnet()
            .with_db(WrapDatabaseRef(ReaderRef(&state)))
            .modify_cfg_chained(|cfg| {
                cfg.set_spec_and_mainnet_gas_params(SpecId::PRAGUE);
                cfg.chain_id = CHAIN_ID;
            })
            .modify_block_chained(|block| {
                block.number = U256::from(env.number);
                block.gas_limit = env.gas_limit;
                block.basefee = env.base_fee;
                block.beneficiary = env.beneficiary;
            })
            .build_mainnet();
        let mut gas_used = 0;
        for tx in &envs {
            gas_used += machine.transact_one(tx.clone()).unwrap().tx_gas_used();
        }
        std::hint::black_box(machine.ctx.journaled_state.finalize());
        gas_used
    };
    let stf = |l1_data_fee, with_diff: bool| {
        let rules = Rules::Rollup(RollupRules { l1_data_fee });
        let mut executor = BlockExecutor::new(rules, CHAIN_ID, env, &state).unwrap();
        for (tx, sender) in &transactions {
            executor.execute(tx, *sender).unwrap();
        }
        assert!(executor.receipts().iter().all(|receipt| receipt.success), "every transfer succeeds");
        if with_diff {
            return std::hint::black_box(executor.finish()).gas_used;
        }
        env.gas_limit - executor.gas_left()
    };
    assert_eq!(bare(), stf(L1DataFee::default(), true), "the same gas");

    let charged = L1DataFee { calldata_scalar: 1_000_000, blob_scalar: 0 };
    // Taken in turns, so that a busy machine is busy for all of them.
    let mut total = [Duration::ZERO; 4];
    for _ in 0..ROUNDS {
        let runs: [&dyn Fn() -> u64; 4] =
            [&bare, &|| stf(L1DataFee::default(), false), &|| stf(L1DataFee::default(), true), &|| stf(charged, true)];
        for (total, run) in total.iter_mut().zip(runs) {
            let start = clock();
            std::hint::black_box(run());
            *total += clock() - start;
        }
    }
    let show = |name: &str, total_time: Duration| {
        let ratio = total[0].as_secs_f64() / total_time.as_secs_f64();
        let time = total_time / ROUNDS as u32;
        let rate = transactions.len() as f64 / time.as_secs_f64() / 1e3;
        println!("{name:<34} {:>8.2} ms {rate:>8.0}k tx/s  ratio {ratio:.3}", time.as_secs_f64() * 1e3);
    };
    println!("{} transactions, {count} accounts, mean of {ROUNDS}", transactions.len());
    show("revm loop, one journal, no outputs", total[0]);
    show("stf: receipts", total[1]);
    show("stf: receipts and diff", total[2]);
    show("stf: receipts, diff, L1 data fee", total[3]);
}

fn bare_tx(tx: &oceanid_primitives::TxEnvelope, caller: alloy_primitives::Address) -> TxEnv {
    use alloy_consensus::Transaction;
    TxEnv {
        tx_type: 2,
        caller,
        gas_limit: tx.gas_limit(),
        gas_price: tx.max_fee_per_gas(),
        gas_priority_fee: tx.max_priority_fee_per_gas(),
        kind: tx.kind(),
        value: tx.value(),
        data: tx.input().clone(),
        nonce: tx.nonce(),
        chain_id: Some(CHAIN_ID),
        ..TxEnv::default()
    }
}
