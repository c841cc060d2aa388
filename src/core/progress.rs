//! What happens by itself: jobs end, checks come true, guards break, deadlines pass.

use std::collections::BTreeMap;

use super::action::{Action, Kept, Wait};
use super::board::Board;
use super::evidence::{Evidence, Verdict, shut_sentence};
use super::expr::Asker;
use super::fact::{Fact, Finding, StopWhy};
use super::ids::{Attempt, StepId, TargetId};
use super::input::{Decision, Effect};
use super::job::{Adoption, Direction, JobKey, Outcome};
use super::plan::{ConditionId, Guard, Plan, Step};
use super::server::ServerIdentity;
use super::state::{Course, Run, Running, StepProgress};
use super::time::{At, Span};

/// The facts and the effect that begin a job. Only what leaves the program is an effect.
pub(super) fn begin(
    plan: &Plan,
    step: &StepId,
    direction: Direction,
    attempt: Attempt,
    job: u16,
) -> (Fact, Option<Effect>) {
    let key = JobKey { step: step.clone(), direction, attempt, job };
    let leaves = plan.action(&key).is_some_and(Action::leaves_the_program);
    (Fact::JobStarted { key: key.clone() }, leaves.then_some(Effect::StartJob(key)))
}

/// A step's checks as they stand. Before its work has ended they are judged on all readings, old ones too.
pub fn checks(plan: &Plan, run: &Run, board: &Board, now: At, step: &Step) -> Vec<Evidence> {
    let since = match run.phase(&step.id) {
        StepProgress::Verifying { since } => *since,
        _ => run.step(&step.id).ended.unwrap_or_default(),
    };
    step.verify.iter().map(|check| board.check(plan, run, now, check, since)).collect()
}

/// Decides on the success of a job that the core carries out itself.
pub(super) fn succeeded(plan: &Plan, run: &Run, running: &Running, summary: String, took: Span) -> Decision {
    ended(plan, run, running, Outcome::Succeeded { summary }, took)
}

/// Decides on the success of a job of a step's work or undo: the next one begins, or the work is over.
fn after_success(plan: &Plan, running: &Running, summary: String, took: Span) -> Decision {
    let key = &running.key;
    let ended = Fact::JobEnded { key: key.clone(), outcome: Outcome::Succeeded { summary }, took };
    let mut decision = Decision { facts: vec![ended], effects: Vec::new() };
    let jobs = plan.work(key).map_or(0, |work| work.jobs.len());
    let next = key.job.saturating_add(1);
    if usize::from(next) >= jobs {
        if key.direction == Direction::Undo {
            decision.facts.push(Fact::StepUndone { step: key.step.clone(), attempt: key.attempt });
        }
    } else if let Some(why) = &running.stopping {
        let why = why.to_string();
        decision.facts.push(Fact::UndoFailed { step: key.step.clone(), attempt: key.attempt, why });
    } else {
        let (job, effect) = begin(plan, &key.step, key.direction, key.attempt, next);
        decision.facts.push(job);
        decision.effects.extend(effect);
    }
    decision
}

/// Decides on the end of a job.
pub(super) fn job_ended(plan: &Plan, run: &Run, now: At, key: &JobKey, outcome: Outcome, took: Span) -> Decision {
    let running = match run.phase(&key.step) {
        StepProgress::Running(running) if running.key == *key && run.ended.is_none() => running,
        StepProgress::InDoubt { key: doubtful, .. } if doubtful == key && run.ended.is_none() => {
            // An answer about a job in doubt counts like finding it ended.
            let adoption = Adoption::Ended { outcome, took };
            return job_adopted(plan, run, now, key.clone(), adoption);
        }
        _ => {
            let late = Fact::LateResultIgnored { key: key.clone(), outcome };
            return Decision { facts: vec![late], effects: Vec::new() };
        }
    };
    ended(plan, run, running, outcome, took)
}

