//! Epochs: which one a block is in, and the recoveries on L1 that begin new ones.
//!
//! `epoch(n) = n / length + RECOVERY_EPOCHS * recoveries whose after_block < n`. An epoch ends at the last block of its `length` blocks, or
//! at the block after which L1 replaced its committee. Numbers that a recovery passes over hold no block, so that no vote of the replaced
//! committee, which may have gone on behind the last posted block, can meet one of its successor.

use crate::{Committee, L1Origin};
use alloc::vec::Vec;
use alloy_primitives::B256;

/// Epoch numbers that a recovery passes over, as `Rollup.RECOVERY_EPOCHS`: more than a committee can have used behind the last posted block.
pub const RECOVERY_EPOCHS: u64 = 1_000_000_000;

/// `Rollup` gave up on a committee that had stopped posting: the chain goes on after the last posted block with the newest one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Recovery {
    /// Sequential number given by `Rollup`, from 1.
    pub index: u64,
    /// The last block L1 had accepted.
    pub after_block: u64,
    /// Its hash.
    pub head_hash: B256,
    /// The committee of the blocks that follow.
    pub committee: Committee,
    /// The L1 block of the event.
    pub l1: L1Origin,
    /// That block's time, seconds since 1970.
    pub timestamp: u64,
}

/// The epochs of a chain: their length and the recoveries so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epochs {
    length: u64,
    recoveries: Vec<Recovery>,
}

/// A recovery that does not continue the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// One before it is missing.
    #[error("recovery {index} was announced, recovery {expected} is not known yet")]
    Gap {
        /// Its number.
        index: u64,
        /// The number that comes next.
        expected: u64,
    },
    /// Another recovery of that number is known: two views of L1.
    #[error("recovery {0} is not the one known under that number: L1 has another history")]
    Differs(u64),
    /// It begins before the one before it.
    #[error("recovery {index} is after block {after_block}, the one before it after block {previous}")]
    Backwards {
        /// Its number.
        index: u64,
        /// Where it begins.
        after_block: u64,
        /// Where the one before it begins.
        previous: u64,
    },
}

impl Epochs {
    /// Epochs of `length` blocks (at least 1) without recoveries.
    pub const fn new(length: u64) -> Self {
        Self { length, recoveries: Vec::new() }
    }

    /// Takes on the next recovery; false if it is known already.
    pub fn admit(&mut self, recovery: &Recovery) -> Result<bool, RecoveryError> {
        let (index, known) = (recovery.index, self.recoveries.len() as u64);
        if let Some(same) = index.checked_sub(1).and_then(|at| self.recoveries.get(usize::try_from(at).ok()?)) {
            return if same == recovery { Ok(false) } else { Err(RecoveryError::Differs(index)) };
        }
        if index != known + 1 {
            return Err(RecoveryError::Gap { index, expected: known + 1 });
        }
        if let Some(last) = self.recoveries.last()
            && recovery.after_block < last.after_block
        {
            return Err(RecoveryError::Backwards { index, after_block: recovery.after_block, previous: last.after_block });
        }
        self.recoveries.push(recovery.clone());
        Ok(true)
    }

    /// The recoveries so far, oldest first.
    pub fn recoveries(&self) -> &[Recovery] {
        &self.recoveries
    }

    /// Epoch of a block.
    pub fn of(&self, number: u64) -> u64 {
        let recoveries = self.recoveries.partition_point(|recovery| recovery.after_block < number) as u64;
        (number / self.length).saturating_add(RECOVERY_EPOCHS.saturating_mul(recoveries))
    }

    /// First and last block of an epoch; none for an epoch that holds no block.
    pub fn blocks(&self, epoch: u64) -> Option<(u64, u64)> {
        // Between two recoveries the count of those before a block is constant, and the epoch follows from its number.
        (0..=self.recoveries.len()).find_map(|count| {
            let from = count.checked_sub(1).map_or(0, |before| self.recoveries[before].after_block + 1);
            let to = self.recoveries.get(count).map_or(u64::MAX, |next| next.after_block);
            let first = epoch.checked_sub(RECOVERY_EPOCHS.checked_mul(count as u64)?)?.checked_mul(self.length)?;
            let (first, last) = (first.max(from), first.saturating_add(self.length - 1).min(to));
            (first <= last).then_some((first, last))
        })
    }

    /// The epoch that ends right before one that holds blocks; none before the first, and for one without blocks.
    pub fn before(&self, epoch: u64) -> Option<u64> {
        let (first, _) = self.blocks(epoch)?;
        Some(self.of(first.checked_sub(1)?))
    }

    /// The epoch that begins right after one that holds blocks; none for one without.
    pub fn after(&self, epoch: u64) -> Option<u64> {
        let (_, last) = self.blocks(epoch)?;
        Some(self.of(last.checked_add(1)?))
    }

    /// This epoch if it holds blocks, else the next one that does.
    pub fn at_or_after(&self, epoch: u64) -> Option<u64> {
        if self.blocks(epoch).is_some() {
            return Some(epoch);
        }
        // Empty ones lie before a recovery's only.
        self.recoveries.iter().map(|recovery| self.of(recovery.after_block + 1)).find(|begun| *begun >= epoch)
    }

    /// Last block of the epoch that a block is in.
    pub fn end_of(&self, number: u64) -> u64 {
        let end = (number / self.length).saturating_add(1).saturating_mul(self.length) - 1;
        let next = self.recoveries.partition_point(|recovery| recovery.after_block < number);
        self.recoveries.get(next).map_or(end, |recovery| end.min(recovery.after_block))
    }

