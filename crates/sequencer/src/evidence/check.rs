//! A proof of double voting from elsewhere, checked with nothing but the chain's namespace and the committee of its epoch.

use alloy_primitives::{B256, FixedBytes};
use commonware_codec::{Copying, DecodeExt as _};
use commonware_cryptography::bls12381::primitives::{group::G2, ops::aggregate, variant::MinSig};
use commonware_utils::{iter::NonEmpty, ordered::BiMap};
use oceanid_primitives::{Committee, quorum};

use super::{
    log::{EvidenceKind, EvidenceRecord},
    statement::{Statement, VoteKind},
};
use crate::{
    certificate::{SIGNATURE_BYTES, put_varint},
    committees::{CommitteeKeyError, member_keys},
    keys::g1_eip2537,
    types::Identity,
};

/// Why a record proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceFlaw {
    /// A vote against a certificate.
    #[error("a lead and no proof: one message is a vote, the other a certificate")]
    Lead,
    /// The epoch has another committee.
    #[error("of committee {found}, epoch {epoch} has committee {expected}")]
    Committee {
        /// Epoch of the record.
        epoch: u64,
        /// Committee of the record.
        found: u64,
        /// Committee of that epoch.
        expected: u64,
    },
    /// An honest member may sign both messages.
    #[error("the two messages do not contradict")]
    Harmless,
    /// Says of the two messages what they do not say.
    #[error("`{0}` is not what the two messages show")]
    Content(&'static str),
    /// Fewer signers than a quorum, or bits beyond the committee.
    #[error("a certificate of {signers} signers: {quorum} to {size} are needed")]
    Quorum {
        /// Bits set.
        signers: usize,
        /// Members.
        size: usize,
        /// Least signers.
        quorum: usize,
    },
    /// Not a point, of another key, or under other words.
    #[error("the signature of the {0} message does not verify")]
    Forged(&'static str),
}

/// Checks records of one committee.
#[derive(Debug)]
pub struct EvidenceChecker {
    namespace: Vec<u8>,
    committee: Committee,
    keys: BiMap<Identity, G2>,
}

impl EvidenceChecker {
    /// For the committee of an epoch of the chain with that namespace ([`oceanid_primitives::ChainSpec::namespace`]).
    ///
    /// # Errors
    ///
    /// The committee's keys are unusable.
    pub fn new(namespace: &[u8], committee: Committee) -> Result<Self, CommitteeKeyError> {
        let keys = member_keys(&committee)?;
        Ok(Self { namespace: namespace.to_vec(), committee, keys })
    }

    /// Its committee.
    pub const fn committee_id(&self) -> u64 {
        self.committee.id
    }

    /// Whether a record of an epoch of this committee proves what it says.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self, record: &EvidenceRecord) -> Result<(), EvidenceFlaw> {
        let (found, expected) = (record.committee_id, self.committee.id);
        if found != expected {
            return Err(EvidenceFlaw::Committee { epoch: record.epoch, found, expected });
        }
        let [first, second] = &record.statements;
        let kind = kind(first, second)?;
        if record.kind != kind {
            return Err(EvidenceFlaw::Content("kind"));
        }
        let [left, right] = [self.signers(record, first)?, self.signers(record, second)?];
        let guilty: Vec<u32> = left.iter().filter(|signer| right.contains(signer)).copied().collect();
        if guilty.is_empty() || guilty != record.signers {
            return Err(EvidenceFlaw::Content("signers"));
        }
        let identity = |signer: &u32| self.committee.members.get(*signer as usize).map(|member| member.identity);
        if !guilty.iter().map(identity).eq(record.identities.iter().copied().map(Some)) {
            return Err(EvidenceFlaw::Content("identities"));
        }
        self.verify(record, first, &left).ok_or(EvidenceFlaw::Forged("first"))?;
        self.verify(record, second, &right).ok_or(EvidenceFlaw::Forged("second"))
    }

    /// Who is said to have signed a message, ascending.
    fn signers(&self, record: &EvidenceRecord, statement: &Statement) -> Result<Vec<u32>, EvidenceFlaw> {
        let size = self.committee.members.len();
        let Some(bits) = statement.signers else {
            return match record.signers.as_slice() {
                [signer] if (*signer as usize) < size => Ok(vec![*signer]),
                _ => Err(EvidenceFlaw::Content("signers")),
            };
        };
        let (signers, quorum) = (bits.count_ones(), quorum(size));
        if signers < quorum || bits.bit_len() > size {
            return Err(EvidenceFlaw::Quorum { signers, size, quorum });
        }
        Ok((0..size as u32).filter(|signer| bits.bit(*signer as usize)).collect())
    }

    fn verify(&self, record: &EvidenceRecord, statement: &Statement, signers: &[u32]) -> Option<()> {
        let keys = NonEmpty::try_new(signers.iter().filter_map(|signer| self.keys.value(*signer as usize)))?;
        let signature = aggregate::Signature::<MinSig>::decode(Copying(compress(&statement.signature)?.as_slice())).ok()?;
        let suffix: &[u8] = match statement.vote {
            VoteKind::Notarize => b"_NOTARIZE",
            VoteKind::Nullify => b"_NULLIFY",
            VoteKind::Finalize => b"_FINALIZE",
        };
        let namespace = [self.namespace.as_slice(), suffix].concat();
        let message = message(record, statement);
        aggregate::verify_same_message(&aggregate::combine_public_keys::<MinSig, _>(keys), &namespace, &message, &signature).ok()
    }
}

