//! Batches and where their data sits: the codec, and the data availability modes behind one trait. Nothing here does I/O.
//!
//! A [`Batch`] is what L1 must hold so that anyone can rebuild a run of blocks ([`BatchBlock`] each). [`Batch::encode`] makes
//! bytes of it, a [`DataAvailability`] mode makes an L1 transaction's calldata or blobs of those, and the way back checks each
//! step: commitment, then codec. Everything that comes back from L1 is hostile, so every refusal is an error value.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a panic is how a test fails"))]

mod batch;
mod codec;
mod mode;

pub use batch::{Batch, BatchBlock, BatchError, MAX_BATCH_BLOCKS, MAX_BATCH_BYTES};
pub use codec::{CODEC_VERSION, MAX_DECODED_BYTES, MAX_FREE_BYTES};
pub use mode::{
    CALLDATA_BYTES, DaError, DataAvailability, MAX_BLOBS, Material, Packed, blob_capacity, mode, versioned_hash, warm_up,
};
