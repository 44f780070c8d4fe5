//! What verification says: figures of the history, how far its promise reaches, and the first problem of each class.
//!
//! What must stay true: a finding names where it is, in positions and in bytes of the frame, and is a sentence; the
//! names of classes and fields are what scripts read and do not change.

use crate::ledger::command::CommandKind;
use serde::Serialize;

use crate::journal::JournalError;
use crate::journal::frame::{FrameError, FrameFault, RecordView};
use crate::ledger::types::Position;

/// What kind of promise a finding breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingClass {
    /// A frame is not what was written: its length, magic, format or hash.
    Frame,
    /// A frame does not follow the one before it, or lies under another key.
    Chain,
    /// A record cannot be read, is not in the one form that the encoder gives it, or names what does not exist.
    Record,
    /// The records of a shard do not follow each other.
    Sequence,
    /// A record names another record of its account as the one before it.
    BackLink,
    /// The posting time of a shard goes back.
    Time,
    /// A version of the programme was published out of order, or another one was in force.
    Program,
    /// A key was issued or revoked as it cannot have been.
    Key,
    /// Something was frozen or thawed as it cannot have been.
    Freeze,
    /// Something was proposed, confirmed or rejected as it cannot have been.
    Proposal,
    /// Deciding the command again gives another decision.
    Decision,
    /// What a reversal undoes is not what the accrual did.
    Reversal,
    /// An id or a receipt was used twice.
    Once,
    /// A budget was overdrawn, or its uses do not add up.
    Budget,
    /// Accounts and partners do not add up to zero.
    Balance,
    /// Epochs do not ascend, or a process did not say that it took over.
    Epoch,
    /// What the high-water mark vouches for is missing or was replaced.
    HighWater,
    /// The snapshot does not lead to the state that the journal gives.
    Snapshot,
    /// The store could not read what it holds.
    Store,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of promise is broken.
    pub class: FindingClass,
    /// The position of the record, or of the frame's first record.
    pub position: u64,
    /// The position under which the frame lies.
    pub frame: u64,
    /// First byte concerned, counted from the beginning of the frame.
    pub from: usize,
    /// One past the last byte concerned; the same as `from` where no bytes are concerned.
    pub to: usize,
    /// What is wrong.
    pub sentence: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { position, frame, from, to, sentence, .. } = self;
        if from == to {
            return write!(f, "position {position}: {sentence}");
        }
        write!(f, "position {position}, bytes {from}..{to} of the frame at {frame}: {sentence}")
    }
}

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) position: Position,
    pub(super) frame: Position,
    pub(super) from: usize,
    pub(super) to: usize,
}

impl Place {
    pub(super) fn of(frame: Position, view: &RecordView<'_>) -> Self {
        Self { position: view.position, frame, from: view.offset, to: view.offset + view.bytes.len() }
    }

    /// A place without bytes.
    pub(super) fn at(position: Position) -> Self {
        Self { position, frame: position, from: 0, to: 0 }
    }

    pub(super) fn finding(self, class: FindingClass, sentence: impl Into<String>) -> Finding {
        let Self { position, frame, from, to } = self;
        Finding { class, position: position.0, frame: frame.0, from, to, sentence: sentence.into() }
    }
}

impl From<FrameError> for Finding {
    fn from(error: FrameError) -> Self {
        let class = match error.fault {
            FrameFault::Length
            | FrameFault::Magic
            | FrameFault::NewerFormat { .. }
            | FrameFault::Hash
            | FrameFault::BeyondLast => FindingClass::Frame,
            FrameFault::Misplaced { .. } | FrameFault::Chain | FrameFault::Gap { .. } => FindingClass::Chain,
            FrameFault::Section(_) => FindingClass::Record,
        };
        let FrameError { position, from, to, fault } = error;
        Place { position, frame: position, from, to }.finding(class, fault.to_string())
    }
}

