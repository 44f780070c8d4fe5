//! The bytes of records.
//!
//! What must stay true: a record that decodes has one form only.

use std::path::PathBuf;

use crate::movements::{change, entry};
use crate::samples::{
    dictionary, encode, full_accrual, lot_key, one_line_accrual, records, refused_accrual, reversal_of,
};
use crate::support::{NOON, NS_PER_DAY};
use crate::{golden, path, unhex};
use tallystick::journal::record::{Record, decode, is_read_back};
use tallystick::ledger::command::{CommandKind, Granted, Loading, Receipt, Redemption, RewardAsked, Unburn};
use tallystick::ledger::decision::{Decision, Effects, LotKey, Movement, Outcome, Refusal, TotalsChange};
use tallystick::ledger::operator::{Operation, OperatorOrder, Remark, Restoration};
use tallystick::ledger::packed::put_lot_key;
use tallystick::ledger::types::{Day, Position, SymbolId, TimestampNs, WalletId};
use tallystick::limits::{
    FRAME_BYTES_MAX, FRAME_BYTES_TARGET, LOADED_LOTS_MAX, LOT_CHANGE_BYTES_MAX, LOT_CHANGES_MAX,
    ONE_LINE_RECORD_BYTES_MAX, UNITS_MAX,
};

#[test]
fn every_kind_of_record_keeps_its_bytes() {
    for (name, record) in records() {
        let kept = golden(name, &encode(&record));
        let decoded = decode(&kept, &dictionary()).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(decoded, record, "{name}");
        assert_eq!(encode(&decoded), kept, "{name}");
        for length in 0..kept.len() {
            assert!(decode(&kept[..length], &dictionary()).is_err(), "{name} cut to {length} bytes is no record");
        }
        let longer = [kept.as_slice(), &[0]].concat();
        assert!(decode(&longer, &dictionary()).is_err(), "{name} with a byte more is no record");
    }
}

#[test]
fn a_record_that_decodes_has_one_form_only() {
    // A changed byte gives another record or none, but never the same record in other bytes.
    for (name, record) in records() {
        let bytes = encode(&record);
        for index in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[index] ^= flip;
                if let Ok(decoded) = decode(&changed, &dictionary()) {
                    assert_ne!(decoded, record, "{name}, byte {index} changed by {flip:#x}");
                }
            }
        }
    }
}

#[test]
fn a_record_has_no_flags_but_those_of_its_kind() {
    const LOT: u8 = 8;
    const TERMINAL: u8 = 2;
    let rows = [
        ("record-accrual-refused", LOT),
        ("record-accrual-refused", 1),
        ("record-reversal-full", LOT),
        ("record-reversal-full", TERMINAL),
        ("record-reversal-refused", TERMINAL),
        ("record-accrual-full", 32),
        ("record-redemption", LOT),
        ("record-redemption-refused", 1),
        ("record-activity-minimal", TERMINAL),
        ("record-activity-refused", LOT),
        ("record-enrolment-leaving", LOT),
        ("record-enrolment-refused", 1),
        ("record-loading", LOT),
        ("record-expiry", 1),
        ("record-linking", LOT),
        ("record-linking-refused", 1),
    ];
    for (name, flag) in rows {
        let (_, record) = records().into_iter().find(|(known, _)| *known == name).expect("a record of this test");
        let mut bytes = encode(&record);
        assert_eq!(bytes[1] & flag, 0, "{name}");
        bytes[1] |= flag;
        assert!(decode(&bytes, &dictionary()).is_err(), "{name} with flag {flag}");
    }
    // A terminal that is the empty string is left out, not written as number 0.
    let mut bytes = encode(&Record::Entry(Box::new(one_line_accrual())));
    let at = bytes.windows(3).position(|window| window == [3, 4, 5]).expect("store, terminal, cashier");
    bytes[at + 1] = 0;
    assert!(decode(&bytes, &dictionary()).is_err());
}

