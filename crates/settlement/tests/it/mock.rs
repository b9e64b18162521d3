//! A scripted L1 behind real JSON-RPC: blocks with logs, forks, and lies.

use alloy_consensus::{Header, TxEnvelope};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Bloom, Bytes, LogData, U256};
use alloy_rpc_types_eth::{Block, BlockTransactions, Log};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;

/// Gas limit in headers; nothing depends on it.
const GAS_LIMIT: u64 = 30_000_000;

/// How the endpoint misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lie {
    #[default]
    None,
    /// Headers hash to something else than they are said to.
    HeaderHash,
    /// Logs are of another block.
    ForeignLogs,
    /// Errors instead of answers.
    Silence,
    /// An endpoint that is this many blocks behind.
    Behind(u64),
}

struct Script {
    chain_id: u64,
    bls: bool,
    blocks: Vec<(Header, Vec<(Address, LogData)>)>,
    lie: Lie,
    /// Makes blocks of different forks differ.
    salt: u64,
    requests: u64,
    /// Base fee of blocks to come, wei.
    base_fee: u64,
    wallet: Wallet,
}

/// What the endpoint says to those who send transactions.
#[derive(Default)]
struct Wallet {
    /// Every transaction that came.
    sent: Vec<TxEnvelope>,
    /// Transactions mined of whoever asks.
    nonce: u64,
    receipts: Vec<(B256, bool)>,
    /// Estimates revert with this.
    revert: Option<Bytes>,
}

/// The L1 and its server; the server ends with the runtime of the test.
#[derive(Clone)]
pub(crate) struct MockL1 {
    script: Arc<Mutex<Script>>,
    pub(crate) url: String,
}

impl MockL1 {
    pub(crate) async fn start(chain_id: u64) -> Self {
        let (blocks, wallet) = (Vec::new(), Wallet::default());
        let script = Script { chain_id, bls: true, blocks, lie: Lie::None, salt: 0, requests: 0, base_fee: 7, wallet };
        let script = Arc::new(Mutex::new(script));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/", post(answer)).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mock = Self { script, url };
        mock.mine(Vec::new());
        mock
    }

    /// Adds a block and returns its number and hash.
    pub(crate) fn mine(&self, logs: Vec<(Address, LogData)>) -> (u64, B256) {
        let script = &mut *self.script.lock();
        let (number, parent_hash, timestamp) = match script.blocks.last() {
            Some((parent, _)) => (parent.number + 1, parent.hash_slow(), parent.timestamp + 12),
            None => (0, B256::ZERO, 1_700_000_000),
        };
        let mut logs_bloom = Bloom::ZERO;
        for (address, data) in &logs {
            logs_bloom.accrue_log(&alloy_primitives::Log { address: *address, data: data.clone() });
        }
        let header = Header {
            number,
            parent_hash,
            timestamp,
            logs_bloom,
            gas_limit: GAS_LIMIT,
            base_fee_per_gas: Some(script.base_fee),
            extra_data: Bytes::copy_from_slice(&script.salt.to_be_bytes()),
            ..Header::default()
        };
        let hash = header.hash_slow();
        script.blocks.push((header, logs));
        (number, hash)
    }

    pub(crate) fn mine_many(&self, count: u64) {
        for _ in 0..count {
            self.mine(Vec::new());
        }
    }

    /// Blocks to come have this base fee, wei.
    pub(crate) fn charge(&self, base_fee: u64) {
        self.script.lock().base_fee = base_fee;
    }

    /// Drops the newest `depth` blocks; what is mined next is another fork.
    pub(crate) fn reorganise(&self, depth: usize) {
        let script = &mut *self.script.lock();
        let keep = script.blocks.len() - depth;
        script.blocks.truncate(keep);
        script.salt += 1;
    }

    pub(crate) fn lie(&self, lie: Lie) {
        self.script.lock().lie = lie;
    }

    pub(crate) fn without_bls(&self) {
        self.script.lock().bls = false;
    }

    pub(crate) fn hash(&self, number: u64) -> B256 {
        self.script.lock().blocks[number as usize].0.hash_slow()
    }

    /// Transactions that were sent here.
    pub(crate) fn sent(&self) -> Vec<TxEnvelope> {
        self.script.lock().wallet.sent.clone()
    }

    /// Mines a transaction with that outcome.
    pub(crate) fn include(&self, hash: B256, success: bool) {
        let wallet = &mut self.script.lock().wallet;
        wallet.receipts.push((hash, success));
        wallet.nonce += 1;
    }

    /// Mines another transaction of the same account.
    pub(crate) fn spend_nonce(&self) {
        self.script.lock().wallet.nonce += 1;
    }

    /// L1 takes back the newest transaction of the account.
    pub(crate) fn return_nonce(&self) {
        self.script.lock().wallet.nonce -= 1;
    }

