//! Raw transactions from wallets and peers.

use crate::transaction::decode_raw;
use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use oceanid_primitives::{TxDeposit, TxEnvelope};

fn corpus() -> Vec<Vec<u8>> {
    let signature = Signature::new(U256::from(3), U256::from(4), true);
    let to = Address::repeat_byte(7);
    let input = Bytes::from(vec![0xab; 40]);
    let access_list =
        AccessList(vec![AccessListItem { address: to, storage_keys: vec![B256::repeat_byte(1), B256::repeat_byte(2)] }]);
    let authorization = Authorization { chain_id: U256::from(1), address: to, nonce: 2 };
    let authorization_list = vec![SignedAuthorization::new_unchecked(authorization, 1, U256::from(5), U256::from(6))];
    let transactions = [
        TxEnvelope::Legacy(
            TxLegacy { chain_id: Some(1), gas_limit: 21_000, to: to.into(), input: input.clone(), ..Default::default() }
                .into_signed(signature),
        ),
        TxEnvelope::Legacy(TxLegacy { to: TxKind::Create, gas_price: 1, ..Default::default() }.into_signed(signature)),
        TxEnvelope::Eip2930(
            TxEip2930 { chain_id: 1, access_list: access_list.clone(), ..Default::default() }.into_signed(signature),
        ),
        TxEnvelope::Eip1559(
            TxEip1559 { chain_id: 1, nonce: 9, to: to.into(), value: U256::MAX, input, ..Default::default() }
                .into_signed(signature),
        ),
        TxEnvelope::Eip4844(
            TxEip4844 { chain_id: 1, blob_versioned_hashes: vec![B256::repeat_byte(1); 3], ..Default::default() }
                .into_signed(signature),
        ),
        TxEnvelope::Eip7702(
            TxEip7702 { chain_id: 1, authorization_list, access_list, ..Default::default() }.into_signed(signature),
        ),
        TxEnvelope::from(TxDeposit { mint: 5, ..Default::default() }),
    ];
    transactions.iter().map(Encodable2718::encoded_2718).collect()
}

#[test]
fn fuzz_transactions() {
    oceanid_fuzz::bytes("transactions", &corpus(), |input| {
        let Ok((transaction, sidecar)) = decode_raw(input) else { return false };
        if sidecar.is_none() {
            assert_eq!(transaction.encoded_2718(), input, "one encoding");
        }
        true
    });
}

/// Found by the target above.
#[test]
fn a_deposit_without_its_type_byte_is_none() {
    let deposit = TxEnvelope::from(TxDeposit { mint: 5, ..Default::default() }).encoded_2718();
    assert!(decode_raw(&deposit).is_ok(), "the pool refuses it by its type");
    let refusal = decode_raw(&deposit[1..]).unwrap_err().to_string();
    assert!(refusal.contains("no type byte"), "{refusal}");
}
