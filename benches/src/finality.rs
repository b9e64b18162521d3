//! `finality`: from the moment a leader begins a proposal to the moment the block is final and durable, on four sequencers in this
//! process that talk over loopback TCP; with and without execution, with empty and with large blocks.

use crate::report::{count, ms, quantile, row, table};
use crate::world::{Accounts, BLOCK, MEMBERS, StillL1, member_keys, spec};
use alloy_consensus::proofs::calculate_transaction_root;
use alloy_primitives::{Address, B256, Bytes};
use eyre::ensure;
use oceanid_chain::{BuildError, BuildLimits, ConsensusContext, Ledger, LedgerConfig};
use oceanid_pool::{Pool, PoolConfig, PoolRules, StoreState};
use oceanid_primitives::{Block, ChainSpec, Committee, Epochs, Header, HeaderExtension, SealedBlock, TxDeposit, TxEnvelope};
use oceanid_sequencer::{
    ConsensusConfig, Execution, FinalizeError, LedgerExecution, ProposalContext, ProposeError, RecoveryRefused, Sequencer,
    SequencerConfig, Verdict,
};
use parking_lot::Mutex;
use rand::{RngCore as _, SeedableRng as _, rngs::StdRng};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Blocks before the figures begin: connections settle.
const WARM_UP: u64 = 5;
/// Blocks measured.
const MEASURED: u64 = 50;
/// Time between blocks: long enough that nothing queues on two cores.
const PACE_MS: u64 = 250;
/// Pace of large blocks that are executed: four nodes share the machine.
const LARGE_PACE_MS: u64 = 1_000;
/// Bytes of a large block without execution.
const LARGE: usize = 1 << 20;
/// Funded accounts where blocks are executed.
const ACCOUNTS: usize = 10_000;
/// Longest wait for one scenario.
const PATIENCE: Duration = Duration::from_secs(300);
/// The prototype without execution: empty blocks, ms.
const PROTOTYPE_EMPTY: f64 = 29.0;
/// The prototype without execution: blocks of 1 MiB, ms.
const PROTOTYPE_LARGE: f64 = 64.0;

pub(crate) fn run() -> eyre::Result<()> {
    table(
        &format!("Proposal to final and durable, {MEMBERS} sequencers on loopback TCP, {MEASURED} paced blocks, ms."),
        &["block", "bytes", "execution", "first node, median", "all nodes, median", "all nodes, 95 %", "prototype / first node"],
    );
    let idle = spec(&[], PACE_MS)?;
    let plain = |bytes: usize| move |_: &Path, spec: &Arc<ChainSpec>| Ok(Plain::new(spec, bytes));
    let [empty, large] = [0, LARGE].map(|bytes| scenario(&idle, plain(bytes)));
    show("empty", "none", empty?, Some(PROTOTYPE_EMPTY));
    show("1 MiB of data", "none", large?, Some(PROTOTYPE_LARGE));

    let nothing = Arc::new(Vec::new());
    show(
        "empty",
        "ledger",
        scenario(&idle, |dir: &Path, spec: &Arc<ChainSpec>| Executed::open(dir, spec, nothing.clone()))?,
        None,
    );
    let accounts = Accounts::new(ACCOUNTS);
    let busy = spec(&accounts.addresses, LARGE_PACE_MS)?;
    let blocks: Vec<Batch> = accounts
        .blocks((WARM_UP + MEASURED) as usize)
        .into_iter()
        .map(|block| block.into_iter().map(|(tx, sender)| (Arc::new(tx), sender)).collect())
        .collect();
    let blocks = Arc::new(blocks);
    let name = format!("{} transactions", count(BLOCK.transfers + BLOCK.token_transfers));
    show(&name, "ledger", scenario(&busy, |dir: &Path, spec: &Arc<ChainSpec>| Executed::open(dir, spec, blocks.clone()))?, None);
    Ok(())
}

/// Transactions of a block with their senders.
type Batch = Vec<(Arc<TxEnvelope>, Address)>;

/// What a scenario showed.
struct Figures {
    bytes: usize,
    /// From the beginning of a proposal to the first node that holds the block as final.
    first: Vec<Duration>,
    /// To the last one.
    all: Vec<Duration>,
}

