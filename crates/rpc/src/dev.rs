//! Development methods of the embedded L1, under the names anvil and hardhat use.

use crate::backend::{AccountEdit, DevHooks, Network};
use crate::context::Context;
use crate::error::{RpcError, RpcResult};
use crate::evm::{Prepared, call_request, estimate};
use crate::params::Args;
use crate::registry::Registry;
use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, U64, U256};
use alloy_rpc_types_eth::TransactionRequest;
use serde_json::{Value, json};

/// Most blocks mined by one request.
const MAX_BLOCKS: u64 = 10_000;

pub(crate) fn register(registry: &mut Registry) {
    registry.call("evm_mine", |context: &Context, args: &mut Args<'_>| {
        if let Some(Quantity(timestamp)) = args.optional("timestamp")? {
            hooks(context)?.set_next_block_timestamp(timestamp).map_err(RpcError::server)?;
        }
        mine(context, 1, 0)?;
        Ok("0x0")
    });
    registry.call("evm_snapshot", |context: &Context, _: &mut Args<'_>| {
        hooks(context)?.snapshot().map(U64::from).map_err(RpcError::server)
    });
    registry.call("evm_revert", |context: &Context, args: &mut Args<'_>| {
        let id: Quantity = args.required("id")?;
        hooks(context)?.revert(id.0).map_err(RpcError::server)
    });
    registry.call("evm_increaseTime", |context: &Context, args: &mut Args<'_>| {
        let seconds: Quantity = args.required("seconds")?;
        hooks(context)?.increase_time(seconds.0).map(U64::from).map_err(RpcError::server)
    });
    registry.call("evm_setNextBlockTimestamp", |context: &Context, args: &mut Args<'_>| {
        let timestamp: Quantity = args.required("timestamp")?;
        hooks(context)?.set_next_block_timestamp(timestamp.0).map_err(RpcError::server)?;
        Ok(json!(true))
    });
    for name in ["anvil_mine", "hardhat_mine"] {
        registry.call(name, |context: &Context, args: &mut Args<'_>| {
            let blocks: Option<Quantity> = args.optional("blocks")?;
            let interval: Option<Quantity> = args.optional("interval")?;
            mine(context, blocks.map_or(1, |blocks| blocks.0), interval.map_or(0, |interval| interval.0))?;
            Ok(Value::Null)
        });
    }
    for name in ["anvil_setBalance", "hardhat_setBalance"] {
        registry.call(name, |context: &Context, args: &mut Args<'_>| {
            let address = args.required("address")?;
            let balance = Some(args.required("balance")?);
            edit(context, address, AccountEdit { balance, ..AccountEdit::default() })
        });
    }
    for name in ["anvil_setNonce", "hardhat_setNonce"] {
        registry.call(name, |context: &Context, args: &mut Args<'_>| {
            let address = args.required("address")?;
            let nonce: Quantity = args.required("nonce")?;
            edit(context, address, AccountEdit { nonce: Some(nonce.0), ..AccountEdit::default() })
        });
    }
    for name in ["anvil_setCode", "hardhat_setCode"] {
        registry.call(name, |context: &Context, args: &mut Args<'_>| {
            let address = args.required("address")?;
            let code = Some(args.required("code")?);
            edit(context, address, AccountEdit { code, ..AccountEdit::default() })
        });
    }
    for name in ["anvil_setStorageAt", "hardhat_setStorageAt"] {
        registry.call(name, |context: &Context, args: &mut Args<'_>| {
            let address = args.required("address")?;
            let slot: U256 = args.required("slot")?;
            let value: U256 = args.required("value")?;
            edit(context, address, AccountEdit { slots: vec![(slot, value)], ..AccountEdit::default() })?;
            Ok(json!(true))
        });
    }
    for (name, on) in [
        ("anvil_impersonateAccount", true),
        ("hardhat_impersonateAccount", true),
        ("anvil_stopImpersonatingAccount", false),
        ("hardhat_stopImpersonatingAccount", false),
    ] {
        let start: crate::registry::Handler<Value> = |context, args| impersonate(context, args, true);
        let stop: crate::registry::Handler<Value> = |context, args| impersonate(context, args, false);
        registry.light(name, if on { start } else { stop });
    }
    registry.call("eth_sendTransaction", send_transaction);
    for name in ["eth_sign", "eth_signTransaction", "eth_fillTransaction"] {
        registry.light(name, |_: &Context, _: &mut Args<'_>| Err::<Value, _>(no_keys()));
    }
}

