//! The pool's journal: transactions accepted from this node's own callers, in a file that survives the process.
//!
//! A line of text each: the first names the format and its version, every other one is `CHECKSUM TRANSACTION`, the xxh3-64 of the
//! transaction's bytes and those bytes (EIP-2718), both in hex. A line stands for itself: damage costs the lines it touches and no
//! others, and a last line without its end is what a crash left of a write. Lines are appended before the caller has his answer and
//! synced a little later, so a killed process loses nothing and a power cut the last moments ([`crate::Pool::maintain_journal`]).

use alloy_primitives::{Bytes, hex};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

use crate::MAX_TRANSACTION_BYTES;

/// What the first line begins with.
const NAME: &str = "oceanid pool journal ";
/// Version of the format, the rest of the first line.
const VERSION: &str = "1";
/// Most bytes of the file, written or read.
const MAX_BYTES: u64 = 512 << 20;
/// A file below this is not rewritten, bytes.
const COMPACT_FROM: u64 = 4 << 20;
/// A file is rewritten when it has grown by this factor since it last was.
const COMPACT_GROWTH: u64 = 2;
/// Digits of a version, at most.
const MAX_VERSION: usize = 4;
/// Characters of the checksum.
const CHECKSUM: usize = 16;
/// Longest line, bytes.
const MAX_LINE: usize = CHECKSUM + 1 + 2 * MAX_TRANSACTION_BYTES + 1;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Written by another version of this software.
    #[error(
        "pool journal {path}: format version `{found}`, this version reads `{VERSION}`; start the version that wrote it, or move the file away (pending transactions in it are then lost)"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// What its first line says.
        found: String,
    },
    /// The file system refuses.
    #[error("pool journal: cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl JournalError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

/// What a journal held.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Encoded transactions, in order of writing.
    pub(crate) transactions: Vec<Bytes>,
    /// Lines that are not what was written, a torn last one included.
    pub(crate) damaged: usize,
}

/// The file, open for appending.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of the file, and what they were after it was last written anew.
    bytes: u64,
    compacted: u64,
    /// Whether there are lines that are not synced.
    unsynced: bool,
    /// A write failed: the end of the file is unknown until it is written anew.
    failed: bool,
}

/// Reads the journal at `path`; a file that does not exist is empty.
pub(crate) fn read(path: &Path) -> Result<Contents, JournalError> {
    let mut contents = Contents::default();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(contents),
        Err(error) => return Err(JournalError::io("open", path)(error)),
    };
    let mut reader = BufReader::new(file.take(MAX_BYTES));
    let mut is_first = true;
    while let Some(line) = next_line(&mut reader).map_err(JournalError::io("read", path))? {
        let first = std::mem::take(&mut is_first);
        match line.as_deref().map(|line| (parse(line), line)) {
            Some((Some(transaction), _)) => contents.transactions.push(transaction),
            Some((None, line)) if first => match line.strip_prefix(NAME.as_bytes()) {
                Some(version) if version == VERSION.as_bytes() => {}
                Some(version) if is_version(version) => {
                    let found = String::from_utf8_lossy(version).into_owned();
                    return Err(JournalError::Version { path: path.to_path_buf(), found });
                }
                _ => contents.damaged += 1,
            },
            _ => contents.damaged += 1,
        }
    }
    Ok(contents)
}

/// Whether that may be a version, rather than damage.
fn is_version(text: &[u8]) -> bool {
    (1..=MAX_VERSION).contains(&text.len()) && text.iter().all(u8::is_ascii_digit)
}

/// The next line without its end; inside, none if it is too long or has no end. Outside, none at the end of the file.
fn next_line(reader: &mut impl BufRead) -> io::Result<Option<Option<Vec<u8>>>> {
    let mut line = Vec::new();
    reader.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(Some(Some(line)));
    }
    reader.skip_until(b'\n')?;
    Ok(Some(None))
}

fn parse(line: &[u8]) -> Option<Bytes> {
    let (checksum, rest) = line.split_at_checked(CHECKSUM)?;
    let transaction = hex::decode(rest.strip_prefix(b" ")?).ok()?;
    (checksum == checksum_of(&transaction).as_bytes()).then(|| transaction.into())
}

