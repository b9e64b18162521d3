//! What a stopped node's database holds, and whether it holds together.

use crate::sample::folder_bytes;
use crate::snapshot::{Progress, SnapshotError, open_chain};
use alloy_primitives::B256;
use oceanid_chain::{Ledger, LedgerError};
use oceanid_primitives::ChainSpec;
use oceanid_sequencer::verify_certificate;
use oceanid_stf::{receipts_root, transactions_root};
use oceanid_store::{StateAudit, Store};
use std::path::Path;
use std::sync::Arc;

/// Figures of a database.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseStats {
    /// Newest block.
    pub head: u64,
    /// Its hash.
    pub hash: B256,
    /// Its state root.
    pub state_root: B256,
    /// Its epoch.
    pub epoch: u64,
    /// Newest block whose batch was read back from L1.
    pub safe: u64,
    /// Newest block under an output that is final on L1.
    pub finalized: u64,
    /// Newest block in the engine; later ones are in the log.
    pub flushed: u64,
    /// Oldest block whose state can be read.
    pub oldest_state: u64,
    /// Bytes on disk: engine, log, and the sequencer's journals.
    pub bytes: Vec<(&'static str, u64)>,
}

/// What [`verify_database`] went through.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseReport {
    /// Blocks, genesis left out.
    pub blocks: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// Certificates that verify.
    pub certificates: u64,
    /// Accounts, slots and codes of the newest flushed state.
    pub accounts: u64,
    /// Storage slots.
    pub slots: u64,
    /// Codes.
    pub codes: u64,
    /// Nodes of its tries.
    pub nodes: u64,
    /// Blocks before that state whose states the history gives.
    pub history: u64,
    /// Block of that state.
    pub state_block: u64,
    /// Root computed from them, which is the one in the header.
    pub state_root: B256,
    /// What is wrong, one line each; the first [`MAX_FAULTS`].
    pub faults: Vec<String>,
}

/// Faults told at most.
pub const MAX_FAULTS: usize = 20;

/// Reads the figures.
///
/// # Errors
///
/// There is no chain, or a node uses it.
pub fn database_stats(data_dir: &Path, spec: Arc<ChainSpec>) -> Result<DatabaseStats, SnapshotError> {
    let ledger = open_chain(data_dir, spec)?;
    let (store, head, marks) = (ledger.store(), ledger.head(), ledger.marks());
    let chain = data_dir.join("chain");
    let parts = [("engine", chain.join("engine")), ("log", chain.join("log")), ("sequencer", data_dir.join("sequencer"))];
    Ok(DatabaseStats {
        head: head.number(),
        hash: head.hash(),
        state_root: head.header().state_root,
        epoch: ledger.epochs().of(head.number()),
        safe: marks.safe,
        finalized: marks.finalized,
        flushed: store.flushed(),
        oldest_state: store.oldest_state(),
        bytes: parts.map(|(name, folder)| (name, folder_bytes(folder))).into(),
    })
}

/// Goes through every block and the whole state.
///
/// # Errors
///
/// There is no chain, or a node uses it. What is wrong with the content is in the report.
pub fn verify_database(data_dir: &Path, spec: Arc<ChainSpec>, progress: Progress<'_>) -> Result<DatabaseReport, SnapshotError> {
    let ledger = open_chain(data_dir, spec)?;
    ledger.store().flush()?;
    let mut report = DatabaseReport::default();
    let head = ledger.head().number();
    let mut parent = ledger.genesis_hash();
    for number in 1..=head {
        match check_block(&ledger, number, parent, &mut report) {
            Ok(hash) => parent = hash,
            Err(fault) => {
                report.faults.push(format!("block {number}: {fault}"));
                // The next block is compared with what the index says.
                parent = ledger.store().hash_of(number).ok().flatten().unwrap_or_default();
            }
        }
        if report.faults.len() >= MAX_FAULTS {
            return Ok(report);
        }
        progress(number, head);
    }
    match ledger.store().audit_state() {
        Ok(StateAudit { number, root, accounts, slots, codes, nodes, history }) => {
            report = DatabaseReport { accounts, slots, codes, nodes, history, state_block: number, state_root: root, ..report };
        }
        Err(error) => report.faults.push(format!("state: {error}")),
    }
    Ok(report)
}

