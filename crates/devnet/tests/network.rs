//! The development chain deployed for real: on the embedded L1, and on anvil, an L1 nobody here wrote.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod anvil;

use alloy_consensus::{SignableTransaction, TxEip4844, TxEip4844WithSidecar};
use alloy_eips::BlockNumberOrTag;
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip4844::builder::{SidecarBuilder, SimpleCoder};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_provider::{Provider, RootProvider};
use alloy_rpc_types_eth::{TransactionInput, TransactionReceipt, TransactionRequest};
use alloy_signer::SignerSync;
use alloy_sol_types::SolCall;
use anvil::Anvil;
use oceanid_contracts::deploy::Deployment;
use oceanid_contracts::l1::{OceanidToken, Portal, SequencerPool};
use oceanid_contracts::probe::ProbeError;
use oceanid_devnet::accounts::{self, ether};
use oceanid_devnet::l1::{EmbeddedL1, EmbeddedL1Config, load_trusted_setup};
use oceanid_devnet::network::{self, DevError, DevOptions, connect, deploy_dev, dev_sequencers};
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

async fn start(dir: &Path) -> EmbeddedL1 {
    EmbeddedL1::start(EmbeddedL1Config::dev(dir.to_owned(), any_port(), any_port())).await.expect("the L1 starts")
}

async fn ask<C: SolCall>(provider: &RootProvider, to: Address, call: C) -> C::Return {
    let request = TransactionRequest {
        to: Some(TxKind::Call(to)),
        input: TransactionInput::new(call.abi_encode().into()),
        ..TransactionRequest::default()
    };
    C::abi_decode_returns(&provider.call(request).await.expect(C::SIGNATURE)).expect(C::SIGNATURE)
}

