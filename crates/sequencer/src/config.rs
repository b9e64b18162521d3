//! Parameters of a node and what consensus derives from them.

use std::time::Duration;

use oceanid_primitives::ChainSpec;

/// What a leader needs beyond its waiting time: building, sending and a slow hop.
const LEADER_MARGIN: Duration = Duration::from_millis(1_500);
/// From a proposal's arrival to a certificate: execution by a quorum and two hops.
const CERTIFICATION_MARGIN: Duration = Duration::from_millis(2_000);
/// A leader silent for longer than this beyond the certification timeout is skipped at once.
const SKIP_MARGIN: Duration = Duration::from_millis(500);

/// Largest block, RLP bytes, unless told otherwise: its transactions fit into six blobs (761,825 bytes) even if nothing compresses, so
/// that every block can be posted on L1.
pub const DEFAULT_BLOCK_BYTES: usize = 700 << 10;

/// Pace of blocks, and how long the others wait for a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Least time between a block and its parent.
    pub block_time: Duration,
    /// Longest time a leader waits for something to put in a block.
    pub heartbeat: Duration,
}

impl Timing {
    /// How long a view waits for its leader's proposal: the heartbeat and a margin. This is what one silent leader costs.
    pub fn leader_timeout(&self) -> Duration {
        self.heartbeat.max(self.block_time) + LEADER_MARGIN
    }

    /// How long a view waits for its certificate.
    pub fn certification_timeout(&self) -> Duration {
        self.leader_timeout() + CERTIFICATION_MARGIN
    }

    /// A chain on which no block became final for this long stands still: longer than one silent leader costs.
    pub fn halt_patience(&self) -> Duration {
        2 * self.skip_timeout()
    }

    /// A leader not heard for this long is skipped as soon as its view begins.
    pub fn skip_timeout(&self) -> Duration {
        self.certification_timeout() + SKIP_MARGIN
    }
}

/// Parameters of consensus, the same on every node of a chain except where said.
#[derive(Clone, Debug)]
pub struct ConsensusConfig {
    /// Bytes in front of everything that is signed: [`ChainSpec::namespace`].
    pub namespace: Vec<u8>,
    /// Pace.
    pub timing: Timing,
    /// A block's timestamp is ahead of a validator's clock by at most this.
    pub clock_drift: Duration,
    /// Largest RLP of a block, bytes; at most [`crate::MAX_BLOCK_BYTES`].
    pub max_block_bytes: usize,
    /// Most peers at a time: members of two successive committees and other pool members. Memory for message queues is
    /// proportional to it (about 0.4 MB a peer), so it is not simply the largest possible. Local.
    pub max_peers: usize,
    /// Finalised blocks kept for peers that catch up, at least two epochs. Local.
    pub keep_blocks: u64,
}

/// Peers a node has room for unless told otherwise.
pub const DEFAULT_MAX_PEERS: usize = 32;
/// Blocks kept for peers unless told otherwise.
pub const DEFAULT_KEEP_BLOCKS: u64 = 100_000;

impl ConsensusConfig {
    /// What the chain's specification says, with defaults for the rest.
    pub fn from_spec(spec: &ChainSpec, genesis_hash: alloy_primitives::B256) -> Self {
        Self {
            namespace: spec.namespace(genesis_hash),
            timing: Timing {
                block_time: Duration::from_millis(spec.timing.block_time_ms),
                heartbeat: Duration::from_millis(spec.timing.heartbeat_ms),
            },
            clock_drift: Duration::from_secs(spec.timing.max_clock_drift),
            max_block_bytes: DEFAULT_BLOCK_BYTES,
            max_peers: DEFAULT_MAX_PEERS.max(2 * spec.committee.members.len() + 8),
            keep_blocks: DEFAULT_KEEP_BLOCKS.max(2 * spec.timing.epoch_length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_outlasts_the_heartbeat_and_grows_in_order() {
        for (block_time, heartbeat) in [(50, 1_000), (1_000, 1_000), (2_000, 15_000)] {
            let timing = Timing { block_time: Duration::from_millis(block_time), heartbeat: Duration::from_millis(heartbeat) };
            assert!(timing.leader_timeout() > timing.heartbeat + timing.block_time.min(LEADER_MARGIN) - Duration::from_millis(1));
            assert!(timing.certification_timeout() > timing.leader_timeout());
            assert!(timing.skip_timeout() > timing.certification_timeout());
        }
    }
}
