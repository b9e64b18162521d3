//! Headers: made from an execution, and checked against one.

use crate::{BLOB_PARAMS, BlockEnv, ExecutionOutput, StateReader, ethereum_next_base_fee, next_base_fee};
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, U256};
use alloy_trie::EMPTY_ROOT_HASH;
use alloy_trie::root::ordered_trie_root_with_encoder;
use oceanid_primitives::predeploys::{COMMITTEE_REGISTRY, FEE_VAULT, committee_registry, slot};
use oceanid_primitives::{ChainSpec, Epochs, ExtensionError, HeaderExtension, Receipt, TxEnvelope};

/// Root of the transactions trie: RLP index to EIP-2718 encoding.
pub fn transactions_root(body: &[TxEnvelope]) -> B256 {
    ordered_trie_root_with_encoder(body, |tx, out| tx.encode_2718(out))
}

/// Root of the receipts trie: RLP index to EIP-2718 encoding with bloom.
pub fn receipts_root(receipts: &[Receipt]) -> B256 {
    ordered_trie_root_with_encoder(receipts, |receipt, out| receipt.with_bloom().encode_2718(out))
}

/// Bloom filter over all logs of a block.
pub fn logs_bloom(receipts: &[Receipt]) -> Bloom {
    receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom())
}

/// Roots of the state after a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRoots {
    /// Root of the account trie.
    pub state: B256,
    /// Storage root of the message passer: the header's `withdrawals_root` on Layer 2.
    pub message_passer: B256,
}

/// A header that does not follow from its parent, or from the execution of its block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// `extraData`.
    #[error(transparent)]
    Extension(#[from] ExtensionError),
    /// A field that is determined by other fields has another value.
    #[error("header field `{field}` is {got}, must be {expected}")]
    Field {
        /// JSON name.
        field: &'static str,
        /// What it must be.
        expected: alloc::string::String,
        /// What the header says.
        got: alloc::string::String,
    },
    /// A field outside its range.
    #[error("header field `{field}` is {got}, must be {limit}")]
    Range {
        /// JSON name.
        field: &'static str,
        /// What the header says.
        got: u64,
        /// What is allowed.
        limit: alloc::string::String,
    },
}

/// The environment of the Layer 2 block after `parent` (whose hash is `parent_hash`).
pub fn l2_env(spec: &ChainSpec, parent: &Header, parent_hash: B256, timestamp: u64, extension: &HeaderExtension) -> BlockEnv {
    BlockEnv {
        number: parent.number + 1,
        timestamp,
        gas_limit: spec.fees.gas_limit,
        base_fee: next_base_fee(parent, &spec.fees),
        prevrandao: ChainSpec::prevrandao(extension),
        beneficiary: FEE_VAULT,
        parent_hash,
        parent_beacon_block_root: B256::ZERO,
        excess_blob_gas: 0,
        extension: *extension,
    }
}

/// The environment of the embedded L1's block after `parent`: base fee and excess blob gas follow from the parent, the rest
/// is the sealer's choice.
pub fn ethereum_env(
    parent: &Header,
    parent_hash: B256,
    timestamp: u64,
    gas_limit: u64,
    beneficiary: Address,
    prevrandao: B256,
    parent_beacon_block_root: B256,
) -> BlockEnv {
    BlockEnv {
        number: parent.number + 1,
        timestamp,
        gas_limit,
        base_fee: ethereum_next_base_fee(parent),
        prevrandao,
        beneficiary,
        parent_hash,
        parent_beacon_block_root,
        excess_blob_gas: parent.next_block_excess_blob_gas(BLOB_PARAMS).unwrap_or_default(),
        extension: HeaderExtension::default(),
    }
}

