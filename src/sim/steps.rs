//! The steps that the scheduler chooses from.
//!
//! What must stay true: one step does one thing that production's threads could do next; a step that finds nothing to
//! do costs nothing but its turn.

use std::collections::BTreeMap;

use super::clients::{Begun, Verified};
use super::dice::Dice;
use super::edge::{Answer, Told};
use super::facts::{Action, Name, Posting, Request, name_of};
use super::freezes::Frozen;
use super::life::{Life, Simulation};
use super::machine::{Machine, Message, Trouble};
use super::model::Broken;
use super::questions::Question;
use super::rules::{Rules, Window};
use crate::ledger::command::{CommandKind, Redemption};
use crate::ledger::decision::Movement;
use crate::ledger::types::{SymbolId, TimestampNs};
use crate::shard::freezing::FreezeDraft;
use crate::shard::job::Job;
use crate::shard::publishing::Draft;

const NS_PER_SECOND: i64 = 1_000_000_000;

/// How often each kind of step comes, drawn anew for each seed: in one simulation commits are rare, in another
/// snapshots never end.
#[derive(Clone, Debug)]
pub struct Weights([u64; KINDS.len()]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Client,
    Decide,
    Seal,
    Sweep,
    Commit,
    Notice,
    BeginSnapshot,
    SnapshotStep,
    WriteSlices,
    MaintainIds,
    RenewMark,
    Publish,
    Freeze,
    Time,
}

/// Each kind of step with its usual weight.
const KINDS: [(Kind, u64); 14] = [
    (Kind::Client, 30),
    (Kind::Decide, 30),
    (Kind::Seal, 12),
    (Kind::Sweep, 2),
    (Kind::Commit, 10),
    (Kind::Notice, 16),
    (Kind::BeginSnapshot, 1),
    (Kind::SnapshotStep, 10),
    (Kind::WriteSlices, 4),
    (Kind::MaintainIds, 12),
    (Kind::RenewMark, 1),
    (Kind::Publish, 1),
    (Kind::Freeze, 1),
    (Kind::Time, 6),
];

impl Weights {
    /// The usual weights, some of them made small or large. Where baskets are heavy commits are rare, so that one has
    /// several frames.
    pub fn draw(dice: &mut Dice, is_heavy: bool) -> Self {
        Self(KINDS.map(|(kind, weight)| match kind {
            Kind::Commit if is_heavy => 8,
            Kind::Publish | Kind::Freeze => 1 + dice.below(3),
            _ => weight * dice.pick(&[2, 10, 10, 10, 30]),
        }))
    }
}

/// Commands that clients have under way or unanswered at most.
const CALLS_MAX: usize = 120;
/// Versions of the programme that one simulation publishes at most: compiling them takes its time at each start.
const VERSIONS_MAX: usize = 30;

impl Simulation {
    /// Works on the running ledger.
    fn with_life<T>(&mut self, work: impl FnOnce(&mut Self, &mut Life) -> Result<T, Trouble>) -> Result<T, Trouble> {
        let mut life = self.life.take().expect("the ledger runs");
        let outcome = work(self, &mut life);
        self.life = Some(life);
        outcome
    }

    /// One step.
    pub(super) fn act(&mut self) -> Result<(), Trouble> {
        self.now += self.dice.number(0..50_000_000);
        self.monotonic_ns += 1_000;
        let (kind, _) = KINDS[self.dice.weighted(&self.weights.0)];
        match kind {
            Kind::Client => self.client_acts()?,
            Kind::Time => self.time_passes()?,
            Kind::Publish => self.publish()?,
            Kind::Freeze => self.freeze()?,
            _ => self.with_life(|all, life| all.machine_acts(life, kind))?,
        }
        self.with_life(Self::deliver)
    }

