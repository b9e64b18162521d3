//! A process that commits blocks is killed at random moments; whatever it had been told is durable must be there afterwards.

use crate::common::{Model, open};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

const DIR: &str = "OCEANID_STORE_CRASH_DIR";
const SEED: u64 = 11;
const ROUNDS: u64 = 8;

/// The process that is killed: commits blocks and prints each number once the store has said that it is durable.
#[test]
#[ignore = "started by the test below"]
fn child_commits_until_it_is_killed() {
    // Without a directory somebody runs all ignored tests: there is nothing to do here.
    let Ok(dir) = std::env::var(DIR) else { return };
    let store = open(Path::new(&dir)).unwrap();
    let mut model = replayed(store.head().number);
    let mut stdout = std::io::stdout();
    loop {
        model.commit(&store);
        writeln!(stdout, "durable {}", model.head()).unwrap();
        stdout.flush().unwrap();
    }
}

/// The model after `blocks` blocks.
fn replayed(blocks: u64) -> Model {
    let scratch = tempfile::tempdir().unwrap();
    let store = open(scratch.path()).unwrap();
    let mut model = Model::new(SEED);
    let mut view = store.view();
    for _ in 0..blocks {
        let block = model.next(&view);
        view = view.extend(block);
    }
    model
}

#[test]
fn nothing_durable_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut longest = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child_commits_until_it_is_killed", "--ignored", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (sender, durable) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let reader = thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(number) = line.strip_prefix("durable ") {
                    let _ = sender.send(number.parse::<u64>().unwrap());
                }
            }
        });
        // At least one block a round, then any moment of commit, flush or prune.
        durable.recv_timeout(Duration::from_secs(60)).expect("the child commits");
        thread::sleep(Duration::from_micros(rng.random_range(0..150_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        let acknowledged = durable.try_iter().last().unwrap_or(longest).max(longest);

        let store = open(dir.path()).unwrap();
        let head = store.head().number;
        assert!(head >= acknowledged, "round {round}: block {acknowledged} was durable, the head is {head}");
        assert!(head <= acknowledged + 1, "round {round}: more than the block in flight appeared");
        let model = replayed(head);
        model.check(&store);
        if round == ROUNDS - 1 {
            store.flush().unwrap();
            model.check_history(&store);
        }
        longest = head;
    }
    assert!(longest >= ROUNDS);
}
