//! The judgement of one record after the other, on a replay from empty.
//!
//! What must stay true: a record is judged before it is applied, so that nothing forged is taken for granted; what is
//! judged here is listed in [`super::verify`]; no content of a journal makes this panic.

mod balance;
mod forms;
mod originals;

use std::ops::ControlFlow;

use self::forms::Forms;
use super::budgets::{Bound, Budgets};
use super::once::Once;
use super::report::{Finding, FindingClass, KindCounts, Place, TimeZoneRelease};
use crate::codec::DecodeError;
use crate::journal::Journal;
use crate::journal::frame::{FrameView, Header, RecordView};
use crate::journal::log::StoreJournal;
use crate::journal::record::{
    Entry, EntryHeader, Opening, PreviousRecord, Publication, Record, decode, encode_control, encode_entry,
};
use crate::journal::refunded::refund;
use crate::journal::returned::undone;
use crate::journal::unburned::unburned;
use crate::journal::walk::Located;
use crate::ledger::ENGINE_VERSION;
use crate::ledger::command::{AskedReversal, AuthorizationOf, Basket, Command, CommandKind, Reversal, Unburn};
use crate::ledger::decision::{CellUse, Decision};
use crate::ledger::draws::{self, Draw};
use crate::ledger::freeze::FreezeChange;
use crate::ledger::money::Refund;
use crate::ledger::operator::{Operation, OperatorOrder, Remark};
use crate::ledger::packed::Packed;
use crate::ledger::program::Program;
use crate::ledger::state::{CellRoom, Context, shard_of};
use crate::ledger::types::{Position, Seq, ShardId, SymbolId, TimestampNs, Units};
use crate::ledger::zone::utc_day;
use crate::limits;
use crate::recovery::identity::Identity;
use crate::replay::World;
use crate::shard::worker::event_time;

