//! A sequencer's three keys, read once at start from a file or a FIFO.
//!
//! ```json
//! {"identity": "0x…32 bytes", "bls": "0x…32 bytes", "poster": "0x…32 bytes"}
//! ```
//! `identity` is the ed25519 seed of the peer-to-peer identity, `bls` the seed of the consensus key, `poster` the secp256k1 key of
//! the L1 account that posts batches.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The secrets of one sequencer. `Debug` shows none of them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// ed25519 seed.
    pub identity: B256,
    /// BLS12-381 seed.
    pub bls: B256,
    /// secp256k1 private key of the L1 account that pays for batches.
    pub poster: B256,
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyFile(secret)")
    }
}

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Cannot be read or written.
    #[error("key file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Others could read it.
    #[error("key file {path} has mode {mode:o}: other users can read it; run `chmod 600 {path}`")]
    Open {
        /// The file.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// Not the JSON of this module's docs. The text never quotes the content.
    #[error("key file {path}: line {line}: not a key file with `identity`, `bls` and `poster`, 32 bytes of 0x-hex each")]
    Format {
        /// The file.
        path: PathBuf,
        /// Line of the first mistake.
        line: usize,
    },
}

impl KeyFile {
    /// Reads keys. A regular file that group or others can read is refused.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        use std::os::unix::fs::MetadataExt;
        let io = |source| KeyFileError::Io { path: path.to_path_buf(), source };
        let metadata = std::fs::metadata(path).map_err(io)?;
        let mode = metadata.mode() & 0o777;
        if metadata.is_file() && mode & 0o077 != 0 {
            return Err(KeyFileError::Open { path: path.to_path_buf(), mode });
        }
        let text = std::fs::read(path).map_err(io)?;
        serde_json::from_slice(&text).map_err(|error| KeyFileError::Format { path: path.to_path_buf(), line: error.line() })
    }

    /// Writes keys into a new file of mode 600, replacing what was there.
    pub fn save(&self, path: &Path) -> Result<(), KeyFileError> {
        use std::io::Write;
        use std::os::unix::fs::OpenOptionsExt;
        let io = |source| KeyFileError::Io { path: path.to_path_buf(), source };
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(io)?;
        serde_json::to_writer_pretty(&mut file, self).map_err(|error| io(error.into()))?;
        file.write_all(b"\n").map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn keys() -> KeyFile {
        KeyFile { identity: B256::repeat_byte(1), bls: B256::repeat_byte(2), poster: B256::repeat_byte(3) }
    }

    #[test]
    fn saved_keys_load_and_stay_private() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("keys.json");
        keys().save(&path).expect("saved");
        assert_eq!(std::fs::metadata(&path).expect("exists").permissions().mode() & 0o777, 0o600);
        assert_eq!(KeyFile::load(&path).expect("loaded").poster, keys().poster);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("mode");
        assert!(matches!(KeyFile::load(&path), Err(KeyFileError::Open { mode: 0o644, .. })));
    }

    #[test]
    fn a_malformed_file_is_refused_without_quoting_it() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("keys.json");
        std::fs::write(&path, "{\"identity\": \"secret-material\"}").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("mode");
        let message = KeyFile::load(&path).expect_err("malformed").to_string();
        assert!(!message.contains("secret-material") && message.contains("line 1"), "{message}");
    }
}
