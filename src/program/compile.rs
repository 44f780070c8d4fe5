//! From a programme file without errors to the flat tables that decisions read.
//!
//! What must stay true: the result depends on the source, the version, the time and the dictionary only; strings enter
//! the dictionary in the order of the file; nothing enters it for a file that has errors.

use hashbrown::HashMap;

use super::file::{
    BonusEntry, BudgetEntry, CapEntry, EarnSection, EffectEntry, ExperimentEntry, FullCard, MetricEntry, PartnerEntry,
    ProgramFile, RewardEntry, RightEntry, RuleEntry, StampEntry, StoreEntry, TiersSection, TriggerEntry, VoucherEntry,
    WhenEntry,
};
use super::problem::Finding;
use super::symbols::{Symbols, SymbolsFull};
use super::table::At;
use super::timezone;
use crate::ledger::program::{
    Attribute, AttributeEntry, Bonus, Budget, Cap, CappedRule, Conditions, Earn, Experiment, LineEffect, LineRule,
    LineTable, Metric, OwnAverage, Partner, PartnerStore, PartnerTable, Program, Reward, Right, RuleIndex, Run,
    Stacking, StampCard, StampReward, Terms, TierLadder, TierLevel, Trigger, VoucherIndex, VoucherKind, Wallet,
    Weekdays,
};
use crate::ledger::types::{Day, ProgramVersion, SymbolId, TimestampNs, WalletId};

const NS_PER_SECOND: i64 = 1_000_000_000;
const NS_PER_MINUTE: i64 = 60 * NS_PER_SECOND;
const NS_PER_DAY: i64 = 86_400 * NS_PER_SECOND;

/// Builds the tables of a checked file.
///
/// # Errors
/// When the dictionary is full, with the place of the first string that found no room.
///
/// # Panics
/// When the file was not checked, or its check found an error.
pub(super) fn build(
    file: &ProgramFile,
    source: &str,
    version: ProgramVersion,
    effective_at: TimestampNs,
    symbols: &mut dyn Symbols,
) -> Result<Program, Finding> {
    let header = file.header.as_ref().expect("a file without errors has [program]");
    let earn = file.earn.as_ref().expect("a file without errors has [earn]");
    let numbers = intern_all(file, earn, symbols)?;
    let symbol = |name: &At<String>| *numbers.get(name.get_ref().as_str()).expect("every name was interned");
    let wallets = file.wallets.iter().map(|wallet| Wallet {
        name: wallet.name.get_ref().clone(),
        symbol: symbol(&wallet.name),
        scale: u8::try_from(wallet.scale).expect("the scale was checked"),
        balance_max: wallet.balance_max,
        money: wallet.money,
    });
    let caps = file.caps.iter().map(|cap| build_cap(cap, symbol));
    let ladder = file.tiers.as_ref().map(|tiers| build_tiers(file, tiers, symbol));
    let is_averaged = |metric: &MetricEntry| {
        let mut averages = file.conditions().filter_map(|when| when.own_average.as_ref());
        averages.any(|average| average.metric.get_ref() == metric.name.get_ref())
    };
    let metrics = file.metrics.iter().map(|metric| Metric {
        name: metric.name.get_ref().clone(),
        symbol: symbol(&metric.name),
        measure: metric.measure,
        window: metric.window,
        kept_ahead: ladder
            .as_ref()
            .filter(|ladder| ladder.metric == symbol(&metric.name))
            .map_or(0, TierLadder::looks_back),
        is_averaged: is_averaged(metric),
    });
    let budget = |budget: &BudgetEntry| Budget {
        name: budget.name.get_ref().clone(),
        symbol: symbol(&budget.name),
        limit: budget.units,
        run: Run { window: budget.window, rolling: budget.rolling, kept: budget.rolling },
        partner: budget.partner.as_ref().map(symbol),
        partner_name: budget.partner.as_ref().map(|name| name.get_ref().clone()),
        warnings: budget.warnings.clone(),
        from: budget.from,
        until: budget.until,
    };
    let mut program = Program {
        version,
        effective_at,
        name: header.name.get_ref().clone(),
        currency: header.currency.get_ref().clone(),
        zone: timezone::zone(header.time_zone.get_ref()).expect("the time zone was checked"),
        wallets: wallets.collect(),
        earn: build_earn(file, earn),
        lines: build_lines(file, earn, symbol),
        bonuses: file.bonuses.iter().map(|bonus| build_bonus(file, bonus, symbol)).collect(),
        vouchers: file.vouchers.iter().map(|voucher| build_voucher(voucher, symbol)).collect(),
        stamps: file.stamps.iter().map(|card| build_stamps(file, card, symbol)).collect(),
        experiments: file.experiments.iter().map(build_experiment).collect(),
        keeps_last_basket: file.conditions().any(WhenEntry::asks_for_last_basket),
        caps: caps.collect(),
        metrics: metrics.collect(),
        tiers: ladder,
        budgets: file.budgets.iter().map(budget).collect(),
        rewards: file.rewards.iter().map(|reward| build_reward(file, earn, reward, symbol)).collect(),
        partners: build_partners(file, symbol),
        has_cells: false,
        accounts: header.accounts,
        when_spent: file.when_spent,
        when_returned: file.redemption.when_returned,
        late_limit_ns: header.late_limit_days * NS_PER_DAY,
        earlier: None,
        future_skew_ns: header.future_skew_seconds * NS_PER_SECOND,
        hold_ns: file.redemption.hold_minutes * NS_PER_MINUTE,
        source_hash: *blake3::hash(source.as_bytes()).as_bytes(),
    };
    program.has_cells = program.draws_on_cells();
    Ok(program)
}

