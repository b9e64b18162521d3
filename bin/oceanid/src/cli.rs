//! The command line: names, defaults and help of every command.

use crate::output::LogFormat;
use crate::sequencer::cli::SequencerArgs;
use alloy_primitives::B256;
use clap::{Args, Parser, Subcommand};
use oceanid_contracts::deploy::Preset;
use oceanid_primitives::DaMode;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Heading in every help text of what names a node, a network or an account.
pub(crate) const WHICH: &str = "Which node and account";
/// Heading of what is asked before something is sent.
pub(crate) const SENDING: &str = "Sending";
/// Heading of how results and logs look; the last of every help text.
pub(crate) const OUTPUT: &str = "Output";

/// An Ethereum Layer 2 with its own gas token, made by a pool of staked sequencers.
#[derive(Debug, Parser)]
#[command(name = "oceanid", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    /// What to log to stderr, as in RUST_LOG: `warn`, `info`, `oceanid_sequencer=debug`, …
    #[arg(long, global = true, help_heading = OUTPUT, env = "OCEANID_LOG", default_value = "warn", value_name = "FILTER")]
    pub(crate) log: String,
    /// How log lines look: for people, or one JSON object each.
    #[arg(
        long,
        global = true,
        help_heading = OUTPUT,
        env = "OCEANID_LOG_FORMAT",
        value_enum,
        default_value_t = LogFormat::Text,
        value_name = "text|json",
        hide_possible_values = true
    )]
    pub(crate) log_format: LogFormat,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a whole development network: L1, contracts, sequencers, a follower.
    Dev(DevArgs),
    /// Run one node: a sequencer, or a follower that needs nothing but L1.
    Node(NodeCommand),
    /// Bring a new chain's contracts to an L1 and write its specification. Killed and run again, it goes on where it was.
    Deploy(DeployArgs),
    /// Move the gas token between L1 and L2.
    Bridge(BridgeArgs),
    /// An operator's commands: keys, stake, rewards, and a doctor.
    Sequencer(SequencerArgs),
    /// Look at chain specifications.
    Spec(SpecArgs),
    /// Look at a node's configuration: the file, the environment (OCEANID_NODE_…) over it, flags over both.
    Config(ConfigArgs),
    /// Look into the database of a node that does not run, or make it smaller.
    Db(DbArgs),
    /// The blocks of a stopped node in one file, with the certificates that make them final.
    Snapshot(SnapshotArgs),
    /// Print the completion script of a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write man pages, one for each command.
    Man {
        /// Where to.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// `oceanid dev`.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Number of sequencers [default: 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) sequencers: Option<u32>,
    /// Time between blocks under load [default: 500ms].
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    pub(crate) block_time: Option<u64>,
    /// An empty block is made after this long without one [default: 3s].
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    pub(crate) heartbeat: Option<u64>,
    /// Stake, rewards, slashing, and what follows below: seconds where a real chain has days, or the figures of the Metis network [default: dev].
    #[arg(long, value_name = "dev|metis")]
    pub(crate) preset: Option<Preset>,
    /// Blocks in an epoch [default: by preset, 60 or 1000].
    #[arg(long, value_name = "BLOCKS", value_parser = clap::value_parser!(u64).range(4..=100_000))]
    pub(crate) epoch_length: Option<u64>,
    /// Time after which an output on L1 is final [default: by preset, 10s or 7 days].
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    pub(crate) challenge_window: Option<u64>,
    /// Time between the issue of a ticket and its claim [default: by preset, 5 minutes or 21 days].
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    pub(crate) unbonding_period: Option<u64>,
    /// Time between rotations of the committee [default: by preset, 20s or a day].
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    pub(crate) rotation_interval: Option<u64>,
    /// Time in jail before a sequencer may come back [default: by preset, a minute or a day].
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    pub(crate) jail_period: Option<u64>,
    /// Time without a batch after which the newest committee may take over [default: by preset, a minute or 12 hours].
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    pub(crate) stall_timeout: Option<u64>,
    /// Where batches go: `blob` if the L1's beacon API is known, else `calldata`.
    #[arg(long, value_name = "calldata|blob")]
    pub(crate) da: Option<DaMode>,
    /// Use this L1 instead of the embedded one (chain with Prague rules, such as `anvil --hardfork prague`).
    #[arg(long, value_name = "URL")]
    pub(crate) l1: Option<String>,
    /// Beacon API of that L1, needed to read blobs back.
    #[arg(long, value_name = "URL", requires = "l1")]
    pub(crate) l1_beacon: Option<String>,
    /// Seconds between blocks of the embedded L1.
    #[arg(long, default_value = "1s", value_name = "DURATION", value_parser = duration_ms, conflicts_with = "l1")]
    pub(crate) l1_block_time: u64,
    /// Keep everything in this folder: a new or empty one, or one that holds a network of an earlier run, which goes on as it was made (flags that say otherwise are refused). Without it a temporary folder is used and removed.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Write accounts, urls and addresses to this file (JSON) once the network is ready.
    #[arg(long, value_name = "FILE")]
    pub(crate) config_out: Option<PathBuf>,
    /// Run each node as a process of its own, restarted when it dies.
    #[arg(long)]
    pub(crate) processes: bool,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub(crate) host: std::net::IpAddr,
    /// Port of L2's RPC (first sequencer). The follower takes the next one, the other sequencers the ones after. 0: any free ports.
    #[arg(long, default_value_t = 9545, value_name = "PORT")]
    pub(crate) port: u16,
    /// Port of the embedded L1's RPC; its beacon API takes the next one. 0: any free ports.
    #[arg(long, default_value_t = 8545, value_name = "PORT")]
    pub(crate) l1_port: u16,
}

