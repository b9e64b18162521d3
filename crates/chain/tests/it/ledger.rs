//! Two ledgers: what one builds the other checks; every rule has a block that breaks it.

use crate::common::{
    EPOCH, FakeL1, GAS_LIMIT, Node, Source, call_data, committee, l1_hash, now, signer, spec, transaction, transfer, user_deposit,
};
use alloy_primitives::{Address, B256, Bytes, U256};
use oceanid_chain::{
    BuildError, BuildLimits, CheckError, ConsensusContext, InvalidBlock, Ledger, LedgerConfig, LedgerError, Missing,
    deposits_between,
};
use oceanid_primitives::{
    Block, Header, HeaderExtension, L1Origin, L1View, SealedBlock, TxDeposit, l1_info_deposit, predeploys,
    predeploys::committee_registry as registry,
};
use oceanid_stf::StateReader;
use oceanid_store::StoreError;
use std::sync::Arc;

fn extension(block: &SealedBlock) -> HeaderExtension {
    HeaderExtension::decode(&block.header().extra_data).unwrap()
}

/// The same block with its header changed.
fn with_header(block: &SealedBlock, change: impl FnOnce(&mut Header)) -> SealedBlock {
    let mut block = block.block().clone();
    change(&mut block.header);
    SealedBlock::new(block)
}

fn with_extension(block: &SealedBlock, change: impl FnOnce(&mut HeaderExtension)) -> SealedBlock {
    let mut extension = extension(block);
    change(&mut extension);
    with_header(block, |header| {
        header.extra_data = extension.encode().into();
        header.mix_hash = oceanid_primitives::ChainSpec::prevrandao(&extension);
    })
}

fn with_body(block: &SealedBlock, change: impl FnOnce(&mut oceanid_primitives::Body)) -> SealedBlock {
    let mut block = block.block().clone();
    change(&mut block.body);
    block.header.transactions_root = oceanid_stf::transactions_root(&block.body);
    SealedBlock::new(block)
}

fn invalid(node: &Node, block: &SealedBlock, l1: &FakeL1) -> InvalidBlock {
    match node.ledger.check(block, l1, now(block)) {
        Err(CheckError::Invalid(reason)) => reason,
        other => panic!("expected an invalid block, got {other:?}"),
    }
}

fn waiting(node: &Node, block: &SealedBlock, l1: &FakeL1) -> Missing {
    match node.ledger.check(block, l1, now(block)) {
        Err(CheckError::NotYet(missing)) => missing,
        other => panic!("expected a block to wait for, got {other:?}"),
    }
}

#[test]
fn what_one_builds_the_other_checks_and_both_commit_and_keep() {
    let (leader, validator) = (Node::new(), Node::new());
    assert_eq!(leader.ledger.genesis_hash(), validator.ledger.genesis_hash());
    let mut events = validator.ledger.subscribe();
    let mut l1 = FakeL1::new(100);
    for round in 0..10 {
        if round % 3 == 1 {
            let number = 101 + round / 3;
            l1.extend(number, vec![user_deposit(number, 0, 1_000)]);
        }
        let passer = transaction(1, round, predeploys::MESSAGE_PASSER, 0, call_data(U256::from(round), U256::from(1)));
        let block = leader.advance(&validator, &l1, vec![transfer(0, round), passer]);
        let event = events.try_recv().unwrap();
        assert_eq!(event.block.hash(), block.hash());
        assert_eq!(event.senders.len(), block.body().len());
        let senders = &event.senders[block.body().len() - 2..];
        assert_eq!(senders, [signer(0).address(), signer(1).address()]);
    }
    for node in [&leader, &validator] {
        assert_eq!(node.ledger.speculative(), 0);
        assert_eq!(node.ledger.store().certificate(3).unwrap(), Some(Bytes::from_static(b"certificate")));
    }
    let head = leader.ledger.head();
    assert_eq!(head.number(), 10);
    let (leader, validator) = (leader.reopened(), validator.reopened());
    assert_eq!(validator.ledger.head().hash(), head.hash());
    let next = leader.advance(&validator, &l1, vec![transfer(0, 10)]);
    assert_eq!(next.header().parent_hash, head.hash());
    let paid = validator.ledger.view().account(Address::repeat_byte(0xee)).unwrap().unwrap().balance;
    assert_eq!(paid, U256::from(11 * 5));
    let passer_root = leader.ledger.view().proof(predeploys::MESSAGE_PASSER, &[]).unwrap().account.unwrap().storage_root;
    assert_eq!(next.header().withdrawals_root, Some(passer_root));
}

