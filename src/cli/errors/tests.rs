//! Numbers, names and pages agree: what the code refuses, what the wire carries, what is written down, and what the
//! command prints.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::pages::{FIRST_FAILURE, PAGES};
use super::*;
use crate::ledger::decision::{Refusal, RetryAdvice};
use crate::service::wire::{ErrorReason, RefusalCode};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors")
}

/// What can happen, by number, as the wire names it.
fn possible() -> BTreeMap<u16, String> {
    let codes = (1..1_000).filter_map(|number| {
        let name = RefusalCode::try_from(number).ok()?.as_str_name().strip_prefix("REFUSAL_CODE_")?.to_owned();
        Some((u16::try_from(number).expect("there are few"), name))
    });
    // Numbers are given out in blocks, so there are gaps.
    let reasons = (1..1_000).filter_map(|number| {
        let reason = ErrorReason::try_from(number).ok()?;
        Some((reason.page_number(), reason.as_str_name().strip_prefix("ERROR_REASON_")?.to_owned()))
    });
    codes.chain(reasons).collect()
}

#[test]
fn there_is_a_page_for_each_error_and_none_besides() {
    let pages: BTreeMap<u16, String> = PAGES.iter().map(|page| (page.number, page.name.to_owned())).collect();
    assert_eq!(pages.len(), PAGES.len(), "a number is given once");
    assert_eq!(pages, possible());
    assert!(PAGES.iter().map(|page| page.number).is_sorted());
    let refusals: BTreeSet<u16> = Refusal::ALL.iter().map(|refusal| u16::from(refusal.number())).collect();
    assert_eq!(refusals, pages.keys().copied().filter(|number| *number < FIRST_FAILURE).collect());
}

#[test]
fn the_pages_that_are_built_in_are_those_of_the_documentation() {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).expect("the pages are there") {
        let path = entry.expect("the folder can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("names are ASCII").to_owned();
        if name != "README.md" {
            files.insert(name, std::fs::read_to_string(&path).expect("a page can be read"));
        }
    }
    let built_in = PAGES.map(|page| {
        let name = format!("{:04}-{}.md", page.number, page.name.to_ascii_lowercase().replace('_', "-"));
        (name, page.text.to_owned())
    });
    assert_eq!(files, built_in.into_iter().collect());
    let index = std::fs::read_to_string(folder().join("README.md")).expect("there is an index");
    for (name, text) in &files {
        assert!(index.contains(&format!("]({name})")), "the index does not list {name}");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(files.contains_key(link), "{name} points to {link}");
        }
    }
}

#[test]
fn every_page_answers_the_same_questions() {
    let sections =
        ["## What it means", "## What the till does", "## What the operator looks at", "## Example"].map(str::to_owned);
    for page in PAGES {
        let title = format!("# {} {}", page.number, page.name);
        assert_eq!(page.text.lines().next(), Some(title.as_str()));
        assert!(page.sentence().ends_with('.'), "{title}");
        let found: Vec<&str> = page.text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(found, sections, "{title}");
        let seen_as = page.row("Seen as").expect("every page says how it is seen");
        assert!(seen_as.contains(page.name), "{title}");
        assert!(["same id", "new id", "never"].map(Some).contains(&page.row("Retry")), "{title}");
        assert_eq!(page.row("Consumed").is_some(), !page.is_refusal(), "{title}");
    }
}

#[test]
fn pages_of_refusals_say_what_the_ledger_says() {
    for refusal in Refusal::ALL {
        let found = find(&refusal.number().to_string());
        let [page] = found.as_slice() else { panic!("{refusal:?} has {} pages", found.len()) };
        assert_eq!(page.row("Journaled"), Some(if refusal.is_journaled() { "yes" } else { "no" }), "{refusal:?}");
        let retry = match refusal.retry() {
            RetryAdvice::SameId => "same id",
            RetryAdvice::NewId => "new id",
            RetryAdvice::Never => "never",
        };
        assert_eq!(page.row("Retry"), Some(retry), "{refusal:?}");
        assert_eq!(page.sentence(), refusal.sentence());
    }
}

#[test]
fn an_error_is_found_however_it_is_written() {
    let numbers = |wanted: &str| -> Vec<u16> { find(wanted).iter().map(|page| page.number).collect() };
    for wanted in
        ["7", "0007", "BALANCE_LIMIT_EXCEEDED", "balance-limit-exceeded", "refusal_code_balance_limit_exceeded"]
    {
        assert_eq!(numbers(wanted), [7], "{wanted}");
    }
    assert_eq!(numbers("overloaded"), [12, 1_004], "a refusal and a failure share the name");
    assert_eq!(numbers("ERROR_REASON_OUTCOME_UNKNOWN"), [1_007]);
    for unknown in ["0", "99", "1000", "1018", "70000", "-7", "", "OVER"] {
        assert!(numbers(unknown).is_empty(), "{unknown}");
    }
}
