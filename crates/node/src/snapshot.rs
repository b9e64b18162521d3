//! Snapshots: the blocks of a stopped node, with the certificates that make them final, in one file.
//!
//! ```text
//! "oceanid snapshot 1\n" | chain id, 8 | genesis hash, 32 | blocks, 8
//! per block from 1 on: length, 4 | RLP of the block | length, 4 | certificate; length 0: this node has none
//! SHA-256 of all that, 32
//! ```
//!
//! Integers are big endian. Nothing in a file is believed. A restore executes every block from the genesis of the specification on, so that
//! each state root is one that execution gave; it verifies every certificate under the committee that the chain itself names for the
//! epoch; and no epoch is entered before the one before it has a certificate, so that a committee is trusted only on the word of
//! the committee before. What a restored node says is therefore what more than two thirds of each committee signed. When it follows L1, it
//! compares its blocks with every batch there as well.

use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Encodable};
use oceanid_chain::{Ledger, LedgerError};
use oceanid_primitives::{ChainSpec, SealedBlock};
use oceanid_sequencer::{MAX_BLOCK_BYTES, verify_certificate};
use oceanid_store::{MAX_HISTORY, StoreError};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: &[u8] = b"oceanid snapshot 1\n";
const DIGEST: usize = 32;
/// Bytes read at a time while the sum is computed.
const CHUNK: usize = 1 << 20;
/// Longest certificate that is read, bytes; decoding it says what it may be.
const MAX_CERTIFICATE_BYTES: usize = 1 << 10;
/// Bytes before the first block.
const HEAD: usize = MAGIC.len() + 8 + 32 + 8;
/// Where a restore builds the chain before it gets its name.
const UNFINISHED: &str = "chain.restoring";

/// Why there is no snapshot, or why one is refused.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A file operation failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Reading the node's chain, or building one.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is no chain in the data directory.
    #[error("{0} holds no chain: name the data directory of a node that has run")]
    NoChain(PathBuf),
    /// There is a chain in the data directory already.
    #[error("{0} holds a chain: restore into an empty data directory")]
    Occupied(PathBuf),
    /// L1 recovered the chain, which only L1 can tell of.
    #[error("L1 recovered this chain {0} time(s): a snapshot cannot carry that yet; new nodes follow L1")]
    Recovered(usize),
    /// No block, or no certificate.
    #[error("no block here has a certificate: take the snapshot from a sequencer's data directory")]
    NothingCertified,
    /// An epoch that nothing vouches for.
    #[error("epoch {0} has no certificate: the node followed L1 in that time; take the snapshot from another sequencer")]
    UncertifiedEpoch(u64),
    /// Damaged, cut off, or not a snapshot.
    #[error("{path} is refused: {reason}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl From<StoreError> for SnapshotError {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

/// What a snapshot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotSummary {
    /// Its newest block, which is certified.
    pub block: u64,
    /// Hash of that block.
    pub hash: B256,
    /// State root after it.
    pub state_root: B256,
    /// Its epoch.
    pub epoch: u64,
    /// Blocks with a certificate.
    pub certificates: u64,
}

/// Told the block that was done and the last one.
pub type Progress<'a> = &'a dyn Fn(u64, u64);

/// Which epochs have been vouched for, block by block.
#[derive(Default)]
struct Vouched {
    /// Newest epoch with a certificate.
    epoch: Option<u64>,
}

impl Vouched {
    /// Before a block of `epoch`: the epoch before must have had a certificate.
    const fn enter(&self, epoch: u64) -> Result<(), SnapshotError> {
        let before = match epoch.checked_sub(1) {
            Some(before) => before,
            None => return Ok(()),
        };
        match self.epoch {
            Some(vouched) if vouched >= before => Ok(()),
            _ => Err(SnapshotError::UncertifiedEpoch(before)),
        }
    }
}

/// Opens the chain of a node that does not run.
///
/// # Errors
///
/// There is none, or a node uses it.
pub(crate) fn open_chain(data_dir: &Path, spec: Arc<ChainSpec>) -> Result<Ledger, SnapshotError> {
    let folder = data_dir.join("chain");
    if !folder.join("STORE").exists() {
        return Err(SnapshotError::NoChain(data_dir.to_path_buf()));
    }
    let mut config = oceanid_derive::ledger_config();
    // How much of the past the node keeps is not known here: looking at a chain must not shorten it.
    config.store.history = MAX_HISTORY;
    Ok(Ledger::open(&folder, spec, config)?)
}

