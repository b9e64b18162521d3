//! Chain data in Ethereum's encoding: `debug_getRaw*`.

use crate::context::Context;
use crate::error::{RpcError, RpcResult};
use crate::params::Args;
use crate::registry::Registry;
use alloy_eips::BlockId;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes, keccak256};
use oceanid_chain::{early_receipt, encode_block};
use oceanid_store::CommittedBlock;
use std::sync::Arc;

pub(crate) fn register(registry: &mut Registry) {
    registry.read("debug_getRawHeader", |context: &Context, args: &mut Args<'_>| {
        Ok(Bytes::from(alloy_rlp::encode(block(context, args)?.block.header())))
    });
    registry.read("debug_getRawBlock", |context: &Context, args: &mut Args<'_>| {
        let block = block(context, args)?;
        Ok(Bytes::from(encode_block(&block, &context.backend.extras(block.block.number()))))
    });
    registry.read("debug_getRawReceipts", |context: &Context, args: &mut Args<'_>| {
        let block = block(context, args)?;
        let extras = context.backend.extras(block.block.number());
        let encode = |(index, receipt): (usize, &oceanid_primitives::Receipt)| match extras.post_states.get(index) {
            Some(root) => Bytes::from(early_receipt(receipt, *root).encoded_2718()),
            None => {
                let mut out = Vec::new();
                receipt.with_bloom().encode_2718(&mut out);
                Bytes::from(out)
            }
        };
        Ok(block.receipts.iter().enumerate().map(encode).collect::<Vec<_>>())
    });
    registry.read("debug_getRawTransaction", |context: &Context, args: &mut Args<'_>| {
        let hash: B256 = args.required("hash")?;
        if let Some((block, index)) = context.transaction(hash)? {
            return Ok(block.block.body().get(index).map(|tx| Bytes::from(tx.encoded_2718())));
        }
        Ok(context.backend.pool.get(&hash).map(|pooled| Bytes::from(pooled.envelope().encoded_2718())))
    });
}

/// The block of this chain that is so encoded, as `debug_getRawBlock` gives it.
pub(crate) fn decode(context: &Context, raw: &[u8]) -> RpcResult<Arc<CommittedBlock>> {
    let mut rest = raw;
    let header = alloy_rlp::Header::decode_bytes(&mut rest, true)
        .and_then(|mut parts| Ok(keccak256(header_of(&mut parts)?)))
        .map_err(|error| RpcError::invalid("block", error))?;
    let number = context.backend.store.number_of(header)?;
    let number = number.ok_or_else(|| RpcError::not_found(format!("block {header} is not in this chain")))?;
    let block = context.block(number)?.ok_or_else(|| RpcError::not_found(format!("block {number} does not exist")))?;
    if encode_block(&block, &context.backend.extras(number)) != raw {
        return Err(RpcError::invalid("block", "its body is not that of its header"));
    }
    Ok(block)
}

/// The encoding of a block's header, the first part of it.
fn header_of<'a>(parts: &mut &'a [u8]) -> alloy_rlp::Result<&'a [u8]> {
    let all = *parts;
    alloy_rlp::Header::decode_bytes(parts, true)?;
    Ok(&all[..all.len() - parts.len()])
}

fn block(context: &Context, args: &mut Args<'_>) -> RpcResult<Arc<CommittedBlock>> {
    let id: BlockId = args.required("block")?;
    let number = context.resolve(id)?;
    context.block(number)?.ok_or_else(|| RpcError::not_found(format!("block {number} does not exist")))
}
