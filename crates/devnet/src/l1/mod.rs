//! The embedded L1: an Ethereum chain with one sealer, on this repository's EVM, store, pool and RPC.
//!
//! It follows Prague's rules: ETH pays for gas, the base fee is burnt, blob transactions are taken with their sidecars, the
//! BLS12-381 precompiles exist. What it leaves out is consensus: one sealer, no forks, and no reorganisation. docs/embedded-l1.md
//! says what a program can rely on.

pub mod beacon;
mod blobs;
mod genesis;
mod sealer;

pub use blobs::{BlobError, BlobStore, MAX_PENDING_SIDECARS, load_trusted_setup};
pub use genesis::L1Genesis;

use crate::config_out::L1Endpoints;
use alloy_primitives::{Address, B256, U256};
use oceanid_chain::{EthLedger, LedgerError};
use oceanid_pool::{Pool, PoolConfig, PoolRules, StoreState};
use oceanid_primitives::TxEnvelope;
use oceanid_rpc::{Backend, RpcConfig, RpcServer, StartError};
use oceanid_store::Store;
use sealer::Sealer;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::Instrument as _;

/// Blobs in one block: the maximum of the Prague fork (EIP-7691).
pub const MAX_BLOBS_PER_BLOCK: u64 = 9;
/// Shortest time between two blocks without transactions: timestamps are whole seconds and strictly increase.
pub const MIN_BLOCK_TIME: Duration = Duration::from_secs(1);
/// Seconds by which block 0 is behind the clock, so that a deployment's first blocks need not wait a second each.
const GENESIS_AGE: u64 = 32;
/// After a transaction arrives the sealer waits this long for others that belong with it.
const GATHER: Duration = Duration::from_millis(15);

/// What to start.
#[derive(Clone, Debug)]
pub struct EmbeddedL1Config {
    /// Where the chain lives. A directory that holds one is resumed; its chain id, gas limit and balances win.
    pub dir: PathBuf,
    /// EIP-155 chain id of a new chain.
    pub chain_id: u64,
    /// Gas limit of a new chain's blocks.
    pub gas_limit: u64,
    /// Balances of a new chain, wei of ETH.
    pub balances: BTreeMap<Address, U256>,
    /// A block is made at least this often, at least [`MIN_BLOCK_TIME`].
    pub block_time: Duration,
    /// A pending transaction makes a block at once, as far as timestamps allow (one a second).
    pub instant: bool,
    /// Blocks below the head that count as `safe` and `finalized`.
    pub finality_depth: u64,
    /// Blobs of sealed blocks that are kept, 128 KiB each.
    pub blob_retention: usize,
    /// JSON-RPC server.
    pub rpc: RpcConfig,
    /// Address of the beacon endpoint; port 0 takes a free one.
    pub beacon: SocketAddr,
}

impl EmbeddedL1Config {
    /// Default chain id: the one of anvil and hardhat, which wallets know as a development chain.
    pub const CHAIN_ID: u64 = 31_337;
    /// Default gas limit.
    pub const GAS_LIMIT: u64 = 60_000_000;
    /// Default depth of `safe` and `finalized`, blocks.
    pub const FINALITY_DEPTH: u64 = 2;
    /// Default number of blobs kept: 512 MiB.
    pub const BLOB_RETENTION: usize = 4_096;

    /// The development defaults in `dir`: the accounts of [`crate::accounts`] with 10,000 ETH each, a block a second.
    pub fn dev(dir: PathBuf, http: SocketAddr, beacon: SocketAddr) -> Self {
        Self {
            dir,
            chain_id: Self::CHAIN_ID,
            gas_limit: Self::GAS_LIMIT,
            balances: crate::accounts::l1_balances(),
            block_time: MIN_BLOCK_TIME,
            instant: true,
            finality_depth: Self::FINALITY_DEPTH,
            blob_retention: Self::BLOB_RETENTION,
            rpc: RpcConfig::open(http),
            beacon,
        }
    }
}

