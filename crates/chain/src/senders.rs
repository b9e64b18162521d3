//! Senders: recovered once per transaction and remembered by transaction hash, which covers the signature.

use crate::InvalidBlock;
use alloy_primitives::{Address, B256, map::HashMap};
use oceanid_primitives::TxEnvelope;
use parking_lot::Mutex;
use std::{mem, num::NonZero, thread};

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

    /// Senders of a body, in order: remembered ones, deposits' own, and the rest recovered on several threads.
    pub(crate) fn of_body(&self, body: &[TxEnvelope]) -> Result<Vec<Address>, InvalidBlock> {
        let mut senders = vec![Address::ZERO; body.len()];
        let mut missing = Vec::new();
        {
            let generations = self.generations.lock();
            for (index, transaction) in body.iter().enumerate() {
                let hash = transaction.hash();
                if let Some(deposit) = transaction.as_deposit() {
                    senders[index] = deposit.inner().from;
                } else if let Some(sender) = generations.young.get(hash).or_else(|| generations.old.get(hash)) {
                    senders[index] = *sender;
                } else {
                    missing.push(index);
                }
            }
        }
        let recover = |index: &usize| {
            let transaction = &body[*index];
            let invalid = |_| InvalidBlock::Signature { index: *index, hash: *transaction.hash() };
            transaction.recover_sender().map(|sender| (*index, sender)).map_err(invalid)
        };
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
        let recovered: Vec<(usize, Address)> = if missing.len() < PARALLEL_FROM || threads == 1 {
            missing.iter().map(recover).collect::<Result<_, _>>()?
        } else {
            thread::scope(|scope| {
                let workers: Vec<_> = missing
                    .chunks(missing.len().div_ceil(threads))
                    .map(|part| scope.spawn(move || part.iter().map(recover).collect::<Result<Vec<_>, _>>()))
                    .collect();
                let parts: Result<Vec<_>, _> =
                    workers.into_iter().map(|worker| worker.join().expect("recovery does not panic")).collect();
                parts.map(|parts| parts.into_iter().flatten().collect())
            })?
        };
        for (index, sender) in recovered {
            senders[index] = sender;
            self.remember(*body[index].hash(), sender);
        }
        Ok(senders)
    }
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
