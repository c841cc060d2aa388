//! What is printed when a cockpit has been left: the state of the run, and what can be done next.

use std::collections::BTreeMap;
use std::path::Path;

use super::say;
use crate::cockpit::CockpitExit;
use crate::core::fact::Mode;
use crate::core::ids::{StepId, TargetId};
use crate::core::silent_alarms::{SilentAlarm, still_silent};
use crate::core::time::Span;
use crate::driver::Engine;
use crate::journal::{RunId, state_dir};
use crate::plain::printable;
use crate::term::Charset;
use crate::text;
use crate::words;
use crate::world::World;

/// Number of digits of the chain's head that are enough to notice a cut-off end.
const HEAD: usize = 16;

/// On narrower terminals nothing is wrapped.
const NARROWEST: usize = 20;

/// Prints the state of the run and how to go on.
pub(super) fn last_word<W: World>(exit: &CockpitExit, engine: &Engine<W>, id: &RunId, state: &Path, charset: Charset) {
    let tell = |text: &str| tell(text, charset);
    let run = engine.run();
    let settled = engine.plan().steps.iter().filter(|step| run.is_settled(&step.id)).count();
    let of = engine.plan().steps.len();
    let run_name = id.short();
    let on = match run.mode {
        Some(Mode::Rehearsal) => "; a rehearsal ends with its cockpit".to_owned(),
        // Whether the lab can still be resumed is printed by the lab command.
        Some(Mode::Lab) => String::new(),
        _ => format!("; go on with: {} resume {run_name}", program(state)),
    };
    let how = match exit {
        CockpitExit::Ended(_) => words::run_state(engine.plan(), run),
        CockpitExit::Left => format!("left at {settled} of {of} steps{on}"),
        CockpitExit::Detached(why) => format!("detached ({why}) at {settled} of {of} steps{on}"),
        CockpitExit::Faulted(why) => format!("the journal failed: {why}"),
    };
    tell(&format!("run {id}: {how}"));
    if matches!(exit, CockpitExit::Faulted(_)) {
        tell(&format!("what is on disk can be read with: {} log {run_name}", program(state)));
    }
    if let Some(value) = &run.customers {
        let number = |path: &str| value.at(path).map_or_else(|| "?".to_owned(), ToString::to_string);
        let read = run.customers_at.map_or_else(String::new, |at| format!(" (as of {} UTC)", words::utc(at)));
        tell(&format!(
            "customers: {} requests, {} acknowledged, {} failed, longest pause {} ms{read}",
            number("requests"),
            number("acknowledged"),
            number("failed"),
            number("longest_pause_ms")
        ));
    }
    let paused = run.writes.so_far(engine.now());
    if paused > Span::ZERO {
        tell(&format!("writes were paused for {paused}"));
    }
    let mut silent: BTreeMap<(TargetId, StepId), Vec<String>> = BTreeMap::new();
    for SilentAlarm { target, alarm, by } in still_silent(engine.plan(), run) {
        silent.entry((target, by)).or_default().push(alarm);
    }
    for ((target, by), alarms) in silent.into_iter().filter(|_| run.mode != Some(Mode::Rehearsal)) {
        tell(&format!(
            "ALARMS STILL SILENT: {} in `{target}`, by {}; only `aws cloudwatch enable-alarm-actions --alarm-names …` or the step that \
             ends the silence wakes them",
            alarms.join(", "),
            engine.plan().named(&by)
        ));
    }
    let unkept = engine.view().samples_dropped();
    if unkept > 0 {
        let failed = matches!(exit, CockpitExit::Faulted(_));
        let why = if failed { "the journal had failed" } else { "the disk was too slow for them" };
        tell(&format!("{}: {why}", words::unkept(unkept)));
    }
}

/// The command line that runs this program with this state directory.
pub(super) fn program(state: &Path) -> String {
    if state_dir(None).is_ok_and(|usual| usual == state) {
        "gonogo".to_owned()
    } else {
        format!("gonogo --state-dir {}", quoted(&state.display().to_string()))
    }
}

/// The commands that show a run again, each with its purpose.
pub(super) fn looks(state: &Path, id: &RunId) -> Vec<(&'static str, String)> {
    let (program, name) = (program(state), id.short());
    vec![("look at it again", format!("{program} replay {name}")), ("whole log", format!("{program} log {name}"))]
}

