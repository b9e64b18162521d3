// Aliasing: how an L1 contract's address appears as a sender on L2 (OP's rule).
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @dev A contract may have the same address on both chains with different code behind it, so L1 contract senders are shifted by a constant.
library Aliasing {
    uint160 internal constant OFFSET = uint160(0x1111000000000000000000000000000000001111);

    /// @return The L2 sender address of a message from the L1 contract `l1`. Wraps modulo 2^160.
    function toL2(address l1) internal pure returns (address) {
        unchecked {
            return address(uint160(l1) + OFFSET);
        }
    }

    /// @return The L1 contract behind the L2 sender `l2`. Wraps modulo 2^160.
    function toL1(address l2) internal pure returns (address) {
        unchecked {
            return address(uint160(l2) - OFFSET);
        }
    }
}
