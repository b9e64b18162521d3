//! L1 transactions: fees, signing, replacement, receipts. One account, one transaction in flight.

use super::{DaPolicy, InFlight};
use crate::{L1Client, L1Error};
use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxEip1559, TxEip4844, TxEip4844Variant};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::AccessList;
use alloy_eips::eip4844::{BlobTransactionSidecar, DATA_GAS_PER_BLOB};
use alloy_eips::eip7594::BlobTransactionSidecarVariant;
use alloy_eips::eip7840::BlobParams;
use alloy_primitives::{Address, Bytes, TxHash, TxKind, U256};
use alloy_rpc_types_eth::{BlockNumberOrTag, TransactionRequest};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use oceanid_da::{MAX_BLOBS, Packed, blob_capacity};
use oceanid_primitives::DaMode;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// Tip, wei per gas.
const PRIORITY_FEE: u128 = 1_000_000_000;
/// Fees offered at first, in multiples of the present base fees.
const FEE_HEADROOM: u128 = 2;
/// Fee ceilings, wei per gas: above them the batcher waits rather than pays.
const MAX_FEE: u128 = 2_000_000_000_000;
/// A replacement offers this much more, percent. L1 nodes ask for 10, and for 100 where blobs are involved.
const BUMP_PERCENT: u128 = 125;
const BLOB_BUMP_PERCENT: u128 = 200;
/// Gas limit over the estimate, percent: L1's state moves between estimate and inclusion.
const GAS_MARGIN_PERCENT: u64 = 125;
/// Gas of a byte of calldata at the floor price of EIP-7623: nearly every byte of a batch is not zero.
const CALLDATA_GAS_PER_BYTE: u128 = 40;

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Purpose {
    pub(super) first: u64,
    pub(super) last: u64,
    /// `Some(batch index)` if data is posted again.
    pub(super) repost: Option<u64>,
}

/// What became of the transaction in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing is in flight, or it still is.
    Open,
    /// Mined and done.
    Done(Purpose),
    /// Mined and refused by the contract, most often because another member was first.
    Refused(Purpose),
    /// Another transaction took its nonce.
    Displaced(Purpose),
}

/// A transaction that can be signed again with other fees.
struct Draft {
    purpose: Purpose,
    nonce: u64,
    gas_limit: u64,
    call: Bytes,
    sidecar: Option<Box<BlobTransactionSidecar>>,
    fees: Fees,
    /// Every version sent; any of them may be mined.
    versions: Vec<TxHash>,
    sent: Instant,
}

/// Fees of one version, wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fees {
    max: u128,
    tip: u128,
    blob: u128,
}

impl Fees {
    fn bumped(self, blobs: bool) -> Self {
        let percent = if blobs { BLOB_BUMP_PERCENT } else { BUMP_PERCENT };
        let bump = |fee: u128| fee.saturating_mul(percent).div_ceil(100).min(MAX_FEE);
        Self { max: bump(self.max), tip: bump(self.tip), blob: bump(self.blob) }
    }

    fn at_least(self, other: Self) -> Self {
        Self { max: self.max.max(other.max), tip: self.tip.max(other.tip), blob: self.blob.max(other.blob) }
    }
}

/// Sends transactions of one account.
pub(super) struct Poster {
    client: L1Client,
    key: PrivateKeySigner,
    chain_id: u64,
    rollup: Address,
    replace_after: Duration,
    draft: Option<Draft>,
    /// L1 wants EIP-7594 sidecars (Osaka): learnt from its refusal of the other kind.
    cell_proofs: bool,
}

impl Poster {
    pub(super) const fn new(
        client: L1Client,
        key: PrivateKeySigner,
        chain_id: u64,
        rollup: Address,
        replace_after: Duration,
    ) -> Self {
        Self { client, key, chain_id, rollup, replace_after, draft: None, cell_proofs: false }
    }

    pub(super) const fn is_busy(&self) -> bool {
        self.draft.is_some()
    }

    pub(super) fn in_flight(&self) -> Option<InFlight> {
        let draft = self.draft.as_ref()?;
        Some(InFlight {
            transaction: *draft.versions.last()?,
            first: draft.purpose.first,
            last: draft.purpose.last,
            replacements: draft.versions.len() as u32 - 1,
        })
    }

