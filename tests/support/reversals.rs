//! Reversals, as the edge sends them: the original is found by its id, claimed, and what is left of it comes back.

use super::edge::{Answer, Edge, Pending};
use tallystick::ids::{Claim, IdKey};
use tallystick::journal::record::Record;
use tallystick::journal::returned::undone;
use tallystick::journal::unburned::unburned;
use tallystick::journal::walk::{Located, record_at};
use tallystick::ledger::command::{AskedReversal, Command, CommandKind, ReturnedLine, Reversal};
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::types::{Position, TimestampNs};
use tallystick::recovery::ids_of;

impl Edge<'_> {
    #[track_caller]
    pub fn reverse(&self, transaction_id: &str, original_transaction_id: &str) -> Answer {
        self.reverse_at(transaction_id, original_transaction_id, None)
    }

    #[track_caller]
    pub fn reverse_at(&self, transaction_id: &str, original: &str, stamp: Option<TimestampNs>) -> Answer {
        self.begin_reverse(transaction_id, original, &[], stamp).wait().expect("the ledger answers")
    }

    /// Asks for a reversal of some lines and waits for its answer.
    #[track_caller]
    pub fn give_back(&self, transaction_id: &str, original: &str, lines: &[ReturnedLine]) -> Answer {
        self.begin_reverse(transaction_id, original, lines, None).wait().expect("the ledger answers")
    }

    /// Asks for so many units of a burn, or whatever is left of it, and waits for the answer.
    #[track_caller]
    pub fn unburn(&self, transaction_id: &str, original: &str, units: Option<i64>) -> Answer {
        let asked = AskedReversal { original_transaction_id: original, lines: &[], units, quantity: None };
        self.begin_reversal(transaction_id, &asked, None).wait().expect("the ledger answers")
    }

    /// Asks for a reversal of some lines, or of whatever is left.
    pub fn begin_reverse(
        &self,
        transaction_id: &str,
        original_id: &str,
        lines: &[ReturnedLine],
        stamp: Option<TimestampNs>,
    ) -> Pending {
        let asked = AskedReversal { original_transaction_id: original_id, lines, units: None, quantity: None };
        self.begin_reversal(transaction_id, &asked, stamp)
    }

    /// Asks for a reversal.
    pub fn begin_reversal(
        &self,
        transaction_id: &str,
        asked: &AskedReversal<'_>,
        stamp: Option<TimestampNs>,
    ) -> Pending {
        let engine = self.engine;
        let original_id = asked.original_transaction_id;
        let partner = engine.dictionary.text(self.partner).expect("the partner has a name");
        let transaction = engine.hasher.transaction(&partner, transaction_id);
        match self.claim(transaction) {
            Claim::Granted => {}
            Claim::Committed(entry) => return Pending::Done(Box::new(self.reversal_again(asked, entry.position))),
            Claim::TooMany | Claim::InFlight => return Pending::refused(Refusal::Overloaded),
        }
        let refuse = |refusal| {
            engine.shared.ids.release(transaction);
            Pending::refused(refusal)
        };
        let original_key = engine.hasher.transaction(&partner, original_id);
        let Some(found) = engine.shared.ids.lookup(original_key).expect("the index can be read") else {
            return refuse(Refusal::OriginalUnknown);
        };
        let located = record_at(&*engine.journal, &engine.dictionary, found.position).expect("the journal can be read");
        let located = located.expect("an id leads to a record");
        let is_reversible =
            |entry: &&tallystick::journal::record::Entry| entry.granted().is_some() || !entry.burned().is_empty();
        let Some(entry) = located.entry().filter(is_reversible) else { return refuse(Refusal::NotReversible) };
        let account_id = self.account_id(located.shard, entry.account);
        let subject = engine.hasher.reversal(&partner, original_id);
        if self.claim_by(subject, |ids| ids.claim_again(subject)) != Claim::Granted {
            return refuse(Refusal::Overloaded);
        }
        match self.taken_back(&located, subject, asked) {
            Ok(kind) => {
                let command = Command {
                    account_id: account_id.into(),
                    transaction_id: transaction_id.into(),
                    partner: self.partner,
                    kind,
                    ..Command::default()
                };
                let ids = ids_of(&engine.hasher, &engine.dictionary, &command);
                self.submit(command, ids, stamp, None)
            }
            Err(answer) => {
                engine.shared.ids.release(subject);
                engine.shared.ids.release(transaction);
                Pending::Done(answer)
            }
        }
    }

    /// What a reversal takes back of an original that is claimed.
    fn taken_back(
        &self,
        located: &Located,
        subject: IdKey,
        asked: &AskedReversal<'_>,
    ) -> Result<CommandKind, Box<Answer>> {
        let engine = self.engine;
        let refused = |refusal, differs: Option<String>| Box::new(Answer { differs, ..Answer::refused(refusal) });
        let last = engine.shared.ids.lookup(subject).expect("the index can be read").map(|entry| entry.position);
        let entry = located.entry().expect("it was looked at");
        if !entry.burned().is_empty() {
            let left = unburned(&*engine.journal, &engine.dictionary, located, last, asked);
            let left = left.expect("the journal can be read").expect("it burned something");
            return left
                .map(CommandKind::Unburn)
                .map_err(|(refusal, field)| refused(refusal, field.map(str::to_owned)));
        }
        if asked.units.is_some() {
            return Err(refused(Refusal::LineUnknown, Some("points".to_owned())));
        }
        let programs = engine.programs();
        let program = programs.get(entry.decision.program).expect("a version judged it");
        let undone = undone(&*engine.journal, &engine.dictionary, (located, &**program), last, asked.lines);
        match undone.expect("the journal can be read").expect("it is a granted accrual") {
            Ok((original, part)) => Ok(CommandKind::Reverse(Reversal {
                original_transaction_id: asked.original_transaction_id.into(),
                original_position: located.position,
                original,
                part,
            })),
            Err(wrong) => {
                let field = wrong.field.map(|(place, field)| format!("lines[{place}].{field}"));
                Err(refused(wrong.refusal, field))
            }
        }
    }

    /// The answer to a reversal whose id is used.
    fn reversal_again(&self, asked: &AskedReversal<'_>, position: Position) -> Answer {
        let Some((_, Record::Entry(entry))) = self.read(position) else {
            return Answer::refused(Refusal::TransactionIdReused);
        };
        match asked.first_difference(&entry.command.kind) {
            None => Answer::first(entry.decision, position, entry.posted_at),
            Some(field) => Answer { differs: Some(field.to_owned()), ..Answer::refused(Refusal::TransactionIdReused) },
        }
    }
}
