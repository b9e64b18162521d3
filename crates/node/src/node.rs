//! Start and stop of a node.

use crate::batches;
use crate::config::{ConfigError, NodeConfig, SequencerSection};
use crate::duty::Duty;
use crate::economy;
use crate::keeper;
use crate::keys::{KeyFileError, SequencerKeys};
use crate::metrics::Activity;
use crate::outbound;
use crate::sample;
use crate::site::Site;
use crate::status::{Observed, Role, Status};
use crate::waiting;
use crate::watch::WatchError;
use alloy_primitives::{B256, Bytes};
use oceanid_chain::{BuildLimits, Ledger, LedgerConfig, LedgerError};
use oceanid_da::mode;
use oceanid_derive::{Follower, FollowerConfig};
use oceanid_pool::{JournalError, Origin, Pool, PoolConfig, PoolError, PoolRules, Restored, StoreState};
use oceanid_primitives::{ChainSpec, DEV_CHAIN_ID, L1View, SpecError};
use oceanid_rpc::{Backend, RpcServer};
use oceanid_sequencer::{Certificate, ConsensusConfig, LedgerExecution, NodeKeys, Reception, Sequencer, SequencerConfig};
use oceanid_settlement::{
    BatchReader, Batcher, BatcherConfig, BeaconClient, DaPolicy, Keeper, L1Account, L1Certificate, L1Client, L1Error, L1Watcher,
    PosterConfig, Pricing, Task, WatcherConfig, anchor, spawn_blocking,
};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast::error::RecvError, watch};

/// Longest wait for the first contact with L1.
const L1_PATIENCE: Duration = Duration::from_secs(20);
/// Head start of one committee member over the next in posting a batch.
const POSTER_STAGGER: Duration = Duration::from_secs(6);
/// A batch transaction that L1 has not mined after this long is replaced with a higher fee.
const REPLACE_AFTER: Duration = Duration::from_secs(36);
/// Bytes that a batch of one block may take beyond the block's transactions.
const BATCH_OVERHEAD: usize = 4 << 10;
/// Threads of the consensus runtime.
const CONSENSUS_THREADS: usize = 2;
/// L1 blocks below the settled origin that stay in memory, for a reorganisation's sake.
const L1_MARGIN: u64 = 64;

/// The pool's journal, in the data directory.
const JOURNAL: &str = "pool.journal";
/// Time between two looks at whether the journal should be synced or written anew: what a power cut may cost.
const JOURNAL_INTERVAL: Duration = Duration::from_secs(1);

/// Why a node does not start, one line each.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The specification cannot be read, or is not one; the text names the key.
    #[error("chain spec {path}: {message}")]
    SpecFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The specification breaks a limit.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Store and state.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Evidence that sequencers tell of.
    #[error("cannot watch (`keeper.watch-peers`): {0}")]
    Watch(#[from] WatchError),
    /// Pending transactions of the last run.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Keys.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// A configuration for demonstrations.
    #[error("`sequencer.byzantine` makes the node vote twice and lose its stake: it is for development chains only; remove it")]
    Byzantine,
    /// The peer-to-peer port is taken. Found at start: it is needed only when the node has a seat, which may be days later.
    #[error(
        "cannot listen on {address} for other sequencers: {source}; choose another address in `sequencer.listen` (--p2p), or stop what holds it"
    )]
    PeerPort {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// L1 is not usable.
    #[error("{0}")]
    L1(String),
    /// Consensus.
    #[error(transparent)]
    Sequencer(#[from] oceanid_sequencer::StartError),
    /// The port of the JSON-RPC server is taken, or the address is not this machine's.
    #[error("{0}; choose another address in `rpc.listen` (--http), or stop what holds it")]
    RpcPort(oceanid_rpc::StartError),
    /// RPC.
    #[error(transparent)]
    Rpc(oceanid_rpc::StartError),
}

impl From<oceanid_rpc::StartError> for NodeError {
    fn from(error: oceanid_rpc::StartError) -> Self {
        match error {
            oceanid_rpc::StartError::Listen { .. } => Self::RpcPort(error),
            other => Self::Rpc(other),
        }
    }
}

impl From<L1Error> for NodeError {
    fn from(error: L1Error) -> Self {
        Self::L1(match error {
            L1Error::Rpc { .. } => format!("{error}; check `l1.http` (--l1), and that the L1 node is running"),
            other => other.to_string(),
        })
    }
}

/// Reads and checks a chain specification.
pub fn load_spec(path: &Path) -> Result<ChainSpec, NodeError> {
    let file_error = |message: String| NodeError::SpecFile { path: path.to_path_buf(), message };
    let text = std::fs::read(path).map_err(|error| file_error(error.to_string()))?;
    let spec: ChainSpec = serde_json::from_slice(&text).map_err(|error| file_error(error.to_string()))?;
    spec.validate()?;
    Ok(spec)
}

/// Whether the peer-to-peer port is free.
fn probe_port(address: SocketAddr) -> Result<(), NodeError> {
    std::net::TcpListener::bind(address).map(drop).map_err(|source| NodeError::PeerPort { address, source })
}

/// A running node.
pub struct Node {
    ledger: Ledger,
    duty: Arc<Duty>,
    rpc: RpcServer,
    tasks: Vec<Task>,
    stopped: watch::Receiver<Option<String>>,
}

impl core::fmt::Debug for Node {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Node").field("role", &self.role()).field("rpc", &self.rpc.address()).finish_non_exhaustive()
    }
}