/// What two messages of one view prove.
fn kind(first: &Statement, second: &Statement) -> Result<EvidenceKind, EvidenceFlaw> {
    let nothing_proposed = |statement: &Statement| statement.parent_view == 0 && statement.payload == B256::ZERO;
    let [first_sound, second_sound] =
        [first, second].map(|statement| statement.vote != VoteKind::Nullify || nothing_proposed(statement));
    if !first_sound || !second_sound {
        return Err(EvidenceFlaw::Content("statements"));
    }
    let differ = (first.parent_view, first.payload) != (second.parent_view, second.payload);
    let votes = match (first.vote, second.vote) {
        (VoteKind::Nullify, VoteKind::Finalize) | (VoteKind::Finalize, VoteKind::Nullify) => EvidenceKind::NullifyFinalize,
        (VoteKind::Notarize, VoteKind::Notarize) if differ => EvidenceKind::ConflictingNotarize,
        (VoteKind::Finalize, VoteKind::Finalize) if differ => EvidenceKind::ConflictingFinalize,
        _ => return Err(EvidenceFlaw::Harmless),
    };
    match (first.signers, second.signers) {
        (None, None) => Ok(votes),
        (Some(_), Some(_)) => Ok(EvidenceKind::ConflictingCertificates),
        _ => Err(EvidenceFlaw::Lead),
    }
}

/// The bytes that were signed, behind the namespace.
fn message(record: &EvidenceRecord, statement: &Statement) -> Vec<u8> {
    let mut message = Vec::new();
    put_varint(&mut message, record.epoch);
    put_varint(&mut message, record.view);
    if statement.vote != VoteKind::Nullify {
        put_varint(&mut message, statement.parent_view);
        message.extend_from_slice(statement.payload.as_slice());
    }
    message
}

