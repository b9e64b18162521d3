//! Tracing: `debug_traceTransaction`, `debug_traceBlock*`, `debug_traceCall`, by the tracers of `revm-inspectors`.
//!
//! A traced transaction is replayed over the state before its block with every transaction in front of it. A trace is larger
//! than what it traces: one [`Guard`] a request ends those that would take too much memory or time.

use crate::context::Context;
use crate::error::{RpcError, RpcResult};
use crate::evm::{CallState, Prepared};
use crate::guard::{Guard, Records};
use crate::params::Args;
use crate::raw;
use crate::registry::Registry;
use alloy_consensus::Transaction;
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, TxKind};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_trace::common::TraceResult;
use alloy_rpc_types_trace::geth::{GethDebugTracingCallOptions, GethDebugTracingOptions, GethTrace};
use oceanid_stf::revm::context::TxEnv;
use oceanid_stf::revm::context_interface::result::ResultAndState;
use oceanid_stf::revm::inspector::{Inspector, NoOpInspector};
use oceanid_stf::{
    BlockEnv, BlockExecutor, CallOutcome, Overlay, ReaderRef, Rules, StateDiff, TxError, call_with_options, replay,
};
use oceanid_store::{CommittedBlock, StoreError};
use revm_inspectors::tracing::{DebugInspector, DebugInspectorError, TracingInspector, TransactionContext};
use std::sync::Arc;

pub(crate) fn register(registry: &mut Registry) {
    registry.trace("debug_traceTransaction", |context: &Context, args: &mut Args<'_>| {
        let hash: B256 = args.required("hash")?;
        let options = args.optional("options")?.unwrap_or_default();
        let place = context.transaction(hash)?;
        let (block, index) = place.ok_or_else(|| RpcError::server(format!("transaction {hash} is in no block")))?;
        Replay::new(context, block)?.trace(index, &mut Guard::new(args.deadline()), &options)
    });
    registry.trace("debug_traceBlockByNumber", |context: &Context, args: &mut Args<'_>| {
        let tag: BlockNumberOrTag = args.required("block")?;
        trace_block(context, tag.into(), args)
    });
    registry.trace("debug_traceBlockByHash", |context: &Context, args: &mut Args<'_>| {
        let hash: B256 = args.required("blockHash")?;
        trace_block(context, hash.into(), args)
    });
    registry.trace("debug_traceBlock", |context: &Context, args: &mut Args<'_>| {
        let block = raw::decode(context, &args.required::<Bytes>("block")?)?;
        trace_block(context, block.block.hash().into(), args)
    });
    registry.trace("debug_traceCall", trace_call);
}

fn trace_block(context: &Context, id: BlockId, args: &mut Args<'_>) -> RpcResult<Vec<TraceResult<GethTrace, String>>> {
    let options = args.optional("options")?.unwrap_or_default();
    // Other nodes answer with the general code where a block to trace is missing.
    let number = context.resolve(id).map_err(|error| RpcError { code: RpcError::SERVER, ..error })?;
    if number == 0 {
        return Err(RpcError::server("genesis is not traceable"));
    }
    let block = context.block(number)?.ok_or_else(|| RpcError::not_found(format!("block {number} does not exist")))?;
    let hashes: Vec<B256> = block.block.body().iter().map(|tx| *tx.hash()).collect();
    if hashes.is_empty() {
        return Ok(Vec::new());
    }
    let mut replay = Replay::new(context, block)?;
    let mut guard = Guard::new(args.deadline());
    let trace = |(index, hash)| {
        let result = replay.trace(index, &mut guard, &options)?;
        Ok(TraceResult::Success { result, tx_hash: Some(hash) })
    };
    hashes.into_iter().enumerate().map(trace).collect()
}