/// Why the L1 did not start.
#[derive(Debug, thiserror::Error)]
pub enum L1Error {
    /// Blocks that close together would share a timestamp.
    #[error("L1 block time of {0:?} is too short: at least {MIN_BLOCK_TIME:?}, because timestamps are whole seconds")]
    BlockTime(Duration),
    /// The directory cannot be used.
    #[error("L1 directory {dir}: {source}")]
    Io {
        /// The directory.
        dir: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The chain.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The blobs.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// The JSON-RPC server.
    #[error("L1: {0}")]
    Rpc(#[from] StartError),
    /// The beacon endpoint's port.
    #[error("L1 beacon endpoint: cannot listen on {address}: {source}")]
    Beacon {
        /// The address.
        address: SocketAddr,
        /// Cause.
        source: io::Error,
    },
}

/// A running L1. Call [`EmbeddedL1::shutdown`] to end it; dropping it ends it too, without waiting.
pub struct EmbeddedL1 {
    chain_id: u64,
    rpc: RpcServer,
    beacon: SocketAddr,
    instant: Arc<AtomicBool>,
    stop: watch::Sender<bool>,
    failure: watch::Receiver<Option<String>>,
    tasks: Vec<JoinHandle<()>>,
}

impl core::fmt::Debug for EmbeddedL1 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EmbeddedL1").field("chain_id", &self.chain_id).field("http", &self.http()).finish_non_exhaustive()
    }
}

impl EmbeddedL1 {
    /// Opens or creates the chain and starts to make blocks and to serve.
    pub async fn start(config: EmbeddedL1Config) -> Result<Self, L1Error> {
        if config.block_time < MIN_BLOCK_TIME {
            return Err(L1Error::BlockTime(config.block_time));
        }
        let (genesis, ledger, blobs) = open(&config)?;
        let state = Arc::new(StoreState::ethereum(ledger.store().clone()));
        let rules = PoolConfig::new(PoolRules::Ethereum, genesis.chain_id, genesis.gas_limit, MIN_FEE);
        let pool = Arc::new(Pool::new(rules, state).with_blobs(blobs.clone()).with_senders(ledger.senders().clone()));
        let sealer = Arc::new(Sealer::new(ledger.clone(), pool.clone(), blobs.clone(), genesis.timestamp));

        let backend = Backend::ethereum(
            genesis.chain_id,
            ledger.store().clone(),
            pool.clone(),
            ledger.events().clone(),
            config.finality_depth,
            Some(sealer.clone()),
        );
        let rpc = RpcServer::start(config.rpc, backend).await?;
        let beacon_failed = |source| L1Error::Beacon { address: config.beacon, source };
        let listener = TcpListener::bind(config.beacon).await.map_err(beacon_failed)?;
        let beacon = listener.local_addr().map_err(beacon_failed)?;

        let (stop, stopped) = watch::channel(false);
        let (failed, failure) = watch::channel(None);
        let slots =
            LedgerSlots { genesis: genesis.clone(), store: ledger.store().clone(), finality_depth: config.finality_depth };
        let router = beacon::router(slots, blobs);
        let mut until = stopped.clone();
        let serve = async move {
            let ended = async move { told_to_stop(&mut until).await };
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(ended).await {
                tracing::error!(%error, "L1 beacon endpoint");
            }
        };
        let instant = Arc::new(AtomicBool::new(config.instant));
        let run = run(sealer, pool, config.block_time, instant.clone(), stopped, failed);
        let tasks = vec![tokio::spawn(serve.in_current_span()), tokio::spawn(run.in_current_span())];
        // Loading takes a moment; the first blob transaction should not pay for it.
        tokio::task::spawn_blocking(load_trusted_setup);
        Ok(Self { chain_id: genesis.chain_id, rpc, beacon, instant, stop, failure, tasks })
    }

    /// EIP-155 chain id.
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// URL of JSON-RPC over http.
    pub fn http(&self) -> String {
        self.rpc.http_url()
    }

    /// URL of JSON-RPC over ws.
    pub fn ws(&self) -> String {
        self.rpc.ws_url()
    }

    /// URL of the beacon endpoint.
    pub fn beacon(&self) -> String {
        format!("http://{}", self.beacon)
    }

    /// All of them, as `--config-out` writes them.
    pub fn endpoints(&self) -> L1Endpoints {
        L1Endpoints { chain_id: self.chain_id, http: self.http(), ws: Some(self.ws()), beacon: Some(self.beacon()) }
    }

    /// From now on a pending transaction makes a block at once, or waits for the block time.
    pub fn set_instant(&self, instant: bool) {
        self.instant.store(instant, Ordering::Relaxed);
    }

