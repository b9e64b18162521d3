//! Deployments that are killed at every step, on the embedded L1 and on anvil; and a network of nodes from what comes out.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use super::*;
use oceanid_contracts::deploy::{Contract, DeployError, Signed};
use oceanid_devnet::accounts::dev_signers;
use oceanid_devnet::{EmbeddedL1, EmbeddedL1Config};
use oceanid_node::{KeeperSection, L1Config, Node, NodeConfig, RpcListen, Secret, SequencerSection, seal, write_new};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

const PASSWORD: &str = "correct horse";

fn free_addresses(count: usize) -> Vec<SocketAddr> {
    oceanid_devnet::ports::free_addresses(Ipv4Addr::LOCALHOST.into(), count).unwrap()
}

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

async fn embedded(folder: &Path) -> EmbeddedL1 {
    EmbeddedL1::start(EmbeddedL1Config::dev(folder.join("l1"), any_port(), any_port())).await.unwrap()
}

/// A folder with a deployment file, its sequencers' keys, and a development account as the deployer.
fn prepare(folder: &Path, url: &str, sequencers: usize) -> (DeployArgs, DeploymentFile, Keys) {
    let password = Password::new(PASSWORD.to_owned());
    write_new(&folder.join("password"), format!("{PASSWORD}\n").as_bytes()).unwrap();
    let account = folder.join("deployer.json");
    let secret = Secret::new(dev_signers()[7].to_bytes().0);
    write_new(&account, seal(KeyRole::Owner, &secret, &password, &account).unwrap().as_bytes()).unwrap();

    let (mut text, entry) = TEMPLATE.split_once("[[sequencers]]").map(|(head, entry)| (head.to_owned(), entry)).unwrap();
    for number in 1..=sequencers {
        KeyFolder::new(folder.join(format!("sequencer-{number}"))).create(&password, true).unwrap();
        text += &format!("[[sequencers]]{}", entry.replace("sequencer-1", &format!("sequencer-{number}")));
    }
    for (from, to) in [
        ("http = \"http://127.0.0.1:8545\"", format!("http = \"{url}\"")),
        ("chain-id = 1 ", "chain-id = 31337 ".to_owned()),
        ("confirmations = 12 ", "confirmations = 0 ".to_owned()),
        ("\nid = 0 ", "\nid = 4242 ".to_owned()),
        ("\naddress = ", "\n# address = ".to_owned()),
        ("# deploy = ", "deploy = ".to_owned()),
        ("origin-depth = 4 ", "origin-depth = 1 ".to_owned()),
        ("heartbeat-ms = 10000 ", "heartbeat-ms = 1000 ".to_owned()),
        ("budget = \"0\" ", "budget = \"1000\" ".to_owned()),
        ("[balances]", "[balances]\n\"0x00000000000000000000000000000000000000aa\" = \"100\"".to_owned()),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, &to, 1);
    }
    let path = folder.join("chain.toml");
    std::fs::write(&path, text).unwrap();
    let file = DeploymentFile::read(&path).unwrap();
    let keys = Keys::open(&file).unwrap();
    let out = folder.join("out");
    (DeployArgs { file: path, init: false, out, l1: None, yes: true, dry_run: false, json: false }, file, keys)
}

/// A journal in a program that is killed: so many transactions are written down, and all but the last are sent.
struct Dying {
    disk: Disk,
    left: usize,
}

impl Journal for Dying {
    fn signed(&self) -> &[Signed] {
        self.disk.signed()
    }

    fn record(&mut self, signed: Signed) -> std::io::Result<()> {
        self.disk.record(signed)?;
        self.left -= 1;
        if self.left == 0 { Err(std::io::Error::other("killed")) } else { Ok(()) }
    }
}

