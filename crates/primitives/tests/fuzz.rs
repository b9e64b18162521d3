//! The nouns' decoders against mutants: an error or a value with exactly one encoding, and never a panic.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use alloy_primitives::{Address, B256, Bytes, FixedBytes, Log};
use alloy_rlp::{Decodable, Encodable};
use oceanid_primitives::{Block, Committee, Header, HeaderExtension, Member, Receipt, SealedBlock, TxDeposit};

/// Decodes what is RLP of a `T` and nothing else; an accepted value must encode to the same bytes.
fn canonical<T: Decodable + Encodable>(mut input: &[u8]) -> bool {
    let whole = input;
    let Ok(value) = T::decode(&mut input) else { return false };
    if !input.is_empty() {
        return false;
    }
    assert_eq!(alloy_rlp::encode(value), whole, "one encoding");
    true
}

#[test]
fn fuzz_blocks() {
    let header = Header { number: 7, extra_data: HeaderExtension::default().encode().into(), ..Header::default() };
    let block = Block { header, body: vec![TxDeposit::default().into(); 3] };
    let full = Header {
        base_fee_per_gas: Some(1),
        withdrawals_root: Some(B256::ZERO),
        blob_gas_used: Some(2),
        excess_blob_gas: Some(3),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(B256::ZERO),
        ..block.header.clone()
    };
    let corpus = [alloy_rlp::encode(&block), alloy_rlp::encode(Block { header: full, body: Vec::new() })];
    oceanid_fuzz::bytes("blocks", &corpus, |mut input| {
        let Ok(block) = SealedBlock::decode(&mut input) else { return false };
        // Not every accepted encoding is canonical (consensus compares both): what it means must survive.
        let again = alloy_rlp::encode(&block);
        assert_eq!(SealedBlock::decode(&mut &again[..]).unwrap().hash(), block.hash());
        true
    });
}

#[test]
fn fuzz_receipts() {
    let log = Log::new(Address::ZERO, vec![B256::ZERO; 2], Bytes::from_static(b"data")).unwrap();
    let receipt = |tx_type| Receipt {
        tx_type,
        success: true,
        cumulative_gas_used: 21_000,
        logs: vec![log.clone()],
        deposit_nonce: (tx_type == 0x7e).then_some(4),
        l1_fee: if tx_type == 0x7e { 0 } else { 5 },
    };
    oceanid_fuzz::bytes("receipts", &[alloy_rlp::encode(receipt(2)), alloy_rlp::encode(receipt(0x7e))], canonical::<Receipt>);
}

#[test]
fn fuzz_header_extensions() {
    let extension = HeaderExtension { epoch: 300, view: 70_000, leader: 3, ..HeaderExtension::default() };
    oceanid_fuzz::bytes("header extensions", &[extension.encode()], |input| {
        let Ok(extension) = HeaderExtension::decode(input) else { return false };
        assert_eq!(extension.encode(), input, "one encoding");
        true
    });
}

#[test]
fn fuzz_committees() {
    let members = (1..=4).map(|index| Member {
        id: index,
        identity: B256::with_last_byte(index as u8),
        bls_key: FixedBytes::repeat_byte(index as u8),
        weight: u128::from(index),
    });
    let committee = Committee { id: 1, seed: B256::ZERO, members: members.collect() };
    oceanid_fuzz::bytes("committees", &[committee.pack()], |input| {
        let Ok(committee) = Committee::unpack(1, B256::ZERO, input) else { return false };
        assert_eq!(committee.pack(), input, "one encoding");
        (0..8).for_each(|view| assert!((committee.leader(0, view) as usize) < committee.members.len()));
        true
    });
}
