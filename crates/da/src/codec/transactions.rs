//! Transactions, one after the other. What a value most likely is depends on the transaction's template (type, call or creation,
//! selector, number of words) and on the latest transaction to the same recipient.

use super::Part;
use super::addresses::{Favourites, Latest};
use super::coder::{Bit, Coder};
use super::numbers::{Amount, Integer, Popular, Recent, narrow};
use super::words::{Kind as WordKind, Shared, Words};
use crate::{BatchError, MAX_BATCH_BYTES};
use alloy_consensus::{Signed, Transaction as _, TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use oceanid_primitives::TxEnvelope;
use std::collections::HashMap;

/// Memory for call data and lists that one batch may unfold to, bytes: twice [`MAX_BATCH_BYTES`], because a list entry takes up to
/// twice its encoded size.
pub const MAX_DECODED_BYTES: usize = 2 * MAX_BATCH_BYTES;

/// Bytes of a selector.
const SELECTOR: usize = 4;
/// Bytes of a word.
const WORD: usize = 32;
/// Most words of call data that are told one by one; longer call data is left to the compressor.
const MAX_WORDS: usize = 1_024;
/// Templates with statistics of their own; later ones share the last.
const CONTEXTS: usize = 64;
/// Words of a call with statistics of their own; later ones share the last.
const PLACES: usize = 16;

/// The shape of a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Template {
    kind: Kind,
    creation: bool,
    input: Input,
}

/// Transaction type; a legacy transaction may be signed for any chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Kind {
    #[default]
    Unprotected,
    Legacy,
    Eip2930,
    Eip1559,
    Eip7702,
}

/// Shape of the call data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Input {
    #[default]
    Empty,
    Raw,
    Call {
        selector: [u8; SELECTOR],
        words: u16,
    },
}

impl Kind {
    const ALL: [Self; 5] = [Self::Unprotected, Self::Legacy, Self::Eip2930, Self::Eip1559, Self::Eip7702];

    const fn has_tip(self) -> bool {
        matches!(self, Self::Eip1559 | Self::Eip7702)
    }

    const fn has_access_list(self) -> bool {
        matches!(self, Self::Eip2930 | Self::Eip1559 | Self::Eip7702)
    }
}

impl Input {
    fn of(to: TxKind, input: &[u8]) -> Self {
        match input.len() {
            0 => Self::Empty,
            length if to.is_call() && length % WORD == SELECTOR && length / WORD <= MAX_WORDS => {
                Self::Call { selector: input[..SELECTOR].try_into().expect("four bytes"), words: (length / WORD) as u16 }
            }
            _ => Self::Raw,
        }
    }
}

impl Template {
    const BAD: BatchError = BatchError::Range("template");

    /// A template that was not there before.
    fn code<C: Coder>(self, coder: &mut C) -> Result<Self, BatchError> {
        let (input, selector, words) = match self.input {
            Input::Empty => (0, [0; SELECTOR], 0),
            Input::Raw => (1, [0; SELECTOR], 0),
            Input::Call { selector, words } => (2, selector, words),
        };
        let shape = coder.even(8, self.kind as u8 | u8::from(self.creation) << 3 | input << 4)?;
        let kind = *Kind::ALL.get(usize::from(shape & 7)).ok_or(Self::BAD)?;
        let creation = shape & 8 != 0;
        if creation && kind == Kind::Eip7702 {
            return Err(Self::BAD);
        }
        let input = match shape >> 4 {
            0 => Input::Empty,
            1 => Input::Raw,
            2 => {
                let [high, low] = words.to_be_bytes();
                let mut found = [0; SELECTOR + 2];
                for (found, given) in found.iter_mut().zip(selector.into_iter().chain([high, low])) {
                    *found = coder.even(8, given)?;
                }
                let [a, b, c, d, high, low] = found;
                Input::Call { selector: [a, b, c, d], words: u16::from_be_bytes([high, low]) }
            }
            _ => return Err(Self::BAD),
        };
        match input {
            Input::Call { words, .. } if usize::from(words) > MAX_WORDS => Err(Self::BAD),
            _ => Ok(Self { kind, creation, input }),
        }
    }

