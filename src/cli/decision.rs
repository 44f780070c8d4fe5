//! What a command that a person sends came to: one sentence, or a refusal with its exit status.
//!
//! What must stay true: a command that is refused ends with an exit status of its own and names its page; the id that is
//! made for a command follows from what it is about.

use serde_json::{Value, json};

use super::client::{Server, ServerArgs, runtime, shown_time};
use super::error::{CliError, Exit};
use super::output::{Output, grouped};
use crate::service::wire::{Decision, StampOutcome, VoucherEvent, VoucherNote};

/// An id that follows from what a command is about: whoever repeats the command repeats its id. Longer ones are cut to
/// a hash, for ids are bounded.
pub(super) fn derived_id(verb: &str, of: &str) -> String {
    let id = format!("{verb}-{of}");
    if id.len() <= crate::limits::TRANSACTION_ID_BYTES_MAX {
        return id;
    }
    let hash = blake3::hash(of.as_bytes()).to_hex();
    format!("{verb}-{}", &hash.as_str()[..32])
}

/// The decision of an answer, or what its failure means.
pub(super) fn answered(
    server: &Server,
    what: &str,
    answer: Result<Option<Decision>, tonic::Status>,
) -> Result<Decision, CliError> {
    let decision = answer.map_err(|status| server.failure(what, &status))?;
    decision.ok_or_else(|| CliError::new(Exit::Unavailable, format!("{what}: the server answered without a decision")))
}

/// Sends a command, and says what came of it.
pub(super) fn decide(
    server: &ServerArgs,
    what: &str,
    out: &Output,
    send: impl AsyncFnOnce(Server) -> Result<Decision, CliError>,
) -> Result<(), CliError> {
    let server = Server::new(server)?;
    say(&runtime()?.block_on(send(server))?, what, out)
}

/// What it means for whoever sent a command that it was refused; `None` where it was not.
pub(super) fn refused(decision: &Decision, what: &str) -> Option<CliError> {
    let refusal = decision.refusal.as_ref()?;
    let field = if refusal.field.is_empty() { String::new() } else { format!(" ({} differs)", refusal.field) };
    let error = CliError::new(Exit::BadData, format!("{what} was refused: {}{field}", refusal.message));
    Some(error.hint(format!("`tallystick errors show {}` says what to do", refusal.code)))
}

/// Says what came of a command.
///
/// # Errors
/// When it was refused, or standard output cannot be written.
pub(super) fn say(decision: &Decision, what: &str, out: &Output) -> Result<(), CliError> {
    if let Some(error) = refused(decision, what) {
        return Err(error);
    }
    let moved = moved(decision);
    let moved = if moved.is_empty() { "nothing was left to move".to_owned() } else { moved.join(", ") };
    let again = if decision.replayed { ", as before" } else { "" };
    let balance = grouped(decision.balance_points);
    let position = decision.position.unwrap_or_default();
    out.line(format_args!("{moved}{again}; the balance is {balance} (position {position})"))?;
    out.object(&as_json(decision))
}

/// The points that a decision moved, each with what became of them in a word; those it did not move are left out.
fn movements(decision: &Decision) -> impl Iterator<Item = (i64, &'static str, &'static str)> {
    [
        (decision.granted_points, "granted_points", "granted"),
        (decision.collected_points, "collected_points", "of it taken for what was owed"),
        (decision.redeemed_points, "redeemed_points", "spent"),
        (decision.authorized_points, "authorized_points", "set aside"),
        (decision.returned_points, "returned_points", "given back"),
        (decision.reversed_points, "reversed_points", "taken"),
        (decision.owed_points, "owed_points", "owed from now on"),
        (decision.released_points, "released_points", "released"),
        (decision.restored_points, "restored_points", "brought back"),
        (decision.expired_points, "expired_points", "died of age"),
    ]
    .into_iter()
    .filter(|(points, ..)| *points != 0)
}

/// What a decision moved, as people read it.
pub(super) fn moved(decision: &Decision) -> Vec<String> {
    let shown = |(points, _, verb)| format!("{} {} {verb}", grouped(points), decision.wallet);
    let vouchers = decision.vouchers.iter().map(|note| {
        let name = if note.voucher.is_empty() { String::new() } else { format!("{} ", note.voucher) };
        format!("voucher {name}{} {}", note.voucher_code, event(note))
    });
    let elsewhere = decision.expired_in_other_wallets.iter();
    let elsewhere = elsewhere.map(|expired| format!("{} {} died of age", grouped(expired.points), expired.wallet));
    let cards = decision.stamps.iter().map(shown_card);
    movements(decision).map(shown).chain(elsewhere).chain(vouchers).chain(cards).collect()
}

