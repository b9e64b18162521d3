//! A sequencer's keys: a folder of encrypted key files, or, on a development chain only, one plain file.
//!
//! | file | key | format |
//! |---|---|---|
//! | `identity.json` | ed25519, names the node on the network | EIP-2335 container |
//! | `consensus.json`, `consensus-2.json`, … | BLS12-381, signs votes; the highest number is the newest | EIP-2335 |
//! | `poster.json` | secp256k1, the node's L1 account: batches, evidence, rotations | Web3 Secret Storage |
//! | `owner.json` | secp256k1, owns the lock; the node does not need it | Web3 Secret Storage |
//!
//! Files are written whole or not at all, with mode 600, and a file that other users can read is refused. The plain file is
//! ```json
//! {"identity": "0x…32 bytes", "bls": "0x…32 bytes", "poster": "0x…32 bytes"}
//! ```
//! where `identity` is the ed25519 seed, `bls` the seed of the consensus key and `poster` the key of the L1 account.

use crate::keystore::{self, KeystoreError, Opened, Secret};
use alloy_primitives::{Address, B256, FixedBytes};
use alloy_signer_local::PrivateKeySigner;
use oceanid_sequencer::{NodeKeys, bls_public_key, bls_scalar, identity_of};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Environment variable with the password, when no file is named.
pub const PASSWORD_VARIABLE: &str = "OCEANID_PASSWORD";
/// Shortest password new files are sealed with, characters.
pub const MIN_PASSWORD: usize = 8;
/// Largest key or password file that is read, bytes.
const MAX_FILE: u64 = 64 << 10;
/// Consensus keys a folder may hold: those of a life of rotations.
const MAX_CONSENSUS_KEYS: u32 = 64;

const IDENTITY: &str = "identity.json";
const POSTER: &str = "poster.json";
const OWNER: &str = "owner.json";

/// What a secret file holds, as its errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A key, encrypted or not.
    Key,
    /// A password on the first line.
    Password,
}

impl core::fmt::Display for FileKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Key => "key file",
            Self::Password => "password file",
        })
    }
}

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Cannot be read or written.
    #[error("{kind} {path}: {source}")]
    Io {
        /// What the file is.
        kind: FileKind,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Others could read it.
    #[error("{kind} {path} has mode {mode:o}: other users can read it; run `chmod 600 {path}`")]
    Open {
        /// What the file is.
        kind: FileKind,
        /// The file.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// Too large to be one.
    #[error("{kind} {path} has more than {MAX_FILE} bytes")]
    Size {
        /// What the file is.
        kind: FileKind,
        /// The file.
        path: PathBuf,
    },
    /// Not the JSON of this module's docs. The text never quotes the content.
    #[error("key file {path}: line {line}: not a key file with `identity`, `bls` and `poster`, 32 bytes of 0x-hex each")]
    Format {
        /// The file.
        path: PathBuf,
        /// Line of the first mistake.
        line: usize,
    },
    /// Not an encrypted key file, or another password's.
    #[error("key file {path}: {source}")]
    Keystore {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: KeystoreError,
    },
    /// A secret that is no key.
    #[error("key file {path}: {message}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Keys are not overwritten.
    #[error("key file {path} exists: keys are never overwritten; choose another folder")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A plain file where stake is at risk.
    #[error(
        "key file {path} is not encrypted, which only a development chain allows: use `keys`, a folder made by `oceanid sequencer keys new`"
    )]
    Plain {
        /// The file.
        path: PathBuf,
    },
    /// The configuration names no keys.
    #[error("config: `sequencer.keys` is missing: name the folder made by `oceanid sequencer keys new`")]
    None,
    /// No password.
    #[error(
        "no password for the keys: name a file with `--password-file` or `password-file`, set {PASSWORD_VARIABLE}, or run in a terminal"
    )]
    NoPassword,
    /// Too short.
    #[error("the password has {0} characters, must have at least {MIN_PASSWORD}")]
    ShortPassword(usize),
    /// Typed differently.
    #[error("the two passwords differ")]
    PasswordsDiffer,
    /// Too many rotations.
    #[error("{path} holds {MAX_CONSENSUS_KEYS} consensus keys: remove those no committee names any more")]
    Full {
        /// The folder.
        path: PathBuf,
    },
}

/// A password, wiped when dropped. `Debug` does not show it.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl core::fmt::Debug for Password {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Password(secret)")
    }
}

