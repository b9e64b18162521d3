//! `oceanid db` and `oceanid snapshot`: the database of a node that does not run.

use crate::cli::{ChainArgs, DbAction, DbArgs, SnapshotAction, SnapshotArgs};
use crate::output;
use eyre::OptionExt;
use oceanid_node::{
    DEFAULT_HISTORY, PruneReport, Settings, Source, create_snapshot, database_stats, load_spec, prune_database, restore_snapshot,
    verify_database,
};
use oceanid_primitives::ChainSpec;
use serde_json::json;
use std::cell::Cell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pause between two lines of progress.
const TELL: Duration = Duration::from_secs(2);
const MIB: u64 = 1 << 20;

pub(crate) fn db(args: &DbArgs) -> eyre::Result<ExitCode> {
    let Chain { spec, data_dir, history } = chain(&args.chain)?;
    match args.action {
        DbAction::Stats => {
            let stats = database_stats(&data_dir, spec)?;
            if args.json {
                output::json(&json!(stats));
                return Ok(ExitCode::SUCCESS);
            }
            let line = |label: &str, value: String| output::line(&format!("{label:<12} {value}"));
            line("head", format!("{} {}, epoch {}", stats.head, stats.hash, stats.epoch));
            line("state root", stats.state_root.to_string());
            line("safe", stats.safe.to_string());
            line("finalized", stats.finalized.to_string());
            line("flushed", format!("{}; later blocks are in the log", stats.flushed));
            line("history", format!("states from block {} on", stats.oldest_state));
            for (part, bytes) in stats.bytes {
                line(part, format!("{}.{} MiB", bytes / MIB, bytes % MIB * 10 / MIB));
            }
            Ok(ExitCode::SUCCESS)
        }
        DbAction::Prune { history: asked, dry_run } => {
            let report = prune_database(&data_dir, spec, asked.unwrap_or(history), dry_run, &ticker("cut"))?;
            if args.json {
                output::json(&json!(report));
            } else {
                print_pruned(&report);
            }
            if asked.is_some_and(|asked| asked < history) && !dry_run {
                output::progress(&format!(
                    "the node keeps {history} blocks of history and lets it grow to that again; its key `history` says how many"
                ));
            }
            Ok(ExitCode::SUCCESS)
        }
        DbAction::Verify => {
            let report = verify_database(&data_dir, spec, &ticker("verified"))?;
            let ok = report.faults.is_empty();
            if args.json {
                output::json(&json!(report));
            } else if ok {
                output::line(&format!(
                    "{} blocks with {} transactions and {} certificates are whole; {} accounts, {} slots, {} codes and {} trie nodes have state root {} of block {}; history gives the states of {} blocks before it",
                    report.blocks,
                    report.transactions,
                    report.certificates,
                    report.accounts,
                    report.slots,
                    report.codes,
                    report.nodes,
                    report.state_root,
                    report.state_block,
                    report.history
                ));
            } else {
                for fault in &report.faults {
                    output::line(&format!("FAIL  {fault}"));
                }
                output::progress("restore a snapshot, or begin again with an empty data directory");
            }
            Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// What went, or would go, and a table of bytes by part.
fn print_pruned(report: &PruneReport) {
    let line = |label: &str, value: String| output::line(&format!("{label:<12} {value}"));
    let will = if report.bytes_after.is_some() { "removed" } else { "would be removed" };
    line(
        "history",
        format!(
            "states from block {} on, not {}: {} entries of {} bytes {will}",
            report.oldest_state_after, report.oldest_state, report.history_entries, report.history_bytes
        ),
    );
    line("log", format!("{} segments {will}: all their blocks are in the engine", report.log_segments));
    line("head", format!("{}; blocks, receipts, certificates and withdrawal proofs stay", report.head));
    let row = |part: &str, before: &str, after: Option<&str>| {
        output::line(format!("{part:<12} {before:>16} {:>16}", after.unwrap_or_default()).trim_end());
    };
    row("bytes", "before", report.bytes_after.as_ref().map(|_| "after"));
    let after = |index: usize| report.bytes_after.as_ref().map(|parts| parts[index].1.to_string());
    for (index, (part, bytes)) in report.bytes.iter().enumerate() {
        row(part, &bytes.to_string(), after(index).as_deref());
    }
    let sum = |parts: &[(&str, u64)]| parts.iter().map(|(_, bytes)| bytes).sum::<u64>().to_string();
    row("all", &sum(&report.bytes), report.bytes_after.as_deref().map(sum).as_deref());
}

pub(crate) fn snapshot(args: &SnapshotArgs) -> eyre::Result<()> {
    let Chain { spec, data_dir, .. } = chain(&args.chain)?;
    let (done, file, summary) = match &args.action {
        SnapshotAction::Create { file } => ("written to", file, create_snapshot(&data_dir, spec, file, &ticker("written"))?),
        SnapshotAction::Restore { file } => {
            ("restored from", file, restore_snapshot(&data_dir, spec, file, &ticker("verified"))?)
        }
    };
    if args.json {
        output::json(&json!(summary));
    } else {
        output::line(&format!(
            "blocks 1 to {} {done} {}: {} certificates, epoch {}, hash {}, state root {}",
            summary.block,
            file.display(),
            summary.certificates,
            summary.epoch,
            summary.hash,
            summary.state_root
        ));
    }
    Ok(())
}

/// All of a node's configuration that is needed here.
struct Chain {
    spec: Arc<ChainSpec>,
    data_dir: PathBuf,
    /// Blocks of history that the node keeps.
    history: u64,
}

fn chain(args: &ChainArgs) -> eyre::Result<Chain> {
    let mut settings = Settings::from_process(args.config.as_deref())?;
    for (key, flag, value) in [("spec", "--spec", &args.spec), ("data-dir", "--data-dir", &args.data_dir)] {
        if let Some(value) = value {
            settings.set(key, value.to_string_lossy().into_owned(), Source::Flag(flag))?;
        }
    }
    let named = |key: &str| settings.text(key).map(PathBuf::from);
    let spec = named("spec").ok_or_eyre("--spec is missing: name the chain specification, or a node's --config")?;
    let data_dir = named("data-dir").ok_or_eyre("--data-dir is missing: name the data directory, or a node's --config")?;
    let history = settings.number("history").unwrap_or(DEFAULT_HISTORY);
    Ok(Chain { spec: Arc::new(load_spec(&spec)?), data_dir, history })
}

/// Says on stderr how far it is and how long it still takes, every few seconds.
fn ticker(what: &'static str) -> impl Fn(u64, u64) {
    let (started, told) = (Instant::now(), Cell::new(Instant::now()));
    move |done, of| {
        if told.get().elapsed() < TELL || done == 0 {
            return;
        }
        told.set(Instant::now());
        let left = started.elapsed().as_secs_f64() / done as f64 * of.saturating_sub(done) as f64;
        output::progress(&format!("{done} of {of} blocks {what}, {left:.0} s left"));
    }
}
