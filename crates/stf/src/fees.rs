//! Prices: the base fee of the next block, and the L1 data fee.

use crate::StateReader;
use alloy_consensus::Header;
use alloy_eips::eip1559::{BaseFeeParams, calc_next_block_base_fee};
use alloy_primitives::U256;
use oceanid_primitives::predeploys::{L1_BLOCK_INFO, l1_block_info, slot};
use oceanid_primitives::{FeeParams, L1DataFee};

/// Base fee of the block after `parent` on Layer 2, wei per gas: EIP-1559 with the chain's parameters, never below
/// [`FeeParams::min_base_fee`].
pub fn next_base_fee(parent: &Header, fees: &FeeParams) -> u64 {
    let params = BaseFeeParams::new(fees.denominator.into(), fees.elasticity.into());
    let base_fee = parent.base_fee_per_gas.unwrap_or(fees.initial_base_fee);
    calc_next_block_base_fee(parent.gas_used, parent.gas_limit, base_fee, params).max(fees.min_base_fee)
}

/// Base fee of the block after `parent` on Ethereum, wei per gas (EIP-1559).
pub fn ethereum_next_base_fee(parent: &Header) -> u64 {
    let base_fee = parent.base_fee_per_gas.unwrap_or_default();
    calc_next_block_base_fee(parent.gas_used, parent.gas_limit, base_fee, BaseFeeParams::ethereum())
}

/// What posting on L1 costs, as `L1BlockInfo` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct L1Prices {
    /// Wei of ETH per L1 gas.
    pub base_fee: U256,
    /// Wei of ETH per L1 blob gas.
    pub blob_base_fee: U256,
    /// Wei of the gas token per 10^18 wei of ETH; zero until the oracle has spoken, and then nothing is charged.
    pub gas_token_ratio: U256,
}

impl L1Prices {
    /// Reads the prices from a state.
    pub fn read<R: StateReader>(reader: &R) -> Result<Self, R::Error> {
        Self::read_with(|key| reader.storage(L1_BLOCK_INFO, key))
    }

    pub(crate) fn read_with<E>(mut read: impl FnMut(U256) -> Result<U256, E>) -> Result<Self, E> {
        Ok(Self {
            base_fee: read(slot(l1_block_info::BASE_FEE))?,
            blob_base_fee: read(slot(l1_block_info::BLOB_BASE_FEE))?,
            gas_token_ratio: read(slot(l1_block_info::GAS_TOKEN_RATIO))?,
        })
    }
}

/// The scalars of [`L1DataFee`] are millionths.
const SCALAR_UNIT: u64 = 1_000_000;
/// Gas of one nonzero byte of L1 calldata (EIP-2028).
const CALLDATA_GAS: u64 = 16;
/// The ratio in `L1BlockInfo` is per this many wei of ETH.
const RATIO_UNIT: u64 = 1_000_000_000_000_000_000;

/// The L1 data fee of a transaction, wei of the gas token, rounded down:
///
/// `estimated_bytes x (calldata_scalar x 16 x base_fee + blob_scalar x blob_base_fee) x ratio / (10^6 x 10^18)`
///
/// `raw` is the EIP-2718 encoding, signature included. Saturates at `u128::MAX`, which no balance covers.
pub fn l1_data_fee(params: &L1DataFee, prices: &L1Prices, raw: &[u8]) -> u128 {
    if params.is_free() || prices.gas_token_ratio.is_zero() {
        return 0;
    }
    let calldata = U256::from(params.calldata_scalar).saturating_mul(U256::from(CALLDATA_GAS)).saturating_mul(prices.base_fee);
    let blob = U256::from(params.blob_scalar).saturating_mul(prices.blob_base_fee);
    let fee =
        U256::from(estimated_bytes(raw)).saturating_mul(calldata.saturating_add(blob)).saturating_mul(prices.gas_token_ratio)
            / (U256::from(SCALAR_UNIT) * U256::from(RATIO_UNIT));
    fee.saturating_to()
}

/// Shortest repetition that pays for its reference.
const MIN_MATCH: usize = 4;
/// Bytes a reference to an earlier occurrence costs: its distance and length.
const MATCH_COST: u64 = 3;
/// Size of the table of earlier positions, a power of two.
const TABLE_BITS: u32 = 10;

