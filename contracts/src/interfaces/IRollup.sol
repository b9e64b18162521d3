// IRollup: outputs and their finality, as the Portal sees them.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @dev The shape viem/op-stack decodes (OP's `Types.OutputProposal`).
struct OutputProposal {
    bytes32 outputRoot;
    uint128 timestamp;
    uint128 l2BlockNumber;
}

interface IRollup {
    function getL2Output(uint256 index) external view returns (OutputProposal memory);
    function isFinal(uint256 index) external view returns (bool);
}

/// @notice What posters spent, as the FeeSplitter sees the rollup.
interface IPostingCosts {
    /// @notice Wei of ether that `poster` has spent on posting batches, ever.
    function postingCost(address poster) external view returns (uint256);
}
