//! `oceanid node`: one node from a configuration file, the environment and flags.

use crate::cli::{Command, NodeArgs, NodeCommand};
use crate::output;
use crate::processes::{STOP_PATIENCE, parent_gone};
use crate::telemetry::Export;
use eyre::{WrapErr, ensure};
use oceanid_node::{Node, NodeConfig, Settings, Source};
use std::path::PathBuf;
use tracing::{Instrument as _, Span, error_span};

pub(crate) async fn run(args: NodeCommand) -> eyre::Result<()> {
    let config = settings(args.node)?.build()?;
    match args.dev_child {
        None => serve(config, std::future::pending()).await,
        Some(name) => serve(config, parent_gone()?).instrument(span(&name)).await,
    }
}

/// By which every line of the log names its node, where several write into one. At the level of errors, so that no filter leaves it out.
pub(crate) fn span(name: &str) -> Span {
    error_span!("node", name)
}

/// Runs a node until it is told to stop, fails, or has been orphaned.
async fn serve(config: NodeConfig, orphaned: impl Future<Output = ()>) -> eyre::Result<()> {
    tokio::pin!(orphaned);
    let node = tokio::select! {
        node = Node::start(config) => node?,
        () = &mut orphaned => return Ok(()),
    };
    output::json(&serde_json::json!({
        "http": format!("http://{}", node.rpc_address()),
        "ws": format!("ws://{}", node.rpc_address()),
        "genesisHash": node.ledger().genesis_hash(),
        "role": node.role(),
    }));
    let ended = tokio::select! {
        signal = stop_signal() => { signal?; Ok(()) }
        reason = node.stopped() => Err(eyre::eyre!("{reason}")),
        () = &mut orphaned => {
            // Nobody is left who would kill a node that does not stop.
            let _ = tokio::time::timeout(STOP_PATIENCE, node.shutdown()).await;
            return Ok(());
        }
    };
    node.shutdown().await;
    ended
}

/// Where a node's spans go, if it is a node that is started and it is told to send them.
pub(crate) fn export(command: &Command) -> eyre::Result<Option<Export>> {
    let Command::Node(args) = command else { return Ok(None) };
    let config = settings(args.node.clone())?.build()?;
    Ok(config.otlp_endpoint.map(|endpoint| Export { endpoint, rpc_one_in: config.otlp_rpc_one_in }))
}

/// The file, the environment over it, and flags over both.
pub(crate) fn settings(args: NodeArgs) -> eyre::Result<Settings> {
    let mut settings = Settings::from_process(args.config.as_deref())?;
    if args.follow {
        settings.forget("sequencer");
    }
    let path = |given: Option<PathBuf>| given.map(|path| path.to_string_lossy().into_owned());
    let flags = [
        ("spec", "--spec", path(args.spec)),
        ("data-dir", "--data-dir", path(args.data_dir)),
        ("l1.http", "--l1", args.l1),
        ("l1.beacon", "--l1-beacon", args.l1_beacon),
        ("otlp-endpoint", "--otlp-endpoint", args.otlp_endpoint),
        ("rpc.listen", "--http", args.http.map(|address| address.to_string())),
        ("rpc.forward", "--forward", args.forward),
        ("sequencer.keys", "--keys", path(args.keys)),
        ("sequencer.password-file", "--password-file", path(args.password_file)),
        ("sequencer.listen", "--p2p", args.p2p.map(|address| address.to_string())),
        ("sequencer.da", "--da", args.da.map(|mode| mode.to_string())),
        ("keeper.account", "--watch", path(args.watch)),
    ];
    let mut sequences = !args.peers.is_empty();
    for (key, flag, value) in flags {
        if let Some(value) = value {
            sequences |= key.starts_with("sequencer.");
            settings.set(key, value, Source::Flag(flag))?;
        }
    }
    for (identity, address) in args.peers {
        settings.set(&format!("sequencer.peers.{identity}"), address.to_string(), Source::Flag("--peer"))?;
    }
    ensure!(
        !sequences || settings.has("sequencer.keys") || settings.has("sequencer.key-file"),
        "--p2p, --peer, --password-file and --da are for sequencers: name the keys with --keys or `sequencer.keys`"
    );
    Ok(settings)
}

/// Waits for SIGINT or SIGTERM.
pub(crate) async fn stop_signal() -> eyre::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).wrap_err("cannot listen for SIGTERM")?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.wrap_err("cannot listen for SIGINT"),
        _ = terminate.recv() => Ok(()),
    }
}
