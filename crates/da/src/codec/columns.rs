//! Columns: named byte streams, written and read in parallel, with the integer and decimal codes they hold.

use crate::{BatchError, MAX_BATCH_BYTES};
use alloy_primitives::U256;

/// Bytes of the columns of one batch after decompression: what [`MAX_BATCH_BYTES`] of transactions can come to (a word of call data
/// takes at most 33 bytes), and a margin.
pub const MAX_COLUMN_BYTES: u64 = MAX_BATCH_BYTES as u64 / 4 * 5;

/// One stream of like values. The order here is the order in the encoding: streams that resemble each other are neighbours.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    Blocks,
    Timestamps,
    Origins,
    Views,
    ParentViews,
    Leaders,
    Counts,
    Templates,
    TemplateTail,
    TemplateTable,
    NonceLow,
    NonceHigh,
    GasRecent,
    TipRecent,
    FeeRecent,
    Fees,
    FeeDigits,
    Values,
    ValueDigits,
    ToIndex,
    ToTail,
    WordKinds,
    Numbers,
    NumberDigits,
    WordIndex,
    WordTail,
    Lists,
    Lengths,
    Parity,
    Data,
    /// Signatures and addresses seen for the first time: beside the compressed part, because no compressor helps there.
    Raw,
}

/// Names for error messages, by position.
const NAMES: [&str; COLUMNS] = [
    "blocks",
    "timestamps",
    "origins",
    "views",
    "parent views",
    "leaders",
    "transaction counts",
    "templates",
    "template tail",
    "template table",
    "nonces (low)",
    "nonces (high)",
    "recent gas limits",
    "recent tips",
    "recent fees",
    "fees",
    "fee digits",
    "values",
    "value digits",
    "recipients",
    "recipient tail",
    "word kinds",
    "numbers",
    "number digits",
    "word addresses",
    "word address tail",
    "lists",
    "lengths",
    "parities",
    "data",
    "raw",
];
/// Number of columns.
const COLUMNS: usize = Column::Raw as usize + 1;

/// Columns being written.
#[derive(Default)]
pub(super) struct Writer([Vec<u8>; COLUMNS]);

impl Writer {
    pub(super) fn bytes(&mut self, column: Column, bytes: &[u8]) {
        self.0[column as usize].extend_from_slice(bytes);
    }

    pub(super) fn byte(&mut self, column: Column, byte: u8) {
        self.0[column as usize].push(byte);
    }

