//! `eth_config` (EIP-7910): the rules in force and those that are scheduled.

use crate::context::Context;
use crate::error::RpcResult;
use crate::params::Args;
use crate::registry::Registry;
use alloy_eips::eip4788::BEACON_ROOTS_ADDRESS;
use alloy_eips::eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS;
use alloy_eips::eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS;
use alloy_primitives::{Address, Bytes, U64, U160};
use oceanid_primitives::predeploys::{HISTORY_STORAGE, NATIVE_TRANSFER};
use oceanid_stf::revm::primitives::hardfork::SpecId;
use oceanid_stf::{Rules, is_precompile};
use serde_json::{Map, Value, json};

/// Names of precompiles as EIP-7910 and the EIPs that brought them have them.
const PRECOMPILES: [(&str, u64); 18] = [
    ("ECREC", 0x01),
    ("SHA256", 0x02),
    ("RIPEMD160", 0x03),
    ("ID", 0x04),
    ("MODEXP", 0x05),
    ("BN254_ADD", 0x06),
    ("BN254_MUL", 0x07),
    ("BN254_PAIRING", 0x08),
    ("BLAKE2F", 0x09),
    ("KZG_POINT_EVALUATION", 0x0a),
    ("BLS12_G1ADD", 0x0b),
    ("BLS12_G1MSM", 0x0c),
    ("BLS12_G2ADD", 0x0d),
    ("BLS12_G2MSM", 0x0e),
    ("BLS12_PAIRING_CHECK", 0x0f),
    ("BLS12_MAP_FP_TO_G1", 0x10),
    ("BLS12_MAP_FP2_TO_G2", 0x11),
    ("P256VERIFY", 0x100),
];

pub(crate) fn register(registry: &mut Registry) {
    registry.light("eth_config", |context: &Context, _: &mut Args<'_>| {
        let head = context.header(context.head())?;
        let (current, next, last) = match context.backend.imported_chain() {
            Some(chain) => chain.forks().activations(head.timestamp),
            None => (0, None, None),
        };
        let shown = |time: Option<u64>| time.map(|time| config(context, head.number, time)).transpose();
        Ok(json!({ "current": config(context, head.number, current)?, "next": shown(next)?, "last": shown(last)? }))
    });
}

/// The configuration that begins at `time`; `number` is the head's.
fn config(context: &Context, number: u64, time: u64) -> RpcResult<Value> {
    let rules = context.backend.rules_at(number, time);
    let blobs = rules.fork().blobs;
    let mut precompiles: Map<String, Value> = PRECOMPILES
        .iter()
        .map(|(name, place)| (*name, Address::from(U160::from(*place))))
        .filter(|(_, address)| is_precompile(rules, address))
        .map(|(name, address)| (name.to_owned(), lower(address)))
        .collect();
    if rules.is_rollup() {
        precompiles.insert("NATIVE_TRANSFER".into(), lower(NATIVE_TRANSFER));
    }
    let schedule = json!({
        "target": blobs.target_blob_count,
        "max": blobs.max_blob_count,
        "baseFeeUpdateFraction": blobs.update_fraction as u64,
    });
    Ok(json!({
        "activationTime": time,
        // Layer 2 takes no blobs.
        "blobSchedule": if rules.is_rollup() { Value::Null } else { schedule },
        "chainId": U64::from(context.backend.chain_id),
        "forkId": Bytes::from(fork_id(context, number, time)?),
        "precompiles": precompiles,
        "systemContracts": system_contracts(context, rules),
    }))
}

fn system_contracts(context: &Context, rules: Rules) -> Value {
    let spec = rules.fork().spec;
    let mut contracts = Map::new();
    let mut add = |name: &str, address: Address| contracts.insert(name.to_owned(), lower(address));
    if spec.is_enabled_in(SpecId::PRAGUE) {
        add("HISTORY_STORAGE_ADDRESS", HISTORY_STORAGE);
    }
    if !rules.is_rollup() && spec.is_enabled_in(SpecId::CANCUN) {
        add("BEACON_ROOTS_ADDRESS", BEACON_ROOTS_ADDRESS);
    }
    // The embedded L1 has no consensus layer that validators ask something of.
    if let Some(chain) = context.backend.imported_chain()
        && spec.is_enabled_in(SpecId::PRAGUE)
    {
        add("WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS", WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS);
        add("CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS", CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS);
        if let Some(address) = chain.forks().deposit_contract() {
            add("DEPOSIT_CONTRACT_ADDRESS", address);
        }
    }
    Value::Object(contracts)
}

/// Addresses in this answer have no checksum.
fn lower(address: Address) -> Value {
    Value::String(format!("{address:#x}"))
}

fn fork_id(context: &Context, number: u64, time: u64) -> RpcResult<[u8; 4]> {
    let genesis = context.header(0)?;
    let hash = context.backend.store.hash_of(0)?.unwrap_or_default();
    Ok(match context.backend.imported_chain() {
        Some(chain) => chain.forks().fork_id(hash, genesis.timestamp, number, time),
        // No forks after genesis.
        None => oceanid_chain::ForkSchedule::default().fork_id(hash, genesis.timestamp, 0, 0),
    })
}
