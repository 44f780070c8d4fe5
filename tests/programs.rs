//! The sample programmes as stories: members do things, and the ledger's core says what they earn and why.
//!
//! What must stay true: a story is decided and applied by the code that serves, on the file as it is delivered; what a
//! line of a story says is the whole outcome, reasons included.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use tallystick::journal::record::{Entry, PreviousRecord};
use tallystick::ledger::account::Account;
use tallystick::ledger::command::{
    Activity, Basket, Command, CommandKind, Enrolment, Line, Redemption, ReturnedLine, Reversal, RewardAsked,
};
use tallystick::ledger::decision::{Decision, Outcome};
use tallystick::ledger::draws;
use tallystick::ledger::money::{Refund, TopUp};
use tallystick::ledger::packed::Unpacked;
use tallystick::ledger::periods_of;
use tallystick::ledger::program::{LineClass, Program};
use tallystick::ledger::refund::Standing;
use tallystick::ledger::stamps::on_cards;
use tallystick::ledger::state::{CellRoom, Change, Context, ShardState};
use tallystick::ledger::types::{
    CellId, Item, ItemId, Position, ProgramVersion, ShardId, SymbolId, TimestampNs, Units, WalletId,
};
use tallystick::ledger::voucher::{VoucherChange, VoucherCode};
use tallystick::program::{SymbolTable, Symbols, compile};

/// A line of a basket: one attribute, pieces, and the amount of all of them.
#[derive(Clone, Copy)]
struct Ware(&'static str, &'static str, i64, i64);

fn ware(attribute: &'static str, value: &'static str, amount_minor: i64) -> Ware {
    Ware(attribute, value, 1, amount_minor)
}

/// A programme in force, and what its members have.
struct Shop {
    program: Program,
    symbols: SymbolTable,
    state: ShardState,
    /// Uses and units of each budget.
    used: BTreeMap<CellId, (u64, Units)>,
    /// What was bought, each under the number of its receipt.
    bought: Vec<Entry>,
}

