//! What one request may record while it traces: a trace is larger than what it traces, and some are larger without end.
//!
//! There is one [`Guard`] a request, whatever number of transactions, calls or blocks the request names. It counts what tracers keep
//! and what the answer repeats for each step, and ends the execution that goes beyond.

use crate::error::{RpcError, RpcResult};
use alloy_primitives::map::{HashMap, HashSet};
use alloy_primitives::{Address, KECCAK256_EMPTY, Log, U256};
use alloy_rpc_types_trace::geth::GethDebugTracingOptions;
use alloy_rpc_types_trace::parity::TraceType;
use oceanid_stf::revm::context_interface::{ContextError, ContextTr};
use oceanid_stf::revm::inspector::Inspector;
use oceanid_stf::revm::interpreter::interpreter_types::{InputsTr, Jumps, LegacyBytecode, MemoryTr, ReturnData};
use oceanid_stf::revm::interpreter::{CallInputs, CallOutcome as FrameOutcome, CreateInputs, CreateOutcome, Interpreter};
use oceanid_stf::{CallOutcome, StateReader, TxError};
use oceanid_store::StoreError;
use revm_inspectors::tracing::{TraceLimitBehavior, TraceLimits, TracingInspector};
use std::time::Instant;

/// Most stack words, steps and storage words in the traces of a request; 32 bytes and more each.
const MAX_WORDS: u64 = 4_000_000;
/// Most bytes of input, output, logs, code, memory and return data in them.
const MAX_BYTES: usize = 64 << 20;
/// Words counted for a step besides its stack.
const STEP_WORDS: u64 = 8;
/// Bytes counted for a call or a creation besides its data.
const FRAME_BYTES: usize = 512;
/// Bytes counted for a log besides its data.
const LOG_BYTES: usize = 256;
/// Bytes counted for an account, and for a slot, of a state difference.
const ACCOUNT_BYTES: usize = 256;
/// Steps between two looks at the clock.
const CLOCK_STEPS: u64 = 4_096;
/// Opcodes whose steps show the storage of their contract.
const SLOAD: u8 = 0x54;
const SSTORE: u8 = 0x55;

const TOO_MANY_WORDS: &str =
    "trace has more than 4,000,000 stack words and steps: ask for fewer transactions, or use callTracer or prestateTracer";
const TOO_MANY_BYTES: &str = "trace has more than 64 MiB of data: ask for fewer transactions";
const LATE: &str = "trace timed out: ask for fewer transactions";

/// What a tracer keeps, as far as its size is not that of the execution's inputs and outputs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Records {
    /// Every step with its stack.
    steps: bool,
    /// Memory with every step.
    memory: bool,
    /// The last call's output with every step.
    return_data: bool,
    /// The storage seen so far with every step that reads or writes it.
    storage: bool,
    /// Code with every frame.
    code: bool,
    /// Inputs of frames, without a limit of its own.
    inputs: bool,
    /// All accounts and slots that were touched.
    state: bool,
    /// The code of those accounts.
    state_code: bool,
}

impl Records {
    /// Calls with their data, in a tracer that is [`Guard::bound`].
    pub(crate) const CALLS: Self = Self {
        steps: false,
        memory: false,
        return_data: false,
        storage: false,
        code: false,
        inputs: false,
        state: false,
        state_code: false,
    };

    /// Of a tracer of `debug_trace*`.
    pub(crate) fn of_options(options: &GethDebugTracingOptions) -> Self {
        match options.tracer.as_ref().map_or("", |tracer| tracer.as_str()) {
            "callTracer" | "flatCallTracer" | "4byteTracer" | "noopTracer" => Self::CALLS,
            "prestateTracer" => Self { state: true, state_code: true, ..Self::CALLS },
            // Its parts record calls or the state, and share one recorder that has no limit.
            "muxTracer" => Self { inputs: true, state: true, state_code: true, ..Self::CALLS },
            // The step log, and whatever is not known to record less.
            _ => Self {
                steps: true,
                memory: options.config.is_memory_enabled(),
                return_data: options.config.is_return_data_enabled(),
                storage: options.config.is_storage_enabled(),
                ..Self::CALLS
            },
        }
    }

    /// Of the parts of a Parity trace.
    pub(crate) fn of_types(types: &HashSet<TraceType>) -> Self {
        let steps = types.contains(&TraceType::VmTrace);
        Self { steps, code: steps, state: types.contains(&TraceType::StateDiff), ..Self::CALLS }
    }
}

/// How much a request has recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    words: u64,
    bytes: usize,
}

/// Ends traced executions once the request has recorded too much or taken too long.
#[derive(Debug)]
pub(crate) struct Guard {
    records: Records,
    spent: Spent,
    steps: u64,
    deadline: Instant,
    tripped: Option<&'static str>,
    /// Slots seen in the running transaction, which steps show again and again.
    slots: HashMap<Address, HashSet<U256>>,
}

impl Guard {
    /// Of a request that must be answered by `deadline`.
    pub(crate) fn new(deadline: Instant) -> Self {
        Self { records: Records::CALLS, spent: Spent::default(), steps: 0, deadline, tripped: None, slots: HashMap::default() }
    }

