//! Evidence of double voting: found among raw votes and certificates, checked, kept, and handed to whoever submits it to L1.
//!
//! * [`Statement`]: one vote or certificate, in the form L1 takes.
//! * [`EvidenceLog`]: the records on disk, and which of them were dealt with.
//! * `Collector`: compares what consensus reports, and what others bring ([`crate::Node::examine`]).
//! * `Archive`: nullifications of past views; without them a fork that rests on a view thought to be skipped convicts nobody.

mod archive;
mod collector;
mod log;
mod statement;

pub(crate) use collector::{Collector, EvidenceReporter};
pub use log::{EvidenceError, EvidenceKind, EvidenceLog, EvidenceRecord};
pub use statement::{Statement, VoteKind};
