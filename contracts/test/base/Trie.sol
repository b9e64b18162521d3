// Trie: proofs for tests, for a few keys each below a nibble of its own, as deep as in a trie of many.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Rlp} from "./Rlp.sol";

library Trie {
    /// @notice A trie with `rlpValue` under each of `paths`, which must differ in their first nibble; `depth` branch nodes lie on the way
    ///         to each, full of strangers.
    function forest(bytes32[] memory paths, uint256 depth, bytes memory rlpValue)
        internal
        pure
        returns (bytes32 root, bytes[][] memory proofs)
    {
        bytes32[16] memory children;
        for (uint256 i = 0; i < 16; ++i) {
            children[i] = keccak256(abi.encode("stranger", i));
        }
        proofs = new bytes[][](paths.length);
        for (uint256 i = 0; i < paths.length; ++i) {
            proofs[i] = new bytes[](depth + 1);
            bytes memory node = leaf(paths[i], depth, rlpValue);
            proofs[i][depth] = node;
            for (uint256 level = depth - 1; level != 0; --level) {
                bytes32[16] memory others;
                for (uint256 j = 0; j < 16; ++j) {
                    others[j] = keccak256(abi.encode("stranger", level, j));
                }
                others[nibble(paths[i], level)] = keccak256(node);
                node = branch(others);
                proofs[i][level] = node;
            }
            children[nibble(paths[i], 0)] = keccak256(node);
        }
        bytes memory top = branch(children);
        for (uint256 i = 0; i < paths.length; ++i) {
            proofs[i][0] = top;
        }
        root = keccak256(top);
    }

    /// @dev The rest of `path` behind `depth` nibbles, in the hex-prefix form of a leaf.
    function leaf(bytes32 path, uint256 depth, bytes memory rlpValue) internal pure returns (bytes memory) {
        uint256 left = 64 - depth;
        uint256 rest = uint256(path) << (4 * depth);
        bytes memory prefixed;
        if (left & 1 == 1) {
            prefixed = abi.encodePacked(uint8(0x30 | rest >> 252));
            rest <<= 4;
        } else {
            prefixed = abi.encodePacked(uint8(0x20));
        }
        for (uint256 i = 0; i < left / 2; ++i) {
            prefixed = abi.encodePacked(prefixed, uint8(rest >> 248));
            rest <<= 8;
        }
        return Rlp.list(bytes.concat(Rlp.str(prefixed), rlpValue));
    }

    function branch(bytes32[16] memory children) internal pure returns (bytes memory) {
        bytes memory payload;
        for (uint256 i = 0; i < 16; ++i) {
            payload = bytes.concat(payload, Rlp.hash(children[i]));
        }
        return Rlp.list(bytes.concat(payload, hex"80"));
    }

    function nibble(bytes32 path, uint256 i) internal pure returns (uint256) {
        return uint256(path) >> (252 - 4 * i) & 0x0f;
    }
}
