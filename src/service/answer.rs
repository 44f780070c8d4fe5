//! Decisions from the domain onto the wire, with their reasons in words and names.
//!
//! What must stay true: a decision that is answered again says the same as the first time, but for `replayed`; the
//! times and places of a refusal that was not journaled are unset; names come from the version that judged.

use std::collections::BTreeMap;

use super::times;
use super::wire;
use crate::journal::record::Entry;
use crate::journal::walk::Located;
use crate::ledger::authorization::AuthorizationChange;
use crate::ledger::command::{Basket, Command, CommandKind};
use crate::ledger::decision::{Clip, Decision, Movement, Refusal, TierStanding};
use crate::ledger::earn::LineSums;
use crate::ledger::operator::OperatorOrder;
use crate::ledger::program::{BPS_ONE, LineClass, Periods, Program, RuleIndex, TierLadder};
use crate::ledger::types::{Position, ProgramVersion, Seq, ShardId, SymbolId, TimestampNs, Units, WalletId};
use crate::ledger::voucher::VoucherChange;
use crate::limits;
use crate::service::status;
use crate::shard::job::{CommandJob, CommandOutcome};

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub position: Position,
    pub shard: ShardId,
    pub seq: Seq,
}

/// A decision with everything that its answer names.
pub(super) struct Judged<'a> {
    pub decision: &'a Decision,
    pub kind: &'a CommandKind,
    /// The version that judged it; `None` where no programme was consulted.
    pub program: Option<&'a Program>,
    /// Of a reversal, the version that judged the original.
    pub original_version: Option<ProgramVersion>,
    pub posted_at: TimestampNs,
    /// `None` where there is no record.
    pub place: Option<Place>,
}

/// The answer to a command that a worker has finished.
pub(super) fn of_job(job: &CommandJob, original_version: Option<ProgramVersion>) -> wire::Decision {
    let outcome = &job.outcome;
    of_judged(&Judged {
        decision: &outcome.decision,
        kind: &job.command.kind,
        program: outcome.program.as_deref(),
        original_version,
        posted_at: outcome.posted_at,
        place: place_of(outcome),
    })
}

fn place_of(outcome: &CommandOutcome) -> Option<Place> {
    outcome.position.map(|position| Place { position, shard: outcome.shard, seq: outcome.seq })
}

/// The answer to a quote: the times are set, the place is not.
pub(super) fn of_quote(outcome: &CommandOutcome, kind: &CommandKind) -> wire::Decision {
    let mut decision = of_judged(&Judged {
        decision: &outcome.decision,
        kind,
        program: outcome.program.as_deref(),
        original_version: None,
        posted_at: outcome.posted_at,
        place: None,
    });
    decision.posting_time = Some(times::timestamp(outcome.posted_at));
    // Nothing is given by a quote, so that what would be given has no code.
    let given = decision.vouchers.iter_mut().filter(|note| note.event() == wire::VoucherEvent::Given);
    given.for_each(|note| note.voucher_code.clear());
    decision
}

/// The decision that the journal holds.
pub(super) fn of_entry(
    located: &Located,
    entry: &Entry,
    program: Option<&Program>,
    original_version: Option<ProgramVersion>,
) -> wire::Decision {
    of_judged(&Judged {
        decision: &entry.decision,
        kind: &entry.command.kind,
        program,
        original_version,
        posted_at: entry.posted_at,
        place: Some(Place { position: located.position, shard: located.shard, seq: located.seq }),
    })
}

/// A refusal that came before any worker was asked.
pub(super) fn refused(refusal: Refusal, command: Option<&Command>) -> wire::Decision {
    let event_at = command.and_then(|command| stated_event(&command.kind));
    wire::Decision {
        refusal: Some(refusal_of(refusal, false)),
        event_time: event_at.map(times::timestamp),
        ..wire::Decision::default()
    }
}

/// A transaction id that was used with other content.
pub(super) fn reused(field: String) -> wire::Decision {
    let refusal = wire::Refusal { field, ..refusal_of(Refusal::TransactionIdReused, false) };
    wire::Decision { refusal: Some(refusal), ..wire::Decision::default() }
}

