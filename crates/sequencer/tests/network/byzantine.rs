//! A member that votes twice: it mirrors every vote it hears and adds one for a block that does not exist.

use commonware_codec::{Decode as _, Encode as _, varint::UInt};
use commonware_consensus::simplex::types::{Finalize, Notarize, Nullify, Proposal, Vote};
use commonware_cryptography::sha256::Digest;
use commonware_p2p::{Receiver as _, Recipients, Sender as _, utils::mux};
use commonware_runtime::{Handle, Spawner as _, Supervisor as _};
use oceanid_sequencer::{
    node::{CHANNELS, quota},
    types::{Identity, Scheme},
};

use crate::sim::{Sim, identity, keys};

/// Runs node `index` as a double voter in epoch 0.
pub(crate) async fn equivocate(sim: &Sim, index: usize) -> Handle<()> {
    let (channel, rate) = CHANNELS[0];
    let (mut sender, mut receiver) =
        sim.oracle.control(identity(index)).register(channel, quota(rate)).await.expect("the network runs");
    let scheme = keys(index).voting_scheme(b"OCEANID-TEST", &crate::sim::committee(1, &(0..sim.setup.seats).collect::<Vec<_>>()));
    let scheme: Scheme = scheme.expect("a member");
    sim.context.child("byzantine").spawn(move |_| async move {
        while let Ok((_, message)) = receiver.recv().await {
            let Ok((epoch, vote)) = mux::parse(message) else { continue };
            let Ok(vote) = Vote::<Scheme, Digest>::decode_cfg(vote, &()) else { continue };
            let votes: Vec<Vote<Scheme, Digest>> = match vote {
                Vote::Notarize(vote) => {
                    let other = Proposal::new(vote.proposal.round, vote.proposal.parent, Digest([0xee; 32]));
                    [other, vote.proposal]
                        .into_iter()
                        .filter_map(|proposal| Notarize::sign(&scheme, proposal))
                        .map(Vote::Notarize)
                        .collect()
                }
                Vote::Finalize(vote) => {
                    let nullify = Nullify::sign::<Digest>(&scheme, vote.proposal.round).map(Vote::Nullify);
                    nullify.into_iter().chain(Finalize::sign(&scheme, vote.proposal).map(Vote::Finalize)).collect()
                }
                Vote::Nullify(_) => continue,
            };
            for vote in votes {
                let bytes = [UInt(epoch).encode(), vote.encode()].concat();
                let _: Vec<Identity> = sender.send(Recipients::All, bytes::Bytes::from(bytes), true);
            }
        }
    })
}
