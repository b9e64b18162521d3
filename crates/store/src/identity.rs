//! Whose directory this is: the lock file, and the identity file with kind, version, chain id and genesis hash.

use crate::{StoreError, StoreKind};
use alloy_primitives::B256;
use std::{
    fs::{self, File, TryLockError},
    io::{ErrorKind, Write},
    path::Path,
};

/// Version of everything below the data directory; a change of any format raises it.
pub(crate) const VERSION: u32 = 2;
const IDENTITY_FILE: &str = "STORE";
const IDENTITY_NEW: &str = "STORE.new";
const LOCK_FILE: &str = "LOCK";

/// An exclusive lock on a data directory. The operating system releases it with the process, however that ends.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Creates `dir` if need be and takes it.
    pub(crate) fn acquire(dir: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(StoreError::io("create", dir))?;
        let path = dir.join(LOCK_FILE);
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(StoreError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(dir.to_path_buf())),
            Err(TryLockError::Error(source)) => Err(StoreError::Io { action: "lock", path, source }),
        }
    }
}

/// What the identity file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) kind: StoreKind,
    pub(crate) chain_id: u64,
    pub(crate) genesis: B256,
}

impl Identity {
    fn encode(&self) -> String {
        let Self { kind, chain_id, genesis } = self;
        format!("oceanid {kind} store v{VERSION}\nchain {chain_id}\ngenesis {genesis}\n")
    }

    /// Checks that `dir` is this store, or marks an empty directory as such.
    pub(crate) fn check_or_create(&self, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(IDENTITY_FILE);
        match fs::read(&path) {
            Ok(bytes) => self.check(dir, &String::from_utf8_lossy(&bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => self.create(dir),
            Err(source) => Err(StoreError::Io { action: "read", path, source }),
        }
    }

    fn check(&self, dir: &Path, text: &str) -> Result<(), StoreError> {
        if text == self.encode() {
            return Ok(());
        }
        let foreign = || StoreError::Foreign { dir: dir.to_path_buf(), found: format!("its {IDENTITY_FILE} file is not ours") };
        let mut lines = text.lines();
        let title = lines.next().unwrap_or_default();
        let (kind, version) = title.strip_prefix("oceanid ").and_then(|rest| rest.split_once(" store v")).ok_or_else(foreign)?;
        if version != VERSION.to_string() {
            return Err(StoreError::Version { dir: dir.to_path_buf(), found: version.to_owned(), supported: VERSION });
        }
        let mut field = |name: &str| lines.next().and_then(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned());
        let chain = field("chain ").ok_or_else(foreign)?;
        let genesis = field("genesis ").ok_or_else(foreign)?;
        for (field, found, expected) in [
            ("kind", kind.to_owned(), self.kind.to_string()),
            ("chain id", chain, self.chain_id.to_string()),
            ("genesis hash", genesis, self.genesis.to_string()),
        ] {
            if found != expected {
                return Err(StoreError::OtherChain { dir: dir.to_path_buf(), field, found, expected });
            }
        }
        Err(foreign())
    }

    fn create(&self, dir: &Path) -> Result<(), StoreError> {
        for entry in fs::read_dir(dir).map_err(StoreError::io("list", dir))? {
            let name = entry.map_err(StoreError::io("list", dir))?.file_name();
            if name != LOCK_FILE && name != IDENTITY_NEW {
                let found = format!("it holds `{}` and no {IDENTITY_FILE} file", name.to_string_lossy());
                return Err(StoreError::Foreign { dir: dir.to_path_buf(), found });
            }
        }
        let new = dir.join(IDENTITY_NEW);
        let mut file = File::create(&new).map_err(StoreError::io("create", &new))?;
        file.write_all(self.encode().as_bytes()).map_err(StoreError::io("write", &new))?;
        file.sync_all().map_err(StoreError::io("sync", &new))?;
        let path = dir.join(IDENTITY_FILE);
        fs::rename(&new, &path).map_err(StoreError::io("create", &path))?;
        sync_dir(dir)
    }
}

/// Makes created, renamed and removed names in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(StoreError::io("sync", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity { kind: StoreKind::L2, chain_id: 7, genesis: B256::repeat_byte(3) }
    }

    #[test]
    fn an_empty_directory_becomes_ours_and_stays_ours() {
        let dir = tempfile::tempdir().unwrap();
        identity().check_or_create(dir.path()).unwrap();
        identity().check_or_create(dir.path()).unwrap();
    }

    #[test]
    fn another_chain_kind_or_version_is_named() {
        let dir = tempfile::tempdir().unwrap();
        identity().check_or_create(dir.path()).unwrap();
        let other = |identity: Identity| identity.check_or_create(dir.path()).unwrap_err().to_string();
        assert!(other(Identity { chain_id: 8, ..identity() }).contains("chain id is 7, expected 8"));
        assert!(other(Identity { kind: StoreKind::L1, ..identity() }).contains("kind is l2, expected l1"));
        assert!(other(Identity { genesis: B256::ZERO, ..identity() }).contains("genesis hash is 0x0303"));
        fs::write(dir.path().join(IDENTITY_FILE), identity().encode().replace("v2", "v3")).unwrap();
        assert!(other(identity()).contains("store of version 3, this program reads version 2"));
    }

    #[test]
    fn a_directory_of_something_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "years of work").unwrap();
        let error = identity().check_or_create(dir.path()).unwrap_err().to_string();
        assert!(error.contains("it holds `thesis.tex`"), "{error}");
        fs::write(dir.path().join(IDENTITY_FILE), "grocery list").unwrap();
        assert!(matches!(identity().check_or_create(dir.path()), Err(StoreError::Foreign { .. })));
    }

    #[test]
    fn a_lock_is_exclusive_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DirLock::acquire(dir.path()).unwrap();
        assert!(matches!(DirLock::acquire(dir.path()), Err(StoreError::InUse(_))));
        drop(lock);
        DirLock::acquire(dir.path()).unwrap();
    }
}