/// Writes the blocks of a stopped node up to the newest certified one.
///
/// # Errors
///
/// The node runs or has no certificates; the file exists or cannot be written.
pub fn create(
    data_dir: &Path,
    spec: Arc<ChainSpec>,
    file: &Path,
    progress: Progress<'_>,
) -> Result<SnapshotSummary, SnapshotError> {
    let ledger = open_chain(data_dir, spec)?;
    let recoveries = ledger.epochs().recoveries().len();
    if recoveries > 0 {
        return Err(SnapshotError::Recovered(recoveries));
    }
    let store = ledger.store();
    let mut last = store.head().number;
    while last > 0 && store.certificate(last)?.is_none() {
        last -= 1;
    }
    if last == 0 {
        return Err(SnapshotError::NothingCertified);
    }
    let io = |source| SnapshotError::Io { action: "write", path: file.to_path_buf(), source };
    if file.exists() {
        return Err(io(std::io::ErrorKind::AlreadyExists.into()));
    }
    // Beside the file, so that it gets its name only when it is whole; gone again after a failure.
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let readable = std::fs::Permissions::from_mode(0o666); // less the umask
    let mut part = tempfile::Builder::new().prefix(".snapshot-").permissions(readable).tempfile_in(folder).map_err(io)?;
    let summary = write_blocks(&ledger, last, part.as_file_mut(), io, progress)?;
    part.persist_noclobber(file).map_err(|error| io(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    Ok(summary)
}

/// Writes the file of the blocks 1 to `last`; durable on return.
fn write_blocks(
    ledger: &Ledger,
    last: u64,
    file: &mut File,
    io: impl Fn(std::io::Error) -> SnapshotError + Copy,
    progress: Progress<'_>,
) -> Result<SnapshotSummary, SnapshotError> {
    let store = ledger.store();
    let mut out = Summing { inner: BufWriter::new(file), sum: Sha256::new() };
    let head = [MAGIC, &ledger.spec().chain_id.to_be_bytes(), ledger.genesis_hash().as_slice(), &last.to_be_bytes()].concat();
    out.write_all(&head).map_err(io)?;
    let (mut summary, mut vouched) = (SnapshotSummary::default(), Vouched::default());
    for number in 1..=last {
        let epoch = ledger.epochs().of(number);
        vouched.enter(epoch)?;
        let block = store.block(number)?.ok_or_else(|| missing(number))?;
        let certificate = store.certificate(number)?.unwrap_or_default();
        let mut encoded = Vec::with_capacity(block.length());
        block.encode(&mut encoded);
        for bytes in [&encoded[..], &certificate[..]] {
            out.write_all(&(bytes.len() as u32).to_be_bytes()).and_then(|()| out.write_all(bytes)).map_err(io)?;
        }
        if !certificate.is_empty() {
            vouched.epoch = Some(epoch);
            summary.certificates += 1;
        }
        let (hash, state_root) = (block.hash(), block.header().state_root);
        summary = SnapshotSummary { block: number, hash, state_root, epoch, ..summary };
        progress(number, last);
    }
    let Summing { mut inner, sum } = out;
    inner.write_all(&sum.finalize()).map_err(io)?;
    inner.into_inner().map_err(|error| io(error.into_error()))?.sync_all().map_err(io)?;
    Ok(summary)
}

fn missing(number: u64) -> StoreError {
    StoreError::Damaged { what: "block", reason: format!("{number} is missing") }
}

/// Builds the chain of a snapshot in an empty data directory. It gets its name only when all of it has been verified.
///
/// # Errors
///
/// The file is damaged, of another chain, or says anything that execution or a certificate contradicts.
pub fn restore(
    data_dir: &Path,
    spec: Arc<ChainSpec>,
    file: &Path,
    progress: Progress<'_>,
) -> Result<SnapshotSummary, SnapshotError> {
    let io = |action, path: &Path| {
        let path = path.to_path_buf();
        move |source| SnapshotError::Io { action, path, source }
    };
    let chain = data_dir.join("chain");
    if chain.exists() {
        return Err(SnapshotError::Occupied(data_dir.to_path_buf()));
    }
    let mut reader = Reader::open(file)?;
    let unfinished = data_dir.join(UNFINISHED);
    if unfinished.exists() {
        std::fs::remove_dir_all(&unfinished).map_err(io("remove", &unfinished))?;
    }
    std::fs::create_dir_all(&unfinished).map_err(io("make", &unfinished))?;
    let ledger = Ledger::open(&unfinished, spec, oceanid_derive::ledger_config())?;
    let summary = replay(&ledger, &mut reader, progress);
    // The last handle flushes: the folder is whole before it is renamed.
    drop(ledger);
    let summary = match summary {
        Ok(summary) => summary,
        Err(error) => {
            // What is left of it is of no use to anybody.
            let _ = std::fs::remove_dir_all(&unfinished);
            return Err(error);
        }
    };
    std::fs::rename(&unfinished, &chain).map_err(io("name", &chain))?;
    File::open(data_dir).and_then(|folder| folder.sync_all()).map_err(io("sync", data_dir))?;
    Ok(summary)
}

fn replay(ledger: &Ledger, reader: &mut Reader, progress: Progress<'_>) -> Result<SnapshotSummary, SnapshotError> {
    let (chain_id, genesis_hash) = (ledger.spec().chain_id, ledger.genesis_hash());
    if (reader.chain_id, reader.genesis_hash) != (chain_id, genesis_hash) {
        let (found, of) = (reader.chain_id, reader.genesis_hash);
        return Err(reader.refused(format!("it is of chain {found} with genesis {of}, not of {chain_id} with {genesis_hash}")));
    }
    let (namespace, epochs) = (ledger.namespace(), ledger.epochs());
    let (mut summary, mut vouched) = (SnapshotSummary::default(), Vouched::default());
    for number in 1..=reader.blocks {
        let (block, certificate) = reader.next()?;
        let (hash, state_root, epoch) = (block.hash(), block.header().state_root, epochs.of(number));
        if block.number() != number {
            return Err(reader.refused(format!("block {} stands where {number} should", block.number())));
        }
        vouched.enter(epoch)?;
        let certificate = (!certificate.is_empty()).then_some(certificate);
        if let Some(certificate) = &certificate {
            let committee = ledger.committee_of_epoch(epoch)?;
            let committee = committee.ok_or_else(|| reader.refused(format!("the committee of epoch {epoch} is not known")))?;
            let verified = verify_certificate(&namespace, &committee, hash, certificate)
                .map_err(|error| reader.refused(format!("certificate of block {number}: {error}")))?;
            if verified.epoch != epoch {
                return Err(reader.refused(format!("certificate of block {number} is of epoch {}", verified.epoch)));
            }
            vouched.epoch = Some(epoch);
            summary.certificates += 1;
        } else if number == reader.blocks {
            return Err(reader.refused(format!("its last block {number} has no certificate")));
        }
        ledger.commit(&block, certificate).map_err(|error| reader.refused(error.to_string()))?;
        summary = SnapshotSummary { block: number, hash, state_root, epoch, ..summary };
        progress(number, reader.blocks);
    }
    reader.end()?;
    ledger.store().flush()?;
    Ok(summary)
}

/// Sums up what is written.
struct Summing<W> {
    inner: W,
    sum: Sha256,
}

impl<W: Write> Summing<W> {
    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.sum.update(bytes);
        self.inner.write_all(bytes)
    }
}

/// A file whose sum is right, block by block.
struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    /// Bytes between here and the sum.
    left: u64,
    chain_id: u64,
    genesis_hash: B256,
    blocks: u64,
}

