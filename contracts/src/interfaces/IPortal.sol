// IPortal: the door between the chains, as other L1 contracts see it.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

interface IPortal {
    /// @notice Queues an L2 transaction from the caller (aliased where the caller is a contract). Mints nothing.
    function depositTransaction(address to, uint256 value, uint64 gasLimit, bool isCreation, bytes calldata data)
        external
        payable;

    /// @notice While a withdrawal's call runs: its sender on L2. Otherwise 0x...dEaD.
    function l2Sender() external view returns (address);
}
