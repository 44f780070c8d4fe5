//! One of every kind of record and entity that came after the first format: redemptions, activities, enrolments,
//! opening balances, expiry, and the parts that follow the ordinary content of a record.
//!
//! What must stay true: a sample never changes, for its bytes are kept.

use crate::samples::{counter, full_accrual, lot_change, lot_key, minimal_accrual, one_line_accrual, reversal_of};
use crate::support::{NOON, NS_PER_DAY, NS_PER_SECOND};
use tallystick::journal::record::{Entry, PreviousRecord, Record};
use tallystick::ledger::account::{Account, Lot, Profile, Totals, WalletTotals};
use tallystick::ledger::command::{Activity, Command, CommandKind, Enrolment, Loading, Redemption};
use tallystick::ledger::decision::{
    BonusAward, Clip, Decision, Effects, LotChange, LotKey, Movement, Outcome, Refusal, TierStanding, TotalsChange,
};
use tallystick::ledger::packed::Packed;
use tallystick::ledger::partner::PartnerAccount;
use tallystick::ledger::program::{BonusIndex, RuleIndex};
use tallystick::ledger::types::{
    AccountNumber, Position, ProgramVersion, Seq, ShardId, SymbolId, TimestampNs, WalletId,
};
use tallystick::snapshot::entity::Entity;

/// A lot that dies so many days after noon of the samples' day, of the issuer.
pub fn mortal(issuer: u32, days: i64) -> LotKey {
    LotKey { issuer: SymbolId(issuer), expires_at: TimestampNs(NOON.0 + days * NS_PER_DAY), ..lot_key() }
}

pub fn change(key: LotKey, delta: i64, movement: Movement) -> LotChange {
    LotChange { key, delta, movement }
}

pub fn entry(kind: CommandKind, decision: Decision) -> Entry {
    Entry {
        previous: PreviousRecord::At(Position(1_000_000_020)),
        account: AccountNumber(11_718),
        posted_at: NOON,
        command: Command {
            account_id: String::new(),
            transaction_id: "018f3c5e-7a10-7000-8000-0000000005d2".into(),
            partner: SymbolId(2),
            kind,
            ..Command::default()
        },
        decision: Decision { account_known: true, program: ProgramVersion(12), ..decision },
    }
}

fn refused(refusal: Refusal) -> Decision {
    Decision { outcome: Outcome::Refused(refusal), balance_after: 70, ..Decision::default() }
}

/// Burned from these lots by a partner that receives so much for each unit.
pub fn rated_redemption(lots: Vec<LotChange>, redemption_rate_bps: u32) -> Entry {
    let units = -lots.iter().map(|lot| lot.delta).sum::<i64>();
    let decision = Decision {
        wallet: WalletId(1),
        granted: -units,
        effects: Effects { lots, redemption_rate_bps, ..Effects::default() },
        balance_after: 12,
        ..Decision::default()
    };
    entry(CommandKind::Redeem(Redemption { wallet: WalletId(1), units, reward: None }), decision)
}

/// Burned from three lots, beside one that has died.
fn redemption() -> Entry {
    let decision = Decision {
        wallet: WalletId(1),
        granted: -90,
        effects: Effects {
            lots: vec![
                change(mortal(3, -1), -7, Movement::Expire),
                change(mortal(3, 1), -20, Movement::Burn),
                change(mortal(2, 30), -40, Movement::Burn),
                change(lot_key(), -30, Movement::Burn),
            ],
            ..Effects::default()
        },
        balance_after: 1_234,
        ..Decision::default()
    };
    entry(CommandKind::Redeem(Redemption { wallet: WalletId(1), units: 90, reward: None }), decision)
}

fn refused_redemption() -> Entry {
    let totals = TotalsChange::of_refused_redemption();
    let effects = Effects { totals, ..Effects::default() };
    let decision = Decision { effects, ..refused(Refusal::InsufficientBalance) };
    entry(CommandKind::Redeem(Redemption { wallet: WalletId(0), units: 71, reward: None }), decision)
}

