//! Turns facts back into the inputs they may have answered, and says on what the decision rested.

use crate::core::action::{Kept, Wait};
use crate::core::board::Board;
use crate::core::evidence::{Baselines, Evidence};
use crate::core::fact::{Fact, Finding, Recorded, StopWhy};
use crate::core::ids::{StepId, Who};
use crate::core::input::{Command, Confirmation, Input};
use crate::core::job::JobKey;
use crate::core::plan::{ConditionId, Plan, Step};
use crate::core::state::Run;
use crate::core::status::{picture, stop_word};
use crate::core::time::{At, Span};

/// Time for which a question is assumed to have been on screen; no fact records it.
const LONG_SHOWN: Span = Span(60_000);

/// What was asked for. The picture it was asked on is not recorded.
pub(super) enum RecordedRequest {
    Inputs(Vec<Input>),
    Start {
        step: StepId,
        by: Who,
        second: Option<Who>,
        typed: String,
        overridden: Option<String>,
    },
    Undo {
        step: StepId,
        by: Who,
        typed: String,
    },
    ByHand {
        step: StepId,
        by: Who,
        reason: String,
    },
    /// A stop. What was typed is not recorded. Without `by` it came by itself; with `or_by_itself` it may have.
    Stop {
        step: StepId,
        by: Option<Who>,
        or_by_itself: bool,
    },
    Resolve {
        step: StepId,
        finding: Finding,
        by: Who,
        reason: String,
    },
    AcceptServers {
        by: Who,
        reason: String,
    },
}

/// What a decision is made on when it is made again.
pub(super) enum Ground {
    /// Readings do not matter.
    Bare,
    /// The recorded evidence, and the numbers from which growth is counted afterwards.
    Evidence(Vec<(ConditionId, Evidence)>, Baselines),
    /// The recorded evidence of the guards of this step that had not been GO since then. Its other guards had been GO.
    Soak(StepId, Vec<(ConditionId, Evidence)>, At),
    /// The recorded readings: the fact has no evidence of its own.
    Readings,
}

/// The question how a fact came about, with the run as it was before that fact.
pub(super) struct Question<'a> {
    pub plan: &'a Plan,
    pub run: &'a Run,
}

