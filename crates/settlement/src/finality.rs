//! The finalized mark: the newest final output on L1, once it was compared with this node's own.

use crate::{ChainError, L1Client, L1Error, L1Watcher, SettledChain};
use alloy_primitives::{Address, B256};
use alloy_rpc_types_eth::BlockId;
use oceanid_contracts::l1::Rollup;
use oceanid_primitives::{L1View, output_root};

/// Why the mark cannot be moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FinalityError {
    /// L1 was not heard.
    #[error(transparent)]
    L1(#[from] L1Error),
    /// The chain was not read or written.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// L1 finalised something else than this node executed.
    #[error(
        "output {index} is final on L1 with root {on_l1}; block {number} here has {here}: stop this node and compare with others"
    )]
    Output {
        /// Batch index.
        index: u64,
        /// Last block of the batch.
        number: u64,
        /// What L1 has.
        on_l1: B256,
        /// What this node has.
        here: B256,
    },
}

/// Last block of the newest batch that L1 has accepted, in its latest block.
pub async fn posted_head(client: &L1Client, rollup: Address) -> Result<u64, L1Error> {
    let number = client.view(rollup, Rollup::latestBlockNumberCall {}).await?;
    u64::try_from(number).map_err(|_| client.inconsistent(format!("Rollup.latestBlockNumber is {number}")))
}

/// Moves the mark to `Rollup.finalizedHead()`, in the state after the newest deep L1 block (a reorganisation of L1 takes nothing back
/// from there), and returns it. A final output beyond this node's head leaves the mark where it is.
pub async fn follow_finality(
    client: &L1Client,
    watcher: &L1Watcher,
    rollup: Address,
    chain: &dyn SettledChain,
) -> Result<u64, FinalityError> {
    let before = chain.finalized()?;
    let Some(deep) = watcher.newest_origin() else { return Ok(before) };
    let answer = client.view_at(rollup, Rollup::finalizedHeadCall {}, BlockId::hash(deep.hash)).await?;
    let number = answer.number;
    // An older L1 block than last time (another endpoint, a restart) takes nothing back.
    if number <= before || number > chain.head() {
        return Ok(before);
    }
    let block = chain.block(number)?;
    let header = block.header();
    let here = output_root(header.state_root, header.withdrawals_root.unwrap_or_default(), block.hash());
    if here != answer.outputRoot {
        return Err(FinalityError::Output { index: answer.index.saturating_to(), number, on_l1: answer.outputRoot, here });
    }
    chain.set_finalized(number)?;
    Ok(number)
}
