//! Block 0 of the embedded L1, kept as a file so that a restart finds the same chain.

use alloy_eips::eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE};
use alloy_eips::eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, Bytes, U256};
use oceanid_chain::EthGenesis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Base fee of block 0, wei: one gwei, as anvil.
const INITIAL_BASE_FEE: u64 = 1_000_000_000;

/// Name of the file in the L1's directory.
const FILE: &str = "genesis.json";

/// What makes one embedded L1 different from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct L1Genesis {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Timestamp of block 0, seconds since 1970.
    pub timestamp: u64,
    /// Gas limit of every block.
    pub gas_limit: u64,
    /// Balances, wei of ETH.
    pub balances: BTreeMap<Address, U256>,
}

impl L1Genesis {
    /// Reads the genesis of an existing directory.
    pub fn read(dir: &Path) -> io::Result<Option<Self>> {
        let json = match std::fs::read(dir.join(FILE)) {
            Ok(json) => json,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        serde_json::from_slice(&json).map(Some).map_err(io::Error::other)
    }

    /// Writes it into a new directory, in one step and durably.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let part = dir.join("genesis.part");
        let file = std::fs::File::create(&part)?;
        serde_json::to_writer_pretty(&file, self)?;
        file.sync_all()?;
        std::fs::rename(part, dir.join(FILE))
    }

    /// The whole first state: the balances, the system contracts of EIP-2935 and EIP-4788, and the helper contracts tools expect.
    pub fn ethereum(&self) -> EthGenesis {
        let system = |code: &Bytes| GenesisAccount { nonce: Some(1), code: Some(code.clone()), ..GenesisAccount::default() };
        let mut alloc: BTreeMap<Address, GenesisAccount> = self
            .balances
            .iter()
            .map(|(address, balance)| (*address, GenesisAccount { balance: *balance, ..GenesisAccount::default() }))
            .collect();
        alloc.insert(HISTORY_STORAGE_ADDRESS, system(&HISTORY_STORAGE_CODE));
        alloc.insert(BEACON_ROOTS_ADDRESS, system(&BEACON_ROOTS_CODE));
        alloc.extend(oceanid_contracts::helpers::accounts());
        EthGenesis {
            chain_id: self.chain_id,
            timestamp: self.timestamp,
            gas_limit: self.gas_limit,
            base_fee: INITIAL_BASE_FEE,
            alloc,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_finds_the_same_genesis() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(L1Genesis::read(dir.path()).unwrap(), None);
        let genesis = L1Genesis {
            chain_id: 31_337,
            timestamp: 1_700_000_000,
            gas_limit: 60_000_000,
            balances: BTreeMap::from([(Address::repeat_byte(1), U256::from(5))]),
        };
        genesis.write(dir.path()).unwrap();
        assert_eq!(L1Genesis::read(dir.path()).unwrap(), Some(genesis));
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), r#"{"chainId":1,"timestamp":1,"gasLimit":1,"balances":{},"colour":1}"#).unwrap();
        assert!(L1Genesis::read(dir.path()).unwrap_err().to_string().contains("colour"));
    }
}
