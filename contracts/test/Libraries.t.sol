// Libraries: cryptography, tries, headers and code storage against vectors of other implementations, and against hostile bytes.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {TrieProof} from "@openzeppelin/contracts/utils/cryptography/TrieProof.sol";
import {Bls} from "../src/lib/Bls.sol";
import {CertificateVerifier} from "../src/lib/CertificateVerifier.sol";
import {CodeStore} from "../src/lib/CodeStore.sol";
import {Ed25519} from "../src/lib/Ed25519.sol";
import {Header, HeaderReader} from "../src/lib/HeaderReader.sol";
import {MerklePatricia} from "../src/lib/MerklePatricia.sol";
import {Sort} from "../src/lib/Sort.sol";
import {Chain, TestHeader} from "./base/Chain.sol";
import {Rlp} from "./base/Rlp.sol";
import {Signer} from "./base/Signer.sol";
import {Test} from "./base/Test.sol";
import {vm} from "./base/Vm.sol";

/// @dev Gives the internal libraries an external face, so that reverts can be caught and calldata is calldata.
contract Harness {
    function verify(bytes memory signed, bytes32 tag, bytes memory key, bytes calldata signature)
        external
        view
        returns (bool)
    {
        uint256 at_;
        assembly {
            at_ := add(key, 32)
        }
        return Bls.verify(signed, tag, at_, signature);
    }

    function compress(bytes memory key)
        external
        pure
        returns (bytes memory packed, bytes memory compressed, bytes memory padded)
    {
        (packed, compressed, padded) = (new bytes(192), new bytes(96), new bytes(256));
        uint256 from;
        uint256 to;
        uint256 out;
        uint256 back;
        assembly {
            from := add(key, 32)
            to := add(packed, 32)
            out := add(compressed, 32)
            back := add(padded, 32)
        }
        Bls.pack(from, to);
        Bls.compress(to, out);
        Bls.pad(to, back);
    }

    function negate(bytes memory key) external pure returns (bytes memory) {
        uint256 p;
        assembly {
            p := add(key, 32)
        }
        Bls.negate(p);
        return key;
    }

    function message(bytes memory prefix, uint64 epoch, uint64 view_, uint64 parentView, bytes memory payload)
        external
        pure
        returns (bytes memory)
    {
        return CertificateVerifier.message(prefix, epoch, view_, parentView, payload);
    }

    function get(bytes32 root, bytes32 key, bytes[] calldata proof) external pure returns (bytes memory) {
        return MerklePatricia.get(root, key, proof);
    }

    function peer(bytes32 root, bytes32 key, bytes[] memory proof) external pure returns (bytes memory) {
        return TrieProof.traverse(root, abi.encodePacked(key), proof);
    }

    function read(bytes calldata rlp) external pure returns (Header memory) {
        return HeaderReader.read(rlp);
    }

    function store(bytes memory data) external returns (address) {
        return CodeStore.write(data);
    }

    function load(address pointer, uint256 offset, uint256 length) external view returns (bytes memory) {
        return CodeStore.read(pointer, offset, length);
    }
}

