//! The codec against random batches, mutations, truncations and bombs.

use super::corpus::{self, Corpus};
use super::*;
use crate::MAX_BATCH_BYTES;
use alloy_consensus::{Signed, TxEip1559, TxEip2930, TxEip7702, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use oceanid_primitives::{TxDeposit, TxEnvelope};
use proptest::prelude::*;

const CHAIN_ID: u64 = 59_902;

/// Few distinct addresses, so that the address book is used, and some that occur once.
fn address() -> impl Strategy<Value = Address> {
    prop_oneof![3 => (0u8..6).prop_map(Address::repeat_byte), 1 => any::<[u8; 20]>().prop_map(Address::from)]
}

fn number() -> impl Strategy<Value = U256> {
    prop_oneof![
        Just(U256::ZERO),
        Just(U256::MAX),
        any::<u64>().prop_map(U256::from),
        (1u64..1_000, 0u32..60).prop_map(|(digits, zeros)| U256::from(digits) * U256::from(10).pow(U256::from(zeros))),
        any::<[u8; 32]>().prop_map(U256::from_be_bytes),
    ]
}

fn word() -> impl Strategy<Value = B256> {
    prop_oneof![
        number().prop_map(B256::from),
        address().prop_map(|address| address.into_word()),
        (1_790_000_000u64 - 70_000..1_790_000_000 + 70_000).prop_map(|time| B256::from(U256::from(time))),
    ]
}

fn input() -> impl Strategy<Value = Bytes> {
    let call = (any::<[u8; 4]>(), prop::collection::vec(word(), 0..6)).prop_map(|(selector, words)| {
        let mut input = selector.to_vec();
        words.iter().for_each(|word| input.extend_from_slice(word.as_slice()));
        Bytes::from(input)
    });
    prop_oneof![2 => Just(Bytes::new()), 4 => call, 1 => prop::collection::vec(any::<u8>(), 0..80).prop_map(Bytes::from)]
}

fn kind() -> impl Strategy<Value = TxKind> {
    prop_oneof![1 => Just(TxKind::Create), 6 => address().prop_map(TxKind::Call)]
}

fn signature() -> impl Strategy<Value = Signature> {
    (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<bool>()).prop_map(|(r, mut s, parity)| {
        s[0] &= 0x7f;
        Signature::new(U256::from_be_bytes(r), U256::from_be_bytes(s), parity)
    })
}

fn access_list() -> impl Strategy<Value = AccessList> {
    let item = (address(), prop::collection::vec(word(), 0..3))
        .prop_map(|(address, storage_keys)| AccessListItem { address, storage_keys });
    prop::collection::vec(item, 0..3).prop_map(AccessList)
}

fn authorization() -> impl Strategy<Value = SignedAuthorization> {
    (number(), address(), any::<u64>(), any::<u8>(), number(), number()).prop_map(|(chain_id, address, nonce, parity, r, s)| {
        SignedAuthorization::new_unchecked(Authorization { chain_id, address, nonce }, parity, r, s)
    })
}

fn transaction() -> impl Strategy<Value = TxEnvelope> {
    let fees = prop_oneof![Just(1_000_000_000u128), 0u128..5, any::<u128>()];
    let common =
        (0u8..5, any::<u64>(), prop_oneof![Just(21_000u64), any::<u64>()], (fees.clone(), fees), kind(), number(), input());
    let rest = (access_list(), prop::collection::vec(authorization(), 0..3), signature());
    (common, rest).prop_map(
        |((kind, nonce, gas_limit, (max, tip), to, value, input), (access_list, authorization_list, signature))| {
            let chain_id = CHAIN_ID;
            match kind {
                0 | 1 => {
                    let chain_id = (kind == 1).then_some(CHAIN_ID);
                    let tx = TxLegacy { chain_id, nonce, gas_price: max, gas_limit, to, value, input };
                    TxEnvelope::Legacy(Signed::new_unhashed(tx, signature))
                }
                2 => {
                    let tx = TxEip2930 { chain_id, nonce, gas_price: max, gas_limit, to, value, access_list, input };
                    TxEnvelope::Eip2930(Signed::new_unhashed(tx, signature))
                }
                3 => {
                    let (max_fee_per_gas, max_priority_fee_per_gas) = (max, tip);
                    let tx = TxEip1559 {
                        chain_id,
                        nonce,
                        gas_limit,
                        max_fee_per_gas,
                        max_priority_fee_per_gas,
                        to,
                        value,
                        access_list,
                        input,
                    };
                    TxEnvelope::Eip1559(Signed::new_unhashed(tx, signature))
                }
                _ => {
                    let to = to.to().copied().unwrap_or_default();
                    let (max_fee_per_gas, max_priority_fee_per_gas) = (max, tip);
                    let tx = TxEip7702 {
                        chain_id,
                        nonce,
                        gas_limit,
                        max_fee_per_gas,
                        max_priority_fee_per_gas,
                        to,
                        value,
                        access_list,
                        authorization_list,
                        input,
                    };
                    TxEnvelope::Eip7702(Signed::new_unhashed(tx, signature))
                }
            }
        },
    )
}

fn block() -> impl Strategy<Value = BatchBlock> {
    let time = prop_oneof![9 => 1_790_000_000u64..1_790_000_100, 1 => any::<u64>()];
    (time, any::<u64>(), any::<u64>(), any::<u64>(), any::<u32>(), prop::collection::vec(transaction(), 0..8)).prop_map(
        |(timestamp, origin, view, parent_view, leader, transactions)| BatchBlock {
            timestamp,
            origin,
            view,
            parent_view,
            leader,
            transactions,
        },
    )
}

fn batch() -> impl Strategy<Value = Batch> {
    prop::collection::vec(block(), 1..6).prop_map(|blocks| Batch { blocks })
}

proptest! {
    /// Lossless, with equal transaction hashes, and deterministic.
    #[test]
    fn every_batch_round_trips(batch in batch()) {
        let data = batch.encode(CHAIN_ID).unwrap();
        let decoded = Batch::decode(CHAIN_ID, &data).unwrap();
        prop_assert_eq!(&decoded, &batch);
        for (ours, theirs) in batch.blocks.iter().zip(&decoded.blocks) {
            let hashes = |block: &BatchBlock| block.transactions.iter().map(|tx| *tx.hash()).collect::<Vec<_>>();
            prop_assert_eq!(hashes(ours), hashes(theirs));
        }
        prop_assert_eq!(decoded.encode(CHAIN_ID).unwrap(), data);
    }

    /// Changed decisions under whole sections: an error or another batch, which then encodes.
    #[test]
    fn mutated_decisions_never_panic(batch in batch(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut writer = Writer::new();
        batch.write(&mut writer, CHAIN_ID).unwrap();
        let (mut coded, free, raw) = writer.finish();
        for (at, byte) in changes {
            let at = at.index(coded.len());
            coded[at] = byte;
        }
        // More than enough behind them, so that it is not for lack of bytes that they fail.
        coded.extend_from_slice(&[0x5a; 2_000]);
        let (free, raw) = ([&free[..], &[7; 2_000]].concat(), [&raw[..], &[7; 10_000]].concat());
        let mut reader = Reader::new(&coded, &free, &raw).unwrap();
        if let Ok(other) = Batch::read(&mut reader, CHAIN_ID) {
            let data = other.encode(CHAIN_ID).unwrap();
            prop_assert_eq!(Batch::decode(CHAIN_ID, &data).unwrap(), other);
        }
    }

    /// Changed and truncated data.
    #[test]
    fn mutated_data_never_panics(batch in batch(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let data = batch.encode(CHAIN_ID).unwrap();
        let mut changed = data.clone();
        let at = at.index(changed.len());
        changed[at] = byte;
        let _ = Batch::decode(CHAIN_ID, &changed);
        prop_assert!(Batch::decode(CHAIN_ID, &data[..cut.index(data.len())]).is_err());
    }

    #[test]
    fn noise_never_panics(mut noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Batch::decode(CHAIN_ID, &noise);
        if let Some(version) = noise.first_mut() {
            *version = CODEC_VERSION;
            prop_assert!(Batch::decode(CHAIN_ID, &noise).is_err());
        }
    }
}

#[test]
fn fuzz_batches() {
    let mut mix = Corpus::Mix.batch();
    mix.blocks.truncate(4);
    let corpus = [sample().encode(CHAIN_ID).unwrap(), mix.encode(corpus::CHAIN_ID).unwrap()];
    oceanid_fuzz::bytes("batches", &corpus, |input| {
        let Ok(batch) = Batch::decode(CHAIN_ID, input) else { return false };
        let data = batch.encode(CHAIN_ID).unwrap();
        assert_eq!(Batch::decode(CHAIN_ID, &data).unwrap(), batch);
        true
    });
}

fn sample() -> Batch {
    let tx = TxEip1559 {
        chain_id: CHAIN_ID,
        gas_limit: 21_000,
        to: TxKind::Call(Address::repeat_byte(7)),
        value: U256::from(1),
        ..TxEip1559::default()
    };
    let signature = Signature::new(U256::from(3), U256::from(4), true);
    let transactions = vec![TxEnvelope::Eip1559(Signed::new_unhashed(tx, signature))];
    Batch { blocks: vec![BatchBlock { timestamp: 1_790_000_000, transactions, ..BatchBlock::default() }] }
}

/// Bytes a transaction may take, by corpus: 64 of them are the signature, and 20 each address that was not seen before.
#[test]
fn sizes_on_corpora_are_kept() {
    for (corpus, limit) in Corpus::ALL.into_iter().zip([83.6, 84.4, 85.9, 86.7, 104.9]) {
        let batch = corpus.batch();
        let transactions: usize = batch.blocks.iter().map(|block| block.transactions.len()).sum();
        let data = batch.encode(corpus::CHAIN_ID).unwrap();
        assert_eq!(Batch::decode(corpus::CHAIN_ID, &data).unwrap(), batch);
        let each = data.len() as f64 / transactions as f64;
        println!("{corpus:?}: {each:.2} bytes a transaction");
        assert!(each <= limit, "{corpus:?}: {each} bytes a transaction, were {limit}");
    }
}

/// What the parts are said to take is what they take; no corpus has free-form bytes, which count before compression.
#[test]
fn parts_sum_up() {
    for corpus in Corpus::ALL {
        let batch = corpus.batch();
        let parts: f64 = batch.parts(corpus::CHAIN_ID).unwrap().iter().map(|(_, bytes)| bytes).sum();
        let data = batch.encode(corpus::CHAIN_ID).unwrap().len() as f64;
        assert!((data - parts).abs() < 16.0 + data / 10_000.0, "{corpus:?}: {data} bytes, {parts} by parts");
    }
}

/// The format is what followers of the future read: a change of these bytes is a new codec version.
#[test]
fn the_encoding_is_pinned() {
    let data = sample().encode(CHAIN_ID).unwrap();
    let pinned = include_str!("sample.hex").trim();
    assert_eq!(alloy_primitives::hex::encode(data), pinned, "the codec's output changed: raise CODEC_VERSION");
}

#[test]
fn bad_shapes_are_named() {
    assert_eq!(Batch::decode(CHAIN_ID, &[]), Err(BatchError::Empty));
    assert_eq!(Batch::decode(CHAIN_ID, &[9, 0, 0, 0, 0, 0, 0, 0, 0]), Err(BatchError::Version(9)));
    assert_eq!(Batch::default().encode(CHAIN_ID), Err(BatchError::Blocks(0)));
    let mut data = sample().encode(CHAIN_ID).unwrap();
    data.push(0);
    assert_eq!(Batch::decode(CHAIN_ID, &data), Err(BatchError::Leftover("random bytes")));
}

/// Where the sections of an encoding begin and end: coded, compressed.
fn sections(data: &[u8]) -> [std::ops::Range<usize>; 2] {
    let length = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().unwrap()) as usize;
    let coded = 9..9 + length(1);
    let compressed = coded.end..coded.end + length(5);
    [coded, compressed]
}

/// The same encoding with another compressed section.
fn recompressed(data: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let [coded, compressed] = sections(data);
    let mut section = data[compressed.clone()].to_vec();
    assert!(!section.is_empty());
    change(&mut section);
    super::frame(&data[coded], &section, &data[compressed.end..])
}

#[test]
fn bytes_after_the_end_of_the_compressed_section_are_refused() {
    let input = b"words of no contract's interface, and of no length that is a multiple of a word".as_slice().into();
    let tx = TxLegacy { chain_id: Some(CHAIN_ID), to: TxKind::Call(Address::ZERO), input, ..TxLegacy::default() };
    let mut batch = sample();
    let signed = Signed::new_unhashed(tx, Signature::new(U256::from(1), U256::from(1), false));
    batch.blocks[0].transactions.push(TxEnvelope::Legacy(signed));
    let data = batch.encode(CHAIN_ID).unwrap();
    assert_eq!(Batch::decode(CHAIN_ID, &recompressed(&data, |_| ())), Ok(batch));
    for junk in [1, 100 << 10] {
        let longer = recompressed(&data, |section| section.extend(vec![0x5a; junk]));
        assert_eq!(Batch::decode(CHAIN_ID, &longer), Err(BatchError::Leftover("free-form bytes")), "{junk}");
    }
    let shorter = recompressed(&data, |section| section.truncate(section.len() - 1));
    assert_eq!(Batch::decode(CHAIN_ID, &shorter), Err(BatchError::Compression));
}

/// A window beyond the standard (RFC 7932) is memory of the sender's choice. The stream is whole and empty: one that asks for 2^30 bytes, and
/// one that asks for 2^16.
#[test]
fn a_large_compression_window_is_refused() {
    let block = BatchBlock { timestamp: 1, ..BatchBlock::default() };
    let batch = Batch { blocks: vec![block] };
    let data = batch.encode(CHAIN_ID).unwrap();
    let [coded, compressed] = sections(&data);
    assert!(compressed.is_empty(), "no free-form bytes");
    let with = |section: &[u8]| Batch::decode(CHAIN_ID, &super::frame(&data[coded.clone()], section, &data[compressed.end..]));
    assert_eq!(with(&[0x06]), Ok(batch.clone()));
    assert_eq!(with(&[0x11, 0xde]), Err(BatchError::Compression));
}

#[test]
fn what_no_block_holds_is_refused() {
    let with = |tx: TxEnvelope| {
        let mut batch = sample();
        batch.blocks[0].transactions.push(tx);
        batch.encode(CHAIN_ID)
    };
    assert_eq!(with(TxEnvelope::from(TxDeposit::default())), Err(BatchError::Transaction("deposit")));
    assert_eq!(sample().encode(CHAIN_ID + 1), Err(BatchError::Transaction("signed for another chain id")));
    let high = Signature::new(U256::from(1), U256::MAX, false);
    let tx = TxLegacy { chain_id: Some(CHAIN_ID), ..TxLegacy::default() };
    assert_eq!(
        with(TxEnvelope::Legacy(Signed::new_unhashed(tx, high))),
        Err(BatchError::Transaction("signature with a high `s`"))
    );
}

#[test]
fn a_decompression_bomb_is_refused() {
    let bomb = frame(&[0; 4], &compress(&vec![0; MAX_FREE_BYTES as usize + 1]), &[]);
    assert!(bomb.len() < 1_000, "the bomb is small: {} bytes", bomb.len());
    assert!(matches!(Batch::decode(CHAIN_ID, &bomb), Err(BatchError::Inflated(_))));
}

/// Transactions of a thousand words each, all words alike: next to nothing a word. Neither side goes beyond the limit.
#[test]
fn a_bomb_of_words_is_refused() {
    let mut words = vec![0xaa; 4];
    words.extend(std::iter::repeat_n([0xffu8; 32], 1_024).flatten());
    let tx = TxLegacy { chain_id: Some(CHAIN_ID), to: TxKind::Call(Address::ZERO), input: words.into(), ..TxLegacy::default() };
    let tx = TxEnvelope::Legacy(Signed::new_unhashed(tx, Signature::new(U256::from(1), U256::from(1), false)));
    let count = MAX_BATCH_BYTES / tx.encode_2718_len() + 1;
    let block = BatchBlock { transactions: vec![tx.clone(); count], ..BatchBlock::default() };
    assert_eq!(Batch { blocks: vec![block] }.encode(CHAIN_ID), Err(BatchError::TooLarge));
    let block = BatchBlock { transactions: vec![tx.clone(); count - 1], ..BatchBlock::default() };
    let largest = Batch { blocks: vec![block] };
    assert_eq!(Batch::decode(CHAIN_ID, &largest.encode(CHAIN_ID).unwrap()), Ok(largest), "all of the limit can be used");

    let block = BatchBlock { transactions: vec![tx; count], ..BatchBlock::default() };
    assert_eq!(Batch::decode(CHAIN_ID, &over_limit(&block)), Err(BatchError::TooLarge));
}

/// One transaction whose access list names one slot for ever.
#[test]
fn a_bomb_of_storage_keys_is_refused() {
    let item = AccessListItem { address: Address::ZERO, storage_keys: vec![B256::ZERO; MAX_DECODED_BYTES / 32 + 1] };
    let tx = TxEip2930 { chain_id: CHAIN_ID, access_list: AccessList(vec![item]), ..TxEip2930::default() };
    let tx = TxEnvelope::Eip2930(Signed::new_unhashed(tx, Signature::new(U256::from(1), U256::from(1), false)));
    let bomb = over_limit(&BatchBlock { transactions: vec![tx], ..BatchBlock::default() });
    assert!(bomb.len() < 1_000, "the bomb is small: {} bytes", bomb.len());
    assert_eq!(Batch::decode(CHAIN_ID, &bomb), Err(BatchError::TooLarge));
}

/// Data of a block that no batch may hold.
fn over_limit(block: &BatchBlock) -> Vec<u8> {
    let (mut writer, mut model) = (Writer::new(), Model::unbounded(CHAIN_ID));
    count_blocks(&mut writer, 1).unwrap();
    Blocks::default().code(&mut writer, block, &BatchBlock::default()).unwrap();
    block.transactions.iter().for_each(|tx| model.write(&mut writer, block.timestamp, tx).unwrap());
    let (coded, free, raw) = writer.finish();
    frame(&coded, &compress(&free), &raw)
}

/// Sizes that lie about what follows must not reserve memory.
#[test]
fn lying_counts_are_refused() {
    let lie = |blocks: u64, transactions: u64| {
        let mut writer = Writer::new();
        Integer::default().code_u64(&mut writer, "", blocks).unwrap();
        for count in [0, 0, 0, 0, 0, transactions] {
            Integer::default().code_u64(&mut writer, "", count).unwrap();
        }
        let (coded, free, raw) = writer.finish();
        Batch::decode(CHAIN_ID, &frame(&coded, &compress(&free), &raw))
    };
    assert_eq!(lie(1, u64::MAX), Err(BatchError::Truncated("random bytes")));
    assert_eq!(lie(u64::MAX, 0), Err(BatchError::Blocks(u64::MAX)));
}
