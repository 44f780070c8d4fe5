//! Stamp cards: what they count, what a full one gives, what of it comes back, and when a card begins again.
//!
//! What must stay true: whoever fills a card gets one reward for it, and one only; what comes back is taken off the card, and
//! nobody gains by bringing something back; what a card has in the account when nothing is left of a basket is what it had
//! before.

use crate::language::*;
use crate::support::edge::{Accrue, Edge, LineText};
use crate::support::{Ledger, NS_PER_DAY, NS_PER_SECOND, Setup, assert_intact, programs};
use crate::vouchers::operate;
use proptest::prelude::*;
use tallystick::clock::Clock;
use tallystick::ledger::account::Account;
use tallystick::ledger::command::ReturnedLine;
use tallystick::ledger::decision::{Decision, Refusal};
use tallystick::ledger::periods_of;
use tallystick::ledger::program::Program;
use tallystick::ledger::stamps::on_cards;
use tallystick::ledger::types::{SymbolId, TimestampNs};
use tallystick::ledger::voucher::{VoucherCode, VoucherState};
use tallystick::limits;

/// `, coffee 3/10`, and `, coffee 0/10 full` where the basket got a reward, `full 2` where it got two.
pub fn told(decision: &Decision, program: &Program) -> String {
    let show = |outcome: &tallystick::ledger::stamps::StampOutcome| {
        let card = program.stamp_card(outcome.card).expect("it is the programme's");
        let full = match outcome.rewards {
            0 => String::new(),
            1 => " full".to_owned(),
            count => format!(" full {count}"),
        };
        format!(", {} {}/{}{full}", card.name, outcome.on_card(card), card.size)
    };
    decision.stamps.iter().map(show).collect()
}

/// `coffee 3/10, visits 1/5`: what is on the cards of a programme.
pub fn listed(account: &Account, program: &Program, at: TimestampNs) -> String {
    let cards = on_cards(account, program, periods_of(account, program, at));
    cards.map(|(card, stamps)| format!("{} {stamps}/{}", card.name, card.size)).collect::<Vec<_>>().join(", ")
}

/// Every fourth coffee gives 50 units.
const COFFEE: &str = "[[stamps]]\nname = \"coffee\"\nof = { department = [\"COFFEE\"] }\ncount = 4\nunits = 50\n";
/// The same, with a voucher.
const FREE: &str = "[[vouchers]]\nname = \"cup\"\ntext = \"a free coffee\"\nvalid_days = 9\n\
                    [[stamps]]\nname = \"coffee\"\nof = { department = [\"COFFEE\"] }\ncount = 4\nvoucher = \"cup\"\n";
/// Every third basket of 5.00 gives 7 units.
const VISITS: &str = "[[stamps]]\nname = \"visits\"\ncounts = \"baskets\"\ncount = 3\nunits = 7\n\
                      when = { eligible_minor_min = 500 }\n";
const WATCH: &str = "[[caps]]\nname = \"watch\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 9\nover = \"hold\"\n";
const ONCE: &str = "[[caps]]\nname = \"once\"\nmeasure = \"earning-baskets\"\nwindow = \"day\"\nlimit = 1\n";
const DAILY: &str = "[[caps]]\nname = \"daily\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 20\n";
const NO_CIGARS: &str = "exclude = { department = [\"CIGARS\"] }\n";

fn cards(pieces: &[&str]) -> (&'static str, String) {
    with(NO_CIGARS, &pieces.concat())
}

/// The card of coffees, which ends with the day.
fn of_a_day() -> String {
    COFFEE.replacen("count", "window = \"day\"\ncount", 1)
}

/// The card of coffees with another size, or other text in another place.
fn other(old: &str, new: &str) -> (&'static str, String) {
    ("second", with(NO_CIGARS, &COFFEE.replacen(old, new, 1)).1)
}

