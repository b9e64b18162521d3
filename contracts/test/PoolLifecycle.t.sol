// PoolLifecycle: how stake enters, waits, leaves and is taken; who may do what; and which faults of the original cannot happen.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC721Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Sequencer, Status} from "../src/interfaces/ISequencerPool.sol";
import {KeyErrors, Keys} from "../src/l1/CommitteeBuilder.sol";
import {SequencerPool} from "../src/l1/SequencerPool.sol";
import {UnbondingTicket} from "../src/l1/UnbondingTicket.sol";
import {Chain} from "./base/Chain.sol";
import {Signer} from "./base/Signer.sol";
import {vm} from "./base/Vm.sol";

abstract contract PoolBase is Chain {
    address internal constant ALICE = address(0xa11ce);
    address internal constant MALLORY = address(0x3a110);
    address internal constant REPORTER = address(0x4e904);

    function setUp() public virtual {
        deploy(4);
    }

    function refuse(bytes memory reason) internal {
        vm.expectRevert(reason);
    }

    function wrongStatus(uint64 id, Status status) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(SequencerPool.WrongStatus.selector, id, status);
    }

    function expectStatus(uint64 id, Status status) internal view {
        eq(uint256(pool.sequencer(id).status), uint256(status), "status");
    }

    function exit(uint64 id) internal {
        vm.prank(ownerOf[id]);
        pool.exit(id);
    }

    function decrease(uint64 id, uint256 amount) internal {
        vm.prank(ownerOf[id]);
        pool.decrease(id, amount);
    }

    function increase(uint64 id, uint256 amount) internal {
        fund(ownerOf[id], address(pool), amount);
        vm.prank(ownerOf[id]);
        pool.increase(id, amount);
    }

    function slash(uint64 id, uint256 bps, uint256 minimum) internal returns (uint256) {
        vm.prank(SLASHER);
        return pool.slash(id, bps, minimum, REPORTER);
    }

    function jail(uint64 id) internal {
        jailBook.accuse(id);
        pool.jail(id);
    }

    function sizeOfNewest() internal view returns (uint256 size) {
        (size,,,,,) = pool.committee(pool.latestCommittee());
    }

    function inNewest(uint64 id) internal view returns (bool found) {
        (,,,,, uint64[] memory ids) = pool.committee(pool.latestCommittee());
        for (uint256 i = 0; i < ids.length; ++i) {
            found = found || ids[i] == id;
        }
    }

    function proofOf(uint256 secret, Keys memory keys, address owner) internal view returns (bytes memory) {
        return Signer.sign(secret, pool.possessionMessage(owner, keys), Signer.POSSESSION);
    }

    function updateKeys(uint64 id, uint256 index) internal {
        Keys memory keys = keysOf(index);
        bytes memory proof = proofOf(secretAt(index), keys, ownerOf[id]);
        vm.prank(ownerOf[id]);
        pool.updateKeys(id, keys, proof);
    }
}