/// The header of an executed block under `env`. `withdrawals_root` is the message passer's storage root on Layer 2 and the
/// empty root on the embedded L1.
fn executed_header(
    env: &BlockEnv,
    extra_data: Bytes,
    body: &[TxEnvelope],
    output: &ExecutionOutput,
    state_root: B256,
    withdrawals_root: B256,
) -> Header {
    Header {
        parent_hash: env.parent_hash,
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: env.beneficiary,
        state_root,
        transactions_root: transactions_root(body),
        receipts_root: receipts_root(&output.receipts),
        logs_bloom: logs_bloom(&output.receipts),
        difficulty: U256::ZERO,
        number: env.number,
        gas_limit: env.gas_limit,
        gas_used: output.gas_used,
        timestamp: env.timestamp,
        extra_data,
        mix_hash: env.prevrandao,
        nonce: B64::ZERO,
        base_fee_per_gas: Some(env.base_fee),
        withdrawals_root: Some(withdrawals_root),
        blob_gas_used: Some(output.blob_gas_used),
        excess_blob_gas: Some(env.excess_blob_gas),
        parent_beacon_block_root: Some(env.parent_beacon_block_root),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}

/// The Layer 2 header of a block executed under `env` (of [`l2_env`]).
pub fn finish_header(
    env: &BlockEnv,
    extension: &HeaderExtension,
    body: &[TxEnvelope],
    output: &ExecutionOutput,
    roots: &BlockRoots,
) -> Header {
    executed_header(env, extension.encode().into(), body, output, roots.state, roots.message_passer)
}

/// The Layer 2 header of a block, from its parent and its execution: [`l2_env`], then [`finish_header`].
pub fn header_for(
    spec: &ChainSpec,
    parent: &Header,
    parent_hash: B256,
    timestamp: u64,
    extension: &HeaderExtension,
    body: &[TxEnvelope],
    output: &ExecutionOutput,
    roots: &BlockRoots,
) -> Header {
    finish_header(&l2_env(spec, parent, parent_hash, timestamp, extension), extension, body, output, roots)
}

/// The embedded L1's header of a block executed under `env` (of [`ethereum_env`]).
pub fn ethereum_header(
    env: &BlockEnv,
    extra_data: Bytes,
    body: &[TxEnvelope],
    output: &ExecutionOutput,
    state_root: B256,
) -> Header {
    executed_header(env, extra_data, body, output, state_root, EMPTY_ROOT_HASH)
}

/// Committee of block `parent.number + 1` and of the epoch after it, by the hand-over rule: the first block of an epoch takes
/// what its parent announced, or after a recovery the committee L1 named, and announces the newest committee in the registry of
/// the parent's post-state (`reader`), never an older one than its own; any other block repeats its parent.
pub fn committee_ids<R: StateReader>(
    epochs: &Epochs,
    parent: &Header,
    parent_extension: &HeaderExtension,
    reader: &R,
) -> Result<(u64, u64), R::Error> {
    let number = parent.number + 1;
    if !epochs.begins(number) {
        return Ok((parent_extension.committee_id, parent_extension.next_committee_id));
    }
    let committee = epochs.recovery_before(number).map_or(parent_extension.next_committee_id, |recovery| recovery.committee.id);
    // The committee of a recovery may be on its way to the registry, where deposits that came before it arrive first.
    let latest: u64 = reader.storage(COMMITTEE_REGISTRY, slot(committee_registry::LATEST))?.saturating_to();
    Ok((committee, latest.max(committee)))
}

/// Checks everything about a Layer 2 header that follows from its parent alone, before anything is executed, and returns its
/// extension. Left to the chain: committee ids (they need the parent's state, [`committee_ids`]), the origin's hash and time
/// (they need L1), the consensus context, and the clock.
pub fn check_header(
    spec: &ChainSpec,
    epochs: &Epochs,
    parent: &Header,
    parent_hash: B256,
    header: &Header,
) -> Result<HeaderExtension, HeaderError> {
    let parent_extension = HeaderExtension::decode(&parent.extra_data)?;
    let extension = HeaderExtension::decode(&header.extra_data)?;
    let range = |field, got, limit: alloc::string::String| Err(HeaderError::Range { field, got, limit });
    if header.timestamp < parent.timestamp {
        return range("timestamp", header.timestamp, alloc::format!("at least the parent's {}", parent.timestamp));
    }
    let (old, new) = (parent_extension.origin, extension.origin);
    let newest = old.number.saturating_add(spec.timing.max_origin_advance);
    if new.number < old.number || new.number > newest {
        return range("extraData.originNumber", new.number, alloc::format!("from {} to {newest}", old.number));
    }
    field("extraData.epoch", epochs.of(parent.number + 1), extension.epoch)?;
    if new.number == old.number {
        field("extraData.originHash", old.hash, new.hash)?;
    }
    let env = l2_env(spec, parent, parent_hash, header.timestamp, &extension);
    // What execution decides is taken from the header itself and so compares equal.
    let expected = Header {
        state_root: header.state_root,
        transactions_root: header.transactions_root,
        receipts_root: header.receipts_root,
        logs_bloom: header.logs_bloom,
        gas_used: header.gas_used,
        extra_data: header.extra_data.clone(),
        withdrawals_root: header.withdrawals_root,
        ..executed_header(&env, Bytes::new(), &[], &ExecutionOutput::default(), B256::ZERO, B256::ZERO)
    };
    compare_headers(&expected, header)?;
    Ok(extension)
}

/// Checks that `got` is `expected`, field by field, and names the first field that differs.
pub fn compare_headers(expected: &Header, got: &Header) -> Result<(), HeaderError> {
    field("parentHash", expected.parent_hash, got.parent_hash)?;
    field("number", expected.number, got.number)?;
    field("timestamp", expected.timestamp, got.timestamp)?;
    field("sha3Uncles", expected.ommers_hash, got.ommers_hash)?;
    field("miner", expected.beneficiary, got.beneficiary)?;
    field("difficulty", expected.difficulty, got.difficulty)?;
    field("nonce", expected.nonce, got.nonce)?;
    field("gasLimit", expected.gas_limit, got.gas_limit)?;
    field("extraData", &expected.extra_data, &got.extra_data)?;
    field("mixHash", expected.mix_hash, got.mix_hash)?;
    optional("baseFeePerGas", expected.base_fee_per_gas, got.base_fee_per_gas)?;
    optional("blobGasUsed", expected.blob_gas_used, got.blob_gas_used)?;
    optional("excessBlobGas", expected.excess_blob_gas, got.excess_blob_gas)?;
    optional("parentBeaconBlockRoot", expected.parent_beacon_block_root, got.parent_beacon_block_root)?;
    optional("requestsHash", expected.requests_hash, got.requests_hash)?;
    field("transactionsRoot", expected.transactions_root, got.transactions_root)?;
    field("gasUsed", expected.gas_used, got.gas_used)?;
    field("receiptsRoot", expected.receipts_root, got.receipts_root)?;
    field("logsBloom", expected.logs_bloom, got.logs_bloom)?;
    optional("withdrawalsRoot", expected.withdrawals_root, got.withdrawals_root)?;
    field("stateRoot", expected.state_root, got.state_root)?;
    // Fields that later forks add to the type, and anything else: headers are equal or they are not.
    field("hash", expected.hash_slow(), got.hash_slow())
}

fn field<T: PartialEq + core::fmt::Display>(field: &'static str, expected: T, got: T) -> Result<(), HeaderError> {
    if expected == got {
        return Ok(());
    }
    Err(HeaderError::Field { field, expected: alloc::format!("{expected}"), got: alloc::format!("{got}") })
}

fn optional<T: PartialEq + core::fmt::Display>(
    name: &'static str,
    expected: Option<T>,
    got: Option<T>,
) -> Result<(), HeaderError> {
    match (expected, got) {
        (Some(expected), Some(got)) => field(name, expected, got),
        (None, None) => Ok(()),
        (expected, got) => {
            let show = |value: Option<T>| value.map_or_else(|| "absent".into(), |value| alloc::format!("{value}"));
            Err(HeaderError::Field { field: name, expected: show(expected), got: show(got) })
        }
    }
}
