//! `LedgerService`: each method counts its call, takes the caller, and hands over.
//!
//! What must stay true: no method does more than that.

use tonic::{Request, Response, Status, Streaming};

use super::auth::Caller;
use super::holds::Ending;
use super::orders::Order;
use super::raw::Raw;
use super::stream::Results;
use super::wire::server::ledger_service_server::LedgerService;
use super::{Patience, Service, batch, wire};

#[tonic::async_trait]
impl LedgerService for Service {
    async fn quote(&self, request: Request<wire::QuoteRequest>) -> Result<Response<wire::QuoteResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let decision = self.edge.quote(&caller, request.into_inner()).await?;
        Ok(Response::new(wire::QuoteResponse { decision: Some(decision) }))
    }

    async fn quote_batch(
        &self,
        request: Request<wire::QuoteBatchRequest>,
    ) -> Result<Response<wire::QuoteBatchResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let decisions = self.edge.quotes(&caller, request.into_inner()).await?;
        Ok(Response::new(wire::QuoteBatchResponse { decisions }))
    }

    async fn accrue(&self, request: Request<Raw>) -> Result<Response<Raw>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let Raw(request) = request.into_inner();
        let answered = self.edge.accrue_one(&caller, &request).await;
        Ok(Response::new(Raw(answered.map_err(|failure| self.edge.counted(failure))?)))
    }

    async fn accrue_batch(&self, request: Request<Raw>) -> Result<Response<Raw>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let Raw(request) = request.into_inner();
        Ok(Response::new(Raw(self.edge.accrue_all(&caller, request).await?)))
    }

    type CommandStreamStream = Results;

    async fn command_stream(
        &self,
        request: Request<Streaming<Raw>>,
    ) -> Result<Response<Self::CommandStreamStream>, Status> {
        let call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.edge.serve_stream(caller, call, request.into_inner())))
    }

    async fn reverse(&self, request: Request<wire::ReverseRequest>) -> Result<Response<wire::ReverseResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let answered = match self.edge.start_reversal(&caller, request.into_inner(), Patience::None).await {
            Ok(started) => started.answer().await,
            Err(failure) => Err(failure),
        };
        let decision = batch::decode(&answered.map_err(|failure| self.edge.counted(failure))?)?;
        Ok(Response::new(wire::ReverseResponse { decision: Some(decision) }))
    }

    async fn redeem(&self, request: Request<wire::RedeemRequest>) -> Result<Response<wire::RedeemResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let decision = self.edge.order(&caller, Order::Redeem(request.into_inner())).await?;
        Ok(Response::new(wire::RedeemResponse { decision: Some(decision) }))
    }

    async fn authorize(
        &self,
        request: Request<wire::AuthorizeRequest>,
    ) -> Result<Response<wire::AuthorizeResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let decision = self.edge.order(&caller, Order::Authorize(request.into_inner())).await?;
        Ok(Response::new(wire::AuthorizeResponse { decision: Some(decision) }))
    }

    async fn capture(&self, request: Request<wire::CaptureRequest>) -> Result<Response<wire::CaptureResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let decision = self.edge.end(&caller, Ending::Capture(request.into_inner())).await?;
        Ok(Response::new(wire::CaptureResponse { decision: Some(decision) }))
    }

    async fn void(&self, request: Request<wire::VoidRequest>) -> Result<Response<wire::VoidResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let decision = self.edge.end(&caller, Ending::Void(request.into_inner())).await?;
        Ok(Response::new(wire::VoidResponse { decision: Some(decision) }))
    }

    async fn top_up(&self, request: Request<wire::TopUpRequest>) -> Result<Response<wire::TopUpResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let decision = self.edge.order(&caller, Order::TopUp(request.into_inner())).await?;
        Ok(Response::new(wire::TopUpResponse { decision: Some(decision) }))
    }

    async fn record_activity(
        &self,
        request: Request<wire::RecordActivityRequest>,
    ) -> Result<Response<wire::RecordActivityResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let decision = self.edge.order(&caller, Order::Record(request.into_inner())).await?;
        Ok(Response::new(wire::RecordActivityResponse { decision: Some(decision) }))
    }

    async fn get_balance(
        &self,
        request: Request<wire::GetBalanceRequest>,
    ) -> Result<Response<wire::GetBalanceResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.edge.balance(&caller, request.into_inner()).await?))
    }

    async fn list_rewards(
        &self,
        request: Request<wire::ListRewardsRequest>,
    ) -> Result<Response<wire::ListRewardsResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.edge.rewards(&caller, request.into_inner()).await?))
    }

    async fn get_transaction(
        &self,
        request: Request<wire::GetTransactionRequest>,
    ) -> Result<Response<wire::GetTransactionResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        let transaction = self.edge.transaction(&caller, request.into_inner()).await?;
        Ok(Response::new(wire::GetTransactionResponse { transaction: Some(transaction) }))
    }

    async fn list_transactions(
        &self,
        request: Request<wire::ListTransactionsRequest>,
    ) -> Result<Response<wire::ListTransactionsResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.edge.transactions(&caller, request.into_inner()).await?))
    }

    async fn list_related_transactions(
        &self,
        request: Request<wire::ListRelatedTransactionsRequest>,
    ) -> Result<Response<wire::ListRelatedTransactionsResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.edge.related(&caller, request.into_inner()).await?))
    }

    async fn explain_transaction(
        &self,
        request: Request<wire::ExplainTransactionRequest>,
    ) -> Result<Response<wire::ExplainTransactionResponse>, Status> {
        let _call = self.edge.enter()?;
        let caller = Caller::of(&request)?;
        Ok(Response::new(self.edge.explain(&caller, request.into_inner()).await?))
    }
}