/// What was counted on a stamp card, as people read it.
fn shown_card(outcome: &StampOutcome) -> String {
    let StampOutcome { name, counted, on_card, card_size, rewards } = outcome;
    let full = if *rewards > 0 { format!(", {} given for full ones", grouped(*rewards)) } else { String::new() };
    format!("{} for the card {name} ({} of {card_size}{full})", grouped(*counted), grouped(*on_card))
}

fn stamps_as_json(outcome: &StampOutcome) -> Value {
    json!({
        "name": outcome.name,
        "counted": outcome.counted,
        "on_card": outcome.on_card,
        "card_size": outcome.card_size,
        "rewards": outcome.rewards,
    })
}

/// What became of a voucher, in a word.
fn event(note: &VoucherNote) -> &'static str {
    match note.event() {
        VoucherEvent::Given => "given",
        VoucherEvent::Used => "used",
        VoucherEvent::GivenBack => "good again",
        VoucherEvent::Cancelled => "cancelled",
        VoucherEvent::Kept => "stays used",
        VoucherEvent::Unspecified => "changed",
    }
}

fn voucher_as_json(note: &VoucherNote) -> Value {
    json!({
        "voucher_code": note.voucher_code,
        "event": event(note),
        "voucher": note.voucher,
        "start_time": shown_time(note.start_time.as_ref()),
        "expire_time": shown_time(note.expire_time.as_ref()),
    })
}

/// A decision as scripts read it.
pub(super) fn as_json(decision: &Decision) -> Value {
    let mut value = json!({
        "replayed": decision.replayed,
        "wallet": decision.wallet,
        // Scripts find these whether or not anything moved.
        "released_points": 0,
        "restored_points": 0,
        "granted_points": 0,
        "reversed_points": 0,
        "redeemed_points": 0,
        "authorized_points": 0,
        "returned_points": 0,
        "remaining_points": decision.remaining_points,
        "balance_points": decision.balance_points,
        "position": decision.position,
        "posting_time": shown_time(decision.posting_time.as_ref()),
        "hold_expire_time": shown_time(decision.hold_expire_time.as_ref()),
    });
    for (points, key, _) in movements(decision) {
        value[key] = points.into();
    }
    if !decision.expired_in_other_wallets.is_empty() {
        let expired = decision.expired_in_other_wallets.iter();
        value["expired_in_other_wallets"] =
            expired.map(|expired| json!({ "wallet": expired.wallet, "points": expired.points })).collect();
    }
    if !decision.vouchers.is_empty() {
        value["vouchers"] = decision.vouchers.iter().map(voucher_as_json).collect();
    }
    if !decision.stamps.is_empty() {
        value["stamps"] = decision.stamps.iter().map(stamps_as_json).collect();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::wire::ExpiredPoints;

    #[test]
    fn what_died_in_another_wallet_is_shown_with_its_name() {
        let expired = |wallet: &str, points| ExpiredPoints { wallet: wallet.to_owned(), points };
        let decision = Decision {
            wallet: "points".to_owned(),
            expired_points: 5,
            expired_in_other_wallets: vec![expired("stars", 7_300)],
            ..Decision::default()
        };
        assert_eq!(moved(&decision), ["5 points died of age", "7,300 stars died of age"]);
        let value = as_json(&decision);
        assert_eq!(value["expired_points"], 5);
        assert_eq!(value["expired_in_other_wallets"], json!([{ "wallet": "stars", "points": 7_300 }]));
    }

    #[test]
    fn a_derived_id_is_the_same_again_and_fits() {
        assert_eq!(derived_id("release", "sale-17"), "release-sale-17");
        let long = "x".repeat(crate::limits::TRANSACTION_ID_BYTES_MAX);
        let id = derived_id("unexpire", &long);
        assert_eq!(id, derived_id("unexpire", &long));
        assert!(id.len() <= crate::limits::TRANSACTION_ID_BYTES_MAX);
        assert_ne!(id, derived_id("unexpire", &format!("{long}y")));
    }
}
