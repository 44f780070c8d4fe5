//! A programme in words, as a preview for its owner before it is published.
//!
//! What must stay true: every line is true of the compiled programme, not of the text it came from, so that the preview
//! shows what will be decided; the number of lines is bounded.

mod conditions;
mod outlook;
mod partners;
mod stamps;

pub use outlook::Outlook;

use super::table::{decimal, grouped};
use crate::ledger::program::{
    AccountPolicy, Attribute, BPS_ONE, Bonus, Budget, CalendarWindow, Cap, CapMeasure, CapSubject, CappedRule, Expiry,
    LineEffect, LineRule, Metric, MetricMeasure, Over, Program, Reward, RoundedPer, Rounding, Stacking, TierLadder,
    Trigger, Wallet, WhenReturned, WhenSpent,
};
use crate::ledger::types::{Day, Units};
use crate::limits;

/// Rules, and bonuses, that are listed one by one.
const LISTED_RULES_MAX: usize = 20;

/// Decimal places that a multiplier in basis points adds to a number.
const BPS_DECIMALS: u32 = 4;

/// The programme in words, one fact a line: the rate, what is not eligible, rules, bonuses, stamp cards, levels, caps, metrics,
/// budgets, terms.
#[must_use]
pub fn summary(program: &Program) -> Vec<String> {
    let wallet = earning_wallet(program);
    let mut lines = vec![
        format!("{}: amounts in {}, days and years in {}", program.name, program.currency, program.zone.name()),
        rate(program),
    ];
    lines.extend(stored_value(program));
    lines.extend(not_eligible(program));
    lines.extend(rules(program));
    lines.extend(bonuses(program, wallet));
    lines.extend(program.stamps.iter().map(|card| stamps::line(card, program, wallet)));
    lines.extend(program.tiers.iter().flat_map(|ladder| levels(program, ladder)));
    lines.extend(program.caps.iter().map(|cap| cap_line(cap, program, wallet)));
    lines.extend(program.metrics.iter().map(metric_line));
    lines.extend(program.budgets.iter().map(|budget| budget_line(budget, program, wallet)));
    lines.extend(rewards(program));
    lines.extend(partners::lines(program));
    lines.extend(pending(program));
    lines.extend(expiry(program));
    lines.extend(refunds(program));
    lines.extend(returned(program));
    lines.push(terms(program));
    lines
}

fn earning_wallet(program: &Program) -> &Wallet {
    program.wallets.get(usize::from(program.earn.wallet.0)).expect("a programme earns into one of its wallets")
}

/// "wallet card: money; 5.00 to 200.00 EUR are paid in at once, and at most 1,000.00 are held".
fn stored_value(program: &Program) -> Vec<String> {
    let decimals = currency_decimals(&program.currency);
    let amount = |units: Units| decimal(i128::from(units), decimals, decimals);
    let held = |wallet: &Wallet| match wallet.balance_max {
        limits::UNITS_MAX => String::new(),
        most => format!(", and at most {} are held", amount(most)),
    };
    let line = |wallet: &Wallet| {
        let terms = wallet.money?;
        let (least, most) = (amount(terms.top_up_min), amount(terms.top_up_max));
        let currency = &program.currency;
        Some(format!("wallet {}: money; {least} to {most} {currency} are paid in at once{}", wallet.name, held(wallet)))
    };
    program.wallets.iter().filter_map(line).collect()
}

/// "earn: 1 point per 1.00 USD, rounded down once per basket; up to 2 points with double".
fn rate(program: &Program) -> String {
    let (earn, wallet) = (&program.earn, earning_wallet(program));
    let (scale, money_decimals) = (u32::from(wallet.scale), currency_decimals(&program.currency));
    let per = decimal(i128::from(earn.per_minor), money_decimals, money_decimals);
    let rounding = match earn.rounding {
        Rounding::Floor => "rounded down",
        Rounding::HalfUp => "rounded to the nearest (a half up)",
        Rounding::HalfEven => "rounded to the nearest (a half to even)",
        Rounding::Carry => "rounded down, what is left over goes to the next basket",
    };
    let place = match earn.rounded_per {
        RoundedPer::Basket => "once per basket",
        RoundedPer::Line => "on each line",
    };
    let base = units(decimal(i128::from(earn.units), scale, scale), wallet);
    let up_to = up_to(program, wallet).unwrap_or_default();
    format!("earn: {base} per {per} {}, {rounding} {place}{up_to}", program.currency)
}

