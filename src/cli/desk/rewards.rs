//! What there is to have for points.

use serde_json::{Value, json};

use super::WhoArgs;
use crate::cli::client::{Server, ServerArgs, call, runtime, shown_time};
use crate::cli::error::CliError;
use crate::cli::output::{Output, grouped};
use crate::service::wire::{ListRewardsRequest, RefusalCode, Reward};

#[derive(Debug, clap::Args)]
pub(super) struct RewardsArgs {
    #[command(flatten)]
    who: Option<WhoArgs>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Lists the catalogue.
pub(super) fn list(args: &RewardsArgs, out: &Output) -> Result<(), CliError> {
    let server = Server::new(&args.server)?;
    let (account_id, account_identifier) = args.who.as_ref().map_or_else(Default::default, WhoArgs::to_wire);
    let request = ListRewardsRequest { account_id, account_identifier };
    let listed = runtime()?.block_on(async {
        let answer = server.connect().await?.ledger.list_rewards(call(request)).await;
        answer.map(tonic::Response::into_inner).map_err(|status| server.failure("the rewards", &status))
    })?;
    for reward in &listed.rewards {
        out.line(one_line(reward))?;
    }
    if listed.rewards.is_empty() {
        out.line("the programme has no rewards")?;
    }
    out.object(&json!({
        "program_version": listed.program_version,
        "read_time": shown_time(listed.read_time.as_ref()),
        "rewards": listed.rewards.iter().map(as_json).collect::<Vec<_>>(),
    }))
}

/// `mug: 500 points, 3 left, from gold on; 120 points are missing`.
fn one_line(reward: &Reward) -> String {
    let left = reward.left.map_or_else(String::new, |left| format!(", {} left", grouped(left)));
    let level = if reward.tier.is_empty() { String::new() } else { format!(", from {} on", reward.tier) };
    let obstacles: Vec<String> = reward.obstacles().map(|obstacle| obstacle_of(reward, obstacle)).collect();
    let but = if obstacles.is_empty() { String::new() } else { format!("; {}", obstacles.join(", ")) };
    format!("{}: {} {}{left}{level}{but}", reward.name, grouped(reward.price_points), reward.wallet)
}

fn obstacle_of(reward: &Reward, obstacle: RefusalCode) -> String {
    match obstacle {
        RefusalCode::RewardNotOffered => "not today".to_owned(),
        RefusalCode::RewardTierRequired => "the level is not reached".to_owned(),
        RefusalCode::RewardOutOfStock => "none is left".to_owned(),
        RefusalCode::InsufficientBalance => {
            format!("{} {} are missing", grouped(reward.missing_points), reward.wallet)
        }
        other => other.as_str_name().to_owned(),
    }
}

fn as_json(reward: &Reward) -> Value {
    let date = |date: Option<crate::service::wire::Date>| {
        date.map(|date| format!("{:04}-{:02}-{:02}", date.year, date.month, date.day))
    };
    json!({
        "name": reward.name,
        "wallet": reward.wallet,
        "price_points": reward.price_points,
        "stock": reward.stock,
        "left": reward.left,
        "tier": reward.tier,
        "start_date": date(reward.start_date),
        "end_date": date(reward.end_date),
        "obstacles": reward.obstacles().map(|code| code.as_str_name()).collect::<Vec<_>>(),
        "missing_points": reward.missing_points,
    })
}
