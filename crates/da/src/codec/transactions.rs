//! Transactions as columns, group by group: all transactions of one template (type, call or creation, selector, number of
//! words) stand together, so that like follows like in every column.

use super::addresses::{self, Book, Census, Place};
use super::columns::{Column, Reader, Writer, name};
use super::recent::Recent;
use super::words;
use crate::{BatchError, MAX_BATCH_BYTES};
use alloy_consensus::{Signed, TxEip1559, TxEip2930, TxEip7702, TxLegacy};
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
/// Most words of call data that are split into columns; longer call data is left to the compressor.
const MAX_WORDS: usize = 1_024;

/// The shape of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Template {
    kind: Kind,
    creation: bool,
    input: Input,
}

/// Transaction type; a legacy transaction may be signed for any chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Unprotected,
    Legacy,
    Eip2930,
    Eip1559,
    Eip7702,
}

/// Shape of the call data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Input {
    Empty,
    Raw,
    Call { selector: [u8; SELECTOR], words: u16 },
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

impl Template {
    fn write(self, out: &mut Writer) {
        let (input, selector, words) = match self.input {
            Input::Empty => (0, None, 0),
            Input::Raw => (1, None, 0),
            Input::Call { selector, words } => (2, Some(selector), words),
        };
        out.byte(Column::TemplateTable, self.kind as u8 | u8::from(self.creation) << 3 | input << 4);
        if let Some(selector) = selector {
            out.bytes(Column::TemplateTable, &selector);
            out.varint(Column::TemplateTable, words.into());
        }
    }

    fn read(columns: &mut Reader<'_>) -> Result<Self, BatchError> {
        const BAD: BatchError = BatchError::Range(name(Column::TemplateTable));
        let shape = columns.byte(Column::TemplateTable)?;
        let kind = *Kind::ALL.get(usize::from(shape & 7)).ok_or(BAD)?;
        let creation = shape & 8 != 0;
        if creation && kind == Kind::Eip7702 {
            return Err(BAD);
        }
        let input = match shape >> 4 {
            0 => Input::Empty,
            1 => Input::Raw,
            2 => {
                let selector = columns.array(Column::TemplateTable)?;
                let words = columns.varint(Column::TemplateTable)?;
                if words > MAX_WORDS as u64 {
                    return Err(BAD);
                }
                Input::Call { selector, words: words as u16 }
            }
            _ => return Err(BAD),
        };
        Ok(Self { kind, creation, input })
    }

    /// Bytes of call data this template implies.
    const fn input_bytes(self) -> usize {
        match self.input {
            Input::Empty | Input::Raw => 0,
            Input::Call { words, .. } => SELECTOR + words as usize * WORD,
        }
    }
}

/// What the columns need to know of a transaction, whatever its type.
struct View<'a> {
    template: Template,
    nonce: u64,
    gas_limit: u64,
    /// Legacy gas price, or the most a transaction pays above its tip: twice the base fee in most wallets, so it repeats.
    fee: u128,
    tip: u128,
    to: TxKind,
    value: U256,
    input: &'a Bytes,
    access_list: &'a [AccessListItem],
    authorizations: &'a [SignedAuthorization],
    signature: Signature,
}