fn ended(plan: &Plan, run: &Run, running: &Running, outcome: Outcome, took: Span) -> Decision {
    let key = &running.key;
    let job_ended = |outcome| Fact::JobEnded { key: key.clone(), outcome, took };
    match (key.direction, outcome) {
        // Work that was told to stop is over, however it ended. Only a single action whose outcome is unknown stays in
        // doubt: it may have taken effect.
        (Direction::Do, outcome)
            if running.stopping.is_some() && (is_section(plan, key) || !matches!(outcome, Outcome::Unknown { .. })) =>
        {
            let why = running.stopping.as_ref().map(ToString::to_string).unwrap_or_default();
            let mut decision = Decision { facts: vec![job_ended(outcome)], effects: Vec::new() };
            give_up(plan, run, key, why, &mut decision);
            decision
        }
        (Direction::Do | Direction::Undo, Outcome::Succeeded { summary }) => {
            after_success(plan, running, summary, took)
        }
        (Direction::Do, outcome @ Outcome::Failed { .. }) => {
            let why = sentence(plan, key, &outcome);
            let mut decision = Decision { facts: vec![job_ended(outcome)], effects: Vec::new() };
            give_up(plan, run, key, why, &mut decision);
            decision
        }
        (Direction::Do, Outcome::Unknown { why }) if is_section(plan, key) => {
            let mut decision =
                Decision { facts: vec![job_ended(Outcome::Unknown { why: why.clone() })], effects: Vec::new() };
            give_up(plan, run, key, why, &mut decision);
            decision
        }
        (Direction::Do | Direction::Undo, Outcome::Unknown { why }) => Decision {
            facts: vec![job_ended(Outcome::Unknown { why: why.clone() }), Fact::LeftInDoubt { key: key.clone(), why }],
            effects: Vec::new(),
        },
        (Direction::Undo, outcome @ Outcome::Failed { .. }) => {
            let why = sentence(plan, key, &outcome);
            let failed = Fact::UndoFailed { step: key.step.clone(), attempt: key.attempt, why };
            Decision { facts: vec![job_ended(outcome), failed], effects: Vec::new() }
        }
        (Direction::Revert, outcome) => {
            let cause = run.step(&key.step).reverting().unwrap_or_default().to_owned();
            let mut decision = Decision::default();
            if matches!(outcome, Outcome::Succeeded { .. }) {
                decision.facts.push(job_ended(outcome));
                match &running.stopping {
                    Some(why) if next_back(plan, key).is_some() => {
                        let why = format!("{cause}; and taking it back was {why}");
                        decision.facts.push(failed(key, why, false));
                    }
                    _ => revert_below(plan, run, key, cause, &mut decision),
                }
            } else {
                let what = sentence(plan, key, &outcome);
                decision.facts.push(job_ended(outcome));
                let why = format!("{cause}; and it could not take itself back: {what}");
                decision.facts.push(failed(key, why, false));
            }
            decision
        }
    }
}

fn sentence(plan: &Plan, key: &JobKey, outcome: &Outcome) -> String {
    let what = match outcome {
        Outcome::Succeeded { summary } => summary,
        Outcome::Failed { what } => what,
        Outcome::Unknown { why } => why,
    };
    if is_section(plan, key) {
        format!("job {} \"{}\": {what}", key.job + 1, plan.job_title(key).unwrap_or_default())
    } else {
        what.clone()
    }
}

fn is_section(plan: &Plan, key: &JobKey) -> bool {
    plan.work(key).is_some_and(|work| work.section)
}

fn failed(key: &JobKey, why: String, reverted: bool) -> Fact {
    Fact::StepFailed {
        step: key.step.clone(),
        attempt: key.attempt,
        why,
        reverted,
        evidence: Vec::new(),
        guards: Vec::new(),
    }
}

/// The work cannot go on: a section takes itself back, from the job that failed (it may have run in part).
fn give_up(plan: &Plan, run: &Run, key: &JobKey, why: String, decision: &mut Decision) {
    if !is_section(plan, key) {
        decision.facts.push(failed(key, why, false));
        return;
    }
    decision.facts.push(Fact::SectionReverting { step: key.step.clone(), attempt: key.attempt, why: why.clone() });
    let above = JobKey { job: key.job.saturating_add(1), direction: Direction::Revert, ..key.clone() };
    revert_below(plan, run, &above, why, decision);
}

/// The next job below `key` that can be taken back, in the order that was confirmed.
fn next_back(plan: &Plan, key: &JobKey) -> Option<u16> {
    let back = plan.work(key)?.going_back().filter(|(_, job)| job.undo.is_some());
    let mut places = back.filter_map(|(number, _)| u16::try_from(number.checked_sub(1)?).ok());
    places.find(|job| *job < key.job)
}

