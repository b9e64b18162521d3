//! A node's configuration: one TOML file, checked whole before anything starts.
//!
//! Where its values come from, and how unknown keys are refused, is in [`crate::Settings`].

use crate::keys::{KeyFile, KeyFileError, KeyFolder, Password, SequencerKeys, open_account};
use crate::settings::{Settings, Source};
use alloy_signer_local::PrivateKeySigner;
use oceanid_contracts::endpoint::Endpoint;
use oceanid_pool::PoolConfig;
use oceanid_primitives::DaMode;
use oceanid_rpc::RpcConfig;
use oceanid_sequencer::Byzantine;
use oceanid_settlement::Duties;
use oceanid_store::{MAX_HISTORY, MIN_HISTORY};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Everything a node is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NodeConfig {
    /// Chain specification (JSON).
    pub spec: PathBuf,
    /// Where the node keeps its state. One node a directory.
    pub data_dir: PathBuf,
    /// L1 endpoints.
    pub l1: L1Config,
    /// JSON-RPC server.
    #[serde(default)]
    pub rpc: RpcListen,
    /// Pending transactions.
    #[serde(default)]
    pub pool: PoolSection,
    /// Present: this node is a sequencer. Absent: it follows L1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<SequencerSection>,
    /// What the node does on L1 for everybody, if it has an account there.
    #[serde(default)]
    pub keeper: KeeperSection,
    /// Blocks of history kept for `eth_call` and `eth_getProof` at older blocks.
    #[serde(default = "default_history")]
    pub history: u64,
    /// The store's cache of what it read, MiB.
    #[serde(default = "default_cache_mib")]
    pub cache_mib: u64,
    /// Write buffer of each of the store's five tables, MiB; up to two of each are in memory at a time.
    #[serde(default = "default_write_buffer_mib")]
    pub write_buffer_mib: u64,
    /// Collector that gets traces over OTLP; without it none are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
    /// Of so many requests one is traced.
    #[serde(default = "default_otlp_rpc_one_in")]
    pub otlp_rpc_one_in: u64,
}

/// L1 endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct L1Config {
    /// Execution JSON-RPC, `http://` or `https://`.
    pub http: String,
    /// Beacon API, for blobs. Without it only `calldata` batches can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beacon: Option<String>,
    /// Milliseconds between two looks at L1.
    #[serde(default = "default_poll_ms")]
    pub poll_ms: u64,
    /// Highest tip of the node's transactions, gwei per gas.
    #[serde(default = "default_max_tip_gwei")]
    pub max_tip_gwei: u64,
}

impl L1Config {
    /// An endpoint without blobs, with the usual values.
    pub const fn new(http: String) -> Self {
        Self { http, beacon: None, poll_ms: default_poll_ms(), max_tip_gwei: default_max_tip_gwei() }
    }

    /// Highest tip, wei per gas.
    pub(crate) fn max_tip(&self) -> u128 {
        u128::from(self.max_tip_gwei) * GWEI
    }
}

/// Wei.
const GWEI: u128 = 1_000_000_000;

/// JSON-RPC server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RpcListen {
    /// Address of http and ws; port 0 takes a free one.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// A sequencer's JSON-RPC endpoint: gets the transactions sent here while this node has no seat. Without it they are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<String>,
    /// Origins of web pages that may call, separated by commas; `*`: all.
    #[serde(default)]
    pub cors: String,
    /// Namespaces served, separated by commas. None: all on loopback, elsewhere all but those that trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<String>,
    /// Most connections at once.
    #[serde(default = "RpcListen::max_connections")]
    pub max_connections: u32,
    /// Calls at work at once.
    #[serde(default = "RpcListen::max_calls")]
    pub max_calls: usize,
    /// Log queries and filter polls at work at once.
    #[serde(default = "RpcListen::max_scans")]
    pub max_scans: usize,
    /// Traces at work at once.
    #[serde(default = "RpcListen::max_traces")]
    pub max_traces: usize,
    /// Gas of one call.
    #[serde(default = "RpcListen::gas_cap")]
    pub gas_cap: u64,
    /// Most blocks of one log query.
    #[serde(default = "RpcListen::max_log_blocks")]
    pub max_log_blocks: u64,
    /// Most logs of one answer.
    #[serde(default = "RpcListen::max_logs")]
    pub max_logs: usize,
}

