//! How many bytes of requests are held at once, large bodies before they are read, every request while it waits and works; and for how
//! long a body may be on its way.
//!
//! A ws connection may send its next message before the last one is answered, and all that arrive are held until then: what goes
//! beyond the limit is refused at once, since to wait is to be held.

use crate::error::RpcError;
use alloy_primitives::bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jsonrpsee::MethodResponse;
use jsonrpsee::core::BoxError;
use jsonrpsee::core::middleware::{Batch, Notification, RpcServiceT};
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use jsonrpsee::types::{ErrorObjectOwned, Id, Request};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service};

/// Bodies up to this length are read without asking: all connections' together are few.
const SMALL_BODY: usize = 64 << 10;
/// Bytes counted for a request besides its parameters.
const REQUEST_BYTES: usize = 1 << 10;

/// Bytes that may be held.
#[derive(Clone, Debug)]
struct Budget(Arc<Semaphore>);

impl Budget {
    fn new(bytes: u32) -> Self {
        Self(Arc::new(Semaphore::new(bytes as usize)))
    }

    /// Those bytes, until dropped; none if too many are held.
    fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()
    }
}

/// Reads http bodies, and holds back large ones.
#[derive(Clone, Debug)]
pub(crate) struct Bodies {
    budget: Budget,
    longest: usize,
    patience: Duration,
}

impl Bodies {
    /// At most `bytes` of bodies at once, none of them longer than `longest` nor on its way for more than `patience`.
    pub(crate) fn new(bytes: u32, longest: u32, patience: Duration) -> Self {
        Self { budget: Budget::new(bytes), longest: longest as usize, patience }
    }
}

impl<S> Layer<S> for Bodies {
    type Service = BodiesService<S>;

    fn layer(&self, inner: S) -> BodiesService<S> {
        BodiesService { inner, bodies: self.clone() }
    }
}

#[derive(Clone)]
pub(crate) struct BodiesService<S> {
    inner: S,
    bodies: Bodies,
}

impl<S, B> Service<HttpRequest<B>> for BodiesService<S>
where
    S: Service<HttpRequest, Response = HttpResponse, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = HttpResponse;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let headers = request.headers();
        let told = headers.get("content-length").and_then(|length| length.to_str().ok()).and_then(|length| length.parse().ok());
        let length: usize = match told {
            Some(length) if length > self.bodies.longest => return Box::pin(async { answer(413, TOO_LONG) }),
            Some(length) => length,
            None if headers.contains_key("transfer-encoding") => self.bodies.longest,
            None => 0,
        };
        let held = match length <= SMALL_BODY {
            true => None,
            false => match self.bodies.budget.take(length) {
                Some(held) => Some(held),
                None => return Box::pin(async { answer(503, "too many large requests at once; try again\n") }),
            },
        };
        // The service that said it is ready is the one to call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let Bodies { longest, patience, .. } = self.bodies;
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = match tokio::time::timeout(patience, Limited::new(body, longest).collect()).await {
                Ok(Ok(body)) => body.to_bytes(),
                Ok(Err(error)) if error.is::<LengthLimitError>() => return answer(413, TOO_LONG),
                Ok(Err(error)) => return Err(error),
                Err(_) => return answer(408, "the request did not arrive in time\n"),
            };
            let answer = inner.call(HttpRequest::from_parts(head, HttpBody::from(body.to_vec()))).await;
            drop(held);
            answer
        })
    }
}

const TOO_LONG: &str = "the request is longer than this node reads\n";

fn answer(status: u16, text: &'static str) -> Result<HttpResponse, BoxError> {
    Ok(HttpResponse::builder().status(status).header("connection", "close").body(HttpBody::from(text))?)
}

/// Refuses requests while too many are held.
#[derive(Clone, Debug)]
pub(crate) struct Requests(Budget);

impl Requests {
    /// At most `bytes` of requests at once.
    pub(crate) fn new(bytes: u32) -> Self {
        Self(Budget::new(bytes))
    }
}

impl<S> Layer<S> for Requests {
    type Service = RequestsService<S>;

    fn layer(&self, inner: S) -> RequestsService<S> {
        RequestsService { inner, budget: self.0.clone() }
    }
}

#[derive(Clone)]
pub(crate) struct RequestsService<S> {
    inner: S,
    budget: Budget,
}

fn busy() -> ErrorObjectOwned {
    RpcError::limit("too many requests at once; try again").into()
}

impl<S> RpcServiceT for RequestsService<S>
where
    S: RpcServiceT<MethodResponse = MethodResponse, BatchResponse = MethodResponse, NotificationResponse = MethodResponse>
        + Clone
        + Send
        + Sync
        + 'static,
{
    type MethodResponse = MethodResponse;
    type BatchResponse = MethodResponse;
    type NotificationResponse = MethodResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let inner = self.inner.clone();
        let length = request.params.as_ref().map_or(0, |params| params.get().len());
        let held = self.budget.take(REQUEST_BYTES + length);
        async move {
            match held {
                Some(_held) => inner.call(request).await,
                None => MethodResponse::error(request.id, busy()),
            }
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        let inner = self.inner.clone();
        let lengths = batch.iter().flatten().map(|entry| REQUEST_BYTES + entry.params().map_or(0, |params| params.get().len()));
        let held = self.budget.take(lengths.sum());
        async move {
            match held {
                Some(_held) => inner.batch(batch).await,
                None => MethodResponse::error(Id::Null, busy()),
            }
        }
    }

    fn notification<'a>(&self, notification: Notification<'a>) -> impl Future<Output = MethodResponse> + Send + 'a {
        self.inner.notification(notification)
    }
}
