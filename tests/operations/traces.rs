//! Spans of calls, received by a collector of the test.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tallystick::limits;
use tallystick::service::wire::{Command, CommandStreamRequest};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::blackbox::{Site, calls};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start() -> (Self, SocketAddr) {
        let collector = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = TraceServiceServer::new(collector.clone());
        let serving = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(serving.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, address)
    }

    /// The spans, with the name of the service that each came from.
    fn spans(&self) -> Vec<(String, Span)> {
        let mut spans = Vec::new();
        for of in self.0.lock().unwrap().iter().flat_map(|request| &request.resource_spans) {
            let attributes = of.resource.iter().flat_map(|resource| &resource.attributes);
            let name = attributes.filter(|pair| pair.key == "service.name").find_map(|pair| {
                match pair.value.as_ref()?.value.as_ref()? {
                    Value::StringValue(text) => Some(text.clone()),
                    _ => None,
                }
            });
            for span in of.scope_spans.iter().flat_map(|scope| &scope.spans) {
                spans.push((name.clone().unwrap_or_default(), span.clone()));
            }
        }
        spans
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    tallystick::backup::hexadecimal(bytes)
}

fn code_of(span: &Span) -> Option<i64> {
    let pair = span.attributes.iter().find(|pair| pair.key == "rpc.grpc.status_code")?;
    match pair.value.as_ref()?.value.as_ref()? {
        Value::IntValue(code) => Some(*code),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_decides_whether_its_call_is_traced_and_gets_a_child() {
    let (collector, address) = Collector::start().await;
    let site = Site::new().with("trace_endpoint", &format!("http://{address}")).with("trace_sample_ppm", "0");
    let server = site.start().await;
    let mut ledger = server.connect().await.ledger;
    for (id, flags) in [("traced", Some("01")), ("not-traced", Some("00")), ("undecided", None)] {
        let mut request = Request::new(calls::accrual(id, "anna", calls::now(), 500));
        if let Some(flags) = flags {
            let parent = format!("00-{TRACE}-{PARENT}-{flags}").parse().unwrap();
            request.metadata_mut().insert("traceparent", parent);
        }
        ledger.accrue(request).await.unwrap();
    }
    assert_eq!(server.terminate().await.code, Some(0));
    let spans = collector.spans();
    let [(service, span)] = spans.as_slice() else { panic!("one call was to be traced: {spans:?}") };
    assert_eq!((service.as_str(), span.name.as_str()), ("tallystick", "tallystick.v1.LedgerService/Accrue"));
    assert_eq!((hexadecimal(&span.trace_id), hexadecimal(&span.parent_span_id)), (TRACE.into(), PARENT.into()));
    assert_eq!((span.kind(), code_of(span)), (SpanKind::Server, Some(0)));
    assert!(span.end_time_unix_nano > span.start_time_unix_nano);
    let told = format!("{span:?}");
    assert!(!told.contains("anna") && !told.contains("traced\""), "nothing of what was asked is in a span: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_did_wrong_is_no_error_of_the_server() {
    let (collector, address) = Collector::start().await;
    let site = Site::new().with("trace_endpoint", &format!("http://{address}")).with("trace_sample_ppm", "1000000");
    let server = site.start().await;
    let mut ledger = server.connect().await.ledger;
    ledger.accrue(calls::accrual("t1", "anna", calls::now(), 500)).await.unwrap();
    ledger.accrue(calls::accrual("", "anna", calls::now(), 500)).await.unwrap_err();
    // A stream says at its end how it went.
    for count in [0, limits::BATCH_COMMANDS_MAX + 1] {
        let request = CommandStreamRequest { commands: vec![Command::default(); count] };
        let mut results = ledger.command_stream(tokio_stream::iter([request])).await.unwrap().into_inner();
        assert_eq!(results.message().await.is_err(), count > 0);
    }
    assert_eq!(server.terminate().await.code, Some(0));
    let spans = collector.spans();
    let mut codes: Vec<_> = spans.iter().map(|(_, span)| (span.name.as_str(), code_of(span))).collect();
    codes.sort();
    let [accrue, stream] = ["Accrue", "CommandStream"].map(|method| format!("tallystick.v1.LedgerService/{method}"));
    let expected = [(&*accrue, Some(0)), (&*accrue, Some(3)), (&*stream, Some(0)), (&*stream, Some(3))];
    assert_eq!(codes, expected);
    for (_, span) in &spans {
        assert!(span.parent_span_id.is_empty(), "it begins a trace of its own");
        assert_ne!(span.status.clone().unwrap_or_default().code(), StatusCode::Error, "{span:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_does_not_answer_costs_nobody_anything() {
    // A port that is bound and never accepts.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", deaf.local_addr().unwrap());
    let site = Site::new().with("trace_endpoint", &endpoint).with("trace_sample_ppm", "1000000");
    let server = site.start().await;
    let mut ledger = server.connect().await.ledger;
    for number in 0..50 {
        ledger.accrue(calls::accrual(&format!("t{number}"), "anna", calls::now(), 500)).await.unwrap();
    }
    assert_eq!(server.terminate().await.code, Some(0));
}
