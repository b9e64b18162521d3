//! What can go wrong between this node and L1. Each text says what to do where the reader can do something, and none holds more of
//! an endpoint's URL than scheme, host and port: the rest may be a key, and these texts reach everyone who asks for the node's status.

use crate::revert::describe;
use alloy_primitives::{Address, B256, Bytes};
use oceanid_contracts::endpoint::Endpoint;
use oceanid_primitives::L1Origin;

/// A failure of, or a lie by, the L1 endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum L1Error {
    /// Not an http URL.
    #[error("L1 endpoint `{0}` is not an http(s) URL")]
    Url(Endpoint),
    /// No answer.
    #[error("L1 {endpoint} does not answer `{method}`: {message}")]
    Rpc {
        /// Which one.
        endpoint: Endpoint,
        /// JSON-RPC method or beacon path.
        method: &'static str,
        /// The transport's or the server's words.
        message: String,
    },
    /// An error instead of an answer, without a contract's reason.
    #[error("L1 {endpoint} refuses `{method}`: {message}")]
    Refused {
        /// Which one.
        endpoint: Endpoint,
        /// JSON-RPC method.
        method: &'static str,
        /// The server's words.
        message: String,
    },
    /// A call that no transaction has room for.
    #[error("L1 estimates {estimate} gas for the call; a transaction takes {limit} at most (EIP-7825)")]
    TooMuchGas {
        /// `eth_estimateGas`.
        estimate: u64,
        /// Most gas of a transaction.
        limit: u64,
    },
    /// A contract refused a call.
    #[error("L1 reverted `{method}`: {}", describe(.data))]
    Reverted {
        /// JSON-RPC method.
        method: &'static str,
        /// What the contract gave as its reason.
        data: Bytes,
    },
    /// Another chain.
    #[error("L1 {endpoint} has chain id {found}, the chain spec says {expected}; point the node at the right L1")]
    ChainId {
        /// Which one.
        endpoint: Endpoint,
        /// `eth_chainId`.
        found: u64,
        /// `l1ChainId`.
        expected: u64,
    },
    /// Nothing is deployed where the spec says.
    #[error("L1 has no contract at {name} {address}: the chain spec belongs to another L1, or the L1 was reset")]
    NoContract {
        /// Field of the spec.
        name: &'static str,
        /// Where.
        address: Address,
    },
    /// No BLS12-381 precompiles.
    #[error("L1 has no EIP-2537 precompiles (Prague); certificates cannot be verified there: use an L1 with Prague rules")]
    NoBls,
    /// The node's starting point is not on this L1.
    #[error(
        "L1 has no block {} with hash {}: the L1 was reset, or it reorganised deeper than `timing.originDepth`; \
         no node can go on from here without a new data directory",
        .0.number, .0.hash
    )]
    Anchor(L1Origin),
    /// The endpoint contradicts itself; it is asked again.
    #[error("L1 {endpoint} gave an inconsistent answer: {what}")]
    Inconsistent {
        /// Which one.
        endpoint: Endpoint,
        /// In what.
        what: String,
    },
    /// No beacon endpoint is configured and a blob is needed.
    #[error("batch {index} is in blobs and no beacon endpoint is configured; set `l1.beacon`")]
    NoBeacon {
        /// Batch index.
        index: u64,
    },
    /// The beacon node no longer has, or never had, the blobs.
    #[error("beacon {endpoint} has not all blobs of transaction {transaction}; use a beacon node that keeps blobs this old")]
    BlobsMissing {
        /// Which one.
        endpoint: Endpoint,
        /// Transaction with the blobs.
        transaction: B256,
    },
    /// The key that posts cannot sign.
    #[error("cannot sign an L1 transaction: {0}")]
    Signer(String),
}
