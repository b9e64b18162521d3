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
use tracing::{debug, info, warn};

const GWEI: u128 = 1_000_000_000;
/// Tip, wei per gas.
const PRIORITY_FEE: u128 = GWEI;
/// Fees offered at first, in multiples of the present base fees.
const FEE_HEADROOM: u128 = 2;
/// A replacement offers this much of the old offer, percent.
const BUMP_PERCENT: u128 = 125;
const BLOB_BUMP_PERCENT: u128 = 200;
/// Of the old offer, percent: the least that L1 nodes take in a replacement's place.
const REPLACEMENT_PERCENT: u128 = 110;
/// A transaction that so many L1 blocks have left out, though it offers more than their price, is outbid.
const OUTBID_BLOCKS: u64 = 3;
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

/// When an account offers more, and what it pays at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pricing {
    /// A transaction that is not mined after this long is looked at: sent again as it is, or with higher fees.
    pub replace_after: Duration,
    /// Ceiling of the fee and of the blob fee, wei per gas: above it the account waits rather than pays.
    pub max_fee: u128,
    /// Ceiling of the tip, wei per gas. The tip is paid in full, whatever the base fee.
    pub max_tip: u128,
}

impl Pricing {
    /// Default ceiling of fees: 2,000 gwei.
    pub const MAX_FEE: u128 = 2_000 * GWEI;
    /// Default ceiling of the tip: 50 gwei.
    pub const MAX_TIP: u128 = 50 * GWEI;

    /// The default ceilings.
    pub const fn new(replace_after: Duration) -> Self {
        Self { replace_after, max_fee: Self::MAX_FEE, max_tip: Self::MAX_TIP }
    }

    fn cap(&self, fees: Fees) -> Fees {
        Fees { max: fees.max.min(self.max_fee), tip: fees.tip.min(self.max_tip), blob: fees.blob.min(self.max_fee) }
    }
}

/// What L1 asks at its newest block.
#[derive(Clone, Copy, Debug)]
struct Market {
    /// That block's number.
    block: u64,
    /// Base fees, wei per gas and per blob gas.
    base: u128,
    blob: u128,
    /// What gets a transaction mined soon.
    offer: Fees,
}

impl Market {
    /// Whether L1's newest block could have taken a transaction with these fees.
    fn takes(&self, fees: Fees, blobs: bool) -> bool {
        fees.max >= self.base + self.offer.tip && (!blobs || fees.blob >= self.blob)
    }
}

/// What to do with a transaction that lingers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Its fees are good: L1 stands still, or has lost it.
    Again,
    /// L1 has moved past its fees, and these are better.
    Raise(Fees),
    /// So it has, and no replacement that L1 nodes take is below the ceilings.
    Ceiling,
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
    /// L1's newest block when the newest version was signed.
    priced_at: u64,
}

impl Draft {
    const fn blobs(&self) -> bool {
        self.call.sidecar.is_some()
    }

    fn next(&self, market: &Market, pricing: &Pricing) -> Next {
        if market.takes(self.fees, self.blobs()) && market.block < self.priced_at.saturating_add(OUTBID_BLOCKS) {
            return Next::Again;
        }
        let raised = pricing.cap(self.fees.bumped(self.blobs()).at_least(market.offer));
        if raised.replaces(self.fees, self.blobs()) { Next::Raise(raised) } else { Next::Ceiling }
    }
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
        let bump = |fee: u128| fee.saturating_mul(percent).div_ceil(100);
        Self { max: bump(self.max), tip: bump(self.tip), blob: bump(self.blob) }
    }

    /// Whether L1 nodes take a transaction with these fees in the place of one with those.
    fn replaces(self, old: Self, blobs: bool) -> bool {
        let percent = if blobs { BLOB_BUMP_PERCENT } else { REPLACEMENT_PERCENT };
        let enough = |new: u128, old: u128| new >= old.saturating_mul(percent).div_ceil(100);
        enough(self.max, old.max) && enough(self.tip, old.tip) && (!blobs || enough(self.blob, old.blob))
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
    /// The account of `key` on the L1 with that chain id. Nobody else may use the key.
    pub fn new(client: L1Client, key: PrivateKeySigner, chain_id: u64, pricing: Pricing) -> Self {
        let address = key.address();
        let sender =
            Sender { client, key, chain_id, pricing, draft: None, outcomes: VecDeque::new(), next: 0, cell_proofs: false };
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

    /// Looks for the receipt of a transaction; sends again what lingers. An outcome is told once.
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
        Ok(self.sender.lock().await.market().await?.offer)
    }
}

