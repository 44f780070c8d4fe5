//! The health service of gRPC: how the server stands, for the server as a whole and for each service.
//!
//! What must stay true: all of them change at the same instant, because all are read from the one state that calls are
//! let in by.

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
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

    type WatchStream = ReceiverStream<Result<HealthCheckResponse, Status>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let is_known = is_known(&request.into_inner().service);
        let (sender, states) = mpsc::channel(1);
        tokio::spawn(tell(self.life.clone(), is_known, sender));
        Ok(Response::new(ReceiverStream::new(states)))
    }
}

/// Tells every change until the server stops, which is the last: a watch does not keep it from ending.
async fn tell(
    mut life: watch::Receiver<Life>,
    is_known: bool,
    sender: mpsc::Sender<Result<HealthCheckResponse, Status>>,
) {
    let mut told = None;
    loop {
        let now = *life.borrow_and_update();
        // A service that may come later is unknown, and the watch goes on; so says the contract.
        let status = if is_known { status_of(now) } else { ServingStatus::ServiceUnknown };
        if told.replace(status) != Some(status) && sender.send(Ok(response(status))).await.is_err() {
            return;
        }
        if now >= Life::Stopping {
            return;
        }
        tokio::select! {
            changed = life.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
        }
    }
}
