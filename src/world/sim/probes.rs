//! What a measurement sees of the simulated world, in its probe's declared shape.

use crate::core::ids::ProbeId;
use crate::core::probe::Probe;
use crate::core::time::{At, Span};
use crate::core::value::Value;

use super::dice::Dice;
use super::kind::{Look, Observer};
use super::model::Model;

/// One probe's own memory.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub dice: Dice,
    /// When its newest measurement was meant to begin.
    pub at: At,
    observer: Observer,
    /// What it saw last.
    pub last: Option<Value>,
}

impl Watched {
    pub(super) fn new(seed: u64, id: &ProbeId, probe: &Probe) -> Self {
        let dice = Dice::new(seed, &format!("probe {id}"));
        Self { dice, at: At(0), observer: Observer::new(&probe.kind), last: None }
    }

    /// How long a measurement takes.
    pub(super) fn takes(&mut self, model: &Model, probe: &Probe) -> Span {
        let ms = self.observer.takes(model, &mut self.dice);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // milliseconds
        Span((ms.max(1.0) as u64).min(probe.limit.0))
    }

    /// When what it sees changes with time alone.
    pub(super) fn next_change(&self, now: At) -> At {
        self.observer.next_change(now)
    }

    /// What it sees now; `times` measurements have been made since the last.
    pub(super) fn sees(
        &mut self,
        model: &Model,
        (id, probe): (&ProbeId, &Probe),
        times: usize,
    ) -> Result<Value, String> {
        let stands = probe.stale_after(Span::ZERO);
        self.observer.sees(Look { id, model, limit: probe.limit, stands, times, dice: &mut self.dice })
    }
}
