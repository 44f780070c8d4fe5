//! Caps of line rules: which units are a rule's when rules go together, and what its caps leave of them.
//!
//! What must stay true: no rule gives one unit more than its caps allow, and the last unit is given (invariant 6); what
//! the basket would earn without the rule is never touched by its caps.

use crate::language::*;
use crate::support::Setup;

const OWN: &str = "[[rules]]\nname = \"own-double\"\nmatch = { brand = [\"Own\"] }\nmultiplier = \"2\"\n";
const TEN_A_DAY: &str = "[[rules.caps]]\nname = \"own-a-day\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 10\n";
const TWO_BASKETS: &str =
    "[[rules.caps]]\nname = \"own-baskets\"\nmeasure = \"earning-baskets\"\nwindow = \"day\"\nlimit = 2\n";
const AMOUNT: &str =
    "[[rules.caps]]\nname = \"own-amount\"\nmeasure = \"eligible-amount\"\nwindow = \"day\"\nlimit = 1000\n";
const WHOLE: &str = "[[rules.caps]]\nname = \"own-whole\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 10\n\
                     over = \"decline\"\n";
const IN_ALL: &str = "[[rules.caps]]\nname = \"own-in-all\"\nmeasure = \"units\"\nsubject = \"programme\"\n\
                      window = \"lifetime\"\nlimit = 8\n";
const OF_A_STORE: &str = "[[rules.caps]]\nname = \"own-of-store\"\nmeasure = \"units\"\nsubject = \"store\"\n\
                          window = \"day\"\nlimit = 5\n";
const TRIPLE: &str = "[[rules]]\nname = \"own-triple\"\nmatch = { brand = [\"Own\"] }\nmultiplier = \"3\"\n\
                      [[rules.caps]]\nname = \"triple-a-day\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 4\n";
const HALF_MORE: &str = "[[rules]]\nname = \"half-more\"\nmultiplier = \"1.5\"\nstacking = \"add\"\n";
const TIMES_TWO: &str = "[[rules]]\nname = \"times-two\"\nmultiplier = \"2\"\nstacking = \"multiply\"\n\
                         [[rules.caps]]\nname = \"times-a-day\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 10\n";
const ALONE: &str = "[[rules]]\nname = \"alone\"\nmatch = { department = [\"Sale\"] }\nmultiplier = \"1.5\"\n\
                     stacking = \"exclusive\"\n[[rules.caps]]\nname = \"alone-a-day\"\nmeasure = \"units\"\n\
                     window = \"day\"\nlimit = 3\n";
const BOTTLE: &str = "[[rules]]\nname = \"bottle\"\nmatch = { brand = [\"Bottle\"] }\nfixed_units = 3\nper = \"line\"\n\
                      [[rules.caps]]\nname = \"bottles\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 7\n";
const AHEAD: &str = "[[rules]]\nname = \"ahead\"\nmultiplier = \"2\"\nstacking = \"multiply\"\n\
                     [[rules.caps]]\nname = \"ahead-a-day\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 9\n\
                     over = \"decline\"\n";
const NEVER: &str = "[[rules.caps]]\nname = \"own-never\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 0\n";
const REVIEW: &str = "[[bonuses]]\nname = \"review\"\nunits = 5\non = { activity = \"review\" }\n";

