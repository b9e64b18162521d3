// ConsensusVectors: the Slasher against votes and certificates that another implementation of the consensus library's bytes made.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Batch, IRollup} from "../src/interfaces/IRollup.sol";
import {ISequencerPool} from "../src/interfaces/ISequencerPool.sol";
import {Slasher} from "../src/l1/Slasher.sol";
import {Bls} from "../src/lib/Bls.sol";
import {CertificateVerifier} from "../src/lib/CertificateVerifier.sol";
import {CodeStore} from "../src/lib/CodeStore.sol";
import {Signer} from "./base/Signer.sol";
import {Test} from "./base/Test.sol";
import {vm} from "./base/Vm.sol";

/// @dev The part of the Rollup that the Slasher reads: one batch of any epoch, and the vectors' namespace.
contract Rollup__Mock {
    bytes public namespace;
    uint48 private _epoch;

    constructor(bytes memory namespace_) {
        namespace = namespace_;
    }

    function setEpoch(uint48 epoch) external {
        _epoch = epoch;
    }

    function batch(uint256) external view returns (Batch memory) {
        return Batch({
            outputRoot: 0,
            timestamp: uint40(block.timestamp),
            lastBlock: 0,
            epoch: _epoch,
            originNumber: 0,
            committeeId: 1,
            late: false
        });
    }
}

/// @dev The part of the pool that the Slasher needs: one committee, and who was slashed.
contract Pool__Mock {
    address private immutable COMMITTEE;
    uint256 public constant UNBONDING_PERIOD = 1 days;
    uint64[] public slashed;

    constructor(address committee) {
        COMMITTEE = committee;
    }

    function committeeCode(uint64) external view returns (address) {
        return COMMITTEE;
    }

    function slash(uint64 id, uint256, uint256 minimum, address) external returns (uint256) {
        slashed.push(id);
        return minimum;
    }

    function slashedCount() external view returns (uint256) {
        return slashed.length;
    }
}

