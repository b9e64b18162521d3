//! How one transaction runs: Ethereum's rules, with the rollup's where they differ.

use crate::{InvalidTx, Rules, tx::DEPOSIT};
use alloy_primitives::{Address, U256};
use core::marker::PhantomData;
use oceanid_primitives::predeploys::FEE_VAULT;
use revm::Database;
use revm::context::BlockEnv;
use revm::context::result::{EVMError, HaltReason, InvalidTransaction, OutOfGasError, ResultGas};
use revm::context_interface::journaled_state::account::JournaledAccountTr;
use revm::context_interface::result::ExecutionResult;
use revm::context_interface::{Block, Cfg, ContextSetters, ContextTr, JournalTr, LocalContextTr, Transaction};
use revm::handler::pre_execution::{calculate_caller_fee, validate_account_nonce_and_code_with_components};
use revm::handler::{EthFrame, EvmTr, FrameResult, FrameTr, Handler, post_execution, pre_execution, validation};
use revm::inspector::{Inspector, InspectorEvmTr, InspectorHandler};
use revm::interpreter::InitialAndFloorGas;
use revm::interpreter::interpreter::EthInterpreter;
use revm::state::EvmState;

/// What the handler knows of the current transaction beyond Ethereum's fields.
#[derive(Clone, Copy, Debug)]
pub struct TxContext {
    pub(crate) rules: Rules,
    /// Wei minted to a deposit's sender.
    pub(crate) mint: u128,
    /// Wei of L1 data fee.
    pub(crate) l1_fee: u128,
    /// The transaction is not held to the base fee.
    pub(crate) free: bool,
}

impl TxContext {
    pub(crate) const fn new(rules: Rules) -> Self {
        Self { rules, mint: 0, l1_fee: 0, free: false }
    }
}

type Error<EVM> = EVMError<<<<EVM as EvmTr>::Context as ContextTr>::Db as Database>::Error, InvalidTx>;

/// Runs one transaction under the rules in its [`TxContext`].
#[derive(Debug)]
pub(crate) struct RulesHandler<EVM>(PhantomData<EVM>);

