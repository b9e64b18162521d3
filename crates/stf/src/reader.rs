//! What the state transition function asks of a state.

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use core::fmt::{Debug, Display};

/// An account without its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountState {
    /// Transactions sent, or contracts created.
    pub nonce: u64,
    /// Wei of the gas token.
    pub balance: U256,
    /// keccak256 of the code; [`KECCAK256_EMPTY`] without code.
    pub code_hash: B256,
}

impl AccountState {
    /// True when EIP-161 counts the account as empty: no nonce, no balance, no code.
    pub fn is_empty(&self) -> bool {
        self.nonce == 0 && self.balance.is_zero() && self.code_hash == KECCAK256_EMPTY
    }
}

/// An account that holds nothing.
impl Default for AccountState {
    fn default() -> Self {
        Self { nonce: 0, balance: U256::ZERO, code_hash: KECCAK256_EMPTY }
    }
}

/// One consistent state, read only. What does not exist reads as `None` or zero, never as an error: an error means that the
/// reader could not answer, and ends the block.
pub trait StateReader {
    /// The reader's own failure, such as an I/O error or an incomplete witness.
    type Error: Debug + Display + Send + Sync + 'static;

    /// The account, or `None` if it does not exist.
    fn account(&self, address: Address) -> Result<Option<AccountState>, Self::Error>;

    /// The value of a storage slot; zero if it was never written.
    fn storage(&self, address: Address, slot: U256) -> Result<U256, Self::Error>;

    /// The code with this hash. Only asked for hashes that [`StateReader::account`] returned.
    fn code(&self, hash: B256) -> Result<Bytes, Self::Error>;

    /// The hash of an ancestor. Asked only for the 256 blocks before the executed one (`BLOCKHASH`).
    fn block_hash(&self, number: u64) -> Result<B256, Self::Error>;
}

impl<R: StateReader + ?Sized> StateReader for &R {
    type Error = R::Error;

    fn account(&self, address: Address) -> Result<Option<AccountState>, Self::Error> {
        (**self).account(address)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        (**self).storage(address, slot)
    }

    fn code(&self, hash: B256) -> Result<Bytes, Self::Error> {
        (**self).code(hash)
    }

    fn block_hash(&self, number: u64) -> Result<B256, Self::Error> {
        (**self).block_hash(number)
    }
}