impl Finding {
    /// The finding that a failure of the journal stands for; the failure itself where it says nothing about the
    /// history. `read_to` is how far the journal could be read.
    pub(super) fn of_journal(error: JournalError, read_to: Position) -> Result<Self, JournalError> {
        use crate::store::StoreError;
        match error {
            JournalError::Frame(error) => Ok(error.into()),
            JournalError::Record { position, from, to, fault } => {
                Ok(Place { position, frame: position, from, to }.finding(FindingClass::Record, fault.to_string()))
            }
            error @ JournalError::Missing { end, .. } => {
                Ok(Place::at(end).finding(FindingClass::HighWater, error.to_string()))
            }
            error @ JournalError::Replaced(end) => {
                Ok(Place::at(end).finding(FindingClass::HighWater, error.to_string()))
            }
            JournalError::Store(StoreError::Damaged { path, reason, .. }) => Ok(Place::at(read_to).finding(
                FindingClass::Store,
                format!("what follows cannot be read from {}: {reason}", path.display()),
            )),
            error @ (JournalError::Store(_) | JournalError::Fenced { .. }) => Err(error),
        }
    }
}

/// How many records there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KindCounts {
    /// Granted accruals, those of nothing included.
    pub accruals: u64,
    /// Granted reversals.
    pub reversals: u64,
    /// Accruals that were refused on record.
    pub refused_accruals: u64,
    /// Reversals that were refused on record.
    pub refused_reversals: u64,
    /// Granted redemptions.
    pub redemptions: u64,
    /// Redemptions that were refused on record.
    pub refused_redemptions: u64,
    /// Granted authorizations: units were set aside.
    pub authorizations: u64,
    /// Granted captures: units that were set aside were burned.
    pub captures: u64,
    /// Voids: units that were set aside were given back.
    pub voids: u64,
    /// Reversals of redemptions and captures: units that were burned came back.
    pub returns: u64,
    /// Granted top-ups: money was paid in.
    pub top_ups: u64,
    /// Granted refunds: money went back to where it came from.
    pub refunds: u64,
    /// Activities, those that earned nothing included.
    pub activities: u64,
    /// Changes of what is known of accounts.
    pub enrolments: u64,
    /// Opening balances.
    pub loadings: u64,
    /// What operators asked: releases, rejections, expiries taken back, corrections.
    pub operations: u64,
    /// Identifiers linked and unlinked.
    pub linkings: u64,
    /// Other commands that were refused on record.
    pub other_refusals: u64,
    /// Expiries that were posted by themselves.
    pub expiries: u64,
    /// Processes that took over.
    pub openings: u64,
    /// Strings that got a number.
    pub symbols: u64,
    /// Items that got a number.
    pub items: u64,
    /// Versions of the programme.
    pub programs: u64,
    /// Keys that were issued, and revocations.
    pub keys: u64,
    /// Freezes and thaws.
    pub freezes: u64,
    /// Proposals to a second person, and verdicts.
    pub proposals: u64,
}

impl KindCounts {
    /// Counts a command.
    pub(super) fn count(&mut self, kind: &CommandKind, is_refused: bool) {
        *match (kind, is_refused) {
            (CommandKind::Accrue(_), false) => &mut self.accruals,
            (CommandKind::Accrue(_), true) => &mut self.refused_accruals,
            (CommandKind::Reverse(_), false) => &mut self.reversals,
            (CommandKind::Reverse(_), true) => &mut self.refused_reversals,
            (CommandKind::Unburn(_), false) => &mut self.returns,
            (CommandKind::Redeem(_), false) => &mut self.redemptions,
            (CommandKind::Redeem(_), true) => &mut self.refused_redemptions,
            (CommandKind::Act(_), false) => &mut self.activities,
            (CommandKind::Enrol(_), false) => &mut self.enrolments,
            (CommandKind::Load(_), false) => &mut self.loadings,
            (CommandKind::Operate(_), false) => &mut self.operations,
            (CommandKind::Link(_), false) => &mut self.linkings,
            (CommandKind::Authorize(_), false) => &mut self.authorizations,
            (CommandKind::Capture(_), false) => &mut self.captures,
            (CommandKind::Void(_), false) => &mut self.voids,
            (CommandKind::TopUp(_), false) => &mut self.top_ups,
            (CommandKind::Refund(_), false) => &mut self.refunds,
            (
                CommandKind::Act(_)
                | CommandKind::Enrol(_)
                | CommandKind::Load(_)
                | CommandKind::Operate(_)
                | CommandKind::Link(_)
                | CommandKind::Authorize(_)
                | CommandKind::Capture(_)
                | CommandKind::Void(_)
                | CommandKind::Unburn(_)
                | CommandKind::TopUp(_)
                | CommandKind::Refund(_),
                true,
            ) => &mut self.other_refusals,
            (CommandKind::Expire, _) => &mut self.expiries,
        } += 1;
    }

