//! Why the pool refuses a transaction; each message names the field, the value and the limit.

use crate::MAX_DELEGATED;
use alloy_primitives::{Address, B256, U256};

/// A refusal: the transaction is not in the pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The bytes are not a transaction.
    #[error("transaction does not decode: {0}")]
    Decode(String),
    /// Larger than any block would take.
    #[error("oversized data: transaction of {size} bytes, limit {limit}")]
    Oversized {
        /// Encoded bytes, without a blob sidecar.
        size: usize,
        /// Limit, bytes.
        limit: usize,
    },
    /// Blob transactions belong on L1.
    #[error("transaction type 3 (EIP-4844 blob) is not accepted on this Layer 2: send calldata, or post blobs on L1")]
    BlobOnLayer2,
    /// Deposits are derived from L1, nobody sends them.
    #[error("transaction type 126 (deposit) cannot be submitted: deposits come from L1 only")]
    Deposit,
    /// Blobs do not fit the transaction or fail their proofs.
    #[error("blob sidecar: {0}")]
    Sidecar(String),
    /// The signature recovers to nobody, or its `s` is high (EIP-2).
    #[error("invalid sender: signature does not recover, or s is above half the curve order (EIP-2)")]
    Signature,
    /// Signed for another chain.
    #[error("invalid chain id for signer: have {have}, want {want}")]
    ChainId {
        /// What was signed.
        have: u64,
        /// This chain.
        want: u64,
    },
    /// Below what the transaction costs before it runs (EIP-2028, 2930, 3860, 7623, 7702).
    #[error("intrinsic gas too low: gas {gas}, minimum {minimum}")]
    IntrinsicGas {
        /// `gas` of the transaction.
        gas: u64,
        /// Least gas it needs.
        minimum: u64,
    },
    /// More gas than a block has.
    #[error("exceeds block gas limit: gas {gas}, block limit {limit}")]
    GasLimit {
        /// `gas` of the transaction.
        gas: u64,
        /// Gas limit of a block.
        limit: u64,
    },
    /// Init code over EIP-3860.
    #[error("max initcode size exceeded: code size {size}, limit {limit}")]
    InitCode {
        /// Bytes.
        size: usize,
        /// Limit, bytes.
        limit: usize,
    },
    /// An EIP-7702 transaction that authorises nothing.
    #[error("transaction type 4 (EIP-7702) must have at least one authorization")]
    NoAuthorizations,
    /// The tip is above the cap.
    #[error("max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas {tip}, maxFeePerGas {cap}")]
    TipAboveCap {
        /// `maxPriorityFeePerGas`, wei.
        tip: u128,
        /// `maxFeePerGas`, wei.
        cap: u128,
    },
    /// Could never be in a block: the base fee does not fall below its floor.
    #[error("max fee per gas less than the minimum base fee: maxFeePerGas {cap}, minimum {minimum}")]
    FeeTooLow {
        /// `maxFeePerGas`, wei.
        cap: u128,
        /// Floor, wei.
        minimum: u128,
    },
    /// Already in the pool.
    #[error("already known: {0}")]
    AlreadyKnown(B256),
    /// Used before.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// Of the transaction.
        nonce: u64,
        /// Of the account.
        next: u64,
    },
    /// Further ahead than the pool keeps.
    #[error("nonce too high: next nonce {next}, tx nonce {nonce}, at most {window} ahead")]
    NonceTooHigh {
        /// Of the transaction.
        nonce: u64,
        /// Of the account.
        next: u64,
        /// Greatest distance.
        window: u64,
    },
    /// The account is a contract (EIP-3607).
    #[error("sender not an eoa: {0} has code (EIP-3607)")]
    SenderHasCode(Address),
    /// The balance does not cover this transaction and those before it.
    #[error("insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, queued before it {queued}")]
    InsufficientFunds {
        /// Of the sender, wei.
        balance: U256,
        /// `value + gas x maxFeePerGas + blob gas x maxFeePerBlobGas + L1 data fee`, wei.
        cost: U256,
        /// Cost of the sender's pooled transactions with lower nonces, wei.
        queued: U256,
    },
    /// A replacement must raise both fees.
    #[error(
        "replacement transaction underpriced: needs maxFeePerGas {fee} and maxPriorityFeePerGas {tip}, {percent}% above the pooled one"
    )]
    ReplacementUnderpriced {
        /// Least `maxFeePerGas`, wei.
        fee: u128,
        /// Least `maxPriorityFeePerGas`, wei.
        tip: u128,
        /// Required raise.
        percent: u128,
    },
    /// Too many from one sender.
    #[error("sender {sender} has reached its limit of {limit} {unit} in the pool")]
    SenderLimit {
        /// Who.
        sender: Address,
        /// The limit.
        limit: usize,
        /// `transactions` or `bytes`.
        unit: &'static str,
    },
    /// More than one of a sender whose code is delegated, or is about to be, or one behind a gap.
    #[error(
        "in-flight transaction limit reached for delegated accounts: {sender} may have {MAX_DELEGATED} in the pool, with its next nonce {next} (EIP-7702)"
    )]
    DelegatedLimit {
        /// Who.
        sender: Address,
        /// Nonce of the account.
        next: u64,
    },
    /// An authority has more in the pool than it may once it delegates.
    #[error(
        "authority already reserved: {authority} has {count} transactions in the pool, may have {MAX_DELEGATED} when its code is delegated (EIP-7702)"
    )]
    AuthorityReserved {
        /// Whose code the transaction would set.
        authority: Address,
        /// Its transactions in the pool.
        count: usize,
    },
    /// The pool is full of better ones.
    #[error(
        "transaction pool is full ({transactions} transactions, {bytes} bytes): maxFeePerGas {cap} is too low to displace another"
    )]
    Full {
        /// Limit, transactions.
        transactions: usize,
        /// Limit, bytes.
        bytes: usize,
        /// `maxFeePerGas` offered, wei.
        cap: u128,
    },
    /// The state could not be read.
    #[error("state cannot be read: {0}")]
    State(String),
}
