//! Evidence of double voting: found among raw votes and certificates, checked, and kept.
//!
//! The consensus library reports two conflicting votes of one signer, unverified. This collector checks those, and looks itself
//! for what the library does not report: a vote against a certificate that carries the voter's bit, and two certificates of one
//! view that contradict each other. Only proofs whose signatures verify are kept.
//!
//! File `evidence.jsonl`, append only, one JSON object a line, synced line by line; a torn last line is dropped on opening:
//!
//! ```json
//! {"epoch":0,"view":7,"committeeId":1,"kind":"conflictingNotarize","signers":[2],"identities":["0x..."],"proof":"0x..."}
//! ```
//!
//! `proof` is the two messages back to back in the library's encoding. A vote is `proposal | varint signer | signature 48` (for
//! nullify `varint epoch | varint view` stands in place of the proposal); the three vote kinds hold two votes without tags. The
//! other kinds hold messages with their wire tag in front: votes 0 notarize, 1 nullify, 2 finalize; certificates 0 notarization,
//! 1 nullification, 2 finalization.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy_primitives::{B256, Bytes};
use commonware_actor::Feedback;
use commonware_codec::Encode;
use commonware_consensus::{
    Epochable, Reporter, Viewable,
    simplex::types::{
        Attributable as _, Certificate, ConflictingFinalize, ConflictingNotarize, Finalize, Notarization, Notarize,
        Nullification, Nullify, NullifyFinalize, Vote,
    },
    types::Participant,
};
use commonware_cryptography::certificate::Signers;
use commonware_parallel::Sequential;
use parking_lot::Mutex;
use rand_core::CryptoRng;
use tokio::sync::mpsc;
use tracing::{error, warn};

use crate::{
    Committees,
    status::Attendance,
    types::{Activity, Digest, Finalization, Scheme},
};

/// Views whose votes are kept for comparison, across epochs.
const VIEWS_KEPT: usize = 512;
/// Activities that may wait for the collector; beyond it they are dropped, which can lose evidence but never consensus.
const QUEUE: usize = 8_192;
/// Records kept; a network with more double votes than this has other problems.
const MAX_RECORDS: usize = 10_000;

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
    /// The two messages (see the module's docs).
    pub proof: Bytes,
}

/// Why the file cannot be used.
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

type Key = (u64, u64, EvidenceKind, Vec<u32>);

#[derive(Debug, Default)]
struct LogState {
    file: Option<File>,
    records: Vec<EvidenceRecord>,
    keys: HashSet<Key>,
}

/// Every proof found so far; clones share it.
#[derive(Clone, Debug, Default)]
pub struct EvidenceLog(Arc<Mutex<LogState>>);

impl EvidenceLog {
    /// A log that lives in memory only.
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Opens or creates the log at `path` (parent directory must exist).
    pub fn open(path: &Path) -> Result<Self, EvidenceError> {
        let io = |source| EvidenceError::Io { path: path.to_owned(), source };
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut state = LogState::default();
        for (index, line) in text[..whole].lines().enumerate() {
            let record: EvidenceRecord = serde_json::from_str(line).map_err(|source| EvidenceError::Format {
                path: path.to_owned(),
                line: index + 1,
                source,
            })?;
            state.keys.insert(key(&record));
            state.records.push(record);
        }
        file.set_len(whole as u64).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        state.file = Some(file);
        Ok(Self(Arc::new(Mutex::new(state))))
    }

    /// All records, oldest first.
    pub fn records(&self) -> Vec<EvidenceRecord> {
        self.0.lock().records.clone()
    }

    fn contains(&self, key: &Key) -> bool {
        self.0.lock().keys.contains(key)
    }

    fn push(&self, record: EvidenceRecord) {
        let mut state = self.0.lock();
        if state.records.len() >= MAX_RECORDS || !state.keys.insert(key(&record)) {
            return;
        }
        warn!(epoch = record.epoch, view = record.view, kind = ?record.kind, signers = ?record.signers, "evidence of double voting");
        if let Some(file) = &mut state.file {
            // Rare and small: written from the collector's task.
            let line = serde_json::to_string(&record).expect("a record has string keys only") + "\n";
            if let Err(cause) = file.write_all(line.as_bytes()).and_then(|()| file.sync_data()) {
                error!(%cause, "could not write evidence; it stays in memory");
            }
        }
        state.records.push(record);
    }
}

