//! The journal as lines of JSON, one a record, for people and for programs that want to look for themselves.
//!
//! What must stay true: every record is there, in the order of positions; names stand where the journal has numbers;
//! nothing secret is shown (hashes of callers' secrets are left out).

use std::io::{self, Write};
use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::offline::{OfflineJournal, shown};
use crate::access::keys::{KeyChange, KeyIssue, Proof};
use crate::access::proposals::ProposalChange;
use crate::cli::error::CliError;
use crate::cli::output::{Progress, counted};
use crate::journal::Journal;
use crate::journal::dictionary::Dictionary;
use crate::journal::frame::RecordView;
use crate::journal::record::{Entry, PreviousRecord, Record};
use crate::ledger::command::{Basket, CommandKind, ReturnedLine, Reversal, Unburn};
use crate::ledger::decision::{Decision, LotKey, Movement, Refusal};
use crate::ledger::freeze::{FreezeChange, Subject};
use crate::ledger::held::HeldChange;
use crate::ledger::operator::{HeldOriginal, Operation, OperatorOrder, Remark};
use crate::ledger::program::{LineClass, Program};
use crate::ledger::types::{Day, Item, Position, ShardId, SymbolId};
use crate::ledger::voucher::{VoucherChange, VoucherCode};
use crate::replay::World;
use crate::service::wire::RefusalCode;

