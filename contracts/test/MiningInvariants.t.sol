// MiningInvariants: random funders, epochs, fees, claims and rules; a ghost copy predicts every wei (invariant 2 of docs/mining.md).
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {MiningRewards} from "../src/l1/MiningRewards.sol";
import {OutputRootProof} from "../src/lib/SentMessages.sol";
import {InvariantBase} from "./base/InvariantBase.sol";
import {memberWord} from "./base/L2.sol";
import {Mining} from "./base/Mining.sol";
import {vm} from "./base/Vm.sol";

/// @dev Every action succeeds by construction (fail_on_revert), so a refusal is a finding too.
contract MiningHandler is Mining {
    uint64 private constant IDS = 4;

    struct Ghost {
        uint256 funded;
        uint256 fees; // handed to the rewards
        uint256 arrived; // at the splitter
        uint256 gone; // treasury and burnt
        uint256 donated; // sent to the rewards without a call
        uint256 allowed; // sum of what each epoch might pay
        uint256 time; // seconds credited
        uint256 claimed;
        uint256 relocked;
    }

    Ghost public ghost;
    mapping(uint64 id => uint256) public ghostEarned;
    mapping(uint64 id => uint256) public ghostClaimed;
    mapping(uint64 id => uint256) public ghostBad;
    uint256 private _poolBefore;
    // The last credited messages, to try again.
    uint256 private _index;
    OutputRootProof private _opened;
    MiningRewards.EpochMessage[] private _messages;
    // The rules, a copy: from, kind, parameter.
    uint256[3][] private _rules;

    constructor() {
        deployMining(IDS, false);
        _poolBefore = token.balanceOf(address(pool));
        _rules.push([uint256(0), 0, 2000]);
    }

    modifier later() {
        vm.roll(height() + 1);
        _;
    }

    function addToBudget(uint256 amount) external later {
        amount = bound(amount, 1, 5_000e18);
        fundBudget(amount);
        ghost.funded += amount;
    }

    function donate(uint256 amount) external later {
        amount = bound(amount, 0, 10e18);
        vm.prank(HOLDER);
        token.transfer(address(rewards), amount);
        ghost.donated += amount;
    }

    function feesArrive(uint256 amount) external later {
        amount = bound(amount, 1, 100e18);
        vm.prank(HOLDER);
        token.transfer(address(splitter), amount);
        ghost.arrived += amount;
    }

    function settle() external later {
        uint256 fresh = ghost.arrived - ghost.fees - ghost.gone - splitter.posterPot();
        splitter.settle();
        ghost.fees += fresh * 5000 / 10_000;
        ghost.gone = ghost.arrived - ghost.fees - splitter.posterPot();
    }

    function changeRule(uint256 kind, uint256 parameter, uint256 delay) external later {
        if (_rules.length == 12) return;
        kind %= 3;
        parameter = kind == 0 ? bound(parameter, 0, 10_000) : bound(parameter, 0, kind == 1 ? 1e18 : 1_000e18);
        uint256 from = now_() + bound(delay, 1, 10 days);
        uint256 last = _rules[_rules.length - 1][0];
        if (from <= last) from = last + 1;
        vm.prank(GOVERNOR);
        rewards.setRule(MiningRewards.Rule(kind), uint128(parameter), uint64(from));
        _rules.push([from, kind, parameter]);
    }

    /// @dev One to three epochs of four members each in one call, any counts and stakes, of up to ten days each, of which any part is paid;
    ///      numbers may skip.
    function creditEpochs(uint256 seed, uint256 skip, uint256 duration) external later {
        uint256 count = 1 + seed % 3;
        (uint64[] memory times, uint256 time) = (new uint64[](count), 0);
        for (uint256 i = 0; i < count; ++i) {
            uint256 draw = uint256(keccak256(abi.encode(seed, "time", i)));
            times[i] = uint64(draw >> 128 & 1 == 0 ? EPOCH_SECONDS : draw % (10 days + 1));
            time += times[i];
        }
        uint256 pot = ghost.fees - rewards.totalFeesCredited();
        uint256 left = ghost.funded - rewards.totalCredited();
        uint64 number = rewards.nextEpoch();
        uint64 start = rewards.creditedUntil();
        bytes[] memory datas = new bytes[](count);
        for (uint256 i = 0; i < count; ++i) {
            // In half of the epochs there was an outage.
            uint64 end = start + times[i] + uint64(duration >> i & 1 == 0 ? 0 : bound(duration, 0, 10 days));
            bytes32[] memory members = drawMembers(uint256(keccak256(abi.encode(seed, "members", i))));
            number += uint64(skip >> i) % 3;
            datas[i] = told(number++, start, end, times[i], members);
            uint256 share = time == 0 ? 0 : Math.mulDiv(pot, times[i], time, Math.Rounding.Ceil);
            left -= expectCredits(start, times[i], left, share, members);
            ghost.time += end - start;
            start = end;
        }
        if (now_() < start) vm.warp(start);

        MiningRewards.EpochMessage[] memory list;
        (_index, _opened, list) = publish(datas, 2);
        delete _messages;
        for (uint256 i = 0; i < count; ++i) {
            _messages.push(list[i]);
        }
        vm.warp(now_() + WINDOW);
        rewards.creditEpochs(_index, _opened, list);
        for (uint64 i = 0; i < IDS; ++i) {
            uint256 credited = rewards.claimable(i + 1) + ghostClaimed[i + 1];
            uint256 expected = ghostEarned[i + 1];
            yes(credited + 5 * count >= expected && credited <= expected, "each credit as the formula says");
            ghostEarned[i + 1] = credited;
        }
    }

    function drawMembers(uint256 seed) private pure returns (bytes32[] memory members) {
        members = new bytes32[](IDS);
        for (uint64 i = 0; i < IDS; ++i) {
            uint256 draw = uint256(keccak256(abi.encode(seed, i)));
            members[i] = memberWord(
                i + 1,
                draw % 10 == 0 ? 0 : bound(draw, MIN_LOCK, MAX_LOCK),
                draw >> 100 & 1 == 0 ? 0 : uint32(draw >> 128) % 1000,
                draw >> 101 & 1 == 0 ? 0 : uint32(draw >> 160) % 1000
            );
        }
    }

    /// @dev The formulas of docs/mining.md once more, each in one fraction; floors lose at most a few wei below. `left` is the budget,
    ///      `share` what the epoch has of the fees. Returns what it takes of the budget.
    function expectCredits(uint256 start, uint256 duration, uint256 left, uint256 share, bytes32[] memory members)
        private
        returns (uint256 paid)
    {
        (uint256 stake, uint256 blocks, uint256 worked) = (0, 0, 0);
        for (uint256 i = 0; i < IDS; ++i) {
            (uint256 weight, uint256 led, uint256 missed) = countsOf(members[i]);
            stake += weight;
            blocks += led;
            worked += led + missed == 0 ? weight : weight * led / (led + missed);
            if (led + missed == 0 || start < rewards.recordOf(uint64(i + 1)).clearedAt) continue;
            ghostBad[uint64(i + 1)] = missed * 2 >= led + missed ? ghostBad[uint64(i + 1)] + 1 : 0;
        }
        uint256 wanted = wantedBy(ruleAt(start), stake, blocks, duration);
        uint256 slice = left * duration / TAPER;
        uint256 emission = wanted < slice ? wanted : slice;
        ghost.allowed += emission;
        for (uint256 i = 0; i < IDS; ++i) {
            (uint256 weight, uint256 led, uint256 missed) = countsOf(members[i]);
            (uint256 over, uint256 under) = led + missed == 0 ? (weight, uint256(1)) : (weight * led, led + missed);
            // Of the budget the exact floors: the next epoch's slice is cut from what is left.
            if (stake != 0) paid += emission * (over / under) / stake;
            if (stake != 0) ghostEarned[uint64(i + 1)] += emission * over / (under * stake);
            if (worked != 0) ghostEarned[uint64(i + 1)] += (share * over / under + worked - 1) / worked;
        }
    }

    function countsOf(bytes32 member) private pure returns (uint256 weight, uint256 led, uint256 missed) {
        return (uint128(uint256(member) >> 64), uint32(uint256(member) >> 32), uint32(uint256(member)));
    }

    function ruleAt(uint256 start) private view returns (uint256[3] memory rule) {
        for (uint256 i = 0; i < _rules.length; ++i) {
            if (_rules[i][0] <= start) rule = _rules[i];
        }
    }

    function wantedBy(uint256[3] memory rule, uint256 stake, uint256 blocks, uint256 duration)
        private
        pure
        returns (uint256)
    {
        if (rule[1] == 0) return stake * rule[2] * duration / 10_000 / 365 days;
        if (rule[1] == 1) return rule[2] * blocks;
        return rule[2] * sqrt(stake * 1e18) * duration / 365 days / 1e18;
    }

    /// @dev Floor of the square root, by bisection.
    function sqrt(uint256 x) private pure returns (uint256 low) {
        uint256 high = 1 << 128;
        while (high - low > 1) {
            uint256 middle = (low + high) / 2;
            if (middle * middle <= x) low = middle;
            else high = middle;
        }
    }

    function claimToL1(uint64 id) external later {
        id = id % IDS + 1;
        if (rewards.claimable(id) == 0) return;
        uint256 before = token.balanceOf(ownerOf[id]);
        vm.prank(ownerOf[id]);
        uint256 amount = rewards.claimToL1(id);
        eq(token.balanceOf(ownerOf[id]) - before, amount, "paid");
        claimed(id, amount);
    }

    function claimToL2(uint64 id) external later {
        id = id % IDS + 1;
        if (rewards.claimable(id) == 0) return;
        uint256 before = token.balanceOf(address(portal));
        vm.prank(ownerOf[id]);
        uint256 amount = rewards.claimToL2(id);
        eq(token.balanceOf(address(portal)) - before, amount, "escrowed");
        claimed(id, amount);
    }

    function relock(uint64 id, uint256 amount) external later {
        id = id % IDS + 1;
        uint256 most = MAX_LOCK - pool.sequencer(id).amount;
        if (rewards.claimable(id) < most) most = rewards.claimable(id);
        if (most == 0) return;
        amount = bound(amount, 1, most);
        vm.prank(ownerOf[id]);
        rewards.relock(id, amount);
        ghost.relocked += amount;
        claimed(id, amount);
    }

    function claimed(uint64 id, uint256 amount) private {
        ghostClaimed[id] += amount;
        ghost.claimed += amount;
    }

    function clear(uint64 id) external later {
        id = id % IDS + 1;
        vm.prank(address(pool));
        rewards.clearMissed(id);
        ghostBad[id] = 0;
    }

    /// @dev The last messages again: refused, whatever happened since.
    function replay() external later {
        if (_index == 0) return;
        (bool ok,) = address(rewards).call(abi.encodeCall(MiningRewards.creditEpochs, (_index, _opened, _messages)));
        yes(!ok, "credited twice");
    }

    // ---- what must hold ----

    function check() external view {
        uint256 credits;
        uint256 earned;
        for (uint64 id = 1; id <= IDS; ++id) {
            credits += rewards.claimable(id);
            earned += ghostEarned[id];
            eq(rewards.claimable(id), ghostEarned[id] - ghostClaimed[id], "own credit less own claims");
            yes(rewards.jailable(id) == (ghostBad[id] >= JAIL_EPOCHS), "jailable");
        }
        yes(rewards.totalCredited() <= ghost.allowed, "credited <= emission allowed");
        eq(rewards.totalCredited() + rewards.budget(), ghost.funded, "credits + unpaid budget = funded");
        eq(rewards.totalFeesCredited() + rewards.feePot(), ghost.fees, "fees credited + pot = fees handed over");
        eq(rewards.totalCredited() + rewards.totalFeesCredited(), earned, "every credit has an earner");
        eq(credits + ghost.claimed, earned, "earned = claimable + claimed");
        eq(
            token.balanceOf(address(rewards)),
            rewards.budget() + rewards.feePot() + credits + ghost.donated,
            "backed to the wei"
        );
        eq(rewards.creditedUntil() - genesis, ghost.time, "time without gaps");
        eq(token.balanceOf(address(pool)), _poolBefore + ghost.relocked, "relocked");
        eq(
            token.balanceOf(address(splitter)) + ghost.fees + ghost.gone,
            ghost.arrived,
            "splitter: every wei that arrived"
        );
    }
}

contract MiningInvariantTest is InvariantBase {
    MiningHandler private _handler;

    function setUp() public {
        _handler = new MiningHandler();
        drive(address(_handler));
        act(MiningHandler.addToBudget.selector);
        act(MiningHandler.donate.selector);
        act(MiningHandler.feesArrive.selector);
        act(MiningHandler.settle.selector);
        act(MiningHandler.changeRule.selector);
        act(MiningHandler.creditEpochs.selector);
        act(MiningHandler.claimToL1.selector);
        act(MiningHandler.claimToL2.selector);
        act(MiningHandler.relock.selector);
        act(MiningHandler.clear.selector);
        act(MiningHandler.replay.selector);
    }

    function invariant_everyWeiIsAccountedFor() public view {
        _handler.check();
    }
}