fn key(record: &EvidenceRecord) -> Key {
    (record.epoch, record.view, record.kind, record.signers.clone())
}

/// What was seen in one view: the first vote of each kind and signer, and the first certificate of each kind.
#[derive(Default)]
struct Seen {
    notarize: BTreeMap<Participant, Notarize<Scheme, Digest>>,
    nullify: BTreeMap<Participant, Nullify<Scheme>>,
    finalize: BTreeMap<Participant, Finalize<Scheme, Digest>>,
    notarization: Option<Notarization<Scheme, Digest>>,
    nullification: Option<Nullification<Scheme>>,
    finalization: Option<Finalization>,
}

/// Receives consensus activity.
#[derive(Clone)]
pub(crate) struct EvidenceReporter(mpsc::Sender<Activity>);

impl Reporter for EvidenceReporter {
    type Activity = Activity;

    fn report(&mut self, activity: Activity) -> Feedback {
        match self.0.try_send(activity) {
            Ok(()) => Feedback::Ok,
            Err(mpsc::error::TrySendError::Full(_)) => Feedback::Backoff,
            Err(mpsc::error::TrySendError::Closed(_)) => Feedback::Closed,
        }
    }
}

/// Compares what was reported and keeps what proves a fault.
pub(crate) struct Collector<R> {
    rng: R,
    committees: Committees,
    log: EvidenceLog,
    attendance: Attendance,
    activities: mpsc::Receiver<Activity>,
    views: BTreeMap<(u64, u64), Seen>,
}

fn signed(signers: &Signers, who: Participant) -> bool {
    signers.iter().any(|signer| signer == who)
}

/// Signers of both certificates.
fn both(left: &Signers, right: &Signers) -> Vec<Participant> {
    left.iter().filter(|signer| signed(right, *signer)).collect()
}

impl<R: CryptoRng> Collector<R> {
    pub(crate) fn new(rng: R, committees: Committees, log: EvidenceLog, attendance: Attendance) -> (Self, EvidenceReporter) {
        let (sender, activities) = mpsc::channel(QUEUE);
        (Self { rng, committees, log, attendance, activities, views: BTreeMap::new() }, EvidenceReporter(sender))
    }

    pub(crate) async fn run(mut self) {
        while let Some(activity) = self.activities.recv().await {
            self.observe(activity);
        }
    }

