//! What the partners of a file mean together, and whether the rest of it speaks of them as they are.
//!
//! What must stay true: a name is unknown only where the file declares partners; an error is certain, what may be meant is
//! a warning.

use std::collections::{HashMap, HashSet};

use crate::ledger::types::Day;
use crate::program::file::{PartnerEntry, ProgramFile, RightEntry, StoreEntry};
use crate::program::problem::{Finding, Problems};
use crate::program::suggest::nearest;
use crate::program::table::At;

/// Reports what is wrong about the partners of a file.
pub(super) fn check(file: &ProgramFile, problems: &mut Problems<'_>) {
    if file.partners.is_empty() {
        return;
    }
    check_names(&file.partners, problems);
    for partner in &file.partners {
        let name = partner.name.get_ref();
        check_stores(partner, problems);
        check_rights(&format!("partner {name:?} earns"), &partner.earns, problems);
        check_rights(&format!("partner {name:?} burns"), &partner.burns, problems);
        if partner.earns.is_empty() && partner.burns.is_empty() {
            let message = format!("partner {name:?} may neither earn nor burn");
            let hint = "write for example earns = [{ wallet = \"points\" }]";
            problems.push(Finding::warning(&partner.name.span(), message).hint(hint));
        } else if !partner.earns.is_empty() && partner.stores.is_empty() {
            let message = format!("partner {name:?} has no store: all of its baskets are refused");
            problems.push(Finding::warning(&partner.name.span(), message).hint("write stores = [{ name = \"...\" }]"));
        }
    }
    check_speakers(file, problems);
}

/// A partner is named once; a store of two partners is probably a slip, for conditions on it mean both.
fn check_names(partners: &[PartnerEntry], problems: &mut Problems<'_>) {
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut stores: HashMap<&str, (&str, usize)> = HashMap::new();
    for partner in partners {
        let (name, at) = (partner.name.get_ref(), partner.name.span());
        if let Some(first) = names.insert(name, at.start) {
            let message = format!("partner {name:?} is declared on line {} already", problems.line(first));
            problems.push(Finding::error(&at, message));
            continue;
        }
        for store in &partner.stores {
            let (store_name, at) = (store.name.get_ref(), store.name.span());
            match stores.insert(store_name, (name, at.start)) {
                Some((other, first)) if other != name => {
                    let line = problems.line(first);
                    let message = format!(
                        "store {store_name:?} is one of partner {other:?} too, on line {line}: rules for it mean both"
                    );
                    problems.push(Finding::warning(&at, message));
                }
                _ => {}
            }
        }
    }
}

fn check_stores(partner: &PartnerEntry, problems: &mut Problems<'_>) {
    let mut seen = HashSet::new();
    for StoreEntry { name, terminals } in &partner.stores {
        if !seen.insert(name.get_ref()) {
            let message =
                format!("store {:?} is listed twice for partner {:?}", name.get_ref(), partner.name.get_ref());
            problems.push(Finding::error(&name.span(), message));
        }
        let mut seen = HashSet::new();
        for terminal in terminals.iter().filter(|terminal| !seen.insert(terminal.get_ref())) {
            let message = format!("terminal {:?} is listed twice for store {:?}", terminal.get_ref(), name.get_ref());
            problems.push(Finding::error(&terminal.span(), message));
        }
    }
}

/// Rights of one kind on one wallet do not overlap: it would be said twice, and one of them could be changed alone.
fn check_rights(whose: &str, rights: &[RightEntry], problems: &mut Problems<'_>) {
    let from = |right: &RightEntry| right.from.as_ref().map_or(Day(i32::MIN), |day| *day.get_ref());
    let until = |right: &RightEntry| right.until.as_ref().map_or(Day(i32::MAX), |day| *day.get_ref());
    for (index, right) in rights.iter().enumerate() {
        let same = |other: &&RightEntry| other.wallet.get_ref() == right.wallet.get_ref();
        let meets = |other: &&RightEntry| from(other) <= until(right) && from(right) <= until(other);
        let Some(earlier) = rights.iter().take(index).filter(same).find(meets) else { continue };
        let (wallet, line) = (right.wallet.get_ref(), problems.line(earlier.wallet.span().start));
        let message = format!("{whose} {wallet} by two rights at a time: this one overlaps the one on line {line}");
        problems.push(Finding::error(&right.wallet.span(), message));
    }
}

/// Conditions, budgets and expectations that name partners and stores name those that there are.
fn check_speakers(file: &ProgramFile, problems: &mut Problems<'_>) {
    let partners: Vec<&str> = file.partners.iter().map(|partner| partner.name.get_ref().as_str()).collect();
    let stores = file.partners.iter().flat_map(|partner| &partner.stores);
    let stores: Vec<&str> = stores.map(|store| store.name.get_ref().as_str()).collect();
    let partner_set: HashSet<&str> = partners.iter().copied().collect();
    let store_set: HashSet<&str> = stores.iter().copied().collect();
    let mut unknown = |noun: &str, name: &At<String>, set: &HashSet<&str>, all: &[&str]| {
        if set.contains(name.get_ref().as_str()) {
            return;
        }
        let message = match noun {
            "store" => format!("no partner of this file has a store {:?}", name.get_ref()),
            _ => format!("there is no {noun} {:?}", name.get_ref()),
        };
        let finding = Finding::error(&name.span(), message);
        problems.push(match nearest(name.get_ref(), all.iter().copied()) {
            Some(near) => finding.hint(format!("did you mean {near:?}?")),
            None if noun == "partner" => finding.hint(format!("the partners of this file: {}", all.join(", "))),
            None => finding,
        });
    };
    for when in file.conditions() {
        when.partners.iter().for_each(|name| unknown("partner", name, &partner_set, &partners));
        when.stores.iter().for_each(|name| unknown("store", name, &store_set, &stores));
    }
    for partner in file.budgets.iter().filter_map(|budget| budget.partner.as_ref()) {
        unknown("partner", partner, &partner_set, &partners);
    }
}
