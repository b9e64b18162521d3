//! `eth_simulateV1`: calls in blocks that do not exist, each block on the state the one before it left.
//!
//! The rules are those of the public specification (ethereum/execution-apis): gaps between block numbers are filled with empty
//! blocks 12 s apart; without `validation` nonces and base fees are not checked; the answer holds whole blocks whose hashes
//! later blocks of the same request can ask for. On Layer 2 a simulated block does without the epoch ledger's system call and
//! without L1 data fees, since nobody signs what it holds.

use crate::context::Context;
use crate::convert;
use crate::error::{RpcError, RpcResult};
use crate::evm::{CallState, call_request, halted, override_state};
use crate::params::{Args, Bounded, First};
use crate::registry::Registry;
use alloy_consensus::proofs::calculate_withdrawals_root;
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, SignableTransaction, TxEip1559, TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::BlockId;
use alloy_eips::eip2718::Typed2718;
use alloy_eips::eip4895::{Withdrawal, Withdrawals};
use alloy_eips::eip7685::Requests;
use alloy_primitives::{Address, B256, Bytes, Log, LogData, Signature, TxKind, U256, address, b256};
use alloy_rpc_types_eth::simulate::{SimCallResult, SimulateError};
use alloy_rpc_types_eth::state::StateOverride;
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest};
use oceanid_chain::{BlockExtras, credit, payments, state_root_after};
use oceanid_primitives::{Block, Header, Receipt, SealedBlock, TxEnvelope};
use oceanid_stf::revm::context::result::{ExecutionResult, InvalidTransaction};
use oceanid_stf::revm::context_interface::{ContextError, ContextTr, JournalTr};
use oceanid_stf::revm::inspector::Inspector;
use oceanid_stf::revm::interpreter::{
    CallInputs, CallOutcome as FrameOutcome, CallScheme, CreateInputs, CreateOutcome, Interpreter,
};
use oceanid_stf::revm::primitives::hardfork::SpecId;
use oceanid_stf::{
    BlockEnv, BlockExecutor, CallMode, CallOptions, CallOutcome, InvalidTx, Overlay, Rules, StateReader, TxError,
    call_with_options, logs_bloom, receipts_root, transactions_root,
};
use oceanid_store::{CommittedBlock, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Instant;

/// Most blocks of one request, those that fill gaps included.
const MAX_BLOCKS: u64 = 256;
/// Most calls of one request, over all blocks.
const MAX_CALLS: usize = 1_000;
/// Seconds between two blocks that do not say otherwise.
const BLOCK_SECONDS: u64 = 12;
/// Steps between two looks at the clock.
const CLOCK_STEPS: u64 = 4_096;
/// Where a transfer of the native coin seems to be logged under `traceTransfers`.
const TRANSFER_LOG_ADDRESS: Address = address!("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
/// `Transfer(address,address,uint256)`.
const TRANSFER_TOPIC: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// The method's error codes.
mod code {
    pub(super) const NONCE_TOO_LOW: i32 = -38010;
    pub(super) const NONCE_TOO_HIGH: i32 = -38011;
    pub(super) const BASE_FEE_TOO_LOW: i32 = -38012;
    pub(super) const INTRINSIC_GAS: i32 = -38013;
    pub(super) const INSUFFICIENT_FUNDS: i32 = -38014;
    pub(super) const BLOCK_GAS_LIMIT: i32 = -38015;
    pub(super) const BLOCK_NUMBER_ORDER: i32 = -38020;
    pub(super) const TIMESTAMP_ORDER: i32 = -38021;
    pub(super) const SENDER_HAS_CODE: i32 = -38024;
    pub(super) const INIT_CODE_SIZE: i32 = -38025;
    pub(super) const TOO_MANY_BLOCKS: i32 = -38026;
    /// Of a call within a block: it halted.
    pub(super) const HALTED: i32 = -32015;
}

/// The request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    block_state_calls: First<AskedBlock, { MAX_BLOCKS as usize }>,
    #[serde(default)]
    trace_transfers: bool,
    #[serde(default)]
    validation: bool,
    #[serde(default)]
    return_full_transactions: bool,
}

/// One block of the request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AskedBlock {
    #[serde(default)]
    block_overrides: Option<Overrides>,
    #[serde(default)]
    state_overrides: Option<StateOverride>,
    /// Parsed when all are counted: a request is much larger than its text.
    #[serde(default)]
    calls: Bounded<Box<RawValue>, MAX_CALLS>,
}

