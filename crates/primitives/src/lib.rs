//! The nouns of Oceanid: every type that more than one crate speaks of, and nothing that acts.
//!
//! Formats follow Ethereum and the OP Stack wherever one exists: headers and transactions are Ethereum's, deposits are type
//! `0x7E` of the OP Stack, output roots are version 0. What is Oceanid's own is the header extension ([`HeaderExtension`]),
//! the committee ([`Committee`]) and the batch header ([`DaMode`]).
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod batch;
mod block;
mod committee;
mod epochs;
mod extension;
mod l1;
mod output;
pub mod predeploys;
mod receipt;
mod spec;
mod transaction;

pub use alloy_consensus::Header;
pub use batch::{DaMode, UnknownDaMode};
pub use block::{Block, Body, SealedBlock};
pub use committee::{Committee, CommitteeError, MAX_COMMITTEE, MEMBER_BYTES, Member, quorum};
pub use epochs::{Epochs, RECOVERY_EPOCHS, Recovery, RecoveryError};
pub use extension::{ExtensionError, HeaderExtension, L1Origin};
pub use l1::{L1Block, L1View, l1_info_deposit, system_source_hash, user_source_hash};
pub use op_alloy_consensus::TxDeposit;
pub use output::output_root;
pub use receipt::{Receipt, ReceiptEnvelope};
pub use spec::{ChainSpec, DEV_CHAIN_ID, FeeParams, L1Contracts, L1DataFee, SpecError, Timing};
pub use transaction::{TxEnvelope, TxType};
