//! Decisions in words: sentences with places for what a decision says, built in in English, and written by the programme's
//! author in any language (`[words.LANGUAGE]`).
//!
//! What must stay true: words are about decisions and never part of one; a sentence that passes the check has all its
//! places filled; in a language other than the built-in one a file that is to be published has every sentence that it can
//! show, so that no answer mixes two languages; for sentences that came after it was published the built-in ones stand.

mod shown;
mod template;

use std::collections::HashMap;

pub(super) use shown::Construct;
pub(super) use template::{Template, TemplateError};

use super::file::WalletEntry;
use super::problem::Problems;
use crate::ledger::decision::Refusal;

/// The language of the sentences that are built in.
pub const BUILT_IN: &str = "en";

/// A kind of sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sentence {
    /// A basket or an activity was granted something.
    Earned,
    /// It was granted nothing.
    EarnedNothing,
    /// A line earned at the base rate.
    Line,
    /// A line earned by rules.
    LineByRule,
    /// A line is not eligible.
    LineExcluded,
    /// The account's level counts.
    Level,
    /// A bonus was earned.
    Bonus,
    /// Stamps were counted on a card.
    Stamped,
    /// A card was full, and gave something.
    CardFull,
    /// A cap withheld points.
    Capped,
    /// A rule did not count, for its own cap was used up.
    RuleCapped,
    /// A budget withheld points.
    OverBudget,
    /// A cap denied everything.
    Denied,
    /// A cap holds what was granted until somebody has looked at it.
    Held,
    /// Points were burned.
    Redeemed,
    /// Points were burned for a reward.
    Rewarded,
    /// Points were set aside.
    Authorized,
    /// What was set aside was spent, or a part of it.
    Captured,
    /// What was set aside was given back.
    Voided,
    /// A transaction was taken back, or a part of it.
    Reversed,
    /// What was burned came back, or a part of it.
    Unburned,
    /// Money was paid in.
    ToppedUp,
    /// Money that was paid in went back to where it came from.
    Refunded,
    /// A voucher was given.
    VoucherGiven,
    /// A voucher was used.
    VoucherUsed,
    /// A voucher can be used again.
    VoucherGivenBack,
    /// A voucher was cancelled.
    VoucherCancelled,
    /// A voucher that came with what came back had been used.
    VoucherKept,
    /// What was held was released.
    Released,
    /// What was held was rejected.
    Rejected,
    /// Points that had died came back.
    Restored,
    /// An operator granted or took points.
    Adjusted,
    /// An opening balance was loaded.
    Loaded,
    /// What is known of the account changed.
    Changed,
    /// Points had died of age.
    Expired,
    /// What was taken back had been spent, and is owed.
    Owed,
    /// What was owed was taken out of what was earned.
    Collected,
    /// The command was refused.
    Refused,
    /// The next level, and what is missing to it.
    NextLevel,
    /// There is no higher level.
    HighestLevel,
    /// The balance afterwards.
    Balance,
}