/// Block overrides with the field that only whole blocks have.
#[derive(Debug, Default, Deserialize)]
struct Overrides {
    #[serde(flatten)]
    of_call: BlockOverrides,
    #[serde(default)]
    withdrawals: Option<Vec<Withdrawal>>,
}

/// A block of the answer.
#[derive(Debug, Serialize)]
struct SimulatedBlock {
    #[serde(flatten)]
    block: convert::RpcBlock,
    calls: Vec<SimCallResult>,
}

pub(crate) fn register(registry: &mut Registry) {
    registry.call("eth_simulateV1", |context: &Context, args: &mut Args<'_>| {
        let payload: Payload = args.required("payload")?;
        let block: Option<BlockId> = args.optional("block")?;
        simulate(context, payload, block, args.deadline())
    });
}

fn simulate(context: &Context, payload: Payload, block: Option<BlockId>, deadline: Instant) -> RpcResult<Vec<SimulatedBlock>> {
    let First { items: asked, more } = payload.block_state_calls;
    if asked.is_empty() {
        return Err(RpcError::invalid("payload.blockStateCalls", "empty input"));
    }
    if more {
        return Err(too_many_blocks());
    }
    let calls: usize = asked.iter().map(|block| block.calls.0.len()).sum();
    if calls > MAX_CALLS {
        return Err(RpcError::invalid("payload.blockStateCalls.calls", format!("{calls} calls, limit {MAX_CALLS}")));
    }
    let base = match block {
        Some(id) => context.find(id)?.ok_or_else(|| RpcError::server("header not found"))?,
        None => context.head(),
    };
    let parent = context.header(base)?;
    let parent_hash = context.backend.store.hash_of(base)?.unwrap_or_default();
    let blocks = plan(&parent, asked)?;
    let mut simulation = Simulation {
        context,
        state: Overlay::new(context.backend.store.view_at(base)?),
        parent,
        parent_hash,
        gas_left: context.config.gas_cap,
        deadline,
        trace_transfers: payload.trace_transfers,
        validation: payload.validation,
    };
    let full = payload.return_full_transactions;
    blocks.into_iter().map(|block| simulation.block(block, full)).collect()
}

fn too_many_blocks() -> RpcError {
    RpcError::new(code::TOO_MANY_BLOCKS, format!("too many blocks: limit {MAX_BLOCKS}"))
}

/// Gives every block number and time, and fills the gaps between them.
fn plan(base: &Header, asked: Vec<AskedBlock>) -> RpcResult<Vec<AskedBlock>> {
    let mut plan = Vec::with_capacity(asked.len());
    let (mut number, mut time) = (base.number, base.timestamp);
    for mut block in asked {
        let overrides = block.block_overrides.get_or_insert_default();
        let next = overrides.of_call.number.unwrap_or(U256::from(number) + U256::ONE);
        if next <= U256::from(number) {
            let message = format!("block numbers must be in order: {next} <= {number}");
            return Err(RpcError::new(code::BLOCK_NUMBER_ORDER, message));
        }
        if next - U256::from(base.number) > U256::from(MAX_BLOCKS) {
            return Err(too_many_blocks());
        }
        while U256::from(number) + U256::ONE < next {
            number += 1;
            time = time.saturating_add(BLOCK_SECONDS);
            let of_call = BlockOverrides { number: Some(U256::from(number)), time: Some(time), ..BlockOverrides::default() };
            let block_overrides = Some(Overrides { of_call, withdrawals: None });
            plan.push(AskedBlock { block_overrides, ..AskedBlock::default() });
        }
        number += 1;
        let next = overrides.of_call.time.unwrap_or(time.saturating_add(BLOCK_SECONDS));
        if next <= time {
            let message = format!("block timestamps must be in order: {next} <= {time}");
            return Err(RpcError::new(code::TIMESTAMP_ORDER, message));
        }
        time = next;
        overrides.of_call.number = Some(U256::from(number));
        overrides.of_call.time = Some(time);
        plan.push(block);
    }
    Ok(plan)
}