contract PoolJoiningTest is PoolBase {
    function fillQueue() private {
        for (uint256 i = 0; i < pool.MAX_QUEUE(); ++i) {
            join(MIN_LOCK + 2 + (i % 3)); // the smallest are the 1st, 4th, ..., 127th
        }
    }

    function test_aFullQueueTakesOnlyALargerLock() public {
        fillQueue();
        uint256 index = uint256(pool.lastId()) + 1;
        Keys memory keys = keysOf(index);
        bytes memory proof = proofOf(secretAt(index), keys, ALICE);
        fund(ALICE, address(pool), MIN_LOCK + 2);
        vm.prank(ALICE);
        refuse(abi.encodeWithSelector(SequencerPool.QueueFull.selector, MIN_LOCK + 2));
        pool.lock(keys, proof, MIN_LOCK + 2, ALICE, address(0));
    }

    function test_theYoungestOfTheSmallestIsDisplacedAndKeepsItsStake() public {
        fillQueue();
        uint64 displaced = 4 + 127;
        uint64 larger = join(MIN_LOCK + 3);
        eq(pool.queueLength(), pool.MAX_QUEUE(), "still full");
        expectStatus(displaced, Status.None);
        expectStatus(larger, Status.Queued);
        eq(pool.sequencer(displaced).amount, 0, "lock");
        eq(pool.ticket(1).amount, MIN_LOCK + 2, "ticket");
        eq(pool.ticket(1).claimableAt, now_() + UNBONDING, "claimable");
        eq(ticket.ownerOf(1), ownerOf[displaced], "owner");
        // All others keep their turns.
        uint64[] memory queue = pool.queue();
        for (uint64 i = 0; i < 126; ++i) {
            eq(queue[i], 5 + i, "turn");
        }
        eq(queue[126], 132, "behind the displaced");
        eq(queue[127], larger, "last");
    }

    function test_leavesTheQueueAtOnceAndOthersMoveUp() public {
        uint64 first = join(MIN_LOCK);
        uint64 second = join(MIN_LOCK);
        exit(first);
        expectStatus(first, Status.None);
        eq(pool.queueLength(), 1, "queue");
        eq(pool.ticket(1).amount, MIN_LOCK, "ticket");
        rotateLater();
        expectStatus(second, Status.Active);
        eq(sizeOfNewest(), 5, "one joined");
        vm.prank(ownerOf[first]);
        refuse(wrongStatus(first, Status.None));
        pool.exit(first);
    }

    function test_anyoneMayAddToALockWithinItsLimits() public {
        fund(ALICE, address(pool), MAX_LOCK);
        vm.prank(ALICE);
        pool.increaseFor(1, 7e18);
        eq(pool.sequencer(1).amount, MIN_LOCK + 7e18, "lock");
        vm.prank(ALICE);
        refuse(abi.encodeWithSelector(SequencerPool.LockOutOfRange.selector, uint256(MAX_LOCK) + 1, MIN_LOCK, MAX_LOCK));
        pool.increaseFor(1, MAX_LOCK - MIN_LOCK - 7e18 + 1);
        refuse(abi.encodeWithSelector(SequencerPool.AmountZero.selector));
        pool.increaseFor(1, 0);
        vm.prank(ALICE);
        refuse(abi.encodeWithSelector(SequencerPool.NotOwner.selector, ALICE, 1));
        pool.increase(1, 1);
        refuse(wrongStatus(99, Status.None));
        pool.increaseFor(99, 1);
        exit(1);
        refuse(wrongStatus(1, Status.Exiting));
        pool.increaseFor(1, 1);
    }

    function test_aPauseStopsJoiningAndNothingElse() public {
        uint64 queued = join(MIN_LOCK);
        jail(2);
        vm.prank(GOVERNOR);
        pool.setJoinsPaused(true);
        Keys memory keys = keysOf(77);
        bytes memory proof = proofOf(secretAt(77), keys, ALICE);
        fund(ALICE, address(pool), MIN_LOCK);
        vm.prank(ALICE);
        refuse(abi.encodeWithSelector(SequencerPool.JoinsPaused.selector));
        pool.lock(keys, proof, MIN_LOCK, ALICE, address(0));
        vm.warp(now_() + JAIL);
        vm.prank(ownerOf[2]);
        pool.unjail(2);
        rotateLater();
        expectStatus(queued, Status.Queued);
        expectStatus(2, Status.Queued);

        increase(1, 2e18);
        decrease(1, 1e18);
        exit(1);
        exit(2);
        exit(queued);
        rotateLater();
        expectStatus(1, Status.None);
        vm.warp(now_() + UNBONDING);
        for (uint256 i = 1; i <= pool.lastTicket(); ++i) {
            vm.prank(ticket.ownerOf(i));
            pool.claim(i);
        }
    }

    function test_newKeysCountFromTheNextRotationAndOldOnesStayBound() public {
        (,,,,, uint64[] memory ids) = pool.committee(1);
        uint256 index;
        while (ids[index] != 1) ++index;
        bytes memory old = Signer.publicKey(secretOf[1]);
        bytes32 aggregate = keccak256(pool.aggregateKey(1));
        updateKeys(1, 77);
        eq(pool.memberKey(1, index), old, "the running committee keeps its keys");
        eq(keccak256(pool.aggregateKey(1)), aggregate, "and its aggregate");
        rotateLater();
        (,,,,, ids) = pool.committee(2);
        index = 0;
        while (ids[index] != 1) ++index;
        eq(pool.memberKey(2, index), Signer.publicKey(secretAt(77)), "new key");
        uint256 sum = addmod(
            secretAt(77),
            addmod(secretOf[2], addmod(secretOf[3], secretOf[4], Signer.ORDER), Signer.ORDER),
            Signer.ORDER
        );
        eq(pool.aggregateKey(2), Signer.publicKey(sum), "new aggregate");
        eq(pool.idOfConsensusKey(keccak256(old)), 1, "old key");
        eq(pool.idOfConsensusKey(keccak256(Signer.publicKey(secretAt(77)))), 1, "new key");
        eq(pool.idOfIdentity(identityAt(1)), 1, "old identity");
        eq(pool.idOfIdentity(identityAt(77)), 1, "new identity");
    }

    function test_eitherKeyMayStay() public {
        Keys memory keys = Keys({identity: identityAt(1), consensusKey: Signer.publicKey(secretAt(77))});
        bytes memory proof = proofOf(secretAt(77), keys, ownerOf[1]);
        vm.prank(ownerOf[1]);
        pool.updateKeys(1, keys, proof);
        vm.warp(now_() + ROTATION);
        keys = Keys({identity: identityAt(78), consensusKey: keys.consensusKey});
        proof = proofOf(secretAt(77), keys, ownerOf[1]);
        vm.prank(ownerOf[1]);
        pool.updateKeys(1, keys, proof);
        rotateLater();
        eq(sizeOfNewest(), 4, "committee");
    }

    function test_keyUpdatesAreProvenAndTakeNobodysKeys() public {
        Keys memory keys = keysOf(2);
        vm.prank(ownerOf[1]);
        refuse(abi.encodeWithSelector(SequencerPool.IdentityTaken.selector, keys.identity, 2));
        pool.updateKeys(1, keys, "");
        Keys memory mixed = Keys({identity: identityAt(77), consensusKey: keys.consensusKey});
        vm.prank(ownerOf[1]);
        refuse(abi.encodeWithSelector(SequencerPool.ConsensusKeyTaken.selector, keccak256(keys.consensusKey), 2));
        pool.updateKeys(1, mixed, "");
        keys = keysOf(77);
        bytes memory proof = proofOf(secretAt(77), keys, MALLORY);
        vm.prank(ownerOf[1]);
        refuse(abi.encodeWithSelector(KeyErrors.PossessionNotProven.selector, ownerOf[1], keys.identity));
        pool.updateKeys(1, keys, proof);
        vm.prank(MALLORY);
        refuse(abi.encodeWithSelector(SequencerPool.NotOwner.selector, MALLORY, 1));
        pool.updateKeys(1, keys, proof);
        exit(1);
        vm.prank(ownerOf[1]);
        refuse(wrongStatus(1, Status.Exiting));
        pool.updateKeys(1, keys, proof);
    }

    /// @dev An owner could bind a new identity with every transaction, and so everybody's whose `lock` it saw coming, for gas alone.
    function test_keysChangeOnceARotationInterval() public {
        updateKeys(1, 77);
        uint256 next = now_() + ROTATION;
        vm.warp(next - 1);
        Keys memory keys = keysOf(78);
        bytes memory proof = proofOf(secretAt(78), keys, ownerOf[1]);
        vm.prank(ownerOf[1]);
        refuse(abi.encodeWithSelector(SequencerPool.KeysUpdatedTooEarly.selector, 1, next));
        pool.updateKeys(1, keys, proof);
        eq(pool.idOfIdentity(keys.identity), 0, "nobody's");
        updateKeys(2, 79); // another one's turn is its own
        vm.warp(next);
        updateKeys(1, 78);
        eq(pool.idOfIdentity(keys.identity), 1, "bound");
    }

    function test_recipientAndOwnerAreNeverZeroAndTheOwnersToSet() public {
        vm.prank(ownerOf[1]);
        refuse(abi.encodeWithSelector(SequencerPool.RecipientZero.selector));
        pool.setRecipient(1, address(0));
        vm.prank(ownerOf[1]);
        refuse(abi.encodeWithSelector(SequencerPool.OwnerZero.selector));
        pool.transferOwnership(1, address(0));
        bytes memory notOwner = abi.encodeWithSelector(SequencerPool.NotOwner.selector, MALLORY, 1);
        vm.prank(MALLORY);
        refuse(notOwner);
        pool.setRecipient(1, MALLORY);
        vm.prank(MALLORY);
        refuse(notOwner);
        pool.transferOwnership(1, MALLORY);

        vm.prank(ownerOf[1]);
        pool.setRecipient(1, REPORTER);
        eq(pool.sequencer(1).recipient, REPORTER, "recipient");
        decrease(4, 1e18); // a ticket issued before stays with the old owner
        vm.prank(ownerOf[4]);
        pool.transferOwnership(4, ALICE);
        eq(pool.sequencer(4).owner, ALICE, "owner");
        eq(ticket.ownerOf(1), ownerOf[4], "ticket");
        vm.prank(ownerOf[4]);
        refuse(abi.encodeWithSelector(SequencerPool.NotOwner.selector, ownerOf[4], 4));
        pool.exit(4);
        vm.prank(ALICE);
        pool.exit(4);
    }
}

