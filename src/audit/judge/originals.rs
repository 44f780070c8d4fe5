//! What commands say of the records that they are about: of what they take back, above all.
//!
//! What must stay true: each is found again in the journal, as the caller found it, and compared with what is stated.

use super::*;

impl Judge<'_> {
    /// The accrual that a reversal undoes is there, and did what the reversal says.
    pub(super) fn check_original(
        &self,
        view: &RecordView<'_>,
        entry: &Entry,
        reversal: &Reversal,
        place: Place,
    ) -> Result<(), Finding> {
        let fail = |sentence: String| Err(place.finding(FindingClass::Reversal, sentence));
        let position = reversal.original_position;
        let original = self.original(view, entry, position, place)?;
        if !is_transaction(&original, entry.command.partner, &reversal.original_transaction_id) {
            return fail(format!("the record at position {position} is not the accrual that it reverses"));
        }
        let Some(program) = self.world.programs.get(original.decision.program).cloned() else {
            return fail(format!("no version judged the accrual at position {position}"));
        };
        let earlier = reversal.part.as_deref().and_then(|part| part.earlier);
        if earlier.is_some_and(|earlier| !(position..view.position).contains(&earlier)) {
            return fail("the reversal that it goes on after does not lie between its accrual and itself".to_owned());
        }
        let asked: Vec<_> = reversal.asked_lines().collect();
        let located = Located { position, shard: view.shard, seq: Seq(0), record: Record::Entry(original) };
        let undone = undone(self.journal, &self.world.dictionary, (&located, &*program), earlier, &asked);
        match undone {
            Ok(Some(Ok((granted, part)))) if (&granted, &part) == (&reversal.original, &reversal.part) => Ok(()),
            Err(error) => fail(format!("what was taken back of the accrual at position {position} before: {error}")),
            _ => fail(format!("what it takes back is not what the accrual at position {position} granted")),
        }
    }

    /// The burn that a reversal gives back is there, and so much of it was left as the reversal says.
    pub(super) fn check_burn(
        &self,
        view: &RecordView<'_>,
        entry: &Entry,
        unburn: &Unburn,
        place: Place,
    ) -> Result<(), Finding> {
        let fail = |sentence: String| Err(place.finding(FindingClass::Reversal, sentence));
        let position = unburn.original_position;
        let original = self.original(view, entry, position, place)?;
        if !is_transaction(&original, entry.command.partner, &unburn.original_transaction_id) {
            return fail(format!("the record at position {position} is not the burn that it reverses"));
        }
        let earlier = unburn.earlier.map(|(earlier, _)| earlier);
        if earlier.is_some_and(|earlier| !(position..view.position).contains(&earlier)) {
            return fail("the reversal that it goes on after does not lie between its burn and itself".to_owned());
        }
        let located = Located { position, shard: view.shard, seq: Seq(0), record: Record::Entry(original) };
        let asked = AskedReversal {
            original_transaction_id: &unburn.original_transaction_id,
            lines: &[],
            units: unburn.asked_units(),
            quantity: unburn.asked_quantity(),
        };
        match unburned(self.journal, &self.world.dictionary, &located, earlier, &asked) {
            Ok(Some(Ok(left))) if left == *unburn => Ok(()),
            Err(error) => fail(format!("what came back of the burn at position {position} before: {error}")),
            _ => fail(format!("what it gives back is not what the record at position {position} burned")),
        }
    }

    /// The top-up that a refund gives back is there, and so much of it is left.
    pub(super) fn check_refund(
        &self,
        view: &RecordView<'_>,
        entry: &Entry,
        stated: &Refund,
        place: Place,
    ) -> Result<(), Finding> {
        let fail = |sentence: String| Err(place.finding(FindingClass::Reversal, sentence));
        let position = stated.original_position;
        let original = self.original(view, entry, position, place)?;
        if original.command.partner != entry.command.partner {
            return fail(format!("the record at position {position} is not the top-up that it refunds"));
        }
        if stated.earlier.is_some_and(|earlier| !(position..view.position).contains(&earlier)) {
            return fail("the refund that it goes on after does not lie between its top-up and itself".to_owned());
        }
        let located = Located { position, shard: view.shard, seq: Seq(0), record: Record::Entry(original) };
        match refund(self.journal, &self.world.dictionary, &located, stated.earlier, stated.asked()) {
            Ok(Some(Ok(refund))) if refund == *stated => Ok(()),
            Err(error) => fail(format!("what was refunded of the top-up at position {position} before: {error}")),
            _ => fail(format!("what it gives back is not what is left of the top-up at position {position}")),
        }
    }

    /// The authorization that is captured or voided is there, and is what the command says.
    pub(super) fn check_authorization(
        &self,
        view: &RecordView<'_>,
        entry: &Entry,
        of: &AuthorizationOf,
        place: Place,
    ) -> Result<(), Finding> {
        let position = of.position;
        let original = self.original(view, entry, position, place)?;
        if original.authorization(position).as_ref() == Some(of) && original.command.partner == entry.command.partner {
            return Ok(());
        }
        let sentence = format!("the record at position {position} is not the authorization that it is about");
        Err(place.finding(FindingClass::Reversal, sentence))
    }

    /// The earlier record of the same account that a command is about.
    pub(super) fn original(
        &self,
        view: &RecordView<'_>,
        entry: &Entry,
        position: Position,
        place: Place,
    ) -> Result<Box<Entry>, Finding> {
        let fail = |what: &str| {
            let does = if entry.command.kind.continues().is_some() { "it reverses" } else { "it is about" };
            let sentence = format!("{does} position {position}, {what}");
            Err(place.finding(FindingClass::Reversal, sentence))
        };
        if position >= view.position {
            return fail("which does not lie before it");
        }
        let mut found = None;
        let read = self.journal.read(position, &mut |frame| {
            if let Some(original) = frame.record_at(position)? {
                found = decode(original.bytes, &self.world.dictionary).ok().map(|record| (original.shard, record));
            }
            Ok(ControlFlow::Break(()))
        });
        if read.is_err() {
            return fail("which cannot be read");
        }
        match found {
            Some((shard, Record::Entry(original))) if (shard, original.account) == (view.shard, entry.account) => {
                Ok(original)
            }
            Some((_, Record::Entry(_))) => fail("which belongs to another account"),
            _ => fail("where there is no command"),
        }
    }
}