fn show(block: &str, execution: &str, mut figures: Figures, prototype: Option<f64>) {
    let first = quantile(&mut figures.first, 0.5);
    row(&[
        block.into(),
        count(figures.bytes),
        execution.into(),
        ms(first),
        ms(quantile(&mut figures.all, 0.5)),
        ms(quantile(&mut figures.all, 0.95)),
        prototype.map_or_else(String::new, |prototype| format!("{:.2}", prototype / (first.as_secs_f64() * 1e3))),
    ]);
}

/// When things happened, on all nodes together.
#[derive(Default)]
struct Times {
    /// A leader began to make the block.
    proposed: HashMap<B256, Instant>,
    /// A node had the block durable: block number, hash, encoded bytes.
    durable: Vec<(u64, B256, usize, Instant)>,
}

/// Runs four nodes until enough blocks are final everywhere.
fn scenario<X: Execution + Clone>(
    spec: &Arc<ChainSpec>,
    open: impl Fn(&Path, &Arc<ChainSpec>) -> eyre::Result<X>,
) -> eyre::Result<Figures> {
    let directory = tempfile::tempdir()?;
    let mut peers: BTreeMap<B256, SocketAddr> = BTreeMap::new();
    for index in 0..MEMBERS {
        peers.insert(member_keys(index).identity(), TcpListener::bind("127.0.0.1:0")?.local_addr()?);
    }
    let times = Arc::new(Mutex::new(Times::default()));
    let mut nodes = Vec::new();
    for index in 0..MEMBERS {
        let folder = directory.path().join(index.to_string());
        let execution = Timed { inner: open(&folder.join("chain"), spec)?, times: times.clone() };
        let keys = member_keys(index);
        let config = SequencerConfig {
            byzantine: None,
            listen: peers[&keys.identity()],
            keys,
            peers: peers.clone(),
            directory: folder.join("consensus"),
            consensus: ConsensusConfig::from_spec(spec, execution.genesis().hash()),
            threads: 2,
        };
        nodes.push((execution.clone(), Sequencer::start(config, execution, Arc::new(|_| ()))?));
    }
    let started = Instant::now();
    while nodes.iter().any(|(chain, _)| chain.head().number() < WARM_UP + MEASURED) {
        ensure!(started.elapsed() < PATIENCE, "{} blocks took more than {PATIENCE:?}", WARM_UP + MEASURED);
        std::thread::sleep(Duration::from_millis(20));
    }
    for (_, sequencer) in nodes {
        sequencer.shutdown();
    }
    let times = times.lock();
    let mut figures = Figures { bytes: 0, first: Vec::new(), all: Vec::new() };
    for number in WARM_UP + 1..=WARM_UP + MEASURED {
        let durable: Vec<_> = times.durable.iter().filter(|(at, ..)| *at == number).collect();
        ensure!(durable.len() == usize::from(MEMBERS), "block {number} is durable on {} nodes", durable.len());
        let (_, hash, bytes, _) = durable[0];
        let proposed = times.proposed.get(hash).ok_or_else(|| eyre::eyre!("nobody proposed block {number}"))?;
        let after = durable.iter().map(|(.., at)| *at - *proposed);
        figures.first.extend(after.clone().min());
        figures.all.extend(after.max());
        figures.bytes = figures.bytes.max(*bytes);
    }
    Ok(figures)
}

/// A chain that notes when blocks are proposed and durable.
#[derive(Clone)]
struct Timed<X> {
    inner: X,
    times: Arc<Mutex<Times>>,
}

impl<X: Execution> Execution for Timed<X> {
    fn genesis(&self) -> Arc<SealedBlock> {
        self.inner.genesis()
    }

    fn head(&self) -> Arc<SealedBlock> {
        self.inner.head()
    }

    fn final_block(&self, number: u64) -> Option<(B256, u64)> {
        self.inner.final_block(number)
    }

    fn epochs(&self) -> Result<Arc<Epochs>, RecoveryRefused> {
        self.inner.epochs()
    }

    fn certificate(&self, number: u64) -> Option<Bytes> {
        self.inner.certificate(number)
    }

    fn committee_of_epoch(&self, epoch: u64) -> Option<Committee> {
        self.inner.committee_of_epoch(epoch)
    }

    fn is_executed(&self, hash: B256) -> bool {
        self.inner.is_executed(hash)
    }

