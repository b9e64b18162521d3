// Invariants: random users of portal and rollup; a ghost copy predicts every balance. The pool has its own (PoolInvariants.t.sol).
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {WithdrawalTransaction} from "../src/l1/Portal.sol";
import {InvariantBase} from "./base/InvariantBase.sol";
import {Withdrawals} from "./base/Withdrawals.sol";
import {vm} from "./base/Vm.sol";

/// @dev Every action succeeds by construction (fail_on_revert), so a refusal is a finding too.
contract Handler is Withdrawals {
    uint256 public ghostEscrow;
    uint256 public ghostL2Supply;
    uint256 public ghostInFlight;
    WithdrawalTransaction[] private _proven;
    uint256 private _nonce;
    uint256 public calls;

    constructor() {
        deploy(4);
        vm.roll(height() + 10);
    }

    modifier counted() {
        ++calls;
        vm.roll(height() + 1);
        _;
    }

    function rotate() external counted {
        rotateLater();
    }

    function deposit(uint256 amount) external counted {
        amount = bound(amount, 0, 1_000e18);
        address user = address(0xa11ce);
        fund(user, address(portal), amount);
        vm.prank(user);
        portal.depositERC20Transaction(user, amount, 0, 21_000, false, "");
        ghostEscrow += amount;
        ghostL2Supply += amount;
    }

    function withdraw(uint256 amount) external counted {
        amount = bound(amount, 0, ghostL2Supply);
        WithdrawalTransaction memory w = WithdrawalTransaction({
            nonce: (uint256(1) << 240) + _nonce++,
            sender: address(0xa11ce),
            target: address(0xb0b),
            value: amount,
            gasLimit: 0,
            data: ""
        });
        ghostL2Supply -= amount;
        ghostInFlight += amount;
        prove(w);
        _proven.push(w);
    }

    function finalize(uint256 seed) external counted {
        if (_proven.length == 0) return;
        uint256 i = seed % _proven.length;
        WithdrawalTransaction memory w = _proven[i];
        (,, uint128 index) = portal.provenWithdrawals(portal.hashWithdrawal(w));
        uint256 finalAt = rollup.getL2Output(index).timestamp + WINDOW;
        if (now_() < finalAt) vm.warp(finalAt);
        portal.finalizeWithdrawalTransaction(w);
        ghostEscrow -= w.value;
        ghostInFlight -= w.value;
        _proven[i] = _proven[_proven.length - 1];
        _proven.pop();
    }

    // ---- what must hold ----

    function checkEscrow() external view {
        eq(token.balanceOf(address(portal)), ghostEscrow, "escrow = deposits - withdrawals");
        eq(ghostEscrow, ghostL2Supply + ghostInFlight, "escrow = supply on L2 + in flight");
    }
}

contract InvariantTest is InvariantBase {
    Handler private _handler;

    function setUp() public {
        _handler = new Handler();
        drive(address(_handler));
        act(Handler.rotate.selector);
        act(Handler.deposit.selector);
        act(Handler.withdraw.selector);
        act(Handler.finalize.selector);
    }

    function invariant_escrow() public view {
        _handler.checkEscrow();
    }
}
