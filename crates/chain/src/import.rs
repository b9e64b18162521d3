//! Chains made elsewhere: `genesis.json` and `chain.rlp` of a public Ethereum test chain, executed and checked block by block.
//!
//! Each block runs under the fork that genesis schedules for it, from Homestead on, and everything its execution decides is
//! compared with its header: gas, receipts, state root, base fee, blob gas, withdrawals, ommers, requests. Not checked: proof of
//! work and difficulty, and whether an ommer is a relative. Not known: EIP-1283 between Constantinople and Petersburg, deposit
//! requests (EIP-6110), the DAO fork, and anything after Osaka. A block that needs one of these is refused for the header field
//! that comes out differently.

use crate::execute::{roots, state_root_after};
use crate::genesis::from_alloc;
use crate::{CommittedBlock, LedgerError};
use alloy_consensus::proofs::{calculate_ommers_root, calculate_receipt_root, calculate_withdrawals_root};
use alloy_consensus::{Eip658Value, ReceiptEnvelope, ReceiptWithBloom};
use alloy_eips::eip4895::{Withdrawal, Withdrawals};
use alloy_eips::eip7840::{BLOB_BASE_COST, BlobParams};
use alloy_genesis::{ChainConfig, Genesis};
use alloy_primitives::{Address, B256, U256};
use alloy_rlp::{Decodable, Encodable};
use oceanid_primitives::{Block, Header, SealedBlock, TxEnvelope};
use oceanid_stf::revm::primitives::hardfork::SpecId;
use oceanid_stf::{
    BlockEnv, BlockExecutor, ExecutionOutput, Fork, HeaderError, Rules, StateDiff, StateReader, compare_headers,
    ethereum_next_base_fee, logs_bloom, receipts_root, transactions_root,
};
use oceanid_store::{ExecutedBlock, StateView, Store, StoreConfig, StoreError, StoreKind};
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Base fee of the first block under EIP-1559, wei per gas.
const INITIAL_BASE_FEE: u64 = 1_000_000_000;
/// Wei in a gwei, the unit of withdrawals.
const GWEI: u128 = 1_000_000_000;
/// Wei in an ether, the unit of block rewards.
const ETHER: u128 = 1_000_000_000_000_000_000;
/// Most blobs of one transaction since Osaka (EIP-7594).
const OSAKA_BLOBS_PER_TX: u64 = 6;

/// A chain that cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// `genesis.json` is not what geth would read.
    #[error("genesis: {0}")]
    Genesis(String),
    /// `chain.rlp` is not a sequence of blocks.
    #[error("block {number}: not the encoding of a block: {reason}")]
    Encoding {
        /// Number of the block that should have come.
        number: u64,
        /// What the decoder says.
        reason: alloy_rlp::Error,
    },
    /// A transaction that cannot be in its block.
    #[error("block {number}: transaction {index}: {reason}")]
    Transaction {
        /// Block number.
        number: u64,
        /// Place in the block.
        index: usize,
        /// Why.
        reason: String,
    },
    /// A header that is not what execution gives.
    #[error("block {number}: {reason}")]
    Header {
        /// Block number.
        number: u64,
        /// The field, with both values.
        reason: HeaderError,
    },
    /// A system call failed, or the like.
    #[error("block {number}: {reason}")]
    Execution {
        /// Block number.
        number: u64,
        /// Why.
        reason: String,
    },
    /// Blocks could not be kept.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// State could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which rules hold in which block, as a genesis file schedules them.
#[derive(Clone, Debug, Default)]
pub struct ForkSchedule {
    config: ChainConfig,
    /// First block without proof of work.
    merge: u64,
}

impl ForkSchedule {
    fn new(config: ChainConfig) -> Self {
        let merged_at_genesis = config.terminal_total_difficulty.is_some_and(|difficulty| difficulty.is_zero());
        let merge = config.merge_netsplit_block.or(merged_at_genesis.then_some(0)).unwrap_or(u64::MAX);
        Self { config, merge }
    }