impl Node {
    /// Starts a node; returns once it serves RPC.
    pub async fn start(config: NodeConfig) -> Result<Self, NodeError> {
        config.check()?;
        let spec = Arc::new(load_spec(&config.spec)?);
        let development = spec.chain_id == DEV_CHAIN_ID;
        if !development && config.sequencer.as_ref().is_some_and(|section| section.byzantine.is_some()) {
            return Err(NodeError::Byzantine);
        }
        if let Some(section) = &config.sequencer {
            probe_port(section.listen)?;
        }
        let keys = config.sequencer.as_ref().map(|section| section.open_keys(development)).transpose()?;

        // L1 must be the right chain and able to verify certificates before anything is opened.
        let client = L1Client::new(&config.l1.http)?;
        client.check(&spec).await?;
        client.check_bls().await?;
        let beacon = config.l1.beacon.as_deref().map(BeaconClient::new).transpose()?;

        let ledger = Ledger::open(&config.data_dir.join("chain"), Arc::clone(&spec), ledger_config(&config))?;
        let poll = Duration::from_millis(config.l1.poll_ms);
        let anchor = anchor(&ledger).map_err(|error| NodeError::L1(error.to_string()))?;
        let (watcher, watching) = L1Watcher::start(client.clone(), Arc::clone(&spec), WatcherConfig { anchor, poll });
        watcher.ready(L1_PATIENCE).await.map_err(NodeError::L1)?;
        let reader = BatchReader::new(client.clone(), beacon, spec.l1.rollup);

        let pool = Arc::new(open_pool(&config, &spec, &ledger).await?);
        let mut tasks = vec![watching, Task::spawn(feed_pool(ledger.clone(), Arc::clone(&pool)))];
        tasks.push(Task::spawn(keep_journal(Arc::clone(&pool))));

        let (stop, stopped) = watch::channel(None);
        let rpc_config = config.rpc.server();
        let payer = match &keys {
            Some(keys) => Some(keys.poster.clone()),
            None => config.keeper.open_account()?,
        };
        let pricing = Pricing { max_tip: config.l1.max_tip(), ..Pricing::new(REPLACE_AFTER) };
        let account = payer.map(|key| L1Account::new(client.clone(), key, spec.l1_chain_id, pricing));
        let parts = Parts { config, spec, keys, account, ledger, pool, client, watcher, reader, stop };
        let (role, actors) = parts.start_role(parts.is_seated())?;
        let duty = Duty::new(role, actors);
        let (ledger, pool) = (parts.ledger.clone(), Arc::clone(&parts.pool));
        let keeper = keeper::start(&parts, duty.role(), &mut tasks)?;
        let site = parts.observe(duty.role(), keeper, &mut tasks);
        if parts.keys.is_some() {
            tasks.push(Task::spawn(Arc::clone(&duty).follow_seat(Arc::new(parts))));
        }
        let backend = Backend::rollup(ledger.clone(), pool, site.status()).with_pages(Arc::new(site));
        let rpc = RpcServer::start(rpc_config, backend).await?;
        Ok(Self { ledger, duty, rpc, tasks, stopped })
    }

    /// Address of the RPC server.
    pub const fn rpc_address(&self) -> SocketAddr {
        self.rpc.address()
    }

