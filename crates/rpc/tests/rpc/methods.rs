//! Methods that both kinds of chain have beyond the usual ones, and those for development.
#![allow(clippy::unwrap_used, reason = "these are tests, called by others")]

use crate::fixture::{Client, key};
use alloy_primitives::{Address, B256, Bytes, U256, address, hex, keccak256};
use oceanid_primitives::SealedBlock;
use serde_json::{Value, json};

const IDENTITY: Address = address!("0000000000000000000000000000000000000004");
const ELSEWHERE: Address = address!("00000000000000000000000000000000c0ffee00");

/// `block` is the newest one and holds a call of `counter`, a contract that counts in slot 0 and logs.
pub(crate) async fn of_both(c: &Client, block: &SealedBlock, counter: Address) {
    let tx = block.body().last().expect("a call");
    let (number, hash) = (json!(format!("{:#x}", block.number())), json!(tx.hash()));

    // Small ones.
    let capabilities = c.call("eth_capabilities", json!([])).await;
    assert_eq!(capabilities["head"]["hash"], json!(block.hash()));
    assert!(c.call("eth_baseFee", json!([])).await.is_string());
    let asked = json!([{ counter.to_string(): ["0x0", "0x1"] }]);
    let values = c.call("eth_getStorageValues", asked).await;
    assert_eq!(values[counter.to_string().to_lowercase()][1], json!(B256::ZERO));
    let config = c.call("eth_config", json!([])).await;
    assert_eq!((&config["next"], &config["current"]["precompiles"]["ID"]), (&Value::Null, &json!(IDENTITY)));
    assert_eq!(config["current"]["forkId"].as_str().unwrap().len(), 10);
    let document = c.call("rpc.discover", json!([])).await;
    assert_eq!(document["openrpc"], json!("1.3.2"));
    let methods = document["methods"].as_array().unwrap().iter().map(|method| method["name"].as_str().unwrap());
    let namespaces: serde_json::Map<_, _> =
        methods.map(|name| (name.split(['_', '.']).next().unwrap().to_owned(), json!("1.0"))).collect();
    assert_eq!(c.call("rpc_modules", json!([])).await, Value::Object(namespaces), "the namespaces that are served, no other");

    // Encodings.
    let header = c.call("debug_getRawHeader", json!([number])).await;
    assert_eq!(keccak256(hex::decode(header.as_str().unwrap()).unwrap()), block.hash());
    let raw = c.call("debug_getRawBlock", json!([block.hash()])).await;
    let size = c.call("eth_getBlockByNumber", json!([number, false])).await["size"].clone();
    let bytes = hex::decode(raw.as_str().unwrap()).unwrap();
    assert_eq!(size, json!(format!("{:#x}", bytes.len())));
    let tracer = json!({ "tracer": "callTracer" });
    let traced = c.call("debug_traceBlock", json!([raw, tracer])).await;
    assert_eq!(traced, c.call("debug_traceBlockByHash", json!([block.hash(), tracer])).await);
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    let (code, message, _) = c.try_call("debug_traceBlock", json!([Bytes::from(other)])).await.unwrap_err();
    assert!(code == -32_602 && message.contains("its body is not that of its header"), "{code} {message}");
    assert_eq!(c.try_call("debug_traceBlock", json!(["0xc0"])).await.unwrap_err().0, -32_602);
    assert_eq!(c.try_call("debug_traceBlock", json!(["0xc2c101"])).await.unwrap_err().0, -32_001);
    assert_eq!(c.call("debug_getRawReceipts", json!([number])).await.as_array().unwrap().len(), block.body().len());
    let raw = c.call("debug_getRawTransaction", json!([hash])).await;
    assert_eq!(keccak256(hex::decode(raw.as_str().unwrap()).unwrap()), *tx.hash());

    // Parity's traces.
    let traces = c.call("trace_transaction", json!([hash])).await;
    assert_eq!((&traces[0]["type"], &traces[0]["action"]["to"]), (&json!("call"), &json!(counter)));
    assert_eq!(c.call("trace_get", json!([hash, []])).await, traces[0]);
    assert_eq!(c.call("trace_get", json!([hash, ["0x0"]])).await, Value::Null);
    let of_block = c.call("trace_block", json!([number])).await;
    assert_eq!(of_block.as_array().unwrap().last(), traces.as_array().unwrap().last());
    let found = c.call("trace_filter", json!([{ "fromBlock": number, "toBlock": number, "toAddress": [counter] }])).await;
    assert!(found.as_array().unwrap().contains(&traces[0]), "{found}");
    let replayed = c.call("trace_replayTransaction", json!([hash, ["trace", "stateDiff", "vmTrace"]])).await;
    let slot = &replayed["stateDiff"][counter.to_string().to_lowercase()]["storage"];
    assert!(slot.is_object(), "{replayed}");
    assert!(!replayed["vmTrace"]["ops"].as_array().unwrap().is_empty());
    let all = c.call("trace_replayBlockTransactions", json!([number, ["trace"]])).await;
    assert_eq!(all.as_array().unwrap().last().unwrap()["transactionHash"], hash);
    let call = json!({ "from": key().address(), "to": counter });
    let called = c.call("trace_call", json!([call, ["trace"], "latest"])).await;
    assert_eq!(called["trace"][0]["action"]["to"], json!(counter));
    let many = c.call("trace_callMany", json!([[[call, ["trace"]], [call, ["trace"]]], "latest"])).await;
    let outputs: Vec<U256> = [0, 1].map(|index: usize| many[index]["output"].as_str().unwrap().parse().unwrap()).to_vec();
    assert_eq!(outputs[1], outputs[0] + U256::ONE, "the second call sees the first");
    let sent = c.call("trace_rawTransaction", json!([raw, ["trace"]])).await;
    assert_eq!(sent["trace"][0]["action"]["to"], json!(counter));

    // The witness is enough to read the counter's account under the parent's root.
    let witness = c.call("debug_executionWitness", json!([number])).await;
    let parent = c.call("eth_getBlockByHash", json!([block.header().parent_hash, false])).await;
    let nodes: Vec<Bytes> = serde_json::from_value(witness["state"].clone()).unwrap();
    let root: B256 = serde_json::from_value(parent["stateRoot"].clone()).unwrap();
    let nodes = oceanid_trie::WitnessNodes::from_nodes(nodes);
    let account = oceanid_trie::get_account(&nodes, root, keccak256(counter)).expect("all nodes on the path are there");
    assert!(account.is_some());
    let keys: Vec<Bytes> = serde_json::from_value(witness["keys"].clone()).unwrap();
    assert!(keys.contains(&Bytes::copy_from_slice(counter.as_slice())));
    assert_eq!(
        keccak256(hex::decode(witness["headers"].as_array().unwrap().last().unwrap().as_str().unwrap()).unwrap()),
        block.header().parent_hash
    );

    simulated(c, counter).await;

    // Moved, a precompile runs at its new address and no longer at the old one.
    let moved = json!({ IDENTITY.to_string(): { "movePrecompileToAddress": ELSEWHERE } });
    let call = |to: Address| json!({ "to": to, "data": "0x1234" });
    assert_eq!(c.call("eth_call", json!([call(ELSEWHERE), "latest", moved])).await, json!("0x1234"));
    assert_eq!(c.call("eth_call", json!([call(IDENTITY), "latest", moved])).await, json!("0x"));

    for method in ["eth_sign", "eth_signTransaction", "eth_fillTransaction"] {
        let (code, message, _) = c.try_call(method, json!([])).await.unwrap_err();
        assert!(code == -32_000 && message.contains("holds no keys"), "{method}: {message}");
    }
}

