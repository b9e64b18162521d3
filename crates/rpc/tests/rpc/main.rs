//! The server over real sockets: every method of both kinds of chain, subscriptions, limits, and garbage.

mod fixture;
mod fuzz;
mod methods;
mod million;

use alloy_primitives::{Address, B256, U256, address, b256, hex, keccak256};
use fixture::{ETHER, Ethereum, GENESIS_TIME, GWEI, HISTORY, L2_CHAIN, Rollup, counter_init_code, key};
use jsonrpsee::core::client::{ClientT, Subscription, SubscriptionClientT};
use jsonrpsee::core::params::ArrayParams;
use jsonrpsee_ws_client::WsClientBuilder;
use oceanid_primitives::{L1DataFee, TxDeposit, predeploys};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::time::Duration;

const TO: Address = address!("00000000000000000000000000000000000000aa");
/// `Error("no")`, ABI encoded.
const REVERT_NO: &str = "0x08c379a0000000000000000000000000000000000000000000000000000000000000002000000000000000000000000000000000000000000000000000000000000000026e6f000000000000000000000000000000000000000000000000000000000000";

/// A quantity of a JSON field.
fn number(value: &Value) -> u128 {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is not a quantity"));
    u128::from_str_radix(text.strip_prefix("0x").expect("a hex quantity"), 16).expect("a number")
}

/// A chain with a transfer, a counter called twice and a deposit; returns the counter's address.
async fn lived_in() -> (Rollup, Address) {
    lived_in_with(|_| {}).await
}