/// A request on its way from block to block.
struct Simulation<'c> {
    context: &'c Context,
    state: CallState,
    parent: Header,
    parent_hash: B256,
    /// Gas the whole request may still use.
    gas_left: u64,
    deadline: Instant,
    trace_transfers: bool,
    validation: bool,
}

impl Simulation<'_> {
    fn block(&mut self, asked: AskedBlock, full: bool) -> RpcResult<SimulatedBlock> {
        self.check_time()?;
        let Overrides { of_call: overrides, withdrawals } = asked.block_overrides.unwrap_or_default();
        let withdrawals = Withdrawals::new(withdrawals.unwrap_or_default());
        let mut header = self.header(&overrides)?;
        let rules = self.context.backend.rules(&header);
        let is = |spec| rules.fork().spec.is_enabled_in(spec);
        header.withdrawals_root = is(SpecId::SHANGHAI).then(|| calculate_withdrawals_root(&withdrawals));
        let env = BlockEnv::of(&header);
        let chain_id = self.context.backend.chain_id;

        let mut options = CallOptions {
            mode: if self.validation { CallMode::Strict } else { CallMode::Simulated },
            blob_base_fee: overrides.blob_base_fee.map(|fee| fee.saturating_to()),
            ..CallOptions::default()
        };
        if let Some(overrides) = asked.state_overrides {
            options.precompiles = override_state(rules, &mut self.state, overrides)?;
        }
        self.state.block_hashes.extend(overrides.block_hash.unwrap_or_default());
        if !rules.is_rollup() {
            let start = BlockExecutor::new(rules, chain_id, env, &self.state)?.finish();
            self.state.apply(start.diff);
        }

        let mut body = Body::default();
        for request in asked.calls.0 {
            let request =
                serde_json::from_str(request.get()).map_err(|error| RpcError::invalid("payload.blockStateCalls.calls", error))?;
            self.call(request, rules, &header, env, &options, &mut body)?;
        }
        let requests = if is(SpecId::PRAGUE) && !rules.is_rollup() {
            let mut executor = BlockExecutor::resume(rules, chain_id, env, &self.state);
            let requests = executor.requests()?;
            let diff = executor.finish().diff;
            self.state.apply(diff);
            requests
        } else {
            Requests::default()
        };
        let paid = is(SpecId::SHANGHAI).then_some(&*withdrawals);
        let mut change = Default::default();
        credit(&self.state, &mut change, payments(&header, &[], paid, self.context.backend.reward(header.number)))?;
        self.state.apply(change);

        header.gas_used = body.gas_used;
        header.blob_gas_used = is(SpecId::CANCUN).then_some(body.blob_gas_used);
        header.requests_hash = is(SpecId::PRAGUE).then(|| requests.requests_hash());
        header.transactions_root = transactions_root(&body.transactions);
        header.receipts_root = receipts_root(&body.receipts);
        header.logs_bloom = logs_bloom(&body.receipts);
        let changed = self.state.layers.first().cloned().unwrap_or_default();
        header.state_root = state_root_after(&self.state.base, header.number, &changed).map_err(RpcError::internal)?;

        let block = Arc::new(SealedBlock::new(Block { header: header.clone(), body: body.transactions }));
        let hash = block.hash();
        self.state.block_hashes.insert(header.number, hash);
        self.parent = header;
        self.parent_hash = hash;
        for log in body.calls.iter_mut().flat_map(|call| &mut call.logs) {
            log.block_hash = Some(hash);
        }
        let extras = BlockExtras { withdrawals: is(SpecId::SHANGHAI).then_some(withdrawals), ..BlockExtras::default() };
        let block = CommittedBlock { block, receipts: body.receipts, senders: body.senders };
        Ok(SimulatedBlock { block: convert::block(&block, &extras, full), calls: body.calls })
    }

    /// What is known of a block's header before its calls run.
    fn header(&self, overrides: &BlockOverrides) -> RpcResult<Header> {
        let small = |name: &str, value: U256| {
            let name = format!("payload.blockStateCalls.blockOverrides.{name}");
            u64::try_from(value).map_err(|_| RpcError::invalid(&name, "does not fit 64 bits"))
        };
        let number = self.parent.number + 1;
        let timestamp = overrides.time.unwrap_or(self.parent.timestamp + BLOCK_SECONDS);
        let rules = self.context.backend.rules_at(number, timestamp);
        let is = |spec| rules.fork().spec.is_enabled_in(spec);
        let base_fee = match overrides.base_fee {
            Some(fee) => small("baseFeePerGas", fee)?,
            None if self.validation => self.context.backend.next_base_fee(&self.parent),
            None => 0,
        };
        let excess = self.parent.next_block_excess_blob_gas(rules.fork().blobs).unwrap_or_default();
        let difficulty = if is(SpecId::MERGE) { U256::ZERO } else { self.parent.difficulty };
        Ok(Header {
            parent_hash: self.parent_hash,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: overrides.coinbase.unwrap_or(self.parent.beneficiary),
            difficulty: overrides.difficulty.unwrap_or(difficulty),
            number,
            gas_limit: overrides.gas_limit.unwrap_or(self.parent.gas_limit),
            timestamp,
            mix_hash: overrides.random.unwrap_or_default(),
            base_fee_per_gas: is(SpecId::LONDON).then_some(base_fee),
            excess_blob_gas: is(SpecId::CANCUN).then_some(if rules.is_rollup() { 0 } else { excess }),
            parent_beacon_block_root: is(SpecId::CANCUN).then(|| overrides.beacon_root.unwrap_or_default()),
            ..Header::default()
        })
    }

    fn call(
        &mut self,
        mut request: TransactionRequest,
        rules: Rules,
        header: &Header,
        env: BlockEnv,
        options: &CallOptions,
        body: &mut Body,
    ) -> RpcResult<()> {
        self.check_time()?;
        let from = request.from.unwrap_or_default();
        let nonce = match request.nonce {
            Some(nonce) => nonce,
            None => self.state.account(from)?.unwrap_or_default().nonce,
        };
        request.nonce = Some(nonce);
        if self.validation && nonce == u64::MAX {
            return Err(RpcError::new(RpcError::INTERNAL, format!("nonce of {from} has its highest value")));
        }
        let room = header.gas_limit.saturating_sub(body.gas_used);
        let gas = request.gas.unwrap_or(room);
        if gas > room {
            let message = format!("block gas limit reached: {} >= {}", body.gas_used, header.gas_limit);
            return Err(RpcError::new(code::BLOCK_GAS_LIMIT, message));
        }
        request.gas = Some(gas.min(self.gas_left));
        let priced = request.gas_price.is_some();
        let with_base_fee = header.base_fee_per_gas.is_some();
        let mut call = call_request(self.context, request)?;
        call.gas_limit = gas.min(self.gas_left);
        if with_base_fee && !priced {
            call.priority_fee = Some(call.priority_fee.unwrap_or_default());
        }
        let envelope = envelope(&call, self.context.backend.chain_id, priced || !with_base_fee);
        let mut log = CallLog::new(self.trace_transfers, self.deadline, body.logs);
        let chain_id = self.context.backend.chain_id;
        let outcome = call_with_options(rules, chain_id, env, &self.state, &call, options, &mut log);
        if log.late {
            return Err(RpcError::limit("simulation timed out: send fewer or smaller calls"));
        }
        let CallOutcome { result, diff, .. } = outcome.map_err(|error| refusal(error, call.gas_limit))?;
        self.state.apply(diff);

        let used = result.tx_gas_used();
        let most = result.gas().total_gas_spent().max(used);
        body.gas_used += used;
        self.gas_left = self.gas_left.saturating_sub(used);
        body.blob_gas_used += alloy_consensus::Transaction::blob_gas_used(&envelope).unwrap_or_default();
        let success = result.is_success();
        let (transaction_hash, index) = (*envelope.hash(), body.transactions.len());
        body.logs = log.next;
        let shown = if success { log.logs } else { Vec::new() };
        let logs = shown.into_iter().map(|(log_index, inner)| alloy_rpc_types_eth::Log {
            inner,
            block_hash: None,
            block_number: Some(header.number),
            block_timestamp: Some(header.timestamp),
            transaction_hash: Some(transaction_hash),
            transaction_index: Some(index as u64),
            log_index: Some(log_index),
            removed: false,
        });
        let logs = logs.collect();
        let error = match &result {
            ExecutionResult::Success { .. } => None,
            ExecutionResult::Revert { output, .. } => {
                let error = RpcError::reverted(output);
                Some(SimulateError { code: error.code, message: error.message, data: Some(output.clone()) })
            }
            ExecutionResult::Halt { reason, .. } => {
                Some(SimulateError { code: code::HALTED, message: halted(reason).message, data: None })
            }
        };
        body.receipts.push(Receipt {
            tx_type: envelope.ty(),
            success,
            cumulative_gas_used: body.gas_used,
            logs: if success { result.logs().to_vec() } else { Vec::new() },
            deposit_nonce: None,
            l1_fee: 0,
        });
        body.transactions.push(envelope);
        body.senders.push(from);
        body.calls.push(SimCallResult {
            return_data: if success { result.into_output().unwrap_or_default() } else { Bytes::new() },
            logs,
            gas_used: used,
            max_used_gas: Some(most),
            status: success,
            error,
        });
        Ok(())
    }

    fn check_time(&self) -> RpcResult<()> {
        if Instant::now() > self.deadline {
            return Err(RpcError::limit("simulation timed out: send fewer blocks or calls"));
        }
        Ok(())
    }
}

