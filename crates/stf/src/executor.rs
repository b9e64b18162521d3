//! Executing a block: one journal from the first system call to the last transaction.

use crate::epoch::{missed_leaders, record_call};
use crate::handler::{RulesHandler, TxContext, fail_deposit};
use crate::precompile::{PrecompileMoves, Precompiles};
use crate::tx::tx_env;
use crate::{BlockEnv, Db, Fork, InvalidTx, L1Prices, ReadError, Rules, StateDiff, StateReader, TxError, l1_data_fee};
use alloc::vec::Vec;
use alloy_consensus::Transaction;
use alloy_eips::eip2718::{Encodable2718, Typed2718};
use alloy_eips::eip4788::BEACON_ROOTS_ADDRESS;
use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use alloy_eips::eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
use alloy_eips::eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS;
use alloy_eips::eip7685::Requests;
use alloy_primitives::{Address, Bytes, U256};
use oceanid_primitives::predeploys::{EPOCH_LEDGER, HISTORY_STORAGE, L1_BLOCK_INFO};
use oceanid_primitives::{Receipt, TxEnvelope};
use revm::context::result::{EVMError, ExecutionResult, HaltReason, OutOfGasError};
use revm::context::{CfgEnv, Context, Evm, Journal, TxEnv};
use revm::context_interface::JournalTr;
use revm::handler::instructions::EthInstructions;
use revm::handler::{EthFrame, Handler, SystemCallTx};
use revm::inspector::{Inspector, InspectorHandler};
use revm::interpreter::interpreter::EthInterpreter;
use revm::primitives::hardfork::SpecId;

/// What the EVM runs in: revm's context over a [`StateReader`]. Inspectors are generic over it.
pub type EvmContext<'a, R> = Context<revm::context::BlockEnv, TxEnv, CfgEnv, Db<'a, R>, Journal<Db<'a, R>>, TxContext>;

/// The machine: context, inspector, instructions, precompiles.
pub(crate) type Machine<'a, R, I> =
    Evm<EvmContext<'a, R>, I, EthInstructions<EthInterpreter, EvmContext<'a, R>>, Precompiles, EthFrame<EthInterpreter>>;

/// Gas of a system call (EIP-2935, EIP-4788, the epoch ledger); not counted in the block.
const SYSTEM_CALL_GAS: u64 = 30_000_000;

/// Executes one block's transactions in order over `reader`, holding all changes in one journal.
///
/// `I` is the inspector that [`BlockExecutor::inspect`] calls; the default does nothing and costs nothing.
pub struct BlockExecutor<'a, R: StateReader, I = ()> {
    machine: Machine<'a, R, I>,
    env: BlockEnv,
    receipts: Vec<Receipt>,
    gas_used: u64,
    blob_gas_used: u64,
    l1_fees: u128,
    /// L1 prices; forgotten after each deposit, since only deposits can change them.
    prices: Option<L1Prices>,
}

impl<R: StateReader, I> core::fmt::Debug for BlockExecutor<'_, R, I> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BlockExecutor")
            .field("number", &self.env.number)
            .field("transactions", &self.receipts.len())
            .field("gas_used", &self.gas_used)
            .finish_non_exhaustive()
    }
}

/// What one executed transaction did; its [`Receipt`] is the last one of [`BlockExecutor::receipts`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// False when execution reverted or halted.
    pub success: bool,
    /// Gas used by this transaction.
    pub gas_used: u64,
    /// L1 data fee paid, wei of the gas token.
    pub l1_fee: u128,
    /// Return or revert data; for a creation the code.
    pub output: Bytes,
    /// The contract created, if any.
    pub created: Option<Address>,
    /// Why it halted, if it did.
    pub halt: Option<HaltReason>,
}

/// All that a block's execution yields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutionOutput {
    /// One receipt for each transaction.
    pub receipts: Vec<Receipt>,
    /// Gas used by all transactions.
    pub gas_used: u64,
    /// Blob gas used by all transactions; zero on Layer 2.
    pub blob_gas_used: u64,
    /// Sum of the L1 data fees, wei of the gas token.
    pub l1_fees: u128,
    /// State changes.
    pub diff: StateDiff,
}

