//! Key material of a sequencer: the ed25519 identity and the BLS12-381 consensus key, and what L1 wants of them.
//!
//! Consensus uses the MinSig variant: public keys in G2, signatures in G1. L1 reads points in the EIP-2537 form: every field
//! element left-padded from 48 to 64 bytes, and a G2 coordinate as `c0 ++ c1`, the reverse of the zcash order that
//! serialisation libraries use.

use alloy_primitives::{Address, B256, FixedBytes, keccak256};
use blst::min_sig;
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_cryptography::{
    Signer as _, Verifier as _,
    bls12381::primitives::{
        group::Private,
        ops,
        variant::{MinSig, Variant},
    },
    ed25519,
};
use oceanid_primitives::Committee;

use crate::{committees::member_keys, types::Scheme};

/// Tag at the head of a proof of possession, so that no other message signed with the key can pass for one.
pub const POSSESSION_TAG: &[u8] = b"OCEANID_POP";

/// Namespace of signatures that prove nothing but that a key signs.
const PROOF_NAMESPACE: &[u8] = b"OCEANID_KEY_TEST";

/// Bytes of a BLS12-381 field element as serialised by zcash's format.
const FIELD_BYTES: usize = 48;
/// Bytes of a field element in EIP-2537.
const PADDED_FIELD_BYTES: usize = 64;

/// Why bytes are not key material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A BLS private key is a scalar in `1..r`.
    #[error("BLS private key is zero or not below the order of the group")]
    BlsScalar,
    /// Key generation needs at least 32 bytes of seed and got a degenerate result.
    #[error("BLS key generation refused the seed")]
    BlsSeed,
    /// Not a point of G1 in the right subgroup.
    #[error("signature is not a compressed point of G1")]
    Signature,
}

/// The private keys of a node: its identity, and the consensus key it votes with. While a new consensus key is on its way into a
/// committee there is an older one besides: each committee names the one that is its member's. `Debug` shows public keys only.
#[derive(Clone)]
pub struct NodeKeys {
    identity: ed25519::PrivateKey,
    bls: Private,
    older: Vec<Private>,
}

/// The consensus private key (a big-endian scalar) of a 32-byte secret: `KeyGen` of the IETF BLS draft.
pub fn bls_scalar(seed: &[u8; 32]) -> Result<[u8; 32], KeyError> {
    min_sig::SecretKey::key_gen(seed, &[]).map(|secret| secret.to_bytes()).map_err(|_| KeyError::BlsSeed)
}

impl core::fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NodeKeys").field("identity", &self.identity()).field("bls", &self.bls_compressed()).finish()
    }
}

/// The identity of an ed25519 seed (RFC 8032).
pub fn identity_of(seed: &[u8; 32]) -> B256 {
    let key = ed25519::PrivateKey::decode(Copying(seed.as_slice())).expect("every 32-byte string is an ed25519 seed");
    B256::from_slice(key.public_key().as_ref())
}

/// The compressed consensus public key of a big-endian scalar.
pub fn bls_public_key(scalar: &[u8; 32]) -> Result<FixedBytes<96>, KeyError> {
    let private = Private::decode(Copying(scalar.as_slice())).map_err(|_| KeyError::BlsScalar)?;
    Ok(FixedBytes::from_slice(&ops::compute_public::<MinSig>(&private).encode()))
}

impl NodeKeys {
    /// Parses raw keys: a 32-byte ed25519 seed (RFC 8032) and a 32-byte big-endian BLS scalar.
    pub fn from_raw(identity: &[u8; 32], bls: &[u8; 32]) -> Result<Self, KeyError> {
        let identity =
            ed25519::PrivateKey::decode(Copying(identity.as_slice())).expect("every 32-byte string is an ed25519 seed");
        let bls = Private::decode(Copying(bls.as_slice())).map_err(|_| KeyError::BlsScalar)?;
        Ok(Self { identity, bls, older: Vec::new() })
    }

    /// The same with an older consensus key besides, for the committees that still name it.
    pub fn with_older(mut self, bls: &[u8; 32]) -> Result<Self, KeyError> {
        self.older.push(Private::decode(Copying(bls.as_slice())).map_err(|_| KeyError::BlsScalar)?);
        Ok(self)
    }

    /// Derives both keys from two 32-byte secrets: ed25519 takes its secret as the seed of RFC 8032, BLS goes through `KeyGen`
    /// of the IETF BLS draft.
    pub fn from_seeds(identity: &[u8; 32], bls: &[u8; 32]) -> Result<Self, KeyError> {
        Self::from_raw(identity, &bls_scalar(bls)?)
    }

