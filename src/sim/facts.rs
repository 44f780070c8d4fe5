//! What clients ask and what the journal says, in plain words: strings instead of numbers of a dictionary, so that a
//! request survives a crash that takes numbers back, and the naive model needs nothing of the ledger.
//!
//! What must stay true: nothing here decides anything; a field that the ledger compares or decides is copied as it is.

use super::catalogue::Wanted;
use super::holds::{AsideChange, AsideName};
use super::lots::{LotMove, LotName};
use super::money::{GoneBack, PaidIn, first_difference};
use super::orders::{difference_of_loads, difference_of_orders, naming_field};
use super::returns::Asked;
use super::ring::{Identifier, Ring, counter_name};
use super::stamps::Stamped;
use super::told::action_of;
use super::vouchers::{self, ByHand, VoucherWords};
use crate::codec::DecodeError;
use crate::journal::dictionary::Dictionary;
use crate::journal::frame::RecordView;
use crate::journal::record::{Entry, PreviousRecord};
use crate::ledger::authorization::AuthorizationChange;
use crate::ledger::decision::{Decision, LotChange, LotKey, Movement, Refusal};
use crate::ledger::held::{HeldChange, HeldName};
use crate::ledger::program::LineClass;
use crate::ledger::types::{CellId, SymbolId, TimestampNs};
use crate::replay::World;

/// A string that is only ever compared.
pub type Name = Box<str>;

/// One line of a purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurchaseLine {
    /// In the order of [`super::rules::ATTRIBUTES`].
    pub attributes: [Name; 5],
    /// How many.
    pub quantity: i64,
    /// For how much.
    pub amount_minor: i64,
}

/// A purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purchase {
    /// The store.
    pub store: Name,
    /// The terminal, or empty.
    pub terminal: Name,
    /// The cashier, or empty.
    pub cashier: Name,
    /// The number on the receipt.
    pub receipt_number: Name,
    /// Days since 1970-01-01.
    pub business_day: i32,
    /// Nanoseconds since 1970-01-01.
    pub receipt_at: i64,
    /// At least one.
    pub lines: Vec<PurchaseLine>,
    /// Codes of vouchers that it uses, ascending.
    pub vouchers: Vec<Name>,
}

/// What a command asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Grant what the purchase earns.
    Accrue {
        /// The account.
        account: Name,
        /// The purchase.
        purchase: Purchase,
    },
    /// Take an accrual or a burn back, or a part of it.
    Reverse {
        /// The transaction id of the accrual, the redemption or the capture.
        original: Name,
        /// What comes back of which lines; none for whatever is left.
        lines: Vec<Asked>,
        /// How many burned units come back; none for whatever is left.
        units: Option<i64>,
        /// How many rewards come back; none for whatever is left.
        rewards: Option<i64>,
    },
    /// Burn units.
    Redeem {
        /// The account.
        account: Name,
        /// The wallet.
        wallet: usize,
        /// Units.
        units: i64,
    },
    /// Burn units for a reward.
    Take(Wanted),
    /// Grant what an activity earns.
    Act {
        /// The account.
        account: Name,
        /// What was done.
        kind: Name,
        /// When, in nanoseconds since 1970-01-01.
        happened_at: i64,
        /// The channel, or empty.
        channel: Name,
    },
    /// Join and leave segments.
    Enrol {
        /// The account.
        account: Name,
        /// Ascending.
        joins: Vec<Name>,
        /// Ascending, none of them among the others.
        leaves: Vec<Name>,
    },
    /// Grant what the account had elsewhere.
    Load {
        /// The account.
        account: Name,
        /// Lots of the partner who asks, ascending, with their units.
        lots: Vec<(LotName, i64)>,
    },
    /// Decide on what is held of a transaction.
    Review {
        /// The transaction id.
        original: Name,
        /// It is released; else rejected.
        releases: bool,
        /// Why.
        note: Name,
    },
    /// Bring back what one record says has died.
    Restore {
        /// The account.
        account: Name,
        /// The position of the record.
        expiry: u64,
        /// When the units die instead.
        dies: i64,
        /// Why.
        note: Name,
    },
    /// Grant or take units by hand.
    Adjust {
        /// The account.
        account: Name,
        /// The wallet.
        wallet: usize,
        /// More than 0 to grant, less to take.
        units: i64,
        /// When granted units die; by the programme's terms where it is left open.
        dies: Option<i64>,
        /// Why.
        note: Name,
    },
    /// Have an identifier point to the account, or no longer.
    Link {
        /// The account.
        account: Name,
        /// The identifier.
        identifier: Identifier,
        /// It is to point to the account.
        links: bool,
    },
    /// Set units aside.
    Authorize {
        /// The account.
        account: Name,
        /// The wallet.
        wallet: usize,
        /// Units.
        units: i64,
        /// For how long, if it says so.
        hold_seconds: Option<u32>,
    },
    /// Burn units that are set aside.
    Capture {
        /// The transaction id of the authorization.
        original: Name,
        /// Its wallet, for whoever judges.
        wallet: usize,
        /// Units.
        units: i64,
        /// What is left is given back.
        is_last: bool,
    },
    /// Give back what is set aside.
    Void {
        /// The transaction id of the authorization.
        original: Name,
    },
    /// Pay money in.
    TopUp(PaidIn),
    /// Have money that was paid in go back.
    Refund(GoneBack),
    /// Give a voucher, or cancel one.
    Voucher(ByHand),
    /// Post what has died. No client asks for it: the ledger does it by itself.
    Expire,
}