    fn observe(&mut self, activity: Activity) {
        let at = (activity.epoch().get(), activity.view().get());
        let voter = match &activity {
            Activity::Notarize(vote) => Some(vote.signer()),
            Activity::Nullify(vote) => Some(vote.signer()),
            Activity::Finalize(vote) => Some(vote.signer()),
            _ => None,
        };
        if let Some(voter) = voter {
            self.attendance.note(at.0, at.1, voter.get());
        }
        let Some(seated) = self.committees.get(at.0) else { return };
        let scheme = seated.scheme.as_ref();
        let rng = &mut self.rng;
        // A view is taken out while it is looked at; conflicts are listed, then checked.
        let mut seen = self.views.remove(&at).unwrap_or_default();
        let mut found: Vec<(EvidenceKind, Vec<Participant>, Bytes)> = Vec::new();
        match activity {
            Activity::ConflictingNotarize(conflict) => {
                if conflict.verify(rng, scheme, &Sequential) {
                    found.push((EvidenceKind::ConflictingNotarize, vec![conflict.signer()], bytes(&conflict)));
                }
            }
            Activity::ConflictingFinalize(conflict) => {
                if conflict.verify(rng, scheme, &Sequential) {
                    found.push((EvidenceKind::ConflictingFinalize, vec![conflict.signer()], bytes(&conflict)));
                }
            }
            Activity::NullifyFinalize(conflict) => {
                if conflict.verify(rng, scheme, &Sequential) {
                    found.push((EvidenceKind::NullifyFinalize, vec![conflict.signer()], bytes(&conflict)));
                }
            }
            Activity::Notarize(vote) => {
                let signer = vote.signer();
                match seen.notarize.get(&signer) {
                    Some(first) if first.proposal != vote.proposal => {
                        let conflict = ConflictingNotarize::new(first.clone(), vote.clone());
                        if conflict.verify(rng, scheme, &Sequential) {
                            found.push((EvidenceKind::ConflictingNotarize, vec![signer], bytes(&conflict)));
                        } else if vote.verify(rng, scheme, &Sequential) {
                            seen.notarize.insert(signer, vote.clone());
                        }
                    }
                    Some(_) => {}
                    None => {
                        seen.notarize.insert(signer, vote.clone());
                    }
                }
                if let Some(certificate) = &seen.notarization
                    && certificate.proposal != vote.proposal
                    && signed(&certificate.certificate.signers, signer)
                    && vote.verify(rng, scheme, &Sequential)
                {
                    let against = Certificate::Notarization(certificate.clone());
                    found.push((EvidenceKind::VoteAgainstCertificate, vec![signer], pair(&Vote::Notarize(vote), &against)));
                }
            }
            Activity::Finalize(vote) => {
                let signer = vote.signer();
                match seen.finalize.get(&signer) {
                    Some(first) if first.proposal != vote.proposal => {
                        let conflict = ConflictingFinalize::new(first.clone(), vote.clone());
                        if conflict.verify(rng, scheme, &Sequential) {
                            found.push((EvidenceKind::ConflictingFinalize, vec![signer], bytes(&conflict)));
                        } else if vote.verify(rng, scheme, &Sequential) {
                            seen.finalize.insert(signer, vote.clone());
                        }
                    }
                    Some(_) => {}
                    None => {
                        seen.finalize.insert(signer, vote.clone());
                    }
                }
                if let Some(nullify) = seen.nullify.get(&signer) {
                    let conflict = NullifyFinalize::new(nullify.clone(), vote.clone());
                    if conflict.verify(rng, scheme, &Sequential) {
                        found.push((EvidenceKind::NullifyFinalize, vec![signer], bytes(&conflict)));
                    }
                }
                let against = match (&seen.finalization, &seen.nullification) {
                    (Some(other), _) if other.proposal != vote.proposal && signed(&other.certificate.signers, signer) => {
                        Some(Certificate::Finalization(other.clone()))
                    }
                    (_, Some(other)) if signed(&other.certificate.signers, signer) => {
                        Some(Certificate::Nullification(other.clone()))
                    }
                    _ => None,
                };
                if let Some(against) = against
                    && vote.verify(rng, scheme, &Sequential)
                {
                    found.push((EvidenceKind::VoteAgainstCertificate, vec![signer], pair(&Vote::Finalize(vote), &against)));
                }
            }
            Activity::Nullify(vote) => {
                let signer = vote.signer();
                if let Some(finalize) = seen.finalize.get(&signer) {
                    let conflict = NullifyFinalize::new(vote.clone(), finalize.clone());
                    if conflict.verify(rng, scheme, &Sequential) {
                        found.push((EvidenceKind::NullifyFinalize, vec![signer], bytes(&conflict)));
                    }
                }
                if let Some(other) = &seen.finalization
                    && signed(&other.certificate.signers, signer)
                    && vote.verify::<_, Digest>(rng, scheme, &Sequential)
                {
                    let against = Certificate::Finalization(other.clone());
                    let vote = Vote::<Scheme, Digest>::Nullify(vote.clone());
                    found.push((EvidenceKind::VoteAgainstCertificate, vec![signer], pair(&vote, &against)));
                }
                seen.nullify.entry(signer).or_insert(vote);
            }
            // Certificates come here checked by the engine.
            Activity::Notarization(certificate) | Activity::Certification(certificate) => {
                if let Some(other) = &seen.notarization
                    && other.proposal != certificate.proposal
                {
                    let guilty = both(&other.certificate.signers, &certificate.certificate.signers);
                    let pair = pair(&Certificate::Notarization(other.clone()), &Certificate::Notarization(certificate.clone()));
                    found.push((EvidenceKind::ConflictingCertificates, guilty, pair));
                }
                for (signer, vote) in &seen.notarize {
                    if vote.proposal != certificate.proposal
                        && signed(&certificate.certificate.signers, *signer)
                        && vote.verify(rng, scheme, &Sequential)
                    {
                        let pair = pair(&Vote::Notarize(vote.clone()), &Certificate::Notarization(certificate.clone()));
                        found.push((EvidenceKind::VoteAgainstCertificate, vec![*signer], pair));
                    }
                }
                seen.notarization.get_or_insert(certificate);
            }
            Activity::Nullification(certificate) => {
                if let Some(other) = &seen.finalization {
                    let guilty = both(&other.certificate.signers, &certificate.certificate.signers);
                    let left = Certificate::<Scheme, Digest>::Nullification(certificate.clone());
                    found.push((
                        EvidenceKind::ConflictingCertificates,
                        guilty,
                        pair(&left, &Certificate::Finalization(other.clone())),
                    ));
                }
                for (signer, vote) in &seen.finalize {
                    if signed(&certificate.certificate.signers, *signer) && vote.verify(rng, scheme, &Sequential) {
                        let against = Certificate::<Scheme, Digest>::Nullification(certificate.clone());
                        found.push((
                            EvidenceKind::VoteAgainstCertificate,
                            vec![*signer],
                            pair(&Vote::Finalize(vote.clone()), &against),
                        ));
                    }
                }
                seen.nullification.get_or_insert(certificate);
            }
            Activity::Finalization(certificate) => {
                let here = Certificate::Finalization(certificate.clone());
                if let Some(other) = &seen.finalization
                    && other.proposal != certificate.proposal
                {
                    let guilty = both(&other.certificate.signers, &certificate.certificate.signers);
                    found.push((
                        EvidenceKind::ConflictingCertificates,
                        guilty,
                        pair(&Certificate::Finalization(other.clone()), &here),
                    ));
                }
                if let Some(other) = &seen.nullification {
                    let guilty = both(&other.certificate.signers, &certificate.certificate.signers);
                    let left = Certificate::<Scheme, Digest>::Nullification(other.clone());
                    found.push((EvidenceKind::ConflictingCertificates, guilty, pair(&left, &here)));
                }
                for (signer, vote) in &seen.finalize {
                    if vote.proposal != certificate.proposal
                        && signed(&certificate.certificate.signers, *signer)
                        && vote.verify(rng, scheme, &Sequential)
                    {
                        found.push((
                            EvidenceKind::VoteAgainstCertificate,
                            vec![*signer],
                            pair(&Vote::Finalize(vote.clone()), &here),
                        ));
                    }
                }
                for (signer, vote) in &seen.nullify {
                    if signed(&certificate.certificate.signers, *signer) && vote.verify::<_, Digest>(rng, scheme, &Sequential) {
                        let vote = Vote::<Scheme, Digest>::Nullify(vote.clone());
                        found.push((EvidenceKind::VoteAgainstCertificate, vec![*signer], pair(&vote, &here)));
                    }
                }
                seen.finalization.get_or_insert(certificate);
            }
        }
        self.views.insert(at, seen);
        while self.views.len() > VIEWS_KEPT {
            self.views.pop_first();
        }
        for (kind, signers, proof) in found {
            let signers: Vec<u32> = signers.into_iter().map(|signer| signer.get()).collect();
            if signers.is_empty() || self.log.contains(&(at.0, at.1, kind, signers.clone())) {
                continue;
            }
            let identities = signers.iter().map(|signer| seated.committee.members[*signer as usize].identity).collect();
            let committee_id = seated.committee.id;
            self.log.push(EvidenceRecord { epoch: at.0, view: at.1, committee_id, kind, signers, identities, proof });
        }
    }
}

