//! What a caller asks for, after translation and validation at the edge: every string that repeats is interned, every
//! number is in range. A command carries no time of its own but the receipt's; its posting time is given beside it.

use std::mem::discriminant;

use super::decision::{CellUse, CounterChange, LotKey};
use super::money::{Refund, TopUp};
use super::operator::{Operation, OperatorOrder};
use super::stamps::CardVouchers;
pub use super::unburn::{RewardsBack, Unburn};

use super::types::{
    Day, IdentifierKey, Item, ItemId, MemberKey, MonthDay, Position, ProgramVersion, SymbolId, TimestampNs, Units,
    WalletId,
};
use super::voucher::VoucherCode;

/// One request to the ledger on behalf of a partner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// The account it is for. 1 to [`crate::limits::ACCOUNT_ID_BYTES_MAX`] bytes.
    pub account_id: String,
    /// The caller's id of this command, unique per partner for ever.
    /// 1 to [`crate::limits::TRANSACTION_ID_BYTES_MAX`] bytes.
    pub transaction_id: String,
    /// The partner that the caller's credential stands for.
    pub partner: SymbolId,
    /// The identifier by which the caller named the account, if it did not state its id.
    pub named_by: Option<IdentifierKey>,
    /// Which member of the account it is about, for a basket, an activity, a redemption or an
    /// authorization that says so.
    pub member: MemberKey,
    /// What is asked.
    pub kind: CommandKind,
}

/// What a command asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CommandKind {
    /// Grant what a basket earns.
    Accrue(Basket),
    /// Take back an earlier accrual, or a part of it.
    Reverse(Reversal),
    /// Burn units.
    Redeem(Redemption),
    /// Grant what an activity earns.
    Act(Activity),
    /// Change what is known of the account; opens it where it is not there.
    Enrol(Enrolment),
    /// Grant units that another system had granted: an opening balance.
    Load(Loading),
    /// What an operator asks.
    Operate(Box<Operation>),
    /// Have an identifier point to the account, or no longer.
    Link(Linking),
    /// Set units aside.
    Authorize(SettingAside),
    /// Burn units that are set aside.
    Capture(Capture),
    /// Give back what is set aside.
    Void(AuthorizationOf),
    /// Give back units that were burned.
    Unburn(Unburn),
    /// Grant money that was paid in.
    TopUp(TopUp),
    /// Give money that was paid in back to where it came from.
    Refund(Box<Refund>),
    /// Post the expiry of lots that are dead, and the end of authorizations whose time has run out. Sent by the ledger
    /// itself, under no id.
    #[default]
    Expire,
}

/// A purchase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Basket {
    /// The store, always given.
    pub store: SymbolId,
    /// The terminal, or [`SymbolId::EMPTY`].
    pub terminal: SymbolId,
    /// The cashier, or [`SymbolId::EMPTY`].
    pub cashier: SymbolId,
    /// The number printed on the receipt. 1 to [`crate::limits::RECEIPT_NUMBER_BYTES_MAX`] bytes.
    pub receipt_number: String,
    /// The store's business day, as the caller states it or the local day of the receipt.
    pub business_day: Day,
    /// When the receipt was printed: the event time.
    pub receipt_at: TimestampNs,
    /// The channel, or [`SymbolId::EMPTY`].
    pub channel: SymbolId,
    /// How it was paid, or [`SymbolId::EMPTY`].
    pub payment_method: SymbolId,
    /// 1 to [`crate::limits::BASKET_LINES_MAX`] lines.
    pub lines: Vec<Line>,
    /// Vouchers that it uses, ascending. At most [`crate::limits::VOUCHER_CODES_MAX`].
    pub vouchers: Vec<VoucherCode>,
}

/// One line of a basket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The interned item, as the journal names it.
    pub item_id: ItemId,
    /// The item's attributes.
    pub item: Item,
    /// 0 to [`crate::limits::LINE_QUANTITY_MAX`].
    pub quantity: i64,
    /// 0 to [`crate::limits::LINE_AMOUNT_MINOR_MAX`], in minor units of the programme's currency.
    pub amount_minor: i64,
}