impl Action {
    /// The account, where the command names it.
    #[must_use]
    pub fn account(&self) -> Option<&Name> {
        match self {
            Self::Accrue { account, .. }
            | Self::Redeem { account, .. }
            | Self::Act { account, .. }
            | Self::Enrol { account, .. }
            | Self::Load { account, .. }
            | Self::Restore { account, .. }
            | Self::Adjust { account, .. }
            | Self::Authorize { account, .. }
            | Self::Link { account, .. } => Some(account),
            Self::TopUp(paid) => Some(&paid.account),
            Self::Take(wanted) => Some(&wanted.account),
            Self::Voucher(asked) => Some(&asked.account),
            Self::Reverse { .. }
            | Self::Refund(_)
            | Self::Review { .. }
            | Self::Capture { .. }
            | Self::Void { .. }
            | Self::Expire => None,
        }
    }

    /// The account, to be changed.
    pub fn account_mut(&mut self) -> Option<&mut Name> {
        match self {
            Self::Accrue { account, .. }
            | Self::Redeem { account, .. }
            | Self::Act { account, .. }
            | Self::Enrol { account, .. }
            | Self::Load { account, .. }
            | Self::Restore { account, .. }
            | Self::Adjust { account, .. }
            | Self::Authorize { account, .. }
            | Self::Link { account, .. } => Some(account),
            Self::TopUp(paid) => Some(&mut paid.account),
            Self::Take(wanted) => Some(&mut wanted.account),
            Self::Voucher(asked) => Some(&mut asked.account),
            _ => None,
        }
    }

    /// The field by which the wire names a member, where the command can be about one.
    #[must_use]
    pub fn member_field(&self) -> Option<&'static str> {
        match self {
            Self::Accrue { .. } => Some("basket.member_id"),
            Self::Act { .. } => Some("activity.member_id"),
            Self::Redeem { .. } | Self::Take(_) | Self::Authorize { .. } => Some("member_id"),
            _ => None,
        }
    }
}

/// A command as a client sends it, again and again if need be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub partner: Name,
    /// The id of the command.
    pub transaction_id: Name,
    /// The identifier by which the account is named; the action then leaves the account's id empty.
    pub named_by: Option<Identifier>,
    /// The member that it is about; empty for nobody in particular.
    pub member: Name,
    /// What is asked.
    pub action: Action,
}

/// What names a receipt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReceiptName {
    /// The partner.
    pub partner: Name,
    /// The store.
    pub store: Name,
    /// The terminal.
    pub terminal: Name,
    /// The business day.
    pub business_day: i32,
    /// The number.
    pub number: Name,
}