impl Question<'_> {
    /// What may have been asked when this fact was the first answer, and what to decide it on.
    pub(super) fn of(&self, first: &Recorded) -> Option<(RecordedRequest, Ground)> {
        let operator = |by: Who, command: Command| RecordedRequest::Inputs(vec![Input::Operator { by, command }]);
        let input = |input: Input| RecordedRequest::Inputs(vec![input]);
        Some(match first.fact.clone() {
            Fact::StepStarted { step, by, second, typed, evidence, overridden, baselines, .. } => {
                let ground = Ground::Evidence(of_poll(self.plan, self.plan.step(&step)?, evidence), baselines);
                (RecordedRequest::Start { step, by, second, typed, overridden }, ground)
            }
            Fact::UndoStarted { step, by, typed, baselines, .. } => {
                (RecordedRequest::Undo { step, by, typed }, Ground::Evidence(Vec::new(), baselines))
            }
            Fact::TakenBackByHand { step, by, reason } => (RecordedRequest::ByHand { step, by, reason }, Ground::Bare),
            Fact::BaselineTaken { .. }
            | Fact::CounterReset { .. }
            | Fact::AnswererChanged { .. }
            | Fact::SoakContinued { .. } => (input(Input::Tick), Ground::Readings),
            // A reading has met it, or an action.
            Fact::ServerMet { target, identity } => {
                let met = Input::ServerMet { target, identity };
                (RecordedRequest::Inputs(vec![Input::Tick, met]), Ground::Readings)
            }
            Fact::SoakInterrupted { step, since, evidence, .. } => {
                let evidence = of_guards(self.plan, &step, evidence);
                (input(Input::Tick), Ground::Soak(step, evidence, since))
            }
            Fact::ItemAcknowledged { step, item, by, .. } => {
                (operator(by, Command::Acknowledge { step, item }), Ground::Bare)
            }
            Fact::StepSkipped { step, by, reason } => (operator(by, Command::Skip { step, reason }), Ground::Bare),
            Fact::VerifyingAgain { step, by, .. } => (operator(by, Command::VerifyAgain { step }), Ground::Bare),
            Fact::NoteAdded { by, text } => (operator(by, Command::Note { text }), Ground::Bare),
            Fact::StatusUpdated { by, text } => (operator(by, Command::StatusUpdate { text }), Ground::Bare),
            Fact::ServerAccepted { by, reason, .. } => {
                (RecordedRequest::AcceptServers { by, reason }, Ground::Readings)
            }
            Fact::RunEnded { by, how, .. } => (operator(by, Command::End { how }), Ground::Bare),
            Fact::DoubtResolved { key, finding, by, reason, evidence } => {
                let ground = recorded_evidence(of_checks(self.plan, &key.step, evidence));
                (RecordedRequest::Resolve { step: key.step, finding, by, reason }, ground)
            }
            Fact::StopRequested { step, why: StopWhy::Operator(by), .. } => {
                (RecordedRequest::Stop { step, by: Some(by), or_by_itself: false }, Ground::Bare)
            }
            Fact::StopRequested { why: StopWhy::Deadline(_), .. } => (input(Input::Tick), Ground::Bare),
            Fact::StopRequested { step, why: StopWhy::Guard(_), evidence, .. } => {
                (input(Input::Tick), recorded_evidence(of_guards(self.plan, &step, evidence)))
            }
            Fact::JobEnded { key, outcome, took } => match kept_by_the_core(self.plan, &key) {
                Some(true) => (input(Input::Tick), Ground::Readings),
                Some(false) => (input(Input::Tick), Ground::Bare),
                None => (input(Input::JobEnded { key, outcome, took }), Ground::Bare),
            },
            Fact::JobAdopted { key, adoption } => (input(Input::JobAdopted { key, adoption }), Ground::Bare),
            Fact::LateResultIgnored { key, outcome } => {
                (input(Input::JobEnded { key, outcome, took: Span::ZERO }), Ground::Bare)
            }
            Fact::StepDone { step, evidence, guards, .. } => {
                let mut known = of_checks(self.plan, &step, evidence);
                known.extend(of_guards(self.plan, &step, guards));
                (input(Input::Tick), recorded_evidence(known))
            }
            Fact::StepFailed { step, evidence, guards, .. } => {
                let mut known = of_checks(self.plan, &step, evidence.clone());
                if known.is_empty() {
                    known = of_guards(self.plan, &step, evidence);
                }
                known.extend(of_guards(self.plan, &step, guards));
                // By itself, or because somebody stopped the watching.
                (
                    RecordedRequest::Stop { step, by: self.run.driver.clone(), or_by_itself: true },
                    recorded_evidence(known),
                )
            }
            _ => return None,
        })
    }

    /// The inputs that may have been meant, with the picture that this board gives.
    pub(super) fn inputs(&self, asked: &RecordedRequest, board: &Board, at: At) -> Vec<Input> {
        let confirmation = |step: &StepId, typed: &str, second: Option<&Who>| {
            let step = self.plan.step(step)?;
            Some(self.confirmation(step, typed.to_owned(), second.cloned(), board, at))
        };
        let (by, command) = match asked {
            RecordedRequest::Inputs(inputs) => return inputs.clone(),
            RecordedRequest::Start { step, by, second, typed, overridden } => {
                let confirmation = confirmation(step, typed, second.as_ref());
                let command = confirmation.map(|confirmation| match overridden {
                    None => Command::Confirm(confirmation),
                    Some(reason) => Command::Override { confirmation, reason: reason.clone() },
                });
                (by, command)
            }
            RecordedRequest::Undo { step, by, typed } => (by, confirmation(step, typed, None).map(Command::Undo)),
            RecordedRequest::Stop { step, by, or_by_itself } => {
                let word = self.plan.step(step).map(|step| stop_word(self.run, step)).unwrap_or_default();
                let stop = confirmation(step, word, None).map(Command::Stop);
                let stop = by.clone().zip(stop).map(|(by, command)| Input::Operator { by, command });
                return stop.into_iter().chain(or_by_itself.then_some(Input::Tick)).collect();
            }
            RecordedRequest::AcceptServers { by, reason } => {
                let seen = board.strangers(self.run);
                (by, Some(Command::AcceptServers { seen, reason: reason.clone() }))
            }
            RecordedRequest::ByHand { step, by, reason } => {
                let command = confirmation(step, "", None).map(|confirmation| Command::TakenBackByHand {
                    step: step.clone(),
                    reason: reason.clone(),
                    seen: confirmation.seen,
                });
                (by, command)
            }
            RecordedRequest::Resolve { step, finding, by, reason } => {
                let command = confirmation(step, "", None).map(|confirmation| Command::Resolve {
                    step: step.clone(),
                    finding: *finding,
                    reason: reason.clone(),
                    seen: confirmation.seen,
                });
                (by, command)
            }
        };
        command.into_iter().map(|command| Input::Operator { by: by.clone(), command }).collect()
    }

    /// The confirmation as it must have been: made on the picture of that moment, after long enough on screen.
    fn confirmation(&self, step: &Step, typed: String, second: Option<Who>, board: &Board, at: At) -> Confirmation {
        Confirmation {
            step: step.id.clone(),
            typed,
            second,
            seen: picture(self.plan, self.run, board, at, step),
            shown: LONG_SHOWN,
        }
    }
}

fn recorded_evidence(evidence: Vec<(ConditionId, Evidence)>) -> Ground {
    Ground::Evidence(evidence, Baselines::new())
}

/// Whether the core carries out this job itself, and then whether readings decide how it ends.
fn kept_by_the_core(plan: &Plan, key: &JobKey) -> Option<bool> {
    let kept = plan.action(key)?.kept()?;
    Some(!matches!(kept, Kept::Wait(Wait::For(_))))
}

/// The gates of a start, without those that are not conditions: the window of the change is judged by the clock, and
/// counted numbers by their baselines.
fn of_poll(plan: &Plan, step: &Step, evidence: Vec<Evidence>) -> Vec<(ConditionId, Evidence)> {
    let skip = usize::from(plan.window.is_some());
    let gates = step.gates.iter().map(|gate| gate.condition);
    let stations = gates.chain(step.guards.iter().map(|guard| guard.condition));
    stations.zip(evidence.into_iter().skip(skip)).collect()
}

fn of_checks(plan: &Plan, step: &StepId, evidence: Vec<Evidence>) -> Vec<(ConditionId, Evidence)> {
    let Some(step) = plan.step(step) else { return Vec::new() };
    if evidence.len() != step.verify.len()
        || evidence.iter().zip(&step.verify).any(|(told, check)| told.name != check.name)
    {
        return Vec::new();
    }
    step.verify.iter().map(|check| check.condition).zip(evidence).collect()
}

fn of_guards(plan: &Plan, step: &StepId, evidence: Vec<Evidence>) -> Vec<(ConditionId, Evidence)> {
    let guards = plan.step(step).map(|step| step.guards.as_slice()).unwrap_or_default();
    evidence
        .into_iter()
        .filter_map(|told| {
            let guard = guards.iter().find(|guard| guard.name == told.name)?;
            Some((guard.condition, told))
        })
        .collect()
}
