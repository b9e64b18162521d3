//! The ledger: a chain specification, a store, and the executed blocks that are not final yet.
//!
//! A block passes through here in one of three ways, and is executed once on each node:
//!
//! * [`Ledger::build`]: the leader executes transactions as they come from a [`TransactionSource`] and seals the block;
//! * [`Ledger::check`]: a validator executes a proposal and compares every header field with its own;
//! * [`Ledger::derive`]: a follower executes what it read from L1 and seals the block that must result.
//!
//! Each leaves the executed block in a tree of speculative blocks, keyed by hash, over the committed head. [`Ledger::commit`] takes
//! a final block from there (or executes it now), makes it durable, tells subscribers and prunes the tree.
//!
//! # What a Layer 2 block must be
//!
//! `docs/ledger.md` has the list. In short: header fields follow from parent, timestamp and extension; the epoch from the number; the
//! committee ids from the hand-over rule; the L1 origin never goes back and advances by at most the specification's limit; a body
//! whose origin advances begins with the new origin's system deposit and then holds every user deposit up to that origin, in
//! order; no other deposits; then pool transactions.
//!
//! [`EthLedger`] is the same for the embedded L1: Ethereum rules, one sealer, no speculation. [`ImportedChain`] takes in a public
//! Ethereum chain across its forks, for conformance tests.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod committee;
mod deposits;
mod error;
mod eth;
mod execute;
mod genesis;
mod import;
mod ledger;
mod recovery;
mod senders;
mod source;
mod timings;
mod tree;

pub use deposits::deposits_between;
pub use error::{BuildError, CheckError, InvalidBlock, LedgerError, Missing};
pub use eth::{EthGenesis, EthLedger, MAX_SNAPSHOTS, MineRequest};
pub use execute::state_root_after;
pub use genesis::{genesis_block, genesis_header};
pub use import::{BlockExtras, ForkSchedule, ImportError, ImportedChain, credit, early_receipt, encode_block, payments};
pub use ledger::{Ledger, LedgerConfig};
pub use oceanid_stf::Work;
pub use oceanid_store::CommittedBlock;
pub use senders::Senders;
pub use source::{BuildLimits, ConsensusContext, TransactionSource};
pub use timings::{Histogram, HistogramReading, Timings};
