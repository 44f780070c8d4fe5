//! Any record of the kinds that came after the first format, with any of its parts, comes back as it was.
//!
//! What must stay true: what a record derives from the rest (totals, what is granted) is derived here as the ledger does.

use proptest::prelude::*;

use crate::returns::any_return;
use crate::samples::{accrual_over_velocity, dictionary, encode, full_accrual, minimal_accrual, one_line_accrual};
use crate::support::NOON;
use crate::unburns::{any_reward, any_unburn, of_stock};
use tallystick::journal::record::{Entry, PreviousRecord, Record, decode};
use tallystick::ledger::authorization::{AuthorizationChange, AuthorizationChanges};
use tallystick::ledger::command::{
    Activity, AuthorizationOf, Capture, Command, CommandKind, Enrolment, Granted, Loading, Redemption, SettingAside,
};
use tallystick::ledger::decision::{
    BonusAward, CellUse, CounterChange, Decision, LotChange, LotKey, Movement, Outcome, Refusal, TierStanding,
    TotalsChange,
};
use tallystick::ledger::held::{HeldChange, HeldName};
use tallystick::ledger::money::{Refund, TopUp};
use tallystick::ledger::operator::{Adjustment, HeldOriginal, Operation, OperatorOrder, Remark, Restoration};
use tallystick::ledger::program::{BonusIndex, RuleIndex};
use tallystick::ledger::types::{
    AccountNumber, Day, MemberKey, MonthDay, Position, ProgramVersion, SymbolId, TimestampNs, WalletId,
};
use tallystick::ledger::voucher::VoucherCode;
use tallystick::limits::UNITS_MAX;

fn any_key() -> impl Strategy<Value = LotKey> {
    let expires_at = prop_oneof![Just(i64::MAX), any::<i64>()];
    let minute = prop_oneof![Just(0), any::<u32>()];
    let days = prop_oneof![Just(0), Just(LotKey::AS_IN_FORCE), any::<u16>()];
    (0..32_u8, any::<u32>(), any::<u32>(), minute, days, expires_at).prop_map(
        |(wallet, issuer, funding_rate_bps, available_from_minute, inactive_days, expires_at)| LotKey {
            wallet: WalletId(wallet),
            issuer: SymbolId(issuer),
            funding_rate_bps,
            available_from_minute,
            inactive_days,
            expires_at: TimestampNs(expires_at),
        },
    )
}

/// What is taken: never a grant, which the ordinary content names.
fn any_takings() -> impl Strategy<Value = Vec<LotChange>> {
    let movement = prop_oneof![Just(Movement::Burn), Just(Movement::Expire), Just(Movement::Reverse)];
    let taking = (any_key(), 1..=UNITS_MAX, movement);
    prop::collection::vec(taking.prop_map(|(key, units, movement)| LotChange { key, delta: -units, movement }), 0..5)
}

fn any_symbols() -> impl Strategy<Value = Vec<SymbolId>> {
    prop::collection::btree_set(any::<u32>(), 0..6).prop_map(|numbers| numbers.into_iter().map(SymbolId).collect())
}

fn any_kind() -> impl Strategy<Value = CommandKind> {
    let units = 1..=UNITS_MAX;
    let redemption =
        (any::<u8>(), units.clone(), prop::option::of(any_reward())).prop_map(|(wallet, units, reward)| {
            CommandKind::Redeem(Redemption { wallet: WalletId(wallet), units, reward })
        });
    let activity = (any::<u32>(), any::<i64>(), any::<u32>()).prop_map(|(kind, happened_at, channel)| {
        let happened_at = TimestampNs(happened_at);
        CommandKind::Act(Activity { kind: SymbolId(kind), happened_at, channel: SymbolId(channel) })
    });
    let birthday = prop::option::of(prop::option::of((1..=12_u8, 1..=28_u8)));
    let enrolment = (any_symbols(), any_symbols(), birthday).prop_map(|(joins, leaves, birthday)| {
        let birthday = birthday.map(|birthday| birthday.map(|(month, day)| MonthDay { month, day }));
        CommandKind::Enrol(Enrolment { joins, leaves, birthday })
    });
    let lots = prop::collection::btree_map(any_key(), units, 1..5);
    let loading = lots.prop_map(|lots| CommandKind::Load(Loading { lots: lots.into_iter().collect() }));
    let all = [redemption.boxed(), activity.boxed(), enrolment.boxed(), loading.boxed(), any_operation().boxed()];
    let [redemption, activity, enrolment, loading, operation] = all;
    prop_oneof![
        redemption,
        activity,
        enrolment,
        loading,
        operation,
        any_about_authorization(),
        any_unburn(any_key()),
        any_about_money(),
        Just(CommandKind::Expire)
    ]
}

