//! Random lives of a network: members join and leave, crash, are cut off and vote twice, over twenty epochs.
//!
//! Safety holds always ([`Sim::check`]). Whenever more than two thirds of the committee are honest and connected, the chain grows; and
//! it ends where everybody honest holds the same blocks and votes. The seed decides everything and is printed on failure. `OCEANID_LONG` runs
//! [`LONG_SEEDS`] of them, `OCEANID_LIFE` that one.

use std::time::Duration;

use alloy_primitives::B256;
use commonware_runtime::{Runner as _, deterministic};
use oceanid_primitives::quorum;
use oceanid_sequencer::Execution as _;

use crate::sim::{PrintOnPanic, Setup, Sim, keys, light_disks, link};

const SEEDS: u64 = 8;
const LONG_SEEDS: u64 = 200;
const NODES: usize = 7;
const EPOCH: u64 = 4;
const EPOCHS: u64 = 20;
/// Simulated time in which a healthy committee must make a block: a few lost views of 2.5 to 4.5 s.
const BLOCK_PATIENCE: Duration = Duration::from_secs(90);

/// Time before the second epoch, by which everybody's record of votes covers it: twice the clock drift and the questions before it. Who begins
/// later sits out what has begun, which a quorum of four cannot afford beside one who is down; nobody here recovers a chain that halts for it.
const SETTLING: Duration = Duration::from_secs(12);

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % below as u64) as usize
    }

    fn millis(&mut self, from: usize, to: usize) -> Duration {
        Duration::from_millis((from + self.roll(to - from)) as u64)
    }
}

/// Committees of four to six, each with one member more or one less than the one before, or another one in a place.
fn committees(dice: &mut Dice) -> Vec<(u64, Vec<usize>)> {
    let mut seats: Vec<usize> = (0..4).collect();
    let mut later = Vec::new();
    let mut epoch = 0;
    loop {
        epoch += 1 + dice.roll(4) as u64;
        if epoch > EPOCHS {
            return later;
        }
        let outside: Vec<usize> = (0..NODES).filter(|node| !seats.contains(node)).collect();
        let place = dice.roll(seats.len());
        match dice.roll(3) {
            0 if seats.len() < 6 => seats.push(outside[dice.roll(outside.len())]),
            1 if seats.len() > 4 => drop(seats.remove(place)),
            _ => seats[place] = outside[dice.roll(outside.len())],
        }
        later.push((epoch, seats.clone()));
    }
}

struct World {
    sim: Sim,
    dice: Dice,
    liar: Option<usize>,
}

impl World {
    fn honest(&self) -> Vec<usize> {
        (0..NODES).filter(|node| Some(*node) != self.liar).collect()
    }

    fn highest(&self) -> u64 {
        self.honest().into_iter().map(|node| self.sim.height(node)).max().expect("nodes")
    }

    /// The committees that may be needed for the next block, as nodes.
    fn committees(&self) -> Vec<Vec<usize>> {
        let next = self.highest() + 1;
        let chain = &self.sim.disks[self.honest()[0]].chain;
        let epoch = next / EPOCH;
        [epoch, epoch + 1]
            .into_iter()
            .filter_map(|epoch| chain.scheduled(epoch))
            .map(|committee| (0..NODES).filter(|node| committee.index_of(&keys(*node).identity()).is_some()).collect())
            .collect()
    }

    /// Whether more than two thirds of each committee in question are in `up`.
    fn can_go_on(&self, up: &[usize]) -> bool {
        self.committees().iter().all(|committee| {
            let present = committee.iter().filter(|node| up.contains(node) && Some(**node) != self.liar).count();
            present >= quorum(committee.len())
        })
    }

    async fn crash(&mut self, nodes: &[usize]) {
        nodes.iter().for_each(|node| self.sim.crash(*node));
        let up: Vec<usize> = self.honest().into_iter().filter(|node| !nodes.contains(node)).collect();
        self.suffer(&up).await;
        self.sim.start(nodes.iter().copied()).await;
    }

    async fn cut(&mut self, side: &[usize]) {
        let rest: Vec<usize> = (0..NODES).filter(|node| !side.contains(node)).collect();
        self.sim.partition(side, &rest).await;
        self.suffer(&rest).await;
        self.sim.heal(side, &rest).await;
    }