impl<'a, R: StateReader> BlockExecutor<'a, R> {
    /// Begins a block over the state after its parent: runs the system calls.
    pub fn new(rules: Rules, chain_id: u64, env: BlockEnv, reader: &'a R) -> Result<Self, TxError<R::Error>> {
        Self::with_inspector(rules, chain_id, env, reader, ())
    }

    /// Goes on with a block over the state after its system calls and some of its transactions.
    pub fn resume(rules: Rules, chain_id: u64, env: BlockEnv, reader: &'a R) -> Self {
        Self::open(rules, chain_id, env, reader, ())
    }
}

impl<'a, R: StateReader, I> BlockExecutor<'a, R, I> {
    /// As [`BlockExecutor::new`], with an inspector for [`BlockExecutor::inspect`]. System calls are not inspected.
    pub fn with_inspector(
        rules: Rules,
        chain_id: u64,
        env: BlockEnv,
        reader: &'a R,
        inspector: I,
    ) -> Result<Self, TxError<R::Error>> {
        let mut executor = Self::open(rules, chain_id, env, reader, inspector);
        executor.start(rules)?;
        Ok(executor)
    }

    fn open(rules: Rules, chain_id: u64, env: BlockEnv, reader: &'a R, inspector: I) -> Self {
        Self {
            machine: machine(rules, config(rules, chain_id), env, reader, inspector),
            env,
            receipts: Vec::new(),
            gas_used: 0,
            blob_gas_used: 0,
            l1_fees: 0,
            prices: None,
        }
    }

    /// The system calls before the first transaction.
    fn start(&mut self, rules: Rules) -> Result<(), TxError<R::Error>> {
        let (env, spec) = (self.env, rules.fork().spec);
        if env.number == 0 {
            return Ok(());
        }
        if spec.is_enabled_in(SpecId::PRAGUE) {
            self.system_call(HISTORY_STORAGE, env.parent_hash.into())?;
        }
        if rules.is_rollup() {
            let reader = self.machine.ctx.journaled_state.database.reader();
            let missed = missed_leaders(reader, &env.extension).map_err(TxError::State)?;
            self.system_call(EPOCH_LEDGER, record_call(&env.extension, &missed))?;
        } else if spec.is_enabled_in(SpecId::CANCUN) {
            self.system_call(BEACON_ROOTS_ADDRESS, env.parent_beacon_block_root.into())?;
        }
        Ok(())
    }

    /// Makes room for so many more transactions, so that nothing has to grow and move on the way.
    pub fn reserve(&mut self, transactions: usize) {
        // Sender and receiver.
        let accounts = 2 * transactions;
        self.receipts.reserve(transactions);
        self.machine.ctx.journaled_state.state.reserve(accounts);
        self.machine.ctx.journaled_state.database.reserve(accounts);
    }

    /// Executes the next transaction, sent by `sender`: the caller has recovered it from the signature (for a deposit it is
    /// not looked at).
    pub fn execute(&mut self, tx: &TxEnvelope, sender: Address) -> Result<Outcome, TxError<R::Error>> {
        self.run(tx, sender, |machine| RulesHandler::new().run(machine))
    }

    /// Executes the next transaction under the inspector.
    pub fn inspect(&mut self, tx: &TxEnvelope, sender: Address) -> Result<Outcome, TxError<R::Error>>
    where
        I: Inspector<EvmContext<'a, R>, EthInterpreter>,
    {
        self.run(tx, sender, |machine| RulesHandler::new().inspect_run(machine))
    }

    /// The inspector.
    pub const fn inspector_mut(&mut self) -> &mut I {
        &mut self.machine.inspector
    }

    /// Gas not yet used.
    pub const fn gas_left(&self) -> u64 {
        self.env.gas_limit.saturating_sub(self.gas_used)
    }

    /// Receipts so far.
    pub fn receipts(&self) -> &[Receipt] {
        &self.receipts
    }

    /// The block's environment.
    pub const fn env(&self) -> &BlockEnv {
        &self.env
    }

    /// Runs the system calls behind a block's last transaction that collect requests to the consensus layer: withdrawals
    /// (EIP-7002) and consolidations (EIP-7251). Without those contracts, as on the embedded L1, there are none. Deposit
    /// requests (EIP-6110) are made of logs and not collected here.
    pub fn requests(&mut self) -> Result<Requests, TxError<R::Error>> {
        let mut requests = Requests::default();
        for (kind, contract) in [(1, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS), (2, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS)] {
            let output = self.system_call(contract, Bytes::new())?;
            if !output.is_empty() {
                requests.push_request_with_type(kind, output);
            }
        }
        Ok(requests)
    }

