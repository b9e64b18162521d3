//! Seeded fuzz loops for tests of decoders and of the RPC's door: [`bytes`] mutates byte strings, [`json`] mutates documents.
//!
//! Every target runs in the ordinary tests for [`DEFAULT_SECONDS`] from a fixed seed, and for as long as [`SECONDS`] says, from a
//! seed of its own, in the long mode. There is no coverage feedback: what a decoder accepts joins the corpus, and that is enough
//! to get behind checksums and lengths. A failure prints the seed and the input; [`SEED`] repeats a run.
#![forbid(unsafe_code)]

pub mod json;
mod memory;

pub use memory::Peak;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use std::time::{Duration, Instant};

/// Variable with the seconds each target runs for.
pub const SECONDS: &str = "OCEANID_FUZZ_SECONDS";
/// Variable with the seed.
pub const SEED: &str = "OCEANID_FUZZ_SEED";
/// Seconds each target runs for unless [`SECONDS`] says more.
pub const DEFAULT_SECONDS: u64 = 2;
/// Seed of the ordinary tests.
const DEFAULT_SEED: u64 = 20_261_122;
/// Longest one input may take. Above what a busy machine adds, below what hurts a node.
pub const MAX_INPUT_TIME: Duration = Duration::from_secs(10);
/// Most bytes by which the process may grow over a run.
pub const MAX_GROWTH: u64 = 512 << 20;
/// Longest input made.
const MAX_INPUT: usize = 1 << 20;
/// Accepted mutants kept beside the given corpus.
const MAX_KEPT: usize = 256;
/// Mutations put on top of each other.
const MAX_ROUNDS: u32 = 8;
/// Bytes of a failing input that are printed.
const SHOWN: usize = 4 << 10;

/// One run of a target: its random numbers, its end, and what to print if it fails.
pub struct Run {
    name: &'static str,
    seed: u64,
    /// Source of everything random.
    pub random: StdRng,
    until: Instant,
    /// Inputs so far.
    pub inputs: u64,
    peak: Peak,
    shown: String,
}

impl Run {
    /// Begins a run of the target `name`, with time and seed from the environment.
    pub fn start(name: &'static str) -> Self {
        let number = |variable: &str| std::env::var(variable).ok().map(|text| text.parse::<u64>().expect(variable));
        let seconds = number(SECONDS);
        // Whoever asks for more time wants to see something new.
        let seed = number(SEED).unwrap_or_else(|| if seconds.is_some() { rand::random() } else { DEFAULT_SEED });
        Self {
            name,
            seed,
            random: StdRng::seed_from_u64(seed),
            until: Instant::now() + Duration::from_secs(seconds.unwrap_or(DEFAULT_SECONDS)),
            inputs: 0,
            peak: Peak::now(),
            shown: String::new(),
        }
    }

    /// True until the time is over.
    pub fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// Runs `check` on one input; whatever fails in it is reported with the input.
    ///
    /// # Panics
    ///
    /// `check` panics, or takes longer than [`MAX_INPUT_TIME`].
    pub fn input<T>(&mut self, show: impl FnOnce() -> String, check: impl FnOnce() -> T) -> T {
        self.inputs += 1;
        self.shown = show();
        let began = Instant::now();
        let result = check();
        let took = began.elapsed();
        assert!(took < MAX_INPUT_TIME, "{took:?} for one input, the limit is {MAX_INPUT_TIME:?}");
        self.shown.clear();
        result
    }

    /// Ends the run.
    ///
    /// # Panics
    ///
    /// The process grew by more than [`MAX_GROWTH`].
    #[allow(clippy::print_stderr, reason = "what a target did is read by people")]
    pub fn end(self) {
        let growth = self.peak.growth();
        assert!(growth < MAX_GROWTH, "the process grew by {growth} bytes at its peak, the limit is {MAX_GROWTH}");
        assert!(self.inputs > 0, "no input in the given time");
        eprintln!("{}: seed {}, {} inputs, peak of memory + {} MiB", self.name, self.seed, self.inputs, growth >> 20);
    }
}

impl Drop for Run {
    #[allow(clippy::print_stderr, reason = "a test's failure message")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: {SEED}={} failed at input {}: {}", self.name, self.seed, self.inputs, self.shown);
        }
    }
}

