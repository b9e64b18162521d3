//! The log index: which blocks hold logs of a contract or under a topic. It is written with the blocks, in the flush's batch.
//!
//! An entry is a block number under 64 bits of a hash. So the answer may name a block without such a log, and never leaves one out.

use crate::{
    Store, StoreError,
    engine::{Snapshot, Table},
    keys,
};
use alloy_primitives::{Address, B256, keccak256, map::HashSet};
use oceanid_primitives::Receipt;

/// Most blocks of one look into the index.
pub const LOG_SECTION: u64 = 1_024;

/// What a log can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogKey {
    /// Being there.
    Any,
    /// The contract that logged.
    Address(Address),
    /// A topic at its position, 0 to 3.
    Topic(u8, B256),
}

/// The place of a key in the index.
pub(crate) type LogDigest = [u8; 8];

impl LogKey {
    /// Topics are callers' to choose: hashed, none is a prefix of another, and finding two of a digest only costs a look at a block.
    fn digest(&self) -> LogDigest {
        let mut bytes = [0; 1 + 32];
        match self {
            Self::Any => {}
            Self::Address(address) => {
                bytes[0] = 1;
                bytes[1..21].copy_from_slice(address.as_slice());
            }
            Self::Topic(position, topic) => {
                bytes[0] = 2 + position;
                bytes[1..].copy_from_slice(topic.as_slice());
            }
        }
        keccak256(bytes)[..8].try_into().expect("eight bytes")
    }
}

/// Digests of everything the logs of a block can be found by, each once.
pub(crate) fn digests(receipts: &[Receipt]) -> HashSet<LogDigest> {
    let mut keys = HashSet::<LogKey>::default();
    for log in receipts.iter().flat_map(|receipt| &receipt.logs) {
        keys.insert(LogKey::Any);
        keys.insert(LogKey::Address(log.address));
        keys.extend((0..).zip(log.data.topics()).map(|(position, topic)| LogKey::Topic(position, *topic)));
    }
    keys.iter().map(LogKey::digest).collect()
}

/// What blocks are searched for.
#[derive(Clone, Debug)]
pub struct LogQuery(Vec<Vec<LogDigest>>);

impl LogQuery {
    /// Blocks that hold, for every one of `conditions`, a log with one of its keys; without conditions, blocks that hold logs.
    pub fn new(conditions: &[Vec<LogKey>]) -> Self {
        if conditions.is_empty() {
            return Self(vec![vec![LogKey::Any.digest()]]);
        }
        Self(conditions.iter().map(|keys| keys.iter().map(LogKey::digest).collect()).collect())
    }
}

/// A bit for each block of a section.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Section([u64; LOG_SECTION as usize / 64]);

impl Section {
    const EMPTY: Self = Self([0; LOG_SECTION as usize / 64]);

    fn insert(&mut self, place: u64) {
        self.0[(place / 64) as usize] |= 1 << (place % 64);
    }

    const fn contains(&self, place: u64) -> bool {
        (self.0[(place / 64) as usize] >> (place % 64)) & 1 == 1
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    fn intersect(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word &= other);
    }
}

impl Store {
    /// Numbers of the committed blocks from `first` to `last` that may be what a query searches for, ascending. Looks at
    /// [`LOG_SECTION`] numbers at most. Of blocks that are not flushed yet, all with logs are named.
    pub fn log_blocks(&self, query: &LogQuery, first: u64, last: u64) -> Result<Vec<u64>, StoreError> {
        let last = last.min(first.saturating_add(LOG_SECTION - 1));
        let (snapshot, flushed, unflushed) = {
            let tip = self.shared.tip.read();
            let asked = tip.committed.iter().filter(|committed| (first..=last).contains(&committed.executed.number()));
            let with_logs =
                asked.filter(|committed| committed.executed.content().receipts.iter().any(|receipt| !receipt.logs.is_empty()));
            let unflushed: Vec<u64> = with_logs.map(|committed| committed.executed.number()).collect();
            (tip.base.snapshot.clone(), tip.base.flushed.number, unflushed)
        };
        let mut found = Vec::new();
        if first <= flushed {
            let last = last.min(flushed);
            let section = search(&snapshot, query, first, last)?;
            found.extend((first..=last).filter(|number| section.contains(number - first)));
        }
        found.extend(unflushed);
        Ok(found)
    }

    /// Are all logs of a flushed block with these receipts in the index?
    pub fn has_log_entries(&self, number: u64, receipts: &[Receipt]) -> Result<bool, StoreError> {
        let snapshot = self.flushed_base().snapshot.clone();
        for digest in digests(receipts) {
            if snapshot.get(Table::Index, &keys::logs(&digest, number))?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Bits of the blocks from `first` to `last` for which the index has an entry under each condition.
fn search(snapshot: &Snapshot, query: &LogQuery, first: u64, last: u64) -> Result<Section, StoreError> {
    let mut all: Option<Section> = None;
    for condition in &query.0 {
        let mut any = Section::EMPTY;
        for digest in condition {
            for entry in snapshot.range(Table::Index, &keys::logs(digest, first), &keys::logs(digest, last)) {
                let (key, _) = entry?;
                let number = key.get(1 + digest.len()..).ok_or_else(|| StoreError::damaged("log index", "short key"))?;
                any.insert(keys::decode_number(number)? - first);
            }
            if any.count() > last - first {
                break;
            }
        }
        match &mut all {
            Some(all) => all.intersect(&any),
            None => all = Some(any),
        }
        if all == Some(Section::EMPTY) {
            break;
        }
    }
    Ok(all.unwrap_or(Section::EMPTY))
}