/// A request to burn units of a wallet: lots that die first go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redemption {
    /// The wallet.
    pub wallet: WalletId,
    /// 1 to [`crate::limits::UNITS_MAX`].
    pub units: Units,
    /// The reward that they are for, if they are for one.
    pub reward: Option<RewardAsked>,
}

/// A reward that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RewardAsked {
    /// Its name.
    pub reward: SymbolId,
    /// How many. 1 to [`crate::limits::REWARD_QUANTITY_MAX`].
    pub quantity: i64,
    /// The caller stated the units; else they follow from the programme.
    pub states_units: bool,
}

/// A request to set units of a wallet aside, in the order in which they would be burned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettingAside {
    /// The wallet.
    pub wallet: WalletId,
    /// 1 to [`crate::limits::UNITS_MAX`].
    pub units: Units,
    /// For how long, if not as long as the programme allows; never longer. 1 to
    /// [`crate::limits::HOLD_SECONDS_MAX`].
    pub hold_seconds: Option<u32>,
}

/// An authorization that a command is about, as its record says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorizationOf {
    /// The caller's id of it.
    pub transaction_id: Box<str>,
    /// The position of its record.
    pub position: Position,
    /// The wallet.
    pub wallet: WalletId,
    /// When its time runs out.
    pub ends_at: TimestampNs,
}

/// A request to burn units that are set aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capture {
    /// The authorization.
    pub of: AuthorizationOf,
    /// 1 to [`crate::limits::UNITS_MAX`].
    pub units: Units,
    /// Whether what is left afterwards is given back.
    pub is_final: bool,
}

/// Something that a member did besides buying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Its kind, for example a review.
    pub kind: SymbolId,
    /// When it happened: the event time.
    pub happened_at: TimestampNs,
    /// The channel, or [`SymbolId::EMPTY`].
    pub channel: SymbolId,
}

/// What is to be known of an account from now on. Lists are ascending and have no value twice, nor one in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enrolment {
    /// Segments that the account is in from now on. At most [`crate::limits::SEGMENT_CHANGES_MAX`].
    pub joins: Vec<SymbolId>,
    /// Segments that the account is no longer in. As many at most.
    pub leaves: Vec<SymbolId>,
    /// The birthday from now on: `Some(None)` to forget it, `None` to leave it as it is.
    pub birthday: Option<Option<MonthDay>>,
}

/// Units that the account had elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loading {
    /// The lots, ascending by key, each more than 0. 1 to [`crate::limits::LOADED_LOTS_MAX`].
    pub lots: Vec<(LotKey, Units)>,
}

/// An identifier that is to point to the account, or no longer. It points to one account at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Linking {
    /// Whether it is to point to the account from now on.
    pub links: bool,
    /// What kind of identifier it is, for example a card.
    pub kind: SymbolId,
    /// The identifier.
    pub key: IdentifierKey,
    /// The account once more: whoever looks the identifier up finds it in this record.
    pub account_id: Box<str>,
}

/// A request to take back an accrual, or a part of it, with what that accrual did, as its record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reversal {
    /// The caller's id of the accrual.
    pub original_transaction_id: Box<str>,
    /// The position of the accrual's record.
    pub original_position: Position,
    /// What the accrual changed, to be undone: of a part, what of it is to be undone now.
    pub original: Granted,
    /// Which part of the accrual comes back; `None` for the whole of it at once.
    pub part: Option<Box<Part>>,
}

/// Which part of an accrual comes back: see [`super::refund`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The record of the reversal of the same accrual before this one, if there is one.
    pub earlier: Option<Position>,
    /// What comes back of which lines, ascending by line. At most [`crate::limits::BASKET_LINES_MAX`].
    pub lines: Vec<ReturnedLine>,
    /// The caller named no lines: whatever was left comes back.
    pub is_rest: bool,
    /// Nothing is left afterwards.
    pub is_last: bool,
    /// Where the version carries what rounding leaves over: that version, and what the account's remainder changes by;
    /// not 0.
    pub carried: Option<(ProgramVersion, i64)>,
}

