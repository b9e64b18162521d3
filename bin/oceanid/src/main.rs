//! The `oceanid` command: parse, log, run, and end with one line when something is wrong.

mod bridge;
mod cli;
mod dev;
mod node;
mod output;
mod processes;
mod spec;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match output::start_logging(&cli.log, cli.log_json) {
        Err(error) => Err(error),
        Ok(()) => match cli.command {
            Command::Dev(args) => dev::run(args, &cli.log).await,
            Command::Node(args) => node::run(args).await,
            Command::Bridge(args) => bridge::run(args).await,
            Command::Spec(args) => spec::run(&args),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::progress(&format!("oceanid: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
