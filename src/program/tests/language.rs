//! What the constructs of a programme file compile to, and what is clean.

use proptest::prelude::*;

use super::broken_language::FULL;
use super::*;
use crate::ledger::earn::LineSums;
use crate::ledger::program::{
    BirthdayWithin, Conditions, Expiry, LineClass, LineEffect, OwnAverage, Stacking, Terms, TierLevel, Trigger,
    Weekdays,
};
use crate::limits::{BASKET_LINES_MAX, LINE_AMOUNT_MINOR_MAX, LINE_QUANTITY_MAX};

fn compiled(source: &str) -> (Program, SymbolTable) {
    let mut symbols = SymbolTable::new();
    let program = compile(source, ProgramVersion(1), TimestampNs(0), &mut symbols);
    (program.unwrap_or_else(|problems| panic!("{problems:?}\n{source}")), symbols)
}

/// [`GOOD`] with more sections in the place of its expectation.
fn with(sections: &str) -> String {
    let (before, _) = GOOD.split_once("[[expect]]").unwrap();
    format!("{before}{sections}\n")
}

fn rule(name: &str, keys: &str) -> String {
    format!("[[rules]]\nname = \"{name}\"\n{keys}\n")
}

#[test]
fn the_constructs_say_what_the_file_says() {
    let (program, symbols) = compiled(FULL);
    let symbol = |text: &str| symbols.symbol(text).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(program.earn.terms.expiry, Expiry::AfterDays(60));

    let rules = &program.lines.rules;
    let stacked: Vec<_> = rules.iter().map(|rule| (rule.effect, rule.stacking, rule.priority)).collect();
    let times = LineEffect::Multiplier;
    assert_eq!(
        stacked,
        [
            (times(30_000), Stacking::BestOf, 0),
            (times(20_000), Stacking::Multiply, 0),
            (times(15_000), Stacking::Add, 0),
            (times(5_000), Stacking::Exclusive, 1),
            (LineEffect::Fixed { units: 3, per_piece: true }, Stacking::Add, 0),
        ]
    );
    assert_eq!(program.lines.everywhere, [RuleIndex(1)]);
    assert_eq!(program.lines.multiply_max, 1);
    assert!(program.lines.needs_eligible_amount);
    let when = |index: usize| rules[index].when.as_deref().cloned().unwrap_or_default();
    let wednesdays = Conditions {
        from: Some(Day(17_226)),
        until: Some(Day(17_531)),
        weekdays: Weekdays(0b100),
        ..Conditions::default()
    };
    assert_eq!(when(0), wednesdays);
    assert_eq!((when(1).segments, when(1).not_segments), (vec![symbol("members")], vec![symbol("staff")]));
    assert_eq!(when(2), Conditions { levels: 0b011, ..Conditions::default() });
    assert_eq!(rules[3].when, None);
    let bottle =
        Conditions { minutes: vec![(540, 720)], stores: vec![symbol("s1")], eligible_minor_min: 1_000, ..when(3) };
    assert_eq!(when(4), bottle);

    let bonuses: Vec<_> = program.bonuses.iter().map(|bonus| (bonus.trigger, bonus.units, bonus.limit)).collect();
    let review = Trigger::Activity(symbol("review"));
    let expected =
        [(Trigger::Basket, 50, Some((CalendarWindow::Lifetime, 1))), (review, 5, Some((CalendarWindow::Week, 3)))];
    assert_eq!(bonuses, expected);
    assert_eq!(program.bonuses[0].when, Conditions { nth_basket: 1, channels: vec![symbol("app")], ..when(3) });
    assert_eq!(program.bonuses[1].symbol, symbol("review"));

    let ladder = program.tiers.as_ref().unwrap();
    assert_eq!((ladder.metric, ladder.window), (symbol("spent"), CalendarWindow::Year));
    let level = |name: &str, threshold, multiplier_bps| TierLevel { name: name.to_owned(), threshold, multiplier_bps };
    assert_eq!(ladder.levels, [level("silver", 20_000, 12_500), level("gold", 60_000, 15_000)]);
}

#[test]
fn new_names_enter_the_dictionary_in_the_order_of_the_file() {
    let (_, symbols) = compiled(FULL);
    let names: Vec<&str> = (1..).map_while(|number| symbols.text(SymbolId(number))).collect();
    let expected = [
        "points",
        "spent",
        "PRODUCE",
        "members",
        "staff",
        "Own",
        "clearance",
        "bottle",
        "s1",
        "welcome",
        "app",
        "review",
        "daily",
    ];
    assert_eq!(names, expected);
}

