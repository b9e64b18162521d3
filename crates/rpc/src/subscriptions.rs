//! `eth_subscribe`: new heads, logs and pending transactions over ws.

use crate::context::Context;
use crate::convert;
use crate::error::{RpcError, RpcResult};
use crate::logs;
use crate::params::Args;
use crate::registry::Registry;
use alloy_rpc_types_eth::Filter;
use jsonrpsee::core::SubscriptionResult;
use jsonrpsee::types::Params;
use jsonrpsee::{PendingSubscriptionSink, SubscriptionMessage, SubscriptionSink};
use oceanid_store::CommittedBlock;
use serde::Serialize;
use serde_json::value::to_raw_value;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;

/// What is subscribed to.
enum Topic {
    NewHeads,
    Logs(Box<Filter>),
    PendingTransactions { full: bool },
}

pub(crate) fn register(registry: &mut Registry) {
    registry
        .module_mut()
        .register_subscription("eth_subscribe", "eth_subscription", "eth_unsubscribe", |params, pending, context, _| {
            serve(params, pending, context)
        })
        .expect("each method is registered once");
}

fn parse(params: &Params<'_>) -> RpcResult<Topic> {
    let mut args = Args::new(params)?;
    let name: String = args.required("subscription")?;
    match name.as_str() {
        "newHeads" => Ok(Topic::NewHeads),
        "logs" => {
            let filter: Filter = args.optional("filter")?.unwrap_or_default();
            logs::check(&filter)?;
            Ok(Topic::Logs(Box::new(filter)))
        }
        "newPendingTransactions" => Ok(Topic::PendingTransactions { full: args.optional("fullTransactions")?.unwrap_or(false) }),
        _ => Err(RpcError::invalid("subscription", "must be newHeads, logs or newPendingTransactions")),
    }
}

async fn serve(params: Params<'static>, pending: PendingSubscriptionSink, context: Arc<Context>) -> SubscriptionResult {
    let topic = match parse(&params) {
        Ok(topic) => topic,
        Err(error) => {
            pending.reject(error).await;
            return Ok(());
        }
    };
    // Subscribed before the client hears its id: nothing after the answer is missed.
    match topic {
        Topic::NewHeads => {
            let blocks = Blocks::new(&context);
            let sink = pending.accept().await?;
            blocks
                .send(&context, &sink, |block| vec![convert::header(block, &context.backend.extras(block.block.number()))])
                .await
        }
        Topic::Logs(filter) => {
            let blocks = Blocks::new(&context);
            let sink = pending.accept().await?;
            blocks.send(&context, &sink, |block| logs::of_block(block, &filter).collect()).await
        }
        Topic::PendingTransactions { full } => {
            let mut accepted = context.backend.pool.subscribe();
            let sink = pending.accept().await?;
            loop {
                let transaction = tokio::select! {
                    () = sink.closed() => return Ok(()),
                    transaction = accepted.recv() => transaction,
                };
                match transaction {
                    Ok(transaction) if full => {
                        send(&sink, &convert::pending(transaction.envelope(), transaction.sender())).await?;
                    }
                    Ok(transaction) => send(&sink, transaction.hash()).await?,
                    // Too slow: what was missed is gone.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(()),
                }
            }
        }
    }
}

async fn send(sink: &SubscriptionSink, item: &impl Serialize) -> SubscriptionResult {
    sink.send(SubscriptionMessage::from(to_raw_value(item)?)).await?;
    Ok(())
}

/// Committed blocks in order, without gaps: a subscriber that falls behind reads the rest from the store.
struct Blocks {
    commits: tokio::sync::broadcast::Receiver<Arc<CommittedBlock>>,
    next: u64,
}

impl Blocks {
    fn new(context: &Context) -> Self {
        let commits = (context.backend.commits)();
        Self { commits, next: context.head() + 1 }
    }

    /// Sends the items of each new block until the client leaves.
    async fn send<T: Serialize>(
        mut self,
        context: &Context,
        sink: &SubscriptionSink,
        items: impl Fn(&CommittedBlock) -> Vec<T>,
    ) -> SubscriptionResult {
        loop {
            while self.next <= context.head() {
                if let Some(block) = context.block(self.next)? {
                    for item in items(&block) {
                        send(sink, &item).await?;
                    }
                }
                self.next += 1;
            }
            tokio::select! {
                () = sink.closed() => return Ok(()),
                block = self.commits.recv() => if let Err(RecvError::Closed) = block {
                    return Ok(());
                },
            }
        }
    }
}
