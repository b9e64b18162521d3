// Count: deploys a Counter, plainly and by CREATE2, and calls both.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

import {Counter} from "../src/Counter.sol";

interface Cheats {
    function startBroadcast() external;
    function stopBroadcast() external;
}

contract Count {
    // The address forge answers cheat codes at.
    Cheats private constant VM = Cheats(address(uint160(uint256(keccak256("hevm cheat code")))));
    bool public constant IS_SCRIPT = true;

    function run() external returns (Counter plain, Counter salted) {
        VM.startBroadcast();
        plain = new Counter();
        salted = new Counter{salt: bytes32(block.timestamp)}();
        plain.add(2);
        plain.add(40);
        salted.add(1);
        VM.stopBroadcast();
        require(plain.total() == 42, "total");
    }
}