#[test]
fn lists_are_sorted_by_number_whatever_their_order_in_the_file() {
    let source = with("[[bonuses]]\nname = \"b\"\nunits = 1\nwhen = { segments = [\"z\", \"FUEL\", \"a\"] }\n");
    let (program, symbols) = compiled(&source);
    let segments = &program.bonuses[0].when.segments;
    assert!(segments.is_sorted(), "{segments:?}");
    assert_eq!(segments[0], symbols.symbol("FUEL").unwrap());
}

#[test]
fn rules_that_multiply_are_counted_where_one_line_can_meet_them() {
    let times = "multiplier = \"2\"\nstacking = \"multiply\"\n";
    let rows = [
        (vec![], 0),
        (vec!["match = { brand = [\"a\"] }", "match = { brand = [\"b\"] }"], 1),
        (vec!["match = { brand = [\"a\"] }", "match = { brand = [\"b\", \"a\"] }"], 2),
        (vec!["match = { brand = [\"a\"] }", "match = { sku = [\"a\"] }", ""], 3),
    ];
    for (matches, expected) in rows {
        let rules = matches
            .iter()
            .enumerate()
            .map(|(index, matched)| rule(&format!("r{index}"), &format!("{matched}\n{times}")));
        let (program, _) = compiled(&with(&rules.collect::<String>()));
        assert_eq!(program.lines.multiply_max, expected, "{matches:?}");
    }
}

#[test]
fn terms_kept_levels_birthdays_and_experiments_say_what_the_file_says() {
    let sections = r#"
        [[metrics]]
        name = "ever"
        measure = "eligible-amount"
        window = "lifetime"
        [tiers]
        metric = "spent"
        keep = 1
        soft_landing = true
        grace_days = 31
        levels = [{ name = "top", threshold = 9 }]
        [[experiments]]
        name = "e"
        variants = [{ name = "a", percent = 30 }, { name = "b", percent = 70 }]
        [[bonuses]]
        name = "near"
        units = 5
        when = { birthday = "week", days_since_last_basket_min = 3, days_since_last_basket_max = 9, experiment = ["e.b"] }
        [[bonuses]]
        name = "more"
        units = 6
        when = { own_average = { metric = "ever", percent = 120 } }
    "#;
    let source =
        with(sections).replacen("\"floor\"", "\"carry\"\npending_days = 14\nexpiry = { each_year_on = \"06-30\" }", 1);
    let (program, symbols) = compiled(&source);
    assert_eq!(program.earn.rounding, Rounding::Carry);
    let terms = Terms { pending_days: 14, expiry: Expiry::EachYearOn { month: 6, day: 30 } };
    assert_eq!(program.earn.terms, terms);
    let ladder = program.tiers.as_ref().unwrap();
    assert_eq!((ladder.keep, ladder.soft_landing, ladder.grace_days), (1, true, 31));
    assert_eq!(program.experiments[0].variants, [("a".to_owned(), 30), ("b".to_owned(), 100)]);
    let near = Conditions {
        birthday: Some(BirthdayWithin::Week),
        days_since_last_basket_min: Some(3),
        days_since_last_basket_max: Some(9),
        variants: vec![(0, 1)],
        ..Conditions::default()
    };
    assert_eq!(program.bonuses[0].when, near);
    let average = OwnAverage { metric: symbols.symbol("ever").unwrap(), percent: 120 };
    assert_eq!(program.bonuses[1].when, Conditions { own_average: Some(average), ..Conditions::default() });
    assert!(program.keeps_last_basket);
    assert!(!compiled(FULL).0.keeps_last_basket);
    let words = summary(&program).join("\n");
    let told = "bonus near: 5 points for a basket, in the week of the birthday, at least 3 days after the last basket, \
                at most 9 days after the last basket, in experiment e.b\n\
                bonus more: 6 points for a basket, with at least 120 % of the account's average basket\n";
    assert!(words.contains(told), "{words}");
}

