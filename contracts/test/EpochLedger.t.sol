// EpochLedger and FeeVault: counts, messages, flushes, and everything that must not stop a block.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {EpochLedger} from "../src/l2/EpochLedger.sol";
import {FeeVault} from "../src/l2/FeeVault.sol";
import {L2ToL1MessagePasser} from "../src/l2/L2ToL1MessagePasser.sol";
import {Predeploys} from "../src/lib/Predeploys.sol";
import {L2, memberWord} from "./base/L2.sol";
import {vm} from "./base/Vm.sol";

contract EpochLedgerTest is L2 {
    address private constant REWARDS = address(0x4e3a4d5);
    address private constant SPLITTER = address(0x5b1177e4);
    uint64 private constant GENESIS = 1_800_000_000;
    uint256 private constant NONCE = uint256(1) << 240;

    function setUp() public {
        vm.warp(GENESIS);
        deployL2(REWARDS, SPLITTER, GENESIS);
        registerMany(1, 5);
    }

    // ---- counts ----

    function test_genesisSlotsAreRead() public view {
        eq(LEDGER.rewards(), REWARDS, "slot 0");
        (uint64 epoch, uint64 committeeId, uint64 startedAt) = LEDGER.current();
        eq(epoch, 0, "epoch");
        eq(committeeId, 1, "committee");
        eq(startedAt, GENESIS, "startedAt");
    }

    function test_onlyTheSystemRecords() public {
        vm.expectRevert(abi.encodeWithSelector(EpochLedger.NotSystem.selector, address(this)));
        LEDGER.record(0, 1, 0, new uint32[](0));
        (uint64 epoch, uint64 committeeId, uint64 startedAt) = LEDGER.current();
        EpochLedger.Running memory running = EpochLedger.Running(epoch, committeeId, startedAt);
        vm.expectRevert(abi.encodeWithSelector(EpochLedger.NotSelf.selector, address(this)));
        LEDGER.tell(running);
        vm.prank(Predeploys.SYSTEM_ADDRESS);
        vm.expectRevert(abi.encodeWithSelector(EpochLedger.NotSelf.selector, Predeploys.SYSTEM_ADDRESS));
        LEDGER.tell(running);
    }

    /// @dev Against a plain copy of the counts.
    function testFuzz_countsEveryPosition(uint8[40] memory positions, uint256 missedMask) public {
        uint32[100] memory led;
        uint32[100] memory missed;
        for (uint256 i = 0; i < positions.length; ++i) {
            uint32 position = positions[i] % 110; // some out of range
            if (missedMask >> i & 1 == 0) {
                record(0, 1, position);
                if (position < 100) ++led[position];
            } else {
                uint32[] memory twice = new uint32[](2);
                (twice[0], twice[1]) = (position, position);
                record(0, 1, 7, twice);
                ++led[7];
                if (position < 100) missed[position] += 2;
            }
        }
        for (uint256 i = 0; i < 100; ++i) {
            (uint32 l, uint32 m) = LEDGER.counts(i);
            eq(l, led[i], "led");
            eq(m, missed[i], "missed");
        }
    }

    function test_positionsBeyondTheLastAreIgnored() public {
        uint32[] memory missed = new uint32[](3);
        (missed[0], missed[1], missed[2]) = (100, type(uint32).max, 99);
        record(0, 1, 100, missed);
        record(0, 1, type(uint32).max);
        for (uint256 slot = 3; slot < 27; ++slot) {
            eq(vm.load(address(LEDGER), bytes32(slot)), 0, "no count");
        }
        (uint32 led, uint32 missed99) = LEDGER.counts(99);
        eq(led, 0, "led");
        eq(missed99, 1, "the last position counts");
        eq(vm.load(address(LEDGER), bytes32(uint256(28))), 0, "nothing behind the array");
    }

    function test_countsSaturateWithoutSpilling() public {
        vm.store(address(LEDGER), bytes32(uint256(3)), bytes32(type(uint256).max ^ uint256(type(uint32).max) << 64));
        uint32[] memory missed = new uint32[](2);
        (missed[0], missed[1]) = (0, 1);
        record(0, 1, 0, missed);
        record(0, 1, 1);
        (uint32 led, uint32 missed0) = LEDGER.counts(0);
        eq(led, type(uint32).max, "led stays");
        eq(missed0, type(uint32).max, "missed stays");
        uint32 missed1;
        (led, missed1) = LEDGER.counts(1);
        eq(led, type(uint32).max, "neighbour led");
        eq(missed1, 1, "neighbour missed");
    }

    // ---- messages ----

    function test_anEpochIsToldToL1() public {
        uint32[] memory missed = new uint32[](3);
        (missed[0], missed[1], missed[2]) = (3, 3, 0);
        record(0, 1, 2);
        record(0, 1, 4, missed);
        vm.warp(GENESIS + 8500);
        record(1, 1, 1);

        bytes32[] memory members = new bytes32[](5);
        members[0] = memberWord(1000, 20_000e18, 0, 1);
        members[1] = memberWord(1001, 20_001e18, 0, 0);
        members[2] = memberWord(1002, 20_002e18, 1, 0);
        members[3] = memberWord(1003, 20_003e18, 0, 2);
        members[4] = memberWord(1004, 20_004e18, 1, 0);
        bytes memory expected = abi.encode(uint64(0), uint64(1), GENESIS, GENESIS + 8500, members);
        (uint256 nonce, bytes memory data) = LEDGER.message(0);
        eq(nonce, NONCE, "nonce");
        eq(data, expected, "data");
        bytes32 hash = keccak256(abi.encode(NONCE, address(LEDGER), REWARDS, uint256(0), uint256(0), expected));
        yes(PASSER.sentMessages(hash), "in the message passer");

        (uint64 epoch, uint64 committeeId, uint64 startedAt) = LEDGER.current();
        eq(epoch, 1, "epoch");
        eq(committeeId, 1, "committee");
        eq(startedAt, GENESIS + 8500, "starts where the last ended");
        (uint32 led,) = LEDGER.counts(4);
        eq(led, 0, "counts start anew");
        (led,) = LEDGER.counts(1);
        eq(led, 1, "with the new epoch's first block");
    }

    function test_aNewCommitteeIsToldUnderItsOwnMembers() public {
        registerMany(2, 3);
        record(1, 2, 2);
        vm.warp(GENESIS + 60);
        record(5, 2, 0); // numbers may skip: recoveries move them
        (uint256 nonce, bytes memory data) = LEDGER.message(1);
        eq(nonce, NONCE + 1, "nonce");
        (uint64 epoch, uint64 committeeId, uint64 start, uint64 end, bytes32[] memory members) =
            abi.decode(data, (uint64, uint64, uint64, uint64, bytes32[]));
        eq(epoch, 1, "epoch");
        eq(committeeId, 2, "committee");
        eq(start, GENESIS, "start");
        eq(end, GENESIS + 60, "end");
        eq(members.length, 3, "members");
        eq(members[2], memberWord(1002, 20_002e18, 1, 0), "member");
        (nonce, data) = LEDGER.message(2);
        eq(nonce, 0, "never told");
        eq(data, "", "no data");
    }

    function test_onlyTheFirstHundredMembersAreTold() public {
        registerMany(2, 130);
        record(1, 2, 99);
        vm.warp(GENESIS + 1);
        record(2, 2, 0);
        (, bytes memory data) = LEDGER.message(1);
        (,,,, bytes32[] memory members) = abi.decode(data, (uint64, uint64, uint64, uint64, bytes32[]));
        eq(members.length, 100, "members");
        eq(members[99], memberWord(1099, 20_099e18, 1, 0), "last");
    }

    // ---- what must not stop a block ----

    function test_anUnknownCommitteeIsNotTold() public {
        record(1, 9, 0); // tells about epoch 0
        vm.warp(GENESIS + 60);
        record(2, 1, 3);
        (uint256 nonce,) = LEDGER.message(1);
        eq(nonce, 0, "nothing sent");
        eq(PASSER.messageNonce(), NONCE + 1, "one message only");
        (,, uint64 startedAt) = LEDGER.current();
        eq(startedAt, GENESIS, "its time goes to the next epoch");
        vm.warp(GENESIS + 100);
        record(3, 1, 0);
        (, bytes memory data) = LEDGER.message(2);
        (,, uint64 start, uint64 end, bytes32[] memory members) =
            abi.decode(data, (uint64, uint64, uint64, uint64, bytes32[]));
        eq(start, GENESIS, "no gap");
        eq(end, GENESIS + 100, "end");
        eq(members[0], memberWord(1000, 20_000e18, 0, 0), "the unknown committee's counts are gone");
        eq(members[3], memberWord(1003, 20_003e18, 1, 0), "own counts");
    }

    function test_anotherCommitteeWithinAnEpochIsSurvived() public {
        registerMany(2, 3);
        record(0, 1, 0);
        vm.warp(GENESIS + 10);
        record(0, 2, 1);
        eq(PASSER.messageNonce(), NONCE, "not told: its number comes again");
        vm.warp(GENESIS + 20);
        record(1, 2, 1);
        (, bytes memory data) = LEDGER.message(0);
        (, uint64 committeeId, uint64 start, uint64 end, bytes32[] memory members) =
            abi.decode(data, (uint64, uint64, uint64, uint64, bytes32[]));
        eq(committeeId, 2, "the later committee");
        eq(start, GENESIS, "no gap");
        eq(end, GENESIS + 20, "end");
        eq(members[0], memberWord(1000, 20_000e18, 0, 0), "only its own counts");
        eq(members[1], memberWord(1001, 20_001e18, 1, 0), "its counts");
    }

    function test_anEpochThatGoesBackIsSurvived() public {
        record(7, 1, 0);
        uint256 nonce = PASSER.messageNonce();
        record(3, 1, 1);
        eq(PASSER.messageNonce(), nonce, "not told");
        (uint64 epoch,,) = LEDGER.current();
        eq(epoch, 3, "follows the chain");
    }

    function test_brokenPredeploysAreSurvived() public {
        address[3] memory broken = [address(REGISTRY), address(PASSER), address(VAULT)];
        for (uint256 i = 0; i < broken.length; ++i) {
            uint256 state = vm.snapshotState();
            vm.deal(address(VAULT), 5e18);
            vm.etch(broken[i], hex"fe"); // burns all gas it is given
            vm.prank(Predeploys.SYSTEM_ADDRESS);
            LEDGER.record{gas: 30_000_000}(1, 1, 2, new uint32[](0));
            (uint64 epoch,, uint64 startedAt) = LEDGER.current();
            eq(epoch, 1, "the chain goes on");
            eq(startedAt, GENESIS, "time is kept");
            (uint32 led,) = LEDGER.counts(2);
            eq(led, 1, "and counted");
            vm.etch(broken[i], "");
            record(2, 1, 0);
            vm.revertToState(state);
        }
    }

    /// @dev Whatever the header says.
    function testFuzz_recordNeverReverts(uint64[6] memory epochs, uint64[6] memory committees, uint32[] memory missed)
        public
    {
        for (uint256 i = 0; i < epochs.length; ++i) {
            vm.warp(GENESIS + i);
            record(epochs[i], committees[i] % 3, uint32(epochs[i]), missed);
        }
    }

    // ---- FeeVault ----

    function test_flushesAtANewEpoch() public {
        vm.deal(address(VAULT), 3e18);
        record(0, 1, 0);
        eq(VAULT.flushes(), 0, "not within an epoch");
        record(1, 1, 0);
        eq(VAULT.flushes(), 1, "once");
        (uint256 nonce, uint256 value) = VAULT.flushOf(0);
        eq(nonce, NONCE + 1, "behind the epoch's message");
        eq(value, 3e18, "all of it");
        eq(address(VAULT).balance, 0, "gone");
        bytes32 hash = keccak256(abi.encode(nonce, address(VAULT), SPLITTER, value, uint256(0), bytes("")));
        yes(PASSER.sentMessages(hash), "in the message passer");
        record(2, 1, 0);
        eq(VAULT.flushes(), 1, "nothing to flush");
        eq(VAULT.totalReceived(), 3e18, "total");
    }

    function test_anyoneFlushes() public {
        vm.deal(address(VAULT), 1e18 - 1);
        vm.expectRevert(abi.encodeWithSelector(FeeVault.BelowMinimum.selector, 1e18 - 1, 1e18));
        VAULT.flush();
        vm.deal(address(VAULT), 1e18);
        vm.expectEmit(address(VAULT));
        emit FeeVault.Flushed(0, NONCE, 1e18);
        VAULT.flush();
        (bool ok,) = address(VAULT).call{value: 0}("");
        yes(ok, "receives");
        vm.store(address(VAULT), 0, 0);
        vm.deal(address(VAULT), 2e18);
        vm.expectRevert(abi.encodeWithSelector(FeeVault.SplitterUnset.selector));
        VAULT.flush();
        eq(VAULT.totalReceived(), 3e18, "total");
        eq(VAULT.totalFlushed(), 1e18, "flushed");
    }
}
