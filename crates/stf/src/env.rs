//! What a block's transactions run in: the header's fields the EVM can see, and the rules.

use alloy_consensus::Header;
use alloy_eips::eip7840::BlobParams;
use alloy_primitives::{Address, B256, U256};
use oceanid_primitives::{ChainSpec, HeaderExtension, L1DataFee};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::primitives::hardfork::SpecId;

/// Blob schedule of Prague (EIP-7691): target 6, limit 9 a block.
pub const BLOB_PARAMS: BlobParams = BlobParams::prague();

/// A set of Ethereum's rules: a hard fork, with the blob schedule in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The hard fork.
    pub spec: SpecId,
    /// Target, limit and price of blobs (EIP-7840, EIP-7892).
    pub blobs: BlobParams,
}

impl Fork {
    /// What Layer 2 and the embedded L1 follow from their first block on.
    pub const PRAGUE: Self = Self { spec: SpecId::PRAGUE, blobs: BLOB_PARAMS };
}

/// Whose rules a block follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Layer 2 (Prague): deposits, fees to the vault, no blobs, the native transfer precompile.
    Rollup(RollupRules),
    /// Plain Ethereum: Prague on the embedded L1, any fork in a chain that is imported.
    Ethereum(Fork),
}

/// Parameters of [`Rules::Rollup`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollupRules {
    /// L1 data fee; both scalars zero: none is charged and nothing is read for it.
    pub l1_data_fee: L1DataFee,
}

impl Rules {
    /// The embedded L1's rules.
    pub const ETHEREUM: Self = Self::Ethereum(Fork::PRAGUE);

    /// The rules of a Layer 2 chain.
    pub const fn rollup(spec: &ChainSpec) -> Self {
        Self::Rollup(RollupRules { l1_data_fee: spec.l1_data_fee })
    }

    /// The hard fork.
    pub const fn fork(&self) -> Fork {
        match self {
            Self::Rollup(_) => Fork::PRAGUE,
            Self::Ethereum(fork) => *fork,
        }
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
    /// `PREVRANDAO`; before the merge `DIFFICULTY`, whose opcode it took over (EIP-4399).
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
    /// The environment `header`'s block was executed in.
    pub fn of(header: &Header) -> Self {
        let difficulty = header.difficulty;
        Self {
            number: header.number,
            timestamp: header.timestamp,
            gas_limit: header.gas_limit,
            base_fee: header.base_fee_per_gas.unwrap_or_default(),
            prevrandao: if difficulty.is_zero() { header.mix_hash } else { difficulty.into() },
            beneficiary: header.beneficiary,
            parent_hash: header.parent_hash,
            parent_beacon_block_root: header.parent_beacon_block_root.unwrap_or_default(),
            excess_blob_gas: header.excess_blob_gas.unwrap_or_default(),
            // Ethereum's headers have none, and its rules look at none.
            extension: HeaderExtension::decode(&header.extra_data).unwrap_or_default(),
        }
    }

    pub(crate) fn to_revm(self, blobs: BlobParams) -> revm::context::BlockEnv {
        revm::context::BlockEnv {
            number: U256::from(self.number),
            beneficiary: self.beneficiary,
            timestamp: U256::from(self.timestamp),
            gas_limit: self.gas_limit,
            basefee: self.base_fee,
            // Looked at before the merge only.
            difficulty: self.prevrandao.into(),
            prevrandao: Some(self.prevrandao),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice {
                excess_blob_gas: self.excess_blob_gas,
                blob_gasprice: blobs.calc_blob_fee(self.excess_blob_gas),
            }),
            slot_num: 0,
        }
    }
}
