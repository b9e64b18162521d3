//! Polled filters: `eth_newFilter` and its kin. Bounded in number, removed when nobody polls them.

use crate::context::Context;
use crate::convert;
use crate::error::{RpcError, RpcResult};
use crate::params::Args;
use crate::registry::Registry;
use crate::{eth, logs};
use alloy_primitives::{B256, U128};
use alloy_rpc_types_eth::{BlockNumberOrTag, Filter, FilterBlockOption, Log};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Most block hashes in one poll.
const MAX_HASHES: u64 = 10_000;
/// Sweeps are not more frequent than four in this time.
const SHORTEST_SWEEP: Duration = Duration::from_millis(40);

enum Kind {
    /// Logs; the next block to look at.
    Logs(Box<Filter>, u64),
    /// Block hashes; the next block.
    Blocks(u64),
    /// Hashes, or whole transactions, entering the pool; number of the next arrival.
    Pending(u64, bool),
}

/// A filter. Polls of one and the same wait for each other; removing it waits for none.
struct Entry {
    kind: Mutex<Kind>,
    polled: Mutex<Instant>,
}

impl Entry {
    fn is_idle(&self, lifetime: Duration) -> bool {
        self.polled.lock().elapsed() >= lifetime
    }
}

/// All filters of a server.
pub(crate) struct Filters {
    entries: Mutex<HashMap<U128, Arc<Entry>>>,
    limit: usize,
    lifetime: Duration,
}

impl Filters {
    pub(crate) fn new(limit: usize, lifetime: Duration) -> Self {
        Self { entries: Mutex::default(), limit, lifetime }
    }

    fn add(&self, kind: Kind) -> RpcResult<U128> {
        self.sweep();
        let mut entries = self.entries.lock();
        if entries.len() >= self.limit {
            let reason = format!("{} filters exist, the limit: uninstall one, or wait until one expires", self.limit);
            return Err(RpcError::limit(reason));
        }
        // Ids are not guessable, so that callers do not poll each other's filters.
        let id = U128::from(rand::random::<u128>());
        entries.insert(id, Arc::new(Entry { kind: Mutex::new(kind), polled: Mutex::new(Instant::now()) }));
        Ok(id)
    }

    fn remove(&self, id: &U128) -> bool {
        self.entries.lock().remove(id).is_some()
    }

    /// Removes filters that nobody polls.
    fn sweep(&self) {
        self.entries.lock().retain(|_, entry| !entry.is_idle(self.lifetime));
    }

    /// Sweeps now and then, for ever.
    pub(crate) async fn expire(context: Weak<Context>, lifetime: Duration) {
        let mut sweeps = tokio::time::interval(lifetime.max(SHORTEST_SWEEP) / 4);
        loop {
            sweeps.tick().await;
            let Some(context) = context.upgrade() else { return };
            context.filters.sweep();
        }
    }

    /// Works on a filter outside of the lock of all.
    fn with<T>(&self, id: U128, work: impl FnOnce(&mut Kind) -> RpcResult<T>) -> RpcResult<T> {
        let entry = self.entries.lock().get(&id).cloned().filter(|entry| !entry.is_idle(self.lifetime));
        let entry = entry.ok_or_else(|| RpcError::server(format!("filter not found: {id:#x}")))?;
        let outcome = work(&mut entry.kind.lock());
        *entry.polled.lock() = Instant::now();
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
        context.filters.add(Kind::Pending(context.arrivals.end(), full))
    });
    registry
        .light("eth_uninstallFilter", |context: &Context, args: &mut Args<'_>| Ok(context.filters.remove(&args.required("id")?)));
    registry.scan("eth_getFilterLogs", |context: &Context, args: &mut Args<'_>| {
        let filter = context.filters.with(args.required("id")?, |kind| match kind {
            Kind::Logs(filter, _) => Ok(filter.clone()),
            _ => Err(RpcError::invalid("id", "not a log filter")),
        })?;
        logs::query(context, &filter, args.deadline())
    });
    registry.scan("eth_getFilterChanges", |context: &Context, args: &mut Args<'_>| {
        let (id, deadline) = (args.required("id")?, args.deadline());
        context.filters.with(id, |kind| changes(context, kind, deadline))
    });
}

fn changes(context: &Context, kind: &mut Kind, deadline: Instant) -> RpcResult<Changes> {
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
            let found = logs::in_range(context, filter, *next, last, deadline)?;
            *next = found.next;
            Ok(Changes::Logs(found.logs))
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
        Kind::Pending(next, full) => {
            let (hashes, end) = context.arrivals.since(*next);
            *next = end;
            if *full {
                let known = hashes.into_iter().map(|hash| eth::transaction_by_hash(context, hash));
                Ok(Changes::Transactions(known.filter_map(Result::transpose).collect::<RpcResult<_>>()?))
            } else {
                Ok(Changes::Hashes(hashes))
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
