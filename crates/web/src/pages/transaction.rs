//! `/tx/HASH`.

use super::overview::token;
use super::{Visit, settled};
use crate::layout::{badge, block_link, facts, plain, section};
use crate::{SourceError, format};
use alloy_consensus::{Transaction as _, Typed2718 as _};
use alloy_primitives::{B256, U256, hex};
use maud::{Markup, html};
use oceanid_primitives::{Receipt, TxEnvelope};
use oceanid_store::CommittedBlock;

/// Bytes of call data shown.
const INPUT: usize = 2_048;
/// Logs shown.
const LOGS: usize = 20;
/// Bytes of a log's data shown.
const LOG_DATA: usize = 192;

pub(super) fn body(visit: &Visit<'_>, hash: B256) -> Result<Option<(String, Markup)>, SourceError> {
    let title = "Transaction".to_owned();
    let Some(place) = visit.source.transaction(hash)? else {
        let waits = visit.source.is_pending(hash).then(|| {
            html! {
                h1 { "Transaction" }
                section { (facts(&[("State", Some(badge("warn", "waits in this node's pool"))), ("Hash", Some(format::long(hash)))])) }
            }
        });
        return Ok(waits.map(|body| (title, body)));
    };
    let index = place.index as usize;
    let found = visit.source.block(place.block)?;
    let Some(block) = found else { return Err(SourceError(format!("block {} of transaction {hash} is missing", place.block))) };
    let (Some(transaction), Some(receipt), Some(sender)) =
        (block.block.body().get(index), block.receipts.get(index), block.senders.get(index))
    else {
        return Err(SourceError(format!("block {} has no transaction {index}", place.block)));
    };
    let header = block.block.header();
    let nonce = receipt.deposit_nonce.unwrap_or_else(|| transaction.nonce());
    let gas = gas_used(&block, index);
    let price = if transaction.is_deposit() { 0 } else { transaction.effective_gas_price(header.base_fee_per_gas) };
    let fee = U256::from(gas).saturating_mul(U256::from(price)).saturating_add(U256::from(receipt.l1_fee));
    let deposit = transaction.as_deposit();
    let unit = token(&visit.source.economy());
    let amount = |wei: U256| html! { (format::amount(wei)) " " (unit) };
    let lines = facts(&[
        ("Outcome", Some(outcome(receipt.success))),
        ("State", Some(settled(visit, place.block))),
        ("Hash", Some(format::long(hash))),
        ("Block", Some(html! { (block_link(place.block)) ", index " (index) ", " (format::ago(header.timestamp, visit.now)) })),
        ("Kind", Some(kind(transaction))),
        ("From", Some(format::long(sender))),
        ("To", transaction.to().map(format::long)),
        ("New contract", transaction.is_create().then(|| format::long(sender.create(nonce)))),
        ("Value", Some(amount(transaction.value()))),
        ("Minted", deposit.filter(|deposit| deposit.mint > 0).map(|deposit| amount(U256::from(deposit.mint)))),
        ("Source on L1", deposit.map(|deposit| format::long(deposit.source_hash))),
        ("Nonce", plain(format::count(nonce))),
        ("Gas", Some(html! { (format::count(gas)) " of " (format::count(transaction.gas_limit())) })),
        ("Gas price", deposit.is_none().then(|| html! { (format::gwei(price)) " of " (unit) " for a unit of gas" })),
        (
            "Fee",
            deposit.is_none().then(|| {
                html! {
                    (amount(fee))
                    @if receipt.l1_fee > 0 { ", of which for data on L1 " (amount(U256::from(receipt.l1_fee))) }
                }
            }),
        ),
    ]);
    let body = html! {
        h1 { "Transaction" }
        section { (lines) }
        @if !transaction.input().is_empty() { (section("Call data", &data(transaction.input(), INPUT))) }
        @if !receipt.logs.is_empty() { (section("Logs", &logs(receipt))) }
    };
    Ok(Some((title, body)))
}

fn gas_used(block: &CommittedBlock, index: usize) -> u64 {
    let upto = |index: usize| block.receipts.get(index).map_or(0, |receipt| receipt.cumulative_gas_used);
    upto(index).saturating_sub(index.checked_sub(1).map_or(0, upto))
}

/// Bytes in hex up to a limit, and as text, half as much of it, where they are text.
fn data(bytes: &[u8], limit: usize) -> Markup {
    let shown = &bytes[..bytes.len().min(limit)];
    let words = std::str::from_utf8(bytes).ok().filter(|text| text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
    html! {
        pre.data tabindex="0" { code { "0x" (hex::encode(shown)) @if bytes.len() > limit { "…" } } }
        p { small { (format::count(bytes.len())) " bytes" } }
        @if let Some(text) = words { p { "As text: " (format::foreign_up_to(text, limit / 2)) } }
    }
}

fn logs(receipt: &Receipt) -> Markup {
    html! {
        @for (index, log) in receipt.logs.iter().take(LOGS).enumerate() {
            (facts(&[
                ("Log", plain(index)),
                ("Contract", Some(format::long(log.address))),
                ("Topics", (!log.topics().is_empty()).then(|| html! { @for topic in log.topics() { div { (format::long(topic)) } } })),
                ("Data", (!log.data.data.is_empty()).then(|| data(&log.data.data, LOG_DATA))),
            ]))
        }
        @if receipt.logs.len() > LOGS { p { "And " (format::count(receipt.logs.len() - LOGS)) " more logs." } }
    }
}

/// The type of a transaction in words.
pub(super) fn kind(transaction: &TxEnvelope) -> Markup {
    match transaction {
        TxEnvelope::Deposit(_) => html! { "deposit" },
        other => html! { "type " (other.ty()) },
    }
}

/// Whether it did what it should.
pub(super) fn outcome(success: bool) -> Markup {
    if success { badge("good", "success") } else { badge("bad", "failed") }
}