    /// The chain.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// `sequencer` or `follower`, as it stands now.
    pub fn role(&self) -> &'static str {
        self.duty.role().borrow().name()
    }

    /// Resolves when the node has stopped by itself, and says why. The future does not borrow the node.
    pub fn stopped(&self) -> impl Future<Output = String> + Send + use<> {
        let mut stopped = self.stopped.clone();
        async move {
            match stopped.wait_for(Option::is_some).await {
                Ok(reason) => reason.clone().unwrap_or_default(),
                Err(_) => "the node's tasks have ended".to_owned(),
            }
        }
    }

    /// Stops serving, then voting, then everything else. What was acknowledged is durable with or without this.
    pub async fn shutdown(self) {
        self.rpc.stop().await;
        drop(self.tasks);
        self.duty.stop().await;
    }
}

/// Limits of the ledger: whole batches are held before any of their blocks is committed, and every node may come to follow L1.
fn ledger_config(config: &NodeConfig) -> LedgerConfig {
    let mut ledger = oceanid_derive::ledger_config();
    ledger.store.history = config.history;
    ledger.store.cache_bytes = config.cache_mib << 20;
    ledger.store.memtable_bytes = config.write_buffer_mib << 20;
    ledger
}

/// What both roles of a node are built from.
pub(crate) struct Parts {
    pub(crate) config: NodeConfig,
    pub(crate) spec: Arc<ChainSpec>,
    /// Absent: the node only ever follows.
    pub(crate) keys: Option<SequencerKeys>,
    /// Pays for what the node does on L1.
    pub(crate) account: Option<L1Account>,
    pub(crate) ledger: Ledger,
    pub(crate) pool: Arc<Pool>,
    pub(crate) client: L1Client,
    pub(crate) watcher: L1Watcher,
    pub(crate) reader: BatchReader,
    stop: watch::Sender<Option<String>>,
}

impl Parts {
    /// Says that the node cannot go on.
    pub(crate) fn fail(&self, reason: String) {
        self.stop.send_replace(Some(reason));
    }

    pub(crate) fn poll(&self) -> Duration {
        Duration::from_millis(self.config.l1.poll_ms)
    }

    /// Starts everything that watches and does nothing: status, pages, metrics.
    fn observe(&self, role: watch::Receiver<Role>, keeper: Option<Keeper>, tasks: &mut Vec<Task>) -> Site {
        let observed = Observed::default();
        let (ledger, client, watcher) = (&self.ledger, &self.client, &self.watcher);
        let identity = self.keys.as_ref().map(|keys| keys.node.identity());
        let payer = self.keys.as_ref().map(|keys| keys.poster.address());
        tasks.extend([
            Task::spawn(count_blocks(ledger.clone(), identity, Arc::clone(&observed.activity))),
            Task::spawn(sample::run(observed.samples.clone(), role.clone(), watcher.clone(), self.config.data_dir.clone())),
            Task::spawn(economy::run(ledger.clone(), client.clone(), watcher.clone(), payer, Arc::clone(&observed.figures))),
            Task::spawn(batches::run(Arc::clone(&self.spec), client.clone(), watcher.clone(), Arc::clone(&observed.batches))),
        ]);
        let forwards = self.config.rpc.forward.is_some();
        let status = Status::new(ledger.clone(), Arc::clone(&self.pool), watcher.clone(), role, forwards, keeper, observed);
        let status = Arc::new(status);
        tasks.push(Task::spawn(waiting::narrate(Arc::clone(&status))));
        Site::new(ledger.clone(), Arc::clone(&self.pool), status)
    }

    /// Starts a role: consensus and batches (`votes`, for a node with keys), or derivation from L1.
    pub(crate) fn start_role(&self, votes: bool) -> Result<(Role, Vec<Task>), NodeError> {
        match (&self.config.sequencer, &self.keys, &self.account) {
            (Some(section), Some(keys), Some(account)) if votes => {
                self.start_sequencer(section, keys.node.clone(), account.clone())
            }
            _ => {
                let config = FollowerConfig { poll: self.poll() };
                let (follower, following) =
                    Follower::start(self.ledger.clone(), self.client.clone(), self.watcher.clone(), self.reader.clone(), config);
                let watched = Task::spawn(watch_task(following, "the follower", self.stop.clone()));
                let forwarding = Task::spawn(outbound::forward(Arc::clone(&self.pool), self.config.rpc.forward.clone()));
                Ok((Role::Follower { follower }, vec![watched, forwarding]))
            }
        }
    }

