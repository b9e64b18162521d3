//! `/batch/N`: what L1 accepted, who certified it, where its data is.

use super::{Visit, settled, signers};
use crate::layout::{badge, batch_link, block_link, epoch_link, facts, num, plain, section, table, text};
use crate::{Batch, SourceError, format};
use maud::{Markup, html};
use oceanid_primitives::DaMode;

/// Postings listed: anyone may post more.
const POSTINGS: usize = 50;

pub(super) fn body(visit: &Visit<'_>, index: u64) -> Result<Option<(String, Markup)>, SourceError> {
    let Some(batch) = visit.source.batch(index) else { return Ok(None) };
    let header = visit.source.header(batch.last)?;
    let epoch = header.as_ref().map(super::extension).transpose()?.map(|extension| extension.epoch);
    let certificate = match (batch.signers, epoch) {
        (Some(found), Some(epoch)) => Some(signers(visit, epoch, found)?),
        _ => None,
    };
    let final_at = batch.accepted_at.saturating_add(visit.source.spec().timing.challenge_window);
    let lines = facts(&[
        ("State", Some(state(visit, &batch))),
        (
            "Blocks",
            Some(
                html! { (block_link(batch.first)) " to " (block_link(batch.last)) ", " (format::count(batch.last.saturating_sub(batch.first) + 1)) },
            ),
        ),
        ("Epoch", epoch.map(epoch_link)),
        ("Accepted on L1", Some(format::ago(batch.accepted_at, visit.now))),
        ("Output final", Some(format::ago(final_at, visit.now))),
        (
            "Last block",
            Some(html! { (format::long(batch.header_hash)) " " @if header.is_some() { (settled(visit, batch.last)) } }),
        ),
        ("Output root", Some(format::long(batch.output_root))),
        ("Certificate", certificate.or_else(|| plain("not read from L1 yet"))),
    ]);
    let rows = html! {
        @for posting in batch.postings.iter().take(POSTINGS) {
            tr {
                td { (mode(posting.da)) }
                td.num { (format::count(posting.l1_block)) }
                td { (format::short(posting.transaction)) }
                td { (format::short(posting.commitment)) }
            }
        }
    };
    let columns = [text("Mode"), num("L1 block"), text("L1 transaction"), text("Commitment")];
    let body = html! {
        h1 { "Batch " (format::count(index)) }
        section { (lines) }
        (section("Postings of its data", &html! {
            @if batch.postings.is_empty() { p { "Not read from L1 yet." } } @else { (table("Postings of its data", &columns, &rows)) }
            @if batch.postings.len() > POSTINGS { p { "And " (batch.postings.len() - POSTINGS) " more." } }
        }))
        nav {
            @if index > 1 { span { "Previous: " (batch_link(index - 1)) } }
            @if visit.source.batch(index.saturating_add(1)).is_some() { span { "Next: " (batch_link(index + 1)) } }
        }
    };
    Ok(Some((format!("Batch {index}"), body)))
}

/// Where data is, in a word.
pub(super) fn mode(da: Result<DaMode, u8>) -> Markup {
    match da {
        Ok(mode) => html! { (mode) },
        Err(number) => html! { (badge("warn", &format!("none ({number})"))) },
    }
}

/// How far a batch has come.
pub(super) fn state(visit: &Visit<'_>, batch: &Batch) -> Markup {
    let marks = visit.source.marks();
    if batch.last <= marks.finalized {
        badge("good", "final")
    } else if batch.last <= marks.safe {
        badge("good", "data read back")
    } else {
        badge("plain", "accepted")
    }
}
