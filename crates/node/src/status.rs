//! What a node tells of itself, over RPC, on its pages and as metrics: role, progress, and why it waits.

use crate::batches::Batches;
use crate::economy::{Figures, unix_time};
use crate::metrics::{Activity, Mark, Scrape};
use crate::sample::Samples;
use crate::waiting::{self, Facts, Reason};
use alloy_primitives::B256;
use oceanid_chain::{Ledger, LedgerError};
use oceanid_derive::Follower;
use oceanid_pool::Pool;
use oceanid_primitives::L1View;
use oceanid_rpc::{
    BatchCertificate, BatchPosting, BatchReport, L1Heads, L1Ref, NodeStatus, StatusReport, SyncProgress, WaitCode, Waiting,
};
use oceanid_sequencer::{EvidencePage, Sequencer};
use oceanid_settlement::{Batcher, Keeper, L1Status, L1Watcher};
use oceanid_web::Signers;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A node this many blocks behind the tip it knows of says that it is syncing.
const SYNC_SLACK: u64 = 8;

/// Why a node that makes no blocks takes no transactions: in its pool nobody would ever mine them.
const NOBODY_TO_SEND_TO: &str = "this node makes no blocks and knows nobody to send transactions to: set `rpc.forward` (--forward) to a sequencer's JSON-RPC endpoint, or send them there";

/// What a node does besides serving.
#[derive(Clone)]
pub(crate) enum Role {
    Sequencer {
        sequencer: Arc<Sequencer>,
        batcher: Batcher,
        identity: B256,
    },
    Follower {
        follower: Follower,
    },
    /// Between the two.
    Changing,
}

impl Role {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Sequencer { .. } => "sequencer",
            Self::Follower { .. } => "follower",
            Self::Changing => "changing",
        }
    }
}

/// What the node keeps only to be seen: filled by tasks of their own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    /// Work in the blocks committed since start.
    pub(crate) activity: Arc<Activity>,
    /// Stake and rewards on L1.
    pub(crate) figures: Arc<Figures>,
    /// Disk, memory, consensus.
    pub(crate) samples: Samples,
    /// The newest batches on L1.
    pub(crate) batches: Arc<Batches>,
}

/// Implementation of the RPC's [`NodeStatus`], and the source of the metrics.
pub(crate) struct Status {
    ledger: Ledger,
    pool: Arc<Pool>,
    watcher: L1Watcher,
    role: watch::Receiver<Role>,
    /// Without a seat it sends transactions to a sequencer.
    forwards: bool,
    keeper: Option<Keeper>,
    observed: Observed,
    started: Instant,
    started_at: u64,
    /// Since when each reason for waiting has been seen without a break.
    since: Mutex<BTreeMap<WaitCode, Instant>>,
    /// Since when fewer sequencers are connected than a quorum needs.
    lonely: Mutex<Option<Instant>>,
}

impl Status {
    pub(crate) fn new(
        ledger: Ledger,
        pool: Arc<Pool>,
        watcher: L1Watcher,
        role: watch::Receiver<Role>,
        forwards: bool,
        keeper: Option<Keeper>,
        observed: Observed,
    ) -> Self {
        let (started, started_at) = (Instant::now(), ledger.head().number());
        Self {
            ledger,
            pool,
            watcher,
            role,
            forwards,
            keeper,
            observed,
            started,
            started_at,
            since: Mutex::default(),
            lonely: Mutex::default(),
        }
    }

