//! Blocks: an Ethereum header and body; the body has no ommers, and withdrawals only as the empty list Ethereum's encoding asks for.

use crate::TxEnvelope;
use alloc::vec::Vec;
use alloy_consensus::Header;
use alloy_primitives::B256;
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};

/// Transactions of a block, in order.
pub type Body = Vec<TxEnvelope>;

/// A block as it is voted on, stored and sent: `rlp([header, [transactions]])`.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Block {
    /// The Ethereum header; Oceanid's extension is RLP in `extra_data`.
    pub header: Header,
    /// The transactions: deposits first.
    pub body: Body,
}

/// A block with its hash, `keccak256(rlp(header))`, computed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBlock {
    hash: B256,
    block: Block,
}

impl SealedBlock {
    /// Seals `block` by hashing its header.
    pub fn new(block: Block) -> Self {
        Self { hash: block.header.hash_slow(), block }
    }

    /// The block hash.
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    /// The header.
    pub const fn header(&self) -> &Header {
        &self.block.header
    }

    /// The block number.
    pub const fn number(&self) -> u64 {
        self.block.header.number
    }

    /// The transactions.
    pub fn body(&self) -> &[TxEnvelope] {
        &self.block.body
    }

    /// The block without its hash.
    pub const fn block(&self) -> &Block {
        &self.block
    }

    /// Takes the block out.
    pub fn into_block(self) -> Block {
        self.block
    }
}

impl From<Block> for SealedBlock {
    fn from(block: Block) -> Self {
        Self::new(block)
    }
}

impl Encodable for SealedBlock {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        self.block.encode(out);
    }

    fn length(&self) -> usize {
        self.block.length()
    }
}

impl Decodable for SealedBlock {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        Block::decode(buf).map(Self::new)
    }
}
