//! The way of the commands that claim no other id than their own: redemptions, authorizations, top-ups, activities,
//! enrolments and opening balances.
//!
//! What must stay true: a request with any wrong field leaves no name behind; the transaction id is judged before
//! anything else about a well-formed command (invariant 2); a claim is dropped when its holder is dropped, until a
//! worker owns it with the job.

use std::sync::Arc;

use super::auth::Caller;
use super::command::{Claimed, Ready, Started};
use super::fields::Path;
use super::intake::{make_room, member_key};
use super::naming::{Naming, Unnamed};
use super::order_fields::{self, Stated};
use super::sight::Rights;
use super::status::Failure;
use super::{Edge, Patience, batch, identifiers, wire};
use crate::ledger::command::{
    Activity, Command, CommandKind, Enrolment, Linking, Loading, Redemption, RewardAsked, SettingAside,
};
use crate::ledger::decision::{LotKey, Refusal};
use crate::ledger::money::TopUp;
use crate::ledger::program::Reward;
use crate::ledger::state::account_hash;
use crate::ledger::types::{MonthDay, Position, SymbolId, TimestampNs, WalletId};
use crate::limits;
use crate::recovery::ids_of;
use crate::shard::job::CommandJob;

/// What is said of a time at which money is to end.
pub(super) const MONEY_NEVER_EXPIRES: &str = "It must be unset: the wallet holds money, which never expires.";

/// A command as it was asked for.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Redeem(wire::RedeemRequest),
    Authorize(wire::AuthorizeRequest),
    TopUp(wire::TopUpRequest),
    Record(wire::RecordActivityRequest),
    Enrol(wire::EnrolRequest),
    Update(wire::UpdateAccountRequest),
    Load(wire::LoadOpeningBalanceRequest),
    Link(wire::LinkIdentifierRequest),
    Unlink(wire::UnlinkIdentifierRequest),
}

impl Order {
    fn transaction_id(&self) -> &str {
        match self {
            Self::Redeem(request) => &request.transaction_id,
            Self::Authorize(request) => &request.transaction_id,
            Self::TopUp(request) => &request.transaction_id,
            Self::Record(request) => &request.transaction_id,
            Self::Enrol(request) => &request.transaction_id,
            Self::Update(request) => &request.transaction_id,
            Self::Load(request) => &request.transaction_id,
            Self::Link(request) => &request.transaction_id,
            Self::Unlink(request) => &request.transaction_id,
        }
    }

    fn account_id(&self) -> &str {
        match self {
            Self::Redeem(request) => &request.account_id,
            Self::Authorize(request) => &request.account_id,
            Self::TopUp(request) => &request.account_id,
            Self::Record(request) => &request.account_id,
            Self::Enrol(request) => &request.account_id,
            Self::Update(request) => &request.account_id,
            Self::Load(request) => &request.account_id,
            Self::Link(request) => &request.account_id,
            Self::Unlink(request) => &request.account_id,
        }
    }
}

impl Order {
    fn member_id(&self) -> &str {
        match self {
            Self::Redeem(request) => &request.member_id,
            Self::Authorize(request) => &request.member_id,
            Self::Record(request) => request.activity.as_ref().map_or("", |activity| &activity.member_id),
            _ => "",
        }
    }

    /// The account's id, to be filled in.
    fn account_id_mut(&mut self) -> &mut String {
        match self {
            Self::Redeem(request) => &mut request.account_id,
            Self::Authorize(request) => &mut request.account_id,
            Self::TopUp(request) => &mut request.account_id,
            Self::Record(request) => &mut request.account_id,
            Self::Enrol(request) => &mut request.account_id,
            Self::Update(request) => &mut request.account_id,
            Self::Load(request) => &mut request.account_id,
            Self::Link(request) => &mut request.account_id,
            Self::Unlink(request) => &mut request.account_id,
        }
    }

    /// The identifier that names the account in the place of its id.
    fn named_by(&mut self) -> Option<wire::AccountIdentifier> {
        match self {
            Self::Redeem(request) => request.account_identifier.take(),
            Self::Authorize(request) => request.account_identifier.take(),
            Self::TopUp(request) => request.account_identifier.take(),
            Self::Record(request) => request.account_identifier.take(),
            Self::Update(request) => request.account_identifier.take(),
            Self::Load(request) => request.account_identifier.take(),
            // Whose it is, it says itself.
            Self::Unlink(request) if request.account_id.is_empty() => request.identifier.clone(),
            Self::Enrol(_) | Self::Link(_) | Self::Unlink(_) => None,
        }
    }

    /// Checks the identifier that names the account, under the name that it has in the request.
    fn check_named_by(&self, identifier: &wire::AccountIdentifier) -> Result<(), Failure> {
        match self {
            Self::Unlink(_) => identifiers::check_own(identifier),
            _ => identifiers::check_alone(identifier, self.account_id()),
        }
    }
}