impl Password {
    /// A password from elsewhere.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Takes the password from `file` (its first line), else from [`PASSWORD_VARIABLE`], else from the terminal.
    pub fn obtain(file: Option<&Path>, prompt: &str) -> Result<Self, KeyFileError> {
        if let Some(path) = file {
            let text = Zeroizing::new(String::from_utf8_lossy(&read_secret(path, FileKind::Password)?).into_owned());
            return Ok(Self::new(text.lines().next().unwrap_or_default().to_owned()));
        }
        if let Ok(text) = std::env::var(PASSWORD_VARIABLE) {
            return Ok(Self::new(text));
        }
        Self::typed(prompt)
    }

    /// The same for a password that seals new files: long enough, and typed twice if it is typed.
    pub fn obtain_new(file: Option<&Path>) -> Result<Self, KeyFileError> {
        let password = Self::obtain(file, "New password for the keys")?;
        let length = password.0.chars().count();
        if length < MIN_PASSWORD {
            return Err(KeyFileError::ShortPassword(length));
        }
        let typed = file.is_none() && std::env::var_os(PASSWORD_VARIABLE).is_none();
        if typed && Self::typed("The same again")?.0 != password.0 {
            return Err(KeyFileError::PasswordsDiffer);
        }
        Ok(password)
    }

    /// A new password from the terminal only, typed twice: [`PASSWORD_VARIABLE`] holds the old one.
    pub fn ask_new() -> Result<Self, KeyFileError> {
        let password = Self::typed("New password for the keys")?;
        let length = password.0.chars().count();
        if length < MIN_PASSWORD {
            return Err(KeyFileError::ShortPassword(length));
        }
        if Self::typed("The same again")?.0 != password.0 {
            return Err(KeyFileError::PasswordsDiffer);
        }
        Ok(password)
    }

    fn typed(prompt: &str) -> Result<Self, KeyFileError> {
        rpassword::prompt_password(format!("{prompt}: ")).map(Self::new).map_err(|_| KeyFileError::NoPassword)
    }
}

/// The keys a sequencer runs with.
#[derive(Clone, Debug)]
pub struct SequencerKeys {
    /// Identity and consensus keys.
    pub node: NodeKeys,
    /// The node's L1 account.
    pub poster: PrivateKeySigner,
}

/// What a folder's files say without a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PublicKeys {
    /// ed25519 identity.
    pub identity: B256,
    /// Consensus keys, compressed, the oldest first.
    pub consensus: Vec<FixedBytes<96>>,
    /// The node's L1 account.
    pub poster: Address,
    /// Owner of the lock, if its key is in the folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Address>,
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRole {
    /// ed25519 identity.
    Identity,
    /// The newest consensus key.
    Consensus,
    /// The node's L1 account.
    Poster,
    /// The lock's owner.
    Owner,
}

/// A folder of encrypted keys.
#[derive(Clone, Debug)]
pub struct KeyFolder {
    path: PathBuf,
}

