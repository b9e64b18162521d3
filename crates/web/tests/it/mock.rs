//! A made-up chain: 100 blocks, epochs of 60, one full block, and in the hostile one bad text wherever text can come from outside.

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, B256, Bytes, FixedBytes, Log, LogData, Signature, TxKind, U256};
use oceanid_primitives::{
    Block, ChainSpec, Committee, DaMode, FeeParams, Header, HeaderExtension, L1Contracts, L1DataFee, L1Origin, Member, Receipt,
    SealedBlock, Timing, TxDeposit, TxEnvelope,
};
use oceanid_stf::Work;
use oceanid_store::{CommittedBlock, Marks, TxLocation};
use oceanid_web::{
    Batch, Credit, CreditedEpoch, Economy, Epoch, NodeFacts, Posting, Rule, Sequencer, Signers, Source, SourceError,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Text of somebody who means harm.
pub(crate) const HOSTILE: &str = "</title><script>alert(1)</script><img src=x onerror=\"alert(2)\">\u{202e}\" style=\"x";
/// A transaction that waits in the pool.
pub(crate) const PENDING: B256 = B256::repeat_byte(0x77);

const HEAD: u64 = 99;
const EPOCH_LENGTH: u64 = 60;
/// The block with transactions.
const FULL: u64 = 30;
const GWEI: u128 = 1_000_000_000;
const TOKEN: u128 = 1_000_000_000_000_000_000;

pub(crate) struct Mock {
    spec: ChainSpec,
    blocks: Vec<Arc<CommittedBlock>>,
    economy: Arc<Economy>,
    batches: Vec<Arc<Batch>>,
    broken: bool,
}

fn tokens(amount: u128) -> U256 {
    U256::from(amount) * U256::from(TOKEN)
}

fn transaction(nonce: u64, to: TxKind, input: Bytes) -> TxEnvelope {
    let unsigned = TxEip1559 {
        chain_id: 1,
        nonce,
        gas_limit: 100_000,
        max_fee_per_gas: GWEI,
        max_priority_fee_per_gas: GWEI,
        to,
        value: U256::from(TOKEN / 2),
        input,
        ..TxEip1559::default()
    };
    TxEnvelope::Eip1559(unsigned.into_signed(Signature::test_signature()))
}

fn body(text: &str) -> Vec<TxEnvelope> {
    let deposit = TxDeposit {
        source_hash: B256::repeat_byte(9),
        from: Address::repeat_byte(1),
        to: TxKind::Call(Address::repeat_byte(2)),
        mint: 5 * TOKEN,
        value: tokens(5),
        gas_limit: 1_000_000,
        is_system_transaction: false,
        input: Bytes::new(),
    };
    let mut body: Vec<TxEnvelope> = vec![deposit.into()];
    body.push(transaction(0, TxKind::Call(Address::repeat_byte(3)), Bytes::from(text.to_owned().into_bytes())));
    body.push(transaction(1, TxKind::Create, Bytes::from(vec![0xfe; 100_000])));
    body.extend((2..70).map(|nonce| transaction(nonce, TxKind::Call(Address::repeat_byte(4)), Bytes::new())));
    body
}

fn receipts(body: &[TxEnvelope], text: &str) -> Vec<Receipt> {
    let receipt = |(index, transaction): (usize, &TxEnvelope)| Receipt {
        tx_type: if transaction.is_deposit() { 0x7e } else { 2 },
        success: index != 1,
        cumulative_gas_used: 21_000 * (index as u64 + 1),
        logs: vec![
            Log {
                address: Address::repeat_byte(5),
                data: LogData::new_unchecked(vec![B256::repeat_byte(6); 4], Bytes::from(text.repeat(20).into_bytes())),
            };
            if index == 1 { 100 } else { 0 }
        ],
        deposit_nonce: transaction.is_deposit().then_some(3),
        l1_fee: if transaction.is_deposit() { 0 } else { 7_000_000_000_000 },
    };
    body.iter().enumerate().map(receipt).collect()
}

impl Mock {
    /// A quiet network of that many equal members.
    pub(crate) fn new(members: usize) -> Self {
        Self::with("Oceanid test", "METIS", "calm words", members)
    }

    /// A full committee, and foreign text that is not meant well.
    pub(crate) fn hostile() -> Self {
        Self::with(HOSTILE, HOSTILE, HOSTILE, 100)
    }

    /// A node whose disk is gone.
    pub(crate) fn broken() -> Self {
        Self { broken: true, ..Self::new(4) }
    }

    fn with(name: &str, symbol: &str, text: &str, members: usize) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let member = |index: usize| Member {
            id: index as u64 + 1,
            identity: B256::left_padding_from(&(index as u32 + 1).to_be_bytes()),
            bls_key: FixedBytes::repeat_byte(index as u8),
            weight: 20_000 * TOKEN,
        };
        let spec = spec(name, now, Committee { id: 1, seed: B256::repeat_byte(7), members: (0..members).map(member).collect() });
        let block = |number: u64| {
            let body = if number == FULL { body(text) } else { Vec::new() };
            let receipts = receipts(&body, text);
            let in_epoch = number % EPOCH_LENGTH;
            let extension = HeaderExtension {
                epoch: number / EPOCH_LENGTH,
                // One slot is missed before block 95.
                view: 1_000 + in_epoch + u64::from(number >= 95),
                parent_view: if in_epoch == 0 { 999 } else { 999 + in_epoch + u64::from(number > 95) },
                leader: (number % members as u64) as u32,
                committee_id: 1,
                next_committee_id: 1,
                origin: L1Origin { number: 500 + number, hash: B256::repeat_byte(0xcc) },
            };
            let header = Header {
                number,
                timestamp: now - 2 * (HEAD - number),
                gas_limit: 30_000_000,
                gas_used: 21_000 * body.len() as u64,
                base_fee_per_gas: Some(1_000_000),
                extra_data: extension.encode().into(),
                ..Header::default()
            };
            let senders = vec![Address::repeat_byte(8); body.len()];
            Arc::new(CommittedBlock { block: Arc::new(SealedBlock::new(Block { header, body })), receipts, senders })
        };
        let posting = |da| Posting { da, commitment: B256::repeat_byte(3), transaction: B256::repeat_byte(4), l1_block: 777 };
        let batch = |index: u64, first, last| {
            Arc::new(Batch {
                index,
                first,
                last,
                header_hash: B256::repeat_byte(1),
                output_root: B256::repeat_byte(2),
                accepted_at: now - 100,
                signers: Some(Signers { view: 1_042, bitmap: U256::from(7) }),
                postings: vec![posting(Err(77)), posting(Ok(DaMode::Blob))],
            })
        };
        Self {
            economy: Arc::new(economy(symbol, members, now)),
            spec,
            blocks: (0..=HEAD).map(block).collect(),
            batches: vec![batch(2, 61, 80), batch(1, 1, 60)],
            broken: false,
        }
    }

    pub(crate) fn hash_of(&self, number: u64) -> B256 {
        self.blocks[number as usize].block.hash()
    }

    pub(crate) fn transactions_of(&self, number: u64) -> Vec<B256> {
        self.blocks[number as usize].block.body().iter().map(|transaction| *transaction.hash()).collect()
    }
}

