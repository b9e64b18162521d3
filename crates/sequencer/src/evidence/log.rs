//! Records of double voting on disk, and which of them were dealt with.
//!
//! File `evidence.jsonl`, append only, one JSON object a line, synced line by line; a torn last line is dropped on opening:
//!
//! ```json
//! {"record":{"epoch":0,"view":7,"committeeId":1,"kind":"conflictingNotarize","signers":[2],"identities":["0x..."],"statements":[{...},{...}]}}
//! {"acknowledged":0}
//! ```
//!
//! The second form says that the record of that place (from 0) was dealt with.

use std::{
    collections::{BTreeSet, HashSet},
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy_primitives::B256;
use commonware_codec::{Copying, Decode as _};
use commonware_consensus::simplex::types::Nullification;
use oceanid_primitives::MAX_COMMITTEE;
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::{error, warn};

use super::{archive::Archive, statement::Statement};
use crate::types::Scheme;

/// Records kept; a network with more double votes than this has other problems.
const MAX_RECORDS: usize = 10_000;
/// The log's file in the sequencer's directory.
const LOG_FILE: &str = "evidence.jsonl";
/// The archive's.
const ARCHIVE_FILE: &str = "nullifications.bin";

/// What a record proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EvidenceKind {
    /// Two notarize votes of one signer for different proposals of one view.
    ConflictingNotarize,
    /// Two finalize votes of one signer for different proposals of one view.
    ConflictingFinalize,
    /// A nullify and a finalize vote of one signer in one view.
    NullifyFinalize,
    /// A vote and a certificate of one view that contradict, with the voter's bit in the certificate. The certificate binds its
    /// signers together, not one by one, so this is a lead, not a proof against a single signer.
    VoteAgainstCertificate,
    /// Two certificates of one view that contradict. Whoever signed both is guilty.
    ConflictingCertificates,
}

impl EvidenceKind {
    /// Whether L1 takes it: `Slasher.submitEquivocation` the votes, `Slasher.submitFork` the certificates.
    pub const fn is_proof(self) -> bool {
        !matches!(self, Self::VoteAgainstCertificate)
    }
}

/// One proof.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvidenceRecord {
    /// Epoch.
    pub epoch: u64,
    /// View.
    pub view: u64,
    /// Committee whose keys check the proof.
    pub committee_id: u64,
    /// What it proves.
    pub kind: EvidenceKind,
    /// Guilty members, positions in the committee.
    pub signers: Vec<u32>,
    /// Their identity keys.
    pub identities: Vec<B256>,
    /// The two messages that contradict.
    pub statements: [Statement; 2],
}

/// A line of the file.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Line {
    Record(Box<EvidenceRecord>),
    Acknowledged(usize),
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The file system refused.
    #[error("evidence log {path}: {source}")]
    Io {
        /// File.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// A whole line is not a record.
    #[error("evidence log {path}, line {line}: {source}")]
    Format {
        /// File.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// Cause.
        source: serde_json::Error,
    },
}

pub(super) type Key = (u64, u64, EvidenceKind, Vec<u32>);

#[derive(Debug, Default)]
struct State {
    file: Option<File>,
    records: Vec<EvidenceRecord>,
    keys: HashSet<Key>,
    acknowledged: BTreeSet<usize>,
    archive: Archive,
}

/// Every proof found so far; clones share it.
#[derive(Clone, Debug)]
pub struct EvidenceLog {
    state: Arc<Mutex<State>>,
    count: watch::Sender<usize>,
}

impl Default for EvidenceLog {
    fn default() -> Self {
        Self::of(State::default())
    }
}

impl EvidenceLog {
    fn of(state: State) -> Self {
        let count = watch::Sender::new(state.records.len());
        Self { state: Arc::new(Mutex::new(state)), count }
    }

    /// A log that lives in memory only.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Opens or creates the files in `directory`, which must exist.
    pub fn open(directory: &Path) -> Result<Self, EvidenceError> {
        let path = directory.join(LOG_FILE);
        let io = |source| EvidenceError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut state = State::default();
        for (index, line) in text[..whole].lines().enumerate() {
            let format = |source| EvidenceError::Format { path: path.clone(), line: index + 1, source };
            match serde_json::from_str(line).map_err(format)? {
                Line::Record(record) => {
                    state.keys.insert(key(&record));
                    state.records.push(*record);
                }
                Line::Acknowledged(place) => drop(state.acknowledged.insert(place)),
            }
        }
        file.set_len(whole as u64).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        state.file = Some(file);
        let path = directory.join(ARCHIVE_FILE);
        state.archive = Archive::open(&path, |nullification| {
            let decoded = Nullification::<Scheme>::decode_cfg(Copying(nullification), &MAX_COMMITTEE).ok()?;
            Some((decoded.round.epoch().get(), decoded.round.view().get()))
        })
        .map_err(|source| EvidenceError::Io { path, source })?;
        Ok(Self::of(state))
    }

    /// All records, oldest first.
    pub fn records(&self) -> Vec<EvidenceRecord> {
        self.state.lock().records.clone()
    }

