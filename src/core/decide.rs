//! Decisions on what the operator wants. What happens by itself is in [`progress`](mod@super::progress).

use super::board::Board;
use super::evidence::{Verdict, shut_sentence};
use super::fact::{Ending, Fact, Finding, StopWhy};
use super::ids::{StepId, Who};
use super::input::{Command, Confirmation, Decision, Effect, Input, Picture};
use super::job::Direction;
use super::plan::{Confirm, Plan, Reversibility, Step};
use super::poll::{Station, poll};
use super::progress;
use super::refusal::{Advice, Refusal};
use super::server::Stranger;
use super::state::{Course, Run, StepProgress};
use super::status::{
    StepState, difference, may_be_verified_again, picture, step_state, stop_word, undo_word, unmet, word,
};
use super::time::{At, Span};

/// Shortest reason that is accepted, in characters.
pub const REASON_MIN: usize = 10;

/// Shortest time a question must have been on screen before its answer counts.
pub const ARMING: Span = Span(300);

/// Most characters of a wrong word that a refusal repeats.
const ECHOED: usize = 40;

/// Decides on one input. It changes nothing itself: the facts of the decision do, once they are durable.
///
/// # Errors
///
/// A refusal says in one sentence why an operator's wish is not granted. Outcomes and ticks are never refused.
pub fn decide(plan: &Plan, run: &Run, board: &Board, now: At, input: Input) -> Result<Decision, Refusal> {
    match input {
        Input::Operator { by, command } => Operator { plan, run, board, now, by }.decide(command),
        Input::JobEnded { key, outcome, took } => Ok(progress::job_ended(plan, run, now, &key, outcome, took)),
        Input::JobAdopted { key, adoption } => Ok(progress::job_adopted(plan, run, now, key, adoption)),
        Input::ServerMet { target, identity } => Ok(progress::server_met(run, target, identity)),
        Input::Tick => Ok(progress::tick(plan, run, board, now)),
    }
}

struct Operator<'a> {
    plan: &'a Plan,
    run: &'a Run,
    board: &'a Board,
    now: At,
    by: Who,
}

