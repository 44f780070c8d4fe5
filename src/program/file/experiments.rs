//! `[[experiments]]`: divisions of all accounts into variants.
//!
//! What must stay true: the shares of an experiment come to 100 percent, so that every account has a variant.

use super::Names;
use crate::program::problem::Finding;
use crate::program::table::{At, TableReader};

/// `[[experiments]]`.
#[derive(Debug)]
pub(in crate::program) struct ExperimentEntry {
    pub(in crate::program) name: At<String>,
    /// Names with their percentages.
    pub(in crate::program) variants: Vec<(At<String>, u8)>,
}

/// Variants of one experiment: one percent for each.
const VARIANTS_MAX: usize = 100;

pub(super) fn read_experiment(mut entry: TableReader<'_, '_>, names: &mut Names) -> Option<ExperimentEntry> {
    entry.require(&["name", "variants"]);
    let name = entry.name("name");
    if let Some(name) = &name {
        names.claim(entry.problems, "experiment", name);
    }
    let mut variant_names = Names::default();
    let mut variants = Vec::new();
    let mut are_all_fit = true;
    entry.each_table("variants", "a variant", VARIANTS_MAX, |mut variant| {
        variant.require(&["name", "percent"]);
        let name = variant.name("name");
        if let Some(name) = &name {
            variant_names.claim(variant.problems, "variant", name);
        }
        let percent = variant.integer("percent", 1..=100);
        variant.finish();
        match name.zip(percent) {
            Some((name, percent)) => {
                variants.push((name, u8::try_from(percent.into_inner()).expect("a percentage was checked")));
            }
            None => are_all_fit = false,
        }
    });
    let sum: i64 = variants.iter().map(|(_, percent)| i64::from(*percent)).sum();
    if are_all_fit && sum != 100 && !variants.is_empty() {
        let message = format!("the variants come to {sum} percent, not to 100");
        entry.problems.push(Finding::error(entry.at(), message));
    }
    entry.finish();
    Some(ExperimentEntry { name: name?, variants })
}
