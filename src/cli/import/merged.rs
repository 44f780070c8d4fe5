//! Baskets, and redemptions beside them, in the order in which they happened.
//!
//! What must stay true: commands leave in the order of their times, redemptions before baskets of the same instant and
//! each file in its own order, because with an input clock posting times must not go back; an account is enrolled
//! before its first redemption, so that a redemption is refused by what an account has and not because there is none.
//!
//! Besides the rows at hand the ids of the accounts that were enrolled are kept.

use std::collections::{HashSet, VecDeque};

use prost_types::Timestamp;

use super::baskets::{BasketReader, FileBasket};
use super::desk::{Kind, Source};
use super::events::{FileRedemption, RedemptionReader, time_key};
use super::members::derived_id;
use super::pump::Outgoing;
use crate::cli::error::CliError;
use crate::service::wire::{Command, EnrolRequest, command};

/// Redemptions beside the baskets.
#[derive(Debug)]
pub struct Redemptions {
    /// Where they are read.
    pub reader: RedemptionReader,
    /// The file's name as the user gave it.
    pub file: String,
    /// The next one, if it was read.
    next: Option<FileRedemption>,
    is_at_end: bool,
}

impl Redemptions {
    /// None was read yet.
    #[must_use]
    pub fn new(reader: RedemptionReader, file: String) -> Self {
        Self { reader, file, next: None, is_at_end: false }
    }
}

/// See the module.
#[derive(Debug)]
pub struct MergedSource {
    baskets: BasketReader,
    file: String,
    redemptions: Option<Redemptions>,
    /// Whether accounts are enrolled before their first basket too.
    enrols_all: bool,
    next_basket: Option<FileBasket>,
    baskets_ended: bool,
    enrolled: HashSet<Box<str>>,
    /// What was made but not handed on.
    waiting: VecDeque<Outgoing>,
}

