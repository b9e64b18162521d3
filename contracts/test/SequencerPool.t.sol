// SequencerPool: the life of a lock, proofs of possession, and which committee a rotation fixes.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IPortal} from "../src/interfaces/IPortal.sol";
import {Portal} from "../src/l1/Portal.sol";
import {Sequencer, Status} from "../src/interfaces/ISequencerPool.sol";
import {KeyErrors, Keys} from "../src/l1/CommitteeBuilder.sol";
import {SequencerPool} from "../src/l1/SequencerPool.sol";
import {CommitteeRegistry} from "../src/l2/CommitteeRegistry.sol";
import {Aliasing} from "../src/lib/Aliasing.sol";
import {L1Header} from "../src/lib/L1Header.sol";
import {Predeploys} from "../src/lib/Predeploys.sol";
import {Chain, TestHeader} from "./base/Chain.sol";
import {Signer} from "./base/Signer.sol";
import {Vm, vm} from "./base/Vm.sol";

/// @notice Does in one transaction what a caller would that looks for a schedule of its liking.
contract Grinder {
    function grind(SequencerPool pool, uint256 wei_, bytes calldata header, bytes calldata packed, bytes calldata code)
        external
    {
        IERC20(pool.TOKEN()).approve(address(pool), wei_);
        pool.increaseFor(1, wei_);
        pool.seal(header, packed, code);
    }
}

