//! `oceanid sequencer rewards`: what a sequencer did on L2, what that earned, and what L1 has credited.

use super::cli::{Destination, RewardsAction, RewardsArgs};
use super::transaction::{Call, perform};
use super::{Chain, Operator, connect, output, span, tokens, whole};
use alloy_primitives::{B256, U256};
use alloy_provider::Provider;
use alloy_rpc_types_eth::Filter;
use alloy_sol_types::{SolEvent, SolValue};
use eyre::{OptionExt, WrapErr, ensure};
use oceanid_contracts::endpoint::Endpoint;
use oceanid_contracts::l1::MiningRewards::{self, RuleChange};
use oceanid_contracts::l2::EpochLedger;
use oceanid_primitives::{RECOVERY_EPOCHS, predeploys};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;

/// Seconds of the year in which rules reckon, as `MiningRewards.YEAR`.
const YEAR: u64 = 365 * 86_400;
/// Basis points of one.
const BPS: u64 = 10_000;
/// `MiningRewards.Rule`: a share of the stake a year, in basis points.
const TARGET_APR: u8 = 0;
/// Wei for each block led.
const FIXED_PER_BLOCK: u8 = 1;
/// `k * sqrt(stake)` a year.
const CURVE: u8 = 2;
/// Blocks of one request for logs: what public endpoints allow.
const LOG_RANGE: u64 = 10_000;

/// A member's word in a message of `EpochLedger`: id u64 | weight u128 | led u32 | missed u32, from the highest bits down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Work {
    id: u64,
    weight: u128,
    led: u32,
    missed: u32,
}

impl Work {
    fn unpack(word: B256) -> Self {
        let part = |range: core::ops::Range<usize>| word[range].iter().fold(0u128, |value, byte| value << 8 | u128::from(*byte));
        Self { id: part(0..8) as u64, weight: part(8..24), led: part(24..28) as u32, missed: part(28..32) as u32 }
    }

    /// Stake times performance.
    fn effective(&self) -> U256 {
        let (led, drawn) = (u64::from(self.led), u64::from(self.led) + u64::from(self.missed));
        if drawn == 0 { U256::from(self.weight) } else { U256::from(self.weight) * U256::from(led) / U256::from(drawn) }
    }
}

/// A closed epoch, as L2 told it.
struct Epoch {
    number: u64,
    committee: u64,
    /// L2 timestamps, seconds.
    start: u64,
    end: u64,
    /// Seconds of it that are paid for: outages are not.
    paid_time: u64,
    members: Vec<Work>,
}

/// One line of the table.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    epoch: u64,
    committee: u64,
    seconds: u64,
    led: u32,
    missed: u32,
    /// Wei of stake in the committee.
    stake: String,
    /// Wei: credited, or what the formula gives with today's budget, without fees.
    earned: String,
    /// Wei, of which fees; absent until L1 has seen the epoch proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    credited: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fees: Option<String>,
    /// Percent a year.
    apr: f64,
    #[serde(skip)]
    amounts: (u128, U256),
}

pub(super) async fn run(operator: &Operator, args: &RewardsArgs) -> eyre::Result<()> {
    let chain = operator.chain().await?;
    let id = operator.id(&chain).await?;
    match &args.action {
        Some(RewardsAction::Claim { to, amount }) => claim(operator, &chain, id, *to, amount.as_deref()).await,
        None => show(operator, &chain, id, args.epochs).await,
    }
}

async fn show(operator: &Operator, chain: &Chain, id: u64, limit: u64) -> eyre::Result<()> {
    let epochs = epochs(operator, limit).await?;
    let next = chain.rewards().nextEpoch().call().await.wrap_err("L1 does not answer")?;
    let wanted = epochs.iter().map(|epoch| epoch.number).filter(|number| *number < next).min();
    let credited = match wanted {
        Some(oldest) => credits(chain, id, oldest).await?,
        None => BTreeMap::new(),
    };
    let budget = Budget::load(chain).await?;
    let rows: Vec<Row> = epochs.iter().filter_map(|epoch| row(epoch, id, next, &credited, &budget)).collect();

    let claimable = chain.rewards().claimable(id).call().await?;
    let runway = chain.rewards().runway().call().await?;
    let apr = realised(&rows);
    if operator.args.json {
        let runway = u64::try_from(runway).ok();
        output::json(&json!({ "id": id, "epochs": rows, "claimable": claimable.to_string(), "apr": apr, "runway": runway }));
        return Ok(());
    }
    output::line(&format!(
        "{:>8}  {:>9}  {:>8}  {:>5}  {:>6}  {:>24}  {:>24}  {:>8}",
        "epoch", "committee", "time", "led", "missed", "earned", "credited", "APR"
    ));
    for row in &rows {
        let short = |wei: &str| format!("{:.8}", wei.parse::<f64>().unwrap_or_default() / 1e18);
        let (earned, credited) = match &row.credited {
            Some(credited) => (short(&row.earned), short(credited)),
            None => (format!("about {}", short(&row.earned)), "not yet".to_owned()),
        };
        output::line(&format!(
            "{:>8}  {:>9}  {:>8}  {:>5}  {:>6}  {earned:>24}  {credited:>24}  {:>7.2}%",
            row.epoch,
            row.committee,
            span(row.seconds),
            row.led,
            row.missed,
            row.apr
        ));
    }
    if rows.is_empty() {
        output::line(&format!("sequencer {id} sat in no committee of the newest {limit} closed epochs"));
    }
    output::line(&format!("claimable {}, realised APR {apr:.2}% over {} epochs", whole(claimable), rows.len()));
    output::line(&match u64::try_from(runway) {
        Ok(runway) => format!("the budget lasts {} at the rate of the last credited epoch", span(runway)),
        Err(_) => "the last credited epoch emitted nothing".to_owned(),
    });
    Ok(())
}

