//! An account on L1: fees, signing, replacement, receipts. One transaction in flight at a time, whoever of a node's actors sends it.

use crate::{L1Client, L1Error};
use alloy_consensus::{EthereumTxEnvelope, SignableTransaction, TxEip1559, TxEip4844, TxEip4844Variant};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::AccessList;
use alloy_eips::eip4844::BlobTransactionSidecar;
use alloy_eips::eip7594::BlobTransactionSidecarVariant;
use alloy_eips::eip7840::BlobParams;
use alloy_primitives::{Address, Bytes, TxHash, TxKind, U256};
use alloy_rpc_types_eth::{BlockNumberOrTag, TransactionRequest};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
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
/// Most gas of a transaction (EIP-7825).
const MAX_GAS: u64 = 1 << 24;
/// Outcomes kept for actors that have not asked yet. Each actor has one transaction at a time, so few are ever waiting.
const OUTCOMES: usize = 16;

/// A transaction of an [`L1Account`], to ask about later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is on its way.
    Open,
    /// Mined and done.
    Done,
    /// Mined and refused by the contract, most often because another node was first.
    Refused,
    /// Another transaction of the account took its nonce, or L1 took back the one before it: it will not be mined.
    Displaced,
}

/// A call to be made.
#[derive(Clone, Debug)]
pub struct Call {
    /// Contract.
    pub to: Address,
    /// Call data.
    pub input: Bytes,
    /// Blobs that go along.
    pub sidecar: Option<Box<BlobTransactionSidecar>>,
}

/// A transaction that can be signed again with other fees.
struct Draft {
    ticket: Ticket,
    nonce: u64,
    gas_limit: u64,
    call: Call,
    fees: Fees,
    /// Every version sent; any of them may be mined.
    versions: Vec<TxHash>,
    sent: Instant,
}

/// Fees of one version, wei per gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fees {
    pub(crate) max: u128,
    pub(crate) tip: u128,
    pub(crate) blob: u128,
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

/// Sends transactions of one account, one at a time. Clones share it.
#[derive(Clone)]
pub struct L1Account {
    address: Address,
    sender: Arc<Mutex<Sender>>,
}

impl core::fmt::Debug for L1Account {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("L1Account").field("address", &self.address).finish_non_exhaustive()
    }
}

impl L1Account {
    /// The account of `key` on the L1 with that chain id. A transaction that is not mined after `replace_after` is sent again with
    /// higher fees. Nobody else may use the key.
    pub fn new(client: L1Client, key: PrivateKeySigner, chain_id: u64, replace_after: Duration) -> Self {
        let address = key.address();
        let sender =
            Sender { client, key, chain_id, replace_after, draft: None, outcomes: VecDeque::new(), next: 0, cell_proofs: false };
        Self { address, sender: Arc::new(Mutex::new(sender)) }
    }

    /// Who pays.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Estimates, signs and sends; `None` while another transaction is in flight. A call that would revert is
    /// [`L1Error::Reverted`], and nothing is sent or paid.
    pub async fn send(&self, call: Call) -> Result<Option<Ticket>, L1Error> {
        let sender = &mut *self.sender.lock().await;
        sender.advance().await?;
        if sender.draft.is_some() { Ok(None) } else { sender.post(call).await.map(Some) }
    }

    /// Looks for the receipt of a transaction; replaces what lingers. An outcome is told once.
    pub async fn follow(&self, ticket: Ticket) -> Result<Fate, L1Error> {
        let sender = &mut *self.sender.lock().await;
        sender.advance().await?;
        if sender.draft.as_ref().is_some_and(|draft| draft.ticket == ticket) {
            return Ok(Fate::Open);
        }
        let place = sender.outcomes.iter().position(|(done, _)| *done == ticket);
        // An outcome that was forgotten is one nobody asked for while many others were sent.
        Ok(place.and_then(|place| sender.outcomes.remove(place)).map_or(Fate::Displaced, |(_, fate)| fate))
    }

    /// The newest version of a transaction that is in flight, and how many it replaced.
    pub async fn version(&self, ticket: Ticket) -> Option<(TxHash, u32)> {
        let sender = self.sender.lock().await;
        let draft = sender.draft.as_ref().filter(|draft| draft.ticket == ticket)?;
        Some((*draft.versions.last()?, draft.versions.len() as u32 - 1))
    }

    /// Fees that get a transaction mined soon.
    pub(crate) async fn market(&self) -> Result<Fees, L1Error> {
        self.sender.lock().await.market().await
    }
}

