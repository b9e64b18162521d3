// Invariants: random users of pool, portal and rollup; a ghost copy predicts every balance.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SequencerPool} from "../src/l1/SequencerPool.sol";
import {WithdrawalTransaction} from "../src/l1/Portal.sol";
import {Signer} from "./base/Signer.sol";
import {Withdrawals} from "./base/Withdrawals.sol";
import {vm} from "./base/Vm.sol";

/// @dev Every action succeeds by construction (fail_on_revert), so a refusal is a finding too.
contract Handler is Withdrawals {
    mapping(uint64 id => uint256) public ghostLock;
    uint256 public ghostLocked;
    uint256 public ghostPaid;
    uint256 public ghostEscrow;
    uint256 public ghostL2Supply;
    uint256 public ghostInFlight;
    mapping(uint64 id => uint256) public ghostClaimableAt;
    WithdrawalTransaction[] private _proven;
    uint256 private _nonce;
    uint256 public calls;

    constructor() {
        deploy(4);
        vm.roll(height() + 10);
        for (uint64 id = 1; id <= 4; ++id) {
            ghostLock[id] = pool.sequencer(id).amount;
            ghostLocked += ghostLock[id];
        }
    }

    modifier counted() {
        ++calls;
        vm.roll(height() + 1);
        _;
    }

    function lock(uint256 amount) external counted {
        if (pool.lastId() >= 40) return;
        amount = bound(amount, MIN_LOCK, MAX_LOCK);
        uint64 id = join(amount);
        ghostLock[id] = amount;
        ghostLocked += amount;
    }

    function increase(uint64 id, uint256 amount) external counted {
        id = pick(id);
        SequencerPool.Sequencer memory s = pool.sequencer(id);
        if (s.status != SequencerPool.Status.Queued && s.status != SequencerPool.Status.Active) return;
        amount = bound(amount, 0, MAX_LOCK - s.amount);
        fund(s.owner, address(pool), amount);
        vm.prank(s.owner);
        pool.increase(id, amount);
        ghostLock[id] += amount;
        ghostLocked += amount;
    }

    function exit(uint64 id) external counted {
        id = pick(id);
        SequencerPool.Sequencer memory s = pool.sequencer(id);
        if (id == 1 || (s.status != SequencerPool.Status.Queued && s.status != SequencerPool.Status.Active)) return;
        vm.prank(s.owner);
        pool.exit(id);
        ghostClaimableAt[id] = now_() + UNBONDING;
    }

    function claim(uint64 id) external counted {
        id = pick(id);
        if (ghostClaimableAt[id] == 0) return;
        if (now_() < ghostClaimableAt[id]) vm.warp(ghostClaimableAt[id]);
        SequencerPool.Sequencer memory s = pool.sequencer(id);
        uint256 before = token.balanceOf(s.owner);
        vm.prank(s.owner);
        pool.claim(id);
        eq(token.balanceOf(s.owner) - before, ghostLock[id], "an exit pays the whole lock");
        ghostLocked -= ghostLock[id];
        ghostPaid += ghostLock[id];
        ghostLock[id] = 0;
        ghostClaimableAt[id] = 0;
    }

    function rotate() external counted {
        rotateLater();
    }

    function packKeys() external counted {
        pool.packKeys();
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

    function pick(uint64 id) private view returns (uint64) {
        return id % pool.lastId() + 1;
    }

    // ---- what must hold ----

    function checkPool() external view {
        eq(token.balanceOf(address(pool)), ghostLocked, "pool balance = locks and unclaimed exits");
        uint256 sum;
        for (uint64 id = 1; id <= pool.lastId(); ++id) {
            eq(pool.sequencer(id).amount, ghostLock[id], "lock");
            sum += pool.sequencer(id).amount;
        }
        eq(sum, ghostLocked, "sum of locks");
    }

    function checkEscrow() external view {
        eq(token.balanceOf(address(portal)), ghostEscrow, "escrow = deposits - withdrawals");
        eq(ghostEscrow, ghostL2Supply + ghostInFlight, "escrow = supply on L2 + in flight");
    }

    function checkCommittee() external view {
        (uint256 size,,,,, uint64[] memory ids) = pool.committee(pool.latestCommittee());
        yes(size != 0 && size <= pool.MAX_COMMITTEE(), "size");
        uint256 sum;
        for (uint256 i = 0; i < size; ++i) {
            sum = addmod(sum, secretOf[ids[i]], Signer.ORDER);
        }
        eq(pool.aggregateKey(pool.latestCommittee()), Signer.publicKey(sum), "aggregate");
    }
}

contract InvariantTest {
    Handler private _handler;

    function setUp() public {
        _handler = new Handler();
    }

    /// @dev Forge calls only the handler's actions.
    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(_handler);
        targets[0].selectors = new bytes4[](9);
        targets[0].selectors[0] = Handler.lock.selector;
        targets[0].selectors[1] = Handler.increase.selector;
        targets[0].selectors[2] = Handler.exit.selector;
        targets[0].selectors[3] = Handler.claim.selector;
        targets[0].selectors[4] = Handler.rotate.selector;
        targets[0].selectors[5] = Handler.packKeys.selector;
        targets[0].selectors[6] = Handler.deposit.selector;
        targets[0].selectors[7] = Handler.withdraw.selector;
        targets[0].selectors[8] = Handler.finalize.selector;
    }

    function invariant_balances() public view {
        _handler.checkPool();
        _handler.checkEscrow();
        _handler.checkCommittee();
    }
}
