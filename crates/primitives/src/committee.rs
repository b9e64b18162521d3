//! Committees: who may certify the blocks of an epoch, and in which order their votes are numbered.
//!
//! L1 fixes a committee in `SequencerPool.rotate()` and sends it to the `CommitteeRegistry` predeploy as packed members,
//! 152 bytes each: `id (u64) ++ identity (32) ++ BLS public key (96, compressed G2) ++ weight (u128)`, big endian,
//! in ascending order of identity. The position in that order is the signer's bit in a certificate.

use alloc::vec::Vec;
use alloy_primitives::{B256, FixedBytes, U256, keccak256};

/// Most members a committee can have (bits of the signer bitmap L1 checks at a bearable price).
pub const MAX_COMMITTEE: usize = 100;
/// Bytes of one packed member.
pub const MEMBER_BYTES: usize = 8 + 32 + 96 + 16;

/// One seat.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Member {
    /// Sequencer id in the pool, from 1.
    pub id: u64,
    /// ed25519 identity key: names the node on the network and orders the committee.
    pub identity: B256,
    /// BLS12-381 public key in G2, compressed (MinSig variant); proof of possession was checked by the pool.
    pub bls_key: FixedBytes<96>,
    /// Locked stake, wei of the gas token: weight in the leader draw. In JSON a hex quantity, because wei exceed a JSON number.
    #[serde(with = "alloy_serde::quantity")]
    pub weight: u128,
}

/// The voters of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Committee {
    /// Sequential number given by the pool, from 1.
    pub id: u64,
    /// Seed of the leader draw, fixed after membership.
    pub seed: B256,
    /// Members in ascending order of identity.
    pub members: Vec<Member>,
}

/// Why bytes are not a committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitteeError {
    /// Not a whole number of members, or none.
    #[error("packed committee of {0} bytes: not a positive multiple of {MEMBER_BYTES}")]
    Length(usize),
    /// Too many members.
    #[error("committee of {0} members: the limit is {MAX_COMMITTEE}")]
    TooLarge(usize),
    /// Identities are not strictly ascending.
    #[error("committee member {0} is not in ascending order of identity")]
    Order(usize),
    /// A seat without weight would never lead.
    #[error("committee member {0} has no weight")]
    NoWeight(usize),
}

/// Votes that make a certificate: `n - floor((n - 1) / 3)`, the quorum of simplex with `n >= 3f + 1`.
pub const fn quorum(members: usize) -> usize {
    members - members.saturating_sub(1) / 3
}

impl Committee {
    /// Decodes packed members (the format of this module's docs).
    pub fn unpack(id: u64, seed: B256, packed: &[u8]) -> Result<Self, CommitteeError> {
        if packed.is_empty() || !packed.len().is_multiple_of(MEMBER_BYTES) {
            return Err(CommitteeError::Length(packed.len()));
        }
        let count = packed.len() / MEMBER_BYTES;
        if count > MAX_COMMITTEE {
            return Err(CommitteeError::TooLarge(count));
        }
        let members: Vec<Member> = packed.chunks_exact(MEMBER_BYTES).map(Member::unpack).collect();
        for (index, member) in members.iter().enumerate() {
            if index > 0 && members[index - 1].identity >= member.identity {
                return Err(CommitteeError::Order(index));
            }
            if member.weight == 0 {
                return Err(CommitteeError::NoWeight(index));
            }
        }
        Ok(Self { id, seed, members })
    }

