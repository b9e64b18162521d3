//! Transactions in the order a builder takes them: best tip first, nonces of a sender in order.

use crate::Pool;
use crate::queues::Candidate;
use alloy_consensus::Transaction;
use alloy_primitives::{Address, B256};
use oceanid_chain::TransactionSource;
use oceanid_primitives::TxEnvelope;
use oceanid_stf::StateReader;
use oceanid_store::StateView;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

/// Least gas any transaction needs: below it there is no point in looking further.
const MIN_TRANSACTION_GAS: u64 = 21_000;

/// One sender's next transaction, ranked.
struct Ranked {
    tip: u128,
    candidate: Candidate,
}

impl Ranked {
    /// Higher tip first, then the earlier arrival: a total order, the sequence number being unique.
    fn key(&self) -> (u128, Reverse<u64>) {
        (self.tip, Reverse(self.candidate.sequence))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// An iterator over the pool for one block. It sees the pool as it is when each transaction is taken; a transaction that
/// arrives for a sender not in the heap waits for the next block.
pub struct Best<'a> {
    pool: &'a Pool,
    base_fee: u64,
    heap: BinaryHeap<Ranked>,
    /// State of the parent, if that is not the committed head: blocks in between may hold pooled transactions.
    parent: Option<StateView>,
    /// Senders whose place in the heap follows from the parent's state.
    placed: BTreeSet<Address>,
    /// The transaction given last: its successor is ranked when the next one is asked for, unless it was refused.
    last: Option<(Address, u64)>,
}

impl<'a> Best<'a> {
    pub(crate) fn new(pool: &'a Pool, parent: Option<StateView>, base_fee: u64, heads: impl Iterator<Item = Candidate>) -> Self {
        let heap = heads.filter_map(|head| rank(head, base_fee)).collect();
        Self { pool, base_fee, heap, parent, placed: BTreeSet::new(), last: None }
    }

    /// True when nothing is left that pays the base fee.
    pub fn is_empty(&mut self) -> bool {
        self.place_next();
        self.heap.is_empty()
    }

    /// Puts the best candidate on top of the heap: the successor of the last one comes in, and a sender seen for the first time
    /// moves on to the nonce it has in the parent's state.
    fn place_next(&mut self) {
        if let Some((sender, nonce)) = self.last.take() {
            self.push(sender, nonce + 1);
        }
        let Some(parent) = self.parent.clone() else { return };
        while let Some(top) = self.heap.peek() {
            let (sender, nonce) = (top.candidate.transaction.sender(), top.candidate.transaction.nonce());
            if !self.placed.insert(sender) {
                return;
            }
            // If the state cannot be read, the builder finds that out by itself.
            let next = parent.account(sender).ok().flatten().map_or(nonce, |account| account.nonce);
            if next == nonce {
                return;
            }
            self.heap.pop();
            self.push(sender, next);
        }
    }

    fn push(&mut self, sender: Address, nonce: u64) {
        let candidate = self.pool.pending_transaction(&sender, nonce);
        self.heap.extend(candidate.and_then(|candidate| rank(candidate, self.base_fee)));
    }
}

/// None when the fee cap does not reach the base fee.
fn rank(candidate: Candidate, base_fee: u64) -> Option<Ranked> {
    let tip = candidate.transaction.envelope().effective_tip_per_gas(base_fee)?;
    Some(Ranked { tip, candidate })
}

impl TransactionSource for Best<'_> {
    fn next(&mut self, gas_left: u64, bytes_left: usize) -> Option<(Arc<TxEnvelope>, Address)> {
        if gas_left < MIN_TRANSACTION_GAS {
            return None;
        }
        loop {
            self.place_next();
            let transaction = self.heap.pop()?.candidate.transaction;
            // One that does not fit closes its sender for this block: the nonces behind it cannot run either.
            if transaction.envelope().gas_limit() <= gas_left && transaction.size() <= bytes_left {
                self.last = Some((transaction.sender(), transaction.nonce()));
                return Some((transaction.envelope().clone(), transaction.sender()));
            }
        }
    }

    fn reject(&mut self, hash: B256, reason: &str) {
        self.last = None;
        self.pool.refused(&hash, reason);
    }
}
