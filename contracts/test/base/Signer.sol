// Signer: BLS12-381 MinSig keys and signatures for tests, from the EIP-2537 precompiles. Written plainly and apart from src/lib/Bls.sol, so
// that the two check each other.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

library Signer {
    uint256 internal constant ORDER = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;
    bytes internal constant VOTE = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
    bytes internal constant POSSESSION = "BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
    bytes internal constant G2 = hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
        hex"0000000000000000000000000000000013e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
        hex"000000000000000000000000000000000ce5d527727d6e118cc9cdc6da2e351aadfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801"
        hex"000000000000000000000000000000000606c4a02ea734cc32acd2b02bc28b99cb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be";
    bytes private constant P =
        hex"000000000000000000000000000000001a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab";

    error PrecompileFailed(address precompile, bytes input);

    /// @notice Public key of `secret`, EIP-2537.
    function publicKey(uint256 secret) internal view returns (bytes memory) {
        return _call(address(0x0e), abi.encodePacked(G2, secret % ORDER));
    }

    /// @notice Signature of `secret` over `message`, EIP-2537. The sum of secrets gives the aggregate signature.
    function sign(uint256 secret, bytes memory message, bytes memory tag) internal view returns (bytes memory) {
        return _call(address(0x0c), abi.encodePacked(hashToG1(message, tag), secret % ORDER));
    }

    /// @notice RFC 9380, suite BLS12381G1_XMD:SHA-256_SSWU_RO_.
    function hashToG1(bytes memory message, bytes memory tag) internal view returns (bytes memory) {
        bytes memory tagPrime = abi.encodePacked(tag, uint8(tag.length));
        bytes32 b0 = sha256(abi.encodePacked(new bytes(64), message, uint16(128), uint8(0), tagPrime));
        bytes memory uniform;
        bytes32 previous = 0;
        for (uint8 i = 1; i <= 4; ++i) {
            previous = sha256(abi.encodePacked(b0 ^ previous, i, tagPrime));
            uniform = abi.encodePacked(uniform, previous);
        }
        bytes memory u0 = _map(_half(uniform, 0));
        bytes memory u1 = _map(_half(uniform, 64));
        return _call(address(0x0b), abi.encodePacked(u0, u1));
    }

    function _map(bytes memory wide) private view returns (bytes memory) {
        bytes memory element =
            _call(address(0x05), abi.encodePacked(uint256(64), uint256(1), uint256(64), wide, uint8(1), P));
        return _call(address(0x10), element);
    }

    function _half(bytes memory data, uint256 from) private pure returns (bytes memory half) {
        half = new bytes(64);
        for (uint256 i = 0; i < 64; ++i) {
            half[i] = data[from + i];
        }
    }

    function _call(address precompile, bytes memory input) private view returns (bytes memory output) {
        bool ok;
        (ok, output) = precompile.staticcall(input);
        if (!ok || output.length == 0) revert PrecompileFailed(precompile, input);
    }
}
