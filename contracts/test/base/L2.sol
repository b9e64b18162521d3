// L2: the predeploys of mining at their genesis layout, and registry entries written as the pool's deposits write them.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {CommitteeRegistry} from "../../src/l2/CommitteeRegistry.sol";
import {EpochLedger} from "../../src/l2/EpochLedger.sol";
import {FeeVault} from "../../src/l2/FeeVault.sol";
import {L2ToL1MessagePasser} from "../../src/l2/L2ToL1MessagePasser.sol";
import {Aliasing} from "../../src/lib/Aliasing.sol";
import {Predeploys} from "../../src/lib/Predeploys.sol";
import {Test} from "./Test.sol";
import {vm} from "./Vm.sol";

/// @dev A member of an epoch's message.
function memberWord(uint64 id, uint256 weight, uint256 led, uint256 missed) pure returns (bytes32) {
    return bytes32(abi.encodePacked(id, uint128(weight), uint32(led), uint32(missed)));
}

abstract contract L2 is Test {
    /// @dev Of a heartbeat of 10 s.
    uint64 internal constant MAX_GAP = 80;
    EpochLedger internal constant LEDGER = EpochLedger(Predeploys.EPOCH_LEDGER);
    FeeVault internal constant VAULT = FeeVault(payable(Predeploys.FEE_VAULT));
    CommitteeRegistry internal constant REGISTRY = CommitteeRegistry(Predeploys.COMMITTEE_REGISTRY);
    L2ToL1MessagePasser internal constant PASSER = L2ToL1MessagePasser(payable(Predeploys.MESSAGE_PASSER));

    /// @dev Epoch 0 of committee 1, which the registry does not hold yet.
    function deployL2(address rewards, address splitter, uint64 startedAt) internal {
        vm.etch(Predeploys.COMMITTEE_REGISTRY, create("CommitteeRegistry", "").code);
        vm.etch(Predeploys.MESSAGE_PASSER, create("L2ToL1MessagePasser", "").code);
        vm.etch(Predeploys.FEE_VAULT, create("FeeVault", "").code);
        vm.etch(Predeploys.EPOCH_LEDGER, create("EpochLedger", "").code);
        vm.store(address(LEDGER), 0, bytes32(uint256(MAX_GAP) << 160 | uint160(rewards)));
        vm.store(address(LEDGER), bytes32(uint256(1)), bytes32(uint256(startedAt) << 128 | 1 << 64));
        vm.store(address(VAULT), 0, bytes32(uint256(uint160(splitter))));
    }

    /// @dev Gives the registry committee `id`; member i has id `ids[i]` and weight `weights[i]`.
    function register(uint64 id, uint64[] memory ids, uint128[] memory weights) internal {
        bytes memory packed;
        for (uint256 i = 0; i < ids.length; ++i) {
            packed = abi.encodePacked(packed, ids[i], keccak256(abi.encode("identity", i)), new bytes(96), weights[i]);
        }
        address pool = address(0x9001);
        vm.store(address(REGISTRY), 0, bytes32(uint256(uint160(pool))));
        vm.prank(Aliasing.toL2(pool));
        REGISTRY.setCommittee(id, keccak256("seed"), packed);
    }

    /// @dev Members 1000, 1001, ... with weights 20,000, 20,001, ... tokens.
    function registerMany(uint64 id, uint256 size) internal {
        (uint64[] memory ids, uint128[] memory weights) = (new uint64[](size), new uint128[](size));
        for (uint256 i = 0; i < size; ++i) {
            (ids[i], weights[i]) = (uint64(1000 + i), uint128((20_000 + i) * 1e18));
        }
        register(id, ids, weights);
    }

    function record(uint64 epoch, uint64 committeeId, uint32 leader, uint32[] memory missed) internal {
        vm.prank(Predeploys.SYSTEM_ADDRESS);
        LEDGER.record(epoch, committeeId, leader, missed);
    }

    function record(uint64 epoch, uint64 committeeId, uint32 leader) internal {
        record(epoch, committeeId, leader, new uint32[](0));
    }
}