    fn start_sequencer(
        &self,
        section: &SequencerSection,
        keys: NodeKeys,
        account: L1Account,
    ) -> Result<(Role, Vec<Task>), NodeError> {
        let Self { spec, ledger, pool, watcher, .. } = self;
        let identity = keys.identity();
        let poster = PosterConfig {
            account,
            identity,
            da: DaPolicy::Fixed(section.da),
            max_age: Duration::from_secs(section.batch_age_seconds),
            stagger: POSTER_STAGGER,
        };
        let (batcher, batching) = Batcher::start(
            self.client.clone(),
            Arc::clone(spec),
            Arc::new(ledger.clone()),
            watcher.clone(),
            self.reader.clone(),
            BatcherConfig::new(Some(poster), l1_certificate, self.poll()),
        );

        let consensus = ConsensusConfig::from_spec(spec, ledger.genesis_hash());
        let limits = BuildLimits { max_bytes: consensus.max_block_bytes };
        // The transactions of one block of this node must fit into a batch of the mode it posts in.
        let capacity = mode(section.da).capacity().saturating_sub(BATCH_OVERHEAD);
        let full = batcher.clone();
        let l1: Arc<dyn L1View> = Arc::new(watcher.clone());
        let execution = LedgerExecution::new(ledger.clone(), Arc::clone(pool), l1, limits)
            .with_data_limit(capacity)
            .with_gate(Arc::new(move || !full.backlog_full()));
        let gossiped = Arc::clone(pool);
        let sequencer = Arc::new(Sequencer::start(
            SequencerConfig {
                keys,
                listen: section.listen,
                peers: section.peers.clone(),
                directory: self.config.data_dir.join("sequencer"),
                consensus,
                byzantine: section.byzantine,
                threads: CONSENSUS_THREADS,
            },
            execution,
            Arc::new(move |transactions| receive(&gossiped, &transactions)),
        )?);
        let (watched, stop) = (Arc::clone(&sequencer), self.stop.clone());
        let tasks = vec![
            Task::spawn(outbound::gossip(Arc::clone(pool), Arc::clone(&sequencer))),
            Task::spawn(wake_on_l1(watcher.clone(), ledger.clone(), Arc::clone(&sequencer))),
            Task::spawn(async move {
                watched.stopped().await;
                let reason =
                    watched.status().failure.unwrap_or_else(|| "consensus has stopped; its last log lines say why".to_owned());
                stop.send_replace(Some(reason));
            }),
            batching,
        ];
        Ok((Role::Sequencer { sequencer, batcher, identity }, tasks))
    }
}

/// Counts the work in every committed block.
async fn count_blocks(ledger: Ledger, identity: Option<B256>, activity: Arc<Activity>) {
    let mut commits = ledger.subscribe();
    loop {
        match commits.recv().await {
            Ok(committed) => activity.count(&ledger, &committed, identity),
            // Catching up: those blocks' work is not this node's news.
            Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "blocks were not counted"),
            Err(RecvError::Closed) => return,
        }
    }
}

/// The stored form of a certificate, in the form L1 takes.
fn l1_certificate(stored: &[u8]) -> Result<L1Certificate, String> {
    let certificate = Certificate::decode(stored).map_err(|error| error.to_string())?;
    let l1 = certificate.to_l1().map_err(|error| error.to_string())?;
    Ok(L1Certificate {
        view: l1.view,
        parent_view: l1.parent_view,
        signers: l1.signers,
        signature: Bytes::copy_from_slice(l1.signature.as_slice()),
    })
}