tables! {
    a_card_fills_and_begins_again(Setup::default(), [cards(&[COFFEE])]) "
        accrue m1 CAKE:300                              -> 3
        accrue m1 COFFEE:300                            -> 3, coffee 1/4
        quote m1 COFFEE:300                             -> 3, coffee 2/4
        cards m1                                        -> coffee 1/4
        accrue m1 COFFEE:600x2 id=a                     -> 6, coffee 3/4
        accrue m1 COFFEE:600x2 id=a                     -> again 6, coffee 3/4
        # What is over is carried on.
        accrue m1 COFFEE:600x2                          -> 56, coffee 1/4 full
        accrue m1 COFFEE:900x3                          -> 59, coffee 0/4 full
        # Two cards at once.
        accrue m1 COFFEE:2700x9                         -> 127, coffee 1/4 full 2
        cards m1                                        -> coffee 1/4
        cards m2                                        -> unknown
        # Several lines count together; what is free, or has no pieces, is none.
        accrue m2 COFFEE:300 COFFEE:300 CAKE:100x9      -> 7, coffee 2/4
        accrue m2 COFFEE:0x2 COFFEE:300x0               -> 3
        cards m2                                        -> coffee 2/4
    "

    two_cards_in_one_basket(Setup::default(), [cards(&[COFFEE, VISITS])]) "
        accrue m1 COFFEE:300                            -> 3, coffee 1/4
        accrue m1 COFFEE:600x2                          -> 6, coffee 3/4, visits 1/3
        accrue m1 CAKE:500                              -> 5, visits 2/3
        accrue m1 COFFEE:600x2                          -> 63, coffee 1/4 full, visits 0/3 full
        # What is not eligible fills no card.
        accrue m1 CIGARS:900                            -> 0
        accrue m1 CAKE:499 CIGARS:900                   -> 4
        cards m1                                        -> coffee 1/4, visits 0/3
    "

    a_part_that_comes_back_takes_stamps_and_what_they_gave(Setup::default(), [cards(&[COFFEE])]) "
        accrue m1 COFFEE:600x2                          -> 6, coffee 2/4
        accrue m1 COFFEE:1800x6 CAKE:100 id=a           -> 119, coffee 0/4 full 2
        reverse a 1x1                                   -> -1
        cards m1                                        -> coffee 0/4
        reverse a 0x1                                   -> -53
        cards m1                                        -> coffee 3/4
        reverse a 0x3                                   -> -9
        cards m1                                        -> coffee 0/4
        reverse a 0x1                                   -> -53
        cards m1                                        -> coffee 3/4
        reverse a                                       -> -3
        cards m1                                        -> coffee 2/4
        reverse a                                       -> refused AlreadyReversed
        balance m1                                      -> 6
    "

    the_whole_comes_back_at_once(Setup::default(), [cards(&[COFFEE, VISITS])]) "
        accrue m1 COFFEE:1500x5 id=a                    -> 65, coffee 1/4 full, visits 1/3
        accrue m1 COFFEE:300x3 id=b                     -> 53, coffee 0/4 full
        reverse a                                       -> -65
        cards m1                                        -> coffee -1/4, visits 0/3
        # What was decided in between stands: b has given the reward of a card that is not full any more.
        accrue m1 COFFEE:300                            -> 3, coffee 0/4
        reverse b                                       -> -53
        cards m1                                        -> coffee 1/4, visits 0/3
    "

    a_threshold_that_is_lost_takes_the_stamp(Setup::default(), [cards(&[VISITS])]) "
        accrue m1 500                                   -> 5, visits 1/3
        accrue m1 500                                   -> 5, visits 2/3
        accrue m1 300 200 id=a                          -> 12, visits 0/3 full
        reverse a 1x1                                   -> -9
        cards m1                                        -> visits 2/3
        reverse a 0x1                                   -> -3
        cards m1                                        -> visits 2/3
    "

    what_comes_back_before_the_next_reward_is_given_once(Setup::default(), [cards(&[COFFEE])]) "
        accrue m1 COFFEE:900x3                          -> 9, coffee 3/4
        accrue m1 COFFEE:300 id=a                       -> 53, coffee 0/4 full
        accrue m1 COFFEE:300                            -> 3, coffee 1/4
        # Without a the fourth would have been the next one: it is due with the next stamp.
        reverse a                                       -> -53
        cards m1                                        -> coffee 4/4
        accrue m1 CAKE:300                              -> 3
        accrue m1 COFFEE:300                            -> 53, coffee 1/4 full
    "

    a_voucher_stays_with_parts_and_goes_with_the_last(Setup::default(), [cards(&[FREE])]) "
        accrue m1 COFFEE:600x2                          -> 6, coffee 2/4
        accrue m1 COFFEE:600x2 CAKE:100 id=a            -> 7, coffee 0/4 full, gave cup
        reverse a 0x1                                   -> -3
        vouchers m1                                     -> cup 228h
        # The voucher counts as given: the card is to be filled once more before the next.
        cards m1                                        -> coffee -1/4
        accrue m1 COFFEE:300                            -> 3, coffee 0/4
        reverse a                                       -> -4, cancelled 1
        cards m1                                        -> coffee 3/4
        accrue m1 COFFEE:300                            -> 3, coffee 0/4 full, gave cup
        vouchers m1                                     -> cup 228h, cup cancelled
    "

    what_was_used_stays_given(Setup::default(), [cards(&[FREE])]) "
        accrue m1 COFFEE:2400x8 id=a                    -> 24, coffee 0/4 full 2, gave cup, gave cup
        accrue m1 CAKE:100 uses=a.1                     -> 1, used 1
        reverse a                                       -> -24, cancelled 1, kept 1
        cards m1                                        -> coffee -4/4
        accrue m1 COFFEE:2100x7                         -> 21, coffee 3/4
        accrue m1 COFFEE:300                            -> 3, coffee 0/4 full, gave cup
    "

    a_voucher_that_an_operator_cancelled_counts_as_given(Setup::default(), [cards(&[FREE])]) "
        accrue m1 COFFEE:1200x4 id=a                    -> 12, coffee 0/4 full, gave cup
        cancel m1 a                                     -> 0, cancelled 1
        reverse a                                       -> -12
        cards m1                                        -> coffee -4/4
    "

    a_voucher_that_is_over_is_cancelled_and_one_that_is_forgotten_counts(Setup::default(), [cards(&[FREE])]) "
        accrue m1 COFFEE:1200x4 id=a                    -> 12, coffee 0/4 full, gave cup
        accrue m1 COFFEE:1200x4 id=b                    -> 12, coffee 0/4 full, gave cup
        clock +20d                                      -> moved
        reverse a                                       -> -12, cancelled 1
        cards m1                                        -> coffee 0/4
        clock +30d                                      -> moved
        reverse b                                       -> -12
        cards m1                                        -> coffee -4/4
    "

    cards_and_bonuses_give_their_vouchers_side_by_side(Setup::default(), [cards(&[FREE,
        "[[bonuses]]\nname = \"large\"\nvoucher = \"cup\"\nwhen = { eligible_minor_min = 1000 }\n"])]) "
        accrue m1 COFFEE:1200x4 id=a                    -> 12 (large 0), coffee 0/4 full, gave cup, gave cup
        accrue m1 CAKE:100 uses=a                       -> 1, used 1
        # The one of the bonus was used, that of the card was not.
        reverse a                                       -> -12, cancelled 1, kept 1
        cards m1                                        -> coffee 0/4
        accrue m1 COFFEE:1200x4 id=b                    -> 12 (large 0), coffee 0/4 full, gave cup, gave cup
        accrue m1 CAKE:100 uses=b.1                     -> 1, used 1
        reverse b                                       -> -12, cancelled 1, kept 1
        cards m1                                        -> coffee -4/4
    "

    a_basket_gives_eight_vouchers_and_the_rest_with_the_next_stamp(Setup::default(), [cards(&[FREE])]) "
        accrue m1 COFFEE:4000x40 id=a                   -> 40, coffee 8/4 full 8, gave cup, gave cup, gave cup, gave cup, gave cup, gave cup, gave cup, gave cup
        accrue m1 CAKE:100                              -> 1
        accrue m1 COFFEE:100                            -> 1, coffee 1/4 full 2, gave cup, gave cup
        cards m1                                        -> coffee 1/4
    "

    what_is_denied_fills_no_card(Setup::default(), [cards(&[COFFEE, ONCE])]) "
        accrue m1 COFFEE:900x3 id=a                     -> 9, coffee 3/4
        accrue m1 COFFEE:900x3 id=b                     -> 0 of 59: over once
        cards m1                                        -> coffee 3/4
        reverse b                                       -> 0
        reverse a                                       -> -9
        cards m1                                        -> coffee 0/4
    "

    a_cap_clips_what_a_card_gives(Setup::default(), [cards(&[COFFEE, DAILY])]) "
        accrue m1 COFFEE:1200x4 id=a                    -> 20 of 62: daily -42, coffee 0/4 full
        reverse a 0x1                                   -> -11
        cards m1                                        -> coffee 3/4
        reverse a                                       -> -9
        cards m1                                        -> coffee 0/4
    "

    what_is_held_counts_and_gives_its_voucher_later(Setup::default(), [cards(&[FREE, WATCH])]) "
        accrue m1 COFFEE:1200x4 id=a                    -> 12, coffee 4/4 held by watch
        release a                                       -> released 12
        clock +1d                                       -> moved
        accrue m1 COFFEE:100                            -> 1, coffee 1/4 full, gave cup
        accrue m2 COFFEE:1200x4 id=b                    -> 12, coffee 4/4 held by watch
        reject b                                        -> -12
        cards m2                                        -> coffee 0/4
        accrue m3 COFFEE:1200x4 id=c                    -> 12, coffee 4/4 held by watch
        reverse c                                       -> -12
        cards m3                                        -> coffee 0/4
    "

    what_is_held_is_held_with_what_its_card_gave(Setup::default(), [cards(&[COFFEE, WATCH])]) "
        accrue m1 COFFEE:400x4 id=a                     -> 54, coffee 0/4 full held by watch
        reject a                                        -> -54
        cards m1                                        -> coffee 0/4
        clock +1d                                       -> moved
        accrue m1 COFFEE:300x3                          -> 3, coffee 3/4
    "

    a_card_that_is_not_full_when_its_window_ends_is_lost(
        Setup::default(), [cards(&[&of_a_day()])]
    ) "
        accrue m1 COFFEE:900x3 id=a                     -> 9, coffee 3/4
        clock +1d                                       -> moved
        cards m1                                        -> coffee 0/4
        accrue m1 COFFEE:300                            -> 3, coffee 1/4
        # A late receipt falls into its own day.
        accrue m1 COFFEE:300 printed=-1d id=b           -> 53, coffee 0/4 full
        accrue m1 COFFEE:300 printed=-1d                -> 3, coffee 1/4
        reverse a 0x2                                   -> -6
        accrue m1 COFFEE:300 printed=-1d                -> 3, coffee 0/4
        reverse b                                       -> -53
        accrue m1 COFFEE:300 printed=-1d                -> 53, coffee 0/4 full
        cards m1                                        -> coffee 1/4
    "

    a_reward_is_given_once_though_the_late_limit_is_lowered(
        Setup::default(), [cards(&[&of_a_day()]), ("second", programs::program("late_limit_days = 1", "", &of_a_day()))]
    ) "
        accrue m1 COFFEE:900x3                          -> 9, coffee 3/4
        publish second in 2h                            -> published
        clock +3h                                       -> moved
        accrue m1 COFFEE:300                            -> 53, coffee 0/4 full
        clock +5d                                       -> moved
        accrue m1 CAKE:300                              -> 3
        accrue m1 COFFEE:300 printed=-122h              -> 3, coffee 1/4
        accrue m1 COFFEE:900x3 printed=-122h            -> 59, coffee 0/4 full
    "

    a_new_version_judges_with_its_own_size(
        Setup::default(), [cards(&[COFFEE]), other("count = 4", "count = 3")]
    ) "
        accrue m1 COFFEE:900x3                          -> 9, coffee 3/4
        accrue m1 COFFEE:600x2 id=a                     -> 56, coffee 1/4 full
        publish second in 2h                            -> published
        clock +3h                                       -> moved
        cards m1                                        -> coffee 2/3
        accrue m1 COFFEE:300 id=b                       -> 53, coffee 0/3 full
        # Of what an earlier version judged, that version says what is left.
        reverse a 0x1                                   -> -3
        cards m1                                        -> coffee -1/3
        reverse a                                       -> -53
        cards m1                                        -> coffee 1/3
    "

    a_version_without_the_card_leaves_it_for_the_next(
        Setup::default(), [cards(&[COFFEE]), ("plain", plain().1), other("units = 50", "units = 30")]
    ) "
        accrue m1 COFFEE:900x3 id=a                     -> 9, coffee 3/4
        publish plain in 2h                             -> published
        clock +3h                                       -> moved
        accrue m1 COFFEE:900x3                          -> 9
        cards m1                                        ->
        publish second in 2h                            -> published
        clock +3h                                       -> moved
        accrue m1 COFFEE:300 id=b                       -> 33, coffee 0/4 full
        reverse a 0x1                                   -> -3
        reverse b                                       -> -33
        cards m1                                        -> coffee 2/4
    "

    what_rounding_carries_is_beside_the_card(
        Setup::default(), [("first", cards(&[COFFEE]).1.replacen("rounding = \"floor\"", "rounding = \"carry\"", 1))]
    ) "
        accrue m1 COFFEE:250x3                          -> 2, coffee 3/4
        accrue m1 COFFEE:250 id=a                       -> 53, coffee 0/4 full
        accrue m1 COFFEE:90 id=b                        -> 0, coffee 1/4
        reverse b                                       -> 0
        reverse a                                       -> -53
        accrue m1 COFFEE:50 id=c                        -> 51, coffee 0/4 full
        reverse c                                       -> -51
        accrue m1 COFFEE:250x1                          -> 53, coffee 0/4 full
    "

    what_was_spent_of_a_card_is_owed(
        Setup::default(), [with("", &["[refunds]\nwhen_spent = \"debt\"\n", COFFEE].concat())]
    ) "
        accrue m1 COFFEE:1200x4 id=a                    -> 62, coffee 0/4 full
        redeem m1 60                                    -> -60
        reverse a 0x1                                   -> -2
        owed m1                                         -> 51
        cards m1                                        -> coffee 3/4
    "
}

