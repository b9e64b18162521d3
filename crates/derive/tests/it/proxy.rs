//! An L1 endpoint between a node and the real L1, which may say something else.

use crate::l1::L1;
use alloy_primitives::{Address, B256, Bytes};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use oceanid_settlement::L1Client;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// What is answered to a request, given the true answer: an object with `result` or `error`.
type Rule = Arc<Mutex<dyn FnMut(&Value, Value) -> Value + Send>>;

/// The endpoint; its server ends with the runtime of the test.
pub(crate) struct Proxy(String);

#[derive(Clone)]
struct Route {
    l1: String,
    client: reqwest::Client,
    /// Whether transactions reach L1.
    delivers: bool,
    rule: Rule,
}

impl Proxy {
    /// An endpoint that answers by a rule.
    pub(crate) async fn start(l1: &L1, rule: impl FnMut(&Value, Value) -> Value + Send + 'static) -> Self {
        Self::serve(l1, true, rule).await
    }

    /// One that takes transactions and throws them away.
    pub(crate) async fn swallowing(l1: &L1, rule: impl FnMut(&Value, Value) -> Value + Send + 'static) -> Self {
        Self::serve(l1, false, rule).await
    }

    async fn serve(l1: &L1, delivers: bool, rule: impl FnMut(&Value, Value) -> Value + Send + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let rule: Rule = Arc::new(Mutex::new(rule));
        let route = Route { l1: l1.http().to_owned(), client: reqwest::Client::new(), delivers, rule };
        let router = Router::new().route("/", post(answer)).with_state(route);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self(url)
    }

    pub(crate) fn client(&self) -> L1Client {
        L1Client::new(&self.0).unwrap()
    }
}

async fn answer(State(route): State<Route>, Json(request): Json<Value>) -> Json<Value> {
    let truth = if route.delivers || request["method"] != "eth_sendRawTransaction" {
        route.client.post(&route.l1).json(&request).send().await.unwrap().json().await.unwrap()
    } else {
        json!({ "result": B256::repeat_byte(1) })
    };
    let mut answer = (*route.rule.lock().unwrap())(&request, truth);
    answer["jsonrpc"] = json!("2.0");
    answer["id"] = request["id"].clone();
    Json(answer)
}

/// Contract and input of an `eth_call`.
pub(crate) fn call_of(request: &Value) -> Option<(Address, Bytes)> {
    if request["method"] != "eth_call" {
        return None;
    }
    let call = &request["params"][0];
    let input = call.get("input").or_else(|| call.get("data"))?;
    Some((call["to"].as_str()?.parse().ok()?, input.as_str()?.parse().ok()?))
}