    /// Proofs that were not acknowledged, with their places, oldest first. A place names a record for ever.
    pub fn pending(&self) -> Vec<(usize, EvidenceRecord)> {
        let state = self.state.lock();
        let open = state.records.iter().enumerate();
        open.filter(|(place, record)| record.kind.is_proof() && !state.acknowledged.contains(place))
            .map(|(place, record)| (place, record.clone()))
            .collect()
    }

    /// The record at `place` was dealt with: L1 punished it, or never will. Durable on return.
    pub fn acknowledge(&self, place: usize) {
        let mut state = self.state.lock();
        if place < state.records.len() && state.acknowledged.insert(place) {
            state.append(&Line::Acknowledged(place));
        }
    }

    /// Wakes at every new record; the value is their number.
    pub fn subscribe(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    pub(super) fn contains(&self, key: &Key) -> bool {
        self.state.lock().keys.contains(key)
    }

    pub(super) fn push(&self, record: EvidenceRecord) {
        let count = {
            let mut state = self.state.lock();
            if state.records.len() >= MAX_RECORDS || !state.keys.insert(key(&record)) {
                return;
            }
            let (kind, signers) = (record.kind, &record.signers);
            warn!(epoch = record.epoch, view = record.view, ?kind, ?signers, "evidence of double voting");
            state.append(&Line::Record(Box::new(record.clone())));
            state.records.push(record);
            state.records.len()
        };
        self.count.send_replace(count);
    }

    /// Keeps a nullification for as long as there is room.
    pub(super) fn archive(&self, at: (u64, u64), nullification: Vec<u8>) {
        if let Err(cause) = self.state.lock().archive.keep(at, nullification) {
            error!(%cause, "could not archive a nullification; it stays in memory");
        }
    }

    /// The nullification of a past view, encoded.
    pub(super) fn nullification(&self, at: (u64, u64)) -> Option<Vec<u8>> {
        self.state.lock().archive.get(at).map(<[u8]>::to_vec)
    }
}

impl State {
    /// Rare and small: written where it happens.
    fn append(&mut self, line: &Line) {
        let Some(file) = &mut self.file else { return };
        let text = serde_json::to_string(line).expect("lines have string keys only") + "\n";
        if let Err(cause) = file.write_all(text.as_bytes()).and_then(|()| file.sync_data()) {
            error!(%cause, "could not write evidence; it stays in memory");
        }
    }
}

fn key(record: &EvidenceRecord) -> Key {
    (record.epoch, record.view, record.kind, record.signers.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::VoteKind;
    use alloy_primitives::FixedBytes;

    fn record(view: u64, kind: EvidenceKind) -> EvidenceRecord {
        let statement = Statement {
            vote: VoteKind::Nullify,
            parent_view: 0,
            payload: B256::ZERO,
            signers: None,
            signature: FixedBytes::repeat_byte(1),
        };
        EvidenceRecord {
            epoch: 1,
            view,
            committee_id: 2,
            kind,
            signers: vec![3],
            identities: vec![B256::repeat_byte(3)],
            statements: [statement.clone(), Statement { vote: VoteKind::Finalize, ..statement }],
        }
    }

    #[test]
    fn log_survives_a_torn_line_and_refuses_a_foreign_one() {
        let dir = tempfile::tempdir().unwrap();
        let of = |view| record(view, EvidenceKind::NullifyFinalize);
        let log = EvidenceLog::open(dir.path()).unwrap();
        log.push(of(7));
        log.push(of(7));
        log.push(of(8));
        drop(log);
        let path = dir.path().join(LOG_FILE);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"record\":{\"epoch\":1,\"vi").unwrap();
        let log = EvidenceLog::open(dir.path()).unwrap();
        assert_eq!(log.records(), [of(7), of(8)]);
        log.push(of(9));
        assert_eq!(EvidenceLog::open(dir.path()).unwrap().records(), [of(7), of(8), of(9)]);
        std::fs::write(&path, "hello\n").unwrap();
        assert!(matches!(EvidenceLog::open(dir.path()), Err(EvidenceError::Format { line: 1, .. })));
    }

    #[test]
    fn proofs_wait_until_they_are_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let log = EvidenceLog::open(dir.path()).unwrap();
        let news = log.subscribe();
        log.push(record(1, EvidenceKind::ConflictingNotarize));
        log.push(record(2, EvidenceKind::VoteAgainstCertificate));
        log.push(record(3, EvidenceKind::ConflictingCertificates));
        assert!(news.has_changed().unwrap());
        let places = |log: &EvidenceLog| log.pending().into_iter().map(|(place, _)| place).collect::<Vec<_>>();
        assert_eq!(places(&log), [0, 2], "a lead is no proof");
        log.acknowledge(0);
        log.acknowledge(9);
        assert_eq!(places(&log), [2]);
        drop(log);
        assert_eq!(places(&EvidenceLog::open(dir.path()).unwrap()), [2], "the acknowledgement lasts");
    }
}