contract PoolLeavingTest is PoolBase {
    function test_decreaseIsATicketDownToTheMinimum() public {
        decrease(4, 2e18);
        eq(pool.sequencer(4).amount, MIN_LOCK + 1e18, "lock");
        eq(pool.ticket(1).amount, 2e18, "ticket");
        eq(pool.stakeOf(4), MIN_LOCK + 3e18, "stake");
        vm.prank(ownerOf[4]);
        refuse(abi.encodeWithSelector(SequencerPool.LockOutOfRange.selector, uint256(MIN_LOCK) - 1, MIN_LOCK, MAX_LOCK));
        pool.decrease(4, 1e18 + 1);
        vm.prank(ownerOf[4]);
        refuse(abi.encodeWithSelector(SequencerPool.LockOutOfRange.selector, 0, MIN_LOCK, MAX_LOCK));
        pool.decrease(4, type(uint256).max);
        // Tickets of nothing, or next to it, would only make a slash dear.
        eq(pool.MIN_DECREASE(), 1e18, "smallest decrease");
        vm.prank(ownerOf[4]);
        refuse(abi.encodeWithSelector(SequencerPool.DecreaseTooSmall.selector, 0, 1e18));
        pool.decrease(4, 0);
        vm.prank(ownerOf[4]);
        refuse(abi.encodeWithSelector(SequencerPool.DecreaseTooSmall.selector, 1e18 - 1, 1e18));
        pool.decrease(4, 1e18 - 1);
        vm.prank(MALLORY);
        refuse(abi.encodeWithSelector(SequencerPool.NotOwner.selector, MALLORY, 4));
        pool.decrease(4, 1);
        exit(4);
        vm.prank(ownerOf[4]);
        refuse(wrongStatus(4, Status.Exiting));
        pool.decrease(4, 1);
    }

    function test_theLastTicketsPlaceIsKeptForTheExit() public {
        increase(1, 100e18);
        for (uint256 i = 0; i < 31; ++i) {
            decrease(1, 1e18);
        }
        vm.prank(ownerOf[1]);
        refuse(abi.encodeWithSelector(SequencerPool.TooManyTickets.selector, 1, 31));
        pool.decrease(1, 1e18);
        exit(1);
        rotateLater();
        eq(pool.ticketsOf(1).length, 32, "tickets");
        eq(pool.sequencer(1).amount, 0, "lock");
        // A claimed ticket frees its place in the middle of the list.
        vm.warp(now_() + UNBONDING);
        vm.prank(ownerOf[1]);
        pool.claim(7);
        uint64[] memory open = pool.ticketsOf(1);
        eq(open.length, 31, "tickets");
        for (uint256 i = 0; i < open.length; ++i) {
            yes(open[i] != 7, "claimed");
        }
    }

    function test_loweringTheMaximumStrandsNothing() public {
        increase(1, MAX_LOCK - MIN_LOCK);
        vm.prank(GOVERNOR);
        pool.setLockLimits(MIN_LOCK, MIN_LOCK + 1e18);
        decrease(1, 10e18); // still above the maximum
        eq(pool.sequencer(1).amount, MAX_LOCK - 10e18, "lock");
        rotateLater();
        yes(inNewest(1), "stays a member");
        decrease(1, MAX_LOCK - 10e18 - MIN_LOCK);
        exit(1);
        rotateLater();
        expectStatus(1, Status.None);
    }

    function test_raisingTheMinimumLeavesMembersAndTheirExits() public {
        vm.prank(GOVERNOR);
        pool.setLockLimits(2 * MIN_LOCK, MAX_LOCK);
        rotateLater();
        eq(sizeOfNewest(), 4, "committee");
        exit(1);
        rotateLater();
        eq(pool.ticket(1).amount, MIN_LOCK, "whole lock");
    }

    function test_exitBecomesOneTicketWhenItsTurnComes() public {
        decrease(4, 1e18);
        exit(4);
        expectStatus(4, Status.Exiting);
        eq(pool.exitQueueLength(), 1, "waiting");
        eq(pool.lastTicket(), 1, "no ticket yet");
        yes(inNewest(4), "still a member");
        vm.prank(ownerOf[4]);
        refuse(wrongStatus(4, Status.Exiting));
        pool.exit(4);
        rotateLater();
        eq(sizeOfNewest(), 3, "left");
        expectStatus(4, Status.None);
        eq(pool.sequencer(4).owner, ownerOf[4], "the record keeps its owner");
        eq(pool.ticket(2).amount, MIN_LOCK + 2e18, "the whole lock");
        eq(pool.ticket(2).claimableAt, now_() + UNBONDING, "from when it left");
        eq(pool.exitQueueLength(), 0, "nobody waits");
    }

    function test_exitsAreLimitedByChurnFirstComeFirstServed() public {
        for (uint256 i = 0; i < 4; ++i) {
            join(MIN_LOCK);
        }
        rotateLater();
        // 8, 7, 6, 5 and, in one second, 4 before 3: of a tie the smaller id leaves first.
        for (uint64 id = 8; id >= 5; --id) {
            exit(id);
            vm.warp(now_() + 1);
        }
        exit(4);
        exit(3);
        jail(2);
        rotateLater();
        eq(pool.exitQueueLength(), 2, "two wait");
        for (uint64 id = 5; id <= 8; ++id) {
            expectStatus(id, Status.None);
        }
        expectStatus(4, Status.Exiting);
        expectStatus(3, Status.Exiting);
        yes(!inNewest(2), "jail does not count");
        eq(sizeOfNewest(), 3, "1, 3, 4");
        rotateLater();
        eq(sizeOfNewest(), 1, "1");
        yes(pool.ticketsOf(3).length == 1 && pool.ticketsOf(4).length == 1, "both left");
    }

    function test_ofATieTheSmallerIdLeavesFirst() public {
        join(MIN_LOCK);
        rotateLater();
        for (uint64 id = 5; id >= 1; --id) {
            exit(id);
        }
        uint64 stranger = join(MIN_LOCK);
        rotateLater();
        expectStatus(5, Status.Exiting);
        expectStatus(1, Status.None);
        expectStatus(stranger, Status.Active);
    }

    /// @dev Invariant 4 of the specification, at its hardest: nobody rotates, and the last member leaves too.
    function test_nobodyCanHoldAnExitBack() public {
        for (uint64 id = 1; id <= 4; ++id) {
            exit(id);
        }
        uint256 completableAt = now_() + 16 * ROTATION;
        vm.warp(completableAt - 1);
        refuse(abi.encodeWithSelector(SequencerPool.StillInExitQueue.selector, 1, completableAt));
        pool.completeExit(1);
        refuse(abi.encodeWithSelector(SequencerPool.NoMembers.selector));
        pool.rotate();
        vm.warp(completableAt);
        for (uint64 id = 1; id <= 4; ++id) {
            vm.prank(MALLORY);
            pool.completeExit(id);
            refuse(wrongStatus(id, Status.None));
            pool.completeExit(id);
        }
        refuse(abi.encodeWithSelector(SequencerPool.NoMembers.selector));
        pool.rotate();
        vm.warp(now_() + UNBONDING);
        for (uint64 id = 1; id <= 4; ++id) {
            vm.prank(ownerOf[id]);
            pool.claim(id);
            eq(token.balanceOf(ownerOf[id]), MIN_LOCK + (id - 1) * 1e18, "paid in full");
        }
        eq(token.balanceOf(address(pool)), 0, "empty");
        // And the pool lives on.
        join(MIN_LOCK);
        eq(rotateAndSeal(), 2, "rotation");
        eq(sizeOfNewest(), 1, "committee");
    }

    function test_completeExitIsForThoseWhoWait() public {
        refuse(wrongStatus(1, Status.Active));
        pool.completeExit(1);
        refuse(wrongStatus(99, Status.None));
        pool.completeExit(99);
    }

    function test_aTicketIsPaidAfterThePeriodToItsOwner() public {
        decrease(4, 1e18);
        uint256 claimableAt = now_() + UNBONDING;
        vm.warp(claimableAt - 1);
        vm.prank(ownerOf[4]);
        refuse(abi.encodeWithSelector(SequencerPool.StillUnbonding.selector, 1, claimableAt));
        pool.claim(1);
        vm.warp(claimableAt);
        vm.prank(MALLORY);
        refuse(abi.encodeWithSelector(IERC721Errors.ERC721InsufficientApproval.selector, MALLORY, 1));
        pool.claim(1);
        vm.prank(ownerOf[4]);
        pool.claim(1);
        eq(token.balanceOf(ownerOf[4]), 1e18, "paid");
        vm.prank(ownerOf[4]);
        refuse(abi.encodeWithSelector(SequencerPool.UnknownTicket.selector, 1));
        pool.claim(1);
        refuse(abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, 1));
        ticket.ownerOf(1);
        refuse(abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, 1));
        ticket.ticket(1);
    }

    function test_aTicketCanBeSoldAndClaimedByAnOperator() public {
        decrease(4, 1e18);
        (uint64 id, uint128 amount, uint64 claimableAt) = ticket.ticket(1);
        eq(id, 4, "sequencer");
        eq(amount, 1e18, "amount");
        eq(claimableAt, now_() + UNBONDING, "time");
        vm.prank(ownerOf[4]);
        ticket.transferFrom(ownerOf[4], ALICE, 1);
        vm.prank(ALICE);
        ticket.approve(REPORTER, 1);
        vm.warp(claimableAt);
        vm.prank(ownerOf[4]);
        refuse(abi.encodeWithSelector(IERC721Errors.ERC721InsufficientApproval.selector, ownerOf[4], 1));
        pool.claim(1);
        vm.prank(REPORTER);
        pool.claim(1);
        eq(token.balanceOf(ALICE), 1e18, "the owner is paid");
        eq(token.balanceOf(REPORTER), 0, "not the operator");
    }

    function test_onlyThePoolMakesAndEndsTickets() public {
        decrease(4, 1e18);
        bytes memory reason = abi.encodeWithSelector(UnbondingTicket.NotPool.selector, address(this));
        refuse(reason);
        ticket.mint(MALLORY, 2);
        refuse(reason);
        ticket.burn(ownerOf[4], 1);
        eq(bytes(ticket.name()), "Oceanid Unbonding Ticket", "name");
        eq(bytes(ticket.symbol()), "OCEANID-OUT", "symbol");
        eq(address(ticket.POOL()), address(pool), "pool");
    }
}