fn checksum_of(transaction: &[u8]) -> String {
    hex::encode(xxh3_64(transaction).to_be_bytes())
}

fn line_of(transaction: &[u8]) -> String {
    format!("{} {}\n", checksum_of(transaction), hex::encode(transaction))
}

impl Journal {
    /// Writes the file anew with these transactions (EIP-2718) and opens it for more. What is at `path` is replaced in one step.
    pub(crate) fn create(path: &Path, transactions: impl Iterator<Item = Vec<u8>>) -> Result<Self, JournalError> {
        let fresh = path.with_extension("new");
        let file = File::create(&fresh).map_err(JournalError::io("create", &fresh))?;
        let mut writer = BufWriter::new(file);
        let mut bytes = 0;
        for line in std::iter::once(format!("{NAME}{VERSION}\n")).chain(transactions.map(|transaction| line_of(&transaction))) {
            if bytes + line.len() as u64 > MAX_BYTES {
                break;
            }
            writer.write_all(line.as_bytes()).map_err(JournalError::io("write", &fresh))?;
            bytes += line.len() as u64;
        }
        let file = writer.into_inner().map_err(|error| JournalError::io("write", &fresh)(error.into_error()))?;
        file.sync_all().map_err(JournalError::io("sync", &fresh))?;
        fs::rename(&fresh, path).map_err(JournalError::io("replace", path))?;
        if let Some(folder) = path.parent() {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(JournalError::io("sync", folder))?;
        }
        Ok(Self { path: path.to_path_buf(), file, bytes, compacted: bytes, unsynced: false, failed: false })
    }

    /// Appends transactions (EIP-2718); on return they survive the end of the process, if not yet that of the machine. After an error, and
    /// when the file is at its limit, nothing more is appended until it is written anew.
    pub(crate) fn append(&mut self, transactions: impl Iterator<Item = Vec<u8>>) -> Result<(), JournalError> {
        if self.failed {
            return Ok(());
        }
        let lines: String = transactions.map(|transaction| line_of(&transaction)).collect();
        let room = MAX_BYTES.saturating_sub(self.bytes);
        let written = if lines.len() as u64 > room {
            Err(io::Error::other(format!("the file is at its limit of {MAX_BYTES} bytes")))
        } else {
            self.file.write_all(lines.as_bytes())
        };
        self.unsynced = true;
        self.bytes += lines.len() as u64;
        self.failed = written.is_err();
        written.map_err(JournalError::io("append to", &self.path))
    }

    /// Whether the file should be written anew: much of it is past, or a write failed.
    pub(crate) fn is_due(&self) -> bool {
        self.failed || self.bytes >= COMPACT_FROM && self.bytes / COMPACT_GROWTH >= self.compacted
    }

