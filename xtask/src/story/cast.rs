//! The story's network and people: the development network, the newcomer's process, and the commands each of them runs.

use crate::client::{Client, signed};
use crate::network::{Network, PATIENCE, wait_for};
use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use alloy_signer_local::PrivateKeySigner;
use eyre::{OptionExt, WrapErr, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Password of every key folder.
const PASSWORD: &str = "a story's password";
/// ETH given to an account that acts on L1, wei.
const ETHER: u128 = 1_000_000_000_000_000_000;
/// METIS a development account gives away at most, whole tokens.
const GIFT: u64 = 9_000;
/// Gas of a call made by hand.
const CALL_GAS: u64 = 1_000_000;
/// A chain without a block for this long stands still: several times what skipping a leader takes.
const HALTED: Duration = Duration::from_secs(10);

/// Everybody and everything.
pub(super) struct Cast {
    oceanid: PathBuf,
    folder: tempfile::TempDir,
    network: Network,
    l1: Client,
    l2: Client,
    newcomer: Option<(Child, Client)>,
    /// Children stopped with SIGSTOP, let go at the end so that they can be ended.
    stopped: Vec<Pid>,
}

/// One of the four.
pub(super) struct DevSequencer {
    /// In the pool.
    pub(super) id: u64,
    pub(super) node: Client,
    pid_file: PathBuf,
    data_dir: PathBuf,
    keys: PathBuf,
}

/// An amount in whole tokens, rounded to six digits.
pub(super) fn whole(wei: u128) -> String {
    format!("{:.6}", wei as f64 / ETHER as f64)
}

pub(super) fn address(value: &Value) -> eyre::Result<Address> {
    value.as_str().unwrap_or_default().parse().wrap_err_with(|| format!("not an address: {value}"))
}

impl Cast {
    pub(super) async fn start(oceanid: &Path, pace: &[&str]) -> eyre::Result<Self> {
        let folder = tempfile::tempdir()?;
        let network = Network::start(oceanid, folder.path(), pace).await?;
        let password = folder.path().join("password");
        write_private(&password, PASSWORD)?;
        let url = |path: &str| network.config.pointer(path).and_then(Value::as_str).map(Client::new).ok_or_eyre("network file");
        let (l1, l2) = (url("/l1/http")?, url("/l2/http")?);
        let cast = Self { oceanid: oceanid.to_path_buf(), folder, network, l1, l2, newcomer: None, stopped: Vec::new() };
        wait_for("the first blocks", PATIENCE, async || Ok(cast.head().await? >= 3)).await?;
        Ok(cast)
    }

    fn text(&self, path: &str) -> eyre::Result<&str> {
        self.network.config.pointer(path).and_then(Value::as_str).ok_or_else(|| eyre::eyre!("{path} in the network file"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `oceanid sequencer …` with `keys`; the JSON it prints, or its one line of error.
    fn command(&self, keys: &Path, options: &[&str], arguments: &[&str]) -> eyre::Result<Result<Value, String>> {
        let output = Command::new(&self.oceanid)
            .args(["sequencer", "--json", "--spec", self.text("/spec")?, "--l1", self.text("/l1/http")?])
            .arg("--keys")
            .arg(keys)
            .arg("--password-file")
            .arg(self.path("password"))
            .args(options)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .wrap_err("cannot run the command line")?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if !output.status.success() && output.stdout.is_empty() {
            return Ok(Err(said.lines().last().unwrap_or_default().to_owned()));
        }
        Ok(Ok(serde_json::from_slice(&output.stdout).wrap_err_with(|| format!("`{}`: {said}", arguments.join(" ")))?))
    }

    fn expect(&self, keys: &Path, options: &[&str], arguments: &[&str]) -> eyre::Result<Value> {
        self.command(keys, options, arguments)?.map_err(|said| eyre::eyre!("`sequencer {}`: {said}", arguments.join(" ")))
    }

    // ---- the newcomer ----

    /// A command of the newcomer, with its own node once it runs.
    pub(super) fn newcomer(&self, arguments: &[&str]) -> eyre::Result<Value> {
        let l2 = self.newcomer.as_ref().map_or(self.l2.url(), |(_, node)| node.url()).to_owned();
        let config = self.path("node.toml");
        let config = config.to_str().ok_or_eyre("a folder with an odd name")?;
        let mut options = vec!["--l2", &l2];
        if self.newcomer.is_some() {
            options.extend(["--config", config]);
        }
        self.expect(&self.path("keys"), &options, arguments)
    }

    /// A command of the newcomer that must be refused: its line of error.
    pub(super) fn refused(&self, arguments: &[&str]) -> eyre::Result<String> {
        match self.command(&self.path("keys"), &["--l2", self.l2.url()], arguments)? {
            Err(said) => Ok(said),
            Ok(answer) => bail!("`{}` was not refused: {answer}", arguments.join(" ")),
        }
    }

    pub(super) fn newcomer_id(&self) -> eyre::Result<u64> {
        self.newcomer(&["status"])?["id"].as_u64().ok_or_eyre("status has no id")
    }

    pub(super) fn newcomer_owner(&self) -> eyre::Result<Address> {
        address(&self.newcomer(&["status"])?["owner"])
    }

    pub(super) fn newcomer_node(&self) -> eyre::Result<&Client> {
        self.newcomer.as_ref().map(|(_, node)| node).ok_or_eyre("the newcomer's node does not run")
    }

    /// Writes the newcomer's configuration, which knows where the four are (they do not know where it is), and starts its node.
    pub(super) fn start_newcomer(&mut self) -> eyre::Result<()> {
        let free = oceanid_devnet::ports::free_addresses(Ipv4Addr::LOCALHOST.into(), 2)?;
        let (http, p2p) = (free[0], free[1]);
        let mut peers = String::new();
        for node in self.network.config["nodes"].as_array().ok_or_eyre("`nodes` in the network file")? {
            if let (Some(identity), Some(at)) = (node["sequencer"]["identity"].as_str(), node["sequencer"]["p2p"].as_str()) {
                peers += &format!("\"{identity}\" = \"{at}\"\n");
            }
        }
        let file = self.path("node.toml");
        std::fs::write(
            &file,
            format!(
                "spec = \"{}\"\ndata-dir = \"newcomer\"\n[l1]\nhttp = \"{}\"\nbeacon = \"{}\"\npoll-ms = 200\n[rpc]\nlisten = \"{http}\"\n[sequencer]\n\
                 keys = \"keys\"\npassword-file = \"password\"\nlisten = \"{p2p}\"\nbatch-age-seconds = 2\n\
                 [sequencer.peers]\n{peers}",
                self.text("/spec")?,
                self.text("/l1/http")?,
                self.text("/l1/beacon")?,
            ),
        )?;
        let child = Command::new(&self.oceanid)
            .args(["node", "--config"])
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .wrap_err("cannot run the newcomer's node")?;
        self.newcomer = Some((child, Client::new(&format!("http://{http}"))));
        Ok(())
    }

    /// Gives the newcomer's accounts ETH, and its owner `tokens` METIS, from the development accounts.
    pub(super) async fn endow(&self, owner: Address, poster: Address, tokens: u64) -> eyre::Result<()> {
        let mut left = tokens;
        for index in 1..10 {
            let gift = left.min(GIFT);
            if gift == 0 {
                break;
            }
            let transfer = [&keccak256("transfer(address,uint256)")[..4], &word(owner.into_word()), &amount(gift)].concat();
            self.pay(index, address(&self.network.config["contracts"]["l1"]["token"])?, 0, transfer).await?;
            left -= gift;
        }
        ensure!(left == 0, "the development accounts hold less than {tokens} METIS");
        self.pay(1, owner, ETHER, Vec::new()).await?;
        self.pay(1, poster, ETHER, Vec::new()).await
    }

    // ---- the four ----

    /// Sequencer `index` of the development network, with a key folder for its owner.
    pub(super) fn dev_sequencer(&self, index: usize) -> eyre::Result<DevSequencer> {
        let node = &self.network.config["nodes"][index];
        let text = |pointer: &str| node.pointer(pointer).and_then(Value::as_str).ok_or_else(|| eyre::eyre!("nodes{pointer}"));
        let keys = self.path(&format!("owner-{index}"));
        if !keys.exists() {
            let bare = self.path(&format!("owner-{index}.hex"));
            write_private(&bare, text("/sequencer/owner/privateKey")?)?;
            let bare = bare.to_str().ok_or_eyre("a folder with an odd name")?;
            self.expect(&keys, &[], &["keys", "import", "owner", bare, "--raw"])?;
        }
        Ok(DevSequencer {
            // The pool numbers them in the order of the deployment.
            id: index as u64 + 1,
            node: Client::new(text("/http")?),
            pid_file: text("/pidFile")?.into(),
            data_dir: text("/dataDir")?.into(),
            keys,
        })
    }

    /// A command of that sequencer's owner.
    pub(super) fn owner_of(&self, sequencer: &DevSequencer, arguments: &[&str]) -> eyre::Result<Value> {
        self.expect(&sequencer.keys, &["--l2", self.l2.url(), "--id", &sequencer.id.to_string()], arguments)
    }

    /// `sequencer status` of any sequencer.
    pub(super) fn status(&self, id: u64) -> eyre::Result<Value> {
        self.expect(&self.path("keys"), &["--l2", self.l2.url(), "--id", &id.to_string()], &["status"])
    }

    /// `sequencer rewards` of any sequencer.
    pub(super) fn rewards_of(&self, id: u64) -> eyre::Result<Value> {
        self.expect(&self.path("keys"), &["--l2", self.l2.url(), "--id", &id.to_string()], &["rewards"])
    }

    /// Has the node restarted as one that votes twice.
    pub(super) fn equivocate(&mut self, sequencer: &DevSequencer) -> eyre::Result<()> {
        let file = sequencer.data_dir.join("node.toml");
        let text = std::fs::read_to_string(&file)?;
        std::fs::write(&file, text.replace("[sequencer]", "[sequencer]\nbyzantine = \"equivocate\""))?;
        self.signal(sequencer, Signal::SIGKILL)
    }

    pub(super) fn signal(&mut self, sequencer: &DevSequencer, signal: Signal) -> eyre::Result<()> {
        let pid: i32 = std::fs::read_to_string(&sequencer.pid_file)?.trim().parse()?;
        let pid = Pid::from_raw(pid);
        kill(pid, signal).wrap_err_with(|| format!("{signal} to {pid}"))?;
        self.stopped.retain(|stopped| *stopped != pid);
        if signal == Signal::SIGSTOP {
            self.stopped.push(pid);
        }
        Ok(())
    }

    // ---- the chain ----

    pub(super) async fn head(&self) -> eyre::Result<u64> {
        self.l2.block_number().await
    }

    /// Newest block that is in a batch on L1.
    pub(super) async fn safe(&self) -> eyre::Result<u64> {
        self.l2.call("seq_status", json!([])).await?["safe"].as_u64().ok_or_eyre("seq_status has no safe block")
    }

    /// Waits until the committee in office on Layer 2 has no seat for `id`.
    pub(super) async fn wait_for_committee_without(&self, id: u64) -> eyre::Result<()> {
        wait_for("a committee without it to take office on Layer 2", 2 * PATIENCE, async || {
            let answer = self.l2.call("seq_committee", json!([])).await?;
            let members = answer["committee"]["members"].as_array().ok_or_eyre("seq_committee has no members")?;
            Ok(members.iter().all(|member| member["id"].as_u64() != Some(id)))
        })
        .await
    }

    /// Waits until no block is made any more; the last one's number.
    pub(super) async fn halt(&self) -> eyre::Result<u64> {
        let mut last = (self.head().await?, Instant::now());
        let started = Instant::now();
        while last.1.elapsed() < HALTED {
            ensure!(started.elapsed() < PATIENCE, "the chain goes on without a quorum: block {}", last.0);
            tokio::time::sleep(Duration::from_millis(250)).await;
            let head = self.head().await?;
            if head != last.0 {
                last = (head, Instant::now());
            }
        }
        Ok(last.0)
    }

    /// Hashes of all blocks up to `number`.
    pub(super) async fn hashes(&self, number: u64) -> eyre::Result<Vec<Option<B256>>> {
        let mut hashes = Vec::new();
        for block in 0..=number {
            hashes.push(self.l2.block_hash(block).await?);
        }
        Ok(hashes)
    }

    /// Deposits METIS to an account nobody else uses; returns it.
    pub(super) async fn deposit(&self, tokens: u64) -> eyre::Result<Address> {
        let to = Address::repeat_byte(0x7e);
        let l1 = &self.network.config["contracts"]["l1"];
        let (token, portal) = (address(&l1["token"])?, address(&l1["portal"])?);
        let approve = [&keccak256("approve(address,uint256)")[..4], &word(portal.into_word()), &amount(tokens)].concat();
        self.pay(5, token, 0, approve).await?;
        let call = keccak256("depositERC20Transaction(address,uint256,uint256,uint64,bool,bytes)");
        let number = |value: u64| word(B256::from(U256::from(value)));
        let deposit = [
            &call[..4],
            &word(to.into_word()),
            &amount(tokens),
            &amount(tokens),
            &number(100_000),
            &number(0),
            &number(6 * 32),
            &number(0),
        ]
        .concat();
        self.pay(5, portal, 0, deposit).await?;
        Ok(to)
    }

    /// How often L1 has recovered the chain.
    pub(super) async fn recoveries(&self) -> eyre::Result<u128> {
        let rollup = address(&self.network.config["contracts"]["l1"]["rollup"])?;
        let call = json!([{ "to": rollup, "data": hex::encode_prefixed(&keccak256("recoveries()")[..4]) }, "latest"]);
        quantity(&self.l1.call("eth_call", call).await?)
    }

    pub(super) async fn l2_balance(&self, account: Address) -> eyre::Result<u128> {
        quantity(&self.l2.call("eth_getBalance", json!([account, "latest"])).await?)
    }

    pub(super) async fn l1_tokens(&self, account: Address) -> eyre::Result<u128> {
        let token = address(&self.network.config["contracts"]["l1"]["token"])?;
        let data = [&keccak256("balanceOf(address)")[..4], &word(account.into_word())].concat();
        quantity(&self.l1.call("eth_call", json!([{ "to": token, "data": hex::encode_prefixed(data) }, "latest"])).await?)
    }

    /// Sends a transaction on L1 from a development account and waits until it is mined; a revert is an error.
    async fn pay(&self, account: usize, to: Address, value: u128, data: Vec<u8>) -> eyre::Result<()> {
        let key = self.network.config["accounts"][account]["privateKey"].as_str().ok_or_eyre("accounts[].privateKey")?;
        let signer: PrivateKeySigner = key.parse()?;
        let data = Bytes::from(data);
        let call = json!([{ "from": signer.address(), "to": to, "value": format!("{value:#x}"), "data": data }, "latest"]);
        self.l1.call("eth_call", call).await?;
        let (chain_id, nonce) = (self.l1.chain_id().await?, self.l1.nonce(signer.address()).await?);
        let hash = self.l1.send_raw(&signed(&signer, chain_id, nonce, Some(to), U256::from(value), data, CALL_GAS)?).await?;
        wait_for("an L1 transaction to be mined", PATIENCE, async || {
            let receipt = self.l1.call("eth_getTransactionReceipt", json!([hash])).await?;
            ensure!(receipt["status"] != "0x0", "transaction {hash} reverted");
            Ok(receipt.is_object())
        })
        .await
    }
}

impl Drop for Cast {
    fn drop(&mut self) {
        // A stopped child cannot end; it may also have been ended already.
        for pid in &self.stopped {
            let _ = kill(*pid, Signal::SIGCONT);
        }
        if let Some((child, _)) = &mut self.newcomer {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn word(value: B256) -> [u8; 32] {
    value.0
}

/// Wei of whole tokens as an argument.
fn amount(tokens: u64) -> [u8; 32] {
    (U256::from(tokens) * U256::from(ETHER)).to_be_bytes()
}

fn quantity(value: &Value) -> eyre::Result<u128> {
    let text = value.as_str().unwrap_or_default();
    u128::from_str_radix(text.trim_start_matches("0x"), 16).wrap_err_with(|| format!("not a quantity: {value}"))
}

fn write_private(path: &Path, text: &str) -> eyre::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
