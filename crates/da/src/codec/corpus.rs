//! Transactions as a chain sees them, for tests, from a fixed seed: transfers, ERC-20 transfers, swaps, a mix, and a worst case.
//!
//! What is random in life is random here (signatures, most recipients, amounts with all digits); what repeats in life repeats
//! here (popular tokens and recipients by Zipf's law, wallets' gas limits, fees that follow the base fee of the moment, round
//! amounts, a few accounts that send much). The worst case has nothing that repeats but the shape.

use crate::{Batch, BatchBlock};
use alloy_consensus::{Signed, TxEip1559, TxLegacy};
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, keccak256};
use oceanid_primitives::TxEnvelope;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;

/// Chain id of the corpora.
pub(super) const CHAIN_ID: u64 = 1_088;
/// Blocks in a batch and transactions in a block.
const BLOCKS: u64 = 120;
const TRANSACTIONS: usize = 25;
/// Accounts that send; how much each sends follows Zipf's law.
const SENDERS: usize = 2_000;
/// Accounts that receive.
const RECIPIENTS: usize = 10_000;
const TOKENS: usize = 40;
const GWEI: u128 = 1_000_000_000;

/// One kind of traffic.
#[derive(Clone, Copy, Debug)]
pub(super) enum Corpus {
    /// Native transfers.
    Transfers,
    /// `transfer(address,uint256)`.
    Erc20,
    /// `swapExactTokensForTokens` of Uniswap v2, and approvals before them.
    Swaps,
    /// A third of each.
    Mix,
    /// Fresh recipients, amounts, nonces, gas limits and fees in every transaction.
    Worst,
}

impl Corpus {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [Self::Transfers, Self::Erc20, Self::Swaps, Self::Mix, Self::Worst];

    /// The batch.
    pub(super) fn batch(self) -> Batch {
        let mut world = World::new(self);
        let mut blocks = Vec::new();
        let (mut timestamp, mut origin, mut view) = (1_790_000_000, 21_000_000, 70_000);
        for _ in 0..BLOCKS {
            let parent_view = view;
            timestamp += world.random.random_range(0..2);
            origin += u64::from(world.random.random_bool(0.05));
            view += 1 + u64::from(world.random.random_bool(0.02));
            world.next_block(timestamp);
            let transactions = (0..TRANSACTIONS).map(|_| world.transaction()).collect();
            blocks.push(BatchBlock {
                timestamp,
                origin,
                view,
                parent_view,
                leader: world.random.random_range(0..4),
                transactions,
            });
        }
        Batch { blocks }
    }
}

struct World {
    corpus: Corpus,
    random: StdRng,
    nonces: HashMap<usize, u64>,
    base_fee: u128,
    timestamp: u64,
}

impl World {
    fn new(corpus: Corpus) -> Self {
        Self { corpus, random: StdRng::seed_from_u64(1_088), nonces: HashMap::new(), base_fee: 3 * GWEI / 100, timestamp: 0 }
    }

    fn next_block(&mut self, timestamp: u64) {
        // EIP-1559 moves by at most an eighth a block.
        let eighth = self.base_fee / 8;
        self.base_fee = self.base_fee - eighth + self.random.random_range(0..=2 * eighth);
        self.timestamp = timestamp;
    }

    /// An index below `count`, by Zipf's law with exponent 1.
    fn zipf(&mut self, count: usize) -> usize {
        let uniform: f64 = self.random.random();
        ((count as f64).powf(uniform) as usize).saturating_sub(1).min(count - 1)
    }

    fn account(kind: &str, index: usize) -> Address {
        Address::from_slice(&keccak256(format!("{kind} {index}"))[12..])
    }

    fn recipient(&mut self) -> Address {
        // Half go to anybody, half to exchanges, shops and contracts everybody sends to.
        let index = if self.random.random_bool(0.5) { self.random.random_range(0..RECIPIENTS) } else { self.zipf(RECIPIENTS) };
        Self::account("account", index)
    }

    /// Two thirds of people's amounts have few digits; the rest, and computed ones, have all.
    fn amount(&mut self, decimals: u32) -> U256 {
        let unit = U256::from(10).pow(U256::from(decimals));
        if self.random.random_bool(0.67) {
            let digits = U256::from(self.random.random_range(1..1_000u32));
            let shift = self.random.random_range(0..4u32).min(decimals);
            digits * unit / U256::from(10).pow(U256::from(shift))
        } else {
            self.computed(unit)
        }
    }

    fn computed(&mut self, unit: U256) -> U256 {
        let whole: u64 = self.random.random();
        U256::from(whole) * unit / U256::from(u64::MAX / 500) + U256::from(1)
    }