impl RpcListen {
    /// The defaults on an address.
    pub const fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            forward: None,
            cors: String::new(),
            namespaces: None,
            max_connections: Self::max_connections(),
            max_calls: Self::max_calls(),
            max_scans: Self::max_scans(),
            max_traces: Self::max_traces(),
            gas_cap: Self::gas_cap(),
            max_log_blocks: Self::max_log_blocks(),
            max_logs: Self::max_logs(),
        }
    }

    /// For development: every web page may call every method.
    pub fn open(listen: SocketAddr) -> Self {
        let RpcConfig { cors, namespaces, .. } = RpcConfig::open(listen);
        Self { cors: cors.join(","), namespaces: Some(namespaces.join(",")), ..Self::new(listen) }
    }

    const fn max_connections() -> u32 {
        RpcConfig::MAX_CONNECTIONS
    }

    const fn max_calls() -> usize {
        RpcConfig::MAX_CALLS
    }

    const fn max_scans() -> usize {
        RpcConfig::MAX_SCANS
    }

    const fn max_traces() -> usize {
        RpcConfig::MAX_TRACES
    }

    const fn gas_cap() -> u64 {
        RpcConfig::GAS_CAP
    }

    const fn max_log_blocks() -> u64 {
        RpcConfig::MAX_LOG_BLOCKS
    }

    const fn max_logs() -> usize {
        RpcConfig::MAX_LOGS
    }

    /// What the server is told.
    pub(crate) fn server(&self) -> RpcConfig {
        let defaults = RpcConfig::new(self.listen);
        RpcConfig {
            cors: words(&self.cors),
            namespaces: self.namespaces.as_deref().map_or(defaults.namespaces, words),
            max_connections: self.max_connections,
            max_calls: self.max_calls,
            max_scans: self.max_scans,
            max_traces: self.max_traces,
            gas_cap: self.gas_cap,
            max_log_blocks: self.max_log_blocks,
            max_logs: self.max_logs,
            ..defaults
        }
    }
}

/// Words separated by commas.
fn words(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

impl Default for RpcListen {
    fn default() -> Self {
        Self::new(default_listen())
    }
}

const fn default_listen() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9_545)
}

/// Pending transactions (docs/pool.md).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct PoolSection {
    /// Keep those of this node's own callers over a restart.
    pub journal: bool,
    /// Most transactions in the pool.
    pub max_transactions: u64,
    /// Most of one sender.
    pub max_per_sender: u64,
    /// Most of them in MiB.
    pub max_mib: u64,
}

impl Default for PoolSection {
    fn default() -> Self {
        Self {
            journal: true,
            max_transactions: PoolConfig::MAX_TRANSACTIONS as u64,
            max_per_sender: PoolConfig::MAX_PER_SENDER as u64,
            max_mib: (PoolConfig::MAX_BYTES >> 20) as u64,
        }
    }
}

/// What makes a node a sequencer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SequencerSection {
    /// Folder with the node's encrypted keys, as `oceanid sequencer keys new` makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<PathBuf>,
    /// File (or FIFO) with the password of `keys`; without it the environment or the terminal is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Instead of `keys`, on a development chain only: a plain file with all keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// Address of the peer-to-peer port.
    pub listen: SocketAddr,
    /// Where to reach other sequencers, by identity key (0x-hex). A member that is not here can only call in.
    #[serde(default)]
    pub peers: BTreeMap<alloy_primitives::B256, SocketAddr>,
    /// Where batches go.
    #[serde(default = "default_da")]
    pub da: DaMode,
    /// Oldest unposted block that forces a batch, seconds.
    #[serde(default = "default_batch_age")]
    pub batch_age_seconds: u64,
    /// Misbehaves on purpose, to be slashed; refused on all but development chains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byzantine: Option<Byzantine>,
}

