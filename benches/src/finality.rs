//! `finality`: from the moment a leader begins a proposal to the moment the block is final and durable, on sequencers in this process that
//! talk over loopback TCP; with and without execution, with empty and with large blocks, in small and larger committees.

use crate::report::{count, ms, quantile, row, table};
use crate::world::{Accounts, BLOCK, StillL1, member_keys, spec};
use alloy_consensus::proofs::calculate_transaction_root;
use alloy_primitives::{Address, B256, Bytes};
use eyre::ensure;
use oceanid_chain::{BuildError, BuildLimits, ConsensusContext, Ledger, LedgerConfig};
use oceanid_pool::{Pool, PoolConfig, PoolRules, StoreState};
use oceanid_primitives::{Block, ChainSpec, Committee, Epochs, Header, HeaderExtension, SealedBlock, TxDeposit, TxEnvelope};
use oceanid_sequencer::{
    ConsensusConfig, Execution, FinalizeError, LedgerExecution, MAX_BLOCK_BYTES, ProposalContext, ProposeError, Reception, RecoveryRefused,
    Sequencer, SequencerConfig, Verdict,
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
/// Empty blocks measured: they come as heartbeats only, a second or two apart.
const MEASURED_EMPTY: u64 = 20;
/// Blocks measured where they follow each other without a pause.
const MEASURED_FAST: u64 = 200;
/// Members of the committee but in the figures by committee.
const MEMBERS: u8 = 4;
/// Sizes of committees that are compared.
const COMMITTEES: [u8; 3] = [4, 10, 20];
/// Time between blocks, ms: long enough that nothing queues on two cores.
const PACE_MS: u64 = 250;
/// The same for the largest committees, whose nodes share those cores.
const COMMITTEE_PACE_MS: u64 = 1_000;
/// No pause between blocks, ms.
const NO_PACE_MS: u64 = 1;
/// Pace of large blocks that are executed, ms: four nodes share the machine.
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
    let accounts = Accounts::new(ACCOUNTS);
    table(
        &format!("Proposal to final and durable, {MEMBERS} sequencers on loopback TCP, paced blocks, ms."),
        &["block", "bytes", "execution", "first node, median", "all nodes, median", "all nodes, 95 %", "prototype / first node"],
    );
    let plain = |bytes: usize| move |_: &Path, spec: &Arc<ChainSpec>| Ok((Plain::new(spec, bytes), None));
    let idle = spec(&[], MEMBERS, PACE_MS)?;
    show("empty", "none", scenario(&idle, MEMBERS, MEASURED_EMPTY, plain(0))?, Some(PROTOTYPE_EMPTY));
    show("1 MiB of data", "none", scenario(&idle, MEMBERS, MEASURED, plain(LARGE))?, Some(PROTOTYPE_LARGE));
    show("empty", "ledger", scenario(&idle, MEMBERS, MEASURED_EMPTY, ledger(Arc::default()))?, None);
    let large: Vec<Batch> = accounts.blocks((WARM_UP + MEASURED) as usize).into_iter().map(batch).collect();
    let busy = spec(&accounts.addresses, MEMBERS, LARGE_PACE_MS)?;
    let name = format!("{} transactions", count(BLOCK.transfers + BLOCK.token_transfers));
    show(&name, "ledger", scenario(&busy, MEMBERS, MEASURED, ledger(Arc::new(large)))?, None);

    table(
        "The same by committee: blocks of one transfer, executed. Figures of finality at a pace of 1 s; blocks a second without a pause.",
        &["sequencers", "first node, median, ms", "all nodes, median, ms", "all nodes, 95 %, ms", "blocks/s, no pause"],
    );
    let single: Vec<Batch> = batch(accounts.blocks(1).remove(0)).into_iter().map(|transaction| vec![transaction]).collect();
    let single = Arc::new(single);
    for members in COMMITTEES {
        let at = |pace| spec(&accounts.addresses, members, pace);
        let mut paced = scenario(&at(COMMITTEE_PACE_MS)?, members, MEASURED, ledger(single.clone()))?;
        let fast = scenario(&at(NO_PACE_MS)?, members, MEASURED_FAST, ledger(single.clone()))?;
        row(&[
            members.to_string(),
            ms(quantile(&mut paced.first, 0.5)),
            ms(quantile(&mut paced.all, 0.5)),
            ms(quantile(&mut paced.all, 0.95)),
            format!("{:.1}", MEASURED_FAST as f64 / fast.took.as_secs_f64()),
        ]);
    }
    Ok(())
}

/// Transactions of a block with their senders.
type Batch = Vec<(Arc<TxEnvelope>, Address)>;

fn batch(transactions: Vec<(TxEnvelope, Address)>) -> Batch {
    transactions.into_iter().map(|(tx, sender)| (Arc::new(tx), sender)).collect()
}

