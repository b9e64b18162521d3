//! From a transaction to what the EVM executes.

use alloc::vec::Vec;
use alloy_consensus::{Transaction, Typed2718};
use alloy_primitives::Address;
use oceanid_primitives::{TxDeposit, TxEnvelope, TxType};
use revm::context::TxEnv;
use revm::context::either::Either;

/// EIP-2718 type byte of a deposit.
pub(crate) const DEPOSIT: u8 = TxType::Deposit as u8;

/// The EVM's form of `tx`, sent by `sender` (which the caller recovered; a deposit names its own).
pub(crate) fn tx_env(tx: &TxEnvelope, sender: Address) -> TxEnv {
    if let Some(deposit) = tx.as_deposit() {
        return deposit_env(deposit);
    }
    TxEnv {
        tx_type: tx.ty(),
        caller: sender,
        gas_limit: tx.gas_limit(),
        gas_price: tx.max_fee_per_gas(),
        kind: tx.kind(),
        value: tx.value(),
        data: tx.input().clone(),
        nonce: tx.nonce(),
        chain_id: tx.chain_id(),
        access_list: tx.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: tx.max_priority_fee_per_gas(),
        blob_hashes: tx.blob_versioned_hashes().map(<[_]>::to_vec).unwrap_or_default(),
        max_fee_per_blob_gas: tx.max_fee_per_blob_gas().unwrap_or_default(),
        authorization_list: tx.authorization_list().into_iter().flatten().cloned().map(Either::Left).collect(),
    }
}

/// A deposit has no price: `GASPRICE` is zero, and nothing is charged.
fn deposit_env(deposit: &TxDeposit) -> TxEnv {
    TxEnv {
        tx_type: DEPOSIT,
        caller: deposit.from,
        gas_limit: deposit.gas_limit,
        gas_price: 0,
        kind: deposit.to,
        value: deposit.value,
        data: deposit.input.clone(),
        nonce: 0,
        chain_id: None,
        access_list: Default::default(),
        gas_priority_fee: None,
        blob_hashes: Vec::new(),
        max_fee_per_blob_gas: 0,
        authorization_list: Vec::new(),
    }
}