impl SequencerSection {
    /// A section without keys and peers, with the usual values.
    pub const fn new(listen: SocketAddr) -> Self {
        Self {
            keys: None,
            password_file: None,
            key_file: None,
            listen,
            peers: BTreeMap::new(),
            da: default_da(),
            batch_age_seconds: default_batch_age(),
            byzantine: None,
        }
    }

    /// Opens the keys. A plain file is good for a development chain only (`development`).
    pub fn open_keys(&self, development: bool) -> Result<SequencerKeys, KeyFileError> {
        match (&self.keys, &self.key_file) {
            (Some(folder), _) => {
                let password = Password::obtain(self.password_file.as_deref(), &format!("Password of {}", folder.display()))?;
                KeyFolder::new(folder).load(&password)
            }
            (None, Some(file)) if development => KeyFile::load(file)?.keys(file),
            (None, Some(file)) => Err(KeyFileError::Plain { path: file.clone() }),
            (None, None) => Err(KeyFileError::None),
        }
    }
}

/// What a node does on L1 for everybody: the keeper (docs/settlement.md). A sequencer does it with its own account unless told otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct KeeperSection {
    /// All of it.
    pub enabled: bool,
    /// L1 account (Web3 Secret Storage) of a node that is no sequencer; without it such a node does nothing on L1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<PathBuf>,
    /// File (or FIFO) with the password of `account`; without it the environment or the terminal is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// JSON-RPC endpoints of sequencers that a node without a seat asks for proofs of double voting.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub watch_peers: Vec<String>,
    /// Put a newer committee in office when the chain has stood still for the stall timeout.
    pub recover: bool,
    /// Fix the next committee when it would differ.
    pub rotate: bool,
    /// Jail members that miss too much.
    pub jail: bool,
    /// Complete exits that rotations left waiting.
    pub exits: bool,
    /// Credit epochs.
    pub credit: bool,
    /// Bring fees to L1, split them, and get the own posting costs back.
    pub fees: bool,
    /// Submit evidence of double voting.
    pub evidence: bool,
    /// Head start of one member over the next, seconds.
    pub stagger_seconds: u64,
    /// Time between two looks at every sequencer's record, seconds.
    pub survey_seconds: u64,
    /// Final epochs that are worth a transaction.
    pub credit_epochs: u64,
    /// A final epoch waits for others at most this long, seconds.
    pub credit_wait_seconds: u64,
}

impl Default for KeeperSection {
    fn default() -> Self {
        Self {
            enabled: true,
            account: None,
            password_file: None,
            watch_peers: Vec::new(),
            recover: true,
            rotate: true,
            jail: true,
            exits: true,
            credit: true,
            fees: true,
            evidence: true,
            stagger_seconds: 24,
            survey_seconds: 60,
            credit_epochs: 4,
            credit_wait_seconds: 6 * 3_600,
        }
    }
}

impl KeeperSection {
    /// For a development chain, whose epochs and rotations last seconds.
    pub fn development() -> Self {
        Self { stagger_seconds: 2, survey_seconds: 5, credit_epochs: 1, ..Self::default() }
    }

    /// The account of a node that is no sequencer.
    pub fn open_account(&self) -> Result<Option<PrivateKeySigner>, KeyFileError> {
        let Some(path) = self.account.as_ref().filter(|_| self.enabled) else { return Ok(None) };
        let password = Password::obtain(self.password_file.as_deref(), &format!("Password of {}", path.display()))?;
        open_account(path, &password).map(Some)
    }

    /// What it is allowed to do.
    pub const fn duties(&self) -> Duties {
        Duties {
            recover: self.recover,
            rotate: self.rotate,
            jail: self.jail,
            exits: self.exits,
            credit: self.credit,
            fees: self.fees,
            evidence: self.evidence,
        }
    }
}

/// Most endpoints in `keeper.watch-peers`.
const MAX_WATCH_PEERS: u64 = 16;

/// Blocks of history kept when the configuration does not say.
pub const DEFAULT_HISTORY: u64 = 1_024;

const fn default_history() -> u64 {
    DEFAULT_HISTORY
}