/// A sentence: its key in the file, the places that it may have, and the built-in text.
struct Row(Sentence, &'static str, &'static [&'static str], &'static str);

const ROWS: [Row; 41] = [
    Row(
        Sentence::Earned,
        "earned",
        &["points", "wallet", "program", "version"],
        "{program}, version {version}, granted {points} {wallet}.",
    ),
    Row(
        Sentence::EarnedNothing,
        "earned_nothing",
        &["wallet", "program", "version"],
        "{program}, version {version}, granted no {wallet}.",
    ),
    Row(Sentence::Line, "line", &["line", "points"], "Line {line}: {points} at the base rate."),
    Row(
        Sentence::LineByRule,
        "line_by_rule",
        &["line", "points", "rule", "multiplier"],
        "Line {line}: {points} by {rule}.",
    ),
    Row(Sentence::LineExcluded, "line_excluded", &["line"], "Line {line} is not eligible."),
    Row(Sentence::Level, "level", &["level"], "It was judged at the level {level}."),
    Row(Sentence::Bonus, "bonus", &["points", "bonus"], "{points} of it for {bonus}."),
    Row(
        Sentence::Stamped,
        "stamped",
        &["stamps", "stamp_card", "on_card", "size"],
        "Stamps for {stamp_card}: {stamps}; on the card now: {on_card} of {size}.",
    ),
    Row(Sentence::CardFull, "card_full", &["stamp_card", "count"], "Full cards of {stamp_card}: {count}."),
    Row(Sentence::Capped, "capped", &["points", "cap"], "{points} more were withheld: {cap} allows no more."),
    Row(Sentence::RuleCapped, "rule_capped", &["cap", "rule"], "{rule} did not count: {cap} is used up."),
    Row(
        Sentence::OverBudget,
        "over_budget",
        &["points", "budget"],
        "{points} more were withheld: the budget {budget} is used up.",
    ),
    Row(
        Sentence::Denied,
        "denied",
        &["cap", "period", "limit"],
        "Nothing was granted: {cap} allows {limit} in {period}, and there was no room for it.",
    ),
    Row(Sentence::Held, "held", &["cap"], "It cannot be spent until it was looked at: it goes beyond {cap}."),
    Row(Sentence::Redeemed, "redeemed", &["points", "wallet"], "{points} {wallet} were spent."),
    Row(
        Sentence::Rewarded,
        "rewarded",
        &["points", "wallet", "count", "reward"],
        "{points} {wallet} were spent on {count} of {reward}.",
    ),
    Row(Sentence::Authorized, "authorized", &["points", "wallet"], "{points} {wallet} were set aside."),
    Row(
        Sentence::Captured,
        "captured",
        &["points", "wallet", "original"],
        "{points} {wallet} that {original} had set aside were spent.",
    ),
    Row(
        Sentence::Voided,
        "voided",
        &["points", "wallet", "original"],
        "{points} {wallet} that {original} had set aside were given back.",
    ),
    Row(
        Sentence::Reversed,
        "reversed",
        &["points", "wallet", "original"],
        "{points} {wallet} were taken back with the transaction {original}.",
    ),
    Row(
        Sentence::Unburned,
        "unburned",
        &["points", "wallet", "original"],
        "{points} {wallet} that {original} had spent came back.",
    ),
    Row(
        Sentence::ToppedUp,
        "topped_up",
        &["points", "wallet", "source"],
        "{points} {wallet} were paid in by {source}.",
    ),
    Row(
        Sentence::Refunded,
        "refunded",
        &["points", "wallet", "original", "source"],
        "{points} {wallet} of the top-up {original} went back to {source}.",
    ),
    Row(
        Sentence::VoucherGiven,
        "voucher_given",
        &["voucher", "code"],
        "The voucher {voucher} was given, with the code {code}.",
    ),
    Row(Sentence::VoucherUsed, "voucher_used", &["code"], "The voucher {code} was used."),
    Row(Sentence::VoucherGivenBack, "voucher_given_back", &["code"], "The voucher {code} can be used again."),
    Row(Sentence::VoucherCancelled, "voucher_cancelled", &["code"], "The voucher {code} was cancelled."),
    Row(Sentence::VoucherKept, "voucher_kept", &["code"], "The voucher {code} had been used, and stays so."),
    Row(
        Sentence::Released,
        "released",
        &["points", "wallet", "original"],
        "{points} {wallet} of the transaction {original} are held no longer.",
    ),
    Row(
        Sentence::Rejected,
        "rejected",
        &["points", "wallet", "original"],
        "{points} {wallet} of the transaction {original} were held, and were rejected.",
    ),
    Row(Sentence::Restored, "restored", &["points", "wallet"], "{points} {wallet} that had expired came back."),
    Row(
        Sentence::Adjusted,
        "adjusted",
        &["points", "wallet", "reason"],
        "A correction of {points} {wallet}: {reason}.",
    ),
    Row(Sentence::Loaded, "loaded", &["points", "wallet"], "An opening balance of {points} {wallet}."),
    Row(Sentence::Changed, "changed", &[], "What is known of the account was changed."),
    Row(Sentence::Expired, "expired", &["points", "wallet"], "{points} {wallet} had expired before."),
    Row(
        Sentence::Owed,
        "owed",
        &["points", "wallet"],
        "{points} {wallet} had been spent, and are owed to later earnings.",
    ),
    Row(Sentence::Collected, "collected", &["points", "wallet"], "{points} {wallet} of it went to what was owed."),
    Row(Sentence::Refused, "refused", &["reason"], "It was refused: {reason}"),
    Row(
        Sentence::NextLevel,
        "next_level",
        &["missing", "metric", "level"],
        "{missing} more of {metric} until the level {level}.",
    ),
    Row(Sentence::HighestLevel, "highest_level", &["level"], "{level} is the highest level."),
    Row(Sentence::Balance, "balance", &["points", "wallet"], "The balance was {points} {wallet} then."),
];

impl Sentence {
    /// All kinds, in the order of the documentation.
    pub const ALL: [Self; ROWS.len()] = {
        let mut all = [Self::Earned; ROWS.len()];
        let mut index = 0;
        while index < ROWS.len() {
            all[index] = ROWS[index].0;
            index += 1;
        }
        all
    };

    fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.0 == self).expect("each sentence has its row")
    }

    /// Its key in the file.
    #[must_use]
    pub fn key(self) -> &'static str {
        self.row().1
    }

    /// The places that it may have.
    #[must_use]
    pub fn places(self) -> &'static [&'static str] {
        self.row().2
    }

    /// The text that is built in.
    #[must_use]
    pub fn built_in(self) -> &'static str {
        self.row().3
    }
}