impl KeyFolder {
    /// The folder at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn consensus_file(&self, number: u32) -> PathBuf {
        self.file(&if number == 1 { "consensus.json".to_owned() } else { format!("consensus-{number}.json") })
    }

    /// Consensus key files, the oldest first.
    fn consensus_files(&self) -> Vec<PathBuf> {
        (1..=MAX_CONSENSUS_KEYS).map(|number| self.consensus_file(number)).filter(|path| path.exists()).collect()
    }

    /// Every key file in the folder; those a node cannot do without are named whether they exist or not.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.file(IDENTITY), self.file(POSTER)];
        let consensus = self.consensus_files();
        files.extend(if consensus.is_empty() { vec![self.consensus_file(1)] } else { consensus });
        files.extend(Some(self.file(OWNER)).filter(|path| path.exists()));
        files
    }

    /// Seals every file of the folder with another password. Killed in between and run again, it finishes: a file that opens with the new
    /// password has been done. Nothing is written before every file has been opened.
    pub fn change_password(&self, old: &Password, new: &Password) -> Result<usize, KeyFileError> {
        let mut sealed = Vec::new();
        for path in self.files() {
            let role = if path == self.file(IDENTITY) {
                KeyRole::Identity
            } else if path == self.file(POSTER) {
                KeyRole::Poster
            } else if path == self.file(OWNER) {
                KeyRole::Owner
            } else {
                KeyRole::Consensus
            };
            let secret = |password: &Password| match role {
                KeyRole::Identity | KeyRole::Consensus => open_bls(&path, password),
                KeyRole::Poster | KeyRole::Owner => open_account(&path, password).map(|key| Zeroizing::new(key.to_bytes().0)),
            };
            match secret(old) {
                Ok(secret) => sealed.push((seal(role, &secret, new, &path)?, path)),
                Err(error) if secret(new).is_err() => return Err(error),
                Err(_) => {}
            }
        }
        for (content, path) in &sealed {
            let io = |source| KeyFileError::Io { kind: FileKind::Key, path: path.clone(), source };
            let part = write_part(path, content.as_bytes()).map_err(io)?;
            std::fs::rename(part, path).and_then(|()| std::fs::File::open(&self.path)?.sync_all()).map_err(io)?;
        }
        Ok(sealed.len())
    }

    /// File of a key, whether it exists or not; that of a consensus key is the newest.
    pub fn path_of(&self, role: KeyRole) -> PathBuf {
        match role {
            KeyRole::Identity => self.file(IDENTITY),
            KeyRole::Consensus => self.consensus_files().pop().unwrap_or_else(|| self.consensus_file(1)),
            KeyRole::Poster => self.file(POSTER),
            KeyRole::Owner => self.file(OWNER),
        }
    }

    /// Makes new keys, that of an owner only if asked. Refuses if there are keys in the folder.
    pub fn create(&self, password: &Password, owner: bool) -> Result<PublicKeys, KeyFileError> {
        for role in [KeyRole::Identity, KeyRole::Consensus, KeyRole::Poster, KeyRole::Owner] {
            let path = self.path_of(role);
            if path.exists() {
                return Err(KeyFileError::Exists { path });
            }
        }
        self.import(KeyRole::Identity, &keystore::random_secret(), password)?;
        self.add_consensus(password)?;
        self.import(KeyRole::Poster, &keystore::random_secret(), password)?;
        if owner {
            self.import(KeyRole::Owner, &keystore::random_secret(), password)?;
        }
        self.public()
    }

    /// Makes a further consensus key, which becomes the newest. Returns its file.
    pub fn add_consensus(&self, password: &Password) -> Result<PathBuf, KeyFileError> {
        let scalar = bls_scalar(&keystore::random_secret()).expect("32 random bytes are seed enough");
        self.import(KeyRole::Consensus, &Zeroizing::new(scalar), password)
    }

    /// Seals a secret into a new file of the folder and returns the file. A consensus key becomes the newest of the folder.
    pub fn import(&self, role: KeyRole, secret: &Secret, password: &Password) -> Result<PathBuf, KeyFileError> {
        let path = match role {
            KeyRole::Consensus => (1..=MAX_CONSENSUS_KEYS)
                .map(|number| self.consensus_file(number))
                .find(|path| !path.exists())
                .ok_or_else(|| KeyFileError::Full { path: self.path.clone() })?,
            _ => self.path_of(role),
        };
        write_new(&path, seal(role, secret, password, &path)?.as_bytes())?;
        Ok(path)
    }

    /// Public keys and addresses, without a password.
    pub fn public(&self) -> Result<PublicKeys, KeyFileError> {
        let identity = public_key(&self.file(IDENTITY))?;
        let consensus = self.consensus_files();
        let consensus = if consensus.is_empty() { vec![self.consensus_file(1)] } else { consensus };
        let owner = self.file(OWNER);
        Ok(PublicKeys {
            identity: B256::from(identity),
            consensus: consensus.iter().map(|path| public_key(path).map(FixedBytes::from)).collect::<Result<_, _>>()?,
            poster: account_address(&self.file(POSTER))?,
            owner: owner.exists().then(|| account_address(&owner)).transpose()?,
        })
    }

    /// Opens one file.
    pub fn secret(&self, role: KeyRole, password: &Password) -> Result<Secret, KeyFileError> {
        let path = self.path_of(role);
        match role {
            KeyRole::Identity | KeyRole::Consensus => Ok(open(&path, password)?.secret),
            KeyRole::Poster | KeyRole::Owner => open_account(&path, password).map(|signer| Zeroizing::new(signer.to_bytes().0)),
        }
    }

    /// Opens identity and consensus keys.
    pub fn node_keys(&self, password: &Password) -> Result<NodeKeys, KeyFileError> {
        let identity_path = self.file(IDENTITY);
        let identity = open(&identity_path, password)?;
        let newest_path = self.path_of(KeyRole::Consensus);
        let newest = open(&newest_path, password)?;
        let wrong = |path: &Path, message: String| KeyFileError::Key { path: path.to_path_buf(), message };
        let mut keys =
            NodeKeys::from_raw(&identity.secret, &newest.secret).map_err(|error| wrong(&newest_path, error.to_string()))?;
        matches(&identity_path, &identity, keys.identity().as_slice())?;
        matches(&newest_path, &newest, keys.bls_compressed().as_slice())?;
        for path in self.consensus_files().iter().filter(|path| **path != newest_path) {
            keys = keys.with_older(&open(path, password)?.secret).map_err(|error| wrong(path, error.to_string()))?;
        }
        Ok(keys)
    }

    /// Opens what a node needs: everything but the owner's key.
    pub fn load(&self, password: &Password) -> Result<SequencerKeys, KeyFileError> {
        Ok(SequencerKeys { node: self.node_keys(password)?, poster: open_account(&self.file(POSTER), password)? })
    }
}

