//! What a measurement sees of the simulated world, in the shape its probe promises.

use std::collections::BTreeMap;

use crate::core::ids::ProbeId;
use crate::core::probe::{Probe, ProbeKind};
use crate::core::time::{At, Span};
use crate::core::value::Value;

use super::dice::Dice;
use super::model::Model;
use super::web::Windows;

/// One probe's own memory.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub dice: Dice,
    /// When its newest measurement was meant to begin.
    pub at: At,
    windows: Windows,
    /// What it saw last.
    pub last: Option<Value>,
}

impl Watched {
    pub(super) fn new(seed: u64, id: &ProbeId) -> Self {
        let dice = Dice::new(seed, &format!("probe {id}"));
        Self { dice, at: At(0), windows: Windows::default(), last: None }
    }

    /// How long a measurement takes.
    pub(super) fn takes(&mut self, model: &Model, probe: &Probe) -> Span {
        let ms = match &probe.kind {
            ProbeKind::HttpJson(of) => model.web.request(&of.target, model.now, model.crowd(), &mut self.dice),
            ProbeKind::Http(of) => of
                .sides
                .values()
                .map(|target| model.web.request(target, model.now, model.crowd(), &mut self.dice))
                .fold(0.0, f64::max),
            ProbeKind::Replication(_) | ProbeKind::Sql(_) => self.dice.around(5.0, 0.4),
            ProbeKind::Dns(_) => self.dice.around(22.0, 0.4),
            ProbeKind::Command(_) => self.dice.around(120.0, 0.4),
            ProbeKind::Tcp(_) => self.dice.around(4.0, 0.3),
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // milliseconds
        Span((ms.max(1.0) as u64).min(probe.limit.0))
    }

    /// What it sees now; `times` measurements have been made since the last.
    pub(super) fn sees(
        &mut self,
        model: &Model,
        (id, probe): (&ProbeId, &Probe),
        times: usize,
    ) -> Result<Value, String> {
        let dice = &mut self.dice;
        match &probe.kind {
            ProbeKind::Replication(_) => match model.links.get(id) {
                Some(link) => Ok(link.reading(model.now, dice)),
                None => Err(format!("{id} is not part of this world")),
            },
            ProbeKind::Dns(of) => Ok(model.names.reading(model.now, of, dice)),
            ProbeKind::Http(of) => {
                let at = (model.now, model.crowd(), millis(probe.limit));
                Ok(model.web.reading(of, &mut self.windows, at, times, dice))
            }
            ProbeKind::HttpJson(of) => match model.web.status(&of.target, dice) {
                _ if model.web.request(&of.target, model.now, model.crowd(), dice) >= millis(probe.limit) => {
                    Err(format!("{}: no answer within {}", of.target, probe.limit))
                }
                200 => Ok(own(model, id)),
                status => Err(format!("{} answers {status}", of.target)),
            },
            ProbeKind::Sql(_) | ProbeKind::Command(_) => Ok(own(model, id)),
            ProbeKind::Tcp(_) => {
                Ok(Value::map([("open", true.into()), ("connect_ms", Value::Float(dice.around(2.0, 0.3)))]))
            }
        }
    }
}

#[allow(clippy::cast_precision_loss)] // some seconds
fn millis(span: Span) -> f64 {
    span.0 as f64
}

fn own(model: &Model, id: &ProbeId) -> Value {
    model.fields.reading(id, &|quantity| model.quantity(quantity))
}

/// All probes of a plan.
pub(super) type Watch = BTreeMap<ProbeId, Watched>;
