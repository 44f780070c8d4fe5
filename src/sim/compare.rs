//! Comparisons of the ledger's state with the naive model.
//!
//! What must stay true: every field that a caller can see or a decision can depend on is compared.

use std::collections::BTreeMap;

use super::facts::{Name, cell_name_of, lot_name_of, name_of};
use super::holds::Aside;
use super::model::{AccountModel, Broken, Model, must};
use super::ring::{Ring, counter_name};
use super::rules::Rules;
use crate::cells::{Cell, Cells};
use crate::journal::dictionary::Dictionary;
use crate::ledger::account::{Account, Profile, WalletTotals};
use crate::ledger::digest::shard_digest;
use crate::ledger::partner::Funding;
use crate::ledger::pending::Pending;
use crate::ledger::state::ShardState;
use crate::ledger::types::{CellId, Position, WalletId};
use crate::replay::World;

const NS_PER_DAY: i64 = 86_400_000_000_000;

/// An account is as the model says it was after the same record.
///
/// Counters: each that the account has is right and was not to be forgotten when its last record was posted, and each that a
/// receipt could still touch is there, by what the versions say of how old one may be.
///
/// # Errors
/// What was expected.
pub fn account(
    found: &Account,
    model: &AccountModel,
    dictionary: &Dictionary,
    ring: &Ring,
    versions: &[(u64, Rules)],
) -> Result<(), Broken> {
    let id = &found.id;
    must!(found.seq.0 == model.seq, "account {id} stands at record {}, not {}", model.seq, found.seq);
    must!(found.opened_at.0 == model.opened_at, "account {id} was opened at {}", model.opened_at);
    let lots = found.lots.iter().map(|lot| (lot_name_of(dictionary, &lot.key), lot.remaining));
    let mut lots: Vec<_> = lots.collect();
    lots.sort();
    let expected: Vec<_> = model.units.iter().map(|(key, units)| (key.clone(), *units)).collect();
    must!(lots == expected, "account {id} holds {expected:?} after record {}, not {lots:?}", model.seq);
    let totals = &found.totals;
    let totals = [totals.baskets, totals.refused_baskets, totals.reversals, totals.refused_redemptions];
    must!(totals == model.totals, "account {id} has the totals {:?}, not {totals:?}", model.totals);
    let life = |w: &WalletTotals| [w.granted, w.reversed, w.clipped, w.redeemed, w.expired];
    let wallets: Vec<_> = found.wallets.iter().map(|w| (usize::from(w.wallet.0), life(w))).collect();
    let expected: Vec<_> = model.wallets.iter().map(|(wallet, life)| (*wallet, *life)).collect();
    must!(wallets == expected, "account {id} has the wallets {expected:?}, not {wallets:?}");
    for wallet in &found.wallets {
        let own = found.holdings().filter(|(key, _)| key.wallet == wallet.wallet);
        let left: i64 = own.map(|(_, units)| units).sum();
        let gone = wallet.reversed + wallet.redeemed + wallet.expired;
        must!(wallet.granted == left + gone, "what account {id} was granted is left or gone: {left} of {wallet:?}");
    }
    let mut segments: Vec<Name> = found.segments().iter().map(|segment| name_of(dictionary, *segment)).collect();
    segments.sort();
    let is_same = segments.iter().eq(&model.segments);
    must!(is_same, "account {id} is in the segments {:?}, not {segments:?}", model.segments);
    let mut identifiers: Vec<_> = found.identifiers().iter().map(|(key, _)| ring.identifier(*key)).collect();
    identifiers.sort();
    let is_same = identifiers.iter().eq(&model.identifiers);
    must!(is_same, "{:?} point to account {id}, not {identifiers:?}", model.identifiers);
    let held = found.held().iter().map(|one| {
        let key = (name_of(dictionary, one.partner), one.transaction_id.clone());
        let lot = lot_name_of(dictionary, &one.lot);
        (key, (name_of(dictionary, one.cap), lot, one.units, one.held_at.0))
    });
    let mut held: Vec<_> = held.collect();
    held.sort();
    let is_same = held.iter().map(|(key, one)| (key, one)).eq(&model.held);
    must!(is_same, "of account {id} is held {:?}, not {held:?}", model.held);
    asides(found, model, dictionary)?;
    super::vouchers::compare(found, model, dictionary)?;
    let by_wallet = |of: fn(&Profile) -> &Vec<(WalletId, i64)>| -> BTreeMap<usize, i64> {
        let all = found.profile.iter().flat_map(|profile| of(profile));
        all.map(|(wallet, units)| (usize::from(wallet.0), *units)).collect()
    };
    let (owed, gone) = (by_wallet(|profile| &profile.owed), by_wallet(|profile| &profile.gone));
    must!(owed == model.owed, "account {id} owes {:?}, not {owed:?}", model.owed);
    must!(gone == model.gone, "returns to account {id} found {:?} dead, not {gone:?}", model.gone);
    counters(found, model, dictionary, ring, versions)
}