    /// Derives both keys from one 32-byte secret, with the role's name hashed in: `keccak256(role ++ seed)`.
    pub fn derive(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let role = |name: &[u8]| keccak256([name, seed.as_slice()].concat()).0;
        Self::from_seeds(&role(b"oceanid/identity"), &role(b"oceanid/consensus"))
    }

    /// The identity key as it stands in committees.
    pub fn identity(&self) -> B256 {
        B256::from_slice(self.identity.public_key().as_ref())
    }

    /// The consensus public key, compressed (96 bytes), as it stands in committees.
    pub fn bls_compressed(&self) -> FixedBytes<96> {
        FixedBytes::from_slice(&ops::compute_public::<MinSig>(&self.bls).encode())
    }

    /// The consensus public key as L1 takes it (256 bytes).
    pub fn bls_eip2537(&self) -> FixedBytes<256> {
        let key = min_sig::PublicKey::from_bytes(self.bls_compressed().as_slice())
            .expect("a public key computed here is a point of G2");
        let raw = key.serialize();
        let mut padded = FixedBytes::<256>::ZERO;
        // zcash writes x.c1, x.c0, y.c1, y.c0; EIP-2537 reads x.c0, x.c1, y.c0, y.c1.
        for (to, from) in [1, 0, 3, 2].into_iter().enumerate() {
            let end = (to + 1) * PADDED_FIELD_BYTES;
            padded[end - FIELD_BYTES..end].copy_from_slice(&raw[from * FIELD_BYTES..(from + 1) * FIELD_BYTES]);
        }
        padded
    }

    /// The message of [`Self::possession`], `SequencerPool.possessionMessage` byte for byte: length of the tag (one byte), tag, L1 chain id
    /// (u64, big endian), pool, owner, identity, consensus key (EIP-2537).
    /// It binds the key to one operator on one chain, so that a proof seen in a mempool cannot be used by somebody else.
    pub fn possession_message(&self, l1_chain_id: u64, pool: Address, owner: Address) -> Vec<u8> {
        [
            [POSSESSION_TAG.len() as u8].as_slice(),
            POSSESSION_TAG,
            &l1_chain_id.to_be_bytes(),
            pool.as_slice(),
            owner.as_slice(),
            self.identity().as_slice(),
            self.bls_eip2537().as_slice(),
        ]
        .concat()
    }

    /// Proof of possession for `SequencerPool.lock`: a signature under the ciphersuite's proof-of-possession tag, EIP-2537 (128 bytes).
    pub fn possession(&self, l1_chain_id: u64, pool: Address, owner: Address) -> FixedBytes<128> {
        let message = self.possession_message(l1_chain_id, pool, owner);
        let signature = ops::sign::<MinSig>(&self.bls, MinSig::PROOF_OF_POSSESSION, &message);
        g1_eip2537(&signature.encode()).expect("a signature made here is a point of G1")
    }

    /// Whether a signature of the identity key verifies under the public key: what a test of a backup asks.
    pub fn signs_as_identity(&self, message: &[u8]) -> bool {
        self.identity.public_key().verify(PROOF_NAMESPACE, message, &self.identity.sign(PROOF_NAMESPACE, message))
    }

    /// The same of the newest consensus key, under a tag that no vote has.
    pub fn signs_as_consensus(&self, message: &[u8]) -> bool {
        let signature = ops::sign::<MinSig>(&self.bls, MinSig::PROOF_OF_POSSESSION, message);
        let public = ops::compute_public::<MinSig>(&self.bls);
        ops::verify::<MinSig>(&public, MinSig::PROOF_OF_POSSESSION, message, &signature).is_ok()
    }

    /// The scheme that votes with these keys in `committee` under `namespace`; none for a node that has no seat there.
    pub fn voting_scheme(&self, namespace: &[u8], committee: &Committee) -> Option<Scheme> {
        let members = member_keys(committee).ok()?;
        let seat = members.value(committee.index_of(&self.identity())?)?;
        let key = self.older.iter().chain([&self.bls]).find(|key| ops::compute_public::<MinSig>(key) == *seat)?.clone();
        Scheme::signer(namespace, members, key)
    }

    /// The signer the network authenticates this node with.
    pub(crate) fn identity_signer(&self) -> ed25519::PrivateKey {
        self.identity.clone()
    }
}

