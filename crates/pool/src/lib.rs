//! Pending transactions: what was sent and is not in a committed block yet.
//!
//! [`Pool::add`] checks a transaction against the committed state and queues it by sender and nonce; [`Pool::best`] gives a
//! builder the best-paying ones; [`Pool::on_committed`] drops what a block has taken. Given the same calls in the same order,
//! every answer is the same: there is no clock and no randomness inside (ages are measured in block time).
//! docs/pool.md lists the rules and limits.
#![forbid(unsafe_code)]

mod best;
mod blobs;
mod config;
mod error;
mod journal;
mod queues;
mod state;
mod transaction;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

pub use best::Best;
pub use blobs::BlobStore;
pub use config::{MAX_DELEGATED, PoolConfig, PoolRules};
pub use error::PoolError;
pub use journal::JournalError;
pub use queues::{BLOB_REPLACEMENT_PERCENT, PoolAccount, REPLACEMENT_PERCENT};
pub use state::StoreState;
pub use transaction::{
    MAX_BLOB_TRANSACTION_BYTES, MAX_BLOBS, MAX_TRANSACTION_BYTES, Origin, PoolTransaction, decode_raw, intrinsic_gas,
};

use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip7594::BlobTransactionSidecarVariant;
use alloy_primitives::map::B256Set;
use alloy_primitives::{Address, B256, U256};
use journal::Journal;
use oceanid_chain::Senders;
use oceanid_primitives::TxEnvelope;
use oceanid_store::{CommittedBlock, StateView};
use parking_lot::Mutex;
use queues::{Candidate, Queues};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::broadcast;

/// Accepted transactions a slow subscriber may fall behind by before it misses some.
const SUBSCRIPTION_BACKLOG: usize = 16_384;
/// Seconds of block time between two sweeps for transactions that waited behind a gap too long.
const SWEEP_INTERVAL: u64 = 60;

/// The committed state as the pool reads it. Always the newest: the pool reads it under its own lock, so that a block
/// committed meanwhile is either seen here or still to come through [`Pool::on_committed`].
pub trait PoolState: Send + Sync {
    /// The account, all zero if it does not exist. The error says why the state cannot be read.
    fn account(&self, address: Address) -> Result<PoolAccount, String>;

    /// L1 data fee of the transaction now, wei; zero where there is none.
    fn data_fee(&self, transaction: &TxEnvelope) -> Result<U256, String>;

    /// Base fee of the block after the head, wei per gas.
    fn next_base_fee(&self) -> Result<u64, String>;
}

/// Counts of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Transactions a builder may take now.
    pub pending: usize,
    /// Transactions behind a nonce gap.
    pub queued: usize,
    /// Encoded bytes of both.
    pub bytes: usize,
}

/// One sender's transactions, by nonce.
#[derive(Clone, Debug, Default)]
pub struct SenderContent {
    /// In order from the account's nonce, without a gap.
    pub pending: Vec<Arc<PoolTransaction>>,
    /// Behind a gap.
    pub queued: Vec<Arc<PoolTransaction>>,
}

impl SenderContent {
    /// Splits a queue at `next`, the first nonce behind a gap.
    fn split(next: u64, list: Vec<Arc<PoolTransaction>>) -> Self {
        let (pending, queued) = list.into_iter().partition(|transaction| transaction.nonce() < next);
        Self { pending, queued }
    }
}

/// What [`Pool::with_journal`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Transactions that are in the pool again.
    pub restored: usize,
    /// Those that are in no need of it any more (mined, replaced), or that it refuses now.
    pub dropped: usize,
    /// Lines of the file that could not be read.
    pub damaged: usize,
    /// Where the file as it was is kept, if it was damaged.
    pub kept_at: Option<PathBuf>,
}

/// The pool. Share it in an `Arc`.
pub struct Pool {
    config: PoolConfig,
    state: Arc<dyn PoolState>,
    blobs: Option<Arc<dyn BlobStore>>,
    senders: Arc<Senders>,
    inner: Mutex<Inner>,
    accepted: broadcast::Sender<Arc<PoolTransaction>>,
    /// Locked before `inner` where both are.
    journal: Option<Mutex<Journal>>,
}

#[derive(Default)]
struct Inner {
    queues: Queues,
    /// Timestamp of the last committed block, seconds.
    now: u64,
    /// Block time of the last sweep, seconds.
    swept: u64,
    /// Senders of transactions that builders refused since the last commit.
    doubtful: BTreeSet<Address>,
}

impl core::fmt::Debug for Pool {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Pool").field("config", &self.config).field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Pool {
    /// An empty pool over the committed state.
    pub fn new(config: PoolConfig, state: Arc<dyn PoolState>) -> Self {
        let (accepted, _) = broadcast::channel(SUBSCRIPTION_BACKLOG);
        Self { config, state, blobs: None, senders: Arc::default(), inner: Mutex::default(), accepted, journal: None }
    }