/// "; up to 2 points with double": the best rule, where no two of them go together.
fn up_to(program: &Program, wallet: &Wallet) -> Option<String> {
    let rules = &program.lines.rules;
    let stacks = |rule: &LineRule| matches!(rule.stacking, Stacking::Add | Stacking::Multiply);
    let levels = program.tiers.iter().flat_map(|ladder| &ladder.levels);
    if rules.iter().any(stacks) || levels.into_iter().any(|level| level.multiplier_bps > BPS_ONE) {
        return None;
    }
    // Of equal multipliers the first in the file counts, as in a decision.
    let best = rules.iter().rev().max_by_key(|rule| rule.multiplier_bps());
    let best = best.filter(|rule| rule.multiplier_bps() > BPS_ONE)?;
    let most = i128::from(program.earn.units) * i128::from(best.multiplier_bps());
    let scale = u32::from(wallet.scale);
    Some(format!("; up to {} with {}", units(decimal(most, scale + BPS_DECIMALS, scale), wallet), best.name))
}

/// How many values each attribute excludes.
fn not_eligible(program: &Program) -> Option<String> {
    let counts = Attribute::ALL.iter().zip(&program.lines.values).filter_map(|(attribute, values)| {
        let count = values.values().filter(|entry| entry.excluded).count();
        (count > 0).then(|| values_of(*attribute, count))
    });
    let counts: Vec<String> = counts.collect();
    (!counts.is_empty()).then(|| format!("not eligible: {}", counts.join(", ")))
}

fn rules(program: &Program) -> Vec<String> {
    let rules = &program.lines.rules;
    let mut counts = vec![[0_usize; Attribute::ALL.len()]; rules.len()];
    for (attribute, values) in program.lines.values.iter().enumerate() {
        for rule in values.values().flat_map(|entry| &entry.rules) {
            let count = usize::try_from(rule.0).ok().and_then(|rule| counts.get_mut(rule)?.get_mut(attribute));
            *count.expect("a value names rules of its programme") += 1;
        }
    }
    let listed = rules.iter().zip(&counts).take(LISTED_RULES_MAX).map(|(rule, counts)| {
        let matched: Vec<String> = Attribute::ALL
            .iter()
            .zip(counts)
            .filter(|(_, count)| **count > 0)
            .map(|(attribute, count)| values_of(*attribute, *count))
            .collect();
        let matched = if matched.is_empty() { "every line".to_owned() } else { matched.join(", ") };
        let when = rule.when.as_ref().map_or_else(String::new, |when| conditions::words(when, program));
        format!("rule {}: {} for {matched}{when}", rule.name, effect(rule, earning_wallet(program)))
    });
    let mut lines: Vec<String> = listed.collect();
    lines.extend(caps_of_rules(program));
    if rules.len() > LISTED_RULES_MAX {
        lines.push(format!("and {} more rules", rules.len() - LISTED_RULES_MAX));
    }
    lines
}

/// What a rule does: "2 times the rate".
fn effect(rule: &LineRule, wallet: &Wallet) -> String {
    let times = |bps: i64| decimal(i128::from(bps), BPS_DECIMALS, 0);
    match (rule.effect, rule.stacking) {
        (LineEffect::Fixed { units, per_piece }, _) => {
            let per = if per_piece { "piece" } else { "line" };
            format!("{} more per {per}", units_in(wallet, units))
        }
        (LineEffect::Multiplier(bps), Stacking::BestOf) => format!("{} times the rate", times(bps)),
        (LineEffect::Multiplier(bps), Stacking::Add) if bps < BPS_ONE => {
            format!("{} times the rate less", times(BPS_ONE - bps))
        }
        (LineEffect::Multiplier(bps), Stacking::Add) => format!("{} times the rate more", times(bps - BPS_ONE)),
        (LineEffect::Multiplier(bps), Stacking::Multiply) => format!("{} times what else counts", times(bps)),
        (LineEffect::Multiplier(bps), Stacking::Exclusive) => {
            format!("{} times the rate, and no other rule,", times(bps))
        }
    }
}

