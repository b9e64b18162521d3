// IUnbondingTicket: ownership of tickets, as the SequencerPool sees it.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

interface IUnbondingTicket {
    /// @notice Gives `owner` the new ticket `ticketId`. Only the pool.
    function mint(address owner, uint256 ticketId) external;
    /// @notice Ends ticket `ticketId` and returns who owned it; `caller` must be that owner or approved by it. Only the pool.
    function burn(address caller, uint256 ticketId) external returns (address owner);
}
