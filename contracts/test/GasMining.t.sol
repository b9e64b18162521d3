// GasMining: what mining costs, as whole transactions. Written to snapshots/gas and compared there.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MiningRewards} from "../src/l1/MiningRewards.sol";
import {OutputRootProof} from "../src/lib/SentMessages.sol";
import {L2, memberWord} from "./base/L2.sol";
import {Mining} from "./base/Mining.sol";
import {vm} from "./base/Vm.sol";

/// @dev Every call is a transaction of its own (cold storage, 21,000 gas, calldata).
/// forge-config: default.isolate = true
contract GasMiningTest is Mining, L2 {
    /// @dev Branch nodes above a message in a trie of some 16^7 = 268 million.
    uint256 private constant DEPTH = 7;

    function test_gas_credit_4() public {
        measure(4, "004");
    }

    function test_gas_credit_16() public {
        measure(16, "016");
    }

    function test_gas_credit_50() public {
        measure(50, "050");
    }

    function test_gas_credit_100() public {
        measure(100, "100");
    }

    function measure(uint256 size, string memory label) private {
        deployMining(4, true);
        fundBudget(1_000_000e18);
        vm.warp(now_() + 10 * uint256(EPOCH_SECONDS));
        creditMany(0, one(memberWord(999, 1e18, 1, 0)), 1); // the first epoch ever writes slots that later ones only change
        snapshot(string.concat("credit, ", label, " members, first time"), creditMany(1, membersOf(size), 1));
        snapshot(string.concat("credit, ", label, " members"), creditMany(2, membersOf(size), 1));
        addFees(100e18);
        if (size == 4) snapshot("addFees, first time", used());
        snapshot(string.concat("credit, ", label, " members, with fees"), creditMany(3, membersOf(size), 1));
        snapshot(string.concat("credit, ", label, " members, 4 epochs at once"), creditMany(4, membersOf(size), 4));
    }

    /// @dev Credits `count` epochs in one transaction; returns its gas.
    function creditMany(uint64 epoch, bytes32[] memory members, uint64 count) private returns (uint256) {
        bytes[] memory datas = new bytes[](count);
        uint64 start = rewards.creditedUntil();
        for (uint64 i = 0; i < count; ++i) {
            datas[i] = told(epoch + i, start + i * EPOCH_SECONDS, start + (i + 1) * EPOCH_SECONDS, members);
        }
        (uint256 index, OutputRootProof memory opened, MiningRewards.EpochMessage[] memory messages) =
            publish(datas, DEPTH);
        vm.warp(now_() + WINDOW);
        rewards.creditEpochs(index, opened, messages);
        return used();
    }

    function membersOf(uint256 size) private pure returns (bytes32[] memory members) {
        members = new bytes32[](size);
        for (uint256 i = 0; i < size; ++i) {
            members[i] = memberWord(uint64(i + 1), (20_000 + i * 500) * 1e18, 990, 10);
        }
    }

    function test_gas_claims() public {
        deployMining(4, true);
        fund(HOLDER, address(rewards), 2_000_000e18);
        vm.prank(HOLDER);
        rewards.fund(1_000_000e18);
        snapshot("fund, first time", used());
        vm.prank(HOLDER);
        rewards.fund(1_000_000e18);
        snapshot("fund", used());
        vm.warp(now_() + 30 days);
        creditMany(0, membersOf(4), 1);
        address owner = ownerOf[1];
        vm.prank(owner);
        rewards.relock(1, 1e18);
        snapshot("relock", used());
        addFees(1e18);
        addFees(1e18);
        snapshot("addFees", used());
        vm.prank(owner);
        rewards.claimToL2(1);
        snapshot("claimToL2", used());
        creditMany(1, membersOf(4), 1);
        vm.prank(owner);
        rewards.claimToL1(1);
        snapshot("claimToL1", used());
        vm.prank(address(pool));
        rewards.clearMissed(1);
        snapshot("clearMissed, by itself", used());
        vm.prank(GOVERNOR);
        rewards.setRule(MiningRewards.Rule.Curve, 100e18, uint64(now_() + 1));
        snapshot("setRule", used());
    }

    function test_gas_fees() public {
        deployMining(4, false);
        address poster = address(0x9057e4);
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(HOLDER);
            token.transfer(address(splitter), 100e18);
            splitter.settle();
            snapshot(i == 0 ? "settle, first time" : "settle", used());
            mock.spend(poster, 0.01e18);
            splitter.reimburse(poster);
            snapshot(i == 0 ? "reimburse, first time" : "reimburse", used());
        }
        vm.prank(GOVERNOR);
        splitter.setSplit(6000, 2000, 1000);
        snapshot("setSplit, nothing to settle", used());
    }

    function test_gas_l2() public {
        vm.warp(1_800_000_000);
        deployL2(address(0x4e3a4d5), address(0x5b1177e4), 1_800_000_000);
        uint256[4] memory sizes = [uint256(4), 16, 50, 100];
        string[4] memory labels = ["004", "016", "050", "100"];
        registerMany(1, 4);
        record(0, 1, 1);
        vm.warp(1_800_000_001);
        record(0, 1, 1); // later than its parent, as blocks are: the epoch's time is written
        snapshot("EpochLedger.record, within an epoch", used());
        uint32[] memory missed = new uint32[](256);
        for (uint32 i = 0; i < 256; ++i) {
            missed[i] = i % 100;
        }
        record(0, 1, 1, missed);
        snapshot("EpochLedger.record, 256 missed", used());
        uint64 epoch = 0;
        for (uint64 i = 0; i < 4; ++i) {
            registerMany(2 + i, sizes[i]);
            record(++epoch, 2 + i, 0, missed);
            vm.warp(1_800_000_002 + i);
            vm.deal(address(VAULT), 5e18);
            record(++epoch, 2 + i, 0);
            snapshot(string.concat("EpochLedger.record, ends an epoch of ", labels[i], " members and flushes"), used());
        }
        vm.deal(address(VAULT), 5e18);
        VAULT.flush();
        snapshot("FeeVault.flush", used());
    }

    function snapshot(string memory name, uint256 value) private {
        vm.snapshotValue("mining", name, value);
    }

    function used() private view returns (uint256) {
        return vm.lastCallGas().gasTotalUsed;
    }
}
