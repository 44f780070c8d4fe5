//! The author's own expectations, run by the code that decides.
//!
//! What must stay true: nothing is judged here; an expectation is an account, a command and a look at the decision.

use super::held;
use crate::ledger::account::{Account, Counter, Profile};
use crate::ledger::command::{Activity, Basket, Command, CommandKind, Line};
use crate::ledger::decision::{Decision, Outcome};
use crate::ledger::program::{
    AccountPolicy, CalendarWindow, LineClass, Metric, MetricMeasure, OwnAverage, Periods, Program,
};
use crate::ledger::state::{Context, ShardState};
use crate::ledger::types::{AccountNumber, Day, Item, ItemId, ShardId, SymbolId, TimestampNs};
use crate::limits::UNITS_MAX;
use crate::program::file::{Event, Expectation, Given, ProgramFile, TriggerEntry, WhenEntry};
use crate::program::problem::{Finding, Problems};
use crate::program::suggest::nearest;
use crate::program::symbols::{SymbolTable, Symbols};
use crate::program::table::{At, stated};
use crate::program::timezone;

/// Lines of a failed expectation that the hint explains.
const EXPLAINED_LINES_MAX: usize = 8;

/// The account of every expectation.
const ACCOUNT: &str = "expected";

/// Runs the file's expectations against the programme compiled from it, by the code that decides.
pub(in crate::program) fn check_expectations(
    file: &ProgramFile,
    program: &Program,
    symbols: &mut SymbolTable,
    problems: &mut Problems<'_>,
) {
    let mut unbounded = without_bounds(program);
    let known = KnownFacts::of(file);
    let mut decision = Decision::default();
    for expectation in &file.expectations {
        known.check(expectation, problems);
        let Some(at) = instant(expectation, program, problems) else { continue };
        let Some(counters) = counters(expectation, program, at, problems) else { continue };
        place_in_variants(&expectation.given, program, &mut unbounded);
        let command = command(expectation, at, symbols);
        let account = account(expectation, &unbounded, at, counters, symbols);
        let mut state = ShardState::new(ShardId(0));
        state.place(AccountNumber(0), &account);
        let context = Context { program: &unbounded, posted_at: at, rooms: &[], frozen: None };
        state.decide(&command, &context, &mut decision);
        compare(expectation, &command, &decision, &unbounded, problems);
        if expectation.held.is_some() && decision.refusal().is_none() {
            let holding = held::with_holding_caps(&unbounded, program);
            held::check(expectation, (&account, &command, at), &holding, problems);
        }
    }
}

/// The programme without what bounds a grant: expectations are about what is earned.
fn without_bounds(program: &Program) -> Program {
    let mut unbounded = program.clone();
    unbounded.caps.clear();
    unbounded.lines.capped.clear();
    unbounded.budgets.clear();
    unbounded.metrics.clear();
    for bonus in &mut unbounded.bonuses {
        bonus.places = None;
    }
    unbounded.has_cells = false;
    unbounded.accounts = AccountPolicy::Implicit;
    for wallet in &mut unbounded.wallets {
        wallet.balance_max = UNITS_MAX;
    }
    unbounded
}

/// When the event happens: at noon of the first day of 1970 where the expectation does not say.
fn instant(expectation: &Expectation, program: &Program, problems: &mut Problems<'_>) -> Option<TimestampNs> {
    let stated = expectation.given.at.as_ref();
    let local = stated.map_or(jiff::civil::date(1970, 1, 1).at(12, 0, 0, 0), |at| *at.get_ref());
    let found = timezone::instant(program.zone.name(), local);
    if found.is_none() {
        let place = stated.map_or_else(|| expectation.name.span(), At::span);
        problems.push(Finding::error(&place, format!("{local} is too far from today")));
    }
    found
}

fn intern(symbols: &mut SymbolTable, text: &str) -> SymbolId {
    symbols.intern(text).expect("a file holds fewer strings than a fresh dictionary takes")
}

fn intern_given(symbols: &mut SymbolTable, text: &Option<At<String>>) -> SymbolId {
    text.as_ref().map_or(SymbolId::EMPTY, |text| intern(symbols, text.get_ref()))
}