    const fn words(self) -> usize {
        match self.input {
            Input::Call { words, .. } => words as usize,
            Input::Empty | Input::Raw => 0,
        }
    }

    /// Bytes of call data this template implies.
    const fn input_bytes(self) -> usize {
        match self.input {
            Input::Empty | Input::Raw => 0,
            Input::Call { words, .. } => SELECTOR + words as usize * WORD,
        }
    }
}

/// The templates of a batch.
#[derive(Default)]
struct Templates {
    /// The next one was there before.
    known: Bit,
    table: Vec<Template>,
    /// Only a writer looks templates up.
    numbers: HashMap<Template, usize>,
    popular: Popular,
}

impl Templates {
    fn code<C: Coder>(&mut self, coder: &mut C, template: Template) -> Result<(usize, Template), BatchError> {
        let number = self.numbers.get(&template).copied();
        if !self.table.is_empty() && self.known.code(coder, number.is_some())? {
            let number = self.popular.code(coder, number.unwrap_or_default())?;
            return Ok((number, self.table[number]));
        }
        let (number, template) = (self.table.len(), template.code(coder)?);
        self.table.push(template);
        self.popular.push();
        if C::WRITES {
            self.numbers.insert(template, number);
        }
        Ok((number, template))
    }
}

/// What is learnt about the transactions of one template.
#[derive(Default)]
struct Context {
    recipients: Favourites,
    /// The nonce follows that of the latest transaction to the same recipient: one sender who comes back.
    next_nonce: Bit,
    /// Gas limit and value are those of the latest transaction to the same recipient.
    same_gas: Bit,
    same_value: Bit,
    gas: Recent,
    values: Amount,
    words: Vec<Words>,
}

/// What is learnt about access lists and authorisations.
#[derive(Default)]
struct Lists {
    lengths: Integer,
    addresses: Favourites,
    keys: Words,
    chain_ids: Amount,
    nonces: Integer,
    parities: Integer,
}

/// All that is learnt on the way through the transactions of a batch.
pub(super) struct Model {
    chain_id: u64,
    templates: Templates,
    contexts: Vec<Context>,
    shared: Shared,
    nonces: Integer,
    tips: Recent,
    /// Without and with a tip beside them.
    fees: [Recent; 2],
    /// No transaction of the block has had a fee of that kind yet.
    first: [bool; 2],
    lists: Lists,
    input_lengths: Integer,
    unfolded: Budget,
    encoded: Budget,
}

/// A transaction of any type.
#[derive(Default)]
struct Fields {
    template: Template,
    nonce: u64,
    gas_limit: u64,
    /// Legacy gas price, or the most a transaction pays above its tip: twice the base fee in most wallets, so it repeats.
    fee: u128,
    tip: u128,
    to: Address,
    value: U256,
    input: Bytes,
    access_list: AccessList,
    authorizations: Vec<SignedAuthorization>,
    /// EIP-2098, `r` and `s`: the parity sits in the top bit of `s`, which a valid `s` leaves free.
    signature: [[u8; WORD]; 2],
}

impl Model {
    pub(super) fn new(chain_id: u64) -> Self {
        Self {
            chain_id,
            templates: Templates::default(),
            contexts: Vec::new(),
            shared: Shared::default(),
            nonces: Integer::default(),
            tips: Recent::default(),
            fees: Default::default(),
            first: [true; 2],
            lists: Lists::default(),
            input_lengths: Integer::default(),
            unfolded: Budget(MAX_DECODED_BYTES),
            encoded: Budget(MAX_BATCH_BYTES),
        }
    }

    /// Writes more than a batch may hold.
    #[cfg(test)]
    pub(super) fn unbounded(chain_id: u64) -> Self {
        Self { unfolded: Budget(usize::MAX), encoded: Budget(usize::MAX), ..Self::new(chain_id) }
    }

    /// Another block begins.
    pub(super) const fn next_block(&mut self) {
        self.first = [true; 2];
    }

