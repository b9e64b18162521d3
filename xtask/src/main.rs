//! Chores of the repository, one subcommand each: `cargo xtask snapshots`, `cargo xtask crash`, `cargo xtask bench`.
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to the terminal")]

mod bench;
mod client;
mod crash;
mod follow;
mod network;
mod rpc_compat;
mod snapshot;
mod snapshots;
mod story;

use clap::{Parser, Subcommand};

/// Chores of the Oceanid repository.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Compare the command line's help texts with the committed ones.
    Snapshots(snapshots::Args),
    /// Kill processes of a real network with SIGKILL under load, round after round, and check that nothing final is lost.
    Crash(crash::Args),
    /// Run the JSON-RPC tests of ethereum/execution-apis against our own server.
    RpcCompat(rpc_compat::Args),
    /// Start a follower on an empty folder when the chain is long, and compare state roots.
    Follow(follow::Args),
    /// Restore a stopped sequencer's snapshot, refuse changed ones, and compare with a follower from L1 alone.
    Snapshot(snapshot::Args),
    /// The life of sequencers over real processes: join, earn, leave, slash, jail, recover.
    Story(story::Args),
    /// Measure, and print Markdown tables: everything in docs/benchmarks.md.
    Bench(bench::Args),
}

#[tokio::main]
async fn main() -> eyre::Result<()> {
    match Cli::parse().chore {
        Chore::Snapshots(args) => snapshots::run(&args),
        Chore::Crash(args) => crash::run(args).await,
        Chore::RpcCompat(args) => rpc_compat::run(args).await,
        Chore::Follow(args) => follow::run(args).await,
        Chore::Snapshot(args) => snapshot::run(args).await,
        Chore::Story(args) => story::run(args).await,
        Chore::Bench(args) => bench::run(args).await,
    }
}
