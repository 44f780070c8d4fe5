//! Baskets from a CSV file: one row a line of a basket, rows of a basket together, ordered by time and basket.
//!
//! What must stay true: a mistake is located as `FILE:LINE: column NAME`, and nothing of the basket that holds it is
//! handed on; nothing is kept but the basket that is being read, however long the file; no rule is applied here.

use std::cmp::Ordering;
use std::io::Read;
use std::path::Path;

use csv::StringRecord;

use super::rows::{Extent, READ_BUFFER_BYTES, located, open_content, unreadable};
use crate::audit::natural;
use crate::cli::client::to_wire;
use crate::cli::error::CliError;
use crate::limits;
use crate::service::wire::{AccountIdentifier, AccrueRequest, Basket, Line};

/// The columns of the file, in any order; no others. The last [`OPTIONAL_COUNT`] may be missing.
const COLUMNS: [&str; 13] = [
    "basket_id",
    "household_id",
    "store_id",
    "time",
    "product_id",
    "department",
    "category",
    "brand",
    "quantity",
    "amount_cents",
    "member_id",
    "identifier_kind",
    "identifier",
];
const OPTIONAL_COUNT: usize = 3;
const BASKET: usize = 0;
const HOUSEHOLD: usize = 1;
const STORE: usize = 2;
const TIME: usize = 3;
const PRODUCT: usize = 4;
const DEPARTMENT: usize = 5;
const CATEGORY: usize = 6;
const BRAND: usize = 7;
const QUANTITY: usize = 8;
const AMOUNT: usize = 9;
const MEMBER: usize = 10;
const IDENTIFIER_KIND: usize = 11;
const IDENTIFIER: usize = 12;

/// What the importer adds to what the file says.
#[derive(Clone, Debug)]
pub struct Additions {
    /// ISO 4217 code of the amounts.
    pub currency_code: String,
    /// Whether each basket is posted at its own time.
    pub posts_at_receipt_time: bool,
}

/// A basket of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileBasket {
    /// The line of the file in which it begins, from 1.
    pub line: u64,
    /// Rows that it has.
    pub row_count: u64,
    /// What is to be sent.
    pub request: AccrueRequest,
}

/// Reads the baskets of one file, in order.
pub struct BasketReader {
    rows: csv::Reader<Box<dyn Read>>,
    /// The file's name as the user gave it.
    file: String,
    additions: Additions,
    /// For each of [`COLUMNS`], where it is in a row; beyond its end where the file does not have it.
    places: [usize; COLUMNS.len()],
    /// The row that was read last; the first one of the next basket once a basket is complete.
    row: StringRecord,
    /// The basket that is being read.
    open: Option<FileBasket>,
    is_at_end: bool,
    /// The error that the next call returns.
    failure: Option<CliError>,
}

impl std::fmt::Debug for BasketReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BasketReader").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Opens a file, compressed or not, and checks its header.
///
/// # Errors
/// When it cannot be read, or its header is not that of a file of baskets.
pub fn open(path: &Path, additions: Additions) -> Result<(BasketReader, Extent), CliError> {
    let (content, extent) = open_content(path)?;
    let reader = BasketReader::new(content, path.display().to_string(), additions)?;
    Ok((reader, extent))
}

impl BasketReader {
    /// Begins to read; `file` is the name for messages.
    ///
    /// # Errors
    /// When the header is not that of a file of baskets.
    pub fn new(content: Box<dyn Read>, file: String, additions: Additions) -> Result<Self, CliError> {
        let rows = csv::ReaderBuilder::new().buffer_capacity(READ_BUFFER_BYTES).from_reader(content);
        let mut reader = Self {
            rows,
            file,
            additions,
            places: [0; COLUMNS.len()],
            row: StringRecord::new(),
            open: None,
            is_at_end: false,
            failure: None,
        };
        reader.places = reader.read_header()?;
        Ok(reader)
    }

    /// Sets whether each basket is posted at its own time; to be called before the first basket is read.
    pub fn set_posts_at_receipt_time(&mut self, is_set: bool) {
        self.additions.posts_at_receipt_time = is_set;
    }

