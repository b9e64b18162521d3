//! `cargo xtask snapshots`: the command line's help texts against the committed ones in `tests/snapshots/cli`.

use eyre::{WrapErr, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Commands whose help is committed.
const COMMANDS: [&[&str]; 40] = [
    &[],
    &["dev"],
    &["node"],
    &["deploy"],
    &["bridge"],
    &["bridge", "deposit"],
    &["bridge", "withdraw"],
    &["spec"],
    &["spec", "check"],
    &["config"],
    &["config", "show"],
    &["config", "check"],
    &["db"],
    &["db", "stats"],
    &["db", "prune"],
    &["db", "verify"],
    &["snapshot"],
    &["snapshot", "create"],
    &["snapshot", "restore"],
    &["completions"],
    &["man"],
    &["sequencer"],
    &["sequencer", "doctor"],
    &["sequencer", "keys"],
    &["sequencer", "keys", "new"],
    &["sequencer", "keys", "import"],
    &["sequencer", "keys", "export"],
    &["sequencer", "keys", "rotate"],
    &["sequencer", "keys", "password"],
    &["sequencer", "keys", "test-recovery"],
    &["sequencer", "lock"],
    &["sequencer", "increase"],
    &["sequencer", "decrease"],
    &["sequencer", "exit"],
    &["sequencer", "unjail"],
    &["sequencer", "claim"],
    &["sequencer", "poster"],
    &["sequencer", "rewards"],
    &["sequencer", "rewards", "claim"],
    &["sequencer", "status"],
];

/// Options.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fail on a difference instead of writing.
    #[arg(long)]
    check: bool,
    /// The binary whose help is read.
    #[arg(long, default_value = "target/debug/oceanid")]
    oceanid: PathBuf,
}

pub(crate) fn run(args: &Args) -> eyre::Result<()> {
    let folder = Path::new("tests/snapshots/cli");
    std::fs::create_dir_all(folder)?;
    let mut different = Vec::new();
    for command in COMMANDS {
        let output = Command::new(&args.oceanid)
            .args(command)
            .arg("--help")
            .output()
            .wrap_err_with(|| format!("cannot run {}", args.oceanid.display()))?;
        ensure!(output.status.success(), "`oceanid {} --help` failed", command.join(" "));
        let name = ["oceanid"].iter().chain(command).copied().collect::<Vec<_>>().join("-");
        let file = folder.join(format!("{name}.txt"));
        if args.check {
            if std::fs::read(&file).unwrap_or_default() != output.stdout {
                different.push(file.display().to_string());
            }
        } else {
            std::fs::write(&file, output.stdout)?;
        }
    }
    ensure!(
        different.is_empty(),
        "help texts differ from the committed ones: {}; if that is meant, run `cargo xtask snapshots`",
        different.join(", ")
    );
    Ok(())
}