/// What comes back of one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReturnedLine {
    /// The place of the line in its basket, from 0.
    pub line: u32,
    /// How many; 0 for a line without a quantity, which comes back by its amount.
    pub quantity: i64,
    /// For how much, in minor units. Of a line with a quantity this follows from how many.
    pub amount_minor: i64,
}

/// What names a receipt: it earns once, for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The store.
    pub store: SymbolId,
    /// The terminal, or [`SymbolId::EMPTY`].
    pub terminal: SymbolId,
    /// The store's business day.
    pub business_day: Day,
    /// The number printed on it.
    pub number: Box<str>,
}

/// What an accrual changed: the part of its record that a reversal needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// The receipt, which is free again when the reversal is durable.
    pub receipt: Receipt,
    /// The lot that gained, if any did.
    pub lot: Option<LotKey>,
    /// Units granted.
    pub units: Units,
    /// Counters that were moved.
    pub counters: Vec<CounterChange>,
    /// Cells that were drawn on.
    pub cells: Vec<CellUse>,
    /// Vouchers that were given for full stamp cards, and by bonuses whose uses or places are counted, ascending by number:
    /// those that are to be counted as given no longer, as far as they are cancelled.
    pub stamps: Box<[CardVouchers]>,
}

impl CommandKind {
    /// Whether what the command enters in the index of ids beside its claims is free from then on. A capture and a void
    /// enter a name that nobody claims, for the last of them to be found.
    #[must_use]
    pub fn frees(&self) -> bool {
        self.authorization().is_none()
    }

    /// The authorization that is captured or voided.
    #[must_use]
    pub fn authorization(&self) -> Option<&AuthorizationOf> {
        match self {
            Self::Capture(capture) => Some(&capture.of),
            Self::Void(of) => Some(of),
            _ => None,
        }
    }

    /// The wallet that the command is about, as far as it says so; the others are about the one that earns.
    #[must_use]
    pub fn wallet(&self) -> Option<WalletId> {
        let of_lots = |lots: &[(LotKey, Units)]| lots.first().map(|(key, _)| key.wallet);
        match self {
            Self::Redeem(redemption) => Some(redemption.wallet),
            Self::Authorize(asked) => Some(asked.wallet),
            Self::Capture(Capture { of, .. }) | Self::Void(of) => Some(of.wallet),
            Self::TopUp(asked) => Some(asked.wallet),
            Self::Refund(refund) => Some(refund.lot.wallet),
            Self::Reverse(reversal) => reversal.original.lot.map(|key| key.wallet),
            Self::Unburn(unburn) => of_lots(&unburn.lots),
            Self::Load(loading) => of_lots(&loading.lots),
            Self::Operate(operation) => match &operation.order {
                OperatorOrder::Release(original) | OperatorOrder::Reject(original) => {
                    original.granted.lot.map(|key| key.wallet)
                }
                OperatorOrder::Restore(restoration) => of_lots(&restoration.lots),
                OperatorOrder::Adjust(adjustment) => Some(adjustment.wallet),
                OperatorOrder::IssueVoucher(_) | OperatorOrder::CancelVoucher(_) => None,
            },
            Self::Accrue(_) | Self::Act(_) | Self::Enrol(_) | Self::Link(_) | Self::Expire => None,
        }
    }

    /// The cells that the command gives back to: those that its original drew on. Empty where nothing is taken back.
    #[must_use]
    pub fn returns_to(&self) -> &[CellUse] {
        match self {
            Self::Reverse(reversal) => &reversal.original.cells,
            Self::Unburn(unburn) => unburn.reward.as_ref().map_or(&[], |reward| &reward.cells),
            Self::Operate(operation) => match &operation.order {
                OperatorOrder::Reject(original) => &original.granted.cells,
                OperatorOrder::Release(_)
                | OperatorOrder::Restore(_)
                | OperatorOrder::Adjust(_)
                | OperatorOrder::IssueVoucher(_)
                | OperatorOrder::CancelVoucher(_) => &[],
            },
            _ => &[],
        }
    }
}