fn trace_call(context: &Context, args: &mut Args<'_>) -> RpcResult<GethTrace> {
    let request: TransactionRequest = args.required("transaction")?;
    let block: Option<BlockId> = args.optional("block")?;
    let options: GethDebugTracingCallOptions = args.optional("options")?.unwrap_or_default();
    if options.tx_index.is_some() {
        return Err(RpcError::invalid("options.txIndex", "a call is traced on the state after its block"));
    }
    let call = Prepared::new(context, request, block, options.state_overrides, options.block_overrides)?;
    let mut guard = Guard::new(args.deadline());
    let mut tracer = tracer(&guard, &options.tracing_options)?;
    guard.begin(Records::of_options(&options.tracing_options))?;
    let chain_id = context.backend.chain_id;
    let inspector = (&mut guard, &mut tracer);
    let outcome = call_with_options(call.rules, chain_id, call.env, &call.state, &call.request, &call.options, inspector);
    let outcome = guard.end(outcome, recorder(&tracer), &call.state)?;
    let tx = TxEnv {
        caller: call.request.from,
        gas_limit: call.request.gas_limit,
        kind: call.request.to,
        value: call.request.value,
        data: call.request.input.clone(),
        ..TxEnv::default()
    };
    result(&mut tracer, None, &tx, call.env, outcome, &call.state)
}

/// A block on its way through execution, transaction by transaction.
pub(crate) struct Replay<'c> {
    context: &'c Context,
    block: Arc<CommittedBlock>,
    rules: Rules,
    env: BlockEnv,
    /// After the transactions before `next`.
    state: CallState,
    next: usize,
}

impl<'c> Replay<'c> {
    pub(crate) fn new(context: &'c Context, block: Arc<CommittedBlock>) -> RpcResult<Self> {
        let header = block.block.header();
        let env = BlockEnv::of(header);
        let (rules, chain_id) = (context.backend.rules(header), context.backend.chain_id);
        let view = context.backend.store.view_at(header.number.saturating_sub(1))?;
        let mut state = Overlay::new(view);
        // What happens before the first transaction: the system calls.
        let start = BlockExecutor::new(rules, chain_id, env, &state)?.finish().diff;
        state.apply(start);
        Ok(Self { context, block, rules, env, state, next: 0 })
    }

    /// Executes transaction `index`, which must not be before the last one applied, under a tracer; `recorder` gives the part of it
    /// that counts what it copies.
    pub(crate) fn inspect<I>(
        &mut self,
        index: usize,
        guard: &mut Guard,
        records: Records,
        tracer: &mut I,
        recorder: impl FnOnce(&I) -> Option<&TracingInspector>,
    ) -> RpcResult<CallOutcome>
    where
        I: for<'s> Inspector<oceanid_stf::EvmContext<'s, CallState>>,
    {
        while self.next < index {
            guard.check_time()?;
            let outcome = self.run(self.next, NoOpInspector)?;
            self.apply(self.next, outcome.diff);
        }
        guard.begin(records)?;
        let outcome = self.run(index, (&mut *guard, &mut *tracer));
        guard.end(outcome, recorder(tracer), &self.state)
    }

    /// The state before the next transaction.
    pub(crate) const fn state(&self) -> &CallState {
        &self.state
    }

    /// Goes on to the transaction after `index` with what that one changed.
    pub(crate) fn apply(&mut self, index: usize, diff: StateDiff) {
        self.state.apply(diff);
        self.next = index + 1;
    }

    /// Traces transaction `index`, which must not be before the last one traced.
    fn trace(&mut self, index: usize, guard: &mut Guard, options: &GethDebugTracingOptions) -> RpcResult<GethTrace> {
        let mut tracer = tracer(guard, options)?;
        let outcome = self.inspect(index, guard, Records::of_options(options), &mut tracer, recorder)?;
        let (tx, sender) = self.part(index)?;
        let place =
            TransactionContext { block_hash: Some(self.block.block.hash()), tx_index: Some(index), tx_hash: Some(*tx.hash()) };
        let tx = TxEnv {
            caller: sender,
            gas_limit: tx.gas_limit(),
            kind: tx.to().map_or(TxKind::Create, TxKind::Call),
            value: tx.value(),
            data: tx.input().clone(),
            nonce: tx.nonce(),
            ..TxEnv::default()
        };
        let diff = outcome.diff.clone();
        let trace = result(&mut tracer, Some(place), &tx, self.env, outcome, &self.state)?;
        self.apply(index, diff);
        Ok(trace)
    }

