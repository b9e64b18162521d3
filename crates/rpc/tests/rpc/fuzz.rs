//! Garbage at the door: requests that are nearly right, over http, and bytes that are nearly http or ws.
//!
//! Whatever comes, the server answers JSON-RPC or refuses, within its limits of size and time, answers others meanwhile, and
//! holds neither memory nor connections afterwards.

use crate::fixture::{ETHER, GENESIS_TIME, HISTORY, Rollup, key};
use crate::{TO, lived_in_with};
use alloy_primitives::Address;
use oceanid_fuzz::{Run, json as mutants};
use oceanid_primitives::predeploys;
use oceanid_rpc::RpcConfig;
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest answer the server may give, bytes.
const MAX_RESPONSE: u32 = 4 << 20;
/// Longest request it may take, bytes.
const MAX_REQUEST: u32 = 1 << 20;
/// Gas of one call: little, so that a loop ends in time in a build without optimisation.
const GAS_CAP: u64 = 2_000_000;
/// Longest a request that costs nothing may wait beside all the others.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Bytes around the body of an http answer.
const HTTP_HEAD: usize = 1 << 10;
/// How long an answer to bytes that are no request is waited for.
const SILENCE: Duration = Duration::from_millis(20);
/// File descriptors that may be open in the end beyond those of the beginning: connections on their way down.
const SPARE_DESCRIPTORS: usize = 16;

fn limits(config: &mut RpcConfig) {
    config.max_response_bytes = MAX_RESPONSE;
    config.max_request_bytes = MAX_REQUEST;
    config.max_batch = 8;
    config.max_filters = 64;
    (config.max_reads, config.max_calls, config.max_scans, config.max_traces) = (4, 4, 4, 4);
    config.timeout = Duration::from_secs(1);
    config.gas_cap = GAS_CAP;
}

/// Asks for the block number again and again beside the garbage, and panics in the end if an answer took too long.
struct Bystander {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Duration>,
}

impl Bystander {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut longest = Duration::ZERO;
            while !told.load(Ordering::Relaxed) {
                let began = Instant::now();
                block_number(address);
                longest = longest.max(began.elapsed());
                std::thread::sleep(Duration::from_millis(20));
            }
            longest
        });
        Self { stop, thread }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let longest = self.thread.join().expect("the server answers others meanwhile");
        assert!(longest < MAX_WAIT, "`eth_blockNumber` took {longest:?}, the limit is {MAX_WAIT:?}");
    }
}

fn block_number(address: SocketAddr) {
    let (status, body) = http(address, br#"{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber"}"#);
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON")["result"], json!("0x2"));
}

/// Status and body of a POST.
fn http(address: SocketAddr, body: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(oceanid_fuzz::MAX_INPUT_TIME)).expect("a socket option");
    let head = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("writable");
    // The server may refuse by the length alone, and close.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let most = MAX_RESPONSE as usize + HTTP_HEAD;
    stream.take(most as u64 + 1).read_to_end(&mut answer).expect("an answer");
    assert!(answer.len() <= most, "an answer above {MAX_RESPONSE} bytes");
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an http answer");
    let status = std::str::from_utf8(&answer[..split]).expect("a head in ASCII")[9..12].parse().expect("a status");
    (status, answer.split_off(split + 4))
}

/// Fails unless `answer` is a JSON-RPC response.
fn check_response(answer: &Value) {
    assert_eq!(answer["jsonrpc"], json!("2.0"), "{answer}");
    assert!(answer.get("id").is_some(), "{answer}");
    assert!(answer.get("result").is_some() != answer.get("error").is_some(), "one of both: {answer}");
    if let Some(error) = answer.get("error") {
        let code = error["code"].as_i64().expect("a code");
        assert!(error["message"].is_string(), "{answer}");
        assert_ne!(code, -32_603, "an internal error is ours: {answer}");
    }
}

/// Sends `body`, which is `request` written out, and fails unless the answer is one to it. Intact ones are well-formed requests.
fn check_exchange(address: SocketAddr, request: &Value, intact: bool, body: &str) {
    let (status, answer) = http(address, body.as_bytes());
    if status == 413 && body.len() > MAX_REQUEST as usize {
        return;
    }
    // What is not a request at all is refused with 400: broken, or nested deeper than any parser goes.
    let unread = status == 400;
    assert!(unread || status == 200, "{status}: {}", String::from_utf8_lossy(&answer));
    // A notification, or a batch of them, has no answer; the server's library says nothing, or `null`.
    if !intact && (answer.is_empty() || answer == b"null") {
        return;
    }
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    match &answer {
        Value::Array(answers) => answers.iter().for_each(check_response),
        answer => check_response(answer),
    }
    if unread {
        assert!([-32_700, -32_600].contains(&answer["error"]["code"].as_i64().expect("a code")), "{answer}");
    } else if intact && request.is_object() {
        assert_eq!(answer["id"], request["id"]);
    }
}

