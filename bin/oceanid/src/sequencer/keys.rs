//! `oceanid sequencer keys`.

use super::cli::KeysAction;
use super::transaction::{Call, perform};
use super::{Operator, output};
use alloy_primitives::{B256, hex, keccak256};
use eyre::{WrapErr, ensure};
use oceanid_contracts::l1::SequencerPool;
use oceanid_node::{KeyRole, Password, PublicKeys, Secret, open_account, open_bls, read_private, test_recovery, write_new};
use serde_json::json;
use std::path::Path;

pub(super) async fn run(operator: &Operator, action: &KeysAction) -> eyre::Result<()> {
    let sends = matches!(action, KeysAction::Rotate);
    ensure!(sends || !operator.args.dry_run, "--dry-run: this sends nothing; it works on key files, and would do so");
    match action {
        KeysAction::New { no_owner } => create(operator, !no_owner),
        KeysAction::Import { role, file, raw, from_password_file } => {
            import(operator, (*role).into(), file, *raw, from_password_file.as_deref())
        }
        KeysAction::Export { role, file, raw, to_password_file } => {
            export(operator, (*role).into(), file, *raw, to_password_file.as_deref())
        }
        KeysAction::Rotate => rotate(operator).await,
        KeysAction::Password { new_password_file } => change_password(operator, new_password_file.as_deref()),
        KeysAction::TestRecovery { backup } => recover(operator, backup),
    }
}

fn create(operator: &Operator, owner: bool) -> eyre::Result<()> {
    let folder = operator.key_folder()?;
    let password = Password::obtain_new(operator.password_file().as_deref())?;
    let keys = folder.create(&password, owner)?;
    if operator.args.json {
        output::json(&serde_json::to_value(&keys)?);
        return Ok(());
    }
    print(&keys);
    let place = folder.path_of(KeyRole::Identity).parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    output::progress(&format!(
        "the keys are in {place}, a file each, encrypted: back up the folder and the password, without which nobody reaches the stake"
    ));
    if owner {
        output::progress(&format!(
            "{} is needed to stake and to claim only: move it to another machine once the stake is locked",
            folder.path_of(KeyRole::Owner).display()
        ));
    }
    output::progress(&format!(
        "next: send ETH on L1 to the poster, which pays for batches, then `oceanid sequencer doctor --keys {place}` says what is missing"
    ));
    Ok(())
}

fn print(keys: &PublicKeys) {
    output::line(&format!("identity   {}", keys.identity));
    for key in &keys.consensus {
        output::line(&format!("consensus  {key}"));
    }
    output::line(&format!("poster     {}", keys.poster));
    if let Some(owner) = keys.owner {
        output::line(&format!("owner      {owner}"));
    }
}

fn import(operator: &Operator, role: KeyRole, file: &Path, raw: bool, password_file: Option<&Path>) -> eyre::Result<()> {
    let secret = if raw {
        let text = read_private(file)?;
        let bytes: B256 = String::from_utf8_lossy(&text)
            .trim()
            .parse()
            .ok()
            .ok_or_else(|| eyre::eyre!("key file {}: must be 32 bytes of 0x-hex", file.display()))?;
        Secret::new(bytes.0)
    } else {
        let own = match password_file {
            Some(_) => Some(Password::obtain(password_file, "")?),
            None => None,
        };
        let password = match &own {
            Some(password) => password,
            None => operator.password()?,
        };
        match role {
            KeyRole::Identity | KeyRole::Consensus => open_bls(file, password)?,
            KeyRole::Poster | KeyRole::Owner => Secret::new(open_account(file, password)?.to_bytes().0),
        }
    };
    let written = operator.key_folder()?.import(role, &secret, operator.password()?)?;
    if operator.args.json {
        output::json(&json!({ "file": written }));
    } else {
        output::line(&format!("imported {}", written.display()));
        output::progress(
            "next: `oceanid sequencer doctor` looks whether all keys are there; a node that runs has to be restarted",
        );
    }
    Ok(())
}

