//! Positional parameters, parsed one by one and by name, so that a refusal says which one is wrong.

use crate::error::{RpcError, RpcResult};
use jsonrpsee::types::Params;
use serde::de::{DeserializeOwned, Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;
use std::marker::PhantomData;
use std::time::Instant;

/// Most parameters of a request; more are no method's.
const MAX_PARAMS: usize = 16;

/// Parameters of one request, and the time until which it must be answered.
pub(crate) struct Args<'a> {
    values: std::vec::IntoIter<&'a RawValue>,
    deadline: Instant,
}

impl<'a> Args<'a> {
    /// Splits the array; no parameters at all are an empty array.
    pub(crate) fn new(params: &'a Params<'_>, deadline: Instant) -> RpcResult<Self> {
        let Bounded(values): Bounded<&RawValue, MAX_PARAMS> = match params.as_str().map(str::trim) {
            None | Some("") => Bounded(Vec::new()),
            Some(text) if text.starts_with('{') => {
                return Err(RpcError::new(RpcError::INVALID_PARAMS, "parameters must be an array, not an object"));
            }
            Some(text) => serde_json::from_str(text)
                .map_err(|error| RpcError::new(RpcError::INVALID_PARAMS, format!("parameters are not an array: {error}")))?,
        };
        Ok(Self { values: values.into_iter(), deadline })
    }

    /// When the caller is told that it took too long: work beyond is for nobody.
    pub(crate) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The next parameter, which must be there.
    pub(crate) fn required<T: DeserializeOwned>(&mut self, name: &str) -> RpcResult<T> {
        match self.values.next() {
            Some(value) => parse(name, value),
            None => Err(RpcError::new(RpcError::INVALID_PARAMS, format!("missing value for required argument `{name}`"))),
        }
    }

    /// The next parameter; missing and `null` are the same.
    pub(crate) fn optional<T: DeserializeOwned>(&mut self, name: &str) -> RpcResult<Option<T>> {
        match self.values.next() {
            Some(value) if value.get() != "null" => parse(name, value).map(Some),
            _ => Ok(None),
        }
    }
}

/// Addresses and hashes need their prefix, here as with other nodes, although the types would do without.
fn parse<T: DeserializeOwned>(name: &str, value: &RawValue) -> RpcResult<T> {
    let text = value.get().trim_matches('"');
    if matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(RpcError::invalid(name, "hex string without 0x prefix"));
    }
    serde_json::from_str(value.get()).map_err(|error| RpcError::invalid(name, error))
}

/// The first `MAX` items of a list. The rest is passed over and takes no memory: `{}` is two bytes, the request it stands for some hundred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct First<T, const MAX: usize> {
    pub(crate) items: Vec<T>,
    /// Was there a rest?
    pub(crate) more: bool,
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for First<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
            type Value = First<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First<T, MAX>, A::Error> {
                let mut first = First { items: Vec::new(), more: false };
                while first.items.len() < MAX {
                    match list.next_element()? {
                        Some(item) => first.items.push(item),
                        None => return Ok(first),
                    }
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    first.more = true;
                }
                Ok(first)
            }
        }

        deserializer.deserialize_seq(List::<T, MAX>(PhantomData))
    }
}

/// A list of at most `MAX` items; a longer one is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounded<T, const MAX: usize>(pub(crate) Vec<T>);

impl<T, const MAX: usize> Default for Bounded<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match First::<T, MAX>::deserialize(deserializer)? {
            First { more: true, .. } => Err(D::Error::custom(format!("more than {MAX} in the list, the limit"))),
            First { items, .. } => Ok(Self(items)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_at_its_limit() {
        let list = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
        let parse = |text: &str| serde_json::from_str::<Bounded<serde_json::Value, 3>>(text);
        assert_eq!(parse(&list(3)).expect("three").0.len(), 3);
        let error = parse(&list(4)).expect_err("four").to_string();
        assert!(error.contains("more than 3"), "{error}");
        assert!(parse("7").is_err());
        for (count, more) in [(2, false), (3, false), (4, true), (9, true)] {
            let first: First<serde_json::Value, 3> = serde_json::from_str(&list(count)).expect("a list");
            assert_eq!((first.items.len(), first.more), (count.min(3), more));
        }
    }
}
