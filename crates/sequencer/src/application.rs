//! The block maker and checker behind the consensus library's `Deferred` wrapper: paces proposals, executes before it vouches.
//!
//! Pace. A block follows its parent by at least `block_time`. When there is nothing to put in, the leader waits inside its slot
//! until there is, at most `heartbeat`; the other nodes' patience ([`crate::config::Timing::leader_timeout`]) is longer than that,
//! so that an idle chain stays in one view instead of counting slots as missed.
//!
//! Nothing waits for finality: a leader builds as soon as the parent is certified, while the votes that make it final are on their way,
//! and begins so early that the block is ready when it is due.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::B256;
use commonware_consensus::{Application, marshal::ancestry::Ancestry};
use commonware_cryptography::{Digested, Digestible as _};
use commonware_macros::select;
use commonware_runtime::{Clock, Spawner};
use futures::StreamExt as _;
use oceanid_primitives::SealedBlock;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{Instrument as _, Span, debug, warn};

use crate::{
    BlockCodec, ConsensusBlock, Execution, ProposalContext, ProposeError, Verdict,
    config::Timing,
    types::{Context, Scheme},
};

/// How often a leader without work, or a check that has to wait, looks again when nothing woke it.
const POLL: Duration = Duration::from_millis(50);
/// Blocks whose arrival time is remembered: a handful of views.
const ARRIVALS: usize = 16;

/// Part of the pause between two blocks that a leader may spend on building, as its divisor: what arrives later waits for the next block.
const BUILD_PART: u32 = 2;

/// When blocks were first seen, newest last. Bounded.
#[derive(Default)]
struct Arrivals(VecDeque<(B256, SystemTime)>);

impl Arrivals {
    fn note(&mut self, hash: B256, at: SystemTime) {
        if self.of(hash).is_none() {
            if self.0.len() == ARRIVALS {
                self.0.pop_front();
            }
            self.0.push_back((hash, at));
        }
    }

    fn of(&self, hash: B256) -> Option<SystemTime> {
        self.0.iter().rev().find(|(known, _)| *known == hash).map(|(_, at)| *at)
    }
}

/// The application of the consensus engine over an [`Execution`]. The chain is behind a pointer, so that the engine, which is slow
/// to compile, is compiled once a runtime and not once a chain.
#[derive(Clone)]
pub(crate) struct Chain {
    execution: Arc<dyn Execution>,
    codec: BlockCodec,
    timing: Timing,
    work: Arc<Notify>,
    arrivals: Arc<Mutex<Arrivals>>,
    /// One execution at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// How long the last block took that this node built.
    last_build: Arc<Mutex<Duration>>,
    /// Where the node was composed: the engine calls from tasks of its own.
    span: Span,
}

/// When to begin a block that is due at `due`, so that it is ready then if it takes as long as the last one.
fn begin_at(due: SystemTime, last_build: Duration, block_time: Duration) -> SystemTime {
    due - last_build.min(block_time / BUILD_PART)
}

/// Whole seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Chain {
    pub(crate) fn new(execution: Arc<dyn Execution>, codec: BlockCodec, timing: Timing, work: Arc<Notify>) -> Self {
        let span = Span::current();
        Self { execution, codec, timing, work, arrivals: Arc::default(), turn: Arc::default(), last_build: Arc::default(), span }
    }

    /// Runs one call on the runtime's blocking threads, in turn. `None` when the runtime shuts down.
    async fn run<E: Spawner, T: Send + 'static>(
        &self,
        runtime: &E,
        call: impl FnOnce(&dyn Execution) -> T + Send + 'static,
    ) -> Option<T> {
        let _turn = self.turn.lock().await;
        let (execution, span) = (self.execution.clone(), self.span.clone());
        let work = async move { call(execution.as_ref()) }.instrument(span);
        runtime.child("execute").shared(true).spawn(move |_| work).await.ok()
    }

    /// Waits for news or the next poll.
    async fn wait<E: Clock>(&self, runtime: &E, at_most: Duration) {
        select! {
            _ = self.work.notified() => {},
            _ = runtime.sleep(at_most.min(POLL)) => {},
        }
    }

    /// Executes `block`, waiting as long as the verdict may still change.
    async fn settle<E: Spawner + Clock>(&self, runtime: &E, block: &Arc<SealedBlock>) -> bool {
        let mut told = false;
        loop {
            let (subject, now) = (block.clone(), seconds(runtime.current()));
            match self.run(runtime, move |execution| execution.verify(&subject, now)).await {
                Some(Verdict::Valid) => return true,
                Some(Verdict::Invalid(reason)) => {
                    warn!(parent: &self.span, number = block.number(), hash = %block.hash(), reason, "refused a block");
                    return false;
                }
                Some(Verdict::NotYet(reason)) => {
                    if !told {
                        debug!(number = block.number(), hash = %block.hash(), reason, "holding the vote on a block");
                        told = true;
                    }
                    self.wait(runtime, POLL).await;
                }
                None => futures::future::pending().await,
            }
        }
    }

    /// Executes what the first block of `ancestry` needs, oldest first, and that block too. After a restart the library knows
    /// blocks as certified whose execution this process never did.
    async fn settle_ancestry<E: Spawner + Clock>(&self, runtime: &E, mut ancestry: impl Ancestry<ConsensusBlock>) -> bool {
        let finalized = self.execution.head().number();
        let mut missing = Vec::new();
        while let Some(block) = ancestry.next().await {
            let sealed = block.inner().sealed().clone();
            if self.execution.is_executed(sealed.hash()) {
                break;
            }
            let reached_final = sealed.number() <= finalized;
            missing.push(sealed);
            if reached_final {
                break;
            }
        }
        while let Some(block) = missing.pop() {
            if !self.settle(runtime, &block).await {
                return false;
            }
        }
        true
    }
}