contract BlsTest is Test {
    Harness private harness;
    string private json;

    function setUp() public {
        harness = new Harness();
        json = vm.readFile("test/vectors/bls.json");
    }

    function test_agreesWithNobleCurves() public view {
        bytes[] memory secrets = vm.parseJsonBytesArray(json, ".secret");
        bytes[] memory keys = vm.parseJsonBytesArray(json, ".publicKey");
        bytes[] memory compressed = vm.parseJsonBytesArray(json, ".compressed");
        bytes[] memory messages = vm.parseJsonBytesArray(json, ".message");
        bytes[] memory votes = vm.parseJsonBytesArray(json, ".vote");
        bytes[] memory possessions = vm.parseJsonBytesArray(json, ".possession");
        eq(secrets.length, 12, "vectors");
        for (uint256 i = 0; i < secrets.length; ++i) {
            uint256 secret = uint256(bytes32(secrets[i]));
            eq(Signer.publicKey(secret), keys[i], "key");
            eq(Signer.sign(secret, messages[i], Signer.VOTE), votes[i], "signature");
            yes(harness.verify(messages[i], Bls.DST_VOTE, keys[i], votes[i]), "vote");
            yes(harness.verify(messages[i], Bls.DST_POSSESSION, keys[i], possessions[i]), "possession");
            yes(!harness.verify(messages[i], Bls.DST_POSSESSION, keys[i], votes[i]), "a vote is no proof of possession");
            yes(
                !harness.verify(abi.encodePacked(messages[i], uint8(0)), Bls.DST_VOTE, keys[i], votes[i]),
                "other message"
            );
            yes(!harness.verify(messages[i], Bls.DST_VOTE, keys[(i + 1) % 12], votes[i]), "other key");
            (, bytes memory small, bytes memory back) = harness.compress(keys[i]);
            eq(small, compressed[i], "compressed");
            eq(back, keys[i], "padded again");
        }
    }

    function test_refusesTheIdentity() public view {
        yes(!harness.verify("m", Bls.DST_VOTE, new bytes(256), new bytes(128)), "both");
        yes(!harness.verify("m", Bls.DST_VOTE, Signer.publicKey(7), new bytes(128)), "signature");
        yes(!harness.verify("m", Bls.DST_VOTE, new bytes(256), Signer.sign(7, "m", Signer.VOTE)), "key");
    }

    function test_refusesMalformedPointsWithoutBurningTheCall() public view {
        bytes memory signature = Signer.sign(7, "m", Signer.VOTE);
        bytes memory key = Signer.publicKey(7);
        signature[100] ^= 0x10;
        uint256 before = gasleft();
        yes(!harness.verify("m", Bls.DST_VOTE, key, signature), "off the curve");
        yes(before - gasleft() < 400_000, "gas of a malformed point is bounded");
        signature[100] ^= 0x10;
        signature[0] = 0x01;
        yes(!harness.verify("m", Bls.DST_VOTE, key, signature), "padding not zero");
        yes(!harness.verify("m", Bls.DST_VOTE, key, new bytes(127)), "short");
    }

    /// @dev A point of the curve outside of the subgroup: x = 4 lies on y^2 = x^3 + 4 and has the wrong order.
    function test_refusesAPointOutsideTheSubgroup() public view {
        bytes memory outside = hex"0000000000000000000000000000000000000000000000000000000000000000"
            hex"0000000000000000000000000000000000000000000000000000000000000004"
            hex"000000000000000000000000000000000a989badd40d6212b33cffc3f3763e9bc760f988c9926b26da9dd85e928483446346b8ed00e1de5d5ea93e354abe706c";
        // It is a point: ADD, which checks the curve only, takes it.
        (bool ok,) = address(0x0b).staticcall(abi.encodePacked(outside, outside));
        yes(ok, "on the curve");
        yes(!harness.verify("m", Bls.DST_VOTE, Signer.publicKey(7), outside), "subgroup");
    }

    function test_negationAddsToZero(uint256 secret) public view {
        bytes memory key = Signer.publicKey(bound(secret, 1, Signer.ORDER - 1));
        bytes memory minus = harness.negate(bytes.concat(key));
        (bool ok, bytes memory sum) = address(0x0d).staticcall(abi.encodePacked(key, minus));
        yes(ok, "on the curve");
        eq(sum, new bytes(256), "sum");
        eq(harness.negate(new bytes(256)), new bytes(256), "identity");
    }

    function test_messageFraming() public view {
        // Vector of the consensus library: epoch 300, view 70000, parent 69999.
        bytes memory prefix = abi.encodePacked(uint8(0x2e), "PROTO_ROLLUP|l1=31337|rollup=0x00..01", "_FINALIZE");
        bytes memory payload = abi.encodePacked(keccak256("header"));
        eq(
            harness.message(prefix, 300, 70_000, 69_999, payload),
            abi.encodePacked(prefix, hex"ac02f0a204efa204", payload),
            "framing"
        );
        eq(
            harness.message("", 0, 127, 128, new bytes(100)),
            abi.encodePacked(hex"007f8001", new bytes(100)),
            "edges of a byte"
        );
        eq(harness.message("", type(uint64).max, 0, 0, ""), hex"ffffffffffffffffff010000", "largest varint");
    }
}