    /// Before each execution: what its tracer records.
    pub(crate) fn begin(&mut self, records: Records) -> RpcResult<()> {
        self.records = records;
        self.slots.clear();
        self.check_time()
    }

    /// Is there time for another transaction?
    pub(crate) fn check_time(&self) -> RpcResult<()> {
        if Instant::now() > self.deadline { Err(RpcError::limit(LATE)) } else { Ok(()) }
    }

    /// The tracer with an end to the inputs, memory and deltas it copies.
    pub(crate) fn bound(&self, tracer: TracingInspector) -> TracingInspector {
        let left = MAX_BYTES.saturating_sub(self.spent.bytes);
        tracer.with_limits(TraceLimits::default().set_max_recorded_bytes(Some(left)).set_behavior(TraceLimitBehavior::Halt))
    }

    /// After each execution: blames the limit for the failure it has caused, and counts what a [`Guard::bound`] tracer has copied and
    /// what the answer shows of the state before.
    pub(crate) fn end(
        &mut self,
        outcome: Result<CallOutcome, TxError<StoreError>>,
        tracer: Option<&TracingInspector>,
        before: &impl StateReader<Error = StoreError>,
    ) -> RpcResult<CallOutcome> {
        if let Some(tracer) = tracer {
            self.add_bytes(tracer.recorded_bytes());
            if tracer.limit_exceeded() {
                self.tripped = Some(TOO_MANY_BYTES);
            }
        }
        if let (true, Ok(outcome)) = (self.records.state, &outcome) {
            for account in outcome.state.values() {
                let code = match &account.info.code {
                    Some(code) if self.records.state_code => code.len(),
                    _ if !self.records.state_code || account.info.code_hash == KECCAK256_EMPTY => 0,
                    _ => before.code(account.info.code_hash)?.len(),
                };
                self.add_bytes(ACCOUNT_BYTES * (1 + account.storage.len()) + code);
            }
        }
        match self.tripped {
            Some(reason) => Err(RpcError::limit(reason)),
            None => Ok(outcome?),
        }
    }

    /// How much was recorded so far.
    pub(crate) const fn spent(&self) -> Spent {
        self.spent
    }

    /// What was recorded since is no longer kept.
    pub(crate) const fn give_back(&mut self, spent: Spent) {
        self.spent = spent;
    }

    fn add_words(&mut self, words: usize) {
        self.spent.words = self.spent.words.saturating_add(words as u64);
        if self.spent.words > MAX_WORDS {
            self.tripped = Some(TOO_MANY_WORDS);
        }
    }

    fn add_bytes(&mut self, bytes: usize) {
        self.spent.bytes = self.spent.bytes.saturating_add(bytes);
        if self.spent.bytes > MAX_BYTES {
            self.tripped = Some(TOO_MANY_BYTES);
        }
    }

    /// Ends the execution, if there is a reason to.
    fn fail(&self, context: &mut impl ContextTr) -> bool {
        let Some(reason) = self.tripped else { return false };
        if context.error().is_ok() {
            *context.error() = Err(ContextError::Custom(reason.into()));
        }
        true
    }

    fn step_data(&mut self, interp: &Interpreter) {
        self.add_words(STEP_WORDS as usize + interp.stack.len());
        if self.records.memory {
            self.add_bytes(interp.memory.size());
        }
        if self.records.return_data {
            self.add_bytes(interp.return_data.buffer().len());
        }
        if self.records.storage && matches!(interp.bytecode.opcode(), SLOAD | SSTORE) {
            let slots = self.slots.entry(interp.input.target_address()).or_default();
            if let Some(slot) = interp.stack.data().last() {
                slots.insert(*slot);
            }
            let shown = 2 * slots.len();
            self.add_words(shown);
        }
    }
}

impl<CTX: ContextTr> Inspector<CTX> for Guard {
    fn initialize_interp(&mut self, interp: &mut Interpreter, _: &mut CTX) {
        if self.records.code {
            self.add_bytes(interp.bytecode.bytecode_len());
        }
    }

    fn step(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        self.steps += 1;
        if self.records.steps {
            self.step_data(interp);
        }
        if self.steps.is_multiple_of(CLOCK_STEPS) && Instant::now() > self.deadline {
            self.tripped = Some(LATE);
        }
        if self.fail(context) {
            interp.halt_fatal();
        }
    }

    fn log(&mut self, context: &mut CTX, log: Log) {
        self.add_bytes(LOG_BYTES + log.data.data.len());
        self.fail(context);
    }

    fn call(&mut self, context: &mut CTX, inputs: &mut CallInputs) -> Option<FrameOutcome> {
        self.add_bytes(FRAME_BYTES + if self.records.inputs { inputs.input.len() } else { 0 });
        self.fail(context);
        None
    }

    fn call_end(&mut self, context: &mut CTX, _: &CallInputs, outcome: &mut FrameOutcome) {
        self.add_bytes(outcome.result.output.len());
        self.fail(context);
    }

    fn create(&mut self, context: &mut CTX, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.add_bytes(FRAME_BYTES + if self.records.inputs { inputs.init_code().len() } else { 0 });
        self.fail(context);
        None
    }

    fn create_end(&mut self, context: &mut CTX, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.add_bytes(outcome.result.output.len());
        self.fail(context);
    }
}
