//! Blocks to measure with: native transfers and ERC-20 transfers between funded accounts, the same for every seed.

use crate::{AccountState, BlockEnv, StateDiff, StorageDiff};
use alloc::vec::Vec;
use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use oceanid_primitives::TxEnvelope;
use oceanid_primitives::predeploys::FEE_VAULT;

/// Where the ERC-20 of a workload lives.
pub const TOKEN: Address = Address::repeat_byte(0x20);
/// Chain id of a workload.
pub const CHAIN_ID: u64 = 1_088;
/// Wei and token units every account begins with.
const FUNDS: u128 = 1_000_000 * 10u128.pow(18);

/// What a block is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Native transfers; every tenth goes to a new account.
    pub transfers: usize,
    /// ERC-20 transfers; every fifth goes to a new holder.
    pub token_transfers: usize,
}

impl Shape {
    /// The block of the published figures: 5,000 transfers and 2,000 ERC-20 transfers.
    pub const STANDARD: Self = Self { transfers: 5_000, token_transfers: 2_000 };
}

/// Addresses that belong to no key, for runs that do not sign.
pub fn accounts(count: usize) -> Vec<Address> {
    (0..count as u64).map(|index| Address::from_word(keccak256(index.to_be_bytes()))).collect()
}

/// A state in which each account holds coins and tokens. `token_code` is the runtime code of an OpenZeppelin ERC20 (balances
/// mapped at slot 0).
pub fn genesis(accounts: &[Address], token_code: Bytes) -> StateDiff {
    let mut state = StateDiff::default();
    let mut slots = StorageDiff::default();
    let funded = AccountState { balance: U256::from(FUNDS), ..AccountState::default() };
    for account in accounts {
        state.accounts.insert(*account, Some(funded));
        slots.slots.insert(balance_slot(account), U256::from(FUNDS));
    }
    let code_hash = keccak256(&token_code);
    state.accounts.insert(TOKEN, Some(AccountState { nonce: 1, code_hash, ..AccountState::default() }));
    state.codes.insert(code_hash, token_code);
    state.storage.insert(TOKEN, slots);
    state
}

fn balance_slot(account: &Address) -> U256 {
    let mut preimage = [0u8; 64];
    preimage[12..32].copy_from_slice(account.as_slice());
    U256::from_be_bytes(keccak256(preimage).0)
}

/// The environment of block `number`, with room for any [`Shape`].
pub fn env(number: u64) -> BlockEnv {
    BlockEnv {
        number,
        timestamp: 1_700_000_000 + number,
        gas_limit: 2_000_000_000,
        base_fee: 1_000_000_000,
        prevrandao: keccak256(number.to_be_bytes()),
        beneficiary: FEE_VAULT,
        parent_hash: B256::with_last_byte(number as u8),
        ..BlockEnv::default()
    }
}

/// Transactions of one block with their senders, all distinct; `nonces` (one for each account) are advanced. `sign` turns the
/// transaction of account `index` into an envelope: [`unsigned`] will do wherever nobody recovers the sender.
pub fn block(
    accounts: &[Address],
    shape: Shape,
    nonces: &mut [u64],
    seed: u64,
    mut sign: impl FnMut(usize, TxEip1559) -> TxEnvelope,
) -> Vec<(TxEnvelope, Address)> {
    let total = shape.transfers + shape.token_transfers;
    let mut random = Random(seed.wrapping_mul(2).wrapping_add(1));
    let first = random.below(accounts.len());
    (0..total.min(accounts.len()))
        .map(|index| {
            let sender = (first + index) % accounts.len();
            // Spread evenly through the block.
            let is_token = index * shape.token_transfers / total != (index + 1) * shape.token_transfers / total;
            let is_new = random.below(if is_token { 5 } else { 10 }) == 0;
            let receiver = if is_new { random.address() } else { accounts[random.below(accounts.len())] };
            let tx = TxEip1559 {
                chain_id: CHAIN_ID,
                nonce: nonces[sender],
                gas_limit: if is_token { 100_000 } else { 21_000 },
                max_fee_per_gas: 10_000_000_000,
                max_priority_fee_per_gas: 1_000_000,
                to: TxKind::Call(if is_token { TOKEN } else { receiver }),
                value: if is_token { U256::ZERO } else { U256::from(1 + random.below(1_000_000_000)) },
                access_list: Default::default(),
                input: if is_token { erc20_transfer(receiver, 1 + random.below(1_000_000)) } else { Bytes::new() },
            };
            nonces[sender] += 1;
            (sign(sender, tx), accounts[sender])
        })
        .collect()
}

/// An envelope with a signature of ones, which recovers to nobody in particular.
pub fn unsigned(_index: usize, tx: TxEip1559) -> TxEnvelope {
    TxEnvelope::Eip1559(tx.into_signed(Signature::new(U256::ONE, U256::ONE, false)))
}

fn erc20_transfer(to: Address, amount: usize) -> Bytes {
    let mut input = Vec::with_capacity(68);
    input.extend_from_slice(&[0xa9, 0x05, 0x9c, 0xbb]);
    input.extend_from_slice(to.into_word().as_slice());
    input.extend_from_slice(&U256::from(amount).to_be_bytes::<32>());
    input.into()
}

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn address(&mut self) -> Address {
        Address::from_word(keccak256(self.next().to_be_bytes()))
    }
}
