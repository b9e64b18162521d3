//! The ledgers from outside.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;
mod eth;
mod fuzz;
mod ledger;
mod long;
mod recovery;
