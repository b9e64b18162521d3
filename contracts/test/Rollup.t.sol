// Rollup: what is accepted, and every refusal by its own error.
// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Rollup} from "../src/l1/Rollup.sol";
import {SequencerPool} from "../src/l1/SequencerPool.sol";
import {CertificateVerifier} from "../src/lib/CertificateVerifier.sol";

import {Chain, TestHeader} from "./base/Chain.sol";
import {Signer} from "./base/Signer.sol";
import {vm} from "./base/Vm.sol";

contract RollupTest is Chain {
    uint256 private constant ALL = 0xf;
    /// @dev posterAt(1).
    address private constant POSTER = address(0x9057e201);

    function setUp() public {
        deploy(4);
        advance();
    }

    /// @dev The fixture's genesis origin is the block before deployment.
    function advance() private {
        vm.roll(height() + 10);
        vm.warp(now_() + 120);
    }

    // ---- accepted ----

    function test_acceptsACertifiedBatch() public {
        TestHeader memory h = nextHeader(10);
        bytes32 hash = keccak256(encode(h));
        bytes32 outputRoot = keccak256(abi.encode(uint256(0), h.stateRoot, h.messagePasserRoot, hash));
        Rollup.Certificate memory certificate = certify(rollup, h, 1, ALL);
        vm.expectEmit(address(rollup));
        emit Rollup.BatchSubmitted(1, hash, 1, 10, 0, keccak256("payload"), outputRoot);
        rollup.submitBatch(0, 1, encode(h), certificate, 0, "payload");

        (uint256 index, bytes32 headerHash, uint64 number, uint64 epoch, uint64 committeeId, uint64 next) =
            rollup.head();
        eq(index, 1, "index");
        eq(headerHash, hash, "hash");
        eq(number, 10, "number");
        eq(epoch, 0, "epoch");
        eq(committeeId, 1, "committee");
        eq(next, 1, "next");
        eq(rollup.getL2Output(1).outputRoot, outputRoot, "output root");
        eq(rollup.getL2Output(1).l2BlockNumber, 10, "output block");
        eq(rollup.getL2Output(1).timestamp, now_(), "output time");
        eq(rollup.batch(1).originNumber, h.originNumber, "origin");
    }

    function test_acceptsEveryQuorum() public {
        for (uint256 absent = 0; absent < 4; ++absent) {
            uint256 state = vm.snapshotState();
            TestHeader memory h = nextHeader(10);
            rollup.submitBatch(0, 1, encode(h), certify(rollup, h, 1, ALL ^ 1 << absent), 0, "data");
            vm.revertToState(state);
        }
    }

    function test_acceptsASingleBlockThatExtendsTheHead() public {
        submit(nextHeader(1));
        submit(nextHeader(1));
        eq(rollup.latestBlockNumber(), 2, "number");
    }

    function test_acceptsABoundaryBlockFinalizedInALaterView() public {
        TestHeader memory h = nextHeader(59);
        rollup.submitBatch(0, 1, encode(h), certifyAt(rollup, h, 1, ALL, h.view_ + 300, h.view_ + 7), 0, "data");
        eq(rollup.latestBlockNumber(), 59, "number");
    }

    function test_acceptsBlobs() public {
        bytes32[] memory hashes = new bytes32[](2);
        (hashes[0], hashes[1]) = (bytes32(uint256(1) << 248 | 5), bytes32(uint256(1) << 248 | 6));
        vm.blobhashes(hashes);
        TestHeader memory h = nextHeader(10);
        bytes32 commitment = keccak256(abi.encodePacked(hashes));
        Rollup.Certificate memory certificate = certify(rollup, h, 1, ALL);
        bytes32 hash = keccak256(encode(h));
        vm.expectEmit(address(rollup));
        emit Rollup.BatchSubmitted(
            1, hash, 1, 10, 1, commitment, keccak256(abi.encode(uint256(0), h.stateRoot, h.messagePasserRoot, hash))
        );
        rollup.submitBatch(0, 1, encode(h), certificate, 1, "");
        vm.expectEmit(address(rollup));
        emit Rollup.BatchData(1, address(this), 0, 1, 1, commitment);
        rollup.repostData(1, 0, 1, 1, "");
    }

    function test_followsAHandOver() public {
        // Committee 2 has another member; it is named by the headers of epoch 0 and certifies epoch 1.
        join(MAX_LOCK);
        eq(rotateLater(), 2, "rotation");
        advance();
        TestHeader memory h = nextHeader(59);
        h.nextCommitteeId = 2;
        submit(h);
        (,,,, uint64 committeeId, uint64 next) = rollup.head();
        eq(committeeId, 1, "before");
        eq(next, 2, "named");

        h = nextHeader(5);
        eq(h.epoch, 1, "epoch");
        eq(h.committeeId, 2, "committee of the next epoch");
        submit(h);
        (,,,, committeeId, next) = rollup.head();
        eq(committeeId, 2, "after");

        // And the committee stays in office where no newer one is named.
        h = nextHeader(55);
        submit(h);
        h = nextHeader(1);
        eq(h.epoch, 2, "epoch");
        submit(h);
        (,,,, committeeId,) = rollup.head();
        eq(committeeId, 2, "stays");
    }

    function test_headerOfTheNextEpochMayNameANewerCommittee() public {
        TestHeader memory h = nextHeader(59);
        submit(h);
        join(MAX_LOCK);
        rotateLater();
        advance();
        h = nextHeader(1);
        h.nextCommitteeId = 2;
        submit(h);
        (,,,, uint64 committeeId, uint64 next) = rollup.head();
        eq(committeeId, 1, "committee");
        eq(next, 2, "next");
    }

    function test_readsAnOriginOlderThan256Blocks() public {
        // EIP-2935: a contract that serves older hashes. Here: keccak256 of the number.
        bytes memory history = hex"5f355f5260205f205f5260205ff3"; // mstore(0, calldataload(0)); return keccak256(0, 32)
        vm.etch(0x0000F90827F1C53a10cb7A02335B175320002935, history);
        vm.roll(height() + 500);
        TestHeader memory h = nextHeader(10);
        h.originNumber = uint64(height() - 400);
        h.originHash = keccak256(abi.encode(height() - 400));
        submit(h);
        eq(rollup.batch(1).originNumber, h.originNumber, "origin");
    }

    // ---- the certificate ----

    function test_refusesAForgedCertificate() public {
        TestHeader memory h = nextHeader(10);
        Rollup.Certificate memory certificate = certify(rollup, h, 1, ALL);
        // Signed by keys outside of the committee.
        bytes memory signed =
            voteMessage(rollup, "_FINALIZE", h.epoch, h.view_, h.parentView, abi.encodePacked(keccak256(encode(h))));
        certificate.signature = Signer.sign(12345, signed, Signer.VOTE);
        expectInvalid(h, certificate, 1);
        // A point that is not on the curve, the identity, and a point outside the field.
        certificate.signature[127] ^= 0x01;
        expectInvalid(h, certificate, 1);
        certificate.signature = new bytes(128);
        expectInvalid(h, certificate, 1);
        certificate.signature[0] = 0x01;
        expectInvalid(h, certificate, 1);
    }

    function test_refusesACertificateOfAnotherHeader() public {
        TestHeader memory h = nextHeader(10);
        Rollup.Certificate memory certificate = certify(rollup, h, 1, ALL);
        h.stateRoot = keccak256("stolen");
        expectInvalid(h, certificate, 1);
    }

    function test_refusesACertificateOfAnotherView() public {
        TestHeader memory h = nextHeader(10);
        Rollup.Certificate memory certificate = certify(rollup, h, 1, ALL);
        certificate.view_ += 1;
        expectInvalid(h, certificate, 1);
        certificate.view_ -= 1;
        certificate.parentView -= 1;
        expectInvalid(h, certificate, 1);
    }

    function test_refusesANotarization() public {
        TestHeader memory h = nextHeader(10);
        Rollup.Certificate memory certificate = certify(rollup, h, 1, ALL);
        bytes memory signed =
            voteMessage(rollup, "_NOTARIZE", h.epoch, h.view_, h.parentView, abi.encodePacked(keccak256(encode(h))));
        certificate.signature = Signer.sign(secretSum(1, ALL), signed, Signer.VOTE);
        expectInvalid(h, certificate, 1);
    }

    function test_refusesAForeignSignerClaimedByTheBitmap() public {
        TestHeader memory h = nextHeader(10);
        Rollup.Certificate memory certificate = certify(rollup, h, 1, 0x7);
        certificate.signers = 0xb;
        expectInvalid(h, certificate, 1);
    }

    function test_refusesTheCertificateOfAnotherCommittee() public {
        join(MAX_LOCK);
        rotateLater();
        advance();
        // Committee 2 certifies a header of an epoch that is committee 1's, and says so ...
        TestHeader memory h = nextHeader(10);
        h.committeeId = 2;
        expectRefusal(abi.encodeWithSelector(Rollup.WrongCommittee.selector, 2, 1), h, certify(rollup, h, 2, 0x1f));
        // ... or does not say so.
        h.committeeId = 1;
        Rollup.Certificate memory certificate = certify(rollup, h, 2, 0xf);
        expectInvalid(h, certificate, 1);
    }

    function test_refusesTheOldCommitteeAfterTheHandOver() public {
        join(MAX_LOCK);
        rotateLater();
        advance();
        TestHeader memory h = nextHeader(59);
        h.nextCommitteeId = 2;
        submit(h);
        h = nextHeader(1);
        h.committeeId = 1;
        expectRefusal(abi.encodeWithSelector(Rollup.WrongCommittee.selector, 1, 2), h, certify(rollup, h, 1, ALL));
    }

    function test_refusesOneSignerTooFew() public {
        TestHeader memory h = nextHeader(10);
        expectRefusal(
            abi.encodeWithSelector(CertificateVerifier.QuorumNotReached.selector, 2, 3), h, certify(rollup, h, 1, 0x3)
        );
    }

    function test_refusesSignersBeyondTheCommittee() public {
        TestHeader memory h = nextHeader(10);
        Rollup.Certificate memory certificate = certify(rollup, h, 1, ALL);
        certificate.signers = 0x1f;
        expectRefusal(abi.encodeWithSelector(CertificateVerifier.SignersOutOfRange.selector, 0x1f, 4), h, certificate);
    }

    function test_refusesAShortSignature() public {
        TestHeader memory h = nextHeader(10);
        Rollup.Certificate memory certificate = certify(rollup, h, 1, ALL);
        certificate.signature = new bytes(127);
        expectRefusal(abi.encodeWithSelector(CertificateVerifier.SignatureLength.selector, 127, 128), h, certificate);
    }

    function test_refusesAViewBeforeTheHeaders() public {
        TestHeader memory h = nextHeader(10);
        expectRefusal(
            abi.encodeWithSelector(Rollup.CertificateViewTooLow.selector, h.view_ - 1, h.view_),
            h,
            certifyAt(rollup, h, 1, ALL, h.view_ - 1, h.parentView)
        );
    }

    // ---- another chain ----

    function test_refusesAReplayAfterAForkOfL1() public {
        TestHeader memory h = nextHeader(10);
        Rollup.Certificate memory certificate = certify(rollup, h, 1, ALL);
        uint256 deployedOn = rollup.L1_CHAIN_ID();
        vm.chainId(61);
        expectRefusal(abi.encodeWithSelector(Rollup.WrongChain.selector, 61, deployedOn), h, certificate);
    }

    function test_refusesAReplayOnAnotherRollupChainOrGenesis() public {
        TestHeader memory h = nextHeader(10);
        Rollup.Certificate memory certificate = certify(rollup, h, 1, ALL);
        Rollup.Config memory other = config(1, L2_CHAIN_ID);
        other.genesisOrigin = rollup.batch(0).originNumber;

        // The same contract at the same L1, at another address.
        Rollup original = rollup;
        rollup = createRollup(other);
        expectInvalid(h, certificate, 1);
        // Another L2 chain id, another genesis, another L1 chain id: put at the SAME address, so that only that value differs.
        other.l2ChainId = L2_CHAIN_ID + 1;
        expectReplayRefused(original, createRollup(other), h, certificate);
        (other.l2ChainId, other.genesisHash) = (L2_CHAIN_ID, keccak256("other genesis"));
        expectReplayRefused(original, createRollup(other), h, certificate);
        other.genesisHash = GENESIS_HASH;
        vm.chainId(61);
        expectReplayRefused(original, createRollup(other), h, certificate);
    }

    /// @dev `namespace` differs in address as well; the certificate is made for the other's namespace with the value in question put back.
    function expectReplayRefused(
        Rollup original,
        Rollup other,
        TestHeader memory h,
        Rollup.Certificate memory certificate
    ) private {
        rollup = other;
        yes(keccak256(original.namespace()) != keccak256(other.namespace()), "namespaces differ");
        expectInvalid(h, certificate, 1);
        // Certified for this one, the header is good: nothing but the namespace was wrong.
        Rollup.Certificate memory good = certify(other, h, 1, ALL);
        other.submitBatch(0, 1, encode(h), good, 0, "data");
    }

    // ---- the chain ----

    function test_refusesAGap() public {
        TestHeader memory h = nextHeader(10);
        Rollup.Certificate memory certificate = certify(rollup, h, 1, ALL);
        vm.expectRevert(abi.encodeWithSelector(Rollup.GapInChain.selector, 2, 1));
        rollup.submitBatch(0, 2, encode(h), certificate, 0, "data");
    }

    function test_refusesAMissingParentAndAReplay() public {
        TestHeader memory h = nextHeader(10);
        Rollup.Certificate memory certificate = certify(rollup, h, 1, ALL);
        vm.expectRevert(abi.encodeWithSelector(Rollup.ParentNotLatest.selector, 1, 0));
        rollup.submitBatch(1, 1, encode(h), certificate, 0, "data");
        rollup.submitBatch(0, 1, encode(h), certificate, 0, "data");
        vm.expectRevert(abi.encodeWithSelector(Rollup.ParentNotLatest.selector, 0, 1));
        rollup.submitBatch(0, 1, encode(h), certificate, 0, "data");
        // With the right parent index, the old header lies behind.
        vm.expectRevert(abi.encodeWithSelector(Rollup.BatchReversed.selector, 11, 10));
        rollup.submitBatch(1, 11, encode(h), certificate, 0, "data");
    }

    function test_refusesASingleBlockWithAnotherParent() public {
        TestHeader memory h = nextHeader(1);
        h.parentHash = keccak256("fork");
        expectRefusal(
            abi.encodeWithSelector(Rollup.ParentHashMismatch.selector, h.parentHash, GENESIS_HASH),
            h,
            certify(rollup, h, 1, ALL)
        );
    }

    function test_refusesABatchAcrossEpochs() public {
        TestHeader memory h = nextHeader(61);
        expectRefusal(abi.encodeWithSelector(Rollup.BatchSpansEpochs.selector, 0, 1), h, certify(rollup, h, 1, ALL));
    }

    function test_refusesAnEpochThatIsNotTheNumbers() public {
        TestHeader memory h = nextHeader(10);
        h.epoch = 1;
        expectRefusal(abi.encodeWithSelector(Rollup.EpochMismatch.selector, 1, 0), h, certify(rollup, h, 1, ALL));
    }

    function test_refusesAnUnknownNextCommittee() public {
        TestHeader memory h = nextHeader(10);
        h.nextCommitteeId = 2;
        expectRefusal(abi.encodeWithSelector(Rollup.UnknownNextCommittee.selector, 2, 1), h, certify(rollup, h, 1, ALL));
    }

    function test_refusesACommitteeThatComesBack() public {
        join(MAX_LOCK);
        rotateLater();
        advance();
        TestHeader memory h = nextHeader(59);
        h.nextCommitteeId = 2;
        submit(h);
        h = nextHeader(1);
        h.nextCommitteeId = 1;
        expectRefusal(abi.encodeWithSelector(Rollup.CommitteeWentBack.selector, 1, 2), h, certify(rollup, h, 2, 0x1f));
    }

    // ---- the origin ----

    function test_refusesAStaleOrigin() public {
        TestHeader memory h = nextHeader(10);
        vm.roll(height() + MAX_LAG);
        expectRefusal(
            abi.encodeWithSelector(Rollup.OriginStale.selector, h.originNumber, h.originNumber + 1),
            h,
            certify(rollup, h, 1, ALL)
        );
    }

    function test_refusesAnOriginThatIsNotCanonical() public {
        TestHeader memory h = nextHeader(10);
        bytes32 canonical = h.originHash;
        h.originHash = keccak256("reorged away");
        expectRefusal(
            abi.encodeWithSelector(Rollup.OriginNotCanonical.selector, h.originNumber, h.originHash, canonical),
            h,
            certify(rollup, h, 1, ALL)
        );
    }

    function test_refusesAnOriginWithoutKnownHash() public {
        // 257 to 8,191 blocks back without the history contract: nothing to compare with.
        vm.roll(height() + 400);
        TestHeader memory h = nextHeader(10);
        h.originNumber = uint64(height() - 300);
        h.originHash = 0;
        expectRefusal(
            abi.encodeWithSelector(Rollup.OriginNotCanonical.selector, h.originNumber, 0, 0),
            h,
            certify(rollup, h, 1, ALL)
        );
    }

    function test_refusesAnOriginInTheFuture() public {
        TestHeader memory h = nextHeader(10);
        h.originNumber = uint64(height());
        expectRefusal(
            abi.encodeWithSelector(Rollup.OriginInFuture.selector, height(), height()), h, certify(rollup, h, 1, ALL)
        );
    }

    function test_refusesAnOriginBeforeTheParents() public {
        submit(nextHeader(10));
        TestHeader memory h = nextHeader(10);
        uint64 parentOrigin = h.originNumber;
        h.originNumber -= 1;
        h.originHash = blockhash(h.originNumber);
        expectRefusal(
            abi.encodeWithSelector(Rollup.OriginWentBack.selector, parentOrigin - 1, parentOrigin),
            h,
            certify(rollup, h, 1, ALL)
        );
    }

    // ---- data ----

    function test_refusesDataInTheWrongPlace() public {
        TestHeader memory h = nextHeader(10);
        Rollup.Certificate memory certificate = certify(rollup, h, 1, ALL);
        expectDataRefusal(abi.encodeWithSelector(Rollup.BatchDataMissing.selector, 0), h, certificate, 0, "");
        expectDataRefusal(abi.encodeWithSelector(Rollup.BatchDataMissing.selector, 1), h, certificate, 1, "");
        expectDataRefusal(abi.encodeWithSelector(Rollup.BatchDataUnexpected.selector, 1, 4), h, certificate, 1, "data");
        expectDataRefusal(abi.encodeWithSelector(Rollup.DaModeNotAvailable.selector, 2), h, certificate, 2, "");
        expectDataRefusal(abi.encodeWithSelector(Rollup.DaModeUnknown.selector, 3), h, certificate, 3, "");
    }

    function test_repostsDataOfAcceptedBatchesOnly() public {
        vm.expectRevert(abi.encodeWithSelector(Rollup.UnknownBatch.selector, 0, 0));
        rollup.repostData(0, 0, 1, 0, "data");
        submit(nextHeader(10));
        vm.expectEmit(address(rollup));
        emit Rollup.BatchData(1, address(this), 0, 1, 0, keccak256("right data"));
        rollup.repostData(1, 0, 1, 0, "right data");
        vm.expectRevert(abi.encodeWithSelector(Rollup.UnknownBatch.selector, 2, 1));
        rollup.repostData(2, 0, 1, 0, "data");
        vm.expectRevert(abi.encodeWithSelector(Rollup.DaModeNotAvailable.selector, 2));
        rollup.repostData(1, 0, 1, 2, "data");
    }

    function test_dataMayFollowInParts() public {
        TestHeader memory h = nextHeader(10);
        Rollup.Certificate memory certificate = certify(rollup, h, 1, ALL);
        expectDataRefusal(
            abi.encodeWithSelector(Rollup.BatchDataUnexpected.selector, 255, 4), h, certificate, 255, "data"
        );
        bytes32 hash = keccak256(encode(h));
        vm.expectEmit(address(rollup));
        emit Rollup.BatchSubmitted(
            1, hash, 1, 10, 255, 0, keccak256(abi.encode(uint256(0), h.stateRoot, h.messagePasserRoot, hash))
        );
        rollup.submitBatch(0, 1, encode(h), certificate, 255, "");

        // Each part by itself, by anybody, in calldata or blobs.
        vm.expectEmit(address(rollup));
        emit Rollup.BatchData(1, address(0xb0b), 1, 3, 0, keccak256("second"));
        vm.prank(address(0xb0b));
        rollup.repostData(1, 1, 3, 0, "second");
        bytes32[] memory hashes = new bytes32[](1);
        hashes[0] = bytes32(uint256(1) << 248 | 5);
        vm.blobhashes(hashes);
        vm.expectEmit(address(rollup));
        emit Rollup.BatchData(1, address(0xb0b), 63, 64, 1, keccak256(abi.encodePacked(hashes)));
        vm.prank(address(0xb0b));
        rollup.repostData(1, 63, 64, 1, "");
    }

    function test_refusesPartsOutOfRange() public {
        submit(nextHeader(10));
        uint16[2][4] memory cases = [[uint16(0), 0], [uint16(1), 1], [uint16(64), 64], [uint16(0), 65]];
        for (uint256 i = 0; i < cases.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(Rollup.PartOutOfRange.selector, cases[i][0], cases[i][1], 64));
            rollup.repostData(1, cases[i][0], cases[i][1], 0, "data");
        }
        vm.expectRevert(abi.encodeWithSelector(Rollup.DaModeUnknown.selector, 255));
        rollup.repostData(1, 0, 1, 255, "");
    }

    function test_refusesTooManyBlocks() public {
        Rollup.Config memory c = config(1, L2_CHAIN_ID);
        c.epochLength = 5_000;
        rollup = createRollup(c);
        advance();
        TestHeader memory h = nextHeader(2_001);
        h.epoch = 0;
        expectRefusal(
            abi.encodeWithSelector(Rollup.TooManyBlocks.selector, 2_001, 2_000), h, certify(rollup, h, 1, ALL)
        );
        h = nextHeader(2_000);
        h.epoch = 0;
        submit(h);
        eq(rollup.latestBlockNumber(), 2_000, "number");
        // A number far beyond neither overflows nor passes.
        h = nextHeader(1);
        h.number = type(uint64).max / 21_000; // the fixture's gas used is a multiple of it
        expectRefusal(
            abi.encodeWithSelector(Rollup.TooManyBlocks.selector, h.number - 2_000, 2_000),
            h,
            certify(rollup, h, 1, ALL)
        );
    }

    // ---- posting costs ----

    function test_countsThePostersCost() public {
        vm.fee(3 gwei);
        submitAs(POSTER, POSTER, 10, 0, "data");
        uint256 first = rollup.postingCost(POSTER);
        yes(first > 150_000 * 3 gwei && first < 300_000 * 3 gwei, "gas at the base fee");
        eq(rollup.postingCost(address(this)), 0, "nobody else");

        // Blobs at the blob base fee, besides.
        bytes32[] memory hashes = new bytes32[](3);
        (hashes[0], hashes[1], hashes[2]) = (bytes32(uint256(5)), bytes32(uint256(6)), bytes32(uint256(7)));
        vm.blobhashes(hashes);
        vm.blobBaseFee(120_000_000); // forge takes it for excess blob gas, of which the price follows
        submitAs(POSTER, POSTER, 10, 1, "");
        uint256 blobs = 3 * 131_072 * this.blobPrice();
        yes(blobs > 300_000 * 3 gwei, "worth a test");
        uint256 second = rollup.postingCost(POSTER) - first;
        yes(second > blobs + 100_000 * 3 gwei && second < blobs + 300_000 * 3 gwei, "gas and blobs");
        // Blobs of a transaction that does not use them are its own affair.
        submitAs(POSTER, POSTER, 10, 0, "data");
        uint256 third = rollup.postingCost(POSTER) - first - second;
        yes(third < 300_000 * 3 gwei, "no blobs");
    }

    /// @dev Anybody may post a finished certificate beside useless data, ahead of whoever made the data. Nobody pays for it.
    function test_anOutsidersCostIsNotCounted() public {
        vm.fee(3 gwei);
        address outsider = address(0xbad);
        submitAs(outsider, outsider, 10, 0, new bytes(10_000));
        vm.prank(outsider, outsider);
        rollup.repostData(1, 0, 1, 0, new bytes(10_000));
        eq(rollup.postingCost(outsider), 0, "nothing");
        eq(rollup.latestOutputIndex(), 1, "accepted all the same");

        // The one who has the data posts it behind, and is counted; whoever owns the sequencer, and only while it is there.
        vm.prank(POSTER, POSTER);
        rollup.repostData(1, 0, 1, 0, "good data");
        uint256 cost = rollup.postingCost(POSTER);
        yes(cost > 25_000 * 3 gwei && cost < 80_000 * 3 gwei, "the data's");
        vm.prank(ownerOf[1]);
        pool.setPoster(1, address(0x9058));
        submitAs(POSTER, POSTER, 10, 0, "data");
        eq(rollup.postingCost(POSTER), cost, "no longer named");
        submitAs(address(0x9058), address(0x9058), 10, 0, "data");
        yes(rollup.postingCost(address(0x9058)) > 150_000 * 3 gwei, "named");
    }

    /// @dev However dear a posting is, a block is worth so much gas and half a blob.
    function test_aBlockCostsNoMoreThanItsAllowance() public {
        vm.fee(3 gwei);
        submitAs(POSTER, POSTER, 1, 0, "data");
        uint256 cost = 100_000 * 3 gwei;
        eq(rollup.postingCost(POSTER), cost, "a certificate alone is worth more than a block's gas");
        submitAs(POSTER, POSTER, 7, 0, new bytes(100_000));
        cost += 700_000 * 3 gwei;
        eq(rollup.postingCost(POSTER), cost, "seven blocks");

        bytes32[] memory hashes = new bytes32[](6);
        for (uint256 i = 0; i < 6; ++i) {
            hashes[i] = bytes32(i + 1);
        }
        vm.blobhashes(hashes);
        vm.blobBaseFee(120_000_000);
        submitAs(POSTER, POSTER, 2, 1, "");
        cost += 200_000 * 3 gwei + 131_072 * this.blobPrice();
        eq(rollup.postingCost(POSTER), cost, "two blocks, one of six blobs");
    }

    /// @dev Of one batch the postings behind it are worth, together, what its submission may be worth: whoever posts, and how often.
    function test_repostingIsCountedUpToTheSameAllowance() public {
        vm.fee(1 gwei);
        submitAs(address(0xbad), address(0xbad), 3, 255, "");
        address other = posterAt(2);
        bytes memory half = new bytes(10_000); // 100,000 gas and the transaction's 21,000
        vm.prank(POSTER, POSTER);
        rollup.repostData(1, 0, 2, 0, half);
        uint256 first = rollup.postingCost(POSTER) / 1 gwei;
        yes(first >= 121_000 && first < 150_000, "a part");
        vm.prank(other, other);
        rollup.repostData(1, 1, 2, 0, half);
        uint256 second = rollup.postingCost(other) / 1 gwei;
        yes(second >= 121_000 && second < 150_000, "another, by another");
        vm.prank(POSTER, POSTER);
        rollup.repostData(1, 0, 1, 0, half);
        eq(rollup.postingCost(POSTER) / 1 gwei + second, 300_000, "up to three blocks' worth");
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(other, other);
            rollup.repostData(1, 0, 1, 0, half);
        }
        eq(rollup.postingCost(other) / 1 gwei, second, "and no more");
        // Blobs by their own allowance; the gas of this batch is used up.
        bytes32[] memory hashes = new bytes32[](2);
        (hashes[0], hashes[1]) = (bytes32(uint256(5)), bytes32(uint256(6)));
        vm.blobhashes(hashes);
        vm.blobBaseFee(120_000_000);
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(other, other);
            rollup.repostData(1, 0, 1, 1, "");
        }
        eq(rollup.postingCost(other), second * 1 gwei + 3 * 65_536 * this.blobPrice(), "three halves of a blob");

        submitAs(POSTER, POSTER, 3, 0, "data");
        vm.prank(other, other);
        rollup.repostData(2, 0, 1, 0, half);
        yes(rollup.postingCost(other) / 1 gwei >= second + 121_000, "the next batch has its own");
    }

    /// @dev Against the rule of EIP-7623, written plainly: what is counted is what the transaction costs, or up to 1% less.
    function testFuzz_countsNoMoreThanWasPaid(uint16 zeros, uint16 others) public {
        vm.fee(1 gwei);
        submitAs(POSTER, POSTER, 3, 0, "data"); // the first one's new slot is not counted
        bytes memory data = new bytes(uint256(1) + zeros % 20_000 + others % 20_000);
        for (uint256 i = 0; i < others % 20_000; ++i) {
            data[i * 7_919 % data.length] = 0x80;
        }
        uint256 before = rollup.postingCost(POSTER);
        (bytes memory call_, uint256 execution) = submitAs(POSTER, POSTER, 20, 0, data);
        uint256 tokens;
        for (uint256 i = 0; i < call_.length; ++i) {
            tokens += call_[i] == 0 ? 1 : 4;
        }
        uint256 paid = 21_000 + (10 * tokens > 4 * tokens + execution ? 10 * tokens : 4 * tokens + execution);
        uint256 counted = (rollup.postingCost(POSTER) - before) / 1 gwei;
        // The sum's slot was written in this same transaction of the test: nearly all of the 5,000 gas counted for it was not used again.
        yes(counted <= paid + 4_900, "not more");
        yes(counted > paid * 99 / 100, "hardly less");
    }

    function test_countsNoCostThroughOtherCode() public {
        vm.fee(3 gwei);
        vm.prank(ownerOf[2]);
        pool.setPoster(2, address(this));
        submitAs(address(this), HOLDER, 10, 0, "data");
        submitAs(address(this), POSTER, 10, 0, "data");
        // An account that delegates (EIP-7702) may be running code of its own.
        vm.etch(POSTER, abi.encodePacked(hex"ef0100", address(0x1234)));
        submitAs(POSTER, POSTER, 10, 0, "data");
        eq(rollup.postingCost(POSTER) + rollup.postingCost(address(this)), 0, "nothing");
        eq(rollup.latestOutputIndex(), 3, "accepted all the same");
    }

    // ---- outputs ----

    function test_outputsBecomeFinalWithTheWindow() public {
        yes(rollup.isFinal(0), "genesis is final");
        submit(nextHeader(10));
        uint256 first = now_();
        vm.warp(now_() + 100);
        submit(nextHeader(10));
        vm.warp(first + WINDOW - 1);
        yes(!rollup.isFinal(1), "early");
        eq(rollup.finalizedIndex(), 0, "nothing final");
        vm.warp(first + WINDOW);
        yes(rollup.isFinal(1) && !rollup.isFinal(2), "first only");
        (uint256 index, bytes32 root, uint64 number) = rollup.finalizedHead();
        eq(index, 1, "index");
        eq(root, rollup.getL2Output(1).outputRoot, "root");
        eq(number, 10, "number");
        vm.warp(first + WINDOW + 100);
        eq(rollup.finalizedIndex(), 2, "both");
        vm.expectRevert(abi.encodeWithSelector(Rollup.UnknownBatch.selector, 3, 2));
        rollup.isFinal(3);
    }

    function test_findsTheOutputOfABlock() public {
        uint64[5] memory ends = [uint64(7), 8, 20, 59, 60];
        uint64 last = 0;
        for (uint256 i = 0; i < ends.length; ++i) {
            submit(nextHeader(ends[i] - last));
            last = ends[i];
        }
        eq(rollup.getL2OutputIndexAfter(0), 0, "genesis");
        uint256 index = 1;
        for (uint256 number = 1; number <= last; ++number) {
            if (number > ends[index - 1]) ++index;
            eq(rollup.getL2OutputIndexAfter(number), index, "index");
        }
        eq(rollup.latestOutputIndex(), 5, "latest");
        eq(rollup.nextOutputIndex(), 6, "next");
        // viem compares this text.
        vm.expectRevert(
            abi.encodeWithSignature(
                "Error(string)", "L2OutputOracle: cannot get output for a block that has not been proposed"
            )
        );
        rollup.getL2OutputIndexAfter(61);
    }

    // ---- construction ----

    function test_refusesAConfigOutOfRange() public {
        Rollup.Config memory c = config(1, L2_CHAIN_ID);
        c.epochLength = 1;
        vm.expectRevert(abi.encodeWithSelector(Rollup.ConfigOutOfRange.selector, "epochLength", 1));
        createRollup(c);
        c = config(1, L2_CHAIN_ID);
        c.maxOriginLag = 8192;
        vm.expectRevert(abi.encodeWithSelector(Rollup.ConfigOutOfRange.selector, "maxOriginLag", 8192));
        createRollup(c);
        c = config(1, L2_CHAIN_ID);
        c.stallTimeout = 0;
        vm.expectRevert(abi.encodeWithSelector(Rollup.ConfigOutOfRange.selector, "stallTimeout", 0));
        createRollup(c);
        c = config(2, L2_CHAIN_ID);
        vm.expectRevert(abi.encodeWithSelector(SequencerPool.UnknownCommittee.selector, 2));
        createRollup(c);
    }

    function test_namespaceIsSeventyFiveBytes() public view {
        eq(
            rollup.namespace(),
            abi.encodePacked("OCEANID", uint64(block.chainid), address(rollup), L2_CHAIN_ID, GENESIS_HASH),
            "namespace"
        );
        eq(rollup.namespace().length, 75, "length");
    }

    // ---- helpers ----

    /// @dev A call of its own: the optimizer may read it before it is set otherwise.
    function blobPrice() external view returns (uint256) {
        return block.blobbasefee;
    }

    /// @dev Submits `blocks` blocks. Returns the calldata and the gas the call itself used.
    function submitAs(address sender, address origin, uint64 blocks, uint8 daMode, bytes memory data)
        private
        returns (bytes memory call_, uint256 execution)
    {
        TestHeader memory h = nextHeader(blocks);
        (uint256 index,, uint64 number,,,) = rollup.head();
        call_ = abi.encodeCall(
            Rollup.submitBatch, (index, number + 1, encode(h), certify(rollup, h, 1, ALL), daMode, data)
        );
        vm.prank(sender, origin);
        (bool ok,) = address(rollup).call(call_);
        execution = vm.lastCallGas().gasTotalUsed;
        yes(ok, "accepted");
    }

    function expectRefusal(bytes memory reason, TestHeader memory h, Rollup.Certificate memory certificate) private {
        (uint256 index,, uint64 number,,,) = rollup.head();
        vm.expectRevert(reason);
        rollup.submitBatch(index, number + 1, encode(h), certificate, 0, "data");
    }

    function expectInvalid(TestHeader memory h, Rollup.Certificate memory certificate, uint64 committeeId) private {
        bytes memory signed = voteMessage(
            rollup,
            "_FINALIZE",
            h.epoch,
            certificate.view_,
            certificate.parentView,
            abi.encodePacked(keccak256(encode(h)))
        );
        expectRefusal(
            abi.encodeWithSelector(
                CertificateVerifier.CertificateInvalid.selector, pool.committeeCode(committeeId), keccak256(signed)
            ),
            h,
            certificate
        );
    }

    function expectDataRefusal(
        bytes memory reason,
        TestHeader memory h,
        Rollup.Certificate memory c,
        uint8 mode,
        bytes memory data
    ) private {
        vm.expectRevert(reason);
        rollup.submitBatch(0, 1, encode(h), c, mode, data);
    }
}
