//! The backlog, and where the next batch ends.

use crate::account::Fees;
use crate::chain::extension;
use crate::{ChainError, SettledChain};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip4844::DATA_GAS_PER_BLOB;
use oceanid_da::{Batch, BatchBlock, CALLDATA_BYTES, MAX_BATCH_BYTES, MAX_BLOBS, blob_capacity};
use oceanid_primitives::{DaMode, SealedBlock};
use std::collections::VecDeque;

/// Encoded data is about this many times smaller than the transactions: batches are planned by it, then measured.
const EXPECTED_RATIO_PERCENT: u64 = 125;
/// Gas of a byte of calldata at the floor price of EIP-7623: nearly every byte of a batch is not zero.
const CALLDATA_GAS_PER_BYTE: u128 = 40;

/// Committed blocks that are not on L1.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Number of the first one.
    first: u64,
    blocks: VecDeque<Waiting>,
    bytes: u64,
    gas: u64,
}

/// What planning needs to know of a waiting block.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// Bytes of its transactions, deposits left out.
    bytes: u64,
    /// Gas used: what its execution may cost a follower in memory is bounded by it.
    gas: u64,
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

/// How large a batch may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of encoded data.
    pub(super) capacity: usize,
    pub(super) blocks: usize,
    pub(super) gas: u64,
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
            self.gas -= gone.gas;
            self.first += 1;
        }
        if self.blocks.is_empty() {
            self.first = posted + 1;
        }
        for number in self.next()..=chain.head() {
            let block = chain.block(number)?;
            let waiting = Waiting {
                bytes: transaction_bytes(&block),
                gas: block.header().gas_used,
                certified: chain.certificate(number)?.is_some(),
            };
            self.bytes += waiting.bytes;
            self.gas += waiting.gas;
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

    pub(super) const fn gas(&self) -> u64 {
        self.gas
    }

    /// The next batch: from the first waiting block, up to the end of its epoch as `epoch_end` has it, within the limits. None while
    /// no block has a certificate.
    pub(super) fn plan(&self, epoch_end: impl Fn(u64) -> u64, limits: Limits) -> Option<Plan> {
        let first = self.first;
        let epoch_end = epoch_end(first);
        let room = (limits.capacity as u64 * EXPECTED_RATIO_PERCENT / 100).min(MAX_BATCH_BYTES as u64);
        let mut ends = Vec::new();
        let (mut bytes, mut gas) = (0u64, 0u64);
        let mut full = false;
        for (waiting, number) in self.blocks.iter().zip(first..) {
            bytes += waiting.bytes;
            gas += waiting.gas;
            let over = bytes > room || gas > limits.gas || number - first >= limits.blocks as u64;
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

/// Calldata or blobs, whichever costs less at these prices. Calldata where the data does not fit is no choice.
pub(super) fn cheapest(bytes: usize, prices: &Fees) -> DaMode {
    if bytes > CALLDATA_BYTES {
        return DaMode::Blob;
    }
    let calldata = CALLDATA_GAS_PER_BYTE.saturating_mul(bytes as u128).saturating_mul(prices.max);
    let blobs = (1..=MAX_BLOBS).find(|blobs| blob_capacity(*blobs) >= bytes).unwrap_or(MAX_BLOBS) as u128;
    let blob = (blobs * u128::from(DATA_GAS_PER_BLOB)).saturating_mul(prices.blob);
    if calldata <= blob { DaMode::Calldata } else { DaMode::Blob }
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

    /// Gas of each block of a test's backlog.
    const GAS: u64 = 1_000;

    /// A backlog from block 5 on, with epochs of eight blocks: (bytes, certified) each.
    fn backlog(blocks: &[(u64, bool)]) -> Backlog {
        let blocks: VecDeque<_> =
            blocks.iter().map(|(bytes, certified)| Waiting { bytes: *bytes, gas: GAS, certified: *certified }).collect();
        Backlog { first: 5, bytes: blocks.iter().map(|waiting| waiting.bytes).sum(), gas: GAS * blocks.len() as u64, blocks }
    }

    fn plan(blocks: &[(u64, bool)], capacity: usize, max_blocks: usize) -> Option<(Vec<u64>, bool)> {
        plan_within(blocks, Limits { capacity, blocks: max_blocks, gas: u64::MAX })
    }

    fn plan_within(blocks: &[(u64, bool)], limits: Limits) -> Option<(Vec<u64>, bool)> {
        backlog(blocks).plan(|_| 7, limits).map(|plan| (plan.ends, plan.full))
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
        let limits = Limits { capacity: 1_000, blocks: 100, gas: 2 * GAS };
        assert_eq!(plan_within(&[(1, true), (1, true), (1, true)], limits), Some((vec![6, 5], true)), "full by gas");
        let waits = Plan { first: 5, ends: vec![5], full: false };
        assert_eq!((waits.due(9, 10), waits.due(10, 10)), (None, Some(Due::Age)));
        assert_eq!(Plan { full: true, ..waits }.due(0, 10), Some(Due::Full));
    }

    #[test]
    fn the_cheapest_mode_follows_the_prices() {
        let prices = |max, blob| Fees { max, tip: 1, blob };
        // One blob costs 131,072 blob gas whatever it holds; 1,000 bytes of calldata cost 40,000 gas.
        assert_eq!(cheapest(1_000, &prices(10, 10)), DaMode::Calldata);
        assert_eq!(cheapest(1_000, &prices(40, 10)), DaMode::Blob);
        assert_eq!(cheapest(4_000, &prices(10, 10)), DaMode::Blob);
        // A second blob doubles the price of blobs: 100 KiB are 1, what fits calldata never needs a second one.
        assert_eq!(cheapest(CALLDATA_BYTES, &prices(1, 37)), DaMode::Blob);
        assert_eq!(cheapest(CALLDATA_BYTES, &prices(1, 38)), DaMode::Calldata);
        assert_eq!(cheapest(CALLDATA_BYTES + 1, &prices(0, 1_000)), DaMode::Blob, "it does not fit calldata");
        assert_eq!(cheapest(1, &prices(u128::MAX, u128::MAX)), DaMode::Calldata, "prices beyond reason do not overflow");
    }

    #[test]
    fn a_large_block_is_tried_alone_rather_than_never() {
        assert_eq!(plan(&[(900, false), (900, true), (1, true)], 100, 100), Some((vec![6], true)));
    }
}