    /// Writes a transaction of a block of that time.
    pub(super) fn write<C: Coder>(&mut self, coder: &mut C, timestamp: u64, tx: &TxEnvelope) -> Result<(), BatchError> {
        let fields = Fields::of(tx, self.chain_id)?;
        self.encoded.take(tx.encode_2718_len())?;
        self.code(coder, timestamp, fields).map(drop)
    }

    /// Reads a transaction of a block of that time.
    pub(super) fn read<C: Coder>(&mut self, coder: &mut C, timestamp: u64) -> Result<TxEnvelope, BatchError> {
        let tx = self.code(coder, timestamp, Fields::default())?.finish(self.chain_id);
        self.encoded.take(tx.encode_2718_len())?;
        Ok(tx)
    }

    /// Both ways: `tx` is the transaction to write, or nothing.
    fn code<C: Coder>(&mut self, coder: &mut C, timestamp: u64, mut tx: Fields) -> Result<Fields, BatchError> {
        // First, so that a lying count is found before anything is made of it.
        coder.part(Part::Signatures);
        coder.raw(tx.signature.as_flattened_mut())?;
        coder.part(Part::Templates);
        let (number, template) = self.templates.code(coder, tx.template)?;
        tx.template = template;
        self.unfolded.take(template.input_bytes())?;
        let number = number.min(CONTEXTS - 1);
        if number == self.contexts.len() {
            self.contexts.push(Context::default());
        }
        let context = &mut self.contexts[number];
        let places = template.words().min(PLACES).max(context.words.len());
        context.words.resize_with(places, Words::default);

        let mut latest = &mut None;
        if !template.creation {
            coder.part(Part::Recipients);
            let recipient = context.recipients.code(coder, &mut self.shared.book, tx.to)?;
            tx.to = self.shared.book.address(recipient);
            latest = self.shared.book.latest(recipient);
        }
        coder.part(Part::Nonces);
        let next = latest.map(|latest| latest.nonce.wrapping_add(1));
        tx.nonce = match expected(coder, &mut context.next_nonce, next, tx.nonce)? {
            Some(nonce) => nonce,
            None => self.nonces.code_u64(coder, "nonce", tx.nonce)?,
        };
        coder.part(Part::GasLimits);
        tx.gas_limit = match expected(coder, &mut context.same_gas, latest.map(|latest| latest.gas_limit), tx.gas_limit)? {
            Some(gas_limit) => gas_limit,
            None => narrow(context.gas.code(coder, false, U256::from(tx.gas_limit))?, "gas limit")?,
        };
        coder.part(Part::Values);
        tx.value = match expected(coder, &mut context.same_value, latest.map(|latest| latest.value), tx.value)? {
            Some(value) => value,
            None => context.values.code(coder, tx.value)?,
        };
        *latest = Some(Latest { nonce: tx.nonce, gas_limit: tx.gas_limit, value: tx.value });
        coder.part(Part::Fees);
        let tipped = usize::from(template.kind.has_tip());
        tx.fee = narrow(self.fees[tipped].code(coder, self.first[tipped], U256::from(tx.fee))?, "fee")?;
        self.first[tipped] = false;
        if template.kind.has_tip() {
            coder.part(Part::Tips);
            tx.tip = narrow(self.tips.code(coder, false, U256::from(tx.tip))?, "tip")?;
        }
        if template.kind.has_access_list() {
            tx.access_list = self.access_list(coder, timestamp, &tx.access_list)?;
        }
        if template.kind == Kind::Eip7702 {
            tx.authorizations = self.authorizations(coder, &tx.authorizations)?;
        }
        tx.input = self.input(coder, number, timestamp, template, &tx.input)?;
        Ok(tx)
    }