    /// Time passes while only `up` work together; a committee that can go on does.
    async fn suffer(&mut self, up: &[usize]) {
        if self.can_go_on(up) {
            let goal = self.highest() + 1;
            self.grow(up, goal).await;
        } else {
            let time = self.dice.millis(200, 8_000);
            self.sim.pass(time).await;
        }
    }

    async fn grow(&self, among: &[usize], goal: u64) {
        let start = self.sim.now();
        let what = format!("one of {among:?} to reach {goal}");
        self.sim.until(&what, |sim| among.iter().any(|node| sim.height(*node) >= goal)).await;
        let took = self.sim.now() - start;
        assert!(took <= BLOCK_PATIENCE.as_secs(), "{took} s for a block with enough members up");
    }

    fn some(&mut self, of: &[usize], most: usize) -> Vec<usize> {
        let count = 1 + self.dice.roll(most);
        let mut left = of.to_vec();
        (0..count.min(of.len())).map(|_| left.swap_remove(self.dice.roll(left.len()))).collect()
    }

    async fn live(mut self) -> Sim {
        self.sim.start(0..NODES).await;
        // Two against two of the first committee: no second epoch.
        self.sim.partition(&[0, 1], &[2, 3]).await;
        self.sim.pass(SETTLING).await;
        assert!(self.highest() < EPOCH - 1, "half of a committee made blocks");
        self.sim.heal(&[0, 1], &[2, 3]).await;
        self.sim.reach(self.honest(), 1).await;
        while self.highest() < EPOCHS * EPOCH {
            let honest = self.honest();
            match self.dice.roll(6) {
                // One or two of anybody: most often the rest goes on.
                0 => {
                    let nodes = self.some(&honest, 2);
                    self.crash(&nodes).await;
                }
                // So many that it stands still.
                1 => {
                    let nodes = self.some(&honest, 6);
                    self.crash(&nodes).await;
                }
                2 => {
                    let side = self.some(&honest, 1);
                    self.cut(&side).await;
                }
                3 => {
                    let side = self.some(&honest, 4);
                    self.cut(&side).await;
                }
                _ => {
                    let goal = self.highest() + 1 + self.dice.roll(6) as u64;
                    self.grow(&honest, goal).await;
                }
            }
        }
        let end = self.highest() + 2;
        self.sim.reach(self.honest(), end).await;
        for node in self.honest() {
            assert_eq!(self.sim.node(node).status().sitting_out, None, "node {node} sits out");
            let records = self.sim.disks[node].evidence.records();
            let liar: Vec<B256> = self.liar.iter().map(|liar| keys(*liar).identity()).collect();
            assert!(records.iter().all(|record| record.identities == liar), "node {node} accuses the innocent: {records:?}");
        }
        self.sim
    }
}

/// One life: the state of the auditor and everybody's head.
fn life(seed: u64) -> (String, Vec<B256>) {
    let mut dice = Dice(seed);
    let later = committees(&mut dice);
    // Half of the networks have a member that votes twice.
    let liar = (dice.roll(2) == 0).then(|| dice.roll(NODES));
    let setup = Setup {
        nodes: NODES,
        epoch_length: EPOCH,
        link: link(10 + dice.roll(40) as u64, 1 + dice.roll(10) as u64, 0.97),
        later,
        byzantine: liar.into_iter().collect(),
        ..Setup::committee_of(4)
    };
    let _seed = PrintOnPanic(seed);
    let config = deterministic::Config::new().with_seed(seed).with_timeout(Some(Duration::from_secs(3_600)));
    deterministic::Runner::new(config).start(|context| async move {
        let auditor = context.auditor();
        let disks = light_disks(&setup);
        let sim = Sim::new(context, setup, disks).await;
        let sim = World { sim, dice, liar }.live().await;
        sim.check();
        (auditor.state(), sim.disks.iter().map(|disk| disk.chain.head().hash()).collect())
    })
}

#[test]
fn random_lives_are_safe_and_go_on() {
    if let Ok(seed) = std::env::var("OCEANID_LIFE") {
        drop(life(seed.parse().expect("OCEANID_LIFE is a seed")));
        return;
    }
    let seeds = if std::env::var_os("OCEANID_LONG").is_some() { LONG_SEEDS } else { SEEDS };
    let first = life(0);
    (1..seeds).for_each(|seed| drop(life(seed)));
    assert_eq!(first, life(0), "two lives of one seed differ");
}
