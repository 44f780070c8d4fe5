//! What is known of accounts before anything happens to them: the segments that they are in, and what they had in
//! another system.
//!
//! What must stay true: ids follow from what a row says, so that the same file sent again does nothing, and a row that
//! says something else of the same thing is refused instead of counting twice; what is said twice in one file, where
//! only its first part would count, ends the import.
//!
//! Of opening balances 16 bytes each are kept besides the rows at hand, and 16 more of each account with a named wallet.

use std::collections::{HashSet, VecDeque};
use std::path::Path;

use prost_types::Timestamp;

use super::desk::{Kind, Source};
use super::pump::Outgoing;
use super::rows::{Column, Extent, RowReader};
use crate::cli::client::to_wire;
use crate::cli::error::CliError;
use crate::limits;
use crate::service::wire::{
    AccountIdentifier, Command, EnrolRequest, LinkIdentifierRequest, LoadOpeningBalanceRequest, OpeningLot, command,
};

/// 16 bytes of BLAKE3 over what a command is about. Parts cannot run into each other.
fn derived_hash(parts: &[&str]) -> u128 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let mut hash = [0; 16];
    hasher.finalize_xof().fill(&mut hash);
    u128::from_be_bytes(hash)
}

/// An id that follows from what a command is about.
#[must_use]
pub fn derived_id(kind: &str, parts: &[&str]) -> String {
    format!("{kind}-{:032x}", derived_hash(parts))
}

/// How a file of memberships is read.
#[derive(Clone, Debug)]
pub struct SegmentFile {
    /// Name of the column with the account.
    pub account_column: String,
    /// Name of the column with the segment.
    pub segment_column: String,
    /// Stands before the segment that the file names.
    pub segment_prefix: String,
    /// Part of the ids: with another label the same membership is a new command.
    pub label: String,
}

/// Memberships: one row has one account join one segment.
#[derive(Debug)]
pub struct SegmentSource {
    rows: RowReader,
    names: SegmentFile,
    posting_time: Option<Timestamp>,
    file: String,
}

impl SegmentSource {
    /// Opens a file of memberships.
    ///
    /// # Errors
    /// When it cannot be read or lacks a column.
    pub fn open(path: &Path, names: SegmentFile) -> Result<(Self, Extent), CliError> {
        let columns = vec![Column::required(&names.account_column), Column::required(&names.segment_column)];
        let (rows, extent) = RowReader::open(path, columns)?;
        Ok((Self { rows, names, posting_time: None, file: path.display().to_string() }, extent))
    }

    /// Sets when the memberships count as posted; to be called before the first is read.
    pub fn set_posting_time(&mut self, time: Option<jiff::Timestamp>) {
        self.posting_time = time.map(to_wire);
    }
}

impl Source for SegmentSource {
    fn next(&mut self) -> Result<Option<Outgoing>, CliError> {
        if !self.rows.advance()? {
            return Ok(None);
        }
        let account_id = self.rows.required(0, limits::ACCOUNT_ID_BYTES_MAX)?;
        let named = self.rows.required(1, limits::SYMBOL_BYTES_MAX)?;
        let segment = format!("{}{named}", self.names.segment_prefix);
        if segment.len() > limits::SYMBOL_BYTES_MAX {
            let message = format!("is, with its prefix, longer than {} bytes", limits::SYMBOL_BYTES_MAX);
            return Err(self.rows.wrong(1, &message));
        }
        let request = EnrolRequest {
            transaction_id: derived_id("segment", &[&account_id, &segment, &self.names.label]),
            account_id,
            join_segments: vec![segment],
            posting_time: self.posting_time,
            ..EnrolRequest::default()
        };
        let command = Command { command: Some(command::Command::Enrol(request)) };
        Ok(Some(Outgoing { line: self.rows.line(), row_count: 1, command }))
    }

    fn file_of(&self, _: Kind) -> &str {
        &self.file
    }

    fn nouns(&self) -> (&'static str, &'static str) {
        ("membership", "memberships")
    }
}

