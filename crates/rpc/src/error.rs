//! Errors as callers see them: the codes of JSON-RPC 2.0 and of Ethereum clients, and messages that name the field and the limit.

use alloy_primitives::{Bytes, hex};
use jsonrpsee::types::ErrorObjectOwned;
use oceanid_pool::PoolError;
use oceanid_stf::revm::context::result::InvalidTransaction;
use oceanid_stf::{InvalidTx, TxError};
use oceanid_store::StoreError;
use serde_json::value::RawValue;

/// Result of a method.
pub(crate) type RpcResult<T> = Result<T, RpcError>;

/// A JSON-RPC error.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcError {
    /// JSON-RPC code.
    pub code: i32,
    /// For people.
    pub message: String,
    /// For programs: revert data, or a transaction hash.
    pub data: Option<String>,
}

/// Most bytes of a revert reason that go into the message; the data always has all of it.
const MAX_REASON_BYTES: usize = 1_024;

impl RpcError {
    /// JSON-RPC: no such method, or not here.
    pub const NO_METHOD: i32 = -32601;
    /// JSON-RPC: invalid parameters.
    pub const INVALID_PARAMS: i32 = -32602;
    /// JSON-RPC: internal error.
    pub const INTERNAL: i32 = -32603;
    /// Ethereum clients: the request cannot be served.
    pub const SERVER: i32 = -32000;
    /// EIP-1474: the thing asked for does not exist.
    pub const NOT_FOUND: i32 = -32001;
    /// EIP-1474: a limit was exceeded.
    pub const LIMIT: i32 = -32005;
    /// geth: execution reverted.
    pub const REVERTED: i32 = 3;
    /// EIP-7966: the transaction is accepted but not in a block in time.
    pub const SYNC_TIMEOUT: i32 = 4;

    pub(crate) fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// A parameter is wrong; `name` is its name in docs/rpc.md.
    pub(crate) fn invalid(name: &str, reason: impl core::fmt::Display) -> Self {
        Self::new(Self::INVALID_PARAMS, format!("invalid argument `{name}`: {reason}"))
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new(Self::LIMIT, message)
    }

    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self::new(Self::SERVER, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Self::NOT_FOUND, message)
    }

    pub(crate) fn internal(message: impl core::fmt::Display) -> Self {
        Self::new(Self::INTERNAL, format!("internal error: {message}"))
    }

    /// As geth: code 3, the decoded `Error(string)` or `Panic(uint256)` in the message, the raw output as data.
    pub(crate) fn reverted(output: &Bytes) -> Self {
        let message = match revert_reason(output) {
            Some(reason) => format!("execution reverted: {reason}"),
            None => "execution reverted".into(),
        };
        Self { code: Self::REVERTED, message, data: Some(hex::encode_prefixed(output)) }
    }
}

/// Decodes `Error(string)` (0x08c379a0) and `Panic(uint256)` (0x4e487b71) of the Solidity ABI.
fn revert_reason(output: &[u8]) -> Option<String> {
    let (selector, body) = output.split_first_chunk::<4>()?;
    match *selector {
        [0x08, 0xc3, 0x79, 0xa0] => {
            let offset = small(body.get(..32)?)?;
            let length = small(body.get(offset..)?.get(..32)?)?;
            let text = body.get(offset..)?.get(32..)?.get(..length)?;
            Some(String::from_utf8_lossy(&text[..text.len().min(MAX_REASON_BYTES)]).into_owned())
        }
        [0x4e, 0x48, 0x7b, 0x71] => Some(format!("panic: {} (0x{:02x})", panic_reason(body.get(31).copied()?), body[31])),
        _ => None,
    }
}

/// A 32-byte word that must fit a usize (and no input is that long).
fn small(word: &[u8]) -> Option<usize> {
    let (zeros, value) = word.split_at(28);
    if zeros.iter().any(|byte| *byte != 0) {
        return None;
    }
    Some(u32::from_be_bytes(value.try_into().ok()?) as usize)
}

