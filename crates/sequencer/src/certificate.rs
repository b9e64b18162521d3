//! Certificates: the codec bytes consensus produces, what L1 takes of them, and a check that needs no consensus library state.
//!
//! ```text
//! varint epoch | varint view | varint parent view | payload 32          the proposal (unsigned LEB128, canonical)
//! u64 big endian: committee size in bits | ceil(size / 8) bytes, bit i of byte i/8 = member i, unused bits zero
//! 48 bytes: aggregate signature, compressed point of G1
//! ```
//!
//! Certificates are not canonical: any quorum makes one. Never hash one, never derive anything from which members signed.

use alloy_primitives::{B256, Bytes, FixedBytes, U256};
use commonware_codec::{Copying, Decode as _, DecodeExt as _};
use commonware_cryptography::bls12381::primitives::{ops::aggregate, variant::MinSig};
use commonware_utils::iter::NonEmpty;
use oceanid_primitives::{Committee, MAX_COMMITTEE, quorum};

#[cfg(test)]
use crate::types::Scheme;
use crate::{
    committees::{CommitteeKeyError, member_keys},
    keys::{KeyError, g1_eip2537},
    types::Finalization,
};

/// Bytes of the compressed aggregate signature.
pub const SIGNATURE_BYTES: usize = 48;
/// Upper bound of an encoded certificate, bytes.
pub const MAX_CERTIFICATE_BYTES: usize = 3 * 10 + 32 + 8 + MAX_COMMITTEE.div_ceil(8) + SIGNATURE_BYTES;
/// What consensus appends to the namespace before it signs a finalize vote.
const FINALIZE_SUFFIX: &[u8] = b"_FINALIZE";

/// A finalisation certificate, decoded. Decoding checks the shape; [`verify_certificate`] checks the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Epoch of the vote.
    pub epoch: u64,
    /// View of the vote. For the last block of an epoch it may be later than the view in the header.
    pub view: u64,
    /// View of the parent as consensus saw it in that vote.
    pub parent_view: u64,
    /// What was voted on: the header hash.
    pub payload: B256,
    /// Members of the committee (bits of the bitmap).
    pub size: u16,
    /// Bit i set: member i signed.
    pub signers: U256,
    /// Aggregate signature, compressed.
    pub signature: FixedBytes<SIGNATURE_BYTES>,
}

/// A certificate in the form `Rollup.submitBatch` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L1Certificate {
    /// Epoch.
    pub epoch: u64,
    /// View.
    pub view: u64,
    /// Parent view.
    pub parent_view: u64,
    /// Bit i set: member i signed.
    pub signers: U256,
    /// Aggregate signature, EIP-2537: 128 bytes, uncompressed, each coordinate padded to 64.
    pub signature: FixedBytes<128>,
}

