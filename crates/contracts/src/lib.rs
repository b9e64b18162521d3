//! Bindings and artifacts of the Solidity contracts, the genesis state of Layer 2, and the deployment plan that `dev` and `deploy` share.
//!
//! The artifacts in `contracts/artifacts` are committed, so building Rust needs no Solidity compiler.
#![forbid(unsafe_code)]

pub mod deploy;
pub mod endpoint;
pub mod genesis;
pub mod helpers;
pub mod l1;
pub mod l2;
pub mod probe;
