//! The language of the tables: what a command says, how it is run, and how its outcome is shown.
//!
//! What must stay true: a line is judged by its whole outcome; whatever a table ran on is verified from empty when it
//! ends.

use std::collections::{BTreeMap, BTreeSet};

use tallystick::clock::Clock;
use tallystick::ledger::account::Account;
use tallystick::ledger::authorization::{Authorization, AuthorizationChange};
use tallystick::ledger::command::{
    Activity, AskedReversal, CommandKind, Enrolment, Loading, Redemption, ReturnedLine, SettingAside,
};
use tallystick::ledger::decision::{Decision, LotKey, Movement, Refusal};
use tallystick::ledger::freeze::Subject;
use tallystick::ledger::held::{HeldChange, HeldTransaction};
use tallystick::ledger::money::TopUp;
use tallystick::ledger::operator::{Adjustment, OperatorOrder};
use tallystick::ledger::program::{Periods, WhenSpent};
use tallystick::ledger::types::{CellId, MonthDay, SymbolId, TimestampNs, WalletId};
use tallystick::shard::freezing::FreezeDraft;

use crate::support::edge::{Accrue, Answer, Edge, LineText};
use crate::support::{Ledger, NS_PER_DAY, NS_PER_SECOND, Setup, assert_intact, programs};
use crate::{stamps, vouchers};

pub type Reached = BTreeSet<Refusal>;

/// A table: programmes by name, the first of which is in force since ever, and lines.
pub struct Table {
    pub programs: Vec<(&'static str, String)>,
    pub setup: Setup,
    pub lines: &'static str,
}

/// Runs a table and compares every line; gives the refusals that were met.
#[track_caller]
pub fn check(table: &Table) -> Reached {
    let (ledger, store) = Ledger::new(table.setup.clone());
    let ledger = match table.programs.first() {
        Some((_, source)) => ledger.with_program(source),
        None => ledger,
    };
    let mut runner = Runner { ledger: &ledger, table, row: 0, reached: Reached::new() };
    let mut wrong = Vec::new();
    for line in table.lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (command, expected) = line.split_once("->").unwrap_or_else(|| panic!("no outcome in {line:?}"));
        let (command, expected) = (command.trim(), expected.trim());
        let got = runner.run(command);
        if got != expected {
            wrong.push(format!("{command:<60} -> {got}\n{:<60} -> {expected} was expected", ""));
        }
    }
    let reached = runner.reached;
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert_intact(&store, ledger.stop().digest);
    reached
}

struct Runner<'a> {
    ledger: &'a Ledger,
    table: &'a Table,
    row: usize,
    reached: Reached,
}

