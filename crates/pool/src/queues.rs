//! The pool's data: one nonce queue per sender, an index of who is evicted first, and the totals. No locks, no I/O.
//!
//! A transaction is *pending* when all nonces from the account's to its own are present, else *queued*. The pool evicts from the
//! tail of a queue, so eviction never opens a gap. First to go is a sender whose tail is queued, then the one whose cheapest
//! transaction caps its fee lowest (a transaction cannot be mined before those in front of it, so a dear tail does not
//! protect a cheap head), then the youngest.

use crate::{MAX_DELEGATED, Origin, PoolConfig, PoolError, PoolTransaction};
use alloy_consensus::Transaction;
use alloy_primitives::map::{AddressMap, B256Map};
use alloy_primitives::{Address, B256, U256};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A replacement raises both fees by at least this many percent.
pub const REPLACEMENT_PERCENT: u128 = 10;
/// A replacement of a blob transaction raises all three fees by at least this many percent (as other Ethereum pools have it).
pub const BLOB_REPLACEMENT_PERCENT: u128 = 100;
/// A transaction that builders refused this often goes, although the committed state allows it.
const MAX_REJECTIONS: u8 = 16;

/// What the pool needs to know of an account in the committed state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolAccount {
    /// Next nonce.
    pub nonce: u64,
    /// Wei.
    pub balance: U256,
    /// True when the account has code other than an EIP-7702 delegation.
    pub has_code: bool,
    /// True when its code is an EIP-7702 delegation.
    pub delegated: bool,
}

/// One slot of a queue.
#[derive(Debug)]
struct Entry {
    transaction: Arc<PoolTransaction>,
    /// Order of arrival; breaks ties.
    sequence: u64,
    /// Block time of arrival, seconds.
    since: u64,
    /// Times a builder refused it.
    rejections: u8,
}

/// Order of eviction: the smallest goes first. `pending` is false when the tail is behind a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct EvictionKey {
    pending: bool,
    lowest_cap: u128,
    newest: Reverse<u64>,
    sender: Address,
}

#[derive(Debug)]
struct Queue {
    entries: BTreeMap<u64, Entry>,
    /// The account's nonce in the committed state.
    nonce: u64,
    /// First nonce from `nonce` on that is not in `entries`.
    next: u64,
    bytes: usize,
    key: EvictionKey,
}

impl Queue {
    /// The transactions by nonce.
    fn list(&self) -> Vec<Arc<PoolTransaction>> {
        self.entries.values().map(|entry| entry.transaction.clone()).collect()
    }

    fn new(sender: Address, nonce: u64) -> Self {
        let key = EvictionKey { pending: false, lowest_cap: 0, newest: Reverse(0), sender };
        Self { entries: BTreeMap::new(), nonce, next: nonce, bytes: 0, key }
    }

    /// Recomputes what depends on the entries, in one pass. The queue is not empty.
    fn refresh(&mut self) {
        self.next = self.nonce;
        self.key.lowest_cap = u128::MAX;
        self.key.newest = Reverse(0);
        let mut tail = 0;
        for (nonce, entry) in &self.entries {
            if *nonce == self.next {
                self.next += 1;
            }
            tail = *nonce;
            self.key.lowest_cap = self.key.lowest_cap.min(entry.transaction.envelope().max_fee_per_gas());
            self.key.newest = self.key.newest.min(Reverse(entry.sequence));
        }
        self.key.pending = tail < self.next;
    }
}

/// What an insertion did.
#[derive(Debug, Default)]
pub(crate) struct Inserted {
    /// Transactions that left: the replaced one and the evicted ones.
    pub(crate) removed: Vec<Arc<PoolTransaction>>,
    /// True when the new transaction was itself evicted: the pool is full of better ones.
    pub(crate) bounced: bool,
}

/// A candidate for a block: the head of a sender's queue.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) transaction: Arc<PoolTransaction>,
    pub(crate) sequence: u64,
}

/// All queues.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    by_hash: B256Map<Arc<PoolTransaction>>,
    senders: AddressMap<Queue>,
    eviction: BTreeSet<EvictionKey>,
    /// How many transactions here set an account's code.
    authorities: AddressMap<usize>,
    bytes: usize,
    sequence: u64,
}