/// Coffees fill a card for 50 units, teas one for a cup.
const TEA: &str = "[[vouchers]]\nname = \"cup\"\ntext = \"a free tea\"\nvalid_days = 9\n\
                   [[stamps]]\nname = \"tea\"\nof = { department = [\"TEA\"] }\ncount = 3\nvoucher = \"cup\"\n";

/// A purchase of coffees and teas as a naive reader of receipts knows it.
struct Bought {
    id: String,
    left: [i64; 2],
    /// Coffees collected, and rewards given for them, before it.
    coffees_before: (i64, i64),
    /// Units that a full card of coffees gives were given so often.
    rewards: i64,
    vouchers: i64,
}

impl Bought {
    fn is_back(&self) -> bool {
        self.left == [0, 0]
    }

    /// The rewards for the coffees that are left.
    fn rewards_left(&self) -> i64 {
        let (coffees, given) = self.coffees_before;
        if self.left[0] == 0 { 0 } else { ((coffees + self.left[0]) / 4 - given).clamp(0, self.rewards) }
    }
}

/// The counters of a card: stamps, and rewards given.
fn counted(edge: &Edge<'_>, ledger: &Ledger, card: &str) -> (i64, i64) {
    let of = |name: &str| ledger.engine.dictionary.find(name).map_or(SymbolId::EMPTY, |symbol| symbol);
    let counter = |name: &str| edge.account("m1").map_or(0, |view| view.account.counter(of(name), 0));
    (counter(card), counter(&format!("{card}.given")))
}

