// EpochLedger: who led and who missed on L2, epoch by epoch, told to MiningRewards on L1.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {CodeStore} from "../lib/CodeStore.sol";
import {Predeploys} from "../lib/Predeploys.sol";
import {CommitteeRegistry} from "./CommitteeRegistry.sol";
import {FeeVault} from "./FeeVault.sol";
import {L2ToL1MessagePasser} from "./L2ToL1MessagePasser.sol";

/// @notice Predeploy 0x420000000000000000000000000000000000C002. Slots: 0 rewards and maxGap (genesis writes both),
///         1 current (genesis writes it, startedAt = the genesis block's timestamp), 2 messages, 3 to 27 the counts of the running epoch.
/// @dev The state transition calls `record` at the start of every block, so a revert of it would be a block nobody can execute: counting
///      is bounded by MAX_MEMBERS and saturates, and closing an epoch runs in a call of its own that may fail without harm.
contract EpochLedger {
    error NotSystem(address caller);
    error NotSelf(address caller);

    struct Running {
        uint64 epoch; // lowest bits of the slot
        uint64 committeeId;
        uint64 startedAt; // L2 timestamp, seconds
        uint32 elapsed; // seconds from startedAt to the newest block; saturates
        uint32 paidTime; // of these seconds, those that are paid for; saturates
    }

    struct Message {
        uint256 nonce; // of the withdrawal; zero: nothing was sent
        address data; // code store
    }

    /// @notice Members counted, as many as a committee may have (CertificateVerifier.MAX_MEMBERS); positions beyond are ignored.
    uint256 public constant MAX_MEMBERS = 100;
    /// @dev Packed member of the registry: id u64 | identity 32 | key 96 | weight u128.
    uint256 private constant MEMBER_LENGTH = 152;
    uint256 private constant WEIGHT_OFFSET = 136;
    /// @dev Four members share a slot; member i has the 64 bits from 64 * (i % 4) up: led u32 above missed u32.
    uint256 private constant MEMBERS_PER_SLOT = 4;
    uint256 private constant COUNT_BITS = 32;

    /// @notice L1 address of MiningRewards.
    address public rewards;
    /// @notice Seconds between a block and its parent that are paid for at most, so that nobody is paid for an outage: some intervals of the
    ///         chain's heartbeat.
    uint64 public maxGap;
    /// @notice The running epoch, its committee and its start: the first block's timestamp, or that of the first epoch since the last
    ///         message where epochs in between could not be told.
    Running public current;
    mapping(uint64 epoch => Message) private _messages;
    uint256[MAX_MEMBERS / MEMBERS_PER_SLOT] private _counts;

    /// @notice System call at the start of every block from the first: what the block's header says. In the first block of an epoch it
    ///         first tells L1 about the epoch before, and flushes the FeeVault.
    /// @param leader Position of the block's leader in committee `committeeId`.
    /// @param missed Positions of the leaders of the views skipped since the parent; one entry per view.
    function record(uint64 epoch, uint64 committeeId, uint32 leader, uint32[] calldata missed) external {
        if (msg.sender != Predeploys.SYSTEM_ADDRESS) revert NotSystem(msg.sender);
        Running memory running = current;
        // Before an epoch is closed: the time up to its successor's first block is its own.
        _pass(running);
        if (epoch == running.epoch && committeeId == running.committeeId) {
            current = running;
        } else {
            bool told;
            // Messages rise in epoch: of two committees within one number, which no valid chain has, the first is dropped.
            if (epoch > running.epoch) {
                try this.tell(running) returns (bool sent) {
                    told = sent;
                } catch {}
            }
            delete _counts;
            // L1 wants epochs without gaps in time: one that could not be told gives its time to the next.
            (running.epoch, running.committeeId) = (epoch, committeeId);
            if (told) (running.startedAt, running.elapsed, running.paidTime) = (uint64(block.timestamp), 0, 0);
            current = running;
            // Fails below its minimum. By hand, so that no answer can harm.
            (bool flushed,) = Predeploys.FEE_VAULT.call(abi.encodeCall(FeeVault.flush, ()));
            flushed;
        }
        _count(leader, COUNT_BITS);
        for (uint256 i = 0; i < missed.length; ++i) {
            _count(missed[i], 0);
        }
    }

    /// @notice Part of `record`, in a call of its own. Sends abi.encode(epoch u64, committeeId u64, start u64, end u64, paidTime u64,
    ///         bytes32[] members), a member being id u64 | weight u128 | led u32 | missed u32 from the highest bits down.
    /// @return sent False where the registry does not know the committee.
    function tell(Running calldata running) external returns (bool sent) {
        if (msg.sender != address(this)) revert NotSelf(msg.sender);
        bytes32[] memory members = _members(running.committeeId);
        if (members.length == 0) return false;
        bytes memory data = abi.encode(
            running.epoch,
            running.committeeId,
            running.startedAt,
            uint64(block.timestamp),
            uint64(running.paidTime),
            members
        );
        L2ToL1MessagePasser passer = L2ToL1MessagePasser(payable(Predeploys.MESSAGE_PASSER));
        // A system call leaves no log, so both halves of the message are kept here.
        _messages[running.epoch] = Message(passer.messageNonce(), CodeStore.write(data));
        passer.initiateWithdrawal(rewards, 0, data);
        return true;
    }

    /// @notice Withdrawal nonce and data of the message about `epoch`; a nonce of zero where none was sent.
    function message(uint64 epoch) external view returns (uint256 nonce, bytes memory data) {
        Message memory m = _messages[epoch];
        return (m.nonce, CodeStore.read(m.data, 0, CodeStore.size(m.data)));
    }

    /// @notice Blocks led and views missed in the running epoch by the member at position `index`, below MAX_MEMBERS.
    function counts(uint256 index) public view returns (uint32 led, uint32 missed) {
        uint256 both = _counts[index / MEMBERS_PER_SLOT] >> _shift(index);
        return (uint32(both >> COUNT_BITS), uint32(both));
    }

    /// @dev Adds the time between parent and block to a running epoch, and at most maxGap of it to what is paid for.
    function _pass(Running memory running) private view {
        uint256 last = uint256(running.startedAt) + running.elapsed;
        if (block.timestamp <= last) return;
        uint256 gap = block.timestamp - last;
        running.elapsed = _saturated(running.elapsed + gap);
        running.paidTime = _saturated(running.paidTime + Math.min(gap, maxGap));
    }

    function _saturated(uint256 value) private pure returns (uint32) {
        return uint32(Math.min(value, type(uint32).max));
    }

    /// @dev Saturates.
    function _count(uint32 index, uint256 offset) private {
        if (index >= MAX_MEMBERS) return;
        uint256 shift = _shift(index) + offset;
        uint256 word = _counts[index / MEMBERS_PER_SLOT];
        if (uint32(word >> shift) == type(uint32).max) return;
        _counts[index / MEMBERS_PER_SLOT] = word + (1 << shift);
    }

    /// @dev The member words of committee `id`; none if the registry does not know it.
    function _members(uint64 id) private view returns (bytes32[] memory members) {
        address store = CommitteeRegistry(Predeploys.COMMITTEE_REGISTRY).pointer(id);
        uint256 size = CodeStore.size(store) / MEMBER_LENGTH;
        if (size > MAX_MEMBERS) size = MAX_MEMBERS;
        bytes memory packed = CodeStore.read(store, 0, size * MEMBER_LENGTH);
        members = new bytes32[](size);
        for (uint256 i = 0; i < size; ++i) {
            uint256 idWord;
            uint256 weightWord;
            assembly ("memory-safe") {
                let member := add(add(packed, 32), mul(i, MEMBER_LENGTH))
                idWord := mload(member)
                weightWord := mload(add(member, WEIGHT_OFFSET))
            }
            (uint32 led, uint32 missed) = counts(i);
            members[i] = bytes32(
                (idWord >> 192) << 192 | (weightWord >> 128) << 64 | uint256(led) << COUNT_BITS | uint256(missed)
            );
        }
    }

    function _shift(uint256 index) private pure returns (uint256) {
        return index % MEMBERS_PER_SLOT * (2 * COUNT_BITS);
    }
}
