//! A running actor, stopped when its handle is dropped.

use tokio::task::JoinHandle;

/// Owns a spawned actor. Dropping it stops the actor at its next await; every actor of this crate and of `oceanid-derive` may be
/// stopped there, because what must last is on L1 or in the store.
#[derive(Debug)]
#[must_use = "dropping the task stops the actor"]
pub struct Task(JoinHandle<()>);

impl Task {
    /// Runs an actor on the current runtime.
    pub fn spawn(actor: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(actor))
    }

    /// True once the actor has returned (which it does only on a fatal error, after saying so in its status).
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