    /// The rules of the block with that number and timestamp.
    pub fn at(&self, number: u64, timestamp: u64) -> Fork {
        let config = &self.config;
        let by_block = [
            (config.homestead_block, SpecId::HOMESTEAD),
            (config.eip150_block, SpecId::TANGERINE),
            (config.eip155_block.max(config.eip158_block), SpecId::SPURIOUS_DRAGON),
            (config.byzantium_block, SpecId::BYZANTIUM),
            (config.constantinople_block, SpecId::PETERSBURG),
            (config.petersburg_block, SpecId::PETERSBURG),
            (config.istanbul_block, SpecId::ISTANBUL),
            (config.berlin_block, SpecId::BERLIN),
            (config.london_block, SpecId::LONDON),
            (Some(self.merge), SpecId::MERGE),
        ];
        let by_time = [
            (config.shanghai_time, SpecId::SHANGHAI),
            (config.cancun_time, SpecId::CANCUN),
            (config.prague_time, SpecId::PRAGUE),
            (config.osaka_time, SpecId::OSAKA),
        ];
        let reached = |at: Option<u64>, now: u64| at.is_some_and(|at| at <= now);
        let spec = by_block.into_iter().filter(|(at, _)| reached(*at, number));
        let spec = spec.chain(by_time.into_iter().filter(|(at, _)| number >= self.merge && reached(*at, timestamp)));
        Fork { spec: spec.map(|(_, spec)| spec).max().unwrap_or(SpecId::FRONTIER), blobs: self.blobs(timestamp) }
    }

    fn blobs(&self, timestamp: u64) -> BlobParams {
        let config = &self.config;
        let schedule = [
            ("cancun", config.cancun_time, BlobParams::cancun()),
            ("prague", config.prague_time, BlobParams::prague()),
            ("osaka", config.osaka_time, BlobParams::osaka()),
            ("bpo1", config.bpo1_time, BlobParams::bpo1()),
            ("bpo2", config.bpo2_time, BlobParams::bpo2()),
            ("bpo3", config.bpo3_time, BlobParams::bpo2()),
            ("bpo4", config.bpo4_time, BlobParams::bpo2()),
            ("bpo5", config.bpo5_time, BlobParams::bpo2()),
        ];
        let newest = schedule.iter().rev().find(|(_, at, _)| at.is_some_and(|at| at <= timestamp));
        let (name, _, usual) = newest.unwrap_or(&schedule[0]);
        let Some(params) = config.blob_schedule.get(*name) else { return *usual };
        // The file names target, limit and update fraction; the rest belongs to the hard fork.
        if config.osaka_time.is_some_and(|osaka| osaka <= timestamp) {
            params.with_blob_base_cost(BLOB_BASE_COST).with_max_blobs_per_tx(OSAKA_BLOBS_PER_TX)
        } else {
            *params
        }
    }

    /// Whether receipts have a status; before Byzantium they have the state root after their transaction.
    fn has_status(&self, number: u64) -> bool {
        self.config.byzantium_block.is_some_and(|block| block <= number)
    }

    /// Wei a miner gets for a block; nothing after the merge.
    pub fn reward(&self, number: u64) -> u128 {
        let reached = |block: Option<u64>| block.is_some_and(|block| block <= number);
        match () {
            () if number >= self.merge => 0,
            () if reached(self.config.constantinople_block) => 2 * ETHER,
            () if reached(self.config.byzantium_block) => 3 * ETHER,
            () => 5 * ETHER,
        }
    }
}

impl ForkSchedule {
    /// Timestamps at which rules change, in order.
    fn times(&self) -> BTreeSet<u64> {
        let config = &self.config;
        let times = [
            config.shanghai_time,
            config.cancun_time,
            config.prague_time,
            config.osaka_time,
            config.bpo1_time,
            config.bpo2_time,
            config.bpo3_time,
            config.bpo4_time,
            config.bpo5_time,
        ];
        times.into_iter().flatten().collect()
    }

    /// When the rules of `now` began, when they change next, and when they change for the last time, seconds since 1970.
    pub fn activations(&self, now: u64) -> (u64, Option<u64>, Option<u64>) {
        let times = self.times();
        let current = times.range(..=now).next_back().copied().unwrap_or_default();
        let mut later = times.range(now + 1..);
        let next = later.next().copied();
        (current, next, times.range(now + 1..).next_back().copied())
    }