/// Cache of the store when the configuration does not say, MiB.
pub const DEFAULT_CACHE_MIB: u64 = 32;

const fn default_cache_mib() -> u64 {
    DEFAULT_CACHE_MIB
}

/// Write buffer of a table of the store when the configuration does not say, MiB.
pub const DEFAULT_WRITE_BUFFER_MIB: u64 = 8;

const fn default_write_buffer_mib() -> u64 {
    DEFAULT_WRITE_BUFFER_MIB
}

/// Of so many requests one is traced when the configuration does not say.
const DEFAULT_OTLP_RPC_ONE_IN: u64 = 100;

const fn default_otlp_rpc_one_in() -> u64 {
    DEFAULT_OTLP_RPC_ONE_IN
}

const fn default_poll_ms() -> u64 {
    1_000
}

const fn default_max_tip_gwei() -> u64 {
    50
}

const fn default_da() -> DaMode {
    DaMode::Blob
}

const fn default_batch_age() -> u64 {
    60
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Not TOML of this shape; the text names the key.
    #[error("{path}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Parser's message with line and key.
        message: String,
    },
    /// A key that does not exist.
    #[error("config: unknown key `{key}` ({set_by})")]
    UnknownKey {
        /// The key.
        key: String,
        /// Where it is set.
        set_by: Source,
    },
    /// A variable with the right beginning that names no key.
    #[error("config: unknown variable {set_by}: no key is written so")]
    UnknownVariable {
        /// The variable.
        set_by: Source,
    },
    /// A value that is not of the key's kind.
    #[error("config: `{key}` ({set_by}) must be a {expected}")]
    Kind {
        /// The key.
        key: &'static str,
        /// Where it is set.
        set_by: Source,
        /// What it must be.
        expected: &'static str,
    },
    /// A key without a default that nobody has set.
    #[error("config: `{key}` is missing: set it in the file, by its flag, or as {variable}")]
    Missing {
        /// The key.
        key: &'static str,
        /// Its variable.
        variable: String,
    },
    /// A value that cannot be read; the text names the key.
    #[error("config: {message}")]
    Value {
        /// Parser's message.
        message: String,
    },
    /// A number out of range.
    #[error("config: `{field}` is {value}, must be {limit}")]
    Range {
        /// Key.
        field: &'static str,
        /// Given.
        value: u64,
        /// Allowed.
        limit: &'static str,
    },
    /// An endpoint that is not an http URL.
    #[error("config: `{field}` is `{value}`, must begin with http:// or https://")]
    Url {
        /// Key.
        field: &'static str,
        /// Given, without what may be a key.
        value: Endpoint,
    },
}

impl NodeConfig {
    /// A follower with the usual values.
    pub fn new(spec: PathBuf, data_dir: PathBuf, l1: L1Config) -> Self {
        Self {
            spec,
            data_dir,
            l1,
            rpc: RpcListen::default(),
            pool: PoolSection::default(),
            sequencer: None,
            keeper: KeeperSection::default(),
            history: DEFAULT_HISTORY,
            cache_mib: DEFAULT_CACHE_MIB,
            write_buffer_mib: DEFAULT_WRITE_BUFFER_MIB,
            otlp_endpoint: None,
            otlp_rpc_one_in: DEFAULT_OTLP_RPC_ONE_IN,
        }
    }

