//! The `eth_`, `net_` and `web3_` methods that read and send.

use crate::backend::Network;
use crate::batch;
use crate::context::Context;
use crate::convert::{self, RpcBlock, RpcReceipt, RpcTransaction};
use crate::error::{RpcError, RpcResult};
use crate::params::Args;
use crate::registry::Registry;
use alloy_consensus::Sealed;
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U64, U256, keccak256};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, EIP1186StorageProof, Header, SyncStatus};
use alloy_serde::JsonStorageKey;
use oceanid_primitives::{TxEnvelope, predeploys};
use oceanid_stf::{AccountState, L1Prices, StateReader, l1_data_fee};
use oceanid_store::{CommittedBlock, StoreError};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most storage keys in one proof, or in one look at several.
const MAX_PROOF_KEYS: usize = 1_024;
/// How long `eth_sendRawTransactionSync` waits unless the caller says, milliseconds.
const DEFAULT_SYNC_MS: u64 = 2_000;
/// How long it waits at most, milliseconds.
const MAX_SYNC_MS: u64 = 60_000;

pub(crate) fn register(registry: &mut Registry) {
    registry.light("web3_clientVersion", |_: &Context, _: &mut Args<'_>| Ok(client_version()));
    registry.light("web3_sha3", |_: &Context, args: &mut Args<'_>| Ok(keccak256(args.required::<Bytes>("data")?)));
    registry.light("net_version", |context: &Context, _: &mut Args<'_>| Ok(context.backend.chain_id.to_string()));
    registry.light("net_listening", |_: &Context, _: &mut Args<'_>| Ok(true));
    registry.light("net_peerCount", |context: &Context, _: &mut Args<'_>| Ok(U64::from(peers(context))));

    registry.light("eth_chainId", |context: &Context, _: &mut Args<'_>| Ok(U64::from(context.backend.chain_id)));
    registry.light("eth_protocolVersion", |_: &Context, _: &mut Args<'_>| Ok(U64::from(68)));
    registry.light("eth_blockNumber", |context: &Context, _: &mut Args<'_>| Ok(U64::from(context.head())));
    registry.light("eth_syncing", syncing);
    registry.light("eth_accounts", |_: &Context, _: &mut Args<'_>| Ok(Vec::<Address>::new()));
    registry.light("eth_mining", |_: &Context, _: &mut Args<'_>| Ok(false));

    registry.light("eth_capabilities", capabilities);
    registry.light("rpc_modules", |context: &Context, _: &mut Args<'_>| {
        let methods = crate::catalogue(context.is_rollup());
        let served = methods.into_iter().filter(|method| context.config.serves(method));
        let names = served.filter_map(|method| method.split_once('_'));
        Ok(names.map(|(module, _)| (module, "1.0")).collect::<BTreeMap<_, _>>())
    });

    registry.light("eth_getBalance", |context: &Context, args: &mut Args<'_>| Ok(account(context, args)?.balance));
    registry.light("eth_getTransactionCount", transaction_count);
    registry.light("eth_getCode", code);
    registry.light("eth_getStorageAt", storage_at);
    registry.read("eth_getStorageValues", storage_values);
    registry.read("eth_getProof", proof);

    registry.read("eth_getBlockByNumber", |context: &Context, args: &mut Args<'_>| {
        let tag: BlockNumberOrTag = args.required("block")?;
        let full = args.optional("fullTransactions")?.unwrap_or(false);
        block(context, tag.into(), full)
    });
    registry.read("eth_getBlockByHash", |context: &Context, args: &mut Args<'_>| {
        let hash: B256 = args.required("blockHash")?;
        let full = args.optional("fullTransactions")?.unwrap_or(false);
        block(context, hash.into(), full)
    });
    registry.read("eth_getHeaderByNumber", |context: &Context, args: &mut Args<'_>| {
        let tag: BlockNumberOrTag = args.required("block")?;
        Ok(find_block(context, tag.into())?.map(|block| convert::header(&block, &context.backend.extras(block.block.number()))))
    });
    registry.read("eth_getHeaderByHash", |context: &Context, args: &mut Args<'_>| {
        let hash: B256 = args.required("blockHash")?;
        Ok(find_block(context, hash.into())?.map(|block| convert::header(&block, &context.backend.extras(block.block.number()))))
    });
    registry.read("eth_getBlockReceipts", |context: &Context, args: &mut Args<'_>| {
        let Some(block) = find_block(context, args.required("block")?)? else { return Ok(None) };
        receipts(context, &block).map(Some)
    });
    registry.read("eth_getBlockTransactionCountByNumber", |context: &Context, args: &mut Args<'_>| {
        let tag: BlockNumberOrTag = args.required("block")?;
        Ok(find_block(context, tag.into())?.map(|block| U64::from(block.block.body().len())))
    });
    registry.read("eth_getBlockTransactionCountByHash", |context: &Context, args: &mut Args<'_>| {
        let hash: B256 = args.required("blockHash")?;
        Ok(find_block(context, hash.into())?.map(|block| U64::from(block.block.body().len())))
    });
    registry.light("eth_getUncleCountByBlockNumber", |context: &Context, args: &mut Args<'_>| {
        let tag: BlockNumberOrTag = args.required("block")?;
        Ok(context.find(tag.into())?.map(|number| U64::from(context.backend.extras(number).ommers.len())))
    });
    registry.light("eth_getUncleCountByBlockHash", |context: &Context, args: &mut Args<'_>| {
        let hash: B256 = args.required("blockHash")?;
        Ok(context.find(hash.into())?.map(|number| U64::from(context.backend.extras(number).ommers.len())))
    });
    registry.light("eth_getUncleByBlockNumberAndIndex", |context: &Context, args: &mut Args<'_>| {
        let tag: BlockNumberOrTag = args.required("block")?;
        ommer(context, tag.into(), args.required("index")?)
    });
    registry.light("eth_getUncleByBlockHashAndIndex", |context: &Context, args: &mut Args<'_>| {
        let hash: B256 = args.required("blockHash")?;
        ommer(context, hash.into(), args.required("index")?)
    });

    registry.read("eth_getTransactionByHash", |context: &Context, args: &mut Args<'_>| {
        transaction_by_hash(context, args.required("hash")?)
    });
    registry.read("eth_getTransactionByBlockNumberAndIndex", |context: &Context, args: &mut Args<'_>| {
        let tag: BlockNumberOrTag = args.required("block")?;
        let index: U64 = args.required("index")?;
        Ok(find_block(context, tag.into())?.and_then(|block| convert::included(&block, index.saturating_to())))
    });
    registry.read("eth_getTransactionByBlockHashAndIndex", |context: &Context, args: &mut Args<'_>| {
        let hash: B256 = args.required("blockHash")?;
        let index: U64 = args.required("index")?;
        Ok(find_block(context, hash.into())?.and_then(|block| convert::included(&block, index.saturating_to())))
    });
    registry.read("eth_getRawTransactionByHash", |context: &Context, args: &mut Args<'_>| {
        let hash: B256 = args.required("hash")?;
        if let Some((block, index)) = context.transaction(hash)? {
            return Ok(block.block.body().get(index).map(|tx| Bytes::from(tx.encoded_2718())));
        }
        Ok(context.backend.pool.get(&hash).map(|pooled| Bytes::from(pooled.envelope().encoded_2718())))
    });
    registry.read("eth_getTransactionReceipt", |context: &Context, args: &mut Args<'_>| {
        let hash: B256 = args.required("hash")?;
        transaction_receipt(context, hash)
    });

    register_send(registry);
}

