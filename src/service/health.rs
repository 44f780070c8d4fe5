//! The health service of gRPC: how the server stands, for the server as a whole and for each service.
//!
//! What must stay true: all of them change at the same instant, because all are read from the one state that calls are
//! let in by.

use std::pin::Pin;

use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::{Life, SERVICE_NAMES};

/// Answers from the state of the server.
pub struct HealthOf {
    life: watch::Receiver<Life>,
}

/// The health service of a server in this state.
#[must_use]
pub fn health_service(life: watch::Receiver<Life>) -> HealthServer<HealthOf> {
    HealthServer::new(HealthOf { life })
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

fn status_of(life: Life) -> ServingStatus {
    match life {
        Life::Serving => ServingStatus::Serving,
        Life::Stopping | Life::Failed => ServingStatus::NotServing,
    }
}

fn is_known(service: &str) -> bool {
    service.is_empty() || SERVICE_NAMES.contains(&service)
}

#[tonic::async_trait]
impl Health for HealthOf {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !is_known(&service) {
            return Err(Status::not_found("There is no such service."));
        }
        let life = *self.life.borrow();
        Ok(Response::new(response(status_of(life))))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        // A service that may come later is unknown, and the watch goes on; so says the contract.
        let is_known = is_known(&request.into_inner().service);
        let mut told = None;
        let states = WatchStream::new(self.life.clone()).filter_map(move |life| {
            let status = if is_known { status_of(life) } else { ServingStatus::ServiceUnknown };
            (told.replace(status) != Some(status)).then(|| Ok(response(status)))
        });
        Ok(Response::new(Box::pin(states)))
    }
}
