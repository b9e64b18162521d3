//! The batch: what L1 must hold so that anyone can rebuild a run of blocks. Deposits are not in it, because L1 has them already.

use oceanid_primitives::{Block, ExtensionError, HeaderExtension, TxEnvelope};

/// Most blocks in one batch, here and in `Rollup`: a follower executes all of them before it can know whether the last one is the
/// certified one, and holds them meanwhile. Longer epochs take several batches.
pub const MAX_BATCH_BLOCKS: usize = 2_000;
/// Most bytes of transactions in one batch (EIP-2718 encodings, deposits left out). Every batch within it can be encoded, posted and
/// decoded: the codec's own limits and 64 postings of six blobs lie above it. Whoever makes blocks stops before more than this waits
/// for L1, because a stranger may post all that waits as one batch.
pub const MAX_BATCH_BYTES: usize = 32 << 20;

/// A contiguous run of blocks of one epoch. The number of the first one is in the batch header on L1, not here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The blocks, in order.
    pub blocks: Vec<BatchBlock>,
}

/// What determines a block, given its parent, the chain specification and L1: the rest of its header follows by execution.
/// The epoch follows from the number, the committees from the parent and the registry, the origin's hash and the deposits from L1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchBlock {
    /// Seconds since 1970.
    pub timestamp: u64,
    /// Number of the L1 origin.
    pub origin: u64,
    /// View in which the block was proposed.
    pub view: u64,
    /// View of its parent, as consensus saw it.
    pub parent_view: u64,
    /// Index of the proposer in the committee.
    pub leader: u32,
    /// Transactions without deposits, in order.
    pub transactions: Vec<TxEnvelope>,
}

impl BatchBlock {
    /// Takes from `block` what a batch says about it.
    pub fn from_block(block: &Block) -> Result<Self, ExtensionError> {
        let extension = HeaderExtension::decode(&block.header.extra_data)?;
        Ok(Self {
            timestamp: block.header.timestamp,
            origin: extension.origin.number,
            view: extension.view,
            parent_view: extension.parent_view,
            leader: extension.leader,
            transactions: block.body.iter().filter(|tx| !tx.is_deposit()).cloned().collect(),
        })
    }
}

/// Why blocks cannot be encoded, or bytes are not a batch. Bytes come from L1 and are hostile: a batch that does not decode is,
/// by rule, an empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Nothing to decode.
    #[error("batch data is empty")]
    Empty,
    /// A codec this code does not know.
    #[error("batch codec version {0}, this node knows version {known}", known = crate::CODEC_VERSION)]
    Version(u8),
    /// The compressed part is not a valid stream, or is longer than it says.
    #[error("free-form bytes of the batch do not decompress")]
    Compression,
    /// More than is decompressed: a bomb.
    #[error("batch has {0} free-form bytes or more: the limit is {limit}", limit = crate::MAX_FREE_BYTES)]
    Inflated(u64),
    /// A section ends early.
    #[error("batch section `{0}` ends early")]
    Truncated(&'static str),
    /// A section has bytes that nothing asked for.
    #[error("batch section `{0}` has bytes left over")]
    Leftover(&'static str),
    /// A value outside the range of its field.
    #[error("batch has a value out of range: {0}")]
    Range(&'static str),
    /// More blocks than a batch may hold, or none.
    #[error("batch of {0} blocks: must be 1 to {MAX_BATCH_BLOCKS}")]
    Blocks(u64),
    /// More transaction bytes than a batch may unfold to.
    #[error("batch has more than {MAX_BATCH_BYTES} bytes of transactions, or unfolds to more than {limit}", limit = crate::MAX_DECODED_BYTES)]
    TooLarge,
    /// A transaction that no Layer 2 block of this chain can hold: a blob transaction, a deposit, another chain's, or one whose
    /// signature has a high `s`.
    #[error("transaction cannot stand in a batch: {0}")]
    Transaction(&'static str),
}
