//! `/`: the committee, its work and rewards, finality, batches and blocks.

use super::{Visit, extension, header};
use crate::layout::{badge, batch_link, block_link, epoch_link, facts, num, plain, section, sequencer_link, table, text};
use crate::stats::{Power, concentration, total_stake};
use crate::{Batch, Economy, Epoch, Rule, SourceError, format};
use alloy_primitives::U256;
use maud::{Markup, html};
use oceanid_stf::{Work, missed_views};

/// Newest blocks listed.
const BLOCKS: u64 = 12;
/// Newest batches listed.
const BATCHES: usize = 6;
/// Newest credited epochs listed.
const CREDITED: usize = 5;
/// Views ahead whose leaders are named.
const VIEWS_AHEAD: u64 = 8;

pub(super) fn body(visit: &Visit<'_>, live: bool) -> Result<Markup, SourceError> {
    let source = visit.source;
    let head = header(visit, source.head())?;
    let at = extension(&head)?;
    let epoch = source.epoch(at.epoch)?.ok_or_else(|| SourceError(format!("epoch {} has no committee", at.epoch)))?;
    // After an epoch's last block the views of the next one begin at 1.
    let (next, next_view) =
        if head.number < epoch.last { (Some(epoch.clone()), at.view + 1) } else { (source.epoch(epoch.after)?, 1) };
    let economy = source.economy();
    Ok(html! {
        h1 { "Sequencers" }
        (waiting(visit))
        (tiles(visit, &epoch, next.as_ref().map(|next| (next, next_view)), head.timestamp))
        (section("Committee", &committee(&epoch, &economy)))
        div.pair {
            (section("Finality", &finality(visit)?))
            (section("Leaders of the next views", &leaders(next.as_ref(), next_view)))
        }
        div.pair {
            (section("Rewards", &rewards(visit, &economy)))
            (section("Decentralisation", &decentralisation(&epoch, &economy)))
        }
        (section("Recent batches", &batches(visit)?))
        (section("Recent blocks", &blocks(visit)?))
        (about(visit, live))
    })
}

fn waiting(visit: &Visit<'_>) -> Markup {
    let node = visit.source.node();
    html! {
        @for (reason, remedy, seconds) in &node.waiting {
            p.notice.warn role="status" {
                "Waiting for " (format::duration(*seconds)) ": " (format::foreign_up_to(reason, 300))
                br; (format::foreign_up_to(remedy, 300))
            }
        }
    }
}

fn tiles(visit: &Visit<'_>, epoch: &Epoch, next: Option<(&Epoch, u64)>, head_time: u64) -> Markup {
    let head = visit.source.head();
    let length = epoch.last - epoch.first + 1;
    let done = (head + 1).saturating_sub(epoch.first).min(length);
    let sum = |count: fn(&Work) -> u32| -> Option<u64> {
        epoch.work.as_ref().map(|work| work.iter().map(|work| u64::from(count(work))).sum())
    };
    html! {
        dl.tiles {
            div { dt { "Block" } dd { (block_link(head)) small { (format::ago(head_time, visit.now)) } } }
            div {
                dt { "Epoch" }
                dd {
                    (epoch_link(epoch.number))
                    small { (format::count(done)) " of " (format::count(length)) " blocks" }
                    progress max=(length) value=(done) aria-label="Blocks of this epoch" {}
                }
            }
            div {
                dt { "Leader of the next view" }
                dd {
                    @if let Some((epoch, view)) = next {
                        (sequencer_link(leader(epoch, view))) small { "view " (format::count(view)) }
                    } @else { "?" }
                }
            }
            div {
                dt { "Missed in this epoch" }
                dd {
                    @match (sum(|work| work.missed), sum(|work| work.led)) {
                        (Some(missed), Some(led)) => {
                            (format::count(missed)) " slots"
                            small { "of " (format::count(missed + led)) " drawn" }
                        }
                        _ => { "?" small { "no count is kept" } }
                    }
                }
            }
            div { dt { "Committee" } dd { (epoch.committee.members.len()) " members" small { "number " (epoch.committee.id) ", quorum " (epoch.committee.quorum()) } } }
        }
    }
}