/// Interns every string that the tables mention, in the order of the file.
fn intern_all<'f>(
    file: &'f ProgramFile,
    earn: &'f EarnSection,
    symbols: &mut dyn Symbols,
) -> Result<HashMap<&'f str, SymbolId>, Finding> {
    let mut mentioned: Vec<&At<String>> = Vec::new();
    mentioned.extend(file.wallets.iter().map(|wallet| &wallet.name));
    mentioned.extend(earn.exclude.iter().flat_map(|(_, values)| values));
    mentioned.extend(file.rules.iter().flat_map(RuleEntry::values));
    mentioned.extend(file.conditions().flat_map(WhenEntry::lists).flatten());
    for bonus in &file.bonuses {
        mentioned.push(&bonus.name);
        if let TriggerEntry::Activity(kind) = &bonus.trigger {
            mentioned.push(kind);
        }
    }
    mentioned.extend(file.vouchers.iter().map(|voucher| &voucher.name));
    mentioned.extend(file.stamps.iter().flat_map(|card| [&card.name, &card.given]));
    mentioned.extend(file.stamps.iter().flat_map(StampEntry::values));
    mentioned.extend(file.caps.iter().map(|cap| &cap.name));
    mentioned.extend(file.caps_of_rules().map(|(_, cap)| &cap.name));
    mentioned.extend(file.metrics.iter().map(|metric| &metric.name));
    mentioned.extend(file.budgets.iter().map(|budget| &budget.name));
    mentioned.extend(file.rewards.iter().map(|reward| &reward.name));
    mentioned.extend(file.budgets.iter().filter_map(|budget| budget.partner.as_ref()));
    mentioned.extend(file.partners.iter().flat_map(PartnerEntry::names));
    mentioned.sort_by_key(|text| text.span().start);
    let mut numbers = HashMap::with_capacity(mentioned.len());
    for text in mentioned {
        let symbol = symbols
            .intern(text.get_ref())
            .map_err(|full: SymbolsFull| Finding::error(&text.span(), format!("no room for this string: {full}")))?;
        numbers.insert(text.get_ref().as_str(), symbol);
    }
    Ok(numbers)
}

/// The wallet of a name that was checked.
fn wallet_id(file: &ProgramFile, name: &str) -> WalletId {
    let wallet = file.wallets.iter().position(|wallet| wallet.name.get_ref() == name);
    WalletId(wallet.and_then(|index| u8::try_from(index).ok()).expect("the wallet was checked"))
}

/// The partners that the file declares.
fn build_partners(file: &ProgramFile, symbol: impl Fn(&At<String>) -> SymbolId) -> Option<Box<PartnerTable>> {
    if file.partners.is_empty() {
        return None;
    }
    let right = |right: &RightEntry| {
        let wallet = wallet_id(file, right.wallet.get_ref());
        let day = |day: &Option<At<Day>>| day.as_ref().map(|day| *day.get_ref());
        Right { wallet, from: day(&right.from), until: day(&right.until) }
    };
    let store = |store: &StoreEntry| PartnerStore {
        store: symbol(&store.name),
        terminals: store.terminals.iter().map(&symbol).collect(),
    };
    let partner = |partner: &PartnerEntry| Partner {
        name: partner.name.get_ref().clone(),
        symbol: symbol(&partner.name),
        stores: partner.stores.iter().map(store).collect(),
        earns: partner.earns.iter().map(right).collect(),
        burns: partner.burns.iter().map(right).collect(),
        funding_rate_bps: partner.funding_rate_bps,
        redemption_rate_bps: partner.redemption_rate_bps,
    };
    Some(Box::new(PartnerTable::new(file.partners.iter().map(partner).collect())))
}

fn build_cap(cap: &CapEntry, symbol: impl Fn(&At<String>) -> SymbolId) -> Cap {
    Cap {
        name: cap.name.get_ref().clone(),
        symbol: symbol(&cap.name),
        measure: cap.measure,
        window: cap.window,
        limit: *cap.limit.get_ref(),
        subject: cap.subject,
        rolling: cap.rolling,
        kept: cap.rolling,
        over: cap.over,
    }
}