impl Purchase {
    /// The receipt.
    #[must_use]
    pub fn receipt(&self, partner: &str) -> ReceiptName {
        ReceiptName {
            partner: partner.into(),
            store: self.store.clone(),
            terminal: self.terminal.clone(),
            business_day: self.business_day,
            number: self.receipt_number.clone(),
        }
    }

    fn first_difference(&self, other: &Self) -> Option<String> {
        let field = if self.store != other.store {
            "store_id"
        } else if self.terminal != other.terminal {
            "terminal_id"
        } else if self.cashier != other.cashier {
            "cashier_id"
        } else if self.receipt_number != other.receipt_number {
            "receipt_number"
        } else if self.business_day != other.business_day {
            "business_date"
        } else if self.receipt_at != other.receipt_at {
            "receipt_time"
        } else if self.vouchers != other.vouchers {
            "voucher_codes"
        } else if self.lines.len() != other.lines.len() {
            "lines"
        } else {
            let differs = |index: &usize| self.lines[*index] != other.lines[*index];
            let index = (0..self.lines.len()).find(differs)?;
            let (ours, theirs) = (&self.lines[index], &other.lines[index]);
            let attribute = (0..5).find(|number| ours.attributes[*number] != theirs.attributes[*number]);
            let field = match attribute {
                Some(number) => super::rules::ATTRIBUTES[number],
                None if ours.quantity != theirs.quantity => "quantity",
                None => "amount_minor",
            };
            return Some(format!("basket.lines[{index}].{field}"));
        };
        Some(format!("basket.{field}"))
    }
}

impl Request {
    /// The field in which this request differs from what was posted under its id; `None` when it is the same.
    #[must_use]
    pub fn first_difference(&self, posted: &Posting) -> Option<String> {
        if self.named_by != posted.named_by {
            return Some(naming_field(&self.action, &posted.action).to_owned());
        }
        if self.named_by.is_none() && self.action.account().is_some_and(|account| *account != posted.account) {
            return Some("account_id".to_owned());
        }
        let (ours, theirs) = (self.action.member_field(), posted.action.member_field());
        if let Some(field) = ours.filter(|_| ours == theirs && self.member != posted.member) {
            return Some(field.to_owned());
        }
        let first =
            |fields: &[(&str, bool)]| fields.iter().find(|(_, is_same)| !is_same).map(|(field, _)| (*field).to_owned());
        match (&self.action, &posted.action) {
            (Action::Redeem { wallet, units, .. }, Action::Redeem { wallet: their_wallet, units: their_units, .. }) => {
                first(&[("wallet", wallet == their_wallet), ("points", units == their_units)])
            }
            (
                Action::Act { kind, happened_at, channel, .. },
                Action::Act { kind: their_kind, happened_at: their_time, channel: their_channel, .. },
            ) => first(&[
                ("activity.kind", kind == their_kind),
                ("activity.activity_time", happened_at == their_time),
                ("activity.channel", channel == their_channel),
            ]),
            (Action::Enrol { joins, leaves, .. }, Action::Enrol { joins: their_joins, leaves: their_leaves, .. }) => {
                first(&[("join_segments", joins == their_joins), ("leave_segments", leaves == their_leaves)])
            }
            (Action::Load { lots, .. }, Action::Load { lots: theirs, .. }) => difference_of_loads(lots, theirs),
            (Action::Accrue { purchase, .. }, Action::Accrue { purchase: theirs, .. }) => {
                purchase.first_difference(theirs)
            }
            (
                Action::Reverse { original, lines, units, rewards },
                Action::Reverse { original: theirs, lines: their_lines, units: their_units, rewards: their_rewards },
            ) => first(&[
                ("original_transaction_id", original == theirs),
                ("lines", lines == their_lines),
                ("points", units == their_units),
                ("quantity", rewards == their_rewards),
            ]),
            (
                Action::Link { identifier, links, .. },
                Action::Link { identifier: their_identifier, links: they_link, .. },
            ) if links == they_link => first(&[("identifier", identifier == their_identifier)]),
            (
                Action::Authorize { wallet, units, hold_seconds, .. },
                Action::Authorize { wallet: of, units: many, hold_seconds: long, .. },
            ) => first(&[("wallet", wallet == of), ("points", units == many), ("hold_seconds", hold_seconds == long)]),
            (
                Action::Capture { original, units, is_last, .. },
                Action::Capture { original: of, units: many, is_last: last, .. },
            ) => first(&[
                ("authorization_transaction_id", original == of),
                ("points", units == many),
                ("final_capture", is_last == last),
            ]),
            (Action::Take(ours), Action::Take(theirs)) => ours.first_difference(theirs),
            (Action::Take(_), Action::Redeem { .. }) | (Action::Redeem { .. }, Action::Take(_)) => {
                first(&[("reward", false)])
            }
            (Action::Void { original }, Action::Void { original: of }) => {
                first(&[("authorization_transaction_id", original == of)])
            }
            (ours, theirs) => first_difference(ours, theirs)
                .or_else(|| vouchers::first_difference(ours, theirs))
                .unwrap_or_else(|| difference_of_orders(ours, theirs)),
        }
    }
}