impl Edge {
    /// Decides an order of a call of its own.
    pub(super) async fn order(self: &Arc<Self>, caller: &Caller, order: Order) -> Result<wire::Decision, Failure> {
        let answered = match self.start_order(caller, order, Patience::None).await {
            Ok(started) => started.answer().await,
            Err(failure) => Err(failure),
        };
        batch::decode(&answered.map_err(|failure| self.counted(failure))?)
    }

    /// Starts an order, waiting for whatever it has to wait for.
    pub(super) async fn start_order(
        self: &Arc<Self>,
        caller: &Caller,
        mut order: Order,
        patience: Patience,
    ) -> Result<Started, Failure> {
        let mut named_by = None;
        let mut is_unresolved = false;
        if let Some(identifier) = order.named_by() {
            order.check_named_by(&identifier)?;
            let key = self.key_of(&identifier);
            let resolved = self.resolve_for(caller, key).await?;
            (named_by, is_unresolved) = (Some(key), resolved.is_none());
            *order.account_id_mut() = resolved.as_deref().unwrap_or(identifiers::NOBODY).to_owned();
        }
        let stated = self.with_rules(|rules| order_fields::check(&order, rules))?;
        if let Order::TopUp(request) = &order {
            caller.check_place(&request.store_id, &request.terminal_id)?;
        }
        caller.check_posting_time(stated.posting_at)?;
        self.check_deadline(caller)?;
        let stamp = stated.posting_at.unwrap_or_else(|| self.engine.clock.now());
        let leaves_time_open = stated.event_at.is_none();
        let kind = match self.named(caller, &order, &stated, stamp)? {
            Ok(kind) => kind,
            Err(unnamed) => return Ok(Started::Answered(self.refused(unnamed.told()?, None))),
        };
        let mut command = Command {
            account_id: order.account_id().to_owned(),
            transaction_id: order.transaction_id().to_owned(),
            partner: caller.principal.symbol,
            named_by,
            member: member_key(&self.engine.hasher, order.member_id()),
            kind,
        };
        if is_unresolved {
            let Some(position) = self.decided(caller, order.transaction_id()).await? else {
                return Ok(Started::Answered(self.refused(self.unresolved(caller), None)));
            };
            let edge = self.clone();
            let lookup = async move { edge.repeat_order(position, command, leaves_time_open).await };
            return Ok(Started::Lookup(Box::pin(lookup)));
        }
        self.wait_for_gate(stamp).await?;
        self.price_again(&order, stamp, &mut command.kind);
        let ids = ids_of(&self.engine.hasher, &self.engine.dictionary, &command);
        let own = match self.claim(ids.transaction, patience).await? {
            Claimed::Held(held) => held,
            Claimed::Used(entry) => {
                let edge = self.clone();
                let lookup = async move { edge.repeat_order(entry.position, command, leaves_time_open).await };
                return Ok(Started::Lookup(Box::pin(lookup)));
            }
        };
        // Before anything is looked for that would tell such a caller what there is.
        if let Some(refusal) = self.refusal_of_stranger(caller, &order, stamp) {
            return Ok(Started::Answered(self.refused(refusal, Some(&command))));
        }
        let must_exist = matches!(order, Order::Update(_));
        if must_exist && self.view(&command.account_id, patience).await?.is_none() {
            return Ok(Started::Answered(self.refused(Refusal::AccountUnknown, Some(&command))));
        }
        if self.is_unknown_reward(&command.kind, stamp) {
            return Ok(Started::Answered(self.refused(Refusal::RewardUnknown, Some(&command))));
        }
        let subject = match ids.subject == ids.transaction {
            true => None,
            false => match self.claim(ids.subject, patience).await? {
                Claimed::Held(held) => Some(held),
                Claimed::Used(_) => {
                    return Ok(Started::Answered(self.refused(Refusal::IdentifierTaken, Some(&command))));
                }
            },
        };
        let account_hash = account_hash(&command.account_id);
        let mut job =
            CommandJob { command, account_hash, stamp, ids, deadline_ns: caller.deadline_ns, ..CommandJob::blank() };
        make_room(&mut job);
        let claims = std::iter::once(own).chain(subject);
        self.hand_to_worker(Ready { job: Box::new(job), original_version: None }, claims, patience).await
    }