/// The inverse of [`g1_eip2537`]; none for what is no point of G1.
fn compress(signature: &FixedBytes<128>) -> Option<[u8; SIGNATURE_BYTES]> {
    /// Compressed; and with the larger of the two `y`.
    const FLAGS: [u8; 2] = [0x80, 0xa0];
    let mut x = [0; SIGNATURE_BYTES];
    x.copy_from_slice(&signature[16..64]);
    FLAGS.into_iter().find_map(|flag| {
        let mut compressed = x;
        compressed[0] |= flag;
        g1_eip2537(&compressed).is_ok_and(|point| point == *signature).then_some(compressed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        NodeKeys,
        block::digest,
        evidence::{EvidenceLog, statement::Message},
        types::{Digest, Scheme},
    };
    use alloy_primitives::U256;
    use commonware_consensus::{
        simplex::types::{Finalization, Finalize, Notarize, Nullification, Nullify, Proposal},
        types::{Epoch, Round, View},
    };
    use commonware_parallel::Sequential;
    use oceanid_primitives::Member;

    const NAMESPACE: &[u8] = b"chain";

    struct Fixture {
        schemes: Vec<Scheme>,
        observer: Scheme,
        committee: Committee,
    }

    fn fixture() -> Fixture {
        let mut keys: Vec<_> = (0..4u8).map(|seed| NodeKeys::derive(&[seed; 32]).unwrap()).collect();
        keys.sort_by_key(NodeKeys::identity);
        let members = keys
            .iter()
            .zip(1u64..)
            .map(|(keys, id)| Member { id, identity: keys.identity(), bls_key: keys.bls_compressed(), weight: 1 })
            .collect();
        let committee = Committee { id: 7, seed: B256::ZERO, members };
        let schemes = keys.iter().map(|keys| keys.voting_scheme(NAMESPACE, &committee).unwrap()).collect();
        let observer = Scheme::verifier(NAMESPACE, member_keys(&committee).unwrap());
        Fixture { schemes, observer, committee }
    }

    fn round() -> Round {
        Round::new(Epoch::new(300), View::new(9))
    }

    fn proposal(payload: u8) -> Proposal<Digest> {
        Proposal::new(round(), View::new(8), digest(B256::repeat_byte(payload)))
    }

    impl Fixture {
        fn notarize(&self, member: usize, payload: u8) -> Message {
            Message::Notarize(Notarize::sign(&self.schemes[member], proposal(payload)).unwrap())
        }

        fn finalize(&self, member: usize, payload: u8) -> Message {
            Message::Finalize(Finalize::sign(&self.schemes[member], proposal(payload)).unwrap())
        }

        fn nullify(&self, member: usize) -> Message {
            Message::Nullify(Nullify::sign::<Digest>(&self.schemes[member], round()).unwrap())
        }

        fn nullification(&self, members: [usize; 3]) -> Message {
            let votes = members.map(|member| Nullify::sign::<Digest>(&self.schemes[member], round()).unwrap());
            let votes = NonEmpty::try_new(votes.into_iter()).unwrap();
            Message::Nullification(Nullification::from_owned_nullifies(&self.observer, votes, &Sequential).unwrap())
        }

        fn finalization(&self, members: [usize; 3]) -> Message {
            let votes = members.map(|member| Finalize::sign(&self.schemes[member], proposal(1)).unwrap());
            let votes = NonEmpty::try_new(votes.into_iter()).unwrap();
            Message::Finalization(Finalization::from_owned_finalizes(&self.observer, votes, &Sequential).unwrap())
        }

        fn record(&self, kind: EvidenceKind, signers: &[u32], first: &Message, second: &Message) -> EvidenceRecord {
            let members = &self.committee.members;
            EvidenceRecord {
                epoch: 300,
                view: 9,
                committee_id: 7,
                kind,
                signers: signers.to_vec(),
                identities: signers.iter().map(|signer| members[*signer as usize].identity).collect(),
                statements: [first.statement().unwrap(), second.statement().unwrap()],
            }
        }

        fn checker(&self) -> EvidenceChecker {
            EvidenceChecker::new(NAMESPACE, self.committee.clone()).unwrap()
        }
    }

    #[test]
    fn every_kind_of_proof_passes_as_the_collector_writes_it() {
        let it = fixture();
        let proofs = [
            it.record(EvidenceKind::ConflictingNotarize, &[2], &it.notarize(2, 1), &it.notarize(2, 2)),
            it.record(EvidenceKind::ConflictingFinalize, &[0], &it.finalize(0, 1), &it.finalize(0, 2)),
            it.record(EvidenceKind::NullifyFinalize, &[3], &it.nullify(3), &it.finalize(3, 2)),
            it.record(EvidenceKind::ConflictingCertificates, &[1, 2], &it.nullification([0, 1, 2]), &it.finalization([1, 2, 3])),
        ];
        let (checker, log) = (it.checker(), EvidenceLog::in_memory());
        for proof in &proofs {
            assert_eq!(checker.check(proof), Ok(()), "{proof:?}");
            assert_eq!(log.admit(proof.clone(), &checker), Ok(true));
        }
        assert_eq!(log.records(), proofs);
    }

    #[test]
    fn what_proves_nothing_is_refused_by_name() {
        let it = fixture();
        let checker = it.checker();
        let good = it.record(EvidenceKind::ConflictingNotarize, &[2], &it.notarize(2, 1), &it.notarize(2, 2));
        let fork =
            it.record(EvidenceKind::ConflictingCertificates, &[1, 2], &it.nullification([0, 1, 2]), &it.finalization([1, 2, 3]));
        let changed = |record: &EvidenceRecord, change: fn(&mut EvidenceRecord)| {
            let mut record = record.clone();
            change(&mut record);
            checker.check(&record)
        };
        let forged = EvidenceFlaw::Forged("first");
        let refused = [
            (changed(&good, |record| record.epoch += 1), forged.clone()),
            (changed(&good, |record| record.view += 1), forged.clone()),
            (changed(&good, |record| record.statements[0].payload = B256::ZERO), forged.clone()),
            (changed(&good, |record| record.statements[0].signature = FixedBytes::ZERO), forged.clone()),
            (changed(&good, |record| record.statements[0].signature[127] ^= 1), forged.clone()),
            (changed(&good, |record| record.statements[1].parent_view = 7), EvidenceFlaw::Forged("second")),
            (changed(&good, |record| record.committee_id = 8), EvidenceFlaw::Committee { epoch: 300, found: 8, expected: 7 }),
            (changed(&good, |record| record.statements[1] = record.statements[0].clone()), EvidenceFlaw::Harmless),
            (changed(&good, |record| record.statements[1].vote = VoteKind::Finalize), EvidenceFlaw::Harmless),
            (changed(&good, |record| record.kind = EvidenceKind::ConflictingFinalize), EvidenceFlaw::Content("kind")),
            (changed(&good, |record| record.signers = vec![4]), EvidenceFlaw::Content("signers")),
            (changed(&good, |record| record.signers.clear()), EvidenceFlaw::Content("signers")),
            (changed(&good, |record| record.identities.clear()), EvidenceFlaw::Content("identities")),
            (changed(&good, |record| record.statements[0].signers = Some(U256::from(7))), EvidenceFlaw::Lead),
            (changed(&fork, |record| record.signers.push(3)), EvidenceFlaw::Content("signers")),
            (changed(&fork, |record| record.statements[0].payload = B256::repeat_byte(1)), EvidenceFlaw::Content("statements")),
            (
                changed(&fork, |record| record.statements[0].signers = Some(U256::from(0b0110))),
                EvidenceFlaw::Quorum { signers: 2, size: 4, quorum: 3 },
            ),
            (
                changed(&fork, |record| record.statements[0].signers = Some(U256::from(0b1_0000_0110))),
                EvidenceFlaw::Quorum { signers: 3, size: 4, quorum: 3 },
            ),
        ];
        for (result, flaw) in refused {
            assert_eq!(result, Err(flaw));
        }
        // Another member's signature under this member's name.
        let framed = it.record(EvidenceKind::ConflictingNotarize, &[2], &it.notarize(2, 1), &it.notarize(1, 2));
        assert_eq!(checker.check(&framed), Err(EvidenceFlaw::Forged("second")));
        let elsewhere = EvidenceChecker::new(b"another chain", it.committee.clone()).unwrap();
        assert_eq!(elsewhere.check(&good), Err(forged));
        let log = EvidenceLog::in_memory();
        assert!(log.admit(framed, &checker).is_err() && log.records().is_empty());
    }
}
