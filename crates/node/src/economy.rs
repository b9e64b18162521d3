//! Stake and rewards as L1 has them, read every few seconds. For pages and metrics only: nothing of the protocol rests on it.

use alloy_primitives::{Address, U256};
use alloy_rpc_types_eth::Filter;
use alloy_sol_types::SolEvent;
use oceanid_chain::Ledger;
use oceanid_contracts::l1::MiningRewards::{Credited, EpochCredited};
use oceanid_contracts::l1::{MiningRewards, OceanidToken, SequencerPool};
use oceanid_settlement::{L1Client, L1Error, L1Watcher};
use oceanid_web::{Credit, CreditedEpoch, Economy, Rule, Sequencer};
use parking_lot::RwLock;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Pause between two rounds.
const PAUSE: Duration = Duration::from_secs(4);
/// Sequencers read in one round; the others keep what was read before.
const A_ROUND: usize = 16;
/// Most sequencers kept.
const MAX_SEQUENCERS: u64 = 512;
/// Most tickets shown of one sequencer: as many as the pool allows.
const MAX_TICKETS: usize = 32;
/// Credited epochs kept.
const EPOCHS: usize = 32;
/// L1 blocks below the head whose events are read at start, and most that one round reads.
const EVENT_WINDOW: u64 = 5_000;
/// Seconds of the year in which rewards are reckoned.
const YEAR: f64 = 365.0 * 86_400.0;

/// What L1 says of this chain's economy, and of the account that pays for this node.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    economy: RwLock<Arc<Economy>>,
    /// Wei.
    balance: RwLock<Option<U256>>,
}

impl Figures {
    /// Stake and rewards, as last read.
    pub(crate) fn economy(&self) -> Arc<Economy> {
        self.economy.read().clone()
    }

    /// Ether of the account that pays for this node's L1 transactions, wei; none before it was read, and on a node without one.
    pub(crate) fn balance(&self) -> Option<U256> {
        *self.balance.read()
    }
}

