//! A block as consensus carries it: the RLP of a [`SealedBlock`] behind a length prefix.
//!
//! The digest is the header hash, so everything a peer can vary must hang on the header: decoding checks that the body is the
//! one the header commits to, and that the bytes are the only encoding of the block. The leader's identity key, which the
//! consensus context names, is not in the header; its index in the committee is, and the directory of committees turns it back.

use std::sync::Arc;

use alloy_consensus::proofs::calculate_transaction_root;
use alloy_primitives::B256;
use alloy_rlp::Decodable as _;
use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, EncodeSize, Error as CodecError, Read, Write};
use commonware_consensus::{
    Block, BoundedBlock, CertifiableBlock, Heightable,
    types::{Epoch, Height, Round, View},
};
use commonware_cryptography::Digestible;
use oceanid_primitives::{HeaderExtension, SealedBlock};

use crate::{
    Committees,
    types::{Context, Digest},
};

/// Largest encoded block (RLP, header and body), bytes, unless configured lower. Bounds every network message and every decode.
pub const MAX_BLOCK_BYTES: usize = 4 << 20;
/// Widest length prefix of a block, bytes (LEB128 of a u32).
const PREFIX_BYTES: usize = 5;

/// What decoding needs to know.
#[derive(Clone, Debug)]
pub struct BlockCodec {
    /// Largest RLP accepted, bytes. All nodes of a network agree on it.
    pub max_bytes: usize,
    /// Turns a leader's index into its identity.
    pub committees: Committees,
}

/// A sealed block with its decoded extension, its encoding kept, cheap to clone.
#[derive(Clone, Debug)]
pub struct ConsensusBlock {
    sealed: Arc<SealedBlock>,
    extension: HeaderExtension,
    rlp: Bytes,
    committees: Committees,
}

/// Why a block cannot enter consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// `extraData` is not an extension.
    #[error(transparent)]
    Extension(#[from] oceanid_primitives::ExtensionError),
    /// Larger than the limit all nodes decode with.
    #[error("block of {0} bytes, the limit is {1} bytes")]
    TooLarge(usize, usize),
}

impl ConsensusBlock {
    /// Wraps a block made or stored by this node.
    pub fn new(sealed: Arc<SealedBlock>, codec: &BlockCodec) -> Result<Self, BlockError> {
        let extension = HeaderExtension::decode(&sealed.header().extra_data)?;
        let rlp = Bytes::from(alloy_rlp::encode(sealed.as_ref()));
        if rlp.len() > codec.max_bytes {
            return Err(BlockError::TooLarge(rlp.len(), codec.max_bytes));
        }
        Ok(Self { sealed, extension, rlp, committees: codec.committees.clone() })
    }

    /// The block.
    pub const fn sealed(&self) -> &Arc<SealedBlock> {
        &self.sealed
    }

    /// Its header extension.
    pub const fn extension(&self) -> &HeaderExtension {
        &self.extension
    }
}

/// The digest consensus votes on.
pub fn digest(hash: B256) -> Digest {
    commonware_cryptography::sha256::Digest(hash.0)
}

/// The header hash a digest carries.
pub fn hash(digest: &Digest) -> B256 {
    B256::new(digest.0)
}

impl Write for ConsensusBlock {
    fn write(&self, buf: &mut impl BufMut) {
        self.rlp.write(buf);
    }
}

impl EncodeSize for ConsensusBlock {
    fn encode_size(&self) -> usize {
        self.rlp.encode_size()
    }
}

impl Read for ConsensusBlock {
    type Cfg = BlockCodec;

    fn read_cfg(buf: &mut impl Buf, codec: &BlockCodec) -> Result<Self, CodecError> {
        const NAME: &str = "oceanid::ConsensusBlock";
        let rlp = Bytes::read_cfg(buf, &(..=codec.max_bytes).into())?;
        let mut rest = rlp.as_ref();
        let sealed = SealedBlock::decode(&mut rest).map_err(|error| CodecError::Wrapped(NAME, Box::new(error)))?;
        if !rest.is_empty() {
            return Err(CodecError::Invalid(NAME, "bytes after the block"));
        }
        let extension =
            HeaderExtension::decode(&sealed.header().extra_data).map_err(|error| CodecError::Wrapped(NAME, Box::new(error)))?;
        if calculate_transaction_root(sealed.body()) != sealed.header().transactions_root {
            return Err(CodecError::Invalid(NAME, "body does not hash to the transactions root"));
        }
        if alloy_rlp::encode(&sealed) != rlp {
            return Err(CodecError::Invalid(NAME, "not the canonical encoding"));
        }
        Ok(Self { sealed: Arc::new(sealed), extension, rlp, committees: codec.committees.clone() })
    }
}

impl Digestible for ConsensusBlock {
    type Digest = Digest;

    fn digest(&self) -> Digest {
        digest(self.sealed.hash())
    }
}