/// What the clones of an account share.
struct Sender {
    client: L1Client,
    key: PrivateKeySigner,
    chain_id: u64,
    pricing: Pricing,
    draft: Option<Draft>,
    outcomes: VecDeque<(Ticket, Fate)>,
    next: u64,
    /// L1 wants EIP-7594 sidecars (Osaka): learnt from its refusal of the other kind.
    cell_proofs: bool,
}

impl Sender {
    async fn post(&mut self, call: Call) -> Result<Ticket, L1Error> {
        let market = self.market().await?;
        let fees = market.offer;
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
            return Err(L1Error::TooMuchGas { estimate, limit: MAX_GAS });
        }
        let gas_limit = (estimate * GAS_MARGIN_PERCENT / 100).min(MAX_GAS);
        let nonce = self.client.nonce(self.key.address()).await?;
        let ticket = Ticket(self.next);
        let (versions, sent, priced_at) = (Vec::new(), Instant::now(), market.block);
        let mut draft = Draft { ticket, nonce, gas_limit, call, fees, versions, sent, priced_at };
        let mut sent = self.send(&mut draft).await;
        // A transaction of an earlier life of this node may hold the nonce: outbid it, as far as the ceilings allow.
        while sent.as_ref().is_err_and(is_underpriced) {
            let raised = self.pricing.cap(draft.fees.bumped(draft.blobs()));
            if !raised.replaces(draft.fees, draft.blobs()) {
                break;
            }
            draft.fees = raised;
            sent = self.send(&mut draft).await;
        }
        sent?;
        self.next += 1;
        self.draft = Some(draft);
        Ok(ticket)
    }

    /// Looks for a receipt of the transaction in flight; sends it again when it lingers.
    async fn advance(&mut self) -> Result<(), L1Error> {
        let Some(draft) = &self.draft else { return Ok(()) };
        let mut fate = self.receipt(draft).await?;
        if fate.is_none() {
            let mined = self.client.nonce(self.key.address()).await?;
            if mined > draft.nonce {
                // A receipt may have appeared between the two questions: look once more before calling it displaced.
                fate = Some(self.receipt(draft).await?.unwrap_or(Fate::Displaced));
            } else if mined < draft.nonce && draft.sent.elapsed() >= self.pricing.replace_after {
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
            None if draft.sent.elapsed() >= self.pricing.replace_after => self.renew().await?,
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

    /// Sends the transaction in flight again: with higher fees where L1 has moved past the old ones, else as it is.
    async fn renew(&mut self) -> Result<(), L1Error> {
        let market = self.market().await?;
        let Some(mut draft) = self.draft.take() else { return Ok(()) };
        let before = (draft.fees, draft.priced_at);
        draft.sent = Instant::now();
        let next = draft.next(&market, &self.pricing);
        if let Next::Raise(fees) = next {
            (draft.fees, draft.priced_at) = (fees, market.block);
        }
        let sent = self.send(&mut draft).await;
        let (nonce, max_fee, tip, blob_fee) = (draft.nonce, draft.fees.max, draft.fees.tip, draft.fees.blob);
        match (&sent, next) {
            (Err(_), _) => (draft.fees, draft.priced_at) = before,
            (Ok(_), Next::Again) => debug!(nonce, "sent a lingering L1 transaction again"),
            (Ok(_), Next::Raise(_)) => info!(nonce, max_fee, tip, blob_fee, "replaced a lingering L1 transaction"),
            (Ok(_), Next::Ceiling) => {
                warn!(nonce, max_fee, tip, blob_fee, "L1 asks more than this node may pay: sent the same transaction again");
            }
        }
        self.draft = Some(draft);
        sent.map(drop)
    }

    async fn send(&mut self, draft: &mut Draft) -> Result<TxHash, L1Error> {
        loop {
            let (hash, bytes) = self.sign(draft)?;
            let error = match self.client.send(&bytes).await {
                Err(error) if !is_known(&error) => error,
                Ok(_) | Err(_) => {
                    if draft.versions.last() != Some(&hash) {
                        draft.versions.push(hash);
                    }
                    return Ok(hash);
                }
            };
            if !draft.blobs() || self.cell_proofs || !wants_cell_proofs(&error) {
                return Err(error);
            }
            warn!(%error, "L1 refuses EIP-4844 sidecars: sending EIP-7594 ones from now on");
            self.cell_proofs = true;
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

    /// What L1 asks, from its newest header.
    async fn market(&self) -> Result<Market, L1Error> {
        let head = self.client.header(BlockNumberOrTag::Latest).await?;
        let head = head.ok_or_else(|| self.client.inconsistent("it has no latest block".to_owned()))?.header;
        let base = u128::from(head.base_fee_per_gas.unwrap_or_default());
        let blob = head.next_block_blob_fee(BlobParams::prague()).unwrap_or(1);
        let offer = self.pricing.cap(Fees {
            max: base * FEE_HEADROOM + PRIORITY_FEE,
            tip: PRIORITY_FEE,
            blob: blob.saturating_mul(FEE_HEADROOM).max(1),
        });
        Ok(Market { block: head.number, base, blob, offer })
    }
}

fn says(error: &L1Error, words: &[&str]) -> bool {
    let (L1Error::Rpc { message, .. } | L1Error::Refused { message, .. }) = error else { return false };
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

#[cfg(test)]
mod tests {
    use super::*;

    const PRICING: Pricing = Pricing { replace_after: Duration::ZERO, max_fee: 2_000 * GWEI, max_tip: 50 * GWEI };

    /// A market at `block` with both base fees at so many gwei.
    fn market(block: u64, base: u128) -> Market {
        let (base, blob) = (base * GWEI, base * GWEI);
        Market { block, base, blob, offer: Fees { max: 2 * base + GWEI, tip: GWEI, blob: 2 * blob } }
    }

    /// A transaction, with a blob or without, that was priced by a market at block 100.
    fn draft(base: u128, blobs: bool) -> Draft {
        let sidecar = blobs.then(|| Box::new(BlobTransactionSidecar::default()));
        let call = Call { to: Address::ZERO, input: Bytes::new(), sidecar };
        let fees = market(100, base).offer;
        Draft {
            ticket: Ticket(0),
            nonce: 0,
            gas_limit: 0,
            call,
            fees,
            versions: Vec::new(),
            sent: Instant::now(),
            priced_at: 100,
        }
    }

    #[test]
    fn an_offer_stands_while_l1_stands_still_or_has_not_passed_it_by() {
        for blobs in [false, true] {
            let draft = draft(10, blobs);
            assert_eq!(draft.next(&market(100, 10), &PRICING), Next::Again, "L1 has made no block");
            assert_eq!(draft.next(&market(102, 20), &PRICING), Next::Again, "its headroom covers the base fee");
            assert!(matches!(draft.next(&market(103, 10), &PRICING), Next::Raise(_)), "three blocks have left it out");
            assert!(matches!(draft.next(&market(101, 21), &PRICING), Next::Raise(_)), "the base fee is above it");
        }
    }

    #[test]
    fn a_raised_offer_is_what_l1_nodes_take_and_what_the_market_asks() {
        for (blobs, percent) in [(false, 125), (true, 200)] {
            let draft = draft(10, blobs);
            let of = |fee: u128| (fee * percent).div_ceil(100);
            let Fees { max, tip, blob } = draft.fees;
            let outbid = Next::Raise(Fees { max: of(max), tip: of(tip), blob: of(blob) });
            assert_eq!(draft.next(&market(110, 10), &PRICING), outbid);
            let dear = market(110, 100);
            let Next::Raise(fees) = draft.next(&dear, &PRICING) else { panic!("{blobs}") };
            assert_eq!((fees.max, fees.tip, fees.blob), (dear.offer.max, of(tip), dear.offer.blob));
        }
    }

    #[test]
    fn fees_stop_at_their_ceilings_however_long_l1_leaves_a_transaction_out() {
        for blobs in [false, true] {
            let mut draft = draft(10, blobs);
            let mut raises = 0;
            while let Next::Raise(fees) = draft.next(&market(1_000, 10), &PRICING) {
                assert!(fees.replaces(draft.fees, blobs), "{fees:?}");
                draft.fees = fees;
                raises += 1;
            }
            assert!(raises > 4 && draft.fees.tip <= 50 * GWEI && draft.fees.max <= 2_000 * GWEI, "{raises} {:?}", draft.fees);
            assert_eq!(draft.next(&market(1_000, 10), &PRICING), Next::Ceiling);
            assert_eq!(draft.next(&market(100, 10), &PRICING), Next::Again);
        }
    }
}
