//! The keeper's loop: settle what was sent, look, list what is due, send the first whose turn has come.

use super::chain::withdrawal_hash;
use super::duties::{self, Creditable, Due, Task};
use super::evidence::{EvidenceSource, Outlook};
use super::look::{Look, LookError, PoolRules, Survey, final_output};
use super::{Action, KeeperConfig, KeeperStatus, KeptChain};
use crate::account::{Call, Fate, Ticket};
use crate::chain::extension;
use crate::{L1Client, L1Error, revert};
use oceanid_contracts::l1::{Portal, SequencerPool};
use oceanid_primitives::ChainSpec;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tracing::{debug, info, warn};

/// Longest pause after failures.
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// A task that L1 refuses is tried again after this long.
const RETRY: Duration = Duration::from_secs(60);
/// After a start, withdrawals of fees are looked at from the newest back, until so many in a row were finalised.
const FINALISED_RUN: u64 = 32;
/// Most withdrawals of fees dealt with at a time, pieces of evidence due in one round, and pieces asked about.
const MAX_OPEN_FEES: usize = 64;
const MAX_CASES: usize = 8;
const MAX_ASKED: usize = 64;

pub(super) struct Actor {
    client: L1Client,
    spec: Arc<ChainSpec>,
    chain: Arc<dyn KeptChain>,
    source: Arc<dyn EvidenceSource>,
    config: KeeperConfig,
    status: watch::Sender<KeeperStatus>,
    rules: Option<PoolRules>,
    /// The last survey, when it was made, and the newest committee and credited epoch then.
    survey: Option<(Survey, Instant, (u64, u64))>,
    /// Withdrawals of fees that are not finalised, and up to where they were looked at.
    open_fees: BTreeSet<u64>,
    fees_seen: Option<u64>,
    sent: Option<(Ticket, Task)>,
    /// Since when each task is due.
    since: HashMap<Task, Instant>,
    /// When L1 refused a task.
    declined: HashMap<Task, Instant>,
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
            rules: None,
            survey: None,
            open_fees: BTreeSet::new(),
            fees_seen: None,
            sent: None,
            since: HashMap::new(),
            declined: HashMap::new(),
            told: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut failures = 0u32;
        loop {
            let pause = match self.round().await {
                Ok(()) => {
                    failures = 0;
                    let told = self.told.take();
                    self.status.send_modify(|status| status.last_error = told);
                    self.config.poll
                }
                Err(error) => {
                    failures += 1;
                    warn!(%error, failures, "the keeper's round failed");
                    self.status.send_modify(|status| status.last_error = Some(error.to_string()));
                    (self.config.poll * 2u32.saturating_pow(failures.min(6))).min(MAX_BACKOFF)
                }
            };
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
        if duties.evidence {
            due.extend(self.evidence(look).await);
        }
        if duties.rotate || duties.jail || duties.exits {
            let found = self.pool(look).await;
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

    /// What was found; a failure is told, and nothing was. What one duty cannot do keeps no other from being done.
    fn or_told<T: Default>(&mut self, duty: &str, found: Result<T, LookError>) -> T {
        found.unwrap_or_else(|error| {
            warn!(duty, %error, "the keeper cannot see what is due");
            self.told = Some(format!("{duty}: {error}"));
            T::default()
        })
    }

    async fn evidence(&mut self, look: &Look) -> Vec<Due> {
        // It may read a file.
        let source = self.source.clone();
        let pending = tokio::task::spawn_blocking(move || source.pending()).await.unwrap_or_default();
        self.status.send_modify(|status| status.pending_evidence = pending.len());
        let mut due = Vec::new();
        let mut asked = 0;
        let mut cases = Vec::new();
        for (number, evidence) in pending {
            // One penalty an epoch: the second proof against the same members waits for the fate of the first.
            let case = (evidence.epoch(), evidence.guilty());
            if due.len() >= MAX_CASES || asked >= MAX_ASKED || cases.contains(&case) {
                continue;
            }
            asked += 1;
            match evidence.outlook(&self.client, &self.spec, &*self.chain, look.now).await {
                Ok(Outlook::Over) => self.source.acknowledge(number),
                Ok(Outlook::Early) => {}
                Ok(Outlook::Due(input)) => {
                    due.push(Due { task: Task::Evidence(number), to: self.spec.l1.slasher, input });
                    cases.push(case);
                }
                Err(error) => self.or_told("evidence", Err(error.into())),
            }
        }
        due
    }

    async fn pool(&mut self, look: &Look) -> Result<Vec<Due>, LookError> {
        let pool = self.spec.l1.pool;
        let rules = match self.rules {
            Some(rules) => rules,
            None => *self.rules.insert(PoolRules::read(&self.client, pool).await?),
        };
        let stand = (look.latest_committee, look.next_epoch);
        let fresh = self.survey.as_ref().is_some_and(|(_, at, of)| at.elapsed() < self.config.survey && *of == stand);
        if !fresh {
            let survey = Survey::take(&self.client, &self.spec, look.latest_committee).await?;
            self.survey = Some((survey, Instant::now(), stand));
        }
        let Some((survey, ..)) = &self.survey else { return Ok(Vec::new()) };
        let mut due = duties::members(survey, &rules, look, &self.config, pool);
        // Not known to Layer 2 before the deposit has arrived there.
        let committee = self.chain.committee(look.latest_committee).ok();
        let because = duties::rotation_because(survey, &rules, committee.as_deref());
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
                if run == FINALISED_RUN {
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
        self.declined.retain(|_, at| at.elapsed() < RETRY);
        let head = self.chain.block(self.chain.head())?;
        let committee = self.chain.committee(extension(&head)?.committee_id)?;
        let position = self.config.identity.as_ref().and_then(|identity| committee.index_of(identity));
        for Due { task, to, input } in due {
            let waited = self.since.entry(task).or_insert_with(Instant::now).elapsed();
            let place = task.place(position, committee.members.len());
            if waited < self.config.stagger * place || self.declined.contains_key(&task) {
                continue;
            }
            match self.config.account.send(Call { to, input, sidecar: None }).await {
                Ok(Some(ticket)) => {
                    info!(%task, place, "sent to L1");
                    self.sent = Some((ticket, task));
                    self.status.send_modify(|status| status.in_flight = Some(task.to_string()));
                    return Ok(());
                }
                Ok(None) => {
                    debug!(%task, "the account has another transaction in flight");
                    return Ok(());
                }
                // Most often another node was first, and the next look shows it.
                Err(L1Error::Reverted { data, .. }) => {
                    let reason = revert::describe(&data);
                    debug!(%task, reason, "L1 refuses");
                    self.declined.insert(task, Instant::now());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn publish(&self, look: &Look, due: &[Due]) {
        self.status.send_modify(|status| {
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
