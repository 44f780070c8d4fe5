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
    let start = format!("{line}:8: error: the language `de` lacks earned_nothing, line, line_by_rule, ");
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
