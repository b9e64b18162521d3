//! A binary range coder: decisions with known or learnt odds become bytes, and back. Integers only, so that every machine reads the same.
//!
//! One description of the format serves both directions: code that walks a batch asks a [`Coder`] about every value. The
//! [`Writer`] notes the value it is given, the [`Reader`] ignores it and answers with the one it finds, the [`Meter`] counts bits.

use super::Part;
use crate::BatchError;

/// Odds are given in parts of this.
const WHOLE: u32 = 1 << 16;
/// Nothing is more certain than this, so that a surprise costs 13 bits and not the batch.
const LEAST: u32 = 8;
/// Decisions after which odds stop to learn slower: old ones fade at this rate.
const MEMORY: u8 = 250;
/// The range is refilled below this; above it, odds and [`CHUNK`] bits leave it at 2^8 or more.
const REFILL: u32 = 1 << 24;
/// Bits without odds that go in one step.
const CHUNK: u32 = 8;

/// What a walk through a batch does with each value.
pub(super) trait Coder {
    /// Values come from a batch; else they come from data, and those passed in say nothing.
    const WRITES: bool;

    /// A decision that is false in `zero` of 2^16 cases, which is neither none nor all of them.
    fn decide(&mut self, zero: u32, decision: bool) -> Result<bool, BatchError>;

    /// `bits` (8 at most) low bits of `value`, all values being equally likely.
    fn even(&mut self, bits: u32, value: u8) -> Result<u8, BatchError>;

    /// Random bytes: they stand as they are.
    fn raw(&mut self, bytes: &mut [u8]) -> Result<(), BatchError>;

    /// Bytes of a form nobody knows: left to the compressor.
    fn free(&mut self, length: usize, bytes: &[u8]) -> Result<Vec<u8>, BatchError>;

    /// What comes next, for those who count.
    fn part(&mut self, _part: Part) {}
}

/// The odds of one decision, learnt from those before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bit {
    /// Of 2^16: how often it is false.
    zero: u16,
    /// Decisions seen, up to [`MEMORY`].
    seen: u8,
}

impl Default for Bit {
    fn default() -> Self {
        Self::NEW
    }
}

impl Bit {
    /// Even odds.
    pub(super) const NEW: Self = Self { zero: (WHOLE / 2) as u16, seen: 0 };

    pub(super) fn code<C: Coder>(&mut self, coder: &mut C, decision: bool) -> Result<bool, BatchError> {
        let decision = coder.decide(self.zero.into(), decision)?;
        self.learn(decision);
        Ok(decision)
    }

    /// The mean of all decisions, with half of one on either side before the first (Krichevsky and Trofimov), then a moving mean.
    fn learn(&mut self, decision: bool) {
        let (zero, pace) = (u32::from(self.zero), u32::from(self.seen) + 2);
        let zero = if decision { zero - zero.div_ceil(pace) } else { zero + (WHOLE - zero).div_ceil(pace) };
        self.zero = zero.clamp(LEAST, WHOLE - LEAST) as u16;
        self.seen = (self.seen + 1).min(MEMORY);
    }
}

/// Odds of `part` in `whole`, which is not zero.
pub(super) fn odds(part: u32, whole: u32) -> u32 {
    let share = u64::from(part) * u64::from(WHOLE) / u64::from(whole);
    (share as u32).clamp(LEAST, WHOLE - LEAST)
}

/// Writes: the interval `low .. low + range` of all that could follow is narrowed by each decision.
pub(super) struct Writer {
    low: u32,
    range: u32,
    coded: Vec<u8>,
    free: Vec<u8>,
    raw: Vec<u8>,
}

impl Writer {
    pub(super) const fn new() -> Self {
        Self { low: 0, range: u32::MAX, coded: Vec::new(), free: Vec::new(), raw: Vec::new() }
    }

    fn advance(&mut self, step: u32) {
        let (low, carry) = self.low.overflowing_add(step);
        self.low = low;
        if carry {
            for byte in self.coded.iter_mut().rev() {
                *byte = byte.wrapping_add(1);
                if *byte != 0 {
                    break;
                }
            }
        }
    }

    fn refill(&mut self) {
        while self.range < REFILL {
            self.coded.push((self.low >> 24) as u8);
            self.low <<= 8;
            self.range <<= 8;
        }
    }

    /// The decisions, the free-form bytes and the random ones.
    pub(super) fn finish(mut self) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        self.coded.extend_from_slice(&self.low.to_be_bytes());
        (self.coded, self.free, self.raw)
    }
}

impl Coder for Writer {
    const WRITES: bool = true;

