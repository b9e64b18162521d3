//! Records of double voting on disk, and which of them were dealt with.
//!
//! File `evidence.jsonl`, append only, one JSON object a line, synced line by line; a torn last line is dropped on opening:
//!
//! ```json
//! {"record":{"epoch":0,"view":7,"committeeId":1,"kind":"conflictingNotarize","signers":[2],"identities":["0x..."],"statements":[{...},{...}]}}
//! {"acknowledged":0}
//! {"next":7}
//! ```
//!
//! The second form says that the record of that place (from 0) was dealt with, the third that the next record has place 7: those before it
//! that are not here were dealt with too, and left out when the log was opened.
//!
//! Only proofs are here. A lead, which L1 does not take, stays in memory.

use std::{
    collections::{BTreeMap, VecDeque},
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

use super::{
    archive::Archive,
    check::{EvidenceChecker, EvidenceFlaw},
    statement::Statement,
};
use crate::types::Scheme;

/// Proofs that may wait for L1; a network with more double votes than this has other problems.
const MAX_PENDING: usize = 10_000;
/// Leads kept, the newest.
const MAX_LEADS: usize = 64;
/// Proofs of one kind kept against a member for one epoch. L1 punishes once; the second is in case it cannot take the first.
const PROOFS_EACH: u8 = 2;
/// Epochs and kinds of which it is remembered who is accused, the newest.
const MAX_ACCUSED: usize = 4_096;
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

/// Proofs in a page.
pub const EVIDENCE_PAGE: usize = 64;

/// A piece of a log's pending proofs, as `seq_evidence` serves them.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EvidencePage {
    /// Proofs found in the log's life ([`EvidenceLog::count`]): places are below it.
    pub count: usize,
    /// Up to [`EVIDENCE_PAGE`] of those that were not acknowledged, by place.
    pub evidence: Vec<HeldEvidence>,
    /// Where the next page begins; none: this is the last one.
    pub next: Option<usize>,
}

/// A proof and its place in the log that holds it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeldEvidence {
    /// Place.
    pub place: usize,
    /// Proof.
    pub record: EvidenceRecord,
}

/// A line of the file.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Line {
    Record(Box<EvidenceRecord>),
    Acknowledged(usize),
    Next(usize),
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

#[derive(Debug, Default)]
struct State {
    file: Option<File>,
    /// Proofs that were not acknowledged, by place.
    pending: BTreeMap<usize, EvidenceRecord>,
    /// Place of the next proof: how many were found.
    next: usize,
    leads: VecDeque<EvidenceRecord>,
    /// How many records there are or were against each signer, by epoch and kind.
    accused: BTreeMap<(u64, EvidenceKind), BTreeMap<u32, u8>>,
    archive: Archive,
}

