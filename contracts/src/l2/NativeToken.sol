// NativeToken: the ERC-20 face of the native coin; a balance here IS the account's native balance.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Predeploys} from "../lib/Predeploys.sol";

/// @notice Predeploy 0xDeadDeAddeAddEAddeadDEaDDEAdDeaDDeAD0000. Slots: 0 name, 1 symbol, 2 totalSupply, 3 allowances. Genesis writes
///         0 to 2 (strings of at most 31 bytes in Solidity's short form: left-aligned text, lowest byte = 2 * length).
/// @dev Native balances move by the precompile 0xfd of the state transition (input abi.encode(from, to, amount), empty output), which
///      refuses every other caller. `Transfer` events here cover moves by this interface only; plain native transfers emit none.
///      `totalSupply` is the supply of the L1 token, fixed at genesis: the EVM keeps no count of what is on L2.
contract NativeToken is IERC20Metadata, IERC20Errors {
    error NativeTransferFailed(address from, address to, uint256 amount);

    string public name;
    string public symbol;
    uint256 public totalSupply;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    function decimals() external pure returns (uint8) {
        return 18;
    }

    function balanceOf(address account) external view returns (uint256) {
        return account.balance;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        _move(msg.sender, to, amount);
        return true;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        if (spender == address(0)) revert ERC20InvalidSpender(spender);
        allowance[msg.sender][spender] = amount;
        emit Approval(msg.sender, spender, amount);
        return true;
    }

    /// @dev An allowance of 2^256 - 1 is not used up.
    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed != type(uint256).max) {
            if (allowed < amount) revert ERC20InsufficientAllowance(msg.sender, allowed, amount);
            unchecked {
                allowance[from][msg.sender] = allowed - amount;
            }
        }
        _move(from, to, amount);
        return true;
    }

    function _move(address from, address to, uint256 amount) private {
        if (to == address(0)) revert ERC20InvalidReceiver(to);
        uint256 balance = from.balance;
        if (balance < amount) revert ERC20InsufficientBalance(from, balance, amount);
        uint256 received = to.balance;
        (bool ok,) = Predeploys.NATIVE_TRANSFER.call(abi.encode(from, to, amount));
        // A call to an account without code succeeds too: believe balances only.
        unchecked {
            if (from != to) (balance, received) = (balance - amount, received + amount);
        }
        if (!ok || from.balance != balance || to.balance != received) revert NativeTransferFailed(from, to, amount);
        emit Transfer(from, to, amount);
    }
}
