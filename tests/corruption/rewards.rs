//! Forgeries of redemptions, expiry, activities, segments and levels, and every hash recomputed.
//!
//! What must stay true: deciding again finds it, whatever the hashes say (invariant 7).

use std::sync::OnceLock;

use crate::first_finding;
use crate::support::edge::{Accrue, LineText};
use crate::support::forge::Forge;
use crate::support::{Ledger, NOON, NS_PER_DAY, NS_PER_SECOND, Setup, assert_intact, programs};
use tallystick::audit::verify::FindingClass;
use tallystick::journal::record::Entry;
use tallystick::ledger::command::{Activity, CommandKind, Enrolment, Loading, Redemption};
use tallystick::ledger::decision::{BonusAward, Decision, LotChange, LotKey, Movement, Outcome, Refusal, TotalsChange};
use tallystick::ledger::program::{BonusIndex, RuleIndex};
use tallystick::ledger::types::{SymbolId, TimestampNs, WalletId};
use tallystick::store::memory::MemoryStore;

const REWARDS: &str = r#"
[[rules]]
name = "staff"
multiplier = "2"
stacking = "add"
when = { segments = ["staff"] }

[[bonuses]]
name = "review"
units = 5
on = { activity = "review" }
limit = { times = 1, per = "day" }

[tiers]
metric = "spent"

[[tiers.levels]]
name = "silver"
threshold = 2_000
multiplier = "1.5"
"#;

/// The journal that every row forges: a member with lots of two days, of which one dies.
fn original() -> MemoryStore {
    static STORE: OnceLock<MemoryStore> = OnceLock::new();
    STORE.get_or_init(make_original).stop_cleanly()
}

fn make_original() -> MemoryStore {
    // Where the clock is the input, nothing is posted but what is asked.
    let setup = Setup { clock_is_input: true, ..Setup::default() };
    let (ledger, store) = Ledger::new(setup);
    let source = programs::program("", "expiry = { after_days = 1 }", &[programs::METRIC, REWARDS].concat());
    let ledger = ledger.with_program(&source);
    let edge = ledger.edge();
    let number = |text: &str| edge.symbol(text).expect("there is room");
    let mut now = NOON;
    let mut index = 0;
    let mut next = |by_ns: i64| {
        (now.0, index) = (now.0 + by_ns, index + 1);
        ledger.clock.set(now);
        (now, format!("t-{index}"))
    };
    let mut accrue = |by_ns: i64, amount_minor: i64| {
        let (at, id) = next(by_ns);
        let lines = vec![LineText::of(amount_minor)];
        edge.accrue(&Accrue { lines, stamp: Some(at), ..Accrue::simple("m1", &id, 0) }).granted()
    };
    assert_eq!([accrue(1, 1_500), accrue(NS_PER_DAY, 1_000), accrue(1, 1_000)], [15, 10, 15]);
    let mut send = |by_ns: i64, kind: CommandKind| {
        let (_, id) = next(by_ns);
        edge.send("m1", &id, kind).decision
    };
    let review =
        |happened_at| CommandKind::Act(Activity { kind: number("review"), happened_at, channel: SymbolId::EMPTY });
    let redeem = |units| CommandKind::Redeem(Redemption { wallet: WalletId(0), units, reward: None });
    let segment = number("staff");
    let at = TimestampNs(NOON.0 + NS_PER_DAY);
    assert_eq!((send(1, review(at)).granted, send(1, review(at)).granted), (5, 0));
    assert_eq!(send(1, CommandKind::Enrol(Enrolment { joins: vec![segment], ..Enrolment::default() })).refusal(), None);
    let key = LotKey {
        wallet: WalletId(0),
        issuer: number("south"),
        funding_rate_bps: 0,
        available_from_minute: 0,
        inactive_days: 0,
        expires_at: LotKey::NEVER,
    };
    assert_eq!(send(1, CommandKind::Load(Loading { lots: vec![(key, 100)] })).granted, 100);
    assert_eq!(send(1, redeem(20)).effects.lots.len(), 2, "of two lots");
    assert_eq!(send(1, redeem(1_000)).refusal(), Some(Refusal::InsufficientBalance));
    // The next day the rest of the lots is dead.
    assert_eq!(send(3 * NS_PER_DAY, redeem(10)).effects.lots.len(), 2, "an expiry and a burn");
    let mut accrue = |by_ns: i64, amount_minor: i64| {
        let (at, id) = next(by_ns);
        let lines = vec![LineText::of(amount_minor)];
        edge.accrue(&Accrue { lines, stamp: Some(at), ..Accrue::simple("m1", &id, 0) }).decision.stacked.len()
    };
    assert_eq!(accrue(NS_PER_SECOND, 1_000), 1, "the rule of the segment");
    let report = assert_intact(&store, ledger.stop().digest);
    assert!(report.intact);
    store
}

