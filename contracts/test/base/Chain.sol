// Chain: a deployed system with N sequencers whose secrets the test holds, headers and certificates included.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IMiningRewards} from "../../src/interfaces/IMiningRewards.sol";
import {IPortal} from "../../src/interfaces/IPortal.sol";
import {IRollup} from "../../src/interfaces/IRollup.sol";
import {ISequencerPool} from "../../src/interfaces/ISequencerPool.sol";
import {IUnbondingTicket} from "../../src/interfaces/IUnbondingTicket.sol";
import {GasPriceOracle} from "../../src/l1/GasPriceOracle.sol";
import {L1Bridge} from "../../src/l1/L1Bridge.sol";
import {OceanidToken} from "../../src/l1/OceanidToken.sol";
import {Portal} from "../../src/l1/Portal.sol";
import {Rollup} from "../../src/l1/Rollup.sol";
import {Keys} from "../../src/l1/CommitteeBuilder.sol";
import {SequencerPool} from "../../src/l1/SequencerPool.sol";
import {Slasher} from "../../src/l1/Slasher.sol";
import {UnbondingTicket} from "../../src/l1/UnbondingTicket.sol";
import {Ed25519} from "../../src/lib/Ed25519.sol";
import {JailBook} from "./JailBook.sol";
import {Rlp} from "./Rlp.sol";
import {Signer} from "./Signer.sol";
import {Test} from "./Test.sol";
import {Vm, vm} from "./Vm.sol";

/// @notice Everything of a header that tests vary.
struct TestHeader {
    bytes32 parentHash;
    bytes32 stateRoot;
    bytes32 messagePasserRoot;
    uint64 number;
    uint64 timestamp;
    uint64 version;
    uint64 epoch;
    uint64 view_;
    uint64 parentView;
    uint64 leader;
    uint64 committeeId;
    uint64 nextCommitteeId;
    uint64 originNumber;
    bytes32 originHash;
}

