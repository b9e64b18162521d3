//! The header extension: what Oceanid adds to an Ethereum header, as RLP in `extraData`.
//!
//! `rlp([version, epoch, view, parentView, leader, committeeId, nextCommitteeId, originNumber, originHash])`.
//! The block hash covers it, so a certificate over the hash certifies the consensus context too.

use alloc::vec::Vec;
use alloy_primitives::B256;
use alloy_rlp::{Decodable, Encodable, RlpDecodable, RlpEncodable};

/// The L1 block whose deposits a block has taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, RlpEncodable, RlpDecodable, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L1Origin {
    /// L1 block number.
    pub number: u64,
    /// L1 block hash.
    pub hash: B256,
}

/// Consensus context, committee hand-over and L1 origin of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderExtension {
    /// Epoch ([`crate::Epochs::of`] the block's number).
    pub epoch: u64,
    /// View in which the block was first proposed (a boundary block may be finalised in a later one).
    pub view: u64,
    /// View of the parent as consensus saw it when this block was proposed.
    pub parent_view: u64,
    /// Index of the proposer in the committee (members sorted by identity key).
    pub leader: u32,
    /// Committee of this block's epoch.
    pub committee_id: u64,
    /// Committee of the next epoch: the newest one in the registry before this epoch's first block.
    pub next_committee_id: u64,
    /// L1 origin.
    pub origin: L1Origin,
}

/// Why `extraData` is not a header extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// Not canonical RLP of the nine fields.
    #[error("extraData is not a header extension: {0}")]
    Rlp(alloy_rlp::Error),
    /// A version this code does not know.
    #[error("header extension version {0}, this node knows version {version}", version = HeaderExtension::VERSION)]
    Version(u8),
    /// Bytes after the extension.
    #[error("extraData has {0} bytes after the header extension")]
    Trailing(usize),
}

impl HeaderExtension {
    /// The version written and read.
    pub const VERSION: u8 = 1;
    /// Upper bound of the encoding, bytes: list header, version, seven integers and the hash.
    pub const MAX_BYTES: usize = 3 + 1 + 6 * 9 + 5 + 33;

    /// Encodes for `extraData`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::MAX_BYTES);
        let fields: [&dyn Encodable; 9] = [
            &Self::VERSION,
            &self.epoch,
            &self.view,
            &self.parent_view,
            &self.leader,
            &self.committee_id,
            &self.next_committee_id,
            &self.origin.number,
            &self.origin.hash,
        ];
        let payload_length = fields.iter().map(|field| field.length()).sum();
        alloy_rlp::Header { list: true, payload_length }.encode(&mut out);
        for field in fields {
            field.encode(&mut out);
        }
        out
    }

    /// Decodes `extraData`; strict: canonical integers, known version, nothing after.
    pub fn decode(extra_data: &[u8]) -> Result<Self, ExtensionError> {
        let mut rest = extra_data;
        let mut list = alloy_rlp::Header::decode_bytes(&mut rest, true).map_err(ExtensionError::Rlp)?;
        if !rest.is_empty() {
            return Err(ExtensionError::Trailing(rest.len()));
        }
        let version = u8::decode(&mut list).map_err(ExtensionError::Rlp)?;
        if version != Self::VERSION {
            return Err(ExtensionError::Version(version));
        }
        let extension = (|| {
            Ok(Self {
                epoch: Decodable::decode(&mut list)?,
                view: Decodable::decode(&mut list)?,
                parent_view: Decodable::decode(&mut list)?,
                leader: Decodable::decode(&mut list)?,
                committee_id: Decodable::decode(&mut list)?,
                next_committee_id: Decodable::decode(&mut list)?,
                origin: L1Origin { number: Decodable::decode(&mut list)?, hash: Decodable::decode(&mut list)? },
            })
        })()
        .map_err(ExtensionError::Rlp)?;
        if list.is_empty() { Ok(extension) } else { Err(ExtensionError::Trailing(list.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> HeaderExtension {
        HeaderExtension {
            epoch: 3,
            view: 70_000,
            parent_view: 69_999,
            leader: 2,
            committee_id: 7,
            next_committee_id: 8,
            origin: L1Origin { number: 1_000_000, hash: B256::repeat_byte(0xab) },
        }
    }

    #[test]
    fn round_trip_and_size_bound() {
        let bytes = sample().encode();
        assert_eq!(HeaderExtension::decode(&bytes).unwrap(), sample());
        let largest = HeaderExtension {
            epoch: u64::MAX,
            view: u64::MAX,
            parent_view: u64::MAX,
            leader: u32::MAX,
            committee_id: u64::MAX,
            next_committee_id: u64::MAX,
            origin: L1Origin { number: u64::MAX, hash: B256::ZERO },
        };
        assert!(largest.encode().len() <= HeaderExtension::MAX_BYTES);
    }

    #[test]
    fn every_truncation_and_suffix_is_refused() {
        let bytes = sample().encode();
        for end in 0..bytes.len() {
            assert!(HeaderExtension::decode(&bytes[..end]).is_err(), "prefix of {end} bytes");
        }
        let mut longer = bytes;
        longer.push(0);
        assert_eq!(HeaderExtension::decode(&longer), Err(ExtensionError::Trailing(1)));
    }

    #[test]
    fn unknown_version_is_named() {
        let mut bytes = sample().encode();
        let at = bytes.iter().position(|byte| *byte == HeaderExtension::VERSION).unwrap();
        bytes[at] = 9;
        assert_eq!(HeaderExtension::decode(&bytes), Err(ExtensionError::Version(9)));
    }
}
