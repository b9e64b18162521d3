// PoolInvariants: random users, slasher and governor of the pool; a ghost copy predicts every lock, ticket, turn and balance.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Sequencer, Status} from "../src/interfaces/ISequencerPool.sol";
import {Keys} from "../src/l1/CommitteeBuilder.sol";
import {Chain} from "./base/Chain.sol";
import {InvariantBase} from "./base/InvariantBase.sol";
import {Signer} from "./base/Signer.sol";
import {vm} from "./base/Vm.sol";

/// @dev Every action succeeds by construction (fail_on_revert), so a refusal is a finding too.
contract PoolHandler is Chain {
    struct GhostTicket {
        uint64 id;
        address owner;
        uint256 amount;
        uint256 issuedAt;
        bool open;
    }

    uint64 private constant LAST_ID = 20;
    address private constant REPORTER = address(0x4e904);
    address private constant STRANGER = address(0x574a);

    mapping(uint64 id => uint256) private _lock;
    mapping(uint64 id => Status) private _status;
    mapping(uint64 id => uint256) private _since;
    /// @dev Ticket n is entry n - 1.
    GhostTicket[] private _tickets;
    mapping(uint64 id => uint256) private _openTickets;
    uint64[] private _queue;
    uint64[] private _active;
    /// @dev Who asked to leave, in order.
    uint64[] private _exits;
    uint256 private _locked;
    uint256 private _inTickets;
    uint256 private _shares;
    uint256 private _donated;

    mapping(uint64 id => Keys) private _keys;
    mapping(uint64 id => bytes) private _proofs;
    /// @dev Three accounts from here on post for many.
    address private constant POSTERS = address(0x905700);
    mapping(uint64 id => address) private _poster;

    constructor() {
        deploy(4);
        for (uint64 id = 1; id <= 4; ++id) {
            (_lock[id], _status[id], _since[id]) = (pool.sequencer(id).amount, Status.Active, now_());
            _locked += _lock[id];
            _active.push(id);
            _poster[id] = posterAt(id);
        }
        for (uint64 id = 5; id <= LAST_ID; ++id) {
            ownerOf[id] = address(uint160(0x5e900000 + id));
            _keys[id] = keysOf(id);
            _proofs[id] = Signer.sign(secretAt(id), pool.possessionMessage(ownerOf[id], _keys[id]), Signer.POSSESSION);
        }
    }

    /// @dev Time moves, so that no two exits are asked for at once (ties have a test of their own).
    modifier step() {
        vm.warp(now_() + 1);
        vm.roll(height() + 1);
        _;
    }

    // ---- owners ----

    function lock(uint256 amount) external step {
        uint64 id = pool.lastId() + 1;
        if (id > LAST_ID || pool.joinsPaused()) return;
        amount = bound(amount, pool.minLock(), pool.maxLock());
        fund(ownerOf[id], address(pool), amount);
        vm.prank(ownerOf[id]);
        pool.lock(_keys[id], _proofs[id], amount, ownerOf[id], POSTERS);
        _poster[id] = POSTERS;
        _lock[id] = amount;
        _locked += amount;
        _enter(id, Status.Queued);
        _queue.push(id);
    }

    function increase(uint64 id, uint256 amount, bool byStranger) external step {
        id = _pick(id);
        if (_status[id] == Status.None || _status[id] == Status.Exiting || _lock[id] >= pool.maxLock()) return;
        amount = bound(amount, 1, pool.maxLock() - _lock[id]);
        if (amount > 10_000e18) amount = 10_000e18;
        address payer = byStranger ? STRANGER : ownerOf[id];
        fund(payer, address(pool), amount);
        vm.prank(payer);
        if (byStranger) pool.increaseFor(id, amount);
        else pool.increase(id, amount);
        _lock[id] += amount;
        _locked += amount;
    }

    function decrease(uint64 id, uint256 amount) external step {
        id = _pick(id);
        if (_status[id] == Status.None || _status[id] == Status.Exiting || _lock[id] <= pool.minLock()) return;
        if (_openTickets[id] >= pool.MAX_OPEN_TICKETS() - 1) return;
        if (_lock[id] - pool.minLock() < pool.MIN_DECREASE()) return;
        amount = bound(amount, pool.MIN_DECREASE(), _lock[id] - pool.minLock());
        vm.prank(ownerOf[id]);
        pool.decrease(id, amount);
        _toTicket(id, amount);
    }

    function exit(uint64 id) external step {
        id = _pick(id);
        if (_status[id] == Status.None || _status[id] == Status.Exiting) return;
        vm.prank(ownerOf[id]);
        pool.exit(id);
        if (_status[id] == Status.Active) {
            _enter(id, Status.Exiting);
            _exits.push(id);
        } else {
            _gone(id);
        }
    }

    /// @dev Invariant 4, first half: whatever happened since, the wait is enough.
    function completeExit(uint64 id) external step {
        id = _pick(id);
        if (_status[id] != Status.Exiting) return;
        _warpTo(_since[id] + pool.EXIT_WAIT());
        vm.prank(STRANGER);
        pool.completeExit(id);
        _gone(id);
    }

    /// @dev Invariants 3 and 4: refused before the period, paid in full after it.
    function claim(uint256 index, bool early) external step {
        if (_tickets.length == 0) return;
        index %= _tickets.length;
        GhostTicket storage t = _tickets[index];
        if (!t.open) return;
        uint256 claimableAt = t.issuedAt + UNBONDING;
        if (early && now_() < claimableAt) {
            vm.prank(t.owner);
            (bool paid,) = address(pool).call(abi.encodeCall(pool.claim, (index + 1)));
            yes(!paid, "no ticket is paid early");
            return;
        }
        _warpTo(claimableAt);
        _claim(index);
    }

    function transferTicket(uint256 index, uint160 to) external step {
        if (_tickets.length == 0) return;
        index %= _tickets.length;
        GhostTicket storage t = _tickets[index];
        if (!t.open) return;
        address receiver = address(0x71c4e7000 + to % 4);
        vm.prank(t.owner);
        ticket.transferFrom(t.owner, receiver, index + 1);
        t.owner = receiver;
    }

    function transferOwnership(uint64 id, uint160 to) external step {
        id = _pick(id);
        address receiver = address(0x03141000 + to % 4);
        vm.prank(ownerOf[id]);
        pool.transferOwnership(id, receiver);
        ownerOf[id] = receiver;
    }

    // ---- anybody ----

    function rotate() public step {
        vm.warp(now_() + ROTATION);
        uint64[] memory before = _active;
        uint256 staying;
        for (uint256 i = 0; i < before.length; ++i) {
            if (_isActive(before[i])) ++staying;
        }
        uint256 churn = staying / 16 > 4 ? staying / 16 : 4;
        uint256 leaving = _stillExiting();
        if (leaving > churn) leaving = churn;
        uint256 joining = pool.joinsPaused() ? 0 : _queue.length;
        if (joining > churn) joining = churn;
        if (staying - leaving + joining == 0) {
            (bool ok,) = address(pool).call(abi.encodeCall(pool.rotate, ()));
            yes(!ok, "no committee of nobody");
            return;
        }

        rotateAndSeal();
        delete _active;
        // Who waited longest leaves. Their tickets are issued in the order of the active set, which is the order of ids of the new ones.
        uint256 first = _tickets.length;
        _leaveInTurn(leaving, pool.lastTicket() - first);
        for (uint256 i = 0; i < before.length; ++i) {
            if (_isActive(before[i])) _active.push(before[i]);
        }
        for (uint256 i = 0; i < joining; ++i) {
            _enter(_queue[0], Status.Active);
            _active.push(_queue[0]);
            _unqueue(_queue[0]);
        }
        eq(pool.activeSet().length, _active.length, "active set");
        (uint256 size,,,,,) = pool.committee(pool.latestCommittee());
        eq(size, _active.length, "committee");
    }

    function jail(uint64 id) external step {
        id = _pick(id);
        if (_status[id] != Status.Active) return;
        jailBook.accuse(id);
        vm.prank(STRANGER);
        pool.jail(id);
        _enter(id, Status.Jailed);
    }

    function unjail(uint64 id) external step {
        id = _pick(id);
        if (_status[id] != Status.Jailed || _lock[id] < pool.minLock()) return;
        _warpTo(_since[id] + pool.jailPeriod());
        vm.prank(ownerOf[id]);
        pool.unjail(id);
        _enter(id, Status.Queued);
        _queue.push(id);
    }

    function setPoster(uint64 id, uint160 account) external step {
        id = _pick(id);
        if (_status[id] == Status.None || _status[id] == Status.Exiting) return;
        _poster[id] = account % 4 == 3 ? address(0) : address(uint160(POSTERS) + account % 4);
        vm.prank(ownerOf[id]);
        pool.setPoster(id, _poster[id]);
    }

    function forceExit(uint64 id) external step {
        id = _pick(id);
        if (_status[id] != Status.Jailed) return;
        _warpTo(_since[id] + UNBONDING + 1);
        vm.prank(STRANGER);
        pool.forceExit(id);
        _gone(id);
    }

    function donate(uint256 amount) external step {
        amount = bound(amount, 0, 1e18);
        vm.prank(HOLDER);
        token.transfer(address(pool), amount);
        _donated += amount;
    }

    function wait(uint256 time) external step {
        vm.warp(now_() + bound(time, 0, 5 days));
    }

    // ---- slasher and governor ----

    function slash(uint64 id, uint256 bps, uint256 minimum, bool reported) external step {
        id = _pick(id);
        bps = bound(bps, 0, 10_000);
        minimum = bound(minimum, 0, 2_000e18);
        uint256 base = pool.stakeOf(id);
        uint256 expected = base * bps / 10_000;
        if (expected < minimum) expected = minimum;
        if (expected > base) expected = base;
        vm.prank(SLASHER);
        eq(pool.slash(id, bps, minimum, reported ? REPORTER : address(0)), expected, "penalty");

        // Every ticket loses its part to the wei, the lock the rest.
        uint256 left = expected;
        for (uint256 i = 0; i < _tickets.length; ++i) {
            GhostTicket storage t = _tickets[i];
            if (!t.open || t.id != id || base == 0) continue;
            uint256 loss = t.amount - pool.ticket(i + 1).amount;
            uint256 part = expected * t.amount / base;
            yes(loss == part || loss == part + 1, "a ticket loses its part");
            left -= loss;
            _inTickets -= loss;
            t.amount -= loss;
        }
        _lock[id] -= left;
        _locked -= left;
        if (reported) _shares += expected * REPORTER_BPS / 10_000;
        if (_status[id] != Status.None) _gone(id);
    }

    function claimSlashShare() external step {
        if (_shares == 0) return;
        _claimShares();
    }

    function setLimits(uint256 minimum, uint256 maximum) external step {
        minimum = bound(minimum, MIN_LOCK / 2, 2 * MIN_LOCK);
        maximum = bound(maximum, 2 * MIN_LOCK, MAX_LOCK);
        vm.prank(GOVERNOR);
        pool.setLockLimits(uint128(minimum), uint128(maximum));
    }

    function setPaused(bool paused) external step {
        vm.prank(GOVERNOR);
        pool.setJoinsPaused(paused);
    }

    // ---- the ghost ----

    function _pick(uint64 id) private view returns (uint64) {
        return id % pool.lastId() + 1;
    }

    function _isActive(uint64 id) private view returns (bool) {
        return _status[id] == Status.Active || _status[id] == Status.Exiting;
    }

    function _enter(uint64 id, Status status) private {
        (_status[id], _since[id]) = (status, now_());
    }

    function _gone(uint64 id) private {
        if (_status[id] == Status.Queued) _unqueue(id);
        _enter(id, Status.None);
        if (_lock[id] != 0) _toTicket(id, _lock[id]);
    }

    function _toTicket(uint64 id, uint256 amount) private {
        _tickets.push(GhostTicket(id, ownerOf[id], amount, now_(), true));
        ++_openTickets[id];
        _lock[id] -= amount;
        _locked -= amount;
        _inTickets += amount;
    }

    function _unqueue(uint64 id) private {
        uint256 i;
        while (_queue[i] != id) ++i;
        for (; i + 1 < _queue.length; ++i) {
            _queue[i] = _queue[i + 1];
        }
        _queue.pop();
    }

    function _stillExiting() private view returns (uint256 count) {
        for (uint256 i = 0; i < _exits.length; ++i) {
            if (_status[_exits[i]] == Status.Exiting) ++count;
        }
    }

    /// @dev The first `leaving` of `_exits` that still wait. The pool numbers their tickets in the order of its active set.
    function _leaveInTurn(uint256 leaving, uint256 issued) private {
        eq(issued, leaving, "one ticket for each who leaves");
        uint256 first = _tickets.length;
        for (uint256 i = 0; i < leaving; ++i) {
            _tickets.push();
        }
        for (uint256 i = 0; leaving != 0; ++i) {
            uint64 id = _exits[i];
            if (_status[id] != Status.Exiting) continue;
            uint64[] memory open = pool.ticketsOf(id);
            uint256 index = open[open.length - 1] - 1;
            yes(index >= first && !_tickets[index].open, "a ticket of this rotation");
            _tickets[index] = GhostTicket(id, ownerOf[id], _lock[id], now_(), true);
            ++_openTickets[id];
            _locked -= _lock[id];
            _inTickets += _lock[id];
            _lock[id] = 0;
            _enter(id, Status.None);
            --leaving;
        }
    }

    function _claim(uint256 index) private {
        GhostTicket storage t = _tickets[index];
        uint256 before = token.balanceOf(t.owner);
        vm.prank(t.owner);
        pool.claim(index + 1);
        eq(token.balanceOf(t.owner) - before, t.amount, "a ticket pays what it is worth");
        t.open = false;
        --_openTickets[t.id];
        _inTickets -= t.amount;
    }

    function _claimShares() private {
        vm.prank(REPORTER);
        pool.claimSlashShare();
        _shares = 0;
    }

    function _warpTo(uint256 time) private {
        if (now_() < time) vm.warp(time);
    }

    // ---- what must hold ----

    /// @dev Invariant 1, after every call.
    function checkBalance() external view {
        eq(pool.totalLocked(), _locked, "sum of locks");
        eq(pool.totalTickets(), _inTickets, "sum of tickets");
        eq(pool.totalSlashShares(), _shares, "sum of reporters' shares");
        eq(token.balanceOf(address(pool)), _locked + _inTickets + _shares + _donated, "balance");
    }

    /// @dev Each record for itself.
    function checkRecords() public view {
        uint64 last = pool.lastId();
        for (uint64 id = 1; id <= last; ++id) {
            Sequencer memory s = pool.sequencer(id);
            eq(s.amount, _lock[id], "lock");
            eq(uint256(s.status), uint256(_status[id]), "status");
            eq(s.since, _since[id], "since");
            eq(s.owner, ownerOf[id], "owner");
            eq(pool.ticketsOf(id).length, _openTickets[id], "open tickets");
            eq(pool.posterOf(id), s.status == Status.None ? address(0) : _poster[id], "poster");
            eq(pool.isPoster(posterAt(id)) ? 1 : 0, pool.posterOf(id) == posterAt(id) ? 1 : 0, "its own poster");
        }
        for (uint160 i = 0; i < 3; ++i) {
            address shared = address(uint160(POSTERS) + i);
            bool named;
            for (uint64 id = 1; id <= last; ++id) {
                named = named || pool.posterOf(id) == shared;
            }
            yes(pool.isPoster(shared) == named, "known while somebody names it");
        }
        for (uint256 i = 0; i < _tickets.length; ++i) {
            if (!_tickets[i].open) continue;
            (uint64 id, uint128 amount, uint64 claimableAt) = ticket.ticket(i + 1);
            eq(id, _tickets[i].id, "ticket's sequencer");
            eq(amount, _tickets[i].amount, "ticket's amount");
            eq(claimableAt, _tickets[i].issuedAt + UNBONDING, "ticket's time");
            eq(ticket.ownerOf(i + 1), _tickets[i].owner, "ticket's owner");
        }
        eq(keccak256(abi.encode(pool.queue())), keccak256(abi.encode(_queue)), "queue");
        eq(pool.exitQueueLength(), _stillExiting(), "exit queue");
    }

    /// @dev Invariant 4 at the end of every run: with joins stopped, limits moved and nobody rotating, every owner gets everything.
    function drain() external {
        checkRecords();
        vm.prank(GOVERNOR);
        pool.setJoinsPaused(true);
        vm.prank(GOVERNOR);
        pool.setLockLimits(10 * MIN_LOCK, 10 * MIN_LOCK);
        uint64 last = pool.lastId();
        for (uint64 id = 1; id <= last; ++id) {
            if (_status[id] == Status.None || _status[id] == Status.Exiting) continue;
            vm.prank(ownerOf[id]);
            pool.exit(id);
            if (_status[id] == Status.Active) _enter(id, Status.Exiting);
            else _gone(id);
        }
        vm.warp(now_() + pool.EXIT_WAIT());
        for (uint64 id = 1; id <= last; ++id) {
            if (_status[id] != Status.Exiting) continue;
            pool.completeExit(id);
            _gone(id);
        }
        vm.warp(now_() + UNBONDING);
        for (uint256 i = 0; i < _tickets.length; ++i) {
            if (_tickets[i].open) _claim(i);
        }
        if (_shares != 0) _claimShares();
        eq(token.balanceOf(address(pool)), _donated, "nothing is left but gifts");
    }
}

contract PoolInvariantTest is InvariantBase {
    PoolHandler private _handler;

    function setUp() public {
        _handler = new PoolHandler();
        drive(address(_handler));
        act(PoolHandler.lock.selector);
        act(PoolHandler.lock.selector);
        act(PoolHandler.increase.selector);
        act(PoolHandler.decrease.selector);
        act(PoolHandler.exit.selector);
        act(PoolHandler.completeExit.selector);
        act(PoolHandler.claim.selector);
        act(PoolHandler.transferTicket.selector);
        act(PoolHandler.transferOwnership.selector);
        act(PoolHandler.rotate.selector);
        act(PoolHandler.jail.selector);
        act(PoolHandler.unjail.selector);
        act(PoolHandler.setPoster.selector);
        act(PoolHandler.forceExit.selector);
        act(PoolHandler.slash.selector);
        act(PoolHandler.claimSlashShare.selector);
        act(PoolHandler.setLimits.selector);
        act(PoolHandler.setPaused.selector);
        act(PoolHandler.donate.selector);
        act(PoolHandler.wait.selector);
    }

    function invariant_poolHoldsWhatItOwes() public view {
        _handler.checkBalance();
    }

    function afterInvariant() public {
        _handler.drain();
    }
}