fn bytes(message: &impl Encode) -> Bytes {
    Bytes::from(message.encode().to_vec())
}

fn pair(left: &impl Encode, right: &impl Encode) -> Bytes {
    Bytes::from([left.encode(), right.encode()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(view: u64) -> EvidenceRecord {
        EvidenceRecord {
            epoch: 1,
            view,
            committee_id: 2,
            kind: EvidenceKind::NullifyFinalize,
            signers: vec![3],
            identities: vec![B256::repeat_byte(3)],
            proof: Bytes::from_static(&[1, 2, 3]),
        }
    }

    #[test]
    fn log_survives_a_torn_line_and_refuses_a_foreign_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("evidence.jsonl");
        let log = EvidenceLog::open(&path).unwrap();
        log.push(record(7));
        log.push(record(7));
        log.push(record(8));
        drop(log);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"epoch\":1,\"vi").unwrap();
        let log = EvidenceLog::open(&path).unwrap();
        assert_eq!(log.records(), [record(7), record(8)]);
        log.push(record(9));
        assert_eq!(EvidenceLog::open(&path).unwrap().records(), [record(7), record(8), record(9)]);
        std::fs::write(&path, "hello\n").unwrap();
        assert!(matches!(EvidenceLog::open(&path), Err(EvidenceError::Format { line: 1, .. })));
    }
}
