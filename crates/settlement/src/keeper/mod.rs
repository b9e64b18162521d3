//! The keeper: what the protocol asks somebody to do on L1, done by whichever node is first.
//!
//! One actor a node, beside the batcher and on the same account. A **round** reads what L1 and the committed chain say, lists what is
//! due ([`duties`]), and sends the first of it whose turn has come. All that must last is on L1, so a restart needs no memory:
//!
//! * **recover** the chain when its committee has stood still for `Rollup`'s timeout and the pool has a newer one;
//! * **rotate** the committee, when the pool allows it and the next committee would differ from the present one, and **seal** what a
//!   rotation chose once L1 has the block that gives its seed;
//! * **jail** members that `MiningRewards` calls jailable, and **complete exits** that rotations have left waiting;
//! * **credit** epochs from messages in final outputs, several in one transaction;
//! * **fees**: prove and finalise the fee vault's withdrawals, settle the splitter, have the own posting costs reimbursed;
//! * **evidence** of double voting, as consensus finds it, to the `Slasher`.
//!
//! **Who.** Every node may. For each task the committee's order begins with another member (the task says with which), and each one after
//! it waits one `stagger` longer; outsiders come last. So one node pays, and not always the same. Each call is estimated first: what
//! another node has done already reverts there, which costs nothing and is no failure.
//!
//! **What an L1 endpoint that lies can cost.** What is sent and due again at the next look waits for a minute, and twice as long each time;
//! and no more than [`MAX_AN_HOUR`] transactions are sent an hour.

mod actor;
mod chain;
mod duties;
mod evidence;
mod look;

use crate::{L1Account, L1Client, Task};
use alloy_primitives::{B256, U256};
use oceanid_primitives::ChainSpec;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

pub use actor::MAX_AN_HOUR;
pub use chain::{KeptChain, Messages};
pub use evidence::{Evidence, EvidenceSource, NoEvidence};

/// Which duties a keeper has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duties {
    /// `Rollup.recover`.
    pub recover: bool,
    /// `SequencerPool.rotate` and `SequencerPool.seal`.
    pub rotate: bool,
    /// `SequencerPool.jail`.
    pub jail: bool,
    /// `SequencerPool.completeExit`.
    pub exits: bool,
    /// `MiningRewards.creditEpochs`.
    pub credit: bool,
    /// Withdrawals of fees, `FeeSplitter.settle` and `FeeSplitter.reimburse`.
    pub fees: bool,
    /// `Slasher`.
    pub evidence: bool,
}

impl Duties {
    /// All of them.
    pub const ALL: Self = Self { recover: true, rotate: true, jail: true, exits: true, credit: true, fees: true, evidence: true };
}

/// Configuration of a [`Keeper`].
#[derive(Clone, Debug)]
pub struct KeeperConfig {
    /// Pays.
    pub account: L1Account,
    /// This node's identity key in committees, for its place in the order; none: it is an outsider.
    pub identity: Option<B256>,
    /// What it does.
    pub duties: Duties,
    /// Head start of one member over the next.
    pub stagger: Duration,
    /// Pause between two rounds.
    pub poll: Duration,
    /// Pause between two looks at the record of every sequencer.
    pub survey: Duration,
    /// Final epochs that are worth a transaction.
    pub credit_epochs: u64,
    /// A final epoch waits for others at most this long, seconds since it ended.
    pub credit_wait: u64,
}

impl KeeperConfig {
    /// Defaults but for what has none.
    pub const fn new(account: L1Account, identity: Option<B256>, poll: Duration) -> Self {
        Self {
            account,
            identity,
            duties: Duties::ALL,
            stagger: Duration::from_secs(24),
            poll,
            survey: Duration::from_secs(60),
            credit_epochs: 4,
            credit_wait: 6 * 3_600,
        }
    }
}

/// How the keeper stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeeperStatus {
    /// Tasks this node has done since start.
    pub done: u64,
    /// Transactions that were mined and refused since start: another node was first.
    pub refused: u64,
    /// The last one that was done.
    pub last_action: Option<Action>,
    /// What is on its way.
    pub in_flight: Option<String>,
    /// What is due, first things first.
    pub due: Vec<String>,
    /// L1 time from which a chain without a new batch may be recovered, seconds.
    pub stalled_at: u64,
    /// The chain has stood still for so long.
    pub stalled: bool,
    /// L1 time from which the pool rotates again, seconds.
    pub next_rotation: u64,
    /// Why a rotation would be of use; none: it would change nothing.
    pub rotation_because: Option<String>,
    /// Proofs of double voting that L1 has not punished yet.
    pub pending_evidence: usize,
    /// Lowest epoch that is not credited.
    pub next_epoch: u64,
    /// Epochs that could be credited now.
    pub creditable_epochs: u64,
    /// What is left of the mining budget, wei; a decimal text in JSON, as all amounts here.
    #[serde(serialize_with = "decimal")]
    pub budget: U256,
    /// Seconds that the budget lasts at the present rate; none: nothing is being spent.
    pub runway: Option<u64>,
    /// The last failure, if nothing has succeeded since.
    pub last_error: Option<String>,
}

fn decimal<S: serde::Serializer>(amount: &U256, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(amount)
}

/// Something the keeper did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    /// What.
    pub what: String,
    /// When it was seen mined, seconds since 1970.
    pub at: u64,
}

/// Handle of the keeper. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keeper(watch::Receiver<KeeperStatus>);

impl Keeper {
    /// Starts the actor.
    pub fn start(
        client: L1Client,
        spec: Arc<ChainSpec>,
        chain: Arc<dyn KeptChain>,
        evidence: Arc<dyn EvidenceSource>,
        config: KeeperConfig,
    ) -> (Self, Task) {
        let (sender, status) = watch::channel(KeeperStatus::default());
        let actor = actor::Actor::new(client, spec, chain, evidence, config, sender);
        (Self(status), Task::spawn(actor.run()))
    }

    /// How the keeper stands.
    pub fn status(&self) -> KeeperStatus {
        self.0.borrow().clone()
    }

    /// A receiver that wakes at every change.
    pub fn subscribe(&self) -> watch::Receiver<KeeperStatus> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_a_decimal_text() {
        let status = KeeperStatus { budget: U256::from(10).pow(U256::from(24)), ..KeeperStatus::default() };
        assert_eq!(serde_json::to_value(status).unwrap()["budget"], "1000000000000000000000000");
    }
}