abstract contract Chain is Test {
    uint256 internal constant SUPPLY = 10_000_000e18;
    uint128 internal constant MIN_LOCK = 20_000e18;
    uint128 internal constant MAX_LOCK = 100_000e18;
    uint64 internal constant UNBONDING = 21 days;
    uint64 internal constant ROTATION = 1 hours;
    uint16 internal constant SEAL_DELAY = 4;
    uint64 internal constant JAIL = 1 days;
    uint16 internal constant REPORTER_BPS = 1_000;
    uint64 internal constant EPOCH_LENGTH = 60;
    uint64 internal constant WINDOW = 1 days;
    uint64 internal constant MAX_LAG = 1000;
    uint64 internal constant STALL = 6 hours;
    uint64 internal constant L2_CHAIN_ID = 10_088;
    bytes32 internal constant GENESIS_HASH = keccak256("genesis header");
    bytes32 internal constant GENESIS_OUTPUT = keccak256("genesis output");
    /// @dev SHA-256 of nothing (EIP-7685). As a constant: a precompile call would be taken for the call that `expectRevert` waits for.
    bytes32 internal constant EMPTY_REQUESTS = 0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855;
    address internal constant HOLDER = address(0x401de2);
    address internal constant ROLLUP_DEPLOYER = address(0xde9107e2);
    address internal constant UPDATER = address(0x09da7e);
    address internal constant SLASHER_DEPLOYER = address(0x51a5de9b);
    /// @dev The first contract of SLASHER_DEPLOYER.
    address internal constant SLASHER = 0x1A01E943404Ad41110ab5cCAD5133A63e7726DA3;
    address internal constant GOVERNOR = address(0x90e2202);

    OceanidToken internal token;
    SequencerPool internal pool;
    UnbondingTicket internal ticket;
    JailBook internal jailBook;
    Portal internal portal;
    GasPriceOracle internal oracle;
    L1Bridge internal bridge;
    Rollup internal rollup;
    Slasher internal slasher;

    /// @dev Who takes what slashes leave, of pools to come.
    address internal insurance;
    /// @dev Gas of the last `rotateAndSeal`, call by call.
    uint256 internal rotateGas;
    uint256 internal sealGas;
    /// @dev BLS secret of a sequencer id.
    mapping(uint64 id => uint256) internal secretOf;
    mapping(uint64 id => address) internal ownerOf;

    function now_() internal view returns (uint256) {
        return vm.getBlockTimestamp();
    }

    function height() internal view returns (uint256) {
        return vm.getBlockNumber();
    }

    /// @dev Deploys with `count` sequencers in committee 1.
    function deploy(uint256 count) internal {
        vm.warp(1_800_000_000);
        vm.roll(20_000_000);
        address self = address(this);
        jailBook = new JailBook();
        uint64 nonce = vm.getNonce(self);
        // Order of docs/contracts.md: token, pool, ticket, portal, oracle, bridge, rollup.
        address portalAddress = vm.computeCreateAddress(self, nonce + 3);
        address oracleAddress = vm.computeCreateAddress(self, nonce + 4);
        // The rollup comes after the first rotation, from an account that does nothing else.
        address rollupAddress = vm.computeCreateAddress(ROLLUP_DEPLOYER, 0);
        token = OceanidToken(create("OceanidToken", abi.encode(HOLDER, SUPPLY)));
        pool = createPool(portalAddress, 100);
        portal = Portal(create("Portal", abi.encode(token, rollupAddress, pool, oracleAddress)));
        oracle = GasPriceOracle(create("GasPriceOracle", abi.encode(portal, UPDATER, 100e18, 1 hours)));
        bridge = L1Bridge(create("L1Bridge", abi.encode(portal, token)));
        for (uint256 i = 0; i < count; ++i) {
            join(MIN_LOCK + i * 1e18);
        }
        rotateAndSeal();
        rollup = Rollup(createFrom(ROLLUP_DEPLOYER, "Rollup", abi.encode(config(1, L2_CHAIN_ID))));
        slasher = Slasher(createFrom(SLASHER_DEPLOYER, "Slasher", abi.encode(slasherConfig())));
        eq(address(portal), portalAddress, "portal address");
        eq(address(rollup), rollupAddress, "rollup address");
        eq(address(slasher), SLASHER, "slasher address");
    }

    function createFrom(address deployer, string memory name, bytes memory arguments)
        internal
        returns (address deployed)
    {
        bytes memory initCode = initCodeOf(name, arguments);
        vm.prank(deployer);
        assembly {
            deployed := create(0, add(initCode, 32), mload(initCode))
        }
    }

    /// @dev The presets.
    function slasherConfig() internal view returns (Slasher.Config memory) {
        return Slasher.Config({
            pool: ISequencerPool(address(pool)),
            rollup: IRollup(address(rollup)),
            governor: GOVERNOR,
            equivocation: Slasher.Penalty({bps: 500, minimum: 1_000e18}),
            fork: Slasher.Penalty({bps: 10_000, minimum: 0}),
            invalidOutput: Slasher.Penalty({bps: 10_000, minimum: 0}),
            withheldData: Slasher.Penalty({bps: 2_000, minimum: 0})
        });
    }

    /// @dev A pool and, as the next contract, its tickets.
    function createPool(address portalAddress, uint16 maxCommittee) internal returns (SequencerPool created) {
        SequencerPool.Config memory c = poolConfig(portalAddress, maxCommittee);
        created = SequencerPool(create("SequencerPool", abi.encode(c)));
        ticket = UnbondingTicket(create("UnbondingTicket", abi.encode(created)));
        eq(address(ticket), address(c.ticket), "ticket address");
    }

    /// @dev For a pool that is the next contract to be created, with its tickets behind it.
    function poolConfig(address portalAddress, uint16 maxCommittee)
        internal
        view
        returns (SequencerPool.Config memory)
    {
        address self = address(this);
        return SequencerPool.Config({
            token: IERC20(address(token)),
            portal: IPortal(portalAddress),
            ticket: IUnbondingTicket(vm.computeCreateAddress(self, vm.getNonce(self) + 1)),
            slasher: SLASHER,
            rewards: poolRewards(),
            governor: GOVERNOR,
            minLock: MIN_LOCK,
            maxLock: MAX_LOCK,
            unbondingPeriod: UNBONDING,
            rotationInterval: ROTATION,
            sealDelay: SEAL_DELAY,
            maxCommittee: maxCommittee,
            jailPeriod: JAIL,
            reporterShareBps: REPORTER_BPS,
            insurance: insurance
        });
    }

    /// @dev Who says whom the pool may jail.
    function poolRewards() internal view virtual returns (IMiningRewards) {
        return jailBook;
    }

    function createRollup(Rollup.Config memory c) internal returns (Rollup) {
        return Rollup(create("Rollup", abi.encode(c)));
    }

    function config(uint64 committeeId, uint64 l2ChainId) internal view returns (Rollup.Config memory) {
        return Rollup.Config({
            pool: ISequencerPool(address(pool)),
            genesisHash: GENESIS_HASH,
            genesisOutputRoot: GENESIS_OUTPUT,
            genesisTimestamp: uint64(now_()),
            genesisOrigin: uint64(height() - 1),
            genesisCommittee: committeeId,
            l2ChainId: l2ChainId,
            epochLength: EPOCH_LENGTH,
            window: WINDOW,
            maxOriginLag: MAX_LAG,
            stallTimeout: STALL,
            submissionInterval: 60,
            l2BlockTime: 1
        });
    }

    // ---- sequencers ----

    /// @dev Locks a new sequencer with keys of its own.
    function join(uint256 amount) internal returns (uint64 id) {
        uint256 index = uint256(pool.lastId()) + 1;
        address owner = address(uint160(0x5e900000 + index));
        fund(owner, address(pool), amount);
        Keys memory keys = keysOf(index);
        bytes memory possession = Signer.sign(secretAt(index), pool.possessionMessage(owner, keys), Signer.POSSESSION);
        vm.prank(owner);
        id = pool.lock(keys, possession, amount, owner, posterAt(index));
        secretOf[id] = secretAt(index);
        ownerOf[id] = owner;
    }

    /// @dev The account that posts batches for the sequencer with that index.
    function posterAt(uint256 index) internal pure returns (address) {
        return address(uint160(0x9057e200 + index));
    }

    function fund(address account, address spender, uint256 amount) internal {
        vm.prank(HOLDER);
        token.transfer(account, amount);
        vm.prank(account);
        token.approve(spender, amount);
    }

    function secretAt(uint256 index) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode("secret", index))) % Signer.ORDER;
    }

    function keysOf(uint256 index) internal view returns (Keys memory) {
        return Keys({identity: identityAt(index), consensusKey: Signer.publicKey(secretAt(index))});
    }

    /// @dev Half of all strings are points.
    function identityAt(uint256 index) internal view returns (bytes32 identity) {
        identity = keccak256(abi.encode("identity", index));
        while (!Ed25519.isPoint(identity)) {
            identity = keccak256(abi.encode(identity));
        }
    }

    function rotateLater() internal returns (uint64) {
        vm.warp(now_() + ROTATION);
        return rotateAndSeal();
    }

    function rotateAndSeal() internal returns (uint64 id) {
        bytes32 randomness = keccak256(abi.encode("randomness", height()));
        (bytes memory packed, bytes memory code) = choose();
        rotateGas = vm.lastCallGas().gasTotalUsed;
        bytes memory header = passSealBlock(randomness);
        id = pool.seal(header, packed, code);
        sealGas = vm.lastCallGas().gasTotalUsed;
    }

    /// @dev Rotates; returns what the seal takes.
    function choose() internal returns (bytes memory packed, bytes memory code) {
        vm.recordLogs();
        pool.rotate();
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            if (logs[i].topics[0] != SequencerPool.CommitteeChosen.selector) continue;
            (, packed, code) = abi.decode(logs[i].data, (uint256, bytes, bytes));
            return (packed, code);
        }
        revert Untrue("CommitteeChosen");
    }

    /// @dev L1 goes on to the block behind the seal block, which has `randomness`; returns its header.
    function passSealBlock(bytes32 randomness) internal returns (bytes memory header) {
        (,, uint64 sealBlock) = pool.draft();
        header = l1Header(sealBlock, randomness);
        vm.roll(sealBlock + 1);
        vm.setBlockhash(sealBlock, keccak256(header));
    }

    function l1Header(uint256 number, bytes32 mixHash) internal view returns (bytes memory) {
        TestHeader memory h;
        (h.number, h.timestamp) = (uint64(number), uint64(now_()));
        return encodeMixed(h, "a builder", mixHash);
    }

    // ---- headers and certificates ----

    /// @dev A header that follows the head by `blocks`, in its epoch or, behind a boundary block, in the next; origin = the last L1 block.
    function nextHeader(uint64 blocks) internal view returns (TestHeader memory h) {
        (, bytes32 headHash, uint64 number, uint64 epoch, uint64 committeeId, uint64 nextCommitteeId) = rollup.head();
        h.number = number + blocks;
        h.parentHash = blocks == 1 ? headHash : keccak256(abi.encode("parent of", h.number));
        h.stateRoot = keccak256(abi.encode("state", h.number));
        h.messagePasserRoot = keccak256(abi.encode("messages", h.number));
        h.timestamp = uint64(now_());
        h.version = 1;
        h.epoch = h.number / EPOCH_LENGTH + rollup.RECOVERY_EPOCHS() * rollup.recoveries();
        h.view_ = h.number;
        h.parentView = h.number - 1;
        h.leader = 1;
        h.committeeId = h.epoch == epoch ? committeeId : nextCommitteeId;
        h.nextCommitteeId = h.epoch == epoch ? nextCommitteeId : h.committeeId;
        h.originNumber = uint64(height() - 1);
        h.originHash = blockhash(height() - 1);
    }

    function encode(TestHeader memory h) internal pure returns (bytes memory) {
        return encodeWith(h, extension(h));
    }

    function extension(TestHeader memory h) internal pure returns (bytes memory) {
        return Rlp.list(
            bytes.concat(
                Rlp.integer(h.version),
                Rlp.integer(h.epoch),
                Rlp.integer(h.view_),
                Rlp.integer(h.parentView),
                Rlp.integer(h.leader),
                Rlp.integer(h.committeeId),
                Rlp.integer(h.nextCommitteeId),
                Rlp.integer(h.originNumber),
                Rlp.hash(h.originHash)
            )
        );
    }

    function encodeWith(TestHeader memory h, bytes memory extraData) internal pure returns (bytes memory) {
        return encodeMixed(h, extraData, keccak256("prevrandao"));
    }

    function encodeMixed(TestHeader memory h, bytes memory extraData, bytes32 mixHash)
        internal
        pure
        returns (bytes memory)
    {
        bytes memory first = bytes.concat(
            Rlp.hash(h.parentHash),
            Rlp.hash(keccak256(hex"c0")),
            Rlp.str(abi.encodePacked(address(0x11))),
            Rlp.hash(h.stateRoot),
            Rlp.hash(keccak256("transactions")),
            Rlp.hash(keccak256("receipts")),
            Rlp.str(new bytes(256)),
            Rlp.integer(0)
        );
        bytes memory second = bytes.concat(
            Rlp.integer(h.number),
            Rlp.integer(30_000_000),
            Rlp.integer(h.number * 21_000),
            Rlp.integer(h.timestamp),
            Rlp.str(extraData),
            Rlp.hash(mixHash),
            Rlp.str(new bytes(8)),
            Rlp.integer(1 gwei)
        );
        bytes memory third = bytes.concat(
            Rlp.hash(h.messagePasserRoot), Rlp.integer(0), Rlp.integer(0), Rlp.hash(0), Rlp.hash(EMPTY_REQUESTS)
        );
        return Rlp.list(bytes.concat(first, second, third));
    }

    /// @dev A bitmap of `size` members without `absent` of them, spread evenly.
    function bitmap(uint256 size, uint256 absent) internal pure returns (uint256 signers) {
        signers = (1 << size) - 1;
        for (uint256 i = 0; i < absent; ++i) {
            signers ^= 1 << (i * size / absent);
        }
    }

    function certify(Rollup target, TestHeader memory h, uint64 committeeId, uint256 signers)
        internal
        view
        returns (Rollup.Certificate memory)
    {
        return certifyAt(target, h, committeeId, signers, h.view_, h.parentView);
    }

    function certifyAt(
        Rollup target,
        TestHeader memory h,
        uint64 committeeId,
        uint256 signers,
        uint64 view_,
        uint64 parentView
    ) internal view returns (Rollup.Certificate memory) {
        bytes memory signed = voteMessage(
            target, "_FINALIZE", h.epoch, view_, parentView, abi.encodePacked(keccak256(encode(h)))
        );
        return Rollup.Certificate({
            view_: view_,
            parentView: parentView,
            signers: signers,
            signature: Signer.sign(secretSum(committeeId, signers), signed, Signer.VOTE)
        });
    }

    function secretSum(uint64 committeeId, uint256 signers) internal view returns (uint256 sum) {
        (,,,,, uint64[] memory ids) = pool.committee(committeeId);
        for (uint256 i = 0; i < ids.length; ++i) {
            if (signers >> i & 1 == 1) sum = addmod(sum, secretOf[ids[i]], Signer.ORDER);
        }
    }

    function voteMessage(
        Rollup target,
        string memory kind,
        uint64 epoch,
        uint64 view_,
        uint64 parentView,
        bytes memory payload
    ) internal view returns (bytes memory) {
        bytes memory full = abi.encodePacked(target.namespace(), kind);
        return abi.encodePacked(uint8(full.length), full, varint(epoch), varint(view_), varint(parentView), payload);
    }

    function varint(uint64 value) internal pure returns (bytes memory out) {
        while (value > 0x7f) {
            out = abi.encodePacked(out, uint8(value & 0x7f | 0x80));
            value >>= 7;
        }
        return abi.encodePacked(out, uint8(value));
    }

    /// @dev Submits a header certified by everybody in the committee it names.
    function submit(TestHeader memory h) internal {
        (uint256 index,, uint64 number,,,) = rollup.head();
        (uint256 size,,,,,) = pool.committee(h.committeeId);
        Rollup.Certificate memory certificate = certify(rollup, h, h.committeeId, (1 << size) - 1);
        rollup.submitBatch(index, number + 1, encode(h), certificate, 0, "data");
    }
}
