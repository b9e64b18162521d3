//! Where each value of a node's configuration comes from: the file, then the environment over it, then flags over both.
//!
//! [`KEYS`] is the whole list of keys; it is committed (`tests/snapshots/config.txt`), and a test holds it against [`NodeConfig`]. A key that is
//! not in it is refused by name, wherever it comes from. In the environment `l1.poll-ms` is `OCEANID_NODE_L1_POLL_MS`.

use crate::config::{ConfigError, NodeConfig};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// What the names of variables begin with.
pub const VARIABLE_PREFIX: &str = "OCEANID_NODE_";
/// The one key whose own keys are free: other sequencers by identity.
const PEERS: &str = "sequencer.peers";

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file or folder. In the file relative to the file's folder, elsewhere to the working directory.
    Path,
    /// An `http://` or `https://` endpoint.
    Url,
    /// Several of them: a list in the file, separated by commas in the environment.
    Urls,
    /// `203.0.113.7:26656`.
    Address,
    /// One of a few words.
    Word,
    /// A whole number from 0.
    Number,
    /// `true` or `false`.
    Switch,
    /// Addresses by identity key: a table in the file, `IDENTITY@ADDRESS:PORT` separated by commas in the environment.
    Peers,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Url => "URL",
            Self::Urls => "list of URLs",
            Self::Address => "address and port",
            Self::Word => "word",
            Self::Number => "whole number",
            Self::Switch => "true or false",
            Self::Peers => "table",
        }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Path | Self::Url | Self::Address | Self::Word => value.is_str(),
            Self::Urls => value.as_array().is_some_and(|urls| urls.iter().all(Value::is_str)),
            Self::Number => matches!(value, Value::Integer(number) if *number >= 0),
            Self::Switch => value.is_bool(),
            Self::Peers => value.is_table(),
        }
    }

    /// A variable's text as a value; none if it is not one of this kind.
    fn parse(self, text: &str) -> Option<Value> {
        let value = match self {
            Self::Path | Self::Url | Self::Address | Self::Word => Value::String(text.to_owned()),
            Self::Urls => {
                let urls = text.split(',').map(str::trim).filter(|url| !url.is_empty());
                Value::Array(urls.map(|url| Value::String(url.to_owned())).collect())
            }
            Self::Number => Value::Integer(text.parse().ok()?),
            Self::Switch => Value::Boolean(text.parse().ok()?),
            Self::Peers => {
                let peer = |part: &str| {
                    part.trim()
                        .split_once('@')
                        .map(|(identity, address)| (identity.to_owned(), Value::String(address.to_owned())))
                };
                Value::Table(text.split(',').filter(|part| !part.trim().is_empty()).map(peer).collect::<Option<_>>()?)
            }
        };
        self.fits(&value).then_some(value)
    }
}

/// A key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As in the file, sections with dots: `l1.poll-ms`.
    pub name: &'static str,
    /// What its value must be.
    pub kind: Kind,
    /// What it is for, one sentence.
    pub help: &'static str,
}

impl Key {
    /// Name of its variable.
    pub fn variable(&self) -> String {
        variable(self.name)
    }
}

fn variable(key: &str) -> String {
    VARIABLE_PREFIX.to_owned() + &key.replace(['.', '-'], "_").to_uppercase()
}

const fn key(name: &'static str, kind: Kind, help: &'static str) -> Key {
    Key { name, kind, help }
}