impl Queues {
    pub(crate) fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Transactions that are pending.
    pub(crate) fn pending_len(&self) -> usize {
        self.senders.values().map(|queue| (queue.next - queue.nonce) as usize).sum()
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn get(&self, hash: &B256) -> Option<&Arc<PoolTransaction>> {
        self.by_hash.get(hash)
    }

    pub(crate) fn contains_sender(&self, sender: &Address) -> bool {
        self.senders.contains_key(sender)
    }

    /// First nonce after the pending transactions of `sender`; none without any.
    pub(crate) fn next_nonce(&self, sender: &Address) -> Option<u64> {
        self.senders.get(sender).map(|queue| queue.next)
    }

    /// Every queue in order of address: `(sender, first queued nonce, transactions by nonce)`.
    pub(crate) fn content(&self) -> BTreeMap<Address, (u64, Vec<Arc<PoolTransaction>>)> {
        self.senders.iter().map(|(sender, queue)| (*sender, (queue.next, queue.list()))).collect()
    }

    /// One sender's queue, as [`Self::content`] has it.
    pub(crate) fn content_of(&self, sender: &Address) -> Option<(u64, Vec<Arc<PoolTransaction>>)> {
        self.senders.get(sender).map(|queue| (queue.next, queue.list()))
    }

    /// Every transaction of that origin, by arrival.
    pub(crate) fn of_origin(&self, origin: Origin) -> Vec<Arc<PoolTransaction>> {
        let entries = self.senders.values().flat_map(|queue| queue.entries.values());
        let mut found: Vec<_> = entries.filter(|entry| entry.transaction.origin() == origin).collect();
        found.sort_unstable_by_key(|entry| entry.sequence);
        found.into_iter().map(|entry| entry.transaction.clone()).collect()
    }

    /// Puts a transaction in, given its sender's account in the committed state and the block time in seconds.
    pub(crate) fn insert(
        &mut self,
        config: &PoolConfig,
        transaction: Arc<PoolTransaction>,
        account: PoolAccount,
        now: u64,
    ) -> Result<Inserted, PoolError> {
        let (sender, nonce, size) = (transaction.sender(), transaction.nonce(), transaction.size());
        self.check(config, &transaction, account)?;
        let mut inserted = Inserted { removed: self.advance(sender, account.nonce), bounced: false };

        self.sequence += 1;
        let hash = *transaction.hash();
        let entry = Entry { transaction: transaction.clone(), sequence: self.sequence, since: now, rejections: 0 };
        let mut replaced = None;
        self.edit(sender, account.nonce, |queue| {
            queue.bytes += size;
            replaced = queue.entries.insert(nonce, entry).map(|old| old.transaction);
            queue.bytes -= replaced.as_ref().map_or(0, |old| old.size());
        });
        self.forget(replaced.as_slice());
        inserted.removed.extend(replaced);
        for authority in transaction.authorities() {
            *self.authorities.entry(*authority).or_default() += 1;
        }
        self.by_hash.insert(hash, transaction);
        self.bytes += size;

        while self.len() > config.max_transactions || self.bytes > config.max_bytes {
            let Some(victim) = self.evict() else { break };
            inserted.bounced |= *victim.hash() == hash;
            inserted.removed.push(victim);
        }
        Ok(inserted)
    }

    /// Everything about an insertion that can be refused, before anything changes.
    fn check(&self, config: &PoolConfig, transaction: &PoolTransaction, account: PoolAccount) -> Result<(), PoolError> {
        let (sender, nonce) = (transaction.sender(), transaction.nonce());
        if self.by_hash.contains_key(transaction.hash()) {
            return Err(PoolError::AlreadyKnown(*transaction.hash()));
        }
        if account.has_code {
            return Err(PoolError::SenderHasCode(sender));
        }
        if nonce < account.nonce {
            return Err(PoolError::NonceTooLow { nonce, next: account.nonce });
        }
        let window = config.max_per_sender as u64;
        if nonce - account.nonce >= window {
            return Err(PoolError::NonceTooHigh { nonce, next: account.nonce, window });
        }
        self.check_delegations(transaction, account)?;
        let queue = self.senders.get(&sender);
        let replaced = queue.and_then(|queue| queue.entries.get(&nonce)).map(|entry| &*entry.transaction);
        if let Some(old) = replaced {
            check_replacement(old, transaction)?;
        }
        let before = queue.map_or(U256::ZERO, |queue| {
            let costs = queue.entries.range(account.nonce..nonce).map(|(_, entry)| entry.transaction.cost());
            costs.fold(U256::ZERO, U256::saturating_add)
        });
        if before.saturating_add(transaction.cost()) > account.balance {
            return Err(PoolError::InsufficientFunds { balance: account.balance, cost: transaction.cost(), queued: before });
        }
        if let Some(queue) = queue {
            let count = queue.entries.len() + usize::from(replaced.is_none());
            if count > config.max_per_sender {
                return Err(PoolError::SenderLimit { sender, limit: config.max_per_sender, unit: "transactions" });
            }
            let bytes = queue.bytes + transaction.size() - replaced.map_or(0, PoolTransaction::size);
            if bytes > config.max_sender_bytes {
                return Err(PoolError::SenderLimit { sender, limit: config.max_sender_bytes, unit: "bytes" });
            }
        }
        Ok(())
    }

    /// Whoever delegates has one transaction here: before, because of what is pending, and after.
    fn check_delegations(&self, transaction: &PoolTransaction, account: PoolAccount) -> Result<(), PoolError> {
        let (sender, nonce) = (transaction.sender(), transaction.nonce());
        // As it will be when those below the account's nonce have gone.
        let count =
            |sender: &Address, nonce: u64| self.senders.get(sender).map_or(0, |queue| queue.entries.range(nonce..).count());
        let delegates =
            account.delegated || self.authorities.contains_key(&sender) || transaction.authorities().contains(&sender);
        if delegates {
            let replaces = self.senders.get(&sender).is_some_and(|queue| queue.entries.contains_key(&nonce));
            let others = count(&sender, account.nonce) - usize::from(replaces);
            if nonce != account.nonce || others >= MAX_DELEGATED {
                return Err(PoolError::DelegatedLimit { sender, next: account.nonce });
            }
        }
        for authority in transaction.authorities().iter().filter(|authority| **authority != sender) {
            let count = count(authority, 0);
            if count > MAX_DELEGATED {
                return Err(PoolError::AuthorityReserved { authority: *authority, count });
            }
        }
        Ok(())
    }

    /// The sender delegates now: drops what is more than it may have, from the tail, and returns it.
    pub(crate) fn limit_delegated(&mut self, sender: Address) -> Vec<Arc<PoolTransaction>> {
        let Some(queue) = self.senders.get(&sender) else { return Vec::new() };
        let beyond: Vec<_> = queue.entries.values().skip(MAX_DELEGATED).map(|entry| *entry.transaction.hash()).collect();
        beyond.iter().filter_map(|hash| self.remove(hash)).collect()
    }

    /// The account's nonce is now `nonce`: drops the transactions below it and returns them.
    pub(crate) fn advance(&mut self, sender: Address, nonce: u64) -> Vec<Arc<PoolTransaction>> {
        let Some(queue) = self.senders.get(&sender) else { return Vec::new() };
        if queue.nonce == nonce {
            return Vec::new();
        }
        let mut dropped = Vec::new();
        self.edit(sender, nonce, |queue| {
            queue.nonce = nonce;
            let kept = queue.entries.split_off(&nonce);
            dropped.extend(std::mem::replace(&mut queue.entries, kept).into_values().map(|entry| entry.transaction));
            queue.bytes -= dropped.iter().map(|transaction| transaction.size()).sum::<usize>();
        });
        self.forget(&dropped);
        dropped
    }

    /// Takes one transaction out, whatever its place; those behind it become queued.
    pub(crate) fn remove(&mut self, hash: &B256) -> Option<Arc<PoolTransaction>> {
        let transaction = self.by_hash.get(hash)?.clone();
        let (sender, nonce) = (transaction.sender(), transaction.nonce());
        self.edit(sender, 0, |queue| {
            queue.entries.remove(&nonce);
            queue.bytes -= transaction.size();
        });
        self.forget(std::slice::from_ref(&transaction));
        Some(transaction)
    }

    /// A builder refused it. Returns it if that was once too often.
    pub(crate) fn refused(&mut self, hash: &B256) -> Option<Arc<PoolTransaction>> {
        let transaction = self.by_hash.get(hash)?;
        let entry = self.senders.get_mut(&transaction.sender())?.entries.get_mut(&transaction.nonce())?;
        entry.rejections += 1;
        if entry.rejections < MAX_REJECTIONS { None } else { self.remove(hash) }
    }

    /// Drops what the sender's committed balance no longer covers, in order of nonce.
    pub(crate) fn rebalance(&mut self, sender: Address, balance: U256) -> Vec<Arc<PoolTransaction>> {
        let Some(queue) = self.senders.get(&sender) else { return Vec::new() };
        let mut left = balance;
        let mut uncovered = Vec::new();
        for entry in queue.entries.values() {
            match left.checked_sub(entry.transaction.cost()) {
                Some(rest) => left = rest,
                None => uncovered.push(*entry.transaction.hash()),
            }
        }
        uncovered.iter().filter_map(|hash| self.remove(hash)).collect()
    }

    /// Sets the arrival of everything here to that block time, seconds.
    pub(crate) fn begin(&mut self, now: u64) {
        for entry in self.senders.values_mut().flat_map(|queue| queue.entries.values_mut()) {
            entry.since = now;
        }
    }

    /// Drops transactions that have waited behind a gap since before `deadline` (block time, seconds).
    pub(crate) fn expire(&mut self, deadline: u64) -> Vec<Arc<PoolTransaction>> {
        let mut expired = Vec::new();
        for queue in self.senders.values() {
            let queued = queue.entries.range(queue.next..).map(|(_, entry)| entry);
            expired.extend(queued.filter(|entry| entry.since < deadline).map(|entry| *entry.transaction.hash()));
        }
        expired.iter().filter_map(|hash| self.remove(hash)).collect()
    }

    /// The pending transaction of `sender` with that nonce.
    pub(crate) fn pending(&self, sender: &Address, nonce: u64) -> Option<Candidate> {
        let queue = self.senders.get(sender)?;
        let entry = queue.entries.get(&nonce).filter(|_| nonce < queue.next)?;
        Some(Candidate { transaction: entry.transaction.clone(), sequence: entry.sequence })
    }

    /// The first pending transaction of every sender.
    pub(crate) fn heads(&self) -> impl Iterator<Item = Candidate> {
        self.senders.values().filter(|queue| queue.next > queue.nonce).filter_map(|queue| {
            let entry = queue.entries.get(&queue.nonce)?;
            Some(Candidate { transaction: entry.transaction.clone(), sequence: entry.sequence })
        })
    }

    /// Takes out the tail of the queue that goes first.
    fn evict(&mut self) -> Option<Arc<PoolTransaction>> {
        let sender = self.eviction.first()?.sender;
        let tail = self.senders.get(&sender)?.entries.last_key_value()?;
        let hash = *tail.1.transaction.hash();
        self.remove(&hash)
    }

    fn forget(&mut self, transactions: &[Arc<PoolTransaction>]) {
        for transaction in transactions {
            self.by_hash.remove(transaction.hash());
            self.bytes -= transaction.size();
            for authority in transaction.authorities() {
                let count = self.authorities.entry(*authority).or_default();
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.authorities.remove(authority);
                }
            }
        }
    }

