//! Blobs of the embedded L1: one file a blob transaction, written before the pool takes the transaction, removed when the transaction
//! leaves the pool without a block or when newer blobs need the room.

use alloy_consensus::{Signed, TxEip4844};
use alloy_eips::eip4844::BlobTransactionSidecar;
use alloy_eips::eip7594::BlobTransactionSidecarVariant;
use alloy_primitives::B256;
use parking_lot::Mutex;
use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Sidecars of pending transactions that are held at once; 9 blobs of 128 KiB each make 288 MiB at most.
pub const MAX_PENDING_SIDECARS: usize = 256;

/// Suffix of a file.
const SUFFIX: &str = "blobs";

/// What can go wrong with blobs.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// Too many are pending.
    #[error("blob pool is full: {MAX_PENDING_SIDECARS} sidecars are pending, the limit")]
    Full,
    /// The disk refused.
    #[error("blob file {path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// A file is not what was written.
    #[error("blob file {path} is damaged: {source}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: alloy_rlp::Error,
    },
}

impl BlobError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Loads the KZG trusted setup without the tables that only cell proofs need, once a process (later calls return at once).
pub fn load_trusted_setup() -> &'static c_kzg::KzgSettings {
    c_kzg::ethereum_kzg_settings(0)
}

/// Sidecars by transaction hash.
#[derive(Debug)]
pub struct BlobStore {
    dir: PathBuf,
    retention: usize,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    pending: HashSet<B256>,
    /// Transactions in blocks with their number of blobs, oldest first.
    sealed: VecDeque<(B256, usize)>,
    /// Blobs of all of them.
    sealed_blobs: usize,
}

impl BlobStore {
    /// Opens or makes the directory; at most `retention` blobs of sealed blocks are kept (128 KiB each), the newest transaction's
    /// always. `locate` gives the place of a transaction in the chain (block, index): a file of one that is in no block was
    /// pending when the process ended, and goes.
    pub fn open<E>(dir: PathBuf, retention: usize, locate: impl Fn(B256) -> Result<Option<(u64, u32)>, E>) -> Result<Self, E>
    where
        E: From<BlobError>,
    {
        std::fs::create_dir_all(&dir).map_err(BlobError::io(&dir))?;
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&dir).map_err(BlobError::io(&dir))? {
            let path = entry.map_err(BlobError::io(&dir))?.path();
            let hash = path
                .file_stem()
                .filter(|_| path.extension().is_some_and(|suffix| suffix == SUFFIX))
                .and_then(|stem| stem.to_str()?.parse::<B256>().ok());
            let Some(hash) = hash else { continue };
            match locate(hash)? {
                Some(place) => found.push((place, hash, read(&path)?.blobs.len())),
                None => std::fs::remove_file(&path).map_err(BlobError::io(&path))?,
            }
        }
        found.sort_unstable();
        let mut index = Index::default();
        for (_, hash, blobs) in found {
            index.sealed.push_back((hash, blobs));
            index.sealed_blobs += blobs;
        }
        Ok(Self { dir, retention, index: Mutex::new(index) })
    }

    /// Keeps the sidecar of a pending transaction, durable on return. The caller has verified it.
    pub fn add_pending(&self, transaction: B256, sidecar: &BlobTransactionSidecar) -> Result<(), BlobError> {
        let mut index = self.index.lock();
        if index.pending.len() >= MAX_PENDING_SIDECARS && !index.pending.contains(&transaction) {
            return Err(BlobError::Full);
        }
        let path = self.path(&transaction);
        let mut encoded = Vec::with_capacity(sidecar.rlp_encoded_length());
        sidecar.rlp_encode(&mut encoded);
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(&encoded)?;
            file.sync_all()
        };
        write().map_err(BlobError::io(&path))?;
        index.pending.insert(transaction);
        Ok(())
    }

    /// Forgets the sidecar of a transaction that the pool did not take, or dropped.
    pub fn drop_pending(&self, transaction: &B256) {
        if self.index.lock().pending.remove(transaction) {
            let path = self.path(transaction);
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "cannot remove a blob file; the next start will");
            }
        }
    }

    /// The transactions are in a block now. Removes the oldest past retention.
    pub fn seal(&self, transactions: &[(B256, usize)]) -> Result<(), BlobError> {
        let mut index = self.index.lock();
        for (hash, blobs) in transactions {
            index.pending.remove(hash);
            index.sealed.push_back((*hash, *blobs));
            index.sealed_blobs += blobs;
        }
        while index.sealed.len() > 1 && index.sealed_blobs > self.retention {
            let (oldest, blobs) = index.sealed.pop_front().expect("more than one is held");
            index.sealed_blobs -= blobs;
            let path = self.path(&oldest);
            std::fs::remove_file(&path).map_err(BlobError::io(&path))?;
        }
        Ok(())
    }

    /// The sidecar of a transaction, pending or in a block; `None` past retention.
    pub fn get(&self, transaction: &B256) -> Result<Option<BlobTransactionSidecar>, BlobError> {
        match read(&self.path(transaction)) {
            Err(BlobError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            sidecar => sidecar.map(Some),
        }
    }

    fn path(&self, transaction: &B256) -> PathBuf {
        self.dir.join(format!("{transaction}.{SUFFIX}"))
    }
}

