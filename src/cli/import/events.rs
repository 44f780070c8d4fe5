//! What happened to accounts besides baskets: redemptions and activities from CSV files, ordered by time.
//!
//! What must stay true: times never go back, because with an input clock posting times must not; no rule is applied
//! here.

use std::path::Path;

use prost_types::Timestamp;

use super::desk::{Kind, Source};
use super::pump::Outgoing;
use super::rows::{Column, Extent, RowReader};
use crate::cli::client::to_wire;
use crate::cli::error::CliError;
use crate::limits;
use crate::service::wire::{
    AccountIdentifier, Activity, Command, LinkIdentifierRequest, RecordActivityRequest, RedeemRequest,
    UnlinkIdentifierRequest, command,
};

/// The order of two instants of the wire.
#[must_use]
pub fn time_key(time: Option<&Timestamp>) -> Option<(i64, i32)> {
    time.map(|time| (time.seconds, time.nanos))
}

/// Checks that a time does not lie before that of the row before, and returns it.
fn checked_time(rows: &RowReader, column: usize, before: Option<&Timestamp>) -> Result<Timestamp, CliError> {
    let time = to_wire(rows.time(column)?);
    if time_key(before) > time_key(Some(&time)) {
        return Err(rows.wrong(column, "the row is earlier than the one before it; order the file by time"));
    }
    Ok(time)
}

/// A redemption of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileRedemption {
    /// The line of the file, from 1.
    pub line: u64,
    /// When it happened.
    pub time: Timestamp,
    /// What is to be sent.
    pub request: RedeemRequest,
}

/// Redemptions of one size: one a row, under the columns redemption_id, household_id and time.
#[derive(Debug)]
pub struct RedemptionReader {
    rows: RowReader,
    points: i64,
    posts_at_event_time: bool,
    before: Option<Timestamp>,
}

/// What stands before the id of a redemption, which would otherwise be that of a basket.
const REDEMPTION_PREFIX: &str = "redemption-";

impl RedemptionReader {
    /// Opens a file of redemptions of so many points each.
    ///
    /// # Errors
    /// When it cannot be read or lacks a column.
    pub fn open(path: &Path, points: i64) -> Result<(Self, Extent), CliError> {
        let columns = ["redemption_id", "household_id", "time"].map(Column::required).to_vec();
        let (rows, extent) = RowReader::open(path, columns)?;
        Ok((Self { rows, points, posts_at_event_time: false, before: None }, extent))
    }

    /// Sets whether each redemption is posted at its own time; to be called before the first is read.
    pub fn set_posts_at_event_time(&mut self, is_set: bool) {
        self.posts_at_event_time = is_set;
    }

    /// The next redemption; `None` at the end of the file.
    ///
    /// # Errors
    /// When the file is wrong or cannot be read.
    pub fn next_redemption(&mut self) -> Result<Option<FileRedemption>, CliError> {
        if !self.rows.advance()? {
            return Ok(None);
        }
        let id = self.rows.required(0, limits::TRANSACTION_ID_BYTES_MAX - REDEMPTION_PREFIX.len())?;
        let account_id = self.rows.required(1, limits::ACCOUNT_ID_BYTES_MAX)?;
        let time = checked_time(&self.rows, 2, self.before.as_ref())?;
        self.before = Some(time);
        let request = RedeemRequest {
            account_identifier: None,
            transaction_id: format!("{REDEMPTION_PREFIX}{id}"),
            account_id,
            wallet: String::new(),
            points: self.points,
            posting_time: self.posts_at_event_time.then_some(time),
            ..RedeemRequest::default()
        };
        Ok(Some(FileRedemption { line: self.rows.line(), time, request }))
    }
}

const ID: usize = 0;
const ACCOUNT: usize = 1;
const TIME: usize = 2;
const KIND: usize = 3;
const POINTS: usize = 4;
const ACTIVITY: usize = 5;
const CHANNEL: usize = 6;
const WALLET: usize = 7;
const MEMBER: usize = 8;
const IDENTIFIER_KIND: usize = 9;
const IDENTIFIER: usize = 10;

/// Events of any kind, one a row.
#[derive(Debug)]
pub struct EventSource {
    rows: RowReader,
    posts_at_event_time: bool,
    before: Option<Timestamp>,
    file: String,
}

impl EventSource {
    /// Opens a file of events.
    ///
    /// # Errors
    /// When it cannot be read or lacks a column.
    pub fn open(path: &Path) -> Result<(Self, Extent), CliError> {
        let required = ["transaction_id", "account_id", "time", "kind"].map(Column::required);
        let optional = ["points", "activity", "channel", "wallet", "member_id", "identifier_kind", "identifier"]
            .map(Column::optional);
        let (rows, extent) = RowReader::open(path, [&required[..], &optional[..]].concat())?;
        let file = path.display().to_string();
        Ok((Self { rows, posts_at_event_time: false, before: None, file }, extent))
    }

    /// Sets whether each event is posted at its own time; to be called before the first is read.
    pub fn set_posts_at_event_time(&mut self, is_set: bool) {
        self.posts_at_event_time = is_set;
    }

    fn identifier(&self) -> Result<AccountIdentifier, CliError> {
        Ok(AccountIdentifier {
            kind: self.rows.required(IDENTIFIER_KIND, limits::SYMBOL_BYTES_MAX)?,
            value: self.rows.required(IDENTIFIER, limits::IDENTIFIER_BYTES_MAX)?,
        })
    }