/// Exclusive rules for the same value, told apart by what they state.
#[test]
fn exclusive_rules_that_cannot_hold_together_are_clean() {
    let rows = [
        ("when = { from = 2017-01-01, until = 2017-01-31 }", "when = { from = 2017-02-01 }", true),
        ("when = { from = 2017-01-01, until = 2017-02-01 }", "when = { from = 2017-02-01 }", false),
        ("when = { weekdays = [\"monday\"] }", "when = { weekdays = [\"friday\", \"sunday\"] }", true),
        ("when = { weekdays = [\"monday\"] }", "when = { hours = [\"09:00-10:00\"] }", false),
        ("when = { hours = [\"09:00-10:00\"] }", "when = { hours = [\"10:00-11:00\"] }", true),
        ("when = { hours = [\"09:00-10:01\"] }", "when = { hours = [\"10:00-11:00\"] }", false),
        ("when = { stores = [\"a\"] }", "when = { stores = [\"b\"] }", true),
        ("when = { stores = [\"a\"] }", "when = { stores = [\"b\", \"a\"] }", false),
        ("when = { segments = [\"a\"] }", "when = { segments = [\"b\"] }", false),
        ("when = { segments = [\"a\"] }", "when = { not_segments = [\"a\"] }", true),
        ("when = { nth_basket = 3 }", "when = { nth_basket = 4 }", true),
        ("when = { nth_basket = 3 }", "when = { every_nth_basket = 2 }", true),
        ("when = { nth_basket = 4 }", "when = { every_nth_basket = 2 }", false),
        (
            "when = { days_since_last_basket_max = 59 }",
            "when = { days_since_last_basket_min = 60, days_since_last_basket_max = 90 }",
            true,
        ),
        ("when = { days_since_last_basket_min = 60 }", "when = { days_since_last_basket_max = 59 }", true),
        ("when = { days_since_last_basket_max = 60 }", "when = { days_since_last_basket_min = 60 }", false),
        ("when = { days_since_last_basket_min = 60 }", "when = { days_since_last_basket_min = 90 }", false),
        ("when = { channels = [\"app\"] }", "", false),
        ("priority = 1", "priority = 2", true),
    ];
    for (left, right, is_clean) in rows {
        let keys =
            |when: &str| format!("match = {{ brand = [\"x\"] }}\nmultiplier = \"3\"\nstacking = \"exclusive\"\n{when}");
        let source = with(&format!("{}{}", rule("left", &keys(left)), rule("right", &keys(right))));
        assert_eq!(shown(&source).is_empty(), is_clean, "{left} / {right}: {}", shown(&source));
    }
}

/// Exclusive rules for different attributes: a line can carry both.
#[test]
fn exclusive_rules_that_one_line_may_meet_are_told() {
    let rows = [
        ("", "", false),
        ("when = { stores = [\"a\"] }", "when = { stores = [\"b\"] }", true),
        ("when = { channels = [\"app\"] }", "", false),
        ("priority = 1", "priority = 2", true),
    ];
    for (left, right, is_clean) in rows {
        let alone = |matched: &str, keys: &str| {
            format!("match = {{ {matched} }}\nmultiplier = \"3\"\nstacking = \"exclusive\"\n{keys}")
        };
        let by_brand = rule("by-brand", &alone("brand = [\"x\"]", left));
        let by_category = rule("by-category", &alone("category = [\"y\", \"z\"]", right));
        let checked = shown(&with(&format!("{by_brand}{by_category}")));
        assert_eq!(checked.is_empty(), is_clean, "{left} / {right}: {checked}");
        let told = "warning: exclusive rules `by-category` and `by-brand` on line 40 have the same priority and \
                    multiplier, and both match a line of category \"y\" and brand \"x\"";
        assert!(is_clean || checked.contains(told), "{checked}");
    }
    // What is excluded meets nothing.
    let fuel =
        rule("fuel", "match = { department = [\"FUEL\", \"AIR\"] }\nmultiplier = \"3\"\nstacking = \"exclusive\"");
    let other = rule("own", "match = { brand = [\"x\"] }\nmultiplier = \"3\"\nstacking = \"exclusive\"");
    assert!(shown(&with(&format!("{fuel}{other}"))).contains("a line of brand \"x\" and department \"AIR\""));
}