/// The newest closed epochs, newest first, from `EpochLedger` on L2.
async fn epochs(operator: &Operator, limit: u64) -> eyre::Result<Vec<Epoch>> {
    let url = operator.l2_url().ok_or_eyre("--l2 is missing: the work is counted on L2; name a node's JSON-RPC")?;
    let l2 = connect(&url)?;
    let ledger = EpochLedger::new(predeploys::EPOCH_LEDGER, &l2);
    let running = ledger.current().call().await.wrap_err_with(|| format!("L2 at {} does not answer", Endpoint::new(&url)))?.epoch;
    let told = async |number| {
        let message = ledger.message(number).call().await?;
        if message.nonce.is_zero() {
            return Ok(None); // no such epoch, or one whose committee L2 did not know
        }
        let (epoch, committee, start, end, paid_time, words) =
            <(u64, u64, u64, u64, u64, Vec<B256>)>::abi_decode_params(&message.data)
                .wrap_err_with(|| format!("EpochLedger's message of epoch {number}"))?;
        let members = words.into_iter().map(Work::unpack).collect();
        Ok(Some(Epoch { number: epoch, committee, start, end, paid_time, members }))
    };
    newest(running, limit, told).await
}

/// Up to `limit` of the epochs before `running` of which `told` knows, newest first.
async fn newest<T>(running: u64, limit: u64, told: impl AsyncFn(u64) -> eyre::Result<Option<T>>) -> eyre::Result<Vec<T>> {
    let mut found = Vec::new();
    let mut number = running;
    for _ in 0..limit {
        let mut before = None;
        for candidate in candidates(number) {
            if let Some(epoch) = told(candidate).await? {
                found.push(epoch);
                before = Some(candidate);
                break;
            }
        }
        // Of an epoch that could not be told, its time is the next one's.
        let Some(before) = before.or(number.checked_sub(1)) else { break };
        number = before;
    }
    Ok(found)
}

/// Numbers that the epoch before `number` may have. A recovery passes over [`RECOVERY_EPOCHS`] of them, within an epoch or at its end, and
/// several may follow the same block.
fn candidates(number: u64) -> impl Iterator<Item = u64> {
    let recoveries = number / RECOVERY_EPOCHS;
    let across = (1..=recoveries).map(move |passed| number - passed * RECOVERY_EPOCHS);
    number.checked_sub(1).into_iter().chain(across.flat_map(|same| [Some(same), same.checked_sub(1)]).flatten())
}

/// Credits of `id` by epoch, from `oldest` on: wei without fees, and fees. Reads logs from the newest block back.
async fn credits(chain: &Chain, id: u64, oldest: u64) -> eyre::Result<BTreeMap<u64, (U256, U256)>> {
    let mut credits = BTreeMap::new();
    let mut to = chain.l1.get_block_number().await?;
    loop {
        let from = to.saturating_sub(LOG_RANGE - 1).max(chain.spec.l1.start.number);
        let filter = Filter::new()
            .address(chain.spec.l1.rewards)
            .event_signature(MiningRewards::EpochCredited::SIGNATURE_HASH)
            .from_block(from)
            .to_block(to);
        let ours = filter.clone().event_signature(MiningRewards::Credited::SIGNATURE_HASH).topic2(U256::from(id));
        for log in chain.l1.get_logs(&ours).await? {
            let credit = MiningRewards::Credited::decode_log(&log.inner)?;
            credits.insert(credit.epoch, (credit.amount, credit.fees));
        }
        // Epochs are credited in order: once an older one is seen, there is nothing left to find.
        let mut seen = chain.l1.get_logs(&filter).await?.into_iter();
        let past =
            seen.any(|log| MiningRewards::EpochCredited::decode_log(&log.inner).is_ok_and(|credit| credit.epoch <= oldest));
        if past || from <= chain.spec.l1.start.number {
            return Ok(credits);
        }
        to = from - 1;
    }
}