/// What follows from a finding about a job in doubt: a section that is half done takes itself back, as it would have
/// when the job had failed. A job that was found not to have happened is not taken back.
pub(super) fn after_finding(plan: &Plan, run: &Run, key: &JobKey, finding: Finding, why: &str) -> Decision {
    let mut decision = Decision::default();
    if !is_section(plan, key) {
        return decision;
    }
    let why = format!("found half done: {why}");
    match (key.direction, finding) {
        (Direction::Do, Finding::HalfHappened) => give_up(plan, run, key, why, &mut decision),
        (Direction::Do, Finding::DidNotHappen) if key.job > 0 => {
            let step = key.step.clone();
            decision.facts.push(Fact::SectionReverting { step, attempt: key.attempt, why: why.clone() });
            revert_below(plan, run, key, why, &mut decision);
        }
        (Direction::Revert, Finding::Happened) => revert_below(plan, run, key, why, &mut decision),
        _ => {}
    }
    decision
}

/// Begins to take back the next job below `key`, or ends when there is none.
fn revert_below(plan: &Plan, run: &Run, key: &JobKey, cause: String, decision: &mut Decision) {
    if let Some(job) = next_back(plan, key) {
        let (fact, effect) = begin(plan, &key.step, Direction::Revert, key.attempt, job);
        decision.facts.push(fact);
        decision.effects.extend(effect);
        return;
    }
    // A job that was never begun has left nothing, whether it could be taken back or not.
    let begun = usize::from(run.step(&key.step).begun);
    let nothing_left = plan.work(key).is_some_and(|work| {
        work.jobs.iter().take(begun).all(|job| job.undo.is_some() || !job.action.leaves_the_program())
    });
    decision.facts.push(failed(key, cause, nothing_left));
}

/// Decides on what was found of a job that an earlier cockpit had started.
pub(super) fn job_adopted(plan: &Plan, run: &Run, now: At, key: JobKey, adoption: Adoption) -> Decision {
    let StepProgress::InDoubt { key: doubtful, .. } = run.phase(&key.step) else {
        return Decision::default();
    };
    // A run that has ended has nothing to go on with.
    if *doubtful != key || run.ended.is_some() {
        return Decision::default();
    }
    let adopted = Fact::JobAdopted { key: key.clone(), adoption: adoption.clone() };
    let mut decision = Decision { facts: vec![adopted], effects: Vec::new() };
    match adoption {
        Adoption::Running | Adoption::Untraceable => {}
        Adoption::Ended { outcome, took } => {
            // A section whose deadline passed meanwhile goes back, never forward.
            let late = Running::new(key.clone(), now, None);
            let late = passed_deadline(plan, run, now, &late).map(StopWhy::Deadline);
            let stopping = run.step(&key.step).stopping.clone().or(late);
            let running = Running::new(key, now, stopping);
            let rest = ended(plan, run, &running, outcome, took);
            decision.facts.extend(rest.facts);
            decision.effects.extend(rest.effects);
        }
        Adoption::NeverStarted => {
            let what = "it never started: the cockpit went away first".to_owned();
            let stopping = run.step(&key.step).stopping.clone();
            let running = Running::new(key, now, stopping);
            let rest = ended(plan, run, &running, Outcome::Failed { what }, Span::ZERO);
            decision.facts.extend(rest.facts);
            decision.effects.extend(rest.effects);
        }
    }
    decision
}

/// Tells a running job to stop. What the core carries out itself ends at once; the world answers when it can.
pub(super) fn stop(
    plan: &Plan,
    run: &Run,
    now: At,
    running: &Running,
    why: &StopWhy,
    evidence: Vec<Evidence>,
) -> Decision {
    let key = &running.key;
    let stop = Fact::StopRequested { step: key.step.clone(), attempt: key.attempt, why: why.clone(), evidence };
    let mut decision = Decision { facts: vec![stop], effects: Vec::new() };
    if plan.action(key).is_some_and(Action::leaves_the_program) {
        decision.effects.push(Effect::StopJob(key.clone()));
    } else {
        let stopped = Running { stopping: Some(why.clone()), ..running.clone() };
        let outcome = Outcome::Failed { what: why.to_string() };
        let rest = ended(plan, run, &stopped, outcome, running.passed(now));
        decision.facts.extend(rest.facts);
        decision.effects.extend(rest.effects);
    }
    decision
}