fn no_keys() -> RpcError {
    RpcError::server("this node holds no keys: sign in the wallet, and send with eth_sendRawTransaction")
}

fn edit(context: &Context, address: Address, edit: AccountEdit) -> RpcResult<Value> {
    hooks(context)?.edit_account(address, edit).map_err(RpcError::server)?;
    Ok(Value::Null)
}

fn impersonate(context: &Context, args: &mut Args<'_>, on: bool) -> RpcResult<Value> {
    let address: Address = args.required("address")?;
    hooks(context)?.impersonate(address, on);
    Ok(Value::Null)
}

/// For impersonated accounts of the embedded L1 only; everyone else signs.
fn send_transaction(context: &Context, args: &mut Args<'_>) -> RpcResult<B256> {
    let request: TransactionRequest = args.required("transaction")?;
    let hooks = hooks(context).map_err(|_| no_keys())?;
    let from = request.from.ok_or_else(|| RpcError::invalid("transaction.from", "missing"))?;
    let base_fee = u128::from(context.backend.next_base_fee(&context.header(context.head())?));
    let nonce = match request.nonce {
        Some(nonce) => nonce,
        None => context.backend.pool.next_nonce(from)?,
    };
    let gas_limit = match request.gas {
        Some(gas) => gas,
        None => estimate(context, &Prepared::new(context, request.clone(), None, None, None)?)?,
    };
    let call = call_request(context, request)?;
    let transaction = TxEip1559 {
        chain_id: context.backend.chain_id,
        nonce,
        gas_limit,
        max_fee_per_gas: if call.gas_price == 0 { base_fee * 2 } else { call.gas_price },
        max_priority_fee_per_gas: call.priority_fee.unwrap_or_default(),
        to: call.to,
        value: call.value,
        input: call.input,
        access_list: call.access_list,
    };
    hooks.send_as(from, transaction).map_err(RpcError::server)
}

fn hooks(context: &Context) -> RpcResult<&dyn DevHooks> {
    match &context.backend.network {
        Network::Ethereum { dev: Some(dev), .. } => Ok(&**dev),
        _ => Err(RpcError::server("development methods exist on the embedded L1 only")),
    }
}

/// Mines blocks, `interval` seconds apart if that is not zero.
fn mine(context: &Context, blocks: u64, interval: u64) -> RpcResult<()> {
    if blocks > MAX_BLOCKS {
        return Err(RpcError::invalid("blocks", format!("{blocks}, limit {MAX_BLOCKS}")));
    }
    let hooks = hooks(context)?;
    if interval == 0 {
        return hooks.mine(blocks).map_err(RpcError::server);
    }
    for _ in 0..blocks {
        let timestamp = context.header(context.head())?.timestamp.saturating_add(interval);
        hooks.set_next_block_timestamp(timestamp).and_then(|()| hooks.mine(1)).map_err(RpcError::server)?;
    }
    Ok(())
}

/// A number: a hex quantity, a plain number, or a decimal string, as the various clients send it.
struct Quantity(u64);

impl<'de> serde::Deserialize<'de> for Quantity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number: U256 = serde::Deserialize::deserialize(deserializer)?;
        u64::try_from(number).map(Self).map_err(|_| serde::de::Error::custom("does not fit 64 bits"))
    }
}
