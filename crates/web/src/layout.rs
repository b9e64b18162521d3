//! The frame around every page, and the few elements all pages share.

use crate::format;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The style sheet.
pub(crate) const STYLE: &str = include_str!("style.css");
/// The icon.
pub(crate) const ICON: &str = include_str!("favicon.svg");

/// Seconds after which a live page loads itself again.
const REFRESH: u32 = 5;

/// A whole page. `live`: it loads itself again every few seconds.
pub(crate) fn document(chain: &str, title: &str, live: bool, body: &Markup) -> String {
    let chain = format::foreign(chain);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                @if live { meta http-equiv="refresh" content=(REFRESH); }
                title { (title) " · " (chain) }
                link rel="stylesheet" href="/style.css";
                link rel="icon" href="/favicon.svg" type="image/svg+xml";
            }
            body {
                a.skip href="#main" { "Skip to content" }
                header {
                    a.home href="/" { (PreEscaped(ICON)) (chain) }
                    form action="/search" role="search" {
                        label.hidden for="q" { "Block number, block hash or transaction hash" }
                        input #q name="q" type="search" placeholder="Block or transaction" autocomplete="off" spellcheck="false" maxlength="80";
                        button { "Find" }
                    }
                }
                main #main { (body) }
            }
        }
    };
    page.into_string()
}

/// A section with a heading.
pub(crate) fn section(heading: &str, body: &Markup) -> Markup {
    html! { section { h2 { (heading) } (body) } }
}

/// A table that scrolls by itself where it does not fit. `caption` is for those who do not see the heading above it.
pub(crate) fn table(caption: &str, columns: &[Column], rows: &Markup) -> Markup {
    html! {
        div.scroll role="region" aria-label=(caption) tabindex="0" {
            table {
                caption.hidden { (caption) }
                thead { tr { @for column in columns { th scope="col" class=[column.class] { (column.name) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// A column of a table.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    name: &'static str,
    class: Option<&'static str>,
}

/// A column of text.
pub(crate) const fn text(name: &'static str) -> Column {
    Column { name, class: None }
}

/// A column of numbers.
pub(crate) const fn num(name: &'static str) -> Column {
    Column { name, class: Some("num") }
}

/// Pairs of name and value; a value that is absent leaves its line out.
pub(crate) fn facts(pairs: &[(&str, Option<Markup>)]) -> Markup {
    html! {
        dl.facts {
            @for (name, value) in pairs {
                @if let Some(value) = value {
                    div { dt { (name) } dd { (value) } }
                }
            }
        }
    }
}

/// A word in a coloured box. The word says it all; colour is an addition.
pub(crate) fn badge(kind: &'static str, word: &str) -> Markup {
    html! { span.badge.(kind) { (word) } }
}

/// Text or a number as a value.
pub(crate) fn plain(value: impl ToString) -> Option<Markup> {
    let value = value.to_string();
    Some(html! { (value) })
}

/// A link to a block.
pub(crate) fn block_link(number: u64) -> Markup {
    html! { a href={ "/block/" (number) } { (format::count(number)) } }
}

/// A link to a sequencer.
pub(crate) fn sequencer_link(id: u64) -> Markup {
    html! { a href={ "/sequencer/" (id) } { "#" (id) } }
}

/// A link to an epoch.
pub(crate) fn epoch_link(epoch: u64) -> Markup {
    html! { a href={ "/epoch/" (epoch) } { (format::count(epoch)) } }
}

/// A link to a batch.
pub(crate) fn batch_link(index: u64) -> Markup {
    html! { a href={ "/batch/" (index) } { (format::count(index)) } }
}