/// Id of the member drawn for a view.
fn leader(epoch: &Epoch, view: u64) -> u64 {
    epoch.committee.members[epoch.committee.leader(epoch.number, view) as usize].id
}

fn committee(epoch: &Epoch, economy: &Economy) -> Markup {
    let total = f64::from(total_stake(&epoch.committee));
    let rows = html! {
        @for (index, member) in epoch.committee.members.iter().enumerate() {
            @let known = economy.sequencer(member.id);
            @let part = format::share(member.weight as f64, total);
            @let work = epoch.work.as_ref().and_then(|work| work.get(index));
            tr {
                th scope="row" { (sequencer_link(member.id)) }
                td { @match known { Some(known) => (status(known.status)), None => "" } }
                td.num { (format::amount(U256::from(member.weight))) }
                td.num { (format::percent(part)) " " meter min="0" max="1" value=(format!("{part:.3}")) aria-label="share" {} }
                @match work {
                    Some(work) => {
                        td.num { (work.led) }
                        td.num { @if work.missed > 0 { (badge("warn", &work.missed.to_string())) } @else { "0" } }
                        td.num { (format::performance(*work)) }
                    }
                    None => { td.num { "?" } td.num { "?" } td.num { "?" } }
                }
                td.num { @match known { Some(known) => (format::amount(known.claimable)), None => "?" } }
                td.num { @match known.and_then(|known| known.apr) { Some(apr) => (format::percent(apr)), None => "?" } }
            }
        }
    };
    let columns = [
        text("Sequencer"),
        text("State"),
        num("Stake"),
        num("Share"),
        num("Led"),
        num("Missed"),
        num("Performance"),
        num("Claimable"),
        num("APR"),
    ];
    html! {
        (table("Members of the committee, their work in this epoch and their rewards", &columns, &rows))
        p { small { "Stake and rewards in " (token(economy)) ". Led and missed slots are of this epoch; APR is what the last credited epochs paid, a year." } }
    }
}

pub(super) fn status(status: &'static str) -> Markup {
    let kind = match status {
        "active" => "good",
        "jailed" | "gone" => "bad",
        "exiting" => "warn",
        _ => "plain",
    };
    badge(kind, status)
}

/// The token's symbol, tamed.
pub(super) fn token(economy: &Economy) -> String {
    const MAX: usize = 16;
    if economy.symbol.is_empty() { "tokens".to_owned() } else { format::foreign_up_to(&economy.symbol, MAX) }
}

fn leaders(epoch: Option<&Epoch>, view: u64) -> Markup {
    html! {
        @if let Some(epoch) = epoch {
            ol.views {
                @for view in view..view.saturating_add(VIEWS_AHEAD) {
                    li { small { (format::count(view)) } " " (sequencer_link(leader(epoch, view))) }
                }
            }
            p { small { "Drawn by stake from the seed of epoch " (format::count(epoch.number)) ". A leader that is silent is skipped." } }
        } @else {
            p { "The next epoch's committee is not known yet." }
        }
    }
}

fn finality(visit: &Visit<'_>) -> Result<Markup, SourceError> {
    let (head, marks) = (visit.source.head(), visit.source.marks());
    let tags = [
        ("latest", head, "finalised by the committee"),
        ("safe", marks.safe, "its batch is on L1"),
        ("finalized", marks.finalized, "its output is final on L1"),
    ];
    let mut rows = Vec::new();
    for (tag, number, meaning) in tags {
        rows.push((tag, number, meaning, header(visit, number)?.timestamp));
    }
    let rows = html! {
        @for (tag, number, meaning, time) in rows {
            tr {
                th scope="row" { (tag) br; small { (meaning) } }
                td.num { (block_link(number)) }
                td.num { @if number == head { "–" } @else { (format::count(head - number)) " blocks" } }
                td.num { (format::ago(time, visit.now)) }
            }
        }
    };
    Ok(table("How far the chain is final", &[text("Tag"), num("Block"), num("Behind"), num("Made")], &rows))
}

