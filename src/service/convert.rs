//! Requests from the wire into the domain: first everything is checked, then strings become numbers.
//!
//! What must stay true: a request with any wrong field is refused with all of them and leaves no name behind in the
//! dictionary; a quote never gives a new number, because it changes nothing.

use std::cell::RefCell;

use super::fields::{Fields, Path};
use super::names::{NameCache, Place};
use super::naming::{Naming, Unnamed};
use super::status::Failure;
use super::times;
use super::view::{AccrualView, BasketView, LineView};
use super::wire;
use crate::journal::dictionary::Dictionary;
use crate::ledger::command::{Basket, Line};
use crate::ledger::types::{Day, Item, ItemId, SymbolId, TimestampNs};
use crate::ledger::voucher::VoucherCode;
use crate::limits;

/// What the check of a request needs to know of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules<'a> {
    /// Posting times come from the caller.
    pub clock_is_input: bool,
    /// The programme's currency; `None` before there is a programme.
    pub currency: Option<&'a str>,
}

/// The times that a request states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    /// When the receipt was printed.
    pub receipt_at: Option<TimestampNs>,
    /// The store's business day.
    pub business_day: Option<Day>,
    /// When the command counts as posted.
    pub posting_at: Option<TimestampNs>,
}

/// Checks all of an accrual.
pub(super) fn check_accrual(request: &AccrualView<'_>, rules: Rules<'_>) -> Result<Times, Failure> {
    let mut fields = Fields::default();
    let id_bytes = limits::TRANSACTION_ID_BYTES_MAX;
    fields.text(Path::Field("transaction_id"), request.transaction_id, 1, id_bytes);
    fields.text(Path::Field("account_id"), request.account_id, 1, limits::ACCOUNT_ID_BYTES_MAX);
    let posting_at = check_posting_time(&mut fields, request.posting_time.as_ref(), rules);
    let times = check_basket(&mut fields, request.basket.as_ref(), rules, 1);
    fields.finish()?;
    Ok(Times { posting_at, ..times })
}

/// Checks all of a quote of a basket.
pub(super) fn check_quote(request: &wire::QuoteRequest, rules: Rules<'_>) -> Result<Times, Failure> {
    let mut fields = Fields::default();
    fields.text(Path::Field("account_id"), &request.account_id, 0, limits::ACCOUNT_ID_BYTES_MAX);
    let basket = request.basket.as_ref().map(BasketView::from);
    let times = check_basket(&mut fields, basket.as_ref(), rules, 0);
    fields.finish()?;
    Ok(times)
}

/// Checks all of a reversal.
pub(super) fn check_reversal(request: &wire::ReverseRequest, rules: Rules<'_>) -> Result<Option<TimestampNs>, Failure> {
    let mut fields = Fields::default();
    let id_bytes = limits::TRANSACTION_ID_BYTES_MAX;
    fields.text(Path::Field("transaction_id"), &request.transaction_id, 1, id_bytes);
    fields.text(Path::Field("original_transaction_id"), &request.original_transaction_id, 1, id_bytes);
    if !request.transaction_id.is_empty() && request.transaction_id == request.original_transaction_id {
        fields.wrong(Path::Field("original_transaction_id"), "It must differ from the reversal's own transaction_id.");
    }
    check_returned(&mut fields, &request.lines);
    fields.number(Path::Field("points"), request.points, 0, limits::UNITS_MAX);
    fields.number(Path::Field("quantity"), request.quantity, 0, limits::REWARD_QUANTITY_MAX);
    if request.quantity != 0 && (request.points != 0 || !request.lines.is_empty()) {
        let sentence = "It must be 0 beside lines or points: a transaction comes back by one measure.";
        fields.wrong(Path::Field("quantity"), sentence);
    }
    if request.points != 0 && !request.lines.is_empty() {
        fields.wrong(Path::Field("points"), "It must be 0 beside lines: a transaction comes back by one or the other.");
    }
    let posting_at = check_posting_time(&mut fields, request.posting_time.as_ref(), rules);
    fields.finish()?;
    Ok(posting_at)
}