    fn has_work(&self, _: B256) -> bool {
        true // also for an empty block: its pace is what is measured, not the wait for work
    }

    fn propose(&self, parent: B256, context: ProposalContext, timestamp: u64) -> Result<Arc<SealedBlock>, ProposeError> {
        let begun = Instant::now();
        let block = self.inner.propose(parent, context, timestamp)?;
        self.times.lock().proposed.insert(block.hash(), begun);
        Ok(block)
    }

    fn verify(&self, block: &Arc<SealedBlock>, now: u64) -> Verdict {
        self.inner.verify(block, now)
    }

    fn finalize(&self, block: &Arc<SealedBlock>, certificate: Option<Bytes>) -> Result<(), FinalizeError> {
        self.inner.finalize(block, certificate)?;
        let at = Instant::now();
        let bytes = alloy_rlp::Encodable::length(block.as_ref());
        self.times.lock().durable.push((block.number(), block.hash(), bytes, at));
        Ok(())
    }
}

/// A chain in memory that executes nothing: blocks carry one deposit of random bytes, or nothing.
#[derive(Clone)]
struct Plain {
    committee: Committee,
    epochs: Arc<Epochs>,
    payload: Bytes,
    blocks: Arc<Mutex<PlainBlocks>>,
}

#[derive(Default)]
struct PlainBlocks {
    known: HashMap<B256, Arc<SealedBlock>>,
    finalized: Vec<(Arc<SealedBlock>, Option<Bytes>)>,
}

impl Plain {
    fn new(spec: &ChainSpec, bytes: usize) -> Self {
        let mut payload = vec![0; bytes];
        StdRng::seed_from_u64(1).fill_bytes(&mut payload);
        let header = spec.genesis_header(B256::ZERO, B256::ZERO);
        let genesis = Arc::new(SealedBlock::new(Block { header, body: Vec::new() }));
        let known = HashMap::from([(genesis.hash(), genesis.clone())]);
        let blocks = Arc::new(Mutex::new(PlainBlocks { known, finalized: vec![(genesis, None)] }));
        let epochs = Arc::new(Epochs::new(spec.timing.epoch_length));
        Self { committee: spec.committee.clone(), epochs, payload: payload.into(), blocks }
    }
}

impl Execution for Plain {
    fn genesis(&self) -> Arc<SealedBlock> {
        self.blocks.lock().finalized[0].0.clone()
    }

    fn head(&self) -> Arc<SealedBlock> {
        self.blocks.lock().finalized.last().expect("genesis is there").0.clone()
    }

    fn final_block(&self, number: u64) -> Option<(B256, u64)> {
        self.blocks.lock().finalized.get(number as usize).map(|(block, _)| (block.hash(), block.header().timestamp))
    }

    fn epochs(&self) -> Result<Arc<Epochs>, RecoveryRefused> {
        Ok(Arc::clone(&self.epochs))
    }

    fn certificate(&self, number: u64) -> Option<Bytes> {
        self.blocks.lock().finalized.get(number as usize)?.1.clone()
    }

    fn committee_of_epoch(&self, _: u64) -> Option<Committee> {
        Some(self.committee.clone())
    }

    fn is_executed(&self, hash: B256) -> bool {
        self.blocks.lock().known.contains_key(&hash)
    }

    fn has_work(&self, _: B256) -> bool {
        true
    }

    fn propose(&self, parent: B256, context: ProposalContext, timestamp: u64) -> Result<Arc<SealedBlock>, ProposeError> {
        let mut blocks = self.blocks.lock();
        let parent = blocks.known.get(&parent).ok_or_else(|| ProposeError::NotYet(format!("block {parent}")))?;
        let number = parent.number() + 1;
        let mut body: Vec<TxEnvelope> = Vec::new();
        if !self.payload.is_empty() {
            let source_hash = B256::left_padding_from(&number.to_be_bytes());
            body.push(TxDeposit { source_hash, input: self.payload.clone(), ..TxDeposit::default() }.into());
        }
        let extension = HeaderExtension {
            epoch: context.epoch,
            view: context.view,
            parent_view: context.parent_view,
            leader: context.leader,
            committee_id: self.committee.id,
            next_committee_id: self.committee.id,
            ..HeaderExtension::default()
        };
        let header = Header {
            parent_hash: parent.hash(),
            number,
            timestamp,
            extra_data: extension.encode().into(),
            transactions_root: calculate_transaction_root(&body),
            ..Header::default()
        };
        let block = Arc::new(SealedBlock::new(Block { header, body }));
        blocks.known.insert(block.hash(), block.clone());
        Ok(block)
    }

