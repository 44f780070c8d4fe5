//! `[words.LANGUAGE]`: decisions in the words of the programme's author.
//!
//! What must stay true: a language other than the built-in one has every sentence that the file can show when it is
//! published, and keeps to the built-in one for those that came later; what is named has its name from the file.

use std::collections::BTreeSet;

use super::{Names, ProgramFile};
use crate::ledger::decision::Refusal;
use crate::ledger::program::{Over, WhenSpent};
use crate::limits;
use crate::program::problem::Finding;
use crate::program::suggest::nearest;
use crate::program::table::{At, TableReader};
use crate::program::words::{BUILT_IN, Construct, Language, Sentence, Template, TemplateError, Words, refusal_key};

/// What has a name in the file that words may replace.
pub(super) struct Named<'n> {
    pub(super) names: [&'n Names; 4],
    pub(super) levels: &'n [String],
}

impl Named<'_> {
    fn all(&self) -> BTreeSet<&str> {
        let borne = self.names.iter().flat_map(|names| names.bearers.keys());
        borne.chain(self.levels).map(String::as_str).collect()
    }
}

impl ProgramFile {
    /// Whether the file has what some sentences are about.
    fn has(&self, construct: Construct) -> bool {
        match construct {
            Construct::Rules => !self.rules.is_empty(),
            Construct::Exclusion => self.earn.as_ref().is_some_and(|earn| !earn.exclude.is_empty()),
            Construct::Levels => self.tiers.is_some(),
            Construct::Bonuses => self.bonuses.iter().any(|bonus| *bonus.units.get_ref() > 0),
            Construct::Stamps => !self.stamps.is_empty(),
            Construct::ClippingCaps => {
                let of_rules = self.caps_of_rules().map(|(_, cap)| cap);
                self.caps.iter().chain(of_rules).any(|cap| cap.over.clips(cap.measure))
            }
            Construct::RuleCaps => self.caps_of_rules().next().is_some(),
            Construct::DecliningCaps => self.caps.iter().any(|cap| cap.over.declines(cap.measure)),
            Construct::HoldingCaps => self.caps.iter().any(|cap| cap.over == Over::Hold),
            Construct::Budgets => !self.budgets.is_empty(),
            Construct::Rewards => !self.rewards.is_empty(),
            Construct::Money => self.wallets.iter().any(|wallet| wallet.money.is_some()),
            Construct::Vouchers => !self.vouchers.is_empty(),
            Construct::Debts => self.when_spent != WhenSpent::Refuse,
        }
    }

    /// Whether a decision of this file can be told in a sentence.
    fn shows(&self, sentence: Sentence) -> bool {
        sentence.needs().is_none_or(|construct| self.has(construct))
    }
}

pub(super) fn read_words(section: TableReader<'_, '_>, named: &Named<'_>, file: &ProgramFile) -> Words {
    let known = named.all();
    let mut languages = Vec::new();
    section.each_entry_table("a language of `[words]`", limits::PROGRAM_LANGUAGES_MAX, |tag, table| {
        if !is_tag(tag.get_ref()) {
            let message = format!("{:?} is not the tag of a language", tag.get_ref());
            let hint = "a tag is two or three small letters, a region may follow: \"de\", \"pt-BR\"";
            table.problems.push(Finding::error(&tag.span(), message).hint(hint));
        }
        languages.push((tag.get_ref().clone(), read_language(&tag, table, &known, file)));
    });
    Words { languages, ..Words::default() }
}

/// A language and perhaps a region.
fn is_tag(tag: &str) -> bool {
    let (language, region) = tag.split_once('-').unwrap_or((tag, "AA"));
    let is_language = (2..=3).contains(&language.len()) && language.bytes().all(|byte| byte.is_ascii_lowercase());
    is_language && region.len() == 2 && region.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn read_language(
    tag: &At<String>,
    mut table: TableReader<'_, '_>,
    known: &BTreeSet<&str>,
    file: &ProgramFile,
) -> Language {
    let mut language = Language::default();
    let mut missing = Vec::new();
    for sentence in Sentence::ALL {
        let Some(text) = table.text(sentence.key(), 1..=limits::SENTENCE_BYTES_MAX) else {
            if file.shows(sentence) && !table.has(sentence.key()) {
                missing.push(sentence.key());
            }
            continue;
        };
        match Template::parse(text.get_ref(), sentence.places()) {
            Ok(template) => drop(language.sentences.insert(sentence, template)),
            Err(error) => {
                let finding = Finding::error(&text.span(), format!("`{}` {error}", sentence.key()));
                table.problems.push(match error {
                    TemplateError::UnknownPlace(name) => finding.hint(hint_of_places(&name, sentence)),
                    TemplateError::LoneBrace => finding,
                });
            }
        }
    }
    if let Some(names) = table.table("names", "`names`") {
        let is_known = |name: &str| known.contains(name);
        language.names = names.each_entry_text(limits::SENTENCE_BYTES_MAX, is_known, |name| {
            let message = format!("nothing in this file has the name {name:?}");
            (message, nearest(name, known.iter().copied()).map(|near| format!("did you mean \"{near}\"?")))
        });
    }
    if let Some(refusals) = table.table("refusals", "`refusals`") {
        let grounds: BTreeSet<String> = Refusal::ALL.into_iter().map(refusal_key).collect();
        let is_ground = |name: &str| grounds.contains(name);
        language.refusals = refusals.each_entry_text(limits::SENTENCE_BYTES_MAX, is_ground, |name| {
            let near = nearest(name, grounds.iter().map(String::as_str));
            (format!("there is no refusal `{name}`"), near.map(|near| format!("did you mean `{near}`?")))
        });
    }
    if tag.get_ref() != BUILT_IN && !missing.is_empty() {
        let message = format!("the language `{}` lacks {}", tag.get_ref(), missing.join(", "));
        let hint = "a language has all sentences that can be shown, so that no answer mixes two; only those of `en` are built in";
        table.problems.push(Finding::error(&tag.span(), message).hint(hint).came_later());
    }
    table.finish();
    language
}

fn hint_of_places(name: &str, sentence: Sentence) -> String {
    match (nearest(name, sentence.places().iter().copied()), sentence.places()) {
        (Some(near), _) => format!("did you mean `{{{near}}}`?"),
        (None, []) => "this sentence has no places".to_owned(),
        (None, places) => {
            let places: Vec<_> = places.iter().map(|place| format!("{{{place}}}")).collect();
            format!("the places of this sentence: {}", places.join(", "))
        }
    }
}