impl<E: Spawner + Clock> Application<E> for Chain {
    type SigningScheme = Scheme;
    type Context = Context;
    type Block = ConsensusBlock;
    type Input = ();

    async fn propose(
        &mut self,
        (runtime, context): (E, Context),
        ancestry: impl Ancestry<ConsensusBlock>,
        (): (),
    ) -> Option<Digested<ConsensusBlock>> {
        let called = runtime.current();
        let parent = ancestry.clone().next().await?.inner().sealed().clone();
        let (epoch, view) = (context.round.epoch().get(), context.round.view().get());
        let leader = self.codec.committees.get(epoch)?.identities.position(&context.leader)? as u32;
        let context = ProposalContext { epoch, view, parent_view: context.parent.0.get(), leader };

        let parent_seen = self.arrivals.lock().of(parent.hash()).unwrap_or(called);
        let earliest = parent_seen.min(called) + self.timing.block_time;
        // Headers count whole seconds: the parent was made within the second after its timestamp.
        let parent_made = UNIX_EPOCH + Duration::from_secs(parent.header().timestamp.saturating_add(1));
        let heartbeat = parent_made.min(called) + self.timing.heartbeat;
        if !self.settle_ancestry(&runtime, ancestry).await {
            return None;
        }
        let paced = parent.number() > 0;
        if paced {
            let last_build = *self.last_build.lock();
            runtime.sleep_until(begin_at(earliest, last_build, self.timing.block_time)).await;
        }
        loop {
            let now = runtime.current();
            let due = now >= heartbeat;
            if due || self.execution.has_work(parent.hash()) {
                let (hash, timestamp) = (parent.hash(), seconds(now).max(parent.header().timestamp));
                match self.run(&runtime, move |execution| execution.propose(hash, context, timestamp)).await? {
                    Ok(block) if due || !block.body().is_empty() => {
                        let block = match ConsensusBlock::new(block, &self.codec) {
                            Ok(block) => block,
                            Err(error) => {
                                warn!(parent: &self.span, view, %error, "built a block that cannot be proposed");
                                return None;
                            }
                        };
                        *self.last_build.lock() = runtime.current().duration_since(now).unwrap_or_default();
                        if paced {
                            runtime.sleep_until(earliest).await;
                        }
                        let digest = block.digest();
                        self.arrivals.lock().note(block.sealed().hash(), runtime.current());
                        return Some(Digested::precomputed(block, digest));
                    }
                    // Everything pending turned out invalid: keep waiting for something to say.
                    Ok(_) => {}
                    Err(ProposeError::NotYet(reason)) => debug!(view, reason, "cannot build yet"),
                    Err(ProposeError::Failed(reason)) => {
                        warn!(parent: &self.span, view, reason, "could not build a block; the slot is lost");
                        return None;
                    }
                }
            }
            let left = heartbeat.duration_since(now).unwrap_or(POLL);
            self.wait(&runtime, left).await;
        }
    }

    async fn verify(&mut self, (runtime, _): (E, Context), ancestry: impl Ancestry<ConsensusBlock>) -> bool {
        let Some(block) = ancestry.clone().next().await else {
            return futures::future::pending().await; // marshal stopped: no verdict, not a refusal
        };
        self.arrivals.lock().note(block.inner().sealed().hash(), runtime.current());
        self.settle_ancestry(&runtime, ancestry).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn building_begins_early_by_what_the_last_block_took_but_not_by_more_than_half_the_pause() {
        let due = UNIX_EPOCH + Duration::from_secs(100);
        let ahead = |took| due.duration_since(begin_at(due, Duration::from_millis(took), Duration::from_millis(500))).unwrap();
        assert_eq!([0, 80, 250, 9_000].map(|took| ahead(took).as_millis()), [0, 80, 250, 250]);
    }
}