contract SequencerPoolTest is Chain {
    address private constant ALICE = address(0xa11ce);
    address private constant MALLORY = address(0x3a110);

    function setUp() public {
        deploy(4);
    }

    // ---- lock ----

    function test_lockQueuesAndRotationActivates() public {
        uint256 before = token.balanceOf(address(pool));
        uint64 id = join(MIN_LOCK);
        eq(token.balanceOf(address(pool)), before + MIN_LOCK, "stake");
        Sequencer memory s = pool.sequencer(id);
        eq(uint256(s.status), uint256(Status.Queued), "queued");
        eq(s.owner, ownerOf[id], "owner");
        eq(s.recipient, ownerOf[id], "recipient");
        eq(pool.queueLength(), 1, "queue");
        rotateLater();
        eq(uint256(pool.sequencer(id).status), uint256(Status.Active), "active");
        eq(pool.queueLength(), 0, "queue");
        (uint256 size,,,,,) = pool.committee(2);
        eq(size, 5, "committee");
    }

    function test_possessionMessageIsAsDocumented() public view {
        Keys memory keys = keysOf(77);
        eq(
            pool.possessionMessage(ALICE, keys),
            abi.encodePacked(
                hex"0b", "OCEANID_POP", uint64(31_337), address(pool), ALICE, keys.identity, keys.consensusKey
            ),
            "bytes"
        );
        eq(pool.possessionMessage(ALICE, keys).length, 348, "length");
    }

    function test_refusesAProofSeenInAnothersTransaction() public {
        Keys memory keys = keysOf(77);
        bytes memory proof = Signer.sign(secretAt(77), pool.possessionMessage(ALICE, keys), Signer.POSSESSION);
        fund(MALLORY, address(pool), MIN_LOCK);
        expectLockRefusal(
            MALLORY,
            keys,
            proof,
            MIN_LOCK,
            abi.encodeWithSelector(KeyErrors.PossessionNotProven.selector, MALLORY, keys.identity)
        );
        // Nor with another identity beside the same key.
        Keys memory other = Keys({identity: identityAt(78), consensusKey: keys.consensusKey});
        expectLockRefusal(
            ALICE,
            other,
            proof,
            MIN_LOCK,
            abi.encodeWithSelector(KeyErrors.PossessionNotProven.selector, ALICE, other.identity)
        );
        fund(ALICE, address(pool), MIN_LOCK);
        vm.prank(ALICE);
        pool.lock(keys, proof, MIN_LOCK, ALICE, address(0));
    }

    function test_refusesAProofOfAnotherPoolOrChain() public {
        Keys memory keys = keysOf(77);
        bytes memory elsewhere =
            abi.encodePacked(hex"0b", "OCEANID_POP", uint64(1), address(pool), ALICE, keys.identity, keys.consensusKey);
        bytes memory reason = abi.encodeWithSelector(KeyErrors.PossessionNotProven.selector, ALICE, keys.identity);
        expectLockRefusal(ALICE, keys, Signer.sign(secretAt(77), elsewhere, Signer.POSSESSION), MIN_LOCK, reason);
        elsewhere = abi.encodePacked(
            hex"0b", "OCEANID_POP", uint64(31_337), address(this), ALICE, keys.identity, keys.consensusKey
        );
        expectLockRefusal(ALICE, keys, Signer.sign(secretAt(77), elsewhere, Signer.POSSESSION), MIN_LOCK, reason);
    }

    function test_refusesAVoteAsAProof() public {
        Keys memory keys = keysOf(77);
        bytes memory vote = Signer.sign(secretAt(77), pool.possessionMessage(ALICE, keys), Signer.VOTE);
        expectLockRefusal(
            ALICE,
            keys,
            vote,
            MIN_LOCK,
            abi.encodeWithSelector(KeyErrors.PossessionNotProven.selector, ALICE, keys.identity)
        );
    }

    /// @dev A key made as (target - sum of the others) would let its maker sign for the whole committee; it has no known secret.
    function test_refusesARogueKey() public {
        bytes memory target = Signer.publicKey(42);
        bytes memory others = negated(pool.aggregateKey(1));
        (, bytes memory rogue) = address(0x0d).staticcall(abi.encodePacked(target, others));
        Keys memory keys = Keys({identity: identityAt(77), consensusKey: rogue});
        bytes memory proof = Signer.sign(42, pool.possessionMessage(MALLORY, keys), Signer.POSSESSION);
        expectLockRefusal(
            MALLORY,
            keys,
            proof,
            MIN_LOCK,
            abi.encodeWithSelector(KeyErrors.PossessionNotProven.selector, MALLORY, keys.identity)
        );
    }

    function test_refusesMalformedKeys() public {
        Keys memory keys = keysOf(77);
        bytes memory proof = Signer.sign(secretAt(77), pool.possessionMessage(ALICE, keys), Signer.POSSESSION);
        Keys memory bad = Keys({identity: bytes32(uint256(2) << 248), consensusKey: keys.consensusKey});
        expectLockRefusal(
            ALICE, bad, proof, MIN_LOCK, abi.encodeWithSelector(KeyErrors.IdentityNotOnCurve.selector, bad.identity)
        );
        bad = Keys({identity: keys.identity, consensusKey: new bytes(96)});
        expectLockRefusal(
            ALICE, bad, proof, MIN_LOCK, abi.encodeWithSelector(KeyErrors.ConsensusKeyLength.selector, 96, 256)
        );
        bad = Keys({identity: keys.identity, consensusKey: new bytes(256)});
        expectLockRefusal(
            ALICE,
            bad,
            new bytes(128),
            MIN_LOCK,
            abi.encodeWithSelector(KeyErrors.PossessionNotProven.selector, ALICE, keys.identity)
        );
    }

    function test_refusesKeysInUse() public {
        Keys memory first = keysOf(1);
        Keys memory keys = Keys({identity: first.identity, consensusKey: Signer.publicKey(5)});
        expectLockRefusal(
            ALICE, keys, "", MIN_LOCK, abi.encodeWithSelector(SequencerPool.IdentityTaken.selector, keys.identity, 1)
        );
        keys = Keys({identity: identityAt(77), consensusKey: first.consensusKey});
        expectLockRefusal(
            ALICE,
            keys,
            "",
            MIN_LOCK,
            abi.encodeWithSelector(SequencerPool.ConsensusKeyTaken.selector, keccak256(first.consensusKey), 1)
        );
    }

    function test_refusesAmountsOutOfRange() public {
        Keys memory keys = keysOf(77);
        expectLockRefusal(
            ALICE,
            keys,
            "",
            MIN_LOCK - 1,
            abi.encodeWithSelector(SequencerPool.LockOutOfRange.selector, MIN_LOCK - 1, MIN_LOCK, MAX_LOCK)
        );
        expectLockRefusal(
            ALICE,
            keys,
            "",
            uint256(MAX_LOCK) + 1,
            abi.encodeWithSelector(SequencerPool.LockOutOfRange.selector, uint256(MAX_LOCK) + 1, MIN_LOCK, MAX_LOCK)
        );
        vm.expectRevert(abi.encodeWithSelector(SequencerPool.RecipientZero.selector));
        pool.lock(keys, "", MIN_LOCK, address(0), address(0));
    }

    // ---- increase, exit, claim ----

    function test_increaseCountsFromTheNextRotation() public {
        fund(ownerOf[1], address(pool), 5e18);
        vm.prank(ownerOf[1]);
        pool.increase(1, 5e18);
        eq(pool.sequencer(1).amount, MIN_LOCK + 5e18, "amount");
        vm.recordLogs();
        rotateLater();
        bytes memory packed = lastPackedMembers();
        for (uint256 i = 0; i < 4; ++i) {
            (uint64 id,,, uint128 weight) = member(packed, i);
            eq(weight, pool.sequencer(id).amount, "weight");
        }
        vm.prank(ownerOf[1]);
        vm.expectRevert(
            abi.encodeWithSelector(SequencerPool.LockOutOfRange.selector, uint256(MAX_LOCK) + 1, MIN_LOCK, MAX_LOCK)
        );
        pool.increase(1, MAX_LOCK - MIN_LOCK - 5e18 + 1);
    }

    // ---- rotation ----

    function test_rotationWaitsForTheInterval() public {
        uint256 next = uint256(pool.lastRotation()) + ROTATION;
        vm.warp(next - 1);
        vm.expectRevert(abi.encodeWithSelector(SequencerPool.RotationTooEarly.selector, next));
        pool.rotate();
        vm.warp(next);
        pool.rotate();
    }

    function test_churnIsLimited() public {
        for (uint256 i = 0; i < 6; ++i) {
            join(MIN_LOCK);
        }
        rotateLater();
        (uint256 size,,,,,) = pool.committee(2);
        eq(size, 8, "four join");
        eq(pool.queueLength(), 2, "two wait");
        rotateLater();
        (size,,,,,) = pool.committee(3);
        eq(size, 10, "in order");
    }

    function test_committeeIsWhatL2IsTold() public {
        join(MAX_LOCK);
        vm.warp(now_() + ROTATION);
        (bytes memory chosen, bytes memory code) = choose();
        bytes memory header = passSealBlock(keccak256("randao"));
        vm.warp(now_() + 60);
        pool.seal(header, chosen, code);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        (bytes32 digest, bytes32 seed, bytes memory packed) = fixedCommittee(logs);
        eq(packed, chosen, "as chosen");
        eq(seed, keccak256(abi.encodePacked(keccak256("randao"), uint64(2), keccak256(packed))), "seed");
        eq(digest, keccak256(abi.encodePacked(uint64(2), seed, packed)), "digest");
        (uint256 size, bytes32 storedDigest, bytes32 storedSeed, uint64 fixedAt,, uint64[] memory ids) =
            pool.committee(2);
        eq(storedDigest, digest, "stored digest");
        eq(storedSeed, seed, "stored seed");
        eq(fixedAt, now_(), "fixed at");
        eq(packed.length, size * 152, "packed");

        uint256 sum;
        bytes32 previous = 0;
        for (uint256 i = 0; i < size; ++i) {
            (uint64 id, bytes32 identity, bytes memory compressed, uint128 weight) = member(packed, i);
            eq(id, ids[i], "id");
            yes(identity > previous, "ascending identities");
            eq(pool.idOfIdentity(identity), id, "identity");
            eq(weight, pool.sequencer(id).amount, "weight");
            eq(pool.memberKey(2, i), Signer.publicKey(secretOf[id]), "key");
            yes(uint8(compressed[0]) & 0x80 != 0, "compressed");
            sum = addmod(sum, secretOf[id], Signer.ORDER);
            previous = identity;
        }
        eq(pool.aggregateKey(2), Signer.publicKey(sum), "aggregate");
        vm.expectRevert(abi.encodeWithSelector(SequencerPool.UnknownMember.selector, 2, size));
        pool.memberKey(2, size);
        vm.expectRevert(abi.encodeWithSelector(SequencerPool.UnknownCommittee.selector, 3));
        pool.aggregateKey(3);

        // The deposit that carries it.
        (bytes32 from, bytes32 to, bytes memory opaque) = deposit(logs);
        eq(from, bytes32(uint256(uint160(Aliasing.toL2(address(pool))))), "from");
        eq(to, bytes32(uint256(uint160(Predeploys.COMMITTEE_REGISTRY))), "to");
        eq(
            opaque,
            abi.encodePacked(
                uint256(0),
                uint256(0),
                uint64(300_000 + 40_000 * 5),
                false,
                abi.encodeCall(CommitteeRegistry.setCommittee, (2, seed, packed))
            ),
            "opaque data"
        );
    }

    function test_largestLocksFormTheCommittee() public {
        // A pool whose committee has three seats; seven sequencers, two of them with equal locks at the edge.
        pool = createPool(address(portal), 3);
        uint256[7] memory extra = [uint256(5), 9, 1, 7, 5, 5, 2];
        fundPortalGas();
        for (uint256 i = 0; i < 7; ++i) {
            join(MIN_LOCK + extra[i] * 1e18);
        }
        rotateAndSeal();
        expectMembers(1, [uint64(1), 2, 4]); // 9, 7, and of the fives the smallest id
        vm.prank(ownerOf[2]);
        pool.exit(2);
        rotateLater();
        expectMembers(2, [uint64(1), 4, 5]);
        fund(ownerOf[3], address(pool), 50e18);
        vm.prank(ownerOf[3]);
        pool.increase(3, 50e18);
        rotateLater();
        expectMembers(3, [uint64(1), 3, 4]);
        eq(pool.activeSet().length, 6, "active set");
    }

    /// forge-config: default.fuzz.runs = 48
    function testFuzz_committeesStaySortedAndComplete(uint256 seed) public {
        for (uint256 round = 0; round < 4; ++round) {
            uint256 r = uint256(keccak256(abi.encode(seed, round)));
            for (uint256 i = 0; i < r % 4; ++i) {
                join(MIN_LOCK + (r >> 8) % (MAX_LOCK - MIN_LOCK));
            }
            uint64 leaver = uint64((r >> 128) % pool.lastId() + 1);
            if (leaver > 1 && uint256(pool.sequencer(leaver).status) == uint256(Status.Active)) {
                vm.prank(ownerOf[leaver]);
                pool.exit(leaver);
            }
            if (r >> 255 == 1) pool.packKeys();
            vm.warp(now_() + ROTATION);
            vm.recordLogs();
            uint64 id = rotateAndSeal();
            (,, bytes memory packed) = fixedCommittee(vm.getRecordedLogs());
            uint256 sum;
            uint256 active;
            for (uint64 s = 1; s <= pool.lastId(); ++s) {
                if (uint256(pool.sequencer(s).status) != uint256(Status.Active)) continue;
                sum = addmod(sum, secretOf[s], Signer.ORDER);
                ++active;
            }
            eq(packed.length, active * 152, "everybody active is a member");
            eq(pool.aggregateKey(id), Signer.publicKey(sum), "aggregate");
            bytes32 previous = 0;
            for (uint256 i = 0; i < active; ++i) {
                (uint64 member_, bytes32 identity,,) = member(packed, i);
                yes(identity > previous, "ascending identities");
                eq(pool.memberKey(id, i), Signer.publicKey(secretOf[member_]), "key");
                previous = identity;
            }
        }
    }

    function test_packedKeysChangeNothingButTheirPlace() public {
        address page = pool.packKeys();
        eq(page.code.length, 1 + 4 * 224, "page");
        for (uint64 id = 1; id <= 4; ++id) {
            eq(pool.sequencer(id).keyPage, page, "page of the member");
        }
        bytes memory before = pool.aggregateKey(1);
        rotateLater();
        eq(pool.aggregateKey(2), before, "aggregate");
    }

    function test_newcomersShareAPageOnceTheyAreSixteen() public {
        address[] memory pages = new address[](20);
        for (uint256 i = 0; i < 11; ++i) {
            join(MIN_LOCK);
        }
        for (uint256 round = 0; round < 3; ++round) {
            rotateLater();
        }
        for (uint64 id = 1; id <= 15; ++id) {
            pages[id] = pool.sequencer(id).keyPage;
            eq(pages[id].code.length, 225, "alone");
        }
        uint64 last = join(MIN_LOCK);
        bytes memory key = pool.memberKey(4, 7);
        rotateLater();
        address page = pool.sequencer(last).keyPage;
        eq(page.code.length, 1 + 16 * 224, "shared");
        for (uint64 id = 1; id <= 16; ++id) {
            eq(pool.sequencer(id).keyPage, page, "page");
        }
        // The old committee's code still names the old pages; its keys read the same.
        eq(pool.memberKey(4, 7), key, "key");
        (uint256 size,,,,, uint64[] memory ids) = pool.committee(5);
        eq(size, 16, "size");
        for (uint256 i = 0; i < size; ++i) {
            eq(pool.memberKey(5, i), Signer.publicKey(secretOf[ids[i]]), "key");
        }
        // And a packed record is not packed again.
        rotateLater();
        eq(pool.sequencer(last).keyPage, page, "stays");
    }

    function test_costOfAttack() public view {
        eq(pool.costToStall(), 2 * uint256(MIN_LOCK), "stall: 2 of 4");
        eq(pool.costToFinalise(), 3 * uint256(MIN_LOCK), "finalise: 3 of 4");
    }

    // ---- the seal ----

    /// @dev The seed was once `block.prevrandao` of the rotation's own block over all locks, so one transaction could read it, add a lock of
    ///      x wei ground for the purpose, and rotate: the caller chose the schedule. Now whatever is done to the pool once the randomness
    ///      is there, in the transaction of the seal or before it, changes nothing.
    function test_noLockChangesAScheduleOnceItsRandomnessIsKnown() public {
        join(MIN_LOCK);
        vm.warp(now_() + ROTATION);
        (bytes memory packed, bytes memory code) = choose();
        bytes memory header = passSealBlock(keccak256("known now"));
        vm.prevrandao(keccak256("of the block that seals"));
        uint256 state = vm.snapshotState();
        pool.seal(header, packed, code);
        (, bytes32 digest, bytes32 seed,,,) = pool.committee(2);
        vm.revertToState(state);

        Grinder grinder = new Grinder();
        fund(address(grinder), address(pool), 1_000);
        for (uint256 x = 1; x <= 4; ++x) {
            state = vm.snapshotState();
            grinder.grind(pool, x, header, packed, code);
            (, bytes32 again, bytes32 sameSeed,,,) = pool.committee(2);
            eq(sameSeed, seed, "seed");
            eq(again, digest, "members, weights and seed");
            vm.revertToState(state);
        }
        // Nor does the state of a member: it sits there as in any committee that is fixed.
        vm.prank(SLASHER);
        pool.slash(1, 10_000, 0, address(0));
        jailBook.accuse(2);
        pool.jail(2);
        vm.roll(height() + 100);
        pool.seal(header, packed, code);
        (, bytes32 last,,,,) = pool.committee(2);
        eq(last, digest, "as chosen");
    }

    function test_theRotationItselfDecidesNoSeed() public {
        vm.warp(now_() + ROTATION);
        uint256 state = vm.snapshotState();
        vm.prevrandao(keccak256("one"));
        (bytes memory packed, bytes memory code) = choose();
        vm.revertToState(state);
        vm.prevrandao(keccak256("other"));
        (bytes memory same, bytes memory sameCode) = choose();
        eq(packed, same, "members");
        eq(code, sameCode, "code");
        eq(pool.latestCommittee(), 1, "no committee before its seal");
    }

    function test_aSealTakesTheHeaderOfItsBlockAndTheChoice() public {
        vm.expectRevert(abi.encodeWithSelector(SequencerPool.NothingToSeal.selector));
        pool.seal("", "", "");
        vm.warp(now_() + ROTATION);
        (bytes memory packed, bytes memory code) = choose();
        (, uint64 chosenIn, uint64 sealBlock) = pool.draft();
        eq(chosenIn, height(), "chosen in");
        eq(sealBlock, height() + SEAL_DELAY, "seal block");
        bytes memory header = l1Header(sealBlock, keccak256("randao"));
        vm.roll(sealBlock);
        vm.expectRevert(abi.encodeWithSelector(SequencerPool.SealTooEarly.selector, sealBlock));
        pool.seal(header, packed, code);

        vm.roll(sealBlock + 2);
        bytes memory next = l1Header(sealBlock + 1, keccak256("nicer"));
        vm.setBlockhash(sealBlock, keccak256(header));
        vm.setBlockhash(sealBlock + 1, keccak256(next));
        expectOtherHeader(sealBlock, header, next, packed, code);
        expectOtherHeader(sealBlock, header, l1Header(sealBlock, keccak256("made up")), packed, code);
        expectOtherHeader(sealBlock, header, "", packed, code);

        bytes memory other = bytes.concat(packed);
        other[151] ^= 0x01; // a weight
        expectNotTheChosen(header, other, code);
        other = bytes.concat(code);
        other[300] ^= 0x01; // a member's key
        expectNotTheChosen(header, packed, other);

        pool.seal(header, packed, code);
        eq(pool.latestCommittee(), 2, "sealed");
        vm.expectRevert(abi.encodeWithSelector(SequencerPool.NothingToSeal.selector));
        pool.seal(header, packed, code);
    }

    function test_nothingRotatesBeforeTheSeal() public {
        vm.warp(now_() + ROTATION);
        (bytes memory packed, bytes memory code) = choose();
        (,, uint64 sealBlock) = pool.draft();
        vm.warp(now_() + ROTATION);
        bytes memory reason = abi.encodeWithSelector(SequencerPool.NotSealed.selector, 2, sealBlock);
        vm.expectRevert(reason);
        pool.rotate();
        bytes memory header = passSealBlock(keccak256("randao"));
        vm.expectRevert(reason);
        pool.rotate();
        pool.seal(header, packed, code);
        eq(rotateAndSeal(), 3, "the next");
    }

    /// @dev Nobody sealed for more than a day. The same choice takes another block; nothing is stuck.
    function test_aForgottenSealBlockIsReplaced() public {
        vm.warp(now_() + ROTATION);
        uint64 newcomer = join(MIN_LOCK);
        (bytes memory packed, bytes memory code) = choose();
        bytes memory header = passSealBlock(keccak256("first"));
        (,, uint64 forgotten) = pool.draft();
        vm.roll(forgotten + 8_192);
        vm.expectRevert(abi.encodeWithSelector(SequencerPool.SealTooLate.selector, forgotten));
        pool.seal(header, packed, code);
        join(MAX_LOCK); // too late for this committee
        uint256 sealBlock = height() + SEAL_DELAY;
        vm.expectEmit(address(pool));
        emit SequencerPool.SealPostponed(2, sealBlock);
        eq(pool.rotate(), 2, "the same committee");
        header = passSealBlock(keccak256("second"));
        pool.seal(header, packed, code);
        (uint256 size,, bytes32 seed,,, uint64[] memory ids) = pool.committee(2);
        eq(seed, keccak256(abi.encodePacked(keccak256("second"), uint64(2), keccak256(packed))), "seed");
        eq(size, 5, "members");
        bool found;
        for (uint256 i = 0; i < size; ++i) {
            found = found || ids[i] == newcomer;
        }
        yes(found, "as chosen");
    }

    /// @dev BLOCKHASH knows 256 blocks, EIP-2935 the 8,191 before.
    function test_aSealMayComeLate() public {
        vm.warp(now_() + ROTATION);
        (bytes memory packed, bytes memory code) = choose();
        bytes memory header = passSealBlock(keccak256("randao"));
        address history = 0x0000F90827F1C53a10cb7A02335B175320002935;
        vm.etch(history, hex"5f545f5260205ff3"); // answers its first slot
        vm.store(history, 0, keccak256(header));
        vm.roll(height() + 8_000);
        vm.expectRevert(abi.encodeWithSelector(SequencerPool.NotSealed.selector, 2, height() - 8_001));
        pool.rotate();
        pool.seal(header, packed, code);
        eq(pool.latestCommittee(), 2, "sealed");
    }

    function testFuzz_theRandomnessIsFoundInAnyHeader(uint64 number, bytes32 mixHash, bytes32 extra, uint8 length)
        public
        view
    {
        TestHeader memory h;
        (h.number, h.timestamp, h.stateRoot) = (number % 5e14, uint64(uint256(extra) >> 192), extra);
        bytes memory extraData = bytes.concat(extra);
        assembly {
            mstore(extraData, mod(length, 33))
        }
        eq(this.mixHashOf(encodeMixed(h, extraData, mixHash)), mixHash, "mix hash");
    }

    function mixHashOf(bytes calldata header) external pure returns (bytes32) {
        return L1Header.mixHash(header);
    }

    function expectOtherHeader(
        uint64 sealBlock,
        bytes memory right,
        bytes memory wrong,
        bytes memory packed,
        bytes memory code
    ) private {
        vm.expectRevert(
            abi.encodeWithSelector(
                SequencerPool.NotTheSealBlock.selector, sealBlock, keccak256(right), keccak256(wrong)
            )
        );
        pool.seal(wrong, packed, code);
    }

    function expectNotTheChosen(bytes memory header, bytes memory packed, bytes memory code) private {
        vm.expectRevert(
            abi.encodeWithSelector(SequencerPool.NotTheChosen.selector, 2, keccak256(abi.encode(packed, code)))
        );
        pool.seal(header, packed, code);
    }

    // ---- helpers ----

    function expectLockRefusal(address owner, Keys memory keys, bytes memory proof, uint256 amount, bytes memory reason)
        private
    {
        vm.prank(owner);
        vm.expectRevert(reason);
        pool.lock(keys, proof, amount, owner, address(0));
    }

    /// @dev A pool the portal does not know as a system contract draws on the users' gas of the block.
    function fundPortalGas() private {
        vm.roll(height() + 1);
        eq(portal.remainingDepositGas(), 8_000_000, "gas");
    }

    function expectMembers(uint64 committeeId, uint64[3] memory expected) private view {
        (uint256 size,,,,, uint64[] memory ids) = pool.committee(committeeId);
        eq(size, 3, "size");
        for (uint256 i = 0; i < 3; ++i) {
            bool found;
            for (uint256 j = 0; j < 3; ++j) {
                found = found || ids[j] == expected[i];
            }
            yes(found, "member");
        }
    }

    function lastPackedMembers() private returns (bytes memory packed) {
        (,, packed) = fixedCommittee(vm.getRecordedLogs());
    }

    function fixedCommittee(Vm.Log[] memory logs) private pure returns (bytes32, bytes32, bytes memory) {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] == SequencerPool.CommitteeFixed.selector) {
                return abi.decode(logs[i].data, (bytes32, bytes32, bytes));
            }
        }
        revert Untrue("CommitteeFixed");
    }

    function deposit(Vm.Log[] memory logs) private pure returns (bytes32, bytes32, bytes memory) {
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] == Portal.TransactionDeposited.selector) {
                return (logs[i].topics[1], logs[i].topics[2], abi.decode(logs[i].data, (bytes)));
            }
        }
        revert Untrue("TransactionDeposited");
    }

    function member(bytes memory packed, uint256 index)
        private
        pure
        returns (uint64 id, bytes32 identity, bytes memory compressed, uint128 weight)
    {
        compressed = new bytes(96);
        assembly {
            let p := add(add(packed, 32), mul(index, 152))
            id := shr(192, mload(p))
            identity := mload(add(p, 8))
            mcopy(add(compressed, 32), add(p, 40), 96)
            weight := shr(128, mload(add(p, 136)))
        }
    }

    function negated(bytes memory key) private view returns (bytes memory out) {
        // (order - 1) * key
        (, out) = address(0x0e).staticcall(abi.encodePacked(key, Signer.ORDER - 1));
    }
}
