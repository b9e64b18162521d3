//! Traces in the style of Parity: `trace_*`, as explorers read them.
//!
//! A trace is made by executing again, so it needs the state before its block; everything that bounds `debug_trace*` bounds it.

use crate::context::Context;
use crate::debug::Replay;
use crate::error::{RpcError, RpcResult};
use crate::evm::Prepared;
use crate::guard::{Guard, Records};
use crate::params::{Args, Bounded};
use crate::registry::Registry;
use alloy_consensus::Transaction;
use alloy_eips::BlockId;
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::map::HashSet;
use alloy_primitives::{B256, Bytes, TxKind, U64, U256};
use alloy_rpc_types_eth::{TransactionInfo, TransactionInput, TransactionRequest};
use alloy_rpc_types_trace::filter::TraceFilter;
use alloy_rpc_types_trace::parity::{
    Action, LocalizedTransactionTrace, RewardAction, RewardType, TraceResults, TraceResultsWithTransactionHash, TraceType,
    TransactionTrace,
};
use oceanid_primitives::TxEnvelope;
use oceanid_stf::{CallOutcome, Overlay, ReaderRef, call_with_options};
use oceanid_store::CommittedBlock;
use revm_inspectors::tracing::{TracingInspector, TracingInspectorConfig};
use std::sync::Arc;

/// Most blocks of one `trace_filter`.
const MAX_BLOCKS: u64 = 100;
/// Most traces in its answer.
const MAX_TRACES: usize = 20_000;
/// Most calls of one `trace_callMany`.
const MAX_CALLS: usize = 100;

pub(crate) fn register(registry: &mut Registry) {
    registry.trace("trace_block", |context: &Context, args: &mut Args<'_>| {
        let id: BlockId = args.required("block")?;
        let Some(number) = context.find(id)? else { return Ok(None) };
        block_traces(context, &mut Guard::new(args.deadline()), number).map(Some)
    });
    registry.trace("trace_transaction", transaction_traces);
    registry.trace("trace_get", |context: &Context, args: &mut Args<'_>| {
        let traces = transaction_traces(context, args)?;
        let path: Vec<U64> = args.required("path")?;
        let path: Vec<usize> = path.into_iter().map(|index| index.saturating_to()).collect();
        Ok(traces.and_then(|traces| traces.into_iter().find(|trace| trace.trace.trace_address == path)))
    });
    registry.trace("trace_replayTransaction", |context: &Context, args: &mut Args<'_>| {
        let hash: B256 = args.required("hash")?;
        let types = trace_types(args)?;
        let place = context.transaction(hash)?;
        let (block, index) = place.ok_or_else(|| RpcError::not_found(format!("transaction {hash} is in no block")))?;
        replay_results(&mut Replay::new(context, block)?, &mut Guard::new(args.deadline()), index, &types)
    });
    registry.trace("trace_replayBlockTransactions", |context: &Context, args: &mut Args<'_>| {
        let id: BlockId = args.required("block")?;
        let types = trace_types(args)?;
        let Some(number) = context.find(id)? else { return Ok(None) };
        replay_block(context, &mut Guard::new(args.deadline()), number, &types).map(Some)
    });
    registry.trace("trace_filter", filter);
    registry.trace("trace_call", |context: &Context, args: &mut Args<'_>| {
        let request: TransactionRequest = args.required("transaction")?;
        let types = trace_types(args)?;
        let block = args.optional("block")?;
        let overrides = args.optional("stateOverrides")?;
        let prepared = Prepared::new(context, request, block, overrides, args.optional("blockOverrides")?)?;
        Ok(call_results(context, &mut Guard::new(args.deadline()), &prepared, &types)?.0)
    });
    registry.trace("trace_callMany", |context: &Context, args: &mut Args<'_>| {
        let Bounded(calls): Bounded<(TransactionRequest, HashSet<TraceType>), MAX_CALLS> = args.required("calls")?;
        let block: Option<BlockId> = args.optional("block")?;
        let mut state: Option<crate::evm::CallState> = None;
        let mut guard = Guard::new(args.deadline());
        let mut results = Vec::with_capacity(calls.len());
        for (request, types) in calls {
            let mut prepared = Prepared::new(context, request, block, None, None)?;
            // Each call sees what the ones before it did, on the state of one and the same block.
            prepared.state = state.take().unwrap_or(prepared.state);
            let (result, outcome) = call_results(context, &mut guard, &prepared, &types)?;
            prepared.state.apply(outcome.diff);
            state = Some(prepared.state);
            results.push(result);
        }
        Ok(results)
    });
    registry.trace("trace_rawTransaction", |context: &Context, args: &mut Args<'_>| {
        let raw: Bytes = args.required("transaction")?;
        let types = trace_types(args)?;
        let refused = |error: String| RpcError::invalid("transaction", error);
        let tx = TxEnvelope::decode_2718_exact(&raw).map_err(|error| refused(error.to_string()))?;
        if tx.is_deposit() {
            return Err(refused("a deposit is not sent".into()));
        }
        let from = tx.recover_sender().map_err(|error| refused(error.to_string()))?;
        let request = TransactionRequest {
            from: Some(from),
            to: Some(tx.to().map_or(TxKind::Create, TxKind::Call)),
            gas: Some(tx.gas_limit()),
            max_fee_per_gas: Some(tx.max_fee_per_gas()),
            max_priority_fee_per_gas: tx.max_priority_fee_per_gas(),
            value: Some(tx.value()),
            nonce: Some(tx.nonce()),
            chain_id: tx.chain_id(),
            input: TransactionInput::new(tx.input().clone()),
            access_list: tx.access_list().cloned(),
            authorization_list: tx.authorization_list().map(<[_]>::to_vec),
            ..TransactionRequest::default()
        };
        let prepared = Prepared::new(context, request, args.optional("block")?, None, None)?;
        Ok(call_results(context, &mut Guard::new(args.deadline()), &prepared, &types)?.0)
    });
}

