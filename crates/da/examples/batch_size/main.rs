//! Bytes per transaction in data availability: this codec against OP span batches with brotli 10, on the same transactions.
//!
//! `cargo run -p oceanid-da --example batch_size` prints one line of JSON per corpus. Corpora are made from a fixed seed
//! ([`corpus`]); the baseline is an encoder of the public span batch format ([`span`]).
#![allow(clippy::print_stdout, reason = "the report is the result")]

mod corpus;
mod span;

use corpus::{CHAIN_ID, Corpus};
use oceanid_da::Batch;
use std::time::Instant;

fn main() {
    for corpus in Corpus::ALL {
        let batch = corpus.batch();
        let transactions: usize = batch.blocks.iter().map(|block| block.transactions.len()).sum();
        let started = Instant::now();
        let encoded = batch.encode(CHAIN_ID).expect("a corpus encodes");
        let encode_ms = started.elapsed().as_secs_f64() * 1e3;
        let started = Instant::now();
        assert!(Batch::decode(CHAIN_ID, &encoded).expect("what was encoded decodes") == batch, "the codec is lossless");
        let decode_ms = started.elapsed().as_secs_f64() * 1e3;
        let peer = span::encode(&batch);
        let bytes = encoded.len() as f64 / transactions as f64;
        let peer_bytes = peer as f64 / transactions as f64;
        println!(
            r#"{{"corpus":"{}","transactions":{transactions},"bytesPerTx":{bytes:.2},"opSpanBrotli10BytesPerTx":{peer_bytes:.2},"ratio":{:.3},"encodeMs":{encode_ms:.1},"decodeMs":{decode_ms:.1}}}"#,
            corpus.name(),
            bytes / peer_bytes,
        );
    }
}