    fn machine_acts(&mut self, life: &mut Life, kind: Kind) -> Result<(), Trouble> {
        let worker = self.dice.index(life.machine.worker_count());
        match kind {
            Kind::Decide => {
                for _ in 0..1 + self.dice.below(4) {
                    self.decide(life, worker)?;
                }
                Ok(())
            }
            Kind::Seal => {
                if life.machine.seal(worker) {
                    self.note(|| format!("worker {worker} handed over"));
                }
                Ok(())
            }
            Kind::Sweep => {
                life.machine.sweep(worker, TimestampNs(self.now));
                Ok(())
            }
            Kind::Commit => {
                let count = self.dice.index(life.machine.submitted_count() + 1);
                self.commit(life, count)
            }
            Kind::Notice => self.notice(life, worker),
            Kind::BeginSnapshot => {
                if self.dice.percent(20) && life.machine.begin_snapshot(TimestampNs(self.now)) {
                    self.note(|| "a snapshot began".to_owned());
                }
                Ok(())
            }
            Kind::SnapshotStep => {
                life.machine.snapshot_step(worker);
                Ok(())
            }
            Kind::WriteSlices => {
                if life.machine.write_slices(self.now)? {
                    self.report.snapshot_count += 1;
                    self.note(|| "a snapshot was finished".to_owned());
                }
                Ok(())
            }
            Kind::MaintainIds => {
                for _ in 0..1 + self.dice.below(8) {
                    if !life.machine.maintain_ids()? {
                        break;
                    }
                }
                Ok(())
            }
            Kind::RenewMark => life.machine.renew_mark(),
            Kind::Client | Kind::Publish | Kind::Freeze | Kind::Time => unreachable!("handled by the caller"),
        }
    }

    /// A worker does its next job; afterwards the cells are looked at.
    fn decide(&mut self, life: &mut Life, worker: usize) -> Result<(), Trouble> {
        let Some((call, job)) = life.machine.next_job(worker) else { return Ok(()) };
        let freeze_count = life.machine.shared.freezes.look(|freezes| freezes.changes().len());
        let mut wanted = Vec::new();
        match job {
            Job::Commands(batch) => {
                for job in &batch.jobs {
                    let (call, account) = (job.ticket, job.command.account_id.clone());
                    self.note(|| format!("worker {worker} decides call {call} on {account}"));
                    life.decided.entry(account.into()).or_default().push(call);
                    if let Some((_, begun)) = self.clients.calls.get_mut(&call) {
                        (begun.freeze_count, begun.decided_ns) = (Some(freeze_count), Some(self.monotonic_ns));
                    }
                    if let CommandKind::Redeem(Redemption { reward: Some(asked), .. }) = &job.command.kind {
                        wanted.push((call, asked.reward));
                    }
                }
                if batch.jobs.len() > 1 {
                    self.report.reach("several commands were decided in one batch");
                }
            }
            Job::Quote(_) | Job::Account(_) => {
                if let Some(question) = life.questions.get_mut(&call) {
                    let count = life.decided.get(&question.account).map_or(0, Vec::len);
                    question.decided = Some((count, life.watch.glance()));
                    question.freeze_count = freeze_count;
                }
                self.note(|| format!("worker {worker} looks for call {call}"));
            }
            Job::AccountId(..)
            | Job::Held(_)
            | Job::Count(_)
            | Job::Survey(..)
            | Job::Settle(_)
            | Job::Settled(_)
            | Job::Publish(..)
            | Job::Snapshot(_) => {}
        }
        let dictionary = life.machine.dictionary.clone();
        let (watch, mut seen) = (&mut life.watch, Ok(()));
        life.machine.execute(worker, self.monotonic_ns, |cells| {
            if seen.is_ok() {
                seen = watch.look(cells, &dictionary);
            }
        });
        seen?;
        // What a stock has given, or waits for, only grows while one batch is decided.
        let glance = if wanted.is_empty() || life.watch.is_blind() { BTreeMap::new() } else { life.watch.glance() };
        for (call, reward) in wanted {
            let seen = glance.get(&name_of(&life.machine.dictionary, reward));
            if let Some((_, begun)) = self.clients.calls.get_mut(&call) {
                begun.taken = (!life.watch.is_blind()).then(|| seen.map_or(0, |seen| seen.taken));
            }
        }
        Ok(())
    }

