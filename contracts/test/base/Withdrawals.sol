// Withdrawals: message passer storage with one withdrawal in it, and outputs that carry it.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {WithdrawalTransaction} from "../../src/l1/Portal.sol";
import {OutputRootProof} from "../../src/lib/SentMessages.sol";
import {Chain, TestHeader} from "./Chain.sol";
import {Rlp} from "./Rlp.sol";

abstract contract Withdrawals is Chain {
    /// @dev A storage trie whose only leaf is sentMessages[withdrawalHash] = true.
    function singleLeaf(bytes32 withdrawalHash) internal pure returns (bytes32 root, bytes[] memory proof) {
        bytes32 path = keccak256(abi.encode(keccak256(abi.encode(withdrawalHash, uint256(0)))));
        proof = new bytes[](1);
        proof[0] = Rlp.list(bytes.concat(Rlp.str(abi.encodePacked(uint8(0x20), path)), hex"01"));
        root = keccak256(proof[0]);
    }

    /// @dev Posts a batch whose message passer has storage root `root`; returns its index and the opened output root.
    function postOutput(bytes32 root) internal returns (uint256 index, OutputRootProof memory opened) {
        TestHeader memory h = nextHeader(1);
        h.messagePasserRoot = root;
        submit(h);
        index = rollup.latestOutputIndex();
        opened = OutputRootProof({
            version: 0, stateRoot: h.stateRoot, messagePasserStorageRoot: root, latestBlockhash: keccak256(encode(h))
        });
    }

    /// @dev Proves `w` against a new output; it is final WINDOW seconds later.
    function prove(WithdrawalTransaction memory w) internal returns (uint256 index) {
        (bytes32 root, bytes[] memory proof) = singleLeaf(portal.hashWithdrawal(w));
        OutputRootProof memory opened;
        (index, opened) = postOutput(root);
        portal.proveWithdrawalTransaction(w, index, opened, proof);
    }
}
