// Mining: MiningRewards and FeeSplitter over a deployed system, and proven messages of EpochLedger for them.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IMiningRewards} from "../../src/interfaces/IMiningRewards.sol";
import {IRollup, OutputProposal} from "../../src/interfaces/IRollup.sol";
import {FeeSplitter} from "../../src/l1/FeeSplitter.sol";
import {MiningRewards} from "../../src/l1/MiningRewards.sol";
import {Predeploys} from "../../src/lib/Predeploys.sol";
import {OutputRootProof} from "../../src/lib/SentMessages.sol";
import {Trie} from "./Trie.sol";
import {vm} from "./Vm.sol";
import {Withdrawals} from "./Withdrawals.sol";

/// @dev Outputs and costs as a test states them; the real Rollup wants a certificate for each.
contract Rollup__Mock {
    mapping(uint256 index => OutputProposal) private _outputs;
    mapping(address poster => uint256) public postingCost;
    uint256 private immutable _window;
    uint256 public latest;

    constructor(uint256 window) {
        _window = window;
    }

    function push(bytes32 outputRoot) external returns (uint256 index) {
        index = ++latest;
        _outputs[index] = OutputProposal(outputRoot, uint128(vm.getBlockTimestamp()), uint128(index));
    }

    function spend(address poster, uint256 ether_) external {
        postingCost[poster] += ether_;
    }

    function getL2Output(uint256 index) external view returns (OutputProposal memory) {
        return _outputs[index];
    }

    function isFinal(uint256 index) external view returns (bool) {
        return vm.getBlockTimestamp() >= _outputs[index].timestamp + _window;
    }
}

