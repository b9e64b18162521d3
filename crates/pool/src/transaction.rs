//! A transaction as the pool holds it: decoded, checked for everything that needs no state, its sender recovered once.

use crate::{PoolConfig, PoolError, PoolRules};
use alloy_consensus::{EthereumTxEnvelope, Transaction, TxEip4844, TxEip4844WithSidecar, Typed2718};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_eips::eip7594::BlobTransactionSidecarVariant;
use alloy_primitives::{Address, B256, U256};
use oceanid_chain::Senders;
use oceanid_primitives::TxEnvelope;
use revm::context_interface::cfg::gas::calculate_initial_tx_gas;
use revm::primitives::{eip3860::MAX_INITCODE_SIZE, hardfork::SpecId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most bytes of one encoded transaction without its sidecar: 128 KiB, as other Ethereum pools have it.
pub const MAX_TRANSACTION_BYTES: usize = 128 << 10;
/// Most bytes of a raw blob transaction with its sidecar: nine blobs (Prague) with commitments, cell proofs and framing.
pub const MAX_BLOB_TRANSACTION_BYTES: usize = 2 << 20;
/// Most blobs in a transaction: what a Prague block holds (EIP-7691).
pub const MAX_BLOBS: usize = 9;

/// Where a transaction came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Submitted to this node: it is told to the others.
    Local,
    /// Heard from a peer.
    Remote,
}

/// A pooled transaction. Immutable; shared by the pool, builders, gossip and RPC.
#[derive(Debug)]
pub struct PoolTransaction {
    envelope: Arc<TxEnvelope>,
    sender: Address,
    size: usize,
    cost: U256,
    origin: Origin,
    authorities: Box<[Address]>,
}

impl PoolTransaction {
    /// The signed transaction.
    pub const fn envelope(&self) -> &Arc<TxEnvelope> {
        &self.envelope
    }

    /// Its hash.
    pub fn hash(&self) -> &B256 {
        self.envelope.hash()
    }

    /// Recovered sender.
    pub const fn sender(&self) -> Address {
        self.sender
    }

    /// Nonce.
    pub fn nonce(&self) -> u64 {
        self.envelope.nonce()
    }

    /// Encoded bytes (EIP-2718), without a sidecar.
    pub const fn size(&self) -> usize {
        self.size
    }

    /// Most it can take from the sender's balance, wei: value, gas and blob gas at their caps, L1 data fee when it was added.
    pub const fn cost(&self) -> U256 {
        self.cost
    }

    /// The accounts whose code it sets (EIP-7702), each once, in order.
    pub const fn authorities(&self) -> &[Address] {
        &self.authorities
    }

    /// Where it came from.
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// Checks everything that needs no state and recovers the sender. `data_fee` is the L1 data fee in wei.
    pub(crate) fn new(
        config: &PoolConfig,
        senders: &Senders,
        envelope: TxEnvelope,
        data_fee: U256,
        origin: Origin,
    ) -> Result<Self, PoolError> {
        let size = envelope.encode_2718_len();
        check_stateless(config, &envelope, size)?;
        let sender = match senders.get(envelope.hash()) {
            Some(sender) => sender,
            None => {
                let sender = envelope.recover_sender().map_err(|_| PoolError::Signature)?;
                senders.remember(*envelope.hash(), sender);
                sender
            }
        };
        let blob_cost = U256::from(envelope.blob_gas_used().unwrap_or(0))
            .saturating_mul(U256::from(envelope.max_fee_per_blob_gas().unwrap_or(0)));
        let cost = U256::from(envelope.gas_limit())
            .saturating_mul(U256::from(envelope.max_fee_per_gas()))
            .saturating_add(envelope.value())
            .saturating_add(blob_cost)
            .saturating_add(data_fee);
        let authorizations = envelope.authorization_list().unwrap_or_default();
        // What does not recover is skipped when the transaction runs.
        let authorities: BTreeSet<_> = authorizations.iter().filter_map(|one| one.recover_authority().ok()).collect();
        let authorities = authorities.into_iter().collect();
        Ok(Self { envelope: Arc::new(envelope), sender, size, cost, origin, authorities })
    }
}

/// Decodes what `eth_sendRawTransaction` takes: an EIP-2718 transaction, and for type 3 its network form with the sidecar
/// (EIP-4844 blob proofs or EIP-7594 cell proofs).
pub fn decode_raw(raw: &[u8]) -> Result<(TxEnvelope, Option<BlobTransactionSidecarVariant>), PoolError> {
    let is_blob = raw.first() == Some(&3);
    let limit = if is_blob { MAX_BLOB_TRANSACTION_BYTES } else { MAX_TRANSACTION_BYTES };
    if raw.len() > limit {
        return Err(PoolError::Oversized { size: raw.len(), limit });
    }
    let mut rest = raw;
    let decoded = if is_blob {
        decode_blob(&mut rest)?
    } else {
        let envelope = TxEnvelope::decode_2718(&mut rest).map_err(|error| PoolError::Decode(error.to_string()))?;
        // The library takes the fields of a deposit for one without its type byte, too: a second encoding of it.
        if envelope.as_deposit().is_some() && raw.first() != Some(&envelope.ty()) {
            return Err(PoolError::Decode("no type byte, and not the fields of a legacy transaction".into()));
        }
        (envelope, None)
    };
    if rest.is_empty() { Ok(decoded) } else { Err(PoolError::Decode(format!("{} bytes after the transaction", rest.len()))) }
}

