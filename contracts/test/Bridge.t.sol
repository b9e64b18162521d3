// Bridge: ether and tokens to L2 and back, both halves and the Portal between them; awkward tokens and recipients.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {L1Bridge} from "../src/l1/L1Bridge.sol";
import {Portal, WithdrawalTransaction} from "../src/l1/Portal.sol";
import {BridgedERC20} from "../src/l2/BridgedERC20.sol";
import {L2Bridge} from "../src/l2/L2Bridge.sol";
import {L2ToL1MessagePasser} from "../src/l2/L2ToL1MessagePasser.sol";
import {Aliasing} from "../src/lib/Aliasing.sol";
import {Predeploys} from "../src/lib/Predeploys.sol";
import {Vm, vm} from "./base/Vm.sol";
import {Withdrawals} from "./base/Withdrawals.sol";

contract Token__Mock is ERC20 {
    uint8 private immutable _DECIMALS;
    bool public refusing;

    constructor(string memory name_, string memory symbol_, uint8 decimals_) ERC20(name_, symbol_) {
        _DECIMALS = decimals_;
        _mint(msg.sender, 1e30);
    }

    function decimals() public view override returns (uint8) {
        return _DECIMALS;
    }

    function refuse(bool value) external {
        refusing = value;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        if (refusing) return false;
        return super.transfer(to, amount);
    }
}

/// @dev Keeps one unit in ten of every transfer.
contract FeeToken__Mock is ERC20("Fee", "FEE") {
    constructor() {
        _mint(msg.sender, 1e30);
    }

    function _update(address from, address to, uint256 amount) internal override {
        if (from == address(0)) return super._update(from, to, amount);
        super._update(from, to, amount - amount / 10);
        super._update(from, address(0xfee), amount / 10);
    }
}

/// @dev bytes32 metadata, and `transfer` without a return value, as in old tokens.
contract OldToken__Mock {
    bytes32 public constant name = "Maker";
    bytes32 public constant symbol = "MKR";
    mapping(address => uint256) public balanceOf;

    constructor() {
        balanceOf[msg.sender] = 1e30;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }
}

/// @dev Metadata that lies about its own length.
contract HostileToken__Mock is ERC20("", "") {
    constructor() {
        _mint(msg.sender, 1e30);
    }

    function name() public pure override returns (string memory) {
        assembly {
            mstore(0, 32)
            mstore(32, not(0))
            return(0, 64)
        }
    }

    function symbol() public pure override returns (string memory) {
        return "a symbol that is longer than the sixty-four bytes that the bridge will pass on";
    }

    function decimals() public pure override returns (uint8) {
        assembly {
            mstore(0, not(0))
            return(0, 32)
        }
    }
}

/// @dev Runs another's withdrawal from inside its own deposit.
contract MeddlingToken__Mock is ERC20("Meddling", "MED") {
    Portal private immutable PORTAL;
    WithdrawalTransaction private _victim;

    constructor(Portal portal) {
        PORTAL = portal;
        _mint(msg.sender, 1e30);
    }

    function meddleWith(WithdrawalTransaction calldata w) external {
        _victim = w;
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        PORTAL.finalizeWithdrawalTransaction(_victim);
        return super.transferFrom(from, to, amount);
    }
}

/// @dev Deposits again from inside its own deposit.
contract NestingToken__Mock is ERC20("Nesting", "NST") {
    L1Bridge private immutable BRIDGE;
    bool private _inside;

    constructor(L1Bridge bridge) {
        BRIDGE = bridge;
        _mint(msg.sender, 1e30);
        _mint(address(this), 1e30);
        _approve(address(this), address(bridge), 1e30);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        if (!_inside) {
            _inside = true;
            BRIDGE.depositERC20(address(this), address(this), amount);
        }
        return super.transferFrom(from, to, amount);
    }
}