    fn commit(&mut self, life: &mut Life, count: usize) -> Result<(), Trouble> {
        life.machine.commit(count, self.now)?;
        self.report.commit_count += 1;
        self.note(|| format!("{count} chunks were committed"));
        Ok(self.feed(Some(life))?)
    }

    fn notice(&mut self, life: &mut Life, worker: usize) -> Result<(), Trouble> {
        let Some(positions) = life.machine.process_notice(worker) else { return Ok(()) };
        self.note(|| format!("worker {worker} knows that {positions:?} is durable"));
        let postings = &self.model.postings;
        let first = postings.partition_point(|posting| posting.position < positions.start);
        for posting in postings[first..].iter().take_while(|posting| posting.position < positions.end) {
            life.watch.processed(posting);
            // A read may show it before its call is answered, where the answer waits for what it tells of others' commands.
            let decided = life.decided.get(&posting.account).map_or(&[][..], Vec::as_slice);
            let of_it = decided.iter().rev().find(|call| self.clients.is_call_for(**call, posting));
            if let Some(call) = of_it {
                life.recorded.insert(*call, posting.seq);
            }
        }
        Ok(())
    }

    /// Hands messages to the edge and answers to the clients until there are no more.
    fn deliver(&mut self, life: &mut Life) -> Result<(), Trouble> {
        loop {
            if let Some((call, told)) = life.edge.next_told() {
                self.told(life, call, told)?;
            } else if let Some(message) = life.machine.outbox().pop() {
                if let Message::Command(call, job) = &message
                    && job.outcome.seq.0 > 0
                {
                    life.recorded.insert(*call, job.outcome.seq.0);
                }
                if let Message::Woken(_) = &message {
                    self.report.reach("a call waited for a claim");
                }
                life.edge.take(&mut life.machine, message)?;
            } else {
                return Ok(());
            }
        }
    }

    fn told(&mut self, life: &mut Life, call: u64, told: Told) -> Result<(), Trouble> {
        match told {
            Told::Command(answer) => {
                let is_lost = self.dice.percent(4);
                let verified = self.clients.told(call, &answer, &self.model, is_lost)?;
                if is_lost {
                    self.report.reach("an answer was lost");
                }
                if let Answer::Refused { refusal, .. } = &answer {
                    self.report.reach(refusal.sentence());
                }
                let suffix = if is_lost { ", but nobody heard it" } else { "" };
                match &answer {
                    Answer::Done { position, .. } => {
                        self.note(|| format!("call {call} was told {verified:?} at {position:?}{suffix}"));
                    }
                    Answer::Refused { refusal, .. } => {
                        self.note(|| format!("call {call} was refused: {refusal:?}{suffix}"));
                    }
                }
                *match verified {
                    Verified::New => &mut self.report.answer_count,
                    Verified::Again => &mut self.report.repeated_answer_count,
                    Verified::Refused => &mut self.report.refusal_count,
                    Verified::TryAgain => &mut self.report.busy_count,
                } += 1;
            }
            Told::Quote(job) => {
                let question = taken(life, call)?;
                self.report.quote_count += 1;
                question.check_quote(&job, life, &self.model, &mut self.clients)?;
            }
            Told::Account(view) => {
                let question = taken(life, call)?;
                self.report.read_count += 1;
                question.check_read(view.as_deref(), life, &self.model, &mut self.clients)?;
            }
            Told::Overloaded => drop(taken(life, call)?),
        }
        Ok(())
    }

