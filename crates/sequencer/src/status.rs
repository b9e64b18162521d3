//! What a node is doing, and whom the committee waits for when it stands still.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_primitives::B256;
use parking_lot::Mutex;

use crate::committees::Seated;

/// What a node is doing, for operators and tests.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Epoch of the running engine.
    pub epoch: u64,
    /// Whether this node votes in it.
    pub voting: bool,
    /// Why this node only observes although it has a seat.
    pub sitting_out: Option<String>,
    /// Members of its committee.
    pub committee_size: usize,
    /// Newest block that is durable here.
    pub finalized: u64,
    /// Newest finalised height heard of.
    pub tip: u64,
    /// What the committee waits for, while no block becomes final.
    pub waiting: Option<Waiting>,
    /// Why the node stopped, if it did.
    pub failure: Option<String>,
}

/// A committee that stands still, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// When the last block became final here, or the node was started; seconds since 1970.
    pub since: u64,
    /// Votes that make a certificate.
    pub quorum: usize,
    /// Members that voted in the newest view, this node included.
    pub heard: usize,
    /// The others.
    pub silent: Vec<Silent>,
}

/// A member that did not vote in the newest view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Silent {
    /// Position in the committee.
    pub index: u32,
    /// Sequencer id in the pool.
    pub id: u64,
    /// Identity key.
    pub identity: B256,
    /// Newest view of this epoch in which it was heard.
    pub last_view: Option<u64>,
    /// Whether this node is connected to it.
    pub connected: bool,
}

impl core::fmt::Display for Waiting {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { since, quorum, heard, silent } = self;
        if heard >= quorum {
            return write!(
                f,
                "no block is final since {since}: {heard} members vote ({quorum} needed), no proposal gets through"
            );
        }
        write!(f, "no block is final since {since}: {heard} members vote, {quorum} are needed; silent:")?;
        for (at, Silent { id, identity, connected, .. }) in silent.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma} sequencer {id} ({identity}{})", if *connected { "" } else { ", not connected" })?;
        }
        Ok(())
    }
}

/// The newest view in which each member of the running epoch voted, and who signed anything in it. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attendance(Arc<Mutex<Heard>>);

#[derive(Debug, Default)]
struct Heard {
    epoch: u64,
    views: BTreeMap<u32, u64>,
    /// Members that signed something in the epoch, if only within a certificate.
    signers: BTreeSet<u32>,
}

impl Heard {
    /// What was heard in `epoch`, anew if it is a later one; none if it is past.
    fn of(&mut self, epoch: u64) -> Option<&mut Self> {
        if epoch > self.epoch {
            *self = Self { epoch, ..Self::default() };
        }
        (epoch == self.epoch).then_some(self)
    }
}

impl Attendance {
    /// A vote was heard.
    pub(crate) fn note(&self, epoch: u64, view: u64, signer: u32) {
        if let Some(heard) = self.0.lock().of(epoch) {
            let newest = heard.views.entry(signer).or_default();
            *newest = view.max(*newest);
        }
    }

    /// Members signed something.
    pub(crate) fn note_signers(&self, epoch: u64, signers: impl IntoIterator<Item = u32>) {
        if let Some(heard) = self.0.lock().of(epoch) {
            heard.signers.extend(signers);
        }
    }

    /// Members that are known to have signed something in `epoch`; none if another one runs.
    pub(crate) fn signers(&self, epoch: u64) -> BTreeSet<u32> {
        let heard = self.0.lock();
        if heard.epoch == epoch { heard.signers.clone() } else { BTreeSet::new() }
    }

    /// Whom the committee of `epoch` waits for. `me`: this node's position if it votes.
    pub(crate) fn waiting(&self, epoch: u64, since: u64, seated: &Seated, me: Option<u32>, connected: &[B256]) -> Waiting {
        let heard = self.0.lock();
        let views = if heard.epoch == epoch { heard.views.clone() } else { BTreeMap::new() };
        let newest = views.values().max().copied();
        let silent: Vec<Silent> = seated
            .committee
            .members
            .iter()
            .zip(0u32..)
            .map(|(member, index)| Silent {
                index,
                id: member.id,
                identity: member.identity,
                last_view: views.get(&index).copied(),
                connected: connected.contains(&member.identity),
            })
            .filter(|member| Some(member.index) != me && (newest.is_none() || member.last_view != newest))
            .collect();
        let heard = seated.committee.members.len() - silent.len();
        Waiting { since, quorum: seated.committee.quorum(), heard, silent }
    }
}