    fn transaction(&mut self) -> TxEnvelope {
        let kind = match self.corpus {
            Corpus::Mix => self.random.random_range(0..3),
            Corpus::Transfers => 0,
            Corpus::Erc20 => 1,
            Corpus::Swaps => 2,
            Corpus::Worst => return self.worst(),
        };
        let sender = self.zipf(SENDERS);
        match kind {
            0 => {
                let (to, value) = (self.recipient(), self.amount(18));
                self.sign(sender, to, value, Bytes::new(), 21_000)
            }
            1 => {
                let token = self.zipf(TOKENS);
                let decimals = if token < 8 { 6 } else { 18 };
                let (to, amount) = (self.recipient(), self.amount(decimals));
                let input = call("transfer(address,uint256)", &[to.into_word().into(), amount]);
                // Wallets add a margin to an estimate that depends on the token and on whether the recipient is new.
                let gas = 46_000 + 397 * token as u64 + if self.random.random_bool(0.3) { 17_100 } else { 0 };
                self.sign(sender, Self::account("token", token), U256::ZERO, input, gas)
            }
            _ => self.swap(sender),
        }
    }

    fn swap(&mut self, sender: usize) -> TxEnvelope {
        let router = Self::account("router", self.random.random_range(0..2));
        let (sold, bought) = (self.zipf(TOKENS), self.zipf(TOKENS));
        if self.random.random_bool(0.15) {
            let input = call("approve(address,uint256)", &[router.into_word().into(), U256::MAX]);
            return self.sign(sender, Self::account("token", sold), U256::ZERO, input, 46_400 + 30 * sold as u64);
        }
        let decimals = if sold < 8 { 6 } else { 18 };
        let amount = self.amount(decimals);
        let least = self.computed(U256::from(10).pow(U256::from(18)));
        let deadline = self.timestamp + 1_200 - self.random.random_range(0..15);
        let path = [Self::account("token", sold).into_word().into(), Self::account("token", bought).into_word().into()];
        let words = [
            amount,
            least,
            U256::from(0xa0),
            Self::account("sender", sender).into_word().into(),
            U256::from(deadline),
            U256::from(2),
            path[0],
            path[1],
        ];
        let input = call("swapExactTokensForTokens(uint256,uint256,address[],address,uint256)", &words);
        let gas = 120_000 + self.random.random_range(0..40_000);
        self.sign(sender, router, U256::ZERO, input, gas)
    }

    fn sign(&mut self, sender: usize, to: Address, value: U256, input: Bytes, gas_limit: u64) -> TxEnvelope {
        let start = self.random.random_range(0..400);
        let nonce = self.nonces.entry(sender).and_modify(|nonce| *nonce += 1).or_insert(start);
        let nonce = *nonce;
        let to = TxKind::Call(to);
        let signature = self.signature();
        // One in ten comes from an old tool that knows gas prices only.
        if self.random.random_bool(0.1) {
            let gas_price = self.base_fee * 12 / 10;
            let tx = TxLegacy { chain_id: Some(CHAIN_ID), nonce, gas_price, gas_limit, to, value, input };
            return TxEnvelope::Legacy(Signed::new_unhashed(tx, signature));
        }
        let tip = [GWEI / 1_000, GWEI / 100, GWEI / 10, GWEI, 3 * GWEI / 2][self.zipf(5)];
        let tx = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit,
            max_fee_per_gas: 2 * self.base_fee + tip,
            max_priority_fee_per_gas: tip,
            to,
            value,
            access_list: Default::default(),
            input,
        };
        TxEnvelope::Eip1559(Signed::new_unhashed(tx, signature))
    }

    fn worst(&mut self) -> TxEnvelope {
        let max_fee_per_gas = self.random.random_range(GWEI..100 * GWEI);
        let signature = self.signature();
        let tx = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce: self.random.random_range(0..100_000),
            gas_limit: self.random.random_range(21_000..200_000),
            max_fee_per_gas,
            max_priority_fee_per_gas: self.random.random_range(1..GWEI),
            to: TxKind::Call(Address::from(self.random.random::<[u8; 20]>())),
            value: U256::from(self.random.random::<u64>()),
            access_list: Default::default(),
            input: Bytes::new(),
        };
        TxEnvelope::Eip1559(Signed::new_unhashed(tx, signature))
    }

    /// Random bytes: what a signature is to a compressor.
    fn signature(&mut self) -> Signature {
        let (r, mut s) = (self.random.random::<[u8; 32]>(), self.random.random::<[u8; 32]>());
        s[0] &= 0x7f;
        Signature::new(U256::from_be_bytes(r), U256::from_be_bytes(s), self.random.random())
    }
}

fn call(signature: &str, words: &[U256]) -> Bytes {
    let mut input = keccak256(signature)[..4].to_vec();
    words.iter().for_each(|word| input.extend_from_slice(&word.to_be_bytes::<32>()));
    input.into()
}
