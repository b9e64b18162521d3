//! What a node remembers of having voted, and whether that is enough to vote in an epoch.
//!
//! The vote journal of an epoch is the only memory of what was voted in it. Beside the journals lies a marker: whose votes they
//! are, since when they are complete, and the newest epoch with one. A node votes in an epoch only if that cannot contradict a
//! vote it has forgotten:
//!
//! * an epoch up to the newest one voted in: if its journal is there;
//! * a later one: if it began after the record did.
//!
//! Otherwise it observes until the next epoch that qualifies. A record that is missing, or of another key or chain, begins anew.
//! One that begins with the chain is complete from the start: somebody has to vote first.

use std::time::Duration;

use alloy_primitives::B256;
use commonware_runtime::{Clock, Metrics, Storage};
use commonware_storage::metadata::{self, Metadata};
use commonware_utils::sequence::U64;

/// A chain is new for this long after its genesis, seconds.
const NEW_CHAIN_SECONDS: u64 = 600;
/// Since when a record is complete that began with its chain.
const WHOLE: u64 = 0;
/// Key of the marker in its store.
const MARKER: U64 = U64::new(0);
/// Longest marker, bytes: owner, since (u64), newest epoch (u64, absent before the first vote), big endian.
const MARKER_BYTES: usize = 48;

/// The marker of this node.
pub(crate) struct VotingRecord<E: Clock + Storage + Metrics> {
    /// None only after a failed write, which is fatal.
    store: Option<Metadata<E, U64, Vec<u8>>>,
    owner: B256,
    since: u64,
    newest: Option<u64>,
}

/// When a record that has to begin anew may count itself complete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning {
    /// This node's clock, seconds since 1970.
    pub(crate) now: u64,
    /// Two nodes' clocks, or a clock and a block's timestamp, differ by less than this.
    pub(crate) margin: Duration,
    /// Of the chain, seconds since 1970.
    pub(crate) genesis: u64,
}

impl Beginning {
    fn since(&self) -> u64 {
        if self.now <= self.genesis.saturating_add(NEW_CHAIN_SECONDS) { WHOLE } else { self.now + self.margin.as_secs() }
    }
}

impl<E: Clock + Storage + Metrics> VotingRecord<E> {
    /// Opens the marker in `partition`, or begins a record. `owner` names key and chain.
    pub(crate) async fn open(context: E, partition: String, owner: B256, beginning: Beginning) -> Result<Self, metadata::Error> {
        let config = metadata::Config { partition, codec_config: ((0..=MARKER_BYTES).into(), ()) };
        let store = Metadata::init(context, config).await?;
        let known = store.get(&MARKER).and_then(|marker: &Vec<u8>| decode(marker, owner));
        let (since, newest) = known.unwrap_or((beginning.since(), None));
        let mut record = Self { store: Some(store), owner, since, newest };
        if known.is_none() {
            record.write().await?;
        }
        Ok(record)
    }

    /// May this node vote in `epoch`, which began at `begun` (seconds)? `journal`: there is a journal of the epoch.
    pub(crate) fn allows(&self, epoch: u64, begun: u64, journal: bool) -> bool {
        match self.newest {
            Some(newest) if epoch <= newest => journal,
            _ => self.since == WHOLE || begun > self.since,
        }
    }

    /// Notes, durable on return, that votes in `epoch` follow.
    pub(crate) async fn note(&mut self, epoch: u64) -> Result<(), metadata::Error> {
        if self.newest.is_some_and(|newest| newest >= epoch) {
            return Ok(());
        }
        self.newest = Some(epoch);
        self.write().await
    }

    async fn write(&mut self) -> Result<(), metadata::Error> {
        let mut marker = [self.owner.as_slice(), &self.since.to_be_bytes()].concat();
        marker.extend(self.newest.into_iter().flat_map(u64::to_be_bytes));
        if let Some(store) = self.store.take() {
            self.store = Some(store.put_sync(MARKER, marker).await?);
        }
        Ok(())
    }
}

/// Since and newest epoch of a marker of `owner`.
fn decode(marker: &[u8], owner: B256) -> Option<(u64, Option<u64>)> {
    let (found, rest) = marker.split_first_chunk::<32>()?;
    let (since, newest) = rest.split_first_chunk::<8>()?;
    let newest = if newest.is_empty() { None } else { Some(u64::from_be_bytes(newest.try_into().ok()?)) };
    (*found == owner.0).then_some((u64::from_be_bytes(*since), newest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_runtime::{Runner as _, Supervisor as _, deterministic};

    const OWNER: B256 = B256::repeat_byte(1);

    #[test]
    fn votes_only_where_no_earlier_vote_can_be_forgotten() {
        deterministic::Runner::default().start(|context| async move {
            let open = |name: &'static str, owner, now| {
                let beginning = Beginning { now, margin: Duration::from_secs(10), genesis: 5_000 };
                VotingRecord::open(context.child(name), "voting".into(), owner, beginning)
            };
            // Nothing is known of votes before the start.
            let mut record = open("first", OWNER, 90_000).await.unwrap();
            assert!(!record.allows(7, 90_010, true) && record.allows(8, 90_011, false));
            record.note(8).await.unwrap();
            assert!(record.allows(8, 0, true) && !record.allows(8, 90_011, false), "with its journal, not without");
            drop(record);
            // What was noted holds after a restart, however late.
            let record = open("again", OWNER, 95_000).await.unwrap();
            assert!(record.allows(8, 0, true) && !record.allows(8, 0, false) && record.allows(9, 90_500, false));
            drop(record);
            let other = open("foreign", B256::repeat_byte(2), 96_000).await.unwrap();
            assert!(!other.allows(8, 0, true) && !other.allows(9, 90_500, false) && other.allows(10, 96_011, false));
        });
    }

    #[test]
    fn a_record_that_begins_with_the_chain_is_complete() {
        deterministic::Runner::default().start(|context| async move {
            let beginning = Beginning { now: 5_600, margin: Duration::from_secs(10), genesis: 5_000 };
            let record = VotingRecord::open(context.child("new"), "voting".into(), OWNER, beginning).await.unwrap();
            assert!(record.allows(0, 0, false) && record.allows(1, 0, false), "whatever the first timestamps are");
        });
    }
}
