//! Which page a request asks for. Every path is hostile.

use crate::format;
use alloy_primitives::{B256, hex};

/// Longest part of a path that a page shows again, characters.
const MAX_ECHO: usize = 80;

/// A page, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    /// `/`; `live` unless `?live=no`: the page loads itself again.
    Overview { live: bool },
    /// `/block/N?page=P`, pages from 1.
    Block { number: u64, page: u32 },
    /// `/block/HASH`.
    BlockHash(B256),
    /// `/tx/HASH`.
    Transaction(B256),
    /// `/batch/N`.
    Batch(u64),
    /// `/sequencer/ID`.
    Sequencer(u64),
    /// `/epoch/N`.
    Epoch(u64),
    /// `/search?q=…`: a number or a hash of a block, or a hash of a transaction.
    Search(String),
    /// A known page asked for with something that cannot be: what is wrong.
    Bad(String),
    /// No page of ours; what was asked for, tamed.
    Unknown(String),
    /// `/style.css`.
    Style,
    /// `/favicon.svg`.
    Icon,
}

impl Route {
    /// Parses path and query of a request.
    pub(crate) fn parse(target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut parts = path.strip_prefix('/').unwrap_or(path).splitn(3, '/');
        let (page, argument) = (parts.next().unwrap_or_default(), parts.next());
        if parts.next().is_some() {
            return Self::unknown(path);
        }
        match (page, argument) {
            ("", None) => Self::Overview { live: parameter(query, "live") != Some("no") },
            ("style.css", None) => Self::Style,
            ("favicon.svg" | "favicon.ico", None) => Self::Icon,
            ("search", None) => Self::Search(format::foreign_up_to(&decode(parameter(query, "q").unwrap_or_default()), MAX_ECHO)),
            ("block", Some(text)) if text.starts_with("0x") => Self::hash("block", text).map_or_else(|bad| bad, Self::BlockHash),
            ("block", Some(text)) => match (number("block", text), parameter(query, "page").map_or(Ok(1), str::parse)) {
                (Err(bad), _) => bad,
                (Ok(number), Ok(page)) if page > 0 => Self::Block { number, page },
                _ => Self::Bad("`page` must be a number from 1".to_owned()),
            },
            ("tx", Some(text)) => Self::hash("transaction", text).map_or_else(|bad| bad, Self::Transaction),
            ("batch", Some(text)) => number("batch", text).map_or_else(|bad| bad, Self::Batch),
            ("sequencer", Some(text)) => number("sequencer", text).map_or_else(|bad| bad, Self::Sequencer),
            ("epoch", Some(text)) => number("epoch", text).map_or_else(|bad| bad, Self::Epoch),
            _ => Self::unknown(path),
        }
    }

    fn unknown(path: &str) -> Self {
        Self::Unknown(format::foreign_up_to(&decode(path), MAX_ECHO))
    }

    fn hash(what: &str, text: &str) -> Result<B256, Self> {
        text.parse().ok().filter(|_| text.starts_with("0x")).ok_or_else(|| {
            let text = format::foreign_up_to(&decode(text), MAX_ECHO);
            Self::Bad(format!("A {what}'s hash is 0x and 64 hexadecimal digits, not “{text}”."))
        })
    }
}

fn number(what: &str, text: &str) -> Result<u64, Route> {
    // `parse` would take a sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        let text = format::foreign_up_to(&decode(text), MAX_ECHO);
        Route::Bad(format!("A {what} is given by its number, not “{text}”."))
    })
}

/// Value of a parameter in a query; the first counts.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value))
}

/// Undoes percent encoding and `+`; what is no UTF-8 becomes replacement characters.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'%', [high, low, tail @ ..]) => match hex::decode([*high, *low]) {
                Ok(byte) => {
                    out.extend_from_slice(&byte);
                    rest = tail;
                }
                Err(_) => out.push(b'%'),
            },
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_found() {
        let hash = B256::repeat_byte(0xab);
        for (target, route) in [
            ("/", Route::Overview { live: true }),
            ("/?x=1&live=no", Route::Overview { live: false }),
            ("/block/17", Route::Block { number: 17, page: 1 }),
            ("/block/17?page=3", Route::Block { number: 17, page: 3 }),
            (&format!("/block/{hash}"), Route::BlockHash(hash)),
            (&format!("/tx/{hash}"), Route::Transaction(hash)),
            ("/batch/1", Route::Batch(1)),
            ("/sequencer/2", Route::Sequencer(2)),
            ("/epoch/18446744073709551615", Route::Epoch(u64::MAX)),
            ("/search?q=+17%20", Route::Search(" 17 ".to_owned())),
            ("/style.css", Route::Style),
        ] {
            assert_eq!(Route::parse(target), route, "{target}");
        }
    }

    #[test]
    fn bad_input_is_named_and_tamed() {
        for target in [
            "/block/-1",
            "/block/+1",
            "/block/1e3",
            "/block/18446744073709551616",
            "/tx/0x12",
            "/tx/abc",
            "/block/0xzz",
            "/epoch/",
            "/block/1?page=0",
        ] {
            assert!(matches!(Route::parse(target), Route::Bad(_)), "{target}: {:?}", Route::parse(target));
        }
        for target in ["/nothing", "/block", "/block/1/2", "/tx", "//", "/..%2f..", "*", "", "/%ff%fe"] {
            assert!(
                matches!(Route::parse(target), Route::Unknown(_) | Route::Overview { .. }),
                "{target}: {:?}",
                Route::parse(target)
            );
        }
        let Route::Unknown(shown) = Route::parse(&format!("/{}", "%e2%80%ae".repeat(1_000))) else { panic!("no such page") };
        assert_eq!(shown.chars().count(), MAX_ECHO + 1);
        assert!(!shown.contains('\u{202e}'));
    }
}
