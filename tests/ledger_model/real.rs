//! The ledger's own code, without journal and threads.
//!
//! What must stay true: a command goes the way that a worker takes it: cells are held, the decision is applied whole.

use std::collections::BTreeSet;

use tallystick::cells::Cells;
use tallystick::ledger::account::Account;
use tallystick::ledger::command::{
    Activity, AuthorizationOf, Basket, Command, CommandKind, Enrolment, Granted, Line, Loading, Redemption,
    ReturnedLine, Reversal,
};
use tallystick::ledger::decision::{CellUse, Decision, LotKey, Movement};
use tallystick::ledger::digest::shard_digest;
use tallystick::ledger::draws;
use tallystick::ledger::packed::Unpacked;
use tallystick::ledger::program::Program;
use tallystick::ledger::refund::Standing;
use tallystick::ledger::state::{CellRoom, Change, Context, ShardState};
use tallystick::ledger::types::{
    AccountNumber, CellId, Item, ItemId, Position, ShardId, SymbolId, TimestampNs, WalletId,
};
use tallystick::ledger::zone::utc_day;
use tallystick::program::SymbolTable;

use crate::lots::Chunk;
use crate::model::{LineWords, Outcome, store_of};
use crate::returns::number_of;
use crate::rules::{ACCOUNTS, ACTIVITIES, BRANDS, DEPARTMENTS, PARTNERS, Rules, SEGMENTS, symbol};

/// An accrual, with what has been taken back of it.
struct Original {
    step: usize,
    account: usize,
    basket: Basket,
    decision: Decision,
    reversals: Vec<Reversal>,
}

impl Original {
    fn granted(&self) -> Granted {
        Granted {
            receipt: self.basket.receipt(),
            lot: self.decision.granted_lot(),
            units: self.decision.granted,
            counters: self.decision.effects.counters.clone(),
            cells: self.decision.cells.iter().filter(|cell| cell.used != 0).copied().collect(),
            ..Granted::default()
        }
    }

    /// What still stands.
    fn standing(&self) -> Standing<'_> {
        let mut standing = Standing::whole(&self.basket, &self.decision, self.granted());
        for (reversal, position) in self.reversals.iter().zip(1..) {
            standing.take(reversal, Some(Position(position))).expect("it was taken back");
        }
        standing
    }
}

pub struct Real {
    pub program: Program,
    symbols: SymbolTable,
    pub cells: Cells,
    pub state: ShardState,
    decision: Decision,
    /// The account of what was decided last.
    account: usize,
    /// Per step: what a reversal of it needs.
    granted: Vec<Original>,
    /// Per step: who set something aside, and what a capture of it needs.
    pub begun: Vec<(usize, usize, AuthorizationOf)>,
    pub partners: [SymbolId; 2],
    segments: [SymbolId; 3],
}

impl Real {
    pub fn new(rules: &Rules) -> Self {
        let mut symbols = SymbolTable::new();
        let partners = PARTNERS.map(|name| symbol(&mut symbols, name));
        let segments = SEGMENTS.map(|name| symbol(&mut symbols, name));
        Self {
            program: rules.program(&mut symbols),
            symbols,
            cells: Cells::default(),
            state: ShardState::new(ShardId(0)),
            decision: Decision::default(),
            account: 0,
            granted: Vec::new(),
            begun: Vec::new(),
            partners,
            segments,
        }
    }

    pub fn accrue(
        &mut self,
        step: usize,
        account: usize,
        partner: usize,
        lines: &[LineWords],
        at: TimestampNs,
        now: TimestampNs,
    ) -> Outcome {
        let kind = self.basket(step, lines, at);
        let CommandKind::Accrue(basket) = kind.clone() else { unreachable!("it is a basket") };
        self.run(account, now, self.partners[partner], kind);
        if self.decision.refusal().is_none() {
            let decision = self.decision.clone();
            self.granted.push(Original { step, account, basket, decision, reversals: Vec::new() });
        }
        self.grant()
    }