impl Runner<'_> {
    fn run(&mut self, command: &str) -> String {
        self.row += 1;
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["accrue", account, rest @ ..] => {
                let (accrue, partner) = self.accrue(account, rest);
                let answer = self.edge(&partner).accrue(&accrue);
                self.show(&answer)
            }
            ["quote", account, rest @ ..] => {
                let (accrue, partner) = self.accrue(account, rest);
                let answer = self.edge(&partner).quote(&accrue);
                self.show(&answer)
            }
            ["reverse", original, rest @ ..] => {
                let options = options(rest);
                let id = options.get("id").map_or_else(|| format!("row-{}", self.row), |id| (*id).to_owned());
                let edge = self.edge(options.get("by").copied().unwrap_or("north"));
                let stamp = self.stamp(&options);
                let plain = rest.iter().filter(|word| !word.contains('='));
                let units = plain.clone().find_map(|word| word.parse::<i64>().ok());
                let quantity = options.get("rewards").map(|count| count.parse().expect("a number"));
                let lines: Vec<_> = plain.filter(|_| units.is_none()).map(|word| returned(word)).collect();
                let asked = AskedReversal { original_transaction_id: original, lines: &lines, units, quantity };
                let answer = edge.begin_reversal(&id, &asked, stamp).wait().expect("the ledger answers");
                self.show(&answer)
            }
            ["take", account, reward, rest @ ..] => {
                let options = options(rest);
                let id = options.get("id").map_or_else(|| format!("row-{}", self.row), |id| (*id).to_owned());
                let edge = self.edge(options.get("by").copied().unwrap_or("north"));
                let quantity = rest.iter().find_map(|word| word.parse().ok()).unwrap_or(1);
                let stated = options.get("points").map(|points| points.parse().expect("units"));
                let answer = edge.take(account, &id, reward, quantity, stated);
                self.show(&answer)
            }
            ["redeem" | "authorize" | "topup" | "act" | "enrol" | "load", account, rest @ ..] => {
                let options = options(rest);
                let id = options.get("id").map_or_else(|| format!("row-{}", self.row), |id| (*id).to_owned());
                let edge = self.edge(options.get("by").copied().unwrap_or("north"));
                let kind = self.kind(words[0], rest, &options, &edge);
                let answer = edge.send_of(account, options.get("member").copied().unwrap_or(""), &id, kind);
                let verb = if words[0] == "topup" { "topup" } else { "" };
                self.show(&Answer { verb, ..answer })
            }
            [verb @ ("capture" | "void"), original, rest @ ..] => {
                let options = options(rest);
                let id = options.get("id").map_or_else(|| format!("row-{}", self.row), |id| (*id).to_owned());
                let units = rest.first().and_then(|units| units.parse().ok());
                let captures = units.filter(|_| *verb == "capture").map(|units| (units, rest.contains(&"final")));
                let answer = self.edge(options.get("by").copied().unwrap_or("north")).end(&id, original, captures);
                self.show(&answer)
            }
            ["refund", original, rest @ ..] => {
                let options = options(rest);
                let id = options.get("id").map_or_else(|| format!("row-{}", self.row), |id| (*id).to_owned());
                let units = rest.first().and_then(|units| units.parse().ok());
                let answer = self.edge(options.get("by").copied().unwrap_or("north")).refund(&id, original, units);
                self.show(&answer)
            }
            ["cash", account] => self.account(account, |account, at| {
                let mut money = account.clone();
                money.lots.retain(|lot| lot.key.wallet == WalletId(1));
                format!("{}: {}", account.balance(WalletId(1), at), self.lots(&money, at)).trim_end().to_owned()
            }),
            ["aside", account] => self.account(account, |account, at| {
                let show = |one: &Authorization| {
                    format!("{} {} of {}", one.transaction_id, one.left(), one.captured + one.left())
                };
                let open = account.authorizations().iter().filter(|one| one.is_open(at)).map(show);
                open.collect::<Vec<_>>().join(", ")
            }),
            ["available", account] => {
                self.account(account, |account, at| account.available(WalletId(0), at).to_string())
            }
            ["release" | "reject", original, rest @ ..] => {
                let options = options(rest);
                let id = options.get("id").map_or_else(|| format!("row-{}", self.row), |id| (*id).to_owned());
                let edge = self.edge(options.get("by").copied().unwrap_or("north"));
                let answer = edge.review(&id, original, words[0] == "release");
                self.show(&answer)
            }
            ["restore", account, original, rest @ ..] => {
                let options = options(rest);
                let id = options.get("id").map_or_else(|| format!("row-{}", self.row), |id| (*id).to_owned());
                let edge = self.edge(options.get("by").copied().unwrap_or("north"));
                let until = TimestampNs(self.ledger.clock.now().0 + duration_ns(options["until"]));
                // What died with it is another partner's where another asks.
                let answer = edge.restore(&id, account, ("north", original), until);
                self.show(&answer)
            }
            ["adjust", account, units, rest @ ..] => {
                let options = options(rest);
                let id = options.get("id").map_or_else(|| format!("row-{}", self.row), |id| (*id).to_owned());
                let until = options.get("until").map(|by| TimestampNs(self.ledger.clock.now().0 + duration_ns(by)));
                let units = units.parse().expect("units");
                let wallet = WalletId(options.get("wallet").map_or(0, |wallet| wallet.parse().expect("a wallet")));
                let adjustment = Adjustment { wallet, units, expires_at: until };
                let answer = self.edge(options.get("by").copied().unwrap_or("north")).operate(
                    &id,
                    account,
                    OperatorOrder::Adjust(adjustment),
                );
                self.show(&answer)
            }
            [verb @ ("issue" | "cancel"), account, what, rest @ ..] => {
                let options = options(rest);
                let id = options.get("id").map_or_else(|| format!("row-{}", self.row), |id| (*id).to_owned());
                let edge = self.edge(options.get("by").copied().unwrap_or("north"));
                self.show(&vouchers::operate(&edge, verb, account, what, &id))
            }
            ["vouchers", account] => {
                self.account(account, |account, at| vouchers::listed(account, at, |kind| self.name(kind)))
            }
            ["cards", account] => {
                let program = self.ledger.engine.programs().latest().expect("there is a programme").clone();
                self.account(account, |account, at| stamps::listed(account, &program, at))
            }
            ["held", account] => self.account(account, |account, _| {
                let name = |symbol| self.name(symbol);
                let show = |one: &HeldTransaction| format!("{} {} by {}", one.transaction_id, one.units, name(one.cap));
                account.held().iter().map(show).collect::<Vec<_>>().join(", ")
            }),
            [verb @ ("link" | "unlink"), account, identifier, rest @ ..] => {
                let options = options(rest);
                let id = options.get("id").map_or_else(|| format!("row-{}", self.row), |id| (*id).to_owned());
                let edge = self.edge(options.get("by").copied().unwrap_or("north"));
                let answer = edge.link(account, identifier, *verb == "link", &id);
                self.show(&answer)
            }
            ["who", identifier] => self.edge("north").whose(identifier).map_or("nobody".to_owned(), String::from),
            ["lots", account] => self.account(account, |account, at| self.lots(account, at)),
            ["ends", account] => self.account(account, |account, _| {
                let wallet = account.wallet_totals(WalletId(0));
                let refused = account.totals.refused_redemptions;
                format!("redeemed {} expired {} refused {refused}", wallet.redeemed, wallet.expired)
            }),
            ["owed", account] => self.account(account, |account, _| account.owed(WalletId(0)).to_string()),
            ["balance", account] => self.account(account, |account, at| account.balance(WalletId(0), at).to_string()),
            ["totals", account] => self.account(account, |account, _| {
                let (totals, wallet) = (account.totals, account.wallet_totals(WalletId(0)));
                format!(
                    "baskets {} refused {} reversals {} granted {} reversed {} clipped {}",
                    totals.baskets,
                    totals.refused_baskets,
                    totals.reversals,
                    wallet.granted,
                    wallet.reversed,
                    wallet.clipped
                )
            }),
            ["counter", account, name, rest @ ..] => self.counter(account, name, rest),
            ["used", budget] => {
                let cell = CellId::whole(self.ledger.engine.dictionary.find(budget).expect("the budget has a number"));
                self.ledger.engine.shared.cells.copy().get(&cell).map_or(0, |cell| cell.used).to_string()
            }
            [verb @ ("freeze" | "thaw"), subject] => self.freeze(subject, *verb == "freeze"),
            ["clock", by] => {
                self.ledger.clock.advance(duration_ns(by));
                "moved".to_owned()
            }
            ["publish", name, "in", after] => {
                let (_, source) = self.table.programs.iter().find(|(known, _)| known == name).expect("a programme");
                self.ledger.publish(source, TimestampNs(self.ledger.clock.now().0 + duration_ns(after)));
                "published".to_owned()
            }
            _ => panic!("no such command: {command:?}"),
        }
    }

    /// Freezes or thaws `account:ID`, `till:STORE/TERMINAL` or `cashier:ID`, the latter two of north.
    fn freeze(&self, subject: &str, freezes: bool) -> String {
        let edge = self.edge("north");
        let symbol = |text: &str| edge.symbol(text).expect("there is room for a name");
        let subject = match subject.split_once(':') {
            Some(("account", id)) => Subject::Account(id.into()),
            Some(("till", place)) => {
                let (store, terminal) = place.split_once('/').expect("a store and a terminal");
                Subject::Terminal { partner: edge.partner, store: symbol(store), terminal: symbol(terminal) }
            }
            Some(("cashier", id)) => Subject::Cashier { partner: edge.partner, cashier: symbol(id) },
            _ => panic!("no such subject: {subject:?}"),
        };
        let (by, reason_code, note) = ("desk".into(), "test".into(), Box::default());
        let draft = FreezeDraft { subject, freezes, by, reason_code, note, alone: true };
        match self.ledger.engine.change_freezes(draft, None) {
            Ok(_) => if freezes { "frozen" } else { "thawed" }.to_owned(),
            Err(error) => error.to_string(),
        }
    }

    fn name(&self, symbol: SymbolId) -> String {
        self.ledger.engine.dictionary.text(symbol).expect("a name has a text").to_string()
    }

    fn edge(&self, partner: &str) -> Edge<'_> {
        Edge::new(&self.ledger.engine, partner)
    }

    fn stamp(&self, options: &BTreeMap<&str, &str>) -> Option<TimestampNs> {
        let now = self.ledger.clock.now();
        let stamped = options.get("stamped").map(|by| TimestampNs(now.0 + duration_ns(by)));
        stamped.or(self.table.setup.clock_is_input.then_some(now))
    }

    fn accrue(&self, account: &str, words: &[&str]) -> (Accrue, String) {
        let options = options(words);
        let text = |key: &str, otherwise: String| options.get(key).map_or(otherwise, |text| (*text).to_owned());
        let id = text("id", format!("row-{}", self.row));
        let now = self.ledger.clock.now();
        let accrue = Accrue {
            account: account.to_owned(),
            receipt: text("receipt", id.clone()),
            transaction_id: id,
            store: text("store", "s1".to_owned()),
            terminal: text("terminal", String::new()),
            cashier: text("cashier", String::new()),
            member: text("member", String::new()),
            receipt_at: Some(TimestampNs(now.0 + options.get("printed").map_or(0, |by| duration_ns(by)))),
            lines: words.iter().filter(|word| !word.contains('=')).map(|word| line(word)).collect(),
            vouchers: vouchers::codes(&self.edge("north"), options.get("uses")),
            stamp: self.stamp(&options),
            deadline_ns: options.get("deadline").map(|by| self.ledger.clock.monotonic_ns() + duration_ns(by)),
        };
        (accrue, text("by", "north".to_owned()))
    }

    /// What a command asks that is about nothing but its account.
    fn kind(&self, verb: &str, words: &[&str], options: &BTreeMap<&str, &str>, edge: &Edge<'_>) -> CommandKind {
        let now = self.ledger.clock.now();
        let plain = words.iter().filter(|word| !word.contains('='));
        let symbol = |text: &str| edge.symbol(text).expect("there is room");
        match verb {
            "redeem" => {
                let wallet = WalletId(options.get("wallet").map_or(0, |wallet| wallet.parse().expect("a wallet")));
                let units = words.first().and_then(|units| units.parse().ok()).expect("units");
                CommandKind::Redeem(Redemption { wallet, units, reward: None })
            }
            "authorize" => {
                let wallet = WalletId(options.get("wallet").map_or(0, |wallet| wallet.parse().expect("a wallet")));
                let units = words.first().and_then(|units| units.parse().ok()).expect("units");
                let seconds = options.get("hold").map(|hold| duration_ns(hold) / NS_PER_SECOND);
                let hold_seconds = seconds.map(|seconds| u32::try_from(seconds).expect("a short time"));
                CommandKind::Authorize(SettingAside { wallet, units, hold_seconds })
            }
            "topup" => {
                let wallet = WalletId(options.get("wallet").map_or(1, |wallet| wallet.parse().expect("a wallet")));
                let units = words.first().and_then(|units| units.parse().ok()).expect("units");
                let source = options.get("source").copied().unwrap_or("card-1").into();
                let place = |key| symbol(options.get(key).copied().unwrap_or(""));
                CommandKind::TopUp(TopUp { wallet, units, source, store: place("store"), terminal: place("terminal") })
            }
            "act" => CommandKind::Act(Activity {
                kind: symbol(words.first().expect("a kind of activity")),
                happened_at: TimestampNs(now.0 + options.get("printed").map_or(0, |by| duration_ns(by))),
                channel: symbol(options.get("channel").copied().unwrap_or("")),
            }),
            "enrol" => {
                let birthday = options.get("born").map(|born| birthday(born));
                let listed = |sign| {
                    let names = plain.clone().filter_map(|word| word.strip_prefix(sign)).flat_map(segment_names);
                    let mut symbols: Vec<_> = names.map(|name| symbol(&name)).collect();
                    symbols.sort_unstable();
                    symbols
                };
                CommandKind::Enrol(Enrolment { joins: listed('+'), leaves: listed('-'), birthday })
            }
            _ => {
                let mut lots: Vec<_> = plain.flat_map(|word| lots_of(word, now, &symbol)).collect();
                lots.sort_unstable();
                CommandKind::Load(Loading { lots })
            }
        }
    }

    /// `10 north 36h, 5 south`: units, issuer, and hours until death where there is one.
    fn lots(&self, account: &Account, at: TimestampNs) -> String {
        let show = |lot: &tallystick::ledger::account::Lot| {
            let issuer = self.ledger.engine.dictionary.text(lot.key.issuer).expect("an issuer has a name");
            let hours = (lot.key.expires_at.0.saturating_sub(at.0)) / (3_600 * NS_PER_SECOND);
            let until = if lot.key.expires_at == LotKey::NEVER { String::new() } else { format!(" {hours}h") };
            if lot.key.is_held() {
                return format!("{} {issuer}{until} held", lot.remaining);
            }
            let minute = i64::from(lot.key.available_from_minute) * 60 * NS_PER_SECOND;
            let pending = (minute > at.0).then(|| format!(" pending {}h", (minute - at.0) / (3_600 * NS_PER_SECOND)));
            format!("{} {issuer}{until}{}", lot.remaining, pending.unwrap_or_default())
        };
        let account = account.settled(at);
        account.lots.iter().filter(|lot| lot.key.is_alive(at)).map(show).collect::<Vec<_>>().join(", ")
    }

    fn account(&self, account: &str, show: impl FnOnce(&Account, TimestampNs) -> String) -> String {
        self.edge("north").account(account).map_or("unknown".to_owned(), |view| show(&view.account, view.read_at))
    }

    fn counter(&self, account: &str, name: &str, words: &[&str]) -> String {
        let at = TimestampNs(self.ledger.clock.now().0 + options(words).get("printed").map_or(0, |by| duration_ns(by)));
        let engine = &self.ledger.engine;
        let program = engine.programs().latest().expect("there is a programme").clone();
        let symbol = engine.dictionary.find(name).expect("the counter has a number");
        let cap = program.all_caps().find(|cap| cap.symbol == symbol).map(|cap| cap.window);
        let metric = program.metrics.iter().find(|metric| metric.symbol == symbol).map(|metric| metric.window);
        let period = cap.or(metric).expect("a cap or a metric");
        let period = Periods::at(&program.zone, at).of(period);
        self.account(account, |account, _| account.counter(symbol, period).to_string())
    }

    /// `12`, `12 of 20: daily -8`, `12: of-a-rule used up`, `0 of 5: over visits`, `refused X: field`; with `again` in front when repeated.
    fn show(&mut self, answer: &Answer) -> String {
        let shown = self.show_units(answer);
        let policy = self.ledger.engine.programs().latest().map(|program| program.when_spent);
        if policy == Some(WhenSpent::Negative) && answer.refusal().is_none() && self.leaves_another_balance(answer) {
            return format!("{shown} leaving {}", answer.decision.balance_after);
        }
        shown
    }

    /// Whether the balance is not what was granted alone.
    fn leaves_another_balance(&self, answer: &Answer) -> bool {
        answer.decision.effects.owed.is_some()
    }

    fn show_units(&mut self, answer: &Answer) -> String {
        let again = if answer.replayed { "again " } else { "" };
        let decision = &answer.decision;
        if let Some(refusal) = answer.refusal() {
            self.reached.insert(refusal);
            assert_eq!(answer.position.is_some(), refusal.is_journaled() && decision.account_known, "{refusal:?}");
            let differs = answer.differs.as_ref().map_or(String::new(), |field| format!(": {field}"));
            let can = match decision.refundable {
                0 => String::new(),
                units => format!(", {units} can"),
            };
            return format!("{again}refused {refusal:?}{differs}{can}");
        }
        let name = |symbol| self.name(symbol);
        if !decision.effects.segments.is_empty() {
            let told = |joins| {
                let told = decision.effects.segments.iter().filter(move |(_, joined)| *joined == joins);
                let names: Vec<_> = told.map(|(segment, _)| name(*segment)).collect();
                let count = names.len();
                (count > 0).then(|| if count > 3 { count.to_string() } else { names.join(" ") })
            };
            let joined = told(true).map(|names| format!("joined {names}"));
            let left = told(false).map(|names| format!("left {names}"));
            return format!("{again}{}", joined.into_iter().chain(left).collect::<Vec<_>>().join(", "));
        }
        if let Some(own) = decision.effects.authorizations.as_deref().and_then(|changes| changes.own.as_ref()) {
            return format!("{again}{}", shown(own, decision, answer.posted_at));
        }
        if let Some(change) = decision.effects.identifier.as_deref() {
            return format!("{again}{}", if change.links { "linked" } else { "unlinked" });
        }
        if let Some(birthday) = decision.effects.birthday {
            let born = birthday.map(|birthday| format!("{:02}-{:02}", birthday.month, birthday.day));
            return format!("{again}born {}", born.as_deref().unwrap_or("never"));
        }
        let moved = |movement| {
            let lots = decision.effects.lots.iter().filter(move |lot| lot.movement == movement && lot.delta > 0);
            lots.map(|lot| lot.delta).sum::<i64>()
        };
        if answer.verb == "release" {
            return format!("{again}released {}", moved(Movement::Release));
        }
        if moved(Movement::Unburn) > 0 {
            assert_eq!(moved(Movement::Unburn), decision.granted);
            return format!("{again}{} back", decision.granted);
        }
        if answer.verb == "restore" {
            assert_eq!(moved(Movement::Restore), decision.granted);
            return format!("{again}restored {}", decision.granted);
        }
        if answer.verb == "refund" {
            return format!("{again}{}, {} more can", decision.granted, decision.refundable);
        }
        if matches!(answer.verb, "adjust" | "topup") {
            return format!("{again}{}", decision.granted);
        }
        let held = decision.effects.held.as_deref().and_then(HeldChange::begins_by);
        let held = held.map_or(String::new(), |cap| format!(" held by {}", name(cap)));
        let rewards = self.rewards(answer) + &held + &vouchers::told(decision, name);
        if decision.granted < 0 || (decision.granted == decision.earned && decision.clips.is_empty()) {
            return format!("{again}{}{rewards}", decision.granted);
        }
        let over = decision.over_velocity.map(|cap| format!("over {}", name(cap)));
        let clips = decision.clips.iter().map(|clip| match clip.units {
            0 => format!("{} used up", name(clip.source)),
            units => format!("{} -{units}", name(clip.source)),
        });
        let reasons: Vec<_> = over.into_iter().chain(clips).collect();
        if decision.granted == decision.earned {
            return format!("{again}{}: {}{rewards}", decision.granted, reasons.join(", "));
        }
        format!("{again}{} of {}: {}{rewards}", decision.granted, decision.earned, reasons.join(", "))
    }

    /// ` (review 5) at gold`: the bonuses that were earned, and the level that judged.
    fn rewards(&self, answer: &Answer) -> String {
        let decision = &answer.decision;
        let programs = self.ledger.engine.programs();
        let program =
            programs.iter().find(|known| known.version == decision.program).expect("a decision is of a version");
        let bonus = |award: &tallystick::ledger::decision::BonusAward| {
            format!(" ({} {})", program.bonus(award.bonus).expect("it is the programme's").name, award.units)
        };
        let level = decision.tier.and_then(|standing| program.tiers.as_ref()?.at(standing.level));
        let level = level.map_or(String::new(), |level| format!(" at {}", level.name));
        decision.bonuses.iter().map(bonus).collect::<String>() + &level + &stamps::told(decision, program)
    }
}

