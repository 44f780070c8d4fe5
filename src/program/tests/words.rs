//! Decisions in words: what an author may write, and what is wrong with what one wrote.

use super::broken_language::FULL;
use super::*;
use crate::ledger::decision::Refusal;
use crate::program::words::{Sentence, Words};

/// The full file with words at its end.
fn with(words: &str) -> String {
    format!("{FULL}\n{words}")
}

/// All sentences of a language, each as its key and its places.
fn whole(tag: &str) -> String {
    let sentence = |sentence: &Sentence| {
        let places: String = sentence.places().iter().map(|place| format!(" {{{place}}}")).collect();
        format!("{} = \"{}{places}\"\n", sentence.key(), sentence.key())
    };
    format!("[words.{tag}]\n{}", Sentence::ALL.iter().map(sentence).collect::<String>())
}

#[test]
fn a_file_speaks_its_languages() {
    let source = with(&format!(
        "[words.en]\nbonus = \"{{points}} for you: {{bonus}}\"\nnames = {{ welcome = \"our welcome\" }}\n\n{}\
         names = {{ daily = \"die Tagesgrenze\", gold = \"Gold\", points = \"Punkte\" }}\n\
         refusals = {{ insufficient_balance = \"Es sind zu wenige.\" }}\n",
        whole("de")
    ));
    assert_eq!(shown(&source), "");
    let words = Words::of(&source);
    assert_eq!((words.program.as_str(), words.metric.as_str()), ("full", "spent"));
    let bonus = [("points", words.units("points", 50)), ("bonus", words.speak("en").name("welcome"))];
    assert_eq!(words.speak("").say(Sentence::Bonus, &bonus), "50 for you: our welcome");
    // What the file leaves out in English is built in.
    let level = [("level", words.speak("en").name("gold"))];
    assert_eq!(words.speak("en").say(Sentence::Level, &level), "It was judged at the level gold.");
    let german = words.speak("de-AT");
    assert_eq!((german.tag(), german.name("gold"), german.name("silver")), ("de", "Gold".into(), "silver".into()));
    assert_eq!(german.say(Sentence::Level, &[("level", german.name("gold"))]), "level Gold");
    assert_eq!(german.refusal(Refusal::InsufficientBalance), "Es sind zu wenige.");
    assert_eq!(german.refusal(Refusal::NotHeld), Refusal::NotHeld.sentence());
}

#[test]
fn words_change_nothing_that_is_decided() {
    let with_words = compile(&with(&whole("de")), ProgramVersion(1), TimestampNs(0), &mut SymbolTable::new()).unwrap();
    let without = compile(FULL, ProgramVersion(1), TimestampNs(0), &mut SymbolTable::new()).unwrap();
    let same_source = Program { source_hash: without.source_hash, ..with_words };
    assert_eq!(same_source, without);
}

#[test]
fn broken_words_show_what_is_wrong() {
    let line = FULL.lines().count() + 3;
    let rows = [
        ("earned = 7", "10: error: `earned` must be a string, not a whole number"),
        ("earned = \"\"", "10: error: `earned` is empty"),
        ("earnd = \"x\"", "1: error: a language of `[words]` has no key `earnd`\n  hint: did you mean `earned`?"),
        (
            "earned = \"{point}\"",
            "10: error: `earned` has a place `{point}` that there is not\n  hint: did you mean `{points}`?",
        ),
        (
            "bonus = \"{wallet}\"",
            "9: error: `bonus` has a place `{wallet}` that there is not\n  hint: the places of this sentence: {points}, {bonus}",
        ),
        (
            "changed = \"{x}\"",
            "11: error: `changed` has a place `{x}` that there is not\n  hint: this sentence has no places",
        ),
        (
            "level = \"{level\"",
            "9: error: `level` has a brace that is not closed or not opened; two braces, `{{` or `}}`, stand for one",
        ),
        (
            "names = { wellcome = \"x\" }",
            "11: error: nothing in this file has the name \"wellcome\"\n  hint: did you mean \"welcome\"?",
        ),
        ("names = { welcome = 1 }", "21: error: `welcome` must be a string, not a whole number"),
        (
            "refusals = { not_hold = \"x\" }",
            "14: error: there is no refusal `not_hold`\n  hint: did you mean `not_held`?",
        ),
    ];
    for (words, expected) in rows {
        assert_eq!(shown(&with(&format!("[words.en]\n{words}\n"))), format!("{line}:{expected}"), "{words}");
    }
    let line = line - 1;
    let lacking = shown(&with("[words.de]\nearned = \"{points}\"\n"));
    let start =
        format!("{line}:8: error: the language `de` lacks earned_nothing, line, line_by_rule, level, bonus, capped, ");
    assert!(lacking.starts_with(&start), "{lacking}");
    assert!(lacking.ends_with("so that no answer mixes two; only those of `en` are built in"), "{lacking}");
    let rows = [
        (
            "[words.german]\n",
            "8: error: \"german\" is not the tag of a language\n  hint: a tag is two or three small letters, a region may follow: \"de\", \"pt-BR\"",
        ),
        ("words.en = 3\n", "1: error: "),
    ];
    for (words, expected) in rows {
        let found = shown(&with(words));
        assert!(found.starts_with(&format!("{line}:{expected}")), "{found}");
    }
}

/// A wallet and a rate, and what any programme can show in German.
const BARE: &str = r#"[program]
name = "bare"
currency = "EUR"
time_zone = "UTC"

