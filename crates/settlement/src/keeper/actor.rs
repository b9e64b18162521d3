//! The keeper's loop: settle what was sent, look, list what is due, send the first whose turn has come.

use super::chain::withdrawal_hash;
use super::duties::{self, Creditable, Due, Sealing, Standstill, Task};
use super::evidence::{Evidence, EvidenceSource, Outlook};
use super::look::{Look, LookError, PoolRules, Survey, deep_block, final_output};
use super::{Action, KeeperConfig, KeeperStatus, KeptChain};
use crate::account::{Call, Fate, Ticket};
use crate::chain::extension;
use crate::{L1Client, L1Error, Telling, spawn_blocking};
use alloy_rpc_types_eth::BlockId;
use oceanid_contracts::l1::{Portal, SequencerPool};
use oceanid_primitives::ChainSpec;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tracing::{debug, info, warn};

/// Longest pause after failures.
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// A task that L1 refuses, or that was sent and is due still, is tried again after this long; each time it was sent, twice as long.
const RETRY: Duration = Duration::from_secs(60);
/// Longest such pause: a day.
const MAX_PAUSE: Duration = Duration::from_secs(86_400);
/// Most transactions an hour, whatever L1 says is due: one every 15 s.
pub const MAX_AN_HOUR: usize = 240;
const HOUR: Duration = Duration::from_secs(3_600);
/// After a start, withdrawals of fees are looked at from the newest back, until so many in a row were finalised.
const FINALISED_RUN: u64 = 32;
/// Most of them that are taken on then.
const MAX_FOUND_FEES: usize = 1_024;
/// Most withdrawals of fees dealt with at a time, pieces of evidence due in one round, and pieces asked about.
const MAX_OPEN_FEES: usize = 64;
const MAX_CASES: usize = 8;
const MAX_ASKED: usize = 64;

/// Why a task waits.
struct Pause {
    until: Instant,
    /// How often it was sent.
    sent: u32,
    /// Why L1 did not take it when it was last tried; none: it did.
    refusal: Option<L1Error>,
}

impl Pause {
    /// What the status says of it. A contract's refusal is not worth a word: most often another node was first, and the next look shows it.
    fn complaint(&self, task: Task) -> Option<String> {
        self.refusal.as_ref().filter(|error| !matches!(error, L1Error::Reverted { .. })).map(|error| format!("{task}: {error}"))
    }
}

pub(super) struct Actor {
    client: L1Client,
    spec: Arc<ChainSpec>,
    chain: Arc<dyn KeptChain>,
    source: Arc<dyn EvidenceSource>,
    config: KeeperConfig,
    status: watch::Sender<KeeperStatus>,
    /// The last survey with the pool's rules, when it was made, and the newest committee and credited epoch then.
    survey: Option<(Survey, PoolRules, Instant, (u64, u64))>,
    /// Withdrawals of fees that are not finalised, and up to where they were looked at.
    open_fees: BTreeSet<u64>,
    fees_seen: Option<u64>,
    sent: Option<(Ticket, Task)>,
    /// This node's head and since when it is that.
    head: (u64, Instant),
    /// Since when each task is due.
    since: HashMap<Task, Instant>,
    /// Tasks that are not tried now.
    paused: HashMap<Task, Pause>,
    /// When the transactions of the last hour were sent.
    spent: VecDeque<Instant>,
    /// What kept a duty from being seen to in this round.
    told: Option<String>,
}

impl Actor {
    pub(super) fn new(
        client: L1Client,
        spec: Arc<ChainSpec>,
        chain: Arc<dyn KeptChain>,
        source: Arc<dyn EvidenceSource>,
        config: KeeperConfig,
        status: watch::Sender<KeeperStatus>,
    ) -> Self {
        Self {
            client,
            spec,
            chain,
            source,
            config,
            status,
            survey: None,
            open_fees: BTreeSet::new(),
            fees_seen: None,
            sent: None,
            head: (0, Instant::now()),
            since: HashMap::new(),
            paused: HashMap::new(),
            spent: VecDeque::new(),
            told: None,
        }
    }

    pub(super) async fn run(mut self) {
        let (mut failures, mut trouble) = (0u32, Telling::default());
        loop {
            let (told, pause) = match self.round().await {
                Ok(()) => {
                    failures = 0;
                    (self.told.take(), self.config.poll)
                }
                Err(error) => {
                    failures += 1;
                    (Some(error.to_string()), (self.config.poll * 2u32.saturating_pow(failures.min(6))).min(MAX_BACKOFF))
                }
            };
            let now = Instant::now();
            match &told {
                Some(error) => match trouble.lasts(now) {
                    Some(lasted) => warn!(error, seconds = lasted.as_secs(), "the keeper cannot do its work"),
                    None => debug!(error, failures, "the keeper cannot do its work"),
                },
                None => {
                    if let Some(lasted) = trouble.passed(now) {
                        warn!(seconds = lasted.as_secs(), "the keeper is at work again");
                    }
                }
            }
            self.status.send_modify(|status| status.last_error = told);
            tokio::time::sleep(pause).await;
        }
    }

