//! Small public contracts that tools expect on every chain, put into genesis at their usual addresses.

use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, Bytes, address, bytes, hex};

/// The deterministic deployment proxy (Arachnid, public domain), which `forge create2` and many scripts use.
pub const CREATE2_DEPLOYER: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");

/// Multicall3 (mds1, MIT), which viem, ethers and wallets use to batch reads.
pub const MULTICALL3: Address = address!("cA11bde05977b3631167028862bE2a173976CA11");

static CREATE2_DEPLOYER_CODE: Bytes = bytes!(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
);

const MULTICALL3_CODE: &str = include_str!("../presets/multicall3.hex");

/// The helper contracts as genesis accounts.
pub fn accounts() -> [(Address, GenesisAccount); 2] {
    let multicall3 = hex::decode(MULTICALL3_CODE.trim()).expect("the preset is a hex file");
    [(CREATE2_DEPLOYER, CREATE2_DEPLOYER_CODE.clone()), (MULTICALL3, multicall3.into())]
        .map(|(address, code)| (address, contract(code)))
}

/// A contract account: nonce 1 (EIP-161) and code.
pub(crate) fn contract(code: Bytes) -> GenesisAccount {
    GenesisAccount { nonce: Some(1), code: Some(code), ..GenesisAccount::default() }
}
