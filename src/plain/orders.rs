//! What can be written on a line, and what is wrong with a line that cannot.

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::core::fact::Finding;
use crate::core::nearest::suggestion;
use crate::pace::TimeControl;

/// A line.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true, disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    order: Order,
}

/// An order. Its short form is the key that does the same in the cockpit.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(super) enum Order {
    /// start a step whose gates are GO: its word, and the second person's name where one is asked for
    #[command(visible_alias = "enter")]
    Start {
        #[arg(value_name = "STEP")]
        step: String,
        #[arg(value_name = "WORD")]
        word: String,
        #[arg(value_name = "SECOND", trailing_var_arg = true, allow_hyphen_values = true)]
        second: Vec<String>,
    },
    /// start a step over a shut gate; the record says so
    #[command(visible_alias = "o", override_usage = "override <STEP> <WORD> [--second NAME] <REASON>...")]
    Override {
        #[arg(value_name = "STEP")]
        step: String,
        #[arg(value_name = "WORD")]
        word: String,
        /// The second person, where one is asked for
        #[arg(long, value_name = "NAME")]
        second: Option<String>,
        #[arg(value_name = "REASON", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        reason: Vec<String>,
    },
    /// tick an item of a running checklist; the next one when none is given
    #[command(visible_alias = "space")]
    Tick {
        #[arg(value_name = "STEP")]
        step: String,
        #[arg(value_name = "ITEM")]
        item: Option<u16>,
    },
    /// leave a step out
    #[command(visible_alias = "s")]
    Skip {
        #[arg(value_name = "STEP")]
        step: String,
        #[arg(value_name = "REASON", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        reason: Vec<String>,
    },
    /// stop a step: its word is stop, or the step's id while it is on its way back
    #[command(visible_alias = "x")]
    Stop {
        #[arg(value_name = "STEP")]
        step: String,
        #[arg(value_name = "WORD")]
        word: String,
    },
    /// look again at the checks of a failed step whose work was done, without doing anything
    #[command(visible_alias = "v")]
    Verify {
        #[arg(value_name = "STEP")]
        step: String,
    },
    /// say what became of a step in doubt, and how you know
    #[command(visible_alias = "d")]
    Doubt {
        #[arg(value_name = "STEP")]
        step: String,
        #[arg(value_name = "happened|not|half")]
        finding: DoubtAnswer,
        #[arg(value_name = "REASON", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        reason: Vec<String>,
    },
    /// take a step back
    #[command(visible_alias = "u")]
    Undo {
        #[arg(value_name = "STEP")]
        step: String,
        #[arg(value_name = "WORD")]
        word: String,
    },
    /// say how a step was taken back by hand: it has no undo, or its undo failed
    #[command(visible_alias = "h")]
    ByHand {
        #[arg(value_name = "STEP")]
        step: String,
        #[arg(value_name = "REASON", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        reason: Vec<String>,
    },
    /// accept the server that answers now as the right one
    #[command(visible_alias = "r")]
    Accept {
        #[arg(value_name = "REASON", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        reason: Vec<String>,
    },
    /// write something into the journal
    #[command(visible_alias = "n")]
    Note {
        #[arg(value_name = "TEXT", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        text: Vec<String>,
    },
    /// record what stakeholders were told
    #[command(visible_alias = "m")]
    Told {
        #[arg(value_name = "TEXT", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        text: Vec<String>,
    },
    /// end the run; abandoning it needs a reason
    #[command(visible_alias = "e")]
    End {
        #[arg(value_name = "complete|rolled-back|abandoned")]
        how: How,
        #[arg(value_name = "REASON", trailing_var_arg = true, allow_hyphen_values = true)]
        reason: Vec<String>,
    },
    /// a step with every statement it will run; everything when none is given
    #[command(visible_alias = "p")]
    Show {
        #[arg(value_name = "STEP")]
        step: Option<String>,
    },
    /// the newest readings
    #[command(visible_alias = "z")]
    Panes,
    /// what rolling back from here would do and cost
    #[command(visible_alias = "b")]
    Back,
    /// let time pass faster, in a rehearsal or a replay
    #[command(visible_alias = "+")]
    Faster,
    /// let time pass slower
    #[command(visible_alias = "-")]
    Slower,
    /// pause time, or let it continue
    #[command(visible_alias = "w")]
    Pause,
    /// on to where something happens next
    #[command(visible_alias = "f")]
    FastForward,
    /// in a replay: to the next decision
    #[command(visible_alias = "→")]
    Next,
    /// in a replay: to the decision before
    #[command(visible_alias = "←")]
    Previous,
    /// in a replay: to a time (T+1:02:03 or 02:14:07), a fact's number or a step
    #[command(visible_aliases = ["t", "i"])]
    At {
        #[arg(value_name = "PLACE")]
        place: String,
    },
    /// this list
    #[command(visible_alias = "?")]
    Help,
    /// leave; the run can be resumed
    #[command(visible_alias = "q")]
    Leave,
}

