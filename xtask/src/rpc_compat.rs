//! Conformance of the JSON-RPC: runs the `.io` files of the public repository ethereum/execution-apis against our own server.
//!
//! A test directory has `genesis.json`, `chain.rlp` and one folder per method with `.io` files: `// comment`, `>> request`,
//! `<< response`. The chain is imported into a store in a temporary folder, which checks every block under the fork genesis
//! schedules for it, and served by the node's own RPC server. Answers are compared as the simulator `rpc-compat` of hive does:
//! whole, but for the `message` inside an `error`. A test with the comment `speconly:` shows one possible answer: ours must then
//! be a result of the same shape (hive validates it against the OpenRPC file, which the repository does not contain).

use alloy_consensus::{Signed, TxEip4844};
use alloy_eips::eip7594::BlobTransactionSidecarVariant;
use alloy_primitives::B256;
use clap::Args as ClapArgs;
use eyre::{Context, ContextCompat, bail, ensure};
use oceanid_chain::ImportedChain;
use oceanid_pool::{BlobStore, Pool, PoolConfig, PoolRules, StoreState};
use oceanid_rpc::{Backend, RpcConfig, RpcServer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest part of a value shown in a difference, characters.
const SHOWN: usize = 160;
/// Most differences shown of one answer.
const MAX_DIFFERENCES: usize = 12;

#[derive(ClapArgs)]
pub(crate) struct Args {
    /// The `tests` directory of ethereum/execution-apis, or the repository's root.
    dir: PathBuf,
    /// Run only tests whose name (`method/file`) contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Do not show what differs.
    #[arg(long)]
    brief: bool,
    /// Put our answers into the files whose answers differ.
    #[arg(long)]
    write: bool,
}

/// What became of the tests.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Passed and failed by method.
    methods: BTreeMap<String, (usize, usize)>,
    /// Failed tests with their differences.
    failures: Vec<(String, String)>,
    /// Why blocks at the chain's end are missing, if any are.
    not_imported: Option<String>,
}

pub(crate) async fn run(args: Args) -> eyre::Result<()> {
    let report = check(&args.dir, &args.only, args.write).await?;
    if !args.brief {
        for (name, difference) in &report.failures {
            println!("FAILED {name}\n{difference}");
        }
    }
    for (method, (passed, failed)) in &report.methods {
        println!("{method:<44} {passed:>4} passed {failed:>4} failed");
    }
    let passed: usize = report.methods.values().map(|(passed, _)| passed).sum();
    println!("{passed} of {} passed", passed + report.failures.len());
    if let Some(reason) = report.not_imported {
        bail!("the chain was not imported whole: {reason}");
    }
    ensure!(report.failures.is_empty(), "{} tests failed", report.failures.len());
    Ok(())
}