const ACCOUNT: usize = 0;
const WALLET: usize = 1;
const POINTS: usize = 2;
const ISSUER: usize = 3;
const EXPIRES: usize = 4;
const IDENTIFIER_KIND: usize = 5;
const IDENTIFIER: usize = 6;

/// What is wrong with a row whose account and wallet had rows before that it does not follow.
const SCATTERED: &str = "the rows of one account and wallet must follow each other, and there were others in between";

/// What is wrong with a row that names a wallet of an account for which another row names none, or the other way round.
const TWOFOLD: &str = "is named in one row of the account and left empty in another. Empty it is the first wallet of the \
                       programme, which would be loaded twice if it were the named one too: name it in all rows";

/// Notes the wallet of an account, and says whether by now wallets of it are both named and left empty. An
/// empty one is known by its load; a named one leaves a note that no load looks like, for an identifier is never empty.
fn is_twofold(begun: &mut HashSet<u128>, account: &[&str], wallet: &str) -> bool {
    let named = derived_hash(&[account, &["", "named"]].concat());
    if wallet.is_empty() {
        return begun.contains(&named);
    }
    begun.insert(named);
    begun.contains(&derived_hash(&[account, &[""]].concat()))
}

/// Opening balances: rows of one account and wallet that follow each other are the lots of one command. An identifier
/// that stands beside an account's id is linked to it before; one that stands alone names the account.
#[derive(Debug)]
pub struct BalanceSource {
    rows: RowReader,
    posting_time: Option<Timestamp>,
    file: String,
    /// The command that is being read.
    open: Option<(Outgoing, LoadOpeningBalanceRequest)>,
    /// Links that go before the command that is being read.
    links: VecDeque<Outgoing>,
    /// What was begun: the hashes that the ids are made of, and the accounts of which a wallet was named.
    begun: HashSet<u128>,
    is_at_end: bool,
}

impl BalanceSource {
    /// Opens a file of opening balances.
    ///
    /// # Errors
    /// When it cannot be read or lacks a column.
    pub fn open(path: &Path) -> Result<(Self, Extent), CliError> {
        let columns = vec![
            Column::required("account_id"),
            Column::required("wallet"),
            Column::required("points"),
            Column::optional("issuer"),
            Column::optional("expires_at"),
            Column::optional("identifier_kind"),
            Column::optional("identifier"),
        ];
        let (rows, extent) = RowReader::open(path, columns)?;
        let source = Self {
            rows,
            posting_time: None,
            file: path.display().to_string(),
            open: None,
            links: VecDeque::new(),
            begun: HashSet::new(),
            is_at_end: false,
        };
        Ok((source, extent))
    }

    /// Sets when the balances count as posted; to be called before the first is read.
    pub fn set_posting_time(&mut self, time: Option<jiff::Timestamp>) {
        self.posting_time = time.map(to_wire);
    }

    fn lot(&self) -> Result<OpeningLot, CliError> {
        let expires = self.rows.field(EXPIRES);
        Ok(OpeningLot {
            points: self.rows.number(POINTS, 1, limits::UNITS_MAX)?,
            issuer: self.rows.optional(ISSUER, limits::SYMBOL_BYTES_MAX)?,
            expire_time: if expires.is_empty() { None } else { Some(to_wire(self.rows.time(EXPIRES)?)) },
        })
    }

    fn identifier(&self) -> Result<Option<AccountIdentifier>, CliError> {
        if self.rows.field(IDENTIFIER_KIND).is_empty() && self.rows.field(IDENTIFIER).is_empty() {
            return Ok(None);
        }
        Ok(Some(AccountIdentifier {
            kind: self.rows.required(IDENTIFIER_KIND, limits::SYMBOL_BYTES_MAX)?,
            value: self.rows.required(IDENTIFIER, limits::IDENTIFIER_BYTES_MAX)?,
        }))
    }

