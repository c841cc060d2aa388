//! What each kind of probe sees and each kind of action does in a rehearsal: one file per kind.
//!
//! The dispatch is made from the list of kinds, so a kind without a file here, or without its trait, does not compile.

use std::fmt::Debug;

use super::dice::Dice;
use super::model::Model;
use super::trouble::Troubles;
use crate::core::action::Action;
use crate::core::ids::{ProbeId, TargetId};
use crate::core::job::{Outcome, Stream};
use crate::core::kind::spec::{ActionSpec, ProbeSpec};
use crate::core::kind::{self, kinds};
use crate::core::probe::ProbeKind;
use crate::core::time::{At, Span};
use crate::core::value::{FieldType, Value};

/// One measurement at its end.
pub(super) struct Look<'a> {
    /// Whose it is.
    pub id: &'a ProbeId,
    /// The simulated world as it is now.
    pub model: &'a Model,
    /// The longest a measurement may take.
    pub limit: Span,
    /// Age from which a reading is stale.
    pub stands: Span,
    /// How many measurements have been made since the last, this one counted.
    pub times: usize,
    pub dice: &'a mut Dice,
}

impl Look<'_> {
    /// The limit in milliseconds.
    #[allow(clippy::cast_precision_loss)] // some seconds
    pub(super) fn limit_ms(&self) -> f64 {
        self.limit.0 as f64
    }

    /// The fields that the runbook declares for the probe `spec`, as they are now. A field that dates the reading gives
    /// the present moment.
    #[allow(clippy::cast_precision_loss)] // milliseconds of this millennium
    pub(super) fn own_fields(&self, spec: &dyn ProbeSpec) -> Value {
        let mut reading = self.model.fields.reading(self.id, &|quantity| self.model.quantity(quantity));
        let (now, field) = (self.model.now, spec.as_of());
        if let (Some(field), Some((declared, _))) = (field, spec.own_fields()) {
            let time = match declared.get(field) {
                Some(FieldType::Int) => Value::Int(now.0 / 1_000),
                Some(FieldType::Float) => Value::Float(now.0 as f64 / 1_000.0),
                _ => now.timestamp().map(|now| now.to_string()).into(),
            };
            reading.put(field, time);
        }
        reading
    }
}

/// A kind of probe in a rehearsal.
pub(super) trait Observe {
    /// What it keeps from one measurement to the next; `()` for nothing.
    type Memory: Clone + Debug + Default;

    /// How long a measurement takes, in milliseconds.
    fn takes(&self, model: &Model, dice: &mut Dice) -> f64;

    /// What it sees, in the shape its kind declares, or why it sees nothing.
    fn sees(&self, look: Look<'_>, memory: &mut Self::Memory) -> Result<Value, String>;

    /// When what it sees is different because time has passed, though nothing happened: the next change of a figure that
    /// counts down, say. Quiet time is leapt over at most up to there. For a figure that changes all the time, the next
    /// moment at which a condition on it may turn.
    fn next_change(&self, _now: At, _memory: &Self::Memory) -> At {
        At::NEVER
    }
}

/// The time that a step expects for one of its jobs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    /// The expected time in milliseconds, when the job is the whole of its step and goes forward.
    pub ms: Option<f64>,
    /// Whether the job is the whole of its step and goes forward.
    pub alone: bool,
}

/// A kind of action in a rehearsal.
pub(super) trait Rehearse: ActionSpec {
    /// How long it takes when all is well, in milliseconds.
    fn takes(&self, expected: Expected, dice: &mut Dice) -> f64;

    /// What it prints in a job that takes `took`, each line with the part of that time (0 to 1) after which it comes.
    fn prints(&self, _took: Span) -> Vec<(f64, Stream, String)> {
        Vec::new()
    }

    /// The result in one line when it did what was asked.
    fn result(&self, took: Span) -> String;

    /// How it ends when it was stopped or took too long, and whether it took effect all the same.
    fn cut_short(&self, cut: &mut CutShort<'_>) -> (Outcome, bool);

    /// The database that it acts on, whose server is met when it begins.
    fn database(&self) -> Option<&TargetId> {
        None
    }

    /// What keeps it from doing what was asked, if anything does.
    fn hindrance(&self, _model: &Model, _troubles: &mut Troubles, _dice: &mut Dice) -> Option<String> {
        None
    }

    /// Whether it looks what has become of it when its answer is lost, and what it says when all is as wanted.
    fn finds_out(&self) -> Option<&'static str> {
        None
    }

    /// Changes the world as the action does when it succeeds, and gives a result of its own or says why it is refused.
    /// `expect` is how long its step is expected to take.
    fn change(&self, model: &mut Model, expect: Option<Span>) -> Result<Option<String>, String> {
        for change in self.simulate() {
            model.change(change, expect);
        }
        Ok(None)
    }
}

/// A job that ends before it is done.
pub(super) struct CutShort<'a> {
    /// Whether its own limit ended it; otherwise somebody stopped it.
    pub timed_out: bool,
    /// How long it ran.
    pub took: Span,
    /// Whether no fault was planned for it.
    pub well: bool,
    pub dice: &'a mut Dice,
}

impl CutShort<'_> {
    /// The end of a request that may or may not have arrived.
    pub(super) fn in_doubt(&mut self, limit: Span) -> (Outcome, bool) {
        let what =
            if self.timed_out { format!("no answer within {limit}") } else { "stopped before the answer".to_owned() };
        let happened = self.well && self.dice.chance(0.5);
        (Outcome::Unknown { why: format!("it may have been carried out: {what}") }, happened)
    }
}

macro_rules! dispatch {
    ($($module:ident {
        $(probe $probe:ident($probe_type:ident) $probe_word:literal $(pane $pane:ident)?)?
        $(action $action:ident($action_type:ident) $action_word:literal)?
    })*) => {
        $(mod $module;)*

        /// A probe with its memory.
        #[derive(Clone, Debug)]
        pub(super) enum Observer {
            $($($probe(kind::$probe_type, <kind::$probe_type as Observe>::Memory),)?)*
        }

        impl Observer {
            /// A probe without any measurement yet.
            pub(super) fn new(kind: &ProbeKind) -> Self {
                match kind {
                    $($(ProbeKind::$probe(of) => Observer::$probe(of.clone(), Default::default()),)?)*
                }
            }

            /// How long a measurement takes, in milliseconds.
            pub(super) fn takes(&self, model: &Model, dice: &mut Dice) -> f64 {
                match self {
                    $($(Observer::$probe(of, _) => of.takes(model, dice),)?)*
                }
            }

            /// When what it sees changes with time alone.
            pub(super) fn next_change(&self, now: At) -> At {
                match self {
                    $($(Observer::$probe(of, memory) => of.next_change(now, memory),)?)*
                }
            }

            /// What it sees.
            pub(super) fn sees(&mut self, look: Look<'_>) -> Result<Value, String> {
                match self {
                    $($(Observer::$probe(of, memory) => of.sees(look, memory),)?)*
                }
            }
        }

        /// The action as it is rehearsed; `None` when the core carries it out alone.
        pub(super) fn rehearsed(action: &Action) -> Option<&dyn Rehearse> {
            match action {
                Action::Manual(_) | Action::Wait(_) | Action::Soak(_) => None,
                $($(Action::$action(of) => Some(of),)?)*
            }
        }
    };
}
kinds!(dispatch);