/// Checks which lines are to come back, as far as that can be said without the basket.
fn check_returned(fields: &mut Fields, lines: &[wire::ReturnedLine]) {
    if lines.len() > limits::BASKET_LINES_MAX {
        let most = limits::BASKET_LINES_MAX;
        return fields
            .wrong(Path::Field("lines"), format!("It has {} lines; at most {most} are allowed.", lines.len()));
    }
    let line_max = i64::try_from(limits::BASKET_LINES_MAX).expect("a basket is bounded") - 1;
    let mut known = std::collections::BTreeSet::new();
    for (index, line) in lines.iter().enumerate() {
        let path = |name| Path::EntryField("lines", index, name);
        fields.number(path("line_index"), i64::from(line.line_index), 0, line_max);
        fields.number(path("quantity"), line.quantity, 0, limits::LINE_QUANTITY_MAX);
        fields.number(path("amount_minor"), line.amount_minor, 0, limits::LINE_AMOUNT_MINOR_MAX);
        if !known.insert(line.line_index) {
            fields.wrong(path("line_index"), "The line is stated twice.");
        }
        match (line.quantity, line.amount_minor) {
            (0, 0) => fields.wrong(path("quantity"), "Either it or amount_minor is required."),
            (1.., 1..) => {
                fields.wrong(path("amount_minor"), "It must be 0 beside a quantity, from which the amount follows.");
            }
            _ => {}
        }
    }
}

/// Checks the time at which a command counts as posted: there exactly where times come from the input.
pub(super) fn check_posting_time(
    fields: &mut Fields,
    value: Option<&prost_types::Timestamp>,
    rules: Rules<'_>,
) -> Option<TimestampNs> {
    let path = Path::Field("posting_time");
    match (value, rules.clock_is_input) {
        (None, true) => fields.wrong(path, "It is required by a data directory made with `--clock input`."),
        (Some(_), false) => {
            fields.wrong(path, "It must be unset: this data directory takes posting times from the server's clock.");
        }
        (None, false) | (Some(_), true) => {}
    }
    fields.time(path, value)
}

fn check_basket(
    fields: &mut Fields,
    basket: Option<&BasketView<'_>>,
    rules: Rules<'_>,
    receipt_bytes_min: usize,
) -> Times {
    let Some(basket) = basket else {
        fields.wrong(Path::Field("basket"), "It is required.");
        return Times::default();
    };
    let symbol = limits::SYMBOL_BYTES_MAX;
    fields.text(Path::Field("basket.store_id"), basket.store_id, 1, symbol);
    fields.text(Path::Field("basket.terminal_id"), basket.terminal_id, 0, symbol);
    fields.text(Path::Field("basket.cashier_id"), basket.cashier_id, 0, symbol);
    let receipt_bytes = limits::RECEIPT_NUMBER_BYTES_MAX;
    fields.text(Path::Field("basket.receipt_number"), basket.receipt_number, receipt_bytes_min, receipt_bytes);
    let business_day = basket.business_date.as_ref().and_then(times::day);
    if basket.business_date.is_some() && business_day.is_none() {
        fields.wrong(Path::Field("basket.business_date"), "It is not a day between the years 1678 and 2261.");
    }
    let receipt_at = fields.time(Path::Field("basket.receipt_time"), basket.receipt_time.as_ref());
    check_currency(fields, basket.currency_code, rules);
    fields.text(Path::Field("basket.channel"), basket.channel, 0, symbol);
    fields.text(Path::Field("basket.payment_method"), basket.payment_method, 0, symbol);
    fields.text(Path::Field("basket.member_id"), basket.member_id, 0, limits::MEMBER_ID_BYTES_MAX);
    check_codes(fields, basket.voucher_codes);
    if basket.lines.is_empty() || basket.lines.len() > limits::BASKET_LINES_MAX {
        let (count, most) = (basket.lines.len(), limits::BASKET_LINES_MAX);
        fields.wrong(Path::Field("basket.lines"), format!("There are {count}, but must be 1 to {most}."));
    } else {
        for (index, line) in basket.lines.iter().enumerate() {
            check_line(fields, index, line);
        }
    }
    Times { receipt_at, business_day, posting_at: None }
}

