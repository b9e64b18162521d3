//! A committee that stands still is replaced by L1; the chain goes on where it was, under other members.

use std::time::Duration;

use oceanid_primitives::{HeaderExtension, L1Origin, RECOVERY_EPOCHS, Recovery};
use oceanid_sequencer::Execution as _;

use crate::{
    chain::LightChain,
    sim::{Setup, Sim, TestChain as _, committee, keys, twice},
};

/// What L1 says when it recovers the chain after the newest block that is final anywhere.
fn recovery(sim: &Sim<LightChain>, index: u64, seats: &[usize]) -> Recovery {
    let newest = sim.disks.iter().map(|disk| disk.chain.head()).max_by_key(|head| head.number()).expect("nodes");
    Recovery {
        index,
        after_block: newest.number(),
        head_hash: newest.hash(),
        committee: committee(index + 100, seats),
        l1: L1Origin::default(),
        timestamp: sim.now(),
    }
}

/// Recovers the chain for everybody.
pub(crate) fn recover(sim: &Sim<LightChain>, index: u64, seats: &[usize]) {
    let recovery = recovery(sim, index, seats);
    tell(sim, &(0..sim.setup.nodes).collect::<Vec<_>>(), &recovery);
}

fn tell(sim: &Sim<LightChain>, nodes: &[usize], recovery: &Recovery) {
    for node in nodes {
        sim.disks[*node].chain.recoveries.lock().push(recovery.clone());
    }
}

#[test]
fn the_chain_goes_on_under_a_newer_committee_and_the_lost_members_catch_up() {
    let setup = Setup { nodes: 6, epoch_length: 20, ..Setup::committee_of(4) };
    twice(31, setup, |mut sim| async move {
        sim.start(0..6).await;
        sim.reach(0..4, 25).await;
        sim.crash(2);
        sim.crash(3);
        sim.pass(Duration::from_secs(30)).await;
        let stuck = sim.height(0);
        sim.pass(Duration::from_secs(30)).await;
        assert_eq!(sim.height(0), stuck, "progress without a quorum");

        // Everybody who is left can say who is missing.
        for node in [0, 1, 4, 5] {
            let waiting = sim.node(node).status().waiting.expect("the chain stands still");
            assert_eq!((waiting.quorum, waiting.heard), (3, 2), "node {node}: {waiting}");
            let mut silent: Vec<_> = waiting.silent.iter().map(|member| member.identity).collect();
            let mut lost = vec![keys(2).identity(), keys(3).identity()];
            silent.sort();
            lost.sort();
            assert_eq!(silent, lost);
        }

        // L1 puts another committee in office; not everybody hears of it at once.
        let recovery = recovery(&sim, 1, &[0, 1, 4, 5]);
        let after = recovery.after_block;
        tell(&sim, &[0, 4, 5], &recovery);
        sim.reach([0, 4, 5], after + 6).await;
        tell(&sim, &[1], &recovery);
        sim.reach([0, 1, 4, 5], after + 12).await;
        assert!([0, 1, 4, 5].iter().all(|node| sim.node(*node).status().waiting.is_none()));

        // One comes back before its L1 has caught up, one after.
        sim.start([2]).await;
        sim.pass(Duration::from_secs(3)).await;
        tell(&sim, &[2, 3], &recovery);
        sim.start([3]).await;
        sim.reach(0..6, after + 60).await;

        let chain = sim.disks[3].chain.finalized();
        let (first, _) = &chain[after as usize + 1];
        assert_eq!(first.header().parent_hash, recovery.head_hash, "nothing final was lost");
        let extension = HeaderExtension::decode(&first.header().extra_data).expect("an extension");
        let before = HeaderExtension::decode(&chain[after as usize].0.header().extra_data).expect("an extension");
        assert!(extension.epoch > before.epoch && extension.committee_id == 101 && extension.next_committee_id == 101);
        sim
    });
}

#[test]
fn a_second_recovery_at_one_place_leaves_an_epoch_out() {
    let setup = Setup { nodes: 7, epoch_length: 20, ..Setup::committee_of(4) };
    twice(32, setup, |mut sim| async move {
        sim.start([0, 1, 4, 5, 6]).await;
        sim.start([2, 3]).await;
        sim.reach(0..7, 10).await;
        (2..4).for_each(|node| sim.crash(node));
        sim.pass(Duration::from_secs(30)).await;
        // The first committee put in office cannot work either.
        let first = recovery(&sim, 1, &[0, 2, 3, 4]);
        tell(&sim, &[0, 1, 2, 3, 4, 5, 6], &first);
        sim.pass(Duration::from_secs(40)).await;
        let waiting = sim.node(0).status().waiting.expect("the chain stands still");
        assert_eq!((waiting.quorum, waiting.heard, sim.height(0)), (3, 2, first.after_block));
        let second = recovery(&sim, 2, &[0, 4, 5, 6]);
        tell(&sim, &[0, 1, 2, 3, 4, 5, 6], &second);
        sim.reach([0, 1, 4, 5, 6], second.after_block + 30).await;
        let epochs = sim.disks[0].chain.epochs().expect("a chain that goes on");
        assert_eq!(epochs.of(second.after_block + 1), epochs.of(second.after_block) + 2 * RECOVERY_EPOCHS);
        sim
    });
}

#[test]
fn a_committee_that_never_began_is_replaced() {
    let setup = Setup { nodes: 6, epoch_length: 20, ..Setup::committee_of(4) };
    twice(34, setup, |mut sim| async move {
        // Two of the first four never come; two others do.
        sim.start([0, 1, 4, 5]).await;
        sim.pass(Duration::from_secs(90)).await;
        assert!([0, 1, 4, 5].iter().all(|node| sim.height(*node) == 0 && !sim.node(*node).status().voting));
        recover(&sim, 1, &[0, 1, 4, 5]);
        sim.reach([0, 1, 4, 5], 10).await;
        sim
    });
}

#[test]
fn a_node_that_was_left_behind_stops_and_says_why() {
    let setup = Setup { nodes: 5, epoch_length: 1_000, ..Setup::committee_of(4) };
    twice(33, setup, |mut sim| async move {
        sim.start(0..5).await;
        sim.reach(0..5, 10).await;
        // L1 knows of two blocks less than this node: nobody had posted them.
        let mut recovery = recovery(&sim, 1, &[0, 1, 2, 3]);
        recovery.after_block = 8;
        recovery.head_hash = sim.disks[4].chain.finalized()[8].0.hash();
        tell(&sim, &[4], &recovery);
        sim.pass(Duration::from_secs(2)).await;
        let failure = sim.node(4).status().failure.expect("the node stopped");
        assert!(failure.contains("final beyond block 8"), "{failure}");
        sim.disks[4].chain.recoveries.lock().clear();
        sim.crash(4);
        sim
    });
}
