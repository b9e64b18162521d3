//! Why a transaction is not in a block.

use alloy_primitives::U256;
use core::fmt::{Debug, Display};
use revm::context_interface::result::InvalidTransaction;

/// A transaction that no block may hold in this state. The state is untouched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTx {
    /// One of Ethereum's rules: nonce, balance, gas, fee cap, chain id and the like.
    #[error("{0}")]
    Evm(InvalidTransaction),
    /// The balance covers gas and value but not the L1 data fee as well.
    #[error(
        "insufficient funds: value and gas cost up to {cost} wei and the L1 data fee {l1_fee} wei, the balance is {balance} wei"
    )]
    L1Fee {
        /// Value and gas at the fee cap, wei.
        cost: U256,
        /// L1 data fee, wei.
        l1_fee: u128,
        /// The sender's balance, wei.
        balance: U256,
    },
    /// EIP-4844 on Layer 2.
    #[error("blob transactions (type 3) are not accepted on Layer 2: send the data as calldata, or to L1")]
    Blob,
    /// A deposit on Ethereum.
    #[error("deposit transactions (type 0x7e) exist on Layer 2 only")]
    Deposit,
}

impl From<InvalidTransaction> for InvalidTx {
    fn from(reason: InvalidTransaction) -> Self {
        Self::Evm(reason)
    }
}

/// Why [`crate::BlockExecutor::execute`] did not execute. After [`TxError::Invalid`], [`TxError::GasLimit`] and
/// [`TxError::BlobLimit`] the executor is as before the call; after the others it must be dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxError<E: Debug + Display> {
    /// The transaction breaks a rule: a builder skips it, a validator refuses the block.
    #[error("invalid transaction: {0}")]
    Invalid(InvalidTx),
    /// Valid perhaps, but its gas limit does not fit in what is left of the block.
    #[error("gas limit {limit} does not fit in the {left} gas left in the block")]
    GasLimit {
        /// The transaction's gas limit.
        limit: u64,
        /// Gas left in the block.
        left: u64,
    },
    /// Its blobs do not fit in what is left of the block.
    #[error("{blobs} blobs do not fit: {left} left in the block")]
    BlobLimit {
        /// The transaction's blobs.
        blobs: u64,
        /// Blobs left in the block.
        left: u64,
    },
    /// The state could not be read.
    #[error("reading the state: {0}")]
    State(E),
    /// A system call of the block's start did not succeed: the contract there is not the one genesis or its EIP puts there.
    #[error("system call to {0} failed")]
    SystemCall(alloy_primitives::Address),
    /// The EVM gave up for a reason that is neither the transaction's nor the state's.
    #[error("execution failed: {0}")]
    Fatal(alloc::string::String),
}
