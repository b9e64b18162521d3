//! Pending transactions between sequencers: what one node accepts reaches the pools of the others in small batches.
//!
//! The network is a full mesh of committee members, so nothing is forwarded twice. Loss is harmless: the node that accepted a
//! transaction still holds it and puts it into a block when it leads. So what a peer sends too much of is dropped: of each, few batches wait for
//! the pool, in the order in which they came; and one most of whose transactions the pool refuses is not heard for a while.

use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime},
};

use alloy_primitives::Bytes;
use commonware_codec::{Decode as _, Encode as _, Input, RangeCfg};
use commonware_macros::select;
use commonware_p2p::{Receiver, Recipients, Sender};
use commonware_runtime::{Clock, Spawner};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tracing::{debug, warn};

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
/// Batches of one peer, and of all, that wait for the pool; more are dropped.
const MAX_WAITING_OF_PEER: usize = 2;
const MAX_WAITING: usize = 64;
/// A peer is judged by so many transactions at a time.
const SAMPLE: usize = 1_024;
/// A peer whose transactions were refused more often than taken is not heard for this long.
const MUTE: Duration = Duration::from_secs(60);

/// What became of a batch. Transactions that were known, or that only the pool's own limits keep out, are in neither number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reception {
    /// Transactions that were taken.
    pub taken: usize,
    /// Transactions that were refused for what they are.
    pub refused: usize,
}

/// Takes transactions (EIP-2718) that arrived from other sequencers. Called on a blocking thread, one batch at a time.
pub type OnTransactions = Arc<dyn Fn(Vec<Bytes>) -> Reception + Send + Sync>;

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

/// The actors between the queue, the network and the pool.
pub(crate) struct Gossip {
    queue: mpsc::Receiver<Bytes>,
    on_transactions: OnTransactions,
}

impl Gossip {
    pub(crate) fn new(on_transactions: OnTransactions) -> (Self, TransactionGossip) {
        let (sender, queue) = mpsc::channel(QUEUE);
        (Self { queue, on_transactions }, TransactionGossip(sender))
    }

    /// Starts them: sending, hearing and delivering wait for nothing of one another.
    pub(crate) fn start<E: Spawner + Clock>(
        self,
        runtime: &E,
        sender: impl Sender<PublicKey = Identity>,
        receiver: impl Receiver<PublicKey = Identity>,
    ) {
        let (heard, inbox) = mpsc::channel(MAX_WAITING);
        let peers = Peers::default();
        let (queue, on_transactions) = (self.queue, self.on_transactions);
        runtime.child("send").spawn(move |runtime| send(runtime, queue, sender));
        let judged = peers.clone();
        runtime.child("hear").spawn(move |runtime| hear(runtime, receiver, judged, heard));
        runtime.child("deliver").spawn(move |runtime| deliver(runtime, inbox, peers, on_transactions));
    }
}

