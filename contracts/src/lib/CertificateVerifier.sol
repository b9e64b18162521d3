// CertificateVerifier: a committee's layout in code storage, the signed bytes of votes, and the check of a vote or certificate over them.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Bls} from "./Bls.sol";

/// @notice Verifies commonware simplex votes and certificates (scheme bls12381_multisig, variant MinSig).
/// @dev A committee is one code-store contract: STOP, then
///        digest 32 | seed 32 | aggregate key 192 (packed G2) | entry 30 per member, in signer order
///      entry = sequencer id u64 | key page address 20 | record index in that page u16
///      and a key page is a code-store contract of records: identity 32 | consensus key 192 (packed G2).
///      Signer index i is the member with the i-th smallest identity.
library CertificateVerifier {
    error SignatureLength(uint256 length, uint256 expected);
    error SignersOutOfRange(uint256 signers, uint256 size);
    error QuorumNotReached(uint256 present, uint256 required);
    /// @dev Forged, made by another committee, for other bytes, or under another namespace (chain, rollup or genesis).
    error CertificateInvalid(address committee, bytes32 messageHash);

    /// @dev Offsets in a committee's code, the STOP byte included.
    uint256 internal constant DIGEST_OFFSET = 1;
    uint256 internal constant SEED_OFFSET = 33;
    uint256 internal constant AGGREGATE_OFFSET = 65;
    uint256 internal constant ENTRIES_OFFSET = 257;
    uint256 internal constant ENTRY_LENGTH = 30;
    /// @dev Record of a key page: identity | packed G2.
    uint256 internal constant RECORD_LENGTH = 224;
    /// @dev Bitmaps are one word; pools limit themselves to MAX_MEMBERS.
    uint256 internal constant MAX_MEMBERS = 100;

    /// @notice Members of the committee behind `committee`.
    function sizeOf(address committee) internal view returns (uint256) {
        unchecked {
            return (committee.code.length - ENTRIES_OFFSET) / ENTRY_LENGTH;
        }
    }

    /// @notice Signatures a certificate of `size` members needs (simplex quorum, 3f + 1): size - floor((size - 1) / 3).
    function quorum(uint256 size) internal pure returns (uint256) {
        return size - (size - 1) / 3;
    }

    /// @notice The sequencer id of member `index`, which must be below the size.
    function memberId(address committee, uint256 index) internal view returns (uint64 id) {
        assembly ("memory-safe") {
            extcodecopy(committee, 0, add(ENTRIES_OFFSET, mul(index, ENTRY_LENGTH)), 32)
            id := shr(192, mload(0))
        }
    }

    /// @notice The bytes a notarize or finalize vote signs: prefix | varint(epoch) | varint(view) | varint(parentView) | payload.
    /// @param prefix varint(length) | base namespace | "_NOTARIZE" or "_FINALIZE".
    /// @param payload Of any length: 32 bytes is a header hash.
    function message(bytes memory prefix, uint64 epoch, uint64 view_, uint64 parentView, bytes memory payload)
        internal
        pure
        returns (bytes memory m)
    {
        uint256 at;
        (m, at) = _round(prefix, epoch, view_);
        at = _varint(at, parentView);
        assembly ("memory-safe") {
            let length := mload(payload)
            mcopy(at, add(payload, 32), length)
            at := add(at, length)
        }
        _close(m, at);
    }

    /// @notice The bytes a nullify vote signs: prefix | varint(epoch) | varint(view).
    /// @param prefix varint(length) | base namespace | "_NULLIFY".
    function nullifyMessage(bytes memory prefix, uint64 epoch, uint64 view_) internal pure returns (bytes memory m) {
        uint256 at;
        (m, at) = _round(prefix, epoch, view_);
        _close(m, at);
    }

    /// @dev Begins a message above the free pointer; `at` is where it goes on.
    function _round(bytes memory prefix, uint64 epoch, uint64 view_) private pure returns (bytes memory m, uint256 at) {
        assembly ("memory-safe") {
            m := mload(0x40)
            at := add(m, 32)
            mcopy(at, add(prefix, 32), mload(prefix))
            at := add(at, mload(prefix))
        }
        at = _varint(_varint(at, epoch), view_);
    }

    /// @dev Ends a message at `at` and takes its memory.
    function _close(bytes memory m, uint256 at) private pure {
        assembly ("memory-safe") {
            mstore(m, sub(at, add(m, 32)))
            mstore(0x40, and(add(at, 31), not(31)))
        }
    }

    /// @dev Writes unsigned LEB128 at `at`; returns the end.
    function _varint(uint256 at, uint256 value) private pure returns (uint256 end) {
        assembly ("memory-safe") {
            for {} gt(value, 0x7f) { value := shr(7, value) } {
                mstore8(at, or(0x80, and(value, 0x7f)))
                at := add(at, 1)
            }
            mstore8(at, value)
            end := add(at, 1)
        }
    }

    /// @notice Whether `signature` (padded G1 point, 128 bytes) is that of member `index` of `committee` over `signed`. The key is the one the
    ///         committee was fixed with, whatever the member registered since.
    function signedBy(address committee, uint256 index, bytes memory signed, bytes calldata signature)
        internal
        view
        returns (bool)
    {
        uint256 key;
        assembly ("memory-safe") {
            // [key 256][packed 192][entry 32]
            key := mload(0x40)
            mstore(0x40, add(key, 480))
            extcodecopy(committee, add(key, 448), add(ENTRIES_OFFSET, mul(index, ENTRY_LENGTH)), 32)
        }
        _loadKey(key + 448, 0, key + 256);
        Bls.pad(key + 256, key);
        return Bls.verify(signed, Bls.DST_VOTE, key, signature);
    }

    /// @notice Reverts unless `signature` is the aggregate of at least a quorum of `committee` over `signed`.
    /// @param signers Bit i is set where member i signed.
    /// @param signature Padded G1 point, 128 bytes.
    function verify(address committee, bytes memory signed, uint256 signers, bytes calldata signature) internal view {
        if (signature.length != Bls.G1_LENGTH) revert SignatureLength(signature.length, Bls.G1_LENGTH);
        uint256 size = sizeOf(committee);
        if (signers >> size != 0) revert SignersOutOfRange(signers, size);

        uint256 absent = ~signers & ((1 << size) - 1);
        uint256 missing = _count(absent);
        if (missing > (size - 1) / 3) revert QuorumNotReached(size - missing, quorum(size));

        uint256 key = _signersKey(committee, size, absent);
        if (!Bls.verify(signed, Bls.DST_VOTE, key, signature)) revert CertificateInvalid(committee, keccak256(signed));
    }

    /// @dev The sum of the signers' keys as a padded G2 point in memory: the stored aggregate less the sum of the absent keys. Point ADD
    ///      costs 600 gas a key; the multi-scalar precompile is dearer at every committee size.
    function _signersKey(address committee, uint256 size, uint256 absent) private view returns (uint256 key) {
        // [key 256][next 256][packed 192][entries]
        assembly ("memory-safe") {
            key := mload(0x40)
            mstore(0x40, add(key, 736))
        }
        uint256 next = key + 256;
        uint256 packed = key + 512;
        if (absent == 0) {
            assembly ("memory-safe") {
                extcodecopy(committee, packed, AGGREGATE_OFFSET, 192)
            }
            Bls.pad(packed, key);
            return key;
        }

        uint256 entries;
        assembly ("memory-safe") {
            entries := mload(0x40)
            extcodecopy(committee, entries, ENTRIES_OFFSET, mul(size, ENTRY_LENGTH))
            mstore(0x40, add(entries, and(add(mul(size, ENTRY_LENGTH), 63), not(31))))
        }
        bool ok = true;
        uint256 to = key;
        while (absent != 0) {
            uint256 bit;
            unchecked {
                bit = absent & (0 - absent); // the lowest
            }
            absent ^= bit;
            _loadKey(entries, _log2(bit), packed);
            Bls.pad(packed, to);
            if (to == next) ok = Bls.addInPlace(key) && ok;
            to = next;
        }
        Bls.negate(key);
        assembly ("memory-safe") {
            extcodecopy(committee, packed, AGGREGATE_OFFSET, 192)
        }
        Bls.pad(packed, next);
        // A failed addition leaves a stale point behind, which the pairing refuses like any wrong key; stored keys never make it fail.
        if (!(Bls.addInPlace(key) && ok)) revert CertificateInvalid(committee, bytes32(0));
    }

    /// @dev Copies the packed key of member `index` to memory address `to`.
    function _loadKey(uint256 entries, uint256 index, uint256 to) private view {
        assembly ("memory-safe") {
            let entry := mload(add(entries, mul(index, ENTRY_LENGTH)))
            extcodecopy(shr(96, shl(64, entry)), to, add(33, mul(and(shr(16, entry), 0xffff), RECORD_LENGTH)), 192)
        }
    }

    /// @dev Number of set bits.
    function _count(uint256 x) private pure returns (uint256) {
        unchecked {
            x -= (x >> 1) & (type(uint256).max / 3);
            x = (x & (type(uint256).max / 5)) + ((x >> 2) & (type(uint256).max / 5));
            x = (x + (x >> 4)) & (type(uint256).max / 17);
            x += x >> 8;
            x += x >> 16;
            x += x >> 32;
            x += x >> 64;
            x += x >> 128;
            return x & 0xff;
        }
    }

    /// @dev Index of the only set bit; committees have at most 128 seats of it in use.
    function _log2(uint256 bit) private pure returns (uint256 r) {
        assembly ("memory-safe") {
            r := shl(6, gt(bit, 0xffffffffffffffff))
            r := or(r, shl(5, gt(shr(r, bit), 0xffffffff)))
            r := or(r, shl(4, gt(shr(r, bit), 0xffff)))
            r := or(r, shl(3, gt(shr(r, bit), 0xff)))
            // The remaining byte is a power of two: a nibble of the constant per residue modulo 11.
            r := or(r, and(shr(mul(4, mod(shr(r, bit), 11)), 0x56370420100), 0xf))
        }
    }
}