    /// The checked order with numbers in the place of names.
    fn named(
        &self,
        caller: &Caller,
        order: &Order,
        stated: &Stated,
        stamp: TimestampNs,
    ) -> Result<Result<CommandKind, Unnamed>, Failure> {
        let naming = self.naming(caller);
        let kind = match order {
            Order::Redeem(request) if !request.reward.is_empty() => Ok(self.reward(request, stamp)),
            Order::Redeem(request) => {
                let wallet = self.wallet(&request.wallet, stamp)?;
                Ok(CommandKind::Redeem(Redemption { wallet, units: request.points, reward: None }))
            }
            Order::Authorize(request) => {
                let wallet = self.wallet(&request.wallet, stamp)?;
                let hold_seconds = u32::try_from(request.hold_seconds).ok().filter(|seconds| *seconds > 0);
                Ok(CommandKind::Authorize(SettingAside { wallet, units: request.points, hold_seconds }))
            }
            Order::TopUp(request) => {
                let wallet = self.wallet(&request.wallet, stamp)?;
                let place = naming
                    .symbol(&request.store_id)
                    .and_then(|store| Ok((store, naming.symbol(&request.terminal_id)?)));
                let (units, source) = (request.amount_minor, request.source.as_str().into());
                place.map(|(store, terminal)| CommandKind::TopUp(TopUp { wallet, units, source, store, terminal }))
            }
            Order::Record(request) => {
                let activity = request.activity.as_ref().expect("the check requires an activity");
                activity_of(naming, activity, stated.event_at.unwrap_or(stamp)).map(CommandKind::Act)
            }
            Order::Enrol(request) => {
                let birthday = order_fields::birthday(request.birthday.as_ref(), request.clear_birthday);
                enrolment(naming, &request.join_segments, &request.leave_segments, birthday)
            }
            Order::Update(request) => {
                let birthday = order_fields::birthday(request.birthday.as_ref(), request.clear_birthday);
                enrolment(naming, &request.join_segments, &request.leave_segments, birthday)
            }
            Order::Load(request) => {
                let wallet = self.wallet(&request.wallet, stamp)?;
                let ends = request.lots.iter().position(|lot| lot.expire_time.is_some());
                if let Some(index) = ends.filter(|_| self.holds_money(wallet, stamp)) {
                    let path = Path::EntryField("lots", index, "expire_time");
                    return Err(Failure::field(path.to_string(), MONEY_NEVER_EXPIRES));
                }
                let own = caller.principal.symbol;
                lots(naming, wallet, own, &request.lots).map(|lots| CommandKind::Load(Loading { lots }))
            }
            Order::Link(request) => self.linking(naming, true, request.identifier.as_ref(), order.account_id()),
            Order::Unlink(request) => self.linking(naming, false, request.identifier.as_ref(), order.account_id()),
        };
        Ok(kind)
    }

    /// A redemption for a reward, at the price of the programme that is going to judge unless it is stated. What the
    /// programme does not have costs nothing, and is refused once it is known that the id is not used.
    fn reward(&self, request: &wire::RedeemRequest, stamp: TimestampNs) -> CommandKind {
        let name = self.engine.dictionary.find(&request.reward).unwrap_or(SymbolId::EMPTY);
        let (quantity, states_units) = (request.quantity.max(1), request.points > 0);
        let found = self.reward_of(name, stamp);
        let cost = found.as_ref().map_or(0, |reward| reward.cost(quantity).unwrap_or(limits::UNITS_MAX));
        CommandKind::Redeem(Redemption {
            wallet: found.map_or(WalletId(0), |reward| reward.wallet),
            units: if states_units { request.points } else { cost },
            reward: Some(RewardAsked { reward: name, quantity, states_units }),
        })
    }

    /// Looks a reward's price up again: the version that is going to judge may have been published since. Behind the gate:
    /// one that comes later judges nothing that is let in now.
    fn price_again(&self, order: &Order, stamp: TimestampNs, kind: &mut CommandKind) {
        if let Order::Redeem(request) = order
            && !request.reward.is_empty()
        {
            *kind = self.reward(request, stamp);
        }
    }

    fn reward_of(&self, name: SymbolId, stamp: TimestampNs) -> Option<Reward> {
        self.engine.with_programs(|programs| {
            let program = programs.in_force(stamp).or_else(|| programs.latest())?;
            program.reward(name).cloned()
        })
    }

    /// Whether a redemption is for a reward that the programme does not have, or did not have when its price was looked up:
    /// nothing is redeemed for no units.
    fn is_unknown_reward(&self, kind: &CommandKind, stamp: TimestampNs) -> bool {
        let CommandKind::Redeem(Redemption { units, reward: Some(asked), .. }) = *kind else { return false };
        units == 0 || self.reward_of(asked.reward, stamp).is_none()
    }

    fn linking(
        &self,
        naming: Naming<'_>,
        links: bool,
        identifier: Option<&wire::AccountIdentifier>,
        account_id: &str,
    ) -> Result<CommandKind, Unnamed> {
        let identifier = identifier.expect("the check requires an identifier");
        let (kind, key) = (naming.symbol(&identifier.kind)?, self.key_of(identifier));
        Ok(CommandKind::Link(Linking { links, kind, key, account_id: account_id.into() }))
    }

