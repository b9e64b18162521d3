// Test: assertions, in the few forms these tests need.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {vm} from "./Vm.sol";

abstract contract Test {
    error Unequal(string what, bytes left, bytes right);
    error Untrue(string what);

    /// @dev Deploys a committed artifact: what is tested and measured is, byte for byte, what is deployed.
    function create(string memory name, bytes memory arguments) internal returns (address deployed) {
        bytes memory initCode = initCodeOf(name, arguments);
        assembly {
            deployed := create(0, add(initCode, 32), mload(initCode))
        }
    }

    function initCodeOf(string memory name, bytes memory arguments) internal view returns (bytes memory) {
        return abi.encodePacked(vm.getCode(string.concat("artifacts/", name, ".json")), arguments);
    }

    function eq(uint256 left, uint256 right, string memory what) internal pure {
        if (left != right) revert Unequal(what, abi.encode(left), abi.encode(right));
    }

    function eq(bytes32 left, bytes32 right, string memory what) internal pure {
        if (left != right) revert Unequal(what, abi.encode(left), abi.encode(right));
    }

    function eq(address left, address right, string memory what) internal pure {
        if (left != right) revert Unequal(what, abi.encode(left), abi.encode(right));
    }

    function eq(bytes memory left, bytes memory right, string memory what) internal pure {
        if (keccak256(left) != keccak256(right)) revert Unequal(what, left, right);
    }

    function yes(bool condition, string memory what) internal pure {
        if (!condition) revert Untrue(what);
    }

    function bound(uint256 x, uint256 low, uint256 high) internal pure returns (uint256) {
        unchecked {
            uint256 range = high - low + 1;
            return range == 0 ? x : low + x % range;
        }
    }
}
