//! Refusals of L1 contracts, by name: revert data decoded with the contracts' own errors.

use alloy_primitives::hex;
use alloy_sol_types::{ContractError, SolInterface};
use oceanid_contracts::l1::{FeeSplitter, MiningRewards, Portal, Rollup, SequencerPool, Slasher};

/// What revert data says, for people: the contract's error with its values, a text, or the bytes.
pub(crate) fn describe(data: &[u8]) -> String {
    if data.is_empty() {
        return "without a reason".to_owned();
    }
    /// An error of one contract, or one of Solidity's own (`Error(string)`, `Panic(uint256)`).
    fn named<E: SolInterface + core::fmt::Debug>(data: &[u8]) -> Option<String> {
        match ContractError::<E>::abi_decode(data).ok()? {
            ContractError::CustomError(error) => Some(inner(&format!("{error:?}"))),
            ContractError::Revert(text) => Some(text.to_string()),
            ContractError::Panic(panic) => Some(panic.to_string()),
        }
    }
    named::<Rollup::RollupErrors>(data)
        .or_else(|| named::<SequencerPool::SequencerPoolErrors>(data))
        .or_else(|| named::<Portal::PortalErrors>(data))
        .or_else(|| named::<Slasher::SlasherErrors>(data))
        .or_else(|| named::<MiningRewards::MiningRewardsErrors>(data))
        .or_else(|| named::<FeeSplitter::FeeSplitterErrors>(data))
        .unwrap_or_else(|| format!("with {}", hex::encode_prefixed(data)))
}

/// `Name(Name { .. })` without the repetition.
fn inner(debug: &str) -> String {
    debug.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(debug).to_owned()
}

/// True if `data` is this error.
pub(crate) fn is<E: alloy_sol_types::SolError>(data: &[u8]) -> bool {
    data.starts_with(&E::SELECTOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::U256;
    use alloy_sol_types::{Revert, SolError};

    #[test]
    fn errors_are_named_and_hostile_data_is_shown() {
        let error = Rollup::ParentNotLatest { parentIndex: U256::from(3), latestIndex: U256::from(4) }.abi_encode();
        assert_eq!(describe(&error), "ParentNotLatest { parentIndex: 3, latestIndex: 4 }");
        assert!(is::<Rollup::ParentNotLatest>(&error) && !is::<Rollup::GapInChain>(&error));
        assert!(describe(&Revert::from("no").abi_encode()).contains("no"));
        assert_eq!(describe(&[1, 2, 3]), "with 0x010203");
        assert_eq!(describe(&[]), "without a reason");
        for end in 0..error.len() {
            let _ = describe(&error[..end]);
        }
    }
}
