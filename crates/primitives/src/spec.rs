//! The chain specification: everything a node must agree on with its peers and with L1, as one JSON file.
//!
//! Unknown keys are refused by name. The genesis block follows from the specification alone.

use crate::{Committee, HeaderExtension, L1Origin, predeploys};
use alloc::{collections::BTreeMap, string::String};
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header, constants::EMPTY_TRANSACTIONS};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B64, B256, Bloom, U256, keccak256};
use serde::{Deserialize, Serialize};

/// EIP-155 chain id of development chains. Their sequencers' keys are public knowledge, so nodes accept them unencrypted there only.
pub const DEV_CHAIN_ID: u64 = 1_088_031;

/// EIP-1559 parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeeParams {
    /// Gas limit of a block.
    pub gas_limit: u64,
    /// Gas target is the limit divided by this.
    pub elasticity: u64,
    /// A full block raises the base fee by at most one part in this many.
    pub denominator: u64,
    /// Base fee of the first block, wei of the gas token per gas.
    pub initial_base_fee: u64,
    /// The base fee never falls below this, wei per gas.
    pub min_base_fee: u64,
}

/// The L1 data fee: `estimated bytes x (calldata_scalar x 16 x L1 base fee + blob_scalar x L1 blob base fee) / 10^6`, in wei of
/// ETH, converted by the ratio in `L1BlockInfo`. Both scalars zero: the chain charges none, and says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct L1DataFee {
    /// Share of calldata price, millionths.
    pub calldata_scalar: u64,
    /// Share of blob price, millionths.
    pub blob_scalar: u64,
}

impl L1DataFee {
    /// True when no L1 data fee is charged.
    pub const fn is_free(&self) -> bool {
        self.calldata_scalar == 0 && self.blob_scalar == 0
    }
}

/// Pace of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timing {
    /// Milliseconds between blocks under load.
    pub block_time_ms: u64,
    /// An empty block is made after this many milliseconds without one.
    pub heartbeat_ms: u64,
    /// Blocks in an epoch.
    pub epoch_length: u64,
    /// L1 blocks on top of an origin before it may be named. `None`: only finalised L1 blocks.
    pub origin_depth: Option<u64>,
    /// L1 blocks after which `Rollup` refuses an origin as too old: the deadline of forced inclusion.
    pub max_origin_lag: u64,
    /// L1 blocks by which one Layer 2 block may advance the origin.
    pub max_origin_advance: u64,
    /// Seconds by which a block's timestamp may be ahead of a validator's clock.
    pub max_clock_drift: u64,
    /// Challenge window of an output, seconds.
    pub challenge_window: u64,
    /// Seconds without a fresh batch after which `Rollup.recover()` hands the chain to the newest committee.
    pub stall_timeout: u64,
}

/// Heartbeats that may pass between two blocks before the time counts as an outage: so many leaders in a row may be silent, each of which
/// costs about one heartbeat.
const PAID_HEARTBEATS: u64 = 8;
/// Milliseconds that a heartbeat counts at least in [`Timing::max_paid_gap`]: no leader is given less time, and timestamps are whole seconds.
const MIN_PAID_HEARTBEAT_MS: u64 = 1_000;

impl Timing {
    /// Seconds between a block and its parent that sequencers are paid for at most, so that nobody is paid for an outage. `EpochLedger` has it
    /// from genesis on.
    pub const fn max_paid_gap(&self) -> u64 {
        let heartbeat = if self.heartbeat_ms > MIN_PAID_HEARTBEAT_MS { self.heartbeat_ms } else { MIN_PAID_HEARTBEAT_MS };
        heartbeat.saturating_mul(PAID_HEARTBEATS).div_ceil(1_000)
    }
}

