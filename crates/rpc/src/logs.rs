//! Log queries: the store's index names the blocks, and their receipts say which logs.

use crate::context::Context;
use crate::convert;
use crate::error::{RpcError, RpcResult};
use crate::params::Args;
use crate::registry::Registry;
use alloy_rpc_types_eth::{BlockNumberOrTag, Filter, FilterBlockOption, Log};
use oceanid_store::{CommittedBlock, LOG_SECTION, LogKey, LogQuery};
use std::sync::Arc;
use std::time::Instant;

/// Most addresses in a filter.
const MAX_ADDRESSES: usize = 1_000;
/// Most alternatives at one topic position.
const MAX_TOPICS: usize = 1_000;

pub(crate) fn register(registry: &mut Registry) {
    registry.scan("eth_getLogs", |context: &Context, args: &mut Args<'_>| {
        let filter = args.required("filter")?;
        check(&filter)?;
        query(context, &filter, args.deadline())
    });
}

/// Bounds of a filter's sets.
pub(crate) fn check(filter: &Filter) -> RpcResult<()> {
    if filter.address.len() > MAX_ADDRESSES {
        return Err(RpcError::invalid("filter.address", format!("{} addresses, limit {MAX_ADDRESSES}", filter.address.len())));
    }
    for (position, topic) in filter.topics.iter().enumerate() {
        if topic.len() > MAX_TOPICS {
            let name = format!("filter.topics[{position}]");
            return Err(RpcError::invalid(&name, format!("{} alternatives, limit {MAX_TOPICS}", topic.len())));
        }
    }
    Ok(())
}

/// All logs a filter names, in order.
pub(crate) fn query(context: &Context, filter: &Filter, deadline: Instant) -> RpcResult<Vec<Log>> {
    let (from, to) = match filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let number = context.resolve(hash.into())?;
            (number, number)
        }
        FilterBlockOption::Range { from_block, to_block } => {
            let from = context.number(from_block.unwrap_or(BlockNumberOrTag::Latest));
            let to = context.number(to_block.unwrap_or(BlockNumberOrTag::Latest));
            if from > to && to_block.is_some() {
                let reason = format!("fromBlock {from} is after toBlock {to}");
                return Err(RpcError::invalid("filter", reason));
            }
            if to > context.head() {
                let reason = format!("{to}, the head is block {}", context.head());
                return Err(RpcError::invalid("filter.toBlock", reason));
            }
            (from, to)
        }
    };
    let found = in_range(context, filter, from, to, deadline)?;
    match found.stopped {
        None => Ok(found.logs),
        Some(Stopped::Full) => {
            let (limit, fits) = (context.config.max_logs, found.next - 1);
            Err(RpcError::limit(format!("query returns more than {limit} logs: ask for blocks {from} to {fits}")))
        }
        Some(Stopped::Late) => Err(RpcError::limit(format!("query timed out at block {}: ask for fewer blocks", found.next))),
    }
}

/// What a walk over blocks has found.
pub(crate) struct Found {
    pub(crate) logs: Vec<Log>,
    /// The block after the last one that was searched whole.
    pub(crate) next: u64,
    /// Why it is not the one after the range.
    stopped: Option<Stopped>,
}

enum Stopped {
    /// The logs of one more block would be too many.
    Full,
    /// Time is up.
    Late,
}

/// Logs of the blocks `from..=to` (those that exist) a filter matches, whatever range it names itself: whole blocks, as many as
/// limits allow, and the first with logs always.
pub(crate) fn in_range(context: &Context, filter: &Filter, from: u64, to: u64, deadline: Instant) -> RpcResult<Found> {
    let to = to.min(context.head());
    let limit = context.config.max_log_blocks;
    if to.saturating_sub(from) >= limit {
        return Err(RpcError::limit(format!("query exceeds the limit of {limit} blocks: from {from} to {to}")));
    }
    let max_logs = context.config.max_logs;
    let conditions = conditions(filter);
    let mut logs = Vec::new();
    for first in (from..=to).step_by(LOG_SECTION as usize) {
        for number in context.backend.store.log_blocks(&conditions, first, to)? {
            if number > from && Instant::now() > deadline {
                return Ok(Found { logs, next: number, stopped: Some(Stopped::Late) });
            }
            let Some(block) = matching_block(context, filter, number)? else { continue };
            let before = logs.len();
            logs.extend(of_block(&block, filter));
            if before > 0 && logs.len() > max_logs {
                logs.truncate(before);
                return Ok(Found { logs, next: number, stopped: Some(Stopped::Full) });
            }
        }
        if Instant::now() > deadline && first + LOG_SECTION <= to {
            return Ok(Found { logs, next: first + LOG_SECTION, stopped: Some(Stopped::Late) });
        }
    }
    Ok(Found { logs, next: to + 1, stopped: None })
}

/// What the store's index is searched for.
fn conditions(filter: &Filter) -> LogQuery {
    let mut conditions = Vec::new();
    if !filter.address.is_empty() {
        conditions.push(filter.address.iter().map(|address| LogKey::Address(*address)).collect());
    }
    for (position, topics) in (0..).zip(&filter.topics).filter(|(_, topics)| !topics.is_empty()) {
        conditions.push(topics.iter().map(|topic| LogKey::Topic(position, *topic)).collect());
    }
    LogQuery::new(&conditions)
}

/// A block if one of its logs matches: receipts alone say so, the rest of the block is read only then.
fn matching_block(context: &Context, filter: &Filter, number: u64) -> RpcResult<Option<Arc<CommittedBlock>>> {
    if let Some(block) = context.kept_block(number) {
        return Ok(Some(block));
    }
    let store = &context.backend.store;
    if number <= store.flushed() {
        let receipts = store.receipts(number)?.unwrap_or_default();
        let mut logs = receipts.iter().flat_map(|receipt| &receipt.logs);
        if !logs.any(|log| filter.matches_address(log.address) && filter.matches_topics(log.topics())) {
            return Ok(None);
        }
    }
    Ok(store.committed(number)?)
}

/// Logs of one block that match by address and topics.
pub(crate) fn of_block<'a>(block: &'a CommittedBlock, filter: &'a Filter) -> impl Iterator<Item = Log> + 'a {
    let mut first = 0;
    let places = block.receipts.iter().enumerate().map(move |(index, receipt)| {
        let place = (index, first);
        first += receipt.logs.len();
        place
    });
    places
        .flat_map(|(index, first)| convert::logs_of(block, index, first))
        .filter(|log| filter.matches_address(log.address()) && filter.matches_topics(log.topics()))
}