fn row(epoch: &Epoch, id: u64, next: u64, credited: &BTreeMap<u64, (U256, U256)>, budget: &Budget) -> Option<Row> {
    let work = epoch.members.iter().find(|member| member.id == id)?;
    let seconds = epoch.end.saturating_sub(epoch.start);
    let credit = (epoch.number < next).then(|| credited.get(&epoch.number).copied().unwrap_or_default());
    let earned = match credit {
        Some((amount, fees)) => amount + fees,
        None => budget.share(epoch, work),
    };
    Some(Row {
        epoch: epoch.number,
        committee: epoch.committee,
        seconds,
        led: work.led,
        missed: work.missed,
        stake: work.weight.to_string(),
        earned: earned.to_string(),
        credited: credit.map(|(amount, fees)| (amount + fees).to_string()),
        fees: credit.map(|(_, fees)| fees.to_string()),
        apr: percent_a_year(earned, U256::from(work.weight) * U256::from(seconds)),
        amounts: (work.weight, earned),
    })
}

/// Percent a year that `earned` wei are on `stake_seconds`, wei of stake times seconds.
fn percent_a_year(earned: U256, stake_seconds: U256) -> f64 {
    if stake_seconds.is_zero() {
        return 0.0;
    }
    // Millionths of a percent are enough.
    let millionths = earned * U256::from(YEAR) * U256::from(100_000_000) / stake_seconds;
    u64::try_from(millionths).map_or(f64::INFINITY, |value| value as f64 / 1e6)
}

fn realised(rows: &[Row]) -> f64 {
    let (earned, stake) = rows.iter().fold((U256::ZERO, U256::ZERO), |(earned, stake), row| {
        (earned + row.amounts.1, stake + U256::from(row.amounts.0) * U256::from(row.seconds))
    });
    percent_a_year(earned, stake)
}

/// What a pending epoch's share is reckoned from.
struct Budget {
    left: U256,
    taper: U256,
    rules: Vec<RuleChange>,
}

impl Budget {
    async fn load(chain: &Chain) -> eyre::Result<Self> {
        let rewards = chain.rewards();
        Ok(Self {
            left: rewards.budget().call().await?,
            taper: rewards.TAPER_PERIOD().call().await?,
            rules: rewards.rules().call().await?,
        })
    }

    /// Wei that `work` earns in `epoch`, by the formula of `MiningRewards`, with the budget there is now.
    fn share(&self, epoch: &Epoch, work: &Work) -> U256 {
        let stake: U256 = epoch.members.iter().map(|member| U256::from(member.weight)).sum();
        let blocks: u64 = epoch.members.iter().map(|member| u64::from(member.led)).sum();
        let Some(rule) = self.rules.iter().rev().find(|rule| rule.from <= epoch.start) else { return U256::ZERO };
        let seconds = U256::from(epoch.paid_time);
        let (parameter, year, one) = (U256::from(rule.parameter), U256::from(YEAR), U256::from(10).pow(U256::from(18)));
        let wanted = match rule.rule {
            TARGET_APR => stake * parameter * seconds / (U256::from(BPS) * year),
            FIXED_PER_BLOCK => parameter * U256::from(blocks),
            CURVE => parameter * (stake * one).root(2) * seconds / (one * year),
            _ => U256::ZERO,
        };
        let slice = self.left.min(self.left * seconds / self.taper.max(U256::ONE));
        if stake.is_zero() { U256::ZERO } else { wanted.min(slice) * work.effective() / stake }
    }
}

