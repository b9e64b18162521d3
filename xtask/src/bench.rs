//! `cargo xtask bench`: everything in docs/benchmarks.md, as Markdown tables. No test depends on a figure.
//!
//! What is measured in process lives in the `benches` workspace, which links peers' libraries too; this runs it. What is measured from outside
//! (`node`, `rpc`) or read from committed figures (`l1-cost`) is here.

mod l1_cost;
mod node;
mod rpc;

use clap::ValueEnum;
use eyre::{WrapErr, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to measure.
    #[arg(default_value = "all")]
    bench: Bench,
    /// The binary that `node` and `rpc` measure; built in the release profile if not given.
    #[arg(long, value_name = "FILE")]
    oceanid: Option<PathBuf>,
    /// Blocks after which `node` takes its last look at memory.
    #[arg(long, default_value_t = 10_000)]
    blocks: u64,
    /// The peer of `rpc`.
    #[arg(long, value_name = "FILE", default_value = "contracts/node_modules/.bin/anvil")]
    anvil: PathBuf,
    /// Minutes for which `rpc` watches memory under load; 0 leaves it out.
    #[arg(long, default_value_t = 30)]
    minutes: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// The state transition beside a bare revm loop.
    Exec,
    /// Checking and committing a block beside its bare parts.
    Pipeline,
    /// Proposal to final and durable, four nodes on loopback TCP.
    Finality,
    /// Start-up time and memory of a whole development network.
    Node,
    /// Transactions to receipts, calls and logs over http, beside anvil, and memory under load.
    Rpc,
    /// Batch bytes beside OP span batches.
    Da,
    /// fjall beside MDBX.
    Store,
    /// Gas on L1 of an epoch, beside the published flow of Metis.
    L1Cost,
    /// All of them.
    All,
}

impl Args {
    fn node(&self) -> eyre::Result<PathBuf> {
        self.oceanid.clone().map_or_else(build_node, Ok)
    }
}

pub(crate) async fn run(args: Args) -> eyre::Result<()> {
    println!("{}", machine());
    let every = [Bench::Exec, Bench::Pipeline, Bench::Finality, Bench::Node, Bench::Rpc, Bench::Da, Bench::Store, Bench::L1Cost];
    let chosen = if args.bench == Bench::All { &every[..] } else { std::slice::from_ref(&args.bench) };
    for bench in chosen {
        let name = bench.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        println!("\n## {name}");
        match bench {
            Bench::Node => node::run(&args.node()?, args.blocks).await?,
            Bench::Rpc => rpc::run(&args.node()?, &args.anvil, args.minutes).await?,
            Bench::L1Cost => l1_cost::run()?,
            _ => in_process(&name)?,
        }
    }
    Ok(())
}

/// Runs a bench of the `benches` workspace. Its lock file pins what comes from registries; a dependency that a crate of the main
/// workspace gained since is added on the way.
fn in_process(name: &str) -> eyre::Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--release", "--manifest-path", "benches/Cargo.toml", "--", name])
        .status()
        .wrap_err("cannot run cargo")?;
    ensure!(status.success(), "the bench `{name}` failed");
    Ok(())
}

/// Builds the release binary and says where it is.
fn build_node() -> eyre::Result<PathBuf> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--locked", "-p", "oceanid"])
        .status()
        .wrap_err("cannot run cargo")?;
    ensure!(status.success(), "the release build of `oceanid` failed");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Ok(target.join("release").join("oceanid"))
}

/// One line about what this runs on.
fn machine() -> String {
    let read = |file: &str| std::fs::read_to_string(Path::new(file)).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split(':').nth(1).unwrap_or("unknown").trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = field(&read("/proc/cpuinfo"), "model name");
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let load = read("/proc/loadavg");
    format!("Machine: {cores} cores ({cpu}), {memory} of memory, load {}.", load.split(' ').next().unwrap_or("unknown"))
}