/// `Oceanid/v0.1.0/linux-x86_64`.
fn client_version() -> String {
    format!("Oceanid/v{}/{}-{}", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH)
}

fn peers(context: &Context) -> usize {
    match &context.backend.network {
        Network::Rollup { status, .. } => status.peers(),
        Network::Ethereum { .. } => 0,
    }
}

fn syncing(context: &Context, _: &mut Args<'_>) -> RpcResult<SyncStatus> {
    Ok(sync_status(context))
}

pub(crate) fn sync_status(context: &Context) -> SyncStatus {
    let progress = match &context.backend.network {
        Network::Rollup { status, .. } => status.syncing(),
        Network::Ethereum { .. } => None,
    };
    progress.map_or(SyncStatus::None, |progress| {
        SyncStatus::Info(Box::new(alloy_rpc_types_eth::SyncInfo {
            starting_block: U256::from(progress.starting),
            current_block: U256::from(progress.current),
            highest_block: U256::from(progress.highest),
            ..Default::default()
        }))
    })
}

/// From which block on what can be asked for: blocks, receipts and logs are kept for ever, state is pruned.
fn capabilities(context: &Context, _: &mut Args<'_>) -> RpcResult<Value> {
    let store = &context.backend.store;
    let head = store.head();
    let state = U64::from(store.oldest_state());
    let all = json!({ "disabled": false, "oldestBlock": U64::ZERO });
    let recent = json!({ "disabled": false, "oldestBlock": state });
    Ok(json!({
        "head": { "number": U64::from(head.number), "hash": head.hash },
        "state": recent,
        "stateproofs": recent,
        "tx": all,
        "logs": all,
        "receipts": all,
        "blocks": all,
    }))
}

