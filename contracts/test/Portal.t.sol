// Portal: deposits and their limits, withdrawals with real proofs, and what hostile ones cannot do.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Portal, WithdrawalTransaction} from "../src/l1/Portal.sol";
import {Aliasing} from "../src/lib/Aliasing.sol";
import {MerklePatricia} from "../src/lib/MerklePatricia.sol";
import {OutputRootProof, SentMessages} from "../src/lib/SentMessages.sol";
import {Withdrawals} from "./base/Withdrawals.sol";
import {vm} from "./base/Vm.sol";

/// @dev Records who called it and what the Portal said about it; can be told to fail or to come back.
contract Target__Mock {
    Portal private immutable PORTAL;
    address public sender;
    bytes public data;
    uint256 public gasSeen;
    bool public failing;
    WithdrawalTransaction private _again;

    constructor(Portal portal) {
        PORTAL = portal;
    }

    function fail(bool value) external {
        failing = value;
    }

    function reenterWith(WithdrawalTransaction calldata w) external {
        _again = w;
    }

    fallback() external {
        gasSeen = gasleft();
        if (failing) {
            // A large return must not cost the caller anything.
            assembly {
                revert(0, 100000)
            }
        }
        if (_again.sender != address(0)) PORTAL.finalizeWithdrawalTransaction(_again);
        sender = PORTAL.l2Sender();
        data = msg.data;
    }
}

/// @dev Keeps one unit in a hundred of every transfer.
contract FeeToken__Mock {
    mapping(address => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        balanceOf[from] -= amount;
        balanceOf[to] += amount - amount / 100;
        return true;
    }
}

