// CalldataGas: the intrinsic gas of the running transaction, for a contract called directly by its sender.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

library CalldataGas {
    uint256 private constant BASE = 21_000;
    /// @dev EIP-7623, per token: a zero byte is one token, any other byte four.
    uint256 private constant STANDARD_PRICE = 4;
    uint256 private constant FLOOR_PRICE = 10;

    /// @notice Tokens of this call's data. Costs about 2 gas a byte itself.
    function tokensOfCall() internal pure returns (uint256) {
        unchecked {
            return msg.data.length + 3 * _nonZeroBytes();
        }
    }

    /// @notice Gas of a transaction with `tokens` of calldata whose execution takes `execution` gas, without access and authorization lists and
    ///         refunds.
    function transactionGas(uint256 tokens, uint256 execution) internal pure returns (uint256) {
        unchecked {
            uint256 standard = STANDARD_PRICE * tokens + execution;
            uint256 floor = FLOOR_PRICE * tokens;
            return BASE + (standard > floor ? standard : floor);
        }
    }

    /// @dev Counts 32 bytes at a time: one lane of a word per byte of a word.
    function _nonZeroBytes() private pure returns (uint256 count) {
        assembly ("memory-safe") {
            let ones := div(not(0), 0xff) // 0x01 in every byte
            let sevens := mul(ones, 0x7f)
            let pairs := div(not(0), 0x101) // 0x00ff in every pair of bytes
            let size := calldatasize()
            for { let at := 0 } lt(at, size) {} {
                // A lane holds 255, so that many words before the lanes are added up.
                let end := add(at, 8160)
                if gt(end, size) { end := size }
                let lanes := 0
                for {} lt(at, end) { at := add(at, 32) } {
                    let word := calldataload(at)
                    // Bit 7 of a byte: its low bits carry into it, or it is set. Words read past the end are zero there.
                    lanes := add(lanes, and(shr(7, or(word, add(and(word, sevens), sevens))), ones))
                }
                // 2^16 = 1 modulo 2^16 - 1, and the sum (at most 8,160) is below it.
                count := add(count, mod(add(and(lanes, pairs), and(shr(8, lanes), pairs)), 0xffff))
            }
        }
    }
}