    /// The one way to change a queue: creates it if missing, keeps the eviction index right, drops it when empty.
    fn edit(&mut self, sender: Address, nonce: u64, change: impl FnOnce(&mut Queue)) {
        let queue = self.senders.entry(sender).or_insert_with(|| Queue::new(sender, nonce));
        self.eviction.remove(&queue.key);
        change(queue);
        if queue.entries.is_empty() {
            self.senders.remove(&sender);
        } else {
            queue.refresh();
            self.eviction.insert(queue.key);
        }
    }

    /// Everything the fields say about each other; what the property tests call after every step.
    #[cfg(test)]
    pub(crate) fn assert_consistent(&self) {
        let mut authorities = AddressMap::<usize>::default();
        for authority in self.by_hash.values().flat_map(|transaction| transaction.authorities()) {
            *authorities.entry(*authority).or_default() += 1;
        }
        assert_eq!(authorities, self.authorities);
        let mut bytes = 0;
        let mut count = 0;
        for (sender, queue) in &self.senders {
            assert!(!queue.entries.is_empty(), "an empty queue is dropped");
            assert!(self.eviction.contains(&queue.key), "every queue is indexed");
            let mut sum = 0;
            for (nonce, entry) in &queue.entries {
                assert_eq!((entry.transaction.nonce(), entry.transaction.sender()), (*nonce, *sender));
                assert!(*nonce >= queue.nonce, "nothing below the account's nonce");
                assert!(self.by_hash.contains_key(entry.transaction.hash()));
                sum += entry.transaction.size();
            }
            assert_eq!(sum, queue.bytes);
            assert!((queue.nonce..queue.next).all(|nonce| queue.entries.contains_key(&nonce)));
            assert!(!queue.entries.contains_key(&queue.next));
            bytes += sum;
            count += queue.entries.len();
        }
        assert_eq!((bytes, count, self.senders.len()), (self.bytes, self.by_hash.len(), self.eviction.len()));
    }
}