    /// With a place for the sidecars of blob transactions; without one they are refused.
    #[must_use]
    pub fn with_blobs(mut self, blobs: Arc<dyn BlobStore>) -> Self {
        self.blobs = Some(blobs);
        self
    }

    /// With the ledger's cache of senders, so that a signature is recovered once on its way from here into a block.
    #[must_use]
    pub fn with_senders(mut self, senders: Arc<Senders>) -> Self {
        self.senders = senders;
        self
    }

    /// With a journal at `path`, so that transactions of this node's own callers survive a restart: adds what the file holds, and
    /// writes from then on what [`Self::add_raw`] and its kin accept with [`Origin::Local`] (blob transactions excepted). Call it last.
    ///
    /// # Errors
    ///
    /// The file is of another version, or the file system refuses. Damage is no error: what can be read is used, the damaged file is kept
    /// beside the new one, and [`Restored`] says so.
    pub fn with_journal(mut self, path: &Path) -> Result<(Self, Restored), JournalError> {
        let contents = journal::read(path)?;
        let mut restored = Restored { damaged: contents.damaged, ..Restored::default() };
        if contents.damaged > 0 {
            restored.kept_at = Some(journal::set_aside(path)?);
        }
        for refusal in self.add_raw_all(&contents.transactions, Origin::Local).into_iter().filter_map(Result::err) {
            tracing::debug!(%refusal, "a transaction of the journal is not taken again");
        }
        restored.restored = self.local().len();
        restored.dropped = contents.transactions.len().saturating_sub(restored.restored);
        let journal = Journal::create(path, self.encoded_local())?;
        self.journal = Some(Mutex::new(journal));
        Ok((self, restored))
    }

