// Portal: escrow of the gas token, queue of L1-to-L2 transactions, and payment of proven withdrawals.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {IPortal} from "../interfaces/IPortal.sol";
import {IRollup} from "../interfaces/IRollup.sol";
import {Aliasing} from "../lib/Aliasing.sol";
import {OutputRootProof, SentMessages} from "../lib/SentMessages.sol";

/// @notice A withdrawal as L2ToL1MessagePasser hashed it (OP's layout).
struct WithdrawalTransaction {
    uint256 nonce;
    address sender;
    address target;
    uint256 value;
    uint256 gasLimit;
    bytes data;
}

/// @notice OP's OptimismPortal in form (`TransactionDeposited`, two-step withdrawals, L2OutputOracle generation), with an ERC-20 as the
///         native coin of L2 and a certified rollup behind it. No owner, no pause, no upgrade.
/// @dev Solvency: escrow = deposited mints - paid withdrawals, and L2 cannot withdraw more than it was credited.
contract Portal is IPortal {
    using SafeERC20 for IERC20;

    error EtherNotAccepted(uint256 value);
    error CreationWithTarget(address to);
    error DepositDataTooLong(uint256 length, uint256 limit);
    error DepositGasTooLow(uint64 gasLimit, uint64 minimum);
    error DepositGasExhausted(uint64 gasLimit, uint64 remaining);
    error MintTooLarge(uint256 mint, uint256 limit);
    error EscrowMismatch(uint256 expected, uint256 received);
    error BadTarget(address target);
    error AlreadyProven(bytes32 withdrawalHash, uint256 l2OutputIndex);
    error NotProven(bytes32 withdrawalHash);
    error OutputReplaced(uint256 l2OutputIndex, bytes32 proven, bytes32 current);
    error OutputNotFinal(uint256 l2OutputIndex);
    error AlreadyFinalized(bytes32 withdrawalHash);
    error WithdrawalInProgress(address l2Sender);
    error InsufficientGas(uint256 required, uint256 available);

    /// @notice OP's deposit event. `opaqueData` = mint u256 | value u256 | gasLimit u64 | isCreation u8 | data.
    event TransactionDeposited(address indexed from, address indexed to, uint256 indexed version, bytes opaqueData);
    event WithdrawalProven(bytes32 indexed withdrawalHash, address indexed from, address indexed to);
    event WithdrawalFinalized(bytes32 indexed withdrawalHash, bool success);

    struct Meter {
        uint64 blockNumber;
        uint64 gas; // L2 gas
        uint128 price; // wei of ether per L2 gas
    }

    struct ProvenWithdrawal {
        bytes32 outputRoot;
        uint128 timestamp;
        uint128 l2OutputIndex;
    }

    /// @notice Bytes of calldata in one deposit.
    uint256 public constant MAX_DEPOSIT_DATA = 120_000;
    /// @notice L2 gas that users' deposits may ask for in one L1 block.
    uint64 public constant MAX_DEPOSIT_GAS_PER_BLOCK = 8_000_000;
    /// @notice L2 gas of users' deposits per L1 block at which its price stays as it is. A full block raises it to 17/8, an empty one lowers it
    ///         to 7/8.
    uint64 public constant DEPOSIT_GAS_TARGET = 800_000;
    /// @notice Lowest price of L2 gas in a deposit, wei of ether.
    uint128 public constant MIN_DEPOSIT_PRICE = 0.01 gwei;
    /// @dev A price moves by at most this part for one target of gas more or less (EIP-1559's denominator).
    uint256 private constant PRICE_DENOMINATOR = 8;
    /// @dev The burn is counted in L1 gas at its base fee, but not below this: an L1 that is almost free would ask for endless gas.
    uint256 private constant MIN_L1_PRICE = 1 gwei;
    uint256 private constant DEPOSIT_VERSION = 0;
    /// @dev L2 gas of a transaction without data, and per byte of data (EIP-7623 floor price of a non-zero byte).
    uint64 private constant BASE_GAS = 21_000;
    uint64 private constant GAS_PER_BYTE = 40;
    /// @dev `l2Sender` outside of a withdrawal (OP's value).
    address private constant NO_SENDER = 0x000000000000000000000000000000000000dEaD;
    /// @dev Gas kept back from a withdrawal's call for what follows it: the event, clearing `l2Sender`, and the call's own cost.
    uint256 private constant CALL_RESERVE = 25_000;

    IERC20 public immutable TOKEN;
    IRollup public immutable ROLLUP;
    /// @notice Contracts whose deposits neither count against MAX_DEPOSIT_GAS_PER_BLOCK nor pay for their gas, so that users cannot crowd or
    ///         price them out. Both limit their own rate.
    address public immutable SEQUENCER_POOL;
    address public immutable GAS_PRICE_ORACLE;

    /// @notice Withdrawal hash to what it was proven against.
    mapping(bytes32 withdrawalHash => ProvenWithdrawal) public provenWithdrawals;
    /// @notice Withdrawals paid (and called), whether or not the call succeeded.
    mapping(bytes32 withdrawalHash => bool) public finalizedWithdrawals;
    /// @dev L1 block of the last user deposit, gas asked for in it, and the price of that gas.
    Meter private _meter;

    address private transient _l2Sender;

    /// @param token The gas token. Must move exactly the amounts it is asked to.
    /// @param rollup Source of output roots and their finality (its address may be predicted).
    /// @param sequencerPool See SEQUENCER_POOL.
    /// @param gasPriceOracle See GAS_PRICE_ORACLE.
    constructor(IERC20 token, IRollup rollup, address sequencerPool, address gasPriceOracle) {
        TOKEN = token;
        ROLLUP = rollup;
        SEQUENCER_POOL = sequencerPool;
        GAS_PRICE_ORACLE = gasPriceOracle;
        _meter = Meter({blockNumber: uint64(block.number), gas: 0, price: MIN_DEPOSIT_PRICE});
    }

    /// @notice Version string of OP's last L2OutputOracle portal: viem and other tools choose their withdrawal path by its major number.
    function version() external pure returns (string memory) {
        return "2.8.1";
    }

    /// @notice The contract with `getL2Output`, under OP's name for it.
    function l2Oracle() external view returns (address) {
        return address(ROLLUP);
    }

    function l2Sender() public view returns (address) {
        return _l2Sender == address(0) ? NO_SENDER : _l2Sender;
    }

    /// @notice L2 gas units still open to users' deposits in this L1 block.
    function remainingDepositGas() public view returns (uint64) {
        return MAX_DEPOSIT_GAS_PER_BLOCK - _currentMeter().gas;
    }

    /// @notice Price of a deposit's `gasLimit` in this L1 block, wei of ether per L2 gas. It is paid in burnt L1 gas: the deposit uses up
    ///         gasLimit * price / max(base fee, 1 gwei) of it, what the call itself needs included.
    function depositPrice() public view returns (uint128) {
        return _currentMeter().price;
    }

    /// @notice Smallest `gasLimit` of a deposit with `byteCount` bytes of data.
    function minimumGasLimit(uint64 byteCount) public pure returns (uint64) {
        return BASE_GAS + GAS_PER_BYTE * byteCount;
    }

    // ---- L1 to L2 ----

    /// @inheritdoc IPortal
    /// @dev Payable for OP's signature only: the native coin of L2 is not ether, so any value is refused.
    function depositTransaction(address to, uint256 value, uint64 gasLimit, bool isCreation, bytes calldata data)
        external
        payable
        priced(gasLimit)
    {
        if (msg.value != 0) revert EtherNotAccepted(msg.value);
        _deposit(to, 0, value, gasLimit, isCreation, data);
    }

    /// @notice Escrows `mint` of the gas token and queues an L2 transaction that first credits it to the sender.
    /// @param to L2 target; zero for a creation.
    /// @param mint Wei of the gas token pulled from the caller, below 2^128.
    /// @param value Wei of native coin sent along on L2, out of the sender's L2 balance after the mint.
    /// @param gasLimit L2 gas; at least `minimumGasLimit(data.length)`.
    /// @param isCreation Whether `data` is init code.
    function depositERC20Transaction(
        address to,
        uint256 mint,
        uint256 value,
        uint64 gasLimit,
        bool isCreation,
        bytes calldata data
    ) external priced(gasLimit) {
        if (mint > type(uint128).max) revert MintTooLarge(mint, type(uint128).max);
        if (mint != 0) {
            uint256 before = TOKEN.balanceOf(address(this));
            TOKEN.safeTransferFrom(msg.sender, address(this), mint);
            uint256 received = TOKEN.balanceOf(address(this)) - before;
            if (received != mint) revert EscrowMismatch(mint, received);
        }
        _deposit(to, mint, value, gasLimit, isCreation, data);
    }

    function _deposit(address to, uint256 mint, uint256 value, uint64 gasLimit, bool isCreation, bytes calldata data)
        private
    {
        if (isCreation && to != address(0)) revert CreationWithTarget(to);
        if (data.length > MAX_DEPOSIT_DATA) revert DepositDataTooLong(data.length, MAX_DEPOSIT_DATA);
        uint64 minimum = minimumGasLimit(uint64(data.length));
        if (gasLimit < minimum) revert DepositGasTooLow(gasLimit, minimum);
        // A contract, and an account whose code runs on another's behalf, is aliased; the transaction's own signer is not.
        address from = msg.sender == tx.origin ? msg.sender : Aliasing.toL2(msg.sender);
        emit TransactionDeposited(from, to, DEPOSIT_VERSION, abi.encodePacked(mint, value, gasLimit, isCreation, data));
    }

    /// @dev Meters a user's deposit before it, and burns behind it what its price exceeds its own L1 gas by (OP's way of charging without
    ///      taking ether).
    modifier priced(uint64 gasLimit) {
        if (msg.sender == SEQUENCER_POOL || msg.sender == GAS_PRICE_ORACLE) {
            _;
        } else {
            uint256 gasAtEntry = gasleft();
            uint256 price = _takeGas(gasLimit);
            _;
            uint256 l1Price = block.basefee > MIN_L1_PRICE ? block.basefee : MIN_L1_PRICE;
            _burnGas(gasLimit * price / l1Price, gasAtEntry - gasleft());
        }
    }

    /// @dev Returns the price.
    function _takeGas(uint64 gasLimit) private returns (uint128) {
        Meter memory meter = _currentMeter();
        uint64 remaining = MAX_DEPOSIT_GAS_PER_BLOCK - meter.gas;
        if (gasLimit > remaining) revert DepositGasExhausted(gasLimit, remaining);
        meter.gas += gasLimit;
        _meter = meter;
        return meter.price;
    }

    /// @dev The meter of this block. The price follows from the last block with deposits and the number of blocks since: EIP-1559's rule,
    ///      against a target of DEPOSIT_GAS_TARGET.
    function _currentMeter() private view returns (Meter memory meter) {
        meter = _meter;
        uint256 blocks = block.number - meter.blockNumber;
        if (blocks == 0) return meter;
        uint256 price = meter.price;
        uint256 step = price * meter.gas / DEPOSIT_GAS_TARGET / PRICE_DENOMINATOR;
        price = price - price / PRICE_DENOMINATOR + step;
        // Blocks without deposits: at most some 550 steps from the highest price there is, a few dozen from any that was ever paid.
        for (; blocks > 1 && price > MIN_DEPOSIT_PRICE; --blocks) {
            price -= price / PRICE_DENOMINATOR;
        }
        if (price < MIN_DEPOSIT_PRICE) price = MIN_DEPOSIT_PRICE;
        if (price > type(uint128).max) price = type(uint128).max;
        return Meter({blockNumber: uint64(block.number), gas: 0, price: uint128(price)});
    }

    function _burnGas(uint256 amount, uint256 used) private view {
        if (amount <= used) return;
        uint256 available = gasleft();
        if (available < amount - used) revert InsufficientGas(amount - used, available);
        uint256 goal = available - (amount - used);
        while (gasleft() > goal) {}
    }

    // ---- L2 to L1 ----

    /// @notice Step one: shows that `withdrawal` is in the message passer's storage under output `l2OutputIndex`. The output need not be
    ///         final yet. Anyone may call.
    /// @param withdrawalProof Trie nodes from the message passer's storage root to the slot of `sentMessages[hash]`.
    function proveWithdrawalTransaction(
        WithdrawalTransaction calldata withdrawal,
        uint256 l2OutputIndex,
        OutputRootProof calldata outputRootProof,
        bytes[] calldata withdrawalProof
    ) external {
        _requireTarget(withdrawal.target);
        bytes32 outputRoot = ROLLUP.getL2Output(l2OutputIndex).outputRoot;
        SentMessages.requireOpened(outputRoot, outputRootProof);

        bytes32 withdrawalHash = hashWithdrawal(withdrawal);
        // Proving again against a later output would push finality back, so it is refused while the first output stands.
        ProvenWithdrawal storage proven = provenWithdrawals[withdrawalHash];
        if (proven.timestamp != 0 && ROLLUP.getL2Output(proven.l2OutputIndex).outputRoot == proven.outputRoot) {
            revert AlreadyProven(withdrawalHash, proven.l2OutputIndex);
        }

        SentMessages.requireSent(outputRootProof.messagePasserStorageRoot, withdrawalHash, withdrawalProof);
        provenWithdrawals[withdrawalHash] = ProvenWithdrawal({
            outputRoot: outputRoot, timestamp: uint128(block.timestamp), l2OutputIndex: uint128(l2OutputIndex)
        });
        emit WithdrawalProven(withdrawalHash, withdrawal.sender, withdrawal.target);
    }

    /// @notice Step two: once the output is final, pays `value` of the gas token to `target` and, where there is data, calls it with
    ///         `gasLimit` gas. A call that fails does not bring the payment back and cannot be repeated (OP's rule). Anyone may call.
    function finalizeWithdrawalTransaction(WithdrawalTransaction calldata withdrawal) external {
        if (_l2Sender != address(0)) revert WithdrawalInProgress(_l2Sender);
        _requireTarget(withdrawal.target);
        bytes32 withdrawalHash = hashWithdrawal(withdrawal);
        ProvenWithdrawal memory proven = provenWithdrawals[withdrawalHash];
        if (proven.timestamp == 0) revert NotProven(withdrawalHash);
        if (finalizedWithdrawals[withdrawalHash]) revert AlreadyFinalized(withdrawalHash);
        bytes32 current = ROLLUP.getL2Output(proven.l2OutputIndex).outputRoot;
        if (current != proven.outputRoot) revert OutputReplaced(proven.l2OutputIndex, proven.outputRoot, current);
        if (!ROLLUP.isFinal(proven.l2OutputIndex)) revert OutputNotFinal(proven.l2OutputIndex);

        finalizedWithdrawals[withdrawalHash] = true;
        if (withdrawal.value != 0) TOKEN.safeTransfer(withdrawal.target, withdrawal.value);
        bool success = true;
        if (withdrawal.data.length != 0) {
            _l2Sender = withdrawal.sender;
            success = _call(withdrawal.target, withdrawal.gasLimit, withdrawal.data);
            _l2Sender = address(0);
        }
        emit WithdrawalFinalized(withdrawalHash, success);
    }

    /// @notice OP's withdrawal hash: the key of `sentMessages` on L2.
    function hashWithdrawal(WithdrawalTransaction calldata w) public pure returns (bytes32) {
        return keccak256(abi.encode(w.nonce, w.sender, w.target, w.value, w.gasLimit, w.data));
    }

    /// @dev A withdrawal that could speak as the Portal to the token, or to the Portal itself, could move the escrow.
    function _requireTarget(address target) private view {
        if (target == address(TOKEN) || target == address(this)) revert BadTarget(target);
    }

    /// @dev Calls with exactly `gasLimit` gas and drops the return data. The caller of finalize cannot starve the call: it reverts first.
    function _call(address target, uint256 gasLimit, bytes calldata data) private returns (bool success) {
        bytes memory input = data;
        // EIP-150: a call gets at most 63/64 of what is left. A limit no block can hold fails here as well.
        uint256 required = gasLimit > type(uint128).max ? gasLimit : gasLimit * 64 / 63 + CALL_RESERVE;
        if (gasleft() < required) revert InsufficientGas(required, gasleft());
        assembly ("memory-safe") {
            success := call(gasLimit, target, 0, add(input, 32), mload(input), 0, 0)
        }
    }
}