/// Encrypts a secret into the format of its role; `path` is for the error.
pub fn seal(role: KeyRole, secret: &Secret, password: &Password, path: &Path) -> Result<String, KeyFileError> {
    let wrong = |message: String| KeyFileError::Key { path: path.to_path_buf(), message };
    Ok(match role {
        KeyRole::Identity => {
            keystore::seal_eip2335(secret, identity_of(secret).as_slice(), "Oceanid identity key (ed25519 seed)", &password.0)
        }
        KeyRole::Consensus => {
            let public_key = bls_public_key(secret).map_err(|error| wrong(error.to_string()))?;
            let description = "Oceanid consensus key (BLS12-381, public key in G2)";
            keystore::seal_eip2335(secret, public_key.as_slice(), description, &password.0)
        }
        KeyRole::Poster | KeyRole::Owner => keystore::seal_web3(secret, signer(secret).map_err(wrong)?.address(), &password.0),
    })
}

/// Opens a Web3 Secret Storage file anywhere.
pub fn open_account(path: &Path, password: &Password) -> Result<PrivateKeySigner, KeyFileError> {
    let keystore = |source| KeyFileError::Keystore { path: path.to_path_buf(), source };
    let (secret, named) = keystore::open_web3(&read_private(path)?, &password.0).map_err(keystore)?;
    let signer = signer(&secret).map_err(|message| KeyFileError::Key { path: path.to_path_buf(), message })?;
    if named.is_some_and(|named| named != signer.address()) {
        return Err(keystore(KeystoreError::Mismatch("address")));
    }
    Ok(signer)
}

/// Opens an EIP-2335 file anywhere, for import; the public key it names is not looked at.
pub fn open_bls(path: &Path, password: &Password) -> Result<Secret, KeyFileError> {
    Ok(open(path, password)?.secret)
}

/// Address in a Web3 Secret Storage file, without its password.
pub fn account_address(path: &Path) -> Result<Address, KeyFileError> {
    let keystore = |source| KeyFileError::Keystore { path: path.to_path_buf(), source };
    keystore::web3_address(&read_private(path)?)
        .and_then(|address| address.ok_or(KeystoreError::Field("address", "20 bytes of hex")))
        .map_err(keystore)
}

fn signer(secret: &Secret) -> Result<PrivateKeySigner, String> {
    PrivateKeySigner::from_slice(secret.as_slice()).map_err(|_| "not a secp256k1 private key".to_owned())
}

fn open(path: &Path, password: &Password) -> Result<Opened, KeyFileError> {
    keystore::open_eip2335(&read_private(path)?, &password.0)
        .map_err(|source| KeyFileError::Keystore { path: path.to_path_buf(), source })
}

/// Public key of an EIP-2335 file of this program.
fn public_key<const N: usize>(path: &Path) -> Result<[u8; N], KeyFileError> {
    let keystore = |source| KeyFileError::Keystore { path: path.to_path_buf(), source };
    let key = keystore::eip2335_public_key(&read_private(path)?).map_err(keystore)?;
    let form = if N == 32 { "32 bytes (ed25519)" } else { "96 bytes (a point of G2)" };
    key.try_into().map_err(|_| keystore(KeystoreError::Field("pubkey", form)))
}