/// Where the chain lives on L1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct L1Contracts {
    /// The L1 block from which derivation starts: genesis' origin.
    pub start: L1Origin,
    /// Gas token (ERC-20).
    pub token: Address,
    /// `Portal`.
    pub portal: Address,
    /// `Rollup`.
    pub rollup: Address,
    /// `SequencerPool`.
    pub pool: Address,
    /// `UnbondingTicket` (ERC-721).
    pub ticket: Address,
    /// `Slasher`.
    pub slasher: Address,
    /// `MiningRewards`.
    pub rewards: Address,
    /// `FeeSplitter`.
    pub fee_splitter: Address,
    /// `Timelock`, the governor.
    pub timelock: Address,
    /// `L1Bridge`.
    pub bridge: Address,
    /// `GasPriceOracle`.
    pub oracle: Address,
}

/// A chain specification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChainSpec {
    /// Name, for people.
    pub name: String,
    /// EIP-155 chain id of this Layer 2.
    pub chain_id: u64,
    /// EIP-155 chain id of its L1.
    pub l1_chain_id: u64,
    /// Seconds since 1970 of the genesis block.
    pub genesis_timestamp: u64,
    /// EIP-1559.
    pub fees: FeeParams,
    /// L1 data fee.
    pub l1_data_fee: L1DataFee,
    /// Pace.
    pub timing: Timing,
    /// L1 side.
    pub l1: L1Contracts,
    /// The first committee (id 1), also in the registry's genesis storage.
    pub committee: Committee,
    /// Genesis accounts: predeploys and, in development presets, funded ones.
    pub alloc: BTreeMap<Address, GenesisAccount>,
}

/// A specification that no chain can follow; each error names the field and the limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A number outside its range.
    #[error("chain spec: `{field}` is {value}, must be {limit}")]
    Range {
        /// JSON path.
        field: &'static str,
        /// What was given.
        value: u64,
        /// What is allowed.
        limit: &'static str,
    },
    /// The committee breaks a rule of [`Committee::unpack`].
    #[error("chain spec: `committee`: {0}")]
    Committee(#[from] crate::CommitteeError),
    /// A predeploy has no code.
    #[error("chain spec: `alloc` has no code at predeploy {0}")]
    MissingPredeploy(Address),
}

impl ChainSpec {
    /// Checks every limit.
    pub fn validate(&self) -> Result<(), SpecError> {
        Self::check_parameters(self.chain_id, self.l1_chain_id, &self.fees, &self.timing)?;
        Committee::unpack(self.committee.id, self.committee.seed, &self.committee.pack())?;
        for address in predeploys::CONTRACTS {
            let code = self.alloc.get(&address).and_then(|account| account.code.as_ref());
            if code.is_none_or(|code| code.is_empty()) {
                return Err(SpecError::MissingPredeploy(address));
            }
        }
        Ok(())
    }

    /// Checks the limits of what is chosen before there is a chain; a deployment asks before it spends anything.
    pub fn check_parameters(chain_id: u64, l1_chain_id: u64, fees: &FeeParams, timing: &Timing) -> Result<(), SpecError> {
        let at_least_one = [
            ("chainId", chain_id),
            ("l1ChainId", l1_chain_id),
            ("fees.denominator", fees.denominator),
            ("timing.blockTimeMs", timing.block_time_ms),
            ("timing.maxOriginAdvance", timing.max_origin_advance),
            ("timing.maxOriginLag", timing.max_origin_lag),
            ("timing.stallTimeout", timing.stall_timeout),
        ];
        for (field, value) in at_least_one {
            if value == 0 {
                return Err(SpecError::Range { field, value, limit: "at least 1" });
            }
        }
        // A transaction for one chain would be good on the other (EIP-155).
        if chain_id == l1_chain_id {
            return Err(SpecError::Range { field: "chainId", value: chain_id, limit: "another than `l1ChainId`" });
        }
        let ranges = [
            ("timing.epochLength", timing.epoch_length, 4, u64::from(u32::MAX), "4 to 4294967295 blocks"),
            ("timing.heartbeatMs", timing.heartbeat_ms, timing.block_time_ms, u64::MAX, "at least timing.blockTimeMs"),
            ("timing.maxOriginLag", timing.max_origin_lag, 1, 8_191, "1 to 8191 L1 blocks (EIP-2935 history)"),
            // The deposits of one L1 block (users' 8,000,000, a committee's, the oracle's, the system's) must fit in one block.
            ("fees.gasLimit", fees.gas_limit, 15_000_000, 2_000_000_000, "15000000 to 2000000000 gas"),
            ("fees.elasticity", fees.elasticity, 1, 1_000, "1 to 1000"),
        ];
        for (field, value, low, high, limit) in ranges {
            if value < low || value > high {
                return Err(SpecError::Range { field, value, limit });
            }
        }
        Ok(())
    }