impl Shop {
    /// Opens a shop with one of the programmes that are delivered.
    fn open(name: &str) -> Self {
        let file = format!("{}/deploy/programs/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let mut symbols = SymbolTable::new();
        let program = compile(&source, ProgramVersion(1), TimestampNs(0), &mut symbols)
            .unwrap_or_else(|problems| panic!("{problems:?}"));
        Self { program, symbols, state: ShardState::new(ShardId(0)), used: BTreeMap::new(), bought: Vec::new() }
    }

    fn symbol(&mut self, text: &str) -> SymbolId {
        self.symbols.intern(text).expect("there is room")
    }

    fn instant(&self, local: &str) -> TimestampNs {
        let local: DateTime = local.parse().unwrap_or_else(|error| panic!("{local}: {error}"));
        let zone = TimeZone::get(self.program.zone.name()).expect("the zone is known");
        let zoned = local.to_zoned(zone).expect("the time exists");
        TimestampNs(i64::try_from(zoned.timestamp().as_nanosecond()).expect("a time of our days"))
    }

    /// Somebody is there at a local time.
    fn at<'s>(&'s mut self, local: &str, member: &'s str) -> Visit<'s> {
        let at = self.instant(local);
        Visit { shop: self, member, at, store: "", channel: "", payment_method: "", voucher: None }
    }

    fn account(&self, member: &str) -> Account {
        let number = self.state.find(member).expect("the member has an account");
        self.state.account(number).expect("an account that was found")
    }

    fn balance(&self, member: &str, local: &str) -> Units {
        self.account(member).balance(WalletId(0), self.instant(local))
    }

    /// What is on the cards of a member: `ten-coffees 3, eight-mornings 1`.
    fn cards(&self, member: &str, local: &str) -> String {
        let account = self.account(member);
        let cards = on_cards(&account, &self.program, periods_of(&account, &self.program, self.instant(local)));
        cards.map(|(card, stamps)| format!("{} {stamps}", card.name)).collect::<Vec<_>>().join(", ")
    }

    /// Decides a command now, applies it if it is granted, and says what came of it.
    fn run(&mut self, member: &str, at: TimestampNs, kind: CommandKind) -> String {
        let command = Command {
            account_id: member.to_owned(),
            transaction_id: format!("t{}", self.bought.len()),
            partner: SymbolId(0),
            kind,
            ..Command::default()
        };
        let mut draws = Vec::new();
        draws::list(&self.program, &command, at, &mut draws);
        let rooms = draws.iter().map(|draw| {
            let (uses, used) = self.used.get(&draw.cell).copied().unwrap_or_default();
            let (room, retain_until) = (draw.limit - used, draw.retain_until);
            CellRoom { cell: draw.cell, version: uses + 1, room, retain_until }
        });
        let rooms: Vec<CellRoom> = rooms.collect();
        let mut decision = Decision::default();
        let context = Context { program: &self.program, posted_at: at, rooms: &rooms, frozen: None };
        self.state.decide(&command, &context, &mut decision);
        if let Outcome::Refused(refusal) = decision.outcome {
            return format!("refused: {refusal:?}");
        }
        for cell in &decision.cells {
            let (uses, used) = self.used.entry(cell.cell).or_default();
            (*uses, *used) = (*uses + 1, *used + cell.used);
        }
        let change = Change {
            seq: self.state.seq.next(),
            position: None,
            posted_at: at,
            account: self.state.find(member).unwrap_or_else(|| self.state.next_account()),
            account_id: member,
            partner: command.partner,
            decision: &decision,
        };
        assert!(self.state.accepts(&change, &mut Unpacked::default()), "what is decided can be applied");
        self.state.apply(&change);
        let told = self.told(&decision);
        let account = self.state.find(member).expect("it is open");
        self.bought.push(Entry { previous: PreviousRecord::None, account, posted_at: at, command, decision });
        told
    }

    /// `9`, `9: pastry-double`, `51 of 150: house-specials; daily-beans`, with a level in front where there is one.
    fn told(&self, decision: &Decision) -> String {
        let by_class = decision.lines.iter().filter_map(|line| match line.class {
            LineClass::Rule(rule) => Some(rule),
            LineClass::Ineligible | LineClass::Base => None,
        });
        let rules = by_class.chain(decision.stacked.iter().map(|(_, rule)| *rule));
        let mut reasons: Vec<&str> = Vec::new();
        reasons.extend(rules.filter_map(|rule| self.program.lines.rule(rule)).map(|rule| rule.name.as_str()));
        let bonuses = decision.bonuses.iter().filter_map(|award| self.program.bonus(award.bonus));
        reasons.extend(bonuses.map(|bonus| bonus.name.as_str()));
        reasons.sort_unstable();
        reasons.dedup();
        let ladder = self.program.tiers.as_ref();
        let level = decision.tier.and_then(|tier| ladder?.at(tier.level)).map(|level| format!("{}, ", level.name));
        let mut told = level.unwrap_or_default();
        write!(told, "{}", decision.granted).expect("a string takes it");
        if decision.granted != decision.earned && decision.earned > 0 {
            write!(told, " of {}", decision.earned).expect("a string takes it");
        }
        if !reasons.is_empty() {
            write!(told, ": {}", reasons.join(", ")).expect("a string takes it");
        }
        let clips = decision.clips.iter().map(|clip| clip.source).chain(decision.over_velocity);
        let clips: Vec<&str> = clips.filter_map(|source| self.symbols.text(source)).collect();
        if !clips.is_empty() {
            write!(told, "; bounded by {}", clips.join(", ")).expect("a string takes it");
        }
        for outcome in decision.stamps.iter().filter(|outcome| outcome.rewards > 0) {
            let card = self.program.stamp_card(outcome.card).expect("it is the programme's");
            write!(told, "; {} is full", card.name).expect("a string takes it");
        }
        for (_, change) in &decision.effects.vouchers {
            let what = match change {
                VoucherChange::Given(_) => "a voucher is given",
                VoucherChange::Used(_) => "a voucher is used",
                VoucherChange::GivenBack => "a voucher is good again",
                VoucherChange::Cancelled => "a voucher is cancelled",
                VoucherChange::Kept => "a voucher stays used",
            };
            write!(told, "; {what}").expect("a string takes it");
        }
        told
    }
}

/// A member at a place and a time.
struct Visit<'s> {
    shop: &'s mut Shop,
    member: &'s str,
    at: TimestampNs,
    store: &'static str,
    channel: &'static str,
    payment_method: &'static str,
    voucher: Option<VoucherCode>,
}