/// The first server that an action has met behind a target is the one that later actions there are meant for.
pub(super) fn server_met(run: &Run, target: TargetId, identity: ServerIdentity) -> Decision {
    let known = run.ended.is_some() || run.servers().contains_key(&target);
    let facts = if known { Vec::new() } else { vec![Fact::ServerMet { target, identity }] };
    Decision { facts, effects: Vec::new() }
}

/// Whatever is due at `now`. One step's progress at a time: the caller asks again until nothing is due.
pub(super) fn tick(plan: &Plan, run: &Run, board: &Board, now: At) -> Decision {
    if run.ended.is_some() {
        return Decision::default();
    }
    let met = |(target, identity): (&TargetId, &ServerIdentity)| Fact::ServerMet {
        target: target.clone(),
        identity: identity.clone(),
    };
    let facts: Vec<Fact> = board.unmet(run).map(met).chain(counters_reset(plan, run, board)).collect();
    if !facts.is_empty() {
        return Decision { facts, effects: Vec::new() };
    }
    for (id, progress) in run.under_way() {
        let Some(step) = plan.step(id) else { continue };
        let decision = match &progress.phase {
            StepProgress::Running(running) => guard_broken(plan, run, board, now, step, running)
                .or_else(|| deadline_passed(plan, run, now, running))
                .or_else(|| kept_job_due(plan, run, board, now, step, running)),
            StepProgress::Verifying { since } => guard_broken_in_verify(plan, run, board, now, step)
                .or_else(|| verified(plan, run, board, now, step, *since)),
            _ => None,
        };
        let decision = baseline_known(plan, run, board, now, step).or(decision);
        if let Some(decision) = decision {
            return decision;
        }
    }
    let moved = board.moved().filter(|(probe, at, _)| run.moved(probe).is_none_or(|known| known < *at));
    let moved =
        moved.map(|(probe, at, what)| Fact::AnswererChanged { probe: probe.clone(), at, what: what.to_owned() });
    Decision { facts: moved.collect(), effects: Vec::new() }
}

/// A counted number that gave no reading when its step began is counted from its first reading.
fn baseline_known(plan: &Plan, run: &Run, board: &Board, now: At, step: &Step) -> Option<Decision> {
    let undo = match run.phase(&step.id) {
        StepProgress::Running(running) => running.key.direction == Direction::Undo,
        StepProgress::Verifying { .. } => false,
        _ => return None,
    };
    let asker = Asker { step: step.id.clone(), undo };
    let known = run.baselines(&asker)?;
    let counted = |id| plan.condition(id).is_some_and(|condition| condition.counted().any(|n| !known.contains_key(n)));
    if !step.conditions(undo).any(counted) {
        return None;
    }
    let new = board.baselines(plan, now, step, undo).into_iter().filter(|(number, _)| !known.contains_key(number));
    let taken = |(number, baseline)| Fact::BaselineTaken { step: step.id.clone(), undo, number, baseline };
    let facts: Vec<Fact> = new.map(taken).collect();
    (!facts.is_empty()).then(|| Decision { facts, effects: Vec::new() })
}

/// Numbers that were reset since an attempt began that may still ask for their growth. Each is recorded once: the board forgets
/// it with the cockpit.
fn counters_reset(plan: &Plan, run: &Run, board: &Board) -> Vec<Fact> {
    // Asked at every reading, and hardly ever so.
    if !board.has_resets() {
        return Vec::new();
    }
    let mut found = BTreeMap::new();
    for asker in plan.counting.iter().filter_map(|id| plan.condition(*id)?.asker()) {
        let step = run.step(&asker.step);
        let asks = match step.phase {
            StepProgress::Running(_)
            | StepProgress::Verifying { .. }
            | StepProgress::InDoubt { .. }
            | StepProgress::Failed { .. } => matches!(step.course, Course::TakingBack { .. }) == asker.undo,
            StepProgress::Pending
            | StepProgress::Done { .. }
            | StepProgress::Skipped { .. }
            | StepProgress::Undone { .. } => false,
        };
        let baselines = run.baselines(asker).into_iter().flatten();
        for (number, baseline) in baselines.filter(|(_, baseline)| asks && baseline.reset.is_none()) {
            if let Some(reset) = board.reset_since(number, baseline) {
                let (step, undo, number) = (asker.step.clone(), asker.undo, number.clone());
                let key = (step.clone(), undo, number.clone());
                found.insert(key, Fact::CounterReset { step, undo, number, reset: reset.clone() });
            }
        }
    }
    found.into_values().collect()
}

