//! The batch codec: columns, one compressed part, one raw part.
//!
//! ```text
//! data = version (u8) ++ length of the compressed part (u32, big endian) ++ compressed(columns) ++ raw column
//! ```
//!
//! Columns are listed in [`columns::Column`]. Blocks come first (time, origin, view, parent view, leader, number of
//! transactions: the first absolute, the rest as differences). Transactions follow as [`transactions`] describes. Bytes no
//! compressor can shorten, signatures and addresses seen once, stay out of the compressed part and cost exactly their length.
//!
//! Encoding is a function of the batch alone: one batch has one encoding. Decoding is strict about everything that could hide
//! bytes (long integer forms, unread columns, trailing data), so that data on L1 is what it seems.

mod addresses;
mod columns;
mod recent;
mod transactions;
mod words;

use crate::{Batch, BatchBlock, BatchError, MAX_BATCH_BLOCKS};
use columns::{Column, Reader, Writer, name};
use std::io::{Read, Write};

pub use columns::MAX_COLUMN_BYTES;
pub use transactions::MAX_DECODED_BYTES;

/// Version of the codec, the first byte of every batch.
pub const CODEC_VERSION: u8 = 1;
/// Version byte and length of the compressed part.
const PREFIX: usize = 1 + 4;
/// Brotli: quality of 0 to 11; window 2^22 bytes.
const BROTLI_QUALITY: u32 = 10;
const BROTLI_WINDOW: u32 = 22;
/// Bytes brotli works on at a time.
const BROTLI_BUFFER: usize = 64 << 10;

impl Batch {
    /// Encodes for the chain of that id. Fails on blocks that no chain of that id can hold, and on more than can be decoded.
    pub fn encode(&self, chain_id: u64) -> Result<Vec<u8>, BatchError> {
        let (packed, raw) = self.columns(chain_id)?;
        if packed.len() as u64 > MAX_COLUMN_BYTES {
            return Err(BatchError::Inflated(packed.len() as u64));
        }
        let compressed = compress(&packed);
        let mut data = Vec::with_capacity(PREFIX + compressed.len() + raw.len());
        data.push(CODEC_VERSION);
        data.extend_from_slice(&(compressed.len() as u32).to_be_bytes());
        data.extend_from_slice(&compressed);
        data.extend_from_slice(&raw);
        Ok(data)
    }

    /// Decodes data from L1 for the chain of that id. Never panics; memory is bounded by [`MAX_COLUMN_BYTES`] and
    /// [`MAX_DECODED_BYTES`].
    pub fn decode(chain_id: u64, data: &[u8]) -> Result<Self, BatchError> {
        let (version, rest) = data.split_first().ok_or(BatchError::Empty)?;
        if *version != CODEC_VERSION {
            return Err(BatchError::Version(*version));
        }
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(BatchError::Truncated("length"))?;
        let length = u32::from_be_bytes(*length) as usize;
        let (compressed, raw) = rest.split_at_checked(length).ok_or(BatchError::Truncated("columns"))?;
        let packed = decompress(compressed)?;
        let mut columns = Reader::new(&packed, raw)?;
        let batch = Self::read(&mut columns, chain_id)?;
        columns.finish()?;
        Ok(batch)
    }

    /// The columns before compression, and the raw column.
    fn columns(&self, chain_id: u64) -> Result<(Vec<u8>, Vec<u8>), BatchError> {
        if self.blocks.is_empty() || self.blocks.len() > MAX_BATCH_BLOCKS {
            return Err(BatchError::Blocks(self.blocks.len() as u64));
        }
        let mut out = Writer::default();
        out.varint(Column::Blocks, self.blocks.len() as u64);
        let mut previous = &BatchBlock::default();
        for block in &self.blocks {
            out.difference(Column::Timestamps, block.timestamp, previous.timestamp);
            out.difference(Column::Origins, block.origin, previous.origin);
            out.difference(Column::Views, block.view, previous.view);
            out.difference(Column::ParentViews, block.parent_view, previous.view);
            out.varint(Column::Leaders, block.leader.into());
            out.varint(Column::Counts, block.transactions.len() as u64);
            previous = block;
        }
        let transactions =
            self.blocks.iter().flat_map(|block| block.transactions.iter().map(|transaction| (block.timestamp, transaction)));
        transactions::write(&mut out, chain_id, transactions)?;
        Ok(out.finish())
    }

    fn read(columns: &mut Reader<'_>, chain_id: u64) -> Result<Self, BatchError> {
        let count = columns.varint(Column::Blocks)?;
        if count == 0 || count > MAX_BATCH_BLOCKS as u64 {
            return Err(BatchError::Blocks(count));
        }
        let mut blocks = Vec::<BatchBlock>::new();
        let mut timestamps = Vec::new();
        for index in 0..count as usize {
            let zero = BatchBlock::default();
            let previous = index.checked_sub(1).map_or(&zero, |previous| &blocks[previous]);
            let block = BatchBlock {
                timestamp: columns.difference(Column::Timestamps, previous.timestamp)?,
                origin: columns.difference(Column::Origins, previous.origin)?,
                view: columns.difference(Column::Views, previous.view)?,
                parent_view: columns.difference(Column::ParentViews, previous.view)?,
                leader: u32::try_from(columns.varint(Column::Leaders)?).map_err(|_| BatchError::Range(name(Column::Leaders)))?,
                transactions: Vec::new(),
            };
            let transactions = columns.varint(Column::Counts)?;
            // Each transaction has at least a signature in the raw column, so a lie here is found before memory is spent.
            if transactions > columns.left(Column::Raw) as u64 / 64 {
                return Err(BatchError::Truncated(name(Column::Raw)));
            }
            timestamps.push((block.timestamp, transactions as usize));
            blocks.push(block);
        }
        let each: usize = timestamps.iter().map(|(_, transactions)| transactions).sum();
        if each > columns.left(Column::Raw) / 64 {
            return Err(BatchError::Truncated(name(Column::Raw)));
        }
        let times: Vec<u64> = timestamps.iter().flat_map(|(time, count)| std::iter::repeat_n(*time, *count)).collect();
        let mut transactions = transactions::read(columns, chain_id, &times)?.into_iter();
        for (block, (_, count)) in blocks.iter_mut().zip(timestamps) {
            block.transactions.extend(transactions.by_ref().take(count));
        }
        Ok(Self { blocks })
    }
}

fn compress(packed: &[u8]) -> Vec<u8> {
    let mut writer = brotli::CompressorWriter::new(Vec::new(), BROTLI_BUFFER, BROTLI_QUALITY, BROTLI_WINDOW);
    writer.write_all(packed).expect("writing to memory does not fail");
    writer.into_inner()
}

fn decompress(compressed: &[u8]) -> Result<Vec<u8>, BatchError> {
    let mut packed = Vec::new();
    let mut decoder = brotli::Decompressor::new(compressed, BROTLI_BUFFER);
    decoder.by_ref().take(MAX_COLUMN_BYTES + 1).read_to_end(&mut packed).map_err(|_| BatchError::Compression)?;
    if packed.len() as u64 > MAX_COLUMN_BYTES {
        return Err(BatchError::Inflated(packed.len() as u64));
    }
    Ok(packed)
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