fn trace_types(args: &mut Args<'_>) -> RpcResult<HashSet<TraceType>> {
    args.required("traceTypes")
}

/// A tracer that counts what it copies, as [`Replay::inspect`] asks for it.
const fn itself(tracer: &TracingInspector) -> Option<&TracingInspector> {
    Some(tracer)
}

fn find(context: &Context, number: u64) -> RpcResult<Arc<CommittedBlock>> {
    context.block(number)?.ok_or_else(|| RpcError::not_found(format!("block {number} does not exist")))
}

/// Traces of one transaction; none if it is in no block.
fn transaction_traces(context: &Context, args: &mut Args<'_>) -> RpcResult<Option<Vec<LocalizedTransactionTrace>>> {
    let hash: B256 = args.required("hash")?;
    let Some((block, index)) = context.transaction(hash)? else { return Ok(None) };
    localized(&mut Replay::new(context, block.clone())?, &mut Guard::new(args.deadline()), &block, index).map(Some)
}

/// Traces of all transactions of a block and, before the merge, of its rewards.
fn block_traces(context: &Context, guard: &mut Guard, number: u64) -> RpcResult<Vec<LocalizedTransactionTrace>> {
    let block = find(context, number)?;
    let mut traces = Vec::new();
    if !block.block.body().is_empty() {
        let mut replay = Replay::new(context, block.clone())?;
        for index in 0..block.block.body().len() {
            traces.extend(localized(&mut replay, guard, &block, index)?);
        }
    }
    traces.extend(rewards(context, &block));
    Ok(traces)
}

fn localized(
    replay: &mut Replay<'_>,
    guard: &mut Guard,
    block: &CommittedBlock,
    index: usize,
) -> RpcResult<Vec<LocalizedTransactionTrace>> {
    let mut tracer = guard.bound(TracingInspector::new(TracingInspectorConfig::default_parity()));
    let outcome = replay.inspect(index, guard, Records::CALLS, &mut tracer, itself)?;
    replay.apply(index, outcome.diff);
    let info = TransactionInfo {
        hash: block.block.body().get(index).map(|tx| *tx.hash()),
        index: Some(index as u64),
        block_hash: Some(block.block.hash()),
        block_number: Some(block.block.number()),
        ..TransactionInfo::default()
    };
    Ok(tracer.into_parity_builder().into_localized_transaction_traces(info))
}

/// Rewards of the miner and of the ommers' miners.
fn rewards(context: &Context, block: &CommittedBlock) -> Vec<LocalizedTransactionTrace> {
    let header = block.block.header();
    let extras = context.backend.extras(header.number);
    let reward = context.backend.reward(header.number);
    let payments = oceanid_chain::payments(header, &extras.ommers, None, reward);
    let trace = |(place, (author, value)): (usize, (alloy_primitives::Address, U256))| {
        let reward_type = if place == 0 { RewardType::Block } else { RewardType::Uncle };
        LocalizedTransactionTrace {
            trace: TransactionTrace {
                action: Action::Reward(RewardAction { author, reward_type, value }),
                error: None,
                result: None,
                subtraces: 0,
                trace_address: Vec::new(),
            },
            block_hash: Some(block.block.hash()),
            block_number: Some(header.number),
            transaction_hash: None,
            transaction_position: None,
        }
    };
    payments.into_iter().enumerate().map(trace).collect()
}