/// What a line earned by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earning {
    /// It is not eligible.
    Nothing,
    /// The base rate.
    Base,
    /// The rule at this place in the file.
    Rule(u32),
}

/// What a command found in a cell and took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// The cell: of a budget, of a shared cap or of places.
    pub cell: Name,
    /// The number of the use.
    pub version: u64,
    /// What was there.
    pub room: i64,
    /// What was taken.
    pub used: i64,
}

/// A change to what is held: the partner and the id of the transaction, and the cap by which that begins.
pub type HeldWords = (Name, Name, Option<Name>);

/// A decision in plain words. The numbers and rooms of uses are kept apart from what is compared with the model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why not, if not.
    pub refusal: Option<Refusal>,
    /// The version of the programme, from 1.
    pub program: u32,
    /// The wallet.
    pub wallet: usize,
    /// Per line.
    pub lines: Vec<Earning>,
    /// Units before caps.
    pub earned: i64,
    /// Units granted; negative when taken back.
    pub granted: i64,
    /// The velocity cap that struck.
    pub over_velocity: Option<Name>,
    /// Name, whether it is a budget, units withheld.
    pub clips: Vec<(Name, bool, i64)>,
    /// Cells drawn on, with what was taken.
    pub taken: Vec<(Name, i64)>,
    /// Rules that counted for a line beside the one it earned by: line and place in the file.
    pub stacked: Vec<(u32, u32)>,
    /// Places of the bonuses in the file, with their units.
    pub bonuses: Vec<(usize, i64)>,
    /// What was counted on stamp cards.
    pub stamps: Vec<Stamped>,
    /// The level that judged, and the ladder's metric afterwards.
    pub level: Option<(u8, i64)>,
    /// Lots that change. What has died comes first, in the order of its names.
    pub lots: Vec<LotMove>,
    /// The account's variant of each experiment.
    pub variants: Vec<u8>,
    /// What a basket left over for the next, in the model's own parts: not to be compared with the ledger's.
    pub left: Option<i128>,
    /// Segments joined (`true`) or left, by name.
    pub segments: Vec<(Name, bool)>,
    /// The identifier that points to the account from now on (`true`), or no longer.
    pub identifier: Option<(Identifier, bool)>,
    /// The transaction whose units are held from now on, and the cap that holds them; or that is not held any more.
    pub held: Option<HeldWords>,
    /// Authorizations whose time had run out, and which were given back first.
    pub ended: Vec<AsideName>,
    /// What became of an authorization.
    pub aside: Option<(AsideName, AsideChange)>,
    /// What the account owes more in the wallet, or less.
    pub owed: i64,
    /// Units that a return found dead.
    pub gone: i64,
    /// Name, period and change; the name of a member's has the member behind it.
    pub counters: Vec<(Name, i32, i64)>,
    /// What of a top-up could go back afterwards.
    pub refundable: i64,
    /// What becomes of vouchers, by their codes.
    pub vouchers: Vec<(Name, VoucherWords)>,
    /// The account is opened.
    pub opens_account: bool,
    /// Baskets, baskets over velocity, reversals, refused redemptions, units clipped.
    pub totals: [i64; 5],
    /// The balance afterwards.
    pub balance_after: i64,
}

