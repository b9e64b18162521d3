//! `oceanid node`: one node from a configuration file, flags on top.

use crate::cli::NodeArgs;
use crate::output;
use eyre::{OptionExt, WrapErr, ensure};
use oceanid_node::{KeeperSection, L1Config, Node, NodeConfig, RpcListen, SequencerSection};

pub(crate) async fn run(args: NodeArgs) -> eyre::Result<()> {
    let config = configuration(args)?;
    let node = Node::start(config).await?;
    output::json(&serde_json::json!({
        "http": format!("http://{}", node.rpc_address()),
        "ws": format!("ws://{}", node.rpc_address()),
        "genesisHash": node.ledger().genesis_hash(),
        "role": node.role(),
    }));
    let ended = tokio::select! {
        signal = stop_signal() => { signal?; Ok(()) }
        reason = node.stopped() => Err(eyre::eyre!("{reason}")),
    };
    node.shutdown().await;
    ended
}

fn configuration(args: NodeArgs) -> eyre::Result<NodeConfig> {
    let mut config = match &args.config {
        Some(file) => NodeConfig::load(file)?,
        None => NodeConfig {
            spec: args.spec.clone().ok_or_eyre("--spec is missing")?,
            data_dir: args.data_dir.clone().ok_or_eyre("--data-dir is missing")?,
            l1: L1Config::new(args.l1.clone().ok_or_eyre("--l1 is missing")?),
            rpc: RpcListen::default(),
            sequencer: None,
            keeper: KeeperSection::default(),
            history: oceanid_node::DEFAULT_HISTORY,
            write_buffer_mib: oceanid_node::DEFAULT_WRITE_BUFFER_MIB,
        },
    };
    if args.follow {
        config.sequencer = None;
    }
    if let Some(keys) = args.keys {
        let listen = args.p2p.or(config.sequencer.as_ref().map(|section| section.listen));
        let listen = listen.ok_or_eyre("--p2p is missing: say where other sequencers reach this one")?;
        let section = config.sequencer.get_or_insert_with(|| SequencerSection::new(listen));
        section.keys = Some(keys);
    }
    match &mut config.sequencer {
        Some(section) => {
            section.listen = args.p2p.unwrap_or(section.listen);
            section.password_file = args.password_file.or(section.password_file.take());
            section.da = args.da.unwrap_or(section.da);
            section.peers.extend(args.peers);
        }
        None => ensure!(
            args.p2p.is_none() && args.peers.is_empty() && args.password_file.is_none() && args.da.is_none(),
            "--p2p, --peer, --password-file and --da are for sequencers: name the keys with --keys or `sequencer.keys`"
        ),
    }
    if let Some(account) = args.watch {
        config.keeper.account = Some(account);
    }
    if let Some(spec) = args.spec {
        config.spec = spec;
    }
    if let Some(url) = args.l1 {
        config.l1.http = url;
    }
    if let Some(url) = args.l1_beacon {
        config.l1.beacon = Some(url);
    }
    if let Some(folder) = args.data_dir {
        config.data_dir = folder;
    }
    if let Some(listen) = args.http {
        config.rpc.listen = listen;
    }
    config.check()?;
    Ok(config)
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