async fn claim(operator: &Operator, chain: &Chain, id: u64, to: Destination, amount: Option<&str>) -> eyre::Result<()> {
    let claimable = chain.rewards().claimable(id).call().await.wrap_err("L1 does not answer")?;
    ensure!(
        !claimable.is_zero(),
        "sequencer {id} has nothing to claim yet; `oceanid sequencer rewards` shows what is on its way"
    );
    ensure!(amount.is_none() || to == Destination::Relock, "--amount is for `--to relock`: other claims take the whole credit");
    let rewards = chain.spec.l1.rewards;
    let (amount, call) = match to {
        Destination::L1 => {
            (claimable, Call::new(format!("MiningRewards.claimToL1({id})"), rewards, &MiningRewards::claimToL1Call { id }))
        }
        Destination::L2 => {
            (claimable, Call::new(format!("MiningRewards.claimToL2({id})"), rewards, &MiningRewards::claimToL2Call { id }))
        }
        Destination::Relock => {
            let lock = U256::from(chain.record(id).await?.amount);
            let room = U256::from(chain.pool().maxLock().call().await?).saturating_sub(lock);
            let amount = amount.map(tokens).transpose()?.unwrap_or(claimable.min(room));
            ensure!(!amount.is_zero(), "the lock is {}, the largest there may be: nothing can be relocked", whole(lock));
            let what = format!("MiningRewards.relock({id}, {})", whole(amount));
            (amount, Call::new(what, rewards, &MiningRewards::relockCall { id, amount }))
        }
    };
    let recipient = chain.record(id).await?.recipient;
    let done = perform(operator, chain, vec![call]).await?;
    let place = match to {
        Destination::L1 => format!("to {recipient} on L1"),
        Destination::L2 => format!("to {recipient} on L2, where it arrives with the deposit"),
        Destination::Relock => "into the lock, counting from the next rotation".to_owned(),
    };
    done.print(operator, &format!("claimed {} {place}", whole(amount)), json!({ "id": id, "amount": amount.to_string() }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: u128 = 1_000_000_000_000_000_000;

    fn epoch(members: Vec<Work>) -> Epoch {
        // A year, of which a thousandth is paid: the rest was an outage.
        Epoch { number: 4, committee: 2, start: 1_000, end: 1_000 + YEAR, paid_time: YEAR / 1_000, members }
    }

    fn budget(rule: u8, parameter: u128, left: u128) -> Budget {
        Budget {
            left: U256::from(left),
            taper: U256::from(YEAR),
            rules: vec![RuleChange { from: 0, rule, parameter }, RuleChange { from: 2_000, rule, parameter: 0 }],
        }
    }

    #[tokio::test]
    async fn epochs_before_a_recovery_are_found() {
        const PASSED: u64 = RECOVERY_EPOCHS;
        // (told, running, limit, found)
        let cases: [(&[u64], u64, u64, &[u64]); 6] = [
            (&[0, 1, 2], 3, 2, &[2, 1]),
            (&[0, 1, 2], 3, 9, &[2, 1, 0]),
            (&[0, 1, 3], 4, 9, &[3, 1, 0]),
            // A recovery within epoch 2, one at the end of epoch 2, two after the same block.
            (&[1, 2, 2 + PASSED, 3 + PASSED], 4 + PASSED, 4, &[3 + PASSED, 2 + PASSED, 2, 1]),
            (&[1, 2], 3 + PASSED, 4, &[2, 1]),
            (&[1, 2, 2 + PASSED, 2 + 3 * PASSED], 3 + 3 * PASSED, 4, &[2 + 3 * PASSED, 2 + PASSED, 2, 1]),
        ];
        for (told, running, limit, expected) in cases {
            let found = newest(running, limit, async |number| Ok(told.contains(&number).then_some(number))).await.unwrap();
            assert_eq!(found, expected, "running {running}");
        }
        // The epoch in which the recovery came could not be told.
        let found = newest(3 + PASSED, 6, async |number| Ok([0, 1, 2 + PASSED].contains(&number).then_some(number))).await;
        assert_eq!(found.unwrap(), [2 + PASSED, 1, 0]);
    }

    #[test]
    fn words_unpack_from_the_highest_bits_down() {
        let mut word = B256::ZERO;
        word[7] = 5;
        word[23] = 200;
        word[27] = 3;
        word[31] = 1;
        let work = Work::unpack(word);
        assert_eq!(work, Work { id: 5, weight: 200, led: 3, missed: 1 });
        assert_eq!(work.effective(), U256::from(150));
        assert_eq!(Work { led: 0, missed: 0, ..work }.effective(), U256::from(200), "never drawn: full performance");
        assert_eq!(Work { led: 0, missed: 9, ..work }.effective(), U256::ZERO);
    }

    #[test]
    fn a_share_follows_rule_stake_and_performance() {
        let full = Work { id: 1, weight: 10_000 * ONE, led: 10, missed: 0 };
        let half = Work { id: 2, led: 5, missed: 5, ..full };
        let epoch = epoch(vec![full, half]);
        let target = budget(TARGET_APR, 2_000, 1_000_000_000 * ONE);
        // 20% a year on 20,000 for a thousandth of a year is 4; each has half of the stake.
        assert_eq!(target.share(&epoch, &full), U256::from(2 * ONE));
        assert_eq!(target.share(&epoch, &half), U256::from(ONE), "what half a performer misses stays in the budget");
        assert_eq!(budget(FIXED_PER_BLOCK, ONE, 1_000_000_000 * ONE).share(&epoch, &full), U256::from(15 * ONE / 2));
        assert_eq!(budget(TARGET_APR, 2_000, 1_000 * ONE).share(&epoch, &full), U256::from(ONE / 2), "the taper binds");
        let apr = percent_a_year(target.share(&epoch, &full), U256::from(full.weight) * U256::from(YEAR / 1_000));
        assert!((apr - 20.0).abs() < 1e-3, "{apr}");
    }
}
