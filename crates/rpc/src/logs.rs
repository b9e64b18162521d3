//! Log queries: blooms first, receipts only where a bloom matches.

use crate::context::Context;
use crate::convert;
use crate::error::{RpcError, RpcResult};
use crate::params::Args;
use crate::registry::Registry;
use alloy_primitives::Bloom;
use alloy_rpc_types_eth::{BlockNumberOrTag, Filter, FilterBlockOption, Log};
use oceanid_store::CommittedBlock;
use std::time::Instant;

/// Most addresses in a filter.
const MAX_ADDRESSES: usize = 1_000;
/// Most alternatives at one topic position.
const MAX_TOPICS: usize = 1_000;

pub(crate) fn register(registry: &mut Registry) {
    registry.heavy("eth_getLogs", |context: &Context, args: &mut Args<'_>| {
        let filter = args.required("filter")?;
        check(&filter)?;
        query(context, &filter)
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
pub(crate) fn query(context: &Context, filter: &Filter) -> RpcResult<Vec<Log>> {
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
    in_range(context, filter, from, to)
}

/// Logs of the blocks `from..=to` (those that exist) a filter matches, whatever range it names itself.
pub(crate) fn in_range(context: &Context, filter: &Filter, from: u64, to: u64) -> RpcResult<Vec<Log>> {
    let to = to.min(context.head());
    let limit = context.config.max_log_blocks;
    if to.saturating_sub(from) >= limit {
        return Err(RpcError::limit(format!("query exceeds the limit of {limit} blocks: from {from} to {to}")));
    }
    let deadline = Instant::now() + context.config.timeout;
    let max_logs = context.config.max_logs;
    let mut logs = Vec::new();
    for number in from..=to {
        if Instant::now() > deadline {
            return Err(RpcError::limit(format!("query timed out at block {number}: ask for fewer blocks")));
        }
        let header = context.header(number)?;
        if !may_match(filter, header.logs_bloom) {
            continue;
        }
        let Some(block) = context.block(number)? else { continue };
        logs.extend(of_block(&block, filter));
        if logs.len() > max_logs {
            return Err(RpcError::limit(format!("query returns more than {max_logs} logs: ask for blocks {from} to {number}")));
        }
    }
    Ok(logs)
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

/// False only if no log under this bloom can match.
fn may_match(filter: &Filter, bloom: Bloom) -> bool {
    !bloom.is_zero() && filter.matches_bloom(bloom)
}
