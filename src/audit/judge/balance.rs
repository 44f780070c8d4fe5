//! What accounts gain partners lose: record by record, and in the end all of it added up.
//!
//! What must stay true: both sides are read from the state and not from decisions, so that a fault of what applies decisions
//! shows here, and in the end one of what keeps accounts packed. No forgery comes so far: what is decided again balances by
//! itself, and what else a record says is judged before it is applied.

use std::collections::BTreeMap;

use super::*;
use crate::ledger::partner::PartnerAccounts;
use crate::ledger::types::WalletId;

impl Judge<'_> {
    /// Applies the record and sees that what the account gains, the partner loses.
    pub(super) fn apply_balanced(&mut self, view: &RecordView<'_>, place: Place, entry: Entry) -> Result<(), Finding> {
        let index = usize::from(view.shard.0);
        let number = entry.account;
        let mut sides: Vec<_> =
            entry.decision.effects.lots.iter().map(|lot| (lot.key.issuer, lot.key.wallet)).collect();
        sides.sort_unstable();
        sides.dedup();
        let sum = |world: &mut World| {
            let shard = &world.shards[index];
            let held = shard.packed(number).map_or(0, |packed| {
                world.unpacked.load(shard.id, number, packed, "");
                world.unpacked.account.holdings().map(|(_, units)| i128::from(units)).sum()
            });
            let owed: i128 = sides.iter().map(|(issuer, wallet)| shard.partners.issuer(*issuer, *wallet).balance).sum();
            held + owed
        };
        let before = sum(&mut self.world);
        self.world.apply(view, Record::Entry(Box::new(entry))).map_err(|fault| damaged(place, fault))?;
        if sum(&mut self.world) == before {
            return Ok(());
        }
        Err(place.finding(FindingClass::Balance, "what the account gains is not what the partner loses"))
    }
}

/// Whether everything adds up to zero: what accounts hold of each partner's units is what that owes, and what it issued less
/// what became of it; and what was burned of them is what partners burned. Says what does not.
pub(super) fn check_sums(world: &World) -> Result<(), String> {
    let mut held = held_of_issuers(world);
    let mut partners = PartnerAccounts::default();
    world.shards.iter().for_each(|shard| partners.add(&shard.partners));
    for ((issuer, wallet), account) in partners.issuers() {
        let held = held.remove(&(*issuer, *wallet)).unwrap_or_default();
        let (owed, outstanding) = (-account.balance, account.outstanding());
        if held != owed || held != outstanding {
            let name = world.dictionary.text(*issuer).unwrap_or_default();
            return Err(format!(
                "accounts hold {held} units of wallet {wallet} that partner {name:?} issued, which owes {owed} and has \
                 {outstanding} outstanding"
            ));
        }
    }
    if let Some(((issuer, wallet), held)) = held.into_iter().find(|(_, held)| *held != 0) {
        return Err(format!("accounts hold {held} units of wallet {wallet} that partner {issuer} never issued"));
    }
    if partners.is_whole() {
        return Ok(());
    }
    Err("what partners burned of each other's units is not what was burned".to_owned())
}

