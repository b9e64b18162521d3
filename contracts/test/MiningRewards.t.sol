// MiningRewards: proofs, rules, taper, claims and jail.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {MiningRewards} from "../src/l1/MiningRewards.sol";
import {Portal} from "../src/l1/Portal.sol";
import {SequencerPool} from "../src/l1/SequencerPool.sol";
import {EpochLedger} from "../src/l2/EpochLedger.sol";
import {Aliasing} from "../src/lib/Aliasing.sol";
import {MerklePatricia} from "../src/lib/MerklePatricia.sol";
import {Predeploys} from "../src/lib/Predeploys.sol";
import {OutputRootProof, SentMessages} from "../src/lib/SentMessages.sol";
import {L2, memberWord} from "./base/L2.sol";
import {Mining} from "./base/Mining.sol";
import {Trie} from "./base/Trie.sol";
import {vm} from "./base/Vm.sol";

contract MiningRewardsTest is Mining {
    uint256 private constant YEAR = 365 days;
    uint256 private constant BUDGET = 1_000_000e18;

    function setUp() public {
        deployMining(4, false);
        fundBudget(BUDGET);
    }

    // ---- construction and funds ----

    function test_configIsBounded() public {
        MiningRewards.Config memory c = rewardsConfig(address(splitter));
        c.taperPeriod = 0;
        expectConfig("taperPeriod", 0);
        new MiningRewards(c);
        c = rewardsConfig(address(splitter));
        c.jailThresholdBps = 0;
        expectConfig("jailThresholdBps", 0);
        new MiningRewards(c);
        c.jailThresholdBps = 10_001;
        expectConfig("jailThresholdBps", 10_001);
        new MiningRewards(c);
        c = rewardsConfig(address(splitter));
        c.jailEpochs = 0;
        expectConfig("jailEpochs", 0);
        new MiningRewards(c);
        c = rewardsConfig(address(splitter));
        c.ruleParameter = 10_001;
        vm.expectRevert(
            abi.encodeWithSelector(MiningRewards.RuleParameterOutOfRange.selector, MiningRewards.Rule.TargetApr, 10_001)
        );
        new MiningRewards(c);
    }

    function test_anyoneFunds() public {
        address donor = address(0xd0402);
        fund(donor, address(rewards), 5e18);
        vm.expectEmit(address(rewards));
        emit MiningRewards.Funded(donor, 5e18);
        vm.prank(donor);
        rewards.fund(5e18);
        eq(rewards.budget(), BUDGET + 5e18, "budget");
        eq(token.balanceOf(address(rewards)), BUDGET + 5e18, "balance");
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.AmountZero.selector));
        rewards.fund(0);
    }

    function test_onlyTheSplitterAddsFees() public {
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.NotSplitter.selector, address(this)));
        rewards.addFees(1);
        vm.prank(address(splitter));
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.AmountZero.selector));
        rewards.addFees(0);
        addFees(7e18);
        eq(rewards.feePot(), 7e18, "pot");
        eq(rewards.budget(), BUDGET, "not the budget");
    }

    // ---- proofs ----

    function test_creditsByTheFormula() public {
        addFees(90e18);
        bytes32[] memory members = new bytes32[](3);
        members[0] = memberWord(1, 20_000e18, 30, 10); // three quarters
        members[1] = memberWord(2, 30_000e18, 0, 5); // nothing
        members[2] = memberWord(3, 50_000e18, 0, 0); // never drawn: all
        bytes memory data = told(0, EPOCH_SECONDS, members);
        vm.warp(now_() + EPOCH_SECONDS);
        (uint256 index, OutputRootProof memory opened, MiningRewards.EpochMessage[] memory messages) = publish(data);
        vm.warp(now_() + WINDOW);

        uint256 emission = 100_000e18 * uint256(2000) * EPOCH_SECONDS / (10_000 * YEAR);
        uint256 first = emission * 15_000 / 100_000;
        uint256 third = emission * 50_000 / 100_000;
        uint256 firstFees = 90e18 * uint256(15_000) / 65_000;
        uint256 thirdFees = 90e18 * uint256(50_000) / 65_000;
        vm.expectEmit(address(rewards));
        emit MiningRewards.Credited(0, 1, first, firstFees);
        vm.expectEmit(address(rewards));
        emit MiningRewards.Credited(0, 2, 0, 0);
        vm.expectEmit(address(rewards));
        emit MiningRewards.Credited(0, 3, third, thirdFees);
        vm.expectEmit(address(rewards));
        emit MiningRewards.EpochCredited(
            0, 1, genesis, genesis + EPOCH_SECONDS, EPOCH_SECONDS, emission, first + third, firstFees + thirdFees
        );
        rewards.creditEpochs(index, opened, messages);

        eq(rewards.claimable(1), first + firstFees, "led three of four");
        eq(rewards.claimable(2), 0, "led none");
        eq(rewards.claimable(3), third + thirdFees, "never drawn");
        eq(rewards.budget(), BUDGET - first - third, "what nobody earned stays");
        yes(rewards.feePot() <= 2, "fees go to those who worked");
        eq(rewards.nextEpoch(), 1, "next");
        eq(rewards.creditedUntil(), genesis + EPOCH_SECONDS, "until");
    }

    function test_onlyFinalOutputsCount() public {
        bytes memory data = told(0, 60, one(memberWord(1, 20_000e18, 1, 0)));
        vm.warp(now_() + 60);
        (uint256 index, OutputRootProof memory opened, MiningRewards.EpochMessage[] memory messages) = publish(data);
        vm.warp(now_() + WINDOW - 1);
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.OutputNotFinal.selector, index));
        rewards.creditEpochs(index, opened, messages);
        vm.warp(now_() + 1);
        rewards.creditEpochs(index, opened, messages);
        yes(rewards.claimable(1) != 0, "after all");
    }

    function test_anotherOutputIsRefused() public {
        vm.warp(now_() + 60);
        (uint256 index, OutputRootProof memory opened, MiningRewards.EpochMessage[] memory messages) =
            publish(told(0, 60, one(memberWord(1, 20_000e18, 1, 0))));
        (uint256 other,) = output(keccak256("another root"));
        vm.warp(now_() + WINDOW);
        bytes32 expected = outputs.getL2Output(other).outputRoot;
        bytes32 given = keccak256(abi.encode(opened));
        vm.expectRevert(abi.encodeWithSelector(SentMessages.OutputRootMismatch.selector, expected, given));
        rewards.creditEpochs(other, opened, messages);
        opened.stateRoot = keccak256("forged");
        given = keccak256(abi.encode(opened));
        expected = outputs.getL2Output(index).outputRoot;
        vm.expectRevert(abi.encodeWithSelector(SentMessages.OutputRootMismatch.selector, expected, given));
        rewards.creditEpochs(index, opened, messages);
    }

    /// @dev The original paid by counts that nobody checked. Here every bit of a message is under the proof.
    function test_F13_countsAreProven() public {
        vm.warp(now_() + 60);
        bytes memory honest = told(0, 60, two(memberWord(1, 20_000e18, 3, 1), memberWord(2, 20_000e18, 3, 1)));
        uint256 nonce = uint256(1) << 240;
        (bytes32 root, bytes[] memory proof) =
            singleLeaf(messageHash(nonce, Predeploys.EPOCH_LEDGER, address(rewards), 0, honest));
        (uint256 index, OutputRootProof memory opened) = output(root);
        vm.warp(now_() + WINDOW);
        MiningRewards.EpochMessage[] memory messages = new MiningRewards.EpochMessage[](1);
        for (uint256 i = 0; i < honest.length * 8; ++i) {
            bytes memory forged = abi.encodePacked(honest);
            forged[i / 8] ^= bytes1(uint8(1 << (i % 8)));
            messages[0] = MiningRewards.EpochMessage(nonce, forged, proof);
            vm.expectRevert(abi.encodeWithSelector(MerklePatricia.ProofKeyAbsent.selector, 0));
            rewards.creditEpochs(index, opened, messages);
        }
        messages[0] = MiningRewards.EpochMessage(nonce + 1, honest, proof);
        vm.expectRevert(abi.encodeWithSelector(MerklePatricia.ProofKeyAbsent.selector, 0));
        rewards.creditEpochs(index, opened, messages);
        messages[0].nonce = nonce;
        rewards.creditEpochs(index, opened, messages);
    }

    function test_forgedProofsAreRefused() public {
        vm.warp(now_() + 60);
        (uint256 index, OutputRootProof memory opened, MiningRewards.EpochMessage[] memory messages) =
            publish(told(0, 60, one(memberWord(1, 20_000e18, 1, 0))));
        vm.warp(now_() + WINDOW);
        bytes[] memory honest = messages[0].storageProof;
        messages[0].storageProof = new bytes[](0);
        vm.expectRevert(abi.encodeWithSelector(MerklePatricia.ProofTooShort.selector, 0));
        rewards.creditEpochs(index, opened, messages);
        messages[0].storageProof = new bytes[](1);
        messages[0].storageProof[0] = "not the root";
        vm.expectRevert(
            abi.encodeWithSelector(MerklePatricia.ProofNodeHash.selector, 0, opened.messagePasserStorageRoot)
        );
        rewards.creditEpochs(index, opened, messages);
        messages[0].storageProof = honest;
        rewards.creditEpochs(index, opened, messages);
    }

    /// @dev Messages that somebody else sent, or that go somewhere else, or carry value: other hashes, though each is in the trie.
    function test_wrongSenderTargetAndValueAreRefused() public {
        vm.warp(now_() + 60);
        bytes memory data = told(0, 60, one(memberWord(1, 20_000e18, 1, 0)));
        uint256 nonce = uint256(1) << 240;
        bytes32[4] memory hashes = [
            messageHash(nonce, address(0xbad), address(rewards), 0, data),
            messageHash(nonce, Predeploys.EPOCH_LEDGER, address(splitter), 0, data),
            messageHash(nonce, Predeploys.EPOCH_LEDGER, address(rewards), 1, data),
            keccak256(abi.encode(nonce, Predeploys.EPOCH_LEDGER, address(rewards), uint256(0), uint256(50_000), data))
        ];
        for (uint256 i = 0; i < hashes.length; ++i) {
            (bytes32 root, bytes[] memory proof) = singleLeaf(hashes[i]);
            (uint256 index, OutputRootProof memory opened) = output(root);
            vm.warp(now_() + WINDOW);
            MiningRewards.EpochMessage[] memory messages = new MiningRewards.EpochMessage[](1);
            messages[0] = MiningRewards.EpochMessage(nonce, data, proof);
            vm.expectRevert(abi.encodeWithSelector(MerklePatricia.ProofKeyAbsent.selector, 0));
            rewards.creditEpochs(index, opened, messages);
        }
    }

    function test_anotherValueInTheTrieIsRefused() public {
        vm.warp(now_() + 60);
        bytes memory data = told(0, 60, one(memberWord(1, 20_000e18, 1, 0)));
        uint256 nonce = uint256(1) << 240;
        bytes32[] memory paths = new bytes32[](1);
        bytes32 hash = messageHash(nonce, Predeploys.EPOCH_LEDGER, address(rewards), 0, data);
        paths[0] = pathOf(hash);
        (bytes32 root, bytes[][] memory proofs) = Trie.forest(paths, 1, hex"02");
        (uint256 index, OutputRootProof memory opened) = output(root);
        vm.warp(now_() + WINDOW);
        MiningRewards.EpochMessage[] memory messages = new MiningRewards.EpochMessage[](1);
        messages[0] = MiningRewards.EpochMessage(nonce, data, proofs[0]);
        vm.expectRevert(abi.encodeWithSelector(SentMessages.MessageNotSent.selector, hash, hex"02"));
        rewards.creditEpochs(index, opened, messages);
    }

    function test_epochsComeInOrderAndOnce() public {
        bytes32[] memory members = one(memberWord(1, 20_000e18, 1, 0));
        bytes[] memory datas = new bytes[](2);
        datas[0] = told(4, genesis, genesis + 60, members);
        datas[1] = told(6, genesis + 60, genesis + 120, members); // a recovery moved the number
        vm.warp(now_() + 120);
        (uint256 index, OutputRootProof memory opened, MiningRewards.EpochMessage[] memory messages) = publish(datas, 2);
        vm.warp(now_() + WINDOW);

        MiningRewards.EpochMessage[] memory second = new MiningRewards.EpochMessage[](1);
        second[0] = messages[1];
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.EpochNotContiguous.selector, genesis + 60, genesis));
        rewards.creditEpochs(index, opened, second); // nobody can skip another's epoch
        eq(rewards.nextEpoch(), 0, "nothing happened");

        rewards.creditEpochs(index, opened, messages);
        eq(rewards.nextEpoch(), 7, "both");
        uint256 credited = rewards.claimable(1);
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.EpochOutOfOrder.selector, 4, 7));
        rewards.creditEpochs(index, opened, messages);
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.EpochOutOfOrder.selector, 6, 7));
        rewards.creditEpochs(index, opened, second);
        eq(rewards.claimable(1), credited, "once");

        expectRefusal(told(7, genesis + 119, genesis + 200, members));
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.EpochNotContiguous.selector, genesis + 119, genesis + 120));
        rewards.creditEpochs(_index, _opened, _messages); // overlap
        expectRefusal(told(7, genesis + 121, genesis + 200, members));
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.EpochNotContiguous.selector, genesis + 121, genesis + 120));
        rewards.creditEpochs(_index, _opened, _messages); // gap in time
        expectRefusal(told(7, genesis + 120, genesis + 119, members));
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.EpochReversed.selector, genesis + 120, genesis + 119));
        rewards.creditEpochs(_index, _opened, _messages);
    }

    /// @dev Whatever L2's leaders make of their clock, no more is emitted than for the time that passed on L1.
    function test_emissionNeverRunsAheadOfL1() public {
        vm.warp(now_() + 60);
        uint64 end = uint64(now_() + WINDOW + 1);
        expectRefusal(told(0, genesis, end, one(memberWord(1, 20_000e18, 1, 0))));
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.EpochInFuture.selector, end, now_()));
        rewards.creditEpochs(_index, _opened, _messages);
        vm.warp(end);
        rewards.creditEpochs(_index, _opened, _messages);
    }

    uint256 private _index;
    OutputRootProof private _opened;
    MiningRewards.EpochMessage[] private _messages;

    /// @dev Publishes `data` in a final output, for a call that is to be refused.
    function expectRefusal(bytes memory data) private {
        delete _messages;
        MiningRewards.EpochMessage[] memory messages;
        (_index, _opened, messages) = publish(data);
        _messages.push(messages[0]);
        vm.warp(now_() + WINDOW);
    }

    /// @dev An outage of ten days within an epoch pays nobody, by either rule that pays for time, and does not tap the budget.
    function test_anOutageIsNotPaid() public {
        bytes32[] memory members = one(memberWord(1, 50_000e18, 10, 0));
        uint64 start = rewards.creditedUntil();
        uint64 end = start + EPOCH_SECONDS + 10 days;
        vm.warp(end);
        credit(told(0, start, end, EPOCH_SECONDS, members));
        uint256 expected = uint256(50_000e18) * 2000 * EPOCH_SECONDS / (10_000 * YEAR);
        eq(rewards.claimable(1), expected, "TargetApr: only its paid time");
        eq(rewards.creditedUntil(), end, "but there is no gap");
        eq(rewards.lastDuration(), EPOCH_SECONDS, "runway goes by paid time");
        // All of it was an outage.
        start = end;
        end += 10 days;
        vm.warp(end);
        credit(told(1, start, end, 0, members));
        eq(rewards.claimable(1), expected, "nothing");
        eq(rewards.lastEmission(), expected, "the last rate is that of an epoch that had time");

        setRule(MiningRewards.Rule.Curve, 100e18);
        start = rewards.creditedUntil();
        end = start + EPOCH_SECONDS + 10 days;
        vm.warp(end);
        credit(told(rewards.nextEpoch(), start, end, EPOCH_SECONDS, one(memberWord(1, 10_000e18, 1, 0))));
        eq(rewards.lastEmission(), 10_000e18 * uint256(EPOCH_SECONDS) / YEAR, "Curve: the same");

        // The slice of the budget as well, whatever the rule.
        start = end;
        end += 10 days;
        vm.warp(end);
        uint256 left = rewards.budget();
        credit(told(rewards.nextEpoch(), start, end, EPOCH_SECONDS, one(memberWord(1, type(uint128).max, 1, 0))));
        eq(rewards.lastEmission(), left * EPOCH_SECONDS / TAPER, "slice");
    }

    function test_noMoreTimeIsPaidThanPassed() public {
        vm.warp(now_() + 60);
        expectRefusal(told(0, genesis, genesis + 60, 61, one(memberWord(1, 20_000e18, 1, 0))));
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.PaidTimeTooLong.selector, 61, 60));
        rewards.creditEpochs(_index, _opened, _messages);
    }

    // ---- fees ----

    /// @dev All fees used to go to the first epoch of a call.
    function test_feesAreSplitByPaidTime() public {
        // Three epochs of 100, 300 and 200 seconds paid, each with a member of its own; the second half an outage.
        bytes[] memory datas = new bytes[](3);
        datas[0] = told(0, genesis, genesis + 100, one(memberWord(1, 20_000e18, 1, 0)));
        datas[1] = told(1, genesis + 100, genesis + 700, 300, one(memberWord(2, 90_000e18, 1, 0)));
        datas[2] = told(2, genesis + 700, genesis + 900, two(memberWord(3, 1e18, 1, 0), memberWord(4, 1e18, 1, 0)));
        vm.warp(now_() + 900);
        setBudgetAside();
        addFees(600e18 + 3);
        creditAll(datas);
        eq(rewards.claimable(1), 100e18, "100 of 600 s, rounded down");
        eq(rewards.claimable(2), 300e18 + 2, "300 of 600 s, with what the first left");
        eq(rewards.claimable(3), 100e18, "half of 200 of 600 s");
        eq(rewards.claimable(4), 100e18, "the other half");
        eq(rewards.feePot(), 1, "the wei that does not divide stays for the next");
    }

    /// @dev Shares of epochs in which nobody worked wait, and so do all where no time is paid.
    function test_feesThatNobodyEarnedWait() public {
        bytes[] memory datas = new bytes[](2);
        datas[0] = told(0, genesis, genesis + 100, one(memberWord(1, 20_000e18, 0, 7)));
        datas[1] = told(1, genesis + 100, genesis + 400, one(memberWord(2, 20_000e18, 1, 0)));
        vm.warp(now_() + 400);
        setBudgetAside();
        addFees(400e18);
        creditAll(datas);
        eq(rewards.claimable(2), 300e18, "no more than its share");
        eq(rewards.feePot(), 100e18, "waits");
        credit(told(2, genesis + 400, genesis + 400, one(memberWord(2, 20_000e18, 1, 0))));
        eq(rewards.feePot(), 100e18, "no time, no share");
        creditNext(1, one(memberWord(2, 20_000e18, 1, 0)));
        eq(rewards.claimable(2), 400e18, "and is paid");
    }

    /// @dev Every wei of a pot goes to one of the epochs, in proportion to its paid time, give or take a wei.
    function testFuzz_feeSharesAddUp(uint32[5] memory times, uint128 fees) public {
        fees = uint128(bound(fees, 1, 100_000e18));
        bytes[] memory datas = new bytes[](5);
        (uint64 end, uint256 sum) = (genesis, 0);
        for (uint64 i = 0; i < 5; ++i) {
            uint64 time = times[i] % 100_000;
            datas[i] = told(i, end, end + time, one(memberWord(i + 1, 1e18, 1, 0)));
            (end, sum) = (end + time, sum + time);
        }
        vm.warp(end);
        setBudgetAside();
        addFees(fees);
        creditAll(datas);
        for (uint64 i = 0; i < 5 && sum != 0; ++i) {
            uint256 fair = uint256(fees) * (times[i] % 100_000) / sum;
            uint256 got = rewards.claimable(i + 1);
            yes(got + 1 >= fair && got <= fair + 1, "by its paid time");
        }
        eq(rewards.feePot(), sum == 0 ? fees : 0, "every wei");
    }

    /// @dev No emission, so that all credits are fees.
    function setBudgetAside() private {
        rewards = new MiningRewards(rewardsConfig(address(splitter)));
    }

    function creditAll(bytes[] memory datas) private {
        (uint256 index, OutputRootProof memory opened, MiningRewards.EpochMessage[] memory messages) = publish(datas, 2);
        vm.warp(now_() + WINDOW);
        rewards.creditEpochs(index, opened, messages);
    }

    function test_oddEpochsAreSurvived() public {
        uint64 epoch = 0;
        credit(told(epoch++, 0, one(memberWord(1, 20_000e18, 1, 0)))); // no time passed
        eq(rewards.claimable(1), 0, "no time, no emission");
        eq(rewards.runway(), type(uint256).max, "no rate");
        creditNext(60, new bytes32[](0)); // nobody
        creditNext(60, one(memberWord(1, 0, 1, 0))); // no stake
        creditNext(60, two(memberWord(1, 20_000e18, 0, 1), memberWord(2, 20_000e18, 0, 9))); // nobody worked
        eq(rewards.budget(), BUDGET, "nothing earned");
        addFees(5e18);
        creditNext(60, one(memberWord(1, 20_000e18, 0, 1)));
        eq(rewards.feePot(), 5e18, "fees wait for somebody who worked");
        creditNext(60, two(memberWord(9, 20_000e18, 1, 0), memberWord(9, 20_000e18, 1, 0)));
        yes(rewards.claimable(9) >= 5e18, "one record, two entries");
        creditNext(60, one(memberWord(1, type(uint128).max, type(uint32).max, type(uint32).max)));
        yes(rewards.claimable(1) != 0, "the largest numbers there are");
    }

    /// @dev In the original one stale signer made the payment of everybody revert. Here records do not know each other.
    function test_F12_oneBadRecordCannotStopOthers() public {
        uint64 contractRecipient = 2;
        vm.etch(ownerOf[contractRecipient], hex"fe"); // takes no call
        vm.prank(ownerOf[3]);
        pool.exit(3); // leaving
        bytes32[] memory members = new bytes32[](6);
        members[0] = memberWord(1, 20_000e18, 5, 0);
        members[1] = memberWord(contractRecipient, 20_000e18, 5, 0);
        members[2] = memberWord(3, 20_000e18, 5, 0);
        members[3] = memberWord(777, 20_000e18, 5, 0); // unknown to the pool
        members[4] = memberWord(0, 0, 0, 0); // nonsense
        members[5] = memberWord(4, 20_000e18, 5, 0);
        creditNext(EPOCH_SECONDS, members);
        uint256 share = rewards.claimable(1);
        yes(share != 0, "credited");
        eq(rewards.claimable(2), share, "each");
        eq(rewards.claimable(3), share, "each");
        eq(rewards.claimable(777), share, "each");
        eq(rewards.claimable(4), share, "each");

        vm.prank(ownerOf[2]);
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.RecipientIsContract.selector, ownerOf[2]));
        rewards.claimToL2(2);
        uint64[3] memory good = [uint64(1), 3, 4];
        for (uint256 i = 0; i < good.length; ++i) {
            vm.prank(ownerOf[good[i]]);
            eq(rewards.claimToL1(good[i]), share, "the others are paid");
        }
        creditNext(EPOCH_SECONDS, members);
        eq(rewards.claimable(1), share, "and go on");
    }

    // ---- rules ----

    function test_targetAprPaysTheRate() public {
        creditNext(uint64(YEAR / 10), one(memberWord(1, 50_000e18, 1, 0)));
        eq(rewards.claimable(1), 1_000e18, "20% of 50,000 for a tenth of a year");
    }

    function test_fixedPerBlockPaysBlocks() public {
        setRule(MiningRewards.Rule.FixedPerBlock, 0.01247842237e18);
        creditNext(EPOCH_SECONDS, two(memberWord(1, 60_000e18, 700, 0), memberWord(2, 40_000e18, 290, 10)));
        uint256 emission = 990 * 0.01247842237e18;
        eq(rewards.lastEmission(), emission, "blocks led, nothing else");
        eq(rewards.claimable(1), emission * 60_000 / 100_000, "by stake");
        eq(rewards.claimable(2), emission * (uint256(40_000e18) * 290 / 300) / 100_000e18, "and performance");
        creditNext(EPOCH_SECONDS * 2, two(memberWord(1, 60_000e18, 700, 0), memberWord(2, 40_000e18, 290, 10)));
        eq(rewards.lastEmission(), emission, "whatever the time");
    }

    function test_curveFallsWithTheRootOfStake() public {
        setRule(MiningRewards.Rule.Curve, 100e18); // 100 * sqrt(stake) tokens a year
        creditNext(uint64(YEAR / 100), one(memberWord(1, 10_000e18, 1, 0)));
        eq(rewards.lastEmission(), 100e18, "100 * 100 / 100");
        creditNext(uint64(YEAR / 100), one(memberWord(1, 40_000e18, 1, 0)));
        eq(rewards.lastEmission(), 200e18, "twice for four times the stake");
    }

    /// @dev A new rule from a second after the next epoch's start, so that one epoch closes under the old rule.
    function setRule(MiningRewards.Rule rule, uint128 parameter) private {
        uint64 from = uint64(now_() + 1);
        vm.prank(GOVERNOR);
        rewards.setRule(rule, parameter, from);
        creditNext(from - rewards.creditedUntil(), new bytes32[](0));
    }

    function test_rulesChangeOnlyForTheFuture() public {
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.NotGovernor.selector, address(this)));
        rewards.setRule(MiningRewards.Rule.TargetApr, 1500, uint64(now_() + 1));
        uint64 present = uint64(now_());
        vm.prank(GOVERNOR);
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.RuleNotInFuture.selector, present, uint256(present) + 1));
        rewards.setRule(MiningRewards.Rule.TargetApr, 1500, present);
        vm.prank(GOVERNOR);
        vm.expectRevert(
            abi.encodeWithSelector(MiningRewards.RuleParameterOutOfRange.selector, MiningRewards.Rule.TargetApr, 10_001)
        );
        rewards.setRule(MiningRewards.Rule.TargetApr, 10_001, present + 1);

        vm.expectEmit(address(rewards));
        emit MiningRewards.RuleSet(present + 100, MiningRewards.Rule.TargetApr, 1000);
        vm.prank(GOVERNOR);
        rewards.setRule(MiningRewards.Rule.TargetApr, 1000, present + 100);
        vm.prank(GOVERNOR);
        vm.expectRevert(
            abi.encodeWithSelector(MiningRewards.RuleNotInFuture.selector, present + 100, uint256(present) + 101)
        );
        rewards.setRule(MiningRewards.Rule.TargetApr, 500, present + 100);
        vm.prank(GOVERNOR);
        rewards.setRule(MiningRewards.Rule.TargetApr, 500, present + 150);
        vm.prank(GOVERNOR);
        rewards.setRule(MiningRewards.Rule.TargetApr, 0, present + 300);
        eq(rewards.rules().length, 4, "all kept");

        // Credited long after all changes; each epoch by the rule at its start.
        vm.warp(now_() + 30 days);
        bytes32[] memory members = one(memberWord(1, 31_536e18, 1, 0)); // 1e15 a second at 100%
        creditNext(99, members); // starts at +0
        eq(rewards.lastEmission(), 99e15 / 5, "20%");
        creditNext(1, members); // starts at +99
        eq(rewards.lastEmission(), 1e15 / uint256(5), "20%, the last second");
        creditNext(100, members); // starts at +100, although the rule changes within
        eq(rewards.lastEmission(), 100e15 / uint256(10), "10%");
        creditNext(200, members); // starts at +200
        eq(rewards.lastEmission(), 200e15 / uint256(20), "5%, past a rule no epoch began under");
        creditNext(10, members); // +400
        eq(rewards.lastEmission(), 0, "nothing");
    }

    // ---- taper ----

    /// @dev The budget runs down towards nothing, ever more slowly; no step reverts, none is a cliff.
    function test_theTaperHasNoCliff() public {
        bytes32[] memory members = one(memberWord(1, 9_000_000e18, 1, 0)); // asks for 1.8M a year of a budget of 1M
        uint256 last = type(uint256).max;
        uint256 before = rewards.budget();
        for (uint256 i = 0; i < 400; ++i) {
            creditNext(30 days, members);
            uint256 emission = rewards.lastEmission();
            yes(emission <= last, "falls");
            // From one epoch to the next by no more than the epoch's part of the taper.
            yes(last == type(uint256).max || last - emission <= last * 30 days / TAPER + 1, "gently");
            eq(emission, before * 30 days / TAPER, "its part of what is left");
            before = rewards.budget();
            last = emission;
        }
        yes(before < 1e10, "practically nothing left after 33 years");
        yes(rewards.claimable(1) > BUDGET - 1e10, "all of it earned");
        for (uint256 i = 0; i < 20; ++i) {
            creditNext(10 * TAPER, members); // an epoch longer than the taper takes all there is
        }
        eq(rewards.budget(), 0, "empty");
        eq(rewards.runway(), 0, "no runway");
        creditNext(60, members);
        eq(rewards.lastEmission(), 0, "and still no revert");
        fundBudget(1e18);
        creditNext(TAPER, members);
        eq(rewards.lastEmission(), 1e18, "funds start it again");
    }

    function test_runway() public {
        eq(rewards.runway(), type(uint256).max, "no rate yet");
        creditNext(uint64(YEAR / 10), one(memberWord(1, 50_000e18, 1, 0)));
        // 10,000 a year, 999,000 left.
        eq(rewards.runway(), 999_000 * YEAR / 10_000, "budget over rate");
        creditNext(uint64(YEAR / 100), one(memberWord(1, 9_000_000e18, 1, 0)));
        eq(
            rewards.runway(),
            (999_000e18 - uint256(9_990e18)) * (YEAR / 100) / 9_990e18,
            "in the taper: its period, less the epoch"
        );
    }

    // ---- jail ----

    function test_badEpochsRunningMakeJailable() public {
        bytes32[] memory bad = one(memberWord(1, 20_000e18, 1, 1)); // half: at the threshold
        bytes32[] memory good = one(memberWord(1, 20_000e18, 51, 49));
        bytes32[] memory undrawn = one(memberWord(1, 20_000e18, 0, 0));
        creditNext(60, bad);
        creditNext(60, bad);
        yes(!rewards.jailable(1), "two");
        creditNext(60, good);
        eq(rewards.recordOf(1).badEpochs, 0, "a good one starts anew");
        creditNext(60, bad);
        creditNext(60, undrawn);
        creditNext(60, bad);
        creditNext(60, undrawn);
        yes(!rewards.jailable(1), "two, and two that say nothing");
        creditNext(60, bad);
        yes(rewards.jailable(1), "three");
        creditNext(60, bad);
        yes(rewards.jailable(1), "and more");
        creditNext(60, good);
        yes(!rewards.jailable(1), "mended");
        yes(!rewards.jailable(777), "nobody else");
    }

    function test_clearedEpochsDoNotCountAgain() public {
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.NotPool.selector, address(this)));
        rewards.clearMissed(1);
        bytes32[] memory bad = one(memberWord(1, 20_000e18, 0, 1));
        for (uint256 i = 0; i < 3; ++i) {
            creditNext(60, bad);
        }
        yes(rewards.jailable(1), "jailable");
        uint256 credited = rewards.claimable(1);
        vm.expectEmit(address(rewards));
        emit MiningRewards.MissedCleared(1);
        vm.prank(address(pool));
        rewards.clearMissed(1);
        yes(!rewards.jailable(1), "cleared");
        uint64 cleared = uint64(now_());
        eq(rewards.recordOf(1).clearedAt, cleared, "time");
        // Epochs from before, credited behind: the member was in jail for them already.
        for (uint256 i = 0; i < 4; ++i) {
            creditNext(60, bad);
        }
        yes(!rewards.jailable(1), "not for the past");
        creditNext(cleared - rewards.creditedUntil(), bad);
        for (uint256 i = 0; i < 3; ++i) {
            yes(!rewards.jailable(1), "not yet");
            creditNext(60, bad);
        }
        yes(rewards.jailable(1), "but for what follows");
        eq(rewards.claimable(1), credited, "clearing touches no credit");
    }

    /// @dev Over the real pool, there and back.
    function test_jailAndBack() public {
        bytes32[] memory members = two(memberWord(1, 20_000e18, 4, 6), memberWord(2, 20_000e18, 6, 4));
        vm.expectRevert(abi.encodeWithSelector(SequencerPool.NotJailable.selector, 1));
        pool.jail(1);
        for (uint256 i = 0; i < JAIL_EPOCHS; ++i) {
            creditNext(60, members);
        }
        pool.jail(1);
        vm.expectRevert(abi.encodeWithSelector(SequencerPool.NotJailable.selector, 2));
        pool.jail(2);
        vm.warp(now_() + pool.jailPeriod());
        vm.prank(ownerOf[1]);
        pool.unjail(1);
        yes(!rewards.jailable(1), "a clean record");
        creditNext(60, members); // from before
        eq(rewards.recordOf(1).badEpochs, 0, "still clean");
    }

    // ---- claims ----

    function test_claimsToL1() public {
        creditNext(uint64(YEAR / 10), two(memberWord(1, 50_000e18, 1, 0), memberWord(2, 50_000e18, 1, 0)));
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.NotPayee.selector, address(this), 1));
        rewards.claimToL1(1);
        vm.prank(ownerOf[2]);
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.NotPayee.selector, ownerOf[2], 1));
        rewards.claimToL1(1);
        vm.expectEmit(address(rewards));
        emit MiningRewards.Claimed(1, ownerOf[1], 1_000e18, MiningRewards.Destination.L1);
        vm.prank(ownerOf[1]);
        rewards.claimToL1(1);
        eq(token.balanceOf(ownerOf[1]), 1_000e18, "paid");
        eq(rewards.claimable(2), 1_000e18, "the other's stays");
        vm.prank(ownerOf[1]);
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.NothingToClaim.selector, 1));
        rewards.claimToL1(1);
    }

    /// @dev Owner and recipient may both claim; the recipient is paid.
    function test_claimsGoToTheRecipient() public {
        address recipient = address(0x4ec1);
        vm.prank(ownerOf[1]);
        pool.setRecipient(1, recipient);
        creditNext(uint64(YEAR / 10), one(memberWord(1, 50_000e18, 1, 0)));
        vm.prank(ownerOf[1]);
        rewards.claimToL1(1);
        eq(token.balanceOf(recipient), 1_000e18, "by the owner");
        creditNext(uint64(YEAR / 10), one(memberWord(1, 50_000e18, 1, 0)));
        vm.prank(recipient);
        rewards.claimToL1(1);
        eq(token.balanceOf(recipient), 2_000e18, "by the recipient");
        eq(token.balanceOf(ownerOf[1]), 0, "owner");
    }

    /// @dev Over the real portal: escrowed there, minted and sent on to the recipient on L2.
    function test_claimsToL2() public {
        creditNext(uint64(YEAR / 10), one(memberWord(1, 50_000e18, 1, 0)));
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.NotPayee.selector, address(this), 1));
        rewards.claimToL2(1);
        uint256 escrow = token.balanceOf(address(portal));
        vm.expectEmit(address(portal));
        emit Portal.TransactionDeposited(
            Aliasing.toL2(address(rewards)),
            ownerOf[1],
            0,
            abi.encodePacked(uint256(1_000e18), uint256(1_000e18), uint64(50_000), false)
        );
        vm.prank(ownerOf[1]);
        eq(rewards.claimToL2(1), 1_000e18, "amount");
        eq(token.balanceOf(address(portal)) - escrow, 1_000e18, "escrowed");
        eq(rewards.claimable(1), 0, "once");
        eq(token.allowance(address(rewards), address(portal)), 0, "no allowance left");
    }

    /// @dev Over the real pool.
    function test_relocks() public {
        uint256 locked = pool.sequencer(1).amount;
        creditNext(uint64(YEAR / 10), one(memberWord(1, 50_000e18, 1, 0)));
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.NotPayee.selector, address(this), 1));
        rewards.relock(1, 1);
        vm.prank(ownerOf[1]);
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.AmountZero.selector));
        rewards.relock(1, 0);
        vm.prank(ownerOf[1]);
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.CreditTooSmall.selector, 1, 1_000e18 + 1, 1_000e18));
        rewards.relock(1, 1_000e18 + 1);
        vm.expectEmit(address(rewards));
        emit MiningRewards.Claimed(1, address(pool), 400e18, MiningRewards.Destination.Relock);
        vm.prank(ownerOf[1]);
        rewards.relock(1, 400e18);
        eq(pool.sequencer(1).amount, locked + 400e18, "locked");
        eq(rewards.claimable(1), 600e18, "the rest");
        eq(token.allowance(address(rewards), address(pool)), 0, "no allowance left");

        // More than the pool takes: refused there, and nothing is lost.
        creditNext(uint64(YEAR), one(memberWord(1, 900_000e18, 1, 0)));
        uint256 credit_ = rewards.claimable(1);
        vm.prank(ownerOf[1]);
        vm.expectRevert(
            abi.encodeWithSelector(
                SequencerPool.LockOutOfRange.selector, locked + 400e18 + 100_000e18, MIN_LOCK, MAX_LOCK
            )
        );
        rewards.relock(1, 100_000e18);
        eq(rewards.claimable(1), credit_, "kept");
    }

    // ---- sums ----

    /// @dev For any message: paid is within the emission, the emission within rule and budget, and no wei appears.
    function testFuzz_creditsAddUp(
        uint128[8] memory weights,
        uint32[8] memory led,
        uint32[8] memory missed,
        uint64 duration,
        uint128 fees
    ) public {
        duration = uint64(bound(duration, 0, 10 * YEAR));
        fees = uint128(bound(fees, 1, 100_000e18));
        addFees(fees);
        bytes32[] memory members = new bytes32[](8);
        uint256 stake;
        for (uint64 i = 0; i < 8; ++i) {
            members[i] = memberWord(i + 1, weights[i], led[i], missed[i]);
            stake += weights[i];
        }
        creditNext(duration, members);
        uint256 sum;
        for (uint64 i = 0; i < 8; ++i) {
            sum += rewards.claimable(i + 1);
            if (led[i] == 0 && missed[i] != 0) eq(rewards.claimable(i + 1), 0, "no work, no pay");
        }
        uint256 paid = BUDGET - rewards.budget();
        eq(sum, paid + fees - rewards.feePot(), "credits");
        yes(paid <= BUDGET * uint256(duration) / TAPER, "within the slice");
        yes(paid <= stake * 2000 * duration / (10_000 * YEAR), "within the rule");
        eq(token.balanceOf(address(rewards)), rewards.budget() + rewards.feePot() + sum, "backed");
    }

    /// @dev Preset metis: 20%, epochs of 1,000 blocks at 8.5 s, locks of 20,000 to 100,000.
    function test_aYearOfPresetMetis() public {
        uint256[5] memory locks = [uint256(20_000e18), 40_000e18, 60_000e18, 80_000e18, 100_000e18];
        uint256 epochs = YEAR / EPOCH_SECONDS;
        bytes32[] memory members = new bytes32[](5);
        for (uint256 i = 0; i < epochs; ++i) {
            for (uint64 j = 0; j < 5; ++j) {
                // Leads in proportion to its lock, give or take a fifth; the last one misses a tenth of its views.
                uint256 drawn = locks[j] / 300e18 * (80 + uint256(keccak256(abi.encode(i, j))) % 41) / 100;
                uint256 missed = j == 4 ? drawn / 10 : 0;
                // Within an epoch whole views only: of every ten drawn, one.
                drawn = drawn / 10 * 10;
                if (j == 4) missed = drawn / 10;
                members[j] = memberWord(j + 1, locks[j], drawn - missed, missed);
            }
            creditNext(EPOCH_SECONDS, members);
        }
        for (uint64 j = 0; j < 5; ++j) {
            uint256 apr = rewards.claimable(j + 1) * 10_000e4 / locks[j] * YEAR / (epochs * EPOCH_SECONDS); // bps times 1e4
            uint256 expected = j == 4 ? 1800e4 : 2000e4;
            yes(apr * 100 >= expected * 99 && apr * 100 <= expected * 101, "within 1% of the rule");
        }
        uint256 total = rewards.totalCredited();
        yes(total <= 60_000e18 && total >= 57_000e18, "no more than a fifth of 300,000");
    }

    function expectConfig(string memory field, uint256 value) private {
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.ConfigOutOfRange.selector, field, value));
    }
}

