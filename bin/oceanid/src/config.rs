//! `oceanid config`: what a node would run with, where each value comes from, and whether it would start.

use crate::cli::{ConfigAction, ConfigArgs};
use crate::{node, one_line, output};
use oceanid_node::{KeyFolder, NodeConfig, Settings, account_address, load_spec, read_private};
use serde_json::{Map, json};
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn run(args: ConfigArgs) -> eyre::Result<ExitCode> {
    match args.action {
        ConfigAction::Show { node, json } => {
            show(&node::settings(node)?, json)?;
            Ok(ExitCode::SUCCESS)
        }
        ConfigAction::Check { node } => check(&node::settings(node)?.build()?),
    }
}

fn show(settings: &Settings, json: bool) -> eyre::Result<()> {
    let settings = settings.in_force()?;
    if json {
        let entries = settings.into_iter().map(|setting| {
            let entry = json!({ "value": setting.value, "source": setting.source.to_string() });
            (setting.name, entry)
        });
        output::json(&entries.collect::<Map<_, _>>().into());
        return Ok(());
    }
    let left: Vec<String> = settings.iter().map(|setting| format!("{} = {}", setting.name, setting.value)).collect();
    let width = left.iter().map(String::len).max().unwrap_or_default();
    for (left, setting) in left.iter().zip(&settings) {
        output::line(&format!("{left:<width$}  # {}", setting.source));
    }
    Ok(())
}

/// What the configuration names, file by file. Nothing is asked of L1: that is what `sequencer doctor` does.
fn check(config: &NodeConfig) -> eyre::Result<ExitCode> {
    let mut failed = false;
    let mut tell = |what: &str, found: eyre::Result<String>| {
        let (level, text) = found.map_or_else(|error| ("FAIL", one_line(&error)), |text| ("ok", text));
        failed |= level == "FAIL";
        output::line(&format!("{level:<5} {what:<9} {text}"));
    };
    tell("spec", load_spec(&config.spec).map(|spec| format!("{} (chain {})", spec.name, spec.chain_id)).map_err(Into::into));
    match &config.sequencer {
        None => tell("role", Ok("follower".to_owned())),
        Some(section) => {
            tell("role", Ok(format!("sequencer, listens on {}", section.listen)));
            match (&section.keys, &section.key_file) {
                (Some(folder), _) => {
                    let keys = KeyFolder::new(folder).public();
                    tell("keys", keys.map(|keys| format!("identity {}", keys.identity)).map_err(Into::into));
                }
                (None, Some(file)) => tell("keys", readable(file)),
                (None, None) => tell("keys", Err(eyre::eyre!("`sequencer.keys` is missing"))),
            }
            if let Some(file) = &section.password_file {
                tell("password", readable(file));
            }
        }
    }
    if let Some(account) = config.keeper.account.as_ref().filter(|_| config.keeper.enabled) {
        tell("keeper", account_address(account).map(|address| address.to_string()).map_err(Into::into));
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A secret's file that is there and private. One that is no regular file would be used up by looking.
fn readable(file: &Path) -> eyre::Result<String> {
    if std::fs::metadata(file).is_ok_and(|about| !about.is_file()) {
        return Ok(format!("{} is not a regular file: read at start", file.display()));
    }
    read_private(file)?;
    Ok(file.display().to_string())
}
