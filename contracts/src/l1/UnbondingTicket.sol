// UnbondingTicket: stake on its way out of the SequencerPool, as a transferable ERC-721.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ISequencerPool, Ticket} from "../interfaces/ISequencerPool.sol";
import {IUnbondingTicket} from "../interfaces/IUnbondingTicket.sol";

/// @notice Whoever owns a ticket is paid its amount by `SequencerPool.claim` once it is claimable. Until then a slash of the sequencer it
///         came from makes it smaller, whoever owns it.
contract UnbondingTicket is ERC721, IUnbondingTicket {
    error NotPool(address caller);

    ISequencerPool public immutable POOL;

    constructor(ISequencerPool pool) ERC721("Oceanid Unbonding Ticket", "OCEANID-OUT") {
        POOL = pool;
    }

    /// @notice Sequencer that ticket `ticketId` came from, wei of the token it is worth now, and L1 time from which it can be claimed.
    function ticket(uint256 ticketId) external view returns (uint64 sequencerId, uint128 amount, uint64 claimableAt) {
        _requireOwned(ticketId);
        Ticket memory t = POOL.ticket(ticketId);
        return (t.sequencerId, t.amount, t.claimableAt);
    }

    /// @inheritdoc IUnbondingTicket
    /// @dev No call to the receiver: a rotation mints too, and nobody may stop one.
    function mint(address owner, uint256 ticketId) external {
        _onlyPool();
        _mint(owner, ticketId);
    }

    /// @inheritdoc IUnbondingTicket
    function burn(address caller, uint256 ticketId) external returns (address owner) {
        _onlyPool();
        owner = _requireOwned(ticketId);
        _checkAuthorized(owner, caller, ticketId);
        _burn(ticketId);
    }

    function _onlyPool() private view {
        if (msg.sender != address(POOL)) revert NotPool(msg.sender);
    }
}
