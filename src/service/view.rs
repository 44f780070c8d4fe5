//! Accruals as the checks and the translation look at them: strings borrowed from the request, wherever they lie.
//!
//! What must stay true: a view of a decoded message says what the message says.

use prost_types::Timestamp;
use smallvec::SmallVec;

use super::wire;
use crate::ledger::types::IdentifierKey;

/// Lines that a view holds without memory of their own: those of an ordinary basket.
const LINES_INLINE: usize = 2;

/// An accrual.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AccrualView<'a> {
    pub transaction_id: &'a str,
    pub account_id: &'a str,
    pub basket: Option<BasketView<'a>>,
    pub posting_time: Option<Timestamp>,
    /// The identifier by which the account was named, once it is resolved.
    pub named_by: Option<IdentifierKey>,
}

/// A basket.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct BasketView<'a> {
    pub store_id: &'a str,
    pub terminal_id: &'a str,
    pub cashier_id: &'a str,
    pub receipt_number: &'a str,
    pub business_date: Option<wire::Date>,
    pub receipt_time: Option<Timestamp>,
    pub currency_code: &'a str,
    pub lines: SmallVec<[LineView<'a>; LINES_INLINE]>,
    pub channel: &'a str,
    pub payment_method: &'a str,
    pub member_id: &'a str,
    pub voucher_codes: &'a [String],
    /// The bytes that hold store, terminal and cashier and nothing else, where there are such.
    pub place_bytes: Option<&'a [u8]>,
}

/// A line of a basket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LineView<'a> {
    pub sku: &'a str,
    pub category: &'a str,
    pub department: &'a str,
    pub brand: &'a str,
    pub margin_class: &'a str,
    pub quantity: i64,
    pub amount_minor: i64,
    /// The bytes that hold everything above the quantity and nothing else, where there are such.
    pub item_bytes: Option<&'a [u8]>,
}

impl<'a> From<&'a wire::AccrueRequest> for AccrualView<'a> {
    fn from(request: &'a wire::AccrueRequest) -> Self {
        Self {
            transaction_id: &request.transaction_id,
            account_id: &request.account_id,
            basket: request.basket.as_ref().map(BasketView::from),
            posting_time: request.posting_time,
            named_by: None,
        }
    }
}

impl<'a> From<&'a wire::Basket> for BasketView<'a> {
    fn from(basket: &'a wire::Basket) -> Self {
        Self {
            store_id: &basket.store_id,
            terminal_id: &basket.terminal_id,
            cashier_id: &basket.cashier_id,
            receipt_number: &basket.receipt_number,
            business_date: basket.business_date,
            receipt_time: basket.receipt_time,
            currency_code: &basket.currency_code,
            lines: basket.lines.iter().map(LineView::from).collect(),
            channel: &basket.channel,
            payment_method: &basket.payment_method,
            member_id: &basket.member_id,
            voucher_codes: &basket.voucher_codes,
            place_bytes: None,
        }
    }
}

impl<'a> From<&'a wire::Line> for LineView<'a> {
    fn from(line: &'a wire::Line) -> Self {
        Self {
            sku: &line.sku,
            category: &line.category,
            department: &line.department,
            brand: &line.brand,
            margin_class: &line.margin_class,
            quantity: line.quantity,
            amount_minor: line.amount_minor,
            item_bytes: None,
        }
    }
}