fn any_about_authorization() -> impl Strategy<Value = CommandKind> {
    let units = 1..=UNITS_MAX;
    let of =
        ("[a-z0-9-]{1,64}", any::<u64>(), any::<u8>(), any::<i64>()).prop_map(|(id, position, wallet, ends_at)| {
            let (position, wallet, ends_at) = (Position(position), WalletId(wallet), TimestampNs(ends_at));
            AuthorizationOf { transaction_id: id.into(), position, wallet, ends_at }
        });
    let seconds = prop::option::of(1..=2_592_000_u32);
    let authorize = (any::<u8>(), units.clone(), seconds).prop_map(|(wallet, units, hold_seconds)| {
        CommandKind::Authorize(SettingAside { wallet: WalletId(wallet), units, hold_seconds })
    });
    let capture = (of.clone(), units, any::<bool>())
        .prop_map(|(of, units, is_final)| CommandKind::Capture(Capture { of, units, is_final }));
    prop_oneof![authorize, capture, of.prop_map(CommandKind::Void)]
}

fn any_about_money() -> impl Strategy<Value = CommandKind> {
    let (units, source) = (1..=UNITS_MAX, "[a-z0-9 é-]{1,30}");
    let top_up = (any::<u8>(), units.clone(), source, any::<u32>(), any::<u32>()).prop_map(
        |(wallet, units, source, store, terminal)| {
            let (store, terminal) = (SymbolId(store), SymbolId(terminal));
            CommandKind::TopUp(TopUp { wallet: WalletId(wallet), units, source: source.into(), store, terminal })
        },
    );
    let earlier = prop::option::of((0..u64::MAX / 2).prop_map(Position));
    let left = prop::option::of(0..=UNITS_MAX);
    let refund = ("[a-z0-9-]{1,64}", any::<u64>(), earlier, units, left, any_key(), source).prop_map(
        |(id, position, earlier, units, left, lot, source)| {
            CommandKind::Refund(Box::new(Refund {
                original_transaction_id: id.into(),
                original_position: Position(position),
                earlier,
                is_rest: left.is_none(),
                units,
                left: left.unwrap_or(0),
                lot,
                source: source.into(),
            }))
        },
    );
    prop_oneof![top_up, refund]
}

/// What follows from such a command that was granted, some numbers beside.
fn decide_about_authorization(command: &Command, any: i64, decision: &mut Decision) {
    let name = |transaction_id: &str| HeldName { partner: command.partner, transaction_id: transaction_id.into() };
    let (captured, rest) = (any, any.rotate_left(7));
    let own = match &command.kind {
        CommandKind::Authorize(_) => Some(AuthorizationChange::Begins(name(&command.transaction_id), TimestampNs(any))),
        CommandKind::Capture(capture) => {
            decision.granted = -capture.units;
            let (name, units, closes) = (name(&capture.of.transaction_id), capture.units, any % 2 == 0);
            Some(AuthorizationChange::Captures { name, units, captured, rest, closes })
        }
        CommandKind::Void(of) => Some(AuthorizationChange::Voids { name: name(&of.transaction_id), captured, rest }),
        _ => None,
    };
    let ended = (0..any.rem_euclid(3)).map(|number| HeldName { transaction_id: number.to_string().into(), ..name("") });
    let ended: Vec<_> = ended.collect();
    if own.is_some() || !ended.is_empty() {
        decision.effects.authorizations = Some(Box::new(AuthorizationChanges { ended, own }));
    }
}

