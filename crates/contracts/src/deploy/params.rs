//! Everything about a new chain that is a choice, and the presets that choose for you.

use alloy_primitives::{Address, U256};
use oceanid_primitives::{FeeParams, L1DataFee, Timing};
use std::collections::BTreeMap;

/// 10^18: wei of one whole token.
const TOKEN: u128 = 1_000_000_000_000_000_000;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Where the gas token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// Deploy the development token with this supply (wei), all of it the deployer's.
    Dev {
        /// Wei.
        supply: U256,
    },
    /// An ERC-20 that exists; its metadata becomes that of the native coin.
    Existing {
        /// Its address on L1.
        address: Address,
        /// Name, at most 31 bytes.
        name: String,
        /// Symbol, at most 31 bytes.
        symbol: String,
        /// Supply on L1, wei.
        supply: U256,
    },
}

/// Parameters of `SequencerPool`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolParams {
    /// Smallest lock, wei of the token, at least 1.
    pub min_lock: u128,
    /// Largest lock, wei of the token.
    pub max_lock: u128,
    /// Seconds between leaving and the claim.
    pub unbonding_period: u64,
    /// Seconds between rotations.
    pub rotation_interval: u64,
    /// L1 blocks from the choice of a committee to the one whose randomness is its seed, 2 to 64. Of these, who builds the last but one or
    /// earlier ones can choose between two seeds each, by withholding a block; see `SequencerPool.MIN_SEAL_DELAY`.
    pub seal_delay: u16,
    /// Seats, 1 to [`MAX_COMMITTEE`](oceanid_primitives::MAX_COMMITTEE).
    pub max_committee: u16,
    /// Seconds in jail before the owner may come back, at most the unbonding period.
    pub jail_period: u64,
    /// Share of a slash that goes to whoever proved it, 1/10,000, at most 5,000.
    pub reporter_share_bps: u16,
}

/// What a proven offence costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Penalty {
    /// Share of the lock and its unclaimed tickets, 1/10,000.
    pub bps: u16,
    /// At least this much, wei of the token.
    pub minimum: u128,
}

/// Parameters of `Slasher`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Penalties {
    /// Two contradicting votes in one view.
    pub equivocation: Penalty,
    /// A seat in both of two contradicting certificates.
    pub fork: Penalty,
    /// A signature under an output that lost a dispute.
    pub invalid_output: Penalty,
    /// A signature under a batch whose data was withheld.
    pub withheld_data: Penalty,
}

/// How much an epoch may emit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmissionRule {
    /// Basis points of the committee's stake in a year, at most 10,000.
    TargetApr(u16),
    /// Wei of the token for each block led.
    FixedPerBlock(u128),
    /// `k`, times 10^18: `k x sqrt(stake in tokens)` tokens in a year.
    Curve(u128),
}

/// Parameters of `MiningRewards`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MiningParams {
    /// The first rule.
    pub rule: EmissionRule,
    /// Budget that the deployer funds, wei of the token; zero funds none.
    pub budget: U256,
    /// Seconds over which a budget lasts at the largest emission it allows, at least 1.
    pub taper_period: u64,
    /// Share of the views drawn in an epoch that makes the epoch a bad one, when missed: 1 to 10,000 basis points.
    pub jail_threshold_bps: u16,
    /// Bad epochs in a row that lead to jail, at least 1.
    pub jail_epochs: u16,
}

/// Parameters of `FeeSplitter`: shares of Layer 2's fees, 1/10,000; what they leave of 10,000 is burnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeeSplit {
    /// To the sequencers, through `MiningRewards`.
    pub sequencers_bps: u16,
    /// To those who post batches, up to what it cost them.
    pub posters_bps: u16,
    /// To the treasury.
    pub treasury_bps: u16,
}

/// What staking earns, costs and risks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Economics {
    /// Stake.
    pub pool: PoolParams,
    /// Slashing.
    pub penalties: Penalties,
    /// Rewards.
    pub mining: MiningParams,
    /// Fees.
    pub fee_split: FeeSplit,
    /// Seconds that a change by the governor waits: longer than the challenge window, the slowest exit (16 rotation intervals)
    /// and the unbonding period together, so that whoever disagrees is out of reach before it counts.
    pub timelock_delay: u64,
}

/// Rotation intervals after which an exit needs no rotation any more: `SequencerPool.EXIT_WAIT_INTERVALS`.
const EXIT_WAIT_INTERVALS: u64 = 16;

impl Economics {
    /// Seconds that a change has to be announced, with that challenge window (seconds): what is in flight has its window, an exit may wait
    /// for its turn, and its ticket can be slashed until it is paid.
    pub const fn notice(&self, challenge_window: u64) -> u64 {
        let exit = EXIT_WAIT_INTERVALS.saturating_mul(self.pool.rotation_interval).saturating_add(self.pool.unbonding_period);
        challenge_window.saturating_add(exit)
    }
}

