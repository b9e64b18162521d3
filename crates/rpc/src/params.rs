//! Positional parameters, parsed one by one and by name, so that a refusal says which one is wrong.

use crate::error::{RpcError, RpcResult};
use jsonrpsee::types::Params;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// Parameters of one request.
pub(crate) struct Args<'a> {
    values: std::vec::IntoIter<&'a RawValue>,
}

impl<'a> Args<'a> {
    /// Splits the array; no parameters at all are an empty array.
    pub(crate) fn new(params: &'a Params<'_>) -> RpcResult<Self> {
        let values: Vec<&RawValue> = match params.as_str().map(str::trim) {
            None | Some("") => Vec::new(),
            Some(text) if text.starts_with('{') => {
                return Err(RpcError::new(RpcError::INVALID_PARAMS, "parameters must be an array, not an object"));
            }
            Some(text) => serde_json::from_str(text)
                .map_err(|error| RpcError::new(RpcError::INVALID_PARAMS, format!("parameters are not an array: {error}")))?,
        };
        Ok(Self { values: values.into_iter() })
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