impl MergedSource {
    /// Nothing was read yet.
    #[must_use]
    pub fn new(baskets: BasketReader, file: String, redemptions: Option<Redemptions>, enrols_all: bool) -> Self {
        Self {
            baskets,
            file,
            redemptions,
            enrols_all,
            next_basket: None,
            baskets_ended: false,
            enrolled: HashSet::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Sets whether everything is posted at its own time; to be called before anything is read.
    pub fn set_posts_at_event_time(&mut self, is_set: bool) {
        self.baskets.set_posts_at_receipt_time(is_set);
        if let Some(redemptions) = &mut self.redemptions {
            redemptions.reader.set_posts_at_event_time(is_set);
        }
    }

    /// Reads ahead, so that both files have their next row at hand.
    fn look_ahead(&mut self) -> Result<(), CliError> {
        if self.next_basket.is_none() && !self.baskets_ended {
            self.next_basket = self.baskets.next_basket()?;
            self.baskets_ended = self.next_basket.is_none();
        }
        if let Some(redemptions) = &mut self.redemptions
            && redemptions.next.is_none()
            && !redemptions.is_at_end
        {
            redemptions.next = redemptions.reader.next_redemption()?;
            redemptions.is_at_end = redemptions.next.is_none();
        }
        Ok(())
    }

    /// The next redemption, if it comes before the next basket.
    fn take_redemption(&mut self) -> Option<FileRedemption> {
        let next = &mut self.redemptions.as_mut()?.next;
        let time = time_key(Some(&next.as_ref()?.time));
        let basket_time = self.next_basket.as_ref().map(|basket| time_key(basket_time(basket)));
        if basket_time.is_none_or(|basket_time| time <= basket_time) { next.take() } else { None }
    }

    fn enrol_first(&mut self, account_id: &str, line: u64, posting_time: Option<Timestamp>) {
        // An account that is named by an identifier is there.
        if account_id.is_empty() || !self.enrolled.insert(account_id.into()) {
            return;
        }
        let request = EnrolRequest {
            transaction_id: derived_id("enrol", &[account_id]),
            account_id: account_id.to_owned(),
            posting_time,
            ..EnrolRequest::default()
        };
        let command = Command { command: Some(command::Command::Enrol(request)) };
        self.waiting.push_back(Outgoing { line, row_count: 0, command });
    }
}

fn basket_time(basket: &FileBasket) -> Option<&Timestamp> {
    basket.request.basket.as_ref().and_then(|basket| basket.receipt_time.as_ref())
}

impl Source for MergedSource {
    fn next(&mut self) -> Result<Option<Outgoing>, CliError> {
        if let Some(outgoing) = self.waiting.pop_front() {
            return Ok(Some(outgoing));
        }
        self.look_ahead()?;
        if let Some(FileRedemption { line, request, .. }) = self.take_redemption() {
            self.enrol_first(&request.account_id, line, request.posting_time);
            let command = Command { command: Some(command::Command::Redeem(request)) };
            self.waiting.push_back(Outgoing { line, row_count: 1, command });
        } else if let Some(FileBasket { line, row_count, request }) = self.next_basket.take() {
            if self.enrols_all {
                self.enrol_first(&request.account_id, line, request.posting_time);
            }
            let command = Command { command: Some(command::Command::Accrue(request)) };
            self.waiting.push_back(Outgoing { line, row_count, command });
        }
        Ok(self.waiting.pop_front())
    }

    fn file_of(&self, kind: Kind) -> &str {
        match &self.redemptions {
            Some(redemptions) if kind == Kind::Redemption => &redemptions.file,
            _ => &self.file,
        }
    }

    fn nouns(&self) -> (&'static str, &'static str) {
        if self.redemptions.is_none() && !self.enrols_all { ("basket", "baskets") } else { ("command", "commands") }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::cli::import::baskets::Additions;

    fn merged(baskets: &[(&str, &str, &str)], redemptions: &str, enrols_all: bool) -> Vec<String> {
        let mut content = "basket_id,household_id,store_id,time,product_id,department,category,brand,quantity,\
                           amount_cents\n"
            .to_owned();
        for (id, account, time) in baskets {
            content.push_str(&format!("{id},{account},1,2017-01-01T{time}Z,1,,,,1,5\n"));
        }
        let additions = Additions { currency_code: "USD".to_owned(), posts_at_receipt_time: false };
        let reader = BasketReader::new(Box::new(Cursor::new(content.into_bytes())), "b.csv".to_owned(), additions);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("redemption_id,household_id,time\n{redemptions}")).unwrap();
        let (redemptions, _) = RedemptionReader::open(file.path(), 100).unwrap();
        let redemptions = Redemptions::new(redemptions, "r.csv".to_owned());
        let mut source = MergedSource::new(reader.unwrap(), "b.csv".to_owned(), Some(redemptions), enrols_all);
        source.set_posts_at_event_time(true);
        let mut seen = Vec::new();
        let mut latest = None;
        while let Some(outgoing) = source.next().unwrap() {
            let (text, time) = match outgoing.command.command.unwrap() {
                command::Command::Accrue(request) => (request.transaction_id, request.posting_time),
                command::Command::Redeem(request) => (request.transaction_id, request.posting_time),
                command::Command::Enrol(request) => (format!("enrol {}", request.account_id), request.posting_time),
                other => panic!("{other:?}"),
            };
            assert!(time.is_some() && latest <= time_key(time.as_ref()), "posting times never go back");
            latest = time_key(time.as_ref());
            seen.push(text);
        }
        assert!(source.next().unwrap().is_none());
        seen
    }

    #[test]
    fn redemptions_come_before_baskets_of_the_same_instant() {
        let baskets = [("1", "a", "10:00:00"), ("2", "b", "12:00:00"), ("3", "a", "13:00:00")];
        let redemptions = "0,a,2017-01-01T12:00:00Z\n1,b,2017-01-01T12:00:00Z\n2,c,2017-01-01T20:00:00Z\n";
        let expected = ["1", "enrol a", "redemption-0", "enrol b", "redemption-1", "2", "3", "enrol c", "redemption-2"];
        assert_eq!(merged(&baskets, redemptions, false), expected);
    }

    #[test]
    fn every_account_can_be_enrolled_before_anything_else() {
        let baskets = [("1", "a", "10:00:00"), ("2", "a", "12:00:00"), ("3", "b", "13:00:00")];
        let redemptions = "0,a,2017-01-01T12:00:00Z\n";
        assert_eq!(merged(&baskets, redemptions, true), ["enrol a", "1", "redemption-0", "2", "enrol b", "3"]);
    }
}
