//! Rows of a CSV file, compressed or not, whose columns are found by their names.
//!
//! What must stay true: a mistake is located as `FILE:LINE: column NAME`; nothing is kept but the row at hand; columns
//! that nobody asked for are passed over.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::StringRecord;
use flate2::bufread::MultiGzDecoder;

use crate::cli::error::{CliError, Exit};

/// The first two bytes of a gzip file.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Bytes that are read at once.
pub const READ_BUFFER_BYTES: usize = 256 << 10;

/// Counts the bytes that are read of a file, for a progress bar.
struct Counting<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(count)
    }
}

/// A file that is being read: how much of it, and how large it is.
#[derive(Clone, Debug)]
pub struct Extent {
    /// Bytes read so far, before decompression.
    pub read_bytes: Arc<AtomicU64>,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// Opens a file, compressed or not.
///
/// # Errors
/// When it cannot be read.
pub fn open_content(path: &Path) -> Result<(Box<dyn Read>, Extent), CliError> {
    let failed = |error: &io::Error| CliError::file(Exit::InputOutput, "reading", path, error);
    let file = File::open(path).map_err(|error| failed(&error))?;
    let total_bytes = file.metadata().map_err(|error| failed(&error))?.len();
    let read_bytes = Arc::new(AtomicU64::new(0));
    let counting = Counting { inner: file, count: read_bytes.clone() };
    let mut plain = BufReader::with_capacity(READ_BUFFER_BYTES, counting);
    let is_compressed = plain.fill_buf().map_err(|error| failed(&error))?.starts_with(&GZIP_MAGIC);
    let content: Box<dyn Read> = if is_compressed { Box::new(MultiGzDecoder::new(plain)) } else { Box::new(plain) };
    Ok((content, Extent { read_bytes, total_bytes }))
}

/// A mistake at a place of a file.
#[must_use]
pub fn located(file: &str, line: u64, column: Option<&str>, message: &str) -> CliError {
    let place = column.map_or_else(String::new, |name| format!("column {name}: "));
    CliError::new(Exit::BadData, format!("{file}:{line}: {place}{message}"))
}

/// What the CSV parser or the decompressor says. `name_of` names the column at a place of a row.
#[must_use]
pub fn unreadable(file: &str, error: &csv::Error, name_of: impl Fn(usize) -> Option<String>) -> CliError {
    let line = error.position().map_or(0, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::Io(error) => {
            let exit = match error.kind() {
                // What the decompressor says of bytes that are not a whole gzip file.
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                    Exit::BadData
                }
                _ => Exit::InputOutput,
            };
            CliError::new(exit, format!("reading {file} failed: {error}"))
        }
        csv::ErrorKind::Utf8 { err, .. } => located(file, line, name_of(err.field()).as_deref(), "is not UTF-8"),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            located(file, line, None, &format!("the row has {len} columns; the header has {expected_len}"))
        }
        _ => located(file, line, None, &error.to_string()),
    }
}

/// A column that a file has, or may have.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name in the header.
    pub name: String,
    /// Whether a file without it is refused.
    pub is_required: bool,
}

impl Column {
    /// A column that the file must have.
    #[must_use]
    pub fn required(name: &str) -> Self {
        Self { name: name.to_owned(), is_required: true }
    }

    /// A column that reads as empty where the file does not have it.
    #[must_use]
    pub fn optional(name: &str) -> Self {
        Self { name: name.to_owned(), is_required: false }
    }
}

/// Reads the rows of one file.
pub struct RowReader {
    rows: csv::Reader<Box<dyn Read>>,
    /// The file's name as the user gave it.
    file: String,
    columns: Vec<Column>,
    /// For each of the columns, where it is in a row.
    places: Vec<Option<usize>>,
    row: StringRecord,
}

impl std::fmt::Debug for RowReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowReader").field("file", &self.file).finish_non_exhaustive()
    }
}

impl RowReader {
    /// Opens a file and checks its header.
    ///
    /// # Errors
    /// When it cannot be read, or a column is missing.
    pub fn open(path: &Path, columns: Vec<Column>) -> Result<(Self, Extent), CliError> {
        let (content, extent) = open_content(path)?;
        Ok((Self::new(content, path.display().to_string(), columns)?, extent))
    }

    /// Begins to read; `file` is the name for messages.
    ///
    /// # Errors
    /// When a column is missing or there twice.
    pub fn new(content: Box<dyn Read>, file: String, columns: Vec<Column>) -> Result<Self, CliError> {
        let mut rows = csv::ReaderBuilder::new().buffer_capacity(READ_BUFFER_BYTES).from_reader(content);
        let header = match rows.headers() {
            Ok(header) => header.clone(),
            Err(error) => return Err(unreadable(&file, &error, |_| None)),
        };
        let wrong = |message: String| {
            let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
            let expected = format!("the first line must name the columns, among them {}", names.join(","));
            Err(located(&file, 1, None, &message).hint(expected))
        };
        let mut places = Vec::with_capacity(columns.len());
        for Column { name, is_required } in &columns {
            let mut found = header.iter().enumerate().filter(|(_, other)| other == name).map(|(place, _)| place);
            let place = found.next();
            if place.is_none() && *is_required {
                return wrong(format!("the column {name} is missing"));
            }
            if found.next().is_some() {
                return wrong(format!("the column {name} is there twice"));
            }
            places.push(place);
        }
        Ok(Self { rows, file, columns, places, row: StringRecord::new() })
    }