/// What a block has collected so far.
#[derive(Default)]
struct Body {
    transactions: Vec<TxEnvelope>,
    senders: Vec<Address>,
    receipts: Vec<Receipt>,
    calls: Vec<SimCallResult>,
    gas_used: u64,
    blob_gas_used: u64,
    /// Number of the next log. Logs of failed frames have one, too, as in geth.
    logs: u64,
}

/// The call as a transaction that nobody signed.
fn envelope(call: &oceanid_stf::CallRequest, chain_id: u64, legacy: bool) -> TxEnvelope {
    let unsigned = Signature::new(U256::ZERO, U256::ZERO, false);
    let (nonce, gas_limit, value, input) = (call.nonce, call.gas_limit, call.value, call.input.clone());
    let (max_fee_per_gas, max_priority_fee_per_gas) = (call.gas_price, call.priority_fee.unwrap_or_default());
    let access_list = call.access_list.clone();
    let address = call.to.to().copied();
    match (address, call.authorizations.as_slice(), call.blob_hashes.as_slice()) {
        _ if legacy => {
            let tx = TxLegacy { chain_id: None, nonce, gas_price: call.gas_price, gas_limit, to: call.to, value, input };
            TxEnvelope::Legacy(tx.into_signed(unsigned))
        }
        (Some(to), [_, ..], _) => {
            let authorization_list = call.authorizations.clone();
            let tx = TxEip7702 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                authorization_list,
                input,
            };
            TxEnvelope::Eip7702(tx.into_signed(unsigned))
        }
        (Some(to), _, [_, ..]) => {
            let tx = TxEip4844 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                blob_versioned_hashes: call.blob_hashes.clone(),
                max_fee_per_blob_gas: call.max_fee_per_blob_gas,
                input,
            };
            TxEnvelope::Eip4844(tx.into_signed(unsigned))
        }
        _ => {
            let to = address.map_or(TxKind::Create, TxKind::Call);
            let tx = TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value,
                access_list,
                input,
            };
            TxEnvelope::Eip1559(tx.into_signed(unsigned))
        }
    }
}

