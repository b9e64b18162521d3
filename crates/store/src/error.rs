//! What can go wrong in the store; every message names the place and, where there is one, the remedy.

use crate::{MAX_HISTORY, MIN_HISTORY};
use alloy_primitives::B256;
use std::{io, path::PathBuf};

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done, as in "cannot `open` …".
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Another process, or another store of this process, holds the directory.
    #[error("data directory {} is in use by another node: stop that node or choose another directory", .0.display())]
    InUse(PathBuf),
    /// The directory holds something that is not a store.
    #[error("{} is not an Oceanid store ({found}): choose an empty directory", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// What was found instead.
        found: String,
    },
    /// The store was written in a format this program does not know.
    #[error("{} holds a store of version {found}, this program reads version {supported}: use the program that wrote it, or a new directory", dir.display())]
    Version {
        /// The directory.
        dir: PathBuf,
        /// Version in the file.
        found: String,
        /// Version of this code.
        supported: u32,
    },
    /// The store belongs to another chain.
    #[error("{} holds another chain: {field} is {found}, expected {expected}", dir.display())]
    OtherChain {
        /// The directory.
        dir: PathBuf,
        /// Which part of the identity differs.
        field: &'static str,
        /// What the directory says.
        found: String,
        /// What the chain specification says.
        expected: String,
    },
    /// The log is damaged before its end: bytes that were acknowledged as durable are gone.
    #[error("write-ahead log {} is damaged at byte {offset} ({reason}): restore the directory from a copy, or remove it and let the node rebuild", path.display())]
    Log {
        /// Segment.
        path: PathBuf,
        /// Where the bad record begins.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine refused or lost something.
    #[error("storage engine: {0}")]
    Engine(#[from] fjall::Error),
    /// Stored bytes do not decode: damage, or a bug.
    #[error("stored {what} is damaged: {reason}")]
    Damaged {
        /// Which record.
        what: &'static str,
        /// Why it does not decode.
        reason: String,
    },
    /// Replaying the log, or going back in history, gave another state root than the header's.
    #[error("state of block {number} has root {got}, its header says {expected}: the store is damaged")]
    StateRoot {
        /// Block.
        number: u64,
        /// Header's state root.
        expected: B256,
        /// Computed root.
        got: B256,
    },
    /// The trie cannot be read or updated.
    #[error("state trie of block {number}: {reason}")]
    Trie {
        /// Block.
        number: u64,
        /// The trie's error.
        reason: String,
    },
    /// A block was committed that does not extend the head.
    #[error("block {number} with parent {parent} does not extend the head {head_number} ({head_hash})")]
    NotNext {
        /// Its number.
        number: u64,
        /// Its parent.
        parent: B256,
        /// The head's number.
        head_number: u64,
        /// The head's hash.
        head_hash: B256,
    },
    /// One block's record is larger than the log takes.
    #[error("block {number} needs a log record of {bytes} bytes: the limit is {limit}")]
    RecordTooLarge {
        /// Block.
        number: u64,
        /// Bytes of the record.
        bytes: usize,
        /// [`crate::MAX_RECORD_BYTES`].
        limit: usize,
    },
    /// State of a block older than the history kept.
    #[error("state of block {asked} is no longer kept: the oldest is block {oldest}")]
    Pruned {
        /// Asked for.
        asked: u64,
        /// Oldest available.
        oldest: u64,
    },
    /// A past that is to be cut too short, or kept longer than any store does.
    #[error("history is {asked}, must be {MIN_HISTORY} to {MAX_HISTORY} blocks")]
    History {
        /// Asked for.
        asked: u64,
    },
    /// A block that is not there yet.
    #[error("block {asked} does not exist: the head is block {head}")]
    Unknown {
        /// Asked for.
        asked: u64,
        /// Head.
        head: u64,
    },
    /// A proof at an old block would undo too much.
    #[error("a proof at block {asked} has to undo more than {limit} changes: ask for a newer block")]
    TooManyChanges {
        /// Block.
        asked: u64,
        /// [`crate::MAX_PROOF_CHANGES`].
        limit: usize,
    },
    /// The name of a named value is too long.
    #[error("name of {bytes} bytes: the limit is {limit}")]
    MetaName {
        /// Its bytes.
        bytes: usize,
        /// [`crate::MAX_META_NAME`].
        limit: usize,
    },
    /// An earlier write failed, so nothing more is written until a restart replays the log.
    #[error("the store stopped writing after an error; restart the node ({0})")]
    Stopped(String),
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn damaged(what: &'static str, reason: impl ToString) -> Self {
        Self::Damaged { what, reason: reason.to_string() }
    }
}
