//! Partners that the programme declares: what each may do, and when.
//!
//! What must stay true: rights to earn are judged by the day of the event, rights to burn by that of the posting; what was
//! granted can be taken back whatever has ended since.

use std::sync::Arc;

use crate::language::*;
use crate::support::edge::Accrue;
use crate::support::{Ledger, Setup, assert_intact, programs, recover_store};
use tallystick::ledger::command::{CommandKind, Redemption};
use tallystick::ledger::types::WalletId;
use tallystick::replay::World;
use tallystick::store::{Space, Store};

/// The tables' day is 1 March 2017; the shop of all tables is `s`.
const COALITION: &str = "
[[partners]]
name = \"north\"
stores = [{ name = \"s-1\" }, { name = \"s-2\", terminals = [\"t-1\"] }]
earns = [{ wallet = \"points\" }]
burns = [{ wallet = \"points\", until = 2017-03-02 }]
funding_rate_bps = 5_000
redemption_rate_bps = 4_000

[[partners]]
name = \"south\"
stores = [{ name = \"s-1\" }]
earns = [{ wallet = \"points\", until = 2017-03-01 }]
burns = [{ wallet = \"points\", from = 2017-03-02 }]
";

/// A partner without rights.
const WEST: &str = "
[[partners]]
name = \"west\"
stores = [{ name = \"s-1\" }]
";

/// A voucher of every partner.
const MUG: &str = "
[[vouchers]]
name = \"mug\"
text = \"a mug\"
valid_days = 30
";

/// North alone, with a budget of its own.
const BUDGET: &str = "
[[budgets]]
name = \"pot\"
units = 12
partner = \"north\"
warnings = [50]
";

tables! {
    a_store_is_its_partners(Setup::default(), [with("", COALITION)]) "
        accrue m1 1000 store=s-1                        -> 10
        accrue m1 1000 store=s-3                        -> refused StoreUnknown
        accrue m1 1000 store=s-2                        -> refused StoreUnknown
        accrue m1 1000 store=s-2 terminal=t-2           -> refused StoreUnknown
        accrue m1 1000 store=s-2 terminal=t-1           -> 10
        accrue m1 1000 store=s-2 terminal=t-1 by=south  -> refused StoreUnknown
        quote m1 1000 store=s-3                         -> refused StoreUnknown
        accrue m1 1000 store=s-1 by=east                -> refused PartnerUnknown
        redeem m1 5 by=east                             -> refused PartnerUnknown
        enrol m1 +gold by=east                          -> refused PartnerUnknown
        # Nothing of it was on record, so the ids are free.
        accrue m1 1000 store=s-3 id=x                   -> refused StoreUnknown
        accrue m1 1000 store=s-1 id=x                   -> 10
        balance m1                                      -> 30
    "

    earning_is_by_the_day_of_the_event_and_burning_by_that_of_the_posting(Setup::default(), [with("", COALITION)]) "
        accrue m1 1000 store=s-1 by=south id=a          -> 10
        redeem m1 1 by=south                            -> refused BurnNotPermitted
        redeem m1 1                                     -> -1
        clock +1d                                       -> moved
        # South's right to earn has ended, and the one to burn has begun.
        accrue m1 1000 store=s-1 by=south               -> refused EarnNotPermitted
        accrue m1 1000 store=s-1 by=south printed=-1d   -> 10
        redeem m1 1 by=south                            -> -1
        clock +1d                                       -> moved
        redeem m1 1                                     -> refused BurnNotPermitted
        redeem m1 1 by=south                            -> -1
        # What was granted can be taken back.
        reverse a by=south                              -> -10
        balance m1                                      -> 7
    "

    nobody_makes_another_owe(Setup::default(), [with("", COALITION)]) "
        load m1 5/north                                 -> 5
        load m1 5/south                                 -> refused EarnNotPermitted
        load m1 5/south by=south                        -> 5
        balance m1                                      -> 10
    "

    a_desk_grants_what_its_partner_may_issue_and_takes_what_it_owes(Setup::default(), [with("", &[COALITION, MUG].concat())]) "
        accrue m1 1000 store=s-1                        -> 10
        adjust m1 5 by=south                            -> 5
        adjust m1 5 by=east                             -> refused PartnerUnknown
        adjust m1 -5 by=east                            -> refused PartnerUnknown
        # Of fifteen units south owes five.
        adjust m1 -6 by=south                           -> refused InsufficientBalance
        adjust m1 -4 by=south                           -> -4
        adjust m1 -11                                   -> refused InsufficientBalance
        lots m1                                         -> 10 north, 1 south
        issue m1 mug by=east                            -> refused PartnerUnknown
        issue m1 mug by=south id=given                  -> 0, gave mug
        clock +1d                                       -> moved
        # South's right to earn has ended: nothing new, and what was given is ended where nobody took it.
        adjust m1 1 by=south                            -> refused EarnNotPermitted
        adjust m1 -1 by=south                           -> refused EarnNotPermitted
        issue m1 mug by=south                           -> refused EarnNotPermitted
        cancel m1 given/south by=south                  -> 0, cancelled 1
        adjust m1 -10                                   -> -10
        balance m1                                      -> 1
    "

    what_comes_back_of_itself_is_within_reach_of_who_issued_it(Setup::default(), [with("", COALITION)]) "
        accrue m1 1000 store=s-1                        -> 10
        accrue m1 500 store=s-1 by=south                -> 5
        authorize m1 12                                 -> aside 12 for 60m
        clock +2h                                       -> moved
        adjust m1 -11                                   -> refused InsufficientBalance
        adjust m1 -10                                   -> -10
        lots m1                                         -> 5 south
    "

    who_deals_in_nothing_changes_no_account(Setup::default(), [with("", &[COALITION, WEST].concat())]) "
        accrue m1 1000 store=s-1                        -> 10
        enrol m1 +gold by=west                          -> refused EarnNotPermitted
        enrol m2 +gold by=west                          -> refused EarnNotPermitted
        link m1 card:1 by=west                          -> refused EarnNotPermitted
        enrol m1 +gold                                  -> joined gold
        cancel m1 given by=west                         -> refused VoucherUnknown
        cancel m2 given by=west                         -> refused VoucherUnknown
    "

    without_partners_a_desk_corrects_whatever_there_is(Setup::default(), [plain()]) "
        accrue m1 1000                                  -> 10
        adjust m1 -6 by=south                           -> -6
        adjust m1 1 by=anybody                          -> 1
        balance m1                                      -> 5
    "

    a_budget_of_a_partner_is_drawn_on_by_no_other(Setup::default(), [with("", BUDGET)]) "
        accrue m1 1000 by=south                         -> 10
        used pot                                        -> 0
        accrue m1 1000                                  -> 10
        accrue m1 1000                                  -> 2 of 10: pot -8
        accrue m1 1000 by=south                         -> 10
        used pot                                        -> 12
    "

    a_version_that_declares_partners_ends_what_everybody_could(
        Setup::default(),
        [plain(), ("coalition", programs::program("", "", COALITION))]
    ) "
        accrue m1 1000 store=anywhere by=east id=a      -> 10
        publish coalition in 2h                         -> published
        clock +3h                                       -> moved
        accrue m1 1000 store=anywhere by=east           -> refused PartnerUnknown
        # A basket of before is judged by the version of before.
        accrue m1 1000 store=anywhere by=east printed=-4h  -> 10
        reverse a by=east                               -> -10
        balance m1                                      -> 10
    "
}

/// A snapshot of a version that did not keep who burned what: the journal tells it, from its beginning.
#[test]
fn a_snapshot_that_does_not_know_who_burned_what_is_not_used() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&with("", COALITION).1);
    let edge = ledger.edge();
    let basket = Accrue { store: "s-1".to_owned(), ..Accrue::simple("m1", "a", 1_000) };
    assert_eq!(edge.accrue(&basket).granted(), 10);
    let redemption = Redemption { wallet: WalletId(0), units: 4, reward: None };
    assert_eq!(edge.send("m1", "b", CommandKind::Redeem(redemption)).granted(), -4);
    ledger.engine.snapshot().expect("a snapshot can be taken");
    let digest = ledger.stop().digest;
    let setup = Setup::default();
    let recovered = recover_store(&(Arc::new(store.clone()) as Arc<dyn Store>), &setup).expect("it is whole");
    assert!(recovered.marker.is_some());
    let entities = store.contents(Space::State).into_iter().map(|(key, _)| key);
    let burns: Vec<_> = entities.filter(|key| key[0] == 50).collect();
    assert_eq!(burns.len(), 1);
    assert!(store.remove(Space::State, &burns[0]));
    let again = recover_store(&(Arc::new(store.clone()) as Arc<dyn Store>), &setup).expect("it is whole");
    assert_eq!((again.marker, again.world.digest()), (None, digest));
    let burned = |world: &World| {
        world.shards.iter().flat_map(|shard| shard.partners.burns()).map(|(_, burn)| *burn).collect::<Vec<_>>()
    };
    assert_eq!(burned(&again.world), burned(&recovered.world));
    assert_eq!(burned(&again.world)[0].redemption, 4 * 4_000);
    assert_intact(&store, digest);
}