fn piece(line: u32) -> ReturnedLine {
    ReturnedLine { line, quantity: 1, amount_minor: 0 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is bought, used and brought back, in pieces or whole: a card holds what is not back, what it gave is given once,
    /// and when everything is back nothing is left but the vouchers that were used.
    #[test]
    fn nobody_gains_by_bringing_something_back(steps in prop::collection::vec((0..6_u8, 0..9_usize, 0..7_i64, 0..5_i64), 1..40)) {
        let (ledger, store) = Ledger::new(Setup::default());
        let ledger = ledger.with_program(&with("", &[COFFEE, TEA].concat()).1);
        let edge = ledger.edge();
        let mut all: Vec<Bought> = Vec::new();
        let (mut used, mut cakes) = (0, 0);
        for (step, (what, which, coffees, teas)) in steps.into_iter().enumerate() {
            let id = format!("t-{step}");
            let index = if all.is_empty() { 0 } else { which % all.len() };
            match what {
                0 | 1 if coffees + teas > 0 => {
                    let line = |department: &str, quantity: i64| {
                        let department = department.to_owned();
                        LineText { department, quantity, ..LineText::of(quantity * 100) }
                    };
                    let coffees_before = counted(&edge, &ledger, "coffee");
                    let lines = vec![line("COFFEE", coffees), line("TEA", teas)];
                    let answer = edge.accrue(&Accrue { lines, ..Accrue::simple("m1", &id, 0) });
                    let rewards = ((coffees_before.0 + coffees) / 4 - coffees_before.1).max(0);
                    let rewards = if coffees == 0 { 0 } else { rewards };
                    prop_assert_eq!(answer.granted(), coffees + teas + 50 * rewards);
                    let vouchers = i64::try_from(answer.decision.effects.vouchers.len()).unwrap();
                    all.push(Bought { id, left: [coffees, teas], coffees_before, rewards, vouchers });
                }
                2 | 3 if all.get(index).is_some_and(|bought| !bought.is_back()) => {
                    let bought = &mut all[index];
                    let line = usize::from(bought.left[0] == 0 || (what == 3 && bought.left[1] > 0));
                    let answer = edge.give_back(&id, &bought.id, &[piece(u32::try_from(line).unwrap())]);
                    bought.left[line] -= 1;
                    prop_assert_eq!(answer.refusal(), None);
                    prop_assert!(answer.granted() < 0 && (bought.is_back() || answer.decision.effects.vouchers.is_empty()));
                }
                4 if all.get(index).is_some_and(|bought| !bought.is_back()) => {
                    let bought = &mut all[index];
                    prop_assert_eq!(edge.reverse(&id, &bought.id).refusal(), None);
                    bought.left = [0, 0];
                }
                5 => {
                    let view = edge.account("m1");
                    let now = ledger.clock.now();
                    let open = |view: &tallystick::shard::job::AccountView| -> Option<VoucherCode> {
                        view.account.vouchers().iter().find(|voucher| voucher.is_usable(now)).map(|voucher| voucher.code)
                    };
                    if let Some(code) = view.as_deref().and_then(open) {
                        let mut basket = edge.basket(&Accrue::simple("m1", &id, 100)).expect("a basket");
                        basket.vouchers = vec![code];
                        prop_assert_eq!(edge.send_basket("m1", &id, basket).refusal(), None);
                        (used, cakes) = (used + 1, cakes + 1);
                    }
                }
                _ => ledger.clock.advance(NS_PER_SECOND * 3_600 * 7),
            }
            let left = |line: usize| all.iter().map(|bought| bought.left[line]).sum::<i64>();
            let rewards: i64 = all.iter().map(Bought::rewards_left).sum();
            prop_assert_eq!(counted(&edge, &ledger, "coffee"), (left(0), rewards));
            let (teas, given) = counted(&edge, &ledger, "tea");
            prop_assert_eq!(teas, left(1));
            let still_out: i64 = all.iter().filter(|bought| !bought.is_back()).map(|bought| bought.vouchers).sum();
            prop_assert!((still_out..=still_out + used).contains(&given), "{given} of {still_out} and {used}");
            let balance = edge.account("m1").map_or(0, |view| view.account.balance(Default::default(), ledger.clock.now()));
            prop_assert_eq!(balance, left(0) + left(1) + 50 * rewards + cakes);
        }
        for (index, bought) in all.iter().enumerate().filter(|(_, bought)| !bought.is_back()) {
            prop_assert_eq!(edge.reverse(&format!("end-{index}"), &bought.id).refusal(), None);
        }
        prop_assert_eq!(counted(&edge, &ledger, "coffee"), (0, 0));
        prop_assert_eq!(counted(&edge, &ledger, "tea"), (0, used), "a voucher that was used counts for ever");
        if let Some(view) = edge.account("m1") {
            prop_assert_eq!(view.account.balance(Default::default(), ledger.clock.now()), cakes);
            let is_used = |voucher: &&tallystick::ledger::voucher::Voucher| matches!(voucher.state, VoucherState::Used(_));
            let found = view.account.vouchers().iter().filter(is_used).count();
            prop_assert_eq!(i64::try_from(found).unwrap(), used);
        }
        assert_intact(&store, ledger.stop().digest);
    }
}

/// A basket that comes back whole, with nothing in between, leaves the account's lots, counters and cards as they were.
#[test]
fn a_whole_return_leaves_no_trace() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&cards(&[COFFEE, VISITS]).1);
    let edge = ledger.edge();
    let coffees = |id: &str, quantity: i64| Accrue {
        lines: vec![LineText { department: "COFFEE".into(), quantity, ..LineText::of(600) }],
        ..Accrue::simple("m1", id, 0)
    };
    edge.accrue(&coffees("a", 3));
    edge.accrue(&coffees("b", 3));
    let before = edge.account("m1").expect("it is there").account;
    assert_eq!(edge.accrue(&coffees("c", 9)).decision.stamps.len(), 2);
    edge.reverse("r", "c");
    let after = edge.account("m1").expect("it is there").account;
    assert_eq!((&before.lots, &before.counters, &before.profile), (&after.lots, &after.counters, &after.profile));
    assert_intact(&store, ledger.stop().digest);
}