/// A part that is there says something that the ordinary content does not: empty ones, and lots that follow from the
/// rest, are never written.
#[test]
fn a_part_that_says_nothing_is_refused() {
    const MORE: u8 = 32;
    let one_line = encode(&Record::Entry(Box::new(one_line_accrual())));
    let key = lot_key();
    let mut implied = vec![16, 1, 0, key.wallet.0, 2, 0];
    implied.extend([0, 0xac, 2]);
    let rows: [(&str, &[u8]); 6] = [
        ("no part", &[0]),
        ("no channel", &[1, 0, 0]),
        ("no stacked rule", &[4, 0]),
        ("no bonus", &[8, 0]),
        ("the lots that are implied", &implied),
        ("lots without the one that was granted", &[16, 0]),
    ];
    for (what, parts) in rows {
        let mut bytes = [one_line.as_slice(), parts].concat();
        bytes[1] |= MORE;
        assert!(decode(&bytes, &dictionary()).is_err(), "{what}");
    }
    let mut tier = [one_line.as_slice(), &[2, 1, 2]].concat();
    tier[1] |= MORE;
    assert!(decode(&tier, &dictionary()).is_ok(), "a part that says something");
    let (_, record) =
        records().into_iter().find(|(name, _)| *name == "record-redemption-refused").expect("it is there");
    let mut bytes = [encode(&record).as_slice(), &[16, 0]].concat();
    bytes[1] |= MORE;
    assert!(decode(&bytes, &dictionary()).is_err(), "lots of a refusal");
}

/// A reward that was published while it was asked for was refused for no units, on record.
#[test]
fn nothing_is_redeemed_only_where_a_reward_was_refused() {
    let asked = RewardAsked { reward: SymbolId(10), quantity: 1, states_units: false };
    let effects = Effects { totals: TotalsChange::of_refused_redemption(), ..Effects::default() };
    let outcome = Outcome::Refused(Refusal::RewardTierRequired);
    let refused = Decision { outcome, effects, ..Decision::default() };
    let record = |reward, decision: &Decision| {
        let redemption = Redemption { wallet: WalletId(0), units: 0, reward };
        Record::Entry(Box::new(entry(CommandKind::Redeem(redemption), decision.clone())))
    };
    let refused_reward = record(Some(asked), &refused);
    assert_eq!(decode(&encode(&refused_reward), &dictionary()), Ok(refused_reward));
    for (what, record) in [
        ("a refusal without a reward", record(None, &refused)),
        ("a reward that was had for nothing", record(Some(asked), &Decision::default())),
    ] {
        assert!(decode(&encode(&record), &dictionary()).is_err(), "{what}");
    }
}

#[test]
fn an_accrual_of_one_line_stays_within_its_bound() {
    let one_line = encode(&Record::Entry(Box::new(one_line_accrual()))).len();
    let late = {
        let mut entry = one_line_accrual();
        let CommandKind::Accrue(basket) = &mut entry.command.kind else { unreachable!("it is an accrual") };
        // Thirty days late, by the nanosecond, and clipped by a cap and by the budget.
        basket.receipt_at = TimestampNs(NOON.0 - 30 * NS_PER_DAY + 123_456_789);
        entry.decision.clips = full_accrual().decision.clips;
        encode(&Record::Entry(Box::new(entry))).len()
    };
    println!("one line: {one_line} bytes; thirty days late and clipped twice: {late} bytes");
    assert!(one_line <= ONE_LINE_RECORD_BYTES_MAX, "{one_line} bytes");
    assert!(late <= ONE_LINE_RECORD_BYTES_MAX, "{late} bytes");
}

#[test]
fn the_sizes_that_the_documentation_states_are_those_of_the_golden_bytes() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/format.md")).expect("the page is there");
    let rows: Vec<(&str, usize)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter_map(|(name, rest)| Some((name, rest.split(' ').next()?.parse().ok()?)))
        .collect();
    assert!(rows.len() > 12, "{rows:?}");
    for (name, stated) in rows {
        let kept =
            std::fs::read_to_string(path(&format!("{name}.hex"))).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(unhex(&kept).len(), stated, "{name}");
    }
    for (name, _) in records() {
        assert!(page.contains(&format!("`{name}`")), "{name} is missing from the page");
    }
}

