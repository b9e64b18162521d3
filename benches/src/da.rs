//! `da`: bytes of batch data a transaction, beside OP span batches with brotli 10, on one corpus.
//!
//! The corpus is synthetic and seeded: senders and receivers follow a power law (a few accounts make most of the traffic), values
//! and fees look like people's, signatures are random because no codec can shorten them. Both encoders get the same signed
//! transactions in the same blocks.

use crate::report::{count, row, table};
use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use kona_protocol::{SingleBatch, SpanBatch};
use oceanid_da::{Batch, BatchBlock};
use oceanid_primitives::TxEnvelope;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::HashMap;
use std::io::Write;

const CHAIN_ID: u64 = 1_088_001;
const GENESIS_TIMESTAMP: u64 = 1_700_000_000;
const BLOCKS: usize = 300;
const TRANSACTIONS_PER_BLOCK: usize = 20;
const ACCOUNTS: usize = 5_000;
const TOKENS: usize = 30;
/// Brotli quality and window OP's batcher uses.
const BROTLI_QUALITY: u32 = 10;
const BROTLI_WINDOW: u32 = 22;

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
}

impl Corpus {
    fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), base_fee: 1_000_000_000, nonces: HashMap::new() }
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
            let digits: u64 = self.random.random_range(1..1_000);
            U256::from(digits) * U256::from(10).pow(U256::from(self.random.random_range(14..18)))
        } else {
            U256::from(self.random.random_range(1u128..10u128.pow(20)))
        }
    }

    fn transaction(&mut self, kind: Kind) -> TxEnvelope {
        let (to, value, input, gas_limit) = match kind {
            Kind::Mixed => {
                let kind = match self.random.random_range(0..10) {
                    0..4 => Kind::Transfers,
                    4..8 => Kind::Tokens,
                    _ => Kind::Swaps,
                };
                return self.transaction(kind);
            }
            Kind::Transfers => {
                let to = self.popular(ACCOUNTS);
                (Self::account(to), self.amount(), Bytes::new(), 21_000)
            }
            Kind::Tokens => {
                let token = Self::account(1_000_000 + self.popular(TOKENS));
                let mut input = keccak256("transfer(address,uint256)")[..4].to_vec();
                let to = self.popular(ACCOUNTS);
                input.extend_from_slice(Self::account(to).into_word().as_slice());
                input.extend_from_slice(&self.amount().to_be_bytes::<32>());
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
                let receiver = self.popular(ACCOUNTS);
                input.extend_from_slice(Self::account(receiver).into_word().as_slice());
                let deadline = GENESIS_TIMESTAMP + self.random.random_range(600u64..4_000);
                for word in [U256::from(deadline), U256::from(2)] {
                    input.extend_from_slice(&word.to_be_bytes::<32>());
                }
                for _ in 0..2 {
                    let token = self.popular(TOKENS);
                    input.extend_from_slice(Self::account(1_000_000 + token).into_word().as_slice());
                }
                (router, U256::ZERO, input.into(), self.random.random_range(110_000..190_000))
            }
        };
        let sender = self.popular(ACCOUNTS);
        let start = self.random.random_range(0..400);
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
                self.base_fee = self.base_fee + self.random.random_range(0..=2 * step) - step;
                self.block(kind, number)
            })
            .collect()
    }

    fn block(&mut self, kind: Kind, number: usize) -> BatchBlock {
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

pub(crate) fn run() -> eyre::Result<()> {
    table(
        &format!("Batch bytes a transaction, {BLOCKS} blocks of {TRANSACTIONS_PER_BLOCK} transactions. Target: 0.9."),
        &["corpus", "transactions", "Oceanid", "OP span batch, brotli 10", "Oceanid / OP"],
    );
    for (name, kind) in
        [("transfers", Kind::Transfers), ("ERC-20 transfers", Kind::Tokens), ("swaps", Kind::Swaps), ("mixed", Kind::Mixed)]
    {
        let blocks = Corpus::new(7).blocks(kind);
        let transactions = BLOCKS * TRANSACTIONS_PER_BLOCK;
        let batch = Batch { blocks };
        let encoded = batch.encode(CHAIN_ID)?;
        eyre::ensure!(Batch::decode(CHAIN_ID, &encoded)? == batch, "the codec is not lossless");
        let ours = encoded.len() as f64 / transactions as f64;
        let op = op_bytes(&batch.blocks) as f64 / transactions as f64;
        row(&[name.into(), count(transactions), format!("{ours:.1}"), format!("{op:.1}"), format!("{:.3}", ours / op)]);
    }
    Ok(())
}
