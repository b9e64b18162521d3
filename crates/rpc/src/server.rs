//! The server: one port for http, ws and pages.

use crate::backend::Backend;
use crate::batch::Together;
use crate::config::RpcConfig;
use crate::connection::Impatient;
use crate::context::Context;
use crate::filters::{Filters, HexIds};
use crate::origins::{WsOrigins, cors};
use crate::pages::PagesLayer;
use crate::registry::Registry;
use crate::subscriptions::WsOnly;
use crate::traffic::{Bodies, Requests};
use crate::{
    debug, dev, eth, evm, fees, filters, fork_config, logs, openrpc, raw, rollup, simulate, subscriptions, trace, txpool, witness,
};
use jsonrpsee::server::middleware::rpc::RpcServiceBuilder;
use jsonrpsee::server::{
    BatchRequestConfig, PingConfig, ServerBuilder, ServerConfig, ServerHandle, serve_with_graceful_shutdown, stop_channel,
};
use jsonrpsee::{Methods, RpcModule};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tracing::Instrument as _;

/// Messages that wait for a ws client to read; who makes more waits, too.
const MESSAGE_BUFFER: u32 = 16;
/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a stop waits for requests that are not at their end.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is taken, or not ours to take.
    #[error("RPC cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's answer.
        source: io::Error,
    },
    /// An origin that no browser sends.
    #[error("`{0}` is not an origin: write `*` or a scheme and host such as https://example.org")]
    Origin(String),
    /// A namespace there is not.
    #[error("RPC has no namespace `{0}`: there are {all}", all = RpcConfig::NAMESPACES.join(", "))]
    Namespace(String),
}

/// A running server. Dropped, it stops.
#[derive(Debug)]
pub struct RpcServer {
    address: SocketAddr,
    methods: Vec<&'static str>,
    handle: ServerHandle,
    /// They end with the server.
    _tasks: JoinSet<()>,
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
        if let Some(unknown) = config.namespaces.iter().find(|name| !RpcConfig::NAMESPACES.contains(&name.as_str())) {
            return Err(StartError::Namespace(unknown.clone()));
        }
        let server_config = ServerConfig::builder()
            .max_request_body_size(config.max_request_bytes)
            .max_response_body_size(config.max_response_bytes)
            .max_connections(config.max_connections)
            .max_subscriptions_per_connection(config.max_subscriptions)
            .set_message_buffer_capacity(MESSAGE_BUFFER)
            .set_batch_request_config(BatchRequestConfig::Limit(config.max_batch))
            .enable_ws_ping(PingConfig::new())
            .set_id_provider(HexIds)
            .build();
        let http = tower::ServiceBuilder::new()
            .layer(PagesLayer::new(backend.pages.clone()))
            .layer(WsOrigins::new(&config.cors))
            .layer(cors(&config.cors)?)
            .layer(Bodies::new(config.max_bytes_in_flight, config.max_request_bytes, config.timeout));
        let max_response = config.max_response_bytes;
        let rpc = RpcServiceBuilder::new()
            .layer(Requests::new(config.max_bytes_in_flight))
            .layer_fn(move |service| Together::new(service, max_response))
            .layer_fn(WsOnly);
        let builder =
            ServerBuilder::new().set_config(server_config).set_http_middleware(http).set_rpc_middleware(rpc).to_service_builder();
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;

        let mut tasks = JoinSet::new();
        let context = Arc::new(Context::new(backend, config));
        tasks.spawn(context.arrivals.clone().run(context.backend.pool.subscribe()));
        tasks.spawn(Filters::expire(Arc::downgrade(&context), context.config.filter_lifetime));
        let send_timeout = context.config.send_timeout;
        let module = module(context);
        let mut methods: Vec<_> = module.method_names().collect();
        methods.sort_unstable();

        let (stop, handle) = stop_channel();
        let module = Methods::from(module);
        let accept = async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = stop.clone().shutdown() => return,
                };
                let Ok((stream, _)) = accepted else {
                    // No file handle is left, most often: connections that end give some back.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                };
                // Answers are small and waited for.
                let _ = stream.set_nodelay(true);
                let service = builder.clone().build(module.clone(), stop.clone());
                let stop = stop.clone();
                let serve = async move {
                    let stream = Impatient::new(stream, send_timeout);
                    let given_up = async {
                        stop.clone().shutdown().await;
                        tokio::time::sleep(STOP_PATIENCE).await;
                    };
                    tokio::select! {
                        served = serve_with_graceful_shutdown(stream, service, stop.clone().shutdown()) => {
                            if let Err(error) = served {
                                tracing::debug!(%error, "an RPC connection failed");
                            }
                        }
                        () = given_up => tracing::debug!("an RPC connection did not come to its end in time"),
                    }
                };
                tokio::spawn(serve.in_current_span());
            }
        };
        tokio::spawn(accept.in_current_span());
        tracing::info!(%address, "RPC listens for http and ws");
        Ok(Self { address, methods, handle, _tasks: tasks })
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

    /// Stops accepting, closes the connections and waits for them, for a few seconds where a request is not at its end.
    pub async fn stop(self) {
        // An error says that it has stopped already.
        let _ = self.handle.stop();
        self.handle.stopped().await;
    }
}

fn module(context: Arc<Context>) -> RpcModule<Context> {
    let is_rollup = context.is_rollup();
    let mut registry = Registry::new(context);
    eth::register(&mut registry);
    txpool::register(&mut registry);
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