fn build_earn(file: &ProgramFile, earn: &EarnSection) -> Earn {
    let wallet = wallet_id(file, earn.wallet.get_ref());
    Earn {
        wallet,
        units: *earn.units.get_ref(),
        per_minor: *earn.per_minor.get_ref(),
        rounding: earn.rounding,
        rounded_per: earn.rounded_per,
        terms: Terms { pending_days: earn.pending_days, expiry: earn.expiry },
    }
}

fn build_lines(file: &ProgramFile, earn: &EarnSection, symbol: impl Fn(&At<String>) -> SymbolId) -> LineTable {
    let mut table = LineTable::default();
    for (attribute, values) in &earn.exclude {
        for value in values {
            entry(&mut table, *attribute, symbol(value)).excluded = true;
        }
    }
    for (rule, index) in file.rules.iter().zip(0..) {
        table.rules.push(build_rule(rule, &symbol));
        if !rule.caps.is_empty() {
            let caps = rule.caps.iter().map(|cap| build_cap(cap, &symbol)).collect();
            table.capped.push(CappedRule { rule: RuleIndex(index), caps });
        }
        table.needs_eligible_amount |= rule.when.as_ref().is_some_and(WhenEntry::asks_for_amount);
        let Some((attribute, values)) = &rule.matched else {
            table.everywhere.push(RuleIndex(index));
            continue;
        };
        for value in values {
            let rules = &mut entry(&mut table, *attribute, symbol(value)).rules;
            // A value listed twice in one rule matches it once.
            if rules.last() != Some(&RuleIndex(index)) {
                rules.push(RuleIndex(index));
            }
        }
    }
    table.multiply_max = multiply_max(&table);
    table
}

fn build_rule(rule: &RuleEntry, symbol: impl Fn(&At<String>) -> SymbolId) -> LineRule {
    LineRule {
        name: rule.name.get_ref().clone(),
        effect: match &rule.effect {
            EffectEntry::Multiplier(bps) => LineEffect::Multiplier(*bps.get_ref()),
            EffectEntry::Fixed { units, per_piece } => {
                LineEffect::Fixed { units: *units.get_ref(), per_piece: *per_piece }
            }
        },
        stacking: rule.stacking,
        priority: rule.priority,
        when: rule.when.as_ref().map(|when| Box::new(build_conditions(when, symbol))),
    }
}

/// The most rules of [`Stacking::Multiply`] that can match one line: a line has one value of each attribute.
fn multiply_max(table: &LineTable) -> u32 {
    let count = |rules: &[RuleIndex]| {
        let found = rules.iter().filter_map(|rule| table.rule(*rule));
        found.filter(|rule| rule.stacking == Stacking::Multiply).count()
    };
    let of_values =
        table.values.iter().map(|values| values.values().map(|entry| count(&entry.rules)).max().unwrap_or(0));
    u32::try_from(of_values.sum::<usize>() + count(&table.everywhere)).expect("a programme has few rules")
}

fn build_conditions(when: &WhenEntry, symbol: impl Fn(&At<String>) -> SymbolId) -> Conditions {
    let sorted = |names: &[At<String>]| sorted(names, &symbol);
    let number = |stated: &Option<At<i64>>| stated.as_ref().map_or(0, |stated| *stated.get_ref());
    Conditions {
        from: when.from.as_ref().map(|day| *day.get_ref()),
        until: when.until.as_ref().map(|day| *day.get_ref()),
        weekdays: Weekdays(when.weekdays),
        minutes: when.minutes.clone(),
        stores: sorted(&when.stores),
        channels: sorted(&when.channels),
        payment_methods: sorted(&when.payment_methods),
        partners: sorted(&when.partners),
        segments: sorted(&when.segments),
        not_segments: sorted(&when.not_segments),
        levels: when.levels,
        eligible_minor_min: number(&when.eligible_minor_min),
        nth_basket: number(&when.nth_basket),
        every_nth_basket: number(&when.every_nth_basket),
        birthday: when.birthday,
        days_since_last_basket_min: when.days_since_min.as_ref().map(|days| *days.get_ref()),
        days_since_last_basket_max: when.days_since_max.as_ref().map(|days| *days.get_ref()),
        own_average: when
            .own_average
            .as_ref()
            .map(|average| OwnAverage { metric: symbol(&average.metric), percent: average.percent }),
        variants: when.variants.clone(),
    }
}

/// The numbers of strings, ascending, each once.
fn sorted(names: &[At<String>], symbol: impl Fn(&At<String>) -> SymbolId) -> Vec<SymbolId> {
    let mut symbols: Vec<SymbolId> = names.iter().map(symbol).collect();
    symbols.sort_unstable();
    symbols.dedup();
    symbols
}