/// `aside 5 for 60m`, `captured 3, 2 left`, `captured 3, 2 back`, `2 back`.
fn shown(change: &AuthorizationChange, decision: &Decision, posted_at: TimestampNs) -> String {
    match change {
        AuthorizationChange::Begins(_, ends_at) => {
            let taken = decision.effects.lots.iter().filter(|lot| lot.movement == Movement::SetAside);
            let minutes = (ends_at.0 - posted_at.0) / (60 * NS_PER_SECOND);
            format!("aside {} for {minutes}m", taken.map(|lot| -lot.delta).sum::<i64>())
        }
        AuthorizationChange::Captures { units, rest: 0, .. } => format!("captured {units}"),
        AuthorizationChange::Captures { units, rest, closes, .. } => {
            format!("captured {units}, {rest} {}", if *closes { "back" } else { "left" })
        }
        AuthorizationChange::Voids { rest, .. } => format!("{rest} back"),
    }
}

/// `staff`, or `crowd:0..256` for as many segments.
fn segment_names(word: &str) -> Vec<String> {
    let Some((name, range)) = word.split_once(':') else { return vec![word.to_owned()] };
    let (from, until) = range.split_once("..").expect("a range");
    let number = |text: &str| text.parse::<u32>().expect("a number");
    (number(from)..number(until)).map(|number| format!("{name}-{number}")).collect()
}

