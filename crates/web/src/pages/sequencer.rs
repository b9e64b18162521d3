//! `/sequencer/ID`: stake, work and rewards of one.

use super::{Visit, extension, header, overview::status};
use crate::layout::{epoch_link, facts, num, plain, section, table, text};
use crate::{SourceError, format, stats};
use alloy_primitives::U256;
use maud::{Markup, html};

/// Epochs whose work is shown, the present one included.
const EPOCHS: u64 = 8;

pub(super) fn body(visit: &Visit<'_>, id: u64) -> Result<Option<(String, Markup)>, SourceError> {
    let source = visit.source;
    let economy = source.economy();
    let known = economy.sequencer(id);
    let present = extension(&header(visit, source.head())?)?.epoch;
    let mut worked = Vec::new();
    let mut seat = None;
    for number in (present.saturating_sub(EPOCHS - 1)..=present).rev() {
        let Some(epoch) = source.epoch(number)? else { continue };
        let Some(index) = epoch.committee.members.iter().position(|member| member.id == id) else { continue };
        if number == present {
            seat = Some((index, epoch.committee.clone()));
        }
        worked.push((
            number,
            epoch.committee.members[index].weight,
            epoch.work.as_ref().and_then(|work| work.get(index)).copied(),
        ));
    }
    if known.is_none() && worked.is_empty() {
        return Ok(None);
    }
    let member = seat.as_ref().map(|(index, committee)| &committee.members[*index]);
    let lines = facts(&[
        ("State", known.map(|known| status(known.status))),
        ("Seat", seat.as_ref().map(|(index, committee)| html! {
            (index) " of " (committee.members.len()) ", "
            (format::percent(format::share(committee.members[*index].weight as f64, f64::from(stats::total_stake(committee))))) " of the stake"
        }).or_else(|| plain("none in this epoch"))),
        ("Locked", known.and_then(|known| plain(format::amount(known.lock)))),
        ("Weight in this epoch", member.and_then(|member| plain(format::amount(U256::from(member.weight))))),
        ("Claimable rewards", known.and_then(|known| plain(format::amount(known.claimable)))),
        ("APR realised", known.and_then(|known| known.apr).and_then(|apr| plain(format::percent(apr)))),
        ("Identity", member.map(|member| format::long(member.identity))),
        ("BLS key", member.map(|member| format::long(member.bls_key))),
        ("Owner", known.map(|known| format::long(known.owner))),
        ("Recipient", known.map(|known| format::long(known.recipient))),
    ]);
    let work = html! {
        @for (epoch, weight, work) in &worked {
            tr {
                th scope="row" { (epoch_link(*epoch)) }
                td.num { (format::amount(U256::from(*weight))) }
                @match work {
                    Some(work) => { td.num { (work.led) } td.num { (work.missed) } td.num { (format::performance(*work)) } }
                    None => { td.num { "?" } td.num { "?" } td.num { "?" } }
                }
            }
        }
    };
    let body = html! {
        h1 { "Sequencer " (format::count(id)) }
        section { (lines) }
        @if !worked.is_empty() {
            (section("Work", &table("Work in the last epochs", &[text("Epoch"), num("Stake"), num("Led"), num("Missed"), num("Performance")], &work)))
        }
        @if let Some(known) = known {
            @if !known.credits.is_empty() {
                (section("Credited", &table("Rewards by epoch", &[text("Epoch"), num("Reward"), num("Fees")], &html! {
                    @for credit in &known.credits {
                        tr { th scope="row" { (epoch_link(credit.epoch)) } td.num { (format::amount(credit.reward)) } td.num { (format::amount(credit.fees)) } }
                    }
                })))
            }
            @if !known.tickets.is_empty() {
                (section("Tickets", &table("Stake on its way out", &[num("Amount"), num("Claimable")], &html! {
                    @for (amount, at) in &known.tickets {
                        tr { td.num { (format::amount(*amount)) } td.num { (format::ago(*at, visit.now)) } }
                    }
                })))
            }
        }
    };
    Ok(Some((format!("Sequencer {id}"), body)))
}
