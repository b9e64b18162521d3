//! The scenarios: setup, what happens, until when.

use std::{sync::atomic::Ordering, time::Duration};

use alloy_primitives::Bytes;
use commonware_codec::Encode as _;
use commonware_p2p::{Recipients, Sender as _};
use commonware_runtime::{Clock as _, Storage as _, deterministic};
use oceanid_primitives::HeaderExtension;
use oceanid_sequencer::{
    EvidenceKind,
    node::{CHANNELS, quota},
};

use crate::{
    byzantine::equivocate,
    sim::{JUNK, PrintOnPanic, Setup, Sim, TestChain as _, identity, light_disks, link, set_busy, twice},
};

#[test]
fn four_validators_with_latency_jitter_and_loss() {
    let setup = Setup { link: link(40, 15, 0.95), ..Setup::committee_of(4) };
    twice(1, setup, |mut sim| async move {
        sim.start(0..4).await;
        sim.reach(0..4, 40).await;
        sim
    });
}

#[test]
fn seven_validators_with_latency_jitter_and_loss() {
    let setup = Setup { link: link(60, 30, 0.97), ..Setup::committee_of(7) };
    twice(2, setup, |mut sim| async move {
        sim.start(0..7).await;
        sim.reach(0..7, 25).await;
        sim
    });
}

#[test]
fn one_crashes_and_comes_back() {
    twice(3, Setup::committee_of(4), |mut sim| async move {
        sim.start(0..4).await;
        sim.reach(0..4, 10).await;
        sim.crash(3);
        sim.reach(0..3, 35).await;
        sim.start([3]).await;
        sim.reach(0..4, 50).await;
        sim
    });
}

#[test]
fn partition_stops_the_chain_and_healing_resumes_it() {
    twice(4, Setup::committee_of(4), |mut sim| async move {
        sim.start(0..4).await;
        sim.reach(0..4, 10).await;
        sim.partition(&[0, 1], &[2, 3]).await;
        sim.pass(Duration::from_secs(2)).await;
        let stuck = (0..4).map(|index| sim.height(index)).max().expect("nodes");
        sim.pass(Duration::from_secs(20)).await;
        assert!((0..4).all(|index| sim.height(index) <= stuck), "progress without a quorum");
        sim.heal(&[0, 1], &[2, 3]).await;
        sim.reach(0..4, stuck + 10).await;
        sim
    });
}

#[test]
fn isolated_node_catches_up() {
    twice(5, Setup::committee_of(4), |mut sim| async move {
        sim.start(0..4).await;
        sim.reach(0..4, 5).await;
        sim.partition(&[0, 1, 2], &[3]).await;
        sim.reach(0..3, 30).await;
        sim.heal(&[0, 1, 2], &[3]).await;
        sim.reach(0..4, 40).await;
        sim
    });
}

#[test]
fn a_leader_that_stays_silent_loses_its_slots_only() {
    twice(6, Setup::committee_of(4), |mut sim| async move {
        sim.disks[1].chain.mute.store(true, Ordering::Relaxed);
        sim.start(0..4).await;
        sim.reach(0..4, 25).await;
        let chain = sim.disks[0].chain.finalized();
        let silent = keys_index(&sim, 1);
        let extensions: Vec<_> = chain[1..]
            .iter()
            .map(|(block, _)| HeaderExtension::decode(&block.header().extra_data).expect("an extension"))
            .collect();
        assert!(extensions.iter().all(|extension| extension.leader != silent), "the silent one led a block");
        assert!(extensions.iter().any(|extension| extension.view > extension.parent_view + 1), "nobody's slot was skipped");
        sim
    });
}

/// Position of a node in the first committee.
fn keys_index(sim: &Sim, node: usize) -> u32 {
    let committee = crate::sim::committee(1, &(0..sim.setup.seats).collect::<Vec<_>>());
    committee.index_of(&crate::sim::keys(node).identity()).expect("a member") as u32
}

#[test]
fn an_equivocating_validator_is_proven_guilty_by_everyone() {
    twice(7, Setup::committee_of(4), |mut sim| async move {
        let _byzantine = equivocate(&sim, 3).await;
        sim.start(0..3).await;
        sim.reach(0..3, 15).await;
        let guilty = crate::sim::keys(3).identity();
        for honest in 0..3 {
            let records = sim.node(honest).evidence().records();
            assert!(
                records.iter().any(|record| record.kind == EvidenceKind::ConflictingNotarize),
                "node {honest} has no proof: {records:?}"
            );
            assert!(records.iter().all(|record| record.identities == [guilty]), "node {honest} accuses the innocent");
        }
        sim
    });
}