/// The commands for the record of a run.
pub(super) fn ways<W: World>(state: &Path, engine: &Engine<W>, id: &RunId) -> Vec<(&'static str, String)> {
    let mut ways = looks(state, id);
    if let Some(head) = engine.head() {
        let head: String = head.to_string().chars().take(HEAD).collect();
        ways.push(("is it unchanged", format!("{} verify {} --head {head}", program(state), id.short())));
    }
    ways
}

/// Prints the commands, one a line. They are not wrapped, so that they can be copied.
pub(super) fn say_ways(ways: &[(&'static str, String)], charset: Charset) {
    let widest = ways.iter().map(|(what, _)| what.len() + 1).max().unwrap_or(0);
    for (what, command) in ways {
        say(&printable(&format!("{:<widest$} {command}", format!("{what}:")), charset));
    }
}

/// Prints a line, wrapped to the terminal where there is one.
pub(super) fn tell(line: &str, charset: Charset) {
    let line = printable(line, charset);
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    match size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns >= NARROWEST) {
        Some(columns) => wrapped(&line, columns).iter().for_each(|line| say(line)),
        None => say(&line),
    }
}

/// Quotes a word for a shell where that is needed.
pub(super) fn quoted(word: &str) -> String {
    let plain = |ch: char| ch.is_ascii_alphanumeric() || "_-./:=@%+,".contains(ch);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Breaks a clean line at words and indents the continuation. A number and its unit stay together.
fn wrapped(line: &str, columns: usize) -> Vec<String> {
    let indent = line.len() - line.trim_start().len();
    let hang = if line.starts_with("T+") { 8 } else { indent + 2 }.min(columns / 2);
    let mut lines: Vec<String> = Vec::new();
    let mut now = " ".repeat(indent);
    let mut empty = true;
    for word in words_of(line.trim_start()) {
        if !empty && text::width(&now) + 1 + text::width(&word) > columns {
            lines.push(std::mem::replace(&mut now, " ".repeat(hang)));
            empty = true;
        }
        if !empty {
            now.push(' ');
        }
        let room = columns.saturating_sub(text::width(&now)).max(1);
        if text::width(&word) <= room {
            now.push_str(&word);
        } else {
            // The word is longer than a line, so it must be broken.
            let mut pieces = text::wrap(&word, room.min(columns - hang)).into_iter();
            now.push_str(&pieces.next().unwrap_or_default());
            for piece in pieces {
                lines.push(std::mem::replace(&mut now, " ".repeat(hang)));
                now.push_str(&piece);
            }
        }
        empty = false;
    }
    lines.push(now);
    lines
}

/// The parts that must not be broken: words, numbers with their units, and runs of spaces.
fn words_of(line: &str) -> Vec<String> {
    const UNITS: [&str; 9] = ["ms", "s", "%", "B", "KiB", "MiB", "GiB", "TiB", "rows"];
    let mut found: Vec<String> = Vec::new();
    let mut spaces = false;
    for piece in line.split(' ') {
        let bare = piece.trim_end_matches([')', ',', ';', ':', '.']);
        match found.last_mut() {
            Some(last) if piece.is_empty() => {
                last.push(' ');
                spaces = true;
            }
            Some(last) if spaces || UNITS.contains(&bare) && last.ends_with(|ch: char| ch.is_ascii_digit()) => {
                last.push(' ');
                last.push_str(piece);
                spaces = false;
            }
            _ => found.push(piece.to_owned()),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_words_and_never_between_a_number_and_its_unit() {
        let line = "      held back 13 Switch the database for 428 ms: lag.seconds = 23.9 s)";
        assert_eq!(
            wrapped(line, 46),
            ["      held back 13 Switch the database for", "        428 ms: lag.seconds = 23.9 s)"]
        );
        assert_eq!(wrapped("T+59:35  held back it all", 20), ["T+59:35  held back", "        it all"]);
        assert_eq!(wrapped("  - short", 20), ["  - short"]);
        assert_eq!(wrapped("abcdefghijklmnopqrstuvwxyz", 20), ["abcdefghijklmnopqr", "  stuvwxyz"]);
        for columns in 20..90 {
            assert!(wrapped(line, columns).iter().all(|line| text::width(line) <= columns), "{columns}");
        }
    }

    #[test]
    fn a_word_that_a_shell_would_take_apart_is_quoted() {
        assert_eq!(quoted("lag-spike"), "lag-spike");
        assert_eq!(quoted("my runbook's.yaml"), r"'my runbook'\''s.yaml'");
    }
}