/// An account that is full of vouchers gets none for a full card; what is due, it gets with a stamp when there is room again.
#[test]
fn a_voucher_for_which_there_is_no_room_is_due_later() {
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&cards(&[FREE]).1);
    let edge = ledger.edge();
    edge.accrue(&Accrue::simple("m1", "first", 100));
    for index in 0..limits::VOUCHERS_MAX {
        assert_eq!(operate(&edge, "issue", "m1", "cup", &format!("by-hand-{index}")).refusal(), None);
    }
    let coffees = |id: &str, quantity: i64| {
        let lines = vec![LineText { department: "COFFEE".into(), quantity, ..LineText::of(600) }];
        edge.accrue(&Accrue { lines, ..Accrue::simple("m1", id, 0) }).decision
    };
    let told = |decision: &Decision| {
        let [outcome] = decision.stamps[..] else { panic!("{decision:?}") };
        (outcome.stamps_before + outcome.counted, outcome.given_before + outcome.rewards)
    };
    assert_eq!(told(&coffees("a", 9)), (9, 0));
    ledger.clock.advance(NS_PER_DAY * (10 + limits::VOUCHER_KEPT_DAYS));
    // A basket that counts nothing gives nothing.
    assert!(edge.accrue(&Accrue::simple("m1", "later", 100)).decision.effects.vouchers.is_empty());
    let due = coffees("b", 1);
    assert_eq!((told(&due), due.effects.vouchers.len()), ((10, 2), 2));
    assert_intact(&store, ledger.stop().digest);
}

