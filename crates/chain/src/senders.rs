//! Senders: recovered once per transaction and remembered by transaction hash, which covers the signature.

use crate::InvalidBlock;
use alloy_primitives::{Address, B256, map::HashMap};
use oceanid_primitives::TxEnvelope;
use parking_lot::Mutex;
use std::{borrow::Borrow, mem, num::NonZero, thread};

/// Transactions remembered, at most; about 60 bytes each.
const REMEMBERED: usize = 200_000;
/// Fewer missing senders than this are recovered on the caller's thread.
const PARALLEL_FROM: usize = 32;
/// Threads of one recovery, at most.
const MAX_THREADS: usize = 8;

/// Hash to sender, for the most recent transactions. The pool and the ledger share it, so no signature is recovered twice.
#[derive(Debug, Default)]
pub struct Senders {
    generations: Mutex<Generations>,
}

/// Two generations: the older is dropped when the younger is full.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<B256, Address>,
    old: HashMap<B256, Address>,
}

impl Senders {
    /// Remembers who sent the transaction of that hash. The caller has recovered it.
    pub fn remember(&self, hash: B256, sender: Address) {
        let mut generations = self.generations.lock();
        if generations.young.len() >= REMEMBERED / 2 {
            generations.old = mem::take(&mut generations.young);
        }
        generations.young.insert(hash, sender);
    }

    /// The sender, if remembered.
    pub fn get(&self, hash: &B256) -> Option<Address> {
        let generations = self.generations.lock();
        generations.young.get(hash).or_else(|| generations.old.get(hash)).copied()
    }

    /// Recovers, ahead of their use, the senders that are not remembered. A signature that does not recover is passed over: whoever
    /// asks for its sender refuses it.
    pub fn prepare(&self, transactions: &[&TxEnvelope]) {
        let (_, missing) = self.known(transactions);
        for (index, sender) in recover(transactions, &missing) {
            if let Some(sender) = sender {
                self.remember(*transactions[index].hash(), sender);
            }
        }
    }

    /// Senders of a body, in order: remembered ones, deposits' own, and the rest recovered on several threads.
    pub(crate) fn of_body(&self, body: &[TxEnvelope]) -> Result<Vec<Address>, InvalidBlock> {
        let (mut senders, missing) = self.known(body);
        for (index, sender) in recover(body, &missing) {
            let hash = *body[index].hash();
            let sender = sender.ok_or(InvalidBlock::Signature { index, hash })?;
            senders[index] = sender;
            self.remember(hash, sender);
        }
        Ok(senders)
    }

    /// Senders of deposits and remembered ones; zero at the indices that come with them, which have to be recovered.
    fn known<T: Borrow<TxEnvelope>>(&self, transactions: &[T]) -> (Vec<Address>, Vec<usize>) {
        let mut senders = vec![Address::ZERO; transactions.len()];
        let mut missing = Vec::new();
        let generations = self.generations.lock();
        for (index, transaction) in transactions.iter().map(T::borrow).enumerate() {
            let hash = transaction.hash();
            if let Some(deposit) = transaction.as_deposit() {
                senders[index] = deposit.inner().from;
            } else if let Some(sender) = generations.young.get(hash).or_else(|| generations.old.get(hash)) {
                senders[index] = *sender;
            } else {
                missing.push(index);
            }
        }
        (senders, missing)
    }
}

/// Recovers the senders of the transactions at `indices`, in that order; on several threads if there are many.
fn recover<T: Borrow<TxEnvelope> + Sync>(transactions: &[T], indices: &[usize]) -> Vec<(usize, Option<Address>)> {
    let one = |index: &usize| (*index, transactions[*index].borrow().recover_sender().ok());
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
    if indices.len() < PARALLEL_FROM || threads == 1 {
        return indices.iter().map(one).collect();
    }
    thread::scope(|scope| {
        let workers: Vec<_> = indices
            .chunks(indices.len().div_ceil(threads))
            .map(|part| scope.spawn(move || part.iter().map(one).collect::<Vec<_>>()))
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("recovery does not panic")).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_and_keeps_the_recent() {
        let senders = Senders::default();
        let hash = |number: usize| B256::from(alloy_primitives::U256::from(number));
        for number in 0..REMEMBERED * 2 {
            senders.remember(hash(number), Address::ZERO);
        }
        let held = |generations: &Generations| generations.young.len() + generations.old.len();
        assert!(held(&senders.generations.lock()) <= REMEMBERED);
        assert_eq!(senders.get(&hash(REMEMBERED * 2 - 1)), Some(Address::ZERO));
        assert_eq!(senders.get(&hash(0)), None);
    }
}
