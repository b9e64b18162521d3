//! `store`: fjall beside MDBX under the store's write pattern.
//!
//! Both engines get the same rows in the same five tables (`crates/store/src/keys.rs`): state by plain key, trie nodes by place, prior values,
//! block bodies, indices. A flush merges some blocks, reads the prior value of every changed key as the flusher does, and commits
//! durably. Costs are divided by the blocks in the flushes; what an engine still does in the background afterwards counts too.

use crate::report::{Cost, count, cpu_time, measure, ms, row, table};
use crate::world::{BLOCK, token_code};
use alloy_consensus::{SignableTransaction as _, TxEip1559};
use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use alloy_rlp::Encodable as _;
use oceanid_primitives::TxEnvelope;
use oceanid_stf::workload::{self, CHAIN_ID};
use oceanid_stf::{AccountState, BlockExecutor, EmptyState, Overlay, RollupRules, Rules, StateDiff, StateReader as _};
use oceanid_trie::{MemoryNodes, Nibbles, TrieUpdates, state_root_from_scratch, update_state_root};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Blocks flushed one by one.
const SINGLE: usize = 16;
/// Blocks that a merged flush holds: what the store waits for (`StoreConfig::flush_blocks`).
const MERGED: usize = 16;
/// Merged flushes.
const MERGED_FLUSHES: usize = 2;
/// Rows of the first state in one batch.
const LOAD_ROWS: usize = 200_000;
/// An engine is at rest when it used less CPU than this …
const REST_CPU: Duration = Duration::from_millis(5);
/// … in this time.
const REST: Duration = Duration::from_millis(500);

/// Tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    State,
    Nodes,
    History,
    Blocks,
    Index,
}

const TABLES: [&str; 5] = ["state", "nodes", "history", "blocks", "index"];

/// A key, and what becomes of it; no value is a deletion.
type Rows = BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>;

/// An engine as the store needs it.
trait Engine: Sized {
    const NAME: &'static str;
    fn open(dir: &Path) -> eyre::Result<Self>;
    /// Length of a value, if it is there.
    fn get(&self, table: Table, key: &[u8]) -> eyre::Result<Option<usize>>;
    /// All or nothing, durable on return.
    fn commit(&self, rows: Rows) -> eyre::Result<()>;
}

struct Fjall {
    db: fjall::Database,
    tables: Vec<fjall::Keyspace>,
}

/// As in `crates/store/src/engine.rs`, with the store's default budgets.
impl Engine for Fjall {
    const NAME: &'static str = "fjall";

    fn open(dir: &Path) -> eyre::Result<Self> {
        let db = fjall::Database::builder(dir)
            .cache_size(32 << 20)
            .max_journaling_size(64 << 20)
            .worker_threads(1)
            .max_cached_files(Some(128))
            .open()?;
        let open = |name: &&str| {
            db.keyspace(name, || {
                let options = fjall::KeyspaceCreateOptions::default().max_memtable_size(8 << 20);
                if *name == TABLES[Table::Blocks as usize] {
                    options.with_kv_separation(Some(fjall::KvSeparationOptions::default()))
                } else {
                    options
                }
            })
        };
        let tables = TABLES.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { db, tables })
    }

    fn get(&self, table: Table, key: &[u8]) -> eyre::Result<Option<usize>> {
        Ok(self.tables[table as usize].get(key)?.map(|value| value.len()))
    }

    fn commit(&self, rows: Rows) -> eyre::Result<()> {
        let mut batch = self.db.batch().durability(Some(fjall::PersistMode::SyncData));
        for ((table, key), value) in rows {
            match value {
                Some(value) => batch.insert(&self.tables[table as usize], key, value),
                None => batch.remove(&self.tables[table as usize], key),
            }
        }
        Ok(batch.commit()?)
    }
}

struct Mdbx {
    env: signet_libmdbx::Environment,
    tables: Vec<signet_libmdbx::Database>,
}

