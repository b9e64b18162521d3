//! What is due: from one look at L1 and the committed chain to a list of calls.

use super::KeeperConfig;
use super::Messages;
use super::chain::{FinalOutput, withdrawal_hash};
use super::look::{Draft, Look, PoolRules, Standing, Survey};
use crate::ChainError;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolValue};
use oceanid_contracts::l1::{FeeSplitter, MiningRewards, Portal, Rollup, SequencerPool};
use oceanid_primitives::Committee;
use oceanid_primitives::predeploys::{EPOCH_LEDGER, FEE_VAULT};
use std::collections::BTreeMap;

/// Epochs credited in one transaction, and members in them: what fits well into half a block of L1.
const MAX_EPOCHS: usize = 16;
const MAX_MEMBERS: usize = 400;
/// Epochs looked at in one round.
const MAX_LOOK_AHEAD: usize = 256;
/// Fees, in wei of the token, that are worth a transaction of their own.
const WORTH_SETTLING: u64 = 1_000_000_000_000_000_000;

/// Blocks whose hashes L1 knows (EIP-2935).
const HASHES_OF_L1: u64 = 8_191;

/// Something to do on L1. The order is that of urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Task {
    /// Put this committee in office, in place of one that stands still.
    Recover(u64),
    /// Submit a piece of evidence.
    Evidence {
        /// The same on every node ([`super::Evidence::turn`]).
        turn: u64,
        /// Its place in this node's list.
        number: usize,
    },
    /// Jail a sequencer.
    Jail(u64),
    /// Give this committee its seed.
    Seal(u64),
    /// Choose the committee after this one.
    Rotate(u64),
    /// Complete a sequencer's exit.
    CompleteExit(u64),
    /// Credit epochs, this one first.
    Credit(u64),
    /// Prove a withdrawal of fees.
    ProveFees(u64),
    /// Finalise it.
    PayFees(u64),
    /// Split what has arrived.
    Settle,
    /// Have this node's posting costs reimbursed.
    Reimburse,
}

impl core::fmt::Display for Task {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Recover(committee) => write!(f, "recover the chain under committee {committee}"),
            Self::Evidence { number, .. } => write!(f, "submit evidence {number} of double voting"),
            Self::Jail(id) => write!(f, "jail sequencer {id}"),
            Self::Seal(committee) => write!(f, "seal committee {committee}"),
            Self::Rotate(committee) => write!(f, "rotate committee {committee}"),
            Self::CompleteExit(id) => write!(f, "complete the exit of sequencer {id}"),
            Self::Credit(epoch) => write!(f, "credit epochs from {epoch} on"),
            Self::ProveFees(index) => write!(f, "prove withdrawal {index} of fees"),
            Self::PayFees(index) => write!(f, "finalise withdrawal {index} of fees"),
            Self::Settle => f.write_str("settle fees"),
            Self::Reimburse => f.write_str("have posting costs reimbursed"),
        }
    }
}

impl Task {
    /// Places by which the committee's order is turned, so that not always the same member is first; none for a task that is this node's
    /// own.
    const fn turn(self) -> Option<u64> {
        match self {
            Self::Evidence { turn, .. } => Some(turn),
            Self::Recover(number)
            | Self::Jail(number)
            | Self::Seal(number)
            | Self::Rotate(number)
            | Self::CompleteExit(number)
            | Self::Credit(number)
            | Self::ProveFees(number)
            | Self::PayFees(number) => Some(number),
            Self::Settle => Some(0),
            Self::Reimburse => None,
        }
    }

    /// How many staggers a node waits with this task. `position` is its place in a committee of `size`; outsiders come last.
    pub(super) fn place(self, position: Option<usize>, size: usize) -> u32 {
        let Some(turn) = self.turn() else { return 0 };
        match position {
            Some(position) if size > 0 => {
                let first = (turn % size as u64) as usize;
                ((position + size - first) % size) as u32
            }
            _ => size as u32,
        }
    }
}

/// A task with its call.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) task: Task,
    pub(super) to: Address,
    pub(super) input: Bytes,
}