/// An expectation states what conditions look at, the average and the variant included.
#[test]
fn expectations_state_averages_and_variants() {
    let sections = r#"
        [[metrics]]
        name = "ever"
        measure = "eligible-amount"
        window = "lifetime"
        [[experiments]]
        name = "e"
        variants = [{ name = "a", percent = 1 }, { name = "b", percent = 98 }, { name = "c", percent = 1 }]
        [[bonuses]]
        name = "more"
        units = 6
        when = { own_average = { metric = "ever", percent = 120 } }
        [[bonuses]]
        name = "tried"
        units = 7
        when = { experiment = ["e.a", "e.c"] }
    "#;
    let row = |keys: &str, units: i64| {
        let expectation = format!("[[expect]]\nname = \"x\"\n{keys}\nunits = {units}\n");
        shown(&with(&format!("{sections}{expectation}")))
    };
    let lines = "lines = [{ amount_minor = 1_200 }]";
    for (keys, units) in [
        ("own_average = 1_000", 18),
        ("own_average = 1_001", 12),
        ("own_average = 1_000\nbasket_number = 7", 18),
        ("own_average = 0", 18),
        ("variant = [\"e.a\"]", 19),
        ("variant = [\"e.b\"]", 12),
        ("variant = [\"e.c\"]\nown_average = 1_000", 25),
    ] {
        assert_eq!(row(&format!("{lines}\n{keys}"), units), "", "{keys}");
    }
    for (keys, told) in [
        ("own_average = 1_000\nbasket_number = 1", "an account that has had no basket has no average"),
        ("own_average = 1_000_000_000_000\nbasket_number = 1_000_000_000", "come to more than can be counted"),
        ("variant = [\"e.a\", \"e.b\"]", "an account has one variant of an experiment, and here are two"),
        ("variant = [\"e.d\"]", "there is no variant \"e.d\""),
    ] {
        let checked = row(&format!("{lines}\n{keys}"), 12);
        assert!(checked.contains(told), "{keys}: {checked}");
    }
    let checked = row("activity = \"review\"\nown_average = 5", 0);
    assert!(checked.contains("an activity has no amount that `own_average` could be compared with"), "{checked}");
}

/// Where the ladder counts what the average is made of, one follows from the other.
#[test]
fn a_level_and_an_average_of_the_same_metric_fit_together() {
    let sections = r#"
        [[metrics]]
        name = "ever"
        measure = "eligible-amount"
        window = "lifetime"
        [tiers]
        metric = "ever"
        levels = [{ name = "silver", threshold = 5_000, multiplier = "2" }]
        [[bonuses]]
        name = "more"
        units = 6
        when = { own_average = { metric = "ever", percent = 100 } }
    "#;
    let row = |keys: &str, units: i64| {
        let lines = "lines = [{ amount_minor = 1_000 }]";
        shown(&with(&format!("{sections}[[expect]]\nname = \"x\"\n{lines}\nunits = {units}\n{keys}\n")))
    };
    assert_eq!(row("own_average = 1_000\nbasket_number = 6\ntier = \"silver\"", 26), "");
    assert_eq!(row("own_average = 1_000\nbasket_number = 5", 16), "");
    assert_eq!(row("tier = \"silver\"", 20), "");
    let told = "an account of this average and number of baskets has the level \"silver\"";
    assert!(row("own_average = 1_000\nbasket_number = 6", 16).contains(told));
}

#[test]
fn a_better_rule_under_conditions_makes_no_rule_idle() {
    let better = rule("better", "match = { brand = [\"Own\"] }\nmultiplier = \"3\"\nwhen = { channels = [\"app\"] }");
    assert_eq!(shown(&with(&better)), "");
    let added = rule("added", "match = { brand = [\"Own\"] }\nmultiplier = \"3\"\nstacking = \"add\"");
    assert_eq!(shown(&with(&added)), "");
}