async fn send<E: Spawner + Clock>(runtime: E, mut queue: mpsc::Receiver<Bytes>, mut sender: impl Sender<PublicKey = Identity>) {
    let mut stopped = runtime.stopped();
    // A transaction that no longer fitted into the last batch.
    let mut carried = None;
    loop {
        let first = match carried.take() {
            Some(first) => first,
            None => select! {
                _ = &mut stopped => { return; },
                first = queue.recv() => {
                    let Some(first) = first else { return };
                    first
                },
            },
        };
        runtime.sleep(GATHER).await;
        let mut size = first.len();
        let mut batch = vec![first.0];
        while batch.len() < MAX_BATCH
            && let Ok(next) = queue.try_recv()
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

async fn hear<E: Spawner + Clock>(
    runtime: E,
    mut receiver: impl Receiver<PublicKey = Identity>,
    peers: Peers,
    heard: mpsc::Sender<(Identity, Vec<Bytes>)>,
) {
    let mut stopped = runtime.stopped();
    loop {
        let (peer, message) = select! {
            _ = &mut stopped => { return; },
            message = receiver.recv() => {
                let Ok(message) = message else { return };
                message
            },
        };
        if !peers.admits(&peer, runtime.current()) {
            continue;
        }
        match decode(message) {
            // Where the line is full, the batch is lost.
            Some(batch) => match heard.try_reserve() {
                Ok(place) => {
                    peers.waits(&peer);
                    place.send((peer, batch));
                }
                Err(_) => debug!(%peer, "transactions of too many peers wait: some are dropped"),
            },
            None => {
                warn!(%peer, "malformed transaction batch: this peer's transactions are not heard for a while");
                peers.mute(&peer, runtime.current());
            }
        }
    }
}

async fn deliver<E: Spawner + Clock>(
    runtime: E,
    mut inbox: mpsc::Receiver<(Identity, Vec<Bytes>)>,
    peers: Peers,
    on_transactions: OnTransactions,
) {
    while let Some((peer, batch)) = inbox.recv().await {
        let on_transactions = on_transactions.clone();
        let reception = runtime.child("transactions").shared(true).spawn(move |_| async move { on_transactions(batch) }).await;
        // An error means that the runtime is shutting down.
        let Ok(reception) = reception else { return };
        if peers.judge(&peer, reception, runtime.current()) {
            warn!(%peer, "most transactions of this peer are refused: they are not heard for a while");
        }
    }
}

/// How each peer behaves. There are as many as there were members while this node runs.
#[derive(Clone, Default)]
struct Peers(Arc<Mutex<BTreeMap<Identity, Conduct>>>);

#[derive(Default)]
struct Conduct {
    /// Batches that wait for the pool.
    waiting: usize,
    /// Of the sample that is being taken.
    so_far: Reception,
    muted_until: Option<SystemTime>,
}

impl Peers {
    fn admits(&self, peer: &Identity, now: SystemTime) -> bool {
        let peers = self.0.lock();
        peers
            .get(peer)
            .is_none_or(|conduct| conduct.waiting < MAX_WAITING_OF_PEER && conduct.muted_until.is_none_or(|until| until <= now))
    }

    fn waits(&self, peer: &Identity) {
        self.0.lock().entry(peer.clone()).or_default().waiting += 1;
    }

    fn mute(&self, peer: &Identity, now: SystemTime) {
        self.0.lock().entry(peer.clone()).or_default().muted_until = Some(now + MUTE);
    }

    /// Takes note of what became of a peer's batch; true if it is not heard from now on.
    fn judge(&self, peer: &Identity, reception: Reception, now: SystemTime) -> bool {
        let mut peers = self.0.lock();
        let conduct = peers.entry(peer.clone()).or_default();
        conduct.waiting = conduct.waiting.saturating_sub(1);
        conduct.so_far.taken += reception.taken;
        conduct.so_far.refused += reception.refused;
        let Reception { taken, refused } = conduct.so_far;
        if taken + refused < SAMPLE {
            return false;
        }
        conduct.so_far = Reception::default();
        let mutes = refused > taken;
        if mutes {
            conduct.muted_until = Some(now + MUTE);
        }
        mutes
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
    use commonware_cryptography::Signer as _;

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
        let (_gossip, sender) = Gossip::new(Arc::new(|_| Reception::default()));
        assert!(!sender.broadcast(Bytes::from(vec![0; MAX_TRANSACTION_BYTES + 1])));
        for _ in 0..QUEUE {
            assert!(sender.broadcast(Bytes::from_static(&[1])));
        }
        assert!(!sender.broadcast(Bytes::from_static(&[1])));
    }

    #[test]
    fn a_peer_takes_its_own_room_only_and_is_muted_for_what_is_refused() {
        let identity = |seed: u8| crate::NodeKeys::derive(&[seed; 32]).unwrap().identity_signer().public_key();
        let (loud, other) = (identity(1), identity(2));
        let (peers, start) = (Peers::default(), SystemTime::UNIX_EPOCH);
        let admits = |peer, seconds| peers.admits(peer, start + Duration::from_secs(seconds));
        for _ in 0..MAX_WAITING_OF_PEER {
            assert!(admits(&loud, 0));
            peers.waits(&loud);
        }
        assert!(!admits(&loud, 0) && admits(&other, 0));
        let judge = |taken, refused| peers.judge(&loud, Reception { taken, refused }, start);
        assert!(!judge(SAMPLE / 2, SAMPLE / 2), "half of them are good");
        assert!(admits(&loud, 0));
        assert!(!judge(0, SAMPLE - 1), "too few to judge by");
        assert!(judge(0, 1));
        assert!(!admits(&loud, 59) && admits(&loud, 60) && admits(&other, 0));
        assert!(!judge(0, SAMPLE - 1), "another sample begins");
    }
}