impl Command {
    /// The first field, as the wire names it, in which another command with the same transaction id differs from this
    /// one; `None` when they ask the same.
    #[must_use]
    pub fn first_difference(&self, other: &Self) -> Option<String> {
        if self.named_by != other.named_by {
            return Some(self.kind.naming_field(&other.kind).to_owned());
        }
        // What points to another account by now is named as it was.
        if self.named_by.is_none() && self.account_id != other.account_id {
            return Some("account_id".to_owned());
        }
        if self.member != other.member && discriminant(&self.kind) == discriminant(&other.kind) {
            return Some(self.kind.member_field().to_owned());
        }
        match (&self.kind, &other.kind) {
            (CommandKind::Accrue(ours), CommandKind::Accrue(theirs)) => ours.first_difference(theirs),
            (CommandKind::Reverse(ours), CommandKind::Reverse(theirs)) => first_of([
                ("original_transaction_id", ours.original_transaction_id == theirs.original_transaction_id),
                ("lines", ours.asked_lines().eq(theirs.asked_lines())),
            ]),
            (CommandKind::Redeem(ours), CommandKind::Redeem(theirs)) => ours.first_difference(theirs),
            (CommandKind::Act(ours), CommandKind::Act(theirs)) => first_of([
                ("activity.kind", ours.kind == theirs.kind),
                ("activity.activity_time", ours.happened_at == theirs.happened_at),
                ("activity.channel", ours.channel == theirs.channel),
            ]),
            (CommandKind::Enrol(ours), CommandKind::Enrol(theirs)) => first_of([
                ("join_segments", ours.joins == theirs.joins),
                ("leave_segments", ours.leaves == theirs.leaves),
                ("birthday", ours.birthday == theirs.birthday),
            ]),
            (CommandKind::Load(ours), CommandKind::Load(theirs)) => {
                first_of([("wallet", self.kind.wallet() == other.kind.wallet()), ("lots", ours.lots == theirs.lots)])
            }
            (CommandKind::Operate(ours), CommandKind::Operate(theirs)) => {
                ours.first_difference(theirs).map(str::to_owned)
            }
            (CommandKind::Link(ours), CommandKind::Link(theirs)) if ours.links == theirs.links => {
                first_of([("identifier", (ours.kind, ours.key) == (theirs.kind, theirs.key))])
            }
            (CommandKind::Authorize(ours), CommandKind::Authorize(theirs)) => first_of([
                ("wallet", ours.wallet == theirs.wallet),
                ("points", ours.units == theirs.units),
                ("hold_seconds", ours.hold_seconds == theirs.hold_seconds),
            ]),
            (CommandKind::Capture(ours), CommandKind::Capture(theirs)) => first_of([
                ("authorization_transaction_id", ours.of.transaction_id == theirs.of.transaction_id),
                ("points", ours.units == theirs.units),
                ("final_capture", ours.is_final == theirs.is_final),
            ]),
            (CommandKind::Void(ours), CommandKind::Void(theirs)) => {
                first_of([("authorization_transaction_id", ours.transaction_id == theirs.transaction_id)])
            }
            (CommandKind::Unburn(ours), CommandKind::Unburn(theirs)) => first_of([
                ("original_transaction_id", ours.original_transaction_id == theirs.original_transaction_id),
                ("points", ours.asked_units() == theirs.asked_units()),
                ("quantity", ours.asked_quantity() == theirs.asked_quantity()),
            ]),
            (CommandKind::TopUp(ours), CommandKind::TopUp(theirs)) => first_of([
                ("wallet", ours.wallet == theirs.wallet),
                ("amount_minor", ours.units == theirs.units),
                ("source", ours.source == theirs.source),
                ("store_id", ours.store == theirs.store),
                ("terminal_id", ours.terminal == theirs.terminal),
            ]),
            (CommandKind::Refund(ours), CommandKind::Refund(theirs)) => first_of([
                ("original_transaction_id", ours.original_transaction_id == theirs.original_transaction_id),
                ("points", ours.asked() == theirs.asked()),
            ]),
            (CommandKind::Expire, CommandKind::Expire) => None,
            _ => Some("command".to_owned()),
        }
    }
}