#[test]
fn expectations_state_what_is_held() {
    let caps = r#"
        [[caps]]
        name = "watch"
        measure = "units"
        window = "day"
        limit = 300
        over = "hold"
        [[caps]]
        name = "store-watch"
        measure = "eligible-amount"
        subject = "store"
        window = "day"
        rolling = 3
        limit = 20_000
        over = "hold"
        [[bonuses]]
        name = "large-review"
        units = 301
        on = { activity = "review" }
    "#;
    let row = |event: &str, units: i64, held: &str| {
        let text =
            shown(&with(&format!("{caps}[[expect]]\nname = \"x\"\n{event}\nunits = {units}\nheld = \"{held}\"\n")));
        text.lines().filter(|line| !line.contains("warning") && !line.contains("raise the limit")).collect::<String>()
    };
    let basket = |amount: i64| format!("store = \"s1\"\nlines = [{{ amount_minor = {amount} }}]");
    // The other caps of the file, which clip a day to 200, are not looked at.
    assert_eq!(row(&basket(30_000), 300, "store-watch"), "");
    assert_eq!(row(&basket(30_100), 301, "watch"), "");
    assert_eq!(row(&basket(20_000), 200, "none"), "");
    // An event that does not say in which store is bounded by no store's cap.
    assert_eq!(row("lines = [{ amount_minor = 30_000 }]", 300, "none"), "");
    assert_eq!(row("activity = \"review\"", 301, "watch"), "");
    let told = |event: &str, units, held, what: &str| {
        let got = row(event, units, held);
        assert!(got.contains(what), "{got}");
    };
    told(&basket(30_100), 301, "store-watch", "does not hold: cap `watch` holds it, not cap `store-watch`");
    told(&basket(30_000), 300, "none", "does not hold: cap `store-watch` holds it, but nothing should");
    told(&basket(100), 1, "watch", "does not hold: nothing is held, but cap `watch` should hold it");
    told(&basket(100), 1, "wtch", "no cap of the name \"wtch\" holds anything  hint: did you mean \"watch\"?");
    told(&basket(100), 1, "daily", "no cap of the name \"daily\" holds anything");
}

#[test]
fn what_an_ordinary_basket_earns_is_said_by_the_code_that_decides() {
    let row = |keys: &str, sections: &str| {
        let source = with(sections).replacen("[program]\n", &format!("[program]\n{keys}\n"), 1);
        let checked = check(&source);
        checked.outlook.map(|outlook| outlook.words).unwrap_or_else(|| format!("{:?}", checked.problems))
    };
    let both = "typical_basket_minor = 3_500\nfirst_reward_units = 100";
    assert_eq!(
        row(both, ""),
        "a basket of 35.00 USD earns 35 points, 1 for each 1.00 USD; first reward after 3 baskets"
    );
    assert_eq!(row("typical_basket_minor = 199", ""), "a basket of 1.99 USD earns 1 point, 0.5 for each 1.00 USD");
    assert_eq!(
        row("typical_basket_minor = 99\nfirst_reward_units = 1", ""),
        "a basket of 0.99 USD earns 0 points, 0 for each 1.00 USD; the first reward is never reached"
    );
    // The cap of the day.
    assert_eq!(
        row("typical_basket_minor = 50_000\nfirst_reward_units = 200", ""),
        "a basket of 500.00 USD earns 200 points, 0.4 for each 1.00 USD; first reward after 1 basket"
    );
    // What is added without a condition counts, what has one does not.
    let sections = "[[bonuses]]\nname = \"visit\"\nunits = 5\n[[bonuses]]\nname = \"app\"\nunits = 7\n\
                    when = { channels = [\"app\"] }\n[[rules]]\nname = \"all\"\nmultiplier = \"2\"\n";
    assert_eq!(
        row(both, sections),
        "a basket of 35.00 USD earns 75 points, 2.14 for each 1.00 USD; first reward after 2 baskets"
    );
    assert_eq!(check(GOOD).outlook, None);
}

