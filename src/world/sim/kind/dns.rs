//! The `dns` probe in a rehearsal.

use super::{Look, Observe};
use crate::core::kind::DnsProbe;
use crate::core::kind::dns::propagation::Propagation;
use crate::core::kind::spec::ProbeSpec as _;
use crate::core::value::Value;
use crate::world::sim::dice::Dice;
use crate::world::sim::model::Model;

impl Observe for DnsProbe {
    type Memory = Option<Box<Propagation>>;

    fn takes(&self, _: &Model, dice: &mut Dice) -> f64 {
        dice.around(22.0, 0.4)
    }

    fn sees(&self, look: Look<'_>, known: &mut Self::Memory) -> Result<Value, String> {
        let record = self.record().ok_or_else(|| format!("{} watches no record", look.id))?;
        let how = (self, look.stands, look.times);
        Ok(look.model.names.reading(look.model.now, record, how, known, look.dice))
    }
}