/// What is true of the chain under test, to make requests of.
struct World {
    methods: Vec<Value>,
    addresses: Vec<Value>,
    hashes: Vec<Value>,
    data: Vec<Value>,
    objects: Vec<Value>,
    /// All of them, to stand in for each other.
    all: Vec<Value>,
}

impl World {
    fn of(chain: &Rollup, counter: Address) -> Self {
        let head = chain.ledger.head();
        let sender = key().address();
        let addresses =
            vec![json!(sender), json!(counter), json!(TO), json!(predeploys::MESSAGE_PASSER), json!(Address::with_last_byte(1))];
        let hashes = vec![
            json!(head.hash()),
            json!(chain.ledger.genesis_hash()),
            json!(head.body()[2].hash()),
            json!(head.header().state_root),
        ];
        // An endless loop, an endless loop of logs, memory as far as gas goes, and itself again and again.
        let codes = ["0x5b600056", "0x5b60206000a0600056", "0x6001630fffffff526000", "0x5b5f5f5f5f5f305af1600056"];
        let mut data: Vec<Value> = codes.iter().map(|code| json!(code)).collect();
        data.extend([
            json!("0x"),
            json!(chain.transfer(4, TO, 1).0),
            json!(chain.deploy(4).0),
            json!("0x00000000000000000000000000000000000000000000000000000000000000aa"),
        ]);
        let call = json!({ "from": sender, "to": counter, "gas": "0xffffff", "gasPrice": "0x77359400", "value": "0x0", "data": "0x", "nonce": "0x4" });
        let typed = json!({
            "from": sender, "input": "0x5b600056", "maxFeePerGas": "0x77359400", "maxPriorityFeePerGas": "0x1", "type": "0x2",
            "accessList": [{ "address": counter, "storageKeys": [hashes[0]] }],
            "authorizationList": [{ "chainId": "0x1", "address": counter, "nonce": "0x0", "yParity": "0x0", "r": "0x1", "s": "0x1" }],
        });
        let state = json!({ (sender.to_string()): { "balance": "0xffffffffffffffffff", "nonce": "0x5" }, (counter.to_string()): { "code": "0x5b600056", "stateDiff": { (hashes[0].as_str().expect("a hash is text")): hashes[1] } } });
        let block = json!({ "number": "0x3", "time": format!("{:#x}", GENESIS_TIME + 9), "gasLimit": "0x1c9c380", "feeRecipient": TO, "prevRandao": hashes[0], "baseFeePerGas": "0x1" });
        let objects = vec![
            call.clone(),
            typed.clone(),
            state.clone(),
            block.clone(),
            json!({ "fromBlock": "0x0", "toBlock": "latest", "address": [counter], "topics": [null, [hashes[0], hashes[1]]] }),
            json!({ "blockHash": hashes[0], "address": counter }),
            json!({ "tracer": "callTracer", "tracerConfig": { "onlyTopCall": false, "withLog": true }, "timeout": "1s" }),
            json!({ "tracer": "prestateTracer", "tracerConfig": { "diffMode": true } }),
            json!({ "tracer": "muxTracer", "tracerConfig": { "callTracer": {}, "4byteTracer": null, "prestateTracer": {} } }),
            json!({ "enableMemory": true, "disableStack": false, "disableStorage": false, "enableReturnData": true, "limit": 0 }),
            json!({ "blockStateCalls": [{ "blockOverrides": block, "stateOverrides": state, "calls": [call, typed] }, { "calls": [] }], "validation": false, "traceTransfers": true, "returnFullTransactions": true }),
            json!({ "fromBlock": "0x0", "toBlock": "0x2", "fromAddress": [sender], "after": 0, "count": HISTORY }),
        ];
        let rest = [
            json!("latest"),
            json!("0x1"),
            json!(["trace", "stateDiff", "vmTrace"]),
            json!(ETHER.to_string()),
            json!([0, 50.5, 100]),
        ];
        let all = [&addresses[..], &hashes, &data, &objects, &rest].concat();
        let methods = oceanid_rpc::document(true)["methods"].as_array().expect("a list").clone();
        Self { methods, addresses, hashes, data, objects, all }
    }

