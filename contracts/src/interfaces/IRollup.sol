// IRollup: batches, outputs and their finality, as other L1 contracts see them.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @dev The shape viem/op-stack decodes (OP's `Types.OutputProposal`).
struct OutputProposal {
    bytes32 outputRoot;
    uint128 timestamp;
    uint128 l2BlockNumber;
}

/// @notice What is kept of a batch; two storage slots.
struct Batch {
    bytes32 outputRoot;
    uint40 timestamp; // L1 time of acceptance, seconds
    uint56 lastBlock;
    uint48 epoch;
    uint48 originNumber; // L1 block
    uint48 committeeId; // of this epoch
    bool late; // its origin was older than MAX_ORIGIN_LAG: accepted as the end of its epoch, no progress for `recover`
}

interface IRollup {
    function getL2Output(uint256 index) external view returns (OutputProposal memory);
    function isFinal(uint256 index) external view returns (bool);
    /// @notice Batch `index`; 0 is the genesis. Reverts for an unknown one.
    function batch(uint256 index) external view returns (Batch memory);
    /// @notice Base namespace of every vote, 75 bytes.
    function namespace() external view returns (bytes memory);
    /// @notice Wei of ether that `poster` has spent on posting batches, as far as it is counted, ever.
    function postingCost(address poster) external view returns (uint256);
}
