//! `replay`: a recorded run in the cockpit. Nothing here can start anything.

use std::path::Path;

use super::records::{pick, plan_of};
use super::seat::{Seat, StandardInput};
use super::{CliError, Look, Outcome, say, say_error};
use crate::cockpit::CockpitExit;
use crate::core::ids::Who;
use crate::journal::Store;
use crate::plain::printable;
use crate::replay::{Recording, Replay, verify as decide_again};
use crate::text::clean;

/// A runtime with a clock and the terminal's signals, which is all that a replay waits for.
fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::outside(format!("the runtime does not start: {error}")))
}

fn recording(state: &Path, asked: Option<&str>) -> Result<Recording, CliError> {
    let store = Store::open(state)?;
    let reader = store.read_run(&pick(&store, asked)?)?;
    let plan = plan_of(&reader)?;
    Recording::open(reader, plan).map_err(CliError::outside)
}

pub(super) fn show(state: &Path, look: Look, asked: Option<&str>, at: Option<&str>) -> Outcome {
    let recording = recording(state, asked)?;
    let seat = Seat::check(look)?;
    let run = recording.reader().meta().run.clone();
    let mut replay = Replay::new(recording, Who("whoever looks".to_owned()))?;
    if let Some(at) = at {
        replay.go(at).map_err(CliError::usage)?;
    }
    let (exit, replay) =
        runtime()?.block_on(seat.open()?.take(replay, run.short().to_owned(), false, &mut StandardInput::default()))?;
    for note in replay.recording().notes() {
        say(&printable(&format!("run {run}: {}", clean(note)), seat.charset()));
    }
    Ok(match exit {
        CockpitExit::Detached(_) => 5,
        CockpitExit::Faulted(why) => {
            say_error(&why);
            3
        }
        CockpitExit::Ended(_) | CockpitExit::Left => 0,
    })
}

/// Decides everything once more; 1 when something differs or is damaged.
pub(super) fn verify(state: &Path, asked: Option<&str>) -> Outcome {
    let recording = recording(state, asked)?;
    let report = decide_again(&recording)?;
    let run = &recording.reader().meta().run;
    let text: Vec<String> = report.to_string().lines().map(|line| clean(line).into_owned()).collect();
    say(&format!("run {run}: {}", text.join("\n")));
    for note in recording.notes() {
        say(&format!("  {}", clean(note)));
    }
    Ok(u8::from(!report.differences.is_empty() || recording.is_damaged()))
}
