// Recovery: a committee that stalls is replaced by the newest, behind the last accepted header and by nobody's choice.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Rollup} from "../src/l1/Rollup.sol";
import {CertificateVerifier} from "../src/lib/CertificateVerifier.sol";
import {Chain, TestHeader} from "./base/Chain.sol";
import {vm} from "./base/Vm.sol";

contract RecoveryTest is Chain {
    /// @dev As the nodes count.
    uint64 private constant STRIDE = 1_000_000_000;

    function setUp() public {
        deploy(4);
        pass(120);
    }

    // ---- when ----

    function test_notBeforeTheTimeout() public {
        submit(nextHeader(10));
        uint256 stalledAt = now_() + STALL;
        newCommittee();
        eq(rollup.stalledAt(), stalledAt, "stalled at");
        vm.warp(stalledAt - 1);
        vm.expectRevert(abi.encodeWithSelector(Rollup.NotStalled.selector, stalledAt));
        rollup.recover();
        vm.warp(stalledAt);
        rollup.recover();
    }

    function test_theClockStartsAtDeployment() public {
        uint256 stalledAt = now_() - 120 + STALL;
        newCommittee();
        vm.warp(stalledAt - 1);
        vm.expectRevert(abi.encodeWithSelector(Rollup.NotStalled.selector, stalledAt));
        rollup.recover();
        vm.warp(stalledAt);
        rollup.recover();
        submit(nextHeader(10));
        eq(rollup.batch(1).epoch, STRIDE, "epoch");
    }

    function test_everyFreshBatchIsProgress() public {
        newCommittee();
        for (uint64 i = 0; i < 5; ++i) {
            pass(STALL - 1);
            submit(nextHeader(10));
            vm.expectRevert(abi.encodeWithSelector(Rollup.NotStalled.selector, now_() + STALL));
            rollup.recover();
        }
    }

    function test_notWithoutANewerCommittee() public {
        submit(nextHeader(10));
        pass(STALL);
        vm.expectRevert(abi.encodeWithSelector(Rollup.NoNewerCommittee.selector, 1, 1));
        rollup.recover();
        // One that is named already, but not in office, will do: the one in office is the one that stalls.
        newCommittee();
        TestHeader memory h = nextHeader(10);
        h.nextCommitteeId = 2;
        submit(h);
        pass(STALL);
        rollup.recover();
        (,,,, uint64 committeeId, uint64 next) = rollup.head();
        eq(committeeId, 1, "of the head");
        eq(next, 2, "next");
    }

    // ---- what ----

    function test_theNewestCommitteeGoesOnBehindTheHead() public {
        submit(nextHeader(10));
        (, bytes32 headHash,,,,) = rollup.head();
        newCommittee();
        newCommittee();
        pass(STALL);
        vm.expectEmit(address(rollup));
        emit Rollup.Recovered(1, 10, headHash, 3);
        rollup.recover();
        eq(rollup.recoveries(), 1, "recoveries");
        (uint256 index, bytes32 hash, uint64 number, uint64 epoch,, uint64 next) = rollup.head();
        eq(index, 1, "index");
        eq(hash, headHash, "the head stays");
        eq(number, 10, "number");
        eq(epoch, 0, "epoch of the head");
        eq(next, 3, "next");

        TestHeader memory h = nextHeader(1);
        eq(h.epoch, STRIDE, "the epoch rises");
        eq(h.committeeId, 3, "committee");
        submit(h);
        submit(nextHeader(48)); // to the boundary
        eq(rollup.batch(3).epoch, STRIDE, "one epoch until the boundary");
        h = nextHeader(1);
        eq(h.number, 60, "number");
        eq(h.epoch, STRIDE + 1, "epoch");
        submit(h);
        eq(rollup.batch(4).committeeId, 3, "stays in office");
    }

    function test_atABoundaryTheShiftCountsToo() public {
        submit(nextHeader(59));
        newCommittee();
        pass(STALL);
        rollup.recover();
        TestHeader memory h = nextHeader(1);
        eq(h.epoch, STRIDE + 1, "number / length + stride");
        submit(h);
    }

    function test_batchesStayWithinOneRangeOfNumbers() public {
        submit(nextHeader(10));
        newCommittee();
        pass(STALL);
        rollup.recover();
        TestHeader memory h = nextHeader(51); // to block 61
        expectRefusal(abi.encodeWithSelector(Rollup.BatchSpansEpochs.selector, STRIDE, STRIDE + 1), h, 2);
    }

    function test_whatTheOldCommitteeMadeUnpostedIsOfOtherEpochs() public {
        submit(nextHeader(10));
        // Behind the head it goes on for a while, past the ends of epochs, and posts nothing.
        uint64[4] memory used = [uint64(0), 1, 2, 100_000];
        newCommittee();
        pass(STALL);
        rollup.recover();
        TestHeader memory h = nextHeader(1);
        for (uint256 i; i < used.length; ++i) {
            yes(h.epoch > used[i], "not an epoch of void blocks");
            h.epoch = used[i];
            expectRefusal(abi.encodeWithSelector(Rollup.EpochMismatch.selector, used[i], STRIDE), h, 2);
            h = nextHeader(1);
        }
        submit(h);
    }

    function test_theOldCommitteeIsOut() public {
        submit(nextHeader(10));
        TestHeader memory old = nextHeader(10);
        newCommittee();
        pass(STALL);
        rollup.recover();
        // What it had certified before comes too late ...
        expectRefusal(abi.encodeWithSelector(Rollup.EpochMismatch.selector, 0, STRIDE), old, 1);
        // ... and it cannot certify for the new epoch, under its own name or the other's.
        TestHeader memory h = nextHeader(10);
        h.committeeId = 1;
        expectRefusal(abi.encodeWithSelector(Rollup.WrongCommittee.selector, 1, 2), h, 1);
        h = nextHeader(10);
        (uint256 index,, uint64 number,,,) = rollup.head();
        Rollup.Certificate memory certificate = certify(rollup, h, 1, 0xf);
        bytes memory signed =
            voteMessage(rollup, "_FINALIZE", h.epoch, h.view_, h.parentView, abi.encodePacked(keccak256(encode(h))));
        vm.expectRevert(
            abi.encodeWithSelector(
                CertificateVerifier.CertificateInvalid.selector, pool.committeeCode(2), keccak256(signed)
            )
        );
        rollup.submitBatch(index, number + 1, encode(h), certificate, 0, "data");
        // Nor does it come back.
        h.nextCommitteeId = 1;
        expectRefusal(abi.encodeWithSelector(Rollup.CommitteeWentBack.selector, 1, 2), h, 2);
        submit(nextHeader(10));
    }

    function test_twoInARow() public {
        submit(nextHeader(10));
        newCommittee();
        pass(STALL);
        rollup.recover();
        // The new one gets its time, and is not replaced by itself.
        vm.expectRevert(abi.encodeWithSelector(Rollup.NotStalled.selector, now_() + STALL));
        rollup.recover();
        pass(STALL);
        vm.expectRevert(abi.encodeWithSelector(Rollup.NoNewerCommittee.selector, 2, 2));
        rollup.recover();
        newCommittee();
        (, bytes32 headHash,,,,) = rollup.head();
        vm.expectEmit(address(rollup));
        emit Rollup.Recovered(2, 10, headHash, 3);
        rollup.recover();
        TestHeader memory h = nextHeader(5);
        eq(h.epoch, 2 * STRIDE, "twice");
        eq(h.committeeId, 3, "committee");
        h.committeeId = 2;
        expectRefusal(abi.encodeWithSelector(Rollup.WrongCommittee.selector, 2, 3), h, 2);
        submit(nextHeader(5));
        eq(rollup.batch(2).epoch, 2 * STRIDE, "epoch");
    }

    function test_handOversGoOnAfterwards() public {
        submit(nextHeader(10));
        newCommittee();
        pass(STALL);
        rollup.recover();
        newCommittee();
        pass(12);
        TestHeader memory h = nextHeader(49);
        h.nextCommitteeId = 3;
        submit(h);
        h = nextHeader(1);
        eq(h.committeeId, 3, "committee");
        submit(h);
        eq(rollup.batch(3).epoch, STRIDE + 1, "epoch");
        eq(rollup.batch(3).committeeId, 3, "in office");
    }

    // ---- the late end of an epoch ----

    function test_aLateEndOfAnEpochIsAccepted() public {
        submit(nextHeader(10));
        TestHeader memory h = nextHeader(49);
        serveHistory(h);
        pass(2 * MAX_LAG * 12);
        submit(h);
        yes(rollup.batch(2).late && !rollup.batch(1).late, "late");
        // The next epoch begins with a fresh origin.
        submit(nextHeader(10));
        yes(!rollup.batch(3).late, "fresh");
    }

    function test_onlyTheEndIsExcused() public {
        submit(nextHeader(10));
        TestHeader memory h = nextHeader(48);
        serveHistory(h);
        pass(2 * MAX_LAG * 12);
        expectRefusal(abi.encodeWithSelector(Rollup.OriginStale.selector, h.originNumber, height() - MAX_LAG), h, 1);
    }

    function test_notBeyondTheHistoryOfL1() public {
        submit(nextHeader(10));
        TestHeader memory h = nextHeader(49);
        serveHistory(h);
        vm.roll(h.originNumber + 8191);
        uint256 state = vm.snapshotState();
        submit(h);
        vm.revertToState(state);
        vm.roll(h.originNumber + 8192);
        expectRefusal(abi.encodeWithSelector(Rollup.OriginStale.selector, h.originNumber, height() - MAX_LAG), h, 1);
    }

    function test_aLateOriginMustBeCanonicalToo() public {
        submit(nextHeader(10));
        TestHeader memory h = nextHeader(49);
        bytes32 canonical = h.originHash;
        serveHistory(h);
        pass(2 * MAX_LAG * 12);
        h.originHash = keccak256("reorged away");
        expectRefusal(
            abi.encodeWithSelector(Rollup.OriginNotCanonical.selector, h.originNumber, h.originHash, canonical), h, 1
        );
    }

    function test_aLateBatchIsNoProgress() public {
        submit(nextHeader(10));
        uint256 stalledAt = now_() + STALL;
        newCommittee();
        TestHeader memory h = nextHeader(49);
        serveHistory(h);
        vm.roll(height() + 2 * MAX_LAG);
        vm.warp(stalledAt - 10);
        submit(h);
        eq(rollup.stalledAt(), stalledAt, "as before");
        // A second late one neither: a whole epoch with the old origin.
        h = nextHeader(60);
        (h.originNumber, h.originHash) = (rollup.batch(2).originNumber, served);
        submit(h);
        yes(rollup.batch(3).late, "late");
        eq(rollup.stalledAt(), stalledAt, "as before");
        vm.warp(stalledAt);
        rollup.recover();
        eq(rollup.stalledAt(), now_() + STALL, "the new one gets its time");
        submit(nextHeader(10));
        eq(rollup.batch(4).epoch, STRIDE + 2, "epoch");
        eq(rollup.stalledAt(), now_() + STALL, "fresh again");
    }

    function test_aFreshBatchAfterALateOneIsProgress() public {
        submit(nextHeader(10));
        TestHeader memory h = nextHeader(49);
        serveHistory(h);
        vm.roll(height() + 2 * MAX_LAG);
        vm.warp(now_() + 100);
        submit(h);
        vm.warp(now_() + 100);
        submit(nextHeader(10));
        eq(rollup.stalledAt(), now_() + STALL, "from the fresh one");
    }

    // ---- helpers ----

    bytes32 private served;

    function pass(uint256 seconds_) private {
        vm.warp(now_() + seconds_);
        vm.roll(height() + seconds_ / 12);
    }

    function newCommittee() private {
        join(MAX_LOCK);
        rotateLater();
    }

    /// @dev Puts a contract in EIP-2935's place that answers with the hash that `h` names, and lets time pass until only it knows.
    function serveHistory(TestHeader memory h) private {
        served = h.originHash;
        vm.etch(
            0x0000F90827F1C53a10cb7A02335B175320002935,
            abi.encodePacked(hex"7f", h.originHash, hex"5f5260205ff3") // return the hash
        );
    }

    function expectRefusal(bytes memory reason, TestHeader memory h, uint64 committeeId) private {
        (uint256 index,, uint64 number,,,) = rollup.head();
        (uint256 size,,,,,) = pool.committee(committeeId);
        Rollup.Certificate memory certificate = certify(rollup, h, committeeId, (1 << size) - 1);
        vm.expectRevert(reason);
        rollup.submitBatch(index, number + 1, encode(h), certificate, 0, "data");
    }
}
