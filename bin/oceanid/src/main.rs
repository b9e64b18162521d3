//! The `oceanid` command: parse, log, run, and end with one line when something is wrong.

mod bridge;
mod cli;
mod config;
mod deploy;
mod dev;
mod manual;
mod node;
mod output;
mod processes;
mod sequencer;
mod spec;
mod storage;
mod telemetry;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;
use std::time::Duration;

/// Time that work in the background gets when a command has ended. Some of it cannot be broken off, such as loading the KZG setup,
/// which takes seconds, and nothing of it is needed any more.
const BACKGROUND: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::progress(&format!("oceanid: cannot start threads: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(Cli::parse()));
    runtime.shutdown_timeout(BACKGROUND);
    code
}

async fn run(cli: Cli) -> ExitCode {
    let logging = node::export(&cli.command).and_then(|export| output::start_logging(&cli.log, cli.log_format, export.as_ref()));
    let (result, _telemetry) = match logging {
        Err(error) => (Err(error), None),
        Ok(telemetry) => (command(cli).await, Some(telemetry)),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            output::progress(&format!("oceanid: {}", one_line(&error)));
            ExitCode::FAILURE
        }
    }
}

async fn command(cli: Cli) -> eyre::Result<ExitCode> {
    match cli.command {
        Command::Dev(args) => done(dev::run(args, &cli.log, cli.log_format).await),
        Command::Node(args) => done(node::run(args).await),
        Command::Deploy(args) => done(deploy::run(&args).await),
        Command::Bridge(args) => done(bridge::run(args).await),
        Command::Sequencer(args) => sequencer::run(args).await,
        Command::Spec(args) => done(spec::run(&args)),
        Command::Config(args) => config::run(args),
        Command::Db(args) => storage::db(&args),
        Command::Snapshot(args) => done(storage::snapshot(&args)),
        Command::Completions { shell } => {
            manual::completions(shell);
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { folder } => done(manual::pages(&folder)),
    }
}

/// A command that has no exit codes of its own.
fn done(result: eyre::Result<()>) -> eyre::Result<ExitCode> {
    result.map(|()| ExitCode::SUCCESS)
}

/// The error and its causes in one line; a cause whose words the line already has is not said again.
fn one_line(error: &eyre::Report) -> String {
    error.chain().fold(String::new(), |line, cause| {
        let text = cause.to_string();
        if line.contains(&text) {
            line
        } else if line.is_empty() {
            text
        } else {
            format!("{line}: {text}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::one_line;
    use eyre::WrapErr;

    #[test]
    fn a_cause_is_said_once() {
        let error = Err::<(), _>(std::io::Error::other("disk full")).wrap_err("cannot write spec.json: disk full").unwrap_err();
        assert_eq!(one_line(&error), "cannot write spec.json: disk full");
        let error = Err::<(), _>(std::io::Error::other("disk full")).wrap_err("cannot write spec.json").unwrap_err();
        assert_eq!(one_line(&error), "cannot write spec.json: disk full");
    }
}