async fn simulated(c: &Client, counter: Address) {
    let head = c.call("eth_getBlockByNumber", json!(["latest", false])).await;
    let number = |value: &Value| u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let next = number(&head["number"]) + 1;
    let from = key().address();
    let calls = json!([{ "from": from, "to": counter }, { "from": from, "to": ELSEWHERE, "value": "0x5" }]);
    let payload = json!({
        "blockStateCalls": [
            { "calls": calls },
            { "blockOverrides": { "number": format!("{:#x}", next + 2) }, "calls": [{ "from": from, "to": counter }] },
        ],
        "traceTransfers": true,
        "returnFullTransactions": true,
    });
    let blocks = c.call("eth_simulateV1", json!([payload, "latest"])).await;
    let blocks = blocks.as_array().unwrap();
    assert_eq!(blocks.len(), 3, "the gap is filled");
    assert_eq!(blocks[0]["parentHash"], head["hash"]);
    assert_eq!(blocks[1]["parentHash"], blocks[0]["hash"]);
    assert_eq!(blocks[0]["transactions"][0]["from"], json!(from));
    assert_eq!(blocks[0]["calls"][0]["status"], json!("0x1"));
    let transfer = &blocks[0]["calls"][1]["logs"][0];
    assert_eq!(transfer["address"], json!("0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"));
    assert_eq!((&transfer["logIndex"], &transfer["blockHash"]), (&json!("0x1"), &blocks[0]["hash"]));
    let value = |data: &Value| data.as_str().unwrap().parse::<U256>().unwrap();
    let (first, second) = (value(&blocks[0]["calls"][0]["returnData"]), value(&blocks[2]["calls"][0]["returnData"]));
    assert_eq!(second, first + U256::ONE, "the state goes from block to block");

    let block = |overrides: Value| json!([{ "blockStateCalls": [{ "blockOverrides": overrides }] }, "latest"]);
    for (params, code) in [
        (block(json!({ "number": "0x0" })), -38_020),
        (block(json!({ "time": "0x1" })), -38_021),
        (block(json!({ "number": "0xffffff" })), -38_026),
        (json!([{ "blockStateCalls": [] }]), -32_602),
        (json!([{ "blockStateCalls": [{ "calls": [{ "from": from, "nonce": "0x0" }] }], "validation": true }]), -38_012),
        (json!([{ "blockStateCalls": [{ "calls": [{ "from": ELSEWHERE, "to": from, "value": "0x1" }] }] }]), -38_014),
        (json!([{ "blockStateCalls": [{ "calls": [{ "gas": "0x1" }] }] }]), -38_013),
        (json!([{ "blockStateCalls": [{ "calls": [{ "gas": "0xffffffffff" }] }] }]), -38_015),
    ] {
        let (got, message, _) = c.try_call("eth_simulateV1", params.clone()).await.unwrap_err();
        assert_eq!(got, code, "{params}: {message}");
    }
}