async fn mined(provider: &RootProvider, transaction: B256) -> TransactionReceipt {
    for _ in 0..2_400 {
        if let Some(receipt) = provider.get_transaction_receipt(transaction).await.expect("L1 answers") {
            return receipt;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("{transaction} was not mined")
}

/// Deploys with four sequencers and checks everything that can be read back.
async fn deploy_and_check(url: &str) -> Deployment {
    let sequencers = dev_sequencers(4).unwrap();
    let deployment =
        deploy_dev(url, &DevOptions::default(), &sequencers, &|_| ()).await.unwrap_or_else(|error| panic!("{error}"));
    let spec = &deployment.spec;
    spec.validate().unwrap();
    assert_eq!(oceanid_chain::genesis_header(spec).unwrap().hash_slow(), deployment.genesis.hash);

    // The committee is the four, in order of identity, each with its stake.
    let mut identities: Vec<B256> = sequencers.iter().map(|sequencer| sequencer.keys.identity()).collect();
    identities.sort();
    assert_eq!(spec.committee.members.iter().map(|member| member.identity).collect::<Vec<_>>(), identities);
    for member in &spec.committee.members {
        let sequencer = sequencers.iter().find(|sequencer| sequencer.keys.identity() == member.identity).unwrap();
        assert_eq!(member.bls_key, sequencer.keys.bls_compressed());
        assert_eq!(U256::from(member.weight), ether(network::STAKE));
    }

    // The escrow is the native supply of genesis; the pool holds the stakes; people hold tokens on L1 too.
    let provider = connect(url).unwrap();
    let balance = |account| ask(&provider, spec.l1.token, OceanidToken::balanceOfCall { account });
    let supply: U256 = spec.alloc.values().map(|account| account.balance).sum();
    assert_eq!(supply, ether(network::DEV_TOKENS) * U256::from(accounts::DEV_ACCOUNTS));
    assert_eq!(balance(spec.l1.portal).await, supply);
    assert_eq!(balance(spec.l1.pool).await, ether(network::STAKE) * U256::from(4));
    assert_eq!(balance(accounts::dev_signers()[0].address()).await, ether(network::DEV_TOKENS));
    assert_eq!(ask(&provider, spec.l1.pool, SequencerPool::latestCommitteeCall {}).await, 1);
    assert_eq!(ask(&provider, spec.l1.portal, Portal::l2OracleCall {}).await, spec.l1.rollup);
    for sequencer in &sequencers {
        assert!(provider.get_balance(sequencer.poster.address()).await.unwrap() > U256::ZERO);
    }
    deployment
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_is_deployed_on_the_embedded_l1_which_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let l1 = start(dir.path()).await;
    let deployment = deploy_and_check(&l1.http()).await;
    let start_block = deployment.spec.l1.start;
    l1.shutdown().await;

    let l1 = start(dir.path()).await;
    let provider = connect(&l1.http()).unwrap();
    let block = provider.get_block_by_number(BlockNumberOrTag::Number(start_block.number)).await.unwrap().unwrap();
    assert_eq!(block.header.hash, start_block.hash);
    assert!(!provider.get_code_at(deployment.spec.l1.rollup).await.unwrap().is_empty());
    let head = provider.get_block_number().await.unwrap();
    for _ in 0..100 {
        if provider.get_block_number().await.unwrap() > head {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert!(provider.get_block_number().await.unwrap() > head, "blocks go on after a restart");
    l1.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_impersonated_account_sends_and_a_snapshot_leads_back() {
    async fn call<R: serde::de::DeserializeOwned + core::fmt::Debug + Send + Sync + Unpin + 'static>(
        provider: &RootProvider,
        method: &'static str,
        params: serde_json::Value,
    ) -> Result<R, String> {
        provider.raw_request(method.into(), params).await.map_err(|error| error.to_string())
    }
    let dir = tempfile::tempdir().unwrap();
    let l1 = start(dir.path()).await;
    let provider = connect(&l1.http()).unwrap();
    let (rich, receiver) = (Address::repeat_byte(0x51), Address::repeat_byte(0x52));
    let id: U256 = call(&provider, "evm_snapshot", json!([])).await.unwrap();
    let _: serde_json::Value = call(&provider, "anvil_setBalance", json!([rich, ether(2)])).await.unwrap();
    let request = json!([{ "from": rich, "to": receiver, "value": ether(1) }]);
    let refused = call::<B256>(&provider, "eth_sendTransaction", request.clone()).await.unwrap_err();
    assert!(refused.contains("impersonate it first"), "{refused}");
    let _: serde_json::Value = call(&provider, "anvil_impersonateAccount", json!([rich])).await.unwrap();
    let hash: B256 = call(&provider, "eth_sendTransaction", request).await.unwrap();
    let receipt = mined(&provider, hash).await;
    assert!(receipt.status() && receipt.from == rich, "{receipt:?}");
    assert_eq!(provider.get_balance(receiver).await.unwrap(), ether(1));
    l1.shutdown().await;

    // Its sender is no signature's, and still known after a restart.
    let l1 = start(dir.path()).await;
    let provider = connect(&l1.http()).unwrap();
    assert_eq!(provider.get_transaction_receipt(hash).await.unwrap().unwrap().from, rich);
    assert!(!call::<bool>(&provider, "evm_revert", json!([id])).await.unwrap(), "snapshots do not outlive the process");
    let id: U256 = call(&provider, "evm_snapshot", json!([])).await.unwrap();
    let _: serde_json::Value = call(&provider, "hardhat_setCode", json!([receiver, "0x00"])).await.unwrap();
    assert!(call::<bool>(&provider, "evm_revert", json!([id])).await.unwrap());
    assert!(provider.get_code_at(receiver).await.unwrap().is_empty());
    assert_eq!(provider.get_balance(receiver).await.unwrap(), ether(1));
    l1.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_are_taken_and_served_by_slot() {
    let dir = tempfile::tempdir().unwrap();
    let l1 = start(dir.path()).await;
    let provider = connect(&l1.http()).unwrap();
    let signer = &accounts::dev_signers()[0];
    let sidecar = SidecarBuilder::<SimpleCoder>::from_slice(b"a batch").build_4844_with_settings(load_trusted_setup()).unwrap();
    let transaction = TxEip4844 {
        chain_id: l1.chain_id(),
        nonce: 0,
        gas_limit: 21_000,
        max_fee_per_gas: 10_000_000_000,
        max_priority_fee_per_gas: 1,
        to: Address::repeat_byte(1),
        value: U256::ZERO,
        access_list: Default::default(),
        blob_versioned_hashes: sidecar.versioned_hashes().collect(),
        max_fee_per_blob_gas: 1_000_000_000,
        input: Bytes::new(),
    };
    let blob = sidecar.blobs[0];
    let with_sidecar = TxEip4844WithSidecar::from_tx_and_sidecar(transaction, sidecar);
    let signature = signer.sign_hash_sync(&with_sidecar.signature_hash()).unwrap();
    let raw = with_sidecar.into_signed(signature).encoded_2718();
    let sent = *provider.send_raw_transaction(&raw).await.unwrap().tx_hash();
    let receipt = mined(&provider, sent).await;
    assert!(receipt.status());

    let get = async |path: &str| -> serde_json::Value {
        reqwest::get(format!("{}{path}", l1.beacon())).await.unwrap().json().await.unwrap()
    };
    let genesis = get("/eth/v1/beacon/genesis").await;
    let genesis_time: u64 = genesis["data"]["genesis_time"].as_str().unwrap().parse().unwrap();
    let number = BlockNumberOrTag::Number(receipt.block_number.unwrap());
    let timestamp = provider.get_block_by_number(number).await.unwrap().unwrap().header.timestamp;
    let sidecars = get(&format!("/eth/v1/beacon/blob_sidecars/{}", timestamp - genesis_time)).await;
    assert_eq!(sidecars["data"].as_array().unwrap().len(), 1);
    assert_eq!(sidecars["data"][0]["blob"], serde_json::json!(blob));
    l1.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_is_deployed_on_anvil() {
    let Some(anvil) = Anvil::start("prague", &[]).await else { return };
    deploy_and_check(&anvil.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_l1_without_bls_precompiles_is_refused() {
    let Some(anvil) = Anvil::start("cancun", &[]).await else { return };
    let sequencers = dev_sequencers(1).unwrap();
    let error = deploy_dev(&anvil.url, &DevOptions::default(), &sequencers, &|_| ()).await.unwrap_err();
    assert!(matches!(error, DevError::Probe(ProbeError::NoBls { .. })), "{error}");
    assert!(error.to_string().contains("EIP-2537"), "{error}");
}
