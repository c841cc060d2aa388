//! The automatic operator: looks at what is on the screen, and answers as its policy says. It has no way to act but
//! the commands a person has, and every one of them can be refused.

use super::policy::{Doubt, Failed, Policy, ShutGate};
use crate::core::action::{Action, Kept};
use crate::core::board::Board;
use crate::core::decide::{ARMING, decide};
use crate::core::evidence::{Evidence, shut_sentence};
use crate::core::fact::{Ending, Finding, StopWhy};
use crate::core::ids::{StepId, Who};
use crate::core::input::{Command, Confirmation, Input};
use crate::core::job::{Direction, JobKey};
use crate::core::plan::{Confirm, Plan, Reversibility, Step};
use crate::core::poll::gates;
use crate::core::rollback::{first_back, way_back};
use crate::core::state::{Run, Running, StepProgress};
use crate::core::status::{picture, stop_word, undo_word, word};
use crate::core::time::{At, Span};
use crate::run_view::RunView;

/// How often an undo is tried before the run is given up.
const UNDO_TRIES: u32 = 3;

/// What an operator sees.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The run.
    pub run: &'a Run,
    /// The readings.
    pub board: &'a Board,
    /// The time.
    pub now: At,
}

impl<'a> Seen<'a> {
    /// What an operator sees of a run at `now`.
    pub fn of(view: &'a RunView, now: At) -> Self {
        Self { plan: view.plan(), run: view.run(), board: view.board(), now }
    }

    /// Whether this would be granted now. A decision is data: asking does nothing.
    fn is_granted(&self, command: &Command) -> bool {
        let input = Input::Operator { by: Who("operator".to_owned()), command: command.clone() };
        decide(self.plan, self.run, self.board, self.now, input).is_ok()
    }

    fn confirmation(&self, step: &Step, typed: &str) -> Confirmation {
        Confirmation {
            step: step.id.clone(),
            typed: typed.to_owned(),
            second: (step.confirm == Confirm::TwoPerson).then(|| Who("a second person".to_owned())),
            seen: picture(self.plan, self.run, self.board, self.now, step),
            shown: ARMING,
        }
    }
}

/// Decides what an operator does next, from what is on the screen.
pub trait Operator {
    /// Gives the next command, if there is one. `look` says whether a job took effect, as a look at its target would.
    fn act(&mut self, seen: Seen, look: &dyn Fn(&JobKey) -> Option<bool>) -> Option<Command>;

    /// When it wants to look again at the latest, even if nothing happens.
    fn looks_again(&self) -> At;

    /// How long it stays away after the cockpit or the terminal was lost.
    fn back_after(&self) -> Span;
}

/// A command, and the situation in which it is given.
struct Wish {
    situation: String,
    /// How long the situation must last before the wish is acted on.
    after: Span,
    command: Command,
}

/// Acts by a policy.
#[derive(Debug)]
pub struct AutoOperator {
    policy: Policy,
    /// The situation it is in, and since when.
    since: Option<(String, At)>,
    again: At,
    /// Whether everything is being taken back.
    turned_back: bool,
}

impl AutoOperator {
    /// An operator with this policy.
    pub fn new(policy: Policy) -> Self {
        Self { policy, since: None, again: At(0), turned_back: false }
    }

    fn wish(&mut self, seen: Seen, look: &dyn Fn(&JobKey) -> Option<bool>) -> Option<Wish> {
        let Seen { plan, run, .. } = seen;
        if run.ended.is_some() {
            return None;
        }
        let reaction = self.policy.reaction;
        if let Some(wish) = self.about_strangers(seen) {
            return Some(wish);
        }
        let under_way = run.under_way().filter_map(|(id, progress)| Some((plan.step(id)?, progress)));
        if let Some((step, progress)) = under_way.min_by_key(|(step, _)| step.number) {
            match &progress.phase {
                StepProgress::InDoubt { key, .. } => return Some(self.about_doubt(seen, step, key, look)),
                StepProgress::Running(running) => {
                    if let Some(items) = plan.action(&running.key).and_then(Action::checklist) {
                        let done = &progress.items;
                        let item =
                            (0..items.len()).filter_map(|at| u16::try_from(at).ok()).find(|at| !done.contains(at));
                        return item.map(|item| Wish {
                            situation: format!("{} item {item}", running.key),
                            after: reaction,
                            command: Command::Acknowledge { step: step.id.clone(), item },
                        });
                    }
                    return self.tired_of(seen, step, running);
                }
                StepProgress::Verifying { .. } => return None,
                _ => {}
            }
        }
        if !self.turned_back {
            if let Some(after) = &self.policy.roll_back_after
                && matches!(run.phase(after), StepProgress::Done { .. })
            {
                self.turned_back = true;
            } else {
                return self.forward(seen);
            }
        }
        self.back(seen)
    }