    /// Refusals on record.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refused_accruals + self.refused_reversals + self.refused_redemptions + self.other_refusals
    }

    /// All records.
    #[must_use]
    pub fn total(&self) -> u64 {
        // Taken apart in full, so that a kind that is added is not forgotten here.
        let Self {
            accruals,
            reversals,
            refused_accruals,
            refused_reversals,
            redemptions,
            refused_redemptions,
            authorizations,
            captures,
            voids,
            returns,
            top_ups,
            refunds,
            activities,
            enrolments,
            loadings,
            operations,
            linkings,
            other_refusals,
            expiries,
            openings,
            symbols,
            items,
            programs,
            keys,
            freezes,
            proposals,
        } = *self;
        let earned_and_burned = accruals + reversals + redemptions + returns + activities + loadings;
        let set_aside = authorizations + captures + voids;
        let paid = top_ups + refunds;
        let accepted = earned_and_burned + set_aside + paid + enrolments + operations + linkings;
        let refused = refused_accruals + refused_reversals + refused_redemptions + other_refusals;
        let defined = symbols + items + programs + keys + freezes + proposals;
        accepted + refused + expiries + openings + defined
    }
}

/// One wallet, added up over all accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WalletSum {
    /// Its name in the latest version of the programme.
    pub wallet: String,
    /// Units that accounts hold; partners owe the same.
    pub outstanding_units: i128,
    /// Units ever issued.
    pub issued_units: i128,
    /// Units ever taken back by reversals.
    pub reversed_units: i128,
    /// Units ever burned by redemptions.
    pub redeemed_units: i128,
    /// Units whose expiry was posted.
    pub expired_units: i128,
}

/// The snapshot that was compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SnapshotCheck {
    /// Where its replay began.
    pub start: u64,
    /// The digest of the state recovered from it; the same as the report's, or there is a finding.
    pub digest: String,
}

/// A release of the time-zone database by which a part of the journal was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimeZoneRelease {
    /// Its name, such as `2025b`.
    pub release: String,
    /// The position from which it was in force, until the next one was.
    pub from_position: u64,
    /// The epoch that began there.
    pub from_epoch: u64,
}