contract PortalTest is Withdrawals {
    address private constant ALICE = address(0xa11ce);
    address private constant BOB = address(0xb0b);

    Target__Mock private target;

    function setUp() public {
        deploy(4);
        target = new Target__Mock(portal);
        vm.roll(height() + 10);
        vm.prank(HOLDER);
        token.transfer(address(portal), 1_000_000e18); // what earlier deposits left in escrow
    }

    // ---- deposits ----

    function test_depositEscrowsAndEmits() public {
        fund(ALICE, address(portal), 5e18);
        uint256 before = token.balanceOf(address(portal));
        vm.expectEmit(address(portal));
        emit Portal.TransactionDeposited(
            ALICE, BOB, 0, abi.encodePacked(uint256(5e18), uint256(4e18), uint64(100_000), false, hex"c0ffee")
        );
        vm.prank(ALICE, ALICE);
        portal.depositERC20Transaction(BOB, 5e18, 4e18, 100_000, false, hex"c0ffee");
        eq(token.balanceOf(address(portal)), before + 5e18, "escrow");
    }

    function test_forcedTransactionMintsNothing() public {
        vm.expectEmit(address(portal));
        emit Portal.TransactionDeposited(ALICE, BOB, 0, abi.encodePacked(uint256(0), uint256(7), uint64(21_000), false));
        vm.prank(ALICE, ALICE);
        portal.depositTransaction(BOB, 7, 21_000, false, "");
    }

    function test_contractSendersAreAliased() public {
        vm.expectEmit(address(portal));
        emit Portal.TransactionDeposited(
            Aliasing.toL2(ALICE), BOB, 0, abi.encodePacked(uint256(0), uint256(0), uint64(21_000), false)
        );
        vm.prank(ALICE, BOB);
        portal.depositTransaction(BOB, 0, 21_000, false, "");
        eq(Aliasing.toL2(address(1)), address(uint160(0x1111000000000000000000000000000000001112)), "offset");
        eq(
            Aliasing.toL2(address(type(uint160).max)),
            address(uint160(0x1111000000000000000000000000000000001110)),
            "wraps"
        );
    }

    function testFuzz_aliasIsReversible(address account) public pure {
        eq(Aliasing.toL1(Aliasing.toL2(account)), account, "alias");
    }

    function test_depositLimits() public {
        vm.deal(ALICE, 1);
        vm.prank(ALICE, ALICE);
        vm.expectRevert(abi.encodeWithSelector(Portal.EtherNotAccepted.selector, 1));
        portal.depositTransaction{value: 1}(BOB, 0, 100_000, false, "");

        vm.expectRevert(abi.encodeWithSelector(Portal.CreationWithTarget.selector, BOB));
        portal.depositTransaction(BOB, 0, 100_000, true, "");
        vm.expectRevert(abi.encodeWithSelector(Portal.DepositDataTooLong.selector, 120_001, 120_000));
        portal.depositTransaction(BOB, 0, 7_000_000, false, new bytes(120_001));
        vm.expectRevert(abi.encodeWithSelector(Portal.DepositGasTooLow.selector, 21_039, 21_040));
        portal.depositTransaction(BOB, 0, 21_039, false, hex"00");
        vm.expectRevert(
            abi.encodeWithSelector(
                Portal.MintTooLarge.selector, uint256(type(uint128).max) + 1, uint256(type(uint128).max)
            )
        );
        portal.depositERC20Transaction(BOB, uint256(type(uint128).max) + 1, 0, 100_000, false, "");
        // The largest data there may be, as a creation.
        portal.depositTransaction(address(0), 0, 21_000 + 40 * 120_000, true, new bytes(120_000));
    }

    function test_depositGasPerBlockIsLimited() public {
        portal.depositTransaction(BOB, 0, 7_900_000, false, "");
        eq(portal.remainingDepositGas(), 100_000, "remaining");
        vm.expectRevert(abi.encodeWithSelector(Portal.DepositGasExhausted.selector, 100_001, 100_000));
        portal.depositTransaction(BOB, 0, 100_001, false, "");
        portal.depositTransaction(BOB, 0, 100_000, false, "");
        vm.expectRevert(abi.encodeWithSelector(Portal.DepositGasExhausted.selector, 21_000, 0));
        portal.depositTransaction(BOB, 0, 21_000, false, "");
        // Users cannot crowd out the committee or the price.
        vm.prank(address(pool));
        portal.depositTransaction(BOB, 0, 4_300_000, false, "");
        vm.prank(address(oracle));
        portal.depositTransaction(BOB, 0, 100_000, false, "");
        vm.roll(height() + 1);
        eq(portal.remainingDepositGas(), 8_000_000, "next block");
        portal.depositTransaction(BOB, 0, 8_000_000, false, "");
    }

    // ---- the price of deposit gas ----

    function test_thePriceFollowsUse() public {
        uint256 lowest = portal.MIN_DEPOSIT_PRICE();
        eq(portal.depositPrice(), lowest, "lowest at first");
        portal.depositTransaction(BOB, 0, 8_000_000, false, "");
        eq(portal.depositPrice(), lowest, "not within a block");
        uint256 price = lowest;
        for (uint256 i = 0; i < 8; ++i) {
            vm.roll(height() + 1);
            price = price - price / 8 + price * 10 / 8;
            eq(portal.depositPrice(), price, "17/8 after a full block");
            portal.depositTransaction(BOB, 0, 8_000_000, false, "");
        }
        vm.roll(height() + 1);
        price = price - price / 8 + price * 10 / 8;
        portal.depositTransaction(BOB, 0, 800_000, false, "");
        vm.roll(height() + 1);
        eq(portal.depositPrice() / 10, price / 10, "stays at the target");
        price = portal.depositPrice();
        portal.depositTransaction(BOB, 0, 400_000, false, "");
        vm.roll(height() + 1);
        eq(portal.depositPrice(), price - price / 8 + price / 16, "falls below it");
        price = portal.depositPrice();
        vm.roll(height() + 1);
        eq(portal.depositPrice(), price - price / 8, "7/8 after an empty block");
        vm.roll(height() + 1_000_000);
        eq(portal.depositPrice(), lowest, "lowest after a rest");
    }

    function test_theBurnIsWhatThePriceSays() public {
        raisePrice(12);
        vm.fee(2 gwei);
        uint256 price = portal.depositPrice();
        uint256 burn = 1_000_000 * price / 2 gwei;
        yes(burn > 1_000_000, "worth a test");
        uint256 before = gasleft();
        portal.depositTransaction(BOB, 0, 1_000_000, false, "");
        uint256 used = before - gasleft();
        yes(used >= burn && used < burn + 20_000, "burnt");

        // Half of it where L1 gas is worth twice as much, and no more where it is worth nearly nothing.
        vm.fee(4 gwei);
        before = gasleft();
        portal.depositTransaction(BOB, 0, 1_000_000, false, "");
        used = before - gasleft();
        yes(used >= burn / 2 && used < burn / 2 + 20_000, "half");
        vm.fee(7);
        before = gasleft();
        portal.depositTransaction(BOB, 0, 1_000_000, false, "");
        used = before - gasleft();
        yes(used >= 2 * burn && used < 2 * burn + 20_000, "as at 1 gwei");
    }

    function test_theCallsOwnGasCounts() public {
        vm.fee(1 gwei);
        uint256 before = gasleft();
        portal.depositTransaction(BOB, 0, 100_000, false, "");
        // 100,000 at the lowest price are 1,000 gas: the call costs more than that by itself.
        yes(before - gasleft() < 60_000, "nothing burnt");
    }

    function test_refusesWhatCannotBeBurnt() public {
        raisePrice(12);
        vm.fee(1 gwei);
        (bool ok, bytes memory reason) = address(portal).call{gas: 1_000_000}(
            abi.encodeCall(Portal.depositTransaction, (BOB, 0, 5_000_000, false, ""))
        );
        yes(!ok && bytes4(reason) == Portal.InsufficientGas.selector, "own error");
        eq(portal.remainingDepositGas(), 8_000_000, "and nothing is taken");
    }

    function test_poolAndOraclePayNothing() public {
        raisePrice(12);
        vm.fee(1 gwei);
        uint256 price = portal.depositPrice();
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(i == 0 ? address(pool) : address(oracle));
            uint256 before = gasleft();
            portal.depositTransaction(BOB, 0, 4_300_000, false, "");
            yes(before - gasleft() < 60_000, "nothing burnt");
        }
        eq(portal.remainingDepositGas(), 8_000_000, "not metered");
        vm.roll(height() + 1);
        yes(portal.depositPrice() < price, "not counted");
    }

    function test_depositsWithTokensPayToo() public {
        raisePrice(12);
        vm.fee(1 gwei);
        fund(ALICE, address(portal), 5e18);
        uint256 burn = 100_000 * uint256(portal.depositPrice()) / 1 gwei;
        vm.prank(ALICE);
        uint256 before = gasleft();
        portal.depositERC20Transaction(BOB, 5e18, 0, 100_000, false, "");
        yes(before - gasleft() >= burn, "burnt");
    }

    /// @dev Whatever happens, the price is in its range, rises only above the target, and the block's limit holds.
    function testFuzz_thePriceIsBounded(uint64[16] memory gas_, uint16[16] memory rests) public {
        for (uint256 i = 0; i < 16; ++i) {
            uint256 before = portal.depositPrice();
            uint64 amount = uint64(bound(gas_[i], 21_000, 8_000_000));
            // Not through the burn: at these prices it would take all the gas of the test.
            vm.fee(type(uint64).max);
            portal.depositTransaction(BOB, 0, amount, false, "");
            eq(portal.remainingDepositGas(), 8_000_000 - amount, "metered");
            vm.roll(height() + 1 + rests[i] % 40);
            uint256 price = portal.depositPrice();
            yes(price >= portal.MIN_DEPOSIT_PRICE(), "not below the lowest");
            yes(price <= before * 17 / 8 + 1, "17/8 at most");
            if (amount <= 800_000) yes(price <= before, "rises only above the target");
        }
    }

    function raisePrice(uint256 blocks) private {
        vm.fee(type(uint64).max);
        for (uint256 i = 0; i < blocks; ++i) {
            portal.depositTransaction(BOB, 0, 8_000_000, false, "");
            vm.roll(height() + 1);
        }
    }

    function test_refusesAGasTokenThatKeepsAFee() public {
        FeeToken__Mock fees = new FeeToken__Mock();
        Portal other = Portal(create("Portal", abi.encode(fees, rollup, pool, oracle)));
        fees.mint(address(this), 100);
        vm.expectRevert(abi.encodeWithSelector(Portal.EscrowMismatch.selector, 100, 99));
        other.depositERC20Transaction(BOB, 100, 0, 21_000, false, "");
    }

    // ---- withdrawals ----

    /// @dev Tries and hashes made by ethereumjs and noble-hashes, through a certified batch, to the end.
    function test_paysWithdrawalsOfARealTrie() public {
        string memory json = vm.readFile("test/vectors/withdrawals.json");
        (uint256 index, OutputRootProof memory opened) = postOutput(vm.parseJsonBytes32(json, ".root"));
        WithdrawalTransaction[] memory all = new WithdrawalTransaction[](5);
        for (uint256 i = 0; i < 5; ++i) {
            string memory at_ = string.concat(".withdrawals[", vm.toString(i), "]");
            WithdrawalTransaction memory w = all[i];
            w.nonce = uint256(vm.parseJsonBytes32(json, string.concat(at_, ".nonce")));
            w.sender = address(bytes20(vm.parseJsonBytes(json, string.concat(at_, ".sender"))));
            w.target = address(bytes20(vm.parseJsonBytes(json, string.concat(at_, ".target"))));
            w.value = uint256(vm.parseJsonBytes32(json, string.concat(at_, ".value")));
            w.gasLimit = uint256(vm.parseJsonBytes32(json, string.concat(at_, ".gasLimit")));
            w.data = vm.parseJsonBytes(json, string.concat(at_, ".data"));
            eq(portal.hashWithdrawal(w), vm.parseJsonBytes32(json, string.concat(at_, ".hash")), "hash");
            bytes[] memory proof = vm.parseJsonBytesArray(json, string.concat(at_, ".proof"));
            vm.expectEmit(address(portal));
            emit Portal.WithdrawalProven(portal.hashWithdrawal(w), w.sender, w.target);
            portal.proveWithdrawalTransaction(w, index, opened, proof);
        }
        vm.warp(now_() + WINDOW);
        for (uint256 i = 0; i < 5; ++i) {
            uint256 before = token.balanceOf(all[i].target);
            portal.finalizeWithdrawalTransaction(all[i]);
            eq(token.balanceOf(all[i].target), before + all[i].value, "paid");
        }
    }

    function test_paysAndCalls() public {
        WithdrawalTransaction memory w = withdrawal(address(target), 3e18, "hello");
        uint256 index = prove(w);
        bytes32 hash = portal.hashWithdrawal(w);
        (bytes32 root, uint128 timestamp, uint128 l2OutputIndex) = portal.provenWithdrawals(hash);
        eq(root, rollup.getL2Output(index).outputRoot, "root");
        eq(timestamp, now_(), "time");
        eq(l2OutputIndex, index, "index");

        vm.warp(now_() + WINDOW - 1);
        vm.expectRevert(abi.encodeWithSelector(Portal.OutputNotFinal.selector, index));
        portal.finalizeWithdrawalTransaction(w);
        vm.warp(now_() + 1);
        vm.expectEmit(address(portal));
        emit Portal.WithdrawalFinalized(hash, true);
        portal.finalizeWithdrawalTransaction(w);
        eq(token.balanceOf(address(target)), 3e18, "paid");
        eq(target.sender(), w.sender, "l2Sender during the call");
        eq(target.data(), "hello", "data");
        yes(target.gasSeen() > 190_000 && target.gasSeen() <= 200_000, "gas of the call");
        eq(portal.l2Sender(), address(0xdEaD), "l2Sender afterwards");

        vm.expectRevert(abi.encodeWithSelector(Portal.AlreadyFinalized.selector, hash));
        portal.finalizeWithdrawalTransaction(w);
    }

    function test_aFailingCallIsFinal() public {
        WithdrawalTransaction memory w = withdrawal(address(target), 3e18, "hello");
        prove(w);
        vm.warp(now_() + WINDOW);
        target.fail(true);
        vm.expectEmit(address(portal));
        emit Portal.WithdrawalFinalized(portal.hashWithdrawal(w), false);
        portal.finalizeWithdrawalTransaction(w);
        eq(token.balanceOf(address(target)), 3e18, "paid all the same");
        bytes32 hash = portal.hashWithdrawal(w);
        vm.expectRevert(abi.encodeWithSelector(Portal.AlreadyFinalized.selector, hash));
        portal.finalizeWithdrawalTransaction(w);
    }

    function test_withdrawalsDoNotNest() public {
        WithdrawalTransaction memory inner = withdrawal(BOB, 1e18, "");
        WithdrawalTransaction memory outer = withdrawal(address(target), 1e18, "reenter");
        prove(inner);
        outer.nonce = 2;
        prove(outer);
        vm.warp(now_() + WINDOW);
        target.reenterWith(inner);
        vm.expectEmit(address(portal));
        emit Portal.WithdrawalFinalized(portal.hashWithdrawal(outer), false);
        portal.finalizeWithdrawalTransaction(outer);
        eq(token.balanceOf(BOB), 0, "inner not paid inside");
        portal.finalizeWithdrawalTransaction(inner);
        eq(token.balanceOf(BOB), 1e18, "inner paid afterwards");
    }

    function test_theCallerCannotStarveTheCall() public {
        WithdrawalTransaction memory w = withdrawal(address(target), 0, "hello");
        prove(w);
        vm.warp(now_() + WINDOW);
        for (uint256 gas_ = 60_000; gas_ < 400_000; gas_ += 10_000) {
            uint256 state = vm.snapshotState();
            (bool ok,) = address(portal).call{gas: gas_}(abi.encodeCall(Portal.finalizeWithdrawalTransaction, (w)));
            if (ok) {
                yes(target.gasSeen() > 190_000, "all of its gas");
            } else {
                yes(!portal.finalizedWithdrawals(portal.hashWithdrawal(w)), "or nothing at all");
            }
            vm.revertToState(state);
        }
    }

    function test_aLimitBeyondAnyBlockIsNeverPaid() public {
        WithdrawalTransaction memory w = withdrawal(address(target), 1e18, "hello");
        w.gasLimit = type(uint256).max;
        prove(w);
        vm.warp(now_() + WINDOW);
        (bool ok, bytes memory reason) = address(portal).call(abi.encodeCall(Portal.finalizeWithdrawalTransaction, (w)));
        yes(!ok && bytes4(reason) == Portal.InsufficientGas.selector, "own error");
    }

    function test_refusesTheTokenAndThePortalAsTargets() public {
        // Were these paid, the Portal would speak to the token, or to itself, in a withdrawer's words.
        bytes[] memory proof;
        OutputRootProof memory opened;
        WithdrawalTransaction memory w =
            withdrawal(address(token), 0, abi.encodeCall(IERC20.transfer, (ALICE, 1_000e18)));
        vm.expectRevert(abi.encodeWithSelector(Portal.BadTarget.selector, address(token)));
        portal.proveWithdrawalTransaction(w, 0, opened, proof);
        vm.expectRevert(abi.encodeWithSelector(Portal.BadTarget.selector, address(token)));
        portal.finalizeWithdrawalTransaction(w);
        w.target = address(portal);
        vm.expectRevert(abi.encodeWithSelector(Portal.BadTarget.selector, address(portal)));
        portal.proveWithdrawalTransaction(w, 0, opened, proof);
    }

    function test_refusesAWithdrawalThatIsNotThere() public {
        WithdrawalTransaction memory w = withdrawal(BOB, 1e18, "");
        (bytes32 root, bytes[] memory proof) = singleLeaf(portal.hashWithdrawal(w));
        (uint256 index, OutputRootProof memory opened) = postOutput(root);
        w.value = 2e18;
        vm.expectRevert(abi.encodeWithSelector(MerklePatricia.ProofKeyAbsent.selector, 0));
        portal.proveWithdrawalTransaction(w, index, opened, proof);
        vm.expectRevert(abi.encodeWithSelector(Portal.NotProven.selector, portal.hashWithdrawal(w)));
        portal.finalizeWithdrawalTransaction(w);
    }

    function test_refusesAnotherOutput() public {
        WithdrawalTransaction memory w = withdrawal(BOB, 1e18, "");
        (bytes32 root, bytes[] memory proof) = singleLeaf(portal.hashWithdrawal(w));
        (uint256 index, OutputRootProof memory opened) = postOutput(root);
        bytes32 expected = rollup.getL2Output(index).outputRoot;
        opened.stateRoot = keccak256("other");
        vm.expectRevert(
            abi.encodeWithSelector(SentMessages.OutputRootMismatch.selector, expected, keccak256(abi.encode(opened)))
        );
        portal.proveWithdrawalTransaction(w, index, opened, proof);
    }

    function test_refusesAValueOtherThanTrue() public {
        WithdrawalTransaction memory w = withdrawal(BOB, 1e18, "");
        (, bytes[] memory proof) = singleLeaf(portal.hashWithdrawal(w));
        proof[0][proof[0].length - 1] = 0x02;
        (uint256 index, OutputRootProof memory opened) = postOutput(keccak256(proof[0]));
        bytes32 hash = portal.hashWithdrawal(w);
        vm.expectRevert(abi.encodeWithSelector(SentMessages.MessageNotSent.selector, hash, hex"02"));
        portal.proveWithdrawalTransaction(w, index, opened, proof);
    }

    function test_provingAgainDoesNotDelay() public {
        WithdrawalTransaction memory w = withdrawal(BOB, 1e18, "");
        uint256 index = prove(w);
        vm.warp(now_() + WINDOW / 2);
        (bytes32 root, bytes[] memory proof) = singleLeaf(portal.hashWithdrawal(w));
        (uint256 later, OutputRootProof memory opened) = postOutput(root);
        vm.expectRevert(abi.encodeWithSelector(Portal.AlreadyProven.selector, portal.hashWithdrawal(w), index));
        portal.proveWithdrawalTransaction(w, later, opened, proof);
        vm.warp(now_() + WINDOW / 2);
        portal.finalizeWithdrawalTransaction(w);
    }

    function test_versionKeepsToolsOnTheLegacyPath() public view {
        eq(bytes(portal.version()), "2.8.1", "version");
        eq(portal.l2Oracle(), address(rollup), "oracle");
    }

    function withdrawal(address to, uint256 value, bytes memory data)
        private
        pure
        returns (WithdrawalTransaction memory)
    {
        return WithdrawalTransaction({
            nonce: uint256(1) << 240, sender: address(0x5e4de4), target: to, value: value, gasLimit: 200_000, data: data
        });
    }
}