impl<'a> View<'a> {
    fn new(tx: &'a TxEnvelope, chain_id: u64) -> Result<Self, BatchError> {
        const CHAIN: BatchError = BatchError::Transaction("signed for another chain id");
        let same_chain = |id: u64| if id == chain_id { Ok(()) } else { Err(CHAIN) };
        let shape = |kind, to: TxKind, input: &Bytes| Template { kind, creation: to.is_create(), input: Input::of(to, input) };
        let view = match tx {
            TxEnvelope::Legacy(signed) => {
                let tx = signed.tx();
                tx.chain_id.map_or(Ok(()), same_chain)?;
                let kind = if tx.chain_id.is_some() { Kind::Legacy } else { Kind::Unprotected };
                Self {
                    template: shape(kind, tx.to, &tx.input),
                    nonce: tx.nonce,
                    gas_limit: tx.gas_limit,
                    fee: tx.gas_price,
                    tip: 0,
                    to: tx.to,
                    value: tx.value,
                    input: &tx.input,
                    access_list: &[],
                    authorizations: &[],
                    signature: *signed.signature(),
                }
            }
            TxEnvelope::Eip2930(signed) => {
                let tx = signed.tx();
                same_chain(tx.chain_id)?;
                Self {
                    template: shape(Kind::Eip2930, tx.to, &tx.input),
                    nonce: tx.nonce,
                    gas_limit: tx.gas_limit,
                    fee: tx.gas_price,
                    tip: 0,
                    to: tx.to,
                    value: tx.value,
                    input: &tx.input,
                    access_list: &tx.access_list.0,
                    authorizations: &[],
                    signature: *signed.signature(),
                }
            }
            TxEnvelope::Eip1559(signed) => {
                let tx = signed.tx();
                same_chain(tx.chain_id)?;
                Self {
                    template: shape(Kind::Eip1559, tx.to, &tx.input),
                    nonce: tx.nonce,
                    gas_limit: tx.gas_limit,
                    fee: tx.max_fee_per_gas.wrapping_sub(tx.max_priority_fee_per_gas),
                    tip: tx.max_priority_fee_per_gas,
                    to: tx.to,
                    value: tx.value,
                    input: &tx.input,
                    access_list: &tx.access_list.0,
                    authorizations: &[],
                    signature: *signed.signature(),
                }
            }
            TxEnvelope::Eip7702(signed) => {
                let tx = signed.tx();
                same_chain(tx.chain_id)?;
                let to = TxKind::Call(tx.to);
                Self {
                    template: shape(Kind::Eip7702, to, &tx.input),
                    nonce: tx.nonce,
                    gas_limit: tx.gas_limit,
                    fee: tx.max_fee_per_gas.wrapping_sub(tx.max_priority_fee_per_gas),
                    tip: tx.max_priority_fee_per_gas,
                    to,
                    value: tx.value,
                    input: &tx.input,
                    access_list: &tx.access_list.0,
                    authorizations: &tx.authorization_list,
                    signature: *signed.signature(),
                }
            }
            TxEnvelope::Eip4844(_) => return Err(BatchError::Transaction("blob transaction")),
            TxEnvelope::Deposit(_) => return Err(BatchError::Transaction("deposit")),
        };
        if view.signature.s().bit(255) {
            return Err(BatchError::Transaction("signature with a high `s`"));
        }
        Ok(view)
    }

    /// The `index`-th word of the call data; the template says how many there are.
    fn word(&self, index: usize) -> &[u8; WORD] {
        let at = SELECTOR + index * WORD;
        self.input[at..at + WORD].try_into().expect("a word")
    }

    fn words(&self) -> usize {
        match self.template.input {
            Input::Call { words, .. } => words.into(),
            Input::Empty | Input::Raw => 0,
        }
    }

