//! `da`: bytes of batch data a transaction, beside OP span batches with brotli 10, on one corpus; what they are spent on; how fast.
//!
//! The corpus is synthetic and seeded: senders and receivers follow a power law (a few accounts make most of the traffic), values
//! and fees look like people's, signatures are random because no codec can shorten them. Both encoders get the same signed
//! transactions in the same blocks.
//!
//! The corpus also keeps account of the information in what it draws. That is the least that a lossless codec can spend on average, even one
//! that knew how this corpus is made and were told every sender.

use crate::report::{count, measure, median, row, table};
use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use kona_protocol::{SingleBatch, SpanBatch};
use oceanid_da::{Batch, BatchBlock};
use oceanid_primitives::TxEnvelope;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::time::Duration;

const CHAIN_ID: u64 = 1_088_001;
const GENESIS_TIMESTAMP: u64 = 1_700_000_000;
const BLOCKS: usize = 300;
const TRANSACTIONS_PER_BLOCK: usize = 20;
const ACCOUNTS: usize = 5_000;
const TOKENS: usize = 30;
const FIRST_TOKEN: usize = 1_000_000;
/// Brotli quality and window OP's batcher uses.
const BROTLI_QUALITY: u32 = 10;
const BROTLI_WINDOW: u32 = 22;
/// Bits of a signature, and of an address that was not there before: random for whoever sees the transactions only.
const SIGNATURE_BITS: f64 = 512.0;
const ADDRESS_BITS: f64 = 160.0;
/// Runs of each codec for the speeds.
const RUNS: usize = 9;

#[derive(Clone, Copy)]
enum Kind {
    Transfers,
    Tokens,
    Swaps,
    Mixed,
}

struct Corpus {
    random: StdRng,
    /// Wei per gas, a random walk over blocks: wallets offer twice the base fee they see, and their tip.
    base_fee: u128,
    nonces: HashMap<usize, u64>,
    /// Accounts and tokens that a batch has named.
    named: HashSet<Address>,
    /// Information drawn so far.
    bits: f64,
}

