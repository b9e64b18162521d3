//! Mutants of JSON documents: other types, other numbers, other shapes, and nesting that no person writes.

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Map, Value, json};

/// Deepest nesting put into a document. `serde_json` refuses to read more than 128, so both sides are tried.
const MAX_DEPTH: usize = 200;
/// Longest string and list put into a document.
const MAX_LENGTH: usize = 1 << 14;

/// Texts that mean something to Ethereum's JSON-RPC, or nearly do.
const WORDS: [&str; 24] = [
    "",
    "0x",
    "0x0",
    "0x00",
    "0x01",
    "0X1",
    "0x-1",
    "0xg",
    "latest",
    "pending",
    "earliest",
    "safe",
    "finalized",
    "LATEST",
    "callTracer",
    "prestateTracer",
    "muxTracer",
    "logs",
    "newHeads",
    "null",
    "\u{0}",
    "\u{202e}0x1",
    "0xffffffffffffffff",
    "0x10000000000000000",
];

/// Any value that has nothing to do with the question.
pub fn junk(random: &mut StdRng) -> Value {
    match random.random_range(0..16) {
        0 => Value::Null,
        1 => json!(random.random::<bool>()),
        2 => json!(random.random::<u64>()),
        3 => json!(random.random::<i64>()),
        4 => json!(*[0, 1, -1, i64::MAX, i64::MIN].choose(random).expect("not empty")),
        5 => json!(random.random::<f64>() * 10f64.powi(random.random_range(-300..300))),
        6 | 7 => json!(WORDS.choose(random).expect("not empty")),
        8 | 9 => {
            // Data of a length that is right for something: an address, a word, a key, a transaction.
            let bytes = *[1, 8, 20, 32, 33, 48, 64, 100, 1_000].choose(random).expect("not empty");
            json!(format!("0x{}", (0..bytes).map(|_| format!("{:02x}", random.random::<u8>())).collect::<String>()))
        }
        10 => json!(format!("0x{}", "f".repeat(random.random_range(0..80)))),
        11 => json!("9".repeat(random.random_range(0..400))),
        12 => json!("é".repeat(random.random_range(0..MAX_LENGTH))),
        13 => Value::Array((0..random.random_range(0..4)).map(|_| junk(random)).collect()),
        14 => {
            let list = random.random::<bool>();
            (0..random.random_range(1..MAX_DEPTH))
                .fold(Value::Null, |inner, _| if list { json!([inner]) } else { json!({ "x": inner }) })
        }
        _ => {
            (0..random.random_range(0..4)).map(|_| (WORDS.choose(random).expect("not empty").to_string(), junk(random))).collect()
        }
    }
}

/// Changes a document in one place, chosen at random; `others` are values of the same world that may stand in.
pub fn mutate(random: &mut StdRng, document: &mut Value, others: &[Value]) {
    let descend = random.random_range(0..4) > 0;
    match document {
        Value::Array(items) if descend && !items.is_empty() => {
            let place = random.random_range(0..items.len());
            match random.random_range(0..8) {
                0 => drop(items.remove(place)),
                1 => items.insert(place, junk(random)),
                2 => {
                    let (item, times) = (items[place].clone(), random.random_range(1..40));
                    items.splice(place..place, std::iter::repeat_n(item, times));
                }
                _ => mutate(random, &mut items[place], others),
            }
        }
        Value::Object(fields) if descend && !fields.is_empty() => mutate_field(random, fields, others),
        Value::String(text) if descend => {
            let place = (0..=text.len()).filter(|place| text.is_char_boundary(*place)).collect::<Vec<_>>();
            let place = *place.choose(random).expect("its ends");
            match random.random_range(0..4) {
                0 => text.truncate(place),
                1 => text.insert(place, *['0', 'f', 'x', '-', ' ', '"', '\\', '\u{0}', 'é'].choose(random).expect("not empty")),
                2 => *text = text.to_uppercase(),
                _ => text.insert_str(place, &"0".repeat(random.random_range(1..70))),
            }
        }
        _ => *document = others.choose(random).filter(|_| random.random()).cloned().unwrap_or_else(|| junk(random)),
    }
}

fn mutate_field(random: &mut StdRng, fields: &mut Map<String, Value>, others: &[Value]) {
    let names: Vec<String> = fields.keys().cloned().collect();
    let name = names.choose(random).expect("not empty");
    match random.random_range(0..8) {
        0 => drop(fields.remove(name)),
        1 => {
            let value = fields.remove(name).unwrap_or_default();
            fields.insert(names.choose(random).expect("not empty").to_uppercase(), value);
        }
        2 => drop(fields.insert(WORDS.choose(random).expect("not empty").to_string(), junk(random))),
        _ => mutate(random, &mut fields[name.as_str()], others),
    }
}
