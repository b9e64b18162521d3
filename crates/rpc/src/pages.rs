//! GET requests on the RPC's port: pages for people, metrics for scrapers. JSON-RPC comes by POST and ws by an upgrade; both pass.

use jsonrpsee::core::BoxError;
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Semaphore;
use tower::{Layer, Service};

/// Pages at work at once; others wait.
const MAX_AT_WORK: usize = 4;
/// Longest wait for a place among them.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest request target answered, bytes.
const MAX_TARGET: usize = 2_048;

/// What answers GET requests.
pub trait Pages: Send + Sync + 'static {
    /// The answer to `target`, path and query of the request. May block: it runs off the async threads, a few at a time.
    fn get(&self, target: &str) -> Page;
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl Page {
    fn plain(status: u16, body: &str) -> Self {
        Self { status, headers: vec![("content-type", "text/plain; charset=utf-8".to_owned())], body: body.to_owned() }
    }

    fn into_response(self) -> Result<HttpResponse, BoxError> {
        let mut response = HttpResponse::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        Ok(response.body(HttpBody::from(self.body))?)
    }
}

/// Puts [`Pages`] before the RPC; without any, everything passes.
#[derive(Clone)]
pub(crate) struct PagesLayer {
    pages: Option<Arc<dyn Pages>>,
    gate: Arc<Semaphore>,
}

impl PagesLayer {
    pub(crate) fn new(pages: Option<Arc<dyn Pages>>) -> Self {
        Self { pages, gate: Arc::new(Semaphore::new(MAX_AT_WORK)) }
    }
}

impl<S> Layer<S> for PagesLayer {
    type Service = PagesService<S>;

    fn layer(&self, inner: S) -> PagesService<S> {
        PagesService { inner, layer: self.clone() }
    }
}

#[derive(Clone)]
pub(crate) struct PagesService<S> {
    inner: S,
    layer: PagesLayer,
}

impl<S, B> Service<HttpRequest<B>> for PagesService<S>
where
    S: Service<HttpRequest<B>, Response = HttpResponse, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = HttpResponse;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let is_get = matches!(request.method().as_str(), "GET" | "HEAD") && !request.headers().contains_key("upgrade");
        match self.layer.pages.clone().filter(|_| is_get) {
            Some(pages) => {
                let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
                let gate = self.layer.gate.clone();
                Box::pin(async move { answer(pages, gate, target).await.into_response() })
            }
            None => Box::pin(self.inner.call(request)),
        }
    }
}

async fn answer(pages: Arc<dyn Pages>, gate: Arc<Semaphore>, target: String) -> Page {
    if target.len() > MAX_TARGET {
        return Page::plain(414, "the address is too long\n");
    }
    let Ok(Ok(place)) = tokio::time::timeout(PATIENCE, gate.acquire_owned()).await else {
        return Page::plain(503, "too many requests at once; try again\n");
    };
    let made = tokio::task::spawn_blocking(move || {
        let page = pages.get(&target);
        drop(place);
        page
    });
    made.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a page panicked");
        Page::plain(500, "the node failed; its log says why\n")
    })
}
