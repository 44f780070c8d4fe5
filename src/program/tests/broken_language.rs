//! The language of conditions, bonuses, levels and stacking: files broken in one place each.

use super::broken::{Row, broken};
use super::*;

/// A file with every construct and no problem; the rows below break it in one place each.
pub(super) const FULL: &str = include_str!("full.toml");

#[test]
fn the_full_file_is_good() {
    assert_eq!(shown(FULL), "");
}

#[test]
fn broken_constructs_show_what_is_wrong() {
    for row in ROWS {
        broken(FULL, row);
    }
}

pub(super) const ROWS: &[Row] = &[
    (
        "multiplier_max = \"12\"",
        "multiplier_max = \"0.5\"",
        "5:18: error: `multiplier_max` must be at least \"1\": that is what the base rate multiplies by",
    ),
    (
        "multiplier_max = \"12\"",
        "multiplier_max = 12",
        "5:18: error: `multiplier_max` must be a string, not a whole number\n  hint: write multiplier_max = \"12\"",
    ),
    (
        "multiplier_max = \"12\"",
        "multiplier_max = \"6\"",
        "39:8: error: rule `produce-wednesday` can bring a line to 10.5 times the rate, more than the 6 of `multiplier_max`\n  hint: together with others: `produce-wednesday`, `summer`, `own-extra`, level `gold`",
    ),
    (
        "typical_basket_minor = 3_500\n",
        "",
        "6:22: error: `first_reward_units` says nothing without `typical_basket_minor`\n  hint: state an ordinary basket in minor units, for example typical_basket_minor = 3_500",
    ),
    (
        "first_reward_units = 100",
        "first_reward_unit = 100",
        "7:1: error: [program] has no key `first_reward_unit`\n  hint: did you mean `first_reward_units`?",
    ),
    (
        "expiry = { after_days = 60 }",
        "expiry = { after_days = 0 }",
        "18:25: error: `after_days` is 0, but must be from 1 to 36_525",
    ),
    (
        "expiry = { after_days = 60 }",
        "expiry = { days = 60 }",
        "18:10: error: `expiry` must state exactly one of three keys, not 0\n  hint: after_days = 60, inactive_days = 365 or each_year_on = \"12-31\"\n18:12: error: `expiry` has no key `days`\n  hint: what it may have: after_days, inactive_days, each_year_on",
    ),
    (
        "expiry = { after_days = 60 }",
        "expiry = \"nevr\"",
        "18:10: error: `expiry` must be \"never\" or a table, not \"nevr\"\n  hint: write expiry = \"never\" or, for example, expiry = { after_days = 60 }",
    ),
    ("expiry = { after_days = 60 }", "expiry = 60", "18:10: error: `expiry` must be a table, not a whole number"),
    (
        "window = \"year\"",
        "window = \"weak\"",
        "23:10: error: `window` must be one of \"hour\", \"day\", \"week\", \"month\", \"year\", \"anniversary\", \"lifetime\", not \"weak\"\n  hint: did you mean \"week\"?",
    ),
    (
        "window = \"year\"",
        "window = \"lifetme\"",
        "23:10: error: `window` must be one of \"hour\", \"day\", \"week\", \"month\", \"year\", \"anniversary\", \"lifetime\", not \"lifetme\"\n  hint: did you mean \"lifetime\"?",
    ),
    (
        "metric = \"spent\"",
        "metric = \"spend\"",
        "26:10: error: there is no metric \"spend\"\n  hint: did you mean \"spent\"?",
    ),
    (
        "metric = \"spent\"",
        "metric = \"daily\"",
        "26:10: error: there is no metric \"daily\"\n  hint: the metrics of this file: spent",
    ),
    ("metric = \"spent\"\n", "", "25:1: error: [tiers] lacks `metric`"),
    (
        "threshold = 60_000",
        "threshold = 20_000",
        "35:13: error: level `gold` begins at 20_000, not above level `silver` at 20_000\n  hint: write the levels from the lowest to the highest",
    ),
    (
        "threshold = 60_000\nmultiplier = \"1.5\"",
        "threshold = 60_000\nmultiplier = \"1.2\"",
        "34:8: warning: level `gold` multiplies by less than level `silver` below it",
    ),
    ("threshold = 20_000\n", "", "28:1: error: [[tiers.levels]] lacks `threshold`"),
    ("name = \"gold\"", "name = \"silver\"", "34:8: error: the name `silver` is taken by the level on line 29"),
    (
        "name = \"gold\"",
        "name = \"none\"",
        "34:8: error: no level may be called \"none\": that means accounts below the first",
    ),
    (
        "threshold = 20_000",
        "threshold = 0",
        "30:13: error: `threshold` is 0, but must be from 1 to 1_000_000_000_000_000_000",
    ),
    (
        "stacking = \"multiply\"",
        "stacking = \"multipy\"",
        "47:12: error: `stacking` must be one of \"best-of\", \"add\", \"multiply\", \"exclusive\", not \"multipy\"\n  hint: did you mean \"multiply\"?",
    ),
    (
        "stacking = \"multiply\"",
        "stacking = \"multiply\"\npriority = 2",
        "48:12: error: `priority` is for exclusive rules alone\n  hint: leave it out, or write stacking = \"exclusive\"",
    ),
    (
        "priority = 1",
        "priority = 9_000_000",
        "62:12: error: `priority` is 9_000_000, but must be from -1_000_000 to 1_000_000",
    ),
    (
        "per = \"piece\"",
        "per = \"peice\"",
        "68:7: error: `per` must be one of \"line\", \"piece\", not \"peice\"\n  hint: did you mean \"piece\"?",
    ),
    (
        "per = \"piece\"\n",
        "",
        "64:1: error: [[rules]] states `fixed_units` without `per`\n  hint: per = \"line\" counts once for a line, per = \"piece\" once for each piece of it",
    ),
    (
        "per = \"piece\"",
        "per = \"piece\"\nstacking = \"multiply\"",
        "69:12: error: fixed units are always added\n  hint: leave `stacking` out, or write stacking = \"add\"",
    ),
    ("fixed_units = 3", "fixed_units = 0", "67:15: error: `fixed_units` is 0, but must be from 1 to 1_000_000"),
    (
        "fixed_units = 3",
        "fixed_units = 3\nmultiplier = \"2\"",
        "64:1: error: a rule states `multiplier` or `fixed_units`, not both\n  hint: to double, write multiplier = \"2\"; for units beside what the amount earns, fixed_units = 10",
    ),
    (
        "multiplier = \"3\"",
        "multiplier = \"3\"\nper = \"line\"",
        "42:7: error: `per` is for `fixed_units` alone\n  hint: leave it out",
    ),
    (
        "multiplier = \"2\"\nstacking = \"multiply\"",
        "multiplier = \"1\"\nstacking = \"multiply\"",
        "46:14: error: rule `summer` has no effect: it multiplies by one\n  hint: remove it or state another multiplier",
    ),
    (
        "weekdays = [\"wednesday\"]",
        "weekdays = [\"wensday\"]",
        "42:22: error: `weekdays` lists some of \"monday\", \"tuesday\", \"wednesday\", \"thursday\", \"friday\", \"saturday\", \"sunday\", not \"wensday\"\n  hint: did you mean \"wednesday\"?",
    ),
    (
        "weekdays = [\"wednesday\"]",
        "weekdays = \"wednesday\"",
        "42:21: error: `weekdays` must be a list of strings, not a string\n  hint: write weekdays = [\"wednesday\"]",
    ),
    (
        "weekdays = [\"wednesday\"]",
        "weekday = [\"wednesday\"]",
        "42:10: error: `when` has no key `weekday`\n  hint: did you mean `weekdays`?",
    ),
    (
        "hours = [\"09:00-12:00\"]",
        "hours = [\"9-12\"]",
        "69:19: error: \"9-12\" is not a time from which to which\n  hint: write for example \"09:00-17:30\": from nine until before half past five; the end may be 24:00",
    ),
    (
        "hours = [\"09:00-12:00\"]",
        "hours = [\"22:00-02:00\"]",
        "69:19: error: \"22:00-02:00\" ends before it begins\n  hint: over midnight, write two: [\"22:00-24:00\", \"00:00-02:00\"]",
    ),
    (
        "hours = [\"09:00-12:00\"]",
        "hours = [\"12:00-12:00\"]",
        "69:19: error: \"12:00-12:00\" is not a time from which to which\n  hint: write for example \"09:00-17:30\": from nine until before half past five; the end may be 24:00",
    ),
    ("hours = [\"09:00-12:00\"]", "hours = []", "69:18: error: `hours` is an empty list"),
    (
        "until = 2017-12-31",
        "until = 2017-02-28",
        "42:63: error: rule `produce-wednesday` never counts: it ends on 2017-02-28, before it begins on 2017-03-01",
    ),
    (
        "from = 2017-03-01, until = 2017-12-31",
        "from = 2017-03-02, until = 2017-03-07",
        "42:43: error: rule `produce-wednesday` never counts: from 2017-03-02 to 2017-03-07 there is none of its days of the week",
    ),
    (
        "tiers = [\"none\", \"silver\"]",
        "tiers = [\"none\", \"sliver\"]",
        "55:27: error: there is no level \"sliver\"\n  hint: did you mean \"silver\"?",
    ),
    (
        "tiers = [\"none\", \"silver\"]",
        "tiers = [\"platinum\"]",
        "55:19: error: there is no level \"platinum\"\n  hint: the levels of this file: silver, gold",
    ),
    (
        "when = { tiers = [\"none\", \"silver\"] }",
        "when = {}",
        "55:8: error: `when` states no condition\n  hint: leave it out, or write for example when = { weekdays = [\"monday\"] }",
    ),
    (
        "not_segments = [\"staff\"]",
        "not_segments = [\"staff\", \"members\"]",
        "48:98: error: segment \"members\" is in `segments` and in `not_segments` of rule `summer`",
    ),
    ("segments = [\"members\"]", "segments = [\"\"]", "48:61: error: `segments` is empty"),
    ("stores = [\"s1\"]", "stores = [\"s1\", \"s1\"]", "69:51: warning: \"s1\" is listed twice"),
    (
        "eligible_minor_min = 1_000",
        "eligible_minor_min = 0",
        "69:73: error: `eligible_minor_min` is 0, but must be from 1 to 1_000_000_000_000_000_000",
    ),
    ("nth_basket = 1,", "nth_basket = 0,", "74:23: error: `nth_basket` is 0, but must be from 1 to 1_000_000_000"),
    (
        "nth_basket = 1,",
        "nth_basket = 3, every_nth_basket = 2,",
        "74:23: error: bonus `welcome` never counts: basket 3 is not one of every 2",
    ),
    (
        "nth_basket = 1,",
        "every_nth_basket = 1,",
        "74:29: error: `every_nth_basket` is 1, but must be from 2 to 1_000_000_000",
    ),
    ("units = 50\n", "", "71:1: error: [[bonuses]] lacks `units`"),
    ("limit = { times = 1, per = \"lifetime\" }", "limit = { times = 1 }", "75:9: error: `limit` lacks `per`"),
    (
        "limit = { times = 1, per = \"lifetime\" }",
        "limit = { times = 1, per = \"live\" }",
        "75:28: error: `per` must be one of \"hour\", \"day\", \"week\", \"month\", \"year\", \"lifetime\", not \"live\"",
    ),
    (
        "limit = { times = 1, per = \"lifetime\" }",
        "limit = { times = 0, per = \"day\" }",
        "75:19: error: `times` is 0, but must be from 1 to 1_000_000_000",
    ),
    (
        "on = { activity = \"review\" }",
        "on = \"activity\"",
        "80:6: error: `on` must be \"basket\" or a table, not \"activity\"\n  hint: write on = \"basket\" or, for example, on = { activity = \"review\" }",
    ),
    (
        "on = { activity = \"review\" }",
        "on = { activty = \"review\" }",
        "80:6: error: `on` lacks `activity`\n80:8: error: `on` has no key `activty`\n  hint: did you mean `activity`?",
    ),
    (
        "on = { activity = \"review\" }",
        "on = { activity = \"review\" }\nwhen = { stores = [\"s1\"], eligible_minor_min = 5 }",
        "81:20: error: bonus `review` never counts: an activity has nothing that `stores` could be compared with\n  hint: such a condition is for bonuses on baskets\n81:48: error: bonus `review` never counts: an activity has nothing that `eligible_minor_min` could be compared with\n  hint: such a condition is for bonuses on baskets",
    ),
    (
        "name = \"review\"\nunits = 5",
        "name = \"summer\"\nunits = 5",
        "78:8: error: the name `summer` is taken by the rule on line 45\n102:12: error: there is no rule, bonus or stamp card \"review\"",
    ),
    (
        "name = \"review\"\nunits = 5",
        "name = \"spent\"\nunits = 5",
        "78:8: error: the name `spent` is taken by the metric on line 21\n102:12: error: there is no rule, bonus or stamp card \"review\"",
    ),
    (
        "limit = 200",
        "limit = 20",
        "87:9: warning: cap `daily` of 20 is below bonus `welcome` of 50 units, which it always clips\n  hint: raise the limit to 50 at least, or have bonus `welcome` give less",
    ),
    (
        "units = 50",
        "units = 1_000_000_000_000_000_000",
        "79:9: error: the bonuses together could come to more than 1_000_000_000_000_000_000 units\n  hint: no balance may exceed that number\n87:9: warning: cap `daily` of 200 is below bonus `welcome` of 1_000_000_000_000_000_000 units, which it always clips\n  hint: raise the limit to 1_000_000_000_000_000_000 at least, or have bonus `welcome` give less",
    ),
    (
        "[[bonuses]]",
        "[[rules]]\nname = \"sale\"\nmatch = { category = [\"sale\", \"clearance\"] }\nmultiplier = \"0.5\"\nstacking = \"exclusive\"\npriority = 1\n\n[[bonuses]]",
        "73:31: error: exclusive rules `sale` and `clearance` on line 58 match \"clearance\" with the same priority and multiplier\n  hint: state another priority in one of them, or conditions that cannot hold together",
    ),
    (
        "[[bonuses]]",
        "[[rules]]\nname = \"all\"\nmultiplier = \"0.5\"\nstacking = \"exclusive\"\npriority = 1\n\n[[bonuses]]",
        "72:8: error: exclusive rules `all` and `clearance` on line 58 match the same lines with the same priority and multiplier\n  hint: state another priority in one of them, or conditions that cannot hold together",
    ),
    (
        "[[bonuses]]",
        "[[rules]]\nname = \"always\"\nmultiplier = \"4\"\n\n[[bonuses]]",
        "40:25: warning: rule `always` on line 72 matches department \"PRODUCE\" too, and counts because it has the larger multiplier\n  hint: rule `produce-wednesday` never counts: best-of takes another for all its values\n72:8: error: rule `always` can bring a line to 13.5 times the rate, more than the 12 of `multiplier_max`\n  hint: together with others: `summer`, `own-extra`, `always`, level `gold`",
    ),
    (
        "[[bonuses]]",
        "[[rules]]\nname = \"a\"\nmultiplier = \"2.5\"\n\n[[rules]]\nname = \"b\"\nmultiplier = \"2\"\nwhen = { channels = [\"app\"] }\n\n[[bonuses]]",
        "76:8: warning: rule `b` never counts: rule `a` on line 72 matches every line too, and counts because it has the larger multiplier",
    ),
    (
        "per = \"piece\"",
        "per = \"piece\"\n\n[[rules]]\nname = \"flood\"\nfixed_units = 1_000_000\nper = \"piece\"",
        "71:8: error: arithmetic that could overflow: with `produce-wednesday`, `summer`, `own-extra`, `bottle`, `flood`, level `gold` together one basket could earn more than 1_000_000_000_000_000_000 units\n  hint: lower the multipliers, the fixed units or the rate in [earn], or have fewer rules that multiply\n92:9: warning: cap `daily` of 200 is below rule `flood` of 1_000_000 units, which it always clips\n  hint: raise the limit to 1_000_000 at least, or have rule `flood` give less",
    ),
    (
        "[[bonuses]]",
        "[[rules]]\nname = \"m0\"\nmultiplier = \"2\"\nstacking = \"multiply\"\n\n[[rules]]\nname = \"m1\"\nmultiplier = \"2\"\nstacking = \"multiply\"\n\n[[rules]]\nname = \"m2\"\nmultiplier = \"2\"\nstacking = \"multiply\"\n\n[[rules]]\nname = \"m3\"\nmultiplier = \"2\"\nstacking = \"multiply\"\n\n[[rules]]\nname = \"m4\"\nmultiplier = \"2\"\nstacking = \"multiply\"\n\n[[rules]]\nname = \"m5\"\nmultiplier = \"2\"\nstacking = \"multiply\"\n\n[[rules]]\nname = \"m6\"\nmultiplier = \"2\"\nstacking = \"multiply\"\n\n[[bonuses]]",
        "39:8: error: arithmetic that could overflow: with `produce-wednesday`, `summer`, `own-extra`, `bottle`, `m0`, `m1`, `m2`, `m3`, 3 more rules, level `gold` together the exact sum of one basket could need more than 128 bits\n  hint: lower the multipliers, the fixed units or the rate in [earn], or have fewer rules that multiply",
    ),
    (
        "units = 87\n",
        "units = 80\n",
        "95:9: error: expectation \"produce on a Wednesday, in the app, by a silver member\" does not hold: the basket earns 87, not 80\n  hint: line 1: 1_000 minor units, rule `produce-wednesday`; level `silver`; bonus `welcome`: 50",
    ),
    (
        "because = [\"welcome\", \"produce-wednesday\"]",
        "because = [\"welcome\"]",
        "96:11: error: expectation \"produce on a Wednesday, in the app, by a silver member\" does not hold: what counts is produce-wednesday, welcome, not welcome\n  hint: line 1: 1_000 minor units, rule `produce-wednesday`; level `silver`; bonus `welcome`: 50",
    ),
    (
        "because = [\"welcome\", \"produce-wednesday\"]",
        "because = [\"welcme\"]",
        "96:12: error: there is no rule, bonus or stamp card \"welcme\"\n  hint: did you mean \"welcome\"?",
    ),
    (
        "because = [\"review\"]",
        "because = []",
        "102:11: error: expectation \"a review\" does not hold: what counts is review, not nothing\n  hint: bonus `review`: 5",
    ),
    (
        "tier = \"silver\"",
        "tier = \"sliver\"",
        "94:8: error: there is no level \"sliver\"\n  hint: did you mean \"silver\"?",
    ),
    (
        "at = 2017-03-01T09:00:00",
        "at = 2017-03-01",
        "92:6: error: `at` must be a local time\n  hint: write it without quotes and offset: at = 2026-06-01T12:00:00",
    ),
    (
        "at = 2017-03-01T09:00:00",
        "at = 2017-03-01T09:00:00Z",
        "92:6: error: `at` must be a local time\n  hint: write it without quotes and offset: at = 2026-06-01T12:00:00",
    ),
    (
        "channel = \"app\"",
        "channel = \"apps\"",
        "93:11: warning: no condition and no bonus names the channel \"apps\"\n  hint: did you mean \"app\"?\n95:9: error: expectation \"produce on a Wednesday, in the app, by a silver member\" does not hold: the basket earns 37, not 87\n  hint: line 1: 1_000 minor units, rule `produce-wednesday`; level `silver`\n96:11: error: expectation \"produce on a Wednesday, in the app, by a silver member\" does not hold: what counts is produce-wednesday, not produce-wednesday, welcome\n  hint: line 1: 1_000 minor units, rule `produce-wednesday`; level `silver`",
    ),
    (
        "activity = \"review\"\nunits",
        "activity = \"reviews\"\nunits",
        "100:12: warning: no condition and no bonus names the activity \"reviews\"\n  hint: did you mean \"review\"?\n101:9: error: expectation \"a review\" does not hold: the activity earns 0, not 5\n  hint: no bonus counts\n102:11: error: expectation \"a review\" does not hold: what counts is nothing, not review\n  hint: no bonus counts",
    ),
    (
        "activity = \"review\"\nunits",
        "activity = \"review\"\nstore = \"s1\"\nunits",
        "101:9: error: an activity has no `store`",
    ),
    (
        "activity = \"review\"\nunits",
        "activity = \"review\"\nlines = [{ amount_minor = 1 }]\nunits",
        "98:1: error: an expectation states `lines` or `activity`, not both\n  hint: lines = [{ amount_minor = 1_000 }] is a basket, activity = \"review\" something else done",
    ),
    (
        "activity = \"review\"\nunits",
        "units",
        "98:1: error: [[expect]] lacks `lines`\n  hint: lines = [{ amount_minor = 1_000 }] is a basket, activity = \"review\" something else done",
    ),
    ("at = 2017-03-01T09:00:00", "at = 2500-03-01T09:00:00", "92:6: error: 2500-03-01T09:00:00 is too far from today"),
    (
        "window = \"month\"",
        "window = \"month\"\nsubject = \"shop\"",
        "87:11: error: `subject` must be one of \"account\", \"member\", \"store\", \"terminal\", \"cashier\", \"partner\", \"programme\", not \"shop\"",
    ),
    (
        "window = \"month\"",
        "window = \"month\"\nsubject = \"cashiers\"",
        "87:11: error: `subject` must be one of \"account\", \"member\", \"store\", \"terminal\", \"cashier\", \"partner\", \"programme\", not \"cashiers\"\n  hint: did you mean \"cashier\"?",
    ),
    (
        "window = \"month\"",
        "window = \"month\"\nsubject = \"store\"\nrolling = 0",
        "88:11: error: `rolling` is 0, but must be from 1 to 60",
    ),
    (
        "window = \"month\"",
        "window = \"lifetime\"\nrolling = 3",
        "87:11: error: a lifetime is one window: nothing can be taken together with it\n  hint: leave `rolling` out",
    ),
    (
        "window = \"month\"",
        "window = \"month\"\nrolling = 61",
        "87:11: error: `rolling` is 61, but must be from 1 to 60",
    ),
    (
        "window = \"month\"",
        "window = \"month\"\nover = \"deny\"",
        "87:8: error: `over` must be one of \"clip\", \"decline\", \"hold\", not \"deny\"",
    ),
    (
        "measure = \"units\"\nwindow = \"month\"",
        "measure = \"earning-baskets\"\nwindow = \"month\"\nover = \"clip\"",
        "87:8: error: only a cap on units can clip: any other lets a basket through, declines it or holds it\n  hint: leave it out, or write over = \"decline\" or \"hold\"",
    ),
    (
        "limit = 200",
        "limit = 20\nover = \"decline\"",
        "87:9: warning: cap `daily` of 20 is below bonus `welcome` of 50 units, which it always declines\n  hint: raise the limit to 50 at least, or have bonus `welcome` give less",
    ),
    (
        "limit = 200",
        "limit = 20\nover = \"hold\"",
        "87:9: warning: cap `daily` of 20 is below bonus `welcome` of 50 units, which it always holds\n  hint: raise the limit to 50 at least, or have bonus `welcome` give less",
    ),
    (
        "measure = \"eligible-amount\"",
        "measure = \"eligible-amounts\"",
        "22:11: error: `measure` must be one of \"eligible-amount\", \"units\", \"baskets\", not \"eligible-amounts\"\n  hint: did you mean \"eligible-amount\"?",
    ),
    (
        "metric = \"spent\"\n",
        "metric = \"spent\"\nrolling = 0\n",
        "27:11: error: `rolling` is 0, but must be from 1 to 60",
    ),
    (
        "metric = \"spent\"\n",
        "metric = \"spent\"\nrolling = \"year\"\n",
        "27:11: error: `rolling` must be a whole number, not a string",
    ),
    (
        "window = \"year\"\n\n[tiers]\n",
        "window = \"lifetime\"\n\n[tiers]\nrolling = 2\n",
        "26:11: error: a lifetime is one window: nothing can be taken together with it\n  hint: leave `rolling` out",
    ),
    (
        "limit = { times = 3, per = \"week\" }",
        "places = 0",
        "81:10: error: `places` is 0, but must be from 1 to 1_000_000_000_000_000_000",
    ),
    (
        "limit = { times = 3, per = \"week\" }",
        "place = 100",
        "81:1: error: [[bonuses]] has no key `place`\n  hint: did you mean `places`?",
    ),
    (
        "expiry = { after_days = 60 }",
        "expiry = { after_days = 60, inactive_days = 5 }",
        "18:10: error: `expiry` must state exactly one of three keys, not 2\n  hint: after_days = 60, inactive_days = 365 or each_year_on = \"12-31\"",
    ),
    (
        "expiry = { after_days = 60 }",
        "expiry = { each_year_on = \"02-29\" }",
        "18:27: error: \"02-29\" is no day that every year has\n  hint: write month and day, for example each_year_on = \"12-31\"",
    ),
    (
        "expiry = { after_days = 60 }",
        "expiry = { after_days = 60 }\npending_days = 60",
        "19:16: error: what is pending for 60 days dies before: it lives for 60",
    ),
    (
        "rounding = \"floor\"",
        "rounding = \"carry\"\nrounded_per = \"line\"",
        "16:12: error: only what a basket leaves over can be carried to the next, not what a line does\n  hint: write rounded_per = \"basket\"",
    ),
    (
        "metric = \"spent\"\n",
        "metric = \"spent\"\nsoft_landing = \"yes\"\n",
        "27:16: error: `soft_landing` must be true or false, not a string",
    ),
    ("metric = \"spent\"\n", "metric = \"spent\"\nkeep = 61\n", "27:8: error: `keep` is 61, but must be from 0 to 60"),
    (
        "window = \"month\"",
        "window = \"anniversary\"",
        "86:10: error: `window` must be one of \"hour\", \"day\", \"week\", \"month\", \"year\", \"lifetime\", not \"anniversary\"",
    ),
    (
        "nth_basket = 1,",
        "birthday = \"year\",",
        "74:21: error: `birthday` must be one of \"day\", \"week\", \"month\", not \"year\"",
    ),
    (
        "nth_basket = 1,",
        "days_since_last_basket_min = 9, days_since_last_basket_max = 8,",
        "74:39: error: bonus `welcome` never counts: at least 9 days are never at most 8",
    ),
    (
        "nth_basket = 1,",
        "own_average = { metric = \"spent\", percent = 120 },",
        "74:35: error: \"spent\" is no metric of eligible amounts over a lifetime",
    ),
    (
        "nth_basket = 1,",
        "experiment = [\"welcome.b\"],",
        "74:24: error: there is no variant \"welcome.b\"\n  hint: a variant is named with its experiment: experiment = [\"welcome.b\"]",
    ),
    (
        "[[bonuses]]",
        "[[experiments]]\nname = \"e\"\nvariants = [{ name = \"a\", percent = 50 }, { name = \"b\", percent = 40 }]\n\n[[bonuses]]",
        "71:1: error: the variants come to 90 percent, not to 100",
    ),
    (
        "[[bonuses]]",
        "[[experiments]]\nname = \"e\"\nvariants = [{ name = \"a\", percent = 50 }, { name = \"a\", percent = 50 }]\n\n[[bonuses]]",
        "73:52: error: the name `a` is taken by the variant on line 73",
    ),
    (
        "channel = \"app\"",
        "channel = \"app\"\nbirthday = \"30.04.\"",
        "94:12: error: \"30.04.\" is no birthday\n  hint: write month and day, for example birthday = \"04-30\"",
    ),
    (
        "[[bonuses]]",
        "[redemption]\nwhen_returned = \"extend\"\n\n[[bonuses]]",
        "72:17: error: `when_returned = \"extend\"` does not say for how long\n  hint: write for how many full days behind the return: extend_days = 30",
    ),
    (
        "[[bonuses]]",
        "[redemption]\nextend_days = 3\n\n[[bonuses]]",
        "72:15: error: `extend_days` is for `when_returned = \"extend\"` alone\n  hint: leave it out, or write when_returned = \"extend\"",
    ),
    (
        "[[bonuses]]",
        "[redemption]\nwhen_returned = \"extnd\"\n\n[[bonuses]]",
        "72:17: error: `when_returned` must be one of \"as_was\", \"extend\", not \"extnd\"\n  hint: did you mean \"extend\"?",
    ),
    (
        "[[bonuses]]",
        "[[rewards]]\nname = \"mug\"\nprice = 0\n\n[[bonuses]]",
        "73:9: error: `price` is 0, but must be from 1 to 1_000_000_000_000_000_000",
    ),
    (
        "[[bonuses]]",
        "[[rewards]]\nname = \"mug\"\nprice = 5\ntier = \"gld\"\n\n[[bonuses]]",
        "74:8: error: there is no level \"gld\"\n  hint: did you mean \"gold\"?",
    ),
    (
        "[[bonuses]]",
        "[[rewards]]\nname = \"mug\"\nprice = 5\nwallet = \"starz\"\n\n[[bonuses]]",
        "74:10: error: there is no wallet \"starz\"\n  hint: the wallets of this file: points",
    ),
    (
        "[[bonuses]]",
        "[[rewards]]\nname = \"mug\"\nprice = 5\n\n[[rewards]]\nname = \"mug\"\nprice = 6\n\n[[bonuses]]",
        "76:8: error: the name `mug` is taken by the reward on line 72",
    ),
    (
        "[[bonuses]]",
        "[[rewards]]\nname = \"mug\"\nprice = 5\nfrom = 2026-06-02\nuntil = 2026-06-01\n\n[[bonuses]]",
        "75:9: error: the reward ends on 2026-06-01, before it begins on 2026-06-02",
    ),
    (
        "[[bonuses]]",
        "[[wallets]]\nname = \"tiny\"\nbalance_max = 5\n\n[[rewards]]\nname = \"mug\"\nprice = 9\nwallet = \"tiny\"\n\n[[bonuses]]",
        "77:9: error: reward `mug` costs 9, but wallet `tiny` holds at most 5\n  hint: nobody could ever have it",
    ),
    (
        "[[bonuses]]",
        "[[rewards]]\nnam = \"mug\"\nprice = 5\n\n[[bonuses]]",
        "71:1: error: [[rewards]] lacks `name`\n72:1: error: [[rewards]] has no key `nam`\n  hint: did you mean `name`?",
    ),
];
