//! Polled filters: `eth_newFilter` and its kin. Bounded in number, removed when nobody polls them.

use crate::context::Context;
use crate::convert;
use crate::error::{RpcError, RpcResult};
use crate::logs;
use crate::params::Args;
use crate::registry::Registry;
use alloy_primitives::{B256, U128};
use alloy_rpc_types_eth::{BlockNumberOrTag, Filter, FilterBlockOption, Log};
use oceanid_pool::PoolTransaction;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

/// Most block hashes in one poll.
const MAX_HASHES: u64 = 10_000;

enum Kind {
    /// Logs; the next block to look at.
    Logs(Box<Filter>, u64),
    /// Block hashes; the next block.
    Blocks(u64),
    /// Hashes, or whole transactions, entering the pool.
    Pending(broadcast::Receiver<Arc<PoolTransaction>>, bool),
}

struct Entry {
    kind: Kind,
    polled: Instant,
}

/// All filters of a server.
pub(crate) struct Filters {
    entries: Mutex<HashMap<U128, Entry>>,
    limit: usize,
    lifetime: Duration,
}

impl Filters {
    pub(crate) fn new(limit: usize, lifetime: Duration) -> Self {
        Self { entries: Mutex::default(), limit, lifetime }
    }

    fn add(&self, kind: Kind) -> RpcResult<U128> {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        entries.retain(|_, entry| now.duration_since(entry.polled) < self.lifetime);
        if entries.len() >= self.limit {
            let reason = format!("{} filters exist, the limit: uninstall one, or wait until one expires", self.limit);
            return Err(RpcError::limit(reason));
        }
        // Ids are not guessable, so that callers do not poll each other's filters.
        let id = U128::from(rand::random::<u128>());
        entries.insert(id, Entry { kind, polled: now });
        Ok(id)
    }

    fn remove(&self, id: &U128) -> bool {
        self.entries.lock().remove(id).is_some()
    }

    /// Works on a filter outside of the lock; a second poll of the same filter meanwhile does not find it.
    fn with<T>(&self, id: U128, work: impl FnOnce(&mut Kind) -> RpcResult<T>) -> RpcResult<T> {
        let entry = self.entries.lock().remove(&id).filter(|entry| entry.polled.elapsed() < self.lifetime);
        let mut entry = entry.ok_or_else(|| RpcError::server(format!("filter not found: {id:#x}")))?;
        let outcome = work(&mut entry.kind);
        entry.polled = Instant::now();
        self.entries.lock().insert(id, entry);
        outcome
    }
}

/// What a poll returns.
#[derive(Serialize)]
#[serde(untagged)]
enum Changes {
    Logs(Vec<Log>),
    Hashes(Vec<B256>),
    Transactions(Vec<convert::RpcTransaction>),
}

pub(crate) fn register(registry: &mut Registry) {
    registry.light("eth_newFilter", |context: &Context, args: &mut Args<'_>| {
        let filter: Filter = args.required("filter")?;
        logs::check(&filter)?;
        // Changes begin with the blocks after this call; earlier ones are `eth_getFilterLogs`'s.
        let next = match filter.block_option {
            FilterBlockOption::Range { from_block: Some(BlockNumberOrTag::Number(from)), .. } => from.max(context.head() + 1),
            _ => context.head() + 1,
        };
        context.filters.add(Kind::Logs(Box::new(filter), next))
    });
    registry
        .light("eth_newBlockFilter", |context: &Context, _: &mut Args<'_>| context.filters.add(Kind::Blocks(context.head() + 1)));
    registry.light("eth_newPendingTransactionFilter", |context: &Context, args: &mut Args<'_>| {
        let full = args.optional("fullTransactions")?.unwrap_or(false);
        context.filters.add(Kind::Pending(context.backend.pool.subscribe(), full))
    });
    registry
        .light("eth_uninstallFilter", |context: &Context, args: &mut Args<'_>| Ok(context.filters.remove(&args.required("id")?)));
    registry.heavy("eth_getFilterLogs", |context: &Context, args: &mut Args<'_>| {
        let filter = context.filters.with(args.required("id")?, |kind| match kind {
            Kind::Logs(filter, _) => Ok(filter.clone()),
            _ => Err(RpcError::invalid("id", "not a log filter")),
        })?;
        logs::query(context, &filter)
    });
    registry.heavy("eth_getFilterChanges", |context: &Context, args: &mut Args<'_>| {
        context.filters.with(args.required("id")?, |kind| changes(context, kind))
    });
}

fn changes(context: &Context, kind: &mut Kind) -> RpcResult<Changes> {
    let head = context.head();
    match kind {
        Kind::Logs(filter, next) => {
            let last = match filter.block_option {
                FilterBlockOption::Range { to_block: Some(BlockNumberOrTag::Number(to)), .. } => to.min(head),
                _ => head,
            };
            // A poller that was away long gets what one query may return, and the rest next time.
            let last = last.min(next.saturating_add(context.config.max_log_blocks - 1));
            if *next > last {
                return Ok(Changes::Logs(Vec::new()));
            }
            let found = logs::in_range(context, filter, *next, last)?;
            *next = last + 1;
            Ok(Changes::Logs(found))
        }
        Kind::Blocks(next) => {
            let last = head.min(next.saturating_add(MAX_HASHES - 1));
            let mut hashes = Vec::new();
            while *next <= last {
                hashes.extend(context.backend.store.hash_of(*next)?);
                *next += 1;
            }
            Ok(Changes::Hashes(hashes))
        }
        Kind::Pending(accepted, full) => {
            let mut transactions = Vec::new();
            loop {
                match accepted.try_recv() {
                    Ok(transaction) => transactions.push(transaction),
                    // What was missed is gone; the receiver goes on with the oldest it still has.
                    Err(TryRecvError::Lagged(_)) => {}
                    Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                }
            }
            if *full {
                let full = transactions.iter().map(|transaction| convert::pending(transaction.envelope(), transaction.sender()));
                Ok(Changes::Transactions(full.collect()))
            } else {
                Ok(Changes::Hashes(transactions.iter().map(|transaction| *transaction.hash()).collect()))
            }
        }
    }
}

/// Subscription ids as geth writes them, so that clients which expect hex are content.
#[derive(Debug)]
pub(crate) struct HexIds;

impl jsonrpsee::core::traits::IdProvider for HexIds {
    fn next_id(&self) -> jsonrpsee::types::SubscriptionId<'static> {
        format!("{:#x}", U128::from(rand::random::<u128>())).into()
    }
}
