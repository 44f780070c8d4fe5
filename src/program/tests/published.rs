//! Files that were published when there was less to say: they go on judging as they did.
//!
//! What must stay true: what was asked of a file when it was published is all that is ever asked of it.

use super::*;
use crate::program::words::{Sentence, Words};

type Compile = fn(&str, ProgramVersion, TimestampNs, &mut dyn Symbols) -> Result<Program, Vec<Problem>>;

/// German sentences of the time before stamp cards, of a programme without any.
const BEFORE_STAMPS: &str = include_str!("../../../tests/golden/program-before-stamps.toml");

#[test]
fn a_published_file_may_lack_sentences_that_came_later() {
    let fit =
        |source: &str, publish: Compile| publish(source, ProgramVersion(1), TimestampNs(0), &mut SymbolTable::new());
    let program = fit(BEFORE_STAMPS, compile_published).unwrap_or_else(|problems| panic!("{problems:?}"));
    assert_eq!(program.source_hash, *blake3::hash(BEFORE_STAMPS.as_bytes()).as_bytes());
    assert!(fit(BEFORE_STAMPS, compile).is_ok(), "what it cannot show is not asked for");
    // One that has what later sentences are about goes on if it was published, and is not published again.
    let card = format!("[[stamps]]\nname = \"card\"\ncount = 9\nunits = 1\n\n{BEFORE_STAMPS}");
    let told = shown(&card);
    assert!(told.contains("error: the language `de` lacks stamped, card_full\n"), "{told}");
    assert!(fit(&card, compile).is_err());
    fit(&card, compile_published).unwrap_or_else(|problems| panic!("{problems:?}"));

    let words = Words::of(BEFORE_STAMPS);
    let german = words.speak("de");
    let filled = [("stamp_card", "coffee".to_owned()), ("count", "1".to_owned())];
    assert_eq!(german.say(Sentence::CardFull, &filled), "Full cards of coffee: 1.");
    let filled = [("points", "5".to_owned()), ("wallet", "Punkte".to_owned())];
    assert!(german.say(Sentence::Balance, &filled).contains("5 Punkte"));
    assert_ne!(german.say(Sentence::Balance, &filled), words.speak("en").say(Sentence::Balance, &filled));
}

#[test]
fn a_published_file_is_fit_in_all_else() {
    let broken = BEFORE_STAMPS.replacen("rounding = ", "roundin = ", 1);
    let compiled = compile_published(&broken, ProgramVersion(1), TimestampNs(0), &mut SymbolTable::new());
    assert!(compiled.is_err(), "another file than any that was published");
}