impl Corpus {
    fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            base_fee: 1_000_000_000,
            nonces: HashMap::new(),
            named: HashSet::new(),
            bits: 0.0,
        }
    }

    /// Notes that one of so many equally likely things was drawn.
    fn drawn(&mut self, choices: f64) {
        self.bits += choices.log2();
    }

    /// A popular account of so many that begin at `base`, named in the batch.
    fn name(&mut self, base: usize, items: usize) -> Address {
        let item = self.popular(items);
        let address = Self::account(base + item);
        if self.named.insert(address) {
            self.bits += ADDRESS_BITS;
        } else {
            let share = |item: usize| (item as f64 / items as f64).cbrt();
            self.drawn((share(item + 1) - share(item)).recip());
        }
        address
    }

    /// A power law over `count` items: the cube of a uniform draw.
    fn popular(&mut self, count: usize) -> usize {
        let draw: f64 = self.random.random();
        ((draw * draw * draw) * count as f64) as usize
    }

    fn account(index: usize) -> Address {
        Address::from_word(keccak256((index as u64).to_be_bytes()))
    }

    /// An amount as people choose them: few digits, or all of them (a whole balance).
    fn amount(&mut self) -> U256 {
        if self.random.random_bool(0.7) {
            self.drawn(999.0 * 4.0 / 0.7);
            let digits: u64 = self.random.random_range(1..1_000);
            U256::from(digits) * U256::from(10).pow(U256::from(self.random.random_range(14..18)))
        } else {
            self.drawn(1e20 / 0.3);
            U256::from(self.random.random_range(1u128..10u128.pow(20)))
        }
    }

    fn transaction(&mut self, kind: Kind) -> TxEnvelope {
        let (to, value, input, gas_limit) = match kind {
            Kind::Mixed => {
                let (kind, of_ten) = match self.random.random_range(0..10) {
                    0..4 => (Kind::Transfers, 4.0),
                    4..8 => (Kind::Tokens, 4.0),
                    _ => (Kind::Swaps, 2.0),
                };
                self.drawn(10.0 / of_ten);
                return self.transaction(kind);
            }
            Kind::Transfers => {
                let to = self.name(0, ACCOUNTS);
                (to, self.amount(), Bytes::new(), 21_000)
            }
            Kind::Tokens => {
                let token = self.name(FIRST_TOKEN, TOKENS);
                let mut input = keccak256("transfer(address,uint256)")[..4].to_vec();
                input.extend_from_slice(self.name(0, ACCOUNTS).into_word().as_slice());
                input.extend_from_slice(&self.amount().to_be_bytes::<32>());
                self.drawn(25_000.0);
                (token, U256::ZERO, input.into(), self.random.random_range(45_000..70_000))
            }
            Kind::Swaps => {
                let router = Self::account(2_000_000);
                let selector = "swapExactTokensForTokens(uint256,uint256,address[],address,uint256)";
                let mut input = keccak256(selector)[..4].to_vec();
                let sold = self.amount();
                let least = sold * U256::from(self.random.random_range(900u64..1_100)) / U256::from(1_003);
                for word in [sold, least, U256::from(160)] {
                    input.extend_from_slice(&word.to_be_bytes::<32>());
                }
                input.extend_from_slice(self.name(0, ACCOUNTS).into_word().as_slice());
                let deadline = GENESIS_TIMESTAMP + self.random.random_range(600u64..4_000);
                for word in [U256::from(deadline), U256::from(2)] {
                    input.extend_from_slice(&word.to_be_bytes::<32>());
                }
                for _ in 0..2 {
                    input.extend_from_slice(self.name(FIRST_TOKEN, TOKENS).into_word().as_slice());
                }
                // Least amount, deadline, gas limit.
                [200.0, 3_400.0, 80_000.0].into_iter().for_each(|choices| self.drawn(choices));
                (router, U256::ZERO, input.into(), self.random.random_range(110_000..190_000))
            }
        };
        let sender = self.popular(ACCOUNTS);
        let start = self.random.random_range(0..400);
        if !self.nonces.contains_key(&sender) {
            self.drawn(400.0);
        }
        self.drawn(3.0); // the tip
        self.bits += SIGNATURE_BITS;
        let nonce = self.nonces.entry(sender).or_insert(start);
        let tip = [1_000_000u128, 1_500_000, 1_000_000_000][self.random.random_range(0..3)];
        let transaction = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: *nonce,
            gas_limit,
            max_fee_per_gas: tip + 2 * self.base_fee,
            max_priority_fee_per_gas: tip,
            to: TxKind::Call(to),
            value,
            input,
            ..TxEip1559::default()
        };
        *nonce += 1;
        let word = |random: &mut StdRng| {
            let mut bytes: [u8; 32] = random.random();
            bytes[0] &= 0x7f; // below half the group order, so that the signature's form is canonical
            bytes[0] %= 0x7f;
            U256::from_be_bytes(bytes)
        };
        let signature = Signature::new(word(&mut self.random), word(&mut self.random), self.random.random());
        TxEnvelope::Eip1559(transaction.into_signed(signature))
    }

    fn blocks(&mut self, kind: Kind) -> Vec<BatchBlock> {
        (0..BLOCKS)
            .map(|number| {
                // One part in eight at most (EIP-1559), and most blocks are far from full.
                let step = self.base_fee / 80;
                self.drawn(2.0 * step as f64);
                self.base_fee = self.base_fee + self.random.random_range(0..=2 * step) - step;
                self.block(kind, number)
            })
            .collect()
    }

    fn block(&mut self, kind: Kind, number: usize) -> BatchBlock {
        self.drawn(4.0); // the leader
        BatchBlock {
            timestamp: GENESIS_TIMESTAMP + number as u64 / 2,
            origin: 1_000 + number as u64 / 24,
            view: number as u64 + 1,
            parent_view: number as u64,
            leader: self.random.random_range(0..4),
            transactions: (0..TRANSACTIONS_PER_BLOCK).map(|_| self.transaction(kind)).collect(),
        }
    }
}

