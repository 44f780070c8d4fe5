//! The fields of redemptions, authorizations, activities, enrolments and opening balances: all that is wrong with them, at once.
//!
//! What must stay true: nothing here gives a number to a name.

use std::collections::BTreeSet;

use super::convert::{Rules, check_posting_time};
use super::fields::{Fields, Path};
use super::orders::Order;
use super::status::Failure;
use super::{identifiers, times, wire};
use crate::ledger::decision::LotKey;
use crate::ledger::types::{MonthDay, TimestampNs};
use crate::limits;

/// The times that an order states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stated {
    /// When it counts as posted.
    pub posting_at: Option<TimestampNs>,
    /// When an activity happened.
    pub event_at: Option<TimestampNs>,
}

/// Checks all of an order.
pub(super) fn check(order: &Order, rules: Rules<'_>) -> Result<Stated, Failure> {
    let mut fields = Fields::default();
    let (transaction_id, account_id, posting_time) = head(order);
    fields.text(Path::Field("transaction_id"), transaction_id, 1, limits::TRANSACTION_ID_BYTES_MAX);
    fields.text(Path::Field("account_id"), account_id, 1, limits::ACCOUNT_ID_BYTES_MAX);
    let mut event_at = None;
    match order {
        Order::Redeem(request) => {
            let is_for_reward = !request.reward.is_empty();
            fields.number(Path::Field("points"), request.points, i64::from(!is_for_reward), limits::UNITS_MAX);
            fields.text(Path::Field("member_id"), &request.member_id, 0, limits::MEMBER_ID_BYTES_MAX);
            fields.text(Path::Field("reward"), &request.reward, 0, limits::SYMBOL_BYTES_MAX);
            let quantity_max = if is_for_reward { limits::REWARD_QUANTITY_MAX } else { 0 };
            fields.number(Path::Field("quantity"), request.quantity, 0, quantity_max);
            if is_for_reward && !request.wallet.is_empty() {
                fields.wrong(Path::Field("wallet"), "It must be empty beside a reward, which has its wallet.");
            }
        }
        Order::Authorize(request) => {
            fields.number(Path::Field("points"), request.points, 1, limits::UNITS_MAX);
            fields.text(Path::Field("member_id"), &request.member_id, 0, limits::MEMBER_ID_BYTES_MAX);
            fields.number(Path::Field("hold_seconds"), request.hold_seconds, 0, limits::HOLD_SECONDS_MAX);
        }
        Order::TopUp(request) => {
            fields.number(Path::Field("amount_minor"), request.amount_minor, 1, limits::UNITS_MAX);
            fields.text(Path::Field("source"), &request.source, 1, limits::TOP_UP_SOURCE_BYTES_MAX);
            fields.text(Path::Field("store_id"), &request.store_id, 0, limits::SYMBOL_BYTES_MAX);
            fields.text(Path::Field("terminal_id"), &request.terminal_id, 0, limits::SYMBOL_BYTES_MAX);
            if request.store_id.is_empty() && !request.terminal_id.is_empty() {
                fields.wrong(Path::Field("store_id"), "It is required beside a terminal.");
            }
        }
        Order::Record(request) => event_at = check_activity(&mut fields, request.activity.as_ref()),
        Order::Enrol(request) => {
            check_segments(&mut fields, &request.join_segments, &request.leave_segments);
            check_birthday(&mut fields, request.birthday.as_ref(), request.clear_birthday);
        }
        Order::Update(request) => {
            check_segments(&mut fields, &request.join_segments, &request.leave_segments);
            check_birthday(&mut fields, request.birthday.as_ref(), request.clear_birthday);
        }
        Order::Load(request) => check_lots(&mut fields, &request.lots),
        Order::Link(request) => check_identifier(&mut fields, request.identifier.as_ref()),
        Order::Unlink(request) => check_identifier(&mut fields, request.identifier.as_ref()),
    }
    let posting_at = check_posting_time(&mut fields, posting_time, rules);
    fields.finish()?;
    Ok(Stated { posting_at, event_at })
}

/// Checks all of a quote of an activity; when that happened, as far as it says.
pub(super) fn check_quote(request: &wire::QuoteRequest) -> Result<Option<TimestampNs>, Failure> {
    let mut fields = Fields::default();
    fields.text(Path::Field("account_id"), &request.account_id, 0, limits::ACCOUNT_ID_BYTES_MAX);
    if request.basket.is_some() {
        fields.wrong(Path::Field("activity"), "A basket is given too.");
    }
    let happened_at = check_activity(&mut fields, request.activity.as_ref());
    fields.finish()?;
    Ok(happened_at)
}

