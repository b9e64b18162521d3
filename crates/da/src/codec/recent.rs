//! Values that repeat soon after one another (gas limits, fees): the place in a list of recent ones, or the value itself.

use super::columns::{Column, Reader, Writer, name};
use crate::BatchError;
use alloy_primitives::U256;

/// Values kept; places fit a byte with room for "new".
const KEPT: usize = 240;
/// Place of a value that is not in the list.
const NEW: u8 = 0;

/// The list, most recent first.
#[derive(Default)]
pub(super) struct Recent(Vec<U256>);

impl Recent {
    pub(super) fn write(&mut self, out: &mut Writer, places: Column, value: U256) {
        match self.0.iter().position(|kept| *kept == value) {
            Some(place) => {
                out.byte(places, place as u8 + 1);
                self.0[..=place].rotate_right(1);
            }
            None => {
                out.byte(places, NEW);
                out.number(Column::Fees, Column::FeeDigits, value);
                self.push(value);
            }
        }
    }

    pub(super) fn read(&mut self, columns: &mut Reader<'_>, places: Column) -> Result<U256, BatchError> {
        match columns.byte(places)? {
            NEW => {
                let value = columns.number(Column::Fees, Column::FeeDigits)?;
                self.push(value);
                Ok(value)
            }
            place => {
                let place = usize::from(place - 1);
                let value = *self.0.get(place).ok_or(BatchError::Range(name(places)))?;
                self.0[..=place].rotate_right(1);
                Ok(value)
            }
        }
    }

    fn push(&mut self, value: U256) {
        self.0.truncate(KEPT - 1);
        self.0.insert(0, value);
    }
}