fn bonuses(program: &Program, wallet: &Wallet) -> Vec<String> {
    let listed = program.bonuses.iter().take(LISTED_RULES_MAX).map(|bonus| bonus_line(bonus, program, wallet));
    let mut lines: Vec<String> = listed.collect();
    if program.bonuses.len() > LISTED_RULES_MAX {
        lines.push(format!("and {} more bonuses", program.bonuses.len() - LISTED_RULES_MAX));
    }
    lines
}

fn bonus_line(bonus: &Bonus, program: &Program, wallet: &Wallet) -> String {
    let trigger = match bonus.trigger {
        Trigger::Basket => "a basket",
        Trigger::Activity(_) => "an activity",
    };
    let limit = bonus.limit.map_or_else(String::new, |(per, times)| {
        let times = if times == 1 { "once".to_owned() } else { format!("{} times", grouped(times, ',')) };
        format!("; at most {times} per account and {}", window(per))
    });
    let when = conditions::words(&bonus.when, program);
    let places = bonus.places.map_or_else(String::new, |places| format!("; {} times in all", grouped(places, ',')));
    format!("bonus {}: {} for {trigger}{when}{limit}{places}", bonus.name, units_in(wallet, bonus.units))
}

/// "reward mug: 500 points; 20 in all; from level gold".
fn rewards(program: &Program) -> Vec<String> {
    let line = |reward: &Reward| {
        let wallet = program.wallets.get(usize::from(reward.wallet.0)).expect("a reward costs units of a wallet");
        let stock = reward.stock.map_or_else(String::new, |stock| format!("; {} in all", grouped(stock, ',')));
        let days = match (reward.from, reward.until) {
            (None, None) => String::new(),
            (Some(from), None) => format!("; from {} on", date(from)),
            (None, Some(until)) => format!("; until {}", date(until)),
            (Some(from), Some(until)) => format!("; from {} until {}", date(from), date(until)),
        };
        let level = program.tiers.as_ref().and_then(|ladder| ladder.at(reward.level));
        let level = level.map_or_else(String::new, |level| format!("; from level {}", level.name));
        format!("reward {}: {}{stock}{level}{days}", reward.name, units_in(wallet, reward.price))
    };
    let mut lines: Vec<String> = program.rewards.iter().take(LISTED_RULES_MAX).map(line).collect();
    if program.rewards.len() > LISTED_RULES_MAX {
        lines.push(format!("and {} more rewards", program.rewards.len() - LISTED_RULES_MAX));
    }
    lines
}

fn levels(program: &Program, ladder: &TierLadder) -> Vec<String> {
    let metric = program.metrics.iter().find(|metric| metric.symbol == ladder.metric);
    let metric = metric.expect("a ladder counts by a metric of its programme");
    let value = |value: i64| match metric.measure {
        MetricMeasure::EligibleAmount => money(value, program),
        MetricMeasure::Units => units_in(earning_wallet(program), value),
        MetricMeasure::Baskets => grouped(value, ','),
    };
    let line = |level: &crate::ledger::program::TierLevel| {
        let from = value(level.threshold);
        let times = decimal(i128::from(level.multiplier_bps), BPS_DECIMALS, 0);
        format!(
            "level {}: from {from} of {} per account and {} on; {times} times what a basket's lines earn",
            level.name,
            metric.name,
            windows(ladder.window, ladder.rolling)
        )
    };
    ladder.levels.iter().map(line).collect()
}

/// Minor units as an amount with its currency.
fn money(minor: i64, program: &Program) -> String {
    let decimals = currency_decimals(&program.currency);
    format!("{} {}", decimal(i128::from(minor), decimals, decimals), program.currency)
}

fn full_days(days: u16) -> String {
    match days {
        1 => "1 full day".to_owned(),
        _ => format!("{} full days", grouped(i64::from(days), ',')),
    }
}

fn expiry(program: &Program) -> Option<String> {
    let name = &earning_wallet(program).name;
    match program.earn.terms.expiry {
        Expiry::Never => None,
        Expiry::AfterDays(days) => {
            Some(format!("expiry: {name} die after {} behind the day on which they were earned", full_days(days)))
        }
        Expiry::AfterInactivity(days) => {
            Some(format!("expiry: {name} die after {} behind the account's last record", full_days(days)))
        }
        Expiry::EachYearOn { month, day } => {
            Some(format!("expiry: {name} die at the end of the first {month:02}-{day:02} behind their day"))
        }
    }
}