/// `oceanid deploy`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DeployArgs {
    /// The deployment file (TOML): what the chain is to be.
    pub(crate) file: PathBuf,
    /// Write a commented template to FILE, and nothing else.
    #[arg(long, conflicts_with_all = ["out", "l1", "yes", "dry_run", "json"])]
    pub(crate) init: bool,
    /// Where the specification goes, and the journal by which another run goes on.
    #[arg(long, value_name = "DIR", default_value = "deployment")]
    pub(crate) out: PathBuf,
    /// L1 execution endpoint, instead of the file's `l1.http`.
    #[arg(long, value_name = "URL")]
    pub(crate) l1: Option<String>,
    /// Send without asking.
    #[arg(long, help_heading = SENDING)]
    pub(crate) yes: bool,
    /// Show the plan, send nothing.
    #[arg(long, help_heading = SENDING, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Print the result as one JSON object.
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) json: bool,
}

/// `oceanid node`.
#[derive(Clone, Debug, Args)]
pub(crate) struct NodeCommand {
    /// What it is to be.
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// For `oceanid dev --processes` alone: the log calls the node NAME, and the node ends when its standard input does.
    #[arg(long, hide = true, value_name = "NAME")]
    pub(crate) dev_child: Option<String>,
}

/// What a node is told on the command line.
#[derive(Clone, Debug, Args)]
pub(crate) struct NodeArgs {
    /// Configuration file (TOML). Over it come variables (`l1.poll-ms` is OCEANID_NODE_L1_POLL_MS), then the flags below.
    #[arg(long, value_name = "FILE", env = "OCEANID_CONFIG_FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Follow L1 without any peer: derive, execute, compare. Ignores `[sequencer]`.
    #[arg(long)]
    pub(crate) follow: bool,
    /// L1 account (Web3 Secret Storage) with which a node that is no sequencer watches over the chain: rotates, credits, jails.
    #[arg(long, value_name = "FILE")]
    pub(crate) watch: Option<PathBuf>,
    /// Chain specification (JSON).
    #[arg(long, value_name = "FILE")]
    pub(crate) spec: Option<PathBuf>,
    /// L1 execution endpoint.
    #[arg(long, value_name = "URL")]
    pub(crate) l1: Option<String>,
    /// L1 beacon endpoint.
    #[arg(long, value_name = "URL")]
    pub(crate) l1_beacon: Option<String>,
    /// Where the node keeps its state.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Collector that gets traces over OTLP (http/protobuf), such as http://127.0.0.1:4318; without it none are made.
    #[arg(long, value_name = "URL")]
    pub(crate) otlp_endpoint: Option<String>,
    /// Address of the JSON-RPC server.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) http: Option<SocketAddr>,
    /// A sequencer's JSON-RPC endpoint, which gets the transactions sent here while the node has no seat; without it they are refused.
    #[arg(long, value_name = "URL")]
    pub(crate) forward: Option<String>,
    /// Folder with a sequencer's encrypted keys: the node takes part in consensus whenever it has a seat.
    #[arg(long, value_name = "DIR", conflicts_with = "follow")]
    pub(crate) keys: Option<PathBuf>,
    /// File with the password of the keys; without it OCEANID_PASSWORD or the terminal is asked.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Address of the peer-to-peer port of a sequencer.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) p2p: Option<SocketAddr>,
    /// Another sequencer and where to reach it; repeatable.
    #[arg(long = "peer", value_name = "IDENTITY@ADDRESS:PORT", value_parser = peer)]
    pub(crate) peers: Vec<(B256, SocketAddr)>,
    /// Where a sequencer's batches go.
    #[arg(long, value_name = "calldata|blob")]
    pub(crate) da: Option<DaMode>,
}

/// `oceanid config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

