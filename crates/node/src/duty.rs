//! What a node with keys does, and when that changes: it takes part in consensus from the epoch before its first seat to the end of its
//! last, and follows L1 before, between and after.
//!
//! Committee members talk to members of their own and the next committee only, so a node without a seat has nobody to ask but L1. The
//! same holds for one that was away for so long that its peers know it no more: a member that stands still while L1 has blocks it lacks
//! follows L1 until it has caught up.

use crate::node::Parts;
use crate::status::Role;
use oceanid_primitives::L1View;
use oceanid_settlement::{Task, posted_head};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, watch};
use tracing::{info, warn};

/// Pause between two looks.
const POLL: Duration = Duration::from_millis(500);
/// A member that makes no block for this long, while L1 has more than it holds, follows L1.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two tries to get hold of the last handle of a stopping sequencer.
const RELEASE_POLL: Duration = Duration::from_millis(10);

/// The present role, and the actors behind it.
pub(crate) struct Duty {
    role: watch::Sender<Role>,
    tasks: Mutex<Vec<Task>>,
}

impl Duty {
    pub(crate) fn new(role: Role, tasks: Vec<Task>) -> Arc<Self> {
        Arc::new(Self { role: watch::channel(role).0, tasks: Mutex::new(tasks) })
    }

    /// What the node does now, and a way to see it change.
    pub(crate) fn role(&self) -> watch::Receiver<Role> {
        self.role.subscribe()
    }

    /// Ends the present role and waits until its threads are gone.
    pub(crate) async fn stop(&self) {
        let mut tasks = self.tasks.lock().await;
        tasks.clear();
        if let Role::Sequencer { sequencer, .. } = self.role.send_replace(Role::Changing) {
            let mut shared = sequencer;
            // The actors just stopped, and whoever asks for the status at this moment, hold it a little longer.
            let sequencer = loop {
                match Arc::try_unwrap(shared) {
                    Ok(sequencer) => break sequencer,
                    Err(back) => shared = back,
                }
                tokio::time::sleep(RELEASE_POLL).await;
            };
            if tokio::task::spawn_blocking(move || sequencer.shutdown()).await.is_err() {
                warn!("stopping consensus panicked");
            }
        }
    }

    /// Moves a node with keys between its two roles as its seat comes and goes; never returns but on a fatal error, which it tells.
    pub(crate) async fn follow_seat(self: Arc<Self>, parts: Arc<Parts>) {
        let mut moved = (parts.head(), Instant::now());
        loop {
            tokio::time::sleep(POLL).await;
            let head = parts.head();
            if head != moved.0 {
                moved = (head, Instant::now());
            }
            let role = self.role.borrow().clone();
            let (reason, votes) = match &role {
                Role::Sequencer { .. } if !parts.is_seated() => ("the node has no seat in this epoch or the next", false),
                Role::Sequencer { .. } if moved.1.elapsed() >= PATIENCE && parts.is_behind_l1().await => {
                    ("L1 has blocks that no peer gave", false)
                }
                Role::Follower { follower } if parts.is_seated() && parts.has_caught_up(&follower.status()) => {
                    ("the node has a seat in this epoch or the next", true)
                }
                _ => continue,
            };
            drop(role);
            info!(block = head, reason, "{}", if votes { "joins consensus" } else { "follows L1" });
            self.stop().await;
            match parts.start_role(votes) {
                Ok((role, tasks)) => {
                    *self.tasks.lock().await = tasks;
                    self.role.send_replace(role);
                }
                Err(error) => return parts.fail(error.to_string()),
            }
            moved = (parts.head(), Instant::now());
        }
    }
}

impl Parts {
    /// Number of the newest committed block.
    fn head(&self) -> u64 {
        self.ledger.head().number()
    }

    /// Whether the chain, as far as this node has it, gives the node a seat in the epoch of the next block or the one after.
    pub(crate) fn is_seated(&self) -> bool {
        let Some(keys) = &self.keys else { return false };
        let identity = keys.node.identity();
        let (epochs, next) = (self.ledger.epochs(), self.head() + 1);
        [next, epochs.end_of(next) + 1].map(|block| epochs.of(block)).into_iter().any(|epoch| {
            match self.ledger.committee_of_epoch(epoch) {
                Ok(committee) => committee.is_some_and(|committee| committee.index_of(&identity).is_some()),
                Err(error) => {
                    warn!(%error, epoch, "the committee of an epoch cannot be read");
                    false
                }
            }
        })
    }

    /// Whether L1 has accepted blocks beyond the head. An L1 that does not answer says nothing.
    async fn is_behind_l1(&self) -> bool {
        posted_head(&self.client, self.spec.l1.rollup).await.is_ok_and(|posted| posted > self.head())
    }

    /// Whether the follower has replayed everything that lies deep enough in L1.
    fn has_caught_up(&self, follower: &oceanid_derive::FollowerStatus) -> bool {
        let deep = self.watcher.newest_origin().map_or(u64::MAX, |origin| origin.number);
        follower.l1 > deep && follower.target <= self.head()
    }
}