impl CommandKind {
    /// The field of the wire in which two commands name their accounts differently.
    fn naming_field(&self, other: &Self) -> &'static str {
        match (self, other) {
            // What is unlinked names the account by itself, where that is not named by its id.
            (Self::Link(ours), Self::Link(theirs)) if ours.links == theirs.links => {
                if (ours.kind, ours.key) == (theirs.kind, theirs.key) { "account_id" } else { "identifier" }
            }
            (Self::Link(_), _) | (_, Self::Link(_)) => "command",
            _ => "account_identifier",
        }
    }

    /// The field of the wire that names a member.
    fn member_field(&self) -> &'static str {
        match self {
            Self::Accrue(_) => "basket.member_id",
            Self::Act(_) => "activity.member_id",
            _ => "member_id",
        }
    }
}

impl Redemption {
    /// What a reward costs is the programme's word, unless the caller states it.
    fn first_difference(&self, other: &Self) -> Option<String> {
        let (Some(ours), Some(theirs)) = (self.reward, other.reward) else {
            let has_reward = self.reward.is_some() == other.reward.is_some();
            let same = [("wallet", self.wallet == other.wallet), ("points", self.units == other.units)];
            return first_of([("reward", has_reward)]).or_else(|| first_of(same));
        };
        let has_same_units = !ours.states_units || self.units == other.units;
        first_of([
            ("reward", ours.reward == theirs.reward),
            ("quantity", ours.quantity == theirs.quantity),
            ("points", ours.states_units == theirs.states_units && has_same_units),
        ])
    }
}

impl Reversal {
    /// Whether nothing is left of the accrual afterwards.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.part.as_deref().is_none_or(|part| part.is_last)
    }

    /// What comes back of which lines, as the caller asks for it: none for whatever is left.
    pub fn asked_lines(&self) -> impl Iterator<Item = ReturnedLine> {
        let named = self.part.as_deref().filter(|part| !part.is_rest).map_or(&[][..], |part| &part.lines);
        named.iter().map(|line| line.asked())
    }
}

/// What a caller asks of a reversal, whatever kind of transaction that takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskedReversal<'a> {
    /// The caller's id of what is to be reversed.
    pub original_transaction_id: &'a str,
    /// Lines of a basket that come back, in its order.
    pub lines: &'a [ReturnedLine],
    /// Units of a burn that come back.
    pub units: Option<Units>,
    /// Rewards that come back.
    pub quantity: Option<i64>,
}

impl AskedReversal<'_> {
    /// The first field, as the wire names it, in which this differs from a command with the same transaction id.
    #[must_use]
    pub fn first_difference(&self, stored: &CommandKind) -> Option<&'static str> {
        let (original, has_same_lines, (units, quantity)) = match stored {
            CommandKind::Reverse(stored) => {
                let has_same_lines = stored.asked_lines().eq(self.lines.iter().copied());
                (&stored.original_transaction_id, has_same_lines, (None, None))
            }
            CommandKind::Unburn(stored) => {
                let measures = (stored.asked_units(), stored.asked_quantity());
                (&stored.original_transaction_id, self.lines.is_empty(), measures)
            }
            CommandKind::Refund(stored) => {
                (&stored.original_transaction_id, self.lines.is_empty(), (stored.asked(), None))
            }
            _ => return Some("command"),
        };
        let fields = [
            ("original_transaction_id", **original == *self.original_transaction_id),
            ("lines", has_same_lines),
            ("points", units == self.units),
            ("quantity", quantity == self.quantity),
        ];
        fields.into_iter().find(|(_, is_same)| !is_same).map(|(field, _)| field)
    }
}