    pub(crate) fn role(&self) -> watch::Ref<'_, Role> {
        self.role.borrow()
    }

    pub(crate) const fn watcher(&self) -> &L1Watcher {
        &self.watcher
    }

    pub(crate) const fn observed(&self) -> &Observed {
        &self.observed
    }

    /// Everything that is measured, now.
    pub(crate) fn scrape(&self) -> Result<Scrape, LedgerError> {
        let (ledger, head, marks) = (&self.ledger, self.ledger.head(), self.ledger.marks());
        let mark = |number: u64| -> Result<Mark, LedgerError> {
            let timestamp = ledger.store().header(number)?.map_or(0, |header| header.timestamp);
            Ok(Mark { number, timestamp })
        };
        let extension = ledger.extension(head.number())?.unwrap_or_default();
        let (votes, settlement, follower, evidence) = match &*self.role.borrow() {
            Role::Sequencer { sequencer, batcher, .. } => {
                (Some(sequencer.status()), Some(batcher.status()), None, sequencer.evidence().count())
            }
            Role::Follower { follower } => (None, None, Some(follower.status()), 0),
            Role::Changing => (None, None, None, 0),
        };
        let (now, l1) = (unix_time(), self.watcher.status());
        Ok(Scrape {
            now,
            uptime: self.started.elapsed(),
            head: mark(head.number())?,
            safe: mark(marks.safe)?,
            finalized: mark(marks.finalized)?,
            tip: votes.as_ref().map(|votes| votes.tip).or(follower.as_ref().map(|follower| follower.target)).unwrap_or_default(),
            epoch: extension.epoch,
            view: extension.view,
            members: ledger.committee(extension.committee_id)?.members.len(),
            activity: self.observed.activity.read(),
            finality: self.observed.activity.finality.read(),
            build: ledger.timings().build.read(),
            execute: ledger.timings().execute.read(),
            built_ahead: ledger.timings().built_ahead.load(Ordering::Relaxed),
            votes,
            settlement,
            follower,
            evidence,
            pool: self.pool.status(),
            l1_age: (l1.tip_timestamp > 0).then(|| now.saturating_sub(l1.tip_timestamp)),
            l1,
            balance: self.observed.figures.balance().map(f64::from),
            keeper: self.keeper.as_ref().map(Keeper::status),
            runway: self.observed.figures.economy().runway,
            waiting: self.report().waiting.iter().map(|waiting| waiting.code).collect(),
            sample: self.observed.samples.read().clone(),
        })
    }

    fn l1_ref(&self, number: u64) -> L1Ref {
        L1View::block(&self.watcher, number).map_or(L1Ref { number, ..L1Ref::default() }, |block| L1Ref {
            hash: block.hash,
            number: block.number,
            parent_hash: block.parent_hash,
            timestamp: block.timestamp,
        })
    }

    /// Why the node waits, with how long each reason has lasted.
    fn waiting(&self, reasons: Vec<Reason>) -> Vec<Waiting> {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.retain(|known, _| reasons.iter().any(|reason| reason.code == *known));
        reasons
            .into_iter()
            .map(|Reason { code, text, remedy }| {
                let start = since.entry(code).or_insert_with(Instant::now);
                let for_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                Waiting { code, reason: text, remedy: remedy.to_owned(), for_ms }
            })
            .collect()
    }

    /// Members whose votes make a certificate; none needed where the chain does not tell.
    fn quorum(&self) -> usize {
        let extension = self.ledger.extension(self.ledger.head().number()).ok().flatten().unwrap_or_default();
        self.ledger.committee(extension.committee_id).map_or(0, |committee| committee.quorum())
    }

    /// What the node's parts say.
    fn facts(&self) -> Facts {
        let sample = self.observed.samples.read().clone();
        let quorum = self.quorum();
        let mut lonely = self.lonely.lock().unwrap_or_else(PoisonError::into_inner);
        *lonely = sample.peers.filter(|peers| peers + 1 < quorum).map(|_| lonely.unwrap_or_else(Instant::now));
        let facts = Facts {
            l1: self.watcher.status(),
            peers: sample.peers,
            lonely_for: lonely.map_or(Duration::ZERO, |since| since.elapsed()),
            quorum,
            clock_skew: sample.clock_skew,
            disk: sample.disk,
            ..Facts::default()
        };
        match &*self.role.borrow() {
            Role::Sequencer { sequencer, batcher, .. } => {
                Facts { votes: Some(sequencer.status()), posts: Some(batcher.status()), ..facts }
            }
            Role::Follower { follower } => Facts { follower: Some(follower.status()), ..facts },
            Role::Changing => facts,
        }
    }
}

/// L1's head, which is too young for the view that origins are taken from.
const fn head_of(l1: &L1Status) -> L1Ref {
    L1Ref { hash: l1.head_hash, number: l1.head, parent_hash: l1.head_parent_hash, timestamp: l1.head_timestamp }
}