    /// Accepts other servers: a careless operator at once, a good one only to take everything back.
    fn about_strangers(&self, seen: Seen) -> Option<Wish> {
        let seen = seen.board.strangers(seen.run);
        let reason = match self.policy.shut_gate {
            _ if seen.is_empty() => return None,
            ShutGate::Override => "it will be the right one",
            ShutGate::RollBack if self.turned_back => "looked at it: the right database, with which nothing goes on",
            ShutGate::RollBack => return None,
        };
        Some(Wish {
            situation: "other servers answer".to_owned(),
            after: self.policy.reaction,
            command: Command::AcceptServers { seen, reason: reason.to_owned() },
        })
    }

    /// Stops a wait or a soak that takes longer than the policy allows.
    fn tired_of(&self, seen: Seen, step: &Step, running: &Running) -> Option<Wish> {
        let longest = self.policy.longest_wait?;
        let kept = seen.plan.action(&running.key).and_then(Action::kept);
        let awaited = matches!(kept, Some(Kept::Wait(_) | Kept::Soak(_)));
        let stoppable = running.key.direction == Direction::Do && running.stopping.is_none();
        (awaited && stoppable).then(|| Wish {
            situation: format!("{} goes on", running.key),
            after: longest,
            command: Command::Stop(seen.confirmation(step, stop_word(seen.run, step))),
        })
    }

    fn about_doubt(&self, seen: Seen, step: &Step, key: &JobKey, look: &dyn Fn(&JobKey) -> Option<bool>) -> Wish {
        let happened = match self.policy.doubt {
            Doubt::AssumeDone => true,
            Doubt::Look => look(key).unwrap_or(false),
        };
        let (finding, reason) = match (happened, self.policy.doubt) {
            (true, Doubt::Look) => (Finding::Happened, "looked at the target: it took effect"),
            (true, Doubt::AssumeDone) => (Finding::Happened, "it will have worked"),
            (false, _) => (Finding::DidNotHappen, "looked at the target: it did not take effect"),
        };
        let resolve = |finding| Command::Resolve {
            step: key.step.clone(),
            finding,
            reason: reason.to_owned(),
            seen: picture(seen.plan, seen.run, seen.board, seen.now, step),
        };
        // A section that stopped half way cannot have happened as a whole.
        let command = Some(resolve(finding)).filter(|command| seen.is_granted(command));
        Wish {
            situation: format!("{key} in doubt"),
            after: self.policy.reaction,
            command: command.unwrap_or_else(|| resolve(Finding::HalfHappened)),
        }
    }

    fn forward(&mut self, seen: Seen) -> Option<Wish> {
        let Seen { plan, run, board, now } = seen;
        let Some(step) = run.first_startable(plan) else {
            let open = plan.steps.iter().any(|step| !run.is_settled(&step.id));
            return (!open).then(|| self.end(Ending::Completed));
        };
        if let StepProgress::Failed { reverted, .. } = run.phase(&step.id) {
            let progress = run.step(&step.id);
            let by_guard = matches!(progress.stopping, Some(StopWhy::Guard(_)));
            let reaction = if by_guard { self.policy.guard } else { self.policy.failed };
            if by_guard || progress.attempt.0 > self.policy.retries {
                return match reaction {
                    Failed::Skip => Some(self.skip(step, "it failed, and the show must go on")),
                    Failed::RollBack
                        if run.has_effect(&step.id) && !reverted || !way_back(plan, run).steps.is_empty() =>
                    {
                        self.turned_back = true;
                        self.back(seen)
                    }
                    Failed::RollBack => {
                        Some(self.give_up(format!("{} failed and nothing is left to take back", step.id)))
                    }
                };
            }
        }
        let shut = gates(plan, run, board, now, step).iter().any(|gate| !Evidence::open(gate));
        if !shut {
            let again = matches!(run.phase(&step.id), StepProgress::Failed { .. });
            return Some(Wish {
                situation: format!("{} ready {}", step.id, run.step(&step.id).attempt),
                after: if again { self.policy.retry_after } else { self.policy.reaction },
                command: Command::Confirm(seen.confirmation(step, word(step))),
            });
        }
        Some(self.about_shut_gate(seen, step))
    }

