//! The `command` probe and the `command` action in a rehearsal: nothing is run.

use super::{CutShort, Expected, Look, Observe, Rehearse};
use crate::core::job::{Outcome, Stream};
use crate::core::kind::command::{CommandAction, CommandLine, CommandProbe};
use crate::core::time::Span;
use crate::core::value::Value;
use crate::world::sim::dice::Dice;
use crate::world::sim::model::Model;

impl Observe for CommandProbe {
    type Memory = ();

    fn takes(&self, _: &Model, dice: &mut Dice) -> f64 {
        dice.around(120.0, 0.4)
    }

    fn sees(&self, look: Look<'_>, (): &mut ()) -> Result<Value, String> {
        Ok(look.own_fields(self))
    }
}

impl Rehearse for CommandAction {
    fn takes(&self, expected: Expected, dice: &mut Dice) -> f64 {
        dice.around(expected.ms.map_or(800.0, |ms| ms * 0.7), 0.25)
    }

    fn prints(&self, _: Span) -> Vec<(f64, Stream, String)> {
        let what = match &self.run {
            CommandLine::Argv(argv) => argv.join(" "),
            CommandLine::Shell(text) => text.lines().next().unwrap_or_default().to_owned(),
        };
        vec![(0.0, Stream::Out, format!("rehearsal: nothing is run; this stands for `{what}`"))]
    }

    fn result(&self, _: Span) -> String {
        format!("exit {}", self.success.first().copied().unwrap_or(0))
    }

    fn cut_short(&self, cut: &mut CutShort<'_>) -> (Outcome, bool) {
        let what = if cut.timed_out {
            format!("ended because it took longer than {}", self.limit)
        } else {
            format!("told to stop, ended after {}", cut.took)
        };
        (Outcome::Failed { what }, false)
    }
}