    fn read_header(&mut self) -> Result<[usize; COLUMNS.len()], CliError> {
        let header = match self.rows.headers() {
            Ok(header) => header.clone(),
            Err(error) => return Err(self.unreadable(&error)),
        };
        let required = COLUMNS.split_at(COLUMNS.len() - OPTIONAL_COUNT).0;
        let expected = format!("the first line must be {}", required.join(","));
        let wrong = |message: String| Err(self.located(1, None, &message).hint(expected.clone()));
        if header.is_empty() || header.iter().all(str::is_empty) {
            return wrong("the file is empty".to_owned());
        }
        let mut places = [usize::MAX; COLUMNS.len()];
        for (index, name) in header.iter().enumerate() {
            let known = COLUMNS.iter().position(|column| *column == name);
            match known.and_then(|known| places.get_mut(known)) {
                None => return wrong(format!("there is no column of the name {name:?} in a file of baskets")),
                Some(place) if *place != usize::MAX => return wrong(format!("the column {name} is there twice")),
                Some(place) => *place = index,
            }
        }
        let missing = required.iter().zip(&places).find(|(_, place)| **place == usize::MAX);
        match missing {
            Some((name, _)) => wrong(format!("the column {name} is missing")),
            None => Ok(places),
        }
    }

    /// The next basket; `None` at the end of the file.
    ///
    /// # Errors
    /// When the file is wrong or cannot be read. The baskets before the mistake have been returned by then, and there
    /// is nothing more to be had.
    pub fn next_basket(&mut self) -> Result<Option<FileBasket>, CliError> {
        loop {
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            if self.is_at_end {
                return Ok(self.open.take());
            }
            match self.rows.read_record(&mut self.row) {
                Ok(true) => {
                    if let Some(complete) = self.take_row() {
                        return Ok(Some(complete));
                    }
                }
                Ok(false) => self.is_at_end = true,
                Err(error) => {
                    let error = self.unreadable(&error);
                    self.fail(error);
                }
            }
        }
    }

    /// Adds the row to its basket; returns the basket before it when the row begins a new one.
    fn take_row(&mut self) -> Option<FileBasket> {
        let before = self.open.take();
        let taken = match before {
            Some(mut open) if open.request.transaction_id == self.field(BASKET) => {
                let added = self.check_same(&open).and_then(|()| self.add_line(&mut open));
                (None, added.map(|()| open))
            }
            before => {
                let begun = self.begin_basket(before.as_ref());
                let begun = begun.and_then(|mut begun| self.add_line(&mut begun).map(|()| begun));
                (before, begun)
            }
        };
        let (complete, open) = taken;
        match open {
            Ok(open) => self.open = Some(open),
            Err(error) => self.fail(error),
        }
        complete
    }

    /// Ends the reading with an error, which the next call returns.
    fn fail(&mut self, error: CliError) {
        self.open = None;
        self.is_at_end = true;
        self.failure = Some(error);
    }

    fn begin_basket(&self, before: Option<&FileBasket>) -> Result<FileBasket, CliError> {
        let id = self.required(BASKET, limits::TRANSACTION_ID_BYTES_MAX.min(limits::RECEIPT_NUMBER_BYTES_MAX))?;
        let account_identifier = self.identifier()?;
        let account_id = match &account_identifier {
            Some(_) if self.field(HOUSEHOLD).is_empty() => String::new(),
            Some(_) => {
                return Err(self.wrong(HOUSEHOLD, "is stated beside an identifier; one of them names the account"));
            }
            None => self.required(HOUSEHOLD, limits::ACCOUNT_ID_BYTES_MAX)?,
        };
        self.check_length(MEMBER, limits::MEMBER_ID_BYTES_MAX)?;
        let store_id = self.required(STORE, limits::SYMBOL_BYTES_MAX)?;
        let text = self.field(TIME);
        let time = text.parse::<jiff::Timestamp>();
        let time = time
            .map_err(|_| self.wrong(TIME, &format!("{text:?} is not an instant; write it as 2017-01-01T11:53:26Z")))?;
        let receipt_time = Some(to_wire(time));
        if let Some(before) = before {
            self.check_order(before, receipt_time.as_ref(), &id)?;
        }
        let basket = Basket {
            store_id,
            receipt_number: id.clone(),
            receipt_time,
            currency_code: self.additions.currency_code.clone(),
            member_id: self.field(MEMBER).to_owned(),
            ..Basket::default()
        };
        let request = AccrueRequest {
            account_identifier,
            transaction_id: id,
            account_id,
            basket: Some(basket),
            posting_time: receipt_time.filter(|_| self.additions.posts_at_receipt_time),
        };
        Ok(FileBasket { line: self.line(), row_count: 0, request })
    }

