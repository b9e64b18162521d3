//! How methods are registered: light ones answer on the spot, the others on a blocking thread behind the gate of their kind.

use crate::context::Context;
use crate::error::{RpcError, RpcResult};
use crate::gate::{Gate, Gates};
use crate::params::Args;
use jsonrpsee::{ConnectionId, RpcModule};
use serde::Serialize;
use serde_json::value::RawValue;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;
use tracing::{Span, info_span};

/// A method: parameters in, anything JSON out.
pub(crate) type Handler<T> = fn(&Context, &mut Args<'_>) -> RpcResult<T>;

/// The methods of a server. Names are constants of this crate, so a name used twice is a bug found by the first test.
pub(crate) struct Registry {
    module: RpcModule<Context>,
    context: Arc<Context>,
}

impl Registry {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { module: RpcModule::from_arc(context.clone()), context }
    }

    pub(crate) fn into_module(self) -> RpcModule<Context> {
        self.module
    }

    /// For methods that are registered by hand; none if the operator does not serve this one.
    pub(crate) fn module_for(&mut self, name: &str) -> Option<&mut RpcModule<Context>> {
        self.context.config.serves(name).then_some(&mut self.module)
    }

    /// A method that takes microseconds: memory, or a point read or two.
    pub(crate) fn light<T: Serialize + 'static>(&mut self, name: &'static str, handler: Handler<T>) {
        let Some(module) = self.module_for(name) else { return };
        module
            .register_method(name, move |params, context, _| {
                answer(name, context, &params, Instant::now() + context.config.timeout, handler)
            })
            .expect("each method is registered once");
    }

    /// A method that reads a block or walks a path of the trie.
    pub(crate) fn read<T: Serialize + 'static>(&mut self, name: &'static str, handler: Handler<T>) {
        self.gated(name, |gates| &gates.reads, handler);
    }

    /// A method that executes code.
    pub(crate) fn call<T: Serialize + 'static>(&mut self, name: &'static str, handler: Handler<T>) {
        self.gated(name, |gates| &gates.calls, handler);
    }

    /// A method that walks ranges, or the pool.
    pub(crate) fn scan<T: Serialize + 'static>(&mut self, name: &'static str, handler: Handler<T>) {
        self.gated(name, |gates| &gates.scans, handler);
    }

    /// A method that executes code and records it.
    pub(crate) fn trace<T: Serialize + 'static>(&mut self, name: &'static str, handler: Handler<T>) {
        self.gated(name, |gates| &gates.traces, handler);
    }

    fn gated<T: Serialize + 'static>(&mut self, name: &'static str, gate: fn(&Gates) -> &Gate, handler: Handler<T>) {
        let Some(module) = self.module_for(name) else { return };
        module
            .register_async_method(name, move |params, context, extensions| async move {
                let connection = extensions.get::<ConnectionId>().copied().unwrap_or_default();
                let timeout = context.config.timeout;
                let deadline = Instant::now() + timeout;
                let busy = || RpcError::limit(format!("request timed out after {} s", timeout.as_secs()));
                let work = async {
                    let place = gate(&context.gates).enter(connection).await.map_err(RpcError::internal)?;
                    let context = context.clone();
                    // The place goes along: work that outlives its caller still counts.
                    let span = Span::current();
                    let job = move || {
                        let (_place, _entered) = (place, span.entered());
                        answer(name, &context, &params, deadline, handler)
                    };
                    tokio::task::spawn_blocking(job).await.map_err(RpcError::internal)?
                };
                tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(busy()))
            })
            .expect("each method is registered once");
    }
}

fn answer<T: Serialize>(
    name: &'static str,
    context: &Context,
    params: &jsonrpsee::types::Params<'_>,
    deadline: Instant,
    handler: Handler<T>,
) -> RpcResult<Box<RawValue>> {
    let _span = info_span!("rpc", method = name).entered();
    let value = handler(context, &mut Args::new(params, deadline)?)?;
    bounded_json(&value, context.config.max_response_bytes)
}

/// The value as JSON of at most `limit` bytes, of which no more are ever written.
fn bounded_json(value: &impl Serialize, limit: u32) -> RpcResult<Box<RawValue>> {
    let mut text = BoundedText { bytes: Vec::new(), limit: limit as usize, exceeded: false };
    if let Err(error) = serde_json::to_writer(&mut text, value) {
        return Err(match text.exceeded {
            true => RpcError::limit(format!("response is larger than {limit} bytes: ask for less")),
            false => RpcError::internal(error),
        });
    }
    let text = String::from_utf8(text.bytes).map_err(RpcError::internal)?;
    RawValue::from_string(text).map_err(RpcError::internal)
}

struct BoundedText {
    bytes: Vec<u8>,
    limit: usize,
    exceeded: bool,
}

impl Write for BoundedText {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + part.len() > self.limit {
            self.exceeded = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_at_its_limit() {
        assert_eq!(bounded_json(&"four", 6).expect("fits").get(), "\"four\"");
        let endless = std::iter::repeat_n(0_u8, usize::MAX);
        struct Endless<I>(I);
        impl<I: Iterator<Item = u8> + Clone> Serialize for Endless<I> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.0.clone())
            }
        }
        let error = bounded_json(&Endless(endless), 1_000).expect_err("too long");
        assert_eq!(error.code, RpcError::LIMIT, "{error}");
    }
}
