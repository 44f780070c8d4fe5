//! Redemptions of rewards, as the edge sends them: the price is that of the programme in force.

use super::edge::{Answer, Edge, Pending};
use tallystick::ledger::command::{CommandKind, Redemption, RewardAsked};
use tallystick::ledger::decision::Refusal;
use tallystick::ledger::types::SymbolId;

impl Edge<'_> {
    /// Redeems so many of a reward, for what it costs or for so many units, and waits for the answer.
    #[track_caller]
    pub fn take(&self, account: &str, id: &str, reward: &str, quantity: i64, stated: Option<i64>) -> Answer {
        self.begin_take(account, id, reward, quantity, stated).wait().expect("the ledger answers")
    }

    /// As [`Edge::take`], without waiting.
    pub fn begin_take(&self, account: &str, id: &str, reward: &str, quantity: i64, stated: Option<i64>) -> Pending {
        let name = self.engine.dictionary.find(reward).unwrap_or(SymbolId::EMPTY);
        let programs = self.engine.programs();
        let found = programs.latest().and_then(|program| program.reward(name).cloned());
        let Some(found) = found else { return Pending::refused(Refusal::RewardUnknown) };
        let units = stated.or(found.cost(quantity)).expect("it is no fortune");
        let asked = RewardAsked { reward: name, quantity, states_units: stated.is_some() };
        let redemption = Redemption { wallet: found.wallet, units, reward: Some(asked) };
        self.begin_send_of(account, "", id, CommandKind::Redeem(redemption))
    }
}
