//! `oceanid sequencer status`: the record in the pool, tickets, and the node.

use super::{Chain, Operator, connect, output, span, when, whole};
use alloy_primitives::{Address, U256};
use alloy_provider::Provider;
use eyre::{OptionExt, WrapErr};
use oceanid_contracts::endpoint::Endpoint;
use oceanid_contracts::l1::UnbondingTicket;
use serde::Serialize;
use serde_json::{Value, json};

/// Stake on its way out.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ticket {
    /// Number of the ERC-721.
    pub(super) number: u64,
    /// Wei of the token.
    #[serde(serialize_with = "as_text")]
    pub(super) amount: u128,
    /// L1 time, seconds.
    pub(super) claimable_at: u64,
    /// Who is paid.
    pub(super) owner: Address,
}

fn as_text<S: serde::Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// `SequencerPool.Status` as people say it.
pub(super) fn name(status: u8) -> &'static str {
    match status {
        0 => "gone",
        1 => "queued",
        2 => "active",
        3 => "exiting",
        4 => "jailed",
        _ => "unknown",
    }
}

/// Unclaimed tickets of a sequencer, the oldest first.
pub(super) async fn tickets(chain: &Chain, id: u64) -> eyre::Result<Vec<Ticket>> {
    let owners = UnbondingTicket::new(chain.spec.l1.ticket, &chain.l1);
    let mut tickets = Vec::new();
    for number in chain.pool().ticketsOf(id).call().await.wrap_err("L1 does not answer")? {
        let ticket = chain.pool().ticket(U256::from(number)).call().await?;
        let owner = owners.ownerOf(U256::from(number)).call().await?;
        tickets.push(Ticket { number, amount: ticket.amount, claimable_at: ticket.claimableAt, owner });
    }
    tickets.sort_by_key(|ticket| ticket.number);
    Ok(tickets)
}

pub(super) async fn run(operator: &Operator) -> eyre::Result<()> {
    let chain = operator.chain().await?;
    let id = operator.id(&chain).await?;
    let record = chain.record(id).await?;
    let now = chain.now().await?;
    let tickets = tickets(&chain, id).await?;
    let pool = chain.pool();
    let committee = pool.latestCommittee().call().await?;
    let seated = committee != 0 && pool.committee(committee).call().await?.memberIds.contains(&id);
    let next_rotation = pool.lastRotation().call().await? + u64::try_from(pool.ROTATION_INTERVAL().call().await?)?;
    let draft = pool.draft().call().await?;
    let claimable = chain.rewards().claimable(id).call().await?;
    let jailable = chain.rewards().jailable(id).call().await?;
    let queued = if pool.joinsPaused().call().await? { U256::ZERO } else { pool.queueLength().call().await? };
    let leaving = pool.exitQueueLength().call().await?;
    let node = node(operator).await;
    let seats = match &node {
        Ok(_) => seats(operator, id).await,
        Err(_) => Seats::default(),
    };
    if operator.args.json {
        output::json(&json!({
            "id": id, "status": name(record.status), "since": record.since, "owner": record.owner, "recipient": record.recipient,
            "lock": record.amount.to_string(), "tickets": tickets, "newestCommittee": committee, "seated": seated,
            "seats": seats,
            "nextRotation": next_rotation, "claimable": claimable.to_string(), "jailable": jailable, "l1Time": now,
            "node": node.as_ref().ok(),
        }));
        return Ok(());
    }
    let line = |label: &str, value: String| output::line(&format!("{label:<12} {value}"));
    line("sequencer", format!("{id}, {} for {}", name(record.status), span(now.saturating_sub(record.since))));
    line("owner", record.owner.to_string());
    line("recipient", record.recipient.to_string());
    line("lock", whole(record.amount));
    for ticket in &tickets {
        let payee = if ticket.owner == record.owner { String::new() } else { format!(", to {}", ticket.owner) };
        line(
            "ticket",
            format!("{}: {}, claimable {}{payee}", ticket.number, whole(ticket.amount), when(ticket.claimable_at, now)),
        );
    }
    line("committee", place(record.status, seated, committee, draft.sealBlock != 0));
    if seats.now.is_some() {
        line("votes", seats.said(committee, seated));
    }
    line(
        "rotation",
        match draft.sealBlock {
            0 => rotation(next_rotation, now, because(node.as_ref().ok(), queued, leaving)),
            block => format!(
                "committee {} is chosen; after L1 block {block}, which gives its seed, whichever keeper is first calls \
                 SequencerPool.seal()",
                committee + 1
            ),
        },
    );
    line("rewards", format!("{} claimable", whole(claimable)));
    if jailable {
        line("jail", "anybody may jail it: it missed too many of its views in too many epochs".to_owned());
    }
    match node {
        Ok(node) => line("node", format!("block {}, epoch {}, {}", node["head"], node["epoch"], waiting(&node))),
        Err(error) => line("node", format!("not asked: {error}")),
    }
    Ok(())
}

