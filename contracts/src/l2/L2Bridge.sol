// L2Bridge: the L2 half of the token bridge: mints what L1Bridge escrowed, burns what goes back.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Aliasing} from "../lib/Aliasing.sol";
import {Predeploys} from "../lib/Predeploys.sol";
import {L1Bridge} from "../l1/L1Bridge.sol";
import {BridgedERC20} from "./BridgedERC20.sol";
import {L2ToL1MessagePasser} from "./L2ToL1MessagePasser.sol";

/// @notice Predeploy 0x4200000000000000000000000000000000000010. Slots: 0 l1Bridge (its L1 address, NOT aliased; genesis writes it),
///         1 mapping(L1 token => L2 token), 2 mapping(L2 token => L1 token); ether is L1 token zero.
contract L2Bridge {
    error NotL1Bridge(address caller);
    error NotBridged(address l2Token);
    error RecipientZero();
    error AmountZero();

    event TokenCreated(address indexed l1Token, address indexed l2Token);
    event DepositFinalized(address indexed l1Token, address indexed from, address indexed to, uint256 amount);
    event WithdrawalInitiated(address indexed l1Token, address indexed from, address indexed to, uint256 amount);

    /// @dev L1 gas for L1Bridge.finalizeWithdrawal, the recipient's share included.
    uint256 internal constant L1_GAS = 300_000;

    /// @notice L1 address of the other half.
    address public l1Bridge;
    /// @notice L2 token of an L1 token; zero before its first deposit.
    mapping(address l1Token => address) public l2TokenOf;
    mapping(address l2Token => address) internal _l1TokenOf;

    /// @notice Deposit from L1Bridge. The metadata is used for the first deposit of a token only.
    function finalizeDeposit(
        address l1Token,
        address from,
        address to,
        uint256 amount,
        string calldata name,
        string calldata symbol,
        uint8 decimals
    ) external {
        if (msg.sender != Aliasing.toL2(l1Bridge)) revert NotL1Bridge(msg.sender);
        address l2Token = l2TokenOf[l1Token];
        if (l2Token == address(0)) {
            l2Token =
                address(new BridgedERC20{salt: bytes32(uint256(uint160(l1Token)))}(l1Token, name, symbol, decimals));
            l2TokenOf[l1Token] = l2Token;
            _l1TokenOf[l2Token] = l1Token;
            emit TokenCreated(l1Token, l2Token);
        }
        BridgedERC20(l2Token).mint(to, amount);
        emit DepositFinalized(l1Token, from, to, amount);
    }

    /// @notice Burns `amount` of the caller's `l2Token` and releases the L1 token to `to` through the message passer. No approval needed.
    function withdraw(address l2Token, address to, uint256 amount) external {
        address l1Token = _l1TokenOf[l2Token];
        if (l2Token == address(0) || l2TokenOf[l1Token] != l2Token) revert NotBridged(l2Token);
        if (to == address(0)) revert RecipientZero();
        if (amount == 0) revert AmountZero();
        BridgedERC20(l2Token).burn(msg.sender, amount);
        emit WithdrawalInitiated(l1Token, msg.sender, to, amount);
        L2ToL1MessagePasser(payable(Predeploys.MESSAGE_PASSER))
            .initiateWithdrawal(
                l1Bridge, L1_GAS, abi.encodeCall(L1Bridge.finalizeWithdrawal, (l1Token, msg.sender, to, amount))
            );
    }
}