contract ConsensusVectorsTest is Test {
    uint256 private constant MEMBERS = 7;
    string private json;
    Rollup__Mock private rollup;
    Pool__Mock private pool;
    Slasher private slasher;
    address private committee;

    struct Item {
        uint64 epoch;
        bytes signed;
        bytes encoded;
        Slasher.Vote vote;
    }

    function setUp() public {
        json = vm.readFile("test/vectors/consensus.json");
        bytes[] memory keys = vm.parseJsonBytesArray(json, ".publicKey");
        bytes[] memory secrets = vm.parseJsonBytesArray(json, ".secret");
        eq(keys.length, MEMBERS, "members");
        bytes memory page;
        bytes memory entries;
        uint256 sum;
        for (uint256 i = 0; i < MEMBERS; ++i) {
            page = abi.encodePacked(page, bytes32(i), packed(keys[i]));
            sum = addmod(sum, uint256(bytes32(secrets[i])), Signer.ORDER);
        }
        address pageAddress = CodeStore.write(page);
        for (uint256 i = 0; i < MEMBERS; ++i) {
            entries = abi.encodePacked(entries, uint64(101 + i), pageAddress, uint16(i));
        }
        committee = CodeStore.write(
            abi.encodePacked(bytes32("digest"), bytes32("seed"), packed(Signer.publicKey(sum)), entries)
        );
        eq(CertificateVerifier.sizeOf(committee), MEMBERS, "layout");
        eq(CertificateVerifier.memberId(committee, 4), 105, "entry");

        rollup = new Rollup__Mock(vm.parseJsonBytes(json, ".namespace"));
        pool = new Pool__Mock(committee);
        Slasher.Penalty memory none = Slasher.Penalty({bps: 0, minimum: 1});
        Slasher.Config memory config = Slasher.Config({
            pool: ISequencerPool(address(pool)),
            rollup: IRollup(address(rollup)),
            governor: address(this),
            equivocation: none,
            fork: none,
            invalidOutput: none,
            withheldData: none
        });
        slasher = Slasher(create("Slasher", abi.encode(config)));
    }

    /// @dev The vectors come in pairs of two proposals, with a nullification between those of notarize and finalize.
    function test_everyPairOfVotesConvicts() public {
        uint256 count = vm.parseJsonUint(json, ".count");
        eq(count, 15, "vectors");
        for (uint256 base = 0; base < count; base += 5) {
            Item[5] memory votes;
            for (uint256 i = 0; i < 5; ++i) {
                votes[i] = read(string.concat(".votes[", vm.toString(base + i), "]"));
            }
            convicts(votes[0], votes[1], signerOf(base));
            convicts(votes[3], votes[4], signerOf(base + 3));
        }
        eq(pool.slashedCount(), 6, "all");
    }

    function test_everyPairOfCertificatesConvicts() public {
        uint256 expected;
        for (uint256 base = 0; base < 15; base += 5) {
            for (uint256 i = 0; i < 4; ++i) {
                // notarize / notarize, nullify / finalize twice, finalize / finalize
                uint256 left = [uint256(0), 2, 2, 3][i];
                uint256 right = [uint256(1), 3, 4, 4][i];
                uint256 state = vm.snapshotState();
                uint256 guilty = forks(base + left, base + right);
                uint256 count = pool.slashedCount();
                for (uint256 j = 0; j < count; ++j) {
                    yes(guilty >> (pool.slashed(j) - 101) & 1 == 1, "in both");
                    guilty ^= 1 << (pool.slashed(j) - 101);
                }
                eq(guilty, 0, "all of them");
                expected += count;
                vm.revertToState(state);
            }
        }
        yes(expected > 30, "some");
    }

    /// @dev What the library writes to its journals and logs: message | varint(signer) | compressed signature.
    function test_theEncodedFormsCarryTheSignedMessage() public view {
        for (uint256 i = 0; i < 15; ++i) {
            Item memory item = read(string.concat(".votes[", vm.toString(i), "]"));
            bytes memory message = tail(item.signed, item.encoded.length - 49);
            for (uint256 j = 0; j < message.length; ++j) {
                yes(message[j] == item.encoded[j], "message");
            }
            eq(uint8(item.encoded[message.length]), signerOf(i), "signer");
            // Compressed G1: x with flags in the three top bits.
            bytes memory compressed = tail(item.encoded, 48);
            yes(uint8(compressed[0]) & 0xc0 == 0x80, "finite and compressed");
            for (uint256 j = 0; j < 48; ++j) {
                uint8 mask = j == 0 ? 0x1f : 0xff;
                yes(uint8(compressed[j]) & mask == uint8(item.vote.signature[16 + j]), "x");
            }
        }
    }

    function convicts(Item memory first, Item memory second, uint32 signer) private {
        rollup.setEpoch(uint48(first.epoch));
        uint256 before = pool.slashedCount();
        slasher.submitEquivocation(
            Slasher.Term({batchIndex: 0, epoch: first.epoch, committeeId: 1}), signer, first.vote, second.vote
        );
        eq(pool.slashed(before), 101 + signer, "the signer");
    }

    function forks(uint256 left, uint256 right) private returns (uint256 guilty) {
        string memory a = string.concat(".certificates[", vm.toString(left), "]");
        string memory b = string.concat(".certificates[", vm.toString(right), "]");
        uint256 signersA = vm.parseJsonUint(json, string.concat(a, ".signers"));
        uint256 signersB = vm.parseJsonUint(json, string.concat(b, ".signers"));
        Item memory first = read(a);
        Item memory second = read(b);
        rollup.setEpoch(uint48(first.epoch));
        slasher.submitFork(
            Slasher.Term({batchIndex: 0, epoch: first.epoch, committeeId: 1}),
            Slasher.Certificate({vote: first.vote, signers: signersA}),
            Slasher.Certificate({vote: second.vote, signers: signersB}),
            type(uint256).max
        );
        return signersA & signersB;
    }

    function read(string memory at) private view returns (Item memory item) {
        item.epoch = uint64(vm.parseJsonUint(json, string.concat(at, ".epoch")));
        item.signed = vm.parseJsonBytes(json, string.concat(at, ".signed"));
        item.encoded = vm.parseJsonBytes(json, string.concat(at, ".encoded"));
        item.vote = Slasher.Vote({
            kind: uint8(vm.parseJsonUint(json, string.concat(at, ".kind"))),
            view_: uint64(vm.parseJsonUint(json, string.concat(at, ".view"))),
            parentView: uint64(vm.parseJsonUint(json, string.concat(at, ".parentView"))),
            payload: vm.parseJsonBytes32(json, string.concat(at, ".payload")),
            signature: vm.parseJsonBytes(json, string.concat(at, ".signature"))
        });
    }

    function signerOf(uint256 i) private view returns (uint32) {
        return uint32(vm.parseJsonUint(json, string.concat(".votes[", vm.toString(i), "].signer")));
    }

    function packed(bytes memory key) private pure returns (bytes memory out) {
        out = new bytes(Bls.G2_PACKED_LENGTH);
        uint256 from;
        uint256 to;
        assembly ("memory-safe") {
            from := add(key, 32)
            to := add(out, 32)
        }
        Bls.pack(from, to);
    }

    function tail(bytes memory data, uint256 length) private pure returns (bytes memory out) {
        out = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            out[i] = data[data.length - length + i];
        }
    }
}