impl Due {
    pub(super) fn new(task: Task, to: Address, call: impl SolCall) -> Self {
        Self { task, to, input: call.abi_encode().into() }
    }
}

/// How the chain stands, as far as a recovery depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standstill {
    /// `Rollup`'s stall timeout, seconds.
    pub(super) timeout: u64,
    /// This node's own chain has not grown for so long, by its own clock: the committee is dead, not only unable to post.
    pub(super) dead: bool,
    /// This node holds blocks that L1 has not, which a recovery would make void, or is no member and cannot know of such blocks: it gives
    /// those who hold them the timeout once more.
    pub(super) reluctant: bool,
}

/// The recovery, if no batch came for the timeout, nothing is made any more, and a newer committee waits.
pub(super) fn recovery(look: &Look, chain: Standstill, rollup: Address) -> Option<Due> {
    let from = look.stalled_at.saturating_add(if chain.reluctant { chain.timeout } else { 0 });
    let waits = chain.dead && look.latest_committee > look.in_office && look.now >= from;
    waits.then(|| Due::new(Task::Recover(look.latest_committee), rollup, Rollup::recoverCall {}))
}

/// Whether the chain stands still and the newest committee is the one that does not go on.
pub(super) const fn wants_a_committee(look: &Look, chain: Standstill) -> bool {
    chain.dead && look.now >= look.stalled_at && look.latest_committee <= look.in_office
}

/// What can be done with a chosen committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sealing {
    /// Its seal block is not past.
    Wait,
    Seal,
    /// L1 has forgotten that block: a rotation names another.
    Postpone,
}

/// What to do with `draft` behind block `height`. Endpoints estimate a call in the newest block or in the next: L1 must take it in both.
pub(super) const fn sealing(draft: &Draft, height: u64) -> Sealing {
    match height.checked_sub(draft.seal_block) {
        None | Some(0 | HASHES_OF_L1) => Sealing::Wait,
        Some(1..HASHES_OF_L1) => Sealing::Seal,
        Some(_) => Sealing::Postpone,
    }
}

/// Why a rotation would be of use. `committee` is the newest one with its weights, if Layer 2 has heard of it.
pub(super) fn rotation_because(
    survey: &Survey,
    rules: &PoolRules,
    committee: Option<&Committee>,
    wants_a_committee: bool,
) -> Option<&'static str> {
    let records = &survey.records;
    let joining = survey.queue > 0 && !survey.joins_paused && records.len() < rules.max_active;
    if !joining && records.iter().all(|record| record.standing == Standing::Out) {
        // Nobody would be left, which the pool refuses.
        return None;
    }
    if records.iter().any(|record| record.standing == Standing::Out) {
        return Some("a member was jailed or removed");
    }
    if records.iter().any(|record| record.standing == Standing::Exiting) {
        return Some("a member leaves");
    }
    if joining {
        return Some("sequencers wait for a seat");
    }
    if wants_a_committee {
        return Some("the chain stands still, and only a newer committee can be put in office");
    }
    let committee = committee?;
    let mut next: Vec<_> = records.iter().collect();
    next.sort_by_key(|record| (core::cmp::Reverse(record.lock), record.id));
    next.truncate(survey.seats);
    let weights: BTreeMap<_, _> = committee.members.iter().map(|member| (member.id, member.weight)).collect();
    let keys: BTreeMap<_, _> = survey.committee.iter().copied().collect();
    if next.len() != weights.len() || next.iter().any(|record| !weights.contains_key(&record.id)) {
        Some("other locks are the largest")
    } else if next.iter().any(|record| weights.get(&record.id) != Some(&record.lock)) {
        Some("locks have changed")
    } else if next.iter().any(|record| keys.get(&record.id) != Some(&record.key)) {
        Some("keys have changed")
    } else {
        None
    }
}