    /// Whether a block is the first of its epoch.
    pub fn begins(&self, number: u64) -> bool {
        number.is_multiple_of(self.length) || self.recovery_before(number).is_some()
    }

    /// The newest recovery right after whose block `number` comes.
    pub fn recovery_before(&self, number: u64) -> Option<&Recovery> {
        let before = self.recoveries.partition_point(|recovery| recovery.after_block < number).checked_sub(1)?;
        self.recoveries.get(before).filter(|recovery| recovery.after_block + 1 == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    pub(crate) fn recovery(index: u64, after_block: u64) -> Recovery {
        Recovery {
            index,
            after_block,
            head_hash: B256::with_last_byte(after_block as u8),
            committee: Committee { id: index + 10, seed: B256::ZERO, members: vec![] },
            l1: L1Origin::default(),
            timestamp: 0,
        }
    }

    fn epochs(after_blocks: &[u64]) -> Epochs {
        let mut epochs = Epochs::new(10);
        for (at, after_block) in after_blocks.iter().enumerate() {
            assert_eq!(epochs.admit(&recovery(at as u64 + 1, *after_block)), Ok(true));
        }
        epochs
    }

    #[test]
    fn without_recoveries_epochs_are_counted_in_blocks() {
        let epochs = epochs(&[]);
        assert_eq!([0, 9, 10, 25].map(|number| epochs.of(number)), [0, 0, 1, 2]);
        assert_eq!((epochs.blocks(2), epochs.end_of(25)), (Some((20, 29)), 29));
        assert!(epochs.begins(0) && epochs.begins(20) && !epochs.begins(21));
        assert_eq!(epochs.recovery_before(20), None);
    }

    #[test]
    fn a_recovery_ends_an_epoch_early() {
        let epochs = epochs(&[14]);
        const NEW: u64 = RECOVERY_EPOCHS;
        assert_eq!([14, 15, 19, 20].map(|number| epochs.of(number)), [1, NEW + 1, NEW + 1, NEW + 2]);
        assert_eq!(
            [1, 2, NEW, NEW + 1, NEW + 2].map(|epoch| epochs.blocks(epoch)),
            [Some((10, 14)), None, None, Some((15, 19)), Some((20, 29))]
        );
        assert_eq!([0, 1, 2, NEW + 1].map(|epoch| epochs.after(epoch)), [Some(1), Some(NEW + 1), None, Some(NEW + 2)]);
        assert_eq!([0, 1, 2, NEW + 1].map(|epoch| epochs.before(epoch)), [None, Some(0), None, Some(1)]);
        let next = [1, 2, NEW, NEW + 1, NEW + 2].map(|epoch| epochs.at_or_after(epoch));
        assert_eq!(next, [1, NEW + 1, NEW + 1, NEW + 1, NEW + 2].map(Some));
        assert_eq!((epochs.end_of(12), epochs.end_of(15)), (14, 19));
        assert!(epochs.begins(15) && !epochs.begins(16));
        assert_eq!(epochs.recovery_before(15).map(|recovery| recovery.index), Some(1));
    }

    #[test]
    fn recoveries_at_one_place_or_at_an_end_leave_epochs_empty() {
        let twice = epochs(&[14, 14]);
        assert_eq!([14, 15].map(|number| twice.of(number)), [1, 2 * RECOVERY_EPOCHS + 1]);
        let found = [1, RECOVERY_EPOCHS + 1, 2 * RECOVERY_EPOCHS + 1].map(|epoch| twice.blocks(epoch));
        assert_eq!(found, [Some((10, 14)), None, Some((15, 19))]);
        assert_eq!(twice.after(1), Some(2 * RECOVERY_EPOCHS + 1));
        assert_eq!(twice.at_or_after(2), Some(2 * RECOVERY_EPOCHS + 1));
        assert_eq!(twice.recovery_before(15).map(|recovery| recovery.index), Some(2));
        let at_the_end = epochs(&[19]);
        assert_eq!([19, 20].map(|number| at_the_end.of(number)), [1, RECOVERY_EPOCHS + 2]);
        assert_eq!([2, RECOVERY_EPOCHS + 2].map(|epoch| at_the_end.blocks(epoch)), [None, Some((20, 29))]);
    }

    #[test]
    fn blocks_and_epochs_agree_everywhere() {
        let epochs = epochs(&[0, 14, 14, 19, 27, 40]);
        for number in 0..100 {
            let (first, last) = epochs.blocks(epochs.of(number)).expect("the epoch of a block holds it");
            assert!(first <= number && number <= last, "block {number} of {first}..={last}");
            assert_eq!(last, epochs.end_of(number));
            assert_eq!(first == number, epochs.begins(number), "block {number}");
        }
    }

    #[test]
    fn the_list_is_in_order_and_never_rewritten() {
        let mut epochs = epochs(&[14]);
        assert_eq!(epochs.admit(&recovery(1, 14)), Ok(false));
        assert_eq!(epochs.admit(&recovery(1, 15)), Err(RecoveryError::Differs(1)));
        assert_eq!(epochs.admit(&recovery(3, 20)), Err(RecoveryError::Gap { index: 3, expected: 2 }));
        assert_eq!(epochs.admit(&recovery(0, 20)), Err(RecoveryError::Gap { index: 0, expected: 2 }));
        let backwards = RecoveryError::Backwards { index: 2, after_block: 13, previous: 14 };
        assert_eq!(epochs.admit(&recovery(2, 13)), Err(backwards));
        assert_eq!(epochs.recoveries().len(), 1);
    }
}