    /// A basket, as a command asks.
    pub fn basket(&mut self, step: usize, lines: &[LineWords], at: TimestampNs) -> CommandKind {
        let store = symbol(&mut self.symbols, ["s1", "s2"][store_of(lines)]);
        let lines = lines.iter().map(|(department, brand, amount_minor, quantity)| Line {
            item_id: ItemId(0),
            item: Item {
                department: symbol(&mut self.symbols, DEPARTMENTS[*department]),
                brand: symbol(&mut self.symbols, BRANDS[*brand]),
                ..Item::default()
            },
            quantity: *quantity,
            amount_minor: *amount_minor,
        });
        CommandKind::Accrue(Basket {
            lines: lines.collect(),
            store,
            receipt_number: step.to_string(),
            business_day: utc_day(at),
            receipt_at: at,
            ..Basket::default()
        })
    }

    /// An activity, as a command asks.
    pub fn activity(&mut self, kind: usize, at: TimestampNs) -> CommandKind {
        let kind = symbol(&mut self.symbols, ACTIVITIES[kind]);
        CommandKind::Act(Activity { kind, happened_at: at, channel: SymbolId::EMPTY })
    }

    /// The cells that a command of a partner can look into.
    pub fn cells_of(&self, partner: usize, kind: CommandKind, now: TimestampNs) -> BTreeSet<CellId> {
        let command = Command { partner: self.partners[partner], kind, ..Command::default() };
        let mut wanted = Vec::new();
        draws::list(&self.program, &command, now, &mut wanted);
        wanted.into_iter().map(|draw| draw.cell).collect()
    }

    /// What was decided last, and for which account.
    pub fn decided(&self) -> (&Decision, usize) {
        (&self.decision, self.account)
    }

    fn grant(&self) -> Outcome {
        let decision = &self.decision;
        if let Some(refusal) = decision.refusal() {
            return Outcome::Refused(refusal);
        }
        Outcome::Granted {
            earned: decision.earned,
            granted: decision.granted,
            over_velocity: decision.over_velocity.is_some(),
            clips: decision.clips.iter().map(|clip| clip.units).collect(),
            bonuses: decision.bonuses.iter().map(|award| usize::from(award.bonus.0)).collect(),
            level: decision.tier.map(|standing| (standing.level, standing.qualifying)),
            balance: decision.balance_after,
        }
    }

    pub fn act(&mut self, account: usize, partner: usize, kind: usize, at: TimestampNs, now: TimestampNs) -> Outcome {
        let kind = self.activity(kind, at);
        self.run(account, now, self.partners[partner], kind);
        self.grant()
    }

    /// Takes these lines of an accrual back, each by a number of which how many follows, or all that is left.
    pub fn reverse(&mut self, original: usize, lines: &[(usize, i64)], now: TimestampNs) -> Option<Outcome> {
        let index = self.granted.iter().position(|accrual| accrual.step == original)?;
        let accrual = &self.granted[index];
        let returned = |(line, drawn): &(usize, i64)| {
            let bought = accrual.basket.lines.get(*line);
            let number = bought.map_or(1, |bought| number_of((0, 0, bought.amount_minor, bought.quantity), *drawn));
            let is_counted = bought.is_none_or(|bought| bought.quantity > 0);
            ReturnedLine {
                line: u32::try_from(*line).expect("few lines"),
                quantity: if is_counted { number } else { 0 },
                amount_minor: if is_counted { 0 } else { number },
            }
        };
        let asked: Vec<ReturnedLine> = lines.iter().map(returned).collect();
        let (undo, part) = match accrual.standing().part(&self.program, &asked) {
            Ok(undone) => undone,
            Err(wrong) => return Some(Outcome::Refused(wrong.refusal)),
        };
        let (account, cells) = (accrual.account, undo.cells.clone());
        let reversal = Reversal {
            original_transaction_id: original.to_string().into(),
            original_position: Position(0),
            original: undo,
            part,
        };
        self.run(account, now, self.partners[0], CommandKind::Reverse(reversal.clone()));
        if self.decision.refusal().is_none() {
            if reversal.is_last() {
                self.granted.remove(index);
            } else {
                self.granted[index].reversals.push(reversal);
            }
            for taken in cells {
                self.cells.release(taken.cell, taken.used);
            }
        }
        Some(self.moved())
    }

