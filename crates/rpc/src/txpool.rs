//! The `txpool_` methods: what waits, as geth writes it.
//!
//! A pool is larger as JSON than as it is, so an answer is written transaction by transaction and ends at the limit of answers.

use crate::context::Context;
use crate::convert::{self, RpcTransaction};
use crate::params::Args;
use crate::registry::Registry;
use alloy_primitives::{Address, U64};
use oceanid_pool::{PoolTransaction, SenderContent};
use serde::{Serialize, Serializer};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) fn register(registry: &mut Registry) {
    registry.light("txpool_status", |context: &Context, _: &mut Args<'_>| {
        let status = context.backend.pool.status();
        Ok(json!({ "pending": U64::from(status.pending), "queued": U64::from(status.queued) }))
    });
    registry.scan("txpool_content", |context: &Context, _: &mut Args<'_>| Ok(listing(context, whole)));
    registry.scan("txpool_inspect", |context: &Context, _: &mut Args<'_>| Ok(listing(context, summary)));
    registry.read("txpool_contentFrom", |context: &Context, args: &mut Args<'_>| {
        let SenderContent { pending, queued } = context.backend.pool.content_of(&args.required::<Address>("address")?);
        Ok(Parts { pending: ByNonce { list: pending, show: whole }, queued: ByNonce { list: queued, show: whole } })
    });
}

/// What a builder may take, and what is behind a gap.
#[derive(Serialize)]
struct Parts<P> {
    pending: P,
    queued: P,
}

/// Transactions by nonce, each shown when it is written.
struct ByNonce<T> {
    list: Vec<Arc<PoolTransaction>>,
    show: fn(&PoolTransaction) -> T,
}

impl<T: Serialize> Serialize for ByNonce<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.list.iter().map(|pooled| (pooled.nonce().to_string(), (self.show)(pooled))))
    }
}

/// The whole pool by sender and nonce.
fn listing<T>(context: &Context, show: fn(&PoolTransaction) -> T) -> Parts<BTreeMap<String, ByNonce<T>>> {
    let mut parts = Parts { pending: BTreeMap::new(), queued: BTreeMap::new() };
    for (sender, SenderContent { pending, queued }) in context.backend.pool.content() {
        for (part, list) in [(&mut parts.pending, pending), (&mut parts.queued, queued)] {
            if !list.is_empty() {
                part.insert(sender.to_string(), ByNonce { list, show });
            }
        }
    }
    parts
}

fn whole(pooled: &PoolTransaction) -> RpcTransaction {
    convert::pending(pooled.envelope(), pooled.sender())
}

/// geth's one-line form.
fn summary(pooled: &PoolTransaction) -> String {
    use alloy_consensus::Transaction;
    let tx = pooled.envelope();
    let to = tx.to().map_or_else(|| "contract creation".to_owned(), |to| to.to_string());
    format!("{to}: {} wei + {} gas × {} wei", tx.value(), tx.gas_limit(), tx.max_fee_per_gas())
}
