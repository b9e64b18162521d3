//! Gates: how many requests of one kind are at work at once, and how many of those are one connection's.

use crate::config::RpcConfig;
use jsonrpsee::ConnectionId;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// One gate a kind of work, so that none of them keeps wallets waiting.
#[derive(Debug)]
pub(crate) struct Gates {
    /// A block, a receipt, a proof.
    pub(crate) reads: Gate,
    /// Executions.
    pub(crate) calls: Gate,
    /// Logs of ranges, filters, the pool's content.
    pub(crate) scans: Gate,
    /// Traces, which need most memory.
    pub(crate) traces: Gate,
}

impl Gates {
    pub(crate) fn new(config: &RpcConfig) -> Self {
        Self {
            reads: Gate::new(config.max_reads),
            calls: Gate::new(config.max_calls),
            scans: Gate::new(config.max_scans),
            traces: Gate::new(config.max_traces),
        }
    }
}

/// A bounded number of places; a connection gets at most half of them, so that there is always one left for another.
#[derive(Debug)]
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    share: usize,
    /// Places left for each connection that has some, or waits for one.
    connections: Mutex<HashMap<ConnectionId, Weak<Semaphore>>>,
}

/// A place in a gate, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
    /// Keeps the connection's count alive.
    _connection: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn new(places: usize) -> Self {
        let share = places.div_ceil(2).max(1);
        Self { places: Arc::new(Semaphore::new(places)), share, connections: Mutex::default() }
    }

    /// Waits for a place.
    pub(crate) async fn enter(&self, connection: ConnectionId) -> Result<Place, AcquireError> {
        let own = self.count_of(connection);
        let of_connection = own.clone().acquire_owned().await?;
        let of_all = self.places.clone().acquire_owned().await?;
        Ok(Place { _own: of_connection, _of_all: of_all, _connection: own })
    }

    fn count_of(&self, connection: ConnectionId) -> Arc<Semaphore> {
        let mut connections = self.connections.lock();
        if let Some(count) = connections.get(&connection).and_then(Weak::upgrade) {
            return count;
        }
        connections.retain(|_, count| count.strong_count() > 0);
        let count = Arc::new(Semaphore::new(self.share));
        connections.insert(connection, Arc::downgrade(&count));
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn one_connection_leaves_places_to_others() {
        let gate = Gate::new(4);
        let (greedy, other) = (ConnectionId(1), ConnectionId(2));
        let held = (gate.enter(greedy).await.expect("open"), gate.enter(greedy).await.expect("open"));
        let third = tokio::time::timeout(Duration::from_millis(20), gate.enter(greedy)).await;
        assert!(third.is_err(), "half of the places, no more");
        let place = tokio::time::timeout(Duration::from_secs(5), gate.enter(other)).await;
        assert!(place.expect("at once").is_ok());
        drop(held);
        gate.enter(greedy).await.expect("open");
        drop(gate.enter(other).await);
        assert_eq!(gate.connections.lock().len(), 1, "connections without a place are forgotten");
    }
}