/// Judges the frames of a journal in order.
pub(super) struct Judge<'a> {
    journal: &'a StoreJournal,
    identity: &'a Identity,
    pub(super) world: World,
    pub(super) once: Once,
    budgets: Budgets,
    pub(super) counts: KindCounts,
    pub(super) frame_count: u64,
    pub(super) epoch_count: u64,
    /// Each release of the time-zone database that another process brought than the one before it.
    pub(super) time_zones: Vec<TimeZoneRelease>,
    /// The latest posting time of any shard.
    latest_posted_at: TimestampNs,
    /// The latest date of a receipt that has earned.
    latest_receipt_at: TimestampNs,
    forms: Forms,
    /// Memory that is used again for each record.
    decision: Decision,
    draws: Vec<Draw>,
    rooms: Vec<CellRoom>,
    bytes: Vec<u8>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(journal: &'a StoreJournal, identity: &'a Identity, once: Once) -> Self {
        Self {
            journal,
            identity,
            world: World::new(identity.shard_count),
            once,
            budgets: Budgets::default(),
            counts: KindCounts::default(),
            frame_count: 0,
            epoch_count: 0,
            time_zones: Vec::new(),
            latest_posted_at: TimestampNs(i64::MIN),
            latest_receipt_at: TimestampNs(i64::MIN),
            forms: Forms::default(),
            decision: Decision::default(),
            draws: Vec::new(),
            rooms: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// Judges the next frame and applies its records.
    pub(super) fn frame(&mut self, frame: &FrameView<'_>) -> Result<(), Finding> {
        frame.check_follows(self.world.end, &self.world.hash)?;
        let header = frame.header;
        let in_header = |from, to| Place { position: header.position, frame: header.position, from, to };
        if header.engine == 0 || header.engine > ENGINE_VERSION {
            let sentence = format!("it was decided by engine {}, which this version does not have", header.engine);
            return Err(in_header(6, 8).finding(FindingClass::Frame, sentence));
        }
        if header.epoch < self.world.epoch || header.epoch == 0 {
            let sentence = format!("epoch {} follows epoch {}", header.epoch, self.world.epoch);
            return Err(in_header(8, 16).finding(FindingClass::Epoch, sentence));
        }
        let mut new_epoch = header.epoch > self.world.epoch;
        if new_epoch {
            self.budgets.end_epoch()?;
            self.epoch_count += 1;
        }
        frame.for_each(|view| -> Result<(), Finding> {
            let place = Place::of(header.position, view);
            let record = decode(view.bytes, &self.world.dictionary).map_err(|fault| damaged(place, fault))?;
            let opens_epoch = std::mem::take(&mut new_epoch);
            self.record(&header, view, place, record, opens_epoch)?;
            self.world.end = view.position.plus(1);
            Ok(())
        })?;
        (self.world.end, self.world.hash, self.world.epoch) = (frame.end(), frame.hash, header.epoch);
        self.frame_count += 1;
        Ok(())
    }

    /// The last records were judged.
    pub(super) fn finish(&mut self) -> Result<(), Finding> {
        self.budgets.end_epoch()?;
        let end = Place::at(self.world.end);
        balance::check_sums(&self.world).map_err(|sentence| end.finding(FindingClass::Balance, sentence))
    }

    fn record(
        &mut self,
        header: &Header,
        view: &RecordView<'_>,
        place: Place,
        record: Record,
        opens_epoch: bool,
    ) -> Result<(), Finding> {
        self.check_sequence(view, place)?;
        if opens_epoch && !matches!(record, Record::Opening(_)) {
            let sentence = format!("epoch {} begins with a record that does not open it", header.epoch);
            return Err(place.finding(FindingClass::Epoch, sentence));
        }
        match record {
            Record::Entry(entry) => return self.entry(view, place, *entry),
            Record::Opening(ref opening) => self.opening(header, opening, place, opens_epoch)?,
            Record::Program(ref publication) => self.publication(publication, place)?,
            Record::Key(ref change) => {
                self.counts.keys += 1;
                let checked = self.world.keys.check(change);
                checked.map_err(|error| place.finding(FindingClass::Key, format!("a change of keys: {error}")))?;
            }
            Record::Proposal(ref change) => {
                self.counts.proposals += 1;
                let checked = self.world.proposals.check(change);
                checked.map_err(|error| place.finding(FindingClass::Proposal, format!("a proposal: {error}")))?;
            }
            Record::Freeze(ref change) => {
                self.counts.freezes += 1;
                self.check_freeze(change, place)?;
            }
            Record::Symbol(id, _) => {
                self.counts.symbols += 1;
                check_next(place, "string", id.0, self.world.dictionary.counts().0)?;
            }
            Record::Item(id, _) => {
                self.counts.items += 1;
                check_next(place, "item", id.0, self.world.dictionary.counts().1)?;
            }
        }
        self.bytes.clear();
        encode_control(&mut self.bytes, &record);
        self.check_bytes(view, place)?;
        let is_publication = matches!(record, Record::Program(_));
        self.world.apply(view, record).map_err(|fault| damaged(place, fault))?;
        // Which zone it has is known once it is compiled.
        if is_publication { self.check_zone(place) } else { Ok(()) }
    }

    /// The version published last takes effect, where it has another time zone than the one before, after the dates of all
    /// receipts that have earned: it would give them another business day, and each could earn again.
    fn check_zone(&self, place: Place) -> Result<(), Finding> {
        let mut versions = self.world.programs.iter();
        let Some((program, before)) = versions.next_back().zip(versions.next_back()) else { return Ok(()) };
        if program.zone.name() == before.zone.name() || self.latest_receipt_at < program.effective_at {
            return Ok(());
        }
        let sentence = format!(
            "version {} changes the time zone from {} on, when a receipt of {} had earned already",
            program.version, program.effective_at, self.latest_receipt_at
        );
        Err(place.finding(FindingClass::Program, sentence))
    }

    fn check_sequence(&self, view: &RecordView<'_>, place: Place) -> Result<(), Finding> {
        let last = if view.shard == ShardId::CONTROL {
            self.world.control_seq
        } else {
            let shard = self.world.shards.get(usize::from(view.shard.0));
            let unknown = || format!("the data directory has no shard {}", view.shard);
            shard.ok_or_else(|| place.finding(FindingClass::Sequence, unknown()))?.seq
        };
        if view.seq == last.next() {
            return Ok(());
        }
        let sentence = format!(
            "this is record {} of shard {}, but record {} was expected: records are missing, repeated or out of order",
            view.seq,
            view.shard,
            last.next()
        );
        Err(place.finding(FindingClass::Sequence, sentence))
    }

    fn check_bytes(&self, view: &RecordView<'_>, place: Place) -> Result<(), Finding> {
        if self.bytes == view.bytes {
            return Ok(());
        }
        Err(place.finding(FindingClass::Record, "the record is not in the one form that its content has"))
    }

    fn opening(&mut self, header: &Header, opening: &Opening, place: Place, opens_epoch: bool) -> Result<(), Finding> {
        self.counts.openings += 1;
        let fail = |sentence: String| Err(place.finding(FindingClass::Epoch, sentence));
        if !opens_epoch || opening.epoch != header.epoch {
            return fail(format!("epoch {} is opened inside epoch {}", opening.epoch, header.epoch));
        }
        let identity = self.identity;
        if (opening.shard_count, opening.clock_is_input) != (identity.shard_count, identity.clock_is_input) {
            return fail("the shards or the clock are not those of the data directory".to_owned());
        }
        let release = &*opening.time_zone_release;
        if self.time_zones.last().is_none_or(|last| last.release != release) {
            let (release, from_position) = (release.to_owned(), place.position.0);
            self.time_zones.push(TimeZoneRelease { release, from_position, from_epoch: opening.epoch });
        }
        Ok(())
    }

    fn publication(&mut self, publication: &Publication, place: Place) -> Result<(), Finding> {
        self.counts.programs += 1;
        let fail = |sentence: String| Err(place.finding(FindingClass::Program, sentence));
        let expected = self.world.publications.len() as u64 + 1;
        if u64::from(publication.version.0) != expected {
            return fail(format!("version {} is published where version {expected} is next", publication.version));
        }
        // The first version may judge since ever; a later one changes nothing that was decided before.
        if expected > 1 && publication.effective_at <= self.latest_posted_at {
            return fail(format!("version {expected} takes effect before a command that was decided already"));
        }
        self.once.publication(&self.world.dictionary, publication, place)
    }

    /// A freeze begins and ends after everything that was posted before it was known.
    fn check_freeze(&self, change: &FreezeChange, place: Place) -> Result<(), Finding> {
        let fail = |sentence: String| Err(place.finding(FindingClass::Freeze, sentence));
        if change.at <= self.latest_posted_at {
            return fail(format!("a freeze or thaw of {} lies before a command that was decided already", change.at));
        }
        self.world.freezes.check(change).or_else(|error| fail(format!("a freeze or thaw: {error}")))
    }

    fn entry(&mut self, view: &RecordView<'_>, place: Place, mut entry: Entry) -> Result<(), Finding> {
        let opens = entry.decision.effects.opens_account;
        self.check_account(view, &entry, place)?;
        let shard = &self.world.shards[usize::from(view.shard.0)];
        let account = shard.packed(entry.account).filter(|_| !opens);
        check_back_link(entry.previous, account, view.seq, place)?;
        if entry.posted_at < shard.posted_at {
            let sentence = format!("it is posted at {}, before {} of its shard", entry.posted_at, shard.posted_at);
            return Err(place.finding(FindingClass::Time, sentence));
        }
        if let Some(account) = account {
            entry.command.account_id = account.id();
        }
        check_command(&entry.command, self.world.dictionary.counts().0)
            .map_err(|what| place.finding(FindingClass::Record, what))?;
        let program = self.program_in_force(&entry, place)?;
        if let CommandKind::Reverse(reversal) = &entry.command.kind {
            self.check_original(view, &entry, reversal, place)?;
        }
        if let CommandKind::Unburn(unburn) = &entry.command.kind {
            self.check_burn(view, &entry, unburn, place)?;
        }
        if let CommandKind::Refund(refund) = &entry.command.kind {
            self.check_refund(view, &entry, refund, place)?;
        }
        if let CommandKind::Operate(operation) = &entry.command.kind {
            self.check_operation(view, &entry, &operation.order, place)?;
        }
        if let Some(of) = entry.command.kind.authorization() {
            self.check_authorization(view, &entry, of, place)?;
        }
        self.decide_again(view, &entry, &program, place)?;
        let header = EntryHeader { previous: entry.previous, account: entry.account, posted_at: entry.posted_at };
        self.bytes.clear();
        encode_entry(&mut self.bytes, &header, &entry.command, &entry.decision);
        self.check_bytes(view, place)?;
        self.once.entry(&self.world.dictionary, &entry, place)?;
        self.enter_uses(&entry, &program, place)?;
        self.latest_posted_at = self.latest_posted_at.max(entry.posted_at);
        if let CommandKind::Accrue(basket) = &entry.command.kind
            && entry.decision.refusal().is_none()
        {
            self.latest_receipt_at = self.latest_receipt_at.max(basket.receipt_at);
        }
        self.counts.count(&entry.command.kind, entry.decision.refusal().is_some());
        self.apply_balanced(view, place, entry)
    }

    fn check_account(&self, view: &RecordView<'_>, entry: &Entry, place: Place) -> Result<(), Finding> {
        let fail = |sentence: String| Err(place.finding(FindingClass::Record, sentence));
        let shard_count = self.identity.shard_count;
        let Some(shard) = self.world.shards.get(usize::from(view.shard.0)) else {
            return fail("a record of an account lies in the control shard".to_owned());
        };
        let next = shard.next_account();
        if !entry.decision.effects.opens_account {
            return match shard.packed(entry.account) {
                Some(_) => Ok(()),
                None => fail(format!("account {} of shard {} was never opened", entry.account, view.shard)),
            };
        }
        let id = &entry.command.account_id;
        if entry.account != next {
            return fail(format!("account {} is opened where account {next} is next", entry.account));
        }
        if id.is_empty() || id.len() > limits::ACCOUNT_ID_BYTES_MAX || shard_of(id, shard_count) != view.shard {
            return fail("the id of the account that is opened does not belong in this shard".to_owned());
        }
        Ok(())
    }

    fn program_in_force(&self, entry: &Entry, place: Place) -> Result<std::sync::Arc<Program>, Finding> {
        let at = event_time(&entry.command, entry.posted_at);
        let says = entry.decision.program;
        match self.world.programs.in_force(at) {
            Some(program) if program.version == says => Ok(program.clone()),
            found => {
                let found = found.map_or("none".to_owned(), |program| format!("version {}", program.version));
                let sentence = format!("version {says} of the programme judged it, but {found} was in force at {at}");
                Err(place.finding(FindingClass::Program, sentence))
            }
        }
    }

    /// What an operator's command is about is there, and is what the command says.
    fn check_operation(
        &self,
        view: &RecordView<'_>,
        entry: &Entry,
        order: &OperatorOrder,
        place: Place,
    ) -> Result<(), Finding> {
        let fail = |sentence: String| Err(place.finding(FindingClass::Reversal, sentence));
        match order {
            OperatorOrder::Release(held) | OperatorOrder::Reject(held) => {
                let position = held.position;
                let original = self.original(view, entry, position, place)?;
                let is_release = matches!(order, OperatorOrder::Release(_));
                let granted = if is_release { original.held() } else { original.rejectable() };
                if !is_transaction(&original, entry.command.partner, &held.transaction_id) {
                    return fail(format!("the record at position {position} is not the transaction that it reviews"));
                }
                if granted.as_ref() != Some(&held.granted) {
                    return fail(format!("what it reviews is not what the record at position {position} holds"));
                }
            }
            OperatorOrder::Restore(restoration) => {
                let position = restoration.expiry;
                let original = self.original(view, entry, position, place)?;
                if original.expired_lots(entry.command.partner) != restoration.lots {
                    return fail(format!("what comes back is not what died with the record at position {position}"));
                }
            }
            OperatorOrder::Adjust(_) | OperatorOrder::IssueVoucher(_) | OperatorOrder::CancelVoucher(_) => {}
        }
        Ok(())
    }

    fn decide_again(
        &mut self,
        view: &RecordView<'_>,
        entry: &Entry,
        program: &Program,
        place: Place,
    ) -> Result<(), Finding> {
        self.rooms.clear();
        let returned = entry.command.kind.returns_to();
        if returned.is_empty() {
            draws::list(program, &entry.command, entry.posted_at, &mut self.draws);
            self.rooms.extend(self.draws.iter().map(|draw| {
                let Draw { cell, retain_until, .. } = *draw;
                let taken = entry.decision.cells.iter().find(|taken| taken.cell == cell);
                // A cell is not named if nothing depended on it. Where it should be named, infinite room makes the
                // decision differ.
                let (version, room) = taken.map_or((0, i64::MAX), |taken| (taken.version, taken.room_before));
                CellRoom { cell, version, room, retain_until }
            }));
        } else {
            let recorded = entry.decision.cells.iter().map(|taken| taken.version).chain(std::iter::repeat(0));
            self.rooms.extend(returned.iter().zip(recorded).map(|(taken, version)| {
                let CellUse { cell, retain_until, .. } = *taken;
                CellRoom { cell, version, room: 0, retain_until }
            }));
        }
        let shard = &self.world.shards[usize::from(view.shard.0)];
        let frozen = self.world.freezes.refusal(&entry.command, entry.posted_at);
        let context = Context { program, posted_at: entry.posted_at, rooms: &self.rooms, frozen };
        let number = shard.find(&entry.command.account_id);
        shard.decide_for(number, &entry.command, &context, &mut self.world.unpacked, &mut self.decision);
        self.forms.pass_over(&entry.decision, &mut self.decision);
        if self.decision == entry.decision {
            return Ok(());
        }
        let sentence =
            format!("deciding it again gives another decision: {}", difference(&entry.decision, &self.decision));
        Err(place.finding(FindingClass::Decision, sentence))
    }

    fn enter_uses(&mut self, entry: &Entry, program: &Program, place: Place) -> Result<(), Finding> {
        let gives_back = !entry.command.kind.returns_to().is_empty();
        let today = utc_day(entry.posted_at);
        if entry.decision.refusal().is_some() {
            for (seen, draw) in entry.decision.cells.iter().filter_map(|seen| Some((seen, self.draw_of(seen)?))) {
                self.budgets.check_seen(seen, draw.limit, place)?;
            }
            return Ok(());
        }
        if gives_back {
            // Where time is the input's, the ledger forgets nothing.
            let today = (!self.identity.clock_is_input).then_some(today);
            let was_held = was_held(&entry.command.kind);
            let mut cells = entry.decision.cells.iter();
            return cells.try_for_each(|taken| self.budgets.give_back(taken, was_held, today, place));
        }
        let is_held = entry.decision.effects.held.is_some();
        for taken in &entry.decision.cells {
            let draw = self.draw_of(taken).copied();
            let bound = draw.map(|draw| {
                let (limit, rolling) = (draw.limit, draw.run.rolling);
                Bound { limit, holds: program.holds(draw.cell), rolling }
            });
            self.budgets.enter(taken, bound, is_held, place)?;
            if let Some(draw) = draw.filter(|draw| draw.run.rolling > 1 && taken.used > 0) {
                self.budgets.check_runs(taken.cell, draw.run, today, place)?;
            }
        }
        Ok(())
    }

    fn draw_of(&self, taken: &CellUse) -> Option<&Draw> {
        self.draws.iter().find(|draw| draw.cell == taken.cell)
    }
}

/// Whether a record is of this transaction.
fn is_transaction(entry: &Entry, partner: SymbolId, transaction_id: &str) -> bool {
    entry.command.partner == partner && entry.command.transaction_id == transaction_id
}

/// Whether what a command gives back was held when it was taken, whatever has been decided about it since.
fn was_held(kind: &CommandKind) -> bool {
    let lot = match kind {
        CommandKind::Reverse(reversal) => reversal.original.lot,
        CommandKind::Operate(operation) => operation.order.held().and_then(|original| original.granted.lot),
        _ => None,
    };
    lot.is_some_and(|lot| lot.is_held())
}

fn damaged(place: Place, fault: DecodeError) -> Finding {
    place.finding(FindingClass::Record, format!("the record is damaged: {fault}"))
}

fn check_next(place: Place, what: &str, number: u32, next: u32) -> Result<(), Finding> {
    if number == next {
        return Ok(());
    }
    Err(place.finding(FindingClass::Record, format!("{what} {number} is defined where number {next} is next")))
}

fn check_back_link(previous: PreviousRecord, account: Option<&Packed>, seq: Seq, place: Place) -> Result<(), Finding> {
    let fits = match (previous, account) {
        (PreviousRecord::None, None) => true,
        (PreviousRecord::At(position), Some(account)) => account.position() == Some(position),
        (PreviousRecord::Back(distance), Some(account)) => seq.0.checked_sub(distance) == Some(account.seq.0),
        (PreviousRecord::None, Some(_)) | (PreviousRecord::At(_) | PreviousRecord::Back(_), None) => false,
    };
    if fits {
        return Ok(());
    }
    let really = match account {
        None => "the account has none before this one".to_owned(),
        Some(account) => format!("the account's previous record is record {} of the shard", account.seq),
    };
    Err(place.finding(FindingClass::BackLink, format!("it names a wrong previous record: {really}")))
}

/// What the edge promises of every command that reaches a decision. That no id is empty, no number negative and no list too
/// long, decoding has seen to.
fn check_command(command: &Command, symbol_count: u32) -> Result<(), String> {
    let id_fits = command.transaction_id.len() <= limits::TRANSACTION_ID_BYTES_MAX;
    let is_known = |symbol: &SymbolId| symbol.0 < symbol_count;
    let basket_fits = |basket: &Basket| {
        let number_fits = basket.receipt_number.len() <= limits::RECEIPT_NUMBER_BYTES_MAX;
        let lines_fit = basket.lines.iter().all(|line| {
            line.quantity <= limits::LINE_QUANTITY_MAX && line.amount_minor <= limits::LINE_AMOUNT_MINOR_MAX
        });
        let names = [basket.store, basket.terminal, basket.cashier, basket.channel, basket.payment_method];
        number_fits && lines_fit && names.iter().all(is_known)
    };
    let kind_fits = match &command.kind {
        CommandKind::Accrue(basket) => basket_fits(basket),
        CommandKind::Act(activity) => is_known(&activity.kind) && is_known(&activity.channel),
        CommandKind::Enrol(enrolment) => {
            let has_none_twice = !enrolment.joins.iter().any(|segment| enrolment.leaves.contains(segment));
            enrolment.joins.iter().chain(&enrolment.leaves).all(is_known) && has_none_twice
        }
        CommandKind::Load(loading) => loading.lots.iter().all(|(key, _)| is_known(&key.issuer) && !key.is_held()),
        CommandKind::Operate(operation) => operation_fits(operation),
        // Whoever looks the identifier up believes the record.
        CommandKind::Link(linking) => is_known(&linking.kind) && *linking.account_id == *command.account_id,
        CommandKind::Capture(_) | CommandKind::Void(_) => {
            let of = command.kind.authorization();
            of.is_some_and(|of| of.transaction_id.len() <= limits::TRANSACTION_ID_BYTES_MAX)
        }
        CommandKind::Unburn(unburn) => {
            let id_fits = unburn.original_transaction_id.len() <= limits::TRANSACTION_ID_BYTES_MAX;
            id_fits && unburn.lots.iter().all(|(key, _)| is_known(&key.issuer))
        }
        CommandKind::Redeem(redemption) => redemption.reward.is_none_or(|asked| is_known(&asked.reward)),
        // That its units and its payment fit, decoding has seen to.
        CommandKind::TopUp(top_up) => is_known(&top_up.store) && is_known(&top_up.terminal),
        CommandKind::Reverse(_) | CommandKind::Refund(_) | CommandKind::Authorize(_) | CommandKind::Expire => true,
    };
    if id_fits && kind_fits && is_known(&command.partner) {
        return Ok(());
    }
    Err("the command is not one that is ever accepted".to_owned())
}

/// How long the reason, the note and the operator's name may be, decoding has seen to.
fn operation_fits(operation: &Operation) -> bool {
    let Remark { reason_code, note: _, operator, actor, confirmer } = &operation.remark;
    let remark_fits = !reason_code.is_empty()
        && (!operator.is_empty() || !actor.is_empty())
        && actor.len().max(confirmer.len()) <= limits::ACTOR_BYTES_MAX
        && (confirmer.is_empty() || confirmer != actor);
    let original = operation.order.held();
    let id_fits = original.is_none_or(|original| original.transaction_id.len() <= limits::TRANSACTION_ID_BYTES_MAX);
    remark_fits && id_fits
}

/// The first field in which two decisions differ, with both values.
fn difference(recorded: &Decision, decided: &Decision) -> String {
    let number = |what: &str, recorded: Units, decided: Units| {
        (recorded != decided).then(|| format!("{what} is recorded as {recorded}, and should be {decided}"))
    };
    let same = |what: &str, same: bool| (!same).then(|| format!("{what} are not what they should be"));
    if recorded.outcome != decided.outcome {
        return format!("the outcome is recorded as {:?}, and should be {:?}", recorded.outcome, decided.outcome);
    }
    let fields = [
        number("what is granted", recorded.granted, decided.granted),
        number("what is earned", recorded.earned, decided.earned),
        number("the balance", recorded.balance_after, decided.balance_after),
        number("what can be refunded", recorded.refundable, decided.refundable),
        number("the wallet", i64::from(recorded.wallet.0), i64::from(decided.wallet.0)),
        same("the rules of the lines", recorded.lines == decided.lines),
        same("the clips", recorded.clips == decided.clips && recorded.over_velocity == decided.over_velocity),
        same("the uses of budgets", recorded.cells == decided.cells),
        same("the counters", recorded.effects.counters == decided.effects.counters),
        same("the bonuses", recorded.bonuses == decided.bonuses),
        same("the stamps", recorded.stamps == decided.stamps),
        same("the levels", recorded.tier == decided.tier),
        same("the lots", recorded.effects.lots == decided.effects.lots),
        same("the units owed", recorded.effects.owed == decided.effects.owed),
        same("the units held", recorded.effects.held == decided.effects.held),
        same("the units set aside", recorded.effects.authorizations == decided.effects.authorizations),
        same("the vouchers", recorded.effects.vouchers == decided.effects.vouchers),
        same("the identifiers", recorded.effects.identifier == decided.effects.identifier),
    ];
    fields.into_iter().flatten().next().unwrap_or_else(|| "its effects are not what they should be".to_owned())
}
