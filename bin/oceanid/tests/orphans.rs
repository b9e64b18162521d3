//! `oceanid dev --processes` killed without warning: its nodes must not outlive it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longest wait for the contracts to be deployed and the nodes to be started.
const START: Duration = Duration::from_secs(300);
/// Longest wait for the nodes to be gone: they stop as they do on a signal, in a debug build on a busy machine.
const END: Duration = Duration::from_secs(30);

/// Waits until every node of the network serves: one that is still looking for its L1 would end without it in any case.
fn wait_until_ready(parent: &mut Child, config: &Path) {
    let started = Instant::now();
    while !config.exists() {
        assert!(parent.try_wait().unwrap().is_none(), "the network ended");
        assert!(started.elapsed() < START, "the network is not ready");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn nodes_end_with_a_parent_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (state, config) = (folder.path().join("state"), folder.path().join("network.json"));
    let mut parent = Command::new(env!("CARGO_BIN_EXE_oceanid"))
        .args(["dev", "--processes", "--sequencers", "1", "--port", "0", "--l1-port", "0", "--state"])
        .arg(&state)
        .arg("--config-out")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // All of them write to this one pipe, which therefore ends only when the last of them has.
    let mut written = parent.stderr.take().unwrap();
    wait_until_ready(&mut parent, &config);
    let nodes = ["sequencer-0", "follower"].map(|name| {
        let pid = std::fs::read_to_string(state.join(name).join("node.pid")).unwrap();
        Pid::from_raw(pid.parse().unwrap())
    });
    for node in nodes {
        kill(node, None).expect("the node runs");
    }

    kill(Pid::from_raw(parent.id().try_into().unwrap()), Signal::SIGKILL).unwrap();
    parent.wait().unwrap();
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        tell.send(written.read_to_string(&mut text).map(|_| text))
    });
    if told.recv_timeout(END).is_err() {
        // Ours, and nobody else would end them.
        for node in nodes {
            let _ = kill(node, Signal::SIGKILL);
        }
        panic!("the nodes outlived their parent by {END:?}");
    }
}