    /// Reads and checks a file, without the environment.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Settings::read(Some(path), [])?.build()
    }

    /// Writes the file.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, toml::to_string_pretty(self).expect("a config has only TOML's types"))
    }

    /// Checks limits that types cannot say.
    pub fn check(&self) -> Result<(), ConfigError> {
        let range = |field, value, low, high, limit| {
            if (low..=high).contains(&value) { Ok(()) } else { Err(ConfigError::Range { field, value, limit }) }
        };
        range("history", self.history, MIN_HISTORY, MAX_HISTORY, "1 to 1000000 blocks")?;
        range("cache-mib", self.cache_mib, 1, 1 << 20, "1 to 1048576 MiB")?;
        range("write-buffer-mib", self.write_buffer_mib, 1, 1_024, "1 to 1024 MiB")?;
        range("otlp-rpc-one-in", self.otlp_rpc_one_in, 1, 1_000_000, "1 to 1000000 requests")?;
        range("l1.poll-ms", self.l1.poll_ms, 50, 60_000, "50 to 60000 milliseconds")?;
        range("l1.max-tip-gwei", self.l1.max_tip_gwei, 1, 10_000, "1 to 10000 gwei")?;
        for (field, value) in [
            ("rpc.max-calls", self.rpc.max_calls),
            ("rpc.max-scans", self.rpc.max_scans),
            ("rpc.max-traces", self.rpc.max_traces),
        ] {
            range(field, value as u64, 1, 1_024, "1 to 1024")?;
        }
        range("rpc.max-connections", u64::from(self.rpc.max_connections), 1, 1_000_000, "1 to 1000000")?;
        range("rpc.gas-cap", self.rpc.gas_cap, 21_000, 10_000_000_000, "21000 to 10000000000 gas")?;
        range("rpc.max-log-blocks", self.rpc.max_log_blocks, 1, 10_000_000, "1 to 10000000 blocks")?;
        range("rpc.max-logs", self.rpc.max_logs as u64, 1, 1_000_000, "1 to 1000000 logs")?;
        range("pool.max-transactions", self.pool.max_transactions, 1, 10_000_000, "1 to 10000000 transactions")?;
        range("pool.max-per-sender", self.pool.max_per_sender, 1, 1_000_000, "1 to 1000000 transactions")?;
        range("pool.max-mib", self.pool.max_mib, 1, 1 << 14, "1 to 16384 MiB")?;
        if let Some(sequencer) = &self.sequencer {
            range("sequencer.batch-age-seconds", sequencer.batch_age_seconds, 1, 86_400, "1 to 86400 seconds")?;
        }
        let keeper = &self.keeper;
        range("keeper.watch-peers", keeper.watch_peers.len() as u64, 0, MAX_WATCH_PEERS, "16 endpoints at most")?;
        range("keeper.stagger-seconds", keeper.stagger_seconds, 1, 3_600, "1 to 3600 seconds")?;
        range("keeper.survey-seconds", keeper.survey_seconds, 1, 86_400, "1 to 86400 seconds")?;
        range("keeper.credit-epochs", keeper.credit_epochs, 1, 1_000, "1 to 1000 epochs")?;
        let own = [
            ("l1.http", Some(&self.l1.http)),
            ("l1.beacon", self.l1.beacon.as_ref()),
            ("otlp-endpoint", self.otlp_endpoint.as_ref()),
            ("rpc.forward", self.rpc.forward.as_ref()),
        ];
        let peers = keeper.watch_peers.iter().map(|url| ("keeper.watch-peers", Some(url)));
        for (field, url) in own.into_iter().chain(peers) {
            if let Some(url) = url
                && !url.starts_with("http://")
                && !url.starts_with("https://")
            {
                return Err(ConfigError::Url { field, value: Endpoint::new(url) });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<NodeConfig, ConfigError> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("node.toml");
        std::fs::write(&path, text).expect("written");
        NodeConfig::load(&path)
    }

    const MINIMAL: &str = "spec = \"spec.json\"\ndata-dir = \"data\"\n[l1]\nhttp = \"http://127.0.0.1:8545\"\n";

    #[test]
    fn minimal_file_is_a_follower_with_defaults() {
        let config = load(MINIMAL).expect("valid");
        assert!(config.sequencer.is_none());
        assert_eq!((config.history, config.l1.poll_ms), (1_024, 1_000));
        assert!(config.spec.is_absolute(), "relative paths are taken from the file's folder");
    }

    #[test]
    fn the_keeper_is_on_and_each_duty_has_a_switch() {
        let config = load(&format!("{MINIMAL}[keeper]\nfees = false\naccount = \"watch.json\"\n")).expect("valid");
        assert!(config.keeper.enabled && config.keeper.account.as_ref().is_some_and(|path| path.is_absolute()));
        assert_eq!(config.keeper.duties(), Duties { fees: false, ..Duties::ALL });
        let config = load(&format!("{MINIMAL}[keeper]\nwatch-peers = [\"http://127.0.0.1:1\"]\n")).expect("valid");
        assert_eq!(config.keeper.watch_peers, ["http://127.0.0.1:1"]);
        let error = load(&format!("{MINIMAL}[keeper]\nwatch-peers = [\"ftp://x\"]\n")).expect_err("scheme").to_string();
        assert_eq!(error, "config: `keeper.watch-peers` is `ftp://x`, must begin with http:// or https://");
        let error = load(&format!("{MINIMAL}[keeper]\nstagger-seconds = 0\n")).expect_err("range").to_string();
        assert_eq!(error, "config: `keeper.stagger-seconds` is 0, must be 1 to 3600 seconds");
    }

    #[test]
    fn unknown_key_is_refused_by_name() {
        let error = load(&format!("colour = 1\n{MINIMAL}")).expect_err("unknown key").to_string();
        assert!(error.contains("colour"), "{error}");
    }

    #[test]
    fn limits_name_the_field() {
        let error = load(&format!("history = 0\n{MINIMAL}")).expect_err("range").to_string();
        assert_eq!(error, "config: `history` is 0, must be 1 to 1000000 blocks");
        let error = load(&format!("write-buffer-mib = 2000\n{MINIMAL}")).expect_err("range").to_string();
        assert_eq!(error, "config: `write-buffer-mib` is 2000, must be 1 to 1024 MiB");
        let error = load(&MINIMAL.replace("http://", "ipc://")).expect_err("url").to_string();
        assert!(error.contains("`l1.http` is `ipc://127.0.0.1:8545`"), "{error}");
        let error = load(&MINIMAL.replace("http://127.0.0.1:8545", "ipc://user:s3cr3t@l1/s3cr3t")).expect_err("url").to_string();
        assert!(error.contains("`ipc://l1`"), "a key is not repeated: {error}");
    }

    #[test]
    fn what_the_rpc_serves_is_the_operators_to_say() {
        let served = |rpc: &str| load(&format!("{MINIMAL}[rpc]\nlisten = \"0.0.0.0:1\"\n{rpc}")).expect("valid").rpc.server();
        let default = served("");
        assert!(default.cors.is_empty() && !default.namespaces.iter().any(|name| name == "debug"));
        let told = served("cors = \"https://a.example, https://b.example\"\nnamespaces = \"eth,trace\"\nmax-traces = 1\n");
        assert_eq!(told.cors, ["https://a.example", "https://b.example"]);
        assert_eq!((told.namespaces, told.max_traces), (vec!["eth".to_owned(), "trace".to_owned()], 1));
        let told = served(
            "max-connections = 1\nmax-calls = 2\nmax-scans = 3\nmax-traces = 4\ngas-cap = 50000\nmax-log-blocks = 6\nmax-logs = 7\n",
        );
        assert_eq!((told.max_connections, told.max_calls, told.max_scans, told.max_traces), (1, 2, 3, 4));
        assert_eq!((told.gas_cap, told.max_log_blocks, told.max_logs), (50_000, 6, 7));
        let error = load(&format!("{MINIMAL}[rpc]\nmax-traces = 0\n")).expect_err("range").to_string();
        assert_eq!(error, "config: `rpc.max-traces` is 0, must be 1 to 1024");
        let pool = load(&format!("{MINIMAL}[pool]\nmax-mib = 1\n")).expect("valid").pool;
        assert_eq!(pool, PoolSection { max_mib: 1, ..PoolSection::default() });
        let error = load(&format!("{MINIMAL}[pool]\nmax-mib = 0\n")).expect_err("range").to_string();
        assert!(error.contains("`pool.max-mib` is 0"), "{error}");
    }

    #[test]
    fn saved_file_loads_the_same() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("node.toml");
        std::fs::write(&path, MINIMAL).expect("written");
        let config = NodeConfig::load(&path).expect("valid");
        config.save(&path).expect("saved");
        assert_eq!(NodeConfig::load(&path).expect("valid"), config);
    }
}