fn build_experiment(experiment: &ExperimentEntry) -> Experiment {
    let mut below = 0;
    let variants = experiment.variants.iter().map(|(name, percent)| {
        below += percent;
        (name.get_ref().clone(), below)
    });
    Experiment { name: experiment.name.get_ref().clone(), variants: variants.collect() }
}

fn build_voucher(voucher: &VoucherEntry, symbol: impl Fn(&At<String>) -> SymbolId) -> VoucherKind {
    VoucherKind {
        name: voucher.name.get_ref().clone(),
        symbol: symbol(&voucher.name),
        worth: voucher.worth.clone(),
        starts_next_day: voucher.starts_next_day,
        validity: voucher.validity,
        minor_min: voucher.minor_min,
    }
}

/// The voucher of a name that was checked.
fn voucher_index(file: &ProgramFile, name: &At<String>) -> VoucherIndex {
    let index = file.vouchers.iter().position(|voucher| voucher.name.get_ref() == name.get_ref());
    VoucherIndex(index.and_then(|index| u8::try_from(index).ok()).expect("the voucher was checked"))
}

fn build_stamps(file: &ProgramFile, card: &StampEntry, symbol: impl Fn(&At<String>) -> SymbolId) -> StampCard {
    StampCard {
        name: card.name.get_ref().clone(),
        symbol: symbol(&card.name),
        given: symbol(&card.given),
        of: card.matched.as_ref().map(|(attribute, values)| (*attribute, sorted(values, &symbol))),
        when: card.when.as_ref().map_or_else(Conditions::default, |when| build_conditions(when, &symbol)),
        counts: card.counts,
        size: card.count,
        reward: match &card.reward {
            FullCard::Units(units) => StampReward::Units(*units.get_ref()),
            FullCard::Voucher(name) => StampReward::Voucher(voucher_index(file, name)),
        },
        window: card.window,
    }
}

fn build_bonus(file: &ProgramFile, bonus: &BonusEntry, symbol: impl Fn(&At<String>) -> SymbolId) -> Bonus {
    Bonus {
        voucher: bonus.voucher.as_ref().map(|name| voucher_index(file, name)),
        name: bonus.name.get_ref().clone(),
        symbol: symbol(&bonus.name),
        trigger: match &bonus.trigger {
            TriggerEntry::Basket => Trigger::Basket,
            TriggerEntry::Activity(kind) => Trigger::Activity(symbol(kind)),
        },
        when: bonus.when.as_ref().map_or_else(Conditions::default, |when| build_conditions(when, &symbol)),
        units: *bonus.units.get_ref(),
        limit: bonus.limit,
        places: bonus.places,
    }
}

fn build_reward(
    file: &ProgramFile,
    earn: &EarnSection,
    reward: &RewardEntry,
    symbol: impl Fn(&At<String>) -> SymbolId,
) -> Reward {
    let wallet = reward.wallet.as_ref().unwrap_or(&earn.wallet).get_ref();
    let levels = file.tiers.as_ref().map_or(&[][..], |tiers| &tiers.levels);
    let level = reward.tier.as_ref().map_or(0, |tier| {
        let place = levels.iter().position(|level| level.name.get_ref() == tier.get_ref());
        place.expect("the level was checked") + 1
    });
    Reward {
        name: reward.name.get_ref().clone(),
        symbol: symbol(&reward.name),
        wallet: wallet_id(file, wallet),
        price: *reward.price.get_ref(),
        stock: reward.stock,
        level: u8::try_from(level).expect("a ladder has few levels"),
        from: reward.from,
        until: reward.until,
    }
}

fn build_tiers(file: &ProgramFile, tiers: &TiersSection, symbol: impl Fn(&At<String>) -> SymbolId) -> TierLadder {
    let metric = file.metrics.iter().find(|metric| metric.name.get_ref() == tiers.metric.get_ref());
    let metric = metric.expect("the ladder's metric was checked");
    let levels = tiers.levels.iter().map(|level| TierLevel {
        name: level.name.get_ref().clone(),
        threshold: *level.threshold.get_ref(),
        multiplier_bps: level.multiplier_bps,
    });
    TierLadder {
        metric: symbol(&metric.name),
        window: metric.window,
        rolling: tiers.rolling,
        keep: tiers.keep,
        soft_landing: tiers.soft_landing,
        grace_days: tiers.grace_days,
        levels: levels.collect(),
    }
}

fn entry(table: &mut LineTable, attribute: Attribute, value: SymbolId) -> &mut AttributeEntry {
    let index = Attribute::ALL.iter().position(|candidate| *candidate == attribute);
    let values = index.and_then(|index| table.values.get_mut(index)).expect("there is a table for every attribute");
    values.entry(value).or_default()
}