    /// What of the file has to be synced, if anything; syncing may go on beside appending.
    pub(crate) fn take_unsynced(&mut self) -> Result<Option<File>, JournalError> {
        if !std::mem::take(&mut self.unsynced) {
            return Ok(None);
        }
        self.file.try_clone().map(Some).map_err(JournalError::io("sync", &self.path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Copies a damaged journal for whoever wants to look at it, over the copy made before.
pub(crate) fn set_aside(path: &Path) -> Result<PathBuf, JournalError> {
    let aside = path.with_extension("damaged");
    fs::copy(path, &aside).map_err(JournalError::io("copy", path))?;
    Ok(aside)
}

/// Syncs what [`Journal::take_unsynced`] gave.
pub(crate) fn sync(file: &File, path: &Path) -> Result<(), JournalError> {
    file.sync_data().map_err(JournalError::io("sync", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(transactions: &[&[u8]]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("pool.journal");
        let (first, rest) = transactions.split_at(transactions.len() / 2);
        let mut journal = Journal::create(&path, first.iter().map(|bytes| bytes.to_vec())).expect("created");
        journal.append(rest.iter().map(|bytes| bytes.to_vec())).expect("appended");
        (folder, path)
    }

    fn held(path: &Path) -> (Vec<Vec<u8>>, usize) {
        let contents = read(path).expect("read");
        (contents.transactions.iter().map(|bytes| bytes.to_vec()).collect(), contents.damaged)
    }

    const THREE: [&[u8]; 3] = [b"one", b"two\n\xff", b"three"];

    #[test]
    fn what_was_written_is_read_in_order() {
        let (folder, path) = journal(&THREE);
        assert_eq!(held(&path), (THREE.map(<[u8]>::to_vec).to_vec(), 0));
        assert_eq!(held(&folder.path().join("none")), (Vec::new(), 0));
    }

    #[test]
    fn every_torn_tail_costs_only_the_last_line() {
        let (_folder, path) = journal(&THREE);
        let whole = fs::read(&path).expect("read");
        let second = whole.len() - line_of(THREE[2]).len();
        for length in second + 1..whole.len() {
            fs::write(&path, &whole[..length]).expect("written");
            assert_eq!(held(&path), (THREE[..2].iter().map(|bytes| bytes.to_vec()).collect(), 1), "{length} bytes");
        }
        fs::write(&path, &whole[..3]).expect("written");
        assert_eq!(held(&path), (Vec::new(), 1), "a torn first line");
    }

    #[test]
    fn every_changed_byte_costs_at_most_the_lines_it_touches() {
        let (_folder, path) = journal(&THREE);
        let whole = fs::read(&path).expect("read");
        // One byte is left out: another version is no damage.
        for place in (0..whole.len()).filter(|place| *place != NAME.len()) {
            for change in [1, 0x20, 0x80, whole[place] ^ b'\n'].into_iter().filter(|change| *change != 0) {
                let mut bytes = whole.clone();
                bytes[place] ^= change;
                fs::write(&path, &bytes).expect("written");
                let (transactions, damaged) = held(&path);
                // A changed line end joins two lines; the case of a hex digit carries nothing.
                let lost = THREE.len() - transactions.len();
                assert!(lost <= 2 && (damaged > 0 || lost == 0), "byte {place} changed by {change:#x}: lost {lost}");
                assert!(transactions.iter().all(|read| THREE.contains(&&**read)));
            }
        }
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let (_folder, path) = journal(&THREE);
        fs::write(&path, format!("{NAME}2\n{}", line_of(b"one"))).expect("written");
        let error = read(&path).expect_err("refused").to_string();
        assert!(error.contains("format version `2`, this version reads `1`") && error.contains("pool.journal"), "{error}");
    }

    #[test]
    fn hostile_files_are_read_within_bounds() {
        let (_folder, path) = journal(&[]);
        let long = "0".repeat(3 * MAX_LINE);
        let bad = ["", "\n\n", "zz", "0000000000000000", "0000000000000000 ", "0000000000000000 0", "\u{0}\u{0}"].join("\n");
        fs::write(&path, format!("{long}\n{bad}\n{}", line_of(b"one"))).expect("written");
        let (transactions, damaged) = held(&path);
        assert_eq!(transactions, [b"one".to_vec()]);
        assert!(damaged >= 6, "{damaged}");
    }

    #[test]
    fn a_grown_file_is_due_and_a_full_one_refuses() {
        let (_folder, path) = journal(&[]);
        let mut journal = Journal::create(&path, std::iter::empty()).expect("created");
        let large = vec![7; MAX_TRANSACTION_BYTES];
        assert!(!journal.is_due());
        while !journal.is_due() {
            journal.append(std::iter::once(large.clone())).expect("appended");
        }
        assert!(journal.bytes >= COMPACT_FROM && journal.bytes < COMPACT_FROM + MAX_LINE as u64);
        (journal.bytes, journal.compacted) = (MAX_BYTES, MAX_BYTES);
        assert!(!journal.is_due());
        assert!(journal.append(std::iter::once(large)).expect_err("full").to_string().contains("at its limit"));
        assert!(journal.is_due(), "the rewritten file has room again");
        assert!(journal.take_unsynced().expect("a handle").is_some());
        assert!(journal.take_unsynced().expect("nothing").is_none());
    }
}