    /// A value of a type of the OpenRPC document.
    fn value(&self, random: &mut StdRng, schema: &Value) -> Value {
        let pick = |list: &[Value], random: &mut StdRng| list.choose(random).expect("not empty").clone();
        if let Some(name) = schema["$ref"].as_str() {
            return match name.rsplit('/').next().expect("a name") {
                "address" => pick(&self.addresses, random),
                "hash" => pick(&self.hashes, random),
                "data" => pick(&self.data, random),
                "block" if random.random() => json!({ "blockHash": pick(&self.hashes, random), "requireCanonical": true }),
                "tag" | "block" => json!(
                    *["latest", "pending", "safe", "finalized", "earliest", "0x0", "0x1", "0x2"]
                        .choose(random)
                        .expect("not empty")
                ),
                _ => json!(format!("{:#x}", random.random_range(0..4))),
            };
        }
        match schema["type"].as_str() {
            Some("array") => Value::Array((0..random.random_range(0..3)).map(|_| self.value(random, &schema["items"])).collect()),
            Some("boolean") => json!(random.random::<bool>()),
            Some("number") => json!(random.random_range(0..100)),
            Some("object") => pick(&self.objects, random),
            _ => pick(&self.all, random),
        }
    }

    /// A request whose envelope is right.
    fn request(&self, random: &mut StdRng) -> Value {
        let method = self.methods.choose(random).expect("not empty");
        let params = method["params"].as_array().expect("a list");
        let given = if random.random() { params.len() } else { random.random_range(0..=params.len()) };
        let mut params = params[..given].iter().map(|param| self.value(random, &param["schema"])).collect();
        for _ in 0..random.random_range(0..4) {
            mutants::mutate(random, &mut params, &self.all);
        }
        json!({ "jsonrpc": "2.0", "id": random.random::<u32>(), "method": method["name"], "params": params })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fuzz_requests() {
    let (chain, counter) = lived_in_with(limits).await;
    let address = chain.server.address();
    let world = World::of(&chain, counter);
    let work = move || {
        let bystander = Bystander::start(address);
        let mut run = Run::start("JSON-RPC requests");
        while run.goes_on() {
            let random = &mut run.random;
            let mut request = match random.random_range(0..8) {
                0 => (0..random.random_range(0..12)).map(|_| world.request(random)).collect(),
                _ => world.request(random),
            };
            let intact = random.random_range(0..8) > 0;
            if !intact {
                mutants::mutate(random, &mut request, &world.all);
            }
            let body = request.to_string();
            run.input(|| body.clone(), || check_exchange(address, &request, intact, &body));
        }
        bystander.end();
        run.end();
    };
    tokio::task::spawn_blocking(work).await.expect("no panic");
}

/// A ws frame of the client: masked with zeros, so that mutants of the text stay text.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        long => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
    out
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
async fn fuzz_bytes_at_the_door() {
    let (chain, _) = lived_in_with(limits).await;
    let address = chain.server.address();
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;
    let subscribe = br#"{"jsonrpc":"2.0","id":2,"method":"eth_subscribe","params":["newHeads"]}"#;
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let upgrade = "GET / HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let corpus = [
        [format!("{head}content-length: {}\r\n\r\n", call.len()).as_bytes(), call].concat(),
        [format!("{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n", call.len()).as_bytes(), call, b"\r\n0\r\n\r\n"].concat(),
        [head.repeat(2).as_bytes(), b"content-length: 99999999999999999999\r\n\r\n"].concat(),
        b"GET /block/1?x=y HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
        b"OPTIONS / HTTP/1.1\r\nhost: localhost\r\norigin: http://a.example\r\naccess-control-request-method: POST\r\n\r\n"
            .to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        [upgrade.as_bytes(), &frame(1, call), &frame(1, subscribe), &frame(8, &[])].concat(),
        [upgrade.as_bytes(), &frame(9, b"ping"), &frame(2, call), &frame(0, &[7; 300])].concat(),
    ];
    let work = move || {
        let before = open_descriptors();
        let bystander = Bystander::start(address);
        oceanid_fuzz::bytes("bytes at the door", &corpus, |input| {
            let mut stream = TcpStream::connect(address).expect("the server listens");
            stream.set_read_timeout(Some(SILENCE)).expect("a socket option");
            // The server may close at any byte.
            let _ = stream.write_all(input).and_then(|()| stream.shutdown(Shutdown::Write));
            let mut answer = Vec::new();
            let most = MAX_RESPONSE as usize + HTTP_HEAD;
            let _ = stream.take(most as u64 + 1).read_to_end(&mut answer);
            assert!(answer.len() <= most, "an answer above {MAX_RESPONSE} bytes");
            // What got beyond the http parser is worth more mutants.
            answer.starts_with(b"HTTP/1.1 1") || answer.starts_with(b"HTTP/1.1 2")
        });
        bystander.end();
        let began = Instant::now();
        while open_descriptors() > before + SPARE_DESCRIPTORS {
            assert!(began.elapsed() < Duration::from_secs(10), "{} descriptors, before {before}", open_descriptors());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    tokio::task::spawn_blocking(work).await.expect("no panic");
    drop(chain);
}
