//! Models of values: symbols, integers, amounts, values that come back soon, and items that are the more likely the more often they came.

use super::coder::{Bit, Coder, odds};
use crate::BatchError;
use alloy_primitives::U256;

/// A symbol below `N`, a power of two: one learnt decision for each bit, given those before it.
#[derive(Clone, Debug)]
pub(super) struct Symbol<const N: usize>([Bit; N]);

impl<const N: usize> Default for Symbol<N> {
    fn default() -> Self {
        const { assert!(N.is_power_of_two(), "a tree of decisions has a power of two of leaves") };
        Self([Bit::NEW; N])
    }
}

impl<const N: usize> Symbol<N> {
    pub(super) fn code<C: Coder>(&mut self, coder: &mut C, symbol: usize) -> Result<usize, BatchError> {
        let mut node = 1;
        for level in (0..N.ilog2()).rev() {
            let bit = self.0[node].code(coder, symbol >> level & 1 == 1)?;
            node = node << 1 | usize::from(bit);
        }
        Ok(node - N)
    }
}

/// Lengths below this are symbols of their own; for longer integers, eight even bits follow.
const LONG: usize = LENGTHS - 1;
const LENGTHS: usize = 128;
/// Integers of so many bits are learnt whole.
const SHORT: usize = 8;
/// Leading bits of longer ones that are learnt, the first included. The others are as good as random.
const LEADING: usize = 4;
/// Lengths that share what is learnt about leading bits.
const SHARED: usize = 2;

/// An integer: its length in bits, then the bits after the first, of which the leading ones are learnt.
#[derive(Clone, Debug)]
pub(super) struct Integer {
    lengths: Symbol<LENGTHS>,
    short: [Bit; 1 << SHORT],
    leading: [[Bit; 1 << (LEADING - 1)]; LENGTHS / SHARED],
}

impl Default for Integer {
    fn default() -> Self {
        Self {
            lengths: Symbol::default(),
            short: [Bit::NEW; 1 << SHORT],
            leading: [[Bit::NEW; 1 << (LEADING - 1)]; LENGTHS / SHARED],
        }
    }
}

impl Integer {
    /// Any integer.
    pub(super) fn code<C: Coder>(&mut self, coder: &mut C, value: U256) -> Result<U256, BatchError> {
        let length = value.bit_len();
        let length = match self.lengths.code(coder, length.min(LONG))? {
            LONG => LONG + usize::from(coder.even(8, length.wrapping_sub(LONG) as u8)?),
            short => short,
        };
        if length > U256::BITS {
            return Err(BatchError::Range("length of an integer"));
        }
        let Some(mut left) = length.checked_sub(1) else { return Ok(U256::ZERO) };
        let learnt = if length <= SHORT { left } else { LEADING - 1 };
        let mut prefix = 1;
        for _ in 0..learnt {
            left -= 1;
            let bit =
                if length <= SHORT { &mut self.short[prefix] } else { &mut self.leading[length.min(LONG) / SHARED][prefix] };
            prefix = prefix << 1 | usize::from(bit.code(coder, value.bit(left))?);
        }
        let mut found = U256::from(prefix);
        while left > 0 {
            let bits = left.min(8);
            left -= bits;
            let chunk = (value >> left).as_limbs()[0] & ((1 << bits) - 1);
            found = found << bits | U256::from(coder.even(bits as u32, chunk as u8)?);
        }
        Ok(found)
    }

    /// An integer of 64 bits; `name` is what it stands for.
    pub(super) fn code_u64<C: Coder>(&mut self, coder: &mut C, name: &'static str, value: u64) -> Result<u64, BatchError> {
        narrow(self.code(coder, U256::from(value))?, name)
    }

    /// The difference of two integers; small either way is short. Wraps, so that every pair has one.
    pub(super) fn difference<C: Coder>(&mut self, coder: &mut C, value: u64, expected: u64) -> Result<u64, BatchError> {
        let difference = value.wrapping_sub(expected) as i64;
        let code = self.code_u64(coder, "difference", ((difference << 1) ^ (difference >> 63)) as u64)?;
        let difference = (code >> 1) as i64 ^ -((code & 1) as i64);
        Ok(expected.wrapping_add(difference as u64))
    }
}

