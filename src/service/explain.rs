//! Why a transaction was decided as it was, in words.
//!
//! What must stay true: everything said is read from what the same caller is told of the transaction; the words are those of
//! the version that judged it.

use std::sync::{Arc, Mutex, PoisonError};

use super::auth::Caller;
use super::fields::{Fields, Path};
use super::status::Failure;
use super::{Edge, wire};
use crate::ledger::decision::Refusal;
use crate::ledger::types::ProgramVersion;
use crate::limits;
use crate::program::words::{Sentence, Speaker, Words, decimals};
use crate::service::wire::TransactionKind;
use crate::shard::engine::Engine;

impl Edge {
    /// A transaction of the caller's partner in words.
    pub(super) async fn explain(
        self: &Arc<Self>,
        caller: &Caller,
        request: wire::ExplainTransactionRequest,
    ) -> Result<wire::ExplainTransactionResponse, Failure> {
        let wire::ExplainTransactionRequest { transaction_id, language } = request;
        let mut fields = Fields::default();
        fields.text(Path::Field("transaction_id"), &transaction_id, 1, limits::TRANSACTION_ID_BYTES_MAX);
        fields.text(Path::Field("language"), &language, 0, limits::LANGUAGE_TAG_BYTES_MAX);
        fields.finish()?;
        let asked = wire::GetTransactionRequest { transaction_id };
        let transaction = self.transaction(caller, asked).await?;
        let book = self.words.clone();
        self.blocking(move |engine| {
            let version = transaction.decision.as_ref().map_or(0, |decision| decision.program_version);
            let version = u32::try_from(version).ok().filter(|version| *version > 0).map(ProgramVersion);
            let words = version.and_then(|version| book.words(engine, version)).unwrap_or_default();
            let speaker = words.speak(&language);
            let sentences = Telling { words: &words, speaker, transaction: &transaction, told: Vec::new() }.tell();
            let language = speaker.tag().to_owned();
            Ok(wire::ExplainTransactionResponse { transaction_id: transaction.transaction_id, language, sentences })
        })
        .await
    }
}

/// The words of the versions that were asked for last, the latest at the end.
#[derive(Debug, Default)]
pub(super) struct Wordbook(Mutex<Vec<(ProgramVersion, Arc<Words>)>>);

impl Wordbook {
    /// The words of a version; `None` if there is no such version.
    fn words(&self, engine: &Engine, version: ProgramVersion) -> Option<Arc<Words>> {
        if let Some(words) = self.kept(version) {
            return Some(words);
        }
        // Read without the lock: whoever asks for another version does not wait for it.
        let index = usize::try_from(version.0).ok()?.checked_sub(1)?;
        let source = engine.with_publications(|all| all.get(index).map(|(_, one)| one.source.clone()))?;
        let words = Arc::new(Words::of(&source));
        self.keep(version, words.clone());
        Some(words)
    }

    fn kept(&self, version: ProgramVersion) -> Option<Arc<Words>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = all.iter().position(|(kept, _)| *kept == version)?;
        let found = all.remove(index);
        let words = found.1.clone();
        all.push(found);
        Some(words)
    }

    fn keep(&self, version: ProgramVersion, words: Arc<Words>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(kept, _)| *kept != version);
        if all.len() == limits::WORDBOOK_VERSIONS_MAX {
            all.remove(0);
        }
        all.push((version, words));
    }
}

/// A transaction that is being told.
struct Telling<'a> {
    words: &'a Words,
    speaker: Speaker<'a>,
    transaction: &'a wire::Transaction,
    told: Vec<String>,
}