impl Engine for Mdbx {
    const NAME: &'static str = "MDBX";

    fn open(dir: &Path) -> eyre::Result<Self> {
        use signet_libmdbx::{DatabaseFlags, Environment, Geometry};
        std::fs::create_dir_all(dir)?;
        let geometry = Geometry { size: Some(0..64 << 30), growth_step: Some(64 << 20), ..Geometry::default() };
        let env = Environment::builder().set_max_dbs(TABLES.len()).set_geometry(geometry).open(dir)?;
        let tx = env.begin_rw_unsync()?;
        let tables = TABLES.iter().map(|name| tx.create_db(Some(name), DatabaseFlags::empty())).collect::<Result<_, _>>()?;
        tx.commit()?;
        Ok(Self { env, tables })
    }

    fn get(&self, table: Table, key: &[u8]) -> eyre::Result<Option<usize>> {
        let tx = self.env.begin_ro_unsync()?;
        Ok(tx.get::<Vec<u8>>(self.tables[table as usize].dbi(), key)?.map(|value| value.len()))
    }

    fn commit(&self, rows: Rows) -> eyre::Result<()> {
        let tx = self.env.begin_rw_unsync()?;
        for ((table, key), value) in rows {
            let table = self.tables[table as usize];
            match value {
                Some(value) => tx.put(table, key, value, signet_libmdbx::WriteFlags::empty())?,
                None => {
                    tx.del(table, key, None)?; // whether it was there does not matter
                }
            }
        }
        Ok(tx.commit()?)
    }
}

pub(crate) fn run(accounts: &[usize]) -> eyre::Result<()> {
    let mut lines = Vec::new();
    for number in accounts {
        let blocks = Stream::new(*number)?;
        let [fjall, mdbx] = [one::<Fjall>(&blocks)?, one::<Mdbx>(&blocks)?];
        for (merged, (left, right)) in [1, MERGED].into_iter().zip(fjall.into_iter().zip(mdbx)) {
            for (name, figures) in [(Fjall::NAME, left), (Mdbx::NAME, right)] {
                let factor = |mine: f64, other: f64| format!("{:.2}", mine / other);
                lines.push([
                    count(*number),
                    count(merged),
                    name.into(),
                    ms(figures.cost.wall),
                    ms(figures.cost.cpu),
                    format!("{:.1}", figures.written / 1e6),
                    factor(figures.cost.wall.as_secs_f64(), right.cost.wall.as_secs_f64()),
                    factor(figures.cost.cpu.as_secs_f64(), right.cost.cpu.as_secs_f64()),
                    factor(figures.written, right.written),
                ]);
            }
        }
    }
    let transactions = count(BLOCK.transfers + BLOCK.token_transfers);
    table(
        &format!(
            "Durable flush of blocks of {transactions} transactions, for each block; background work counts as CPU and bytes, not as wall."
        ),
        &["accounts", "blocks a flush", "engine", "wall, ms", "CPU, ms", "written, MB", "to MDBX: wall", "CPU", "written"],
    );
    for line in &lines {
        row(line);
    }
    Ok(())
}

/// What a block costs.
#[derive(Clone, Copy)]
struct Figures {
    cost: Cost,
    /// Bytes handed to the disk.
    written: f64,
}

/// Loads the first state, flushes blocks singly, then merged.
fn one<E: Engine>(stream: &Stream) -> eyre::Result<[Figures; 2]> {
    eprintln!("{}: loading {} rows", E::NAME, count(stream.genesis.len()));
    let directory = tempfile::tempdir()?;
    let engine = E::open(directory.path())?;
    let mut genesis = stream.genesis.iter();
    loop {
        let part: Rows = genesis.by_ref().take(LOAD_ROWS).map(|(key, value)| (key.clone(), value.clone())).collect();
        if part.is_empty() {
            break;
        }
        engine.commit(part)?;
    }
    rest();
    let (single, merged) = stream.blocks.split_at(SINGLE);
    Ok([flushes(&engine, single, 1)?, flushes(&engine, merged, MERGED)?])
}

