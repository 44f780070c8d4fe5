//! All accounts as they stood at a time, computed from the journal alone.
//!
//! What must stay true: a command counts exactly if it was posted at or before the time; what was posted later, even if
//! it lies earlier in the journal of another shard, does not; memory holds one further copy of the state and no more.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::natural;
use crate::journal::frame::{FrameView, RecordView};
use crate::journal::record::{Record, decode};
use crate::journal::{Journal, JournalError};
use crate::ledger::account::Account;
use crate::ledger::program::Program;
use crate::ledger::types::{AccountNumber, Position, ShardId, TimestampNs};
use crate::replay::{World, record_error};

/// All accounts at a time.
pub struct Export {
    /// The time.
    pub as_of: TimestampNs,
    /// The last record that counts; `None` if none does.
    pub position: Option<Position>,
    /// The version of the programme in force at the time.
    pub program: Option<Arc<Program>>,
    world: World,
    order: Vec<(ShardId, AccountNumber)>,
}

impl Export {
    /// How many accounts there are.
    #[must_use]
    pub fn account_count(&self) -> usize {
        self.order.len()
    }

    /// The accounts, in the natural order of their ids: `a2` before `a10`.
    pub fn accounts(&self) -> impl Iterator<Item = Account> {
        self.order.iter().map(|(shard, number)| self.account(*shard, *number))
    }

    fn account(&self, shard: ShardId, number: AccountNumber) -> Account {
        let state = self.world.shards.get(usize::from(shard.0));
        state.and_then(|state| state.account(number)).expect("the order was made from the state")
    }
}

