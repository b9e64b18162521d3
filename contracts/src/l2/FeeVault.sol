// FeeVault: where base fees, priority fees and data fees of L2 are collected, and from where they go to L1.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Predeploys} from "../lib/Predeploys.sol";
import {L2ToL1MessagePasser} from "./L2ToL1MessagePasser.sol";

/// @notice Predeploy 0x4200000000000000000000000000000000000011. Slots: 0 splitter (L1 address of FeeSplitter, genesis writes it),
///         1 flushes, 2 totalFlushed. What it holds can go to the splitter and nowhere else.
contract FeeVault {
    error BelowMinimum(uint256 balance, uint256 minimum);
    error SplitterUnset();

    event Flushed(uint256 indexed index, uint256 nonce, uint256 value);

    struct Flush {
        uint256 nonce; // of the withdrawal
        uint256 value; // wei of native coin
    }

    /// @notice Wei of native coin from which a withdrawal is worth its proof on L1.
    uint256 public constant MIN_FLUSH = 1e18;

    /// @notice L1 address of FeeSplitter.
    address public splitter;
    Flush[] private _flushes;
    /// @notice Wei of native coin sent to L1 so far.
    uint256 public totalFlushed;

    receive() external payable {}

    /// @notice Withdraws the whole balance to the splitter: no data, no gas. Anyone may call; EpochLedger does at each new epoch.
    function flush() external {
        uint256 value = address(this).balance;
        if (value < MIN_FLUSH) revert BelowMinimum(value, MIN_FLUSH);
        if (splitter == address(0)) revert SplitterUnset();
        L2ToL1MessagePasser passer = L2ToL1MessagePasser(payable(Predeploys.MESSAGE_PASSER));
        uint256 nonce = passer.messageNonce();
        // Kept, because a flush within a system call leaves no log.
        _flushes.push(Flush(nonce, value));
        totalFlushed += value;
        emit Flushed(_flushes.length - 1, nonce, value);
        passer.initiateWithdrawal{value: value}(splitter, 0, "");
    }

    /// @notice Number of flushes so far.
    function flushes() external view returns (uint256) {
        return _flushes.length;
    }

    /// @notice Withdrawal nonce and wei of flush `index`, below `flushes()`.
    function flushOf(uint256 index) external view returns (uint256 nonce, uint256 value) {
        Flush memory f = _flushes[index];
        return (f.nonce, f.value);
    }

    /// @notice Wei of native coin received so far.
    function totalReceived() external view returns (uint256) {
        return totalFlushed + address(this).balance;
    }
}
