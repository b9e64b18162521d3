// ISequencerPool: stake and committees, as other L1 contracts see them.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

enum Status {
    None, // unknown, or left for good: what it had is in tickets
    Queued,
    Active,
    Exiting, // still active, waiting for its turn to leave
    Jailed
}

struct Sequencer {
    uint128 amount; // locked, wei of the token; tickets not included
    uint64 since; // L1 time at which `status` began
    Status status;
    uint16 keyIndex; // record in the page
    address keyPage;
    address owner; // kept after it left
    address recipient; // of rewards; never zero
}

/// @notice Stake on its way out.
struct Ticket {
    uint64 sequencerId;
    uint64 claimableAt; // L1 time
    uint128 amount; // wei of the token; a slash makes it smaller
}

interface ISequencerPool {
    /// @notice Seconds between the issue of a ticket and its claim.
    function UNBONDING_PERIOD() external view returns (uint256);
    /// @notice Record of sequencer `id`; all zero for an unknown one.
    function sequencer(uint64 id) external view returns (Sequencer memory);
    /// @notice Lock and unclaimed tickets of sequencer `id`, wei of the token: what a slash can reach.
    function stakeOf(uint64 id) external view returns (uint256);
    /// @notice Identity key to the id it was ever registered for; 0 if none.
    function idOfIdentity(bytes32 identity) external view returns (uint64);
    /// @notice keccak256 of a consensus key (EIP-2537, 256 bytes) to the id it was ever registered for; 0 if none.
    function idOfConsensusKey(bytes32 keyHash) external view returns (uint64);
    /// @notice Whether a sequencer that has not left names `account` as the one that posts batches for it.
    function isPoster(address account) external view returns (bool);
    /// @notice An unclaimed ticket; all zero if there is none.
    function ticket(uint256 ticketId) external view returns (Ticket memory);

    /// @notice Newest fixed committee; 0 before the first was sealed.
    function latestCommittee() external view returns (uint64);
    /// @notice The code store of committee `id` (layout: CertificateVerifier); reverts for an unknown id.
    function committeeCode(uint64 id) external view returns (address);
    /// @notice A fixed committee. `digest` = keccak256(id u64 | seed | packedMembers); `fixedAt` is the L1 time of its seal.
    function committee(uint64 id)
        external
        view
        returns (uint256 size, bytes32 digest, bytes32 seed, uint64 fixedAt, address code, uint64[] memory memberIds);

    /// @notice Adds `amount` (wei of the token, pulled from the caller) to the lock of `id`, whoever owns it.
    function increaseFor(uint64 id, uint256 amount) external;
    /// @notice Takes from lock and tickets of sequencer `id` the larger of `bps` / 10,000 of them and `minimum` (wei), at most all of it, and
    ///         removes the sequencer for good. Slasher only. Never reverts for an id that was ever registered.
    /// @param reporter Is credited with the reporter's share; zero: nobody is.
    /// @return penalty Wei taken.
    function slash(uint64 id, uint256 bps, uint256 minimum, address reporter) external returns (uint256 penalty);
}
