//! Evidence: proofs of double voting in the form the `Slasher` takes, and which of them it has not punished.

use super::KeptChain;
use crate::{ChainError, L1Client, L1Error};
use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_rpc_types_eth::BlockId;
use alloy_sol_types::{SolCall, SolValue};
use oceanid_contracts::l1::{Rollup, Slasher};
use oceanid_primitives::ChainSpec;

/// Offences by their numbers in `Slasher`.
const EQUIVOCATION: u8 = 0;
const FORK: u8 = 1;

/// Most of the guilty of a fork that are punished at a time: with 31 tickets each, more might not fit a transaction of L1
/// (figures: `docs/contracts.md`). The others' turn comes when these are done.
const MAX_PUNISHED_AT_A_TIME: usize = 24;

/// A proof of double voting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Two votes of one member in one view that contradict.
    Equivocation {
        /// Epoch.
        epoch: u64,
        /// Its committee.
        committee_id: u64,
        /// Position in that committee.
        member: u32,
        /// One vote.
        first: Slasher::Vote,
        /// The other.
        second: Slasher::Vote,
    },
    /// Two certificates of one view that contradict.
    Fork {
        /// Epoch.
        epoch: u64,
        /// Its committee.
        committee_id: u64,
        /// One certificate.
        first: Slasher::Certificate,
        /// The other.
        second: Slasher::Certificate,
    },
}

/// Where evidence comes from; consensus owns the stored form.
pub trait EvidenceSource: Send + Sync + 'static {
    /// What was not acknowledged, oldest first. A number names one piece of evidence for ever.
    fn pending(&self) -> Vec<(usize, Evidence)>;

    /// That piece was dealt with: L1 has punished it, or never will.
    fn acknowledge(&self, number: usize);
}

/// A node that sees no votes.
#[derive(Clone, Copy, Debug)]
pub struct NoEvidence;

impl EvidenceSource for NoEvidence {
    fn pending(&self) -> Vec<(usize, Evidence)> {
        Vec::new()
    }

    fn acknowledge(&self, _number: usize) {}
}

/// What can be done with a piece of evidence now.
pub(super) enum Outlook {
    /// Everybody in it was punished for that epoch, or L1 takes it no more.
    Over,
    /// Its epoch is not on L1 yet.
    Early,
    /// To be submitted: the call.
    Due(Bytes),
}

impl Evidence {
    /// Epoch of the votes.
    pub const fn epoch(&self) -> u64 {
        match self {
            Self::Equivocation { epoch, .. } | Self::Fork { epoch, .. } => *epoch,
        }
    }

    const fn committee_id(&self) -> u64 {
        match self {
            Self::Equivocation { committee_id, .. } | Self::Fork { committee_id, .. } => *committee_id,
        }
    }

    const fn offence(&self) -> u8 {
        match self {
            Self::Equivocation { .. } => EQUIVOCATION,
            Self::Fork { .. } => FORK,
        }
    }

    /// Positions of the guilty in their committee.
    pub(super) fn guilty(&self) -> Vec<usize> {
        match self {
            Self::Equivocation { member, .. } => vec![*member as usize],
            Self::Fork { first, second, .. } => {
                let both = first.signers & second.signers;
                (0..U256::BITS).filter(|index| both.bit(*index)).collect()
            }
        }
    }

    /// A number that every node gives to the same case, whatever else it has found.
    pub(super) fn turn(&self) -> u64 {
        let guilty: Vec<U256> = self.guilty().into_iter().map(U256::from).collect();
        let hash = keccak256((u64::from(self.offence()), self.epoch(), guilty).abi_encode());
        u64::from_be_bytes(hash.first_chunk().copied().unwrap_or_default())
    }

    /// Asks L1 what there is to do, in the state after block `at`; `now` is that block's time, seconds.
    pub(super) async fn outlook(
        &self,
        client: &L1Client,
        spec: &ChainSpec,
        chain: &dyn KeptChain,
        (at, now): (BlockId, u64),
    ) -> Result<Outlook, EvidenceError> {
        let committee = chain.committee(self.committee_id())?;
        let case = B256::from(U256::from(self.epoch()));
        let mut unpunished = Vec::new();
        for index in self.guilty() {
            let Some(member) = committee.members.get(index) else { return Ok(Outlook::Over) };
            let call = Slasher::punishedCall { offence: self.offence(), id: member.id, caseId: case };
            if !client.view_at(spec.l1.slasher, call, at).await? {
                unpunished.push(index);
            }
            if unpunished.len() == MAX_PUNISHED_AT_A_TIME {
                break;
            }
        }
        if unpunished.is_empty() {
            return Ok(Outlook::Over);
        }
        Ok(match batch_of(client, spec, self.epoch(), at).await? {
            Found::Batch(index) => {
                let batch = client.view_at(spec.l1.rollup, Rollup::batchCall { index }, at).await?;
                let period = client.view_at(spec.l1.slasher, Slasher::EVIDENCE_PERIODCall {}, at).await?;
                let stale = batch.timestamp.to::<u64>().saturating_add(period.saturating_to::<u64>()) < now;
                if stale { Outlook::Over } else { Outlook::Due(self.call(index, &unpunished)) }
            }
            Found::NotYet => Outlook::Early,
            Found::Never => Outlook::Over,
        })
    }

