// SequencerPool: stake of sequencers, their keys, and the committees drawn from them.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Blockhash} from "@openzeppelin/contracts/utils/Blockhash.sol";
import {IMiningRewards} from "../interfaces/IMiningRewards.sol";
import {IPortal} from "../interfaces/IPortal.sol";
import {ISequencerPool, Sequencer, Status, Ticket} from "../interfaces/ISequencerPool.sol";
import {IUnbondingTicket} from "../interfaces/IUnbondingTicket.sol";
import {CertificateVerifier} from "../lib/CertificateVerifier.sol";
import {CodeStore} from "../lib/CodeStore.sol";
import {L1Header} from "../lib/L1Header.sol";
import {Predeploys} from "../lib/Predeploys.sol";
import {Sort} from "../lib/Sort.sol";
import {CommitteeRegistry} from "../l2/CommitteeRegistry.sol";
import {Candidate, Chosen, CommitteeBuilder, KeyErrors, Keys} from "./CommitteeBuilder.sol";

/// @notice Open admission: whoever locks between minLock and maxLock and proves possession of a consensus key is queued, and joins the
///         active set at a rotation. Votes count heads, leader slots count stake. Stake leaves in one way only: as a ticket (UnbondingTicket)
///         that a slash still reaches and that is paid UNBONDING_PERIOD after its issue. The governor moves parameters; none of this
///         contract's can take stake.
/// @dev Life of a lock: None -> Queued -> Active -> Exiting -> None, with Jailed aside. A record whose status is not Active or Exiting drops
///      out of the active set at the next rotation. Key material lives in key pages and a committee in one code store (both laid out in
///      CertificateVerifier). Token balance = totalLocked + totalTickets + totalSlashShares (+ what strangers send).
contract SequencerPool is ISequencerPool, KeyErrors {
    using SafeERC20 for IERC20;

    error ConfigOutOfRange(string field, uint256 value);
    error LockOutOfRange(uint256 amount, uint256 minLock, uint256 maxLock);
    error AmountZero();
    error DecreaseTooSmall(uint256 amount, uint256 minimum);
    error RecipientZero();
    error OwnerZero();
    error IdentityTaken(bytes32 identity, uint64 id);
    error ConsensusKeyTaken(bytes32 keyHash, uint64 id);
    error KeysUpdatedTooEarly(uint64 id, uint256 nextUpdate);
    error StakeMismatch(uint256 expected, uint256 received);
    error JoinsPaused();
    error QueueFull(uint256 smallest);
    error UnknownSequencer(uint64 id);
    error NotOwner(address caller, uint64 id);
    error NotSlasher(address caller);
    error NotGovernor(address caller);
    error WrongStatus(uint64 id, Status status);
    error TooManyTickets(uint64 id, uint256 limit);
    error UnknownTicket(uint256 ticketId);
    error StillUnbonding(uint256 ticketId, uint256 claimableAt);
    error StillInExitQueue(uint64 id, uint256 completableAt);
    error NotJailable(uint64 id);
    error StillJailed(uint64 id, uint256 until);
    error NothingToClaim(address account);
    error RotationTooEarly(uint256 nextRotation);
    error NoMembers();
    /// @dev The committee chosen last waits for its seed.
    error NotSealed(uint64 id, uint256 sealBlock);
    error NothingToSeal();
    error SealTooEarly(uint256 sealBlock);
    /// @dev L1 has forgotten the block's hash: `rotate` names another.
    error SealTooLate(uint256 sealBlock);
    error NotTheSealBlock(uint256 sealBlock, bytes32 hash, bytes32 ofHeader);
    error NotTheChosen(uint64 id, bytes32 contentsHash);
    error UnknownCommittee(uint64 id);
    error UnknownMember(uint64 committeeId, uint256 index);

    event Locked(
        uint64 indexed id,
        address indexed owner,
        bytes32 indexed identity,
        bytes consensusKey,
        uint256 amount,
        address recipient
    );
    event Increased(uint64 indexed id, address indexed payer, uint256 amount);
    event Displaced(uint64 indexed id, uint64 indexed by);
    event Joined(uint64 indexed id, uint64 indexed committeeId);
    event ExitStarted(uint64 indexed id, uint256 completableAt);
    event Left(uint64 indexed id);
    event TicketIssued(
        uint256 indexed ticketId, uint64 indexed id, address indexed owner, uint256 amount, uint256 claimableAt
    );
    event Claimed(uint256 indexed ticketId, address indexed owner, uint256 amount);
    event Slashed(uint64 indexed id, address indexed reporter, uint256 penalty, uint256 reporterShare);
    event TicketSlashed(uint256 indexed ticketId, uint256 amount);
    event SlashShareClaimed(address indexed reporter, uint256 amount);
    event Jailed(uint64 indexed id, uint256 until);
    event Unjailed(uint64 indexed id);
    event ExitForced(uint64 indexed id, address indexed by);
    event KeysUpdated(uint64 indexed id, bytes32 indexed identity, bytes consensusKey);
    event RecipientSet(uint64 indexed id, address indexed recipient);
    event PosterSet(uint64 indexed id, address indexed poster);
    event OwnershipTransferred(uint64 indexed id, address indexed from, address indexed to);
    /// @dev `code` is that of its code store, digest and seed zero; both are what `seal` takes.
    event CommitteeChosen(uint64 indexed id, uint256 sealBlock, bytes packedMembers, bytes code);
    event SealPostponed(uint64 indexed id, uint256 sealBlock);
    event CommitteeFixed(uint64 indexed id, bytes32 digest, bytes32 seed, bytes packedMembers);
    event KeysPacked(address indexed page, uint64[] ids);
    event LockLimitsSet(uint256 minLock, uint256 maxLock);
    event MaxCommitteeSet(uint256 maxCommittee);
    event JailPeriodSet(uint256 jailPeriod);
    event ReporterShareSet(uint256 reporterShareBps);
    event JoinsPausedSet(bool paused);

    /// @dev Addresses may be predicted ones.
    struct Config {
        IERC20 token;
        IPortal portal;
        IUnbondingTicket ticket;
        address slasher;
        IMiningRewards rewards;
        address governor; // the Timelock
        uint128 minLock; // wei of the token
        uint128 maxLock; // wei of the token
        uint64 unbondingPeriod; // seconds
        uint64 rotationInterval; // seconds
        uint16 sealDelay; // L1 blocks, MIN_SEAL_DELAY to MAX_SEAL_DELAY
        uint16 maxCommittee; // members
        uint64 jailPeriod; // seconds, at most unbondingPeriod
        uint16 reporterShareBps; // at most MAX_REPORTER_SHARE_BPS
        address insurance; // takes what a slash leaves after the reporter's share; zero: burnt
    }

    struct Committee {
        address code;
        uint64 fixedAt; // L1 time
    }

    /// @notice The committee chosen last, until it has its seed.
    struct Draft {
        bytes32 contentsHash; // keccak256(abi.encode(packedMembers, code))
        uint64 chosenIn; // L1 block that has its CommitteeChosen
        uint64 sealBlock; // L1 block whose randomness it takes; 0: there is none to seal
    }

    /// @notice Namespace of proofs of possession.
    string public constant POSSESSION_NAMESPACE = "OCEANID_POP";
    /// @notice Sequencers that may join, and as many that may leave, at one rotation: the larger of MIN_CHURN and active / CHURN_DIVISOR. The
    ///         first rotation, which has no running committee to protect, takes all it can.
    uint256 public constant MIN_CHURN = 4;
    uint256 public constant CHURN_DIVISOR = 16;
    /// @notice Members of the active set, in the committee or waiting behind it. Bounds the gas of a rotation.
    uint256 public constant MAX_ACTIVE = 256;
    /// @notice Places in the queue for new locks. Behind that, only a larger one gets in, in place of the smallest.
    uint256 public constant MAX_QUEUE = 128;
    /// @notice Unclaimed tickets of one sequencer, the last place kept for its exit. Bounds the gas of a slash.
    uint256 public constant MAX_OPEN_TICKETS = 32;
    /// @notice The smallest decrease, as a part of the deployment's minLock (one token of 20,000): a ticket makes a slash dearer, so it has to
    ///         hold stake. What makes a slash of many payable is `Slasher.submitFork`'s `among`.
    uint256 public constant DECREASE_DIVISOR = 20_000;
    /// @notice Rotation intervals after which an exit needs no rotation any more.
    uint256 public constant EXIT_WAIT_INTERVALS = 16;
    /// @notice Bounds of SEAL_DELAY. A block has the randomness of the reveals before it (EIP-4399), so that of the block behind the rotation's
    ///         (delay 1) is known to whoever builds the rotation's block, who could try locks until the seed suits it. With a delay of n it
    ///         hangs on n - 1 blocks more; who builds the last of them may withhold it, and so choose between two seeds.
    uint256 public constant MIN_SEAL_DELAY = 2;
    uint256 public constant MAX_SEAL_DELAY = 64;
    /// @notice How far the governor may move the lock limits from those of the deployment, as a factor.
    uint256 public constant LIMIT_RANGE = 10;
    /// @notice Smallest committee the governor may choose: the smallest that bears a fault.
    uint256 public constant MIN_COMMITTEE = 4;
    uint256 public constant BPS = 10_000;
    uint256 public constant MAX_REPORTER_SHARE_BPS = 5_000;
    /// @notice Where burnt stake goes.
    address public constant BURN = 0x000000000000000000000000000000000000dEaD;
    /// @dev L2 gas of setCommittee: fixed part, and per member (152 bytes of calldata at 40, of code at 200, and copying).
    uint64 private constant L2_GAS_BASE = 300_000;
    uint64 private constant L2_GAS_PER_MEMBER = 40_000;

    IERC20 public immutable TOKEN;
    IPortal public immutable PORTAL;
    IUnbondingTicket public immutable TICKET;
    CommitteeBuilder public immutable BUILDER;
    address public immutable SLASHER;
    IMiningRewards public immutable REWARDS;
    address public immutable GOVERNOR;
    /// @notice Who takes what a slash leaves after the reporter's share; zero: it is burnt. Nobody can turn it to another address.
    address public immutable INSURANCE;
    uint256 public immutable UNBONDING_PERIOD;
    uint256 public immutable ROTATION_INTERVAL;
    /// @notice L1 blocks between the choice of a committee and the block that gives its seed.
    uint256 public immutable SEAL_DELAY;
    /// @notice Bounds of the lock limits, wei of the token.
    uint256 public immutable LOWEST_MIN_LOCK;
    uint256 public immutable HIGHEST_MAX_LOCK;
    /// @notice Wei of the token.
    uint256 public immutable MIN_DECREASE;

    /// @notice Sequencers ever registered; ids run from 1.
    uint64 public lastId;
    /// @notice Tickets ever issued; ids run from 1.
    uint64 public lastTicket;
    /// @inheritdoc ISequencerPool
    uint64 public latestCommittee;
    /// @notice L1 time of the last rotation.
    uint64 public lastRotation;
    /// @notice What `seal` waits for.
    Draft public draft;

    /// @notice Sum of all locks, wei of the token.
    uint128 public totalLocked;
    /// @notice Sum of all unclaimed tickets, wei of the token.
    uint128 public totalTickets;

    /// @notice Limits of a lock, wei of the token. They bind what is added; a lock outside of them stays, and can leave.
    uint128 public minLock;
    uint128 public maxLock;

    /// @notice Sum of reporters' shares not yet claimed, wei of the token.
    uint128 public totalSlashShares;
    /// @notice Seconds in jail before the owner may come back.
    uint64 public jailPeriod;
    /// @dev First entry of `_queue` still waiting.
    uint64 private _queueHead;

    /// @notice Reporter's share of a slash, 1/10,000.
    uint16 public reporterShareBps;
    /// @notice Seats of a committee.
    uint16 public maxCommittee;
    /// @notice While set nobody locks or moves from the queue to the active set. Leaving, and coming back from jail to the queue, is never
    ///         affected.
    bool public joinsPaused;

    uint64[] private _queue;
    /// @dev After a rotation: the committee in order of identity, then the rest of the active set.
    uint64[] private _active;
    mapping(uint64 id => Sequencer) private _sequencers;
    mapping(uint64 id => uint64[]) private _ticketsOf;
    mapping(uint256 ticketId => Ticket) private _tickets;
    mapping(uint64 id => Committee) private _committees;
    /// @inheritdoc ISequencerPool
    /// @dev Never freed, so that a key always names one lock.
    mapping(bytes32 identity => uint64) public idOfIdentity;
    /// @inheritdoc ISequencerPool
    /// @dev Never freed either: who signed with a key it has since replaced is still found.
    mapping(bytes32 keyHash => uint64) public idOfConsensusKey;
    /// @notice L1 time of the last `updateKeys` of `id`; 0 if there was none.
    mapping(uint64 id => uint256) public keysUpdatedAt;
    /// @notice Who posts batches for `id`; zero: nobody, as for one that left.
    mapping(uint64 id => address) public posterOf;
    /// @dev Sequencers that name an account. Counted, so that nobody can take a name away that another gave.
    mapping(address account => uint256) private _namedBy;
    /// @notice Reporters' shares of slashes, wei of the token.
    mapping(address reporter => uint256) public slashShareOf;

    constructor(Config memory config) {
        TOKEN = config.token;
        PORTAL = config.portal;
        TICKET = config.ticket;
        BUILDER = new CommitteeBuilder();
        SLASHER = config.slasher;
        REWARDS = config.rewards;
        GOVERNOR = config.governor;
        UNBONDING_PERIOD = config.unbondingPeriod;
        ROTATION_INTERVAL = config.rotationInterval;
        LOWEST_MIN_LOCK = (config.minLock + LIMIT_RANGE - 1) / LIMIT_RANGE;
        HIGHEST_MAX_LOCK = config.maxLock * LIMIT_RANGE;
        MIN_DECREASE = (config.minLock + DECREASE_DIVISOR - 1) / DECREASE_DIVISOR;
        if (config.maxCommittee == 0 || config.maxCommittee > CertificateVerifier.MAX_MEMBERS) {
            revert ConfigOutOfRange("maxCommittee", config.maxCommittee);
        }
        maxCommittee = config.maxCommittee;
        if (config.sealDelay < MIN_SEAL_DELAY || config.sealDelay > MAX_SEAL_DELAY) {
            revert ConfigOutOfRange("sealDelay", config.sealDelay);
        }
        SEAL_DELAY = config.sealDelay;
        _setLockLimits(config.minLock, config.maxLock);
        _setJailPeriod(config.jailPeriod);
        _setReporterShare(config.reporterShareBps);
        if (config.insurance == address(this)) revert ConfigOutOfRange("insurance", uint160(config.insurance));
        INSURANCE = config.insurance;
    }

    // ---- joining ----

    /// @notice Locks `amount` and queues a new sequencer owned by the caller. If the queue is full it takes the place of the smallest queued
    ///         lock (of equals the youngest), if it is larger; the displaced stake becomes a ticket.
    /// @param possession G1 signature (EIP-2537, 128 bytes) by the consensus key over `possessionMessage`, with the tag
    ///        BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_.
    /// @param amount Wei of the token, pulled from the caller.
    /// @param recipient Of rewards, on L1.
    /// @param poster As in `setPoster`.
    function lock(Keys calldata keys, bytes calldata possession, uint256 amount, address recipient, address poster)
        external
        returns (uint64 id)
    {
        _checkLimits(amount);
        if (recipient == address(0)) revert RecipientZero();
        id = ++lastId;
        _bindKeys(id, keys, possession);
        _pull(amount);

        Sequencer storage s = _sequencers[id];
        (s.owner, s.recipient, s.amount) = (msg.sender, recipient, uint128(amount));
        totalLocked += uint128(amount);
        if (joinsPaused) revert JoinsPaused();
        if (queueLength() >= MAX_QUEUE) _displace(id, amount);
        _enqueue(id);
        emit Locked(id, msg.sender, keys.identity, keys.consensusKey, amount, recipient);
        if (poster != address(0)) _setPoster(id, poster);
    }

    /// @notice Adds to a lock, up to maxLock. Counts from the next rotation.
    function increase(uint64 id, uint256 amount) external {
        _owned(id);
        _increase(id, amount);
    }

    /// @inheritdoc ISequencerPool
    function increaseFor(uint64 id, uint256 amount) external {
        _increase(id, amount);
    }

    /// @notice New keys, effective from the next rotation, at most once per ROTATION_INTERVAL: an identity key is not proven to be its
    ///         registrant's, and a lock could otherwise bind everybody's. Either may stay; whatever was replaced stays bound to `id` for
    ///         ever, so that what it signed can still be slashed.
    /// @param possession As in `lock`.
    function updateKeys(uint64 id, Keys calldata keys, bytes calldata possession) external {
        _owned(id);
        _staying(id);
        uint256 next = keysUpdatedAt[id] + ROTATION_INTERVAL;
        if (keysUpdatedAt[id] != 0 && block.timestamp < next) revert KeysUpdatedTooEarly(id, next);
        keysUpdatedAt[id] = block.timestamp;
        _bindKeys(id, keys, possession);
        emit KeysUpdated(id, keys.identity, keys.consensusKey);
    }

    /// @notice Who takes the rewards of `id`, on L1.
    function setRecipient(uint64 id, address recipient) external {
        Sequencer storage s = _owned(id);
        if (recipient == address(0)) revert RecipientZero();
        s.recipient = recipient;
        emit RecipientSet(id, recipient);
    }

    /// @notice Which account posts batches for `id`, so that `Rollup` counts what it spends on them; zero: none.
    function setPoster(uint64 id, address poster) external {
        _owned(id);
        _staying(id);
        _setPoster(id, poster);
    }

    function _setPoster(uint64 id, address poster) private {
        address before = posterOf[id];
        if (before != address(0)) --_namedBy[before];
        if (poster != address(0)) ++_namedBy[poster];
        posterOf[id] = poster;
        emit PosterSet(id, poster);
    }

    /// @notice Hands `id` over. Tickets issued before stay with those who own them.
    function transferOwnership(uint64 id, address newOwner) external {
        Sequencer storage s = _owned(id);
        if (newOwner == address(0)) revert OwnerZero();
        s.owner = newOwner;
        emit OwnershipTransferred(id, msg.sender, newOwner);
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

    function _increase(uint64 id, uint256 amount) private {
        Sequencer storage s = _staying(id);
        if (amount == 0) revert AmountZero();
        uint256 total = s.amount + amount;
        if (total > maxLock) revert LockOutOfRange(total, minLock, maxLock);
        s.amount = uint128(total);
        totalLocked += uint128(amount);
        _pull(amount);
        emit Increased(id, msg.sender, amount);
    }

    /// @dev Checks keys and their proof, binds them to `id` for ever and writes them to a page of one record.
    function _bindKeys(uint64 id, Keys calldata keys, bytes calldata possession) private {
        uint64 taken = idOfIdentity[keys.identity];
        if (taken != 0 && taken != id) revert IdentityTaken(keys.identity, taken);
        bytes32 keyHash = keccak256(keys.consensusKey);
        taken = idOfConsensusKey[keyHash];
        if (taken != 0 && taken != id) revert ConsensusKeyTaken(keyHash, taken);
        idOfIdentity[keys.identity] = id;
        idOfConsensusKey[keyHash] = id;

        address page = BUILDER.writeKeys(msg.sender, keys, possessionMessage(msg.sender, keys), possession);
        (_sequencers[id].keyPage, _sequencers[id].keyIndex) = (page, 0);
    }

    function _pull(uint256 amount) private {
        uint256 before = TOKEN.balanceOf(address(this));
        TOKEN.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = TOKEN.balanceOf(address(this)) - before;
        if (received != amount) revert StakeMismatch(amount, received);
    }

    function _checkLimits(uint256 amount) private view {
        if (amount < minLock || amount > maxLock) revert LockOutOfRange(amount, minLock, maxLock);
    }

    // ---- the queue ----

    function _enqueue(uint64 id) private {
        _setStatus(id, Status.Queued);
        _queue.push(id);
    }

    /// @dev Sends the smallest queued lock away to make room for a larger one.
    function _displace(uint64 by, uint256 amount) private {
        uint256 smallest = type(uint256).max;
        uint256 place;
        for (uint256 i = _queueHead; i < _queue.length; ++i) {
            uint256 queued = _sequencers[_queue[i]].amount;
            if (queued <= smallest) (smallest, place) = (queued, i);
        }
        if (amount <= smallest) revert QueueFull(smallest);
        uint64 id = _queue[place];
        _removeQueued(place);
        emit Displaced(id, by);
        _leave(id);
    }

    function _dequeue(uint64 id) private {
        uint256 place = _queueHead;
        while (_queue[place] != id) ++place; // a Queued id is always there
        _removeQueued(place);
    }

    /// @dev Later entries move up: their order is their turn.
    function _removeQueued(uint256 place) private {
        uint256 last = _queue.length - 1;
        for (; place < last; ++place) {
            _queue[place] = _queue[place + 1];
        }
        _queue.pop();
    }

    // ---- leaving ----

    /// @notice Takes `amount`, at least MIN_DECREASE, out of a lock, down to minLock, as a ticket.
    function decrease(uint64 id, uint256 amount) external {
        Sequencer storage s = _owned(id);
        _staying(id);
        if (amount < MIN_DECREASE) revert DecreaseTooSmall(amount, MIN_DECREASE);
        uint256 locked = s.amount;
        if (amount > locked || locked - amount < minLock) {
            revert LockOutOfRange(amount > locked ? 0 : locked - amount, minLock, maxLock);
        }
        if (_ticketsOf[id].length >= MAX_OPEN_TICKETS - 1) revert TooManyTickets(id, MAX_OPEN_TICKETS - 1);
        s.amount = uint128(locked - amount);
        _issueTicket(id, s.owner, uint128(amount));
    }

    /// @notice Leaves for good: the queue or jail at once, the active set in its turn at a rotation (`completeExit` if that takes too long).
    ///         The whole lock becomes a ticket at that moment.
    function exit(uint64 id) external {
        Status status = _owned(id).status;
        if (status == Status.Active) {
            _setStatus(id, Status.Exiting);
            emit ExitStarted(id, block.timestamp + EXIT_WAIT());
        } else if (status == Status.Queued) {
            _dequeue(id);
            _leave(id);
        } else if (status == Status.Jailed) {
            _leave(id);
        } else {
            revert WrongStatus(id, status);
        }
    }

    /// @notice Ends an exit that began EXIT_WAIT ago, whether or not there was a rotation. Anyone may call.
    function completeExit(uint64 id) external {
        Sequencer storage s = _sequencers[id];
        if (s.status != Status.Exiting) revert WrongStatus(id, s.status);
        uint256 completableAt = s.since + EXIT_WAIT();
        if (block.timestamp < completableAt) revert StillInExitQueue(id, completableAt);
        _leave(id);
    }

    /// @notice Pays out a ticket that can be claimed, to its owner; the caller is that owner or approved by it.
    function claim(uint256 ticketId) external {
        Ticket memory t = _tickets[ticketId];
        if (t.sequencerId == 0) revert UnknownTicket(ticketId);
        if (block.timestamp < t.claimableAt) revert StillUnbonding(ticketId, t.claimableAt);
        delete _tickets[ticketId];
        uint64[] storage open = _ticketsOf[t.sequencerId];
        uint256 last = open.length - 1;
        for (uint256 i = 0; i < last; ++i) {
            if (open[i] == ticketId) open[i] = open[last];
        }
        open.pop();
        totalTickets -= t.amount;
        address owner = TICKET.burn(msg.sender, ticketId);
        TOKEN.safeTransfer(owner, t.amount);
        emit Claimed(ticketId, owner, t.amount);
    }

    /// @notice Seconds after `exit` from which `completeExit` works.
    function EXIT_WAIT() public view returns (uint256) {
        return EXIT_WAIT_INTERVALS * ROTATION_INTERVAL;
    }

    /// @dev The whole lock becomes a ticket, now. Reads nothing of the record that its owner could have spoilt.
    function _leave(uint64 id) private {
        Sequencer storage s = _sequencers[id];
        uint128 amount = s.amount;
        s.amount = 0;
        _setStatus(id, Status.None);
        if (amount != 0) _issueTicket(id, s.owner, amount);
        if (posterOf[id] != address(0)) _setPoster(id, address(0));
        emit Left(id);
    }

    function _issueTicket(uint64 id, address owner, uint128 amount) private {
        uint64 ticketId = ++lastTicket;
        uint64 claimableAt = uint64(block.timestamp + UNBONDING_PERIOD);
        _tickets[ticketId] = Ticket({sequencerId: id, claimableAt: claimableAt, amount: amount});
        _ticketsOf[id].push(ticketId);
        totalLocked -= amount;
        totalTickets += amount;
        emit TicketIssued(ticketId, id, owner, amount, claimableAt);
        TICKET.mint(owner, ticketId);
    }

    // ---- slashing and jail ----

    /// @inheritdoc ISequencerPool
    /// @dev Lock and tickets lose the same part, to the wei, and their losses sum up to the penalty. What is left of the
    ///      lock becomes a ticket at once: the sequencer never comes back.
    function slash(uint64 id, uint256 bps, uint256 minimum, address reporter) external returns (uint256 penalty) {
        if (msg.sender != SLASHER) revert NotSlasher(msg.sender);
        Sequencer storage s = _sequencers[id];
        if (s.owner == address(0)) revert UnknownSequencer(id);
        uint256 base = stakeOf(id);
        penalty = base * bps / BPS;
        if (penalty < minimum) penalty = minimum;
        if (penalty > base) penalty = base;

        uint256 fromLock = _slashTickets(id, base, penalty);
        totalTickets -= uint128(penalty - fromLock);
        totalLocked -= uint128(fromLock);
        s.amount -= uint128(fromLock);
        if (s.status == Status.Queued) _dequeue(id);
        if (s.status != Status.None) _leave(id);

        uint256 share = reporter == address(0) ? 0 : penalty * reporterShareBps / BPS;
        slashShareOf[reporter] += share;
        totalSlashShares += uint128(share);
        emit Slashed(id, reporter, penalty, share);
        TOKEN.safeTransfer(INSURANCE == address(0) ? BURN : INSURANCE, penalty - share);
    }

    /// @notice Pays the caller its shares of slashes.
    function claimSlashShare() external {
        uint256 amount = slashShareOf[msg.sender];
        if (amount == 0) revert NothingToClaim(msg.sender);
        slashShareOf[msg.sender] = 0;
        totalSlashShares -= uint128(amount);
        TOKEN.safeTransfer(msg.sender, amount);
        emit SlashShareClaimed(msg.sender, amount);
    }

    /// @notice Sends a member that missed too many slots to jail; it is out of the committee at the next rotation. Anyone may call.
    function jail(uint64 id) external {
        Status status = _sequencers[id].status;
        if (status != Status.Active) revert WrongStatus(id, status);
        if (!REWARDS.jailable(id)) revert NotJailable(id);
        _setStatus(id, Status.Jailed);
        emit Jailed(id, block.timestamp + jailPeriod);
    }

    /// @notice Comes back from jail to the end of the queue, with a lock of at least minLock. Neither a pause of joins nor a full queue is in
    ///         the way, because `forceExit` waits for neither: its stake is in the pool already.
    function unjail(uint64 id) external {
        Sequencer storage s = _owned(id);
        if (s.status != Status.Jailed) revert WrongStatus(id, s.status);
        uint256 until = uint256(s.since) + jailPeriod;
        if (block.timestamp < until) revert StillJailed(id, until);
        if (s.amount < minLock) revert LockOutOfRange(s.amount, minLock, maxLock);
        _enqueue(id);
        emit Unjailed(id);
        REWARDS.clearMissed(id);
    }

    /// @notice Makes a sequencer leave for good that stayed in jail for longer than UNBONDING_PERIOD. Its stake becomes a ticket. Anyone may call.
    /// @dev Nothing else in the record is looked at, so that no owner can make itself unremovable. Only from jail: whether a member is jailable
    ///      at this moment depends on which epochs were credited up to now, which anyone may time.
    function forceExit(uint64 id) external {
        Sequencer storage s = _sequencers[id];
        if (s.status != Status.Jailed) revert WrongStatus(id, s.status);
        uint256 until = s.since + UNBONDING_PERIOD;
        if (block.timestamp <= until) revert StillJailed(id, until);
        emit ExitForced(id, msg.sender);
        _leave(id);
    }

    /// @dev Takes each ticket's part of `penalty` on `base`; returns what is left for the lock. Parts are differences of rounded running sums:
    ///      each is exact to the wei, they sum up to the penalty, and none is larger than what it is taken from.
    function _slashTickets(uint64 id, uint256 base, uint256 penalty) private returns (uint256) {
        uint64[] storage open = _ticketsOf[id];
        uint256 count = open.length;
        uint256 sum;
        uint256 taken;
        for (uint256 i = 0; i < count && penalty != 0; ++i) {
            uint64 ticketId = open[i];
            Ticket storage t = _tickets[ticketId];
            uint256 amount = t.amount;
            sum += amount;
            uint256 part = penalty * sum / base - taken;
            taken += part;
            t.amount = uint128(amount - part);
            emit TicketSlashed(ticketId, part);
        }
        return penalty - taken;
    }

    // ---- the governor ----

    /// @notice Limits of what is locked from now on, within a factor LIMIT_RANGE of the first ones. Locks that are outside of them stay.
    function setLockLimits(uint128 minimum, uint128 maximum) external {
        _onlyGovernor();
        _setLockLimits(minimum, maximum);
    }

    /// @notice Seats of the committees to come: MIN_COMMITTEE to CertificateVerifier.MAX_MEMBERS.
    function setMaxCommittee(uint16 seats) external {
        _onlyGovernor();
        if (seats < MIN_COMMITTEE || seats > CertificateVerifier.MAX_MEMBERS) {
            revert ConfigOutOfRange("maxCommittee", seats);
        }
        maxCommittee = seats;
        emit MaxCommitteeSet(seats);
    }

    /// @notice Seconds in jail before the owner may come back, at most UNBONDING_PERIOD (after which anyone may force the exit).
    function setJailPeriod(uint64 period) external {
        _onlyGovernor();
        _setJailPeriod(period);
    }

    /// @notice Reporter's share of later slashes, 1/10,000, at most MAX_REPORTER_SHARE_BPS.
    function setReporterShare(uint16 shareBps) external {
        _onlyGovernor();
        _setReporterShare(shareBps);
    }

    /// @notice Stops and allows joining. Leaving is never affected.
    function setJoinsPaused(bool paused) external {
        _onlyGovernor();
        joinsPaused = paused;
        emit JoinsPausedSet(paused);
    }

    function _setLockLimits(uint128 minimum, uint128 maximum) private {
        if (minimum == 0 || minimum > maximum || minimum < LOWEST_MIN_LOCK) {
            revert ConfigOutOfRange("minLock", minimum);
        }
        if (maximum > HIGHEST_MAX_LOCK) revert ConfigOutOfRange("maxLock", maximum);
        (minLock, maxLock) = (minimum, maximum);
        emit LockLimitsSet(minimum, maximum);
    }

    function _setJailPeriod(uint64 period) private {
        if (period > UNBONDING_PERIOD) revert ConfigOutOfRange("jailPeriod", period);
        jailPeriod = period;
        emit JailPeriodSet(period);
    }

    function _setReporterShare(uint16 shareBps) private {
        if (shareBps > MAX_REPORTER_SHARE_BPS) revert ConfigOutOfRange("reporterShareBps", shareBps);
        reporterShareBps = shareBps;
        emit ReporterShareSet(shareBps);
    }

    // ---- who may, and when ----

    function _owned(uint64 id) private view returns (Sequencer storage s) {
        s = _sequencers[id];
        if (s.owner != msg.sender) revert NotOwner(msg.sender, id);
    }

    /// @dev A lock that is neither gone nor going.
    function _staying(uint64 id) private view returns (Sequencer storage s) {
        s = _sequencers[id];
        if (s.status == Status.None || s.status == Status.Exiting) revert WrongStatus(id, s.status);
    }

    function _onlyGovernor() private view {
        if (msg.sender != GOVERNOR) revert NotGovernor(msg.sender);
    }

    function _setStatus(uint64 id, Status status) private {
        (_sequencers[id].status, _sequencers[id].since) = (status, uint64(block.timestamp));
    }

    // ---- committees ----

    /// @notice Chooses the next committee: lets leave those whose turn it is, lets the queue in, both up to the churn limit, drops who was
    ///         jailed or removed, and takes the maxCommittee largest locks (ties: the smaller id), in ascending order of identity. Members
    ///         and weights are final; the seed follows from an L1 block that does not exist yet (`seal`). Anyone may call, once per
    ///         ROTATION_INTERVAL. If L1 has forgotten the block of a choice that nobody sealed, this names another for the same choice.
    /// @return id The committee that waits for its seal.
    function rotate() external returns (uint64 id) {
        id = latestCommittee + 1;
        if (draft.sealBlock != 0) return _postponeSeal(id);
        if (latestCommittee != 0 && block.timestamp < lastRotation + ROTATION_INTERVAL) {
            revert RotationTooEarly(lastRotation + ROTATION_INTERVAL);
        }
        uint64[] memory active = _nextActive(id);
        if (active.length == 0) revert NoMembers();
        Chosen memory chosen = BUILDER.choose(maxCommittee, _candidates(active));

        _storeActive(chosen.order);
        if (chosen.page != address(0)) _moveKeys(chosen.page, chosen.paged);
        lastRotation = uint64(block.timestamp);
        uint64 sealBlock = uint64(block.number + SEAL_DELAY);
        draft = Draft({
            contentsHash: keccak256(abi.encode(chosen.packed, chosen.code)),
            chosenIn: uint64(block.number),
            sealBlock: sealBlock
        });
        emit CommitteeChosen(id, sealBlock, chosen.packed, chosen.code);
    }

    /// @notice Gives the chosen committee the randomness of exactly its seal block, which nobody knew when members and weights became final,
    ///         and sends it to L2. Anyone may call, from the block after that one for as long as L1 knows its hash (8,191 blocks,
    ///         EIP-2935): the outcome is the same whoever does it and when.
    /// @param header Of the seal block, as Ethereum encodes it.
    /// @param packedMembers As in the committee's CommitteeChosen.
    /// @param code As there.
    function seal(bytes calldata header, bytes calldata packedMembers, bytes calldata code)
        external
        returns (uint64 id)
    {
        id = latestCommittee + 1;
        bytes32 randomness = _sealedBy(header);
        bytes32 contentsHash = keccak256(abi.encode(packedMembers, code));
        if (contentsHash != draft.contentsHash) revert NotTheChosen(id, contentsHash);
        (bytes32 digest, bytes32 seed, address store) = BUILDER.complete(id, randomness, packedMembers, code);

        draft.sealBlock = 0;
        latestCommittee = id;
        _committees[id] = Committee({code: store, fixedAt: uint64(block.timestamp)});
        emit CommitteeFixed(id, digest, seed, packedMembers);
        PORTAL.depositTransaction(
            Predeploys.COMMITTEE_REGISTRY,
            0,
            L2_GAS_BASE + L2_GAS_PER_MEMBER * uint64(CertificateVerifier.sizeOf(store)),
            false,
            abi.encodeCall(CommitteeRegistry.setCommittee, (id, seed, packedMembers))
        );
    }

    /// @dev The randomness in `header`, which must be that of the draft's seal block.
    function _sealedBy(bytes calldata header) private view returns (bytes32) {
        uint256 sealBlock = draft.sealBlock;
        if (sealBlock == 0) revert NothingToSeal();
        if (block.number <= sealBlock) revert SealTooEarly(sealBlock);
        bytes32 hash = Blockhash.blockHash(sealBlock);
        if (hash == 0) revert SealTooLate(sealBlock);
        if (keccak256(header) != hash) revert NotTheSealBlock(sealBlock, hash, keccak256(header));
        return L1Header.mixHash(header);
    }

    /// @dev Members and weights stay: who lets a block pass into oblivion gets another seed, and nothing else.
    function _postponeSeal(uint64 id) private returns (uint64) {
        uint256 sealBlock = draft.sealBlock;
        if (block.number <= sealBlock || Blockhash.blockHash(sealBlock) != 0) revert NotSealed(id, sealBlock);
        sealBlock = block.number + SEAL_DELAY;
        draft.sealBlock = uint64(sealBlock);
        emit SealPostponed(id, sealBlock);
        return id;
    }

    /// @notice Copies the key records of the newest committee into one page, for the committees after it. Rotations do this for newcomers
    ///         (CommitteeBuilder.SHARE_AT); after long churn this gathers the rest. Costs about 57,000 gas a member and changes nothing but
    ///         gas.
    function packKeys() external returns (address page) {
        uint64[] memory ids = BUILDER.memberIds(committeeCode(latestCommittee));
        page = BUILDER.share(_candidates(ids));
        _moveKeys(page, ids);
    }

    /// @dev The active set without those who leave, with those joining at committee `committeeId` behind it.
    function _nextActive(uint64 committeeId) private returns (uint64[] memory active) {
        uint256 before = _active.length;
        active = new uint64[](MAX_ACTIVE);
        uint256[] memory exits = new uint256[](before);
        uint256 count;
        uint256 exiting;
        for (uint256 i = 0; i < before; ++i) {
            uint64 id = _active[i];
            Sequencer storage s = _sequencers[id];
            if (s.status == Status.Exiting) exits[exiting++] = uint256(s.since) << 64 | id;
            else if (s.status != Status.Active) continue;
            active[count++] = id;
        }
        assembly ("memory-safe") {
            mstore(exits, exiting)
        }
        uint256 churn = count / CHURN_DIVISOR;
        if (churn < MIN_CHURN) churn = MIN_CHURN;
        count = _letOut(active, count, exits, churn);
        if (!joinsPaused) count = _letIn(active, count, committeeId == 1 ? MAX_ACTIVE : churn, committeeId);
        assembly ("memory-safe") {
            mstore(active, count)
        }
    }

    /// @dev Removes from the first `count` of `active` the `churn` that have been waiting longest (ties: the smaller id); returns how many
    ///      stay. `exits`: time of exit << 64 | id, of all that wait.
    function _letOut(uint64[] memory active, uint256 count, uint256[] memory exits, uint256 churn)
        private
        returns (uint256 stay)
    {
        if (exits.length == 0) return count;
        Sort.sort(exits);
        uint256 last = exits[(churn < exits.length ? churn : exits.length) - 1];
        for (uint256 i = 0; i < count; ++i) {
            uint64 id = active[i];
            Sequencer storage s = _sequencers[id];
            if (s.status == Status.Exiting && (uint256(s.since) << 64 | id) <= last) _leave(id);
            else active[stay++] = id;
        }
    }

    /// @dev Appends up to `churn` from the queue; returns how many are active then.
    function _letIn(uint64[] memory active, uint256 count, uint256 churn, uint64 committeeId)
        private
        returns (uint256)
    {
        uint256 head = _queueHead;
        uint256 end = _queue.length;
        for (; head < end && churn != 0 && count < MAX_ACTIVE; ++head) {
            uint64 id = _queue[head];
            _setStatus(id, Status.Active);
            active[count++] = id;
            --churn;
            emit Joined(id, committeeId);
        }
        _queueHead = uint64(head);
        return count;
    }

    function _candidates(uint64[] memory ids) private view returns (Candidate[] memory candidates) {
        candidates = new Candidate[](ids.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            Sequencer storage s = _sequencers[ids[i]];
            candidates[i] = Candidate({id: ids[i], weight: s.amount, keyPage: s.keyPage, keyIndex: s.keyIndex});
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

    /// @dev The keys of `ids` are now the records of `page`, in that order.
    function _moveKeys(address page, uint64[] memory ids) private {
        for (uint256 i = 0; i < ids.length; ++i) {
            Sequencer storage s = _sequencers[ids[i]];
            (s.keyPage, s.keyIndex) = (page, uint16(i));
        }
        emit KeysPacked(page, ids);
    }

    // ---- views ----

    /// @inheritdoc ISequencerPool
    function committeeCode(uint64 id) public view returns (address code) {
        code = _committees[id].code;
        if (code == address(0)) revert UnknownCommittee(id);
    }

    /// @inheritdoc ISequencerPool
    function committee(uint64 id)
        external
        view
        returns (uint256 size, bytes32 digest, bytes32 seed, uint64 fixedAt, address code, uint64[] memory memberIds)
    {
        code = committeeCode(id);
        digest = bytes32(CodeStore.read(code, CertificateVerifier.DIGEST_OFFSET - 1, 32));
        seed = bytes32(CodeStore.read(code, CertificateVerifier.SEED_OFFSET - 1, 32));
        fixedAt = _committees[id].fixedAt;
        memberIds = BUILDER.memberIds(code);
        size = memberIds.length;
    }

    /// @notice Sum of the consensus keys of committee `id`, EIP-2537 encoding.
    function aggregateKey(uint64 id) external view returns (bytes memory) {
        return BUILDER.aggregateKey(committeeCode(id));
    }

    /// @notice Consensus key of signer `index` of committee `id` as it was when the committee was fixed, EIP-2537 encoding.
    function memberKey(uint64 id, uint256 index) external view returns (bytes memory) {
        address code = committeeCode(id);
        if (index >= CertificateVerifier.sizeOf(code)) revert UnknownMember(id, index);
        return BUILDER.memberKey(code, index);
    }

    /// @inheritdoc ISequencerPool
    function sequencer(uint64 id) external view returns (Sequencer memory) {
        return _sequencers[id];
    }

    /// @inheritdoc ISequencerPool
    function isPoster(address account) external view returns (bool) {
        return _namedBy[account] != 0;
    }

    /// @inheritdoc ISequencerPool
    function ticket(uint256 ticketId) external view returns (Ticket memory) {
        return _tickets[ticketId];
    }

    /// @notice Unclaimed tickets that came from sequencer `id`, in no order.
    function ticketsOf(uint64 id) external view returns (uint64[] memory) {
        return _ticketsOf[id];
    }

    /// @inheritdoc ISequencerPool
    function stakeOf(uint64 id) public view returns (uint256 stake) {
        stake = _sequencers[id].amount;
        uint64[] storage open = _ticketsOf[id];
        uint256 count = open.length;
        for (uint256 i = 0; i < count; ++i) {
            stake += _tickets[open[i]].amount;
        }
    }

    /// @notice Ids in the active set as of the last rotation (those jailed or removed since are still listed).
    function activeSet() external view returns (uint64[] memory) {
        return _active;
    }

    /// @notice Sequencers waiting to join.
    function queueLength() public view returns (uint256) {
        return _queue.length - _queueHead;
    }

    /// @notice Ids waiting to join, in order of their turn.
    function queue() external view returns (uint64[] memory ids) {
        ids = new uint64[](queueLength());
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = _queue[_queueHead + i];
        }
    }

    /// @notice Sequencers waiting to leave the active set.
    function exitQueueLength() external view returns (uint256 length) {
        uint256 count = _active.length;
        for (uint256 i = 0; i < count; ++i) {
            if (_sequencers[_active[i]].status == Status.Exiting) ++length;
        }
    }

    /// @notice Smallest stake, in wei of the token, that can keep the newest committee from finalising: a third of the seats and one, at the
    ///         price of a seat.
    function costToStall() external view returns (uint256) {
        return ((CertificateVerifier.sizeOf(committeeCode(latestCommittee)) - 1) / 3 + 1) * minLock;
    }

    /// @notice Smallest stake, in wei of the token, that can finalise alone: a quorum of the seats, at the price of a seat.
    function costToFinalise() external view returns (uint256) {
        return CertificateVerifier.quorum(CertificateVerifier.sizeOf(committeeCode(latestCommittee))) * minLock;
    }
}
