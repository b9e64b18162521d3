//! Reading back: from a posting to its batch data, or to the verdict that there is none.
//!
//! The rule every node follows. The data of a posting is
//! * mode `calldata`: the `data` argument of the posting transaction, if that transaction calls `Rollup` itself
//!   (`submitBatch` or `repostData`); a posting made through another contract has no data;
//! * mode `blob`: the bytes packed in the transaction's blobs, whoever called.
//!
//! Anything else is an empty posting. Parts are put together as [`crate::Assembly`] says. What L1 and beacon nodes say is checked against the transaction hash and the commitment, so
//! a verdict of "empty" is never a server's word.

use crate::{BeaconClient, L1Client, L1Error, Posting, spawn_blocking};
use alloy_consensus::transaction::RlpEcdsaEncodableTx;
use alloy_consensus::{Transaction as _, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_sol_types::SolCall;
use oceanid_contracts::l1::Rollup::{repostDataCall, submitBatchCall};
use oceanid_da::{DaError, Material, mode};
use oceanid_primitives::DaMode;
use std::sync::Arc;

/// What a posting holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Batch data: what the commitment commits to. It may still not decode.
    Data(Vec<u8>),
    /// Nothing, by rule, for every reader; the reason is for people.
    Empty(String),
}

/// Gets batch data from L1. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BatchReader {
    client: L1Client,
    beacon: Option<Arc<BeaconClient>>,
    rollup: Address,
}

impl BatchReader {
    /// Reads postings of `rollup`; without a beacon endpoint only those in calldata.
    pub fn new(client: L1Client, beacon: Option<BeaconClient>, rollup: Address) -> Self {
        Self { client, beacon: beacon.map(Arc::new), rollup }
    }

    /// Reads a candidate ([`crate::Assembly`]): the data of all its parts, one after the other. Empty if a part is.
    pub async fn read_parts(&self, parts: &[Posting]) -> Result<Reading, L1Error> {
        let mut whole = Vec::new();
        for posting in parts {
            match self.read(posting).await? {
                Reading::Data(data) if parts.len() == 1 => return Ok(Reading::Data(data)),
                Reading::Data(data) => whole.extend_from_slice(&data),
                Reading::Empty(reason) if parts.len() == 1 => return Ok(Reading::Empty(reason)),
                Reading::Empty(reason) => return Ok(Reading::Empty(format!("part {}: {reason}", posting.part))),
            }
        }
        Ok(Reading::Data(whole))
    }

    /// Reads a posting. An error means "not now": the endpoint failed or contradicted itself, and the caller asks again.
    pub async fn read(&self, posting: &Posting) -> Result<Reading, L1Error> {
        let Ok(da_mode) = DaMode::try_from(posting.da_mode) else {
            return Ok(Reading::Empty(format!("unknown data availability mode {}", posting.da_mode)));
        };
        let hash = posting.transaction;
        let answer = self.client.transaction(hash).await?;
        let answer = answer
            .ok_or_else(|| self.client.inconsistent(format!("it has a log of transaction {hash} and not the transaction")))?;
        let transaction = answer.inner.into_inner();
        if hash_of(&transaction) != hash {
            return Err(self.client.inconsistent(format!("the transaction it gives for {hash} has another hash")));
        }
        let material = match da_mode {
            DaMode::Calldata => {
                if transaction.to() != Some(self.rollup) {
                    return Ok(Reading::Empty("posted in calldata through another contract".to_owned()));
                }
                match argument(transaction.input(), posting.batch.is_some()) {
                    Some(data) => Material::Calldata(data),
                    None => return Ok(Reading::Empty("the calldata is not that of a posting".to_owned())),
                }
            }
            DaMode::Blob => {
                let hashes = transaction.blob_versioned_hashes().unwrap_or_default();
                let beacon = self.beacon.as_ref().ok_or(L1Error::NoBeacon { index: posting.index })?;
                Material::Blobs(beacon.blobs(hashes, hash, posting.l1_timestamp, posting.l1.number).await?)
            }
            DaMode::Storage => return Ok(Reading::Empty(DaError::NotAvailable.to_string())),
        };
        let commitment = posting.commitment;
        let unpacked = spawn_blocking(move || mode(da_mode).unpack(commitment, &material))
            .await
            .map_err(|error| self.client.inconsistent(format!("checking the commitment stopped: {error}")))?;
        match unpacked {
            Ok(data) => Ok(Reading::Data(data)),
            // The transaction is authentic, so the calldata is what it is: its commitment can differ only if the event was
            // made by an inner call.
            Err(DaError::Commitment { .. }) if da_mode == DaMode::Calldata => {
                Ok(Reading::Empty("the calldata is not what was committed to".to_owned()))
            }
            // A blob whose commitment cannot even be computed is not one that L1 took: the server made it up.
            Err(error @ (DaError::Commitment { .. } | DaError::Kzg(_))) => {
                Err(self.client.inconsistent(format!("blobs of {hash}: {error}")))
            }
            Err(error) => Ok(Reading::Empty(error.to_string())),
        }
    }
}

/// The transaction's hash, computed here. Some servers (anvil) give a blob transaction with its sidecar, which the hash leaves out.
fn hash_of(transaction: &TxEnvelope) -> B256 {
    match transaction {
        TxEnvelope::Eip4844(signed) => signed.tx().tx().tx_hash(signed.signature()),
        other => keccak256(other.encoded_2718()),
    }
}

/// The `data` argument of a posting call.
fn argument(input: &[u8], is_batch: bool) -> Option<Bytes> {
    if is_batch {
        submitBatchCall::abi_decode(input).ok().map(|call| call.data)
    } else {
        repostDataCall::abi_decode(input).ok().map(|call| call.data)
    }
}