/// The words of one language.
#[derive(Clone, Debug, Default)]
pub(super) struct Language {
    pub(super) sentences: HashMap<Sentence, Template>,
    /// What people call rules, caps, bonuses and so on, by their names in the file.
    pub(super) names: HashMap<String, String>,
    /// Why a command was refused, by the name of the ground.
    pub(super) refusals: HashMap<String, String>,
}

/// The words of a programme file.
#[derive(Clone, Debug, Default)]
pub struct Words {
    pub(super) languages: Vec<(String, Language)>,
    /// What the programme is called.
    pub program: String,
    /// The metric of its ladder; empty without one.
    pub metric: String,
    /// Wallets, each with the decimals with which people write its units.
    pub(super) scales: Vec<(String, u32)>,
}

impl Words {
    /// The words of a file that was published: what is unfit in it counts as not there.
    #[must_use]
    pub fn of(source: &str) -> Self {
        let mut problems = Problems::new(source);
        let Some(file) = super::read(source, &mut problems) else { return Self::default() };
        let scale = |wallet: &WalletEntry| u32::try_from(wallet.scale).unwrap_or(0);
        Self {
            program: file.header.map_or_else(String::new, |header| header.name.into_inner()),
            metric: file.tiers.map_or_else(String::new, |tiers| tiers.metric.into_inner()),
            scales: file.wallets.iter().map(|wallet| (wallet.name.get_ref().clone(), scale(wallet))).collect(),
            ..file.words
        }
    }

    /// Units of a wallet as people write them, with its decimals and without grouping.
    #[must_use]
    pub fn units(&self, wallet: &str, units: i64) -> String {
        let scale = self.scale(wallet);
        decimals(i128::from(units), scale, scale)
    }

    /// With how many decimals people write the units of a wallet.
    #[must_use]
    pub fn scale(&self, wallet: &str) -> u32 {
        self.scales.iter().find(|(name, _)| name == wallet).map_or(0, |(_, scale)| *scale)
    }

    /// The words in the first of these languages that there is (`de-AT`, then `de`), or in the built-in one.
    #[must_use]
    pub fn speak<'w>(&'w self, wanted: &str) -> Speaker<'w> {
        let plain = wanted.split('-').next().unwrap_or(wanted);
        let found = [wanted, plain, BUILT_IN].into_iter().find_map(|tag| {
            let own = self.languages.iter().find(|(own, _)| own.eq_ignore_ascii_case(tag));
            let own = own.map(|(tag, language)| Speaker { tag, language: Some(language) });
            own.or_else(|| tag.eq_ignore_ascii_case(BUILT_IN).then_some(Speaker { tag: BUILT_IN, language: None }))
        });
        found.unwrap_or(Speaker { tag: BUILT_IN, language: None })
    }
}

/// The words of one language, the built-in ones where the file has none.
#[derive(Clone, Copy, Debug)]
pub struct Speaker<'w> {
    tag: &'w str,
    language: Option<&'w Language>,
}

