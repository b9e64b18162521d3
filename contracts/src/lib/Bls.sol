// Bls: BLS12-381 by the EIP-2537 precompiles, variant MinSig (public keys in G2, signatures in G1), and nothing the contracts do not use.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @dev Two encodings appear here.
///      padded: EIP-2537. A field element is 64 bytes (16 zero, 48 value), G1 is x|y (128), G2 is x.c0|x.c1|y.c0|y.c1 (256).
///      packed: the same order with 48-byte elements; G2 is 192 bytes. This is what the contracts store.
///      The zcash compressed form (96 bytes for G2) is x.c1|x.c0 with flags 0x80 (compressed) and 0x20 (y is the larger root).
library Bls {
    uint256 internal constant G1_LENGTH = 128;
    uint256 internal constant G2_LENGTH = 256;
    uint256 internal constant G2_PACKED_LENGTH = 192;
    uint256 internal constant G2_COMPRESSED_LENGTH = 96;

    /// @dev First 32 bytes of `BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_`, the tag of votes.
    bytes32 internal constant DST_VOTE = "BLS_SIG_BLS12381G1_XMD:SHA-256_S";
    /// @dev First 32 bytes of `BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_`, the tag of proofs of possession.
    bytes32 internal constant DST_POSSESSION = "BLS_POP_BLS12381G1_XMD:SHA-256_S";
    /// @dev Last 11 bytes of both tags and their length (43 = 0x2b), as RFC 9380 section 5.3.1 appends it.
    bytes32 private constant DST_END = hex"5357555f524f5f504f505f2b";

    /// @dev The field modulus p, high 128 and low 256 bits, and (p - 1) / 2 likewise.
    uint256 internal constant P_HI = 0x1a0111ea397fe69a4b1ba7b6434bacd7;
    uint256 internal constant P_LO = 0x64774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab;
    uint256 private constant HALF_HI = 0x0d0088f51cbff34d258dd3db21a5d66b;
    uint256 private constant HALF_LO = 0xb23ba5c279c2895fb39869507b587b120f55ffff58a9ffffdcff7fffffffd555;

    /// @dev Gas handed to the pairing precompile (two pairs cost 102,900 in EIP-2537), with room for a repricing.
    uint256 private constant PAIRING_GAS = 300_000;

    /// @dev The generator of G2, negated, padded.
    uint256 private constant NG2_0 = 0x00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051;
    uint256 private constant NG2_1 = 0xc6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8;
    uint256 private constant NG2_2 = 0x0000000000000000000000000000000013e02b6052719f607dacd3a088274f65;
    uint256 private constant NG2_3 = 0x596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e;
    uint256 private constant NG2_4 = 0x000000000000000000000000000000000d1b3cc2c7027888be51d9ef691d77bc;
    uint256 private constant NG2_5 = 0xb679afda66c73f17f9ee3837a55024f78c71363275a75d75d86bab79f74782aa;
    uint256 private constant NG2_6 = 0x0000000000000000000000000000000013fa4d4a0ad8b1ce186ed5061789213d;
    uint256 private constant NG2_7 = 0x993923066dddaf1040bc3ff59f825c78df74f2d75467e25e0f55f8a00fa030ed;

    /// @notice Whether `signature` over `message` verifies under the G2 key at memory address `key`: e(H(message), key) = e(signature, G2).
    /// @dev False for malformed points, points outside the subgroups (the pairing precompile checks) and the identity on either side.
    /// @param key Memory address of a padded G2 point.
    /// @param dst DST_VOTE or DST_POSSESSION.
    function verify(bytes memory message, bytes32 dst, uint256 key, bytes calldata signature)
        internal
        view
        returns (bool valid)
    {
        if (signature.length != G1_LENGTH) return false;
        assembly ("memory-safe") {
            // One buffer above the free pointer: pairing input H 0..128 | key 128..384 | signature 384..512 | -G2 512..768, scratch after it.
            let buffer := mload(0x40)
            let scratch := add(buffer, 768)

            // expand_message_xmd (RFC 9380, 5.3.1) with SHA-256 to 128 bytes: b0 = H(Z_pad | message | 0x0080 | 0x00 | DST')
            let length := mload(message)
            calldatacopy(scratch, calldatasize(), 64)
            let end := add(add(scratch, 64), length)
            mcopy(add(scratch, 64), add(message, 32), length)
            mstore(end, 0x0080000000000000000000000000000000000000000000000000000000000000)
            mstore(add(end, 3), dst)
            mstore(add(end, 35), DST_END)
            let ok := staticcall(gas(), 0x02, scratch, add(length, 111), buffer, 32)
            let b0 := mload(buffer)

            // MODEXP input at `reduce`: base 64 bytes, exponent 1, modulus p; its output is a padded field element.
            // b_i = H((b0 xor b_{i-1}) | i | DST'), written straight into the base.
            let reduce := add(scratch, 128)
            mstore(reduce, 64)
            mstore(add(reduce, 32), 1)
            mstore(add(reduce, 64), 64)
            mstore8(add(reduce, 160), 1)
            mstore(add(reduce, 161), P_HI)
            mstore(add(reduce, 193), P_LO)
            let base := add(reduce, 96)
            let points := add(scratch, 384)

            mstore(scratch, b0)
            mstore8(add(scratch, 32), 1)
            mstore(add(scratch, 33), dst)
            mstore(add(scratch, 65), DST_END)
            ok := and(ok, staticcall(gas(), 0x02, scratch, 77, base, 32))
            mstore(scratch, xor(b0, mload(base)))
            mstore8(add(scratch, 32), 2)
            ok := and(ok, staticcall(gas(), 0x02, scratch, 77, add(base, 32), 32))
            let b2 := mload(add(base, 32))
            ok := and(ok, staticcall(gas(), 0x05, reduce, 225, buffer, 64))
            ok := and(ok, staticcall(gas(), 0x10, buffer, 64, points, 128))

            mstore(scratch, xor(b0, b2))
            mstore8(add(scratch, 32), 3)
            ok := and(ok, staticcall(gas(), 0x02, scratch, 77, base, 32))
            mstore(scratch, xor(b0, mload(base)))
            mstore8(add(scratch, 32), 4)
            ok := and(ok, staticcall(gas(), 0x02, scratch, 77, add(base, 32), 32))
            ok := and(ok, staticcall(gas(), 0x05, reduce, 225, buffer, 64))
            ok := and(ok, staticcall(gas(), 0x10, buffer, 64, add(points, 128), 128))
            ok := and(ok, staticcall(gas(), 0x0b, points, 256, buffer, 128))

            mcopy(add(buffer, 128), key, 256)
            calldatacopy(add(buffer, 384), signature.offset, 128)
            mstore(add(buffer, 512), NG2_0)
            mstore(add(buffer, 544), NG2_1)
            mstore(add(buffer, 576), NG2_2)
            mstore(add(buffer, 608), NG2_3)
            mstore(add(buffer, 640), NG2_4)
            mstore(add(buffer, 672), NG2_5)
            mstore(add(buffer, 704), NG2_6)
            mstore(add(buffer, 736), NG2_7)

            // A pairing with an identity on both sides holds for any message. No finite point of either group has both halves of y zero.
            let keyFinite :=
                or(
                    or(mload(add(buffer, 256)), mload(add(buffer, 288))),
                    or(mload(add(buffer, 320)), mload(add(buffer, 352)))
                )
            let signatureFinite := or(mload(add(buffer, 448)), mload(add(buffer, 480)))
            ok := and(ok, and(iszero(iszero(keyFinite)), iszero(iszero(signatureFinite))))
            if ok {
                // A malformed point burns all the gas its precompile is given: hand over a bounded amount.
                ok := staticcall(PAIRING_GAS, 0x0f, buffer, 768, scratch, 32)
                valid := and(ok, eq(mload(scratch), 1))
            }
        }
    }

    /// @notice Memory address of byte `offset` of `data`.
    function memoryAt(bytes memory data, uint256 offset) internal pure returns (uint256 p) {
        assembly ("memory-safe") {
            p := add(add(data, 32), offset)
        }
    }

    /// @notice left += right, both padded G2 points, `right` lying directly behind `left` in memory. False for points off the curve.
    /// @dev Does not check the subgroup: keys were checked by their proof of possession.
    function addInPlace(uint256 left) internal view returns (bool ok) {
        assembly ("memory-safe") {
            ok := staticcall(gas(), 0x0d, left, 512, left, 256)
        }
    }

    /// @notice Writes the padded form of the packed G2 point at memory address `from` to `to`. The areas must not overlap.
    function pad(uint256 from, uint256 to) internal pure {
        assembly ("memory-safe") {
            mstore(to, shr(128, mload(from)))
            mstore(add(to, 32), mload(add(from, 16)))
            mstore(add(to, 64), shr(128, mload(add(from, 48))))
            mstore(add(to, 96), mload(add(from, 64)))
            mstore(add(to, 128), shr(128, mload(add(from, 96))))
            mstore(add(to, 160), mload(add(from, 112)))
            mstore(add(to, 192), shr(128, mload(add(from, 144))))
            mstore(add(to, 224), mload(add(from, 160)))
        }
    }

    /// @notice Writes the packed form of the padded G2 point at memory address `from` to `to` (192 bytes). The areas must not overlap.
    function pack(uint256 from, uint256 to) internal pure {
        assembly ("memory-safe") {
            mcopy(to, add(from, 16), 48)
            mcopy(add(to, 48), add(from, 80), 48)
            mcopy(add(to, 96), add(from, 144), 48)
            mcopy(add(to, 144), add(from, 208), 48)
        }
    }

    /// @notice Writes the zcash compressed form (96 bytes) of the packed, finite G2 point at memory address `from` to `to`.
    function compress(uint256 from, uint256 to) internal pure {
        assembly ("memory-safe") {
            mcopy(to, add(from, 48), 48)
            mcopy(add(to, 48), from, 48)
            // y is the larger of the two roots when y.c1 > (p-1)/2, or y.c1 = 0 and y.c0 > (p-1)/2.
            let hi := shr(128, mload(add(from, 144)))
            let lo := mload(add(from, 160))
            if iszero(or(hi, lo)) {
                hi := shr(128, mload(add(from, 96)))
                lo := mload(add(from, 112))
            }
            let larger := or(gt(hi, HALF_HI), and(eq(hi, HALF_HI), gt(lo, HALF_LO)))
            mstore8(to, or(byte(0, mload(to)), or(0x80, shl(5, larger))))
        }
    }

    /// @notice Negates the padded, finite G2 point at memory address `point`: y -> p - y per coordinate (0 stays 0).
    function negate(uint256 point) internal pure {
        assembly ("memory-safe") {
            for { let y := add(point, 128) } lt(y, add(point, 256)) { y := add(y, 64) } {
                let hi := mload(y)
                let lo := mload(add(y, 32))
                if or(hi, lo) {
                    mstore(add(y, 32), sub(P_LO, lo))
                    mstore(y, sub(sub(P_HI, hi), gt(lo, P_LO)))
                }
            }
        }
    }
}