    /// Has the identifier of the row at hand linked to its account.
    fn link(&mut self, account_id: &str, identifier: AccountIdentifier, row_count: u64) {
        let request = LinkIdentifierRequest {
            transaction_id: derived_id("link", &[account_id, &identifier.kind, &identifier.value]),
            account_id: account_id.to_owned(),
            identifier: Some(identifier),
            posting_time: self.posting_time,
        };
        let command = Command { command: Some(command::Command::LinkIdentifier(request)) };
        self.links.push_back(Outgoing { line: self.rows.line(), row_count, command });
    }

    /// Takes the row at hand; returns the command before it when the row begins a new one.
    fn take_row(&mut self) -> Result<Option<Outgoing>, CliError> {
        let mut identifier = self.identifier()?;
        let account_id = match &identifier {
            Some(_) => self.rows.optional(ACCOUNT, limits::ACCOUNT_ID_BYTES_MAX)?,
            None => self.rows.required(ACCOUNT, limits::ACCOUNT_ID_BYTES_MAX)?,
        };
        let wallet = self.rows.optional(WALLET, limits::PROGRAM_NAME_BYTES_MAX)?;
        if !account_id.is_empty()
            && let Some(linked) = identifier.take()
        {
            let is_all = self.rows.field(POINTS).is_empty();
            self.link(&account_id, linked, u64::from(is_all));
            if is_all {
                return Ok(self.open.take().map(completed));
            }
        }
        let lot = self.lot()?;
        if let Some((outgoing, request)) = &mut self.open
            && (&request.account_id, &request.wallet, &request.account_identifier)
                == (&account_id, &wallet, &identifier)
        {
            if request.lots.len() == limits::LOADED_LOTS_MAX {
                let message = format!("the account has more than {} lots in this wallet", limits::LOADED_LOTS_MAX);
                return Err(self.rows.wrong(ACCOUNT, &message));
            }
            request.lots.push(lot);
            outgoing.row_count += 1;
            return Ok(None);
        }
        let (kind, account, column) = match &identifier {
            None => ("opening", vec![&*account_id], ACCOUNT),
            Some(named) => ("opening-of", vec![&*named.kind, &*named.value], IDENTIFIER),
        };
        let parts = [&account[..], &[&*wallet]].concat();
        // The same id once more would be answered as a repetition, and these points be nowhere.
        if !self.begun.insert(derived_hash(&parts)) {
            return Err(self.rows.wrong(column, SCATTERED));
        }
        if is_twofold(&mut self.begun, &account, &wallet) {
            return Err(self.rows.wrong(WALLET, TWOFOLD));
        }
        let transaction_id = derived_id(kind, &parts);
        let request = LoadOpeningBalanceRequest {
            account_identifier: identifier,
            transaction_id,
            account_id,
            wallet,
            lots: vec![lot],
            posting_time: self.posting_time,
        };
        let begun = Outgoing { line: self.rows.line(), row_count: 1, command: Command::default() };
        Ok(self.open.replace((begun, request)).map(completed))
    }
}

fn completed((outgoing, request): (Outgoing, LoadOpeningBalanceRequest)) -> Outgoing {
    let command = Command { command: Some(command::Command::LoadOpeningBalance(request)) };
    Outgoing { command, ..outgoing }
}

impl Source for BalanceSource {
    fn next(&mut self) -> Result<Option<Outgoing>, CliError> {
        loop {
            // A link goes before what is still being read, and after what was read before it.
            if let Some(link) = self.links.pop_front() {
                return Ok(Some(link));
            }
            if self.is_at_end {
                return Ok(self.open.take().map(completed));
            }
            let taken = match self.rows.advance() {
                Ok(true) => self.take_row(),
                Ok(false) => {
                    self.is_at_end = true;
                    Ok(None)
                }
                Err(error) => Err(error),
            };
            match taken {
                Ok(Some(complete)) => return Ok(Some(complete)),
                Ok(None) => {}
                Err(error) => {
                    // Nothing of the command that may hold the mistake is handed on.
                    (self.open, self.is_at_end) = (None, true);
                    self.links.clear();
                    return Err(error);
                }
            }
        }
    }