#[test]
fn withdrawals_are_proven_from_a_header_alone_at_any_age() {
    let node = Node::new();
    let l1 = FakeL1::new(100);
    let mut roots = Vec::new();
    for nonce in 0..6 {
        let input = call_data(U256::from(nonce), U256::from(nonce + 1));
        let block = node.build(&l1, vec![transaction(0, nonce, predeploys::MESSAGE_PASSER, 0, input)]);
        node.ledger.commit(&block, None).unwrap();
        roots.push(block.header().withdrawals_root.unwrap());
    }
    node.ledger.store().flush().unwrap();
    for (nonce, root) in roots.into_iter().enumerate() {
        let slots = [U256::from(nonce), U256::from(nonce + 1)];
        let proofs = node.ledger.store().retained_proof(predeploys::MESSAGE_PASSER, root, &slots).unwrap();
        assert_eq!(proofs[0].1.value, U256::from(nonce + 1));
        assert_eq!(proofs[1].1.value, U256::ZERO, "not there yet at that block");
    }
}

#[test]
fn every_header_field_is_checked_and_named() {
    let (leader, validator) = (Node::new(), Node::new());
    let mut l1 = FakeL1::new(100);
    l1.extend(101, vec![user_deposit(101, 0, 5)]);
    // Past L1 block 101's time, so that the block takes it in.
    let parent = leader.ledger.head();
    let context = ConsensusContext { epoch: 0, view: 3, parent_view: 2, leader: 0 };
    let mut source = Source::of([transfer(0, 0)]);
    let good = leader
        .ledger
        .build(parent.hash(), context, parent.header().timestamp + 20, &l1, &mut source, BuildLimits::default())
        .unwrap();
    assert_eq!(good.body().len(), 3);
    let changes: Vec<(&str, Box<dyn FnOnce(&mut Header)>)> = vec![
        ("number", Box::new(|header| header.number = 2)),
        ("sha3Uncles", Box::new(|header| header.ommers_hash = B256::ZERO)),
        ("miner", Box::new(|header| header.beneficiary = Address::ZERO)),
        ("difficulty", Box::new(|header| header.difficulty = U256::from(1))),
        ("nonce", Box::new(|header| header.nonce = [1; 8].into())),
        ("gasLimit", Box::new(|header| header.gas_limit += 1)),
        ("mixHash", Box::new(|header| header.mix_hash = B256::ZERO)),
        ("baseFeePerGas", Box::new(|header| header.base_fee_per_gas = Some(1))),
        ("baseFeePerGas", Box::new(|header| header.base_fee_per_gas = None)),
        ("blobGasUsed", Box::new(|header| header.blob_gas_used = Some(1))),
        ("excessBlobGas", Box::new(|header| header.excess_blob_gas = Some(1))),
        ("parentBeaconBlockRoot", Box::new(|header| header.parent_beacon_block_root = Some(B256::repeat_byte(1)))),
        ("requestsHash", Box::new(|header| header.requests_hash = Some(B256::ZERO))),
        ("timestamp", Box::new(|header| header.timestamp = crate::common::START - 1)),
        ("transactionsRoot", Box::new(|header| header.transactions_root = B256::ZERO)),
        ("gasUsed", Box::new(|header| header.gas_used += 1)),
        ("receiptsRoot", Box::new(|header| header.receipts_root = B256::ZERO)),
        ("logsBloom", Box::new(|header| header.logs_bloom.0[0] = 1)),
        ("withdrawalsRoot", Box::new(|header| header.withdrawals_root = Some(B256::ZERO))),
        ("withdrawalsRoot", Box::new(|header| header.withdrawals_root = None)),
        ("stateRoot", Box::new(|header| header.state_root = B256::ZERO)),
        ("extraData", Box::new(|header| header.extra_data = Bytes::from_static(&[0xc0]))),
    ];
    for (field, change) in changes {
        let reason = invalid(&validator, &with_header(&good, change), &l1);
        assert!(matches!(reason, InvalidBlock::Header(_)), "{field}: {reason}");
        let text = reason.to_string();
        let named = text.contains(&format!("`{field}`")) || (field == "extraData" && text.contains("extraData"));
        assert!(named, "{field}: {text}");
    }
    assert_eq!(validator.ledger.speculative(), 0, "nothing refused is kept");
    validator.ledger.check(&good, &l1, now(&good)).unwrap();
    assert_eq!(validator.ledger.speculative(), 1);
}