/// Every key there is.
pub const KEYS: &[Key] = &[
    key("spec", Kind::Path, "Chain specification (JSON)."),
    key("data-dir", Kind::Path, "Where the node keeps its state; one node a folder."),
    key("history", Kind::Number, "Blocks of history for eth_call and eth_getProof at older blocks, 1 to 1,000,000."),
    key("cache-mib", Kind::Number, "The store's cache of what it read, MiB, 1 to 1,048,576."),
    key("write-buffer-mib", Kind::Number, "Write buffer of each of the store's five tables, 1 to 1,024 MiB."),
    key("otlp-endpoint", Kind::Url, "Collector that gets traces over OTLP (http/protobuf); without it none are made."),
    key("otlp-rpc-one-in", Kind::Number, "Of so many requests one is traced, 1 to 1,000,000."),
    key("l1.http", Kind::Url, "L1 execution endpoint."),
    key("l1.beacon", Kind::Url, "L1 beacon endpoint; without it only batches in calldata can be read."),
    key("l1.poll-ms", Kind::Number, "Milliseconds between two looks at L1, 50 to 60,000."),
    key("l1.max-tip-gwei", Kind::Number, "Highest tip of the node's L1 transactions, 1 to 10,000 gwei."),
    key("rpc.listen", Kind::Address, "Where http and ws are served; port 0 takes a free one."),
    key(
        "rpc.forward",
        Kind::Url,
        "A sequencer's JSON-RPC endpoint that gets the transactions sent here while the node has no seat; without it they are refused.",
    ),
    key("rpc.cors", Kind::Word, "Origins of web pages that may call, separated by commas; `*` for all, nothing for none."),
    key(
        "rpc.namespaces",
        Kind::Word,
        "Namespaces served, separated by commas; without it all on loopback, elsewhere all but debug and trace.",
    ),
    key("rpc.max-connections", Kind::Number, "Connections at once, 1 to 1,000,000."),
    key("rpc.max-calls", Kind::Number, "Calls and estimates at work at once, 1 to 1,024; others wait."),
    key("rpc.max-scans", Kind::Number, "Log queries, filter polls and pool listings at work at once, 1 to 1,024; others wait."),
    key("rpc.max-traces", Kind::Number, "Traces at work at once, 1 to 1,024; others wait. Each may need some 500 MiB."),
    key("rpc.gas-cap", Kind::Number, "Gas of one call, estimate or trace, 21,000 to 10,000,000,000."),
    key("rpc.max-log-blocks", Kind::Number, "Blocks in the range of one log query, 1 to 10,000,000."),
    key("rpc.max-logs", Kind::Number, "Logs in one answer, 1 to 1,000,000; those of a single block always fit."),
    key("pool.journal", Kind::Switch, "Keep pending transactions of the node's own callers over a restart."),
    key("pool.max-transactions", Kind::Number, "Most pending transactions, 1 to 10,000,000."),
    key("pool.max-per-sender", Kind::Number, "Most pending transactions of one sender, 1 to 1,000,000."),
    key("pool.max-mib", Kind::Number, "Most memory of pending transactions, encoded, 1 to 16,384 MiB."),
    key("sequencer.keys", Kind::Path, "Folder with the node's encrypted keys."),
    key("sequencer.password-file", Kind::Path, "File with their password; without it OCEANID_PASSWORD or the terminal is asked."),
    key("sequencer.key-file", Kind::Path, "Instead of `keys`, on development chains only: a plain file with all keys."),
    key("sequencer.listen", Kind::Address, "The peer-to-peer port."),
    key("sequencer.peers", Kind::Peers, "Where to reach other sequencers, by identity key."),
    key("sequencer.da", Kind::Word, "Where batches go: `blob` or `calldata`."),
    key(
        "sequencer.batch-age-seconds",
        Kind::Number,
        "Age of the oldest unposted block that forces a batch, 1 to 86,400 seconds.",
    ),
    key("sequencer.byzantine", Kind::Word, "Misbehaves on purpose (`equivocate`); refused on all but development chains."),
    key("keeper.enabled", Kind::Switch, "Whether the node does on L1 what the protocol asks anyone to do."),
    key("keeper.account", Kind::Path, "L1 account (Web3 Secret Storage) of a node that is no sequencer."),
    key("keeper.password-file", Kind::Path, "File with its password; without it OCEANID_PASSWORD or the terminal is asked."),
    key(
        "keeper.watch-peers",
        Kind::Urls,
        "JSON-RPC endpoints of sequencers that a node without a seat asks for proofs of double voting.",
    ),
    key("keeper.recover", Kind::Switch, "Put the newest committee in office when the one in office is dead."),
    key("keeper.rotate", Kind::Switch, "Fix the next committee when it would differ."),
    key("keeper.jail", Kind::Switch, "Jail members that miss too much."),
    key("keeper.exits", Kind::Switch, "Complete exits that rotations left waiting."),
    key("keeper.credit", Kind::Switch, "Credit epochs."),
    key("keeper.fees", Kind::Switch, "Bring fees to L1, split them, and get the own posting costs back."),
    key("keeper.evidence", Kind::Switch, "Submit evidence of double voting."),
    key("keeper.stagger-seconds", Kind::Number, "Head start of one member over the next, 1 to 3,600 seconds."),
    key("keeper.survey-seconds", Kind::Number, "Time between two looks at every sequencer's record, 1 to 86,400 seconds."),
    key("keeper.credit-epochs", Kind::Number, "Final epochs that are worth a transaction, 1 to 1,000."),
    key("keeper.credit-wait-seconds", Kind::Number, "A final epoch waits for others at most this long, seconds."),
];

