//! A light chain for tests: real headers and extensions, a hash in place of execution, memory in place of a store.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use alloy_primitives::{B256, Bytes, keccak256};
use oceanid_primitives::{Block, Committee, Epochs, Header, HeaderExtension, Recovery, SealedBlock, TxDeposit, TxEnvelope};
use oceanid_sequencer::{Execution, FinalizeError, ProposalContext, ProposeError, RecoveryRefused, Verdict};
use parking_lot::Mutex;

use crate::sim::TestChain;

/// Committees by the first epoch they serve.
pub(crate) type Schedule = Arc<BTreeMap<u64, Committee>>;

struct State {
    executed: BTreeMap<B256, Arc<SealedBlock>>,
    finalized: Vec<(Arc<SealedBlock>, Option<Bytes>)>,
    /// What this chain has taken on.
    epochs: Epochs,
}

/// The chain of one node. It outlives the node, as a disk would.
#[derive(Clone)]
pub(crate) struct LightChain {
    schedule: Schedule,
    /// Recoveries as this node sees them on L1.
    pub recoveries: Arc<Mutex<Vec<Recovery>>>,
    state: Arc<Mutex<State>>,
    /// Whether there is always something to put into a block.
    pub busy: Arc<AtomicBool>,
    /// Never proposes in time.
    pub mute: Arc<AtomicBool>,
    /// Withholds every verdict, as a node without L1 would.
    pub blind: Arc<AtomicBool>,
}

fn committee_at(schedule: &Schedule, epoch: u64) -> &Committee {
    schedule.range(..=epoch).next_back().expect("the schedule begins at epoch 0").1
}

/// The committee of an epoch: the schedule's, unless a recovery brought a newer one.
pub(crate) fn committee_of(schedule: &Schedule, epochs: &Epochs, epoch: u64) -> Committee {
    let scheduled = committee_at(schedule, epoch);
    let brought = epochs.recoveries().iter().rfind(|recovery| epochs.of(recovery.after_block + 1) <= epoch);
    match brought {
        Some(recovery) if recovery.committee.id > scheduled.id => recovery.committee.clone(),
        _ => scheduled.clone(),
    }
}

fn state_root(parent: B256, body: &[TxEnvelope]) -> B256 {
    keccak256(body.iter().fold(parent.to_vec(), |mut all, tx| {
        all.extend_from_slice(tx.hash().as_slice());
        all
    }))
}

impl LightChain {
    pub(crate) fn new(schedule: Schedule, epoch_length: u64, genesis_time: u64) -> Self {
        let committee = committee_at(&schedule, 0);
        let extension = HeaderExtension { committee_id: committee.id, next_committee_id: committee.id, ..Default::default() };
        let header = Header {
            extra_data: extension.encode().into(),
            timestamp: genesis_time,
            transactions_root: alloy_consensus::constants::EMPTY_TRANSACTIONS,
            ..Header::default()
        };
        let genesis = Arc::new(SealedBlock::new(Block { header, body: vec![] }));
        let state = State {
            executed: BTreeMap::from([(genesis.hash(), genesis.clone())]),
            finalized: vec![(genesis, None)],
            epochs: Epochs::new(epoch_length),
        };
        Self {
            schedule,
            recoveries: Arc::default(),
            state: Arc::new(Mutex::new(state)),
            busy: Arc::new(AtomicBool::new(true)),
            mute: Arc::default(),
            blind: Arc::default(),
        }
    }

    /// The committee of an epoch without recoveries.
    pub(crate) fn scheduled(&self, epoch: u64) -> Option<Committee> {
        self.schedule.range(..=epoch).next_back().map(|(_, committee)| committee.clone())
    }

    /// Epoch of a block, its committee and the next one's id.
    fn office(&self, number: u64) -> (u64, Committee, u64) {
        let state = self.state.lock();
        let epoch = state.epochs.of(number);
        let committee = committee_of(&self.schedule, &state.epochs, epoch);
        let next = committee_at(&self.schedule, epoch + 1).id.max(committee.id);
        (epoch, committee, next)
    }

    fn make(&self, parent: &SealedBlock, extension: HeaderExtension, timestamp: u64, body: Vec<TxEnvelope>) -> SealedBlock {
        let header = Header {
            parent_hash: parent.hash(),
            number: parent.number() + 1,
            timestamp,
            extra_data: extension.encode().into(),
            transactions_root: alloy_consensus::proofs::calculate_transaction_root(&body),
            state_root: state_root(parent.header().state_root, &body),
            ..Header::default()
        };
        SealedBlock::new(Block { header, body })
    }
}

impl TestChain for LightChain {
    fn finalized(&self) -> Vec<(Arc<SealedBlock>, Option<Bytes>)> {
        self.state.lock().finalized.clone()
    }

    fn crash(&self) {
        let mut state = self.state.lock();
        let finalized: Vec<B256> = state.finalized.iter().map(|(block, _)| block.hash()).collect();
        state.executed.retain(|hash, _| finalized.contains(hash));
    }
}