contract Ed25519Test is Test {
    function test_agreesWithNobleCurves() public view {
        string memory json = vm.readFile("test/vectors/ed25519.json");
        bytes[] memory points = vm.parseJsonBytesArray(json, ".point");
        bytes[] memory others = vm.parseJsonBytesArray(json, ".other");
        yes(points.length > 20 && others.length > 20, "vectors");
        for (uint256 i = 0; i < points.length; ++i) {
            yes(Ed25519.isPoint(bytes32(points[i])), "point");
        }
        for (uint256 i = 0; i < others.length; ++i) {
            yes(!Ed25519.isPoint(bytes32(others[i])), "not a point");
        }
    }
}

contract MerklePatriciaTest is Test {
    struct Case {
        bytes32 root;
        bytes32 key;
        bytes value;
        bytes[] proof;
    }

    Harness private harness;
    Case[] private cases;

    function setUp() public {
        harness = new Harness();
        string memory json = vm.readFile("test/vectors/tries.json");
        uint256 count = vm.parseJsonUint(json, ".count");
        for (uint256 i = 0; i < count; ++i) {
            string memory at_ = string.concat(".tries[", vm.toString(i), "]");
            cases.push(
                Case({
                    root: vm.parseJsonBytes32(json, string.concat(at_, ".root")),
                    key: vm.parseJsonBytes32(json, string.concat(at_, ".key")),
                    value: vm.parseJsonBytes(json, string.concat(at_, ".value")),
                    proof: vm.parseJsonBytesArray(json, string.concat(at_, ".proof"))
                })
            );
        }
    }

    function test_agreesWithEthereumjs() public {
        uint256 included;
        for (uint256 i = 0; i < cases.length; ++i) {
            Case memory c = cases[i];
            if (c.value.length == 0) {
                (bool ok, bytes memory reason) = _get(c);
                yes(!ok, "absent");
                eq(bytes32(bytes4(reason)), bytes32(MerklePatricia.ProofKeyAbsent.selector), "reason");
                continue;
            }
            ++included;
            eq(harness.get(c.root, c.key, c.proof), c.value, "value");
            eq(harness.peer(c.root, c.key, c.proof), c.value, "OpenZeppelin agrees");
            // As eth_getProof of geth gives it: without the nodes that lie inside their parents.
            c.proof = _hashedOnly(c.proof);
            eq(harness.get(c.root, c.key, c.proof), c.value, "embedded nodes left out");
        }
        yes(included > 25, "vectors");
    }

    function test_refusesProofsOfTheWrongLength() public {
        for (uint256 i = 0; i < cases.length; ++i) {
            Case memory c = cases[i];
            if (c.value.length == 0) continue;
            bytes[] memory proof = c.proof;
            c.proof = _resize(proof, proof.length + 1);
            c.proof[proof.length] = hex"c0";
            (bool ok, bytes memory reason) = _get(c);
            yes(!ok && bytes4(reason) == MerklePatricia.ProofTooLong.selector, "too long");
            uint256 hashed = _hashedOnly(proof).length;
            c.proof = _resize(proof, hashed - 1);
            (ok, reason) = _get(c);
            yes(!ok && bytes4(reason) == MerklePatricia.ProofTooShort.selector, "too short");
        }
    }

    function test_refusesAnotherRoot(bytes32 root) public {
        Case memory c = cases[0];
        vm.assume(root != c.root);
        vm.expectRevert(abi.encodeWithSelector(MerklePatricia.ProofNodeHash.selector, 0, root));
        harness.get(root, c.key, c.proof);
    }

    /// @dev One byte changed anywhere in the proof: never another value, and every refusal by an error of the library.
    function testFuzz_refusesAChangedByte(uint256 pick, uint256 node, uint256 position, uint8 flip) public view {
        Case memory c = cases[pick % cases.length];
        node %= c.proof.length;
        position %= c.proof[node].length;
        if (flip == 0) flip = 1;
        c.proof[node][position] ^= bytes1(flip);
        (bool ok, bytes memory reason) = _get(c);
        yes(!ok, "accepted a changed proof");
        yes(reason.length >= 4 && bytes4(reason) != bytes4(0x4e487b71), "own error, no panic");
    }

    /// @dev Arbitrary bytes under their own hash as root: no panic, and where it is accepted, OpenZeppelin's reader agrees.
    function testFuzz_hostileRoot(bytes memory blob, bytes32 key, uint256 shape, uint256 pick) public view {
        bytes memory node = blob;
        if (shape % 4 == 1) node = Rlp.list(blob);
        if (shape % 4 == 2) node = Rlp.list(bytes.concat(Rlp.str(abi.encodePacked(uint8(0x20), key)), Rlp.str(blob)));
        if (shape % 4 == 3) {
            // A true node with a tail or a byte changed, hashed anew.
            Case memory v = cases[pick % cases.length];
            (node, key) = (v.proof[0], v.key);
            if (blob.length != 0) node[uint8(blob[0]) % node.length] ^= bytes1(uint8(shape >> 8));
        }
        bytes[] memory proof = new bytes[](1);
        proof[0] = node;
        Case memory c = Case({root: keccak256(node), key: key, value: "", proof: proof});
        (bool ok, bytes memory out) = _get(c);
        if (!ok) {
            yes(out.length >= 4 && bytes4(out) != bytes4(0x4e487b71), "own error, no panic");
        } else {
            bytes memory value = abi.decode(out, (bytes));
            if (value.length != 0) eq(harness.peer(c.root, c.key, proof), value, "OpenZeppelin agrees");
        }
    }

    function test_refusesLooseRlp() public {
        bytes32 key = keccak256("key");
        bytes memory path = Rlp.str(abi.encodePacked(uint8(0x20), key));
        _expectMalformed(bytes.concat(hex"f825", path, hex"8101", hex"00"), key); // 0x01 must be its own encoding
        _expectMalformed(bytes.concat(hex"f823", path, hex"01"), key); // a length below 56 in the long form
        _expectMalformed(bytes.concat(hex"e3", path, hex"01", hex"00"), key); // a tail behind the list
        _expectMalformed(bytes.concat(hex"e4", path, hex"01", hex"01"), key); // three items
        _expectMalformed(bytes.concat(hex"e5", path, hex"01"), key); // a list longer than its node
        _expectMalformed(Rlp.list(bytes.concat(Rlp.str(abi.encodePacked(uint8(0x40), key)), hex"01")), key); // an unknown path flag
        _expectMalformed(Rlp.list(bytes.concat(Rlp.str(abi.encodePacked(uint8(0x25), key)), hex"01")), key); // an even path with a stray nibble
        _expectMalformed(Rlp.list(bytes.concat(hex"00", Rlp.hash(key))), key); // an extension of no nibbles
        _expectMalformed(hex"", key);
        _expectMalformed(hex"80", key);
    }

    /// @dev Any refusal will do where more than one field is wrong.
    function _expectMalformed(bytes memory node, bytes32 key) private {
        bytes[] memory proof = new bytes[](1);
        proof[0] = node;
        (bool ok, bytes memory reason) = _get(Case({root: keccak256(node), key: key, value: "", proof: proof}));
        yes(!ok, "accepted loose RLP");
        yes(
            bytes4(reason) == MerklePatricia.ProofNodeMalformed.selector
                || bytes4(reason) == MerklePatricia.ProofKeyAbsent.selector,
            "own error"
        );
    }

    function _get(Case memory c) private view returns (bool, bytes memory) {
        return address(harness).staticcall(abi.encodeCall(Harness.get, (c.root, c.key, c.proof)));
    }

    function _hashedOnly(bytes[] memory proof) private pure returns (bytes[] memory out) {
        uint256 count;
        out = new bytes[](proof.length);
        for (uint256 i = 0; i < proof.length; ++i) {
            if (i == 0 || proof[i].length >= 32) out[count++] = proof[i];
        }
        return _resize(out, count);
    }

    function _resize(bytes[] memory proof, uint256 length) private pure returns (bytes[] memory out) {
        out = new bytes[](length);
        for (uint256 i = 0; i < length && i < proof.length; ++i) {
            out[i] = proof[i];
        }
    }
}

