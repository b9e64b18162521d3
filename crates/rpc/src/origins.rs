//! Which web pages may call: CORS for http, and the same rule for ws, which browsers open to anybody without asking.

use crate::server::StartError;
use crate::subscriptions::OverWs;
use jsonrpsee::core::BoxError;
use jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::{Layer, Service};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

/// The rule for http: what browsers are told.
pub(crate) fn cors(origins: &[String]) -> Result<CorsLayer, StartError> {
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

/// The rule for ws: an upgrade that names an origin is refused unless that origin is allowed, or is the server itself.
#[derive(Clone, Debug)]
pub(crate) struct WsOrigins(Arc<[String]>);

impl WsOrigins {
    pub(crate) fn new(origins: &[String]) -> Self {
        Self(origins.into())
    }

    fn allows<B>(&self, request: &HttpRequest<B>) -> bool {
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or_default());
        if header("upgrade").is_none() {
            return true;
        }
        // Only browsers name an origin.
        let Some(origin) = header("origin") else { return true };
        let of_server = origin.split_once("://").is_some_and(|(_, host)| header("host") == Some(host));
        of_server || self.0.iter().any(|allowed| allowed == "*" || allowed == origin)
    }
}

impl<S> Layer<S> for WsOrigins {
    type Service = WsOriginsService<S>;

    fn layer(&self, inner: S) -> WsOriginsService<S> {
        WsOriginsService { inner, origins: self.clone() }
    }
}

#[derive(Clone)]
pub(crate) struct WsOriginsService<S> {
    inner: S,
    origins: WsOrigins,
}

impl<S, B> Service<HttpRequest<B>> for WsOriginsService<S>
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

    fn call(&mut self, mut request: HttpRequest<B>) -> Self::Future {
        if self.origins.allows(&request) {
            if request.headers().contains_key("upgrade") {
                request.extensions_mut().insert(OverWs);
            }
            return Box::pin(self.inner.call(request));
        }
        Box::pin(async {
            let reason = "this origin may not open a ws connection: the node's `rpc.cors` lists those that may\n";
            Ok(HttpResponse::builder().status(403).body(HttpBody::from(reason))?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_page_opens_ws_only_where_its_origin_is_allowed() {
        let upgrade = |origin: Option<&str>| {
            let request = HttpRequest::builder().header("upgrade", "websocket").header("host", "127.0.0.1:8545");
            let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
            request.body(()).expect("a request")
        };
        let origins = WsOrigins::new(&["https://wallet.example".to_owned()]);
        for (origin, allowed) in [
            (None, true),
            (Some("https://wallet.example"), true),
            (Some("http://127.0.0.1:8545"), true),
            (Some("https://evil.example"), false),
            (Some("null"), false),
        ] {
            assert_eq!(origins.allows(&upgrade(origin)), allowed, "{origin:?}");
        }
        assert!(WsOrigins::new(&["*".to_owned()]).allows(&upgrade(Some("https://evil.example"))));
    }
}