/// A failure of one item of a batch or stream.
pub(super) fn of_item_failure(refusal: Refusal, violations: &[wire::FieldViolation]) -> wire::Decision {
    let refusal = wire::Refusal { field_violations: violations.to_vec(), ..refusal_of(refusal, false) };
    wire::Decision { refusal: Some(refusal), ..wire::Decision::default() }
}

/// When what a command is about happened, where that is not its posting.
fn stated_event(kind: &CommandKind) -> Option<TimestampNs> {
    match kind {
        CommandKind::Accrue(basket) => Some(basket.receipt_at),
        CommandKind::Act(activity) => Some(activity.happened_at),
        CommandKind::Reverse(_)
        | CommandKind::Unburn(_)
        | CommandKind::Redeem(_)
        | CommandKind::Enrol(_)
        | CommandKind::Load(_)
        | CommandKind::Operate(_)
        | CommandKind::Link(_)
        | CommandKind::Authorize(_)
        | CommandKind::Capture(_)
        | CommandKind::Void(_)
        | CommandKind::TopUp(_)
        | CommandKind::Refund(_)
        | CommandKind::Expire => None,
    }
}

fn of_judged(judged: &Judged<'_>) -> wire::Decision {
    let decision = judged.decision;
    let event_at = stated_event(judged.kind).or_else(|| judged.place.map(|_| judged.posted_at));
    let mut answer = wire::Decision {
        program_version: version_of(judged),
        wallet: wallet_of(judged),
        balance_points: if judged.place.is_some() || decision.refusal().is_none() { decision.balance_after } else { 0 },
        event_time: event_at.map(times::timestamp),
        ..wire::Decision::default()
    };
    if let Some(place) = judged.place {
        answer.posting_time = Some(times::timestamp(judged.posted_at));
        answer.position = Some(signed(place.position.0));
        answer.shard = Some(i32::from(place.shard.0));
        answer.sequence = Some(signed(place.seq.0));
    }
    if let CommandKind::Refund(refund) = judged.kind {
        answer.refundable_points = decision.refundable;
        answer.refund_source = if decision.refusal().is_none() { refund.source.to_string() } else { String::new() };
    }
    if let Some(refusal) = decision.refusal() {
        let mut refusal = refusal_of(refusal, judged.place.is_some());
        refusal.retry_delay = refusal.retry_delay.or_else(|| wait_for_receipt(judged));
        if decision.refusal() == Some(Refusal::RewardTierRequired) {
            refusal.required_tier = required_tier(judged);
        }
        if decision.refusal() == Some(Refusal::InvalidCommand) {
            refusal.field_violations = vec![too_many_rules()];
        }
        answer.refusal = Some(refusal);
        return answer;
    }
    match &judged.kind {
        CommandKind::Accrue(basket) => {
            add_earnings(&mut answer, judged);
            add_lines(&mut answer, judged, basket);
        }
        CommandKind::Act(_) | CommandKind::Load(_) => add_earnings(&mut answer, judged),
        CommandKind::Reverse(_) => {
            answer.reversed_points = -decision.granted;
            answer.owed_points = decision.effects.owed.map_or(0, |(_, delta)| delta);
        }
        CommandKind::TopUp(_) => answer.granted_points = decision.granted,
        CommandKind::Refund(_) => answer.reversed_points = -decision.granted,
        CommandKind::Redeem(_) => answer.redeemed_points = -decision.granted,
        CommandKind::Unburn(_) => answer.returned_points = decision.granted,
        CommandKind::Authorize(_) | CommandKind::Capture(_) | CommandKind::Void(_) => {
            add_authorization(&mut answer, judged.kind, decision);
        }
        CommandKind::Operate(operation) => add_operation(&mut answer, &operation.order, decision),
        CommandKind::Enrol(_) | CommandKind::Link(_) | CommandKind::Expire => {}
    }
    answer.vouchers = vouchers_of(judged.program, decision).collect();
    answer.stamps = judged.program.into_iter().flat_map(|program| stamps_of(program, decision)).collect();
    answer.expired_points = expired_units(decision);
    answer.collected_points = collected_units(decision);
    let variants = judged.program.into_iter().flat_map(|program| variants_of(program, decision));
    answer.variants.extend(variants.map(|(experiment, variant)| wire::ExperimentVariant {
        experiment: experiment.to_owned(),
        variant: variant.to_owned(),
    }));
    let standing = judged.program.zip(decision.tier).and_then(|(program, standing)| tier_of(program, standing));
    answer.tier = standing.map(|standing| standing.to_wire());
    answer
}