fn broken<'a>(plan: &Plan, run: &Run, board: &Board, now: At, step: &'a Step) -> Option<(&'a Guard, Evidence)> {
    step.guards.iter().find_map(|guard| {
        board.broken_for(now, guard.condition).filter(|span| *span >= guard.tolerate)?;
        // The streak may be from before this attempt, and growth is counted anew.
        let evidence = board.guard(plan, run, now, guard);
        (evidence.assessment.verdict == Verdict::NoGo).then_some((guard, evidence))
    })
}

fn guard_broken(plan: &Plan, run: &Run, board: &Board, now: At, step: &Step, running: &Running) -> Option<Decision> {
    if running.stopping.is_some() || running.key.direction != Direction::Do {
        return None;
    }
    let (guard, evidence) = broken(plan, run, board, now, step)?;
    Some(stop(plan, run, now, running, &StopWhy::Guard(guard.name.clone()), vec![evidence]))
}

fn guard_broken_in_verify(plan: &Plan, run: &Run, board: &Board, now: At, step: &Step) -> Option<Decision> {
    let (guard, evidence) = broken(plan, run, board, now, step)?;
    let fact = Fact::StepFailed {
        step: step.id.clone(),
        attempt: run.step(&step.id).attempt,
        why: StopWhy::Guard(guard.name.clone()).to_string(),
        reverted: false,
        evidence: vec![evidence],
        guards: Vec::new(),
    };
    Some(Decision { facts: vec![fact], effects: Vec::new() })
}

fn deadline_passed(plan: &Plan, run: &Run, now: At, running: &Running) -> Option<Decision> {
    let deadline = passed_deadline(plan, run, now, running)?;
    Some(stop(plan, run, now, running, &StopWhy::Deadline(deadline), Vec::new()))
}

fn passed_deadline(plan: &Plan, run: &Run, now: At, running: &Running) -> Option<Span> {
    // No deadline stops an undo half way: nothing would take that back.
    if running.stopping.is_some() || running.key.direction != Direction::Do {
        return None;
    }
    let deadline = plan.work(&running.key)?.deadline?;
    let started = run.step(&running.key.step).started?;
    (now.since(started) >= deadline).then_some(deadline)
}

/// Waits and soaks are timed by the core, so a restart neither loses nor repeats them.
fn kept_job_due(plan: &Plan, run: &Run, board: &Board, now: At, step: &Step, running: &Running) -> Option<Decision> {
    let passed = running.passed(now);
    match plan.action(&running.key)?.kept()? {
        Kept::Wait(Wait::For(span)) if passed >= *span => {
            Some(succeeded(plan, run, running, format!("waited {passed}"), passed))
        }
        Kept::Wait(Wait::Until(until)) => {
            let conditions = plan.until(&running.key);
            let is_go = conditions.iter().all(|id| board.is_go_since(plan, run, now, *id, running.since));
            // What was so before the wait began says nothing about what it waits for.
            let held = |id: &ConditionId| board.held_for(plan, now, *id, until.hold, running.since);
            let held = conditions.iter().map(|id| held(id).unwrap_or(Span::ZERO)).min();
            let held = held.unwrap_or(Span::ZERO).min(passed);
            if is_go && held >= until.hold {
                return Some(succeeded(plan, run, running, format!("true after {passed}"), passed));
            }
            if passed < until.within || (is_go && passed < until.longest()) {
                return None;
            }
            let open: Vec<String> = conditions
                .iter()
                .map(|id| board.assess(plan, run, now, *id))
                .flat_map(|assessment| assessment.terms)
                .filter(|term| term.verdict != Verdict::Go)
                .map(|term| term.why.unwrap_or_else(|| format!("{} but {}", term.text, term.actual)))
                .collect();
            let what = if open.is_empty() {
                format!("not true for {} within {}", until.hold, until.longest())
            } else {
                format!("not true within {}: {}", until.within, open.join("; "))
            };
            Some(ended(plan, run, running, Outcome::Failed { what }, passed))
        }
        Kept::Soak(soak) => soaked(plan, run, board, now, step, running, soak.length),
        Kept::Wait(Wait::For(_)) | Kept::Manual(_) => None,
    }
}