impl Heightable for ConsensusBlock {
    fn height(&self) -> Height {
        Height::new(self.sealed.number())
    }
}

impl Block for ConsensusBlock {
    fn parent(&self) -> Digest {
        digest(self.sealed.header().parent_hash)
    }
}

impl CertifiableBlock for ConsensusBlock {
    type Context = Context;

    fn context(&self) -> Context {
        let HeaderExtension { epoch, view, parent_view, leader, .. } = self.extension;
        Context {
            round: Round::new(Epoch::new(epoch), View::new(view)),
            leader: self.committees.identity(epoch, leader),
            parent: (View::new(parent_view), self.parent()),
        }
    }
}

impl BoundedBlock for ConsensusBlock {
    fn max_encode_size(codec: &BlockCodec) -> usize {
        PREFIX_BYTES + codec.max_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::constants::EMPTY_TRANSACTIONS;
    use commonware_codec::{Decode as _, DecodeExt as _, Encode as _};
    use oceanid_primitives::{Block as EthBlock, Header, TxDeposit};

    fn codec() -> BlockCodec {
        BlockCodec { max_bytes: 10_000, committees: Committees::new(b"test", None) }
    }

    fn block(body: Vec<oceanid_primitives::TxEnvelope>) -> EthBlock {
        let extension = HeaderExtension { epoch: 2, view: 9, parent_view: 8, leader: 1, ..Default::default() };
        let header = Header {
            number: 41,
            parent_hash: B256::repeat_byte(4),
            extra_data: extension.encode().into(),
            transactions_root: calculate_transaction_root(&body),
            ..Header::default()
        };
        EthBlock { header, body }
    }

    #[test]
    fn digest_is_the_header_hash_and_encoding_round_trips() {
        let sealed = Arc::new(SealedBlock::new(block(vec![TxDeposit::default().into()])));
        let original = ConsensusBlock::new(sealed.clone(), &codec()).unwrap();
        assert_eq!(hash(&original.digest()), sealed.hash());
        assert_eq!(original.height().get(), 41);
        let decoded = ConsensusBlock::decode_cfg(original.encode(), &codec()).unwrap();
        assert_eq!(decoded.sealed(), original.sealed());
        assert_eq!(decoded.encode(), original.encode());
        let context = decoded.context();
        assert_eq!((context.round.epoch().get(), context.round.view().get(), context.parent.0.get()), (2, 9, 8));
        assert_eq!(context.leader, codec().committees.identity(0, 0), "an unknown committee has nobody at its seats");
    }

    #[test]
    fn fuzz_consensus_blocks() {
        let empty = ConsensusBlock::new(Arc::new(SealedBlock::new(block(vec![]))), &codec()).unwrap();
        let full =
            ConsensusBlock::new(Arc::new(SealedBlock::new(block(vec![TxDeposit::default().into(); 5]))), &codec()).unwrap();
        oceanid_fuzz::bytes("consensus blocks", &[empty.encode().to_vec(), full.encode().to_vec()], |input| {
            let Ok(block) = ConsensusBlock::decode_cfg(Bytes::copy_from_slice(input), &codec()) else { return false };
            assert_eq!(block.encode(), input, "one encoding");
            true
        });
    }

    #[test]
    fn a_body_the_header_does_not_commit_to_is_refused() {
        let mut bad = block(vec![]);
        bad.body.push(TxDeposit::default().into());
        assert_eq!(bad.header.transactions_root, EMPTY_TRANSACTIONS);
        let bytes = Bytes::from(alloy_rlp::encode(&bad)).encode();
        assert!(ConsensusBlock::decode_cfg(bytes, &codec()).unwrap_err().to_string().contains("transactions root"));
    }

    #[test]
    fn hostile_bytes_never_panic_and_are_refused() {
        let good = ConsensusBlock::new(Arc::new(SealedBlock::new(block(vec![TxDeposit::default().into()]))), &codec()).unwrap();
        let bytes = good.encode();
        for end in 0..bytes.len() {
            assert!(ConsensusBlock::decode_cfg(bytes.slice(..end), &codec()).is_err(), "prefix of {end} bytes");
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 0x80;
            if let Ok(other) = ConsensusBlock::decode_cfg(Bytes::from(flipped), &codec()) {
                assert_ne!(other.digest(), good.digest(), "byte {at} is not covered by the digest");
            }
        }
        let long = [bytes.as_ref(), &[0]].concat();
        assert!(ConsensusBlock::decode_cfg(Bytes::from(long), &codec()).is_err());
        let small = BlockCodec { max_bytes: 100, ..codec() };
        assert!(ConsensusBlock::decode_cfg(bytes, &small).is_err());
        assert_eq!(ConsensusBlock::new(good.sealed().clone(), &small).unwrap_err(), BlockError::TooLarge(good.rlp.len(), 100));
        assert!(crate::types::Digest::decode(vec![0u8; 31]).is_err());
    }
}
