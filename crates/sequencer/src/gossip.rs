//! Pending transactions between sequencers: what one node accepts reaches the pools of the others in small batches.
//!
//! The network is a full mesh of committee members, so nothing is forwarded twice. Loss is harmless: the node that accepted a
//! transaction still holds it and puts it into a block when it leads (the sender's later ones wait for that, so it costs time). What a peer
//! sends too much of is dropped: of each, so many bytes wait for the pool, in the order in which they came; and one most of whose transactions the pool refuses is not heard for a while.

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
use tracing::{Instrument as _, debug, warn};

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
/// Bytes of one peer, and of all, that wait for the pool; more are dropped. A pool takes some thousand transactions in a second of a busy
/// core: a peer's are those of one to two seconds.
const MAX_WAITING_OF_PEER: usize = 2 << 20;
const MAX_WAITING: usize = 32 << 20;
/// Batches that wait for the pool.
const MAX_WAITING_BATCHES: usize = 4_096;
/// Bytes counted for a transaction beside its own.
const TRANSACTION_OVERHEAD: usize = 64;
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
        let (heard, inbox) = mpsc::channel(MAX_WAITING_BATCHES);
        let peers = Peers::default();
        let (queue, on_transactions) = (self.queue, self.on_transactions);
        runtime.child("send").spawn(move |runtime| send(runtime, queue, sender).in_current_span());
        let judged = peers.clone();
        runtime.child("hear").spawn(move |runtime| hear(runtime, receiver, judged, heard).in_current_span());
        runtime.child("deliver").spawn(move |runtime| deliver(runtime, inbox, peers, on_transactions).in_current_span());
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
        if !peers.hears(&peer, runtime.current()) {
            continue;
        }
        match decode(message) {
            // Where the line is full, the batch is lost.
            Some(batch) => match heard.try_reserve() {
                Ok(place) if peers.takes_in(&peer, weight(&batch)) => place.send((peer, batch)),
                _ => debug!(%peer, "too many transactions wait for the pool: some are dropped"),
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
        let bytes = weight(&batch);
        let reception = runtime.child("transactions").shared(true).spawn(move |_| async move { on_transactions(batch) }).await;
        // An error means that the runtime is shutting down.
        let Ok(reception) = reception else { return };
        peers.lets_go(&peer, bytes);
        if peers.judge(&peer, reception, runtime.current()) {
            warn!(%peer, "most transactions of this peer are refused: they are not heard for a while");
        }
    }
}

/// What a batch counts for among those that wait, bytes.
fn weight(batch: &[Bytes]) -> usize {
    batch.iter().map(|transaction| transaction.len() + TRANSACTION_OVERHEAD).sum()
}

/// How each peer behaves. There are as many as there were members while this node runs.
#[derive(Clone, Default)]
struct Peers(Arc<Mutex<Conducts>>);

#[derive(Default)]
struct Conducts {
    /// Bytes of all that wait for the pool.
    waiting: usize,
    of: BTreeMap<Identity, Conduct>,
}

#[derive(Default)]
struct Conduct {
    /// Bytes that wait for the pool.
    waiting: usize,
    /// Of the sample that is being taken.
    so_far: Reception,
    muted_until: Option<SystemTime>,
}

impl Peers {
    /// False while the peer is muted.
    fn hears(&self, peer: &Identity, now: SystemTime) -> bool {
        self.0.lock().of.get(peer).and_then(|conduct| conduct.muted_until).is_none_or(|until| until <= now)
    }

    /// Takes note that so many bytes of the peer wait, if there is room for them.
    fn takes_in(&self, peer: &Identity, bytes: usize) -> bool {
        let mut peers = self.0.lock();
        let (all, own) = (peers.waiting + bytes, peers.of.get(peer).map_or(0, |conduct| conduct.waiting) + bytes);
        let fits = all <= MAX_WAITING && own <= MAX_WAITING_OF_PEER;
        if fits {
            peers.waiting = all;
            peers.of.entry(peer.clone()).or_default().waiting = own;
        }
        fits
    }

    /// They wait no longer.
    fn lets_go(&self, peer: &Identity, bytes: usize) {
        let mut peers = self.0.lock();
        peers.waiting = peers.waiting.saturating_sub(bytes);
        let conduct = peers.of.entry(peer.clone()).or_default();
        conduct.waiting = conduct.waiting.saturating_sub(bytes);
    }

    fn mute(&self, peer: &Identity, now: SystemTime) {
        self.0.lock().of.entry(peer.clone()).or_default().muted_until = Some(now + MUTE);
    }

    /// Takes note of what became of a peer's batch; true if it is not heard from now on.
    fn judge(&self, peer: &Identity, reception: Reception, now: SystemTime) -> bool {
        let mut peers = self.0.lock();
        let conduct = peers.of.entry(peer.clone()).or_default();
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
        let hears = |peer, seconds| peers.hears(peer, start + Duration::from_secs(seconds));
        assert!(peers.takes_in(&loud, MAX_WAITING_OF_PEER - 10) && peers.takes_in(&loud, 10));
        assert!(!peers.takes_in(&loud, 1) && peers.takes_in(&other, 1));
        peers.lets_go(&loud, 10);
        assert!(!peers.takes_in(&loud, 11) && peers.takes_in(&loud, 10));
        let judge = |taken, refused| peers.judge(&loud, Reception { taken, refused }, start);
        assert!(!judge(SAMPLE / 2, SAMPLE / 2), "half of them are good");
        assert!(hears(&loud, 0));
        assert!(!judge(0, SAMPLE - 1), "too few to judge by");
        assert!(judge(0, 1));
        assert!(!hears(&loud, 59) && hears(&loud, 60) && hears(&other, 0));
        assert!(!judge(0, SAMPLE - 1), "another sample begins");
    }

    #[test]
    fn what_waits_is_bounded_over_all_peers_and_many_small_batches_are_no_loss() {
        let identity = |seed: u8| crate::NodeKeys::derive(&[seed; 32]).unwrap().identity_signer().public_key();
        let peers = Peers::default();
        for seed in 0..(MAX_WAITING / MAX_WAITING_OF_PEER) as u8 {
            assert!(peers.takes_in(&identity(seed), MAX_WAITING_OF_PEER));
        }
        assert!(!peers.takes_in(&identity(200), 1));

        // What a node sends in a second at five thousand transactions a second waits without loss.
        let (peers, peer) = (Peers::default(), identity(1));
        let batch = vec![Bytes::from(vec![0; 110]); 50];
        assert!((0..100).all(|_| peers.takes_in(&peer, weight(&batch))));
    }
}