/// @dev One epoch from the counts on L2 to the claim, through the real ledger, rollup, portal and pool.
contract MiningFlowTest is Mining, L2 {
    function test_fromCountsToClaim() public {
        deployMining(4, true);
        deployL2(address(rewards), address(splitter), genesis);
        fundBudget(1_000_000e18);
        (uint64[] memory ids, uint128[] memory weights) = (new uint64[](4), new uint128[](4));
        for (uint64 i = 0; i < 4; ++i) {
            (ids[i], weights[i]) = (i + 1, uint128(pool.sequencer(i + 1).amount));
        }
        register(1, ids, weights);

        vm.deal(address(VAULT), 10e18); // fees of the epoch
        uint32[] memory missed = new uint32[](1);
        missed[0] = 3;
        for (uint32 block_ = 1; block_ < 60; ++block_) {
            vm.warp(now_() + 8);
            record(0, 1, block_ % 3, block_ == 30 ? missed : new uint32[](0));
        }
        vm.warp(now_() + 1 days); // an outage
        record(1, 1, 0);

        // On L2: the ledger's message and the vault's flush, one behind the other.
        (uint256 nonce, bytes memory data) = LEDGER.message(0);
        (uint256 flushNonce, uint256 value) = VAULT.flushOf(0);
        bytes32 hash = messageHash(nonce, address(LEDGER), address(rewards), 0, data);
        yes(PASSER.sentMessages(hash), "sent");
        eq(flushNonce, nonce + 1, "flush");

        // The portal may run the ledger's message as a withdrawal too: a call without gas, which says nothing to anybody.
        (bytes32 root, bytes[] memory proof) = singleLeaf(hash);
        (uint256 index, OutputRootProof memory opened) = postOutput(root);
        MiningRewards.EpochMessage[] memory messages = new MiningRewards.EpochMessage[](1);
        messages[0] = MiningRewards.EpochMessage(nonce, data, proof);
        vm.expectRevert(abi.encodeWithSelector(MiningRewards.OutputNotFinal.selector, index));
        rewards.creditEpochs(index, opened, messages);
        vm.warp(now_() + WINDOW);
        rewards.creditEpochs(index, opened, messages);

        uint256 emission = rewards.lastEmission();
        uint256 stake = weights[0] + weights[1] + weights[2] + weights[3];
        eq(rewards.creditedUntil(), genesis + 59 * 8 + 1 days, "all of the time");
        uint256 paidTime = 59 * 8 + MAX_GAP;
        eq(emission, stake * 2000 * paidTime / (10_000 * 365 days), "20% of four locks, but not for the outage");
        eq(rewards.claimable(1), emission * weights[0] / stake, "first");
        eq(rewards.claimable(4), 0, "missed all");
        vm.prank(ownerOf[1]);
        rewards.claimToL1(1);
        eq(token.balanceOf(ownerOf[1]), emission * weights[0] / stake, "paid");
        eq(value, 10e18, "fees on their way");
    }
}
