//! The pages, one a file, and what to answer where there is none.

mod batch;
mod block;
mod epoch;
mod overview;
mod sequencer;
mod transaction;

use crate::layout::{badge, document};
use crate::route::Route;
use crate::{Answer, Source, SourceError, format};
use alloy_primitives::B256;
use maud::{Markup, html};
use oceanid_primitives::{Header, HeaderExtension};

/// One request: whom to ask, and what time it is, seconds since 1970.
pub(crate) struct Visit<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) now: u64,
}

/// What stands around every page.
pub(crate) struct Frame<'a> {
    pub(crate) chain: &'a str,
}

impl Frame<'_> {
    fn answer(&self, title: &str, body: &Markup) -> Answer {
        Answer::html(200, document(self.chain, title, false, body))
    }

    fn apology(&self, status: u16, title: &str, explanation: &Markup) -> Answer {
        let body = html! { h1 { (title) } section { p { (explanation) } nav { a href="/" { "To the overview" } } } };
        Answer::html(status, document(self.chain, title, false, &body))
    }

    fn not_found(&self, explanation: &Markup) -> Answer {
        self.apology(404, "Not found", explanation)
    }
}

/// The answer to a route.
pub(crate) fn page(visit: &Visit<'_>, frame: &Frame<'_>, route: &Route) -> Result<Answer, SourceError> {
    let found = match route {
        Route::Overview { live } => {
            return Ok(Answer::html(200, document(frame.chain, "Sequencers", *live, &overview::body(visit, *live)?)));
        }
        Route::Block { number, page } => block::body(visit, *number, *page)?,
        Route::BlockHash(hash) => match visit.source.number_of(*hash)? {
            Some(number) => block::body(visit, number, 1)?,
            None => None,
        },
        Route::Transaction(hash) => transaction::body(visit, *hash)?,
        Route::Batch(index) => batch::body(visit, *index)?,
        Route::Sequencer(id) => sequencer::body(visit, *id)?,
        Route::Epoch(number) => epoch::body(visit, *number)?,
        Route::Search(text) => return search(visit, frame, text),
        Route::Bad(reason) => return Ok(frame.apology(400, "That cannot be", &html! { (reason) })),
        Route::Unknown(path) => {
            return Ok(frame.not_found(&html! { "There is no page “" span.long { (path) } "” here." }));
        }
        Route::Style | Route::Icon => None,
    };
    Ok(match found {
        Some((title, body)) => frame.answer(&title, &body),
        None => frame.not_found(&missing(visit, route)),
    })
}

/// A page that failed on this node's side.
pub(crate) fn failure(frame: &Frame<'_>) -> String {
    frame.apology(500, "The node failed", &html! { "It could not read its own data; its log says why." }).body
}

fn missing(visit: &Visit<'_>, route: &Route) -> Markup {
    let head = visit.source.head();
    match route {
        Route::Block { number, page } if *number <= head => {
            html! { "Block " (format::count(number)) " has no page " (page) " of transactions." }
        }
        Route::Block { number, .. } => {
            html! { "There is no block " (format::count(number)) " yet: the newest is " (crate::layout::block_link(head)) "." }
        }
        Route::BlockHash(hash) => html! { "No block of this chain has the hash " (format::long(hash)) "." },
        Route::Transaction(hash) => {
            html! { "No transaction " (format::long(hash)) " is in a block or waits in this node's pool." }
        }
        Route::Batch(index) => {
            html! { "This node has nothing on batch " (format::count(index)) ": it does not exist, or it is older than what is kept here." }
        }
        Route::Sequencer(id) => html! { "No sequencer has the number " (format::count(id)) "." },
        Route::Epoch(number) => html! { "Epoch " (format::count(number)) " has no committee yet." },
        _ => html! { "There is nothing here." },
    }
}

/// Sends the visitor where a number or hash belongs.
fn search(visit: &Visit<'_>, frame: &Frame<'_>, text: &str) -> Result<Answer, SourceError> {
    let wanted = text.trim().replace(',', "");
    let to = |location: String| Answer { location: Some(location), ..Answer::html(303, String::new()) };
    if !wanted.is_empty() && wanted.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(to(format!("/block/{wanted}")));
    }
    let Some(hash) = Some(&wanted).filter(|text| text.starts_with("0x")).and_then(|text| text.parse::<B256>().ok()) else {
        let explanation =
            html! { "A block number, a block's hash or a transaction's hash can be found here, not “" span.long { (text) } "”." };
        return Ok(frame.apology(400, "That cannot be", &explanation));
    };
    if visit.source.number_of(hash)?.is_some() {
        return Ok(to(format!("/block/{hash}")));
    }
    Ok(to(format!("/tx/{hash}")))
}

/// How settled a block is, as a badge.
fn settled(visit: &Visit<'_>, number: u64) -> Markup {
    let marks = visit.source.marks();
    if number <= marks.finalized {
        badge("good", "finalized")
    } else if number <= marks.safe {
        badge("good", "safe on L1")
    } else {
        badge("plain", "certified")
    }
}

fn header(visit: &Visit<'_>, number: u64) -> Result<Header, SourceError> {
    visit.source.header(number)?.ok_or_else(|| SourceError(format!("block {number} is missing")))
}

/// The extension of a committed header, which was decoded before it was committed.
fn extension(header: &Header) -> Result<HeaderExtension, SourceError> {
    HeaderExtension::decode(&header.extra_data).map_err(|error| SourceError(format!("block {}: {error}", header.number)))
}

/// A bitmap of signers in words and as a list of members that did not sign.
fn signers(visit: &Visit<'_>, epoch: u64, signers: crate::Signers) -> Result<Markup, SourceError> {
    let committee = visit.source.epoch(epoch)?.map(|epoch| epoch.committee);
    let signed = signers.bitmap.count_ones();
    let Some(committee) = committee else {
        return Ok(html! { (signed) " members signed in view " (format::count(signers.view)) });
    };
    let absent: Vec<_> = (committee.members.iter().enumerate())
        .filter(|(index, _)| !signers.bitmap.bit(*index))
        .map(|(_, member)| member.id)
        .collect();
    Ok(html! {
        (signed) " of " (committee.members.len()) " members signed in view " (format::count(signers.view))
        ", " (committee.quorum()) " were needed"
        @if !absent.is_empty() {
            br;
            span.soft { "not in it: " @for id in absent { (crate::layout::sequencer_link(id)) " " } }
        }
    })
}