fn check_codes(fields: &mut Fields, codes: &[String]) {
    let most = limits::VOUCHER_CODES_MAX;
    if codes.len() > most {
        let description = format!("There are {}, but at most {most} are allowed.", codes.len());
        return fields.wrong(Path::Field("basket.voucher_codes"), description);
    }
    for (index, text) in codes.iter().enumerate() {
        let path = Path::Entry("basket.voucher_codes", index);
        match VoucherCode::parse(text) {
            None => fields.wrong(path, "It is no code of a voucher: these have 16 letters and digits."),
            code if codes.iter().take(index).any(|other| VoucherCode::parse(other) == code) => {
                fields.wrong(path, "The code is stated twice.");
            }
            Some(_) => {}
        }
    }
}

fn check_currency(fields: &mut Fields, code: &str, rules: Rules<'_>) {
    let path = Path::Field("basket.currency_code");
    match rules.currency {
        _ if code.is_empty() => fields.wrong(path, "It is required."),
        Some(currency) if code != currency => {
            fields.wrong(path, format!("It must be {currency:?}, the currency of the programme."));
        }
        _ => {}
    }
}

fn check_line(fields: &mut Fields, index: usize, line: &LineView<'_>) {
    let strings = [
        ("sku", line.sku),
        ("category", line.category),
        ("department", line.department),
        ("brand", line.brand),
        ("margin_class", line.margin_class),
    ];
    for (name, value) in strings {
        fields.text(Path::Line(index, name), value, 0, limits::SYMBOL_BYTES_MAX);
    }
    fields.number(Path::Line(index, "quantity"), line.quantity, 0, limits::LINE_QUANTITY_MAX);
    fields.number(Path::Line(index, "amount_minor"), line.amount_minor, 0, limits::LINE_AMOUNT_MINOR_MAX);
}

/// Turns strings into numbers.
pub(super) trait Names {
    /// The number of a string.
    fn symbol(&self, text: &str) -> Result<SymbolId, Unnamed>;

    /// The number of an item.
    fn item(&self, item: &Item) -> Result<ItemId, Unnamed>;

    /// The item of a line, with its number.
    fn line(&self, line: &LineView<'_>) -> Result<(ItemId, Item), Unnamed> {
        looked_up_line(self, line)
    }

    /// Store, terminal and cashier.
    fn place(&self, basket: &BasketView<'_>) -> Result<Place, Unnamed> {
        looked_up_place(self, basket)
    }
}

/// Gives new numbers, journaled before their first use.
pub(super) struct Giving<'a> {
    pub naming: Naming<'a>,
    pub known: &'a RefCell<&'a mut NameCache>,
}

impl Names for Giving<'_> {
    fn symbol(&self, text: &str) -> Result<SymbolId, Unnamed> {
        self.naming.symbol(text)
    }

    fn item(&self, item: &Item) -> Result<ItemId, Unnamed> {
        self.naming.item(item)
    }

    fn line(&self, line: &LineView<'_>) -> Result<(ItemId, Item), Unnamed> {
        let Some(bytes) = line.item_bytes else { return looked_up_line(self, line) };
        if let Some(known) = self.known.borrow().item(bytes) {
            return Ok(known);
        }
        let item = looked_up_line(self, line)?;
        self.known.borrow_mut().keep_item(bytes, item);
        Ok(item)
    }

    fn place(&self, basket: &BasketView<'_>) -> Result<Place, Unnamed> {
        let Some(bytes) = basket.place_bytes else { return looked_up_place(self, basket) };
        if let Some(known) = self.known.borrow().place(bytes) {
            return Ok(known);
        }
        let place = looked_up_place(self, basket)?;
        self.known.borrow_mut().keep_place(bytes, place);
        Ok(place)
    }
}