fn any_operation() -> impl Strategy<Value = CommandKind> {
    let units = 1..=UNITS_MAX;
    let lot = prop::option::of(any_key());
    let counters = prop::collection::vec((any::<u32>(), any::<bool>(), any::<i32>(), 1..=UNITS_MAX), 0..4);
    let member = 1..3_u64;
    let original = ("[a-z0-9-]{1,64}", any::<u64>(), units.clone(), lot, counters, member).prop_map(
        |(transaction_id, position, units, lot, counters, member)| {
            let counters = counters.into_iter().map(|(counter, is_members, period, delta)| CounterChange {
                counter: SymbolId(counter),
                member: if is_members { MemberKey(member) } else { MemberKey::NONE },
                period,
                delta,
                retain_until: Day(period),
            });
            let granted = Granted { units, lot, counters: counters.collect(), ..Granted::default() };
            HeldOriginal { transaction_id: transaction_id.into(), position: Position(position), granted }
        },
    );
    let lots = prop::collection::vec((any_key(), units.clone()), 1..5);
    let restoration = (any::<u64>(), any::<i64>(), lots).prop_map(|(expiry, expires_at, lots)| Restoration {
        expiry: Position(expiry),
        expires_at: TimestampNs(expires_at),
        lots,
    });
    let adjustment = (any::<u8>(), units, any::<bool>(), prop::option::of(any::<i64>().prop_map(TimestampNs)));
    let adjustment = adjustment.prop_map(|(wallet, units, takes, expires_at)| Adjustment {
        wallet: WalletId(wallet),
        units: if takes { -units } else { units },
        expires_at: expires_at.filter(|_| !takes),
    });
    let order = prop_oneof![
        (original, any::<bool>()).prop_map(|(mut original, is_release)| {
            if is_release {
                // It gives nothing back.
                original.granted.counters.clear();
                return OperatorOrder::Release(original);
            }
            OperatorOrder::Reject(original)
        }),
        restoration.prop_map(OperatorOrder::Restore),
        adjustment.prop_map(OperatorOrder::Adjust),
        any::<u32>().prop_map(|kind| OperatorOrder::IssueVoucher(SymbolId(kind))),
        any::<[u8; 10]>().prop_map(|code| OperatorOrder::CancelVoucher(VoucherCode(code)))
    ];
    let signed = prop_oneof![Just((String::new(), String::new())), ("key:[0-9a-f]{16}", "(key:[0-9a-f]{16})?")];
    let told = (order, "[a-z]{1,64}", ".{0,128}", ".{1,32}", signed);
    told.prop_map(|(order, reason_code, note, operator, (actor, confirmer))| {
        let (reason_code, note) = (reason_code.into(), note.into());
        let remark =
            Remark { reason_code, note, operator: operator.into(), actor: actor.into(), confirmer: confirmer.into() };
        CommandKind::Operate(Box::new(Operation { remark, order }))
    })
}

/// What follows from an operation that was granted.
fn decide_operation(order: &OperatorOrder, partner: SymbolId, decision: &mut Decision) {
    decision.effects.held = order.held().map(|original| {
        Box::new(HeldChange::Ends(HeldName { partner, transaction_id: original.transaction_id.clone() }))
    });
    match order {
        OperatorOrder::Reject(original) => {
            let returned = original.granted.counters.iter();
            decision.effects.counters =
                returned.map(|change| CounterChange { delta: -change.delta, ..*change }).collect();
            let lots = decision.effects.lots.iter();
            let taken = lots.filter(|lot| lot.movement == Movement::Reverse && lot.key.wallet == decision.wallet);
            decision.granted = taken.fold(0, |sum: i64, lot| sum.saturating_add(lot.delta));
            decision.effects.gone = original.granted.units.saturating_add(decision.granted).max(0);
            decision.effects.totals = TotalsChange::of_reversal();
        }
        OperatorOrder::Adjust(adjustment) => decision.granted = adjustment.units,
        OperatorOrder::Release(_) | OperatorOrder::Restore(_) => {}
        OperatorOrder::IssueVoucher(_) | OperatorOrder::CancelVoucher(_) => {}
    }
}