/// What a reversal says of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Continues {
    /// The reversal of the same transaction before it.
    pub earlier: Option<Position>,
    /// Nothing is left to be reversed after it.
    pub is_last: bool,
}

impl CommandKind {
    /// What a reversal says of those before it; `None` for everything else.
    #[must_use]
    pub fn continues(&self) -> Option<Continues> {
        match self {
            Self::Reverse(reversal) => {
                let earlier = reversal.part.as_deref().and_then(|part| part.earlier);
                Some(Continues { earlier, is_last: reversal.is_last() })
            }
            Self::Unburn(unburn) => {
                let earlier = unburn.earlier.map(|(position, _)| position);
                Some(Continues { earlier, is_last: unburn.is_last })
            }
            Self::Refund(refund) => Some(Continues { earlier: refund.earlier, is_last: refund.is_last() }),
            _ => None,
        }
    }

    /// Where the record lies that a reversal takes back; `None` for everything else.
    #[must_use]
    pub fn reversed(&self) -> Option<Position> {
        match self {
            Self::Reverse(reversal) => Some(reversal.original_position),
            Self::Unburn(unburn) => Some(unburn.original_position),
            Self::Refund(refund) => Some(refund.original_position),
            _ => None,
        }
    }
}

impl Part {
    /// What a caller asks for, before it is known what that comes to: nothing where no lines are named.
    #[must_use]
    pub fn asked(lines: Vec<ReturnedLine>) -> Option<Box<Self>> {
        (!lines.is_empty()).then(|| Box::new(Self { lines, ..Self::default() }))
    }
}

impl ReturnedLine {
    /// As a caller asks for it: by the quantity, or by the amount of a line without one.
    #[must_use]
    pub fn asked(self) -> Self {
        Self { amount_minor: if self.quantity > 0 { 0 } else { self.amount_minor }, ..self }
    }
}

fn first_of<const N: usize>(fields: [(&str, bool); N]) -> Option<String> {
    fields.into_iter().find(|(_, same)| !same).map(|(field, _)| field.to_owned())
}

impl Basket {
    /// What names the basket's receipt.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        Receipt {
            store: self.store,
            terminal: self.terminal,
            business_day: self.business_day,
            number: self.receipt_number.as_str().into(),
        }
    }

    fn first_difference(&self, other: &Self) -> Option<String> {
        let fields = [
            ("basket.store_id", self.store == other.store),
            ("basket.terminal_id", self.terminal == other.terminal),
            ("basket.cashier_id", self.cashier == other.cashier),
            ("basket.receipt_number", self.receipt_number == other.receipt_number),
            ("basket.business_date", self.business_day == other.business_day),
            ("basket.receipt_time", self.receipt_at == other.receipt_at),
            ("basket.channel", self.channel == other.channel),
            ("basket.payment_method", self.payment_method == other.payment_method),
            ("basket.voucher_codes", self.vouchers == other.vouchers),
            ("basket.lines", self.lines.len() == other.lines.len()),
        ];
        if let Some(field) = first_of(fields) {
            return Some(field);
        }
        let pairs = self.lines.iter().zip(&other.lines).enumerate();
        pairs.into_iter().find_map(|(index, (ours, theirs))| {
            ours.first_difference(theirs).map(|field| format!("basket.lines[{index}].{field}"))
        })
    }
}

impl Line {
    fn first_difference(&self, other: &Self) -> Option<&'static str> {
        let fields = [
            ("sku", self.item.sku == other.item.sku),
            ("category", self.item.category == other.item.category),
            ("department", self.item.department == other.item.department),
            ("brand", self.item.brand == other.item.brand),
            ("margin_class", self.item.margin_class == other.item.margin_class),
            ("quantity", self.quantity == other.quantity),
            ("amount_minor", self.amount_minor == other.amount_minor),
        ];
        fields.into_iter().find(|(_, same)| !same).map(|(field, _)| field)
    }
}
