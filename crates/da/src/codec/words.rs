//! 32-byte words of call data, access lists and storage keys: each is told by what it most likely is.

use super::Part;
use super::addresses::{Book, Favourites};
use super::coder::{Bit, Coder};
use super::numbers::{Amount, Integer, Symbol};
use crate::BatchError;
use alloy_primitives::{Address, B256, U256};

/// Words within this many seconds of the block's time are deadlines.
const TIME_WINDOW: u64 = 1 << 16;

/// What a word is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// An integer below 2^128, as an amount.
    #[default]
    Number,
    /// An address, left padded.
    Address,
    /// 2^256 - 1: an unlimited approval.
    Max,
    /// A time near the block's, as the difference in seconds.
    Time,
    /// Anything else.
    Bytes,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Number, Self::Address, Self::Max, Self::Time, Self::Bytes];

    fn of(word: &B256, timestamp: u64) -> Self {
        if word[..12].iter().any(|byte| *byte != 0) {
            return if word.iter().all(|byte| *byte == 0xff) { Self::Max } else { Self::Bytes };
        }
        if word[12..16].iter().any(|byte| *byte != 0) {
            return Self::Address;
        }
        match u64::try_from(U256::from_be_bytes(word.0)) {
            Ok(value) if value.abs_diff(timestamp) < TIME_WINDOW => Self::Time,
            _ => Self::Number,
        }
    }
}

/// What all words of a batch share.
#[derive(Default)]
pub(super) struct Shared {
    pub book: Book,
    times: Integer,
}

/// The words of one place: an argument of a function, or the keys of access lists.
#[derive(Default)]
pub(super) struct Words {
    /// The word is the one before it in this place: offsets and lengths of the ABI, constants.
    same: Bit,
    latest: B256,
    /// Given the kind of the word before it in the same call: what is an array of addresses stays one.
    kinds: [Symbol<8>; Kind::ALL.len()],
    amounts: Amount,
    addresses: Favourites,
}

impl Words {
    /// A word in a block of that time; `before` is the kind of the word before it.
    pub(super) fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        shared: &mut Shared,
        before: &mut Kind,
        timestamp: u64,
        word: B256,
    ) -> Result<B256, BatchError> {
        coder.part(Part::WordKinds);
        if self.same.code(coder, word == self.latest)? {
            return Ok(self.latest);
        }
        let kind = self.kinds[*before as usize].code(coder, Kind::of(&word, timestamp) as usize)?;
        *before = *Kind::ALL.get(kind).ok_or(BatchError::Range("kind of a word"))?;
        self.latest = match *before {
            Kind::Number => {
                coder.part(Part::Numbers);
                self.amounts.code(coder, U256::from_be_bytes(word.0))?.into()
            }
            Kind::Address => {
                coder.part(Part::WordAddresses);
                let number = self.addresses.code(coder, &mut shared.book, Address::from_word(word))?;
                shared.book.address(number).into_word()
            }
            Kind::Max => B256::repeat_byte(0xff),
            Kind::Time => {
                coder.part(Part::Times);
                let value = u64::from_be_bytes(word[24..].try_into().expect("eight bytes"));
                U256::from(shared.times.difference(coder, value, timestamp)?).into()
            }
            Kind::Bytes => {
                coder.part(Part::FreeForm);
                B256::from_slice(&coder.free(word.len(), word.as_slice())?)
            }
        };
        Ok(self.latest)
    }
}