    /// Ends the block.
    pub fn finish(mut self) -> ExecutionOutput {
        let state = self.machine.ctx.journaled_state.finalize();
        ExecutionOutput {
            diff: self.machine.ctx.journaled_state.database.diff(&state),
            receipts: self.receipts,
            gas_used: self.gas_used,
            blob_gas_used: self.blob_gas_used,
            l1_fees: self.l1_fees,
        }
    }

    fn run(
        &mut self,
        tx: &TxEnvelope,
        sender: Address,
        run: impl FnOnce(&mut Machine<'a, R, I>) -> RunResult<R::Error>,
    ) -> Result<Outcome, TxError<R::Error>> {
        let deposit = tx.as_deposit();
        let fits = tx.gas_limit() <= self.gas_left();
        if !fits && deposit.is_none() {
            return Err(TxError::GasLimit { limit: tx.gas_limit(), left: self.gas_left() });
        }
        let blobs = tx.blob_versioned_hashes().map_or(0, <[_]>::len) as u64;
        let is_rollup = self.machine.ctx.chain.rules.is_rollup();
        if blobs > 0 && !is_rollup {
            let schedule = self.machine.ctx.chain.rules.fork().blobs;
            let left = (schedule.max_blob_gas_per_block() - self.blob_gas_used) / DATA_GAS_PER_BLOB;
            // More than a block can hold is invalid for good, and said so by the validation below.
            if blobs > left && blobs <= schedule.max_blob_count {
                return Err(TxError::BlobLimit { blobs, left });
            }
        }

        let l1_fee = if deposit.is_some() { 0 } else { self.l1_fee(tx)? };
        let ctx = &mut self.machine.ctx;
        ctx.chain.l1_fee = l1_fee;
        ctx.chain.mint = deposit.map_or(0, |deposit| deposit.mint);
        ctx.tx = tx_env(tx, sender);

        let mut deposit_nonce = None;
        if let Some(deposit) = deposit.filter(|_| is_rollup) {
            let nonce = self.peek_nonce(deposit.from)?;
            deposit_nonce = Some(nonce);
            self.prices = None;
        }
        let result = if fits || !is_rollup {
            run(&mut self.machine)
        } else {
            // Derivation put it here and nobody may leave it out: it is recorded as failed, without gas.
            fail_deposit(&mut self.machine.ctx, HaltReason::OutOfGas(OutOfGasError::Basic), 0)
        }
        .map_err(tx_error)?;

        let gas_used = result.tx_gas_used();
        self.gas_used += gas_used;
        self.blob_gas_used += blobs * DATA_GAS_PER_BLOB;
        self.l1_fees = self.l1_fees.saturating_add(l1_fee);
        let (outcome, logs) = outcome(result, gas_used, l1_fee);
        self.receipts.push(Receipt {
            tx_type: tx.ty(),
            success: outcome.success,
            cumulative_gas_used: self.gas_used,
            logs,
            deposit_nonce,
            l1_fee,
        });
        Ok(outcome)
    }

    /// The L1 data fee of `tx` at the prices in force, wei.
    fn l1_fee(&mut self, tx: &TxEnvelope) -> Result<u128, TxError<R::Error>> {
        let Rules::Rollup(rules) = self.machine.ctx.chain.rules else { return Ok(0) };
        if rules.l1_data_fee.is_free() {
            return Ok(0);
        }
        let prices = match self.prices {
            Some(prices) => prices,
            None => *self.prices.insert(L1Prices::read_with(|slot| self.machine.peek_storage(L1_BLOCK_INFO, slot))?),
        };
        Ok(l1_data_fee(&rules.l1_data_fee, &prices, &tx.encoded_2718()))
    }

    /// An account's nonce at this point of the block.
    fn peek_nonce(&self, address: Address) -> Result<u64, TxError<R::Error>> {
        let journal = &self.machine.ctx.journaled_state;
        match journal.state.get(&address) {
            // A self-destruct of an earlier transaction takes effect when the account is next loaded.
            Some(account) if account.is_selfdestructed_locally() => Ok(0),
            Some(account) => Ok(account.info.nonce),
            None => Ok(journal.database.reader().account(address).map_err(TxError::State)?.map_or(0, |account| account.nonce)),
        }
    }

    /// A call by [`SYSTEM_ADDRESS`](oceanid_primitives::predeploys::SYSTEM_ADDRESS): outside of the block's gas, without a receipt.
    fn system_call(&mut self, contract: Address, input: Bytes) -> Result<Bytes, TxError<R::Error>> {
        let mut tx = TxEnv::new_system_tx(contract, input);
        tx.gas_limit = SYSTEM_CALL_GAS;
        self.machine.ctx.tx = tx;
        let result = RulesHandler::new().run_system_call(&mut self.machine).map_err(tx_error)?;
        let ExecutionResult::Success { output, .. } = result else { return Err(TxError::SystemCall(contract)) };
        Ok(output.into_data())
    }
}

/// Reading a slot of the running block without leaving a trace in the journal.
trait Peek<E: core::fmt::Debug + core::fmt::Display> {
    fn peek_storage(&self, address: Address, slot: U256) -> Result<U256, TxError<E>>;
}

impl<R: StateReader, I> Peek<R::Error> for Machine<'_, R, I> {
    fn peek_storage(&self, address: Address, slot: U256) -> Result<U256, TxError<R::Error>> {
        let journal = &self.ctx.journaled_state;
        match journal.state.get(&address).and_then(|account| account.storage.get(&slot)) {
            Some(slot) => Ok(slot.present_value),
            None => journal.database.reader().storage(address, slot).map_err(TxError::State),
        }
    }
}