impl Reader {
    /// Reads the whole file once and compares its sum, before anything in it is looked at.
    fn open(path: &Path) -> Result<Self, SnapshotError> {
        let io = |source| SnapshotError::Io { action: "read", path: path.to_path_buf(), source };
        let refused = |reason: &str| SnapshotError::Refused { path: path.to_path_buf(), reason: reason.to_owned() };
        let mut file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let content = length.checked_sub(DIGEST as u64).filter(|content| *content >= HEAD as u64);
        let content = content.ok_or_else(|| refused("too short for a snapshot"))?;
        let mut sum = Sha256::new();
        let mut chunk = vec![0; CHUNK];
        let mut left = content;
        while left > 0 {
            let bytes = &mut chunk[..usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)];
            file.read_exact(bytes).map_err(io)?;
            sum.update(&*bytes);
            left -= bytes.len() as u64;
        }
        let mut stored = [0; DIGEST];
        file.read_exact(&mut stored).map_err(io)?;
        if sum.finalize()[..] != stored[..] {
            return Err(refused("its checksum does not fit: damaged, cut off, or not a snapshot"));
        }
        file.rewind().map_err(io)?;
        let mut file = BufReader::new(file);
        let mut head = [0; HEAD];
        file.read_exact(&mut head).map_err(io)?;
        let (magic, rest) = head.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(refused("not a snapshot of version 1"));
        }
        let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
        Ok(Self {
            path: path.to_path_buf(),
            file,
            left: content - HEAD as u64,
            chain_id: number(&rest[..8]),
            genesis_hash: B256::from_slice(&rest[8..40]),
            blocks: number(&rest[40..]),
        })
    }

    fn refused(&self, reason: String) -> SnapshotError {
        SnapshotError::Refused { path: self.path.clone(), reason }
    }

    fn take(&mut self, length: u64) -> Result<Vec<u8>, SnapshotError> {
        self.left = self.left.checked_sub(length).ok_or_else(|| self.refused("it ends inside a block".to_owned()))?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        let read = self.file.read_exact(&mut bytes);
        read.map_err(|source| SnapshotError::Io { action: "read", path: self.path.clone(), source })?;
        Ok(bytes)
    }

    fn part(&mut self, what: &str, limit: usize) -> Result<Vec<u8>, SnapshotError> {
        let length = self.take(4)?;
        let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
        if length as usize > limit {
            return Err(self.refused(format!("a {what} of {length} bytes: the limit is {limit}")));
        }
        self.take(length.into())
    }

    fn next(&mut self) -> Result<(SealedBlock, Bytes), SnapshotError> {
        let bytes = self.part("block", MAX_BLOCK_BYTES)?;
        let mut rest = &bytes[..];
        let block = SealedBlock::decode(&mut rest).map_err(|error| self.refused(format!("a block does not decode: {error}")))?;
        if !rest.is_empty() {
            return Err(self.refused(format!("{} bytes after a block", rest.len())));
        }
        Ok((block, self.part("certificate", MAX_CERTIFICATE_BYTES)?.into()))
    }

    fn end(&self) -> Result<(), SnapshotError> {
        if self.left == 0 { Ok(()) } else { Err(self.refused(format!("{} bytes after its last block", self.left))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path, blocks: u64, content: &[u8]) -> PathBuf {
        let head = [MAGIC, &7u64.to_be_bytes(), B256::repeat_byte(1).as_slice(), &blocks.to_be_bytes(), content].concat();
        let path = folder.join("snapshot");
        let sum = Sha256::digest(&head);
        std::fs::write(&path, [&head[..], &sum[..]].concat()).expect("written");
        path
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_refused() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = file(folder.path(), 1, b"some content");
        let whole = std::fs::read(&path).expect("written");
        assert!(Reader::open(&path).is_ok());
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1;
            std::fs::write(&path, changed).expect("written");
            assert!(matches!(Reader::open(&path), Err(SnapshotError::Refused { .. })), "byte {place}");
            std::fs::write(&path, &whole[..place]).expect("written");
            assert!(matches!(Reader::open(&path), Err(SnapshotError::Refused { .. })), "cut at {place}");
        }
    }

    #[test]
    fn lengths_of_a_hostile_file_are_held_against_what_is_there() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let refused = |content: &[u8]| {
            let mut reader = Reader::open(&file(folder.path(), 1, content)).expect("its sum is right");
            reader.next().expect_err("refused").to_string()
        };
        assert!(refused(&[]).contains("ends inside a block"));
        assert!(refused(&u32::MAX.to_be_bytes()).contains("the limit is"));
        assert!(refused(&[0, 0, 0, 200, 1]).contains("ends inside a block"));
        assert!(refused(&[0, 0, 0, 1, 0x80]).contains("does not decode"));
    }

    #[test]
    fn fuzz_snapshot_files() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let mut block = Vec::new();
        SealedBlock::new(oceanid_primitives::Block { header: oceanid_primitives::Header::default(), body: Vec::new() })
            .encode(&mut block);
        let length = (block.len() as u32).to_be_bytes();
        let content = [&length[..], &block, &[0, 0, 0, 3], b"yes", &length, &block, &[0; 4]].concat();
        oceanid_fuzz::bytes("snapshot files", &[content], |input| {
            // Its sum is right: whoever makes a hostile file makes that as well.
            let mut reader = Reader::open(&file(folder.path(), 2, input)).expect("its sum is right");
            let blocks = std::iter::from_fn(|| reader.next().ok()).count();
            blocks > 0 && reader.end().is_ok()
        });
    }

    #[test]
    fn an_epoch_is_entered_only_behind_a_certificate() {
        let mut vouched = Vouched::default();
        assert!(vouched.enter(0).is_ok());
        assert!(matches!(vouched.enter(1), Err(SnapshotError::UncertifiedEpoch(0))));
        vouched.epoch = Some(0);
        assert!(vouched.enter(1).is_ok());
        assert!(matches!(vouched.enter(2), Err(SnapshotError::UncertifiedEpoch(1))));
    }
}
