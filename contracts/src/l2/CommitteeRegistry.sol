// CommitteeRegistry: the committees L1 has fixed, as L2 knows them.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Aliasing} from "../lib/Aliasing.sol";
import {CodeStore} from "../lib/CodeStore.sol";

/// @notice Predeploy 0x420000000000000000000000000000000000C001. Slots:
///         0 sequencerPool (its L1 address, NOT aliased), 1 latestCommittee, 2 mapping(uint64 => bytes32) seed,
///         3 mapping(uint64 => address) pointer: a contract whose code is 0x00 followed by packedMembers.
///         Genesis writes slots 0 and 1, and seed and pointer of committee 1 (a mapping's value is at keccak256(id as u256 | slot as u256)).
/// @dev packedMembers is, per member in ascending order of identity: id u64 | identity 32 | compressed BLS key 96 | weight u128, big-endian.
contract CommitteeRegistry {
    error NotSequencerPool(address caller);
    error CommitteeOutOfOrder(uint64 id, uint256 lowest);
    error MembersLength(uint256 length, uint256 memberLength);
    error UnknownCommittee(uint64 id);

    event CommitteeSet(uint64 indexed id, bytes32 seed, address pointer);

    /// @notice Bytes of one packed member.
    uint256 public constant MEMBER_LENGTH = 152;

    /// @notice L1 address of the SequencerPool.
    address public sequencerPool;
    /// @notice Newest committee known here.
    uint256 public latestCommittee;
    /// @notice Seed of the leader draw, per committee.
    mapping(uint64 id => bytes32) public seed;
    /// @notice Code store of the packed members, per committee.
    mapping(uint64 id => address) public pointer;

    /// @notice Deposit from SequencerPool.rotate(). Ids rise.
    function setCommittee(uint64 id, bytes32 seed_, bytes calldata packedMembers) external {
        if (msg.sender != Aliasing.toL2(sequencerPool)) revert NotSequencerPool(msg.sender);
        // Not "exactly the next": a deposit that was lost must not keep out all committees after it.
        if (id <= latestCommittee) revert CommitteeOutOfOrder(id, latestCommittee + 1);
        if (packedMembers.length == 0 || packedMembers.length % MEMBER_LENGTH != 0) {
            revert MembersLength(packedMembers.length, MEMBER_LENGTH);
        }
        latestCommittee = id;
        seed[id] = seed_;
        pointer[id] = CodeStore.write(packedMembers);
        emit CommitteeSet(id, seed_, pointer[id]);
    }

    /// @notice Packed members of committee `id`.
    function members(uint64 id) external view returns (bytes memory) {
        address store = _store(id);
        return CodeStore.read(store, 0, CodeStore.size(store));
    }

    /// @notice Number of members of committee `id`.
    function size(uint64 id) external view returns (uint256) {
        return CodeStore.size(_store(id)) / MEMBER_LENGTH;
    }

    function _store(uint64 id) private view returns (address store) {
        store = pointer[id];
        if (store == address(0)) revert UnknownCommittee(id);
    }
}
