//! The concrete types consensus is instantiated with. Everything else in the crate speaks in these names.

use commonware_consensus::{
    marshal::{self, core::Mailbox, standard::Standard},
    simplex::{self, scheme::bls12381_multisig},
};
use commonware_cryptography::{bls12381::primitives::variant::MinSig, ed25519, sha256};

use crate::ConsensusBlock;

/// Names a node on the network; its order is the order of the committee.
pub type Identity = ed25519::PublicKey;
/// Signs and checks votes and certificates of one epoch.
pub type Scheme = bls12381_multisig::Scheme<Identity, MinSig>;
/// 32 opaque bytes to consensus; here always the header hash (keccak256) of a block.
pub type Digest = sha256::Digest;
/// Round, leader and parent of a proposal.
pub type Context = simplex::types::Context<Digest, Identity>;
/// Votes, certificates and conflicts as consensus reports them.
pub type Activity = simplex::types::Activity<Scheme, Digest>;
/// A quorum of finalize votes in one signature.
pub type Finalization = simplex::types::Finalization<Scheme, Digest>;
/// Where finalised blocks are ordered and repaired.
pub type Marshal = Mailbox<Scheme, Standard<ConsensusBlock>>;
/// What marshal delivers: tips as heard of, blocks in order with an acknowledgement.
pub type Update = marshal::Update<ConsensusBlock>;
