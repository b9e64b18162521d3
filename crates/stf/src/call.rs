//! Executing outside of a block: `eth_call`, gas estimation, access lists, and replaying one transaction under a tracer.

use crate::executor::{EvmContext, config, machine, tx_error};
use crate::handler::{RulesHandler, fail_deposit};
use crate::precompile::{PrecompileMoves, Precompiles};
use crate::tx::tx_env;
use crate::{BlockEnv, InvalidTx, L1Prices, Rules, StateDiff, StateReader, TxError, l1_data_fee};
use alloc::vec::Vec;
use alloy_consensus::Transaction;
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::AccessList;
use alloy_eips::eip7702::SignedAuthorization;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use oceanid_primitives::{TxEnvelope, TxType};
use revm::context::TxEnv;
use revm::context::either::Either;
use revm::context::result::{ExecutionResult, HaltReason, OutOfGasError};
use revm::context_interface::JournalTr;
use revm::inspector::{Inspector, InspectorHandler, NoOpInspector};
use revm::interpreter::interpreter::EthInterpreter;
use revm::state::EvmState;

/// An unsigned call. The nonce is not checked and the sender may be a contract (EIP-3607 is off); the balance must cover the
/// value, and gas too when a price is given. No L1 data fee is charged: there is no signed transaction to measure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallRequest {
    /// The sender.
    pub from: Address,
    /// The callee, or creation.
    pub to: TxKind,
    /// Gas limit; the block's limit does not bound it, so the caller of this crate must.
    pub gas_limit: u64,
    /// The sender's nonce; looked at under [`CallMode::Strict`] only.
    pub nonce: u64,
    /// Price or fee cap, wei per gas. Zero: gas is free.
    pub gas_price: u128,
    /// Priority fee, wei per gas.
    pub priority_fee: Option<u128>,
    /// Wei sent along.
    pub value: U256,
    /// Calldata or init code.
    pub input: Bytes,
    /// EIP-2930.
    pub access_list: AccessList,
    /// EIP-7702.
    pub authorizations: Vec<SignedAuthorization>,
    /// EIP-4844 (Ethereum rules only).
    pub blob_hashes: Vec<B256>,
    /// EIP-4844, wei per blob gas.
    pub max_fee_per_blob_gas: u128,
}

/// How far a call is held to the rules of a signed transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallMode {
    /// Without a price gas is free, and `BASEFEE` and `GASPRICE` read zero, as in geth's `eth_call`.
    #[default]
    Free,
    /// Without a price gas is free, and `BASEFEE` reads what the block has, as in `eth_simulateV1`.
    Simulated,
    /// Nonce and base fee are checked as of a transaction in a block.
    Strict,
}

/// What a call changes of the machine it runs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// Which checks are made.
    pub mode: CallMode,
    /// Precompiles that are not where they are otherwise.
    pub precompiles: PrecompileMoves,
    /// Price of blob gas, wei, if not the one that follows from the block's excess.
    pub blob_base_fee: Option<u128>,
}

/// What a call or a replayed transaction did.
#[derive(Clone, Debug)]
pub struct CallOutcome {
    /// revm's result: output, gas, logs.
    pub result: ExecutionResult<HaltReason>,
    /// revm's state after it: every account and slot touched, as state tracers want it.
    pub state: EvmState,
    /// The changes, ready for [`crate::Overlay::apply`].
    pub diff: StateDiff,
    /// L1 data fee charged, wei of the gas token; zero for calls.
    pub l1_fee: u128,
}

/// Executes an unsigned call over `reader`: the state the call sees, which for a block tag is the state after that block.
pub fn call<R: StateReader>(
    rules: Rules,
    chain_id: u64,
    env: BlockEnv,
    reader: &R,
    request: &CallRequest,
) -> Result<CallOutcome, TxError<R::Error>> {
    call_with_inspector(rules, chain_id, env, reader, request, NoOpInspector)
}

/// As [`call`], under an inspector (pass `&mut inspector` to keep it).
pub fn call_with_inspector<'a, R: StateReader, I: Inspector<EvmContext<'a, R>, EthInterpreter>>(
    rules: Rules,
    chain_id: u64,
    env: BlockEnv,
    reader: &'a R,
    request: &CallRequest,
    inspector: I,
) -> Result<CallOutcome, TxError<R::Error>> {
    call_with_options(rules, chain_id, env, reader, request, &CallOptions::default(), inspector)
}

