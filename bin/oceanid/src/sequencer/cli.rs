//! The command line of `oceanid sequencer`.

use crate::cli::{OUTPUT, SENDING, WHICH};
use alloy_primitives::Address;
use clap::{Args, Subcommand, ValueEnum};
use oceanid_node::KeyRole;
use std::path::PathBuf;

/// `oceanid sequencer`.
#[derive(Debug, Args)]
pub(crate) struct SequencerArgs {
    /// Configuration file of the node (TOML): specification, L1, keys, RPC. The flags below override it.
    #[arg(long, global = true, help_heading = WHICH, value_name = "FILE", env = "OCEANID_CONFIG_FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Chain specification (JSON).
    #[arg(long, global = true, help_heading = WHICH, value_name = "FILE")]
    pub(crate) spec: Option<PathBuf>,
    /// L1 execution endpoint.
    #[arg(long, global = true, help_heading = WHICH, value_name = "URL")]
    pub(crate) l1: Option<String>,
    /// JSON-RPC endpoint of the node, or of another one of the chain.
    #[arg(long, global = true, help_heading = WHICH, value_name = "URL")]
    pub(crate) l2: Option<String>,
    /// Folder with the encrypted keys.
    #[arg(long, global = true, help_heading = WHICH, value_name = "DIR")]
    pub(crate) keys: Option<PathBuf>,
    /// File with the password of the keys; without it OCEANID_PASSWORD or the terminal is asked.
    #[arg(long, global = true, help_heading = WHICH, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Web3 keystore of the L1 account that signs; by default `owner.json` of the keys.
    #[arg(long, global = true, help_heading = WHICH, value_name = "FILE")]
    pub(crate) account: Option<PathBuf>,
    /// Number of the sequencer in the pool; by default the one the identity key is registered under.
    #[arg(long, global = true, help_heading = WHICH, value_name = "N")]
    pub(crate) id: Option<u64>,
    /// Send without asking.
    #[arg(long, global = true, help_heading = SENDING)]
    pub(crate) yes: bool,
    /// Simulate and show, send nothing.
    #[arg(long, global = true, help_heading = SENDING, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Print the result as one JSON object.
    #[arg(long, global = true, help_heading = OUTPUT)]
    pub(crate) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: SequencerAction,
}

/// Actions of `oceanid sequencer`.
#[derive(Debug, Subcommand)]
pub(crate) enum SequencerAction {
    /// Check everything a sequencer needs: L1, clock, disk, ports, keys, funds, synchronisation. Exit code 1 if something fails.
    Doctor,
    /// Make, import, export and rotate keys.
    Keys(KeysArgs),
    /// Lock stake and queue for the committee.
    Lock(LockArgs),
    /// Add to the lock; counts from the next rotation.
    Increase(AmountArgs),
    /// Take part of the lock out, as a ticket.
    Decrease(AmountArgs),
    /// Leave for good: the whole lock becomes a ticket. Run again, it ends an exit that no rotation has served.
    Exit,
    /// Come back from jail.
    Unjail,
    /// Pay out tickets that are due.
    Claim(ClaimArgs),
    /// Name the L1 account that posts batches for the sequencer: only what a named account spends is paid back.
    Poster(PosterArgs),
    /// What was earned and credited, epoch by epoch, and its realised APR.
    Rewards(RewardsArgs),
    /// The sequencer's record in the pool, its tickets, and the node's state.
    Status,
}

/// `oceanid sequencer lock`.
#[derive(Debug, Args)]
pub(crate) struct LockArgs {
    /// Stake in whole tokens (`20000`).
    #[arg(value_name = "AMOUNT")]
    pub(crate) amount: String,
    /// Who takes the rewards; by default the owner.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) recipient: Option<Address>,
}

/// An amount of stake.
#[derive(Debug, Args)]
pub(crate) struct AmountArgs {
    /// Amount in whole tokens (`1000.5`).
    #[arg(value_name = "AMOUNT")]
    pub(crate) amount: String,
}