/// The same with other limits.
async fn lived_in_with(change: impl FnOnce(&mut oceanid_rpc::RpcConfig)) -> (Rollup, Address) {
    let chain = Rollup::start(change).await;
    let counter = key().address().create(1);
    let client = &chain.client;
    for (raw, _) in [chain.transfer(0, TO, 5), chain.deploy(1)] {
        client.call("eth_sendRawTransaction", json!([raw])).await;
    }
    chain.mine();
    for nonce in [2, 3] {
        client.call("eth_sendRawTransaction", json!([chain.invoke(nonce, counter).0])).await;
    }
    chain.extend_l1(vec![TxDeposit {
        source_hash: keccak256("deposit"),
        from: address!("00000000000000000000000000000000000000bb"),
        to: TO.into(),
        mint: 9,
        value: U256::from(4),
        gas_limit: 100_000,
        ..TxDeposit::default()
    }]);
    chain.mine();
    (chain, counter)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_of_layer_two_answers() {
    let (chain, counter) = lived_in().await;
    let c = &chain.client;
    let sender = key().address();
    let head = chain.ledger.head();
    let (head_hash, genesis_hash) = (head.hash(), chain.ledger.genesis_hash());

    // Node and chain.
    assert!(c.call("web3_clientVersion", json!([])).await.as_str().unwrap().starts_with("Oceanid/v"));
    assert_eq!(c.call("web3_sha3", json!(["0x68656c6c6f"])).await, json!(keccak256("hello")));
    assert_eq!(c.call("net_version", json!([])).await, json!(L2_CHAIN.to_string()));
    assert_eq!(c.call("net_listening", json!([])).await, json!(true));
    assert_eq!(c.call("net_peerCount", json!([])).await, json!("0x3"));
    assert_eq!(number(&c.call("eth_chainId", json!([])).await), u128::from(L2_CHAIN));
    assert_eq!(c.call("eth_protocolVersion", json!([])).await, json!("0x44"));
    assert_eq!(c.call("eth_blockNumber", json!([])).await, json!("0x2"));
    assert_eq!(c.call("eth_accounts", json!([])).await, json!([]));
    assert_eq!(c.call("eth_mining", json!([])).await, json!(false));
    let syncing = c.call("eth_syncing", json!([])).await;
    assert_eq!((number(&syncing["currentBlock"]), number(&syncing["highestBlock"])), (5, 9));

    // Fees.
    assert!(number(&c.call("eth_gasPrice", json!([])).await) > 1_000);
    assert_eq!(number(&c.call("eth_maxPriorityFeePerGas", json!([])).await), 1_000_000);
    assert_eq!(c.call("eth_blobBaseFee", json!([])).await, json!("0x1"));
    let history = c.call("eth_feeHistory", json!(["0x2", "latest", [0, 50, 100]])).await;
    assert_eq!(history["oldestBlock"], json!("0x1"));
    assert_eq!(history["baseFeePerGas"].as_array().unwrap().len(), 3);
    assert_eq!(history["gasUsedRatio"].as_array().unwrap().len(), 2);
    assert_eq!(number(&history["reward"][1][1]), GWEI);

    // State.
    assert_eq!(c.call("eth_getBalance", json!([TO, "latest"])).await, json!("0x9"));
    assert_eq!(c.call("eth_getBalance", json!([TO, "0x1"])).await, json!("0x5"));
    assert_eq!(c.call("eth_getBalance", json!([TO, { "blockHash": genesis_hash }])).await, json!("0x0"));
    assert_eq!(c.call("eth_getBalance", json!([TO, "finalized"])).await, json!("0x0"));
    assert_eq!(c.call("eth_getTransactionCount", json!([sender, "latest"])).await, json!("0x4"));
    assert_eq!(c.call("eth_getCode", json!([counter, "latest"])).await.as_str().unwrap().len(), 2 + 64);
    assert_eq!(c.call("eth_getCode", json!([TO])).await, json!("0x"));
    let two = json!(B256::with_last_byte(2));
    assert_eq!(c.call("eth_getStorageAt", json!([counter, "0x0", "latest"])).await, two);
    let proof = c.call("eth_getProof", json!([counter, ["0x0"], "latest"])).await;
    assert_eq!(proof["storageProof"][0]["value"], json!("0x2"));
    assert_eq!(proof["storageProof"][0]["key"], json!("0x0"));
    let root = proof["accountProof"][0].as_str().unwrap();
    assert_eq!(keccak256(hex::decode(root).unwrap()), head.header().state_root);

    // Blocks.
    let block = c.call("eth_getBlockByNumber", json!(["latest", true])).await;
    assert_eq!(block["hash"], json!(head_hash));
    assert_eq!(block["transactions"].as_array().unwrap().len(), 4);
    assert_eq!(c.call("eth_getBlockByHash", json!([head_hash, true])).await, block);
    let hashes = c.call("eth_getBlockByNumber", json!(["0x2", false])).await;
    assert_eq!(hashes["transactions"][1], block["transactions"][1]["hash"]);
    assert_eq!(c.call("eth_getBlockByNumber", json!(["0x63", false])).await, Value::Null);
    assert_eq!(c.call("eth_getHeaderByNumber", json!(["latest"])).await["hash"], json!(head_hash));
    assert_eq!(c.call("eth_getHeaderByHash", json!([head_hash])).await["number"], json!("0x2"));
    for (by, key) in [("Number", json!("latest")), ("Hash", json!(head_hash))] {
        assert_eq!(c.call(&format!("eth_getBlockTransactionCountBy{by}"), json!([key])).await, json!("0x4"));
        assert_eq!(c.call(&format!("eth_getUncleCountByBlock{by}"), json!([key])).await, json!("0x0"));
        assert_eq!(c.call(&format!("eth_getUncleByBlock{by}AndIndex"), json!([key, "0x0"])).await, Value::Null);
        let tx = c.call(&format!("eth_getTransactionByBlock{by}AndIndex"), json!([key, "0x2"])).await;
        assert_eq!(tx, block["transactions"][2]);
        assert_eq!(
            c.call(&format!("eth_getTransactionByBlock{by}AndIndex"), json!([key, "0xffffffffffffffff"])).await,
            Value::Null
        );
    }

    // Transactions and receipts: system deposit, user deposit, two calls.
    let deposit = &block["transactions"][1];
    assert_eq!((&deposit["type"], &deposit["mint"], &deposit["value"]), (&json!("0x7e"), &json!("0x9"), &json!("0x4")));
    assert_eq!(deposit["sourceHash"], json!(keccak256("deposit")));
    assert_eq!(deposit["isSystemTx"], json!(false));
    let call = &block["transactions"][2];
    assert_eq!((&call["type"], &call["nonce"], &call["from"]), (&json!("0x2"), &json!("0x2"), &json!(sender)));
    assert_eq!(c.call("eth_getTransactionByHash", json!([call["hash"]])).await, *call);
    assert_eq!(c.call("eth_getTransactionByHash", json!([B256::ZERO])).await, Value::Null);
    let raw = c.call("eth_getRawTransactionByHash", json!([call["hash"]])).await;
    assert_eq!(json!(keccak256(hex::decode(raw.as_str().unwrap()).unwrap())), call["hash"]);
    let receipts = c.call("eth_getBlockReceipts", json!(["latest"])).await;
    let receipt = c.call("eth_getTransactionReceipt", json!([call["hash"]])).await;
    assert_eq!(receipts[2], receipt);
    assert_eq!((&receipt["status"], &receipt["l1Fee"], &receipt["to"]), (&json!("0x1"), &json!("0x0"), &json!(counter)));
    assert_eq!(receipt["logs"][0]["topics"], json!([B256::with_last_byte(0x2a)]));
    assert_eq!(receipts[3]["logs"][0]["logIndex"], json!("0x1"));
    let gas = |index: usize| number(&receipts[index]["gasUsed"]);
    assert_eq!((0..4).map(gas).sum::<u128>(), number(&block["gasUsed"]));
    assert_eq!((&receipts[1]["depositNonce"], &receipts[1]["depositReceiptVersion"]), (&json!("0x0"), &json!("0x1")));
    let created = c.call("eth_getBlockReceipts", json!(["0x1"])).await;
    assert_eq!((&created[1]["contractAddress"], &created[1]["to"]), (&json!(counter), &Value::Null));

    // Calls.
    let call = json!({ "from": sender, "to": counter });
    assert_eq!(c.call("eth_call", json!([call, "latest"])).await, json!(B256::with_last_byte(3)));
    assert_eq!(c.call("eth_call", json!([call, "0x1"])).await, json!(B256::with_last_byte(1)));
    let overrides = json!({ counter.to_string(): { "stateDiff": { B256::ZERO.to_string(): B256::with_last_byte(0x40) } } });
    assert_eq!(c.call("eth_call", json!([call, "latest", overrides])).await, json!(B256::with_last_byte(0x41)));
    // TIMESTAMP PUSH0 MSTORE PUSH1 32 PUSH0 RETURN.
    let clock = json!({ TO.to_string(): { "code": "0x425f5260205ff3" } });
    let at = c.call("eth_call", json!([{ "to": TO }, "latest", clock, { "time": "0x1234" }])).await;
    assert_eq!(at, json!(b256!("0000000000000000000000000000000000000000000000000000000000001234")));
    let (code, message, data) =
        c.try_call("eth_call", json!([{ "to": counter, "data": REVERT_NO }, "latest"])).await.unwrap_err();
    assert_eq!((code, message.as_str(), data.as_deref()), (3, "execution reverted: no", Some(REVERT_NO)));
    assert_eq!(number(&c.call("eth_estimateGas", json!([{ "from": sender, "to": TO, "value": "0x1" }])).await), 21_000);
    let estimate = number(&c.call("eth_estimateGas", json!([call])).await);
    assert!(estimate >= gas(3) && estimate < gas(3) * 2, "{estimate}");
    assert!(number(&c.call("eth_estimateGas", json!([{ "from": sender, "data": counter_init_code() }])).await) > 53_000);
    let reverted = c.try_call("eth_estimateGas", json!([{ "to": counter, "input": REVERT_NO }])).await.unwrap_err();
    assert_eq!(reverted.0, 3);
    let list = c.call("eth_createAccessList", json!([call])).await;
    assert_eq!(list["accessList"], json!([{ "address": counter, "storageKeys": [B256::ZERO] }]));

    // Logs.
    let filter = json!({ "fromBlock": "earliest", "address": counter, "topics": [B256::with_last_byte(0x2a)] });
    let logs = c.call("eth_getLogs", json!([filter])).await;
    assert_eq!(logs.as_array().unwrap().len(), 2);
    assert_eq!(logs[0], receipt["logs"][0]);
    assert_eq!(c.call("eth_getLogs", json!([{ "blockHash": head_hash }])).await.as_array().unwrap().len(), 2);
    assert_eq!(c.call("eth_getLogs", json!([{ "fromBlock": "0x0", "toBlock": "0x1" }])).await, json!([]));
    assert_eq!(c.call("eth_getLogs", json!([{ "fromBlock": "0x0", "address": TO }])).await, json!([]));

    // Traces.
    let hash = &block["transactions"][3]["hash"];
    let tracer = json!({ "tracer": "callTracer", "tracerConfig": { "withLog": true } });
    let trace = c.call("debug_traceTransaction", json!([hash, tracer])).await;
    assert_eq!((&trace["type"], &trace["from"], &trace["to"]), (&json!("CALL"), &json!(sender), &json!(counter)));
    assert_eq!((&trace["gasUsed"], &trace["output"]), (&receipts[3]["gasUsed"], &two));
    assert_eq!(trace["logs"][0]["topics"], receipts[3]["logs"][0]["topics"]);
    let traces = c.call("debug_traceBlockByNumber", json!(["0x2", tracer])).await;
    assert_eq!((traces.as_array().unwrap().len(), &traces[3]["result"]), (4, &trace));
    assert_eq!(c.call("debug_traceBlockByHash", json!([head_hash, tracer])).await, traces);
    let steps = c.call("debug_traceTransaction", json!([hash])).await;
    assert_eq!((&steps["failed"], &steps["structLogs"][0]["op"]), (&json!(false), &json!("CALLDATASIZE")));
    let before = c.call("debug_traceTransaction", json!([hash, { "tracer": "prestateTracer" }])).await;
    let slot = B256::ZERO.to_string();
    assert_eq!(before[counter.to_string().to_lowercase()]["storage"][&slot], json!(B256::with_last_byte(1)));
    let call_trace = c.call("debug_traceCall", json!([{ "to": counter }, "0x1", tracer])).await;
    assert_eq!(call_trace["output"], json!(B256::with_last_byte(1)));

    // Pool: one pending, one behind a gap.
    let (raw, hash) = chain.transfer(4, TO, 1);
    assert_eq!(c.call("eth_sendRawTransaction", json!([raw])).await, json!(hash));
    c.call("eth_sendRawTransaction", json!([chain.transfer(9, TO, 1).0])).await;
    assert_eq!(c.call("eth_getTransactionCount", json!([sender, "pending"])).await, json!("0x5"));
    let pending = c.call("eth_getTransactionByHash", json!([hash])).await;
    assert_eq!((&pending["blockHash"], &pending["hash"]), (&Value::Null, &json!(hash)));
    assert_eq!(c.call("eth_getTransactionReceipt", json!([hash])).await, Value::Null);
    assert_eq!(c.call("txpool_status", json!([])).await, json!({ "pending": "0x1", "queued": "0x1" }));
    let content = c.call("txpool_content", json!([])).await;
    assert_eq!(content["pending"][sender.to_string()]["4"]["hash"], json!(hash));
    assert!(content["queued"][sender.to_string()]["9"].is_object());
    assert_eq!(c.call("txpool_contentFrom", json!([sender])).await["pending"]["4"]["hash"], json!(hash));
    let inspected = c.call("txpool_inspect", json!([])).await;
    assert!(inspected["pending"][sender.to_string()]["4"].as_str().unwrap().contains("1 wei + 200000 gas"));

    // Sending and waiting: mined meanwhile, then not at all.
    let (raw, hash) = chain.transfer(5, TO, 1);
    let waiting = c.call("eth_sendRawTransactionSync", json!([raw, 10_000]));
    let mined = async {
        while chain.pool.get(&hash).is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        chain.mine()
    };
    let (receipt, _) = tokio::join!(waiting, mined);
    assert_eq!((&receipt["transactionHash"], &receipt["status"]), (&json!(hash), &json!("0x1")));
    let (raw, hash) = chain.transfer(6, TO, 1);
    let (code, _, data) = c.try_call("eth_sendRawTransactionSync", json!([raw, "0x32"])).await.unwrap_err();
    assert_eq!((code, data), (4, Some(hash.to_string())));

    // Polled filters.
    let block_filter = c.call("eth_newBlockFilter", json!([])).await;
    let log_filter = c.call("eth_newFilter", json!([{ "address": counter, "fromBlock": "earliest" }])).await;
    let pool_filter = c.call("eth_newPendingTransactionFilter", json!([])).await;
    let (raw, hash) = chain.invoke(7, counter);
    c.call("eth_sendRawTransaction", json!([raw])).await;
    let block = chain.mine();
    assert_eq!(c.call("eth_getFilterChanges", json!([block_filter])).await, json!([block.hash()]));
    assert_eq!(c.call("eth_getFilterChanges", json!([block_filter])).await, json!([]));
    let changes = c.call("eth_getFilterChanges", json!([log_filter])).await;
    assert_eq!((changes.as_array().unwrap().len(), &changes[0]["transactionHash"]), (1, &json!(hash)));
    assert_eq!(c.call("eth_getFilterLogs", json!([log_filter])).await.as_array().unwrap().len(), 3);
    assert_eq!(c.call("eth_getFilterChanges", json!([pool_filter])).await, json!([hash]));
    assert_eq!(c.call("eth_uninstallFilter", json!([log_filter])).await, json!(true));
    assert_eq!(c.call("eth_uninstallFilter", json!([log_filter])).await, json!(false));
    assert_eq!(c.try_call("eth_getFilterChanges", json!([log_filter])).await.unwrap_err().0, -32_000);

    // Oceanid and the OP Stack.
    let output = c.call("optimism_outputAtBlock", json!(["0x2"])).await;
    let root = oceanid_primitives::output_root(
        head.header().state_root,
        head.header().withdrawals_root.expect("Layer 2 has one"),
        head_hash,
    );
    assert_eq!((&output["outputRoot"], &output["blockRef"]["hash"]), (&json!(root), &json!(head_hash)));
    assert_eq!(output["blockRef"]["l1origin"]["number"], json!(1));
    let sync = c.call("optimism_syncStatus", json!([])).await;
    assert_eq!((&sync["safe_l2"]["number"], &sync["head_l1"]["number"]), (&json!(0), &json!(1)));
    let config = c.call("optimism_rollupConfig", json!([])).await;
    assert_eq!((&config["l2_chain_id"], &config["genesis"]["l2"]["hash"]), (&json!(L2_CHAIN), &json!(genesis_hash)));
    assert!(c.call("optimism_version", json!([])).await.as_str().unwrap().starts_with('v'));
    let committee = c.call("seq_committee", json!(["latest"])).await;
    assert_eq!((&committee["epoch"], &committee["committee"]["id"]), (&json!(0), &json!(1)));
    assert_eq!(c.call("seq_committee", json!([0])).await, committee);
    assert_eq!(c.try_call("seq_committee", json!(["0x63"])).await.unwrap_err().0, -32_001);
    let epoch = c.call("seq_epoch", json!([])).await;
    assert_eq!((&epoch["firstBlock"], &epoch["lastBlock"], &epoch["before"]), (&json!(0), &json!(63), &Value::Null));
    assert_eq!((&epoch["committee"], &epoch["after"]), (&committee["committee"], &json!(1)));
    assert_eq!(epoch["work"].as_array().unwrap().len(), 1);
    assert_eq!(
        (epoch["nextSlots"].as_array().unwrap().len(), &epoch["nextSlots"][0]),
        (32, &json!({ "view": 5, "seat": 0, "member": 1 }))
    );
    assert_eq!(c.call("seq_epoch", json!([0])).await, epoch);
    assert_eq!(c.try_call("seq_epoch", json!(["0x63"])).await.unwrap_err().0, -32_001);
    let batch = c.call("seq_batch", json!([])).await;
    assert_eq!((&batch["index"], &batch["lastBlock"], &batch["status"]), (&json!(7), &json!(2), &json!("accepted")));
    chain.ledger.set_marks(oceanid_store::Marks { safe: 2, finalized: 0 }).unwrap();
    assert_eq!(c.call("seq_batch", json!(["0x6"])).await["status"], json!("safe"));
    chain.ledger.set_marks(oceanid_store::Marks { safe: 2, finalized: 2 }).unwrap();
    assert_eq!(c.call("seq_batch", json!([6])).await["status"], json!("final"));
    assert_eq!(c.call("seq_batch", json!([8])).await, Value::Null);
    let certificate = c.call("seq_certificate", json!(["0x2"])).await;
    assert_eq!(certificate["certificate"], json!(format!("0x{}", hex::encode("certificate"))));
    assert_eq!((&certificate["view"], &certificate["blockHash"]), (&json!(2), &json!(head_hash)));
    assert_eq!(c.call("seq_certificate", json!(["0x0"])).await, Value::Null);
    assert_eq!(c.call("seq_evidence", json!([])).await["count"], json!(0));
    assert_eq!(c.call("seq_evidence", json!(["0x40"])).await, json!({ "count": 64, "evidence": [], "next": null }));
    let status = c.call("seq_status", json!([])).await;
    assert_eq!((&status["role"], &status["waiting"][0]["remedy"]), (&json!("sequencer"), &json!("check --l1")));
    assert_eq!(status["waiting"][0]["code"], "l1-unreachable");
    assert!(oceanid_rpc::WaitCode::ALL.iter().all(|code| json!(code) == code.as_str()), "one name everywhere");
    assert_eq!((&status["head"], &status["peers"]), (&json!(4), &json!(3)));

    methods::of_both(c, &block, counter).await;
    methods::refused_on_layer_two(c).await;

    for method in ["eth_subscribe", "eth_unsubscribe"] {
        let (code, message, _) = c.try_call(method, json!(["newHeads"])).await.unwrap_err();
        assert!(code == -32_601 && message.contains("need a ws connection"), "{code} {message}");
    }

    // Nothing is served that was not called here; and the documentation names everything.
    let called = c.called();
    let served: BTreeSet<String> = chain.server.methods().iter().map(|method| (*method).to_owned()).collect();
    assert_eq!(called, served);
    documented(chain.server.methods());
    assert_eq!(oceanid_rpc::catalogue(true).into_iter().map(str::to_owned).collect::<BTreeSet<_>>(), served);
    chain.server.stop().await;
}

/// docs/rpc.md names each method; those that end alike may be shortened to `…ByHash`.
fn documented(methods: &[&str]) {
    let page = include_str!("../../../../docs/rpc.md");
    for method in methods {
        let short = ["ByHash", "ByBlockHash", "ByBlockHashAndIndex"].iter().any(|end| method.ends_with(end));
        assert!(page.contains(method) || short, "docs/rpc.md does not mention {method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_of_the_embedded_l1_answers() {
    let chain = Ethereum::start().await;
    let c = &chain.client;
    let (raw, hash) = chain.transfer(0, TO, 5);
    c.call("eth_sendRawTransaction", json!([raw])).await;
    assert_eq!(c.call("evm_setNextBlockTimestamp", json!([GENESIS_TIME + 100])).await, json!(true));
    assert_eq!(c.call("evm_mine", json!([])).await, json!("0x0"));
    let block = c.call("eth_getBlockByNumber", json!(["latest", false])).await;
    assert_eq!((number(&block["timestamp"]), &block["transactions"]), (u128::from(GENESIS_TIME) + 100, &json!([hash])));
    let receipt = c.call("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!((&receipt["status"], receipt.get("l1Fee")), (&json!("0x1"), None));
    assert_eq!(c.call("evm_increaseTime", json!([60])).await, json!("0x3c"));
    c.call("anvil_mine", json!(["0x2"])).await;
    c.call("hardhat_mine", json!([])).await;
    assert_eq!(c.call("eth_blockNumber", json!([])).await, json!("0x4"));
    assert_eq!(c.call("eth_getBlockByNumber", json!(["finalized", false])).await["number"], json!("0x2"));
    for (method, balance) in [("anvil_setBalance", "0x7"), ("hardhat_setBalance", "0x8")] {
        c.call(method, json!([TO, balance])).await;
        assert_eq!(c.call("eth_getBalance", json!([TO, "latest"])).await, json!(balance));
    }
    let late = c.try_call("evm_setNextBlockTimestamp", json!([1])).await.unwrap_err();
    assert_eq!((late.0, late.1.as_str()), (-32_000, "timestamp: not after the head's"));
    let many = c.try_call("anvil_mine", json!(["0x100000"])).await.unwrap_err();
    assert_eq!((many.0, many.1.as_str()), (-32_602, "invalid argument `blocks`: 1048576, limit 10000"));
    assert_eq!(c.try_call("seq_status", json!([])).await.unwrap_err().0, -32_601);
    documented(chain.server.methods());
    let served: BTreeSet<&str> = chain.server.methods().iter().copied().collect();
    assert_eq!(oceanid_rpc::catalogue(false), served);
    methods::for_development(c).await;
}

async fn next(subscription: &mut Subscription<Value>) -> Value {
    let item = tokio::time::timeout(Duration::from_secs(10), subscription.next()).await.expect("within ten seconds");
    item.expect("not closed").expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_miss_nothing() {
    let (chain, counter) = lived_in().await;
    let client = WsClientBuilder::default().build(chain.server.ws_url()).await.expect("ws on the same port");
    let subscribe = async |params: Value| {
        let mut array = ArrayParams::new();
        params.as_array().expect("an array").iter().for_each(|param| array.insert(param).expect("JSON"));
        client.subscribe::<Value, _>("eth_subscribe", array, "eth_unsubscribe").await
    };
    let mut heads = subscribe(json!(["newHeads"])).await.unwrap();
    let mut logs = subscribe(json!(["logs", { "address": counter }])).await.unwrap();
    let mut hashes = subscribe(json!(["newPendingTransactions"])).await.unwrap();
    let mut full = subscribe(json!(["newPendingTransactions", true])).await.unwrap();
    let mut syncing = subscribe(json!(["syncing"])).await.unwrap();
    let told = next(&mut syncing).await;
    assert_eq!((&told["syncing"], &told["status"]["highestBlock"]), (&json!(true), &json!("0x9")));
    assert!(subscribe(json!(["newColours"])).await.is_err());
    assert!(subscribe(json!([])).await.is_err());

    let first = chain.ledger.head().number() + 1;
    for nonce in 4..4 + 20 {
        let (raw, hash) = chain.invoke(nonce, counter);
        chain.client.call("eth_sendRawTransaction", json!([raw])).await;
        assert_eq!(next(&mut hashes).await, json!(hash));
        assert_eq!(next(&mut full).await["hash"], json!(hash));
        chain.mine();
    }
    for number in first..first + 20 {
        let hash = chain.ledger.store().hash_of(number).unwrap().unwrap();
        assert_eq!(next(&mut heads).await["hash"], json!(hash));
        assert_eq!(next(&mut logs).await["blockHash"], json!(hash));
    }
    heads.unsubscribe().await.unwrap();
    chain.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_state_is_gone_but_withdrawals_stay_provable() {
    let (chain, _) = lived_in().await;
    let c = &chain.client;
    let old = c.call("eth_getProof", json!([predeploys::MESSAGE_PASSER, ["0x5"], "0x1"])).await;
    // A flush prunes below what the one before it has written.
    for _ in 0..HISTORY + 4 {
        chain.mine();
        chain.ledger.store().flush().unwrap();
    }
    let (code, message, _) = c.try_call("eth_getBalance", json!([TO, "0x1"])).await.unwrap_err();
    assert_eq!(code, -32_000);
    assert!(message.contains("state of block 1 is no longer kept"), "{message}");
    let proof = c.call("eth_getProof", json!([predeploys::MESSAGE_PASSER, ["0x5"], "0x1"])).await;
    assert_eq!((&proof["storageHash"], &proof["storageProof"]), (&old["storageHash"], &old["storageProof"]));
    assert_eq!((&proof["accountProof"], &proof["codeHash"]), (&json!([]), &old["codeHash"]));
    assert_eq!(c.call("eth_getBlockByNumber", json!(["0x1", false])).await["number"], json!("0x1"));
    let receipts = c.call("eth_getBlockReceipts", json!(["0x1"])).await;
    assert_eq!(receipts.as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_l1_data_fee_is_in_the_receipt_and_in_the_balance() {
    use predeploys::{L1_BLOCK_INFO, l1_block_info, slot};
    let chain = Rollup::with_spec(
        |spec| {
            spec.l1_data_fee = L1DataFee { calldata_scalar: 1_000_000, blob_scalar: 0 };
            let word = |value: u128| B256::from(U256::from(value));
            let prices = [(l1_block_info::BASE_FEE, word(GWEI)), (l1_block_info::GAS_TOKEN_RATIO, word(50 * ETHER))];
            let prices = prices.into_iter().map(|(number, value)| (slot(number).into(), value)).collect();
            spec.alloc.entry(L1_BLOCK_INFO).and_modify(|account| account.storage = Some(prices));
        },
        |_| {},
    )
    .await;
    let c = &chain.client;
    let balance = async || number(&c.call("eth_getBalance", json!([key().address(), "latest"])).await);
    let before = balance().await;
    let (raw, hash) = chain.transfer(0, TO, 5);
    c.call("eth_sendRawTransaction", json!([raw])).await;
    chain.mine();
    let receipt = c.call("eth_getTransactionReceipt", json!([hash])).await;
    let fee = number(&receipt["l1Fee"]);
    let bytes = u128::from(oceanid_stf::estimated_bytes(&raw));
    assert_eq!(fee, bytes * 16 * GWEI * 50);
    let gas = number(&receipt["gasUsed"]) * number(&receipt["effectiveGasPrice"]);
    assert_eq!(before - balance().await, 5 + gas + fee);
    // The pool counts the fee: what is left after value and gas does not cover it.
    let left = balance().await;
    let (raw, _) = chain.transfer(1, TO, left - 200_000 * 10 * GWEI);
    let (code, message, _) = c.try_call("eth_sendRawTransaction", json!([raw])).await.unwrap_err();
    assert!(code == -32_000 && message.starts_with("insufficient funds for gas * price + value"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_name_the_argument_and_the_limit() {
    let (chain, counter) = lived_in().await;
    let c = &chain.client;
    let many_keys: Vec<String> = (0..1_025).map(|key| format!("{key:#x}")).collect();
    let many_topics: Vec<B256> = (0..1_001u64).map(|topic| B256::from(U256::from(topic))).collect();
    let cases = [
        ("eth_getBalance", json!([]), -32_602, "missing value for required argument `address`"),
        ("eth_getBalance", json!(["0x12"]), -32_602, "invalid argument `address`"),
        ("eth_getBalance", json!([TO, "newest"]), -32_602, "invalid argument `block`"),
        ("eth_getBalance", json!([TO, "0x63"]), -32_001, "block 99 does not exist: the head is block 2"),
        ("eth_getBalance", json!([TO, { "blockHash": B256::ZERO }]), -32_001, "does not exist"),
        ("eth_getProof", json!([TO, many_keys]), -32_602, "invalid argument `storageKeys`: 1025 keys, limit 1024"),
        ("eth_getLogs", json!([{ "topics": [many_topics] }]), -32_602, "filter.topics[0]`: 1001 alternatives, limit 1000"),
        ("eth_getLogs", json!([{ "fromBlock": "0x2", "toBlock": "0x1" }]), -32_602, "invalid argument `filter`"),
        ("eth_feeHistory", json!(["0x1", "latest", [2, 1]]), -32_602, "invalid argument `rewardPercentiles`"),
        ("eth_feeHistory", json!(["many", "latest"]), -32_602, "invalid argument `blockCount`"),
        ("eth_sendRawTransaction", json!(["0x"]), -32_602, "invalid argument `transaction`"),
        ("eth_sendRawTransaction", json!([chain.transfer(0, TO, 1).0]), -32_000, "nonce too low: next nonce 4, tx nonce 0"),
        ("eth_sendRawTransaction", json!([chain.transfer(4, TO, 2_000 * ETHER).0]), -32_000, "insufficient funds for gas"),
        ("eth_sendRawTransactionSync", json!(["0x02", 60_001]), -32_602, "invalid argument `timeout`: 60001 ms, limit 60000"),
        ("eth_call", json!([{ "to": TO, "chainId": "0x1" }]), -32_602, "invalid argument `transaction.chainId`"),
        ("eth_call", json!([{ "gasPrice": "0x1", "maxFeePerGas": "0x1" }]), -32_602, "invalid argument `transaction`"),
        ("eth_call", json!([{ "to": TO, "data": "0x01", "input": "0x02" }]), -32_602, "transaction"),
        ("eth_call", json!([{ "to": TO, "blobVersionedHashes": [B256::ZERO] }]), -32_602, "not accepted on this Layer 2"),
        (
            "eth_call",
            json!([{}, "latest", { TO.to_string(): { "movePrecompileToAddress": counter } }]),
            -32_000,
            "not a precompile",
        ),
        ("eth_call", json!([{}, "latest", {}, { "difficulty": "0x1" }]), -32_602, "blockOverrides.difficulty"),
        (
            "eth_call",
            json!([{ "from": TO, "to": counter, "value": "0xffffffffff" }]),
            -32_000,
            "insufficient funds for gas * price + value",
        ),
        // INVALID.
        ("eth_call", json!([{ "data": "0xfe" }]), -32_000, "invalid opcode"),
        // JUMPDEST PUSH0 JUMP: runs until the cap of 50,000,000 gas.
        ("eth_call", json!([{ "data": "0x5b5f56", "gas": "0xffffffffffff" }]), -32_000, "out of gas"),
        ("eth_estimateGas", json!([{ "data": "0x5b5f56" }]), -32_000, "gas required exceeds allowance (30000000)"),
        ("debug_traceTransaction", json!([B256::ZERO]), -32_000, "is in no block"),
        ("debug_traceCall", json!([{}, "latest", { "tracer": "{step: function() {}}" }]), -32_602, "options.tracer"),
        (
            "debug_traceCall",
            json!([{}, "latest", { "tracer": "calTracer" }]),
            -32_602,
            "must be one of callTracer, flatCallTracer, ",
        ),
        ("debug_traceCall", json!([{}, "latest", { "tracer": "erc7562Tracer" }]), -32_602, "muxTracer, noopTracer, or absent"),
        // An endless loop, step by step: the trace ends before memory does.
        ("debug_traceCall", json!([{ "data": "0x5b5f56" }, "latest", {}]), -32_005, "more than 4,000,000 stack words"),
        ("seq_evidence", json!(["first"]), -32_602, "invalid argument `from`"),
        ("seq_committee", json!(["next"]), -32_602, "invalid argument `epoch`: must be a number or `latest`"),
    ];
    for (method, params, code, text) in cases {
        let (got, message, _) = c.try_call(method, params.clone()).await.expect_err(method);
        assert!(got == code && message.contains(text), "{method}({params}): {got} {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold() {
    let chain = Rollup::start(|config| {
        config.max_filters = 2;
        config.filter_lifetime = Duration::from_secs(5);
        config.max_log_blocks = 2;
        config.max_request_bytes = 2_000;
        config.max_batch = 3;
        config.max_calls = 1;
    })
    .await;
    let c = &chain.client;
    for _ in 0..4 {
        chain.mine();
    }
    let wide = c.try_call("eth_getLogs", json!([{ "fromBlock": "0x0" }])).await.unwrap_err();
    assert_eq!((wide.0, wide.1.as_str()), (-32_005, "query exceeds the limit of 2 blocks: from 0 to 4"));
    for _ in 0..2 {
        c.call("eth_newBlockFilter", json!([])).await;
    }
    assert_eq!(c.try_call("eth_newBlockFilter", json!([])).await.unwrap_err().0, -32_005);
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    c.call("eth_newBlockFilter", json!([])).await;
    // Behind a gate of one, many calls still all get through.
    let calls = (0..20).map(|_| c.call("eth_call", json!([{ "to": TO }])));
    assert_eq!(futures::future::join_all(calls).await.len(), 20);

    let address = chain.server.address();
    let one = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    assert!(post(address, one).contains("\"0x1092\""));
    let batch = |count: usize| format!("[{}]", vec![one; count].join(","));
    assert!(post(address, &batch(3)).matches("0x1092").count() == 3);
    assert!(post(address, &batch(4)).contains("-32010"));
    assert!(post(address, &" ".repeat(3_000)).contains("413"));
}

/// JUMPDEST, PUSH0, JUMP: a loop without end.
const LOOP: &str = "0x5b5f56";

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_a_trace_are_those_of_the_whole_request() {
    let (chain, _) = lived_in().await;
    let c = &chain.client;
    // Steps: one call of the loop is within the limit, three together are not.
    let call = json!([{ "data": LOOP, "gas": "0xf4240" }, ["vmTrace"]]);
    c.call("trace_callMany", json!([[call], "latest"])).await;
    let (code, message, _) = c.try_call("trace_callMany", json!([[call, call, call], "latest"])).await.unwrap_err();
    assert!(code == -32_005 && message.contains("more than 4,000,000 stack words"), "{message}");
    // A thousand calls, each with 1 MiB of input; and then each with 128 KiB of output.
    let inputs = json!({ "data": "0x5b5f5f621000005f5f61dead5af1505f56" });
    let outputs = json!({ "data": "0x5b5f5f5f5f5f61c0de5af1505f56" });
    let returns = json!({ "0x000000000000000000000000000000000000c0de": { "code": "0x620200005ff3" } });
    let mux = json!({ "tracer": "muxTracer", "tracerConfig": { "callTracer": {}, "prestateTracer": {} } });
    for (call, tracer) in [
        (&inputs, &mux),
        (&outputs, &mux),
        (&outputs, &json!({ "tracer": "callTracer" })),
        (&inputs, &json!({ "tracer": "callTracer" })),
    ] {
        let mut options = tracer.clone();
        options["stateOverrides"] = returns.clone();
        let (code, message, _) = c.try_call("debug_traceCall", json!([call, "latest", options])).await.unwrap_err();
        assert!(code == -32_005 && message.contains("more than 64 MiB"), "{tracer}: {code} {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_filter_with_a_count_ends_there_and_without_a_beginning_looks_at_the_last_blocks() {
    let chain = Ethereum::start().await;
    let c = &chain.client;
    c.call("anvil_mine", json!([110])).await;
    for nonce in 0..3 {
        c.call("eth_sendRawTransaction", json!([chain.transfer(nonce, TO, 1).0])).await;
    }
    c.call("evm_mine", json!([])).await;
    let count = async |filter: Value| c.call("trace_filter", json!([filter])).await.as_array().expect("a list").len();
    assert_eq!(count(json!({ "toAddress": [TO] })).await, 3);
    assert_eq!(count(json!({ "toAddress": [TO], "count": 2 })).await, 2);
    assert_eq!(count(json!({ "toAddress": [TO], "after": 2, "count": 1_000_000 })).await, 1);
    let (code, message, _) = c.try_call("trace_filter", json!([{ "fromBlock": "0x1" }])).await.unwrap_err();
    assert!(code == -32_005 && message.contains("limit of 100 blocks"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mux_and_four_byte_traces_tell_what_their_parts_do() {
    let (chain, counter) = lived_in().await;
    let c = &chain.client;
    let call = json!({ "to": counter, "data": "0x1234567800" });
    let four_byte = c.call("debug_traceCall", json!([call, "latest", { "tracer": "4byteTracer" }])).await;
    assert_eq!(four_byte, json!({ "0x12345678-1": 1 }));
    let calls = c.call("debug_traceCall", json!([call, "latest", { "tracer": "callTracer" }])).await;
    let parts = json!({ "callTracer": {}, "4byteTracer": null });
    let mux = c.call("debug_traceCall", json!([call, "latest", { "tracer": "muxTracer", "tracerConfig": parts }])).await;
    assert_eq!((&mux["callTracer"], &mux["4byteTracer"]), (&calls, &four_byte));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_a_million_empty_calls_is_refused_and_never_kept() {
    let chain = Rollup::start(|_| {}).await;
    let many = vec!["{}"; 1_000_000].join(",");
    let simulate = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"eth_simulateV1","params":[{{"blockStateCalls":[{{"calls":[{many}]}}]}}]}}"#
    );
    let answer = post(chain.server.address(), &simulate);
    assert!(answer.contains("-32602") && answer.contains("more than 1000"), "{answer}");
    let blocks = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_simulateV1","params":[{{"blockStateCalls":[{many}]}}]}}"#);
    let answer = post(chain.server.address(), &blocks);
    assert!(answer.contains("-38026") && answer.contains("limit 256"), "{answer}");
    let longer = " ".repeat(6 << 20);
    assert!(post(chain.server.address(), &longer).contains("413"));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_bytes_in_flight_are_refused_at_once() {
    let chain = Rollup::start(|config| config.max_bytes_in_flight = 200_000).await;
    let address = chain.server.address();
    // A large body that does not come to its end holds its bytes.
    let mut slow = std::net::TcpStream::connect(address).expect("the server listens");
    slow.write_all(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 150000\r\n\r\n{")
        .expect("writable");
    let large = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"web3_sha3","params":["0x{}"]}}"#, "00".repeat(50_000));
    let refused = (0..1_000).any(|_| {
        std::thread::sleep(Duration::from_millis(5)); // until the server has seen the slow one
        post(address, &large).contains("503")
    });
    assert!(refused);
    let small = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    assert!(post(address, small).contains("0x1092"), "small ones are not held up");
    drop(slow);
    for _ in 0..100 {
        if post(address, &large).contains("200 OK") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the bytes are not given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_is_given_up_and_holds_up_no_stop() {
    let chain = Rollup::start(|config| {
        config.timeout = Duration::from_secs(1);
        config.max_bytes_in_flight = 200_000;
    })
    .await;
    let address = chain.server.address();
    let unfinished = || {
        let mut slow = std::net::TcpStream::connect(address).expect("the server listens");
        slow.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket option");
        slow.write_all(
            b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 150000\r\n\r\n{",
        )
        .expect("writable");
        slow
    };
    let mut answer = String::new();
    unfinished().read_to_string(&mut answer).expect("an answer, then the end");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let large = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"web3_sha3","params":["0x{}"]}}"#, "00".repeat(50_000));
    assert!(post(address, &large).contains("200 OK"), "its bytes are given back");

    let patient = Rollup::start(|config| config.timeout = Duration::from_secs(600)).await;
    let mut slow = std::net::TcpStream::connect(patient.server.address()).expect("the server listens");
    slow.write_all(b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 150000\r\n\r\n{").expect("writable");
    tokio::time::timeout(Duration::from_secs(60), patient.server.stop()).await.expect("a stop waits for no request for long");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_of_a_batch_counts_among_the_bytes_in_flight() {
    let chain = Rollup::start(|config| config.max_bytes_in_flight = 200_000).await;
    let batch = |count: usize| format!("[{}]", vec![r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#; count].join(","));
    assert!(post(chain.server.address(), &batch(150)).contains("0x1092"));
    let answer = post(chain.server.address(), &batch(250));
    assert!(answer.contains("-32005") && answer.contains("too many requests at once"), "{answer}");
    let ws = WsClientBuilder::default().build(chain.server.ws_url()).await.expect("ws");
    let mut params = ArrayParams::new();
    params.insert(format!("0x{}", "00".repeat(100_000))).expect("JSON");
    let refused = ws.request::<Value, _>("web3_sha3", params).await.unwrap_err().to_string();
    assert!(refused.contains("-32005"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poller_that_was_away_gets_the_rest_with_the_next_poll() {
    let chain = Rollup::start(|config| config.max_logs = 3).await;
    let c = &chain.client;
    let counter = key().address().create(0);
    c.call("eth_sendRawTransaction", json!([chain.deploy(0).0])).await;
    chain.mine();
    let filter = c.call("eth_newFilter", json!([{ "address": counter }])).await;
    // Two logs in each of three blocks, five in a fourth: more than the limit in one block.
    let mut nonce = 1;
    for logs in [2, 2, 2, 5] {
        for _ in 0..logs {
            c.call("eth_sendRawTransaction", json!([chain.invoke(nonce, counter).0])).await;
            nonce += 1;
        }
        chain.mine();
    }
    let mut polls = Vec::new();
    for _ in 0..5 {
        polls.push(c.call("eth_getFilterChanges", json!([filter])).await.as_array().expect("a list").len());
    }
    assert_eq!(polls, [2, 2, 2, 5, 0]);
    let asked = |from: &str| json!([{ "address": counter, "fromBlock": from, "toBlock": "latest" }]);
    let (code, message, _) = c.try_call("eth_getLogs", asked("0x2")).await.unwrap_err();
    assert!(code == -32_005 && message.ends_with("ask for blocks 2 to 2"), "{message}");
    assert_eq!(c.call("eth_getLogs", asked("0x5")).await.as_array().expect("a list").len(), 5, "one block is never too much");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_longer_than_an_answer_is_no_more_written_than_that() {
    let chain = Rollup::start(|config| config.max_response_bytes = 20_000).await;
    let c = &chain.client;
    for nonce in 0..40 {
        c.call("eth_sendRawTransaction", json!([chain.transfer(nonce, TO, 1).0])).await;
    }
    let (code, message, _) = c.try_call("txpool_content", json!([])).await.unwrap_err();
    assert!(code == -32_005 && message.contains("response is larger than 20000 bytes"), "{code} {message}");
    let inspected = c.call("txpool_inspect", json!([])).await;
    assert_eq!(inspected["pending"][key().address().to_string()].as_object().expect("by nonce").len(), 40);
    assert_eq!(c.call("txpool_contentFrom", json!([TO])).await, json!({ "pending": {}, "queued": {} }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_filter_is_removed_though_nobody_makes_another() {
    let chain = Rollup::start(|config| config.filter_lifetime = Duration::from_millis(80)).await;
    let c = &chain.client;
    let filter = c.call("eth_newPendingTransactionFilter", json!([])).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(c.call("eth_uninstallFilter", json!([filter])).await, json!(false), "it is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_filters_and_subscriptions_keep_hashes_only() {
    let (chain, _) = lived_in().await;
    let c = &chain.client;
    let hashes = c.call("eth_newPendingTransactionFilter", json!([])).await;
    let full = c.call("eth_newPendingTransactionFilter", json!([true])).await;
    let (raw, hash) = chain.transfer(4, TO, 1);
    c.call("eth_sendRawTransaction", json!([raw])).await;
    let pooled = std::sync::Arc::downgrade(&chain.pool.get(&hash).expect("in the pool"));
    chain.mine();
    assert_eq!(c.call("eth_getFilterChanges", json!([hashes])).await, json!([hash]));
    let found = c.call("eth_getFilterChanges", json!([full])).await;
    assert_eq!((&found[0]["hash"], &found[0]["blockNumber"]), (&json!(hash), &json!("0x3")), "by now it is in a block");
    for _ in 0..100 {
        if pooled.upgrade().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("somebody keeps what has left the pool");
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_and_origins_are_the_operators_to_say() {
    let chain = Rollup::start(|config| {
        config.namespaces = vec!["eth".to_owned(), "seq".to_owned()];
        config.cors = vec!["https://wallet.example".to_owned()];
    })
    .await;
    let c = &chain.client;
    c.call("eth_chainId", json!([])).await;
    for method in ["debug_traceCall", "trace_block", "web3_sha3", "txpool_content"] {
        assert_eq!(c.try_call(method, json!([])).await.unwrap_err().0, -32_601, "{method}");
    }
    let document = c.call("rpc.discover", json!([])).await.to_string();
    assert!(document.contains("eth_chainId") && !document.contains("debug_traceCall"));
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    assert!(!post(chain.server.address(), body).contains("access-control-allow-origin"), "https://example.org may not");
    for (origin, answer) in [("https://evil.example", "HTTP/1.1 403"), ("https://wallet.example", "HTTP/1.1 101")] {
        let mut stream = upgrade(chain.server.address(), origin);
        let mut answered = [0; 12];
        stream.read_exact(&mut answered).expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answered), answer, "{origin}");
    }
    let mut config = oceanid_rpc::RpcConfig { namespaces: vec!["ethereum".to_owned()], ..Default::default() };
    config.listen.set_port(0);
    let backend =
        oceanid_rpc::Backend::rollup(chain.ledger.clone(), chain.pool.clone(), std::sync::Arc::new(fixture::FakeStatus));
    let unknown = oceanid_rpc::RpcServer::start(config, backend).await.unwrap_err().to_string();
    assert!(unknown.starts_with("RPC has no namespace `ethereum`: there are anvil, debug, eth,"), "{unknown}");
}

/// A connection on which the upgrade to ws was asked for.
fn upgrade(address: std::net::SocketAddr, origin: &str) -> std::net::TcpStream {
    let mut stream = std::net::TcpStream::connect(address).expect("the server listens");
    let key = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let head = format!(
        "GET / HTTP/1.1\r\nhost: localhost\r\norigin: {origin}\r\nconnection: upgrade\r\nupgrade: websocket\r\n{key}\r\n"
    );
    stream.write_all(head.as_bytes()).expect("writable");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ws_client_that_stops_reading_is_closed() {
    let chain = Rollup::start(|config| config.send_timeout = Duration::from_millis(300)).await;
    let mut stream = upgrade(chain.server.address(), "http://localhost");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket option");
    // Each answer has some ten megabytes: eight are more than sockets take before somebody reads.
    let call = json!([{ "data": LOOP, "gas": "0x493e0" }, "latest"]);
    let started = std::time::Instant::now();
    chain.client.call("debug_traceCall", call.clone()).await;
    let all = started.elapsed() * 8 + Duration::from_secs(2);
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "debug_traceCall", "params": call }).to_string();
    for _ in 0..8 {
        stream.write_all(&fuzz::frame(1, request.as_bytes())).expect("writable");
    }
    tokio::time::sleep(all).await;
    let mut taken = Vec::new();
    if let Err(error) = stream.read_to_end(&mut taken) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the connection lives: {} bytes came", taken.len());
    }
    chain.client.call("eth_blockNumber", json!([])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_are_limited_for_one_and_for_all() {
    let chain = Rollup::start(|config| (config.max_subscriptions, config.max_all_subscriptions) = (2, 3)).await;
    let mut clients = Vec::new();
    let mut open = Vec::new();
    for expected in [2, 1, 0] {
        let client = WsClientBuilder::default().build(chain.server.ws_url()).await.expect("ws");
        let mut made = 0;
        for _ in 0..3 {
            let mut params = ArrayParams::new();
            params.insert("newHeads").expect("JSON");
            if let Ok(subscription) = client.subscribe::<Value, _>("eth_subscribe", params, "eth_unsubscribe").await {
                open.push(subscription);
                made += 1;
            }
        }
        assert_eq!(made, expected);
        clients.push(client);
    }
}

/// One http exchange.
fn post(address: std::net::SocketAddr, body: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).expect("the server listens");
    let head = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\norigin: https://example.org\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("writable");
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(body.as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_gets_an_error_and_the_server_lives() {
    let (chain, _) = lived_in().await;
    let address = chain.server.address();
    for body in
        ["", "{", "[]", "null", "{\"jsonrpc\":\"2.0\"}", "\u{0}\u{1}", "[[[[", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}"]
    {
        assert!(post(address, body).starts_with("HTTP/1.1 "), "{body:?}");
    }
    let named = post(address, r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":{"address":"0x00"}}"#);
    assert!(named.contains("-32602") && named.contains("must be an array"), "{named}");
    assert!(!named.contains("access-control-allow-origin"), "no web page may call unless the operator says so");

    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    let junk = [
        "null",
        "true",
        "-1",
        "1e400",
        "18446744073709551616",
        "\"\"",
        "\"0x\"",
        "\"0xzz\"",
        "\"latest\"",
        "\"0xffffffffffffffffff\"",
        "{}",
        "[]",
        "[[]]",
        "{\"\":null}",
        "\"\\ud800\"",
        "{\"blockHash\":1}",
        "{\"topics\":[[[]]]}",
        "{\"fromBlock\":\"0xffffffffffffffff\"}",
        "{\"gas\":\"0xffffffffffffffff\",\"value\":\"0x1\",\"gasPrice\":\"0xffffffffffffffffffffffffffffffff\"}",
        &deep,
    ];
    for method in chain.server.methods() {
        for first in junk {
            for rest in ["", ",null", ",\"latest\",{}", ",[],[],[],[]"] {
                let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":[{first}{rest}]}}"#);
                let answer = post(address, &body);
                let is_answer = answer.contains("\"result\"") || answer.contains("\"error\"");
                assert!(is_answer && !answer.contains("-32603"), "{body}: {answer}");
            }
        }
    }
    assert_eq!(chain.client.call("eth_blockNumber", json!([])).await, json!("0x2"));
}

/// The whole answer to a request without a body.
fn request(address: std::net::SocketAddr, method: &str, target: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket option");
    write!(stream, "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_share_the_port_with_json_rpc_and_ws() {
    let (chain, _) = lived_in().await;
    let address = chain.server.address();
    let page = request(address, "GET", "/block/1?x=y");
    assert!(page.starts_with("HTTP/1.1 200") && page.ends_with("<p>/block/1?x=y</p>"), "{page}");
    assert!(page.contains("content-type: text/html") && page.contains("x-frame-options: DENY"), "{page}");
    assert!(!page.contains("access-control"), "other sites have no business with pages: {page}");
    assert!(request(address, "GET", "/none").starts_with("HTTP/1.1 404"));
    let head = request(address, "HEAD", "/");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(request(address, "GET", &format!("/{}", "x".repeat(4_000))).starts_with("HTTP/1.1 414"));
    assert!(request(address, "GET", "/panic").starts_with("HTTP/1.1 500"), "a page that fails takes nothing with it");

    assert_eq!(chain.client.call("eth_blockNumber", json!([])).await, json!("0x2"));
    let ws = WsClientBuilder::default().build(chain.server.ws_url()).await.expect("an upgrade is no page");
    drop(ws);

    let ethereum = Ethereum::start().await;
    assert!(request(ethereum.server.address(), "GET", "/").starts_with("HTTP/1.1 405"), "no pages were given");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_one_line_that_names_it() {
    let first = Ethereum::start().await;
    let backend = Rollup::start(|_| {}).await;
    let config = oceanid_rpc::RpcConfig::new(first.server.address());
    let taken = oceanid_rpc::RpcServer::start(
        config,
        oceanid_rpc::Backend::rollup(backend.ledger.clone(), backend.pool.clone(), std::sync::Arc::new(fixture::FakeStatus)),
    )
    .await
    .unwrap_err()
    .to_string();
    // What to change is known to whoever chose the address.
    assert!(taken.starts_with(&format!("RPC cannot listen on {}: ", first.server.address())), "{taken}");
    assert!(!taken.contains('\n'));
}
