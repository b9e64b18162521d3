//! Times the state root of a 7,000-transaction block: 5,000 transfers and 2,000 ERC-20 transfers among 10,000 accounts.
//!
//! ```text
//! cargo run --release -p oceanid-trie --example root_of_a_block [accounts]
//! ```
//!
//! Prints one line: accounts, changed accounts and slots, nodes written, and the fastest and the median of the runs in ms.
#![expect(clippy::print_stdout, reason = "the line is the result")]

use alloy_primitives::{B256, Bytes, U256, keccak256, map::HashMap};
use oceanid_trie::{HashedAccount, HashedState, Nibbles, NodeReader, TrieUpdates, state_root_from_scratch, update_state_root};
use std::{convert::Infallible, env, time::Instant};

/// Runs measured; the fastest is the least disturbed one.
const RUNS: usize = 20;
/// Native transfers in the block; one in ten goes to a new account.
const TRANSFERS: u64 = 5_000;
/// Token transfers in the block; one in five goes to a new holder.
const TOKEN_TRANSFERS: u64 = 2_000;
/// Accounts if none are asked for.
const DEFAULT_ACCOUNTS: u64 = 10_000;

/// Nodes in a hash map, as a store's cache holds them.
#[derive(Default)]
struct Cache(HashMap<(Option<B256>, Nibbles), Bytes>);

impl Cache {
    fn apply(&mut self, updates: &TrieUpdates) {
        for update in &updates.nodes {
            match &update.node {
                Some(node) => self.0.insert((update.owner, update.path), node.rlp.clone()),
                None => self.0.remove(&(update.owner, update.path)),
            };
        }
    }
}

impl NodeReader for Cache {
    type Error = Infallible;

    fn node(&self, owner: Option<B256>, path: &Nibbles, _hash: B256) -> Result<Option<Bytes>, Infallible> {
        Ok(self.0.get(&(owner, *path)).cloned())
    }
}

fn address(index: u64) -> B256 {
    keccak256(index.to_be_bytes())
}

fn slot(index: u64) -> B256 {
    keccak256(address(index))
}

/// A pseudo-random number below `bound`, the same in every run.
fn pick(seed: u64, bound: u64) -> u64 {
    let hash = keccak256([b"pick".as_slice(), &seed.to_be_bytes()].concat());
    U256::from_be_bytes(hash.0).wrapping_rem(U256::from(bound)).to()
}

fn account(nonce: u64, balance: u64) -> Option<HashedAccount> {
    Some(HashedAccount { nonce, balance: U256::from(balance) * U256::from(10u64.pow(15)), ..Default::default() })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let accounts = match env::args().nth(1) {
        Some(count) => count.parse()?,
        None => DEFAULT_ACCOUNTS,
    };
    let token = keccak256(b"token");

    let mut genesis = HashedState::default();
    genesis.accounts.insert(token, account(1, 0));
    for index in 0..accounts {
        genesis.accounts.insert(address(index), account(0, 1_000_000));
        genesis.storages.entry(token).or_default().slots.insert(slot(index), U256::from(1_000_000_000u64 + index));
    }
    let (root, updates, _) = state_root_from_scratch(&genesis)?;
    let mut cache = Cache::default();
    cache.apply(&updates);

    let mut block = HashedState::default();
    for transfer in 0..TRANSFERS {
        let to = if transfer % 10 == 0 { accounts + transfer } else { pick(transfer, accounts) };
        block.accounts.insert(address(to), account(0, 1_000_001));
    }
    for transfer in 0..TOKEN_TRANSFERS {
        let from = TRANSFERS + transfer;
        let to = if transfer % 5 == 0 { accounts + transfer } else { pick(from, accounts) };
        let slots = &mut block.storages.entry(token).or_default().slots;
        slots.insert(slot(from), U256::from(999_999_000u64 + from));
        slots.insert(slot(to), U256::from(1_000_001_000u64 + to));
    }
    for sender in 0..TRANSFERS + TOKEN_TRANSFERS {
        block.accounts.insert(address(sender), account(1, 999_999));
    }

    let mut times = Vec::with_capacity(RUNS);
    let mut written = 0;
    for _ in 0..RUNS {
        let start = Instant::now();
        let (_, updates, _) = update_state_root(&cache, root, &block)?;
        times.push(start.elapsed());
        written = updates.nodes.len();
    }
    times.sort();
    println!(
        "accounts {accounts}, changed accounts {} slots {}, nodes written {written}, min {:.1} ms, median {:.1} ms",
        block.accounts.len(),
        block.storages[&token].slots.len(),
        times[0].as_secs_f64() * 1e3,
        times[RUNS / 2].as_secs_f64() * 1e3,
    );
    Ok(())
}