impl Visit<'_> {
    /// With the first voucher that can be used.
    fn with_a_voucher(self) -> Self {
        let account = self.shop.account(self.member);
        let found = account.vouchers().iter().find(|voucher| voucher.is_usable(self.at));
        Self { voucher: found.map(|voucher| voucher.code), ..self }
    }

    /// Brings so many pieces of the first line of a purchase back, counted from the last one; all that was bought for none.
    fn brings_back(self, quantity: i64, purchases_ago: usize) -> String {
        let index = self.shop.bought.len() - 1 - purchases_ago;
        let entry = self.shop.bought[index].clone();
        let CommandKind::Accrue(basket) = &entry.command.kind else { panic!("only purchases come back") };
        let granted = entry.granted().expect("it was granted");
        let mut standing = Standing::whole(basket, &entry.decision, granted);
        for earlier in self.shop.bought.iter().filter(|earlier| earlier.account == entry.account) {
            if let CommandKind::Reverse(reversal) = &earlier.command.kind
                && *reversal.original_transaction_id == *entry.command.transaction_id
            {
                standing.take(reversal, Some(Position(0))).expect("no more came back than there was");
            }
        }
        let asked = ReturnedLine { line: 0, quantity, amount_minor: 0 };
        let asked: Vec<_> = Some(asked).into_iter().filter(|_| quantity > 0).collect();
        let (original, part) = standing.part(&self.shop.program, &asked).expect("so much is there");
        let reversal = Reversal {
            original_transaction_id: entry.command.transaction_id.as_str().into(),
            original_position: Position(0),
            original,
            part,
        };
        self.shop.run(self.member, self.at, CommandKind::Reverse(reversal))
    }

    fn through(self, channel: &'static str) -> Self {
        Self { channel, ..self }
    }

    fn paying_by(self, payment_method: &'static str) -> Self {
        Self { payment_method, ..self }
    }

    fn buys(self, wares: &[Ware]) -> String {
        let shop = self.shop;
        let lines = wares.iter().map(|Ware(attribute, value, quantity, amount_minor)| {
            let value = shop.symbols.intern(value).expect("there is room");
            let mut item = Item::default();
            let part = match *attribute {
                "sku" => &mut item.sku,
                "category" => &mut item.category,
                "department" => &mut item.department,
                "brand" => &mut item.brand,
                "margin_class" => &mut item.margin_class,
                _ => panic!("no line carries {attribute:?}"),
            };
            *part = value;
            Line { item_id: ItemId(0), item, quantity: *quantity, amount_minor: *amount_minor }
        });
        let lines = lines.collect();
        let [store, channel, payment_method] =
            [self.store, self.channel, self.payment_method].map(|text| shop.symbol(text));
        let vouchers = self.voucher.into_iter().collect();
        let basket =
            Basket { store, channel, payment_method, receipt_at: self.at, lines, vouchers, ..Basket::default() };
        shop.run(self.member, self.at, CommandKind::Accrue(basket))
    }

    fn does(self, activity: &str) -> String {
        let (kind, channel) = (self.shop.symbol(activity), self.shop.symbol(self.channel));
        self.shop.run(self.member, self.at, CommandKind::Act(Activity { kind, happened_at: self.at, channel }))
    }

    /// Pays money in; the second wallet is the one that holds it.
    fn loads(self, units: Units) -> String {
        let top_up = TopUp { wallet: WalletId(1), units, source: "bank-card".into(), ..TopUp::default() };
        self.shop.run(self.member, self.at, CommandKind::TopUp(top_up))
    }

    /// Pays so much from it.
    fn pays(self, units: Units) -> String {
        self.shop.run(
            self.member,
            self.at,
            CommandKind::Redeem(Redemption { wallet: WalletId(1), units, reward: None }),
        )
    }

    /// Gets so much of what was loaded back, of which that is all.
    fn gets_back(self, units: Units) -> String {
        let lot = self.shop.program.money_lot(WalletId(1), SymbolId(0));
        let refund = Refund { units, lot, ..Refund::asked_of("t".into(), None) };
        self.shop.run(self.member, self.at, CommandKind::Refund(Box::new(refund)))
    }

    /// Takes so many of a reward.
    fn takes(self, quantity: i64, reward: &str) -> String {
        let symbol = self.shop.symbol(reward);
        let found = self.shop.program.reward(symbol).expect("the catalogue has it");
        let (wallet, units) = (found.wallet, found.cost(quantity).expect("it is no fortune"));
        let reward = Some(RewardAsked { reward: symbol, quantity, states_units: false });
        self.shop.run(self.member, self.at, CommandKind::Redeem(Redemption { wallet, units, reward }))
    }

    fn joins(self, segments: &[&str]) -> String {
        let mut joins: Vec<SymbolId> = segments.iter().map(|segment| self.shop.symbol(segment)).collect();
        joins.sort_unstable();
        self.shop.run(self.member, self.at, CommandKind::Enrol(Enrolment { joins, ..Enrolment::default() }))
    }
}