    /// Contracts refuse every call with this data, or none.
    pub(crate) fn refuse(&self, data: Option<Bytes>) {
        self.script.lock().wallet.revert = data;
    }

    /// Requests answered so far.
    pub(crate) fn requests(&self) -> u64 {
        self.script.lock().requests
    }
}

async fn answer(State(script): State<Arc<Mutex<Script>>>, Json(request): Json<Value>) -> Json<Value> {
    let script = &mut *script.lock();
    script.requests += 1;
    let id = request["id"].clone();
    if script.lie == Lie::Silence {
        return Json(json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32000, "message": "out of order" } }));
    }
    let params = &request["params"];
    let result = match request["method"].as_str().unwrap_or_default() {
        "eth_chainId" => json!(format!("{:#x}", script.chain_id)),
        "eth_getCode" => json!("0x00"),
        "eth_call" => json!(if script.bls { Bytes::from(vec![0; 128]) } else { Bytes::new() }),
        "eth_getBlockByNumber" => script.block(params[0].as_str().unwrap_or_default()),
        "eth_getLogs" => script.logs(&params[0]),
        "eth_estimateGas" => match &script.wallet.revert {
            Some(data) => {
                let error = json!({ "code": 3, "message": "execution reverted", "data": data });
                return Json(json!({ "jsonrpc": "2.0", "id": id, "error": error }));
            }
            None => json!("0x5208"),
        },
        "eth_getTransactionCount" => json!(format!("{:#x}", script.wallet.nonce)),
        "eth_sendRawTransaction" => script.wallet.take(params[0].as_str().unwrap_or_default()),
        "eth_getTransactionReceipt" => script.wallet.receipt(params[0].as_str().unwrap_or_default()),
        other => panic!("the mock was asked for {other}"),
    };
    Json(json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}

impl Wallet {
    fn take(&mut self, raw: &str) -> Value {
        let raw: Bytes = raw.parse().unwrap();
        let transaction = TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap();
        let hash = *transaction.tx_hash();
        self.sent.push(transaction);
        json!(hash)
    }

    fn receipt(&self, hash: &str) -> Value {
        let hash: B256 = hash.parse().unwrap();
        let Some((_, success)) = self.receipts.iter().find(|(mined, _)| *mined == hash) else { return Value::Null };
        json!({
            "type": "0x2", "status": if *success { "0x1" } else { "0x0" }, "cumulativeGasUsed": "0x5208", "logsBloom": Bloom::ZERO,
            "logs": [], "transactionHash": hash, "transactionIndex": "0x0", "blockHash": B256::ZERO, "blockNumber": "0x1",
            "gasUsed": "0x5208", "effectiveGasPrice": "0x1", "from": Address::ZERO, "to": Address::ZERO, "contractAddress": null,
        })
    }
}

impl Script {
    fn block(&self, which: &str) -> Value {
        let Some(head) = (self.blocks.len() as u64).checked_sub(1) else { return Value::Null };
        let number = match which {
            "latest" => match self.lie {
                Lie::Behind(blocks) => head - blocks,
                _ => head,
            },
            "finalized" => head.saturating_sub(5),
            number => u64::from_str_radix(number.trim_start_matches("0x"), 16).unwrap(),
        };
        let Some((header, _)) = self.blocks.get(number as usize) else { return Value::Null };
        let mut hash = header.hash_slow();
        if self.lie == Lie::HeaderHash {
            hash = B256::repeat_byte(0xbb);
        }
        let header = alloy_rpc_types_eth::Header { hash, inner: header.clone(), total_difficulty: None, size: None };
        let block =
            Block::<B256> { header, uncles: Vec::new(), transactions: BlockTransactions::Hashes(Vec::new()), withdrawals: None };
        serde_json::to_value(block).unwrap()
    }

    fn logs(&self, filter: &Value) -> Value {
        let wanted: B256 = filter["blockHash"].as_str().unwrap().parse().unwrap();
        let Some((header, logs)) = self.blocks.iter().find(|(header, _)| header.hash_slow() == wanted) else {
            return json!([]);
        };
        let asked = |field: &str, value: String| filter[field].as_array().is_none_or(|list| list.contains(&json!(value)));
        let block_hash = if self.lie == Lie::ForeignLogs { B256::repeat_byte(0xcc) } else { wanted };
        let logs: Vec<Log> = logs
            .iter()
            .enumerate()
            .filter(|(_, (address, _))| asked("address", format!("{address:#x}")))
            .map(|(index, (address, data))| Log {
                inner: alloy_primitives::Log { address: *address, data: data.clone() },
                block_hash: Some(block_hash),
                block_number: Some(header.number),
                block_timestamp: None,
                transaction_hash: Some(B256::from(U256::from(index + 1))),
                transaction_index: Some(0),
                // As on a real chain, logs of others come between.
                log_index: Some(index as u64 * 3),
                removed: false,
            })
            .collect();
        serde_json::to_value(logs).unwrap()
    }
}
