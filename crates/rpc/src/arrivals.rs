//! Hashes of transactions that entered the pool: one short list that all filters and subscriptions read, each from its own place on.
//!
//! Nobody who reads slowly, or not at all, keeps transactions in memory: what leaves the list was missed.

use alloy_primitives::B256;
use oceanid_pool::PoolTransaction;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};

/// Most hashes kept.
pub(crate) const MAX_ARRIVALS: usize = 16_384;

/// The list.
#[derive(Debug)]
pub(crate) struct Arrivals {
    list: Mutex<List>,
    end: watch::Sender<u64>,
}

#[derive(Debug)]
struct List {
    accepted: broadcast::Receiver<Arc<PoolTransaction>>,
    hashes: VecDeque<B256>,
    /// Number of the next arrival.
    end: u64,
}

impl Arrivals {
    pub(crate) fn new(accepted: broadcast::Receiver<Arc<PoolTransaction>>) -> Self {
        Self { list: Mutex::new(List { accepted, hashes: VecDeque::new(), end: 0 }), end: watch::Sender::new(0) }
    }

    /// Number of the next arrival.
    pub(crate) fn end(&self) -> u64 {
        self.catch_up().end
    }

    /// Hashes from number `next` on, as far as they are still known, and the number after them.
    pub(crate) fn since(&self, next: u64) -> (Vec<B256>, u64) {
        let list = self.catch_up();
        let first = list.end - list.hashes.len() as u64;
        let skipped = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX);
        (list.hashes.iter().skip(skipped).copied().collect(), list.end)
    }

    /// Tells of new arrivals by the number after them.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    /// Takes in arrivals as they come, until the pool is gone.
    pub(crate) async fn run(self: Arc<Self>, mut wake: broadcast::Receiver<Arc<PoolTransaction>>) {
        loop {
            if let Err(RecvError::Closed) = wake.recv().await {
                return;
            }
            drop(self.catch_up());
        }
    }

    fn catch_up(&self) -> parking_lot::MutexGuard<'_, List> {
        let mut guard = self.list.lock();
        let list = &mut *guard;
        let before = list.end;
        loop {
            match list.accepted.try_recv() {
                Ok(transaction) => {
                    if list.hashes.len() == MAX_ARRIVALS {
                        list.hashes.pop_front();
                    }
                    list.hashes.push_back(*transaction.hash());
                    list.end += 1;
                }
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if list.end != before {
            self.end.send_replace(list.end);
        }
        guard
    }
}
