//! The ids that records use and give back, and how replay brings them into the index.
//!
//! What must stay true: what replay enters for a record is what the live path enters when its commit is processed; an id
//! of a record from which on the index is not complete is in it before the record is announced as settled.

use crate::ids::{Committing, IdEntry, IdHasher, IdIndex, IdKey};
use crate::journal::dictionary::Dictionary;
use crate::journal::record::{Entry, Publication};
use crate::ledger::command::{Command, CommandKind, Receipt};
use crate::ledger::operator::OperatorOrder;
use crate::ledger::types::{Position, SymbolId};
use crate::shard::job::ClaimedIds;

/// Texts by number.
type Texts = [Box<str>];

fn text(texts: &Texts, symbol: SymbolId) -> &str {
    usize::try_from(symbol.0).ok().and_then(|index| texts.get(index)).map_or("", |text| text)
}

/// The key of a receipt in the id index.
fn receipt_key(hasher: &IdHasher, texts: &Texts, partner: &str, receipt: &Receipt) -> IdKey {
    let (store, terminal) = (text(texts, receipt.store), text(texts, receipt.terminal));
    hasher.receipt(partner, store, terminal, receipt.business_day.0, &receipt.number)
}

/// The ids of a command: what it claims before it is decided, and what is entered when it is durable.
#[must_use]
pub fn ids_of(hasher: &IdHasher, dictionary: &Dictionary, command: &Command) -> ClaimedIds {
    ids_by(hasher, &dictionary.texts(), command)
}

fn ids_by(hasher: &IdHasher, texts: &Texts, command: &Command) -> ClaimedIds {
    let partner = text(texts, command.partner);
    let transaction = hasher.transaction(partner, &command.transaction_id);
    match &command.kind {
        CommandKind::Accrue(basket) => {
            let subject = receipt_key(hasher, texts, partner, &basket.receipt());
            ClaimedIds { subject, ..ClaimedIds::alone(transaction) }
        }
        CommandKind::Reverse(reversal) => {
            let receipt = || receipt_key(hasher, texts, partner, &reversal.original.receipt);
            ClaimedIds {
                transaction,
                subject: hasher.reversal(partner, &reversal.original_transaction_id),
                freed: reversal.is_last().then(receipt),
            }
        }
        CommandKind::Unburn(unburn) => {
            let subject = hasher.reversal(partner, &unburn.original_transaction_id);
            ClaimedIds { subject, ..ClaimedIds::alone(transaction) }
        }
        // As a reversal: what is left follows from the last of them.
        CommandKind::Refund(refund) => {
            let subject = hasher.reversal(partner, &refund.original_transaction_id);
            ClaimedIds { subject, ..ClaimedIds::alone(transaction) }
        }
        CommandKind::Operate(operation) => {
            let subject = match &operation.order {
                OperatorOrder::Release(original) => hasher.release(partner, &original.transaction_id),
                // Whoever rejects takes back whole, as a reversal does: one excludes the other.
                OperatorOrder::Reject(original) => hasher.reversal(partner, &original.transaction_id),
                OperatorOrder::Restore(restoration) => hasher.restoration(partner, restoration.expiry),
                OperatorOrder::Adjust(_) | OperatorOrder::IssueVoucher(_) | OperatorOrder::CancelVoucher(_) => {
                    transaction
                }
            };
            ClaimedIds { subject, ..ClaimedIds::alone(transaction) }
        }
        CommandKind::Link(linking) if linking.links => {
            ClaimedIds { subject: linking.key.into(), ..ClaimedIds::alone(transaction) }
        }
        CommandKind::Link(linking) => ClaimedIds { freed: Some(linking.key.into()), ..ClaimedIds::alone(transaction) },
        // Of all that capture or void one authorization, the last is found.
        CommandKind::Capture(_) | CommandKind::Void(_) => {
            let latest = command.kind.authorization().map(|of| hasher.capture(partner, &of.transaction_id));
            ClaimedIds { freed: latest, ..ClaimedIds::alone(transaction) }
        }
        CommandKind::Redeem(_)
        | CommandKind::Authorize(_)
        | CommandKind::TopUp(_)
        | CommandKind::Act(_)
        | CommandKind::Enrol(_)
        | CommandKind::Load(_)
        | CommandKind::Expire => ClaimedIds::alone(transaction),
    }
}

/// The index that replay completes.
#[derive(Clone, Copy)]
pub(super) struct IdsToEnter<'a> {
    /// The index.
    pub(super) ids: &'a IdIndex,
    /// Hashes ids as it does.
    pub(super) hasher: &'a IdHasher,
    /// Below this position the index is complete.
    pub(super) covered: Position,
}

/// Gathers the ids of records, and enters them many at a time.
pub(super) struct Entering<'a> {
    to_enter: IdsToEnter<'a>,
    gathered: Vec<(IdKey, IdEntry)>,
    committing: Committing,
}

impl<'a> Entering<'a> {
    pub(super) fn new(to_enter: IdsToEnter<'a>) -> Self {
        Self { to_enter, gathered: Vec::new(), committing: Committing::default() }
    }

    /// Gathers the ids of records that are durable. The live path enters the same when a commit is processed.
    pub(super) fn gather<'e>(&mut self, dictionary: &Dictionary, entries: impl Iterator<Item = (Position, &'e Entry)>) {
        #[cfg(feature = "broken-variants")]
        if crate::sim::broken::is(crate::sim::broken::Variant::SkipIdCheckAfterRestart) {
            return;
        }
        let covered = self.to_enter.covered;
        let mut entries = entries
            .filter(|(position, entry)| *position >= covered && !matches!(entry.command.kind, CommandKind::Expire))
            .peekable();
        if entries.peek().is_none() {
            return;
        }
        let texts = dictionary.texts();
        for (position, entry) in entries {
            let keys = ids_by(self.to_enter.hasher, &texts, &entry.command);
            let taken = IdEntry { position, freed: false };
            self.gathered.push((keys.transaction, taken));
            if entry.decision.refusal().is_none() {
                if keys.subject != keys.transaction {
                    self.gathered.push((keys.subject, taken));
                }
                if let Some(freed) = keys.freed {
                    self.gathered.push((freed, IdEntry { position, freed: entry.command.kind.frees() }));
                }
            }
        }
    }

    /// Enters what was gathered.
    pub(super) fn enter(&mut self) {
        self.to_enter.ids.commit_many(&self.gathered, &[], &mut self.committing);
        self.gathered.clear();
    }
}

/// Enters the id of a publication that came through the wire.
pub fn enter_publication(
    ids: &IdIndex,
    hasher: &IdHasher,
    dictionary: &Dictionary,
    position: Position,
    publication: &Publication,
) {
    if !publication.transaction_id.is_empty() {
        let key = hasher.transaction(text(&dictionary.texts(), publication.partner), &publication.transaction_id);
        ids.insert(key, IdEntry { position, freed: false });
    }
}