/// `seq_status` of the node.
pub(super) async fn node(operator: &Operator) -> eyre::Result<Value> {
    let url = operator.l2_url().ok_or_eyre("--l2 names no endpoint")?;
    connect(&url)?.raw_request("seq_status".into(), ()).await.wrap_err_with(|| format!("{} does not answer", Endpoint::new(&url)))
}

/// Where a sequencer sits in an epoch.
#[derive(Clone, Copy, Debug, Serialize)]
struct Seat {
    epoch: u64,
    seated: bool,
}

/// Seats in the running epoch and in the next, as far as the node knows them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Seats {
    now: Option<Seat>,
    next: Option<Seat>,
}

/// Asks the node; what it does not answer is not known.
async fn seats(operator: &Operator, id: u64) -> Seats {
    let Some(Ok(node)) = operator.l2_url().map(|url| connect(&url)) else { return Seats::default() };
    let seat = async |epoch: Value| -> Option<Seat> {
        let found: Value = node.raw_request("seq_committee".into(), (epoch,)).await.ok()?;
        let seated = found["committee"]["members"].as_array()?.iter().any(|member| member["id"] == id);
        Some(Seat { epoch: found["epoch"].as_u64()?, seated })
    };
    let now = seat(json!("latest")).await;
    let next = match now {
        Some(now) => seat(json!(now.epoch + 1)).await,
        None => None,
    };
    Seats { now, next }
}

impl Seats {
    /// From when and until when it votes. `newest` is the newest committee on L1, `seated` whether it sits there: that one takes office
    /// in the epoch after the next at the earliest, unless it is in office already.
    fn said(&self, newest: u64, seated: bool) -> String {
        let Some(now) = self.now else { return String::new() };
        let (epoch, later) = (now.epoch, now.epoch + 2);
        match (now.seated, self.next.map_or(now.seated, |next| next.seated)) {
            (true, true) if seated => format!("in epoch {epoch}, which runs, and after"),
            (true, true) => {
                format!("in epochs {epoch} and {}; committee {newest}, without it, follows: keep the node running", epoch + 1)
            }
            (true, false) => {
                let again = if seated {
                    format!("; again in committee {newest}, from epoch {later} on at the earliest")
                } else {
                    String::new()
                };
                format!("until the end of epoch {epoch}, which runs: keep the node running{again}")
            }
            (false, true) => format!("from epoch {} on; epoch {epoch} runs", epoch + 1),
            (false, false) if seated => {
                format!("from epoch {later} on at the earliest, in committee {newest}; epoch {epoch} runs")
            }
            (false, false) => format!("not in epoch {epoch}, which runs, nor in the next"),
        }
    }
}

