//! The `http` probe and the `http` action in a rehearsal.

use super::{CutShort, Expected, Look, Observe, Rehearse};
use crate::core::job::Outcome;
use crate::core::kind::{HttpAction, HttpProbe};
use crate::core::time::Span;
use crate::core::value::Value;
use crate::world::sim::dice::Dice;
use crate::world::sim::model::Model;
use crate::world::sim::trouble::Troubles;
use crate::world::sim::web::Windows;

impl Observe for HttpProbe {
    /// The newest answers of each side.
    type Memory = Box<Windows>;

    fn takes(&self, model: &Model, dice: &mut Dice) -> f64 {
        let sides = self.sides.values();
        sides.map(|side| model.web.request(side.target(), model.now, model.crowd(), dice)).fold(0.0, f64::max)
    }

    fn sees(&self, look: Look<'_>, windows: &mut Box<Windows>) -> Result<Value, String> {
        windows.hold_against(self, look.model.baseline(look.id), look.model.watched_since);
        let at = (look.model.now, look.model.crowd(), look.limit_ms());
        Ok(look.model.web.reading(self, windows, at, look.times, look.dice))
    }
}

impl Rehearse for HttpAction {
    fn takes(&self, expected: Expected, dice: &mut Dice) -> f64 {
        dice.around(expected.ms.unwrap_or(120.0).min(400.0) * 0.5, 0.35)
    }

    fn result(&self, took: Span) -> String {
        format!("{}, {} ms", self.success.first().copied().unwrap_or(200), took.0)
    }

    fn cut_short(&self, cut: &mut CutShort<'_>) -> (Outcome, bool) {
        cut.in_doubt(self.limit)
    }

    fn hindrance(&self, model: &Model, _: &mut Troubles, dice: &mut Dice) -> Option<String> {
        match model.web.status(&self.target, dice) {
            200 => None,
            status => Some(format!("{} {} on {} answered {status}", self.method.as_str(), self.path, self.target)),
        }
    }
}