/// `02-29`, or `never`.
fn birthday(word: &str) -> Option<MonthDay> {
    let (month, day) = word.split_once('-')?;
    let number = |text: &str| text.parse().expect("a number");
    Some(MonthDay { month: number(month), day: number(day) })
}

/// `50`, `50@2d`, `7/south@1h`, or `1*1024@1h` for so many lots that die one after the other.
fn lots_of(word: &str, now: TimestampNs, symbol: &impl Fn(&str) -> SymbolId) -> Vec<(LotKey, i64)> {
    let (word, dies) = word.split_once('@').map_or((word, None), |(word, dies)| (word, Some(duration_ns(dies))));
    let (word, issuer) = word.split_once('/').unwrap_or((word, "north"));
    let (units, count) = word.split_once('*').unwrap_or((word, "1"));
    let (units, count): (i64, i64) = (units.parse().expect("units"), count.parse().expect("a count"));
    let issuer = symbol(issuer);
    let key = |index: i64| {
        let expires_at = dies.map_or(LotKey::NEVER, |dies| TimestampNs(now.0 + dies + index));
        LotKey {
            wallet: WalletId(0),
            issuer,
            funding_rate_bps: 0,
            available_from_minute: 0,
            inactive_days: 0,
            expires_at,
        }
    };
    (0..count).map(|index| (key(index), units)).collect()
}

