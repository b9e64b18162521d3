//! The catalogue of methods: `rpc.discover` answers with it as an OpenRPC document.
//!
//! The catalogue is written by hand, for people; tests compare it with the methods that are registered, both ways, and with the
//! committed document.

use crate::context::Context;
use crate::params::Args;
use crate::registry::Registry;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Where a method exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    /// Everywhere.
    Both,
    /// Layer 2 only.
    Rollup,
    /// The embedded L1 only; refused by name on Layer 2.
    Dev,
}

/// A method: name, parameters (`name: type`, with `?` behind the name if it may be left out), result, summary.
type Entry = (On, &'static str, &'static str, &'static str, &'static str);

/// JSON schemas of the types below, by name.
const TYPES: [(&str, &str); 9] = [
    ("address", "^0x[0-9a-fA-F]{40}$"),
    ("hash", "^0x[0-9a-fA-F]{64}$"),
    ("quantity", "^0x(0|[1-9a-f][0-9a-f]*)$"),
    ("data", "^0x([0-9a-fA-F]{2})*$"),
    ("slot", "^0x[0-9a-fA-F]{1,64}$"),
    ("id", "^0x[0-9a-f]+$"),
    ("tag", "^(0x[0-9a-f]+|latest|pending|safe|finalized|earliest)$"),
    ("decimal", "^[0-9]+$"),
    ("text", ""),
];

include!("catalogue.rs");

pub(crate) fn register(registry: &mut Registry) {
    registry.light("rpc.discover", |context: &Context, _: &mut Args<'_>| {
        Ok(document_of(entries(context.is_rollup()).filter(|entry| context.config.serves(entry.1)), context.is_rollup()))
    });
}

fn entries(rollup: bool) -> impl Iterator<Item = &'static Entry> {
    CATALOGUE.iter().filter(move |entry| match entry.0 {
        On::Both | On::Dev => true,
        On::Rollup => rollup,
    })
}

/// Names in the catalogue of a kind of chain, sorted.
pub fn catalogue(rollup: bool) -> BTreeSet<&'static str> {
    entries(rollup).map(|entry| entry.1).collect()
}

/// The OpenRPC document of a kind of chain, with every namespace.
pub fn document(rollup: bool) -> Value {
    document_of(entries(rollup), rollup)
}

fn document_of(entries: impl Iterator<Item = &'static Entry>, rollup: bool) -> Value {
    let methods: Vec<Value> = entries.map(method).collect();
    let mut schemas: Map<String, Value> = TYPES
        .iter()
        .map(|(name, pattern)| {
            let schema =
                if pattern.is_empty() { json!({ "type": "string" }) } else { json!({ "type": "string", "pattern": pattern }) };
            ((*name).to_owned(), schema)
        })
        .collect();
    let block = json!({ "oneOf": [{ "$ref": "#/components/schemas/tag" }, { "$ref": "#/components/schemas/hash" }, { "type": "object" }] });
    schemas.insert("block".into(), block);
    json!({
        "openrpc": "1.3.2",
        "info": {
            "title": if rollup { "Oceanid Layer 2 JSON-RPC" } else { "Oceanid embedded L1 JSON-RPC" },
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "methods": methods,
        "components": { "schemas": schemas },
    })
}

fn method((_, name, params, result, summary): &Entry) -> Value {
    let params: Vec<Value> = params
        .split(", ")
        .filter(|param| !param.is_empty())
        .map(|param| {
            let (name, kind) = param.split_once(": ").unwrap_or((param, "any"));
            let optional = name.ends_with('?');
            json!({ "name": name.trim_end_matches('?'), "required": !optional, "schema": schema(kind) })
        })
        .collect();
    json!({
        "name": name,
        "summary": summary,
        "paramStructure": "by-position",
        "params": params,
        "result": { "name": "result", "schema": schema(result) },
    })
}

/// The schema of a type: a name of [`TYPES`], `block`, `object`, `bool`, `number`, `null`, `any`, or one of these with `[]`
/// behind it (a list) or `?` (may be `null`).
fn schema(kind: &str) -> Value {
    if let Some(kind) = kind.strip_suffix('?') {
        return json!({ "oneOf": [schema(kind), { "type": "null" }] });
    }
    if let Some(kind) = kind.strip_suffix("[]") {
        return json!({ "type": "array", "items": schema(kind) });
    }
    match kind {
        "object" | "number" | "null" => json!({ "type": kind }),
        "bool" => json!({ "type": "boolean" }),
        "any" => json!({}),
        name => json!({ "$ref": format!("#/components/schemas/{name}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_documents_are_these() {
        for (file, rollup) in [("openrpc-l2.json", true), ("openrpc-l1.json", false)] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/snapshots").join(file);
            let text = serde_json::to_string_pretty(&document(rollup)).expect("JSON is JSON") + "\n";
            if std::env::var_os("OCEANID_WRITE_SNAPSHOTS").is_some() {
                std::fs::write(&path, &text).expect("the folder is there");
            }
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(committed == text, "{file} differs: OCEANID_WRITE_SNAPSHOTS=1 writes it");
        }
    }

    #[test]
    fn the_catalogue_is_sorted_and_names_known_types() {
        let names: Vec<&str> = CATALOGUE.iter().map(|entry| entry.1).collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "sorted, each once");
        let known = |kind: &str| {
            let kind = kind.trim_end_matches(['?', '[', ']']);
            TYPES.iter().any(|(name, _)| *name == kind) || ["block", "object", "bool", "number", "null", "any"].contains(&kind)
        };
        for (_, name, params, result, summary) in CATALOGUE {
            assert!(known(result), "{name}: {result}");
            assert!(summary.ends_with('.'), "{name}: {summary}");
            for param in params.split(", ").filter(|param| !param.is_empty()) {
                let (_, kind) = param.split_once(": ").unwrap_or_else(|| panic!("{name}: {param}"));
                assert!(known(kind), "{name}: {param}");
            }
        }
    }
}
