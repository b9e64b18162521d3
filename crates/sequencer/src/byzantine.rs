//! Misbehaviour on purpose, for showing on a development chain that it is found and punished. Never part of a node that matters.

use std::sync::Arc;

use alloy_primitives::B256;
use commonware_actor::Feedback;
use commonware_codec::{Encode as _, varint::UInt};
use commonware_consensus::{
    Epochable as _, Reporter, Viewable as _,
    simplex::types::{Notarize, Proposal, Vote},
};
use commonware_p2p::{Recipients, Sender};
use tracing::error;

use crate::block::digest;
use crate::types::{Activity, Digest, Identity, Scheme};

/// What the second vote is for.
const NO_BLOCK: B256 = B256::repeat_byte(0xee);

/// How a node misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Byzantine {
    /// Signs a second notarize vote, for a block that does not exist, in every view in which somebody votes.
    Equivocate,
}

/// The second voter of one epoch: hears of votes, sends its own to everybody. The engine beside it votes as ever.
#[derive(Clone)]
pub(crate) struct Equivocator<Tx> {
    /// The votes' channel under the mux.
    pub(crate) votes: Tx,
    pub(crate) scheme: Arc<Scheme>,
    /// The last view it voted twice in.
    pub(crate) view: u64,
}

impl<Tx: Sender<PublicKey = Identity>> Reporter for Equivocator<Tx> {
    type Activity = Activity;

    fn report(&mut self, activity: Activity) -> Feedback {
        let Activity::Notarize(vote) = &activity else { return Feedback::Ok };
        let (epoch, view) = (activity.epoch().get(), activity.view().get());
        if view <= self.view {
            return Feedback::Ok;
        }
        self.view = view;
        let other = Proposal::new(vote.proposal.round, vote.proposal.parent, digest(NO_BLOCK));
        if let Some(vote) = Notarize::sign(self.scheme.as_ref(), other) {
            error!(epoch, view, "voting twice, as configured: this node will be slashed");
            let message = [UInt(epoch).encode(), Vote::<Scheme, Digest>::Notarize(vote).encode()].concat();
            let _: Vec<Identity> = self.votes.send(Recipients::All, bytes::Bytes::from(message), true);
        }
        Feedback::Ok
    }
}