fn export(operator: &Operator, role: KeyRole, file: &Path, raw: bool, password_file: Option<&Path>) -> eyre::Result<()> {
    let folder = operator.key_folder()?;
    let secret = folder.secret(role, operator.password()?)?;
    let protection = if raw {
        ensure!(operator.args.yes, "a bare key is anybody's who reads the file: say --yes if that is meant");
        write_new(file, format!("{}\n", hex::encode_prefixed(*secret)).as_bytes())?;
        "not encrypted".to_owned()
    } else {
        let own = password_file.map(|file| Password::obtain_new(Some(file))).transpose()?;
        let password = match &own {
            Some(password) => password,
            None => operator.password()?,
        };
        write_new(file, oceanid_node::seal(role, &secret, password, file)?.as_bytes())?;
        match password_file {
            Some(own) => format!("encrypted with the password in {}", own.display()),
            None => "encrypted with the password of the folder (--to-password-file names another)".to_owned(),
        }
    };
    if operator.args.json {
        output::json(&json!({ "file": file, "protection": protection }));
    } else {
        output::line(&format!("exported to {}, {protection}", file.display()));
        output::progress("next: keep it away from the node's machine; `oceanid sequencer keys import` reads it again");
    }
    Ok(())
}

fn change_password(operator: &Operator, new: Option<&Path>) -> eyre::Result<()> {
    let folder = operator.key_folder()?;
    let old = operator.password()?;
    let new = match new {
        Some(file) => Password::obtain_new(Some(file))?,
        None => Password::ask_new()?,
    };
    let files = folder.change_password(old, &new)?;
    if operator.args.json {
        output::json(&json!({ "files": files }));
        return Ok(());
    }
    output::line(&format!("{files} files are sealed with the new password"));
    output::progress(
        "next: put the password where the node reads it, restart the node, and make a new backup: old ones open with the old password",
    );
    Ok(())
}

/// Proves a backup, and that it is this node's if its folder is known.
fn recover(operator: &Operator, backup: &Path) -> eyre::Result<()> {
    let restored = test_recovery(backup, operator.password()?)?;
    let here = operator.key_folder().ok().filter(|folder| folder.path_of(KeyRole::Identity).exists());
    if let Some(folder) = &here {
        let public = folder.public()?;
        let same = PublicKeys { owner: None, ..public.clone() } == PublicKeys { owner: None, ..restored.clone() };
        ensure!(same, "the backup has other keys than the node's folder: make a new one");
        ensure!(
            public.owner.is_none() || restored.owner == public.owner,
            "the backup does not have the node's owner.json: without it nobody reaches the stake"
        );
    }
    if operator.args.json {
        output::json(&serde_json::to_value(&restored)?);
        return Ok(());
    }
    print(&restored);
    let compared = if here.is_some() { ", and they are those of the node's folder" } else { "" };
    output::progress(&format!("restored, opened, and every key signs for its public key{compared}"));
    if restored.owner.is_none() {
        output::progress("owner.json is not in this backup: whoever keeps it should test its own");
    }
    Ok(())
}

/// Registers a new consensus key. One that was made but never registered, because a transaction failed, is taken again.
async fn rotate(operator: &Operator) -> eyre::Result<()> {
    let chain = operator.chain().await?;
    let id = operator.id(&chain).await?;
    let (folder, password, owner) = (operator.key_folder()?, operator.password()?, operator.account()?);
    let registered = async |key: &[u8]| chain.pool().idOfConsensusKey(keccak256(key)).call().await;
    let mut keys = folder.node_keys(password)?;
    if registered(keys.bls_eip2537().as_slice()).await.wrap_err("L1 does not answer")? != 0 {
        ensure!(!operator.args.dry_run, "--dry-run: a rotation begins with a new key file, which is not made without need");
        let file = folder.add_consensus(password)?;
        output::progress(&format!("made {}: it joins the older key files, back it up as well", file.display()));
        keys = folder.node_keys(password)?;
    }
    let call = SequencerPool::updateKeysCall {
        id,
        keys: SequencerPool::Keys { identity: keys.identity(), consensusKey: keys.bls_eip2537().into() },
        possession: keys.possession(chain.spec.l1_chain_id, chain.spec.l1.pool, owner).into(),
    };
    let call = Call::new(format!("SequencerPool.updateKeys({id})"), chain.spec.l1.pool, &call);
    let done = perform(operator, &chain, vec![call]).await?;
    let line = format!(
        "sequencer {id} votes with {} from the next rotation on; next: restart the node before that, and keep the older key files",
        keys.bls_compressed()
    );
    done.print(operator, &line, json!({ "id": id, "consensus": keys.bls_compressed() }));
    Ok(())
}