/// Parameters: address, block.
fn account(context: &Context, args: &mut Args<'_>) -> RpcResult<AccountState> {
    let address: Address = args.required("address")?;
    let view = context.state(args.optional("block")?)?;
    Ok(view.account(address)?.unwrap_or_default())
}

fn transaction_count(context: &Context, args: &mut Args<'_>) -> RpcResult<U64> {
    let address: Address = args.required("address")?;
    let block: Option<BlockId> = args.optional("block")?;
    if block == Some(BlockId::pending()) {
        return Ok(U64::from(context.backend.pool.next_nonce(address)?));
    }
    Ok(U64::from(context.state(block)?.account(address)?.unwrap_or_default().nonce))
}

fn code(context: &Context, args: &mut Args<'_>) -> RpcResult<Bytes> {
    let address: Address = args.required("address")?;
    let view = context.state(args.optional("block")?)?;
    match view.account(address)? {
        Some(account) if account.code_hash != KECCAK256_EMPTY => Ok(view.code(account.code_hash)?),
        _ => Ok(Bytes::new()),
    }
}

fn storage_at(context: &Context, args: &mut Args<'_>) -> RpcResult<B256> {
    let address: Address = args.required("address")?;
    let text: String = args.required("slot")?;
    if text.trim_start_matches("0x").len() > 2 * size_of::<B256>() {
        return Err(RpcError::invalid("slot", "longer than 32 bytes"));
    }
    let slot: JsonStorageKey = serde_json::from_value(Value::String(text)).map_err(|error| RpcError::invalid("slot", error))?;
    let view = context.state(args.optional("block")?)?;
    Ok(view.storage(address, slot.as_b256().into())?.into())
}

/// Slots of several accounts at once.
fn storage_values(context: &Context, args: &mut Args<'_>) -> RpcResult<BTreeMap<Address, Vec<B256>>> {
    let asked: BTreeMap<Address, Vec<JsonStorageKey>> = args.required("slots")?;
    let count: usize = asked.values().map(Vec::len).sum();
    if count == 0 || count > MAX_PROOF_KEYS {
        return Err(RpcError::invalid("slots", format!("{count} slots, must be 1 to {MAX_PROOF_KEYS}")));
    }
    let view = context.state(args.optional("block")?)?;
    let mut values = BTreeMap::new();
    for (address, slots) in asked {
        let read = |slot: JsonStorageKey| Ok::<_, RpcError>(view.storage(address, slot.as_b256().into())?.into());
        values.insert(address, slots.into_iter().map(read).collect::<RpcResult<_>>()?);
    }
    Ok(values)
}

