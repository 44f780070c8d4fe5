//! Freezes, told once more in plain words: who is frozen when follows from the list of what the journal says. And what is
//! proposed to a second person, which goes with some of them.
//!
//! What must stay true: nothing here is taken from the ledger's own way of telling.

use super::dice::Dice;
use super::facts::{self, Action, Name, Posting, name_of};
use super::machine::Machine;
use super::model::{AccountModel, Broken};
use super::rules::CASH;
use super::traffic::Traffic;
use crate::access::proposals::{Act, Proposal, ProposalChange, Proposals, Verdict};
use crate::journal::dictionary::Dictionary;
use crate::ledger::decision::Refusal;
use crate::ledger::freeze::{FreezeChange, Subject};
use crate::ledger::types::{SymbolId, TimestampNs};

/// What can be frozen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frozen {
    /// An account.
    Account(Name),
    /// A terminal: the partner, the store, the terminal.
    Terminal(Name, Name, Name),
    /// A cashier: the partner, the cashier.
    Cashier(Name, Name),
}

impl Frozen {
    /// What a change is about.
    #[must_use]
    pub fn of(change: &FreezeChange, dictionary: &Dictionary) -> Self {
        let name = |symbol| name_of(dictionary, symbol);
        match &change.subject {
            Subject::Account(id) => Self::Account(id.clone()),
            Subject::Terminal { partner, store, terminal } => {
                Self::Terminal(name(*partner), name(*store), name(*terminal))
            }
            Subject::Cashier { partner, cashier } => Self::Cashier(name(*partner), name(*cashier)),
        }
    }

    /// The same in the numbers of the dictionary.
    #[must_use]
    pub fn subject(&self, machine: &Machine) -> Subject {
        let intern = |name: &Name| super::asked::intern(machine, name);
        match self {
            Self::Account(id) => Subject::Account(id.clone()),
            Self::Terminal(partner, store, terminal) => {
                Subject::Terminal { partner: intern(partner), store: intern(store), terminal: intern(terminal) }
            }
            Self::Cashier(partner, cashier) => Subject::Cashier { partner: intern(partner), cashier: intern(cashier) },
        }
    }

    /// Something that the traffic is about.
    #[must_use]
    pub fn draw(dice: &mut Dice, traffic: &mut Traffic, now: i64) -> Self {
        let partner = traffic.partner(dice);
        match dice.below(4) {
            0 => {
                let purchase = traffic.purchase(dice, now);
                let terminal = if purchase.terminal.is_empty() { "till-1".into() } else { purchase.terminal };
                Self::Terminal(partner, purchase.store, terminal)
            }
            1 => Self::Cashier(partner, "kim".into()),
            _ => Self::Account(traffic.account(dice)),
        }
    }
}

/// A verdict on something that waits, now and then.
#[must_use]
pub fn verdict(dice: &mut Dice, machine: &Machine, now: i64) -> Option<Verdict> {
    let now = TimestampNs(now);
    let waiting = machine.shared.proposals.look(|proposals| {
        let live = proposals.iter().map(|(_, proposal)| proposal).filter(|proposal| now < proposal.expires_at);
        live.map(|proposal| proposal.number).collect::<Vec<_>>()
    });
    if waiting.is_empty() || dice.percent(50) {
        return None;
    }
    Some(Verdict { number: *dice.pick(&waiting), confirms: true, by: "ben".into(), at: now, note: Box::default() })
}

/// A proposal, or the rejection of one.
#[must_use]
pub fn proposal(dice: &mut Dice, machine: &Machine, now: i64) -> ProposalChange {
    if dice.percent(30)
        && let Some(verdict) = verdict(dice, machine, now)
    {
        return ProposalChange::Settled(Verdict { confirms: false, ..verdict });
    }
    let number = machine.shared.proposals.look(Proposals::count) + 1;
    ProposalChange::Proposed(Box::new(Proposal {
        number,
        act: *dice.pick(&Act::ALL),
        partner: SymbolId::EMPTY,
        transaction_id: format!("proposal-{number}").into(),
        by: "anna".into(),
        at: TimestampNs(now),
        // Some wait for hours, some run out while others are made.
        expires_at: TimestampNs(now + 1 + dice.number(0..7_200) * 1_000_000_000),
        content: vec![7; 1 + dice.index(300)].into(),
    }))
}