/// Estimate of the bytes `raw` takes after compression.
///
/// One greedy pass of Lempel-Ziv: at each position the last earlier position with (by a 10-bit hash) the same four bytes is
/// looked up; a true match of `n >= 4` bytes costs three bytes and skips `n`, anything else costs one byte and skips one.
/// Runs of zeros are matches at distance one. The estimate never exceeds `raw.len()`, and never falls as far as a
/// compressor with a whole batch for its window does: the scalars of [`L1DataFee`] close that gap.
pub fn estimated_bytes(raw: &[u8]) -> u64 {
    // Positions plus one; zero is "never seen".
    let mut seen = [0u32; 1 << TABLE_BITS];
    let mut cost = 0u64;
    let mut at = 0;
    while let Some(window) = raw[at..].first_chunk::<MIN_MATCH>() {
        let word = u32::from_le_bytes(*window);
        // Fibonacci hashing: the top bits of the product depend on all bits of the word.
        let place = &mut seen[(word.wrapping_mul(0x9e37_79b1) >> (32 - TABLE_BITS)) as usize];
        let earlier = core::mem::replace(place, at as u32 + 1) as usize;
        let length = match earlier.checked_sub(1) {
            Some(earlier) => raw[earlier..].iter().zip(&raw[at..]).take_while(|(a, b)| a == b).count(),
            None => 0,
        };
        if length >= MIN_MATCH {
            cost += MATCH_COST;
            at += length;
        } else {
            cost += 1;
            at += 1;
        }
    }
    cost + (raw.len() - at) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn noise(length: usize) -> Vec<u8> {
        (0..length as u32).flat_map(|index| alloy_primitives::keccak256(index.to_be_bytes()).0).take(length).collect()
    }

    #[test]
    fn estimate_knows_noise_zeros_and_repeats() {
        assert_eq!(estimated_bytes(&[]), 0);
        assert_eq!(estimated_bytes(&[1, 2, 3]), 3);
        assert_eq!(estimated_bytes(&noise(300)), 300);
        // One literal zero, then one match to the end.
        assert_eq!(estimated_bytes(&[0; 10_000]), 1 + MATCH_COST);
        let twice = [noise(100), noise(100)].concat();
        assert_eq!(estimated_bytes(&twice), 100 + MATCH_COST);
    }

    #[test]
    fn estimate_never_exceeds_the_length() {
        for length in 0..200 {
            for fill in [0u8, 1, 7] {
                let mut raw = noise(length);
                raw.iter_mut().step_by(3).for_each(|byte| *byte = fill);
                assert!(estimated_bytes(&raw) <= length as u64);
            }
        }
    }

    #[test]
    fn fee_follows_the_formula() {
        let params = L1DataFee { calldata_scalar: 500_000, blob_scalar: 2_000_000 };
        let prices = L1Prices {
            base_fee: U256::from(10u64.pow(9)),
            blob_base_fee: U256::from(3),
            gas_token_ratio: U256::from(100u128 * 10u128.pow(18)),
        };
        let raw = noise(120);
        // 120 bytes x (0.5 x 16 x 10^9 + 2 x 3) wei of ETH x 100 tokens per ETH.
        assert_eq!(l1_data_fee(&params, &prices, &raw), 120 * (8 * 10u128.pow(9) + 6) * 100);
        assert_eq!(l1_data_fee(&L1DataFee::default(), &prices, &raw), 0);
        assert_eq!(l1_data_fee(&params, &L1Prices { gas_token_ratio: U256::ZERO, ..prices }, &raw), 0);
        assert_eq!(l1_data_fee(&params, &L1Prices { base_fee: U256::MAX, ..prices }, &raw), u128::MAX);
    }

    #[test]
    fn base_fee_moves_by_an_eighth_and_stops_at_the_floor() {
        let fees = FeeParams { gas_limit: 30_000_000, elasticity: 2, denominator: 8, initial_base_fee: 1_000, min_base_fee: 900 };
        let parent = |gas_used, base_fee| Header {
            gas_used,
            gas_limit: 30_000_000,
            base_fee_per_gas: Some(base_fee),
            ..Header::default()
        };
        assert_eq!(next_base_fee(&parent(30_000_000, 1_000), &fees), 1_125);
        assert_eq!(next_base_fee(&parent(15_000_000, 1_000), &fees), 1_000);
        assert_eq!(next_base_fee(&parent(0, 2_000), &fees), 1_750);
        assert_eq!(next_base_fee(&parent(0, 1_000), &fees), 900, "875 lies below the floor");
        assert_eq!(ethereum_next_base_fee(&parent(0, 1_000)), 875);
    }
}