    /// The fork hash of EIP-6122 at a block of the chain that begins with `genesis` at `genesis_time`.
    pub fn fork_id(&self, genesis: B256, genesis_time: u64, number: u64, timestamp: u64) -> [u8; 4] {
        let config = &self.config;
        let numbers = [
            config.homestead_block,
            config.eip150_block,
            config.eip155_block,
            config.eip158_block,
            config.byzantium_block,
            config.constantinople_block,
            config.petersburg_block,
            config.istanbul_block,
            config.muir_glacier_block,
            config.berlin_block,
            config.london_block,
            config.arrow_glacier_block,
            config.gray_glacier_block,
            config.merge_netsplit_block,
        ];
        let numbers: BTreeSet<u64> = numbers.into_iter().flatten().filter(|at| (1..=number).contains(at)).collect();
        let times = self.times().into_iter().filter(|at| *at > genesis_time && *at <= timestamp);
        let mut hashed = genesis.to_vec();
        hashed.extend(numbers.into_iter().chain(times).flat_map(u64::to_be_bytes));
        crc32(&hashed).to_be_bytes()
    }

    /// Where deposits of validators are made (EIP-6110), if genesis names it.
    pub const fn deposit_contract(&self) -> Option<Address> {
        self.config.deposit_contract_address
    }
}

/// CRC-32 as in zip (ISO 3309), which EIP-2124 hashes forks with.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc));
    !bytes.iter().fold(u32::MAX, byte)
}

/// What a block of Ethereum's past has beyond what the store keeps of a block.
#[derive(Clone, Debug, Default)]
pub struct BlockExtras {
    /// Headers of ommers.
    pub ommers: Vec<Header>,
    /// Withdrawals; none before Shanghai.
    pub withdrawals: Option<Withdrawals>,
    /// State roots after each transaction, before Byzantium.
    pub post_states: Vec<B256>,
}

/// A chain being imported: a store that holds it, and what the store has no place for. Clones share everything.
#[derive(Clone, Debug)]
pub struct ImportedChain {
    chain_id: u64,
    store: Store,
    forks: Arc<ForkSchedule>,
    extras: Arc<RwLock<BTreeMap<u64, Arc<BlockExtras>>>>,
}

impl ImportedChain {
    /// Begins a chain in the empty directory `dir` with the genesis block of a `genesis.json`.
    pub fn new(dir: &Path, genesis: &[u8]) -> Result<Self, ImportError> {
        let genesis: Genesis = serde_json::from_slice(genesis).map_err(|error| ImportError::Genesis(error.to_string()))?;
        let forks = ForkSchedule::new(genesis.config.clone());
        let chain_id = genesis.config.chain_id;
        let first = from_alloc(&genesis.alloc, |state_root, _| genesis_header(&genesis, &forks, state_root))?;
        let store = Store::open(dir, StoreConfig::new(StoreKind::L1), chain_id, first)?;
        let withdrawals = forks.at(0, genesis.timestamp).spec.is_enabled_in(SpecId::SHANGHAI).then(Withdrawals::default);
        let extras = BTreeMap::from([(0, Arc::new(BlockExtras { withdrawals, ..BlockExtras::default() }))]);
        Ok(Self { chain_id, store, forks: Arc::new(forks), extras: Arc::new(RwLock::new(extras)) })
    }

    /// EIP-155 chain id.
    pub const fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// Blocks and state.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// The rules by block.
    pub const fn forks(&self) -> &Arc<ForkSchedule> {
        &self.forks
    }

    /// What the store does not have of block `number`.
    pub fn extras(&self, number: u64) -> Arc<BlockExtras> {
        self.extras.read().get(&number).cloned().unwrap_or_default()
    }

    /// Executes, checks and keeps the blocks of a `chain.rlp`. Returns how many there were; genesis, if it is among them, is
    /// not counted.
    pub fn import(&self, mut rlp: &[u8]) -> Result<u64, ImportError> {
        let mut imported = 0;
        while !rlp.is_empty() {
            let number = self.store.head().number + 1;
            let block = alloy_consensus::Block::<TxEnvelope>::decode(&mut rlp)
                .map_err(|reason| ImportError::Encoding { number, reason })?;
            if block.header.number == 0 {
                continue;
            }
            self.append(number, block)?;
            imported += 1;
        }
        Ok(imported)
    }

