//! Whole nodes against the embedded L1: what becomes of transactions that are sent to a node which makes no blocks, or ends before it has.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_provider::{Provider, RootProvider};
use alloy_signer::SignerSync;
use oceanid_devnet::accounts;
use oceanid_devnet::l1::{EmbeddedL1, EmbeddedL1Config};
use oceanid_devnet::network::{DevOptions, connect, deploy_dev, dev_sequencers};
use oceanid_node::{KeeperSection, KeyFile, Node, NodeConfig, SequencerSection};
use oceanid_primitives::{DEV_CHAIN_ID, DaMode};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::time::sleep;

/// Looks for something to happen, and time between them.
const LOOKS: usize = 400;
const LOOK: Duration = Duration::from_millis(50);

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// A follower's configuration in `folder`, which has the specification.
fn config(folder: &Path, name: &str, l1: &str) -> NodeConfig {
    let text = format!(
        "spec = \"spec.json\"\ndata-dir = \"{name}\"\n[l1]\nhttp = \"{l1}\"\npoll-ms = 100\n[rpc]\nlisten = \"127.0.0.1:0\"\n"
    );
    let file = folder.join(format!("{name}.toml"));
    std::fs::write(&file, text).unwrap();
    NodeConfig { keeper: KeeperSection { enabled: false, ..KeeperSection::development() }, ..NodeConfig::load(&file).unwrap() }
}

fn provider(node: &Node) -> RootProvider {
    connect(&format!("http://{}", node.rpc_address())).unwrap()
}

fn transfer(nonce: u64) -> Vec<u8> {
    let signer = &accounts::dev_signers()[0];
    let transaction = TxEip1559 {
        chain_id: DEV_CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 10_000_000_000,
        to: TxKind::Call(Address::repeat_byte(0x42)),
        value: U256::from(1),
        ..TxEip1559::default()
    };
    let signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
    TxEnvelope::from(transaction.into_signed(signature)).encoded_2718()
}

async fn send(node: &Node, nonce: u64) -> B256 {
    *provider(node).send_raw_transaction(&transfer(nonce)).await.unwrap().tx_hash()
}

async fn is_mined(provider: &RootProvider, transaction: B256) -> bool {
    for _ in 0..LOOKS {
        if provider.get_transaction_receipt(transaction).await.unwrap().is_some() {
            return true;
        }
        sleep(LOOK).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_followers_transactions_survive_it_and_reach_the_leader() {
    let folder = tempfile::tempdir().unwrap();
    let l1 = EmbeddedL1Config::dev(folder.path().join("l1"), any_port(), any_port());
    let l1 = EmbeddedL1::start(l1).await.unwrap();
    let sequencers = dev_sequencers(1).unwrap();
    let deployment = deploy_dev(&l1.http(), &DevOptions::default(), &sequencers, &|_| ()).await.unwrap();
    std::fs::write(folder.path().join("spec.json"), serde_json::to_vec(&deployment.spec).unwrap()).unwrap();

    // A follower that knows nobody to send to takes nothing, and says what it lacks.
    let mute = Node::start(config(folder.path(), "mute", &l1.http())).await.unwrap();
    for method in ["eth_sendRawTransaction", "eth_sendRawTransactionSync"] {
        let refused = provider(&mute).raw_request::<_, Value>(method.into(), [Bytes::from(transfer(0))]).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("set `rpc.forward` (--forward) to a sequencer's JSON-RPC endpoint"), "{method}: {refused}");
    }
    mute.shutdown().await;

    // Another, whose endpoint does not answer, takes two transactions and ends without a word.
    let mut follower = config(folder.path(), "follower", &l1.http());
    follower.rpc.forward = Some("http://127.0.0.1:9".to_owned());
    let node = Node::start(follower.clone()).await.unwrap();
    let hashes = [send(&node, 0).await, send(&node, 1).await];
    drop(node);

    let key_file = folder.path().join("keys.json");
    let [sequencer] = &sequencers[..] else { panic!("one was asked for") };
    KeyFile { identity: sequencer.identity_seed.into(), bls: sequencer.bls_seed.into(), poster: sequencer.poster.to_bytes() }
        .save(&key_file)
        .unwrap();
    let peer_to_peer = oceanid_devnet::ports::free_addresses(Ipv4Addr::LOCALHOST.into(), 1).unwrap()[0];
    let section = SequencerSection { key_file: Some(key_file), da: DaMode::Calldata, ..SequencerSection::new(peer_to_peer) };
    let leader = NodeConfig { sequencer: Some(section), ..config(folder.path(), "leader", &l1.http()) };
    let leader = Node::start(leader).await.unwrap();
    let chain = provider(&leader);
    assert!(chain.get_transaction_by_hash(hashes[0]).await.unwrap().is_none(), "nobody told the leader");

    // It still has them, and now there is somebody to send them to: them, and the next one. The store is let go by tasks that end later.
    follower.rpc.forward = Some(format!("http://{}", leader.rpc_address()));
    let mut opened = Node::start(follower.clone()).await;
    for _ in 0..LOOKS {
        if opened.is_ok() {
            break;
        }
        sleep(LOOK).await;
        opened = Node::start(follower.clone()).await;
    }
    let node = opened.unwrap();
    let next = send(&node, 2).await;
    for hash in hashes.into_iter().chain([next]) {
        assert!(is_mined(&chain, hash).await, "{hash} is not in the leader's chain");
    }
    node.shutdown().await;
    leader.shutdown().await;
    l1.shutdown().await;
}
