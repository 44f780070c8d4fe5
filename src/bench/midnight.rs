//! A midnight at which very many lots die at once: what callers see while their expiry is posted.
//!
//! What must stay true: every account holds lots that die at one instant, which lies ahead while they are made; calls
//! come when they are due, before that instant and across it, and are charged from then on; when the sweep began and
//! ended is read from the journal, not guessed.

use std::time::Duration;

use prost::Message;
use prost::bytes::Bytes;

use super::Options;
use super::baskets::Source;
use super::channel::connect;
use super::error::BenchError;
use super::figures::{Figure, Ratio, Report};
use super::pairs::UnaryLoad;
use super::recorder::Measured;
use super::run::runtime;
use super::stream::{Batch, Event, pump};
use super::unary::Pace;
use super::world::{Place, Population, Tell, World};
use crate::access::grant::Role;
use crate::clock::{Clock, SystemClock};
use crate::service::wire;

/// Connections of the open loop.
const CONNECTIONS: usize = 32;
/// Calls a second when nothing is said: far from the peak, so that what is seen is the sweep and not a full machine.
const RATE: u64 = 10_000;
/// Opening balances of one message.
const LOAD_BATCH: u64 = 500;
/// Messages unanswered meanwhile.
const LOAD_IN_FLIGHT: usize = 8;
/// Accounts that are loaded in a second at the least: how far ahead the instant has to lie.
const LOADED_PER_SECOND_MIN: u64 = 5_000;
/// What it lies ahead beyond that.
const AHEAD_MIN: Duration = Duration::from_secs(30);
/// Between the end of the run before and the instant.
const MARGIN: Duration = Duration::from_secs(1);
/// The load across the instant is looked at in pieces of this length, to see whether the sweep is over.
const PIECE: Duration = Duration::from_secs(1);
/// The sweep is waited for in so many pieces.
const PIECES_MAX: usize = 600;
const NS_PER_SECOND: i64 = 1_000_000_000;

/// Measures unary accruals before lots die and while their expiry is posted.
///
/// # Errors
/// When the accounts were not ready in time, a call fails, or the journal does not verify.
pub fn midnight(options: &Options, report: &mut Report, tell: &mut Tell<'_>) -> Result<(), BenchError> {
    let Population { account_count, lot_count, .. } = options.population;
    // Opening balances are for a partner's office to load.
    let place = Place { key: options.place.key.map(|_| Role::BackOffice), ..options.place.clone() };
    let mut world = World::make(&place, Population { lot_count: 1, ..options.population }, tell)?;
    world.ledger.lots_per_account = lot_count + 1;
    let clock = SystemClock::new();
    let ahead = AHEAD_MIN + Duration::from_secs(account_count / LOADED_PER_SECOND_MIN);
    let ahead = options.ahead.unwrap_or(ahead) + options.measure + options.warm_up + MARGIN;
    // A whole second, as a midnight is.
    let dies_at_ns = (clock.now().0 + nanoseconds(ahead)).div_euclid(NS_PER_SECOND) * NS_PER_SECOND;
    let loaded = load(&world, account_count, lot_count, dies_at_ns, tell);
    world.judged(loaded)?;
    world.settle();

    let begins_at_ns = dies_at_ns - nanoseconds(options.measure + options.warm_up + MARGIN);
    let Ok(wait_ns) = u64::try_from(begins_at_ns - clock.now().0) else {
        let message = "the accounts were not ready before their lots died; state a longer time with --ahead";
        return Err(BenchError::Usage(message.to_owned()));
    };
    tell("Midnight: waiting until shortly before it", 0, 0);
    std::thread::sleep(Duration::from_nanos(wait_ns));
    let measured = measure(options, &mut world, dies_at_ns, &clock, tell);
    let (mut figures, ratio) = world.judged(measured)?;
    let verification = world.finish("midnight", &mut figures, tell)?;
    let Some(swept) = verification.expiry.clone() else {
        return Err(BenchError::Call("no expiry was posted".to_owned()));
    };
    let [_, across] = &mut figures;
    for (name, value) in [
        ("lots_that_died", swept.lot_count as f64),
        ("expiry_records", swept.record_count as f64),
        ("seconds_until_the_sweep_began", (swept.first_at_ns - dies_at_ns) as f64 / 1e9),
        ("sweep_seconds", (swept.last_at_ns - swept.first_at_ns) as f64 / 1e9),
    ] {
        across.more.insert(name.to_owned(), value);
    }
    report.results.extend(figures);
    report.ratios.extend(Ratio::of("p99 while lots are swept ÷ before", vec![ratio]));
    report.verifications.push(verification);
    Ok(())
}

