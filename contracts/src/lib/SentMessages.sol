// SentMessages: proof, against an output of L2, that L2ToL1MessagePasser holds a message.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MerklePatricia} from "./MerklePatricia.sol";

/// @notice The preimage of an output root, version 0 (OP's layout).
struct OutputRootProof {
    bytes32 version;
    bytes32 stateRoot;
    bytes32 messagePasserStorageRoot;
    bytes32 latestBlockhash;
}

library SentMessages {
    error OutputRootMismatch(bytes32 expected, bytes32 given);
    error MessageNotSent(bytes32 withdrawalHash, bytes value);

    /// @dev A message that exists is stored as `true`; its RLP is the byte 0x01.
    bytes32 private constant TRUE_RLP_HASH = 0x5fe7f977e71dba2ea1a68e21057beebb9be2ac30c6410aa38d4f3fbe41dcffd2;
    /// @dev Slot of `sentMessages` in L2ToL1MessagePasser.
    uint256 private constant SENT_MESSAGES_SLOT = 0;

    /// @notice Checks that `opened` is the preimage of `outputRoot`.
    function requireOpened(bytes32 outputRoot, OutputRootProof calldata opened) internal pure {
        bytes32 given = keccak256(abi.encode(opened));
        if (outputRoot != given) revert OutputRootMismatch(outputRoot, given);
    }

    /// @notice Checks that the message passer with storage root `storageRoot` holds the message.
    /// @param withdrawalHash keccak256(abi.encode(nonce, sender, target, value, gasLimit, data)): the key of `sentMessages`.
    /// @param proof Trie nodes from the storage root to the slot of `sentMessages[withdrawalHash]`.
    function requireSent(bytes32 storageRoot, bytes32 withdrawalHash, bytes[] calldata proof) internal pure {
        bytes32 slot = keccak256(abi.encode(withdrawalHash, SENT_MESSAGES_SLOT));
        bytes calldata value = MerklePatricia.get(storageRoot, keccak256(abi.encode(slot)), proof);
        if (keccak256(value) != TRUE_RLP_HASH) revert MessageNotSent(withdrawalHash, value);
    }
}