fn looked_up_line(names: &(impl Names + ?Sized), line: &LineView<'_>) -> Result<(ItemId, Item), Unnamed> {
    let item = Item {
        sku: names.symbol(line.sku)?,
        category: names.symbol(line.category)?,
        department: names.symbol(line.department)?,
        brand: names.symbol(line.brand)?,
        margin_class: names.symbol(line.margin_class)?,
    };
    Ok((names.item(&item)?, item))
}

fn looked_up_place(names: &(impl Names + ?Sized), basket: &BasketView<'_>) -> Result<Place, Unnamed> {
    Ok([names.symbol(basket.store_id)?, names.symbol(basket.terminal_id)?, names.symbol(basket.cashier_id)?])
}

/// Only looks: a string without a number is one that no programme names, no cap has counted under and nobody has frozen.
/// It is not the empty string, which a programme may name.
pub(super) struct Looking<'a> {
    pub dictionary: &'a Dictionary,
}

impl Looking<'_> {
    /// The number of a string; [`SymbolId::UNKNOWN`] for one that has none.
    pub(super) fn find(&self, text: &str) -> SymbolId {
        self.dictionary.find(text).unwrap_or(SymbolId::UNKNOWN)
    }
}

impl Names for Looking<'_> {
    fn symbol(&self, text: &str) -> Result<SymbolId, Unnamed> {
        Ok(self.find(text))
    }

    fn item(&self, _: &Item) -> Result<ItemId, Unnamed> {
        Ok(ItemId(0))
    }
}

/// Fills in a checked basket with its defaults, keeping the memory that `out` has.
pub(super) fn fill_basket(
    out: &mut Basket,
    basket: &BasketView<'_>,
    receipt_at: TimestampNs,
    business_day: Day,
    names: &impl Names,
) -> Result<(), Unnamed> {
    out.lines.clear();
    for line in &basket.lines {
        let (item_id, item) = names.line(line)?;
        out.lines.push(Line { item_id, item, quantity: line.quantity, amount_minor: line.amount_minor });
    }
    [out.store, out.terminal, out.cashier] = names.place(basket)?;
    [out.channel, out.payment_method] = [given(basket.channel, names)?, given(basket.payment_method, names)?];
    out.receipt_number.clear();
    out.receipt_number.push_str(basket.receipt_number);
    out.business_day = business_day;
    out.receipt_at = receipt_at;
    out.vouchers.clear();
    out.vouchers.extend(basket.voucher_codes.iter().filter_map(|text| VoucherCode::parse(text)));
    out.vouchers.sort_unstable();
    Ok(())
}

