//! Caps of rules, and of members: files broken in one place each, and what the preview says.

use super::broken::{Row, broken};
use super::broken_language::FULL;
use super::*;

/// The full file with caps of its last rule.
fn capped() -> String {
    let caps = "\n\n[[rules.caps]]\nname = \"bottles\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 30\n\n\
                [[rules.caps]]\nname = \"bottles-in-all\"\nmeasure = \"earning-baskets\"\nsubject = \"programme\"\n\
                window = \"lifetime\"\nlimit = 500\n";
    FULL.replacen("eligible_minor_min = 1_000 }\n", &format!("eligible_minor_min = 1_000 }}{caps}"), 1)
}

#[test]
fn broken_caps_of_rules_show_what_is_wrong() {
    assert_eq!(shown(&capped()), "");
    for row in ROWS {
        broken(&capped(), row);
    }
}

#[test]
fn the_summary_tells_what_bounds_a_rule() {
    let compiled = compile(&capped(), ProgramVersion(1), TimestampNs(0), &mut SymbolTable::new());
    let lines = summary(&compiled.expect("it has no problem"));
    for line in [
        "cap bottles: rule bottle gives at most 30 points per account and day",
        "cap bottles-in-all: rule bottle gives at most 500 earning baskets per programme and lifetime",
    ] {
        assert!(lines.iter().any(|told| told == line), "{lines:?}");
    }
}

#[test]
fn a_programme_and_its_rules_have_at_most_so_many_caps() {
    use std::fmt::Write as _;
    let mut source = capped();
    for number in 0..crate::limits::PROGRAM_CAPS_MAX - 3 {
        let _ = write!(
            source,
            "[[caps]]\nname = \"more-{number}\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 1_000\n"
        );
    }
    assert_eq!(shown(&source), "");
    let _ = write!(source, "[[caps]]\nname = \"last\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 1_000\n");
    let message = "error: the caps of the programme and of its rules may be at most 64 together";
    assert!(shown(&source).contains(message), "{}", shown(&source));
}

#[test]
fn one_basket_looks_into_a_bounded_number_of_shared_counters() {
    use std::fmt::Write as _;
    let mut source = capped();
    let add = |source: &mut String, name: &str, rolling: u16| {
        let of_cap = format!("measure = \"units\"\nsubject = \"store\"\nwindow = \"day\"\nrolling = {rolling}");
        let _ = write!(source, "[[caps]]\nname = \"{name}\"\n{of_cap}\nlimit = 1_000\n");
    };
    // One for the rule's cap of the whole programme and one for the budget, and 119 for each of these.
    for number in 0..8 {
        add(&mut source, &format!("more-{number}"), 60);
    }
    let _ = write!(source, "[[budgets]]\nname = \"hours\"\nunits = 5\nwindow = \"hour\"\nrolling = 35\n");
    assert_eq!(shown(&source), "");
    add(&mut source, "last", 3);
    let message = "error: with budget `hours` one basket looks into 1027 shared counters, but 1_024 are the most\n  \
                   hint: bound fewer windows together: `rolling` = n looks into 2n - 1 of them";
    assert!(shown(&source).contains(message), "{}", shown(&source));
}

const ROWS: &[Row] = &[
    ("name = \"bottles\"", "name = \"daily\"", "72:8: error: the name `daily` is taken by the cap on line 97"),
    (
        "name = \"bottles\"\nmeasure = \"units\"",
        "name = \"bottles\"\nmesure = \"units\"",
        "71:1: error: [[rules.caps]] lacks `measure`\n73:1: error: [[rules.caps]] has no key `mesure`\n  hint: did you mean `measure`?",
    ),
    (
        "window = \"day\"\nlimit = 30",
        "window = \"day\"\nlimit = 2",
        "75:9: warning: cap `bottles` of 2 is below the 3 units of its rule `bottle`, which are never given whole\n  hint: raise the limit to 3 at least, or have the rule give less",
    ),
    (
        "window = \"day\"\nlimit = 30",
        "window = \"day\"\nlimit = 0",
        "75:9: warning: with a limit of 0 the rule never counts",
    ),
    (
        "sku = [\"bottle\"] }\nfixed_units = 3\nper = \"piece\"",
        "sku = [\"bottle\"] }\nmultiplier = \"0.5\"",
        "71:8: error: cap `bottles` bounds nothing: rule `bottle` gives no more than the base rate\n  hint: a rule's cap bounds what the rule gives beyond what a basket would earn without it\n77:8: error: cap `bottles-in-all` bounds nothing: rule `bottle` gives no more than the base rate\n  hint: a rule's cap bounds what the rule gives beyond what a basket would earn without it",
    ),
    (
        "rounding = \"floor\"",
        "rounding = \"carry\"",
        "72:8: error: cap `bottles` counts units of rule `bottle`, but what is carried is no rule's\n  hint: round in another way, or have the cap count earning-baskets or eligible-amount",
    ),
    (
        "[[rules.caps]]\nname = \"bottles-in-all\"",
        "[rules.caps]\nname = \"bottles-in-all\"",
        "77:8: error: `caps` is stated twice",
    ),
    (
        "subject = \"programme\"\nwindow = \"lifetime\"",
        "subject = \"programme\"\nwindow = \"lifetime\"\nrolling = 2",
        "82:11: error: a lifetime is one window: nothing can be taken together with it\n  hint: leave `rolling` out",
    ),
    (
        "subject = \"programme\"\nwindow = \"lifetime\"",
        "subject = \"membr\"\nwindow = \"lifetime\"",
        "80:11: error: `subject` must be one of \"account\", \"member\", \"store\", \"terminal\", \"cashier\", \"partner\", \"programme\", not \"membr\"\n  hint: did you mean \"member\"?",
    ),
    (
        "subject = \"programme\"\nwindow = \"lifetime\"",
        "subject = \"member\"\nwindow = \"day\"\nrolling = 100",
        "82:11: error: `rolling` is 100, but must be from 1 to 60",
    ),
];
