//! The `cloudwatch.silence` action in a rehearsal, and the `cloudwatch` probe: what its numbers were when the bin was gathered that it tells of.

use std::collections::VecDeque;

use super::{CutShort, Expected, Look, Observe, Rehearse};
use crate::core::job::Outcome;
use crate::core::kind::{CloudwatchProbe, SilenceAction};
use crate::core::target::Target;
use crate::core::time::{At, Span};
use crate::core::value::Value;
use crate::world::sim::dice::Dice;
use crate::world::sim::model::Model;
use crate::world::sim::trouble::Troubles;

/// What the numbers have been, each with the moment from which they were so; those of before that which is told last are
/// forgotten.
#[derive(Clone, Debug, Default)]
pub(in crate::world::sim) struct GatheredValues(VecDeque<(At, Value)>);

impl GatheredValues {
    fn note(&mut self, now: At, value: Value) {
        match self.0.back() {
            Some((_, newest)) if *newest == value => {}
            // Before the first measurement they were the same.
            None => self.0.push_back((At(i64::MIN), value)),
            Some(_) => self.0.push_back((now, value)),
        }
    }

    /// What they were in the bin that begins at `bin`.
    fn told(&mut self, bin: At) -> Option<Value> {
        while self.0.get(1).is_some_and(|(since, _)| *since <= bin) {
            self.0.pop_front();
        }
        self.0.front().map(|(_, value)| value.clone())
    }
}

impl Observe for CloudwatchProbe {
    type Memory = GatheredValues;

    fn takes(&self, _: &Model, dice: &mut Dice) -> f64 {
        dice.around(90.0, 0.4)
    }

    fn sees(&self, look: Look<'_>, memory: &mut GatheredValues) -> Result<Value, String> {
        let now = look.model.now;
        memory.note(now, look.own_fields(self));
        let bin = self.bins_told().newest(now);
        let mut value = memory.told(bin).unwrap_or(Value::Null);
        let account = match look.model.target(&self.target) {
            Some(Target::Cloudwatch(of)) => of.aws.account.clone(),
            _ => None,
        };
        let account = account.unwrap_or_else(|| Self::REHEARSED_ACCOUNT.to_owned());
        let why = self.metrics.iter().map(|(name, _)| (name.clone(), Value::Null));
        value.put("why", Value::map(why));
        value.put("bin", bin.timestamp().map(|bin| bin.to_string()).into());
        value.put("behind_s", now.since(bin).as_secs_f64().into());
        value.put("account", account.into());
        Ok(value)
    }

    fn next_change(&self, _: At, memory: &GatheredValues) -> At {
        // When what has changed meanwhile is told.
        memory.0.get(1).map_or(At::NEVER, |(since, _)| self.bins_told().told(*since))
    }
}

impl Rehearse for SilenceAction {
    fn takes(&self, expected: Expected, dice: &mut Dice) -> f64 {
        dice.around(expected.ms.map_or(600.0, |ms| 600.0_f64.min(ms * 0.5)), 0.4)
    }

    fn result(&self, _: Span) -> String {
        let alarms = self.alarms.join(", ");
        if self.end { format!("has its actions again: {alarms}") } else { format!("silent: {alarms}") }
    }

    fn cut_short(&self, cut: &mut CutShort<'_>) -> (Outcome, bool) {
        cut.in_doubt(self.limit)
    }

    fn hindrance(&self, _: &Model, troubles: &mut Troubles, _: &mut Dice) -> Option<String> {
        let says = troubles.refuses()?;
        Some(format!(
            "{}: CloudWatch refuses it for longer than {}: {says}; nothing was changed",
            self.target, self.limit
        ))
    }

    fn finds_out(&self) -> Option<&'static str> {
        Some("the answer was lost, and the alarms are as wanted")
    }
}
