// Votes: what members of a committee sign, as the Slasher takes it.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Slasher} from "../../src/l1/Slasher.sol";
import {Chain} from "./Chain.sol";
import {Signer} from "./Signer.sol";

abstract contract Votes is Chain {
    uint8 internal constant NOTARIZE = 0;
    uint8 internal constant NULLIFY = 1;
    uint8 internal constant FINALIZE = 2;
    bytes32 internal constant BLOCK_A = keccak256("block A");
    bytes32 internal constant BLOCK_B = keccak256("block B");

    /// @dev Epoch 0 under committee 1, shown by the latest batch.
    function term() internal view returns (Slasher.Term memory) {
        return Slasher.Term({batchIndex: rollup.latestOutputIndex(), epoch: 0, committeeId: 1});
    }

    function idAt(uint64 committeeId, uint256 member) internal view returns (uint64) {
        (,,,,, uint64[] memory ids) = pool.committee(committeeId);
        return ids[member];
    }

    /// @dev A vote of epoch `epoch`, signed by `secret` (or by many: the sum of their secrets).
    function voteAt(uint64 epoch, uint8 kind, uint64 view_, uint64 parentView, bytes32 payload, uint256 secret)
        internal
        view
        returns (Slasher.Vote memory)
    {
        return Slasher.Vote({
            kind: kind,
            view_: view_,
            parentView: parentView,
            payload: payload,
            signature: Signer.sign(secret, signedBytes(epoch, kind, view_, parentView, payload), Signer.VOTE)
        });
    }

    /// @dev A vote of view 7 of epoch 0 by `member` of committee 1.
    function vote(uint8 kind, bytes32 payload, uint256 member) internal view returns (Slasher.Vote memory) {
        return voteAt(0, kind, 7, 6, payload, secretOf[idAt(1, member)]);
    }

    /// @dev A certificate of view 7 of epoch 0 by `signers` of committee 1.
    function certificate(uint8 kind, bytes32 payload, uint256 signers)
        internal
        view
        returns (Slasher.Certificate memory)
    {
        return Slasher.Certificate({vote: voteAt(0, kind, 7, 6, payload, secretSum(1, signers)), signers: signers});
    }

    function signedBytes(uint64 epoch, uint8 kind, uint64 view_, uint64 parentView, bytes32 payload)
        internal
        view
        returns (bytes memory)
    {
        if (kind == NULLIFY) {
            bytes memory full = abi.encodePacked(rollup.namespace(), "_NULLIFY");
            return abi.encodePacked(uint8(full.length), full, varint(epoch), varint(view_));
        }
        string memory suffix = kind == NOTARIZE ? "_NOTARIZE" : "_FINALIZE";
        return voteMessage(rollup, suffix, epoch, view_, parentView, abi.encodePacked(payload));
    }
}