/// Replays the journal up to a time. `progress` is told, frame by frame, the position reached and the one to reach, and
/// can break the export off; then there is none.
///
/// # Errors
/// When the journal cannot be read or is damaged.
pub fn export_accounts(
    journal: &dyn Journal,
    shard_count: u16,
    as_of: TimestampNs,
    progress: &mut dyn FnMut(Position, Position) -> ControlFlow<()>,
) -> Result<Option<Export>, JournalError> {
    let (end, _) = journal.end()?;
    let mut replay = Replay { world: World::new(shard_count), as_of, position: None };
    let mut is_broken_off = false;
    if end > Position(0) {
        journal.read(Position(0), &mut |frame| {
            replay.frame(frame)?;
            is_broken_off = progress(replay.world.end, end).is_break();
            // What was appended since the beginning is left for the next export.
            let goes_on = !is_broken_off && replay.world.end < end;
            Ok(if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
    }
    if is_broken_off {
        return Ok(None);
    }
    let Replay { world, position, .. } = replay;
    let program = world.programs.in_force(as_of).cloned();
    let order = natural_order(&world);
    Ok(Some(Export { as_of, position, program, world, order }))
}

struct Replay {
    world: World,
    as_of: TimestampNs,
    position: Option<Position>,
}

impl Replay {
    fn frame(&mut self, frame: &FrameView<'_>) -> Result<(), JournalError> {
        frame.check_follows(self.world.end, &self.world.hash)?;
        frame.for_each(|view| self.record(view))?;
        (self.world.end, self.world.hash) = (frame.end(), frame.hash);
        Ok(())
    }

    /// Within a shard posting times never decrease, so what is left out of a shard is its end.
    fn record(&mut self, view: &RecordView<'_>) -> Result<(), JournalError> {
        let fail = |fault| record_error(view, fault);
        let record = decode(view.bytes, &self.world.dictionary).map_err(fail)?;
        let counts = match &record {
            Record::Entry(entry) => entry.posted_at <= self.as_of,
            Record::Program(publication) => publication.posted_at <= self.as_of,
            Record::Opening(opening) => opening.at <= self.as_of,
            // Names are needed whenever they are used, and say nothing about accounts.
            Record::Symbol(..) | Record::Item(..) | Record::Key(_) | Record::Freeze(_) | Record::Proposal(_) => false,
        };
        if counts {
            self.position = Some(view.position);
        }
        match &record {
            Record::Entry(_) if !counts => Ok(()),
            _ => self.world.apply(view, record).map_err(fail),
        }
    }
}

fn natural_order(world: &World) -> Vec<(ShardId, AccountNumber)> {
    let numbers =
        |count: usize| (0..count).map(|index| AccountNumber(u32::try_from(index).expect("an account number")));
    let shards = world.shards.iter();
    let mut order: Vec<(String, ShardId, AccountNumber)> = shards
        .flat_map(|shard| {
            let accounts = shard.all_packed();
            accounts.iter().zip(numbers(accounts.len())).map(|(account, number)| (account.id(), shard.id, number))
        })
        .collect();
    order.sort_unstable_by(|(ours, ..), (theirs, ..)| natural::compare(ours, theirs));
    order.into_iter().map(|(_, shard, number)| (shard, number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::chunk::Chunk;
    use crate::journal::frame::Chain;
    use crate::journal::log::StoreJournal;
    use crate::journal::record::{EntryHeader, PreviousRecord, Publication, encode_control, encode_entry};
    use crate::ledger::command::{Basket, Command, CommandKind, Line};
    use crate::ledger::decision::{Decision, LineOutcome, LotChange, LotKey, Movement, TotalsChange};
    use crate::ledger::program::LineClass;
    use crate::ledger::types::{Day, Item, ItemId, ProgramVersion, Seq, SymbolId, WalletId};
    use crate::store::memory::MemoryStore;

    /// A journal of grants: (account, time, units), each account in a shard of its own.
    fn journal(grants: &[(&str, i64, i64)]) -> StoreJournal {
        let journal = StoreJournal::new(Arc::new(MemoryStore::new()));
        let mut chain = Chain { epoch: 1, next: Position(0), hash: [0; 32] };
        let mut control = Chunk::default();
        let mut symbols = crate::program::SymbolTable::new();
        crate::program::compile(crate::program::SAMPLE, ProgramVersion(1), TimestampNs(0), &mut symbols).unwrap();
        let texts = (1..).map_while(|number| symbols.text(SymbolId(number)).map(|text| (SymbolId(number), text)));
        let mut seq = Seq(0);
        for (number, text) in texts {
            seq = seq.next();
            let record = Record::Symbol(number, text.into());
            control.push(ShardId::CONTROL, seq, |out| encode_control(out, &record));
        }
        let publication = Record::Program(Publication {
            version: ProgramVersion(1),
            effective_at: TimestampNs(i64::MIN),
            posted_at: TimestampNs(0),
            partner: SymbolId::EMPTY,
            transaction_id: Box::default(),
            source: crate::program::SAMPLE.into(),
            actor: Box::default(),
        });
        control.push(ShardId::CONTROL, seq.next(), |out| encode_control(out, &publication));
        append(&journal, &mut chain, &mut control);
        let mut seqs: Vec<(&str, u64)> = Vec::new();
        for (account, posted_at, units) in grants {
            let shard = seqs.iter().position(|(known, _)| known == account).unwrap_or_else(|| {
                seqs.push((account, 0));
                seqs.len() - 1
            });
            seqs[shard].1 += 1;
            let mut chunk = Chunk::default();
            push_grant(&mut chunk, u16::try_from(shard).unwrap(), seqs[shard].1, account, *posted_at, *units);
            append(&journal, &mut chain, &mut chunk);
        }
        journal
    }

    fn append(journal: &StoreJournal, chain: &mut Chain, chunk: &mut Chunk) {
        chunk.close();
        let mut frames = Vec::new();
        chain.assemble(std::iter::once(&*chunk), TimestampNs(0), &mut frames);
        journal.append(&frames).unwrap();
    }

    fn push_grant(chunk: &mut Chunk, shard: u16, seq: u64, account: &str, posted_at: i64, units: i64) {
        let posted_at = TimestampNs(posted_at);
        let line = Line { item_id: ItemId(0), item: Item::default(), quantity: 1, amount_minor: units * 100 };
        let basket = Basket {
            store: SymbolId::EMPTY,
            terminal: SymbolId::EMPTY,
            cashier: SymbolId::EMPTY,
            receipt_number: "1".into(),
            business_day: Day(0),
            receipt_at: posted_at,
            lines: vec![line],
            ..Basket::default()
        };
        let command = Command {
            account_id: account.into(),
            transaction_id: format!("{account}-{seq}"),
            partner: SymbolId::EMPTY,
            kind: CommandKind::Accrue(basket),
            ..Command::default()
        };
        let lines = vec![LineOutcome { class: LineClass::Base }];
        let mut decision =
            Decision { account_known: true, lines, earned: units, granted: units, ..Decision::default() };
        decision.effects.opens_account = seq == 1;
        let key = LotKey {
            wallet: WalletId(0),
            issuer: SymbolId::EMPTY,
            funding_rate_bps: 0,
            available_from_minute: 0,
            inactive_days: 0,
            expires_at: LotKey::NEVER,
        };
        decision.effects.lots.push(LotChange { key, delta: units, movement: Movement::Grant });
        decision.effects.totals = TotalsChange::of_basket(&[], false);
        let previous = if seq == 1 { PreviousRecord::None } else { PreviousRecord::Back(1) };
        let header = EntryHeader { previous, account: AccountNumber(0), posted_at };
        chunk.push(ShardId(shard), Seq(seq), |out| encode_entry(out, &header, &command, &decision));
    }

    fn balances(journal: &StoreJournal, as_of: i64) -> Vec<(String, i64)> {
        let mut go_on = |_, _| ControlFlow::Continue(());
        let export = export_accounts(journal, 8, TimestampNs(as_of), &mut go_on).unwrap().unwrap();
        assert_eq!(export.account_count(), export.accounts().count());
        export
            .accounts()
            .map(|account| (account.id.to_string(), account.balance(WalletId(0), TimestampNs(as_of))))
            .collect()
    }

    #[test]
    fn what_was_posted_later_does_not_count_wherever_it_lies() {
        let journal = journal(&[("10", 100, 1), ("2", 300, 2), ("10", 200, 4), ("x", 250, 8), ("10", 400, 16)]);
        let rows = [
            (99, vec![]),
            (100, vec![("10", 1)]),
            (249, vec![("10", 5)]),
            (299, vec![("10", 5), ("x", 8)]),
            (300, vec![("2", 2), ("10", 5), ("x", 8)]),
            (i64::MAX, vec![("2", 2), ("10", 21), ("x", 8)]),
        ];
        for (as_of, expected) in rows {
            let expected: Vec<(String, i64)> = expected.into_iter().map(|(id, sum)| (id.to_owned(), sum)).collect();
            assert_eq!(balances(&journal, as_of), expected, "as of {as_of}");
        }
    }

    #[test]
    fn the_position_is_that_of_the_last_record_that_counts() {
        let journal = journal(&[("a", 100, 1), ("b", 300, 2), ("a", 200, 4)]);
        let (end, _) = journal.end().unwrap();
        let mut go_on = |_, _| ControlFlow::Continue(());
        let mut position = |as_of| {
            let export = export_accounts(&journal, 8, TimestampNs(as_of), &mut go_on).unwrap().unwrap();
            export.position.map(|position| end.0 - position.0)
        };
        assert_eq!(position(-1), None);
        assert_eq!(position(0), Some(4), "the programme");
        assert_eq!(position(100), Some(3));
        assert_eq!(position(250), Some(1));
    }

    #[test]
    fn an_export_can_be_broken_off() {
        let journal = journal(&[("a", 100, 1), ("b", 300, 2)]);
        let mut calls = 0;
        let mut stop = |_, _| {
            calls += 1;
            ControlFlow::Break(())
        };
        assert!(export_accounts(&journal, 8, TimestampNs(0), &mut stop).unwrap().is_none());
        assert_eq!(calls, 1);
    }

    #[test]
    fn an_empty_journal_has_no_accounts() {
        let empty = StoreJournal::new(Arc::new(MemoryStore::new()));
        assert_eq!(balances(&empty, 0), []);
    }
}
