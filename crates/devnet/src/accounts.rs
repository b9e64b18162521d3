//! The accounts every Ethereum developer knows: the first ten of the mnemonic `test test ... junk`, and those of the operators.

use alloy_primitives::{Address, B256, U256};
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner};
use std::collections::BTreeMap;

/// The mnemonic of the development accounts (the one anvil and hardhat use). Its keys are public knowledge.
pub const MNEMONIC: &str = "test test test test test test test test test test test junk";

/// Development accounts for people, at `m/44'/60'/0'/0/{0..9}`.
pub const DEV_ACCOUNTS: u32 = 10;

/// Index of the first operator account on the same derivation path: far from the accounts that people use, so that a test which sends
/// from every development account never collides with a nonce of the network's own services.
const FIRST_OPERATOR: u32 = 1_000;

/// Places of the network's own services behind [`FIRST_OPERATOR`].
const DEPLOYER: u32 = FIRST_OPERATOR;
const FIRST_BATCHER: u32 = FIRST_OPERATOR + 100;
const FIRST_OWNER: u32 = FIRST_OPERATOR + 200;

/// ETH of each development account on the embedded L1, whole ETH.
pub const DEV_ETH: u64 = 10_000;

/// Most sequencers of a development network: each has a batcher's and an owner's account.
pub const MAX_DEV_SEQUENCERS: u32 = 20;

/// Key at `m/44'/60'/0'/0/{index}` of [`MNEMONIC`].
fn derive(index: u32) -> PrivateKeySigner {
    MnemonicBuilder::english()
        .phrase(MNEMONIC)
        .index(index)
        .and_then(|builder| builder.build())
        .expect("the mnemonic is a valid constant and every index below 2^31 derives")
}

/// One funded account, with its key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DevAccount {
    /// Address, the same on L1 and L2.
    pub address: Address,
    /// secp256k1 private key. Public knowledge: never send anything of value here.
    pub private_key: B256,
}

impl From<&PrivateKeySigner> for DevAccount {
    fn from(signer: &PrivateKeySigner) -> Self {
        Self { address: signer.address(), private_key: signer.to_bytes() }
    }
}

/// The ten development accounts.
pub fn dev_signers() -> Vec<PrivateKeySigner> {
    (0..DEV_ACCOUNTS).map(derive).collect()
}

/// The same with their keys, as `--config-out` writes them.
pub fn dev_accounts() -> Vec<DevAccount> {
    dev_signers().iter().map(DevAccount::from).collect()
}

/// Deploys the contracts and pays for it.
pub fn deployer() -> PrivateKeySigner {
    derive(DEPLOYER)
}

/// Pays for the batches that sequencer `index` (from 0) posts on L1: one account each, so that their nonces never collide.
pub fn batcher(index: u32) -> PrivateKeySigner {
    derive(FIRST_BATCHER + index)
}

/// Owner of the lock of sequencer `index` (from 0).
pub fn sequencer_owner(index: u32) -> PrivateKeySigner {
    derive(FIRST_OWNER + index)
}

/// `whole` tokens of 18 decimals, in wei.
pub fn ether(whole: u64) -> U256 {
    U256::from(whole) * U256::from(10).pow(U256::from(18))
}

/// Balances of the embedded L1's genesis: [`DEV_ETH`] for each development account and for the deployer.
pub fn l1_balances() -> BTreeMap<Address, U256> {
    dev_signers().iter().chain([&deployer()]).map(|signer| (signer.address(), ether(DEV_ETH))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::address;

    #[test]
    fn the_accounts_are_those_of_anvil_and_hardhat() {
        let signers = dev_signers();
        assert_eq!(signers[0].address(), address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
        assert_eq!(signers[9].address(), address!("a0Ee7A142d267C1f36714E4a8F75612F20a79720"));
    }

    #[test]
    fn operators_are_none_of_the_development_accounts() {
        let people: Vec<_> = dev_signers().iter().map(PrivateKeySigner::address).collect();
        for operator in [deployer(), batcher(0), sequencer_owner(0), sequencer_owner(MAX_DEV_SEQUENCERS - 1)] {
            assert!(!people.contains(&operator.address()));
        }
    }
}