/// What is set aside.
fn asides(found: &Account, model: &AccountModel, dictionary: &Dictionary) -> Result<(), Broken> {
    let aside = found.authorizations().iter().map(|one| {
        let lots = one.lots.iter().map(|(key, units)| (lot_name_of(dictionary, key), *units)).collect();
        let (wallet, ends, captured) = (usize::from(one.wallet.0), one.ends_at.0, one.captured);
        let name = (name_of(dictionary, one.partner), one.transaction_id.clone());
        (name, Aside { wallet, ends, captured, lots })
    });
    let aside: BTreeMap<_, _> = aside.collect();
    must!(aside == model.aside, "of account {} {:?} is set aside, not {aside:?}", found.id, model.aside);
    Ok(())
}

fn counters(
    found: &Account,
    model: &AccountModel,
    dictionary: &Dictionary,
    ring: &Ring,
    versions: &[(u64, Rules)],
) -> Result<(), Broken> {
    let id = &found.id;
    let today = model.posted_at.div_euclid(NS_PER_DAY);
    let mut seen: Vec<(Name, i32)> = Vec::new();
    let of_members = found.profile.iter().flat_map(|profile| &profile.members);
    let of_members = of_members.map(|kept| (ring.member(kept.member), &kept.counted));
    for (member, counter) in found.counters.iter().map(|counter| (Name::default(), counter)).chain(of_members) {
        let key = (counter_name(&name_of(dictionary, counter.counter), &member), counter.period);
        let expected = model.counters.get(&key).map(|(value, _)| *value);
        must!(
            expected == Some(counter.value),
            "counter {} of account {id} is {expected:?} in period {}, not {}",
            key.0,
            key.1,
            counter.value
        );
        must!(
            i64::from(counter.retain_until.0) >= today,
            "counter {} of account {id} in period {} was to be forgotten after day {}, and is there on day {today}",
            key.0,
            key.1,
            counter.retain_until
        );
        seen.push(key);
    }
    for (key, (value, last_day)) in &model.counters {
        let can_be_touched = can_be_touched(versions, i64::from(*last_day), today);
        must!(
            *value == 0 || !can_be_touched || seen.contains(key),
            "counter {} of account {id} still counts {value} in period {} on day {today}",
            key.0,
            key.1
        );
    }
    Ok(())
}

/// Whether a receipt may still come that falls into a window with this last day: one of a version's time, until the next takes
/// effect, for as long as it says.
fn can_be_touched(versions: &[(u64, Rules)], last_day: i64, today: i64) -> bool {
    let ends = versions.iter().skip(1).map(|(_, next)| next.effective_at.div_euclid(NS_PER_DAY));
    let mut judged = versions.iter().zip(ends.chain([i64::MAX]));
    judged.any(|((_, rules), end)| last_day.min(end) + rules.late_limit_days >= today)
}

/// All shards and cells are as the model says, and per wallet everything adds up to zero.
///
/// # Errors
/// What was expected.
pub fn state<'a>(
    shards: impl Iterator<Item = &'a ShardState>,
    cells: &Cells,
    dictionary: &Dictionary,
    model: &Model,
) -> Result<(), Broken> {
    for shard in shards {
        one_shard(shard, dictionary, model)?;
    }
    let today = model.shards.values().map(|(_, posted_at, _)| posted_at.div_euclid(NS_PER_DAY)).max();
    for (id, cell) in cells.copy() {
        // A late reversal brings back a cell that was forgotten. Nothing can be taken from it any more.
        if today.is_some_and(|today| i64::from(cell.retain_until.0) < today) {
            continue;
        }
        let name = cell_name_of(dictionary, id);
        let used = model.used(&name);
        must!(cell.used == used && cell.withheld == 0, "cell {name} has given {used}, not {cell:?}");
    }
    Ok(())
}

fn one_shard(shard: &ShardState, dictionary: &Dictionary, model: &Model) -> Result<(), Broken> {
    let nothing = (0, i64::MIN, Vec::new());
    let (seq, posted_at, opened) = model.shards.get(&shard.id.0).unwrap_or(&nothing);
    must!(
        (shard.seq.0, shard.posted_at.0) == (*seq, *posted_at),
        "shard {} stands at record {seq} of {posted_at}, not at {} of {}",
        shard.id,
        shard.seq,
        shard.posted_at
    );
    let ids: Vec<String> = shard.all_packed().iter().map(|account| account.id()).collect();
    let expected: Vec<&str> = opened.iter().map(|id| &**id).collect();
    must!(ids == expected, "shard {} has the accounts {expected:?}, not {ids:?}", shard.id);
    for found in shard.accounts() {
        let Some(known) = model.account(&found.id) else { return Err(format!("no account {}", found.id)) };
        account(&found, known, dictionary, &model.ring, &model.versions)?;
        must!(
            found.position == Some(Position(known.position)),
            "account {}'s last record lies at {}, not at {:?}",
            found.id,
            known.position,
            found.position
        );
    }
    let partners = shard.partners.issuers().map(|((partner, wallet), side)| {
        let key = (shard.id.0, name_of(dictionary, *partner), usize::from(wallet.0));
        (key, [side.balance, side.issued, side.reversed, side.redeemed, side.expired])
    });
    let mut partners: Vec<_> = partners.collect();
    partners.sort();
    let expected = model.partners.iter().filter(|((of, _, _), _)| *of == shard.id.0);
    let expected: Vec<_> = expected.map(|(key, side)| (key.clone(), *side)).collect();
    must!(partners == expected, "shard {} has the partners {expected:?}, not {partners:?}", shard.id);
    sides(shard, dictionary, model)?;
    pending(shard)?;
    balanced(shard)
}

