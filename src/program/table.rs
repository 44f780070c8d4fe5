//! Reading one TOML table key by key, with a located problem for everything that does not fit.
//!
//! This stands where a derived deserializer would: such a one stops at the first mistake, and an author wants to see
//! all of them. A getter returns `None` only where there is nothing to go on with; a value that was reported but can
//! be used for further checks is returned all the same. What must stay true: every key of the table is either asked
//! for or reported by [`TableReader::finish`]; whatever is unfit has been reported when a getter returns.

use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Finding, Problems};
use super::suggest::nearest;
use crate::ledger::types::Day;
use crate::limits::PROGRAM_NAME_BYTES_MAX;

/// A value and where it stands in the source, in bytes.
pub(super) type At<T> = Spanned<T>;

/// Reads one table.
pub(super) struct TableReader<'a, 's> {
    table: &'a DeTable<'s>,
    /// Where to report what the table lacks: its header or, inline, its braces.
    at: Range<usize>,
    /// How messages call the table, for example `[earn]`.
    noun: &'static str,
    /// The keys asked for so far: all that the table may have.
    asked: Vec<&'static str>,
    pub(super) problems: &'a mut Problems<'s>,
}

impl<'a, 's> TableReader<'a, 's> {
    pub(super) fn new(
        table: &'a DeTable<'s>,
        at: Range<usize>,
        noun: &'static str,
        problems: &'a mut Problems<'s>,
    ) -> Self {
        Self { table, at, noun, asked: Vec::new(), problems }
    }