fn spec(name: &str, now: u64, committee: Committee) -> ChainSpec {
    ChainSpec {
        name: name.to_owned(),
        chain_id: 1,
        l1_chain_id: 2,
        genesis_timestamp: now,
        fees: FeeParams { gas_limit: 30_000_000, elasticity: 2, denominator: 8, initial_base_fee: 1, min_base_fee: 1 },
        l1_data_fee: L1DataFee::default(),
        timing: Timing {
            block_time_ms: 500,
            heartbeat_ms: 2_000,
            epoch_length: EPOCH_LENGTH,
            origin_depth: Some(2),
            max_origin_lag: 100,
            max_origin_advance: 10,
            max_clock_drift: 2,
            challenge_window: 3_600,
            stall_timeout: 600,
        },
        l1: L1Contracts::default(),
        committee,
        alloc: BTreeMap::new(),
    }
}

fn economy(symbol: &str, members: usize, now: u64) -> Economy {
    let credits: Vec<_> = (0..20).rev().map(|epoch| Credit { epoch, reward: tokens(11), fees: tokens(1) }).collect();
    let sequencer = |id: u64| Sequencer {
        id,
        status: "active",
        owner: Address::repeat_byte(id as u8),
        recipient: Address::repeat_byte(id as u8),
        lock: tokens(20_000),
        tickets: vec![(tokens(5), now + 86_400); 32],
        claimable: tokens(123),
        apr: Some(0.198),
        credits: credits.clone(),
    };
    Economy {
        read_at: Some(now - 4),
        symbol: symbol.to_owned(),
        locked: tokens(20_000 * members as u128),
        cost_to_stall: tokens(40_000),
        cost_to_finalise: tokens(60_000),
        rule: Rule::TargetApr(2_000),
        budget: tokens(1_000_000),
        runway: Some(3 * 31_536_000 + 65 * 86_400 + 3),
        credited: tokens(999),
        epochs: (0..20)
            .rev()
            .map(|epoch| CreditedEpoch { epoch, seconds: 60, emission: tokens(50), paid: tokens(44), fees: tokens(4) })
            .collect(),
        sequencers: (1..=members as u64).map(sequencer).collect(),
        ..Economy::default()
    }
}

