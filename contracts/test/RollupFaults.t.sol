// RollupFaults: the original's faults that concern batches, rotation, recovery and slashing, each shown not to recur. Numbers as in
// docs/slashing.md.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Rollup} from "../src/l1/Rollup.sol";
import {Slasher} from "../src/l1/Slasher.sol";
import {CertificateVerifier} from "../src/lib/CertificateVerifier.sol";
import {TestHeader} from "./base/Chain.sol";
import {Signer} from "./base/Signer.sol";
import {vm} from "./base/Vm.sol";
import {Votes} from "./base/Votes.sol";

contract RollupFaultsTest is Votes {
    function setUp() public {
        deploy(7);
        vm.roll(height() + 10);
        vm.warp(now_() + 120);
    }

    /// @dev F1: the original's schedule follows from a public counter and is known for ever. Here the seed takes the randomness of a block after
    ///      the one that chose the members, so no schedule is known while members or weights can change, and randomness chooses no member.
    function test_F1_theScheduleIsNotKnownBeforeTheRotation() public {
        vm.warp(now_() + ROTATION);
        (bytes memory packed, bytes memory code) = choose();
        uint256 state = vm.snapshotState();
        bytes memory header = passSealBlock(bytes32(uint256(1)));
        pool.seal(header, packed, code);
        (,, bytes32 first,,, uint64[] memory ids) = pool.committee(2);
        vm.revertToState(state);
        header = passSealBlock(bytes32(uint256(2)));
        pool.seal(header, packed, code);
        (,, bytes32 second,,, uint64[] memory sameIds) = pool.committee(2);
        yes(first != second, "seeds");
        eq(abi.encode(ids), abi.encode(sameIds), "members");
    }

    /// @dev F2: the original's signers sign batches and epochs without looking at them. Here a certificate holds for one header, byte for byte:
    ///      with any byte of it changed, nothing is accepted.
    function testFuzz_F2_aCertificateHoldsForOneHeaderOnly(uint256 position, uint8 flip) public {
        TestHeader memory h = nextHeader(10);
        Rollup.Certificate memory c = certify(rollup, h, 1, 0x7f);
        bytes memory header = encode(h);
        header[position % header.length] ^= bytes1(flip == 0 ? 1 : flip);
        (bool ok,) = address(rollup).call(abi.encodeCall(Rollup.submitBatch, (0, 1, header, c, 0, "data")));
        yes(!ok, "another header");
        eq(rollup.latestOutputIndex(), 0, "nothing accepted");
        rollup.submitBatch(0, 1, encode(h), c, 0, "data");
    }

    /// @dev F3: the original's proposer chooses what a signature is for. Here the kind of vote and the chain are in the signed bytes: neither
    ///      notarizations, nor nullifications, nor proofs of possession pass for finalizations.
    function test_F3_aSignatureServesOnePurpose() public {
        TestHeader memory h = nextHeader(10);
        Rollup.Certificate memory c = certify(rollup, h, 1, 0x7f);
        bytes memory header = encode(h);
        bytes32 hash = keccak256(header);
        bytes memory finalize = signedBytes(0, FINALIZE, h.view_, h.parentView, hash);
        uint256 secret = secretSum(1, 0x7f);
        bytes memory reason = abi.encodeWithSelector(
            CertificateVerifier.CertificateInvalid.selector, pool.committeeCode(1), keccak256(finalize)
        );
        bytes[3] memory others = [
            Signer.sign(secret, signedBytes(0, NOTARIZE, h.view_, h.parentView, hash), Signer.VOTE),
            Signer.sign(secret, signedBytes(0, NULLIFY, h.view_, 0, 0), Signer.VOTE),
            Signer.sign(secret, finalize, Signer.POSSESSION)
        ];
        for (uint256 i = 0; i < 3; ++i) {
            c.signature = others[i];
            vm.expectRevert(reason);
            rollup.submitBatch(0, 1, header, c, 0, "data");
        }
    }

    /// @dev F4: the last voter of the original's re-proposal can choose the seed and with it the next producer. Here whoever calls `recover`, and
    ///      whenever, gets the same: the newest committee, with the seed its rotation fixed.
    function testFuzz_F4_recoveryLeavesNothingToChoose(address caller, uint32 wait, bytes32 randomness) public {
        join(MIN_LOCK);
        rotateLater();
        (,, bytes32 seed,,,) = pool.committee(2);
        vm.warp(rollup.stalledAt() + wait);
        vm.prevrandao(randomness);
        vm.prank(caller);
        rollup.recover();
        (,,,,, uint64 next) = rollup.head();
        eq(next, 2, "the newest");
        (,, bytes32 after_,,,) = pool.committee(2);
        eq(seed, after_, "its seed");
        eq(nextHeader(1).epoch, rollup.RECOVERY_EPOCHS(), "the next epoch");
    }

    /// @dev F5: the original's recovery message needs no votes and skips continuity. Here a recovery accepts no block at all: the head stays, and
    ///      what follows it needs a quorum of the new committee.
    function test_F5_recoveryWritesNoHistory() public {
        submit(nextHeader(10));
        join(MIN_LOCK);
        rotateLater();
        vm.warp(rollup.stalledAt());
        (uint256 index, bytes32 hash, uint64 number,,,) = rollup.head();
        rollup.recover();
        (uint256 indexAfter, bytes32 hashAfter, uint64 numberAfter,,,) = rollup.head();
        eq(index, indexAfter, "index");
        eq(hash, hashAfter, "hash");
        eq(number, numberAfter, "number");

        TestHeader memory h = nextHeader(1);
        bytes memory header = encode(h);
        Rollup.Certificate memory c = certify(rollup, h, 2, 0x1f); // 5 of 8
        vm.expectRevert(abi.encodeWithSelector(CertificateVerifier.QuorumNotReached.selector, 5, 6));
        rollup.submitBatch(1, 11, header, c, 0, "data");
        h.parentHash = keccak256("another past");
        c = certify(rollup, h, 2, 0xff);
        header = encode(h);
        vm.expectRevert(abi.encodeWithSelector(Rollup.ParentHashMismatch.selector, h.parentHash, hash));
        rollup.submitBatch(1, 11, header, c, 0, "data");
        Rollup.Certificate memory gap = certify(rollup, nextHeader(2), 2, 0xff);
        vm.expectRevert(abi.encodeWithSelector(Rollup.GapInChain.selector, 12, 11));
        rollup.submitBatch(1, 12, header, gap, 0, "data");
    }

    /// @dev F7: the original's exclusion loop adds some twice and brings the excluded back. Here a committee, after any number of joins, exits and
    ///      slashes, has nobody twice and nobody who left.
    function testFuzz_F7_nobodyTwiceAndNobodyExcluded(uint256 seed) public {
        for (uint256 round = 0; round < 6; ++round) {
            seed = uint256(keccak256(abi.encode(seed)));
            if (seed & 1 == 0) join(MIN_LOCK);
            (,,,,, uint64[] memory members) = pool.committee(pool.latestCommittee());
            uint64 id = members[(seed >> 8) % members.length];
            bool slashed;
            if (members.length > 4 && seed & 2 == 0) {
                vm.prank(SLASHER);
                pool.slash(id, 1_000, 0, address(this));
                slashed = true;
            }
            uint64 committeeId = rotateLater();
            (uint256 size,,,,, uint64[] memory ids) = pool.committee(committeeId);
            for (uint256 i = 0; i < size; ++i) {
                yes(!slashed || ids[i] != id, "a slashed member is out");
                for (uint256 j = 0; j < i; ++j) {
                    yes(ids[i] != ids[j], "nobody twice");
                }
            }
        }
    }

    /// @dev F8: two nodes offline stop every submission of the original. Here any third (rounded down) may be, and anybody posts.
    function test_F8_aThirdMayBeOffline() public {
        for (uint256 a = 0; a < 7; ++a) {
            for (uint256 b = a + 1; b < 7; ++b) {
                uint256 state = vm.snapshotState();
                TestHeader memory h = nextHeader(10);
                Rollup.Certificate memory c = certify(rollup, h, 1, 0x7f ^ 1 << a ^ 1 << b);
                vm.prank(address(uint160(a * 7 + b + 1)));
                rollup.submitBatch(0, 1, encode(h), c, 0, "data");
                vm.revertToState(state);
            }
        }
    }

    /// @dev F14: the original's challenge underflows at index 0. Here the first epoch, even by the genesis batch itself, is as punishable as any.
    function test_F14_theFirstEpochIsPunishable() public {
        Slasher.Term memory t = Slasher.Term({batchIndex: 0, epoch: 0, committeeId: 1});
        uint64 id = idAt(1, 0);
        yes(slasher.submitEquivocation(t, 0, vote(FINALIZE, BLOCK_A, 0), vote(FINALIZE, BLOCK_B, 0)) != 0, "penalty");
        yes(slasher.punished(0, id, 0), "punished");
    }

    /// @dev F15: an unanswered challenge costs nothing in the original. Here the contract that decides one takes a fifth of each certifier, and
    ///      neither a full set of open tickets nor an exit saves it.
    function test_F15_anUnansweredChallengeHasTeeth() public {
        vm.prank(GOVERNOR);
        slasher.setHook(3, address(this));
        uint64[] memory ids = new uint64[](7);
        uint256[] memory stakes = new uint256[](7);
        vm.prank(ownerOf[3]);
        pool.exit(3);
        for (uint64 i = 0; i < 7; ++i) {
            (ids[i], stakes[i]) = (i + 1, pool.stakeOf(i + 1));
        }
        slasher.punish(3, ids, "unanswered", address(0));
        for (uint64 i = 0; i < 7; ++i) {
            eq(pool.stakeOf(ids[i]), stakes[i] - stakes[i] / 5, "a fifth");
        }
    }

    /// @dev F16: the original appends state roots that refer to no posted batch, and its bond is an address check. Here there is one call for
    ///      both: an output is the certified header of a batch of that call, and the certifiers' stake is real.
    function test_F16_noOutputWithoutItsBatch() public {
        TestHeader memory h = nextHeader(10);
        bytes memory header = encode(h);
        Rollup.Certificate memory c = certify(rollup, h, 1, 0x7f);
        vm.expectRevert(abi.encodeWithSelector(Rollup.BatchDataMissing.selector, 0));
        rollup.submitBatch(0, 1, header, c, 0, "");
        rollup.submitBatch(0, 1, header, c, 0, "data");
        eq(
            rollup.getL2Output(1).outputRoot,
            keccak256(abi.encode(uint256(0), h.stateRoot, h.messagePasserRoot, keccak256(header))),
            "the header's own output"
        );
        eq(writers("Rollup"), "recover repostData submitBatch ", "no other way to write");
        for (uint64 id = 1; id <= 7; ++id) {
            yes(pool.stakeOf(id) >= MIN_LOCK && token.balanceOf(address(pool)) >= pool.stakeOf(id), "real stake");
        }
    }

    /// @dev F17: the original's owner can move the window. Here it is a constant of the code, and the only calls that write are these three;
    ///      the governor of slashing and pool has none of them.
    function test_F17_nobodyMovesTheWindow() public {
        eq(writers("Rollup"), "recover repostData submitBatch ", "calls that write");
        submit(nextHeader(10));
        uint256 window = rollup.FINALIZATION_PERIOD_SECONDS();
        eq(window, WINDOW, "window");
        uint256 final_ = now_() + WINDOW;
        join(MIN_LOCK);
        rotateLater();
        vm.warp(rollup.stalledAt());
        rollup.recover();
        rollup.repostData(1, 0, 1, 0, "data");
        vm.warp(final_ - 1);
        yes(!rollup.isFinal(1), "not before");
        vm.warp(final_);
        yes(rollup.isFinal(1), "and then");
    }

    /// @dev Names of the functions of a contract that may write, from its committed ABI snapshot, each followed by a blank.
    function writers(string memory name) private view returns (bytes memory found) {
        bytes memory abi_ = bytes(vm.readFile(string.concat("snapshots/abi/", name, ".txt")));
        uint256 start;
        for (uint256 i = 0; i < abi_.length; ++i) {
            if (abi_[i] != "\n") continue;
            bytes memory line = slice(abi_, start, i);
            start = i + 1;
            if (!startsWith(line, "function ") || contains(line, ") view") || contains(line, ") pure")) continue;
            uint256 end = 9;
            while (line[end] != "(") {
                ++end;
            }
            found = bytes.concat(found, slice(line, 9, end), " ");
        }
    }

    function startsWith(bytes memory text, bytes memory part) private pure returns (bool) {
        return text.length >= part.length && keccak256(slice(text, 0, part.length)) == keccak256(part);
    }

    function contains(bytes memory text, bytes memory part) private pure returns (bool) {
        for (uint256 i = 0; i + part.length <= text.length; ++i) {
            if (keccak256(slice(text, i, i + part.length)) == keccak256(part)) return true;
        }
        return false;
    }

    function slice(bytes memory text, uint256 from, uint256 to) private pure returns (bytes memory out) {
        out = new bytes(to - from);
        for (uint256 i = from; i < to; ++i) {
            out[i - from] = text[i];
        }
    }
}
