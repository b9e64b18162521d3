//! What settlement asks of the Layer 2 chain: finalised blocks with their certificates, and a place to keep marks.

use alloy_primitives::{B256, Bytes};
use oceanid_chain::{Ledger, LedgerError};
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

    /// Last block of the epoch that a block is in.
    fn epoch_end(&self, number: u64) -> u64;

    /// A committee by its id.
    fn committee(&self, id: u64) -> Result<Arc<Committee>, ChainError>;

    /// Last block whose data was read back from L1.
    fn safe(&self) -> Result<u64, ChainError>;

    /// Moves the safe mark.
    fn set_safe(&self, number: u64) -> Result<(), ChainError>;

    /// The finalized mark.
    fn finalized(&self) -> Result<u64, ChainError>;

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

/// Name of the cursor in the store; the value is `number (u64, big endian) ++ hash`.
const CURSOR: &str = "settlement.cursor";

impl SettledChain for Ledger {
    fn head(&self) -> u64 {
        Self::head(self).number()
    }

    fn block(&self, number: u64) -> Result<Arc<SealedBlock>, ChainError> {
        let block = self.store().block(number).map_err(LedgerError::from)?;
        block.ok_or_else(|| ChainError(format!("block {number} is not in the store")))
    }

    fn certificate(&self, number: u64) -> Result<Option<Bytes>, ChainError> {
        Ok(self.store().certificate(number).map_err(LedgerError::from)?)
    }

    fn epoch_end(&self, number: u64) -> u64 {
        self.epochs().end_of(number)
    }

    fn committee(&self, id: u64) -> Result<Arc<Committee>, ChainError> {
        Ok(Self::committee(self, id)?)
    }

    fn safe(&self) -> Result<u64, ChainError> {
        Ok(self.marks().safe)
    }

    fn set_safe(&self, number: u64) -> Result<(), ChainError> {
        let mut marks = self.marks();
        marks.safe = number;
        Ok(self.set_marks(marks)?)
    }

    fn finalized(&self) -> Result<u64, ChainError> {
        Ok(self.marks().finalized)
    }

    fn set_finalized(&self, number: u64) -> Result<(), ChainError> {
        let mut marks = self.marks();
        marks.finalized = number;
        Ok(self.set_marks(marks)?)
    }

    fn cursor(&self) -> Result<Option<L1Origin>, ChainError> {
        let Some(value) = self.store().get_meta(CURSOR).map_err(LedgerError::from)? else { return Ok(None) };
        let (number, hash) =
            value.split_first_chunk::<8>().ok_or_else(|| ChainError("the settlement cursor is damaged".to_owned()))?;
        let hash = B256::try_from(hash).map_err(|_| ChainError("the settlement cursor is damaged".to_owned()))?;
        Ok(Some(L1Origin { number: u64::from_be_bytes(*number), hash }))
    }

    fn set_cursor(&self, cursor: L1Origin) -> Result<(), ChainError> {
        let mut value = cursor.number.to_be_bytes().to_vec();
        value.extend_from_slice(cursor.hash.as_slice());
        Ok(self.store().put_meta(CURSOR, &value).map_err(LedgerError::from)?)
    }
}

impl From<LedgerError> for ChainError {
    fn from(error: LedgerError) -> Self {
        Self(error.to_string())
    }
}
