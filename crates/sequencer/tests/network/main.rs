//! Whole committees: in the deterministic simulator (every scenario twice, with equal state), and over real TCP.

mod beginning;
mod byzantine;
mod chain;
#[cfg(feature = "ledger")]
mod ledger;
mod random;
mod recovery;
mod scenarios;
mod sim;
#[cfg(feature = "ledger")]
mod soak;
mod tcp;