/// Writes all records; returns how many there are.
///
/// # Errors
/// When the journal is damaged. A failure to write is returned inside.
pub fn write_records(
    offline: &OfflineJournal,
    to: &mut dyn Write,
    progress: &mut Progress,
) -> Result<io::Result<u64>, CliError> {
    let OfflineJournal { identity, journal } = offline;
    let (end, _) = journal.end()?;
    let mut world = World::new(identity.shard_count);
    let mut written = Ok(0_u64);
    journal.read(Position(0), &mut |frame| {
        let epoch = frame.header.epoch;
        world.apply_frame(frame, |world, view, record| {
            if let Ok(count) = written {
                written = write_record(to, world, epoch, view, record).map(|()| count + 1);
            }
            Ok(())
        })?;
        progress.report("Exporting", world.end.0, end.0, || counted(world.end.0, "record", "records"));
        Ok(if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(written.and_then(|count| to.flush().map(|()| count)))
}

fn write_record(
    to: &mut dyn Write,
    world: &World,
    epoch: u64,
    view: &RecordView<'_>,
    record: &Record,
) -> io::Result<()> {
    let mut line = match record {
        Record::Entry(entry) => entry_as_json(world, view, entry),
        Record::Opening(opening) => json!({
            "kind": "opening",
            "opened_time": shown(opening.at),
            "time_zone_release": opening.time_zone_release,
            "shard_count": opening.shard_count,
            "clock": if opening.clock_is_input { "input" } else { "system" },
        }),
        Record::Symbol(id, text) => json!({ "kind": "symbol", "number": id.0, "text": text }),
        Record::Item(id, item) => {
            json!({ "kind": "item", "number": id.0, "item": item_as_json(&world.dictionary, item) })
        }
        Record::Program(publication) => json!({
            "kind": "program",
            "version": publication.version.0,
            "effective_time": shown(publication.effective_at),
            "posting_time": shown(publication.posted_at),
            "partner": text(&world.dictionary, publication.partner),
            "transaction_id": publication.transaction_id,
            "source": publication.source,
            "actor": publication.actor,
        }),
        Record::Key(change) => key_as_json(change),
        Record::Freeze(change) => freeze_as_json(&world.dictionary, change),
        Record::Proposal(change) => proposal_as_json(&world.dictionary, change),
    };
    if let Some(fields) = line.as_object_mut() {
        let shard = if view.shard == ShardId::CONTROL { Value::Null } else { view.shard.0.into() };
        fields.insert("position".to_owned(), view.position.0.into());
        fields.insert("epoch".to_owned(), epoch.into());
        fields.insert("shard".to_owned(), shard);
        fields.insert("sequence".to_owned(), view.seq.0.into());
    }
    serde_json::to_writer(&mut *to, &line)?;
    to.write_all(b"\n")
}

/// What was proposed to a second person, and what became of it. The act itself is on record when it is done.
fn proposal_as_json(dictionary: &Dictionary, change: &ProposalChange) -> Value {
    match change {
        ProposalChange::Proposed(proposal) => json!({
            "kind": "proposal",
            "proposal_id": proposal.number,
            "act": proposal.act.name(),
            "partner": text(dictionary, proposal.partner),
            "transaction_id": proposal.transaction_id,
            "actor": proposal.by,
            "create_time": shown(proposal.at),
            "expire_time": shown(proposal.expires_at),
            "content_hash": blake3::hash(&proposal.content).to_hex().as_str(),
        }),
        ProposalChange::Settled(verdict) => json!({
            "kind": if verdict.confirms { "proposal-confirmed" } else { "proposal-rejected" },
            "proposal_id": verdict.number,
            "actor": verdict.by,
            "time": shown(verdict.at),
            "note": verdict.note,
        }),
    }
}

/// What was frozen or thawed, by whom and why.
fn freeze_as_json(dictionary: &Dictionary, change: &FreezeChange) -> Value {
    let name = |symbol| text(dictionary, symbol);
    let mut line = json!({
        "kind": if change.freezes { "freeze" } else { "thaw" },
        "since_time": shown(change.at),
        "actor": change.by,
        "reason_code": change.reason_code,
        "note": change.note,
    });
    let subject = match &change.subject {
        Subject::Account(id) => json!({ "account_id": id }),
        Subject::Terminal { partner, store, terminal } => json!({
            "partner": name(*partner),
            "store": name(*store),
            "terminal": name(*terminal),
        }),
        Subject::Cashier { partner, cashier } => json!({ "partner": name(*partner), "cashier": name(*cashier) }),
    };
    if let (Some(line), Value::Object(subject)) = (line.as_object_mut(), subject) {
        line.extend(subject);
    }
    line
}

/// A change of keys, without the hash of a secret.
fn key_as_json(change: &KeyChange) -> Value {
    match change {
        KeyChange::Revoked { id, at, by } => json!({
            "kind": "key-revoked",
            "key_id": id.to_string(),
            "revoked_time": shown(*at),
            "revoked_by": by,
        }),
        KeyChange::Issued(issue) => json!({
            "kind": "key-issued",
            "key_id": issue.id.to_string(),
            "name": issue.name,
            "role": issue.grant.role.name(),
            "partner": issue.grant.partner,
            "stores": issue.grant.stores,
            "terminals": issue.grant.terminals,
            "certificate_name": match &issue.proof {
                Proof::Secret(_) => Value::Null,
                Proof::Certificate(name) => json!(name),
            },
            "issued_time": shown(issue.issued_at),
            "expire_time": (issue.expires_at != KeyIssue::NEVER).then(|| shown(issue.expires_at)),
            "issued_by": issue.issued_by,
            "replaced_key_id": issue.replaces.map(|(old, _)| old.to_string()),
            "overlap_end_time": issue.replaces.map(|(_, until)| shown(until)),
        }),
    }
}

fn text(dictionary: &Dictionary, symbol: SymbolId) -> Box<str> {
    dictionary.text(symbol).unwrap_or_default()
}

fn date(day: Day) -> Option<String> {
    let epoch = jiff::civil::date(1970, 1, 1);
    epoch.checked_add(jiff::Span::new().try_days(day.0).ok()?).ok().map(|date| date.to_string())
}

fn item_as_json(dictionary: &Dictionary, item: &Item) -> Value {
    json!({
        "sku": text(dictionary, item.sku),
        "category": text(dictionary, item.category),
        "department": text(dictionary, item.department),
        "brand": text(dictionary, item.brand),
        "margin_class": text(dictionary, item.margin_class),
    })
}

fn entry_as_json(world: &World, view: &RecordView<'_>, entry: &Entry) -> Value {
    let dictionary = &world.dictionary;
    let program = world.programs.get(entry.decision.program);
    let program = program.map(|program| &**program);
    // Only the record that opens an account states its id.
    let known = world.shards.get(usize::from(view.shard.0)).and_then(|shard| shard.packed(entry.account));
    let account_id = match known.filter(|_| !entry.decision.effects.opens_account) {
        Some(account) => account.id(),
        None => entry.command.account_id.clone(),
    };
    let previous = match entry.previous {
        PreviousRecord::None => Value::Null,
        PreviousRecord::At(position) => json!({ "position": position.0 }),
        PreviousRecord::Back(count) => json!({ "records_back_in_shard": count }),
    };
    let mut line = json!({
        "account_id": account_id,
        "transaction_id": entry.command.transaction_id,
        "partner": text(dictionary, entry.command.partner),
        "posting_time": shown(entry.posted_at),
        "program_version": entry.decision.program.0,
        "previous": previous,
        "decision": decision_as_json(dictionary, program, &entry.decision),
    });
    let (kind, what, content) = match &entry.command.kind {
        CommandKind::Accrue(basket) => ("accrual", "basket", basket_as_json(dictionary, basket)),
        CommandKind::Reverse(reversal) => ("reversal", "original", original_as_json(reversal)),
        CommandKind::Unburn(unburn) => ("reversal", "original", burn_as_json(dictionary, unburn)),
        CommandKind::Redeem(redemption) => {
            let rate_bps = entry.decision.effects.redemption_rate_bps;
            let mut content = json!({ "points": redemption.units, "redemption_rate_bps": rate_bps });
            if let Some(asked) = redemption.reward {
                content["reward"] = json!(text(dictionary, asked.reward));
                content["quantity"] = asked.quantity.into();
            }
            ("redemption", "redemption", content)
        }
        CommandKind::Act(activity) => {
            let content = json!({
                "kind": text(dictionary, activity.kind),
                "activity_time": shown(activity.happened_at),
                "channel": text(dictionary, activity.channel),
            });
            ("activity", "activity", content)
        }
        CommandKind::Enrol(enrolment) => {
            let texts = |list: &[SymbolId]| list.iter().map(|name| text(dictionary, *name)).collect::<Vec<_>>();
            let content =
                json!({ "join_segments": texts(&enrolment.joins), "leave_segments": texts(&enrolment.leaves) });
            ("enrolment", "enrolment", content)
        }
        CommandKind::Load(loading) => {
            let lots = loading.lots.iter().map(|(key, units)| lot_as_json(dictionary, key, *units));
            ("opening_balance", "lots", lots.collect())
        }
        CommandKind::Operate(operation) => operation_as_json(dictionary, operation),
        CommandKind::Link(linking) => {
            let content = json!({ "kind": text(dictionary, linking.kind), "linked": linking.links });
            ("identifier", "identifier", content)
        }
        CommandKind::Authorize(asked) => {
            let expire_time = entry.authorization(view.position).and_then(|of| shown(of.ends_at));
            let content = json!({
                "points": asked.units,
                "hold_seconds": asked.hold_seconds,
                "expire_time": expire_time,
            });
            ("authorization", "authorization", content)
        }
        CommandKind::Capture(capture) => {
            let content = json!({
                "transaction_id": capture.of.transaction_id,
                "position": capture.of.position.0,
                "points": capture.units,
                "final": capture.is_final,
                "redemption_rate_bps": entry.decision.effects.redemption_rate_bps,
            });
            ("capture", "authorization", content)
        }
        CommandKind::Void(of) => {
            let content = json!({ "transaction_id": of.transaction_id, "position": of.position.0 });
            ("void", "authorization", content)
        }
        CommandKind::TopUp(top_up) => {
            let content = json!({
                "amount_minor": top_up.units,
                "source": top_up.source,
                "store_id": text(dictionary, top_up.store),
                "terminal_id": text(dictionary, top_up.terminal),
            });
            ("top_up", "top_up", content)
        }
        CommandKind::Refund(refund) => {
            let content = json!({
                "transaction_id": refund.original_transaction_id,
                "position": refund.original_position.0,
                "earlier_position": refund.earlier.map(|earlier| earlier.0),
                "points": refund.units,
                "left_points": refund.left,
                "source": refund.source,
            });
            ("refund", "original", content)
        }
        CommandKind::Expire => ("expiry", "expiry", json!({})),
    };
    if let Some(fields) = line.as_object_mut() {
        fields.insert("kind".to_owned(), kind.into());
        fields.insert(what.to_owned(), content);
    }
    line
}

/// What an operator asked: its kind, the name of what it is about, and that.
fn operation_as_json(dictionary: &Dictionary, operation: &Operation) -> (&'static str, &'static str, Value) {
    let Remark { reason_code, note, operator, actor, confirmer } = &operation.remark;
    let (kind, what, mut content) = match &operation.order {
        OperatorOrder::Release(original) => ("release", "original", held_as_json(original)),
        OperatorOrder::Reject(original) => ("rejection", "original", held_as_json(original)),
        OperatorOrder::Restore(restoration) => {
            let lots = restoration.lots.iter().map(|(key, units)| lot_as_json(dictionary, key, *units));
            let content = json!({
                "position": restoration.expiry.0,
                "expire_time": shown(restoration.expires_at),
                "lots": lots.collect::<Vec<_>>(),
            });
            ("restoration", "expiry", content)
        }
        OperatorOrder::Adjust(adjustment) => {
            let content = json!({ "points": adjustment.units, "expire_time": adjustment.expires_at.and_then(shown) });
            ("adjustment", "adjustment", content)
        }
        OperatorOrder::IssueVoucher(kind) => ("voucher", "voucher", json!({ "voucher": text(dictionary, *kind) })),
        OperatorOrder::CancelVoucher(code) => {
            ("voucher_cancellation", "voucher", json!({ "voucher_code": code.to_string() }))
        }
    };
    if let Some(fields) = content.as_object_mut() {
        fields.insert("reason_code".to_owned(), reason_code.to_string().into());
        fields.insert("note".to_owned(), note.to_string().into());
        fields.insert("operator".to_owned(), operator.to_string().into());
        fields.insert("actor".to_owned(), actor.to_string().into());
        fields.insert("confirmer".to_owned(), confirmer.to_string().into());
    }
    (kind, what, content)
}

fn held_as_json(original: &HeldOriginal) -> Value {
    json!({
        "transaction_id": original.transaction_id,
        "position": original.position.0,
        "granted_points": original.granted.units,
    })
}

fn lot_as_json(dictionary: &Dictionary, key: &LotKey, points: i64) -> Value {
    let expire_time = if key.expires_at == LotKey::NEVER { None } else { shown(key.expires_at) };
    json!({
        "points": points,
        "issuer": text(dictionary, key.issuer),
        "funding_rate_bps": key.funding_rate_bps,
        "expire_time": expire_time,
        "held": key.is_held(),
    })
}

fn movement_name(movement: Movement) -> &'static str {
    match movement {
        Movement::Grant => "grant",
        Movement::Burn => "burn",
        Movement::Expire => "expire",
        Movement::Reverse => "reverse",
        Movement::Extend => "extend",
        Movement::Release => "release",
        Movement::Restore => "restore",
        Movement::SetAside => "set_aside",
        Movement::GiveBack => "give_back",
        Movement::Unburn => "unburn",
    }
}

/// What a reversal takes back. Of a part, the lines are those that come back with it.
fn original_as_json(reversal: &Reversal) -> Value {
    let mut original = json!({
        "transaction_id": reversal.original_transaction_id,
        "position": reversal.original_position.0,
        "granted_points": reversal.original.units,
    });
    if let Some(part) = reversal.part.as_deref() {
        let line = |line: &ReturnedLine| json!({ "line_index": line.line, "quantity": line.quantity, "amount_minor": line.amount_minor });
        original["returned_lines"] = part.lines.iter().map(line).collect();
        original["fully_reversed"] = part.is_last.into();
        original["earlier_position"] = part.earlier.map(|earlier| earlier.0).into();
    }
    original
}

/// What a reversal gives back of what was burned.
fn burn_as_json(dictionary: &Dictionary, unburn: &Unburn) -> Value {
    let lots = unburn.lots.iter().map(|(key, units)| lot_as_json(dictionary, key, *units));
    let mut original = json!({
        "transaction_id": unburn.original_transaction_id,
        "position": unburn.original_position.0,
        "returned_points": unburn.units(),
        "lots": lots.collect::<Vec<_>>(),
        "redemption_rate_bps": unburn.redemption_rate_bps,
        "fully_reversed": unburn.is_last,
        "earlier_position": unburn.earlier.map(|(earlier, _)| earlier.0),
    });
    if let Some(back) = &unburn.reward {
        original["returned_quantity"] = back.quantity.into();
    }
    original
}

fn basket_as_json(dictionary: &Dictionary, basket: &Basket) -> Value {
    let lines = basket.lines.iter().map(|line| {
        let mut object = item_as_json(dictionary, &line.item);
        if let Some(fields) = object.as_object_mut() {
            fields.insert("quantity".to_owned(), line.quantity.into());
            fields.insert("amount_minor".to_owned(), line.amount_minor.into());
        }
        object
    });
    json!({
        "store_id": text(dictionary, basket.store),
        "terminal_id": text(dictionary, basket.terminal),
        "cashier_id": text(dictionary, basket.cashier),
        "receipt_number": basket.receipt_number,
        "business_date": date(basket.business_day),
        "receipt_time": shown(basket.receipt_at),
        "channel": text(dictionary, basket.channel),
        "payment_method": text(dictionary, basket.payment_method),
        "lines": lines.collect::<Vec<_>>(),
        "voucher_codes": basket.vouchers.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// What became of a voucher.
fn voucher_as_json(dictionary: &Dictionary, code: VoucherCode, change: &VoucherChange) -> Value {
    let change = match change {
        VoucherChange::Given(terms) => json!({
            "given": text(dictionary, terms.kind),
            "start_time": shown(terms.starts_at),
            "expire_time": shown(terms.ends_at),
            "basket_minor_min": terms.minor_min,
        }),
        VoucherChange::Used(_) => json!("used"),
        VoucherChange::GivenBack => json!("given_back"),
        VoucherChange::Cancelled => json!("cancelled"),
        VoucherChange::Kept => json!("kept"),
    };
    json!({ "voucher_code": code.to_string(), "change": change })
}

fn refusal_name(refusal: Refusal) -> String {
    let code = RefusalCode::try_from(i32::from(refusal.number()));
    code.map_or_else(
        |_| refusal.number().to_string(),
        |code| code.as_str_name().trim_start_matches("REFUSAL_CODE_").to_owned(),
    )
}

fn decision_as_json(dictionary: &Dictionary, program: Option<&Program>, decision: &Decision) -> Value {
    let wallet = program.and_then(|program| program.wallets.get(usize::from(decision.wallet.0)));
    let rule_name = |rule| program.and_then(|program| program.lines.rule(rule)).map(|rule| rule.name.as_str());
    let rule = |class| match class {
        LineClass::Ineligible => json!({ "eligible": false }),
        LineClass::Base => json!({ "eligible": true }),
        LineClass::Rule(rule) => json!({ "eligible": true, "rule": rule_name(rule) }),
    };
    let stacked = decision.stacked.iter().map(|(line, rule)| json!({ "line_index": line, "rule": rule_name(*rule) }));
    let bonuses = decision.bonuses.iter().map(|award| {
        let name = program.and_then(|program| program.bonus(award.bonus)).map(|bonus| bonus.name.as_str());
        json!({ "name": name, "points": award.units })
    });
    let stamps = decision.stamps.iter().map(|outcome| {
        let name = program.and_then(|program| program.stamp_card(outcome.card)).map(|card| card.name.as_str());
        let (before, given) = (outcome.stamps_before, outcome.given_before);
        let (counted, rewards) = (outcome.counted, outcome.rewards);
        json!({ "name": name, "before": before, "given_before": given, "counted": counted, "rewards": rewards })
    });
    let lots = decision.effects.lots.iter().map(|change| {
        let mut lot = lot_as_json(dictionary, &change.key, change.delta);
        if let Some(fields) = lot.as_object_mut() {
            fields.insert("movement".to_owned(), movement_name(change.movement).into());
        }
        lot
    });
    let segments = decision.effects.segments.iter();
    let segments = segments.map(|(name, joins)| json!({ "name": text(dictionary, *name), "joins": joins }));
    let vouchers = decision.effects.vouchers.iter();
    let vouchers = vouchers.map(|(code, change)| voucher_as_json(dictionary, *code, change));
    let clips = decision.clips.iter().map(
        |clip| json!({ "name": text(dictionary, clip.source), "is_budget": clip.is_budget, "points": clip.units }),
    );
    let cells = decision.cells.iter().map(|cell| {
        json!({
            "budget": text(dictionary, cell.cell.name),
            "version": cell.version,
            "room_before": cell.room_before,
            "used": cell.used,
        })
    });
    let counters = decision.effects.counters.iter().map(
        |change| json!({ "name": text(dictionary, change.counter), "period": change.period, "delta": change.delta }),
    );
    json!({
        "refusal": decision.refusal().map(refusal_name),
        "wallet": wallet.map(|wallet| &wallet.name),
        "earned_points": decision.earned,
        "granted_points": decision.granted,
        "balance_points": decision.balance_after,
        "held_by": decision.effects.held.as_deref().and_then(HeldChange::begins_by).map(|cap| text(dictionary, cap)),
        "over_velocity": decision.over_velocity.map(|cap| text(dictionary, cap)),
        "opens_account": decision.effects.opens_account,
        "lines": decision.lines.iter().map(|line| rule(line.class)).collect::<Vec<_>>(),
        "clips": clips.collect::<Vec<_>>(),
        "budgets": cells.collect::<Vec<_>>(),
        "counters": counters.collect::<Vec<_>>(),
        "further_rules": stacked.collect::<Vec<_>>(),
        "bonuses": bonuses.collect::<Vec<_>>(),
        "stamps": stamps.collect::<Vec<_>>(),
        "tier": decision.tier.map(|tier| json!({ "level": tier.level, "qualifying_value": tier.qualifying })),
        "lots": lots.collect::<Vec<_>>(),
        "segments": segments.collect::<Vec<_>>(),
        "vouchers": vouchers.collect::<Vec<_>>(),
    })
}
