// Counter: something to deploy and call from a forge script.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

contract Counter {
    event Counted(address indexed by, uint256 total);

    uint256 public total;

    function add(uint256 amount) external {
        total += amount;
        emit Counted(msg.sender, total);
    }
}