    fn client_acts(&mut self) -> Result<(), Trouble> {
        let known_count = self.clients.known.len();
        let is_busy = self.clients.calls.len() + self.clients.unanswered.len() >= CALLS_MAX;
        let (dice, now) = (&mut self.dice, self.now);
        let kind = if known_count == 0 { 0 } else { dice.below(100) };
        let earlier = if known_count == 0 { 0 } else { known_count - 1 - dice.index(known_count.min(200)) };
        let any = if known_count > 0 && dice.percent(30) { dice.index(known_count) } else { earlier };
        let of = self.clients.known.get(any).map(|known| known.request.clone());
        let request = match (kind, of) {
            (88.., _) => return self.ask(),
            (65..88, _) | (..44, _) if !self.clients.unanswered.is_empty() && (is_busy || kind >= 65) => {
                let unanswered: Vec<usize> = self.clients.unanswered.iter().copied().take(20).collect();
                let index = *self.dice.pick(&unanswered);
                return self.send(index, None);
            }
            _ if is_busy => return Ok(()),
            (56..65, Some(_)) => return self.send(any, None),
            (50..56, Some(of)) => self.traffic.changed(dice, now, &of),
            (44..50, Some(of)) => self.traffic.same_receipt(dice, now, &of),
            (32..40, Some(of)) => self.traffic.reversal(dice, &of),
            (40..44, Some(of)) => self.at_the_till(&of),
            (24..32, Some(of)) => self.at_the_desk(&of),
            (18..24, _) => self.with_vouchers(),
            _ => self.traffic.anything(dice, now),
        };
        let deadline = self.dice.percent(3).then(|| self.monotonic_ns + self.dice.number(0..200_000));
        let index = self.clients.add(request);
        self.send(index, deadline)
    }

    /// What a service desk asks: it knows what is held, and what has died.
    fn at_the_desk(&mut self, of: &Request) -> Request {
        let (dice, now) = (&mut self.dice, self.now);
        let account = self.traffic.account(dice);
        let held = self.model.account(&account).and_then(|account| account.held.keys().next().cloned());
        let postings = &self.model.postings;
        let recent = &postings[postings.len().saturating_sub(400)..];
        let has_died = |posting: &&Posting| posting.verdict.lots.iter().any(|change| change.is(Movement::Expire));
        let dead: Vec<&Posting> = recent.iter().filter(has_died).collect();
        if !dead.is_empty() && dice.percent(40) {
            let one = *dice.pick(&dead);
            return self.traffic.restoration(dice, now, &one.account, one.position);
        }
        match held {
            Some((partner, id)) if dice.percent(90) => self.traffic.review(dice, &partner, &id),
            _ if dice.percent(30) => self.traffic.review(dice, &of.partner, &of.transaction_id),
            _ => self.traffic.anything(dice, now),
        }
    }

    /// What is done with the vouchers of an account, which its member knows; where it has none, an operator may give one.
    fn with_vouchers(&mut self) -> Request {
        let (dice, now) = (&mut self.dice, self.now);
        let account = self.traffic.account(dice);
        let known = self.model.account(&account).map_or_else(Vec::new, |found| found.vouchers.iter().collect());
        let recent = &self.model.postings[self.model.postings.len().saturating_sub(400)..];
        let concerned = |posting: &&Posting| {
            matches!(posting.action, Action::Accrue { .. }) && !posting.verdict.vouchers.is_empty()
        };
        let concerned: Vec<&Posting> = recent.iter().filter(concerned).collect();
        if !concerned.is_empty() && dice.percent(35) {
            let one = *dice.pick(&concerned);
            return self.traffic.whole_reversal(dice, &one.partner, &one.transaction_id);
        }
        if self.model.account(&account).is_none() && dice.percent(90) {
            // Nobody gives anything to somebody unknown.
            return self.traffic.anything(dice, now);
        }
        if known.is_empty() || dice.percent(20) {
            return self.traffic.gift(dice);
        }
        let (_, voucher) = dice.pick(&known);
        let issuer = voucher.issuer.clone();
        let own = known.iter().filter(|(_, voucher)| voucher.issuer == issuer);
        let codes: Vec<_> = own.map(|(code, _)| (*code).clone()).collect();
        let count = if dice.percent(80) { 1 } else { 1 + dice.index(4) };
        let first = dice.index(codes.len());
        let codes = codes.into_iter().skip(first).take(count).collect();
        self.traffic.use_of(dice, now, &account, (&issuer, codes))
    }

