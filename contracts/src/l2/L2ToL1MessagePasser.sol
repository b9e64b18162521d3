// L2ToL1MessagePasser: where withdrawals are written down on L2 (OP's predeploy, byte for byte in hash and storage).
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @notice Predeploy 0x4200000000000000000000000000000000000016. Slot 0: sentMessages; slot 1: the nonce without its version.
/// @dev Value sent here leaves the native supply: no path pays it out again, so this contract's balance is to be read as burnt.
contract L2ToL1MessagePasser {
    event MessagePassed(
        uint256 indexed nonce,
        address indexed sender,
        address indexed target,
        uint256 value,
        uint256 gasLimit,
        bytes data,
        bytes32 withdrawalHash
    );

    /// @notice Version in the two highest bytes of a nonce.
    uint16 public constant MESSAGE_VERSION = 1;
    /// @dev L1 gas of a withdrawal made by a plain transfer to this contract.
    uint256 internal constant RECEIVE_DEFAULT_GAS_LIMIT = 100_000;

    /// @notice Hashes of withdrawals made.
    mapping(bytes32 withdrawalHash => bool) public sentMessages;
    uint240 internal msgNonce;

    /// @notice A plain transfer withdraws to the sender's own address.
    receive() external payable {
        initiateWithdrawal(msg.sender, RECEIVE_DEFAULT_GAS_LIMIT, "");
    }

    /// @notice Withdraws `msg.value` of native coin to `target` on L1, with a call where `data` is not empty.
    /// @param gasLimit L1 gas of that call.
    function initiateWithdrawal(address target, uint256 gasLimit, bytes memory data) public payable {
        uint256 nonce = messageNonce();
        bytes32 withdrawalHash = keccak256(abi.encode(nonce, msg.sender, target, msg.value, gasLimit, data));
        sentMessages[withdrawalHash] = true;
        unchecked {
            ++msgNonce;
        }
        emit MessagePassed(nonce, msg.sender, target, msg.value, gasLimit, data, withdrawalHash);
    }

    /// @notice The next nonce: version << 240 | count.
    function messageNonce() public view returns (uint256) {
        return uint256(MESSAGE_VERSION) << 240 | msgNonce;
    }
}