#[test]
fn granted_parts_of_an_accrual_are_what_its_reversal_undoes() {
    let Granted { receipt, units, lot, counters, cells, stamps } = full_accrual().granted().expect("it was granted");
    let number = "4711000000000042".into();
    let day = Day(17_225);
    assert_eq!(receipt, Receipt { store: SymbolId(3), terminal: SymbolId(4), business_day: day, number });
    assert_eq!((units, lot, counters.len(), cells.len()), (150, Some(lot_key()), 4, 1));
    assert!(stamps.is_empty());
    assert_eq!(refused_accrual().granted(), None);
    assert_eq!(reversal_of(&full_accrual()).granted(), None);
}

/// The longest name that a lot can have, in whatever order of such names.
fn longest_key(number: usize) -> LotKey {
    LotKey {
        wallet: WalletId(31),
        issuer: SymbolId(u32::MAX),
        funding_rate_bps: u32::MAX,
        available_from_minute: u32::MAX >> 1,
        inactive_days: LotKey::AS_IN_FORCE - 1,
        expires_at: TimestampNs(i64::try_from(number).expect("it is small")),
    }
}

/// Whatever a decision can come to, its record is read again: lists of lots are as long as a record can change lots, and the
/// record fits a frame that has others already.
#[test]
fn the_longest_lists_are_read_back() {
    let lots = |count: usize| (0..count).map(|number| (longest_key(number), UNITS_MAX / 8_192)).collect::<Vec<_>>();
    let unburn = Unburn {
        original_transaction_id: "t".repeat(64).into(),
        lots: lots(LOT_CHANGES_MAX),
        is_last: true,
        ..Unburn::default()
    };
    let restoration = Restoration { expiry: Position(9), expires_at: NOON, lots: lots(LOT_CHANGES_MAX) };
    let remark = Remark { reason_code: "r".into(), operator: "o".into(), ..Remark::default() };
    let restored = Operation { remark, order: OperatorOrder::Restore(restoration) };
    let rows = [
        (CommandKind::Unburn(unburn), Movement::Unburn),
        (CommandKind::Operate(Box::new(restored)), Movement::Restore),
        (CommandKind::Load(Loading { lots: lots(LOADED_LOTS_MAX) }), Movement::Grant),
    ];
    for (kind, movement) in rows {
        let changes = lots(LOT_CHANGES_MAX).into_iter().map(|(key, units)| change(key, units, movement));
        let effects = Effects { lots: changes.collect(), ..Effects::default() };
        let decision = Decision { effects, wallet: WalletId(31), ..Decision::default() };
        let bytes = encode(&Record::Entry(Box::new(entry(kind, decision))));
        assert!(decode(&bytes, &dictionary()).is_ok() && is_read_back(&bytes), "{movement:?}");
        assert!(bytes.len() + FRAME_BYTES_TARGET < FRAME_BYTES_MAX, "{movement:?}: {} bytes", bytes.len());
    }
    let mut longest = Vec::new();
    put_lot_key(&mut longest, &longest_key(0));
    // Beside its name the units, and a byte that says why it changes.
    assert!(longest.len() + 10 < LOT_CHANGE_BYTES_MAX, "{} bytes", longest.len());
}

/// One lot more than a record can change makes a restoration that nobody reads: it is found before it counts.
#[test]
fn a_record_that_would_not_be_read_is_told_from_others() {
    let one_too_many = (0..=LOT_CHANGES_MAX).map(|number| (longest_key(number), 1)).collect();
    let restoration = Restoration { expiry: Position(9), expires_at: NOON, lots: one_too_many };
    let restored = Operation { remark: Remark::default(), order: OperatorOrder::Restore(restoration) };
    let record = Record::Entry(Box::new(entry(CommandKind::Operate(Box::new(restored)), Decision::default())));
    assert!(!is_read_back(&encode(&record)));
    for (name, record) in records() {
        assert!(is_read_back(&encode(&record)), "{name}");
    }
}