/// The experiments of a programme with the account's variant of each, by name.
pub(super) fn variants_of<'a>(
    program: &'a Program,
    decision: &'a Decision,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    program.experiments.iter().zip(&decision.variants).map(|(experiment, variant)| {
        let variant = experiment.variants.get(usize::from(*variant));
        (experiment.name.as_str(), variant.map_or("", |(name, _)| name))
    })
}

/// What a basket counts on the stamp cards of a programme.
pub(super) fn stamps_of<'a>(
    program: &'a Program,
    decision: &'a Decision,
) -> impl Iterator<Item = wire::StampOutcome> + use<'a> {
    decision.stamps.iter().filter_map(|outcome| {
        let card = program.stamp_card(outcome.card)?;
        Some(wire::StampOutcome {
            name: card.name.clone(),
            counted: outcome.counted,
            on_card: outcome.on_card(card),
            card_size: i32::try_from(card.size).expect("a card is small"),
            rewards: outcome.rewards,
        })
    })
}

/// What becomes of vouchers.
pub(super) fn vouchers_of<'a>(
    program: Option<&'a Program>,
    decision: &'a Decision,
) -> impl Iterator<Item = wire::VoucherNote> {
    let kind_of = move |symbol| program.and_then(|program| program.vouchers.iter().find(|kind| kind.symbol == symbol));
    decision.effects.vouchers.iter().map(move |(code, change)| {
        let note = wire::VoucherNote { voucher_code: code.to_string(), ..wire::VoucherNote::default() };
        let event = match change {
            VoucherChange::Given(terms) => {
                return wire::VoucherNote {
                    event: wire::VoucherEvent::Given.into(),
                    voucher: kind_of(terms.kind).map_or_else(String::new, |kind| kind.name.clone()),
                    start_time: Some(times::timestamp(terms.starts_at)),
                    expire_time: Some(times::timestamp(terms.ends_at)),
                    basket_minor_min: terms.minor_min,
                    ..note
                };
            }
            VoucherChange::Used(_) => wire::VoucherEvent::Used,
            VoucherChange::GivenBack => wire::VoucherEvent::GivenBack,
            VoucherChange::Cancelled => wire::VoucherEvent::Cancelled,
            VoucherChange::Kept => wire::VoucherEvent::Kept,
        };
        wire::VoucherNote { event: event.into(), ..note }
    })
}

/// Units that were taken out of a grant because the account owed them.
pub(super) fn collected_units(decision: &Decision) -> Units {
    decision.effects.owed.map_or(0, |(_, delta)| delta.saturating_neg().max(0))
}

/// Units of the decision's wallet whose expiry it posts.
pub(super) fn expired_units(decision: &Decision) -> Units {
    let dead = decision.effects.lots.iter().filter(|change| change.movement == Movement::Expire);
    let of_wallet = dead.filter(|change| change.key.wallet == decision.wallet);
    of_wallet.fold(0, |sum: Units, change| sum.saturating_sub(change.delta))
}

