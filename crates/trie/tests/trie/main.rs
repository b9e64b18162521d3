//! The trie against an independent oracle (alloy-trie's `HashBuilder`), from the outside.
//!
//! `PROPTEST_CASES=20000 cargo nextest run -p oceanid-trie` is the long run.

mod hostile;
mod model;
mod proofs;
mod witness;
mod workload;