#[test]
fn a_node_told_to_equivocate_is_found_out() {
    let setup = Setup { byzantine: vec![1], ..Setup::committee_of(4) };
    twice(14, setup, |mut sim| async move {
        sim.start(0..4).await;
        sim.reach([0, 2, 3], 15).await;
        for honest in [0, 2, 3] {
            let proofs = sim.node(honest).evidence().pending();
            assert!(!proofs.is_empty(), "node {honest} has no proof");
            assert!(proofs.iter().all(|(_, record)| record.identities == [crate::sim::keys(1).identity()]));
        }
        sim
    });
}

#[test]
fn committees_change_across_epochs_and_a_member_joins_late() {
    let setup =
        Setup { nodes: 6, epoch_length: 8, later: vec![(2, vec![1, 2, 3, 4]), (4, vec![2, 3, 4, 5])], ..Setup::committee_of(4) };
    twice(8, setup, |mut sim| async move {
        sim.start(0..5).await;
        sim.reach(1..5, 28).await;
        // Three epochs behind, and a member of the next committee.
        sim.start([5]).await;
        sim.reach([2, 3, 4, 5], 80).await;
        assert!(sim.node(5).status().voting && !sim.node(1).status().voting);
        sim
    });
}

#[test]
fn a_late_joiner_without_history_catches_up() {
    let setup = Setup { epoch_length: 10, ..Setup::committee_of(4) };
    twice(9, setup, |mut sim| async move {
        sim.start(0..3).await;
        sim.reach(0..3, 45).await;
        sim.start([3]).await;
        sim.reach(0..4, 60).await;
        sim
    });
}

#[test]
fn a_node_that_lost_its_votes_observes_until_the_next_epoch() {
    let setup = Setup { epoch_length: 60, ..Setup::committee_of(4) };
    twice(15, setup, |mut sim| async move {
        // The chain is not new any more: nobody's record goes back to its beginning.
        sim.pass(Duration::from_secs(700)).await;
        sim.start(0..4).await;
        sim.reach(0..4, 70).await;
        assert!((0..4).all(|node| sim.node(node).status().voting), "whoever begins with a chain votes in its first epochs");
        // The journal of the running epoch is gone.
        sim.crash(2);
        sim.context.remove("node-2-0-simplex-1", None).await.expect("the journal was there");
        sim.start([2]).await;
        // Everything of consensus is gone.
        sim.crash(3);
        sim.wipe(3);
        sim.start([3]).await;
        sim.pass(Duration::from_secs(4)).await;
        for node in [2, 3] {
            let status = sim.node(node).status();
            assert!(!status.voting && status.sitting_out.is_some() && status.epoch == 1, "node {node}: {status:?}");
        }
        // Two of four do not vote: the epoch cannot end, which is what L1 recovers a chain from.
        let stuck = (0..4).map(|node| sim.height(node)).max().expect("nodes");
        sim.pass(Duration::from_secs(20)).await;
        assert!((0..4).all(|node| sim.height(node) <= stuck + 1));
        assert!(stuck < 120);
        crate::recovery::recover(&sim, 1, &[0, 1, 2, 3]);
        sim.reach(0..4, 130).await;
        assert!((0..4).all(|node| sim.node(node).status().voting), "the next epoch began under everybody's eyes");
        sim
    });
}

#[test]
fn an_idle_chain_beats_but_does_not_churn() {
    let setup = Setup { heartbeat: Duration::from_secs(3), ..Setup::committee_of(4) };
    twice(10, setup, |mut sim| async move {
        set_busy(&sim, false);
        sim.start(0..4).await;
        sim.pass(Duration::from_secs(61)).await;
        let beats = sim.height(0);
        assert!((15..=22).contains(&beats), "{beats} blocks in a minute of 3 s heartbeats");
        let (head, _) = sim.disks[0].chain.finalized().pop().expect("genesis");
        let view = HeaderExtension::decode(&head.header().extra_data).expect("an extension").view;
        assert!(view <= beats + 1, "{view} views for {beats} blocks: waiting leaders were timed out");
        // Work ends the wait at once.
        set_busy(&sim, true);
        sim.pass(Duration::from_secs(10)).await;
        let busy = sim.height(0) - beats;
        assert!(busy >= 30, "{busy} blocks in 10 s at 200 ms");
        sim
    });
}

