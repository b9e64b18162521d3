//! Executing for callers: `eth_call`, `eth_estimateGas`, `eth_createAccessList`, with state and block overrides.

use crate::context::Context;
use crate::error::{RpcError, RpcResult};
use crate::params::Args;
use crate::registry::Registry;
use alloy_eips::BlockId;
use alloy_eips::eip2930::{AccessList, AccessListItem, AccessListResult};
use alloy_primitives::{Address, B256, Bytes, TxKind, U64, U256, keccak256};
use alloy_rpc_types_eth::state::{AccountOverride, StateOverride};
use alloy_rpc_types_eth::{BlockOverrides, TransactionRequest};
use oceanid_primitives::predeploys::NATIVE_TRANSFER;
use oceanid_stf::revm::context::result::{ExecutionResult, HaltReason};
use oceanid_stf::revm::inspector::NoOpInspector;
use oceanid_stf::{
    BlockEnv, CallOptions, CallOutcome, CallRequest, Overlay, PrecompileMoves, Rules, StateDiff, StateReader, StorageDiff,
    call_with_options, is_precompile,
};
use oceanid_store::{StateView, StoreError};
use std::collections::BTreeMap;
use std::time::Instant;

/// Most accounts in a state override.
const MAX_OVERRIDDEN_ACCOUNTS: usize = 1_000;
/// Most storage slots in a state override, over all accounts.
const MAX_OVERRIDDEN_SLOTS: usize = 10_000;
/// Gas of a plain transfer.
const TRANSFER_GAS: u64 = 21_000;
/// Gas a call passes along with value for nothing; an estimate leaves room for it.
const CALL_STIPEND: u64 = 2_300;
/// An estimate may exceed the least gas that works by this share (1.5 %), which saves several executions.
const ESTIMATE_TOLERANCE: f64 = 0.015;

pub(crate) fn register(registry: &mut Registry) {
    registry.call("eth_call", |context: &Context, args: &mut Args<'_>| {
        let call = Prepared::parse(context, args)?;
        let outcome = call.run(context, &call.request)?;
        output(outcome)
    });
    registry.call("eth_estimateGas", |context: &Context, args: &mut Args<'_>| {
        let call = Prepared::parse(context, args)?;
        estimate(context, &call).map(U64::from)
    });
    registry.call("eth_createAccessList", |context: &Context, args: &mut Args<'_>| {
        let call = Prepared::parse(context, args)?;
        access_list(context, &call)
    });
}

/// The state a call sees: a block's, with overrides on top.
pub(crate) type CallState = Overlay<StateView, StateDiff>;

/// A call with its state and environment.
pub(crate) struct Prepared {
    pub(crate) request: CallRequest,
    pub(crate) rules: Rules,
    pub(crate) env: BlockEnv,
    pub(crate) state: CallState,
    pub(crate) options: CallOptions,
    /// Gas limit the caller gave, if any.
    asked_gas: Option<u64>,
}

impl Prepared {
    /// Parameters: transaction, block, state overrides, block overrides.
    fn parse(context: &Context, args: &mut Args<'_>) -> RpcResult<Self> {
        let request = args.required("transaction")?;
        let block = args.optional("block")?;
        let state_overrides = args.optional("stateOverrides")?;
        Self::new(context, request, block, state_overrides, args.optional("blockOverrides")?)
    }

    /// Checks the request and lays the overrides over the block's state.
    pub(crate) fn new(
        context: &Context,
        request: TransactionRequest,
        block: Option<BlockId>,
        state_overrides: Option<StateOverride>,
        block_overrides: Option<BlockOverrides>,
    ) -> RpcResult<Self> {
        let view = context.state(block)?;
        let header = context.header(view.number())?;
        let rules = context.backend.rules(&header);
        let mut env = BlockEnv::of(&header);
        let mut state = Overlay::new(view);
        let mut options = CallOptions::default();
        if let Some(overrides) = state_overrides {
            options.precompiles = override_state(rules, &mut state, overrides)?;
        }
        if let Some(overrides) = block_overrides {
            options.blob_base_fee = override_block(&mut env, &mut state.block_hashes, overrides)?;
        }
        let asked_gas = request.gas;
        let request = call_request(context, request)?;
        Ok(Self { request, rules, env, state, options, asked_gas })
    }