    /// Where the table stands.
    pub(super) fn at(&self) -> &Range<usize> {
        &self.at
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether the table has no key at all.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Reports each of the keys that the table lacks.
    pub(super) fn require(&mut self, keys: &[&'static str]) {
        for key in keys.iter().filter(|key| !self.table.contains_key(**key)) {
            self.problems.push(Finding::error(&self.at, format!("{} lacks `{key}`", self.noun)));
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'a At<DeValue<'s>>> {
        self.asked.push(key);
        self.table.get(key)
    }

    /// Reports a value of another type than expected.
    fn mismatch(&mut self, key: &str, value: &At<DeValue<'s>>, expected: &str) {
        let finding =
            Finding::error(&value.span(), format!("`{key}` must be {expected}, not {}", kind(value.get_ref())));
        self.problems.push(match value.get_ref() {
            DeValue::Float(_) => finding.hint(
                "there are no fractions in this file: state an amount in minor units (150 for 1.50 USD), a multiplier \
                 as a string",
            ),
            DeValue::String(text) if expected == LIST_OF_STRINGS => finding.hint(format!("write {key} = [{text:?}]")),
            DeValue::Table(_) if expected == LIST_OF_TABLES => finding.hint(format!("write [[{key}]] above each")),
            DeValue::Array(_) if expected == TABLE => finding.hint(format!("there is only one: write [{key}]")),
            _ => finding,
        });
    }

    /// A string of a length in bytes. One of another length is reported and returned.
    pub(super) fn text(&mut self, key: &'static str, bytes: RangeInclusive<usize>) -> Option<At<String>> {
        let value = self.value(key)?;
        let DeValue::String(text) = value.get_ref() else {
            self.mismatch(key, value, "a string");
            return None;
        };
        if !bytes.contains(&text.len()) {
            self.problems.push(length_problem(key, &value.span(), text.len(), &bytes));
        }
        Some(At::new(value.span(), text.clone().into_owned()))
    }

    /// A name for machines: lower-case letters, digits, `-` and `_`. One of another form is reported and returned.
    pub(super) fn name(&mut self, key: &'static str) -> Option<At<String>> {
        let name = self.text(key, 0..=usize::MAX)?;
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        let text = name.get_ref();
        if !(1..=PROGRAM_NAME_BYTES_MAX).contains(&text.len()) || !text.chars().all(allowed) {
            self.problems.push(
                Finding::error(&name.span(), format!("{text:?} is not a name")).hint(format!(
                    "a name has 1 to {PROGRAM_NAME_BYTES_MAX} of the characters a to z, 0 to 9, - and _"
                )),
            );
        }
        Some(name)
    }

    /// A whole number. One outside the range is reported, and the nearest that is inside returned.
    pub(super) fn integer(&mut self, key: &'static str, range: RangeInclusive<i64>) -> Option<At<i64>> {
        let value = self.value(key)?;
        let DeValue::Integer(digits) = value.get_ref() else {
            self.mismatch(key, value, "a whole number");
            return None;
        };
        let number = i64::from_str_radix(digits.as_str(), digits.radix()).ok();
        if number.is_none_or(|number| !range.contains(&number)) {
            let (least, most) = (stated(*range.start()), stated(*range.end()));
            let written = self.problems.text(&value.span());
            let message = format!("`{key}` is {written}, but must be from {least} to {most}");
            self.problems.push(Finding::error(&value.span(), message));
        }
        Some(At::new(value.span(), number.unwrap_or(*range.end()).clamp(*range.start(), *range.end())))
    }

    /// A decimal number, which TOML can state exactly only as a string.
    pub(super) fn decimal_text(&mut self, key: &'static str) -> Option<At<String>> {
        match self.table.get(key).map(|value| (value.span(), value.get_ref())) {
            Some((at, value @ (DeValue::Integer(_) | DeValue::Float(_)))) => {
                self.asked.push(key);
                let finding = Finding::error(&at, format!("`{key}` must be a string, not {}", kind(value)));
                let written = self.problems.text(&at);
                self.problems.push(finding.hint(format!("write {key} = \"{written}\"")));
                None
            }
            _ => self.text(key, 0..=usize::MAX),
        }
    }

    /// One of some words, as what it means.
    pub(super) fn word<T: Copy>(&mut self, key: &'static str, words: &[(&'static str, T)]) -> Option<At<T>> {
        let text = self.text(key, 0..=usize::MAX)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| word == text.get_ref()) {
            return Some(At::new(text.span(), *meaning));
        }
        let list: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let choice = if let [only] = list.as_slice() { only.clone() } else { format!("one of {}", list.join(", ")) };
        let finding = Finding::error(&text.span(), format!("`{key}` must be {choice}, not {:?}", text.get_ref()));
        self.problems.push(did_you_mean(finding, text.get_ref(), words.iter().map(|(word, _)| *word)));
        None
    }

    /// Whether a key holds the only word that it may hold, or nothing; `otherwise` shows how the rest is written.
    pub(super) fn one_word(&mut self, key: &'static str, word: &'static str, otherwise: &str) -> bool {
        let Some(text) = self.text(key, 0..=usize::MAX) else { return !self.has(key) };
        let is_word = text.get_ref() == word;
        if !is_word {
            let message = format!("`{key}` must be \"{word}\" or a table, not {:?}", text.get_ref());
            let finding = Finding::error(&text.span(), message);
            self.problems.push(finding.hint(format!("write {key} = \"{word}\" or, for example, {otherwise}")));
        }
        is_word
    }

    /// A list of at least one of some words, as what they mean.
    pub(super) fn words<T: Copy>(&mut self, key: &'static str, words: &[(&'static str, T)]) -> Option<Vec<At<T>>> {
        let texts = self.texts(key, usize::MAX)?;
        let mut meanings = Vec::with_capacity(texts.len());
        for text in texts {
            if let Some((_, meaning)) = words.iter().find(|(word, _)| word == text.get_ref()) {
                meanings.push(At::new(text.span(), *meaning));
                continue;
            }
            let list: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            let message = format!("`{key}` lists some of {}, not {:?}", list.join(", "), text.get_ref());
            let finding = Finding::error(&text.span(), message);
            self.problems.push(did_you_mean(finding, text.get_ref(), words.iter().map(|(word, _)| *word)));
        }
        Some(meanings)
    }

    /// Whether a key holds a string rather than something else; it does not count as asked for.
    pub(super) fn is_text(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| matches!(value.get_ref(), DeValue::String(_)))
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(stated) => Some(*stated),
            _ => {
                self.mismatch(key, value, "true or false");
                None
            }
        }
    }

    /// A calendar day, written as a bare TOML date.
    pub(super) fn date(&mut self, key: &'static str) -> Option<At<Day>> {
        let value = self.value(key)?;
        let date = match value.get_ref() {
            DeValue::Datetime(stated) if stated.time.is_none() => stated.date,
            _ => None,
        };
        let Some(date) = date else {
            let finding = Finding::error(&value.span(), format!("`{key}` must be a day"));
            self.problems.push(finding.hint(format!("write it without quotes and time: {key} = 2026-06-01")));
            return None;
        };
        let day = day_of(date);
        if day.is_none() {
            self.problems.push(Finding::error(&value.span(), format!("there is no day {date}")));
        }
        day.map(|day| At::new(value.span(), day))
    }

    /// A local time, written as a TOML date and time without an offset.
    pub(super) fn local_time(&mut self, key: &'static str) -> Option<At<jiff::civil::DateTime>> {
        let value = self.value(key)?;
        let parts = match value.get_ref() {
            DeValue::Datetime(stated) if stated.offset.is_none() => stated.date.zip(stated.time),
            _ => None,
        };
        let Some((date, time)) = parts else {
            let finding = Finding::error(&value.span(), format!("`{key}` must be a local time"));
            let example = format!("write it without quotes and offset: {key} = 2026-06-01T12:00:00");
            self.problems.push(finding.hint(example));
            return None;
        };
        let civil = civil_date(date).and_then(|date| {
            let part = |number: u8| i8::try_from(number).ok();
            // A leap second is the second before it.
            let second = part(time.second.unwrap_or(0).min(59))?;
            let time = jiff::civil::Time::new(part(time.hour)?, part(time.minute)?, second, 0).ok()?;
            Some(date.to_datetime(time))
        });
        if civil.is_none() {
            self.problems.push(Finding::error(&value.span(), format!("there is no local time {date}T{time}")));
        }
        civil.map(|civil| At::new(value.span(), civil))
    }

    /// A list of at least one string, none longer than `bytes_max`.
    pub(super) fn texts(&mut self, key: &'static str, bytes_max: usize) -> Option<Vec<At<String>>> {
        self.texts_of(key, 0..=bytes_max)
    }

    /// A list of at least one string, each of a length in bytes.
    pub(super) fn texts_of(&mut self, key: &'static str, bytes: RangeInclusive<usize>) -> Option<Vec<At<String>>> {
        if let Some(value) = self.table.get(key)
            && matches!(value.get_ref(), DeValue::Array(items) if items.is_empty())
        {
            self.problems.push(Finding::error(&value.span(), format!("`{key}` is an empty list")));
        }
        self.list_of_texts(key, &bytes).map(|(_, texts)| texts)
    }

    /// A list of strings that may have none, and where it stands.
    pub(super) fn possibly_no_texts(&mut self, key: &'static str) -> Option<(Range<usize>, Vec<At<String>>)> {
        self.list_of_texts(key, &(0..=usize::MAX))
    }

    fn list_of_texts(
        &mut self,
        key: &'static str,
        bytes: &RangeInclusive<usize>,
    ) -> Option<(Range<usize>, Vec<At<String>>)> {
        let value = self.value(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            self.mismatch(key, value, LIST_OF_STRINGS);
            return None;
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            let DeValue::String(text) = item.get_ref() else {
                let message = format!("`{key}` lists strings, not {}", kind(item.get_ref()));
                self.problems.push(Finding::error(&item.span(), message));
                continue;
            };
            if !bytes.contains(&text.len()) {
                self.problems.push(length_problem(key, &item.span(), text.len(), bytes));
            }
            texts.push(At::new(item.span(), text.clone().into_owned()));
        }
        Some((value.span(), texts))
    }

    /// A list of at least one whole number, each of a range, ascending.
    pub(super) fn ascending(&mut self, key: &'static str, range: RangeInclusive<i64>, count_max: usize) -> Vec<i64> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.mismatch(key, value, "a list of whole numbers");
            return Vec::new();
        };
        if items.is_empty() || items.len() > count_max {
            let message = format!("`{key}` lists {}, but must list from 1 to {count_max}", items.len());
            self.problems.push(Finding::error(&value.span(), message));
        }
        let mut numbers = Vec::with_capacity(items.len());
        for item in items {
            let digits = if let DeValue::Integer(digits) = item.get_ref() { Some(digits) } else { None };
            let number = digits.and_then(|digits| i64::from_str_radix(digits.as_str(), digits.radix()).ok());
            let Some(number) = number.filter(|number| range.contains(number)) else {
                let (least, most) = (stated(*range.start()), stated(*range.end()));
                let message = format!("`{key}` lists whole numbers from {least} to {most}");
                self.problems.push(Finding::error(&item.span(), message));
                continue;
            };
            if numbers.last().is_some_and(|last| *last >= number) {
                let message = format!("`{key}` ascends, but {} comes after what is no less", stated(number));
                self.problems.push(Finding::error(&item.span(), message));
            }
            numbers.push(number);
        }
        numbers
    }

    /// A table within this one.
    pub(super) fn table(&mut self, key: &'static str, noun: &'static str) -> Option<TableReader<'_, 's>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(TableReader::new(table, value.span(), noun, self.problems)),
            _ => {
                self.mismatch(key, value, TABLE);
                None
            }
        }
    }

    /// Each table of a list, at most `count_max`.
    pub(super) fn each_table(
        &mut self,
        key: &'static str,
        noun: &'static str,
        count_max: usize,
        mut read: impl FnMut(TableReader<'_, 's>),
    ) {
        let Some(value) = self.value(key) else { return };
        let DeValue::Array(items) = value.get_ref() else {
            return self.mismatch(key, value, LIST_OF_TABLES);
        };
        if items.is_empty() {
            self.problems.push(Finding::error(&value.span(), format!("`{key}` is an empty list")));
        }
        for (index, item) in items.iter().enumerate() {
            if index == count_max {
                let message = format!("`{key}` may have at most {count_max} entries");
                self.problems.push(Finding::error(&item.span(), message));
                return;
            }
            match item.get_ref() {
                DeValue::Table(table) => read(TableReader::new(table, item.span(), noun, self.problems)),
                other => {
                    let message = format!("`{key}` lists tables, not {}", kind(other));
                    self.problems.push(Finding::error(&item.span(), message));
                }
            }
        }
    }

    /// Each entry of a table whose keys are the author's and whose values are tables, at most `count_max`.
    pub(super) fn each_entry_table(
        self,
        noun: &'static str,
        count_max: usize,
        mut read: impl FnMut(At<String>, TableReader<'_, 's>),
    ) {
        for (index, (key, value)) in self.table.iter().enumerate() {
            if index == count_max {
                let message = format!("{} may have at most {count_max} entries", self.noun);
                self.problems.push(Finding::error(&key.span(), message));
                return;
            }
            match value.get_ref() {
                DeValue::Table(table) => {
                    let key = At::new(key.span(), key.get_ref().clone().into_owned());
                    read(key, TableReader::new(table, value.span(), noun, self.problems));
                }
                other => {
                    let message = format!("{noun} is a table, not {}", kind(other));
                    self.problems.push(Finding::error(&value.span(), message));
                }
            }
        }
    }

    /// The entries of a table whose keys are the author's and whose values are whole numbers.
    pub(super) fn each_entry_number(self, mut read: impl FnMut(At<String>, At<i64>)) {
        for (key, value) in self.table {
            let name = key.get_ref().as_ref();
            let digits = if let DeValue::Integer(digits) = value.get_ref() { Some(digits) } else { None };
            let number = digits.and_then(|digits| i64::from_str_radix(digits.as_str(), digits.radix()).ok());
            let Some(number) = number else {
                let message = format!("`{name}` must be a whole number, not {}", kind(value.get_ref()));
                self.problems.push(Finding::error(&value.span(), message));
                continue;
            };
            read(At::new(key.span(), name.to_owned()), At::new(value.span(), number));
        }
    }

    /// The entries of a table whose keys are the author's and whose values are texts, of 1 to `bytes_max` bytes. A key
    /// that is not known is reported with the message and hint that `unknown` gives for it.
    pub(super) fn each_entry_text(
        self,
        bytes_max: usize,
        is_known: impl Fn(&str) -> bool,
        unknown: impl Fn(&str) -> (String, Option<String>),
    ) -> HashMap<String, String> {
        let mut texts = HashMap::new();
        for (key, value) in self.table {
            let name = key.get_ref().as_ref();
            if !is_known(name) {
                let (message, hint) = unknown(name);
                let finding = Finding::error(&key.span(), message);
                self.problems.push(match hint {
                    Some(hint) => finding.hint(hint),
                    None => finding,
                });
            }
            let DeValue::String(text) = value.get_ref() else {
                let message = format!("`{name}` must be a string, not {}", kind(value.get_ref()));
                self.problems.push(Finding::error(&value.span(), message));
                continue;
            };
            if !(1..=bytes_max).contains(&text.len()) {
                self.problems.push(length_problem(name, &value.span(), text.len(), &(1..=bytes_max)));
            }
            texts.insert(name.to_owned(), text.clone().into_owned());
        }
        texts
    }

    /// Reports the keys that nothing asked for.
    pub(super) fn finish(self) {
        for (key, value) in self.table.iter().filter(|(key, _)| !self.asked.contains(&key.get_ref().as_ref())) {
            let thing = match value.get_ref() {
                DeValue::Table(_) => "table",
                DeValue::Array(items) if items.iter().any(|item| item.get_ref().is_table()) => "table",
                _ => "key",
            };
            let message = format!("{} has no {thing} `{}`", self.noun, key.get_ref());
            let hint = match nearest(key.get_ref(), self.asked.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("what it may have: {}", self.asked.join(", ")),
            };
            self.problems.push(Finding::error(&key.span(), message).hint(hint));
        }
    }
}

