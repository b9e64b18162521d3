//! `/block/N` and `/block/HASH`.

use super::{Visit, extension, settled, signers};
use crate::layout::{block_link, epoch_link, facts, num, plain, section, sequencer_link, table, text};
use crate::{SourceError, format};
use alloy_consensus::Transaction as _;
use maud::{Markup, html};
use oceanid_stf::missed_views;
use oceanid_store::CommittedBlock;

/// Transactions on one page.
const TRANSACTIONS: usize = 50;

/// Page `page` (from 1) of a block's transactions, under the block's facts.
pub(super) fn body(visit: &Visit<'_>, number: u64, page: u32) -> Result<Option<(String, Markup)>, SourceError> {
    let head = visit.source.head();
    if number > head {
        return Ok(None);
    }
    let Some(block) = visit.source.block(number)? else { return Ok(None) };
    let (all, pages) = (block.block.body().len(), block.block.body().len().div_ceil(TRANSACTIONS).max(1));
    let page = page as usize;
    if page > pages {
        return Ok(None);
    }
    let header = block.block.header();
    let at = extension(header)?;
    let committee = visit.source.epoch(at.epoch)?.map(|epoch| epoch.committee);
    let member =
        |index: u32| committee.as_ref().and_then(|committee| committee.members.get(index as usize)).map(|member| member.id);
    let skipped: Vec<_> = committee.iter().flat_map(|committee| missed_views(committee, &at)).collect();
    let certificate = match visit.source.certificate(number)? {
        Some(found) => Some(signers(visit, at.epoch, found)?),
        None if number == 0 => plain("none: genesis is given"),
        None => plain("none of its own: a later block's certificate covers it"),
    };
    let lines = facts(&[
        ("State", Some(settled(visit, number))),
        ("Hash", Some(format::long(block.block.hash()))),
        ("Made", Some(html! { (format::iso(header.timestamp)) ", " (format::ago(header.timestamp, visit.now)) })),
        ("Epoch", Some(epoch_link(at.epoch))),
        ("Leader", (number > 0).then(|| html! { @match member(at.leader) { Some(id) => (sequencer_link(id)), None => "?" } ", view " (format::count(at.view)) })),
        ("Missed before it", (!skipped.is_empty()).then(|| html! {
            @for (view, index) in &skipped { @if let Some(id) = member(*index) { (sequencer_link(id)) small { " in view " (format::count(view)) } " " } }
        })),
        ("Certificate", certificate),
        ("Committee", Some(html! { (at.committee_id) ", in the next epoch " (at.next_committee_id) })),
        ("Transactions", plain(format::count(all))),
        ("Gas", Some(html! {
            (format::count(header.gas_used)) " of " (format::count(header.gas_limit)) ", "
            (format::percent(format::share(header.gas_used as f64, header.gas_limit as f64)))
        })),
        ("Base fee", plain(format::gwei(header.base_fee_per_gas.unwrap_or_default().into()))),
        ("L1 origin", Some(html! { "block " (format::count(at.origin.number)) ", " (format::long(at.origin.hash)) })),
        ("Parent", (number > 0).then(|| html! { a href={ "/block/" (number - 1) } { (format::long(header.parent_hash)) } })),
        ("State root", Some(format::long(header.state_root))),
        ("Receipts root", Some(format::long(header.receipts_root))),
        ("Message passer root", header.withdrawals_root.map(format::long)),
        ("Extra data", Some(format::long(&header.extra_data))),
    ]);
    let body = html! {
        h1 { "Block " (format::count(number)) }
        section { (lines) }
        (section("Transactions", &transactions(&block, page)))
        nav {
            @if page > 1 { a href={ "/block/" (number) "?page=" (page - 1) } { "Earlier transactions" } }
            @if page < pages { a href={ "/block/" (number) "?page=" (page + 1) } { "Later transactions" } }
            @if number > 0 { span { "Previous: " (block_link(number - 1)) } }
            @if number < head { span { "Next: " (block_link(number + 1)) } }
        }
    };
    Ok(Some((format!("Block {number}"), body)))
}

fn transactions(block: &CommittedBlock, page: usize) -> Markup {
    let body = block.block.body();
    if body.is_empty() {
        return html! { p { "None." } };
    }
    let first = (page - 1) * TRANSACTIONS;
    let rows = html! {
        @for (index, transaction) in body.iter().enumerate().skip(first).take(TRANSACTIONS) {
            @let hash = transaction.hash();
            tr {
                td.num { (index) }
                td { a href={ "/tx/" (hash) } { (format::short(*hash)) } }
                td { (super::transaction::kind(transaction)) }
                td { @if let Some(sender) = block.senders.get(index) { (format::short_address(*sender)) } }
                td { @match transaction.to() { Some(to) => (format::short_address(to)), None => "new contract" } }
                td.num { (format::amount(transaction.value())) }
                td { @if let Some(receipt) = block.receipts.get(index) { (super::transaction::outcome(receipt.success)) } }
            }
        }
    };
    let columns = [num("Index"), text("Hash"), text("Kind"), text("From"), text("To"), num("Value"), text("Outcome")];
    table("Transactions of the block", &columns, &rows)
}
