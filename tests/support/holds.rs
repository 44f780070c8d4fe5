//! Captures and voids, as the edge sends them: the authorization is found by its id, and named as its record says.

use super::edge::{Answer, Claimed, Edge};
use tallystick::ledger::command::{AuthorizationOf, Capture, Command, CommandKind};
use tallystick::ledger::decision::Refusal;
use tallystick::recovery::ids_of;

impl Edge<'_> {
    /// Captures so many units of an authorization, perhaps for the last time, or voids it; waits for the answer.
    #[track_caller]
    pub fn end(&self, transaction_id: &str, authorization_id: &str, captures: Option<(i64, bool)>) -> Answer {
        let engine = self.engine;
        let asked = |account_id: &str, of: AuthorizationOf| Command {
            account_id: account_id.into(),
            transaction_id: transaction_id.into(),
            partner: self.partner,
            kind: match captures {
                Some((units, is_final)) => CommandKind::Capture(Capture { of, units, is_final }),
                None => CommandKind::Void(of),
            },
            ..Command::default()
        };
        let of = AuthorizationOf { transaction_id: authorization_id.into(), ..AuthorizationOf::default() };
        let unresolved = asked("", of);
        let partner = engine.dictionary.text(self.partner).expect("the partner has a name");
        let transaction = engine.hasher.transaction(&partner, transaction_id);
        if let Claimed::Answered(answer) = self.claim_transaction(&unresolved, transaction) {
            return answer.wait().expect("the ledger answers");
        }
        let found = self.find(self.partner, authorization_id);
        let Some((shard, entry, of)) =
            found.and_then(|(shard, position, entry)| Some((shard, entry.account, entry.authorization(position)?)))
        else {
            engine.shared.ids.release(transaction);
            return Answer::refused(Refusal::AuthorizationUnknown);
        };
        let command = asked(&self.account_id(shard, entry), of);
        let ids = ids_of(&engine.hasher, &engine.dictionary, &command);
        self.submit(command, ids, None, None).wait().expect("the ledger answers")
    }
}
