//! The beginning of a chain, and nodes that cannot remember it.

use std::time::Duration;

use commonware_p2p::{Receiver as _, Recipients, Sender as _};
use commonware_runtime::{Clock as _, Handle, Spawner as _, Supervisor as _};
use oceanid_sequencer::{
    node::{CHANNELS, quota},
    types::Identity,
};

use crate::sim::{Setup, Sim, identity, twice};

/// Why node `index` does not vote.
fn reason(sim: &Sim, index: usize) -> String {
    let status = sim.node(index).status();
    assert!(!status.voting, "{status:?}");
    status.sitting_out.expect("a member that does not vote says why")
}

fn assert_nobody_is_accused(sim: &Sim) {
    for (index, disk) in sim.disks.iter().enumerate() {
        assert_eq!(disk.evidence.records(), [], "node {index} has evidence");
    }
}

#[test]
fn a_first_member_that_lost_everything_does_not_vote_anew() {
    let setup = Setup { epoch_length: 40, ..Setup::committee_of(4) };
    twice(41, setup, |mut sim| async move {
        sim.start(0..4).await;
        sim.reach(0..4, 10).await;
        sim.crash(3);
        sim.lose(3);
        sim.start([3]).await;
        sim.reach(0..4, 20).await;
        assert!(reason(&sim, 3).contains("does not cover this epoch"));
        // It votes again in an epoch that began under its eyes.
        sim.voting(0..4).await;
        assert!(sim.height(3) >= 39);
        assert_nobody_is_accused(&sim);
        sim
    });
}

#[test]
fn a_first_member_that_lost_everything_in_the_first_view_does_not_vote_anew() {
    twice(42, Setup::committee_of(4), |mut sim| async move {
        // Nothing becomes final: nobody can judge a block.
        sim.disks.iter().for_each(|disk| disk.chain.blind.store(true, std::sync::atomic::Ordering::Relaxed));
        sim.start(0..4).await;
        sim.voting(0..4).await;
        sim.pass(Duration::from_secs(2)).await;
        sim.crash(3);
        sim.lose(3);
        sim.start([3]).await;
        sim.pass(Duration::from_secs(5)).await;
        sim.disks.iter().for_each(|disk| disk.chain.blind.store(false, std::sync::atomic::Ordering::Relaxed));
        sim.reach(0..4, 10).await;
        assert!(reason(&sim, 3).contains("does not cover this epoch"));
        assert_nobody_is_accused(&sim);
        sim
    });
}

#[test]
fn a_first_member_that_lost_everything_and_reaches_only_one_other_waits() {
    twice(43, Setup::committee_of(4), |mut sim| async move {
        sim.start(0..4).await;
        sim.reach(0..4, 10).await;
        sim.crash(3);
        sim.lose(3);
        sim.partition(&[3], &[0, 1]).await;
        sim.start([3]).await;
        sim.pass(Duration::from_secs(30)).await;
        assert!(reason(&sim, 3).contains("of which 1 have answered"), "{}", reason(&sim, 3));
        assert_eq!(sim.height(3), 0);
        sim.heal(&[3], &[0, 1]).await;
        let height = sim.height(0);
        sim.reach(0..4, height + 10).await;
        assert!(reason(&sim, 3).contains("does not cover this epoch"));
        assert_nobody_is_accused(&sim);
        sim
    });
}

#[test]
fn the_first_members_vote_once_a_quorum_of_them_is_there() {
    twice(44, Setup::committee_of(4), |mut sim| async move {
        // Long after genesis: nothing depends on when that was.
        sim.pass(Duration::from_secs(700)).await;
        sim.start(0..2).await;
        sim.pass(Duration::from_secs(100)).await;
        for node in 0..2 {
            assert!(reason(&sim, node).contains("of which 1 have answered"), "{}", reason(&sim, node));
        }
        sim.start([2]).await;
        sim.reach(0..3, 10).await;
        // The last one is new too, and the others know that it has not voted, also those that were restarted.
        for node in 0..3 {
            sim.crash(node);
        }
        sim.start(0..3).await;
        sim.reach(0..3, 12).await;
        sim.start([3]).await;
        sim.voting(0..4).await;
        sim.reach(0..4, 30).await;
        assert_nobody_is_accused(&sim);
        sim
    });
}

#[test]
fn restarted_members_remember_who_has_voted() {
    twice(47, Setup::committee_of(4), |mut sim| async move {
        sim.start(0..4).await;
        sim.reach(0..4, 10).await;
        for node in 0..4 {
            sim.crash(node);
        }
        sim.lose(3);
        sim.start(0..4).await;
        sim.reach(0..4, 20).await;
        assert!(reason(&sim, 3).contains("does not cover this epoch"));
        assert_nobody_is_accused(&sim);
        sim
    });
}

#[test]
fn epochs_shorter_than_the_clocks_margin_begin_with_everybody_voting() {
    let setup = Setup { epoch_length: 4, ..Setup::committee_of(4) };
    twice(45, setup, |mut sim| async move {
        sim.pass(Duration::from_secs(700)).await;
        sim.start(0..4).await;
        for height in [6, 10, 14] {
            sim.reach(0..4, height).await;
            assert!((0..4).all(|node| sim.node(node).status().voting));
        }
        sim
    });
}

/// Answers every question in the name of node `index`, by a clock that is `ahead` seconds ahead.
async fn answer(sim: &Sim, index: usize, ahead: u64) -> Handle<()> {
    let (channel, rate) = CHANNELS[6];
    let control = sim.oracle.control(identity(index));
    let (mut sender, mut receiver) = control.register(channel, quota(rate)).await.expect("the network runs");
    sim.context.child("answers").spawn(move |context| async move {
        while let Ok((peer, _)) = receiver.recv().await {
            let clock = context.current().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() + ahead;
            let statement = [[0, 1].as_slice(), &clock.to_be_bytes()].concat();
            let _: Vec<Identity> = sender.send(Recipients::One(peer), bytes::Bytes::from(statement), true);
        }
    })
}

#[test]
fn a_node_whose_clock_is_behind_begins_no_record() {
    twice(46, Setup::committee_of(4), |mut sim| async move {
        let wrong = [answer(&sim, 1, 3_600).await, answer(&sim, 2, 3_601).await, answer(&sim, 3, 3_600).await];
        sim.start([0]).await;
        sim.pass(Duration::from_secs(100)).await;
        let reason = reason(&sim, 0);
        assert!(reason.contains("3600 s behind the committee's: set the clock"), "{reason}");
        wrong.iter().for_each(Handle::abort);
        sim
    });
}
