//! The committee: consensus, epochs, building and checking of blocks, catch-up by certificates.
//!
//! A [`node`] is commonware simplex and marshal around an [`Execution`]. The committee of an epoch votes on header hashes with
//! BLS multi-signatures; a finalize vote says that its voter executed the block. Finalised blocks reach [`Execution::finalize`]
//! in order, each with its [`certificate::Certificate`] if it has one of its own. [`Sequencer`] runs a node on tokio over TCP;
//! the deterministic simulator runs the same composition in tests. `docs/consensus.md` tells the protocol.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod application;
pub mod block;
mod byzantine;
pub mod certificate;
mod committees;
pub mod config;
mod epochs;
mod evidence;
mod execution;
pub mod gossip;
mod inquiry;
mod keys;
#[cfg(feature = "ledger")]
mod ledger;
pub mod node;
mod orchestrator;
mod sequencer;
mod status;
pub mod types;
mod voting_record;

pub use block::{BlockCodec, BlockError, ConsensusBlock, MAX_BLOCK_BYTES};
pub use byzantine::Byzantine;
pub use certificate::{Certificate, CertificateError, L1Certificate, verify_certificate};
pub use committees::{CommitteeKeyError, Committees};
pub use config::{ConsensusConfig, Timing};
pub use evidence::{
    EVIDENCE_PAGE, EvidenceChecker, EvidenceError, EvidenceFlaw, EvidenceKind, EvidenceLog, EvidencePage, EvidenceRecord,
    HeldEvidence, Statement, VoteKind,
};
pub use execution::{Execution, FinalizeError, ProposalContext, ProposeError, RecoveryRefused, Verdict};
pub use gossip::{MAX_TRANSACTION_BYTES, OnTransactions, Reception, TransactionGossip};
pub use keys::{KeyError, NodeKeys, POSSESSION_TAG, bls_public_key, bls_scalar, g1_eip2537, identity_of};
#[cfg(feature = "ledger")]
pub use ledger::{Gate, LedgerExecution};
pub use node::Node;
pub use sequencer::{Sequencer, SequencerConfig, StartError};
pub use status::{Silent, Status, Waiting};
