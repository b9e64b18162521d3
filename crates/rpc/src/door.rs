//! The way of signed transactions into the pool: off the server's threads, those that arrive together together.
//!
//! Recovering a signature takes as long as all else a request needs. A thread of its own takes whatever waits at the moment, lets the
//! pool recover the senders on several threads, adds the transactions in order of arrival, writes the journal once, and answers each.

use crate::error::{RpcError, RpcResult};
use alloy_primitives::{B256, Bytes};
use oceanid_pool::{Origin, Pool, PoolError};
use std::sync::Arc;
use std::thread;
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

/// Transactions that go into the pool together, at most.
const MAX_GROUP: usize = 256;
/// Transactions that wait; the requests of more wait outside.
const QUEUE: usize = 4_096;

/// A transaction (EIP-2718, with the sidecar of a blob transaction), and who waits for the answer.
type Arrival = (Bytes, oneshot::Sender<Result<B256, PoolError>>);

/// The way in. The thread behind it ends with the last of these.
pub(crate) struct Door(mpsc::Sender<Arrival>);

impl Door {
    /// Starts the thread.
    pub(crate) fn open(pool: Arc<Pool>) -> Self {
        let (queue, mut arrivals) = mpsc::channel::<Arrival>(QUEUE);
        let span = Span::current();
        let work = move || {
            let _entered = span.entered();
            let mut group = Vec::with_capacity(MAX_GROUP);
            while arrivals.blocking_recv_many(&mut group, MAX_GROUP) > 0 {
                let (raw, callers): (Vec<_>, Vec<_>) = group.drain(..).unzip();
                for (outcome, caller) in pool.add_raw_all(&raw, Origin::Local).into_iter().zip(callers) {
                    // The caller may have hung up; the transaction is in the pool all the same.
                    let _ = caller.send(outcome);
                }
            }
        };
        thread::Builder::new().name("door".to_owned()).spawn(work).expect("the system has room for one more thread");
        Self(queue)
    }

    /// Adds a transaction to the pool and returns its hash.
    pub(crate) async fn send(&self, raw: Bytes) -> RpcResult<B256> {
        let closed = || RpcError::server("the node is shutting down");
        let (caller, answer) = oneshot::channel();
        self.0.send((raw, caller)).await.map_err(|_| closed())?;
        Ok(answer.await.map_err(|_| closed())??)
    }
}
