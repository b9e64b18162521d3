//! The addresses of a batch. One that came before is told by how often it came, first in its place (recipients of one kind of
//! call, an argument of a function), then anywhere. A new one is 20 random bytes.

use super::Part;
use super::coder::{Bit, Coder};
use super::numbers::Popular;
use crate::BatchError;
use alloy_primitives::{Address, U256};
use std::collections::HashMap;

/// All addresses so far.
#[derive(Default)]
pub(super) struct Book {
    entries: Vec<Entry>,
    /// Only a writer looks addresses up.
    numbers: HashMap<Address, u32>,
    popular: Popular,
}

struct Entry {
    address: Address,
    latest: Option<Latest>,
}

/// What the latest transaction to an address had; the next often has the same, or comes from the same sender.
#[derive(Clone, Copy)]
pub(super) struct Latest {
    pub nonce: u64,
    pub gas_limit: u64,
    pub value: U256,
}

impl Book {
    pub(super) fn address(&self, number: u32) -> Address {
        self.entries[number as usize].address
    }

    pub(super) fn latest(&mut self, number: u32) -> &mut Option<Latest> {
        &mut self.entries[number as usize].latest
    }

    fn add<C: Coder>(&mut self, address: Address) -> u32 {
        let number = self.entries.len() as u32;
        self.entries.push(Entry { address, latest: None });
        self.popular.push();
        if C::WRITES {
            self.numbers.insert(address, number);
        }
        number
    }
}

/// The addresses of one place.
#[derive(Default)]
pub(super) struct Favourites {
    /// The next one was in this place before.
    known: Bit,
    /// If not: it was elsewhere.
    elsewhere: Bit,
    /// Numbers in the book.
    numbers: Vec<u32>,
    /// Where in `numbers` an address stands. Only a writer asks.
    places: HashMap<u32, usize>,
    popular: Popular,
}

impl Favourites {
    /// An address, by its number in the book.
    pub(super) fn code<C: Coder>(&mut self, coder: &mut C, book: &mut Book, address: Address) -> Result<u32, BatchError> {
        let number = book.numbers.get(&address).copied();
        let place = number.and_then(|number| self.places.get(&number).copied());
        if !self.numbers.is_empty() && self.known.code(coder, place.is_some())? {
            let number = self.numbers[self.popular.code(coder, place.unwrap_or_default())?];
            book.popular.uses(number as usize);
            return Ok(number);
        }
        let number = if !book.entries.is_empty() && self.elsewhere.code(coder, number.is_some())? {
            book.popular.code(coder, number.unwrap_or_default() as usize)? as u32
        } else {
            let mut address = address;
            coder.part(Part::NewAddresses);
            coder.raw(address.as_mut_slice())?;
            book.add::<C>(address)
        };
        if C::WRITES {
            self.places.insert(number, self.numbers.len());
        }
        self.numbers.push(number);
        self.popular.push();
        Ok(number)
    }
}
