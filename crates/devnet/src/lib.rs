//! A development network: an embedded L1, well-known accounts and keys, deployment, and what `oceanid dev` prints and writes.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod config_out;
pub mod l1;
pub mod network;
