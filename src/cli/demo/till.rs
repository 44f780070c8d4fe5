//! A till of the coffee shop: it turns what guests order into calls, over gRPC like any other till.

use prost_types::Timestamp;
use tonic::Status;

use crate::cli::client::{Clients, Server, call};
use crate::cli::error::CliError;
use crate::service::wire::{
    AccrueRequest, Basket, Decision, GetBalanceRequest, GetStatusRequest, GetStatusResponse, Line,
    ListTransactionsRequest, QuoteRequest, ReverseRequest, Transaction,
};

/// 1 June 2026, 08:00 in Vienna, in seconds since the Unix epoch. The sample programme's opening week begins that day.
pub const OPENING_SECONDS: i64 = 1_780_293_600;
/// What Vienna is ahead of UTC on that day, in seconds.
const VIENNA_AHEAD_SECONDS: i64 = 7_200;

/// Something that can be ordered.
#[derive(Clone, Copy, Debug)]
pub struct Good {
    /// Its name and SKU.
    pub name: &'static str,
    category: &'static str,
    brand: &'static str,
    /// Its price in cents.
    pub cents: i64,
}

/// 2.90 EUR.
pub const ESPRESSO: Good = Good { name: "espresso", category: "coffee", brand: "", cents: 290 };
/// 4.30 EUR.
pub const MELANGE: Good = Good { name: "melange", category: "coffee", brand: "", cents: 430 };
/// 2.50 EUR; earns double.
pub const CROISSANT: Good = Good { name: "croissant", category: "pastry", brand: "", cents: 250 };
/// 6.00 EUR; earns two and a half times.
pub const SACHERTORTE: Good = Good { name: "sachertorte", category: "cake", brand: "Own bakery", cents: 600 };

/// What a guest orders: goods and how many of each.
pub type Order = [(Good, i64)];

/// An order in words: "melange, 2 croissant".
#[must_use]
pub fn in_words(order: &Order) -> String {
    let words = order.iter().map(|(good, count)| match count {
        1 => good.name.to_owned(),
        count => format!("{count} {}", good.name),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The instant so many seconds after opening.
#[must_use]
pub fn at(seconds: i64) -> Timestamp {
    Timestamp { seconds: OPENING_SECONDS + seconds, nanos: 0 }
}

/// The time of day in Vienna, as "08:02".
#[must_use]
pub fn time_of_day(time: &Timestamp) -> String {
    let minutes = (time.seconds + VIENNA_AHEAD_SECONDS).rem_euclid(86_400) / 60;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// The basket of an order.
#[must_use]
pub fn basket(receipt: &str, order: &Order, seconds: i64) -> Basket {
    let lines = order.iter().map(|(good, count)| Line {
        sku: good.name.to_owned(),
        category: good.category.to_owned(),
        brand: good.brand.to_owned(),
        quantity: *count,
        amount_minor: good.cents * count,
        ..Line::default()
    });
    Basket {
        store_id: "vienna-1".to_owned(),
        terminal_id: "till-1".to_owned(),
        receipt_number: receipt.to_owned(),
        receipt_time: Some(at(seconds)),
        currency_code: "EUR".to_owned(),
        lines: lines.collect(),
        ..Basket::default()
    }
}

/// An accrual: the transaction has the receipt's number unless it is a repetition with another id.
#[must_use]
pub fn accrual(transaction_id: &str, guest: &str, receipt: &str, order: &Order, seconds: i64) -> AccrueRequest {
    AccrueRequest {
        account_identifier: None,
        transaction_id: transaction_id.to_owned(),
        account_id: guest.to_owned(),
        basket: Some(basket(receipt, order, seconds)),
        posting_time: Some(at(seconds)),
    }
}

/// A connected till.
#[derive(Clone, Debug)]
pub struct Till {
    server: Server,
    /// The connection.
    pub clients: Clients,
}

/// The decision of an answer that must have one.
fn decided(decision: Option<Decision>) -> Decision {
    decision.unwrap_or_default()
}

impl Till {
    /// Connects.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn connect(server: Server) -> Result<Self, CliError> {
        let clients = server.connect().await?;
        Ok(Self { server, clients })
    }

    fn failed(&self, what: &'static str) -> impl Fn(Status) -> CliError {
        let server = self.server.clone();
        move |status| server.failure(what, &status)
    }

    /// What an order would earn.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn quote(&self, guest: &str, order: &Order, seconds: i64) -> Result<Decision, CliError> {
        let request = QuoteRequest {
            account_identifier: None,
            account_id: guest.to_owned(),
            basket: Some(basket("", order, seconds)),
            ..QuoteRequest::default()
        };
        let response = self.clients.ledger.clone().quote(call(request)).await.map_err(self.failed("a quote"))?;
        Ok(decided(response.into_inner().decision))
    }

    /// Earns.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn accrue(&self, request: AccrueRequest) -> Result<Decision, CliError> {
        let response = self.clients.ledger.clone().accrue(call(request)).await.map_err(self.failed("an accrual"))?;
        Ok(decided(response.into_inner().decision))
    }

    /// Takes back.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn reverse(&self, transaction_id: &str, original: &str, seconds: i64) -> Result<Decision, CliError> {
        let request = ReverseRequest {
            transaction_id: transaction_id.to_owned(),
            original_transaction_id: original.to_owned(),
            posting_time: Some(at(seconds)),
            lines: Vec::new(),
            points: 0,
        };
        let response = self.clients.ledger.clone().reverse(call(request)).await.map_err(self.failed("a reversal"))?;
        Ok(decided(response.into_inner().decision))
    }

    /// The guest's balance.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn balance(&self, guest: &str) -> Result<i64, CliError> {
        let request = GetBalanceRequest {
            account_identifier: None,
            account_id: guest.to_owned(),
            wallet: String::new(),
            lots: false,
        };
        let response =
            self.clients.ledger.clone().get_balance(call(request)).await.map_err(self.failed("a balance"))?;
        Ok(response.into_inner().wallets.first().map_or(0, |wallet| wallet.balance_points))
    }

    /// The guest's transactions, newest first.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn statement(&self, guest: &str) -> Result<Vec<Transaction>, CliError> {
        let request = ListTransactionsRequest { account_id: guest.to_owned(), ..ListTransactionsRequest::default() };
        let response =
            self.clients.ledger.clone().list_transactions(call(request)).await.map_err(self.failed("a statement"))?;
        Ok(response.into_inner().transactions)
    }

    /// How the server stands.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn status(&self) -> Result<GetStatusResponse, CliError> {
        let request = call(GetStatusRequest { digest: false });
        let response = self.clients.admin.clone().get_status(request).await.map_err(self.failed("the status"))?;
        Ok(response.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_morning_is_in_the_opening_week() {
        let opening: jiff::Timestamp = "2026-06-01T08:00:00+02:00".parse().unwrap();
        assert_eq!(opening.as_second(), OPENING_SECONDS);
        assert_eq!(time_of_day(&at(125)), "08:02");
    }

    #[test]
    fn a_basket_states_what_was_paid_for_the_whole_line() {
        let basket = basket("r1", &[(MELANGE, 1), (CROISSANT, 2)], 0);
        assert_eq!(basket.lines[1].amount_minor, 500);
        assert_eq!(in_words(&[(MELANGE, 1), (CROISSANT, 2)]), "melange, 2 croissant");
    }
}