contract PoolSlashingTest is PoolBase {
    address private constant BURN = 0x000000000000000000000000000000000000dEaD;

    function test_onlyTheSlasherSlashes() public {
        refuse(abi.encodeWithSelector(SequencerPool.NotSlasher.selector, address(this)));
        pool.slash(1, 1, 1, REPORTER);
        vm.prank(GOVERNOR);
        refuse(abi.encodeWithSelector(SequencerPool.NotSlasher.selector, GOVERNOR));
        pool.slash(1, 1, 1, REPORTER);
        vm.prank(SLASHER);
        refuse(abi.encodeWithSelector(SequencerPool.UnknownSequencer.selector, 99));
        pool.slash(99, 1, 1, REPORTER);
    }

    function test_aSlashTakesItsPartOfLockAndTicketsAndSplitsIt() public {
        increase(1, 20_000e18);
        decrease(1, 10_000e18);
        // 10,000 in a ticket and 30,000 locked: 5% is 2,000, of which the ticket bears 500.
        uint256 before = token.balanceOf(BURN);
        eq(slash(1, 500, 1_000e18), 2_000e18, "penalty");
        eq(pool.ticket(1).amount, 9_500e18, "ticket");
        eq(pool.ticket(2).amount, 28_500e18, "the rest of the lock");
        eq(pool.ticket(2).claimableAt, now_() + UNBONDING, "on its way out");
        expectStatus(1, Status.None);
        eq(pool.slashShareOf(REPORTER), 200e18, "a tenth is the reporter's");
        eq(pool.totalSlashShares(), 200e18, "shares");
        eq(token.balanceOf(BURN) - before, 1_800e18, "the rest is burnt");
        vm.prank(REPORTER);
        pool.claimSlashShare();
        eq(token.balanceOf(REPORTER), 200e18, "paid");
        vm.prank(REPORTER);
        refuse(abi.encodeWithSelector(SequencerPool.NothingToClaim.selector, REPORTER));
        pool.claimSlashShare();
        vm.warp(now_() + UNBONDING);
        vm.prank(ownerOf[1]);
        pool.claim(1);
        eq(token.balanceOf(ownerOf[1]), 9_500e18, "smaller by exactly its part");
    }

    function test_aSlashHasAMinimumAndAnEnd() public {
        eq(slash(1, 1, 1_000e18), 1_000e18, "minimum");
        eq(pool.stakeOf(1), MIN_LOCK - 1_000e18, "left");
        eq(slash(1, 10_000, 0), MIN_LOCK - 1_000e18, "all the rest");
        eq(pool.stakeOf(1), 0, "nothing left");
        eq(slash(1, 10_000, 1), 0, "nothing to take");
        eq(slash(2, 20_000, 0), MIN_LOCK + 1e18, "never more than all");
        eq(pool.ticketsOf(2).length, 0, "and no ticket over nothing");
        vm.warp(now_() + UNBONDING);
        vm.prank(ownerOf[1]);
        pool.claim(1); // worth nothing, and claimable all the same
    }

    function test_aTicketInStrangersHandsIsStillSlashed() public {
        exit(1);
        rotateLater();
        vm.prank(ownerOf[1]);
        ticket.transferFrom(ownerOf[1], ALICE, 1);
        vm.warp(now_() + UNBONDING - 1);
        eq(slash(1, 10_000, 0), MIN_LOCK, "all of it");
        vm.warp(now_() + 1);
        vm.prank(ALICE);
        pool.claim(1);
        eq(token.balanceOf(ALICE), 0, "worth nothing");
    }

    function test_theSlashedLeaveAtTheNextRotationWhateverTheChurn() public {
        for (uint256 i = 0; i < 4; ++i) {
            join(MIN_LOCK);
        }
        rotateLater();
        for (uint64 id = 2; id <= 7; ++id) {
            slash(id, 500, 0);
        }
        eq(sizeOfNewest(), 8, "a fixed committee stays as it is");
        rotateLater();
        eq(sizeOfNewest(), 2, "six of eight are out");
        // And none of them comes back under its keys.
        Keys memory keys = keysOf(2);
        vm.prank(ownerOf[2]);
        refuse(abi.encodeWithSelector(SequencerPool.IdentityTaken.selector, keys.identity, 2));
        pool.lock(keys, "", MIN_LOCK, ownerOf[2], address(0));
    }

    function test_theQueuedTheExitingAndTheJailedAreSlashedToo() public {
        uint64 queued = join(MIN_LOCK);
        exit(2);
        jail(3);
        slash(queued, 500, 0);
        slash(2, 500, 0);
        slash(3, 500, 0);
        eq(pool.queueLength(), 0, "queue");
        eq(pool.exitQueueLength(), 0, "exits");
        rotateLater();
        eq(sizeOfNewest(), 2, "1 and 4");
        eq(pool.lastTicket(), 3, "one ticket each");
    }

    /// @dev To the wei, whatever the amounts.
    function testFuzz_partsSumUpToThePenalty(uint256 seed, uint256 bps) public {
        bps = bound(bps, 0, 10_000);
        increase(1, 70_000e18);
        uint256[] memory amounts = new uint256[](seed % 12);
        for (uint256 i = 0; i < amounts.length; ++i) {
            amounts[i] = bound(uint256(keccak256(abi.encode(seed, i))), 1e18, 5_000e18);
            decrease(1, amounts[i]);
        }
        uint256 locked = pool.sequencer(1).amount;
        uint256 base = pool.stakeOf(1);
        uint256 penalty = slash(1, bps, 0);
        eq(penalty, base * bps / 10_000, "penalty");
        eq(pool.stakeOf(1), base - penalty, "stake");
        for (uint256 i = 0; i < amounts.length; ++i) {
            uint256 loss = amounts[i] - pool.ticket(i + 1).amount;
            uint256 part = penalty * amounts[i] / base;
            yes(loss == part || loss == part + 1, "part of the ticket");
        }
        uint256 rest = pool.ticketsOf(1).length > amounts.length ? pool.ticket(amounts.length + 1).amount : 0;
        uint256 ofLock = penalty * locked / base;
        yes(locked - rest == ofLock || locked - rest == ofLock + 1, "part of the lock");
    }
}