    fn verify(&self, block: &Arc<SealedBlock>, _: u64) -> Verdict {
        let mut blocks = self.blocks.lock();
        if !blocks.known.contains_key(&block.header().parent_hash) {
            return Verdict::NotYet(format!("block {}", block.header().parent_hash));
        }
        blocks.known.insert(block.hash(), block.clone());
        Verdict::Valid
    }

    fn finalize(&self, block: &Arc<SealedBlock>, certificate: Option<Bytes>) -> Result<(), FinalizeError> {
        let mut blocks = self.blocks.lock();
        let (number, next) = (block.number(), blocks.finalized.len() as u64);
        if number > next {
            return Err(FinalizeError { number, reason: format!("block {next} is missing") });
        }
        if number == next {
            blocks.finalized.push((block.clone(), certificate));
        }
        Ok(())
    }
}

/// A ledger of its own for each node. The transactions of block `n` are known to everyone, as if the pools had gossiped them.
#[derive(Clone)]
struct Executed {
    inner: LedgerExecution,
    ledger: Ledger,
    blocks: Arc<Vec<Batch>>,
}

impl Executed {
    fn open(dir: &Path, spec: &Arc<ChainSpec>, blocks: Arc<Vec<Batch>>) -> eyre::Result<Self> {
        let ledger = Ledger::open(dir, spec.clone(), LedgerConfig::default())?;
        for (tx, sender) in blocks.iter().flatten() {
            ledger.senders().remember(*tx.hash(), *sender);
        }
        let fees = &spec.fees;
        let config = PoolConfig::new(PoolRules::Rollup, spec.chain_id, fees.gas_limit, u128::from(fees.min_base_fee));
        let pool = Arc::new(Pool::new(config, Arc::new(StoreState::rollup(ledger.store().clone(), spec.clone()))));
        let inner = LedgerExecution::new(ledger.clone(), pool, Arc::new(StillL1), BuildLimits::default());
        Ok(Self { inner, ledger, blocks })
    }
}

impl Execution for Executed {
    fn genesis(&self) -> Arc<SealedBlock> {
        self.inner.genesis()
    }

    fn head(&self) -> Arc<SealedBlock> {
        self.inner.head()
    }

    fn final_block(&self, number: u64) -> Option<(B256, u64)> {
        self.inner.final_block(number)
    }

    fn epochs(&self) -> Result<Arc<Epochs>, RecoveryRefused> {
        self.inner.epochs()
    }

    fn certificate(&self, number: u64) -> Option<Bytes> {
        self.inner.certificate(number)
    }

    fn committee_of_epoch(&self, epoch: u64) -> Option<Committee> {
        self.inner.committee_of_epoch(epoch)
    }

    fn is_executed(&self, hash: B256) -> bool {
        self.inner.is_executed(hash)
    }

    fn has_work(&self, _: B256) -> bool {
        true
    }

    fn propose(&self, parent: B256, context: ProposalContext, timestamp: u64) -> Result<Arc<SealedBlock>, ProposeError> {
        let Ok(Some(above)) = self.ledger.block(parent) else { return Err(ProposeError::NotYet(format!("block {parent}"))) };
        let mut source: VecDeque<_> = self.blocks.get(above.number() as usize).cloned().unwrap_or_default().into();
        let ProposalContext { epoch, view, parent_view, leader } = context;
        let context = ConsensusContext { epoch, view, parent_view, leader };
        let built = self.ledger.build(parent, context, timestamp, &StillL1, &mut source, BuildLimits::default());
        built.map_err(|error| match error {
            BuildError::UnknownParent(hash) => ProposeError::NotYet(format!("block {hash}")),
            other => ProposeError::Failed(other.to_string()),
        })
    }

    fn verify(&self, block: &Arc<SealedBlock>, now: u64) -> Verdict {
        self.inner.verify(block, now)
    }

    fn finalize(&self, block: &Arc<SealedBlock>, certificate: Option<Bytes>) -> Result<(), FinalizeError> {
        self.inner.finalize(block, certificate)
    }
}