    /// Syncs what was written to the journal since the last call, and writes the file anew when most of it is past. Blocks on the disk:
    /// for a blocking thread, about once a second. Nothing without a journal.
    ///
    /// # Errors
    ///
    /// The file system refuses; the next call tries again.
    pub fn maintain_journal(&self) -> Result<(), JournalError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let mut journal = journal.lock();
        let path = journal.path().to_path_buf();
        if journal.is_due() {
            *journal = Journal::create(&path, self.encoded_local())?;
            return Ok(());
        }
        let unsynced = journal.take_unsynced()?;
        drop(journal);
        unsynced.map_or(Ok(()), |file| journal::sync(&file, &path))
    }

    fn encoded_local(&self) -> impl Iterator<Item = Vec<u8>> + use<> {
        self.local().into_iter().filter(|transaction| is_journaled(transaction)).map(|kept| kept.envelope().encoded_2718())
    }

    /// Rules and limits.
    pub const fn config(&self) -> &PoolConfig {
        &self.config
    }

    /// Decodes and adds what `eth_sendRawTransaction` takes; see [`decode_raw`].
    pub fn add_raw(&self, raw: &[u8], origin: Origin) -> Result<B256, PoolError> {
        let (envelope, sidecar) = decode_raw(raw)?;
        self.add_with_sidecar(envelope, sidecar, origin)
    }

    /// As [`Self::add_raw`] for many, in order. Their senders are recovered first, together, on several threads: blocks, and computes.
    pub fn add_raw_all(&self, raw: &[impl AsRef<[u8]>], origin: Origin) -> Vec<Result<B256, PoolError>> {
        let decoded: Vec<_> = raw.iter().map(|raw| decode_raw(raw.as_ref())).collect();
        let envelopes: Vec<_> = decoded.iter().flatten().map(|(envelope, _)| envelope).collect();
        self.senders.prepare(&envelopes);
        let mut accepted = Vec::new();
        let outcomes = decoded.into_iter().map(|decoded| {
            let (envelope, sidecar) = decoded?;
            let transaction = self.admit(envelope, sidecar, origin)?;
            let hash = *transaction.hash();
            accepted.push(transaction);
            Ok(hash)
        });
        let outcomes = outcomes.collect();
        self.announce(accepted);
        outcomes
    }

    /// Adds a transaction without a sidecar.
    pub fn add(&self, envelope: TxEnvelope, origin: Origin) -> Result<B256, PoolError> {
        self.add_with_sidecar(envelope, None, origin)
    }

    /// Checks and adds a transaction. On success it is pending or queued, in the journal if it belongs there, and every subscriber has
    /// been told.
    pub fn add_with_sidecar(
        &self,
        envelope: TxEnvelope,
        sidecar: Option<BlobTransactionSidecarVariant>,
        origin: Origin,
    ) -> Result<B256, PoolError> {
        let transaction = self.admit(envelope, sidecar, origin)?;
        let hash = *transaction.hash();
        self.announce(vec![transaction]);
        Ok(hash)
    }

    fn admit(
        &self,
        envelope: TxEnvelope,
        sidecar: Option<BlobTransactionSidecarVariant>,
        origin: Origin,
    ) -> Result<Arc<PoolTransaction>, PoolError> {
        let hash = *envelope.hash();
        if self.inner.lock().queues.get(&hash).is_some() {
            return Err(PoolError::AlreadyKnown(hash));
        }
        let data_fee = self.state.data_fee(&envelope).map_err(PoolError::State)?;
        let transaction = Arc::new(PoolTransaction::new(&self.config, &self.senders, envelope, data_fee, origin)?);
        let has_sidecar = self.take_sidecar(&transaction, sidecar)?;

        let outcome = self.insert(&transaction);
        if outcome.is_err() && has_sidecar {
            self.discard_sidecar(&transaction);
        }
        outcome.map(|()| transaction)
    }

    /// Writes accepted transactions to the journal and tells the subscribers.
    fn announce(&self, accepted: Vec<Arc<PoolTransaction>>) {
        if let Some(journal) = &self.journal {
            let kept = accepted.iter().filter(|transaction| is_journaled(transaction));
            // The pool holds them all the same; the file is written anew at the next maintenance.
            if let Err(error) = journal.lock().append(kept.map(|transaction| transaction.envelope().encoded_2718())) {
                tracing::error!(%error, "accepted transactions would not survive a restart now");
            }
        }
        for transaction in accepted {
            // Nobody listening is not an error.
            let _ = self.accepted.send(transaction);
        }
    }

    fn insert(&self, transaction: &Arc<PoolTransaction>) -> Result<(), PoolError> {
        let mut inner = self.inner.lock();
        let account = self.state.account(transaction.sender()).map_err(PoolError::State)?;
        let now = inner.now;
        let inserted = inner.queues.insert(&self.config, transaction.clone(), account, now)?;
        drop(inner);
        for removed in &inserted.removed {
            self.discard_sidecar(removed);
        }
        if inserted.bounced {
            let cap = alloy_consensus::Transaction::max_fee_per_gas(&**transaction.envelope());
            return Err(PoolError::Full { transactions: self.config.max_transactions, bytes: self.config.max_bytes, cap });
        }
        Ok(())
    }

    /// Hands the sidecar of a blob transaction to its store. True if there is one.
    fn take_sidecar(
        &self,
        transaction: &PoolTransaction,
        sidecar: Option<BlobTransactionSidecarVariant>,
    ) -> Result<bool, PoolError> {
        match (&**transaction.envelope(), sidecar, &self.blobs) {
            (TxEnvelope::Eip4844(_), None, _) => {
                Err(PoolError::Sidecar("missing: send the network form (EIP-4844 or EIP-7594)".into()))
            }
            (TxEnvelope::Eip4844(_), Some(_), None) => Err(PoolError::Sidecar("this node keeps no blobs".into())),
            (TxEnvelope::Eip4844(signed), Some(sidecar), Some(blobs)) => {
                transaction::check_sidecar(signed.tx(), &sidecar)?;
                blobs.accept(signed, sidecar).map_err(PoolError::Sidecar)?;
                Ok(true)
            }
            (_, None, _) => Ok(false),
            (_, Some(_), _) => Err(PoolError::Sidecar("only a type 3 transaction has one".into())),
        }
    }

    fn discard_sidecar(&self, transaction: &PoolTransaction) {
        if let (TxEnvelope::Eip4844(_), Some(blobs)) = (&**transaction.envelope(), &self.blobs) {
            blobs.discard(transaction.hash());
        }
    }

    /// Accepted transactions from now on, in order of acceptance. A receiver that falls behind misses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<PoolTransaction>> {
        self.accepted.subscribe()
    }

    /// A transaction by hash; its sender comes along, so that nobody recovers it twice.
    pub fn get(&self, hash: &B256) -> Option<Arc<PoolTransaction>> {
        self.inner.lock().queues.get(hash).cloned()
    }

    /// Nonce for the next transaction of `sender`: after its pending ones.
    pub fn next_nonce(&self, sender: Address) -> Result<u64, PoolError> {
        let inner = self.inner.lock();
        let committed = self.state.account(sender).map_err(PoolError::State)?.nonce;
        Ok(inner.queues.next_nonce(&sender).map_or(committed, |next| next.max(committed)))
    }

    /// Counts.
    pub fn status(&self) -> PoolStatus {
        let inner = self.inner.lock();
        let pending = inner.queues.pending_len();
        PoolStatus { pending, queued: inner.queues.len() - pending, bytes: inner.queues.bytes() }
    }

    /// Everything, by sender.
    pub fn content(&self) -> BTreeMap<Address, SenderContent> {
        let content = self.inner.lock().queues.content();
        content.into_iter().map(|(sender, (next, list))| (sender, SenderContent::split(next, list))).collect()
    }

    /// One sender's transactions.
    pub fn content_of(&self, sender: &Address) -> SenderContent {
        let content = self.inner.lock().queues.content_of(sender);
        content.map_or_else(SenderContent::default, |(next, list)| SenderContent::split(next, list))
    }

    /// Those of this node's own callers, in order of arrival.
    pub fn local(&self) -> Vec<Arc<PoolTransaction>> {
        self.inner.lock().queues.of_origin(Origin::Local)
    }

    /// Transactions for a block on the committed head: those whose cap reaches its base fee, best tip first.
    pub fn best(&self) -> Best<'_> {
        let base_fee = self.state.next_base_fee().unwrap_or_else(|error| {
            tracing::warn!(error, "pool cannot read the base fee; the builder will refuse what does not pay it");
            0
        });
        Best::new(self, None, base_fee, self.inner.lock().queues.heads())
    }

    /// As [`Self::best`], for a block on a parent that is not committed: `parent` is the state after it, `base_fee` that of the
    /// block to build (wei per gas). Transactions that blocks up to the parent hold are passed over.
    pub fn best_on(&self, parent: StateView, base_fee: u64) -> Best<'_> {
        Best::new(self, Some(parent), base_fee, self.inner.lock().queues.heads())
    }

    fn pending_transaction(&self, sender: &Address, nonce: u64) -> Option<Candidate> {
        self.inner.lock().queues.pending(sender, nonce)
    }

    /// A builder could not run the transaction. That may be due to blocks not committed yet, so it stays until the next commit
    /// shows that the committed state does not carry it either, or until it was refused too often.
    fn refused(&self, hash: &B256, reason: &str) {
        tracing::debug!(%hash, reason, "builder refused a pooled transaction");
        let mut inner = self.inner.lock();
        if let Some(sender) = inner.queues.get(hash).map(|transaction| transaction.sender()) {
            inner.doubtful.insert(sender);
        }
        let removed = inner.queues.refused(hash);
        drop(inner);
        if let Some(removed) = removed {
            self.discard_sidecar(&removed);
        }
    }

    /// A block was committed; the state already shows it.
    pub fn on_committed(&self, committed: &CommittedBlock) {
        let block = &committed.block;
        self.on_block(block.header().timestamp, block.body().iter().zip(committed.senders.iter().copied()));
    }

    /// As [`Self::on_committed`], for a block given by its timestamp (seconds) and its transactions with their senders.
    pub fn on_block<'t>(&self, timestamp: u64, transactions: impl Iterator<Item = (&'t TxEnvelope, Address)>) {
        let mut inner = self.inner.lock();
        let mut touched = std::mem::take(&mut inner.doubtful);
        let mut included = B256Set::default();
        for (transaction, sender) in transactions {
            included.insert(*transaction.hash());
            touched.insert(sender);
            for authorization in alloy_consensus::Transaction::authorization_list(transaction).unwrap_or_default() {
                touched.extend(authorization.recover_authority());
            }
        }
        let mut dropped = Vec::new();
        for sender in touched {
            if !inner.queues.contains_sender(&sender) {
                continue;
            }
            match self.state.account(sender) {
                Ok(account) => {
                    dropped.extend(inner.queues.advance(sender, account.nonce));
                    if account.delegated {
                        dropped.extend(inner.queues.limit_delegated(sender));
                    }
                    dropped.extend(inner.queues.rebalance(sender, account.balance));
                }
                Err(error) => tracing::warn!(%sender, error, "pool cannot read an account; its queue is left as it was"),
            }
        }
        if inner.now == 0 {
            // The first block tells the time: what came before it, from the journal for one, is as old as it.
            inner.queues.begin(timestamp);
        }
        inner.now = timestamp;
        if timestamp.saturating_sub(inner.swept) >= SWEEP_INTERVAL {
            inner.swept = timestamp;
            let deadline = timestamp.saturating_sub(self.config.queued_lifetime);
            dropped.extend(inner.queues.expire(deadline));
        }
        drop(inner);
        // The sidecar of an included transaction is now the block's.
        for transaction in dropped.iter().filter(|transaction| !included.contains(transaction.hash())) {
            tracing::debug!(hash = %transaction.hash(), "transaction left the pool without being in a block");
            self.discard_sidecar(transaction);
        }
    }
}

/// Whether the transaction belongs into the journal: those of other nodes' callers are in theirs, and sidecars are kept elsewhere.
fn is_journaled(transaction: &PoolTransaction) -> bool {
    transaction.origin() == Origin::Local && !matches!(**transaction.envelope(), TxEnvelope::Eip4844(_))
}