pub(crate) type RunResult<E> = Result<ExecutionResult<HaltReason>, EVMError<ReadError<E>, InvalidTx>>;

/// The fork's rules, with every check of a block on.
pub(crate) fn config(rules: Rules, chain_id: u64) -> CfgEnv {
    let Fork { spec, blobs } = rules.fork();
    let mut config = CfgEnv::new_with_spec(spec);
    config.chain_id = chain_id;
    config.tx_chain_id_check = true;
    config.max_blobs_per_tx = Some(blobs.max_blobs_per_tx);
    config
}

pub(crate) fn machine<R: StateReader, I>(
    rules: Rules,
    config: CfgEnv,
    env: BlockEnv,
    reader: &R,
    inspector: I,
) -> Machine<'_, R, I> {
    let Fork { spec, blobs } = rules.fork();
    let mut journal = Journal::new(Db::new(reader, (env.number.wrapping_sub(1), env.parent_hash), spec));
    journal.set_spec_id(spec);
    let context = Context {
        block: env.to_revm(blobs),
        tx: TxEnv::default(),
        cfg: config,
        journaled_state: journal,
        chain: TxContext::new(rules),
        local: Default::default(),
        error: Ok(()),
    };
    let instructions = EthInstructions::new_mainnet_with_spec(spec);
    Evm::new_with_inspector(context, inspector, instructions, Precompiles::new(rules, PrecompileMoves::default()))
}

pub(crate) fn tx_error<E: core::fmt::Debug + core::fmt::Display>(error: EVMError<ReadError<E>, InvalidTx>) -> TxError<E> {
    match error {
        EVMError::Transaction(reason) => TxError::Invalid(reason),
        EVMError::Database(ReadError(error)) => TxError::State(error),
        EVMError::Header(error) => TxError::Fatal(alloc::format!("{error}")),
        EVMError::Custom(error) => TxError::Fatal(error),
        EVMError::CustomAny(error) => TxError::Fatal(alloc::format!("{error}")),
    }
}

fn outcome(result: ExecutionResult<HaltReason>, gas_used: u64, l1_fee: u128) -> (Outcome, Vec<alloy_primitives::Log>) {
    let outcome = |success, output, created, halt| Outcome { success, gas_used, l1_fee, output, created, halt };
    match result {
        ExecutionResult::Success { logs, output, .. } => {
            let created = output.address().copied();
            (outcome(true, output.into_data(), created, None), logs)
        }
        // Logs before a failure are not part of the receipt.
        ExecutionResult::Revert { output, .. } => (outcome(false, output, None, None), Vec::new()),
        ExecutionResult::Halt { reason, .. } => (outcome(false, Bytes::new(), None, Some(reason)), Vec::new()),
    }
}
