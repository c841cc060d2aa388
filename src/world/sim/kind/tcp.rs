//! The `tcp` probe in a rehearsal: every port is open.

use super::{Look, Observe};
use crate::core::kind::TcpProbe;
use crate::core::value::Value;
use crate::world::sim::dice::Dice;
use crate::world::sim::model::Model;

impl Observe for TcpProbe {
    type Memory = ();

    fn takes(&self, _: &Model, dice: &mut Dice) -> f64 {
        dice.around(4.0, 0.3)
    }

    fn sees(&self, look: Look<'_>, (): &mut ()) -> Result<Value, String> {
        Ok(Value::map([
            ("open", true.into()),
            ("state", "open".into()),
            ("failure", "".into()),
            ("address", self.address.clone().into()),
            ("connect_ms", Value::Float(look.dice.around(2.0, 0.3))),
        ]))
    }
}