/// Why a call cannot be in its block, under the method's codes.
fn refusal(error: TxError<StoreError>, gas: u64) -> RpcError {
    let code = match &error {
        TxError::Invalid(InvalidTx::Evm(reason)) => match reason {
            InvalidTransaction::NonceTooLow { .. } => code::NONCE_TOO_LOW,
            InvalidTransaction::NonceTooHigh { .. } | InvalidTransaction::NonceOverflowInTransaction => code::NONCE_TOO_HIGH,
            InvalidTransaction::GasPriceLessThanBasefee => code::BASE_FEE_TOO_LOW,
            InvalidTransaction::CallGasCostMoreThanGasLimit { .. } | InvalidTransaction::GasFloorMoreThanGasLimit { .. } => {
                code::INTRINSIC_GAS
            }
            InvalidTransaction::LackOfFundForMaxFee { .. } | InvalidTransaction::OverflowPaymentInTransaction => {
                code::INSUFFICIENT_FUNDS
            }
            InvalidTransaction::RejectCallerWithCode => code::SENDER_HAS_CODE,
            InvalidTransaction::CreateInitCodeSizeLimit => code::INIT_CODE_SIZE,
            _ => return error.into(),
        },
        _ => return error.into(),
    };
    let message = RpcError::from(error).message;
    RpcError::new(code, format!("{message} (supplied gas {gas})"))
}

