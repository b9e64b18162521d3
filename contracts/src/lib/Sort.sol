// Sort: ascending order at a cost that does not depend on who chose the input.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

library Sort {
    /// @notice Sorts `words` in place by binary insertion: about 1,000 gas a word at 256 words, for any order of the input (a quicksort is
    ///         quadratic for some, and whoever chooses the input could choose such a one).
    function sort(uint256[] memory words) internal pure {
        assembly ("memory-safe") {
            let first := add(words, 32)
            let end := add(first, mul(mload(words), 32))
            // Everything before `next` is sorted.
            for { let next := add(first, 32) } lt(next, end) { next := add(next, 32) } {
                let word := mload(next)
                let low := first
                let high := next
                for {} lt(low, high) {} {
                    let middle := add(low, and(shr(1, sub(high, low)), not(31)))
                    switch gt(mload(middle), word)
                    case 0 { low := add(middle, 32) }
                    default { high := middle }
                }
                mcopy(add(low, 32), low, sub(next, low))
                mstore(low, word)
            }
        }
    }
}
