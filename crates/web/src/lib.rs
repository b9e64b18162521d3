//! The node's own pages: who sequences, what is final, what is in a block. Plain HTML from the node itself, without a build step, without
//! anything from elsewhere, and without JavaScript.
//!
//! [`Web::get`] answers one GET request from what a [`Source`] says; it knows nothing of sockets. Everything that comes from a chain, from
//! L1 or from the request is foreign: templates escape it, [`format`] tames what escaping does not (control characters, direction marks,
//! length), and [`HEADERS`] forbid the browser to run or load anything that is not this server's style sheet. Work for one request is bounded by
//! the constants of each page, and an answer is used again for a second, so that a crowd costs what one visitor costs.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a panic is how a test fails"))]

mod cache;
mod format;
mod layout;
mod pages;
mod route;
mod source;
mod stats;

use cache::Cache;
use pages::{Frame, Visit};
use route::Route;
pub use source::{
    Batch, Credit, CreditedEpoch, Economy, Epoch, NodeFacts, Posting, Rule, Sequencer, Signers, Source, SourceError,
};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Headers of every answer: nothing runs, nothing is loaded but the style sheet and the icon, no frame holds a page, and where a visitor
/// came from is told to nobody.
pub const HEADERS: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Media type.
    pub content_type: &'static str,
    /// Seconds for which a browser may keep it.
    pub max_age: u32,
    /// Where to go instead, for status 303.
    pub location: Option<String>,
    /// The body.
    pub body: String,
}

impl Answer {
    fn html(status: u16, body: String) -> Self {
        Self { status, content_type: "text/html; charset=utf-8", max_age: 1, location: None, body }
    }

    fn file(content_type: &'static str, body: &str) -> Self {
        const HOUR: u32 = 3_600;
        Self { status: 200, content_type, max_age: HOUR, location: None, body: body.to_owned() }
    }
}

/// The pages of one node.
pub struct Web {
    source: Arc<dyn Source>,
    cache: Cache,
}

impl core::fmt::Debug for Web {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Web").finish_non_exhaustive()
    }
}

impl Web {
    /// Pages over `source`.
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self { source, cache: Cache::default() }
    }

    /// Answers `GET target`, where `target` is the request's path and query. May read the disk: not for an async thread.
    pub fn get(&self, target: &str) -> Arc<Answer> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let route = Route::parse(target);
        match &route {
            Route::Style => return Arc::new(Answer::file("text/css; charset=utf-8", layout::STYLE)),
            Route::Icon => return Arc::new(Answer::file("image/svg+xml", layout::ICON)),
            // What can be written in endlessly many ways is not worth keeping.
            Route::Unknown(_) | Route::Search(_) => return Arc::new(self.render(&route, now)),
            _ => {}
        }
        self.cache.get(route.clone(), || self.render(&route, now))
    }

    fn render(&self, route: &Route, now: u64) -> Answer {
        let visit = Visit { source: &*self.source, now };
        let frame = Frame { chain: &self.source.spec().name };
        match pages::page(&visit, &frame, route) {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, ?route, "a page could not be made");
                Answer::html(500, pages::failure(&frame))
            }
        }
    }
}