/// What changes the embedded L1 by hand does not exist where blocks need a committee.
pub(crate) async fn refused_on_layer_two(c: &Client) {
    let (address, one) = (json!(key().address()), json!("0x1"));
    let (code, message, _) = c.try_call("eth_sendTransaction", json!([{ "from": address }])).await.unwrap_err();
    assert!(code == -32_000 && message.contains("holds no keys"), "{message}");
    let mut methods = vec![
        ("evm_mine".to_owned(), json!([])),
        ("evm_snapshot".to_owned(), json!([])),
        ("evm_revert".to_owned(), json!([one])),
        ("evm_increaseTime".to_owned(), json!([one])),
        ("evm_setNextBlockTimestamp".to_owned(), json!([one])),
    ];
    for namespace in ["anvil", "hardhat"] {
        methods.extend([
            (format!("{namespace}_mine"), json!([])),
            (format!("{namespace}_setBalance"), json!([address, one])),
            (format!("{namespace}_setNonce"), json!([address, one])),
            (format!("{namespace}_setCode"), json!([address, "0x00"])),
            (format!("{namespace}_setStorageAt"), json!([address, one, one])),
            (format!("{namespace}_impersonateAccount"), json!([address])),
            (format!("{namespace}_stopImpersonatingAccount"), json!([address])),
        ]);
    }
    for (method, params) in methods {
        let (code, message, _) = c.try_call(&method, params).await.unwrap_err();
        assert!(code == -32_000 && message.contains("embedded L1 only"), "{method}: {code} {message}");
    }
}

pub(crate) async fn for_development(c: &Client) {
    let latest = |method: &'static str, params: Value| async move { c.call(method, params).await };
    let id = c.call("evm_snapshot", json!([])).await;
    for (namespace, nonce) in [("anvil", "0x5"), ("hardhat", "0x6")] {
        c.call(&format!("{namespace}_setNonce"), json!([ELSEWHERE, nonce])).await;
        assert_eq!(latest("eth_getTransactionCount", json!([ELSEWHERE, "latest"])).await, json!(nonce));
        c.call(&format!("{namespace}_setBalance"), json!([ELSEWHERE, "0xde0b6b3a7640000"])).await;
        c.call(&format!("{namespace}_setCode"), json!([ELSEWHERE, "0x5f5ff3"])).await;
        assert_eq!(latest("eth_getCode", json!([ELSEWHERE, "latest"])).await, json!("0x5f5ff3"));
        let value = B256::with_last_byte(9);
        c.call(&format!("{namespace}_setStorageAt"), json!([ELSEWHERE, "0x1", value])).await;
        assert_eq!(latest("eth_getStorageAt", json!([ELSEWHERE, "0x1", "latest"])).await, json!(value));
        c.call(&format!("{namespace}_impersonateAccount"), json!([ELSEWHERE])).await;
        c.call(&format!("{namespace}_stopImpersonatingAccount"), json!([ELSEWHERE])).await;
    }
    c.call("hardhat_setCode", json!([ELSEWHERE, "0x"])).await;
    let request = json!([{ "from": ELSEWHERE, "to": key().address(), "value": "0x1" }]);
    let hash = c.call("eth_sendTransaction", request).await;
    c.call("anvil_mine", json!(["0x2", "0xa"])).await;
    let receipt = c.call("eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!((&receipt["status"], &receipt["from"]), (&json!("0x1"), &json!(ELSEWHERE)));

    // Back: all of it is gone, and the number is used up.
    assert_eq!(c.call("evm_revert", json!([id])).await, json!(true));
    assert_eq!(latest("eth_getTransactionCount", json!([ELSEWHERE, "latest"])).await, json!("0x0"));
    assert_eq!(latest("eth_getStorageAt", json!([ELSEWHERE, "0x1", "latest"])).await, json!(B256::ZERO));
    assert_eq!(latest("eth_getBalance", json!([ELSEWHERE, "latest"])).await, json!("0x0"));
    assert_eq!(c.call("evm_revert", json!([id])).await, json!(false));
}