fn rewards(visit: &Visit<'_>, economy: &Economy) -> Markup {
    let Some(read_at) = economy.read_at else {
        return html! { p { "Not read from L1 yet." } };
    };
    let amount = |wei: U256| Some(html! { (format::amount(wei)) " " (token(economy)) });
    let runway = match economy.runway {
        Some(seconds) => format::duration(seconds),
        None => "nothing is being spent".to_owned(),
    };
    let credited = html! {
        @for epoch in economy.epochs.iter().take(CREDITED) {
            tr {
                th scope="row" { (epoch_link(epoch.epoch)) }
                td.num { (format::amount(epoch.emission)) }
                td.num { (format::amount(epoch.paid)) }
                td.num { (format::amount(epoch.fees)) }
            }
        }
    };
    html! {
        (facts(&[
            ("Rule", rule(economy)),
            ("Budget left", amount(economy.budget)),
            ("Runway at this rate", plain(runway)),
            ("Credited so far", amount(economy.credited)),
            ("Locked in the pool", amount(economy.locked)),
            ("Leaving, in tickets", amount(economy.tickets)),
            ("Waiting for a seat, to leave", plain(format!("{}, {}", format::count(economy.queue), format::count(economy.exits)))),
        ]))
        @if !economy.epochs.is_empty() {
            (table("Epochs credited last", &[text("Epoch"), num("Emission"), num("Paid"), num("Fees")], &credited))
        }
        p { small { "Read from L1 " (format::ago(read_at, visit.now)) "." } }
    }
}

/// The rule of emission in words.
fn rule(economy: &Economy) -> Option<Markup> {
    plain(match economy.rule {
        Rule::Unknown => return None,
        Rule::TargetApr(bps) => format!("{} of the stake a year", format::percent(bps as f64 / 10_000.0)),
        Rule::FixedPerBlock(wei) => format!("{} {} a block", format::amount(U256::from(wei)), token(economy)),
        Rule::Curve(k) => format!("{} × √stake a year", format::amount(U256::from(k))),
    })
}

fn decentralisation(epoch: &Epoch, economy: &Economy) -> Markup {
    let found = concentration(&epoch.committee);
    let row = |what: &str, power: &Power, cost: U256| {
        html! {
            tr {
                th scope="row" { (what) }
                td.num { (power.heads) }
                td.num { (format::amount(power.stake)) }
                td.num { (power.by_stake) }
                td.num { @if economy.read_at.is_some() { (format::amount(cost)) } @else { "?" } }
            }
        }
    };
    let rows = html! {
        (row("stop the chain, more than 1/3", &found.stall, economy.cost_to_stall))
        (row("finalise alone, a quorum of 2/3", &found.finalise, economy.cost_to_finalise))
    };
    let columns = [text("Who could"), num("Heads"), num("Their least stake"), num("Fewest by stake"), num("Cost of new seats")];
    html! {
        (table("How many members it takes", &columns, &rows))
        (facts(&[
            ("Nakamoto coefficient", Some(html! { (found.stall.by_stake) " by stake, " (found.stall.heads) " by heads" })),
            ("HHI of stake", Some(html! { (format::count((found.hhi * 10_000.0).round() as u64)) " of 10,000, as " (format!("{:.1}", 1.0 / found.hhi)) " equal members" })),
        ]))
        p { small { "Votes count heads; leader slots and rewards follow stake. Stake in " (token(economy)) "." } }
    }
}