    fn input<C: Coder>(
        &mut self,
        coder: &mut C,
        context: usize,
        timestamp: u64,
        template: Template,
        given: &[u8],
    ) -> Result<Bytes, BatchError> {
        let (selector, words) = match template.input {
            Input::Empty => return Ok(Bytes::new()),
            Input::Raw => {
                coder.part(Part::FreeForm);
                let length = self.input_lengths.code_u64(coder, "length of call data", given.len() as u64)?;
                let length = usize::try_from(length).map_err(|_| BatchError::Range("length of call data"))?;
                return coder.free(length, given).map(Bytes::from);
            }
            Input::Call { selector, words } => (selector, usize::from(words)),
        };
        let mut input = Vec::with_capacity(template.input_bytes());
        input.extend_from_slice(&selector);
        let mut kind = WordKind::default();
        for index in 0..words {
            let at = SELECTOR + index * WORD;
            let word = given.get(at..at + WORD).map_or(B256::ZERO, B256::from_slice);
            let place = &mut self.contexts[context].words[index.min(PLACES - 1)];
            input.extend_from_slice(place.code(coder, &mut self.shared, &mut kind, timestamp, word)?.as_slice());
        }
        Ok(input.into())
    }

    fn access_list<C: Coder>(&mut self, coder: &mut C, timestamp: u64, given: &AccessList) -> Result<AccessList, BatchError> {
        let Lists { lengths, addresses, keys, .. } = &mut self.lists;
        let mut list = Vec::new();
        let mut kind = WordKind::default();
        let nothing = AccessListItem::default();
        coder.part(Part::Lists);
        for index in 0..lengths.code_u64(coder, "length of an access list", given.0.len() as u64)? {
            self.unfolded.take(size_of::<AccessListItem>())?;
            let given = given.0.get(index as usize).unwrap_or(&nothing);
            coder.part(Part::Lists);
            let address = addresses.code(coder, &mut self.shared.book, given.address)?;
            let mut storage_keys = Vec::new();
            coder.part(Part::Lists);
            for index in 0..lengths.code_u64(coder, "number of storage keys", given.storage_keys.len() as u64)? {
                self.unfolded.take(WORD)?;
                let key = given.storage_keys.get(index as usize).copied().unwrap_or_default();
                storage_keys.push(keys.code(coder, &mut self.shared, &mut kind, timestamp, key)?);
            }
            list.push(AccessListItem { address: self.shared.book.address(address), storage_keys });
        }
        Ok(AccessList(list))
    }

    /// An authorisation with a bad signature is skipped by execution but stands in the block: every byte is kept.
    fn authorizations<C: Coder>(
        &mut self,
        coder: &mut C,
        given: &[SignedAuthorization],
    ) -> Result<Vec<SignedAuthorization>, BatchError> {
        let Lists { lengths, addresses, chain_ids, nonces, parities, .. } = &mut self.lists;
        let mut list = Vec::new();
        let nothing = Authorization { chain_id: U256::ZERO, address: Address::ZERO, nonce: 0 };
        let nothing = SignedAuthorization::new_unchecked(nothing, 0, U256::ZERO, U256::ZERO);
        coder.part(Part::Lists);
        for index in 0..lengths.code_u64(coder, "number of authorisations", given.len() as u64)? {
            self.unfolded.take(size_of::<SignedAuthorization>())?;
            let given = given.get(index as usize).unwrap_or(&nothing);
            let mut signature = [given.r().to_be_bytes::<WORD>(), given.s().to_be_bytes::<WORD>()];
            coder.part(Part::Signatures);
            coder.raw(signature.as_flattened_mut())?;
            coder.part(Part::Lists);
            let chain_id = chain_ids.code(coder, given.chain_id)?;
            let nonce = nonces.code_u64(coder, "nonce of an authorisation", given.nonce)?;
            let parity = parities.code(coder, U256::from(given.y_parity()))?;
            let address = addresses.code(coder, &mut self.shared.book, given.address)?;
            let authorization = Authorization { chain_id, address: self.shared.book.address(address), nonce };
            let [r, s] = signature.map(U256::from_be_bytes);
            list.push(SignedAuthorization::new_unchecked(authorization, narrow(parity, "parity of an authorisation")?, r, s));
        }
        Ok(list)
    }
}

