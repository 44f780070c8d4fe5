//! What the versions so far count, all of them together: what each name means, and for how long its counters are kept. The
//! next version is held against that by looking each of its own names up once, however many versions there are.
//!
//! What must stay true: the answers are those of a comparison with each version by itself, the oldest first.

use std::collections::BTreeMap;

use crate::ledger::program::{CalendarWindow, Cap, CapMeasure, CapSubject, MetricMeasure, Program, StampsCounted};
use crate::ledger::types::{ProgramVersion, SymbolId};

/// What names mean, and the version that gave each its meaning. A file gives a name once, and no later one another meaning.
type Meanings = BTreeMap<Box<str>, (Meaning, ProgramVersion)>;

/// The counters and cells of all versions so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    counters: Meanings,
    /// A name may stand for a counter of accounts and for a cell beside: a bonus has both.
    cells: Meanings,
    /// See [`Program::keeps_last_basket`].
    keeps_last_basket: bool,
    /// [`Cap::kept`] of the caps of programmes and of rules.
    caps: BTreeMap<SymbolId, u16>,
    /// The same of budgets.
    budgets: BTreeMap<SymbolId, u16>,
    /// Of metrics, for how long they are kept, and whether they are averaged.
    metrics: BTreeMap<SymbolId, (u16, bool)>,
}

impl Counters {
    /// The name that means something else than it did, with the version that gave it its meaning: of several the one of the
    /// earliest version, counters of accounts before cells, in the order of the new file.
    pub(super) fn contradicted<'p>(&self, program: &'p Program) -> Option<(&'p str, ProgramVersion)> {
        let of_accounts = changed(&self.counters, counters(program));
        // Of equal versions the first is taken.
        of_accounts.chain(changed(&self.cells, cells(program))).min_by_key(|(_, version)| *version)
    }

    /// Has a version keep counters for as long as all before it did, and what they kept of accounts beside them: one that
    /// looks less far back, or not at all, may be followed by one that does again.
    pub(super) fn lengthen(&self, program: &mut Program) {
        program.keeps_last_basket |= self.keeps_last_basket;
        let before = |kept: &BTreeMap<SymbolId, u16>, name: SymbolId| kept.get(&name).copied().unwrap_or(0);
        let of_rules = program.lines.capped.iter_mut().flat_map(|capped| &mut capped.caps);
        for cap in program.caps.iter_mut().chain(of_rules) {
            cap.kept = cap.kept.max(before(&self.caps, cap.symbol));
        }
        for budget in &mut program.budgets {
            budget.run.kept = budget.run.kept.max(before(&self.budgets, budget.symbol));
        }
        for metric in &mut program.metrics {
            let (kept_ahead, is_averaged) = self.metrics.get(&metric.symbol).copied().unwrap_or_default();
            metric.kept_ahead = metric.kept_ahead.max(kept_ahead);
            metric.is_averaged |= is_averaged;
        }
    }

    /// Takes in a version that contradicts none before it and was lengthened, so that it keeps for the longest of all.
    pub(super) fn take_in(&mut self, program: &Program) {
        learn(&mut self.counters, counters(program), program.version);
        learn(&mut self.cells, cells(program), program.version);
        self.keeps_last_basket = program.keeps_last_basket;
        self.caps.extend(program.all_caps().map(|cap| (cap.symbol, cap.kept)));
        self.budgets.extend(program.budgets.iter().map(|budget| (budget.symbol, budget.run.kept)));
        let metrics = program.metrics.iter();
        self.metrics.extend(metrics.map(|metric| (metric.symbol, (metric.kept_ahead, metric.is_averaged))));
    }
}

/// The names that mean something else than they did, each with the version that gave it its meaning.
fn changed<'p>(
    known: &Meanings,
    now: impl Iterator<Item = (&'p str, Meaning)>,
) -> impl Iterator<Item = (&'p str, ProgramVersion)> {
    now.filter_map(move |(name, meaning)| {
        let (before, version) = known.get(name)?;
        (*before != meaning).then_some((name, *version))
    })
}

/// Adds the names that are new.
fn learn<'p>(known: &mut Meanings, named: impl Iterator<Item = (&'p str, Meaning)>, version: ProgramVersion) {
    for (name, meaning) in named {
        known.entry(name.into()).or_insert((meaning, version));
    }
}