/// A decision about the command, as far as the record does not derive it.
fn decided(kind: &CommandKind, refusal: Option<Refusal>, segments: Vec<(SymbolId, bool)>) -> Decision {
    let mut decision = Decision { account_known: true, program: ProgramVersion(7), ..Decision::default() };
    let may_be_refused = match kind {
        CommandKind::Operate(operation) => {
            operation.order.held().is_none() && !matches!(operation.order, OperatorOrder::CancelVoucher(_))
        }
        other => !matches!(other, CommandKind::Void(_) | CommandKind::Expire),
    };
    let refusal = refusal.filter(|_| may_be_refused);
    decision.outcome = refusal.map_or(Outcome::Granted, Outcome::Refused);
    if let CommandKind::Refund(refund) = kind {
        decision.refundable = refund.left / 2;
    }
    match kind {
        CommandKind::Redeem(_) | CommandKind::Authorize(_) if refusal.is_some() => {
            decision.effects.totals = TotalsChange::of_refused_redemption();
        }
        _ if refusal.is_some() => {}
        CommandKind::Redeem(redemption) => {
            decision.granted = -redemption.units;
            let with_stock = redemption.reward.filter(|asked| asked.quantity % 2 == 0);
            decision.cells = with_stock.iter().map(|asked| of_stock(asked.reward, asked.quantity)).collect();
        }
        CommandKind::Unburn(unburn) => {
            decision.granted = unburn.units();
            decision.effects.redemption_rate_bps = unburn.redemption_rate_bps;
            // Now and then the account owed some of what came back dead.
            let excused = unburn.units() % 3;
            if excused > 0 {
                decision.effects.owed = Some((decision.wallet, -excused));
                decision.effects.gone = excused;
            }
            let back = unburn.reward.iter().flat_map(|back| &back.cells);
            decision.cells =
                back.map(|taken| CellUse { version: 11, room_before: 3, used: -taken.used, ..*taken }).collect();
        }
        CommandKind::TopUp(top_up) => decision.granted = top_up.units,
        CommandKind::Refund(refund) => {
            (decision.granted, decision.effects.totals) = (-refund.units, TotalsChange::of_reversal());
        }
        CommandKind::Enrol(enrolment) => {
            (decision.effects.segments, decision.effects.birthday) = (segments, enrolment.birthday);
        }
        CommandKind::Load(loading) => {
            let sum = loading.lots.iter().fold(0_i64, |sum, (_, units)| sum.saturating_add(*units));
            (decision.earned, decision.granted) = (sum, sum);
        }
        _ => {}
    }
    decision
}

/// Names a member where a command can; now and then nobody.
fn named(command: Command, any: i64) -> Command {
    let can = matches!(command.kind, CommandKind::Redeem(_) | CommandKind::Authorize(_) | CommandKind::Act(_));
    let member = if can { MemberKey(any.unsigned_abs() % 3) } else { MemberKey::NONE };
    Command { member, ..command }
}

fn any_later_entry() -> impl Strategy<Value = Entry> {
    let refusal = prop_oneof![
        Just(None),
        Just(Some(Refusal::InsufficientBalance)),
        Just(Some(Refusal::AccountLimitReached)),
        Just(Some(Refusal::BalanceLimitExceeded))
    ];
    let segments = prop::collection::vec((any::<u32>().prop_map(SymbolId), any::<bool>()), 0..5);
    let id = "[a-z0-9-]{1,64}";
    let over = prop::option::of((any::<u32>(), 1..=UNITS_MAX));
    (any_kind(), refusal, segments, any_takings(), id, any::<i64>(), any::<u32>(), any::<bool>(), over).prop_map(
        |(kind, refusal, segments, takings, id, balance, partner, opens, over)| {
            let mut decision = decided(&kind, refusal, segments);
            // A cap can decline what an activity would have earned.
            if let (CommandKind::Act(_), None, Some((cap, earned))) = (&kind, decision.refusal(), over) {
                (decision.over_velocity, decision.earned) = (Some(SymbolId(cap)), earned);
            }
            if let (CommandKind::Act(_), Some(_), Some((cap, room_before))) = (&kind, decision.refusal(), over) {
                decision.cells = vec![CellUse { used: 0, room_before, ..of_stock(SymbolId(cap), 0) }];
            }
            decision.balance_after = balance;
            let is_refused = decision.refusal().is_some();
            let partner = SymbolId(partner);
            if !is_refused {
                decision.effects.lots = takings;
                if let CommandKind::Operate(operation) = &kind {
                    decide_operation(&operation.order, partner, &mut decision);
                }
            }
            let may_open = !is_refused
                && matches!(
                    kind,
                    CommandKind::Act(_) | CommandKind::Enrol(_) | CommandKind::Load(_) | CommandKind::TopUp(_)
                );
            decision.effects.opens_account = opens && may_open;
            let account_id = if decision.effects.opens_account { "member-1" } else { "" };
            let transaction_id = if kind == CommandKind::Expire { String::new() } else { id };
            let command =
                Command { account_id: account_id.into(), transaction_id, partner, kind, ..Command::default() };
            let command = named(command, balance);
            if !is_refused {
                decide_about_authorization(&command, balance, &mut decision);
            }
            let (previous, account) = (PreviousRecord::At(Position(9)), AccountNumber(3));
            Entry { previous, account, posted_at: NOON, command, decision }
        },
    )
}