    fn run(&self, context: &Context, request: &CallRequest) -> RpcResult<CallOutcome> {
        let chain_id = context.backend.chain_id;
        Ok(call_with_options(self.rules, chain_id, self.env, &self.state, request, &self.options, NoOpInspector)?)
    }
}

/// Checks a request's fields against each other and fills in what is missing. Gas is the cap unless less is asked for.
pub(crate) fn call_request(context: &Context, request: TransactionRequest) -> RpcResult<CallRequest> {
    let chain_id = context.backend.chain_id;
    if let Some(other) = request.chain_id.filter(|id| *id != chain_id) {
        return Err(RpcError::invalid("transaction.chainId", format!("{other}, this chain is {chain_id}")));
    }
    if request.gas_price.is_some() && (request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some()) {
        let reason = "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified";
        return Err(RpcError::invalid("transaction", reason));
    }
    let cap = request.max_fee_per_gas.or(request.gas_price).unwrap_or_default();
    if let (Some(tip), Some(cap)) = (request.max_priority_fee_per_gas, request.max_fee_per_gas)
        && tip > cap
    {
        let reason = format!("{tip} is above maxFeePerGas {cap}");
        return Err(RpcError::invalid("transaction.maxPriorityFeePerGas", reason));
    }
    let input = match (request.input.input, request.input.data) {
        (Some(input), Some(data)) if input != data => {
            let reason = "both data and input are set and they differ";
            return Err(RpcError::invalid("transaction.input", reason));
        }
        (input, data) => input.or(data).unwrap_or_default(),
    };
    let blob_hashes = request.blob_versioned_hashes.unwrap_or_default();
    if context.is_rollup() && !blob_hashes.is_empty() {
        return Err(RpcError::invalid("transaction.blobVersionedHashes", "blobs (type 3) are not accepted on this Layer 2"));
    }
    Ok(CallRequest {
        from: request.from.unwrap_or_default(),
        to: request.to.unwrap_or(TxKind::Create),
        nonce: request.nonce.unwrap_or_default(),
        gas_limit: request.gas.unwrap_or(context.config.gas_cap).min(context.config.gas_cap),
        gas_price: cap,
        // A tip only means something under a cap.
        priority_fee: request.max_priority_fee_per_gas.filter(|_| cap > 0),
        value: request.value.unwrap_or_default(),
        input,
        access_list: request.access_list.unwrap_or_default(),
        authorizations: request.authorization_list.unwrap_or_default(),
        max_fee_per_blob_gas: request.max_fee_per_blob_gas.unwrap_or_default(),
        blob_hashes,
    })
}

/// Lays the overrides over `state`; returns what becomes of precompiles. One that is overridden is a plain account from then
/// on, one that is moved runs at its new address.
pub(crate) fn override_state<R>(rules: Rules, state: &mut Overlay<R>, overrides: StateOverride) -> RpcResult<PrecompileMoves>
where
    R: StateReader<Error = StoreError>,
{
    if overrides.len() > MAX_OVERRIDDEN_ACCOUNTS {
        let reason = format!("{} accounts, limit {MAX_OVERRIDDEN_ACCOUNTS}", overrides.len());
        return Err(RpcError::invalid("stateOverrides", reason));
    }
    let mut moves = PrecompileMoves::default();
    for (address, account) in overrides.iter().filter(|(address, _)| is_precompile(rules, address)) {
        if account.move_precompile_to.is_some() || account.code.is_some() {
            moves.remove(*address);
        }
    }
    for (from, account) in &overrides {
        let Some(to) = account.move_precompile_to else { continue };
        if !is_precompile(rules, from) || *from == NATIVE_TRANSFER {
            return Err(RpcError::server(format!("account {from} is not a precompile that can be moved")));
        }
        if overrides.contains_key(&to) {
            return Err(RpcError::server(format!("account {to} is already overridden")));
        }
        moves.copy(*from, to);
    }
    let mut diff = StateDiff::default();
    let mut slots = 0;
    for (address, account) in overrides {
        override_account(state, &mut diff, address, account)?;
        slots += diff.storage.get(&address).map_or(0, |storage| storage.slots.len());
        if slots > MAX_OVERRIDDEN_SLOTS {
            return Err(RpcError::invalid("stateOverrides", format!("more than {MAX_OVERRIDDEN_SLOTS} storage slots")));
        }
    }
    state.apply(diff);
    Ok(moves)
}

