//! The backlog, and where the next batch ends.

use crate::chain::extension;
use crate::{ChainError, SettledChain};
use alloy_eips::eip2718::Encodable2718;
use oceanid_da::{Batch, BatchBlock};
use oceanid_primitives::SealedBlock;
use std::collections::VecDeque;

/// Encoded data is about this many times smaller than the transactions: batches are planned by it, then measured.
const EXPECTED_RATIO_PERCENT: u64 = 125;

/// Committed blocks that are not on L1.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Number of the first one.
    first: u64,
    blocks: VecDeque<Waiting>,
    bytes: u64,
}

/// What planning needs to know of a waiting block.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// Bytes of its transactions, deposits left out.
    bytes: u64,
    /// It has a certificate of its own, so a batch may end here.
    certified: bool,
}

/// Why a batch is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It cannot grow.
    Full,
    /// Its first block is old.
    Age,
}

/// Where the next batch may end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) first: u64,
    /// Candidates, descending: the first is wanted, the others serve if it turns out too large.
    pub(super) ends: Vec<u64>,
    /// No later block can join.
    pub(super) full: bool,
}

impl Backlog {
    /// Follows the posted head on L1 and the committed head.
    pub(super) fn update(&mut self, posted: u64, chain: &dyn SettledChain) -> Result<(), ChainError> {
        if posted + 1 < self.first {
            // L1 reorganised a batch away.
            *self = Self::default();
        }
        while self.first <= posted
            && let Some(gone) = self.blocks.pop_front()
        {
            self.bytes -= gone.bytes;
            self.first += 1;
        }
        if self.blocks.is_empty() {
            self.first = posted + 1;
        }
        for number in self.next()..=chain.head() {
            let waiting =
                Waiting { bytes: transaction_bytes(&*chain.block(number)?), certified: chain.certificate(number)?.is_some() };
            self.bytes += waiting.bytes;
            self.blocks.push_back(waiting);
        }
        Ok(())
    }

    fn next(&self) -> u64 {
        self.first + self.blocks.len() as u64
    }

    pub(super) fn blocks(&self) -> u64 {
        self.blocks.len() as u64
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next batch: from the first waiting block, up to the end of its epoch as `epoch_end` has it, within the limits. None while
    /// no block has a certificate.
    pub(super) fn plan(&self, epoch_end: impl Fn(u64) -> u64, capacity: usize, max_blocks: usize) -> Option<Plan> {
        let first = self.first;
        let epoch_end = epoch_end(first);
        let room = capacity as u64 * EXPECTED_RATIO_PERCENT / 100;
        let mut ends = Vec::new();
        let mut bytes = 0u64;
        let mut full = false;
        for (waiting, number) in self.blocks.iter().zip(first..) {
            bytes += waiting.bytes;
            let over = bytes > room || number - first >= max_blocks as u64;
            if over && !ends.is_empty() {
                full = true;
                break;
            }
            if waiting.certified {
                ends.push(number);
                // Without a smaller end this one is tried, however large.
                full |= over;
            }
            if number == epoch_end {
                full = true;
                break;
            }
        }
        ends.reverse();
        (!ends.is_empty()).then_some(Plan { first, ends, full })
    }
}

impl Plan {
    /// Is it time? `age` is that of the first block, in seconds.
    pub(super) const fn due(&self, age: u64, max_age: u64) -> Option<Due> {
        if self.full {
            Some(Due::Full)
        } else if age >= max_age {
            Some(Due::Age)
        } else {
            None
        }
    }
}

fn transaction_bytes(block: &SealedBlock) -> u64 {
    block.body().iter().filter(|tx| !tx.is_deposit()).map(|tx| tx.encode_2718_len() as u64).sum()
}

/// What the batch of these committed blocks is.
pub(super) fn batch(chain: &dyn SettledChain, first: u64, last: u64) -> Result<Batch, ChainError> {
    let blocks = (first..=last)
        .map(|number| {
            let block = chain.block(number)?;
            BatchBlock::from_block(block.block()).map_err(|error| ChainError(format!("block {number}: {error}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Batch { blocks })
}

/// A member's place in the order in which members post a batch that ends with `last`: its leader first. Outsiders come last.
pub(super) fn place(chain: &dyn SettledChain, last: &SealedBlock, identity: &alloy_primitives::B256) -> Result<u32, ChainError> {
    let extension = extension(last)?;
    let committee = chain.committee(extension.committee_id)?;
    let size = committee.members.len() as u32;
    Ok(match committee.index_of(identity) {
        Some(index) => (index as u32 + size - extension.leader % size) % size,
        None => size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A backlog from block 5 on, with epochs of eight blocks: (bytes, certified) each.
    fn backlog(blocks: &[(u64, bool)]) -> Backlog {
        let blocks: VecDeque<_> =
            blocks.iter().map(|(bytes, certified)| Waiting { bytes: *bytes, certified: *certified }).collect();
        Backlog { first: 5, bytes: blocks.iter().map(|waiting| waiting.bytes).sum(), blocks }
    }

    fn plan(blocks: &[(u64, bool)], capacity: usize, max_blocks: usize) -> Option<(Vec<u64>, bool)> {
        backlog(blocks).plan(|_| 7, capacity, max_blocks).map(|plan| (plan.ends, plan.full))
    }

    #[test]
    fn a_batch_ends_at_a_certificate_and_never_beyond_its_epoch() {
        assert_eq!(plan(&[(1, true), (1, false)], 1_000, 100), Some((vec![5], false)));
        assert_eq!(plan(&[(1, false), (1, false)], 1_000, 100), None, "no certificate, no batch");
        assert_eq!(plan(&[(1, true), (1, true), (1, true), (1, true)], 1_000, 100), Some((vec![7, 6, 5], true)));
    }

    #[test]
    fn a_full_batch_goes_without_waiting() {
        // 125 bytes are planned for a capacity of 100; the third block would exceed them.
        assert_eq!(plan(&[(60, true), (60, true), (60, true)], 100, 100), Some((vec![6, 5], true)));
        assert_eq!(plan(&[(1, true), (1, true), (1, true)], 100, 2), Some((vec![6, 5], true)));
        let waits = Plan { first: 5, ends: vec![5], full: false };
        assert_eq!((waits.due(9, 10), waits.due(10, 10)), (None, Some(Due::Age)));
        assert_eq!(Plan { full: true, ..waits }.due(0, 10), Some(Due::Full));
    }

    #[test]
    fn a_large_block_is_tried_alone_rather_than_never() {
        assert_eq!(plan(&[(900, false), (900, true), (1, true)], 100, 100), Some((vec![6], true)));
    }
}