/// Both fees (for blobs all three) must rise by the percentage.
fn check_replacement(old: &PoolTransaction, new: &PoolTransaction) -> Result<(), PoolError> {
    let is_blob = old.envelope().blob_versioned_hashes().is_some();
    let percent = if is_blob { BLOB_REPLACEMENT_PERCENT } else { REPLACEMENT_PERCENT };
    let raised = |fee: u128| fee.saturating_add(fee.saturating_mul(percent).div_ceil(100)).max(fee.saturating_add(1));
    let (fee, tip) = (raised(old.envelope().max_fee_per_gas()), raised_tip(old, percent));
    let blob_fee = |transaction: &PoolTransaction| transaction.envelope().max_fee_per_blob_gas().unwrap_or(0);
    let enough = new.envelope().max_fee_per_gas() >= fee
        && new.envelope().priority_fee_or_price() >= tip
        && (!is_blob || blob_fee(new) >= raised(blob_fee(old)));
    if enough { Ok(()) } else { Err(PoolError::ReplacementUnderpriced { fee, tip, percent }) }
}

/// A tip of zero may stay zero: the cap is what must rise.
fn raised_tip(old: &PoolTransaction, percent: u128) -> u128 {
    let tip = old.envelope().priority_fee_or_price();
    tip.saturating_add(tip.saturating_mul(percent).div_ceil(100))
}