    /// How many pieces of the lines of an accrual are left, and for how much; none where nothing of it is.
    pub fn left_of(&self, original: usize) -> Vec<(i64, i64)> {
        let found = self.granted.iter().find(|accrual| accrual.step == original);
        let lines = found.map_or_else(Vec::new, |accrual| accrual.standing().lines().to_vec());
        lines.iter().map(|left| (left.quantity, left.amount_minor)).collect()
    }

    pub fn moved(&self) -> Outcome {
        match self.decision.refusal() {
            Some(refusal) => Outcome::Refused(refusal),
            None => Outcome::Moved { units: self.decision.granted, balance: self.decision.balance_after },
        }
    }

    pub fn redeem(&mut self, account: usize, units: i64, now: TimestampNs) -> Outcome {
        let redemption = Redemption { wallet: WalletId(0), units, reward: None };
        self.run(account, now, self.partners[1], CommandKind::Redeem(redemption));
        self.moved()
    }

    pub fn enrol(&mut self, account: usize, joins: &[usize], leaves: &[usize], now: TimestampNs) -> Outcome {
        let listed = |list: &[usize]| list.iter().map(|index| self.segments[*index]).collect();
        let enrolment = Enrolment { joins: listed(joins), leaves: listed(leaves), birthday: None };
        self.run(account, now, self.partners[0], CommandKind::Enrol(enrolment));
        if let Some(refusal) = self.decision.refusal() {
            return Outcome::Refused(refusal);
        }
        let place = |symbol: SymbolId| self.segments.iter().position(|known| *known == symbol).expect("it is known");
        let changes = self.decision.effects.segments.iter().map(|(symbol, joins)| (place(*symbol), *joins));
        Outcome::Enrolled { changes: changes.collect() }
    }

    pub fn load(&mut self, account: usize, lots: &[(usize, i64, i64)], now: TimestampNs) -> Outcome {
        let lots = lots.iter().map(|(issuer, expires_at, units)| {
            let issuer = self.partners[*issuer];
            let key = LotKey {
                wallet: WalletId(0),
                issuer,
                funding_rate_bps: 0,
                available_from_minute: 0,
                inactive_days: 0,
                expires_at: TimestampNs(*expires_at),
            };
            (key, *units)
        });
        let mut lots: Vec<_> = lots.collect();
        lots.sort_unstable();
        self.run(account, now, self.partners[0], CommandKind::Load(Loading { lots }));
        self.moved()
    }

    /// The sweep posts what is dead.
    pub fn expire(&mut self, account: usize, now: TimestampNs) -> Outcome {
        self.run(account, now, SymbolId::EMPTY, CommandKind::Expire);
        self.moved()
    }

    /// Decides and applies, as a worker does.
    fn run(&mut self, account: usize, now: TimestampNs, partner: SymbolId, kind: CommandKind) {
        self.run_as("model", account, now, partner, kind);
    }

    /// The same under a stated id.
    pub fn run_as(
        &mut self,
        transaction_id: &str,
        account: usize,
        now: TimestampNs,
        partner: SymbolId,
        kind: CommandKind,
    ) {
        self.account = account;
        let command = Command {
            account_id: ACCOUNTS[account].into(),
            transaction_id: transaction_id.into(),
            partner,
            kind,
            ..Command::default()
        };
        let mut wanted = Vec::new();
        draws::list(&self.program, &command, now, &mut wanted);
        let returned: &[CellUse] = match &command.kind {
            CommandKind::Reverse(reversal) => &reversal.original.cells,
            _ => &[],
        };
        let all = wanted.iter().map(|draw| draw.cell).chain(returned.iter().map(|taken| taken.cell));
        let mut held = self.cells.hold(all);
        let mut rooms: Vec<CellRoom> = wanted.iter().map(|draw| held.room(draw)).collect();
        rooms.extend(returned.iter().map(|taken| held.return_to(taken)));
        let context = Context { program: &self.program, posted_at: now, rooms: &rooms, frozen: None };
        let before = shard_digest(&self.state);
        let mut quoted = Decision::default();
        self.state.decide(&command, &context, &mut quoted);
        self.state.decide(&command, &context, &mut self.decision);
        assert_eq!(quoted, self.decision, "a quote is what is decided, whatever was decided before");
        assert_eq!(shard_digest(&self.state), before, "deciding changes nothing");
        if !self.decision.is_journaled() {
            return;
        }
        held.take(&self.decision.cells, 1);
        drop(held);
        let number = self.state.find(ACCOUNTS[account]).unwrap_or_else(|| self.state.next_account());
        let change = Change {
            seq: self.state.seq.next(),
            position: Some(Position(self.state.seq.0)),
            posted_at: now,
            account: number,
            account_id: ACCOUNTS[account],
            partner: command.partner,
            decision: &self.decision,
        };
        assert!(self.state.accepts(&change, &mut Unpacked::default()), "what was decided can be applied");
        self.state.apply(&change);
        self.check_conserved(number, now);
    }