contract HeaderReaderTest is Chain {
    Harness private harness;

    function setUp() public {
        harness = new Harness();
    }

    function sample(uint256 seed) private pure returns (TestHeader memory h) {
        // Widths from one byte to eight.
        uint64[9] memory n;
        for (uint256 i = 0; i < 9; ++i) {
            uint256 r = uint256(keccak256(abi.encode(seed, i)));
            n[i] = uint64(r >> 64) >> (r % 64);
        }
        h.parentHash = keccak256(abi.encode(seed, "parent"));
        h.stateRoot = keccak256(abi.encode(seed, "state"));
        h.messagePasserRoot = keccak256(abi.encode(seed, "messages"));
        (h.number, h.timestamp, h.version, h.epoch, h.view_) = (n[0] >> 16, n[1], 1, n[2], n[3]);
        (h.parentView, h.leader, h.committeeId, h.nextCommitteeId, h.originNumber) = (n[4], n[5], n[6], n[7], n[8]);
        h.originHash = keccak256(abi.encode(seed, "origin"));
    }

    function testFuzz_readsEveryField(uint256 seed) public view {
        TestHeader memory h = sample(seed);
        bytes memory rlp = encode(h);
        Header memory r = harness.read(rlp);
        eq(r.hash, keccak256(rlp), "hash");
        eq(r.parentHash, h.parentHash, "parentHash");
        eq(r.stateRoot, h.stateRoot, "stateRoot");
        eq(r.messagePasserRoot, h.messagePasserRoot, "messagePasserRoot");
        eq(r.number, h.number, "number");
        eq(r.timestamp, h.timestamp, "timestamp");
        eq(r.epoch, h.epoch, "epoch");
        eq(r.view_, h.view_, "view");
        eq(r.parentView, h.parentView, "parentView");
        eq(r.leader, h.leader, "leader");
        eq(r.committeeId, h.committeeId, "committeeId");
        eq(r.nextCommitteeId, h.nextCommitteeId, "nextCommitteeId");
        eq(r.originNumber, h.originNumber, "originNumber");
        eq(r.originHash, h.originHash, "originHash");
    }

    /// @dev Cut, extended or changed in a structural byte: refused, never a panic. Changed in a content byte: another hash.
    function testFuzz_hostileBytes(uint256 seed, uint256 position, uint8 flip, uint8 cut) public view {
        bytes memory rlp = encode(sample(seed));
        bytes32 hash = keccak256(rlp);
        if (flip != 0) rlp[position % rlp.length] ^= bytes1(flip);
        if (cut != 0) {
            uint256 length = rlp.length - cut;
            assembly {
                mstore(rlp, length)
            }
        }
        (bool ok, bytes memory out) = address(harness).staticcall(abi.encodeCall(Harness.read, (rlp)));
        if (ok) {
            Header memory r = abi.decode(out, (Header));
            yes(flip == 0 ? r.hash == hash : r.hash != hash, "hash covers every byte");
            yes(cut == 0, "accepted a cut header");
        } else {
            bytes4 reason = bytes4(out);
            yes(
                reason == HeaderReader.HeaderMalformed.selector || reason == HeaderReader.HeaderLength.selector
                    || reason == HeaderReader.ExtensionVersion.selector,
                "own error"
            );
        }
    }

    function test_refusesAnotherExtensionVersion() public {
        TestHeader memory h = sample(1);
        h.version = 2;
        bytes memory rlp = encode(h);
        vm.expectRevert(abi.encodeWithSelector(HeaderReader.ExtensionVersion.selector, 2, 1));
        harness.read(rlp);
    }

    function test_refusesATailInTheExtension() public {
        TestHeader memory h = sample(1);
        bytes memory rlp = encodeWith(h, bytes.concat(extension(h), hex"00"));
        (bool ok, bytes memory reason) = address(harness).staticcall(abi.encodeCall(Harness.read, (rlp)));
        yes(!ok && bytes4(reason) == HeaderReader.HeaderMalformed.selector, "tail");
        rlp = encodeWith(h, "");
        (ok, reason) = address(harness).staticcall(abi.encodeCall(Harness.read, (rlp)));
        yes(!ok && bytes4(reason) == HeaderReader.HeaderMalformed.selector, "no extension");
    }

    function test_refusesLooseIntegers() public {
        TestHeader memory h = sample(1);
        bytes memory good = extension(h);
        // Version written as 0x8101 (one byte below 0x80 in long form) and as 0x820001 (leading zero).
        bytes memory loose = Rlp.list(bytes.concat(hex"8101", _tail(good)));
        _expectMalformed(encodeWith(h, loose));
        loose = Rlp.list(bytes.concat(hex"820001", _tail(good)));
        _expectMalformed(encodeWith(h, loose));
        loose = Rlp.list(bytes.concat(hex"00", _tail(good)));
        _expectMalformed(encodeWith(h, loose));
    }

    function test_refusesHeadersOutOfLength() public {
        vm.expectRevert(abi.encodeWithSelector(HeaderReader.HeaderLength.selector, 0, 800));
        harness.read("");
        vm.expectRevert(abi.encodeWithSelector(HeaderReader.HeaderLength.selector, 801, 800));
        harness.read(new bytes(801));
    }

    /// @dev The payload of an extension behind its version byte.
    function _tail(bytes memory ext) private pure returns (bytes memory tail) {
        uint256 from = uint8(ext[0]) > 0xf7 ? 3 : 2;
        tail = new bytes(ext.length - from);
        for (uint256 i = 0; i < tail.length; ++i) {
            tail[i] = ext[from + i];
        }
    }

    function _expectMalformed(bytes memory rlp) private view {
        (bool ok, bytes memory reason) = address(harness).staticcall(abi.encodeCall(Harness.read, (rlp)));
        yes(!ok && bytes4(reason) == HeaderReader.HeaderMalformed.selector, "loose integer");
    }
}

