//! A development network started by a chore, and ended with it.

use eyre::{WrapErr, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for the network to be ready or to recover.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A running `oceanid dev` with its state in `FOLDER/state`; interrupted when dropped.
pub(crate) struct Network {
    parent: Child,
    /// What `--config-out` wrote.
    pub(crate) config: Value,
}

impl Network {
    /// Starts the network on free ports and waits until it is ready.
    pub(crate) async fn start(oceanid: &Path, folder: &Path, options: &[&str]) -> eyre::Result<Self> {
        let file = folder.join("network.json");
        let parent = Command::new(oceanid)
            .args(["dev", "--port", "0", "--l1-port", "0", "--state"])
            .arg(folder.join("state"))
            .arg("--config-out")
            .arg(&file)
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .wrap_err_with(|| format!("cannot run {}", oceanid.display()))?;
        let mut network = Self { parent, config: Value::Null };
        let started = Instant::now();
        while !file.exists() {
            if let Some(status) = network.parent.try_wait()? {
                eyre::bail!("`oceanid dev` ended with {status} before it was ready");
            }
            ensure!(started.elapsed() < PATIENCE, "the network was not ready after {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        network.config = serde_json::from_slice(&std::fs::read(&file)?)?;
        Ok(network)
    }

    /// A text in what `--config-out` wrote.
    pub(crate) fn text(&self, path: &str) -> eyre::Result<&str> {
        self.config.pointer(path).and_then(Value::as_str).ok_or_else(|| eyre::eyre!("{path} in the network file"))
    }

    /// Process id of the parent, which holds every node unless they are processes of their own.
    pub(crate) fn pid(&self) -> u32 {
        self.parent.id()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The parent stops its children on SIGINT; a second way out is not needed in a chore.
        let _ = kill(Pid::from_raw(self.parent.id() as i32), Signal::SIGINT);
        let _ = self.parent.wait();
    }
}

/// Asks until the answer is yes. An error counts as no until patience ends; then it is the reason.
pub(crate) async fn wait_for(
    what: &str,
    patience: Duration,
    mut ready: impl AsyncFnMut() -> eyre::Result<bool>,
) -> eyre::Result<()> {
    let started = Instant::now();
    loop {
        let answer = ready().await;
        if matches!(answer, Ok(true)) {
            return Ok(());
        }
        if started.elapsed() > patience {
            answer.wrap_err_with(|| format!("waited {patience:?} for {what}"))?;
        }
        ensure!(started.elapsed() <= patience, "waited {patience:?} for {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