    fn command(&self, time: Timestamp) -> Result<command::Command, CliError> {
        let transaction_id = self.rows.required(ID, limits::TRANSACTION_ID_BYTES_MAX)?;
        let account_id = self.rows.required(ACCOUNT, limits::ACCOUNT_ID_BYTES_MAX)?;
        let posting_time = self.posts_at_event_time.then_some(time);
        match self.rows.field(KIND) {
            "redemption" => Ok(command::Command::Redeem(RedeemRequest {
                account_identifier: None,
                transaction_id,
                account_id,
                wallet: self.rows.optional(WALLET, limits::PROGRAM_NAME_BYTES_MAX)?,
                points: self.rows.number(POINTS, 1, limits::UNITS_MAX)?,
                posting_time,
                member_id: self.rows.optional(MEMBER, limits::MEMBER_ID_BYTES_MAX)?,
                ..RedeemRequest::default()
            })),
            "link" => Ok(command::Command::LinkIdentifier(LinkIdentifierRequest {
                transaction_id,
                account_id,
                identifier: Some(self.identifier()?),
                posting_time,
            })),
            "unlink" => Ok(command::Command::UnlinkIdentifier(UnlinkIdentifierRequest {
                transaction_id,
                account_id,
                identifier: Some(self.identifier()?),
                posting_time,
            })),
            "activity" => {
                let activity = Activity {
                    kind: self.rows.required(ACTIVITY, limits::SYMBOL_BYTES_MAX)?,
                    activity_time: Some(time),
                    channel: self.rows.optional(CHANNEL, limits::SYMBOL_BYTES_MAX)?,
                    member_id: self.rows.optional(MEMBER, limits::MEMBER_ID_BYTES_MAX)?,
                };
                let activity = Some(activity);
                Ok(command::Command::RecordActivity(RecordActivityRequest {
                    account_identifier: None,
                    transaction_id,
                    account_id,
                    activity,
                    posting_time,
                }))
            }
            other => Err(self.rows.wrong(KIND, &format!("{other:?} is none of redemption, activity, link and unlink"))),
        }
    }
}

impl Source for EventSource {
    fn next(&mut self) -> Result<Option<Outgoing>, CliError> {
        if !self.rows.advance()? {
            return Ok(None);
        }
        let time = checked_time(&self.rows, TIME, self.before.as_ref())?;
        self.before = Some(time);
        let command = Command { command: Some(self.command(time)?) };
        Ok(Some(Outgoing { line: self.rows.line(), row_count: 1, command }))
    }

    fn file_of(&self, _: Kind) -> &str {
        &self.file
    }

    fn nouns(&self) -> (&'static str, &'static str) {
        ("event", "events")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn redemptions_have_ids_of_their_own_and_an_order() {
        let file = file(
            "redemption_id,household_id,time\n0,9,2017-01-01T12:00:00Z\n1,9,2017-01-01T12:00:00Z\n\
             2,9,2017-01-01T11:59:59Z\n",
        );
        let (mut reader, _) = RedemptionReader::open(file.path(), 100).unwrap();
        reader.set_posts_at_event_time(true);
        let first = reader.next_redemption().unwrap().unwrap();
        assert_eq!((first.line, first.request.transaction_id.as_str(), first.request.points), (2, "redemption-0", 100));
        assert_eq!(first.request.posting_time, Some(first.time));
        assert!(reader.next_redemption().unwrap().is_some());
        let message = reader.next_redemption().unwrap_err().to_string();
        assert!(
            message.ends_with(":4: column time: the row is earlier than the one before it; order the file by time")
        );
    }

    #[test]
    fn events_are_redemptions_activities_and_linked_identifiers() {
        let file = file(
            "transaction_id,account_id,time,kind,points,activity,identifier_kind,identifier,member_id\n\
             t1,a,2017-01-01T12:00:00Z,activity,,review,,,ann\nt2,a,2017-01-02T12:00:00Z,redemption,50,,,,\n\
             l1,a,2017-01-02T12:00:00Z,link,,,card,0042,\nu1,a,2017-01-02T12:00:00Z,unlink,,,card,0042,\n\
             t3,a,2017-01-02T12:00:00Z,gift,50,,,,\n",
        );
        let (mut source, _) = EventSource::open(file.path()).unwrap();
        let first = source.next().unwrap().unwrap().command.command;
        let Some(command::Command::RecordActivity(request)) = first else { panic!("{first:?}") };
        let activity = request.activity.unwrap();
        assert_eq!((activity.kind.as_str(), request.posting_time), ("review", None));
        assert_eq!(activity.member_id, "ann");
        assert_eq!(activity.activity_time.map(|time| time.seconds), Some(1_483_272_000));
        let second = source.next().unwrap().unwrap().command.command;
        let Some(command::Command::Redeem(request)) = second else { panic!("{second:?}") };
        assert_eq!((request.transaction_id.as_str(), request.points), ("t2", 50));
        let card = Some(AccountIdentifier { kind: "card".to_owned(), value: "0042".to_owned() });
        let third = source.next().unwrap().unwrap().command.command;
        let Some(command::Command::LinkIdentifier(request)) = third else { panic!("{third:?}") };
        assert_eq!(
            (request.transaction_id.as_str(), request.account_id.as_str(), request.identifier),
            ("l1", "a", card.clone())
        );
        let fourth = source.next().unwrap().unwrap().command.command;
        let Some(command::Command::UnlinkIdentifier(request)) = fourth else { panic!("{fourth:?}") };
        assert_eq!((request.transaction_id.as_str(), request.identifier), ("u1", card));
        let message = source.next().unwrap_err().to_string();
        assert!(
            message.ends_with(":6: column kind: \"gift\" is none of redemption, activity, link and unlink"),
            "{message}"
        );
    }
}
