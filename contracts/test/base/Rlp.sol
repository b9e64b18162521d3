// Rlp: encoding of headers for tests, and their hostile variants.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

library Rlp {
    function str(bytes memory data) internal pure returns (bytes memory) {
        if (data.length == 1 && uint8(data[0]) < 0x80) return data;
        return abi.encodePacked(_prefix(data.length, 0x80), data);
    }

    function hash(bytes32 value) internal pure returns (bytes memory) {
        return abi.encodePacked(uint8(0xa0), value);
    }

    function integer(uint256 value) internal pure returns (bytes memory) {
        return str(_minimal(value));
    }

    function list(bytes memory payload) internal pure returns (bytes memory) {
        return abi.encodePacked(_prefix(payload.length, 0xc0), payload);
    }

    function _prefix(uint256 length, uint8 kind) private pure returns (bytes memory) {
        if (length <= 55) return abi.encodePacked(uint8(kind + length));
        bytes memory size = _minimal(length);
        return abi.encodePacked(uint8(kind + 55 + size.length), size);
    }

    function _minimal(uint256 value) private pure returns (bytes memory out) {
        uint256 width;
        for (uint256 v = value; v != 0; v >>= 8) {
            ++width;
        }
        out = new bytes(width);
        for (uint256 i = 0; i < width; ++i) {
            out[i] = bytes1(uint8(value >> (8 * (width - 1 - i))));
        }
    }
}
