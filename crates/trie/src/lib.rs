//! Incremental Merkle-Patricia trie for Ethereum state: one code over a store's nodes and over a witness.
//!
//! The trie holds no state of its own. A [`NodeReader`] answers "which node is at this path, with this hash?"; every
//! function here is a pure function of the reader's answers and its arguments, so the node's store, an in-memory map and
//! the witness inside a RISC-V guest give the same root bit for bit.
//!
//! # The tries
//!
//! * The **account trie** (`owner = None`) maps `keccak256(address)` to `rlp([nonce, balance, storage_root, code_hash])`.
//! * A **storage trie** (`owner = Some(keccak256(address))`) maps `keccak256(slot)` to `rlp(value)`; zero is absence.
//!
//! Every key is 32 bytes, so a branch never holds a value. Rules: Ethereum Yellow Paper, appendix D.
//!
//! # How a block is applied
//!
//! [`update_state_root`] walks the account trie once, from the root, with all changed keys in order:
//!
//! 1. A node is read only if a changed key passes through it, and its hash is checked before a byte is used.
//! 2. A branch hands each child the run of keys that belong to it. Where a key leaves a leaf's or an extension's path, the
//!    node is treated as a branch that was always there; an insertion, a deletion and a split are then one case.
//! 3. At an account's leaf its storage trie is updated in the same way, and its new root goes into the leaf.
//! 4. On the way back a branch with one child left merges with it. That child is the sibling nobody changed, so it is the
//!    only node read that lies off the changed paths.
//! 5. Nodes that differ are encoded once, hashed, and listed in [`TrieUpdates`]; nodes that end equal are not.
//!
//! # Example
//!
//! ```
//! use alloy_primitives::{B256, U256, keccak256};
//! use oceanid_trie::{HashedAccount, HashedState, MemoryNodes, get_account, state_root_from_scratch, update_state_root};
//!
//! let alice = keccak256([0xaa; 20]);
//! let mut genesis = HashedState::default();
//! genesis.accounts.insert(alice, Some(HashedAccount { balance: U256::from(7), ..Default::default() }));
//!
//! let (root, updates, _) = state_root_from_scratch(&genesis).expect("a genesis is consistent");
//! let mut store = MemoryNodes::default();
//! store.apply(&updates);
//!
//! let mut block = HashedState::default();
//! block.accounts.insert(alice, Some(HashedAccount { nonce: 1, balance: U256::from(5), ..Default::default() }));
//! let (root, updates, _) = update_state_root(&store, root, &block).expect("the store is complete");
//! store.apply(&updates);
//!
//! let account = get_account(&store, root, alice).expect("the store is complete").expect("alice exists");
//! assert_eq!(account.balance, U256::from(5));
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod error;
mod node;
mod proof;
mod reader;
mod state;
mod update;

pub use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, Nibbles, TrieAccount};
pub use error::{NodeFault, TrieError};
pub use proof::{AccountProof, StorageProof, account_proof, get_account, get_storage, storage_proof};
pub use reader::{MemoryNodes, NodeReader, Recorder, WitnessNodes};
pub use state::{
    HashedAccount, HashedState, HashedStorage, NodeUpdate, StoredNode, TrieUpdates, state_root_from_scratch, storage_root_update,
    update_state_root,
};
