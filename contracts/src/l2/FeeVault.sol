// FeeVault: where base fees, priority fees and data fees of L2 are collected.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @notice Predeploy 0x4200000000000000000000000000000000000011. Receives only; the split of what it holds belongs to the mining contracts.
contract FeeVault {
    receive() external payable {}

    /// @notice Wei of native coin received so far; nothing has left.
    function totalReceived() external view returns (uint256) {
        return address(this).balance;
    }
}