fn batches(visit: &Visit<'_>) -> Result<Markup, SourceError> {
    let batches = visit.source.batches(BATCHES);
    if batches.is_empty() {
        return Ok(html! { p { "None on L1 yet." } });
    }
    let rows = html! { @for batch in &batches { (batch_row(visit, batch)) } };
    let columns = [text("Batch"), text("Blocks"), text("Data"), num("Signers"), num("View"), num("Accepted"), text("State")];
    Ok(table("Newest batches on L1", &columns, &rows))
}

fn batch_row(visit: &Visit<'_>, batch: &Batch) -> Markup {
    html! {
        tr {
            th scope="row" { (batch_link(batch.index)) }
            td { (block_link(batch.first)) "–" (block_link(batch.last)) }
            td { @match batch.postings.last() { Some(posting) => (super::batch::mode(posting.da)), None => "?" } }
            @match batch.signers {
                Some(signers) => { td.num { (signers.bitmap.count_ones()) } td.num { (format::count(signers.view)) } }
                None => { td.num { "?" } td.num { "?" } }
            }
            td.num { (format::ago(batch.accepted_at, visit.now)) }
            td { (super::batch::state(visit, batch)) }
        }
    }
}

fn blocks(visit: &Visit<'_>) -> Result<Markup, SourceError> {
    let head = visit.source.head();
    let mut rows = Vec::new();
    for number in (head.saturating_sub(BLOCKS - 1)..=head).rev() {
        let Some(block) = visit.source.block(number)? else { continue };
        let at = extension(block.block.header())?;
        let committee = visit.source.epoch(at.epoch)?.map(|epoch| epoch.committee);
        let leader = committee.as_ref().and_then(|committee| committee.members.get(at.leader as usize)).map(|member| member.id);
        let skipped = committee.map_or(0, |committee| missed_views(&committee, &at).count());
        rows.push((block, at, leader, skipped));
    }
    let rows = html! {
        @for (block, at, leader, skipped) in &rows {
            @let header = block.block.header();
            tr {
                th scope="row" { (block_link(header.number)) }
                td.num { (format::ago(header.timestamp, visit.now)) }
                td.num { (block.block.body().len()) }
                td.num { (format::percent(format::share(header.gas_used as f64, header.gas_limit as f64))) }
                td { @if header.number == 0 { "genesis" } @else if let Some(id) = leader { (sequencer_link(*id)) } @else { "?" } }
                td.num { (format::count(at.view)) @if *skipped > 0 { " " (badge("warn", &format!("{skipped} missed"))) } }
                td { (format::short(block.block.hash())) }
            }
        }
    };
    let columns = [text("Block"), num("Made"), num("Transactions"), num("Gas"), text("Leader"), num("View"), text("Hash")];
    Ok(table("Newest blocks", &columns, &rows))
}

fn about(visit: &Visit<'_>, live: bool) -> Markup {
    let (node, spec) = (visit.source.node(), visit.source.spec());
    html! {
        footer {
            p {
                "This node: " (node.role) ", oceanid " (node.version)
                @if let Some(identity) = node.identity { ", identity " (format::short(identity)) }
                ", " (format::count(node.peers)) " peers; pool " (format::count(node.pool.0)) " ready, " (format::count(node.pool.1)) " not yet"
                @if let Some(blocks) = node.backlog_blocks { "; " (format::count(blocks)) " blocks wait for L1" }
                "; L1 block " (format::count(node.l1_head))
                @if let Some(time) = node.l1_head_time { ", " (format::ago(time, visit.now)) }
                @if node.evidence > 0 { "; " (badge("bad", &format!("double votes proven: {}", node.evidence))) }
                ". Chain " (spec.chain_id) " on " (spec.l1_chain_id) "."
            }
            p {
                @if live { "This page loads itself again every few seconds: " a href="/?live=no" { "hold it" } }
                @else { a href="/" { "Load it again every few seconds" } }
                " · " a href="/metrics" { "Metrics" }
            }
        }
    }
}
