//! The `sql` probe and the `sql` action in a rehearsal.

use super::{CutShort, Expected, Look, Observe, Rehearse};
use crate::core::ids::TargetId;
use crate::core::job::{Outcome, Stream};
use crate::core::kind::sql::{SqlAction, SqlExpect, SqlProbe};
use crate::core::time::Span;
use crate::core::value::Value;
use crate::world::sim::dice::Dice;
use crate::world::sim::model::Model;

impl Observe for SqlProbe {
    type Memory = ();

    fn takes(&self, _: &Model, dice: &mut Dice) -> f64 {
        dice.around(5.0, 0.4)
    }

    fn sees(&self, look: Look<'_>, (): &mut ()) -> Result<Value, String> {
        Ok(look.own_fields(self))
    }
}

impl Rehearse for SqlAction {
    fn database(&self) -> Option<&TargetId> {
        Some(&self.target)
    }

    fn takes(&self, expected: Expected, dice: &mut Dice) -> f64 {
        #[allow(clippy::cast_precision_loss)] // a handful of statements
        let statements = self.statements.len() as f64;
        let whole = expected.ms.unwrap_or(200.0).min(4_000.0);
        let each = if expected.alone { whole * 0.4 / statements } else { 25.0 };
        dice.around(each * statements, 0.35)
    }

    fn prints(&self, took: Span) -> Vec<(f64, Stream, String)> {
        let count = self.statements.len();
        let line = |(at, text): (usize, &String)| {
            let title: String = text.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
            #[allow(clippy::cast_precision_loss)] // a handful of statements
            let part = (at + 1) as f64 / count.max(1) as f64;
            let each = Span(took.0 / count.max(1) as u64);
            (part, Stream::Out, format!("{}/{count} {title} ok, {}", at + 1, each))
        };
        self.statements.iter().enumerate().map(line).collect()
    }

    fn result(&self, _: Span) -> String {
        match &self.expect {
            Some(SqlExpect::Rows(1) | SqlExpect::Value(_)) => "1 row".to_owned(),
            Some(SqlExpect::Rows(rows)) => format!("{rows} rows"),
            None => "0 rows".to_owned(),
        }
    }

    fn cut_short(&self, cut: &mut CutShort<'_>) -> (Outcome, bool) {
        let why = if cut.timed_out { "statement timeout" } else { "user request" };
        let (target, count) = (&self.target, self.statements.len());
        let what = format!("{target}: statement 1/{count}: canceling statement due to {why}; nothing was changed");
        (Outcome::Failed { what }, false)
    }
}