fn head(order: &Order) -> (&str, &str, Option<&prost_types::Timestamp>) {
    match order {
        Order::Redeem(request) => (&request.transaction_id, &request.account_id, request.posting_time.as_ref()),
        Order::Authorize(request) => (&request.transaction_id, &request.account_id, request.posting_time.as_ref()),
        Order::TopUp(request) => (&request.transaction_id, &request.account_id, request.posting_time.as_ref()),
        Order::Record(request) => (&request.transaction_id, &request.account_id, request.posting_time.as_ref()),
        Order::Enrol(request) => (&request.transaction_id, &request.account_id, request.posting_time.as_ref()),
        Order::Update(request) => (&request.transaction_id, &request.account_id, request.posting_time.as_ref()),
        Order::Load(request) => (&request.transaction_id, &request.account_id, request.posting_time.as_ref()),
        Order::Link(request) => (&request.transaction_id, &request.account_id, request.posting_time.as_ref()),
        Order::Unlink(request) => (&request.transaction_id, &request.account_id, request.posting_time.as_ref()),
    }
}

fn check_identifier(fields: &mut Fields, identifier: Option<&wire::AccountIdentifier>) {
    match identifier {
        Some(identifier) => identifiers::check(fields, "identifier.kind", "identifier.value", identifier),
        None => fields.wrong(Path::Field("identifier"), "It is required."),
    }
}

fn check_activity(fields: &mut Fields, activity: Option<&wire::Activity>) -> Option<TimestampNs> {
    let Some(activity) = activity else {
        fields.wrong(Path::Field("activity"), "It is required.");
        return None;
    };
    fields.text(Path::Field("activity.kind"), &activity.kind, 1, limits::SYMBOL_BYTES_MAX);
    fields.text(Path::Field("activity.channel"), &activity.channel, 0, limits::SYMBOL_BYTES_MAX);
    fields.text(Path::Field("activity.member_id"), &activity.member_id, 0, limits::MEMBER_ID_BYTES_MAX);
    fields.time(Path::Field("activity.activity_time"), activity.activity_time.as_ref())
}

fn check_segments(fields: &mut Fields, joins: &[String], leaves: &[String]) {
    for (name, list) in [("join_segments", joins), ("leave_segments", leaves)] {
        let most = limits::SEGMENT_CHANGES_MAX;
        if list.len() > most {
            let count = list.len();
            fields.wrong(Path::Field(name), format!("There are {count}, but at most {most} are allowed."));
            continue;
        }
        for (index, segment) in list.iter().enumerate() {
            fields.text(Path::Entry(name, index), segment, 1, limits::SYMBOL_BYTES_MAX);
        }
    }
    let joined: BTreeSet<&String> = joins.iter().collect();
    for (index, _) in leaves.iter().enumerate().filter(|(_, segment)| joined.contains(segment)) {
        fields.wrong(Path::Entry("leave_segments", index), "The account joins the same segment.");
    }
}

fn check_birthday(fields: &mut Fields, birthday: Option<&wire::Birthday>, is_cleared: bool) {
    let Some(birthday) = birthday else { return };
    if month_day(birthday).is_none() {
        fields.wrong(Path::Field("birthday"), "There is no such day in any year.");
    }
    if is_cleared {
        fields.wrong(Path::Field("clear_birthday"), "A birthday is given too.");
    }
}

fn month_day(birthday: &wire::Birthday) -> Option<MonthDay> {
    let day = MonthDay { month: u8::try_from(birthday.month).ok()?, day: u8::try_from(birthday.day).ok()? };
    day.is_real().then_some(day)
}

/// What becomes of the birthday: `None` leaves it as it is.
pub(super) fn birthday(stated: Option<&wire::Birthday>, is_cleared: bool) -> Option<Option<MonthDay>> {
    match stated {
        Some(birthday) => Some(month_day(birthday)),
        None if is_cleared => Some(None),
        None => None,
    }
}

fn check_lots(fields: &mut Fields, lots: &[wire::OpeningLot]) {
    let most = limits::LOADED_LOTS_MAX;
    if lots.is_empty() || lots.len() > most {
        fields.wrong(Path::Field("lots"), format!("There are {}, but must be 1 to {most}.", lots.len()));
        return;
    }
    let mut sum: i64 = 0;
    for (index, lot) in lots.iter().enumerate() {
        fields.number(Path::EntryField("lots", index, "points"), lot.points, 1, limits::UNITS_MAX);
        fields.text(Path::EntryField("lots", index, "issuer"), &lot.issuer, 0, limits::SYMBOL_BYTES_MAX);
        fields.time(Path::EntryField("lots", index, "expire_time"), lot.expire_time.as_ref());
        sum = sum.saturating_add(lot.points.max(0));
    }
    if sum > limits::UNITS_MAX {
        fields.wrong(Path::Field("lots"), format!("Together they are more than {} points.", limits::UNITS_MAX));
    }
}

