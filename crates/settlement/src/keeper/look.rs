//! One look at L1: what the pool, the rewards and the rollup say.

use super::KeptChain;
use super::chain::FinalOutput;
use super::evidence::EvidenceError;
use crate::{ChainError, L1Client, L1Error};
use alloy_primitives::{Address, U256};
use alloy_rpc_types_eth::{BlockId, BlockNumberOrTag, Filter};
use alloy_sol_types::SolEvent;
use futures::stream::{self, StreamExt, TryStreamExt};
use oceanid_contracts::l1::{FeeSplitter, MiningRewards, Rollup, SequencerPool};
use oceanid_primitives::{ChainSpec, RECOVERY_EPOCHS};

/// Requests under way at a time.
const CONCURRENCY: usize = 8;
/// Most active sequencers: `SequencerPool.MAX_ACTIVE`.
const MAX_ACTIVE: usize = 256;

/// Why it is not known what is due.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    #[error(transparent)]
    L1(#[from] L1Error),
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// L1 finalised something else than this node executed.
    #[error("output {index} is final on L1 and differs from this node's block {number}: nothing is proven from here")]
    Output { index: U256, number: u64 },
}

impl From<EvidenceError> for LookError {
    fn from(error: EvidenceError) -> Self {
        match error {
            EvidenceError::L1(error) => Self::L1(error),
            EvidenceError::Chain(error) => Self::Chain(error),
        }
    }
}

/// What costs a few requests, read every round.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// Time of L1's newest block, seconds, and its number.
    pub(super) now: u64,
    pub(super) height: u64,
    pub(super) latest_committee: u64,
    /// The committee that certifies the next batch: of the last header, or put in by a recovery since.
    pub(super) in_office: u64,
    /// Last block on L1.
    pub(super) posted: u64,
    /// L1 time from which `Rollup.recover` is possible.
    pub(super) stalled_at: u64,
    pub(super) last_rotation: u64,
    /// What the last rotation chose, until it is sealed.
    pub(super) draft: Option<Draft>,
    pub(super) next_epoch: u64,
    pub(super) credited_until: u64,
    pub(super) budget: U256,
    pub(super) runway: U256,
    /// The newest final output, if this node has its block.
    pub(super) output: Option<FinalOutput>,
    /// Wei of the token that the splitter has not split, keeps for posters, and owes this node's account.
    pub(super) unsettled: U256,
    pub(super) poster_pot: U256,
    pub(super) owed: U256,
}

impl Look {
    pub(super) async fn take(
        client: &L1Client,
        spec: &ChainSpec,
        account: Address,
        output: Option<FinalOutput>,
    ) -> Result<Self, LookError> {
        let (pool, rewards, splitter) = (spec.l1.pool, spec.l1.rewards, spec.l1.fee_splitter);
        let head = client.header(BlockNumberOrTag::Latest).await?;
        let head = head.ok_or_else(|| client.inconsistent("it has no latest block".to_owned()))?.header;
        let posted = client.view(spec.l1.rollup, Rollup::headCall {}).await?;
        let recoveries = client.view(spec.l1.rollup, Rollup::recoveriesCall {}).await?;
        // A recovery since the last batch shows in that batch's epoch.
        let epoch = (posted.number / spec.timing.epoch_length).saturating_add(RECOVERY_EPOCHS.saturating_mul(recoveries));
        Ok(Self {
            now: head.timestamp,
            height: head.number,
            in_office: if posted.epoch == epoch { posted.committeeId } else { posted.nextCommitteeId },
            posted: posted.number,
            stalled_at: client.view(spec.l1.rollup, Rollup::stalledAtCall {}).await?.saturating_to(),
            latest_committee: client.view(pool, SequencerPool::latestCommitteeCall {}).await?,
            last_rotation: client.view(pool, SequencerPool::lastRotationCall {}).await?,
            draft: Draft::read(client, pool).await?,
            next_epoch: client.view(rewards, MiningRewards::nextEpochCall {}).await?,
            credited_until: client.view(rewards, MiningRewards::creditedUntilCall {}).await?,
            budget: client.view(rewards, MiningRewards::budgetCall {}).await?,
            runway: client.view(rewards, MiningRewards::runwayCall {}).await?,
            output,
            unsettled: client.view(splitter, FeeSplitter::unsettledCall {}).await?,
            poster_pot: client.view(splitter, FeeSplitter::posterPotCall {}).await?,
            owed: client.view(splitter, FeeSplitter::owedCall { poster: account }).await?.amount,
        })
    }
}

