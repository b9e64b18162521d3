//! A development network: an embedded L1, well-known accounts and keys, deployment, and what `oceanid dev` prints and writes.
//!
//! The pieces in the order a network starts: [`EmbeddedL1::start`] (or a foreign L1), [`dev_sequencers`], [`deploy_dev`], then the nodes,
//! which are composed elsewhere, and last [`ConfigOut`].
#![forbid(unsafe_code)]

pub mod accounts;
pub mod config_out;
pub mod l1;
pub mod network;
pub mod ports;

pub use accounts::{DevAccount, dev_accounts, dev_signers};
pub use config_out::{Addresses, ConfigOut, FollowerEndpoints, L1Endpoints, L2Endpoints, NodeEndpoint, SequencerEndpoint};
pub use l1::{EmbeddedL1, EmbeddedL1Config, L1Error};
pub use network::{DevError, DevOptions, DevSequencer, connect, deploy_dev, dev_sequencers};