#[test]
fn a_morning_and_two_tastings_in_the_coffee_shop() {
    let mut shop = Shop::open("coffee-shop");
    let breakfast = [ware("category", "coffee", 430), ware("category", "pastry", 250)];
    assert_eq!(shop.at("2026-07-06T08:30:00", "anna").buys(&breakfast), "9: pastry-double");
    // She brought her own cup, and says so twice.
    assert_eq!(shop.at("2026-07-06T08:31:00", "anna").does("own-cup"), "2: cup-brought-along");
    assert_eq!(shop.at("2026-07-06T08:32:00", "anna").does("own-cup"), "0");
    // Two tastings in one week count once; a new week begins on Monday.
    assert_eq!(shop.at("2026-07-07T19:00:00", "anna").does("tasting"), "20: tasting-evening");
    assert_eq!(shop.at("2026-07-09T19:00:00", "anna").does("tasting"), "0");
    assert_eq!(shop.at("2026-07-12T23:59:59", "anna").does("tasting"), "0");
    assert_eq!(shop.at("2026-07-13T00:00:00", "anna").does("tasting"), "20: tasting-evening");
    // Cake for the office: 60.00 at two and a half times would be 150, but a day has 60 beans, 20 of them are given.
    let cakes = [ware("brand", "Own bakery", 6_000)];
    let told = shop.at("2026-07-13T10:00:00", "anna").buys(&cakes);
    assert_eq!(told, "40 of 150: house-specials; bounded by daily-beans");
    assert_eq!(shop.balance("anna", "2026-07-13T12:00:00"), 9 + 2 + 20 + 20 + 40);
}

#[test]
fn a_year_of_stars_and_a_loaded_card() {
    let mut shop = Shop::open("stars");
    let latte = [ware("category", "drinks", 575)];
    // Her first latte, paid with a bank card: five stars and the welcome.
    assert_eq!(shop.at("2026-01-12T08:00:00", "maya").paying_by("bank-card").buys(&latte), "30: welcome");
    // She loads the card in the app. The money is no star; the activity that the app records beside it is.
    assert_eq!(shop.at("2026-01-12T20:00:00", "maya").loads(499), "refused: TopUpTooSmall");
    assert_eq!(shop.at("2026-01-12T20:00:00", "maya").loads(20_001), "refused: TopUpTooLarge");
    assert_eq!(shop.at("2026-01-12T20:00:00", "maya").loads(5_000), "5000");
    assert_eq!(shop.at("2026-01-12T20:00:01", "maya").does("top-up"), "10: loaded-the-card");
    assert_eq!(shop.at("2026-01-20T20:00:00", "maya").loads(5_000), "5000");
    assert_eq!(shop.at("2026-01-20T20:00:01", "maya").does("top-up"), "0", "once a month");
    assert_eq!(shop.balance("maya", "2026-01-21T00:00:00"), 40);
    // Paid from the card the same latte earns twice as much.
    assert_eq!(shop.at("2026-01-21T08:00:00", "maya").pays(575), "-575");
    let told = shop.at("2026-01-21T08:00:00", "maya").paying_by("stored-value").buys(&latte);
    assert_eq!(told, "11: paid-from-the-card");
    // A party for the office, twice: a day has 500 stars, and with them she is gold.
    let party = [ware("category", "drinks", 30_000)];
    let told = shop.at("2026-02-02T08:00:00", "maya").paying_by("stored-value").buys(&party);
    assert_eq!(told, "500 of 600: paid-from-the-card; bounded by stars-a-day");
    let told = shop.at("2026-02-03T08:00:00", "maya").paying_by("stored-value").buys(&latte);
    assert_eq!(told, "gold, 13: paid-from-the-card");
    // Stars for a cup and a drink, which are not there for everybody, nor for ever.
    assert_eq!(shop.at("2026-02-03T08:01:00", "maya").takes(1, "tasting-for-two"), "refused: InsufficientBalance");
    assert_eq!(shop.at("2026-02-03T08:02:00", "leo").takes(1, "two-dollars-off"), "refused: AccountUnknown");
    assert_eq!(shop.at("2026-02-03T08:03:00", "leo").buys(&latte), "30: welcome");
    assert_eq!(shop.at("2026-02-03T08:04:00", "leo").takes(1, "tasting-for-two"), "refused: RewardTierRequired");
    assert_eq!(shop.at("2027-02-03T08:04:00", "maya").takes(1, "tasting-for-two"), "refused: RewardNotOffered");
    assert_eq!(shop.at("2026-02-03T08:05:00", "maya").takes(2_501, "city-cup"), "refused: RewardOutOfStock");
    assert_eq!(shop.at("2026-02-03T08:06:00", "maya").takes(1, "city-cup"), "-400");
    // Half a year without a visit: the stars are gone, to the last one. The money is all there.
    assert_eq!(shop.balance("maya", "2026-08-02T12:00:00"), 164);
    assert_eq!(shop.balance("maya", "2026-08-03T12:00:00"), 0);
    let later = shop.instant("2031-01-01T00:00:00");
    assert_eq!(shop.account("maya").balance(WalletId(1), later), 10_000 - 575);
    // What she has not spent she gets back, and not a cent more.
    assert_eq!(shop.at("2026-09-01T08:00:00", "maya").gets_back(9_426), "refused: InsufficientBalance");
    assert_eq!(shop.at("2026-09-01T08:00:00", "maya").gets_back(5_000), "-5000");
    assert_eq!(shop.account("maya").balance(WalletId(1), later), 4_425);
}

