//! Ethereum JSON-RPC over http and ws on one port, for Layer 2 nodes and for the embedded L1 alike.
//!
//! [`RpcServer::start`] serves a [`Backend`]: a store, a pool and what kind of chain they are. The server keeps no chain data
//! of its own. GET requests on the same port go to the backend's [`Pages`], if it has any. docs/rpc.md lists every method and limit.
//!
//! Parameters are hostile: each is parsed by name, every refusal says which one and why, work that takes long runs on blocking
//! threads behind a gate of its kind, and nothing a caller sends decides how much memory or time is spent without a named limit.
#![forbid(unsafe_code)]

mod arrivals;
mod backend;
mod batch;
mod config;
mod connection;
mod context;
mod convert;
mod debug;
mod dev;
mod door;
mod error;
mod eth;
mod evm;
mod fees;
mod filters;
mod fork_config;
mod gate;
mod guard;
mod logs;
mod openrpc;
mod origins;
mod pages;
mod params;
mod raw;
mod registry;
mod rollup;
mod server;
mod simulate;
mod subscriptions;
mod trace;
mod traffic;
mod txpool;
mod witness;

pub use backend::{
    AccountEdit, Backend, BatchCertificate, BatchPosting, BatchReport, DevHooks, L1Heads, L1Ref, Network, NodeStatus,
    StatusReport, SyncProgress, WaitCode, Waiting,
};
pub use config::RpcConfig;
pub use error::RpcError;
pub use openrpc::{catalogue, document};
pub use pages::{Page, Pages};
pub use server::{RpcServer, StartError};
