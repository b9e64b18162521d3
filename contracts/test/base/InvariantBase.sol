// InvariantBase: which contract forge drives in an invariant test, and by which of its calls.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

abstract contract InvariantBase {
    /// @dev As forge reads it.
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    address private _handler;
    bytes4[] private _actions;

    /// @dev Forge calls only `handler`, and of it only what is named by `act`.
    function drive(address handler) internal {
        _handler = handler;
    }

    /// @dev Named twice, an action comes twice as often.
    function act(bytes4 selector) internal {
        _actions.push(selector);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = _handler;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(_handler, _actions);
    }
}
