//! `/epoch/N`: its blocks, its committee and what each member did.

use super::Visit;
use crate::layout::{block_link, facts, num, plain, section, sequencer_link, table, text};
use crate::{SourceError, format, stats};
use alloy_primitives::U256;
use maud::{Markup, html};

pub(super) fn body(visit: &Visit<'_>, number: u64) -> Result<Option<(String, Markup)>, SourceError> {
    let Some(epoch) = visit.source.epoch(number)? else { return Ok(None) };
    let (head, economy) = (visit.source.head(), visit.source.economy());
    let state = if head < epoch.first {
        "to come"
    } else if head < epoch.last {
        "running"
    } else {
        "complete"
    };
    let total = f64::from(stats::total_stake(&epoch.committee));
    let credited = economy.epochs.iter().find(|credited| credited.epoch == number);
    let known = |block: u64| html! { @if block <= head { (block_link(block)) } @else { (format::count(block)) } };
    let lines = facts(&[
        ("State", plain(state)),
        ("Blocks", Some(html! { (known(epoch.first)) " to " (known(epoch.last)) })),
        ("Committee", plain(epoch.committee.id)),
        ("Seed", Some(format::long(epoch.committee.seed))),
        ("Members", Some(html! { (epoch.committee.members.len()) ", quorum " (epoch.committee.quorum()) })),
        ("Emission", credited.and_then(|credited| plain(format::amount(credited.emission)))),
        ("Paid", credited.map(|credited| html! { (format::amount(credited.paid)) " and fees " (format::amount(credited.fees)) })),
    ]);
    let rows = html! {
        @for (index, member) in epoch.committee.members.iter().enumerate() {
            @let work = epoch.work.as_ref().and_then(|work| work.get(index));
            @let credit = economy.sequencer(member.id).and_then(|known| known.credits.iter().find(|credit| credit.epoch == number));
            tr {
                td.num { (index) }
                th scope="row" { (sequencer_link(member.id)) }
                td { (format::short(member.identity)) }
                td.num { (format::amount(U256::from(member.weight))) }
                td.num { (format::percent(format::share(member.weight as f64, total))) }
                td.num { @match work { Some(work) => (work.led), None => "?" } }
                td.num { @match work { Some(work) => (work.missed), None => "?" } }
                td.num { @match credit { Some(credit) => (format::amount(credit.reward.saturating_add(credit.fees))), None => "–" } }
            }
        }
    };
    let columns = [
        num("Seat"),
        text("Sequencer"),
        text("Identity"),
        num("Stake"),
        num("Share"),
        num("Led"),
        num("Missed"),
        num("Credited"),
    ];
    let body = html! {
        h1 { "Epoch " (format::count(number)) }
        section { (lines) }
        (section("Committee", &table("Committee of the epoch", &columns, &rows)))
        nav {
            @if let Some(before) = epoch.before { a href={ "/epoch/" (before) } { "Previous epoch" } }
            @if head >= epoch.first { a href={ "/epoch/" (epoch.after) } { "Next epoch" } }
        }
    };
    Ok(Some((format!("Epoch {number}"), body)))
}
