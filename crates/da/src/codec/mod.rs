//! The batch codec: learnt odds for what has a form, brotli for what has none, random bytes as they are.
//!
//! ```text
//! data = version (u8) ++ length of the decisions (u32, big endian) ++ length of the compressed part (u32, big endian)
//!        ++ decisions ++ brotli(free-form bytes) ++ random bytes
//! ```
//!
//! Blocks stand one after the other, each with its transactions, as decisions of a range coder ([`coder`]): what a value most likely
//! is follows from those before it in the same batch ([`transactions`]). Bytes that nothing can shorten, signatures and addresses not
//! seen before, cost exactly their length. Nothing outside the batch has a part in it.
//!
//! Encoding is a function of the batch alone: one batch has one encoding. Decoding leaves no byte unread, so nothing hides in data on
//! L1; other data may decode to the same batch.

mod addresses;
mod coder;
mod numbers;
mod transactions;
mod words;

use crate::{Batch, BatchBlock, BatchError, MAX_BATCH_BLOCKS, MAX_BATCH_BYTES};
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState, enc::reader::StandardAlloc};
use coder::{CODED, Coder, FREE, Meter, Reader, Writer};
use numbers::Integer;
use std::io::Write;
use transactions::Model;

pub use transactions::MAX_DECODED_BYTES;

/// Version of the codec, the first byte of every batch.
pub const CODEC_VERSION: u8 = 2;
/// Free-form bytes of one batch: all of them stand in transactions.
pub const MAX_FREE_BYTES: u64 = MAX_BATCH_BYTES as u64;
/// Brotli: quality of 0 to 11; window 2^22 bytes.
const BROTLI_QUALITY: u32 = 10;
const BROTLI_WINDOW: u32 = 22;
/// Bytes brotli works on at a time.
const BROTLI_BUFFER: usize = 64 << 10;

/// What bytes of a batch are spent on.
#[derive(Clone, Copy, Debug)]
enum Part {
    Blocks,
    Templates,
    Recipients,
    Nonces,
    GasLimits,
    Values,
    Fees,
    Tips,
    Lists,
    WordKinds,
    Numbers,
    WordAddresses,
    Times,
    FreeForm,
    NewAddresses,
    Signatures,
}

impl Part {
    const ALL: [Self; 16] = [
        Self::Blocks,
        Self::Templates,
        Self::Recipients,
        Self::Nonces,
        Self::GasLimits,
        Self::Values,
        Self::Fees,
        Self::Tips,
        Self::Lists,
        Self::WordKinds,
        Self::Numbers,
        Self::WordAddresses,
        Self::Times,
        Self::FreeForm,
        Self::NewAddresses,
        Self::Signatures,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Templates => "templates",
            Self::Recipients => "recipients",
            Self::Nonces => "nonces",
            Self::GasLimits => "gas limits",
            Self::Values => "values",
            Self::Fees => "fees",
            Self::Tips => "tips",
            Self::Lists => "lists",
            Self::WordKinds => "kinds of words",
            Self::Numbers => "numbers in words",
            Self::WordAddresses => "addresses in words",
            Self::Times => "times in words",
            Self::FreeForm => "free-form bytes",
            Self::NewAddresses => "new addresses",
            Self::Signatures => "signatures",
        }
    }
}

/// What is learnt about blocks.
#[derive(Default)]
struct Blocks {
    timestamps: Integer,
    origins: Integer,
    views: Integer,
    parent_views: Integer,
    leaders: Integer,
    counts: Integer,
}

impl Blocks {
    /// Everything of a block but its transactions, and how many those are. Both ways, after the block before it.
    fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        block: &BatchBlock,
        before: &BatchBlock,
    ) -> Result<(BatchBlock, u64), BatchError> {
        coder.part(Part::Blocks);
        let leader = self.leaders.code_u64(coder, "leader", block.leader.into())?;
        let found = BatchBlock {
            timestamp: self.timestamps.difference(coder, block.timestamp, before.timestamp)?,
            origin: self.origins.difference(coder, block.origin, before.origin)?,
            view: self.views.difference(coder, block.view, before.view)?,
            parent_view: self.parent_views.difference(coder, block.parent_view, before.view)?,
            leader: u32::try_from(leader).map_err(|_| BatchError::Range("leader"))?,
            transactions: Vec::new(),
        };
        let count = self.counts.code_u64(coder, "number of transactions", block.transactions.len() as u64)?;
        Ok((found, count))
    }
}

impl Batch {
    /// Encodes for the chain of that id. Fails on blocks that no chain of that id can hold, and on more than can be decoded.
    pub fn encode(&self, chain_id: u64) -> Result<Vec<u8>, BatchError> {
        let mut writer = Writer::new();
        self.write(&mut writer, chain_id)?;
        let (coded, free, raw) = writer.finish();
        Ok(frame(&coded, &compress(&free), &raw))
    }

    /// Bytes that each part of the encoding takes, by name: for benches. Free-form bytes count before compression.
    pub fn parts(&self, chain_id: u64) -> Result<Vec<(&'static str, f64)>, BatchError> {
        let mut meter = Meter::new();
        self.write(&mut meter, chain_id)?;
        Ok(meter.finish())
    }

