//! The node's keeper: who pays, what it is allowed to do, and where it learns of double voting.

use crate::config::KeeperSection;
use crate::node::Parts;
use crate::status::Role;
use alloy_primitives::Bytes;
use oceanid_contracts::l1::Slasher;
use oceanid_sequencer::{EvidenceLog, EvidenceRecord, Statement};
use oceanid_settlement::{Evidence, EvidenceSource, Keeper, KeeperConfig, Task};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The keeper looks at L1 once while the rest of the node does so many times.
const PACE: u32 = 4;

/// Starts the keeper of a node that has an L1 account and is not told otherwise.
pub(crate) fn start(parts: &Parts, role: watch::Receiver<Role>) -> Option<(Keeper, Task)> {
    let section = &parts.config.keeper;
    let account = parts.account.clone().filter(|_| section.enabled)?;
    let identity = parts.keys.as_ref().map(|keys| keys.node.identity());
    let config = settings(section, KeeperConfig::new(account, identity, parts.poll() * PACE));
    let (client, spec, chain) = (parts.client.clone(), Arc::clone(&parts.spec), Arc::new(parts.ledger.clone()));
    Some(Keeper::start(client, spec, chain, Arc::new(NodeEvidence(role)), config))
}

fn settings(section: &KeeperSection, config: KeeperConfig) -> KeeperConfig {
    KeeperConfig {
        duties: section.duties(),
        stagger: Duration::from_secs(section.stagger_seconds),
        survey: Duration::from_secs(section.survey_seconds),
        credit_epochs: section.credit_epochs,
        credit_wait: section.credit_wait_seconds,
        ..config
    }
}

/// The evidence log of the sequencer that runs now; a node that only follows sees no votes.
struct NodeEvidence(watch::Receiver<Role>);

impl NodeEvidence {
    fn log(&self) -> Option<EvidenceLog> {
        match &*self.0.borrow() {
            Role::Sequencer { sequencer, .. } => Some(sequencer.evidence().clone()),
            Role::Follower { .. } | Role::Changing => None,
        }
    }
}

impl EvidenceSource for NodeEvidence {
    fn pending(&self) -> Vec<(usize, Evidence)> {
        let pending = self.log().map(|log| log.pending()).unwrap_or_default();
        pending.into_iter().filter_map(|(place, record)| Some((place, for_l1(&record)?))).collect()
    }

    fn acknowledge(&self, number: usize) {
        if let Some(log) = self.log() {
            log.acknowledge(number);
        }
    }
}

/// A record as `Slasher` takes it; none for one that is neither two votes nor two certificates.
fn for_l1(record: &EvidenceRecord) -> Option<Evidence> {
    let vote = |statement: &Statement| Slasher::Vote {
        kind: statement.vote as u8,
        view_: record.view,
        parentView: statement.parent_view,
        payload: statement.payload,
        signature: Bytes::copy_from_slice(statement.signature.as_slice()),
    };
    let (epoch, committee_id) = (record.epoch, record.committee_id);
    let [first, second] = &record.statements;
    match (first.signers, second.signers) {
        (None, None) => {
            let member = *record.signers.first()?;
            Some(Evidence::Equivocation { epoch, committee_id, member, first: vote(first), second: vote(second) })
        }
        (Some(left), Some(right)) => {
            let certificate = |statement, signers| Slasher::Certificate { vote: vote(statement), signers };
            Some(Evidence::Fork { epoch, committee_id, first: certificate(first, left), second: certificate(second, right) })
        }
        _ => None,
    }
}
