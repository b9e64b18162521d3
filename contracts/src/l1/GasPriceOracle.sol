// GasPriceOracle: the price of ether in the gas token, for the L1 data fee on L2; bounded steps, one updater.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IPortal} from "../interfaces/IPortal.sol";
import {Predeploys} from "../lib/Predeploys.sol";
import {L1BlockInfo} from "../l2/L1BlockInfo.sol";

/// @notice The updater can move what users pay for L1 data, by at most 5% per interval; it can touch nothing else.
contract GasPriceOracle {
    error NotUpdater(address caller);
    error UpdateTooEarly(uint256 nextUpdate);
    error StepTooLarge(uint256 ratio, uint256 lowest, uint256 highest);
    error RatioZero();

    event RatioUpdated(uint256 previous, uint256 ratio);

    /// @notice Largest change of one update, in basis points of the present ratio, and never less than 1.
    uint256 public constant MAX_STEP_BPS = 500;
    uint256 private constant BPS = 10_000;
    uint64 private constant L2_GAS = 100_000;

    IPortal public immutable PORTAL;
    address public immutable UPDATER;
    /// @notice Seconds between updates.
    uint256 public immutable MIN_INTERVAL;

    /// @notice Wei of the gas token per wei of ether, times 1e18.
    uint256 public ratio;
    /// @notice L1 time of the last update; 0 before the first.
    uint256 public lastUpdate;

    constructor(IPortal portal, address updater, uint256 initialRatio, uint256 minInterval) {
        if (initialRatio == 0) revert RatioZero();
        PORTAL = portal;
        UPDATER = updater;
        MIN_INTERVAL = minInterval;
        ratio = initialRatio;
    }

    /// @notice Sets the ratio and sends it to L1BlockInfo on L2.
    function update(uint256 newRatio) external {
        if (msg.sender != UPDATER) revert NotUpdater(msg.sender);
        if (newRatio == 0) revert RatioZero();
        if (lastUpdate != 0 && block.timestamp < lastUpdate + MIN_INTERVAL) {
            revert UpdateTooEarly(lastUpdate + MIN_INTERVAL);
        }
        uint256 previous = ratio;
        uint256 step = previous * MAX_STEP_BPS / BPS;
        if (step == 0) step = 1; // or a small ratio could never move again
        if (newRatio < previous - step || newRatio > previous + step) {
            revert StepTooLarge(newRatio, previous - step, previous + step);
        }
        ratio = newRatio;
        lastUpdate = block.timestamp;
        emit RatioUpdated(previous, newRatio);
        PORTAL.depositTransaction(
            Predeploys.L1_BLOCK_INFO, 0, L2_GAS, false, abi.encodeCall(L1BlockInfo.setGasTokenRatio, (newRatio))
        );
    }
}