impl Fields {
    /// Fails on what no block of a chain of that id holds.
    fn of(tx: &TxEnvelope, chain_id: u64) -> Result<Self, BatchError> {
        let (kind, signature) = match tx {
            TxEnvelope::Legacy(signed) if signed.tx().chain_id.is_none() => (Kind::Unprotected, signed.signature()),
            TxEnvelope::Legacy(signed) => (Kind::Legacy, signed.signature()),
            TxEnvelope::Eip2930(signed) => (Kind::Eip2930, signed.signature()),
            TxEnvelope::Eip1559(signed) => (Kind::Eip1559, signed.signature()),
            TxEnvelope::Eip7702(signed) => (Kind::Eip7702, signed.signature()),
            TxEnvelope::Eip4844(_) => return Err(BatchError::Transaction("blob transaction")),
            TxEnvelope::Deposit(_) => return Err(BatchError::Transaction("deposit")),
        };
        if tx.chain_id().is_some_and(|id| id != chain_id) {
            return Err(BatchError::Transaction("signed for another chain id"));
        }
        let mut s = signature.s();
        if s.bit(255) {
            return Err(BatchError::Transaction("signature with a high `s`"));
        }
        s.set_bit(255, signature.v());
        let tip = tx.max_priority_fee_per_gas().unwrap_or_default();
        Ok(Self {
            template: Template { kind, creation: tx.is_create(), input: Input::of(tx.kind(), tx.input()) },
            nonce: tx.nonce(),
            gas_limit: tx.gas_limit(),
            fee: tx.max_fee_per_gas().wrapping_sub(tip),
            tip,
            to: tx.to().unwrap_or_default(),
            value: tx.value(),
            input: tx.input().clone(),
            access_list: tx.access_list().cloned().unwrap_or_default(),
            authorizations: tx.authorization_list().unwrap_or_default().to_vec(),
            signature: [signature.r(), s].map(|half| half.to_be_bytes()),
        })
    }

    fn finish(self, chain_id: u64) -> TxEnvelope {
        let Self { template, nonce, gas_limit, fee, tip, value, input, access_list, .. } = self;
        let signature = Signature::from_erc2098(self.signature.as_flattened());
        let to = if template.creation { TxKind::Create } else { TxKind::Call(self.to) };
        let max_fee_per_gas = fee.wrapping_add(tip);
        let max_priority_fee_per_gas = tip;
        match template.kind {
            Kind::Unprotected | Kind::Legacy => {
                let chain_id = (template.kind == Kind::Legacy).then_some(chain_id);
                let tx = TxLegacy { chain_id, nonce, gas_price: fee, gas_limit, to, value, input };
                TxEnvelope::Legacy(Signed::new_unhashed(tx, signature))
            }
            Kind::Eip2930 => {
                let tx = TxEip2930 { chain_id, nonce, gas_price: fee, gas_limit, to, value, access_list, input };
                TxEnvelope::Eip2930(Signed::new_unhashed(tx, signature))
            }
            Kind::Eip1559 => {
                let tx = TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to,
                    value,
                    access_list,
                    input,
                };
                TxEnvelope::Eip1559(Signed::new_unhashed(tx, signature))
            }
            Kind::Eip7702 => {
                let tx = TxEip7702 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to: self.to,
                    value,
                    access_list,
                    authorization_list: self.authorizations,
                    input,
                };
                TxEnvelope::Eip7702(Signed::new_unhashed(tx, signature))
            }
        }
    }
}

/// What was expected, if it was and is so.
fn expected<C: Coder, T: PartialEq>(
    coder: &mut C,
    odds: &mut Bit,
    expected: Option<T>,
    value: T,
) -> Result<Option<T>, BatchError> {
    let Some(expected) = expected else { return Ok(None) };
    let found = odds.code(coder, value == expected)?;
    Ok(found.then_some(expected))
}

/// Bytes that may still be unfolded: one decision can stand for a word.
struct Budget(usize);

impl Budget {
    fn take(&mut self, bytes: usize) -> Result<(), BatchError> {
        self.0 = self.0.checked_sub(bytes).ok_or(BatchError::TooLarge)?;
        Ok(())
    }
}
