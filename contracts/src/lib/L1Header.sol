// L1Header: the randomness in a header of L1 itself.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

library L1Header {
    /// @dev Items before it in the header's list, whatever fields later rules append.
    uint256 private constant ITEMS_BEFORE_MIX_HASH = 13;

    /// @notice The mix hash, which is `block.prevrandao` of that block (EIP-4399).
    /// @param header Ethereum's RLP of a header. The caller has compared its hash with L1's, so its form is not checked.
    function mixHash(bytes calldata header) internal pure returns (bytes32) {
        uint256 at = 1 + (uint8(header[0]) - 0xf7); // a header's payload is longer than 55 bytes
        for (uint256 i = 0; i < ITEMS_BEFORE_MIX_HASH; ++i) {
            at += _length(header[at:]);
        }
        return bytes32(header[at + 1:at + 33]);
    }

    /// @dev Length of the string at the beginning of `rlp`, its prefix included.
    function _length(bytes calldata rlp) private pure returns (uint256) {
        uint256 first = uint8(rlp[0]);
        if (first < 0x80) return 1;
        if (first < 0xb8) return 1 + first - 0x80;
        uint256 size = first - 0xb7;
        return 1 + size + (uint256(bytes32(rlp[1:33])) >> (256 - 8 * size));
    }
}
