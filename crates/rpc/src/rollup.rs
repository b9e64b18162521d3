//! The `optimism_` and `seq_` methods of Layer 2.

use crate::backend::{Network, NodeStatus};
use crate::context::Context;
use crate::error::{RpcError, RpcResult};
use crate::params::Args;
use crate::registry::Registry;
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, Bytes, U64};
use oceanid_chain::Ledger;
use oceanid_primitives::{Committee, Header, HeaderExtension, L1Origin, output_root};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) fn register(registry: &mut Registry) {
    registry.light("optimism_outputAtBlock", output_at_block);
    registry.light("optimism_syncStatus", |context: &Context, _: &mut Args<'_>| sync_status(context));
    registry.light("optimism_rollupConfig", rollup_config);
    registry.light("optimism_version", |_: &Context, _: &mut Args<'_>| Ok(format!("v{}", env!("CARGO_PKG_VERSION"))));
    registry.read("seq_committee", committee);
    registry.read("seq_epoch", epoch);
    registry.light("seq_batch", batch);
    registry.light("seq_certificate", certificate);
    registry.light("seq_evidence", evidence);
    registry.light("seq_status", status);
}

/// Leader slots that `seq_epoch` tells ahead.
const NEXT_SLOTS: u64 = 32;

/// What only a Layer 2 has.
fn parts(context: &Context) -> RpcResult<(&Ledger, &dyn NodeStatus)> {
    match &context.backend.network {
        Network::Rollup { ledger, status } => Ok((ledger, &**status)),
        Network::Ethereum { .. } => Err(RpcError::server("this method exists on Layer 2 only")),
    }
}

/// A block of Layer 2 with its L1 origin, as the OP Stack writes it: numbers are decimal.
#[derive(Serialize)]
struct L2Ref {
    hash: B256,
    number: u64,
    #[serde(rename = "parentHash")]
    parent_hash: B256,
    timestamp: u64,
    l1origin: L1Origin,
    /// Blocks of the same origin before this one is the OP Stack's meaning; here an origin may last any time, and it is zero.
    #[serde(rename = "sequenceNumber")]
    sequence_number: u64,
}

fn extension(header: &Header) -> RpcResult<HeaderExtension> {
    HeaderExtension::decode(&header.extra_data).map_err(RpcError::internal)
}

fn l2_ref(context: &Context, number: u64) -> RpcResult<L2Ref> {
    let header = context.header(number)?;
    let hash = context.backend.store.hash_of(number)?.unwrap_or_else(|| header.hash_slow());
    Ok(L2Ref {
        hash,
        number,
        parent_hash: header.parent_hash,
        timestamp: header.timestamp,
        l1origin: extension(&header)?.origin,
        sequence_number: 0,
    })
}

fn output_at_block(context: &Context, args: &mut Args<'_>) -> RpcResult<Value> {
    let tag: BlockNumberOrTag = args.required("block")?;
    let number = context.resolve(tag.into())?;
    let header = context.header(number)?;
    let block = l2_ref(context, number)?;
    let message_passer_root = header.withdrawals_root.unwrap_or_default();
    Ok(json!({
        "version": B256::ZERO,
        "outputRoot": output_root(header.state_root, message_passer_root, block.hash),
        "blockRef": block,
        "withdrawalStorageRoot": message_passer_root,
        "stateRoot": header.state_root,
        "syncStatus": sync_status(context)?,
    }))
}

/// `unsafe` and `local_safe` do not differ from `latest` and `safe` here: a block is certified before anyone serves it.
fn sync_status(context: &Context) -> RpcResult<Value> {
    let (_, status) = parts(context)?;
    let l1 = status.l1();
    let (safe, finalized) = context.backend.marks();
    let safe = l2_ref(context, safe)?;
    Ok(json!({
        "current_l1": l1.current,
        "current_l1_finalized": l1.finalized,
        "head_l1": l1.head,
        "safe_l1": l1.safe,
        "finalized_l1": l1.finalized,
        "unsafe_l2": l2_ref(context, context.head())?,
        "safe_l2": safe,
        "local_safe_l2": safe,
        "cross_unsafe_l2": l2_ref(context, context.head())?,
        "finalized_l2": l2_ref(context, finalized)?,
        "pending_safe_l2": safe,
    }))
}

/// The fields of op-node's answer that have a meaning here.
fn rollup_config(context: &Context, _: &mut Args<'_>) -> RpcResult<Value> {
    let (ledger, _) = parts(context)?;
    let spec = ledger.spec();
    Ok(json!({
        "genesis": {
            "l1": spec.l1.start,
            "l2": { "hash": ledger.genesis_hash(), "number": 0 },
            "l2_time": spec.genesis_timestamp,
        },
        "block_time": spec.timing.block_time_ms.div_ceil(1_000),
        "block_time_ms": spec.timing.block_time_ms,
        "epoch_length": spec.timing.epoch_length,
        "max_origin_lag": spec.timing.max_origin_lag,
        "challenge_window": spec.timing.challenge_window,
        "l1_chain_id": spec.l1_chain_id,
        "l2_chain_id": spec.chain_id,
        "deposit_contract_address": spec.l1.portal,
        "rollup_address": spec.l1.rollup,
        "sequencer_pool_address": spec.l1.pool,
        "gas_token_address": spec.l1.token,
    }))
}

/// A number (hex quantity or plain) or `latest`.
enum Place {
    Latest,
    Number(u64),
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Text(String),
        }
        let refused = || serde::de::Error::custom("must be a number or `latest`");
        match Either::deserialize(deserializer).map_err(|_: D::Error| refused())? {
            Either::Number(number) => Ok(Self::Number(number)),
            Either::Text(text) if text == "latest" => Ok(Self::Latest),
            Either::Text(text) => {
                let digits = text.strip_prefix("0x").ok_or_else(refused)?;
                u64::from_str_radix(digits, 16).map(Self::Number).map_err(|_| refused())
            }
        }
    }
}

