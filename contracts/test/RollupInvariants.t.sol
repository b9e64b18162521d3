// RollupInvariants: random batches, hostile certificates, hand-overs, rotations and recoveries; a ghost copy says what may be accepted.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Rollup} from "../src/l1/Rollup.sol";
import {CertificateVerifier} from "../src/lib/CertificateVerifier.sol";
import {Chain, TestHeader} from "./base/Chain.sol";
import {InvariantBase} from "./base/InvariantBase.sol";
import {vm} from "./base/Vm.sol";

/// @dev Every action succeeds by construction (fail_on_revert), hostile ones by being refused.
contract RollupHandler is Chain {
    /// @dev What the accepted chain says, kept apart from the contract.
    uint64 public ghostNumber;
    uint64 public ghostEpoch;
    uint64 public ghostCommittee;
    uint64 public ghostNext;
    uint64 public ghostRecoveries;
    uint256 public ghostBatches;
    uint256 public ghostProgress;
    bool private _recovered;

    constructor() {
        deploy(4);
        (ghostCommittee, ghostNext, ghostProgress) = (1, 1, now_());
        vm.roll(height() + 10);
    }

    modifier later() {
        vm.roll(height() + 1);
        vm.warp(now_() + 12);
        _;
    }

    /// @dev A batch with a random set of signers is accepted if and only if the set is a quorum of the committee in office.
    function batch(uint64 blocks, uint256 signers, bool next) external later {
        TestHeader memory h = header(blocks);
        if (next) h.nextCommitteeId = pool.latestCommittee();
        uint256 size = CertificateVerifier.sizeOf(pool.committeeCode(h.committeeId));
        // Mostly near the quorum: that many members from a random place on.
        signers = bound(signers, 0, 4 * size - 1);
        uint256 count = bound(signers / size, 0, 3) + CertificateVerifier.quorum(size) - 2;
        if (count > size) count = size;
        uint256 set;
        for (uint256 i = 0; i < count; ++i) {
            set |= 1 << (signers + i) % size;
        }
        Rollup.Certificate memory c = certify(rollup, h, h.committeeId, set);
        bool accepted = attempt(h, c);
        yes(accepted == (count >= CertificateVerifier.quorum(size)), "a quorum, and nothing less");
        if (accepted) accept(h);
    }

    /// @dev A certificate of any other committee is refused, under whatever name.
    function foreignBatch(uint64 blocks, uint64 committeeId, bool honest) external later {
        TestHeader memory h = header(blocks);
        uint64 right = h.committeeId;
        committeeId = uint64(bound(committeeId, 1, pool.latestCommittee()));
        if (committeeId == right) return;
        if (honest) h.committeeId = committeeId;
        uint256 size = CertificateVerifier.sizeOf(pool.committeeCode(committeeId));
        // Two committees of the same members have one aggregate key.
        if (!honest && sameKey(committeeId, right)) return;
        yes(!attempt(h, certify(rollup, h, committeeId, (1 << size) - 1)), "another committee");
    }

    /// @dev An epoch that is not the number's is refused, whatever quorum certified it.
    function wrongEpoch(uint64 blocks, uint64 shift) external later {
        TestHeader memory h = header(blocks);
        h.epoch += uint64(bound(shift, 1, 3));
        uint256 size = CertificateVerifier.sizeOf(pool.committeeCode(h.committeeId));
        yes(!attempt(h, certify(rollup, h, h.committeeId, (1 << size) - 1)), "another epoch");
    }

    function rotate() external later {
        if (pool.lastId() < 10) join(MAX_LOCK);
        rotateLater();
    }

    function recover(uint256 wait) external later {
        vm.warp(now_() + bound(wait, 0, 2 * STALL));
        uint64 newest = pool.latestCommittee();
        uint64 inOffice = _recovered ? ghostNext : ghostCommittee;
        bool due = now_() >= ghostProgress + STALL && newest > inOffice;
        (bool ok,) = address(rollup).call(abi.encodeCall(Rollup.recover, ()));
        yes(ok == due, "when stalled and replaceable, and only then");
        if (!ok) return;
        ++ghostRecoveries;
        (ghostNext, ghostProgress, _recovered) = (newest, now_(), true);
    }

    /// @dev The next header as the ghost knows it: up to `blocks` more, within the range of numbers.
    function header(uint64 blocks) private view returns (TestHeader memory h) {
        uint64 room = EPOCH_LENGTH - (ghostNumber + 1) % EPOCH_LENGTH;
        h = nextHeader(uint64(bound(blocks, 1, room)));
        h.epoch = h.number / EPOCH_LENGTH + ghostRecoveries;
        bool sameEpoch = h.epoch == ghostEpoch;
        h.committeeId = sameEpoch ? ghostCommittee : ghostNext;
        h.nextCommitteeId = ghostNext;
    }

    function attempt(TestHeader memory h, Rollup.Certificate memory c) private returns (bool ok) {
        bytes memory rlp = encode(h);
        (ok,) = address(rollup)
            .call(abi.encodeCall(Rollup.submitBatch, (ghostBatches, ghostNumber + 1, rlp, c, 0, "data")));
    }

    function accept(TestHeader memory h) private {
        (ghostNumber, ghostEpoch, ghostCommittee, ghostNext) = (h.number, h.epoch, h.committeeId, h.nextCommitteeId);
        ghostProgress = now_();
        _recovered = false;
        ++ghostBatches;
    }

    function sameKey(uint64 a, uint64 b) private view returns (bool) {
        return keccak256(pool.aggregateKey(a)) == keccak256(pool.aggregateKey(b));
    }

    function check() external view {
        (uint256 index,, uint64 number, uint64 epoch, uint64 committeeId, uint64 next) = rollup.head();
        eq(index, ghostBatches, "batches");
        eq(number, ghostNumber, "number");
        eq(epoch, ghostEpoch, "epoch");
        eq(committeeId, ghostCommittee, "committee");
        eq(next, ghostNext, "next");
        eq(rollup.recoveries(), ghostRecoveries, "recoveries");
        eq(rollup.stalledAt(), ghostProgress + STALL, "progress");
        if (index == 0) return;
        // Of the last two: order, and one committee for one epoch.
        (uint256 a, uint256 b) = (index - 1, index);
        yes(rollup.batch(a).lastBlock < rollup.batch(b).lastBlock, "numbers rise");
        yes(rollup.batch(a).epoch <= rollup.batch(b).epoch, "epochs do not fall");
        yes(rollup.batch(a).committeeId <= rollup.batch(b).committeeId, "committees do not come back");
        if (rollup.batch(a).epoch == rollup.batch(b).epoch) {
            eq(rollup.batch(a).committeeId, rollup.batch(b).committeeId, "one committee for an epoch");
        }
        yes(rollup.batch(a).originNumber <= rollup.batch(b).originNumber, "origins do not fall");
    }
}

contract RollupInvariantTest is InvariantBase {
    RollupHandler private _handler;

    function setUp() public {
        _handler = new RollupHandler();
        drive(address(_handler));
        act(RollupHandler.batch.selector);
        act(RollupHandler.foreignBatch.selector);
        act(RollupHandler.wrongEpoch.selector);
        act(RollupHandler.rotate.selector);
        act(RollupHandler.recover.selector);
    }

    /// @dev Every accepted header was certified by a quorum of the committee that its parent, or a recovery behind it, put in office.
    function invariant_onlyTheCommitteeInOfficeCertifies() public view {
        _handler.check();
    }
}
