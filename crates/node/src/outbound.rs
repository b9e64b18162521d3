//! How transactions sent to this node reach whoever makes the next block: by gossip while it has a seat, over JSON-RPC while it has none.
//! Both begin with everything the pool holds of its own callers: after a restart, or a change of role, others may not have heard of it.

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::Bytes;
use oceanid_pool::{Origin, Pool, PoolTransaction};
use oceanid_sequencer::{Sequencer, TransactionGossip};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, sleep, sleep_until};

/// Most transactions in one request.
const MAX_BATCH: usize = 100;
/// Bytes of transactions in one request; one transaction always fits.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// Longest wait for a connection, and for an answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Pause after a request that failed.
const RETRY: Duration = Duration::from_secs(2);
/// Transactions that are still pending here after this long are sent once more: the endpoint may have lost them.
const RESEND: Duration = Duration::from_secs(60);
/// What a node that has the transaction already begins its refusal with.
const ALREADY_KNOWN: &str = "already known";

/// Wakes the leader at every transaction and hands those of this node's callers to the other sequencers.
pub(crate) async fn gossip(pool: Arc<Pool>, sequencer: Arc<Sequencer>) {
    let mut accepted = pool.subscribe();
    let node = sequencer.node();
    drop(sequencer);
    for transaction in pool.local() {
        broadcast(node.gossip(), &transaction);
    }
    node.wake();
    loop {
        match accepted.recv().await {
            Ok(transaction) => {
                if transaction.origin() == Origin::Local {
                    broadcast(node.gossip(), &transaction);
                }
                node.wake();
            }
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "transactions were accepted faster than they could be gossiped");
            }
            Err(RecvError::Closed) => return,
        }
    }
}

fn broadcast(gossip: &TransactionGossip, transaction: &PoolTransaction) {
    // A full queue is no loss: this node still holds the transaction.
    let _ = gossip.broadcast(transaction.envelope().encoded_2718().into());
}

/// Sends the transactions of this node's callers to `endpoint`, in batches, until it has them. Without one, callers are refused; those of before are
/// spoken of once.
pub(crate) async fn forward(pool: Arc<Pool>, endpoint: Option<String>) {
    let mut accepted = pool.subscribe();
    let mut waiting = VecDeque::from(pool.local());
    let Some(endpoint) = endpoint else {
        if !waiting.is_empty() || accepted.recv().await.is_ok() {
            tracing::warn!(
                "transactions that were sent to this node stay here: it has no seat; set `rpc.forward` (--forward) to a sequencer's JSON-RPC endpoint"
            );
        }
        return;
    };
    let http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(REQUEST_TIMEOUT).build();
    let http = match http {
        Ok(http) => http,
        Err(error) => return tracing::error!(%error, "no http client: transactions sent to this node stay here"),
    };
    let mut resend = Instant::now() + RESEND;
    let mut failing = false;
    loop {
        if waiting.is_empty() {
            tokio::select! {
                received = accepted.recv() => match received {
                    Ok(transaction) => waiting.extend(is_local(&transaction).then_some(transaction)),
                    Err(RecvError::Lagged(_)) => waiting = pool.local().into(),
                    Err(RecvError::Closed) => return,
                },
                () = sleep_until(resend) => {
                    waiting = pool.local().into();
                    resend = Instant::now() + RESEND;
                }
            }
        }
        while waiting.len() < MAX_BATCH {
            match accepted.try_recv() {
                Ok(transaction) => waiting.extend(is_local(&transaction).then_some(transaction)),
                Err(TryRecvError::Lagged(_)) => waiting = pool.local().into(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let count = batch_len(&waiting);
        if count == 0 {
            continue;
        }
        match send(&http, &endpoint, waiting.iter().take(count)).await {
            Ok(()) => {
                waiting.drain(..count);
                if std::mem::take(&mut failing) {
                    tracing::info!(endpoint, "transactions are forwarded again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(endpoint, error, "cannot forward transactions; they are kept and tried again");
                }
                sleep(RETRY).await;
                waiting = pool.local().into();
            }
        }
    }
}

fn is_local(transaction: &PoolTransaction) -> bool {
    transaction.origin() == Origin::Local
}

/// How many of those that wait go into the next request.
fn batch_len(waiting: &VecDeque<Arc<PoolTransaction>>) -> usize {
    let mut bytes = 0;
    let fits = |transaction: &&Arc<PoolTransaction>| {
        bytes += transaction.size();
        bytes <= MAX_BATCH_BYTES
    };
    waiting.iter().take(MAX_BATCH).take_while(fits).count().max(1).min(waiting.len())
}

/// Sends one batch. A refused transaction is the sender's affair; the error says why the endpoint did not take the request.
async fn send(
    http: &reqwest::Client,
    endpoint: &str,
    transactions: impl Iterator<Item = &Arc<PoolTransaction>> + Clone,
) -> Result<(), String> {
    let request = |(id, transaction): (usize, &Arc<PoolTransaction>)| {
        let raw = Bytes::from(transaction.envelope().encoded_2718());
        json!({"jsonrpc": "2.0", "id": id, "method": "eth_sendRawTransaction", "params": [raw]})
    };
    let batch: Vec<Value> = transactions.clone().enumerate().map(request).collect();
    let answer = http.post(endpoint).json(&batch).send().await.and_then(reqwest::Response::error_for_status);
    let answer: Value = answer.map_err(|error| error.to_string())?.json().await.map_err(|error| error.to_string())?;
    let Value::Array(answers) = answer else { return Err(format!("the answer to a batch is no array: {answer}")) };
    for (id, transaction) in transactions.enumerate() {
        let own = answers.iter().find(|answer| answer["id"] == id).ok_or("an answer to one of a batch is missing")?;
        let refusal = own["error"]["message"].as_str().filter(|message| !message.starts_with(ALREADY_KNOWN));
        if let Some(refusal) = refusal {
            tracing::debug!(hash = %transaction.hash(), refusal, "a forwarded transaction was refused");
        }
    }
    Ok(())
}
