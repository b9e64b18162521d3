//! Everything said to or heard from L1: the node's view of it, deposits, batches posted and read, and what is safe and final.
//!
//! * [`L1Watcher`] follows L1 and implements [`oceanid_primitives::L1View`]; deposits and postings come from it.
//! * [`BatchReader`] gets the data of a posting, from calldata or from a beacon node, and checks it against its commitment.
//! * [`Batcher`] posts certified batches and keeps the `safe` and `finalized` marks; any member of the committee may run it.
//! * [`Keeper`] does on L1 what the protocol asks somebody to do: rotations, credits, fees, jail, evidence.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a panic is how a test fails"))]

mod account;
mod assembly;
mod batcher;
mod beacon;
mod chain;
mod client;
mod deposits;
mod error;
mod finality;
mod keeper;
mod postings;
mod reader;
mod revert;
mod task;
mod telling;
mod watcher;

pub use account::{Call, Fate, L1Account, Pricing, Ticket};
pub use assembly::{Assembly, DA_NONE, MAX_PARTS};
pub use batcher::{
    Batcher, BatcherConfig, CertificateDecoder, DaPolicy, InFlight, L1Certificate, MAX_BACKLOG_BLOCKS, MAX_BACKLOG_BYTES,
    MAX_BACKLOG_GAS, MAX_BATCH_GAS, PosterConfig, SettlementStatus,
};
pub use beacon::BeaconClient;
pub use chain::{ChainError, SettledChain, anchor};
pub use client::{L1Client, REQUEST_TIMEOUT};
pub use deposits::{DepositError, deposit, deposit_log};
pub use error::L1Error;
pub use finality::{FinalityError, follow_finality, posted_head};
pub use keeper::{
    Action, Duties, Evidence, EvidenceSource, Keeper, KeeperConfig, KeeperStatus, KeptChain, MAX_AN_HOUR, Messages, NoEvidence,
};
pub use postings::{AcceptedBatch, Posting, postings_between};
pub use reader::{BatchReader, Reading};
pub use task::{Task, spawn_blocking};
pub use telling::Telling;
pub use watcher::{L1Entry, L1Status, L1Watcher, MAX_WINDOW, WatcherConfig};
