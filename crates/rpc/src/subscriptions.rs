//! `eth_subscribe`: new heads, logs, pending transactions and the state of catching up, over ws.
//!
//! Blocks are read on blocking threads, and what is sent of one is made item by item: a reader that is slow costs one item, and one
//! that does not read at all its connection.

use crate::context::Context;
use crate::convert;
use crate::error::{RpcError, RpcResult};
use crate::params::Args;
use crate::registry::Registry;
use crate::{eth, logs};
use alloy_rpc_types_eth::Filter;
use futures::future::{Either, ready};
use jsonrpsee::core::SubscriptionResult;
use jsonrpsee::core::middleware::{Batch, Notification, RpcServiceT};
use jsonrpsee::types::{ErrorObjectOwned, Params, Request};
use jsonrpsee::{MethodResponse, PendingSubscriptionSink, SubscriptionMessage, SubscriptionSink};
use oceanid_store::CommittedBlock;
use serde::Serialize;
use serde_json::json;
use serde_json::value::to_raw_value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

const SUBSCRIBE: &str = "eth_subscribe";
const UNSUBSCRIBE: &str = "eth_unsubscribe";
/// Time between two looks at the state of catching up.
const SYNC_LOOK: Duration = Duration::from_secs(1);

/// Goes with every request of a ws connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverWs;

/// Refuses subscriptions over http, where nothing can be sent later; jsonrpsee calls that an internal error.
#[derive(Clone, Debug)]
pub(crate) struct WsOnly<S>(pub(crate) S);

impl<S: RpcServiceT<MethodResponse = MethodResponse>> RpcServiceT for WsOnly<S> {
    type MethodResponse = MethodResponse;
    type BatchResponse = S::BatchResponse;
    type NotificationResponse = S::NotificationResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let needs_ws = [SUBSCRIBE, UNSUBSCRIBE].contains(&request.method_name());
        if needs_ws && request.extensions().get::<OverWs>().is_none() {
            let error = RpcError::new(RpcError::NO_METHOD, "subscriptions need a ws connection: over http there are filters");
            return Either::Left(ready(MethodResponse::error(request.id, ErrorObjectOwned::from(error))));
        }
        Either::Right(self.0.call(request))
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = S::BatchResponse> + Send + 'a {
        self.0.batch(batch)
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = S::NotificationResponse> + Send + 'a {
        self.0.notification(notification)
    }
}

/// What is subscribed to.
enum Topic {
    NewHeads,
    Logs(Box<Filter>),
    PendingTransactions { full: bool },
    Syncing,
}

pub(crate) fn register(registry: &mut Registry) {
    let Some(module) = registry.module_for(SUBSCRIBE) else { return };
    module
        .register_subscription(SUBSCRIBE, "eth_subscription", UNSUBSCRIBE, |params, pending, context, _| {
            serve(params, pending, context)
        })
        .expect("each method is registered once");
}

fn parse(context: &Context, params: &Params<'_>) -> RpcResult<Topic> {
    let mut args = Args::new(params, Instant::now() + context.config.timeout)?;
    let name: String = args.required("subscription")?;
    match name.as_str() {
        "newHeads" => Ok(Topic::NewHeads),
        "logs" => {
            let filter: Filter = args.optional("filter")?.unwrap_or_default();
            logs::check(&filter)?;
            Ok(Topic::Logs(Box::new(filter)))
        }
        "newPendingTransactions" => Ok(Topic::PendingTransactions { full: args.optional("fullTransactions")?.unwrap_or(false) }),
        "syncing" => Ok(Topic::Syncing),
        _ => Err(RpcError::invalid("subscription", "must be newHeads, logs, newPendingTransactions or syncing")),
    }
}