abstract contract Mining is Withdrawals {
    address internal constant REWARDS_DEPLOYER = address(0xde94e3a4);
    address internal constant TREASURY = address(0x74ea5049);
    uint64 internal constant TAPER = 365 days;
    uint64 internal constant EPOCH_SECONDS = 8500; // preset metis: 1,000 blocks at 8.5 s
    uint16 internal constant JAIL_BPS = 5000;
    uint16 internal constant JAIL_EPOCHS = 3;
    bytes internal constant TRUE = hex"01";

    MiningRewards internal rewards;
    FeeSplitter internal splitter;
    /// @dev What the rewards believe: the real rollup, or `mock`.
    IRollup internal outputs;
    Rollup__Mock internal mock;
    /// @dev L2 time at which epoch 0 began.
    uint64 internal genesis;
    uint256 internal sent;

    function deployMining(uint256 count, bool real) internal {
        deploy(count);
        vm.roll(height() + 10);
        genesis = uint64(now_());
        mock = new Rollup__Mock(WINDOW);
        outputs = real ? IRollup(address(rollup)) : IRollup(address(mock));
        address predicted = vm.computeCreateAddress(REWARDS_DEPLOYER, 1);
        address pooled = address(poolRewards());
        vm.startPrank(REWARDS_DEPLOYER, REWARDS_DEPLOYER);
        rewards = createRewards(rewardsConfig(predicted));
        splitter = FeeSplitter(create("FeeSplitter", abi.encode(splitterConfig())));
        vm.stopPrank();
        eq(address(rewards), pooled, "rewards address");
        eq(address(splitter), predicted, "splitter address");
    }

    /// @dev The rewards come last, from an account that does nothing else.
    function poolRewards() internal pure override returns (IMiningRewards) {
        return IMiningRewards(vm.computeCreateAddress(REWARDS_DEPLOYER, 0));
    }

    function createRewards(MiningRewards.Config memory c) internal returns (MiningRewards) {
        return MiningRewards(create("MiningRewards", abi.encode(c)));
    }

    function rewardsConfig(address splitter_) internal view returns (MiningRewards.Config memory) {
        return MiningRewards.Config({
            token: IERC20(address(token)),
            pool: pool,
            rollup: outputs,
            portal: portal,
            splitter: splitter_,
            governor: GOVERNOR,
            rule: MiningRewards.Rule.TargetApr,
            ruleParameter: 2000,
            taperPeriod: TAPER,
            jailThresholdBps: JAIL_BPS,
            jailEpochs: JAIL_EPOCHS,
            firstEpochStart: genesis
        });
    }

    function splitterConfig() internal view returns (FeeSplitter.Config memory) {
        return FeeSplitter.Config({
            token: IERC20(address(token)),
            rewards: rewards,
            rollup: outputs,
            oracle: oracle,
            governor: GOVERNOR,
            treasury: TREASURY,
            sequencersBps: 5000,
            postersBps: 3000,
            treasuryBps: 1500
        });
    }

    function fundBudget(uint256 amount) internal {
        fund(HOLDER, address(rewards), amount);
        vm.prank(HOLDER);
        rewards.fund(amount);
    }

    /// @dev Fees as the splitter hands them over.
    function addFees(uint256 amount) internal {
        fund(address(splitter), address(rewards), amount);
        vm.prank(address(splitter));
        rewards.addFees(amount);
    }

    // ---- messages ----

    /// @dev What EpochLedger sends about `epoch`, which follows the last credited one and lasts `duration` seconds.
    function told(uint64 epoch, uint64 duration, bytes32[] memory members) internal view returns (bytes memory) {
        uint64 start = rewards.creditedUntil();
        return told(epoch, start, start + duration, members);
    }

    /// @dev Without an outage: all of its time is paid for.
    function told(uint64 epoch, uint64 start, uint64 end, bytes32[] memory members)
        internal
        pure
        returns (bytes memory)
    {
        return told(epoch, start, end, end > start ? end - start : 0, members);
    }

    function told(uint64 epoch, uint64 start, uint64 end, uint64 paidTime, bytes32[] memory members)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encode(epoch, uint64(1), start, end, paidTime, members);
    }

    function messageHash(uint256 nonce, address sender, address target, uint256 value, bytes memory data)
        internal
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(nonce, sender, target, value, uint256(0), data));
    }

    /// @dev Path of sentMessages[hash] in the message passer's trie.
    function pathOf(bytes32 hash) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256(abi.encode(hash, uint256(0)))));
    }

    /// @dev Messages about `datas`, proven in an output of their own, `depth` branch nodes deep.
    function publish(bytes[] memory datas, uint256 depth)
        internal
        returns (uint256 index, OutputRootProof memory opened, MiningRewards.EpochMessage[] memory messages)
    {
        bytes32[] memory paths = new bytes32[](datas.length);
        messages = new MiningRewards.EpochMessage[](datas.length);
        uint256 taken;
        for (uint256 i = 0; i < datas.length; ++i) {
            uint256 nibble;
            // The trie of the tests wants first nibbles that differ.
            do {
                messages[i].nonce = uint256(1) << 240 | ++sent;
                paths[i] =
                    pathOf(messageHash(messages[i].nonce, Predeploys.EPOCH_LEDGER, address(rewards), 0, datas[i]));
                nibble = Trie.nibble(paths[i], 0);
            } while (taken >> nibble & 1 == 1);
            taken |= 1 << nibble;
            messages[i].data = datas[i];
        }
        (bytes32 root, bytes[][] memory proofs) = Trie.forest(paths, depth, TRUE);
        for (uint256 i = 0; i < datas.length; ++i) {
            messages[i].storageProof = proofs[i];
        }
        (index, opened) = output(root);
    }

    function publish(bytes memory data)
        internal
        returns (uint256 index, OutputRootProof memory opened, MiningRewards.EpochMessage[] memory messages)
    {
        bytes[] memory datas = new bytes[](1);
        datas[0] = data;
        return publish(datas, 1);
    }

    /// @dev An output whose message passer has storage root `root`, final WINDOW from now.
    function output(bytes32 root) internal returns (uint256 index, OutputRootProof memory opened) {
        if (address(outputs) == address(rollup)) return postOutput(root);
        opened = OutputRootProof({
            version: 0,
            stateRoot: keccak256(abi.encode("state", root)),
            messagePasserStorageRoot: root,
            latestBlockhash: keccak256(abi.encode("block", root))
        });
        index = mock.push(keccak256(abi.encode(opened)));
    }

    /// @dev Proves and credits one message, as soon as its output is final.
    function credit(bytes memory data) internal {
        (uint256 index, OutputRootProof memory opened, MiningRewards.EpochMessage[] memory messages) = publish(data);
        vm.warp(now_() + WINDOW);
        rewards.creditEpochs(index, opened, messages);
    }

    /// @dev Credits the next epoch of `duration` seconds, and sees to it that it is in the past.
    function creditNext(uint64 duration, bytes32[] memory members) internal {
        uint64 end = rewards.creditedUntil() + duration;
        if (now_() < end) vm.warp(end);
        credit(told(rewards.nextEpoch(), duration, members));
    }

    function one(bytes32 word) internal pure returns (bytes32[] memory members) {
        members = new bytes32[](1);
        members[0] = word;
    }

    function two(bytes32 a, bytes32 b) internal pure returns (bytes32[] memory members) {
        members = new bytes32[](2);
        (members[0], members[1]) = (a, b);
    }
}
