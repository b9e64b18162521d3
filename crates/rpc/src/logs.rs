//! Log queries: blooms first, receipts only where a bloom matches.

use crate::context::Context;
use crate::convert;
use crate::error::{RpcError, RpcResult};
use crate::params::Args;
use crate::registry::Registry;
use alloy_primitives::Bloom;
use alloy_rpc_types_eth::{BlockNumberOrTag, Filter, FilterBlockOption, Log};
use oceanid_store::CommittedBlock;
use parking_lot::Mutex;
use std::collections::VecDeque;
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

/// Blocks whose blooms are kept together.
const SECTION: u64 = 1_024;
/// Most sections kept, 256 KiB each: 64 MiB for the blooms of 262,144 blocks.
const MAX_SECTIONS: usize = 256;

/// Blooms of committed blocks in memory, so that a range that was asked for before is searched without the store.
#[derive(Default)]
pub(crate) struct Blooms(Mutex<VecDeque<(u64, Arc<Vec<Bloom>>)>>);

impl Blooms {
    /// The blooms of the blocks from `index` x [`SECTION`] on; none while that section still grows.
    fn section(&self, context: &Context, index: u64) -> RpcResult<Option<Arc<Vec<Bloom>>>> {
        let (first, last) = (index * SECTION, index * SECTION + SECTION - 1);
        if last > context.head() {
            return Ok(None);
        }
        let kept = self.0.lock().iter().find(|(kept, _)| *kept == index).map(|(_, blooms)| blooms.clone());
        if kept.is_some() {
            return Ok(kept);
        }
        let read = (first..=last).map(|number| Ok(context.header(number)?.logs_bloom));
        let blooms = Arc::new(read.collect::<RpcResult<Vec<_>>>()?);
        let mut sections = self.0.lock();
        sections.truncate(MAX_SECTIONS - 1);
        sections.push_front((index, blooms.clone()));
        Ok(Some(blooms))
    }
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
    let mut logs = Vec::new();
    let mut section: Option<(u64, Arc<Vec<Bloom>>)> = None;
    for number in from..=to {
        if number > from && Instant::now() > deadline {
            return Ok(Found { logs, next: number, stopped: Some(Stopped::Late) });
        }
        if section.as_ref().is_none_or(|(kept, _)| *kept != number / SECTION) {
            section = context.blooms.section(context, number / SECTION)?.map(|blooms| (number / SECTION, blooms));
        }
        let bloom = match &section {
            Some((_, blooms)) => blooms.get((number % SECTION) as usize).copied().unwrap_or_default(),
            None => context.header(number)?.logs_bloom,
        };
        if !may_match(filter, bloom) {
            continue;
        }
        let Some(block) = context.block(number)? else { continue };
        let before = logs.len();
        logs.extend(of_block(&block, filter));
        if before > 0 && logs.len() > max_logs {
            logs.truncate(before);
            return Ok(Found { logs, next: number, stopped: Some(Stopped::Full) });
        }
    }
    Ok(Found { logs, next: to + 1, stopped: None })
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