fn is_redemption(entry: &Entry) -> bool {
    matches!(entry.command.kind, CommandKind::Redeem(_)) && entry.decision.refusal().is_none()
}

fn is_first_redemption(entry: &Entry) -> bool {
    is_redemption(entry) && entry.decision.effects.lots.iter().all(|change| change.movement == Movement::Burn)
}

fn has_expiry(entry: &Entry) -> bool {
    entry.decision.effects.lots.iter().any(|change| change.movement == Movement::Expire)
}

fn is_activity(entry: &Entry) -> bool {
    matches!(entry.command.kind, CommandKind::Act(_))
}

/// What is forged, of which entry, and what is said.
type Row = (&'static str, fn(&Entry) -> bool, fn(&mut Entry), &'static str);

const LOTS: &str = "the lots are not what they should be";
const EFFECTS: &str = "its effects are not what they should be";

const ROWS: [Row; 14] = [
    ("less is burned than was redeemed", is_first_redemption, |entry| entry.decision.effects.lots[1].delta += 1, LOTS),
    (
        "another lot is burned",
        is_first_redemption,
        |entry| {
            let lots = &mut entry.decision.effects.lots;
            (lots[0].delta, lots[1].delta) = (lots[0].delta + 1, lots[1].delta - 1);
        },
        LOTS,
    ),
    (
        "what is burned is said to have died",
        is_first_redemption,
        |entry| entry.decision.effects.lots[0].movement = Movement::Expire,
        LOTS,
    ),
    (
        "more is taken from the member than was asked",
        is_first_redemption,
        |entry| {
            entry.decision.effects.lots[0].delta -= 1;
            entry.decision.balance_after -= 1;
        },
        "the balance is recorded as",
    ),
    (
        "a redemption is refused that was granted",
        is_first_redemption,
        |entry| {
            entry.decision = Decision {
                outcome: Outcome::Refused(Refusal::InsufficientBalance),
                account_known: true,
                program: entry.decision.program,
                balance_after: entry.decision.balance_after + 20,
                ..Decision::default()
            };
            entry.decision.effects.totals = TotalsChange::of_refused_redemption();
        },
        "the outcome is recorded as",
    ),
    (
        "a living lot dies",
        |entry| matches!(entry.command.kind, CommandKind::Load(_)),
        |entry| {
            let key = LotKey {
                issuer: entry.command.partner,
                expires_at: TimestampNs(NOON.0 + NS_PER_DAY * 5 / 2),
                ..entry.decision.effects.lots[0].key
            };
            entry.decision.effects.lots.insert(0, LotChange { key, delta: -3, movement: Movement::Expire });
        },
        LOTS,
    ),
    (
        "what has died is not posted",
        has_expiry,
        |entry| {
            entry.decision.effects.lots.remove(0);
        },
        LOTS,
    ),
    (
        "a bonus is granted that was not earned",
        |entry| is_activity(entry) && entry.decision.granted == 0,
        |entry| {
            let key = LotKey {
                wallet: WalletId(0),
                issuer: entry.command.partner,
                funding_rate_bps: 0,
                available_from_minute: 0,
                inactive_days: 0,
                expires_at: TimestampNs(NOON.0 + NS_PER_DAY * 5 / 2),
            };
            let decision = &mut entry.decision;
            decision.bonuses.push(BonusAward { bonus: BonusIndex(0), units: 5 });
            (decision.earned, decision.granted) = (5, 5);
            decision.balance_after += 5;
            decision.effects.lots.push(LotChange { key, delta: 5, movement: Movement::Grant });
        },
        "what is granted is recorded as 5, and should be 0",
    ),
    (
        "a bonus is another",
        |entry| is_activity(entry) && entry.decision.granted > 0,
        |entry| entry.decision.bonuses[0].bonus = BonusIndex(7),
        "the bonuses are not what they should be",
    ),
    (
        "a bonus is not counted",
        |entry| is_activity(entry) && entry.decision.granted > 0,
        |entry| entry.decision.effects.counters.clear(),
        "the counters are not what they should be",
    ),
    (
        "a level is another",
        |entry| entry.decision.tier.is_some_and(|standing| standing.level == 1),
        |entry| {
            let standing = entry.decision.tier.as_mut().expect("it has one");
            standing.level = 0;
        },
        "the levels are not what they should be",
    ),
    (
        "a segment is not joined",
        |entry| matches!(entry.command.kind, CommandKind::Enrol(_)),
        |entry| entry.decision.effects.segments.clear(),
        EFFECTS,
    ),
    (
        "an opening balance is larger than what was asked",
        |entry| matches!(entry.command.kind, CommandKind::Load(_)),
        |entry| entry.decision.effects.lots[0].delta += 1,
        LOTS,
    ),
    (
        "another rule went beside",
        |entry| !entry.decision.stacked.is_empty(),
        |entry| entry.decision.stacked[0].1 = RuleIndex(9),
        EFFECTS,
    ),
];