/// The epoch asked for, by default that of the next block, with its committee.
fn epoch_of(ledger: &Ledger, context: &Context, args: &mut Args<'_>) -> RpcResult<(u64, Arc<Committee>)> {
    let current = ledger.epochs().of(context.head() + 1);
    let epoch = match args.optional("epoch")?.unwrap_or(Place::Latest) {
        Place::Latest => current,
        Place::Number(epoch) => epoch,
    };
    let committee = ledger.committee_of_epoch(epoch).map_err(RpcError::internal)?.ok_or_else(|| {
        RpcError::not_found(format!("committee of epoch {epoch} is not known: the chain is in epoch {current}"))
    })?;
    Ok((epoch, committee))
}

fn committee(context: &Context, args: &mut Args<'_>) -> RpcResult<Value> {
    let (ledger, _) = parts(context)?;
    let (epoch, committee) = epoch_of(ledger, context, args)?;
    Ok(json!({ "epoch": epoch, "quorum": committee.quorum(), "committee": *committee }))
}

/// An epoch: its blocks, who votes in it, what each member did so far, and, of the one under way, who is drawn for the next views.
fn epoch(context: &Context, args: &mut Args<'_>) -> RpcResult<Value> {
    let (ledger, _) = parts(context)?;
    let (epoch, committee) = epoch_of(ledger, context, args)?;
    let epochs = ledger.epochs();
    let (first, last) = epochs.blocks(epoch).ok_or_else(|| RpcError::not_found(format!("epoch {epoch} has no blocks")))?;
    let head = extension(&context.header(context.head())?)?;
    let slots = match epochs.of(context.head() + 1) == epoch {
        true => {
            // Views are counted anew in each epoch.
            let next = if head.epoch == epoch { head.view + 1 } else { 1 };
            let drawn = |view| {
                let seat = committee.leader(epoch, view);
                json!({ "view": view, "seat": seat, "member": committee.members[seat as usize].id })
            };
            (next..next + NEXT_SLOTS).map(drawn).collect()
        }
        false => Vec::new(),
    };
    let work = ledger.work(epoch).map_err(RpcError::internal)?;
    let work = work.map(|work| work.iter().map(|done| json!({ "led": done.led, "missed": done.missed })).collect::<Vec<_>>());
    Ok(json!({
        "epoch": epoch,
        "firstBlock": first,
        "lastBlock": last,
        "before": epochs.before(epoch),
        "after": epochs.after(epoch),
        "quorum": committee.quorum(),
        "committee": *committee,
        "work": work,
        "nextSlots": slots,
    }))
}

/// A batch on L1, and how far it is settled.
fn batch(context: &Context, args: &mut Args<'_>) -> RpcResult<Option<Value>> {
    let (_, status) = parts(context)?;
    let index = match args.optional("index")?.unwrap_or(Place::Latest) {
        Place::Latest => None,
        Place::Number(index) => Some(index),
    };
    let Some(batch) = status.batch(index) else { return Ok(None) };
    let (safe, finalized) = context.backend.marks();
    let settled = match batch.last_block {
        last if last <= finalized => "final",
        last if last <= safe => "safe",
        _ => "accepted",
    };
    let mut report = serde_json::to_value(batch).map_err(RpcError::internal)?;
    report["status"] = json!(settled);
    Ok(Some(report))
}

/// The certificate of a block with what it certifies; `null` if the block is there and the certificate is not (genesis, and
/// blocks derived from L1, whose batch carries one certificate for all).
fn certificate(context: &Context, args: &mut Args<'_>) -> RpcResult<Option<Value>> {
    let block: BlockId = args.required("block")?;
    let number = context.resolve(block)?;
    let Some(certificate) = context.backend.store.certificate(number)? else { return Ok(None) };
    let header = context.header(number)?;
    let extension = extension(&header)?;
    let bytes: Bytes = certificate;
    Ok(Some(json!({
        "blockNumber": number,
        "blockHash": context.backend.store.hash_of(number)?,
        "epoch": extension.epoch,
        "view": extension.view,
        "leader": extension.leader,
        "committeeId": extension.committee_id,
        "certificate": bytes,
    })))
}

/// Proofs that this node holds and L1 has not punished, a page from place `from` on.
fn evidence(context: &Context, args: &mut Args<'_>) -> RpcResult<Value> {
    let (_, status) = parts(context)?;
    let from: Option<U64> = args.optional("from")?;
    Ok(status.evidence(from.unwrap_or_default().to()))
}

fn status(context: &Context, _: &mut Args<'_>) -> RpcResult<Value> {
    let (ledger, status) = parts(context)?;
    let head = context.head();
    let (safe, finalized) = context.backend.marks();
    let l1 = status.l1();
    let mut report = serde_json::to_value(status.report()).map_err(RpcError::internal)?;
    report["head"] = json!(head);
    report["safe"] = json!(safe);
    report["finalized"] = json!(finalized);
    report["epoch"] = json!(ledger.epochs().of(head));
    report["peers"] = json!(status.peers());
    report["l1"] = json!({ "current": l1.current, "head": l1.head, "safe": l1.safe, "finalized": l1.finalized });
    Ok(report)
}