#[test]
fn every_part_of_the_extension_is_checked() {
    let (leader, validator) = (Node::new(), Node::new());
    let l1 = FakeL1::new(100);
    let good = leader.build(&l1, vec![]);
    let reason = |change: fn(&mut HeaderExtension)| invalid(&validator, &with_extension(&good, change), &l1).to_string();
    // A later epoch may be that of a recovery.
    let later = waiting(&validator, &with_extension(&good, |extension| extension.epoch = 1), &l1);
    assert_eq!(later, Missing::Recovery { number: 1, got: 1, here: 0 });
    assert!(reason(|extension| extension.committee_id = 2).contains("`extraData.committeeId` is 2, must be 1"));
    assert!(reason(|extension| extension.next_committee_id = 2).contains("`extraData.nextCommitteeId` is 2, must be 1"));
    assert!(reason(|extension| extension.origin.number = 99).contains("extraData.originNumber"));
    assert!(reason(|extension| extension.origin.number = 104).contains("extraData.originNumber"));
    assert!(reason(|extension| extension.origin.hash = B256::ZERO).contains("extraData.originHash"));
}

#[test]
fn what_cannot_be_judged_yet_is_not_refused() {
    let (leader, validator) = (Node::new(), Node::new());
    let mut l1 = FakeL1::new(100);
    let first = leader.build(&l1, vec![transfer(0, 0)]);
    let second = leader.build_on(&first, 8, &l1, vec![transfer(0, 1)]);
    let missing = |block: &SealedBlock, l1: &FakeL1, now: u64| match validator.ledger.check(block, l1, now) {
        Err(CheckError::NotYet(missing)) => missing,
        other => panic!("expected not yet, got {other:?}"),
    };
    assert_eq!(missing(&second, &l1, now(&second)), Missing::Parent(first.hash()));
    let timestamp = now(&first);
    assert_eq!(missing(&first, &l1, timestamp - 6), Missing::Clock { timestamp, now: timestamp - 6, drift: 5 });
    validator.ledger.check(&first, &l1, timestamp - 5).unwrap();
    validator.ledger.check(&second, &l1, timestamp).unwrap();

    let behind = l1.clone();
    l1.extend(101, vec![]);
    let parent = second.header();
    let context = ConsensusContext { epoch: 0, view: 9, parent_view: 8, leader: 0 };
    let third = leader
        .ledger
        .build(parent.hash_slow(), context, parent.timestamp + 30, &l1, &mut Source::default(), BuildLimits::default())
        .unwrap();
    assert_eq!(extension(&third).origin.number, 101);
    assert_eq!(missing(&third, &behind, now(&third)), Missing::L1Block { number: 101 });
    validator.ledger.check(&third, &l1, now(&third)).unwrap();
}