/// "returns: what was spent and cannot be taken back is owed to what is earned later".
fn refunds(program: &Program) -> Option<String> {
    let shown = match program.when_spent {
        WhenSpent::Refuse => return None,
        WhenSpent::Debt => "",
        WhenSpent::Negative => "; the balance is shown as that much below zero",
    };
    Some(format!("returns: what was spent and cannot be taken back is owed to what is earned later{shown}"))
}

/// "returns: what was redeemed and comes back after its death lives until the end of 30 full days behind that day".
fn returned(program: &Program) -> Option<String> {
    match program.when_returned {
        WhenReturned::AsWas => None,
        WhenReturned::Extend(days) => Some(format!(
            "returns: what was redeemed and comes back after its death lives until the end of {} behind that day",
            full_days(days)
        )),
    }
}

fn pending(program: &Program) -> Option<String> {
    let (days, name) = (program.earn.terms.pending_days, &earning_wallet(program).name);
    let days = match days {
        0 => return None,
        1 => "1 full day".to_owned(),
        _ => format!("{} full days", grouped(i64::from(days), ',')),
    };
    Some(format!("pending: {name} can be spent after {days} behind the day on which they were earned"))
}

/// "1 brand", "3 categories".
fn values_of(attribute: Attribute, count: usize) -> String {
    let (one, many) = match attribute {
        Attribute::Sku => ("SKU", "SKUs"),
        Attribute::Category => ("category", "categories"),
        Attribute::Department => ("department", "departments"),
        Attribute::Brand => ("brand", "brands"),
        Attribute::MarginClass => ("margin class", "margin classes"),
    };
    format!("{count} {}", if count == 1 { one } else { many })
}

fn cap_line(cap: &Cap, program: &Program, wallet: &Wallet) -> String {
    format!("cap {}: {}", cap.name, bound(cap, program, wallet))
}

/// The caps of rules, with the rules that they bound.
fn caps_of_rules(program: &Program) -> Vec<String> {
    let wallet = earning_wallet(program);
    let of_rule = |capped: &CappedRule| {
        let rule = program.lines.rule(capped.rule).map_or("", |rule| rule.name.as_str());
        let lines = capped
            .caps
            .iter()
            .map(|cap| format!("cap {}: rule {rule} gives {}", cap.name, bound(cap, program, wallet)));
        lines.collect::<Vec<_>>()
    };
    program.lines.capped.iter().flat_map(of_rule).collect()
}

/// "at most 200 points per account and day".
fn bound(cap: &Cap, program: &Program, wallet: &Wallet) -> String {
    let limit = match cap.measure {
        CapMeasure::Units => units_in(wallet, cap.limit),
        CapMeasure::EarningBaskets if cap.limit == 1 => "1 earning basket".to_owned(),
        CapMeasure::EarningBaskets => format!("{} earning baskets", grouped(cap.limit, ',')),
        CapMeasure::EligibleAmount => format!("{} of earning baskets", money(cap.limit, program)),
    };
    let subject = match cap.subject {
        CapSubject::Account => "account",
        CapSubject::Member => "member of an account",
        CapSubject::Store => "store",
        CapSubject::Terminal => "terminal",
        CapSubject::Cashier => "cashier",
        CapSubject::Partner => "partner",
        CapSubject::Programme => "programme",
    };
    let over = match cap.over {
        Over::Decline if cap.measure == CapMeasure::Units => "; what would exceed it earns nothing",
        Over::Hold => "; what would exceed it is held for review",
        Over::Clip | Over::Decline => "",
    };
    format!("at most {limit} per {subject} and {}{over}", windows(cap.window, cap.rolling))
}

fn metric_line(metric: &Metric) -> String {
    let counted = match metric.measure {
        MetricMeasure::EligibleAmount => "eligible amount",
        MetricMeasure::Units => "units granted",
        MetricMeasure::Baskets => "baskets",
    };
    format!("metric {}: {counted} per account and {}", metric.name, window(metric.window))
}

/// "day", "12 months together".
fn windows(one: CalendarWindow, rolling: u16) -> String {
    match rolling {
        0 | 1 => window(one).to_owned(),
        count => format!("{count} {}s together", window(one)),
    }
}

fn window(window: CalendarWindow) -> &'static str {
    match window {
        CalendarWindow::Hour => "hour",
        CalendarWindow::Day => "day",
        CalendarWindow::Week => "week",
        CalendarWindow::Month => "month",
        CalendarWindow::Year => "year",
        CalendarWindow::Anniversary => "year since the account was opened",
        CalendarWindow::Lifetime => "lifetime",
    }
}

