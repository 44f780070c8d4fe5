//! One of every record about what partners set aside, and an account of which something is.

use crate::movements::{change, entry, mortal};
use crate::samples::lot_key;
use crate::support::{NOON, NS_PER_DAY, NS_PER_SECOND};
use tallystick::journal::record::{Entry, Record};
use tallystick::ledger::account::{Account, Lot, Profile, WalletTotals};
use tallystick::ledger::authorization::{Authorization, AuthorizationChange, AuthorizationChanges};
use tallystick::ledger::command::{AuthorizationOf, Capture, CommandKind, SettingAside};
use tallystick::ledger::decision::{Decision, Effects, LotChange, Movement, Outcome, Refusal, TotalsChange};
use tallystick::ledger::held::HeldName;
use tallystick::ledger::packed::Packed;
use tallystick::ledger::types::{AccountNumber, Position, Seq, ShardId, SymbolId, TimestampNs, WalletId};
use tallystick::snapshot::entity::Entity;

const AUTHORIZATION: &str = "018f3c5e-7a10-7000-8000-0000000005d1";

fn name(partner: u32, transaction_id: &str) -> HeldName {
    HeldName { partner: SymbolId(partner), transaction_id: transaction_id.into() }
}

fn of() -> AuthorizationOf {
    AuthorizationOf {
        transaction_id: AUTHORIZATION.into(),
        position: Position(1_000_000_001),
        wallet: WalletId(0),
        ends_at: TimestampNs(NOON.0 + 1_500 * NS_PER_SECOND),
    }
}

fn granted(lots: Vec<LotChange>, ended: Vec<HeldName>, own: Option<AuthorizationChange>) -> Decision {
    let authorizations = Some(Box::new(AuthorizationChanges { ended, own }));
    let effects = Effects { lots, authorizations, ..Effects::default() };
    Decision { wallet: WalletId(0), effects, balance_after: 1_234, ..Decision::default() }
}

fn refused(refusal: Refusal, totals: TotalsChange) -> Decision {
    let effects = Effects { totals, ..Effects::default() };
    Decision { outcome: Outcome::Refused(refusal), effects, balance_after: 70, ..Decision::default() }
}

/// Ninety units of two lots, for half an hour.
fn authorization() -> Entry {
    let asked = SettingAside { wallet: WalletId(0), units: 90, hold_seconds: Some(1_800) };
    let lots = vec![change(mortal(3, 1), -20, Movement::SetAside), change(lot_key(), -70, Movement::SetAside)];
    let mut entry = entry(CommandKind::Authorize(asked), Decision::default());
    let own = AuthorizationChange::Begins(
        name(2, &entry.command.transaction_id),
        TimestampNs(NOON.0 + 1_800 * NS_PER_SECOND),
    );
    let ended = vec![name(2, "tea"), name(3, "7")];
    let back = vec![change(mortal(3, -1), 5, Movement::GiveBack), change(mortal(3, -1), -5, Movement::Expire)];
    let decision = granted([back, lots].concat(), ended, Some(own));
    let (account_known, program) = (entry.decision.account_known, entry.decision.program);
    entry.decision = Decision { account_known, program, ..decision };
    entry
}

fn capture(is_final: bool) -> Entry {
    let asked = Capture { of: of(), units: 30, is_final };
    let mut lots = vec![
        change(mortal(3, 1), 20, Movement::GiveBack),
        change(mortal(3, 1), -20, Movement::Burn),
        change(lot_key(), 10, Movement::GiveBack),
        change(lot_key(), -10, Movement::Burn),
    ];
    if is_final {
        lots.push(change(lot_key(), 60, Movement::GiveBack));
    }
    let own = AuthorizationChange::Captures {
        name: name(2, AUTHORIZATION),
        units: 30,
        captured: 30,
        rest: 60,
        closes: is_final,
    };
    let decision = granted(lots, Vec::new(), Some(own));
    let effects = Effects { redemption_rate_bps: if is_final { 4_500 } else { 0 }, ..decision.effects };
    entry(CommandKind::Capture(asked), Decision { granted: -30, effects, ..decision })
}

fn void() -> Entry {
    let lots = vec![change(lot_key(), 60, Movement::GiveBack)];
    let own = AuthorizationChange::Voids { name: name(2, AUTHORIZATION), captured: 30, rest: 60 };
    entry(CommandKind::Void(of()), granted(lots, Vec::new(), Some(own)))
}

/// Posted by the ledger: an authorization whose time had run out, and one lot that had died meanwhile.
fn end() -> Entry {
    let lots = vec![
        change(mortal(3, -1), 20, Movement::GiveBack),
        change(mortal(3, -1), -20, Movement::Expire),
        change(lot_key(), 70, Movement::GiveBack),
    ];
    let mut entry = entry(CommandKind::Expire, granted(lots, vec![name(2, AUTHORIZATION)], None));
    entry.command.transaction_id = String::new();
    entry.command.partner = SymbolId::EMPTY;
    entry
}

pub fn records() -> Vec<(&'static str, Record)> {
    let record = |entry: Entry| Record::Entry(Box::new(entry));
    let asked = SettingAside { wallet: WalletId(0), units: 71, hold_seconds: None };
    let no_units = refused(Refusal::InsufficientBalance, TotalsChange::of_refused_redemption());
    let frozen = refused(Refusal::AccountFrozen, TotalsChange::default());
    let refused_capture = CommandKind::Capture(Capture { of: of(), units: 30, is_final: false });
    vec![
        ("record-authorization", record(authorization())),
        ("record-authorization-refused", record(entry(CommandKind::Authorize(asked), no_units))),
        ("record-capture", record(capture(false))),
        ("record-capture-final", record(capture(true))),
        ("record-capture-refused", record(entry(refused_capture, frozen))),
        ("record-void", record(void())),
        ("record-expiry-authorization", record(end())),
    ]
}

pub fn entities() -> Vec<(&'static str, Entity)> {
    let authorization = |transaction_id: &str, captured, lots| Authorization {
        partner: SymbolId(2),
        transaction_id: transaction_id.into(),
        wallet: WalletId(0),
        ends_at: TimestampNs(NOON.0 + NS_PER_DAY),
        captured,
        lots,
    };
    let authorizations = vec![
        authorization(AUTHORIZATION, 30, vec![(lot_key(), 60)]),
        authorization("tea", 0, vec![(mortal(3, 1), 20), (lot_key(), 70)]),
    ];
    let account = Account {
        id: "member-9".into(),
        seq: Seq(81),
        position: Some(Position(1_000_000_003)),
        opened_at: NOON,
        lots: vec![Lot { key: lot_key(), remaining: 190 }],
        wallets: vec![WalletTotals { wallet: WalletId(0), granted: 370, redeemed: 30, ..WalletTotals::default() }],
        profile: Some(Box::new(Profile { authorizations, ..Profile::default() })),
        ..Account::default()
    };
    let account = Entity::Account(ShardId(7), AccountNumber(11_718), Packed::new(&account));
    vec![("entity-account-authorizations", account)]
}
