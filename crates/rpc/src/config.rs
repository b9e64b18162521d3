//! Limits of the server, each with its unit.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where to listen, what to serve and how much to do for one caller.
#[derive(Clone, Debug)]
pub struct RpcConfig {
    /// Address for http and ws; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Origins of web pages that browsers may let call, over http and ws; `*` allows all, an empty list only pages of this very port.
    pub cors: Vec<String>,
    /// Namespaces served, of [`Self::NAMESPACES`]; `rpc` always is. A method of another one does not exist.
    pub namespaces: Vec<String>,
    /// Longest request body or ws message, bytes.
    pub max_request_bytes: u32,
    /// Longest response, bytes.
    pub max_response_bytes: u32,
    /// Large request bodies being read or worked on at once, bytes; and again as much of ws messages.
    pub max_bytes_in_flight: u32,
    /// Most requests in a batch.
    pub max_batch: u32,
    /// Most connections at once.
    pub max_connections: u32,
    /// Most subscriptions of one connection.
    pub max_subscriptions: u32,
    /// Most subscriptions of all connections.
    pub max_all_subscriptions: usize,
    /// Requests at work at once that read a block or a proof; others wait, and one connection gets at most half of the places.
    pub max_reads: usize,
    /// The same of those that execute a call.
    pub max_calls: usize,
    /// The same of those that search logs, poll filters or list the pool.
    pub max_scans: usize,
    /// The same of those that trace; each may need some 500 MiB.
    pub max_traces: usize,
    /// Time a request may wait and work before it is refused.
    pub timeout: Duration,
    /// A connection that takes nothing of what is sent to it for this long is closed.
    pub send_timeout: Duration,
    /// Gas of one `eth_call`, `eth_estimateGas` or trace.
    pub gas_cap: u64,
    /// Most blocks in the range of one log query.
    pub max_log_blocks: u64,
    /// Most logs in one answer, but for those of a single block.
    pub max_logs: usize,
    /// Most filters (`eth_newFilter` and its kin) at once, over all callers.
    pub max_filters: usize,
    /// A filter nobody polls for this long is removed.
    pub filter_lifetime: Duration,
}

impl RpcConfig {
    /// Every namespace there is, besides `rpc`.
    pub const NAMESPACES: [&str; 11] =
        ["anvil", "debug", "eth", "evm", "hardhat", "net", "optimism", "seq", "trace", "txpool", "web3"];
    /// Those that are served beyond loopback only where the operator says so: one request may keep a core and memory busy for long.
    pub const COSTLY_NAMESPACES: [&str; 2] = ["debug", "trace"];
    /// Default of [`Self::max_request_bytes`]: 5 MiB, room for forty of the largest transactions.
    pub const MAX_REQUEST_BYTES: u32 = 5 << 20;
    /// Default of [`Self::max_response_bytes`]: 160 MiB, room for a full block of traces.
    pub const MAX_RESPONSE_BYTES: u32 = 160 << 20;
    /// Default of [`Self::max_bytes_in_flight`].
    pub const MAX_BYTES_IN_FLIGHT: u32 = 64 << 20;
    /// Default of [`Self::max_batch`].
    pub const MAX_BATCH: u32 = 1_000;
    /// Default of [`Self::max_connections`].
    pub const MAX_CONNECTIONS: u32 = 1_000;
    /// Default of [`Self::max_subscriptions`].
    pub const MAX_SUBSCRIPTIONS: u32 = 32;
    /// Default of [`Self::max_all_subscriptions`].
    pub const MAX_ALL_SUBSCRIPTIONS: usize = 4_096;
    /// Default of [`Self::max_reads`].
    pub const MAX_READS: usize = 16;
    /// Default of [`Self::max_calls`].
    pub const MAX_CALLS: usize = 16;
    /// Default of [`Self::max_scans`].
    pub const MAX_SCANS: usize = 4;
    /// Default of [`Self::max_traces`].
    pub const MAX_TRACES: usize = 2;
    /// Default of [`Self::timeout`].
    pub const TIMEOUT: Duration = Duration::from_secs(20);
    /// Default of [`Self::send_timeout`].
    pub const SEND_TIMEOUT: Duration = Duration::from_secs(30);
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

    /// The defaults on `listen`: no web page may call, and beyond loopback nobody may trace.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            cors: Vec::new(),
            namespaces: Self::default_namespaces(listen),
            max_request_bytes: Self::MAX_REQUEST_BYTES,
            max_response_bytes: Self::MAX_RESPONSE_BYTES,
            max_bytes_in_flight: Self::MAX_BYTES_IN_FLIGHT,
            max_batch: Self::MAX_BATCH,
            max_connections: Self::MAX_CONNECTIONS,
            max_subscriptions: Self::MAX_SUBSCRIPTIONS,
            max_all_subscriptions: Self::MAX_ALL_SUBSCRIPTIONS,
            max_reads: Self::MAX_READS,
            max_calls: Self::MAX_CALLS,
            max_scans: Self::MAX_SCANS,
            max_traces: Self::MAX_TRACES,
            timeout: Self::TIMEOUT,
            send_timeout: Self::SEND_TIMEOUT,
            gas_cap: Self::GAS_CAP,
            max_log_blocks: Self::MAX_LOG_BLOCKS,
            max_logs: Self::MAX_LOGS,
            max_filters: Self::MAX_FILTERS,
            filter_lifetime: Self::FILTER_LIFETIME,
        }
    }

    /// For development: every web page may call every method.
    pub fn open(listen: SocketAddr) -> Self {
        let namespaces = Self::NAMESPACES.map(str::to_owned).to_vec();
        Self { cors: vec!["*".into()], namespaces, ..Self::new(listen) }
    }

    /// All namespaces on loopback, else all but [`Self::COSTLY_NAMESPACES`].
    pub fn default_namespaces(listen: SocketAddr) -> Vec<String> {
        let served = |name: &&str| listen.ip().is_loopback() || !Self::COSTLY_NAMESPACES.contains(name);
        Self::NAMESPACES.iter().filter(|name| served(name)).map(|name| (*name).to_owned()).collect()
    }

    /// Is this method's namespace served?
    pub(crate) fn serves(&self, method: &str) -> bool {
        let namespace = method.split(['_', '.']).next().unwrap_or(method);
        namespace == "rpc" || self.namespaces.iter().any(|served| served == namespace)
    }
}

impl Default for RpcConfig {
    /// The defaults on a free loopback port.
    fn default() -> Self {
        Self::new((Ipv4Addr::LOCALHOST, 0).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_loopback_nobody_traces_unless_the_operator_says_so() {
        let served = |listen: &str, method: &str| RpcConfig::new(listen.parse().expect("an address")).serves(method);
        for (method, everywhere) in
            [("eth_call", true), ("rpc.discover", true), ("debug_traceCall", false), ("trace_block", false)]
        {
            assert_eq!(served("0.0.0.0:8545", method), everywhere, "{method}");
            assert!(served("127.0.0.1:8545", method) && served("[::1]:8545", method), "{method}");
        }
        assert!(RpcConfig::open("0.0.0.0:8545".parse().expect("an address")).serves("trace_block"));
        assert!(!served("127.0.0.1:8545", "ethereum_call"));
    }
}
