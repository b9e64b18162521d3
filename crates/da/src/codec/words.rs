//! 32-byte words of call data, access lists and storage keys: each is told by what it most likely is.

use super::addresses::{self, Book, Place};
use super::columns::{Column, Reader, Writer, name};
use crate::BatchError;
use alloy_primitives::{Address, U256};
use std::collections::HashMap;

/// Words within this many seconds of the block's time are deadlines.
const TIME_WINDOW: u64 = 1 << 16;

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// An integer below 2^128, as a decimal number.
    Number = 0,
    /// An address, left padded.
    Address = 1,
    /// 2^256 - 1: an unlimited approval.
    Max = 2,
    /// A time near the block's, as the difference in seconds.
    Time = 3,
    /// Anything else.
    Bytes = 4,
}

fn kind(word: &[u8; 32], timestamp: u64) -> Kind {
    if word[..12].iter().any(|byte| *byte != 0) {
        return if word.iter().all(|byte| *byte == 0xff) { Kind::Max } else { Kind::Bytes };
    }
    if word[12..16].iter().any(|byte| *byte != 0) {
        return Kind::Address;
    }
    let value = U256::from_be_bytes(*word);
    match u64::try_from(value) {
        Ok(value) if value.abs_diff(timestamp) < TIME_WINDOW => Kind::Time,
        _ => Kind::Number,
    }
}

/// The address a word holds, for the census.
pub(super) fn address(word: &[u8; 32]) -> Option<Address> {
    // The time only tells numbers apart.
    (kind(word, 0) == Kind::Address).then(|| Address::from_slice(&word[12..]))
}

pub(super) fn write(out: &mut Writer, book: &HashMap<Address, u32>, word: &[u8; 32], timestamp: u64) {
    let kind = kind(word, timestamp);
    out.byte(Column::WordKinds, kind as u8);
    match kind {
        Kind::Number => out.number(Column::Numbers, Column::NumberDigits, U256::from_be_bytes(*word)),
        Kind::Address => addresses::write(out, book, Place::Word, Address::from_slice(&word[12..])),
        Kind::Max => {}
        Kind::Time => {
            let value = u64::from_be_bytes(word[24..].try_into().expect("eight bytes"));
            out.difference(Column::NumberDigits, value, timestamp);
        }
        Kind::Bytes => out.bytes(Column::Data, word),
    }
}

pub(super) fn read<'a>(columns: &mut Reader<'a>, book: &Book<'a>, timestamp: u64) -> Result<[u8; 32], BatchError> {
    let kind = columns.byte(Column::WordKinds)?;
    if kind == Kind::Number as u8 {
        columns.number(Column::Numbers, Column::NumberDigits).map(|number| number.to_be_bytes())
    } else if kind == Kind::Address as u8 {
        book.get(columns, Place::Word).map(|address| address.into_word().0)
    } else if kind == Kind::Max as u8 {
        Ok([0xff; 32])
    } else if kind == Kind::Time as u8 {
        columns.difference(Column::NumberDigits, timestamp).map(|value| U256::from(value).to_be_bytes())
    } else if kind == Kind::Bytes as u8 {
        columns.array(Column::Data)
    } else {
        Err(BatchError::Range(name(Column::WordKinds)))
    }
}
