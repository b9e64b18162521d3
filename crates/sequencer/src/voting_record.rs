//! What a node remembers of having voted, and whether that is enough to vote in an epoch.
//!
//! The vote journal of an epoch is the only memory of what was voted in it. Beside the journals lies a marker: whose votes they
//! are, since when they are complete, and the newest epoch with one. A node votes in an epoch only if that cannot contradict a
//! vote it has forgotten:
//!
//! * an epoch up to the newest one voted in: if its journal is there;
//! * a later one: if it began after the record did.
//!
//! Otherwise it observes until the next epoch that qualifies. A record that is missing, or of another key or chain, begins anew, but not by
//! itself: when, and whether it is complete from the first epoch on, the committee's answers say ([`crate::inquiry`]).

use std::collections::BTreeSet;

use alloy_primitives::B256;
use commonware_runtime::{Clock, Metrics, Storage};
use commonware_storage::metadata::{self, Metadata};
use commonware_utils::sequence::U64;
use oceanid_primitives::MAX_COMMITTEE;

/// Since when a record is complete that began with its chain.
const WHOLE: u64 = 0;
/// Keys of the marker and of the signers in their store.
const MARKER: U64 = U64::new(0);
const SIGNERS: U64 = U64::new(1);
/// Longest marker, bytes: owner, since (u64), newest epoch (u64, absent before the first vote), big endian.
const MARKER_BYTES: usize = 48;

/// Longest list of signers, bytes: owner, then the position of each (u16, big endian).
const SIGNERS_BYTES: usize = 32 + 2 * MAX_COMMITTEE;

/// The marker of this node, and who is known to have signed something in the first epoch: for that the node answers others that have lost
/// theirs, also after it was restarted.
pub(crate) struct VotingRecord<E: Clock + Storage + Metrics> {
    /// None only after a failed write, which is fatal.
    store: Option<Metadata<E, U64, Vec<u8>>>,
    owner: B256,
    marker: Option<Marker>,
    signers: BTreeSet<u32>,
}

/// A record that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marker {
    /// Epochs that begin later than this are in it whole; seconds since 1970.
    since: u64,
    /// The newest epoch with a vote.
    newest: Option<u64>,
}

impl<E: Clock + Storage + Metrics> VotingRecord<E> {
    /// Opens the marker in `partition`. `owner` names key and chain: the record of another has not begun for this one.
    pub(crate) async fn open(context: E, partition: String, owner: B256) -> Result<Self, metadata::Error> {
        let config = metadata::Config { partition, codec_config: ((0..=MARKER_BYTES.max(SIGNERS_BYTES)).into(), ()) };
        let store = Metadata::init(context, config).await?;
        let marker = store.get(&MARKER).and_then(|marker: &Vec<u8>| decode(marker, owner));
        let signers = store.get(&SIGNERS).and_then(|list: &Vec<u8>| decode_signers(list, owner)).unwrap_or_default();
        Ok(Self { store: Some(store), owner, marker, signers })
    }

    /// Whether there is a record.
    pub(crate) const fn has_begun(&self) -> bool {
        self.marker.is_some()
    }

    /// Whether it began with the chain.
    pub(crate) fn is_whole(&self) -> bool {
        self.marker.is_some_and(|marker| marker.since == WHOLE)
    }

    /// Whether nothing that others say changes what it covers.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_whole() || self.has_votes()
    }

    /// Positions of the members of the first committee that are known to have signed something in the first epoch.
    pub(crate) const fn signers(&self) -> &BTreeSet<u32> {
        &self.signers
    }

    /// Notes those. Durable on return.
    pub(crate) async fn note_signers(&mut self, signers: BTreeSet<u32>) -> Result<(), metadata::Error> {
        if self.signers.is_superset(&signers) {
            return Ok(());
        }
        self.signers.extend(signers);
        let positions = self.signers.iter().filter_map(|position| u16::try_from(*position).ok());
        let list = self.owner.0.into_iter().chain(positions.flat_map(u16::to_be_bytes)).collect();
        self.put(SIGNERS, list).await
    }

    /// Whether it holds a vote.
    pub(crate) fn has_votes(&self) -> bool {
        self.marker.is_some_and(|marker| marker.newest.is_some())
    }

    /// Begins the record of a node that has never voted on this chain. Durable on return.
    pub(crate) async fn begin_with_the_chain(&mut self) -> Result<(), metadata::Error> {
        self.write(Marker { since: WHOLE, newest: None }).await
    }

    /// Begins the record of a node that may have voted before `since`, seconds since 1970. Durable on return.
    pub(crate) async fn begin(&mut self, since: u64) -> Result<(), metadata::Error> {
        self.write(Marker { since: since.max(WHOLE + 1), newest: None }).await
    }

    /// May this node vote in `epoch`, which began at `begun` (seconds)? `journal`: there is a journal of the epoch.
    pub(crate) fn allows(&self, epoch: u64, begun: u64, journal: bool) -> bool {
        match self.marker {
            None => false,
            Some(Marker { newest: Some(newest), .. }) if epoch <= newest => journal,
            Some(Marker { since, .. }) => since == WHOLE || begun > since,
        }
    }

    /// Notes, durable on return, that votes in `epoch` follow. [`Self::allows`] has allowed it.
    pub(crate) async fn note(&mut self, epoch: u64) -> Result<(), metadata::Error> {
        match self.marker {
            Some(marker) if marker.newest.is_none_or(|newest| newest < epoch) => {
                self.write(Marker { newest: Some(epoch), ..marker }).await
            }
            _ => Ok(()),
        }
    }

    async fn write(&mut self, marker: Marker) -> Result<(), metadata::Error> {
        let mut bytes = [self.owner.as_slice(), &marker.since.to_be_bytes()].concat();
        bytes.extend(marker.newest.into_iter().flat_map(u64::to_be_bytes));
        self.put(MARKER, bytes).await?;
        self.marker = Some(marker);
        Ok(())
    }

    async fn put(&mut self, key: U64, bytes: Vec<u8>) -> Result<(), metadata::Error> {
        if let Some(store) = self.store.take() {
            self.store = Some(store.put_sync(key, bytes).await?);
        }
        Ok(())
    }
}

