//! The newest batches on L1 with their certificates and postings, for the pages and `seq_batch`.

use alloy_consensus::Transaction as _;
use alloy_primitives::TxHash;
use alloy_sol_types::SolCall;
use oceanid_contracts::l1::Rollup;
use oceanid_primitives::{ChainSpec, DaMode, L1View};
use oceanid_settlement::{L1Client, L1Error, L1Watcher, postings_between};
use oceanid_web::{Batch, Posting, Signers};
use parking_lot::RwLock;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// Batches kept.
const KEPT: usize = 256;
/// Postings kept of one batch: anyone may post more.
const POSTINGS: usize = 64;
/// Certificates fetched in one look.
const CERTIFICATES: usize = 4;
/// L1 blocks before those in memory that are searched at start.
const HISTORY: u64 = 5_000;

/// A batch, and the transaction whose certificate was not read yet.
type Entry = (Arc<Batch>, Option<TxHash>);

/// The newest batches, newest first.
#[derive(Debug, Default)]
pub(crate) struct Batches(RwLock<VecDeque<Entry>>);

impl Batches {
    pub(crate) fn newest(&self, limit: usize) -> Vec<Arc<Batch>> {
        self.0.read().iter().take(limit).map(|(batch, _)| batch.clone()).collect()
    }

    pub(crate) fn get(&self, index: u64) -> Option<Arc<Batch>> {
        self.0.read().iter().find(|(batch, _)| batch.index == index).map(|(batch, _)| batch.clone())
    }

    fn take(&self, posting: &oceanid_settlement::Posting) {
        let shown = Posting {
            da: DaMode::try_from(posting.da_mode).map_err(|unknown| unknown.0),
            commitment: posting.commitment,
            transaction: posting.transaction,
            l1_block: posting.l1.number,
        };
        let mut batches = self.0.write();
        match posting.batch {
            Some(accepted) => {
                let batch = Batch {
                    index: posting.index,
                    first: accepted.first,
                    last: accepted.last,
                    header_hash: accepted.header_hash,
                    output_root: accepted.output_root,
                    accepted_at: posting.l1_timestamp,
                    signers: None,
                    postings: vec![shown],
                };
                batches.push_front((Arc::new(batch), Some(posting.transaction)));
                batches.truncate(KEPT);
            }
            None => {
                if let Some((batch, _)) = batches.iter_mut().find(|(batch, _)| batch.index == posting.index)
                    && batch.postings.len() < POSTINGS
                {
                    Arc::make_mut(batch).postings.push(shown);
                }
            }
        }
    }

    fn without_certificate(&self) -> Vec<(u64, TxHash)> {
        self.0.read().iter().filter_map(|(batch, transaction)| Some((batch.index, (*transaction)?))).take(CERTIFICATES).collect()
    }

    fn set_certificate(&self, index: u64, signers: Option<Signers>) {
        if let Some((batch, transaction)) = self.0.write().iter_mut().find(|(batch, _)| batch.index == index) {
            *transaction = None;
            Arc::make_mut(batch).signers = signers;
        }
    }
}

/// Follows L1 for ever.
pub(crate) async fn run(spec: Arc<ChainSpec>, client: L1Client, watcher: L1Watcher, batches: Arc<Batches>) {
    let mut next = None;
    loop {
        if let Err(error) = look(&spec, &client, &watcher, &batches, &mut next).await {
            tracing::debug!(%error, "batches could not be read from L1");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Takes in what is new in deep blocks; `next` is the block to go on with.
async fn look(
    spec: &ChainSpec,
    client: &L1Client,
    watcher: &L1Watcher,
    batches: &Batches,
    next: &mut Option<u64>,
) -> Result<(), L1Error> {
    let (Some(oldest), Some(deep)) = (watcher.oldest(), watcher.newest_origin()) else { return Ok(()) };
    let mut from = next.unwrap_or_else(|| oldest.saturating_sub(HISTORY).max(spec.l1.start.number));
    if from < oldest {
        // Before this node's start, or pruned before this look: L1 still has it.
        let postings = postings_between(client, spec.l1.rollup, from, oldest - 1).await?;
        postings.iter().for_each(|posting| batches.take(posting));
        from = oldest;
    }
    *next = Some(from);
    for number in from..=deep.number {
        // Pruned meanwhile: the next look asks L1.
        let Some(entry) = watcher.entry(number) else { break };
        entry.postings.iter().for_each(|posting| batches.take(posting));
        *next = Some(number + 1);
    }
    for (index, transaction) in batches.without_certificate() {
        batches.set_certificate(index, certificate(client, transaction).await?);
    }
    Ok(())
}

/// The certificate in the transaction that submitted a batch; none where that was a contract's call.
async fn certificate(client: &L1Client, transaction: TxHash) -> Result<Option<Signers>, L1Error> {
    let Some(transaction) = client.transaction(transaction).await? else { return Ok(None) };
    let call = Rollup::submitBatchCall::abi_decode(transaction.inner.input());
    Ok(call.ok().map(|call| Signers { view: call.certificate.view_, bitmap: call.certificate.signers }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, B256, U256};
    use oceanid_primitives::L1Origin;
    use oceanid_settlement::AcceptedBatch;

    fn posting(index: u64, accepted: bool) -> oceanid_settlement::Posting {
        let batch = AcceptedBatch { header_hash: B256::ZERO, first: 10 * index, last: 10 * index + 9, output_root: B256::ZERO };
        oceanid_settlement::Posting {
            index,
            batch: accepted.then_some(batch),
            poster: Address::ZERO,
            part: 0,
            parts: 1,
            da_mode: 77,
            commitment: B256::ZERO,
            transaction: B256::with_last_byte(index as u8),
            l1: L1Origin { number: 5, hash: B256::ZERO },
            l1_timestamp: 9,
        }
    }

    #[test]
    fn batches_and_their_postings_are_bounded() {
        let batches = Batches::default();
        for index in 1..=KEPT as u64 + 10 {
            batches.take(&posting(index, true));
        }
        assert!(batches.get(1).is_none() && batches.get(KEPT as u64 + 10).is_some());
        assert_eq!(batches.newest(2).iter().map(|batch| batch.index).collect::<Vec<_>>(), [KEPT as u64 + 10, KEPT as u64 + 9]);
        for _ in 0..2 * POSTINGS {
            batches.take(&posting(KEPT as u64, false));
        }
        let batch = batches.get(KEPT as u64).expect("kept");
        assert_eq!((batch.postings.len(), batch.postings[0].da), (POSTINGS, Err(77)));
        batches.take(&posting(999_999, false));
    }

    #[test]
    fn a_certificate_is_asked_for_once() {
        let batches = Batches::default();
        batches.take(&posting(1, true));
        assert_eq!(batches.without_certificate(), [(1, B256::with_last_byte(1))]);
        let signers = Signers { view: 3, bitmap: U256::from(7) };
        batches.set_certificate(1, Some(signers));
        assert!(batches.without_certificate().is_empty());
        assert_eq!(batches.get(1).expect("kept").signers, Some(signers));
    }
}
