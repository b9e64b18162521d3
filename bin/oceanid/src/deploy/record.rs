//! A deployment's journal on disk: what was decided, and every transaction that was signed, written before it is sent.

use alloy_primitives::{Address, B256};
use eyre::{WrapErr, ensure};
use oceanid_contracts::deploy::{Journal, Signed};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Name of the file in the output folder.
const FILE: &str = "journal.json";

/// A sequencer of the first committee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Founder {
    pub(crate) identity: B256,
    pub(crate) owner: Address,
    /// Stake, wei.
    pub(crate) lock: String,
}

/// What a deployment began with, and how far it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) deployer: Address,
    /// The deployer's nonce before the first transaction: all addresses follow from it.
    pub(crate) first_nonce: u64,
    /// Keys of the deployment file with their values.
    pub(crate) decided: BTreeMap<String, String>,
    pub(crate) founders: Vec<Founder>,
    pub(crate) signed: Vec<Signed>,
}

impl Record {
    /// The record of a deployment that was begun in `folder` and has signed something; one that has not is begun anew.
    pub(crate) fn load(folder: &Path) -> eyre::Result<Option<Self>> {
        let path = folder.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).wrap_err_with(|| format!("cannot read {}", path.display())),
        };
        let record: Self = serde_json::from_slice(&text).wrap_err_with(|| format!("{} is not a journal", path.display()))?;
        Ok((!record.signed.is_empty()).then_some(record))
    }

    /// Whether the deployment that was begun is the one that is asked for now; names what is not.
    pub(crate) fn require_same(&self, now: &Self) -> eyre::Result<()> {
        const REMEDY: &str = "put it back, or begin another deployment with another --out";
        ensure!(
            self.deployer == now.deployer,
            "this deployment was begun by {}, the deployer is {} now: {REMEDY}",
            self.deployer,
            now.deployer
        );
        let absent = "absent".to_owned();
        for key in self.decided.keys().chain(now.decided.keys()) {
            let (before, after) = (self.decided.get(key).unwrap_or(&absent), now.decided.get(key).unwrap_or(&absent));
            ensure!(before == after, "`{key}` was {before} when this deployment was begun, it is {after} now: {REMEDY}");
        }
        ensure!(
            self.founders == now.founders,
            "`sequencers` have other keys, owners or locks than when this was begun: {REMEDY}"
        );
        Ok(())
    }
}

/// A [`Record`] that is written at every change.
pub(crate) struct Disk {
    path: PathBuf,
    record: Record,
}

impl Disk {
    pub(crate) fn new(folder: &Path, record: Record) -> Self {
        Self { path: folder.join(FILE), record }
    }
}

impl Journal for Disk {
    fn signed(&self) -> &[Signed] {
        &self.record.signed
    }

    fn record(&mut self, signed: Signed) -> std::io::Result<()> {
        self.record.signed.push(signed);
        write_whole(&self.path, &serde_json::to_vec_pretty(&self.record)?)
    }
}

/// Writes a file durably, whole or not at all. It holds no secret: other users may read it.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let readable = std::fs::Permissions::from_mode(0o644);
    let mut part = tempfile::Builder::new().permissions(readable).tempfile_in(folder)?;
    part.write_all(content)?;
    part.as_file().sync_all()?;
    part.persist(path)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            deployer: Address::repeat_byte(1),
            first_nonce: 3,
            decided: [("stake.seats".to_owned(), "100".to_owned())].into(),
            founders: vec![Founder { identity: B256::ZERO, owner: Address::ZERO, lock: "20".into() }],
            signed: Vec::new(),
        }
    }

    #[test]
    fn what_was_signed_is_read_back_and_nothing_signed_is_no_deployment() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Record::load(folder.path()).unwrap().is_none());
        write_whole(&folder.path().join(FILE), &serde_json::to_vec(&record()).unwrap()).unwrap();
        assert!(Record::load(folder.path()).unwrap().is_none(), "nothing was sent: any deployment may begin here");
        let signed = Signed { step: 0, from: Address::repeat_byte(1), nonce: 3, hash: B256::repeat_byte(9) };
        Disk::new(folder.path(), record()).record(signed).unwrap();
        assert_eq!(Record::load(folder.path()).unwrap(), Some(Record { signed: vec![signed], ..record() }));
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(Record::load(folder.path()).unwrap_err().to_string().contains("is not a journal"));
    }

    #[test]
    fn a_changed_file_is_named_by_its_key() {
        let refused = |now: Record| record().require_same(&now).unwrap_err().to_string();
        let seats = refused(Record { decided: [("stake.seats".to_owned(), "7".to_owned())].into(), ..record() });
        assert!(seats.starts_with("`stake.seats` was 100 when this deployment was begun, it is 7 now"), "{seats}");
        assert!(refused(Record { decided: BTreeMap::new(), ..record() }).contains("is absent now"));
        assert!(refused(Record { founders: Vec::new(), ..record() }).contains("`sequencers`"));
        assert!(refused(Record { deployer: Address::ZERO, ..record() }).contains("was begun by"));
        assert!(record().require_same(&Record { first_nonce: 9, ..record() }).is_ok(), "the account's nonce has moved on");
    }
}
