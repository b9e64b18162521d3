// ISequencerPool: committees and slashable stake, as Rollup and Slasher see them.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

interface ISequencerPool {
    /// @notice Newest fixed committee; 0 before the first rotation.
    function latestCommittee() external view returns (uint64);
    /// @notice The code store of committee `id` (layout: CertificateVerifier); reverts for an unknown id.
    function committeeCode(uint64 id) external view returns (address);
    /// @notice Seconds for which stake that leaves stays slashable.
    function UNBONDING_PERIOD() external view returns (uint256);
}

interface ISlashablePool is ISequencerPool {
    /// @notice Takes from lock and tickets of sequencer `id` the larger of `bps` / 10,000 of them and `minimum` (wei), at most all of it, and
    ///         removes the sequencer from the set. Slasher only. Never reverts for an id that was ever registered.
    /// @param reporter Is credited with the reporter's share.
    /// @return penalty Wei taken.
    function slash(uint64 id, uint256 bps, uint256 minimum, address reporter) external returns (uint256 penalty);
}