    /// Why the sealer stopped, once it has.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.clone()
    }

    /// Stops making blocks and serving, and waits until both have ended.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        self.rpc.stop().await;
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the embedded L1 did not end well");
            }
        }
    }
}

/// Least fee cap of a transaction, wei: the base fee decides, there is no floor.
const MIN_FEE: u128 = 1;

fn open(config: &EmbeddedL1Config) -> Result<(L1Genesis, EthLedger, Arc<BlobStore>), L1Error> {
    let failed = |source| L1Error::Io { dir: config.dir.clone(), source };
    std::fs::create_dir_all(&config.dir).map_err(failed)?;
    let genesis = match L1Genesis::read(&config.dir).map_err(failed)? {
        Some(genesis) => genesis,
        None => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            let genesis = L1Genesis {
                chain_id: config.chain_id,
                timestamp: now.saturating_sub(GENESIS_AGE),
                gas_limit: config.gas_limit,
                balances: config.balances.clone(),
            };
            genesis.write(&config.dir).map_err(failed)?;
            genesis
        }
    };
    let ledger = EthLedger::open(&config.dir.join("chain"), &genesis.ethereum(), EthLedger::default_config())?;
    let locate = |transaction| -> Result<_, L1Error> {
        let location = ledger.store().tx_location(transaction).map_err(LedgerError::from)?;
        Ok(location.map(|location| (location.block, location.index)))
    };
    let blobs = Arc::new(BlobStore::open(config.dir.join("blobs"), config.blob_retention, locate)?);
    Ok((genesis, ledger, blobs))
}

async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which ends it as well.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Makes blocks until told to stop or unable to go on.
async fn run(
    sealer: Arc<Sealer>,
    pool: Arc<Pool>,
    block_time: Duration,
    instant: Arc<AtomicBool>,
    mut stopped: watch::Receiver<bool>,
    failed: watch::Sender<Option<String>>,
) {
    let mut arrivals = pool.subscribe();
    let mut interval = Instant::now() + block_time;
    loop {
        // What is pending and had to wait for the clock is looked at again soon.
        let waiting = instant.load(Ordering::Relaxed) && sealer.is_pending();
        let look = if waiting { (Instant::now() + GATHER * 4).min(interval) } else { interval };
        tokio::select! {
            () = told_to_stop(&mut stopped) => return,
            // An error is a lagging or closed channel: the pool itself is asked below.
            _ = arrivals.recv() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep_until(look) => {}
        }
        while arrivals.try_recv().is_ok() {}
        let due = Instant::now() >= interval;
        if !due && !instant.load(Ordering::Relaxed) {
            continue;
        }
        let worker = sealer.clone();
        let sealed = tokio::task::spawn_blocking(move || if due { worker.seal_interval() } else { worker.seal_pending() }).await;
        let outcome = sealed.map_err(|error| error.to_string()).and_then(|sealed| sealed.map_err(|error| error.to_string()));
        match outcome {
            Ok(true) => interval = Instant::now() + block_time,
            // The clock is not past the head's second yet.
            Ok(false) if due => interval = Instant::now() + GATHER,
            Ok(false) => {}
            Err(error) => {
                tracing::error!(error, "the embedded L1 cannot make blocks any more");
                failed.send_replace(Some(error));
                return;
            }
        }
    }
}

/// The chain as the beacon endpoint sees it.
struct LedgerSlots {
    genesis: L1Genesis,
    store: Store,
    finality_depth: u64,
}

impl beacon::Slots for LedgerSlots {
    fn genesis_time(&self) -> u64 {
        self.genesis.timestamp
    }

    fn chain_id(&self) -> u64 {
        self.genesis.chain_id
    }

    fn head(&self) -> u64 {
        self.store.head().number
    }

    fn finalized(&self) -> u64 {
        self.head().saturating_sub(self.finality_depth)
    }

    fn timestamp(&self, number: u64) -> Option<u64> {
        self.store.header(number).ok().flatten().map(|header| header.timestamp)
    }

    fn number_of(&self, hash: B256) -> Option<u64> {
        self.store.number_of(hash).ok().flatten()
    }

    fn blob_transactions(&self, number: u64) -> Vec<B256> {
        let block = self.store.block(number).ok().flatten();
        let transactions = block.iter().flat_map(|block| block.body());
        transactions.filter(|tx| matches!(tx, TxEnvelope::Eip4844(_))).map(|tx| *tx.hash()).collect()
    }
}