/// What accounts hold of each issuer's units, by wallet.
fn held_of_issuers(world: &World) -> BTreeMap<(SymbolId, WalletId), i128> {
    let mut held = BTreeMap::new();
    for account in world.shards.iter().flat_map(|shard| shard.accounts()) {
        for (key, units) in account.holdings() {
            *held.entry((key.issuer, key.wallet)).or_insert(0) += i128::from(units);
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ledger::account::{Account, Lot, Profile};
    use crate::ledger::authorization::Authorization;
    use crate::ledger::decision::{LotChange, LotKey, Movement};
    use crate::ledger::partner::{BurnAccount, BurnKey, PartnerAccount};
    use crate::ledger::state::ShardState;
    use crate::ledger::types::AccountNumber;
    use crate::store::memory::MemoryStore;

    const NORTH: SymbolId = SymbolId(1);
    const SOUTH: SymbolId = SymbolId(2);
    const WALLET: WalletId = WalletId(0);
    const BURNED: &str = "what partners burned of each other's units is not what was burned";

    fn lot(issuer: SymbolId, delta: Units, movement: Movement) -> LotChange {
        let key = LotKey {
            wallet: WALLET,
            issuer,
            funding_rate_bps: 0,
            available_from_minute: 0,
            inactive_days: 0,
            expires_at: LotKey::NEVER,
        };
        LotChange { key, delta, movement }
    }

    /// An account with so many units of a partner, of which three are set aside.
    fn account(issuer: SymbolId, units: Units) -> Account {
        let LotChange { key, .. } = lot(issuer, 0, Movement::Grant);
        let aside = Authorization {
            partner: NORTH,
            transaction_id: "a".into(),
            wallet: WALLET,
            ends_at: TimestampNs(9),
            captured: 0,
            lots: vec![(key, 3)],
        };
        let profile = Profile { authorizations: vec![aside], ..Profile::default() };
        Account {
            id: "m1".into(),
            lots: vec![Lot { key, remaining: units - 3 }],
            profile: Some(Box::new(profile)),
            ..Account::default()
        }
    }

    /// Of the thirty units that a partner issued, another took five, and an account has so many.
    fn world(units: Units) -> World {
        let mut world = World::new(2);
        world.shards[1].partners.change(Seq(1), NORTH, 0, &[lot(NORTH, 30, Movement::Grant)]);
        world.shards[1].partners.change(Seq(2), SOUTH, 0, &[lot(NORTH, -5, Movement::Burn)]);
        world.shards[1].place(AccountNumber(0), &account(NORTH, units));
        world
    }

    #[test]
    fn accounts_hold_what_was_issued_and_has_not_gone() {
        let says = |held: i128| -> Result<(), String> {
            let of = "units of wallet 0 that partner \"\" issued, which owes 25 and has 25 outstanding";
            Err(format!("accounts hold {held} {of}"))
        };
        assert_eq!(check_sums(&world(25)), Ok(()));
        assert_eq!(check_sums(&world(26)), says(26));
        assert_eq!(check_sums(&world(24)), says(24));
        let mut nobody = world(25);
        nobody.shards[1] = ShardState::new(ShardId(1));
        assert_eq!(check_sums(&nobody), Ok(()), "nothing adds up to nothing");
        nobody.shards[0].place(AccountNumber(0), &account(SOUTH, 4));
        let never = "accounts hold 4 units of wallet 0 that partner 2 never issued";
        assert_eq!(check_sums(&nobody), Err(never.to_owned()));
    }

    /// What of the partners' side is off, how, and what is said.
    type Row = (&'static str, fn(&mut PartnerAccount, &mut BurnAccount), &'static str);

    #[test]
    fn no_sub_account_may_be_off_by_one() {
        let rows: [Row; 8] = [
            ("nothing", |_, _| {}, ""),
            ("what it owes", |issuer, _| issuer.balance += 1, "which owes 24 and has 25 outstanding"),
            ("what it issued", |issuer, _| issuer.issued += 1, "which owes 25 and has 26 outstanding"),
            ("what was taken back", |issuer, _| issuer.reversed += 1, "which owes 25 and has 24 outstanding"),
            ("what was burned", |issuer, _| issuer.redeemed += 1, "which owes 25 and has 24 outstanding"),
            ("what died", |issuer, _| issuer.expired += 1, "which owes 25 and has 24 outstanding"),
            (
                "what was burned, and issued for it",
                |issuer, _| (issuer.issued, issuer.redeemed) = (issuer.issued + 1, issuer.redeemed + 1),
                BURNED,
            ),
            ("what another burned", |_, burn| burn.units -= 1, BURNED),
        ];
        for (what, alter, says) in rows {
            let mut world = world(25);
            let partners = &mut world.shards[1].partners;
            let mut issuer = partners.issuer(NORTH, WALLET);
            let (key, mut burn) = partners.burns().next().map(|(key, burn)| (*key, *burn)).unwrap();
            alter(&mut issuer, &mut burn);
            partners.place_issuer(NORTH, WALLET, issuer);
            partners.place_burn(key, burn);
            let found = check_sums(&world).err().unwrap_or_default();
            assert!(found.contains(says) && found.is_empty() == says.is_empty(), "{what}: {found}");
        }
        let mut world = world(25);
        let of_nobody = BurnKey { acceptor: NORTH, issuer: SOUTH, wallet: WALLET };
        world.shards[0].partners.place_burn(of_nobody, BurnAccount::default());
        assert_eq!(check_sums(&world), Err(BURNED.to_owned()), "whose units were burned, issued some");
    }

    /// The first record of an account, which grants it ten units.
    fn granting() -> Entry {
        let mut decision = Decision { granted: 10, balance_after: 10, ..Decision::default() };
        decision.effects.opens_account = true;
        decision.effects.lots.push(lot(NORTH, 10, Movement::Grant));
        let command = Command { account_id: "m1".into(), ..Command::default() };
        let (previous, posted_at) = (PreviousRecord::None, TimestampNs(0));
        Entry { previous, account: AccountNumber(0), posted_at, command, decision }
    }

    /// A sub-account that has the record already is not moved by it: as after a fault of what applies records.
    #[test]
    fn a_record_that_moves_one_side_alone_is_found_and_so_is_the_sum() {
        let identity = Identity {
            directory_id: [1; 16],
            shard_count: 1,
            clock_is_input: false,
            created_at: TimestampNs(0),
            leaf_key: [2; 32],
            id_key: [3; 16],
        };
        for (has_it, class) in [(Seq(0), None), (Seq(1), Some(FindingClass::Balance))] {
            let journal = StoreJournal::new(Arc::new(MemoryStore::new()));
            let mut judge = Judge::new(&journal, &identity, Once::new(identity.id_hasher(), Some(Position(0)), 1));
            let ahead = PartnerAccount { seq: has_it, ..PartnerAccount::default() };
            judge.world.shards[0].partners.place_issuer(NORTH, WALLET, ahead);
            let (position, shard) = (Position(0), ShardId(0));
            let view = RecordView { position, shard, seq: Seq(1), offset: 0, bytes: &[] };
            let class_of = |outcome: Result<(), Finding>| outcome.err().map(|found| found.class);
            assert_eq!(class_of(judge.apply_balanced(&view, Place::at(position), granting())), class);
            assert_eq!(class_of(judge.finish()), class);
        }
    }
}