/// A new version that needs fewer stamps makes rewards due for all that were ever collected: more than any account holds.
#[test]
fn rewards_beyond_all_bounds_are_refused() {
    let cards = |count: i64, units: i64| -> String {
        let card = |number| format!("[[stamps]]\nname = \"card-{number}\"\ncount = {count}\nunits = {units}\n");
        let ladder = "[[metrics]]\nname = \"collected\"\nmeasure = \"units\"\nwindow = \"lifetime\"\n\
                      [tiers]\nmetric = \"collected\"\nlevels = [{ name = \"top\", threshold = 5 }]\n";
        (0..10).map(card).chain([ladder.to_owned()]).collect()
    };
    let (ledger, store) = Ledger::new(Setup::default());
    let ledger = ledger.with_program(&with("", &cards(1_000, 1)).1);
    let edge = ledger.edge();
    let quantity = limits::LINE_QUANTITY_MAX;
    let basket = |id: &str| {
        let lines = vec![LineText { quantity, ..LineText::of(1) }; limits::BASKET_LINES_MAX];
        Accrue { lines, ..Accrue::simple("m1", id, 0) }
    };
    for index in 0..100 {
        assert_eq!(edge.accrue(&basket(&format!("t{index}"))).refusal(), None);
    }
    let effective_at = TimestampNs(ledger.clock.now().0 + NS_PER_SECOND);
    ledger.publish(&with("", &cards(1, 90_000)).1, effective_at);
    ledger.clock.advance(2 * NS_PER_SECOND);
    let beyond = Some(Refusal::BalanceLimitExceeded);
    assert_eq!((edge.quote(&basket("q")).refusal(), edge.accrue(&basket("more")).refusal()), (beyond, beyond));
    assert_intact(&store, ledger.stop().digest);
}