impl Execution for LightChain {
    fn genesis(&self) -> Arc<SealedBlock> {
        self.state.lock().finalized[0].0.clone()
    }

    fn head(&self) -> Arc<SealedBlock> {
        self.state.lock().finalized.last().expect("genesis").0.clone()
    }

    fn final_block(&self, number: u64) -> Option<(B256, u64)> {
        self.state.lock().finalized.get(number as usize).map(|(block, _)| (block.hash(), block.header().timestamp))
    }

    fn epochs(&self) -> Result<Arc<Epochs>, RecoveryRefused> {
        let mut state = self.state.lock();
        for recovery in self.recoveries.lock().iter() {
            let mut epochs = state.epochs.clone();
            let new = epochs.admit(recovery).map_err(|error| RecoveryRefused(error.to_string()))?;
            if new && state.finalized.len() as u64 > recovery.after_block + 1 {
                return Err(RecoveryRefused(format!("final beyond block {}", recovery.after_block)));
            }
            state.epochs = epochs;
        }
        Ok(Arc::new(state.epochs.clone()))
    }

    fn certificate(&self, number: u64) -> Option<Bytes> {
        self.state.lock().finalized.get(number as usize)?.1.clone()
    }

    fn committee_of_epoch(&self, epoch: u64) -> Option<Committee> {
        // As on the real chain: fixed by the first block of the epoch before, or by a recovery.
        let height = self.height();
        let state = self.state.lock();
        let (first, _) = state.epochs.blocks(epoch)?;
        let before = first.checked_sub(1).and_then(|last| state.epochs.blocks(state.epochs.of(last)));
        let known = state.epochs.recovery_before(first).is_some() || before.is_none_or(|(first, _)| height >= first);
        known.then(|| committee_of(&self.schedule, &state.epochs, epoch))
    }

    fn is_executed(&self, hash: B256) -> bool {
        self.state.lock().executed.contains_key(&hash)
    }

    fn has_work(&self, _: B256) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    fn propose(&self, parent: B256, context: ProposalContext, timestamp: u64) -> Result<Arc<SealedBlock>, ProposeError> {
        if self.mute.load(Ordering::Relaxed) {
            return Err(ProposeError::NotYet("told to be silent".into()));
        }
        let parent = self.state.lock().executed.get(&parent).cloned().ok_or_else(|| ProposeError::Failed("no parent".into()))?;
        let number = parent.number() + 1;
        let (epoch, committee, next_committee_id) = self.office(number);
        let extension = HeaderExtension {
            epoch,
            view: context.view,
            parent_view: context.parent_view,
            leader: context.leader,
            committee_id: committee.id,
            next_committee_id,
            ..Default::default()
        };
        let body = if self.busy.load(Ordering::Relaxed) {
            vec![
                TxDeposit {
                    source_hash: keccak256((number, context.view).1.to_be_bytes()),
                    mint: u128::from(number),
                    ..Default::default()
                }
                .into(),
            ]
        } else {
            vec![]
        };
        let block = Arc::new(self.make(&parent, extension, timestamp, body));
        self.state.lock().executed.insert(block.hash(), block.clone());
        Ok(block)
    }

    fn verify(&self, block: &Arc<SealedBlock>, now: u64) -> Verdict {
        if self.blind.load(Ordering::Relaxed) {
            return Verdict::NotYet("told to be blind".into());
        }
        let Some(parent) = self.state.lock().executed.get(&block.header().parent_hash).cloned() else {
            return Verdict::NotYet("parent not executed".into());
        };
        let header = block.header();
        if header.timestamp > now + 2 {
            return Verdict::NotYet("from the future".into());
        }
        let Ok(extension) = HeaderExtension::decode(&header.extra_data) else { return Verdict::Invalid("extension".into()) };
        let (epoch, committee, next_committee_id) = self.office(block.number());
        let expected = self.make(&parent, extension, header.timestamp, block.body().to_vec());
        let sound = expected.hash() == block.hash()
            && header.timestamp >= parent.header().timestamp
            && extension.epoch == epoch
            && extension.committee_id == committee.id
            && extension.next_committee_id == next_committee_id
            && extension.leader == committee.leader(epoch, extension.view);
        if !sound {
            return Verdict::Invalid("header".into());
        }
        self.state.lock().executed.insert(block.hash(), block.clone());
        Verdict::Valid
    }

    fn finalize(&self, block: &Arc<SealedBlock>, certificate: Option<Bytes>) -> Result<(), FinalizeError> {
        let mut state = self.state.lock();
        let (number, held) = (block.number(), state.finalized.len() as u64);
        let fail = |reason: &str| Err(FinalizeError { number, reason: reason.into() });
        if number > held {
            return fail("gap");
        }
        if number < held {
            return if state.finalized[number as usize].0.hash() == block.hash() { Ok(()) } else { fail("fork") };
        }
        if state.finalized[number as usize - 1].0.hash() != block.header().parent_hash {
            return fail("parent is not the head");
        }
        state.executed.insert(block.hash(), block.clone());
        state.finalized.push((block.clone(), certificate));
        Ok(())
    }
}