fn command(expectation: &Expectation, at: TimestampNs, symbols: &mut SymbolTable) -> Command {
    let given = &expectation.given;
    let channel = intern_given(symbols, &given.channel);
    let kind = match &expectation.event {
        Event::Activity(kind) => {
            CommandKind::Act(Activity { kind: intern(symbols, kind.get_ref()), happened_at: at, channel })
        }
        Event::Basket(lines) => {
            let lines = lines.iter().map(|line| {
                let [sku, category, department, brand, margin_class] =
                    line.attributes.each_ref().map(|text| intern(symbols, text));
                let item = Item { sku, category, department, brand, margin_class };
                Line { item_id: ItemId(0), item, quantity: line.quantity, amount_minor: line.amount_minor }
            });
            CommandKind::Accrue(Basket {
                lines: lines.collect(),
                store: intern_given(symbols, &given.store),
                terminal: intern_given(symbols, &given.terminal),
                receipt_at: at,
                channel,
                payment_method: intern_given(symbols, &given.payment_method),
                ..Basket::default()
            })
        }
    };
    let partner = intern_given(symbols, &given.partner);
    Command { account_id: ACCOUNT.to_owned(), transaction_id: ACCOUNT.to_owned(), partner, kind, ..Command::default() }
}

/// The account: of it is known what the expectation says.
fn account(
    expectation: &Expectation,
    program: &Program,
    at: TimestampNs,
    counters: Vec<Counter>,
    symbols: &mut SymbolTable,
) -> Account {
    let Given { segments, basket_number, birthday, days_since_last_basket, .. } = &expectation.given;
    // Opened at the instant, so that the first of its own years has begun.
    let mut account = Account { id: ACCOUNT.into(), opened_at: at, counters, ..Account::default() };
    account.totals.baskets = baskets_before(expectation, *basket_number);
    let mut segments: Vec<_> = segments.iter().map(|segment| intern(symbols, segment.get_ref())).collect();
    segments.sort_unstable();
    segments.dedup();
    let last_basket_on = days_since_last_basket.map(|days| Day(program.zone.day(at).0 - days));
    let birthday = *birthday;
    account.profile = Some(Box::new(Profile { segments, birthday, last_basket_on, ..Profile::default() }));
    account
}

/// How many baskets the account has had: a basket is counted once it is accepted.
fn baskets_before(expectation: &Expectation, basket_number: i64) -> i64 {
    basket_number - i64::from(matches!(expectation.event, Event::Basket(_)))
}

/// The counters that make the level, the average and what is on cards; `None` where both cannot be.
fn counters(
    expectation: &Expectation,
    program: &Program,
    at: TimestampNs,
    problems: &mut Problems<'_>,
) -> Option<Vec<Counter>> {
    let Given { level, basket_number, own_average, .. } = &expectation.given;
    let retain_until = Day(i32::MAX);
    let mut counters = Vec::new();
    if let Some(average) = own_average {
        let baskets = baskets_before(expectation, *basket_number).max(0);
        let spent = average.get_ref().checked_mul(baskets).filter(|spent| *spent <= UNITS_MAX);
        let Some(spent) = spent else {
            let message = format!("{} baskets with this average come to more than can be counted", stated(baskets));
            problems.push(Finding::error(&average.span(), message));
            return None;
        };
        let counts = |metric: &&Metric| {
            (metric.measure, metric.window) == (MetricMeasure::EligibleAmount, CalendarWindow::Lifetime)
        };
        let ever = program.metrics.iter().filter(counts).map(|metric| metric.symbol);
        // The metric itself, and what its average is made of.
        counters.extend(ever.flat_map(|counter| {
            let values = [(0, spent), (OwnAverage::SPENT, spent), (OwnAverage::BASKETS, baskets)];
            values.map(|(period, value)| Counter { counter, period, value, retain_until })
        }));
    }
    if let Some(ladder) = &program.tiers {
        let made = counters.iter().find(|counter| counter.counter == ladder.metric);
        if let (Some(made), Some(average)) = (made, own_average) {
            // The ladder counts what the average is made of, so that the level follows from it.
            let reached = ladder.level(made.value);
            if reached != *level {
                let name = ladder.at(reached).map_or("none", |level| level.name.as_str());
                let message = format!("an account of this average and number of baskets has the level {name:?}");
                let hint = format!("write tier = {name:?}, or another `basket_number`");
                problems.push(Finding::error(&average.span(), message).hint(hint));
                return None;
            }
        } else if let Some(reached) = ladder.at(*level) {
            let period = Periods::at(&program.zone, at).of(ladder.window);
            counters.push(Counter { counter: ladder.metric, period, value: reached.threshold, retain_until });
        }
    }
    for (card, stamps) in &expectation.given.stamps {
        let Some(card) = program.stamp_card(*card).filter(|_| *stamps > 0) else { continue };
        let period = Periods::at(&program.zone, at).of(card.window);
        counters.push(Counter { counter: card.symbol, period, value: *stamps, retain_until });
    }
    counters.sort_unstable_by_key(|counter| (counter.counter, counter.period));
    Some(counters)
}