#[test]
fn a_knitter_climbs_to_gold_in_the_craft_shop() {
    let mut shop = Shop::open("craft-shop");
    let paper = |amount| [ware("category", "paper", amount)];
    // 500.00 earn 5,000 points, and with them comes silver: from the next basket on.
    assert_eq!(shop.at("2026-05-04T10:00:00", "lena").buys(&paper(50_000)), "5000");
    assert_eq!(shop.at("2026-05-05T10:00:00", "lena").buys(&paper(10_000)), "silver, 1250");
    // The basket that brings her ten-thousandth point is still judged as silver; then she is gold.
    assert_eq!(shop.at("2026-06-01T10:00:00", "lena").buys(&paper(30_000)), "silver, 3750");
    assert_eq!(shop.at("2026-06-02T10:00:00", "lena").buys(&paper(1_000)), "gold, 150");
    // Four tins: 20.00 times 1.5, and 5 points a tin that no level multiplies.
    let tins = [Ware("category", "paint", 4, 2_000)];
    assert_eq!(shop.at("2026-06-03T10:00:00", "lena").buys(&tins), "gold, 320: paint-tins");
    // The preview is on one evening, from six to ten, and counts once.
    assert_eq!(shop.at("2026-10-09T17:59:00", "lena").buys(&paper(1_000)), "gold, 150");
    assert_eq!(shop.at("2026-10-09T18:00:00", "lena").buys(&paper(1_000)), "gold, 450: preview-evening");
    assert_eq!(shop.at("2026-10-09T18:30:00", "lena").buys(&paper(1_000)), "gold, 150");
    let yarn = [ware("category", "yarn", 1_000)];
    assert_eq!(shop.at("2026-11-01T10:00:00", "lena").buys(&yarn), "gold, 300: winter-yarn");
    // The tenth basket, on the last evening of the year; at midnight everybody begins anew.
    let last = shop.at("2026-12-31T23:00:00", "lena").buys(&yarn);
    assert_eq!(last, "gold, 500: each-tenth-basket, winter-yarn");
    assert_eq!(shop.at("2027-01-01T00:00:00", "lena").buys(&paper(1_000)), "100");
}

#[test]
fn three_levels_and_a_community_in_the_beauty_shop() {
    let mut shop = Shop::open("beauty");
    let lipstick = |amount| [ware("category", "lipstick", amount)];
    let serum = [ware("category", "serum", 10_000)];
    assert_eq!(shop.at("2026-08-03T10:00:00", "mia").buys(&lipstick(2_499)), "24");
    assert_eq!(shop.at("2026-08-04T10:00:00", "mia").does("masterclass"), "0");
    assert_eq!(shop.at("2026-08-05T10:00:00", "mia").buys(&lipstick(7_501)), "75");
    // Insiders earn no faster, but the weekend is better for them.
    assert_eq!(shop.at("2026-08-06T10:00:00", "mia").buys(&lipstick(5_000)), "insider, 50");
    let weekend = shop.at("2026-09-12T11:00:00", "mia").buys(&serum);
    assert_eq!(weekend, "insider, 200: skin-care-weekend-of-the-levels");
    assert_eq!(shop.at("2026-09-12T11:00:00", "noa").buys(&serum), "150: skin-care-weekend");
    assert_eq!(shop.at("2026-09-14T11:00:00", "noa").buys(&serum), "insider, 100");
    // In the app everything is multiplied, and vip multiplies once more: 100 times 1.2 times 1.25.
    assert_eq!(shop.at("2026-09-15T11:00:00", "mia").buys(&lipstick(10_000)), "insider, 100");
    assert_eq!(shop.at("2026-09-16T11:00:00", "mia").through("app").buys(&serum), "vip, 150: app-order");
    assert_eq!(shop.at("2026-09-17T11:00:00", "mia").does("masterclass"), "vip, 25: masterclass-guest");
    // Five answers a week are paid for, by the same points whatever the level.
    for minute in 0..5 {
        let told = shop.at(&format!("2026-09-18T10:0{minute}:00"), "mia").does("answer");
        assert_eq!(told, "vip, 3: community-answer");
    }
    assert_eq!(shop.at("2026-09-20T23:59:00", "mia").does("answer"), "vip, 0");
    assert_eq!(shop.at("2026-09-21T00:00:00", "mia").does("answer"), "vip, 3: community-answer");
}