    fn decide(&mut self, zero: u32, decision: bool) -> Result<bool, BatchError> {
        let bound = (self.range / WHOLE) * zero;
        if decision {
            self.advance(bound);
            self.range -= bound;
        } else {
            self.range = bound;
        }
        self.refill();
        Ok(decision)
    }

    fn even(&mut self, bits: u32, value: u8) -> Result<u8, BatchError> {
        debug_assert!(bits <= CHUNK, "more bits than a step takes");
        self.range >>= bits;
        self.advance(self.range * u32::from(value));
        self.refill();
        Ok(value)
    }

    fn raw(&mut self, bytes: &mut [u8]) -> Result<(), BatchError> {
        self.raw.extend_from_slice(bytes);
        Ok(())
    }

    fn free(&mut self, _length: usize, bytes: &[u8]) -> Result<Vec<u8>, BatchError> {
        self.free.extend_from_slice(bytes);
        Ok(bytes.to_vec())
    }
}

/// Reads: `code` is where the data lies above the writer's `low`. Data that no writer made gives some decisions too; whoever asks
/// bounds how many.
pub(super) struct Reader<'a> {
    code: u32,
    range: u32,
    coded: &'a [u8],
    free: &'a [u8],
    raw: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(coded: &'a [u8], free: &'a [u8], raw: &'a [u8]) -> Result<Self, BatchError> {
        let (code, coded) = coded.split_first_chunk().ok_or(BatchError::Truncated(CODED))?;
        Ok(Self { code: u32::from_be_bytes(*code), range: u32::MAX, coded, free, raw })
    }

    fn refill(&mut self) -> Result<(), BatchError> {
        while self.range < REFILL {
            let (byte, rest) = self.coded.split_first().ok_or(BatchError::Truncated(CODED))?;
            self.coded = rest;
            self.code = self.code << 8 | u32::from(*byte);
            self.range <<= 8;
        }
        Ok(())
    }

    /// Everything must have been read, and the last bytes must be those that a writer ends with, of all that mean the same.
    pub(super) fn finish(self) -> Result<(), BatchError> {
        if self.code != 0 {
            return Err(BatchError::Range("end of the decisions"));
        }
        match [(CODED, self.coded), (FREE, self.free), (RAW, self.raw)].iter().find(|(_, left)| !left.is_empty()) {
            Some((name, _)) => Err(BatchError::Leftover(name)),
            None => Ok(()),
        }
    }
}

/// Names of the sections, in errors.
pub(super) const CODED: &str = "decisions";
pub(super) const FREE: &str = "free-form bytes";
pub(super) const RAW: &str = "random bytes";

impl Coder for Reader<'_> {
    const WRITES: bool = false;

    fn decide(&mut self, zero: u32, _decision: bool) -> Result<bool, BatchError> {
        let bound = (self.range / WHOLE) * zero;
        let decision = self.code >= bound;
        if decision {
            self.code -= bound;
            self.range -= bound;
        } else {
            self.range = bound;
        }
        self.refill()?;
        Ok(decision)
    }

    fn even(&mut self, bits: u32, _value: u8) -> Result<u8, BatchError> {
        self.range >>= bits;
        let value = (self.code / self.range).min((1 << bits) - 1);
        self.code -= self.range * value;
        self.refill()?;
        Ok(value as u8)
    }

    fn raw(&mut self, bytes: &mut [u8]) -> Result<(), BatchError> {
        let (taken, rest) = self.raw.split_at_checked(bytes.len()).ok_or(BatchError::Truncated(RAW))?;
        bytes.copy_from_slice(taken);
        self.raw = rest;
        Ok(())
    }

    fn free(&mut self, length: usize, _bytes: &[u8]) -> Result<Vec<u8>, BatchError> {
        let (taken, rest) = self.free.split_at_checked(length).ok_or(BatchError::Truncated(FREE))?;
        self.free = rest;
        Ok(taken.to_vec())
    }
}

/// Counts what each part of a batch costs, before free-form bytes are compressed.
pub(super) struct Meter {
    part: Part,
    bits: [f64; Part::ALL.len()],
}

impl Meter {
    pub(super) const fn new() -> Self {
        Self { part: Part::Blocks, bits: [0.0; Part::ALL.len()] }
    }

    fn add(&mut self, bits: f64) {
        self.bits[self.part as usize] += bits;
    }

    /// Bytes by part.
    pub(super) fn finish(self) -> Vec<(&'static str, f64)> {
        Part::ALL.iter().zip(self.bits).map(|(part, bits)| (part.name(), bits / 8.0)).collect()
    }
}

impl Coder for Meter {
    const WRITES: bool = true;

    fn decide(&mut self, zero: u32, decision: bool) -> Result<bool, BatchError> {
        let cases = if decision { WHOLE - zero } else { zero };
        self.add(-(f64::from(cases) / f64::from(WHOLE)).log2());
        Ok(decision)
    }

