//! The node's web site: its pages over the ledger, and its metrics, on the RPC's port.

use crate::metrics;
use crate::status::{Role, Status};
use alloy_primitives::B256;
use oceanid_chain::{CommittedBlock, Ledger, LedgerError};
use oceanid_pool::Pool;
use oceanid_primitives::{ChainSpec, Header};
use oceanid_rpc::{NodeStatus, Page, Pages};
use oceanid_sequencer::Certificate;
use oceanid_store::{Marks, StoreError, TxLocation};
use oceanid_web::{Batch, Economy, Epoch, HEADERS, NodeFacts, Signers, Source, SourceError, Web};
use std::sync::Arc;

/// Answers GET requests.
pub(crate) struct Site {
    status: Arc<Status>,
    web: Web,
}

impl Site {
    pub(crate) fn new(ledger: Ledger, pool: Arc<Pool>, status: Arc<Status>) -> Self {
        let node = NodeSource { ledger, pool, status: status.clone() };
        Self { status, web: Web::new(Arc::new(node)) }
    }

    pub(crate) fn status(&self) -> Arc<Status> {
        self.status.clone()
    }
}

impl Pages for Site {
    fn get(&self, target: &str) -> Page {
        let path = target.split('?').next().unwrap_or_default();
        match path {
            "/metrics" => match self.status.scrape() {
                Ok(scrape) => text(200, metrics::CONTENT_TYPE, scrape.render()),
                Err(error) => {
                    tracing::warn!(%error, "metrics could not be read");
                    text(500, "text/plain; charset=utf-8", "the node could not read its own data; its log says why\n".to_owned())
                }
            },
            "/metrics/consensus" => {
                text(200, metrics::CONSENSUS_CONTENT_TYPE, self.status.observed().samples.read().consensus.to_string())
            }
            _ => {
                let answer = self.web.get(target);
                let mut headers = vec![
                    ("content-type", answer.content_type.to_owned()),
                    ("cache-control", format!("max-age={}", answer.max_age)),
                ];
                headers.extend(HEADERS.map(|(name, value)| (name, value.to_owned())));
                headers.extend(answer.location.clone().map(|location| ("location", location)));
                Page { status: answer.status, headers, body: answer.body.clone() }
            }
        }
    }
}

fn text(status: u16, content_type: &str, body: String) -> Page {
    let headers = vec![
        ("content-type", content_type.to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
    ];
    Page { status, headers, body }
}

/// The node as the pages see it.
struct NodeSource {
    ledger: Ledger,
    pool: Arc<Pool>,
    status: Arc<Status>,
}

fn store(error: StoreError) -> SourceError {
    SourceError(error.to_string())
}

fn ledger(error: LedgerError) -> SourceError {
    SourceError(error.to_string())
}

impl Source for NodeSource {
    fn spec(&self) -> &ChainSpec {
        self.ledger.spec()
    }

    fn head(&self) -> u64 {
        self.ledger.head().number()
    }

    fn marks(&self) -> Marks {
        self.ledger.marks()
    }

    fn header(&self, number: u64) -> Result<Option<Header>, SourceError> {
        self.ledger.store().header(number).map_err(store)
    }

    fn block(&self, number: u64) -> Result<Option<Arc<CommittedBlock>>, SourceError> {
        self.ledger.store().committed(number).map_err(store)
    }

    fn number_of(&self, hash: B256) -> Result<Option<u64>, SourceError> {
        self.ledger.store().number_of(hash).map_err(store)
    }

    fn transaction(&self, hash: B256) -> Result<Option<TxLocation>, SourceError> {
        self.ledger.store().tx_location(hash).map_err(store)
    }

    fn is_pending(&self, hash: B256) -> bool {
        self.pool.get(&hash).is_some()
    }

    fn certificate(&self, number: u64) -> Result<Option<Signers>, SourceError> {
        let Some(stored) = self.ledger.store().certificate(number).map_err(store)? else { return Ok(None) };
        let certificate =
            Certificate::decode(&stored).map_err(|error| SourceError(format!("certificate of block {number}: {error}")))?;
        Ok(Some(Signers { view: certificate.view, bitmap: certificate.signers }))
    }

    fn epoch(&self, number: u64) -> Result<Option<Epoch>, SourceError> {
        let Some(committee) = self.ledger.committee_of_epoch(number).map_err(ledger)? else { return Ok(None) };
        let epochs = self.ledger.epochs();
        let Some((first, last)) = epochs.blocks(number) else { return Ok(None) };
        let (before, after) = (epochs.before(number), epochs.after(number).unwrap_or(number));
        let work = self.ledger.work(number).map_err(ledger)?;
        Ok(Some(Epoch { number, first, last, before, after, committee, work }))
    }

    fn node(&self) -> NodeFacts {
        let (l1, report, pool) = (self.status.watcher().status(), self.status.report(), self.pool.status());
        let (identity, backlog_blocks, evidence) = match &*self.status.role() {
            Role::Sequencer { sequencer, batcher, identity, .. } => {
                (Some(*identity), Some(batcher.status().backlog_blocks), sequencer.evidence().count())
            }
            Role::Follower { .. } | Role::Changing => (None, None, 0),
        };
        let waiting =
            report.waiting.into_iter().map(|waiting| (waiting.reason, waiting.remedy, waiting.for_ms / 1_000)).collect();
        NodeFacts {
            role: self.status.role().name(),
            version: env!("CARGO_PKG_VERSION"),
            identity,
            peers: self.status.peers(),
            l1_head: l1.head,
            l1_head_time: (l1.tip_timestamp > 0).then_some(l1.tip_timestamp),
            pool: (pool.pending, pool.queued),
            backlog_blocks,
            evidence,
            waiting,
        }
    }

    fn economy(&self) -> Arc<Economy> {
        self.status.observed().figures.economy()
    }

    fn batches(&self, limit: usize) -> Vec<Arc<Batch>> {
        self.status.observed().batches.newest(limit)
    }

    fn batch(&self, index: u64) -> Option<Arc<Batch>> {
        self.status.observed().batches.get(index)
    }
}
