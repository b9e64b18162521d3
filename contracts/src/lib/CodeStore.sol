// CodeStore: write-once bytes kept as the code of a contract; 200 gas a byte to write, 3 gas a word to read after one account access.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

library CodeStore {
    error CodeStoreFailed(uint256 length);
    error CodeStoreOutOfRange(address pointer, uint256 offset, uint256 length);

    /// @dev EIP-170 limit (24,576 bytes) less the leading STOP byte.
    uint256 internal constant MAX_LENGTH = 24_575;

    /// @notice Deploys a contract whose code is 0x00 (STOP, so that it can never run) followed by `data`.
    function write(bytes memory data) internal returns (address pointer) {
        uint256 length = data.length;
        if (length > MAX_LENGTH) revert CodeStoreFailed(length);
        assembly ("memory-safe") {
            // Ten bytes of init code (PUSH2 size, DUP1, PUSH1 10, RETURNDATASIZE, CODECOPY, RETURNDATASIZE, RETURN) and the STOP byte
            // are laid over the length word of `data`, which is restored afterwards.
            mstore(data, or(0x61000080600a3d393df300, shl(64, add(length, 1))))
            pointer := create(0, add(data, 21), add(length, 11))
            mstore(data, length)
        }
        if (pointer == address(0)) revert CodeStoreFailed(length);
    }

    /// @notice Bytes stored behind `pointer`, without the STOP byte.
    function size(address pointer) internal view returns (uint256) {
        uint256 length = pointer.code.length;
        return length == 0 ? 0 : length - 1;
    }

    /// @notice Reads `length` bytes from `offset`. Reverts where the store is shorter.
    function read(address pointer, uint256 offset, uint256 length) internal view returns (bytes memory data) {
        if (offset + length > size(pointer)) revert CodeStoreOutOfRange(pointer, offset, length);
        data = new bytes(length);
        assembly ("memory-safe") {
            extcodecopy(pointer, add(data, 32), add(offset, 1), length)
        }
    }
}