    /// The identifier that names the account in the place of its id, if the row states one.
    fn identifier(&self) -> Result<Option<AccountIdentifier>, CliError> {
        match (self.field(IDENTIFIER_KIND).is_empty(), self.field(IDENTIFIER).is_empty()) {
            (true, true) => Ok(None),
            _ => Ok(Some(AccountIdentifier {
                kind: self.required(IDENTIFIER_KIND, limits::SYMBOL_BYTES_MAX)?,
                value: self.required(IDENTIFIER, limits::IDENTIFIER_BYTES_MAX)?,
            })),
        }
    }

    /// A basket is later than the one before it or, at the same time, has the greater id. So the rows of a basket are
    /// together, and its posting times never go back.
    fn check_order(
        &self,
        before: &FileBasket,
        time: Option<&prost_types::Timestamp>,
        id: &str,
    ) -> Result<(), CliError> {
        let before_basket = before.request.basket.as_ref().expect("every basket read has one");
        let key = |time: Option<&prost_types::Timestamp>| time.map(|time| (time.seconds, time.nanos));
        match key(before_basket.receipt_time.as_ref()).cmp(&key(time)) {
            Ordering::Less => Ok(()),
            Ordering::Greater => {
                let message = "the basket is earlier than the one before it; order the file by time and basket_id";
                Err(self.wrong(TIME, message))
            }
            Ordering::Equal if natural::compare(&before.request.transaction_id, id) == Ordering::Less => Ok(()),
            Ordering::Equal => {
                let message = format!(
                    "at the same time, basket {id} follows basket {}; order the file by time and basket_id",
                    before.request.transaction_id
                );
                Err(self.wrong(BASKET, &message))
            }
        }
    }

    /// What all rows of a basket say alike.
    fn check_same(&self, open: &FileBasket) -> Result<(), CliError> {
        let basket = open.request.basket.as_ref().expect("every basket read has one");
        let differs = |column: usize, first: &str| {
            let text = self.field(column);
            let message = format!("{text:?} differs from {first:?}, which the basket began with in line {}", open.line);
            self.wrong(column, &message)
        };
        if self.field(HOUSEHOLD) != open.request.account_id {
            return Err(differs(HOUSEHOLD, &open.request.account_id));
        }
        let named = open.request.account_identifier.as_ref();
        let stated = named.map_or(["", ""], |named| [&named.kind, &named.value]);
        for (column, first) in [IDENTIFIER_KIND, IDENTIFIER].into_iter().zip(stated) {
            if self.field(column) != first {
                return Err(differs(column, first));
            }
        }
        if self.field(MEMBER) != basket.member_id {
            return Err(differs(MEMBER, &basket.member_id));
        }
        if self.field(STORE) != basket.store_id {
            return Err(differs(STORE, &basket.store_id));
        }
        let time = self.field(TIME).parse::<jiff::Timestamp>().ok().map(to_wire);
        if time.is_none() || time != basket.receipt_time {
            let first = crate::cli::client::shown_time(basket.receipt_time.as_ref()).unwrap_or_default();
            return Err(differs(TIME, &first));
        }
        Ok(())
    }

    fn add_line(&self, open: &mut FileBasket) -> Result<(), CliError> {
        let lines = &mut open.request.basket.as_mut().expect("every basket read has one").lines;
        if lines.len() == limits::BASKET_LINES_MAX {
            let message = format!("the basket has more than {} lines", limits::BASKET_LINES_MAX);
            return Err(self.wrong(BASKET, &message));
        }
        lines.push(Line {
            sku: self.optional(PRODUCT)?,
            category: self.optional(CATEGORY)?,
            department: self.optional(DEPARTMENT)?,
            brand: self.optional(BRAND)?,
            margin_class: String::new(),
            quantity: self.number(QUANTITY, limits::LINE_QUANTITY_MAX)?,
            amount_minor: self.number(AMOUNT, limits::LINE_AMOUNT_MINOR_MAX)?,
        });
        open.row_count += 1;
        Ok(())
    }

    fn field(&self, column: usize) -> &str {
        let place = self.places.get(column).expect("columns are named by the constants above");
        self.row.get(*place).unwrap_or_default()
    }