impl Speaker<'_> {
    /// The language's tag, as the file writes it.
    #[must_use]
    pub fn tag(&self) -> &str {
        self.tag
    }

    /// A sentence with its places filled.
    ///
    /// # Panics
    /// When a place of the sentence is not filled: a fault of the caller.
    #[must_use]
    pub fn say(&self, sentence: Sentence, filled: &[(&str, String)]) -> String {
        let value = |place: &str| {
            let found = filled.iter().find(|(name, _)| *name == place);
            found.expect("each place of a sentence is filled").1.as_str()
        };
        match self.language.and_then(|language| language.sentences.get(&sentence)) {
            Some(template) => template.fill(value),
            None => Template::parse(sentence.built_in(), sentence.places()).expect("it is built in").fill(value),
        }
    }

    /// What people call something that has a name in the file.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        let own = self.language.and_then(|language| language.names.get(name));
        own.map_or_else(|| name.to_owned(), Clone::clone)
    }

    /// Why a command was refused.
    #[must_use]
    pub fn refusal(&self, refusal: Refusal) -> String {
        let own = self.language.and_then(|language| language.refusals.get(&refusal_key(refusal)));
        own.map_or_else(|| refusal.sentence().to_owned(), Clone::clone)
    }
}

/// `number / 10^scale` with a point and no grouping: what a language that writes it otherwise can do without. Zeros at the
/// end go, except for the first `kept` decimals.
#[must_use]
pub fn decimals(number: i128, scale: u32, kept: u32) -> String {
    let divisor = 10_u128.pow(scale);
    let sign = if number < 0 { "-" } else { "" };
    let (whole, part) = (number.unsigned_abs() / divisor, number.unsigned_abs() % divisor);
    let [width, kept] = [scale, kept].map(|count| usize::try_from(count).unwrap_or(0));
    let digits = if scale == 0 { String::new() } else { format!("{part:0width$}") };
    let needed = digits.trim_end_matches('0').len().max(kept);
    match digits.get(..needed) {
        Some(part) if needed > 0 => format!("{sign}{whole}.{part}"),
        _ => format!("{sign}{whole}"),
    }
}

/// The ground of a refusal as the wire names it, in small letters: `insufficient_balance`.
pub(super) fn refusal_key(refusal: Refusal) -> String {
    let mut key = String::new();
    for (index, letter) in format!("{refusal:?}").chars().enumerate() {
        if letter.is_ascii_uppercase() && index > 0 {
            key.push('_');
        }
        key.push(letter.to_ascii_lowercase());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_has_one_key_and_a_text_that_uses_its_places() {
        let mut keys: Vec<_> = Sentence::ALL.iter().map(|sentence| sentence.key()).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), Sentence::ALL.len());
        for sentence in Sentence::ALL {
            let filled: Vec<_> = sentence.places().iter().map(|place| (*place, format!("<{place}>"))).collect();
            let said = Words::default().speak("en").say(sentence, &filled);
            assert!(!said.contains(['{', '}']) && said.ends_with(['.', '>']), "{said}");
        }
    }

    #[test]
    fn grounds_are_named_as_on_the_wire() {
        assert_eq!(refusal_key(Refusal::InsufficientBalance), "insufficient_balance");
        assert_eq!(refusal_key(Refusal::ReceiptInFuture), "receipt_in_future");
    }

    #[test]
    fn numbers_are_written_with_their_decimals() {
        let rows = [
            (0, 0, 0, "0"),
            (-12_345, 0, 0, "-12345"),
            (1_250, 2, 2, "12.50"),
            (-5, 2, 2, "-0.05"),
            (2_500_000, 6, 0, "2.5"),
            (3_000_000, 6, 0, "3"),
            (1, 6, 0, "0.000001"),
        ];
        for (number, scale, kept, expected) in rows {
            assert_eq!(decimals(number, scale, kept), expected);
        }
    }

    #[test]
    fn the_nearest_language_speaks() {
        let words = Words {
            languages: ["de", "pt-BR"].map(|tag| (tag.to_owned(), Language::default())).to_vec(),
            ..Words::default()
        };
        for (wanted, spoken) in
            [("de", "de"), ("DE", "de"), ("de-AT", "de"), ("pt-br", "pt-BR"), ("pt", "en"), ("", "en"), ("en-GB", "en")]
        {
            assert_eq!(words.speak(wanted).tag(), spoken, "{wanted}");
        }
    }
}
