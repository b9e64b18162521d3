//! The only place that writes to the terminal: results to stdout, progress to stderr.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this module is where results and progress are printed")]

use crate::telemetry::{self, Export, Telemetry};

/// A result line on stdout.
pub(crate) fn line(text: &str) {
    print(text);
}

/// A result object on stdout, one line.
pub(crate) fn json(value: &serde_json::Value) {
    print(value);
}

/// A reader that has gone, as `head` does, has what it wanted; another failure is said.
fn print(text: impl std::fmt::Display) {
    use std::io::Write;
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => progress(&format!("cannot write to stdout: {error}")),
        _ => {}
    }
}

/// A progress line on stderr.
pub(crate) fn progress(text: &str) {
    eprintln!("{text}");
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for programs.
    Json,
}

impl LogFormat {
    /// As it is given to `--log-format`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Starts logging to stderr, and sends spans to a collector if there is one; `filter` is `RUST_LOG` syntax. What is returned lives as long as the
/// program.
pub(crate) fn start_logging(filter: &str, format: LogFormat, export: Option<&Export>) -> eyre::Result<Telemetry> {
    use eyre::WrapErr;
    use std::io::IsTerminal;
    use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};
    let filter: tracing_subscriber::EnvFilter =
        filter.parse().wrap_err_with(|| format!("--log `{filter}`: not a filter such as `info` or `oceanid_sequencer=debug`"))?;
    // At `debug` this client writes the whole URL of the L1 endpoint, with the key in it, into every line.
    let mut filter = filter.add_directive("alloy_transport_http=info".parse()?);
    // The store's engine tells at `info` what only its authors want to know.
    for engine in ["fjall=warn", "lsm_tree=warn"] {
        filter = filter.add_directive(engine.parse()?);
    }
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let logs = match format {
        LogFormat::Text => logs.compact().boxed(),
        LogFormat::Json => logs.json().boxed(),
    };
    let (spans, telemetry) = match export {
        Some(export) => {
            let (spans, telemetry) = telemetry::layer(export)?;
            (Some(spans), telemetry)
        }
        None => (None, Telemetry::default()),
    };
    tracing_subscriber::registry().with(logs.with_filter(filter)).with(spans).init();
    Ok(telemetry)
}