/// What a survey shows to be done to members.
pub(super) fn members(survey: &Survey, rules: &PoolRules, look: &Look, config: &KeeperConfig, pool: Address) -> Vec<Due> {
    let mut due = Vec::new();
    for record in &survey.records {
        if config.duties.jail && record.jailable {
            due.push(Due::new(Task::Jail(record.id), pool, SequencerPool::jailCall { id: record.id }));
        }
        if config.duties.exits && record.standing == Standing::Exiting && record.since.saturating_add(rules.exit_wait) <= look.now
        {
            due.push(Due::new(Task::CompleteExit(record.id), pool, SequencerPool::completeExitCall { id: record.id }));
        }
    }
    due
}

/// Epochs that a final output proves.
#[derive(Debug, Default)]
pub(super) struct Creditable {
    /// How many there are.
    pub(super) epochs: u64,
    /// End of the first one, L2 time in seconds.
    first_end: u64,
    /// Those that go into one transaction.
    messages: Vec<MiningRewards::EpochMessage>,
}

impl Creditable {
    /// Looks for messages about the epochs after the last credited one.
    pub(super) fn find(look: &Look, output: &FinalOutput, chain: &dyn Messages, rewards: Address) -> Result<Self, ChainError> {
        let mut found = Self::default();
        let mut until = look.credited_until;
        let mut members = 0;
        for epoch in chain.ended_epochs(look.next_epoch, MAX_LOOK_AHEAD)? {
            let Some(message) = chain.epoch_message(epoch)? else { continue };
            let Ok((_, _, from, to, _, work)) = <(u64, u64, u64, u64, u64, Vec<B256>)>::abi_decode_params(&message.data) else {
                return Err(ChainError(format!("the message about epoch {epoch} does not decode")));
            };
            let withdrawal = withdrawal(message.nonce, EPOCH_LEDGER, rewards, U256::ZERO, message.data.clone());
            let Some(storage_proof) = output.prove(chain, withdrawal_hash(&withdrawal))? else { break };
            // L1 takes epochs without gaps in time only, and none that ends after its own.
            if from != until || to > look.now {
                break;
            }
            until = to;
            if found.epochs == 0 {
                found.first_end = to;
            }
            found.epochs += 1;
            members += work.len();
            if found.messages.is_empty() || (found.messages.len() < MAX_EPOCHS && members <= MAX_MEMBERS) {
                let (nonce, data) = (message.nonce, message.data);
                found.messages.push(MiningRewards::EpochMessage { nonce, data, storageProof: storage_proof });
            }
        }
        Ok(found)
    }

    /// The call, if enough wait or the first has waited long enough.
    pub(super) fn due(self, look: &Look, output: &FinalOutput, config: &KeeperConfig, rewards: Address) -> Option<Due> {
        let worth = self.epochs >= config.credit_epochs || look.now >= self.first_end.saturating_add(config.credit_wait);
        if self.messages.is_empty() || !worth {
            return None;
        }
        let call = MiningRewards::creditEpochsCall {
            outputIndex: output.index,
            outputRootProof: output.rewards_proof(),
            messages: self.messages,
        };
        Some(Due::new(Task::Credit(look.next_epoch), rewards, call))
    }
}

/// A withdrawal of fees as the message passer sent it.
pub(super) fn fee_withdrawal(
    chain: &dyn Messages,
    index: u64,
    splitter: Address,
) -> Result<Portal::WithdrawalTransaction, ChainError> {
    let (nonce, value) = chain.fee_flush(index)?;
    Ok(withdrawal(nonce, FEE_VAULT, splitter, value, Bytes::new()))
}

/// Predeploys ask for no gas: the token is paid, nothing is called.
const fn withdrawal(nonce: U256, sender: Address, target: Address, value: U256, data: Bytes) -> Portal::WithdrawalTransaction {
    Portal::WithdrawalTransaction { nonce, sender, target, value, gasLimit: U256::ZERO, data }
}

/// What the splitter has to do.
pub(super) fn splitter(look: &Look, account: Address, splitter: Address) -> Vec<Due> {
    let worth = U256::from(WORTH_SETTLING);
    let mut due = Vec::new();
    if look.unsettled >= worth {
        due.push(Due::new(Task::Settle, splitter, FeeSplitter::settleCall {}));
    }
    if look.owed.min(look.poster_pot) >= worth {
        due.push(Due::new(Task::Reimburse, splitter, FeeSplitter::reimburseCall { poster: account }));
    }
    due
}

