//! The `postgres.replication` probe in a rehearsal.

use super::{Look, Observe};
use crate::core::kind::ReplicationProbe;
use crate::core::value::Value;
use crate::world::sim::dice::Dice;
use crate::world::sim::link::Heartbeat;
use crate::world::sim::model::Model;

impl Observe for ReplicationProbe {
    type Memory = ();

    fn takes(&self, _: &Model, dice: &mut Dice) -> f64 {
        dice.around(5.0, 0.4)
    }

    fn sees(&self, look: Look<'_>, (): &mut ()) -> Result<Value, String> {
        match look.model.links.get(look.id) {
            Some(link) => {
                let beats = match &self.heartbeat {
                    None => Heartbeat::Unnamed,
                    Some(_) if look.model.is_fenced(&self.source) => Heartbeat::Fenced,
                    Some(_) => Heartbeat::Beaten,
                };
                Ok(link.reading(look.model.now, look.dice, beats, &look.model.servers))
            }
            None => Err(format!("{} is not part of this world", look.id)),
        }
    }
}
