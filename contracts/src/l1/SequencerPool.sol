// SequencerPool: stake of sequencers, their keys, and the committees drawn from them.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Arrays} from "@openzeppelin/contracts/utils/Arrays.sol";
import {IPortal} from "../interfaces/IPortal.sol";
import {ISequencerPool} from "../interfaces/ISequencerPool.sol";
import {Bls} from "../lib/Bls.sol";
import {CertificateVerifier} from "../lib/CertificateVerifier.sol";
import {CodeStore} from "../lib/CodeStore.sol";
import {Ed25519} from "../lib/Ed25519.sol";
import {Predeploys} from "../lib/Predeploys.sol";
import {CommitteeRegistry} from "../l2/CommitteeRegistry.sol";

/// @notice Open admission: whoever locks between MIN_LOCK and MAX_LOCK and proves possession of a consensus key is queued, and joins the
///         active set at a rotation. Votes count heads, leader slots count stake. Nobody but its owner can move a lock, and the owner only
///         after UNBONDING_PERIOD.
/// @dev Life of a lock: None -> Queued -> Active -> Exiting -> None. Key material lives in key pages and a committee in one code store
///      (both laid out in CertificateVerifier).
contract SequencerPool is ISequencerPool {
    using SafeERC20 for IERC20;

    error LockOutOfRange(uint256 amount, uint256 minLock, uint256 maxLock);
    error RecipientZero();
    error ConsensusKeyLength(uint256 length, uint256 expected);
    error IdentityNotOnCurve(bytes32 identity);
    error IdentityTaken(bytes32 identity, uint64 id);
    error ConsensusKeyTaken(bytes32 keyHash, uint64 id);
    error PossessionNotProven(address owner, bytes32 identity);
    error StakeMismatch(uint256 expected, uint256 received);
    error NotOwner(address caller, uint64 id);
    error WrongStatus(uint64 id, Status status);
    error StillUnbonding(uint64 id, uint256 claimableAt);
    error RotationTooEarly(uint256 nextRotation);
    error NoMembers();
    error UnknownCommittee(uint64 id);
    error UnknownMember(uint64 committeeId, uint256 index);
    error ConfigOutOfRange(string field, uint256 value);

    event Locked(
        uint64 indexed id,
        address indexed owner,
        bytes32 indexed identity,
        bytes consensusKey,
        uint256 amount,
        address recipient
    );
    event Increased(uint64 indexed id, uint256 amount);
    event Joined(uint64 indexed id, uint64 indexed committeeId);
    event ExitStarted(uint64 indexed id, uint256 claimableAt);
    event Claimed(uint64 indexed id, address indexed owner, uint256 amount);
    event CommitteeFixed(uint64 indexed id, bytes32 digest, bytes32 seed, bytes packedMembers);
    event KeysPacked(address indexed page, uint64[] ids);

    enum Status {
        None,
        Queued,
        Active,
        Exiting
    }

    struct Config {
        IERC20 token;
        IPortal portal;
        uint128 minLock; // wei of the token
        uint128 maxLock; // wei of the token
        uint64 unbondingPeriod; // seconds
        uint64 rotationInterval; // seconds
        uint16 maxCommittee; // members
    }

    struct Keys {
        bytes32 identity; // ed25519 public key
        bytes consensusKey; // BLS12-381 G2 point, EIP-2537 encoding, 256 bytes
    }

    struct Sequencer {
        address owner;
        uint64 claimableAt; // L1 time; 0 until the exit
        address recipient; // of rewards
        address keyPage;
        uint16 keyIndex; // record in the page
        Status status;
        uint128 amount; // wei of the token
    }

    struct Committee {
        address code;
        uint64 fixedAt; // L1 time
    }

    /// @notice Namespace of proofs of possession.
    string public constant POSSESSION_NAMESPACE = "OCEANID_POP";
    /// @notice Sequencers that may join at one rotation: the larger of MIN_CHURN and active / CHURN_DIVISOR. The first rotation, which has
    ///         no running committee to protect, takes all it can.
    uint256 public constant MIN_CHURN = 4;
    uint256 public constant CHURN_DIVISOR = 16;
    /// @notice Members of the active set, in the committee or waiting behind it. Bounds the gas of a rotation.
    uint256 public constant MAX_ACTIVE = 256;
    /// @notice Members with a key page of their own at which a rotation copies their records into one shared page: a certificate then reads
    ///         one account for them instead of one per absent member. Each key is copied once in its life.
    uint256 public constant PACK_AT = 16;
    /// @dev Queue entries read in one rotation: those who left while queued are skipped, but not without end.
    uint256 private constant MAX_QUEUE_SCAN = 128;
    /// @dev Packed member of the L2 registry: id u64 | identity 32 | compressed key 96 | weight u128.
    uint256 private constant MEMBER_LENGTH = 152;
    /// @dev L2 gas of setCommittee: fixed part, and per member (152 bytes of calldata at 40, of code at 200, and copying).
    uint64 private constant L2_GAS_BASE = 300_000;
    uint64 private constant L2_GAS_PER_MEMBER = 40_000;

    IERC20 public immutable TOKEN;
    IPortal public immutable PORTAL;
    uint256 public immutable MIN_LOCK;
    uint256 public immutable MAX_LOCK;
    uint256 public immutable UNBONDING_PERIOD;
    uint256 public immutable ROTATION_INTERVAL;
    uint256 public immutable MAX_COMMITTEE;

    /// @notice Sequencers ever registered; ids run from 1.
    uint64 public lastId;
    /// @inheritdoc ISequencerPool
    uint64 public latestCommittee;
    /// @notice L1 time of the last rotation.
    uint64 public lastRotation;
    /// @dev First entry of the queue that no rotation has read.
    uint64 private _queueHead;
    uint64[] private _queue;
    /// @dev After a rotation: the committee in order of identity, then the rest of the active set.
    uint64[] private _active;
    mapping(uint64 id => Sequencer) private _sequencers;
    mapping(uint64 id => Committee) private _committees;
    /// @notice Identity key to id. Never freed, so that a key always names one lock.
    mapping(bytes32 identity => uint64) public idOfIdentity;
    /// @notice keccak256 of a consensus key (EIP-2537 encoding) to id. Never freed.
    mapping(bytes32 keyHash => uint64) public idOfConsensusKey;

    constructor(Config memory config) {
        if (config.minLock == 0 || config.minLock > config.maxLock) revert ConfigOutOfRange("minLock", config.minLock);
        if (config.maxCommittee == 0 || config.maxCommittee > CertificateVerifier.MAX_MEMBERS) {
            revert ConfigOutOfRange("maxCommittee", config.maxCommittee);
        }
        TOKEN = config.token;
        PORTAL = config.portal;
        MIN_LOCK = config.minLock;
        MAX_LOCK = config.maxLock;
        UNBONDING_PERIOD = config.unbondingPeriod;
        ROTATION_INTERVAL = config.rotationInterval;
        MAX_COMMITTEE = config.maxCommittee;
    }

    // ---- stake ----

    /// @notice Locks `amount` and queues a new sequencer owned by the caller.
    /// @param possession G1 signature (EIP-2537, 128 bytes) by the consensus key over `possessionMessage`, with the tag
    ///        BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_.
    /// @param amount Wei of the token, pulled from the caller.
    /// @param recipient Of rewards, on L1.
    function lock(Keys calldata keys, bytes calldata possession, uint256 amount, address recipient)
        external
        returns (uint64 id)
    {
        if (amount < MIN_LOCK || amount > MAX_LOCK) revert LockOutOfRange(amount, MIN_LOCK, MAX_LOCK);
        if (recipient == address(0)) revert RecipientZero();
        if (keys.consensusKey.length != Bls.G2_LENGTH) {
            revert ConsensusKeyLength(keys.consensusKey.length, Bls.G2_LENGTH);
        }
        id = ++lastId;
        _register(id, keys, possession);
        _pull(amount);

        Sequencer storage s = _sequencers[id];
        (s.owner, s.recipient) = (msg.sender, recipient);
        (s.keyPage, s.keyIndex, s.status) = (_writeRecord(keys), 0, Status.Queued);
        s.amount = uint128(amount);
        _queue.push(id);
        emit Locked(id, msg.sender, keys.identity, keys.consensusKey, amount, recipient);
    }

    /// @notice Adds to a lock, up to MAX_LOCK. Counts from the next rotation.
    function increase(uint64 id, uint256 amount) external {
        Sequencer storage s = _owned(id);
        if (s.status != Status.Queued && s.status != Status.Active) revert WrongStatus(id, s.status);
        uint256 total = s.amount + amount;
        if (total > MAX_LOCK) revert LockOutOfRange(total, MIN_LOCK, MAX_LOCK);
        s.amount = uint128(total);
        _pull(amount);
        emit Increased(id, amount);
    }

    /// @notice Leaves the queue now, or the active set at the next rotation. The lock is claimable UNBONDING_PERIOD from now.
    function exit(uint64 id) external {
        Sequencer storage s = _owned(id);
        if (s.status != Status.Queued && s.status != Status.Active) revert WrongStatus(id, s.status);
        (s.status, s.claimableAt) = (Status.Exiting, uint64(block.timestamp + UNBONDING_PERIOD));
        emit ExitStarted(id, s.claimableAt);
    }

    /// @notice Pays out a lock whose unbonding is over, to its owner.
    function claim(uint64 id) external {
        Sequencer storage s = _owned(id);
        if (s.status != Status.Exiting) revert WrongStatus(id, s.status);
        if (block.timestamp < s.claimableAt) revert StillUnbonding(id, s.claimableAt);
        uint256 amount = s.amount;
        (s.amount, s.status) = (0, Status.None);
        TOKEN.safeTransfer(msg.sender, amount);
        emit Claimed(id, msg.sender, amount);
    }

    /// @notice The signed bytes of a proof of possession, as commonware frames a namespaced message:
    ///         0x0b | "OCEANID_POP" | chain id u64 | pool 20 | owner 20 | identity 32 | consensus key 256 (EIP-2537), big-endian.
    /// @dev The owner is inside, so that nobody can register a key they saw in somebody else's pending transaction.
    function possessionMessage(address owner, Keys calldata keys) public view returns (bytes memory) {
        return abi.encodePacked(
            uint8(bytes(POSSESSION_NAMESPACE).length),
            POSSESSION_NAMESPACE,
            uint64(block.chainid),
            address(this),
            owner,
            keys.identity,
            keys.consensusKey
        );
    }

    function _register(uint64 id, Keys calldata keys, bytes calldata possession) private {
        if (!Ed25519.isPoint(keys.identity)) revert IdentityNotOnCurve(keys.identity);
        uint64 taken = idOfIdentity[keys.identity];
        if (taken != 0) revert IdentityTaken(keys.identity, taken);
        bytes32 keyHash = keccak256(keys.consensusKey);
        taken = idOfConsensusKey[keyHash];
        if (taken != 0) revert ConsensusKeyTaken(keyHash, taken);
        idOfIdentity[keys.identity] = id;
        idOfConsensusKey[keyHash] = id;

        bytes memory key = keys.consensusKey;
        if (!Bls.verify(possessionMessage(msg.sender, keys), Bls.DST_POSSESSION, _at(key, 0), possession)) {
            revert PossessionNotProven(msg.sender, keys.identity);
        }
    }

    /// @dev A page of one record.
    function _writeRecord(Keys calldata keys) private returns (address page) {
        bytes memory key = keys.consensusKey;
        bytes memory record = new bytes(CertificateVerifier.RECORD_LENGTH);
        bytes32 identity = keys.identity;
        assembly ("memory-safe") {
            mstore(add(record, 32), identity)
        }
        Bls.pack(_at(key, 0), _at(record, 32));
        return CodeStore.write(record);
    }

    function _pull(uint256 amount) private {
        uint256 before = TOKEN.balanceOf(address(this));
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = TOKEN.balanceOf(address(this)) - before;
        if (received != amount) revert StakeMismatch(amount, received);
    }

    function _owned(uint64 id) private view returns (Sequencer storage s) {
        s = _sequencers[id];
        if (s.owner != msg.sender) revert NotOwner(msg.sender, id);
    }

    // ---- committees ----

    /// @notice Fixes the next committee and sends it to L2: drops those who left, lets the queue in up to the churn limit, takes the
    ///         MAX_COMMITTEE largest locks (ties: the smaller id), in ascending order of identity. Anyone may call, once per
    ///         ROTATION_INTERVAL.
    /// @dev The seed takes `prevrandao` in only after membership is fixed by this same call's earlier steps and state before it; who calls
    ///      can choose the block, and a block's proposer one bit of it, but neither can choose members to suit the seed.
    function rotate() external returns (uint64 id) {
        if (latestCommittee != 0 && block.timestamp < lastRotation + ROTATION_INTERVAL) {
            revert RotationTooEarly(lastRotation + ROTATION_INTERVAL);
        }
        id = latestCommittee + 1;
        uint64[] memory active = _nextActive(id);
        if (active.length == 0) revert NoMembers();
        uint256[] memory weights = _weights(active);
        uint256 size = _selectTop(active, weights);
        bytes[] memory records = _loadRecords(active, size);
        _sortByIdentity(active, weights, records);
        _storeActive(active);
        _packSingles(active, records);

        (bytes memory packed, bytes memory code) = _assemble(active, weights, records);
        bytes32 seed = keccak256(abi.encodePacked(block.prevrandao, id, keccak256(packed)));
        bytes32 digest = keccak256(abi.encodePacked(id, seed, packed));
        assembly ("memory-safe") {
            mstore(add(code, 32), digest)
            mstore(add(code, 64), seed)
        }
        latestCommittee = id;
        lastRotation = uint64(block.timestamp);
        _committees[id] = Committee({code: CodeStore.write(code), fixedAt: uint64(block.timestamp)});
        emit CommitteeFixed(id, digest, seed, packed);
        PORTAL.depositTransaction(
            Predeploys.COMMITTEE_REGISTRY,
            0,
            L2_GAS_BASE + L2_GAS_PER_MEMBER * uint64(size),
            false,
            abi.encodeCall(CommitteeRegistry.setCommittee, (id, seed, packed))
        );
    }

    /// @notice Copies the key records of the newest committee into one page, for the committees after it. Rotations do this for newcomers
    ///         (PACK_AT); after long churn this gathers the rest. Costs about 57,000 gas a member and changes nothing but gas.
    function packKeys() external returns (address page) {
        address code = committeeCode(latestCommittee);
        uint64[] memory ids = new uint64[](CertificateVerifier.sizeOf(code));
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = _memberId(code, i);
        }
        return _writePage(ids, _loadRecords(ids, ids.length));
    }

    /// @dev Shares one page between the committee members whose record lies alone, once there are PACK_AT of them.
    function _packSingles(uint64[] memory ids, bytes[] memory records) private {
        uint256 size = records.length;
        uint64[] memory singles = new uint64[](size);
        bytes[] memory theirs = new bytes[](size);
        uint256 count;
        for (uint256 i = 0; i < size; ++i) {
            if (CodeStore.size(_sequencers[ids[i]].keyPage) != CertificateVerifier.RECORD_LENGTH) continue;
            (singles[count], theirs[count]) = (ids[i], records[i]);
            ++count;
        }
        if (count < PACK_AT) return;
        assembly ("memory-safe") {
            mstore(singles, count)
            mstore(theirs, count)
        }
        _writePage(singles, theirs);
    }

    /// @dev A committee has at most 100 members and a page room for 109 records.
    function _writePage(uint64[] memory ids, bytes[] memory records) private returns (address page) {
        bytes memory all = new bytes(ids.length * CertificateVerifier.RECORD_LENGTH);
        for (uint256 i = 0; i < ids.length; ++i) {
            uint256 from = _at(records[i], 0);
            uint256 to = _at(all, i * CertificateVerifier.RECORD_LENGTH);
            assembly ("memory-safe") {
                mcopy(to, from, 224) // RECORD_LENGTH
            }
        }
        page = CodeStore.write(all);
        for (uint256 i = 0; i < ids.length; ++i) {
            Sequencer storage s = _sequencers[ids[i]];
            (s.keyPage, s.keyIndex) = (page, uint16(i));
        }
        emit KeysPacked(page, ids);
    }

    /// @dev The active set without those exiting, with those joining at committee `committeeId` behind it.
    function _nextActive(uint64 committeeId) private returns (uint64[] memory active) {
        uint256 before = _active.length;
        active = new uint64[](MAX_ACTIVE);
        uint256 count;
        for (uint256 i = 0; i < before; ++i) {
            uint64 id = _active[i];
            if (_sequencers[id].status == Status.Active) active[count++] = id;
        }

        uint256 churn = count / CHURN_DIVISOR;
        if (churn < MIN_CHURN) churn = MIN_CHURN;
        if (committeeId == 1) churn = MAX_ACTIVE;
        uint256 head = _queueHead;
        uint256 end = _queue.length;
        if (end > head + MAX_QUEUE_SCAN) end = head + MAX_QUEUE_SCAN;
        for (; head < end && churn != 0 && count < MAX_ACTIVE; ++head) {
            uint64 id = _queue[head];
            Sequencer storage s = _sequencers[id];
            if (s.status != Status.Queued) continue; // left while queued
            s.status = Status.Active;
            active[count++] = id;
            --churn;
            emit Joined(id, committeeId);
        }
        _queueHead = uint64(head);
        assembly ("memory-safe") {
            mstore(active, count)
        }
    }

    function _weights(uint64[] memory ids) private view returns (uint256[] memory weights) {
        weights = new uint256[](ids.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            weights[i] = _sequencers[ids[i]].amount;
        }
    }

    /// @dev Moves the MAX_COMMITTEE largest locks to the front, keeping the order within both parts; returns how many.
    function _selectTop(uint64[] memory ids, uint256[] memory weights) private view returns (uint256) {
        uint256 count = ids.length;
        if (count <= MAX_COMMITTEE) return count;
        // Larger lock first, then smaller id; the ranks are distinct.
        uint256[] memory ranks = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            ranks[i] = weights[i] << 64 | (type(uint64).max - ids[i]);
        }
        uint256[] memory sorted = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            sorted[i] = ranks[i];
        }
        Arrays.sort(sorted);
        uint256 lowest = sorted[count - MAX_COMMITTEE];

        uint64[] memory allIds = new uint64[](count);
        uint256[] memory allWeights = new uint256[](count);
        uint256 front;
        uint256 back = MAX_COMMITTEE;
        for (uint256 i = 0; i < count; ++i) {
            uint256 to = ranks[i] >= lowest ? front++ : back++;
            (allIds[to], allWeights[to]) = (ids[i], weights[i]);
        }
        for (uint256 i = 0; i < count; ++i) {
            (ids[i], weights[i]) = (allIds[i], allWeights[i]);
        }
        return MAX_COMMITTEE;
    }

    /// @dev Key records (identity 32 | packed key 192) of the first `size` ids.
    function _loadRecords(uint64[] memory ids, uint256 size) private view returns (bytes[] memory records) {
        records = new bytes[](size);
        for (uint256 i = 0; i < size; ++i) {
            Sequencer storage s = _sequencers[ids[i]];
            records[i] = CodeStore.read(
                s.keyPage, s.keyIndex * CertificateVerifier.RECORD_LENGTH, CertificateVerifier.RECORD_LENGTH
            );
        }
    }

    /// @dev Sorts the committee (as long as `records`) in place. The order of the last rotation is kept in storage, so this is insertion
    ///      of a few newcomers into a sorted list.
    function _sortByIdentity(uint64[] memory ids, uint256[] memory weights, bytes[] memory records) private pure {
        for (uint256 i = 1; i < records.length; ++i) {
            (uint64 id, uint256 weight, bytes memory record) = (ids[i], weights[i], records[i]);
            bytes32 identity = _identity(record);
            uint256 j = i;
            for (; j != 0 && _identity(records[j - 1]) > identity; --j) {
                (ids[j], weights[j], records[j]) = (ids[j - 1], weights[j - 1], records[j - 1]);
            }
            if (j != i) (ids[j], weights[j], records[j]) = (id, weight, record);
        }
    }

    /// @dev Writes the active set back; only entries that changed cost a write.
    function _storeActive(uint64[] memory active) private {
        uint256 before = _active.length;
        for (uint256 i = 0; i < active.length; ++i) {
            if (i >= before) _active.push(active[i]);
            else if (_active[i] != active[i]) _active[i] = active[i];
        }
        for (uint256 i = active.length; i < before; ++i) {
            _active.pop();
        }
    }

    /// @dev The packed members for L2 and events, and the committee's code with digest and seed still zero.
    function _assemble(uint64[] memory ids, uint256[] memory weights, bytes[] memory records)
        private
        view
        returns (bytes memory packed, bytes memory code)
    {
        uint256 size = records.length;
        // Words are written whole: each array has room for the tail of the last one and is cut to length afterwards.
        packed = new bytes(size * MEMBER_LENGTH + 32);
        code = new bytes(CertificateVerifier.ENTRIES_OFFSET - 1 + size * CertificateVerifier.ENTRY_LENGTH + 32);
        uint256 sum = _at(new bytes(2 * Bls.G2_LENGTH), 0);
        for (uint256 i = 0; i < size; ++i) {
            Sequencer storage s = _sequencers[ids[i]];
            uint256 record = _at(records[i], 0);
            uint256 member = _at(packed, i * MEMBER_LENGTH);
            uint256 id = ids[i];
            uint256 weight = weights[i];
            uint256 entryAt = _at(code, CertificateVerifier.ENTRIES_OFFSET - 1 + i * CertificateVerifier.ENTRY_LENGTH);
            uint256 entry = id << 192 | uint256(uint160(s.keyPage)) << 32 | uint256(s.keyIndex) << 16;
            assembly ("memory-safe") {
                mstore(member, shl(192, id))
                mcopy(add(member, 8), record, 32)
                mstore(add(member, 136), shl(128, weight))
                mstore(entryAt, entry)
            }
            Bls.compress(record + 32, member + 40);
            Bls.pad(record + 32, i == 0 ? sum : sum + Bls.G2_LENGTH);
            if (i != 0) assert(Bls.addInPlace(sum)); // registered keys are on the curve
        }
        Bls.pack(sum, _at(code, CertificateVerifier.AGGREGATE_OFFSET - 1));
        assembly ("memory-safe") {
            mstore(packed, sub(mload(packed), 32))
            mstore(code, sub(mload(code), 32))
        }
    }

    /// @dev Memory address of byte `offset` of `data`.
    function _at(bytes memory data, uint256 offset) private pure returns (uint256 p) {
        assembly ("memory-safe") {
            p := add(add(data, 32), offset)
        }
    }

    function _identity(bytes memory record) private pure returns (bytes32 identity) {
        assembly ("memory-safe") {
            identity := mload(add(record, 32))
        }
    }

    function _memberId(address code, uint256 index) private view returns (uint64) {
        return uint64(
            uint256(
                bytes32(
                    CodeStore.read(
                        code, CertificateVerifier.ENTRIES_OFFSET - 1 + index * CertificateVerifier.ENTRY_LENGTH, 8
                    )
                )
            ) >> 192
        );
    }

    // ---- views ----

    /// @inheritdoc ISequencerPool
    function committeeCode(uint64 id) public view returns (address code) {
        code = _committees[id].code;
        if (code == address(0)) revert UnknownCommittee(id);
    }

    /// @notice A fixed committee. `digest` = keccak256(id u64 | seed | packedMembers); `fixedAt` is an L1 time.
    function committee(uint64 id)
        external
        view
        returns (uint256 size, bytes32 digest, bytes32 seed, uint64 fixedAt, address code, uint64[] memory memberIds)
    {
        code = committeeCode(id);
        size = CertificateVerifier.sizeOf(code);
        digest = bytes32(CodeStore.read(code, CertificateVerifier.DIGEST_OFFSET - 1, 32));
        seed = bytes32(CodeStore.read(code, CertificateVerifier.SEED_OFFSET - 1, 32));
        fixedAt = _committees[id].fixedAt;
        memberIds = new uint64[](size);
        for (uint256 i = 0; i < size; ++i) {
            memberIds[i] = _memberId(code, i);
        }
    }

    /// @notice Sum of the consensus keys of committee `id`, EIP-2537 encoding.
    function aggregateKey(uint64 id) external view returns (bytes memory) {
        return
            _padded(CodeStore.read(committeeCode(id), CertificateVerifier.AGGREGATE_OFFSET - 1, Bls.G2_PACKED_LENGTH));
    }

    /// @notice Consensus key of signer `index` of committee `id`, EIP-2537 encoding.
    function memberKey(uint64 id, uint256 index) external view returns (bytes memory) {
        address code = committeeCode(id);
        if (index >= CertificateVerifier.sizeOf(code)) revert UnknownMember(id, index);
        Sequencer storage s = _sequencers[_memberId(code, index)];
        return
            _padded(
                CodeStore.read(s.keyPage, s.keyIndex * CertificateVerifier.RECORD_LENGTH + 32, Bls.G2_PACKED_LENGTH)
            );
    }

    /// @notice Record of sequencer `id`; all zero for an unknown one.
    function sequencer(uint64 id) external view returns (Sequencer memory) {
        return _sequencers[id];
    }

    /// @notice Ids in the active set as of the last rotation (those who exited since are still listed).
    function activeSet() external view returns (uint64[] memory) {
        return _active;
    }

    /// @notice Queue entries that no rotation has read, those who left while queued included.
    function queueLength() external view returns (uint256) {
        return _queue.length - _queueHead;
    }

    /// @notice Smallest stake, in wei of the token, that can keep the newest committee from finalising: a third of the seats and one.
    function costToStall() external view returns (uint256) {
        return ((CertificateVerifier.sizeOf(committeeCode(latestCommittee)) - 1) / 3 + 1) * MIN_LOCK;
    }

    /// @notice Smallest stake, in wei of the token, that can finalise alone: a quorum of the seats.
    function costToFinalise() external view returns (uint256) {
        return CertificateVerifier.quorum(CertificateVerifier.sizeOf(committeeCode(latestCommittee))) * MIN_LOCK;
    }

    function _padded(bytes memory packed) private pure returns (bytes memory key) {
        key = new bytes(Bls.G2_LENGTH);
        Bls.pad(_at(packed, 0), _at(key, 0));
    }
}