/// Why bytes are not a certificate, or why a certificate does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Ends before the field is complete.
    #[error("certificate ends inside `{0}`")]
    Truncated(&'static str),
    /// Longer than its content.
    #[error("{0} bytes after the certificate")]
    Trailing(usize),
    /// A varint that is longer than needed or over 64 bits.
    #[error("`{0}` is not a canonical 64-bit varint")]
    Varint(&'static str),
    /// More bits than a committee can have, or none.
    #[error("bitmap of {0} bits: a committee has 1 to {MAX_COMMITTEE} members")]
    Size(u64),
    /// A bit beyond the committee's size.
    #[error("bitmap has a bit beyond its {0} members")]
    Padding(u64),
    /// Fewer signers than a quorum.
    #[error("{signers} signers of {size}: {quorum} are needed", quorum = quorum(*size))]
    Quorum {
        /// Bits set.
        signers: usize,
        /// Members.
        size: usize,
    },
    /// Certifies something else.
    #[error("certificate is for {found}, not for {expected}")]
    Payload {
        /// What it certifies.
        found: B256,
        /// What was asked for.
        expected: B256,
    },
    /// Made by a committee of another size.
    #[error("certificate of {found} members, the committee has {expected}")]
    CommitteeSize {
        /// Bits in the bitmap.
        found: usize,
        /// Members of the committee.
        expected: usize,
    },
    /// The committee's keys are unusable.
    #[error(transparent)]
    Committee(#[from] CommitteeKeyError),
    /// The signature is not a point of G1.
    #[error(transparent)]
    Signature(#[from] KeyError),
    /// The signature does not verify: forged, of another committee, of another chain.
    #[error("the aggregate signature does not verify")]
    Forged,
}

/// Reads from the front of a slice.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], CertificateError> {
        let (head, rest) = self.0.split_at_checked(length).ok_or(CertificateError::Truncated(field))?;
        self.0 = rest;
        Ok(head)
    }

    /// Unsigned LEB128 in the shortest form.
    fn varint(&mut self, field: &'static str) -> Result<u64, CertificateError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1, field)?[0];
            let bits = u64::from(byte & 0x7f);
            if (shift == 63 && bits > 1) || (shift > 0 && byte == 0) {
                return Err(CertificateError::Varint(field));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(CertificateError::Varint(field))
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

impl Certificate {
    /// Decodes the bytes of this module's docs; strict, and a quorum of bits must be set.
    pub fn decode(bytes: &[u8]) -> Result<Self, CertificateError> {
        let mut cursor = Cursor(bytes);
        let epoch = cursor.varint("epoch")?;
        let view = cursor.varint("view")?;
        let parent_view = cursor.varint("parent view")?;
        let payload = B256::from_slice(cursor.take(32, "payload")?);
        let size = u64::from_be_bytes(cursor.take(8, "bitmap length")?.try_into().expect("eight bytes"));
        if size == 0 || size > MAX_COMMITTEE as u64 {
            return Err(CertificateError::Size(size));
        }
        let bitmap = cursor.take((size as usize).div_ceil(8), "bitmap")?;
        let signers = U256::try_from_le_slice(bitmap).expect("a committee's bitmap is below 256 bits");
        if signers.bit_len() > size as usize {
            return Err(CertificateError::Padding(size));
        }
        let signature = FixedBytes::from_slice(cursor.take(SIGNATURE_BYTES, "signature")?);
        if !cursor.0.is_empty() {
            return Err(CertificateError::Trailing(cursor.0.len()));
        }
        let certificate = Self { epoch, view, parent_view, payload, size: size as u16, signers, signature };
        let (signers, size) = (certificate.signer_count(), usize::from(certificate.size));
        if signers < quorum(size) {
            return Err(CertificateError::Quorum { signers, size });
        }
        Ok(certificate)
    }

    /// Encodes as [`Self::decode`] reads.
    pub fn encode(&self) -> Bytes {
        let mut out = self.proposal_bytes();
        out.extend_from_slice(&u64::from(self.size).to_be_bytes());
        out.extend_from_slice(&self.signers.to_le_bytes::<32>()[..usize::from(self.size).div_ceil(8)]);
        out.extend_from_slice(self.signature.as_slice());
        out.into()
    }

    /// How many members signed.
    pub fn signer_count(&self) -> usize {
        self.signers.count_ones()
    }

    /// Indices of the members that signed, ascending.
    pub fn signer_indices(&self) -> impl Iterator<Item = usize> + '_ {
        (0..usize::from(self.size)).filter(|index| self.signers.bit(*index))
    }

    /// The proposal as the library encodes it: the message under the namespace.
    fn proposal_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(3 * 10 + 32);
        put_varint(&mut out, self.epoch);
        put_varint(&mut out, self.view);
        put_varint(&mut out, self.parent_view);
        out.extend_from_slice(self.payload.as_slice());
        out
    }

    /// The bytes each signer signed: `varint(len) ++ namespace ++ "_FINALIZE" ++ epoch ++ view ++ parent view ++ payload`.
    pub fn signed_bytes(&self, namespace: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(namespace.len() + 80);
        put_varint(&mut out, (namespace.len() + FINALIZE_SUFFIX.len()) as u64);
        out.extend_from_slice(namespace);
        out.extend_from_slice(FINALIZE_SUFFIX);
        out.extend_from_slice(&self.proposal_bytes());
        out
    }

    /// The form L1 takes: the EVM cannot decompress points.
    pub fn to_l1(&self) -> Result<L1Certificate, CertificateError> {
        Ok(L1Certificate {
            epoch: self.epoch,
            view: self.view,
            parent_view: self.parent_view,
            signers: self.signers,
            signature: g1_eip2537(self.signature.as_slice())?,
        })
    }
}

/// Checks that `certificate` (encoded) is a finalisation of `header_hash` by a quorum of `committee` under `namespace`
/// ([`oceanid_primitives::ChainSpec::namespace`]). The keys' proofs of possession were checked by the pool.
pub fn verify_certificate(
    namespace: &[u8],
    committee: &Committee,
    header_hash: B256,
    certificate: &[u8],
) -> Result<Certificate, CertificateError> {
    let decoded = Certificate::decode(certificate)?;
    if decoded.payload != header_hash {
        return Err(CertificateError::Payload { found: decoded.payload, expected: header_hash });
    }
    let (found, expected) = (usize::from(decoded.size), committee.members.len());
    if found != expected {
        return Err(CertificateError::CommitteeSize { found, expected });
    }
    let keys = member_keys(committee)?;
    let signers = decoded.signer_indices().filter_map(|index| keys.value(index));
    let signers = NonEmpty::try_new(signers).ok_or(CertificateError::Forged)?;
    let signature =
        aggregate::Signature::<MinSig>::decode(Copying(decoded.signature.as_slice())).map_err(|_| KeyError::Signature)?;
    let (namespace, message) = ([namespace, FINALIZE_SUFFIX].concat(), decoded.proposal_bytes());
    aggregate::verify_same_message(&aggregate::combine_public_keys::<MinSig, _>(signers), &namespace, &message, &signature)
        .map_err(|_| CertificateError::Forged)?;
    Ok(decoded)
}

/// The library's own form of a certificate, for a committee of `participants` members.
pub(crate) fn decode_finalization(bytes: &[u8], participants: usize) -> Option<Finalization> {
    Finalization::decode_cfg(Copying(bytes), &participants).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::hex;

    /// Made by the consensus library: MinSig, four members, signers 0 to 2, epoch 300, view 70000, parent 69999. The signed bytes
    /// under `PROTO_ROLLUP|l1=31337|rollup=0x00..01` were checked by a contract in an EVM.
    const PREFIX: [u8; 8] = hex!("ac02f0a204efa204");

    fn sample(committee: &Committee, keys: &[crate::NodeKeys], namespace: &[u8], signers: &[usize]) -> Bytes {
        use commonware_codec::Encode as _;
        use commonware_consensus::{
            simplex::types::{Finalize, Proposal},
            types::{Epoch, Round, View},
        };
        let members = member_keys(committee).unwrap();
        let proposal = Proposal::new(
            Round::new(Epoch::new(300), View::new(70_000)),
            View::new(69_999),
            crate::block::digest(B256::repeat_byte(0x44)),
        );
        let votes: Vec<_> = signers
            .iter()
            .map(|index| {
                let scheme = keys[*index].voting_scheme(namespace, committee).unwrap();
                Finalize::sign(&scheme, proposal.clone()).unwrap()
            })
            .collect();
        let verifier = Scheme::verifier(namespace, members);
        let votes = NonEmpty::try_new(votes.into_iter()).unwrap();
        Finalization::from_owned_finalizes(&verifier, votes, &commonware_parallel::Sequential).unwrap().encode().to_vec().into()
    }

    fn committee(size: u8) -> (Committee, Vec<crate::NodeKeys>) {
        let mut keys: Vec<_> = (0..size).map(|seed| crate::NodeKeys::derive(&[seed; 32]).unwrap()).collect();
        keys.sort_by_key(crate::NodeKeys::identity);
        let members = keys
            .iter()
            .enumerate()
            .map(|(index, keys)| oceanid_primitives::Member {
                id: index as u64 + 1,
                identity: keys.identity(),
                bls_key: keys.bls_compressed(),
                weight: 1,
            })
            .collect();
        (Committee { id: 1, seed: B256::ZERO, members }, keys)
    }

    #[test]
    fn bytes_of_the_library_decode_encode_and_verify() {
        let (committee, keys) = committee(4);
        let bytes = sample(&committee, &keys, b"chain", &[0, 1, 2]);
        assert_eq!(bytes[..8], PREFIX);
        assert_eq!(bytes[40..49], hex!("000000000000000407"));
        let decoded = verify_certificate(b"chain", &committee, B256::repeat_byte(0x44), &bytes).unwrap();
        assert_eq!((decoded.epoch, decoded.view, decoded.parent_view, decoded.size), (300, 70_000, 69_999, 4));
        assert_eq!(decoded.signer_indices().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(decoded.encode(), bytes);
        assert!(bytes.len() <= MAX_CERTIFICATE_BYTES);
    }

    #[test]
    fn fuzz_certificates() {
        let (committee, keys) = committee(4);
        let corpus = [
            sample(&committee, &keys, b"chain", &[0, 1, 2]).to_vec(),
            sample(&committee, &keys, b"chain", &[0, 1, 2, 3]).to_vec(),
        ];
        oceanid_fuzz::bytes("certificates", &corpus, |input| {
            // The signature makes every check slow: it is looked at only when the rest is right.
            let Ok(certificate) = Certificate::decode(input) else { return false };
            assert_eq!(certificate.encode()[..], *input, "one encoding");
            let _ = certificate.to_l1();
            if corpus.iter().all(|good| good != input) {
                verify_certificate(b"chain", &committee, B256::repeat_byte(0x44), input).expect_err("nobody signed this");
            }
            true
        });
    }

    #[test]
    fn signed_bytes_are_those_the_contract_rebuilds() {
        let namespace = b"PROTO_ROLLUP|l1=31337|rollup=0x01";
        let certificate = Certificate {
            epoch: 300,
            view: 70_000,
            parent_view: 69_999,
            payload: B256::repeat_byte(0x44),
            size: 4,
            signers: U256::from(7),
            signature: FixedBytes::ZERO,
        };
        let expected = [&[namespace.len() as u8 + 9], &namespace[..], b"_FINALIZE", &PREFIX, &[0x44; 32]].concat();
        assert_eq!(certificate.signed_bytes(namespace), expected);
    }

    #[test]
    fn l1_form_signs_the_rebuilt_bytes() {
        let (committee, keys) = committee(7);
        let bytes = sample(&committee, &keys, b"chain", &[0, 2, 3, 5, 6]);
        let certificate = Certificate::decode(&bytes).unwrap();
        let l1 = certificate.to_l1().unwrap();
        assert_eq!(l1.signers, U256::from(0b110_1101));
        let mut raw = [0u8; 96];
        raw[..48].copy_from_slice(&l1.signature[16..64]);
        raw[48..].copy_from_slice(&l1.signature[80..]);
        let public: Vec<_> = certificate
            .signer_indices()
            .map(|index| blst::min_sig::PublicKey::from_bytes(committee.members[index].bls_key.as_slice()).unwrap())
            .collect();
        let public: Vec<_> = public.iter().collect();
        let aggregate = blst::min_sig::AggregatePublicKey::aggregate(&public, false).unwrap().to_public_key();
        let signature = blst::min_sig::Signature::deserialize(&raw).unwrap();
        let tag = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
        let verdict = signature.verify(true, &certificate.signed_bytes(b"chain"), tag, &[], &aggregate, false);
        assert_eq!(verdict, blst::BLST_ERROR::BLST_SUCCESS);
    }

    #[test]
    fn forgeries_are_refused_each_with_its_reason() {
        let (four, keys) = committee(4);
        let hash = B256::repeat_byte(0x44);
        let good = sample(&four, &keys, b"chain", &[0, 1, 3]);
        let check = |namespace: &[u8], committee: &Committee, hash, bytes: &[u8]| {
            verify_certificate(namespace, committee, hash, bytes).unwrap_err()
        };
        assert_eq!(check(b"other", &four, hash, &good), CertificateError::Forged);
        assert!(matches!(check(b"chain", &four, B256::ZERO, &good), CertificateError::Payload { .. }));
        let (seven, _) = committee(7);
        assert_eq!(check(b"chain", &seven, hash, &good), CertificateError::CommitteeSize { found: 4, expected: 7 });
        let mut swapped = Certificate::decode(&good).unwrap();
        swapped.signers = U256::from(0b0111);
        assert_eq!(check(b"chain", &four, hash, &swapped.encode()), CertificateError::Forged);
        swapped.signers = U256::from(0b1111);
        assert_eq!(check(b"chain", &four, hash, &swapped.encode()), CertificateError::Forged);
        swapped.signers = U256::from(0b0011);
        assert_eq!(Certificate::decode(&swapped.encode()), Err(CertificateError::Quorum { signers: 2, size: 4 }));
        swapped.signers = U256::from(0b1_0111);
        assert_eq!(Certificate::decode(&swapped.encode()), Err(CertificateError::Padding(4)));
        let mut view = Certificate::decode(&good).unwrap();
        view.view += 1;
        assert_eq!(check(b"chain", &four, hash, &view.encode()), CertificateError::Forged);
    }

    #[test]
    fn shapes_are_strict() {
        let (four, keys) = committee(4);
        let good = sample(&four, &keys, b"chain", &[0, 1, 2]);
        for end in 0..good.len() {
            assert!(matches!(Certificate::decode(&good[..end]), Err(CertificateError::Truncated(_))), "prefix of {end} bytes");
        }
        assert_eq!(Certificate::decode(&[&good[..], &[0]].concat()), Err(CertificateError::Trailing(1)));
        let padded = [&[0xac, 0x82, 0x00], &good[2..]].concat();
        assert_eq!(Certificate::decode(&padded), Err(CertificateError::Varint("epoch")));
        assert_eq!(Certificate::decode(&[0xff; 100]), Err(CertificateError::Varint("epoch")));
        let mut large = good.to_vec();
        large[46] = 1;
        assert_eq!(Certificate::decode(&large), Err(CertificateError::Size(256 + 4)));
    }
}
