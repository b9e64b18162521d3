//! Proof that a backup of keys is good: restored into a temporary folder, opened, and made to sign for the public keys its files name.

use crate::keys::{KeyFileError, KeyFolder, KeyRole, Password, PublicKeys, open_account, read_private, write_new};
use alloy_primitives::{Address, keccak256};
use alloy_signer_local::PrivateKeySigner;
use std::path::Path;

/// What the keys of a backup sign here: a text that means nothing anywhere.
const MESSAGE: &[u8] = b"Oceanid: this backup can be restored";

/// Restores the backup in `folder` into a temporary folder, which is removed again, and lets each key in it sign. Returns the public keys that
/// the signatures were verified under.
///
/// # Errors
///
/// A file is missing, damaged or for another password, or a key does not sign for its public key; the file is named.
pub fn test_recovery(folder: &Path, password: &Password) -> Result<PublicKeys, KeyFileError> {
    let restored = tempfile::tempdir().map_err(|source| KeyFileError::Io {
        kind: crate::FileKind::Key,
        path: std::env::temp_dir(),
        source,
    })?;
    let (backup, copy) = (KeyFolder::new(folder), KeyFolder::new(restored.path().join("keys")));
    for path in backup.files() {
        let name = path.file_name().unwrap_or_default();
        write_new(&restored.path().join("keys").join(name), &read_private(&path)?)?;
    }
    let public = copy.public()?;
    let wrong = |role: KeyRole| KeyFileError::Key {
        path: backup.path_of(role),
        message: "does not sign for the public key that the file names".to_owned(),
    };
    let node = copy.node_keys(password)?;
    if node.identity() != public.identity || !node.signs_as_identity(MESSAGE) {
        return Err(wrong(KeyRole::Identity));
    }
    if Some(&node.bls_compressed()) != public.consensus.last() || !node.signs_as_consensus(MESSAGE) {
        return Err(wrong(KeyRole::Consensus));
    }
    for (role, address) in [(KeyRole::Poster, Some(public.poster)), (KeyRole::Owner, public.owner)] {
        if let Some(address) = address
            && !signs_as(&open_account(&copy.path_of(role), password)?, address)
        {
            return Err(wrong(role));
        }
    }
    Ok(public)
}

/// Whether the account's signature recovers to `address`.
fn signs_as(account: &PrivateKeySigner, address: Address) -> bool {
    use alloy_signer::SignerSync;
    let hash = keccak256(MESSAGE);
    account
        .sign_hash_sync(&hash)
        .is_ok_and(|signature| signature.recover_address_from_prehash(&hash).is_ok_and(|signer| signer == address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keystore::KeystoreError;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    #[test]
    fn a_whole_backup_signs_for_its_keys_and_a_damaged_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (keys, word) = (KeyFolder::new(folder.path().join("keys")), password("correct horse"));
        let public = keys.create(&word, true).unwrap();
        let backup = folder.path().join("backup");
        for path in keys.files() {
            write_new(&backup.join(path.file_name().unwrap()), &read_private(&path).unwrap()).unwrap();
        }
        assert_eq!(test_recovery(&backup, &word).unwrap(), public);

        let error = test_recovery(&backup, &password("battery staple")).unwrap_err();
        assert!(matches!(&error, KeyFileError::Keystore { source: KeystoreError::Password, .. }), "{error}");

        let poster = backup.join("poster.json");
        let whole = std::fs::read_to_string(&poster).unwrap();
        let address = alloy_primitives::hex::encode(public.poster);
        let forged = whole.replacen(&address, &"00".repeat(20), 1);
        assert_ne!(whole, forged, "the file names its address");
        std::fs::write(&poster, forged).unwrap();
        assert!(test_recovery(&backup, &word).unwrap_err().to_string().contains("poster.json"));
        std::fs::remove_file(&poster).unwrap();
        assert!(test_recovery(&backup, &word).unwrap_err().to_string().contains("poster.json"), "a missing file is named");
    }
}