impl<EVM> RulesHandler<EVM> {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<EVM> Handler for RulesHandler<EVM>
where
    EVM: EvmTr<
            Context: ContextTr<Block = BlockEnv, Chain = TxContext, Journal: JournalTr<State = EvmState>>
                         + ContextSetters<Block = BlockEnv>,
            Frame = EthFrame<EthInterpreter>,
        >,
{
    type Evm = EVM;
    type Error = Error<EVM>;
    type HaltReason = HaltReason;

    fn validate_env(&self, evm: &mut EVM) -> Result<(), Self::Error> {
        let (_, tx, cfg, _, _, chain, _) = evm.ctx_ref().all();
        match (tx.tx_type(), chain.rules) {
            (DEPOSIT, Rules::Ethereum(_)) => Err(EVMError::Transaction(InvalidTx::Deposit)),
            (DEPOSIT, Rules::Rollup(_)) => {
                // A deposit has no fees, nonce or chain id to check; its init code is limited as anyone's (EIP-3860).
                if tx.kind().is_create() && tx.input().len() > cfg.max_initcode_size() {
                    return Err(InvalidTransaction::CreateInitCodeSizeLimit.into());
                }
                Ok(())
            }
            (alloy_consensus::constants::EIP4844_TX_TYPE_ID, Rules::Rollup(_)) => Err(EVMError::Transaction(InvalidTx::Blob)),
            _ if chain.free => {
                let ctx = evm.ctx();
                let block = ctx.block().clone();
                ctx.set_block(BlockEnv { basefee: 0, ..block.clone() });
                let valid = validation::validate_env(&mut *ctx);
                ctx.set_block(block);
                valid
            }
            _ => validation::validate_env(evm.ctx()),
        }
    }

    fn validate_against_state_and_deduct_caller(&self, evm: &mut EVM, _gas: &mut InitialAndFloorGas) -> Result<(), Self::Error> {
        let ctx = evm.ctx();
        if ctx.tx().tx_type() == DEPOSIT {
            return begin_deposit(ctx);
        }
        let l1_fee = ctx.chain().l1_fee;
        if l1_fee == 0 {
            return pre_execution::validate_against_state_and_deduct_caller(ctx);
        }
        let (block, tx, cfg, journal, _, _) = ctx.all_mut();
        let mut sender = journal.load_account_with_code_mut(tx.caller())?.data;
        validate_account_nonce_and_code_with_components(&sender.account().info, tx, cfg)?;
        let balance = *sender.balance();
        tx.ensure_enough_balance(balance)?;
        let cost = tx.max_balance_spending()?;
        let too_much = || EVMError::Transaction(InvalidTx::L1Fee { cost, l1_fee, balance });
        let after_l1_fee = balance.checked_sub(U256::from(l1_fee)).ok_or_else(too_much)?;
        let left = calculate_caller_fee(after_l1_fee, tx, block, cfg).map_err(|_| too_much())?;
        sender.set_balance(left);
        if tx.kind().is_call() {
            sender.bump_nonce();
        }
        Ok(())
    }

    fn reimburse_caller(&self, evm: &mut EVM, result: &mut FrameResult) -> Result<(), Self::Error> {
        let ctx = evm.ctx();
        if ctx.tx().tx_type() == DEPOSIT {
            return Ok(());
        }
        Ok(post_execution::reimburse_caller(ctx, result.gas(), U256::ZERO)?)
    }

    fn reward_beneficiary(&self, evm: &mut EVM, result: &mut FrameResult) -> Result<(), Self::Error> {
        let ctx = evm.ctx();
        if !ctx.chain().rules.is_rollup() {
            return Ok(post_execution::reward_beneficiary(ctx, result.gas())?);
        }
        if ctx.tx().tx_type() == DEPOSIT {
            return Ok(());
        }
        let price = ctx.tx().effective_gas_price(u128::from(ctx.block().basefee()));
        // Neither product nor sum overflows: the sender's balance covered both.
        let fee = U256::from(price) * U256::from(result.gas().used()) + U256::from(ctx.chain().l1_fee);
        ctx.journal_mut().load_account_mut(FEE_VAULT)?.incr_balance(fee);
        Ok(())
    }

    /// An invalid transaction leaves no trace; an invalid deposit is part of the block all the same.
    fn catch_error(&self, evm: &mut EVM, error: Self::Error) -> Result<ExecutionResult<HaltReason>, Self::Error> {
        let ctx = evm.ctx();
        ctx.local_mut().clear();
        ctx.journal_mut().discard_tx();
        evm.frame_stack().clear();
        let ctx = evm.ctx();
        match &error {
            EVMError::Transaction(InvalidTx::Evm(reason)) if ctx.tx().tx_type() == DEPOSIT => {
                let gas_used = ctx.tx().gas_limit();
                fail_deposit(ctx, halt_reason(reason), gas_used)
            }
            _ => Err(error),
        }
    }
}

impl<EVM> InspectorHandler for RulesHandler<EVM>
where
    EVM: InspectorEvmTr<
            Context: ContextTr<Block = BlockEnv, Chain = TxContext, Journal: JournalTr<State = EvmState>>
                         + ContextSetters<Block = BlockEnv>,
            Frame = EthFrame<EthInterpreter>,
            Inspector: Inspector<<EVM as EvmTr>::Context, EthInterpreter>,
        >,
    EthFrame<EthInterpreter>: FrameTr,
{
    type IT = EthInterpreter;
}

/// Mints, checks that the value can be sent, and bumps the nonce (creation bumps it itself).
fn begin_deposit<CTX: ContextTr<Chain = TxContext>>(
    ctx: &mut CTX,
) -> Result<(), EVMError<<CTX::Db as Database>::Error, InvalidTx>> {
    let (_, tx, _, journal, chain, _) = ctx.all_mut();
    let mut sender = journal.load_account_with_code_mut(tx.caller())?.data;
    mint(&mut sender, chain.mint);
    if tx.value() > *sender.balance() {
        let (fee, balance) = (tx.value().into(), (*sender.balance()).into());
        return Err(InvalidTransaction::LackOfFundForMaxFee { fee, balance }.into());
    }
    if tx.kind().is_call() {
        sender.bump_nonce();
    }
    Ok(())
}

fn mint(account: &mut impl JournaledAccountTr, amount: u128) {
    // Saturates: the supply stays far below 2^256 wei, since L1 escrows what is minted here.
    let balance = account.balance().saturating_add(U256::from(amount));
    account.set_balance(balance);
}

/// Records a deposit that could not run: the mint is kept, the nonce rises, nothing else happens (OP Stack, Regolith).
/// The journal must hold no open transaction.
pub(crate) fn fail_deposit<CTX: ContextTr<Chain = TxContext>>(
    ctx: &mut CTX,
    reason: HaltReason,
    gas_used: u64,
) -> Result<ExecutionResult<HaltReason>, EVMError<<CTX::Db as Database>::Error, InvalidTx>> {
    let (_, tx, _, journal, chain, _) = ctx.all_mut();
    let from: Address = tx.caller();
    let mut sender = journal.load_account_mut(from)?.data;
    mint(&mut sender, chain.mint);
    sender.bump_nonce();
    drop(sender);
    journal.commit_tx();
    let gas = ResultGas::default().with_total_gas_spent(gas_used);
    Ok(ExecutionResult::Halt { reason, gas, logs: Default::default() })
}

fn halt_reason(reason: &InvalidTransaction) -> HaltReason {
    match reason {
        InvalidTransaction::CallGasCostMoreThanGasLimit { .. } | InvalidTransaction::GasFloorMoreThanGasLimit { .. } => {
            HaltReason::OutOfGas(OutOfGasError::Basic)
        }
        InvalidTransaction::CreateInitCodeSizeLimit => HaltReason::CreateInitCodeSizeLimit,
        _ => HaltReason::OutOfFunds,
    }
}
