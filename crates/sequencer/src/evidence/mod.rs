//! Evidence of double voting: found among raw votes and certificates, checked, kept, and handed to whoever submits it to L1.
//!
//! * [`Statement`]: one vote or certificate, in the form L1 takes.
//! * [`EvidenceLog`]: the records on disk, and which of them were dealt with.
//! * [`EvidenceChecker`]: whether a record from elsewhere proves what it says.
//! * `Collector`: compares what consensus reports, and what others bring ([`crate::Node::examine`]).
//! * `Archive`: nullifications of past views; without them a fork that rests on a view thought to be skipped convicts nobody.

mod archive;
mod check;
mod collector;
mod log;
mod statement;

pub use check::{EvidenceChecker, EvidenceFlaw};
pub(crate) use collector::{Collector, EvidenceReporter};
pub use log::{EVIDENCE_PAGE, EvidenceError, EvidenceKind, EvidenceLog, EvidencePage, EvidenceRecord, HeldEvidence};
pub use statement::{Statement, VoteKind};
