//! The address book of a batch: addresses used more than once are numbered, the most used first; the others stand where they occur.

use super::columns::{Column, Reader, Writer, name};
use crate::BatchError;
use alloy_primitives::Address;
use std::collections::HashMap;

/// Index of an address that occurs once: its bytes come next in the raw column.
const SINGLE: u32 = 0;

/// Where an index is written: recipients and addresses in call data have different favourites.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Recipient,
    Word,
}

impl Place {
    const fn columns(self) -> (Column, Column) {
        match self {
            Self::Recipient => (Column::ToIndex, Column::ToTail),
            Self::Word => (Column::WordIndex, Column::WordTail),
        }
    }
}

/// Counts uses, then numbers the addresses worth numbering.
#[derive(Default)]
pub(super) struct Census(HashMap<Address, (u32, u32)>);

impl Census {
    pub(super) fn count(&mut self, address: Address) {
        let order = self.0.len() as u32;
        self.0.entry(address).or_insert((order, 0)).1 += 1;
    }

    /// Writes the table and returns the numbering.
    pub(super) fn finish(self, out: &mut Writer) -> HashMap<Address, u32> {
        let mut table: Vec<_> = self.0.into_iter().filter(|(_, (_, uses))| *uses > 1).collect();
        table.sort_unstable_by_key(|(_, (order, uses))| (u32::MAX - uses, *order));
        out.varint(Column::Lists, table.len() as u64);
        for (address, _) in &table {
            out.bytes(Column::Raw, address.as_slice());
        }
        table.into_iter().zip(SINGLE + 1..).map(|((address, _), number)| (address, number)).collect()
    }
}

pub(super) fn write(out: &mut Writer, book: &HashMap<Address, u32>, place: Place, address: Address) {
    let (column, tail) = place.columns();
    match book.get(&address) {
        Some(number) => out.index(column, tail, *number),
        None => {
            out.index(column, tail, SINGLE);
            out.bytes(Column::Raw, address.as_slice());
        }
    }
}

/// The table on the reading side.
pub(super) struct Book<'a>(&'a [u8]);

impl<'a> Book<'a> {
    pub(super) fn read(columns: &mut Reader<'a>) -> Result<Self, BatchError> {
        let count = usize::try_from(columns.varint(Column::Lists)?).map_err(|_| BatchError::Range(name(Column::Lists)))?;
        let length = count.checked_mul(Address::len_bytes()).ok_or(BatchError::Range(name(Column::Lists)))?;
        columns.bytes(Column::Raw, length).map(Self)
    }

    pub(super) fn get(&self, columns: &mut Reader<'a>, place: Place) -> Result<Address, BatchError> {
        let (column, tail) = place.columns();
        match columns.index(column, tail)? {
            SINGLE => columns.array(Column::Raw).map(Address::new),
            number => {
                let at = (number - SINGLE - 1) as usize * Address::len_bytes();
                let bytes = self.0.get(at..at + Address::len_bytes()).ok_or(BatchError::Range(name(column)))?;
                Ok(Address::from_slice(bytes))
            }
        }
    }
}