/// Solidity's panic codes.
const fn panic_reason(code: u8) -> &'static str {
    match code {
        0x00 => "generic panic",
        0x01 => "assert(false)",
        0x11 => "arithmetic underflow or overflow",
        0x12 => "division or modulo by zero",
        0x21 => "enum overflow",
        0x22 => "invalid encoded storage byte array accessed",
        0x31 => "out-of-bounds array access; popping on an empty array",
        0x32 => "out-of-bounds access of an array or bytesN",
        0x41 => "out of memory",
        0x51 => "uninitialized function",
        _ => "unknown panic code",
    }
}

impl From<RpcError> for ErrorObjectOwned {
    fn from(error: RpcError) -> Self {
        let data = error.data.and_then(|data| serde_json::value::to_raw_value(&data).ok());
        Self::owned::<Box<RawValue>>(error.code, error.message, data)
    }
}

impl From<StoreError> for RpcError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unknown { .. } => Self::not_found(error.to_string()),
            StoreError::Pruned { .. } => Self::server(error.to_string()),
            StoreError::TooManyChanges { .. } => Self::limit(error.to_string()),
            other => {
                tracing::error!(error = %other, "store failed while serving a request");
                Self::internal(other)
            }
        }
    }
}

impl From<PoolError> for RpcError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::State(reason) => Self::internal(reason),
            PoolError::Decode(_) => Self::invalid("transaction", error),
            refused => Self::server(refused.to_string()),
        }
    }
}

impl From<TxError<StoreError>> for RpcError {
    fn from(error: TxError<StoreError>) -> Self {
        match error {
            TxError::State(error) => error.into(),
            TxError::Invalid(reason) => Self::server(invalid_call(&reason)),
            other => Self::server(other.to_string()),
        }
    }
}

/// Why a call cannot run, in the words by which client libraries recognise it.
fn invalid_call(reason: &InvalidTx) -> String {
    match reason {
        InvalidTx::Evm(InvalidTransaction::LackOfFundForMaxFee { fee, balance }) => {
            format!("insufficient funds for gas * price + value: balance {balance}, cost {fee}")
        }
        InvalidTx::Evm(InvalidTransaction::GasPriceLessThanBasefee) => "max fee per gas less than block base fee".into(),
        InvalidTx::Evm(InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas: minimum, gas_limit })
        | InvalidTx::Evm(InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor: minimum, gas_limit }) => {
            format!("intrinsic gas too low: gas {gas_limit}, minimum {minimum}")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revert_reasons_decode_as_geth_writes_them() {
        let output = hex!(
            "08c379a0000000000000000000000000000000000000000000000000000000000000002000000000000000000000000000000000000000000000000000000000000000026e6f000000000000000000000000000000000000000000000000000000000000"
        );
        let error = RpcError::reverted(&output.into());
        assert_eq!((error.code, error.message.as_str()), (3, "execution reverted: no"));
        assert_eq!(error.data, Some(hex::encode_prefixed(output)));
        let panic = hex!("4e487b710000000000000000000000000000000000000000000000000000000000000011");
        assert_eq!(
            RpcError::reverted(&panic.into()).message,
            "execution reverted: panic: arithmetic underflow or overflow (0x11)"
        );
    }

    #[test]
    fn hostile_revert_data_never_panics() {
        let valid = hex!(
            "08c379a0000000000000000000000000000000000000000000000000000000000000002000000000000000000000000000000000000000000000000000000000000000026e6f"
        );
        for end in 0..valid.len() {
            assert_eq!(RpcError::reverted(&Bytes::copy_from_slice(&valid[..end])).message, "execution reverted");
            let mut damaged = valid.to_vec();
            damaged[end] ^= 0xff;
            let _ = RpcError::reverted(&damaged.into());
        }
    }
}
