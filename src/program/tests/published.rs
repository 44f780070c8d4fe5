//! Files that were published when there was less to say: they go on judging as they did.
//!
//! What must stay true: what was asked of a file when it was published is all that is ever asked of it.

use super::*;
use crate::journal::chunk::Chunk;
use crate::journal::frame::Chain;
use crate::journal::record::{EntryHeader, PreviousRecord, encode_entry};
use crate::ledger::command::{Basket, Command, CommandKind, Line};
use crate::ledger::decision::{Decision, Refusal};
use crate::ledger::state::{Context, ShardState};
use crate::ledger::types::{AccountNumber, ItemId, Position, Seq, ShardId};
use crate::limits;
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

/// [`GOOD`] with so many rules that give a unit for every line.
fn with_rules_for_every_line(count: usize) -> String {
    let (bare, _) = GOOD.split_once("[[expect]]").unwrap();
    let rule = |number: usize| format!("[[rules]]\nname = \"r{number}\"\nfixed_units = 1\nper = \"line\"\n");
    format!("{bare}{}", (0..count).map(rule).collect::<String>())
}

/// What a basket of so many lines comes to, and the bytes of its record.
fn decided(program: &Program, line_count: usize) -> (Decision, Option<usize>) {
    let line = Line { item_id: ItemId(0), item: Item::default(), quantity: 1, amount_minor: 100 };
    let basket = Basket { receipt_number: "r1".to_owned(), lines: vec![line; line_count], ..Basket::default() };
    let command = Command {
        account_id: "m1".to_owned(),
        transaction_id: "t1".to_owned(),
        kind: CommandKind::Accrue(basket),
        ..Command::default()
    };
    let posted_at = TimestampNs(0);
    let mut decision = Decision::default();
    let context = Context { program, posted_at, rooms: &[], frozen: None };
    ShardState::new(ShardId(0)).decide(&command, &context, &mut decision);
    if !decision.is_journaled() {
        return (decision, None);
    }
    let mut chunk = Chunk::default();
    let header = EntryHeader { previous: PreviousRecord::None, account: AccountNumber(0), posted_at };
    chunk.push(ShardId(0), Seq(1), |out| encode_entry(out, &header, &command, &decision));
    chunk.close();
    let mut frames = Vec::new();
    let mut chain = Chain { epoch: 1, next: Position(0), hash: [0; 32] };
    chain.assemble(std::iter::once(&chunk), posted_at, &mut frames);
    assert_eq!(frames.len(), 1);
    (decision, Some(chunk.byte_count()))
}

/// A version that was published before the rules of one line were bounded goes on judging. What no frame could take is
/// refused before anything is done.
#[test]
fn rules_that_meet_on_one_line_are_bounded() {
    let most = limits::LINE_RULES_MAX;
    assert_eq!(shown(&with_rules_for_every_line(most)), "");
    let told = "error: with rule `r256` 257 rules can count for one line beside the one by which it earns, but 256 are \
                the most\n  hint: let fewer rules that add, multiply or give fixed units match the same lines: conditions \
                are not considered";
    let more = shown(&with_rules_for_every_line(most + 1));
    assert!(more.ends_with(told), "{more}");
    // Of an attribute a line has one value: the largest of these counts.
    let of_brand = |values: &str| {
        let rule = format!("[[rules]]\nname = \"of-brand\"\nmatch = {{ brand = [{values}] }}\nfixed_units = 1\n");
        shown(&format!("{}{rule}per = \"line\"\n", with_rules_for_every_line(most - 1)))
    };
    assert_eq!(of_brand("\"House\", \"Own\""), "");
    let two = "[[rules]]\nname = \"another\"\nmatch = { brand = [\"Own\"] }\nmultiplier = \"2\"\nstacking = \"add\"\n";
    let source = |brand: &str| {
        let first = two.replacen("another", "first", 1).replacen("Own", brand, 1);
        shown(&format!("{}{first}{two}", with_rules_for_every_line(most - 1)))
    };
    assert_eq!(source("House"), "");
    assert!(source("Own").contains("error: with rule `another` 257 rules can count"), "{}", source("Own"));

    let published = |count: usize| {
        let (version, at, symbols) = (ProgramVersion(1), TimestampNs(0), &mut SymbolTable::new());
        let program = compile_published(&with_rules_for_every_line(count), version, at, symbols);
        program.unwrap_or_else(|problems| panic!("{problems:?}"))
    };
    let lines = limits::BASKET_LINES_MAX;
    let (decision, bytes) = decided(&published(most), lines);
    assert_eq!((decision.refusal(), decision.stacked.len()), (None, limits::STACKED_RULES_MAX));
    assert!(bytes.is_some_and(|bytes| bytes <= limits::RECORD_BYTES_MAX), "{bytes:?}");
    let many = published(600);
    let (decision, bytes) = decided(&many, lines);
    assert_eq!((decision.refusal(), bytes), (Some(Refusal::InvalidCommand), None));
    assert!(decision.stacked.is_empty() && decision.lines.is_empty() && decision.effects.lots.is_empty());
    // Fewer lines are recorded as ever.
    let (decision, bytes) = decided(&many, 400);
    assert_eq!((decision.refusal(), decision.stacked.len()), (None, 240_000));
    assert!(bytes.is_some_and(|bytes| bytes <= limits::RECORD_BYTES_MAX), "{bytes:?}");
}
