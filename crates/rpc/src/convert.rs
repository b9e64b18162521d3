//! Chain data as JSON, in the shapes of Ethereum's execution API with the OP Stack's extra fields for deposits.

use alloy_consensus::{Sealed, Transaction as _};
use alloy_eips::eip2718::Typed2718;
use alloy_eips::eip2930::AccessList;
use alloy_eips::eip7702::SignedAuthorization;
use alloy_eips::eip7840::BlobParams;
use alloy_primitives::{Address, B256, Bloom, Bytes, U8, U64, U128, U256};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::{BlockTransactions, Header, Log};
use oceanid_chain::BlockExtras;
use oceanid_primitives::{Receipt, TxEnvelope};
use oceanid_store::CommittedBlock;
use serde::Serialize;

/// Receipt version of deposits since the OP Stack's Canyon.
const DEPOSIT_RECEIPT_VERSION: u64 = 1;

/// A transaction with its place in the chain, or without one while it is pending.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcTransaction {
    hash: B256,
    #[serde(rename = "type")]
    ty: U8,
    nonce: U64,
    block_hash: Option<B256>,
    block_number: Option<U64>,
    block_timestamp: Option<U64>,
    transaction_index: Option<U64>,
    from: Address,
    to: Option<Address>,
    value: U256,
    gas: U64,
    /// The price paid once in a block; the cap before.
    gas_price: U128,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_fee_per_gas: Option<U128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_priority_fee_per_gas: Option<U128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_fee_per_blob_gas: Option<U128>,
    input: Bytes,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain_id: Option<U64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_list: Option<AccessList>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_versioned_hashes: Option<Vec<B256>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_list: Option<Vec<SignedAuthorization>>,
    v: U64,
    r: U256,
    s: U256,
    #[serde(skip_serializing_if = "Option::is_none")]
    y_parity: Option<U64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    deposit: Option<RpcDeposit>,
}

/// What a deposit has beside (OP Stack).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RpcDeposit {
    source_hash: B256,
    mint: U128,
    is_system_tx: bool,
    deposit_receipt_version: U64,
}

/// A receipt with its place in the chain.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RpcReceipt {
    transaction_hash: B256,
    transaction_index: U64,
    block_hash: B256,
    block_number: U64,
    from: Address,
    to: Option<Address>,
    cumulative_gas_used: U64,
    gas_used: U64,
    effective_gas_price: U128,
    contract_address: Option<Address>,
    logs: Vec<Log>,
    logs_bloom: Bloom,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<U8>,
    /// State root after the transaction, before Byzantium in place of the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<B256>,
    #[serde(rename = "type")]
    ty: U8,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_gas_used: Option<U64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_gas_price: Option<U128>,
    /// Layer 2 only; absent when the state that priced it is no longer kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    l1_fee: Option<U128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deposit_nonce: Option<U64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deposit_receipt_version: Option<U64>,
}

/// A block as `eth_getBlockBy*` answers.
pub(crate) type RpcBlock = alloy_rpc_types_eth::Block<RpcTransaction, Header>;

fn signature_fields(tx: &TxEnvelope) -> (U64, U256, U256, Option<U64>) {
    let signature = match tx {
        TxEnvelope::Legacy(tx) => tx.signature(),
        TxEnvelope::Eip2930(tx) => tx.signature(),
        TxEnvelope::Eip1559(tx) => tx.signature(),
        TxEnvelope::Eip4844(tx) => tx.signature(),
        TxEnvelope::Eip7702(tx) => tx.signature(),
        // Deposits are not signed; the OP Stack writes zeros.
        TxEnvelope::Deposit(_) => return (U64::ZERO, U256::ZERO, U256::ZERO, None),
    };
    let parity = u64::from(signature.v());
    let (v, y_parity) = match tx {
        // EIP-155, and before it 27 or 28.
        TxEnvelope::Legacy(_) => {
            (tx.chain_id().map_or(U256::from(27 + parity), |id| U256::from(id) * U256::from(2) + U256::from(35 + parity)), None)
        }
        _ => (U256::from(parity), Some(U64::from(parity))),
    };
    (v.saturating_to(), signature.r(), signature.s(), y_parity)
}

