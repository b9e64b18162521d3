//! [`Execution`] over the real ledger, the pool and the node's view of L1.

use std::{collections::HashSet, sync::Arc};

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes};
use oceanid_chain::{BuildError, BuildLimits, CheckError, ConsensusContext, Ledger, LedgerError, TransactionSource};
use oceanid_pool::{Best, Pool};
use oceanid_primitives::{Committee, Epochs, L1View, RecoveryError, SealedBlock, TxEnvelope};
use tracing::error;

use crate::{Execution, FinalizeError, ProposalContext, ProposeError, RecoveryRefused, Verdict};

/// The ledger as consensus drives it. Clones share everything.
#[derive(Clone)]
pub struct LedgerExecution {
    ledger: Ledger,
    pool: Arc<Pool>,
    l1: Arc<dyn L1View>,
    limits: BuildLimits,
    /// Pool transactions are taken only while this says so.
    gate: Option<Gate>,
    /// Most bytes of pool transactions in one block.
    data_limit: usize,
}

/// Says whether pool transactions may be put into blocks now.
pub type Gate = Arc<dyn Fn() -> bool + Send + Sync>;

impl core::fmt::Debug for LedgerExecution {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LedgerExecution").field("ledger", &self.ledger).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl LedgerExecution {
    /// `limits` bounds the blocks this node builds; what it accepts is bounded by consensus' own limit.
    pub fn new(ledger: Ledger, pool: Arc<Pool>, l1: Arc<dyn L1View>, limits: BuildLimits) -> Self {
        Self { ledger, pool, l1, limits, gate: None, data_limit: usize::MAX }
    }

    /// While `gate` is false, blocks hold deposits only: for a backlog of data that L1 has not taken yet.
    pub fn with_gate(mut self, gate: Gate) -> Self {
        self.gate = Some(gate);
        self
    }

    /// Pool transactions of one block take at most `bytes`: what one batch can carry to L1. Deposits do not count, L1 has them.
    pub const fn with_data_limit(mut self, bytes: usize) -> Self {
        self.data_limit = bytes;
        self
    }

    /// Pooled transactions that are not already in an executed, not yet final ancestor: the pool knows final blocks only.
    fn source(&self, parent: B256) -> Unincluded<'_> {
        let head = self.ledger.head().hash();
        let mut included = HashSet::new();
        let mut cursor = parent;
        while cursor != head
            && let Ok(Some(block)) = self.ledger.block(cursor)
            && block.number() > self.ledger.head().number()
        {
            included.extend(block.body().iter().map(|transaction| *transaction.hash()));
            cursor = block.header().parent_hash;
        }
        let open = self.gate.as_ref().is_none_or(|gate| gate());
        Unincluded { best: open.then(|| self.pool.best()), included, bytes_left: self.data_limit }
    }
}

/// The pool's order without some transactions; nothing while the gate is closed.
struct Unincluded<'a> {
    best: Option<Best<'a>>,
    included: HashSet<B256>,
    bytes_left: usize,
}

impl TransactionSource for Unincluded<'_> {
    fn next(&mut self, gas_left: u64, bytes_left: usize) -> Option<(Arc<TxEnvelope>, Address)> {
        loop {
            let (transaction, sender) = self.best.as_mut()?.next(gas_left, bytes_left.min(self.bytes_left))?;
            if !self.included.contains(transaction.hash()) {
                self.bytes_left = self.bytes_left.saturating_sub(transaction.encode_2718_len());
                return Some((transaction, sender));
            }
        }
    }

    fn reject(&mut self, hash: B256, reason: &str) {
        if let Some(best) = &mut self.best {
            best.reject(hash, reason);
        }
    }
}

/// The store failed where the caller can only be told "not there"; the next write will stop the node.
fn logged<T, E: core::fmt::Display>(result: Result<Option<T>, E>) -> Option<T> {
    result.unwrap_or_else(|cause| {
        error!(%cause, "the ledger could not be read");
        None
    })
}

impl Execution for LedgerExecution {
    fn genesis(&self) -> Arc<SealedBlock> {
        logged(self.ledger.store().block(0)).expect("a store keeps its genesis block for ever")
    }

    fn head(&self) -> Arc<SealedBlock> {
        self.ledger.head()
    }

    fn final_block(&self, number: u64) -> Option<(B256, u64)> {
        let hash = logged(self.ledger.store().hash_of(number))?;
        let header = logged(self.ledger.store().header(number))?;
        Some((hash, header.timestamp))
    }

    fn epochs(&self) -> Result<Arc<Epochs>, RecoveryRefused> {
        for recovery in self.l1.recoveries() {
            match self.ledger.admit(&recovery) {
                Ok(_) => {}
                // L1 is not read up to the one before it.
                Err(LedgerError::Recovery(RecoveryError::Gap { .. })) => break,
                Err(cause) => return Err(RecoveryRefused(cause.to_string())),
            }
        }
        Ok(self.ledger.epochs())
    }

    fn certificate(&self, number: u64) -> Option<Bytes> {
        logged(self.ledger.store().certificate(number))
    }

    fn committee_of_epoch(&self, epoch: u64) -> Option<Committee> {
        logged(self.ledger.committee_of_epoch(epoch)).map(|committee| committee.as_ref().clone())
    }

    fn is_executed(&self, hash: B256) -> bool {
        self.ledger.view_of(hash).is_some()
    }

    fn has_work(&self, parent: B256) -> bool {
        let pending = self.source(parent).next(u64::MAX, usize::MAX).is_some();
        logged(self.ledger.has_work(parent, self.l1.as_ref(), pending).map(Some)).unwrap_or(false)
    }

    fn propose(&self, parent: B256, context: ProposalContext, timestamp: u64) -> Result<Arc<SealedBlock>, ProposeError> {
        let ProposalContext { epoch, view, parent_view, leader } = context;
        let context = ConsensusContext { epoch, view, parent_view, leader };
        let mut source = self.source(parent);
        match self.ledger.build(parent, context, timestamp, self.l1.as_ref(), &mut source, self.limits) {
            Ok(block) => Ok(block),
            Err(BuildError::UnknownParent(hash)) => Err(ProposeError::NotYet(format!("parent {hash} is not executed"))),
            Err(error @ (BuildError::Epoch { .. } | BuildError::Ledger(_))) => Err(ProposeError::Failed(error.to_string())),
        }
    }

    fn verify(&self, block: &Arc<SealedBlock>, now: u64) -> Verdict {
        match self.ledger.check(block, self.l1.as_ref(), now) {
            Ok(()) => Verdict::Valid,
            Err(CheckError::Invalid(reason)) => Verdict::Invalid(reason.to_string()),
            Err(CheckError::NotYet(missing)) => Verdict::NotYet(missing.to_string()),
            // Says nothing about the block: no vote from a machine that cannot execute.
            Err(CheckError::Ledger(cause)) => {
                error!(number = block.number(), %cause, "could not execute a block");
                Verdict::NotYet(cause.to_string())
            }
        }
    }

    fn finalize(&self, block: &Arc<SealedBlock>, certificate: Option<Bytes>) -> Result<(), FinalizeError> {
        let number = block.number();
        self.ledger.commit(block, certificate).map_err(|cause| FinalizeError { number, reason: cause.to_string() })
    }
}
