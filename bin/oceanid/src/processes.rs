//! Nodes as processes of their own: started, watched, restarted when they die, stopped with their parent.
//!
//! Each child's standard input is a pipe that nobody writes to. Its other end closes with the parent, however the parent ends, and tells the child
//! that it has been orphaned ([`parent_gone`]).

use crate::output::LogFormat;
use eyre::WrapErr;
use oceanid_node::{KEYS, Key};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Pause before a dead node is started again.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// A child that ends this often within [`CRASH_WINDOW`] is given up on, and the network ends with the reason.
const CRASH_LIMIT: usize = 20;
/// The time over which ends are counted.
const CRASH_WINDOW: Duration = Duration::from_secs(60);
/// How long a child may take to stop before it is killed, or ends without having stopped well where nobody is left to kill it.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A set of supervised node processes.
pub(crate) struct Processes {
    stop: watch::Sender<bool>,
    supervisors: JoinSet<eyre::Result<()>>,
}

/// File with the process id of the node whose configuration is `config`, next to that configuration.
pub(crate) fn pid_file(config: &Path) -> PathBuf {
    config.with_extension("pid")
}

impl Processes {
    /// Starts `oceanid node --config FILE` for each name and file; standard error is the parent's.
    pub(crate) fn start(nodes: Vec<(String, PathBuf)>, (log, format): (&str, LogFormat)) -> eyre::Result<Self> {
        let binary = std::env::current_exe().wrap_err("cannot find this program's own file")?;
        let (stop, stopped) = watch::channel(false);
        let mut supervisors = JoinSet::new();
        for (name, config) in nodes {
            let mut command = Command::new(&binary);
            command.args(["node", "--log", log, "--log-format", format.name(), "--dev-child", &name, "--config"]).arg(&config);
            // The files say everything: a variable that is meant for one node must not reach all of them.
            for variable in KEYS.iter().map(Key::variable) {
                command.env_remove(variable);
            }
            command.stdin(Stdio::piped()).stdout(Stdio::null()).kill_on_drop(true);
            supervisors.spawn(supervise(command, name, config, stopped.clone()));
        }
        Ok(Self { stop, supervisors })
    }

    /// Waits until a node is given up on.
    pub(crate) async fn failed(&mut self) -> eyre::Error {
        match self.supervisors.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => eyre::eyre!("a supervisor ended: {error}"),
            Some(Ok(Ok(()))) | None => eyre::eyre!("a node process ended"),
        }
    }

    /// Stops all children and waits for them.
    pub(crate) async fn shutdown(mut self) {
        // All supervisors hold a receiver; if none is left there is nothing to stop.
        let _ = self.stop.send(true);
        while self.supervisors.join_next().await.is_some() {}
    }
}

/// For a child: resolves when the parent is gone, also if it went before this was called.
pub(crate) fn parent_gone() -> eyre::Result<impl Future<Output = ()>> {
    let lifeline = std::io::stdin().as_fd().try_clone_to_owned().and_then(pipe::Receiver::from_owned_fd);
    let mut lifeline = lifeline.wrap_err("--dev-child: standard input is not a parent's pipe")?;
    Ok(async move {
        // An error means as much as the end: nobody is at the other side.
        while lifeline.read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
    })
}

async fn supervise(mut command: Command, name: String, config: PathBuf, mut stop: watch::Receiver<bool>) -> eyre::Result<()> {
    let mut ends = std::collections::VecDeque::new();
    loop {
        let mut child = command.spawn().wrap_err_with(|| format!("cannot start {name}"))?;
        // Out of the child's hands: waiting for it would close the pipe, and the child would take itself for an orphan.
        let lifeline = child.stdin.take();
        if let Some(pid) = child.id() {
            tokio::fs::write(pid_file(&config), pid.to_string()).await?;
        }
        tokio::select! {
            status = child.wait() => {
                let now = tokio::time::Instant::now();
                ends.push_back(now);
                while ends.front().is_some_and(|first| now.duration_since(*first) > CRASH_WINDOW) {
                    ends.pop_front();
                }
                if ends.len() >= CRASH_LIMIT {
                    eyre::bail!("{name} ended {CRASH_LIMIT} times in {CRASH_WINDOW:?}, last with {}", status?);
                }
                tracing::warn!(node = %name, status = %status?, "node process ended, starting it again");
                tokio::time::sleep(RESTART_PAUSE).await;
            }
            () = async { drop(stop.wait_for(|stop| *stop).await) } => {
                let ended = end(&mut child, &name).await;
                drop(lifeline);
                return ended;
            }
        }
    }
}

async fn end(child: &mut Child, name: &str) -> eyre::Result<()> {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // The child may have ended in this moment; then there is nobody to signal.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
    }
    if tokio::time::timeout(STOP_PATIENCE, child.wait()).await.is_err() {
        tracing::warn!(node = %name, "node did not stop in {STOP_PATIENCE:?}, killing it");
        child.kill().await?;
    }
    Ok(())
}
