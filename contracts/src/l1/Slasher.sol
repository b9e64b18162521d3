// Slasher: offences, their proofs, and what they cost.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Batch, IRollup} from "../interfaces/IRollup.sol";
import {ISequencerPool} from "../interfaces/ISequencerPool.sol";
import {CertificateVerifier} from "../lib/CertificateVerifier.sol";

/// @notice Takes stake on proof and on nothing else. Votes and certificates are checked here, signature by signature; offences that another
///         contract decides (a lost dispute, an unanswered challenge) are reported by the hook registered for them. Anyone may submit a proof
///         and gets the reporter's share.
/// @dev An offence is punished once per sequencer and case. The case of votes and certificates is their epoch, so that one fault of software
///      that repeats itself in every view costs one penalty.
contract Slasher {
    error OffenceUnknown(uint8 offence);
    error NotGovernor(address caller);
    error PenaltyOutOfRange(uint256 bps, uint256 limit);
    error HookNotAllowed(uint8 offence);
    error HookAlreadySet(uint8 offence, address hook);
    error HookHasNoCode(address hook);
    error NotHook(address caller, uint8 offence);
    error WrongEpoch(uint64 epoch, uint64 ofBatch);
    error WrongCommittee(uint64 committeeId, uint64 ofBatch);
    error EvidenceStale(uint256 expiredAt);
    error UnknownMember(uint32 member, uint256 size);
    error VoteKindUnknown(uint8 kind);
    error ViewsDiffer(uint64 first, uint64 second);
    error NotConflicting(uint8 firstKind, uint8 secondKind);
    error NobodyGuilty(uint256 guilty, uint256 among);
    /// @dev `which`: 0 for the first vote, 1 for the second. Forged, of another member, epoch, committee or namespace.
    error VoteInvalid(uint256 which, uint64 id, bytes32 messageHash);
    error AlreadyPunished(uint8 offence, bytes32 caseId);

    event Slashed(uint8 indexed offence, uint64 indexed id, bytes32 indexed caseId, uint256 penalty, address reporter);
    event PenaltySet(uint8 indexed offence, uint16 bps, uint128 minimum);
    event HookSet(uint8 indexed offence, address caller);

    struct Penalty {
        uint16 bps; // of lock and tickets, in 1/10,000
        uint128 minimum; // wei of the token
    }

    struct Config {
        ISequencerPool pool;
        IRollup rollup; // may be predicted
        address governor; // a timelock; sets penalties and hooks
        Penalty equivocation;
        Penalty fork;
        Penalty invalidOutput;
        Penalty withheldData;
    }

    /// @notice When the votes were cast, and a batch on L1 that shows it: the epoch's committee is the batch's.
    struct Term {
        uint256 batchIndex; // any batch of the epoch; the youngest keeps evidence fresh for longest
        uint64 epoch;
        uint64 committeeId;
    }

    struct Vote {
        uint8 kind; // NOTARIZE, NULLIFY or FINALIZE
        uint64 view_;
        uint64 parentView; // not part of a nullification
        bytes32 payload; // header hash; not part of a nullification
        bytes signature; // G1, EIP-2537 encoding, 128 bytes
    }

    /// @notice A quorum's votes, `vote.signature` being their aggregate.
    struct Certificate {
        Vote vote;
        uint256 signers; // bit i: member with the i-th smallest identity
    }

    uint8 public constant NOTARIZE = 0;
    uint8 public constant NULLIFY = 1;
    uint8 public constant FINALIZE = 2;

    /// @notice Two votes of one member that contradict each other in one view.
    uint8 public constant EQUIVOCATION = 0;
    /// @notice Two certificates that contradict each other in one view: whoever is in both.
    uint8 public constant FORK = 1;
    /// @notice Certified an output that lost its dispute. Reported by a hook.
    uint8 public constant INVALID_OUTPUT = 2;
    /// @notice Certified data that a challenge showed withheld. Reported by a hook.
    uint8 public constant WITHHELD_DATA = 3;
    uint256 private constant OFFENCES = 4;
    uint256 private constant BPS = 10_000;

    ISequencerPool public immutable POOL;
    IRollup public immutable ROLLUP;
    address public immutable GOVERNOR;
    /// @notice Seconds after its batch's acceptance for which evidence counts: as long as stake is held back.
    uint256 public immutable EVIDENCE_PERIOD;

    mapping(uint8 offence => Penalty) public penalties;
    /// @notice The only contract that may report an offence by `punish`; zero: nobody. Named once, for good.
    mapping(uint8 offence => address) public hooks;
    /// @notice Whether sequencer `id` was punished for `offence` in a case. Equivocation and fork: bytes32(uint256(epoch)).
    mapping(uint8 offence => mapping(uint64 id => mapping(bytes32 caseId => bool))) public punished;

    constructor(Config memory config) {
        POOL = config.pool;
        ROLLUP = config.rollup;
        GOVERNOR = config.governor;
        EVIDENCE_PERIOD = config.pool.UNBONDING_PERIOD();
        _setPenalty(EQUIVOCATION, config.equivocation);
        _setPenalty(FORK, config.fork);
        _setPenalty(INVALID_OUTPUT, config.invalidOutput);
        _setPenalty(WITHHELD_DATA, config.withheldData);
    }

    // ---- proofs ----

    /// @notice Punishes `member` of the term's committee for two votes in one view: notarize votes for different proposals, finalize votes for
    ///         different proposals, or a nullify and a finalize vote.
    /// @param member Position in the committee: the member with the member-th smallest identity.
    /// @return penalty Wei of the token taken.
    function submitEquivocation(Term calldata term, uint32 member, Vote calldata first, Vote calldata second)
        external
        returns (uint256 penalty)
    {
        address committee = _committeeOf(term);
        uint256 size = CertificateVerifier.sizeOf(committee);
        if (member >= size) revert UnknownMember(member, size);
        _requireConflict(first, second);

        bytes memory namespace = ROLLUP.namespace();
        uint64 id = CertificateVerifier.memberId(committee, member);
        _requireVote(0, committee, member, id, _signedBytes(namespace, term.epoch, first), first.signature);
        _requireVote(1, committee, member, id, _signedBytes(namespace, term.epoch, second), second.signature);

        uint64[] memory ids = new uint64[](1);
        ids[0] = id;
        return _punish(EQUIVOCATION, ids, bytes32(uint256(term.epoch)), msg.sender);
    }

    /// @notice Punishes everybody who is in both of two certificates of one view that contradict each other: finalizations of different
    ///         proposals, notarizations of different proposals, or a nullification and a finalization. That is at least a third of the committee.
    /// @param among Of the guilty only those in this bitmap (as `signers`) are punished now: with many tickets each, all of them may be more
    ///        than one transaction can carry. Who was punished before is passed over.
    /// @return penalty Wei of the token taken from all of them.
    function submitFork(Term calldata term, Certificate calldata first, Certificate calldata second, uint256 among)
        external
        returns (uint256 penalty)
    {
        address committee = _committeeOf(term);
        _requireConflict(first.vote, second.vote);
        bytes memory namespace = ROLLUP.namespace();
        _requireCertificate(committee, namespace, term.epoch, first);
        _requireCertificate(committee, namespace, term.epoch, second);

        uint64[] memory ids = new uint64[](CertificateVerifier.sizeOf(committee));
        uint256 guilty = first.signers & second.signers;
        if (guilty & among == 0) revert NobodyGuilty(guilty, among);
        guilty &= among;
        uint256 count;
        for (uint256 i = 0; i < ids.length; ++i) {
            if (guilty >> i & 1 == 1) ids[count++] = CertificateVerifier.memberId(committee, i);
        }
        assembly ("memory-safe") {
            mstore(ids, count)
        }
        return _punish(FORK, ids, bytes32(uint256(term.epoch)), msg.sender);
    }

    /// @notice Punishes `ids` for an offence that the caller, the hook of that offence, has found proven.
    /// @param caseId Names the case; each id is punished once per case, and those already punished are passed over.
    /// @param reporter Is credited with the reporter's share.
    /// @return penalty Wei of the token taken from all of them.
    function punish(uint8 offence, uint64[] calldata ids, bytes32 caseId, address reporter)
        external
        returns (uint256 penalty)
    {
        if (msg.sender != hooks[offence]) revert NotHook(msg.sender, offence);
        return _punish(offence, ids, caseId, reporter);
    }

    /// @dev One id's state cannot keep the others from being punished; nothing new at all is an error.
    function _punish(uint8 offence, uint64[] memory ids, bytes32 caseId, address reporter)
        private
        returns (uint256 total)
    {
        Penalty memory penalty = penalties[offence];
        bool any;
        for (uint256 i = 0; i < ids.length; ++i) {
            uint64 id = ids[i];
            if (punished[offence][id][caseId]) continue;
            punished[offence][id][caseId] = true;
            any = true;
            uint256 taken = POOL.slash(id, penalty.bps, penalty.minimum, reporter);
            total += taken;
            emit Slashed(offence, id, caseId, taken, reporter);
        }
        if (!any) revert AlreadyPunished(offence, caseId);
    }

    function _committeeOf(Term calldata term) private view returns (address) {
        Batch memory batch = ROLLUP.batch(term.batchIndex);
        if (term.epoch != batch.epoch) revert WrongEpoch(term.epoch, batch.epoch);
        if (term.committeeId != batch.committeeId) revert WrongCommittee(term.committeeId, batch.committeeId);
        uint256 expiry = batch.timestamp + EVIDENCE_PERIOD;
        if (block.timestamp > expiry) revert EvidenceStale(expiry);
        return POOL.committeeCode(batch.committeeId);
    }

    /// @dev An honest member notarizes one proposal of a view, and finalizes that one or nullifies the view. (It may well nullify a view in
    ///      which it notarized.) Of certificates the same holds for everybody who is in both.
    function _requireConflict(Vote calldata first, Vote calldata second) private pure {
        if (first.kind > FINALIZE) revert VoteKindUnknown(first.kind);
        if (second.kind > FINALIZE) revert VoteKindUnknown(second.kind);
        if (first.view_ != second.view_) revert ViewsDiffer(first.view_, second.view_);
        bool conflict;
        if (first.kind == second.kind) {
            conflict =
                first.kind != NULLIFY && (first.payload != second.payload || first.parentView != second.parentView);
        } else {
            conflict = first.kind != NOTARIZE && second.kind != NOTARIZE;
        }
        if (!conflict) revert NotConflicting(first.kind, second.kind);
    }

    function _requireVote(
        uint256 which,
        address committee,
        uint32 member,
        uint64 id,
        bytes memory signed,
        bytes calldata signature
    ) private view {
        if (!CertificateVerifier.signedBy(committee, member, signed, signature)) {
            revert VoteInvalid(which, id, keccak256(signed));
        }
    }

    function _requireCertificate(
        address committee,
        bytes memory namespace,
        uint64 epoch,
        Certificate calldata certificate
    ) private view {
        bytes memory signed = _signedBytes(namespace, epoch, certificate.vote);
        CertificateVerifier.verify(committee, signed, certificate.signers, certificate.vote.signature);
    }

    function _signedBytes(bytes memory namespace, uint64 epoch, Vote calldata vote)
        private
        pure
        returns (bytes memory)
    {
        if (vote.kind == NULLIFY) {
            return CertificateVerifier.nullifyMessage(_prefix(namespace, "_NULLIFY"), epoch, vote.view_);
        }
        bytes memory prefix = _prefix(namespace, vote.kind == NOTARIZE ? bytes("_NOTARIZE") : bytes("_FINALIZE"));
        return CertificateVerifier.message(prefix, epoch, vote.view_, vote.parentView, abi.encodePacked(vote.payload));
    }

    /// @dev varint(length) | namespace; the length, 83 or 84, is one byte.
    function _prefix(bytes memory namespace, bytes memory suffix) private pure returns (bytes memory) {
        return abi.encodePacked(uint8(namespace.length + suffix.length), namespace, suffix);
    }

    // ---- governor ----

    /// @notice Sets what an offence costs: the larger of `bps` / 10,000 of lock and tickets, and `minimum` wei, at most all of it. Counts for
    ///         whatever is punished from then on: a timelock longer than EVIDENCE_PERIOD as governor keeps it from reaching back.
    function setPenalty(uint8 offence, uint16 bps, uint128 minimum) external {
        _requireGovernor();
        if (offence >= OFFENCES) revert OffenceUnknown(offence);
        _setPenalty(offence, Penalty({bps: bps, minimum: minimum}));
    }

    /// @notice Names the contract that reports an offence, once and for good: who has looked at its code need not look again.
    function setHook(uint8 offence, address caller) external {
        _requireGovernor();
        if (offence != INVALID_OUTPUT && offence != WITHHELD_DATA) revert HookNotAllowed(offence);
        if (hooks[offence] != address(0)) revert HookAlreadySet(offence, hooks[offence]);
        if (caller.code.length == 0) revert HookHasNoCode(caller);
        hooks[offence] = caller;
        emit HookSet(offence, caller);
    }

    function _setPenalty(uint8 offence, Penalty memory penalty) private {
        if (penalty.bps > BPS) revert PenaltyOutOfRange(penalty.bps, BPS);
        penalties[offence] = penalty;
        emit PenaltySet(offence, penalty.bps, penalty.minimum);
    }

    function _requireGovernor() private view {
        if (msg.sender != GOVERNOR) revert NotGovernor(msg.sender);
    }
}