fn read(path: &Path) -> Result<BlobTransactionSidecar, BlobError> {
    let bytes = std::fs::read(path).map_err(BlobError::io(path))?;
    BlobTransactionSidecar::rlp_decode(&mut bytes.as_slice())
        .map_err(|source| BlobError::Damaged { path: path.to_owned(), source })
}

impl oceanid_pool::BlobStore for BlobStore {
    fn accept(&self, transaction: &Signed<TxEip4844>, sidecar: BlobTransactionSidecarVariant) -> Result<(), String> {
        let BlobTransactionSidecarVariant::Eip4844(sidecar) = sidecar else {
            return Err("has cell proofs (EIP-7594): this L1 follows Prague, send one proof a blob (EIP-4844)".to_owned());
        };
        let hashes = &transaction.tx().blob_versioned_hashes;
        sidecar.validate(hashes, load_trusted_setup()).map_err(|error| error.to_string())?;
        self.add_pending(*transaction.hash(), &sidecar).map_err(|error| error.to_string())
    }

    fn discard(&self, transaction: &B256) {
        self.drop_pending(transaction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_eips::eip4844::builder::{SidecarBuilder, SimpleCoder};
    use alloy_eips::eip4844::{Blob, Bytes48};
    use alloy_primitives::{Address, Bytes, Signature, U256};
    use oceanid_pool::BlobStore as _;

    fn open(dir: &Path, sealed: &[B256]) -> BlobStore {
        let place = |hash: B256| sealed.iter().position(|known| *known == hash).map(|index| (index as u64, 0));
        BlobStore::open::<BlobError>(dir.to_owned(), 2, |hash| Ok(place(hash))).unwrap()
    }

    fn sidecar(fill: u8) -> BlobTransactionSidecar {
        BlobTransactionSidecar {
            blobs: vec![Blob::repeat_byte(fill)],
            commitments: vec![Bytes48::repeat_byte(fill)],
            proofs: vec![Bytes48::repeat_byte(fill)],
        }
    }

    #[test]
    fn what_is_in_a_block_survives_a_restart_and_what_was_pending_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let [first, second] = [B256::repeat_byte(1), B256::repeat_byte(2)];
        let store = open(dir.path(), &[]);
        store.add_pending(first, &sidecar(1)).unwrap();
        store.add_pending(second, &sidecar(2)).unwrap();
        drop(store);
        // The process ended after the block with the first was durable and before the store was told.
        let store = open(dir.path(), &[first]);
        assert_eq!(store.get(&first).unwrap(), Some(sidecar(1)));
        assert_eq!(store.get(&second).unwrap(), None);
    }

    #[test]
    fn the_oldest_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), &[]);
        let hashes: Vec<B256> = (1..=3).map(B256::repeat_byte).collect();
        for (hash, fill) in hashes.iter().zip(1..) {
            store.add_pending(*hash, &sidecar(fill)).unwrap();
            store.seal(&[(*hash, 1)]).unwrap();
        }
        let left: Vec<bool> = hashes.iter().map(|hash| store.get(hash).unwrap().is_some()).collect();
        assert_eq!(left, [false, true, true]);
    }

    #[test]
    fn the_pool_refuses_past_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), &[]);
        let empty = BlobTransactionSidecar { blobs: Vec::new(), commitments: Vec::new(), proofs: Vec::new() };
        for index in 0..MAX_PENDING_SIDECARS {
            store.add_pending(B256::from(U256::from(index)), &empty).unwrap();
        }
        assert!(matches!(store.add_pending(B256::repeat_byte(0xff), &empty), Err(BlobError::Full)));
        store.drop_pending(&B256::ZERO);
        assert!(store.add_pending(B256::repeat_byte(0xff), &empty).is_ok());
    }

    #[test]
    fn proofs_are_verified() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), &[]);
        let sidecar =
            SidecarBuilder::<SimpleCoder>::from_slice(b"a batch").build_4844_with_settings(load_trusted_setup()).unwrap();
        let transaction = TxEip4844 {
            chain_id: 31_337,
            nonce: 0,
            gas_limit: 21_000,
            max_fee_per_gas: 1,
            max_priority_fee_per_gas: 1,
            to: Address::repeat_byte(1),
            value: U256::ZERO,
            access_list: Default::default(),
            blob_versioned_hashes: sidecar.versioned_hashes().collect(),
            max_fee_per_blob_gas: 1,
            input: Bytes::new(),
        };
        let signed = Signed::new_unhashed(transaction, Signature::test_signature());
        let mut forged = sidecar.clone();
        forged.blobs[0].0[40] ^= 1;
        assert!(store.accept(&signed, BlobTransactionSidecarVariant::Eip4844(forged)).is_err());
        assert_eq!(store.get(signed.hash()).unwrap(), None);
        store.accept(&signed, BlobTransactionSidecarVariant::Eip4844(sidecar.clone())).unwrap();
        assert_eq!(store.get(signed.hash()).unwrap(), Some(sidecar));
        store.discard(signed.hash());
        assert_eq!(store.get(signed.hash()).unwrap(), None);
    }
}
