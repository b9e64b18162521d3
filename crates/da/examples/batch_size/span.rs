//! The peer: OP Stack span batches (specs.optimism.io, Delta) in a channel compressed by brotli at quality 10 (Fjord).
//!
//! Only the encoder, and only its length; frame headers (23 bytes a frame) are left out in the peer's favour.

use crate::corpus::CHAIN_ID;
use alloy_consensus::Transaction;
use alloy_primitives::{TxKind, U256};
use alloy_rlp::Encodable;
use oceanid_da::Batch;
use oceanid_primitives::TxEnvelope;
use std::io::Write;

/// Brotli as op-batcher runs it.
const QUALITY: u32 = 10;
const WINDOW: u32 = 22;
const SPAN_BATCH: u8 = 1;
/// Bytes of the parent and of the L1 origin that a span batch names.
const CHECK_BYTES: usize = 20;

/// Bytes of the compressed channel that holds `batch` as one span batch.
pub(crate) fn encode(batch: &Batch) -> usize {
    let transactions: Vec<TxEnvelope> = batch.blocks.iter().flat_map(|block| block.transactions.iter().cloned()).collect();
    let first = &batch.blocks[0];
    let last = &batch.blocks[batch.blocks.len() - 1];
    let mut out = vec![SPAN_BATCH];
    varint(&mut out, first.timestamp);
    varint(&mut out, last.origin);
    out.extend_from_slice(&[0xa5; CHECK_BYTES]);
    out.extend_from_slice(&[0x5a; CHECK_BYTES]);
    varint(&mut out, batch.blocks.len() as u64);
    let mut origin = first.origin;
    bits(&mut out, batch.blocks.iter().map(|block| std::mem::replace(&mut origin, block.origin) != block.origin));
    batch.blocks.iter().for_each(|block| varint(&mut out, block.transactions.len() as u64));

    bits(&mut out, transactions.iter().map(|tx| tx.kind().is_create()));
    bits(&mut out, transactions.iter().map(|tx| signature(tx).v()));
    for tx in &transactions {
        out.extend_from_slice(&signature(tx).r().to_be_bytes::<32>());
        out.extend_from_slice(&signature(tx).s().to_be_bytes::<32>());
    }
    for tx in &transactions {
        if let TxKind::Call(to) = tx.kind() {
            out.extend_from_slice(to.as_slice());
        }
    }
    transactions.iter().for_each(|tx| data(&mut out, tx));
    transactions.iter().for_each(|tx| varint(&mut out, tx.nonce()));
    transactions.iter().for_each(|tx| varint(&mut out, tx.gas_limit()));
    bits(
        &mut out,
        transactions.iter().filter(|tx| matches!(tx, TxEnvelope::Legacy(_))).map(|tx| tx.chain_id() == Some(CHAIN_ID)),
    );

    let mut channel = Vec::new();
    out.as_slice().encode(&mut channel);
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 1 << 16, QUALITY, WINDOW);
    writer.write_all(&channel).expect("writing to memory does not fail");
    // One byte before it names the algorithm.
    1 + writer.into_inner().len()
}

fn signature(tx: &TxEnvelope) -> &alloy_primitives::Signature {
    match tx {
        TxEnvelope::Legacy(tx) => tx.signature(),
        TxEnvelope::Eip1559(tx) => tx.signature(),
        _ => unreachable!("corpora hold legacy and EIP-1559 transactions"),
    }
}

fn data(out: &mut Vec<u8>, tx: &TxEnvelope) {
    let value = tx.value();
    let input = tx.input().clone();
    match tx {
        TxEnvelope::Legacy(tx) => list(out, &[&value, &U256::from(tx.tx().gas_price), &input]),
        TxEnvelope::Eip1559(tx) => {
            let tx = tx.tx();
            out.push(2);
            let (tip, max) = (U256::from(tx.max_priority_fee_per_gas), U256::from(tx.max_fee_per_gas));
            list(out, &[&value, &tip, &max, &input, &tx.access_list]);
        }
        _ => unreachable!("corpora hold legacy and EIP-1559 transactions"),
    }
}

fn list(out: &mut Vec<u8>, fields: &[&dyn Encodable]) {
    let payload_length = fields.iter().map(|field| field.length()).sum();
    alloy_rlp::Header { list: true, payload_length }.encode(out);
    fields.iter().for_each(|field| field.encode(out));
}

/// A bitlist: big endian, padded at the front.
fn bits(out: &mut Vec<u8>, bits: impl Iterator<Item = bool>) {
    let bits: Vec<bool> = bits.collect();
    let mut bytes = vec![0u8; bits.len().div_ceil(8)];
    let last = bytes.len().saturating_sub(1);
    for (index, bit) in bits.into_iter().enumerate() {
        bytes[last - index / 8] |= u8::from(bit) << (index % 8);
    }
    out.extend_from_slice(&bytes);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
