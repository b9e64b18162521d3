//! What `--config-out` writes: everything a script needs to find its way in a development network.

use crate::accounts::DevAccount;
use alloy_primitives::{Address, B256};
use oceanid_primitives::{L1Contracts, predeploys};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Endpoints of the L1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L1Endpoints {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// JSON-RPC over http.
    pub http: String,
    /// JSON-RPC over ws.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ws: Option<String>,
    /// Beacon API with the blobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beacon: Option<String>,
}

/// Endpoints of a Layer 2 node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L2Endpoints {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// JSON-RPC over http.
    pub http: String,
    /// JSON-RPC over ws.
    pub ws: String,
}

/// Endpoint of the follower.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FollowerEndpoints {
    /// JSON-RPC over http.
    pub http: String,
}

/// Contract addresses of one side, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L1Addresses {
    /// Gas token (ERC-20).
    pub token: Address,
    /// Deposits, withdrawals, escrow.
    pub portal: Address,
    /// Batches and outputs; also answers as `L2OutputOracle` of the OP Stack.
    pub rollup: Address,
    /// Stake and committees.
    pub sequencer_pool: Address,
    /// Stake on its way out, as ERC-721.
    pub unbonding_ticket: Address,
    /// Proofs of misbehaviour.
    pub slasher: Address,
    /// Rewards of sequencers.
    pub mining_rewards: Address,
    /// Layer 2's fees.
    pub fee_splitter: Address,
    /// The governor.
    pub timelock: Address,
    /// Bridge of ETH and ERC-20 tokens.
    pub bridge: Address,
    /// Price of ETH in the gas token.
    pub gas_price_oracle: Address,
}

/// Predeploys of Layer 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L2Addresses {
    /// L2 to L1 messages.
    pub message_passer: Address,
    /// The present L1 origin.
    pub l1_block_info: Address,
    /// Fees.
    pub fee_vault: Address,
    /// Bridge of ETH and ERC-20 tokens.
    pub bridge: Address,
    /// Committees.
    pub committee_registry: Address,
    /// Who led and who missed, by epoch.
    pub epoch_ledger: Address,
    /// The native coin as an ERC-20.
    pub native_token: Address,
}

/// Addresses of both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Addresses {
    /// On L1.
    pub l1: L1Addresses,
    /// On Layer 2.
    pub l2: L2Addresses,
}

impl Addresses {
    /// The addresses of a chain.
    pub fn new(l1: &L1Contracts) -> Self {
        Self {
            l1: L1Addresses {
                token: l1.token,
                portal: l1.portal,
                rollup: l1.rollup,
                sequencer_pool: l1.pool,
                unbonding_ticket: l1.ticket,
                slasher: l1.slasher,
                mining_rewards: l1.rewards,
                fee_splitter: l1.fee_splitter,
                timelock: l1.timelock,
                bridge: l1.bridge,
                gas_price_oracle: l1.oracle,
            },
            l2: L2Addresses {
                message_passer: predeploys::MESSAGE_PASSER,
                l1_block_info: predeploys::L1_BLOCK_INFO,
                fee_vault: predeploys::FEE_VAULT,
                bridge: predeploys::L2_BRIDGE,
                committee_registry: predeploys::COMMITTEE_REGISTRY,
                epoch_ledger: predeploys::EPOCH_LEDGER,
                native_token: predeploys::NATIVE_TOKEN,
            },
        }
    }
}

/// One node of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeEndpoint {
    /// `sequencer-0`, …, `follower`.
    pub name: String,
    /// `sequencer` or `follower`.
    pub role: String,
    /// JSON-RPC over http.
    pub http: String,
    /// Its state, configuration and keys.
    pub data_dir: PathBuf,
    /// What others need to know of a sequencer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<SequencerEndpoint>,
    /// File with its process id, when each node is a process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid_file: Option<PathBuf>,
}

/// A sequencer as its peers, and whoever acts for its owner, know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SequencerEndpoint {
    /// ed25519 identity key.
    pub identity: B256,
    /// Peer-to-peer address.
    pub p2p: SocketAddr,
    /// Owner of its lock.
    pub owner: DevAccount,
}

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigOut {
    /// The L1.
    pub l1: L1Endpoints,
    /// The first sequencer.
    pub l2: L2Endpoints,
    /// The follower, when one runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follower: Option<FollowerEndpoints>,
    /// Every node.
    pub nodes: Vec<NodeEndpoint>,
    /// Chain specification (JSON).
    pub spec: PathBuf,
    /// Hash of the Layer 2 genesis block.
    pub genesis_hash: B256,
    /// Seconds an output waits before withdrawals against it can be finalised.
    pub challenge_window: u64,
    /// Funded accounts, the same on both sides.
    pub accounts: Vec<DevAccount>,
    /// Contract addresses.
    pub contracts: Addresses,
}

