//! Data availability modes: how batch data becomes part of an L1 transaction, and how it is taken out and checked again.

use alloy_eips::eip4844::builder::{SidecarBuilder, SidecarCoder, SimpleCoder};
use alloy_eips::eip4844::env_settings::EnvKzgSettings;
use alloy_eips::eip4844::{BYTES_PER_BLOB, Blob, BlobTransactionSidecar, FIELD_ELEMENTS_PER_BLOB, kzg_to_versioned_hash};
use alloy_primitives::{B256, Bytes, keccak256};
use oceanid_primitives::DaMode;

/// Bytes of batch data in one calldata transaction. L1 nodes relay transactions of at most 128 KiB; the rest is for the last
/// header, the certificate and the envelope.
pub const CALLDATA_BYTES: usize = 120 << 10;
/// Blobs in one transaction (EIP-7691: target 6, and what every L1 node relays).
pub const MAX_BLOBS: usize = 6;
/// Bytes that one field element carries; 32 would not always be below the modulus.
const BYTES_PER_ELEMENT: usize = 31;

/// Bytes of batch data that fit `blobs` blobs; one field element holds the length.
pub const fn blob_capacity(blobs: usize) -> usize {
    (blobs * FIELD_ELEMENTS_PER_BLOB as usize).saturating_sub(1) * BYTES_PER_ELEMENT
}

/// Batch data made ready for an L1 transaction.
#[derive(Clone, Debug)]
pub struct Packed {
    /// The `data` argument of `submitBatch` and `repostData`.
    pub argument: Bytes,
    /// Blobs to send along, with commitments and EIP-4844 proofs.
    pub sidecar: Option<Box<BlobTransactionSidecar>>,
    /// What `Rollup` will store and emit.
    pub commitment: B256,
}

/// What a reader got from L1 for one posting.
#[derive(Clone, Debug)]
pub enum Material {
    /// The `data` argument of the posting transaction.
    Calldata(Bytes),
    /// The transaction's blobs, in its order.
    Blobs(Vec<Blob>),
}

/// Why data cannot be posted in a mode, or what was read is not what was posted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DaError {
    /// The mode does not exist yet.
    #[error("data availability mode `storage` is not available: this chain has no storage network; use `blob` or `calldata`")]
    NotAvailable,
    /// More data than the mode carries in one transaction.
    #[error("batch data of {bytes} bytes does not fit mode `{mode}`: the limit is {limit}")]
    TooLarge {
        /// Mode.
        mode: DaMode,
        /// What was asked for.
        bytes: usize,
        /// What fits.
        limit: usize,
    },
    /// The material is not what the commitment says.
    #[error("data read in mode `{mode}` has commitment {found}, L1 says {expected}")]
    Commitment {
        /// Mode.
        mode: DaMode,
        /// From `Rollup`.
        expected: B256,
        /// Of what was read.
        found: B256,
    },
    /// Calldata where blobs were expected, or the reverse.
    #[error("material of another mode was given to mode `{0}`")]
    Material(DaMode),
    /// The blobs are the posted ones, but are not packed as this code packs.
    #[error("the blobs hold no length-prefixed data")]
    Packing,
    /// The cryptography refused a blob.
    #[error("KZG: {0}")]
    Kzg(String),
}

/// One place for batch data.
pub trait DataAvailability: Send + Sync {
    /// The mode's number and name.
    fn mode(&self) -> DaMode;

    /// Most bytes of batch data in one posting.
    fn capacity(&self) -> usize;

    /// Makes `data` part of a transaction. In blob mode this computes commitments: 50 to 100 ms of CPU a blob.
    fn pack(&self, data: &[u8]) -> Result<Packed, DaError>;

    /// Checks that `material` is what `commitment` says and takes the data out.
    ///
    /// [`DaError::Commitment`] means the source lied or is another one; [`DaError::Packing`] means the poster posted garbage.
    fn unpack(&self, commitment: B256, material: &Material) -> Result<Vec<u8>, DaError>;
}

/// The mode of that name.
pub fn mode(mode: DaMode) -> &'static dyn DataAvailability {
    match mode {
        DaMode::Calldata => &Calldata,
        DaMode::Blob => &Blobs,
        DaMode::Storage => &Storage,
    }
}

/// Loads the KZG trusted setup (seconds of CPU, once a process). Call it from a thread that may wait, before the first blob.
pub fn warm_up() {
    EnvKzgSettings::Default.get();
}

/// Versioned hash of a blob: computes its KZG commitment, so nobody's word is taken for it (about 40 ms of CPU).
pub fn versioned_hash(blob: &Blob) -> Result<B256, DaError> {
    let kzg_blob = c_kzg::Blob::from_bytes(blob.as_slice()).map_err(|error| DaError::Kzg(error.to_string()))?;
    let commitment =
        EnvKzgSettings::Default.get().blob_to_kzg_commitment(&kzg_blob).map_err(|error| DaError::Kzg(error.to_string()))?;
    Ok(kzg_to_versioned_hash(commitment.as_slice()))
}

struct Calldata;
struct Blobs;
struct Storage;

fn check_size(mode: &dyn DataAvailability, data: &[u8]) -> Result<(), DaError> {
    let limit = mode.capacity();
    if data.len() > limit { Err(DaError::TooLarge { mode: mode.mode(), bytes: data.len(), limit }) } else { Ok(()) }
}

fn check_commitment(mode: DaMode, expected: B256, found: B256) -> Result<(), DaError> {
    if found == expected { Ok(()) } else { Err(DaError::Commitment { mode, expected, found }) }
}

