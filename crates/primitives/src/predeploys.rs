//! Addresses that exist on every Oceanid chain from genesis, and the storage slots the node reads in them.
//!
//! Where the OP Stack has a predeploy of the same job, its address is used, so that existing tools find it.

use alloy_primitives::{Address, B256, U256, address, keccak256};

/// L2 to L1 messages (OP Stack). Its storage root is every header's `withdrawalsRoot`.
pub const MESSAGE_PASSER: Address = address!("4200000000000000000000000000000000000016");
/// L1 block number, time, fees and hash of the present L1 origin (OP Stack address, own layout).
pub const L1_BLOCK_INFO: Address = address!("4200000000000000000000000000000000000015");
/// Receives base fee, priority fee and L1 data fee; the beneficiary of every block (OP Stack address).
pub const FEE_VAULT: Address = address!("4200000000000000000000000000000000000011");
/// Bridge of ETH and ERC-20 tokens (OP Stack address of the standard bridge).
pub const L2_BRIDGE: Address = address!("4200000000000000000000000000000000000010");
/// Committees fixed on L1.
pub const COMMITTEE_REGISTRY: Address = address!("420000000000000000000000000000000000c001");
/// Who led and who missed, epoch by epoch; told at the start of every block.
pub const EPOCH_LEDGER: Address = address!("420000000000000000000000000000000000c002");
/// The native coin's ERC-20 face (the address the Metis network uses).
pub const NATIVE_TOKEN: Address = address!("DeadDeAddeAddEAddeadDEaDDEAdDeaDDeAD0000");
/// Precompile that moves native balance; callable by [`NATIVE_TOKEN`] only. Input: `abi.encode(from, to, amount)`.
pub const NATIVE_TRANSFER: Address = address!("00000000000000000000000000000000000000fd");
/// Sender of system deposits (OP Stack "L1 attributes depositor").
pub const SYSTEM_DEPOSITOR: Address = address!("DeaDDEaDDeAdDeAdDEAdDEaddeAddEAdDEAd0001");
/// Caller of the system calls at a block's start (EIP-2935, EIP-4788, [`EPOCH_LEDGER`]).
pub const SYSTEM_ADDRESS: Address = address!("fffffffffffffffffffffffffffffffffffffffe");
/// EIP-2935 history storage.
pub const HISTORY_STORAGE: Address = address!("0000F90827F1C53a10cb7A02335B175320002935");

/// The contracts that every chain specification must hold.
pub const CONTRACTS: [Address; 7] =
    [MESSAGE_PASSER, L1_BLOCK_INFO, FEE_VAULT, L2_BRIDGE, COMMITTEE_REGISTRY, EPOCH_LEDGER, NATIVE_TOKEN];

/// Slots of [`L1_BLOCK_INFO`]: one value each.
pub mod l1_block_info {
    /// L1 origin number.
    pub const NUMBER: u64 = 0;
    /// L1 origin timestamp, seconds.
    pub const TIMESTAMP: u64 = 1;
    /// L1 base fee, wei of ETH per gas.
    pub const BASE_FEE: u64 = 2;
    /// L1 blob base fee, wei of ETH per blob gas.
    pub const BLOB_BASE_FEE: u64 = 3;
    /// L1 origin hash.
    pub const HASH: u64 = 4;
    /// Wei of the gas token per 10^18 wei of ETH.
    pub const GAS_TOKEN_RATIO: u64 = 5;
    /// L1 address of the price oracle, as it is (the contract aliases it).
    pub const ORACLE: u64 = 6;
}

/// Slots of [`COMMITTEE_REGISTRY`].
pub mod committee_registry {
    use super::*;

    /// L1 address of the pool, as it is (the contract aliases it).
    pub const POOL: u64 = 0;
    /// Newest committee id.
    pub const LATEST: u64 = 1;
    /// `mapping(uint64 => bytes32)`: seed of a committee.
    pub const SEEDS: u64 = 2;
    /// `mapping(uint64 => address)`: account whose code is `0x00 ++ packed members`.
    pub const POINTERS: u64 = 3;

    /// Slot of `mapping[key]` for a mapping at `slot` (Solidity storage layout).
    pub fn mapping_slot(key: u64, slot: u64) -> U256 {
        let mut preimage = [0u8; 64];
        preimage[24..32].copy_from_slice(&key.to_be_bytes());
        preimage[56..].copy_from_slice(&slot.to_be_bytes());
        U256::from_be_bytes(keccak256(preimage).0)
    }
}

/// Slots of [`EPOCH_LEDGER`]; genesis writes the first two.
pub mod epoch_ledger {
    use super::*;

    /// L1 address of `MiningRewards`, receiver of the messages, and the largest gap between blocks that is paid for; value as [`rewards`]
    /// packs it.
    pub const REWARDS: u64 = 0;
    /// The running epoch; value as [`running`] packs it.
    pub const RUNNING: u64 = 1;
    /// `mapping(uint64 => (uint256 nonce, address data))`: message about an epoch; `data` is an account whose code is `0x00 ++ data`.
    pub const MESSAGES: u64 = 2;
    /// First of the slots that count the running epoch's work, [`MEMBERS_PER_SLOT`] members in each.
    pub const COUNTS: u64 = 3;
    /// Member i has the 64 bits from `64 * (i % 4)` up: `led (u32) ++ missed (u32)`.
    pub const MEMBERS_PER_SLOT: usize = 4;

    /// Slot [`REWARDS`]: the address in the lowest 160 bits, then the gap (u64, seconds).
    pub fn rewards(address: Address, max_gap: u64) -> U256 {
        U256::from_be_bytes(address.into_word().0) | (U256::from(max_gap) << 160)
    }

    /// Slot [`RUNNING`]: epoch, its committee, and the timestamp (seconds) of its first block, from the lowest bits up. Above them the ledger
    /// keeps the epoch's time so far: all of it, and what is paid for (u32 seconds each).
    pub const fn running(epoch: u64, committee_id: u64, started_at: u64) -> U256 {
        U256::from_limbs([epoch, committee_id, started_at, 0])
    }
}

/// Slots of [`FEE_VAULT`]; genesis writes the first.
pub mod fee_vault {
    use super::*;

    /// L1 address of `FeeSplitter`: receiver of the fees.
    pub const SPLITTER: u64 = 0;
    /// Array of withdrawals `(uint256 nonce, uint256 value)`; its length is here.
    pub const FLUSHES: u64 = 1;

    /// Slot of the nonce of withdrawal `index`; its value is in the next.
    pub fn flush_slot(index: u64) -> U256 {
        let first = U256::from_be_bytes(keccak256(slot(FLUSHES).to_be_bytes::<32>()).0);
        first.wrapping_add(U256::from(index) * U256::from(2))
    }
}

/// Storage key of a small slot number.
pub const fn slot(number: u64) -> U256 {
    U256::from_limbs([number, 0, 0, 0])
}

/// `address + 0x1111…1111`: how a contract on L1 appears as a sender on L2 (OP Stack address aliasing).
pub fn alias(l1_contract: Address) -> Address {
    let offset = U256::from_be_slice(address!("1111000000000000000000000000000000001111").as_slice());
    let sum: U256 = U256::from_be_slice(l1_contract.as_slice()).wrapping_add(offset);
    Address::from_word(B256::from(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alias_wraps_at_twenty_bytes() {
        assert_eq!(alias(Address::ZERO), address!("1111000000000000000000000000000000001111"));
        assert_eq!(alias(Address::repeat_byte(0xff)), address!("1111000000000000000000000000000000001110"));
    }
}
