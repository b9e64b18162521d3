//! The only place that writes to the terminal: results to stdout, progress to stderr.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this module is where results and progress are printed")]

/// A result line on stdout.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// A result object on stdout, one line.
pub(crate) fn json(value: &serde_json::Value) {
    println!("{value}");
}

/// A progress line on stderr.
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

/// Starts logging to stderr; `filter` is `RUST_LOG` syntax.
pub(crate) fn start_logging(filter: &str, json: bool) -> eyre::Result<()> {
    use eyre::WrapErr;
    let filter: tracing_subscriber::EnvFilter =
        filter.parse().wrap_err_with(|| format!("--log `{filter}`: not a filter such as `info` or `oceanid_sequencer=debug`"))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if json {
        logs.json().init();
    } else {
        logs.compact().init();
    }
    Ok(())
}
