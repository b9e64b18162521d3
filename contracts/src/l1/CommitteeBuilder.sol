// CommitteeBuilder: key records and committees as code: checked, written and read. Part of SequencerPool, which would not fit one contract.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Bls} from "../lib/Bls.sol";
import {CertificateVerifier} from "../lib/CertificateVerifier.sol";
import {CodeStore} from "../lib/CodeStore.sol";
import {Ed25519} from "../lib/Ed25519.sol";
import {Sort} from "../lib/Sort.sol";

/// @notice What a sequencer signs and is dialled with.
struct Keys {
    bytes32 identity; // ed25519 public key
    bytes consensusKey; // BLS12-381 G2 point, EIP-2537 encoding, 256 bytes
}

/// @notice A member of the active set, as the builder needs it.
struct Candidate {
    uint64 id;
    uint128 weight; // wei of the token
    address keyPage;
    uint16 keyIndex;
}

/// @notice A chosen committee, whose seed is not known yet.
struct Chosen {
    uint64[] order; // all candidates: the committee in order of identity, then the rest
    uint256 size; // of the committee
    bytes packed; // members for L2 and the event
    bytes code; // of its code store, digest and seed zero
    address page; // key page now shared by `paged`; zero if none was made
    uint64[] paged;
}

/// @dev Refusals of keys, which the pool passes on.
abstract contract KeyErrors {
    error ConsensusKeyLength(uint256 length, uint256 expected);
    error IdentityNotOnCurve(bytes32 identity);
    error PossessionNotProven(address owner, bytes32 identity);
}

