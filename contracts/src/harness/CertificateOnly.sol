// CertificateOnly: the check of a certificate and nothing else. Never deployed: it carries the gas figure of the check, and lets other
// implementations be compared with it.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ISequencerPool} from "../interfaces/ISequencerPool.sol";
import {CertificateVerifier} from "../lib/CertificateVerifier.sol";

contract CertificateOnly {
    /// @notice Reverts unless the certificate holds (see CertificateVerifier).
    /// @param prefix varint(length) | base namespace | "_FINALIZE".
    function verify(
        ISequencerPool pool,
        uint64 committeeId,
        bytes calldata prefix,
        uint64 epoch,
        uint64 view_,
        uint64 parentView,
        bytes calldata payload,
        uint256 signers,
        bytes calldata signature
    ) external view {
        CertificateVerifier.verify(
            pool.committeeCode(committeeId),
            CertificateVerifier.message(prefix, epoch, view_, parentView, payload),
            signers,
            signature
        );
    }
}