/// Actions of `oceanid config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Print every value that `oceanid node` would run with, and where it comes from.
    Show {
        /// As for `oceanid node`.
        #[command(flatten)]
        node: NodeArgs,
        /// Print one JSON object.
        #[arg(long, help_heading = OUTPUT)]
        json: bool,
    },
    /// Check the values and the files they name, without starting anything. Exit code 1 if something fails.
    Check {
        /// As for `oceanid node`.
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// Which chain a command about a database is about.
#[derive(Debug, Args)]
pub(crate) struct ChainArgs {
    /// Configuration file of the node (TOML). The flags below override it.
    #[arg(long, global = true, help_heading = WHICH, value_name = "FILE", env = "OCEANID_CONFIG_FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Chain specification (JSON).
    #[arg(long, global = true, help_heading = WHICH, value_name = "FILE")]
    pub(crate) spec: Option<PathBuf>,
    /// The node's data directory.
    #[arg(long, global = true, help_heading = WHICH, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// `oceanid db`.
#[derive(Debug, Args)]
pub(crate) struct DbArgs {
    /// Which database.
    #[command(flatten)]
    pub(crate) chain: ChainArgs,
    /// Print the result as one JSON object.
    #[arg(long, global = true, help_heading = OUTPUT)]
    pub(crate) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: DbAction,
}

/// Actions of `oceanid db`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum DbAction {
    /// Newest block, marks, reach of the history, bytes on disk.
    Stats,
    /// Cut the states of the past, remove log segments that are no longer needed, and merge the engine's files, so that the disk gets the
    /// space back. Blocks, receipts, certificates and the proofs of withdrawals stay, all of them.
    Prune {
        /// Blocks before the newest one whose states stay, 1 to 1000000 [default: the node's `history`].
        #[arg(long, value_name = "BLOCKS")]
        history: Option<u64>,
        /// Show what would go and what there is, remove nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Go through every block, certificate and index entry, and compute the state root from all values. Exit code 1 if something is wrong.
    Verify,
}

/// `oceanid snapshot`.
#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    /// Of which node, or into which data directory.
    #[command(flatten)]
    pub(crate) chain: ChainArgs,
    /// Print the result as one JSON object.
    #[arg(long, global = true, help_heading = OUTPUT)]
    pub(crate) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: SnapshotAction,
}

/// Actions of `oceanid snapshot`.
#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotAction {
    /// Write a snapshot of a stopped sequencer, up to its newest certified block.
    Create {
        /// The new file.
        file: PathBuf,
    },
    /// Build an empty data directory from a snapshot: executes every block, verifies every certificate, trusts nothing in the file.
    Restore {
        /// The file.
        file: PathBuf,
    },
}

/// `oceanid bridge`.
#[derive(Debug, Args)]
pub(crate) struct BridgeArgs {
    /// File written by `oceanid dev --config-out`.
    #[arg(long, global = true, help_heading = WHICH, value_name = "FILE", env = "OCEANID_CONFIG", default_value = "oceanid.json")]
    pub(crate) config: PathBuf,
    /// Private key (0x-hex) of the account that pays and sends; by default the first account of the file.
    #[arg(long, global = true, help_heading = WHICH, value_name = "KEY", env = "OCEANID_PRIVATE_KEY", hide_env_values = true)]
    pub(crate) private_key: Option<String>,
    /// Print the result as one JSON object.
    #[arg(long, global = true, help_heading = OUTPUT)]
    pub(crate) json: bool,
    /// Direction.
    #[command(subcommand)]
    pub(crate) direction: BridgeDirection,
}

/// Directions of `oceanid bridge`.
#[derive(Debug, Subcommand)]
pub(crate) enum BridgeDirection {
    /// L1 to L2: escrow the token in `Portal`, wait until the balance is there.
    Deposit(Transfer),
    /// L2 to L1: send to the message passer, wait for the output, prove, wait for the window, finalise.
    Withdraw(Transfer),
}

/// What is moved.
#[derive(Debug, Args)]
pub(crate) struct Transfer {
    /// Amount of the gas token, in whole tokens (`1.5`).
    #[arg(value_name = "AMOUNT")]
    pub(crate) amount: String,
    /// Receiver; by default the sender.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: Option<alloy_primitives::Address>,
}

/// `oceanid spec`.
#[derive(Debug, Args)]
pub(crate) struct SpecArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: SpecAction,
}

/// Actions of `oceanid spec`.
#[derive(Debug, Subcommand)]
pub(crate) enum SpecAction {
    /// Check a specification and print its genesis hash and consensus namespace as JSON.
    Check {
        /// The file.
        file: PathBuf,
    },
}

/// `0x…@203.0.113.7:26656`.
fn peer(text: &str) -> Result<(B256, SocketAddr), String> {
    let parts = text.split_once('@').and_then(|(identity, address)| Some((identity.parse().ok()?, address.parse().ok()?)));
    parts.ok_or_else(|| format!("`{text}` is not an identity (32 bytes of 0x-hex), `@`, and an address with a port"))
}

/// `500ms`, `2s`, `3m`, `1h`, `7d`: milliseconds, at least 1.
fn duration_ms(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(format!("`{text}` is not a number and a unit: write 500ms, 2s, 3m, 1h or 7d")),
    };
    let value = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    value.filter(|ms| *ms > 0).ok_or_else(|| format!("`{text}` is not a duration above zero"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_need_a_unit_and_a_value() {
        assert_eq!(duration_ms("500ms"), Ok(500));
        assert_eq!(duration_ms("2s"), Ok(2_000));
        assert_eq!(duration_ms("3m"), Ok(180_000));
        assert_eq!(duration_ms("7d"), Ok(604_800_000));
        for bad in ["5", "ms", "0s", "1w", "99999999999999999h", ""] {
            assert!(duration_ms(bad).is_err(), "{bad}");
        }
    }
}
