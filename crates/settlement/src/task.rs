//! A running actor, stopped when its handle is dropped, and work that would hold up others. Both are in the span of whoever starts them.

use tokio::task::JoinHandle;
use tracing::{Instrument as _, Span};

/// Owns a spawned actor. Dropping it stops the actor at its next await; every actor of this crate and of `oceanid-derive` may be
/// stopped there, because what must last is on L1 or in the store.
#[derive(Debug)]
#[must_use = "dropping the task stops the actor"]
pub struct Task(JoinHandle<()>);

impl Task {
    /// Runs an actor on the current runtime.
    pub fn spawn(actor: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(actor.in_current_span()))
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

/// Runs what computes for long, or waits for the disk, where it holds up no actor.
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let span = Span::current();
    tokio::task::spawn_blocking(move || span.in_scope(work))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;
    use tracing::error_span;

    fn span_name() -> Option<&'static str> {
        Span::current().metadata().map(tracing::Metadata::name)
    }

    #[tokio::test]
    async fn what_a_node_starts_is_in_its_span() {
        // Work that blocks is on a thread of its own, for which a subscriber of this thread alone is none.
        tracing::subscriber::set_global_default(tracing_subscriber::registry()).expect("the first");
        let (tell, told) = oneshot::channel();
        let starts = async move {
            Task::spawn(async move {
                let blocking = spawn_blocking(span_name).await.expect("no panic");
                tell.send([span_name(), blocking]).expect("somebody listens");
            })
        };
        let _task = starts.instrument(error_span!("node")).await;
        assert_eq!(told.await.expect("told"), [Some("node"); 2]);
        assert_eq!(span_name(), None);
    }
}