/// A marker of `owner`.
fn decode(marker: &[u8], owner: B256) -> Option<Marker> {
    let (found, rest) = marker.split_first_chunk::<32>()?;
    let (since, newest) = rest.split_first_chunk::<8>()?;
    let newest = if newest.is_empty() { None } else { Some(u64::from_be_bytes(newest.try_into().ok()?)) };
    (*found == owner.0).then_some(Marker { since: u64::from_be_bytes(*since), newest })
}

/// Positions in a list of `owner`.
fn decode_signers(list: &[u8], owner: B256) -> Option<BTreeSet<u32>> {
    let (found, rest) = list.split_first_chunk::<32>()?;
    let (positions, []) = rest.as_chunks::<2>() else { return None };
    (*found == owner.0).then(|| positions.iter().map(|position| u32::from(u16::from_be_bytes(*position))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_runtime::{Runner as _, Supervisor as _, deterministic};

    const OWNER: B256 = B256::repeat_byte(1);

    #[test]
    fn votes_only_where_no_earlier_vote_can_be_forgotten() {
        deterministic::Runner::default().start(|context| async move {
            let open = |name: &'static str, owner| VotingRecord::open(context.child(name), "voting".into(), owner);
            // Nothing is known of votes before the record begins.
            let mut record = open("first", OWNER).await.unwrap();
            assert!(!record.has_begun() && !record.allows(0, u64::MAX, true));
            drop(record);
            record = open("second", OWNER).await.unwrap();
            assert!(!record.has_begun(), "opening begins nothing");
            record.begin(90_010).await.unwrap();
            assert!(!record.allows(7, 90_010, true) && record.allows(8, 90_011, false) && !record.has_votes());
            record.note(8).await.unwrap();
            assert!(record.has_votes());
            assert!(record.allows(8, 0, true) && !record.allows(8, 90_011, false), "with its journal, not without");
            drop(record);
            // What was noted holds after a restart, however late.
            let record = open("again", OWNER).await.unwrap();
            assert!(record.allows(8, 0, true) && !record.allows(8, 0, false) && record.allows(9, 90_500, false));
            drop(record);
            let mut other = open("foreign", B256::repeat_byte(2)).await.unwrap();
            assert!(!other.has_begun());
            other.begin(96_010).await.unwrap();
            assert!(!other.allows(8, 0, true) && !other.allows(9, 90_500, false) && other.allows(10, 96_011, false));
        });
    }

    #[test]
    fn a_record_that_begins_with_the_chain_is_complete() {
        deterministic::Runner::default().start(|context| async move {
            let open = |name: &'static str| VotingRecord::open(context.child(name), "voting".into(), OWNER);
            let mut record = open("new").await.unwrap();
            record.begin_with_the_chain().await.unwrap();
            record.note_signers([3, 1].into()).await.unwrap();
            record.note_signers([1].into()).await.unwrap();
            drop(record);
            let record = open("again").await.unwrap();
            assert!(record.is_whole() && *record.signers() == [1, 3].into());
            assert!(record.allows(0, 0, false) && record.allows(1, 0, false), "whatever the first timestamps are");
            drop(record);
            let other = VotingRecord::open(context.child("foreign"), "voting".into(), B256::ZERO).await.unwrap();
            assert!(!other.is_whole() && other.signers().is_empty());
        });
    }

    #[test]
    fn a_clock_at_zero_begins_no_whole_record() {
        deterministic::Runner::default().start(|context| async move {
            let mut record = VotingRecord::open(context.child("zero"), "voting".into(), OWNER).await.unwrap();
            record.begin(0).await.unwrap();
            assert!(!record.allows(0, 0, false));
        });
    }
}