/// EIP-1186. Of the message passer also at blocks whose state is gone: then without the account's proof, its storage hash being
/// the header's `withdrawalsRoot`.
fn proof(context: &Context, args: &mut Args<'_>) -> RpcResult<EIP1186AccountProofResponse> {
    let address: Address = args.required("address")?;
    let keys: Vec<JsonStorageKey> = args.optional("storageKeys")?.unwrap_or_default();
    if keys.len() > MAX_PROOF_KEYS {
        return Err(RpcError::invalid("storageKeys", format!("{} keys, limit {MAX_PROOF_KEYS}", keys.len())));
    }
    let block: Option<BlockId> = args.optional("block")?;
    let number = block.map_or_else(|| Ok(context.head()), |id| context.resolve(id))?;
    let slots: Vec<U256> = keys.iter().map(|key| key.as_b256().into()).collect();
    let store = &context.backend.store;

    let mut answer = EIP1186AccountProofResponse { address, ..Default::default() };
    let proofs = match store.view_at(number) {
        Ok(view) => {
            let proof = view.proof(address, &slots)?;
            answer.account_proof = proof.account_proof;
            match proof.account {
                Some(account) => {
                    answer.balance = account.balance;
                    answer.nonce = account.nonce;
                    answer.code_hash = account.code_hash;
                    answer.storage_hash = account.storage_root;
                }
                None => {
                    answer.code_hash = KECCAK256_EMPTY;
                    answer.storage_hash = alloy_consensus::constants::EMPTY_ROOT_HASH;
                }
            }
            proof.storage
        }
        Err(StoreError::Pruned { .. }) if context.is_rollup() && address == predeploys::MESSAGE_PASSER => {
            // Only its storage changes: the rest is as it is now.
            let account = store.view().account(address)?.unwrap_or_default();
            answer.balance = account.balance;
            answer.nonce = account.nonce;
            answer.code_hash = account.code_hash;
            answer.storage_hash = context.header(number)?.withdrawals_root.unwrap_or_default();
            store.retained_proof(address, answer.storage_hash, &slots)?
        }
        Err(error) => return Err(error.into()),
    };
    answer.storage_proof = keys
        .into_iter()
        .zip(proofs)
        .map(|(key, (_, proof))| EIP1186StorageProof { key, value: proof.value, proof: proof.proof })
        .collect();
    Ok(answer)
}

fn find_block(context: &Context, id: BlockId) -> RpcResult<Option<Arc<CommittedBlock>>> {
    match context.find(id)? {
        Some(number) => context.block(number),
        None => Ok(None),
    }
}

fn block(context: &Context, id: BlockId, full: bool) -> RpcResult<Option<RpcBlock>> {
    let shown = |block: Arc<CommittedBlock>| convert::block(&block, &context.backend.extras(block.block.number()), full);
    Ok(find_block(context, id)?.map(shown))
}

/// The header of an ommer, which only chains that were imported have.
fn ommer(context: &Context, id: BlockId, index: U64) -> RpcResult<Option<Header>> {
    let Some(number) = context.find(id)? else { return Ok(None) };
    let ommer = context.backend.extras(number).ommers.get(index.saturating_to::<usize>()).cloned();
    Ok(ommer.map(|ommer| Header::from_consensus(Sealed::new(ommer), None, None)))
}

