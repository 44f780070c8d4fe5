//! What clients do: purchases over few accounts, stores and products, so that commands meet each other.
//!
//! What must stay true: an id that is drawn here as new was never drawn before.

use super::catalogue::Wanted;
use super::dice::Dice;
use super::facts::{Action, Name, Purchase, PurchaseLine, Request};
use super::lots::{LotName, NEVER};
use super::money::{GoneBack, PaidIn};
use super::returns::Asked;
use super::rewards::{ACTIVITIES, SEGMENTS};
use super::ring::{Identifier, MEMBERS, identifiers};
use super::rules::{BRANDS, CASH, CATEGORIES, DEPARTMENTS};
use super::vouchers::ByHand;

const NS_PER_SECOND: i64 = 1_000_000_000;
const NS_PER_DAY: i64 = 86_400 * NS_PER_SECOND;

/// Who acts in one simulation.
#[derive(Debug)]
pub struct Traffic {
    partners: Vec<Name>,
    accounts: Vec<Name>,
    products: Vec<[Name; 5]>,
    /// Largest amount of a line.
    amount_minor_max: i64,
    /// Baskets with hundreds of lines, in a thousand.
    huge_per_mille: u64,
    late_limit_days: i64,
    next_id: u64,
    next_receipt: u64,
}

impl Traffic {
    /// A few of everything.
    #[must_use]
    pub fn draw(dice: &mut Dice, late_limit_days: i64) -> Self {
        let account_count = 3 + dice.index(40);
        let account = |number: usize| match number % 4 {
            0 => format!("{}", 70_000 + number),
            1 => format!("6f1c2e7a-93b0-4d5e-8a11-0c9d8e7f{number:04x}"),
            _ => format!("member-{number}"),
        };
        let product_count = 2 + dice.index(20);
        let mut products = Vec::new();
        for number in 0..product_count {
            let margin_class = if dice.percent(20) { "low" } else { "" };
            let sku = format!("sku-{number}");
            let (category, department) = (*dice.pick(&CATEGORIES), *dice.pick(&DEPARTMENTS));
            let brand = *dice.pick(&BRANDS);
            products.push([&sku, category, department, brand, margin_class].map(Name::from));
        }
        Self {
            partners: ["north", "south", "east"][..1 + dice.index(3)].iter().map(|name| Name::from(*name)).collect(),
            accounts: (0..account_count).map(|number| account(number).into()).collect(),
            products,
            amount_minor_max: *dice.pick(&[300, 2_000, 20_000]),
            huge_per_mille: if dice.percent(10) { 400 } else { 0 },
            late_limit_days,
            next_id: 1,
            next_receipt: 1,
        }
    }