    /// Vouchers of an account, for a question; now and then one that nobody has.
    fn codes_of(&mut self, account: &str) -> Vec<Name> {
        let dice = &mut self.dice;
        let known = self.model.account(account).map_or_else(Vec::new, |found| found.vouchers.keys().collect());
        match dice.below(10) {
            0 => vec!["0123456789ABCDEF".into()],
            1..4 if !known.is_empty() => vec![(*dice.pick(&known)).clone()],
            _ => Vec::new(),
        }
    }

    /// What a till does with what is set aside: mostly something of what is open, sometimes of what is over.
    fn at_the_till(&mut self, of: &Request) -> Request {
        let (dice, now) = (&mut self.dice, self.now);
        let account = self.traffic.account(dice);
        let aside = self.model.account(&account).map_or_else(Vec::new, |account| account.aside.iter().collect());
        if !aside.is_empty() && dice.percent(85) {
            let ((partner, id), aside) = *dice.pick(&aside);
            return self.traffic.ending(dice, (partner, id), (aside.wallet, aside.left()));
        }
        let recent = &self.model.postings[self.model.postings.len().saturating_sub(300)..];
        let begun = |posting: &&Posting| matches!(posting.action, Action::Authorize { .. });
        let begun: Vec<&Posting> = recent.iter().filter(begun).collect();
        match (begun.is_empty(), dice.below(10)) {
            (false, 0..6) => {
                let one = *dice.pick(&begun);
                let known = (one.verdict.wallet, 5);
                self.traffic.ending(dice, (&one.partner, &one.transaction_id), known)
            }
            (_, 6) => self.traffic.ending(dice, (&of.partner, &of.transaction_id), (0, 5)),
            _ => self.traffic.anything(dice, now),
        }
    }

    /// A client sends a command, for the first time or again.
    pub(super) fn send(&mut self, index: usize, deadline_ns: Option<i64>) -> Result<(), Trouble> {
        self.with_life(|all, life| {
            let call = all.next_call;
            all.next_call += 1;
            all.report.call_count += 1;
            let clock_is_input = life.machine.identity.clock_is_input;
            let stamp = if clock_is_input { all.now - all.dice.number(0..NS_PER_SECOND) } else { all.now };
            let settled = life.machine.progress.settled().0;
            let begun = Begun {
                settled,
                stamp,
                deadline_ns,
                clock_is_input,
                taken: None,
                latest_freeze: life.machine.latest_freeze,
                freeze_count: None,
                decided_ns: None,
            };
            all.clients.begin(call, index, begun);
            let request = all.clients.known[index].request.clone();
            all.note(|| {
                format!("call {call} asks for command {index}, {} of {}", request.transaction_id, request.partner)
            });
            let keeps_claim = all.dice.percent(50);
            life.edge.command(&mut life.machine, call, request, stamp, deadline_ns, keeps_claim)
        })
    }

    /// A client asks a question.
    fn ask(&mut self) -> Result<(), Trouble> {
        self.with_life(|all, life| {
            let call = all.next_call;
            all.next_call += 1;
            let (account, stamp) = (all.traffic.account(&mut all.dice), all.now);
            let mut quote = all.dice.percent(50).then(|| all.traffic.question(&mut all.dice, stamp));
            if let Some((_, _, Action::Accrue { purchase, .. })) = &mut quote {
                purchase.vouchers = all.codes_of(&account);
            }
            let shown = all.clients.shown.get(&account).copied().unwrap_or(0);
            match &quote {
                Some((partner, member, action)) => {
                    life.edge.quote(&mut life.machine, call, &account, (partner, member, action), stamp);
                }
                None => life.edge.account(&mut life.machine, call, &account, stamp),
            }
            life.questions.insert(call, Question { account, quote, stamp, shown, decided: None, freeze_count: 0 });
            Ok(())
        })
    }