    async fn round(&mut self) -> Result<(), LookError> {
        if !self.follow().await? {
            return Ok(());
        }
        let output = final_output(&self.client, &self.spec, &*self.chain).await;
        let output = self.or_told("output", output);
        let look = Look::take(&self.client, &self.spec, self.config.account.address(), output).await?;
        let due = self.due(&look).await;
        self.publish(&look, &due);
        self.act(due).await
    }

    /// Looks after the transaction in flight; true if there is none.
    async fn follow(&mut self) -> Result<bool, LookError> {
        let Some((ticket, task)) = self.sent else { return Ok(true) };
        let fate = self.config.account.follow(ticket).await?;
        if fate == Fate::Open {
            return Ok(false);
        }
        self.sent = None;
        // What was seen of the pool may be different now.
        self.survey = None;
        match fate {
            Fate::Open => {}
            Fate::Done => info!(%task, "done on L1"),
            Fate::Refused => info!(%task, "another node was first"),
            Fate::Displaced => {
                warn!(%task, "another transaction of this account took the nonce: does a second node use the key?");
            }
        }
        self.status.send_modify(|status| {
            status.in_flight = None;
            match fate {
                Fate::Done => {
                    status.done += 1;
                    status.last_action = Some(Action { what: task.to_string(), at: now() });
                }
                Fate::Refused => status.refused += 1,
                Fate::Open | Fate::Displaced => {}
            }
        });
        Ok(true)
    }

    /// Everything that could be done now, most urgent first.
    async fn due(&mut self, look: &Look) -> Vec<Due> {
        let duties = self.config.duties;
        let mut due = Vec::new();
        let standstill = self.standstill(look);
        if duties.recover {
            due.extend(duties::recovery(look, standstill, self.spec.l1.rollup));
        }
        if duties.evidence {
            due.extend(self.evidence(look).await);
        }
        if duties.rotate {
            let found = self.sealing(look).await;
            due.extend(self.or_told("seal", found));
        }
        if duties.rotate || duties.jail || duties.exits {
            let found = self.pool(look, standstill).await;
            due.extend(self.or_told("pool", found));
        }
        let mut creditable = 0;
        if let Some(output) = &look.output
            && duties.credit
        {
            let found = Creditable::find(look, output, &*self.chain, self.spec.l1.rewards).map(Some).map_err(LookError::from);
            if let Some(found) = self.or_told("credit", found) {
                creditable = found.epochs;
                due.extend(found.due(look, output, &self.config, self.spec.l1.rewards));
            }
        }
        self.status.send_modify(|status| status.creditable_epochs = creditable);
        if duties.fees {
            let found = self.fees(look).await;
            due.extend(self.or_told("fees", found));
            due.extend(duties::splitter(look, self.config.account.address(), self.spec.l1.fee_splitter));
        }
        due.sort_by_key(|due| due.task);
        due
    }

    fn standstill(&mut self, look: &Look) -> Standstill {
        let head = self.chain.head();
        if head != self.head.0 {
            self.head = (head, Instant::now());
        }
        let timeout = self.spec.timing.stall_timeout;
        let dead = self.head.1.elapsed() >= Duration::from_secs(timeout);
        Standstill { timeout, dead, reluctant: self.config.identity.is_none() || head > look.posted }
    }

    /// What was found; a failure is kept for the end of the round, and nothing was. What one duty cannot do keeps no other from being done.
    fn or_told<T: Default>(&mut self, duty: &str, found: Result<T, LookError>) -> T {
        found.unwrap_or_else(|error| {
            self.told = Some(format!("{duty}: {error}"));
            T::default()
        })
    }