    /// Unsigned LEB128.
    pub(super) fn varint(&mut self, column: Column, mut value: u64) {
        let out = &mut self.0[column as usize];
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    /// Difference of two integers; small either way is short. Wraps, so every pair has exactly one code.
    pub(super) fn difference(&mut self, column: Column, value: u64, expected: u64) {
        let difference = value.wrapping_sub(expected) as i64;
        self.varint(column, ((difference << 1) ^ (difference >> 63)) as u64);
    }

    /// An index whose small values are frequent: one byte below [`INDEX_SHORT`], else the rest in `tail`.
    pub(super) fn index(&mut self, column: Column, tail: Column, index: u32) {
        match index {
            0..INDEX_SHORT => self.byte(column, index as u8),
            INDEX_SHORT..INDEX_MIDDLE => {
                let rest = index - INDEX_SHORT;
                self.byte(column, (INDEX_SHORT + (rest >> 8)) as u8);
                self.byte(tail, rest as u8);
            }
            _ => {
                self.byte(column, u8::MAX);
                self.bytes(tail, &index.to_le_bytes());
            }
        }
    }

    /// A number as people write it: `mantissa x 10^exponent` without trailing zeros. `shape` gets the exponent and the
    /// mantissa's length in bytes, `digits` the mantissa, little endian.
    pub(super) fn number(&mut self, shape: Column, digits: Column, value: U256) {
        if value.is_zero() {
            return self.byte(shape, ZERO_SHAPE);
        }
        let (mantissa, exponent) = decimal(value);
        let length = mantissa.byte_len();
        self.byte(shape, exponent);
        self.byte(shape, length as u8);
        self.bytes(digits, &mantissa.as_le_slice()[..length]);
    }

    /// The compressible columns as one buffer (a varint length before each), and the raw one.
    pub(super) fn finish(self) -> (Vec<u8>, Vec<u8>) {
        let mut columns = self.0;
        let raw = core::mem::take(&mut columns[Column::Raw as usize]);
        let mut lengths = Writer::default();
        for column in &columns[..Column::Raw as usize] {
            lengths.varint(Column::Lengths, column.len() as u64);
        }
        let mut packed = core::mem::take(&mut lengths.0[Column::Lengths as usize]);
        for column in &columns[..Column::Raw as usize] {
            packed.extend_from_slice(column);
        }
        (packed, raw)
    }
}

/// Indices below this take one byte.
const INDEX_SHORT: u32 = 240;
/// Indices below this take two bytes; the rest five.
const INDEX_MIDDLE: u32 = INDEX_SHORT + 15 * 256;
/// Shape of the number zero; exponents stay below it because 10^78 exceeds 256 bits.
const ZERO_SHAPE: u8 = 0xff;
/// Largest exponent of ten in 256 bits.
const MAX_EXPONENT: u8 = 77;

/// Splits off trailing decimal zeros. `value` is not zero.
fn decimal(value: U256) -> (U256, u8) {
    let mut exponent = 0;
    if let Ok(mut small) = u128::try_from(value) {
        while small.is_multiple_of(10) {
            small /= 10;
            exponent += 1;
        }
        return (U256::from(small), exponent);
    }
    let ten = U256::from(10);
    let mut mantissa = value;
    loop {
        let (quotient, remainder) = mantissa.div_rem(ten);
        if !remainder.is_zero() {
            return (mantissa, exponent);
        }
        mantissa = quotient;
        exponent += 1;
    }
}

/// Columns being read.
pub(super) struct Reader<'a>([&'a [u8]; COLUMNS]);

impl<'a> Reader<'a> {
    /// Splits what [`Writer::finish`] made.
    pub(super) fn new(mut packed: &'a [u8], raw: &'a [u8]) -> Result<Self, BatchError> {
        let mut lengths = [0usize; COLUMNS - 1];
        for (length, name) in lengths.iter_mut().zip(NAMES) {
            *length = usize::try_from(read_varint(&mut packed, name)?).map_err(|_| BatchError::Range(name))?;
        }
        let mut columns = [&[][..]; COLUMNS];
        for ((column, length), name) in columns.iter_mut().zip(lengths).zip(NAMES) {
            (*column, packed) = packed.split_at_checked(length).ok_or(BatchError::Truncated(name))?;
        }
        if !packed.is_empty() {
            return Err(BatchError::Leftover("columns"));
        }
        columns[Column::Raw as usize] = raw;
        Ok(Self(columns))
    }

