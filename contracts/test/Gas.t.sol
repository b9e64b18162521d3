// Gas: what the frequent and the dear operations cost, as whole transactions. Written to snapshots/gas and compared there.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Rollup} from "../src/l1/Rollup.sol";
import {CertificateOnly} from "../src/harness/CertificateOnly.sol";
import {Chain, TestHeader} from "./base/Chain.sol";
import {Signer} from "./base/Signer.sol";
import {vm} from "./base/Vm.sol";

/// @dev Every call is a transaction of its own (cold storage, 21,000 gas, calldata).
/// forge-config: default.isolate = true
contract GasTest is Chain {
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
        submit(nextHeader(1)); // the first batch ever writes a slot that later ones only change

        batch(string.concat(label, " members, all present"), all);
        batch(string.concat(label, " members, a third absent"), some);
        certificate(string.concat(label, " members, all present"), all);
        certificate(string.concat(label, " members, a third absent"), some);

        vm.snapshotValue("rotation", string.concat(label, " members, first rotation"), firstRotationGas);
        rotateLater();
        vm.snapshotValue("rotation", string.concat(label, " members, nobody joins"), used());
        pool.packKeys();
        vm.snapshotValue("rotation", string.concat(label, " members, packKeys"), used());
        if (size + 4 > 100) return;
        for (uint256 i = 0; i < 4; ++i) {
            join(MAX_LOCK);
        }
        rotateLater();
        vm.snapshotValue("rotation", string.concat(label, " members, 4 join"), used());
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
        certificate("046 members, 15 absent, each key in a page of its own", signers);
    }

    /// @dev Ends epoch 0 naming committee `next`, and begins epoch 1 under it.
    function submitHandOver(uint64 next) private {
        TestHeader memory h = nextHeader(59);
        h.nextCommitteeId = next;
        submit(h);
        submit(nextHeader(1));
    }

    function batch(string memory name, uint256 signers) private {
        uint256 state = vm.snapshotState();
        TestHeader memory h = nextHeader(10);
        (uint256 index,, uint64 number,, uint64 committeeId,) = rollup.head();
        Rollup.Certificate memory c = certify(rollup, h, committeeId, signers);
        bytes memory rlp = encode(h);
        rollup.submitBatch(index, number + 1, rlp, c, 0, "data");
        uint256 gas_ = used();
        vm.revertToState(state);
        vm.snapshotValue("submitBatch", name, gas_);
    }

    function certificate(string memory name, uint256 signers) private {
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

    /// @dev Every call of the pool but the rotations.
    function test_gas_pool() public {
        deploy(5);
        address owner = address(0xabc);
        fund(owner, address(pool), MAX_LOCK);
        bytes memory proof = possession(999, owner);
        vm.prank(owner);
        uint64 id = pool.lock(keysOf(999), proof, MIN_LOCK, owner);
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
        proof = possession(998, owner);
        vm.prank(owner);
        pool.updateKeys(id, keysOf(998), proof);
        vm.snapshotValue("pool", "updateKeys", used());
        vm.prank(owner);
        pool.setRecipient(id, address(this));
        vm.snapshotValue("pool", "setRecipient", used());
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
        pool.forceExit(3);
        vm.snapshotValue("pool", "forceExit", used());
        vm.prank(SLASHER);
        pool.slash(4, 500, 1_000e18, owner);
        vm.snapshotValue("pool", "slash, no tickets", used());
        vm.prank(owner);
        pool.claimSlashShare();
        vm.snapshotValue("pool", "claimSlashShare", used());
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
        vm.snapshotValue("rotation", "256 active, up to 16 join", used());
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
        vm.snapshotValue("rotation", "256 active, another committee of 100, 16 leave and 16 join", used());
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
