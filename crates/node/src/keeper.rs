//! The node's keeper: who pays, what it is allowed to do, and where it learns of double voting.

use crate::config::KeeperSection;
use crate::node::Parts;
use crate::status::Role;
use crate::watch::{Proofs, Watch, WatchError};
use alloy_primitives::Bytes;
use oceanid_contracts::l1::Slasher;
use oceanid_sequencer::{EvidenceRecord, Statement};
use oceanid_settlement::{Evidence, EvidenceSource, Keeper, KeeperConfig, Task};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The keeper looks at L1 once while the rest of the node does so many times.
const PACE: u32 = 4;

/// Folder of the proofs that sequencers have told of, in the data directory.
const WATCH_FOLDER: &str = "watch";

/// Starts the keeper of a node that has an L1 account and is not told otherwise, and the watch that it needs without a seat.
pub(crate) fn start(parts: &Parts, role: watch::Receiver<Role>, tasks: &mut Vec<Task>) -> Result<Option<Keeper>, WatchError> {
    let section = &parts.config.keeper;
    let Some(account) = parts.account.clone().filter(|_| section.enabled) else { return Ok(None) };
    let mut told = None;
    if section.evidence && !section.watch_peers.is_empty() {
        let directory = parts.config.data_dir.join(WATCH_FOLDER);
        let watch = Watch::open(&directory, parts.ledger.clone(), &section.watch_peers)?;
        told = Some(watch.proofs());
        tasks.push(Task::spawn(watch.run()));
    }
    let identity = parts.keys.as_ref().map(|keys| keys.node.identity());
    let config = settings(section, KeeperConfig::new(account, identity, parts.poll() * PACE));
    let (client, spec, chain) = (parts.client.clone(), Arc::clone(&parts.spec), Arc::new(parts.ledger.clone()));
    let (keeper, task) = Keeper::start(client, spec, chain, Arc::new(NodeEvidence { role, told }), config);
    tasks.push(task);
    Ok(Some(keeper))
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

/// What the sequencer that runs now has found; without one, what other sequencers have told of: a node that only follows sees no votes.
struct NodeEvidence {
    role: watch::Receiver<Role>,
    told: Option<Proofs>,
}

impl NodeEvidence {
    fn proofs(&self) -> Option<Proofs> {
        match &*self.role.borrow() {
            Role::Sequencer { sequencer, .. } => Some(Proofs(sequencer.evidence().clone())),
            Role::Follower { .. } => self.told.clone(),
            Role::Changing => None,
        }
    }
}

impl EvidenceSource for NodeEvidence {
    fn pending(&self) -> Vec<(usize, Evidence)> {
        self.proofs().map(|proofs| proofs.pending()).unwrap_or_default()
    }

    fn acknowledge(&self, number: usize) {
        if let Some(proofs) = self.proofs() {
            proofs.acknowledge(number);
        }
    }
}

/// A record as `Slasher` takes it; none for one that is neither two votes nor two certificates.
pub(crate) fn for_l1(record: &EvidenceRecord) -> Option<Evidence> {
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