/// Fits a number into a narrower type.
pub(super) fn narrow<T: TryFrom<U256>>(value: U256, name: &'static str) -> Result<T, BatchError> {
    T::try_from(value).map_err(|_| BatchError::Range(name))
}

/// Symbol of zero among exponents: 10^78 exceeds 256 bits, so no exponent reaches it.
const ZERO: usize = 127;
/// Largest exponent of ten in 256 bits.
const MAX_EXPONENT: usize = 77;
/// Exponents from here on are those of amounts that somebody chose; below, trailing zeros may be luck.
const ROUND: usize = 4;

/// An amount as people write it: `mantissa x 10^exponent` without trailing zeros. How long a mantissa is depends on how round it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Amount {
    exponents: Symbol<128>,
    /// Of amounts that end in no zero, in few, in many.
    mantissas: [Integer; 3],
}

impl Amount {
    pub(super) fn code<C: Coder>(&mut self, coder: &mut C, value: U256) -> Result<U256, BatchError> {
        let (mantissa, exponent) = if C::WRITES && !value.is_zero() { decimal(value) } else { (U256::ZERO, ZERO) };
        let exponent = self.exponents.code(coder, exponent)?;
        let roundness = match exponent {
            ZERO => return Ok(U256::ZERO),
            0 => 0,
            1..ROUND => 1,
            ROUND..=MAX_EXPONENT => 2,
            _ => return Err(BatchError::Range("exponent of an amount")),
        };
        let mantissa = self.mantissas[roundness].code(coder, mantissa)?;
        mantissa.checked_mul(power_of_ten(exponent)).ok_or(BatchError::Range("amount"))
    }
}

fn power_of_ten(exponent: usize) -> U256 {
    10u128.checked_pow(exponent as u32).map_or_else(|| U256::from(10).pow(U256::from(exponent)), U256::from)
}

/// Splits off trailing decimal zeros. `value` is not zero.
fn decimal(value: U256) -> (U256, usize) {
    let mut exponent = 0;
    let mut mantissa = value;
    while u128::try_from(mantissa).is_err() {
        let (quotient, remainder) = mantissa.div_rem(U256::from(10));
        if !remainder.is_zero() {
            return (mantissa, exponent);
        }
        mantissa = quotient;
        exponent += 1;
    }
    let mut small = mantissa.to::<u128>();
    while small.is_multiple_of(10) {
        small /= 10;
        exponent += 1;
    }
    (U256::from(small), exponent)
}

/// Values kept in a [`Recent`] list.
const KEPT: usize = 63;

/// Values that come back soon (gas limits, fees): the place in a list of recent ones, or the value.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    /// The latest first.
    list: Vec<U256>,
    /// Of the first in a block, which sees another base fee, and of the others. Place 0 is that of a new value.
    places: [Symbol<{ KEPT + 1 }>; 2],
    new: Amount,
}

impl Recent {
    pub(super) fn code<C: Coder>(&mut self, coder: &mut C, first: bool, value: U256) -> Result<U256, BatchError> {
        let place = if C::WRITES { self.list.iter().position(|kept| *kept == value).map_or(0, |place| place + 1) } else { 0 };
        let value = match self.places[usize::from(!first)].code(coder, place)? {
            0 => {
                self.list.truncate(KEPT - 1);
                self.new.code(coder, value)?
            }
            place if place <= self.list.len() => self.list.remove(place - 1),
            _ => return Err(BatchError::Range("place of a recent value")),
        };
        self.list.insert(0, value);
        Ok(value)
    }
}

/// Weight of an item's first use and of each later one: what came once is less likely to return than half of what came twice.
const FIRST_USE: u32 = 1;
const LATER_USE: u32 = 2;

/// Items that are the more likely the more often they came. A Fenwick tree of their weights: each level is one decision with odds
/// as the halves weigh.
#[derive(Clone, Debug, Default)]
pub(super) struct Popular {
    /// At `n - 1`: weight of the `n & -n` items that end with the `n`-th.
    sums: Vec<u32>,
    total: u32,
}

