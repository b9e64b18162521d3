//! What contracts say no with, in words.

use super::{span, status, whole};
use alloy_primitives::U256;
use alloy_sol_types::{Revert, SolError, SolInterface};
use alloy_transport::{RpcError, TransportError};
use oceanid_contracts::l1::MiningRewards::MiningRewardsErrors;
use oceanid_contracts::l1::OceanidToken::OceanidTokenErrors;
use oceanid_contracts::l1::Portal::PortalErrors;
use oceanid_contracts::l1::SequencerPool::{self, SequencerPoolErrors};
use oceanid_contracts::l1::UnbondingTicket::UnbondingTicketErrors;

/// A call that failed, in one line.
pub(super) fn reverted(what: &str, error: TransportError) -> eyre::Report {
    match &error {
        RpcError::ErrorResp(response) => match response.as_revert_data() {
            Some(data) => eyre::eyre!("{what}: {}", explain(&data)),
            None => eyre::eyre!("{what}: {}", response.message),
        },
        _ => eyre::Report::new(error).wrap_err("L1 does not answer"),
    }
}

/// Revert data by the error's name; the ones an operator meets, in words.
pub(super) fn explain(data: &[u8]) -> String {
    if let Ok(error) = SequencerPoolErrors::abi_decode(data) {
        return pool(&error);
    }
    if let Ok(error) = MiningRewardsErrors::abi_decode(data) {
        return named(&error);
    }
    if let Ok(error) = OceanidTokenErrors::abi_decode(data) {
        return named(&error);
    }
    if let Ok(error) = UnbondingTicketErrors::abi_decode(data) {
        return named(&error);
    }
    if let Ok(error) = PortalErrors::abi_decode(data) {
        return named(&error);
    }
    if let Ok(error) = Revert::abi_decode(data) {
        return error.reason;
    }
    if data.is_empty() {
        "reverted without a reason".to_owned()
    } else {
        format!("reverted with {}", alloy_primitives::hex::encode_prefixed(data))
    }
}

fn pool(error: &SequencerPoolErrors) -> String {
    use SequencerPoolErrors as E;
    match error {
        E::LockOutOfRange(SequencerPool::LockOutOfRange { amount, minLock, maxLock }) => {
            format!("LockOutOfRange: the lock would be {}, must be {} to {}", whole(*amount), whole(*minLock), whole(*maxLock))
        }
        E::DecreaseTooSmall(SequencerPool::DecreaseTooSmall { amount, minimum }) => {
            format!("DecreaseTooSmall: {} is taken out, must be at least {}", whole(*amount), whole(*minimum))
        }
        E::KeysUpdatedTooEarly(SequencerPool::KeysUpdatedTooEarly { id, nextUpdate }) => {
            format!(
                "KeysUpdatedTooEarly: sequencer {id} can change its keys again from L1 time {nextUpdate}{}",
                remaining(*nextUpdate)
            )
        }
        E::QueueFull(SequencerPool::QueueFull { smallest }) => {
            format!("QueueFull: the queue is full, the lock must be above {}", whole(*smallest))
        }
        E::NotOwner(SequencerPool::NotOwner { caller, id }) => {
            format!("NotOwner: {caller} does not own sequencer {id}; name the owner's keystore with --account")
        }
        E::StillUnbonding(SequencerPool::StillUnbonding { ticketId, claimableAt }) => {
            format!("StillUnbonding: ticket {ticketId} can be claimed from L1 time {claimableAt}{}", remaining(*claimableAt))
        }
        E::StillInExitQueue(SequencerPool::StillInExitQueue { id, completableAt }) => {
            format!(
                "StillInExitQueue: sequencer {id} waits for a rotation; without one it can leave from L1 time {completableAt}{}",
                remaining(*completableAt)
            )
        }
        E::StillJailed(SequencerPool::StillJailed { id, until }) => {
            format!("StillJailed: sequencer {id} can come back from L1 time {until}{}", remaining(*until))
        }
        E::RotationTooEarly(SequencerPool::RotationTooEarly { nextRotation }) => {
            format!("RotationTooEarly: the next rotation is due at L1 time {nextRotation}{}", remaining(*nextRotation))
        }
        E::WrongStatus(SequencerPool::WrongStatus { id, status }) => {
            format!("WrongStatus: sequencer {id} is {}, which does not go with this", status::name(*status))
        }
        E::JoinsPaused(_) => "JoinsPaused: the pool takes no new sequencers at the moment".to_owned(),
        E::PossessionNotProven(_) => "PossessionNotProven: the proof is for another owner, pool or L1".to_owned(),
        other => named(other),
    }
}

/// ` (in 5 min by this machine's clock)`.
fn remaining(at: U256) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match u64::try_from(at).unwrap_or(u64::MAX).checked_sub(now) {
        Some(seconds) if seconds > 0 => format!(", in {} by this machine's clock", span(seconds)),
        _ => String::new(),
    }
}

/// `WrongStatus { id: 5, status: 3 }` out of `WrongStatus(WrongStatus { id: 5, status: 3 })`.
fn named(error: &impl core::fmt::Debug) -> String {
    let text = format!("{error:?}");
    text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::Address;

    #[test]
    fn contract_errors_are_said_by_name_with_field_and_limit() {
        let range = SequencerPool::LockOutOfRange {
            amount: U256::from(1),
            minLock: crate::sequencer::tokens("20000").unwrap(),
            maxLock: crate::sequencer::tokens("100000").unwrap(),
        };
        assert_eq!(
            explain(&range.abi_encode()),
            "LockOutOfRange: the lock would be 0.000000000000000001, must be 20000 to 100000"
        );
        let early = SequencerPool::StillUnbonding { ticketId: U256::from(3), claimableAt: U256::from(7) };
        assert_eq!(explain(&early.abi_encode()), "StillUnbonding: ticket 3 can be claimed from L1 time 7");
        let stranger = SequencerPool::UnknownSequencer { id: 9 };
        assert_eq!(explain(&stranger.abi_encode()), "UnknownSequencer { id: 9 }");
        let poor = oceanid_contracts::l1::OceanidToken::ERC20InsufficientBalance {
            sender: Address::ZERO,
            balance: U256::from(1),
            needed: U256::from(2),
        };
        assert!(
            explain(&poor.abi_encode()).starts_with("ERC20InsufficientBalance { sender: 0x"),
            "{}",
            explain(&poor.abi_encode())
        );
        assert_eq!(explain(&[]), "reverted without a reason");
        assert_eq!(explain(&[1, 2, 3, 4]), "reverted with 0x01020304");
    }
}
