//! Postings: what `Rollup` says about batches and their data, one event each.

use crate::{L1Client, L1Error, MAX_PARTS};
use alloy_primitives::{Address, B256, LogData, TxHash, U256};
use alloy_rpc_types_eth::Filter;
use alloy_sol_types::SolEvent;
use oceanid_contracts::l1::Rollup::{BatchData, BatchSubmitted};
use oceanid_primitives::L1Origin;

/// One posting of data for a batch, or of a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// Batch index in `Rollup`, from 1.
    pub index: u64,
    /// What was accepted, or `None` if this is data posted again.
    pub batch: Option<AcceptedBatch>,
    /// Who posted; zero for the submission itself.
    pub poster: Address,
    /// Number of this part, from 0; below `parts`.
    pub part: u16,
    /// Parts in all, 1 to [`crate::MAX_PARTS`].
    pub parts: u16,
    /// Data availability mode as L1 has it; a number without a mode makes the posting empty.
    pub da_mode: u8,
    /// Commitment to the data.
    pub commitment: B256,
    /// The transaction that holds the data.
    pub transaction: TxHash,
    /// The L1 block it is in.
    pub l1: L1Origin,
    /// That block's time, seconds since 1970.
    pub l1_timestamp: u64,
}

/// A batch `Rollup` has accepted: its last header was certified by the committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedBatch {
    /// Hash of the last header.
    pub header_hash: B256,
    /// First block.
    pub first: u64,
    /// Last block.
    pub last: u64,
    /// Output root of the last header.
    pub output_root: B256,
}

impl Posting {
    /// Decodes a log of `Rollup`; `None` for its other events, and for what `Rollup` cannot have said.
    pub(crate) fn from_log(log: &LogData, transaction: TxHash, l1: L1Origin, l1_timestamp: u64) -> Option<Self> {
        let posting = |index: U256, batch, (poster, part, parts), da_mode, commitment| {
            let index = u64::try_from(index).ok()?;
            Some(Self { index, batch, poster, part, parts, da_mode, commitment, transaction, l1, l1_timestamp })
        };
        match log.topics().first()? {
            topic if *topic == BatchSubmitted::SIGNATURE_HASH => {
                let event = BatchSubmitted::decode_log_data(log).ok()?;
                let batch = AcceptedBatch {
                    header_hash: event.headerHash,
                    first: event.firstBlock,
                    last: event.lastBlock,
                    output_root: event.outputRoot,
                };
                posting(event.index, Some(batch), (Address::ZERO, 0, 1), event.daMode, event.daCommitment)
            }
            topic if *topic == BatchData::SIGNATURE_HASH => {
                let event = BatchData::decode_log_data(log).ok()?;
                if event.part >= event.parts || event.parts > MAX_PARTS {
                    return None;
                }
                posting(event.index, None, (event.poster, event.part, event.parts), event.daMode, event.daCommitment)
            }
            _ => None,
        }
    }
}

/// The postings in the L1 blocks `from` to `to`, in order. Only for blocks that are deep: what is said here may be taken back.
pub async fn postings_between(client: &L1Client, rollup: Address, from: u64, to: u64) -> Result<Vec<Posting>, L1Error> {
    let topics = vec![BatchSubmitted::SIGNATURE_HASH, BatchData::SIGNATURE_HASH];
    let filter = Filter::new().address(rollup).from_block(from).to_block(to).event_signature(topics);
    let mut postings = Vec::new();
    for log in client.logs(&filter).await? {
        let (Some(number), Some(hash), Some(transaction)) = (log.block_number, log.block_hash, log.transaction_hash) else {
            return Err(client.inconsistent("a log without its block".to_owned()));
        };
        let timestamp = match log.block_timestamp {
            Some(timestamp) => timestamp,
            None => client.header(number.into()).await?.map_or(0, |sealed| sealed.header.timestamp),
        };
        postings.extend(Posting::from_log(log.data(), transaction, L1Origin { number, hash }, timestamp));
    }
    Ok(postings)
}