/// Reads for ever.
pub(crate) async fn run(ledger: Ledger, client: L1Client, watcher: L1Watcher, payer: Option<Address>, figures: Arc<Figures>) {
    let mut reader = Reader { ledger, client, watcher, events: Events::default(), sequencers: BTreeMap::new(), turn: 0 };
    loop {
        if let Some(payer) = payer
            && let Ok(balance) = reader.client.balance(payer).await
        {
            *figures.balance.write() = Some(balance);
        }
        match reader.round().await {
            Ok(economy) => *figures.economy.write() = Arc::new(economy),
            // Pages show how old their figures are.
            Err(error) => tracing::debug!(%error, "stake and rewards could not be read from L1"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

struct Reader {
    ledger: Ledger,
    client: L1Client,
    watcher: L1Watcher,
    events: Events,
    sequencers: BTreeMap<u64, Sequencer>,
    /// Last sequencer read.
    turn: u64,
}

impl Reader {
    async fn round(&mut self) -> Result<Economy, L1Error> {
        let l1 = self.ledger.spec().l1;
        self.read_events(l1.rewards).await?;
        self.read_sequencers(l1.pool, l1.rewards).await?;
        let (client, now) = (&self.client, unix_time());
        let rules = client.view(l1.rewards, MiningRewards::rulesCall {}).await?;
        let in_force = rules.iter().rev().find(|change| change.from <= now).map(|change| (change.rule, change.parameter));
        let runway = client.view(l1.rewards, MiningRewards::runwayCall {}).await?;
        Ok(Economy {
            read_at: Some(now),
            symbol: client.view(l1.token, OceanidToken::symbolCall {}).await?,
            locked: U256::from(client.view(l1.pool, SequencerPool::totalLockedCall {}).await?),
            tickets: U256::from(client.view(l1.pool, SequencerPool::totalTicketsCall {}).await?),
            queue: client.view(l1.pool, SequencerPool::queueLengthCall {}).await?.saturating_to(),
            exits: client.view(l1.pool, SequencerPool::exitQueueLengthCall {}).await?.saturating_to(),
            cost_to_stall: client.view(l1.pool, SequencerPool::costToStallCall {}).await?,
            cost_to_finalise: client.view(l1.pool, SequencerPool::costToFinaliseCall {}).await?,
            rule: in_force.map_or(Rule::Unknown, |(rule, parameter)| rule_of(rule, parameter)),
            budget: client.view(l1.rewards, MiningRewards::budgetCall {}).await?,
            // The largest number says that nothing is being spent.
            runway: (runway != U256::MAX).then(|| runway.saturating_to()),
            credited: U256::from(client.view(l1.rewards, MiningRewards::totalCreditedCall {}).await?),
            epochs: self.events.epochs.iter().copied().collect(),
            sequencers: self.sequencers.values().cloned().collect(),
        })
    }

    /// Takes in the events of deep blocks since the last round.
    async fn read_events(&mut self, rewards: Address) -> Result<(), L1Error> {
        let Some(deep) = oceanid_primitives::L1View::newest_origin(&self.watcher) else { return Ok(()) };
        let start = self.ledger.spec().l1.start.number;
        let from = self.events.next.unwrap_or_else(|| deep.number.saturating_sub(EVENT_WINDOW).max(start));
        let to = deep.number.min(from.saturating_add(EVENT_WINDOW));
        if from > to {
            return Ok(());
        }
        let topics = vec![Credited::SIGNATURE_HASH, EpochCredited::SIGNATURE_HASH];
        let filter = Filter::new().address(rewards).from_block(from).to_block(to).event_signature(topics);
        for log in self.client.logs(&filter).await? {
            if let Ok(event) = Credited::decode_log_data(log.data()) {
                self.events.credited(event.id, Credit { epoch: event.epoch, reward: event.amount, fees: event.fees });
            } else if let Ok(event) = EpochCredited::decode_log_data(log.data()) {
                self.events.epoch(CreditedEpoch {
                    epoch: event.epoch,
                    seconds: event.end.saturating_sub(event.start),
                    emission: event.emission,
                    paid: event.paid,
                    fees: event.fees,
                });
            }
        }
        self.events.next = Some(to + 1);
        Ok(())
    }

    /// Reads the next [`A_ROUND`] sequencers.
    async fn read_sequencers(&mut self, pool: Address, rewards: Address) -> Result<(), L1Error> {
        let last = self.client.view(pool, SequencerPool::lastIdCall {}).await?.min(MAX_SEQUENCERS);
        for _ in 0..A_ROUND.min(usize::try_from(last).unwrap_or(A_ROUND)) {
            let id = if self.turn >= last { 1 } else { self.turn + 1 };
            let known = self.client.view(pool, SequencerPool::sequencerCall { id }).await?;
            let mut tickets = Vec::new();
            for ticket in self.client.view(pool, SequencerPool::ticketsOfCall { id }).await?.into_iter().take(MAX_TICKETS) {
                let ticket = self.client.view(pool, SequencerPool::ticketCall { ticketId: U256::from(ticket) }).await?;
                tickets.push((U256::from(ticket.amount), ticket.claimableAt));
            }
            tickets.sort_by_key(|(_, claimable_at)| *claimable_at);
            let (lock, credits) = (U256::from(known.amount), self.events.of(id));
            let sequencer = Sequencer {
                id,
                status: status_of(known.status),
                owner: known.owner,
                recipient: known.recipient,
                lock,
                tickets,
                claimable: self.client.view(rewards, MiningRewards::claimableCall { id }).await?,
                apr: apr(&credits, &self.events.epochs, lock),
                credits,
            };
            self.sequencers.insert(id, sequencer);
            self.turn = id;
        }
        Ok(())
    }
}

/// What `MiningRewards` said of the last epochs, newest first.
#[derive(Default)]
struct Events {
    epochs: VecDeque<CreditedEpoch>,
    credits: BTreeMap<u64, VecDeque<Credit>>,
    /// L1 block to go on with.
    next: Option<u64>,
}

impl Events {
    fn epoch(&mut self, epoch: CreditedEpoch) {
        self.epochs.push_front(epoch);
        self.epochs.truncate(EPOCHS);
    }

    fn credited(&mut self, id: u64, credit: Credit) {
        if id <= MAX_SEQUENCERS {
            let credits = self.credits.entry(id).or_default();
            credits.push_front(credit);
            credits.truncate(EPOCHS);
        }
    }

    fn of(&self, id: u64) -> Vec<Credit> {
        self.credits.get(&id).into_iter().flatten().copied().collect()
    }
}

/// Rewards and fees over the stake, a year, in the epochs of which the length is known; none without any, or without stake. Outages, for
/// which nothing is paid, are part of that length: this is what was realised, not what the rule says.
fn apr(credits: &[Credit], epochs: &VecDeque<CreditedEpoch>, lock: U256) -> Option<f64> {
    let (mut earned, mut seconds) = (U256::ZERO, 0u64);
    for credit in credits {
        if let Some(epoch) = epochs.iter().find(|epoch| epoch.epoch == credit.epoch) {
            earned = earned.saturating_add(credit.reward).saturating_add(credit.fees);
            seconds = seconds.saturating_add(epoch.seconds);
        }
    }
    (seconds > 0 && !lock.is_zero()).then(|| f64::from(earned) / f64::from(lock) * YEAR / seconds as f64)
}

/// `SequencerPool.Status` in a word.
const fn status_of(status: u8) -> &'static str {
    match status {
        1 => "queued",
        2 => "active",
        3 => "exiting",
        4 => "jailed",
        _ => "gone",
    }
}

/// `MiningRewards.Rule` with its parameter.
const fn rule_of(rule: u8, parameter: u128) -> Rule {
    match rule {
        0 => Rule::TargetApr(parameter),
        1 => Rule::FixedPerBlock(parameter),
        2 => Rule::Curve(parameter),
        _ => Rule::Unknown,
    }
}

/// This machine's clock, seconds since 1970.
pub(crate) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apr_is_what_was_paid_over_the_time_it_was_paid_for() {
        let mut events = Events::default();
        for epoch in 0..50 {
            events.credited(1, Credit { epoch, reward: U256::from(9), fees: U256::from(1) });
            events.epoch(CreditedEpoch { epoch, seconds: 86_400, ..CreditedEpoch::default() });
        }
        assert_eq!((events.epochs.len(), events.of(1).len(), events.of(1)[0].epoch), (EPOCHS, EPOCHS, 49));
        let paid = apr(&events.of(1), &events.epochs, U256::from(36_500)).expect("epochs were credited");
        assert!((paid - 0.1).abs() < 1e-9, "{paid}");
        assert_eq!(apr(&events.of(2), &events.epochs, U256::from(1)), None);
        assert_eq!(apr(&events.of(1), &events.epochs, U256::ZERO), None);
        events.credited(MAX_SEQUENCERS + 1, Credit::default());
        assert!(events.of(MAX_SEQUENCERS + 1).is_empty());
    }
}
