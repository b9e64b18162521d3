//! Recoveries: what follows one, what does not, and what a ledger that went on without L1 says.

use crate::common::{EPOCH, FakeL1, Node, Source, committee, l1_hash, now, transfer, user_deposit};
use alloy_primitives::{Address, B256, U256};
use oceanid_chain::{BuildError, BuildLimits, CheckError, ConsensusContext, LedgerError, Missing};
use oceanid_primitives::{HeaderExtension, L1Origin, RECOVERY_EPOCHS, Recovery, RecoveryError, SealedBlock};
use oceanid_stf::StateReader as _;

fn extension(block: &SealedBlock) -> HeaderExtension {
    HeaderExtension::decode(&block.header().extra_data).unwrap()
}

/// The recovery of that number after `head`, under committee 9, of which the registry has not heard.
fn recovery(index: u64, head: &SealedBlock) -> Recovery {
    Recovery {
        index,
        after_block: head.number(),
        head_hash: head.hash(),
        committee: oceanid_primitives::Committee { id: 9, ..committee(2) },
        l1: L1Origin { number: 101, hash: l1_hash(101) },
        timestamp: 0,
    }
}

#[test]
fn the_chain_goes_on_under_the_committee_of_the_recovery_and_takes_the_deposits_made_meanwhile() {
    let (leader, validator) = (Node::new(), Node::new());
    let mut l1 = FakeL1::new(100);
    let head = leader.advance(&validator, &l1, vec![transfer(0, 0)]);
    let dead = leader.build(&l1, vec![transfer(0, 1)]);
    let recovery = recovery(1, &head);
    assert!(leader.ledger.admit(&recovery).unwrap() && !leader.ledger.admit(&recovery).unwrap());
    assert_eq!(leader.ledger.speculative(), 0, "what was built for the old committee is dropped");
    let leader = leader.reopened();
    assert_eq!(leader.ledger.epochs().recoveries(), std::slice::from_ref(&recovery), "kept in the store");

    // The old epoch is over.
    let context = ConsensusContext { epoch: 0, view: 3, ..Default::default() };
    let refused = leader.ledger.build(head.hash(), context, 0, &l1, &mut Source::default(), BuildLimits::default());
    assert!(matches!(refused, Err(BuildError::Epoch { number: 2, expected: RECOVERY_EPOCHS, got: 0 })), "{refused:?}");
    let refused = leader.ledger.check(&dead, &l1, now(&dead));
    assert!(matches!(refused, Err(CheckError::Invalid(_))), "{refused:?}");
    let refused = leader.ledger.commit(&dead, None);
    assert!(matches!(refused, Err(LedgerError::Superseded { index: 1, after_block: 1, head: 2 })), "{refused:?}");

    // L1 moved on while the chain stood still: three blocks fit into one, the rest into the next.
    for number in 101..=104 {
        l1.extend(number, vec![user_deposit(number, number - 101, 5)]);
    }
    let context = ConsensusContext { epoch: RECOVERY_EPOCHS, view: 1, ..Default::default() };
    let later = head.header().timestamp + 100;
    let first = leader.ledger.build(head.hash(), context, later, &l1, &mut Source::default(), BuildLimits::default()).unwrap();
    let found = extension(&first);
    assert_eq!((found.epoch, found.committee_id, found.next_committee_id, found.origin.number), (RECOVERY_EPOCHS, 9, 9, 103));
    // Who has not seen the recovery waits.
    let waiting = validator.ledger.check(&first, &l1, now(&first));
    assert!(
        matches!(waiting, Err(CheckError::NotYet(Missing::Recovery { number: 2, got: RECOVERY_EPOCHS, here: 0 }))),
        "{waiting:?}"
    );
    validator.ledger.admit(&recovery).unwrap();
    validator.ledger.check(&first, &l1, now(&first)).unwrap();
    for node in [&leader, &validator] {
        node.ledger.commit(&first, None).unwrap();
    }
    assert_eq!(extension(&leader.advance(&validator, &l1, vec![])).origin.number, 104);
    let balance = leader.ledger.view().account(Address::repeat_byte(0xd3)).unwrap().unwrap().balance;
    assert_eq!(balance, U256::from(5));

    // The next epoch is its own; its committee is the recovery's until the registry has a newer one.
    while leader.ledger.head().number() + 1 < EPOCH {
        leader.advance(&validator, &l1, vec![]);
    }
    let next = extension(&leader.advance(&validator, &l1, vec![]));
    assert_eq!((next.epoch, next.committee_id, next.next_committee_id), (RECOVERY_EPOCHS + 1, 9, 9));
    for epoch in RECOVERY_EPOCHS..=RECOVERY_EPOCHS + 2 {
        assert_eq!(leader.ledger.committee_of_epoch(epoch).unwrap().unwrap().id, 9);
    }
    assert_eq!(leader.ledger.committee_of_epoch(0).unwrap().unwrap().id, 1);
}

#[test]
fn a_ledger_that_went_on_without_l1_refuses() {
    let (node, other) = (Node::new(), Node::new());
    let l1 = FakeL1::new(100);
    let posted = node.advance(&other, &l1, vec![]);
    node.advance(&other, &l1, vec![]);
    let refused = node.ledger.admit(&recovery(1, &posted)).unwrap_err();
    assert!(matches!(refused, LedgerError::Superseded { index: 1, after_block: 1, head: 2 }), "{refused}");
    assert!(refused.to_string().contains("new data directory"), "{refused}");
    let head = node.ledger.head();
    let elsewhere = Recovery { head_hash: B256::repeat_byte(1), ..recovery(1, &head) };
    assert!(matches!(node.ledger.admit(&elsewhere), Err(LedgerError::Conflict { number: 2, .. })));
    let later = node.ledger.admit(&recovery(2, &head)).unwrap_err();
    assert!(matches!(later, LedgerError::Recovery(RecoveryError::Gap { index: 2, expected: 1 })), "{later}");
    assert!(node.ledger.epochs().recoveries().is_empty());
    node.advance(&other, &l1, vec![transfer(0, 0)]);
}

#[test]
fn a_ledger_behind_takes_a_recovery_on_and_catches_up() {
    let (ahead, behind) = (Node::new(), Node::new());
    let l1 = FakeL1::new(100);
    let blocks: Vec<_> = (0..3)
        .map(|_| {
            let block = ahead.build(&l1, vec![]);
            ahead.ledger.commit(&block, None).unwrap();
            block
        })
        .collect();
    let recovery = recovery(1, &blocks[2]);
    for node in [&ahead, &behind] {
        assert!(node.ledger.admit(&recovery).unwrap());
    }
    for block in &blocks {
        behind.ledger.commit(block, None).unwrap();
    }
    ahead.advance(&behind, &l1, vec![]);
    // Another block at that place is not the one L1 knows.
    let elsewhere = Node::new();
    elsewhere.ledger.admit(&Recovery { after_block: 1, ..recovery }).unwrap();
    assert!(matches!(elsewhere.ledger.commit(&blocks[0], None), Err(LedgerError::Conflict { number: 1, .. })));
}
