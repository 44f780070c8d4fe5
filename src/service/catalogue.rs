//! Rewards: what there is to have, for whom, and what is missing.
//!
//! What must stay true: this is a look; whether a reward is had, the redemption decides.

use super::answer::code_of;
use super::auth::Caller;
use super::read::{check_account_id, version_number};
use super::sight::Sight;
use super::status::Failure;
use super::{Edge, times, wire};
use crate::ledger::account::Account;
use crate::ledger::decision::Refusal;
use crate::ledger::level_of;
use crate::ledger::program::{Program, Reward};
use crate::ledger::types::{TimestampNs, Units};

impl Edge {
    /// The rewards of the programme in force, for an account or for nobody in particular.
    pub(super) async fn rewards(
        &self,
        caller: &Caller,
        mut request: wire::ListRewardsRequest,
    ) -> Result<wire::ListRewardsResponse, Failure> {
        self.name_account(caller, &mut request.account_id, request.account_identifier.as_ref()).await?;
        self.check_deadline(caller)?;
        let view = if request.account_id.is_empty() {
            None
        } else {
            check_account_id(&request.account_id)?;
            Some(self.seen_account(caller, &request.account_id).await?)
        };
        let read_at = view.as_ref().map_or_else(|| self.engine.read_stamp(), |view| view.read_at);
        let program = self.engine.with_programs(|programs| programs.in_force(read_at).cloned());
        let sight = Sight::of(&caller.principal, program.as_deref(), read_at);
        let read_time = Some(times::timestamp(read_at));
        let Some(program) = &program else {
            return Ok(wire::ListRewardsResponse { read_time, ..Default::default() });
        };
        let account = view.as_ref().map(|view| view.account.settled(read_at));
        let seen = program.rewards.iter().filter(|reward| sight.sees(reward.wallet));
        let mut latest_change = 0;
        let rewards = seen.map(|reward| {
            let stock = reward.stock.map(|stock| (stock, self.engine.shared.cells.seen(reward.cell())));
            latest_change = stock.map_or(latest_change, |(_, (_, change))| change.max(latest_change));
            let left = stock.map(|(stock, (used, _))| (stock - used).max(0));
            wire_reward(reward, left, program, account.as_deref(), read_at)
        });
        let (rewards, program_version) = (rewards.collect(), version_number(program));
        self.is_durable(latest_change).await?;
        Ok(wire::ListRewardsResponse { rewards, program_version, read_time })
    }
}

/// A reward, of which so many are left where its stock is counted.
fn wire_reward(
    reward: &Reward,
    left: Option<Units>,
    program: &Program,
    account: Option<&Account>,
    at: TimestampNs,
) -> wire::Reward {
    let missing = account.map_or(0, |account| missing_units(reward, account, at));
    let lacks_level = account.is_some_and(|account| level_of(account, program, at) < reward.level);
    let obstacles = [
        (Refusal::RewardNotOffered, !reward.is_offered(program.zone.day(at))),
        (Refusal::RewardTierRequired, lacks_level),
        (Refusal::RewardOutOfStock, left == Some(0)),
        (Refusal::InsufficientBalance, missing > 0),
    ];
    let level = program.tiers.as_ref().and_then(|ladder| ladder.at(reward.level));
    let wallet = program.wallets.get(usize::from(reward.wallet.0)).expect("a reward costs units of a wallet");
    wire::Reward {
        name: reward.name.clone(),
        wallet: wallet.name.clone(),
        price_points: reward.price,
        stock: reward.stock,
        left,
        tier: level.map_or_else(String::new, |level| level.name.clone()),
        start_date: reward.from.map(times::date),
        end_date: reward.until.map(times::date),
        obstacles: obstacles.iter().filter(|(_, is_so)| *is_so).map(|(refusal, _)| code_of(*refusal).into()).collect(),
        missing_points: missing,
    }
}

/// What the account can spend less than one costs.
fn missing_units(reward: &Reward, account: &Account, at: TimestampNs) -> Units {
    reward.price.saturating_sub(account.available(reward.wallet, at)).max(0)
}