fn activity_command() -> CommandKind {
    let happened_at = TimestampNs(NOON.0 - 3_600 * NS_PER_SECOND);
    CommandKind::Act(Activity { kind: SymbolId(6), happened_at, channel: SymbolId(15) })
}

/// Two bonuses, a level and a clip; opens its account.
fn activity() -> Entry {
    let decision = Decision {
        tier: Some(TierStanding { level: 2, qualifying: 60_000 }),
        bonuses: vec![
            BonusAward { bonus: BonusIndex(0), units: 25 },
            BonusAward { bonus: BonusIndex(300), units: 1_000 },
        ],
        earned: 1_025,
        granted: 500,
        clips: vec![Clip { source: SymbolId(7), is_budget: false, units: 525 }],
        effects: Effects {
            opens_account: true,
            lots: vec![lot_change(mortal(2, 60), 500)],
            counters: vec![counter(7, 17_226, 500, 17_258), counter(6, 0, 1, i32::MAX)],
            ..Effects::default()
        },
        balance_after: 500,
        ..Decision::default()
    };
    let totals = TotalsChange::of_activity(&decision.clips);
    let mut entry = entry(activity_command(), Decision { effects: Effects { totals, ..decision.effects }, ..decision });
    (entry.previous, entry.command.account_id) = (PreviousRecord::None, "member-9".into());
    entry
}

/// An activity that earns nothing.
fn idle_activity() -> Entry {
    let kind = CommandKind::Act(Activity { kind: SymbolId(6), happened_at: NOON, channel: SymbolId::EMPTY });
    entry(kind, Decision { balance_after: 500, ..Decision::default() })
}

fn enrolment_command() -> CommandKind {
    CommandKind::Enrol(Enrolment {
        joins: vec![SymbolId(6), SymbolId(300)],
        leaves: vec![SymbolId(8)],
        ..Enrolment::default()
    })
}

/// Opens its account; of what it asks one thing is so already.
pub fn enrolment() -> Entry {
    let effects = Effects {
        opens_account: true,
        segments: vec![(SymbolId(6), true), (SymbolId(300), true)],
        ..Effects::default()
    };
    let mut entry = entry(enrolment_command(), Decision { effects, ..Decision::default() });
    (entry.previous, entry.command.account_id) = (PreviousRecord::None, "member-10".into());
    entry
}

/// Leaves a segment; a lot that has died is posted with it.
fn leaving() -> Entry {
    let effects = Effects {
        segments: vec![(SymbolId(8), false)],
        lots: vec![change(mortal(2, 0), -3, Movement::Expire)],
        ..Effects::default()
    };
    let kind = CommandKind::Enrol(Enrolment { joins: vec![], leaves: vec![SymbolId(8)], ..Enrolment::default() });
    entry(kind, Decision { effects, balance_after: 7, ..Decision::default() })
}

fn loading_command() -> Loading {
    Loading { lots: vec![(lot_key(), 1_200), (mortal(3, 30), 34)] }
}

fn loading() -> Entry {
    let loading = loading_command();
    let lots = loading.lots.iter().map(|(key, units)| lot_change(*key, *units)).collect();
    let mut entry = entry(
        CommandKind::Load(loading),
        Decision {
            earned: 1_234,
            granted: 1_234,
            effects: Effects { opens_account: true, lots, ..Effects::default() },
            balance_after: 1_234,
            ..Decision::default()
        },
    );
    (entry.previous, entry.command.account_id) = (PreviousRecord::None, "11".into());
    entry
}

fn expiry() -> Entry {
    let lots = vec![change(mortal(2, 0), -3, Movement::Expire), change(mortal(3, -1), -7, Movement::Expire)];
    let effects = Effects { lots, ..Effects::default() };
    let mut entry = entry(CommandKind::Expire, Decision { effects, balance_after: 12, ..Decision::default() });
    entry.command.transaction_id = String::new();
    entry.command.partner = SymbolId::EMPTY;
    entry
}