/// Units of other wallets than the decision's whose expiry it posts, by wallet. A command's own answer does not tell them: its
/// caller may deal in its wallet alone.
pub(super) fn expired_elsewhere(decision: &Decision) -> BTreeMap<WalletId, Units> {
    let mut dead: BTreeMap<WalletId, Units> = BTreeMap::new();
    for change in decision.effects.lots.iter().filter(|change| change.movement == Movement::Expire) {
        if change.key.wallet != decision.wallet {
            let units = dead.entry(change.key.wallet).or_default();
            *units = units.saturating_sub(change.delta);
        }
    }
    dead
}

/// Where an account stands on a ladder, in names.
#[derive(Clone, Copy, Debug)]
pub(super) struct NamedStanding<'a> {
    pub level: &'a str,
    pub reached: &'a str,
    pub qualifying: i64,
    pub next: &'a str,
    pub missing: i64,
}

impl NamedStanding<'_> {
    pub(super) fn to_wire(self) -> wire::TierStanding {
        wire::TierStanding {
            level: self.level.to_owned(),
            reached_level: self.reached.to_owned(),
            qualifying_value: self.qualifying,
            next_level: self.next.to_owned(),
            missing_value: self.missing,
        }
    }
}

/// What a decision says about the ladder; `None` where the programme has none.
pub(super) fn tier_of(program: &Program, standing: TierStanding) -> Option<NamedStanding<'_>> {
    program.tiers.as_ref().map(|ladder| named_standing(ladder, standing))
}

/// A standing in names, with what is missing to the next level. What the ladder has the account keep counts as reached: it
/// does not depend on what has been counted since.
pub(super) fn named_standing(ladder: &TierLadder, standing: TierStanding) -> NamedStanding<'_> {
    let name = |level| ladder.at(level).map_or("", |level| level.name.as_str());
    let reached = ladder.level(standing.qualifying).max(standing.level);
    let next = ladder.levels.get(usize::from(reached));
    NamedStanding {
        level: name(standing.level),
        reached: name(reached),
        qualifying: standing.qualifying,
        next: next.map_or("", |next| &next.name),
        missing: next.map_or(0, |next| next.threshold.saturating_sub(standing.qualifying)),
    }
}

/// The multiplier of the level that judged, in basis points; `None` where there was none.
pub(super) fn tier_bps(program: &Program, decision: &Decision) -> Option<i64> {
    let level = program.tiers.as_ref()?.at(decision.tier?.level)?;
    Some(level.multiplier_bps)
}

/// 0 where no programme was consulted; of a reversal, the version that judged the original.
fn version_of(judged: &Judged<'_>) -> i32 {
    let consulted = judged.program.map(|program| program.version);
    let version = match judged.kind {
        CommandKind::Reverse(_) | CommandKind::Refund(_) => consulted.and(judged.original_version),
        _ => consulted,
    };
    version.map_or(0, |version| i32::try_from(version.0).expect("versions are bounded"))
}

fn wallet_of(judged: &Judged<'_>) -> String {
    let Some(program) = judged.program else { return String::new() };
    // A refusal that was not journaled has no wallet of its own; the one that the command is about is meant.
    let named = judged.decision.program == program.version;
    let asked = || judged.kind.wallet().unwrap_or(program.earn.wallet);
    let wallet = if named { judged.decision.wallet } else { asked() };
    wallet_name(program, wallet).to_owned()
}

/// The name of a wallet.
pub(super) fn wallet_name(program: &Program, wallet: WalletId) -> &str {
    program.wallets.get(usize::from(wallet.0)).map_or("", |wallet| &wallet.name)
}

/// What was earned and what of it was granted.
fn add_earnings(answer: &mut wire::Decision, judged: &Judged<'_>) {
    let decision = judged.decision;
    answer.earned_points = decision.earned;
    answer.granted_points = decision.granted;
    let Some(program) = judged.program else { return };
    answer.clips.extend(decision.clips.iter().map(|clip| clip_of(program, clip)));
    answer.bonuses.extend(decision.bonuses.iter().map(|award| wire::BonusAward {
        name: program.bonus(award.bonus).map_or_else(String::new, |bonus| bonus.name.clone()),
        points: award.units,
    }));
    let denied = decision.over_velocity.zip(stated_event(judged.kind));
    answer.velocity_denial = denied.map(|(cap, event_at)| velocity_denial(program, cap, event_at));
    answer.held_for_review = held_by(program, decision).map(|cap| wire::HeldForReview { cap: cap.to_owned() });
}

