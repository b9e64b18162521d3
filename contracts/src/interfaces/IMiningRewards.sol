// IMiningRewards: who missed too many slots, as the SequencerPool sees it.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

interface IMiningRewards {
    /// @notice Whether sequencer `id` missed its slots for so long that anyone may jail it.
    function jailable(uint64 id) external view returns (bool);
    /// @notice Forgets what sequencer `id` missed; only the pool calls, when the sequencer comes back from jail.
    function clearMissed(uint64 id) external;
}
