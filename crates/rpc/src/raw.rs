//! Chain data in Ethereum's encoding: `debug_getRaw*`.

use crate::context::Context;
use crate::error::{RpcError, RpcResult};
use crate::params::Args;
use crate::registry::Registry;
use alloy_eips::BlockId;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes};
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

fn block(context: &Context, args: &mut Args<'_>) -> RpcResult<Arc<CommittedBlock>> {
    let id: BlockId = args.required("block")?;
    let number = context.resolve(id)?;
    context.block(number)?.ok_or_else(|| RpcError::not_found(format!("block {number} does not exist")))
}