contract CodeStoreTest is Test {
    Harness private harness;

    function setUp() public {
        harness = new Harness();
    }

    function testFuzz_keepsWhatIsWritten(bytes memory data, uint256 offset, uint256 length) public {
        address pointer = harness.store(data);
        eq(pointer.code, abi.encodePacked(uint8(0), data), "code");
        offset = bound(offset, 0, data.length);
        length = bound(length, 0, data.length - offset);
        bytes memory part = harness.load(pointer, offset, length);
        for (uint256 i = 0; i < length; ++i) {
            yes(part[i] == data[offset + i], "byte");
        }
        vm.expectRevert(
            abi.encodeWithSelector(CodeStore.CodeStoreOutOfRange.selector, pointer, offset, data.length + 1)
        );
        harness.load(pointer, offset, data.length + 1);
    }

    function test_refusesMoreThanACodeHolds() public {
        yes(harness.store(new bytes(24_575)).code.length == 24_576, "largest");
        vm.expectRevert(abi.encodeWithSelector(CodeStore.CodeStoreFailed.selector, 24_576));
        harness.store(new bytes(24_576));
    }
}

contract SortTest is Test {
    function testFuzz_sortsAndKeepsEveryWord(uint256[] memory words) public pure {
        uint256 sum;
        uint256 mixed;
        for (uint256 i = 0; i < words.length; ++i) {
            // Small numbers too, so that there are equal ones.
            if (i % 2 == 0) words[i] %= 8;
            unchecked {
                sum += words[i];
                mixed += uint256(keccak256(abi.encode(words[i])));
            }
        }
        Sort.sort(words);
        for (uint256 i = 0; i < words.length; ++i) {
            unchecked {
                sum -= words[i];
                mixed -= uint256(keccak256(abi.encode(words[i])));
            }
            yes(i == 0 || words[i - 1] <= words[i], "ascending");
        }
        yes(sum == 0 && mixed == 0, "the same words");
    }
}