/// What is carried comes to units in the end, and what a cap over a lifetime denies is denied for ever.
#[test]
fn many_ordinary_baskets_are_judged_one_after_the_other() {
    let row = |basket: i64, reward: i64, rounding: &str, cap: &str| {
        let keys = format!("typical_basket_minor = {basket}\nfirst_reward_units = {reward}");
        let cap = if cap.is_empty() { String::new() } else { format!("[[caps]]\nname = \"ever\"\n{cap}\n") };
        let source = with(&cap).replacen("[program]\n", &format!("[program]\n{keys}\n"), 1);
        let checked = check(&source.replacen("floor", rounding, 1));
        checked.outlook.map(|outlook| outlook.words).unwrap_or_else(|| format!("{:?}", checked.problems))
    };
    let cap = |measure: &str, limit: i64, over: &str| {
        format!("measure = \"{measure}\"\nwindow = \"lifetime\"\nlimit = {limit}\nover = \"{over}\"")
    };
    let rest = "a basket of 0.99 USD earns 0 points and a rest for the next, 1 for each 1.00 USD";
    assert_eq!(row(99, 1, "carry", ""), format!("{rest}; first reward after 2 baskets"));
    assert_eq!(row(99, 99, "carry", ""), format!("{rest}; first reward after 100 baskets"));
    let more = "a basket of 1.50 USD earns 1 point and a rest for the next, 1 for each 1.00 USD";
    assert_eq!(row(150, 7, "carry", ""), format!("{more}; first reward after 5 baskets"));
    // Every second basket earns nothing by itself, and counts for no cap on baskets.
    let half = "a basket of 0.50 USD earns 0 points and a rest for the next, 1 for each 1.00 USD";
    assert_eq!(
        row(50, 3, "carry", &cap("earning-baskets", 3, "decline")),
        format!("{half}; first reward after 6 baskets")
    );
    let plain = "a basket of 35.00 USD earns 35 points, 1 for each 1.00 USD";
    let rows = [
        (cap("earning-baskets", 3, "decline"), true),
        (cap("earning-baskets", 2, "decline"), false),
        (cap("eligible-amount", 10_500, "decline"), true),
        (cap("eligible-amount", 10_499, "decline"), false),
        (cap("units", 105, "decline"), true),
        (cap("units", 104, "decline"), false),
        (cap("units", 100, "clip"), true),
        (cap("units", 99, "clip"), false),
        // Whoever reviews it lets it through.
        (cap("units", 50, "hold"), true),
        (cap("eligible-amount", 1, "hold"), true),
    ];
    for (cap, is_reached) in rows {
        let told = if is_reached { "first reward after 3 baskets" } else { "the first reward is never reached" };
        assert_eq!(row(3_500, 100, "floor", &cap), format!("{plain}; {told}"), "{cap}");
    }
    let denied = "a basket of 35.00 USD earns 0 points, 0 for each 1.00 USD; the first reward is never reached";
    assert_eq!(row(3_500, 100, "floor", &cap("eligible-amount", 3_499, "decline")), denied);
}

/// Nobody means it, but it is a file.
#[test]
fn the_rate_of_the_smallest_basket_may_be_larger_than_any_balance() {
    let bonus = "[[bonuses]]\nname = \"all\"\nunits = 100_000_000_000_000_000\n";
    let source = with(bonus).replacen("[program]\n", "[program]\ntypical_basket_minor = 1\n", 1).replacen(
        "limit = 200",
        "limit = 1_000_000_000_000_000_000",
        1,
    );
    let outlook = check(&source).outlook.expect("it has no problem");
    assert_eq!(
        outlook.words,
        "a basket of 0.01 USD earns 100,000,000,000,000,000 points, 10,000,000,000,000,000,000 for each 1.00 USD"
    );
    assert_eq!(outlook.units_per_million_minor, i64::MAX);
}

#[test]
fn the_summary_tells_conditions_bonuses_and_levels() {
    let checked = check(FULL);
    let words = summary(&checked.program.unwrap()).join("\n");
    assert_eq!(
        words,
        "full: amounts in USD, days and years in America/New_York\n\
         earn: 1 point per 1.00 USD, rounded down once per basket\n\
         rule produce-wednesday: 3 times the rate for 1 department, from 2017-03-01 until 2017-12-31, on Wednesdays\n\
         rule summer: 2 times what else counts for every line, from 2017-06-01 until 2017-08-31, for 1 segment, \
         not for 1 segment\n\
         rule own-extra: 0.5 times the rate more for 1 brand, with no level or silver\n\
         rule clearance: 0.5 times the rate, and no other rule, for 1 category\n\
         rule bottle: 3 points more per piece for 1 SKU, from 09:00 to 12:00, in 1 store, with at least 10.00 USD \
         eligible\n\
         bonus welcome: 50 points for a basket, through 1 channel, at basket 1; at most once per account and lifetime\n\
         bonus review: 5 points for an activity; at most 3 times per account and week\n\
         level silver: from 200.00 USD of spent per account and year on; 1.25 times what a basket's lines earn\n\
         level gold: from 600.00 USD of spent per account and year on; 1.5 times what a basket's lines earn\n\
         cap daily: at most 200 points per account and month\n\
         metric spent: eligible amount per account and year\n\
         expiry: points die after 60 full days behind the day on which they were earned\n\
         terms: a first basket opens an account; receipts may be 30 days late and 300 seconds ahead"
    );
}

