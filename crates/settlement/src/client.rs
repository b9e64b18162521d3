//! The L1 execution endpoint: the calls this crate makes, with time limits, and checks of what can be checked.

use crate::L1Error;
use alloy_consensus::Header;
use alloy_network::Ethereum;
use alloy_primitives::{Address, B256, Bytes, TxHash, U256};
use alloy_provider::{Provider, RootProvider};
use alloy_rpc_client::RpcClient;
use alloy_rpc_types_eth::{BlockId, BlockNumberOrTag, Filter, Log, Transaction, TransactionReceipt, TransactionRequest};
use alloy_sol_types::SolCall;
use alloy_transport::TransportResult;
use alloy_transport_http::Http;
use oceanid_contracts::endpoint::Endpoint;
use oceanid_primitives::ChainSpec;
use std::fmt;
use std::time::Duration;

/// Longest wait for an answer.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// EIP-2537 `BLS12_G1ADD`: two points of 128 bytes in, one out.
const G1_ADD: Address = alloy_primitives::address!("000000000000000000000000000000000000000b");
const G1_ADD_INPUT: usize = 256;
const G1_ADD_OUTPUT: usize = 128;

/// A connection to L1. Cheap to clone.
#[derive(Clone)]
pub struct L1Client {
    provider: RootProvider<Ethereum>,
    endpoint: Endpoint,
}

/// A header and its hash, which belong together (the hash was computed here).
#[derive(Clone, Debug)]
pub(crate) struct SealedHeader {
    pub(crate) hash: B256,
    pub(crate) header: Header,
}

