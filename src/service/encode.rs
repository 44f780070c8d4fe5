//! The answer to an ordinary accrual, written as bytes: the fields that the encoder of whole messages writes for
//! [`answer::of_job`], without building that message. Nearly all of it is written by the worker when the command has been
//! decided ([`prepare`]); the record's position, which only the commit tells, comes last ([`job`]).
//!
//! What must stay true: it is the message that `answer::of_job` makes (a test compares them), with the position behind the
//! other fields; whatever is not a granted accrual is left to it.

use prost::Message;

use super::answer::{self, Exact, NamedStanding, clip_rule, clip_source, further_rule, rule_name, signed, wallet_name};
use super::times;
use crate::codec::put_unsigned;
use crate::ledger::command::{Basket, CommandKind, Line};
use crate::ledger::decision::Clip;
use crate::ledger::program::{LineClass, Program};
use crate::ledger::types::{ProgramVersion, TimestampNs};
use crate::shard::job::{CommandJob, Decided};

/// Appends the `Decision` that answers a finished job.
pub(super) fn job(job: &CommandJob, original_version: Option<ProgramVersion>, out: &mut Vec<u8>) {
    if job.outcome.answer.is_empty() {
        return answer::of_job(job, original_version).encode(out).expect("a vector has room");
    }
    out.extend_from_slice(&job.outcome.answer);
    if let Some(position) = job.outcome.position {
        present(out, 12, signed(position.0));
    }
}

/// Appends the answer to an accrual that was granted and recorded, but for its position; nothing for anything else.
pub(super) fn prepare(decided: &Decided<'_>, out: &mut Vec<u8>) {
    if let (CommandKind::Accrue(basket), None) = (&decided.job.command.kind, decided.decision.refusal()) {
        granted(decided, basket, out);
    }
}

fn granted(decided: &Decided<'_>, basket: &Basket, out: &mut Vec<u8>) {
    let Decided { job, decision, program } = *decided;
    let outcome = &job.outcome;
    int(out, 3, i64::from(program.version.0));
    text(out, 4, wallet_name(program, decision.wallet));
    int(out, 5, decision.earned);
    int(out, 6, decision.granted);
    int(out, 8, decision.balance_after);
    let tier_bps = answer::tier_bps(program, decision);
    let mut stacked = &decision.stacked[..];
    for (index, (line, given)) in decision.lines.iter().zip(&basket.lines).enumerate() {
        let exact = Exact { program, class: line.class, beside: answer::beside(&mut stacked, index), tier_bps };
        let index = i64::try_from(index).expect("a basket's lines are bounded");
        message(out, 9, |out| line_decision(out, &exact, index, given));
    }
    for clip in &decision.clips {
        message(out, 10, |out| clip_of(out, program, clip));
    }
    if let Some(cap) = decision.over_velocity {
        let denial = answer::velocity_denial(program, cap, basket.receipt_at);
        message(out, 11, |out| denial.encode(out).expect("a vector has room"));
    }
    message(out, 13, |out| timestamp(out, basket.receipt_at));
    message(out, 14, |out| timestamp(out, outcome.posted_at));
    present(out, 15, i64::from(outcome.shard.0));
    present(out, 16, signed(outcome.seq.0));
    int(out, 18, answer::expired_units(decision));
    for award in &decision.bonuses {
        message(out, 19, |out| {
            text(out, 1, program.bonus(award.bonus).map_or("", |bonus| &bonus.name));
            int(out, 2, award.units);
        });
    }
    if let Some(standing) = decision.tier.and_then(|standing| answer::tier_of(program, standing)) {
        message(out, 20, |out| tier(out, &standing));
    }
    for (experiment, variant) in answer::variants_of(program, decision) {
        message(out, 21, |out| {
            text(out, 1, experiment);
            text(out, 2, variant);
        });
    }
    if let Some(cap) = answer::held_by(program, decision) {
        message(out, 40, |out| text(out, 1, cap));
    }
    int(out, 64, answer::collected_units(decision));
    for note in answer::vouchers_of(Some(program), decision) {
        message(out, 72, |out| note.encode(out).expect("a vector has room"));
    }
    for outcome in answer::stamps_of(program, decision) {
        message(out, 73, |out| outcome.encode(out).expect("a vector has room"));
    }
}

fn line_decision(out: &mut Vec<u8>, exact: &Exact<'_>, index: i64, given: &Line) {
    let Exact { program, class, beside, .. } = *exact;
    int(out, 1, index);
    int(out, 2, i64::from(class != LineClass::Ineligible));
    text(out, 3, rule_name(program, class));
    int(out, 4, program.lines.multiplier_bps(class).min(i64::from(i32::MAX)));
    int(out, 5, exact.micropoints(given.amount_minor, given.quantity));
    for (_, rule) in beside {
        element(out, 6, further_rule(program, *rule));
    }
}