/// Who set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody.
    Default,
    /// This configuration file.
    File(PathBuf),
    /// This variable.
    Variable(String),
    /// This flag.
    Flag(&'static str),
}

impl core::fmt::Display for Source {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A value in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its key; a peer's is `sequencer.peers.IDENTITY`.
    pub name: String,
    /// The value.
    pub value: Value,
    /// Who set it.
    pub source: Source,
}

/// What has been set so far.
#[derive(Clone, Debug, Default)]
pub struct Settings(BTreeMap<String, (Value, Source)>);

impl Settings {
    /// Reads the file, if there is one, and the variables among `environment` over it.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not TOML, or a key is unknown or its value of the wrong kind.
    pub fn read(file: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut settings = Self::default();
        if let Some(path) = file {
            settings.read_file(path)?;
        }
        for (variable, text) in environment.into_iter().filter(|(name, _)| name.starts_with(VARIABLE_PREFIX)) {
            let known = KEYS.iter().find(|key| key.variable() == variable);
            let source = Source::Variable(variable);
            let Some(key) = known else { return Err(ConfigError::UnknownVariable { set_by: source }) };
            let value = key.kind.parse(&text).ok_or_else(|| wrong(key, &source))?;
            settings.set(key.name, value, source)?;
        }
        Ok(settings)
    }

    /// [`Self::read`] with this process's environment.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn from_process(file: Option<&Path>) -> Result<Self, ConfigError> {
        let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        Self::read(file, std::env::vars_os().map(|(name, text)| (lossy(name), lossy(text))))
    }

    /// A text or path that somebody has set.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.0.as_str()
    }

    /// A whole number that somebody has set.
    pub fn number(&self, name: &str) -> Option<u64> {
        u64::try_from(self.0.get(name)?.0.as_integer()?).ok()
    }

    /// Whether somebody has set a value.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
        let parse = |error: toml::de::Error| ConfigError::Parse {
            path: path.to_path_buf(),
            message: error.to_string().trim_end().to_owned(),
        };
        let table: Table = toml::from_str(&text).map_err(parse)?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        for (name, mut value) in flatten(table) {
            if let (Some(Kind::Path), Value::String(file)) = (kind_of(&name), &mut value)
                && Path::new(file).is_relative()
            {
                *file = folder.join(&*file).to_string_lossy().into_owned();
            }
            self.set(&name, value, Source::File(path.to_path_buf()))?;
        }
        Ok(())
    }

    /// Sets a value over what was there.
    ///
    /// # Errors
    ///
    /// The key is unknown, or the value of the wrong kind.
    pub fn set(&mut self, name: &str, value: impl Into<Value>, source: Source) -> Result<(), ConfigError> {
        let value = value.into();
        match KEYS.iter().find(|key| key.name == name) {
            Some(key) if !key.kind.fits(&value) => Err(wrong(key, &source)),
            // Peers are added to those that are known.
            Some(_) if name == PEERS => {
                let Value::Table(peers) = value else { return Ok(()) };
                peers
                    .into_iter()
                    .try_for_each(|(identity, address)| self.set(&format!("{PEERS}.{identity}"), address, source.clone()))
            }
            None if peer(name).is_none() => Err(ConfigError::UnknownKey { key: name.to_owned(), set_by: source }),
            _ => {
                self.0.insert(name.to_owned(), (value, source));
                Ok(())
            }
        }
    }

    /// Forgets a whole section.
    pub fn forget(&mut self, section: &str) {
        self.0.retain(|name, _| name.split_once('.').is_none_or(|(first, _)| first != section));
    }

    /// The configuration that results.
    ///
    /// # Errors
    ///
    /// A key that has no default is missing, or a value is out of range.
    pub fn build(&self) -> Result<NodeConfig, ConfigError> {
        let mut table = Table::new();
        for (name, (value, _)) in &self.0 {
            insert(&mut table, name, value.clone());
        }
        let sequences = table.contains_key("sequencer");
        for (name, needed) in [("spec", true), ("data-dir", true), ("l1.http", true), ("sequencer.listen", sequences)] {
            if needed && !self.0.contains_key(name) {
                return Err(ConfigError::Missing { key: name, variable: variable(name) });
            }
        }
        let config =
            NodeConfig::deserialize(table).map_err(|error| ConfigError::Value { message: one_line(&error.to_string()) })?;
        config.check()?;
        Ok(config)
    }

    /// Every value in force, defaults included, in the order of [`KEYS`].
    ///
    /// # Errors
    ///
    /// As [`Self::build`].
    pub fn in_force(&self) -> Result<Vec<Setting>, ConfigError> {
        let config = self.build()?;
        let table = Table::try_from(config).map_err(|error| ConfigError::Value { message: error.to_string() })?;
        let mut settings: Vec<Setting> = flatten(table)
            .into_iter()
            .filter(|(name, _)| name != PEERS)
            .map(|(name, value)| {
                let source = self.0.get(&name).map_or(Source::Default, |(_, source)| source.clone());
                Setting { name, value, source }
            })
            .collect();
        let place = |name: &str| KEYS.iter().position(|key| key.name == peer(name).map_or(name, |_| PEERS));
        settings.sort_by_cached_key(|setting| (place(&setting.name), setting.name.clone()));
        Ok(settings)
    }
}