/// An accrual with every part that can follow.
fn accrual_with_all_parts() -> Entry {
    let mut entry = full_accrual();
    let CommandKind::Accrue(basket) = &mut entry.command.kind else { unreachable!("it is an accrual") };
    (basket.channel, basket.payment_method) = (SymbolId(14), SymbolId(15));
    let decision = &mut entry.decision;
    decision.tier = Some(TierStanding { level: 1, qualifying: 33_000 });
    decision.stacked = vec![(0, RuleIndex(1)), (0, RuleIndex(4)), (2, RuleIndex(130))];
    decision.bonuses = vec![BonusAward { bonus: BonusIndex(5), units: 100 }];
    decision.effects.opens_account = false;
    decision.effects.lots =
        vec![change(mortal(2, -2), -8, Movement::Expire), lot_change(mortal(2, 60), decision.granted)];
    entry.previous = PreviousRecord::Back(3);
    entry.command.account_id = String::new();
    entry
}

/// A reversal of an accrual of whose units some are spent: they are taken from other lots.
fn reversal_of_spent_units() -> Entry {
    let mut entry = reversal_of(&one_line_accrual());
    let lots = &mut entry.decision.effects.lots;
    *lots = vec![
        change(mortal(3, 1), -2, Movement::Expire),
        change(lot_key(), -100, Movement::Reverse),
        change(mortal(3, 90), -50, Movement::Reverse),
    ];
    entry
}

/// A reversal of an accrual whose units have died: none are taken.
fn reversal_of_dead_units() -> Entry {
    let mut entry = reversal_of(&minimal_accrual());
    let CommandKind::Reverse(reversal) = &mut entry.command.kind else { unreachable!("it is a reversal") };
    (reversal.original.lot, reversal.original.units) = (Some(mortal(2, -1)), 40);
    entry.decision.granted = 0;
    entry.decision.effects.gone = 40;
    entry.decision.effects.lots.clear();
    entry
}

pub fn records() -> Vec<(&'static str, Record)> {
    let record = |entry: Entry| Record::Entry(Box::new(entry));
    let full = refused(Refusal::AccountLimitReached);
    let above = refused(Refusal::BalanceLimitExceeded);
    vec![
        ("record-redemption", record(redemption())),
        ("record-redemption-refused", record(refused_redemption())),
        ("record-activity-full", record(activity())),
        ("record-activity-minimal", record(idle_activity())),
        ("record-activity-refused", record(entry(activity_command(), above.clone()))),
        ("record-enrolment", record(enrolment())),
        ("record-enrolment-leaving", record(leaving())),
        ("record-enrolment-refused", record(entry(enrolment_command(), full))),
        ("record-loading", record(loading())),
        ("record-loading-refused", record(entry(CommandKind::Load(loading_command()), above))),
        ("record-expiry", record(expiry())),
        ("record-accrual-parts", record(accrual_with_all_parts())),
        ("record-reversal-spent", record(reversal_of_spent_units())),
        ("record-reversal-dead", record(reversal_of_dead_units())),
    ]
}

/// What the first format of entities cannot say.
pub fn entities() -> Vec<(&'static str, Entity)> {
    let account = Account {
        id: "member-9".into(),
        seq: Seq(81),
        position: Some(Position(1_000_000_021)),
        opened_at: NOON,
        lots: vec![Lot { key: mortal(2, 60), remaining: 410 }],
        totals: Totals { baskets: 3, refused_redemptions: 2, ..Totals::default() },
        wallets: vec![
            WalletTotals { granted: 600, reversed: 15, redeemed: 160, expired: 15, ..WalletTotals::default() },
            WalletTotals { wallet: WalletId(1), granted: 7, expired: 7, ..WalletTotals::default() },
        ],
        profile: Some(Box::new(Profile { segments: vec![SymbolId(6), SymbolId(300)], ..Profile::default() })),
        ..Account::default()
    };
    let partner = PartnerAccount {
        balance: -1_234_567,
        issued: 1_300_000,
        reversed: 10_000,
        redeemed: 50_000,
        expired: 5_433,
        seq: Seq(81),
        ..PartnerAccount::default()
    };
    vec![
        ("entity-account-member", Entity::Account(ShardId(7), AccountNumber(11_720), Packed::new(&account))),
        ("entity-partner-burned", Entity::Partner(ShardId(7), SymbolId(2), WalletId(0), partner)),
    ]
}