    fn append(&self, number: u64, block: alloy_consensus::Block<TxEnvelope>) -> Result<(), ImportError> {
        let alloy_consensus::Block { header, body } = block;
        let refused = |reason| ImportError::Header { number, reason };
        let parent = self.store.header(number - 1)?.ok_or(LedgerError::Execution { number, reason: "no parent".into() })?;
        let view = self.store.view();
        let mut senders = Vec::with_capacity(body.transactions.len());
        for (index, tx) in body.transactions.iter().enumerate() {
            let sender =
                tx.recover_sender().map_err(|error| ImportError::Transaction { number, index, reason: error.to_string() })?;
            senders.push(sender);
        }
        // Number and parent decide which rules hold: they come first.
        let expected = Header { number, parent_hash: view.hash(), ..header.clone() };
        compare_headers(&expected, &header).map_err(refused)?;
        if header.timestamp <= parent.timestamp {
            let limit = format!("above the parent's {}", parent.timestamp);
            return Err(refused(HeaderError::Range { field: "timestamp", got: header.timestamp, limit }));
        }

        let fork = self.forks.at(number, header.timestamp);
        let transactions = body.transactions.iter().zip(&senders);
        let (mut output, requests) = self.execute(fork, &header, &view, transactions.clone())?;
        let payments = payments(&header, &body.ommers, body.withdrawals.as_deref(), self.forks.reward(number));
        credit(&view, &mut output.diff, payments)?;
        let roots = roots(&view, number, &output.diff)?;
        let mut post_states = Vec::new();
        if !self.forks.has_status(number) {
            for count in 1..=body.transactions.len() {
                let (part, _) = self.execute(fork, &header, &view, transactions.clone().take(count))?;
                post_states.push(state_root_after(&view, number, &part.diff)?);
            }
        }
        let is = |spec| fork.spec.is_enabled_in(spec);
        let excess = || parent.next_block_excess_blob_gas(fork.blobs).unwrap_or_default();
        let expected = Header {
            ommers_hash: calculate_ommers_root(&body.ommers),
            state_root: roots.state,
            transactions_root: transactions_root(&body.transactions),
            receipts_root: if post_states.is_empty() {
                receipts_root(&output.receipts)
            } else {
                calculate_receipt_root(&early_receipts(&output.receipts, &post_states))
            },
            logs_bloom: logs_bloom(&output.receipts),
            gas_used: output.gas_used,
            base_fee_per_gas: is(SpecId::LONDON).then(|| match parent.base_fee_per_gas {
                Some(_) => ethereum_next_base_fee(&parent),
                None => INITIAL_BASE_FEE,
            }),
            withdrawals_root: body.withdrawals.as_ref().map(|list| calculate_withdrawals_root(list)),
            blob_gas_used: is(SpecId::CANCUN).then_some(output.blob_gas_used),
            excess_blob_gas: is(SpecId::CANCUN).then(excess),
            requests_hash: requests,
            ..header.clone()
        };
        compare_headers(&expected, &header).map_err(refused)?;

        let extras = BlockExtras { ommers: body.ommers, withdrawals: body.withdrawals, post_states };
        let sealed = Arc::new(SealedBlock::new(Block { header, body: body.transactions }));
        let executed = ExecutedBlock::new(sealed, output.receipts, senders, output.diff, roots.trie);
        self.extras.write().insert(number, Arc::new(extras));
        self.store.commit(Arc::new(executed), None)?;
        Ok(())
    }

