//! What an account has beside its points: stamp cards and vouchers.
//!
//! What must stay true: a desk whose key may not read accounts is told nothing of them, and of its balances no less than
//! before.

use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::cli::client::{Clients, Server, call, shown_time};
use crate::cli::error::CliError;
use crate::cli::output::{Output, grouped};
use crate::service::wire::account_voucher::Worth;
use crate::service::wire::{AccountStamps, AccountVoucher, GetAccountRequest, GetAccountResponse, VoucherState};

/// Reads an account for what is on its cards and for its vouchers; `None` where the caller may not.
pub(super) async fn read(
    server: &Server,
    clients: &mut Clients,
    account_id: &str,
) -> Result<Option<GetAccountResponse>, CliError> {
    let request = GetAccountRequest { account_id: account_id.to_owned(), ..<_>::default() };
    match clients.account.get_account(call(request)).await {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) if is_withheld(&status) => Ok(None),
        Err(status) => Err(server.failure("the account", &status)),
    }
}

/// Whether a caller may not see an account, or the server knows no such call.
fn is_withheld(status: &Status) -> bool {
    matches!(status.code(), Code::PermissionDenied | Code::NotFound | Code::Unimplemented)
}

/// Says what is on the cards, and which vouchers there are.
pub(super) fn say(account: &GetAccountResponse, out: &Output) -> Result<(), CliError> {
    for AccountStamps { name, on_card, card_size } in &account.stamps {
        out.line(format_args!("card {name}: {} of {card_size} stamps", grouped(*on_card)))?;
    }
    for voucher in &account.vouchers {
        out.line(shown(voucher))?;
    }
    Ok(())
}

/// A voucher in one line: which, what it is worth, and whether it can be used.
fn shown(voucher: &AccountVoucher) -> String {
    let worth = match &voucher.worth {
        Some(Worth::ValueMinor(minor)) => format!("{} off", grouped(*minor)),
        Some(Worth::PercentBps(bps)) if bps % 100 == 0 => format!("{} % off", bps / 100),
        Some(Worth::PercentBps(bps)) => format!("{}.{:02} % off", bps / 100, bps % 100),
        Some(Worth::Text(text)) => text.clone(),
        None => "what the programme no longer says".to_owned(),
    };
    let basket = match voucher.basket_minor_min {
        0 => String::new(),
        minor => format!(", for baskets of {} or more", grouped(minor)),
    };
    let start = shown_time(voucher.start_time.as_ref()).map_or(String::new(), |time| format!(" from {time}"));
    let end = shown_time(voucher.expire_time.as_ref()).map_or(String::new(), |time| format!(" until {time}"));
    let state = match voucher.state() {
        VoucherState::Open => format!("good{start}{end}"),
        VoucherState::Expired => format!("its time is over: it was good{end}"),
        VoucherState::Used | VoucherState::Cancelled | VoucherState::Unspecified => state_name(voucher),
    };
    format!("voucher {} {}: {worth}{basket}; {state}", voucher.voucher, voucher.voucher_code)
}

fn state_name(voucher: &AccountVoucher) -> String {
    let name = voucher.state().as_str_name();
    name.strip_prefix("VOUCHER_STATE_").unwrap_or(name).to_ascii_lowercase()
}

/// The cards, as JSON.
pub(super) fn stamps_json(account: &GetAccountResponse) -> Value {
    let card = |stamps: &AccountStamps| {
        let AccountStamps { name, on_card, card_size } = stamps;
        json!({ "name": name, "on_card": on_card, "card_size": card_size })
    };
    account.stamps.iter().map(card).collect()
}

/// The vouchers, as JSON.
pub(super) fn vouchers_json(account: &GetAccountResponse) -> Value {
    let one = |voucher: &AccountVoucher| {
        let mut value = json!({
            "voucher_code": voucher.voucher_code,
            "voucher": voucher.voucher,
            "state": state_name(voucher),
            "start_time": shown_time(voucher.start_time.as_ref()),
            "expire_time": shown_time(voucher.expire_time.as_ref()),
            "basket_minor_min": voucher.basket_minor_min,
        });
        match &voucher.worth {
            Some(Worth::ValueMinor(minor)) => value["value_minor"] = json!(minor),
            Some(Worth::PercentBps(bps)) => value["percent_bps"] = json!(bps),
            Some(Worth::Text(text)) => value["text"] = json!(text),
            None => {}
        }
        value
    };
    account.vouchers.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voucher_is_said_with_what_it_is_worth_and_whether_it_is_good() {
        let voucher = |worth, state: VoucherState, basket_minor_min| AccountVoucher {
            voucher_code: "7K3M9QX2B5DFG8HJ".to_owned(),
            voucher: "five-off".to_owned(),
            state: state.into(),
            expire_time: Some(prost_types::Timestamp { seconds: 1_767_261_600, nanos: 0 }),
            basket_minor_min,
            worth,
            ..<_>::default()
        };
        let rows = [
            (voucher(Some(Worth::ValueMinor(500)), VoucherState::Open, 0), "500 off; good until 2026-01-01T10:00:00Z"),
            (
                voucher(Some(Worth::PercentBps(1_250)), VoucherState::Used, 2_000),
                "12.50 % off, for baskets of 2,000 or more; used",
            ),
            (voucher(Some(Worth::PercentBps(1_000)), VoucherState::Cancelled, 0), "10 % off; cancelled"),
            (
                voucher(Some(Worth::Text("a coffee".to_owned())), VoucherState::Expired, 0),
                "a coffee; its time is over: it was good until 2026-01-01T10:00:00Z",
            ),
            (voucher(None, VoucherState::Used, 0), "what the programme no longer says; used"),
        ];
        for (voucher, said) in rows {
            assert_eq!(shown(&voucher), format!("voucher five-off 7K3M9QX2B5DFG8HJ: {said}"));
        }
    }

    #[test]
    fn who_may_not_read_accounts_is_told_nothing_and_fails_in_nothing() {
        for (code, is_silent) in [
            (Code::PermissionDenied, true),
            (Code::NotFound, true),
            (Code::Unimplemented, true),
            (Code::Unavailable, false),
            (Code::Unauthenticated, false),
        ] {
            assert_eq!(is_withheld(&Status::new(code, "")), is_silent, "{code:?}");
        }
    }
}
