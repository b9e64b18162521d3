// ISequencerPool: committees, as the Rollup sees them.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

interface ISequencerPool {
    /// @notice Newest fixed committee; 0 before the first rotation.
    function latestCommittee() external view returns (uint64);
    /// @notice The code store of committee `id` (layout: CertificateVerifier); reverts for an unknown id.
    function committeeCode(uint64 id) external view returns (address);
}