#[test]
fn a_forged_reward_or_redemption_is_found_by_deciding_again() {
    for (name, fits, change, says) in ROWS {
        let store = original();
        let mut forge = Forge::open(&store);
        let position = forge.alter(fits, change);
        forge.write(&store);
        let found = first_finding(&store, name);
        assert_eq!((found.class, found.position), (FindingClass::Decision, position), "{name}: {found}");
        assert!(found.sentence.contains(says), "{name}: {found}");
    }
}

/// What is forged and of which entry.
type Altered = (&'static str, fn(&Entry) -> bool, fn(&mut Entry));

/// A command that is altered together with its decision is another history: it is found where what follows from it is
/// not what was recorded.
#[test]
fn a_command_that_is_altered_with_its_decision_is_found_by_what_follows() {
    let rows: [Altered; 3] = [
        ("a redemption of a unit less", is_first_redemption, |entry| {
            entry.command.kind = CommandKind::Redeem(Redemption { wallet: WalletId(0), units: 19, reward: None });
            let decision = &mut entry.decision;
            (decision.granted, decision.balance_after) = (-19, decision.balance_after + 1);
            decision.effects.lots[1].delta += 1;
        }),
        (
            "a segment that was not asked for",
            |entry| matches!(entry.command.kind, CommandKind::Enrol(_)),
            |entry| {
                entry.command.kind = CommandKind::Enrol(Enrolment::default());
                entry.decision.effects.segments.clear();
            },
        ),
        (
            "an opening balance of a unit more",
            |entry| matches!(entry.command.kind, CommandKind::Load(_)),
            |entry| {
                let CommandKind::Load(loading) = &mut entry.command.kind else { unreachable!("it is one") };
                loading.lots[0].1 += 1;
                let decision = &mut entry.decision;
                decision.effects.lots[0].delta += 1;
                (decision.earned, decision.granted) = (decision.earned + 1, decision.granted + 1);
                decision.balance_after += 1;
            },
        ),
    ];
    for (name, fits, change) in rows {
        let store = original();
        let mut forge = Forge::open(&store);
        let position = forge.alter(fits, change);
        forge.write(&store);
        let found = first_finding(&store, name);
        assert!(found.position > position && found.class == FindingClass::Decision, "{name}: {found}");
    }
}