/// A committee that a rotation has chosen and nobody has sealed yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft {
    /// L1 block that has its `CommitteeChosen`.
    pub(super) chosen_in: u64,
    /// L1 block whose randomness is its seed.
    pub(super) seal_block: u64,
}

impl Draft {
    async fn read(client: &L1Client, pool: Address) -> Result<Option<Self>, L1Error> {
        let draft = client.view(pool, SequencerPool::draftCall {}).await?;
        Ok((draft.sealBlock != 0).then_some(Self { chosen_in: draft.chosenIn, seal_block: draft.sealBlock }))
    }

    /// The call that seals it as committee `id`.
    pub(super) async fn seal(self, client: &L1Client, pool: Address, id: u64) -> Result<SequencerPool::sealCall, L1Error> {
        let header = client.header(BlockNumberOrTag::Number(self.seal_block)).await?;
        let header = header.ok_or_else(|| client.inconsistent(format!("it has no block {}", self.seal_block)))?.header;
        let filter = Filter::new()
            .address(pool)
            .event_signature(SequencerPool::CommitteeChosen::SIGNATURE_HASH)
            .topic1(U256::from(id))
            .from_block(self.chosen_in)
            .to_block(self.chosen_in);
        let chosen = client.logs(&filter).await?.pop();
        let chosen = chosen
            .and_then(|log| SequencerPool::CommitteeChosen::decode_log_data(log.data()).ok())
            .ok_or_else(|| client.inconsistent(format!("block {} chose committee {id} and has no such event", self.chosen_in)))?;
        let header = alloy_rlp::encode(&header).into();
        Ok(SequencerPool::sealCall { header, packedMembers: chosen.packedMembers, code: chosen.code })
    }
}

/// The newest L1 block that no reorganisation takes back, and its time; none if L1 has none yet.
pub(super) async fn deep_block(client: &L1Client, spec: &ChainSpec) -> Result<Option<(BlockId, u64)>, L1Error> {
    let tag = match spec.timing.origin_depth {
        None => BlockNumberOrTag::Finalized,
        Some(depth) => match client.header(BlockNumberOrTag::Latest).await? {
            Some(head) => BlockNumberOrTag::Number(head.header.number.saturating_sub(depth)),
            None => return Ok(None),
        },
    };
    Ok(client.header(tag).await?.map(|block| (BlockId::hash(block.hash), block.header.timestamp)))
}

/// The newest final output, if this node has its block.
pub(super) async fn final_output(
    client: &L1Client,
    spec: &ChainSpec,
    chain: &dyn KeptChain,
) -> Result<Option<FinalOutput>, LookError> {
    let answer = client.view(spec.l1.rollup, Rollup::finalizedHeadCall {}).await?;
    let (index, number) = (answer.index, answer.number);
    if number == 0 || number > chain.head() {
        return Ok(None);
    }
    let block = chain.block(number)?;
    FinalOutput::new(index, answer.outputRoot, &block).map(Some).ok_or(LookError::Output { index, number })
}

/// Parameters of the pool that never change.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoolRules {
    /// Seconds.
    pub(super) rotation_interval: u64,
    /// Seconds.
    pub(super) exit_wait: u64,
    pub(super) max_active: usize,
}

impl PoolRules {
    pub(super) async fn read(client: &L1Client, pool: Address) -> Result<Self, L1Error> {
        Ok(Self {
            rotation_interval: client.view(pool, SequencerPool::ROTATION_INTERVALCall {}).await?.saturating_to(),
            exit_wait: client.view(pool, SequencerPool::EXIT_WAITCall {}).await?.saturating_to(),
            max_active: client.view(pool, SequencerPool::MAX_ACTIVECall {}).await?.saturating_to(),
        })
    }
}

/// Status of a lock, as the pool numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Active,
    Exiting,
    /// Jailed, slashed or gone: out at the next rotation.
    Out,
}

