//! The `http.json` probe in a rehearsal.

use super::{Look, Observe};
use crate::core::kind::HttpJsonProbe;
use crate::core::value::Value;
use crate::world::sim::dice::Dice;
use crate::world::sim::model::Model;

impl Observe for HttpJsonProbe {
    type Memory = ();

    fn takes(&self, model: &Model, dice: &mut Dice) -> f64 {
        model.web.request(&self.target, model.now, model.crowd(), dice)
    }

    fn sees(&self, look: Look<'_>, (): &mut ()) -> Result<Value, String> {
        let (model, target) = (look.model, &self.target);
        let status = model.web.status(target, look.dice);
        if model.web.request(target, model.now, model.crowd(), look.dice) >= look.limit_ms() {
            return Err(format!("{target}: no answer within {}", look.limit));
        }
        match status {
            200 => Ok(look.own_fields(self)),
            status => Err(format!("{target} answers {status}")),
        }
    }
}
