//! The ceiling: a server that answers the same bytes to every accrual, served as the ledger is served, without a ledger.
//!
//! What must stay true: requests arrive and answers leave as in a real server, on the same threads, with the same
//! transport; nothing is looked at and nothing is kept.

use std::net::{SocketAddr, TcpListener};

use prost::Message;
use tokio_stream::Empty;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use super::error::BenchError;
use crate::server;
use crate::service::raw::Raw;
use crate::service::wire;
use crate::service::wire::server::ledger_service_server::{LedgerService, LedgerServiceServer};

/// Answers every accrual alike.
struct Echo {
    answer: Raw,
}

/// An answer as a ledger gives it to a basket of one line that a rule matches.
#[must_use]
pub fn usual_answer() -> wire::AccrueResponse {
    let time = |nanos| prost_types::Timestamp { seconds: 1_790_000_000, nanos };
    let line = wire::LineDecision {
        line_index: 0,
        eligible: true,
        rule: "a-rule-of-one".to_owned(),
        multiplier_bps: 11_000,
        exact_micropoints: 57_211_000,
        further_rules: Vec::new(),
    };
    let decision = wire::Decision {
        program_version: 1,
        wallet: "points".to_owned(),
        earned_points: 57,
        granted_points: 57,
        balance_points: 1_234,
        line_decisions: vec![line],
        position: Some(4_000_000),
        event_time: Some(time(0)),
        posting_time: Some(time(123_456_789)),
        shard: Some(200),
        sequence: Some(16_000),
        ..wire::Decision::default()
    };
    wire::AccrueResponse { decision: Some(decision) }
}

/// Serves until the process is ended. `answer` is an encoded `AccrueResponse`; the usual one is taken without.
///
/// # Errors
/// When the answer is none, or nothing can be listened on.
pub fn serve(answer: Option<&[u8]>, on_ready: impl FnOnce(SocketAddr)) -> Result<(), BenchError> {
    let answer = Raw(answer.map_or_else(|| usual_answer().encode_to_vec(), <[u8]>::to_vec).into());
    let listener = TcpListener::bind("127.0.0.1:0");
    let listener = listener.map_err(|source| BenchError::Resource { what: "port", source })?;
    let routes = Routes::new(LedgerServiceServer::new(Echo { answer }));
    Ok(server::serve_bare(listener, &routes, on_ready)?)
}

fn nothing<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("this server only answers accruals"))
}

#[tonic::async_trait]
impl LedgerService for Echo {
    async fn accrue(&self, _: Request<Raw>) -> Result<Response<Raw>, Status> {
        Ok(Response::new(self.answer.clone()))
    }

    async fn quote(&self, _: Request<wire::QuoteRequest>) -> Result<Response<wire::QuoteResponse>, Status> {
        nothing()
    }

    async fn accrue_batch(&self, _: Request<Raw>) -> Result<Response<Raw>, Status> {
        nothing()
    }

    type CommandStreamStream = Empty<Result<Raw, Status>>;

    async fn command_stream(&self, _: Request<Streaming<Raw>>) -> Result<Response<Self::CommandStreamStream>, Status> {
        nothing()
    }

    async fn reverse(&self, _: Request<wire::ReverseRequest>) -> Result<Response<wire::ReverseResponse>, Status> {
        nothing()
    }

    async fn quote_batch(
        &self,
        _: Request<wire::QuoteBatchRequest>,
    ) -> Result<Response<wire::QuoteBatchResponse>, Status> {
        nothing()
    }

    async fn redeem(&self, _: Request<wire::RedeemRequest>) -> Result<Response<wire::RedeemResponse>, Status> {
        nothing()
    }

    async fn authorize(&self, _: Request<wire::AuthorizeRequest>) -> Result<Response<wire::AuthorizeResponse>, Status> {
        nothing()
    }

    async fn top_up(&self, _: Request<wire::TopUpRequest>) -> Result<Response<wire::TopUpResponse>, Status> {
        nothing()
    }

    async fn capture(&self, _: Request<wire::CaptureRequest>) -> Result<Response<wire::CaptureResponse>, Status> {
        nothing()
    }

    async fn void(&self, _: Request<wire::VoidRequest>) -> Result<Response<wire::VoidResponse>, Status> {
        nothing()
    }

    async fn record_activity(
        &self,
        _: Request<wire::RecordActivityRequest>,
    ) -> Result<Response<wire::RecordActivityResponse>, Status> {
        nothing()
    }

    async fn get_balance(
        &self,
        _: Request<wire::GetBalanceRequest>,
    ) -> Result<Response<wire::GetBalanceResponse>, Status> {
        nothing()
    }

    async fn get_transaction(
        &self,
        _: Request<wire::GetTransactionRequest>,
    ) -> Result<Response<wire::GetTransactionResponse>, Status> {
        nothing()
    }

    async fn list_transactions(
        &self,
        _: Request<wire::ListTransactionsRequest>,
    ) -> Result<Response<wire::ListTransactionsResponse>, Status> {
        nothing()
    }

    async fn list_rewards(
        &self,
        _: Request<wire::ListRewardsRequest>,
    ) -> Result<Response<wire::ListRewardsResponse>, Status> {
        nothing()
    }

    async fn list_related_transactions(
        &self,
        _: Request<wire::ListRelatedTransactionsRequest>,
    ) -> Result<Response<wire::ListRelatedTransactionsResponse>, Status> {
        nothing()
    }

    async fn explain_transaction(
        &self,
        _: Request<wire::ExplainTransactionRequest>,
    ) -> Result<Response<wire::ExplainTransactionResponse>, Status> {
        nothing()
    }
}
