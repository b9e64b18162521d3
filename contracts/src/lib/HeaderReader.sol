// HeaderReader: strict reading of an L2 block header (Ethereum RLP, Prague fields) and of the consensus extension in its extraData.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @notice What L1 needs of an L2 header.
struct Header {
    bytes32 hash;
    bytes32 parentHash;
    bytes32 stateRoot;
    bytes32 messagePasserRoot; // withdrawalsRoot, as in OP Isthmus
    uint64 number;
    uint64 timestamp;
    // Extension, RLP list in extraData: [version, epoch, view, parentView, leader, committeeId, nextCommitteeId, originNumber, originHash]
    uint64 epoch;
    uint64 view_;
    uint64 parentView;
    uint64 leader;
    uint64 committeeId;
    uint64 nextCommitteeId;
    uint64 originNumber;
    bytes32 originHash;
}

library HeaderReader {
    /// @dev `offset` is the byte of the header where reading stopped.
    error HeaderMalformed(uint256 offset);
    error HeaderLength(uint256 length, uint256 limit);
    error ExtensionVersion(uint256 version, uint256 supported);

    uint256 internal constant EXTENSION_VERSION = 1;
    /// @dev Largest header of this layout in bytes: fixed fields, full-width integers, an extension of full-width integers.
    uint256 internal constant MAX_LENGTH = 800;
    /// @dev Nine items: a version below 0x80, seven integers of at most 9 bytes each, a 33-byte hash, and a two-byte list prefix.
    uint256 private constant MAX_EXTENSION = 99;

    // Offsets from the first byte; all fields up to the difficulty have a fixed width.
    uint256 private constant PARENT_HASH = 3;
    uint256 private constant OMMERS_HASH = 36;
    uint256 private constant BENEFICIARY = 69;
    uint256 private constant STATE_ROOT = 90;
    uint256 private constant TRANSACTIONS_ROOT = 123;
    uint256 private constant RECEIPTS_ROOT = 156;
    uint256 private constant LOGS_BLOOM = 189;
    uint256 private constant DIFFICULTY = 448;
    uint256 private constant NUMBER = 449;

    /// @dev A reading position: absolute memory address, with the address of the header's first byte for error messages.
    struct Cursor {
        uint256 p;
        uint256 base;
    }

    function read(bytes calldata rlp) internal pure returns (Header memory h) {
        if (rlp.length > MAX_LENGTH || rlp.length <= NUMBER) revert HeaderLength(rlp.length, MAX_LENGTH);
        // The copy is followed by zeros of its own allocation, so that a word read near the end stays inside.
        bytes memory raw = new bytes(rlp.length + 64);
        uint256 base;
        assembly ("memory-safe") {
            base := add(raw, 32)
            calldatacopy(base, rlp.offset, rlp.length)
        }
        Cursor memory c = Cursor({p: base, base: base});
        uint256 end = base + rlp.length;

        assembly ("memory-safe") {
            mstore(h, keccak256(base, rlp.length))
        }
        // The bloom alone is 256 bytes, so the list's length takes two bytes.
        _expect(c, 0, 0xf9);
        if (_uint(base + 1, 2) != rlp.length - 3) revert HeaderMalformed(1);
        _expect(c, PARENT_HASH, 0xa0);
        _expect(c, OMMERS_HASH, 0xa0);
        _expect(c, BENEFICIARY, 0x94);
        _expect(c, STATE_ROOT, 0xa0);
        _expect(c, TRANSACTIONS_ROOT, 0xa0);
        _expect(c, RECEIPTS_ROOT, 0xa0);
        if (_uint(base + LOGS_BLOOM, 3) != 0xb90100) revert HeaderMalformed(LOGS_BLOOM);
        _expect(c, DIFFICULTY, 0x80); // zero since the merge
        h.parentHash = _word(base + PARENT_HASH + 1);
        h.stateRoot = _word(base + STATE_ROOT + 1);

        c.p = base + NUMBER;
        h.number = _integer(c);
        _integer(c); // gas limit
        _integer(c); // gas used
        h.timestamp = _integer(c);
        _extension(c, h);
        _hash(c); // mix hash
        _expect(c, c.p - base, 0x88); // nonce
        c.p += 9;
        _integer(c); // base fee: the L2 keeps it below 2^64 wei
        h.messagePasserRoot = _hash(c);
        _integer(c); // blob gas used
        _integer(c); // excess blob gas
        _hash(c); // parent beacon block root
        _hash(c); // requests hash
        if (c.p != end) revert HeaderMalformed(c.p - base);
    }

    function _extension(Cursor memory c, Header memory h) private pure {
        // extraData is a byte string that holds exactly one list.
        uint256 length = _prefix(c, 0x80);
        if (length > MAX_EXTENSION) revert HeaderMalformed(c.p - c.base);
        uint256 end = c.p + length;
        uint256 listLength = _prefix(c, 0xc0);
        if (c.p + listLength != end) revert HeaderMalformed(c.p - c.base);
        uint256 version = _integer(c);
        if (version != EXTENSION_VERSION) revert ExtensionVersion(version, EXTENSION_VERSION);
        h.epoch = _integer(c);
        h.view_ = _integer(c);
        h.parentView = _integer(c);
        h.leader = _integer(c);
        h.committeeId = _integer(c);
        h.nextCommitteeId = _integer(c);
        h.originNumber = _integer(c);
        h.originHash = _hash(c);
        if (c.p != end) revert HeaderMalformed(c.p - c.base);
    }

    /// @dev Reads the prefix of a string (kind 0x80) or list (kind 0xc0) of 0 to 255 bytes and moves to its payload.
    function _prefix(Cursor memory c, uint256 kind) private pure returns (uint256 length) {
        uint256 first = _uint(c.p, 1);
        if (first >= kind && first <= kind + 55) {
            length = first - kind;
            c.p += 1;
        } else {
            length = _uint(c.p + 1, 1);
            if (first != kind + 56 || length <= 55) revert HeaderMalformed(c.p - c.base);
            c.p += 2;
        }
    }

    /// @dev Canonical RLP integer of at most 8 bytes.
    function _integer(Cursor memory c) private pure returns (uint64 value) {
        uint256 p = c.p;
        uint256 word = uint256(_word(p));
        uint256 first = word >> 248;
        if (first < 0x80) {
            if (first == 0) revert HeaderMalformed(p - c.base); // zero is the empty string
            c.p = p + 1;
            return uint64(first);
        }
        uint256 length = first - 0x80;
        if (length > 8) revert HeaderMalformed(p - c.base);
        c.p = p + 1 + length;
        if (length == 0) return 0;
        uint256 lead = (word >> 240) & 0xff;
        if (lead == 0 || (length == 1 && lead < 0x80)) revert HeaderMalformed(p - c.base); // leading zero, or should be one byte
        value = uint64((word << 8) >> (256 - 8 * length));
    }

    function _hash(Cursor memory c) private pure returns (bytes32 value) {
        _expect(c, c.p - c.base, 0xa0);
        value = _word(c.p + 1);
        c.p += 33;
    }

    function _expect(Cursor memory c, uint256 offset, uint256 tag) private pure {
        if (_uint(c.base + offset, 1) != tag) revert HeaderMalformed(offset);
    }

    /// @dev Big-endian integer of `width` bytes at memory address `p`.
    function _uint(uint256 p, uint256 width) private pure returns (uint256) {
        return uint256(_word(p)) >> (256 - 8 * width);
    }

    function _word(uint256 p) private pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := mload(p)
        }
    }
}