    fn file_of(&self, _: Kind) -> &str {
        &self.file
    }

    fn nouns(&self) -> (&'static str, &'static str) {
        ("opening balance", "opening balances")
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
    fn ids_follow_from_what_is_said() {
        let id = derived_id("segment", &["a", "b"]);
        assert_eq!((id.len(), derived_id("segment", &["a", "b"]) == id), (40, true));
        assert_ne!(derived_id("segment", &["ab", ""]), derived_id("segment", &["a", "b"]));
        assert!(id.len() <= limits::TRANSACTION_ID_BYTES_MAX);
        // What was imported by an earlier version is known by these ids.
        assert_eq!(derived_id("opening", &["a", ""]), "opening-746ed64542c5b454e64b7b06821f9893");
    }

    #[test]
    fn memberships_of_any_file_become_enrolments() {
        let file = file("campaign_id,household_id\n1,68\n13,93\n");
        let names = SegmentFile {
            account_column: "household_id".to_owned(),
            segment_column: "campaign_id".to_owned(),
            segment_prefix: "campaign-".to_owned(),
            label: String::new(),
        };
        let (mut source, _) = SegmentSource::open(file.path(), names).unwrap();
        source.set_posting_time(Some("2017-01-01T00:00:00Z".parse().unwrap()));
        let mut seen = Vec::new();
        while let Some(outgoing) = source.next().unwrap() {
            let Some(command::Command::Enrol(request)) = outgoing.command.command else { panic!("an enrolment") };
            assert_eq!(request.posting_time.map(|time| time.seconds), Some(1_483_228_800));
            seen.push((outgoing.line, request.account_id, request.join_segments.concat()));
        }
        let expected = [(2, "68", "campaign-1"), (3, "93", "campaign-13")];
        assert_eq!(seen, expected.map(|(line, account, segment)| (line, account.to_owned(), segment.to_owned())));
    }

    #[test]
    fn rows_of_one_account_and_wallet_become_one_opening_balance() {
        let file = file(
            "account_id,wallet,points,issuer,expires_at\n\
             a,points,5,north,2027-01-01T00:00:00Z\na,points,7,,\na,stars,1,,\nb,points,0,,\n",
        );
        let (mut source, _) = BalanceSource::open(file.path()).unwrap();
        let mut next = || match source.next() {
            Ok(Some(outgoing)) => match outgoing.command.command {
                Some(command::Command::LoadOpeningBalance(request)) => Ok((outgoing.line, request)),
                other => panic!("{other:?}"),
            },
            Ok(None) => panic!("there is a mistake to come"),
            Err(error) => Err(error.to_string()),
        };
        let (line, first) = next().unwrap();
        assert_eq!((line, first.account_id.as_str(), first.wallet.as_str(), first.lots.len()), (2, "a", "points", 2));
        assert_eq!((first.lots[0].points, first.lots[0].issuer.as_str()), (5, "north"));
        assert_eq!((first.lots[1].points, first.lots[1].expire_time), (7, None));
        let message = next().unwrap_err();
        assert!(
            message.ends_with("column points: \"0\" is not a whole number from 1 to 1000000000000000000"),
            "{message}"
        );
    }

    #[test]
    fn rows_of_one_account_and_wallet_that_do_not_follow_each_other_are_refused() {
        // What the rows say, how many commands come before the mistake, and its line and column.
        let rows = [
            ("a,,50,,\nb,,20,,\na,,50,,\n", 1, "4: column account_id"),
            ("a,,50,,\na,,,card,1\na,,50,,\n", 2, "4: column account_id"),
            ("a,,50,,\nb,,20,,\nc,,7,,\na,,7,card,1\n", 2, "5: column account_id"),
            ("a,x,50,,\na,y,20,,\na,x,7,,\n", 1, "4: column account_id"),
            (",,50,card,1\n,,20,card,2\n,,50,card,1\n", 1, "4: column identifier"),
        ];
        for (rows, count, place) in rows {
            let file = file(&format!("account_id,wallet,points,identifier_kind,identifier\n{rows}"));
            let (mut source, _) = BalanceSource::open(file.path()).unwrap();
            for _ in 0..count {
                assert!(source.next().unwrap().is_some(), "{rows}");
            }
            let message = source.next().unwrap_err().to_string();
            assert!(message.ends_with(&format!(":{place}: {SCATTERED}")), "{rows}: {message}");
            assert!(source.next().unwrap().is_none(), "nothing of what is wrong is handed on");
        }
    }

    #[test]
    fn a_wallet_that_is_named_in_one_row_of_an_account_and_empty_in_another_is_refused() {
        // What the rows say, how many commands come before the mistake, and its line.
        let rows = [
            ("a,points,50,,\na,,50,,\n", 0, 3),
            ("a,,50,,\nb,points,20,,\na,points,50,,\n", 1, 4),
            ("a,points,50,,\nb,,20,,\na,,50,,\n", 1, 4),
            (",points,50,card,1\n,points,20,card,2\n,,50,card,1\n", 1, 4),
        ];
        for (rows, count, line) in rows {
            let file = file(&format!("account_id,wallet,points,identifier_kind,identifier\n{rows}"));
            let (mut source, _) = BalanceSource::open(file.path()).unwrap();
            for _ in 0..count {
                assert!(source.next().unwrap().is_some(), "{rows}");
            }
            let message = source.next().unwrap_err().to_string();
            assert!(message.ends_with(&format!(":{line}: column wallet: {TWOFOLD}")), "{rows}: {message}");
            assert!(source.next().unwrap().is_none(), "nothing of what is wrong is handed on");
        }
    }

    #[test]
    fn accounts_and_wallets_that_differ_may_alternate() {
        let file = file(
            "account_id,wallet,points,identifier_kind,identifier\n\
             a,x,1,,\nb,x,1,,\na,y,1,,\nb,y,1,,\nc,,1,,\n,x,1,card,a\n,y,1,card,a\n,x,1,phone,a\n",
        );
        let (mut source, _) = BalanceSource::open(file.path()).unwrap();
        let count = std::iter::from_fn(|| source.next().unwrap()).count();
        assert_eq!(count, 8);
    }

    #[test]
    fn an_identifier_is_linked_beside_an_id_and_names_the_account_alone() {
        let file = file(
            "account_id,wallet,points,identifier_kind,identifier\n\
             a,,5,card,1\na,,7,card,2\na,,,phone,3\n,,4,card,9\n,,6,card,9\nb,,1,,\n,,1,card,\n",
        );
        let (mut source, _) = BalanceSource::open(file.path()).unwrap();
        let mut seen = Vec::new();
        let mistake = loop {
            let outgoing = match source.next() {
                Ok(outgoing) => outgoing.expect("there is a mistake to come"),
                Err(error) => break error.to_string(),
            };
            let rows = outgoing.row_count;
            seen.push(match outgoing.command.command.unwrap() {
                command::Command::LinkIdentifier(request) => {
                    let identifier = request.identifier.unwrap();
                    format!("{}: {} {} is {}'s", rows, identifier.kind, identifier.value, request.account_id)
                }
                command::Command::LoadOpeningBalance(request) => {
                    let named = request.account_identifier.map_or(request.account_id, |named| named.value);
                    let points: Vec<i64> = request.lots.iter().map(|lot| lot.points).collect();
                    format!("{rows}: {named} has {points:?}")
                }
                other => panic!("{other:?}"),
            });
        };
        let expected =
            ["0: card 1 is a's", "0: card 2 is a's", "2: a has [5, 7]", "1: phone 3 is a's", "2: 9 has [4, 6]"];
        assert_eq!(seen, expected);
        assert!(mistake.ends_with("column identifier: is empty"), "{mistake}");
    }
}