/// What verification says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// True when there is no finding.
    pub intact: bool,
    /// Frames judged.
    pub frame_count: u64,
    /// Records judged.
    pub record_count: u64,
    /// Records judged, by kind.
    pub records: KindCounts,
    /// Accounts opened.
    pub account_count: u64,
    /// Units by wallet.
    pub wallets: Vec<WalletSum>,
    /// The digest of the state after the last record; `None` when the history could not be followed to its end.
    pub digest: Option<String>,
    /// One past the last record judged.
    pub end_position: u64,
    /// Processes that wrote to the journal.
    pub epoch_count: u64,
    /// The last epoch.
    pub last_epoch: u64,
    /// One past the last record that the high-water mark vouches for.
    pub high_water_position: Option<u64>,
    /// Records behind the mark: that some of them were cut off would not be seen.
    pub records_behind_mark: u64,
    /// How far the promise of detection reaches.
    pub promise: String,
    /// The release of the time-zone database by which everything was decided again: the one in this binary.
    pub time_zone_release: String,
    /// The releases by which it had been decided, as the processes that wrote the journal state them, in order.
    pub time_zone_releases: Vec<TimeZoneRelease>,
    /// A sentence where any of them is another than that of this binary: no finding, but what may explain one.
    pub time_zone_note: Option<String>,
    /// The comparison with the snapshot, when there is a snapshot and the journal is whole.
    pub snapshot: Option<SnapshotCheck>,
    /// The first problem of each class, in the order in which they were met.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// Adds a finding, unless there is one of its class.
    pub(super) fn note(&mut self, finding: Finding) {
        if self.findings.iter().all(|known| known.class != finding.class) {
            self.findings.push(finding);
        }
        self.intact = false;
    }

    /// States by which rules of time zones the history was decided, and by which again.
    pub(super) fn state_time_zones(&mut self, ours: &str, releases: &[TimeZoneRelease]) {
        ours.clone_into(&mut self.time_zone_release);
        self.time_zone_releases = releases.to_vec();
        if releases.iter().all(|theirs| theirs.release == ours) {
            return;
        }
        let named = releases.iter().map(|theirs| format!("{} from position {}", theirs.release, theirs.from_position));
        self.time_zone_note = Some(format!(
            "The journal was decided by other rules of time zones than those of this program, release {ours}: by {}. \
             Where a zone's rules changed in between, deciding again can differ though nothing was altered.",
            named.collect::<Vec<_>>().join(", ")
        ));
    }

    /// States how far the promise reaches.
    pub(super) fn state_promise(&mut self, high_water: Option<Position>) {
        self.high_water_position = high_water.map(|end| end.0);
        self.records_behind_mark = self.end_position.saturating_sub(high_water.map_or(0, |end| end.0));
        self.promise = match high_water {
            None => {
                "There is no high-water mark: changes inside the journal are found, but not that its end is missing."
                    .to_owned()
            }
            Some(end) => format!(
                "Detection is promised up to position {end}, the last durable high-water mark; {} records lie behind it.",
                self.records_behind_mark
            ),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_counts_once_in_the_total() {
        let counts = KindCounts {
            accruals: 1,
            reversals: 1 << 1,
            refused_accruals: 1 << 2,
            refused_reversals: 1 << 3,
            redemptions: 1 << 4,
            refused_redemptions: 1 << 5,
            authorizations: 1 << 6,
            captures: 1 << 7,
            voids: 1 << 8,
            returns: 1 << 9,
            top_ups: 1 << 10,
            refunds: 1 << 11,
            activities: 1 << 12,
            enrolments: 1 << 13,
            loadings: 1 << 14,
            operations: 1 << 15,
            linkings: 1 << 16,
            other_refusals: 1 << 17,
            expiries: 1 << 18,
            openings: 1 << 19,
            symbols: 1 << 20,
            items: 1 << 21,
            programs: 1 << 22,
            keys: 1 << 23,
            freezes: 1 << 24,
            proposals: 1 << 25,
        };
        let shown = serde_json::to_value(counts).expect("figures are JSON");
        let shown = shown.as_object().expect("figures with names");
        assert_eq!(shown.len(), 26);
        assert_eq!(counts.total(), shown.values().filter_map(serde_json::Value::as_u64).sum::<u64>());
        assert_eq!(counts.total(), (1 << 26) - 1);
    }

    #[test]
    fn another_release_of_time_zones_is_noted_and_is_no_finding() {
        let of = |release: &str, from_position, from_epoch| {
            let release = release.to_owned();
            TimeZoneRelease { release, from_position, from_epoch }
        };
        let mut report = VerifyReport { intact: true, ..VerifyReport::default() };
        report.state_time_zones("2025b", &[]);
        report.state_time_zones("2025b", &[of("2025b", 0, 1)]);
        assert_eq!((report.time_zone_release.as_str(), &report.time_zone_note), ("2025b", &None));
        report.state_time_zones("2025b", &[of("2024a", 0, 1), of("2025b", 57, 4)]);
        let note = report.time_zone_note.as_deref().expect("one differs");
        assert!(note.contains("release 2025b: by 2024a from position 0, 2025b from position 57. "), "{note}");
        assert!(report.intact && report.findings.is_empty());
    }
}
