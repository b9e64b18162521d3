// FeeSplitter: shares, reimbursement of posters, and who may change what.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {FeeSplitter} from "../src/l1/FeeSplitter.sol";
import {WithdrawalTransaction} from "../src/l1/Portal.sol";
import {Predeploys} from "../src/lib/Predeploys.sol";
import {memberWord} from "./base/L2.sol";
import {Mining} from "./base/Mining.sol";
import {vm} from "./base/Vm.sol";

contract FeeSplitterTest is Mining {
    address private constant POSTER = address(0x9057e4);
    address private constant BURNT = 0x000000000000000000000000000000000000dEaD;
    /// @dev Wei of the token per wei of ether.
    uint256 private constant RATIO = 100;

    function setUp() public {
        deployMining(4, false);
    }

    /// @dev As the portal pays a withdrawal: a plain transfer.
    function receiveFees(uint256 amount) private {
        vm.prank(HOLDER);
        token.transfer(address(splitter), amount);
    }

    function test_configIsBounded() public {
        FeeSplitter.Config memory c = splitterConfig();
        c.treasury = address(0);
        vm.expectRevert(abi.encodeWithSelector(FeeSplitter.ConfigZero.selector, "treasury"));
        new FeeSplitter(c);
        c = splitterConfig();
        c.treasuryBps = 2001;
        vm.expectRevert(abi.encodeWithSelector(FeeSplitter.SplitOutOfRange.selector, 10_001, 10_000));
        new FeeSplitter(c);
    }

    function test_settlesByShares() public {
        splitter.settle(); // nothing to do
        receiveFees(1_000e18);
        eq(splitter.unsettled(), 1_000e18, "unsettled");
        vm.expectEmit(address(splitter));
        emit FeeSplitter.Settled(500e18, 300e18, 150e18, 50e18);
        splitter.settle();
        eq(rewards.feePot(), 500e18, "sequencers");
        eq(splitter.posterPot(), 300e18, "posters");
        eq(token.balanceOf(TREASURY), 150e18, "treasury");
        eq(token.balanceOf(BURNT), 50e18, "the rest");
        eq(token.balanceOf(address(splitter)), 300e18, "keeps the posters' only");
        eq(splitter.unsettled(), 0, "settled");
        splitter.settle();
        eq(splitter.posterPot(), 300e18, "once");
    }

    function testFuzz_everyWeiIsSplit(uint256 amount, uint256 seed) public {
        amount = bound(amount, 1, 1_000_000e18);
        uint16 sequencers = uint16(seed % 10_001);
        uint16 posters = uint16((seed >> 32) % (10_001 - sequencers));
        uint16 treasury = uint16((seed >> 64) % (10_001 - sequencers - posters));
        if (seed >> 255 == 1) treasury = 10_000 - sequencers - posters; // nothing is burnt
        vm.prank(GOVERNOR);
        splitter.setSplit(sequencers, posters, treasury);
        receiveFees(amount);
        splitter.settle();
        eq(rewards.feePot(), amount * sequencers / 10_000, "sequencers");
        eq(token.balanceOf(TREASURY), amount * treasury / 10_000, "treasury");
        uint256 burnt = token.balanceOf(BURNT);
        yes(burnt < amount * (10_000 - sequencers - posters - treasury) / 10_000 + 4, "burnt");
        eq(rewards.feePot() + splitter.posterPot() + token.balanceOf(TREASURY) + burnt, amount, "every wei");
        if (sequencers + posters + treasury == 10_000) eq(burnt, 0, "nothing by accident");
    }

    function test_aChangeSettlesFirst() public {
        receiveFees(1_000e18);
        vm.expectRevert(abi.encodeWithSelector(FeeSplitter.NotGovernor.selector, address(this)));
        splitter.setSplit(0, 0, 10_000);
        vm.prank(GOVERNOR);
        vm.expectRevert(abi.encodeWithSelector(FeeSplitter.SplitOutOfRange.selector, 10_001, 10_000));
        splitter.setSplit(1, 0, 10_000);
        vm.expectEmit(address(splitter));
        emit FeeSplitter.SplitSet(0, 0, 10_000);
        vm.prank(GOVERNOR);
        splitter.setSplit(0, 0, 10_000);
        eq(rewards.feePot(), 500e18, "what was here, by the old shares");
        receiveFees(10e18);
        splitter.settle();
        eq(token.balanceOf(TREASURY), 160e18, "what came, by the new ones");
    }

    function test_reimbursesWhatWasSpent() public {
        receiveFees(1_000e18); // 300 for posters
        mock.spend(POSTER, 1e18);
        (uint256 ether_, uint256 amount) = splitter.owed(POSTER);
        eq(ether_, 1e18, "ether");
        eq(amount, RATIO * 1e18, "tokens");
        vm.expectEmit(address(splitter));
        emit FeeSplitter.Reimbursed(POSTER, 100e18, 1e18);
        splitter.reimburse(POSTER); // by anyone, and without a settle before it
        eq(token.balanceOf(POSTER), 100e18, "paid");
        eq(splitter.reimburse(POSTER), 0, "once");
        eq(splitter.reimburse(address(this)), 0, "nothing to somebody who posted nothing");

        mock.spend(POSTER, 5e18); // 500, of which 200 are there
        eq(splitter.reimburse(POSTER), 200e18, "as far as the pot goes");
        (ether_, amount) = splitter.owed(POSTER);
        eq(ether_, 3e18, "the rest stays owed");
        eq(splitter.posterPot(), 0, "empty");
        eq(splitter.reimburse(POSTER), 0, "nothing left to pay with");
        receiveFees(2_000e18);
        eq(splitter.reimburse(POSTER), 300e18, "later");
        eq(splitter.paidFor(POSTER), 6e18, "all of it");
    }

    /// @dev In whatever portions and at whatever price it is paid: never more than what was spent.
    function testFuzz_neverPaysTwice(uint64[6] memory spent, uint64[6] memory fees, uint8[6] memory steps) public {
        uint256 total;
        uint256 paidEther;
        for (uint256 i = 0; i < 6; ++i) {
            mock.spend(POSTER, spent[i]);
            total += spent[i];
            if (fees[i] != 0) receiveFees(fees[i]);
            vm.warp(now_() + 1 hours);
            uint256 price = oracle.ratio();
            vm.prank(UPDATER);
            oracle.update(price * (9500 + uint256(steps[i]) % 1001) / 10_000 + 1);
            uint256 before = splitter.paidFor(POSTER);
            uint256 amount = splitter.reimburse(POSTER);
            uint256 paid = splitter.paidFor(POSTER) - before;
            yes(amount <= paid * oracle.ratio() / 1e18, "no more than the price of the ether it stands for");
            paidEther += paid;
            yes(paidEther <= total, "no more than was spent");
        }
        eq(token.balanceOf(address(splitter)), splitter.posterPot() + splitter.unsettled(), "backed");
    }

    /// @dev FeeVault's withdrawal, through the real portal.
    function test_feesArriveByThePortal() public {
        fund(address(this), address(portal), 50e18);
        portal.depositERC20Transaction(address(this), 50e18, 0, 21_000, false, ""); // what backs L2's fees
        WithdrawalTransaction memory w = WithdrawalTransaction({
            nonce: uint256(1) << 240,
            sender: Predeploys.FEE_VAULT,
            target: address(splitter),
            value: 50e18,
            gasLimit: 0,
            data: ""
        });
        prove(w);
        vm.warp(now_() + WINDOW);
        portal.finalizeWithdrawalTransaction(w);
        splitter.settle();
        eq(rewards.feePot(), 25e18, "sequencers");
        creditNext(60, one(memberWord(1, 20_000e18, 1, 0)));
        eq(rewards.feePot(), 0, "shared out");
        eq(rewards.claimable(1), 25e18, "without any budget");
    }
}
