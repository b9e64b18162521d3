//! The watcher: this node's own view of L1, block by block, safe against reorganisations.
//!
//! An actor ([`actor`]) follows the head of L1 by number, checks that each block names the one before as its parent, and takes the
//! logs of `Portal` and `Rollup` by block hash. Where the parent does not match it steps back, so what [`L1Watcher`] shows is
//! always one chain. A block is shown as an origin only once it is deep enough: `timing.originDepth` blocks under the tip, or
//! finalised by L1 where the specification gives no depth.
//!
//! Memory: a window of [`MAX_WINDOW`] blocks above the oldest one still needed ([`L1Watcher::prune_below`]). When it is full
//! the watcher waits and says so; nothing older than the committed head's origin is ever needed again.

mod actor;

use crate::{L1Client, L1Error, Posting, Task};
use alloy_primitives::B256;
use oceanid_primitives::{ChainSpec, L1Block, L1Origin, L1View, Recovery};
use parking_lot::RwLock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// L1 blocks kept in memory: twice what `Rollup` allows an origin to lag (8,191, EIP-2935), so that the batch of the oldest
/// needed origin is always within the window.
pub const MAX_WINDOW: usize = 16_384;

/// What one L1 block holds for this chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L1Entry {
    /// The block as derivation sees it.
    pub block: Arc<L1Block>,
    /// Postings of batch data, in log order.
    pub postings: Vec<Posting>,
    /// Recoveries of the chain, in log order.
    pub recoveries: Vec<Recovery>,
}

/// How the view of L1 stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct L1Status {
    /// Head of L1 as the endpoint last said, number.
    pub head: u64,
    /// Its hash; zero before the first contact.
    pub head_hash: B256,
    /// Hash of its parent.
    pub head_parent_hash: B256,
    /// Its time, seconds since 1970.
    pub head_timestamp: u64,
    /// Newest block taken in, number.
    pub tip: u64,
    /// Its time, seconds since 1970; 0 before the first contact.
    pub tip_timestamp: u64,
    /// Newest block that may be named as an origin.
    pub newest_origin: Option<L1Origin>,
    /// Blocks stepped back over since start, because L1 reorganised.
    pub reorganised: u64,
    /// Logs of `Portal` that are no deposits, since start.
    pub skipped_logs: u64,
    /// Failures since the last success.
    pub failures: u32,
    /// The last failure, if nothing has succeeded since.
    pub last_error: Option<String>,
    /// Why the view does not advance, if it does not, and what to do.
    pub waiting: Option<String>,
}

impl L1Status {
    /// Blocks between the endpoint's head and what was taken in.
    pub const fn lag(&self) -> u64 {
        self.head.saturating_sub(self.tip)
    }
}

/// Where the watcher begins and how often it looks.
#[derive(Clone, Debug)]
pub struct WatcherConfig {
    /// The first block needed: the origin of the committed head, or an older settlement cursor.
    pub anchor: L1Origin,
    /// Pause between two looks at L1.
    pub poll: Duration,
}

/// A view of L1. Cheap to clone; reading never blocks on L1.
#[derive(Clone, Debug)]
pub struct L1Watcher(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    window: RwLock<Window>,
    status: watch::Sender<L1Status>,
}

/// A contiguous run of L1 blocks and how much of it is deep.
#[derive(Debug, Default)]
struct Window {
    entries: VecDeque<Arc<L1Entry>>,
    /// Number of the newest deep block.
    deep: Option<u64>,
}

impl Window {
    fn first(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.block.number)
    }

    fn tip(&self) -> Option<&Arc<L1Entry>> {
        self.entries.back()
    }

    fn get(&self, number: u64) -> Option<&Arc<L1Entry>> {
        let offset = number.checked_sub(self.first()?)?;
        self.entries.get(usize::try_from(offset).ok()?)
    }

    fn deep_entry(&self, number: u64) -> Option<&Arc<L1Entry>> {
        self.deep.filter(|deep| number <= *deep)?;
        self.get(number)
    }
}

impl L1Watcher {
    /// Starts following L1. Returns at once; [`L1Watcher::ready`] waits for the first contact.
    pub fn start(client: L1Client, spec: Arc<ChainSpec>, config: WatcherConfig) -> (Self, Task) {
        let watcher = Self(Arc::new(Shared { window: RwLock::default(), status: watch::Sender::default() }));
        let actor = actor::Actor::new(client, spec, config, watcher.clone());
        (watcher, Task::spawn(actor.run()))
    }

    /// Waits until L1 was reached and an origin is known; an error if the first looks fail for `patience`.
    pub async fn ready(&self, patience: Duration) -> Result<L1Origin, String> {
        let mut changes = self.0.status.subscribe();
        let known = async {
            loop {
                if let Some(origin) = changes.borrow_and_update().newest_origin {
                    return origin;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        match tokio::time::timeout(patience, known).await {
            Ok(origin) => Ok(origin),
            Err(_) => {
                let status = self.status();
                Err(status
                    .last_error
                    .or(status.waiting)
                    .unwrap_or_else(|| format!("no contact with L1 in {} s", patience.as_secs())))
            }
        }
    }

    /// How the view stands.
    pub fn status(&self) -> L1Status {
        self.0.status.borrow().clone()
    }

    /// A receiver that wakes at every change of the status, and so at every new L1 block.
    pub fn subscribe(&self) -> watch::Receiver<L1Status> {
        self.0.status.subscribe()
    }

    /// A deep block with its postings; `None` is "not yet", or pruned.
    pub fn entry(&self, number: u64) -> Option<Arc<L1Entry>> {
        self.0.window.read().deep_entry(number).cloned()
    }

    /// Fails if L1 has another block where a committed block of Layer 2 has its origin: it reorganised deeper than what counts as
    /// deep. A block that is not held, or not deep again yet, contradicts nothing.
    pub fn holds(&self, origin: L1Origin) -> Result<(), L1Error> {
        match self.entry(origin.number) {
            Some(entry) if entry.block.hash != origin.hash => Err(L1Error::Anchor(origin)),
            _ => Ok(()),
        }
    }

    /// The oldest block still held.
    pub fn oldest(&self) -> Option<u64> {
        self.0.window.read().first()
    }

    /// Forgets blocks below `number`: the caller has committed that origin, or has read the postings up to it.
    pub fn prune_below(&self, number: u64) {
        let window = &mut *self.0.window.write();
        let Some(deep) = window.deep else { return };
        // The newest deep block stays, so that there is always an origin to name and a parent to link to.
        let keep_from = number.min(deep);
        while window.first().is_some_and(|first| first < keep_from) {
            window.entries.pop_front();
        }
    }
}

impl L1View for L1Watcher {
    fn newest_origin(&self) -> Option<L1Origin> {
        let window = self.0.window.read();
        window.deep_entry(window.deep?).map(|entry| entry.block.origin())
    }

    fn block(&self, number: u64) -> Option<Arc<L1Block>> {
        self.entry(number).map(|entry| entry.block.clone())
    }

    fn recoveries(&self) -> Vec<Recovery> {
        let window = self.0.window.read();
        let deep = window.entries.iter().take_while(|entry| window.deep.is_some_and(|deep| entry.block.number <= deep));
        deep.flat_map(|entry| entry.recoveries.iter().cloned()).collect()
    }
}
