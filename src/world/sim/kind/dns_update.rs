//! The `dns.update` action in a rehearsal.

use std::borrow::Cow;

use super::{CutShort, Expected, Rehearse};
use crate::core::job::Outcome;
use crate::core::kind::DnsUpdateAction;
use crate::core::record::RecordChanges;
use crate::core::time::Span;
use crate::world::sim::dice::Dice;
use crate::world::sim::model::Model;
use crate::world::sim::trouble::Troubles;

impl Rehearse for DnsUpdateAction {
    fn takes(&self, expected: Expected, dice: &mut Dice) -> f64 {
        dice.around(expected.ms.unwrap_or(150.0).min(600.0) * 0.4, 0.35)
    }

    fn result(&self, _: Span) -> String {
        "done".to_owned()
    }

    fn cut_short(&self, cut: &mut CutShort<'_>) -> (Outcome, bool) {
        cut.in_doubt(self.limit)
    }

    fn hindrance(&self, _: &Model, troubles: &mut Troubles, _: &mut Dice) -> Option<String> {
        let says = troubles.refuses()?;
        Some(format!("{} refuses the update: {says}; nothing was changed", self.target))
    }

    fn change(&self, model: &mut Model, _: Option<Span>) -> Result<Option<String>, String> {
        let records = RecordChanges { target: &self.target, changes: Cow::Borrowed(&self.changes) };
        model.names.update(model.now, &records).map(Some)
    }
}