#[test]
fn attention_is_paid_for_but_nobody_lives_on_it() {
    let mut shop = Shop::open("engagement");
    let shoes = [ware("category", "shoes", 4_000)];
    assert_eq!(shop.at("2026-03-02T09:00:00", "ben").does("visit"), "5: shop-visit");
    assert_eq!(shop.at("2026-03-02T15:00:00", "ben").does("visit"), "0");
    assert_eq!(shop.at("2026-03-03T00:00:00", "ben").does("visit"), "5: shop-visit");
    // Five fields of the profile, for ever.
    for field in 0..6 {
        let told = shop.at(&format!("2026-03-03T10:0{field}:00"), "ben").does("profile-field");
        assert_eq!(told, if field < 5 { "10: profile-filled-in" } else { "0" }, "field {field}");
    }
    for day in 10..16 {
        let told = shop.at(&format!("2026-03-{day}T08:00:00"), "ben").does("email-opened");
        assert_eq!(told, if day < 14 { "2: newsletter-read" } else { "0" }, "day {day}");
    }
    assert_eq!(shop.at("2026-03-16T08:00:00", "ben").does("social-link"), "25: social-linked");
    // Shared in a shop it counts nothing, in the app it does.
    assert_eq!(shop.at("2026-03-16T09:00:00", "ben").does("share"), "0");
    assert_eq!(shop.at("2026-03-16T09:01:00", "ben").through("app").does("share"), "10: wishlist-shared");
    // A review counts once somebody is known to have bought, twice a month.
    assert_eq!(shop.at("2026-03-17T08:00:00", "ben").does("product-review"), "0");
    assert_eq!(shop.at("2026-03-17T09:00:00", "ben").buys(&shoes), "90: first-basket");
    assert_eq!(shop.at("2026-03-17T10:00:00", "ben").joins(&["verified-buyers"]), "0");
    for minute in 0..3 {
        let told = shop.at(&format!("2026-03-18T08:0{minute}:00"), "ben").does("product-review");
        assert_eq!(told, if minute < 2 { "100: honest-review" } else { "0" }, "review {minute}");
    }
    for basket in 2..5 {
        let told = shop.at(&format!("2026-03-2{basket}T08:00:00"), "ben").buys(&shoes);
        assert_eq!(told, "40", "basket {basket}");
    }
    assert_eq!(shop.at("2026-03-28T08:00:00", "ben").buys(&shoes), "140: fifth-basket");
    // 653 points are given in March; a purchase of 1,000.00 fills the month up.
    let coat = [ware("category", "coat", 100_000)];
    assert_eq!(shop.balance("ben", "2026-03-29T08:00:00"), 653);
    assert_eq!(shop.at("2026-03-29T08:00:00", "ben").buys(&coat), "347 of 1000; bounded by month-points");
    assert_eq!(shop.at("2026-03-30T08:00:00", "ben").does("visit"), "0 of 5: shop-visit; bounded by month-points");
    assert_eq!(shop.at("2026-04-01T00:00:00", "ben").does("visit"), "5: shop-visit");
    // In April he follows what the letters say, brings a friend, and comes to the workshop, once for ever.
    for day in 2..5 {
        let told = shop.at(&format!("2026-04-0{day}T08:00:00"), "ben").does("email-clicked");
        assert_eq!(told, if day < 4 { "5: newsletter-followed" } else { "0" }, "day {day}");
    }
    assert_eq!(shop.at("2026-04-05T08:00:00", "ben").does("referral"), "100: friend-brought");
    assert_eq!(shop.at("2026-04-06T18:00:00", "ben").does("workshop"), "20: workshop-attended");
    assert_eq!(shop.at("2026-06-06T18:00:00", "ben").does("workshop"), "0");
}

