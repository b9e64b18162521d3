// Timelock: the only governor of the other contracts. What it does was announced at least its floor before.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

/// @notice OpenZeppelin's TimelockController with a delay that never falls below its first value. Proposers schedule and cancel, anyone
///         executes what has waited, and only the timelock itself changes its roles and delay. No governed contract gives it stake; by penalties
///         and hooks of `Slasher` it could have some burnt, after the delay.
/// @dev Deployments choose a floor longer than challenge window, slowest exit and unbonding period together: who leaves when a change is
///      announced has been paid when it counts.
contract Timelock is TimelockController {
    error FloorZero();

    /// @notice Smallest delay, seconds.
    uint256 public immutable FLOOR;

    /// @param floor Delay at first and smallest delay ever, seconds.
    /// @param proposers Accounts that may schedule and cancel.
    constructor(uint256 floor, address[] memory proposers) TimelockController(floor, proposers, _anyone(), address(0)) {
        if (floor == 0) revert FloorZero();
        FLOOR = floor;
    }

    /// @inheritdoc TimelockController
    function getMinDelay() public view override returns (uint256) {
        uint256 chosen = super.getMinDelay();
        return chosen < FLOOR ? FLOOR : chosen;
    }

    /// @dev The executor role of the zero address is everybody's.
    function _anyone() private pure returns (address[] memory executors) {
        executors = new address[](1);
    }
}