    fn even(&mut self, bits: u32, value: u8) -> Result<u8, BatchError> {
        self.add(bits.into());
        Ok(value)
    }

    fn raw(&mut self, bytes: &mut [u8]) -> Result<(), BatchError> {
        self.add(8.0 * bytes.len() as f64);
        Ok(())
    }

    fn free(&mut self, _length: usize, bytes: &[u8]) -> Result<Vec<u8>, BatchError> {
        self.add(8.0 * bytes.len() as f64);
        Ok(bytes.to_vec())
    }

    fn part(&mut self, part: Part) {
        self.part = part;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Any decisions under any odds, learnt or known, with bits without odds among them.
        #[test]
        fn decisions_round_trip(steps in prop::collection::vec((any::<bool>(), LEAST..=WHOLE - LEAST, 0u32..=CHUNK, any::<u8>()), 0..600)) {
            let mut writer = Writer::new();
            let mut bit = Bit::NEW;
            for (decision, zero, bits, value) in &steps {
                writer.decide(*zero, *decision).unwrap();
                bit.code(&mut writer, *decision).unwrap();
                writer.even(*bits, *value & ((1u32 << bits) - 1) as u8).unwrap();
            }
            let (coded, free, raw) = writer.finish();
            let mut reader = Reader::new(&coded, &free, &raw).unwrap();
            let mut bit = Bit::NEW;
            for (decision, zero, bits, value) in &steps {
                prop_assert_eq!(reader.decide(*zero, false).unwrap(), *decision);
                prop_assert_eq!(bit.code(&mut reader, false).unwrap(), *decision);
                prop_assert_eq!(reader.even(*bits, 0).unwrap(), *value & ((1u32 << bits) - 1) as u8);
            }
            prop_assert_eq!(reader.finish(), Ok(()));
            // The last bytes have one form.
            let mut other = coded.clone();
            *other.last_mut().unwrap() ^= 1;
            let mut reader = Reader::new(&other, &free, &raw).unwrap();
            let mut bit = Bit::NEW;
            for (_, zero, bits, _) in &steps {
                let _ = reader.decide(*zero, false).and_then(|_| bit.code(&mut reader, false)).and_then(|_| reader.even(*bits, 0));
            }
            prop_assert!(reader.finish().is_err());
        }

        /// No data makes the reader panic, and it ends with the data: no decision is for nothing for ever.
        #[test]
        fn noise_ends(noise in prop::collection::vec(any::<u8>(), 4..40), zero in LEAST..=WHOLE - LEAST, bits in 1u32..=CHUNK) {
            let mut reader = Reader::new(&noise, &[], &[]).unwrap();
            let steps = (0..10_000_000).take_while(|_| reader.decide(zero, false).and_then(|_| reader.even(bits, 0)).is_ok());
            prop_assert!(steps.count() < 40 * 8);
        }
    }

    /// The carry runs through bytes that are all ones.
    #[test]
    fn a_carry_runs_far() {
        for ones in 0..20 {
            let mut writer = Writer::new();
            // Close below a half, then bits that stay there, then over it.
            writer.decide(WHOLE / 2, false).unwrap();
            for _ in 0..ones {
                writer.even(8, 0xff).unwrap();
            }
            for _ in 0..40 {
                writer.decide(LEAST, true).unwrap();
            }
            let (coded, ..) = writer.finish();
            let mut reader = Reader::new(&coded, &[], &[]).unwrap();
            assert!(!reader.decide(WHOLE / 2, true).unwrap());
            assert!((0..ones).all(|_| reader.even(8, 0).unwrap() == 0xff));
            assert!((0..40).all(|_| reader.decide(LEAST, false).unwrap()));
            reader.finish().unwrap();
        }
    }

    /// What a learnt decision costs is its entropy and little more.
    #[test]
    fn odds_are_learnt() {
        let mut meter = Meter::new();
        let mut bit = Bit::NEW;
        for index in 0..10_000 {
            bit.code(&mut meter, index % 10 == 0).unwrap();
        }
        let bits: f64 = meter.finish().iter().map(|(_, bytes)| bytes * 8.0).sum();
        assert!((0.45..0.50).contains(&(bits / 10_000.0)), "{bits} bits for 10,000 decisions of 0.469 bits each");
        let mut certain = Bit::NEW;
        let mut meter = Meter::new();
        (0..10_000).for_each(|_| assert!(certain.code(&mut meter, true).unwrap()));
        let bits: f64 = meter.finish().iter().map(|(_, bytes)| bytes * 8.0).sum();
        assert!(bits < 20.0, "{bits} bits for what is certain");
    }
}