/// Has every account fall into the variants that are stated: of those experiments they have all of the shares.
fn place_in_variants(given: &Given, program: &Program, unbounded: &mut Program) {
    unbounded.experiments.clone_from(&program.experiments);
    for (experiment, variant) in &given.variants {
        let Some(experiment) = unbounded.experiments.get_mut(usize::from(*experiment)) else { continue };
        for ((_, below), index) in experiment.variants.iter_mut().zip(0_u8..) {
            *below = if index < *variant { 0 } else { 100 };
        }
    }
}

fn compare(
    expectation: &Expectation,
    command: &Command,
    decision: &Decision,
    program: &Program,
    problems: &mut Problems<'_>,
) {
    let name = expectation.name.get_ref();
    let wanted = expectation.refused.as_ref();
    match (decision.outcome, wanted) {
        (Outcome::Refused(refusal), Some(wanted)) if *wanted.get_ref() == refusal => return,
        (Outcome::Refused(refusal), _) => {
            let message = format!("expectation {name:?} does not hold: {}", refusal.sentence());
            let finding = Finding::error(&expectation.name.span(), message);
            problems.push(match program.partners.is_some() {
                true => finding.hint("an expectation states `partner`, and of a basket `store` and perhaps `terminal`"),
                false => finding,
            });
            return;
        }
        (Outcome::Granted, Some(wanted)) => {
            let message = format!("expectation {name:?} does not hold: it is not refused");
            problems.push(Finding::error(&wanted.span(), message));
            return;
        }
        (Outcome::Granted, None) => {}
    }
    let what = if matches!(command.kind, CommandKind::Act(_)) { "activity" } else { "basket" };
    let expected = *expectation.units.get_ref();
    if decision.earned != expected {
        let (got, expected) = (stated(decision.earned), stated(expected));
        let message = format!("expectation {name:?} does not hold: the {what} earns {got}, not {expected}");
        let finding = Finding::error(&expectation.units.span(), message);
        problems.push(finding.hint(explain(program, command, decision)));
    }
    let Some(because) = &expectation.because else { return };
    let counted = counted(program, decision);
    if counted != *because.get_ref() {
        let list = |names: &[String]| if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        let (counted, expected) = (list(&counted), list(because.get_ref()));
        let message = format!("expectation {name:?} does not hold: what counts is {counted}, not {expected}");
        let finding = Finding::error(&because.span(), message);
        problems.push(finding.hint(explain(program, command, decision)));
    }
}

/// The names of the rules and bonuses that counted and of the cards that became full, ascending.
fn counted(program: &Program, decision: &Decision) -> Vec<String> {
    let by_class = decision.lines.iter().filter_map(|line| match line.class {
        LineClass::Rule(rule) => Some(rule),
        LineClass::Ineligible | LineClass::Base => None,
    });
    let rules = by_class.chain(decision.stacked.iter().map(|(_, rule)| *rule));
    let rules = rules.filter_map(|rule| program.lines.rule(rule)).map(|rule| rule.name.clone());
    let bonuses = decision.bonuses.iter().filter_map(|award| program.bonus(award.bonus));
    let full = decision.stamps.iter().filter(|outcome| outcome.rewards > 0);
    let full = full.filter_map(|outcome| program.stamp_card(outcome.card)).map(|card| card.name.clone());
    let mut names: Vec<String> = rules.chain(bonuses.map(|bonus| bonus.name.clone())).chain(full).collect();
    names.sort();
    names.dedup();
    names
}