/// What the clones of an account share.
struct Sender {
    client: L1Client,
    key: PrivateKeySigner,
    chain_id: u64,
    replace_after: Duration,
    draft: Option<Draft>,
    outcomes: VecDeque<(Ticket, Fate)>,
    next: u64,
    /// L1 wants EIP-7594 sidecars (Osaka): learnt from its refusal of the other kind.
    cell_proofs: bool,
}

impl Sender {
    async fn post(&mut self, call: Call) -> Result<Ticket, L1Error> {
        let fees = self.market().await?;
        let mut request = TransactionRequest {
            from: Some(self.key.address()),
            to: Some(TxKind::Call(call.to)),
            input: call.input.clone().into(),
            max_fee_per_gas: Some(fees.max),
            max_priority_fee_per_gas: Some(fees.tip),
            ..TransactionRequest::default()
        };
        if let Some(sidecar) = &call.sidecar {
            request.blob_versioned_hashes = Some(sidecar.versioned_hashes().collect());
            request.max_fee_per_blob_gas = Some(fees.blob);
        }
        let estimate = self.client.estimate(request).await?;
        if estimate > MAX_GAS {
            return Err(self.client.inconsistent(format!("it estimates {estimate} gas for a call, above {MAX_GAS}")));
        }
        let gas_limit = (estimate * GAS_MARGIN_PERCENT / 100).min(MAX_GAS);
        let nonce = self.client.nonce(self.key.address()).await?;
        let ticket = Ticket(self.next);
        let mut draft = Draft { ticket, nonce, gas_limit, call, fees, versions: Vec::new(), sent: Instant::now() };
        let sent = self.send(&mut draft).await;
        // A transaction of an earlier life of this node may hold the nonce: outbid it.
        let sent = match sent {
            Err(error) if is_underpriced(&error) => {
                draft.fees = draft.fees.bumped(draft.call.sidecar.is_some());
                self.send(&mut draft).await
            }
            other => other,
        };
        sent?;
        self.next += 1;
        self.draft = Some(draft);
        Ok(ticket)
    }

    /// Looks for a receipt of the transaction in flight; replaces it when it lingers.
    async fn advance(&mut self) -> Result<(), L1Error> {
        let Some(draft) = &self.draft else { return Ok(()) };
        let mut fate = self.receipt(draft).await?;
        if fate.is_none() {
            let mined = self.client.nonce(self.key.address()).await?;
            if mined > draft.nonce {
                // A receipt may have appeared between the two questions: look once more before calling it displaced.
                fate = Some(self.receipt(draft).await?.unwrap_or(Fate::Displaced));
            } else if mined < draft.nonce && draft.sent.elapsed() >= self.replace_after {
                // L1 took back a transaction it followed, and nothing is mined behind a gap at any price.
                fate = Some(Fate::Displaced);
            }
        }
        match fate {
            Some(fate) => {
                let ticket = draft.ticket;
                self.draft = None;
                self.outcomes.push_back((ticket, fate));
                if self.outcomes.len() > OUTCOMES {
                    self.outcomes.pop_front();
                }
            }
            None if draft.sent.elapsed() >= self.replace_after => self.replace().await?,
            None => {}
        }
        Ok(())
    }

    async fn receipt(&self, draft: &Draft) -> Result<Option<Fate>, L1Error> {
        for hash in &draft.versions {
            if let Some(receipt) = self.client.receipt(*hash).await? {
                return Ok(Some(if receipt.status() { Fate::Done } else { Fate::Refused }));
            }
        }
        Ok(None)
    }

    async fn replace(&mut self) -> Result<(), L1Error> {
        let market = self.market().await?;
        let Some(mut draft) = self.draft.take() else { return Ok(()) };
        let before = draft.fees;
        draft.fees = before.bumped(draft.call.sidecar.is_some()).at_least(market);
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
                Err(error) if draft.call.sidecar.is_some() && !self.cell_proofs && wants_cell_proofs(&error) => {
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
        let envelope = match &draft.call.sidecar {
            None => {
                let tx = TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to: TxKind::Call(draft.call.to),
                    value: U256::ZERO,
                    access_list: AccessList::default(),
                    input: draft.call.input.clone(),
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
                    to: draft.call.to,
                    value: U256::ZERO,
                    access_list: AccessList::default(),
                    blob_versioned_hashes: sidecar.versioned_hashes().collect(),
                    max_fee_per_blob_gas: draft.fees.blob,
                    input: draft.call.input.clone(),
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
