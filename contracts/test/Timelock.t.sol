// Timelock: what the governor can do, and not before when.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {Timelock} from "../src/l1/Timelock.sol";
import {Test} from "./base/Test.sol";
import {vm} from "./base/Vm.sol";

contract Governed {
    uint256 public value;

    function set(uint256 value_) external {
        value = value_;
    }
}

contract TimelockTest is Test {
    uint256 private constant FLOOR = 22 days;
    address private constant PROPOSER = address(0x9209);
    address private constant ANYONE = address(0xa71);

    Timelock private _timelock;
    Governed private _governed;

    function setUp() public {
        vm.warp(1_800_000_000);
        address[] memory proposers = new address[](1);
        proposers[0] = PROPOSER;
        _timelock = Timelock(payable(create("Timelock", abi.encode(FLOOR, proposers))));
        _governed = new Governed();
    }

    function schedule(address target, bytes memory data, uint256 delay) private returns (bytes32) {
        vm.prank(PROPOSER);
        _timelock.schedule(target, 0, data, 0, 0, delay);
        return _timelock.hashOperation(target, 0, data, 0, 0);
    }

    function test_whatIsProposedWaitsAndAnyoneExecutes() public {
        bytes memory data = abi.encodeCall(Governed.set, (7));
        bytes32 id = schedule(address(_governed), data, FLOOR);
        vm.warp(vm.getBlockTimestamp() + FLOOR - 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                TimelockController.TimelockUnexpectedOperationState.selector, id, bytes32(uint256(4))
            )
        );
        _timelock.execute(address(_governed), 0, data, 0, 0);
        vm.warp(vm.getBlockTimestamp() + 1);
        vm.prank(ANYONE);
        _timelock.execute(address(_governed), 0, data, 0, 0);
        eq(_governed.value(), 7, "done");
    }

    function test_onlyProposersProposeAndNotShorter() public {
        bytes memory data = abi.encodeCall(Governed.set, (7));
        vm.prank(ANYONE);
        vm.expectRevert();
        _timelock.schedule(address(_governed), 0, data, 0, 0, FLOOR);
        vm.prank(PROPOSER);
        vm.expectRevert(abi.encodeWithSelector(TimelockController.TimelockInsufficientDelay.selector, FLOOR - 1, FLOOR));
        _timelock.schedule(address(_governed), 0, data, 0, 0, FLOOR - 1);
    }

    function test_theDelayNeverFallsBelowTheFloor() public {
        bytes memory data = abi.encodeCall(TimelockController.updateDelay, (0));
        schedule(address(_timelock), data, FLOOR);
        vm.warp(vm.getBlockTimestamp() + FLOOR);
        _timelock.execute(address(_timelock), 0, data, 0, 0);
        eq(_timelock.getMinDelay(), FLOOR, "floor");
        data = abi.encodeCall(TimelockController.updateDelay, (2 * FLOOR));
        schedule(address(_timelock), data, FLOOR);
        vm.warp(vm.getBlockTimestamp() + FLOOR);
        _timelock.execute(address(_timelock), 0, data, 0, 0);
        eq(_timelock.getMinDelay(), 2 * FLOOR, "longer");
    }

    function test_nobodyIsAdminBesidesTheTimelock() public {
        vm.prank(PROPOSER);
        vm.expectRevert(abi.encodeWithSelector(TimelockController.TimelockUnauthorizedCaller.selector, PROPOSER));
        _timelock.updateDelay(0);
        bytes32 admin = _timelock.DEFAULT_ADMIN_ROLE();
        yes(_timelock.hasRole(admin, address(_timelock)), "itself");
        yes(!_timelock.hasRole(admin, address(this)) && !_timelock.hasRole(admin, PROPOSER), "nobody else");
    }

    function test_refusesAFloorOfZero() public {
        vm.expectRevert(abi.encodeWithSelector(Timelock.FloorZero.selector));
        create("Timelock", abi.encode(0, new address[](0)));
    }
}
