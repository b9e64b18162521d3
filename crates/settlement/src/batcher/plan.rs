//! The backlog, and where the next batch ends.

use crate::chain::extension;
use crate::{ChainError, SettledChain};
use alloy_eips::eip2718::Encodable2718;
use oceanid_da::{Batch, BatchBlock};
use oceanid_primitives::{ChainSpec, SealedBlock};
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

    const fn first(&self) -> u64 {
        self.first
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

    /// The next batch: from the first waiting block, within its epoch, within the limits. None while no block has a certificate.
    pub(super) fn plan(&self, spec: &ChainSpec, capacity: usize, max_blocks: usize) -> Option<Plan> {
        let first = self.first();
        let epoch_end = spec.last_block_of(spec.epoch_of(first));
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
