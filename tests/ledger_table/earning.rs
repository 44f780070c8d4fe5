//! What a basket earns before anything bounds it: sums, rounding, rules.
//!
//! What must stay true: amounts are exact and are rounded once, where the programme says.

use crate::language::*;
use crate::support::{Setup, programs};

tables! {
    a_basket_earns_what_its_lines_add_up_to(Setup::default(), [plain()]) "
        accrue m1 100                                   -> 1
        accrue m1 99                                    -> 0
        accrue m1 150 149                               -> 2
        accrue m1 0                                     -> 0
        accrue m1 1000000000000                         -> 10000000000
        balance m1                                      -> 10000000003
        totals m1 -> baskets 5 refused 0 reversals 0 granted 10000000003 reversed 0 clipped 0
    "

    rounding_down_per_line(Setup::default(), [earning("\"basket\"", "\"line\"")]) "
        accrue m1 150 149                               -> 2
        accrue m1 50 50                                 -> 0
        accrue m1 199 199 199                           -> 3
    "

    halves_up(Setup::default(), [earning("\"floor\"", "\"half-up\"")]) "
        accrue m1 49                                    -> 0
        accrue m1 50                                    -> 1
        accrue m1 149                                   -> 1
        accrue m1 150                                   -> 2
        accrue m1 75 75                                 -> 2
    "

    halves_to_the_even_neighbour(Setup::default(), [earning("\"floor\"", "\"half-even\"")]) "
        accrue m1 50                                    -> 0
        accrue m1 51                                    -> 1
        accrue m1 150                                   -> 2
        accrue m1 250                                   -> 2
        accrue m1 251                                   -> 3
    "

    halves_up_per_line(
        Setup::default(),
        [("first", plain().1.replacen("\"basket\"", "\"line\"", 1).replacen("\"floor\"", "\"half-up\"", 1))]
    ) "
        accrue m1 50 50                                 -> 2
        accrue m1 49 49 49                              -> 0
    "

    of_several_rules_the_best_counts(Setup::default(), [with(programs::EXCLUDE, programs::RULES)]) "
        accrue m1 GROCERY:400                           -> 4
        accrue m1 GROCERY/Own:400                       -> 8
        accrue m1 FRESH:400                             -> 5
        accrue m1 FRESH/Own:400                         -> 8
        accrue m1 TOBACCO:400                           -> 0
        accrue m1 TOBACCO/Own:400                       -> 0
        # 250 twice over and 99 once make 5.99.
        accrue m1 GROCERY/Own:250 GROCERY:99            -> 5
        # 1.25 times 79 and 1.25 times 1 make 1 only together.
        accrue m1 FRESH:79 FRESH:1                      -> 1
    "
}