/// Adds the nearest of the words that would have been right, where one is near.
pub(super) fn did_you_mean<'c>(finding: Finding, text: &str, words: impl IntoIterator<Item = &'c str>) -> Finding {
    match nearest(text, words) {
        Some(word) => finding.hint(format!("did you mean \"{word}\"?")),
        None => finding,
    }
}

const LIST_OF_STRINGS: &str = "a list of strings";
const LIST_OF_TABLES: &str = "a list of tables";
const TABLE: &str = "a table";

/// What a value is, with its article.
fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a floating-point number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn length_problem(key: &str, at: &Range<usize>, bytes_count: usize, bytes: &RangeInclusive<usize>) -> Finding {
    let (least, most) = (bytes.start(), bytes.end());
    let message = if bytes_count == 0 {
        format!("`{key}` is empty")
    } else {
        format!("`{key}` has {bytes_count} bytes, but must have from {least} to {most}")
    };
    Finding::error(at, message)
}

fn civil_date(date: toml::value::Date) -> Option<jiff::civil::Date> {
    let part = |number: u8| i8::try_from(number).ok();
    jiff::civil::Date::new(i16::try_from(date.year).ok()?, part(date.month)?, part(date.day)?).ok()
}

fn day_of(date: toml::value::Date) -> Option<Day> {
    Some(Day((civil_date(date)? - jiff::civil::date(1970, 1, 1)).get_days()))
}