    /// The call that punishes those of a fork's guilty who sit at the places `among`.
    fn call(&self, batch: U256, among: &[usize]) -> Bytes {
        let term = Slasher::Term { batchIndex: batch, epoch: self.epoch(), committeeId: self.committee_id() };
        match self.clone() {
            Self::Equivocation { member, first, second, .. } => {
                Slasher::submitEquivocationCall { term, member, first, second }.abi_encode().into()
            }
            Self::Fork { first, second, .. } => {
                let mut bits = U256::ZERO;
                among.iter().for_each(|index| bits.set_bit(*index, true));
                Slasher::submitForkCall { term, first, second, among: bits }.abi_encode().into()
            }
        }
    }
}

/// Why the outlook is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum EvidenceError {
    #[error(transparent)]
    L1(#[from] L1Error),
    #[error(transparent)]
    Chain(#[from] ChainError),
}

enum Found {
    Batch(U256),
    NotYet,
    /// The epoch has no batch: a recovery passed over it.
    Never,
}

/// The youngest batch of an epoch: with it evidence stays fresh for longest. Epochs never fall from batch to batch.
async fn batch_of(client: &L1Client, spec: &ChainSpec, epoch: u64, at: BlockId) -> Result<Found, L1Error> {
    let head = client.view_at(spec.l1.rollup, Rollup::headCall {}, at).await?;
    if head.epoch < epoch {
        return Ok(Found::NotYet);
    }
    // A batch holds a block: with this the search is short, whatever L1 says.
    if head.index > U256::from(head.number) {
        return Err(client.inconsistent(format!("Rollup.head is batch {} at block {}", head.index, head.number)));
    }
    let of = async |index: U256| {
        let batch = client.view_at(spec.l1.rollup, Rollup::batchCall { index }, at).await?;
        Ok::<_, L1Error>(batch.epoch.to::<u64>())
    };
    // Batches up to `low` are of the epoch or earlier, those above `high` of a later one.
    let (mut low, mut high) = (U256::ZERO, head.index);
    while low < high {
        let middle: U256 = low + (high - low).div_ceil(U256::from(2));
        if of(middle).await? <= epoch {
            low = middle;
        } else {
            high = middle - U256::from(1);
        }
    }
    Ok(if of(low).await? == epoch { Found::Batch(low) } else { Found::Never })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn votes(epoch: u64, member: u32, view: u64) -> Evidence {
        let vote = |payload| Slasher::Vote {
            kind: 0,
            view_: view,
            parentView: view - 1,
            payload: B256::repeat_byte(payload),
            signature: Bytes::new(),
        };
        Evidence::Equivocation { epoch, committee_id: 1, member, first: vote(1), second: vote(2) }
    }

    #[test]
    fn nodes_give_one_turn_to_one_case() {
        assert_eq!(votes(3, 2, 7).turn(), votes(3, 2, 9).turn(), "another view of the same case");
        assert_ne!(votes(3, 2, 7).turn(), votes(3, 1, 7).turn());
        assert_ne!(votes(3, 2, 7).turn(), votes(4, 2, 7).turn());
    }

    #[test]
    fn a_fork_names_whom_it_punishes_now() {
        let certificate = |payload: u8, signers: u128| Slasher::Certificate {
            vote: Slasher::Vote {
                kind: 2,
                view_: 7,
                parentView: 6,
                payload: B256::repeat_byte(payload),
                signature: Bytes::new(),
            },
            signers: U256::from(signers),
        };
        let all = (1 << 100) - 1;
        let fork = Evidence::Fork { epoch: 3, committee_id: 1, first: certificate(1, all), second: certificate(2, all) };
        assert_eq!(fork.guilty().len(), 100);
        let call = fork.call(U256::from(9), &[0, 5, 99]);
        let call = Slasher::submitForkCall::abi_decode(&call).unwrap();
        assert_eq!(call.among, U256::from(1u128 | 1 << 5 | 1 << 99));
    }
}
