//! Four nodes on tokio over loopback TCP, with real files.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::Bytes;
use oceanid_sequencer::{Reception, Sequencer, SequencerConfig, StartError};
use parking_lot::Mutex;

use crate::{
    chain::LightChain,
    sim::{Setup, TestChain as _, consensus_config, keys, receive, schedule},
};

fn free_addresses(count: usize) -> Vec<SocketAddr> {
    oceanid_devnet::ports::free_addresses(Ipv4Addr::LOCALHOST.into(), count).expect("free ports")
}

fn wait(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn four_nodes_agree_over_tcp_restart_and_gossip() {
    let setup = Setup { epoch_length: 10, block_time: Duration::from_millis(100), ..Setup::committee_of(4) };
    let directory = tempfile::tempdir().expect("a directory");
    let peers: BTreeMap<_, _> = (0..4).map(|index| keys(index).identity()).zip(free_addresses(4)).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let chains: Vec<_> = (0..4).map(|_| LightChain::new(schedule(&setup), setup.epoch_length, now)).collect();
    let heard: Vec<Arc<Mutex<Vec<Bytes>>>> = (0..4).map(|_| Arc::default()).collect();
    let config = |index: usize| SequencerConfig {
        keys: keys(index),
        listen: peers[&keys(index).identity()],
        peers: peers.clone(),
        directory: directory.path().join(index.to_string()),
        consensus: consensus_config(&setup),
        byzantine: None,
        threads: 2,
    };
    let start = |index: usize| {
        let heard = heard[index].clone();
        Sequencer::start(config(index), chains[index].clone(), Arc::new(move |batch| receive(&heard, batch)))
    };
    let mut sequencers: Vec<_> = (0..4).map(|index| start(index).expect("starts")).collect();
    assert!(matches!(start(0), Err(StartError::Listen { .. })), "a port in use is an error, not a panic");

    wait("twelve blocks", || chains.iter().all(|chain| chain.height() >= 12));
    assert!(sequencers[2].gossip().broadcast(Bytes::from_static(b"transaction")));
    wait("gossip", || [0, 1, 3].iter().all(|index| heard[*index].lock().contains(&Bytes::from_static(b"transaction"))));

    sequencers.remove(3).shutdown();
    let missed = chains[0].height() + 12;
    wait("three of four", || chains[..3].iter().all(|chain| chain.height() >= missed));
    sequencers.push(start(3).expect("starts again"));
    let together = chains[0].height() + 10;
    wait("the fourth to catch up", || chains.iter().all(|chain| chain.height() >= together));
    wait("the fourth to vote", || sequencers[3].status().voting);

    for sequencer in sequencers {
        assert_eq!(sequencer.status().failure, None);
        assert!(sequencer.evidence().records().is_empty());
        sequencer.shutdown();
    }
    let finalized: Vec<_> = chains.iter().map(|chain| chain.finalized()).collect();
    for chain in &finalized[1..] {
        for ((left, _), (right, _)) in finalized[0].iter().zip(chain) {
            assert_eq!(left.hash(), right.hash());
        }
    }
}

#[test]
fn a_sequencer_that_is_told_to_stop_has_not_failed() {
    let setup = Setup { epoch_length: 10, block_time: Duration::from_millis(100), ..Setup::committee_of(4) };
    let directory = tempfile::tempdir().expect("a directory");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    for _ in 0..3 {
        let config = SequencerConfig {
            keys: keys(0),
            listen: free_addresses(1)[0],
            peers: BTreeMap::new(),
            directory: directory.path().to_path_buf(),
            consensus: consensus_config(&setup),
            byzantine: None,
            threads: 2,
        };
        let chain = LightChain::new(schedule(&setup), setup.epoch_length, now);
        let sequencer = Sequencer::start(config, chain, Arc::new(|_| Reception::default())).expect("starts");
        let node = sequencer.node();
        std::thread::sleep(Duration::from_millis(300));
        sequencer.shutdown();
        assert_eq!(node.status().failure, None, "the network ends first, and that is no failure");
    }
}
