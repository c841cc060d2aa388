//! The `pgbouncer` probe and the `pgbouncer` action in a rehearsal.

use super::{CutShort, Expected, Look, Observe, Rehearse};
use crate::core::ids::TargetId;
use crate::core::job::Outcome;
use crate::core::kind::PgbouncerProbe;
use crate::core::kind::pgbouncer::{PgbouncerAction, PgbouncerCommand};
use crate::core::time::{At, Span};
use crate::core::value::Value;
use crate::world::sim::dice::Dice;
use crate::world::sim::model::Model;

/// Clients that join the queue in each second of a pause, up to a limit.
const ARRIVING: f64 = 4.0;
/// How long the figures of a pause grow, in seconds; they must be constant before quiet time is skipped.
const GROWING: f64 = 5.0;

impl PgbouncerProbe {
    /// Since when `what` is switched on for a database that the probe looks at.
    fn since(&self, model: &Model, what: &str) -> Option<At> {
        let is_mine = |target: &TargetId, of: &str| {
            *target == self.target && self.database.as_deref().is_none_or(|name| name == of)
        };
        let mut on = model.switched_on.iter().filter(|((target, is, of), _)| *is == what && is_mine(target, of));
        on.next().map(|(_, since)| *since)
    }
}

impl Observe for PgbouncerProbe {
    type Memory = ();

    fn takes(&self, _: &Model, dice: &mut Dice) -> f64 {
        dice.around(3.0, 0.4)
    }

    fn sees(&self, look: Look<'_>, (): &mut ()) -> Result<Value, String> {
        let paused = self.since(look.model, "paused");
        let waited = paused.map_or(0.0, |since| look.model.now.since(since).as_secs_f64().min(GROWING));
        #[allow(clippy::cast_possible_truncation)] // a handful of clients
        let waiting = (waited * ARRIVING) as i64;
        let active = if paused.is_some() { 0 } else { 3 };
        Ok(Value::map([
            ("paused", Value::Bool(paused.is_some())),
            ("disabled", Value::Bool(self.since(look.model, "disabled").is_some())),
            ("clients_active", Value::Int(40 - waiting)),
            ("clients_waiting", Value::Int(waiting)),
            ("servers_active", Value::Int(active)),
            ("servers_idle", Value::Int(5 - active)),
            ("max_wait_s", Value::Float(waited)),
            ("pool_mode", Value::from("transaction")),
            ("address", Value::Null),
            ("version", Value::from("1.18.0")),
        ]))
    }
}

impl Rehearse for PgbouncerAction {
    fn takes(&self, expected: Expected, dice: &mut Dice) -> f64 {
        let usual = if self.command == PgbouncerCommand::Pause { 400.0 } else { 15.0 };
        dice.around(expected.ms.map_or(usual, |ms| usual.min(ms * 0.4)), 0.35)
    }

    fn result(&self, took: Span) -> String {
        let text = self.text();
        match self.command.effect() {
            Some((column, wanted)) => format!("{text} took {took}; {column} = {}", u8::from(wanted)),
            None => format!("{text} took {took}"),
        }
    }

    fn cut_short(&self, cut: &mut CutShort<'_>) -> (Outcome, bool) {
        if self.command != PgbouncerCommand::Pause {
            return cut.in_doubt(self.limit);
        }
        let why = if cut.timed_out { format!("not complete within {}", self.limit) } else { "stopped".to_owned() };
        (Outcome::Failed { what: format!("{}: {why}; it was taken back with RESUME", self.target) }, false)
    }

    fn change(&self, model: &mut Model, expect: Option<Span>) -> Result<Option<String>, String> {
        if let (Some((what, on)), Some(database)) = (self.command.effect(), &self.database) {
            let key = (self.target.clone(), what, database.clone());
            let was = model.switched_on.contains_key(&key);
            match (on, was) {
                (true, true) if self.command == PgbouncerCommand::Pause => {
                    return Err(format!("{}: {database} is paused already; nothing was changed", self.target));
                }
                (true, _) => {
                    let now = model.now;
                    model.switched_on.entry(key).or_insert(now);
                }
                (false, _) => {
                    model.switched_on.remove(&key);
                }
            }
        }
        for change in &self.simulate {
            model.change(change, expect);
        }
        Ok(None)
    }
}