/// The cap that holds what was granted.
pub(super) fn held_by<'a>(program: &'a Program, decision: &Decision) -> Option<&'a str> {
    let symbol = decision.effects.held.as_deref()?.begins_by()?;
    program.caps.iter().find(|cap| cap.symbol == symbol).map(|cap| cap.name.as_str())
}

/// What came of an operator's command.
fn add_operation(answer: &mut wire::Decision, order: &OperatorOrder, decision: &Decision) {
    match order {
        OperatorOrder::Release(_) => {
            let gains = decision.effects.lots.iter().filter(|lot| lot.movement == Movement::Release && lot.delta > 0);
            answer.released_points = gains.map(|lot| lot.delta).sum();
        }
        OperatorOrder::Restore(_) => answer.restored_points = decision.granted,
        OperatorOrder::IssueVoucher(_) | OperatorOrder::CancelVoucher(_) => {}
        OperatorOrder::Reject(_) | OperatorOrder::Adjust(_) => {
            answer.granted_points = decision.granted.max(0);
            answer.reversed_points = decision.granted.saturating_neg().max(0);
        }
    }
}

/// What came of a command about what is set aside.
fn add_authorization(answer: &mut wire::Decision, kind: &CommandKind, decision: &Decision) {
    let changes = decision.effects.authorizations.as_deref();
    let ends_at = match changes.and_then(|changes| changes.own.as_ref()) {
        None => return,
        Some(AuthorizationChange::Begins(_, ends_at)) => {
            let taken = decision.effects.lots.iter().filter(|lot| lot.movement == Movement::SetAside);
            answer.authorized_points = taken.map(|lot| -lot.delta).sum();
            answer.remaining_points = answer.authorized_points;
            Some(*ends_at)
        }
        Some(AuthorizationChange::Captures { units, rest, closes, .. }) => {
            answer.redeemed_points = *units;
            (answer.remaining_points, answer.returned_points) = if *closes { (0, *rest) } else { (*rest, 0) };
            kind.authorization().filter(|_| !closes).map(|of| of.ends_at)
        }
        Some(AuthorizationChange::Voids { rest, .. }) => {
            answer.returned_points = *rest;
            None
        }
    };
    answer.hold_expire_time = ends_at.map(times::timestamp);
}

/// How each line was judged.
fn add_lines(answer: &mut wire::Decision, judged: &Judged<'_>, basket: &Basket) {
    let decision = judged.decision;
    let Some(program) = judged.program else { return };
    let tier_bps = tier_bps(program, decision);
    let mut stacked = &decision.stacked[..];
    let lines = decision.lines.iter().zip(&basket.lines).enumerate();
    answer.line_decisions.reserve(decision.lines.len());
    answer.line_decisions.extend(lines.map(|(index, (outcome, line))| {
        let beside = beside(&mut stacked, index);
        let exact = Exact { program, class: outcome.class, beside, tier_bps };
        wire::LineDecision {
            line_index: i32::try_from(index).expect("a basket's lines are bounded"),
            eligible: outcome.class != LineClass::Ineligible,
            rule: rule_name(program, outcome.class).to_owned(),
            multiplier_bps: i32::try_from(program.lines.multiplier_bps(outcome.class)).unwrap_or(i32::MAX),
            exact_micropoints: exact.micropoints(line.amount_minor, line.quantity),
            further_rules: beside.iter().map(|(_, rule)| further_rule(program, *rule).to_owned()).collect(),
        }
    }));
}

/// The rules that count beside the class of a line, cut off the front of what is left of a decision's.
pub(super) fn beside<'a>(left: &mut &'a [(u32, RuleIndex)], line_index: usize) -> &'a [(u32, RuleIndex)] {
    let is_of_line = |(line, _): &&(u32, RuleIndex)| usize::try_from(*line) == Ok(line_index);
    let (of_line, rest) = left.split_at(left.iter().take_while(is_of_line).count());
    *left = rest;
    of_line
}