/// Feeds mutants of `corpus` to `check` until the time is over. It says whether it accepted the input, and panics if something
/// is wrong.
///
/// # Panics
///
/// As [`Run::input`] and [`Run::end`]; the corpus is empty.
pub fn bytes(name: &'static str, corpus: &[Vec<u8>], mut check: impl FnMut(&[u8]) -> bool) {
    assert!(!corpus.is_empty(), "{name}: a corpus is needed");
    let mut run = Run::start(name);
    let mut kept: Vec<Vec<u8>> = corpus.to_vec();
    for input in corpus {
        run.input(|| hex(input), || check(input));
    }
    while run.goes_on() {
        let mut input = kept.choose(&mut run.random).expect("not empty").clone();
        mutate(&mut run.random, &mut input, &kept);
        if !run.input(|| hex(&input), || check(&input)) {
            continue;
        }
        if kept.len() < corpus.len() + MAX_KEPT {
            kept.push(input);
        } else {
            let place = run.random.random_range(corpus.len()..kept.len());
            kept[place] = input;
        }
    }
    run.end();
}

/// Hexadecimal, cut where it is too long to print.
pub fn hex(bytes: &[u8]) -> String {
    let shown: String = bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > SHOWN { format!("{shown}... ({} bytes)", bytes.len()) } else { shown }
}

/// Changes `input` in one to eight ways: bits, bytes, lengths, pieces removed, doubled, moved in from another input.
pub fn mutate(random: &mut StdRng, input: &mut Vec<u8>, others: &[Vec<u8>]) {
    /// What length fields and counters trip over.
    const EDGES: [u64; 10] = [0, 1, 0x7f, 0x80, 0xff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, u64::MAX - 1, u64::MAX];
    for _ in 0..random.random_range(1..=MAX_ROUNDS) {
        let (from, to) = range(random, input.len());
        match random.random_range(0..8) {
            0 if !input.is_empty() => input[from.min(to.saturating_sub(1))] ^= 1 << random.random_range(0..8),
            1 if !input.is_empty() => input[from.min(to.saturating_sub(1))] = random.random(),
            2 => drop(input.drain(from..to)),
            3 => input.truncate(from),
            4 => {
                let piece = input[from..to].to_vec();
                let times = random.random_range(1..=16);
                input.splice(from..from, std::iter::repeat_n(piece, times).flatten());
            }
            5 => {
                let edge = EDGES.choose(random).expect("not empty");
                let width = *[1, 2, 4, 8].choose(random).expect("not empty");
                let big = edge.to_be_bytes();
                let little = edge.to_le_bytes();
                let bytes = if random.random() { &big[8 - width..] } else { &little[..width] };
                let end = input.len().min(from + width);
                input.splice(from..end, bytes.iter().copied());
            }
            6 => {
                if let Some(other) = others.choose(random) {
                    let (first, last) = range(random, other.len());
                    input.splice(from..to, other[first..last].iter().copied());
                }
            }
            _ => {
                let count = random.random_range(0..64);
                let noise: Vec<u8> = (0..count).map(|_| random.random()).collect();
                input.splice(from..from, noise);
            }
        }
        input.truncate(MAX_INPUT);
    }
}

/// A range within `length`: mostly short, sometimes of any length.
fn range(random: &mut StdRng, length: usize) -> (usize, usize) {
    let from = random.random_range(0..=length);
    let longest = if random.random_range(0..4) > 0 { 64.min(length - from) } else { length - from };
    (from, from + random.random_range(0..=longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence() {
        let sequence = || {
            let mut random = StdRng::seed_from_u64(3);
            let corpus = vec![b"some bytes".to_vec(), vec![0; 100]];
            let mut input = corpus[0].clone();
            (0..100).map(|_| (mutate(&mut random, &mut input, &corpus), input.clone()).1).collect::<Vec<_>>()
        };
        assert_eq!(sequence(), sequence());
    }

    #[test]
    #[should_panic(expected = "found it")]
    fn a_byte_in_the_middle_is_found() {
        bytes("find", &[vec![0; 8]], |input| {
            assert!(input.get(4) != Some(&0xff), "found it");
            true
        });
    }
}
