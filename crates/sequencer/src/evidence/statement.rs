//! One signed message of consensus: what it says, who signed it, whether it contradicts another, and its form for L1.

use alloy_primitives::{B256, FixedBytes, U256};
use commonware_codec::Encode as _;
use commonware_consensus::simplex::types::{
    Attributable as _, Finalize, Notarization, Notarize, Nullification, Nullify, Proposal,
};
use commonware_parallel::Sequential;
use rand_core::CryptoRng;

use crate::{
    block::hash,
    certificate::SIGNATURE_BYTES,
    keys::g1_eip2537,
    types::{Digest, Finalization, Scheme},
};

/// What a vote is for; the numbers are those of `Slasher`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[repr(u8)]
pub enum VoteKind {
    /// This proposal is the one of its view.
    Notarize = 0,
    /// The view has none.
    Nullify = 1,
    /// This proposal is final.
    Finalize = 2,
}

/// A vote of one member, or a quorum's in one certificate. Epoch and view are the record's.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Statement {
    /// What was voted for.
    pub vote: VoteKind,
    /// View of the proposal's parent; 0 in a nullify vote.
    pub parent_view: u64,
    /// Header hash; zero in a nullify vote.
    pub payload: B256,
    /// Members that signed a certificate, bit i for member i; none for the vote of one member.
    pub signers: Option<U256>,
    /// G1, EIP-2537 encoding.
    pub signature: FixedBytes<128>,
}

/// A message as the consensus library has it.
#[derive(Clone)]
pub(super) enum Message {
    Notarize(Notarize<Scheme, Digest>),
    Nullify(Nullify<Scheme>),
    Finalize(Finalize<Scheme, Digest>),
    Notarization(Notarization<Scheme, Digest>),
    Nullification(Nullification<Scheme>),
    Finalization(Finalization),
}

impl Message {
    pub(super) const fn vote(&self) -> VoteKind {
        match self {
            Self::Notarize(_) | Self::Notarization(_) => VoteKind::Notarize,
            Self::Nullify(_) | Self::Nullification(_) => VoteKind::Nullify,
            Self::Finalize(_) | Self::Finalization(_) => VoteKind::Finalize,
        }
    }

    const fn proposal(&self) -> Option<&Proposal<Digest>> {
        match self {
            Self::Notarize(vote) => Some(&vote.proposal),
            Self::Notarization(certificate) => Some(&certificate.proposal),
            Self::Finalize(vote) => Some(&vote.proposal),
            Self::Finalization(certificate) => Some(&certificate.proposal),
            Self::Nullify(_) | Self::Nullification(_) => None,
        }
    }

    /// The member whose vote this is; none for a certificate.
    pub(super) fn voter(&self) -> Option<u32> {
        match self {
            Self::Notarize(vote) => Some(vote.signer().get()),
            Self::Nullify(vote) => Some(vote.signer().get()),
            Self::Finalize(vote) => Some(vote.signer().get()),
            Self::Notarization(_) | Self::Nullification(_) | Self::Finalization(_) => None,
        }
    }

    /// Who signed.
    pub(super) fn signers(&self) -> Vec<u32> {
        let certificate = match self {
            Self::Notarization(certificate) => &certificate.certificate,
            Self::Nullification(certificate) => &certificate.certificate,
            Self::Finalization(certificate) => &certificate.certificate,
            Self::Notarize(_) | Self::Nullify(_) | Self::Finalize(_) => return self.voter().into_iter().collect(),
        };
        certificate.signers.iter().map(|signer| signer.get()).collect()
    }

    /// Whether no honest member signs both, in one view: two proposals notarized, two finalized, or one finalized and none.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        match (self.vote(), other.vote()) {
            (VoteKind::Nullify, VoteKind::Finalize) | (VoteKind::Finalize, VoteKind::Nullify) => true,
            (VoteKind::Notarize, VoteKind::Notarize) | (VoteKind::Finalize, VoteKind::Finalize) => {
                self.proposal() != other.proposal()
            }
            _ => false,
        }
    }

    /// Checks the signature.
    pub(super) fn verify(&self, rng: &mut impl CryptoRng, scheme: &Scheme) -> bool {
        match self {
            Self::Notarize(vote) => vote.verify(rng, scheme, &Sequential),
            Self::Nullify(vote) => vote.verify::<_, Digest>(rng, scheme, &Sequential),
            Self::Finalize(vote) => vote.verify(rng, scheme, &Sequential),
            Self::Notarization(certificate) => certificate.verify(rng, scheme, &Sequential),
            Self::Nullification(certificate) => certificate.verify::<_, Digest>(rng, scheme, &Sequential),
            Self::Finalization(certificate) => certificate.verify(rng, scheme, &Sequential),
        }
    }

    /// The form for L1; none if the signature is no point of G1, which a verified message's always is.
    pub(super) fn statement(&self) -> Option<Statement> {
        let encoded = match self {
            Self::Notarize(vote) => vote.encode(),
            Self::Nullify(vote) => vote.encode(),
            Self::Finalize(vote) => vote.encode(),
            Self::Notarization(certificate) => certificate.encode(),
            Self::Nullification(certificate) => certificate.encode(),
            Self::Finalization(certificate) => certificate.encode(),
        };
        // Every message ends with its signature.
        let signature = g1_eip2537(encoded.last_chunk::<SIGNATURE_BYTES>()?).ok()?;
        let signers = self.voter().is_none().then(|| {
            self.signers().into_iter().fold(U256::ZERO, |mut bits, signer| {
                bits.set_bit(signer as usize, true);
                bits
            })
        });
        let (parent_view, payload) = self.proposal().map_or((0, B256::ZERO), |p| (p.parent.get(), hash(&p.payload)));
        Some(Statement { vote: self.vote(), parent_view, payload, signers, signature })
    }
}
