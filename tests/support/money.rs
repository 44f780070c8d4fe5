//! Top-ups and their refunds, as the edge sends them: the top-up is found by its id, and what is left of it in the journal.

use super::edge::{Answer, Claimed, Edge, Pending};
use tallystick::ids::Claim;
use tallystick::journal::refunded::refund;
use tallystick::journal::walk::record_at;
use tallystick::ledger::command::{Basket, Command, CommandKind};
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::money::{Refund, TopUp};
use tallystick::ledger::types::WalletId;
use tallystick::recovery::ids_of;

impl Edge<'_> {
    /// Pays money into a wallet and waits for the answer.
    #[track_caller]
    pub fn top_up(&self, account: &str, transaction_id: &str, wallet: u8, units: i64) -> Answer {
        let top_up = TopUp { wallet: WalletId(wallet), units, source: "card-1".into(), ..TopUp::default() };
        self.send(account, transaction_id, CommandKind::TopUp(top_up))
    }

    /// Gives so much of a top-up back, or whatever is left; waits for the answer.
    #[track_caller]
    pub fn refund(&self, transaction_id: &str, original_id: &str, units: Option<i64>) -> Answer {
        let answer = self.begin_refund(transaction_id, original_id, units).wait().expect("the ledger answers");
        Answer { verb: "refund", ..answer }
    }

    /// Sends a basket that names more than an ordinary one, and waits for the answer.
    #[track_caller]
    pub fn send_basket(&self, account: &str, transaction_id: &str, basket: Basket) -> Answer {
        let command = Command {
            account_id: account.into(),
            transaction_id: transaction_id.into(),
            partner: self.partner,
            kind: CommandKind::Accrue(basket),
            ..Command::default()
        };
        let ids = ids_of(&self.engine.hasher, &self.engine.dictionary, &command);
        let pending = match self.claim_transaction(&command, ids.transaction) {
            Claimed::Granted => self.claim_subject_and_submit(command, ids, Refusal::ReceiptAlreadyEarned, None, None),
            Claimed::Answered(answer) => answer,
        };
        pending.wait().expect("the ledger answers")
    }

    /// Asks for it.
    pub fn begin_refund(&self, transaction_id: &str, original_id: &str, units: Option<i64>) -> Pending {
        let engine = self.engine;
        let partner = engine.dictionary.text(self.partner).expect("the partner has a name");
        let asked = |account_id: &str, refund: Refund| Command {
            account_id: account_id.into(),
            transaction_id: transaction_id.into(),
            partner: self.partner,
            kind: CommandKind::Refund(Box::new(refund)),
            ..Command::default()
        };
        let unresolved = asked("", Refund::asked_of(original_id.into(), units));
        let transaction = engine.hasher.transaction(&partner, transaction_id);
        if let Claimed::Answered(answer) = self.claim_transaction(&unresolved, transaction) {
            return answer;
        }
        let refuse = |refusal| {
            engine.shared.ids.release(transaction);
            Pending::refused(refusal)
        };
        let original_key = engine.hasher.transaction(&partner, original_id);
        let Some(found) = engine.shared.ids.lookup(original_key).expect("the index can be read") else {
            return refuse(Refusal::OriginalUnknown);
        };
        let located = record_at(&*engine.journal, &engine.dictionary, found.position).expect("the journal can be read");
        let located = located.expect("an id leads to a record");
        let Some(entry) = located.entry().filter(|entry| entry.top_up().is_some()) else {
            return refuse(Refusal::NotReversible);
        };
        let account_id = self.account_id(located.shard, entry.account);
        let subject = engine.hasher.reversal(&partner, original_id);
        if self.claim_by(subject, |ids| ids.claim_again(subject)) != Claim::Granted {
            return refuse(Refusal::Overloaded);
        }
        let last = engine.shared.ids.lookup(subject).expect("the index can be read").map(|entry| entry.position);
        let found = refund(&*engine.journal, &engine.dictionary, &located, last, units);
        match found.expect("the journal can be read").expect("it is a granted top-up") {
            Ok(refund) => {
                let command = asked(&account_id, refund);
                let ids = ids_of(&engine.hasher, &engine.dictionary, &command);
                self.submit(command, ids, None, None)
            }
            Err(refusal) => {
                engine.shared.ids.release(subject);
                refuse(refusal)
            }
        }
    }
}