fn tier(out: &mut Vec<u8>, standing: &NamedStanding<'_>) {
    text(out, 1, standing.level);
    text(out, 2, standing.reached);
    int(out, 3, standing.qualifying);
    text(out, 4, standing.next);
    int(out, 5, standing.missing);
}

fn clip_of(out: &mut Vec<u8>, program: &Program, clip: &Clip) {
    let (source, name) = clip_source(program, clip);
    int(out, 1, i64::from(i32::from(source)));
    text(out, 2, name);
    int(out, 3, clip.units);
    text(out, 4, clip_rule(program, clip));
}

fn timestamp(out: &mut Vec<u8>, at: TimestampNs) {
    let time = times::timestamp(at);
    int(out, 1, time.seconds);
    int(out, 2, i64::from(time.nanos));
}

/// A length-delimited field whose content `bytes` has, as an item of the list in field 1 of an outer message.
pub(super) fn item(out: &mut Vec<u8>, bytes: &[u8]) {
    item_header(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// The key of field 1 and a length.
pub(super) fn item_header(out: &mut Vec<u8>, length: usize) {
    out.push(0x0a);
    put_unsigned(out, length as u64);
}

/// Bytes of [`item_header`].
pub(super) fn item_header_bytes(length: usize) -> usize {
    1 + prost::encoding::encoded_len_varint(length as u64)
}

/// A number that is left out when it is 0.
fn int(out: &mut Vec<u8>, field: u64, value: i64) {
    if value != 0 {
        present(out, field, value);
    }
}

/// A number whose presence says something.
fn present(out: &mut Vec<u8>, field: u64, value: i64) {
    put_unsigned(out, field << 3);
    put_unsigned(out, u64::from_ne_bytes(value.to_ne_bytes()));
}

fn text(out: &mut Vec<u8>, field: u64, value: &str) {
    if !value.is_empty() {
        element(out, field, value);
    }
}

/// A text of a list, whose presence says something.
fn element(out: &mut Vec<u8>, field: u64, value: &str) {
    put_unsigned(out, field << 3 | 2);
    put_unsigned(out, value.len() as u64);
    out.extend_from_slice(value.as_bytes());
}

/// A message. Nearly all have less than 128 bytes, so that their length is one byte; for it room is made before the
/// length is known.
fn message(out: &mut Vec<u8>, field: u64, write: impl FnOnce(&mut Vec<u8>)) {
    put_unsigned(out, field << 3 | 2);
    let length_at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - length_at - 1;
    if let Some(byte) = u8::try_from(length).ok().filter(|byte| *byte < 0x80) {
        out[length_at] = byte;
        return;
    }
    let content = out.split_off(length_at + 1);
    out.truncate(length_at);
    put_unsigned(out, length as u64);
    out.extend_from_slice(&content);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::dictionary::{Definitions, Dictionary};
    use crate::journal::record::Record;
    use crate::ledger::command::Command;
    use crate::ledger::decision::{
        BonusAward, Decision, LineOutcome, LotChange, LotKey, Movement, Outcome, Refusal, TierStanding,
    };
    use crate::ledger::program::{
        BPS_ONE, Bonus, BonusIndex, CalendarWindow, Cap, CappedRule, Conditions, LineEffect, LineRule, RuleIndex,
        Stacking, StampCard, StampIndex, StampReward, StampsCounted, TierLadder, TierLevel, Trigger,
    };
    use crate::ledger::stamps::StampOutcome;
    use crate::ledger::types::{Item, ItemId, Position, ProgramVersion, Seq, ShardId, SymbolId, WalletId};
    use crate::limits;
    use crate::program::{SAMPLE, Symbols, SymbolsFull, compile};
    use crate::service::wire;
    use crate::shard::job::CommandOutcome;
    use proptest::prelude::*;
    use std::sync::Arc;

    struct Unjournaled;

    impl Definitions for Unjournaled {
        fn define(&self, _: Record) {}
    }

    struct Interning<'a>(&'a Dictionary);

    impl Symbols for Interning<'_> {
        fn intern(&mut self, text: &str) -> Result<SymbolId, SymbolsFull> {
            self.0.intern(text, &Unjournaled).map_err(|_| SymbolsFull)
        }
    }

    /// A programme with a name of every length that an answer may have to state.
    fn program() -> Arc<Program> {
        let dictionary = Dictionary::new();
        let compiled = compile(SAMPLE, ProgramVersion(3), TimestampNs(0), &mut Interning(&dictionary));
        let mut program = compiled.expect("the sample compiles");
        let long = |letter: &str| letter.repeat(limits::PROGRAM_NAME_BYTES_MAX);
        let stacked =
            |name: String, effect, stacking| LineRule { effect, stacking, ..LineRule::multiplier(&name, BPS_ONE) };
        program.lines.rules = vec![
            LineRule::multiplier("double", 2 * BPS_ONE),
            stacked(long("a"), LineEffect::Multiplier(15_000), Stacking::Add),
            stacked(long("m"), LineEffect::Multiplier(12_500), Stacking::Multiply),
            stacked("fixed".to_owned(), LineEffect::Fixed { units: 3, per_piece: true }, Stacking::Add),
        ];
        program.lines.multiply_max = 1;
        let own_cap = Cap { symbol: SymbolId(39), name: long("c"), ..program.caps[0].clone() };
        program.lines.capped = vec![CappedRule { rule: RuleIndex(1), caps: vec![own_cap] }];
        let bonus = |name: String| Bonus {
            name,
            symbol: SymbolId(1),
            trigger: Trigger::Basket,
            when: Conditions::default(),
            units: 50,
            voucher: None,
            limit: None,
            places: None,
        };
        program.bonuses = vec![bonus("welcome".to_owned()), bonus(long("b"))];
        let card = |name: String| StampCard {
            name,
            symbol: SymbolId(3),
            given: SymbolId(4),
            of: None,
            when: Conditions::default(),
            counts: StampsCounted::Items,
            size: 10,
            reward: StampReward::Units(5),
            window: CalendarWindow::Lifetime,
        };
        program.stamps = vec![card("coffee".to_owned()), card(long("k"))];
        let level = |name: String, threshold, multiplier_bps| TierLevel { name, threshold, multiplier_bps };
        program.tiers = Some(TierLadder {
            metric: SymbolId(2),
            window: CalendarWindow::Year,
            rolling: 1,
            keep: 0,
            soft_landing: false,
            grace_days: 0,
            levels: vec![level(long("s"), 200, 12_500), level(long("g"), 600, 15_000)],
        });
        Arc::new(program)
    }

    /// Which rules count beside the class of which line, as decisions state it.
    fn any_stacked() -> impl Strategy<Value = Vec<(u32, RuleIndex)>> {
        prop::collection::btree_set((0..9_u32, 1..4_u32), 0..9)
            .prop_map(|set| set.into_iter().map(|(line, rule)| (line, RuleIndex(rule))).collect())
    }

    /// Bonuses, a level, and lots that died.
    fn any_gain() -> impl Strategy<Value = (Vec<BonusAward>, Option<TierStanding>, Vec<LotChange>)> {
        let award = (0..3_u16, 1..9_i64).prop_map(|(bonus, units)| BonusAward { bonus: BonusIndex(bonus), units });
        let standing = (0..4_u8, 0..900_i64).prop_map(|(level, qualifying)| TierStanding { level, qualifying });
        let key = LotKey {
            wallet: WalletId(0),
            issuer: SymbolId(4),
            funding_rate_bps: 0,
            available_from_minute: 0,
            inactive_days: 0,
            expires_at: TimestampNs(9),
        };
        let other = LotKey { wallet: WalletId(1), ..key };
        let movement = prop_oneof![Just(Movement::Expire), Just(Movement::Grant)];
        let change = (prop_oneof![Just(key), Just(other)], -9..0_i64, movement)
            .prop_map(|(key, delta, movement)| LotChange { key, delta, movement });
        (prop::collection::vec(award, 0..4), prop::option::of(standing), prop::collection::vec(change, 0..4))
    }

    /// What was counted on cards, one that the programme does not have among them.
    fn any_stamps() -> impl Strategy<Value = Vec<StampOutcome>> {
        let numbers = (0..3_u8, 0..1_000_i64, 0..100_i64, 1..20_i64, 0..3_i64);
        let outcome = numbers.prop_map(|(card, stamps_before, given_before, counted, rewards)| StampOutcome {
            card: StampIndex(card),
            stamps_before,
            given_before,
            counted,
            rewards,
            are_vouchers: false,
        });
        prop::collection::vec(outcome, 0..3)
    }

    /// A finished job whose every part is arbitrary, whether or not a worker would bring it about.
    fn any_job() -> impl Strategy<Value = CommandJob> {
        let class =
            prop_oneof![Just(LineClass::Ineligible), Just(LineClass::Base), Just(LineClass::Rule(RuleIndex(0)))];
        let lines = prop::collection::vec((class, 0..1_000_000_000_000_i64), 1..200);
        let numbers = (any::<i64>(), any::<i64>(), any::<i64>());
        let times = (any::<i64>(), any::<i64>());
        let place = (prop::option::of(0..u64::MAX / 4), 0..4_096_u16, 1..u64::MAX / 4);
        let clips = prop::collection::vec((0..40_u32, any::<bool>(), any::<i64>()), 0..4);
        let rest = (clips, prop::option::of(0..40_u32), any::<bool>());
        let gain = (any_stacked(), any_gain(), any_stamps());
        (lines, numbers, times, place, rest, gain).prop_map(|(lines, numbers, times, place, rest, gain)| {
            let (stacked, (bonuses, tier, lots), stamps) = gain;
            let mut decision = Decision {
                outcome: if rest.2 { Outcome::Granted } else { Outcome::Refused(Refusal::BalanceLimitExceeded) },
                program: ProgramVersion(3),
                wallet: WalletId(0),
                lines: lines.iter().map(|(class, _)| LineOutcome { class: *class }).collect(),
                stacked,
                tier,
                bonuses,
                stamps,
                earned: numbers.0,
                granted: numbers.1,
                balance_after: numbers.2,
                over_velocity: rest.1.map(SymbolId),
                clips: rest
                    .0
                    .iter()
                    .map(|(source, is_budget, units)| Clip {
                        source: SymbolId(*source),
                        is_budget: *is_budget,
                        units: *units,
                    })
                    .collect(),
                ..Decision::default()
            };
            // What is owed, and what of it is collected.
            decision.effects.owed = lots.last().map(|lot| (lot.key.wallet, lot.delta));
            decision.effects.lots = lots;
            let line = |amount_minor| Line { item_id: ItemId(0), item: Item::default(), quantity: 2, amount_minor };
            let basket = Basket {
                store: SymbolId(1),
                receipt_number: "7".into(),
                receipt_at: TimestampNs(times.0),
                lines: lines.iter().map(|(_, amount)| line(*amount)).collect(),
                ..Basket::default()
            };
            let mut job = CommandJob::blank();
            job.command = Command {
                account_id: "a".into(),
                transaction_id: "t".into(),
                partner: SymbolId(4),
                kind: CommandKind::Accrue(basket),
                ..Command::default()
            };
            job.outcome = CommandOutcome {
                answer: Vec::new(),
                decision,
                program: Some(program()),
                posted_at: TimestampNs(times.1),
                shard: ShardId(place.1),
                account: None,
                seq: Seq(place.2),
                position: place.0.map(Position),
                ..CommandOutcome::default()
            };
            job
        })
    }

    proptest! {
        #[test]
        fn what_was_prepared_and_the_position_are_the_whole_message(finished in any_job(), position: u32) {
            let finished = CommandJob {
                outcome: CommandOutcome { position: Some(Position(u64::from(position))), ..finished.outcome },
                ..finished
            };
            let whole = answer::of_job(&finished, None);
            let decided = Decided { job: &finished, decision: &finished.outcome.decision, program: &program() };
            let mut answer = Vec::new();
            prepare(&decided, &mut answer);
            prop_assert_eq!(answer.is_empty(), finished.outcome.refusal().is_some());
            // What is prepared comes back without the decision.
            let mut bytes = Vec::new();
            match answer.is_empty() {
                true => job(&finished, None, &mut bytes),
                false => {
                    let outcome = CommandOutcome { answer, decision: Decision::default(), program: None, ..finished.outcome };
                    job(&CommandJob { outcome, ..finished }, None, &mut bytes);
                }
            }
            prop_assert_eq!(wire::Decision::decode(&*bytes).expect("a decision"), whole.clone());
            prop_assert_eq!(bytes.len(), whole.encoded_len(), "nothing is written twice");
        }

        #[test]
        fn an_item_is_an_item_of_a_list(sizes in prop::collection::vec(0..400_usize, 0..5)) {
            let decisions: Vec<_> = sizes
                .iter()
                .map(|size| wire::Decision { wallet: "w".repeat(*size), ..wire::Decision::default() })
                .collect();
            let mut bytes = Vec::new();
            for decision in &decisions {
                let encoded = decision.encode_to_vec();
                let before = bytes.len();
                item(&mut bytes, &encoded);
                prop_assert_eq!(bytes.len() - before, item_header_bytes(encoded.len()) + encoded.len());
            }
            prop_assert_eq!(wire::AccrueBatchResponse { decisions }.encode_to_vec(), bytes);
        }
    }
}
