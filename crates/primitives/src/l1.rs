//! What a Layer 2 block takes in from L1: the origin's system deposit, then user deposits.

use crate::{L1Origin, Recovery, TxDeposit, predeploys};
use alloc::{sync::Arc, vec::Vec};
use alloy_primitives::{B256, Bytes, TxKind, U256, keccak256};

/// One L1 block as derivation sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L1Block {
    /// Number.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Parent hash.
    pub parent_hash: B256,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// Wei of ETH per gas.
    pub base_fee: u128,
    /// Wei of ETH per blob gas.
    pub blob_base_fee: u128,
    /// Deposits made in this block through `Portal`, in log order.
    pub deposits: Vec<TxDeposit>,
}

impl L1Block {
    /// Number and hash.
    pub const fn origin(&self) -> L1Origin {
        L1Origin { number: self.number, hash: self.hash }
    }
}

/// A node's own view of L1, kept up to date elsewhere; reading it never blocks.
pub trait L1View: Send + Sync {
    /// The newest L1 block deep enough to be named as an origin; none before the first contact with L1.
    fn newest_origin(&self) -> Option<L1Origin>;

    /// The canonical L1 block of that number, if it is deep enough and known. `None` is "not yet", never "no".
    fn block(&self, number: u64) -> Option<Arc<L1Block>>;

    /// Recoveries in the deep blocks that are held, oldest first. Those before them were taken on by the chain, which keeps them.
    fn recoveries(&self) -> Vec<Recovery> {
        Vec::new()
    }
}

/// Source hash of a user deposit: `keccak256(bytes32(0) ++ keccak256(l1BlockHash ++ bytes32(logIndex)))` (OP Stack,
/// "Source hash computation", domain 0). `log_index` counts within the whole L1 block.
pub fn user_source_hash(l1_block: B256, log_index: u64) -> B256 {
    domain_source_hash(0, l1_block, log_index)
}

/// Source hash of the L1 info deposit: domain 1 of the OP Stack; the sequence number is 0, once per origin.
pub fn system_source_hash(l1_block: B256) -> B256 {
    domain_source_hash(1, l1_block, 0)
}

fn domain_source_hash(domain: u8, l1_block: B256, index: u64) -> B256 {
    let mut inner = [0u8; 64];
    inner[..32].copy_from_slice(l1_block.as_slice());
    inner[56..].copy_from_slice(&index.to_be_bytes());
    let mut outer = [0u8; 64];
    outer[31] = domain;
    outer[32..].copy_from_slice(keccak256(inner).as_slice());
    keccak256(outer)
}

/// Gas of the system deposit; it writes five slots.
const L1_INFO_GAS: u64 = 1_000_000;

/// The system deposit that begins a new origin: `L1BlockInfo.setL1Block(number, timestamp, baseFee, blobBaseFee, hash)`.
pub fn l1_info_deposit(origin: &L1Block) -> TxDeposit {
    let mut input = Vec::with_capacity(4 + 5 * 32);
    input.extend_from_slice(&keccak256("setL1Block(uint64,uint64,uint256,uint256,bytes32)")[..4]);
    for word in [
        U256::from(origin.number),
        U256::from(origin.timestamp),
        U256::from(origin.base_fee),
        U256::from(origin.blob_base_fee),
        origin.hash.into(),
    ] {
        input.extend_from_slice(&word.to_be_bytes::<32>());
    }
    TxDeposit {
        source_hash: system_source_hash(origin.hash),
        from: predeploys::SYSTEM_DEPOSITOR,
        to: TxKind::Call(predeploys::L1_BLOCK_INFO),
        mint: 0,
        value: U256::ZERO,
        gas_limit: L1_INFO_GAS,
        is_system_transaction: false,
        input: Bytes::from(input),
    }
}