/// Collects a call's logs in order, transfers of the native coin among them if they are asked for, without those of frames
/// that failed; ends the call when the request's time is up.
struct CallLog {
    transfers: bool,
    logs: Vec<(u64, Log)>,
    /// Number of the next log, counted over the block.
    next: u64,
    /// Number of logs when each open frame began.
    frames: Vec<usize>,
    steps: u64,
    deadline: Instant,
    late: bool,
}

impl CallLog {
    const fn new(transfers: bool, deadline: Instant, next: u64) -> Self {
        Self { transfers, logs: Vec::new(), next, frames: Vec::new(), steps: 0, deadline, late: false }
    }

    fn transfer(&mut self, from: Address, to: Address, value: U256) {
        if self.transfers && !value.is_zero() {
            let topics = vec![TRANSFER_TOPIC, from.into_word(), to.into_word()];
            let data = Bytes::from(value.to_be_bytes::<32>());
            self.push(Log { address: TRANSFER_LOG_ADDRESS, data: LogData::new_unchecked(topics, data) });
        }
    }

    fn push(&mut self, log: Log) {
        self.logs.push((self.next, log));
        self.next += 1;
    }

    fn end(&mut self, success: bool) {
        let begin = self.frames.pop().unwrap_or_default();
        if !success {
            self.logs.truncate(begin);
        }
    }
}

impl<CTX: ContextTr> Inspector<CTX> for CallLog {
    fn step(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        self.steps += 1;
        if self.steps.is_multiple_of(CLOCK_STEPS) && Instant::now() > self.deadline {
            self.late = true;
            if context.error().is_ok() {
                *context.error() = Err(ContextError::Custom("timed out".into()));
            }
            interp.halt_fatal();
        }
    }

    fn log(&mut self, _: &mut CTX, log: Log) {
        self.push(log);
    }

    fn call(&mut self, _: &mut CTX, inputs: &mut CallInputs) -> Option<FrameOutcome> {
        self.frames.push(self.logs.len());
        if let Some(value) = inputs.transfer_value()
            && matches!(inputs.scheme, CallScheme::Call | CallScheme::CallCode)
        {
            self.transfer(inputs.transfer_from(), inputs.transfer_to(), value);
        }
        None
    }

    fn call_end(&mut self, _: &mut CTX, _: &CallInputs, outcome: &mut FrameOutcome) {
        self.end(outcome.result.result.is_ok());
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.frames.push(self.logs.len());
        if self.transfers && !inputs.value().is_zero() {
            // A database that fails here fails the creation, too.
            let nonce = context.journal_mut().load_account(inputs.caller()).map_or(0, |account| account.data.info.nonce);
            self.transfer(inputs.caller(), inputs.created_address(nonce), inputs.value());
        }
        None
    }

    fn create_end(&mut self, _: &mut CTX, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.end(outcome.result.result.is_ok());
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.transfer(contract, target, value);
    }
}