    /// Why a partner that no version names asks in vain, and one that sees no account changes none, whether or not it is
    /// there.
    fn refusal_of_stranger(&self, caller: &Caller, order: &Order, stamp: TimestampNs) -> Option<Refusal> {
        if self.is_nobody(caller) {
            return Some(Refusal::PartnerUnknown);
        }
        let is_of_account = matches!(order, Order::Enrol(_) | Order::Update(_) | Order::Link(_) | Order::Unlink(_));
        match self.rights_at(caller, stamp) {
            Rights::Undeclared if is_of_account => Some(Refusal::PartnerUnknown),
            Rights::None if is_of_account => Some(Refusal::EarnNotPermitted),
            _ => None,
        }
    }

    pub(super) fn naming<'a>(&'a self, caller: &'a Caller) -> Naming<'a> {
        let engine = &*self.engine;
        Naming { dictionary: &engine.dictionary, definitions: engine, meter: caller.principal.names() }
    }

    /// The wallet of a name in the programme that is going to judge; the first without one.
    pub(super) fn wallet(&self, name: &str, stamp: TimestampNs) -> Result<WalletId, Failure> {
        if name.is_empty() {
            return Ok(WalletId(0));
        }
        let found = self.engine.with_programs(|programs| {
            let program = programs.in_force(stamp).or_else(|| programs.latest())?;
            program.wallets.iter().position(|wallet| wallet.name == name)
        });
        let wallet = found.and_then(|index| u8::try_from(index).ok()).map(WalletId);
        wallet.ok_or_else(|| Failure::field("wallet", "The programme has no wallet of this name."))
    }

    /// Whether a wallet holds money in the programme that is going to judge.
    pub(super) fn holds_money(&self, wallet: WalletId, stamp: TimestampNs) -> bool {
        self.engine.with_programs(|programs| {
            let program = programs.in_force(stamp).or_else(|| programs.latest());
            program.is_some_and(|program| program.money(wallet).is_some())
        })
    }

    /// The answer to an order whose transaction id is used already.
    async fn repeat_order(
        &self,
        position: Position,
        mut command: Command,
        leaves_time_open: bool,
    ) -> Result<wire::Decision, Failure> {
        let located = self.record(position).await?;
        let Some(entry) = located.entry() else { return Ok(self.reused("command".to_owned())) };
        let account_id = self.account_id_of(&located, entry).await?;
        if let (CommandKind::Act(ours), CommandKind::Act(theirs)) = (&mut command.kind, &entry.command.kind)
            && leaves_time_open
        {
            ours.happened_at = theirs.happened_at;
        }
        let stored = Command { account_id: account_id.into(), ..entry.command.clone() };
        match command.first_difference(&stored) {
            Some(field) => Ok(self.reused(field)),
            None => self.repeated(&located, entry).await,
        }
    }
}

fn activity_of(naming: Naming<'_>, activity: &wire::Activity, happened_at: TimestampNs) -> Result<Activity, Unnamed> {
    Ok(Activity { kind: naming.symbol(&activity.kind)?, happened_at, channel: naming.symbol(&activity.channel)? })
}

fn enrolment(
    naming: Naming<'_>,
    joins: &[String],
    leaves: &[String],
    birthday: Option<Option<MonthDay>>,
) -> Result<CommandKind, Unnamed> {
    let sorted = |segments: &[String]| {
        let mut symbols: Vec<SymbolId> =
            segments.iter().map(|segment| naming.symbol(segment)).collect::<Result<_, _>>()?;
        symbols.sort_unstable();
        symbols.dedup();
        Ok::<_, Unnamed>(symbols)
    };
    Ok(CommandKind::Enrol(Enrolment { joins: sorted(joins)?, leaves: sorted(leaves)?, birthday }))
}

/// The lots of an opening balance, ascending, those with one key as one.
fn lots(
    naming: Naming<'_>,
    wallet: WalletId,
    own: SymbolId,
    lots: &[wire::OpeningLot],
) -> Result<Vec<(LotKey, i64)>, Unnamed> {
    let mut named: Vec<(LotKey, i64)> = Vec::with_capacity(lots.len());
    for lot in lots {
        let issuer = if lot.issuer.is_empty() { own } else { naming.symbol(&lot.issuer)? };
        let expires_at = order_fields::expiry(lot).expect("the check looked");
        named.push((
            LotKey { wallet, issuer, funding_rate_bps: 0, available_from_minute: 0, inactive_days: 0, expires_at },
            lot.points,
        ));
    }
    named.sort_unstable_by_key(|(key, _)| *key);
    named.dedup_by(|next, first| {
        let is_same = next.0 == first.0;
        if is_same {
            first.1 = first.1.saturating_add(next.1);
        }
        is_same
    });
    Ok(named)
}
