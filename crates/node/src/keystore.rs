//! Encrypted key files: EIP-2335 for the consensus and identity keys, Web3 Secret Storage (version 3) for L1 accounts.
//!
//! Both derive 32 bytes from the password (scrypt, or PBKDF2 with HMAC-SHA-256), encrypt the secret with AES-128-CTR under the first 16
//! of them, and keep a hash over the other 16 and the ciphertext, which tells a wrong password from a right one: SHA-256 in EIP-2335,
//! keccak-256 in Web3 storage. Everything in a file is external input: parameters that would cost more than [`MAX_SCRYPT_MEMORY`] or
//! [`MAX_PBKDF2_ROUNDS`] are refused before any work. No error quotes a secret.

use aes::cipher::{KeyIvInit, StreamCipher};
use alloy_primitives::{Address, hex, keccak256};
use rand::TryRngCore;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// Memory scrypt may take to open a file, bytes: four times what this module's own files need.
pub const MAX_SCRYPT_MEMORY: u64 = 1 << 30;
/// Lanes scrypt may run one after another.
const MAX_SCRYPT_LANES: u32 = 16;
/// Rounds of PBKDF2 a file may ask for.
pub const MAX_PBKDF2_ROUNDS: u32 = 10_000_000;
/// Salt of a file, bytes.
const MAX_SALT: usize = 256;
/// scrypt parameters of new files, those of EIP-2335's example: 256 MiB, about half a second.
const SCRYPT_LOG_N: u8 = 18;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 1;
/// Bytes derived from the password.
const DERIVED: usize = 32;
/// Version numbers of the formats.
const EIP2335_VERSION: u32 = 4;
const WEB3_VERSION: u32 = 3;
const CIPHER: &str = "aes-128-ctr";
const CHECKSUM: &str = "sha256";
const PRF: &str = "hmac-sha256";

/// 32 secret bytes, wiped when dropped.
pub type Secret = Zeroizing<[u8; 32]>;