contract BridgeTest is Withdrawals {
    address private constant ALICE = address(0xa11ce);
    address private constant BOB = address(0xb0b);

    L2Bridge private constant L2 = L2Bridge(Predeploys.L2_BRIDGE);

    function setUp() public {
        deploy(4);
        vm.roll(height() + 10);
        vm.etch(Predeploys.L2_BRIDGE, create("L2Bridge", "").code);
        vm.store(Predeploys.L2_BRIDGE, 0, bytes32(uint256(uint160(address(bridge)))));
        vm.etch(Predeploys.MESSAGE_PASSER, create("L2ToL1MessagePasser", "").code);
        vm.deal(ALICE, 100 ether);
    }

    function test_etherGoesAndComesBack() public {
        BridgedERC20 ether_ = depositEther(ALICE, 3 ether);
        eq(ether_.balanceOf(ALICE), 3 ether, "minted");
        eq(bytes(ether_.symbol()), "ETH", "symbol");
        eq(address(ether_.L1_TOKEN()), address(0), "L1 token");
        // The second deposit uses the same token and less gas.
        eq(address(depositEther(BOB, 1 ether)), address(ether_), "one token");

        WithdrawalTransaction memory w = withdraw(ALICE, address(ether_), BOB, 2 ether);
        eq(ether_.totalSupply(), 2 ether, "burnt");
        settle(w);
        eq(BOB.balance, 2 ether, "paid");
        eq(bridge.escrowed(address(0)), 2 ether, "escrow");
        eq(address(bridge).balance, 2 ether, "balance");
    }

    function test_tokensKeepTheirMetadata() public {
        Token__Mock usd = new Token__Mock("US Dollar", "USD", 6);
        BridgedERC20 l2Token = depositToken(address(usd), ALICE, 5e6);
        eq(bytes(l2Token.name()), "US Dollar", "name");
        eq(bytes(l2Token.symbol()), "USD", "symbol");
        eq(l2Token.decimals(), 6, "decimals");
        settle(withdraw(ALICE, address(l2Token), BOB, 5e6));
        eq(usd.balanceOf(BOB), 5e6, "paid");
        eq(l2Token.totalSupply(), 0, "burnt");
    }

    function test_oldTokens() public {
        OldToken__Mock old = new OldToken__Mock();
        BridgedERC20 l2Token = depositToken(address(old), ALICE, 5e18);
        eq(bytes(l2Token.name()), "Maker", "name");
        eq(bytes(l2Token.symbol()), "MKR", "symbol");
        eq(l2Token.decimals(), 18, "decimals");
        settle(withdraw(ALICE, address(l2Token), BOB, 5e18));
        eq(old.balanceOf(BOB), 5e18, "paid");
    }

    function test_hostileMetadataSpoilsOnlyItself() public {
        HostileToken__Mock hostile = new HostileToken__Mock();
        BridgedERC20 l2Token = depositToken(address(hostile), ALICE, 5e18);
        eq(bytes(l2Token.name()), "", "name");
        eq(bytes(l2Token.symbol()).length, 64, "symbol");
        eq(l2Token.decimals(), 18, "decimals");
    }

    function test_feeOnTransferIsCreditedWithWhatCame() public {
        FeeToken__Mock fee = new FeeToken__Mock();
        BridgedERC20 l2Token = depositToken(address(fee), ALICE, 100e18);
        eq(l2Token.balanceOf(ALICE), 90e18, "what came");
        eq(bridge.escrowed(address(fee)), 90e18, "escrow");
        settle(withdraw(ALICE, address(l2Token), BOB, 90e18));
        eq(fee.balanceOf(BOB), 81e18, "less its own fee again");
        eq(bridge.escrowed(address(fee)), 0, "escrow");
    }

    function test_aRefusedPaymentBecomesClaimable() public {
        Token__Mock usd = new Token__Mock("US Dollar", "USD", 6);
        BridgedERC20 l2Token = depositToken(address(usd), ALICE, 5e6);
        WithdrawalTransaction memory w = withdraw(ALICE, address(l2Token), BOB, 5e6);
        usd.refuse(true);
        settle(w);
        eq(bridge.claimable(address(usd), BOB), 5e6, "held");
        usd.refuse(false);
        vm.prank(BOB);
        bridge.claim(address(usd), BOB);
        eq(usd.balanceOf(BOB), 5e6, "claimed");
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(L1Bridge.NothingToClaim.selector, address(usd), BOB));
        bridge.claim(address(usd), BOB);
    }

    function test_etherForAContractThatTakesNone() public {
        BridgedERC20 ether_ = depositEther(ALICE, 1 ether);
        settle(withdraw(ALICE, address(ether_), address(token), 1 ether));
        eq(bridge.claimable(address(0), address(token)), 1 ether, "held");
        vm.prank(address(token));
        vm.expectRevert(abi.encodeWithSelector(L1Bridge.EtherTransferFailed.selector, address(token), 1 ether));
        bridge.claim(address(0), address(token));
        vm.prank(address(token));
        bridge.claim(address(0), BOB);
        eq(BOB.balance, 1 ether, "claimed elsewhere");
    }

    function test_onlyTheOtherHalfReleases() public {
        vm.expectRevert(abi.encodeWithSelector(L1Bridge.NotFromL2Bridge.selector, address(this), address(0xdEaD)));
        bridge.finalizeWithdrawal(address(0), ALICE, BOB, 1);
        // A withdrawal by anybody else on L2 that calls the bridge.
        depositEther(ALICE, 1 ether);
        WithdrawalTransaction memory w = WithdrawalTransaction({
            nonce: 1 << 240,
            sender: ALICE,
            target: address(bridge),
            value: 0,
            gasLimit: 300_000,
            data: abi.encodeCall(L1Bridge.finalizeWithdrawal, (address(0), ALICE, BOB, 1 ether))
        });
        prove(w);
        vm.warp(now_() + WINDOW);
        vm.expectEmit(address(portal));
        emit Portal.WithdrawalFinalized(portal.hashWithdrawal(w), false);
        portal.finalizeWithdrawalTransaction(w);
        eq(BOB.balance, 0, "nothing");
        vm.expectRevert(abi.encodeWithSelector(L2Bridge.NotL1Bridge.selector, address(bridge)));
        vm.prank(address(bridge)); // not aliased: an L2 contract at the bridge's L1 address
        L2.finalizeDeposit(address(0), ALICE, BOB, 1, "", "", 18);
    }

    /// @dev Found in review: with a guard on finalizeWithdrawal, the victim's call failed inside the deposit, and the Portal runs it once.
    function test_aDepositCannotSpoilAnothersWithdrawal() public {
        BridgedERC20 ether_ = depositEther(ALICE, 1 ether);
        WithdrawalTransaction memory w = withdraw(ALICE, address(ether_), BOB, 1 ether);
        prove(w);
        vm.warp(now_() + WINDOW);
        MeddlingToken__Mock meddling = new MeddlingToken__Mock(portal);
        meddling.meddleWith(w);
        meddling.approve(address(bridge), 1);
        bridge.depositERC20(address(meddling), ALICE, 1);
        eq(BOB.balance, 1 ether, "the victim is paid");
    }

    function test_depositsDoNotNest() public {
        NestingToken__Mock nesting = new NestingToken__Mock(bridge);
        nesting.approve(address(bridge), 1e18);
        vm.expectRevert(abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector));
        bridge.depositERC20(address(nesting), ALICE, 1e18);
    }

    function test_escrowIsPerToken() public {
        depositEther(ALICE, 1 ether);
        Token__Mock usd = new Token__Mock("US Dollar", "USD", 6);
        depositToken(address(usd), ALICE, 5e6);
        // Even an L2 bridge gone wrong can take no more of a token than was put in.
        WithdrawalTransaction memory w = WithdrawalTransaction({
            nonce: 1 << 240,
            sender: Predeploys.L2_BRIDGE,
            target: address(bridge),
            value: 0,
            gasLimit: 300_000,
            data: abi.encodeCall(L1Bridge.finalizeWithdrawal, (address(usd), ALICE, BOB, 5e6 + 1))
        });
        settleWith(w, false);
        eq(usd.balanceOf(BOB), 0, "nothing");
    }

    function test_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(L1Bridge.GasTokenUsesPortal.selector, address(token)));
        bridge.depositERC20(address(token), ALICE, 1);
        vm.expectRevert(abi.encodeWithSelector(L1Bridge.AmountZero.selector));
        bridge.depositETH(ALICE);
        vm.deal(address(this), 1);
        vm.expectRevert(abi.encodeWithSelector(L1Bridge.RecipientZero.selector));
        bridge.depositETH{value: 1}(address(0));
        vm.expectRevert(abi.encodeWithSelector(L2Bridge.NotBridged.selector, address(token)));
        L2.withdraw(address(token), ALICE, 1);
        vm.expectRevert(abi.encodeWithSelector(L2Bridge.NotBridged.selector, address(0)));
        L2.withdraw(address(0), ALICE, 1);
        BridgedERC20 ether_ = depositEther(ALICE, 1 ether);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(L2Bridge.RecipientZero.selector));
        L2.withdraw(address(ether_), address(0), 1);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(L2Bridge.AmountZero.selector));
        L2.withdraw(address(ether_), BOB, 0);
        vm.expectRevert(abi.encodeWithSelector(BridgedERC20.NotBridge.selector, address(this)));
        ether_.mint(ALICE, 1);
        vm.expectRevert(abi.encodeWithSelector(BridgedERC20.NotBridge.selector, address(this)));
        ether_.burn(ALICE, 1);
    }

    // ---- both halves ----

    function depositEther(address to, uint256 amount) private returns (BridgedERC20) {
        vm.recordLogs();
        vm.prank(ALICE);
        bridge.depositETH{value: amount}(to);
        return deliver(address(0));
    }

    function depositToken(address l1Token, address to, uint256 amount) private returns (BridgedERC20) {
        (bool ok,) = l1Token.call(abi.encodeCall(ERC20.approve, (address(bridge), amount)));
        yes(ok || l1Token.code.length != 0, "old tokens here need no approval");
        vm.recordLogs();
        bridge.depositERC20(l1Token, to, amount);
        return deliver(l1Token);
    }

    /// @dev Runs the recorded deposit on "L2" with exactly the gas it asks for.
    function deliver(address l1Token) private returns (BridgedERC20) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        Vm.Log memory log = logs[logs.length - 1];
        eq(log.topics[0], Portal.TransactionDeposited.selector, "deposit");
        address from = address(uint160(uint256(log.topics[1])));
        eq(from, Aliasing.toL2(address(bridge)), "aliased");
        bytes memory opaque = abi.decode(log.data, (bytes));
        uint64 gasLimit;
        bytes memory data = new bytes(opaque.length - 73);
        assembly {
            gasLimit := shr(192, mload(add(opaque, 96)))
            mcopy(add(data, 32), add(opaque, 105), mload(data))
        }
        // What a transaction pays before its first opcode.
        uint256 intrinsic = 21_000 + 16 * data.length;
        vm.prank(from);
        (bool ok,) = address(uint160(uint256(log.topics[2]))).call{gas: gasLimit - intrinsic}(data);
        yes(ok, "deposit runs within its gas");
        return BridgedERC20(L2.l2TokenOf(l1Token));
    }

    function withdraw(address from, address l2Token, address to, uint256 amount)
        private
        returns (WithdrawalTransaction memory w)
    {
        vm.recordLogs();
        vm.prank(from);
        L2.withdraw(l2Token, to, amount);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        Vm.Log memory log = logs[logs.length - 1];
        eq(log.topics[0], L2ToL1MessagePasser.MessagePassed.selector, "message");
        w.nonce = uint256(log.topics[1]);
        w.sender = address(uint160(uint256(log.topics[2])));
        w.target = address(uint160(uint256(log.topics[3])));
        bytes32 hash;
        (w.value, w.gasLimit, w.data, hash) = abi.decode(log.data, (uint256, uint256, bytes, bytes32));
        eq(portal.hashWithdrawal(w), hash, "both chains hash alike");
        yes(L2ToL1MessagePasser(payable(Predeploys.MESSAGE_PASSER)).sentMessages(hash), "written down");
        // The slot the Portal proves is the slot that was written.
        eq(vm.load(Predeploys.MESSAGE_PASSER, keccak256(abi.encode(hash, uint256(0)))), bytes32(uint256(1)), "slot");
    }

    function settle(WithdrawalTransaction memory w) private {
        settleWith(w, true);
    }

    function settleWith(WithdrawalTransaction memory w, bool success) private {
        prove(w);
        vm.warp(now_() + WINDOW);
        vm.expectEmit(address(portal));
        emit Portal.WithdrawalFinalized(portal.hashWithdrawal(w), success);
        portal.finalizeWithdrawalTransaction(w);
    }
}