/// The proofs that wait for L1, and the newest leads; clones share it.
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
        let count = watch::Sender::new(state.next);
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
        let mut outdated = false;
        for (index, line) in text[..whole].lines().enumerate() {
            let format = |source| EvidenceError::Format { path: path.clone(), line: index + 1, source };
            match serde_json::from_str(line).map_err(format)? {
                Line::Record(record) => {
                    state.accuse(&record);
                    if record.kind.is_proof() {
                        state.pending.insert(state.next, *record);
                    } else {
                        // As earlier versions wrote them.
                        state.lead(*record);
                        outdated = true;
                    }
                    state.next += 1;
                }
                Line::Acknowledged(place) => {
                    state.pending.remove(&place);
                    outdated = true;
                }
                Line::Next(place) => state.next = state.next.max(place),
            }
        }
        if outdated {
            file = state.rewrite(&path).map_err(io)?;
        } else {
            file.set_len(whole as u64).map_err(io)?;
            file.seek(SeekFrom::End(0)).map_err(io)?;
        }
        state.file = Some(file);
        let path = directory.join(ARCHIVE_FILE);
        state.archive = Archive::open(&path, |nullification| {
            let decoded = Nullification::<Scheme>::decode_cfg(Copying(nullification), &MAX_COMMITTEE).ok()?;
            Some((decoded.round.epoch().get(), decoded.round.view().get()))
        })
        .map_err(|source| EvidenceError::Io { path, source })?;
        Ok(Self::of(state))
    }

    /// Proofs that were not acknowledged, then leads; each oldest first.
    pub fn records(&self) -> Vec<EvidenceRecord> {
        let state = self.state.lock();
        state.pending.values().chain(&state.leads).cloned().collect()
    }

    /// Proofs found in the log's life, those that were dealt with included.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// Proofs that were not acknowledged, with their places, oldest first. A place names a proof for ever.
    pub fn pending(&self) -> Vec<(usize, EvidenceRecord)> {
        self.state.lock().pending.iter().map(|(place, record)| (*place, record.clone())).collect()
    }

    /// A page of them: those at `from` and after it.
    pub fn page(&self, from: usize) -> EvidencePage {
        let state = self.state.lock();
        let mut open = state.pending.range(from..);
        let held = |(place, record): (&usize, &EvidenceRecord)| HeldEvidence { place: *place, record: record.clone() };
        let evidence = open.by_ref().take(EVIDENCE_PAGE).map(held).collect();
        EvidencePage { count: state.next, evidence, next: open.next().map(|(place, _)| *place) }
    }

    /// Takes a proof from elsewhere, if it holds; false if enough is known against its signers.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn admit(&self, record: EvidenceRecord, checker: &EvidenceChecker) -> Result<bool, EvidenceFlaw> {
        if self.accuses(record.epoch, record.kind, &record.signers) {
            return Ok(false);
        }
        checker.check(&record)?;
        self.push(record);
        Ok(true)
    }

    /// The proof at `place` was dealt with: L1 punished it, or never will. Durable on return.
    pub fn acknowledge(&self, place: usize) {
        let mut state = self.state.lock();
        if state.pending.remove(&place).is_some() {
            state.append(&Line::Acknowledged(place));
        }
    }

    /// Wakes at every new proof; the value is [`Self::count`].
    pub fn subscribe(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    /// Whether a record of this kind against these signers would add nothing.
    pub(super) fn accuses(&self, epoch: u64, kind: EvidenceKind, signers: &[u32]) -> bool {
        self.state.lock().accuses(epoch, kind, signers)
    }

    pub(super) fn push(&self, record: EvidenceRecord) {
        let count = {
            let mut state = self.state.lock();
            let (epoch, view, kind, signers) = (record.epoch, record.view, record.kind, &record.signers);
            if state.accuses(epoch, kind, signers) {
                return;
            }
            if kind.is_proof() && state.pending.len() >= MAX_PENDING {
                error!(
                    epoch,
                    view,
                    ?kind,
                    ?signers,
                    limit = MAX_PENDING,
                    "evidence of double voting dropped: too much waits for L1"
                );
                return;
            }
            warn!(epoch, view, ?kind, ?signers, "evidence of double voting");
            state.accuse(&record);
            if !kind.is_proof() {
                return state.lead(record);
            }
            state.append(&Line::Record(Box::new(record.clone())));
            let place = state.next;
            state.pending.insert(place, record);
            state.next += 1;
            state.next
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
    fn accuses(&self, epoch: u64, kind: EvidenceKind, signers: &[u32]) -> bool {
        let Some(counts) = self.accused.get(&(epoch, kind)) else { return false };
        signers.iter().all(|signer| counts.get(signer).is_some_and(|count| *count >= PROOFS_EACH))
    }

    fn accuse(&mut self, record: &EvidenceRecord) {
        let counts = self.accused.entry((record.epoch, record.kind)).or_default();
        for signer in &record.signers {
            let count = counts.entry(*signer).or_default();
            *count = count.saturating_add(1);
        }
        while self.accused.len() > MAX_ACCUSED {
            self.accused.pop_first();
        }
    }

    fn lead(&mut self, record: EvidenceRecord) {
        if self.leads.len() == MAX_LEADS {
            self.leads.pop_front();
        }
        self.leads.push_back(record);
    }

    /// Rare and small: written where it happens.
    fn append(&mut self, line: &Line) {
        let Some(file) = &mut self.file else { return };
        if let Err(cause) = file.write_all(line.text().as_bytes()).and_then(|()| file.sync_data()) {
            error!(%cause, "could not write evidence; it stays in memory");
        }
    }

    /// Puts a file without what was dealt with in the place of the old one.
    fn rewrite(&self, path: &Path) -> std::io::Result<File> {
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        let mut next = 0;
        for (place, record) in &self.pending {
            if *place != next {
                file.write_all(Line::Next(*place).text().as_bytes())?;
            }
            file.write_all(Line::Record(Box::new(record.clone())).text().as_bytes())?;
            next = place + 1;
        }
        if next != self.next {
            file.write_all(Line::Next(self.next).text().as_bytes())?;
        }
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        if let Some(directory) = path.parent() {
            File::open(directory)?.sync_all()?;
        }
        Ok(file)
    }
}

impl Line {
    fn text(&self) -> String {
        serde_json::to_string(self).expect("lines have string keys only") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::VoteKind;
    use alloy_primitives::FixedBytes;

    fn record(epoch: u64, kind: EvidenceKind) -> EvidenceRecord {
        let statement = Statement {
            vote: VoteKind::Nullify,
            parent_view: 0,
            payload: B256::ZERO,
            signers: None,
            signature: FixedBytes::repeat_byte(1),
        };
        EvidenceRecord {
            epoch,
            view: 7,
            committee_id: 2,
            kind,
            signers: vec![3],
            identities: vec![B256::repeat_byte(3)],
            statements: [statement.clone(), Statement { vote: VoteKind::Finalize, ..statement }],
        }
    }

    fn places(log: &EvidenceLog) -> Vec<usize> {
        log.pending().into_iter().map(|(place, _)| place).collect()
    }

    #[test]
    fn log_survives_a_torn_line_and_refuses_a_foreign_one() {
        let dir = tempfile::tempdir().unwrap();
        let of = |epoch| record(epoch, EvidenceKind::NullifyFinalize);
        let log = EvidenceLog::open(dir.path()).unwrap();
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
        assert_eq!(places(&log), [0, 1], "a lead is no proof");
        assert_eq!(log.count(), 2);
        log.acknowledge(0);
        log.acknowledge(9);
        assert_eq!(places(&log), [1]);
        drop(log);
        let log = EvidenceLog::open(dir.path()).unwrap();
        assert_eq!(places(&log), [1], "the acknowledgement lasts");
        log.acknowledge(1);
        drop(log);
        for _ in 0..2 {
            let log = EvidenceLog::open(dir.path()).unwrap();
            assert_eq!((places(&log), log.count()), (vec![], 2));
        }
        let log = EvidenceLog::open(dir.path()).unwrap();
        log.push(record(4, EvidenceKind::ConflictingNotarize));
        assert_eq!(places(&EvidenceLog::open(dir.path()).unwrap()), [2], "a place is never given again");
        let text = std::fs::read_to_string(dir.path().join(LOG_FILE)).unwrap();
        assert_eq!(text.lines().count(), 2, "what was dealt with is gone: {text}");
    }

    #[test]
    fn no_number_of_leads_and_of_proofs_dealt_with_keeps_a_proof_out() {
        let log = EvidenceLog::in_memory();
        for epoch in 0..MAX_PENDING as u64 + 1 {
            log.push(record(epoch, EvidenceKind::VoteAgainstCertificate));
            log.push(record(epoch, EvidenceKind::ConflictingFinalize));
            assert_eq!(places(&log), [epoch as usize]);
            log.acknowledge(epoch as usize);
        }
        assert_eq!(log.records().len(), MAX_LEADS);
        log.push(record(1 << 40, EvidenceKind::ConflictingNotarize));
        assert_eq!(places(&log), [MAX_PENDING + 1]);
    }

    #[test]
    fn a_member_that_votes_twice_in_every_view_fills_nothing() {
        let log = EvidenceLog::in_memory();
        let against = |epoch, signers: &[u32]| EvidenceRecord {
            signers: signers.to_vec(),
            ..record(epoch, EvidenceKind::ConflictingCertificates)
        };
        for _ in 0..100 {
            log.push(against(1, &[3]));
        }
        assert_eq!(places(&log).len(), usize::from(PROOFS_EACH));
        log.push(against(1, &[3, 4]));
        assert_eq!(places(&log).len(), usize::from(PROOFS_EACH) + 1, "it convicts another member");
        log.push(against(2, &[3]));
        log.push(record(1, EvidenceKind::ConflictingNotarize));
        assert_eq!(places(&log).len(), usize::from(PROOFS_EACH) + 3, "another epoch, and another kind");
    }

    #[test]
    fn pages_show_what_waits_and_where_to_go_on() {
        let log = EvidenceLog::in_memory();
        assert_eq!(log.page(0), EvidencePage::default());
        let proofs = EVIDENCE_PAGE + 3;
        (0..proofs as u64).for_each(|epoch| log.push(record(epoch, EvidenceKind::ConflictingNotarize)));
        log.acknowledge(1);
        let shown = |page: &EvidencePage| page.evidence.iter().map(|held| held.place).collect::<Vec<_>>();
        let first = log.page(0);
        assert_eq!((first.count, first.next), (proofs, Some(EVIDENCE_PAGE + 1)));
        assert_eq!(shown(&first), [0].into_iter().chain(2..=EVIDENCE_PAGE).collect::<Vec<_>>());
        let last = log.page(EVIDENCE_PAGE + 1);
        assert_eq!((shown(&last), last.next), (vec![EVIDENCE_PAGE + 1, EVIDENCE_PAGE + 2], None));
        assert_eq!(log.page(usize::MAX), EvidencePage { count: proofs, ..EvidencePage::default() });
    }

    #[test]
    fn what_finds_no_room_is_found_again_when_there_is() {
        let log = EvidenceLog::in_memory();
        (0..=MAX_PENDING as u64).for_each(|epoch| log.push(record(epoch, EvidenceKind::ConflictingNotarize)));
        assert_eq!(log.count(), MAX_PENDING);
        log.acknowledge(0);
        log.push(record(MAX_PENDING as u64, EvidenceKind::ConflictingNotarize));
        assert_eq!(log.count(), MAX_PENDING + 1);
    }
}
