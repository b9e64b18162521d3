//! Traces over OTLP (http/protobuf), off unless an endpoint is configured: the way of blocks (`propose`, `check`, `execute`, `commit`), batches
//! (`post_batch`) and, sampled, requests (`rpc`).
//!
//! What is exported are this program's spans of level `info`; libraries' are not. Spans wait in a bounded queue of a thread of its own: a collector
//! that is slow or gone costs spans, never a block.

use eyre::WrapErr;
use opentelemetry::trace::{Link, SpanKind, TraceId, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SamplingResult, SdkTracerProvider, ShouldSample};
use std::time::Duration;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// Path of traces under an OTLP endpoint.
const PATH: &str = "/v1/traces";
/// Longest time for one delivery.
const DELIVERY: Duration = Duration::from_secs(5);
/// Longest time for the last spans when the program ends.
const LAST: Duration = Duration::from_secs(2);
/// Name of the spans that are sampled.
const RPC: &str = "rpc";

/// Where spans go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Export {
    /// Base of the collector: `http://127.0.0.1:4318`.
    pub(crate) endpoint: String,
    /// Of so many requests one has a span.
    pub(crate) rpc_one_in: u64,
}

/// Delivers what is left when dropped.
#[derive(Debug, Default)]
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = &self.0 {
            // Spans that a collector does not take in time are lost, as said above.
            let _ = provider.shutdown_with_timeout(LAST);
        }
    }
}

/// Keeps everything but most of the requests.
#[derive(Clone, Debug)]
struct Sampling(Sampler);

impl ShouldSample for Sampling {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let sampler = if name == RPC { &self.0 } else { &Sampler::AlwaysOn };
        sampler.should_sample(parent, trace, name, kind, attributes, links)
    }
}

/// A layer that sends spans to the collector, and the guard that delivers the last.
pub(crate) fn layer<S>(export: &Export) -> eyre::Result<(impl Layer<S> + use<S>, Telemetry)>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let url = export.endpoint.trim_end_matches('/').to_owned() + PATH;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&url)
        .with_timeout(DELIVERY)
        .build()
        .wrap_err_with(|| format!("`otlp-endpoint` {}", export.endpoint))?;
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampling(Sampler::TraceIdRatioBased(1.0 / export.rpc_one_in.max(1) as f64)))
        .with_resource(
            Resource::builder()
                .with_service_name("oceanid")
                .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
                .build(),
        )
        .with_batch_exporter(exporter)
        .build();
    let ours = |about: &Metadata<'_>| about.is_span() && *about.level() == Level::INFO && about.target().starts_with("oceanid");
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("oceanid")).with_filter(filter_fn(ours));
    Ok((layer, Telemetry(Some(provider))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message as _;
    use std::collections::BTreeMap;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use tracing::info_span;
    use tracing_subscriber::layer::SubscriberExt;

    /// Takes deliveries until the client closes, and returns the spans by their names.
    fn collect(listener: &TcpListener) -> BTreeMap<String, usize> {
        let mut spans = BTreeMap::new();
        let (stream, _) = listener.accept().expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let mut reader = BufReader::new(stream);
        loop {
            let (mut first, mut length, mut protobuf) = (String::new(), 0, false);
            if reader.read_line(&mut first).unwrap_or_default() == 0 {
                return spans;
            }
            assert!(first.starts_with("POST /v1/traces "), "{first}");
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("a header");
                let line = line.trim().to_lowercase();
                protobuf |= line == "content-type: application/x-protobuf";
                if let Some(bytes) = line.strip_prefix("content-length:") {
                    length = bytes.trim().parse().expect("a length");
                }
                if line.is_empty() {
                    break;
                }
            }
            assert!(protobuf, "http/protobuf");
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("the body");
            let request = ExportTraceServiceRequest::decode(body.as_slice()).expect("OTLP protobuf");
            for resource in request.resource_spans {
                let attributes = &resource.resource.as_ref().expect("a resource").attributes;
                assert!(attributes.iter().any(|attribute| attribute.key == "service.name"), "{attributes:?}");
                for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                    *spans.entry(span.name).or_default() += 1;
                }
            }
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("answered");
        }
    }

    #[test]
    fn blocks_and_some_requests_reach_the_collector_and_libraries_do_not() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}/", listener.local_addr().expect("an address"));
        let collector = std::thread::spawn(move || collect(&listener));
        let (layer, telemetry) = layer(&Export { endpoint, rpc_one_in: 10 }).expect("a layer");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let check = info_span!(target: "oceanid_chain::ledger", "check", number = 7).entered();
            drop(info_span!(target: "oceanid_chain::ledger", "execute", number = 7).entered());
            drop(check);
            drop(info_span!(target: "hyper::client", "request").entered());
            drop(tracing::debug_span!(target: "oceanid_chain::ledger", "detail").entered());
            for _ in 0..1_000 {
                drop(info_span!(target: "oceanid_rpc::registry", "rpc", method = "eth_call").entered());
            }
        });
        drop(telemetry);
        let spans = collector.join().expect("the collector");
        let sampled = spans.get(RPC).copied().unwrap_or_default();
        assert!((40..=200).contains(&sampled), "one in ten of 1,000: {sampled}");
        let others: Vec<_> = spans.iter().filter(|(name, _)| *name != RPC).map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(others, [("check", 1), ("execute", 1)]);
    }

    #[test]
    fn a_collector_that_is_gone_stops_nothing() {
        let (layer, telemetry) = layer(&Export { endpoint: "http://127.0.0.1:9".to_owned(), rpc_one_in: 1 }).expect("a layer");
        let started = std::time::Instant::now();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            for _ in 0..10_000 {
                drop(info_span!(target: "oceanid_chain::ledger", "commit").entered());
            }
        });
        drop(telemetry);
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }
}
