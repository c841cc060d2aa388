//! An operator who does all kinds of things: what a good one would, what a careless one would, and nonsense.

use gonogo::core::decide::ARMING;
use gonogo::core::fact::{Ending, Finding};
use gonogo::core::ids::{StepId, Who};
use gonogo::core::input::{Command, Confirmation, Picture};
use gonogo::core::job::JobKey;
use gonogo::core::plan::Step;
use gonogo::core::status::{picture, undo_word, word};
use gonogo::core::time::{At, Span};
use gonogo::rehearsal::operator::{AutoOperator, Operator, Seen};
use gonogo::rehearsal::policy::{Doubt, Failed, Policy, ShutGate};
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::wishes::Wishes;

/// Commands after which the rest is left to a sensible operator, so that every run comes to an end.
const PATIENCE: u32 = 120;

pub struct Monkey {
    rng: ChaCha8Rng,
    sensible: AutoOperator,
    finisher: AutoOperator,
    wishes: u32,
    again: At,
    /// Pictures seen earlier: a confirmation may be made on one of them.
    album: Vec<(StepId, Picture)>,
    back_after: Span,
    told: Wishes,
}

impl Monkey {
    pub fn new(seed: u64, told: Wishes) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let policy = Policy {
            reaction: Span(rng.random_range(100..20_000)),
            patience: Span(rng.random_range(1_000..600_000)),
            shut_gate: if rng.random_bool(0.5) { ShutGate::Override } else { ShutGate::RollBack },
            retries: rng.random_range(0..3),
            retry_after: Span(rng.random_range(100..600_000)),
            failed: if rng.random_bool(0.5) { Failed::Skip } else { Failed::RollBack },
            guard: if rng.random_bool(0.5) { Failed::Skip } else { Failed::RollBack },
            doubt: if rng.random_bool(0.5) { Doubt::Look } else { Doubt::AssumeDone },
            longest_wait: None,
            back_after: Span(rng.random_range(1_000..600_000)),
            roll_back_after: None,
        };
        let finisher = Policy { patience: Span(60_000), reaction: Span(500), ..Policy::good() };
        Self {
            back_after: policy.back_after,
            sensible: AutoOperator::new(policy),
            finisher: AutoOperator::new(finisher),
            rng,
            wishes: 0,
            again: At(0),
            album: Vec::new(),
            told,
        }
    }

    fn anything(&mut self, seen: Seen) -> Option<Command> {
        let step = seen.plan.steps.choose(&mut self.rng)?;
        let present = picture(seen.plan, seen.run, seen.board, seen.now, step);
        self.album.push((step.id.clone(), present));
        let reason = if self.rng.random_bool(0.8) { "for a reason that is long enough" } else { "no" }.to_owned();
        Some(match self.rng.random_range(0..12) {
            0 | 1 => Command::Confirm(self.confirmation(seen, step, word(step))),
            2 => Command::Override { confirmation: self.confirmation(seen, step, word(step)), reason },
            3 => Command::Skip { step: step.id.clone(), reason },
            4 => Command::Stop(self.confirmation(seen, step, gonogo::core::status::stop_word(seen.run, step))),
            5 => Command::VerifyAgain { step: step.id.clone() },
            6 => {
                let finding =
                    *[Finding::Happened, Finding::DidNotHappen, Finding::HalfHappened].choose(&mut self.rng)?;
                let seen = picture(seen.plan, seen.run, seen.board, seen.now, step);
                Command::Resolve { step: step.id.clone(), finding, reason, seen }
            }
            7 => Command::Undo(self.confirmation(seen, step, undo_word(step))),
            8 => {
                let seen = picture(seen.plan, seen.run, seen.board, seen.now, step);
                Command::TakenBackByHand { step: step.id.clone(), reason, seen }
            }
            9 => Command::Acknowledge { step: step.id.clone(), item: self.rng.random_range(0..4) },
            10 => Command::Note { text: reason },
            _ => {
                let how = match self.rng.random_range(0..12) {
                    0 => Ending::Abandoned { reason },
                    1..6 => Ending::Completed,
                    _ => Ending::RolledBack,
                };
                Command::End { how }
            }
        })
    }

    fn confirmation(&mut self, seen: Seen, step: &Step, word: &str) -> Confirmation {
        let typed = if self.rng.random_bool(0.9) { word } else { "gp" }.to_owned();
        // Any of those seen, mostly one that is no longer true.
        let old = self.album.iter().filter(|(id, _)| *id == step.id).choose(&mut self.rng).map(|(_, old)| old.clone());
        let fresh = picture(seen.plan, seen.run, seen.board, seen.now, step);
        let armed = if self.rng.random_bool(0.95) { ARMING.0 } else { 10 };
        Confirmation {
            step: step.id.clone(),
            typed,
            second: self.rng.random_bool(0.8).then(|| Who("bea".to_owned())),
            seen: if self.rng.random_bool(0.8) { fresh } else { old.unwrap_or(fresh) },
            shown: Span(armed),
        }
    }
}

impl Monkey {
    fn wish(&mut self, seen: Seen, look: &dyn Fn(&JobKey) -> Option<bool>) -> Option<Command> {
        if self.wishes >= PATIENCE {
            let command = self.finisher.act(seen, look);
            self.again = self.finisher.looks_again();
            return command;
        }
        if seen.now < self.again {
            return None;
        }
        self.wishes += 1;
        let choice = self.rng.random_range(0..10);
        let command = match choice {
            0..4 => self.sensible.act(seen, look),
            4..7 => self.anything(seen),
            _ => None,
        };
        // Sometimes at once, sometimes after a while.
        let pause = match self.rng.random_range(0..10) {
            0..3 => 0,
            3..8 => self.rng.random_range(1..30_000),
            _ => self.rng.random_range(30_000..1_200_000),
        };
        self.again = seen.now.plus(Span(pause));
        if command.is_none() && pause == 0 {
            self.again = seen.now.plus(Span(200));
        }
        command
    }
}

impl Operator for Monkey {
    fn act(&mut self, seen: Seen, look: &dyn Fn(&JobKey) -> Option<bool>) -> Option<Command> {
        let command = self.wish(seen, look)?;
        self.told.note(seen, &command);
        Some(command)
    }

    fn looks_again(&self) -> At {
        self.again
    }

    fn back_after(&self) -> Span {
        self.back_after
    }
}