/// A transaction that is in no block yet.
pub(crate) fn pending(tx: &TxEnvelope, from: Address) -> RpcTransaction {
    transaction(tx, from, None, None)
}

/// A transaction of a block.
pub(crate) fn included(block: &CommittedBlock, index: usize) -> Option<RpcTransaction> {
    let tx = block.block.body().get(index)?;
    let from = *block.senders.get(index)?;
    Some(transaction(tx, from, Some((block, index)), block.receipts.get(index).and_then(|receipt| receipt.deposit_nonce)))
}

fn transaction(
    tx: &TxEnvelope,
    from: Address,
    place: Option<(&CommittedBlock, usize)>,
    deposit_nonce: Option<u64>,
) -> RpcTransaction {
    let (v, r, s, y_parity) = signature_fields(tx);
    let base_fee = place.and_then(|(block, _)| block.block.header().base_fee_per_gas);
    let gas_price = if tx.is_deposit() { 0 } else { tx.effective_gas_price(base_fee) };
    let dynamic = tx.is_dynamic_fee() && !tx.is_deposit();
    let deposit = tx.as_deposit().map(|deposit| RpcDeposit {
        source_hash: deposit.source_hash,
        mint: U128::from(deposit.mint),
        is_system_tx: deposit.is_system_transaction,
        deposit_receipt_version: U64::from(DEPOSIT_RECEIPT_VERSION),
    });
    RpcTransaction {
        hash: *tx.hash(),
        ty: U8::from(tx.ty()),
        nonce: U64::from(deposit_nonce.unwrap_or_else(|| tx.nonce())),
        block_hash: place.map(|(block, _)| block.block.hash()),
        block_number: place.map(|(block, _)| U64::from(block.block.number())),
        block_timestamp: place.map(|(block, _)| U64::from(block.block.header().timestamp)),
        transaction_index: place.map(|(_, index)| U64::from(index)),
        from,
        to: tx.to(),
        value: tx.value(),
        gas: U64::from(tx.gas_limit()),
        gas_price: U128::from(gas_price),
        max_fee_per_gas: dynamic.then(|| U128::from(tx.max_fee_per_gas())),
        max_priority_fee_per_gas: tx.max_priority_fee_per_gas().filter(|_| dynamic).map(U128::from),
        max_fee_per_blob_gas: tx.max_fee_per_blob_gas().map(U128::from),
        input: tx.input().clone(),
        chain_id: tx.chain_id().filter(|_| !tx.is_deposit()).map(U64::from),
        access_list: tx.access_list().cloned(),
        blob_versioned_hashes: tx.blob_versioned_hashes().map(<[_]>::to_vec),
        authorization_list: tx.authorization_list().map(<[_]>::to_vec),
        v,
        r,
        s,
        y_parity,
        deposit,
    }
}

/// Gas used by transaction `index` alone.
pub(crate) fn gas_used(receipts: &[Receipt], index: usize) -> u64 {
    let before =
        index.checked_sub(1).and_then(|previous| receipts.get(previous)).map_or(0, |receipt| receipt.cumulative_gas_used);
    receipts.get(index).map_or(0, |receipt| receipt.cumulative_gas_used.saturating_sub(before))
}