    /// The genesis header, given the roots of the genesis state.
    pub fn genesis_header(&self, state_root: B256, message_passer_root: B256) -> Header {
        let extension = HeaderExtension {
            committee_id: self.committee.id,
            next_committee_id: self.committee.id,
            origin: self.l1.start,
            ..HeaderExtension::default()
        };
        Header {
            parent_hash: B256::ZERO,
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: predeploys::FEE_VAULT,
            state_root,
            transactions_root: EMPTY_TRANSACTIONS,
            receipts_root: alloy_consensus::constants::EMPTY_RECEIPTS,
            logs_bloom: Bloom::ZERO,
            difficulty: U256::ZERO,
            number: 0,
            gas_limit: self.fees.gas_limit,
            gas_used: 0,
            timestamp: self.genesis_timestamp,
            extra_data: extension.encode().into(),
            mix_hash: B256::ZERO,
            nonce: B64::ZERO,
            base_fee_per_gas: Some(self.fees.initial_base_fee),
            withdrawals_root: Some(message_passer_root),
            blob_gas_used: Some(0),
            excess_blob_gas: Some(0),
            parent_beacon_block_root: Some(B256::ZERO),
            requests_hash: Some(EMPTY_REQUESTS_HASH),
            ..Header::default()
        }
    }

    /// The consensus namespace: what makes a vote of this chain worthless on any other.
    /// `"OCEANID" ++ l1ChainId (u64) ++ rollup (20) ++ l2ChainId (u64) ++ genesisHash (32)`, 75 bytes; `Rollup` builds the same.
    pub fn namespace(&self, genesis_hash: B256) -> alloc::vec::Vec<u8> {
        let mut namespace = alloc::vec::Vec::with_capacity(75);
        namespace.extend_from_slice(b"OCEANID");
        namespace.extend_from_slice(&self.l1_chain_id.to_be_bytes());
        namespace.extend_from_slice(self.l1.rollup.as_slice());
        namespace.extend_from_slice(&self.chain_id.to_be_bytes());
        namespace.extend_from_slice(genesis_hash.as_slice());
        namespace
    }

    /// `PREVRANDAO` of a block: `keccak256(originHash ++ epoch ++ view)`. The leader can influence it by a choice of origin or by
    /// silence; contracts must not treat it as unpredictable.
    pub fn prevrandao(extension: &HeaderExtension) -> B256 {
        let mut preimage = [0u8; 48];
        preimage[..32].copy_from_slice(extension.origin.hash.as_slice());
        preimage[32..40].copy_from_slice(&extension.epoch.to_be_bytes());
        preimage[40..].copy_from_slice(&extension.view.to_be_bytes());
        keccak256(preimage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paid_gap_is_eight_heartbeats_of_a_second_or_more() {
        let gap = |heartbeat_ms| {
            let timing = Timing {
                block_time_ms: 20,
                heartbeat_ms,
                epoch_length: 60,
                origin_depth: None,
                max_origin_lag: 1,
                max_origin_advance: 1,
                max_clock_drift: 1,
                challenge_window: 1,
                stall_timeout: 1,
            };
            timing.max_paid_gap()
        };
        assert_eq!([gap(20), gap(1_000), gap(1_001), gap(10_000)], [8, 8, 9, 80]);
        assert_eq!(gap(u64::MAX), u64::MAX.div_ceil(1_000), "no overflow");
    }
}
