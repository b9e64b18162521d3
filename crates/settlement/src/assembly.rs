//! Data in parts: which postings make up one batch's data together.
//!
//! The rule every reader follows, in the order of L1. A posting belongs to the set of its poster and its number of parts. A later
//! posting of the same part replaces the earlier one. The posting that makes a set whole makes it a candidate: the parts' data, one
//! after the other. The set is then empty again, so that each candidate costs its poster all of its parts. The data of `submitBatch`
//! itself is a candidate alone.

use crate::Posting;
use alloy_primitives::Address;
use oceanid_da::{MAX_BATCH_BYTES, MAX_BLOBS, blob_capacity};
use std::collections::BTreeMap;

/// `Rollup.daMode` of a batch whose data follows in parts.
pub const DA_NONE: u8 = 255;
/// Most parts of one batch's data; `Rollup` refuses more.
pub const MAX_PARTS: u16 = 64;

const _: () = assert!(
    MAX_PARTS as usize * blob_capacity(MAX_BLOBS) > MAX_BATCH_BYTES / 4 * 5,
    "every batch can be posted in blobs, even if nothing compresses"
);

/// The open sets of one batch. Each entry was paid for on L1.
#[derive(Clone, Debug, Default)]
pub struct Assembly(BTreeMap<(Address, u16), BTreeMap<u16, Posting>>);

impl Assembly {
    /// Takes in the next posting of the batch; gives the candidate it completes, its parts in order.
    pub fn take(&mut self, posting: &Posting) -> Option<Vec<Posting>> {
        if posting.da_mode == DA_NONE {
            return None;
        }
        if posting.parts == 1 {
            return Some(vec![posting.clone()]);
        }
        let key = (posting.poster, posting.parts);
        let set = self.0.entry(key).or_default();
        set.insert(posting.part, posting.clone());
        if set.len() < usize::from(posting.parts) {
            return None;
        }
        self.0.remove(&key).map(|set| set.into_values().collect())
    }

    /// Most parts that one poster has posted of a set that is not whole.
    pub fn progress(&self) -> usize {
        self.0.values().map(BTreeMap::len).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::B256;
    use oceanid_primitives::L1Origin;

    const ALICE: Address = Address::repeat_byte(1);
    const MALLORY: Address = Address::repeat_byte(2);

    /// Part `part` of `parts`; `mark` tells it from others.
    fn part(poster: Address, part: u16, parts: u16, mark: u8) -> Posting {
        Posting {
            index: 1,
            batch: None,
            poster,
            part,
            parts,
            da_mode: 0,
            commitment: B256::repeat_byte(mark),
            transaction: B256::repeat_byte(mark),
            l1: L1Origin::default(),
            l1_timestamp: 0,
        }
    }

    fn marks(candidate: Option<Vec<Posting>>) -> Option<Vec<u8>> {
        candidate.map(|parts| parts.iter().map(|part| part.commitment.0[0]).collect())
    }

    #[test]
    fn parts_in_any_order_make_one_candidate() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.take(&part(ALICE, 2, 3, 12)), None);
        assert_eq!(assembly.take(&part(ALICE, 0, 3, 10)), None);
        assert_eq!(assembly.progress(), 2);
        assert_eq!(marks(assembly.take(&part(ALICE, 1, 3, 11))), Some(vec![10, 11, 12]));
        assert_eq!(assembly.progress(), 0, "the next candidate costs all parts again");
        assert_eq!(marks(assembly.take(&part(ALICE, 0, 1, 7))), Some(vec![7]));
    }

    #[test]
    fn strangers_cannot_meddle_with_a_set() {
        let mut assembly = Assembly::default();
        assembly.take(&part(ALICE, 0, 2, 10));
        assert_eq!(assembly.take(&part(MALLORY, 1, 2, 66)), None);
        assert_eq!(assembly.take(&part(MALLORY, 1, 3, 66)), None);
        assert_eq!(marks(assembly.take(&part(ALICE, 1, 2, 11))), Some(vec![10, 11]));
        assert_eq!(marks(assembly.take(&part(MALLORY, 0, 2, 67))), Some(vec![67, 66]));
    }

    #[test]
    fn a_poster_that_begins_again_or_splits_anew_completes() {
        let mut assembly = Assembly::default();
        assembly.take(&part(ALICE, 0, 3, 1));
        assembly.take(&part(ALICE, 0, 2, 10));
        assembly.take(&part(ALICE, 0, 3, 2));
        assembly.take(&part(ALICE, 1, 3, 3));
        assert_eq!(marks(assembly.take(&part(ALICE, 2, 3, 4))), Some(vec![2, 3, 4]));
        assert_eq!(marks(assembly.take(&part(ALICE, 1, 2, 11))), Some(vec![10, 11]));
    }

    #[test]
    fn an_announcement_holds_nothing() {
        let announced = Posting { da_mode: DA_NONE, ..part(Address::ZERO, 0, 1, 0) };
        assert_eq!(Assembly::default().take(&announced), None);
    }
}