impl ConfigOut {
    /// Pretty JSON with a newline at the end.
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("plain strings and numbers serialise");
        json.push('\n');
        json
    }

    /// Writes the file in one step (a reader sees the old file or the whole new one).
    pub fn write(&self, path: &std::path::Path) -> std::io::Result<()> {
        let part = path.with_extension("part");
        std::fs::write(&part, self.to_json())?;
        std::fs::rename(part, path)
    }

    /// The text `oceanid dev` greets with.
    pub fn banner(&self) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        let mut line = |label: &str, value: &dyn std::fmt::Display| {
            writeln!(text, "  {label:<18} {value}").expect("a String takes any text");
        };
        line("L2 http", &self.l2.http);
        line("L2 ws", &self.l2.ws);
        line("L2 chain id", &self.l2.chain_id);
        if let Some(follower) = &self.follower {
            line("follower http", &follower.http);
        }
        line("L1 http", &self.l1.http);
        line("L1 chain id", &self.l1.chain_id);
        if let Some(beacon) = &self.l1.beacon {
            line("L1 beacon", beacon);
        }
        line("", &"");
        for (label, address) in [
            ("METIS on L1", self.contracts.l1.token),
            ("Portal", self.contracts.l1.portal),
            ("Rollup", self.contracts.l1.rollup),
            ("SequencerPool", self.contracts.l1.sequencer_pool),
            ("MiningRewards", self.contracts.l1.mining_rewards),
            ("L1 bridge", self.contracts.l1.bridge),
            ("METIS on L2", self.contracts.l2.native_token),
            ("message passer", self.contracts.l2.message_passer),
            ("L2 bridge", self.contracts.l2.bridge),
        ] {
            line(label, &address);
        }
        text.push_str("\n  Accounts (mnemonic: ");
        text.push_str(crate::accounts::MNEMONIC);
        text.push_str(")\n");
        for (index, account) in self.accounts.iter().enumerate() {
            writeln!(text, "  ({index}) {}  {}", account.address, account.private_key).expect("a String takes any text");
        }
        text.push_str("  These keys are public knowledge: never send anything of value to them.\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::dev_accounts;

    fn sample() -> ConfigOut {
        let l1 = L1Contracts {
            start: Default::default(),
            token: Address::repeat_byte(1),
            portal: Address::repeat_byte(2),
            rollup: Address::repeat_byte(3),
            pool: Address::repeat_byte(4),
            bridge: Address::repeat_byte(5),
            oracle: Address::repeat_byte(6),
            ..L1Contracts::default()
        };
        ConfigOut {
            l1: L1Endpoints {
                chain_id: 31_337,
                http: "http://127.0.0.1:1".into(),
                ws: None,
                beacon: Some("http://127.0.0.1:2".into()),
            },
            l2: L2Endpoints { chain_id: 1_088_001, http: "http://127.0.0.1:3".into(), ws: "ws://127.0.0.1:3".into() },
            follower: Some(FollowerEndpoints { http: "http://127.0.0.1:4".into() }),
            nodes: vec![NodeEndpoint {
                name: "follower".into(),
                role: "follower".into(),
                http: "http://127.0.0.1:4".into(),
                data_dir: "/follower".into(),
                sequencer: None,
                pid_file: None,
            }],
            spec: "/spec.json".into(),
            genesis_hash: B256::repeat_byte(7),
            challenge_window: 5,
            accounts: dev_accounts(),
            contracts: Addresses::new(&l1),
        }
    }

    #[test]
    fn the_documented_paths_exist() {
        let json: serde_json::Value = serde_json::from_str(&sample().to_json()).unwrap();
        for path in [
            "/l1/http",
            "/l1/beacon",
            "/l2/http",
            "/l2/ws",
            "/follower/http",
            "/spec",
            "/accounts/9/address",
            "/accounts/9/privateKey",
            "/contracts/l1/portal",
            "/contracts/l1/sequencerPool",
            "/contracts/l1/miningRewards",
            "/contracts/l1/slasher",
            "/contracts/l1/unbondingTicket",
            "/contracts/l1/feeSplitter",
            "/contracts/l1/timelock",
            "/contracts/l2/epochLedger",
            "/contracts/l2/messagePasser",
        ] {
            assert!(json.pointer(path).is_some_and(serde_json::Value::is_string), "{path}");
        }
    }

    #[test]
    fn written_and_read_back_and_named_in_the_banner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        sample().write(&path).unwrap();
        let read: ConfigOut = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(read, sample());
        let banner = sample().banner();
        for text in
            ["http://127.0.0.1:3", "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266", &sample().contracts.l1.portal.to_string()]
        {
            assert!(banner.contains(text), "{text} is missing in:\n{banner}");
        }
    }
}