/// The text of a number of the dictionary.
#[must_use]
pub fn name_of(dictionary: &Dictionary, symbol: SymbolId) -> Name {
    dictionary.text(symbol).unwrap_or_else(|| format!("(undefined string {symbol})").into())
}

/// What names a cell: the name in the file, and where it is not of the whole programme for all time, whose it is and in
/// which period. A store of one name is another one with another partner.
#[must_use]
pub fn cell_name_of(dictionary: &Dictionary, cell: CellId) -> Name {
    let name = name_of(dictionary, cell.name);
    if cell.is_whole() {
        return name;
    }
    let [partner, store, place] = cell.subject.map(|symbol| name_of(dictionary, symbol));
    format!("{name}|{partner}|{store}|{place}|{}", cell.period).into()
}

/// What tells a lot apart, in plain words.
#[must_use]
pub fn lot_name_of(dictionary: &Dictionary, key: &LotKey) -> LotName {
    LotName {
        wallet: usize::from(key.wallet.0),
        issuer: name_of(dictionary, key.issuer),
        funding: key.funding_rate_bps,
        available_from: i64::from(key.released().available_from_minute),
        inactive_days: key.inactive_days,
        dies: key.expires_at.0,
        is_held: key.is_held(),
    }
}

impl Verdict {
    /// A decision of the ledger in plain words.
    #[must_use]
    pub fn of(decision: &Decision, dictionary: &Dictionary, ring: &Ring) -> Self {
        let name = |symbol| name_of(dictionary, symbol);
        let totals = &decision.effects.totals;
        let lines = decision.lines.iter().map(|line| match line.class {
            LineClass::Ineligible => Earning::Nothing,
            LineClass::Base => Earning::Base,
            LineClass::Rule(rule) => Earning::Rule(rule.0),
        });
        let counters = decision.effects.counters.iter();
        let changes = decision.effects.authorizations.as_deref();
        let words = |of: &HeldName| (name(of.partner), of.transaction_id.clone());
        let lot =
            |change: &LotChange| LotMove::new(lot_name_of(dictionary, &change.key), change.movement, change.delta);
        let mut lots: Vec<LotMove> = decision.effects.lots.iter().map(lot).collect();
        let dead_count = lots.iter().take_while(|change| change.is(Movement::Expire)).count();
        lots[..dead_count].sort();
        let segments = decision.effects.segments.iter().map(|(segment, joins)| (name(*segment), *joins));
        let mut segments: Vec<_> = segments.collect();
        segments.sort();
        Self {
            refusal: decision.refusal(),
            program: decision.program.0,
            wallet: usize::from(decision.wallet.0),
            lines: lines.collect(),
            earned: decision.earned,
            granted: decision.granted,
            over_velocity: decision.over_velocity.map(name),
            clips: decision.clips.iter().map(|clip| (name(clip.source), clip.is_budget, clip.units)).collect(),
            taken: decision.cells.iter().map(|cell| (cell_name_of(dictionary, cell.cell), cell.used)).collect(),
            stacked: decision.stacked.iter().map(|(line, rule)| (*line, rule.0)).collect(),
            bonuses: decision.bonuses.iter().map(|award| (usize::from(award.bonus.0), award.units)).collect(),
            stamps: super::stamps::words_of(decision),
            level: decision.tier.map(|standing| (standing.level, standing.qualifying)),
            lots,
            variants: decision.variants.clone(),
            left: None,
            segments,
            identifier: decision.effects.identifier.as_deref().map(|one| (ring.identifier(one.key), one.links)),
            held: decision.effects.held.as_deref().map(|change| match change {
                HeldChange::Begins(of, cap) => (name(of.partner), of.transaction_id.clone(), Some(name(*cap))),
                HeldChange::Ends(of) => (name(of.partner), of.transaction_id.clone(), None),
            }),
            ended: changes.map_or_else(Vec::new, |changes| changes.ended.iter().map(words).collect()),
            aside: changes.and_then(|changes| changes.own.as_ref()).map(|own| {
                let change = match own {
                    AuthorizationChange::Begins(_, ends_at) => AsideChange::Begins(ends_at.0),
                    AuthorizationChange::Captures { units, captured, rest, closes, .. } => {
                        AsideChange::Captures(*units, *captured, *rest, *closes)
                    }
                    AuthorizationChange::Voids { captured, rest, .. } => AsideChange::Voids(*captured, *rest),
                };
                (words(own.name()), change)
            }),
            owed: decision.effects.owed.map_or(0, |(_, delta)| delta),
            gone: decision.effects.gone,
            counters: counters
                .map(|change| {
                    let counter = counter_name(&name(change.counter), &ring.member(change.member));
                    (counter, change.period, change.delta)
                })
                .collect(),
            refundable: decision.refundable,
            vouchers: vouchers::words_of(decision, name),
            opens_account: decision.effects.opens_account,
            totals: [
                totals.baskets,
                totals.refused_baskets,
                totals.reversals,
                totals.refused_redemptions,
                totals.clipped,
            ],
            balance_after: decision.balance_after,
        }
    }
}