#[test]
fn a_node_that_cannot_judge_holds_its_vote_and_joins_again() {
    twice(11, Setup::committee_of(4), |mut sim| async move {
        sim.start(0..4).await;
        sim.reach(0..4, 5).await;
        sim.disks[2].chain.blind.store(true, Ordering::Relaxed);
        sim.reach([0, 1, 3], 25).await;
        sim.disks[2].chain.blind.store(false, Ordering::Relaxed);
        sim.reach(0..4, 40).await;
        sim
    });
}

#[test]
fn transactions_reach_the_other_sequencers() {
    twice(12, Setup::committee_of(4), |mut sim| async move {
        sim.start(0..4).await;
        sim.reach(0..4, 2).await;
        for byte in 0..100u8 {
            assert!(sim.node(1).gossip().broadcast(Bytes::from(vec![byte; 120])));
        }
        sim.until("transactions to arrive", |sim| [0, 2, 3].iter().all(|index| sim.disks[*index].heard.lock().len() == 100))
            .await;
        assert!(sim.disks[1].heard.lock().is_empty());
        sim
    });
}

#[test]
fn a_flood_of_junk_keeps_no_transaction_back() {
    const FLOOD: Duration = Duration::from_secs(20);
    twice(15, Setup::committee_of(4), |mut sim| async move {
        sim.start(0..3).await;
        sim.reach(0..3, 2).await;
        // The fourth member sends nothing but junk, as fast as its channel allows.
        let (channel, rate) = CHANNELS[5];
        let (mut sender, _receiver) = sim.oracle.control(identity(3)).register(channel, quota(rate)).await.expect("a channel");
        let batch: Vec<bytes::Bytes> = (0..100u8).map(|number| bytes::Bytes::from(vec![JUNK, number])).collect();
        let deadline = sim.context.current() + FLOOD;
        let mut sent = 0;
        while sim.context.current() < deadline {
            let reached = sender.send(Recipients::All, batch.encode(), false);
            sent += usize::from(reached.len() == 3);
            if sent % 100 == 50 {
                assert!(sim.node(1).gossip().broadcast(Bytes::from(vec![1; 120])));
            }
            sim.pass(Duration::from_millis(8)).await;
        }
        let heard = |index: usize, junk: bool| {
            sim.disks[index].heard.lock().iter().filter(|transaction| (transaction[0] == JUNK) == junk).count()
        };
        assert!(sent > 500, "{sent} batches of junk");
        assert!(heard(0, true) < 3_000, "{} transactions of junk were looked at", heard(0, true));
        assert!(heard(0, false) >= sent / 100, "{} transactions arrived", heard(0, false));
        sim
    });
}

#[test]
fn all_crash_at_once_again_and_again_and_lose_nothing_final() {
    let seed = 13;
    let _guard = PrintOnPanic(seed);
    let setup = Setup { epoch_length: 12, link: link(25, 10, 0.98), ..Setup::committee_of(4) };
    let run = || {
        let disks = light_disks(&setup);
        let mut checkpoint: Option<deterministic::Checkpoint> = None;
        let mut last = 0;
        for round in 1..=5u64 {
            let runner = match checkpoint.take() {
                None => deterministic::Runner::new(deterministic::Config::new().with_seed(seed)),
                Some(checkpoint) => deterministic::Runner::from(checkpoint),
            };
            let (setup, survivors) = (setup.clone(), disks.clone());
            let (height, next) = runner.start_and_recover(|context| async move {
                let mut sim = Sim::new(context, setup, survivors).await;
                sim.start(0..4).await;
                sim.reach(0..4, last + 7).await;
                // Some time in the middle of a view, different in each round.
                sim.pass(Duration::from_millis(37 * round)).await;
                sim.check();
                (0..4).map(|index| sim.height(index)).max().expect("nodes")
            });
            for disk in &disks {
                disk.chain.crash();
            }
            assert!(height >= last + 7);
            last = height;
            checkpoint = Some(next);
        }
        let heads: Vec<_> = disks.iter().map(|disk| disk.chain.finalized().last().expect("genesis").0.hash()).collect();
        (heads, checkpoint.map(|checkpoint| checkpoint.auditor().state()))
    };
    assert_eq!(run(), run(), "two runs of one seed differ");
}
