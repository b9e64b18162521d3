//! An L1 to test on: the embedded one, or anvil.

use crate::producer::{Producer, l1_certificate};
use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use alloy_provider::{Provider, RootProvider};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::{BlockId, Filter, TransactionRequest};
use alloy_signer::SignerSync;
use alloy_sol_types::{SolCall, SolEvent};
use oceanid_contracts::l1::{Portal, Rollup};
use oceanid_devnet::accounts::dev_signers;
use oceanid_devnet::l1::{EmbeddedL1, EmbeddedL1Config};
use oceanid_devnet::network::connect;
use oceanid_primitives::DaMode;
use oceanid_settlement::SettledChain;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::sleep;

/// Gas limit and fees of the transactions sent here, ample for all of them.
const GAS_LIMIT: u64 = 2_000_000;
const MAX_FEE: u128 = 100_000_000_000;

pub(crate) struct L1 {
    http: String,
    beacon: String,
    embedded: Option<(EmbeddedL1, tempfile::TempDir)>,
    _anvil: Option<Anvil>,
}

struct Anvil(Child);

impl Drop for Anvil {
    fn drop(&mut self) {
        // npm's launcher passes SIGTERM on to the program it started; SIGKILL would leave that running.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

impl L1 {
    pub(crate) async fn embedded() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let l1 = EmbeddedL1::start(EmbeddedL1Config::dev(directory.path().to_owned(), any, any)).await.unwrap();
        Self { http: l1.http(), beacon: l1.beacon(), embedded: Some((l1, directory)), _anvil: None }
    }

    /// The anvil that `OCEANID_ANVIL` names. Without it there is nothing to test with, which is an error where
    /// `OCEANID_REQUIRE_TOOLS` is set.
    pub(crate) async fn anvil() -> Option<Self> {
        let Some(program) = std::env::var_os("OCEANID_ANVIL") else {
            assert!(std::env::var_os("OCEANID_REQUIRE_TOOLS").is_none(), "OCEANID_ANVIL does not name anvil");
            return None;
        };
        let port = oceanid_devnet::ports::free_addresses(Ipv4Addr::LOCALHOST.into(), 1).unwrap()[0].port();
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--hardfork", "prague", "--block-time", "1", "--silent"])
            .stdin(Stdio::null())
            .spawn()
            .expect("OCEANID_ANVIL names a program");
        let http = format!("http://127.0.0.1:{port}");
        let l1 = Self { beacon: http.clone(), http, embedded: None, _anvil: Some(Anvil(child)) };
        for _ in 0..2_400 {
            if l1.provider().get_chain_id().await.is_ok() {
                return Some(l1);
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("anvil does not answer at {}", l1.http)
    }

    pub(crate) fn http(&self) -> &str {
        &self.http
    }

    pub(crate) fn beacon(&self) -> &str {
        &self.beacon
    }

    fn provider(&self) -> RootProvider {
        connect(&self.http).unwrap()
    }

    /// A view function at the latest block.
    pub(crate) async fn view<C: SolCall>(&self, to: Address, call: C) -> C::Return {
        self.view_in(to, call, BlockId::latest()).await
    }

    /// A view function in the state after block `number`.
    pub(crate) async fn view_at<C: SolCall>(&self, to: Address, call: C, number: u64) -> C::Return {
        self.view_in(to, call, BlockId::number(number)).await
    }

    async fn view_in<C: SolCall>(&self, to: Address, call: C, block: BlockId) -> C::Return {
        let request = TransactionRequest::default().to(to).input(call.abi_encode().into());
        C::abi_decode_returns(&self.provider().call(request).block(block).await.unwrap()).unwrap()
    }

    /// Sends a call from the last development account and waits for its receipt.
    async fn send(&self, to: Address, input: Bytes) {
        self.send_as(dev_signers().len() - 1, to, input).await;
    }

    /// Sends a call from a development account, waits for its receipt and gives the number of its block.
    pub(crate) async fn send_as(&self, account: usize, to: Address, input: impl Into<Bytes>) -> u64 {
        let provider = self.provider();
        let signer = &dev_signers()[account];
        let transaction = TxEip1559 {
            chain_id: provider.get_chain_id().await.unwrap(),
            nonce: provider.get_transaction_count(signer.address()).await.unwrap(),
            gas_limit: GAS_LIMIT,
            max_fee_per_gas: MAX_FEE,
            max_priority_fee_per_gas: 1,
            to: TxKind::Call(to),
            input: input.into(),
            ..TxEip1559::default()
        };
        let signature = signer.sign_hash_sync(&transaction.signature_hash()).unwrap();
        let raw = alloy_consensus::TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
        let hash = *provider.send_raw_transaction(&raw).await.unwrap().tx_hash();
        for _ in 0..1_200 {
            if let Some(receipt) = provider.get_transaction_receipt(hash).await.unwrap() {
                assert!(receipt.status(), "the call to {to} reverted");
                return receipt.block_number.unwrap();
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{hash} was not mined");
    }

    /// A deposit without mint, which every account may make.
    pub(crate) async fn deposit(&self, portal: &Address, to: Address) {
        let call =
            Portal::depositTransactionCall { to, value: U256::ZERO, gasLimit: 100_000, isCreation: false, data: Bytes::new() };
        self.send(*portal, call.abi_encode().into()).await;
    }

    /// Part and number of parts of all data posted by `repostData`.
    pub(crate) async fn parts_posted(&self, producer: &Producer) -> Vec<(u16, u16)> {
        let filter = Filter::new().address(producer.ledger.spec().l1.rollup).event_signature(Rollup::BatchData::SIGNATURE_HASH);
        let logs = self.provider().get_logs(&filter.from_block(0)).await.unwrap();
        let events = logs.iter().map(|log| Rollup::BatchData::decode_log_data(log.data()).unwrap());
        events.map(|event| (event.part, event.parts)).collect()
    }

    /// Posts the producer's unposted blocks as a certified batch whose data is `garbage`.
    pub(crate) async fn post_garbage(&self, producer: &Producer, garbage: &'static [u8]) {
        self.submit(producer, DaMode::Calldata as u8, Bytes::from_static(garbage)).await;
    }

    /// Posts the producer's unposted blocks as a certified batch with that data.
    pub(crate) async fn submit(&self, producer: &Producer, da_mode: u8, data: Bytes) {
        let rollup = producer.ledger.spec().l1.rollup;
        let latest = self.view(rollup, Rollup::headCall {}).await;
        let head = producer.ledger.head();
        let mut header = Vec::new();
        head.header().encode(&mut header);
        let stored = SettledChain::certificate(&producer.ledger, head.number()).unwrap().unwrap();
        let certificate = l1_certificate(&stored).unwrap();
        let call = Rollup::submitBatchCall {
            parentIndex: latest.index,
            firstBlock: latest.number + 1,
            lastHeaderRlp: header.into(),
            certificate: Rollup::Certificate {
                view_: certificate.view,
                parentView: certificate.parent_view,
                signers: certificate.signers,
                signature: certificate.signature,
            },
            daMode: da_mode,
            data,
        };
        self.send(rollup, call.abi_encode().into()).await;
    }

    pub(crate) async fn stop(self) {
        if let Self { embedded: Some((l1, _directory)), .. } = self {
            l1.shutdown().await;
        }
    }
}