    fn about_shut_gate(&self, seen: Seen, step: &Step) -> Wish {
        let situation = format!("{} gated {}", step.id, run_attempt(seen.run, &step.id));
        let command = match self.policy.shut_gate {
            ShutGate::Override => {
                let over = Command::Override {
                    confirmation: seen.confirmation(step, word(step)),
                    reason: "no time to wait for this gate".to_owned(),
                };
                if seen.is_granted(&over) {
                    over
                } else {
                    let gates = gates(seen.plan, seen.run, seen.board, seen.now, step);
                    let shut = gates.iter().find(|gate| !gate.open()).map(shut_sentence).unwrap_or_default();
                    Command::Skip { step: step.id.clone(), reason: format!("{shut}, and that may not be overridden") }
                }
            }
            // A note says why the way back begins; what follows is decided by `back`.
            ShutGate::RollBack => Command::Note { text: format!("{} stayed shut: taking everything back", step.id) },
        };
        Wish { situation, after: self.policy.patience, command }
    }

    fn back(&mut self, seen: Seen) -> Option<Wish> {
        let Seen { plan, run, .. } = seen;
        // Nothing is under way, so nothing else stands in the way of the first.
        let next = match first_back(plan, run) {
            None => return Some(self.end(Ending::RolledBack)),
            Some(Err(step)) => return Some(self.give_up(format!("{step} cannot be taken back any more"))),
            Some(Ok(next)) => next,
        };
        let step = plan.step(&next.step)?;
        let tries = run.step(&step.id).undo_attempt.0;
        let failed = matches!(run.phase(&step.id), StepProgress::Failed { .. }) && tries > 0;
        if step.reversibility == Reversibility::None || failed && tries >= UNDO_TRIES {
            return Some(self.give_up(format!("{} could not be taken back", step.id)));
        }
        if !next.has_undo {
            return Some(Wish {
                situation: format!("{} to be taken back by hand", step.id),
                after: self.policy.reaction,
                command: Command::TakenBackByHand {
                    step: step.id.clone(),
                    reason: "taken back by hand, as the runbook leaves it to people".to_owned(),
                    seen: picture(seen.plan, seen.run, seen.board, seen.now, step),
                },
            });
        }
        Some(Wish {
            situation: format!("{} to be taken back {tries}", step.id),
            after: self.policy.reaction,
            command: Command::Undo(seen.confirmation(step, undo_word(step))),
        })
    }

    fn skip(&self, step: &Step, reason: &str) -> Wish {
        Wish {
            situation: format!("{} failed", step.id),
            after: self.policy.reaction,
            command: Command::Skip { step: step.id.clone(), reason: reason.to_owned() },
        }
    }

    fn end(&self, how: Ending) -> Wish {
        Wish { situation: how.as_str().to_owned(), after: self.policy.reaction, command: Command::End { how } }
    }

    fn give_up(&self, reason: String) -> Wish {
        self.end(Ending::Abandoned { reason })
    }
}

fn run_attempt(run: &Run, step: &StepId) -> u32 {
    run.step(step).attempt.0
}

impl Operator for AutoOperator {
    fn act(&mut self, seen: Seen, look: &dyn Fn(&JobKey) -> Option<bool>) -> Option<Command> {
        let Some(wish) = self.wish(seen, look) else {
            self.since = None;
            self.again = At::NEVER;
            return None;
        };
        let since = match &self.since {
            Some((situation, since)) if *situation == wish.situation => *since,
            _ => seen.now,
        };
        self.since = Some((wish.situation, since));
        self.again = since.plus(wish.after);
        if seen.now < self.again {
            return None;
        }
        // The result is not waited for: the next look starts anew.
        self.since = None;
        self.again = seen.now.plus(Span(self.policy.reaction.0.max(100)));
        self.turned_back |= self.policy.shut_gate == ShutGate::RollBack && matches!(wish.command, Command::Note { .. });
        Some(wish.command)
    }

    fn looks_again(&self) -> At {
        self.again
    }

    fn back_after(&self) -> Span {
        self.policy.back_after
    }
}
