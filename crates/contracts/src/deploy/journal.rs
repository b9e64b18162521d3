//! What a deployment has signed, written down before it leaves, so that another run can take up where one was killed.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

/// A transaction that was signed for a step of a plan. It was sent, or the program was killed just before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signed {
    /// Place of the step in [`DeploymentPlan::outline`](super::DeploymentPlan::outline).
    pub step: usize,
    /// Who signed.
    pub from: Address,
    /// The account's nonce.
    pub nonce: u64,
    /// Hash of the transaction: it stands for everything in it.
    pub hash: B256,
}

/// Keeps what was signed. A step that was signed twice, because L1 forgot the first or the fee was too low, is in it twice.
pub trait Journal: Send {
    /// Everything so far, the oldest first.
    fn signed(&self) -> &[Signed];

    /// Takes a transaction in, durably, before it is sent.
    ///
    /// # Errors
    ///
    /// It could not be written; the transaction is not sent.
    fn record(&mut self, signed: Signed) -> std::io::Result<()>;
}

/// In memory: the journal of a deployment that nobody will take up again.
impl Journal for Vec<Signed> {
    fn signed(&self) -> &[Signed] {
        self
    }

    fn record(&mut self, signed: Signed) -> std::io::Result<()> {
        self.push(signed);
        Ok(())
    }
}
