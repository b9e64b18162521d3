// L1Bridge: escrow of ether and of any ERC-20 but the gas token; they live on L2 as BridgedERC20.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IPortal} from "../interfaces/IPortal.sol";
import {Predeploys} from "../lib/Predeploys.sol";
import {L2Bridge} from "../l2/L2Bridge.sol";

/// @notice What arrives is measured by balance difference, so a token that keeps a fee on transfer is credited with what came. Tokens
///         whose balances change by themselves (rebasing) are not supported: only `escrowed` units can ever be released.
///         Deposits do not nest, so that no transfer is counted twice.
/// @dev A release that the recipient or the token refuses becomes claimable instead of failing: the Portal runs each call once.
contract L1Bridge is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    error NotFromL2Bridge(address caller, address l2Sender);
    error AmountZero();
    error RecipientZero();
    error GasTokenUsesPortal(address token);
    error EscrowTooSmall(address token, uint256 escrowed, uint256 amount);
    error NothingToClaim(address token, address account);
    error EtherTransferFailed(address to, uint256 amount);

    event DepositInitiated(address indexed l1Token, address indexed from, address indexed to, uint256 amount);
    event WithdrawalFinalized(address indexed l1Token, address indexed from, address indexed to, uint256 amount);
    event WithdrawalHeld(address indexed l1Token, address indexed to, uint256 amount);

    /// @notice Stands for ether where a token address is asked for.
    address public constant ETHER = address(0);
    /// @dev L2 gas of a first deposit (deploys the token) and of a later one.
    uint64 private constant FIRST_DEPOSIT_GAS = 2_000_000;
    uint64 private constant DEPOSIT_GAS = 250_000;
    /// @dev L1 gas for paying a recipient. What is left of L2Bridge.L1_GAS books the amount where that fails.
    uint256 private constant PAYMENT_GAS = 150_000;
    /// @dev Bytes of a token's name or symbol that are passed on.
    uint256 private constant MAX_METADATA = 64;

    IPortal public immutable PORTAL;
    IERC20 public immutable GAS_TOKEN;

    /// @notice Units held for L2, per token.
    mapping(address token => uint256) public escrowed;
    /// @notice Units whose payment failed, per token and recipient.
    mapping(address token => mapping(address account => uint256)) public claimable;
    /// @notice Whether a deposit of this token has been sent to L2.
    mapping(address token => bool) public known;

    constructor(IPortal portal, IERC20 gasToken) {
        PORTAL = portal;
        GAS_TOKEN = gasToken;
    }

    /// @notice Sends `msg.value` of ether to `to` on L2.
    function depositETH(address to) external payable nonReentrant {
        _deposit(ETHER, to, msg.value, "Ether", "ETH", 18);
    }

    /// @notice Sends `amount` of `token` (less its own transfer fee) to `to` on L2.
    function depositERC20(address token, address to, uint256 amount) external nonReentrant {
        if (token == address(GAS_TOKEN)) revert GasTokenUsesPortal(token);
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        (string memory name, string memory symbol, uint8 decimals) = _metadata(token);
        _deposit(token, to, received, name, symbol, decimals);
    }

    function _deposit(
        address token,
        address to,
        uint256 amount,
        string memory name,
        string memory symbol,
        uint8 decimals
    ) private {
        if (amount == 0) revert AmountZero();
        if (to == address(0)) revert RecipientZero();
        escrowed[token] += amount;
        uint64 gasLimit = known[token] ? DEPOSIT_GAS : FIRST_DEPOSIT_GAS;
        known[token] = true;
        emit DepositInitiated(token, msg.sender, to, amount);
        PORTAL.depositTransaction(
            Predeploys.L2_BRIDGE,
            0,
            gasLimit,
            false,
            abi.encodeCall(L2Bridge.finalizeDeposit, (token, msg.sender, to, amount, name, symbol, decimals))
        );
    }

    /// @notice Withdrawal from L2Bridge, run by the Portal.
    /// @dev Not guarded, on purpose: the Portal runs it once, and a token that calls the Portal from inside its own deposit could otherwise
    ///      make another's withdrawal fail for good. The booking comes before the payment.
    function finalizeWithdrawal(address token, address from, address to, uint256 amount) external {
        if (msg.sender != address(PORTAL) || PORTAL.l2Sender() != Predeploys.L2_BRIDGE) {
            revert NotFromL2Bridge(msg.sender, PORTAL.l2Sender());
        }
        uint256 held = escrowed[token];
        if (held < amount) revert EscrowTooSmall(token, held, amount);
        escrowed[token] = held - amount;
        if (_tryPay(token, to, amount)) {
            emit WithdrawalFinalized(token, from, to, amount);
        } else {
            claimable[token][to] += amount;
            emit WithdrawalHeld(token, to, amount);
        }
    }

    /// @notice Pays the caller what could not be paid before, to an address of its choice.
    function claim(address token, address to) external {
        uint256 amount = claimable[token][msg.sender];
        if (amount == 0) revert NothingToClaim(token, msg.sender);
        claimable[token][msg.sender] = 0;
        if (token == ETHER) {
            (bool ok,) = to.call{value: amount}("");
            if (!ok) revert EtherTransferFailed(to, amount);
        } else {
            IERC20(token).safeTransfer(to, amount);
        }
    }

    /// @dev One bounded attempt; return data beyond a word is not copied.
    function _tryPay(address token, address to, uint256 amount) private returns (bool ok) {
        uint256 value = token == ETHER ? amount : 0;
        address target = token == ETHER ? to : token;
        bytes memory input = token == ETHER ? bytes("") : abi.encodeCall(IERC20.transfer, (to, amount));
        assembly ("memory-safe") {
            ok := call(PAYMENT_GAS, target, value, add(input, 32), mload(input), 0, 32)
            // ERC-20: nothing or `true`, from an address with code.
            if and(ok, iszero(iszero(token))) {
                switch returndatasize()
                case 0 { ok := iszero(iszero(extcodesize(token))) }
                default { ok := and(gt(returndatasize(), 31), eq(mload(0), 1)) }
            }
        }
    }

    /// @dev Tolerates tokens without metadata or with bytes32 strings; a hostile token can only spoil its own name.
    function _metadata(address token) private view returns (string memory name, string memory symbol, uint8 decimals) {
        name = _text(token, IERC20Metadata.name.selector);
        symbol = _text(token, IERC20Metadata.symbol.selector);
        (bool ok, bytes memory out) = token.staticcall(abi.encodeCall(IERC20Metadata.decimals, ()));
        uint256 value = ok && out.length >= 32 ? abi.decode(out, (uint256)) : 18;
        decimals = value > type(uint8).max ? 18 : uint8(value);
    }

    function _text(address token, bytes4 selector) private view returns (string memory) {
        (bool ok, bytes memory out) = token.staticcall(abi.encodePacked(selector));
        if (!ok || out.length < 32) return "";
        uint256 from = 32; // of the text in `out`
        uint256 length;
        if (out.length == 32) {
            while (length < 32 && out[length] != 0) ++length;
            from = 0;
        } else {
            if (out.length < 64 || uint256(_word(out, 0)) != 32) return "";
            length = uint256(_word(out, 32));
            from = 64;
            if (length > out.length - 64) return "";
        }
        if (length > MAX_METADATA) length = MAX_METADATA;
        bytes memory text = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            text[i] = out[from + i];
        }
        return string(text);
    }

    function _word(bytes memory data, uint256 offset) private pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := mload(add(add(data, 32), offset))
        }
    }
}
