//! `tallystick demo`: starts the shipped server, plays a morning in a coffee shop over gRPC, kills and restarts the
//! server on the way, and verifies the journal it wrote.
//!
//! What must stay true: it ends with success only if every scene had the outcome that it must have; it leaves nothing
//! behind unless it is asked to or something went wrong, and a signal that ends it is nothing of the kind.

mod process;
mod scenes;
mod script;
mod till;

use std::path::PathBuf;

use serde_json::json;

use self::process::Place;
use self::script::Script;
use super::audit::{MEMORY_MIB_DEFAULT, verify_directory};
use super::error::{CliError, Exit};
use super::output::{Output, Style, counted};
use crate::bench::leavings;
use crate::clock::{Clock, SystemClock};

/// Plays a morning in a coffee shop on a server of its own, and prints what happened
///
/// The server is killed and started again on the way, and its journal is verified in the end. The exit status is 0
/// only if everything came out as it must.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Keep the data directory
    #[arg(long)]
    keep: bool,
    /// Make the data directory in this folder, not among the temporary files
    #[arg(long, value_name = "FOLDER")]
    within: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When the server does not run, or a scene did not come out as it must.
pub fn run(args: DemoArgs, out: &Output) -> Result<(), CliError> {
    let clock = SystemClock::new();
    leavings::watch()?;
    let place = Place::make(args.within.as_deref(), args.keep)?;
    let mut script = Script::new(*out);
    out.line(out.paint(
        Style::Bold,
        "A morning in the coffee shop: Monday, 1 June 2026, Vienna, the first day of the opening week",
    ))?;
    out.line(format_args!(
        "Everything below goes over gRPC to a server of its own; its data is in {}.",
        place.data.display()
    ))?;
    let played = scenes::play(&mut script, &place).and_then(|()| verify(&mut script, &place, out));
    let failed_count = script.failed_count();
    let is_good = played.is_ok() && failed_count == 0;
    let is_kept = args.keep || !is_good;
    if !is_kept {
        std::fs::remove_dir_all(&place.folder)
            .map_err(|error| CliError::file(Exit::InputOutput, "removing", &place.folder, &error))?;
    }
    out.line("")?;
    if let Err(error) = played {
        return Err(error.hint(format!("everything is kept in {}", place.folder.display())));
    }
    let scene_count = u64::try_from(script.scenes().len()).unwrap_or(u64::MAX);
    let verdict = match failed_count {
        0 => out.paint(Style::Good, "all as expected"),
        count => out.paint(Style::Bad, &format!("{count} not as expected")),
    };
    let elapsed_ms = clock.monotonic_ns() / 1_000_000;
    out.line(format_args!(
        "{}, {verdict}, in {}.{} s. {} {}",
        counted(scene_count, "scene", "scenes"),
        elapsed_ms / 1_000,
        elapsed_ms % 1_000 / 100,
        if is_kept { "Kept:" } else { "Removed:" },
        place.folder.display(),
    ))?;
    if is_kept {
        out.line(format_args!("Look at it with: tallystick serve --data {}", place.data.display()))?;
    }
    out.object(&json!({
        "ok": is_good,
        "scene_count": scene_count,
        "failed_count": failed_count,
        "scenes": script.scenes(),
        "data_path": is_kept.then(|| place.data.display().to_string()),
        "elapsed_ms": elapsed_ms,
    }))?;
    if is_good { Ok(()) } else { Err(CliError::reported(Exit::Problems)) }
}

/// The last scene: the journal is replayed from empty, and every decision is made again.
fn verify(script: &mut Script, place: &Place, out: &Output) -> Result<(), CliError> {
    script.scene("The journal is verified from its first byte: every decision is made again.")?;
    let report = verify_directory(&place.data, MEMORY_MIB_DEFAULT, out)?;
    for line in super::audit::in_words(&report) {
        script.say(line)?;
    }
    script.expect("the journal is intact", report.intact, true)
}
