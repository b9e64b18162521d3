//! The server: one port for http, ws and pages.

use crate::backend::Backend;
use crate::batch::Together;
use crate::config::RpcConfig;
use crate::context::Context;
use crate::filters::HexIds;
use crate::pages::PagesLayer;
use crate::registry::Registry;
use crate::{
    debug, dev, eth, evm, fees, filters, fork_config, logs, openrpc, raw, rollup, simulate, subscriptions, trace, witness,
};
use jsonrpsee::RpcModule;
use jsonrpsee::server::middleware::rpc::RpcServiceBuilder;
use jsonrpsee::server::{BatchRequestConfig, PingConfig, ServerBuilder, ServerConfig, ServerHandle};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is taken, or not ours to take.
    #[error("RPC cannot listen on {address}: {source}; stop what uses the port, or choose another")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's answer.
        source: io::Error,
    },
    /// An origin that no browser sends.
    #[error("`{0}` is not an origin: write `*` or a scheme and host such as https://example.org")]
    Origin(String),
}

/// A running server. Dropped, it stops.
#[derive(Debug)]
pub struct RpcServer {
    address: SocketAddr,
    methods: Vec<&'static str>,
    handle: ServerHandle,
}

impl RpcServer {
    /// Binds the port and serves `backend` until stopped or dropped.
    ///
    /// # Errors
    ///
    /// The port cannot be bound, or an origin in the configuration is not one.
    pub async fn start(config: RpcConfig, backend: Backend) -> Result<Self, StartError> {
        let listen = config.listen;
        let failed = |source| StartError::Listen { address: listen, source };
        let server_config = ServerConfig::builder()
            .max_request_body_size(config.max_request_bytes)
            .max_response_body_size(config.max_response_bytes)
            .max_connections(config.max_connections)
            .max_subscriptions_per_connection(config.max_subscriptions)
            .set_batch_request_config(BatchRequestConfig::Limit(config.max_batch))
            .enable_ws_ping(PingConfig::new())
            .set_id_provider(HexIds)
            .build();
        let middleware = tower::ServiceBuilder::new().layer(PagesLayer::new(backend.pages.clone())).layer(cors(&config.cors)?);
        let max_response = config.max_response_bytes;
        let answering = RpcServiceBuilder::new().layer_fn(move |service| Together::new(service, max_response));
        let builder =
            ServerBuilder::new().set_config(server_config).set_http_middleware(middleware).set_rpc_middleware(answering);
        let server = builder.build(listen).await.map_err(failed)?;
        let address = server.local_addr().map_err(failed)?;
        let module = module(config, backend);
        let mut methods: Vec<_> = module.method_names().collect();
        methods.sort_unstable();
        let handle = server.start(module);
        tracing::info!(%address, "RPC listens for http and ws");
        Ok(Self { address, methods, handle })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Names of the methods served, sorted.
    pub fn methods(&self) -> &[&'static str] {
        &self.methods
    }

    /// `http://address`.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `ws://address`.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Stops accepting, closes the connections and waits for them.
    pub async fn stop(self) {
        // An error says that it has stopped already.
        let _ = self.handle.stop();
        self.handle.stopped().await;
    }
}

fn module(config: RpcConfig, backend: Backend) -> RpcModule<Context> {
    let context = Arc::new(Context::new(backend, config));
    let is_rollup = context.is_rollup();
    let mut registry = Registry::new(context);
    eth::register(&mut registry);
    evm::register(&mut registry);
    simulate::register(&mut registry);
    debug::register(&mut registry);
    raw::register(&mut registry);
    fork_config::register(&mut registry);
    trace::register(&mut registry);
    witness::register(&mut registry);
    fees::register(&mut registry);
    logs::register(&mut registry);
    filters::register(&mut registry);
    subscriptions::register(&mut registry);
    if is_rollup {
        rollup::register(&mut registry);
    }
    dev::register(&mut registry);
    openrpc::register(&mut registry);
    registry.into_module()
}

fn cors(origins: &[String]) -> Result<CorsLayer, StartError> {
    let layer = CorsLayer::new().allow_methods(Any).allow_headers(Any);
    if origins.iter().any(|origin| origin == "*") {
        return Ok(layer.allow_origin(Any));
    }
    let parse = |origin: &String| match origin.parse() {
        Ok(value) if origin.contains("://") => Ok(value),
        _ => Err(StartError::Origin(origin.clone())),
    };
    let origins = origins.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    Ok(layer.allow_origin(AllowOrigin::list(origins)))
}