    /// Mostly seconds; now and then a day, and now and then the clock is set back. Months pass where nothing is under way:
    /// no call waits for so long, and one that did would ask for counters that are forgotten. Half of the time they had not
    /// passed at all: the clock was wrong, and is set right later.
    fn time_passes(&mut self) -> Result<(), Trouble> {
        let step = match self.dice.below(200) {
            0 if self.has_leaps && self.dice.percent(10) => {
                self.come_to_rest()?;
                let leap = self.dice.number(0..500 * 86_400) * NS_PER_SECOND;
                self.leapt = if self.leapt == 0 && leap / NS_PER_SECOND % 2 == 0 { leap } else { 0 };
                leap
            }
            2..6 if self.leapt > 0 => {
                self.come_to_rest()?;
                self.note(|| "the clock is set right".to_owned());
                -std::mem::take(&mut self.leapt)
            }
            0 => self.dice.number(0..30 * 3_600) * NS_PER_SECOND,
            1 => -self.dice.number(0..300) * NS_PER_SECOND,
            _ => self.dice.number(0..20 * NS_PER_SECOND),
        };
        self.now += step;
        Ok(())
    }

    fn publish(&mut self) -> Result<(), Trouble> {
        if self.model.versions.len() >= VERSIONS_MAX || !self.dice.percent(10) {
            return Ok(());
        }
        // Now and then hours or days ahead, so that receipts are late across it.
        let ahead_seconds = if self.dice.percent(30) { 40 * 3_600 } else { 20 };
        let effective_at = self.now + self.dice.number(-NS_PER_SECOND..ahead_seconds * NS_PER_SECOND);
        self.publish_at(effective_at)
    }

    fn publish_at(&mut self, effective_at: i64) -> Result<(), Trouble> {
        self.with_life(|all, life| {
            if life.machine.is_publishing() {
                return Ok(());
            }
            let today = super::judge::period(Window::Day, "UTC", all.now);
            // By dice of their own, so that the rest is what it was without them.
            let mut dice = all.dice.clone();
            if !all.model.versions.is_empty() && dice.percent(30) {
                all.late_limit_days = dice.number(0..all.late_limit_days + 1);
            }
            let mut rules = Rules::draw(&mut all.dice, effective_at, all.late_limit_days, all.ladder, today);
            let versions = || all.model.versions.iter().map(|(_, rules)| rules);
            if versions().next_back().is_some_and(|latest| latest.time_zone != rules.time_zone) {
                // Later by as far as receipts may be dated ahead.
                let ahead_seconds = versions().map(|version| version.future_skew_seconds).max();
                rules.effective_at += ahead_seconds.unwrap_or(0) * NS_PER_SECOND;
            }
            let effective_at = rules.effective_at;
            let source = rules.source(all.sources.len() as u64);
            all.sources.insert(source.clone(), rules);
            let is_named = all.dice.percent(60);
            let id = if is_named { format!("pub-{}", all.dice.below(40)) } else { String::new() };
            let partner = if is_named { super::asked::intern(&life.machine, "north") } else { SymbolId::EMPTY };
            let effective = TimestampNs(effective_at);
            let actor = if is_named { "key:0000000000000000".into() } else { Box::default() };
            let transaction_id = id.into();
            let draft = Draft { source, effective_at: effective, partner, transaction_id, actor, confirmed: None };
            let is_begun = life.machine.publish(draft, all.now)?;
            all.note(|| format!("a version for {effective_at} is published: {is_begun}"));
            Ok(())
        })
    }