    /// Decodes data from L1 for the chain of that id. Never panics; memory is bounded by [`MAX_FREE_BYTES`] and
    /// [`MAX_DECODED_BYTES`].
    pub fn decode(chain_id: u64, data: &[u8]) -> Result<Self, BatchError> {
        let (version, rest) = data.split_first().ok_or(BatchError::Empty)?;
        if *version != CODEC_VERSION {
            return Err(BatchError::Version(*version));
        }
        let (coded_length, rest) = length(rest)?;
        let (compressed_length, rest) = length(rest)?;
        let (coded, rest) = rest.split_at_checked(coded_length).ok_or(BatchError::Truncated(CODED))?;
        let (compressed, raw) = rest.split_at_checked(compressed_length).ok_or(BatchError::Truncated(FREE))?;
        let free = decompress(compressed)?;
        let mut reader = Reader::new(coded, &free, raw)?;
        let batch = Self::read(&mut reader, chain_id)?;
        reader.finish()?;
        Ok(batch)
    }

    fn write<C: Coder>(&self, coder: &mut C, chain_id: u64) -> Result<(), BatchError> {
        let (mut blocks, mut model) = (Blocks::default(), Model::new(chain_id));
        count_blocks(coder, self.blocks.len() as u64)?;
        let mut before = &BatchBlock::default();
        for block in &self.blocks {
            blocks.code(coder, block, before)?;
            model.next_block();
            for tx in &block.transactions {
                model.write(coder, block.timestamp, tx)?;
            }
            before = block;
        }
        Ok(())
    }

    fn read<C: Coder>(coder: &mut C, chain_id: u64) -> Result<Self, BatchError> {
        let (mut learnt, mut model) = (Blocks::default(), Model::new(chain_id));
        let nothing = BatchBlock::default();
        let mut blocks = Vec::<BatchBlock>::new();
        for _ in 0..count_blocks(coder, 0)? {
            let (mut block, count) = learnt.code(coder, &nothing, blocks.last().unwrap_or(&nothing))?;
            model.next_block();
            // Room is not made by the count: each transaction has a signature among the random bytes, so a lie ends there.
            for _ in 0..count {
                block.transactions.push(model.read(coder, block.timestamp)?);
            }
            blocks.push(block);
        }
        Ok(Self { blocks })
    }
}

fn count_blocks<C: Coder>(coder: &mut C, count: u64) -> Result<u64, BatchError> {
    match Integer::default().code_u64(coder, "number of blocks", count)? {
        count if count == 0 || count > MAX_BATCH_BLOCKS as u64 => Err(BatchError::Blocks(count)),
        count => Ok(count),
    }
}

fn frame(coded: &[u8], compressed: &[u8], raw: &[u8]) -> Vec<u8> {
    let lengths = [coded, compressed].map(|section| (section.len() as u32).to_be_bytes());
    [&[CODEC_VERSION], lengths.as_flattened(), coded, compressed, raw].concat()
}

fn length(data: &[u8]) -> Result<(usize, &[u8]), BatchError> {
    let (length, rest) = data.split_first_chunk::<4>().ok_or(BatchError::Truncated("length"))?;
    Ok((u32::from_be_bytes(*length) as usize, rest))
}

/// No free-form bytes are no bytes.
fn compress(free: &[u8]) -> Vec<u8> {
    if free.is_empty() {
        return Vec::new();
    }
    let mut writer = brotli::CompressorWriter::new(Vec::new(), BROTLI_BUFFER, BROTLI_QUALITY, BROTLI_WINDOW);
    writer.write_all(free).expect("writing to memory does not fail");
    writer.into_inner()
}

/// The library's reader stops at the end of the stream and leaves what follows unread; this goes through the slice itself. Strict: a window
/// beyond the standard's 16 MiB would be memory that the sender chooses.
fn decompress(compressed: &[u8]) -> Result<Vec<u8>, BatchError> {
    let mut free = Vec::new();
    if compressed.is_empty() {
        return Ok(free);
    }
    let mut state = BrotliState::new_strict(StandardAlloc::default(), StandardAlloc::default(), StandardAlloc::default());
    let (mut unread, mut read, mut total) = (compressed.len(), 0, 0);
    let mut buffer = vec![0; BROTLI_BUFFER];
    loop {
        let (mut room, mut written) = (buffer.len(), 0);
        let result = BrotliDecompressStream(
            &mut unread,
            &mut read,
            compressed,
            &mut room,
            &mut written,
            &mut buffer,
            &mut total,
            &mut state,
        );
        free.extend_from_slice(&buffer[..written]);
        if free.len() as u64 > MAX_FREE_BYTES {
            return Err(BatchError::Inflated(free.len() as u64));
        }
        match result {
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultSuccess if unread == 0 => return Ok(free),
            BrotliResult::ResultSuccess => return Err(BatchError::Leftover(FREE)),
            // All of the input is there, so that more of it will not come.
            BrotliResult::NeedsMoreInput | BrotliResult::ResultFailure => return Err(BatchError::Compression),
        }
    }
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