    /// The mode for `bytes` of data at present prices. Calldata where it does not fit is no choice.
    pub(super) async fn choose_mode(&self, policy: DaPolicy, bytes: usize) -> Result<DaMode, L1Error> {
        let DaPolicy::Fixed(mode) = policy else {
            if bytes > oceanid_da::CALLDATA_BYTES {
                return Ok(DaMode::Blob);
            }
            let market = self.market().await?;
            let calldata = CALLDATA_GAS_PER_BYTE * bytes as u128 * market.max;
            let blobs = (1..=MAX_BLOBS).find(|blobs| blob_capacity(*blobs) >= bytes).unwrap_or(MAX_BLOBS) as u128;
            let blob = blobs * u128::from(DATA_GAS_PER_BLOB) * market.blob;
            return Ok(if calldata <= blob { DaMode::Calldata } else { DaMode::Blob });
        };
        Ok(mode)
    }

    /// Estimates, signs and sends. An estimate that reverts is an error whose text has the contract's reason.
    pub(super) async fn post(&mut self, purpose: Purpose, call: Bytes, packed: Packed) -> Result<TxHash, L1Error> {
        let fees = self.market().await?;
        let mut request = TransactionRequest {
            from: Some(self.key.address()),
            to: Some(TxKind::Call(self.rollup)),
            input: call.clone().into(),
            max_fee_per_gas: Some(fees.max),
            max_priority_fee_per_gas: Some(fees.tip),
            ..TransactionRequest::default()
        };
        if let Some(sidecar) = &packed.sidecar {
            request.blob_versioned_hashes = Some(sidecar.versioned_hashes().collect());
            request.max_fee_per_blob_gas = Some(fees.blob);
        }
        let gas_limit = self.client.estimate(request).await? * GAS_MARGIN_PERCENT / 100;
        let nonce = self.client.nonce(self.key.address()).await?;
        let sidecar = packed.sidecar;
        let mut draft = Draft { purpose, nonce, gas_limit, call, sidecar, fees, versions: Vec::new(), sent: Instant::now() };
        let sent = self.send(&mut draft).await;
        // A transaction of an earlier life of this node may hold the nonce: outbid it.
        let sent = match sent {
            Err(error) if is_underpriced(&error) => {
                draft.fees = draft.fees.bumped(draft.sidecar.is_some());
                self.send(&mut draft).await
            }
            other => other,
        };
        let hash = sent?;
        self.draft = Some(draft);
        Ok(hash)
    }

    /// Looks for a receipt; replaces what lingers.
    pub(super) async fn follow(&mut self) -> Result<Fate, L1Error> {
        let Some(draft) = &self.draft else { return Ok(Fate::Open) };
        let purpose = draft.purpose;
        for hash in &draft.versions {
            if let Some(receipt) = self.client.receipt(*hash).await? {
                self.draft = None;
                return Ok(if receipt.status() { Fate::Done(purpose) } else { Fate::Refused(purpose) });
            }
        }
        if self.client.nonce(self.key.address()).await? > draft.nonce {
            // A receipt may have appeared between the two questions: look once more before calling it displaced.
            for hash in &draft.versions {
                if let Some(receipt) = self.client.receipt(*hash).await? {
                    self.draft = None;
                    return Ok(if receipt.status() { Fate::Done(purpose) } else { Fate::Refused(purpose) });
                }
            }
            self.draft = None;
            return Ok(Fate::Displaced(purpose));
        }
        if draft.sent.elapsed() >= self.replace_after {
            self.replace().await?;
        }
        Ok(Fate::Open)
    }

    async fn replace(&mut self) -> Result<(), L1Error> {
        let market = self.market().await?;
        let Some(mut draft) = self.draft.take() else { return Ok(()) };
        let before = draft.fees;
        draft.fees = before.bumped(draft.sidecar.is_some()).at_least(market);
        draft.sent = Instant::now();
        let sent = if draft.fees == before { Ok(TxHash::ZERO) } else { self.send(&mut draft).await };
        if sent.is_err() {
            draft.fees = before;
        } else {
            info!(
                nonce = draft.nonce,
                max_fee = draft.fees.max,
                blob_fee = draft.fees.blob,
                "replaced a lingering L1 transaction"
            );
        }
        self.draft = Some(draft);
        sent.map(drop)
    }

