// Rollup: the L2 chain as L1 accepts it: certified headers, one output per batch, finality by window.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Blockhash} from "@openzeppelin/contracts/utils/Blockhash.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Batch, IRollup, OutputProposal} from "../interfaces/IRollup.sol";
import {ISequencerPool} from "../interfaces/ISequencerPool.sol";
import {CalldataGas} from "../lib/CalldataGas.sol";
import {CertificateVerifier} from "../lib/CertificateVerifier.sol";
import {Header, HeaderReader} from "../lib/HeaderReader.sol";

/// @notice A light client of the committee: a batch is accepted when its last header carries the finalization certificate of the committee
///         that the accepted chain itself named. Anyone may submit. No owner, no pause, no upgrade.
/// @dev A batch's data is bound to the header by execution, not by the certificate: followers take the first posting (`submitBatch` or
///      `repostData`) whose data reproduces the certified header. A posting that does not is an empty batch for everyone.
contract Rollup is IRollup {
    error WrongChain(uint256 chainId, uint256 deployedOn);
    error ParentNotLatest(uint256 parentIndex, uint256 latestIndex);
    error GapInChain(uint64 firstBlock, uint64 expected);
    error BatchReversed(uint64 firstBlock, uint64 lastBlock);
    error TooManyBlocks(uint64 count, uint64 limit);
    error ParentHashMismatch(bytes32 parentHash, bytes32 expected);
    error BatchSpansEpochs(uint64 firstEpoch, uint64 lastEpoch);
    error EpochMismatch(uint64 claimed, uint64 expected);
    error WrongCommittee(uint64 committeeId, uint64 expected);
    error UnknownNextCommittee(uint64 nextCommitteeId, uint64 latestCommittee);
    error CommitteeWentBack(uint64 nextCommitteeId, uint64 committeeId);
    error OriginWentBack(uint64 originNumber, uint64 parentOrigin);
    error OriginInFuture(uint64 originNumber, uint256 l1Block);
    error OriginStale(uint64 originNumber, uint256 oldest);
    error OriginNotCanonical(uint64 originNumber, bytes32 originHash, bytes32 canonical);
    error CertificateViewTooLow(uint64 certificateView, uint64 headerView);
    error DaModeNotAvailable(uint8 daMode);
    error DaModeUnknown(uint8 daMode);
    error BatchDataMissing(uint8 daMode);
    error BatchDataUnexpected(uint8 daMode, uint256 length);
    error PartOutOfRange(uint16 part, uint16 parts, uint16 maxParts);
    error UnknownBatch(uint256 index, uint256 latestIndex);
    error NotStalled(uint256 stalledAt);
    error NoNewerCommittee(uint64 latestCommittee, uint64 inOffice);
    error ConfigOutOfRange(string field, uint256 value);

    /// @notice A batch was accepted. `daCommitment` is keccak256(data), or keccak256 of the blobs' versioned hashes, or zero (DA_NONE).
    event BatchSubmitted(
        uint256 indexed index,
        bytes32 indexed headerHash,
        uint64 firstBlock,
        uint64 lastBlock,
        uint8 daMode,
        bytes32 daCommitment,
        bytes32 outputRoot
    );
    /// @notice Data for an accepted batch, or part `part` (from 0) of it, is in this transaction's calldata or blobs. The data is the
    ///         concatenation of all the parts of one poster with one value of `parts`.
    event BatchData(
        uint256 indexed index, address indexed poster, uint16 part, uint16 parts, uint8 daMode, bytes32 daCommitment
    );
    /// @notice Recovery number `recovery` (from 1): behind block `afterBlock` (the head) goes on `committeeId`, and every block's epoch is one
    ///         higher than it would have been.
    event Recovered(uint64 indexed recovery, uint64 afterBlock, bytes32 headHash, uint64 committeeId);

    struct Config {
        ISequencerPool pool;
        bytes32 genesisHash; // of the L2 genesis header
        bytes32 genesisOutputRoot;
        uint64 genesisTimestamp; // seconds, of the L2 genesis header
        uint64 genesisOrigin; // L1 block number that the L2 genesis names
        uint64 genesisCommittee; // committee of epoch 0 and, unless a header says otherwise, of epoch 1
        uint64 l2ChainId;
        uint64 epochLength; // L2 blocks
        uint64 window; // seconds until an output is final
        uint64 maxOriginLag; // L1 blocks
        uint64 stallTimeout; // seconds without a fresh batch until `recover`
        uint64 submissionInterval; // L2 blocks between batches, as an estimate for tools
        uint64 l2BlockTime; // seconds, as an estimate for tools
    }

    struct Certificate {
        uint64 view_; // of the finalization; later than the header's where a boundary block was proposed again
        uint64 parentView;
        uint256 signers; // bit i: member with the i-th smallest identity
        bytes signature; // G1, EIP-2537 encoding, 128 bytes
    }

    /// @dev What a posting costs, or may cost.
    struct Spent {
        uint128 gas;
        uint128 blobGas;
    }

    /// @dev One slot: what the next batch is checked against, besides the latest batch itself. Ids are sequential from 1.
    struct Office {
        address code; // of the committee that certified the latest batch: a batch within an epoch makes no call to the pool
        uint48 nextCommitteeId; // named by the latest header for the next epoch, or put in by a recovery
        uint48 recoveries;
    }

    uint8 public constant DA_CALLDATA = 0;
    uint8 public constant DA_BLOB = 1;
    uint8 public constant DA_STORAGE = 2;
    /// @notice No data in this transaction: it follows by `repostData`, in parts where it is too large for one transaction.
    uint8 public constant DA_NONE = 255;
    /// @notice Blocks in one batch. Followers refuse the data of a longer one.
    uint64 public constant MAX_BATCH_BLOCKS = 2_000;
    /// @notice Parts in which a batch's data may be posted.
    uint16 public constant MAX_PARTS = 64;
    /// @dev varint(84) | "OCEANID" 7 | L1 chain id u64 | rollup 20 | L2 chain id u64 | genesis hash 32 | "_FINALIZE" 9.
    uint256 private constant PREFIX_LENGTH = 85;
    /// @dev EIP-2935 serves this many block hashes.
    uint256 private constant HISTORY_WINDOW = 8191;
    /// @dev EIP-4844.
    uint256 private constant GAS_PER_BLOB = 131_072;
    /// @dev Gas of a posting behind the measurement: a cold slot changed from one value to another.
    uint256 private constant RECORD_GAS = 5_000;
    /// @notice Gas that is counted at most for each block of a batch: three blocks pay for a certificate's check, one for 2,500 bytes of
    ///         calldata. Whoever wastes can be reimbursed for no more, however small the batches are.
    uint256 public constant POSTING_GAS_PER_BLOCK = 100_000;
    /// @notice Blob gas (1 a byte) that is counted at most for each block of a batch: half a blob.
    uint256 public constant POSTING_BLOB_GAS_PER_BLOCK = 65_536;

    ISequencerPool public immutable POOL;
    bytes32 public immutable GENESIS_HASH;
    uint256 public immutable L1_CHAIN_ID;
    uint64 public immutable L2_CHAIN_ID;
    /// @notice L2 blocks of an epoch: block n is in epoch n / EPOCH_LENGTH + the number of recoveries whose `afterBlock` is below n.
    uint64 public immutable EPOCH_LENGTH;
    /// @notice L1 blocks by which the origin of a batch's last header may lag.
    uint64 public immutable MAX_ORIGIN_LAG;
    /// @notice Seconds without a fresh batch after which anyone may call `recover`.
    uint256 public immutable STALL_TIMEOUT;
    /// @notice Seconds after acceptance at which an output is final (OP's name).
    uint256 public immutable FINALIZATION_PERIOD_SECONDS;
    /// @notice Estimates for viem's `getTimeToNextL2Output`; nothing here depends on them.
    uint256 public immutable SUBMISSION_INTERVAL;
    uint256 public immutable L2_BLOCK_TIME;
    /// @dev The constant head of every signed message, in three words.
    bytes32 private immutable _PREFIX_0;
    bytes32 private immutable _PREFIX_1;
    bytes32 private immutable _PREFIX_2;

    Batch[] private _batches;
    /// @dev Hash of the last accepted header.
    bytes32 private _headHash;
    Office private _office;
    /// @dev L1 time of the last recovery, or of the last fresh batch before the late ones at the head, whichever came last.
    uint40 private _progressAt;
    /// @inheritdoc IRollup
    /// @dev Gas at the base fee and blobs, of `submitBatch` and `repostData`, up to POSTING_GAS_PER_BLOCK and POSTING_BLOB_GAS_PER_BLOCK, by an
    ///      account that a sequencer names: anybody can post a finished certificate, and garbage beside it. Called directly by an account
    ///      without code: a call through a contract carries no data that a follower would read, and could claim calldata that nobody paid for.
    mapping(address poster => uint256) public postingCost;
    /// @dev What `repostData` has counted for a batch.
    mapping(uint256 index => Spent) private _reposted;

    constructor(Config memory config) {
        if (config.epochLength < 2) revert ConfigOutOfRange("epochLength", config.epochLength);
        if (config.maxOriginLag == 0 || config.maxOriginLag > HISTORY_WINDOW) {
            revert ConfigOutOfRange("maxOriginLag", config.maxOriginLag);
        }
        if (config.stallTimeout == 0) revert ConfigOutOfRange("stallTimeout", config.stallTimeout);
        POOL = config.pool;
        GENESIS_HASH = config.genesisHash;
        L1_CHAIN_ID = block.chainid;
        L2_CHAIN_ID = config.l2ChainId;
        EPOCH_LENGTH = config.epochLength;
        MAX_ORIGIN_LAG = config.maxOriginLag;
        STALL_TIMEOUT = config.stallTimeout;
        FINALIZATION_PERIOD_SECONDS = config.window;
        SUBMISSION_INTERVAL = config.submissionInterval;
        L2_BLOCK_TIME = config.l2BlockTime;

        bytes memory namespace_ =
            abi.encodePacked("OCEANID", uint64(block.chainid), address(this), config.l2ChainId, config.genesisHash);
        bytes memory prefix = abi.encodePacked(uint8(PREFIX_LENGTH - 1), namespace_, "_FINALIZE", bytes11(0));
        (_PREFIX_0, _PREFIX_1, _PREFIX_2) = abi.decode(prefix, (bytes32, bytes32, bytes32));

        _batches.push(
            Batch({
                outputRoot: config.genesisOutputRoot,
                timestamp: uint40(config.genesisTimestamp),
                lastBlock: 0,
                epoch: 0,
                originNumber: uint48(config.genesisOrigin),
                committeeId: uint48(config.genesisCommittee),
                late: false
            })
        );
        _headHash = config.genesisHash;
        _office = Office({
            code: config.pool.committeeCode(config.genesisCommittee),
            nextCommitteeId: uint48(config.genesisCommittee),
            recoveries: 0
        });
        _progressAt = uint40(block.timestamp);
    }

    // ---- batches ----

    /// @notice Accepts the blocks `firstBlock` to the number of `lastHeaderRlp`, which must follow the latest batch within one epoch.
    /// @param parentIndex Index of the latest batch; anything else is a gap or a replay.
    /// @param lastHeaderRlp Ethereum RLP of the last header.
    /// @param certificate Finalization of that header by the committee it names.
    /// @param daMode DA_CALLDATA: `data` is the batch. DA_BLOB: this transaction's blobs are, and `data` is empty. DA_NONE: it follows.
    function submitBatch(
        uint256 parentIndex,
        uint64 firstBlock,
        bytes calldata lastHeaderRlp,
        Certificate calldata certificate,
        uint8 daMode,
        bytes calldata data
    ) external {
        uint256 gasAtEntry = gasleft();
        if (block.chainid != L1_CHAIN_ID) revert WrongChain(block.chainid, L1_CHAIN_ID);
        uint256 latest = _batches.length - 1;
        if (parentIndex != latest) revert ParentNotLatest(parentIndex, latest);
        Batch storage parent = _batches[latest];
        Office memory office = _office;
        Header memory header = HeaderReader.read(lastHeaderRlp);

        _requireFollows(parent, office, header, firstBlock);
        bool late = _requireOrigin(parent, header);
        address committeeCode = _handOver(parent, office, header);
        _requireCertificate(header, certificate, committeeCode);
        bytes32 commitment = daMode == DA_NONE ? _noData(data) : _daCommitment(daMode, data);

        if (late) _progressAt = uint40(_lastProgress(parent));
        bytes32 outputRoot = keccak256(abi.encode(bytes32(0), header.stateRoot, header.messagePasserRoot, header.hash));
        _headHash = header.hash;
        // No field is cut: the header's were just compared with smaller ones.
        _batches.push(
            Batch({
                outputRoot: outputRoot,
                timestamp: uint40(block.timestamp),
                lastBlock: uint56(header.number),
                epoch: uint48(header.epoch),
                originNumber: uint48(header.originNumber),
                committeeId: uint48(header.committeeId),
                late: late
            })
        );
        emit BatchSubmitted(latest + 1, header.hash, firstBlock, header.number, daMode, commitment, outputRoot);
        _recordCost(gasAtEntry, daMode, _allowance(header.number + 1 - firstBlock));
    }

    /// @notice Posts data for batch `index`: again, where the first posting did not reproduce the certified header, or for the first time,
    ///         where the batch came with none (DA_NONE).
    /// @dev Costs are counted until they reach, once per batch and whoever posts, what its submission may cost at most.
    /// @param part Number of this part, from 0.
    /// @param parts Parts in all, 1 to MAX_PARTS.
    function repostData(uint256 index, uint16 part, uint16 parts, uint8 daMode, bytes calldata data) external {
        uint256 gasAtEntry = gasleft();
        uint256 latest = _batches.length - 1;
        if (index == 0 || index > latest) revert UnknownBatch(index, latest);
        if (part >= parts || parts > MAX_PARTS) revert PartOutOfRange(part, parts, MAX_PARTS);
        emit BatchData(index, msg.sender, part, parts, daMode, _daCommitment(daMode, data));

        Spent memory spent = _reposted[index];
        Spent memory left = _allowance(_batches[index].lastBlock - _batches[index - 1].lastBlock);
        (left.gas, left.blobGas) = (left.gas - spent.gas, left.blobGas - spent.blobGas);
        Spent memory counted = _recordCost(gasAtEntry, daMode, left);
        _reposted[index] = Spent(spent.gas + counted.gas, spent.blobGas + counted.blobGas);
    }

    /// @notice Puts the newest committee of the pool in office behind the last accepted header. Anyone may call, when no fresh batch came for
    ///         STALL_TIMEOUT and the pool has fixed a newer committee than the one in office.
    /// @dev Nothing is left to choose: the head stays, the committee and its seed were fixed by a rotation. The epoch of every later block
    ///      rises by one, so that what the old committee may still sign is for another epoch, and nobody in both is made to equivocate.
    function recover() external {
        Batch storage latest = _batches[_batches.length - 1];
        if (block.timestamp < stalledAt()) revert NotStalled(stalledAt());
        Office memory office = _office;
        // A recovery since the latest batch shows in that batch's epoch.
        bool recovered = latest.epoch != latest.lastBlock / EPOCH_LENGTH + office.recoveries;
        uint64 inOffice = recovered ? office.nextCommitteeId : latest.committeeId;
        uint64 newest = POOL.latestCommittee();
        if (newest <= inOffice) revert NoNewerCommittee(newest, inOffice);

        // The next header is of another epoch than the latest: it must name this committee.
        (office.nextCommitteeId, office.recoveries) = (uint48(newest), office.recoveries + 1);
        _office = office;
        _progressAt = uint40(block.timestamp);
        emit Recovered(office.recoveries, latest.lastBlock, _headHash, newest);
    }

    /// @dev Number, parent and epoch.
    function _requireFollows(Batch storage parent, Office memory office, Header memory header, uint64 firstBlock)
        private
        view
    {
        if (firstBlock != parent.lastBlock + 1) revert GapInChain(firstBlock, parent.lastBlock + 1);
        if (header.number < firstBlock) revert BatchReversed(firstBlock, header.number);
        if (header.number - firstBlock >= MAX_BATCH_BLOCKS) {
            revert TooManyBlocks(header.number - firstBlock + 1, MAX_BATCH_BLOCKS);
        }
        if (header.number == firstBlock && header.parentHash != _headHash) {
            revert ParentHashMismatch(header.parentHash, _headHash);
        }
        // All recoveries lie behind the latest batch or before it, so they count for every block of this one.
        uint64 epoch = header.number / EPOCH_LENGTH + office.recoveries;
        if (header.epoch != epoch) revert EpochMismatch(header.epoch, epoch);
        // A batch in one epoch, right behind its parent, starts the next epoch only if the parent ends with the boundary block.
        uint64 firstEpoch = firstBlock / EPOCH_LENGTH + office.recoveries;
        if (firstEpoch != epoch) revert BatchSpansEpochs(firstEpoch, epoch);
    }

    /// @dev Returns whether the origin is too old and excused: the end of an epoch that missed the deadline could never be posted otherwise,
    ///      because no later batch can take its blocks in.
    function _requireOrigin(Batch storage parent, Header memory header) private view returns (bool late) {
        uint64 origin = header.originNumber;
        if (origin < parent.originNumber) revert OriginWentBack(origin, parent.originNumber);
        if (origin >= block.number) revert OriginInFuture(origin, block.number);
        uint256 lag = block.number - origin;
        late = lag > MAX_ORIGIN_LAG;
        if (late && (lag > HISTORY_WINDOW || (header.number + 1) % EPOCH_LENGTH != 0)) {
            revert OriginStale(origin, block.number - MAX_ORIGIN_LAG);
        }
        bytes32 canonical = Blockhash.blockHash(origin);
        if (header.originHash != canonical || canonical == 0) {
            revert OriginNotCanonical(origin, header.originHash, canonical);
        }
    }

    /// @dev Checks the header's committee against the one its parent named (or a recovery put in) and follows a hand-over. Returns the
    ///      committee's code store.
    function _handOver(Batch storage parent, Office memory office, Header memory header)
        private
        returns (address code)
    {
        (uint64 current, uint64 next) = (parent.committeeId, office.nextCommitteeId);
        code = office.code;
        bool changed = header.epoch != parent.epoch && next != current;
        if (changed) {
            current = next;
            code = POOL.committeeCode(current);
        }
        if (header.committeeId != current) revert WrongCommittee(header.committeeId, current);

        // A committee that has handed over may have unbonded: it never comes back. A known one needs no call.
        uint64 named = header.nextCommitteeId;
        if (named < current) revert CommitteeWentBack(named, current);
        if (named > next) {
            uint64 newest = POOL.latestCommittee();
            if (named > newest) revert UnknownNextCommittee(named, newest);
        }
        if (changed || named != next) {
            _office = Office({code: code, nextCommitteeId: uint48(named), recoveries: office.recoveries});
        }
    }

    function _requireCertificate(Header memory header, Certificate calldata certificate, address committeeCode)
        private
        view
    {
        if (certificate.view_ < header.view_) revert CertificateViewTooLow(certificate.view_, header.view_);
        bytes memory signed = CertificateVerifier.message(
            _prefix(), header.epoch, certificate.view_, certificate.parentView, abi.encodePacked(header.hash)
        );
        CertificateVerifier.verify(committeeCode, signed, certificate.signers, certificate.signature);
    }

    function _noData(bytes calldata data) private pure returns (bytes32) {
        if (data.length != 0) revert BatchDataUnexpected(DA_NONE, data.length);
        return 0;
    }

    function _daCommitment(uint8 daMode, bytes calldata data) private view returns (bytes32) {
        if (daMode == DA_CALLDATA) {
            if (data.length == 0) revert BatchDataMissing(daMode);
            return keccak256(data);
        }
        if (daMode == DA_BLOB) {
            if (data.length != 0) revert BatchDataUnexpected(daMode, data.length);
            return _blobCommitment();
        }
        if (daMode == DA_STORAGE) revert DaModeNotAvailable(daMode);
        revert DaModeUnknown(daMode);
    }

    /// @dev keccak256 of the versioned hashes of this transaction's blobs.
    function _blobCommitment() private view returns (bytes32 commitment) {
        uint256 count;
        assembly ("memory-safe") {
            let hashes := mload(0x40)
            for {} blobhash(count) { count := add(count, 1) } {
                mstore(add(hashes, shl(5, count)), blobhash(count))
            }
            commitment := keccak256(hashes, shl(5, count))
        }
        if (count == 0) revert BatchDataMissing(DA_BLOB);
    }

    /// @dev Adds this transaction's cost to its sender's, up to `limit`, and returns it. Never more than was paid: no tip, no access list, no
    ///      first write of a slot. Nothing for an account that no sequencer names.
    function _recordCost(uint256 gasAtEntry, uint8 daMode, Spent memory limit) private returns (Spent memory counted) {
        // An account with delegated code could have called from within.
        if (msg.sender != tx.origin || msg.sender.code.length != 0 || !POOL.isPoster(msg.sender)) return counted;
        uint256 tokens = CalldataGas.tokensOfCall(); // before the measurement, which is to have this in it
        uint256 blobs;
        if (daMode == DA_BLOB) {
            while (blobhash(blobs) != 0) ++blobs;
        }
        // Both limits are far below 2^128.
        counted.blobGas = uint128(Math.min(blobs * GAS_PER_BLOB, limit.blobGas));
        uint256 used = CalldataGas.transactionGas(tokens, gasAtEntry - gasleft() + RECORD_GAS);
        counted.gas = uint128(Math.min(used, limit.gas));
        postingCost[msg.sender] += counted.gas * block.basefee + counted.blobGas * block.blobbasefee;
    }

    /// @dev What the posting of that many blocks may cost.
    function _allowance(uint256 blocks) private pure returns (Spent memory) {
        return Spent(uint128(blocks * POSTING_GAS_PER_BLOCK), uint128(blocks * POSTING_BLOB_GAS_PER_BLOCK));
    }

    /// @dev L1 time of the last recovery or fresh batch, given the latest batch.
    function _lastProgress(Batch storage latest) private view returns (uint256) {
        return latest.late || _progressAt > latest.timestamp ? _progressAt : latest.timestamp;
    }

    function _prefix() private view returns (bytes memory prefix) {
        (bytes32 a, bytes32 b, bytes32 c) = (_PREFIX_0, _PREFIX_1, _PREFIX_2);
        assembly ("memory-safe") {
            prefix := mload(0x40)
            mstore(prefix, PREFIX_LENGTH)
            mstore(add(prefix, 32), a)
            mstore(add(prefix, 64), b)
            mstore(add(prefix, 96), c)
            mstore(0x40, add(prefix, 128))
        }
    }

    // ---- views ----

    /// @inheritdoc IRollup
    /// @dev Votes for one chain, rollup or genesis say nothing about another.
    function namespace() external view returns (bytes memory) {
        return abi.encodePacked("OCEANID", uint64(L1_CHAIN_ID), address(this), L2_CHAIN_ID, GENESIS_HASH);
    }

    /// @notice The last accepted header: batch index, hash, number, epoch, its committee, and the committee of the next epoch: the one it
    ///         named, or the one a recovery put in.
    function head()
        external
        view
        returns (
            uint256 index,
            bytes32 headerHash,
            uint64 number,
            uint64 epoch,
            uint64 committeeId,
            uint64 nextCommitteeId
        )
    {
        index = _batches.length - 1;
        Batch storage latest = _batches[index];
        return (index, _headHash, latest.lastBlock, latest.epoch, latest.committeeId, _office.nextCommitteeId);
    }

    /// @notice Recoveries so far.
    function recoveries() external view returns (uint64) {
        return _office.recoveries;
    }

    /// @notice L1 time from which `recover` is possible, if the pool has a newer committee by then.
    function stalledAt() public view returns (uint256) {
        return _lastProgress(_batches[_batches.length - 1]) + STALL_TIMEOUT;
    }

    /// @inheritdoc IRollup
    function batch(uint256 index) public view returns (Batch memory) {
        if (index >= _batches.length) revert UnknownBatch(index, _batches.length - 1);
        return _batches[index];
    }

    /// @inheritdoc IRollup
    function isFinal(uint256 index) public view returns (bool) {
        return index == 0 || block.timestamp >= batch(index).timestamp + FINALIZATION_PERIOD_SECONDS;
    }

    /// @notice Newest final batch.
    function finalizedIndex() public view returns (uint256 low) {
        uint256 high = _batches.length - 1;
        while (low < high) {
            uint256 middle = (low + high + 1) / 2;
            if (isFinal(middle)) low = middle;
            else high = middle - 1;
        }
    }

    /// @notice Index, output root and last block of the newest final batch.
    function finalizedHead() external view returns (uint256 index, bytes32 outputRoot, uint64 number) {
        index = finalizedIndex();
        Batch storage b = _batches[index];
        return (index, b.outputRoot, b.lastBlock);
    }

    // OP's L2OutputOracle, for viem/op-stack and the Portal. The output of index i is that of batch i.

    /// @inheritdoc IRollup
    function getL2Output(uint256 index) external view returns (OutputProposal memory) {
        Batch memory b = batch(index);
        return OutputProposal({outputRoot: b.outputRoot, timestamp: b.timestamp, l2BlockNumber: b.lastBlock});
    }

    /// @notice Index of the first output at or after L2 block `l2BlockNumber`.
    /// @dev The only text error of these contracts: viem recognises "not posted yet" by OP's exact words.
    function getL2OutputIndexAfter(uint256 l2BlockNumber) external view returns (uint256 low) {
        uint256 high = _batches.length - 1;
        require(
            l2BlockNumber <= _batches[high].lastBlock,
            "L2OutputOracle: cannot get output for a block that has not been proposed"
        );
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (_batches[middle].lastBlock < l2BlockNumber) low = middle + 1;
            else high = middle;
        }
    }

    function latestOutputIndex() external view returns (uint256) {
        return _batches.length - 1;
    }

    function nextOutputIndex() external view returns (uint256) {
        return _batches.length;
    }

    function latestBlockNumber() external view returns (uint256) {
        return _batches[_batches.length - 1].lastBlock;
    }
}