/// As [`call_with_inspector`], with checks and precompiles of the caller's choice.
pub fn call_with_options<'a, R: StateReader, I: Inspector<EvmContext<'a, R>, EthInterpreter>>(
    rules: Rules,
    chain_id: u64,
    mut env: BlockEnv,
    reader: &'a R,
    request: &CallRequest,
    options: &CallOptions,
    inspector: I,
) -> Result<CallOutcome, TxError<R::Error>> {
    let mut config = config(rules, chain_id);
    config.disable_nonce_check = options.mode != CallMode::Strict;
    config.disable_eip3607 = true;
    config.disable_block_gas_limit = true;
    config.tx_gas_limit_cap = Some(u64::MAX);
    if request.gas_price == 0 {
        match options.mode {
            CallMode::Free => env.base_fee = 0,
            CallMode::Simulated | CallMode::Strict => {}
        }
    }
    let mut machine = machine(rules, config, env, reader, inspector);
    machine.ctx.chain.free = options.mode == CallMode::Simulated && request.gas_price == 0;
    machine.precompiles = Precompiles::new(rules, options.precompiles.clone());
    if let (Some(fee), Some(blobs)) = (options.blob_base_fee, &mut machine.ctx.block.blob_excess_gas_and_price) {
        blobs.blob_gasprice = fee;
    }
    machine.ctx.tx = request.tx_env(chain_id);
    if options.mode != CallMode::Strict {
        // It would be refused at its highest value even where nobody compares it.
        machine.ctx.tx.nonce = 0;
    }
    let result = RulesHandler::new().inspect_run(&mut machine).map_err(tx_error)?;
    let state = machine.ctx.journaled_state.finalize();
    let diff = machine.ctx.journaled_state.database.diff(&state);
    Ok(CallOutcome { result, state, diff, l1_fee: 0 })
}

/// Executes one transaction of a block over the state just before it, under an inspector, with every check of a block on.
///
/// To trace transaction `n`: begin with what [`crate::BlockExecutor::new`] did (its diff is the block-start system calls),
/// then replay `0..=n`, applying each diff to an [`crate::Overlay`]. `gas_left` is what the transactions before it left of the
/// block's gas limit: a deposit above it is recorded without running, a signed transaction above it is an error.
pub fn replay<'a, R: StateReader, I: Inspector<EvmContext<'a, R>, EthInterpreter>>(
    rules: Rules,
    chain_id: u64,
    env: BlockEnv,
    reader: &'a R,
    gas_left: u64,
    tx: &TxEnvelope,
    sender: Address,
    inspector: I,
) -> Result<CallOutcome, TxError<R::Error>> {
    let deposit = tx.as_deposit();
    let fits = tx.gas_limit() <= gas_left;
    if !fits && deposit.is_none() {
        return Err(TxError::GasLimit { limit: tx.gas_limit(), left: gas_left });
    }
    let l1_fee = match rules {
        Rules::Rollup(rollup) if deposit.is_none() && !rollup.l1_data_fee.is_free() => {
            let prices = L1Prices::read(reader).map_err(TxError::State)?;
            l1_data_fee(&rollup.l1_data_fee, &prices, &tx.encoded_2718())
        }
        _ => 0,
    };
    if deposit.is_some() && !rules.is_rollup() {
        return Err(TxError::Invalid(InvalidTx::Deposit));
    }
    let mut machine = machine(rules, config(rules, chain_id), env, reader, inspector);
    machine.ctx.tx = tx_env(tx, sender);
    machine.ctx.chain.l1_fee = l1_fee;
    machine.ctx.chain.mint = deposit.map_or(0, |deposit| deposit.mint);
    let result = if fits {
        RulesHandler::new().inspect_run(&mut machine)
    } else {
        fail_deposit(&mut machine.ctx, HaltReason::OutOfGas(OutOfGasError::Basic), 0)
    }
    .map_err(tx_error)?;
    let state = machine.ctx.journaled_state.finalize();
    let diff = machine.ctx.journaled_state.database.diff(&state);
    Ok(CallOutcome { result, state, diff, l1_fee })
}

impl CallRequest {
    fn tx_env(&self, chain_id: u64) -> TxEnv {
        let tx_type = if !self.authorizations.is_empty() {
            TxType::Eip7702
        } else if !self.blob_hashes.is_empty() {
            TxType::Eip4844
        } else if self.priority_fee.is_some() {
            TxType::Eip1559
        } else if !self.access_list.0.is_empty() {
            TxType::Eip2930
        } else {
            TxType::Legacy
        };
        TxEnv {
            tx_type: tx_type as u8,
            caller: self.from,
            gas_limit: self.gas_limit,
            gas_price: self.gas_price,
            kind: self.to,
            value: self.value,
            data: self.input.clone(),
            nonce: self.nonce,
            chain_id: Some(chain_id),
            access_list: self.access_list.clone(),
            gas_priority_fee: self.priority_fee,
            blob_hashes: self.blob_hashes.clone(),
            max_fee_per_blob_gas: self.max_fee_per_blob_gas,
            authorization_list: self.authorizations.iter().cloned().map(Either::Left).collect(),
        }
    }
}