fn override_account<R>(state: &Overlay<R>, diff: &mut StateDiff, address: Address, changes: AccountOverride) -> RpcResult<()>
where
    R: StateReader<Error = StoreError>,
{
    let name = |field: &str| format!("stateOverrides.{address}.{field}");
    if changes.balance.is_some() || changes.nonce.is_some() || changes.code.is_some() {
        let mut account = state.account(address)?.unwrap_or_default();
        account.balance = changes.balance.unwrap_or(account.balance);
        account.nonce = changes.nonce.unwrap_or(account.nonce);
        if let Some(code) = changes.code {
            account.code_hash = keccak256(&code);
            diff.codes.insert(account.code_hash, code);
        }
        diff.accounts.insert(address, Some(account));
    }
    let (wiped, slots) = match (changes.state, changes.state_diff) {
        (Some(_), Some(_)) => return Err(RpcError::invalid(&name("state"), "state and stateDiff exclude each other")),
        (Some(state), None) => (true, state),
        (None, Some(state_diff)) => (false, state_diff),
        (None, None) => return Ok(()),
    };
    let slots = slots.into_iter().map(|(slot, value)| (slot.into(), value.into())).collect();
    diff.storage.insert(address, StorageDiff { wiped, slots });
    Ok(())
}

/// Changes the environment; returns the price of blob gas if it is overridden.
fn override_block(env: &mut BlockEnv, hashes: &mut BTreeMap<u64, B256>, overrides: BlockOverrides) -> RpcResult<Option<u128>> {
    let small = |name: &str, value: U256| {
        u64::try_from(value).map_err(|_| RpcError::invalid(&format!("blockOverrides.{name}"), "does not fit 64 bits"))
    };
    if overrides.difficulty.is_some() {
        return Err(RpcError::invalid("blockOverrides.difficulty", "there is none after the merge: use prevRandao"));
    }
    if let Some(number) = overrides.number {
        env.number = small("number", number)?;
    }
    if let Some(base_fee) = overrides.base_fee {
        env.base_fee = small("baseFeePerGas", base_fee)?;
    }
    env.timestamp = overrides.time.unwrap_or(env.timestamp);
    env.gas_limit = overrides.gas_limit.unwrap_or(env.gas_limit);
    env.beneficiary = overrides.coinbase.unwrap_or(env.beneficiary);
    env.prevrandao = overrides.random.unwrap_or(env.prevrandao);
    env.parent_beacon_block_root = overrides.beacon_root.unwrap_or(env.parent_beacon_block_root);
    hashes.extend(overrides.block_hash.unwrap_or_default());
    Ok(overrides.blob_base_fee.map(|fee| fee.saturating_to()))
}

/// The output of a call that must have succeeded.
fn output(outcome: CallOutcome) -> RpcResult<Bytes> {
    match outcome.result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(RpcError::reverted(&output)),
        ExecutionResult::Halt { reason, .. } => Err(halted(&reason)),
    }
}

pub(crate) fn halted(reason: &HaltReason) -> RpcError {
    RpcError::server(match reason {
        HaltReason::OutOfGas(_) => "out of gas".into(),
        HaltReason::OpcodeNotFound => "invalid opcode".into(),
        HaltReason::InvalidFEOpcode => "invalid opcode: INVALID".into(),
        HaltReason::StackUnderflow => "stack underflow".into(),
        HaltReason::StackOverflow => "stack overflow".into(),
        HaltReason::InvalidJump => "invalid jump destination".into(),
        HaltReason::CreateCollision => "contract address collision".into(),
        HaltReason::CallTooDeep => "max call depth exceeded".into(),
        other => format!("execution halted: {other:?}"),
    })
}