fn replay_block(
    context: &Context,
    guard: &mut Guard,
    number: u64,
    types: &HashSet<TraceType>,
) -> RpcResult<Vec<TraceResultsWithTransactionHash>> {
    let block = find(context, number)?;
    if block.block.body().is_empty() {
        return Ok(Vec::new());
    }
    let mut replay = Replay::new(context, block.clone())?;
    let one = |(index, tx): (usize, &TxEnvelope)| {
        let full_trace = replay_results(&mut replay, guard, index, types)?;
        Ok(TraceResultsWithTransactionHash { full_trace, transaction_hash: *tx.hash() })
    };
    block.block.body().iter().enumerate().map(one).collect()
}

fn replay_results(
    replay: &mut Replay<'_>,
    guard: &mut Guard,
    index: usize,
    types: &HashSet<TraceType>,
) -> RpcResult<TraceResults> {
    let mut tracer = guard.bound(TracingInspector::new(TracingInspectorConfig::from_parity_config(types)));
    let outcome = replay.inspect(index, guard, Records::of_types(types), &mut tracer, itself)?;
    let results = results(tracer, &outcome, types, replay.state());
    replay.apply(index, outcome.diff);
    results
}

fn call_results(
    context: &Context,
    guard: &mut Guard,
    call: &Prepared,
    types: &HashSet<TraceType>,
) -> RpcResult<(TraceResults, CallOutcome)> {
    let mut tracer = guard.bound(TracingInspector::new(TracingInspectorConfig::from_parity_config(types)));
    guard.begin(Records::of_types(types))?;
    let (chain_id, inspector) = (context.backend.chain_id, (&mut *guard, &mut tracer));
    let outcome = call_with_options(call.rules, chain_id, call.env, &call.state, &call.request, &call.options, inspector);
    let outcome = guard.end(outcome, Some(&tracer), &call.state)?;
    Ok((results(tracer, &outcome, types, &call.state)?, outcome))
}

fn results(
    tracer: TracingInspector,
    outcome: &CallOutcome,
    types: &HashSet<TraceType>,
    before: &Overlay<oceanid_store::StateView>,
) -> RpcResult<TraceResults> {
    tracer
        .into_parity_builder()
        .into_trace_results_with_state_parts(&outcome.result, &outcome.state, types, ReaderRef(before))
        .map_err(RpcError::internal)
}

/// Traces of a range of blocks by the addresses in them. Without a beginning: as many blocks as are allowed.
fn filter(context: &Context, args: &mut Args<'_>) -> RpcResult<Vec<LocalizedTransactionTrace>> {
    let filter: TraceFilter = args.required("filter")?;
    let head = context.head();
    let to = filter.to_block.unwrap_or(head);
    let from = filter.from_block.unwrap_or(to.saturating_sub(MAX_BLOCKS - 1));
    if from > to {
        return Err(RpcError::invalid("filter", format!("fromBlock {from} is after toBlock {to}")));
    }
    if to > head {
        return Err(RpcError::invalid("filter.toBlock", format!("{to}, the head is block {head}")));
    }
    if to - from >= MAX_BLOCKS {
        return Err(RpcError::limit(format!("query exceeds the limit of {MAX_BLOCKS} blocks: from {from} to {to}")));
    }
    let mut guard = Guard::new(args.deadline());
    let matcher = filter.matcher();
    let mut skip = filter.after.unwrap_or_default();
    // Who names a count gets so many at most; who names none gets all, or an error.
    let count = filter.count.map_or(MAX_TRACES, |count| usize::try_from(count).unwrap_or(usize::MAX).min(MAX_TRACES));
    let mut found = Vec::new();
    for number in from.max(1)..=to {
        let (spent, kept) = (guard.spent(), found.len());
        for trace in block_traces(context, &mut guard, number)?.into_iter().filter(|trace| matcher.matches(&trace.trace)) {
            if skip > 0 {
                skip -= 1;
            } else if found.len() < count {
                found.push(trace);
            } else if filter.count.is_none() {
                return Err(RpcError::limit(format!("query returns more than {MAX_TRACES} traces: ask for fewer blocks")));
            } else {
                return Ok(found);
            }
        }
        if found.len() == kept {
            guard.give_back(spent);
        }
    }
    Ok(found)
}