/// The name of a rule that counts beside the class of a line.
pub(super) fn further_rule(program: &Program, rule: RuleIndex) -> &str {
    program.lines.rule(rule).map_or("", |rule| &rule.name)
}

/// The name of the rule that a line earned by; empty where there was none.
pub(super) fn rule_name(program: &Program, class: LineClass) -> &str {
    match class {
        LineClass::Ineligible | LineClass::Base => "",
        LineClass::Rule(rule) => program.lines.rule(rule).map_or("", |rule| &rule.name),
    }
}

/// What a line earned by, for its exact share.
#[derive(Clone, Copy)]
pub(super) struct Exact<'a> {
    pub program: &'a Program,
    pub class: LineClass,
    pub beside: &'a [(u32, RuleIndex)],
    pub tier_bps: Option<i64>,
}

impl Exact<'_> {
    /// The line's exact share in millionths of a point, cut off; for explanation only.
    pub(super) fn micropoints(&self, amount_minor: i64, quantity: i64) -> i64 {
        const MICRO_PER_BPS: i64 = 1_000_000 / BPS_ONE;
        if self.beside.is_empty() {
            // Division of 128-bit numbers is slow, and amounts are small.
            let (bps, earn) = (self.program.lines.multiplier_bps(self.class), &self.program.earn);
            let narrow = amount_minor.checked_mul(bps).and_then(|product| product.checked_mul(earn.units));
            let per_level = self.tier_bps.unwrap_or(BPS_ONE).checked_mul(MICRO_PER_BPS);
            if let Some(micro) = narrow.zip(per_level).and_then(|(product, level)| product.checked_mul(level)) {
                return micro / (earn.per_minor * BPS_ONE);
            }
        }
        self.wide_micropoints(amount_minor, quantity)
    }

    fn wide_micropoints(&self, amount_minor: i64, quantity: i64) -> i64 {
        if self.class == LineClass::Ineligible {
            return 0;
        }
        let sums = LineSums::new(self.program, self.tier_bps.unwrap_or(BPS_ONE), 0);
        let beside = self.beside.iter().map(|(_, rule)| *rule);
        let (parts, denominator) = (sums.exact(self.class, beside, amount_minor, quantity), sums.denominator());
        let (whole, rest) = (parts / denominator, parts % denominator);
        // With a denominator so large that the rest leaves i128, dividing it first loses less than a millionth.
        let fraction = match rest.checked_mul(1_000_000) {
            Some(rest) => rest / denominator,
            None => rest / (denominator / 1_000_000),
        };
        whole.checked_mul(1_000_000).and_then(|whole| i64::try_from(whole + fraction).ok()).unwrap_or(i64::MAX)
    }
}

fn clip_of(program: &Program, clip: &Clip) -> wire::Clip {
    let (source, name) = clip_source(program, clip);
    let rule = clip_rule(program, clip).to_owned();
    wire::Clip { source: source.into(), name: name.to_owned(), clipped_points: clip.units, rule }
}

/// What clipped, and its name.
pub(super) fn clip_source<'a>(program: &'a Program, clip: &Clip) -> (wire::ClipSource, &'a str) {
    if clip.is_budget {
        let budget = program.budgets.iter().find(|budget| budget.symbol == clip.source);
        (wire::ClipSource::Budget, budget.map_or("", |budget| &budget.name))
    } else {
        let cap = program.all_caps().find(|cap| cap.symbol == clip.source);
        (wire::ClipSource::Cap, cap.map_or("", |cap| &cap.name))
    }
}

/// The rule whose own cap clipped; empty where none did.
pub(super) fn clip_rule<'a>(program: &'a Program, clip: &Clip) -> &'a str {
    let capped = program.lines.cap_of_rule(clip.source).filter(|_| !clip.is_budget);
    capped.and_then(|(capped, _)| program.lines.rule(capped.rule)).map_or("", |rule| &rule.name)
}

