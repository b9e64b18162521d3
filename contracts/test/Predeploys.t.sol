// Predeploys: the L2 contracts at their genesis layout, and the L1 oracle that speaks to one of them.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {GasPriceOracle} from "../src/l1/GasPriceOracle.sol";
import {Portal} from "../src/l1/Portal.sol";
import {CommitteeRegistry} from "../src/l2/CommitteeRegistry.sol";
import {FeeVault} from "../src/l2/FeeVault.sol";
import {L1BlockInfo} from "../src/l2/L1BlockInfo.sol";
import {L2ToL1MessagePasser} from "../src/l2/L2ToL1MessagePasser.sol";
import {NativeToken} from "../src/l2/NativeToken.sol";
import {Aliasing} from "../src/lib/Aliasing.sol";
import {Predeploys} from "../src/lib/Predeploys.sol";
import {Chain} from "./base/Chain.sol";
import {vm} from "./base/Vm.sol";

/// @dev What the state transition provides at 0xfd.
contract NativeTransfer__Mock {
    fallback() external {
        require(msg.sender == Predeploys.NATIVE_TOKEN, "caller");
        (address from, address to, uint256 amount) = abi.decode(msg.data, (address, address, uint256));
        vm.deal(from, from.balance - amount);
        vm.deal(to, to.balance + amount);
    }
}