/// @notice Keeps no state and holds nothing; anyone may call it, and only what the pool records of the outcome counts.
contract CommitteeBuilder is KeyErrors {
    /// @notice Members with a key page of their own at which a rotation copies their records into one shared page: a certificate then reads
    ///         one account for them instead of one per absent member. Each key is copied once in its life.
    uint256 public constant SHARE_AT = 16;
    /// @dev Packed member of the L2 registry: id u64 | identity 32 | compressed key 96 | weight u128.
    uint256 private constant MEMBER_LENGTH = 152;

    /// @notice Writes `keys` to a page of one record, if `possession` is the consensus key's signature over `message` (see
    ///         SequencerPool.lock). `owner` is for the error.
    function writeKeys(address owner, Keys memory keys, bytes memory message, bytes calldata possession)
        external
        returns (address page)
    {
        bytes memory key = keys.consensusKey;
        bytes32 identity = keys.identity;
        if (key.length != Bls.G2_LENGTH) revert ConsensusKeyLength(key.length, Bls.G2_LENGTH);
        if (!Ed25519.isPoint(identity)) revert IdentityNotOnCurve(identity);
        uint256 keyAt = Bls.memoryAt(key, 0);
        if (!Bls.verify(message, Bls.DST_POSSESSION, keyAt, possession)) revert PossessionNotProven(owner, identity);

        bytes memory record = new bytes(CertificateVerifier.RECORD_LENGTH);
        assembly ("memory-safe") {
            mstore(add(record, 32), identity)
        }
        Bls.pack(keyAt, Bls.memoryAt(record, 32));
        return CodeStore.write(record);
    }

    /// @notice Chooses a committee: the `seats` largest weights (ties: the smaller id), in ascending order of identity.
    /// @param candidates Not empty; those of the last committee come first and in its order, so that sorting is cheap.
    function choose(uint256 seats, Candidate[] memory candidates) external returns (Chosen memory chosen) {
        chosen.size = _selectTop(candidates, seats);
        bytes[] memory records = _loadRecords(candidates, chosen.size);
        _sortByIdentity(candidates, records);
        chosen.order = _ids(candidates, candidates.length);
        _shareSingles(candidates, records, chosen);
        (chosen.packed, chosen.code) = _assemble(candidates, records);
    }

    /// @notice Writes committee `committeeId`, chosen as `packed` and `unsealed` code before anybody knew `randomness`.
    function complete(uint64 committeeId, bytes32 randomness, bytes calldata packed, bytes calldata unsealed)
        external
        returns (bytes32 digest, bytes32 seed, address store)
    {
        seed = keccak256(abi.encodePacked(randomness, committeeId, keccak256(packed)));
        digest = keccak256(abi.encodePacked(committeeId, seed, packed));
        bytes memory code = unsealed;
        assembly ("memory-safe") {
            mstore(add(code, 32), digest)
            mstore(add(code, 64), seed)
        }
        store = CodeStore.write(code);
    }

    /// @notice Copies the key records of `members` (at most 109) into one page, in their order.
    function share(Candidate[] memory members) external returns (address page) {
        return _writePage(_loadRecords(members, members.length));
    }

    /// @notice Sum of the keys of the committee behind `code`, EIP-2537 encoding.
    function aggregateKey(address code) external view returns (bytes memory) {
        return _readKey(code, CertificateVerifier.AGGREGATE_OFFSET - 1);
    }

    /// @notice Key of signer `index` of the committee behind `code`, EIP-2537 encoding.
    function memberKey(address code, uint256 index) external view returns (bytes memory) {
        uint256 entry = _entry(code, index);
        uint256 record = (entry >> 16 & 0xffff) * CertificateVerifier.RECORD_LENGTH;
        return _readKey(address(uint160(entry >> 32)), record + 32);
    }

    /// @notice Ids of the members of the committee behind `code`, in signer order.
    function memberIds(address code) external view returns (uint64[] memory ids) {
        ids = new uint64[](CertificateVerifier.sizeOf(code));
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = uint64(_entry(code, i) >> 192);
        }
    }

    /// @dev Moves the `seats` heaviest to the front, keeping the order within both parts; returns how many.
    function _selectTop(Candidate[] memory candidates, uint256 seats) private pure returns (uint256) {
        uint256 count = candidates.length;
        if (count <= seats) return count;
        uint256[] memory sorted = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            sorted[i] = _rank(candidates[i]);
        }
        Sort.sort(sorted);
        uint256 lowest = sorted[count - seats];

        Candidate[] memory all = new Candidate[](count);
        uint256 front;
        uint256 back = seats;
        for (uint256 i = 0; i < count; ++i) {
            all[_rank(candidates[i]) >= lowest ? front++ : back++] = candidates[i];
        }
        for (uint256 i = 0; i < count; ++i) {
            candidates[i] = all[i];
        }
        return seats;
    }

    /// @dev Heavier first, then the smaller id; distinct.
    function _rank(Candidate memory c) private pure returns (uint256) {
        return uint256(c.weight) << 64 | (type(uint64).max - c.id);
    }

    /// @dev Key records (identity 32 | packed key 192) of the first `size` candidates.
    function _loadRecords(Candidate[] memory candidates, uint256 size) private view returns (bytes[] memory records) {
        records = new bytes[](size);
        for (uint256 i = 0; i < size; ++i) {
            records[i] = CodeStore.read(
                candidates[i].keyPage,
                candidates[i].keyIndex * CertificateVerifier.RECORD_LENGTH,
                CertificateVerifier.RECORD_LENGTH
            );
        }
    }

    /// @dev Sorts the committee (as long as `records`) in place by binary insertion: mostly a few newcomers into a sorted list, and cheap
    ///      for any order, since a rotation must fit a transaction whatever its members chose.
    function _sortByIdentity(Candidate[] memory candidates, bytes[] memory records) private pure {
        for (uint256 i = 1; i < records.length; ++i) {
            bytes32 identity = _identity(records[i]);
            if (_identity(records[i - 1]) < identity) continue;
            uint256 low = 0;
            uint256 high = i - 1; // the one there is larger
            while (low < high) {
                uint256 middle = (low + high) / 2;
                if (_identity(records[middle]) > identity) high = middle;
                else low = middle + 1;
            }
            assembly ("memory-safe") {
                // Both arrays are of pointers: entry i goes to `low`, those from there on move up by one.
                function insert(array, from, to) {
                    let target := add(add(array, 32), mul(to, 32))
                    let source := add(add(array, 32), mul(from, 32))
                    let moved := mload(source)
                    mcopy(add(target, 32), target, sub(source, target))
                    mstore(target, moved)
                }
                insert(candidates, i, low)
                insert(records, i, low)
            }
        }
    }

    /// @dev Shares one page between the committee members whose record lies alone, once there are SHARE_AT of them.
    function _shareSingles(Candidate[] memory candidates, bytes[] memory records, Chosen memory chosen) private {
        uint256 size = records.length;
        Candidate[] memory singles = new Candidate[](size);
        bytes[] memory theirs = new bytes[](size);
        uint256 count;
        for (uint256 i = 0; i < size; ++i) {
            if (CodeStore.size(candidates[i].keyPage) != CertificateVerifier.RECORD_LENGTH) continue;
            (singles[count], theirs[count]) = (candidates[i], records[i]);
            ++count;
        }
        if (count < SHARE_AT) return;
        assembly ("memory-safe") {
            mstore(theirs, count)
        }
        chosen.page = _writePage(theirs);
        chosen.paged = _ids(singles, count);
        for (uint256 i = 0; i < count; ++i) {
            (singles[i].keyPage, singles[i].keyIndex) = (chosen.page, uint16(i));
        }
    }

    /// @dev A committee has at most 100 members and a page room for 109 records.
    function _writePage(bytes[] memory records) private returns (address) {
        bytes memory all = new bytes(records.length * CertificateVerifier.RECORD_LENGTH);
        for (uint256 i = 0; i < records.length; ++i) {
            uint256 from = Bls.memoryAt(records[i], 0);
            uint256 to = Bls.memoryAt(all, i * CertificateVerifier.RECORD_LENGTH);
            assembly ("memory-safe") {
                mcopy(to, from, 224) // RECORD_LENGTH
            }
        }
        return CodeStore.write(all);
    }

    /// @dev The packed members for L2 and events, and the committee's code with digest and seed still zero.
    function _assemble(Candidate[] memory candidates, bytes[] memory records)
        private
        view
        returns (bytes memory packed, bytes memory code)
    {
        uint256 size = records.length;
        // Words are written whole: each array has room for the tail of the last one and is cut to length afterwards.
        packed = new bytes(size * MEMBER_LENGTH + 32);
        code = new bytes(CertificateVerifier.ENTRIES_OFFSET - 1 + size * CertificateVerifier.ENTRY_LENGTH + 32);
        uint256 sum = Bls.memoryAt(new bytes(2 * Bls.G2_LENGTH), 0);
        for (uint256 i = 0; i < size; ++i) {
            uint256 record = Bls.memoryAt(records[i], 0);
            uint256 member = Bls.memoryAt(packed, i * MEMBER_LENGTH);
            uint256 id = candidates[i].id;
            uint256 weight = candidates[i].weight;
            uint256 entryAt =
                Bls.memoryAt(code, CertificateVerifier.ENTRIES_OFFSET - 1 + i * CertificateVerifier.ENTRY_LENGTH);
            uint256 entry =
                id << 192 | uint256(uint160(candidates[i].keyPage)) << 32 | uint256(candidates[i].keyIndex) << 16;
            assembly ("memory-safe") {
                mstore(member, shl(192, id))
                mcopy(add(member, 8), record, 32)
                mstore(add(member, 136), shl(128, weight))
                mstore(entryAt, entry)
            }
            Bls.compress(record + 32, member + 40);
            Bls.pad(record + 32, i == 0 ? sum : sum + Bls.G2_LENGTH);
            if (i != 0) assert(Bls.addInPlace(sum)); // registered keys are on the curve
        }
        Bls.pack(sum, Bls.memoryAt(code, CertificateVerifier.AGGREGATE_OFFSET - 1));
        assembly ("memory-safe") {
            mstore(packed, sub(mload(packed), 32))
            mstore(code, sub(mload(code), 32))
        }
    }

    function _ids(Candidate[] memory candidates, uint256 count) private pure returns (uint64[] memory ids) {
        ids = new uint64[](count);
        for (uint256 i = 0; i < count; ++i) {
            ids[i] = candidates[i].id;
        }
    }

    function _identity(bytes memory record) private pure returns (bytes32 identity) {
        assembly ("memory-safe") {
            identity := mload(add(record, 32))
        }
    }

    /// @dev Entry `index` of a committee's code, left-aligned: id u64 | key page 160 | key index u16.
    function _entry(address code, uint256 index) private view returns (uint256) {
        uint256 offset = CertificateVerifier.ENTRIES_OFFSET - 1 + index * CertificateVerifier.ENTRY_LENGTH;
        return uint256(bytes32(CodeStore.read(code, offset, CertificateVerifier.ENTRY_LENGTH)));
    }

    /// @dev The packed key at `offset` of a code store, padded.
    function _readKey(address store, uint256 offset) private view returns (bytes memory key) {
        bytes memory packed = CodeStore.read(store, offset, Bls.G2_PACKED_LENGTH);
        key = new bytes(Bls.G2_LENGTH);
        Bls.pad(Bls.memoryAt(packed, 0), Bls.memoryAt(key, 0));
    }
}
