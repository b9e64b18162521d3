//! Pending transactions between sequencers: what one node accepts reaches the pools of the others in small batches.
//!
//! The network is a full mesh of committee members, so nothing is forwarded twice. Loss is harmless: the node that accepted a
//! transaction still holds it and puts it into a block when it leads.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use alloy_primitives::Bytes;
use commonware_codec::{Decode as _, Encode as _, Input, RangeCfg};
use commonware_macros::select;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::{Clock, Spawner};
use tokio::sync::mpsc;
use tracing::debug;

use crate::types::Identity;

/// Largest transaction carried, bytes (EIP-2718): geth's and reth's pool limit.
pub const MAX_TRANSACTION_BYTES: usize = 128 * 1024;
/// Transactions in one message.
const MAX_BATCH: usize = 2_048;
/// Bytes of transactions in one message; one transaction always fits.
const MAX_BATCH_BYTES: usize = 256 * 1024;
/// Upper bound of an encoded message: the batch, a length prefix each, and the count.
pub(crate) const MAX_MESSAGE_BYTES: usize = MAX_BATCH_BYTES + 5 * (MAX_BATCH + 1);
/// How long the first transaction of a batch waits for company.
const GATHER: Duration = Duration::from_millis(10);
/// Transactions waiting to be sent; more are not gossiped.
const QUEUE: usize = 16_384;

/// Takes transactions (EIP-2718) that arrived from other sequencers. Called on a blocking thread, one batch at a time.
pub type OnTransactions = Arc<dyn Fn(Vec<Bytes>) + Send + Sync>;

/// Hands transactions to the other sequencers.
#[derive(Clone, Debug)]
pub struct TransactionGossip(mpsc::Sender<Bytes>);

impl TransactionGossip {
    /// Queues a transaction (EIP-2718) for the other sequencers. False when it is too large or the queue is full: it then stays
    /// with this node.
    pub fn broadcast(&self, transaction: Bytes) -> bool {
        transaction.len() <= MAX_TRANSACTION_BYTES && self.0.try_send(transaction).is_ok()
    }
}

/// The actor between the queue and the network.
pub(crate) struct Gossip {
    queue: mpsc::Receiver<Bytes>,
    on_transactions: OnTransactions,
}

impl Gossip {
    pub(crate) fn new(on_transactions: OnTransactions) -> (Self, TransactionGossip) {
        let (sender, queue) = mpsc::channel(QUEUE);
        (Self { queue, on_transactions }, TransactionGossip(sender))
    }

    pub(crate) async fn run<E: Spawner + Clock>(
        mut self,
        runtime: E,
        mut sender: impl Sender<PublicKey = Identity>,
        mut receiver: impl Receiver<PublicKey = Identity>,
    ) {
        let mut stopped = runtime.stopped();
        // A transaction that no longer fitted into the last batch.
        let mut carried = None;
        loop {
            let first = match carried.take() {
                Some(first) => {
                    runtime.sleep(GATHER).await;
                    first
                }
                None => select! {
                    _ = &mut stopped => { return; },
                    message = receiver.recv() => {
                        let Ok((peer, message)) = message else { return };
                        match decode(message) {
                            Some(batch) => self.deliver(&runtime, batch).await,
                            None => debug!(%peer, "malformed transaction batch"),
                        }
                        continue;
                    },
                    first = self.queue.recv() => {
                        let Some(first) = first else { return };
                        runtime.sleep(GATHER).await;
                        first
                    },
                },
            };
            let mut size = first.len();
            let mut batch = vec![first.0];
            while batch.len() < MAX_BATCH
                && let Ok(next) = self.queue.try_recv()
            {
                if size + next.len() > MAX_BATCH_BYTES {
                    carried = Some(next);
                    break;
                }
                size += next.len();
                batch.push(next.0);
            }
            let sent = sender.send(Recipients::All, batch.encode(), false);
            debug!(transactions = batch.len(), bytes = size, peers = sent.len(), "sent transactions");
        }
    }

    async fn deliver<E: Spawner>(&self, runtime: &E, batch: Vec<Bytes>) {
        let on_transactions = self.on_transactions.clone();
        // An error means that the runtime is shutting down.
        let _ = runtime.child("transactions").shared(true).spawn(move |_| async move { on_transactions(batch) }).await;
    }
}

fn decode(message: impl Input) -> Option<Vec<Bytes>> {
    let limits = (RangeCfg::from(1..=MAX_BATCH), RangeCfg::from(1..=MAX_TRANSACTION_BYTES));
    let batch = Vec::<bytes::Bytes>::decode_cfg(message, &limits).ok()?;
    Some(batch.into_iter().map(Bytes).collect())
}

/// Messages a second and peer on the transactions channel: above what [`GATHER`] lets out.
pub(crate) const RATE: NonZeroUsize = NonZeroUsize::new(128).expect("not zero");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_round_trip_and_limits_hold() {
        let batch = vec![bytes::Bytes::from_static(&[1]), bytes::Bytes::from(vec![2; MAX_TRANSACTION_BYTES])];
        let encoded = batch.encode();
        assert_eq!(decode(encoded.clone()).unwrap(), batch.into_iter().map(Bytes).collect::<Vec<_>>());
        assert!(decode(encoded.slice(..encoded.len() - 1)).is_none());
        assert!(decode(vec![bytes::Bytes::from(vec![0; MAX_TRANSACTION_BYTES + 1])].encode()).is_none());
        assert!(decode(Vec::<bytes::Bytes>::new().encode()).is_none());
        assert!(decode(vec![bytes::Bytes::from_static(&[1]); MAX_BATCH + 1].encode()).is_none());
        let full = vec![bytes::Bytes::from(vec![0; MAX_BATCH_BYTES / MAX_BATCH]); MAX_BATCH];
        assert!(full.encode().len() <= MAX_MESSAGE_BYTES);
    }

    #[test]
    fn fuzz_transaction_batches() {
        let batch = |lengths: &[usize]| lengths.iter().map(|length| bytes::Bytes::from(vec![7; *length])).collect::<Vec<_>>();
        let corpus = [batch(&[1]).encode().to_vec(), batch(&[100, 200, 300]).encode().to_vec()];
        oceanid_fuzz::bytes("transaction batches", &corpus, |input| {
            let Some(batch) = decode(bytes::Bytes::copy_from_slice(input)) else { return false };
            assert!(!batch.is_empty() && batch.len() <= MAX_BATCH);
            assert!(batch.iter().all(|transaction| (1..=MAX_TRANSACTION_BYTES).contains(&transaction.len())));
            true
        });
    }

    #[test]
    fn queue_is_bounded() {
        let (_gossip, sender) = Gossip::new(Arc::new(|_| ()));
        assert!(!sender.broadcast(Bytes::from(vec![0; MAX_TRANSACTION_BYTES + 1])));
        for _ in 0..QUEUE {
            assert!(sender.broadcast(Bytes::from_static(&[1])));
        }
        assert!(!sender.broadcast(Bytes::from_static(&[1])));
    }
}