fn options<'a>(words: &[&'a str]) -> BTreeMap<&'a str, &'a str> {
    words.iter().filter_map(|word| word.split_once('=')).collect()
}

/// `GROCERY/Private:300`, or `GROCERY/Private:300x3` for so many pieces.
fn line(word: &str) -> LineText {
    let (what, amount) = word.rsplit_once(':').unwrap_or(("", word));
    let (department, brand) = what.split_once('/').unwrap_or((what, ""));
    let (amount, quantity) = amount.split_once('x').unwrap_or((amount, "1"));
    let number = |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("not an amount: {word:?}"));
    let (department, brand) = (department.to_owned(), brand.to_owned());
    LineText { department, brand, quantity: number(quantity), ..LineText::of(number(amount)) }
}

/// `0x2` for two pieces of the first line, `0@500` for an amount of it.
fn returned(word: &str) -> ReturnedLine {
    let number = |text: &str| text.parse::<i64>().unwrap_or_else(|_| panic!("nothing to return: {word:?}"));
    let (line, quantity, amount_minor) = match (word.split_once('x'), word.split_once('@')) {
        (Some((line, quantity)), _) => (line, number(quantity), 0),
        (None, Some((line, amount))) => (line, 0, number(amount)),
        _ => panic!("neither a quantity nor an amount: {word:?}"),
    };
    ReturnedLine { line: line.parse().expect("the place of a line"), quantity, amount_minor }
}