/// The instant from which a lot is dead; `None` when what it states is no instant.
pub(super) fn expiry(lot: &wire::OpeningLot) -> Option<TimestampNs> {
    lot.expire_time.as_ref().map_or(Some(LotKey::NEVER), times::instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules<'static> = Rules { clock_is_input: false, currency: None };

    fn wrong(order: &Order) -> Vec<String> {
        match check(order, RULES) {
            Err(Failure::Invalid(violations)) => {
                assert!(violations.iter().all(|violation| violation.description.ends_with('.')), "{violations:?}");
                violations.into_iter().map(|violation| violation.field).collect()
            }
            other => panic!("{other:?} is not about fields"),
        }
    }

    fn enrolment(joins: &[&str], leaves: &[&str]) -> Order {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Order::Enrol(wire::EnrolRequest {
            transaction_id: "t".to_owned(),
            account_id: "a".to_owned(),
            join_segments: list(joins),
            leave_segments: list(leaves),
            ..wire::EnrolRequest::default()
        })
    }

    fn loading(lots: Vec<wire::OpeningLot>) -> Order {
        Order::Load(wire::LoadOpeningBalanceRequest {
            account_identifier: None,
            transaction_id: "t".to_owned(),
            account_id: "a".to_owned(),
            wallet: String::new(),
            lots,
            posting_time: None,
        })
    }

    #[test]
    fn what_is_left_out_is_named() {
        assert_eq!(wrong(&Order::Redeem(wire::RedeemRequest::default())), ["transaction_id", "account_id", "points"]);
        let endless = wire::AuthorizeRequest { hold_seconds: -1, ..wire::AuthorizeRequest::default() };
        assert_eq!(wrong(&Order::Authorize(endless)), ["transaction_id", "account_id", "points", "hold_seconds"]);
        let placeless = wire::TopUpRequest { terminal_id: "till-1".to_owned(), ..wire::TopUpRequest::default() };
        let all = ["transaction_id", "account_id", "amount_minor", "source", "store_id"];
        assert_eq!(wrong(&Order::TopUp(placeless)), all);
        let record = Order::Record(wire::RecordActivityRequest::default());
        assert_eq!(wrong(&record), ["transaction_id", "account_id", "activity"]);
        assert_eq!(wrong(&Order::Enrol(wire::EnrolRequest::default())), ["transaction_id", "account_id"]);
        assert_eq!(wrong(&Order::Update(wire::UpdateAccountRequest::default())), ["transaction_id", "account_id"]);
        let load = Order::Load(wire::LoadOpeningBalanceRequest::default());
        assert_eq!(wrong(&load), ["transaction_id", "account_id", "lots"]);
    }

    #[test]
    fn segments_are_named_one_by_one() {
        assert_eq!(check(&enrolment(&["b", "a"], &["c"]), RULES), Ok(Stated::default()));
        let long = "x".repeat(129);
        assert_eq!(
            wrong(&enrolment(&["a", ""], &["a", &long])),
            ["join_segments[1]", "leave_segments[1]", "leave_segments[0]"]
        );
        let many = vec!["x"; limits::SEGMENT_CHANGES_MAX + 1];
        assert_eq!(wrong(&enrolment(&many, &[])), ["join_segments"]);
    }

    #[test]
    fn a_birthday_is_a_day_of_some_year() {
        let order = |month, day, clear_birthday| {
            let birthday = Some(wire::Birthday { month, day });
            let Order::Enrol(request) = enrolment(&[], &[]) else { unreachable!("it is an enrolment") };
            Order::Enrol(wire::EnrolRequest { birthday, clear_birthday, ..request })
        };
        assert_eq!(check(&order(2, 29, false), RULES), Ok(Stated::default()));
        assert_eq!(wrong(&order(2, 30, false)), ["birthday"]);
        assert_eq!(wrong(&order(-1, 300, true)), ["birthday", "clear_birthday"]);
        assert_eq!(birthday(None, false), None);
        assert_eq!(birthday(None, true), Some(None));
        let day = wire::Birthday { month: 2, day: 29 };
        assert_eq!(birthday(Some(&day), false), Some(Some(MonthDay { month: 2, day: 29 })));
    }

    #[test]
    fn lots_are_named_one_by_one() {
        let lot = |points| wire::OpeningLot { points, ..wire::OpeningLot::default() };
        assert_eq!(check(&loading(vec![lot(1)]), RULES), Ok(Stated::default()));
        let endless = wire::OpeningLot {
            expire_time: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
            issuer: "x".repeat(129),
            ..lot(0)
        };
        let fields = ["lots[1].points", "lots[1].issuer", "lots[1].expire_time"];
        assert_eq!(wrong(&loading(vec![lot(1), endless])), fields);
        assert_eq!(wrong(&loading(vec![lot(limits::UNITS_MAX), lot(1)])), ["lots"]);
        assert_eq!(wrong(&loading(vec![lot(1); limits::LOADED_LOTS_MAX + 1])), ["lots"]);
    }

    #[test]
    fn the_posting_time_follows_the_clock_of_the_directory() {
        let order = Order::Redeem(wire::RedeemRequest {
            transaction_id: "t".to_owned(),
            account_id: "a".to_owned(),
            points: 1,
            ..wire::RedeemRequest::default()
        });
        let Err(Failure::Invalid(violations)) = check(&order, Rules { clock_is_input: true, currency: None }) else {
            panic!("a posting time is required");
        };
        assert_eq!(violations[0].field, "posting_time");
    }
}
