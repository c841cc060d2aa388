//! `explain`: a page of the reference, in the terminal.

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};

use super::{CliError, Outcome, say};
use crate::explain::terminal::{Layout, index, page};
use crate::explain::{find, words};
use crate::term::{ColorChoice, ColorSupport};

/// Columns when the width of the terminal is not known.
const COLUMNS: usize = 100;
/// Longer lines are hard to read.
const WIDEST: usize = 100;

/// Accepts any text, and completes known words.
#[derive(Clone, Debug)]
pub(super) struct Word;

impl TypedValueParser for Word {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue>>> {
        Some(Box::new(words().into_iter().map(PossibleValue::new)))
    }
}

/// Prints the pages of a word, or the list of all.
pub(super) fn explain(word: &[String], color: ColorChoice) -> Outcome {
    let layout = layout(color);
    if word.is_empty() {
        say(&index(layout));
        return Ok(0);
    }
    let pages = find(&word.join(" ")).map_err(CliError::usage)?;
    let pages: Vec<String> = pages.iter().map(|found| page(found, layout)).collect();
    say(pages.join("\n").trim_end());
    Ok(0)
}

fn layout(color: ColorChoice) -> Layout {
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(COLUMNS);
    let bold = match color {
        ColorChoice::Always => true,
        ColorChoice::Auto => is_terminal && ColorSupport::detect(color) != ColorSupport::None,
        ColorChoice::Never => false,
    };
    Layout { columns: columns.min(WIDEST), bold }
}
