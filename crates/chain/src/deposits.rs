//! The L1 part of a block: which origin it names, and which deposits it then begins with.

use crate::{CheckError, InvalidBlock, Missing};
use alloy_rlp::Encodable;
use oceanid_primitives::{ChainSpec, Header, HeaderExtension, L1Block, L1Origin, L1View, TxEnvelope, l1_info_deposit};
use std::sync::Arc;

/// The deposits a block must begin with when its origin moves from `from` to `to`: the system deposit of `to`, then every user
/// deposit of the L1 blocks after `from` up to `to`, in order. Empty when the origin stays.
///
/// # Errors
///
/// [`Missing::L1Block`] if this node's L1 does not reach that far; [`Missing::Origin`] or [`Missing::OriginChain`] if it has another
/// history there, which says nothing about the block: either view may be the one that gives way.
pub fn deposits_between(l1: &dyn L1View, from: L1Origin, to: L1Origin) -> Result<Vec<TxEnvelope>, Missing> {
    let blocks = (from.number + 1..=to.number)
        .map(|number| l1.block(number).ok_or(Missing::L1Block { number }))
        .collect::<Result<Vec<_>, _>>()?;
    let Some(origin) = blocks.last() else { return Ok(Vec::new()) };
    if origin.hash != to.hash {
        return Err(Missing::Origin { origin: to, here: origin.hash });
    }
    let mut expected = from.hash;
    for block in &blocks {
        if block.parent_hash != expected {
            return Err(Missing::OriginChain { number: block.number, expected, got: block.parent_hash });
        }
        expected = block.hash;
    }
    Ok(deposits_of(&blocks))
}

/// Deposits of consecutive L1 blocks whose last becomes the origin.
pub(crate) fn deposits_of(blocks: &[Arc<L1Block>]) -> Vec<TxEnvelope> {
    let Some(origin) = blocks.last() else { return Vec::new() };
    let users = blocks.iter().flat_map(|block| block.deposits.iter().cloned());
    std::iter::once(l1_info_deposit(origin)).chain(users).map(TxEnvelope::from).collect()
}

/// The L1 blocks a builder takes in: as many as are known, connected, not newer than `timestamp`, within the specification's
/// advance, and whose deposits fit in a block by gas and in `max_bytes`.
pub(crate) fn next_l1_blocks(
    spec: &ChainSpec,
    l1: &dyn L1View,
    from: L1Origin,
    timestamp: u64,
    max_bytes: usize,
) -> Vec<Arc<L1Block>> {
    let Some(newest) = l1.newest_origin() else { return Vec::new() };
    let to = newest.number.min(from.number.saturating_add(spec.timing.max_origin_advance));
    let mut taken: Vec<Arc<L1Block>> = Vec::new();
    let (mut gas, mut bytes) = (0u64, 0usize);
    for number in from.number + 1..=to {
        let Some(block) = l1.block(number) else { break };
        let before = taken.last().map_or(from.hash, |block| block.hash);
        if block.parent_hash != before {
            tracing::warn!(number, "L1 does not continue from the origin this chain has named: the origin stays");
            break;
        }
        if block.timestamp > timestamp {
            break;
        }
        gas = block.deposits.iter().fold(gas, |sum, deposit| sum.saturating_add(deposit.gas_limit));
        bytes += block.deposits.iter().map(|deposit| TxEnvelope::from(deposit.clone()).length()).sum::<usize>();
        let system = l1_info_deposit(&block);
        if gas.saturating_add(system.gas_limit) > spec.fees.gas_limit || bytes + TxEnvelope::from(system).length() > max_bytes {
            if taken.is_empty() {
                tracing::warn!(number, gas, bytes, "the deposits of one L1 block do not fit in a block: the origin stays");
            }
            break;
        }
        taken.push(block);
    }
    taken
}

/// The builder's bound, on every validator and follower: a leader that takes in more L1 blocks than fit would make the rest of the deposits
/// fail. It needs no L1.
pub(crate) fn check_deposit_gas(gas_limit: u64, body: &[TxEnvelope]) -> Result<(), InvalidBlock> {
    let deposits = body.iter().filter_map(TxEnvelope::as_deposit);
    let gas = deposits.fold(0u64, |sum, deposit| sum.saturating_add(deposit.inner().gas_limit));
    if gas > gas_limit { Err(InvalidBlock::DepositGas { gas, limit: gas_limit }) } else { Ok(()) }
}

/// Checks origin and deposits of a block against this node's L1.
pub(crate) fn check_deposits(
    l1: &dyn L1View,
    parent: &HeaderExtension,
    header: &Header,
    extension: &HeaderExtension,
    body: &[TxEnvelope],
) -> Result<(), CheckError> {
    let due = deposits_between(l1, parent.origin, extension.origin)?;
    if extension.origin.number > parent.origin.number
        && let Some(origin) = l1.block(extension.origin.number)
        && header.timestamp < origin.timestamp
    {
        return Err(InvalidBlock::BeforeOrigin { origin: origin.timestamp, got: header.timestamp }.into());
    }
    for (index, deposit) in due.iter().enumerate() {
        let got = body.get(index).map(|transaction| *transaction.hash());
        if got != Some(*deposit.hash()) {
            return Err(InvalidBlock::Deposit { index, expected: *deposit.hash(), got }.into());
        }
    }
    match body.iter().enumerate().skip(due.len()).find(|(_, transaction)| transaction.is_deposit()) {
        Some((index, transaction)) => Err(InvalidBlock::ExtraDeposit { index, hash: *transaction.hash() }.into()),
        None => Ok(()),
    }
}
