// Gas: what the frequent and the dear operations cost, as whole transactions. Written to snapshots/gas and compared there.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Rollup} from "../src/l1/Rollup.sol";
import {Keys} from "../src/l1/CommitteeBuilder.sol";
import {SequencerPool} from "../src/l1/SequencerPool.sol";
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

    function test_gas_lock() public {
        deploy(4);
        address owner = address(0xabc);
        fund(owner, address(pool), MIN_LOCK);
        Keys memory keys = keysOf(999);
        bytes memory possession = Signer.sign(secretAt(999), pool.possessionMessage(owner, keys), Signer.POSSESSION);
        vm.prank(owner);
        pool.lock(keys, possession, MIN_LOCK, owner);
        vm.snapshotValue("pool", "lock", used());
        vm.prank(owner);
        pool.exit(5);
        vm.snapshotValue("pool", "exit", used());
        vm.warp(now_() + UNBONDING);
        vm.prank(owner);
        pool.claim(5);
        vm.snapshotValue("pool", "claim", used());
    }

    function used() private view returns (uint256) {
        return vm.lastCallGas().gasTotalUsed;
    }
}