contract PoolInsuranceTest is PoolBase {
    function setUp() public override {
        insurance = ALICE;
        super.setUp();
    }

    function test_whatIsNotTheReportersGoesToTheInsurance() public {
        vm.prank(GOVERNOR);
        pool.setReporterShare(2_500);
        slash(1, 500, 0);
        eq(pool.slashShareOf(REPORTER), 250e18, "a quarter of 1,000");
        eq(token.balanceOf(ALICE), 750e18, "insurance");
        vm.prank(SLASHER);
        pool.slash(2, 0, 1_000e18, address(0));
        eq(token.balanceOf(ALICE), 1_750e18, "all of it where nobody reported");
        eq(pool.totalSlashShares(), 250e18, "shares");
    }

    /// @dev The governor could once turn it to itself.
    function test_nobodyTurnsTheInsuranceToAnotherAddress() public {
        eq(pool.INSURANCE(), ALICE, "insurance");
        (bool ok,) = address(pool).call(abi.encodeWithSignature("setSlashSplit(uint16,address)", 0, MALLORY));
        yes(!ok, "no such call");
    }

    function test_thePoolInsuresNothingItself() public {
        SequencerPool.Config memory c = poolConfig(address(portal), 4);
        c.insurance = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        yes(create("SequencerPool", abi.encode(c)) == address(0), "refused");
    }
}