/// What waits for its time, as it is added up, is what the accounts' lots say.
fn pending(shard: &ShardState) -> Result<(), Broken> {
    let (mut added_up, mut found) = (shard.pending().clone(), Pending::default());
    added_up.reach(shard.posted_at);
    for account in shard.accounts() {
        account.lots.iter().for_each(|lot| found.count(&lot.key, lot.remaining, shard.posted_at));
    }
    must!(added_up == found, "in shard {} wait {found:?}, not {added_up:?}", shard.id);
    Ok(())
}

/// What partners pay and receive, and who burned whose units; it adds up to what the sub-accounts say.
fn sides(shard: &ShardState, dictionary: &Dictionary, model: &Model) -> Result<(), Broken> {
    let name = |symbol| name_of(dictionary, symbol);
    let funding = shard.partners.issuers().map(|((issuer, wallet), side)| {
        let Funding { issued, reversed, redeemed, expired } = side.funding;
        ((shard.id.0, name(*issuer), usize::from(wallet.0)), [issued, reversed, redeemed, expired])
    });
    let funding: BTreeMap<_, _> = funding.collect();
    let of_shard = |shard_of: u16| shard_of == shard.id.0;
    let expected = model.sides.funding.iter().filter(|((of, _, _), _)| of_shard(*of));
    let expected: BTreeMap<_, _> = expected.map(|(key, sums)| (key.clone(), *sums)).collect();
    must!(funding == expected, "the partners of shard {} pay {expected:?}, not {funding:?}", shard.id);
    let burns = shard.partners.burns().map(|(key, burn)| {
        let names = (shard.id.0, name(key.acceptor), name(key.issuer), usize::from(key.wallet.0));
        (names, [burn.units, burn.redemption])
    });
    let burns: BTreeMap<_, _> = burns.collect();
    let expected = model.sides.burns.iter().filter(|((of, _, _, _), _)| of_shard(*of));
    let expected: BTreeMap<_, _> = expected.map(|(key, sums)| (key.clone(), *sums)).collect();
    must!(burns == expected, "in shard {} {expected:?} were burned, not {burns:?}", shard.id);
    must!(shard.partners.is_whole(), "what was burned in shard {} adds up", shard.id);
    for ((issuer, wallet), side) in shard.partners.issuers() {
        let mut held = 0;
        for account in shard.accounts() {
            let own = account.holdings().filter(|(key, _)| (key.issuer, key.wallet) == (*issuer, *wallet));
            held += own.map(|(_, units)| i128::from(units)).sum::<i128>();
        }
        must!(side.outstanding() == held, "accounts hold {} of {}, not {held}", side.outstanding(), name(*issuer));
    }
    Ok(())
}

/// The first part in which two states differ that have different digests or ends.
#[must_use]
pub fn worlds(one: &World, other: &World) -> String {
    let shards = one.shards.iter().zip(&other.shards).find(|(a, b)| shard_digest(a) != shard_digest(b));
    if let Some((a, b)) = shards {
        let accounts = a.accounts().zip(b.accounts()).find(|(a, b)| a != b);
        return format!("shard {}: {a:?} and {b:?}, beginning with {accounts:?}", a.id);
    }
    let (cells, others) = (one.cells.copy(), other.cells.copy());
    let differs = |id: &&CellId| {
        let essence = |cell: &Cell| (cell.version, cell.used);
        cells.get(id).map(essence) != others.get(id).map(essence)
    };
    if let Some(id) = cells.keys().chain(others.keys()).find(differs) {
        return format!("cell {id}: {:?} and {:?}", cells.get(id), others.get(id));
    }
    let counts = (one.dictionary.counts(), other.dictionary.counts());
    format!(
        "strings and items {counts:?}, versions {:?}, ends {:?}",
        (one.programs.iter().len(), other.programs.iter().len()),
        (one.end, other.end)
    )
}

/// What accounts hold, the partners owe: per wallet the sum over a shard is zero.
fn balanced(shard: &ShardState) -> Result<(), Broken> {
    let mut sums = std::collections::BTreeMap::new();
    for account in shard.accounts() {
        for (key, units) in account.holdings() {
            must!(units > 0, "no lot of shard {} is empty or negative: {key:?} has {units}", shard.id);
            *sums.entry(key.wallet).or_insert(0_i128) += i128::from(units);
        }
    }
    for ((_, wallet), side) in shard.partners.issuers() {
        *sums.entry(*wallet).or_insert(0) += side.balance;
    }
    let unbalanced = sums.iter().find(|(_, sum)| **sum != 0);
    must!(unbalanced.is_none(), "the accounts and partners of shard {} add up to zero: {unbalanced:?}", shard.id);
    Ok(())
}