    async fn send(&mut self, draft: &mut Draft) -> Result<TxHash, L1Error> {
        loop {
            let (hash, bytes) = self.sign(draft)?;
            match self.client.send(&bytes).await {
                Ok(_) => {
                    draft.versions.push(hash);
                    return Ok(hash);
                }
                Err(error) if is_known(&error) => {
                    draft.versions.push(hash);
                    return Ok(hash);
                }
                Err(error) if draft.sidecar.is_some() && !self.cell_proofs && wants_cell_proofs(&error) => {
                    warn!(%error, "L1 refuses EIP-4844 sidecars: sending EIP-7594 ones from now on");
                    self.cell_proofs = true;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn sign(&self, draft: &Draft) -> Result<(TxHash, Vec<u8>), L1Error> {
        let signer = |error: &dyn std::fmt::Display| L1Error::Signer(error.to_string());
        let (gas_limit, nonce, chain_id) = (draft.gas_limit, draft.nonce, self.chain_id);
        let (max_fee_per_gas, max_priority_fee_per_gas) = (draft.fees.max, draft.fees.tip);
        let envelope = match &draft.sidecar {
            None => {
                let tx = TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to: TxKind::Call(self.rollup),
                    value: U256::ZERO,
                    access_list: AccessList::default(),
                    input: draft.call.clone(),
                };
                let signature = self.key.sign_hash_sync(&tx.signature_hash()).map_err(|error| signer(&error))?;
                EthereumTxEnvelope::Eip1559(tx.into_signed(signature))
            }
            Some(sidecar) => {
                let tx = TxEip4844 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to: self.rollup,
                    value: U256::ZERO,
                    access_list: AccessList::default(),
                    blob_versioned_hashes: sidecar.versioned_hashes().collect(),
                    max_fee_per_blob_gas: draft.fees.blob,
                    input: draft.call.clone(),
                };
                let mut sidecar = BlobTransactionSidecarVariant::Eip4844((**sidecar).clone());
                if self.cell_proofs {
                    sidecar = sidecar.try_convert_into_eip7594().map_err(|error| signer(&error))?;
                }
                let signature = self.key.sign_hash_sync(&tx.signature_hash()).map_err(|error| signer(&error))?;
                let tx = TxEip4844Variant::TxEip4844WithSidecar(tx.with_sidecar(sidecar));
                EthereumTxEnvelope::Eip4844(tx.into_signed(signature))
            }
        };
        Ok((*envelope.tx_hash(), envelope.encoded_2718()))
    }

    /// Fees that get a transaction mined soon, from the newest L1 header.
    async fn market(&self) -> Result<Fees, L1Error> {
        let head = self.client.header(BlockNumberOrTag::Latest).await?;
        let head = head.ok_or_else(|| self.client.inconsistent("it has no latest block".to_owned()))?.header;
        let base = u128::from(head.base_fee_per_gas.unwrap_or_default());
        let blob = head.next_block_blob_fee(BlobParams::prague()).unwrap_or(1);
        Ok(Fees {
            max: (base * FEE_HEADROOM + PRIORITY_FEE).min(MAX_FEE),
            tip: PRIORITY_FEE,
            blob: blob.saturating_mul(FEE_HEADROOM).clamp(1, MAX_FEE),
        })
    }

    /// The account that pays.
    pub(super) const fn account(&self) -> Address {
        self.key.address()
    }
}

fn says(error: &L1Error, words: &[&str]) -> bool {
    let L1Error::Rpc { message, .. } = error else { return false };
    let message = message.to_ascii_lowercase();
    words.iter().any(|word| message.contains(word))
}

/// The node has this very transaction.
fn is_known(error: &L1Error) -> bool {
    says(error, &["already known", "already imported", "transaction already"])
}

/// Another transaction with this nonce waits at a price that is not outbid.
fn is_underpriced(error: &L1Error) -> bool {
    says(error, &["replacement transaction underpriced", "replacement underpriced"])
}

/// The node refuses the sidecar's form and not the transaction.
fn wants_cell_proofs(error: &L1Error) -> bool {
    says(
        error,
        &["cell proof", "sidecar version", "unexpected blob sidecar", "eip-7594", "eip7594", "legacy blob", "cell_proofs"],
    )
}