contract PredeploysTest is Chain {
    address private constant ALICE = address(0xa11ce);
    address private constant BOB = address(0xb0b);

    L1BlockInfo private constant INFO = L1BlockInfo(Predeploys.L1_BLOCK_INFO);
    CommitteeRegistry private constant REGISTRY = CommitteeRegistry(Predeploys.COMMITTEE_REGISTRY);
    NativeToken private constant NATIVE = NativeToken(Predeploys.NATIVE_TOKEN);
    L2ToL1MessagePasser private constant PASSER = L2ToL1MessagePasser(payable(Predeploys.MESSAGE_PASSER));

    function setUp() public {
        deploy(4);
        vm.etch(Predeploys.L1_BLOCK_INFO, create("L1BlockInfo", "").code);
        vm.etch(Predeploys.COMMITTEE_REGISTRY, create("CommitteeRegistry", "").code);
        vm.etch(Predeploys.NATIVE_TOKEN, create("NativeToken", "").code);
        vm.etch(Predeploys.MESSAGE_PASSER, create("L2ToL1MessagePasser", "").code);
        vm.etch(Predeploys.FEE_VAULT, create("FeeVault", "").code);
        vm.etch(Predeploys.NATIVE_TRANSFER, address(new NativeTransfer__Mock()).code);
    }

    // ---- L1BlockInfo and GasPriceOracle ----

    function test_l1BlockInfoKeepsItsSlots() public {
        vm.prank(Predeploys.SYSTEM_DEPOSITOR);
        INFO.setL1Block(11, 12, 13, 14, bytes32(uint256(15)));
        for (uint256 i = 0; i < 5; ++i) {
            eq(vm.load(address(INFO), bytes32(i)), bytes32(11 + i), "slot");
        }
        eq(INFO.number(), 11, "number");
        eq(INFO.timestamp(), 12, "timestamp");
        eq(INFO.basefee(), 13, "basefee");
        eq(INFO.blobBaseFee(), 14, "blobBaseFee");
        eq(INFO.hash(), bytes32(uint256(15)), "hash");
        vm.expectRevert(abi.encodeWithSelector(L1BlockInfo.NotDepositor.selector, address(this)));
        INFO.setL1Block(1, 1, 1, 1, 0);
    }

    function test_ratioTravelsFromTheOracle() public {
        vm.store(address(INFO), bytes32(uint256(5)), bytes32(uint256(100e18)));
        vm.store(address(INFO), bytes32(uint256(6)), bytes32(uint256(uint160(address(oracle)))));
        eq(INFO.gasTokenRatio(), 100e18, "genesis");
        vm.expectEmit(address(portal));
        emit Portal.TransactionDeposited(
            Aliasing.toL2(address(oracle)),
            address(INFO),
            0,
            abi.encodePacked(
                uint256(0), uint256(0), uint64(100_000), false, abi.encodeCall(L1BlockInfo.setGasTokenRatio, (105e18))
            )
        );
        vm.prank(UPDATER);
        oracle.update(105e18);
        vm.prank(Aliasing.toL2(address(oracle)));
        INFO.setGasTokenRatio(105e18);
        eq(uint256(vm.load(address(INFO), bytes32(uint256(5)))), 105e18, "slot 5");
        vm.expectRevert(abi.encodeWithSelector(L1BlockInfo.NotGasPriceOracle.selector, address(oracle)));
        vm.prank(address(oracle));
        INFO.setGasTokenRatio(1);
    }

    function test_oracleIsBounded() public {
        vm.expectRevert(abi.encodeWithSelector(GasPriceOracle.NotUpdater.selector, address(this)));
        oracle.update(100e18);
        vm.prank(UPDATER);
        vm.expectRevert(abi.encodeWithSelector(GasPriceOracle.StepTooLarge.selector, 105e18 + 1, 95e18, 105e18));
        oracle.update(105e18 + 1);
        vm.prank(UPDATER);
        vm.expectRevert(abi.encodeWithSelector(GasPriceOracle.StepTooLarge.selector, 95e18 - 1, 95e18, 105e18));
        oracle.update(95e18 - 1);
        vm.prank(UPDATER);
        vm.expectRevert(abi.encodeWithSelector(GasPriceOracle.RatioZero.selector));
        oracle.update(0);
        vm.prank(UPDATER);
        oracle.update(95e18);
        uint256 next = now_() + 1 hours;
        vm.prank(UPDATER);
        vm.expectRevert(abi.encodeWithSelector(GasPriceOracle.UpdateTooEarly.selector, next));
        oracle.update(95e18);
        vm.warp(next);
        vm.prank(UPDATER);
        oracle.update(95e18 * 105 / 100);
    }

    /// @dev Below 20, five per cent is less than 1: the ratio would have stayed there for ever.
    function test_aSmallRatioStillMoves() public {
        GasPriceOracle small = GasPriceOracle(create("GasPriceOracle", abi.encode(portal, UPDATER, 2, 1 hours)));
        vm.startPrank(UPDATER, UPDATER);
        vm.expectRevert(abi.encodeWithSelector(GasPriceOracle.StepTooLarge.selector, 4, 1, 3));
        small.update(4);
        vm.recordLogs();
        small.update(3);
        vm.stopPrank();
        eq(small.ratio(), 3, "one more");
    }

    // ---- CommitteeRegistry ----

    function test_registryFollowsThePool() public {
        vm.store(address(REGISTRY), 0, bytes32(uint256(uint160(address(pool)))));
        vm.store(address(REGISTRY), bytes32(uint256(1)), bytes32(uint256(1)));
        // Genesis layout of committee 1: seed and pointer in their mappings, members in a code of their own.
        bytes memory first = new bytes(152 * 4);
        address pointer = address(0xc101);
        vm.etch(pointer, abi.encodePacked(uint8(0), first));
        vm.store(address(REGISTRY), keccak256(abi.encode(1, 2)), keccak256("seed 1"));
        vm.store(address(REGISTRY), keccak256(abi.encode(1, 3)), bytes32(uint256(uint160(pointer))));
        eq(REGISTRY.latestCommittee(), 1, "latest");
        eq(REGISTRY.seed(1), keccak256("seed 1"), "seed");
        eq(REGISTRY.members(1), first, "members");
        eq(REGISTRY.size(1), 4, "size");

        bytes memory second = abi.encodePacked(new bytes(152 * 99), keccak256("last"), new bytes(120));
        address system = Aliasing.toL2(address(pool));
        uint256 gasLimit = 300_000 + 40_000 * 100; // what the pool sends along
        bytes memory call_ = abi.encodeCall(CommitteeRegistry.setCommittee, (2, keccak256("seed 2"), second));
        vm.prank(system);
        (bool ok,) = address(REGISTRY).call{gas: gasLimit - 21_000 - 16 * call_.length}(call_);
        yes(ok, "a hundred members fit the gas");
        yes(gasLimit > 21_000 + 40 * call_.length, "and the calldata floor");
        eq(REGISTRY.members(2), second, "members");
        eq(REGISTRY.size(2), 100, "size");
        eq(vm.load(address(REGISTRY), keccak256(abi.encode(2, 2))), keccak256("seed 2"), "seed slot");
        eq(uint256(vm.load(address(REGISTRY), bytes32(uint256(1)))), 2, "latest slot");
        yes(uint8(REGISTRY.pointer(2).code[0]) == 0, "starts with STOP");

        // A committee that never arrived does not keep out the next.
        uint256 state = vm.snapshotState();
        vm.prank(system);
        REGISTRY.setCommittee(4, keccak256("seed 4"), first);
        eq(REGISTRY.latestCommittee(), 4, "latest");
        vm.revertToState(state);
        vm.prank(system);
        vm.expectRevert(abi.encodeWithSelector(CommitteeRegistry.CommitteeOutOfOrder.selector, 2, 3));
        REGISTRY.setCommittee(2, 0, second);
        vm.prank(system);
        vm.expectRevert(abi.encodeWithSelector(CommitteeRegistry.MembersLength.selector, 151, 152));
        REGISTRY.setCommittee(3, 0, new bytes(151));
        vm.prank(system);
        vm.expectRevert(abi.encodeWithSelector(CommitteeRegistry.MembersLength.selector, 0, 152));
        REGISTRY.setCommittee(3, 0, "");
        vm.prank(address(pool));
        vm.expectRevert(abi.encodeWithSelector(CommitteeRegistry.NotSequencerPool.selector, address(pool)));
        REGISTRY.setCommittee(3, 0, second);
        vm.expectRevert(abi.encodeWithSelector(CommitteeRegistry.UnknownCommittee.selector, 3));
        REGISTRY.members(3);
    }

    // ---- L2ToL1MessagePasser and FeeVault ----

    function test_messagePasserIsOps() public {
        vm.deal(ALICE, 10);
        uint256 nonce = uint256(1) << 240;
        eq(PASSER.messageNonce(), nonce, "first nonce");
        bytes32 hash = keccak256(abi.encode(nonce, ALICE, BOB, uint256(7), uint256(50_000), bytes("data")));
        vm.expectEmit(address(PASSER));
        emit L2ToL1MessagePasser.MessagePassed(nonce, ALICE, BOB, 7, 50_000, "data", hash);
        vm.prank(ALICE);
        PASSER.initiateWithdrawal{value: 7}(BOB, 50_000, "data");
        yes(PASSER.sentMessages(hash), "written down");
        eq(uint256(vm.load(address(PASSER), bytes32(uint256(1)))), 1, "slot 1 is the count");
        eq(address(PASSER).balance, 7, "burnt here");

        hash = keccak256(abi.encode(nonce + 1, ALICE, ALICE, uint256(3), uint256(100_000), bytes("")));
        vm.prank(ALICE);
        (bool ok,) = address(PASSER).call{value: 3}("");
        yes(ok && PASSER.sentMessages(hash), "a plain transfer withdraws to its sender");
    }

    function test_feeVaultReceives() public {
        vm.deal(ALICE, 5);
        vm.prank(ALICE);
        (bool ok,) = Predeploys.FEE_VAULT.call{value: 5}("");
        yes(ok, "takes a transfer");
        eq(FeeVault(payable(Predeploys.FEE_VAULT)).totalReceived(), 5, "total");
    }

    // ---- NativeToken ----

    function test_nativeTokenReadsItsGenesis() public {
        vm.store(address(NATIVE), 0, shortString("Metis"));
        vm.store(address(NATIVE), bytes32(uint256(1)), shortString("METIS"));
        vm.store(address(NATIVE), bytes32(uint256(2)), bytes32(uint256(10_000_000e18)));
        eq(bytes(NATIVE.name()), "Metis", "name");
        eq(bytes(NATIVE.symbol()), "METIS", "symbol");
        eq(NATIVE.totalSupply(), 10_000_000e18, "supply");
        eq(NATIVE.decimals(), 18, "decimals");
    }

    function testFuzz_nativeTokenMovesNativeBalance(uint256 balance, uint256 amount, bool toSelf) public {
        balance = bound(balance, 0, 1e30);
        address to = toSelf ? ALICE : BOB;
        vm.deal(ALICE, balance);
        eq(NATIVE.balanceOf(ALICE), balance, "balanceOf");
        vm.prank(ALICE);
        if (amount > balance) {
            vm.expectRevert(
                abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, ALICE, balance, amount)
            );
            NATIVE.transfer(to, amount);
            return;
        }
        NATIVE.transfer(to, amount);
        eq(ALICE.balance, toSelf ? balance : balance - amount, "from");
        eq(BOB.balance, toSelf ? 0 : amount, "to");
    }

    function test_nativeTokenAllowances() public {
        vm.deal(ALICE, 100);
        vm.prank(ALICE);
        NATIVE.approve(BOB, 30);
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, BOB, 30, 31));
        NATIVE.transferFrom(ALICE, BOB, 31);
        vm.prank(BOB);
        NATIVE.transferFrom(ALICE, BOB, 30);
        eq(BOB.balance, 30, "moved");
        eq(NATIVE.allowance(ALICE, BOB), 0, "used up");
        vm.prank(ALICE);
        NATIVE.approve(BOB, type(uint256).max);
        vm.prank(BOB);
        NATIVE.transferFrom(ALICE, BOB, 10);
        eq(NATIVE.allowance(ALICE, BOB), type(uint256).max, "an endless allowance stays");
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InvalidReceiver.selector, address(0)));
        NATIVE.transfer(address(0), 1);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InvalidSpender.selector, address(0)));
        NATIVE.approve(address(0), 1);
    }

    function test_nativeTokenDoesNotBelieveAMissingPrecompile() public {
        vm.etch(Predeploys.NATIVE_TRANSFER, "");
        vm.deal(ALICE, 100);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(NativeToken.NativeTransferFailed.selector, ALICE, BOB, 1));
        NATIVE.transfer(BOB, 1);
    }

    /// @dev Solidity's short form: text left-aligned, lowest byte twice the length.
    function shortString(bytes memory text) private pure returns (bytes32) {
        return bytes32(text) | bytes32(text.length * 2);
    }
}