/// What a scenario showed.
struct Figures {
    bytes: usize,
    /// From the beginning of a proposal to the first node that holds the block as final.
    first: Vec<Duration>,
    /// To the last one.
    all: Vec<Duration>,
    /// From the last block of the warm-up to the last one measured, each durable everywhere.
    took: Duration,
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

/// Makes a leader's block on a parent, in a context, with a time; without one, the chain itself does.
type Maker = Arc<dyn Fn(B256, ProposalContext, u64) -> Result<Arc<SealedBlock>, ProposeError> + Send + Sync>;

/// Runs all members' nodes until so many blocks are final everywhere.
fn scenario<X: Execution + Clone>(
    spec: &Arc<ChainSpec>,
    members: u8,
    measured: u64,
    open: impl Fn(&Path, &Arc<ChainSpec>) -> eyre::Result<(X, Option<Maker>)>,
) -> eyre::Result<Figures> {
    let directory = tempfile::tempdir()?;
    let mut peers: BTreeMap<B256, SocketAddr> = BTreeMap::new();
    for index in 0..members {
        peers.insert(member_keys(index).identity(), TcpListener::bind("127.0.0.1:0")?.local_addr()?);
    }
    let times = Arc::new(Mutex::new(Times::default()));
    let mut nodes = Vec::new();
    for index in 0..members {
        let folder = directory.path().join(index.to_string());
        let (inner, maker) = open(&folder.join("chain"), spec)?;
        let execution = Timed { inner, maker, times: times.clone() };
        let keys = member_keys(index);
        let config = SequencerConfig {
            byzantine: None,
            listen: peers[&keys.identity()],
            keys,
            peers: peers.clone(),
            directory: folder.join("consensus"),
            // Beyond the default, which keeps a block's data within the blobs of one L1 transaction.
            consensus: ConsensusConfig {
                max_block_bytes: MAX_BLOCK_BYTES,
                ..ConsensusConfig::from_spec(spec, execution.genesis().hash())
            },
            threads: 2,
        };
        nodes.push((execution.clone(), Sequencer::start(config, execution, Arc::new(|_| Reception::default()))?));
    }
    let started = Instant::now();
    let last = WARM_UP + measured;
    while nodes.iter().any(|(chain, _)| chain.head().number() < last) {
        ensure!(started.elapsed() < PATIENCE, "{last} blocks of {members} sequencers took more than {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    for (_, sequencer) in nodes {
        sequencer.shutdown();
    }
    let times = times.lock();
    let mut figures = Figures { bytes: 0, first: Vec::new(), all: Vec::new(), took: Duration::ZERO };
    let mut everywhere = Vec::new();
    for number in WARM_UP..=last {
        let durable: Vec<_> = times.durable.iter().filter(|(at, ..)| *at == number).collect();
        ensure!(durable.len() == usize::from(members), "block {number} is durable on {} nodes", durable.len());
        everywhere.extend(durable.iter().map(|(.., at)| *at).max());
        if number == WARM_UP {
            continue;
        }
        let (_, hash, bytes, _) = durable[0];
        let proposed = times.proposed.get(hash).ok_or_else(|| eyre::eyre!("nobody proposed block {number}"))?;
        let after = durable.iter().map(|(.., at)| *at - *proposed);
        figures.first.extend(after.clone().min());
        figures.all.extend(after.max());
        figures.bytes = figures.bytes.max(*bytes);
    }
    if let [first, .., last] = everywhere[..] {
        figures.took = last - first;
    }
    Ok(figures)
}

/// A chain that notes when blocks are proposed and durable. Its leaders make blocks as `maker` says, if there is one.
#[derive(Clone)]
struct Timed<X> {
    inner: X,
    maker: Option<Maker>,
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
        let block = match &self.maker {
            Some(make) => make(parent, context, timestamp)?,
            None => self.inner.propose(parent, context, timestamp)?,
        };
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
fn ledger(blocks: Arc<Vec<Batch>>) -> impl Fn(&Path, &Arc<ChainSpec>) -> eyre::Result<(LedgerExecution, Option<Maker>)> {
    move |dir, spec| {
        let ledger = Ledger::open(dir, spec.clone(), LedgerConfig::default())?;
        for (tx, sender) in blocks.iter().flatten() {
            ledger.senders().remember(*tx.hash(), *sender);
        }
        let fees = &spec.fees;
        let config = PoolConfig::new(PoolRules::Rollup, spec.chain_id, fees.gas_limit, u128::from(fees.min_base_fee));
        let pool = Arc::new(Pool::new(config, Arc::new(StoreState::rollup(ledger.store().clone(), spec.clone()))));
        let execution = LedgerExecution::new(ledger.clone(), pool, Arc::new(StillL1), BuildLimits::default());
        let blocks = blocks.clone();
        let maker = move |parent, ProposalContext { epoch, view, parent_view, leader }, timestamp| {
            let Ok(Some(above)) = ledger.block(parent) else { return Err(ProposeError::NotYet(format!("block {parent}"))) };
            let mut source: VecDeque<_> = blocks.get(above.number() as usize).cloned().unwrap_or_default().into();
            let context = ConsensusContext { epoch, view, parent_view, leader };
            let built = ledger.build(parent, context, timestamp, &StillL1, &mut source, BuildLimits::default());
            built.map_err(|error| match error {
                BuildError::UnknownParent(hash) => ProposeError::NotYet(format!("block {hash}")),
                other => ProposeError::Failed(other.to_string()),
            })
        };
        Ok((execution, Some(Arc::new(maker))))
    }
}