/// Accounts with a part in the chain's government.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Governance {
    /// May propose to the `Timelock`; empty: the deployer.
    pub proposers: Vec<Address>,
    /// Receives the treasury's share of fees; zero: the deployer.
    pub treasury: Address,
    /// Receives what a slash leaves after the reporter's share; zero: it is burnt.
    pub insurance: Address,
    /// May update the price of ETH; zero: the deployer.
    pub oracle_updater: Address,
}

/// Everything about the new chain that is a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainParams {
    /// Name, for people.
    pub name: String,
    /// EIP-155 chain id of Layer 2.
    pub chain_id: u64,
    /// EIP-1559.
    pub fees: FeeParams,
    /// L1 data fee.
    pub l1_data_fee: L1DataFee,
    /// Pace.
    pub timing: Timing,
    /// Gas token.
    pub token: TokenSource,
    /// Stake, rewards, slashing, fees.
    pub economics: Economics,
    /// Who governs.
    pub governance: Governance,
    /// Wei of the gas token per 10^18 wei of ETH, at the start.
    pub gas_token_ratio: U256,
    /// Seconds between two updates of that ratio.
    pub oracle_interval: u64,
    /// Layer 2 blocks between two batches, as an estimate for tools.
    pub submission_interval: u64,
    /// Native balances at genesis, wei. The sum goes from the deployer into the Portal's escrow.
    pub balances: BTreeMap<Address, U256>,
    /// Gas tokens the deployer hands out on L1, wei.
    pub l1_balances: BTreeMap<Address, U256>,
    /// ETH that the deployer sends to the owner of each lock for gas, wei; zero sends none.
    pub owner_gas: U256,
}

/// A set of choices that belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Seconds where a real chain has days, so that everything can be watched.
    #[default]
    Dev,
    /// The figures of the Metis network; where it has none, a conservative choice.
    Metis,
}

/// `Preset` by a name that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no preset `{0}`: there are `dev` and `metis`")]
pub struct UnknownPreset(String);

impl core::str::FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "dev" => Ok(Self::Dev),
            "metis" => Ok(Self::Metis),
            _ => Err(UnknownPreset(name.to_owned())),
        }
    }
}

impl core::fmt::Display for Preset {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Dev => "dev",
            Self::Metis => "metis",
        })
    }
}

impl Preset {
    /// Blocks in an epoch.
    pub const fn epoch_length(self) -> u64 {
        match self {
            Self::Dev => 60,
            Self::Metis => 1_000,
        }
    }

    /// Seconds after which an output is final.
    pub const fn challenge_window(self) -> u64 {
        match self {
            Self::Dev => 10,
            Self::Metis => 7 * DAY,
        }
    }

    /// Seconds without a fresh batch after which anyone may hand the chain to the newest committee.
    pub const fn stall_timeout(self) -> u64 {
        match self {
            Self::Dev => MINUTE,
            Self::Metis => 12 * HOUR,
        }
    }

    /// Stake, rewards, slashing, fees.
    pub const fn economics(self) -> Economics {
        let (min_lock, max_lock) = (20_000 * TOKEN, 100_000 * TOKEN);
        let (max_committee, reporter_share_bps) = (100, 1_000);
        let pool = match self {
            Self::Dev => PoolParams {
                min_lock,
                max_lock,
                unbonding_period: 5 * MINUTE,
                rotation_interval: 20,
                seal_delay: 2,
                max_committee,
                jail_period: MINUTE,
                reporter_share_bps,
            },
            Self::Metis => PoolParams {
                min_lock,
                max_lock,
                unbonding_period: 21 * DAY,
                rotation_interval: DAY,
                seal_delay: 4,
                max_committee,
                jail_period: DAY,
                reporter_share_bps,
            },
        };
        let budget = match self {
            Self::Dev => 100_000 * TOKEN,
            // 65% of the 4.6 million METIS that the network set aside for mining and growth.
            Self::Metis => 2_990_000 * TOKEN,
        };
        let everything = Penalty { bps: 10_000, minimum: 0 };
        Economics {
            pool,
            penalties: Penalties {
                equivocation: Penalty { bps: 500, minimum: 1_000 * TOKEN },
                fork: everything,
                invalid_output: everything,
                withheld_data: Penalty { bps: 2_000, minimum: 0 },
            },
            mining: MiningParams {
                rule: EmissionRule::TargetApr(2_000),
                budget: U256::from_limbs([budget as u64, (budget >> 64) as u64, 0, 0]),
                taper_period: 365 * DAY,
                jail_threshold_bps: 5_000,
                jail_epochs: 3,
            },
            fee_split: FeeSplit { sequencers_bps: 5_000, posters_bps: 4_000, treasury_bps: 1_000 },
            timelock_delay: match self {
                Self::Dev => 12 * MINUTE,
                Self::Metis => 45 * DAY,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_found_by_their_names() {
        for preset in [Preset::Dev, Preset::Metis] {
            assert_eq!(preset.to_string().parse(), Ok(preset));
        }
        assert!("mainnet".parse::<Preset>().is_err());
    }
}
