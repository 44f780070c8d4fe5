//! One span for each call, sent over OTLP to the collector that the configuration names.
//!
//! What must stay true: without a collector nothing of this runs; a caller who has decided whether a call is traced (a
//! `traceparent` header) is obeyed; a collector that does not answer costs spans, never calls.

use std::sync::Arc;

use axum::http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span, SpanKind, Status, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

use super::calls::CODES;

/// The header by which a caller hands over its span.
const TRACEPARENT: &str = "traceparent";

/// Makes spans and sends them.
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
    sampler_ppm: u32,
}

/// The span of a call under way.
pub struct CallSpan(opentelemetry_sdk::trace::Span);

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}

/// The part of a million, as the sampler wants it.
fn ratio_of(sample_ppm: u32) -> f64 {
    f64::from(sample_ppm) / 1e6
}

impl Traces {
    /// Sends spans to a collector. Must be called within a runtime, on which they are sent.
    ///
    /// # Errors
    /// When the address cannot be used; nobody needs to answer there yet.
    pub fn start(endpoint: &str, sample_ppm: u32) -> Result<Arc<Self>, String> {
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
        let exporter = exporter.map_err(|error| error.to_string())?;
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", "tallystick"),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            ])
            .build();
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio_of(sample_ppm))));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("tallystick");
        let propagator = TraceContextPropagator::new();
        Ok(Arc::new(Self { provider, tracer, propagator, sampler_ppm: sample_ppm }))
    }

    /// The span of a call that begins; `None` for one that is not traced.
    pub(super) fn begin(&self, path: &str, headers: &HeaderMap) -> Option<CallSpan> {
        let has_parent = headers.contains_key(TRACEPARENT);
        if !has_parent && self.sampler_ppm == 0 {
            return None;
        }
        let parent = if has_parent { self.propagator.extract(&Headers(headers)) } else { Context::new() };
        let (service, method) = path.trim_start_matches('/').split_once('/')?;
        let span = self
            .tracer
            .span_builder(format!("{service}/{method}"))
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("rpc.system", "grpc"),
                KeyValue::new("rpc.service", service.to_owned()),
                KeyValue::new("rpc.method", method.to_owned()),
            ])
            .start_with_context(&self.tracer, &parent);
        span.is_recording().then_some(CallSpan(span))
    }

    /// Sends what is waiting, and stops. May wait for the collector, so not on a thread that serves.
    pub fn stop(&self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

impl CallSpan {
    /// The call has ended with this status; 0 is a good one.
    pub(super) fn end(mut self, code: usize) {
        self.0.set_attribute(KeyValue::new("rpc.grpc.status_code", i64::try_from(code).unwrap_or(i64::MAX)));
        // Only what is the server's fault is an error of the server; a refusal is an answer.
        let name = code.checked_sub(1).and_then(|index| CODES.get(index)).copied();
        if let Some(name @ ("unknown" | "internal" | "unavailable" | "data_loss" | "unimplemented")) = name {
            self.0.set_status(Status::error(name));
        }
        self.0.end();
    }
}