/// L1 prices in a block of a Layer 2: those after it, since only its deposits, which come first, can change them. None where no
/// fee is charged or the state is no longer kept.
fn l1_prices(context: &Context, number: u64) -> RpcResult<Option<L1Prices>> {
    let Network::Rollup { ledger, .. } = &context.backend.network else { return Ok(None) };
    if ledger.spec().l1_data_fee.is_free() {
        return Ok(Some(L1Prices::default()));
    }
    match context.backend.store.view_at(number) {
        Ok(view) => Ok(Some(L1Prices::read(&view)?)),
        Err(StoreError::Pruned { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn l1_fee(context: &Context, prices: Option<&L1Prices>, tx: &TxEnvelope) -> Option<u128> {
    let Network::Rollup { ledger, .. } = &context.backend.network else { return None };
    if tx.is_deposit() {
        return Some(0);
    }
    prices.map(|prices| l1_data_fee(&ledger.spec().l1_data_fee, prices, &tx.encoded_2718()))
}

fn receipts(context: &Context, block: &CommittedBlock) -> RpcResult<Vec<RpcReceipt>> {
    let prices = l1_prices(context, block.block.number())?;
    let (extras, rules) = (context.backend.extras(block.block.number()), context.backend.rules(block.block.header()));
    let one = |index| convert::receipt(block, index, &extras, rules.fork().blobs, |tx| l1_fee(context, prices.as_ref(), tx));
    Ok((0..block.block.body().len()).filter_map(one).collect())
}

/// A transaction of a block or of the pool.
pub(crate) fn transaction_by_hash(context: &Context, hash: B256) -> RpcResult<Option<RpcTransaction>> {
    if let Some((block, index)) = context.transaction(hash)? {
        return Ok(convert::included(&block, index));
    }
    let pooled = context.backend.pool.get(&hash);
    Ok(pooled.map(|pooled| convert::pending(pooled.envelope(), pooled.sender())))
}

pub(crate) fn transaction_receipt(context: &Context, hash: B256) -> RpcResult<Option<RpcReceipt>> {
    let Some((block, index)) = context.transaction(hash)? else { return Ok(None) };
    let prices = l1_prices(context, block.block.number())?;
    let (extras, rules) = (context.backend.extras(block.block.number()), context.backend.rules(block.block.header()));
    Ok(convert::receipt(&block, index, &extras, rules.fork().blobs, |tx| l1_fee(context, prices.as_ref(), tx)))
}

/// `eth_sendRawTransaction`, and EIP-7966: answers with the receipt, or with code 4 and the hash when no block takes the transaction in
/// time.
fn register_send(registry: &mut Registry) {
    let Some(module) = registry.module_for(batch::SEND) else { return };
    module
        .register_async_method(batch::SEND, |params, context, _| async move {
            let raw: Bytes = Args::new(&params, Instant::now() + context.config.timeout)?.required("transaction")?;
            context.send(raw).await
        })
        .expect("each method is registered once");
    module
        .register_async_method("eth_sendRawTransactionSync", |params, context, _| async move {
            let mut args = Args::new(&params, Instant::now() + context.config.timeout)?;
            let raw: Bytes = args.required("transaction")?;
            let wait: Option<Millis> = args.optional("timeout")?;
            let wait = wait.map_or(DEFAULT_SYNC_MS, |wait| wait.0);
            if wait > MAX_SYNC_MS {
                return Err(RpcError::invalid("timeout", format!("{wait} ms, limit {MAX_SYNC_MS}")));
            }
            let mut commits = (context.backend.commits)();
            let hash = context.send(raw).await?;
            let included = async {
                loop {
                    if let Some(receipt) = transaction_receipt(&context, hash)? {
                        return Ok(receipt);
                    }
                    // Whatever woke us, the store says whether the transaction is there.
                    if let Err(tokio::sync::broadcast::error::RecvError::Closed) = commits.recv().await {
                        return Err(RpcError::server("the node is shutting down"));
                    }
                }
            };
            tokio::time::timeout(Duration::from_millis(wait), included).await.unwrap_or_else(|_| {
                let message = format!("the transaction was added to the pool but is in no block after {wait} ms");
                Err(RpcError { code: RpcError::SYNC_TIMEOUT, message, data: Some(hash.to_string()) })
            })
        })
        .expect("each method is registered once");
}

/// Milliseconds: a number, or a quantity.
struct Millis(u64);

impl<'de> serde::Deserialize<'de> for Millis {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        alloy_serde::quantity::deserialize(deserializer).map(Self)
    }
}