    async fn evidence(&mut self, look: &Look) -> Vec<Due> {
        // It may read a file.
        let source = self.source.clone();
        let pending = spawn_blocking(move || source.pending()).await.unwrap_or_default();
        self.status.send_modify(|status| status.pending_evidence = pending.len());
        let mut due = Vec::new();
        let mut asked = 0;
        let mut cases = Vec::new();
        let mut over = Vec::new();
        for (number, evidence) in pending {
            // One penalty an epoch: the second proof against the same members waits for the fate of the first.
            let case = (evidence.epoch(), evidence.guilty());
            if cases.len() >= MAX_CASES || asked >= MAX_ASKED || cases.contains(&case) {
                continue;
            }
            asked += 1;
            let latest = (BlockId::latest(), look.now);
            match evidence.outlook(&self.client, &self.spec, &*self.chain, latest).await {
                Ok(Outlook::Over) => over.push((number, evidence)),
                Ok(Outlook::Early) => {}
                Ok(Outlook::Due(input)) => {
                    let task = Task::Evidence { turn: evidence.turn(), number };
                    // One that L1 does not take stands in the way of no other, not even of one in the same case.
                    if self.paused.get(&task).is_none_or(|pause| pause.refusal.is_none()) {
                        cases.push(case);
                    }
                    due.push(Due { task, to: self.spec.l1.slasher, input });
                }
                Err(error) => self.or_told("evidence", Err(error.into())),
            }
        }
        if !over.is_empty() {
            let settled = self.acknowledge(over).await;
            self.or_told("evidence", settled);
        }
        due
    }

    /// Acknowledges what is over in a block of L1 that no reorganisation takes back: until then the penalty may be taken back with its block.
    async fn acknowledge(&self, over: Vec<(usize, Evidence)>) -> Result<(), LookError> {
        let Some(deep) = deep_block(&self.client, &self.spec).await? else { return Ok(()) };
        for (number, evidence) in over {
            if let Outlook::Over = evidence.outlook(&self.client, &self.spec, &*self.chain, deep).await? {
                self.source.acknowledge(number);
            }
        }
        Ok(())
    }

    /// What there is to do about a committee that is chosen and not sealed.
    async fn sealing(&self, look: &Look) -> Result<Option<Due>, LookError> {
        let (pool, id) = (self.spec.l1.pool, look.latest_committee + 1);
        let Some(draft) = look.draft else { return Ok(None) };
        Ok(match duties::sealing(&draft, look.height) {
            Sealing::Wait => None,
            Sealing::Seal => Some(Due::new(Task::Seal(id), pool, draft.seal(&self.client, pool, id).await?)),
            Sealing::Postpone => Some(Due::new(Task::Rotate(look.latest_committee), pool, SequencerPool::rotateCall {})),
        })
    }

    async fn pool(&mut self, look: &Look, standstill: Standstill) -> Result<Vec<Due>, LookError> {
        let pool = self.spec.l1.pool;
        let stand = (look.latest_committee, look.next_epoch);
        let fresh = self.survey.as_ref().is_some_and(|(.., at, of)| at.elapsed() < self.config.survey && *of == stand);
        if !fresh {
            let survey = Survey::take(&self.client, &self.spec, look.latest_committee).await?;
            let rules = PoolRules::read(&self.client, pool).await?;
            self.survey = Some((survey, rules, Instant::now(), stand));
        }
        let Some((survey, rules, ..)) = &self.survey else { return Ok(Vec::new()) };
        let mut due = duties::members(survey, rules, look, &self.config, pool);
        // Not known to Layer 2 before the deposit has arrived there.
        let committee = self.chain.committee(look.latest_committee).ok();
        let wants = self.config.duties.recover && duties::wants_a_committee(look, standstill);
        let because = match look.draft {
            None => duties::rotation_because(survey, rules, committee.as_deref(), wants),
            Some(_) => None,
        };
        let next_rotation = look.last_rotation.saturating_add(rules.rotation_interval);
        self.status.send_modify(|status| {
            status.next_rotation = next_rotation;
            status.rotation_because = because.map(str::to_owned);
        });
        if self.config.duties.rotate && because.is_some() && look.now >= next_rotation {
            due.push(Due::new(Task::Rotate(look.latest_committee), pool, SequencerPool::rotateCall {}));
        }
        Ok(due)
    }

    async fn fees(&mut self, look: &Look) -> Result<Vec<Due>, LookError> {
        self.find_open_fees().await?;
        let (portal, splitter) = (self.spec.l1.portal, self.spec.l1.fee_splitter);
        let mut due = Vec::new();
        for index in self.open_fees.iter().copied().take(MAX_OPEN_FEES).collect::<Vec<_>>() {
            let withdrawal = duties::fee_withdrawal(&*self.chain, index, splitter)?;
            let hash = withdrawal_hash(&withdrawal);
            if self.client.view(portal, Portal::finalizedWithdrawalsCall { withdrawalHash: hash }).await? {
                self.open_fees.remove(&index);
                continue;
            }
            let Some(output) = &look.output else { break };
            let proven = self.client.view(portal, Portal::provenWithdrawalsCall { withdrawalHash: hash }).await?;
            if proven.timestamp != 0 {
                // It was proven in an output that may not be final yet: then L1 says so.
                due.push(Due::new(Task::PayFees(index), portal, Portal::finalizeWithdrawalTransactionCall { withdrawal }));
                continue;
            }
            // What comes later is in no earlier output.
            let Some(withdrawal_proof) = output.prove(&*self.chain, hash)? else { break };
            let call = Portal::proveWithdrawalTransactionCall {
                withdrawal,
                l2OutputIndex: output.index,
                outputRootProof: output.portal_proof(),
                withdrawalProof: withdrawal_proof,
            };
            due.push(Due::new(Task::ProveFees(index), portal, call));
        }
        Ok(due)
    }

