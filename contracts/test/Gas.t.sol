// Gas: what the frequent and the dear operations cost, as whole transactions. Written to snapshots/gas and compared there.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Keys} from "../src/l1/CommitteeBuilder.sol";
import {Rollup} from "../src/l1/Rollup.sol";
import {CertificateOnly} from "../src/harness/CertificateOnly.sol";
import {WithdrawalTransaction} from "../src/l1/Portal.sol";
import {TestHeader} from "./base/Chain.sol";
import {Signer} from "./base/Signer.sol";
import {vm} from "./base/Vm.sol";
import {Votes} from "./base/Votes.sol";
import {Withdrawals} from "./base/Withdrawals.sol";

/// @dev Every call is a transaction of its own (cold storage, 21,000 gas, calldata).
/// forge-config: default.isolate = true
contract GasTest is Votes, Withdrawals {
    /// @dev posterAt(1).
    address private constant POSTER = address(0x9057e201);
    /// @dev A changed slot (2,900) instead of an unchanged one (100).
    uint256 private constant RECORD_UNSEEN = 2_800;

    function test_gas_4() public {
        measure(4, "004");
    }

    function test_gas_16() public {
        measure(16, "016");
    }

    function test_gas_50() public {
        measure(50, "050");
    }

    function test_gas_100() public {
        measure(100, "100");
    }

    function measure(uint256 size, string memory label) private {
        deploy(size);
        vm.roll(height() + 10);
        vm.warp(now_() + ROTATION);
        uint256 all = (1 << size) - 1;
        uint256 some = bitmap(size, (size - 1) / 3);
        post(nextHeader(1), all, 0, "data"); // the first batch ever writes a slot that later ones only change

        batch(string.concat(label, " members, all present"), all);
        batch(string.concat(label, " members, a third absent"), some);
        bare(string.concat(label, " members, all present"), all);
        bare(string.concat(label, " members, a third absent"), some);

        vm.snapshotValue("rotation", string.concat(label, " members, first rotation"), rotateGas);
        rotateLater();
        vm.snapshotValue("rotation", string.concat(label, " members, nobody joins"), rotateGas);
        vm.snapshotValue("rotation", string.concat(label, " members, seal"), sealGas);
        pool.packKeys();
        vm.snapshotValue("rotation", string.concat(label, " members, packKeys"), used());
        if (size + 4 > 100) return;
        for (uint256 i = 0; i < 4; ++i) {
            join(MAX_LOCK);
        }
        rotateLater();
        vm.snapshotValue("rotation", string.concat(label, " members, 4 join"), rotateGas);
    }

    /// @dev Fifteen keys in pages of their own, the most that rotations leave, and as many of them absent as there may be.
    function test_gas_scattered() public {
        deploy(31);
        vm.roll(height() + 10);
        for (uint256 round = 0; round < 4; ++round) {
            for (uint256 i = 0; i < 4 && pool.lastId() < 46; ++i) {
                join(MIN_LOCK);
            }
            rotateLater();
        }
        submitHandOver(5);
        (uint256 size,,,,, uint64[] memory ids) = pool.committee(5);
        eq(size, 46, "members");
        uint256 signers = (1 << size) - 1;
        for (uint256 i = 0; i < size; ++i) {
            if (ids[i] > 31) signers ^= 1 << i;
        }
        batch("046 members, 15 absent, each key in a page of its own", signers);
        bare("046 members, 15 absent, each key in a page of its own", signers);
    }

    /// @dev Ends epoch 0 naming committee `next`, and begins epoch 1 under it.
    function submitHandOver(uint64 next) private {
        TestHeader memory h = nextHeader(59);
        h.nextCommitteeId = next;
        submit(h);
        h = nextHeader(1);
        post(h, (1 << seats(h.committeeId)) - 1, 0, "data");
    }

    /// @dev As posters do: from an account of its own, which its costs are counted for. Forge's base fee is zero here, so they come to
    ///      nothing, and the write of the sum is missing from the figures: RECORD_UNSEEN.
    function post(TestHeader memory h, uint256 signers, uint8 daMode, bytes memory data) private {
        (uint256 index,, uint64 number,,,) = rollup.head();
        Rollup.Certificate memory c = certify(rollup, h, h.committeeId, signers);
        bytes memory rlp = encode(h);
        vm.prank(POSTER, POSTER);
        rollup.submitBatch(index, number + 1, rlp, c, daMode, data);
    }

    function seats(uint64 committeeId) private view returns (uint256 size) {
        (size,,,,,) = pool.committee(committeeId);
    }

    function batch(string memory name, uint256 signers) private {
        uint256 state = vm.snapshotState();
        TestHeader memory h = nextHeader(10);
        post(h, signers, 0, "data");
        uint256 gas_ = used() + RECORD_UNSEEN;
        vm.revertToState(state);
        vm.snapshotValue("submitBatch", name, gas_);
    }

    function bare(string memory name, uint256 signers) private {
        address verifier = create("CertificateOnly", "");
        (,,,, uint64 committeeId,) = rollup.head();
        bytes memory prefix = abi.encodePacked(uint8(84), rollup.namespace(), "_FINALIZE");
        bytes memory payload = abi.encodePacked(keccak256("header"));
        bytes memory signed = abi.encodePacked(prefix, varint(7), varint(420), varint(419), payload);
        bytes memory signature = Signer.sign(secretSum(committeeId, signers), signed, Signer.VOTE);
        // By hand: a view would be a static call, and those are not made as transactions of their own.
        (bool ok,) = verifier.call(
            abi.encodeCall(
                CertificateOnly.verify, (pool, committeeId, prefix, 7, 420, 419, payload, signers, signature)
            )
        );
        yes(ok, "certificate");
        vm.snapshotValue("certificate", name, used());
    }

    function test_gas_rollup() public {
        deploy(4);
        vm.roll(height() + 10);
        post(nextHeader(1), 0xf, 0, "data");
        post(nextHeader(1), 0xf, 255, "");
        vm.snapshotValue("rollup", "submitBatch, no data", used() + RECORD_UNSEEN);
        rollup.repostData(1, 0, 1, 0, "data");
        vm.snapshotValue("rollup", "repostData, by an outsider", used());
        vm.prank(POSTER, POSTER);
        rollup.repostData(1, 0, 1, 0, "data");
        vm.snapshotValue("rollup", "repostData", used() + RECORD_UNSEEN);
        bytes memory data = new bytes(40_000);
        for (uint256 i = 0; i < data.length; ++i) {
            data[i] = 0xaa;
        }
        post(nextHeader(1), 0xf, 0, data);
        vm.snapshotValue("rollup", "submitBatch, 40,000 bytes of calldata", used());
        rotateLater();
        vm.warp(rollup.stalledAt());
        rollup.recover();
        vm.snapshotValue("rollup", "recover", used());
        post(nextHeader(1), 0xf, 0, "data");
        vm.snapshotValue("rollup", "submitBatch, hand-over", used() + RECORD_UNSEEN);
    }

    function test_gas_slasher_4() public {
        slasherGas(4, "004");
    }

    function test_gas_slasher_100() public {
        slasherGas(100, "100");
    }

    function slasherGas(uint256 size, string memory label) private {
        deploy(size);
        vm.roll(height() + 10);
        slasher.submitEquivocation(term(), 0, vote(NOTARIZE, BLOCK_A, 0), vote(NOTARIZE, BLOCK_B, 0));
        vm.snapshotValue("slasher", string.concat(label, " members, equivocation"), used());
        slasher.submitEquivocation(term(), 1, vote(NULLIFY, 0, 1), vote(FINALIZE, BLOCK_B, 1));
        vm.snapshotValue("slasher", string.concat(label, " members, nullify and finalize"), used());
        uint256 all = (1 << size) - 1;
        uint256 absent = (size - 1) / 3;
        slasher.submitFork(
            term(), certificate(NULLIFY, 0, all >> absent), certificate(FINALIZE, BLOCK_A, all << absent & all), all
        );
        vm.snapshotValue("slasher", string.concat(label, " members, fork"), used());
        vm.prank(GOVERNOR);
        slasher.setHook(3, address(this));
        vm.snapshotValue("slasher", "setHook", used());
        vm.prank(GOVERNOR);
        slasher.setPenalty(3, 2_500, 0);
        vm.snapshotValue("slasher", "setPenalty", used());
        uint64[] memory ids = new uint64[](size);
        for (uint64 i = 0; i < size; ++i) {
            ids[i] = i + 1;
        }
        slasher.punish(3, ids, "case", address(this));
        vm.snapshotValue("slasher", string.concat(label, " members, punish them all"), used());
    }

    /// @dev What a keeper sends at a time: PART of the guilty, each with as many tickets as it can have and a rest that becomes another one.
    function test_gas_forkInParts() public {
        uint256 part = 24;
        deploy(100);
        vm.roll(height() + 10);
        vm.prank(GOVERNOR);
        slasher.setPenalty(1, 9_000, 0); // worse than 100%, which leaves no ticket to be made
        uint256 all = (1 << 100) - 1;
        for (uint256 i = 0; i < part; ++i) {
            uint64 id = idAt(1, i);
            fund(ownerOf[id], address(pool), 31e18);
            vm.prank(ownerOf[id]);
            pool.increase(id, 31e18);
            for (uint256 n = 0; n < 31; ++n) {
                vm.prank(ownerOf[id]);
                pool.decrease(id, 1e18);
            }
        }
        slasher.submitFork(term(), certificate(NULLIFY, 0, all), certificate(FINALIZE, BLOCK_A, all), (1 << part) - 1);
        vm.snapshotValue("slasher", "100 members, fork, 24 of the guilty with 31 tickets each", used());
        yes(used() < 1 << 24, "more than a transaction may use");
    }

    function test_gas_portal() public {
        deploy(4);
        vm.roll(height() + 10);
        address user = address(0xa11ce);
        fund(user, address(portal), 100e18);
        portal.depositTransaction(user, 1, 100_000, false, "");
        vm.roll(height() + 1);
        portal.depositTransaction(user, 1, 100_000, false, "");
        vm.snapshotValue("portal", "depositTransaction", used());
        vm.prank(user);
        portal.depositERC20Transaction(user, 1e18, 0, 100_000, false, "");
        vm.roll(height() + 1);
        vm.prank(user);
        portal.depositERC20Transaction(user, 1e18, 0, 100_000, false, "");
        vm.snapshotValue("portal", "depositERC20Transaction", used());
        WithdrawalTransaction memory w = WithdrawalTransaction({
            nonce: uint256(1) << 240, sender: user, target: address(0xb0b), value: 1e18, gasLimit: 0, data: ""
        });
        prove(w);
        vm.snapshotValue("portal", "proveWithdrawalTransaction, one trie node", used());
        vm.warp(now_() + WINDOW);
        portal.finalizeWithdrawalTransaction(w);
        vm.snapshotValue("portal", "finalizeWithdrawalTransaction, no call", used());
        for (uint256 i = 0; i < 6; ++i) {
            vm.roll(height() + 1);
            portal.depositTransaction(user, 1, 8_000_000, false, "");
        }
        vm.roll(height() + 1_000_000);
        portal.depositTransaction(user, 1, 21_000, false, "");
        vm.snapshotValue("portal", "depositTransaction, first after 6 full blocks and a long rest", used());
    }

    /// @dev Every call of the pool but the rotations.
    function test_gas_pool() public {
        deploy(5);
        address owner = address(0xabc);
        fund(owner, address(pool), MAX_LOCK);
        // Made before the prank, which counts for the next call, to a precompile too.
        (Keys memory keys, bytes memory proof) = (keysOf(999), possession(999, owner));
        vm.prank(owner);
        uint64 id = pool.lock(keys, proof, MIN_LOCK, owner, address(0x9057));
        vm.snapshotValue("pool", "lock", used());
        vm.prank(owner);
        pool.increase(id, 10e18);
        vm.snapshotValue("pool", "increase", used());
        vm.prank(owner);
        pool.increaseFor(id, 10e18);
        vm.snapshotValue("pool", "increaseFor", used());
        vm.prank(owner);
        pool.decrease(id, 10e18);
        vm.snapshotValue("pool", "decrease", used());
        (keys, proof) = (keysOf(998), possession(998, owner));
        vm.prank(owner);
        pool.updateKeys(id, keys, proof);
        vm.snapshotValue("pool", "updateKeys", used());
        vm.prank(owner);
        pool.setRecipient(id, address(this));
        vm.snapshotValue("pool", "setRecipient", used());
        vm.prank(owner);
        pool.setPoster(id, address(0x9058));
        vm.snapshotValue("pool", "setPoster", used());
        vm.prank(owner);
        pool.transferOwnership(id, owner);
        vm.snapshotValue("pool", "transferOwnership", used());
        vm.prank(owner);
        pool.exit(id);
        vm.snapshotValue("pool", "exit, queued", used());
        vm.warp(now_() + UNBONDING);
        vm.prank(owner);
        pool.claim(1);
        vm.snapshotValue("pool", "claim", used());

        vm.prank(ownerOf[1]);
        pool.exit(1);
        vm.snapshotValue("pool", "exit, active", used());
        vm.warp(now_() + pool.EXIT_WAIT());
        pool.completeExit(1);
        vm.snapshotValue("pool", "completeExit", used());
        jailBook.accuse(2);
        pool.jail(2);
        vm.snapshotValue("pool", "jail", used());
        vm.warp(now_() + JAIL);
        vm.prank(ownerOf[2]);
        pool.unjail(2);
        vm.snapshotValue("pool", "unjail", used());
        jailBook.accuse(3);
        pool.jail(3);
        vm.warp(now_() + UNBONDING + 1);
        pool.forceExit(3);
        vm.snapshotValue("pool", "forceExit", used());
        vm.prank(SLASHER);
        pool.slash(4, 500, 1_000e18, owner);
        vm.snapshotValue("pool", "slash, no tickets", used());
        vm.prank(owner);
        pool.claimSlashShare();
        vm.snapshotValue("pool", "claimSlashShare", used());
    }

    function test_gas_poolGovernor() public {
        deploy(4);
        vm.prank(GOVERNOR);
        pool.setLockLimits(MIN_LOCK + 1, MAX_LOCK - 1);
        vm.snapshotValue("pool", "setLockLimits", used());
        vm.prank(GOVERNOR);
        pool.setMaxCommittee(50);
        vm.snapshotValue("pool", "setMaxCommittee", used());
        vm.prank(GOVERNOR);
        pool.setJailPeriod(1);
        vm.snapshotValue("pool", "setJailPeriod", used());
        vm.prank(GOVERNOR);
        pool.setReporterShare(1);
        vm.snapshotValue("pool", "setReporterShare", used());
        vm.prank(GOVERNOR);
        pool.setJoinsPaused(true);
        vm.snapshotValue("pool", "setJoinsPaused", used());
    }

    /// @dev As many tickets as a sequencer can have.
    function test_gas_slash() public {
        deploy(4);
        fund(ownerOf[1], address(pool), 1_000e18);
        vm.prank(ownerOf[1]);
        pool.increase(1, 1_000e18);
        for (uint256 i = 0; i < 31; ++i) {
            vm.prank(ownerOf[1]);
            pool.decrease(1, 1e18);
        }
        vm.prank(SLASHER);
        pool.slash(1, 500, 1_000e18, address(this));
        vm.snapshotValue("pool", "slash, 31 tickets", used());
    }

    /// @dev A full queue: the smallest lock gives way.
    function test_gas_displace() public {
        deploy(4);
        for (uint256 i = 0; i < 128; ++i) {
            join(MIN_LOCK);
        }
        join(MIN_LOCK + 1);
        vm.snapshotValue("pool", "lock, displacing one of 128", used());
    }

    /// @dev The most a rotation can have to do: 256 active, 100 in the committee, all of them newly so, 16 leave and 16 join.
    function test_gas_rotateAtTheLimits() public {
        deploy(100);
        while (pool.activeSet().length < 256) {
            while (pool.queueLength() < 32) {
                join(MIN_LOCK);
            }
            rotateLater();
        }
        rotateLater();
        vm.snapshotValue("rotation", "256 active, the same committee of 100", rotateGas);
        // The 100 that were last are the largest now, and the 16 that wait longest leave.
        for (uint64 id = 157; id <= 256; ++id) {
            fund(ownerOf[id], address(pool), 1_000e18);
            vm.prank(ownerOf[id]);
            pool.increase(id, 1_000e18);
        }
        for (uint64 id = 1; id <= 40; ++id) {
            vm.prank(ownerOf[id]);
            pool.exit(id);
        }
        rotateLater();
        vm.snapshotValue("rotation", "256 active, another committee of 100, 16 leave and 16 join", rotateGas);
        eq(pool.activeSet().length, 256, "still full");
        eq(pool.exitQueueLength(), 24, "waiting to leave");
    }

    function possession(uint256 index, address owner) private view returns (bytes memory) {
        return Signer.sign(secretAt(index), pool.possessionMessage(owner, keysOf(index)), Signer.POSSESSION);
    }

    function used() private view returns (uint256) {
        return vm.lastCallGas().gasTotalUsed;
    }
}
