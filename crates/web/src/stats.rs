//! Figures about a committee: how few members could stop it or decide alone.

use alloy_primitives::U256;
use oceanid_primitives::Committee;

/// How few members hold power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Power {
    /// Members that it takes, because votes count heads.
    pub(crate) heads: usize,
    /// Stake of the members with the least stake that are that many, wei.
    pub(crate) stake: U256,
    /// The fewest members that hold such a share of the stake, because leader slots and rewards follow stake.
    pub(crate) by_stake: usize,
}

/// How concentrated a committee is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Concentration {
    /// More than a third: enough to stop the chain. Its `by_stake` is the Nakamoto coefficient.
    pub(crate) stall: Power,
    /// A quorum: enough to finalise alone.
    pub(crate) finalise: Power,
    /// Herfindahl-Hirschman index of stake: the sum of squared shares, 1/n for equal stakes, 1 for one holder.
    pub(crate) hhi: f64,
}

/// The stake of all members, wei.
pub(crate) fn total_stake(committee: &Committee) -> U256 {
    committee.members.iter().fold(U256::ZERO, |sum, member| sum.saturating_add(U256::from(member.weight)))
}

/// Measures a committee.
pub(crate) fn concentration(committee: &Committee) -> Concentration {
    let mut weights: Vec<U256> = committee.members.iter().map(|member| U256::from(member.weight)).collect();
    weights.sort_unstable();
    let total = total_stake(committee);
    let power = |heads: usize, thirds: u64| {
        let stake = weights.iter().take(heads).fold(U256::ZERO, |sum, weight| sum + weight);
        let (mut held, mut by_stake) = (U256::ZERO, 0);
        for weight in weights.iter().rev() {
            if held * U256::from(3) > total * U256::from(thirds) {
                break;
            }
            held += weight;
            by_stake += 1;
        }
        Power { heads, stake, by_stake }
    };
    let (members, quorum) = (weights.len(), committee.quorum());
    let whole = f64::from(total);
    let hhi = weights.iter().map(|weight| (f64::from(*weight) / whole).powi(2)).sum();
    Concentration { stall: power(members - quorum + 1, 1), finalise: power(quorum, 2), hhi }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{B256, FixedBytes};
    use oceanid_primitives::Member;

    fn committee(weights: &[u128]) -> Committee {
        let member = |(index, weight): (usize, &u128)| Member {
            id: index as u64 + 1,
            identity: B256::with_last_byte(index as u8),
            bls_key: FixedBytes::ZERO,
            weight: *weight,
        };
        Committee { id: 1, seed: B256::ZERO, members: weights.iter().enumerate().map(member).collect() }
    }

    #[test]
    fn equal_stakes() {
        let found = concentration(&committee(&[10; 4]));
        assert_eq!(found.stall, Power { heads: 2, stake: U256::from(20), by_stake: 2 });
        assert_eq!(found.finalise, Power { heads: 3, stake: U256::from(30), by_stake: 3 });
        assert!((found.hhi - 0.25).abs() < 1e-12);
    }

    #[test]
    fn one_large_holder() {
        let found = concentration(&committee(&[100, 20, 20, 20, 20, 20, 20]));
        assert_eq!(found.stall, Power { heads: 3, stake: U256::from(60), by_stake: 1 });
        assert_eq!(found.finalise, Power { heads: 5, stake: U256::from(100), by_stake: 4 });
        assert_eq!(concentration(&committee(&[u128::MAX])).hhi, 1.0);
    }
}
