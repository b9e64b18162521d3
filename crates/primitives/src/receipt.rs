//! Receipts, with the OP Stack's two extra fields for deposits.

use crate::TxType;
use alloc::vec::Vec;
use alloy_primitives::{Bloom, Log, logs_bloom};
use alloy_rlp::{BufMut, Decodable, Encodable, Header};

/// Outcome of one transaction, as stored: `rlp([type, success, cumulativeGas, logs, extra])`, where `extra` is the sender's
/// nonce for a deposit and the L1 data fee for any other type. (An optional nonce as a trailing field could not tell nonce 0
/// from none: both are the empty string in RLP.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// EIP-2718 type byte of the transaction.
    pub tx_type: u8,
    /// False when execution reverted or halted.
    pub success: bool,
    /// Gas used in the block up to and including this transaction.
    pub cumulative_gas_used: u64,
    /// Logs in order.
    pub logs: Vec<Log>,
    /// Nonce of a deposit's sender before it ran (OP Stack, Regolith); none for other types.
    pub deposit_nonce: Option<u64>,
    /// L1 data fee the sender paid, wei of the gas token; 0 for deposits and where the chain charges none. Not part of the
    /// consensus encoding (the state commits to it through balances).
    pub l1_fee: u128,
}

impl Receipt {
    fn fields(&self) -> [&dyn Encodable; 5] {
        let extra: &dyn Encodable = match &self.deposit_nonce {
            Some(nonce) => nonce,
            None => &self.l1_fee,
        };
        [&self.tx_type, &self.success, &self.cumulative_gas_used, &self.logs, extra]
    }

    fn payload_length(&self) -> usize {
        self.fields().iter().map(|field| field.length()).sum()
    }
}

impl Encodable for Receipt {
    fn encode(&self, out: &mut dyn BufMut) {
        Header { list: true, payload_length: self.payload_length() }.encode(out);
        for field in self.fields() {
            field.encode(out);
        }
    }

    fn length(&self) -> usize {
        let payload_length = self.payload_length();
        alloy_rlp::length_of_length(payload_length) + payload_length
    }
}

impl Decodable for Receipt {
    fn decode(buf: &mut &[u8]) -> alloy_rlp::Result<Self> {
        let mut list = Header::decode_bytes(buf, true)?;
        let mut receipt = Self {
            tx_type: Decodable::decode(&mut list)?,
            success: Decodable::decode(&mut list)?,
            cumulative_gas_used: Decodable::decode(&mut list)?,
            logs: Decodable::decode(&mut list)?,
            deposit_nonce: None,
            l1_fee: 0,
        };
        if receipt.tx_type == TxType::Deposit as u8 {
            receipt.deposit_nonce = Some(Decodable::decode(&mut list)?);
        } else {
            receipt.l1_fee = Decodable::decode(&mut list)?;
        }
        if list.is_empty() { Ok(receipt) } else { Err(alloy_rlp::Error::UnexpectedLength) }
    }
}

/// Version of the deposit receipt encoding (OP Stack, Canyon).
const DEPOSIT_RECEIPT_VERSION: u64 = 1;

impl Receipt {
    /// Bloom filter over the logs.
    pub fn bloom(&self) -> Bloom {
        logs_bloom(&self.logs)
    }

    /// The consensus form: what the receipts root commits to.
    pub fn with_bloom(&self) -> ReceiptEnvelope<'_> {
        ReceiptEnvelope { receipt: self, bloom: self.bloom() }
    }
}

/// EIP-2718 encoding of a receipt: `type ++ rlp([status, cumulativeGas, bloom, logs])`, and for a deposit also its nonce and
/// the receipt version.
#[derive(Clone, Debug)]
pub struct ReceiptEnvelope<'a> {
    receipt: &'a Receipt,
    bloom: Bloom,
}

impl ReceiptEnvelope<'_> {
    /// The bloom filter.
    pub const fn bloom(&self) -> &Bloom {
        &self.bloom
    }

    /// Encodes as the receipts trie holds it.
    pub fn encode_2718(&self, out: &mut dyn BufMut) {
        let receipt = self.receipt;
        if receipt.tx_type != TxType::Legacy as u8 {
            out.put_u8(receipt.tx_type);
        }
        let deposit = receipt.deposit_nonce.map(|nonce| [nonce, DEPOSIT_RECEIPT_VERSION]);
        let mut fields: Vec<&dyn Encodable> =
            alloc::vec![&receipt.success, &receipt.cumulative_gas_used, &self.bloom, &receipt.logs];
        if let Some([nonce, version]) = &deposit {
            fields.push(nonce);
            fields.push(version);
        }
        let payload_length = fields.iter().map(|field| field.length()).sum();
        Header { list: true, payload_length }.encode(out);
        for field in fields {
            field.encode(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_encoding_round_trips_and_keeps_nonce_zero() {
        let transfer = Receipt {
            tx_type: 2,
            success: true,
            cumulative_gas_used: 21_000,
            logs: alloc::vec![Log::default()],
            deposit_nonce: None,
            l1_fee: 0,
        };
        let deposit = Receipt { tx_type: TxType::Deposit as u8, deposit_nonce: Some(0), ..transfer.clone() };
        let paid = Receipt { l1_fee: u128::MAX, ..transfer.clone() };
        for receipt in [transfer, deposit, paid] {
            let bytes = alloy_rlp::encode(&receipt);
            assert_eq!(bytes.len(), receipt.length());
            assert_eq!(Receipt::decode(&mut bytes.as_slice()), Ok(receipt));
            assert!(Receipt::decode(&mut &bytes[..bytes.len() - 1]).is_err());
        }
    }
}
