//! Programmes that several tests run, and the pieces they are made of.

/// A programme of one wallet, in UTC where the header states no time zone. `header` adds keys of `[program]`, `earn`
/// keys of `[earn]`, `more` sections.
pub fn program(header: &str, earn: &str, more: &str) -> String {
    let zone = if header.contains("time_zone") { "" } else { "time_zone = \"UTC\"" };
    format!(
        r#"[program]
name = "corner"
currency = "USD"
{zone}
{header}

[[wallets]]
name = "points"

[earn]
wallet = "points"
units = 1
per_minor = 100
rounding = "floor"
rounded_per = "basket"
stacking = "best-of"
{earn}

{more}
"#
    )
}

/// Everything at once: an exclusion, two rules, a velocity cap, a day cap, a year cap, a metric and a budget.
pub fn everything() -> String {
    program("time_zone = \"America/New_York\"", EXCLUDE, &[RULES, CAPS, METRIC, BUDGET].concat())
}

pub const EXCLUDE: &str = "exclude = { department = [\"TOBACCO\"] }\n";

pub const RULES: &str = r#"
[[rules]]
name = "own-double"
match = { brand = ["Own"] }
multiplier = "2"

[[rules]]
name = "fresh-more"
match = { department = ["FRESH"] }
multiplier = "1.25"
"#;

pub const CAPS: &str = r#"
[[caps]]
name = "visits"
measure = "earning-baskets"
window = "day"
limit = 3

[[caps]]
name = "daily"
measure = "units"
window = "day"
limit = 200

[[caps]]
name = "yearly"
measure = "units"
window = "year"
limit = 5_000
"#;

pub const METRIC: &str = r#"
[[metrics]]
name = "spent"
measure = "eligible-amount"
window = "year"
"#;

pub const BUDGET: &str = r#"
[[budgets]]
name = "opening"
units = 1_000_000
"#;
