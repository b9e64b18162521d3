//! The yardstick of execution: a bare revm loop over one journal. It checks what Ethereum checks, and makes neither receipts nor a diff.

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, U256};
use oceanid_primitives::TxEnvelope;
use oceanid_stf::revm::context::{Context, TxEnv};
use oceanid_stf::revm::context_interface::JournalTr as _;
use oceanid_stf::revm::database_interface::WrapDatabaseRef;
use oceanid_stf::revm::primitives::hardfork::SpecId;
use oceanid_stf::revm::{ExecuteEvm as _, MainBuilder as _, MainContext as _};
use oceanid_stf::{BlockEnv, ReaderRef, StateReader, workload::CHAIN_ID};

/// A transaction as revm takes it.
pub(crate) fn tx_env(tx: &TxEnvelope, caller: Address) -> TxEnv {
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

/// Executes `transactions` in order and returns the gas used.
pub(crate) fn bare_loop<R: StateReader>(reader: &R, env: &BlockEnv, transactions: &[TxEnv]) -> u64 {
    let mut machine = Context::mainnet()
        .with_db(WrapDatabaseRef(ReaderRef(reader)))
        .modify_cfg_chained(|cfg| {
            cfg.set_spec_and_mainnet_gas_params(SpecId::PRAGUE);
            cfg.chain_id = CHAIN_ID;
        })
        .modify_block_chained(|block| {
            block.number = U256::from(env.number);
            block.timestamp = U256::from(env.timestamp);
            block.gas_limit = env.gas_limit;
            block.basefee = env.base_fee;
            block.beneficiary = env.beneficiary;
        })
        .build_mainnet();
    let mut gas_used = 0;
    for tx in transactions {
        gas_used += machine.transact_one(tx.clone()).expect("the workload is valid").tx_gas_used();
    }
    std::hint::black_box(machine.ctx.journaled_state.finalize());
    gas_used
}