fn matches(path: &Path, opened: &Opened, public_key: &[u8]) -> Result<(), KeyFileError> {
    if opened.public_key == public_key {
        return Ok(());
    }
    Err(KeyFileError::Keystore { path: path.to_path_buf(), source: KeystoreError::Mismatch("pubkey") })
}

/// Reads a key file. A regular file that group or others can read is refused.
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    read_secret(path, FileKind::Key)
}

fn read_secret(path: &Path, kind: FileKind) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;
    let io = |source| KeyFileError::Io { kind, path: path.to_path_buf(), source };
    let file = std::fs::File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    let mode = metadata.mode() & 0o777;
    if metadata.is_file() && mode & 0o077 != 0 {
        return Err(KeyFileError::Open { kind, path: path.to_path_buf(), mode });
    }
    let mut text = Zeroizing::new(Vec::new());
    file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(io)?;
    if text.len() as u64 > MAX_FILE {
        return Err(KeyFileError::Size { kind, path: path.to_path_buf() });
    }
    Ok(text)
}

/// Writes a file that must not exist, whole and durable or not at all, for this user only; makes its folder.
pub fn write_new(path: &Path, content: &[u8]) -> Result<(), KeyFileError> {
    let io = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.to_path_buf() },
        _ => KeyFileError::Io { kind: FileKind::Key, path: path.to_path_buf(), source },
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_private_folder(folder).map_err(io)?;
    let part = write_part(path, content).map_err(io)?;
    // A link, unlike a rename, fails if the name is taken.
    let linked = std::fs::hard_link(&part, path).and_then(|()| std::fs::File::open(folder)?.sync_all());
    // What is left of the part is of no use either way.
    let _ = std::fs::remove_file(&part);
    linked.map_err(io)
}

fn create_private_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes `content` next to `path`, durable, mode 600; returns the file.
fn write_part(path: &Path, content: &[u8]) -> std::io::Result<PathBuf> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(part)
}

// ---- the plain file of development chains ----

/// The secrets of a development sequencer in one plain file. `Debug` shows none of them.
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