/// Every freeze and thaw: what, whether it was frozen, from when on.
#[derive(Clone, Debug, Default)]
pub struct FreezeList(Vec<(Frozen, bool, i64)>);

impl FreezeList {
    /// Takes the next change.
    pub fn take(&mut self, frozen: Frozen, begins: bool, at: i64) {
        self.0.push((frozen, begins, at));
    }

    /// When the last change took effect.
    #[must_use]
    pub fn latest(&self) -> Option<i64> {
        self.0.iter().map(|(.., at)| *at).max()
    }

    /// What is frozen in the end.
    #[must_use]
    pub fn live(&self) -> Vec<Frozen> {
        let begun = self.0.iter().filter(|(_, begins, _)| *begins).map(|(frozen, ..)| frozen);
        let mut live: Vec<Frozen> = Vec::new();
        for frozen in begun {
            if self.holds(frozen, i64::MAX) && !live.contains(frozen) {
                live.push(frozen.clone());
            }
        }
        live
    }

    /// The list as it was after so many changes.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        Self(self.0.iter().take(count).cloned().collect())
    }

    fn holds(&self, frozen: &Frozen, at: i64) -> bool {
        let known = self.0.iter().filter(|(of, _, since)| of == frozen && *since <= at);
        known.fold(false, |_, (_, begins, _)| *begins)
    }

    /// Why an action is refused at a posting time.
    #[must_use]
    pub fn refusal(&self, partner: &Name, account: &Name, action: &Action, at: i64) -> Option<Refusal> {
        let burns = matches!(
            action,
            Action::Redeem { .. }
                | Action::Take(_)
                | Action::Authorize { .. }
                | Action::Capture { .. }
                | Action::Refund(_)
        );
        let earns = matches!(action, Action::Accrue { .. } | Action::Act { .. } | Action::TopUp(_));
        if !(earns || burns) || self.0.is_empty() {
            return None;
        }
        if self.holds(&Frozen::Account(account.clone()), at) {
            return Some(Refusal::AccountFrozen);
        }
        let (store, terminal) = match action {
            Action::Accrue { purchase, .. } => (&purchase.store, &purchase.terminal),
            Action::TopUp(paid) => (&paid.place[0], &paid.place[1]),
            _ => return None,
        };
        if self.holds(&Frozen::Terminal(partner.clone(), store.clone(), terminal.clone()), at) {
            return Some(Refusal::TerminalFrozen);
        }
        let Action::Accrue { purchase, .. } = action else { return None };
        let is_frozen = self.holds(&Frozen::Cashier(partner.clone(), purchase.cashier.clone()), at);
        is_frozen.then_some(Refusal::CashierFrozen)
    }
}

/// The wallet that something is about which earns or burns.
fn wallet_of(action: &Action, earn_wallet: usize) -> usize {
    match action {
        Action::Redeem { wallet, .. } | Action::Authorize { wallet, .. } | Action::Capture { wallet, .. } => *wallet,
        Action::Take(wanted) => wanted.wallet(),
        Action::TopUp(paid) => paid.wallet,
        // Nothing else takes money in.
        Action::Refund(_) => CASH,
        _ => earn_wallet,
    }
}

/// What earns or burns with something frozen is refused on record, whatever else would be.
pub(super) fn expect_frozen(
    posting: &Posting,
    refusal: Refusal,
    account: Option<&AccountModel>,
    version: u32,
    earn_wallet: usize,
) -> Result<facts::Verdict, Broken> {
    let Some(account) = account else {
        return Err(format!("nothing is on record of an account that is not there, at {}", posting.position));
    };
    let wallet = wallet_of(&posting.action, earn_wallet);
    let is_redemption = matches!(posting.action, Action::Redeem { .. } | Action::Take(_) | Action::Authorize { .. });
    Ok(facts::Verdict {
        refusal: Some(refusal),
        program: version,
        wallet,
        balance_after: account.balance(wallet, posting.posted_at),
        totals: [0, 0, 0, i64::from(is_redemption), 0],
        ..facts::Verdict::default()
    })
}