    /// Somebody freezes something, or thaws what is frozen.
    fn freeze(&mut self) -> Result<(), Trouble> {
        self.with_life(|all, life| {
            if life.machine.is_publishing() || all.model.versions.is_empty() {
                return Ok(());
            }
            if all.dice.percent(40) {
                let change = super::freezes::proposal(&mut all.dice, &life.machine, all.now);
                let is_begun = life.machine.change_proposals(change);
                all.note(|| format!("a proposal is made or rejected: {is_begun}"));
                return Ok(());
            }
            let live = all.model.freezes.live();
            let thaws = !live.is_empty() && all.dice.percent(if live.len() > 2 { 70 } else { 35 });
            let frozen = match thaws {
                true => all.dice.pick(&live).clone(),
                false => Frozen::draw(&mut all.dice, &mut all.traffic, all.now),
            };
            let draft = FreezeDraft {
                subject: frozen.subject(&life.machine),
                freezes: !thaws,
                by: "key:0000000000000000".into(),
                reason_code: "simulated".into(),
                note: Box::default(),
                alone: true,
            };
            let margin_ns = *all.dice.pick(&[0, 1_000_000, NS_PER_SECOND]);
            let confirmed = super::freezes::verdict(&mut all.dice, &life.machine, all.now);
            let is_confirmed = confirmed.is_some();
            let is_begun = life.machine.freeze(draft, all.now, margin_ns, confirmed);
            if is_begun && is_confirmed {
                all.report.reach("a proposal was confirmed");
            }
            all.note(|| format!("{frozen:?} is frozen ({}): {is_begun}", !thaws));
            Ok(())
        })
    }

    /// The first version, which judges since ever or since lately.
    pub(super) fn publish_first(&mut self) -> Result<(), Trouble> {
        let effective_at = if self.dice.percent(50) { i64::MIN } else { self.now - 3_600 * NS_PER_SECOND };
        self.publish_at(effective_at)?;
        self.come_to_rest()
    }

    /// Lets everything that is under way come to its end; nothing new begins.
    pub(super) fn come_to_rest(&mut self) -> Result<(), Trouble> {
        for _ in 0..20_000 {
            self.monotonic_ns += 1_000;
            self.with_life(Self::deliver)?;
            let at_rest = self.with_life(|all, life| {
                // The index refuses claims while it is far behind, so it catches up first.
                while life.machine.maintain_ids()? {}
                if life.machine.is_at_rest() && life.edge.call_count() == 0 {
                    return Ok(true);
                }
                for worker in 0..life.machine.worker_count() {
                    while life.machine.next_job(worker).is_some() {
                        all.decide(life, worker)?;
                    }
                    life.machine.seal(worker);
                }
                let count = life.machine.submitted_count();
                all.commit(life, count)?;
                for worker in 0..life.machine.worker_count() {
                    while life.machine.notice_count(worker) > 0 {
                        all.notice(life, worker)?;
                    }
                }
                Ok(false)
            })?;
            if at_rest {
                return self.with_life(|all, life| {
                    // Questions may have brought strings that no command waits for.
                    all.commit(life, 0)?;
                    Ok(check_rest(&life.machine)?)
                });
            }
        }
        Err(Trouble::Broken("what is under way comes to an end".to_owned()))
    }

    /// A process whose disk has failed may still say what it knew before.
    pub(super) fn last_gasps(&mut self) -> Result<(), Trouble> {
        if self.life.is_none() {
            return Ok(());
        }
        let outcome = self.with_life(|all, life| {
            for _ in 0..all.dice.below(6) {
                let worker = all.dice.index(life.machine.worker_count());
                all.notice(life, worker)?;
            }
            all.deliver(life)
        });
        match outcome {
            Err(Trouble::StoreFailed) => Ok(()),
            other => other,
        }
    }
}

fn taken(life: &mut Life, call: u64) -> Result<Question, Broken> {
    life.questions.remove(&call).ok_or_else(|| format!("question {call} is answered once"))
}

/// Nobody holds or waits for a claim when nothing is under way.
fn check_rest(machine: &Machine) -> Result<(), Broken> {
    let stats = machine.shared.ids.stats();
    if stats.claim_count == 0 && stats.waiter_count == 0 {
        Ok(())
    } else {
        Err(format!("no claims are left when nothing is under way, not {stats:?}"))
    }
}