/// Amount of ETH at the end of a line, wei.
fn eth(line: &str) -> U256 {
    let text = line.strip_suffix(" ETH").unwrap().rsplit(' ').next().unwrap();
    alloy_primitives::utils::parse_ether(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_names_chain_and_deployer_and_its_lines_sum_to_its_total() {
    let folder = tempfile::tempdir().unwrap();
    let l1 = embedded(folder.path()).await;
    let (args, file, keys) = prepare(folder.path(), &l1.http(), 2);
    let provider = connect(&l1.http()).unwrap();
    let (plan, record) = super::plan(&file, &keys, &provider, &args.out).await.unwrap();
    let bill = Bill::new(&provider, &plan, &survey(&provider, &plan, &record.signed).await.unwrap()).await.unwrap();
    let text = bill.text(&plan);
    assert_eq!(text[0], "chain      my-chain, id 4242, on L1 chain 31337");
    let deployer = keys.deployer.address();
    let needed = whole(bill.needed(&plan));
    assert_eq!(text[1], format!("deployer   {deployer} has 10000 ETH, needs at most {needed} ETH for what is left"));
    assert!(text[2].starts_with("gas token  will be deployed"), "{}", text[2]);
    let (lines, total) = (&text[3..text.len() - 2], &text[text.len() - 2]);
    assert_eq!(lines.len(), bill.lines.len());
    assert!(lines.iter().any(|line| line.contains("transfer ETH") && eth(line) > U256::from(50_000_000_000_000_000u64)));
    assert_eq!(lines.iter().map(|line| eth(line)).sum::<U256>(), eth(total));

    // An account that has too little is told both figures.
    let poor = Bill { held: U256::from(1), ..bill };
    let refusal = poor.check(&plan, &record).unwrap_err().to_string();
    assert!(refusal.contains("has 0.000000000000000001 ETH") && refusal.contains(&needed), "{refusal}");
    l1.shutdown().await;
}

async fn set_code(l1: &DynProvider, address: Address, code: &[u8]) {
    let code = alloy_primitives::hex::encode_prefixed(code);
    l1.raw_request::<_, serde_json::Value>("anvil_setCode".into(), (address, code)).await.unwrap();
}

/// Makes blocks for as long as it is polled: the committee's seed is that of a block to come, and a development L1 makes none without need.
async fn mine(url: String) {
    let l1 = connect(&url).unwrap();
    loop {
        let _: Result<Value, _> = l1.raw_request("evm_mine".into(), ()).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// A deployment that goes one step further at each attempt, then once more; nothing is sent twice, and other code is refused.
async fn killed_at_every_step(url: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (args, file, keys) = prepare(folder.path(), url, 1);
    let l1 = connect(url).unwrap();
    let (deployer, owner) = (keys.deployer.address(), keys.founders[0].owner.address());
    let first_nonce = l1.get_transaction_count(deployer).await.unwrap();

    let dry = DeployArgs { yes: false, dry_run: true, ..args.clone() };
    assert!(deploy(&dry, &file, &keys, &l1, |disk| Box::new(disk)).await.unwrap().is_none());
    assert_eq!(l1.get_transaction_count(deployer).await.unwrap(), first_nonce, "a dry run sends nothing");

    let miner = tokio::spawn(mine(url.to_owned()));
    let mut attempts = 0;
    let (plan, deployment) = loop {
        attempts += 1;
        assert!(attempts < 60, "no end");
        // The first transaction that each attempt writes is the one that the attempt before was killed over.
        match deploy(&args, &file, &keys, &l1, |disk| Box::new(Dying { disk, left: 2 })).await {
            Ok(done) => break done.unwrap(),
            Err(error) => assert!(crate::one_line(&error).contains("killed"), "{}", crate::one_line(&error)),
        }
    };
    miner.abort();
    let outline = plan.outline();
    assert!(attempts >= outline.len(), "{attempts} attempts at {} transactions", outline.len());
    let by_deployer = outline.iter().filter(|planned| planned.from == deployer).count() as u64;
    assert_eq!(l1.get_transaction_count(deployer).await.unwrap(), first_nonce + by_deployer, "nothing was sent twice");
    assert_eq!(l1.get_transaction_count(owner).await.unwrap(), 2);
    let spec = oceanid_node::load_spec(&args.out.join("spec.json")).unwrap();
    assert_eq!(spec, deployment.spec);
    assert_eq!(spec.committee.members.len(), 1);

    // A finished deployment is checked again, and nothing is sent.
    let again = deploy(&args, &file, &keys, &l1, |disk| Box::new(disk)).await.unwrap().unwrap();
    assert_eq!(again.1.spec, spec);
    assert_eq!(l1.get_transaction_count(deployer).await.unwrap(), first_nonce + by_deployer);

    // A changed file is refused by the key's name, and so is a second program in the same folder.
    let text = std::fs::read_to_string(&args.file).unwrap().replace("seats = 100", "seats = 50");
    let changed = DeploymentFile::parse(&text, folder.path()).unwrap();
    let error = deploy(&args, &changed, &keys, &l1, |disk| Box::new(disk)).await.unwrap_err().to_string();
    assert!(error.starts_with("`stake.seats` was 100"), "{error}");
    let held = lock(&args.out).unwrap();
    let error = deploy(&args, &file, &keys, &l1, |disk| Box::new(disk)).await.unwrap_err().to_string();
    assert!(error.contains("another `oceanid deploy`"), "{error}");
    drop(held);

    // Other code at an address is refused, one byte of it.
    let slasher = spec.l1.slasher;
    let mut code = l1.get_code_at(slasher).await.unwrap().to_vec();
    let last = code.len() - 1;
    code[last] ^= 1;
    set_code(&l1, slasher, &code).await;
    let error = deploy(&args, &file, &keys, &l1, |disk| Box::new(disk)).await.unwrap_err();
    let named = matches!(error.downcast_ref(), Some(DeployError::Code { contract: Contract::Slasher, address, .. }) if *address == slasher);
    assert!(named, "{error}");

    // Another deployment finds its addresses taken before it sends anything to them.
    let second = DeployArgs { out: folder.path().join("second"), ..args.clone() };
    let planned = super::plan(&file, &keys, &l1, &folder.path().join("none")).await.unwrap().0;
    set_code(&l1, planned.contracts().token, &[0]).await;
    let error = deploy(&second, &file, &keys, &l1, |disk| Box::new(disk)).await.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(DeployError::Occupied { contract: Contract::Token, .. })), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_killed_at_every_step_is_finished_and_sends_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let l1 = embedded(folder.path()).await;
    killed_at_every_step(&l1.http()).await;
    l1.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_anvil_a_deployment_killed_at_every_step_is_finished() {
    let Some(program) = std::env::var_os("OCEANID_ANVIL") else {
        assert!(std::env::var_os("OCEANID_REQUIRE_TOOLS").is_none(), "OCEANID_ANVIL does not name anvil");
        return;
    };
    let port = free_addresses(1)[0].port();
    let mut anvil = tokio::process::Command::new(program)
        .args(["--hardfork", "prague", "--silent", "--port", &port.to_string()])
        .stdin(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let started = Instant::now();
    while probe(&connect(&url).unwrap(), &url).await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(120), "anvil does not answer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    killed_at_every_step(&url).await;
    // Interrupted, not killed: the npm package's program is a wrapper that hands the signal on.
    let pid = nix::unistd::Pid::from_raw(i32::try_from(anvil.id().unwrap()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    anvil.wait().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_started_from_the_specification_sequence_and_follow() {
    let folder = tempfile::tempdir().unwrap();
    let l1 = embedded(folder.path()).await;
    let (args, file, keys) = prepare(folder.path(), &l1.http(), 2);
    let provider = connect(&l1.http()).unwrap();
    let miner = tokio::spawn(mine(l1.http()));
    deploy(&args, &file, &keys, &provider, |disk| Box::new(disk)).await.unwrap().unwrap();
    miner.abort();

    let addresses = free_addresses(keys.founders.len());
    let peers: std::collections::BTreeMap<_, _> =
        keys.founders.iter().zip(&addresses).map(|(founder, address)| (founder.keys.node.identity(), *address)).collect();
    let config = |name: &str, sequencer: Option<SequencerSection>| NodeConfig {
        sequencer,
        keeper: KeeperSection::development(),
        rpc: RpcListen::new(any_port()),
        ..NodeConfig::new(
            args.out.join("spec.json"),
            folder.path().join(name),
            L1Config { beacon: Some(l1.beacon()), poll_ms: 200, ..L1Config::new(l1.http()) },
        )
    };
    let mut nodes = Vec::new();
    for (number, (founder, address)) in keys.founders.iter().zip(&addresses).enumerate() {
        let poster = founder.keys.poster.address();
        provider.raw_request::<_, Value>("anvil_setBalance".into(), (poster, "0x8ac7230489e80000")).await.unwrap();
        let section = SequencerSection {
            keys: Some(founder.folder.clone()),
            password_file: Some(folder.path().join("password")),
            peers: peers.clone(),
            batch_age_seconds: 1,
            ..SequencerSection::new(*address)
        };
        nodes.push(Node::start(config(&format!("node-{number}"), Some(section))).await.unwrap());
    }
    let follower = Node::start(config("follower", None)).await.unwrap();
    let started = Instant::now();
    while follower.ledger().head().number() < 5 {
        assert!(started.elapsed() < Duration::from_secs(90), "the follower is at block {}", follower.ledger().head().number());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let hash = |node: &Node| node.ledger().store().header(5).unwrap().unwrap().hash_slow();
    assert!(nodes.iter().all(|node| node.role() == "sequencer" && hash(node) == hash(&follower)));

    // What it followed are batches, of which it tells.
    let rpc = connect(&format!("http://{}", follower.rpc_address())).unwrap();
    let batch = loop {
        let batch: Value = rpc.raw_request("seq_batch".into(), (1,)).await.unwrap();
        if !batch["certificate"].is_null() && batch["status"] != "accepted" {
            break batch;
        }
        assert!(started.elapsed() < Duration::from_secs(120), "{batch}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!((&batch["index"], &batch["firstBlock"], &batch["status"]), (&json!(1), &json!(1), &json!("safe")), "{batch}");
    let last = batch["lastBlock"].as_u64().unwrap();
    let header = follower.ledger().store().header(last).unwrap().unwrap();
    assert_eq!(batch["blockHash"], json!(header.hash_slow()), "{batch}");
    assert_eq!(batch["postings"][0]["daMode"], json!("blob"), "{batch}");
    assert_eq!(batch["certificate"]["signers"], json!("0x3"), "both have signed: {batch}");
    for node in nodes.into_iter().chain([follower]) {
        node.shutdown().await;
    }
    l1.shutdown().await;
}
