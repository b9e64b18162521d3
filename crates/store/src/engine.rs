//! The engine behind the log: the only module that knows it is fjall (an LSM tree; see docs/store.md for the choice).
//!
//! Five tables, atomic together. No table is ever iterated as a whole; the range reads are "the next history entry of one key", "everything
//! of one account", only when an account with storage is destroyed, and "blocks with a log of that kind".

use crate::StoreError;
use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, OwnedWriteBatch, PersistMode, Readable,
    Snapshot as FjallSnapshot,
};
use std::{path::Path, time::Duration};

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// Accounts, storage and code of the flushed state.
    State,
    /// Trie nodes: the flushed state's by path, the retained ones by hash.
    Nodes,
    /// Prior values, and which keys each block changed.
    History,
    /// Headers, bodies, receipts, senders and certificates by number.
    Blocks,
    /// Block hashes, transaction hashes, logs, and named values.
    Index,
}

const TABLES: [(Table, &str); 5] = [
    (Table::State, "state"),
    (Table::Nodes, "nodes"),
    (Table::History, "history"),
    (Table::Blocks, "blocks"),
    (Table::Index, "index"),
];

/// Journal bytes on disk before the engine forces memtables out; the engine accepts no less than this.
const JOURNAL_BYTES: u64 = 64 << 20;
/// Threads of the engine for flushing and compaction, per store: several stores share a machine in development.
const WORKERS: usize = 1;
/// File handles the engine keeps open, per store.
const OPEN_FILES: usize = 128;
/// Pause between two looks whether a table's memory is on disk.
const WRITE_OUT_POLL: Duration = Duration::from_millis(5);

/// An open engine.
#[derive(Clone)]
pub(crate) struct Engine {
    db: Database,
    tables: [Keyspace; TABLES.len()],
}

/// A consistent view of all tables.
#[derive(Clone)]
pub(crate) struct Snapshot {
    snapshot: FjallSnapshot,
    tables: [Keyspace; TABLES.len()],
}

/// Writes that take effect together. A key may stand in it once.
pub(crate) struct Batch<'a> {
    engine: &'a Engine,
    batch: OwnedWriteBatch,
}

impl Engine {
    pub(crate) fn open(dir: &Path, cache_bytes: u64, memtable_bytes: u64) -> Result<Self, StoreError> {
        let db = Database::builder(dir)
            .cache_size(cache_bytes)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(WORKERS)
            .max_cached_files(Some(OPEN_FILES))
            .open()
            .map_err(|error| match error {
                // A view of a store that was dropped keeps the engine open.
                fjall::Error::Locked => StoreError::InUse(dir.to_path_buf()),
                other => other.into(),
            })?;
        let open = |(table, name): (Table, &str)| {
            db.keyspace(name, || {
                let options = KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes);
                if table == Table::Blocks {
                    // Bodies are written once and large: compaction moves references instead of bodies.
                    options.with_kv_separation(Some(KvSeparationOptions::default()))
                } else {
                    options
                }
            })
        };
        let tables = [open(TABLES[0])?, open(TABLES[1])?, open(TABLES[2])?, open(TABLES[3])?, open(TABLES[4])?];
        Ok(Self { db, tables })
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot { snapshot: self.db.snapshot(), tables: self.tables.clone() }
    }

    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch { engine: self, batch: self.db.batch().durability(Some(PersistMode::SyncData)) }
    }

    /// The newest committed value.
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tables[table as usize].get(key)?.map(|value| value.to_vec()))
    }

    /// Merges the files of a table into as few as there can be, without what was overwritten or removed before the oldest open snapshot.
    pub(crate) fn merge(&self, table: Table) -> Result<(), StoreError> {
        let table = &self.tables[table as usize];
        self.write_out(table)?;
        Ok(table.major_compact()?)
    }

    /// Bytes of each table's files, everything in memory written out.
    pub(crate) fn table_bytes(&self) -> Result<[(&'static str, u64); TABLES.len()], StoreError> {
        let mut bytes = TABLES.map(|(_, name)| (name, 0));
        for (table, (_, bytes)) in self.tables.iter().zip(&mut bytes) {
            self.write_out(table)?;
            *bytes = table.disk_space();
        }
        Ok(bytes)
    }

    /// Brings what a table has in memory into its files.
    fn write_out(&self, table: &Keyspace) -> Result<(), StoreError> {
        table.rotate_memtable()?;
        while table.sealed_memtable_count() > 0 {
            // The engine's thread does it. If that has failed this says so.
            self.db.persist(PersistMode::Buffer)?;
            std::thread::sleep(WRITE_OUT_POLL);
        }
        Ok(())
    }
}

impl Snapshot {
    pub(crate) fn get(&self, table: Table, key: &[u8]) -> Result<Option<fjall::UserValue>, StoreError> {
        Ok(self.snapshot.get(&self.tables[table as usize], key)?)
    }

    /// The first entry from `from` to `to`, both included.
    pub(crate) fn first(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
    ) -> Result<Option<(fjall::UserKey, fjall::UserValue)>, StoreError> {
        self.range(table, from, to).next().transpose()
    }

    /// The entries from `from` to `to`, both included.
    pub(crate) fn range(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
    ) -> impl Iterator<Item = Result<(fjall::UserKey, fjall::UserValue), StoreError>> + use<> {
        self.snapshot.range(&self.tables[table as usize], from..=to).map(|entry| Ok(entry.into_inner()?))
    }

    /// Every key that begins with `prefix`, with its value.
    pub(crate) fn prefix(
        &self,
        table: Table,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<(fjall::UserKey, fjall::UserValue), StoreError>> + use<> {
        self.snapshot.prefix(&self.tables[table as usize], prefix).map(|entry| Ok(entry.into_inner()?))
    }
}

impl Batch<'_> {
    pub(crate) fn put(&mut self, table: Table, key: impl Into<fjall::UserKey>, value: impl Into<fjall::UserValue>) {
        self.batch.insert(&self.engine.tables[table as usize], key, value);
    }

    pub(crate) fn delete(&mut self, table: Table, key: impl Into<fjall::UserKey>) {
        self.batch.remove(&self.engine.tables[table as usize], key);
    }

    /// All or nothing, and durable on return.
    pub(crate) fn commit(self) -> Result<(), StoreError> {
        Ok(self.batch.commit()?)
    }
}

impl core::fmt::Debug for Engine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Engine")
    }
}
