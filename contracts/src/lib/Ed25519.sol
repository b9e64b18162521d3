// Ed25519: is a 32-byte string the canonical encoding of a point of the curve (RFC 8032, section 5.1.3)?
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @dev Nodes decode every member's identity key. A key that does not decode would stop them all, so it is refused at registration.
///      The x coordinate is never needed: it exists exactly when u * v is a square, with u = y^2 - 1 and v = d * y^2 + 1.
library Ed25519 {
    uint256 private constant P = 0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed; // 2^255 - 19
    uint256 private constant HALF = 0x3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff6; // (P - 1) / 2
    uint256 private constant D = 37095705934669439343138083508754565189542113879843219016388785533085940283555;

    function isPoint(bytes32 encoded) internal view returns (bool) {
        uint256 y = _reverse(uint256(encoded));
        bool negativeX = y >> 255 == 1;
        y &= type(uint256).max >> 1;
        if (y >= P) return false;
        uint256 y2 = mulmod(y, y, P);
        uint256 u = addmod(y2, P - 1, P);
        if (u == 0) return !negativeX; // x = 0 has no negative form
        uint256 v = addmod(mulmod(D, y2, P), 1, P);
        return _isSquare(mulmod(u, v, P));
    }

    /// @dev Euler's criterion by the MODEXP precompile (0x05).
    function _isSquare(uint256 a) private view returns (bool square) {
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore(m, 32)
            mstore(add(m, 32), 32)
            mstore(add(m, 64), 32)
            mstore(add(m, 96), a)
            mstore(add(m, 128), HALF)
            mstore(add(m, 160), P)
            let ok := staticcall(gas(), 0x05, m, 192, m, 32)
            square := and(ok, eq(mload(m), 1))
        }
    }

    /// @dev Little-endian to big-endian.
    function _reverse(uint256 x) private pure returns (uint256) {
        x = ((x >> 8) & 0x00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF)
            | ((x & 0x00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF00FF) << 8);
        x = ((x >> 16) & 0x0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF)
            | ((x & 0x0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF0000FFFF) << 16);
        x = ((x >> 32) & 0x00000000FFFFFFFF00000000FFFFFFFF00000000FFFFFFFF00000000FFFFFFFF)
            | ((x & 0x00000000FFFFFFFF00000000FFFFFFFF00000000FFFFFFFF00000000FFFFFFFF) << 32);
        x = ((x >> 64) & 0x0000000000000000FFFFFFFFFFFFFFFF0000000000000000FFFFFFFFFFFFFFFF)
            | ((x & 0x0000000000000000FFFFFFFFFFFFFFFF0000000000000000FFFFFFFFFFFFFFFF) << 64);
        return (x >> 128) | (x << 128);
    }
}