    /// Whether many baskets have hundreds of lines.
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        self.huge_per_mille > 0
    }

    /// An account, some far more often than others.
    pub fn account(&self, dice: &mut Dice) -> Name {
        let index = dice.index(self.accounts.len()).min(dice.index(self.accounts.len()));
        self.accounts[index].clone()
    }

    /// A partner.
    pub fn partner(&self, dice: &mut Dice) -> Name {
        dice.pick(&self.partners).clone()
    }

    /// A purchase with a receipt of its own, unless `receipt` says whose to use.
    pub fn purchase(&mut self, dice: &mut Dice, now: i64) -> Purchase {
        let receipt_at = self.receipt_at(dice, now);
        self.next_receipt += 1;
        let receipt_number = match self.next_receipt % 3 {
            0 => format!("R-{}", self.next_receipt),
            _ => self.next_receipt.to_string(),
        };
        let day = receipt_at.div_euclid(NS_PER_DAY) + dice.number(-1..2);
        let line_count = if dice.per_mille(self.huge_per_mille) { 100 + dice.index(900) } else { 1 + dice.index(4) };
        // New strings and items appear all the time, so that a crash can take their numbers back.
        let store =
            if dice.percent(3) { format!("pop-up-{}", self.next_receipt) } else { format!("s-{}", dice.below(3)) };
        Purchase {
            store: store.into(),
            terminal: (*dice.pick(&["", "till-1", "till-2"])).into(),
            cashier: (*dice.pick(&["", "kim"])).into(),
            receipt_number: receipt_number.into(),
            business_day: i32::try_from(day).expect("simulated days are near"),
            receipt_at,
            lines: (0..line_count).map(|_| self.line(dice)).collect(),
            vouchers: Vec::new(),
        }
    }

    fn line(&self, dice: &mut Dice) -> PurchaseLine {
        let mut attributes = dice.pick(&self.products).clone();
        if dice.percent(2) {
            attributes[0] = format!("new-{}", dice.below(1_000)).into();
        }
        PurchaseLine { attributes, quantity: dice.number(0..5), amount_minor: dice.number(0..self.amount_minor_max) }
    }

    /// Mostly just now; sometimes late, too late, or in the future.
    fn receipt_at(&self, dice: &mut Dice, now: i64) -> i64 {
        match dice.below(20) {
            0 => now + dice.number(0..900 * NS_PER_SECOND),
            1 => now - dice.number(0..(self.late_limit_days + 2) * NS_PER_DAY),
            2..=4 => now - dice.number(0..2 * NS_PER_DAY),
            _ => now - dice.number(0..3_600 * NS_PER_SECOND),
        }
    }

    fn fresh_id(&mut self, dice: &mut Dice) -> Name {
        self.next_id += 1;
        let number = self.next_id;
        match number % 3 {
            0 => number.to_string().into(),
            1 => format!("t-{number}").into(),
            _ => format!("{:08x}-0000-4000-8000-{number:012x}", dice.below(1 << 32)).into(),
        }
    }

    /// An accrual that was never asked for, now and then under an id that a publication may have.
    pub fn accrual(&mut self, dice: &mut Dice, now: i64) -> Request {
        let (account, purchase) = (self.account(dice), self.purchase(dice, now));
        let (partner, mut transaction_id) = (self.partner(dice), self.fresh_id(dice));
        if dice.percent(1) {
            transaction_id = format!("pub-{}", dice.below(40)).into();
        }
        let action = Action::Accrue { account, purchase };
        self.named(dice, Request::new(partner, transaction_id, action))
    }

    /// The same request, now and then about a member, or of an account that is named by an identifier.
    fn named(&self, dice: &mut Dice, mut request: Request) -> Request {
        if request.action.member_field().is_some() && dice.percent(40) {
            request.member = (*dice.pick(&MEMBERS)).into();
        }
        let may_be_named = !matches!(request.action, Action::Enrol { .. } | Action::Link { links: true, .. });
        if may_be_named && dice.percent(12) {
            request.name(dice.pick(&identifiers()).clone());
        }
        request
    }

    /// A command that was never asked for: mostly an accrual.
    pub fn anything(&mut self, dice: &mut Dice, now: i64) -> Request {
        if self.is_heavy() {
            // So that a commit has several frames.
            return self.accrual(dice, now);
        }
        let action = match dice.below(29) {
            0..12 => return self.accrual(dice, now),
            20..22 => {
                let grants = dice.percent(50);
                let day = now.div_euclid(NS_PER_DAY) + dice.number(1..6);
                Action::Adjust {
                    account: self.account(dice),
                    wallet: usize::from(dice.percent(20)),
                    units: if grants { dice.number(1..80) } else { -dice.number(1..40) },
                    dies: (grants && dice.percent(40)).then_some(day * NS_PER_DAY),
                    note: "".into(),
                }
            }
            27.. => {
                let account = self.account(dice);
                Action::Take(Wanted::draw(dice, account))
            }
            26 => {
                let account = self.account(dice);
                Action::TopUp(PaidIn::draw(dice, account))
            }
            24..26 => Action::Authorize {
                account: self.account(dice),
                wallet: wallet(dice),
                units: if dice.percent(80) { dice.number(1..40) } else { dice.number(1..4_000) },
                hold_seconds: dice.percent(50).then(|| *dice.pick(&[1, 60, 1_800, 90_000])),
            },
            22..24 => {
                let partner = self.partner(dice);
                let transaction_id = self.fresh_id(dice);
                return self.linking(dice, partner, transaction_id);
            }
            12..16 => {
                let units = if dice.percent(70) { dice.number(1..40) } else { dice.number(1..4_000) };
                Action::Redeem { account: self.account(dice), wallet: wallet(dice), units }
            }
            16..18 => self.activity(dice, now),
            18 => self.enrolment(dice),
            _ => {
                let partner = self.partner(dice);
                let action = Action::Load { account: self.account(dice), lots: lots(dice, &partner, now) };
                return Request::new(partner, self.fresh_id(dice), action);
            }
        };
        let request = Request::new(self.partner(dice), self.fresh_id(dice), action);
        if matches!(request.action, Action::Adjust { .. }) { request } else { self.named(dice, request) }
    }

    /// An identifier that is to point to an account, or no longer.
    fn linking(&self, dice: &mut Dice, partner: Name, transaction_id: Name) -> Request {
        let (identifier, links) = (dice.pick(&identifiers()).clone(), dice.percent(60));
        let action = Action::Link { account: self.account(dice), identifier: identifier.clone(), links };
        let mut request = Request::new(partner, transaction_id, action);
        if !links && dice.percent(70) {
            request.name(identifier);
        }
        request
    }

    /// What a service desk decides on a transaction.
    pub fn review(&mut self, dice: &mut Dice, partner: &Name, original: &Name) -> Request {
        let original = if dice.percent(3) { "never-seen".into() } else { original.clone() };
        let action = Action::Review { original, releases: dice.percent(55), note: "".into() };
        Request::new(partner.clone(), self.fresh_id(dice), action)
    }

    /// What a service desk brings back of an account, of what died with the record at a position.
    pub fn restoration(&mut self, dice: &mut Dice, now: i64, account: &Name, expiry: u64) -> Request {
        let account = if dice.percent(4) { self.account(dice) } else { account.clone() };
        let expiry = if dice.percent(4) { dice.below(1 << 20) } else { expiry };
        let dies = now + dice.number(1..20 * 86_400) * NS_PER_SECOND;
        let action = Action::Restore { account, expiry, dies, note: "".into() };
        Request::new(self.partner(dice), self.fresh_id(dice), action)
    }

    /// The capture or the void of an authorization, of which so many units of a wallet are left as far as is known.
    pub fn ending(
        &mut self,
        dice: &mut Dice,
        (partner, original): (&Name, &Name),
        (wallet, left): (usize, i64),
    ) -> Request {
        let original = if dice.percent(3) { "never-seen".into() } else { original.clone() };
        let action = if dice.percent(30) {
            Action::Void { original }
        } else {
            let units = if dice.percent(10) { left + dice.number(1..9) } else { dice.number(1..left.max(1) + 1) };
            Action::Capture { original, wallet, units, is_last: dice.percent(25) }
        };
        Request::new(partner.clone(), self.fresh_id(dice), action)
    }

    /// The reversal of whatever is left of a transaction.
    pub fn whole_reversal(&mut self, dice: &mut Dice, partner: &Name, original: &Name) -> Request {
        let action = Action::Reverse { original: original.clone(), lines: Vec::new(), units: None, rewards: None };
        Request::new(partner.clone(), self.fresh_id(dice), action)
    }

    /// A voucher that is given by hand.
    pub fn gift(&mut self, dice: &mut Dice) -> Request {
        let name = *dice.pick(&["coffee", "three-off", "mug", "cake"]);
        let asked = ByHand { account: self.account(dice), what: Ok(name.into()), note: "".into() };
        Request::new(self.partner(dice), self.fresh_id(dice), Action::Voucher(asked))
    }

    /// What is done with vouchers of an account: mostly they are used, some are cancelled.
    pub fn use_of(
        &mut self,
        dice: &mut Dice,
        now: i64,
        account: &Name,
        (issuer, codes): (&Name, Vec<Name>),
    ) -> Request {
        let partner = if dice.percent(95) { issuer.clone() } else { self.partner(dice) };
        let account = if dice.percent(97) { account.clone() } else { self.account(dice) };
        let transaction_id = self.fresh_id(dice);
        let action = match codes.first() {
            Some(code) if dice.percent(20) => {
                Action::Voucher(ByHand { account, what: Err(code.clone()), note: "".into() })
            }
            _ => {
                let purchase = Purchase { vouchers: codes, ..self.purchase(dice, now) };
                Action::Accrue { account, purchase }
            }
        };
        Request::new(partner, transaction_id, action)
    }

    /// A purchase or an activity to be asked about.
    pub fn question(&mut self, dice: &mut Dice, now: i64) -> (Name, Name, Action) {
        let account = Name::default();
        let action = if dice.percent(30) {
            self.activity(dice, now)
        } else {
            Action::Accrue { account, purchase: self.purchase(dice, now) }
        };
        let member = if dice.percent(40) { Name::from(*dice.pick(&MEMBERS)) } else { Name::default() };
        (self.partner(dice), member, action)
    }

    fn activity(&self, dice: &mut Dice, now: i64) -> Action {
        Action::Act {
            account: self.account(dice),
            kind: (*dice.pick(&ACTIVITIES)).into(),
            happened_at: self.receipt_at(dice, now),
            channel: (*dice.pick(&["", "app"])).into(),
        }
    }

    fn enrolment(&self, dice: &mut Dice) -> Action {
        let (mut joins, mut leaves) = (Vec::new(), Vec::new());
        for segment in SEGMENTS {
            match dice.below(4) {
                0 | 1 => joins.push(Name::from(segment)),
                2 => leaves.push(Name::from(segment)),
                _ => {}
            }
        }
        joins.sort();
        leaves.sort();
        Action::Enrol { account: self.account(dice), joins, leaves }
    }

    /// The reversal of something under a new id, or of a part of it; after a reversal mostly of what it has left.
    pub fn reversal(&mut self, dice: &mut Dice, of: &Request) -> Request {
        let transaction_id = self.fresh_id(dice);
        let back = match &of.action {
            Action::TopUp(paid) => {
                let units = dice.percent(70).then(|| dice.number(1..paid.units.max(1) + 2));
                Some(GoneBack { original: of.transaction_id.clone(), units })
            }
            Action::Refund(before) => {
                let units = before.units.filter(|_| dice.percent(60));
                Some(GoneBack { original: before.original.clone(), units })
            }
            // What is no top-up cannot go back.
            _ if dice.percent(3) => Some(GoneBack { original: of.transaction_id.clone(), units: None }),
            _ => None,
        };
        if let Some(mut back) = back {
            if dice.percent(3) {
                back.original = "never-seen".into();
            }
            return Request::new(of.partner.clone(), transaction_id, Action::Refund(back));
        }
        let own = || of.transaction_id.clone();
        let (mut units, mut rewards) = (None, None);
        let (original, lines) = match &of.action {
            _ if dice.percent(3) => ("never-seen".into(), Vec::new()),
            Action::Accrue { purchase, .. } if dice.percent(65) => (own(), returned(dice, purchase)),
            Action::Redeem { units: all, .. } | Action::Capture { units: all, .. } if dice.percent(65) => {
                let over = dice.percent(8);
                units = Some(if over { all + dice.number(1..9) } else { dice.number(1..all + 1) });
                (own(), Vec::new())
            }
            Action::Take(wanted) if dice.percent(65) => {
                let over = if dice.percent(8) { 3 } else { 1 };
                rewards = Some(dice.number(1..wanted.quantity + over));
                (own(), Vec::new())
            }
            Action::Reverse { original, lines, units: before, rewards: taken } if dice.percent(80) => {
                let lines = if dice.percent(50) { lines.clone() } else { Vec::new() };
                units = before.filter(|_| dice.percent(50));
                rewards = taken.filter(|_| dice.percent(50));
                (original.clone(), lines)
            }
            _ => (own(), Vec::new()),
        };
        if dice.percent(1) {
            // Units of what may be a basket.
            units = units.or(Some(1));
        }
        if dice.percent(1) {
            rewards = rewards.or(Some(1));
        }
        Request::new(of.partner.clone(), transaction_id, Action::Reverse { original, lines, units, rewards })
    }

    /// The receipt of an earlier accrual presented once more under a new id, mostly by another account.
    pub fn same_receipt(&mut self, dice: &mut Dice, now: i64, of: &Request) -> Request {
        let Action::Accrue { purchase: theirs, .. } = &of.action else { return self.accrual(dice, now) };
        let mut purchase = self.purchase(dice, now);
        (purchase.store, purchase.terminal) = (theirs.store.clone(), theirs.terminal.clone());
        (purchase.business_day, purchase.receipt_number) = (theirs.business_day, theirs.receipt_number.clone());
        let (account, transaction_id) = (self.account(dice), self.fresh_id(dice));
        Request::new(of.partner.clone(), transaction_id, Action::Accrue { account, purchase })
    }

    /// The same id with other content.
    pub fn changed(&mut self, dice: &mut Dice, now: i64, of: &Request) -> Request {
        let mut changed = of.clone();
        if changed.action.member_field().is_some() && dice.percent(10) {
            changed.member = if changed.member.is_empty() { MEMBERS[0].into() } else { Name::default() };
            return changed;
        }
        if changed.named_by.is_some() && dice.percent(30) {
            changed.name(dice.pick(&identifiers()).clone());
            return changed;
        }
        match &mut changed.action {
            Action::Reverse { units: Some(count), .. } | Action::Reverse { rewards: Some(count), .. }
                if dice.percent(50) =>
            {
                *count += 1;
            }
            Action::Reverse { lines, .. } if dice.percent(40) => match lines.first_mut() {
                Some((_, 0, amount)) => *amount += 1,
                Some((_, quantity, _)) => *quantity += 1,
                None => lines.push((0, 1, 0)),
            },
            Action::Reverse { original, .. } => {
                *original = if dice.percent(50) { "another".into() } else { self.fresh_id(dice) };
            }
            Action::Accrue { purchase, .. } if !purchase.vouchers.is_empty() && dice.percent(30) => {
                purchase.vouchers.pop();
            }
            Action::Accrue { account, purchase } => match dice.below(9) {
                0 => *account = self.account(dice),
                1 => purchase.cashier = "robin".into(),
                2 => purchase.receipt_number = "other".into(),
                3 => purchase.receipt_at += 1,
                4 => purchase.lines.push(self.line(dice)),
                5 => purchase.terminal = "till-9".into(),
                6 => purchase.lines[0].amount_minor += 1,
                7 => purchase.lines[0].attributes[3] = "Imported".into(),
                _ => *purchase = self.purchase(dice, now),
            },
            Action::Redeem { account, wallet, units } => match dice.below(3) {
                0 => *account = self.account(dice),
                1 => *wallet = (*wallet + 1) % 3,
                _ => *units += 1,
            },
            Action::Act { account, kind, happened_at, channel } => match dice.below(4) {
                0 => *account = self.account(dice),
                1 => *kind = "another".into(),
                2 => *happened_at += 1,
                _ => *channel = "kiosk".into(),
            },
            Action::Enrol { .. } => changed.action = self.enrolment(dice),
            Action::Load { account, .. } if dice.percent(30) => *account = self.account(dice),
            Action::Load { lots, .. } => lots[0].1 += 1,
            Action::Review { original, releases, note } => match dice.below(3) {
                0 => *original = "another".into(),
                1 => *releases = !*releases,
                _ => *note = "on second thoughts".into(),
            },
            Action::Restore { expiry, dies, note, .. } => match dice.below(3) {
                0 => *expiry += 1,
                1 => *dies += NS_PER_SECOND,
                _ => *note = "on second thoughts".into(),
            },
            Action::Adjust { account, units, dies, note, .. } => match dice.below(4) {
                0 => *account = self.account(dice),
                1 => *units += if *units == -1 { -1 } else { 1 },
                2 => *dies = None,
                _ => *note = "on second thoughts".into(),
            },
            Action::Link { account, identifier, links } => match dice.below(3) {
                0 => *account = self.account(dice),
                1 => *identifier = dice.pick(&identifiers()).clone(),
                _ => *links = !*links,
            },
            Action::Authorize { account, wallet, units, hold_seconds } => match dice.below(4) {
                0 => *account = self.account(dice),
                1 => *wallet = (*wallet + 1) % 3,
                2 => *units += 1,
                _ => *hold_seconds = Some(hold_seconds.unwrap_or(0) + 7),
            },
            Action::Capture { original, units, is_last, .. } => match dice.below(3) {
                0 => *original = "another".into(),
                1 => *units += 1,
                _ => *is_last = !*is_last,
            },
            Action::Void { original } => *original = "another".into(),
            Action::Take(wanted) => {
                let account = self.account(dice);
                wanted.change(dice, account);
            }
            Action::TopUp(paid) => {
                let account = self.account(dice);
                paid.change(dice, account);
            }
            Action::Voucher(asked) => {
                let account = self.account(dice);
                asked.change(dice, account);
            }
            Action::Refund(asked) if dice.percent(40) => asked.original = "another".into(),
            Action::Refund(asked) => asked.units = Some(asked.units.unwrap_or(0) + 1),
            Action::Expire => {}
        }
        if dice.percent(10) {
            let original = of.transaction_id.clone();
            let action = Action::Reverse { original, lines: Vec::new(), units: None, rewards: None };
            (changed.action, changed.named_by, changed.member) = (action, None, Name::default());
        }
        if changed.named_by.is_some()
            && let Some(account) = changed.action.account_mut()
        {
            // Whoever names the account by an identifier does not know its id.
            *account = Name::default();
        }
        changed
    }
}