/// A rule of the property: what it multiplies by or gives, and how it goes together with others.
fn any_rule() -> impl Strategy<Value = String> {
    let matched = prop_oneof![
        Just(""),
        Just("match = { brand = [\"x\"] }\n"),
        Just("match = { sku = [\"x\"] }\n"),
        Just("match = { category = [\"x\", \"y\"] }\n"),
    ];
    let multiplied =
        (0..10_000_000_i64, prop_oneof![Just("best-of"), Just("add"), Just("multiply"), Just("exclusive")]);
    let effect = prop_oneof![
        4 => multiplied.prop_map(|(bps, stacking)| format!("multiplier_bps = {bps}\nstacking = \"{stacking}\"\n")),
        1 => (1..1_000_000_i64).prop_map(|units| format!("fixed_units = {units}\nper = \"piece\"\n")),
        1 => (1..1_000_000_i64).prop_map(|units| format!("fixed_units = {units}\nper = \"line\"\n")),
    ];
    (matched, effect).prop_map(|(matched, effect)| format!("{matched}{effect}"))
}

proptest! {
    /// Whatever rules go together: a programme that is clean decides its largest basket within range.
    #[test]
    fn the_largest_basket_of_stacked_rules_stays_in_range(
        rules in prop::collection::vec(any_rule(), 0..6), per_minor in 1..1_000_000_i64, level_bps in 10_000..10_000_000_i64,
        rounding in prop_oneof![Just("floor\"\nrounded_per = \"basket"), Just("half-up\"\nrounded_per = \"line")],
    ) {
        let rules: String = rules.iter().enumerate().map(|(index, keys)| rule(&format!("r{index}"), keys)).collect();
        let multiplier = format!("{}.{:04}", level_bps / 10_000, level_bps % 10_000);
        let levels = format!(
            "[tiers]\nmetric = \"spent\"\n[[tiers.levels]]\nname = \"top\"\nthreshold = 1\nmultiplier = \"{multiplier}\"\n"
        );
        let source = with(&format!("{rules}{levels}"))
            .replacen("per_minor = 100", &format!("per_minor = {per_minor}"), 1)
            .replacen("floor", rounding, 1);
        let mut symbols = SymbolTable::new();
        if let Ok(program) = compile(&source, ProgramVersion(1), TimestampNs(0), &mut symbols) {
            let x = symbols.symbol("x").unwrap_or_default();
            let item = Item { brand: x, sku: x, category: x, ..Item::default() };
            let mut beside = Vec::new();
            let class = program.lines.judge(&item, |_| true, |rule| beside.push(rule));
            let mut sums = LineSums::new(&program, level_bps, 0);
            for _ in 0..BASKET_LINES_MAX {
                sums.add(class, beside.iter().copied(), LINE_AMOUNT_MINOR_MAX, LINE_QUANTITY_MAX);
            }
            prop_assert!(sums.units().0 < UNITS_MAX, "{}", sums.units().0);
            prop_assert!(class != LineClass::Ineligible);
        }
    }

    /// Whatever rules go together: their order in the file changes nothing.
    #[test]
    fn the_order_of_rules_that_go_together_does_not_change_what_a_basket_earns(
        (rules, shuffled) in prop::collection::vec(any_rule(), 0..6)
            .prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle())),
        lines in prop::collection::vec((0..3_usize, 0..3_usize, 0..3_usize, 0..100_000_i64, 0..9_i64), 1..4),
    ) {
        let units = |rules: &[String]| {
            let rules: String = rules.iter().enumerate().map(|(index, keys)| rule(&format!("r{index}"), keys)).collect();
            let mut symbols = SymbolTable::new();
            let program = compile(&with(&rules), ProgramVersion(1), TimestampNs(0), &mut symbols).ok()?;
            let [none, x, y] = ["", "x", "y"].map(|value| symbols.symbol(value).unwrap_or_default());
            let mut sums = LineSums::new(&program, 10_000, 0);
            for (brand, sku, category, amount_minor, quantity) in &lines {
                let [brand, sku, category] = [brand, sku, category].map(|place| [none, x, y][*place]);
                let mut beside = Vec::new();
                let item = Item { brand, sku, category, ..Item::default() };
                let class = program.lines.judge(&item, |_| true, |rule| beside.push(rule));
                sums.add(class, beside.iter().copied(), *amount_minor, *quantity);
            }
            Some(sums.units().0)
        };
        prop_assert_eq!(units(&rules), units(&shuffled));
    }
}