/// Bytes of the blocks as one OP span batch, brotli 10.
fn op_bytes(blocks: &[BatchBlock]) -> usize {
    let mut span = SpanBatch { genesis_timestamp: GENESIS_TIMESTAMP, chain_id: CHAIN_ID, ..SpanBatch::default() };
    for block in blocks {
        let single = SingleBatch {
            parent_hash: B256::repeat_byte(1),
            epoch_num: block.origin,
            epoch_hash: keccak256(block.origin.to_be_bytes()),
            timestamp: block.timestamp,
            transactions: block.transactions.iter().map(|transaction| transaction.encoded_2718().into()).collect(),
        };
        span.append_singular_batch(single, 1).expect("transactions of known types");
    }
    let mut raw = vec![1u8]; // batch type: span
    span.to_raw_span_batch().expect("a span with blocks").encode(&mut raw).expect("encodes");
    let mut compressed = Vec::new();
    let mut writer = brotli::CompressorWriter::new(&mut compressed, 4_096, BROTLI_QUALITY, BROTLI_WINDOW);
    writer.write_all(&raw).expect("memory takes all bytes");
    drop(writer);
    compressed.len()
}

/// What the codec makes of one corpus.
struct Figures {
    name: &'static str,
    /// Bytes by part.
    parts: Vec<(&'static str, f64)>,
    /// Bytes of the transactions as they are, EIP-2718.
    plain: usize,
    encoding: Duration,
    decoding: Duration,
}

pub(crate) fn run() -> eyre::Result<()> {
    table(
        &format!("Batch bytes a transaction, {BLOCKS} blocks of {TRANSACTIONS_PER_BLOCK} transactions. Target: 0.9."),
        &["corpus", "transactions", "Oceanid", "OP span batch, brotli 10", "Oceanid / OP", "least possible", "least / OP"],
    );
    let mut all = Vec::new();
    for (name, kind) in
        [("transfers", Kind::Transfers), ("ERC-20 transfers", Kind::Tokens), ("swaps", Kind::Swaps), ("mixed", Kind::Mixed)]
    {
        let mut corpus = Corpus::new(7);
        let batch = Batch { blocks: corpus.blocks(kind) };
        let transactions = BLOCKS * TRANSACTIONS_PER_BLOCK;
        let encoded = batch.encode(CHAIN_ID)?;
        eyre::ensure!(Batch::decode(CHAIN_ID, &encoded)? == batch, "the codec is not lossless");
        let [ours, op, least] = [encoded.len() as f64, op_bytes(&batch.blocks) as f64, corpus.bits / 8.0];
        let each = |bytes: f64| format!("{:.1}", bytes / transactions as f64);
        let ratio = |bytes: f64| format!("{:.3}", bytes / op);
        row(&[name.into(), count(transactions), each(ours), each(op), ratio(ours), each(least), ratio(least)]);
        all.push(Figures {
            name,
            parts: batch.parts(CHAIN_ID)?,
            plain: batch.blocks.iter().flat_map(|block| &block.transactions).map(|tx| tx.encode_2718_len()).sum(),
            encoding: median(&std::array::from_fn::<_, RUNS, _>(|_| measure(|| batch.encode(CHAIN_ID)).1)).cpu,
            decoding: median(&std::array::from_fn::<_, RUNS, _>(|_| measure(|| Batch::decode(CHAIN_ID, &encoded)).1)).cpu,
        });
    }

    let names: Vec<&str> = std::iter::once("part").chain(all.iter().map(|corpus| corpus.name)).collect();
    table("What they are spent on, bytes a transaction.", &names);
    for (index, (part, _)) in all[0].parts.iter().enumerate() {
        let bytes = all.iter().map(|corpus| corpus.parts[index].1 / (BLOCKS * TRANSACTIONS_PER_BLOCK) as f64);
        row(&std::iter::once((*part).into()).chain(bytes.map(|bytes| format!("{bytes:.2}"))).collect::<Vec<_>>());
    }

    table("Speed on one core, MB of transactions (EIP-2718) a second of CPU.", &["corpus", "MB", "encode", "decode"]);
    for Figures { name, plain, encoding, decoding, .. } in all {
        let megabytes = plain as f64 / 1e6;
        let speed = |time: Duration| format!("{:.0}", megabytes / time.as_secs_f64());
        row(&[name.into(), format!("{megabytes:.2}"), speed(encoding), speed(decoding)]);
    }
    Ok(())
}