pub(super) fn velocity_denial(program: &Program, symbol: SymbolId, receipt_at: TimestampNs) -> wire::VelocityDenial {
    let Some(cap) = program.caps.iter().find(|cap| cap.symbol == symbol) else {
        return wire::VelocityDenial::default();
    };
    // The window of a cap is nobody's own.
    let period = Periods::at(&program.zone, receipt_at).of(cap.window);
    wire::VelocityDenial { cap: cap.name.clone(), period: times::period(cap.window, period), limit_count: cap.limit }
}

/// A refusal in words, with what to do about it.
pub(super) fn refusal_of(refusal: Refusal, journaled: bool) -> wire::Refusal {
    wire::Refusal {
        code: code_of(refusal).into(),
        message: refusal.sentence().to_owned(),
        journaled,
        retry_advice: advice_of(refusal, journaled).into(),
        retry_delay: match refusal {
            Refusal::Overloaded => Some(duration(status::OVERLOAD_DELAY)),
            Refusal::NameRateExceeded => Some(duration(status::NAME_DELAY)),
            Refusal::ShuttingDown => Some(duration(status::RESTART_DELAY)),
            _ => None,
        },
        field: String::new(),
        field_violations: Vec::new(),
        required_tier: String::new(),
    }
}

/// The level that the reward of a refused redemption asks for.
fn required_tier(judged: &Judged<'_>) -> String {
    let CommandKind::Redeem(redemption) = judged.kind else { return String::new() };
    let asked = redemption.reward.zip(judged.program);
    let level = asked.and_then(|(asked, program)| program.tiers.as_ref()?.at(program.reward(asked.reward)?.level));
    level.map_or_else(String::new, |level| level.name.clone())
}

/// What is wrong with a command that only deciding finds malformed: it is this alone.
fn too_many_rules() -> wire::FieldViolation {
    let most = limits::STACKED_RULES_MAX;
    let description = format!("More than {most} rules count for the lines together: send fewer lines at once.");
    wire::FieldViolation { field: "basket.lines".to_owned(), description }
}

/// How long what comes from the future has to wait until it is not refused for that.
fn wait_for_receipt(judged: &Judged<'_>) -> Option<prost_types::Duration> {
    let (program, event_at) = judged.program.zip(stated_event(judged.kind))?;
    if judged.decision.refusal() != Some(Refusal::ReceiptInFuture) {
        return None;
    }
    let wait_ns = event_at.0.saturating_sub(judged.posted_at.0).saturating_sub(program.future_skew_ns);
    u64::try_from(wait_ns).ok().map(|wait_ns| duration(std::time::Duration::from_nanos(wait_ns)))
}

fn duration(of: std::time::Duration) -> prost_types::Duration {
    let seconds = i64::try_from(of.as_secs()).unwrap_or(i64::MAX);
    prost_types::Duration { seconds, nanos: i32::try_from(of.subsec_nanos()).expect("below 10^9") }
}

/// The number of a refusal on the wire.
pub(super) fn code_of(refusal: Refusal) -> wire::RefusalCode {
    wire::RefusalCode::try_from(i32::from(refusal.number())).expect("the contract has every refusal under its number")
}

/// A refusal that is remembered under an id where it usually is, but was not, leaves that id free.
fn advice_of(refusal: Refusal, journaled: bool) -> wire::RetryAdvice {
    use crate::ledger::decision::RetryAdvice;
    match refusal.retry() {
        RetryAdvice::NewId if refusal.is_journaled() && !journaled => wire::RetryAdvice::SameId,
        RetryAdvice::SameId => wire::RetryAdvice::SameId,
        RetryAdvice::NewId => wire::RetryAdvice::NewId,
        RetryAdvice::Never => wire::RetryAdvice::Never,
    }
}