impl Popular {
    /// A new item, as the last.
    pub(super) fn push(&mut self) {
        let count = self.sums.len() + 1;
        let mut sum = FIRST_USE;
        let mut part = count - 1;
        while part > count & (count - 1) {
            sum += self.sums[part - 1];
            part &= part - 1;
        }
        self.sums.push(sum);
        self.total += FIRST_USE;
    }

    /// Another use of an item.
    pub(super) fn uses(&mut self, item: usize) {
        let mut count = item + 1;
        while let Some(sum) = self.sums.get_mut(count - 1) {
            *sum += LATER_USE;
            count += count & count.wrapping_neg();
        }
        self.total += LATER_USE;
    }

    /// One of the items, of which there must be one at least; whatever the data, one of them comes out.
    pub(super) fn code<C: Coder>(&mut self, coder: &mut C, item: usize) -> Result<usize, BatchError> {
        let (mut found, mut total) = (0, self.total);
        let mut half = self.sums.len().next_power_of_two() / 2;
        while half > 0 {
            let left = self.sums.get(found + half - 1).copied().unwrap_or(total);
            let right = total - left;
            if right > 0 && coder.decide(odds(left, total), item >= found + half)? {
                found += half;
                total = right;
            } else {
                total = left;
            }
            half /= 2;
        }
        self.uses(found);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::coder::{Reader, Writer};
    use super::*;

    #[test]
    fn every_model_round_trips() {
        let mut values: Vec<U256> = [0, 1, 2, 127, 128, 255, 256, 1_000, 65_535, u64::MAX].map(U256::from).to_vec();
        values.extend((0..=77).map(|exponent| U256::from(10).pow(U256::from(exponent))));
        values.extend((1..256).map(|shift| (U256::from(1) << shift) - U256::from(1)));
        values.extend([U256::MAX, U256::from(5) << 200, U256::from(50_000_000_000_000_000u64)]);
        fn walk<C: Coder>(coder: &mut C, values: &[U256]) -> Vec<U256> {
            let (mut integer, mut amount, mut recent) = (Integer::default(), Amount::default(), Recent::default());
            let mut found = Vec::new();
            for (index, value) in values.iter().enumerate() {
                let value = if C::WRITES { *value } else { U256::ZERO };
                found.push(integer.code(coder, value).unwrap());
                found.push(amount.code(coder, value).unwrap());
                found.push(recent.code(coder, index % 3 == 0, value % U256::from(70)).unwrap());
                let small = value.as_limbs()[0];
                found.push(U256::from(integer.difference(coder, small, 1_000).unwrap()));
            }
            found
        }
        let mut writer = Writer::new();
        let written = walk(&mut writer, &values);
        let (coded, free, raw) = writer.finish();
        let mut reader = Reader::new(&coded, &free, &raw).unwrap();
        assert_eq!(walk(&mut reader, &values), written);
        reader.finish().unwrap();
        for (four, value) in written.chunks(4).zip(values) {
            assert_eq!(four, [value, value, value % U256::from(70), U256::from(value.as_limbs()[0])]);
        }
    }

    #[test]
    fn popular_items_round_trip_in_any_number() {
        for items in 1..70usize {
            let walk = |popular: &mut Popular| (0..items).for_each(|_| popular.push());
            let (mut writer, mut popular) = (Writer::new(), Popular::default());
            walk(&mut popular);
            let sequence: Vec<usize> = (0..300).map(|index| index * index % items).collect();
            for item in &sequence {
                assert_eq!(popular.code(&mut writer, *item).unwrap(), *item);
            }
            let (coded, ..) = writer.finish();
            let (mut reader, mut popular) = (Reader::new(&coded, &[], &[]).unwrap(), Popular::default());
            walk(&mut popular);
            assert!(sequence.iter().all(|item| popular.code(&mut reader, 0).unwrap() == *item), "{items} items");
            reader.finish().unwrap();
        }
    }
}