impl DataAvailability for Calldata {
    fn mode(&self) -> DaMode {
        DaMode::Calldata
    }

    fn capacity(&self) -> usize {
        CALLDATA_BYTES
    }

    fn pack(&self, data: &[u8]) -> Result<Packed, DaError> {
        check_size(self, data)?;
        Ok(Packed { argument: Bytes::copy_from_slice(data), sidecar: None, commitment: keccak256(data) })
    }

    fn unpack(&self, commitment: B256, material: &Material) -> Result<Vec<u8>, DaError> {
        let Material::Calldata(data) = material else { return Err(DaError::Material(self.mode())) };
        check_commitment(self.mode(), commitment, keccak256(data))?;
        Ok(data.to_vec())
    }
}

impl DataAvailability for Blobs {
    fn mode(&self) -> DaMode {
        DaMode::Blob
    }

    fn capacity(&self) -> usize {
        blob_capacity(MAX_BLOBS)
    }

    fn pack(&self, data: &[u8]) -> Result<Packed, DaError> {
        check_size(self, data)?;
        let sidecar =
            SidecarBuilder::<SimpleCoder>::from_slice(data).build_4844().map_err(|error| DaError::Kzg(error.to_string()))?;
        let commitment = hashes_commitment(sidecar.versioned_hashes());
        Ok(Packed { argument: Bytes::new(), sidecar: Some(Box::new(sidecar)), commitment })
    }

    fn unpack(&self, commitment: B256, material: &Material) -> Result<Vec<u8>, DaError> {
        let Material::Blobs(blobs) = material else { return Err(DaError::Material(self.mode())) };
        let hashes = blobs.iter().map(versioned_hash).collect::<Result<Vec<_>, _>>()?;
        check_commitment(self.mode(), commitment, hashes_commitment(hashes))?;
        match SimpleCoder::default().decode_all(blobs) {
            Some(mut pieces) if pieces.len() == 1 => Ok(pieces.remove(0)),
            _ => Err(DaError::Packing),
        }
    }
}

impl DataAvailability for Storage {
    fn mode(&self) -> DaMode {
        DaMode::Storage
    }

    fn capacity(&self) -> usize {
        0
    }

    fn pack(&self, _data: &[u8]) -> Result<Packed, DaError> {
        Err(DaError::NotAvailable)
    }

    fn unpack(&self, _commitment: B256, _material: &Material) -> Result<Vec<u8>, DaError> {
        Err(DaError::NotAvailable)
    }
}

/// `keccak256` of the concatenated versioned hashes, as `Rollup` computes it from `BLOBHASH`.
fn hashes_commitment(hashes: impl IntoIterator<Item = B256>) -> B256 {
    let concatenated: Vec<u8> = hashes.into_iter().flat_map(|hash| hash.0).collect();
    keccak256(concatenated)
}

const _: () = assert!(BYTES_PER_BLOB == FIELD_ELEMENTS_PER_BLOB as usize * 32, "a field element is 32 bytes");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calldata_round_trip_and_limits() {
        let layer = mode(DaMode::Calldata);
        let packed = layer.pack(b"some data").unwrap();
        assert_eq!(packed.commitment, keccak256(b"some data"));
        assert_eq!(layer.unpack(packed.commitment, &Material::Calldata(packed.argument)).unwrap(), b"some data");
        let foreign = Material::Calldata(Bytes::from_static(b"other data"));
        assert!(matches!(layer.unpack(packed.commitment, &foreign), Err(DaError::Commitment { .. })));
        let error = layer.pack(&vec![0; CALLDATA_BYTES + 1]).unwrap_err();
        assert_eq!(error, DaError::TooLarge { mode: DaMode::Calldata, bytes: CALLDATA_BYTES + 1, limit: CALLDATA_BYTES });
    }

    #[test]
    fn blobs_round_trip_at_every_boundary_and_refuse_foreign_ones() {
        let layer = mode(DaMode::Blob);
        for length in [1, 31, blob_capacity(1), blob_capacity(1) + 1] {
            let data: Vec<u8> = (0..length).map(|index| (index * 7 + 3) as u8).collect();
            let packed = layer.pack(&data).unwrap();
            let sidecar = packed.sidecar.expect("blob mode sends blobs");
            assert_eq!(sidecar.blobs.len(), if length > blob_capacity(1) { 2 } else { 1 }, "{length} bytes");
            assert!(packed.argument.is_empty());
            let material = Material::Blobs(sidecar.blobs.clone());
            assert_eq!(layer.unpack(packed.commitment, &material).unwrap(), data);
            let mut changed = sidecar.blobs.clone();
            changed[0][33] ^= 1;
            assert!(matches!(layer.unpack(packed.commitment, &Material::Blobs(changed)), Err(DaError::Commitment { .. })));
        }
        assert!(matches!(layer.pack(&vec![1; layer.capacity() + 1]), Err(DaError::TooLarge { .. })));
    }

    #[test]
    fn garbage_blobs_are_named_garbage() {
        let mut blob = Blob::ZERO;
        blob[1] = 0x7f; // a length beyond any blob
        let commitment = hashes_commitment([versioned_hash(&blob).unwrap()]);
        let layer = mode(DaMode::Blob);
        assert_eq!(layer.unpack(commitment, &Material::Blobs(vec![blob])), Err(DaError::Packing));
    }

    #[test]
    fn storage_says_what_to_do() {
        let error = mode(DaMode::Storage).pack(b"x").unwrap_err();
        assert_eq!(error, DaError::NotAvailable);
        assert!(error.to_string().contains("use `blob` or `calldata`"));
    }
}
