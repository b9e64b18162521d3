// MiningRewards: a finite budget that pays sequencers for work proven in L2's state.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {IMiningRewards} from "../interfaces/IMiningRewards.sol";
import {IRollup} from "../interfaces/IRollup.sol";
import {ISequencerPool, Sequencer} from "../interfaces/ISequencerPool.sol";
import {Predeploys} from "../lib/Predeploys.sol";
import {OutputRootProof, SentMessages} from "../lib/SentMessages.sol";
import {Portal} from "./Portal.sol";

/// @notice Credits each epoch from the message that EpochLedger sent on L2, once that message is in a final output; nobody's word is taken.
///         Credits are pull payments, one record per sequencer. The budget can only be paid to sequencers: no call takes it back.
/// @dev docs/mining.md has the formulas. What is not earned stays in the budget, and the emission shrinks with the budget, so that nothing
///      here ever reverts for want of funds.
contract MiningRewards is IMiningRewards {
    using SafeERC20 for IERC20;

    error ConfigOutOfRange(string field, uint256 value);
    error AmountZero();
    error TransferMismatch(uint256 expected, uint256 received);
    error NotSplitter(address caller);
    error NotGovernor(address caller);
    error NotPool(address caller);
    error NotPayee(address caller, uint64 id);
    error RuleNotInFuture(uint256 from, uint256 lowest);
    error RuleParameterOutOfRange(Rule rule, uint256 parameter);
    error OutputNotFinal(uint256 outputIndex);
    error EpochOutOfOrder(uint64 epoch, uint64 lowest);
    error EpochNotContiguous(uint64 start, uint64 expected);
    error EpochReversed(uint64 start, uint64 end);
    error PaidTimeTooLong(uint64 paidTime, uint64 duration);
    error EpochInFuture(uint64 end, uint256 now_);
    error NothingToClaim(uint64 id);
    error CreditTooSmall(uint64 id, uint256 amount, uint256 credit);
    error RecipientIsContract(address recipient);

    event Funded(address indexed from, uint256 amount);
    event FeesAdded(uint256 amount);
    event RuleSet(uint64 indexed from, Rule rule, uint128 parameter);
    event EpochCredited(
        uint64 indexed epoch,
        uint64 indexed committeeId,
        uint64 start,
        uint64 end,
        uint64 paidTime,
        uint256 emission,
        uint256 paid,
        uint256 fees
    );
    event Credited(uint64 indexed epoch, uint64 indexed id, uint256 amount, uint256 fees);
    event Claimed(uint64 indexed id, address indexed to, uint256 amount, Destination destination);
    event MissedCleared(uint64 indexed id);

    enum Rule {
        TargetApr, // parameter: basis points of the committee's stake per year
        FixedPerBlock, // parameter: wei per block led
        Curve // parameter k, times 1e18: k * sqrt(stake) tokens per year
    }

    enum Destination {
        L1,
        L2,
        Relock
    }

    struct Config {
        IERC20 token;
        ISequencerPool pool;
        IRollup rollup;
        Portal portal;
        address splitter; // FeeSplitter
        address governor; // the timelock
        Rule rule;
        uint128 ruleParameter;
        uint64 taperPeriod; // seconds
        uint16 jailThresholdBps; // of the views drawn in an epoch
        uint16 jailEpochs; // bad epochs running
        uint64 firstEpochStart; // L2 timestamp that EpochLedger has at genesis
    }

    /// @notice One message of EpochLedger, with its place in the message passer's storage.
    struct EpochMessage {
        uint256 nonce;
        bytes data; // as EpochLedger.message gives it
        bytes[] storageProof; // trie nodes from the message passer's storage root to sentMessages[hash]
    }

    struct RuleChange {
        uint64 from; // L2 timestamp; epochs that start then or later
        Rule rule;
        uint128 parameter;
    }

    struct Record {
        uint128 credit; // wei not claimed yet
        uint64 clearedAt; // epochs that started earlier do not count as bad
        uint16 badEpochs; // running
    }

    /// @dev An epoch as told by EpochLedger.
    struct Epoch {
        uint64 number;
        uint64 committeeId;
        uint64 start; // L2 timestamps, seconds
        uint64 end;
        uint64 paidTime; // seconds, without outages
        bytes32[] members;
    }

    uint256 private constant BPS = 10_000;
    /// @notice Seconds of the year in which rules reckon.
    uint256 public constant YEAR = 365 days;
    /// @notice Largest parameter of TargetApr.
    uint256 public constant MAX_APR_BPS = 10_000;
    uint256 private constant ONE = 1e18;
    /// @dev L2 gas of the transfer to the recipient.
    uint64 private constant L2_GAS = 50_000;

    IERC20 public immutable TOKEN;
    ISequencerPool public immutable POOL;
    IRollup public immutable ROLLUP;
    Portal public immutable PORTAL;
    address public immutable SPLITTER;
    address public immutable GOVERNOR;
    /// @notice Seconds over which a budget would last at the largest emission it allows: each epoch may take budget * paidTime / TAPER_PERIOD.
    uint256 public immutable TAPER_PERIOD;
    /// @notice Share of its views, in basis points, that makes a sequencer's epoch a bad one.
    uint256 public immutable JAIL_THRESHOLD_BPS;
    /// @notice Bad epochs running that make a sequencer jailable; epochs in which it was not drawn are neither good nor bad.
    uint256 public immutable JAIL_EPOCHS;

    /// @notice Wei put into the budget so far, and credited out of it.
    uint128 public totalFunded;
    uint128 public totalCredited;
    /// @notice Wei of fees received so far, and credited out of them.
    uint128 public totalFees;
    uint128 public totalFeesCredited;
    /// @notice Lowest epoch that can be credited next.
    uint64 public nextEpoch;
    /// @notice End of the last credited epoch, and so start of the next: L2 timestamp.
    uint64 public creditedUntil;
    /// @notice Paid time in seconds and emission allowed, in wei, of the last epoch credited that had any.
    uint64 public lastDuration;
    uint128 public lastEmission;
    /// @dev Index in `_rules` of the one in force at the last credited epoch's start.
    uint32 private _ruleIndex;
    RuleChange[] private _rules;
    mapping(uint64 id => Record) private _records;

    constructor(Config memory config) {
        if (config.taperPeriod == 0) revert ConfigOutOfRange("taperPeriod", 0);
        if (config.jailThresholdBps == 0 || config.jailThresholdBps > BPS) {
            revert ConfigOutOfRange("jailThresholdBps", config.jailThresholdBps);
        }
        if (config.jailEpochs == 0) revert ConfigOutOfRange("jailEpochs", 0);
        TOKEN = config.token;
        POOL = config.pool;
        ROLLUP = config.rollup;
        PORTAL = config.portal;
        SPLITTER = config.splitter;
        GOVERNOR = config.governor;
        TAPER_PERIOD = config.taperPeriod;
        JAIL_THRESHOLD_BPS = config.jailThresholdBps;
        JAIL_EPOCHS = config.jailEpochs;
        creditedUntil = config.firstEpochStart;
        _pushRule(RuleChange({from: 0, rule: config.rule, parameter: config.ruleParameter}));
    }

    // ---- funds and rules ----

    /// @notice Adds to the budget, for good. Anyone.
    /// @param amount Wei of the token, pulled from the caller.
    function fund(uint256 amount) external {
        totalFunded += _pull(amount);
        emit Funded(msg.sender, amount);
    }

    /// @notice Adds fees, which the epochs of the next `creditEpochs` share out. Only the FeeSplitter.
    function addFees(uint256 amount) external {
        if (msg.sender != SPLITTER) revert NotSplitter(msg.sender);
        totalFees += _pull(amount);
        emit FeesAdded(amount);
    }

    /// @notice Changes the rule for epochs that start at `from` or later. Only the governor; never for the past, nor before a change
    ///         already made.
    function setRule(Rule rule, uint128 parameter, uint64 from) external {
        if (msg.sender != GOVERNOR) revert NotGovernor(msg.sender);
        uint256 lowest = Math.max(block.timestamp, _rules[_rules.length - 1].from) + 1;
        if (from < lowest) revert RuleNotInFuture(from, lowest);
        _pushRule(RuleChange({from: from, rule: rule, parameter: parameter}));
    }

    function _pushRule(RuleChange memory change) private {
        if (change.rule == Rule.TargetApr && change.parameter > MAX_APR_BPS) {
            revert RuleParameterOutOfRange(change.rule, change.parameter);
        }
        _rules.push(change);
        emit RuleSet(change.from, change.rule, change.parameter);
    }

    function _pull(uint256 amount) private returns (uint128) {
        if (amount == 0) revert AmountZero();
        uint256 before = TOKEN.balanceOf(address(this));
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = TOKEN.balanceOf(address(this)) - before;
        if (received != amount || amount > type(uint128).max) revert TransferMismatch(amount, received);
        return uint128(amount);
    }

    // ---- credits ----

    /// @notice Credits the next epochs, in order, from messages in the final output `outputIndex`. Anyone may call, and again after any
    ///         failure: the proof is against L2's state, so no message is ever used up.
    function creditEpochs(
        uint256 outputIndex,
        OutputRootProof calldata outputRootProof,
        EpochMessage[] calldata messages
    ) external {
        if (!ROLLUP.isFinal(outputIndex)) revert OutputNotFinal(outputIndex);
        SentMessages.requireOpened(ROLLUP.getL2Output(outputIndex).outputRoot, outputRootProof);
        Epoch[] memory epochs = new Epoch[](messages.length);
        uint256 time;
        for (uint256 i = 0; i < messages.length; ++i) {
            _requireSent(outputRootProof.messagePasserStorageRoot, messages[i]);
            epochs[i] = _decode(messages[i].data);
            time += epochs[i].paidTime;
        }
        // The fees that wait are split by paid time. Shares are differences of rounded running sums: each is exact to the wei, and they sum up
        // to the pot. What nobody earns of an epoch's share stays for the next call.
        (uint256 pot, uint256 passed, uint256 shared) = (feePot(), 0, 0);
        for (uint256 i = 0; i < epochs.length; ++i) {
            passed += epochs[i].paidTime;
            uint256 share = time == 0 ? 0 : pot * passed / time - shared;
            shared += share;
            _credit(epochs[i], share);
        }
    }

    /// @dev Shows that EpochLedger sent exactly this to exactly this contract.
    function _requireSent(bytes32 storageRoot, EpochMessage calldata m) private view {
        // As L2ToL1MessagePasser hashed it: no value, no gas.
        bytes32 withdrawalHash =
            keccak256(abi.encode(m.nonce, Predeploys.EPOCH_LEDGER, address(this), uint256(0), uint256(0), m.data));
        SentMessages.requireSent(storageRoot, withdrawalHash, m.storageProof);
    }

    function _decode(bytes calldata data) private pure returns (Epoch memory e) {
        (e.number, e.committeeId, e.start, e.end, e.paidTime, e.members) =
            abi.decode(data, (uint64, uint64, uint64, uint64, uint64, bytes32[]));
    }

    /// @param share Wei of the fee pot for this epoch.
    function _credit(Epoch memory e, uint256 share) private {
        // Time without gaps, so that no epoch can be skipped; numbers may skip, as a recovery makes them.
        if (e.number < nextEpoch) revert EpochOutOfOrder(e.number, nextEpoch);
        if (e.start != creditedUntil) revert EpochNotContiguous(e.start, creditedUntil);
        if (e.end < e.start) revert EpochReversed(e.start, e.end);
        if (e.paidTime > e.end - e.start) revert PaidTimeTooLong(e.paidTime, e.end - e.start);
        // However L2's clock was set, emission never runs ahead of L1's.
        if (e.end > block.timestamp) revert EpochInFuture(e.end, block.timestamp);
        (nextEpoch, creditedUntil) = (e.number + 1, e.end);

        (uint256[] memory effective, uint256 effectiveStake, uint256 stake, uint256 blocks) = _work(e.members);
        uint256 emission = _emission(_ruleAt(e.start), stake, blocks, e.paidTime);
        (uint256 paid, uint256 fees) = (0, 0);
        for (uint256 i = 0; i < e.members.length; ++i) {
            uint64 id = _id(e.members[i]);
            // Cannot overflow: every factor is below 2^128.
            uint256 amount = stake == 0 ? 0 : emission * effective[i] / stake;
            uint256 fee = effectiveStake == 0 ? 0 : share * effective[i] / effectiveStake;
            _book(id, e.members[i], e.start, amount + fee);
            (paid, fees) = (paid + amount, fees + fee);
            emit Credited(e.number, id, amount, fee);
        }
        // Floors: paid <= emission <= budget and fees <= share.
        totalCredited += uint128(paid);
        totalFeesCredited += uint128(fees);
        if (e.paidTime != 0) (lastDuration, lastEmission) = (e.paidTime, uint128(emission));
        emit EpochCredited(e.number, e.committeeId, e.start, e.end, e.paidTime, emission, paid, fees);
    }

    /// @dev Each member's stake times its performance, led / (led + missed) or 1 where it was never drawn; their sum, the whole stake and
    ///      the blocks led.
    function _work(bytes32[] memory members)
        private
        pure
        returns (uint256[] memory effective, uint256 effectiveStake, uint256 stake, uint256 blocks)
    {
        effective = new uint256[](members.length);
        for (uint256 i = 0; i < members.length; ++i) {
            (uint256 weight, uint256 led, uint256 missed) = _counts(members[i]);
            effective[i] = led + missed == 0 ? weight : weight * led / (led + missed);
            effectiveStake += effective[i];
            stake += weight;
            blocks += led;
        }
    }

    /// @dev What an epoch may pay, in wei: the rule, but no more than the budget's share for its paid time, `duration`.
    function _emission(RuleChange memory change, uint256 stake, uint256 blocks, uint256 duration)
        private
        view
        returns (uint256)
    {
        uint256 left = budget();
        uint256 slice = Math.min(left, left * duration / TAPER_PERIOD);
        uint256 wanted;
        if (change.rule == Rule.TargetApr) {
            wanted = stake * change.parameter * duration / (BPS * YEAR);
        } else if (change.rule == Rule.FixedPerBlock) {
            wanted = change.parameter * blocks;
        } else {
            // Both stake and k have 18 decimals, and so has the product's root.
            wanted = Math.mulDiv(change.parameter, Math.sqrt(stake * ONE) * duration, ONE * YEAR);
        }
        return Math.min(wanted, slice);
    }

    /// @dev The rule in force at `start`. Epochs come in order, so the search goes on where it ended.
    function _ruleAt(uint64 start) private returns (RuleChange memory) {
        uint256 index = _ruleIndex;
        uint256 last = _rules.length - 1;
        while (index < last && _rules[index + 1].from <= start) ++index;
        if (index != _ruleIndex) _ruleIndex = uint32(index);
        return _rules[index];
    }

    /// @dev Adds to a record, and keeps score of bad epochs.
    function _book(uint64 id, bytes32 member, uint64 start, uint256 amount) private {
        Record storage record = _records[id];
        (, uint256 led, uint256 missed) = _counts(member);
        Record memory r = record;
        if (led + missed != 0 && start >= r.clearedAt) {
            bool bad = missed * BPS >= JAIL_THRESHOLD_BPS * (led + missed);
            if (!bad) r.badEpochs = 0;
            else if (r.badEpochs != type(uint16).max) ++r.badEpochs;
        }
        // All credits together are at most totalFunded + totalFees: below 2^129. A sum of 2^128 needs a token of such a supply.
        r.credit += uint128(amount);
        (record.credit, record.clearedAt, record.badEpochs) = (r.credit, r.clearedAt, r.badEpochs);
    }

    function _id(bytes32 member) private pure returns (uint64) {
        return uint64(uint256(member) >> 192);
    }

    function _counts(bytes32 member) private pure returns (uint256 weight, uint256 led, uint256 missed) {
        uint256 word = uint256(member);
        return (uint128(word >> 64), uint32(word >> 32), uint32(word));
    }

    // ---- claims ----

    /// @notice Pays the whole credit of `id` to its recipient. Only its owner or recipient.
    function claimToL1(uint64 id) external returns (uint256 amount) {
        address recipient = _recipient(id);
        amount = _takeAll(id);
        TOKEN.safeTransfer(recipient, amount);
        emit Claimed(id, recipient, amount, Destination.L1);
    }

    /// @notice Pays the whole credit of `id` as native coin to its recipient's address on L2, by a deposit. Only its owner or recipient.
    /// @dev Refused where the recipient is a contract on L1: on L2 its address may be nobody's.
    function claimToL2(uint64 id) external returns (uint256 amount) {
        address recipient = _recipient(id);
        if (recipient.code.length != 0) revert RecipientIsContract(recipient);
        amount = _takeAll(id);
        TOKEN.forceApprove(address(PORTAL), amount);
        PORTAL.depositERC20Transaction(recipient, amount, amount, L2_GAS, false, "");
        emit Claimed(id, recipient, amount, Destination.L2);
    }

    /// @notice Adds `amount` of the credit of `id` to its lock, within the pool's limits. Only its owner or recipient.
    function relock(uint64 id, uint256 amount) external {
        _recipient(id);
        _take(id, amount);
        TOKEN.forceApprove(address(POOL), amount);
        POOL.increaseFor(id, amount);
        emit Claimed(id, address(POOL), amount, Destination.Relock);
    }

    /// @dev The recipient of `id`, for a caller who may claim.
    function _recipient(uint64 id) private view returns (address) {
        Sequencer memory s = POOL.sequencer(id);
        if (msg.sender != s.owner && msg.sender != s.recipient) revert NotPayee(msg.sender, id);
        return s.recipient;
    }

    function _takeAll(uint64 id) private returns (uint256 amount) {
        amount = _records[id].credit;
        if (amount == 0) revert NothingToClaim(id);
        _take(id, amount);
    }

    function _take(uint64 id, uint256 amount) private {
        if (amount == 0) revert AmountZero();
        uint256 credit = _records[id].credit;
        if (amount > credit) revert CreditTooSmall(id, amount, credit);
        _records[id].credit = uint128(credit - amount);
    }

    // ---- jail ----

    /// @inheritdoc IMiningRewards
    function jailable(uint64 id) external view returns (bool) {
        return _records[id].badEpochs >= JAIL_EPOCHS;
    }

    /// @inheritdoc IMiningRewards
    /// @dev Epochs are credited long after they ended; those from before the jail must not count again.
    function clearMissed(uint64 id) external {
        if (msg.sender != address(POOL)) revert NotPool(msg.sender);
        (_records[id].clearedAt, _records[id].badEpochs) = (uint64(block.timestamp), 0);
        emit MissedCleared(id);
    }

    // ---- views ----

    /// @notice Wei left to emit.
    function budget() public view returns (uint256) {
        return totalFunded - totalCredited;
    }

    /// @notice Wei of fees waiting for the next credited epochs.
    function feePot() public view returns (uint256) {
        return totalFees - totalFeesCredited;
    }

    /// @notice Seconds of paid time that the budget lasts at the rate of the last credited epoch; 2^256 - 1 where that emitted nothing. In the taper,
    ///         where the rate falls with the budget, it stays at about TAPER_PERIOD.
    function runway() external view returns (uint256) {
        uint256 left = budget();
        if (left == 0) return 0;
        return lastEmission == 0 ? type(uint256).max : left * lastDuration / lastEmission;
    }

    /// @notice Wei that `id` can claim.
    function claimable(uint64 id) external view returns (uint256) {
        return _records[id].credit;
    }

    /// @notice Record of `id`; all zero for an unknown one.
    function recordOf(uint64 id) external view returns (Record memory) {
        return _records[id];
    }

    /// @notice All rules, oldest first; each holds until the next one's `from`.
    function rules() external view returns (RuleChange[] memory) {
        return _rules;
    }
}