/// Decides whether a soak is over: it was watched for `length` with every guard GO. Time in which a guard is not GO
/// does not count; both ends of such a time are facts.
fn soaked(
    plan: &Plan,
    run: &Run,
    board: &Board,
    now: At,
    step: &Step,
    running: &Running,
    length: Span,
) -> Option<Decision> {
    let (step_id, attempt) = (step.id.clone(), running.key.attempt);
    let shut: Vec<(At, &Guard)> = step
        .guards
        .iter()
        .filter_map(|guard| board.not_go_since(guard.condition).map(|since| (since, guard)))
        .collect();
    let passed = running.passed(now);
    let fact = match (shut.iter().map(|(since, _)| *since).min(), &running.interrupted) {
        (Some(since), None) => {
            let evidence = shut.iter().map(|(_, guard)| board.guard(plan, run, now, guard)).collect();
            let since = since.max(running.since);
            Fact::SoakInterrupted { step: step_id, attempt, since, evidence }
        }
        (None, Some(_)) => Fact::SoakContinued { step: step_id, attempt },
        (None, None) if passed >= length => {
            return Some(succeeded(plan, run, running, format!("watched for {passed}"), passed));
        }
        _ => return None,
    };
    Some(Decision { facts: vec![fact], effects: Vec::new() })
}

fn verified(plan: &Plan, run: &Run, board: &Board, now: At, step: &Step, since: At) -> Option<Decision> {
    let attempt = run.step(&step.id).attempt;
    let evidence: Vec<Evidence> = step.verify.iter().map(|check| board.check(plan, run, now, check, since)).collect();
    if evidence.iter().all(Evidence::open) {
        return guarded_to_its_end(plan, run, board, now, step, since, evidence);
    }
    let late = step.verify.iter().zip(&evidence).find(|(check, evidence)| {
        // A check that is holding may finish its hold; one that is not has run out of time.
        !evidence.open()
            && now.since(since) >= check.within
            && (evidence.held.is_none() || now.since(since) >= Span(check.within.0.saturating_add(check.hold.0)))
    })?;
    let why = format!("not verified within {}: {}", late.0.within, shut_sentence(late.1));
    let fact = Fact::StepFailed { step: step.id.clone(), attempt, why, reverted: false, evidence, guards: Vec::new() };
    Some(Decision { facts: vec![fact], effects: Vec::new() })
}

/// A step whose checks are all GO is done once its guards are GO, too. One that is UNKNOWN may have been broken for as long as
/// nobody saw it, so it is waited for, and then the step has failed. One that is NO-GO within what it tolerates is waited for until
/// that is over, in which case [`guard_broken_in_verify`] ends the step.
fn guarded_to_its_end(
    plan: &Plan,
    run: &Run,
    board: &Board,
    now: At,
    step: &Step,
    since: At,
    evidence: Vec<Evidence>,
) -> Option<Decision> {
    let (id, attempt) = (step.id.clone(), run.step(&step.id).attempt);
    let guards: Vec<Evidence> = step.guards.iter().map(|guard| board.guard(plan, run, now, guard)).collect();
    let shut = |guard: &&Evidence| guard.assessment.verdict != Verdict::Go;
    let unseen = |guard: &&Evidence| guard.assessment.verdict == Verdict::Unknown;
    let fact = match guards.iter().find(unseen).or_else(|| guards.iter().find(shut)) {
        None => Fact::StepDone { step: id, attempt, evidence, guards },
        Some(guard) if unseen(&guard) && now.since(since) >= step.guards_within() => {
            let why = format!("not seen within {} of its end: guard {}", step.guards_within(), shut_sentence(guard));
            Fact::StepFailed { step: id, attempt, why, reverted: false, evidence, guards }
        }
        Some(_) => return None,
    };
    Some(Decision { facts: vec![fact], effects: Vec::new() })
}