/// A number with its thousands set apart as TOML allows: a message can be copied into the file.
pub(super) fn stated(number: i64) -> String {
    grouped(number, '_')
}

/// A number with its thousands set apart.
pub(super) fn grouped(number: impl Into<i128>, separator: char) -> String {
    let number: i128 = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(separator);
        }
        text.push(digit);
    }
    text
}

/// `number / 10^decimals`; zeros at the end go, except for the first `kept` decimals.
pub(super) fn decimal(number: i128, decimals: u32, kept: u32) -> String {
    let divisor = 10_i128.pow(decimals);
    let mut text = grouped(number / divisor, ',');
    let [width, kept] = [decimals, kept].map(|count| usize::try_from(count).expect("a handful of decimals"));
    if decimals > 0 {
        let digits = format!("{:0width$}", number % divisor);
        let needed = digits.trim_end_matches('0').len().max(kept);
        if let Some(fraction) = digits.get(..needed).filter(|fraction| !fraction.is_empty()) {
            text.push('.');
            text.push_str(fraction);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0_i64, "0"), (999, "999"), (1_000, "1,000"), (-12_345_678, "-12,345,678")] {
            assert_eq!(grouped(number, ','), text);
        }
        // A rate can be larger than any number of units.
        let large = 10_i128.pow(20);
        assert_eq!(grouped(large, ','), "100,000,000,000,000,000,000");
        assert_eq!(decimal(large * 100 + 5, 2, 2), "100,000,000,000,000,000,000.05");
        assert_eq!(stated(i64::MIN), "-9_223_372_036_854_775_808");
    }

    #[test]
    fn days_count_from_1970() {
        let date = |year, month, day| toml::value::Date { year, month, day };
        assert_eq!(day_of(date(1970, 1, 1)), Some(Day(0)));
        assert_eq!(day_of(date(2017, 1, 1)), Some(Day(17_167)));
        assert_eq!(day_of(date(2017, 2, 29)), None);
    }
}
