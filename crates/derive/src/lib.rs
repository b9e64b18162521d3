//! The follower: rebuilds the chain from L1 alone, with no word from any sequencer.
//!
//! From the chain specification, an L1 endpoint and a beacon endpoint it reads what `Rollup` accepted, in order. A batch names its
//! last header and comes with one or more postings of data. For each posting in turn the follower decodes the data, puts the
//! deposits of L1 before the transactions, executes, and compares the last header's hash with the one the committee certified
//! ([`replay`]). The first posting that reproduces it is the batch; the blocks are committed and `safe` moves. A posting that does not is
//! an empty one, by rule and for everyone: it is counted, and the follower goes on to the next or waits for data to be posted again.
//!
//! Only L1 blocks at the specification's depth are read, so an L1 reorganisation above that depth changes nothing here.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a panic is how a test fails"))]

mod follower;
mod replay;

pub use follower::{Follower, FollowerConfig, FollowerStatus, ledger_config};
pub use replay::{EmptyReason, MAX_REPLAY_GAS, ReplayError, replay};

#[doc(hidden)]
pub use replay::replay_within;