    fn required(&self, column: usize, bytes_max: usize) -> Result<String, CliError> {
        let text = self.field(column);
        if text.is_empty() {
            return Err(self.wrong(column, "is empty"));
        }
        self.check_length(column, bytes_max)?;
        Ok(text.to_owned())
    }

    fn optional(&self, column: usize) -> Result<String, CliError> {
        self.check_length(column, limits::SYMBOL_BYTES_MAX)?;
        Ok(self.field(column).to_owned())
    }

    fn check_length(&self, column: usize, bytes_max: usize) -> Result<(), CliError> {
        let length = self.field(column).len();
        if length > bytes_max {
            return Err(self.wrong(column, &format!("has {length} bytes; at most {bytes_max} are allowed")));
        }
        Ok(())
    }

    fn number(&self, column: usize, max: i64) -> Result<i64, CliError> {
        let text = self.field(column);
        let number = text.parse::<i64>().ok().filter(|number| (0..=max).contains(number));
        number.ok_or_else(|| self.wrong(column, &format!("{text:?} is not a whole number from 0 to {max}")))
    }

    /// The line of the row that was read last.
    fn line(&self) -> u64 {
        self.row.position().map_or(0, csv::Position::line)
    }

    /// A mistake in a column of the row that was read last.
    fn wrong(&self, column: usize, message: &str) -> CliError {
        self.located(self.line(), Some(column), message)
    }

    fn located(&self, line: u64, column: Option<usize>, message: &str) -> CliError {
        let column = column.and_then(|column| COLUMNS.get(column)).copied();
        located(&self.file, line, column, message)
    }