/// Where it sits on L1, in words that go with its status: `committee` is the newest that is sealed, `chosen` whether another is only chosen.
fn place(status: u8, seated: bool, committee: u64, chosen: bool) -> String {
    match (name(status), seated) {
        ("exiting", true) => format!("seated in committee {committee}, the newest, until a rotation lets it leave"),
        (_, true) => format!("seated in committee {committee}, the newest"),
        ("queued", false) => "no seat yet: it waits for a rotation to take it in".to_owned(),
        ("active", false) if chosen => {
            format!(
                "no seat in committee {committee}, the newest sealed one; committee {} is chosen and not sealed yet",
                committee + 1
            )
        }
        ("active", false) => format!("no seat in committee {committee}, the newest; the next rotation may give it one"),
        ("jailed", false) => "no seat while it is in jail".to_owned(),
        (_, false) => format!("no seat in committee {committee}, the newest, nor in later ones"),
    }
}

/// Why the pool should rotate; none if a rotation would change nothing. `queued` are those that may join.
fn because(node: Option<&Value>, queued: U256, leaving: U256) -> Option<String> {
    if !queued.is_zero() || !leaving.is_zero() {
        return Some(format!("{queued} wait for a seat, {leaving} leave"));
    }
    // The node's keeper has looked at all records; a moment ago, which is why the above comes first.
    node?["settlement"]["keeper"]["rotationBecause"].as_str().map(str::to_owned)
}

/// When the pool rotates, on whose call, and why it does not when it could.
fn rotation(next: u64, now: u64, because: Option<String>) -> String {
    match because {
        _ if next > now => format!("possible {}", when(next, now)),
        Some(reason) => format!("due: {reason}; the keeper of whichever node is first calls SequencerPool.rotate()"),
        None => {
            "possible now, but it would change nothing: keepers call it once somebody waits or leaves, or locks change".to_owned()
        }
    }
}

fn waiting(node: &Value) -> String {
    match node["waiting"].as_array().and_then(|reasons| reasons.first()) {
        Some(first) => format!("waits: {}", first["reason"].as_str().unwrap_or_default()),
        None => "waits for nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(now: bool, next: bool) -> Seats {
        Seats { now: Some(Seat { epoch: 31, seated: now }), next: Some(Seat { epoch: 32, seated: next }) }
    }

    #[test]
    fn a_seat_is_told_with_its_epochs() {
        assert_eq!(seats(true, true).said(3, true), "in epoch 31, which runs, and after");
        assert_eq!(seats(false, true).said(3, true), "from epoch 32 on; epoch 31 runs");
        assert_eq!(seats(false, false).said(3, true), "from epoch 33 on at the earliest, in committee 3; epoch 31 runs");
        // One that has left on L1 sits on.
        assert_eq!(
            seats(true, true).said(4, false),
            "in epochs 31 and 32; committee 4, without it, follows: keep the node running"
        );
        assert_eq!(seats(true, false).said(4, false), "until the end of epoch 31, which runs: keep the node running");
        assert_eq!(seats(false, false).said(4, false), "not in epoch 31, which runs, nor in the next");
    }

    /// Between a rotation and its seal a newcomer is active, and the newest committee is still the one without it.
    #[test]
    fn a_place_goes_with_the_status() {
        assert_eq!(place(2, true, 3, false), "seated in committee 3, the newest");
        assert_eq!(
            place(2, false, 3, true),
            "no seat in committee 3, the newest sealed one; committee 4 is chosen and not sealed yet"
        );
        assert!(place(1, false, 3, false).contains("waits for a rotation"));
        assert!(place(3, true, 3, false).ends_with("until a rotation lets it leave"));
        assert!(place(4, false, 3, true).contains("jail"));
    }

    #[test]
    fn a_rotation_that_is_not_called_says_why() {
        assert_eq!(rotation(70, 10, None), "possible in 60 s (L1 time 70)");
        assert!(rotation(10, 10, None).contains("would change nothing"));
        let waiting = because(None, U256::from(1), U256::ZERO);
        assert!(rotation(10, 10, waiting).starts_with("due: 1 wait for a seat, 0 leave; "));
        let keeper = json!({ "settlement": { "keeper": { "rotationBecause": "locks have changed" } } });
        assert_eq!(because(Some(&keeper), U256::ZERO, U256::ZERO).as_deref(), Some("locks have changed"));
        assert_eq!(because(Some(&json!({ "settlement": { "keeper": null } })), U256::ZERO, U256::ZERO), None);
    }
}