impl KeyFile {
    /// Reads the file.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        serde_json::from_slice(&read_private(path)?)
            .map_err(|error| KeyFileError::Format { path: path.to_path_buf(), line: error.line() })
    }

    /// Writes the file, replacing what was there.
    pub fn save(&self, path: &Path) -> Result<(), KeyFileError> {
        let text = serde_json::to_string_pretty(self).expect("hex strings serialise") + "\n";
        write_part(path, text.as_bytes()).and_then(|part| std::fs::rename(part, path)).map_err(|source| KeyFileError::Io {
            kind: FileKind::Key,
            path: path.to_path_buf(),
            source,
        })
    }

    /// The keys in it.
    pub fn keys(&self, path: &Path) -> Result<SequencerKeys, KeyFileError> {
        let wrong = |message: String| KeyFileError::Key { path: path.to_path_buf(), message };
        let node = NodeKeys::from_seeds(&self.identity.0, &self.bls.0).map_err(|error| wrong(error.to_string()))?;
        let poster = PrivateKeySigner::from_bytes(&self.poster).map_err(|error| wrong(format!("`poster`: {error}")))?;
        Ok(SequencerKeys { node, poster })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("exists").permissions().mode() & 0o777
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("mode");
    }

    #[test]
    fn a_folder_of_new_keys_opens_with_its_password_and_stays_private() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyFolder::new(folder.path().join("keys"));
        let public = keys.create(&password("correct horse"), true).unwrap();
        let loaded = keys.load(&password("correct horse")).unwrap();
        assert_eq!(loaded.node.identity(), public.identity);
        assert_eq!([loaded.node.bls_compressed()], public.consensus[..]);
        assert_eq!(loaded.poster.address(), public.poster);
        assert_eq!(mode(&folder.path().join("keys")), 0o700);
        let owner = keys.path_of(KeyRole::Owner);
        assert_eq!(open_account(&owner, &password("correct horse")).unwrap().address(), public.owner.unwrap());
        for role in [KeyRole::Identity, KeyRole::Consensus, KeyRole::Poster, KeyRole::Owner] {
            assert_eq!(mode(&keys.path_of(role)), 0o600);
        }
        assert_eq!(std::fs::read_dir(folder.path().join("keys")).unwrap().count(), 4, "no part is left behind");

        let error = keys.load(&password("battery staple")).unwrap_err();
        assert!(matches!(&error, KeyFileError::Keystore { source: KeystoreError::Password, .. }), "{error}");
        assert!(matches!(keys.create(&password("x"), false), Err(KeyFileError::Exists { .. })), "never overwritten");
        chmod(&owner, 0o640);
        assert!(matches!(keys.public(), Err(KeyFileError::Open { mode: 0o640, .. })));
    }

    #[test]
    fn a_further_consensus_key_is_the_newest_and_the_older_one_still_votes() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyFolder::new(folder.path());
        let word = password("correct horse");
        let first = keys.create(&word, false).unwrap();
        let added = keys.add_consensus(&word).unwrap();
        assert_eq!(added, folder.path().join("consensus-2.json"));
        let public = keys.public().unwrap();
        assert_eq!((public.consensus.len(), public.consensus[0]), (2, first.consensus[0]));
        assert_eq!(keys.load(&word).unwrap().node.bls_compressed(), public.consensus[1]);
        assert_eq!(public.owner, None);
    }

    #[test]
    fn a_change_of_password_that_was_killed_is_finished_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyFolder::new(folder.path());
        let (old, new) = (password("correct horse"), password("battery staple"));
        let public = keys.create(&old, false).unwrap();
        // The poster's file is done, the others are not.
        let poster = keys.path_of(KeyRole::Poster);
        let half = seal(KeyRole::Poster, &keys.secret(KeyRole::Poster, &old).unwrap(), &new, &poster).unwrap();
        std::fs::write(&poster, half).unwrap();
        assert!(keys.change_password(&password("neither"), &new).is_err(), "a wrong old password");
        assert_eq!(keys.change_password(&old, &new).unwrap(), 2);
        assert_eq!(keys.load(&new).unwrap().node.identity(), public.identity);
        assert!(keys.load(&old).is_err());
        assert_eq!((keys.public().unwrap(), mode(&poster)), (public, 0o600));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "no part is left behind");
        assert_eq!(keys.change_password(&old, &new).unwrap(), 0, "nothing is left to do");
    }

    #[test]
    fn a_swapped_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (KeyFolder::new(folder.path().join("1")), KeyFolder::new(folder.path().join("2")));
        let word = password("correct horse");
        one.create(&word, false).unwrap();
        let other_keys = other.create(&word, false).unwrap();
        // The secret of one file under the public key of another.
        let path = one.path_of(KeyRole::Identity);
        let text = std::fs::read_to_string(&path).unwrap();
        let own = alloy_primitives::hex::encode(one.public().unwrap().identity);
        std::fs::write(&path, text.replace(&own, &alloy_primitives::hex::encode(other_keys.identity))).unwrap();
        let error = one.load(&word).unwrap_err();
        assert!(matches!(&error, KeyFileError::Keystore { source: KeystoreError::Mismatch("pubkey"), .. }), "{error}");
    }

    #[test]
    fn a_password_comes_from_the_first_line_of_a_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let error = Password::obtain(Some(&path), "").unwrap_err().to_string();
        assert!(error.starts_with("password file /") && error.contains("No such file"), "{error}");
        std::fs::write(&path, "correct horse \nsecond line\n").unwrap();
        chmod(&path, 0o644);
        assert!(matches!(Password::obtain(Some(&path), ""), Err(KeyFileError::Open { .. })));
        chmod(&path, 0o600);
        assert_eq!(*Password::obtain(Some(&path), "").unwrap().0, "correct horse ");
        std::fs::write(&path, "short\n").unwrap();
        assert!(matches!(Password::obtain_new(Some(&path)), Err(KeyFileError::ShortPassword(5))));
    }

    fn plain() -> KeyFile {
        KeyFile { identity: B256::repeat_byte(1), bls: B256::repeat_byte(2), poster: B256::repeat_byte(3) }
    }

    #[test]
    fn saved_keys_load_and_stay_private() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("keys.json");
        plain().save(&path).expect("saved");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(KeyFile::load(&path).expect("loaded").poster, plain().poster);
        chmod(&path, 0o644);
        assert!(matches!(KeyFile::load(&path), Err(KeyFileError::Open { mode: 0o644, .. })));
    }

    #[test]
    fn a_malformed_file_is_refused_without_quoting_it() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("keys.json");
        std::fs::write(&path, "{\"identity\": \"secret-material\"}").expect("written");
        chmod(&path, 0o600);
        let message = KeyFile::load(&path).expect_err("malformed").to_string();
        assert!(!message.contains("secret-material") && message.contains("line 1"), "{message}");
    }
}
