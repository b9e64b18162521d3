//! The embedded L1: an Ethereum chain with one sealer, on this repository's EVM, store and RPC.

pub mod beacon;
pub mod blob_transaction;
pub mod blobs;

/// Blobs in one block: the maximum of the Prague fork (EIP-7691).
pub const MAX_BLOBS_PER_BLOCK: u64 = 9;
