//! Development methods of the embedded L1, under the names anvil and hardhat use.

use crate::backend::{DevHooks, Network};
use crate::context::Context;
use crate::error::{RpcError, RpcResult};
use crate::params::Args;
use crate::registry::Registry;
use alloy_primitives::{Address, U64, U256};
use serde_json::{Value, json};

/// Most blocks mined by one request.
const MAX_BLOCKS: u64 = 10_000;

pub(crate) fn register(registry: &mut Registry) {
    registry.heavy("evm_mine", |context: &Context, _: &mut Args<'_>| {
        mine(context, 1)?;
        Ok("0x0")
    });
    for name in ["anvil_mine", "hardhat_mine"] {
        registry.heavy(name, |context: &Context, args: &mut Args<'_>| {
            let blocks: Option<Quantity> = args.optional("blocks")?;
            mine(context, blocks.map_or(1, |blocks| blocks.0))?;
            Ok(Value::Null)
        });
    }
    registry.heavy("evm_increaseTime", |context: &Context, args: &mut Args<'_>| {
        let seconds: Quantity = args.required("seconds")?;
        hooks(context)?.increase_time(seconds.0).map(U64::from).map_err(RpcError::server)
    });
    registry.heavy("evm_setNextBlockTimestamp", |context: &Context, args: &mut Args<'_>| {
        let timestamp: Quantity = args.required("timestamp")?;
        hooks(context)?.set_next_block_timestamp(timestamp.0).map_err(RpcError::server)?;
        Ok(json!(true))
    });
    for name in ["anvil_setBalance", "hardhat_setBalance"] {
        registry.heavy(name, |context: &Context, args: &mut Args<'_>| {
            let address: Address = args.required("address")?;
            let balance: U256 = args.required("balance")?;
            hooks(context)?.set_balance(address, balance).map_err(RpcError::server)?;
            Ok(Value::Null)
        });
    }
}

fn hooks(context: &Context) -> RpcResult<&dyn DevHooks> {
    match &context.backend.network {
        Network::Ethereum { dev: Some(dev), .. } => Ok(&**dev),
        _ => Err(RpcError::server("development methods exist on the embedded L1 only")),
    }
}

fn mine(context: &Context, blocks: u64) -> RpcResult<()> {
    if blocks > MAX_BLOCKS {
        return Err(RpcError::invalid("blocks", format!("{blocks}, limit {MAX_BLOCKS}")));
    }
    hooks(context)?.mine(blocks).map_err(RpcError::server)
}

/// A number: a hex quantity, a plain number, or a decimal string, as the various clients send it.
struct Quantity(u64);

impl<'de> serde::Deserialize<'de> for Quantity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number: U256 = serde::Deserialize::deserialize(deserializer)?;
        u64::try_from(number).map(Self).map_err(|_| serde::de::Error::custom("does not fit 64 bits"))
    }
}