impl L1Client {
    /// Prepares a client for an `http://` or `https://` endpoint; nothing is sent yet.
    pub fn new(endpoint: &str) -> Result<Self, L1Error> {
        let shown = Endpoint::new(endpoint);
        let bad = || L1Error::Url(shown.clone());
        let url = reqwest::Url::parse(endpoint).map_err(|_| bad())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad());
        }
        let http = http_client().map_err(|_| bad())?;
        let provider = RootProvider::new(RpcClient::new(Http::with_client(http, url), false));
        Ok(Self { provider, endpoint: shown })
    }

    /// The endpoint's name in texts.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The provider underneath.
    pub const fn provider(&self) -> &RootProvider<Ethereum> {
        &self.provider
    }

    /// Is this the L1 the specification speaks of, with the contracts in place and with BLS precompiles?
    pub async fn check(&self, spec: &ChainSpec) -> Result<(), L1Error> {
        let found = self.ask("eth_chainId", self.provider.get_chain_id()).await?;
        if found != spec.l1_chain_id {
            return Err(L1Error::ChainId { endpoint: self.endpoint.clone(), found, expected: spec.l1_chain_id });
        }
        for (name, address) in [("`l1.rollup`", spec.l1.rollup), ("`l1.portal`", spec.l1.portal)] {
            if self.ask("eth_getCode", self.provider.get_code_at(address)).await?.is_empty() {
                return Err(L1Error::NoContract { name, address });
            }
        }
        self.check_bls().await
    }

    /// Adds infinity to infinity on the G1 precompile: an account without code would answer nothing.
    pub async fn check_bls(&self) -> Result<(), L1Error> {
        let request = TransactionRequest::default().to(G1_ADD).input(Bytes::from(vec![0; G1_ADD_INPUT]).into());
        let sum = self.ask("eth_call", self.provider.call(request)).await?;
        if sum.len() == G1_ADD_OUTPUT { Ok(()) } else { Err(L1Error::NoBls) }
    }

    /// The header of that number or tag; `None` if L1 does not have it.
    pub(crate) async fn header(&self, block: BlockNumberOrTag) -> Result<Option<SealedHeader>, L1Error> {
        let answer = self.ask("eth_getBlockByNumber", self.provider.get_block_by_number(block).into_future()).await?;
        let Some(block_answer) = answer else { return Ok(None) };
        let header = block_answer.header.inner;
        let hash = header.hash_slow();
        if hash != block_answer.header.hash {
            let what =
                format!("block {} is said to have hash {}, its header hashes to {hash}", header.number, block_answer.header.hash);
            return Err(self.inconsistent(what));
        }
        if let BlockNumberOrTag::Number(asked) = block
            && asked != header.number
        {
            return Err(self.inconsistent(format!("block {asked} was asked for, block {} came", header.number)));
        }
        Ok(Some(SealedHeader { hash, header }))
    }

    /// Logs that match.
    pub async fn logs(&self, filter: &Filter) -> Result<Vec<Log>, L1Error> {
        self.ask("eth_getLogs", self.provider.get_logs(filter)).await
    }

    /// A transaction, if L1 knows it.
    pub async fn transaction(&self, hash: TxHash) -> Result<Option<Transaction>, L1Error> {
        self.ask("eth_getTransactionByHash", self.provider.get_transaction_by_hash(hash)).await
    }

    pub(crate) async fn receipt(&self, hash: TxHash) -> Result<Option<TransactionReceipt>, L1Error> {
        self.ask("eth_getTransactionReceipt", self.provider.get_transaction_receipt(hash)).await
    }

    /// Transactions of `account` in the latest block's state.
    pub(crate) async fn nonce(&self, account: Address) -> Result<u64, L1Error> {
        self.ask("eth_getTransactionCount", self.provider.get_transaction_count(account)).await
    }

    /// Balance of an account in the latest block's state, wei.
    pub async fn balance(&self, account: Address) -> Result<U256, L1Error> {
        self.ask("eth_getBalance", self.provider.get_balance(account)).await
    }

    /// A view function of a contract, at the latest block.
    pub async fn view<C: SolCall>(&self, contract: Address, call: C) -> Result<C::Return, L1Error> {
        self.view_at(contract, call, BlockId::latest()).await
    }

    /// A view function of a contract in the state after a block.
    pub(crate) async fn view_at<C: SolCall>(&self, contract: Address, call: C, block: BlockId) -> Result<C::Return, L1Error> {
        let request = TransactionRequest::default().to(contract).input(call.abi_encode().into());
        let answer = self.ask("eth_call", self.provider.call(request).block(block)).await?;
        C::abi_decode_returns(&answer)
            .map_err(|error| self.inconsistent(format!("{} at {contract} answered {answer}: {error}", C::SIGNATURE)))
    }

    /// Code of an account, at the latest block.
    pub(crate) async fn code(&self, account: Address) -> Result<Bytes, L1Error> {
        self.ask("eth_getCode", self.provider.get_code_at(account)).await
    }

    pub(crate) async fn estimate(&self, request: TransactionRequest) -> Result<u64, L1Error> {
        self.ask("eth_estimateGas", self.provider.estimate_gas(request)).await
    }

    pub(crate) async fn send(&self, transaction: &[u8]) -> Result<TxHash, L1Error> {
        let sent = self.ask("eth_sendRawTransaction", self.provider.send_raw_transaction(transaction)).await?;
        Ok(*sent.tx_hash())
    }

    async fn ask<T>(&self, method: &'static str, request: impl IntoFuture<Output = TransportResult<T>>) -> Result<T, L1Error> {
        let failure = |message| L1Error::Rpc { endpoint: self.endpoint.clone(), method, message };
        match tokio::time::timeout(REQUEST_TIMEOUT, request.into_future()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(match error.as_error_resp().map(|payload| payload.as_revert_data()) {
                Some(Some(data)) => L1Error::Reverted { method, data },
                Some(None) => L1Error::Refused { endpoint: self.endpoint.clone(), method, message: self.endpoint.cause(&error) },
                None => failure(self.endpoint.cause(&error)),
            }),
            Err(_) => Err(failure(format!("no answer in {} s", REQUEST_TIMEOUT.as_secs()))),
        }
    }

    pub(crate) fn inconsistent(&self, what: String) -> L1Error {
        L1Error::Inconsistent { endpoint: self.endpoint.clone(), what: self.endpoint.redact(&what) }
    }
}

impl fmt::Debug for L1Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("L1Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// One http client for execution and beacon endpoints.
pub(crate) fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(REQUEST_TIMEOUT).build()
}