    /// Goes to the next row; false at the end of the file.
    ///
    /// # Errors
    /// When the row cannot be read.
    pub fn advance(&mut self) -> Result<bool, CliError> {
        self.rows.read_record(&mut self.row).map_err(|error| {
            let name_of = |place| {
                let column = self.places.iter().position(|known| *known == Some(place))?;
                self.columns.get(column).map(|column| column.name.clone())
            };
            unreadable(&self.file, &error, name_of)
        })
    }

    /// The line of the row at hand, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.row.position().map_or(0, csv::Position::line)
    }

    /// The text of a column, by its index among those asked for; empty where the file does not have it.
    #[must_use]
    pub fn field(&self, column: usize) -> &str {
        self.places.get(column).copied().flatten().and_then(|place| self.row.get(place)).unwrap_or_default()
    }

    /// A mistake in a column of the row at hand.
    #[must_use]
    pub fn wrong(&self, column: usize, message: &str) -> CliError {
        let name = self.columns.get(column).map(|column| column.name.as_str());
        located(&self.file, self.line(), name, message)
    }

    /// A text of at most so many bytes.
    ///
    /// # Errors
    /// When it is longer.
    pub fn optional(&self, column: usize, bytes_max: usize) -> Result<String, CliError> {
        let text = self.field(column);
        if text.len() > bytes_max {
            let message = format!("has {} bytes; at most {bytes_max} are allowed", text.len());
            return Err(self.wrong(column, &message));
        }
        Ok(text.to_owned())
    }

    /// A text that is not empty, of at most so many bytes.
    ///
    /// # Errors
    /// When it is empty or longer.
    pub fn required(&self, column: usize, bytes_max: usize) -> Result<String, CliError> {
        if self.field(column).is_empty() {
            return Err(self.wrong(column, "is empty"));
        }
        self.optional(column, bytes_max)
    }

    /// A whole number in a range.
    ///
    /// # Errors
    /// When it is none.
    pub fn number(&self, column: usize, least: i64, most: i64) -> Result<i64, CliError> {
        let text = self.field(column);
        let number = text.parse::<i64>().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| self.wrong(column, &format!("{text:?} is not a whole number from {least} to {most}")))
    }

    /// An instant.
    ///
    /// # Errors
    /// When it is none.
    pub fn time(&self, column: usize) -> Result<jiff::Timestamp, CliError> {
        let text = self.field(column);
        text.parse()
            .map_err(|_| self.wrong(column, &format!("{text:?} is not an instant; write it as 2017-01-01T11:53:26Z")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(content: &str) -> Result<RowReader, CliError> {
        let columns = vec![Column::required("id"), Column::optional("note"), Column::required("time")];
        RowReader::new(Box::new(io::Cursor::new(content.as_bytes().to_vec())), "r.csv".to_owned(), columns)
    }

    #[test]
    fn columns_are_found_by_name_and_others_passed_over() {
        let mut rows = reader("time,other,id\n2017-01-01T00:00:00Z,x,7\n").unwrap();
        assert!(rows.advance().unwrap());
        assert_eq!((rows.field(0), rows.field(1), rows.line()), ("7", "", 2));
        assert_eq!(rows.time(2).unwrap().as_second(), 1_483_228_800);
        assert_eq!(rows.number(0, 1, 7).unwrap(), 7);
        assert!(!rows.advance().unwrap());
    }

    #[test]
    fn mistakes_are_located() {
        assert_eq!(reader("id\n").unwrap_err().to_string(), "r.csv:1: the column time is missing");
        assert_eq!(reader("id,time,id\n").unwrap_err().to_string(), "r.csv:1: the column id is there twice");
        let mut rows = reader("id,note,time\n,xyz,soon\n1,2\n").unwrap();
        assert!(rows.advance().unwrap());
        assert_eq!(rows.required(0, 9).unwrap_err().to_string(), "r.csv:2: column id: is empty");
        let long = rows.optional(1, 2).unwrap_err().to_string();
        assert_eq!(long, "r.csv:2: column note: has 3 bytes; at most 2 are allowed");
        assert!(rows.time(2).unwrap_err().to_string().starts_with("r.csv:2: column time: \"soon\" is not an instant"));
        let number = rows.number(1, 1, 9).unwrap_err().to_string();
        assert_eq!(number, "r.csv:2: column note: \"xyz\" is not a whole number from 1 to 9");
        let uneven = rows.advance().unwrap_err().to_string();
        assert_eq!(uneven, "r.csv:3: the row has 2 columns; the header has 3");
    }
}