    /// Accounts and partners add up to zero after every record, nothing is negative, and whatever was granted is left,
    /// burned, expired or taken back. What had died is posted, but for what this record itself granted dead.
    fn check_conserved(&self, changed: AccountNumber, now: TimestampNs) {
        let units = |account: Account| account.holdings().map(|(_, units)| i128::from(units)).sum::<i128>();
        let held: i128 = self.state.accounts().map(units).sum();
        let sides: Vec<_> = self.state.partners.issuers().map(|(_, partner)| partner).collect();
        let owed: i128 = sides.iter().map(|partner| partner.balance).sum();
        assert_eq!(held + owed, 0, "the shard balances");
        assert!(self.state.partners.is_whole(), "what was burned is what somebody took");
        for side in sides {
            let left = side.issued - side.redeemed - side.expired - side.reversed;
            assert_eq!(side.balance, -left, "what an issuer has outstanding is what it issued and did not get back");
        }
        let account = self.state.account(changed).expect("it was opened");
        assert!(account.lots.iter().all(|lot| lot.remaining > 0) && account.counters.iter().all(|c| c.value > 0));
        for wallet in &account.wallets {
            let own = account.holdings().filter(|(key, _)| key.wallet == wallet.wallet);
            let left: i64 = own.map(|(_, units)| units).sum();
            assert_eq!(
                wallet.granted,
                left + wallet.redeemed + wallet.expired + wallet.reversed,
                "units are conserved"
            );
        }
        if self.decision.refusal().is_none() {
            let dead = account.lots.iter().filter(|lot| lot.key.expires_at <= now);
            let granted = |key| {
                let effects = &self.decision.effects.lots;
                effects.iter().any(|change| change.movement == Movement::Grant && change.key == key)
            };
            assert!(dead.into_iter().all(|lot| granted(lot.key)), "what had died is posted");
        }
    }

    /// Whether an account owes something.
    pub fn owes(&self, account: usize) -> bool {
        let found = self.state.find(ACCOUNTS[account]).and_then(|number| self.state.account(number));
        found.is_some_and(|found| found.owed(WalletId(0)) > 0)
    }

    /// The lots that are alive, in the model's words.
    pub fn chunks(&self, account: usize, now: TimestampNs) -> Vec<Chunk> {
        let number = self.state.find(ACCOUNTS[account]);
        let found = number.and_then(|number| self.state.account(number)).unwrap_or_default();
        let lots = found.settled(now).into_owned().lots;
        let alive = lots.iter().filter(|lot| lot.key.expires_at > now);
        let chunk = |lot: &tallystick::ledger::account::Lot| Chunk {
            account,
            expires_at: lot.key.expires_at.0,
            issuer: self.partners.iter().position(|partner| *partner == lot.key.issuer).expect("it is known"),
            from_minute: i64::from(lot.key.available_from_minute),
            put_off: lot.key.is_extended(),
            units: lot.remaining,
        };
        let mut chunks: Vec<_> = alive.map(chunk).collect();
        chunks.sort_unstable();
        chunks
    }

    /// The segments of an account, and how many of its redemptions were refused.
    pub fn profile(&self, account: usize) -> (Vec<usize>, i64) {
        let found = self.state.find(ACCOUNTS[account]).and_then(|number| self.state.account(number));
        let Some(found) = found else { return (Vec::new(), 0) };
        let places = (0..self.segments.len()).filter(|index| found.segments().contains(&self.segments[*index]));
        (places.collect(), found.totals.refused_redemptions)
    }
}