    /// What the CSV parser or the decompressor says.
    fn unreadable(&self, error: &csv::Error) -> CliError {
        unreadable(&self.file, error, |place| {
            let column = self.places.iter().position(|known| *known == place)?;
            COLUMNS.get(column).map(|name| (*name).to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::atomic::Ordering as Atomic;

    use super::*;
    use crate::cli::error::Exit;

    const HEADER: &str =
        "basket_id,household_id,store_id,time,product_id,department,category,brand,quantity,amount_cents";

    fn reader(content: impl Into<Vec<u8>>) -> Result<BasketReader, CliError> {
        let additions = Additions { currency_code: "USD".to_owned(), posts_at_receipt_time: true };
        BasketReader::new(Box::new(io::Cursor::new(content.into())), "b.csv".to_owned(), additions)
    }

    /// The baskets before the first mistake, and the mistake.
    fn read(content: impl Into<Vec<u8>>) -> (Vec<FileBasket>, Option<String>) {
        let mut reader = match reader(content) {
            Ok(reader) => reader,
            Err(error) => return (Vec::new(), Some(error.to_string())),
        };
        let mut baskets = Vec::new();
        loop {
            match reader.next_basket() {
                Ok(Some(basket)) => baskets.push(basket),
                Ok(None) => return (baskets, None),
                Err(error) => {
                    assert_eq!(error.exit(), Exit::BadData);
                    assert!(reader.next_basket().unwrap().is_none(), "after a mistake there is nothing more");
                    return (baskets, Some(error.to_string()));
                }
            }
        }
    }

    fn rows(rows: &[&str]) -> String {
        format!("{HEADER}\n{}\n", rows.join("\n"))
    }

    #[test]
    fn rows_of_a_basket_become_one_command() {
        let (baskets, mistake) = read(rows(&[
            "7,900,330,2017-01-01T11:53:26Z,1095275,PASTRY,ROLLS,National,1,50",
            "7,900,330,2017-01-01T11:53:26Z,9878513,,,,0,99",
            "10,12,406,2017-01-01T11:53:26Z,1,GROCERY,SOUP,Private,2,1",
        ]));
        assert_eq!(mistake, None);
        let [first, second] = baskets.as_slice() else { panic!("{baskets:?}") };
        assert_eq!((first.line, first.row_count, second.line, second.row_count), (2, 2, 4, 1));
        let request = &first.request;
        assert_eq!((request.transaction_id.as_str(), request.account_id.as_str()), ("7", "900"));
        let time = prost_types::Timestamp { seconds: 1_483_271_606, nanos: 0 };
        assert_eq!(request.posting_time, Some(time));
        let basket = request.basket.as_ref().unwrap();
        assert_eq!((basket.receipt_number.as_str(), basket.store_id.as_str()), ("7", "330"));
        assert_eq!((basket.receipt_time, basket.currency_code.as_str()), (Some(time), "USD"));
        let roll = &basket.lines[0];
        assert_eq!(
            (roll.sku.as_str(), roll.department.as_str(), roll.category.as_str()),
            ("1095275", "PASTRY", "ROLLS")
        );
        assert_eq!((roll.brand.as_str(), roll.quantity, roll.amount_minor), ("National", 1, 50));
        assert_eq!((basket.lines[1].department.as_str(), basket.lines[1].amount_minor), ("", 99));
    }

    #[test]
    fn a_basket_may_name_its_account_by_an_identifier_and_say_who_bought() {
        let header = format!("{HEADER},identifier_kind,identifier,member_id");
        let file = |rows: &[&str]| format!("{header}\n{}\n", rows.join("\n"));
        let (baskets, mistake) = read(file(&[
            "7,,330,2017-01-01T11:53:26Z,1,,,,1,50,card,0042,ann",
            "7,,330,2017-01-01T11:53:26Z,2,,,,1,50,card,0042,ann",
            "8,900,330,2017-01-01T11:53:26Z,1,,,,1,50,,,",
        ]));
        assert_eq!((baskets.len(), mistake), (2, None));
        let named = baskets[0].request.account_identifier.as_ref().unwrap();
        assert_eq!((named.kind.as_str(), named.value.as_str()), ("card", "0042"));
        let basket = baskets[0].request.basket.as_ref().unwrap();
        assert_eq!((baskets[0].request.account_id.as_str(), basket.member_id.as_str()), ("", "ann"));
        assert_eq!((&baskets[1].request.account_identifier, baskets[1].request.account_id.as_str()), (&None, "900"));
        let good = "7,,330,2017-01-01T11:53:26Z,1,,,,1,50,card,0042,ann";
        let cases = [
            (
                "8,900,330,2017-01-01T11:53:26Z,1,,,,1,50,card,0042,",
                "column household_id: is stated beside an identifier",
            ),
            ("8,,330,2017-01-01T11:53:26Z,1,,,,1,50,,,", "column household_id: is empty"),
            ("8,,330,2017-01-01T11:53:26Z,1,,,,1,50,card,,", "column identifier: is empty"),
            (
                "7,,330,2017-01-01T11:53:26Z,1,,,,1,50,card,0043,ann",
                "column identifier: \"0043\" differs from \"0042\"",
            ),
            ("7,,330,2017-01-01T11:53:26Z,1,,,,1,50,card,0042,bob", "column member_id: \"bob\" differs from \"ann\""),
        ];
        for (row, expected) in cases {
            let mistake = read(file(&[good, row])).1.unwrap_or_else(|| panic!("{row} is taken"));
            assert!(mistake.starts_with(&format!("b.csv:3: {expected}")), "{row}: {mistake}");
        }
    }

    #[test]
    fn columns_may_stand_in_any_order() {
        let content = "amount_cents,quantity,brand,category,department,product_id,time,store_id,household_id,basket_id\n\
                       50,1,National,ROLLS,PASTRY,1095275,2017-01-01T11:53:26Z,330,900,7\n";
        let (baskets, mistake) = read(content);
        assert_eq!((baskets.len(), mistake), (1, None));
        assert_eq!(baskets[0].request.account_id, "900");
    }

    #[test]
    fn mistakes_are_located() {
        const GOOD: &str = "7,900,330,2017-01-01T11:53:26Z,1,PASTRY,ROLLS,National,1,50";
        let cases = [
            ("7,900,330,yesterday,1,,,,1,50", "b.csv:3: column time: \"yesterday\" differs from"),
            ("8,900,330,yesterday,1,,,,1,50", "b.csv:3: column time: \"yesterday\" is not an instant"),
            ("8,900,330,2017-01-01T11:53:25Z,1,,,,1,50", "b.csv:3: column time: the basket is earlier"),
            (
                "6,900,330,2017-01-01T11:53:26Z,1,,,,1,50",
                "b.csv:3: column basket_id: at the same time, basket 6 follows",
            ),
            ("8,,330,2017-01-01T11:53:26Z,1,,,,1,50", "b.csv:3: column household_id: is empty"),
            ("7,901,330,2017-01-01T11:53:26Z,1,,,,1,50", "b.csv:3: column household_id: \"901\" differs from \"900\""),
            ("7,900,331,2017-01-01T11:53:26Z,1,,,,1,50", "b.csv:3: column store_id: \"331\" differs from \"330\""),
            (
                "8,900,330,2017-01-01T11:53:26Z,1,,,,1,5.0",
                "b.csv:3: column amount_cents: \"5.0\" is not a whole number",
            ),
            ("8,900,330,2017-01-01T11:53:26Z,1,,,,1,-5", "b.csv:3: column amount_cents: \"-5\" is not a whole number"),
            ("8,900,330,2017-01-01T11:53:26Z,1,,,,,5", "b.csv:3: column quantity: \"\" is not a whole number"),
            ("8,900,330", "b.csv:3: the row has 3 columns; the header has 10"),
        ];
        for (row, expected) in cases {
            let (baskets, mistake) = read(rows(&[GOOD, row]));
            let mistake = mistake.unwrap_or_else(|| panic!("{row} is taken: {baskets:?}"));
            assert!(mistake.starts_with(expected), "{row}: {mistake}");
            // A basket that is complete before the mistake is not lost with it, one that holds the mistake is.
            let is_complete =
                row.starts_with("8,900") && row.len() > 9 || row.starts_with("6,") || row.starts_with("8,,");
            assert_eq!(baskets.len(), usize::from(is_complete), "{row}");
        }
        let long = format!("8,900,330,2017-01-01T11:53:26Z,{},,,,1,5", "x".repeat(129));
        assert_eq!(
            read(rows(&[GOOD, &long])).1.unwrap(),
            "b.csv:3: column product_id: has 129 bytes; at most 128 are allowed"
        );
        let mut bytes = rows(&[GOOD]).into_bytes();
        bytes.extend_from_slice(b"8,900,330,2017-01-01T11:53:26Z,1,\xff,,,1,5\n");
        assert_eq!(read(bytes).1.unwrap(), "b.csv:3: column department: is not UTF-8");
    }

    #[test]
    fn a_header_that_is_not_ours_is_refused() {
        let cases = [
            ("", "b.csv:1: the file is empty"),
            ("basket_id,total\n", "b.csv:1: there is no column of the name \"total\" in a file of baskets"),
            ("time,time\n", "b.csv:1: the column time is there twice"),
            ("time\n", "b.csv:1: the column basket_id is missing"),
        ];
        for (content, expected) in cases {
            assert_eq!(read(content).1.as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_basket_has_a_bound() {
        let row = "7,900,330,2017-01-01T11:53:26Z,1,,,,1,5";
        let fitting = rows(&vec![row; limits::BASKET_LINES_MAX]);
        assert_eq!(read(fitting).0[0].row_count, 1_024);
        let mistake = read(rows(&vec![row; limits::BASKET_LINES_MAX + 1])).1.unwrap();
        assert_eq!(mistake, "b.csv:1026: column basket_id: the basket has more than 1024 lines");
    }

    #[test]
    fn a_compressed_file_is_recognised_and_a_cut_one_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("baskets");
        let content = rows(&["7,900,330,2017-01-01T11:53:26Z,1,,,,1,5"]);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content.as_bytes()).unwrap();
        let bytes = encoder.finish().unwrap();
        let additions = Additions { currency_code: "USD".to_owned(), posts_at_receipt_time: false };
        std::fs::write(&path, &bytes).unwrap();
        let (mut reader, extent) = open(&path, additions.clone()).unwrap();
        let basket = reader.next_basket().unwrap().unwrap();
        assert_eq!(basket.request.posting_time, None);
        assert!(reader.next_basket().unwrap().is_none());
        assert_eq!(extent.read_bytes.load(Atomic::Relaxed), extent.total_bytes);

        std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        let mistake = match open(&path, additions.clone()) {
            Err(error) => error,
            Ok((mut reader, _)) => loop {
                match reader.next_basket() {
                    Ok(basket) => assert!(basket.is_some(), "the file is not whole"),
                    Err(error) => break error,
                }
            },
        };
        assert_eq!(mistake.exit(), Exit::BadData, "{mistake}");
        assert_eq!(open(&directory.path().join("absent"), additions).unwrap_err().exit(), Exit::InputOutput);
    }
}