    /// Encodes the members.
    pub fn pack(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.members.len() * MEMBER_BYTES);
        for member in &self.members {
            out.extend_from_slice(&member.id.to_be_bytes());
            out.extend_from_slice(member.identity.as_slice());
            out.extend_from_slice(member.bls_key.as_slice());
            out.extend_from_slice(&member.weight.to_be_bytes());
        }
        out
    }

    /// `keccak256(packed members)`, what the pool stores and mixes into the seed.
    pub fn members_digest(&self) -> B256 {
        keccak256(self.pack())
    }

    /// Votes that make a certificate of this committee.
    pub fn quorum(&self) -> usize {
        quorum(self.members.len())
    }

    /// Position of an identity key.
    pub fn index_of(&self, identity: &B256) -> Option<usize> {
        self.members.binary_search_by(|member| member.identity.cmp(identity)).ok()
    }

    /// Draws the leader of a view by stake: `keccak256(seed ++ epoch ++ view) mod total weight`, walked over the members
    /// in order (the draw is below the total, so the walk ends at a member). The modulo bias is below 2^-128 for any total
    /// weight that fits the token's supply. Panics on a committee without members, which [`Committee::unpack`] never makes.
    pub fn leader(&self, epoch: u64, view: u64) -> u32 {
        let mut preimage = [0u8; 48];
        preimage[..32].copy_from_slice(self.seed.as_slice());
        preimage[32..40].copy_from_slice(&epoch.to_be_bytes());
        preimage[40..].copy_from_slice(&view.to_be_bytes());
        let total = self.members.iter().fold(U256::ZERO, |sum, member| sum + U256::from(member.weight));
        let mut ticket = U256::from_be_bytes(keccak256(preimage).0) % total;
        let mut index = 0;
        while ticket >= U256::from(self.members[index].weight) {
            ticket -= U256::from(self.members[index].weight);
            index += 1;
        }
        index as u32
    }
}

impl Member {
    /// `bytes` is exactly [`MEMBER_BYTES`] long (callers split by that length).
    fn unpack(bytes: &[u8]) -> Self {
        let array = |from: usize, to: usize| &bytes[from..to];
        Self {
            id: u64::from_be_bytes(array(0, 8).try_into().expect("eight bytes")),
            identity: B256::from_slice(array(8, 40)),
            bls_key: FixedBytes::from_slice(array(40, 136)),
            weight: u128::from_be_bytes(array(136, 152).try_into().expect("sixteen bytes")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committee(weights: &[u128]) -> Committee {
        let members = weights
            .iter()
            .enumerate()
            .map(|(index, weight)| Member {
                id: index as u64 + 1,
                identity: B256::with_last_byte(index as u8 + 1),
                bls_key: FixedBytes::repeat_byte(index as u8),
                weight: *weight,
            })
            .collect();
        Committee { id: 1, seed: B256::repeat_byte(7), members }
    }

    #[test]
    fn packing_round_trips_and_refuses_bad_shapes() {
        let original = committee(&[1, 2, 3]);
        let packed = original.pack();
        assert_eq!(packed.len(), 3 * MEMBER_BYTES);
        assert_eq!(Committee::unpack(1, original.seed, &packed).unwrap(), original);
        assert_eq!(Committee::unpack(1, B256::ZERO, &packed[1..]), Err(CommitteeError::Length(packed.len() - 1)));
        assert_eq!(Committee::unpack(1, B256::ZERO, &[]), Err(CommitteeError::Length(0)));
        let mut swapped = original.clone();
        swapped.members.swap(0, 1);
        assert_eq!(Committee::unpack(1, B256::ZERO, &swapped.pack()), Err(CommitteeError::Order(1)));
        assert_eq!(Committee::unpack(1, B256::ZERO, &committee(&[1, 0]).pack()), Err(CommitteeError::NoWeight(1)));
    }

    #[test]
    fn a_real_stake_survives_json_values() {
        let original = committee(&[100_000 * 10u128.pow(18)]);
        let value = serde_json::to_value(&original).expect("weights beyond 2^64 are written as quantities");
        assert_eq!(value["members"][0]["weight"], "0x152d02c7e14af6800000");
        assert_eq!(serde_json::from_value::<Committee>(value).unwrap(), original);
    }

    #[test]
    fn quorum_is_two_thirds_and_one() {
        for (members, votes) in [(1, 1), (3, 3), (4, 3), (7, 5), (10, 7), (16, 11), (50, 34), (100, 67)] {
            assert_eq!(quorum(members), votes, "{members} members");
        }
    }

    #[test]
    fn leaders_follow_stake() {
        let drawn = committee(&[20_000, 100_000, 20_000, 60_000]);
        let mut led = [0u32; 4];
        for view in 1..=20_000 {
            led[drawn.leader(3, view) as usize] += 1;
        }
        for (count, share) in led.iter().zip([0.1, 0.5, 0.1, 0.3]) {
            assert!((f64::from(*count) / 20_000.0 - share).abs() < 0.02, "{led:?}");
        }
    }
}