fn wrong(key: &Key, source: &Source) -> ConfigError {
    ConfigError::Kind { key: key.name, set_by: source.clone(), expected: key.kind.name() }
}

/// Identity in the name of a peer's key.
fn peer(name: &str) -> Option<&str> {
    name.strip_prefix(PEERS)?.strip_prefix('.')
}

fn kind_of(name: &str) -> Option<Kind> {
    KEYS.iter().find(|key| key.name == name).map(|key| key.kind)
}

/// Values by their full names. A table without entries is a value of its own, so that an unknown section is seen.
fn flatten(table: Table) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    let mut open = vec![(String::new(), table)];
    while let Some((prefix, table)) = open.pop() {
        for (name, value) in table {
            let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            match value {
                Value::Table(inner) if !inner.is_empty() => open.push((name, inner)),
                // A section that is there and empty says what its absence says.
                Value::Table(_)
                    if KEYS.iter().any(|key| key.name.split_once('.').is_some_and(|(section, _)| section == name)) => {}
                value => flat.push((name, value)),
            }
        }
    }
    flat
}

/// Puts a value where its name says.
fn insert(table: &mut Table, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            table.insert(name.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SequencerSection;
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    const FILE: &str =
        "spec = \"spec.json\"\ndata-dir = \"data\"\nhistory = 7\n[l1]\nhttp = \"http://127.0.0.1:1\"\npoll-ms = 50\n";

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("node.toml");
        std::fs::write(&path, text).expect("written");
        Settings::read(Some(&path), environment.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())))
    }

    fn refused(text: &str, environment: &[(&str, &str)]) -> String {
        read(text, environment).and_then(|settings| settings.build()).expect_err("refused").to_string()
    }

    #[test]
    fn the_file_is_under_the_environment_and_both_are_under_the_flags() {
        let mut settings =
            read(FILE, &[("OCEANID_NODE_HISTORY", "8"), ("OCEANID_NODE_L1_POLL_MS", "60"), ("PATH", "/bin")]).expect("valid");
        settings.set("l1.poll-ms", 70, Source::Flag("--poll")).expect("known");
        let config = settings.build().expect("valid");
        assert_eq!((config.history, config.l1.poll_ms), (8, 70));
        assert!(config.spec.is_absolute(), "relative to the file");
        let in_force = settings.in_force().expect("valid");
        let source = |name: &str| {
            let found = in_force.iter().find(|setting| setting.name == name);
            found.map(|setting| setting.source.to_string()).expect("in force")
        };
        assert_eq!(source("history"), "$OCEANID_NODE_HISTORY");
        assert_eq!(source("l1.poll-ms"), "--poll");
        assert!(source("l1.http").ends_with("node.toml"));
        assert_eq!(source("keeper.rotate"), "default");
    }

    #[test]
    fn unknown_keys_are_refused_by_name_wherever_they_are() {
        assert!(refused(&format!("colour = 1\n{FILE}"), &[]).contains("unknown key `colour`"));
        assert!(refused(&format!("{FILE}beacn = \"http://x\"\n"), &[]).contains("unknown key `l1.beacn`"));
        assert!(refused(&format!("{FILE}[colours]\n"), &[]).contains("unknown key `colours`"));
        let variable = refused(FILE, &[("OCEANID_NODE_COLOUR", "1")]);
        assert!(variable.contains("$OCEANID_NODE_COLOUR"), "{variable}");
    }

    #[test]
    fn wrong_values_name_the_key_and_where_it_was_set() {
        let error = refused(FILE, &[("OCEANID_NODE_HISTORY", "many")]);
        assert_eq!(error, "config: `history` ($OCEANID_NODE_HISTORY) must be a whole number");
        let error = refused(&FILE.replace("history = 7", "history = \"7\""), &[]);
        assert!(error.starts_with("config: `history` (/") && error.ends_with("must be a whole number"), "{error}");
        let error = refused(&format!("{FILE}[rpc]\nlisten = \"here\"\n"), &[]);
        assert!(error.contains("rpc.listen") && !error.contains('\n'), "{error}");
        let error = refused(&FILE.replace("spec = \"spec.json\"", ""), &[]);
        assert!(error.contains("`spec` is missing") && error.contains("OCEANID_NODE_SPEC"), "{error}");
    }

    #[test]
    fn peers_of_all_sources_are_together_and_a_section_can_be_forgotten() {
        let [one, two] = [1, 2].map(alloy_primitives::B256::repeat_byte);
        let text = format!("{FILE}[sequencer]\nlisten = \"127.0.0.1:1\"\n[sequencer.peers]\n\"{one}\" = \"127.0.0.1:2\"\n");
        let mut settings = read(&text, &[("OCEANID_NODE_SEQUENCER_PEERS", &format!("{two}@127.0.0.1:3"))]).expect("valid");
        let peers = settings.build().expect("valid").sequencer.expect("a sequencer").peers;
        assert_eq!(peers.values().map(std::net::SocketAddr::port).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(settings.in_force().expect("valid").iter().filter(|setting| peer(&setting.name).is_some()).count(), 2);
        settings.forget("sequencer");
        assert!(settings.build().expect("valid").sequencer.is_none());
    }

    /// Every field there is, as TOML has it.
    fn everything() -> NodeConfig {
        let mut config = read(FILE, &[]).and_then(|settings| settings.build()).expect("valid");
        config.rpc.forward = Some("http://127.0.0.1:3".to_owned());
        config.l1.beacon = Some("http://127.0.0.1:2".to_owned());
        config.otlp_endpoint = Some("http://127.0.0.1:3".to_owned());
        let path = || Some(PathBuf::from("/x"));
        config.sequencer = Some(SequencerSection {
            keys: path(),
            password_file: path(),
            key_file: path(),
            byzantine: Some(oceanid_sequencer::Byzantine::Equivocate),
            ..SequencerSection::new(([127, 0, 0, 1], 1).into())
        });
        config.rpc.namespaces = Some("eth".to_owned());
        (config.keeper.account, config.keeper.password_file) = (path(), path());
        config.keeper.watch_peers.push("http://127.0.0.1:3".to_owned());
        config
    }

    #[test]
    fn the_list_has_every_key_and_is_the_committed_one() {
        let fields: BTreeSet<_> =
            flatten(Table::try_from(everything()).expect("TOML")).into_iter().map(|(name, _)| name).collect();
        let listed: BTreeSet<_> = KEYS.iter().map(|key| key.name.to_owned()).collect();
        assert_eq!(fields, listed);
        let defaults = read(&FILE.replace("history = 7", "").replace("poll-ms = 50", ""), &[]).expect("valid");
        let mut defaults = defaults.in_force().expect("valid");
        let section = Table::try_from(SequencerSection::new(([0, 0, 0, 0], 0).into())).expect("TOML");
        defaults.extend(["da", "batch-age-seconds"].map(|name| Setting {
            name: format!("sequencer.{name}"),
            value: section[name].clone(),
            source: Source::Default,
        }));
        let mut list = String::new();
        for key in KEYS {
            let default = defaults.iter().find(|setting| setting.name == key.name && setting.source == Source::Default);
            let default = default.map_or(String::new(), |setting| format!(", default {}", setting.value));
            let _ = writeln!(list, "{} {}{default}\n    {}\n    {}", key.name, key.kind.name(), key.variable(), key.help);
            assert!(key.help.ends_with('.'), "{}", key.name);
        }
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/snapshots/config.txt");
        if std::env::var_os("OCEANID_WRITE_SNAPSHOTS").is_some() {
            std::fs::write(&file, &list).expect("the snapshot is written");
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == list,
            "keys differ from {}; if that is meant, run this test with OCEANID_WRITE_SNAPSHOTS=1",
            file.display()
        );
    }
}
