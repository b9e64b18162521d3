//! Durable state of a chain: blocks, receipts, flat state, trie nodes, history, marks.
//!
//! # How a block becomes durable
//!
//! 1. [`Store::commit`] appends one record (block, receipts, senders, certificate, state diff) to the write-ahead log and syncs
//!    it. On return the block is durable; that is the only synchronous cost.
//! 2. The block stays in memory as a layer, through which reads go, until the background flusher merges several blocks into one
//!    atomic batch of the engine. The flushed block's number is in the same batch.
//! 3. Log segments that hold flushed blocks only are removed.
//!
//! Opening a store reads the flushed number, replays the log after it, and recomputes each replayed block's trie nodes: the state
//! root of every header is checked again. Whatever moment a process dies at, the next one finds exactly the state of the last
//! block whose record was synced.
//!
//! # Reading
//!
//! [`StateView`] is a consistent state: at the head, at a block of the last [`StoreConfig::history`], or a committed state extended by
//! executed blocks that are not final ([`StateView::extend`]). A past value is found by one forward seek in the history of its key.
//! Proofs at a past block come from the present trie with the changes since then undone, and the resulting root is compared with
//! the header's. Storage tries of [`StoreConfig::retain`] keep every node ever written, by hash: [`Store::retained_proof`] works at any age.
//!
//! Nothing here knows a rollup: the embedded L1 uses the same store.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod audit;
mod block;
mod engine;
mod error;
mod flush;
mod identity;
mod keys;
mod logs;
mod proof;
mod prune;
mod store;
mod view;
mod wal;

pub use audit::StateAudit;
pub use block::{CommittedBlock, ExecutedBlock};
pub use error::StoreError;
pub use logs::{LOG_SECTION, LogKey, LogQuery};
pub use proof::{StateProof, TrieView};
pub use prune::PrunePlan;
pub use store::{Head, Marks, Store, StoreConfig, StoreKind, TxLocation};
pub use view::StateView;

/// Least [`StoreConfig::history`]: the newest block is traced on the state before it.
pub const MIN_HISTORY: u64 = 1;
/// Most [`StoreConfig::history`] that anyone may ask for, blocks.
pub const MAX_HISTORY: u64 = 1_000_000;
/// Largest log record, bytes: one block with its receipts and state diff.
pub const MAX_RECORD_BYTES: usize = 512 << 20;
/// Most state keys a proof at a past block may have to undo.
pub const MAX_PROOF_CHANGES: usize = 1_000_000;
/// Longest name of a named value ([`Store::put_meta`]), bytes.
pub const MAX_META_NAME: usize = 128;
