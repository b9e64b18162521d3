//! The ledgers from outside.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;
mod eth;
mod ledger;
mod long;
mod recovery;
