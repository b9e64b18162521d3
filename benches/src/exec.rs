//! `exec`: one block through the state transition, beside a bare revm loop with one journal over the same state in memory.

use crate::evm::{bare_loop, tx_env};
use crate::report::{Cost, count, measure, median, ms, ratio, row, table};
use crate::world::{BLOCK, token_code};
use alloy_primitives::U256;
use oceanid_primitives::L1DataFee;
use oceanid_primitives::predeploys::{L1_BLOCK_INFO, l1_block_info, slot};
use oceanid_stf::revm::context::TxEnv;
use oceanid_stf::workload::{self, CHAIN_ID, unsigned};
use oceanid_stf::{BlockExecutor, EmptyState, Overlay, RollupRules, Rules, StorageDiff};
use std::hint::black_box;

/// Blocks executed by each.
const ROUNDS: usize = 25;

pub(crate) fn run(accounts: &[usize]) -> eyre::Result<()> {
    table(
        &format!(
            "Execution of {} transfers and {} ERC-20 transfers, state in memory, one thread, median of {ROUNDS}. Target: 0.9.",
            count(BLOCK.transfers),
            count(BLOCK.token_transfers)
        ),
        &["accounts", "what", "CPU, ms a block", "thousand tx/s", "bare loop / this"],
    );
    accounts.iter().try_for_each(|accounts| one(*accounts))
}

fn one(number: usize) -> eyre::Result<()> {
    let accounts = workload::accounts(number);
    let mut state = workload::genesis(&accounts, token_code()?);
    let mut prices = StorageDiff::default();
    prices.slots.insert(slot(l1_block_info::BASE_FEE), U256::from(10u64.pow(9)));
    prices.slots.insert(slot(l1_block_info::GAS_TOKEN_RATIO), U256::from(10u64.pow(18)));
    state.storage.insert(L1_BLOCK_INFO, prices);
    let state = Overlay::new(EmptyState).with_layer(state);
    let env = workload::env(1);
    let transactions = workload::block(&accounts, BLOCK, &mut vec![0; number], 7, unsigned);
    let envs: Vec<TxEnv> = transactions.iter().map(|(tx, sender)| tx_env(tx, *sender)).collect();

    let bare = || bare_loop(&state, &env, &envs);
    let stf = |l1_data_fee, with_diff: bool| {
        let rules = Rules::Rollup(RollupRules { l1_data_fee });
        let mut executor = BlockExecutor::new(rules, CHAIN_ID, env, &state).expect("a block begins");
        // As a validator, who has the whole body.
        executor.reserve(transactions.len());
        for (tx, sender) in &transactions {
            executor.execute(tx, *sender).expect("the workload is valid");
        }
        let gas_used = env.gas_limit - executor.gas_left();
        if with_diff {
            black_box(executor.finish());
        } else {
            black_box(executor.receipts());
        }
        gas_used
    };
    eyre::ensure!(bare() == stf(L1DataFee::default(), true), "the bare loop and the state transition use different gas");

    let charged = L1DataFee { calldata_scalar: 1_000_000, blob_scalar: 0 };
    let contenders: [(&str, &dyn Fn() -> u64); 4] = [
        ("bare revm loop, no outputs", &bare),
        ("stf: receipts", &|| stf(L1DataFee::default(), false)),
        ("stf: receipts, state diff", &|| stf(L1DataFee::default(), true)),
        ("stf: receipts, state diff, L1 data fee", &|| stf(charged, true)),
    ];
    // Taken in turns, so that a busy machine is busy for all of them.
    let mut costs: [Vec<Cost>; 4] = Default::default();
    for _ in 0..ROUNDS {
        for (costs, (_, run)) in costs.iter_mut().zip(contenders) {
            costs.push(measure(|| black_box(run())).1);
        }
    }
    let middle = costs.map(|costs| median(&costs).cpu);
    for (time, (name, _)) in middle.iter().zip(contenders) {
        let rate = transactions.len() as f64 / time.as_secs_f64() / 1e3;
        row(&[count(number), name.into(), ms(*time), format!("{rate:.0}"), ratio(middle[0], *time)]);
    }
    Ok(())
}