/// Why a key file cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeystoreError {
    /// Not JSON of the format.
    #[error("line {0}: not a {1} keystore")]
    Json(usize, &'static str),
    /// A field that is missing, malformed or out of range.
    #[error("`{0}` must be {1}")]
    Field(&'static str, &'static str),
    /// The checksum does not fit.
    #[error("wrong password")]
    Password,
    /// The file names another public key than its secret has.
    #[error("`{0}` does not belong to the secret in the file")]
    Mismatch(&'static str),
}

/// An opened EIP-2335 file.
#[derive(Debug)]
pub struct Opened {
    /// The secret.
    pub secret: Secret,
    /// The public key the file names; empty if it names none.
    pub public_key: Vec<u8>,
}

/// 32 bytes of the operating system's randomness.
pub fn random_secret() -> Secret {
    Zeroizing::new(random())
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::rngs::OsRng.try_fill_bytes(&mut bytes).expect("the operating system gives randomness");
    bytes
}

/// A random UUID (RFC 4122, version 4).
fn uuid() -> String {
    let mut bytes: [u8; 16] = random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex::encode(bytes);
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

// ---- what both formats share ----

/// Parameters of a key derivation, as both formats write them.
#[derive(Serialize, Deserialize)]
struct KdfParams {
    dklen: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prf: Option<String>,
    salt: String,
}

impl KdfParams {
    /// Those of a new file.
    fn fresh() -> Self {
        Self {
            dklen: DERIVED as u32,
            n: Some(1 << SCRYPT_LOG_N),
            p: Some(SCRYPT_P),
            r: Some(SCRYPT_R),
            c: None,
            prf: None,
            salt: hex::encode(random::<32>()),
        }
    }

    fn derive(&self, function: &str, password: &[u8]) -> Result<Secret, KeystoreError> {
        use KeystoreError::Field;
        if self.dklen != DERIVED as u32 {
            return Err(Field("dklen", "32"));
        }
        let salt = hex::decode(&self.salt).ok().filter(|salt| salt.len() <= MAX_SALT);
        let salt = salt.ok_or(Field("salt", "at most 256 bytes of hex"))?;
        let mut derived = Zeroizing::new([0; DERIVED]);
        match function {
            "scrypt" => {
                let (n, r, p) = (self.n.unwrap_or(0), self.r.unwrap_or(0), self.p.unwrap_or(0));
                if n < 2 || !n.is_power_of_two() {
                    return Err(Field("n", "a power of two"));
                }
                if r == 0 || n.checked_mul(128 * u64::from(r)).is_none_or(|memory| memory > MAX_SCRYPT_MEMORY) {
                    return Err(Field("r", "such that scrypt takes at most 1 GiB (128 * n * r bytes)"));
                }
                if p == 0 || p > MAX_SCRYPT_LANES {
                    return Err(Field("p", "1 to 16"));
                }
                let log_n = u8::try_from(n.ilog2()).expect("a logarithm of 64 bits");
                let params = scrypt::Params::new(log_n, r, p).map_err(|_| Field("r", "a parameter of scrypt"))?;
                scrypt::scrypt(password, &salt, &params, derived.as_mut()).expect("scrypt gives 32 bytes");
            }
            "pbkdf2" => {
                let rounds = self.c.filter(|c| (1..=MAX_PBKDF2_ROUNDS).contains(c));
                let rounds = rounds.ok_or(Field("c", "1 to 10000000 rounds"))?;
                if self.prf.as_deref() != Some(PRF) {
                    return Err(Field("prf", PRF));
                }
                pbkdf2::pbkdf2_hmac::<Sha256>(password, &salt, rounds, derived.as_mut());
            }
            _ => return Err(Field("kdf", "`scrypt` or `pbkdf2`")),
        }
        Ok(derived)
    }
}

/// AES-128-CTR under the first half of the derived key; its own inverse.
fn apply_cipher(derived: &Secret, iv: &[u8; 16], text: &[u8; 32]) -> Secret {
    let key: [u8; 16] = derived[..16].try_into().expect("half of 32 bytes");
    let mut out = Zeroizing::new(*text);
    ctr::Ctr128BE::<aes::Aes128>::new(&key.into(), &(*iv).into()).apply_keystream(out.as_mut());
    out
}

/// What the checksums are over: the second half of the derived key and the ciphertext.
fn checked(derived: &Secret, ciphertext: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([&derived[16..], ciphertext].concat())
}

fn fixed<const N: usize>(text: &str, field: &'static str, form: &'static str) -> Result<[u8; N], KeystoreError> {
    hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(KeystoreError::Field(field, form))
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8], format: &'static str) -> Result<T, KeystoreError> {
    serde_json::from_slice(json).map_err(|error| KeystoreError::Json(error.line(), format))
}

fn pretty(value: &impl Serialize) -> String {
    let mut json = serde_json::to_string_pretty(value).expect("strings and numbers serialise");
    json.push('\n');
    json
}

fn expect(text: &str, wanted: &'static str, field: &'static str) -> Result<(), KeystoreError> {
    if text == wanted { Ok(()) } else { Err(KeystoreError::Field(field, wanted)) }
}

// ---- EIP-2335 ----

#[derive(Serialize, Deserialize)]
struct Eip2335 {
    crypto: Eip2335Crypto,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(default)]
    pubkey: String,
    path: String,
    uuid: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Eip2335Crypto {
    kdf: Module<KdfParams>,
    checksum: Module<NoParams>,
    cipher: Module<CipherParams>,
}

#[derive(Serialize, Deserialize)]
struct Module<P> {
    function: String,
    params: P,
    message: String,
}

#[derive(Serialize, Deserialize)]
struct NoParams {}

#[derive(Serialize, Deserialize)]
struct CipherParams {
    iv: String,
}

/// The password as EIP-2335 hashes it: NFKD, without control characters, UTF-8.
fn normalised(password: &str) -> Zeroizing<String> {
    Zeroizing::new(password.nfkd().filter(|c| !c.is_control()).collect())
}

/// Encrypts `secret` into an EIP-2335 file. `path` is empty: keys are random, not derived.
pub fn seal_eip2335(secret: &[u8; 32], public_key: &[u8], description: &str, password: &str) -> String {
    let params = KdfParams::fresh();
    let derived = params.derive("scrypt", normalised(password).as_bytes()).expect("this module's own parameters are valid");
    let iv: [u8; 16] = random();
    let ciphertext = apply_cipher(&derived, &iv, secret);
    pretty(&Eip2335 {
        crypto: Eip2335Crypto {
            checksum: Module {
                function: CHECKSUM.into(),
                params: NoParams {},
                message: hex::encode(Sha256::digest(checked(&derived, &ciphertext).as_slice())),
            },
            kdf: Module { function: "scrypt".into(), params, message: String::new() },
            cipher: Module {
                function: CIPHER.into(),
                params: CipherParams { iv: hex::encode(iv) },
                message: hex::encode(*ciphertext),
            },
        },
        description: description.into(),
        pubkey: hex::encode(public_key),
        path: String::new(),
        uuid: uuid(),
        version: EIP2335_VERSION,
    })
}

fn parse_eip2335(json: &[u8]) -> Result<(Eip2335, Vec<u8>), KeystoreError> {
    let file: Eip2335 = parse(json, "EIP-2335")?;
    if file.version != EIP2335_VERSION {
        return Err(KeystoreError::Field("version", "4"));
    }
    let public_key = hex::decode(&file.pubkey).map_err(|_| KeystoreError::Field("pubkey", "hex"))?;
    Ok((file, public_key))
}

/// The public key an EIP-2335 file names, without its password.
pub fn eip2335_public_key(json: &[u8]) -> Result<Vec<u8>, KeystoreError> {
    parse_eip2335(json).map(|(_, public_key)| public_key)
}

/// Decrypts an EIP-2335 file. Whether the public key is the secret's is for the caller to check.
pub fn open_eip2335(json: &[u8], password: &str) -> Result<Opened, KeystoreError> {
    let (file, public_key) = parse_eip2335(json)?;
    let Eip2335Crypto { kdf, checksum, cipher } = file.crypto;
    expect(&cipher.function, CIPHER, "cipher.function")?;
    expect(&checksum.function, CHECKSUM, "checksum.function")?;
    let iv = fixed(&cipher.params.iv, "cipher.params.iv", "16 bytes of hex")?;
    let ciphertext = fixed(&cipher.message, "cipher.message", "32 bytes of hex")?;
    let sum: [u8; 32] = fixed(&checksum.message, "checksum.message", "32 bytes of hex")?;
    let derived = kdf.params.derive(&kdf.function, normalised(password).as_bytes())?;
    if Sha256::digest(checked(&derived, &ciphertext).as_slice())[..] != sum {
        return Err(KeystoreError::Password);
    }
    Ok(Opened { secret: apply_cipher(&derived, &iv, &ciphertext), public_key })
}

// ---- Web3 Secret Storage ----

#[derive(Serialize, Deserialize)]
struct Web3 {
    #[serde(default)]
    address: String,
    #[serde(alias = "Crypto")]
    crypto: Web3Crypto,
    id: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Web3Crypto {
    cipher: String,
    cipherparams: CipherParams,
    ciphertext: String,
    kdf: String,
    kdfparams: KdfParams,
    mac: String,
}

/// Encrypts the private key of `address` into a Web3 Secret Storage file, the format of geth, foundry and MetaMask.
pub fn seal_web3(secret: &[u8; 32], address: Address, password: &str) -> String {
    let kdfparams = KdfParams::fresh();
    let derived = kdfparams.derive("scrypt", password.as_bytes()).expect("this module's own parameters are valid");
    let iv: [u8; 16] = random();
    let ciphertext = apply_cipher(&derived, &iv, secret);
    pretty(&Web3 {
        address: hex::encode(address),
        crypto: Web3Crypto {
            cipher: CIPHER.into(),
            cipherparams: CipherParams { iv: hex::encode(iv) },
            ciphertext: hex::encode(*ciphertext),
            kdf: "scrypt".into(),
            kdfparams,
            mac: hex::encode(keccak256(checked(&derived, &ciphertext))),
        },
        id: uuid(),
        version: WEB3_VERSION,
    })
}

fn parse_web3(json: &[u8]) -> Result<(Web3, Option<Address>), KeystoreError> {
    let file: Web3 = parse(json, "Web3 Secret Storage")?;
    if file.version != WEB3_VERSION {
        return Err(KeystoreError::Field("version", "3"));
    }
    let address = match file.address.as_str() {
        "" => None,
        text => Some(Address::from(fixed::<20>(text, "address", "20 bytes of hex")?)),
    };
    Ok((file, address))
}

/// The address a Web3 file names, if it names one, without its password.
pub fn web3_address(json: &[u8]) -> Result<Option<Address>, KeystoreError> {
    parse_web3(json).map(|(_, address)| address)
}

/// Decrypts a Web3 Secret Storage file into its private key and the address it names.
pub fn open_web3(json: &[u8], password: &str) -> Result<(Secret, Option<Address>), KeystoreError> {
    let (file, address) = parse_web3(json)?;
    let crypto = file.crypto;
    expect(&crypto.cipher, CIPHER, "cipher")?;
    let iv = fixed(&crypto.cipherparams.iv, "cipherparams.iv", "16 bytes of hex")?;
    let ciphertext = fixed(&crypto.ciphertext, "ciphertext", "32 bytes of hex")?;
    let mac: [u8; 32] = fixed(&crypto.mac, "mac", "32 bytes of hex")?;
    let derived = crypto.kdfparams.derive(&crypto.kdf, password.as_bytes())?;
    if keccak256(checked(&derived, &ciphertext)) != mac {
        return Err(KeystoreError::Password);
    }
    Ok((apply_cipher(&derived, &iv, &ciphertext), address))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of EIP-2335: one password, one secret, both derivations.
    const EIP2335_PASSWORD: &str = "𝔱𝔢𝔰𝔱𝔭𝔞𝔰𝔰𝔴𝔬𝔯𝔡🔑";
    const EIP2335_SECRET: [u8; 32] = hex!("000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f");
    const EIP2335_PUBLIC: [u8; 48] =
        hex!("9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07");
    const EIP2335_SCRYPT: &str = r#"{
        "crypto": {
            "kdf": {
                "function": "scrypt",
                "params": {
                    "dklen": 32, "n": 262144, "p": 1, "r": 8,
                    "salt": "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
                },
                "message": ""
            },
            "checksum": {
                "function": "sha256", "params": {},
                "message": "d2217fe5f3e9a1e34581ef8a78f7c9928e436d36dacc5e846690a5581e8ea484"
            },
            "cipher": {
                "function": "aes-128-ctr", "params": { "iv": "264daa3f303d7259501c93d997d84fe6" },
                "message": "06ae90d55fe0a6e9c5c3bc5b170827b2e5cce3929ed3f116c2811e6366dfe20f"
            }
        },
        "description": "This is a test keystore that uses scrypt to secure the secret.",
        "pubkey": "9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07",
        "path": "m/12381/60/3141592653/589793238",
        "uuid": "1d85ae20-35c5-4611-98e8-aa14a633906f",
        "version": 4
    }"#;
    const EIP2335_PBKDF2: &str = r#"{
        "crypto": {
            "kdf": {
                "function": "pbkdf2",
                "params": {
                    "dklen": 32, "c": 262144, "prf": "hmac-sha256",
                    "salt": "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
                },
                "message": ""
            },
            "checksum": {
                "function": "sha256", "params": {},
                "message": "8a9f5d9912ed7e75ea794bc5a89bca5f193721d30868ade6f73043c6ea6febf1"
            },
            "cipher": {
                "function": "aes-128-ctr", "params": { "iv": "264daa3f303d7259501c93d997d84fe6" },
                "message": "cee03fde2af33149775b7223e7845e4fb2c8ae1792e5f99fe9ecf474cc8c16ad"
            }
        },
        "description": "This is a test keystore that uses PBKDF2 to secure the secret.",
        "pubkey": "9612d7a727c9d0a22e185a1c768478dfe919cada9266988cb32359c11f2b7b27f4ae4040902382ae2910c15e2b420d07",
        "path": "m/12381/60/0/0",
        "uuid": "64625def-3331-4eea-ab6f-782f3ed16a83",
        "version": 4
    }"#;

    /// The test vectors of the Web3 Secret Storage definition.
    const WEB3_PASSWORD: &str = "testpassword";
    const WEB3_SECRET: [u8; 32] = hex!("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d");
    const WEB3_PBKDF2: &str = r#"{
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": { "iv": "6087dab2f9fdbbfaddc31a909735c1e6" },
            "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
            "kdf": "pbkdf2",
            "kdfparams": {
                "c": 262144, "dklen": 32, "prf": "hmac-sha256",
                "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd"
            },
            "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2"
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "version": 3
    }"#;
    const WEB3_SCRYPT: &str = r#"{
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": { "iv": "83dbcc02d8ccb40e466191a123791e0e" },
            "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
            "kdf": "scrypt",
            "kdfparams": {
                "dklen": 32, "n": 262144, "p": 8, "r": 1,
                "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19"
            },
            "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097"
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "version": 3
    }"#;

    #[test]
    fn the_vectors_of_eip_2335_open() {
        for vector in [EIP2335_SCRYPT, EIP2335_PBKDF2] {
            let opened = open_eip2335(vector.as_bytes(), EIP2335_PASSWORD).unwrap();
            assert_eq!(*opened.secret, EIP2335_SECRET);
            assert_eq!(opened.public_key, EIP2335_PUBLIC);
            assert_eq!(open_eip2335(vector.as_bytes(), "testpassword").unwrap_err(), KeystoreError::Password);
        }
        assert_eq!(normalised(EIP2335_PASSWORD).as_bytes(), hex!("7465737470617373776f7264f09f9491"));
        assert_eq!(*normalised("a\u{7f}b\u{0}c\u{85} d"), "abc d", "control characters are no part of a password");
    }

    #[test]
    fn the_vectors_of_web3_secret_storage_open() {
        for vector in [WEB3_PBKDF2, WEB3_SCRYPT] {
            let (secret, address) = open_web3(vector.as_bytes(), WEB3_PASSWORD).unwrap();
            assert_eq!((*secret, address), (WEB3_SECRET, None));
            assert_eq!(open_web3(vector.as_bytes(), "Testpassword").unwrap_err(), KeystoreError::Password);
        }
    }

    #[test]
    fn what_is_sealed_opens_with_its_password_only() {
        let (secret, address) = ([7; 32], Address::repeat_byte(9));
        let file = seal_eip2335(&secret, &[1, 2, 3], "a key", "correct horse");
        let opened = open_eip2335(file.as_bytes(), "correct horse").unwrap();
        assert_eq!((*opened.secret, opened.public_key), (secret, vec![1, 2, 3]));
        assert_eq!(eip2335_public_key(file.as_bytes()).unwrap(), [1, 2, 3]);
        assert_eq!(open_eip2335(file.as_bytes(), "battery staple").unwrap_err(), KeystoreError::Password);
        assert!(!file.contains(&hex::encode(secret)));

        let file = seal_web3(&secret, address, "correct horse");
        let (opened, named) = open_web3(file.as_bytes(), "correct horse").unwrap();
        assert_eq!((*opened, named), (secret, Some(address)));
        assert_eq!(web3_address(file.as_bytes()).unwrap(), Some(address));
        assert_eq!(open_web3(file.as_bytes(), "").unwrap_err(), KeystoreError::Password);
    }

    #[test]
    fn hostile_files_are_refused_before_any_work() {
        let cases = [
            ("262144, \"p\": 1, \"r\": 8", "4294967296, \"p\": 1, \"r\": 8", "r"),
            ("262144, \"p\": 1, \"r\": 8", "262143, \"p\": 1, \"r\": 8", "n"),
            ("262144, \"p\": 1, \"r\": 8", "262144, \"p\": 17, \"r\": 8", "p"),
            ("262144, \"p\": 1, \"r\": 8", "262144, \"p\": 1, \"r\": 0", "r"),
            ("\"dklen\": 32", "\"dklen\": 64", "dklen"),
            ("scrypt\",", "argon2\",", "kdf"),
            ("aes-128-ctr", "aes-128-cbc", "cipher.function"),
            ("sha256\", \"params", "md5\", \"params", "checksum.function"),
            ("264daa3f303d7259501c93d997d84fe6", "264d", "cipher.params.iv"),
            ("\"version\": 4", "\"version\": 5", "version"),
        ];
        for (from, to, field) in cases {
            let file = EIP2335_SCRYPT.replace(from, to);
            assert_ne!(file, EIP2335_SCRYPT);
            match open_eip2335(file.as_bytes(), EIP2335_PASSWORD).unwrap_err() {
                KeystoreError::Field(named, _) => assert_eq!(named, field),
                other => panic!("{field}: {other}"),
            }
        }
        let rounds = EIP2335_PBKDF2.replace("\"c\": 262144", "\"c\": 4294967295");
        assert!(matches!(open_eip2335(rounds.as_bytes(), "x").unwrap_err(), KeystoreError::Field("c", _)));
        assert_eq!(open_eip2335(b"{\n}", "x").unwrap_err(), KeystoreError::Json(2, "EIP-2335"));
        assert!(matches!(open_web3(b"nonsense", "x").unwrap_err(), KeystoreError::Json(1, _)));
    }
}