    /// Adds withdrawals that were not looked at yet; after a start, those that earlier lives and other nodes left.
    async fn find_open_fees(&mut self) -> Result<(), LookError> {
        let count = self.chain.fee_flushes()?;
        if let Some(seen) = self.fees_seen {
            self.open_fees.extend(seen..count);
        } else {
            let mut run = 0;
            for index in (0..count).rev() {
                let withdrawal = duties::fee_withdrawal(&*self.chain, index, self.spec.l1.fee_splitter)?;
                let call = Portal::finalizedWithdrawalsCall { withdrawalHash: withdrawal_hash(&withdrawal) };
                if self.client.view(self.spec.l1.portal, call).await? {
                    run += 1;
                } else {
                    run = 0;
                    self.open_fees.insert(index);
                }
                if run == FINALISED_RUN || self.open_fees.len() >= MAX_FOUND_FEES {
                    break;
                }
            }
        }
        self.fees_seen = Some(count);
        Ok(())
    }

    /// Sends the first task whose turn has come.
    async fn act(&mut self, due: Vec<Due>) -> Result<(), LookError> {
        self.since.retain(|task, _| due.iter().any(|due| due.task == *task));
        // What is gone was done, or is no more to be done.
        self.paused.retain(|task, _| due.iter().any(|due| due.task == *task));
        while self.spent.front().is_some_and(|sent| sent.elapsed() >= HOUR) {
            self.spent.pop_front();
        }
        let head = self.chain.block(self.chain.head())?;
        let committee = self.chain.committee(extension(&head)?.committee_id)?;
        let position = self.config.identity.as_ref().and_then(|identity| committee.index_of(identity));
        for Due { task, to, input } in due {
            let waited = self.since.entry(task).or_insert_with(Instant::now).elapsed();
            let place = task.place(position, committee.members.len());
            let now = Instant::now();
            if let Some(pause) = self.paused.get(&task).filter(|pause| pause.until > now) {
                self.told = self.told.take().or_else(|| pause.complaint(task));
                continue;
            }
            if waited < self.config.stagger * place {
                continue;
            }
            if self.spent.len() >= MAX_AN_HOUR {
                self.told = Some(format!(
                    "{MAX_AN_HOUR} transactions were sent in an hour: waiting; does the L1 endpoint tell the truth?"
                ));
                return Ok(());
            }
            let sent = self.config.account.send(Call { to, input, sidecar: None }).await;
            let pause = self.paused.entry(task).or_insert(Pause { until: now, sent: 0, refusal: None });
            match sent {
                Ok(Some(ticket)) => {
                    info!(%task, place, "sent to L1");
                    self.spent.push_back(now);
                    pause.until = now + RETRY.saturating_mul(2u32.saturating_pow(pause.sent)).min(MAX_PAUSE);
                    (pause.sent, pause.refusal) = (pause.sent + 1, None);
                    self.sent = Some((ticket, task));
                    self.status.send_modify(|status| status.in_flight = Some(task.to_string()));
                    return Ok(());
                }
                Ok(None) => {
                    debug!(%task, "the account has another transaction in flight");
                    return Ok(());
                }
                // A task that cannot be sent must not keep the others from being done.
                Err(error) => {
                    let silent = matches!(error, L1Error::Rpc { .. });
                    (pause.until, pause.refusal) = (now + RETRY, Some(error.clone()));
                    match pause.complaint(task) {
                        Some(complaint) => {
                            warn!(%task, %error, "the keeper cannot send a task");
                            self.told = Some(complaint);
                        }
                        None => debug!(%task, %error, "L1 refuses"),
                    }
                    if silent {
                        // Nor would the others be answered; if the call itself is what cannot be answered, they are next.
                        return Err(error.into());
                    }
                }
            }
        }
        Ok(())
    }

    fn publish(&self, look: &Look, due: &[Due]) {
        self.status.send_modify(|status| {
            (status.stalled_at, status.stalled) = (look.stalled_at, look.now >= look.stalled_at);
            status.due = due.iter().map(|due| due.task.to_string()).collect();
            status.next_epoch = look.next_epoch;
            status.budget = look.budget;
            // The contract says 2^256 - 1 where nothing is being spent.
            status.runway = u64::try_from(look.runway).ok();
        });
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
