//! `oceanid sequencer status`: the record in the pool, tickets, and the node.

use super::{Chain, Operator, connect, output, span, when, whole};
use alloy_primitives::{Address, U256};
use alloy_provider::Provider;
use eyre::{OptionExt, WrapErr};
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
    let claimable = chain.rewards().claimable(id).call().await?;
    let jailable = chain.rewards().jailable(id).call().await?;
    let node = node(operator).await;
    if operator.args.json {
        output::json(&json!({
            "id": id, "status": name(record.status), "since": record.since, "owner": record.owner, "recipient": record.recipient,
            "lock": record.amount.to_string(), "tickets": tickets, "newestCommittee": committee, "seated": seated,
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
    line("committee", format!("{} in committee {committee}, the newest", if seated { "seated" } else { "no seat" }));
    line("rotation", format!("due {}", when(next_rotation, now)));
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
    connect(&url)?.raw_request("seq_status".into(), ()).await.wrap_err_with(|| format!("{url} does not answer"))
}

fn waiting(node: &Value) -> String {
    match node["waiting"].as_array().and_then(|reasons| reasons.first()) {
        Some(first) => format!("waits: {}", first["reason"].as_str().unwrap_or_default()),
        None => "waits for nothing".to_owned(),
    }
}