/// Where the pool keeps a member's keys: page and place in it.
pub(super) type KeyPlace = (Address, u16);

/// A sequencer of the active set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) id: u64,
    pub(super) standing: Standing,
    /// L1 time from which it stands so.
    pub(super) since: u64,
    pub(super) lock: u128,
    pub(super) key: KeyPlace,
    pub(super) jailable: bool,
}

/// What costs a request a sequencer, read now and then.
#[derive(Clone, Debug)]
pub(super) struct Survey {
    pub(super) records: Vec<Record>,
    /// Sequencers that wait for a seat, and whether they are let in.
    pub(super) queue: usize,
    pub(super) joins_paused: bool,
    pub(super) seats: usize,
    /// Ids and places of the keys in the newest committee.
    pub(super) committee: Vec<(u64, KeyPlace)>,
}

impl Survey {
    pub(super) async fn take(client: &L1Client, spec: &ChainSpec, latest_committee: u64) -> Result<Self, L1Error> {
        let pool = spec.l1.pool;
        let active = client.view(pool, SequencerPool::activeSetCall {}).await?;
        if active.len() > MAX_ACTIVE {
            return Err(client.inconsistent(format!("SequencerPool.activeSet has {} members", active.len())));
        }
        let reads: Vec<_> = active.into_iter().map(|id| Self::record(client, spec, id)).collect();
        let records = stream::iter(reads).buffered(CONCURRENCY).try_collect().await?;
        let code = client.view(pool, SequencerPool::committeeCodeCall { id: latest_committee }).await?;
        let code = client.code(code).await?;
        Ok(Self {
            records,
            queue: client.view(pool, SequencerPool::queueLengthCall {}).await?.saturating_to(),
            joins_paused: client.view(pool, SequencerPool::joinsPausedCall {}).await?,
            seats: usize::from(client.view(pool, SequencerPool::maxCommitteeCall {}).await?),
            committee: entries(&code),
        })
    }

    async fn record(client: &L1Client, spec: &ChainSpec, id: u64) -> Result<Record, L1Error> {
        const ACTIVE: u8 = 2;
        const EXITING: u8 = 3;
        let record = client.view(spec.l1.pool, SequencerPool::sequencerCall { id }).await?;
        let standing = match record.status {
            ACTIVE => Standing::Active,
            EXITING => Standing::Exiting,
            _ => Standing::Out,
        };
        let jailable = standing == Standing::Active && client.view(spec.l1.rewards, MiningRewards::jailableCall { id }).await?;
        let key = (record.keyPage, record.keyIndex);
        Ok(Record { id, standing, since: record.since, lock: record.amount, key, jailable })
    }
}

/// The members of a committee's code store: `STOP | digest 32 | seed 32 | aggregate key 192 | entry 30 per member`, an entry being
/// `id u64 | key page 20 | place u16`. What is not of that form has no members.
fn entries(code: &[u8]) -> Vec<(u64, KeyPlace)> {
    const HEAD: usize = 1 + 32 + 32 + 192;
    const ENTRY: usize = 8 + 20 + 2;
    let (entries, _) = code.get(HEAD..).unwrap_or_default().as_chunks::<ENTRY>();
    let parse = |entry: &[u8; ENTRY]| {
        let id = u64::from_be_bytes(*entry.first_chunk()?);
        Some((id, (Address::from_slice(&entry[8..28]), u16::from_be_bytes(*entry.last_chunk()?))))
    };
    entries.iter().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_a_committee_are_read_and_hostile_code_is_empty() {
        let mut code = vec![0; 257];
        assert_eq!(entries(&code), []);
        for (id, place) in [(7u64, 1u16), (9, 300)] {
            code.extend_from_slice(&id.to_be_bytes());
            code.extend_from_slice(&[0xaa; 20]);
            code.extend_from_slice(&place.to_be_bytes());
        }
        let page = Address::repeat_byte(0xaa);
        assert_eq!(entries(&code), [(7, (page, 1)), (9, (page, 300))]);
        for end in 0..code.len() {
            assert!(entries(&code[..end]).len() < 2);
        }
    }
}