    /// Executes transactions in the environment of `header`; with them the hash of the block's requests, since Prague.
    fn execute<'t>(
        &self,
        fork: Fork,
        header: &Header,
        view: &StateView,
        transactions: impl Iterator<Item = (&'t TxEnvelope, &'t Address)>,
    ) -> Result<(ExecutionOutput, Option<B256>), ImportError> {
        let number = header.number;
        let failed = |reason: String| ImportError::Execution { number, reason };
        let mut executor = BlockExecutor::new(Rules::Ethereum(fork), self.chain_id, BlockEnv::of(header), view)
            .map_err(|error| failed(error.to_string()))?;
        for (index, (tx, sender)) in transactions.enumerate() {
            let refused = |reason| ImportError::Transaction { number, index, reason };
            executor.execute(tx, *sender).map_err(|error| refused(error.to_string()))?;
        }
        let requests = if fork.spec.is_enabled_in(SpecId::PRAGUE) {
            Some(executor.requests().map_err(|error| failed(error.to_string()))?.requests_hash())
        } else {
            None
        };
        Ok((executor.finish(), requests))
    }
}

fn genesis_header(genesis: &Genesis, forks: &ForkSchedule, state_root: B256) -> Header {
    let number = genesis.number.unwrap_or_default();
    let spec = forks.at(number, genesis.timestamp).spec;
    let is = |fork| spec.is_enabled_in(fork);
    Header {
        number,
        parent_hash: genesis.parent_hash.unwrap_or_default(),
        state_root,
        beneficiary: genesis.coinbase,
        difficulty: genesis.difficulty,
        gas_limit: genesis.gas_limit,
        timestamp: genesis.timestamp,
        extra_data: genesis.extra_data.clone(),
        mix_hash: genesis.mix_hash,
        nonce: genesis.nonce.into(),
        base_fee_per_gas: is(SpecId::LONDON).then(|| match genesis.base_fee_per_gas {
            Some(fee) => fee.try_into().unwrap_or(u64::MAX),
            None => INITIAL_BASE_FEE,
        }),
        withdrawals_root: is(SpecId::SHANGHAI).then_some(oceanid_trie::EMPTY_ROOT_HASH),
        blob_gas_used: is(SpecId::CANCUN).then(|| genesis.blob_gas_used.unwrap_or_default()),
        excess_blob_gas: is(SpecId::CANCUN).then(|| genesis.excess_blob_gas.unwrap_or_default()),
        parent_beacon_block_root: is(SpecId::CANCUN).then_some(B256::ZERO),
        requests_hash: is(SpecId::PRAGUE).then_some(alloy_eips::eip7685::EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}

/// What a block pays beside its transactions, wei: rewards to miners before the merge, withdrawals since Shanghai.
pub fn payments(header: &Header, ommers: &[Header], withdrawals: Option<&Vec<Withdrawal>>, reward: u128) -> Vec<(Address, U256)> {
    let mut payments = Vec::new();
    if reward > 0 {
        payments.push((header.beneficiary, U256::from(reward + reward / 32 * ommers.len() as u128)));
        for ommer in ommers {
            let nearness = (8 + ommer.number).saturating_sub(header.number);
            payments.push((ommer.beneficiary, U256::from(reward / 8 * u128::from(nearness))));
        }
    }
    for withdrawal in withdrawals.into_iter().flatten().filter(|withdrawal| withdrawal.amount > 0) {
        payments.push((withdrawal.address, U256::from(u128::from(withdrawal.amount) * GWEI)));
    }
    payments
}

/// Adds `payments` to balances, over `view` and what `diff` says.
pub fn credit<R: StateReader>(view: &R, diff: &mut StateDiff, payments: Vec<(Address, U256)>) -> Result<(), R::Error> {
    for (address, amount) in payments {
        let before = match diff.account(&address) {
            Some(account) => account,
            None => view.account(address)?,
        };
        let mut account = before.unwrap_or_default();
        account.balance = account.balance.saturating_add(amount);
        diff.merge(StateDiff { accounts: [(address, Some(account))].into_iter().collect(), ..StateDiff::default() });
    }
    Ok(())
}

/// Receipts as they were before Byzantium: with a state root in place of the status.
fn early_receipts(receipts: &[oceanid_primitives::Receipt], post_states: &[B256]) -> Vec<ReceiptEnvelope> {
    let early = |(receipt, root): (&oceanid_primitives::Receipt, &B256)| early_receipt(receipt, *root);
    receipts.iter().zip(post_states).map(early).collect()
}

/// A receipt as it was before Byzantium: with the state root after its transaction in place of the status.
pub fn early_receipt(receipt: &oceanid_primitives::Receipt, post_state: B256) -> ReceiptEnvelope {
    ReceiptEnvelope::Legacy(ReceiptWithBloom {
        receipt: alloy_consensus::Receipt {
            status: Eip658Value::PostState(post_state),
            cumulative_gas_used: receipt.cumulative_gas_used,
            logs: receipt.logs.clone(),
        },
        logs_bloom: receipt.bloom(),
    })
}

/// A block as Ethereum encodes it: header, transactions, ommers, and withdrawals since Shanghai.
pub fn encode_block(block: &CommittedBlock, extras: &BlockExtras) -> Vec<u8> {
    let body = alloy_consensus::BlockBody {
        transactions: block.block.body().to_vec(),
        ommers: extras.ommers.clone(),
        withdrawals: extras.withdrawals.clone(),
    };
    let mut out = Vec::new();
    alloy_consensus::Block { header: block.block.header().clone(), body }.encode(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mainnet's forks and their published fork hashes (EIP-2124, EIP-6122).
    #[test]
    fn forks_follow_the_schedule_and_hash_as_published() {
        let config = serde_json::json!({
            "chainId": 1,
            "homesteadBlock": 1_150_000, "daoForkBlock": 1_920_000, "eip150Block": 2_463_000,
            "eip155Block": 2_675_000, "eip158Block": 2_675_000, "byzantiumBlock": 4_370_000,
            "constantinopleBlock": 7_280_000, "petersburgBlock": 7_280_000, "istanbulBlock": 9_069_000,
        });
        let forks = ForkSchedule::new(serde_json::from_value(config).unwrap());
        let specs = [
            (0, SpecId::FRONTIER),
            (1_149_999, SpecId::FRONTIER),
            (1_150_000, SpecId::HOMESTEAD),
            (2_675_000, SpecId::SPURIOUS_DRAGON),
            (7_280_000, SpecId::PETERSBURG),
            (9_069_000, SpecId::ISTANBUL),
        ];
        for (number, spec) in specs {
            assert_eq!(forks.at(number, 0).spec, spec, "block {number}");
        }
        assert_eq!([0, 4_370_000, 7_280_000].map(|number| forks.reward(number) / ETHER), [5, 3, 2]);
        let genesis = alloy_primitives::b256!("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3");
        assert_eq!(forks.fork_id(genesis, 0, 0, 0), [0xfc, 0x64, 0xec, 0x04]);
        assert_eq!(forks.fork_id(genesis, 0, 1_150_000, 0), [0x97, 0xc2, 0xc3, 0x4c]);
    }

    #[test]
    fn blobs_and_forks_by_time_come_after_the_merge_only() {
        let config = |merge: u64| {
            let config = serde_json::json!({
                "chainId": 1, "homesteadBlock": 0, "londonBlock": 0, "mergeNetsplitBlock": merge,
                "cancunTime": 10, "pragueTime": 20, "osakaTime": 30, "bpo1Time": 40,
                "blobSchedule": { "bpo1": { "target": 10, "max": 15, "baseFeeUpdateFraction": 8_346_193 } },
            });
            ForkSchedule::new(serde_json::from_value(config).unwrap())
        };
        let merged = config(0);
        assert_eq!(
            [5, 10, 20, 35].map(|time| merged.at(1, time).spec),
            [SpecId::MERGE, SpecId::CANCUN, SpecId::PRAGUE, SpecId::OSAKA]
        );
        let blobs = merged.at(1, 40).blobs;
        assert_eq!((blobs.target_blob_count, blobs.max_blob_count, blobs.max_blobs_per_tx), (10, 15, OSAKA_BLOBS_PER_TX));
        assert_eq!(merged.at(1, 20).blobs, BlobParams::prague());
        assert_eq!(config(100).at(1, 35).spec, SpecId::LONDON);
        assert_eq!(merged.activations(25), (20, Some(30), Some(40)));
        assert_eq!(merged.activations(40), (40, None, None));
    }
}