/// `+1d`, `-30m`, `2h`, `-5s`, `-1ns`.
fn duration_ns(text: &str) -> i64 {
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or_else(|| panic!("no unit in {text:?}"));
    let (number, unit) = text.split_at(unit_at);
    let unit_ns = match unit {
        "d" => NS_PER_DAY,
        "h" => 3_600 * NS_PER_SECOND,
        "m" => 60 * NS_PER_SECOND,
        "s" => NS_PER_SECOND,
        "ns" => 1,
        _ => panic!("no such unit: {unit:?}"),
    };
    number.parse::<i64>().unwrap_or_else(|_| panic!("not a number: {text:?}")) * unit_ns
}

/// Makes a test of each table, and a list of all for the last test.
macro_rules! tables {
    ($($name:ident($setup:expr, [$($program:expr),*]) $lines:literal)*) => {
        $(
            #[test]
            fn $name() {
                check(&tables::$name());
            }
        )*
        mod tables {
            use super::*;
            $(
                pub fn $name() -> Table {
                    let programs = vec![$($program),*];
                    Table { programs, setup: $setup, lines: $lines }
                }
            )*
        }
        pub fn all_tables() -> Vec<Table> {
            vec![$(tables::$name()),*]
        }
    };
}

pub(crate) use tables;