/// The figures before the instant and from it on until the sweep is over, and the ratio of their 99th percentiles.
fn measure(
    options: &Options,
    world: &mut World,
    dies_at_ns: i64,
    clock: &SystemClock,
    tell: &mut Tell<'_>,
) -> Result<([Figure; 2], f64), BenchError> {
    let per_second = options.rate.unwrap_or(RATE);
    let pace = Pace::Open { per_second, deadline: options.deadline };
    let lanes = (options.lanes.connections.unwrap_or(CONNECTIONS), 0);
    let mut unary = UnaryLoad::new(options, world, 6);
    tell("Midnight: before", 0, 0);
    let begin = world.end_position()?;
    let before = unary.run(options, world, pace, lanes.0)?;
    let before_ns = before.quantile_ns(0.99);
    let before = options.ledger_figure("midnight-before", before, lanes, world, begin)?;
    if clock.now().0 >= dies_at_ns {
        return Err(BenchError::Usage("the run before reached into the sweep: the machine is too slow".to_owned()));
    }

    let begin = world.end_position()?;
    let piece = Options { measure: PIECE, warm_up: Duration::ZERO, ..options.clone() };
    let mut pieces: Vec<Measured> = Vec::new();
    let mut end = begin;
    for count in 1..=PIECES_MAX {
        tell("Midnight: across it", count as u64, 0);
        let measured = unary.run(&piece, world, pace, lanes.0)?;
        let before_piece = std::mem::replace(&mut end, world.end_position()?);
        // What has a record and was no answer to the load was posted by the sweep, but for a few at the edges.
        let swept = (end - before_piece).saturating_sub(measured.all.accepted_count);
        if clock.now().0 <= dies_at_ns {
            continue;
        }
        let is_over = swept * 20 < measured.all.accepted_count;
        if is_over && !pieces.is_empty() {
            break;
        }
        pieces.push(measured);
    }
    let across = Measured::joined(pieces);
    let ratio = across.quantile_ns(0.99) as f64 / before_ns.max(1) as f64;
    let across = options.ledger_figure("midnight-sweep", across, lanes, world, begin)?;
    let figures = [before, across].map(|figure| Figure { due_per_second: Some(per_second), ..figure });
    Ok((figures, ratio))
}

/// Gives every account so many lots that die at the instant, each of another issuer.
fn load(
    world: &World,
    account_count: u64,
    lot_count: u64,
    dies_at_ns: i64,
    tell: &mut Tell<'_>,
) -> Result<(), BenchError> {
    let expire_time = Some(prost_types::Timestamp { seconds: dies_at_ns.div_euclid(NS_PER_SECOND), nanos: 0 });
    let lot = |issuer: u64| wire::OpeningLot { points: 100, issuer: format!("issuer-{issuer}"), expire_time };
    let lots: Vec<wire::OpeningLot> = (0..lot_count).map(lot).collect();
    let mut next_account = 0;
    let next = || {
        let accounts = next_account..account_count.min(next_account + LOAD_BATCH);
        next_account = accounts.end;
        let command_count = usize::try_from(accounts.end - accounts.start).unwrap_or(0);
        let commands = accounts.map(|account| {
            let request = wire::LoadOpeningBalanceRequest {
                transaction_id: format!("load-{account}"),
                account_id: Source::account_id(account),
                lots: lots.clone(),
                ..wire::LoadOpeningBalanceRequest::default()
            };
            wire::Command { command: Some(wire::command::Command::LoadOpeningBalance(request)) }
        });
        let message = wire::CommandStreamRequest { commands: commands.collect() };
        (command_count > 0).then(|| Batch { bytes: Bytes::from(message.encode_to_vec()), command_count, sent_ns: 0 })
    };
    let (mut done, mut refused) = (0, None);
    runtime()?.block_on(async {
        let channel = connect(&world.server.target).await?;
        pump(channel, LOAD_IN_FLIGHT, next, |event| match event {
            Event::Result(verdict) => refused = refused.or(verdict.kind()),
            Event::Batch { command_count, .. } => {
                done += command_count as u64;
                tell("Midnight: lots that are going to die", done, account_count);
            }
            Event::Message { .. } => {}
        })
        .await
    })?;
    let wrong = |kind| BenchError::Call(format!("an opening balance was refused: {kind}"));
    refused.map_or(Ok(()), |kind| Err(wrong(kind)))
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
