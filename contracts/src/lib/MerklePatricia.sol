// MerklePatricia: inclusion proofs of 32-byte keys in Ethereum's hexary trie. Every byte of the proof is hostile.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @dev Works on calldata in place. RLP is read strictly (minimal lengths, exact ends), so that a trie node has one reading only.
library MerklePatricia {
    /// @dev `index` is the position in the proof of the node at fault.
    error ProofTooShort(uint256 length);
    error ProofTooLong(uint256 used, uint256 length);
    error ProofNodeHash(uint256 index, bytes32 expected);
    error ProofNodeMalformed(uint256 index);
    error ProofKeyAbsent(uint256 index);

    uint256 private constant KEY_NIBBLES = 64;

    struct Cursor {
        uint256 index; // in the proof
        uint256 depth; // nibbles of the key consumed
        uint256 start; // calldata offsets of the node's RLP
        uint256 end;
    }

    /// @notice The value under `key` in the trie with root `root`.
    /// @param key The path itself: for a secure trie, the hash of the storage key or address.
    /// @param proof Nodes from the root down, as `eth_getProof` gives them. A node embedded in its parent may be listed or left out.
    function get(bytes32 root, bytes32 key, bytes[] calldata proof) internal pure returns (bytes calldata) {
        (uint256 from, uint256 to) = _find(root, key, proof);
        return _slice(from, to);
    }

    /// @dev Calldata offsets of the value's first byte and of the byte after it.
    function _find(bytes32 root, bytes32 key, bytes[] calldata proof) private pure returns (uint256 from, uint256 to) {
        Cursor memory node;
        _enter(node, proof, root);
        uint256[17] memory items;
        while (true) {
            uint256 count = _children(node, items);
            uint256 child;
            if (count == 17) {
                if (node.depth == KEY_NIBBLES) revert ProofKeyAbsent(node.index); // a value in a branch: no 32-byte key ends here
                child = items[_nibble(key, node.depth)];
                ++node.depth;
            } else if (count == 2) {
                if (_matchPath(node, items[0], key)) {
                    bool list;
                    (list, from, to) = _item(items[1], node.end, node.index);
                    if (list) revert ProofNodeMalformed(node.index);
                    if (node.index + 1 != proof.length) revert ProofTooLong(node.index + 1, proof.length);
                    return (from, to);
                }
                child = items[1];
            } else {
                revert ProofNodeMalformed(node.index);
            }
            _descend(node, proof, child);
        }
    }

    /// @dev Makes proof node `node.index` the current one. It must hash to `expected`.
    function _enter(Cursor memory node, bytes[] calldata proof, bytes32 expected) private pure {
        if (node.index >= proof.length) revert ProofTooShort(proof.length);
        bytes calldata rlp = proof[node.index];
        if (keccak256(rlp) != expected) revert ProofNodeHash(node.index, expected);
        uint256 start;
        assembly ("memory-safe") {
            start := rlp.offset
        }
        node.start = start;
        node.end = start + rlp.length;
    }

    /// @dev Follows the reference at calldata offset `child`: a hash, or a node of less than 32 bytes in place.
    function _descend(Cursor memory node, bytes[] calldata proof, uint256 child) private pure {
        (bool list, uint256 from, uint256 to) = _item(child, node.end, node.index);
        if (list) {
            if (to - child >= 32) revert ProofNodeMalformed(node.index);
            node.start = child;
            node.end = to;
            uint256 next = node.index + 1;
            if (next < proof.length && keccak256(proof[next]) == keccak256(_slice(child, to))) node.index = next;
            return;
        }
        if (from == to) revert ProofKeyAbsent(node.index);
        if (to - from != 32) revert ProofNodeMalformed(node.index);
        bytes32 expected;
        assembly ("memory-safe") {
            expected := calldataload(from)
        }
        ++node.index;
        _enter(node, proof, expected);
    }

    /// @dev Splits the current node into its items (2 or 17); writes the calldata offset of each.
    function _children(Cursor memory node, uint256[17] memory items) private pure returns (uint256 count) {
        (bool list, uint256 p, uint256 end) = _item(node.start, node.end, node.index);
        if (!list || end != node.end) revert ProofNodeMalformed(node.index);
        while (p < end) {
            if (count == 17) revert ProofNodeMalformed(node.index);
            items[count++] = p;
            (,, p) = _item(p, end, node.index);
        }
    }

    /// @dev Consumes the hex-prefix path at calldata offset `item` (yellow paper, appendix C) from the key.
    /// @return leaf Whether the node is a leaf; then the whole key is consumed.
    function _matchPath(Cursor memory node, uint256 item, bytes32 key) private pure returns (bool leaf) {
        (bool list, uint256 from, uint256 to) = _item(item, node.end, node.index);
        if (list || from == to) revert ProofNodeMalformed(node.index);
        uint256 first = _byte(from);
        uint256 flag = first >> 4;
        // Flag bit 1: leaf; bit 0: odd number of nibbles, the first of them beside the flag. An even path has zero there.
        if (flag > 3 || (flag & 1 == 0 && first & 0x0f != 0)) revert ProofNodeMalformed(node.index);
        leaf = flag & 2 != 0;
        uint256 length = (to - from) * 2 - 2 + (flag & 1);
        if (length == 0 && !leaf) revert ProofNodeMalformed(node.index);
        uint256 left = KEY_NIBBLES - node.depth;
        if (leaf ? length != left : length > left) revert ProofKeyAbsent(node.index);
        for (uint256 i = 0; i < length; ++i) {
            uint256 position = i + 2 - (flag & 1); // in nibbles from the flag
            uint256 b = _byte(from + position / 2);
            if ((position & 1 == 0 ? b >> 4 : b & 0x0f) != _nibble(key, node.depth + i)) {
                revert ProofKeyAbsent(node.index);
            }
        }
        node.depth += length;
    }

    /// @dev Reads the RLP item at calldata offset `p`, which must end at or before `end`.
    /// @return list Whether it is a list.
    /// @return from First byte of the payload.
    /// @return to Byte after the payload, where the next item begins.
    function _item(uint256 p, uint256 end, uint256 index) private pure returns (bool list, uint256 from, uint256 to) {
        if (p >= end) revert ProofNodeMalformed(index);
        uint256 prefix = _byte(p);
        if (prefix < 0x80) return (false, p, p + 1);
        list = prefix >= 0xc0;
        uint256 short = prefix - (list ? 0xc0 : 0x80);
        if (short <= 55) {
            from = p + 1;
            to = from + short;
        } else {
            uint256 width = short - 55;
            // No node is longer than 17 * 33 + 3 bytes; two bytes of length are enough.
            if (width > 2 || p + 1 + width > end) revert ProofNodeMalformed(index);
            uint256 length = width == 1 ? _byte(p + 1) : _byte(p + 1) << 8 | _byte(p + 2);
            if (length <= 55 || (width == 2 && length <= 0xff)) revert ProofNodeMalformed(index);
            from = p + 1 + width;
            to = from + length;
        }
        if (to > end) revert ProofNodeMalformed(index);
        // A single byte below 0x80 is its own encoding.
        if (!list && short == 1 && _byte(from) < 0x80) revert ProofNodeMalformed(index);
    }

    function _byte(uint256 p) private pure returns (uint256 b) {
        assembly ("memory-safe") {
            b := byte(0, calldataload(p))
        }
    }

    function _nibble(bytes32 key, uint256 i) private pure returns (uint256) {
        return uint256(key) >> (252 - 4 * i) & 0x0f;
    }

    function _slice(uint256 from, uint256 to) private pure returns (bytes calldata s) {
        assembly ("memory-safe") {
            s.offset := from
            s.length := sub(to, from)
        }
    }
}
