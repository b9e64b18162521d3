// JailBook: stands in for MiningRewards where a test decides who may be jailed.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IMiningRewards} from "../../src/interfaces/IMiningRewards.sol";

contract JailBook is IMiningRewards {
    mapping(uint64 id => bool) public jailable;

    function accuse(uint64 id) external {
        jailable[id] = true;
    }

    function clearMissed(uint64 id) external {
        jailable[id] = false;
    }
}
