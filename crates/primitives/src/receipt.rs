//! Receipts, with the OP Stack's two extra fields for deposits.

use crate::TxType;
use alloc::vec::Vec;
use alloy_primitives::{Bloom, Log, logs_bloom};
use alloy_rlp::{BufMut, Encodable, Header, RlpDecodable, RlpEncodable};

/// Outcome of one transaction, as stored: `rlp([type, success, cumulativeGas, logs, depositNonce?])`.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
#[rlp(trailing)]
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