/// The network form, or the bare form (which Layer 2 refuses by its type and L1 for its missing sidecar).
fn decode_blob(rest: &mut &[u8]) -> Result<(TxEnvelope, Option<BlobTransactionSidecarVariant>), PoolError> {
    let start = *rest;
    if let Ok(bare) = TxEnvelope::decode_2718(rest) {
        return Ok((bare, None));
    }
    *rest = start;
    type Network = EthereumTxEnvelope<TxEip4844WithSidecar<BlobTransactionSidecarVariant>>;
    match Network::decode_2718(rest).map_err(|error| PoolError::Decode(error.to_string()))? {
        EthereumTxEnvelope::Eip4844(signed) => {
            let (with_sidecar, signature, hash) = signed.into_parts();
            let (tx, sidecar) = with_sidecar.into_parts();
            let bare = alloy_consensus::Signed::new_unchecked(tx, signature, hash);
            Ok((TxEnvelope::Eip4844(bare), Some(sidecar)))
        }
        _ => Err(PoolError::Decode("type byte 3 did not decode as a blob transaction".into())),
    }
}

/// The sidecar commits to the blobs the transaction names; proofs are the [`crate::BlobStore`]'s to check.
pub(crate) fn check_sidecar(tx: &TxEip4844, sidecar: &BlobTransactionSidecarVariant) -> Result<(), PoolError> {
    let hashes = &tx.blob_versioned_hashes;
    if sidecar.blobs().len() != hashes.len() {
        let (blobs, named) = (sidecar.blobs().len(), hashes.len());
        return Err(PoolError::Sidecar(format!("{blobs} blobs, but blobVersionedHashes has {named}")));
    }
    for (index, (have, want)) in sidecar.versioned_hashes().zip(hashes).enumerate() {
        if have != *want {
            return Err(PoolError::Sidecar(format!("commitment {index} hashes to {have}, blobVersionedHashes says {want}")));
        }
    }
    if sidecar.commitments().len() == hashes.len() {
        Ok(())
    } else {
        Err(PoolError::Sidecar(format!("{} commitments for {} blobs", sidecar.commitments().len(), hashes.len())))
    }
}

fn check_stateless(config: &PoolConfig, tx: &TxEnvelope, size: usize) -> Result<(), PoolError> {
    if size > MAX_TRANSACTION_BYTES {
        return Err(PoolError::Oversized { size, limit: MAX_TRANSACTION_BYTES });
    }
    match tx {
        TxEnvelope::Deposit(_) => return Err(PoolError::Deposit),
        TxEnvelope::Eip4844(_) if config.rules == PoolRules::Rollup => return Err(PoolError::BlobOnLayer2),
        TxEnvelope::Eip4844(_) => check_blobs(tx)?,
        TxEnvelope::Eip7702(signed) if signed.tx().authorization_list.is_empty() => return Err(PoolError::NoAuthorizations),
        _ => {}
    }
    // Legacy transactions without EIP-155 are valid by consensus, and the well-known "keyless" deployments need them.
    if let Some(have) = tx.chain_id().filter(|id| *id != config.chain_id) {
        return Err(PoolError::ChainId { have, want: config.chain_id });
    }
    if tx.gas_limit() > config.gas_limit {
        return Err(PoolError::GasLimit { gas: tx.gas_limit(), limit: config.gas_limit });
    }
    if tx.is_create() && tx.input().len() > MAX_INITCODE_SIZE {
        return Err(PoolError::InitCode { size: tx.input().len(), limit: MAX_INITCODE_SIZE });
    }
    let minimum = intrinsic_gas(tx);
    if tx.gas_limit() < minimum {
        return Err(PoolError::IntrinsicGas { gas: tx.gas_limit(), minimum });
    }
    let (cap, tip) = (tx.max_fee_per_gas(), tx.priority_fee_or_price());
    if tip > cap {
        return Err(PoolError::TipAboveCap { tip, cap });
    }
    if cap < config.min_fee {
        return Err(PoolError::FeeTooLow { cap, minimum: config.min_fee });
    }
    Ok(())
}

fn check_blobs(tx: &TxEnvelope) -> Result<(), PoolError> {
    let hashes = tx.blob_versioned_hashes().unwrap_or_default();
    if hashes.is_empty() || hashes.len() > MAX_BLOBS {
        return Err(PoolError::Sidecar(format!("blobVersionedHashes has {} entries, must be 1 to {MAX_BLOBS}", hashes.len())));
    }
    match hashes.iter().position(|hash| hash[0] != alloy_eips::eip4844::VERSIONED_HASH_VERSION_KZG) {
        Some(index) => {
            Err(PoolError::Sidecar(format!("blobVersionedHashes[{index}] has version {}, must be 1", hashes[index][0])))
        }
        None => Ok(()),
    }
}

/// Least gas limit of a transaction under Prague: intrinsic gas, or the calldata floor of EIP-7623 if that is more.
pub fn intrinsic_gas(tx: &TxEnvelope) -> u64 {
    let (accounts, slots) = tx.access_list().map_or((0, 0), |list| (list.len(), list.storage_keys_count()));
    let authorizations = tx.authorization_list().map_or(0, <[_]>::len);
    let gas = calculate_initial_tx_gas(
        SpecId::PRAGUE,
        tx.input(),
        tx.is_create(),
        accounts as u64,
        slots as u64,
        authorizations as u64,
        None,
    );
    gas.initial_regular_gas().max(gas.floor_gas)
}