impl Telling<'_> {
    fn say(&mut self, sentence: Sentence, filled: &[(&str, String)]) {
        self.told.push(self.speaker.say(sentence, filled));
    }

    fn name(&self, name: &str) -> String {
        self.speaker.name(name)
    }

    fn tell(mut self) -> Vec<String> {
        let Some(decision) = &self.transaction.decision else { return self.told };
        if let Some(refusal) = &decision.refusal {
            let ground = Refusal::ALL.into_iter().find(|ground| i32::from(ground.number()) == refusal.code);
            let reason = ground.map_or_else(|| refusal.message.clone(), |ground| self.speaker.refusal(ground));
            self.say(Sentence::Refused, &[("reason", reason)]);
            return self.told;
        }
        self.tell_outcome(decision);
        self.tell_lines(decision);
        self.tell_bounds(decision);
        self.tell_standing(decision);
        self.told
    }

    /// What happened.
    fn tell_outcome(&mut self, decision: &wire::Decision) {
        let units = |units: i64| ("points", self.words.units(&decision.wallet, units));
        let wallet = ("wallet", self.name(&decision.wallet));
        let original = ("original", self.transaction.original_transaction_id.clone());
        let program = ("program", self.words.program.clone());
        let version = ("version", decision.program_version.to_string());
        match self.transaction.kind() {
            TransactionKind::Accrual | TransactionKind::Activity if decision.granted_points > 0 => {
                self.say(Sentence::Earned, &[units(decision.granted_points), wallet, program, version]);
            }
            TransactionKind::Accrual | TransactionKind::Activity => {
                self.say(Sentence::EarnedNothing, &[wallet, program, version]);
            }
            TransactionKind::Redemption if !self.transaction.reward.is_empty() => {
                let count = ("count", self.transaction.reward_quantity.to_string());
                let reward = ("reward", self.name(&self.transaction.reward));
                self.say(Sentence::Rewarded, &[units(decision.redeemed_points), wallet, count, reward]);
            }
            TransactionKind::Redemption => {
                self.say(Sentence::Redeemed, &[units(decision.redeemed_points), wallet]);
            }
            TransactionKind::Authorization => {
                self.say(Sentence::Authorized, &[units(decision.authorized_points), wallet]);
            }
            TransactionKind::Capture => {
                self.say(Sentence::Captured, &[units(decision.redeemed_points), wallet, original]);
            }
            TransactionKind::Void => {
                self.say(Sentence::Voided, &[units(decision.returned_points), wallet, original]);
            }
            TransactionKind::Reversal if decision.returned_points > 0 => {
                self.say(Sentence::Unburned, &[units(decision.returned_points), wallet, original]);
            }
            TransactionKind::TopUp => {
                let source = ("source", self.transaction.top_up_source.clone());
                self.say(Sentence::ToppedUp, &[units(decision.granted_points), wallet, source]);
            }
            TransactionKind::Reversal if !decision.refund_source.is_empty() => {
                let source = ("source", decision.refund_source.clone());
                self.say(Sentence::Refunded, &[units(decision.reversed_points), wallet, original, source]);
            }
            TransactionKind::Reversal => {
                self.say(Sentence::Reversed, &[units(decision.reversed_points), wallet, original]);
            }
            TransactionKind::Release => {
                self.say(Sentence::Released, &[units(decision.released_points), wallet, original]);
            }
            TransactionKind::Rejection => {
                self.say(Sentence::Rejected, &[units(decision.reversed_points), wallet, original]);
            }
            TransactionKind::Restoration => {
                self.say(Sentence::Restored, &[units(decision.restored_points), wallet]);
            }
            TransactionKind::Adjustment => {
                let remark = self.transaction.remark.as_ref();
                let reason = remark.map_or_else(String::new, |remark| self.name(&remark.reason_code));
                self.say(Sentence::Adjusted, &[units(self.transaction.adjustment_points), wallet, ("reason", reason)]);
            }
            TransactionKind::OpeningBalance => {
                self.say(Sentence::Loaded, &[units(decision.granted_points), wallet]);
            }
            TransactionKind::Enrolment | TransactionKind::Identifier => self.say(Sentence::Changed, &[]),
            // The vouchers themselves are told.
            TransactionKind::Voucher | TransactionKind::VoucherCancellation => {}
            TransactionKind::Expiry | TransactionKind::Unspecified => {}
        }
        self.tell_debts(decision);
        self.tell_vouchers(decision);
        self.tell_expiry(decision);
    }

    /// What had died of age, wallet by wallet.
    fn tell_expiry(&mut self, decision: &wire::Decision) {
        let own = (decision.expired_points > 0).then_some((&decision.wallet, decision.expired_points));
        let others = decision.expired_in_other_wallets.iter().map(|expired| (&expired.wallet, expired.points));
        for (wallet, units) in own.into_iter().chain(others) {
            let points = ("points", self.words.units(wallet, units));
            self.say(Sentence::Expired, &[points, ("wallet", self.name(wallet))]);
        }
    }

    /// What becomes of vouchers.
    fn tell_vouchers(&mut self, decision: &wire::Decision) {
        for note in &decision.vouchers {
            let code = ("code", note.voucher_code.clone());
            match note.event() {
                wire::VoucherEvent::Given => {
                    let voucher = ("voucher", self.name(&note.voucher));
                    self.say(Sentence::VoucherGiven, &[voucher, code]);
                }
                wire::VoucherEvent::Used => self.say(Sentence::VoucherUsed, &[code]),
                wire::VoucherEvent::GivenBack => self.say(Sentence::VoucherGivenBack, &[code]),
                wire::VoucherEvent::Cancelled => self.say(Sentence::VoucherCancelled, &[code]),
                wire::VoucherEvent::Kept => self.say(Sentence::VoucherKept, &[code]),
                wire::VoucherEvent::Unspecified => {}
            }
        }
    }

    /// What is owed from now on, and what of it was collected.
    fn tell_debts(&mut self, decision: &wire::Decision) {
        for (sentence, units) in
            [(Sentence::Owed, decision.owed_points), (Sentence::Collected, decision.collected_points)]
        {
            if units > 0 {
                let points = ("points", self.words.units(&decision.wallet, units));
                self.say(sentence, &[points, ("wallet", self.name(&decision.wallet))]);
            }
        }
    }

    /// What each line came to, the level by which it was judged, bonuses, and stamp cards.
    fn tell_lines(&mut self, decision: &wire::Decision) {
        let scale = self.words.scale(&decision.wallet);
        for line in &decision.line_decisions {
            let number = ("line", (i64::from(line.line_index) + 1).to_string());
            let points = ("points", decimals(i128::from(line.exact_micropoints), 6 + scale, scale));
            let rules = [&line.rule].into_iter().filter(|rule| !rule.is_empty()).chain(&line.further_rules);
            let rules: Vec<String> = rules.map(|rule| self.name(rule)).collect();
            if !line.eligible {
                self.say(Sentence::LineExcluded, &[number]);
            } else if rules.is_empty() {
                self.say(Sentence::Line, &[number, points]);
            } else {
                let multiplier = decimals(i128::from(line.multiplier_bps), 4, 0);
                let filled = [number, points, ("rule", rules.join(" + ")), ("multiplier", multiplier)];
                self.say(Sentence::LineByRule, &filled);
            }
        }
        let level = decision.tier.as_ref().map_or("", |tier| tier.level.as_str());
        if !level.is_empty() && !decision.line_decisions.is_empty() {
            self.say(Sentence::Level, &[("level", self.name(level))]);
        }
        for award in decision.bonuses.iter().filter(|award| award.points > 0) {
            let points = ("points", self.words.units(&decision.wallet, award.points));
            self.say(Sentence::Bonus, &[points, ("bonus", self.name(&award.name))]);
        }
        for outcome in &decision.stamps {
            let card = ("stamp_card", self.name(&outcome.name));
            let number = |place, number: i64| (place, number.to_string());
            let (stamps, on_card) = (number("stamps", outcome.counted), number("on_card", outcome.on_card));
            let size = number("size", i64::from(outcome.card_size));
            self.say(Sentence::Stamped, &[stamps, card.clone(), on_card, size]);
            if outcome.rewards > 0 {
                self.say(Sentence::CardFull, &[card, number("count", outcome.rewards)]);
            }
        }
    }

    /// What was withheld, denied or held.
    fn tell_bounds(&mut self, decision: &wire::Decision) {
        for clip in &decision.clips {
            let points = ("points", self.words.units(&decision.wallet, clip.clipped_points));
            let name = self.name(&clip.name);
            if clip.source() == wire::ClipSource::Budget {
                self.say(Sentence::OverBudget, &[points, ("budget", name)]);
            } else if clip.clipped_points == 0 {
                self.say(Sentence::RuleCapped, &[("cap", name), ("rule", self.name(&clip.rule))]);
            } else {
                self.say(Sentence::Capped, &[points, ("cap", name)]);
            }
        }
        if let Some(denial) = &decision.velocity_denial {
            let (cap, period) = (self.name(&denial.cap), denial.period.clone());
            let limit = denial.limit_count.to_string();
            self.say(Sentence::Denied, &[("cap", cap), ("period", period), ("limit", limit)]);
        }
        if let Some(held) = &decision.held_for_review {
            self.say(Sentence::Held, &[("cap", self.name(&held.cap))]);
        }
    }

    /// How the account stands afterwards.
    fn tell_standing(&mut self, decision: &wire::Decision) {
        if let Some(tier) = &decision.tier {
            if tier.next_level.is_empty() {
                self.say(Sentence::HighestLevel, &[("level", self.name(&tier.reached_level))]);
            } else {
                let (metric, level) = (self.name(&self.words.metric), self.name(&tier.next_level));
                let missing = tier.missing_value.to_string();
                self.say(Sentence::NextLevel, &[("missing", missing), ("metric", metric), ("level", level)]);
            }
        }
        if !decision.wallet.is_empty() {
            let points = ("points", self.words.units(&decision.wallet, decision.balance_points));
            self.say(Sentence::Balance, &[points, ("wallet", self.name(&decision.wallet))]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_that_were_asked_for_last_are_kept() {
        let book = Wordbook::default();
        let most = u32::try_from(limits::WORDBOOK_VERSIONS_MAX).unwrap();
        (1..=most).for_each(|version| book.keep(ProgramVersion(version), Arc::default()));
        assert!(book.kept(ProgramVersion(1)).is_some());
        book.keep(ProgramVersion(most + 1), Arc::default());
        assert!(book.kept(ProgramVersion(2)).is_none(), "the one that nobody asked for the longest");
        assert!(book.kept(ProgramVersion(1)).is_some() && book.kept(ProgramVersion(most + 1)).is_some());
        book.keep(ProgramVersion(1), Arc::default());
        assert_eq!(book.0.lock().unwrap().len(), limits::WORDBOOK_VERSIONS_MAX);
    }
}
