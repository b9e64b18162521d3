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
        eq(LEDGER.maxGap(), MAX_GAP, "slot 0, above the address");
        EpochLedger.Running memory running = current();
        eq(running.epoch, 0, "epoch");
        eq(running.committeeId, 1, "committee");
        eq(running.startedAt, GENESIS, "startedAt");
        eq(running.elapsed, 0, "elapsed");
        eq(running.paidTime, 0, "paid time");
    }

    function test_onlyTheSystemRecords() public {
        vm.expectRevert(abi.encodeWithSelector(EpochLedger.NotSystem.selector, address(this)));
        LEDGER.record(0, 1, 0, new uint32[](0));
        EpochLedger.Running memory running = current();
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
        vm.warp(GENESIS + 50);
        record(1, 1, 1);

        bytes32[] memory members = new bytes32[](5);
        members[0] = memberWord(1000, 20_000e18, 0, 1);
        members[1] = memberWord(1001, 20_001e18, 0, 0);
        members[2] = memberWord(1002, 20_002e18, 1, 0);
        members[3] = memberWord(1003, 20_003e18, 0, 2);
        members[4] = memberWord(1004, 20_004e18, 1, 0);
        bytes memory expected = abi.encode(uint64(0), uint64(1), GENESIS, GENESIS + 50, uint64(50), members);
        (uint256 nonce, bytes memory data) = LEDGER.message(0);
        eq(nonce, NONCE, "nonce");
        eq(data, expected, "data");
        bytes32 hash = keccak256(abi.encode(NONCE, address(LEDGER), REWARDS, uint256(0), uint256(0), expected));
        yes(PASSER.sentMessages(hash), "in the message passer");

        EpochLedger.Running memory running = current();
        eq(running.epoch, 1, "epoch");
        eq(running.committeeId, 1, "committee");
        eq(running.startedAt, GENESIS + 50, "starts where the last ended");
        eq(running.elapsed + running.paidTime, 0, "and so do its times");
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
        Told memory t = decoded(data);
        eq(t.epoch, 1, "epoch");
        eq(t.committeeId, 2, "committee");
        eq(t.start, GENESIS, "start");
        eq(t.end, GENESIS + 60, "end");
        eq(t.members.length, 3, "members");
        eq(t.members[2], memberWord(1002, 20_002e18, 1, 0), "member");
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
        bytes32[] memory members = decoded(data).members;
        eq(members.length, 100, "members");
        eq(members[99], memberWord(1099, 20_099e18, 1, 0), "last");
    }

    // ---- paid time ----

    /// @dev An outage used to be credited to the committee that made it, by the work it did before.
    function test_anOutageIsNotPaid() public {
        vm.warp(GENESIS + 10);
        record(0, 1, 0);
        vm.warp(GENESIS + 10 + MAX_GAP);
        record(0, 1, 1);
        eq(current().paidTime, 10 + MAX_GAP, "the largest gap that is paid in full");
        vm.warp(now_() + 30 days);
        record(0, 1, 2);
        eq(current().paidTime, 10 + 2 * MAX_GAP, "of an outage no more than that");
        eq(current().elapsed, 10 + MAX_GAP + 30 days, "all of it has elapsed");
        vm.warp(now_() + 5);
        record(0, 1, 3);
        eq(current().paidTime, 15 + 2 * MAX_GAP, "and then as before");

        // The committee's successor begins after another outage: that is the end of the first epoch, and as little paid.
        vm.warp(now_() + 1 days);
        record(1, 1, 0);
        (, bytes memory data) = LEDGER.message(0);
        Told memory t = decoded(data);
        eq(t.paidTime, 15 + 3 * MAX_GAP, "paid");
        eq(t.end - t.start, 15 + MAX_GAP + 31 days, "no gap in time for all that");
        eq(current().paidTime, 0, "nothing of it goes to the next epoch");
    }

    function test_blocksOfOneSecondCountItOnce() public {
        vm.warp(GENESIS + 1);
        for (uint32 i = 0; i < 5; ++i) {
            record(0, 1, i);
        }
        eq(current().paidTime, 1, "one second");
    }

    function test_timesSaturate() public {
        vm.warp(uint256(GENESIS) + 2 ** 32 + 7);
        record(0, 1, 0);
        eq(current().elapsed, type(uint32).max, "elapsed");
        eq(current().paidTime, MAX_GAP, "paid");
        uint256 full = uint256(type(uint32).max) << 224 | uint256(type(uint32).max) << 192 | uint256(GENESIS) << 128;
        vm.store(address(LEDGER), bytes32(uint256(1)), bytes32(full | 1 << 64));
        record(0, 1, 0);
        eq(current().elapsed, type(uint32).max, "elapsed stays");
        eq(current().paidTime, type(uint32).max, "paid stays");
        eq(current().startedAt, GENESIS, "neighbour");
    }

    /// @dev Against the sum of the definition; epochs end at random.
    function testFuzz_paidTimeIsTheSumOfShortGaps(uint32[32] memory gaps, uint256 ends) public {
        uint64 epoch;
        uint256 paid;
        uint256 start = GENESIS;
        for (uint256 i = 0; i < gaps.length; ++i) {
            uint256 gap = gaps[i] % (3 * MAX_GAP);
            vm.warp(now_() + gap);
            paid += gap < MAX_GAP ? gap : MAX_GAP;
            if (ends >> i & 1 == 0) {
                record(epoch, 1, 0);
                eq(current().paidTime, paid, "running");
                continue;
            }
            record(++epoch, 1, 0);
            (, bytes memory data) = LEDGER.message(epoch - 1);
            Told memory t = decoded(data);
            eq(t.paidTime, paid, "told");
            eq(t.start, start, "start");
            eq(t.end, now_(), "end");
            (paid, start) = (0, now_());
        }
    }

    // ---- what must not stop a block ----

    function test_anUnknownCommitteeIsNotTold() public {
        record(1, 9, 0); // tells about epoch 0
        vm.warp(GENESIS + 60);
        record(2, 1, 3);
        (uint256 nonce,) = LEDGER.message(1);
        eq(nonce, 0, "nothing sent");
        eq(PASSER.messageNonce(), NONCE + 1, "one message only");
        eq(current().startedAt, GENESIS, "its time goes to the next epoch");
        vm.warp(GENESIS + 100);
        record(3, 1, 0);
        (, bytes memory data) = LEDGER.message(2);
        Told memory t = decoded(data);
        eq(t.start, GENESIS, "no gap");
        eq(t.end, GENESIS + 100, "end");
        eq(t.paidTime, 100, "paid time of both");
        eq(t.members[0], memberWord(1000, 20_000e18, 0, 0), "the unknown committee's counts are gone");
        eq(t.members[3], memberWord(1003, 20_003e18, 1, 0), "own counts");
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
        Told memory t = decoded(data);
        eq(t.committeeId, 2, "the later committee");
        eq(t.start, GENESIS, "no gap");
        eq(t.end, GENESIS + 20, "end");
        eq(t.members[0], memberWord(1000, 20_000e18, 0, 0), "only its own counts");
        eq(t.members[1], memberWord(1001, 20_001e18, 1, 0), "its counts");
    }

    function test_anEpochThatGoesBackIsSurvived() public {
        record(7, 1, 0);
        uint256 nonce = PASSER.messageNonce();
        record(3, 1, 1);
        eq(PASSER.messageNonce(), nonce, "not told");
        eq(current().epoch, 3, "follows the chain");
    }

    function test_brokenPredeploysAreSurvived() public {
        address[3] memory broken = [address(REGISTRY), address(PASSER), address(VAULT)];
        for (uint256 i = 0; i < broken.length; ++i) {
            uint256 state = vm.snapshotState();
            vm.deal(address(VAULT), 5e18);
            vm.etch(broken[i], hex"fe"); // burns all gas it is given
            vm.prank(Predeploys.SYSTEM_ADDRESS);
            LEDGER.record{gas: 30_000_000}(1, 1, 2, new uint32[](0));
            eq(current().epoch, 1, "the chain goes on");
            eq(current().startedAt, GENESIS, "time is kept");
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

    struct Told {
        uint64 epoch;
        uint64 committeeId;
        uint64 start;
        uint64 end;
        uint64 paidTime;
        bytes32[] members;
    }

    function decoded(bytes memory data) private pure returns (Told memory t) {
        (t.epoch, t.committeeId, t.start, t.end, t.paidTime, t.members) =
            abi.decode(data, (uint64, uint64, uint64, uint64, uint64, bytes32[]));
    }

    function current() private view returns (EpochLedger.Running memory r) {
        (r.epoch, r.committeeId, r.startedAt, r.elapsed, r.paidTime) = LEDGER.current();
    }

    function now_() private view returns (uint256) {
        return vm.getBlockTimestamp();
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