    pub(super) fn bytes(&mut self, column: Column, count: usize) -> Result<&'a [u8], BatchError> {
        let stream = &mut self.0[column as usize];
        let (taken, rest) = stream.split_at_checked(count).ok_or(BatchError::Truncated(NAMES[column as usize]))?;
        *stream = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self, column: Column) -> Result<[u8; N], BatchError> {
        self.bytes(column, N).map(|bytes| bytes.try_into().expect("asked for N bytes"))
    }

    pub(super) fn byte(&mut self, column: Column) -> Result<u8, BatchError> {
        self.array::<1>(column).map(|[byte]| byte)
    }

    /// Unsigned LEB128, shortest form only.
    pub(super) fn varint(&mut self, column: Column) -> Result<u64, BatchError> {
        read_varint(&mut self.0[column as usize], NAMES[column as usize])
    }

    pub(super) fn difference(&mut self, column: Column, expected: u64) -> Result<u64, BatchError> {
        let code = self.varint(column)?;
        let difference = (code >> 1) as i64 ^ -((code & 1) as i64);
        Ok(expected.wrapping_add(difference as u64))
    }

    pub(super) fn index(&mut self, column: Column, tail: Column) -> Result<u32, BatchError> {
        match u32::from(self.byte(column)?) {
            short @ 0..INDEX_SHORT => Ok(short),
            0xff => self.array(tail).map(u32::from_le_bytes),
            middle => Ok(INDEX_SHORT + ((middle - INDEX_SHORT) << 8) + u32::from(self.byte(tail)?)),
        }
    }

    pub(super) fn number(&mut self, shape: Column, digits: Column) -> Result<U256, BatchError> {
        let exponent = self.byte(shape)?;
        if exponent == ZERO_SHAPE {
            return Ok(U256::ZERO);
        }
        let length = self.byte(shape)?;
        if exponent > MAX_EXPONENT || length > 32 {
            return Err(BatchError::Range(NAMES[shape as usize]));
        }
        let mantissa = U256::from_le_slice(self.bytes(digits, usize::from(length))?);
        mantissa.checked_mul(U256::from(10).pow(U256::from(exponent))).ok_or(BatchError::Range(NAMES[shape as usize]))
    }

    /// Bytes left in a column.
    pub(super) const fn left(&self, column: Column) -> usize {
        self.0[column as usize].len()
    }

    /// Every column must have been read to its end.
    pub(super) fn finish(self) -> Result<(), BatchError> {
        match self.0.iter().position(|column| !column.is_empty()) {
            Some(column) => Err(BatchError::Leftover(NAMES[column])),
            None => Ok(()),
        }
    }
}

fn read_varint(stream: &mut &[u8], name: &'static str) -> Result<u64, BatchError> {
    let mut value = 0u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = stream.split_first().ok_or(BatchError::Truncated(name))?;
        *stream = rest;
        let bits = u64::from(byte & 0x7f);
        let last = byte & 0x80 == 0;
        if (bits << shift) >> shift != bits || (last && byte == 0 && shift > 0) {
            return Err(BatchError::Range(name));
        }
        value |= bits << shift;
        if last {
            return Ok(value);
        }
    }
    Err(BatchError::Range(name))
}

/// The name of a column, for errors found outside.
pub(super) const fn name(column: Column) -> &'static str {
    NAMES[column as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_round_trips() {
        let integers = [0, 1, 127, 128, 239, 240, 241, 4_079, 4_080, 100_000, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
        let mut numbers: Vec<U256> = integers.iter().map(|value| U256::from(*value)).collect();
        numbers.extend([
            U256::MAX,
            U256::from(10).pow(U256::from(77)),
            U256::from(5) << 200,
            U256::from(50_000_000_000_000_000u64),
        ]);
        let mut writer = Writer::default();
        for value in integers {
            writer.varint(Column::Views, value);
            writer.difference(Column::Origins, value, 1_000);
            writer.index(Column::Templates, Column::TemplateTail, value as u32);
        }
        for value in &numbers {
            writer.number(Column::Values, Column::ValueDigits, *value);
        }
        let (packed, raw) = writer.finish();
        let mut reader = Reader::new(&packed, &raw).unwrap();
        for value in integers {
            assert_eq!(reader.varint(Column::Views).unwrap(), value);
            assert_eq!(reader.difference(Column::Origins, 1_000).unwrap(), value);
            assert_eq!(reader.index(Column::Templates, Column::TemplateTail).unwrap(), value as u32);
        }
        for value in numbers {
            assert_eq!(reader.number(Column::Values, Column::ValueDigits).unwrap(), value);
        }
        assert_eq!(reader.varint(Column::Views), Err(BatchError::Truncated("views")));
        reader.finish().unwrap();
    }

    #[test]
    fn long_forms_and_overflows_are_refused() {
        for bytes in [&[0x80, 0x00][..], &[0xff; 11], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]] {
            assert_eq!(read_varint(&mut &bytes[..], "x"), Err(BatchError::Range("x")));
        }
    }
}
