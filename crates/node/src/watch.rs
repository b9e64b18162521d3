//! What a node that sees no votes learns of double voting: it asks sequencers for the proofs that they hold, checks each itself, and keeps
//! for its keeper those that hold.
//!
//! A sequencer that is asked can withhold, and nothing else: its answers are bounded, and a proof is taken only if its signatures verify
//! under the committee which this node's own chain, derived from L1, names for the epoch.

use crate::keeper::for_l1;
use oceanid_chain::{Ledger, LedgerError};
use oceanid_sequencer::{
    CommitteeKeyError, EVIDENCE_PAGE, EvidenceChecker, EvidenceError, EvidenceFlaw, EvidenceLog, EvidencePage, EvidenceRecord,
};
use oceanid_settlement::{Evidence, EvidenceSource};
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tracing::{info, warn};

/// Time between two rounds of questions.
const INTERVAL: Duration = Duration::from_secs(30);
/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Longest answer, bytes: a page of proofs against whole committees of a hundred has a third of that.
const MAX_ANSWER: usize = 2 << 20;
/// Pages of one sequencer in a round.
const MAX_PAGES: usize = 8;

/// Why nothing can be watched, or what is wrong with a sequencer's answer.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The folder cannot be made.
    #[error("cannot create {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Proofs that were kept.
    #[error(transparent)]
    Log(#[from] EvidenceError),
    /// The node's own chain.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A committee of the node's own chain.
    #[error(transparent)]
    Committee(#[from] CommitteeKeyError),
    /// No answer.
    #[error("no answer: {0}")]
    Http(String),
    /// Longer than any honest answer.
    #[error("an answer of more than {MAX_ANSWER} bytes")]
    Long,
    /// No answer to this question.
    #[error("not an answer to seq_evidence: {0}")]
    Form(String),
    /// Something that proves nothing.
    #[error("evidence {place}: {flaw}")]
    Flaw {
        /// Its place in the sequencer's list.
        place: usize,
        /// What is wrong with it.
        flaw: EvidenceFlaw,
    },
}

/// Proofs of a log as the keeper takes them.
#[derive(Clone, Debug)]
pub struct Proofs(pub(crate) EvidenceLog);

impl EvidenceSource for Proofs {
    fn pending(&self) -> Vec<(usize, Evidence)> {
        self.0.pending().into_iter().filter_map(|(place, record)| Some((place, for_l1(&record)?))).collect()
    }

    fn acknowledge(&self, number: usize) {
        self.0.acknowledge(number);
    }
}

/// A sequencer that is asked.
struct Peer {
    url: reqwest::Url,
    /// Place of the first proof that was not seen to.
    from: usize,
    /// What was wrong with its last answer.
    complaint: Option<String>,
}

impl Peer {
    /// Without what may be secret in a URL.
    fn name(&self) -> String {
        let port = self.url.port_or_known_default().unwrap_or_default();
        format!("{}:{port}", self.url.host_str().unwrap_or("?"))
    }
}

/// The watch.
pub struct Watch {
    ledger: Ledger,
    http: reqwest::Client,
    peers: Vec<Peer>,
    log: EvidenceLog,
    /// Of the committee that was needed last.
    checker: Option<EvidenceChecker>,
}

impl Watch {
    /// Asks `peers` (JSON-RPC endpoints of sequencers) and keeps what it finds in `directory`.
    ///
    /// # Errors
    ///
    /// The folder cannot be used, or an endpoint is no URL.
    pub fn open(directory: &Path, ledger: Ledger, peers: &[String]) -> Result<Self, WatchError> {
        let folder = |source| WatchError::Folder { path: directory.to_path_buf(), source };
        std::fs::create_dir_all(directory).map_err(folder)?;
        let client = reqwest::Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none());
        let http = client.build().map_err(|error| WatchError::Http(error.to_string()))?;
        let peer = |url: &String| {
            let url = reqwest::Url::parse(url).map_err(|error| WatchError::Http(error.to_string()))?;
            Ok(Peer { url, from: 0, complaint: None })
        };
        let peers = peers.iter().map(peer).collect::<Result<_, WatchError>>()?;
        Ok(Self { ledger, http, peers, log: EvidenceLog::open(directory)?, checker: None })
    }

    /// What it has found.
    pub fn proofs(&self) -> Proofs {
        Proofs(self.log.clone())
    }

    /// Asks for ever.
    pub(crate) async fn run(mut self) {
        loop {
            self.round().await;
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Asks everybody once. What is wrong with an answer is logged when it changes.
    pub async fn round(&mut self) {
        let mut peers = std::mem::take(&mut self.peers);
        for peer in &mut peers {
            let complaint = self.ask(peer).await.err().map(|error| error.to_string());
            if let Some(reason) = complaint.as_ref().filter(|_| complaint != peer.complaint) {
                warn!(peer = peer.name(), reason, "a sequencer's evidence cannot be used");
            }
            peer.complaint = complaint;
        }
        self.peers = peers;
    }

    /// Reads on from where the last round ended.
    async fn ask(&mut self, peer: &mut Peer) -> Result<(), WatchError> {
        for _ in 0..MAX_PAGES {
            let page = self.page(peer).await?;
            if page.count < peer.from {
                // Its list has begun anew.
                peer.from = 0;
                continue;
            }
            for held in page.evidence {
                let place = held.place;
                let flaw = |flaw| WatchError::Flaw { place, flaw };
                let Some(checker) = self.checker_of(&held.record)? else {
                    // Its epoch is not on this node's chain yet: from here on again in the next round.
                    peer.from = place;
                    return Ok(());
                };
                let (record, log) = (held.record, self.log.clone());
                let (epoch, kind, guilty) = (record.epoch, record.kind, record.signers.clone());
                let worker = oceanid_settlement::spawn_blocking(move || (log.admit(record, &checker), checker));
                let (admitted, checker) = worker.await.map_err(|error| WatchError::Http(error.to_string()))?;
                self.checker = Some(checker);
                if admitted.map_err(flaw)? {
                    info!(peer = peer.name(), epoch, ?kind, ?guilty, "evidence of double voting from a sequencer");
                }
                peer.from = place + 1;
            }
            match page.next {
                Some(next) => peer.from = next,
                None => break,
            }
        }
        Ok(())
    }

    /// A page of a sequencer's list, checked for its form.
    async fn page(&self, peer: &Peer) -> Result<EvidencePage, WatchError> {
        #[derive(Deserialize)]
        struct Answer {
            result: Option<EvidencePage>,
            error: Option<serde_json::Value>,
        }
        let http = |error: reqwest::Error| WatchError::Http(error.without_url().to_string());
        let from = format!("{:#x}", peer.from);
        let question = json!({ "jsonrpc": "2.0", "id": 1, "method": "seq_evidence", "params": [from] });
        let question = self.http.post(peer.url.clone()).header("content-type", "application/json").body(question.to_string());
        let mut response = question.send().await.map_err(http)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(http)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER {
                return Err(WatchError::Long);
            }
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|error| WatchError::Form(error.to_string()))?;
        let page = answer.result.ok_or_else(|| WatchError::Form(answer.error.unwrap_or_default().to_string()))?;
        let rises = page.evidence.windows(2).all(|pair| pair[0].place < pair[1].place);
        let first = page.evidence.first().is_none_or(|held| held.place >= peer.from);
        let last = page.evidence.last().map_or(peer.from, |held| held.place.saturating_add(1));
        let goes_on = page.next.is_none_or(|next| next >= last && next > peer.from);
        if page.evidence.len() > EVIDENCE_PAGE || !rises || !first || !goes_on || last > page.count.max(peer.from) {
            return Err(WatchError::Form("its places are not in order".to_owned()));
        }
        Ok(page)
    }

    /// The checker for a record's epoch; none if the epoch's committee is not known yet.
    fn checker_of(&mut self, record: &EvidenceRecord) -> Result<Option<EvidenceChecker>, WatchError> {
        let Some(committee) = self.ledger.committee_of_epoch(record.epoch)? else { return Ok(None) };
        match self.checker.take() {
            Some(checker) if checker.committee_id() == committee.id => Ok(Some(checker)),
            _ => Ok(Some(EvidenceChecker::new(&self.ledger.namespace(), committee.as_ref().clone())?)),
        }
    }
}