impl NodeStatus for Status {
    fn peers(&self) -> usize {
        match &*self.role.borrow() {
            Role::Sequencer { .. } => self.observed.samples.read().peers.unwrap_or_default(),
            // A follower needs nobody but L1.
            Role::Follower { .. } | Role::Changing => 0,
        }
    }

    fn refuses_transactions(&self) -> Option<&'static str> {
        (!self.forwards && matches!(*self.role.borrow(), Role::Follower { .. })).then_some(NOBODY_TO_SEND_TO)
    }

    fn syncing(&self) -> Option<SyncProgress> {
        let current = self.ledger.head().number();
        let highest = match &*self.role.borrow() {
            Role::Sequencer { sequencer, .. } => sequencer.status().tip,
            Role::Follower { follower } => follower.status().target,
            Role::Changing => current,
        };
        (highest > current + SYNC_SLACK).then_some(SyncProgress { starting: self.started_at, current, highest })
    }

    fn l1(&self) -> L1Heads {
        let status = self.watcher.status();
        let origin = status.newest_origin.map_or(0, |origin| origin.number);
        let deep = self.l1_ref(origin);
        L1Heads { current: deep, head: head_of(&status), safe: deep, finalized: deep }
    }

    fn evidence(&self, from: u64) -> serde_json::Value {
        let page = match &*self.role.borrow() {
            Role::Sequencer { sequencer, .. } => sequencer.evidence().page(usize::try_from(from).unwrap_or(usize::MAX)),
            Role::Follower { .. } | Role::Changing => EvidencePage::default(),
        };
        serde_json::to_value(page).expect("a page has string keys only")
    }

    fn batch(&self, index: Option<u64>) -> Option<BatchReport> {
        let batches = &self.observed.batches;
        let batch = match index {
            Some(index) => batches.get(index)?,
            None => batches.newest(1).pop()?,
        };
        let posting = |posting: &oceanid_web::Posting| BatchPosting {
            da_mode: posting.da.map_or_else(|number| format!("unknown {number}"), |mode| mode.to_string()),
            commitment: posting.commitment,
            transaction: posting.transaction,
            l1_block: posting.l1_block,
        };
        Some(BatchReport {
            index: batch.index,
            first_block: batch.first,
            last_block: batch.last,
            block_hash: batch.header_hash,
            output_root: batch.output_root,
            accepted_at: batch.accepted_at,
            certificate: batch.signers.map(|Signers { view, bitmap }| BatchCertificate { view, signers: bitmap }),
            postings: batch.postings.iter().map(posting).collect(),
        })
    }

    fn report(&self) -> StatusReport {
        let facts = self.facts();
        let role = self.role.borrow().clone();
        let (consensus, settlement) = match &role {
            Role::Sequencer { sequencer, identity, .. } => {
                let votes = facts.votes.as_ref();
                let consensus = votes.map(|votes| {
                    json!({
                        "identity": identity, "epoch": votes.epoch, "voting": votes.voting, "committeeSize": votes.committee_size,
                        "sittingOut": votes.sitting_out, "waiting": votes.waiting, "finalized": votes.finalized, "tip": votes.tip,
                        "evidence": sequencer.evidence().count(),
                    })
                });
                (consensus, json!(facts.posts))
            }
            Role::Follower { .. } => (None, json!(facts.follower)),
            Role::Changing => (None, json!(null)),
        };
        let keeper = self.keeper.as_ref().map(Keeper::status);
        let settlement = json!({ "l1": facts.l1, "batches": settlement, "keeper": keeper });
        let waiting = self.waiting(waiting::reasons(&facts));
        StatusReport { role: role.name().to_owned(), waiting, consensus, settlement: Some(settlement) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_l1_is_told_whole() {
        let l1 = L1Status {
            head: 9,
            head_hash: B256::repeat_byte(9),
            head_parent_hash: B256::repeat_byte(8),
            head_timestamp: 108,
            ..L1Status::default()
        };
        let head = head_of(&l1);
        assert_eq!((head.number, head.hash, head.parent_hash, head.timestamp), (9, l1.head_hash, l1.head_parent_hash, 108));
    }
}