async fn serve(params: Params<'static>, pending: PendingSubscriptionSink, context: Arc<Context>) -> SubscriptionResult {
    let topic = match parse(&context, &params) {
        Ok(topic) => topic,
        Err(error) => {
            pending.reject(error).await;
            return Ok(());
        }
    };
    let Ok(_place) = context.subscriptions.clone().try_acquire_owned() else {
        let limit = context.config.max_all_subscriptions;
        pending.reject(RpcError::limit(format!("{limit} subscriptions exist, the limit; try again later"))).await;
        return Ok(());
    };
    // Subscribed before the client hears its id: nothing after the answer is missed.
    match topic {
        Topic::NewHeads => {
            let mut blocks = Blocks::new(&context);
            let sink = pending.accept().await?;
            while let Some(block) = blocks.next(&context, &sink).await? {
                send(&context, &sink, &convert::header(&block, &context.backend.extras(block.block.number()))).await?;
            }
            Ok(())
        }
        Topic::Logs(filter) => {
            let mut blocks = Blocks::new(&context);
            let sink = pending.accept().await?;
            while let Some(block) = blocks.next(&context, &sink).await? {
                for log in logs::of_block(&block, &filter) {
                    send(&context, &sink, &log).await?;
                }
            }
            Ok(())
        }
        Topic::PendingTransactions { full } => {
            let (next, changes) = (context.arrivals.end(), context.arrivals.changes());
            let sink = pending.accept().await?;
            pending_transactions(&context, &sink, next, changes, full).await
        }
        Topic::Syncing => {
            let sink = pending.accept().await?;
            syncing(&context, &sink).await
        }
    }
}

async fn pending_transactions(
    context: &Arc<Context>,
    sink: &SubscriptionSink,
    mut next: u64,
    mut changes: tokio::sync::watch::Receiver<u64>,
    full: bool,
) -> SubscriptionResult {
    loop {
        // Too slow: what has left the list was missed.
        let (hashes, end) = context.arrivals.since(next);
        next = end;
        for hash in hashes {
            if !full {
                send(context, sink, &hash).await?;
                continue;
            }
            let looked_up = context.clone();
            let found = tokio::task::spawn_blocking(move || eth::transaction_by_hash(&looked_up, hash)).await??;
            if let Some(transaction) = found {
                send(context, sink, &transaction).await?;
            }
        }
        tokio::select! {
            () = sink.closed() => return Ok(()),
            changed = changes.wait_for(|end| *end > next) => if changed.is_err() {
                return Ok(());
            },
        }
    }
}

/// `false`, or progress, at the beginning and whenever one becomes the other.
async fn syncing(context: &Context, sink: &SubscriptionSink) -> SubscriptionResult {
    let mut told = None;
    let mut looks = tokio::time::interval(SYNC_LOOK);
    loop {
        tokio::select! {
            () = sink.closed() => return Ok(()),
            _ = looks.tick() => {}
        }
        let status = eth::sync_status(context);
        let is_syncing = !matches!(status, alloy_rpc_types_eth::SyncStatus::None);
        if told != Some(is_syncing) {
            told = Some(is_syncing);
            let message = if is_syncing { json!({ "syncing": true, "status": status }) } else { json!(false) };
            send(context, sink, &message).await?;
        }
    }
}

/// Sends an item, or ends the subscription of a client that takes none.
async fn send(context: &Context, sink: &SubscriptionSink, item: &impl Serialize) -> SubscriptionResult {
    let message = SubscriptionMessage::from(to_raw_value(item)?);
    tokio::time::timeout(context.config.send_timeout, sink.send(message)).await??;
    Ok(())
}

/// Committed blocks in order, without gaps: a subscriber that falls behind reads the rest from the store.
struct Blocks {
    commits: Receiver<Arc<CommittedBlock>>,
    next: u64,
}

impl Blocks {
    fn new(context: &Context) -> Self {
        let commits = (context.backend.commits)();
        Self { commits, next: context.head() + 1 }
    }

    /// The next block; none once the client has left or the node stops.
    async fn next(
        &mut self,
        context: &Arc<Context>,
        sink: &SubscriptionSink,
    ) -> Result<Option<Arc<CommittedBlock>>, jsonrpsee::core::SubscriptionError> {
        loop {
            while self.next <= context.head() {
                let (context, number) = (context.clone(), self.next);
                self.next += 1;
                if let Some(block) = tokio::task::spawn_blocking(move || context.block(number)).await?? {
                    return Ok(Some(block));
                }
            }
            tokio::select! {
                () = sink.closed() => return Ok(None),
                block = self.commits.recv() => if let Err(RecvError::Closed) = block {
                    return Ok(None);
                },
            }
        }
    }
}
