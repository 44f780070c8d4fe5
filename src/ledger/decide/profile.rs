//! What is known of an account beside its balances, and the facts that follow from it.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::ledger::account::Account;
use crate::ledger::command::{Enrolment, Linking};
use crate::ledger::decision::{Decision, IdentifierChange, Outcome, Refusal};
use crate::ledger::program::{Facts, Program, Rounding};
use crate::ledger::state::Context;
use crate::ledger::types::Day;
use crate::ledger::zone::weekday;
use crate::limits;

/// Joins and leaves segments, and notes a birthday. What is so already stays so, and is not stated as an effect.
pub(super) fn enrol(account: &Account, enrolment: &Enrolment, context: &Context<'_>, out: &mut Decision) {
    let segments = account.segments();
    let is_in = |segment| segments.binary_search(segment).is_ok();
    let joins = enrolment.joins.iter().filter(|segment| !is_in(*segment)).map(|segment| (*segment, true));
    let leaves = enrolment.leaves.iter().filter(|segment| is_in(*segment)).map(|segment| (*segment, false));
    out.effects.segments.extend(joins.chain(leaves));
    let known = account.profile.as_ref().and_then(|profile| profile.birthday);
    out.effects.birthday = enrolment.birthday.filter(|birthday| *birthday != known);
    let joined = out.effects.segments.iter().filter(|(_, joins)| *joins).count();
    let left = out.effects.segments.len() - joined;
    out.balance_after = account.balance(out.wallet, context.posted_at);
    if segments.len() + joined - left > limits::ACCOUNT_SEGMENTS_MAX {
        out.outcome = Outcome::Refused(Refusal::AccountLimitReached);
    }
}

/// Has an identifier point to the account, or no longer. That it points to no other account, who claims it has seen to.
pub(super) fn link(account: &Account, linking: &Linking, context: &Context<'_>, out: &mut Decision) {
    let known = account.identifiers();
    let is_linked = known.binary_search_by_key(&linking.key, |(key, _)| *key).is_ok();
    out.balance_after = account.balance(out.wallet, context.posted_at);
    let refusal = match (linking.links, is_linked) {
        (true, true) => Some(Refusal::IdentifierTaken),
        (false, false) => Some(Refusal::IdentifierUnknown),
        (true, false) if known.len() >= limits::ACCOUNT_IDENTIFIERS_MAX => Some(Refusal::AccountLimitReached),
        _ => None,
    };
    match refusal {
        Some(refusal) => out.outcome = Outcome::Refused(refusal),
        None => {
            let Linking { links, kind, key, .. } = *linking;
            out.effects.identifier = Some(Box::new(IdentifierChange { key, kind, links }));
        }
    }
}

/// The facts that follow from the account and the local day of the event.
pub(super) fn facts(account: &Account, day: Day) -> Facts<'_> {
    let profile = account.profile.as_deref();
    // A receipt that is presented late can be of a day before the last basket's: then none lay behind it that is known.
    let days_since = profile.and_then(|profile| profile.last_basket_on).map(|last| day.0 - last.0);
    Facts {
        day,
        weekday: weekday(day),
        segments: account.segments(),
        birthday: profile.and_then(|profile| profile.birthday),
        days_since_last_basket: days_since.filter(|days| *days >= 0),
        counters: &account.counters,
        ..Facts::default()
    }
}

/// The account's variant of each experiment, which is noted in the decision.
pub(super) fn variants(
    account: &Account,
    account_id: &str,
    program: &Program,
    out: &mut Decision,
) -> [u8; limits::PROGRAM_EXPERIMENTS_MAX] {
    let mut variants = [0; limits::PROGRAM_EXPERIMENTS_MAX];
    // A record does not repeat the id of an account that exists.
    let account_id = if account.id.is_empty() { account_id } else { &account.id };
    for (experiment, place) in program.experiments.iter().zip(&mut variants) {
        let share = share(&experiment.name, account_id);
        let index = experiment.variants.iter().position(|(_, below)| share < *below).unwrap_or(0);
        *place = u8::try_from(index).expect("an experiment has few variants");
        out.variants.push(*place);
    }
    variants
}

/// Where an account lies in an experiment, 0 to 99: SipHash-1-3 of both names with the zero key, modulo 100.
fn share(experiment: &str, account_id: &str) -> u8 {
    let mut hasher = SipHasher13::new();
    hasher.write(experiment.as_bytes());
    hasher.write_u8(0);
    hasher.write(account_id.as_bytes());
    u8::try_from(hasher.finish() % 100).expect("a remainder of a hundred is small")
}

/// What the account's last basket left over, in the parts in which the programme adds up lines.
pub(super) fn remainder(account: &Account, program: &Program) -> i64 {
    let left = account.profile.as_ref().and_then(|profile| profile.remainder);
    match left {
        Some((version, left)) if version == program.version && program.earn.rounding == Rounding::Carry => left,
        _ => 0,
    }
}

/// Notes what conditions and the next basket look at. A basket that was denied leaves the remainder as it was.
pub(super) fn note_basket(account: &Account, day: Day, left: i64, program: &Program, out: &mut Decision) {
    let profile = account.profile.as_deref();
    if program.keeps_last_basket && profile.and_then(|profile| profile.last_basket_on).is_none_or(|last| last < day) {
        out.effects.last_basket_on = Some(day);
    }
    let before = remainder(account, program);
    if program.earn.rounding == Rounding::Carry && out.over_velocity.is_none() && left != before {
        out.effects.remainder = Some(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_spread_over_an_experiment_and_stay_where_they_are() {
        assert_eq!(share("welcome", "member-1"), share("welcome", "member-1"));
        let below_half = (0..10_000).filter(|number| share("welcome", &format!("member-{number}")) < 50).count();
        assert!((4_800..5_200).contains(&below_half), "{below_half}");
        let same = (0..10_000).filter(|number| {
            let id = format!("member-{number}");
            (share("welcome", &id) < 50) == (share("other", &id) < 50)
        });
        assert!((4_800..5_200).contains(&same.count()), "experiments are independent");
    }
}