impl Source for Mock {
    fn spec(&self) -> &ChainSpec {
        &self.spec
    }

    fn head(&self) -> u64 {
        HEAD
    }

    fn marks(&self) -> Marks {
        Marks { safe: 80, finalized: 60 }
    }

    fn header(&self, number: u64) -> Result<Option<Header>, SourceError> {
        Ok(self.block(number)?.map(|block| block.block.header().clone()))
    }

    fn block(&self, number: u64) -> Result<Option<Arc<CommittedBlock>>, SourceError> {
        if self.broken {
            return Err(SourceError("the disk is gone".to_owned()));
        }
        Ok(self.blocks.get(number as usize).cloned())
    }

    fn number_of(&self, hash: B256) -> Result<Option<u64>, SourceError> {
        Ok(self.blocks.iter().position(|block| block.block.hash() == hash).map(|number| number as u64))
    }

    fn transaction(&self, hash: B256) -> Result<Option<TxLocation>, SourceError> {
        let found = self.transactions_of(FULL).iter().position(|known| *known == hash);
        Ok(found.map(|index| TxLocation { block: FULL, index: index as u32 }))
    }

    fn is_pending(&self, hash: B256) -> bool {
        hash == PENDING
    }

    fn certificate(&self, number: u64) -> Result<Option<Signers>, SourceError> {
        Ok((number > 0).then_some(Signers { view: 1_001 + number, bitmap: U256::from(7) }))
    }

    fn epoch(&self, number: u64) -> Result<Option<Epoch>, SourceError> {
        if number > HEAD / EPOCH_LENGTH + 1 {
            return Ok(None);
        }
        let members = self.spec.committee.members.len();
        let work = |index: usize| Work { led: if index == 0 { 10 } else { 9 }, missed: if index < 3 { 1 } else { 0 } };
        Ok(Some(Epoch {
            number,
            first: number * EPOCH_LENGTH,
            last: (number + 1) * EPOCH_LENGTH - 1,
            before: number.checked_sub(1),
            after: number + 1,
            committee: Arc::new(self.spec.committee.clone()),
            work: (number <= 1).then(|| (0..members).map(work).collect()),
        }))
    }

    fn node(&self) -> NodeFacts {
        NodeFacts {
            role: "sequencer",
            version: "0.1.0",
            identity: Some(B256::repeat_byte(0x1d)),
            peers: 3,
            l1_head: 600,
            l1_head_time: Some(1_700_000_000),
            pool: (17, 2),
            backlog_blocks: Some(19),
            evidence: 1,
            waiting: vec![(
                format!("L1 does not answer{}", if self.spec.name == HOSTILE { HOSTILE } else { "" }),
                "check the L1 endpoint".to_owned(),
                70,
            )],
        }
    }

    fn economy(&self) -> Arc<Economy> {
        self.economy.clone()
    }

    fn batches(&self, limit: usize) -> Vec<Arc<Batch>> {
        self.batches.iter().take(limit).cloned().collect()
    }

    fn batch(&self, index: u64) -> Option<Arc<Batch>> {
        self.batches.iter().find(|batch| batch.index == index).cloned()
    }
}