/// The least gas limit with which the call succeeds, by binary search as in geth, within [`ESTIMATE_TOLERANCE`].
pub(crate) fn estimate(context: &Context, call: &Prepared) -> RpcResult<u64> {
    let deadline = Instant::now() + context.config.timeout;
    let mut high = call.asked_gas.unwrap_or(call.env.gas_limit).min(context.config.gas_cap);
    let mut request = call.request.clone();
    if request.gas_price > 0 {
        high = high.min(affordable_gas(&call.state, &request)?);
    }
    let is_transfer = request.input.is_empty() && request.authorizations.is_empty() && request.access_list.0.is_empty();
    if is_transfer && high >= TRANSFER_GAS && has_no_code(call, request.to)? {
        request.gas_limit = TRANSFER_GAS;
        if call.run(context, &request).is_ok_and(|outcome| outcome.result.is_success()) {
            return Ok(TRANSFER_GAS);
        }
    }
    request.gas_limit = high;
    let outcome = call.run(context, &request)?;
    let gas = *outcome.result.gas();
    match outcome.result {
        ExecutionResult::Success { .. } => {}
        ExecutionResult::Revert { output, .. } => return Err(RpcError::reverted(&output)),
        ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. } => {
            return Err(RpcError::server(format!("gas required exceeds allowance ({high})")));
        }
        ExecutionResult::Halt { reason, .. } => return Err(halted(&reason)),
    }
    // What was spent, less one, cannot be enough; a 64th stays behind at each call, and refunds come last.
    let mut low = gas.tx_gas_used().saturating_sub(1);
    let optimistic = (gas.total_gas_spent() + CALL_STIPEND) / 63 * 64;
    let mut middle = if optimistic > low && optimistic < high { optimistic } else { low + (high - low) / 2 };
    while low + 1 < high {
        if (high - low) as f64 / (high as f64) < ESTIMATE_TOLERANCE {
            break;
        }
        if Instant::now() > deadline {
            return Err(RpcError::limit("estimation timed out: give a gas limit"));
        }
        request.gas_limit = middle;
        // With too little gas even for the intrinsic cost the call is refused: that is a failure like any other.
        let works = call.run(context, &request).is_ok_and(|outcome| outcome.result.is_success());
        if works {
            high = middle;
        } else {
            low = middle;
        }
        // Most transactions need little more than they spend: stay near the lower end.
        middle = (low + (high - low) / 2).min(low.saturating_mul(2));
    }
    Ok(high)
}

/// Gas the sender can pay for after the value.
fn affordable_gas(state: &CallState, request: &CallRequest) -> RpcResult<u64> {
    let balance = state.account(request.from)?.unwrap_or_default().balance;
    let left = balance.checked_sub(request.value).ok_or_else(|| {
        let (value, from) = (request.value, request.from);
        RpcError::server(format!("insufficient funds for transfer: value {value}, balance {balance} of {from}"))
    })?;
    Ok((left / U256::from(request.gas_price)).saturating_to())
}

fn has_no_code(call: &Prepared, to: TxKind) -> RpcResult<bool> {
    let TxKind::Call(address) = to else { return Ok(false) };
    let account = call.state.account(address)?;
    let is_plain = account.is_none_or(|account| account.code_hash == alloy_primitives::KECCAK256_EMPTY);
    Ok(is_plain && !is_precompile(call.rules, &address))
}

/// Accounts and slots the call touches, and what it uses with them declared. Sender, callee and beneficiary are warm anyway.
fn access_list(context: &Context, call: &Prepared) -> RpcResult<AccessListResult> {
    let mut request = call.request.clone();
    let first = call.run(context, &request)?;
    let created = match request.to {
        TxKind::Create => {
            let nonce = call.state.account(request.from)?.unwrap_or_default().nonce;
            Some(request.from.create(nonce))
        }
        TxKind::Call(to) => Some(to),
    };
    let warm = [Some(request.from), created, Some(call.env.beneficiary)];
    let mut touched: Vec<AccessListItem> = Vec::new();
    for (address, account) in &first.state {
        let mut storage_keys: Vec<B256> = account.storage.keys().map(|slot| B256::from(*slot)).collect();
        storage_keys.sort_unstable();
        if is_precompile(call.rules, address) || (storage_keys.is_empty() && warm.contains(&Some(*address))) {
            continue;
        }
        touched.push(AccessListItem { address: *address, storage_keys });
    }
    touched.sort_unstable_by_key(|item| item.address);
    request.access_list = AccessList(touched);
    let second = call.run(context, &request)?;
    let gas_used = U256::from(second.result.gas().tx_gas_used());
    let error = output(second).err().map(|error| error.message);
    Ok(AccessListResult { access_list: request.access_list, gas_used, error })
}