pub fn plain() -> (&'static str, String) {
    ("plain", programs::program("", "", ""))
}

pub fn with(earn: &str, more: &str) -> (&'static str, String) {
    ("first", programs::program("", earn, more))
}

pub fn earning(old: &str, new: &str) -> (&'static str, String) {
    ("first", programs::program("", "", "").replacen(old, new, 1))
}

pub fn holding_at_most(balance_max: &str, more: &str) -> String {
    with("", more).1.replacen("[earn]", &format!("balance_max = {balance_max}\n[earn]"), 1)
}

pub const VISITS: &str = "[[caps]]\nname = \"visits\"\nmeasure = \"earning-baskets\"\nwindow = \"day\"\nlimit = 2\n";
pub const DAILY: &str = "[[caps]]\nname = \"daily\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 20\n";
pub const YEARLY: &str = "[[caps]]\nname = \"yearly\"\nmeasure = \"units\"\nwindow = \"year\"\nlimit = 30\n";
pub const OPENING: &str = "[[budgets]]\nname = \"opening\"\nunits = 25\n";
pub const SECOND: &str = "[[budgets]]\nname = \"second\"\nunits = 12\n";
pub const FEBRUARY: &str = "[[budgets]]\nname = \"february\"\nunits = 5\nfrom = 2017-02-01\nuntil = 2017-02-28\n";