#[test]
fn points_follow_the_margin_and_the_budget_ends() {
    let mut shop = Shop::open("profit-minded");
    let rich = |amount| [ware("margin_class", "rich", amount)];
    let thin = [ware("margin_class", "thin", 8_000)];
    // The programme is by invitation.
    assert_eq!(shop.at("2026-03-02T12:00:00", "guest").buys(&rich(1_000)), "refused: AccountUnknown");
    assert_eq!(shop.at("2026-03-02T12:00:00", "eva").joins(&["club"]), "0");
    assert_eq!(shop.at("2026-03-02T12:01:00", "trader").joins(&["club", "resellers"]), "0");
    assert_eq!(shop.at("2026-03-02T12:02:00", "paul").joins(&["newsletter"]), "0");
    assert_eq!(shop.at("2026-03-02T13:00:00", "eva").buys(&rich(4_000)), "40: rich-margin");
    assert_eq!(shop.at("2026-03-02T13:01:00", "eva").buys(&thin), "10: thin-margin");
    let at_cost = [ware("margin_class", "loss-leader", 50_000)];
    assert_eq!(shop.at("2026-03-02T13:02:00", "eva").buys(&at_cost), "0");
    assert_eq!(shop.at("2026-03-02T13:03:00", "paul").buys(&rich(4_000)), "0: outside-the-club");
    assert_eq!(shop.at("2026-03-02T13:04:00", "trader").buys(&rich(4_000)), "0: not-for-resale");
    // Tuesday at nine, by the card of the house: 2 and 0.5 and 1.
    let quiet = shop.at("2026-03-03T09:00:00", "eva").paying_by("house-card").buys(&rich(2_000));
    assert_eq!(quiet, "35: house-card-adds, quiet-morning-adds, rich-margin");
    // A week has 150 points.
    assert_eq!(
        shop.at("2026-03-05T12:00:00", "eva").buys(&rich(10_000)),
        "65 of 100: rich-margin; bounded by points-a-week"
    );
    // In spring there are 25,000 points for all: 166 members take 150 each, the next what is left, and then it is over.
    for number in 0..169 {
        let member = format!("member-{number:03}");
        shop.at("2026-04-01T12:00:00", &member).joins(&["club"]);
        let told = shop.at("2026-04-01T12:00:00", &member).buys(&rich(15_000));
        let expected = match number {
            0..166 => "150: rich-margin".to_owned(),
            166 => "100 of 150: rich-margin; bounded by spring-quarter".to_owned(),
            _ => "0 of 150: rich-margin; bounded by spring-quarter".to_owned(),
        };
        assert_eq!(told, expected, "{member}");
    }
    // Somebody who has not come for long is asked back, and the new quarter has no budget.
    assert_eq!(shop.at("2026-07-01T11:00:00", "eva").joins(&["lapsed"]), "0");
    assert_eq!(shop.at("2026-07-01T12:00:00", "eva").buys(&rich(7_999)), "79: rich-margin");
    assert_eq!(shop.at("2026-07-06T12:00:00", "eva").buys(&rich(8_000)), "120: rich-margin, welcome-back");
    assert_eq!(shop.at("2026-07-13T12:00:00", "eva").buys(&rich(8_000)), "80: rich-margin");
}

#[test]
fn wednesdays_levels_campaigns_and_sixty_days_at_the_grocer() {
    let mut shop = Shop::open("grocery");
    let greens = [ware("department", "PRODUCE", 1_000)];
    // It is Wednesday in New York until midnight there, when it has long been Thursday in London.
    assert_eq!(shop.at("2017-01-03T23:59:59", "household-1").buys(&greens), "10");
    assert_eq!(shop.at("2017-01-04T00:00:00", "household-1").buys(&greens), "30: produce-wednesday-triple");
    assert_eq!(shop.at("2017-01-04T23:59:59", "household-1").buys(&greens), "30: produce-wednesday-triple");
    assert_eq!(shop.at("2017-01-05T00:00:00", "household-1").buys(&greens), "10");
    // What was earned on 3 January lives for 60 full days: until the end of 4 March.
    assert_eq!(shop.balance("household-1", "2017-03-04T23:59:59"), 80);
    assert_eq!(shop.balance("household-1", "2017-03-05T00:00:00"), 70);
    assert_eq!(shop.balance("household-1", "2017-03-07T00:00:00"), 0);
    let groceries = |amount| [ware("department", "GROCERY", amount)];
    assert_eq!(shop.at("2017-03-01T09:00:00", "household-1").joins(&["campaign-1"]), "0");
    assert_eq!(shop.at("2017-03-02T23:59:59", "household-1").buys(&groceries(2_500)), "25");
    assert_eq!(shop.at("2017-03-03T09:00:00", "household-1").buys(&groceries(2_499)), "24");
    assert_eq!(shop.at("2017-03-03T10:00:00", "household-1").buys(&groceries(2_500)), "75: campaign-1-bonus");
    assert_eq!(shop.at("2017-03-04T10:00:00", "household-1").buys(&groceries(8_501)), "85");
    // 200.00 dollars are reached with that basket: the next is judged as silver.
    assert_eq!(shop.at("2017-03-06T10:00:00", "household-1").buys(&groceries(260)), "silver, 3");
    // Another household was not asked to take part.
    assert_eq!(shop.at("2017-03-06T11:00:00", "household-2").buys(&groceries(2_500)), "25");
    // A fourth earning basket of a day earns nothing.
    for hour in 12..15 {
        let told = shop.at(&format!("2017-03-07T{hour}:00:00"), "household-2").buys(&groceries(100));
        assert_eq!(told, "1");
    }
    let fourth = shop.at("2017-03-07T15:00:00", "household-2").buys(&groceries(100));
    assert_eq!(fourth, "0 of 1; bounded by daily-baskets");
}

