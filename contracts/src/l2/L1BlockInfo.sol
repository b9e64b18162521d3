// L1BlockInfo: what L2 knows of its L1 origin, and the price of ether in the native coin.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Aliasing} from "../lib/Aliasing.sol";
import {Predeploys} from "../lib/Predeploys.sol";

/// @notice Predeploy 0x4200000000000000000000000000000000000015. The state transition reads the slots directly; one value each:
///         0 number, 1 timestamp, 2 basefee, 3 blobBaseFee, 4 hash, 5 gasTokenRatio, 6 gasPriceOracle.
///         Genesis writes slot 5 (the ratio given to the L1 oracle's constructor) and slot 6 (the oracle's L1 address, NOT aliased).
contract L1BlockInfo {
    error NotDepositor(address caller);
    error NotGasPriceOracle(address caller);

    /// @notice L1 block number of the origin.
    uint256 public number;
    /// @notice Its time, in seconds.
    uint256 public timestamp;
    /// @notice Its base fee, in wei of ether.
    uint256 public basefee;
    /// @notice Its blob base fee, in wei of ether.
    uint256 public blobBaseFee;
    /// @notice Its hash.
    bytes32 public hash;
    /// @notice Wei of native coin per wei of ether, times 1e18.
    uint256 public gasTokenRatio;
    /// @notice L1 address of the GasPriceOracle.
    address public gasPriceOracle;

    /// @notice System deposit that opens every L1 origin.
    function setL1Block(uint64 number_, uint64 timestamp_, uint256 baseFee_, uint256 blobBaseFee_, bytes32 hash_)
        external
    {
        if (msg.sender != Predeploys.SYSTEM_DEPOSITOR) revert NotDepositor(msg.sender);
        number = number_;
        timestamp = timestamp_;
        basefee = baseFee_;
        blobBaseFee = blobBaseFee_;
        hash = hash_;
    }

    /// @notice Deposit from the L1 GasPriceOracle.
    function setGasTokenRatio(uint256 ratio) external {
        if (msg.sender != Aliasing.toL2(gasPriceOracle)) revert NotGasPriceOracle(msg.sender);
        gasTokenRatio = ratio;
    }
}