/// `oceanid sequencer claim`.
#[derive(Debug, Args)]
pub(crate) struct ClaimArgs {
    /// One ticket; by default all of the sequencer's that are due and belong to the account.
    #[arg(value_name = "TICKET")]
    pub(crate) ticket: Option<u64>,
}

/// `oceanid sequencer poster`.
#[derive(Debug, Args)]
pub(crate) struct PosterArgs {
    /// The account; by default that of `poster.json`. Zero names none.
    #[arg(value_name = "ADDRESS")]
    pub(crate) poster: Option<Address>,
}

/// `oceanid sequencer rewards`.
#[derive(Debug, Args)]
pub(crate) struct RewardsArgs {
    /// Newest epochs shown, 1 to 1000.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub(crate) epochs: u64,
    /// What to do instead of showing.
    #[command(subcommand)]
    pub(crate) action: Option<RewardsAction>,
}

/// Actions of `oceanid sequencer rewards`.
#[derive(Debug, Subcommand)]
pub(crate) enum RewardsAction {
    /// Claim what is credited.
    Claim {
        /// Where it goes: to the recipient on L1 or L2, or into the lock.
        #[arg(long, value_name = "WHERE")]
        to: Destination,
        /// Part of the credit, in whole tokens (relock only; by default all that fits).
        #[arg(long, value_name = "AMOUNT")]
        amount: Option<String>,
    },
}

/// Where rewards go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Destination {
    /// To the recipient on L1.
    L1,
    /// To the recipient on L2, as native coin.
    L2,
    /// Into the lock.
    Relock,
}

/// `oceanid sequencer keys`.
#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: KeysAction,
}

/// Actions of `oceanid sequencer keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysAction {
    /// Make identity, consensus and poster keys, and an owner's account.
    New {
        /// Make no owner's account: the owner's key is elsewhere.
        #[arg(long)]
        no_owner: bool,
    },
    /// Encrypt a key from elsewhere into the folder.
    Import {
        /// Which key.
        role: Role,
        /// EIP-2335 or Web3 keystore, or with --raw a file with 32 bytes of 0x-hex.
        file: PathBuf,
        /// The file holds the bare key (for `identity` the ed25519 seed).
        #[arg(long)]
        raw: bool,
        /// File with the password of FILE; by default that of the folder.
        #[arg(long, value_name = "FILE", conflicts_with = "raw")]
        from_password_file: Option<PathBuf>,
    },
    /// Write a key to a file outside the folder, encrypted with the folder's password or with another.
    Export {
        /// Which key (of several consensus keys the newest).
        role: Role,
        /// The new file.
        file: PathBuf,
        /// Write the bare key as 0x-hex.
        #[arg(long)]
        raw: bool,
        /// File with the password of the new file; by default that of the folder.
        #[arg(long, value_name = "FILE", conflicts_with = "raw")]
        to_password_file: Option<PathBuf>,
    },
    /// Make a new consensus key and register it; restart the node afterwards.
    Rotate,
    /// Seal every key of the folder with another password; restart the node with it afterwards.
    Password {
        /// File with the new password; without it the terminal is asked.
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
    },
    /// Prove that a backup is good: restore it into a temporary folder and let every key sign for its public key.
    TestRecovery {
        /// Folder with the backup's files. If --keys or a configuration names the node's folder too, the keys must be the same.
        backup: PathBuf,
    },
}

/// Which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// ed25519: names the node on the network.
    Identity,
    /// BLS12-381: signs votes.
    Consensus,
    /// secp256k1: the node's L1 account.
    Poster,
    /// secp256k1: owns the lock.
    Owner,
}

impl From<Role> for KeyRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Identity => Self::Identity,
            Role::Consensus => Self::Consensus,
            Role::Poster => Self::Poster,
            Role::Owner => Self::Owner,
        }
    }
}