fn flushes<E: Engine>(engine: &E, blocks: &[Block], merged: usize) -> eyre::Result<Figures> {
    eprintln!("{}: {} blocks, {merged} a flush", E::NAME, blocks.len());
    let mut wall = Duration::ZERO;
    let (cpu, written) = (cpu_time(), written_bytes()?);
    for group in blocks.chunks(merged) {
        let (result, cost) = measure(|| flush(engine, group));
        result?;
        wall += cost.wall;
    }
    rest();
    let each = blocks.len() as u32;
    Ok(Figures {
        cost: Cost { wall: wall / each, cpu: (cpu_time() - cpu) / each },
        written: (written_bytes()? - written) as f64 / f64::from(each),
    })
}

/// One flush: the newest value of each key, and every block's own rows.
fn flush<E: Engine>(engine: &E, blocks: &[Block]) -> eyre::Result<()> {
    let mut rows = Rows::new();
    for block in blocks {
        for key in block.state.keys().filter(|key| !rows.contains_key(*key)) {
            engine.get(key.0, &key.1)?;
        }
        for part in [&block.state, &block.nodes, &block.own] {
            rows.extend(part.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
    }
    engine.commit(rows)
}

/// Waits until background threads have nothing to do.
fn rest() {
    loop {
        let before = cpu_time();
        std::thread::sleep(REST);
        if cpu_time() - before < REST_CPU {
            return;
        }
    }
}

/// Bytes this process has handed to the disk so far.
fn written_bytes() -> eyre::Result<u64> {
    let text = std::fs::read_to_string("/proc/self/io")?;
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line.ok_or_else(|| eyre::eyre!("/proc/self/io has no write_bytes"))?.parse()?)
}

/// What one block writes.
struct Block {
    state: Rows,
    nodes: Rows,
    /// Prior values, body, receipts, indices.
    own: Rows,
}

/// A first state and the blocks on it, as rows.
struct Stream {
    genesis: Rows,
    blocks: Vec<Block>,
}

impl Stream {
    fn new(number: usize) -> eyre::Result<Self> {
        eprintln!("executing {} blocks over {} accounts", SINGLE + MERGED * MERGED_FLUSHES, count(number));
        let accounts = workload::accounts(number);
        let state = workload::genesis(&accounts, token_code()?);
        let (mut root, trie, _) = state_root_from_scratch(&state.hashed())?;
        let mut genesis = state_rows(&state);
        genesis.extend(node_rows(&trie));
        let mut nodes = MemoryNodes::default();
        nodes.apply(&trie);
        drop(trie);
        let mut world = Overlay::new(EmptyState).with_layer(state);
        let mut nonces = vec![0; number];
        let mut blocks = Vec::new();
        for height in 1..=(SINGLE + MERGED * MERGED_FLUSHES) as u64 {
            let transactions = workload::block(&accounts, BLOCK, &mut nonces, height, arbitrary_signature);
            let rules = Rules::Rollup(RollupRules::default());
            let mut executor = BlockExecutor::new(rules, CHAIN_ID, workload::env(height), &world)?;
            for (tx, sender) in &transactions {
                executor.execute(tx, *sender)?;
            }
            let output = executor.finish();
            let (after, updates, _) = update_state_root(&nodes, root, &output.diff.hashed())?;
            nodes.apply(&updates);
            root = after;
            let mut own = prior_rows(&world, &output.diff, height);
            own.extend(block_rows(height, &transactions, &alloy_rlp::encode(&output.receipts)));
            blocks.push(Block { state: state_rows(&output.diff), nodes: node_rows(&updates), own });
            world.apply(output.diff);
        }
        Ok(Self { genesis, blocks })
    }
}

/// 64 bytes that look like a signature: bodies get their true size, and nobody recovers senders here.
fn arbitrary_signature(_: usize, tx: TxEip1559) -> TxEnvelope {
    let hash = tx.signature_hash();
    let part = |salt: u8| U256::from_be_bytes(keccak256([hash.as_slice(), &[salt]].concat()).0);
    TxEnvelope::Eip1559(tx.into_signed(Signature::new(part(0), part(1), false)))
}

fn account_key(address: &Address) -> Vec<u8> {
    [b"a".as_slice(), address.as_slice()].concat()
}

fn slot_key(address: &Address, slot: &U256) -> Vec<u8> {
    [b"s".as_slice(), address.as_slice(), &slot.to_be_bytes::<32>()].concat()
}

fn account_value(account: &AccountState) -> Vec<u8> {
    [account.code_hash.as_slice(), &account.nonce.to_be_bytes(), &account.balance.to_be_bytes_trimmed_vec()].concat()
}

fn state_rows(diff: &StateDiff) -> Rows {
    let accounts = diff
        .accounts
        .iter()
        .map(|(address, account)| ((Table::State, account_key(address)), account.as_ref().map(account_value)));
    let slots = diff.storage.iter().flat_map(|(address, storage)| {
        storage.slots.iter().map(move |(slot, value)| {
            let value = (!value.is_zero()).then(|| value.to_be_bytes_trimmed_vec());
            ((Table::State, slot_key(address, slot)), value)
        })
    });
    accounts.chain(slots).collect()
}

fn node_rows(updates: &TrieUpdates) -> Rows {
    let key = |owner: Option<B256>, path: &Nibbles| match owner {
        None => [b"a".as_slice(), &[path.len() as u8], &path.pack()[..]].concat(),
        Some(owner) => [b"s".as_slice(), owner.as_slice(), &[path.len() as u8], &path.pack()[..]].concat(),
    };
    let row = |node: &oceanid_trie::NodeUpdate| {
        ((Table::Nodes, key(node.owner, &node.path)), node.node.as_ref().map(|node| node.rlp.to_vec()))
    };
    updates.nodes.iter().map(row).collect()
}

/// The values that `diff` replaces, and the list of them.
fn prior_rows(before: &Overlay<EmptyState>, diff: &StateDiff, height: u64) -> Rows {
    let mut rows = Rows::new();
    let mut changed = Vec::new();
    let mut put = |key: Vec<u8>, value: Vec<u8>| {
        changed.extend_from_slice(&key);
        rows.insert((Table::History, [key.as_slice(), &height.to_be_bytes()].concat()), Some(value));
    };
    for address in diff.accounts.keys() {
        let Ok(account) = before.account(*address);
        put(account_key(address), account.as_ref().map(account_value).unwrap_or_default());
    }
    for (address, storage) in &diff.storage {
        for slot in storage.slots.keys() {
            let Ok(value) = before.storage(*address, *slot);
            put(slot_key(address, slot), value.to_be_bytes_trimmed_vec());
        }
    }
    rows.insert((Table::History, [b"b".as_slice(), &height.to_be_bytes()].concat()), Some(changed));
    rows
}

fn block_rows(height: u64, transactions: &[(TxEnvelope, Address)], receipts: &[u8]) -> Rows {
    let mut body = Vec::new();
    let mut senders = Vec::new();
    let mut rows = Rows::new();
    for (index, (tx, sender)) in transactions.iter().enumerate() {
        tx.encode(&mut body);
        senders.extend_from_slice(sender.as_slice());
        let place = [height.to_be_bytes().as_slice(), &(index as u32).to_be_bytes()].concat();
        rows.insert((Table::Index, [b"t".as_slice(), tx.hash().as_slice()].concat()), Some(place));
    }
    for (tag, value) in [(b"t", body), (b"r", receipts.to_vec()), (b"s", senders)] {
        rows.insert((Table::Blocks, [tag.as_slice(), &height.to_be_bytes()].concat()), Some(value));
    }
    rows
}
