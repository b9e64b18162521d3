//! How methods are registered: light ones answer on the spot, heavy ones on a blocking thread behind the gate.

use crate::context::Context;
use crate::error::{RpcError, RpcResult};
use crate::params::Args;
use jsonrpsee::RpcModule;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::sync::Arc;

/// A method: parameters in, anything JSON out.
pub(crate) type Handler<T> = fn(&Context, &mut Args<'_>) -> RpcResult<T>;

/// The methods of a server. Names are constants of this crate, so a name used twice is a bug found by the first test.
pub(crate) struct Registry {
    module: RpcModule<Context>,
}

impl Registry {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { module: RpcModule::from_arc(context) }
    }

    pub(crate) fn into_module(self) -> RpcModule<Context> {
        self.module
    }

    pub(crate) const fn module_mut(&mut self) -> &mut RpcModule<Context> {
        &mut self.module
    }

    /// A method that takes microseconds: memory, or a point read or two.
    pub(crate) fn light<T: Serialize + 'static>(&mut self, name: &'static str, handler: Handler<T>) {
        self.module
            .register_method(name, move |params, context, _| answer(name, context, &params, handler))
            .expect("each method is registered once");
    }

    /// A method that executes code, reads whole blocks or walks ranges.
    pub(crate) fn heavy<T: Serialize + 'static>(&mut self, name: &'static str, handler: Handler<T>) {
        self.module
            .register_async_method(name, move |params, context, _| async move {
                let timeout = context.config.timeout;
                let busy = || RpcError::limit(format!("request timed out after {} s", timeout.as_secs()));
                let work = async {
                    let permit = context.heavy.clone().acquire_owned().await.map_err(RpcError::internal)?;
                    let context = context.clone();
                    // The permit goes along: work that outlives its caller still counts.
                    let job = move || {
                        let _permit = permit;
                        answer(name, &context, &params, handler)
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
    handler: Handler<T>,
) -> RpcResult<Box<RawValue>> {
    let _span = tracing::info_span!("rpc", method = name).entered();
    let value = handler(context, &mut Args::new(params)?)?;
    to_raw_value(&value).map_err(RpcError::internal)
}