/// What an accrual notes of its account, and whose cells it draws on.
#[derive(Clone, Debug)]
struct Profiled {
    variants: Vec<u8>,
    last_basket_on: Option<Day>,
    remainder: Option<i64>,
    subject: [SymbolId; 3],
    period: i32,
    retain_until: Day,
}

fn any_profile() -> impl Strategy<Value = Profiled> {
    let variants = prop::collection::vec(any::<u8>(), 0..4);
    let symbol = || prop_oneof![Just(SymbolId::EMPTY), any::<u32>().prop_map(SymbolId)];
    let subject = [symbol(), symbol(), symbol()];
    let retain_until = prop_oneof![Just(CellUse::FOR_EVER), any::<i32>().prop_map(Day)];
    let day = prop::option::of(any::<i32>().prop_map(Day));
    let period = prop_oneof![Just(0), any::<i32>()];
    (variants, day, prop::option::of(any::<i64>()), subject, period, retain_until).prop_map(
        |(variants, last_basket_on, remainder, subject, period, retain_until)| Profiled {
            variants,
            last_basket_on,
            remainder,
            subject,
            period,
            retain_until,
        },
    )
}

/// An accrual with any parts.
fn any_accrual() -> impl Strategy<Value = Entry> {
    let base = prop_oneof![
        Just(full_accrual()),
        Just(one_line_accrual()),
        Just(minimal_accrual()),
        Just(accrual_over_velocity())
    ];
    let tier = prop::option::of((any::<u8>(), any::<i64>()));
    let stacked = prop::collection::vec((any::<u32>(), any::<u32>()), 0..4);
    let bonuses = prop::collection::vec((any::<u16>(), any::<i64>()), 0..4);
    let names = (any::<u32>(), any::<u32>());
    (base, names, tier, stacked, bonuses, any_takings(), any_profile()).prop_map(
        |(mut entry, (channel, payment_method), tier, stacked, bonuses, takings, profile)| {
            if let CommandKind::Accrue(basket) = &mut entry.command.kind {
                (basket.channel, basket.payment_method) = (SymbolId(channel), SymbolId(payment_method));
            }
            let decision = &mut entry.decision;
            decision.tier = tier.map(|(level, qualifying)| TierStanding { level, qualifying });
            decision.stacked = stacked.into_iter().map(|(line, rule)| (line, RuleIndex(rule))).collect();
            let award = |(bonus, units)| BonusAward { bonus: BonusIndex(bonus), units };
            decision.bonuses = bonuses.into_iter().map(award).collect();
            decision.effects.lots.splice(0..0, takings);
            (decision.effects.last_basket_on, decision.effects.remainder) = (profile.last_basket_on, profile.remainder);
            decision.variants = profile.variants;
            for taken in &mut decision.cells {
                (taken.cell.subject, taken.cell.period) = (profile.subject, profile.period);
                taken.retain_until = profile.retain_until;
            }
            entry
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_record_comes_back_as_it_was(entry in prop_oneof![any_later_entry(), any_accrual(), any_return(), crate::vouchers::any_accrual(), crate::stamps::any_stamped()]) {
        let record = Record::Entry(Box::new(entry));
        let bytes = encode(&record);
        let decoded = decode(&bytes, &dictionary());
        prop_assert_eq!(decoded.as_ref(), Ok(&record));
        prop_assert_eq!(encode(&decoded.expect("it was compared")), bytes);
    }

    #[test]
    fn whatever_decodes_is_encoded_as_it_was(
        entry in prop_oneof![any_later_entry(), any_accrual(), any_return(), crate::vouchers::any_accrual(), crate::stamps::any_stamped()], at in any::<prop::sample::Index>(), flip in 1..=255_u8,
    ) {
        let mut bytes = encode(&Record::Entry(Box::new(entry)));
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(decoded) = decode(&bytes, &dictionary()) {
            prop_assert_eq!(encode(&decoded), bytes);
        }
    }
}
