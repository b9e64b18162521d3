// Slasher: every offence punished, and every piece of evidence that is not one refused by its own error.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Rollup} from "../src/l1/Rollup.sol";
import {Slasher} from "../src/l1/Slasher.sol";
import {Sequencer, Status} from "../src/interfaces/ISequencerPool.sol";
import {Keys} from "../src/l1/CommitteeBuilder.sol";
import {CertificateVerifier} from "../src/lib/CertificateVerifier.sol";
import {TestHeader} from "./base/Chain.sol";
import {Signer} from "./base/Signer.sol";
import {vm} from "./base/Vm.sol";
import {Votes} from "./base/Votes.sol";

contract SlasherTest is Votes {
    uint256 private constant ALL = 0xf;
    address private constant REPORTER = address(0x4e904e2);
    address private constant HOOK = address(0x4004);
    bytes32 private constant EPOCH_0 = 0;

    function setUp() public {
        deploy(4);
        vm.etch(HOOK, hex"00");
        vm.roll(height() + 10);
        vm.warp(now_() + 120);
        submit(nextHeader(10));
    }

    // ---- equivocation ----

    function test_slashesTwoNotarizeVotes() public {
        expectPunished(2, vote(NOTARIZE, BLOCK_A, 2), vote(NOTARIZE, BLOCK_B, 2));
    }

    function test_slashesTwoFinalizeVotes() public {
        expectPunished(0, vote(FINALIZE, BLOCK_A, 0), vote(FINALIZE, BLOCK_B, 0));
    }

    function test_slashesNullifyAndFinalizeInEitherOrder() public {
        expectPunished(1, vote(NULLIFY, 0, 1), vote(FINALIZE, BLOCK_B, 1));
        expectPunished(3, vote(FINALIZE, BLOCK_B, 3), vote(NULLIFY, 0, 3));
    }

    function test_slashesTwoParentsOfOneBlock() public {
        Slasher.Vote memory other = voteAt(0, NOTARIZE, 7, 5, BLOCK_A, secretOf[idAt(1, 2)]);
        expectPunished(2, vote(NOTARIZE, BLOCK_A, 2), other);
    }

    function test_theMemberLeavesAndTheReporterIsPaid() public {
        uint64 id = idAt(1, 2);
        uint256 stake = pool.stakeOf(id);
        uint256 penalty = report(2, vote(NOTARIZE, BLOCK_A, 2), vote(NOTARIZE, BLOCK_B, 2));
        eq(penalty, stake / 20, "5%");
        eq(pool.stakeOf(id), stake - penalty, "stake");
        eq(pool.slashShareOf(REPORTER), penalty / 10, "a tenth for the reporter");
        uint256 before = token.balanceOf(REPORTER);
        vm.prank(REPORTER);
        pool.claimSlashShare();
        eq(token.balanceOf(REPORTER) - before, penalty / 10, "paid");

        rotateLater();
        (uint256 size,,,,, uint64[] memory ids) = pool.committee(2);
        eq(size, 3, "members");
        for (uint256 i = 0; i < size; ++i) {
            yes(ids[i] != id, "left");
        }
        eq(uint256(pool.sequencer(id).status), uint256(Status.None), "status");
        eq(pool.sequencer(id).amount, 0, "all of it is a ticket");
        eq(pool.stakeOf(id), stake - penalty, "still slashable");
    }

    function test_theMinimumHoldsWhereTheShareIsSmaller() public {
        vm.prank(GOVERNOR);
        slasher.setPenalty(0, 500, 3_000e18);
        eq(report(2, vote(NOTARIZE, BLOCK_A, 2), vote(NOTARIZE, BLOCK_B, 2)), 3_000e18, "minimum");
        vm.prank(GOVERNOR);
        slasher.setPenalty(0, 500, 1_000_000e18);
        uint256 stake = pool.stakeOf(idAt(1, 1));
        eq(report(1, vote(NOTARIZE, BLOCK_A, 1), vote(NOTARIZE, BLOCK_B, 1)), stake, "never more than there is");
    }

    function test_theKeyIsTheOneOfTheCommittee() public {
        // The member takes a new key, which committee 2 has; committee 1 keeps the old one.
        uint64 id = idAt(1, 2);
        uint256 oldSecret = secretOf[id];
        address owner = ownerOf[id];
        Keys memory keys = Keys({identity: identityAt(id), consensusKey: Signer.publicKey(secretAt(77))});
        bytes memory possession = Signer.sign(secretAt(77), pool.possessionMessage(owner, keys), Signer.POSSESSION);
        vm.prank(owner);
        pool.updateKeys(id, keys, possession);
        rotateLater();
        secretOf[id] = secretAt(77);
        expectRefusal(
            invalid(0, id, signedBytes(0, NOTARIZE, 7, 6, BLOCK_A)),
            2,
            vote(NOTARIZE, BLOCK_A, 2),
            vote(NOTARIZE, BLOCK_B, 2)
        );
        secretOf[id] = oldSecret;
        expectPunished(2, vote(NOTARIZE, BLOCK_A, 2), vote(NOTARIZE, BLOCK_B, 2));
    }

    function test_refusesForgedVotes() public {
        Slasher.Vote memory good = vote(NOTARIZE, BLOCK_A, 2);
        Slasher.Vote memory forged = voteAt(0, NOTARIZE, 7, 6, BLOCK_B, 12345);
        bytes memory reason = invalid(1, idAt(1, 2), signedBytes(0, NOTARIZE, 7, 6, BLOCK_B));
        expectRefusal(reason, 2, good, forged);
        // Off the curve, the identity, and too short.
        forged.signature[127] ^= 0x01;
        expectRefusal(reason, 2, good, forged);
        forged.signature = new bytes(128);
        expectRefusal(reason, 2, good, forged);
        forged.signature = new bytes(127);
        expectRefusal(reason, 2, good, forged);
        // As the first vote.
        reason = invalid(0, idAt(1, 2), signedBytes(0, NOTARIZE, 7, 6, BLOCK_B));
        expectRefusal(reason, 2, forged, good);
        // A good signature of another kind of vote.
        forged = vote(FINALIZE, BLOCK_B, 2);
        forged.kind = NOTARIZE;
        expectRefusal(reason, 2, forged, good);
    }

    function test_refusesAReplay() public {
        expectPunished(2, vote(NOTARIZE, BLOCK_A, 2), vote(NOTARIZE, BLOCK_B, 2));
        bytes memory reason = abi.encodeWithSelector(Slasher.AlreadyPunished.selector, 0, EPOCH_0);
        expectRefusal(reason, 2, vote(NOTARIZE, BLOCK_A, 2), vote(NOTARIZE, BLOCK_B, 2));
        expectRefusal(reason, 2, vote(NOTARIZE, BLOCK_B, 2), vote(NOTARIZE, BLOCK_A, 2));
        // One penalty for an epoch, whatever else is found in it.
        expectRefusal(reason, 2, vote(NULLIFY, 0, 2), vote(FINALIZE, BLOCK_A, 2));
    }

    function test_anotherEpochIsAnotherCase() public {
        expectPunished(2, vote(NOTARIZE, BLOCK_A, 2), vote(NOTARIZE, BLOCK_B, 2));
        submit(nextHeader(49));
        submit(nextHeader(1));
        Slasher.Term memory t = Slasher.Term({batchIndex: 3, epoch: 1, committeeId: 1});
        uint256 secret = secretOf[idAt(1, 2)];
        slasher.submitEquivocation(
            t, 2, voteAt(1, NOTARIZE, 7, 6, BLOCK_A, secret), voteAt(1, NOTARIZE, 7, 6, BLOCK_B, secret)
        );
        yes(slasher.punished(0, idAt(1, 2), bytes32(uint256(1))), "epoch 1");
    }

    function test_refusesStaleEvidence() public {
        uint256 expiry = now_() + UNBONDING;
        vm.warp(expiry + 1);
        expectRefusal(
            abi.encodeWithSelector(Slasher.EvidenceStale.selector, expiry),
            2,
            vote(NOTARIZE, BLOCK_A, 2),
            vote(NOTARIZE, BLOCK_B, 2)
        );
        vm.warp(expiry);
        expectPunished(2, vote(NOTARIZE, BLOCK_A, 2), vote(NOTARIZE, BLOCK_B, 2));
    }

    function test_refusesAnotherCommittee() public {
        (Slasher.Vote memory a, Slasher.Vote memory b) = (vote(NOTARIZE, BLOCK_A, 2), vote(NOTARIZE, BLOCK_B, 2));
        Slasher.Term memory t = term();
        t.committeeId = 2;
        vm.expectRevert(abi.encodeWithSelector(Slasher.WrongCommittee.selector, 2, 1));
        slasher.submitEquivocation(t, 2, a, b);
        // Votes of a newcomer, who has a seat in committee 2 only.
        uint64 newcomer = join(MAX_LOCK);
        rotateLater();
        a = voteAt(0, NOTARIZE, 7, 6, BLOCK_A, secretOf[newcomer]);
        b = voteAt(0, NOTARIZE, 7, 6, BLOCK_B, secretOf[newcomer]);
        bytes memory signed = signedBytes(0, NOTARIZE, 7, 6, BLOCK_A);
        for (uint32 member = 0; member < 4; ++member) {
            expectRefusal(invalid(0, idAt(1, member), signed), member, a, b);
        }
    }

    function test_refusesAnotherEpoch() public {
        (Slasher.Vote memory a, Slasher.Vote memory b) = (vote(NOTARIZE, BLOCK_A, 2), vote(NOTARIZE, BLOCK_B, 2));
        Slasher.Term memory t = term();
        t.epoch = 1;
        vm.expectRevert(abi.encodeWithSelector(Slasher.WrongEpoch.selector, 1, 0));
        slasher.submitEquivocation(t, 2, a, b);
        t.batchIndex = 2;
        vm.expectRevert(abi.encodeWithSelector(Rollup.UnknownBatch.selector, 2, 1));
        slasher.submitEquivocation(t, 2, a, b);
        // The epoch is in the signed bytes.
        uint256 secret = secretOf[idAt(1, 2)];
        expectRefusal(
            invalid(0, idAt(1, 2), signedBytes(0, NOTARIZE, 7, 6, BLOCK_A)),
            2,
            voteAt(1, NOTARIZE, 7, 6, BLOCK_A, secret),
            voteAt(1, NOTARIZE, 7, 6, BLOCK_B, secret)
        );
    }

    function test_refusesAnotherMember() public {
        (Slasher.Vote memory a, Slasher.Vote memory b) = (vote(NOTARIZE, BLOCK_A, 2), vote(NOTARIZE, BLOCK_B, 2));
        expectRefusal(invalid(0, idAt(1, 1), signedBytes(0, NOTARIZE, 7, 6, BLOCK_A)), 1, a, b);
        expectRefusal(abi.encodeWithSelector(Slasher.UnknownMember.selector, 4, 4), 4, a, b);
        // One vote each of two members.
        b = vote(NOTARIZE, BLOCK_B, 1);
        expectRefusal(invalid(1, idAt(1, 2), signedBytes(0, NOTARIZE, 7, 6, BLOCK_B)), 2, a, b);
    }

    function test_refusesTwoViews() public {
        Slasher.Vote memory later = voteAt(0, NOTARIZE, 8, 6, BLOCK_B, secretOf[idAt(1, 2)]);
        expectRefusal(abi.encodeWithSelector(Slasher.ViewsDiffer.selector, 7, 8), 2, vote(NOTARIZE, BLOCK_A, 2), later);
        later.view_ = 7;
        expectRefusal(
            invalid(1, idAt(1, 2), signedBytes(0, NOTARIZE, 7, 6, BLOCK_B)), 2, vote(NOTARIZE, BLOCK_A, 2), later
        );
    }

    function test_refusesWhatAnHonestMemberMaySign() public {
        expectNoConflict(vote(NOTARIZE, BLOCK_A, 2), vote(NOTARIZE, BLOCK_A, 2));
        expectNoConflict(vote(FINALIZE, BLOCK_A, 2), vote(FINALIZE, BLOCK_A, 2));
        expectNoConflict(vote(NULLIFY, 0, 2), vote(NULLIFY, 0, 2));
        expectNoConflict(vote(NOTARIZE, BLOCK_A, 2), vote(FINALIZE, BLOCK_A, 2));
        expectNoConflict(vote(NOTARIZE, BLOCK_A, 2), vote(NULLIFY, 0, 2));
        // What is not signed cannot make two of one.
        Slasher.Vote memory nullify = vote(NULLIFY, 0, 2);
        (nullify.payload, nullify.parentView) = (BLOCK_A, 3);
        expectNoConflict(vote(NULLIFY, 0, 2), nullify);
        Slasher.Vote memory unknown = vote(FINALIZE, BLOCK_A, 2);
        unknown.kind = 3;
        expectRefusal(abi.encodeWithSelector(Slasher.VoteKindUnknown.selector, 3), 2, unknown, nullify);
        expectRefusal(abi.encodeWithSelector(Slasher.VoteKindUnknown.selector, 3), 2, nullify, unknown);
    }

    function test_refusesVotesForAnotherChain() public {
        Rollup.Config memory c = config(1, L2_CHAIN_ID + 1);
        Rollup own = rollup;
        rollup = createRollup(c);
        (Slasher.Vote memory a, Slasher.Vote memory b) = (vote(NOTARIZE, BLOCK_A, 2), vote(NOTARIZE, BLOCK_B, 2));
        rollup = own;
        expectRefusal(invalid(0, idAt(1, 2), signedBytes(0, NOTARIZE, 7, 6, BLOCK_A)), 2, a, b);
    }

    function test_votesAroundARecoveryAreOfTwoEpochs() public {
        // One view number, two blocks, before and after: no proof can be made of them.
        _recoverLater();
        uint64 id = idAt(1, 2);
        uint64 recovered = rollup.RECOVERY_EPOCHS();
        Slasher.Vote memory before = voteAt(0, NOTARIZE, 7, 6, BLOCK_A, secretOf[id]);
        Slasher.Vote memory afterwards = voteAt(recovered, NOTARIZE, 7, 6, BLOCK_B, secretOf[id]);
        Slasher.Term memory t = Slasher.Term({batchIndex: 1, epoch: 0, committeeId: 1});
        vm.expectRevert(invalid(1, id, signedBytes(0, NOTARIZE, 7, 6, BLOCK_B)));
        slasher.submitEquivocation(t, 2, before, afterwards);
        t = Slasher.Term({batchIndex: 2, epoch: recovered, committeeId: 2});
        uint32 seat = seatOf(2, id);
        vm.expectRevert(invalid(0, id, signedBytes(recovered, NOTARIZE, 7, 6, BLOCK_A)));
        slasher.submitEquivocation(t, seat, before, afterwards);
    }

    function test_votesForVoidBlocksOfALaterEpochMeetNoneAfterARecovery() public {
        // Its committee had crossed the boundary into epoch 1 and voted there, but not posted it, when L1 recovered the chain.
        uint64 id = idAt(1, 2);
        Slasher.Vote memory void_ = voteAt(1, NOTARIZE, 7, 6, BLOCK_A, secretOf[id]);
        _recoverLater();
        uint64 epoch = rollup.batch(2).epoch;
        Slasher.Vote memory afterwards = voteAt(epoch, NOTARIZE, 7, 6, BLOCK_B, secretOf[id]);
        uint32 seat = seatOf(2, id);
        // No batch shows the first vote's epoch, and under the other's it is not the member's.
        Slasher.Term memory t = Slasher.Term({batchIndex: 2, epoch: 1, committeeId: 2});
        vm.expectRevert(abi.encodeWithSelector(Slasher.WrongEpoch.selector, 1, epoch));
        slasher.submitEquivocation(t, seat, void_, afterwards);
        t.epoch = epoch;
        vm.expectRevert(invalid(0, id, signedBytes(epoch, NOTARIZE, 7, 6, BLOCK_A)));
        slasher.submitEquivocation(t, seat, void_, afterwards);
    }

    /// @dev L1 recovers the chain under a committee that has one member more, which posts a batch.
    function _recoverLater() private {
        join(MAX_LOCK);
        rotateLater();
        vm.warp(now_() + STALL);
        rollup.recover();
        submit(nextHeader(5));
    }

    // ---- forks ----

    function test_slashesAForkOfFinalizations() public {
        expectFork(certificate(FINALIZE, BLOCK_A, 0x7), certificate(FINALIZE, BLOCK_B, 0xe));
    }

    function test_slashesANullificationAgainstAFinalization() public {
        expectFork(certificate(NULLIFY, 0, 0xd), certificate(FINALIZE, BLOCK_A, 0xe));
    }

    function test_slashesAFinalizationAgainstANullification() public {
        expectFork(certificate(FINALIZE, BLOCK_A, 0xb), certificate(NULLIFY, 0, 0xf));
    }

    function test_slashesAForkOfNotarizations() public {
        expectFork(certificate(NOTARIZE, BLOCK_A, 0xf), certificate(NOTARIZE, BLOCK_B, 0xd));
    }

    function test_aSecondForkReachesTheOthersOnly() public {
        expectFork(certificate(FINALIZE, BLOCK_A, 0x7), certificate(FINALIZE, BLOCK_B, 0xe)); // members 1 and 2
        Slasher.Certificate memory a = certificate(NULLIFY, 0, 0xb);
        Slasher.Certificate memory b = certificate(FINALIZE, BLOCK_B, 0xe);
        uint64 fresh = idAt(1, 3);
        uint256 stake = pool.stakeOf(fresh);
        eq(slasher.submitFork(term(), a, b, ALL), stake, "only the one that was not yet punished");
        eq(pool.stakeOf(fresh), 0, "all of it");
        expectForkRefusal(abi.encodeWithSelector(Slasher.AlreadyPunished.selector, 1, EPOCH_0), a, b);
    }

    /// @dev All of them in one call could cost more gas than a transaction may use, and then nobody would be punished.
    function test_aForkIsPunishedInParts() public {
        Slasher.Certificate memory a = certificate(FINALIZE, BLOCK_A, 0x7);
        Slasher.Certificate memory b = certificate(FINALIZE, BLOCK_B, 0xe); // members 1 and 2 are guilty
        Slasher.Term memory t = term();
        vm.expectRevert(abi.encodeWithSelector(Slasher.NobodyGuilty.selector, 0x6, 0x9));
        slasher.submitFork(t, a, b, 0x9);
        uint256[2] memory stakes = [pool.stakeOf(idAt(1, 1)), pool.stakeOf(idAt(1, 2))];
        uint256 innocent = pool.stakeOf(idAt(1, 0)) + pool.stakeOf(idAt(1, 3));
        eq(slasher.submitFork(t, a, b, 0x4), stakes[1], "the one that was named");
        eq(pool.stakeOf(idAt(1, 1)), stakes[0], "not yet");
        vm.expectRevert(abi.encodeWithSelector(Slasher.AlreadyPunished.selector, 1, EPOCH_0));
        slasher.submitFork(t, a, b, 0x4);
        eq(slasher.submitFork(t, a, b, type(uint256).max), stakes[0], "the rest; the innocent are never reached");
        eq(pool.stakeOf(idAt(1, 0)) + pool.stakeOf(idAt(1, 3)), innocent, "the innocent");
    }

    function test_anEquivocatorIsPunishedAgainForAFork() public {
        expectPunished(1, vote(FINALIZE, BLOCK_A, 1), vote(FINALIZE, BLOCK_B, 1));
        expectFork(certificate(FINALIZE, BLOCK_A, 0x7), certificate(FINALIZE, BLOCK_B, 0xe));
    }

    function test_refusesCertificatesThatAreNone() public {
        Slasher.Certificate memory good = certificate(FINALIZE, BLOCK_A, ALL);
        expectForkRefusal(
            abi.encodeWithSelector(CertificateVerifier.QuorumNotReached.selector, 2, 3),
            good,
            certificate(FINALIZE, BLOCK_B, 0x5)
        );
        Slasher.Certificate memory other = certificate(FINALIZE, BLOCK_B, ALL);
        other.signers = 0x1f;
        expectForkRefusal(abi.encodeWithSelector(CertificateVerifier.SignersOutOfRange.selector, 0x1f, 4), good, other);
        other.signers = 0x7; // the aggregate of four, said to be that of three
        bytes memory signed = signedBytes(0, FINALIZE, 7, 6, BLOCK_B);
        bytes memory reason = abi.encodeWithSelector(
            CertificateVerifier.CertificateInvalid.selector, pool.committeeCode(1), keccak256(signed)
        );
        expectForkRefusal(reason, good, other);
        expectForkRefusal(reason, other, good);
        other = certificate(NOTARIZE, BLOCK_B, ALL);
        other.vote.kind = FINALIZE;
        expectForkRefusal(reason, good, other);
    }

    function test_refusesCertificatesThatAgree() public {
        expectNoFork(certificate(FINALIZE, BLOCK_A, 0x7), certificate(FINALIZE, BLOCK_A, 0xe));
        expectNoFork(certificate(NOTARIZE, BLOCK_A, ALL), certificate(NULLIFY, 0, ALL));
        expectNoFork(certificate(NOTARIZE, BLOCK_A, ALL), certificate(FINALIZE, BLOCK_A, ALL));
        expectNoFork(certificate(NULLIFY, 0, 0x7), certificate(NULLIFY, 0, 0xe));
        Slasher.Certificate memory later = certificate(FINALIZE, BLOCK_B, ALL);
        later.vote.view_ = 8;
        expectForkRefusal(
            abi.encodeWithSelector(Slasher.ViewsDiffer.selector, 7, 8), certificate(FINALIZE, BLOCK_A, ALL), later
        );
    }

    function test_refusesForksOfAnotherTerm() public {
        Slasher.Certificate memory a = certificate(FINALIZE, BLOCK_A, ALL);
        Slasher.Certificate memory b = certificate(FINALIZE, BLOCK_B, ALL);
        Slasher.Term memory t = term();
        t.committeeId = 2;
        vm.expectRevert(abi.encodeWithSelector(Slasher.WrongCommittee.selector, 2, 1));
        slasher.submitFork(t, a, b, ALL);
        (t.committeeId, t.epoch) = (1, 9);
        vm.expectRevert(abi.encodeWithSelector(Slasher.WrongEpoch.selector, 9, 0));
        slasher.submitFork(t, a, b, ALL);
        uint256 expiry = now_() + UNBONDING;
        vm.warp(expiry + 1);
        expectForkRefusal(abi.encodeWithSelector(Slasher.EvidenceStale.selector, expiry), a, b);
    }

    /// @dev Invariant: two certificates that make a fork identify more than a third of the committee, by signature.
    function testFuzz_aForkConvictsAThird(uint256 seed) public {
        uint256 size = 4 + seed % 10;
        for (uint256 i = 4; i < size; ++i) {
            join(MIN_LOCK);
        }
        uint64 committeeId = 1;
        while (seatsOf(committeeId) < size) {
            committeeId = rotateLater();
        }
        // Committee `committeeId` takes office in epoch 1.
        TestHeader memory h = nextHeader(49);
        h.nextCommitteeId = committeeId;
        submit(h);
        submit(nextHeader(1));

        uint256 left = quorumOf(size, uint256(keccak256(abi.encode(seed, "left"))));
        uint256 right = quorumOf(size, uint256(keccak256(abi.encode(seed, "right"))));
        uint8 kind = seed >> 9 & 1 == 0 ? FINALIZE : NOTARIZE;
        bool nullified = kind == FINALIZE && seed >> 8 & 1 == 0;
        Slasher.Certificate memory a = Slasher.Certificate({
            vote: voteAt(1, nullified ? NULLIFY : kind, 70, 69, BLOCK_A, secretSum(committeeId, left)), signers: left
        });
        Slasher.Certificate memory b = Slasher.Certificate({
            vote: voteAt(1, kind, 70, 69, BLOCK_B, secretSum(committeeId, right)), signers: right
        });
        slasher.submitFork(Slasher.Term({batchIndex: 3, epoch: 1, committeeId: committeeId}), a, b, type(uint256).max);

        uint256 convicted;
        for (uint256 i = 0; i < size; ++i) {
            bool inBoth = left & right & 1 << i != 0;
            uint64 id = idAt(committeeId, i);
            yes(slasher.punished(1, id, bytes32(uint256(1))) == inBoth, "exactly those in both");
            yes((pool.stakeOf(id) == 0) == inBoth, "lose everything");
            if (inBoth) ++convicted;
        }
        yes(3 * convicted >= size, "a third");
    }

    // ---- hooks and the governor ----

    function test_hooksPunishOncePerCase() public {
        vm.prank(GOVERNOR);
        vm.expectEmit(address(slasher));
        emit Slasher.HookSet(2, HOOK);
        slasher.setHook(2, HOOK);
        uint64[] memory ids = new uint64[](3);
        (ids[0], ids[1], ids[2]) = (1, 2, 1);
        uint256 stakes = pool.stakeOf(1) + pool.stakeOf(2);
        vm.prank(HOOK);
        eq(slasher.punish(2, ids, "case", REPORTER), stakes, "everything of both, once");
        eq(pool.stakeOf(1) + pool.stakeOf(2), 0, "nothing left");
        eq(pool.slashShareOf(REPORTER), stakes / 10, "reporter");

        // Those already punished do not stand in the others' way.
        (ids[0], ids[1], ids[2]) = (2, 3, 1);
        uint256 stake = pool.stakeOf(3);
        vm.prank(HOOK);
        eq(slasher.punish(2, ids, "case", REPORTER), stake, "the third");
        vm.prank(HOOK);
        vm.expectRevert(abi.encodeWithSelector(Slasher.AlreadyPunished.selector, 2, bytes32("case")));
        slasher.punish(2, ids, "case", REPORTER);
    }

    function test_withheldDataCostsAFifth() public {
        vm.prank(GOVERNOR);
        slasher.setHook(3, HOOK);
        uint64[] memory ids = new uint64[](1);
        ids[0] = 4;
        uint256 stake = pool.stakeOf(4);
        vm.prank(HOOK);
        eq(slasher.punish(3, ids, "one", address(0)), stake / 5, "a fifth");
        eq(pool.slashShareOf(address(0)), 0, "no reporter, no share");
        vm.prank(HOOK);
        eq(slasher.punish(3, ids, "two", address(0)), (stake - stake / 5) / 5, "another case");
    }

    function test_onlyTheHookReports() public {
        uint64[] memory ids = new uint64[](1);
        ids[0] = 1;
        for (uint8 offence = 0; offence < 5; ++offence) {
            vm.expectRevert(abi.encodeWithSelector(Slasher.NotHook.selector, address(this), offence));
            slasher.punish(offence, ids, "case", REPORTER);
            vm.prank(GOVERNOR);
            vm.expectRevert(abi.encodeWithSelector(Slasher.NotHook.selector, GOVERNOR, offence));
            slasher.punish(offence, ids, "case", REPORTER);
        }
        // The hook of one offence reports no other.
        vm.prank(GOVERNOR);
        slasher.setHook(3, HOOK);
        vm.prank(HOOK);
        vm.expectRevert(abi.encodeWithSelector(Slasher.NotHook.selector, HOOK, 2));
        slasher.punish(2, ids, "case", REPORTER);
    }

    function test_onlyTheGovernorSets() public {
        vm.expectRevert(abi.encodeWithSelector(Slasher.NotGovernor.selector, address(this)));
        slasher.setHook(2, HOOK);
        vm.expectRevert(abi.encodeWithSelector(Slasher.NotGovernor.selector, address(this)));
        slasher.setPenalty(0, 1, 1);
        vm.startPrank(GOVERNOR, GOVERNOR);
        vm.expectRevert(abi.encodeWithSelector(Slasher.HookNotAllowed.selector, 0));
        slasher.setHook(0, HOOK);
        vm.expectRevert(abi.encodeWithSelector(Slasher.HookNotAllowed.selector, 1));
        slasher.setHook(1, HOOK);
        vm.expectRevert(abi.encodeWithSelector(Slasher.HookNotAllowed.selector, 4));
        slasher.setHook(4, HOOK);
        vm.expectRevert(abi.encodeWithSelector(Slasher.OffenceUnknown.selector, 4));
        slasher.setPenalty(4, 1, 1);
        vm.expectRevert(abi.encodeWithSelector(Slasher.PenaltyOutOfRange.selector, 10_001, 10_000));
        slasher.setPenalty(0, 10_001, 1);
        slasher.setPenalty(1, 10_000, 7);
        (uint16 bps, uint128 minimum) = slasher.penalties(1);
        eq(bps, 10_000, "bps");
        eq(minimum, 7, "minimum");
        vm.stopPrank();
    }

    /// @dev The governor could once name an account of its own as hook, let it punish everybody and name another one.
    function test_aHookIsAContractNamedOnce() public {
        vm.startPrank(GOVERNOR, GOVERNOR);
        vm.expectRevert(abi.encodeWithSelector(Slasher.HookHasNoCode.selector, REPORTER));
        slasher.setHook(2, REPORTER);
        vm.expectRevert(abi.encodeWithSelector(Slasher.HookHasNoCode.selector, address(0)));
        slasher.setHook(2, address(0));
        slasher.setHook(2, HOOK);
        vm.expectRevert(abi.encodeWithSelector(Slasher.HookAlreadySet.selector, 2, HOOK));
        slasher.setHook(2, address(pool));
        slasher.setHook(3, address(pool));
        vm.stopPrank();
        eq(slasher.hooks(2), HOOK, "for good");
    }

    function test_presets() public view {
        uint16[4] memory expected = [uint16(500), 10_000, 10_000, 2_000];
        for (uint8 offence = 0; offence < 4; ++offence) {
            (uint16 bps, uint128 minimum) = slasher.penalties(offence);
            eq(bps, expected[offence], "bps");
            eq(minimum, offence == 0 ? 1_000e18 : 0, "minimum");
            eq(slasher.hooks(offence), address(0), "no hook at first");
        }
        eq(slasher.EVIDENCE_PERIOD(), UNBONDING, "evidence counts as long as stake is held back");
    }

    // ---- helpers ----

    function report(uint32 member, Slasher.Vote memory a, Slasher.Vote memory b) private returns (uint256) {
        Slasher.Term memory t = term();
        vm.prank(REPORTER);
        return slasher.submitEquivocation(t, member, a, b);
    }

    function expectPunished(uint32 member, Slasher.Vote memory a, Slasher.Vote memory b) private {
        uint64 id = idAt(1, member);
        uint256 stake = pool.stakeOf(id);
        Slasher.Term memory t = term();
        vm.expectEmit(address(slasher));
        emit Slasher.Slashed(0, id, EPOCH_0, stake / 20, REPORTER);
        vm.prank(REPORTER);
        eq(slasher.submitEquivocation(t, member, a, b), stake / 20, "penalty");
        eq(pool.stakeOf(id), stake - stake / 20, "stake");
        yes(slasher.punished(0, id, EPOCH_0), "punished");
    }

    function expectRefusal(bytes memory reason, uint32 member, Slasher.Vote memory a, Slasher.Vote memory b) private {
        Slasher.Term memory t = term();
        vm.expectRevert(reason);
        slasher.submitEquivocation(t, member, a, b);
    }

    function expectNoConflict(Slasher.Vote memory a, Slasher.Vote memory b) private {
        expectRefusal(abi.encodeWithSelector(Slasher.NotConflicting.selector, a.kind, b.kind), 2, a, b);
        expectRefusal(abi.encodeWithSelector(Slasher.NotConflicting.selector, b.kind, a.kind), 2, b, a);
    }

    function expectFork(Slasher.Certificate memory a, Slasher.Certificate memory b) private {
        uint256[4] memory stakes;
        uint256 total;
        for (uint256 i = 0; i < 4; ++i) {
            stakes[i] = pool.stakeOf(idAt(1, i));
            if (a.signers & b.signers & 1 << i != 0) total += stakes[i];
        }
        Slasher.Term memory t = term();
        vm.prank(REPORTER);
        eq(slasher.submitFork(t, a, b, ALL), total, "everything of the guilty");
        for (uint256 i = 0; i < 4; ++i) {
            bool guilty = a.signers & b.signers & 1 << i != 0;
            eq(pool.stakeOf(idAt(1, i)), guilty ? 0 : stakes[i], "stake");
            yes(slasher.punished(1, idAt(1, i), EPOCH_0) == guilty, "punished");
        }
    }

    function expectForkRefusal(bytes memory reason, Slasher.Certificate memory a, Slasher.Certificate memory b)
        private
    {
        Slasher.Term memory t = term();
        vm.expectRevert(reason);
        slasher.submitFork(t, a, b, ALL);
    }

    function expectNoFork(Slasher.Certificate memory a, Slasher.Certificate memory b) private {
        expectForkRefusal(abi.encodeWithSelector(Slasher.NotConflicting.selector, a.vote.kind, b.vote.kind), a, b);
    }

    function invalid(uint256 which, uint64 id, bytes memory signed) private pure returns (bytes memory) {
        return abi.encodeWithSelector(Slasher.VoteInvalid.selector, which, id, keccak256(signed));
    }

    function seatsOf(uint64 committeeId) private view returns (uint256 size) {
        (size,,,,,) = pool.committee(committeeId);
    }

    function seatOf(uint64 committeeId, uint64 id) private view returns (uint32 seat) {
        while (idAt(committeeId, seat) != id) {
            ++seat;
        }
    }

    /// @dev A random set of at least a quorum of `size` members.
    function quorumOf(uint256 size, uint256 random) private pure returns (uint256 signers) {
        signers = (1 << size) - 1;
        uint256 absent = random % ((size - 1) / 3 + 1);
        while (absent != 0) {
            random = uint256(keccak256(abi.encode(random)));
            uint256 bit = 1 << random % size;
            if (signers & bit == 0) continue;
            signers ^= bit;
            --absent;
        }
    }
}
