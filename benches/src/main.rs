//! What is measured in process. `cargo xtask bench <name>` runs it; each name prints Markdown tables. Nothing here gates a test.
//!
//! | name | question |
//! |---|---|
//! | `exec` | what the state transition costs beside a bare revm loop |
//! | `pipeline` | what checking and committing a block costs beside its bare parts |
//! | `finality` | how long from proposal to a durable final block, four nodes on loopback TCP |
//! | `da` | bytes of batch data a transaction, beside OP span batches |
//! | `store` | fjall beside MDBX, under the store's write pattern |
#![forbid(unsafe_code)]

mod da;
mod evm;
mod exec;
mod finality;
mod pipeline;
mod report;
mod store;
mod world;

use clap::{Parser, ValueEnum};

/// Benches that run in one process.
#[derive(Parser)]
struct Cli {
    /// What to measure.
    bench: Bench,
    /// Accounts, each also a token holder; several take their turns (`exec`, `pipeline`, `store`).
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 1_000_000])]
    accounts: Vec<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Bench {
    Exec,
    Pipeline,
    Finality,
    Da,
    Store,
}

fn main() -> eyre::Result<()> {
    let Cli { bench, accounts } = Cli::parse();
    for count in &accounts {
        let senders = world::BLOCK.transfers + world::BLOCK.token_transfers;
        eyre::ensure!(*count >= senders, "--accounts {count}: a block has {senders} distinct senders");
    }
    match bench {
        Bench::Exec => exec::run(&accounts),
        Bench::Pipeline => pipeline::run(&accounts),
        Bench::Finality => finality::run(),
        Bench::Da => da::run(),
        Bench::Store => store::run(&accounts),
    }
}