#[test]
fn deposits_are_those_of_l1_in_order_and_no_others() {
    let (leader, validator) = (Node::new(), Node::new());
    let mut l1 = FakeL1::new(100);
    l1.extend(101, vec![user_deposit(101, 0, 5), user_deposit(101, 1, 6)]);
    l1.extend(102, vec![user_deposit(102, 2, 7)]);
    let parent = leader.ledger.head();
    let context = ConsensusContext { epoch: 0, view: 1, parent_view: 0, leader: 0 };
    let build = |timestamp| {
        let mut source = Source::of([transfer(0, 0)]);
        leader.ledger.build(parent.hash(), context, timestamp, &l1, &mut source, BuildLimits::default()).unwrap()
    };
    // An L1 block from the future of the block is not taken in.
    assert_eq!(extension(&build(crate::common::START + 1)).origin.number, 100);
    let good = build(crate::common::START + 40);
    assert_eq!(extension(&good).origin.number, 102);
    assert_eq!(good.body().len(), 1 + 3 + 1);
    let due = deposits_between(&l1, L1Origin { number: 100, hash: l1_hash(100) }, extension(&good).origin).unwrap();
    assert_eq!(
        due.iter().map(|deposit| *deposit.hash()).collect::<Vec<_>>(),
        good.body()[..4].iter().map(|tx| *tx.hash()).collect::<Vec<_>>()
    );

    let refused = |block: &SealedBlock| invalid(&validator, block, &l1);
    let swapped = refused(&with_body(&good, |body| body.swap(1, 2)));
    assert!(matches!(swapped, InvalidBlock::Deposit { index: 1, .. }), "{swapped}");
    let missing = refused(&with_body(&good, |body| drop(body.remove(3))));
    assert!(matches!(missing, InvalidBlock::Deposit { index: 3, .. }), "{missing}");
    let truncated = refused(&with_body(&good, |body| body.truncate(2)));
    assert!(matches!(truncated, InvalidBlock::Deposit { index: 2, got: None, .. }), "{truncated}");
    let no_system = refused(&with_body(&good, |body| drop(body.remove(0))));
    assert!(matches!(no_system, InvalidBlock::Deposit { index: 0, .. }), "{no_system}");
    let extra = refused(&with_body(&good, |body| body.push(user_deposit(102, 9, 1_000_000).into())));
    assert!(matches!(extra, InvalidBlock::ExtraDeposit { index: 5, .. }), "{extra}");
    let forged = refused(&with_body(&good, |body| body[1] = user_deposit(101, 0, 5_000_000).into()));
    assert!(matches!(forged, InvalidBlock::Deposit { index: 1, .. }), "{forged}");
    // The origin stays: then there is nothing to deposit, not even the system's.
    let still = leader.build_on(&parent, 2, &FakeL1::new(100), vec![]);
    let system = l1_info_deposit(&l1.block(100).unwrap());
    let repeated = refused(&with_body(&still, |body| body.push(system.into())));
    assert!(matches!(repeated, InvalidBlock::ExtraDeposit { index: 0, .. }), "{repeated}");
    // An origin whose time is later than the block's.
    let early = refused(&with_header(&good, |header| header.timestamp = crate::common::START + 20));
    assert!(matches!(early, InvalidBlock::BeforeOrigin { .. }), "{early}");
    // Another L1 than the leader's says nothing about the block.
    let mut fork = FakeL1::new(102);
    let mut other = (*fork.block(102).unwrap()).clone();
    other.hash = B256::repeat_byte(1);
    fork.blocks.insert(102, Arc::new(other));
    assert!(matches!(waiting(&validator, &good, &fork), Missing::Origin { .. }));
    let mut torn = l1.clone();
    let mut other = (*torn.block(101).unwrap()).clone();
    other.parent_hash = B256::repeat_byte(1);
    torn.blocks.insert(101, Arc::new(other));
    assert!(matches!(waiting(&validator, &good, &torn), Missing::OriginChain { number: 101, .. }));

    validator.ledger.check(&good, &l1, now(&good)).unwrap();
    let view = validator.ledger.view_of(good.hash()).unwrap();
    assert_eq!(view.account(Address::repeat_byte(0xd2)).unwrap().unwrap().balance, U256::from(7));
}

