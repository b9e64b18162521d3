//! One node, composed: configuration, keys, ledger, pool, L1, and either consensus or derivation, behind one RPC server.
//!
//! [`Node::start`] is one straight line. A **sequencer** votes and posts batches; a **follower** derives from L1 alone. Both serve the same RPC,
//! pages and metrics, and a node with keys goes from one to the other as its seat comes and goes.
#![forbid(unsafe_code)]

mod batches;
mod config;
mod database;
mod duty;
mod economy;
mod keeper;
mod keys;
pub mod keystore;
mod metrics;
mod node;
mod outbound;
mod recovery;
mod sample;
mod settings;
mod site;
mod snapshot;
mod status;
mod waiting;
mod watch;

pub use config::{
    ConfigError, DEFAULT_CACHE_MIB, DEFAULT_HISTORY, DEFAULT_WRITE_BUFFER_MIB, KeeperSection, L1Config, NodeConfig, PoolSection,
    RpcListen, SequencerSection,
};
pub use database::{DatabaseReport, DatabaseStats, MAX_FAULTS, PruneReport, database_stats, prune_database, verify_database};
pub use keys::{
    FileKind, KeyFile, KeyFileError, KeyFolder, KeyRole, MIN_PASSWORD, PASSWORD_VARIABLE, Password, PublicKeys, SequencerKeys,
    account_address, open_account, open_bls, read_private, seal, write_new,
};
pub use keystore::Secret;
pub use node::{Node, NodeError, load_spec};
pub use recovery::test_recovery;
pub use settings::{KEYS, Key, Kind, Setting, Settings, Source, VARIABLE_PREFIX};
pub use snapshot::{Progress, SnapshotError, SnapshotSummary, create as create_snapshot, restore as restore_snapshot};
pub use watch::{Proofs, Watch, WatchError};