/// What became of a step in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum DoubtAnswer {
    Happened,
    Not,
    Half,
}

impl Order {
    /// What the order wants of the time, if it is about time.
    pub(super) fn control_time(&self) -> Option<TimeControl> {
        Some(match self {
            Order::Faster => TimeControl::Faster,
            Order::Slower => TimeControl::Slower,
            Order::Pause => TimeControl::Pause,
            Order::FastForward => TimeControl::FastForward,
            Order::Next => TimeControl::NextDecision,
            Order::Previous => TimeControl::PreviousDecision,
            Order::At { place } => TimeControl::Place(place.clone()),
            _ => return None,
        })
    }
}

impl From<DoubtAnswer> for Finding {
    fn from(found: DoubtAnswer) -> Self {
        match found {
            DoubtAnswer::Happened => Finding::Happened,
            DoubtAnswer::Not => Finding::DidNotHappen,
            DoubtAnswer::Half => Finding::HalfHappened,
        }
    }
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum How {
    Complete,
    RolledBack,
    Abandoned,
}

/// Reads a line; an empty one orders nothing.
///
/// # Errors
///
/// One sentence: what is wrong, and what was probably meant.
pub(super) fn read(line: &str) -> Result<Option<Order>, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let Some(first) = words.first() else { return Ok(None) };
    match Line::try_parse_from(&words) {
        Ok(line) => Ok(Some(line.order)),
        Err(_) => Err(complaint(first)),
    }
}

fn complaint(first: &str) -> String {
    let all = Line::command();
    if let Some(command) = all.find_subcommand(first) {
        return format!("`{}` is written: {}", command.get_name(), usage(command));
    }
    let near = suggestion(first, all.get_subcommands().map(clap::Command::get_name));
    format!("there is no command `{first}`; {}", near.unwrap_or_else(|| "help lists them".to_owned()))
}

fn usage(command: &clap::Command) -> String {
    let usage = command.clone().render_usage().to_string();
    usage.trim_start_matches("Usage: ").to_owned()
}

/// Every order on a line of its own.
pub(super) fn help() -> Vec<String> {
    let mut lines: Vec<String> = Line::command()
        .get_subcommands()
        .map(|command| {
            let short = command.get_visible_aliases().collect::<Vec<_>>().join(", ");
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            format!("{}: {about} (short: {short})", usage(command))
        })
        .collect();
    lines.push("STEP is a step's id or its number".to_owned());
    lines
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // tests
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_grammar_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn free_text_may_look_like_anything() {
        let read = |line| read(line).unwrap().unwrap();
        assert_eq!(read("note --help -x 'it's"), Order::Note { text: words("--help -x 'it's") });
        assert_eq!(
            read("override 3 go --second Grace because --force is -1"),
            Order::Override {
                step: "3".to_owned(),
                word: "go".to_owned(),
                second: Some("Grace".to_owned()),
                reason: words("because --force is -1"),
            }
        );
    }

    #[test]
    fn a_wrong_line_is_told_what_it_should_be() {
        for (line, said) in [
            ("strat 1 go", "there is no command `strat`; did you mean `start`?"),
            ("start 1", "`start` is written: start <STEP> <WORD> [SECOND]..."),
            ("doubt 1 maybe not sure", "`doubt` is written: doubt <STEP> <happened|not|half> <REASON>..."),
            ("x", "`stop` is written: stop <STEP> <WORD>"),
        ] {
            assert_eq!(read(line), Err(said.to_owned()), "{line}");
        }
        assert_eq!(read("  "), Ok(None));
    }
}
