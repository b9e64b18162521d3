//! Limits of the server, each with its unit.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where to listen and how much to do for one caller.
#[derive(Clone, Debug)]
pub struct RpcConfig {
    /// Address for http and ws; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Origins that browsers may call from; `*` allows all, an empty list none.
    pub cors: Vec<String>,
    /// Longest request body or ws message, bytes.
    pub max_request_bytes: u32,
    /// Longest response, bytes.
    pub max_response_bytes: u32,
    /// Most requests in a batch.
    pub max_batch: u32,
    /// Most connections at once.
    pub max_connections: u32,
    /// Most subscriptions of one connection.
    pub max_subscriptions: u32,
    /// Heavy requests (calls, proofs, logs, whole blocks) at work at once; others wait.
    pub max_heavy: usize,
    /// Time a request may wait and work before it is refused.
    pub timeout: Duration,
    /// Gas of one `eth_call`, `eth_estimateGas` or trace.
    pub gas_cap: u64,
    /// Most blocks in the range of one log query.
    pub max_log_blocks: u64,
    /// Most logs in one answer.
    pub max_logs: usize,
    /// Most filters (`eth_newFilter` and its kin) at once, over all callers.
    pub max_filters: usize,
    /// A filter nobody polls for this long is removed.
    pub filter_lifetime: Duration,
}

impl RpcConfig {
    /// Default of [`Self::max_request_bytes`]: 15 MiB, room for a batch of a hundred large transactions.
    pub const MAX_REQUEST_BYTES: u32 = 15 << 20;
    /// Default of [`Self::max_response_bytes`]: 160 MiB, room for a full block of traces.
    pub const MAX_RESPONSE_BYTES: u32 = 160 << 20;
    /// Default of [`Self::max_batch`].
    pub const MAX_BATCH: u32 = 1_000;
    /// Default of [`Self::max_connections`].
    pub const MAX_CONNECTIONS: u32 = 1_000;
    /// Default of [`Self::max_subscriptions`].
    pub const MAX_SUBSCRIPTIONS: u32 = 1_024;
    /// Default of [`Self::max_heavy`].
    pub const MAX_HEAVY: usize = 16;
    /// Default of [`Self::timeout`].
    pub const TIMEOUT: Duration = Duration::from_secs(20);
    /// Default of [`Self::gas_cap`].
    pub const GAS_CAP: u64 = 50_000_000;
    /// Default of [`Self::max_log_blocks`].
    pub const MAX_LOG_BLOCKS: u64 = 100_000;
    /// Default of [`Self::max_logs`].
    pub const MAX_LOGS: usize = 20_000;
    /// Default of [`Self::max_filters`].
    pub const MAX_FILTERS: usize = 1_000;
    /// Default of [`Self::filter_lifetime`].
    pub const FILTER_LIFETIME: Duration = Duration::from_secs(300);

    /// The defaults on `listen`, open to every origin.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            cors: vec!["*".into()],
            max_request_bytes: Self::MAX_REQUEST_BYTES,
            max_response_bytes: Self::MAX_RESPONSE_BYTES,
            max_batch: Self::MAX_BATCH,
            max_connections: Self::MAX_CONNECTIONS,
            max_subscriptions: Self::MAX_SUBSCRIPTIONS,
            max_heavy: Self::MAX_HEAVY,
            timeout: Self::TIMEOUT,
            gas_cap: Self::GAS_CAP,
            max_log_blocks: Self::MAX_LOG_BLOCKS,
            max_logs: Self::MAX_LOGS,
            max_filters: Self::MAX_FILTERS,
            filter_lifetime: Self::FILTER_LIFETIME,
        }
    }
}

impl Default for RpcConfig {
    /// The defaults on a free loopback port.
    fn default() -> Self {
        Self::new((Ipv4Addr::LOCALHOST, 0).into())
    }
}