/// What each line of a basket earns by, and what there is beside the lines.
fn explain(program: &Program, command: &Command, decision: &Decision) -> String {
    let mut parts = Vec::new();
    if let CommandKind::Accrue(basket) = &command.kind {
        let lines = basket.lines.iter().zip(&decision.lines).zip(0_u32..).take(EXPLAINED_LINES_MAX);
        parts.extend(lines.map(|((line, outcome), number)| {
            let class = match outcome.class {
                LineClass::Ineligible => "not eligible".to_owned(),
                LineClass::Base => "base rate".to_owned(),
                LineClass::Rule(rule) => {
                    program.lines.rule(rule).map_or_else(String::new, |rule| format!("rule `{}`", rule.name))
                }
            };
            let beside = decision.stacked.iter().filter(|(on, _)| *on == number);
            let beside = beside.filter_map(|(_, rule)| program.lines.rule(*rule));
            let beside: String = beside.map(|rule| format!(" and rule `{}`", rule.name)).collect();
            format!("line {}: {} minor units, {class}{beside}", number + 1, stated(line.amount_minor))
        }));
        if basket.lines.len() > EXPLAINED_LINES_MAX {
            parts.push(format!("and {} more", basket.lines.len() - EXPLAINED_LINES_MAX));
        }
    }
    let level = decision.tier.zip(program.tiers.as_ref()).and_then(|(tier, ladder)| ladder.at(tier.level));
    parts.extend(level.map(|level| format!("level `{}`", level.name)));
    let bonuses = decision.bonuses.iter().filter_map(|award| Some((award, program.bonus(award.bonus)?)));
    parts.extend(bonuses.map(|(award, bonus)| format!("bonus `{}`: {}", bonus.name, stated(award.units))));
    let cards = decision.stamps.iter().filter_map(|outcome| Some((outcome, program.stamp_card(outcome.card)?)));
    parts.extend(cards.map(|(outcome, card)| {
        let (counted, rewards) = (stated(outcome.counted), stated(outcome.rewards));
        format!("stamp card `{}`: {counted} counted, {rewards} times full", card.name)
    }));
    if parts.is_empty() { "no bonus counts".to_owned() } else { parts.join("; ") }
}

/// What the file's conditions and bonuses name, to find slips in expectations.
struct KnownFacts<'f> {
    stores: Vec<&'f str>,
    channels: Vec<&'f str>,
    payment_methods: Vec<&'f str>,
    partners: Vec<&'f str>,
    segments: Vec<&'f str>,
    activities: Vec<&'f str>,
}

impl<'f> KnownFacts<'f> {
    fn of(file: &'f ProgramFile) -> Self {
        let conditions: Vec<&WhenEntry> = file.conditions().collect();
        let names = |list: &dyn Fn(&'f WhenEntry) -> &'f [At<String>]| {
            let names = conditions.iter().flat_map(|when| list(when)).map(|name| name.get_ref().as_str());
            names.collect::<Vec<_>>()
        };
        let mut segments = names(&|when| &when.segments);
        segments.extend(names(&|when| &when.not_segments));
        let activities = file.bonuses.iter().filter_map(|bonus| match &bonus.trigger {
            TriggerEntry::Activity(kind) => Some(kind.get_ref().as_str()),
            TriggerEntry::Basket => None,
        });
        // A name that no partner has is refused; what is near to one is told besides.
        let mut stores = names(&|when| &when.stores);
        let of_partners = file.partners.iter().flat_map(|partner| &partner.stores);
        stores.extend(of_partners.map(|store| store.name.get_ref().as_str()));
        let mut partners = names(&|when| &when.partners);
        partners.extend(file.partners.iter().map(|partner| partner.name.get_ref().as_str()));
        Self {
            stores,
            channels: names(&|when| &when.channels),
            payment_methods: names(&|when| &when.payment_methods),
            partners,
            segments,
            activities: activities.collect(),
        }
    }

    /// Warns of a name that nothing in the file names, but for a slip of the pen.
    fn check(&self, expectation: &Expectation, problems: &mut Problems<'_>) {
        let given = &expectation.given;
        let mut facts = vec![
            ("store", &self.stores, given.store.as_ref()),
            ("channel", &self.channels, given.channel.as_ref()),
            ("payment method", &self.payment_methods, given.payment_method.as_ref()),
            ("partner", &self.partners, given.partner.as_ref()),
        ];
        facts.extend(given.segments.iter().map(|segment| ("segment", &self.segments, Some(segment))));
        if let Event::Activity(kind) = &expectation.event {
            facts.push(("activity", &self.activities, Some(kind)));
        }
        for (noun, known, name) in facts {
            let Some(name) = name.filter(|name| !known.contains(&name.get_ref().as_str())) else { continue };
            if let Some(near) = nearest(name.get_ref(), known.iter().copied()) {
                let message = format!("no condition and no bonus names the {noun} {:?}", name.get_ref());
                let hint = format!("did you mean {near:?}?");
                problems.push(Finding::warning(&name.span(), message).hint(hint));
            }
        }
    }
}
