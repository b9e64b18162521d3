//! The state transition function: one code for the builder, the validator, the follower, the fault-proof guest and the lab.
//!
//! `(state, block environment, transactions) -> (receipts, state changes)`. The state is whatever answers [`StateReader`]:
//! the node's store, a layer of speculative blocks above it ([`Overlay`]), or the witness inside a RISC-V guest. There is no
//! clock, no randomness and no I/O in here; equal inputs give equal outputs, to the byte.
//!
//! # Order of a block
//!
//! 1. System calls: the parent's hash into the EIP-2935 contract; then on Layer 2 who leads and who missed into the epoch
//!    ledger, under [`Rules::Ethereum`] the beacon root into the EIP-4788 contract. An account without code at those addresses
//!    makes the call a no-op; a call that fails makes the block impossible.
//! 2. Transactions in order ([`BlockExecutor::execute`]). On Layer 2 deposits come first; that they are the right ones is the
//!    chain's rule, not this crate's.
//! 3. [`BlockExecutor::finish`] hands out receipts and the [`StateDiff`]; [`finish_header`] makes the header of them.
//!
//! # Two sets of rules
//!
//! Both are Ethereum's Prague rules. [`Rules::ETHEREUM`] is exactly that, blobs included, for the embedded L1; under
//! [`Rules::Ethereum`] any other [`Fork`] runs as well, for chains that are imported to be looked at.
//! [`Rules::Rollup`] differs in what pays and what is paid; `docs/execution.md` has the whole list:
//!
//! * deposits (type `0x7E`) mint, pay nothing and cannot make a block invalid;
//! * base fee, priority fee and L1 data fee go to the fee vault, nothing is burnt;
//! * blob transactions are invalid;
//! * the native token's ERC-20 face moves balances through one precompile ([`predeploys::NATIVE_TRANSFER`]).
//!
//! [`predeploys::NATIVE_TRANSFER`]: oceanid_primitives::predeploys::NATIVE_TRANSFER
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod call;
mod db;
mod diff;
mod env;
mod epoch;
mod error;
mod executor;
mod fees;
mod handler;
mod header;
mod overlay;
mod precompile;
mod reader;
mod tx;
#[cfg(feature = "bench")]
pub mod workload;

pub use call::{CallMode, CallOptions, CallOutcome, CallRequest, call, call_with_inspector, call_with_options, replay};
pub use db::{Db, ReadError, ReaderRef};
pub use diff::{StateDiff, StorageDiff};
pub use env::{BLOB_PARAMS, BlockEnv, Fork, RollupRules, Rules};
pub use epoch::{
    CommitteeReadError, EpochMessage, MAX_MISSED_PER_BLOCK, Work, missed_leaders, missed_views, read_committee,
    read_epoch_message, read_work,
};
pub use error::{InvalidTx, TxError};
pub use executor::{BlockExecutor, EvmContext, ExecutionOutput, Outcome};
pub use fees::{L1Prices, estimated_bytes, ethereum_next_base_fee, l1_data_fee, next_base_fee};
pub use handler::TxContext;
pub use header::{
    BlockRoots, HeaderError, check_header, committee_ids, compare_headers, ethereum_env, ethereum_header, finish_header,
    header_for, l2_env, logs_bloom, receipts_root, transactions_root,
};
pub use overlay::{EmptyState, Overlay};
pub use precompile::{NATIVE_TRANSFER_GAS, PrecompileMoves, is_precompile};
pub use reader::{AccountState, StateReader};
pub use revm;