/// A number that the wire states as signed. Positions and counts stay far below its range.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("positions and counts stay below 2^63")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::program::{CalendarWindow, LineEffect, LineRule, Stacking};

    #[test]
    fn every_refusal_has_its_number_and_advice_on_the_wire() {
        for refusal in Refusal::ALL {
            let answer = refusal_of(refusal, refusal.is_journaled());
            assert_eq!(answer.code, i32::from(refusal.number()), "{refusal:?}");
            let name: String = code_of(refusal).as_str_name().trim_start_matches("REFUSAL_CODE_").replace('_', "");
            assert_eq!(name.to_lowercase(), format!("{refusal:?}").to_lowercase());
            assert_ne!(answer.retry_advice, i32::from(wire::RetryAdvice::Unspecified));
            assert!(answer.message.ends_with('.'));
        }
    }

    /// One point per 100 minor units, with a rule of each kind that counts beside others.
    fn stacked_program() -> Program {
        let mut symbols = crate::program::SymbolTable::new();
        let compiled = crate::program::compile(crate::program::SAMPLE, ProgramVersion(1), TimestampNs(0), &mut symbols);
        let mut program = compiled.expect("the sample compiles");
        let rule = |effect, stacking| LineRule { effect, stacking, ..LineRule::multiplier("any", BPS_ONE) };
        program.lines.rules = vec![
            LineRule::multiplier("double", 2 * BPS_ONE),
            rule(LineEffect::Multiplier(15_000), Stacking::Add),
            rule(LineEffect::Multiplier(12_500), Stacking::Multiply),
            rule(LineEffect::Fixed { units: 3, per_piece: true }, Stacking::Add),
        ];
        program.lines.multiply_max = 1;
        // Levels multiply in a programme that has a ladder; what it looks like does not matter here.
        program.tiers = Some(TierLadder {
            metric: SymbolId(1),
            window: CalendarWindow::Year,
            rolling: 1,
            keep: 0,
            soft_landing: false,
            grace_days: 0,
            levels: Vec::new(),
        });
        program
    }

    #[test]
    fn a_line_s_share_counts_everything_that_counts_for_it() {
        let program = stacked_program();
        let double = LineClass::Rule(RuleIndex(0));
        let rows: [(LineClass, &[u32], Option<i64>, i64); 8] = [
            (LineClass::Base, &[], None, 2_500_000),
            (double, &[], None, 5_000_000),
            (double, &[], Some(12_500), 6_250_000),
            (double, &[1], None, 6_250_000),
            (double, &[2], None, 6_250_000),
            (double, &[1, 2, 3], None, 13_812_500),
            (double, &[1, 2, 3], Some(15_000), 17_718_750),
            (LineClass::Ineligible, &[], Some(15_000), 0),
        ];
        for (class, rules, tier_bps, expected) in rows {
            let beside: Vec<(u32, RuleIndex)> = rules.iter().map(|rule| (0, RuleIndex(*rule))).collect();
            let exact = Exact { program: &program, class, beside: &beside, tier_bps };
            assert_eq!(exact.micropoints(250, 2), expected, "{class:?} {rules:?} {tier_bps:?}");
        }
        let exact = Exact { program: &program, class: double, beside: &[], tier_bps: Some(15_000) };
        assert_eq!(exact.micropoints(1_000_000_000_000, 1), 30_000_000_000_000_000, "what is too large for 64 bits");
    }

    #[test]
    fn advice_follows_what_became_of_the_id() {
        let advice = |refusal, journaled| refusal_of(refusal, journaled).retry_advice();
        assert_eq!(advice(Refusal::BalanceLimitExceeded, true), wire::RetryAdvice::NewId);
        assert_eq!(advice(Refusal::BalanceLimitExceeded, false), wire::RetryAdvice::SameId);
        assert_eq!(advice(Refusal::TransactionIdReused, false), wire::RetryAdvice::NewId);
        assert_eq!(advice(Refusal::ReceiptAlreadyEarned, false), wire::RetryAdvice::Never);
        assert_eq!(advice(Refusal::Overloaded, false), wire::RetryAdvice::SameId);
    }
}