    fn count_addresses(&self, census: &mut Census) {
        if let TxKind::Call(to) = self.to {
            census.count(to);
        }
        (0..self.words()).filter_map(|index| words::address(self.word(index))).for_each(|address| census.count(address));
        for item in self.access_list {
            census.count(item.address);
            item.storage_keys.iter().filter_map(|key| words::address(key)).for_each(|address| census.count(address));
        }
        self.authorizations.iter().for_each(|signed| census.count(signed.address));
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

/// Writes the transactions of a batch; `transactions` come in order, each with the time of its block.
pub(super) fn write<'a>(
    out: &mut Writer,
    chain_id: u64,
    transactions: impl Iterator<Item = (u64, &'a TxEnvelope)>,
) -> Result<(), BatchError> {
    let mut census = Census::default();
    let mut budget = Budget(MAX_DECODED_BYTES);
    let mut encoded = Budget(MAX_BATCH_BYTES);
    let mut numbers = HashMap::<Template, u32>::new();
    let mut groups: Vec<Vec<(u64, View<'a>)>> = Vec::new();
    for (timestamp, tx) in transactions {
        let view = View::new(tx, chain_id)?;
        encoded.take(tx.encode_2718_len())?;
        budget.take(view.template.input_bytes())?;
        for item in view.access_list {
            budget.take(size_of::<AccessListItem>() + item.storage_keys.len() * WORD)?;
        }
        view.count_addresses(&mut census);
        let number = *numbers.entry(view.template).or_insert(groups.len() as u32);
        out.index(Column::Templates, Column::TemplateTail, number);
        if number as usize == groups.len() {
            view.template.write(out);
            groups.push(Vec::new());
        }
        groups[number as usize].push((timestamp, view));
    }
    let book = census.finish(out);
    for group in &groups {
        write_group(out, &book, group);
    }
    Ok(())
}

fn write_group(out: &mut Writer, book: &HashMap<Address, u32>, group: &[(u64, View<'_>)]) {
    let (mut gas, mut tips, mut fees) = (Recent::default(), Recent::default(), Recent::default());
    for (timestamp, tx) in group {
        out.byte(Column::NonceLow, tx.nonce as u8);
        out.varint(Column::NonceHigh, tx.nonce >> 8);
        gas.write(out, Column::GasRecent, U256::from(tx.gas_limit));
        fees.write(out, Column::FeeRecent, U256::from(tx.fee));
        if tx.template.kind.has_tip() {
            tips.write(out, Column::TipRecent, U256::from(tx.tip));
        }
        out.number(Column::Values, Column::ValueDigits, tx.value);
        if let TxKind::Call(to) = tx.to {
            addresses::write(out, book, Place::Recipient, to);
        }
        if tx.template.kind.has_access_list() {
            write_access_list(out, book, tx.access_list, *timestamp);
        }
        if tx.template.kind == Kind::Eip7702 {
            write_authorizations(out, book, tx.authorizations);
        }
        if tx.template.input == Input::Raw {
            out.varint(Column::Lengths, tx.input.len() as u64);
            out.bytes(Column::Data, tx.input);
        }
        write_signature(out, &tx.signature);
    }
    let words = group.first().map_or(0, |(_, tx)| tx.words());
    for index in 0..words {
        for (timestamp, tx) in group {
            words::write(out, book, tx.word(index), *timestamp);
        }
    }
}

fn write_access_list(out: &mut Writer, book: &HashMap<Address, u32>, list: &[AccessListItem], timestamp: u64) {
    out.varint(Column::Lists, list.len() as u64);
    for item in list {
        addresses::write(out, book, Place::Word, item.address);
        out.varint(Column::Lists, item.storage_keys.len() as u64);
        for key in &item.storage_keys {
            words::write(out, book, key, timestamp);
        }
    }
}

fn write_authorizations(out: &mut Writer, book: &HashMap<Address, u32>, list: &[SignedAuthorization]) {
    out.varint(Column::Lists, list.len() as u64);
    for signed in list {
        out.number(Column::Numbers, Column::NumberDigits, signed.chain_id);
        addresses::write(out, book, Place::Word, signed.address);
        out.varint(Column::Lists, signed.nonce);
        // An authorisation with a bad signature is skipped by execution but stands in the block: every byte is kept.
        out.byte(Column::Parity, signed.y_parity());
        out.bytes(Column::Raw, &signed.r().to_be_bytes::<32>());
        out.bytes(Column::Raw, &signed.s().to_be_bytes::<32>());
    }
}

/// EIP-2098: the parity sits in the top bit of `s`, which [`View::new`] has found free.
fn write_signature(out: &mut Writer, signature: &Signature) {
    let mut s = signature.s();
    s.set_bit(255, signature.v());
    out.bytes(Column::Raw, &signature.r().to_be_bytes::<32>());
    out.bytes(Column::Raw, &s.to_be_bytes::<32>());
}

/// A transaction being put together.
struct Draft {
    timestamp: u64,
    nonce: u64,
    gas_limit: u64,
    fee: u128,
    tip: u128,
    to: TxKind,
    value: U256,
    input: Vec<u8>,
    access_list: AccessList,
    authorizations: Vec<SignedAuthorization>,
    signature: Signature,
}

/// Reads the transactions of a batch; `timestamps` has the time of each transaction's block, in order.
pub(super) fn read(columns: &mut Reader<'_>, chain_id: u64, timestamps: &[u64]) -> Result<Vec<TxEnvelope>, BatchError> {
    let mut budget = Budget(MAX_DECODED_BYTES);
    let mut templates: Vec<(Template, Vec<usize>)> = Vec::new();
    for position in 0..timestamps.len() {
        let number = columns.index(Column::Templates, Column::TemplateTail)? as usize;
        if number == templates.len() {
            templates.push((Template::read(columns)?, Vec::new()));
        }
        let (template, group) = templates.get_mut(number).ok_or(BatchError::Range(name(Column::Templates)))?;
        budget.take(template.input_bytes())?;
        group.push(position);
    }
    let book = Book::read(columns)?;
    let mut transactions: Vec<Option<TxEnvelope>> = timestamps.iter().map(|_| None).collect();
    for (template, group) in templates {
        let times = group.iter().map(|position| timestamps[*position]);
        let drafts = read_group(columns, &book, template, times, &mut budget)?;
        for (position, draft) in group.into_iter().zip(drafts) {
            transactions[position] = Some(draft.finish(template.kind, chain_id)?);
        }
    }
    let mut encoded = Budget(MAX_BATCH_BYTES);
    let transactions = transactions.into_iter().map(|tx| {
        let tx = tx.expect("every position is in one group");
        encoded.take(tx.encode_2718_len())?;
        Ok(tx)
    });
    transactions.collect()
}

fn read_group<'a>(
    columns: &mut Reader<'a>,
    book: &Book<'a>,
    template: Template,
    timestamps: impl Iterator<Item = u64>,
    budget: &mut Budget,
) -> Result<Vec<Draft>, BatchError> {
    let (mut gas, mut tips, mut fees) = (Recent::default(), Recent::default(), Recent::default());
    let mut drafts = timestamps
        .map(|timestamp| {
            let low = columns.byte(Column::NonceLow)?;
            let high = columns.varint(Column::NonceHigh)?;
            if high >> 56 != 0 {
                return Err(BatchError::Range(name(Column::NonceHigh)));
            }
            let gas_limit = narrow(gas.read(columns, Column::GasRecent)?, Column::GasRecent)?;
            let fee = narrow(fees.read(columns, Column::FeeRecent)?, Column::FeeRecent)?;
            let tip =
                if template.kind.has_tip() { narrow(tips.read(columns, Column::TipRecent)?, Column::TipRecent)? } else { 0 };
            let value = columns.number(Column::Values, Column::ValueDigits)?;
            let to = if template.creation { TxKind::Create } else { TxKind::Call(book.get(columns, Place::Recipient)?) };
            let access_list = if template.kind.has_access_list() {
                read_access_list(columns, book, timestamp, budget)?
            } else {
                AccessList::default()
            };
            let authorizations = if template.kind == Kind::Eip7702 { read_authorizations(columns, book)? } else { Vec::new() };
            let input = match template.input {
                Input::Empty => Vec::new(),
                Input::Raw => {
                    let length = columns.varint(Column::Lengths)?;
                    let length = usize::try_from(length).map_err(|_| BatchError::Range(name(Column::Lengths)))?;
                    columns.bytes(Column::Data, length)?.to_vec()
                }
                Input::Call { selector, .. } => {
                    let mut input = Vec::with_capacity(template.input_bytes());
                    input.extend_from_slice(&selector);
                    input
                }
            };
            let signature = Signature::from_erc2098(columns.bytes(Column::Raw, 64)?);
            let nonce = high << 8 | u64::from(low);
            Ok(Draft { timestamp, nonce, gas_limit, fee, tip, to, value, input, access_list, authorizations, signature })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if let Input::Call { words, .. } = template.input {
        for _ in 0..words {
            for draft in &mut drafts {
                draft.input.extend_from_slice(&words::read(columns, book, draft.timestamp)?);
            }
        }
    }
    Ok(drafts)
}

fn read_access_list<'a>(
    columns: &mut Reader<'a>,
    book: &Book<'a>,
    timestamp: u64,
    budget: &mut Budget,
) -> Result<AccessList, BatchError> {
    let mut list = Vec::new();
    for _ in 0..columns.varint(Column::Lists)? {
        let address = book.get(columns, Place::Word)?;
        budget.take(size_of::<AccessListItem>())?;
        let mut storage_keys = Vec::new();
        for _ in 0..columns.varint(Column::Lists)? {
            budget.take(WORD)?;
            storage_keys.push(B256::new(words::read(columns, book, timestamp)?));
        }
        list.push(AccessListItem { address, storage_keys });
    }
    Ok(AccessList(list))
}

fn read_authorizations<'a>(columns: &mut Reader<'a>, book: &Book<'a>) -> Result<Vec<SignedAuthorization>, BatchError> {
    let mut list = Vec::new();
    for _ in 0..columns.varint(Column::Lists)? {
        let chain_id = columns.number(Column::Numbers, Column::NumberDigits)?;
        let address = book.get(columns, Place::Word)?;
        let nonce = columns.varint(Column::Lists)?;
        let parity = columns.byte(Column::Parity)?;
        let r = U256::from_be_bytes(columns.array::<32>(Column::Raw)?);
        let s = U256::from_be_bytes(columns.array::<32>(Column::Raw)?);
        list.push(SignedAuthorization::new_unchecked(Authorization { chain_id, address, nonce }, parity, r, s));
    }
    Ok(list)
}

impl Draft {
    fn finish(self, kind: Kind, chain_id: u64) -> Result<TxEnvelope, BatchError> {
        let Self { nonce, gas_limit, fee, tip, to, value, access_list, signature, .. } = self;
        let input = Bytes::from(self.input);
        let max_fee_per_gas = fee.wrapping_add(tip);
        let max_priority_fee_per_gas = tip;
        Ok(match kind {
            Kind::Unprotected | Kind::Legacy => {
                let chain_id = (kind == Kind::Legacy).then_some(chain_id);
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
                let TxKind::Call(to) = to else { return Err(BatchError::Range(name(Column::TemplateTable))) };
                let tx = TxEip7702 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to,
                    value,
                    access_list,
                    authorization_list: self.authorizations,
                    input,
                };
                TxEnvelope::Eip7702(Signed::new_unhashed(tx, signature))
            }
        })
    }
}

/// Bytes that may still be unfolded: a byte of a column can stand for a word.
struct Budget(usize);

impl Budget {
    fn take(&mut self, bytes: usize) -> Result<(), BatchError> {
        self.0 = self.0.checked_sub(bytes).ok_or(BatchError::TooLarge)?;
        Ok(())
    }
}

fn narrow<T: TryFrom<U256>>(value: U256, column: Column) -> Result<T, BatchError> {
    T::try_from(value).map_err(|_| BatchError::Range(name(column)))
}