/// The number of a string that is mostly left out.
fn given(text: &str, names: &impl Names) -> Result<SymbolId, Unnamed> {
    if text.is_empty() { Ok(SymbolId::EMPTY) } else { names.symbol(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Timestamp;

    const SYSTEM: Rules<'static> = Rules { clock_is_input: false, currency: Some("EUR") };
    const INPUT: Rules<'static> = Rules { clock_is_input: true, currency: Some("EUR") };

    fn line() -> wire::Line {
        wire::Line { sku: "espresso".to_owned(), quantity: 1, amount_minor: 250, ..wire::Line::default() }
    }

    fn accrual() -> wire::AccrueRequest {
        let basket = wire::Basket {
            store_id: "s1".to_owned(),
            receipt_number: "r1".to_owned(),
            currency_code: "EUR".to_owned(),
            lines: vec![line()],
            ..wire::Basket::default()
        };
        wire::AccrueRequest {
            account_identifier: None,
            transaction_id: "t1".to_owned(),
            account_id: "a1".to_owned(),
            basket: Some(basket),
            posting_time: None,
        }
    }

    fn wrong_fields(result: Result<impl std::fmt::Debug, Failure>) -> Vec<String> {
        let Err(Failure::Invalid(violations)) = result else { panic!("{result:?} is not about fields") };
        assert!(violations.iter().all(|violation| violation.description.ends_with('.')), "{violations:?}");
        violations.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn each_wrong_field_is_named() {
        type Spoil = fn(&mut wire::AccrueRequest, &mut wire::Basket);
        let rows: [(&str, Spoil); 26] = [
            ("transaction_id", |request, _| request.transaction_id.clear()),
            ("transaction_id", |request, _| request.transaction_id = "t".repeat(65)),
            ("account_id", |request, _| request.account_id.clear()),
            ("account_id", |request, _| request.account_id = "a".repeat(65)),
            ("posting_time", |request, _| request.posting_time = Some(Timestamp::default())),
            ("basket.store_id", |_, basket| basket.store_id.clear()),
            ("basket.store_id", |_, basket| basket.store_id = "s".repeat(129)),
            ("basket.terminal_id", |_, basket| basket.terminal_id = "s".repeat(129)),
            ("basket.cashier_id", |_, basket| basket.cashier_id = "s".repeat(129)),
            ("basket.receipt_number", |_, basket| basket.receipt_number.clear()),
            ("basket.receipt_number", |_, basket| basket.receipt_number = "9".repeat(65)),
            ("basket.business_date", |_, basket| {
                basket.business_date = Some(wire::Date { year: 2017, month: 2, day: 29 });
            }),
            ("basket.receipt_time", |_, basket| {
                basket.receipt_time = Some(Timestamp { seconds: i64::MAX, nanos: 0 });
            }),
            ("basket.currency_code", |_, basket| basket.currency_code.clear()),
            ("basket.currency_code", |_, basket| basket.currency_code = "USD".to_owned()),
            ("basket.channel", |_, basket| basket.channel = "x".repeat(129)),
            ("basket.payment_method", |_, basket| basket.payment_method = "x".repeat(129)),
            ("basket.member_id", |_, basket| basket.member_id = "x".repeat(65)),
            ("basket.lines", |_, basket| basket.lines.clear()),
            ("basket.lines", |_, basket| basket.lines = vec![line(); limits::BASKET_LINES_MAX + 1]),
            ("basket.lines[0].sku", |_, basket| basket.lines[0].sku = "x".repeat(129)),
            ("basket.lines[0].category", |_, basket| basket.lines[0].category = "x".repeat(129)),
            ("basket.lines[0].quantity", |_, basket| basket.lines[0].quantity = -1),
            ("basket.lines[0].quantity", |_, basket| basket.lines[0].quantity = limits::LINE_QUANTITY_MAX + 1),
            ("basket.lines[0].amount_minor", |_, basket| basket.lines[0].amount_minor = -1),
            ("basket.lines[1].amount_minor", |_, basket| {
                basket.lines.push(wire::Line { amount_minor: limits::LINE_AMOUNT_MINOR_MAX + 1, ..line() });
            }),
        ];
        assert_eq!(check_accrual(&AccrualView::from(&accrual()), SYSTEM), Ok(Times::default()));
        for (field, spoil) in rows {
            let mut request = accrual();
            let mut basket = request.basket.take().unwrap();
            spoil(&mut request, &mut basket);
            request.basket = Some(basket);
            assert_eq!(wrong_fields(check_accrual(&AccrualView::from(&request), SYSTEM)), [field]);
        }
    }

    #[test]
    fn all_wrong_fields_are_named_at_once() {
        let request = wire::AccrueRequest::default();
        assert_eq!(
            wrong_fields(check_accrual(&AccrualView::from(&request), SYSTEM)),
            ["transaction_id", "account_id", "basket"]
        );
    }

    #[test]
    fn posting_time_is_required_where_the_clock_is_the_input() {
        assert_eq!(wrong_fields(check_accrual(&AccrualView::from(&accrual()), INPUT)), ["posting_time"]);
        let request = wire::AccrueRequest { posting_time: Some(Timestamp { seconds: 7, nanos: 5 }), ..accrual() };
        let times = check_accrual(&AccrualView::from(&request), INPUT).unwrap();
        assert_eq!(times.posting_at, Some(TimestampNs(7_000_000_005)));
    }

    #[test]
    fn a_quote_needs_no_receipt_number() {
        let mut request =
            wire::QuoteRequest { account_id: "a1".to_owned(), basket: accrual().basket, ..Default::default() };
        request.basket.as_mut().unwrap().receipt_number.clear();
        assert_eq!(check_quote(&request, INPUT), Ok(Times::default()));
        request.account_id.clear();
        assert_eq!(check_quote(&request, INPUT), Ok(Times::default()), "nobody in particular");
        request.account_id = "a".repeat(65);
        request.basket.as_mut().unwrap().store_id.clear();
        assert_eq!(wrong_fields(check_quote(&request, INPUT)), ["account_id", "basket.store_id"]);
    }

    #[test]
    fn a_reversal_names_another_transaction() {
        let request = |own: &str, original: &str| wire::ReverseRequest {
            transaction_id: own.to_owned(),
            original_transaction_id: original.to_owned(),
            posting_time: None,
            ..<_>::default()
        };
        assert_eq!(check_reversal(&request("r1", "t1"), SYSTEM), Ok(None));
        let both = ["transaction_id", "original_transaction_id"];
        assert_eq!(wrong_fields(check_reversal(&request("", ""), SYSTEM)), both);
        assert_eq!(wrong_fields(check_reversal(&request("t1", "t1"), SYSTEM)), ["original_transaction_id"]);
    }

    #[test]
    fn lines_come_back_by_one_measure_and_each_once() {
        let line = |line_index, quantity, amount_minor| wire::ReturnedLine { line_index, quantity, amount_minor };
        let wrong = |lines: Vec<wire::ReturnedLine>| {
            let (transaction_id, original_transaction_id) = ("r1".to_owned(), "t1".to_owned());
            let request = wire::ReverseRequest { transaction_id, original_transaction_id, lines, ..<_>::default() };
            match check_reversal(&request, SYSTEM) {
                Ok(_) => Vec::new(),
                failed => wrong_fields(failed),
            }
        };
        assert!(wrong(vec![line(3, 2, 0), line(0, 0, 500)]).is_empty());
        assert_eq!(wrong(vec![line(0, 0, 0)]), ["lines[0].quantity"]);
        assert_eq!(wrong(vec![line(0, 1, 500)]), ["lines[0].amount_minor"]);
        assert_eq!(wrong(vec![line(2, 1, 0), line(2, 1, 0)]), ["lines[1].line_index"]);
        assert_eq!(wrong(vec![line(-1, 1, 0), line(1_024, 1, 0)]), ["lines[0].line_index", "lines[1].line_index"]);
        let beyond = [line(0, limits::LINE_QUANTITY_MAX + 1, 0), line(1, 0, limits::LINE_AMOUNT_MINOR_MAX + 1)];
        assert_eq!(wrong(beyond.to_vec()), ["lines[0].quantity", "lines[1].amount_minor"]);
        let most = limits::BASKET_LINES_MAX;
        assert_eq!(wrong(vec![line(0, 1, 0); most + 1]), ["lines"], "a flood of lines is not looked at one by one");
    }

    #[test]
    fn looking_gives_no_new_numbers() {
        let dictionary = Dictionary::new();
        let request = accrual();
        let view = BasketView::from(request.basket.as_ref().unwrap());
        let mut basket = Basket::default();
        fill_basket(&mut basket, &view, TimestampNs(0), Day(0), &Looking { dictionary: &dictionary }).unwrap();
        assert_eq!(
            (basket.store, basket.terminal, basket.channel),
            (SymbolId::UNKNOWN, SymbolId::EMPTY, SymbolId::EMPTY)
        );
        let item = basket.lines[0].item;
        assert_eq!((item.sku, item.brand), (SymbolId::UNKNOWN, SymbolId::EMPTY), "a name is not what is left out");
        assert_eq!(dictionary.counts(), (1, 1));
    }
}