/// What a decision of the ledger found in cells and took, in plain words.
#[must_use]
pub fn uses_of(decision: &Decision, dictionary: &Dictionary) -> Vec<Use> {
    let uses = decision.cells.iter().map(|cell| Use {
        cell: cell_name_of(dictionary, cell.cell),
        version: cell.version,
        room: cell.room_before,
        used: cell.used,
    });
    uses.collect()
}

/// One journaled command.
#[derive(Clone, Debug)]
pub struct Posting {
    /// Where its record lies.
    pub position: u64,
    /// Where its frame begins.
    pub frame: u64,
    /// Its shard.
    pub shard: u16,
    /// Its number in the shard.
    pub seq: u64,
    /// When it was posted.
    pub posted_at: i64,
    /// Where the record says that the account's record before lies.
    pub previous: PreviousRecord,
    /// The account.
    pub account: Name,
    /// Who asked.
    pub partner: Name,
    /// The number of that name.
    pub partner_number: u32,
    /// The id.
    pub transaction_id: Name,
    /// The identifier by which the account was named.
    pub named_by: Option<Identifier>,
    /// The member that it was about; empty for nobody in particular.
    pub member: Name,
    /// What was asked.
    pub action: Action,
    /// What was decided.
    pub verdict: Verdict,
    /// Cells drawn on or given back to.
    pub uses: Vec<Use>,
    /// The decision as the ledger keeps it, to compare answers with.
    pub decision: Decision,
}

impl Posting {
    /// A record in plain words. `world` is the state before the record.
    ///
    /// # Errors
    /// When the record names an account that was never opened.
    pub fn of(
        world: &World,
        ring: &Ring,
        frame: u64,
        view: &RecordView<'_>,
        entry: &Entry,
    ) -> Result<Self, DecodeError> {
        let dictionary = &world.dictionary;
        let account: Name = if entry.decision.effects.opens_account {
            entry.command.account_id.as_str().into()
        } else {
            let shard = world.shards.get(usize::from(view.shard.0)).ok_or(DecodeError::UnknownReference)?;
            shard.packed(entry.account).ok_or(DecodeError::UnknownReference)?.id().into()
        };
        let action = action_of(&entry.command.kind, &account, dictionary, ring);
        let TimestampNs(posted_at) = entry.posted_at;
        Ok(Self {
            position: view.position.0,
            frame,
            shard: view.shard.0,
            seq: view.seq.0,
            posted_at,
            previous: entry.previous,
            account,
            partner: name_of(dictionary, entry.command.partner),
            partner_number: entry.command.partner.0,
            transaction_id: entry.command.transaction_id.as_str().into(),
            named_by: entry.command.named_by.map(|key| ring.identifier(key)),
            member: ring.member(entry.command.member),
            action,
            verdict: Verdict::of(&entry.decision, dictionary, ring),
            uses: uses_of(&entry.decision, dictionary),
            decision: entry.decision.clone(),
        })
    }
}