impl Request {
    /// A request about nobody in particular, of an account that is named by its id.
    fn new(partner: Name, transaction_id: Name, action: Action) -> Self {
        Self { partner, transaction_id, named_by: None, member: Name::default(), action }
    }

    /// Names the account by an identifier.
    fn name(&mut self, identifier: Identifier) {
        if let Some(account) = self.action.account_mut() {
            *account = Name::default();
            if let Action::Link { identifier: own, .. } = &mut self.action {
                *own = identifier.clone();
            }
            self.named_by = Some(identifier);
        }
    }
}

/// A wallet that is spent from: mostly the first.
fn wallet(dice: &mut Dice) -> usize {
    match dice.below(100) {
        0..15 => 1,
        15..26 => CASH,
        _ => 0,
    }
}

/// What an account had elsewhere: some of it dead by now, pending, or kept alive by what the member does.
fn lots(dice: &mut Dice, partner: &Name, now: i64) -> Vec<(LotName, i64)> {
    let mut lots = Vec::new();
    for _ in 0..=dice.below(3) {
        // Few different instants, so that lots meet those that are there.
        let day = now.div_euclid(NS_PER_DAY) + dice.number(-2..40);
        let lot = LotName {
            wallet: usize::from(dice.percent(30)),
            issuer: partner.clone(),
            funding: 0,
            available_from: if dice.percent(30) {
                (now.div_euclid(NS_PER_DAY) + dice.number(-1..3)) * 1_440
            } else {
                0
            },
            inactive_days: if dice.percent(40) { *dice.pick(&[1, 2, 40]) } else { 0 },
            dies: if dice.percent(40) { NEVER } else { day * NS_PER_DAY },
            is_held: false,
        };
        lots.push((lot, dice.number(1..60)));
    }
    lots.sort();
    lots.dedup_by(|(later, _), (earlier, _)| later == earlier);
    lots
}
/// Some lines of a purchase, some of it or all; now and then more than there is.
fn returned(dice: &mut Dice, purchase: &Purchase) -> Vec<Asked> {
    let mut lines = Vec::new();
    for (line, place) in purchase.lines.iter().zip(0..) {
        if !dice.percent(40) {
            continue;
        }
        let beyond = i64::from(dice.percent(4));
        let some = |most: i64, dice: &mut Dice| if dice.percent(40) { most } else { dice.number(1..most.max(1) + 1) };
        match (line.quantity, line.amount_minor) {
            (0, 0) => {}
            (0, amount) => lines.push((place, 0, some(amount, dice) + beyond)),
            (quantity, _) => lines.push((place, some(quantity, dice) + beyond, 0)),
        }
    }
    if dice.percent(2) {
        lines.push((u32::try_from(purchase.lines.len()).expect("a basket is bounded"), 1, 0));
    }
    lines
}