tables! {
    a_rule_gives_its_last_unit_and_not_one_more(Setup::default(), [with("", &[OWN, TEN_A_DAY].concat())]) "
        accrue m1 F/Own:600                             -> 12
        counter m1 own-a-day                            -> 6
        quote m1 F/Own:600                              -> 10 of 12: own-a-day -2
        accrue m1 F/Own:600 900                         -> 19 of 21: own-a-day -2
        counter m1 own-a-day                            -> 10
        # A rule whose cap is used up does not count any more, and says so.
        accrue m1 F/Own:600 900                         -> 15: own-a-day used up
        accrue m1 600                                   -> 6
        accrue m2 F/Own:1100                            -> 21 of 22: own-a-day -1
        clock +12h                                      -> moved
        accrue m1 F/Own:600                             -> 12
        counter m1 own-a-day                            -> 6
        totals m1 -> baskets 5 refused 0 reversals 0 granted 64 reversed 0 clipped 2
    "

    a_rule_s_units_are_what_the_basket_earns_by_it(Setup::default(), [with("", &[OWN, TEN_A_DAY].concat())]) "
        # Rounded once: 1.50 is one unit, with the rule and without it.
        accrue m1 F/Own:50 50                           -> 1
        counter m1 own-a-day                            -> 0
        accrue m1 F/Own:50                              -> 1
        counter m1 own-a-day                            -> 1
        accrue m1 F/Own:1050                            -> 19 of 21: own-a-day -2
        counter m1 own-a-day                            -> 10
    "

    rules_that_add_and_multiply_share_no_unit(
        Setup::default(), [with("", &[OWN, TEN_A_DAY, HALF_MORE, TIMES_TWO].concat())]
    ) "
        # (2 + 0.5) x 2 x 10. Without the first rule 30, without the last as well 15.
        accrue m1 F/Own:1000                            -> 35 of 50: own-a-day -10, times-a-day -5
        counter m1 own-a-day                            -> 10
        counter m1 times-a-day                          -> 10
        accrue m1 F/Own:1000                            -> 15: own-a-day used up, times-a-day used up
        # Of a single line nothing is the first rule's: (1 + 0.5) x 2 x 4.
        accrue m2 400                                   -> 12
        counter m2 times-a-day                          -> 6
        counter m2 own-a-day                            -> 0
        # 20 by the first rule's, of which 10 stay; 4 of the 15 of the last.
        accrue m2 F/Own:1000                            -> 29 of 50: own-a-day -10, times-a-day -11
    "

    where_the_best_rule_is_used_up_the_next_counts(
        Setup::default(), [with("", &[OWN, TEN_A_DAY, TRIPLE].concat())]
    ) "
        accrue m1 F/Own:200                             -> 6
        counter m1 triple-a-day                         -> 4
        counter m1 own-a-day                            -> 0
        accrue m1 F/Own:700                             -> 14: triple-a-day used up
        counter m1 own-a-day                            -> 7
        accrue m1 F/Own:700                             -> 10 of 14: triple-a-day used up, own-a-day -4
        accrue m1 F/Own:700                             -> 7: triple-a-day used up, own-a-day used up
        # In the basket that reaches a cap nothing takes the rule's place.
        accrue m2 F/Own:300                             -> 7 of 9: triple-a-day -2
        counter m2 own-a-day                            -> 0
    "

    an_exclusive_rule_gives_way_when_it_is_used_up(
        Setup::default(), [with("", &[OWN, TEN_A_DAY, ALONE].concat())]
    ) "
        accrue m1 Sale:400                              -> 6
        accrue m1 Sale:400                              -> 5 of 6: alone-a-day -1
        accrue m1 Sale/Own:400                          -> 8: alone-a-day used up
        counter m1 own-a-day                            -> 4
        # Alone it gives less than the other: nothing of it is the rule's.
        accrue m2 Sale/Own:400                          -> 6
        counter m2 alone-a-day                          -> 2
        counter m2 own-a-day                            -> 0
    "

    fixed_units_are_a_rule_s_too(Setup::default(), [with("", BOTTLE)]) "
        accrue m1 F/Bottle:100 F/Bottle:100             -> 8
        accrue m1 F/Bottle:100 F/Bottle:100             -> 3 of 8: bottles -5
        accrue m1 F/Bottle:100                          -> 1: bottles used up
    "

    a_rule_counts_in_so_many_baskets(Setup::default(), [with("", &[OWN, TWO_BASKETS].concat())]) "
        accrue m1 F/Own:100                             -> 2
        # It gives nothing: that is no basket of the rule.
        accrue m1 F/Own:40                              -> 0
        accrue m1 500                                   -> 5
        accrue m1 F/Own:100 id=a                        -> 2
        accrue m1 F/Own:100                             -> 1: own-baskets used up
        reverse a                                       -> -2
        accrue m1 F/Own:100                             -> 2
        counter m1 own-baskets                          -> 2
    "

    a_rule_counts_for_so_much_of_its_lines(Setup::default(), [with("", &[OWN, AMOUNT].concat())]) "
        accrue m1 F/Own:600 5000                        -> 62
        counter m1 own-amount                           -> 600
        accrue m1 F/Own:500                             -> 5: own-amount used up
        accrue m1 F/Own:400                             -> 8
        counter m1 own-amount                           -> 1000
    "

    a_rule_s_cap_that_declines_lets_it_count_whole_or_not(Setup::default(), [with("", &[OWN, WHOLE].concat())]) "
        accrue m1 F/Own:600                             -> 12
        accrue m1 F/Own:500                             -> 5: own-whole used up
        accrue m1 F/Own:400                             -> 8
        counter m1 own-whole                            -> 10
    "

    a_rule_is_not_declined_for_what_it_gives_beside_one_that_is_used_up(
        Setup::default(), [with("", &[AHEAD, OWN, NEVER].concat())]
    ) "
        # Together 20, of which 10 would be the first rule's; without the second it gives 5.
        accrue m1 F/Own:500                             -> 10: own-never used up
        counter m1 ahead-a-day                          -> 5
    "

    nor_does_it_matter_which_of_them_comes_first_in_the_file(
        Setup::default(), [with("", &[OWN, NEVER, AHEAD].concat())]
    ) "
        accrue m1 F/Own:500                             -> 10: own-never used up
        counter m1 ahead-a-day                          -> 5
    "

    of_rules_that_give_too_much_together_one_is_left_out_at_a_time(
        Setup::default(), [with("", &[AHEAD, OWN, WHOLE].concat())]
    ) "
        accrue m1 F/Own:1000                            -> 20: ahead-a-day used up
        counter m1 own-whole                            -> 10
    "

    in_whichever_order_they_come(Setup::default(), [with("", &[OWN, WHOLE, AHEAD].concat())]) "
        accrue m1 F/Own:1000                            -> 20: ahead-a-day used up
        counter m1 own-whole                            -> 10
    "

    a_rule_has_a_total_over_all_accounts(Setup::default(), [with("", &[OWN, IN_ALL, TEN_A_DAY, REVIEW].concat())]) "
        accrue m1 F/Own:500 id=a                        -> 10
        used own-in-all                                 -> 5
        # What an activity earns is no rule's.
        act m2 review                                   -> 5 (review 5)
        accrue m2 F/Own:500                             -> 8 of 10: own-in-all -2
        used own-in-all                                 -> 8
        accrue m3 F/Own:500                             -> 5: own-in-all used up
        reverse a                                       -> -10
        used own-in-all                                 -> 3
        accrue m3 F/Own:300                             -> 6
        counter m1 own-a-day                            -> 0
        counter m2 own-a-day                            -> 3
    "

    a_rule_s_cap_of_a_store_is_the_store_s(Setup::default(), [with("", &[OWN, OF_A_STORE].concat())]) "
        accrue m1 F/Own:300                             -> 6
        accrue m2 F/Own:300                             -> 5 of 6: own-of-store -1
        accrue m2 F/Own:300 store=s2                    -> 6
    "

    what_other_bounds_withhold_is_the_rule_s_last(
        Setup::default(), [with("", &[OWN, TEN_A_DAY, YEARLY, OPENING].concat())]
    ) "
        accrue m1 F/Own:1200                            -> 22 of 24: own-a-day -2
        clock +1d                                       -> moved
        # Of 12 units the budget leaves three, and they are the rule's.
        accrue m1 F/Own:600                             -> 3 of 12: yearly -4, opening -5
        counter m1 own-a-day                            -> 3
        accrue m1 F/Own:600                             -> 0 of 12: yearly -7, opening -5
        counter m1 own-a-day                            -> 3
    "

    a_denied_basket_uses_no_rule_up(Setup::default(), [with("", &[OWN, TEN_A_DAY, VISITS].concat())]) "
        accrue m1 100                                   -> 1
        accrue m1 100                                   -> 1
        accrue m1 F/Own:1500                            -> 0 of 30: over visits
        counter m1 own-a-day                            -> 0
        totals m1 -> baskets 3 refused 1 reversals 0 granted 2 reversed 0 clipped 0
    "
}