/// Decompresses a G1 point (48 bytes, zcash) into EIP-2537 (128 bytes). Checks the curve and the subgroup.
pub fn g1_eip2537(compressed: &[u8]) -> Result<FixedBytes<128>, KeyError> {
    let point = min_sig::Signature::sig_validate(compressed, true).map_err(|_| KeyError::Signature)?;
    let raw = point.serialize();
    let mut padded = FixedBytes::<128>::ZERO;
    for coordinate in 0..2 {
        let end = (coordinate + 1) * PADDED_FIELD_BYTES;
        padded[end - FIELD_BYTES..end].copy_from_slice(&raw[coordinate * FIELD_BYTES..(coordinate + 1) * FIELD_BYTES]);
    }
    Ok(padded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_and_derived_keys_agree_and_differ_by_role() {
        let keys = NodeKeys::derive(&[7; 32]).unwrap();
        let same = NodeKeys::derive(&[7; 32]).unwrap();
        let other = NodeKeys::derive(&[8; 32]).unwrap();
        assert_eq!((keys.identity(), keys.bls_compressed()), (same.identity(), same.bls_compressed()));
        assert_ne!(keys.identity(), other.identity());
        assert_ne!(keys.bls_compressed(), other.bls_compressed());
        assert_eq!(NodeKeys::from_raw(&[1; 32], &[0; 32]).unwrap_err(), KeyError::BlsScalar);
        assert_eq!(NodeKeys::from_raw(&[1; 32], &[0xff; 32]).unwrap_err(), KeyError::BlsScalar);
    }

    #[test]
    fn a_committee_is_served_with_the_key_it_names() {
        use oceanid_primitives::Member;
        let old = NodeKeys::from_raw(&[1; 32], &bls_scalar(&[2; 32]).unwrap()).unwrap();
        let both = NodeKeys::from_raw(&[1; 32], &bls_scalar(&[3; 32]).unwrap()).unwrap();
        let both = both.with_older(&bls_scalar(&[2; 32]).unwrap()).unwrap();
        assert_ne!(old.bls_compressed(), both.bls_compressed(), "the new key is the one to register");
        let committee = |keys: &NodeKeys| {
            let member = Member { id: 1, identity: keys.identity(), bls_key: keys.bls_compressed(), weight: 1 };
            Committee { id: 1, seed: B256::ZERO, members: vec![member] }
        };
        for seat in [&old, &both] {
            assert!(both.voting_scheme(b"test", &committee(seat)).is_some());
        }
        assert!(old.voting_scheme(b"test", &committee(&both)).is_none());
        let stranger = NodeKeys::from_raw(&[9; 32], &bls_scalar(&[2; 32]).unwrap()).unwrap();
        assert!(stranger.voting_scheme(b"test", &committee(&old)).is_none(), "the key of another member's seat");
    }

    #[test]
    fn both_keys_sign_for_their_public_keys() {
        let keys = NodeKeys::derive(&[6; 32]).unwrap();
        assert!(keys.signs_as_identity(b"text") && keys.signs_as_consensus(b"text"));
    }

    #[test]
    fn padded_key_holds_the_limbs_in_evm_order() {
        let keys = NodeKeys::derive(&[3; 32]).unwrap();
        let padded = keys.bls_eip2537();
        let raw = min_sig::PublicKey::from_bytes(keys.bls_compressed().as_slice()).unwrap().serialize();
        assert_eq!(&padded[16..64], &raw[48..96], "x.c0");
        assert_eq!(&padded[80..128], &raw[..48], "x.c1");
        assert_eq!(&padded[144..192], &raw[144..], "y.c0");
        assert_eq!(&padded[208..], &raw[96..144], "y.c1");
        for element in padded.chunks(64) {
            assert_eq!(&element[..16], &[0; 16]);
        }
    }

    #[test]
    fn possession_verifies_under_its_own_tag_and_binds_the_owner() {
        let keys = NodeKeys::derive(&[4; 32]).unwrap();
        let (pool, owner) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let proof = keys.possession(31_337, pool, owner);
        let mut raw = [0u8; 96];
        raw[..48].copy_from_slice(&proof[16..64]);
        raw[48..].copy_from_slice(&proof[80..]);
        let signature = min_sig::Signature::deserialize(&raw).unwrap();
        let key = min_sig::PublicKey::from_bytes(keys.bls_compressed().as_slice()).unwrap();
        let tag = b"BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
        let message = keys.possession_message(31_337, pool, owner);
        assert_eq!(message.len(), 1 + 11 + 8 + 20 + 20 + 32 + 256);
        assert_eq!(message[..20], *b"\x0bOCEANID_POP\0\0\0\0\0\0\x7a\x69");
        let verify = |message: &[u8]| signature.verify(true, message, tag, &[], &key, true);
        assert_eq!(verify(&keys.possession_message(31_337, pool, owner)), blst::BLST_ERROR::BLST_SUCCESS);
        assert_ne!(verify(&keys.possession_message(31_337, pool, Address::ZERO)), blst::BLST_ERROR::BLST_SUCCESS);
        assert_ne!(verify(&keys.possession_message(1, pool, owner)), blst::BLST_ERROR::BLST_SUCCESS);
    }
}