/// What a counter means: what it counts, of whom, and the window.
type Meaning = (Counted, CapSubject, CalendarWindow);

/// What the counters of a programme count: a cap's or a metric's measure, the uses of a bonus or the stamps of a card.
fn counters(program: &Program) -> impl Iterator<Item = (&str, Meaning)> {
    let metrics = program.metrics.iter().map(|metric| {
        let counted = match metric.measure {
            MetricMeasure::EligibleAmount => Counted::EligibleAmount,
            MetricMeasure::Units => Counted::Units,
            MetricMeasure::Baskets => Counted::Baskets,
        };
        (metric.name.as_str(), (counted, CapSubject::Account, metric.window))
    });
    // A bonus without a limit counts nothing.
    let limited = program.bonuses.iter().filter_map(|bonus| {
        let (window, _) = bonus.limit?;
        Some((bonus.name.as_str(), (Counted::Bonus, CapSubject::Account, window)))
    });
    let cards = program.stamps.iter();
    let cards =
        cards.map(|card| (card.name.as_str(), (Counted::Stamps(card.counts), CapSubject::Account, card.window)));
    program.caps.iter().map(of_cap).chain(caps_of_rules(program)).chain(metrics).chain(limited).chain(cards)
}

/// What the cells of a programme count: budgets, the places of bonuses, the stock of rewards, and caps that accounts share.
fn cells(program: &Program) -> impl Iterator<Item = (&str, Meaning)> {
    let (whole, ever) = (CapSubject::Programme, CalendarWindow::Lifetime);
    let budgets = program.budgets.iter().map(move |budget| {
        let counted = Counted::Budget(budget.partner_name.as_deref().map(Box::from));
        (budget.name.as_str(), (counted, whole, budget.run.window))
    });
    let places = program.bonuses.iter().filter(|bonus| bonus.places.is_some());
    let places = places.map(move |bonus| (bonus.name.as_str(), (Counted::Places, whole, ever)));
    let shared = program.caps.iter().filter(|cap| cap.subject.is_shared());
    let shared_of_rules = caps_of_rules(program).filter(|(_, (_, subject, _))| subject.is_shared());
    let stocks = program.rewards.iter().filter(|reward| reward.stock.is_some());
    let stocks = stocks.map(move |reward| (reward.name.as_str(), (Counted::Stock, whole, ever)));
    budgets.chain(places).chain(stocks).chain(shared.map(of_cap)).chain(shared_of_rules)
}

/// What the caps of rules count: a rule's share, whichever rule of the version it is.
fn caps_of_rules(program: &Program) -> impl Iterator<Item = (&str, Meaning)> {
    program.lines.capped.iter().flat_map(|capped| &capped.caps).map(|cap| {
        let (name, (counted, subject, window)) = of_cap(cap);
        let counted = match counted {
            Counted::Units => Counted::RuleUnits,
            Counted::EarningBaskets => Counted::RuleBaskets,
            _ => Counted::RuleAmount,
        };
        (name, (counted, subject, window))
    })
}

fn of_cap(cap: &Cap) -> (&str, Meaning) {
    let counted = match cap.measure {
        CapMeasure::Units => Counted::Units,
        CapMeasure::EarningBaskets => Counted::EarningBaskets,
        CapMeasure::EligibleAmount => Counted::EarningAmount,
    };
    (cap.name.as_str(), (counted, cap.subject, cap.window))
}