fn budget_line(budget: &Budget, program: &Program, wallet: &Wallet) -> String {
    let limit = units_in(wallet, budget.limit);
    let days = match (budget.from, budget.until) {
        (None, None) => ", at any time".to_owned(),
        (Some(from), None) => format!(", from {} on", date(from)),
        (None, Some(until)) => format!(", until {}", date(until)),
        (Some(from), Some(until)) => format!(", from {} until {}", date(from), date(until)),
    };
    let per = match budget.run.window {
        CalendarWindow::Lifetime => "in all".to_owned(),
        window => format!("per {}", windows(window, budget.run.rolling)),
    };
    let whose = budget.partner.map_or_else(String::new, |partner| partners::whose(partner, program));
    let levels: Vec<String> = budget.warnings.iter().map(|percent| format!("{percent} %")).collect();
    let warnings = if levels.is_empty() { String::new() } else { format!("; told at {}", levels.join(", ")) };
    format!("budget {}: at most {limit} {per}{whose}{days}{warnings}", budget.name)
}

fn terms(program: &Program) -> String {
    let accounts = match program.accounts {
        AccountPolicy::Implicit => "a first basket opens an account",
        AccountPolicy::Enrolled => "accounts must be enrolled",
    };
    let late_days = program.late_limit_ns / 86_400_000_000_000;
    let skew_seconds = program.future_skew_ns / 1_000_000_000;
    let days = if late_days == 1 { "day" } else { "days" };
    let seconds = if skew_seconds == 1 { "second" } else { "seconds" };
    format!(
        "terms: {accounts}; receipts may be {} {days} late and {} {seconds} ahead{}",
        grouped(late_days, ','),
        grouped(skew_seconds, ','),
        hold(program)
    )
}

/// For how long points can be set aside, where the file says something else than is usual.
fn hold(program: &Program) -> String {
    match program.hold_ns / 60_000_000_000 {
        limits::HOLD_MINUTES_DEFAULT => String::new(),
        1 => "; points are set aside for 1 minute at most".to_owned(),
        minutes => format!("; points are set aside for {} minutes at most", grouped(minutes, ',')),
    }
}

fn date(day: Day) -> String {
    let epoch = jiff::civil::date(1970, 1, 1);
    epoch.checked_add(jiff::Span::new().days(day.0)).map_or_else(|_| format!("day {day}"), |date| date.to_string())
}

fn units_in(wallet: &Wallet, number: Units) -> String {
    let scale = u32::from(wallet.scale);
    units(decimal(i128::from(number), scale, scale), wallet)
}

/// A number of units with the wallet's name. Names are plural; for exactly one, a final s goes.
fn units(number: String, wallet: &Wallet) -> String {
    let one = wallet.name.strip_suffix('s').filter(|one| !one.is_empty() && !one.ends_with('s'));
    let name = one.filter(|_| number == "1").unwrap_or(&wallet.name);
    format!("{number} {name}")
}