impl Operator<'_> {
    fn decide(self, command: Command) -> Result<Decision, Refusal> {
        if let Some((_, how)) = &self.run.ended {
            return Err(Refusal::RunEnded(how.as_str()));
        }
        match command {
            Command::Confirm(confirmation) => self.start(&confirmation, None),
            Command::Override { confirmation, reason } => self.start(&confirmation, Some(reason)),
            Command::Acknowledge { step, item } => self.acknowledge(&step, item),
            Command::Skip { step, reason } => self.skip(&step, &reason),
            Command::Stop(confirmation) => self.stop(&confirmation),
            Command::VerifyAgain { step } => self.verify_again(&step),
            Command::Resolve { step, finding, reason, seen } => self.resolve(&step, finding, &reason, &seen),
            Command::Undo(confirmation) => self.undo(&confirmation),
            Command::TakenBackByHand { step, reason, seen } => self.taken_back_by_hand(&step, &reason, &seen),
            Command::AcceptServers { seen, reason } => self.accept_servers(&seen, &reason),
            Command::Note { text } => Ok(fact(Fact::NoteAdded { by: self.by, text: text_of(&text)? })),
            Command::StatusUpdate { text } => Ok(fact(Fact::StatusUpdated { by: self.by, text: text_of(&text)? })),
            Command::End { how } => self.end(how),
        }
    }

    fn step(&self, id: &StepId) -> Result<&Step, Refusal> {
        self.plan.step(id).ok_or_else(|| Refusal::NoSuchStep(id.clone()))
    }

    fn state(&self, step: &Step) -> StepState {
        step_state(self.plan, self.run, self.board, self.now, step)
    }

    fn start(&self, confirmation: &Confirmation, reason: Option<String>) -> Result<Decision, Refusal> {
        let step = self.step(&confirmation.step)?;
        self.startable(step)?;
        let waits_for = unmet(self.run, step);
        if !waits_for.is_empty() {
            return Err(Refusal::NeedsUnmet { step: step.id.clone(), waits_for });
        }
        let stations = poll(self.plan, self.run, self.board, self.now, step);
        let shut: Vec<&Station> = stations.iter().filter(|station| !station.evidence.open()).collect();
        let broken = |station: &&&Station| station.guard && station.evidence.assessment.verdict == Verdict::NoGo;
        if let Some(broken) = shut.iter().find(broken) {
            let broken = shut_sentence(&broken.evidence);
            return Err(Refusal::GuardBroken { step: step.id.clone(), broken });
        }
        match &reason {
            None if !shut.is_empty() => {
                let shut = shut.iter().map(|station| shut_sentence(&station.evidence)).collect();
                return Err(Refusal::GateShut { step: step.id.clone(), shut });
            }
            Some(_) if shut.is_empty() => return Err(Refusal::NothingToOverride(step.id.clone())),
            Some(reason) => {
                if let Some(forbidden) = shut.iter().find(|station| !station.overridable) {
                    return Err(Refusal::OverrideForbidden { gate: forbidden.evidence.name.clone() });
                }
                reason_of(reason)?;
            }
            None => {}
        }
        self.unchanged(step, &confirmation.seen, true)?;
        self.confirmed(step, confirmation, word(step))?;
        let second = self.second_person(step, confirmation)?;
        let attempt = self.run.step(&step.id).attempt.next();
        let started = Fact::StepStarted {
            step: step.id.clone(),
            attempt,
            by: self.by.clone(),
            second,
            typed: confirmation.typed.trim().to_owned(),
            evidence: stations.into_iter().map(|station| station.evidence).collect(),
            overridden: reason.map(|reason| reason.trim().to_owned()),
            preview: step.work.digest.clone(),
            baselines: self.board.baselines(self.plan, self.now, step, false),
        };
        let (job, effect) = progress::begin(self.plan, &step.id, Direction::Do, attempt, 0);
        Ok(Decision { facts: vec![started, job], effects: effect.into_iter().collect() })
    }

    fn startable(&self, step: &Step) -> Result<(), Refusal> {
        let (why, advice) = match self.state(step) {
            StepState::Waiting
            | StepState::Gated
            | StepState::Ready
            | StepState::Failed
            | StepState::Undone
            | StepState::Skipped => return Ok(()),
            StepState::Running | StepState::Reverting | StepState::Undoing => ("", vec![Advice::Wait, Advice::Stop]),
            StepState::Verifying => ("its checks are being watched", vec![Advice::Wait, Advice::Stop]),
            StepState::Done if step.reversibility == Reversibility::None => {
                ("it cannot be taken back, so it cannot be done again", Vec::new())
            }
            StepState::Done if step.leaves_nothing() => {
                ("nothing of it is left to be taken back, so it is not done again", Vec::new())
            }
            StepState::Done => ("it must be taken back before it is done again", back(step).into_iter().collect()),
            StepState::InDoubt => ("", vec![Advice::Resolve]),
        };
        Err(self.wrong_state(step, why, advice))
    }

    fn wrong_state(&self, step: &Step, why: &'static str, advice: Vec<Advice>) -> Refusal {
        Refusal::WrongState { step: step.id.clone(), state: self.state(step).as_str(), why, advice }
    }

    /// Checks that a confirmation was made on the present picture, not too quickly, and with the right word.
    fn confirmed(&self, step: &Step, confirmation: &Confirmation, expected: &str) -> Result<(), Refusal> {
        self.unchanged(step, &confirmation.seen, false)?;
        if confirmation.shown < ARMING {
            return Err(Refusal::TooSoon(confirmation.shown));
        }
        if !confirmation.typed.trim().eq_ignore_ascii_case(expected) {
            return Err(Refusal::WrongWord {
                expected: expected.to_owned(),
                typed: confirmation.typed.trim().chars().take(ECHOED).collect(),
            });
        }
        Ok(())
    }

    /// Refuses when the step no longer looks as it was shown. Gates matter only to a start.
    fn unchanged(&self, step: &Step, seen: &Picture, gates: bool) -> Result<(), Refusal> {
        let present = picture(self.plan, self.run, self.board, self.now, step);
        match difference(seen, &present, gates) {
            Some(what) => Err(Refusal::PictureChanged { what }),
            None => Ok(()),
        }
    }

    fn second_person(&self, step: &Step, confirmation: &Confirmation) -> Result<Option<Who>, Refusal> {
        if step.confirm != Confirm::TwoPerson {
            return Ok(None);
        }
        let second = confirmation.second.as_ref().map(|who| who.0.trim()).filter(|name| !name.is_empty());
        let Some(name) = second else {
            return Err(Refusal::SecondPersonMissing(step.id.clone()));
        };
        let first = self.by.0.split('@').next().unwrap_or_default();
        let same = |other: &str| name.split('@').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(other));
        if same(first) {
            return Err(Refusal::SecondPersonIsFirst(self.by.clone()));
        }
        Ok(Some(Who(name.to_owned())))
    }

    fn acknowledge(&self, id: &StepId, item: u16) -> Result<Decision, Refusal> {
        let step = self.step(id)?;
        let StepProgress::Running(running) = self.run.phase(id) else {
            return Err(self.wrong_state(step, "its checklist can be ticked only while it runs", Vec::new()));
        };
        let Some(items) = self.plan.action(&running.key).and_then(super::action::Action::checklist) else {
            return Err(Refusal::NoSuchItem { step: id.clone(), item: usize::from(item) + 1 });
        };
        if usize::from(item) >= items.len() {
            return Err(Refusal::NoSuchItem { step: id.clone(), item: usize::from(item) + 1 });
        }
        let progress = self.run.step(id);
        if progress.items.contains(&item) {
            return Err(Refusal::ItemTicked(usize::from(item) + 1));
        }
        let attempt = running.key.attempt;
        let mut decision = fact(Fact::ItemAcknowledged { step: id.clone(), attempt, item, by: self.by.clone() });
        if progress.items.len() + 1 == items.len() {
            let took = self.now.since(running.since);
            let summary = match items.len() {
                1 => "1 item acknowledged".to_owned(),
                n => format!("{n} items acknowledged"),
            };
            let rest = progress::succeeded(self.plan, self.run, running, summary, took);
            decision.facts.extend(rest.facts);
            decision.effects.extend(rest.effects);
        }
        Ok(decision)
    }

    fn skip(&self, id: &StepId, reason: &str) -> Result<Decision, Refusal> {
        let step = self.step(id)?;
        let (why, advice) = match self.state(step) {
            StepState::Waiting | StepState::Gated | StepState::Ready | StepState::Failed | StepState::Undone => {
                reason_of(reason)?;
                let reason = reason.trim().to_owned();
                return Ok(fact(Fact::StepSkipped { step: id.clone(), by: self.by.clone(), reason }));
            }
            StepState::Running | StepState::Reverting | StepState::Undoing | StepState::Verifying => {
                ("what is under way cannot be skipped", vec![Advice::Wait, Advice::Stop])
            }
            StepState::Done => ("what is done cannot be skipped", back(step).into_iter().collect()),
            StepState::InDoubt => ("", vec![Advice::Resolve]),
            StepState::Skipped => ("it is left out already", Vec::new()),
        };
        Err(self.wrong_state(step, why, advice))
    }

    fn stop(&self, confirmation: &Confirmation) -> Result<Decision, Refusal> {
        let id = &confirmation.step;
        let step = self.step(id)?;
        match self.run.phase(id) {
            StepProgress::Running(running) if running.stopping.is_none() => {
                self.confirmed(step, confirmation, stop_word(self.run, step))?;
                let why = StopWhy::Operator(self.by.clone());
                Ok(progress::stop(self.plan, self.run, self.now, running, &why, Vec::new()))
            }
            StepProgress::Running(_) => Err(Refusal::WrongState {
                step: id.clone(),
                state: "stopping",
                why: "it was told to stop already; it ends by itself or at its time limit",
                advice: Vec::new(),
            }),
            StepProgress::Verifying { .. } => {
                self.confirmed(step, confirmation, stop_word(self.run, step))?;
                let attempt = self.run.step(id).attempt;
                let why = format!("verification stopped by {}", self.by);
                let evidence = progress::checks(self.plan, self.run, self.board, self.now, step);
                Ok(fact(Fact::StepFailed {
                    step: id.clone(),
                    attempt,
                    why,
                    reverted: false,
                    evidence,
                    guards: Vec::new(),
                }))
            }
            _ => Err(self.wrong_state(step, "there is nothing to stop", Vec::new())),
        }
    }

    fn verify_again(&self, id: &StepId) -> Result<Decision, Refusal> {
        let step = self.step(id)?;
        let (state, why, advice) = match self.run.phase(id) {
            StepProgress::Failed { reverted: false, .. } if !step.is_looked_at() => (
                "failed",
                "it has no checks, so looking again would prove nothing",
                vec![Advice::StartAgain, Advice::Skip],
            ),
            StepProgress::Failed { reverted: false, .. }
                if matches!(self.run.step(id).course, Course::Reverting { .. } | Course::TakingBack { .. }) =>
            {
                (
                    "failed and taken back in part",
                    "its checks would judge what is no longer there",
                    back(step).into_iter().chain([Advice::StartAgain]).collect(),
                )
            }
            StepProgress::Failed { reverted: false, .. } if !may_be_verified_again(self.run, step) => (
                "failed before its work was done",
                "its checks would not prove that it was",
                [Advice::StartAgain].into_iter().chain(back(step)).chain([Advice::Skip]).collect(),
            ),
            StepProgress::Failed { reverted: false, .. } => {
                let (step, attempt) = (id.clone(), self.run.step(id).attempt);
                return Ok(fact(Fact::VerifyingAgain { step, attempt, by: self.by.clone() }));
            }
            StepProgress::Failed { .. } => {
                ("failed and taken back", "nothing of it is left to verify", vec![Advice::StartAgain])
            }
            _ => return Err(self.wrong_state(step, "only a failed step can be verified again", Vec::new())),
        };
        Err(Refusal::WrongState { step: id.clone(), state, why, advice })
    }

    fn resolve(&self, id: &StepId, finding: Finding, reason: &str, seen: &Picture) -> Result<Decision, Refusal> {
        let step = self.step(id)?;
        let StepProgress::InDoubt { key, .. } = self.run.phase(id) else {
            return Err(self.wrong_state(step, "only a step in doubt needs to be resolved", Vec::new()));
        };
        self.unchanged(step, seen, false)?;
        reason_of(reason)?;
        let of = self.plan.work(key).map_or(1, |work| work.jobs.len());
        let job = usize::from(key.job) + 1;
        // An undo goes on after a job that happened; work that was cut off does not.
        if finding == Finding::Happened && job < of && key.direction != Direction::Undo {
            return Err(Refusal::OnlyPartCanHaveHappened { job, of });
        }
        let evidence = progress::checks(self.plan, self.run, self.board, self.now, step);
        let mut decision = fact(Fact::DoubtResolved {
            key: key.clone(),
            finding,
            by: self.by.clone(),
            reason: reason.trim().to_owned(),
            evidence,
        });
        let rest = progress::after_finding(self.plan, self.run, key, finding, reason.trim());
        decision.facts.extend(rest.facts);
        decision.effects.extend(rest.effects);
        Ok(decision)
    }

    /// Whether a step has anything to take back, and nothing rests on it.
    fn may_go_back(&self, step: &Step) -> Result<(), Refusal> {
        let refused = match (self.state(step), self.run.phase(&step.id)) {
            (StepState::Done, _) | (StepState::Failed, StepProgress::Failed { reverted: false, .. }) => None,
            (StepState::Failed, _) => Some(("it has taken itself back already", Vec::new())),
            (StepState::Verifying | StepState::Running, _) => Some(("", vec![Advice::Stop])),
            (StepState::Reverting | StepState::Undoing, _) => Some(("it is on its way back already", Vec::new())),
            (StepState::InDoubt, _) => Some(("", vec![Advice::Resolve])),
            (StepState::Undone, _) => Some(("it is taken back already", Vec::new())),
            (StepState::Skipped, StepProgress::Skipped { effect: true, .. }) => None,
            (StepState::Waiting | StepState::Gated | StepState::Ready | StepState::Skipped, _) => {
                Some(("it has not done anything", Vec::new()))
            }
        };
        if let Some((why, advice)) = refused {
            return Err(self.wrong_state(step, why, advice));
        }
        if step.reversibility == Reversibility::None {
            return Err(Refusal::PointOfNoReturn(step.id.clone()));
        }
        if step.leaves_nothing() {
            return Err(Refusal::LeavesNothing(step.id.clone()));
        }
        let by = super::rollback::needed_by(self.plan, self.run, &step.id);
        if by.is_empty() { Ok(()) } else { Err(Refusal::NeededBy { step: step.id.clone(), by }) }
    }

    /// Records a step as taken back by hand: the runbook has no undo for it, or the undo failed.
    fn taken_back_by_hand(&self, id: &StepId, reason: &str, seen: &Picture) -> Result<Decision, Refusal> {
        let step = self.step(id)?;
        self.may_go_back(step)?;
        if step.undo.is_some() && !undo_failed(self.run, id) {
            return Err(Refusal::UndoNotTried(id.clone()));
        }
        self.unchanged(step, seen, false)?;
        reason_of(reason)?;
        Ok(fact(Fact::TakenBackByHand { step: id.clone(), by: self.by.clone(), reason: reason.trim().to_owned() }))
    }

    fn undo(&self, confirmation: &Confirmation) -> Result<Decision, Refusal> {
        let step = self.step(&confirmation.step)?;
        self.may_go_back(step)?;
        let Some(undo) = &step.undo else { return Err(Refusal::NoUndo(step.id.clone())) };
        self.confirmed(step, confirmation, undo_word(step))?;
        let attempt = self.run.step(&step.id).undo_attempt.next();
        let from = super::rollback::goes_on_with(self.plan, self.run, &step.id);
        let started = Fact::UndoStarted {
            step: step.id.clone(),
            attempt,
            from,
            by: self.by.clone(),
            typed: confirmation.typed.trim().to_owned(),
            preview: undo.digest.clone(),
            baselines: self.board.baselines(self.plan, self.now, step, true),
        };
        let (job, effect) = progress::begin(self.plan, &step.id, Direction::Undo, attempt, from);
        Ok(Decision { facts: vec![started, job], effects: effect.into_iter().collect() })
    }

    fn accept_servers(&self, seen: &[Stranger], reason: &str) -> Result<Decision, Refusal> {
        let strangers = self.board.strangers(self.run);
        if strangers.is_empty() {
            return Err(Refusal::NoOtherServer);
        }
        if strangers != seen {
            let what = "other servers answer than those that were shown".to_owned();
            return Err(Refusal::PictureChanged { what });
        }
        reason_of(reason)?;
        let accepted = |Stranger { target, identity, differs }| Fact::ServerAccepted {
            target,
            identity,
            differs,
            by: self.by.clone(),
            reason: reason.trim().to_owned(),
        };
        Ok(Decision { facts: strangers.into_iter().map(accepted).collect(), effects: Vec::new() })
    }

    fn end(&self, how: Ending) -> Result<Decision, Refusal> {
        let open: Vec<(StepId, &str)> = self
            .plan
            .steps
            .iter()
            .filter(|step| match &how {
                Ending::Completed => !self.run.is_settled(&step.id),
                Ending::RolledBack => super::rollback::is_in_the_way_of_having_rolled_back(self.run, step),
                Ending::Abandoned { .. } => matches!(self.run.phase(&step.id), StepProgress::Running(_)),
            })
            .map(|step| (step.id.clone(), self.state(step).as_str()))
            .collect();
        if !open.is_empty() {
            return Err(Refusal::StillOpen { how: how.as_str(), open });
        }
        let silent = super::silent_alarms::still_silent(self.plan, self.run);
        if how == Ending::Completed && !silent.is_empty() {
            return Err(Refusal::StillSilent(silent.into_iter().map(|alarm| (alarm.alarm, alarm.by)).collect()));
        }
        if let Ending::Abandoned { reason } = &how {
            reason_of(reason)?;
        }
        let customers = self.plan.customers.as_ref().and_then(|probe| self.board.latest(probe));
        let (customers_at, customers) = customers.and_then(|latest| latest.good.clone()).unzip();
        Ok(fact(Fact::RunEnded { by: self.by.clone(), how, customers, customers_at }))
    }
}

/// How a step is taken back, if it can be.
fn back(step: &Step) -> Option<Advice> {
    match step.reversibility {
        Reversibility::None => None,
        _ if step.undo.is_some() => Some(Advice::TakeBack),
        _ if step.leaves_nothing() => None,
        _ => Some(Advice::TakeBackByHand),
    }
}

/// Whether the newest undo of a step began and failed.
fn undo_failed(run: &Run, id: &StepId) -> bool {
    let progress = run.step(id);
    matches!(progress.phase, StepProgress::Failed { reverted: false, .. })
        && matches!(progress.course, Course::TakingBack { .. })
}

fn fact(fact: Fact) -> Decision {
    Decision { facts: vec![fact], effects: Vec::<Effect>::new() }
}

fn reason_of(reason: &str) -> Result<(), Refusal> {
    if reason.trim().chars().count() < REASON_MIN { Err(Refusal::ReasonTooShort(REASON_MIN)) } else { Ok(()) }
}

fn text_of(text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    if text.is_empty() { Err(Refusal::EmptyText) } else { Ok(text.to_owned()) }
}