[[wallets]]
name = "points"

[earn]
wallet = "points"
units = 1
per_minor = 100
rounding = "floor"
stacking = "best-of"

[words.de]
earned = "{points} {wallet} gutgeschrieben."
earned_nothing = "Keine {wallet}."
line = "Zeile {line}: {points}."
redeemed = "{points} {wallet} eingelöst."
authorized = "{points} {wallet} vorgemerkt."
captured = "{points} {wallet} eingelöst, aus {original}."
voided = "{points} {wallet} frei, aus {original}."
reversed = "{points} {wallet} zurückgenommen."
unburned = "{points} {wallet} sind wieder da."
restored = "{points} verfallene {wallet} sind wieder da."
adjusted = "Berichtigung um {points}: {reason}."
loaded = "Anfangsbestand: {points}."
changed = "Die Angaben wurden geändert."
expired = "{points} {wallet} waren verfallen."
refused = "Abgelehnt: {reason}"
balance = "Der Stand war {points}."
"#;

const VOUCHERS: &str = "voucher_given, voucher_used, voucher_given_back, voucher_cancelled, voucher_kept";

#[test]
fn a_language_has_the_sentences_that_its_file_can_show() {
    assert_eq!(shown(BARE), "");
    let cap = |more: &str| format!("[[caps]]\nname = \"c\"\nwindow = \"day\"\nlimit = 9\n{more}\n");
    let rule = |more: &str| format!("[[rules]]\nname = \"r\"\nmultiplier = \"2\"\n{more}\n");
    let with_voucher = |more: &str| format!("[[vouchers]]\nname = \"v\"\ntext = \"tea\"\nvalid_days = 9\n\n{more}");
    let metric = "[[metrics]]\nname = \"m\"\nmeasure = \"units\"\nwindow = \"year\"\n\n";
    let rows = [
        (rule(""), "line_by_rule"),
        (
            rule("caps = [{ name = \"c\", measure = \"units\", window = \"day\", limit = 9 }]"),
            "line_by_rule, capped, rule_capped",
        ),
        (
            rule("caps = [{ name = \"c\", measure = \"units\", window = \"day\", limit = 9, over = \"decline\" }]"),
            "line_by_rule, rule_capped",
        ),
        (
            format!("{metric}[tiers]\nmetric = \"m\"\nlevels = [{{ name = \"l\", threshold = 9 }}]\n"),
            "level, next_level, highest_level",
        ),
        (metric.to_owned(), ""),
        ("[[bonuses]]\nname = \"b\"\nunits = 5\n".to_owned(), "bonus"),
        ("[[stamps]]\nname = \"s\"\ncount = 4\nunits = 5\n".to_owned(), "stamped, card_full"),
        (cap("measure = \"units\""), "capped"),
        (cap("measure = \"units\"\nover = \"decline\""), "denied"),
        (cap("measure = \"earning-baskets\""), "denied"),
        (cap("measure = \"units\"\nover = \"hold\""), "held, released, rejected"),
        ("[[budgets]]\nname = \"b\"\nunits = 9\n".to_owned(), "over_budget"),
        ("[[rewards]]\nname = \"w\"\nwallet = \"points\"\nprice = 9\n".to_owned(), "rewarded"),
        ("[[wallets]]\nname = \"cash\"\nkind = \"money\"\n".to_owned(), "topped_up, refunded"),
        (with_voucher(""), VOUCHERS),
        (with_voucher("[[bonuses]]\nname = \"b\"\nvoucher = \"v\"\n"), VOUCHERS),
        ("[refunds]\nwhen_spent = \"debt\"\n".to_owned(), "owed, collected"),
        ("[refunds]\nwhen_spent = \"negative\"\n".to_owned(), "owed, collected"),
        ("[refunds]\nwhen_spent = \"refuse\"\n".to_owned(), ""),
    ];
    for (more, expected) in rows {
        check_lacks(&format!("{BARE}\n{more}"), expected);
    }
    check_lacks(&BARE.replacen("units = 1", "exclude = { brand = [\"x\"] }\nunits = 1", 1), "line_excluded");
}

/// The one error is that a sentence is lacking, and the file is good once they are all there.
#[track_caller]
fn check_lacks(source: &str, expected: &str) {
    let found = check(source).problems.iter().map(ToString::to_string).find(|problem| problem.contains(": error: "));
    let lacking = found.as_deref().map_or("", |problem| {
        let (_, lacking) = problem.split_once("error: the language `de` lacks ").unwrap_or_else(|| panic!("{problem}"));
        lacking.lines().next().unwrap()
    });
    assert_eq!(lacking, expected, "{source}");
    let keys = expected.split(", ").filter(|key| !key.is_empty());
    let stated: String = keys.map(|key| format!("{key} = \"x\"\n")).collect();
    let stated = source.replacen("[words.de]\n", &format!("[words.de]\n{stated}"), 1);
    assert_eq!(shown(&stated).lines().find(|line| line.contains(": error: ")), None);
}

#[test]
fn a_sentence_that_is_never_shown_may_be_there() {
    let source = BARE.replacen("[words.de]", "[words.de]\nstamped = \"{stamps} auf {stamp_card}\"", 1);
    assert_eq!(shown(&source), "");
    let wrong = BARE.replacen("[words.de]", "[words.de]\nstamped = \"{stamp}\"", 1);
    assert!(shown(&wrong).contains("`stamped` has a place `{stamp}` that there is not"), "{}", shown(&wrong));
}
