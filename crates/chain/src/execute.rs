//! Execution of one block on a state view, for both sets of rules: transactions, then roots and the header.

use crate::{BuildError, CheckError, InvalidBlock, LedgerError, TransactionSource};
use alloy_primitives::{Address, B256, keccak256};
use alloy_rlp::Encodable;
use oceanid_primitives::{Block, Header, SealedBlock, TxEnvelope, predeploys::MESSAGE_PASSER};
use oceanid_stf::{BlockEnv, BlockExecutor, ExecutionOutput, Rules, StateDiff, TxError};
use oceanid_store::{ExecutedBlock, StateView, StoreError};
use oceanid_trie::{TrieUpdates, update_state_root};
use std::{sync::Arc, thread};

/// From this many transactions on, the state root is computed beside the receipts and transactions roots.
const PARALLEL_ROOTS_FROM: usize = 200;
/// Transactions a source may offer in a row that do not fit before a builder calls the block full.
const MISFITS: usize = 16;

/// A block's transactions, executed.
pub(crate) struct Executed {
    pub(crate) env: BlockEnv,
    pub(crate) body: Vec<TxEnvelope>,
    pub(crate) senders: Vec<Address>,
    pub(crate) output: ExecutionOutput,
}

fn failed<T: core::fmt::Display>(number: u64) -> impl Fn(T) -> LedgerError {
    move |reason| LedgerError::Execution { number, reason: reason.to_string() }
}

/// Executes a given body; every transaction must be valid.
pub(crate) fn execute(
    rules: Rules,
    chain_id: u64,
    env: BlockEnv,
    view: &StateView,
    body: Vec<TxEnvelope>,
    senders: Vec<Address>,
) -> Result<Executed, CheckError> {
    let mut executor = BlockExecutor::new(rules, chain_id, env, view).map_err(failed(env.number))?;
    executor.reserve(body.len());
    for (index, (transaction, sender)) in body.iter().zip(&senders).enumerate() {
        executor.execute(transaction, *sender).map_err(|error| refusal(env.number, index, transaction, error))?;
    }
    Ok(Executed { env, body, senders, output: executor.finish() })
}

/// Whose fault a transaction's failure is.
fn refusal(number: u64, index: usize, transaction: &TxEnvelope, error: TxError<StoreError>) -> CheckError {
    match error {
        TxError::Invalid(_) | TxError::GasLimit { .. } | TxError::BlobLimit { .. } => {
            InvalidBlock::Transaction { index, hash: *transaction.hash(), reason: error.to_string() }.into()
        }
        TxError::State(error) => LedgerError::Store(error).into(),
        TxError::SystemCall(_) | TxError::Fatal(_) => LedgerError::Execution { number, reason: error.to_string() }.into(),
    }
}

/// Executes `first` (deposits, which must succeed) and then what the source gives, as long as it fits.
pub(crate) fn fill(
    rules: Rules,
    chain_id: u64,
    env: BlockEnv,
    view: &StateView,
    first: Vec<TxEnvelope>,
    source: &mut dyn TransactionSource,
    mut bytes_left: usize,
) -> Result<Executed, BuildError> {
    let mut executor = BlockExecutor::new(rules, chain_id, env, view).map_err(failed(env.number))?;
    let mut body = Vec::new();
    let mut senders = Vec::new();
    for deposit in first {
        let sender = deposit.as_deposit().map_or(Address::ZERO, |deposit| deposit.inner().from);
        executor.execute(&deposit, sender).map_err(failed(env.number))?;
        bytes_left = bytes_left.saturating_sub(deposit.length());
        body.push(deposit);
        senders.push(sender);
    }
    let mut misfits = 0;
    while misfits < MISFITS
        && let Some((transaction, sender)) = source.next(executor.gas_left(), bytes_left)
    {
        let bytes = transaction.length();
        if bytes > bytes_left {
            misfits += 1;
            continue;
        }
        if rules.is_rollup() && transaction.is_deposit() {
            source.reject(*transaction.hash(), "deposits come from L1 only");
            continue;
        }
        match executor.execute(&transaction, sender) {
            Ok(_) => {
                misfits = 0;
                bytes_left -= bytes;
                senders.push(sender);
                body.push(Arc::unwrap_or_clone(transaction));
            }
            Err(error @ TxError::Invalid(_)) => source.reject(*transaction.hash(), &error.to_string()),
            Err(TxError::GasLimit { .. } | TxError::BlobLimit { .. }) => misfits += 1,
            Err(TxError::State(error)) => return Err(LedgerError::Store(error).into()),
            Err(error) => return Err(failed(env.number)(error).into()),
        }
    }
    Ok(Executed { env, body, senders, output: executor.finish() })
}

/// Roots after a block, and the trie nodes it changes.
pub(crate) struct Roots {
    pub(crate) state: B256,
    /// The message passer's storage root, if the block changed it.
    message_passer: Option<B256>,
    pub(crate) trie: TrieUpdates,
}

pub(crate) fn roots(view: &StateView, number: u64, diff: &StateDiff) -> Result<Roots, LedgerError> {
    let (state, trie, storage) = update_state_root(&view.trie()?, view.state_root(), &diff.hashed()).map_err(failed(number))?;
    Ok(Roots { state, message_passer: storage.get(&keccak256(MESSAGE_PASSER)).copied(), trie })
}

/// Root of the state that `diff` makes of `view`. `number`, the block it is asked for, is for the error.
pub fn state_root_after(view: &StateView, number: u64, diff: &StateDiff) -> Result<B256, LedgerError> {
    Ok(roots(view, number, diff)?.state)
}

/// Computes roots and seals. `header` makes the header but for its state root; on Layer 2 the message passer's root is the
/// parent's, given in `message_passer`, unless the block changed it.
pub(crate) fn seal(
    view: &StateView,
    executed: Executed,
    message_passer: Option<B256>,
    header: impl FnOnce(&Executed) -> Header,
) -> Result<Arc<ExecutedBlock>, LedgerError> {
    let number = executed.env.number;
    let (roots, mut header) = if executed.body.len() < PARALLEL_ROOTS_FROM {
        (roots(view, number, &executed.output.diff)?, header(&executed))
    } else {
        thread::scope(|scope| {
            let roots = scope.spawn(|| roots(view, number, &executed.output.diff));
            let header = header(&executed);
            roots.join().expect("the trie does not panic").map(|roots| (roots, header))
        })?
    };
    header.state_root = roots.state;
    if let Some(unchanged) = message_passer {
        header.withdrawals_root = Some(roots.message_passer.unwrap_or(unchanged));
    }
    let Executed { body, senders, output, .. } = executed;
    let block = Arc::new(SealedBlock::new(Block { header, body }));
    Ok(Arc::new(ExecutedBlock::new(block, output.receipts, senders, output.diff, roots.trie)))
}