#[cfg(test)]
mod tests {
    use super::super::chain::message_slot;
    use super::super::look::Record;
    use super::*;
    use oceanid_primitives::Member;
    use oceanid_stf::EpochMessage;

    const RULES: PoolRules = PoolRules { rotation_interval: 20, exit_wait: 320, max_active: 5 };

    fn record(id: u64, lock: u128) -> Record {
        let key = (Address::repeat_byte(id as u8), 0);
        Record { id, standing: Standing::Active, since: 0, lock, key, jailable: false }
    }

    /// Three members with locks 30, 20 and 10 and the committee of them, which has three seats.
    fn at_rest() -> (Survey, Committee) {
        let records: Vec<_> = [record(1, 30), record(2, 20), record(3, 10)].into();
        let members = records
            .iter()
            .map(|record| Member { id: record.id, identity: B256::ZERO, bls_key: Default::default(), weight: record.lock })
            .collect();
        let committee = records.iter().map(|record| (record.id, record.key)).collect();
        let survey = Survey { records, queue: 0, joins_paused: false, seats: 3, committee };
        (survey, Committee { id: 4, seed: B256::ZERO, members })
    }

    fn because(change: impl FnOnce(&mut Survey)) -> Option<&'static str> {
        let (mut survey, committee) = at_rest();
        change(&mut survey);
        rotation_because(&survey, &RULES, Some(&committee), false)
    }

    #[test]
    fn a_rotation_that_changes_nothing_is_not_paid_for() {
        assert_eq!(because(|_| ()), None);
        // A smaller lock that would not get a seat, a queue that is not let in, a full active set.
        assert_eq!(because(|survey| survey.records.push(record(4, 5))), None);
        assert_eq!(because(|survey| (survey.queue, survey.joins_paused) = (1, true)), None);
        assert_eq!(
            because(|survey| {
                survey.queue = 1;
                survey.records.extend([record(4, 5), record(5, 5)]);
            }),
            None
        );
        let (mut survey, _) = at_rest();
        survey.records[0].lock = 31;
        assert_eq!(rotation_because(&survey, &RULES, None, false), None, "Layer 2 has not heard of the newest committee yet");
        survey.records.iter_mut().for_each(|record| record.standing = Standing::Out);
        assert_eq!(rotation_because(&survey, &RULES, None, true), None, "nobody would be left");
    }

    #[test]
    fn every_useful_rotation_has_its_reason() {
        assert_eq!(because(|survey| survey.queue = 1), Some("sequencers wait for a seat"));
        assert_eq!(because(|survey| survey.records[1].standing = Standing::Exiting), Some("a member leaves"));
        assert_eq!(because(|survey| survey.records[1].standing = Standing::Out), Some("a member was jailed or removed"));
        assert_eq!(because(|survey| survey.records[2].lock = 11), Some("locks have changed"));
        assert_eq!(because(|survey| survey.records[2].key.1 = 9), Some("keys have changed"));
        assert_eq!(because(|survey| survey.records.push(record(4, 15))), Some("other locks are the largest"));
        // Equal locks: the smaller id keeps the seat.
        assert_eq!(because(|survey| survey.records.push(record(4, 10))), None);
        assert_eq!(because(|survey| survey.seats = 2), Some("other locks are the largest"));
    }

    #[test]
    fn a_chosen_committee_is_sealed_once_its_block_is_past_and_before_l1_forgets_it() {
        let draft = Draft { chosen_in: 96, seal_block: 100 };
        assert_eq!(sealing(&draft, 99), Sealing::Wait);
        assert_eq!(sealing(&draft, 100), Sealing::Wait, "an estimate may run in the seal block itself");
        assert_eq!(sealing(&draft, 101), Sealing::Seal);
        assert_eq!(sealing(&draft, 8_290), Sealing::Seal, "in block 8,291, the last that knows block 100");
        assert_eq!(sealing(&draft, 8_291), Sealing::Wait, "that block still knows it, the next does not");
        assert_eq!(sealing(&draft, 8_292), Sealing::Postpone);
        assert_eq!(sealing(&Draft { seal_block: u64::MAX, ..draft }, 8_291), Sealing::Wait);
        assert_eq!(sealing(&Draft { seal_block: 1, ..draft }, u64::MAX), Sealing::Postpone);
    }

    #[test]
    fn a_chain_that_stands_still_is_recovered_after_the_timeout() {
        let still =
            |now, latest, office| Look { latest_committee: latest, in_office: office, stalled_at: 500, ..look(0, 0, now) };
        let chain = |dead, reluctant| Standstill { timeout: 100, dead, reluctant };
        let due = |look: &Look, reluctant| recovery(look, chain(true, reluctant), Address::ZERO).map(|due| due.task);
        assert_eq!(due(&still(499, 5, 4), false), None);
        assert_eq!(due(&still(500, 5, 4), false), Some(Task::Recover(5)));
        assert_eq!(due(&still(500, 4, 4), false), None, "no newer committee");
        let alive = recovery(&still(9_999, 5, 4), chain(false, false), Address::ZERO);
        assert!(alive.is_none(), "blocks are made, only not posted: a recovery would make them void");
        // Whoever holds blocks that would be void, or cannot know, waits for them to be posted.
        assert_eq!(due(&still(599, 5, 4), true), None);
        assert_eq!(due(&still(600, 5, 4), true), Some(Task::Recover(5)));
        assert_eq!(due(&Look { stalled_at: u64::MAX, ..still(u64::MAX - 1, 5, 4) }, true), None);
        // Without a newer committee a rotation is of use, which otherwise would change nothing.
        let wants = |now, latest, dead| wants_a_committee(&still(now, latest, 4), chain(dead, true));
        assert!(wants(500, 4, true) && !wants(500, 5, true) && !wants(499, 4, true) && !wants(500, 4, false));
        let (survey, committee) = at_rest();
        assert!(
            rotation_because(&survey, &RULES, Some(&committee), true).is_some_and(|because| because.contains("stands still"))
        );
    }

    const REWARDS: Address = Address::repeat_byte(0xee);

    fn output() -> FinalOutput {
        FinalOutput { index: U256::from(3), state_root: B256::ZERO, storage_root: B256::ZERO, block_hash: B256::ZERO }
    }

    /// A chain that has sent messages about epochs: (epoch, start, end), of which the final output holds those up to `proven`.
    struct Told {
        epochs: Vec<(u64, u64, u64)>,
        proven: u64,
    }

    impl Told {
        fn data(&self, epoch: u64) -> Option<Bytes> {
            let (_, start, end) = self.epochs.iter().find(|(number, ..)| *number == epoch)?;
            Some((epoch, 1u64, *start, *end, end - start, vec![B256::ZERO; 100]).abi_encode_params().into())
        }

        fn hash(&self, epoch: u64) -> Option<B256> {
            let data = self.data(epoch)?;
            Some(withdrawal_hash(&withdrawal(U256::from(epoch + 1), EPOCH_LEDGER, REWARDS, U256::ZERO, data)))
        }
    }

    impl Messages for Told {
        fn ended_epochs(&self, from: u64, most: usize) -> Result<Vec<u64>, ChainError> {
            Ok(self.epochs.iter().map(|(epoch, ..)| *epoch).filter(|epoch| *epoch >= from).take(most).collect())
        }

        fn epoch_message(&self, epoch: u64) -> Result<Option<EpochMessage>, ChainError> {
            Ok(self.data(epoch).map(|data| EpochMessage { nonce: U256::from(epoch + 1), data }))
        }

        fn fee_flushes(&self) -> Result<u64, ChainError> {
            Ok(0)
        }

        fn fee_flush(&self, _index: u64) -> Result<(U256, U256), ChainError> {
            Ok((U256::ZERO, U256::ZERO))
        }

        fn message_proof(&self, _root: B256, slot: U256) -> Result<(U256, Vec<Bytes>), ChainError> {
            let mut proven = self.epochs.iter().filter(|(epoch, ..)| *epoch <= self.proven);
            let sent = proven.any(|(epoch, ..)| self.hash(*epoch).is_some_and(|hash| message_slot(hash) == slot));
            Ok((U256::from(sent), Vec::new()))
        }
    }

    fn look(next_epoch: u64, credited_until: u64, now: u64) -> Look {
        let zero = U256::ZERO;
        Look {
            now,
            height: 0,
            latest_committee: 1,
            in_office: 1,
            posted: 0,
            stalled_at: u64::MAX,
            last_rotation: 0,
            draft: None,
            next_epoch,
            credited_until,
            budget: zero,
            runway: zero,
            output: None,
            unsettled: zero,
            poster_pot: zero,
            owed: zero,
        }
    }

    /// Epochs that can be credited, and how many of them go into one transaction.
    fn creditable(told: &Told, next_epoch: u64, credited_until: u64, now: u64) -> (u64, usize) {
        let found = Creditable::find(&look(next_epoch, credited_until, now), &output(), told, REWARDS).unwrap();
        (found.epochs, found.messages.len())
    }

    #[test]
    fn epochs_are_credited_in_order_and_as_far_as_the_output_proves() {
        let epochs = (0..40).map(|epoch| (epoch, 100 * epoch, 100 * (epoch + 1))).collect();
        let mut told = Told { epochs, proven: 10 };
        assert_eq!(creditable(&told, 0, 0, 100_000), (11, 4), "400 members a transaction");
        assert_eq!(creditable(&told, 9, 900, 100_000), (2, 2));
        assert_eq!(creditable(&told, 11, 1_100, 100_000), (0, 0), "not final yet");
        assert_eq!(creditable(&told, 0, 50, 100_000), (0, 0), "L1 wants the time without gaps");
        assert_eq!(creditable(&told, 0, 0, 250), (2, 2), "none that ends after L1's own time");
        // A recovery passed over two numbers; a gap in time ends the run.
        told.epochs.drain(3..5);
        told.epochs[3].1 = 300;
        assert_eq!(creditable(&told, 0, 0, 100_000), (9, 4));
        told.epochs[5].1 += 1;
        assert_eq!(creditable(&told, 0, 0, 100_000), (5, 4));
    }

    #[test]
    fn a_few_epochs_wait_for_others_but_not_for_ever() {
        let epochs = (0..3).map(|epoch| (epoch, 100 * epoch, 100 * (epoch + 1))).collect();
        let told = Told { epochs, proven: 10 };
        let client = crate::L1Client::new("http://127.0.0.1:9").unwrap();
        let key = alloy_signer_local::PrivateKeySigner::from_slice(&[7; 32]).unwrap();
        let account = crate::L1Account::new(client, key, 1, crate::Pricing::new(core::time::Duration::ZERO));
        let config = KeeperConfig::new(account, None, core::time::Duration::ZERO);
        let due = |now: u64, enough: u64| {
            let (look, output) = (look(0, 0, now), output());
            let config = KeeperConfig { credit_epochs: enough, credit_wait: 1_000, ..config.clone() };
            let found = Creditable::find(&look, &output, &told, REWARDS).unwrap();
            found.due(&look, &output, &config, Address::ZERO).map(|due| due.task)
        };
        assert_eq!(due(500, 4), None);
        assert_eq!(due(500, 3), Some(Task::Credit(0)));
        assert_eq!(due(1_099, 4), None);
        assert_eq!(due(1_100, 4), Some(Task::Credit(0)));
    }

    #[test]
    fn places_turn_with_the_task_and_outsiders_come_last() {
        let places = |task: Task| (0..4).map(|position| task.place(Some(position), 4)).collect::<Vec<_>>();
        assert_eq!(places(Task::Rotate(4)), [0, 1, 2, 3]);
        assert_eq!(places(Task::Rotate(5)), [3, 0, 1, 2]);
        assert_eq!(Task::Rotate(5).place(None, 4), 4);
        assert_eq!(Task::Reimburse.place(Some(3), 4), 0, "nobody else does what is one's own");
        assert_eq!(Task::Settle.place(None, 0), 0);
    }
}
