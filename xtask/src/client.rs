//! A minimal JSON-RPC client and a signer of transfers: what the chores need to put load on a node from outside.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer_local::PrivateKeySigner;
use eyre::{WrapErr, bail};
use serde_json::{Value, json};
use std::time::Duration;

/// One endpoint.
#[derive(Clone)]
pub(crate) struct Client {
    url: String,
    http: reqwest::Client,
}

impl Client {
    pub(crate) fn new(url: &str) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().expect("a client without TLS options");
        Self { url: url.to_owned(), http }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Calls `method`; a JSON-RPC error is an error.
    pub(crate) async fn call(&self, method: &str, params: Value) -> eyre::Result<Value> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let response = self.http.post(&self.url).json(&request).send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        let Ok(mut answer) = serde_json::from_slice::<Value>(&body) else {
            bail!("{method}: {status}, and not JSON: {}", String::from_utf8_lossy(&body[..body.len().min(500)]));
        };
        if let Some(error) = answer.get("error") {
            bail!("{method}: {error}");
        }
        Ok(answer["result"].take())
    }

    pub(crate) async fn block_number(&self) -> eyre::Result<u64> {
        quantity(&self.call("eth_blockNumber", json!([])).await?)
    }

    pub(crate) async fn chain_id(&self) -> eyre::Result<u64> {
        quantity(&self.call("eth_chainId", json!([])).await?)
    }

    /// Hash of a block, if the node has it.
    pub(crate) async fn block_hash(&self, number: u64) -> eyre::Result<Option<B256>> {
        let block = self.call("eth_getBlockByNumber", json!([format!("{number:#x}"), false])).await?;
        match block["hash"].as_str() {
            Some(hash) => Ok(Some(hash.parse().wrap_err("block hash")?)),
            None => Ok(None),
        }
    }

    pub(crate) async fn nonce(&self, account: Address) -> eyre::Result<u64> {
        quantity(&self.call("eth_getTransactionCount", json!([account, "pending"])).await?)
    }

    /// Transactions of `account` in committed blocks.
    pub(crate) async fn mined(&self, account: Address) -> eyre::Result<u64> {
        quantity(&self.call("eth_getTransactionCount", json!([account, "latest"])).await?)
    }

    pub(crate) async fn send_raw(&self, raw: &Bytes) -> eyre::Result<B256> {
        let hash = self.call("eth_sendRawTransaction", json!([raw])).await?;
        hash.as_str().unwrap_or_default().parse().wrap_err("transaction hash")
    }
}

fn quantity(value: &Value) -> eyre::Result<u64> {
    let text = value.as_str().unwrap_or_default();
    u64::from_str_radix(text.trim_start_matches("0x"), 16).wrap_err_with(|| format!("not a quantity: {value}"))
}

/// Signs a transfer of 1 wei.
pub(crate) fn signed_transfer(signer: &PrivateKeySigner, chain_id: u64, nonce: u64, to: Address) -> eyre::Result<Bytes> {
    signed(signer, chain_id, nonce, Some(to), U256::from(1), Bytes::new(), 21_000)
}

/// Signs a call, or a deployment if there is nobody to call.
pub(crate) fn signed(
    signer: &PrivateKeySigner,
    chain_id: u64,
    nonce: u64,
    to: Option<Address>,
    value: U256,
    input: Bytes,
    gas_limit: u64,
) -> eyre::Result<Bytes> {
    use alloy_signer::SignerSync;
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit,
        max_fee_per_gas: 10_000_000_000,
        max_priority_fee_per_gas: 1,
        to: to.map_or(TxKind::Create, TxKind::Call),
        value,
        input,
        ..TxEip1559::default()
    };
    let signature = signer.sign_hash_sync(&transaction.signature_hash())?;
    Ok(TxEnvelope::from(transaction.into_signed(signature)).encoded_2718().into())
}