/// What [`prune_database`] removes, or would.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PruneReport {
    /// Newest block.
    pub head: u64,
    /// Oldest block whose state could be read before …
    pub oldest_state: u64,
    /// … and can be after.
    pub oldest_state_after: u64,
    /// Entries of the history removed.
    pub history_entries: u64,
    /// Their bytes before compression.
    pub history_bytes: u64,
    /// Log segments removed.
    pub log_segments: u64,
    /// Bytes on disk before, by part: the engine's tables and its journal, the log, the sequencer's journals.
    pub bytes: Vec<(&'static str, u64)>,
    /// And after; none of a plan.
    pub bytes_after: Option<Vec<(&'static str, u64)>>,
}

/// Cuts the states of the past to the `history` blocks before the head, empties the log, and merges the engine's files; with `dry_run` it only
/// says what would go. Blocks, receipts, certificates, the present state, the withdrawals' trie and the sequencer's journals stay.
///
/// # Errors
///
/// There is no chain, or a node uses it; `history` is out of range; the disk fails.
pub fn prune_database(
    data_dir: &Path,
    spec: Arc<ChainSpec>,
    history: u64,
    dry_run: bool,
    progress: Progress<'_>,
) -> Result<PruneReport, SnapshotError> {
    let ledger = open_chain(data_dir, spec)?;
    let store = ledger.store();
    let plan = store.prune_plan(history)?;
    let bytes = bytes_by_part(data_dir, store)?;
    let bytes_after = if dry_run {
        None
    } else {
        store.prune(history, progress)?;
        Some(bytes_by_part(data_dir, store)?)
    };
    Ok(PruneReport {
        head: plan.head,
        oldest_state: plan.oldest,
        oldest_state_after: plan.oldest_after,
        history_entries: plan.entries,
        history_bytes: plan.entry_bytes,
        log_segments: plan.segments,
        bytes,
        bytes_after,
    })
}

/// Bytes on disk of an open store's parts and of the sequencer's journals.
fn bytes_by_part(data_dir: &Path, store: &Store) -> Result<Vec<(&'static str, u64)>, SnapshotError> {
    let chain = data_dir.join("chain");
    let mut parts = store.table_bytes()?.to_vec();
    let tables: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
    parts.push(("journal", folder_bytes(chain.join("engine")).saturating_sub(tables)));
    parts.push(("log", folder_bytes(chain.join("log"))));
    parts.push(("sequencer", folder_bytes(data_dir.join("sequencer"))));
    Ok(parts)
}

/// One block against its header, its parent, the index and its certificate; its hash.
fn check_block(ledger: &Ledger, number: u64, parent: B256, report: &mut DatabaseReport) -> Result<B256, String> {
    let said = |error: LedgerError| error.to_string();
    let store = ledger.store();
    let committed = store.committed(number).map_err(|error| error.to_string())?.ok_or("it is missing")?;
    let (block, hash) = (&committed.block, committed.block.hash());
    let header = block.header();
    if header.number != number || header.parent_hash != parent {
        return Err(format!(
            "its header has number {} and parent {}, must have parent {parent}",
            header.number, header.parent_hash
        ));
    }
    let indexed = (store.hash_of(number).ok().flatten(), store.number_of(hash).ok().flatten());
    if indexed != (Some(hash), Some(number)) {
        return Err("the index does not lead to it".to_owned());
    }
    if transactions_root(block.body()) != header.transactions_root {
        return Err("its transactions are not those of its header".to_owned());
    }
    if receipts_root(&committed.receipts) != header.receipts_root {
        return Err("its receipts are not those of its header".to_owned());
    }
    if committed.senders.len() != block.body().len() {
        return Err(format!("{} senders of {} transactions", committed.senders.len(), block.body().len()));
    }
    for (index, transaction) in block.body().iter().enumerate() {
        let found = store.tx_location(*transaction.hash()).map_err(|error| error.to_string())?;
        if found.is_none_or(|location| (location.block, location.index as usize) != (number, index)) {
            return Err(format!("the index does not lead to its transaction {index}"));
        }
    }
    if !store.has_log_entries(number, &committed.receipts).map_err(|error| error.to_string())? {
        return Err("the index does not lead to its logs".to_owned());
    }
    if let Some(certificate) = store.certificate(number).map_err(|error| error.to_string())? {
        let extension = ledger.extension(number).map_err(said)?.ok_or("it has no extension")?;
        let committee = ledger.committee(extension.committee_id).map_err(said)?;
        verify_certificate(&ledger.namespace(), &committee, hash, &certificate)
            .map_err(|error| format!("certificate: {error}"))?;
        report.certificates += 1;
    }
    report.blocks += 1;
    report.transactions += block.body().len() as u64;
    Ok(hash)
}