/// The receipt of transaction `index`; `l1_fee` gives the L1 data fee of a transaction of that block, if it is known.
pub(crate) fn receipt(
    block: &CommittedBlock,
    index: usize,
    extras: &BlockExtras,
    blobs: BlobParams,
    l1_fee: impl FnOnce(&TxEnvelope) -> Option<u128>,
) -> Option<RpcReceipt> {
    let tx = block.block.body().get(index)?;
    let from = *block.senders.get(index)?;
    let receipt = block.receipts.get(index)?;
    let header = block.block.header();
    let nonce = receipt.deposit_nonce.unwrap_or_else(|| tx.nonce());
    let first_log = block.receipts[..index].iter().map(|receipt| receipt.logs.len()).sum::<usize>();
    let root = extras.post_states.get(index).copied();
    let blob_gas_used = tx.blob_gas_used();
    let blob_gas_price = blob_gas_used.map(|_| blobs.calc_blob_fee(header.excess_blob_gas.unwrap_or_default()));
    Some(RpcReceipt {
        transaction_hash: *tx.hash(),
        transaction_index: U64::from(index),
        block_hash: block.block.hash(),
        block_number: U64::from(header.number),
        from,
        to: tx.to(),
        cumulative_gas_used: U64::from(receipt.cumulative_gas_used),
        gas_used: U64::from(gas_used(&block.receipts, index)),
        effective_gas_price: U128::from(if tx.is_deposit() { 0 } else { tx.effective_gas_price(header.base_fee_per_gas) }),
        contract_address: tx.is_create().then(|| from.create(nonce)),
        logs: logs_of(block, index, first_log).collect(),
        logs_bloom: receipt.bloom(),
        status: root.is_none().then(|| U8::from(u8::from(receipt.success))),
        root,
        ty: U8::from(tx.ty()),
        blob_gas_used: blob_gas_used.map(U64::from),
        blob_gas_price: blob_gas_price.map(U128::from),
        l1_fee: l1_fee(tx).map(U128::from),
        deposit_nonce: receipt.deposit_nonce.map(U64::from),
        deposit_receipt_version: receipt.deposit_nonce.map(|_| U64::from(DEPOSIT_RECEIPT_VERSION)),
    })
}

/// Logs of transaction `index`, the first of which is number `first` in the block.
pub(crate) fn logs_of(block: &CommittedBlock, index: usize, first: usize) -> impl Iterator<Item = Log> + '_ {
    let header = block.block.header();
    let transaction_hash = block.block.body().get(index).map(|tx| *tx.hash());
    let logs = block.receipts.get(index).map_or(&[][..], |receipt| &receipt.logs);
    logs.iter().enumerate().map(move |(position, log)| Log {
        inner: log.clone(),
        block_hash: Some(block.block.hash()),
        block_number: Some(header.number),
        block_timestamp: Some(header.timestamp),
        transaction_hash,
        transaction_index: Some(index as u64),
        log_index: Some((first + position) as u64),
        removed: false,
    })
}

/// The header object of `newHeads` and of blocks.
pub(crate) fn header(block: &CommittedBlock, extras: &BlockExtras) -> Header {
    let inner = block.block.header().clone();
    let size = U256::from(size(block, extras));
    Header::from_consensus(Sealed::new_unchecked(inner, block.block.hash()), None, Some(size))
}

/// Bytes of the block in Ethereum's encoding.
fn size(block: &CommittedBlock, extras: &BlockExtras) -> usize {
    let payload = block.block.header().length()
        + alloy_rlp::list_length(block.block.body())
        + alloy_rlp::list_length(&extras.ommers)
        + extras.withdrawals.as_ref().map_or(0, |withdrawals| withdrawals.length());
    alloy_rlp::Header { list: true, payload_length: payload }.length() + payload
}

/// A block with full transactions or with their hashes.
pub(crate) fn block(block: &CommittedBlock, extras: &BlockExtras, full: bool) -> RpcBlock {
    let body = block.block.body();
    let transactions = if full {
        BlockTransactions::Full((0..body.len()).filter_map(|index| included(block, index)).collect())
    } else {
        BlockTransactions::Hashes(body.iter().map(|tx| *tx.hash()).collect())
    };
    RpcBlock {
        header: header(block, extras),
        uncles: extras.ommers.iter().map(|ommer| ommer.hash_slow()).collect(),
        transactions,
        withdrawals: extras.withdrawals.clone(),
    }
}