/// Decimal places of a currency's minor unit, after ISO 4217. For showing amounts only: a file states minor units.
fn currency_decimals(code: &str) -> u32 {
    match code {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::check;

    fn summary_of(source: &str) -> String {
        let checked = check(source);
        summary(&checked.program.unwrap_or_else(|| panic!("{:?}", checked.problems))).join("\n")
    }

    const PLAIN: &str = r#"
        program = { name = "plain", currency = "JPY", time_zone = "Asia/Tokyo", late_limit_days = 1 }
        wallets = [{ name = "miles" }]
        earn = { wallet = "miles", units = 1, per_minor = 200, rounding = "half-even", stacking = "best-of" }
    "#;

    #[test]
    fn money_that_is_paid_in() {
        let shop = r#"
            program = { name = "shop", currency = "EUR", time_zone = "Europe/Vienna", late_limit_days = 1 }
            wallets = [
                { name = "stars" },
                { name = "card", kind = "money", scale = 2, balance_max = 100000, top_up_min = 500, top_up_max = 20000 },
            ]
            earn = { wallet = "stars", units = 1, per_minor = 200, rounding = "floor", stacking = "best-of" }
        "#;
        let told = "wallet card: money; 5.00 to 200.00 EUR are paid in at once, and at most 1,000.00 are held";
        assert_eq!(summary_of(shop).lines().nth(2), Some(told));
    }

    #[test]
    fn a_plain_programme() {
        assert_eq!(
            summary_of(PLAIN),
            "plain: amounts in JPY, days and years in Asia/Tokyo\n\
             earn: 1 mile per 200 JPY, rounded to the nearest (a half to even) once per basket\n\
             terms: a first basket opens an account; receipts may be 1 day late and 300 seconds ahead"
        );
    }

    #[test]
    fn a_programme_with_everything() {
        let source = r#"
            [program]
            name = "Full"
            currency = "USD"
            time_zone = "America/New_York"
            accounts = "enrolled"
            [[wallets]]
            name = "stars"
            scale = 2
            [earn]
            wallet = "stars"
            units = 150
            per_minor = 100
            rounding = "half-up"
            rounded_per = "line"
            stacking = "best-of"
            exclude = { sku = ["1"], category = ["a", "b"] }
            [[rules]]
            name = "half"
            match = { brand = ["x"] }
            multiplier = "0.5"
            [[rules]]
            name = "more"
            match = { margin_class = ["A", "B"] }
            multiplier = "2.25"
            [[rules]]
            name = "as-much"
            match = { department = ["D"] }
            multiplier_bps = 22500
            [[caps]]
            name = "once"
            measure = "earning-baskets"
            window = "day"
            limit = 1
            [[caps]]
            name = "yearly"
            measure = "units"
            window = "year"
            limit = 1_234_567
            [[metrics]]
            name = "spent"
            measure = "eligible-amount"
            window = "year"
            [[budgets]]
            name = "always"
            units = 100
            [[budgets]]
            name = "spring"
            units = 1_000_000
            from = 2024-02-29
            until = 2024-04-01
        "#;
        assert_eq!(
            summary_of(source),
            "Full: amounts in USD, days and years in America/New_York\n\
             earn: 1.50 stars per 1.00 USD, rounded to the nearest (a half up) on each line; up to 3.375 stars with more\n\
             not eligible: 1 SKU, 2 categories\n\
             rule half: 0.5 times the rate for 1 brand\n\
             rule more: 2.25 times the rate for 2 margin classes\n\
             rule as-much: 2.25 times the rate for 1 department\n\
             cap once: at most 1 earning basket per account and day\n\
             cap yearly: at most 12,345.67 stars per account and year\n\
             metric spent: eligible amount per account and year\n\
             budget always: at most 1.00 stars in all, at any time\n\
             budget spring: at most 10,000.00 stars in all, from 2024-02-29 until 2024-04-01\n\
             terms: accounts must be enrolled; receipts may be 30 days late and 300 seconds ahead"
        );
    }

    #[test]
    fn caps_say_what_becomes_of_what_is_over() {
        let cap =
            |over: &str| format!("[[caps]]\nname = \"c\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 9\n{over}\n");
        let rows = [
            ("", ""),
            ("over = \"decline\"", "; what would exceed it earns nothing"),
            ("over = \"hold\"", "; what would exceed it is held for review"),
        ];
        for (over, said) in rows {
            let text = summary_of(&format!("{PLAIN}{}", cap(over)));
            assert!(text.contains(&format!("cap c: at most 9 miles per account and day{said}\n")), "{text}");
        }
    }

    #[test]
    fn many_rules_are_counted() {
        let rules = (0..LISTED_RULES_MAX + 3)
            .map(|n| format!("[[rules]]\nname = \"r{n}\"\nmatch = {{ sku = [\"{n}\"] }}\nmultiplier = \"2\"\n"));
        let text = summary_of(&format!("{PLAIN}{}", rules.collect::<String>()));
        assert_eq!(text.lines().filter(|line| line.starts_with("rule ")).count(), LISTED_RULES_MAX);
        assert!(text.contains("\nand 3 more rules\n"), "{text}");
        assert!(text.contains("; up to 2 miles with r0\n"), "the first of equal multipliers: {text}");
    }

    #[test]
    fn decimals() {
        let rows = [((12_500, 4, 0), "1.25"), ((20_000, 4, 0), "2"), ((100, 2, 2), "1.00"), ((5, 2, 0), "0.05")];
        for ((number, decimals, kept), text) in rows {
            assert_eq!(decimal(number, decimals, kept), text);
        }
        assert_eq!(decimal(1_234_567, 0, 0), "1,234,567");
    }
}