contract PoolJailTest is PoolBase {
    function test_jailNeedsMissedSlotsAndAnActiveMember() public {
        refuse(abi.encodeWithSelector(SequencerPool.NotJailable.selector, 1));
        pool.jail(1);
        uint64 queued = join(MIN_LOCK);
        jailBook.accuse(queued);
        refuse(wrongStatus(queued, Status.Queued));
        pool.jail(queued);
        jail(1);
        refuse(wrongStatus(1, Status.Jailed));
        pool.jail(1);
        exit(2);
        jailBook.accuse(2);
        refuse(wrongStatus(2, Status.Exiting));
        pool.jail(2);
    }

    function test_theJailedAreOutAtTheNextRotationAndComeBackThroughTheQueue() public {
        jail(1);
        yes(inNewest(1), "the running committee goes on");
        rotateLater();
        eq(sizeOfNewest(), 3, "out");
        uint256 until = now_() - ROTATION + JAIL;
        vm.prank(ownerOf[1]);
        refuse(abi.encodeWithSelector(SequencerPool.StillJailed.selector, 1, until));
        pool.unjail(1);
        vm.warp(until);
        vm.prank(MALLORY);
        refuse(abi.encodeWithSelector(SequencerPool.NotOwner.selector, MALLORY, 1));
        pool.unjail(1);
        vm.prank(ownerOf[1]);
        pool.unjail(1);
        expectStatus(1, Status.Queued);
        yes(!jailBook.jailable(1), "what it missed is forgotten");
        rotateLater();
        yes(inNewest(1), "back");
        eq(pool.sequencer(1).amount, MIN_LOCK, "nothing lost");
        vm.prank(ownerOf[1]);
        refuse(wrongStatus(1, Status.Active));
        pool.unjail(1);
    }

    function test_comingBackBeforeARotationCountsOnce() public {
        jail(1);
        vm.warp(now_() + JAIL);
        vm.prank(ownerOf[1]);
        pool.unjail(1);
        rotateLater();
        eq(sizeOfNewest(), 4, "committee");
        eq(pool.activeSet().length, 4, "active set");
    }

    function test_comingBackNeedsTheMinimumOfToday() public {
        jail(1);
        vm.prank(GOVERNOR);
        pool.setLockLimits(MIN_LOCK + 1, MAX_LOCK);
        vm.warp(now_() + JAIL);
        vm.prank(ownerOf[1]);
        refuse(abi.encodeWithSelector(SequencerPool.LockOutOfRange.selector, MIN_LOCK, MIN_LOCK + 1, MAX_LOCK));
        pool.unjail(1);
        increase(1, 1);
        vm.prank(ownerOf[1]);
        pool.unjail(1);
    }

    /// @dev `forceExit` waits for no pause, so coming back must not either: a pause of an unbonding period would make every jail final.
    function test_neitherAPauseNorAFullQueueKeepsAnybodyInJail() public {
        jail(1);
        while (pool.queueLength() < pool.MAX_QUEUE()) {
            join(MIN_LOCK + 1);
        }
        vm.prank(GOVERNOR);
        pool.setJoinsPaused(true);
        vm.warp(now_() + JAIL);
        vm.prank(ownerOf[1]);
        pool.unjail(1);
        expectStatus(1, Status.Queued);
        eq(pool.queueLength(), pool.MAX_QUEUE() + 1, "behind the full queue");
        vm.warp(now_() + UNBONDING + 1);
        refuse(wrongStatus(1, Status.Queued));
        pool.forceExit(1);
    }

    function test_theJailedMayLeaveAtOnce() public {
        jail(1);
        exit(1);
        expectStatus(1, Status.None);
        eq(pool.ticket(1).amount, MIN_LOCK, "ticket");
    }

    /// @dev A jailable member used to be removable for good by whoever credited its bad epochs and none after them.
    function test_forceExitNeedsJail() public {
        uint64 queued = join(MIN_LOCK);
        refuse(wrongStatus(queued, Status.Queued));
        pool.forceExit(queued);
        jailBook.accuse(1);
        vm.warp(now_() + 2 * UNBONDING);
        refuse(wrongStatus(1, Status.Active));
        pool.forceExit(1);
        exit(2);
        jailBook.accuse(2);
        refuse(wrongStatus(2, Status.Exiting));
        pool.forceExit(2);
        pool.jail(1);
        refuse(abi.encodeWithSelector(SequencerPool.StillJailed.selector, 1, now_() + UNBONDING));
        pool.forceExit(1);
        vm.warp(now_() + UNBONDING + 1);
        vm.prank(MALLORY);
        pool.forceExit(1);
        expectStatus(1, Status.None);
        eq(ticket.ownerOf(1), ownerOf[1], "the stake is the owner's");
        refuse(wrongStatus(1, Status.None));
        pool.forceExit(1);
        rotateLater();
        eq(sizeOfNewest(), 3, "3, 4 and the queued one");
    }

    function test_theJailedHaveTheUnbondingPeriodToComeBack() public {
        jail(1);
        uint256 until = now_() + UNBONDING;
        vm.warp(until);
        refuse(abi.encodeWithSelector(SequencerPool.StillJailed.selector, 1, until));
        pool.forceExit(1);
        vm.warp(until + 1);
        pool.forceExit(1);
        expectStatus(1, Status.None);
    }
}