/// What a counter counts, in one enum so that a cap cannot go on as a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Counted {
    Units,
    EarningBaskets,
    EarningAmount,
    Baskets,
    EligibleAmount,
    Bonus,
    Stamps(StampsCounted),
    /// Of all partners, or of the one of this name. Not by its number: versions can have been compiled apart.
    Budget(Option<Box<str>>),
    Places,
    Stock,
    RuleUnits,
    RuleBaskets,
    RuleAmount,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::ledger::program::{
        Bonus, Budget, CappedRule, LineTable, Metric, Over, Reward, RuleIndex, Run, StampCard, StampReward,
    };
    use crate::ledger::types::{TimestampNs, WalletId};
    use crate::program::registry::{AppendError, Programs};
    use crate::program::{SymbolTable, compile};

    /// Names that versions of the properties give; each stands in one place of a file, or in another by mistake.
    const NAME_COUNT: usize = 20;

    /// Whether a version has the name, whether it means something else by it than usual, how far it looks back, and whether
    /// it asks for the average.
    type Entry = (bool, bool, u16, bool);

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let entry = (any::<bool>(), prop::bool::weighted(0.04), 1..6_u16, prop::bool::weighted(0.2));
        prop::collection::vec(entry, NAME_COUNT)
    }

    /// A programme that counts nothing, and a bonus to make others of.
    fn base() -> (Program, Bonus) {
        let source = include_str!("tests/full.toml");
        let mut program = compile(source, ProgramVersion(1), TimestampNs(0), &mut SymbolTable::new()).unwrap();
        let bonus = Bonus { limit: None, places: None, ..program.bonuses[0].clone() };
        program.lines = LineTable::default();
        program.caps.clear();
        program.metrics.clear();
        program.bonuses.clear();
        (program, bonus)
    }

    fn numbered(base: &Program, number: u32) -> Program {
        Program { version: ProgramVersion(number), effective_at: TimestampNs(i64::from(number)), ..base.clone() }
    }

    fn with_entries((base, template): &(Program, Bonus), number: u32, entries: &[Entry]) -> Program {
        let mut program = numbered(base, number);
        for (index, entry) in (0..).zip(entries) {
            place(&mut program, template, index, *entry);
        }
        program
    }

    /// Adds what goes by the name with this number, if the version has it.
    fn place(program: &mut Program, template: &Bonus, index: u32, (is_there, is_other, kept, is_averaged): Entry) {
        if !is_there {
            return;
        }
        let (name, symbol) = (format!("n{index}"), SymbolId(1_000 + index));
        let window = if is_other { CalendarWindow::Week } else { CalendarWindow::Day };
        let cap = |subject| Cap {
            name: name.clone(),
            symbol,
            measure: CapMeasure::Units,
            subject,
            window,
            rolling: kept,
            kept,
            limit: 1,
            over: Over::Clip,
        };
        let of_rule = |subject| CappedRule { rule: RuleIndex(index), caps: vec![cap(subject)] };
        let budget = |partner_name| Budget {
            name: name.clone(),
            symbol,
            partner: None,
            partner_name,
            limit: 1,
            run: Run { window: CalendarWindow::Day, rolling: kept, kept },
            warnings: Vec::new(),
            from: None,
            until: None,
        };
        let bonus = |limit, places| Bonus { name: name.clone(), symbol, limit, places, ..template.clone() };
        match index % 10 {
            0 => program.caps.push(cap(CapSubject::Account)),
            1 => program.caps.push(cap(CapSubject::Store)),
            2 => program.lines.capped.push(of_rule(CapSubject::Member)),
            3 => program.lines.capped.push(of_rule(CapSubject::Terminal)),
            4 => program.metrics.push(metric(name, symbol, window, kept, is_averaged)),
            5 => program.budgets.push(budget(is_other.then(|| "books".to_owned()))),
            6 => program.bonuses.push(bonus(Some((window, 1)), Some(1))),
            7 if is_other => program.budgets.push(budget(None)),
            7 => program.bonuses.push(bonus(None, Some(1))),
            8 if is_other => program.bonuses.push(bonus(None, Some(1))),
            8 => program.rewards.push(Reward {
                name,
                symbol,
                wallet: WalletId(0),
                price: 1,
                stock: Some(1),
                level: 0,
                from: None,
                until: None,
            }),
            _ => program.stamps.push(StampCard {
                name,
                symbol,
                given: symbol,
                of: None,
                when: template.when.clone(),
                counts: if is_other { StampsCounted::Baskets } else { StampsCounted::Items },
                size: 1,
                reward: StampReward::Units(1),
                window: CalendarWindow::Day,
            }),
        }
    }

    fn metric(name: String, symbol: SymbolId, window: CalendarWindow, kept_ahead: u16, is_averaged: bool) -> Metric {
        Metric { name, symbol, measure: MetricMeasure::Units, window, kept_ahead, is_averaged }
    }

    fn of_accounts(program: &Program) -> Vec<(&str, Meaning)> {
        counters(program).collect()
    }

    fn shared(program: &Program) -> Vec<(&str, Meaning)> {
        cells(program).collect()
    }

    /// The first name that means something else than in one other version.
    fn first_changed(now: &[(&str, Meaning)], before: &[(&str, Meaning)]) -> Option<String> {
        let changed = now.iter().find(|(name, meaning)| before.iter().any(|(old, was)| old == name && was != meaning));
        changed.map(|(name, _)| (*name).to_owned())
    }

    /// Has a version keep what one other keeps.
    fn keep_as_long_as(program: &mut Program, earlier: &Program) {
        program.keeps_last_basket |= earlier.keeps_last_basket;
        let before = |name: SymbolId| earlier.all_caps().find(|cap| cap.symbol == name).map_or(0, |cap| cap.kept);
        let of_rules = program.lines.capped.iter_mut().flat_map(|capped| &mut capped.caps);
        for cap in program.caps.iter_mut().chain(of_rules) {
            cap.kept = cap.kept.max(before(cap.symbol));
        }
        for budget in &mut program.budgets {
            let before = earlier.budgets.iter().find(|other| other.symbol == budget.symbol);
            budget.run.kept = budget.run.kept.max(before.map_or(0, |before| before.run.kept));
        }
        for metric in &mut program.metrics {
            let before = earlier.metrics.iter().find(|other| other.symbol == metric.symbol);
            metric.kept_ahead = metric.kept_ahead.max(before.map_or(0, |before| before.kept_ahead));
            metric.is_averaged |= before.is_some_and(|before| before.is_averaged);
        }
    }

    /// What a version becomes after others, or what it contradicts, by a comparison with each of them.
    fn compared_with_each(earlier: &[Arc<Program>], program: &Program) -> Result<Program, AppendError> {
        for version in earlier {
            let changed = first_changed(&of_accounts(program), &of_accounts(version));
            if let Some(name) = changed.or_else(|| first_changed(&shared(program), &shared(version))) {
                return Err(AppendError::CounterChanged { name, version: version.version });
            }
        }
        let mut lengthened = program.clone();
        earlier.iter().for_each(|version| keep_as_long_as(&mut lengthened, version));
        Ok(lengthened)
    }

    proptest! {
        #[test]
        fn a_version_is_held_to_what_a_comparison_with_each_before_it_says(
            versions in prop::collection::vec((prop::bool::weighted(0.1), entries()), 1..16),
        ) {
            let base = base();
            let mut programs = Programs::new();
            for (keeps_last_basket, entries) in versions {
                let earlier: Vec<_> = programs.iter().cloned().collect();
                let number = u32::try_from(earlier.len() + 1).unwrap();
                let program = Program { keeps_last_basket, ..with_entries(&base, number, &entries) };
                let expected = compared_with_each(&earlier, &program);
                let got = programs.append(Arc::new(program)).map(|()| Program::clone(programs.latest().unwrap()));
                prop_assert_eq!(got, expected);
            }
        }
    }

    /// A comparison with each version by itself would be one of 80 thousand million names.
    #[test]
    fn the_next_version_is_held_against_names_and_not_against_versions() {
        const VERSION_COUNT: u32 = 2_000;
        const COUNTER_COUNT: u32 = 200;
        let (base, _) = base();
        // Each version after the first 200 has all names; before, one more each time.
        let version = |number: u32, window| {
            let metrics = (0..number.min(COUNTER_COUNT)).map(|index| {
                let looks_back = if number % COUNTER_COUNT == index { 7 } else { 1 };
                metric(format!("n{index}"), SymbolId(1_000 + index), window, looks_back, false)
            });
            Program { metrics: metrics.collect(), ..numbered(&base, number) }
        };
        let mut programs = Programs::new();
        for number in 1..=VERSION_COUNT {
            programs.append(Arc::new(version(number, CalendarWindow::Day))).unwrap();
        }
        assert!(programs.latest().unwrap().metrics.iter().all(|metric| metric.kept_ahead == 7));
        let mut changed = version(VERSION_COUNT + 1, CalendarWindow::Week);
        changed.metrics.drain(..150);
        let expected = AppendError::CounterChanged { name: "n150".to_owned(), version: ProgramVersion(151) };
        assert_eq!(programs.append(Arc::new(changed)), Err(expected));
        let mut counters = Counters::default();
        programs.iter().for_each(|program| counters.take_in(program));
        let known = (counters.counters.len(), counters.metrics.len());
        assert_eq!(known, (200, 200), "what a version is held against");
    }
}