    fn part(&self, index: usize) -> RpcResult<(&oceanid_primitives::TxEnvelope, Address)> {
        let part = self.block.block.body().get(index).zip(self.block.senders.get(index).copied());
        part.ok_or_else(|| RpcError::internal(format!("block {} has no transaction {index}", self.block.block.number())))
    }

    fn run<'s, I>(&'s self, index: usize, inspector: I) -> Result<CallOutcome, TxError<StoreError>>
    where
        I: Inspector<oceanid_stf::EvmContext<'s, CallState>>,
    {
        let (tx, sender) = self.part(index).map_err(|error| TxError::Fatal(error.message))?;
        let used = index.checked_sub(1).and_then(|before| self.block.receipts.get(before));
        let gas_left = self.env.gas_limit.saturating_sub(used.map_or(0, |receipt| receipt.cumulative_gas_used));
        replay(self.rules, self.context.backend.chain_id, self.env, &self.state, gas_left, tx, sender, inspector)
    }
}

/// Tracers by their names; without a name there are struct logs.
const TRACERS: [&str; 6] = ["callTracer", "flatCallTracer", "4byteTracer", "prestateTracer", "muxTracer", "noopTracer"];

fn tracer(guard: &Guard, options: &GethDebugTracingOptions) -> RpcResult<DebugInspector> {
    let unknown =
        || RpcError::invalid("options.tracer", format!("must be one of {}, or absent: struct logs", TRACERS.join(", ")));
    let refused = |error| match error {
        DebugInspectorError::UnsupportedTracer | DebugInspectorError::JsTracerNotEnabled => unknown(),
        other => RpcError::invalid("options.tracer", other),
    };
    Ok(match DebugInspector::new(options.clone()).map_err(refused)? {
        DebugInspector::CallTracer(tracer, config) => DebugInspector::CallTracer(guard.bound(tracer), config),
        DebugInspector::PreStateTracer(tracer, config) => DebugInspector::PreStateTracer(guard.bound(tracer), config),
        DebugInspector::FlatCallTracer(tracer) => DebugInspector::FlatCallTracer(guard.bound(tracer)),
        DebugInspector::Default(tracer, config) => DebugInspector::Default(guard.bound(tracer), config),
        DebugInspector::Erc7562Tracer(..) => {
            // It is for a bundler's mempool, which this node has not.
            return Err(unknown());
        }
        // The guard alone bounds these: they keep a counter, or nothing, or calls as `Records` says.
        other => other,
    })
}

/// The part of a tracer that counts what it copies; none has one that is not [`Guard::bound`].
const fn recorder(tracer: &DebugInspector) -> Option<&TracingInspector> {
    match tracer {
        DebugInspector::CallTracer(tracer, _)
        | DebugInspector::PreStateTracer(tracer, _)
        | DebugInspector::FlatCallTracer(tracer)
        | DebugInspector::Default(tracer, _) => Some(tracer),
        _ => None,
    }
}

fn result(
    tracer: &mut DebugInspector,
    place: Option<TransactionContext>,
    tx: &TxEnv,
    env: BlockEnv,
    outcome: CallOutcome,
    before: &CallState,
) -> RpcResult<GethTrace> {
    let executed = ResultAndState { result: outcome.result, state: outcome.state };
    let block = oceanid_stf::revm::context::BlockEnv {
        number: alloy_primitives::U256::from(env.number),
        basefee: env.base_fee,
        ..Default::default()
    };
    tracer.get_result(place, tx, &block, &executed, &mut ReaderRef(before)).map_err(RpcError::internal)
}