contract PoolPosterTest is PoolBase {
    function test_theOwnerNamesWhoPosts() public {
        address poster = posterAt(1);
        eq(pool.posterOf(1), poster, "named with the lock");
        yes(pool.isPoster(poster), "known");
        yes(!pool.isPoster(ownerOf[1]), "the owner is not, unless it says so");
        yes(!pool.isPoster(address(0)), "nobody is nobody");
        refuse(abi.encodeWithSelector(SequencerPool.NotOwner.selector, MALLORY, 1));
        vm.prank(MALLORY);
        pool.setPoster(1, MALLORY);
        vm.expectEmit(address(pool));
        emit SequencerPool.PosterSet(1, ALICE);
        setPoster(1, ALICE);
        yes(pool.isPoster(ALICE) && !pool.isPoster(poster), "one at a time");
        setPoster(1, address(0));
        yes(!pool.isPoster(ALICE) && !pool.isPoster(address(0)), "none");
    }

    /// @dev Another sequencer that names the same account, and takes it back, changes nothing for the first.
    function test_nobodyTakesANameAwayThatAnotherGave() public {
        address poster = posterAt(1);
        setPoster(2, poster);
        setPoster(2, poster);
        setPoster(2, address(0));
        yes(pool.isPoster(poster), "still named by the first");
        setPoster(2, poster);
        slash(2, 10_000, 0);
        yes(pool.isPoster(poster), "the second is gone, the first is not");
    }

    function test_whoLeavesNamesNobody() public {
        slash(1, 500, 0);
        yes(!pool.isPoster(posterAt(1)), "slashed");
        exit(2);
        yes(pool.isPoster(posterAt(2)), "as long as it is there");
        refuse(wrongStatus(2, Status.Exiting));
        vm.prank(ownerOf[2]);
        pool.setPoster(2, ALICE);
        rotateLater();
        yes(!pool.isPoster(posterAt(2)), "gone");
        refuse(wrongStatus(2, Status.None));
        vm.prank(ownerOf[2]);
        pool.setPoster(2, ALICE);
        jail(3);
        yes(pool.isPoster(posterAt(3)), "the jailed are there");
        exit(3);
        eq(pool.posterOf(3), address(0), "until they leave");
    }

    function setPoster(uint64 id, address poster) private {
        vm.prank(ownerOf[id]);
        pool.setPoster(id, poster);
    }
}

contract PoolGovernorTest is PoolBase {
    function outOfRange(string memory field, uint256 value) private pure returns (bytes memory) {
        return abi.encodeWithSelector(SequencerPool.ConfigOutOfRange.selector, field, value);
    }

    function test_onlyTheGovernorSets() public {
        bytes memory reason = abi.encodeWithSelector(SequencerPool.NotGovernor.selector, address(this));
        refuse(reason);
        pool.setLockLimits(MIN_LOCK, MAX_LOCK);
        refuse(reason);
        pool.setMaxCommittee(4);
        refuse(reason);
        pool.setJailPeriod(1);
        refuse(reason);
        pool.setReporterShare(0);
        refuse(reason);
        pool.setJoinsPaused(true);
    }

    function test_everyParameterHasBounds() public {
        vm.startPrank(GOVERNOR, GOVERNOR);
        refuse(outOfRange("minLock", MIN_LOCK / 10 - 1));
        pool.setLockLimits(MIN_LOCK / 10 - 1, MAX_LOCK);
        refuse(outOfRange("minLock", MAX_LOCK));
        pool.setLockLimits(MAX_LOCK, MAX_LOCK - 1);
        refuse(outOfRange("maxLock", 10 * uint256(MAX_LOCK) + 1));
        pool.setLockLimits(MIN_LOCK, 10 * MAX_LOCK + 1);
        refuse(outOfRange("maxCommittee", 3));
        pool.setMaxCommittee(3);
        refuse(outOfRange("maxCommittee", 101));
        pool.setMaxCommittee(101);
        refuse(outOfRange("jailPeriod", UNBONDING + 1));
        pool.setJailPeriod(UNBONDING + 1);
        refuse(outOfRange("reporterShareBps", 5_001));
        pool.setReporterShare(5_001);

        pool.setLockLimits(MIN_LOCK / 10, 10 * MAX_LOCK);
        pool.setMaxCommittee(4);
        pool.setJailPeriod(UNBONDING);
        pool.setReporterShare(5_000);
        pool.setJoinsPaused(true);
        vm.stopPrank();
        eq(pool.minLock(), MIN_LOCK / 10, "minLock");
        eq(pool.maxLock(), 10 * MAX_LOCK, "maxLock");
        eq(pool.maxCommittee(), 4, "maxCommittee");
        eq(pool.jailPeriod(), UNBONDING, "jailPeriod");
        eq(pool.reporterShareBps(), 5_000, "reporterShareBps");
        yes(pool.joinsPaused(), "paused");
    }

    function test_fewerSeatsCountFromTheNextRotation() public {
        join(MAX_LOCK);
        vm.prank(GOVERNOR);
        pool.setMaxCommittee(4);
        rotateLater();
        eq(sizeOfNewest(), 4, "seats");
        yes(!inNewest(1), "the smallest lock waits");
        eq(pool.activeSet().length, 5, "active set");
    }

    function test_refusesAConfigOutOfRange() public {
        SequencerPool.Config memory c = poolConfig(address(portal), 4);
        (c.minLock, c.maxLock) = (2, 1);
        refuse(outOfRange("minLock", 2));
        create("SequencerPool", abi.encode(c));
        (c.minLock, c.maxLock) = (0, 1);
        refuse(outOfRange("minLock", 0));
        create("SequencerPool", abi.encode(c));
        (c.minLock, c.maxCommittee) = (1, 101);
        refuse(outOfRange("maxCommittee", 101));
        create("SequencerPool", abi.encode(c));
        c.maxCommittee = 0;
        refuse(outOfRange("maxCommittee", 0));
        create("SequencerPool", abi.encode(c));
        (c.maxCommittee, c.jailPeriod) = (1, UNBONDING + 1);
        refuse(outOfRange("jailPeriod", UNBONDING + 1));
        create("SequencerPool", abi.encode(c));
        (c.jailPeriod, c.reporterShareBps) = (0, 5_001);
        refuse(outOfRange("reporterShareBps", 5_001));
        create("SequencerPool", abi.encode(c));
    }
}

