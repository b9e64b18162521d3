//! Deposits: from `TransactionDeposited` logs to deposit transactions, as the OP Stack derives them.
//!
//! Only logs of `Portal` count, and `Portal` emits only well-formed ones. A log that is not of the form below, which would take
//! another contract at that address, is skipped by every node alike: it is no deposit.

use alloy_primitives::{Address, B256, Bytes, LogData, TxKind, U256};
use alloy_sol_types::SolEvent;
use oceanid_contracts::l1::Portal::TransactionDeposited;
use oceanid_primitives::{TxDeposit, user_source_hash};

/// `mint` u256, `value` u256, `gasLimit` u64, `isCreation` u8; call data follows.
const FIXED_BYTES: usize = 32 + 32 + 8 + 1;
/// The only version of the deposit event.
const VERSION: U256 = U256::ZERO;

/// Why a log of `Portal` is no deposit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DepositError {
    /// Another event, or topics or data that do not decode.
    #[error("not a TransactionDeposited event")]
    Event,
    /// An event version this rule does not cover.
    #[error("deposit event version {0}, known is 0")]
    Version(U256),
    /// `opaqueData` ends early.
    #[error("opaque data of {0} bytes, at least {FIXED_BYTES} are needed")]
    Short(usize),
    /// More than a balance can hold.
    #[error("mint of {0} exceeds 2^128")]
    Mint(U256),
}

/// Decodes one log. `log_index` counts within the whole L1 block.
pub fn deposit(l1_block: B256, log_index: u64, log: &LogData) -> Result<TxDeposit, DepositError> {
    let event = TransactionDeposited::decode_log_data(log).map_err(|_| DepositError::Event)?;
    if event.version != VERSION {
        return Err(DepositError::Version(event.version));
    }
    let opaque = &event.opaqueData;
    let (fixed, input) = opaque.split_at_checked(FIXED_BYTES).ok_or(DepositError::Short(opaque.len()))?;
    let mint = U256::from_be_slice(&fixed[..32]);
    let is_creation = fixed[72] != 0;
    Ok(TxDeposit {
        source_hash: user_source_hash(l1_block, log_index),
        from: event.from,
        to: if is_creation { TxKind::Create } else { TxKind::Call(event.to) },
        mint: u128::try_from(mint).map_err(|_| DepositError::Mint(mint))?,
        value: U256::from_be_slice(&fixed[32..64]),
        gas_limit: u64::from_be_bytes(fixed[64..72].try_into().expect("eight bytes")),
        is_system_transaction: false,
        input: Bytes::copy_from_slice(input),
    })
}

/// The log a deposit makes: the reverse of [`deposit`], for tests and tools.
pub fn deposit_log(from: Address, to: TxKind, mint: U256, value: U256, gas_limit: u64, input: &[u8]) -> LogData {
    let mut opaque = Vec::with_capacity(FIXED_BYTES + input.len());
    opaque.extend_from_slice(&mint.to_be_bytes::<32>());
    opaque.extend_from_slice(&value.to_be_bytes::<32>());
    opaque.extend_from_slice(&gas_limit.to_be_bytes());
    opaque.push(u8::from(to.is_create()));
    opaque.extend_from_slice(input);
    let to = to.to().copied().unwrap_or_default();
    TransactionDeposited { from, to, version: VERSION, opaqueData: opaque.into() }.encode_log_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: B256 = B256::repeat_byte(9);
    const FROM: Address = Address::repeat_byte(1);
    const TO: Address = Address::repeat_byte(2);

    #[test]
    fn a_deposit_and_a_creation() {
        let log = deposit_log(FROM, TxKind::Call(TO), U256::from(5), U256::from(3), 100_000, b"hello");
        let call = deposit(BLOCK, 7, &log).unwrap();
        assert_eq!((call.from, call.to, call.mint, call.value), (FROM, TxKind::Call(TO), 5, U256::from(3)));
        assert_eq!((call.gas_limit, call.input.as_ref()), (100_000, b"hello".as_ref()));
        assert_eq!(call.source_hash, user_source_hash(BLOCK, 7));
        let log = deposit_log(FROM, TxKind::Create, U256::ZERO, U256::ZERO, 1, &[]);
        assert_eq!(deposit(BLOCK, 0, &log).unwrap().to, TxKind::Create);
    }

    #[test]
    fn hostile_logs_are_no_deposits() {
        let good = deposit_log(FROM, TxKind::Call(TO), U256::ZERO, U256::ZERO, 1, &[]);
        let without_topic = LogData::new_unchecked(good.topics()[..3].to_vec(), good.data.clone());
        assert_eq!(deposit(BLOCK, 0, &without_topic), Err(DepositError::Event));
        let truncated = LogData::new_unchecked(good.topics().to_vec(), good.data.slice(..64));
        assert_eq!(deposit(BLOCK, 0, &truncated), Err(DepositError::Event));
        let rich = deposit_log(FROM, TxKind::Call(TO), U256::from(1) << 128, U256::ZERO, 1, &[]);
        assert_eq!(deposit(BLOCK, 0, &rich), Err(DepositError::Mint(U256::from(1) << 128)));
        let short = TransactionDeposited { from: FROM, to: TO, version: U256::ZERO, opaqueData: vec![0; 72].into() };
        assert_eq!(deposit(BLOCK, 0, &short.encode_log_data()), Err(DepositError::Short(72)));
        let later = TransactionDeposited { version: U256::from(1), ..short };
        assert_eq!(deposit(BLOCK, 0, &later.encode_log_data()), Err(DepositError::Version(U256::from(1))));
    }
}