#[test]
fn ten_coffees_and_eight_mornings_at_the_coffee_bar() {
    let mut shop = Shop::open("stamp-card");
    let coffees = |quantity: i64| [Ware("category", "coffee", quantity, 300 * quantity)];
    let pastry = [ware("category", "pastry", 250)];
    // A Saturday: four coffees for friends. The afternoon is no morning.
    assert_eq!(shop.at("2026-03-07T15:00:00", "lea").buys(&coffees(4)), "12");
    assert_eq!(shop.cards("lea", "2026-03-07T15:00:00"), "ten-coffees 4, eight-mornings 0");
    // A working week: a coffee and a pastry each morning. The sixth is the tenth coffee.
    for day in 9..=13 {
        let told = shop.at(&format!("2026-03-{day:02}T08:00:00"), "lea").buys(&[&coffees(1)[..], &pastry].concat());
        assert_eq!(told, "5");
    }
    assert_eq!(shop.cards("lea", "2026-03-13T12:00:00"), "ten-coffees 9, eight-mornings 5");
    let told = shop.at("2026-03-16T09:59:59", "lea").buys(&coffees(3));
    assert_eq!(told, "9; ten-coffees is full; a voucher is given");
    // Two were over, and are on the next card already.
    assert_eq!(shop.cards("lea", "2026-03-16T10:00:00"), "ten-coffees 2, eight-mornings 6");
    // The free coffee is no stamp, but the morning is one: she had a pastry with it.
    let free = [Ware("category", "coffee", 1, 0), Ware("category", "pastry", 1, 250)];
    let told = shop.at("2026-03-17T08:00:00", "lea").with_a_voucher().buys(&free);
    assert_eq!(told, "2; a voucher is used");
    assert_eq!(shop.cards("lea", "2026-03-17T08:00:00"), "ten-coffees 2, eight-mornings 7");
    let told = shop.at("2026-03-18T08:00:00", "lea").buys(&pastry);
    assert_eq!(told, "27; eight-mornings is full");
    // The pastry was yesterday's: the morning goes, and with it the beans that it made.
    assert_eq!(shop.at("2026-03-18T08:10:00", "lea").brings_back(0, 0), "-27");
    assert_eq!(shop.cards("lea", "2026-03-18T08:10:00"), "ten-coffees 2, eight-mornings 7");
    let told = shop.at("2026-03-19T08:00:00", "lea").buys(&pastry);
    assert_eq!(told, "27; eight-mornings is full");
    // In April the card of mornings is a new one; that of coffees waits.
    assert_eq!(shop.cards("lea", "2026-04-01T00:00:00"), "ten-coffees 2, eight-mornings 0");

    // The office orders twenty-three, and has one too many.
    let told = shop.at("2026-03-20T11:00:00", "office").buys(&coffees(23));
    assert_eq!(told, "69; ten-coffees is full; a voucher is given; a voucher is given");
    assert_eq!(shop.at("2026-03-20T11:30:00", "office").brings_back(1, 0), "-3");
    assert_eq!(shop.cards("office", "2026-03-20T12:00:00"), "ten-coffees 2, eight-mornings 0");
    // One of the free coffees is had; then all that is left comes back. The one that was had stays counted.
    let told = shop.at("2026-03-21T11:00:00", "office").with_a_voucher().buys(&pastry);
    assert_eq!(told, "2; a voucher is used");
    let told = shop.at("2026-03-21T12:00:00", "office").brings_back(0, 2);
    assert_eq!(told, "-66; a voucher is cancelled; a voucher stays used");
}