/// @dev Findings in the code of the original (F numbers of the project's list) that concern stake and committees.
contract PoolFaultsTest is PoolBase {
    /// @dev Original: heads vote while stake decides power, which is bearable only behind a whitelist. Here heads have a public price.
    function test_F6_thePriceOfVotesIsPublicAndEveryHeadPaysIt() public {
        eq(pool.costToStall(), 2 * uint256(MIN_LOCK), "2 of 4");
        eq(pool.costToFinalise(), 3 * uint256(MIN_LOCK), "3 of 4");
        for (uint256 i = 0; i < 3; ++i) {
            join(MIN_LOCK);
        }
        rotateLater();
        eq(pool.costToStall(), 3 * uint256(MIN_LOCK), "3 of 7");
        eq(pool.costToFinalise(), 5 * uint256(MIN_LOCK), "5 of 7");
        (,,,,, uint64[] memory ids) = pool.committee(2);
        for (uint256 i = 0; i < ids.length; ++i) {
            yes(pool.sequencer(ids[i]).amount >= pool.minLock(), "no head below the price");
        }
    }

    /// @dev Original: two of n signers offline stop every submission. Here a rotation needs no signature and no member.
    function test_F8_aRotationNeedsNoMember() public {
        for (uint64 id = 2; id <= 4; ++id) {
            jail(id);
        }
        vm.warp(now_() + ROTATION);
        (bytes memory packed, bytes memory code) = choose();
        bytes memory header = passSealBlock(keccak256("randao"));
        vm.prank(MALLORY);
        pool.seal(header, packed, code);
        eq(sizeOfNewest(), 1, "the silent ones are out");
    }

    /// @dev Original: one key set from genesis, no path to another. Here each member replaces its key alone, and members come and go.
    function test_F9_keysAndMembersChangeWithoutCeremony() public {
        updateKeys(1, 101);
        updateKeys(2, 102);
        exit(3);
        uint64 newcomer = join(MIN_LOCK);
        rotateLater();
        yes(inNewest(1) && inNewest(2) && !inNewest(3) && inNewest(4) && inNewest(newcomer), "members");
        uint256 sum = addmod(secretAt(101), secretAt(102), Signer.ORDER);
        sum = addmod(sum, addmod(secretOf[4], secretOf[newcomer], Signer.ORDER), Signer.ORDER);
        eq(pool.aggregateKey(2), Signer.publicKey(sum), "aggregate of the new keys");
    }

    /// @dev Original: 80% of a full lock leaves at once and escapes a later slash.
    function test_F10_partialWithdrawalGoesThroughTheUnbondingQueue() public {
        increase(1, MAX_LOCK - MIN_LOCK);
        uint256 held = token.balanceOf(address(pool));
        decrease(1, MAX_LOCK - MIN_LOCK);
        eq(token.balanceOf(address(pool)), held, "nothing is paid");
        vm.warp(now_() + UNBONDING - 1);
        vm.prank(ownerOf[1]);
        refuse(abi.encodeWithSelector(SequencerPool.StillUnbonding.selector, 1, now_() + 1));
        pool.claim(1);
        eq(slash(1, 10_000, 0), MAX_LOCK, "all of it is still there to be slashed");
    }

    /// @dev Original: an owner without a reward recipient cannot be force-unlocked.
    function test_F11_noRecordBlocksAForcedExit() public {
        Keys memory keys = keysOf(77);
        bytes memory proof = proofOf(secretAt(77), keys, ALICE);
        vm.prank(ALICE);
        refuse(abi.encodeWithSelector(SequencerPool.RecipientZero.selector));
        pool.lock(keys, proof, MIN_LOCK, address(0), address(0));

        // Owned by a contract that takes neither tokens nor tickets, every ticket's place taken, keys replaced, below a raised minimum.
        increase(1, 31e18);
        for (uint256 i = 0; i < 31; ++i) {
            decrease(1, 1e18);
        }
        updateKeys(1, 78);
        vm.prank(ownerOf[1]);
        pool.setRecipient(1, address(token));
        vm.prank(ownerOf[1]);
        pool.transferOwnership(1, address(token));
        vm.prank(GOVERNOR);
        pool.setLockLimits(MAX_LOCK, MAX_LOCK);
        jailBook.accuse(1);
        vm.prank(MALLORY);
        pool.jail(1);
        rotateLater();
        yes(!inNewest(1), "out");
        vm.warp(now_() + UNBONDING);
        vm.prank(MALLORY);
        pool.forceExit(1);
        expectStatus(1, Status.None);
        eq(ticket.ownerOf(32), address(token), "ticket");
    }

    /// @dev Original: one stale record stops payments for all. Here no record, however it was left, stops a rotation.
    function test_F12_noRecordStopsARotation() public {
        uint64 queued = join(MIN_LOCK);
        slash(1, 10_000, 0);
        jail(2);
        exit(3);
        slash(queued, 10_000, 0);
        vm.prank(ownerOf[3]);
        pool.transferOwnership(3, address(token));
        rotateLater();
        eq(sizeOfNewest(), 1, "the fourth goes on");
    }

    /// @dev Original: the owner moves the window in which a fault can be proven. Here the period is part of the code.
    function test_F17_thePeriodOfATicketIsFixedAtItsIssue() public {
        decrease(4, 1e18);
        uint256 claimableAt = pool.ticket(1).claimableAt;
        vm.startPrank(GOVERNOR, GOVERNOR);
        pool.setJailPeriod(0);
        pool.setLockLimits(MAX_LOCK, MAX_LOCK);
        pool.setReporterShare(5_000);
        pool.setJoinsPaused(true);
        vm.stopPrank();
        eq(pool.ticket(1).claimableAt, claimableAt, "ticket");
        eq(pool.UNBONDING_PERIOD(), UNBONDING, "period");
    }
}
