//! What a block's transactions run in: the header's fields the EVM can see, and the rules.

use alloy_eips::eip7840::BlobParams;
use alloy_primitives::{Address, B256, U256};
use oceanid_primitives::{ChainSpec, HeaderExtension, L1DataFee};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::primitives::eip4844::BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE;

/// Blob schedule of Prague (EIP-7691): target 6, limit 9 a block.
pub const BLOB_PARAMS: BlobParams = BlobParams::prague();

/// Whose rules a block follows; both are Prague otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Layer 2: deposits, fees to the vault, no blobs, the native transfer precompile.
    Rollup(RollupRules),
    /// Plain Ethereum, for the embedded L1.
    Ethereum,
}

/// Parameters of [`Rules::Rollup`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollupRules {
    /// L1 data fee; both scalars zero: none is charged and nothing is read for it.
    pub l1_data_fee: L1DataFee,
}

impl Rules {
    /// The rules of a Layer 2 chain.
    pub const fn rollup(spec: &ChainSpec) -> Self {
        Self::Rollup(RollupRules { l1_data_fee: spec.l1_data_fee })
    }

    /// True on Layer 2.
    pub const fn is_rollup(&self) -> bool {
        matches!(self, Self::Rollup(_))
    }
}

/// The fields of a block that its execution depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockEnv {
    /// Block number.
    pub number: u64,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// Gas of all transactions together.
    pub gas_limit: u64,
    /// Wei per gas.
    pub base_fee: u64,
    /// `PREVRANDAO`.
    pub prevrandao: B256,
    /// `COINBASE`; on Layer 2 the fee vault.
    pub beneficiary: Address,
    /// Hash of block `number - 1`.
    pub parent_hash: B256,
    /// EIP-4788; zero on Layer 2.
    pub parent_beacon_block_root: B256,
    /// EIP-4844 excess blob gas of this block; zero on Layer 2.
    pub excess_blob_gas: u64,
    /// What the epoch ledger is told at the block's start; nothing reads it under Ethereum rules.
    pub extension: HeaderExtension,
}

impl BlockEnv {
    /// Price of blob gas, wei (EIP-4844; 1 on Layer 2).
    pub fn blob_base_fee(&self) -> u128 {
        BLOB_PARAMS.calc_blob_fee(self.excess_blob_gas)
    }

    pub(crate) fn to_revm(self) -> revm::context::BlockEnv {
        revm::context::BlockEnv {
            number: U256::from(self.number),
            beneficiary: self.beneficiary,
            timestamp: U256::from(self.timestamp),
            gas_limit: self.gas_limit,
            basefee: self.base_fee,
            difficulty: U256::ZERO,
            prevrandao: Some(self.prevrandao),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice::new(
                self.excess_blob_gas,
                BLOB_BASE_FEE_UPDATE_FRACTION_PRAGUE,
            )),
            slot_num: 0,
        }
    }
}
