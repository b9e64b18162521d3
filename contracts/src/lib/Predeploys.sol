// Predeploys: the fixed L2 addresses that both sides of the bridge and the state transition agree on.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

library Predeploys {
    /// @dev OP's address: viem/op-stack and other tools look for withdrawals here.
    address internal constant MESSAGE_PASSER = 0x4200000000000000000000000000000000000016;
    /// @dev OP's address of the L1 attributes contract.
    address internal constant L1_BLOCK_INFO = 0x4200000000000000000000000000000000000015;
    /// @dev OP's address of the standard bridge.
    address internal constant L2_BRIDGE = 0x4200000000000000000000000000000000000010;
    /// @dev OP's address of the sequencer fee vault.
    address internal constant FEE_VAULT = 0x4200000000000000000000000000000000000011;
    address internal constant COMMITTEE_REGISTRY = 0x420000000000000000000000000000000000c001;
    address internal constant EPOCH_LEDGER = 0x420000000000000000000000000000000000c002;
    /// @dev Metis' address of the native coin as an ERC-20.
    address internal constant NATIVE_TOKEN = 0xDeadDeAddeAddEAddeadDEaDDEAdDeaDDeAD0000;
    /// @dev Precompile of the L2 state transition that moves native balance; callable by NATIVE_TOKEN only.
    address internal constant NATIVE_TRANSFER = 0x00000000000000000000000000000000000000fd;
    /// @dev Sender of the system deposit that opens every L1 origin (OP's depositor account).
    address internal constant SYSTEM_DEPOSITOR = 0xDeaDDEaDDeAdDeAdDEAdDEaddeAddEAdDEAd0001;
    /// @dev Caller of the state transition's system calls (EIP-4788's).
    address internal constant SYSTEM_ADDRESS = 0xffffFFFfFFffffffffffffffFfFFFfffFFFfFFfE;
}