#[test]
fn more_deposits_than_a_block_has_gas_for_are_refused_from_a_leader_from_l1_and_with_a_certificate() {
    let node = Node::new();
    let heavy = |number| TxDeposit { gas_limit: GAS_LIMIT / 2, ..user_deposit(number, 0, 1) };
    let mut l1 = FakeL1::new(100);
    (101..=103).for_each(|number| l1.extend(number, vec![heavy(number)]));
    let parent = node.ledger.head();
    let context = ConsensusContext { epoch: 0, view: 1, parent_view: 0, leader: 0 };
    let timestamp = crate::common::START + 100;
    let mut source = Source::default();
    let honest = node.ledger.build(parent.hash(), context, timestamp, &l1, &mut source, BuildLimits::default()).unwrap();
    assert_eq!(extension(&honest).origin.number, 101, "with the system's deposit, one fits");
    let origin = l1.block(103).unwrap().origin();
    let greedy = with_extension(&honest, |extension| extension.origin = origin);
    let body = deposits_between(&l1, extension(&parent).origin, origin).unwrap();
    let greedy = with_body(&greedy, |before| *before = body.clone());

    let too_much = |reason: &InvalidBlock| matches!(reason, InvalidBlock::DepositGas { limit: GAS_LIMIT, .. });
    let proposed = invalid(&node, &greedy, &l1);
    assert!(too_much(&proposed), "{proposed}");
    match node.ledger.derive(parent.hash(), timestamp, &extension(&greedy), body) {
        Err(CheckError::Invalid(reason)) => assert!(too_much(&reason), "{reason}"),
        other => panic!("{other:?}"),
    }
    match node.ledger.commit(&greedy, None) {
        Err(LedgerError::Disagreement { number: 1, reason }) => assert!(too_much(&reason), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_origin_advances_by_no_more_than_the_limit() {
    let node = Node::new();
    let l1 = FakeL1::new(110);
    let mut parent = node.ledger.head();
    for expected in [103, 106, 109, 110, 110] {
        let context = ConsensusContext { epoch: (parent.number() + 1) / EPOCH, ..Default::default() };
        let block = node
            .ledger
            .build(parent.hash(), context, crate::common::START + 1_000, &l1, &mut Source::default(), BuildLimits::default())
            .unwrap();
        assert_eq!(extension(&block).origin, L1Origin { number: expected, hash: l1_hash(expected) });
        parent = block;
    }
}

#[test]
fn an_invalid_transaction_is_rejected_by_the_builder_and_refused_by_the_validator() {
    let (leader, validator) = (Node::new(), Node::new());
    let l1 = FakeL1::new(100);
    let parent = leader.ledger.head();
    let context = ConsensusContext { epoch: 0, view: 1, parent_view: 0, leader: 0 };
    let (gap, deposit) = (transfer(0, 5), oceanid_primitives::TxEnvelope::from(user_deposit(100, 0, 1)));
    let mut source = Source::of([gap.clone(), transfer(0, 0), deposit.clone()]);
    let block =
        leader.ledger.build(parent.hash(), context, crate::common::START + 1, &l1, &mut source, BuildLimits::default()).unwrap();
    assert_eq!(block.body().len(), 1);
    assert_eq!(source.rejected.iter().map(|(hash, _)| *hash).collect::<Vec<_>>(), [*gap.hash(), *deposit.hash()]);
    assert!(source.rejected[0].1.contains("nonce"), "{}", source.rejected[0].1);
    let reason = invalid(&validator, &with_body(&block, |body| body.push(gap.clone())), &l1);
    assert!(matches!(&reason, InvalidBlock::Transaction { index: 1, hash, .. } if hash == gap.hash()), "{reason}");
}

#[test]
fn a_block_stays_within_bytes_and_gas() {
    let node = Node::new();
    let l1 = FakeL1::new(100);
    let context = ConsensusContext { epoch: 0, view: 1, parent_view: 0, leader: 0 };
    let parent = node.ledger.head();
    let big = |nonce| transaction(0, nonce, Address::repeat_byte(1), 0, vec![0; 1_000].into());
    let mut source = Source::of((0..20).map(big));
    let limits = BuildLimits { max_bytes: 5_000 };
    let block = node.ledger.build(parent.hash(), context, crate::common::START, &l1, &mut source, limits).unwrap();
    let encoded = alloy_rlp::encode(&*block);
    assert!(encoded.len() <= 5_000 && block.body().len() == 3, "{} bytes, {} transactions", encoded.len(), block.body().len());
    let mut source = Source::of((0..3_000).map(|nonce| transfer(1, nonce)));
    let block =
        node.ledger.build(parent.hash(), context, crate::common::START, &l1, &mut source, BuildLimits::default()).unwrap();
    assert!(block.header().gas_used <= GAS_LIMIT && block.header().gas_used > GAS_LIMIT - 200_000 - 21_000);
}

#[test]
fn siblings_live_side_by_side_until_one_is_final() {
    let (leader, validator) = (Node::new(), Node::new());
    let l1 = FakeL1::new(100);
    let genesis = leader.ledger.head();
    let left = leader.build_on(&genesis, 1, &l1, vec![transfer(0, 0)]);
    let left_child = leader.build_on(&left, 2, &l1, vec![transfer(0, 1)]);
    let right = leader.build_on(&genesis, 3, &l1, vec![transfer(1, 0)]);
    let right_child = leader.build_on(&right, 4, &l1, vec![transfer(1, 1), transfer(0, 0)]);
    for block in [&left, &right, &left_child, &right_child] {
        validator.ledger.check(block, &l1, now(block)).unwrap();
    }
    assert_eq!(validator.ledger.speculative(), 4);
    assert_eq!(validator.ledger.head().hash(), genesis.hash());
    validator.ledger.commit(&right, None).unwrap();
    assert!(validator.ledger.view_of(left_child.hash()).is_none(), "a branch of a block that lost");
    assert!(validator.ledger.view_of(right_child.hash()).is_some());
    assert!(matches!(
        validator.ledger.check(&left, &l1, now(&left)),
        Err(CheckError::Invalid(InvalidBlock::Conflict { number: 1, .. }))
    ));
    validator.ledger.check(&right, &l1, now(&right)).unwrap();
    assert!(matches!(validator.ledger.commit(&left, None), Err(LedgerError::Conflict { number: 1, .. })));
    assert!(matches!(validator.ledger.commit(&left_child, None), Err(LedgerError::Conflict { .. })));
    validator.ledger.commit(&right, None).unwrap();
    validator.ledger.commit(&right_child, None).unwrap();
    assert_eq!(validator.ledger.speculative(), 0);
    // A node that has seen none of them commits what is final, in order.
    let late = Node::new();
    assert!(matches!(late.ledger.commit(&right_child, None), Err(LedgerError::Gap { number: 2, head: 0 })));
    late.ledger.commit(&right, None).unwrap();
    late.ledger.commit(&right_child, None).unwrap();
    assert_eq!(late.ledger.view().state_root(), validator.ledger.view().state_root());
    let lie = with_header(&late.build(&l1, vec![]), |header| header.state_root = B256::ZERO);
    assert!(matches!(late.ledger.commit(&lie, None), Err(LedgerError::Disagreement { number: 3, .. })));
}

#[test]
fn the_tree_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let config = LedgerConfig { speculative_blocks: 3, ..LedgerConfig::default() };
    let node = Node { ledger: Ledger::open(dir.path(), spec(), config).unwrap(), dir };
    let l1 = FakeL1::new(100);
    let genesis = node.ledger.head();
    for view in 1..10 {
        node.build_on(&genesis, view, &l1, vec![]);
        assert!(node.ledger.speculative() <= 3);
    }
}

#[test]
fn committees_change_hands_at_the_epoch() {
    let (leader, validator) = (Node::new(), Node::new());
    let l1 = FakeL1::new(100);
    assert_eq!(*leader.ledger.committee(1).unwrap(), committee(1));
    assert_eq!(*leader.ledger.committee(2).unwrap(), committee(2), "in the registry, though not the newest");
    assert!(matches!(leader.ledger.committee(3), Err(LedgerError::UnknownCommittee(3))));
    let newest = call_data(U256::from(registry::LATEST), U256::from(2));
    for number in 1..=3 * EPOCH {
        // The registry learns of committee 2 in block 2: before block 4, the first of epoch 1.
        let transactions =
            if number == 2 { vec![transaction(0, 0, predeploys::COMMITTEE_REGISTRY, 0, newest.clone())] } else { vec![] };
        let extension = extension(&leader.advance(&validator, &l1, transactions));
        let (now, next) = match number / EPOCH {
            0 => (1, 1),
            1 => (1, 2),
            _ => (2, 2),
        };
        assert_eq!((extension.committee_id, extension.next_committee_id), (now, next), "block {number}");
        let known = validator.ledger.committee_of_epoch(number / EPOCH + 1).unwrap().unwrap();
        assert_eq!(known.id, next, "committee of the next epoch, known from the epoch's first block on");
    }
    assert!(validator.ledger.committee_of_epoch(5).unwrap().is_none());
    let wrong = ConsensusContext { epoch: 9, ..Default::default() };
    let head = leader.ledger.head().hash();
    assert!(matches!(
        leader.ledger.build(head, wrong, 0, &l1, &mut Source::default(), BuildLimits::default()),
        Err(BuildError::Epoch { number: 13, expected: 3, got: 9 })
    ));
}

#[test]
fn work_is_transactions_deposits_or_a_lagging_origin() {
    let node = Node::new();
    let head = node.ledger.head().hash();
    let has_work = |l1: &FakeL1, pending| node.ledger.has_work(head, l1, pending).unwrap();
    assert!(!has_work(&FakeL1::new(100), false));
    assert!(has_work(&FakeL1::new(100), true));
    assert!(!has_work(&FakeL1::new(102), false), "empty L1 blocks can wait for the heartbeat");
    assert!(has_work(&FakeL1::new(104), false), "further than one block may advance");
    let mut l1 = FakeL1::new(100);
    l1.extend(101, vec![user_deposit(101, 0, 1)]);
    assert!(has_work(&l1, false));
    assert!(!node.ledger.has_work(B256::repeat_byte(3), &l1, true).unwrap(), "an unknown parent");
    assert!(!has_work(&FakeL1::default(), false), "no contact with L1");
}

#[test]
fn a_follower_derives_the_same_blocks() {
    let (leader, follower) = (Node::new(), Node::new());
    let mut l1 = FakeL1::new(100);
    l1.extend(101, vec![user_deposit(101, 0, 5)]);
    let mut parent = leader.ledger.head();
    for number in 1..=6u64 {
        let context = ConsensusContext { epoch: number / EPOCH, view: 10 + number, parent_view: 9 + number, leader: 2 };
        let mut source = Source::of([transfer(0, number - 1)]);
        let timestamp = crate::common::START + 13 * number;
        let block = leader.ledger.build(parent.hash(), context, timestamp, &l1, &mut source, BuildLimits::default()).unwrap();
        let derived =
            follower.ledger.derive(parent.hash(), block.header().timestamp, &extension(&block), block.body().to_vec()).unwrap();
        assert_eq!(derived.hash(), block.hash());
        for node in [&leader, &follower] {
            node.ledger.commit(&block, None).unwrap();
        }
        parent = block;
    }
    let head = follower.ledger.head();
    let mut bad = extension(&head);
    bad.committee_id = 9;
    let error = follower.ledger.derive(head.hash(), head.header().timestamp, &bad, vec![]).unwrap_err();
    assert!(matches!(error, CheckError::Invalid(_)), "{error}");
}

#[test]
fn a_flipped_bit_anywhere_in_a_block_is_refused_or_not_a_block() {
    let (leader, validator) = (Node::new(), Node::new());
    let l1 = FakeL1::new(100);
    let good = leader.build(&l1, vec![transfer(0, 0), transfer(1, 0)]);
    let encoded = alloy_rlp::encode(&*good);
    let mut decoded = 0;
    for at in 0..encoded.len() {
        for bit in [0, 5] {
            let mut bytes = encoded.clone();
            bytes[at] ^= 1 << bit;
            let Ok(block) = alloy_rlp::decode_exact::<SealedBlock>(&bytes) else { continue };
            decoded += 1;
            match validator.ledger.check(&block, &l1, now(&good)) {
                Err(CheckError::Invalid(_) | CheckError::NotYet(_)) => {}
                Ok(()) => {
                    // View, parent view and leader are consensus' to judge, and the time is the leader's choice: another of
                    // these makes another valid block. Nothing else may.
                    let same = |block: &SealedBlock| {
                        let extension = HeaderExtension { view: 0, parent_view: 0, leader: 0, ..extension(block) };
                        Header {
                            timestamp: 0,
                            mix_hash: B256::ZERO,
                            extra_data: extension.encode().into(),
                            ..block.header().clone()
                        }
                    };
                    assert_eq!(same(&block), same(&good), "byte {at}, bit {bit}");
                    // A length prefix of a typed transaction is read leniently by the codec: the same block, written differently.
                    assert!(block.hash() != good.hash() || block.block() == good.block(), "byte {at}, bit {bit}");
                }
                Err(error) => panic!("byte {at}, bit {bit}: {error}"),
            }
        }
    }
    assert!(decoded > encoded.len() / 2, "most flips still decode: {decoded}");
    // A header that is known, speculative or committed, vouches for its own body only.
    validator.ledger.check(&good, &l1, now(&good)).unwrap();
    let mut stuffed = good.block().clone();
    stuffed.body.push(transfer(2, 0));
    let stuffed = SealedBlock::new(stuffed);
    assert_eq!(stuffed.hash(), good.hash());
    for _ in 0..2 {
        assert!(invalid(&validator, &stuffed, &l1).to_string().contains("`transactionsRoot`"));
        validator.ledger.check(&good, &l1, now(&good)).unwrap();
        validator.ledger.commit(&good, None).unwrap();
    }
    for end in 0..encoded.len() {
        assert!(alloy_rlp::decode_exact::<Block>(&encoded[..end]).is_err(), "a prefix of {end} bytes");
    }
}

#[test]
fn a_directory_of_another_chain_is_refused() {
    let Node { ledger, dir } = Node::new();
    drop(ledger);
    let mut other = (*spec()).clone();
    other.genesis_timestamp += 1;
    let error = Ledger::open(dir.path(), Arc::new(other), LedgerConfig::default()).unwrap_err();
    assert!(matches!(error, LedgerError::Store(StoreError::OtherChain { field: "genesis hash", .. })), "{error}");
}
