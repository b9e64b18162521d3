//! Blobs of the embedded L1: those of pending transactions in memory, those of sealed blocks in one file a block, the oldest removed first.

use alloy_eips::eip4844::BlobTransactionSidecar;
use alloy_primitives::B256;
use alloy_rlp::{Decodable, Encodable};
use parking_lot::RwLock;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Sidecars of pending transactions that are held at once; 6 blobs of 128 KiB each make 192 MiB at most.
pub const MAX_PENDING_SIDECARS: usize = 256;

/// Suffix of a block's file.
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

/// Sidecars by transaction while pending, by block once sealed.
#[derive(Debug)]
pub struct BlobStore {
    dir: PathBuf,
    retention: usize,
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    pending: HashMap<B256, Arc<BlobTransactionSidecar>>,
    /// Number of blobs by sealed block.
    sealed: BTreeMap<u64, usize>,
}

impl BlobStore {
    /// Opens or makes the directory; at most `retention` blobs of sealed blocks are kept (128 KiB each), the newest block's always.
    pub fn open(dir: PathBuf, retention: usize) -> Result<Self, BlobError> {
        let failed = |path: &Path, source| BlobError::Io { path: path.to_owned(), source };
        std::fs::create_dir_all(&dir).map_err(|error| failed(&dir, error))?;
        let mut sealed = BTreeMap::new();
        for entry in std::fs::read_dir(&dir).map_err(|error| failed(&dir, error))? {
            let path = entry.map_err(|error| failed(&dir, error))?.path();
            let number = path
                .file_stem()
                .filter(|_| path.extension().is_some_and(|suffix| suffix == SUFFIX))
                .and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            if let Some(number) = number {
                let blobs = read(&path)?.iter().map(|sidecar| sidecar.blobs.len()).sum();
                sealed.insert(number, blobs);
            }
        }
        Ok(Self { dir, retention, inner: RwLock::new(Inner { pending: HashMap::new(), sealed }) })
    }

    /// Holds the sidecar of a pending transaction. The caller has verified it.
    pub fn add_pending(&self, transaction: B256, sidecar: BlobTransactionSidecar) -> Result<(), BlobError> {
        let mut inner = self.inner.write();
        if inner.pending.len() >= MAX_PENDING_SIDECARS && !inner.pending.contains_key(&transaction) {
            return Err(BlobError::Full);
        }
        inner.pending.insert(transaction, Arc::new(sidecar));
        Ok(())
    }

    /// Forgets the sidecar of a transaction that the pool did not take, or dropped.
    pub fn drop_pending(&self, transaction: &B256) {
        self.inner.write().pending.remove(transaction);
    }

    /// True if the sidecar of a pending transaction is held.
    pub fn is_pending(&self, transaction: &B256) -> bool {
        self.inner.read().pending.contains_key(transaction)
    }

    /// Hashes of the pending transactions with a sidecar.
    pub fn pending(&self) -> Vec<B256> {
        self.inner.read().pending.keys().copied().collect()
    }

    /// Writes the sidecars of the block's blob transactions (in block order) durably, and removes the oldest past retention.
    /// Called before the block itself is committed: a block that is durable has its blobs.
    pub fn seal(&self, block: u64, transactions: &[B256]) -> Result<(), BlobError> {
        let sidecars: Vec<_> = {
            let inner = self.inner.read();
            transactions.iter().filter_map(|hash| inner.pending.get(hash).cloned()).collect()
        };
        if sidecars.is_empty() {
            return Ok(());
        }
        let path = self.path(block);
        let mut encoded = Vec::new();
        alloy_rlp::encode_iter(sidecars.iter().map(|sidecar| SidecarRlp(sidecar.as_ref().clone())), &mut encoded);
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(&encoded)?;
            file.sync_all()
        };
        write().map_err(|source| BlobError::Io { path: path.clone(), source })?;

        let mut inner = self.inner.write();
        for hash in transactions {
            inner.pending.remove(hash);
        }
        inner.sealed.insert(block, sidecars.iter().map(|sidecar| sidecar.blobs.len()).sum());
        while inner.sealed.len() > 1 && inner.sealed.values().sum::<usize>() > self.retention {
            let (oldest, _) = inner.sealed.pop_first().expect("more than one block is held");
            let path = self.path(oldest);
            std::fs::remove_file(&path).map_err(|source| BlobError::Io { path, source })?;
        }
        Ok(())
    }

    /// The sidecars of a sealed block, in block order; empty when it had none or they are past retention.
    pub fn of_block(&self, block: u64) -> Result<Vec<BlobTransactionSidecar>, BlobError> {
        if !self.inner.read().sealed.contains_key(&block) {
            return Ok(Vec::new());
        }
        read(&self.path(block))
    }

    fn path(&self, block: u64) -> PathBuf {
        self.dir.join(format!("{block:012}.{SUFFIX}"))
    }
}

fn read(path: &Path) -> Result<Vec<BlobTransactionSidecar>, BlobError> {
    let bytes = std::fs::read(path).map_err(|source| BlobError::Io { path: path.to_owned(), source })?;
    Vec::<SidecarRlp>::decode(&mut bytes.as_slice())
        .map(|sidecars| sidecars.into_iter().map(|sidecar| sidecar.0).collect())
        .map_err(|source| BlobError::Damaged { path: path.to_owned(), source })
}

/// A sidecar as the list `[blobs, commitments, proofs]`.
struct SidecarRlp(BlobTransactionSidecar);

impl Encodable for SidecarRlp {
    fn encode(&self, out: &mut dyn alloy_rlp::BufMut) {
        self.0.rlp_encode(out);
    }

    fn length(&self) -> usize {
        self.0.rlp_encoded_length()
    }
}

impl Decodable for SidecarRlp {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        BlobTransactionSidecar::rlp_decode(buf).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_eips::eip4844::{Blob, Bytes48};

    fn sidecar(fill: u8) -> BlobTransactionSidecar {
        BlobTransactionSidecar {
            blobs: vec![Blob::repeat_byte(fill)],
            commitments: vec![Bytes48::repeat_byte(fill)],
            proofs: vec![Bytes48::repeat_byte(fill)],
        }
    }

    #[test]
    fn sealed_blobs_survive_a_restart_and_the_oldest_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path().to_owned(), 2).unwrap();
        for block in 1..=3u8 {
            let hash = B256::with_last_byte(block);
            store.add_pending(hash, sidecar(block)).unwrap();
            assert!(store.is_pending(&hash));
            store.seal(block.into(), &[hash]).unwrap();
            assert!(!store.is_pending(&hash));
        }
        drop(store);
        let store = BlobStore::open(dir.path().to_owned(), 2).unwrap();
        assert!(store.of_block(1).unwrap().is_empty());
        assert_eq!(store.of_block(2).unwrap(), [sidecar(2)]);
        assert_eq!(store.of_block(3).unwrap(), [sidecar(3)]);
    }

    #[test]
    fn the_pool_refuses_past_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::open(dir.path().to_owned(), 2).unwrap();
        let empty = || BlobTransactionSidecar { blobs: Vec::new(), commitments: Vec::new(), proofs: Vec::new() };
        for index in 0..MAX_PENDING_SIDECARS {
            store.add_pending(B256::from(alloy_primitives::U256::from(index)), empty()).unwrap();
        }
        assert!(matches!(store.add_pending(B256::repeat_byte(0xff), empty()), Err(BlobError::Full)));
        store.drop_pending(&B256::ZERO);
        assert!(store.add_pending(B256::repeat_byte(0xff), empty()).is_ok());
    }
}