/// Imports the chain, serves it and runs all tests whose name contains `only`; with `write`, files get our answers where those differ.
pub(crate) async fn check(dir: &Path, only: &str, write: bool) -> eyre::Result<Report> {
    let nested = dir.join("tests");
    let dir = if nested.join("genesis.json").exists() { &nested } else { dir };
    let read = |name: &str| fs::read(dir.join(name)).wrap_err_with(|| format!("cannot read {}", dir.join(name).display()));
    let store = tempfile::tempdir()?;
    let chain = ImportedChain::new(store.path(), &read("genesis.json")?)?;
    let blocks = read("chain.rlp")?;
    let import = {
        let chain = chain.clone();
        tokio::task::spawn_blocking(move || chain.import(&blocks)).await?
    };
    let mut report = Report::default();
    let head = chain.store().head().number;
    match import {
        Ok(blocks) => println!("imported {blocks} blocks, each checked against its header"),
        Err(error) => {
            println!("imported blocks up to {head}; then {error}: tests that look further fail");
            report.not_imported = Some(error.to_string());
        }
    }

    let header = chain.store().header(head)?.wrap_err("the head has no header")?;
    let rules = PoolConfig::new(PoolRules::Ethereum, chain.chain_id(), header.gas_limit, 1);
    let pool = Arc::new(Pool::new(rules, Arc::new(StoreState::ethereum(chain.store().clone()))).with_blobs(Arc::new(NoBlobs)));
    let server = RpcServer::start(RpcConfig::default(), Backend::imported(chain, pool)).await?;
    let url = server.http_url();
    let client = reqwest::Client::new();
    for path in io_files(dir)? {
        let name = path.strip_prefix(dir)?.with_extension("").display().to_string();
        if !name.contains(only) {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let test = Test::parse(&text).wrap_err_with(|| path.display().to_string())?;
        let method = name.split('/').next().unwrap_or_default().to_owned();
        let (passed, failed) = report.methods.entry(method).or_default();
        let outcome = test.ask(&client, &url).await;
        let difference = match &outcome {
            Ok(answers) => test.difference(answers),
            Err(error) => Some(error.clone()),
        };
        let Some(difference) = difference else {
            *passed += 1;
            continue;
        };
        *failed += 1;
        report.failures.push((name, difference));
        if let (true, Ok(answers)) = (write, &outcome) {
            fs::write(&path, with_answers(&text, answers))?;
        }
    }
    server.stop().await;
    ensure!(!report.methods.is_empty(), "no .io file below {} has `{only}` in its name", dir.display());
    Ok(report)
}

/// Takes every sidecar and keeps none: the chain does not grow.
struct NoBlobs;

impl BlobStore for NoBlobs {
    fn accept(&self, _: &Signed<TxEip4844>, _: BlobTransactionSidecarVariant) -> Result<(), String> {
        Ok(())
    }

    fn discard(&self, _: &B256) {}
}

/// All `.io` files below a directory, by path.
fn io_files(dir: &Path) -> eyre::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "io") {
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// One `.io` file.
#[derive(Debug, Default)]
struct Test {
    /// The answers are examples.
    spec_only: bool,
    /// Requests with the answers that must come.
    exchanges: Vec<(String, Value)>,
}

impl Test {
    fn parse(text: &str) -> eyre::Result<Self> {
        let mut test = Self::default();
        let mut request = None;
        let mut in_header = true;
        for (index, line) in text.lines().map(str::trim).enumerate() {
            let number = index + 1;
            if let Some(comment) = line.strip_prefix("//") {
                test.spec_only |= in_header && comment.trim_start().starts_with("speconly:");
            } else if let Some(sent) = line.strip_prefix(">>") {
                in_header = false;
                ensure!(request.is_none(), "line {number}: a request before the answer to the last one");
                serde_json::from_str::<Value>(sent).wrap_err_with(|| format!("line {number}"))?;
                request = Some(sent.trim().to_owned());
            } else if let Some(received) = line.strip_prefix("<<") {
                let request = request.take().wrap_err_with(|| format!("line {number}: an answer without a request"))?;
                let answer = serde_json::from_str(received).wrap_err_with(|| format!("line {number}"))?;
                test.exchanges.push((request, answer));
            } else {
                ensure!(line.is_empty(), "line {number} begins with neither `//` nor `>>` nor `<<`");
            }
        }
        ensure!(request.is_none(), "the last request has no answer");
        ensure!(!test.exchanges.is_empty(), "no requests");
        Ok(test)
    }

    /// Our answers.
    async fn ask(&self, client: &reqwest::Client, url: &str) -> Result<Vec<Value>, String> {
        let mut answers = Vec::with_capacity(self.exchanges.len());
        for (request, _) in &self.exchanges {
            let sent = client.post(url).header("content-type", "application/json").body(request.clone()).send().await;
            let answer = sent.map_err(|error| error.to_string())?.text().await.map_err(|error| error.to_string())?;
            answers.push(serde_json::from_str(&answer).map_err(|error| format!("not JSON: {error}: {answer}"))?);
        }
        Ok(answers)
    }

    /// The differences of the first answer that has some.
    fn difference(&self, answers: &[Value]) -> Option<String> {
        self.exchanges.iter().zip(answers).find_map(|((request, expected), answer)| {
            let mut differences = Vec::new();
            if self.spec_only && answer.get("error").is_none() {
                shape(&answer["result"], &expected["result"], "result", &mut differences);
            } else {
                compare(answer, expected, "", &mut differences);
            }
            (!differences.is_empty()).then(|| describe(request, &differences))
        })
    }
}

/// A file with other answers.
fn with_answers(text: &str, answers: &[Value]) -> String {
    let mut answers = answers.iter();
    let mut out = String::new();
    for line in text.lines() {
        match line.trim_start().starts_with("<<").then(|| answers.next()).flatten() {
            Some(answer) => writeln!(out, "<< {answer}"),
            None => writeln!(out, "{line}"),
        }
        .expect("text takes text");
    }
    out
}

fn describe(request: &str, differences: &[String]) -> String {
    let mut text = format!("  >> {}\n", short(request));
    for difference in differences.iter().take(MAX_DIFFERENCES) {
        let _ = writeln!(text, "     {difference}");
    }
    if differences.len() > MAX_DIFFERENCES {
        let _ = writeln!(text, "     and {} more differences", differences.len() - MAX_DIFFERENCES);
    }
    text
}

fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Notes where `ours` is not `expected`. Messages of errors are for people and free.
fn compare(ours: &Value, expected: &Value, path: &str, differences: &mut Vec<String>) {
    match (ours, expected) {
        (Value::Object(ours), Value::Object(expected)) => {
            let in_error = path == "error" || path.ends_with(".error");
            for (key, value) in expected {
                let path = join(path, key);
                match ours.get(key) {
                    Some(_) if in_error && key == "message" => {}
                    Some(ours) => compare(ours, value, &path, differences),
                    None => differences.push(format!("{path}: missing, expected {}", short(&value.to_string()))),
                }
            }
            for (key, value) in ours.iter().filter(|(key, _)| !expected.contains_key(*key)) {
                differences.push(format!("{}: not expected, is {}", join(path, key), short(&value.to_string())));
            }
        }
        (Value::Array(ours), Value::Array(expected)) => {
            if ours.len() != expected.len() {
                differences.push(format!("{path}: {} entries, expected {}", ours.len(), expected.len()));
            }
            for (index, (ours, expected)) in ours.iter().zip(expected).enumerate() {
                compare(ours, expected, &join(path, &index.to_string()), differences);
            }
        }
        (Value::Number(ours), Value::Number(expected)) if ours.as_f64() == expected.as_f64() => {}
        _ if ours == expected => {}
        _ => differences.push(format!("{path}: {}, expected {}", short(&ours.to_string()), short(&expected.to_string()))),
    }
}

/// Notes where `ours` is of another kind than `example`: another type, or without a field the example has.
fn shape(ours: &Value, example: &Value, path: &str, differences: &mut Vec<String>) {
    match (ours, example) {
        (Value::Object(ours), Value::Object(example)) => {
            for (key, value) in example {
                match ours.get(key) {
                    Some(ours) => shape(ours, value, &join(path, key), differences),
                    // What an answer may leave out, the schema knows; fields of our own are no fault.
                    None => continue,
                }
            }
            if !ours.keys().any(|key| example.contains_key(key)) && !example.is_empty() {
                differences.push(format!("{path}: none of the fields of the example"));
            }
        }
        (Value::Array(ours), Value::Array(example)) => {
            if let (Some(ours), Some(example)) = (ours.first(), example.first()) {
                shape(ours, example, &join(path, "0"), differences);
            }
        }
        (Value::String(ours), Value::String(example)) if ours.starts_with("0x") == example.starts_with("0x") => {}
        _ if std::mem::discriminant(ours) == std::mem::discriminant(example) && !ours.is_string() => {}
        _ => differences.push(format!("{path}: {}, unlike {}", short(&ours.to_string()), short(&example.to_string()))),
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{SignableTransaction, TxEip1559};
    use alloy_primitives::{Address, TxKind, U256};
    use alloy_rlp::Decodable;
    use alloy_signer::SignerSync;
    use alloy_signer_local::PrivateKeySigner;
    use oceanid_chain::{BlockExtras, EthGenesis, EthLedger, MineRequest, encode_block};
    use oceanid_primitives::TxEnvelope;
    use serde_json::json;
    use std::collections::VecDeque;

    /// Methods with a file of our own.
    const METHODS: usize = 21;

    fn differences(ours: Value, expected: Value) -> Vec<String> {
        let mut differences = Vec::new();
        compare(&ours, &expected, "", &mut differences);
        differences
    }

    #[test]
    fn answers_are_compared_whole_but_for_messages_of_errors() {
        let error = |code: i32, message: &str| json!({ "id": 1, "error": { "code": code, "message": message } });
        assert!(differences(error(3, "reverted"), error(3, "execution reverted")).is_empty());
        assert_eq!(differences(error(3, "a"), error(4, "a")), ["error.code: 3, expected 4"]);
        let nested = |message: &str| json!({ "result": [{ "calls": [{ "error": { "message": message } }] }] });
        assert!(differences(nested("a"), nested("b")).is_empty());
        assert_eq!(differences(json!({ "result": { "message": "a" } }), json!({ "result": { "message": "b" } })).len(), 1);
        let extra = differences(json!({ "result": { "a": 1, "b": 2 } }), json!({ "result": { "a": 1.0 } }));
        assert_eq!(extra, ["result.b: not expected, is 2"]);
        assert_eq!(differences(json!([1, 2]), json!([1])), [": 2 entries, expected 1"]);
    }

    #[test]
    fn files_are_read_as_written() {
        let test = Test::parse("// a test\n// speconly: an example\n>> {\"id\":1}\n<< {\"id\":1}\n\n// a note\n").unwrap();
        assert!(test.spec_only);
        assert_eq!(test.exchanges.len(), 1);
        for wrong in [">> {}", "<< {}", ">> {\n<< {}", "hello", ""] {
            assert!(Test::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(!Test::parse(">> {}\n// speconly: too late\n<< {}").unwrap().spec_only);
    }

    /// Blocks of the embedded L1 on the fixture's genesis: block n sends n wei to `0x…aa`, and block 4 calls `0x…c1`, which stores and logs.
    fn mine_chain(genesis: &[u8]) -> (Vec<u8>, B256) {
        let genesis: serde_json::Value = serde_json::from_slice(genesis).unwrap();
        let number = |name: &str| u64::from_str_radix(genesis[name].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
        let genesis = EthGenesis {
            chain_id: genesis["config"]["chainId"].as_u64().unwrap(),
            timestamp: number("timestamp"),
            gas_limit: number("gasLimit"),
            base_fee: number("baseFeePerGas"),
            alloc: serde_json::from_value(genesis["alloc"].clone()).unwrap(),
        };
        let dir = tempfile::tempdir().unwrap();
        let ledger = EthLedger::open(dir.path(), &genesis, EthLedger::default_config()).unwrap();
        let mut rlp = Vec::new();
        for number in 1..=4u8 {
            let (to, value) = if number == 4 { (0xc1, 0) } else { (0xaa, number) };
            let tx = TxEip1559 {
                chain_id: genesis.chain_id,
                nonce: u64::from(number) - 1,
                gas_limit: 60_000,
                max_fee_per_gas: 2_000_000_000,
                to: TxKind::Call(Address::with_last_byte(to)),
                value: U256::from(value),
                ..TxEip1559::default()
            };
            let signature = key().sign_hash_sync(&tx.signature_hash()).unwrap();
            let envelope = TxEnvelope::Eip1559(tx.into_signed(signature));
            let request = MineRequest { max_bytes: 1 << 20, ..MineRequest::default() };
            let block = ledger.mine(request, &mut VecDeque::from([(Arc::new(envelope), key().address())])).unwrap();
            assert_eq!(block.block.body().len(), 1);
            let extras = BlockExtras { withdrawals: Some(Default::default()), ..BlockExtras::default() };
            rlp.extend(encode_block(&block, &extras));
        }
        (rlp, ledger.head().hash())
    }

    fn key() -> PrivateKeySigner {
        PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap()
    }

    /// The folder with the committed requests and answers.
    fn committed() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rpc-compat")
    }

    /// A copy of it with a chain.
    fn fixture() -> tempfile::TempDir {
        fn copy(from: &Path, to: &Path) {
            fs::create_dir_all(to).unwrap();
            for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
                let target = to.join(entry.file_name());
                if entry.path().is_dir() {
                    copy(&entry.path(), &target);
                } else {
                    fs::copy(entry.path(), target).unwrap();
                }
            }
        }
        let dir = tempfile::tempdir().unwrap();
        copy(&committed(), dir.path());
        let path = dir.path().join("genesis.json");
        let mut genesis: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        genesis["alloc"][key().address().to_string()] = json!({ "balance": "0xde0b6b3a7640000" });
        let genesis = serde_json::to_vec(&genesis).unwrap();
        fs::write(dir.path().join("chain.rlp"), mine_chain(&genesis).0).unwrap();
        fs::write(path, genesis).unwrap();
        dir
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn our_own_tests_pass() {
        let dir = fixture();
        if std::env::var_os("OCEANID_WRITE_SNAPSHOTS").is_some() {
            check(dir.path(), "", true).await.unwrap();
            for file in io_files(dir.path()).unwrap() {
                fs::copy(&file, committed().join(file.strip_prefix(dir.path()).unwrap())).unwrap();
            }
        }
        let report = check(dir.path(), "", false).await.unwrap();
        assert!(
            report.failures.is_empty() && report.not_imported.is_none(),
            "OCEANID_WRITE_SNAPSHOTS=1 writes our answers: {report:?}"
        );
        assert_eq!(report.methods.len(), METHODS, "{report:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_wrong_answer_and_a_wrong_block_are_found() {
        let dir = fixture();
        let test = dir.path().join("eth_blockNumber/head.io");
        let text = fs::read_to_string(&test).unwrap();
        fs::write(&test, text.replace("0x4", "0xff")).unwrap();
        let report = check(dir.path(), "eth_blockNumber", false).await.unwrap();
        assert_eq!((report.failures.len(), report.methods.len()), (1, 1));
        assert!(report.failures[0].1.contains("result: \"0x4\", expected \"0xff\""), "{report:?}");

        // One changed byte in the last header: the blocks before it are there, and it is said why the last is not.
        let path = dir.path().join("chain.rlp");
        let mut chain = fs::read(&path).unwrap();
        let blocks: Vec<usize> = {
            let mut rest = &chain[..];
            let mut ends = Vec::new();
            while !rest.is_empty() {
                alloy_consensus::Block::<TxEnvelope>::decode(&mut rest).unwrap();
                ends.push(chain.len() - rest.len());
            }
            ends
        };
        // Behind the list headers and the parent's hash, well inside the state root.
        chain[blocks[2] + 3 + 3 + 33 + 33 + 21 + 10] ^= 1;
        fs::write(path, chain).unwrap();
        let report = check(dir.path(), "eth_blockNumber", false).await.unwrap();
        let reason = report.not_imported.unwrap();
        assert!(reason.starts_with("block 4: header field `stateRoot`"), "{reason}");
        assert!(report.failures[0].1.contains("result: \"0x3\""), "{:?}", report.failures);
    }
}
