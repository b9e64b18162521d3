//! What to pay: gas price, tip, fee history.

use crate::context::Context;
use crate::convert::gas_used;
use crate::error::{RpcError, RpcResult};
use crate::params::Args;
use crate::registry::Registry;
use alloy_consensus::Transaction;
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{U64, U128};
use alloy_rpc_types_eth::FeeHistory;
use oceanid_store::CommittedBlock;

/// Most blocks of one fee history.
const MAX_HISTORY: u64 = 1_024;
/// Most percentiles of one fee history.
const MAX_PERCENTILES: usize = 100;
/// The tip suggested while blocks have room, wei per gas.
const MIN_TIP: u128 = 1_000_000;
/// Blocks looked at for the tip when they are full.
const TIP_BLOCKS: u64 = 8;
/// Percentile of the tips in those blocks that is suggested.
const TIP_PERCENTILE: usize = 60;

pub(crate) fn register(registry: &mut Registry) {
    registry.read("eth_gasPrice", gas_price);
    registry.light("eth_baseFee", |context: &Context, _: &mut Args<'_>| {
        Ok(U64::from(context.backend.next_base_fee(&context.header(context.head())?)))
    });
    registry.read("eth_maxPriorityFeePerGas", max_priority_fee);
    registry.light("eth_blobBaseFee", blob_base_fee);
    registry.read("eth_feeHistory", fee_history);
}

/// Next base fee with room for one full block, plus the tip.
fn gas_price(context: &Context, _: &mut Args<'_>) -> RpcResult<U128> {
    let base_fee = u128::from(context.backend.next_base_fee(&context.header(context.head())?));
    Ok(U128::from(base_fee + base_fee / 8 + suggested_tip(context)?))
}

fn max_priority_fee(context: &Context, _: &mut Args<'_>) -> RpcResult<U128> {
    suggested_tip(context).map(U128::from)
}

fn blob_base_fee(context: &Context, _: &mut Args<'_>) -> RpcResult<U128> {
    let header = context.header(context.head())?;
    let blobs = context.backend.rules(&header).fork().blobs;
    Ok(U128::from(header.next_block_blob_fee(blobs).unwrap_or(1)))
}

/// The floor while the newest block has room; else the 60th percentile of the tips of the last blocks.
fn suggested_tip(context: &Context) -> RpcResult<u128> {
    let head = context.head();
    let newest = context.header(head)?;
    if newest.gas_used < newest.gas_limit / 2 {
        return Ok(MIN_TIP);
    }
    let mut tips = Vec::new();
    for number in head.saturating_sub(TIP_BLOCKS - 1)..=head {
        if let Some(block) = context.block(number)? {
            tips.extend(tips_of(&block).map(|(tip, _)| tip));
        }
    }
    tips.sort_unstable();
    Ok(tips.get(tips.len() * TIP_PERCENTILE / 100).copied().unwrap_or(MIN_TIP).max(MIN_TIP))
}

/// Tip and gas used of every transaction that pays one.
fn tips_of(block: &CommittedBlock) -> impl Iterator<Item = (u128, u64)> + '_ {
    let base_fee = block.block.header().base_fee_per_gas.unwrap_or_default();
    let paying = block.block.body().iter().enumerate().filter(|(_, tx)| !tx.is_deposit());
    paying.map(move |(index, tx)| (tx.effective_tip_per_gas(base_fee).unwrap_or_default(), gas_used(&block.receipts, index)))
}

fn fee_history(context: &Context, args: &mut Args<'_>) -> RpcResult<FeeHistory> {
    let count: Count = args.required("blockCount")?;
    let newest: BlockNumberOrTag = args.required("newestBlock")?;
    let percentiles: Vec<f64> = args.optional("rewardPercentiles")?.unwrap_or_default();
    if percentiles.len() > MAX_PERCENTILES {
        let reason = format!("{} entries, limit {MAX_PERCENTILES}", percentiles.len());
        return Err(RpcError::invalid("rewardPercentiles", reason));
    }
    let ascending = percentiles.windows(2).all(|pair| pair[0] <= pair[1]);
    if !ascending || percentiles.iter().any(|percentile| !(0.0..=100.0).contains(percentile)) {
        return Err(RpcError::invalid("rewardPercentiles", "must be ascending numbers from 0 to 100"));
    }
    let newest = context.resolve(newest.into())?;
    let count = count.0.min(MAX_HISTORY).min(newest + 1);
    let mut history = FeeHistory { oldest_block: newest + 1 - count, ..FeeHistory::default() };
    if count == 0 {
        history.oldest_block = 0;
        return Ok(history);
    }
    let mut rewards = Vec::new();
    let mut next = (0, 0);
    for number in history.oldest_block..=newest {
        let header = context.header(number)?;
        let blobs = context.backend.rules(&header).fork().blobs;
        history.base_fee_per_gas.push(header.base_fee_per_gas.unwrap_or_default().into());
        history.gas_used_ratio.push(header.gas_used as f64 / header.gas_limit as f64);
        history.base_fee_per_blob_gas.push(header.blob_fee(blobs).unwrap_or(1));
        let blob_gas = header.blob_gas_used.unwrap_or_default() as f64;
        history.blob_gas_used_ratio.push(blob_gas / blobs.max_blob_gas_per_block() as f64);
        if !percentiles.is_empty() {
            rewards.push(match context.block(number)? {
                Some(block) => reward_percentiles(&block, &percentiles),
                None => vec![0; percentiles.len()],
            });
        }
        next = (u128::from(context.backend.next_base_fee(&header)), header.next_block_blob_fee(blobs).unwrap_or(1));
    }
    history.base_fee_per_gas.push(next.0);
    history.base_fee_per_blob_gas.push(next.1);
    history.reward = (!percentiles.is_empty()).then_some(rewards);
    Ok(history)
}

/// Tips at the percentiles of gas used, as `eth_feeHistory` defines them; zero for an empty block.
fn reward_percentiles(block: &CommittedBlock, percentiles: &[f64]) -> Vec<u128> {
    let mut tips: Vec<(u128, u64)> = tips_of(block).collect();
    tips.sort_unstable();
    let total: u64 = tips.iter().map(|(_, gas)| gas).sum();
    let at = |percentile: &f64| {
        let threshold = (total as f64 * percentile / 100.0) as u64;
        let mut sum = 0;
        let found = tips.iter().find(|(_, gas)| {
            sum += gas;
            sum >= threshold
        });
        found.map_or(0, |(tip, _)| *tip)
    };
    percentiles.iter().map(at).collect()
}

/// A block count: a quantity, or a plain number as some clients send it.
struct Count(u64);

impl<'de> serde::Deserialize<'de> for Count {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u64),
            Quantity(U64),
        }
        match Either::deserialize(deserializer) {
            Ok(Either::Number(count)) => Ok(Self(count)),
            Ok(Either::Quantity(count)) => Ok(Self(count.to())),
            Err(_) => Err(serde::de::Error::custom("must be a hex quantity of at most 64 bits")),
        }
    }
}
