//! What settlement asks of the Layer 2 chain: finalised blocks with their certificates, and a place to keep marks.

use alloy_primitives::Bytes;
use oceanid_primitives::{Committee, L1Origin, SealedBlock};
use std::sync::Arc;

/// The chain could not be read or written; settlement says so and tries again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chain: {0}")]
pub struct ChainError(pub String);

/// The committed chain of this node.
pub trait SettledChain: Send + Sync + 'static {
    /// Number of the last committed block.
    fn head(&self) -> u64;

    /// A committed block.
    fn block(&self, number: u64) -> Result<Arc<SealedBlock>, ChainError>;

    /// The finalisation certificate of a block as consensus made it, if the block has one of its own.
    fn certificate(&self, number: u64) -> Result<Option<Bytes>, ChainError>;

    /// A committee by its id.
    fn committee(&self, id: u64) -> Result<Committee, ChainError>;

    /// Last block whose data was read back from L1.
    fn safe(&self) -> Result<u64, ChainError>;

    /// Moves the safe mark.
    fn set_safe(&self, number: u64) -> Result<(), ChainError>;

    /// Moves the finalized mark: last block of the newest final output on L1.
    fn set_finalized(&self, number: u64) -> Result<(), ChainError>;

    /// The L1 block up to which every posting was dealt with.
    fn cursor(&self) -> Result<Option<L1Origin>, ChainError>;

    /// Moves that cursor.
    fn set_cursor(&self, cursor: L1Origin) -> Result<(), ChainError>;
}

/// Where an [`crate::L1Watcher`] of this node must begin: at the older of the committed head's origin (its deposits come next) and the
/// cursor (its postings come next).
pub fn anchor(chain: &dyn SettledChain) -> Result<L1Origin, ChainError> {
    let head = chain.block(chain.head())?;
    let origin = extension(&head)?.origin;
    // The cursor of a new chain is its genesis origin.
    let cursor = match chain.cursor()? {
        Some(cursor) => cursor,
        None => extension(&*chain.block(0)?)?.origin,
    };
    Ok(if cursor.number < origin.number { cursor } else { origin })
}

/// The header extension of a committed block.
pub(crate) fn extension(block: &SealedBlock) -> Result<oceanid_primitives::HeaderExtension, ChainError> {
    oceanid_primitives::HeaderExtension::decode(&block.header().extra_data)
        .map_err(|error| ChainError(format!("block {}: {error}", block.number())))
}