/// Keeps the pool at the committed head.
async fn feed_pool(ledger: Ledger, pool: Arc<Pool>) {
    let mut commits = ledger.subscribe();
    loop {
        match commits.recv().await {
            Ok(committed) => pool.on_committed(&committed),
            // The pool reads the newest state at the next commit; what it missed only stays in it a little longer.
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "the pool missed commits"),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Puts transactions of another sequencer into the pool.
fn receive(pool: &Pool, transactions: &[Bytes]) -> Reception {
    let mut reception = Reception::default();
    for verdict in pool.add_raw_all(transactions, Origin::Remote) {
        match verdict {
            Ok(_) => reception.taken += 1,
            // What an honest sequencer may well hand on.
            Err(
                PoolError::AlreadyKnown(_)
                | PoolError::Full { .. }
                | PoolError::SenderLimit { .. }
                | PoolError::ReplacementUnderpriced { .. }
                | PoolError::State(_),
            ) => {}
            Err(error) => {
                tracing::debug!(%error, "gossiped transaction refused");
                reception.refused += 1;
            }
        }
    }
    reception
}

/// Keeps the pool's journal on the disk and short.
async fn keep_journal(pool: Arc<Pool>) {
    loop {
        tokio::time::sleep(JOURNAL_INTERVAL).await;
        let pool = Arc::clone(&pool);
        match spawn_blocking(move || pool.maintain_journal()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "pending transactions may not survive a restart"),
            Err(_) => return,
        }
    }
}

/// The pool with what its journal holds.
async fn open_pool(config: &NodeConfig, spec: &Arc<ChainSpec>, ledger: &Ledger) -> Result<Pool, NodeError> {
    let mut rules = PoolConfig::new(PoolRules::Rollup, spec.chain_id, spec.fees.gas_limit, u128::from(spec.fees.min_base_fee));
    rules.max_transactions = config.pool.max_transactions as usize;
    rules.max_per_sender = config.pool.max_per_sender as usize;
    rules.max_bytes = (config.pool.max_mib as usize) << 20;
    let state = Arc::new(StoreState::rollup(ledger.store().clone(), Arc::clone(spec)));
    let pool = Pool::new(rules, state).with_senders(Arc::clone(ledger.senders()));
    if !config.pool.journal {
        return Ok(pool);
    }
    let path = config.data_dir.join(JOURNAL);
    let opened = spawn_blocking(move || pool.with_journal(&path)).await;
    let (pool, Restored { restored, dropped, damaged, kept_at }) = opened.expect("reading the journal does not panic")?;
    if restored + dropped > 0 {
        tracing::info!(restored, dropped, "pending transactions of the last run are back");
    }
    if let Some(kept) = kept_at {
        tracing::warn!(lines = damaged, kept = %kept.display(), "the pool's journal was damaged; these lines are lost");
    }
    Ok(pool)
}

/// Wakes the leader, and blocks that wait for L1, at every new L1 block; forgets L1 blocks that are settled.
async fn wake_on_l1(watcher: L1Watcher, ledger: Ledger, sequencer: Arc<Sequencer>) {
    let mut changes = watcher.subscribe();
    let node = sequencer.node();
    drop(sequencer);
    while changes.changed().await.is_ok() {
        node.wake();
        if let Ok(needed) = anchor(&ledger) {
            watcher.prune_below(needed.number.saturating_sub(L1_MARGIN));
        }
    }
}

/// Says that an actor ended, which none does but on a fatal error.
async fn watch_task(task: Task, name: &'static str, stop: watch::Sender<Option<String>>) {
    while !task.is_finished() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    stop.send_replace(Some(format!("{name} has stopped; its last log lines say why")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_peer_port_is_found_at_start_and_named() {
        let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = holder.local_addr().expect("an address");
        let error = probe_port(address).expect_err("taken").to_string();
        assert!(error.starts_with(&format!("cannot listen on {address} for other sequencers: ")), "{error}");
        assert!(error.contains("choose another address in `sequencer.listen` (--p2p)"), "{error}");
        drop(holder);
        probe_port(address).expect("free again");
    }

    #[test]
    fn a_taken_rpc_port_names_what_to_change() {
        let (address, source) = (SocketAddr::from(([127, 0, 0, 1], 9_545)), std::io::ErrorKind::AddrInUse.into());
        let error = NodeError::from(oceanid_rpc::StartError::Listen { address, source }).to_string();
        assert!(error.contains("`rpc.listen` (--http)") && error.contains(&address.to_string()), "{error}");
    }

    #[tokio::test]
    async fn an_l1_that_does_not_answer_at_start_names_what_to_check() {
        let client = L1Client::new("http://127.0.0.1:9").expect("a URL");
        let error = NodeError::from(client.check_bls().await.expect_err("nobody listens")).to_string();
        assert!(
            error.contains("does not answer") && error.ends_with("check `l1.http` (--l1), and that the L1 node is running"),
            "{error}"
        );
    }
}
