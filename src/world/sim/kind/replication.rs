//! The `postgres.replication` probe in a rehearsal.

use super::{Look, Observe};
use crate::core::kind::ReplicationProbe;
use crate::core::value::Value;
use crate::world::sim::dice::Dice;
use crate::world::sim::model::Model;

impl Observe for ReplicationProbe {
    type Memory = ();

    fn takes(&self, _: &Model, dice: &mut Dice) -> f64 {
        dice.around(5.0, 0.4)
    }

    fn sees(&self, look: Look<'_>, (): &mut ()) -> Result<Value, String> {
        match look.model.links.get(look.id) {
            Some(link) => Ok(link.reading(look.model.now, look.dice, self.heartbeat.is_some(), &look.model.servers)),
            None => Err(format!("{} is not part of this world", look.id)),
        }
    }
}
